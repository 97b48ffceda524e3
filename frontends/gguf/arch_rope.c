/* Positions: the keys rope.scaling.*, and the blocks that rotate queries and keys.
 *
 * A pair of columns is rotated by position * base^(-i/n) / f(i). Scaling, as files call it, is the vector f:
 * the tensor of factors in the file, or a constant that is computed here from the keys, or (linear, yarn) their product.
 *
 *   linear   f = factor
 *   yarn     pairs that turn often in the context that the model was first trained with keep their speed; pairs that hardly
 *            turn are slowed by factor. Between them f changes gradually: 1/f = (1 - k) / factor + k, where k falls from 1
 *            to 0 from the pair that turns beta_fast times to the one that turns beta_slow times. cos and sin are also
 *            multiplied by 1 + ln(factor) / 10; since the whole head turns, that becomes a factor of the attention's scale
 *   llama3   the same between wavelengths of context / high_freq_factor and context / low_freq_factor; converters write the
 *            result as the tensor rope_freqs.weight, and then there is nothing to compute
 *   longrope f is one of two tensors: rope_factors_short if the context that is run is no longer than the one that the model was
 *            first trained with, else rope_factors_long. The context that counts is the one that the model is compiled for,
 *            not the length of a text, so a position has the same angles in every text: without a wish it is the first
 *            context, and a wish for more gives the long factors, and all of context_length
 */
#include <math.h>
#include <string.h>
#include "frontends/gguf/arch.h"
#include "runtime/base/fmath.h"

#define TWO_PI 6.283185307179586

/* ---- Keys */

static TernStatus number(TnArchBuild *b, const char *what, double lo, double hi, float *io) {
    return tn_gguf_float(b->gg, tn_arch_key(b, what), false, lo, hi, io, b->err);
}

static TernStatus scaling_type(TnArchBuild *b) {
    static const char *const names[] = {
        [TN_ROPE_PLAIN] = "none",    [TN_ROPE_LINEAR] = "linear",     [TN_ROPE_YARN] = "yarn",
        [TN_ROPE_LLAMA3] = "llama3", [TN_ROPE_LONGROPE] = "longrope",
    };
    const char *name = tn_arch_key(b, "rope.scaling.type"), *says;
    TN_TRY(tn_gguf_string(b->gg, name, false, &says, b->err));
    b->rope.scaling = TN_ROPE_LINEAR; /* a factor without a type means linear, the oldest kind */
    if (!says) return TERN_OK;
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(says, names[i]) == 0) {
            b->rope.scaling = (TnRopeScaling)i;
            return TERN_OK;
        }
    return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                   "%s: %s is '%.80s', expected none, linear, yarn, llama3 or longrope", b->gg->path, name,
                   says);
}

/* Reads the factor; 0 means that it was not set. */
static TernStatus factor(TnArchBuild *b) {
    float old = 0, v = 0;
    TN_TRY(number(b, "rope.scale_linear", 0, 1e6, &old));
    TN_TRY(number(b, "rope.scaling.factor", 0, 1e6, &v));
    if (v == 0) v = old;
    b->rope.factor = v == 0 ? 1.0f : v;
    if (b->rope.factor >= 1e-6f) return TERN_OK;
    return tn_fail(b->err, TERN_ERR_INPUT, "%s: %s is %g, expected 0 (none) or at least 1e-06", b->gg->path,
                   tn_arch_key(b, "rope.scaling.factor"), (double)b->rope.factor);
}

/* Reads the keys that the type of scaling uses. */
static TernStatus of_type(TnArchBuild *b) {
    TnArchRope *r = &b->rope;
    float size = 1;
    r->fast = 32, r->slow = 1, r->low = 1, r->high = 4;
    if (r->scaling == TN_ROPE_YARN) {
        if (!(b->rope_base > 1))
            return tn_fail(b->err, TERN_ERR_INPUT, "%s: %s is %g, expected more than 1, which yarn needs",
                           b->gg->path, tn_arch_key(b, "rope.freq_base"), (double)b->rope_base);
        TN_TRY(number(b, "rope.scaling.yarn_beta_fast", 1e-3, 1e6, &r->fast));
        TN_TRY(number(b, "rope.scaling.yarn_beta_slow", 1e-3, 1e6, &r->slow));
        if (r->factor > 1) size = (float)(1 + 0.1 * tn_log((double)r->factor));
        TN_TRY(number(b, "rope.scaling.yarn_attn_factor", 1e-3, 1e3, &size));
    }
    if (r->scaling == TN_ROPE_LLAMA3) {
        TN_TRY(number(b, "rope.scaling.low_freq_factor", 1e-3, 1e6, &r->low));
        TN_TRY(number(b, "rope.scaling.high_freq_factor", 1e-3, 1e6, &r->high));
        if (!(r->low < r->high))
            return tn_fail(b->err, TERN_ERR_INPUT, "%s: %s is %g, expected less than high_freq_factor, %g",
                           b->gg->path, tn_arch_key(b, "rope.scaling.low_freq_factor"), (double)r->low,
                           (double)r->high);
    }
    b->attn_scale = (float)((double)b->attn_scale * (double)size * (double)size);
    return TERN_OK;
}

TernStatus tn_arch_read_rope(TnArchBuild *b) {
    TnArchRope *r = &b->rope;
    uint64_t context = b->facts.n_context;
    float more = 1;
    b->rope_base = 10000.0f;
    TN_TRY(tn_gguf_float(b->gg, tn_arch_key(b, "rope.freq_base"), false, 1, 1e12, &b->rope_base, b->err));
    TN_TRY(scaling_type(b));
    TN_TRY(factor(b));
    TN_TRY(tn_gguf_uint(b->gg, tn_arch_key(b, "rope.scaling.original_context_length"), false, 1, 1 << 24,
                        &context, b->err));
    r->context = (uint32_t)context;
    TN_TRY(of_type(b));
    TN_TRY(number(b, "rope.scaling.attn_factor", 1e-3, 1e3, &more));
    b->attn_scale = (float)((double)b->attn_scale * (double)more * (double)more);
    r->long_factors = r->scaling == TN_ROPE_LONGROPE && b->options->context > r->context;
    if (r->scaling == TN_ROPE_LONGROPE && !r->long_factors && b->facts.n_context > r->context)
        b->facts.n_context = r->context;
    return TERN_OK;
}

/* ---- Factors */

/* The pair of a head that turns `turns` times in the context. */
static double turning(const TnArchBuild *b, double turns, double base) {
    uint32_t n = b->facts.head_dim / 2;
    return n * tn_log(b->rope.context / (turns * TWO_PI)) / tn_log(base);
}

static double yarn(const TnArchBuild *b, double base, uint32_t i) {
    double last = b->facts.head_dim - 1.0;
    double low = fmax(0, floor(turning(b, (double)b->rope.fast, base)));
    double high = fmin(last, ceil(turning(b, (double)b->rope.slow, base)));
    double slowed = fmin(fmax((i - low) / fmax(high - low, 0.001), 0), 1);
    return 1 / (slowed / (double)b->rope.factor + (1 - slowed));
}

static double llama3(const TnArchBuild *b, double base, uint32_t i) {
    double wave = TWO_PI * tn_pow(base, 2.0 * i / b->facts.head_dim), turns = b->rope.context / wave;
    double low = (double)b->rope.low, high = (double)b->rope.high;
    double kept = fmin(fmax((turns - low) / (high - low), 0), 1);
    return 1 / ((1 - kept) / (double)b->rope.factor + kept);
}

static double factor_of(const TnArchBuild *b, double base, uint32_t i) {
    switch (b->rope.scaling) {
    case TN_ROPE_LINEAR:
        return (double)b->rope.factor;
    case TN_ROPE_YARN:
        return yarn(b, base, i);
    case TN_ROPE_LLAMA3:
        return llama3(b, base, i);
    case TN_ROPE_PLAIN:
    case TN_ROPE_LONGROPE:
        break;
    }
    return 1;
}

/* Finds and checks the file's tensor of factors; NULL if it has none. */
static const TnGgufTensor *stored_factors(TnArchBuild *b, const char *name) {
    if (!tn_arch_has_tensor(b->arch, false, name)) return NULL;
    const TnGgufTensor *t = tn_arch_tensor(b, TN_NO_LAYER, name);
    if (!t) return NULL;
    if (t->enc != TN_ENC_f32) {
        b->status = tn_fail(b->err, TERN_ERR_UNSUPPORTED, "%s: tensor %s has type %s, expected f32",
                            b->gg->path, name, tn_encs[t->enc].name);
        return NULL;
    }
    for (uint64_t i = 0; i < t->ne[0]; i++) {
        float f;
        memcpy(&f, t->data + 4 * i, 4);
        if (f >= 1e-6f && f <= 1e6f) continue;
        b->status = tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor %s holds %g at %llu, expected 1e-6 to 1e6",
                            b->gg->path, name, (double)f, (unsigned long long)i);
        return NULL;
    }
    return t;
}

/* Makes f, or returns TN_NONE if it is 1 everywhere. */
static TnRef factors(TnArchBuild *b, double base, const char *node) {
    static const char few[] = "rope_factors_short.weight", many[] = "rope_factors_long.weight";
    bool longrope = b->rope.scaling == TN_ROPE_LONGROPE;
    const char *name = !longrope ? "rope_freqs.weight" : b->rope.long_factors ? many : few;
    if (longrope && !tn_arch_has_tensor(b->arch, false, few)) {
        b->status =
            tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                    "%s: %s.rope.scaling.type is longrope, whose factors have no place in architecture %s",
                    b->gg->path, b->facts.arch, b->facts.arch);
        return TN_NONE;
    }
    const TnGgufTensor *t = stored_factors(b, name);
    if (longrope) (void)stored_factors(b, b->rope.long_factors ? few : many);
    if (b->status != TERN_OK) return TN_NONE;
    if (longrope && !t) {
        b->status = tn_fail(b->err, TERN_ERR_INPUT, "%s: tensor %s is missing, which longrope needs",
                            b->gg->path, name);
        return TN_NONE;
    }
    float values[512];
    uint32_t n = b->facts.head_dim / 2;
    bool computed = false;
    TN_CHECK(n <= TN_COUNT(values));
    bool written = t && b->rope.scaling == TN_ROPE_LLAMA3; /* the tensor holds what the keys would give */
    for (uint32_t i = 0; i < n; i++) {
        double f = written ? 1 : factor_of(b, base, i);
        float stored = 1;
        computed |= f != 1;
        if (t) memcpy(&stored, t->data + 4 * i, 4);
        values[i] = (float)(f * (double)stored);
    }
    if (!computed) return t ? tn_arch_vector(b, TN_NO_LAYER, name) : TN_NONE;
    TnType type = tn_type(TN_ENC_f32, 1, (TnDim)n);
    TnAttr attr = {.key = TN_ATTR_values, .n = n, .fs = values};
    return tn_node_add(b->g, TN_OP_const, node, &type, NULL, 0, &attr, 1);
}

/* ---- Blocks */

static TnRef angle(TnArchBuild *b, float base, bool scaled) {
    const char *more = b->n_angles++ ? tn_sprintf(&b->gg->arena, "%u", b->n_angles) : "";
    TnRef f = TN_NONE;
    if (scaled) f = factors(b, (double)base, tn_sprintf(&b->gg->arena, "rope%s.factors", more));
    if (b->status != TERN_OK) return TN_NONE;
    TnType type = tn_type(TN_ENC_f32, 2, (TnDim)2, (TnDim)(b->facts.head_dim / 2));
    TnAttr attr = {.key = TN_ATTR_base, .f = base};
    TnRef freq = tn_node_add(b->g, TN_OP_rope_freq, tn_sprintf(&b->gg->arena, "rope%s", more), &type, &f,
                             f != TN_NONE, &attr, 1);
    return tn_block_op_attrs(b, TN_OP_rope_angle, tn_sprintf(&b->gg->arena, "angle%s", more),
                             (TnRef[]){b->pos, freq}, 2, NULL, 0);
}

TnRef tn_block_angle(TnArchBuild *b, float base) {
    return angle(b, base, true);
}
TnRef tn_block_angle_unscaled(TnArchBuild *b, float base) {
    return angle(b, base, false);
}

TnRef tn_block_rope(TnArchBuild *b, TnRef angle, TnRef x) {
    TnAttr mode = {.key = TN_ATTR_mode, .s = b->arch->rope};
    return tn_block_op_attrs(b, TN_OP_rope, NULL, (TnRef[]){x, angle}, 2, &mode, 1);
}
