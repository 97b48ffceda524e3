/* config.json to the keys of a GGUF.
 *
 * Each member that changes what the model computes becomes a key, or has to have the value that the architecture's graph
 * assumes. What remains unread has no effect on results: dtypes, dropout, initialisation, names of classes of code. */
#include <math.h>
#include <stdio.h>
#include "frontends/hf/internal.h"
#include "runtime/base/fmath.h"

enum { SIZE_MOST = 1 << 24 };

typedef struct Reader {
    TnHfConfig *c;
    TnHfFolder *f;
    TnGgufWriter *w;
    TernError *err;
} Reader;

/* ---- Members */

static const char *kind_of(const json_t *v) {
    static const char *const kinds[] = {"an object", "an array", "a text", "a number",
                                        "a number",  "true",     "false",  "null"};
    return kinds[json_typeof(v)];
}

static bool given(const json_t *of, const char *name) {
    const json_t *v = json_object_get(of, name);
    return v && !json_is_null(v);
}

static TernStatus count(const Reader *r, const char *name, bool required, uint64_t *io) {
    const json_t *v = json_object_get(r->c->json, name);
    if (!given(r->c->json, name)) {
        if (!required) return TERN_OK;
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: the member %s is missing", r->c->path, name);
    }
    if (!json_is_integer(v))
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: %s is %s, expected a whole number", r->c->path, name,
                       kind_of(v));
    if (json_integer_value(v) < 1 || json_integer_value(v) > SIZE_MOST)
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: %s is %lld, expected 1 to %d", r->c->path, name,
                       (long long)json_integer_value(v), SIZE_MOST);
    *io = (uint64_t)json_integer_value(v);
    return TERN_OK;
}

static TernStatus real(const Reader *r, const json_t *of, const char *name, double lo, double hi,
                       double *io) {
    const json_t *v = json_object_get(of, name);
    if (!given(of, name)) return TERN_OK;
    if (!json_is_number(v))
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: %s is %s, expected a number", r->c->path, name,
                       kind_of(v));
    double x = json_number_value(v);
    if (!(x >= lo && x <= hi))
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: %s is %g, expected %g to %g", r->c->path, name, x, lo,
                       hi);
    *io = x;
    return TERN_OK;
}

static TernStatus flag(const Reader *r, const char *name, bool *io) {
    const json_t *v = json_object_get(r->c->json, name);
    if (!given(r->c->json, name)) return TERN_OK;
    if (!json_is_boolean(v))
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: %s is %s, expected true or false", r->c->path, name,
                       kind_of(v));
    *io = json_is_true(v);
    return TERN_OK;
}

/* *out is NULL if the member is absent. */
static TernStatus text(const Reader *r, const json_t *of, const char *name, const char **out) {
    const json_t *v = json_object_get(of, name);
    *out = NULL;
    if (!given(of, name)) return TERN_OK;
    if (!json_is_string(v))
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: %s is %s, expected a text", r->c->path, name, kind_of(v));
    *out = json_string_value(v);
    return TERN_OK;
}

/* ---- Keys of the architecture */

static const char *key(const Reader *r, const char *what) {
    return tn_sprintf(&r->f->arena, "%s.%s", r->c->arch->name, what);
}
static void put_count(const Reader *r, const char *what, uint64_t v) {
    tn_gguf_put_u32(r->w, key(r, what), (uint32_t)v);
}
static void put_real(const Reader *r, const char *what, double v) {
    tn_gguf_put_f32(r->w, key(r, what), (float)v);
}
static void put_text(const Reader *r, const char *what, const char *v) {
    tn_gguf_put_str(r->w, key(r, what), v, strlen(v));
}

static const char *all_classes(TnArena *arena) {
    const char *list = "";
    for (size_t i = 0; tn_arch_row(i); i++)
        if (tn_arch_row(i)->classes)
            list = tn_sprintf(arena, "%s%s%s", list, *list ? ", " : "", tn_arch_row(i)->classes);
    return list;
}

static TernStatus architecture(const Reader *r) {
    const json_t *classes = json_object_get(r->c->json, "architectures");
    const char *name = json_string_value(json_array_get(classes, 0));
    if (!name || json_array_size(classes) != 1)
        return tn_fail(r->err, TERN_ERR_INPUT,
                       "%s: no array \"architectures\" of one text names the model's class", r->c->path);
    r->c->arch = tn_arch_of_class(name);
    if (!r->c->arch)
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED, "%s: class '%s', expected one of %s", r->c->path, name,
                       all_classes(&r->f->arena));
    tn_gguf_put_str(r->w, "general.architecture", r->c->arch->name, strlen(r->c->arch->name));
    return TERN_OK;
}

/* Gemma 3's class has defaults of its own for members that are left out. */
enum { LOCAL_HEAD = 256, LOCAL_WINDOW = 4096 };
static bool has_local_layers(const Reader *r) {
    return r->c->arch->period != 0;
}

static TernStatus sizes(const Reader *r) {
    TnHfConfig *c = r->c;
    TN_TRY(count(r, "hidden_size", true, &c->hidden));
    TN_TRY(count(r, "intermediate_size", true, &c->ffn));
    TN_TRY(count(r, "num_hidden_layers", true, &c->layers));
    TN_TRY(count(r, "num_attention_heads", true, &c->heads));
    TN_TRY(count(r, "vocab_size", true, &c->vocab));
    TN_TRY(count(r, "max_position_embeddings", true, &c->context));
    c->kv = c->heads;
    TN_TRY(count(r, "num_key_value_heads", false, &c->kv));
    c->head = c->hidden / c->heads;
    if (has_local_layers(r)) c->head = LOCAL_HEAD;
    TN_TRY(count(r, "head_dim", false, &c->head));
    if (!given(c->json, "head_dim") && c->hidden % c->heads && !has_local_layers(r))
        return tn_fail(r->err, TERN_ERR_INPUT,
                       "%s: hidden_size is %llu, expected a multiple of num_attention_heads, %llu", c->path,
                       (unsigned long long)c->hidden, (unsigned long long)c->heads);
    if (c->head % 2)
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: a head has %llu columns, expected an even number",
                       c->path, (unsigned long long)c->head);
    put_count(r, "vocab_size", c->vocab);
    put_count(r, "context_length", c->context);
    put_count(r, "embedding_length", c->hidden);
    put_count(r, "block_count", c->layers);
    put_count(r, "feed_forward_length", c->ffn);
    put_count(r, "attention.head_count", c->heads);
    put_count(r, "attention.head_count_kv", c->kv);
    put_count(r, "rope.dimension_count", c->head);
    if (c->head * c->heads != c->hidden) {
        put_count(r, "attention.key_length", c->head);
        put_count(r, "attention.value_length", c->head);
    }
    return TERN_OK;
}

static TernStatus norms(const Reader *r) {
    double eps = 1e-6;
    TN_TRY(real(r, r->c->json, "rms_norm_eps", 1e-12, 1, &eps));
    put_real(r, "attention.layer_norm_rms_epsilon", eps);
    return TERN_OK;
}

/* The reader of GGUF knows which names there are. */
static TernStatus activation(const Reader *r) {
    const char *act, *usual = r->c->arch->activation == TN_OP_silu    ? "silu"
                              : r->c->arch->activation == TN_OP_relu2 ? "relu2"
                                                                      : "gelu_pytorch_tanh";
    TN_TRY(text(r, r->c->json, "hidden_activation", &act));
    if (!act) TN_TRY(text(r, r->c->json, "hidden_act", &act));
    if (!act && has_local_layers(r)) act = usual;
    if (!act) return tn_fail(r->err, TERN_ERR_INPUT, "%s: the member hidden_act is missing", r->c->path);
    if (strcmp(act, usual) != 0) put_text(r, "hidden_activation", act);
    return TERN_OK;
}

/* What no graph here does, whatever the class. */
static TernStatus attention(const Reader *r) {
    static const char *const caps[] = {"attn_logit_softcapping", "final_logit_softcapping"};
    bool both = false, causal = true;
    TN_TRY(flag(r, "use_bidirectional_attention", &both));
    TN_TRY(flag(r, "is_causal", &causal));
    if (both || !causal)
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED,
                       "%s: %s is %s: attention that is not causal is not supported", r->c->path,
                       both ? "use_bidirectional_attention" : "is_causal", both ? "true" : "false");
    for (size_t i = 0; i < TN_COUNT(caps); i++) {
        double cap = 0;
        TN_TRY(real(r, r->c->json, caps[i], 0, 1e6, &cap));
        if (cap != 0)
            return tn_fail(r->err, TERN_ERR_UNSUPPORTED, "%s: %s is %g, expected none", r->c->path, caps[i],
                           cap);
    }
    double columns = LOCAL_HEAD;
    if (!has_local_layers(r)) return TERN_OK;
    TN_TRY(real(r, r->c->json, "query_pre_attn_scalar", 1, SIZE_MOST, &columns));
    if (columns != (double)r->c->head) put_real(r, "attention.scale", 1 / sqrt(columns));
    return TERN_OK;
}

/* Of every `period` layers the last attends to all positions; the others have a window, and a base of rope of their own. */
static TernStatus local_layers(const Reader *r) {
    const json_t *types = json_object_get(r->c->json, "layer_types"),
                 *near = json_object_get(json_object_get(r->c->json, "rope_parameters"), "sliding_attention");
    uint64_t n = LOCAL_WINDOW, period = r->c->arch->period;
    double base = 10000;
    TN_TRY(count(r, "sliding_window", false, &n));
    TN_TRY(count(r, "_sliding_window_pattern", false, &period));
    TN_TRY(count(r, "sliding_window_pattern", false, &period));
    TN_TRY(real(r, r->c->json, "rope_local_base_freq", 1, 1e12, &base));
    TN_TRY(real(r, near, "rope_theta", 1, 1e12, &base));
    if (json_is_array(types)) {
        bool fits = json_array_size(types) == r->c->layers;
        period = 0;
        for (size_t i = 0; i < json_array_size(types); i++) {
            const char *t = json_string_value(json_array_get(types, i));
            bool full = t && strcmp(t, "full_attention") == 0;
            if (full && !period) period = i + 1;
            fits = fits && t && full == (period && (i + 1) % period == 0);
        }
        if (!period) period = r->c->layers + 1;
        if (!fits)
            return tn_fail(
                r->err, TERN_ERR_UNSUPPORTED,
                "%s: layer_types, expected one full_attention after the same number of others, %llu "
                "in all",
                r->c->path, (unsigned long long)r->c->layers);
    }
    put_count(r, "attention.sliding_window", n);
    if (period != r->c->arch->period) put_count(r, "attention.sliding_window_pattern", period);
    if (base != 10000) put_real(r, "rope.freq_base_swa", base);
    return TERN_OK;
}

/* A window that only some layers have is refused; Tern's graphs have one for all. */
static TernStatus window(const Reader *r) {
    const json_t *types = json_object_get(r->c->json, "layer_types");
    uint64_t n = 0, first = r->c->layers;
    bool use = true;
    TN_TRY(flag(r, "use_sliding_window", &use));
    TN_TRY(count(r, "sliding_window", false, &n));
    if (json_is_array(types)) {
        size_t full = 0;
        for (size_t i = 0; i < json_array_size(types); i++) {
            const char *t = json_string_value(json_array_get(types, i));
            full += t && strcmp(t, "full_attention") == 0;
        }
        if (full && full < json_array_size(types))
            return tn_fail(r->err, TERN_ERR_UNSUPPORTED,
                           "%s: layer_types differ, expected one kind of attention", r->c->path);
        use = use && !full;
    }
    if (!use || !n) return TERN_OK;
    if (given(r->c->json, "max_window_layers")) TN_TRY(count(r, "max_window_layers", false, &first));
    if (given(r->c->json, "max_window_layers") && first < r->c->layers)
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED,
                       "%s: only the layers after max_window_layers, %llu, have a window", r->c->path,
                       (unsigned long long)first);
    put_count(r, "attention.sliding_window", n);
    return TERN_OK;
}

/* MiniCPM's three scales. */
static TernStatus scales(const Reader *r) {
    double embedding = 1, depth = 0, base = 0;
    TN_TRY(real(r, r->c->json, "scale_emb", 1e-6, 1e6, &embedding));
    TN_TRY(real(r, r->c->json, "scale_depth", 1e-6, 1e6, &depth));
    TN_TRY(real(r, r->c->json, "dim_model_base", 1, SIZE_MOST, &base));
    bool any = given(r->c->json, "scale_emb") || depth > 0 || base > 0, has = false;
    for (uint32_t i = 0; i < r->c->arch->n_keys; i++)
        has = has || strcmp(r->c->arch->keys[i].name, ".residual_scale") == 0;
    if (any && !has)
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED,
                       "%s: scale_emb, scale_depth or dim_model_base, which %s does not have", r->c->path,
                       r->c->arch->classes);
    if (!has) return TERN_OK;
    put_real(r, "embedding_scale", embedding);
    put_real(r, "residual_scale", depth > 0 ? depth / sqrt((double)r->c->layers) : 1);
    put_real(r, "logit_scale", base > 0 ? (double)r->c->hidden / base : 1);
    return TERN_OK;
}

/* ---- Rope */

/* Where rope's members are: transformers from version 5 on have them in rope_parameters. */
static const json_t *rope_of(const json_t *config) {
    const json_t *v = json_object_get(config, "rope_parameters"), *all = json_object_get(v, "full_attention");
    if (json_is_object(all)) return all; /* beside sliding_attention */
    return json_is_object(v) ? v : json_object_get(config, "rope_scaling");
}
static const char *rope_type(const json_t *rope) {
    const json_t *v = json_object_get(rope, "rope_type");
    return json_string_value(v ? v : json_object_get(rope, "type"));
}
static bool rope_is(const json_t *rope, const char *type) {
    const char *is = rope_type(rope);
    return is && strcmp(is, type) == 0;
}

static TernStatus original_context(const Reader *r, const json_t *rope, double *out) {
    static const char name[] = "original_max_position_embeddings";
    *out = (double)r->c->context;
    TN_TRY(real(r, r->c->json, name, 1, SIZE_MOST, out));
    return real(r, rope, name, 1, SIZE_MOST, out);
}

static TernStatus yarn(const Reader *r, const json_t *rope, double factor) {
    static const struct {
        const char *member, *what;
    } more[] = {{"beta_fast", "rope.scaling.yarn_beta_fast"},
                {"beta_slow", "rope.scaling.yarn_beta_slow"},
                {"attention_factor", "rope.scaling.yarn_attn_factor"}};
    double context;
    if (given(rope, "mscale") || given(rope, "mscale_all_dim"))
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED, "%s: rope_scaling has mscale, which is not supported",
                       r->c->path);
    TN_TRY(original_context(r, rope, &context));
    put_text(r, "rope.scaling.type", "yarn");
    put_real(r, "rope.scaling.factor", factor);
    put_count(r, "rope.scaling.original_context_length", (uint64_t)context);
    for (size_t i = 0; i < TN_COUNT(more); i++) {
        double v = 0;
        TN_TRY(real(r, rope, more[i].member, 1e-3, 1e6, &v));
        if (v > 0) put_real(r, more[i].what, v);
    }
    return TERN_OK;
}

/* As the authors compute the factor of cos and sin. */
static TernStatus longrope(const Reader *r, const json_t *rope) {
    double context, size = 0;
    TN_TRY(original_context(r, rope, &context));
    put_text(r, "rope.scaling.type", "longrope");
    put_count(r, "rope.scaling.original_context_length", (uint64_t)context);
    TN_TRY(real(r, rope, "attention_factor", 1e-3, 1e3, &size));
    double more = (double)r->c->context / context;
    if (size == 0 && more > 1 && context > 1) size = sqrt(1 + tn_log(more) / tn_log(context));
    if (size > 0) put_real(r, "rope.scaling.attn_factor", size);
    return TERN_OK;
}

static TernStatus rope(const Reader *r) {
    const json_t *rope = rope_of(r->c->json);
    double base = has_local_layers(r) ? 1e6 : 10000, factor = 1, part = 1;
    TN_TRY(real(r, r->c->json, "rope_theta", 1, 1e12, &base));
    TN_TRY(real(r, r->c->json, "partial_rotary_factor", 0, 1, &part));
    if (rope && !json_is_null(rope) && !json_is_object(rope))
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: rope_scaling is %s, expected an object", r->c->path,
                       kind_of(rope));
    TN_TRY(real(r, rope, "rope_theta", 1, 1e12, &base));
    TN_TRY(real(r, rope, "partial_rotary_factor", 0, 1, &part));
    if (part != 1)
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED, "%s: partial_rotary_factor is %g, expected 1",
                       r->c->path, part);
    put_real(r, "rope.freq_base", base);
    if (!json_is_object(rope) || !json_object_size(rope)) return TERN_OK;
    TN_TRY(real(r, rope, "factor", 1e-6, 1e6, &factor));
    if (rope_is(rope, "default") || rope_is(rope, "llama3")) return TERN_OK; /* llama3: tn_hf_factors */
    if (rope_is(rope, "yarn")) return yarn(r, rope, factor);
    if (rope_is(rope, "longrope")) return longrope(r, rope);
    if (rope_is(rope, "linear")) {
        put_text(r, "rope.scaling.type", "linear");
        put_real(r, "rope.scaling.factor", factor);
        return TERN_OK;
    }
    const char *type = rope_type(rope);
    return tn_fail(r->err, TERN_ERR_UNSUPPORTED,
                   "%s: rope_scaling is of type '%s', expected default, linear, yarn, llama3 or longrope",
                   r->c->path, type ? type : "");
}

/* ---- How weights are stored */

static TernStatus quantization(const Reader *r) {
    const json_t *q = json_object_get(r->c->json, "quantization_config");
    TnHfConfig *c = r->c;
    const char *method, *linear, *mode;
    c->masters = tn_arch_has_tensor(c->arch, true, "attn_sub_norm.weight"); /* BitNet's own classes */
    if (!q || json_is_null(q)) return TERN_OK;
    if (!json_is_object(q))
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: quantization_config is %s, expected an object", c->path,
                       kind_of(q));
    TN_TRY(text(r, q, "quant_method", &method));
    TN_TRY(text(r, q, "linear_class", &linear));
    TN_TRY(text(r, q, "quantization_mode", &mode));
    if (!method || strcmp(method, "bitnet") != 0)
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED, "%s: quant_method is '%s', expected bitnet", c->path,
                       method ? method : "");
    if (linear && strcmp(linear, "bitlinear") != 0 && strcmp(linear, "autobitlinear") != 0)
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED,
                       "%s: linear_class is '%s', expected bitlinear or autobitlinear", c->path, linear);
    if (mode && strcmp(mode, "online") != 0 && strcmp(mode, "offline") != 0)
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED,
                       "%s: quantization_mode is '%s', expected online or offline", c->path, mode);
    bool automatic = linear && strcmp(linear, "autobitlinear") == 0;
    c->scale = automatic ? TN_HF_SCALE_TIMES : TN_HF_SCALE_OVER;
    c->scale_rule = automatic ? "linear_class autobitlinear: weights are multiplied by it"
                              : "linear_class bitlinear: weights are divided by it";
    c->masters = true;
    if (json_is_true(json_object_get(q, "use_rms_norm")))
        return tn_fail(r->err, TERN_ERR_UNSUPPORTED,
                       "%s: use_rms_norm: a norm before every linear is not supported", c->path);
    return TERN_OK;
}

TernStatus tn_hf_config(TnHfFolder *f, TnGgufWriter *w, TnHfConfig *c, TernError *err) {
    Reader r = {c, f, w, err};
    c->path = tn_hf_path(f, "config.json");
    TN_TRY(tn_hf_json_file(c->path, true, &c->json, err));
    TN_TRY(architecture(&r));
    TN_TRY(sizes(&r));
    TN_TRY(norms(&r));
    TN_TRY(activation(&r));
    TN_TRY(rope(&r));
    TN_TRY(attention(&r));
    TN_TRY(has_local_layers(&r) ? local_layers(&r) : window(&r));
    TN_TRY(scales(&r));
    c->tied = !tn_hf_tensor(f, "lm_head.weight"); /* a member with its usual value may be left out */
    TN_TRY(flag(&r, "tie_word_embeddings", &c->tied));
    return quantization(&r);
}

/* ---- Factors of rope */

static TernStatus factors(const Reader *r, const json_t *rope, const char *name, const float **out) {
    const json_t *list = json_object_get(rope, name);
    size_t n = r->c->head / 2;
    if (!json_is_array(list) || json_array_size(list) != n)
        return tn_fail(r->err, TERN_ERR_INPUT, "%s: %s of rope_scaling is not an array of %zu numbers",
                       r->c->path, name, n);
    float *v = tn_alloc_array(&r->f->arena, n, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(list, i);
        double d = json_number_value(x);
        if (!json_is_number(x) || !(d > 1e-6 && d < 1e6))
            return tn_fail(r->err, TERN_ERR_INPUT,
                           "%s: %s of rope_scaling: number %zu is not from 1e-06 to 1e+06", r->c->path, name,
                           i);
        v[i] = (float)d;
    }
    *out = v;
    return TERN_OK;
}

/* llama.cpp knows no such type of scaling: its converter writes what the type means as a tensor. */
static TernStatus llama3(const Reader *r, const json_t *rope, const float **out) {
    double base = 10000, factor = 8, low = 1, high = 4, context;
    TN_TRY(real(r, r->c->json, "rope_theta", 1, 1e12, &base));
    TN_TRY(real(r, rope, "rope_theta", 1, 1e12, &base));
    TN_TRY(real(r, rope, "factor", 1e-6, 1e6, &factor));
    TN_TRY(real(r, rope, "low_freq_factor", 1e-3, 1e6, &low));
    TN_TRY(real(r, rope, "high_freq_factor", 1e-3, 1e6, &high));
    TN_TRY(original_context(r, rope, &context));
    if (!(low < high))
        return tn_fail(r->err, TERN_ERR_INPUT,
                       "%s: low_freq_factor is %g, expected less than high_freq_factor, %g", r->c->path, low,
                       high);
    float *v = tn_alloc_array(&r->f->arena, r->c->head / 2, sizeof *v);
    for (uint64_t i = 0; i < r->c->head / 2; i++) {
        double wave = 6.283185307179586 * tn_pow(base, 2.0 * (double)i / (double)r->c->head);
        double kept = fmin(fmax((context / wave - low) / (high - low), 0), 1);
        v[i] = (float)(1 / ((1 - kept) / factor + kept));
    }
    *out = v;
    return TERN_OK;
}

TernStatus tn_hf_factors(TnHfFolder *f, const TnHfConfig *c, TnHfFactors *out, TernError *err) {
    Reader r = {(TnHfConfig *)c, f, NULL, err};
    const json_t *rope = rope_of(c->json);
    *out = (TnHfFactors){0};
    if (rope_is(rope, "llama3")) return llama3(&r, rope, &out->all);
    if (!rope_is(rope, "longrope")) return TERN_OK;
    TN_TRY(factors(&r, rope, "long_factor", &out->longer));
    return factors(&r, rope, "short_factor", &out->shorter);
}
