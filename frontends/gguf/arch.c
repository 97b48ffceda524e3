/* The table of architectures, and the steps around their graphs that are the same for all. */
#include "frontends/gguf/arch.h"
#include <stdio.h>
#include "frontends/gguf/arch/archs.def"

#define DECLARE(id) extern const TnArch tn_arch_##id;
TN_ARCHS(DECLARE)
#undef DECLARE

static const TnArch *const archs[] = {
#define ROW(id) &tn_arch_##id,
    TN_ARCHS(ROW)
#undef ROW
};

const TnArch *tn_arch_row(size_t i) {
    return i < TN_COUNT(archs) ? archs[i] : NULL;
}

const TnArch *tn_arch_find(const char *name) {
    for (size_t i = 0; i < TN_COUNT(archs); i++)
        if (strcmp(archs[i]->name, name) == 0) return archs[i];
    return NULL;
}

static bool has_word(const char *words, const char *word) {
    size_t n = strlen(word);
    if (n == 0 || strchr(word, ' ')) return false;
    for (const char *p = words; (p = strstr(p, word)); p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

const TnArch *tn_arch_of_class(const char *name) {
    for (size_t i = 0; i < TN_COUNT(archs); i++)
        if (archs[i]->classes && has_word(archs[i]->classes, name)) return archs[i];
    return NULL;
}

const char *tn_arch_list(TnArena *arena) {
    const char *list = archs[0]->name;
    for (size_t i = 1; i < TN_COUNT(archs); i++)
        list = tn_sprintf(arena, "%s%s%s", list, i + 1 < TN_COUNT(archs) ? ", " : " or ", archs[i]->name);
    return list;
}

static TernStatus check_used(const TnArchBuild *b) {
    for (size_t i = 0; i < b->gg->n_tensors; i++)
        if (!b->used[i])
            return tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has no place in the architecture %s",
                           b->gg->path, b->gg->tensors[i].name, b->arch->name);
    return TERN_OK;
}

static TernStatus build(TnArchBuild *b) {
    TN_TRY(tn_arch_read_keys(b));
    TnGgufNeutral neutral = {.head = (double)b->facts.head_dim, .base = (double)b->rope_base};
    TN_TRY(tn_gguf_check_keys(b->gg, b->arch, &neutral, b->err));
    TN_TRY(tn_arch_read_vocab(b));
    if (b->arch->refuse) TN_TRY(b->arch->refuse(b));
    if (tn_arch_has_tensor(b->arch, false,
                           "output.weight")) /* checked before the layers, which take longer */
        (void)tn_arch_tensor(b, TN_NO_LAYER, "output.weight");
    tn_block_inputs(b);
    b->arch->build(b);
    TN_TRY(b->status);
    if (b->options->ternary_dense && !b->n_dense)
        return tn_fail(b->err, TERN_ERR_INPUT,
                       "%s: no block weight is stored dense: TerncSource.ternary_dense has no effect",
                       b->gg->path);
    return check_used(b);
}

bool tn_arch_has_norms_in(const TnGguf *gg) {
    static const char end[] = "_norm_in.weight";
    for (size_t i = 0; i < gg->n_tensors; i++) {
        size_t n = strlen(gg->tensors[i].name);
        if (n >= sizeof end && strcmp(gg->tensors[i].name + n + 1 - sizeof end, end) == 0) return true;
    }
    return false;
}

static void describe(TnArchBuild *b) {
    TernError ignored;
    const char *name = NULL;
    (void)tn_gguf_string(b->gg, "general.name", false, &name, &ignored);
    const TnGgufTensor *head = tn_gguf_tensor(b->gg, "output.weight");
    if (!head) head = tn_gguf_tensor(b->gg, "token_embd.weight");
    b->facts.name = name ? name : b->gg->path;
    b->facts.desc =
        tn_sprintf(&b->gg->arena, "%s, %s head", tn_encs[b->matrix_enc].name, tn_encs[head->enc].name);
    b->facts.source_hash = b->gg->table_hash;
}

TernStatus tn_arch_graph(const TnArch *arch, TnGguf *gg, const TnGgufOptions *options, TnGraph **out,
                         TnFacts *out_facts, TernError *err) {
    static const TnGgufOptions defaults;
    TnArchBuild b = {.gg = gg, .arch = arch, .options = options ? options : &defaults, .err = err};
    b.used = tn_alloc_array(&gg->arena, gg->n_tensors + 1, sizeof *b.used);
    b.nodes = tn_alloc_array(&gg->arena, gg->n_tensors + 1, sizeof *b.nodes);
    for (size_t i = 0; i < gg->n_tensors; i++) b.nodes[i] = TN_NONE;
    b.norms_in = tn_arch_has_norms_in(gg);
    b.g = tn_graph_create("step");
    TernStatus st = build(&b);
    if (st == TERN_OK) {
        describe(&b);
        st = tn_gguf_vocab(gg, &b.facts.vocab, &b.facts.vocab_bytes, err);
    }
    if (st != TERN_OK) {
        tn_graph_destroy(b.g);
        return st;
    }
    *out = b.g;
    *out_facts = b.facts;
    return TERN_OK;
}

TernStatus tn_gguf_graph(TnGguf *gg, const TnGgufOptions *options, TnGraph **out, TnFacts *out_facts,
                         TernError *err) {
    const char *name;
    *out_facts = (TnFacts){0};
    TN_TRY(tn_gguf_whole(gg, err));
    TN_TRY(tn_gguf_string(gg, "general.architecture", true, &name, err));
    const TnArch *arch = tn_arch_find(name);
    const char *what = arch ? NULL : tn_arch_unread(name);
    if (!arch)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: general.architecture is '%s'%s%s%s, expected %s",
                       gg->path, name, what ? " (" : "", what ? what : "", what ? ")" : "",
                       tn_arch_list(&gg->arena));
    return tn_arch_graph(arch, gg, options, out, out_facts, err);
}
