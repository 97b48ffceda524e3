/* The interface of architectures: rules for every file of frontends/gguf/arch, the documents made from them,
 * and an architecture made here from the toolbox alone. */
#include "frontends/gguf/arch.h"
#include "gguf/eval_model.h"
#include "gguf/refuse.h"
#include "runtime/base/os.h"

/* ---- The table */

static TnGmSpec spec_of(const TnArch *arch) {
    TnGmSpec s = tn_gm_small;
    s.arch = arch->name, s.hidden = 128, s.ffn = 256, s.heads = 4, s.kv_heads = 2, s.vocab = 100;
    return s;
}

static void rows_are_whole(void **state) {
    (void)state;
    const TnArch *a;
    size_t i = 0;
    for (; (a = tn_arch_row(i)); i++) {
        assert_ptr_equal(tn_arch_find(a->name), a);
        assert_non_null(tn_gm_archs[i].name);
        assert_string_equal(tn_gm_archs[i].name, a->name); /* the tests' own table, in the same order */
        assert_true(a->doc && *a->doc && a->build && a->n_tensors);
        assert_true(a->activation == TN_OP_relu2 || a->activation == TN_OP_silu ||
                    a->activation == TN_OP_gelu_tanh);
        assert_int_equal(a->period, tn_gm_archs[i].period);
        for (uint32_t f = 0; f < a->n_families; f++)
            assert_true(*a->families[f].models && *a->families[f].by && *a->families[f].types);
        for (uint32_t t = 0; t < a->n_tensors; t++)
            for (uint32_t u = 0; u < t; u++)
                if (strcmp(a->tensors[t].name, a->tensors[u].name) == 0)
                    fail_msg("%s: two rows of %s", a->name, a->tensors[t].name);
        for (uint32_t c = 0; c < a->n_converters; c++) /* one without a sign hides those after it */
            assert_true(!a->converters[c].shown == (c + 1 == a->n_converters));
    }
    assert_null(tn_gm_archs[i].name);
    assert_null(tn_arch_find("gpt2"));
}

static void the_list_is_made_from_the_rows(void **state) {
    (void)state;
    static const struct {
        const char *name, *shown;
    } unknown[] = {{"gpt2", "gpt2"}, {"", ""}, {"bitnet\x1b", "bitnet\\x1b"}};
    TnArena arena = {0};
    TnBuf list = {0};
    tn_gm_arch_list(&list);
    assert_string_equal(tn_arch_list(&arena), list.data);
    assert_ptr_equal(strstr(list.data, "bitnet-b1.58, bitnet-25, bitnet"), list.data);
    for (size_t i = 0; i < TN_COUNT(unknown); i++) {
        TnGmSpec s = tn_gm_small;
        TnGw *w = tn_gm_create(&s);
        tn_gw_str(w, "general.architecture", unknown[i].name);
        const char *want = tn_sprintf(&arena, "m.gguf: general.architecture is '%s', expected %s",
                                      unknown[i].shown, list.data);
        assert_string_equal(graph_says(w, false), want);
    }
    tn_buf_free(&list);
    tn_arena_free(&arena);
}

/* What is known of an architecture that is not read is in the line. */
static void what_is_not_read_is_called_by_its_name(void **state) {
    (void)state;
    static const struct {
        const char *name, *what;
    } files[] = {
        {"qwen35", " (a hybrid of Gated DeltaNet and attention: Bonsai 27B, Bonsai 2)"},
        {"qwen35moe", " (a mixture of experts)"},
        {"maple", " (a mixture of experts: DeepGrove's Maple 20B-A1B)"},
        {"qwen3moe", " (a mixture of experts)"},
        {"granitemoehybrid", " (a mixture of experts)"},
        {"deepseek2", " (a mixture of experts)"},
        {"hunyuan-dense", " (Hunyuan's dense model: Tencent's Hy-MT1.5, mostly with STQ1_0 weights)"},
        {"gemma3n", " (Gemma 3n: an embedding for each layer)"},
        {"clip", " (an encoder of pictures or sound, which goes with a language model)"},
        {"vibevoice-asr-encoder", " (an encoder of sound)"},
        {"qwen", ""},
    };
    TnArena arena = {0};
    for (size_t i = 0; i < TN_COUNT(files); i++) {
        TnGmSpec s = tn_gm_small;
        TnGw *w = tn_gm_create(&s);
        tn_gw_str(w, "general.architecture", files[i].name);
        assert_string_equal(graph_says(w, false),
                            tn_sprintf(&arena, "m.gguf: general.architecture is '%s'%s, expected %s",
                                       files[i].name, files[i].what, tn_arch_list(&arena)));
    }
    tn_arena_free(&arena);
}

/* Each row must be used: a file without the tensor is refused, and a file with it is read. */
static void every_row_is_used(void **state) {
    (void)state;
    const TnArch *a;
    for (size_t i = 0; (a = tn_arch_row(i)); i++) {
        TnGmSpec s = spec_of(a);
        s.untied = s.rope_freqs = true;
        s.scales = tn_arch_has_tensor(a, true, "attn_q.scale");
        s.norms_in = tn_arch_has_tensor(a, true, "attn_q_norm_in.weight");
        assert_string_equal(graph_says(tn_gm_create(&s), false), "");
        for (uint32_t t = 0; t < a->n_tensors; t++) {
            const TnArchTensor *row = &a->tensors[t];
            const char *star = strchr(row->name, '*');
            char name[64], want[128] = "";
            snprintf(name, sizeof name, "%.*s%s%s", star ? (int)(star - row->name) : 64, row->name,
                     star ? "1" : "", star ? star + 1 : "");
            TnGw *w = tn_gm_create(&s);
            tn_gw_drop(w, name); /* if it is not there, that is a bug of the tests */
            bool needed = !row->optional || strstr(row->name, "_norm_in"); /* all of these or none */
            if (needed) snprintf(want, sizeof want, "m.gguf: tensor %s is missing", name);
            assert_string_equal(graph_says(w, false), want);
        }
    }
}

typedef struct Longrope {
    uint32_t original, asked, context; /* 0: no key, no wish; the context that the graph then has */
    bool many;
} Longrope;

/* Longrope takes the short factors and ends the context where they end, unless more is asked for. */
static TernStatus longrope_graph(TnGguf *gg, void *user, TnGraph **out, TernError *err) {
    const Longrope *c = user;
    TnFacts f;
    TernStatus st = tn_gguf_graph(gg, &(TnGgufOptions){.no_hash = true, .context = c->asked}, out, &f, err);
    if (st != TERN_OK) return st;
    assert_int_equal(f.n_context, c->context);
    TnBuf text = {0};
    tn_print(*out, &text);
    assert_int_equal(c->many, strstr(text.data, "= rope_freq $rope_factors_long") != NULL);
    assert_int_equal(!c->many, strstr(text.data, "= rope_freq $rope_factors_short") != NULL);
    assert_int_equal(c->many, strstr(text.data, "$rope_factors_short") == NULL);
    assert_int_equal(!c->many, strstr(text.data, "$rope_factors_long") == NULL);
    tn_buf_free(&text);
    return TERN_OK;
}

static void longrope_goes_by_the_context(void **state) {
    (void)state;
    static const char *const names[] = {"rope_factors_short.weight", "rope_factors_long.weight"};
    const uint32_t most = spec_of(tn_arch_find("minicpm")).context;
    const Longrope cases[] = {{0, 0, most, false},    {64, 0, 64, false},      {4096, 0, most, false},
                              {64, 64, 64, false},    {64, 1, 64, false},      {64, 65, most, true},
                              {64, most, most, true}, {64, 99999, most, true}, {0, most, most, false}};
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        TnGmSpec s = spec_of(tn_arch_find("minicpm"));
        s.scaling = "longrope", s.scaling_factor = 1, s.scaling_context = cases[i].original;
        TnGw *w = tn_gm_create(&s);
        float factors[16];
        for (int j = 0; j < 16; j++) factors[j] = 1 + (float)j;
        for (int t = 0; t < 2; t++) {
            tn_gw_tensor(w, names[t], GW_T_F32, 1, (uint64_t[]){16}, NULL, NULL);
            tn_gw_data(w, names[t], factors, sizeof factors);
        }
        Longrope c = cases[i];
        assert_string_equal(makes_graph(w, longrope_graph, &c), "");
    }
}

static void what_gemma3_does_not_read(void **state) {
    (void)state;
    TnGmSpec s = spec_of(tn_arch_find("gemma3"));
    TnGw *w = tn_gm_create(&s);
    tn_gw_f32(w, "gemma3.final_logit_softcapping", 30);
    assert_string_equal(graph_says(w, false), "m.gguf: gemma3.final_logit_softcapping is 30, expected 0");
    w = tn_gm_create(&s);
    tn_gw_f32(w, "gemma3.attn_logit_softcapping", 50);
    assert_string_equal(graph_says(w, false), "m.gguf: gemma3.attn_logit_softcapping is 50, expected 0");
    s.scaling = "yarn", s.scaling_factor = 4, s.scaling_context = 32;
    assert_string_equal(graph_says(tn_gm_create(&s), false), "");
    s.window = 8;
    assert_string_equal(graph_says(tn_gm_create(&s), false),
                        "m.gguf: gemma3.rope.scaling.type is 'yarn' in a model with local layers, expected "
                        "none or linear");
    s.scaling = NULL, s.period = 5000;
    assert_string_equal(graph_says(tn_gm_create(&s), false),
                        "m.gguf: gemma3.attention.sliding_window_pattern is 5000, expected 1 to 4096");
}

/* ---- docs/models.md and README.md. TERN_REFRESH=1 writes the tables of the page. */

static char *read_page(const char *path) {
    char *text;
    size_t n;
    TernError err = {0};
    if (tn_file_read(path, 1 << 20, &text, &n, &err) != TERN_OK) fail_msg("%s", err.text);
    return text;
}

static void put_archs(TnBuf *b) {
    const TnArch *a;
    tn_buf_puts(b, "| architecture | models | activation | rope turns columns | |\n|---|---|---|---|---|\n");
    for (size_t i = 0; (a = tn_arch_row(i)); i++) {
        tn_buf_printf(b, "| `%s` | %s | %s | %s | ", a->name, a->doc,
                      a->activation == TN_OP_relu2  ? "relu squared"
                      : a->activation == TN_OP_silu ? "silu"
                                                    : "gelu by tanh",
                      strcmp(a->rope, "half") == 0 ? "i and i + head / 2" : "2i and 2i + 1");
        for (uint32_t t = 0; t < a->n_traits; t++)
            tn_buf_printf(b, "%s%s: %s", t ? "; " : "", a->traits[t].what, a->traits[t].value);
        tn_buf_puts(b, " |\n");
    }
}

static void put_families(TnBuf *b) {
    const TnArch *a;
    tn_buf_puts(
        b,
        "| models | by | architecture | repository or files | types of matrices |\n|---|---|---|---|---|\n");
    for (size_t i = 0; (a = tn_arch_row(i)); i++)
        for (uint32_t f = 0; f < a->n_families; f++) {
            const TnArchFamily *m = &a->families[f];
            const char *tick = m->files ? "`" : "";
            tn_buf_printf(b, "| %s | %s | `%s` | %s%s%s | %s |\n", m->models, m->by, a->name, tick,
                          m->files ? m->files : "its folder, or a GGUF made of it", tick, m->types);
        }
}

static void put_speeds(TnBuf *b) {
    const TnArch *a;
    tn_buf_puts(b, "| shape | architecture | type | file | pp512 | tg128 |\n|---|---|---|---:|---:|---:|\n");
    for (size_t i = 0; (a = tn_arch_row(i)); i++)
        for (uint32_t f = 0; f < a->n_speeds; f++) {
            const TnArchSpeed *m = &a->speeds[f];
            tn_buf_printf(b, "| %s | `%s` | %s | %s | %s | %s |\n", m->shape, a->name, m->type, m->size,
                          m->prefill, m->decode);
        }
}

static const TnArchTensor *tensor_row(const TnArch *a, const char *name) {
    for (uint32_t t = 0; t < a->n_tensors; t++)
        if (strcmp(a->tensors[t].name, name) == 0) return &a->tensors[t];
    return NULL;
}

/* Every tensor once, where it first comes. */
static void put_tensors(TnBuf *b) {
    const TnArch *a, *other;
    tn_buf_puts(b, "| tensor | rows, columns |");
    for (size_t i = 0; (a = tn_arch_row(i)); i++) tn_buf_printf(b, " `%s` |", a->name);
    tn_buf_puts(b, "\n|---|---|");
    for (size_t i = 0; tn_arch_row(i); i++) tn_buf_puts(b, "---|");
    tn_buf_puts(b, "\n");
    for (size_t i = 0; (a = tn_arch_row(i)); i++)
        for (uint32_t t = 0; t < a->n_tensors; t++) {
            const TnArchTensor *row = &a->tensors[t];
            bool seen = false;
            for (size_t j = 0; j < i; j++) seen |= tensor_row(tn_arch_row(j), row->name) != NULL;
            if (seen) continue;
            tn_buf_printf(b, "| `%s` | %s%s%s |", row->name, tn_dim_names[row->rows],
                          row->rows == TN_DIM_NONE ? "" : ", ", tn_dim_names[row->cols]);
            for (size_t j = 0; (other = tn_arch_row(j)); j++) {
                const TnArchTensor *theirs = tensor_row(other, row->name);
                tn_buf_printf(b, " %s |", !theirs ? "" : theirs->optional ? "may be" : "must be");
            }
            tn_buf_puts(b, "\n");
        }
}

/* Returns the page with the correct table after `heading`. */
static char *with_table(const char *page, const char *heading, void (*put)(TnBuf *)) {
    TnBuf b = {0};
    const char *at = strstr(page, heading), *table = at ? strstr(at, "\n| ") : NULL;
    if (!table) fail_msg("docs/models.md has no table after '%s'", heading);
    TN_CHECK(table);
    tn_buf_put(&b, page, (size_t)(++table - page));
    put(&b);
    while (*table == '|') table += strcspn(table, "\n") + 1;
    tn_buf_puts(&b, table);
    return b.data;
}

static void the_page_has_the_rows(void **state) {
    (void)state;
    static const char path[] = TERN_SOURCE_DIR "/docs/models.md";
    char *page = read_page(path), *once = with_table(page, "\n## Architectures\n", put_archs),
         *twice = with_table(once, "\n## Families\n", put_families),
         *more = with_table(twice, "\n## Sizes and speeds\n", put_speeds),
         *both = with_table(more, "\n## Tensors\n", put_tensors);
    if (getenv("TERN_REFRESH")) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(both, f);
        fclose(f);
    } else if (strcmp(page, both) != 0) {
        size_t n = 0;
        while (page[n] == both[n]) n++;
        while (n && page[n - 1] != '\n') n--;
        fail_msg("docs/models.md has\n%.*s\nthe table of architectures\n%.*s\n(TERN_REFRESH=1 writes it)",
                 (int)strcspn(page + n, "\n"), page + n, (int)strcspn(both + n, "\n"), both + n);
    }
    free(page);
    free(once);
    free(twice);
    free(more);
    free(both);
}

static void the_readme_names_them(void **state) {
    (void)state;
    const TnArch *a;
    TnBuf want = {0};
    char *page = read_page(TERN_SOURCE_DIR "/README.md");
    tn_buf_puts(&want, "\nArchitectures: ");
    for (size_t i = 0; (a = tn_arch_row(i)); i++) tn_buf_printf(&want, "%s`%s`", i ? ", " : "", a->name);
    tn_buf_puts(&want, " (`docs/models.md`)");
    if (!strstr(page, want.data)) fail_msg("README.md does not say%s", want.data);
    tn_buf_free(&want);
    free(page);
}

/* ---- An architecture that nobody ships: a norm after the embedding, used once more before the head, norms
 * after attention, a window, two bases of rope, no feed-forward, and keys of its own. */

static void toy_build(TnArchBuild *b) {
    float factor = tn_arch_float(b, "toy.base_factor", 4.0f, 1, 100);
    TnRef near = tn_block_angle(b, b->rope_base);
    TnRef far = tn_block_angle(b, b->rope_base * factor);
    TnRef x = tn_block_norm(b, TN_NO_LAYER, "embd_norm", tn_block_embed(b));
    for (uint32_t i = 0; i < b->facts.n_layers; i++) {
        TnBlockAttend a = {.window = i ? 16 : 0, .scale = i ? 0.5f : 0};
        a.q = tn_block_rope(b, i ? near : far, tn_block_linear(b, i, "attn_q", x));
        a.k = tn_block_rope(b, i ? near : far, tn_block_linear(b, i, "attn_k", x));
        a.v = tn_block_linear(b, i, "attn_v", x);
        TnRef y = tn_block_linear(b, i, "attn_output", tn_block_attend(b, i, &a));
        x = tn_block_add(b, x, tn_block_norm(b, i, "attn_norm", y));
    }
    TnBlockFinal f = tn_block_final(b, x);
    TnRef again = tn_block_norm(b, TN_NO_LAYER, "embd_norm", f.rows); /* the same weight once more */
    tn_block_outputs(b, tn_block_logits(b, again), f.hidden);
}

static TernStatus toy_refuse(const TnArchBuild *b) {
    if (b->facts.n_vocab == 100) return TERN_OK;
    return tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: %u tokens, expected 100", b->gg->path,
                   b->facts.n_vocab);
}

static const TnKeyRow toy_keys[] = {{".toy.base_factor", TN_RULE_HARMLESS, 0, NULL},
                                    {".logit_scale", TN_RULE_IS, 7, NULL},
                                    {".toy.*", TN_RULE_REFUSED, 0, "something else, expected none"}};
static const TnArchTensor toy_tensors[] = {
    {"token_embd.weight", TN_DIM_VOCAB, TN_DIM_HIDDEN, false},
    {"embd_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"output_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.attn_norm.weight", TN_DIM_NONE, TN_DIM_HIDDEN, false},
    {"blk.*.attn_q.weight", TN_DIM_Q, TN_DIM_HIDDEN, false},
    {"blk.*.attn_k.weight", TN_DIM_KV, TN_DIM_HIDDEN, false},
    {"blk.*.attn_v.weight", TN_DIM_KV, TN_DIM_HIDDEN, false},
    {"blk.*.attn_output.weight", TN_DIM_HIDDEN, TN_DIM_Q, false},
};
static const TnArch toy = {.name = "llama", /* so that the files of that name will do */
                           .doc = "toy",
                           .activation = TN_OP_silu,
                           .rope = "half",
                           .tensors = toy_tensors,
                           .n_tensors = TN_COUNT(toy_tensors),
                           .keys = toy_keys,
                           .n_keys = TN_COUNT(toy_keys),
                           .refuse = toy_refuse,
                           .build = toy_build};

static TnGw *toy_file(uint32_t vocab) {
    static TnGmSpec s; /* must outlive the writer */
    s = tn_gm_small;
    s.arch = "llama", s.hidden = 128, s.ffn = 256, s.vocab = vocab;
    TnGw *w = tn_gm_create(&s);
    for (int i = 0; i < 2; i++) {
        static const char *const none[] = {"ffn_norm", "ffn_gate", "ffn_up", "ffn_down"};
        for (size_t j = 0; j < TN_COUNT(none); j++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, none[j]);
            tn_gw_drop(w, name);
        }
    }
    float ones[128];
    for (int i = 0; i < 128; i++) ones[i] = 1;
    tn_gw_tensor(w, "embd_norm.weight", GW_T_F32, 1, (uint64_t[]){128}, NULL, NULL);
    tn_gw_data(w, "embd_norm.weight", ones, sizeof ones);
    return w;
}

/* user: a TnBuf that gets the graph's text, or NULL. */
static TernStatus toy_graph(TnGguf *gg, void *user, TnGraph **out, TernError *err) {
    TnFacts f;
    TernStatus st = tn_arch_graph(&toy, gg, &(TnGgufOptions){.no_hash = true}, out, &f, err);
    if (st != TERN_OK) return st;
    assert_verified(*out);
    if (user) tn_print(*out, user);
    assert_int_equal(f.n_params, 100 * 128 + 2 * 128 + 2 * (128 + 2 * 128 * 128 + 2 * 64 * 128));
    return TERN_OK;
}

/* What making its graph gives; consumes the writer. */
static const char *toy_says(TnGw *w, TnBuf *text) {
    return makes_graph(w, toy_graph, text);
}

static void a_toy_from_the_toolbox(void **state) {
    (void)state;
    TnBuf text = {0};
    assert_string_equal(toy_says(toy_file(100), &text), "");
    static const char *const lines[] = {"$rope: f32[2,16] = rope_freq {base=0x1.388p+13}\n",
                                        "$rope2: f32[2,16] = rope_freq {base=0x1.388p+15}\n",
                                        "{scale=0x1p-1, window=16}\n",
                                        "{scale=0x1.6a09e6p-3, window=0}\n",
                                        "mode=half",
                                        "matmul"};
    TN_CHECK(text.data);
    for (size_t i = 0; i < TN_COUNT(lines); i++)
        if (!strstr(text.data, lines[i])) fail_msg("the graph has no %s:\n%s", lines[i], text.data);
    const char *first = strstr(text.data, "= gguf {name=\"embd_norm.weight\"");
    assert_non_null(first);
    assert_null(strstr(first + 1, "= gguf {name=\"embd_norm.weight\"")); /* used twice, one node */
    tn_buf_free(&text);
}

static void its_keys_tensors_and_refusals(void **state) {
    (void)state;
    static const struct {
        const char *key;
        float value;
        const char *want;
    } keys[] = {
        {"llama.toy.base_factor", 2, ""},
        {"llama.toy.base_factor", 101, "m.gguf: llama.toy.base_factor is 101, expected 1 to 100"},
        {"llama.toy.other", 1, "m.gguf: llama.toy.other is something else, expected none"},
        {"llama.logit_scale", 7, ""}, /* its own row, not the shared one */
        {"llama.logit_scale", 1, "m.gguf: llama.logit_scale is 1, expected 7"},
        {"llama.residual_scale", 2, "m.gguf: llama.residual_scale is 2, expected 1"},
    };
    for (size_t i = 0; i < TN_COUNT(keys); i++) {
        TnGw *w = toy_file(100);
        tn_gw_f32(w, keys[i].key, keys[i].value);
        assert_string_equal(toy_says(w, NULL), keys[i].want);
    }
    assert_string_equal(toy_says(toy_file(101), NULL), "m.gguf: 101 tokens, expected 100");
    TnGw *w = toy_file(100);
    tn_gw_drop(w, "blk.0.attn_k.weight"); /* the first that is missed, however many blocks come after it */
    tn_gw_drop(w, "blk.1.attn_v.weight");
    assert_string_equal(toy_says(w, NULL), "m.gguf: tensor blk.0.attn_k.weight is missing");
    w = toy_file(100);
    tn_gw_tensor(w, "blk.0.ffn_norm.weight", GW_T_F32, 1, (uint64_t[]){128}, NULL, NULL);
    assert_string_equal(toy_says(w, NULL),
                        "m.gguf: tensor blk.0.ffn_norm.weight has no place in the architecture llama");
    w = toy_file(100);
    tn_gw_tensor(w, "output.weight", GW_T_F16, 2, (uint64_t[]){128, 100}, NULL, NULL); /* has no row: tied */
    assert_string_equal(toy_says(w, NULL),
                        "m.gguf: tensor output.weight has no place in the architecture llama");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_whole),
        cmocka_unit_test(the_list_is_made_from_the_rows),
        cmocka_unit_test(what_is_not_read_is_called_by_its_name),
        cmocka_unit_test(every_row_is_used),
        cmocka_unit_test(longrope_goes_by_the_context),
        cmocka_unit_test(what_gemma3_does_not_read),
        cmocka_unit_test(the_page_has_the_rows),
        cmocka_unit_test(the_readme_names_them),
        cmocka_unit_test(a_toy_from_the_toolbox),
        cmocka_unit_test(its_keys_tensors_and_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
