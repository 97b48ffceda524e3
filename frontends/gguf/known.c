/* What the keys of a model file mean to Tern: one table of keys that could change what a model computes and
 * are not read by arch_keys.c or vocab.c. An architecture's own rows (arch.h) are searched first.
 *
 * A key that changes weights, activations or positions is read, or must hold the value that changes nothing,
 * or is refused. A key that is known to change no result is ignored. Any other key is named in a note, since
 * silence would suggest that it had an effect. Names are llama.cpp's. */
#include <math.h>
#include <string.h>
#include "frontends/gguf/arch.h"

static const char MIXTURE[] = "a mixture of experts";

/* The first row that matches counts. */
static const TnKeyRow table[] = {
    /* activations */
    {".logit_scale", TN_RULE_IS, 1, NULL},
    {".embedding_scale", TN_RULE_IS, 1, NULL},
    {".residual_scale", TN_RULE_IS, 1, NULL},
    {".attn_logit_softcapping", TN_RULE_IS, 0, NULL},
    {".attention.logit_softcapping", TN_RULE_IS, 0, NULL},
    {".final_logit_softcapping", TN_RULE_IS, 0, NULL},
    {".router_logit_softcapping", TN_RULE_IS, 0, NULL},
    {".use_parallel_residual", TN_RULE_IS_FALSE, 0, NULL},
    {".swin_norm", TN_RULE_IS_FALSE, 0, NULL},
    {".rescale_every_n_layers", TN_RULE_IS, 0, NULL},
    {".nextn_predict_layers", TN_RULE_IS, 0, NULL},
    {".embedding_length_per_layer_input", TN_RULE_IS, 0, NULL},
    {".embedding_length_out", TN_RULE_NAMED, 0, NULL},
    {".swiglu_clamp*", TN_RULE_REFUSED, 0, "a clamp of the activation, expected none"},
    {".activation_sparsity_scale", TN_RULE_REFUSED, 0, "a threshold of the activation, expected none"},
    {".xielu.*", TN_RULE_REFUSED, 0, "another activation, expected one of docs/models.md"},
    {".altup.*", TN_RULE_REFUSED, 0, "another residual stream, expected none"},
    {".ssm.*", TN_RULE_IS, 0, NULL},
    {".wkv.*", TN_RULE_IS, 0, NULL},
    {".kda.*", TN_RULE_IS, 0, NULL},
    {".shortconv.*", TN_RULE_IS, 0, NULL},
    {".time_mix_extra_dim", TN_RULE_IS, 0, NULL},
    {".time_decay_extra_dim", TN_RULE_IS, 0, NULL},
    {".token_shift_count", TN_RULE_IS, 0, NULL},
    {".full_attention_interval", TN_RULE_IS, 1, NULL},
    {".pooling_type", TN_RULE_HARMLESS, 0, NULL}, /* read by arch_keys.c */
    {".tensor_data_layout", TN_RULE_IS_TEXT, 0, "reference Meta-AI-original-pth"},
    /* experts */
    {".expert_*", TN_RULE_IS, 0, MIXTURE},
    {".experts_per_group", TN_RULE_IS, 0, MIXTURE},
    {".leading_dense_block_count", TN_RULE_IS, 0, MIXTURE},
    {".interleave_moe_layer_step", TN_RULE_IS, 0, MIXTURE},
    {".moe_every_n_layers", TN_RULE_IS, 0, MIXTURE},
    {".moe_latent_size", TN_RULE_IS, 0, MIXTURE},
    /* attention */
    {".attention.causal", TN_RULE_IS_TRUE, 0, NULL},
    {".attention.clamp_kqv", TN_RULE_IS, 0, NULL},
    {".attention.max_alibi_bias", TN_RULE_IS, 0, NULL},
    {".attention.sliding_window", TN_RULE_HARMLESS, 0, NULL},
    {".attention.sliding_window_pattern", TN_RULE_HARMLESS, 0, NULL}, /* refused with a window */
    {".attention.chunk_size", TN_RULE_IS, 0, NULL},
    {".attention.key_length_swa", TN_RULE_IS_HEAD, 0, NULL},
    {".attention.value_length_swa", TN_RULE_IS_HEAD, 0, NULL},
    {".attention.value_length", TN_RULE_IS_HEAD, 0, NULL},
    {".attention.key_length_mla", TN_RULE_IS, 0, NULL},
    {".attention.value_length_mla", TN_RULE_IS, 0, NULL},
    {".attention.q_lora_rank", TN_RULE_IS, 0, NULL},
    {".attention.kv_lora_rank", TN_RULE_IS, 0, NULL},
    {".attention.decay_lora_rank", TN_RULE_IS, 0, NULL},
    {".attention.iclr_lora_rank", TN_RULE_IS, 0, NULL},
    {".attention.value_residual_mix_lora_rank", TN_RULE_IS, 0, NULL},
    {".attention.gate_lora_rank", TN_RULE_IS, 0, NULL},
    {".attention.relative_buckets_count", TN_RULE_IS, 0, NULL},
    {".attention.shared_kv_layers", TN_RULE_IS, 0, NULL},
    {".attention.recurrent_layers", TN_RULE_IS, 0, NULL},
    {".attention.output_scale", TN_RULE_IS, 1, NULL},
    {".attention.value_scale", TN_RULE_IS, 1, NULL},
    {".attention.temperature_scale", TN_RULE_IS, 0, NULL},
    {".attention.temperature_length", TN_RULE_IS, 0, NULL},
    {".attention.temperature_tuning", TN_RULE_IS_FALSE, 0, NULL},
    {".attention.indexer.*", TN_RULE_IS, 0, NULL},
    {".attention.use_qk_norm", TN_RULE_IS_FALSE, 0, NULL},
    /* positions */
    {".rope.dimension_count", TN_RULE_IS_HEAD, 0, NULL},
    {".rope.dimension_count_swa", TN_RULE_IS_HEAD, 0, NULL},
    {".rope.dimension_sections", TN_RULE_IS, 0, NULL},
    {".rope.freq_base_swa", TN_RULE_IS_BASE, 0, NULL},
    {".rope.scaling.alpha", TN_RULE_IS, 1, NULL},
    {".rope.scaling.yarn_ext_factor", TN_RULE_IS, 1, NULL},
    {".rope.scaling.yarn_log_multiplier", TN_RULE_IS, 0, NULL},
    /* parameters of a scaling that is not used */
    {".rope.scaling.original_context_length", TN_RULE_HARMLESS, 0, NULL},
    {".rope.scaling.finetuned", TN_RULE_HARMLESS, 0, NULL},
    {".rope.scaling.yarn_beta_fast", TN_RULE_HARMLESS, 0, NULL},
    {".rope.scaling.yarn_beta_slow", TN_RULE_HARMLESS, 0, NULL},
    /* weights that are not what they look like */
    {"prism.hadamard.*", TN_RULE_REFUSED, 0, "a Hadamard transform of the weights (Bonsai 2), expected none"},
    {"adapter.*", TN_RULE_REFUSED, 0, "of an adapter to another model, expected a whole model"},
    {"general.type", TN_RULE_IS_TEXT, 0, "model"},
    {"split.*", TN_RULE_HARMLESS, 0, NULL},
    /* the vocabulary: keys that the file's tokenizer does not read, unless they hold something that a reader
     * may rely on */
    {"tokenizer.ggml.pre", TN_RULE_HARMLESS, 0, NULL}, /* of a file without a vocabulary nobody reads them */
    {"tokenizer.ggml.add_bos_token", TN_RULE_HARMLESS, 0, NULL},
    {"tokenizer.ggml.add_eos_token", TN_RULE_HARMLESS, 0, NULL},
    {"tokenizer.ggml.scores", TN_RULE_HARMLESS, 0, NULL},
    {"tokenizer.ggml.token_type_count", TN_RULE_HARMLESS, 0, NULL},
    {"tokenizer.ggml.normalizer.lowercase", TN_RULE_IS_FALSE, 0, NULL},
    {"tokenizer.ggml.add_space_prefix", TN_RULE_NAMED, 0, NULL},
    {"tokenizer.ggml.add_sep_token", TN_RULE_NAMED, 0, NULL},
    {"tokenizer.ggml.remove_extra_whitespaces", TN_RULE_NAMED, 0, NULL},
    {"tokenizer.ggml.*_token_id", TN_RULE_HARMLESS, 0, NULL},
    {"tokenizer.chat_template*", TN_RULE_HARMLESS, 0, NULL},
    {"tokenizer.huggingface.json", TN_RULE_HARMLESS, 0, NULL},
    /* provenance */
    {"general.sampling.*", TN_RULE_NAMED, 0, NULL}, /* the sampler's defaults are llama-cli's */
    {"general.*", TN_RULE_HARMLESS, 0, NULL},
    {"quantize.*", TN_RULE_HARMLESS, 0, NULL},
    {"imatrix.*", TN_RULE_HARMLESS, 0, NULL},
    {"tern.*", TN_RULE_HARMLESS, 0, NULL},
};

bool tn_gguf_fits(const char *pattern, const char *name) {
    const char *star = strchr(pattern, '*');
    size_t n = strlen(name), before = star ? (size_t)(star - pattern) : 0;
    if (!star) return strcmp(pattern, name) == 0;
    const char *after = star + 1;
    size_t end = strlen(after);
    return n >= before + end && strncmp(pattern, name, before) == 0 && strcmp(name + n - end, after) == 0;
}

/* The row of a key. If the architecture is not in the table, only shared rows are searched. */
static const TnKeyRow *find_key(const TnArch *arch, const char *arch_name, const char *name) {
    size_t n = strlen(arch_name);
    bool own = strncmp(name, arch_name, n) == 0 && name[n] == '.';
    for (uint32_t i = 0; arch && own && i < arch->n_keys; i++)
        if (tn_gguf_fits(arch->keys[i].name, name + n)) return &arch->keys[i];
    for (size_t i = 0; i < TN_COUNT(table); i++) {
        bool of_arch = table[i].name[0] == '.';
        if (of_arch ? own && tn_gguf_fits(table[i].name, name + n) : tn_gguf_fits(table[i].name, name))
            return &table[i];
    }
    return NULL;
}

/* ---- Values */

static bool number_at(TnGgufType type, const uint8_t *p, double *out) {
    bool negative;
    uint64_t u;
    if (type == TN_GGUF_F32) {
        float f;
        memcpy(&f, p, 4);
        *out = (double)f;
    } else if (type == TN_GGUF_F64) {
        memcpy(out, p, 8);
    } else if (type == TN_GGUF_BOOL) {
        *out = *p;
    } else if (tn_gguf_int_at(type, p, &negative, &u)) {
        *out = negative ? -(double)u : (double)u;
    } else {
        return false;
    }
    return true;
}

/* Checks that a number, or all numbers of an array, are `neutral`. */
static TernStatus check_number(const TnGguf *g, const TnGgufKey *k, double neutral, const char *what,
                               TernError *err) {
    const char *open = what ? " (" : "", *close = what ? ")" : "";
    if (!what) what = "";
    bool array = k->type == TN_GGUF_ARRAY;
    TnGgufType type = array ? k->elem : k->type;
    for (uint64_t i = 0; i < k->n || type == TN_GGUF_STRING; i++) {
        double v;
        if (!number_at(type, k->data + i * tn_gguf_type_bytes(type), &v))
            return tn_fail(err, TERN_ERR_INPUT, "%s: %s is of type %s, expected a number", g->path, k->name,
                           tn_gguf_type_name(type));
        if ((float)v == (float)neutral) continue;
        if (array)
            return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: %s holds %g at %llu%s%s%s, expected %g", g->path,
                           k->name, v, (unsigned long long)i, open, what, close, neutral);
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: %s is %g%s%s%s, expected %g", g->path, k->name, v,
                       open, what, close, neutral);
    }
    return TERN_OK;
}

static TernStatus check_flag(const TnGguf *g, const TnGgufKey *k, bool neutral, TernError *err) {
    bool v = neutral;
    TN_TRY(tn_gguf_bool(g, k->name, true, &v, err));
    if (v == neutral) return TERN_OK;
    return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: %s is %s, expected %s", g->path, k->name,
                   v ? "true" : "false", neutral ? "true" : "false");
}

static TernStatus check_text(TnGguf *g, const TnGgufKey *k, const char *words, TernError *err) {
    const char *s;
    TN_TRY(tn_gguf_string(g, k->name, true, &s, err));
    for (const char *w = words; *w;) {
        size_t n = strcspn(w, " ");
        bool same = strlen(s) == n;
        for (size_t i = 0; i < n && same; i++) same = s[i] == w[i] || (s[i] == ' ' && w[i] == '-');
        if (same) return TERN_OK;
        w += n + (w[n] == ' ');
    }
    return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: %s is '%.80s', expected %s", g->path, k->name, s, words);
}

static TernStatus check(TnGguf *g, const TnGgufKey *k, const TnKeyRow *known, const TnGgufNeutral *model,
                        TernError *err) {
    switch (known->rule) {
    case TN_RULE_IS:
        return check_number(g, k, known->neutral, known->text, err);
    case TN_RULE_IS_HEAD:
        return check_number(g, k, model->head, NULL, err);
    case TN_RULE_IS_BASE:
        return check_number(g, k, model->base, NULL, err);
    case TN_RULE_IS_TRUE:
        return check_flag(g, k, true, err);
    case TN_RULE_IS_FALSE:
        return check_flag(g, k, false, err);
    case TN_RULE_IS_TEXT:
        return check_text(g, k, known->text, err);
    case TN_RULE_REFUSED:
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: %s is %s", g->path, k->name, known->text);
    case TN_RULE_HARMLESS:
    case TN_RULE_NAMED:
        break;
    }
    return TERN_OK;
}

TernStatus tn_gguf_check_keys(TnGguf *g, const TnArch *arch, const TnGgufNeutral *model, TernError *err) {
    for (size_t i = 0; i < g->n_keys; i++) {
        TnGgufKey *k = &g->keys[i];
        const TnKeyRow *known = find_key(arch, arch->name, k->name);
        if (!known || known->rule == TN_RULE_HARMLESS || known->rule == TN_RULE_NAMED) continue;
        k->asked = true;
        TN_TRY(check(g, k, known, model, err));
    }
    return TERN_OK;
}

TernStatus tn_gguf_whole(const TnGguf *g, TernError *err) {
    uint64_t count = 1, no = 0;
    TN_TRY(tn_gguf_uint(g, "split.count", false, 0, 65535, &count, err));
    TN_TRY(tn_gguf_uint(g, "split.no", false, 0, 65534, &no, err));
    if (count <= 1 || g->n_parts == count - 1) return TERN_OK;
    return tn_fail(err, TERN_ERR_UNSUPPORTED,
                   "%s: part %llu of %llu of a model that was split, expected a name that ends in "
                   "-%05llu-of-%05llu.gguf, and the other parts beside it",
                   g->path, (unsigned long long)no + 1, (unsigned long long)count, (unsigned long long)no + 1,
                   (unsigned long long)count);
}

/* ---- Keys that were ignored */

/* Whether a key holds "off", so that ignoring it is right. */
static bool says_nothing(const TnGgufKey *k) {
    double v;
    return k->type != TN_GGUF_ARRAY && k->type != TN_GGUF_STRING && number_at(k->type, k->data, &v) && v == 0;
}

static bool ignored(const char *arch, const TnGgufKey *k, bool vocab_only) {
    if (k->asked || (vocab_only && strncmp(k->name, "tokenizer.", 10) != 0)) return false;
    const TnKeyRow *known = find_key(tn_arch_find(arch), arch, k->name);
    return !known || (known->rule == TN_RULE_NAMED && !says_nothing(k));
}

bool tn_gguf_note(TnGguf *g, bool vocab_only, TernError *out) {
    enum { MOST = 240 }; /* bytes of names; a message shows 320 of a text */
    TernError none;
    const char *arch = NULL;
    if (tn_gguf_string(g, "general.architecture", false, &arch, &none) != TERN_OK || !arch) arch = "";
    size_t n = 0, shown = 0;
    TnBuf names = {0};
    for (size_t i = 0; i < g->n_keys; i++) {
        if (!ignored(arch, &g->keys[i], vocab_only)) continue;
        n++;
        if (names.len + strlen(g->keys[i].name) > MOST && shown) continue;
        tn_buf_printf(&names, "%s%.80s", shown++ ? ", " : "", g->keys[i].name);
    }
    if (n) {
        const char *path = strlen(g->path) > 80 ? strrchr(g->path, '/') : NULL;
        if (n > shown) tn_buf_printf(&names, " and %zu more", n - shown);
        tn_fail(out, TERN_OK, "%.80s: %zu key%s that nothing here knows %s ignored: %s",
                path ? path + 1 : g->path, n, n == 1 ? "" : "s", n == 1 ? "is" : "are", names.data);
    }
    tn_buf_free(&names);
    return n > 0;
}
