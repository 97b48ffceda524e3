#include "support/gguf_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/gguf_blocks.h"
#include "support/gguf_trits.h"
#include "runtime/base/arena.h"
#include "runtime/base/half.h"

const TnGmSpec tn_gm_small = {.arch = "bitnet-b1.58",
                              .hidden = 256,
                              .ffn = 512,
                              .layers = 2,
                              .heads = 4,
                              .kv_heads = 2,
                              .context = 128,
                              .vocab = 300,
                              .weights = GW_T_I2_S,
                              .embd = GW_T_F16,
                              .norms = GW_T_F32,
                              .rope_base = 10000.0f,
                              .eps = 1e-5f,
                              .seed = 1};

const TnGmSpec tn_gm_tiny = {.arch = "bitnet-b1.58",
                             .hidden = 128,
                             .ffn = 256,
                             .layers = 2,
                             .heads = 4,
                             .kv_heads = 2,
                             .context = 64,
                             .vocab = 100,
                             .weights = GW_T_I2_S,
                             .embd = GW_T_F16,
                             .norms = GW_T_F32,
                             .rope_base = 10000.0f,
                             .eps = 1e-5f,
                             .seed = 1};

const TnGmArch tn_gm_archs[] = {{.name = "bitnet-b1.58", .relu2 = true, .sub_norms = true},
                                {.name = "bitnet-25", .relu2 = true, .sub_norms = true},
                                {.name = "bitnet", .sub_norms = true, .linear_scaling = true},
                                {.name = "llama", .pairs = true},
                                {.name = "qwen3", .head_norms = true, .may_norm_in = true},
                                {.name = "qwen2", .biases = true},
                                {.name = "minicpm", .pairs = true, .three_scales = true},
                                {.name = "gemma3",
                                 .gelu = true,
                                 .head_norms = true,
                                 .root_scale = true,
                                 .post_norms = true,
                                 .may_norm_in = true,
                                 .period = 6},
                                {.name = NULL}};

const float tn_gm_scales[3] = {12.0f, 0.9f, 1.75f};

const TnGmArch *tn_gm_arch(const char *name) {
    for (const TnGmArch *a = tn_gm_archs; a->name; a++)
        if (strcmp(a->name, name) == 0) return a;
    return NULL;
}

void tn_gm_arch_list(TnBuf *out) {
    for (const TnGmArch *a = tn_gm_archs; a->name; a++)
        tn_buf_printf(out, "%s%s", a == tn_gm_archs ? "" : a[1].name ? ", " : " or ", a->name);
}

static const struct {
    const char *name;
    uint32_t hidden, ffn, layers, heads, kv_heads, context, vocab;
    float base;
} shapes[] = {
    {"tiny", 256, 768, 2, 4, 2, 512, 384, 10000.0f},
    {"odd", 192, 448, 2, 3, 1, 256, 384,
     10000.0f}, /* rows not a multiple of 128: i2_s, f32, f16, bf16 only */
    {"small", 512, 1536, 6, 8, 2, 1024, 384, 10000.0f},
    {"700m", 1536, 4096, 24, 16, 16, 2048, 32002, 10000.0f},
    {"2b4t", 2560, 6912, 30, 20, 5, 4096, 128256, 500000.0f},
    {"3b", 3328, 8704, 26, 26, 26, 2048, 32002, 10000.0f},
    {"8b", 4096, 14336, 32, 32, 8, 8192, 128256, 500000.0f},
};

bool tn_gm_shape(const char *name, TnGmSpec *io) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, name) == 0) {
            io->hidden = shapes[i].hidden;
            io->ffn = shapes[i].ffn;
            io->layers = shapes[i].layers;
            io->heads = shapes[i].heads;
            io->kv_heads = shapes[i].kv_heads;
            io->head_dim = 0;
            io->context = shapes[i].context;
            io->vocab = shapes[i].vocab;
            io->rope_base = shapes[i].base;
            return true;
        }
    return false;
}

static const struct {
    const char *name;
    uint32_t type;
} types[] = {{"f32", GW_T_F32},       {"f16", GW_T_F16},
             {"bf16", GW_T_BF16},     {"q8_0", GW_T_Q8_0},
             {"q6_k", GW_T_Q6_K},     {"q4_0", GW_T_Q4_0},
             {"q4_1", GW_T_Q4_1},     {"q5_0", GW_T_Q5_0},
             {"q5_1", GW_T_Q5_1},     {"q4_k", GW_T_Q4_K},
             {"q5_k", GW_T_Q5_K},     {"mxfp4", GW_T_MXFP4},
             {"tq1_0", GW_T_TQ1_0},   {"tq2_0", GW_T_TQ2_0},
             {"i2_s", GW_T_I2_S},     {"tl1", GW_T_TL1},
             {"tl2", GW_T_TL2},       {"iq1_bn", GW_T_IQ1_BN},
             {"iq2_bn", GW_T_IQ2_BN}, {"iq2_bn_r4", GW_T_IQ2_BN_R4},
             {"q2_0", GW_T_Q2_0},     {"q2_0_g128", GW_T_Q2_0_128},
             {"pq2_0", GW_T_PQ2_0},   {"ptq1_0", GW_T_PTQ1_0},
             {"i8_s", GW_T_I8_S}};

uint32_t tn_gm_type(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) return types[i].type;
    return UINT32_MAX;
}
const char *tn_gm_type_name(uint32_t type) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type) return types[i].name;
    return "?";
}

uint32_t tn_gm_head_dim(const TnGmSpec *s) {
    return s->head_dim ? s->head_dim : s->hidden / s->heads;
}

static bool is_float(uint32_t type) {
    return type == GW_T_F32 || type == GW_T_F16 || type == GW_T_BF16;
}
bool tn_gm_is_trits(uint32_t type) {
    return type == GW_T_I2_S || type == GW_T_TQ1_0 || type == GW_T_TQ2_0 || type == GW_T_TL1 ||
           type == GW_T_TL2 || type == GW_T_IQ1_BN || type == GW_T_IQ2_BN || type == GW_T_IQ2_BN_R4 ||
           type == GW_T_Q2_0 || type == GW_T_Q2_0_128 || type == GW_T_PQ2_0 || type == GW_T_PTQ1_0;
}
bool tn_gm_is_ternary(const TnGmSpec *s) {
    return tn_gm_is_trits(s->weights) || (s->ternary && is_float(s->weights));
}

static uint32_t block(uint32_t type) {
    if (type == GW_T_IQ1_BN || type == GW_T_IQ2_BN || type == GW_T_IQ2_BN_R4 || type == GW_T_Q2_0) return 64;
    if (type == GW_T_Q2_0_128 || type == GW_T_PQ2_0 || type == GW_T_PTQ1_0 || type == GW_T_TL1) return 128;
    if (type == GW_T_TL2) return 256;
    if (tn_gb_block(type).elems) return tn_gb_block(type).elems;
    return type == GW_T_Q8_0 ? 32 : type == GW_T_Q6_K || type == GW_T_TQ1_0 || type == GW_T_TQ2_0 ? 256 : 1;
}

bool tn_gm_fits(const TnGmSpec *s) {
    uint64_t h = s->hidden, wide = (uint64_t)s->heads * tn_gm_head_dim(s),
             narrow = (uint64_t)s->kv_heads * tn_gm_head_dim(s);
    if (h % block(s->embd)) return false;
    if (s->weights == GW_T_I2_S) return h * wide % 128 == 0 && h * narrow % 128 == 0 && h * s->ffn % 128 == 0;
    uint32_t b = block(s->weights);
    return h % b == 0 && wide % b == 0 && s->ffn % b == 0;
}

/* ---- random numbers: splitmix64 from the seed and the name */

typedef struct Rng {
    uint64_t state;
} Rng;

static uint64_t next(Rng *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static Rng rng_of(const TnGmSpec *s, const char *name) {
    Rng r = {s->seed * 0xd1342543de82ef95u + 0x632be59bd9b4e019u};
    for (const char *p = name; *p; p++) r.state = (next(&r) ^ (uint8_t)*p) * 0x2545f4914f6cdd1du;
    return r;
}
/* Approximately normal: the sum of four uniform numbers, with standard deviation 1. */
static float normal(Rng *r) {
    uint64_t z = next(r);
    int32_t sum = (int32_t)(z & 0xffff) + (int32_t)(z >> 16 & 0xffff) + (int32_t)(z >> 32 & 0xffff) +
                  (int32_t)(z >> 48);
    return (float)(sum - 131070) * (1.7320508f / 65536.0f);
}
static float unit(Rng *r) { /* [0, 1) */
    return (float)(next(r) >> 40) * 0x1p-24f;
}
/* One in three is zero. */
static void trits(Rng *r, int8_t *out, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        uint64_t z = next(r);
        for (size_t j = i; j < i + 8 && j < n; j++, z >>= 8)
            out[j] = (int8_t)(((z & 0xff) >= 171) - ((z & 0xff) < 86));
    }
}

/* ---- what a tensor holds */

typedef enum Kind { TRITS, NORMAL, NORM, FREQS, SCALE, BIAS } Kind;

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}
static Kind kind_of(const TnGmSpec *s, const char *name) {
    if (strcmp(name, "rope_freqs.weight") == 0) return FREQS;
    if (ends_with(name, "norm.weight") || ends_with(name, "_norm_in.weight")) return NORM;
    if (ends_with(name, ".scale")) return SCALE;
    if (ends_with(name, ".bias")) return BIAS;
    return (strncmp(name, "blk.", 4) == 0 ? tn_gm_is_ternary(s) : tn_gm_is_trits(s->embd)) ? TRITS : NORMAL;
}

static double half_value(uint16_t h) { /* finite ones */
    int e = h >> 10 & 31, m = h & 1023;
    double v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}
static double bf16_value(uint16_t h) {
    return (double)tn_bits_f32((uint32_t)h << 16);
}
static float round_to(uint32_t type, float f) {
    if (type == GW_T_BF16) return (float)bf16_value(tn_f32_to_bf16(f));
    if (type == GW_T_F32 || type == GW_T_I2_S) return f;
    return (float)half_value(tn_f32_to_f16(f));
}

static float ternary_scale(const TnGmSpec *s, const char *name, uint32_t type, uint64_t cols) {
    Rng r = rng_of(s, name);
    return round_to(type, (0.8f + 0.4f * unit(&r)) / sqrtf(0.66f * (float)cols));
}

/* The i-th row of floats of a tensor, before it is rounded to its type. */
static void draw(const TnGmSpec *s, Kind kind, Rng *r, float *out, size_t n, uint64_t cols) {
    float sd = 1.0f / sqrtf((float)cols);
    for (size_t i = 0; i < n; i++) switch (kind) {
        case NORM:
            out[i] = 1.0f + 0.1f * normal(r);
            break;
        case FREQS:
            out[i] = n > 1 ? 1.0f + 7.0f * (float)i / (float)(n - 1) : 1.0f;
            break;
        case SCALE:
            out[i] = tn_gm_is_ternary(s) ? 0.5f + unit(r) : 1.0f;
            break;
        case BIAS:
            out[i] = 0.3f * normal(r);
            break;
        default:
            out[i] = normal(r) * sd;
        }
}

/* ---- packing. Each also gives the exact value of what it wrote, if `values` is not NULL. */

static void pack_float(uint32_t type, const float *x, size_t n, uint8_t *out, double *values) {
    for (size_t i = 0; i < n; i++) {
        uint16_t h = type == GW_T_F16 ? tn_f32_to_f16(x[i]) : tn_f32_to_bf16(x[i]);
        if (type == GW_T_F32)
            memcpy(out + 4 * i, &x[i], 4);
        else
            memcpy(out + 2 * i, &h, 2);
        if (values)
            values[i] = type == GW_T_F32 ? (double)x[i] : type == GW_T_F16 ? half_value(h) : bf16_value(h);
    }
}

static float peak(const float *x, size_t n) {
    float m = 0.0f;
    for (size_t i = 0; i < n; i++) m = fabsf(x[i]) > m ? fabsf(x[i]) : m;
    return m;
}
static int clamp(double v, int lo, int hi) {
    double r = rint(v);
    return r < lo ? lo : r > hi ? hi : (int)r;
}

static void pack_q8_0(const float *x, size_t n, uint8_t *out, double *values) {
    for (size_t b = 0; b < n / 32; b++, x += 32, out += 34) {
        uint16_t h = tn_f32_to_f16(peak(x, 32) / 127.0f);
        double d = half_value(h);
        memcpy(out, &h, 2);
        for (size_t i = 0; i < 32; i++) {
            int q = d > 0 ? clamp(x[i] / d, -127, 127) : 0;
            out[2 + i] = (uint8_t)q;
            if (values) values[32 * b + i] = d * q;
        }
    }
}

/* 16 groups of 16 with a scale each; the low four bits of a code apart from the high two. */
static void pack_q6_k(const float *x, size_t n, uint8_t *out, double *values) {
    for (size_t b = 0; b < n / 256; b++, x += 256, out += 210) {
        uint16_t h = tn_f32_to_f16(peak(x, 256) / 31.0f / 127.0f);
        double d = half_value(h);
        memset(out, 0, 210);
        memcpy(out + 208, &h, 2);
        for (size_t i = 0; i < 256; i++) {
            size_t half = i / 128, part = i % 128 / 32, l = i % 32; /* part: which 32 of the half */
            int sc = d > 0 ? clamp(peak(x + i / 16 * 16, 16) / 31.0 / d, 1, 127) : 1;
            int q = d > 0 ? clamp(x[i] / (d * sc), -32, 31) : 0, code = q + 32;
            out[192 + i / 16] = (uint8_t)sc;
            out[64 * half + 32 * (part % 2) + l] |= (uint8_t)((code & 15) << (part / 2 * 4));
            out[128 + 32 * half + l] |= (uint8_t)((code >> 4) << (2 * part));
            if (values) values[256 * b + i] = d * sc * q;
        }
    }
}

/* One scale for the whole tensor, after its codes: that of four standard deviations of what draw() gives. */
static float i8_s_scale(uint64_t cols) {
    return 4.0f / sqrtf((float)cols) / 127.0f;
}
static void pack_i8_s(const float *x, size_t n, float scale, uint8_t *out, double *values) {
    for (size_t i = 0; i < n; i++) {
        int q = clamp((double)x[i] / (double)scale, -127, 127);
        out[i] = (uint8_t)q;
        if (values) values[i] = (double)(scale * (float)q);
    }
}

static void pack_i2_s(const int8_t *t, size_t n, float scale, uint8_t *out) {
    for (size_t b = 0; b < n / 128; b++, t += 128)
        for (size_t i = 0; i < 32; i++)
            *out++ =
                (uint8_t)((t[i] + 1) << 6 | (t[32 + i] + 1) << 4 | (t[64 + i] + 1) << 2 | (t[96 + i] + 1));
    memcpy(out, &scale, 4);
    memset(out + 4, 0xa5, 28); /* as the C quantizer leaves it: anything */
}

static void pack_tq2_0(const int8_t *t, size_t n, const float *scales, uint8_t *out) {
    for (size_t b = 0; b < n / 256; b++, t += 256) {
        for (size_t half = 0; half < 2; half++)
            for (size_t i = 0; i < 32; i++) {
                const int8_t *p = t + 128 * half + i;
                *out++ = (uint8_t)((p[0] + 1) | (p[32] + 1) << 2 | (p[64] + 1) << 4 | (p[96] + 1) << 6);
            }
        uint16_t h = tn_f32_to_f16(scales[b]);
        memcpy(out, &h, 2);
        out += 2;
    }
}

/* Up to five digits as a fraction of 243, rounded up to one of 256. */
static uint8_t base3(const int8_t *t, size_t step, int digits) {
    unsigned q = 0;
    for (int i = 0; i < 5; i++) q = q * 3 + (i < digits ? (unsigned)(t[(size_t)i * step] + 1) : 0);
    return (uint8_t)((q * 256 + 242) / 243);
}
static void pack_tq1_0(const int8_t *t, size_t n, const float *scales, uint8_t *out) {
    for (size_t b = 0; b < n / 256; b++, t += 256) {
        for (size_t i = 0; i < 32; i++) *out++ = base3(t + i, 32, 5);
        for (size_t i = 0; i < 16; i++) *out++ = base3(t + 160 + i, 16, 5);
        for (size_t i = 0; i < 4; i++) *out++ = base3(t + 240 + i, 4, 4);
        uint16_t h = tn_f32_to_f16(scales[b]);
        memcpy(out, &h, 2);
        out += 2;
    }
}

/* Rows of gate and up that are zero: which, follows from the seed and the layer, so that both know. */
static void kill_rows(const TnGmSpec *s, const char *name, int8_t *t, uint64_t rows, uint64_t cols) {
    bool gate = strstr(name, ".ffn_gate.") != NULL;
    if (!(s->dead > 0) || (!gate && !strstr(name, ".ffn_up."))) return;
    char layer[64];
    snprintf(layer, sizeof layer, "%.*s.dead", (int)(strstr(name, ".ffn_") - name), name);
    Rng r = rng_of(s, layer);
    for (uint64_t i = 0; i < rows; i++) {
        float u = unit(&r) / s->dead;
        bool one = next(&r) & 1;
        if (u < 1 || (u < 2 && one == gate)) memset(t + i * cols, 0, cols);
    }
}

/* Those of blocks: all alike, or a half to one and a half times that. */
static float *block_scales(const TnGmSpec *s, const char *name, uint32_t type, float scale, uint64_t n,
                           bool own) {
    char key[96];
    snprintf(key, sizeof key, "%s.blocks", name);
    Rng r = rng_of(s, key);
    float *out = tn_xcalloc(n, sizeof *out);
    for (uint64_t i = 0; i < n; i++) out[i] = own ? round_to(type, scale * (0.5f + unit(&r))) : scale;
    return out;
}

/* Bytes and values of a tensor; each may be NULL. */
static void make(const TnGmSpec *s, const char *name, uint32_t type, uint64_t rows, uint64_t cols,
                 uint8_t *bytes, double *values, double *out_scale) {
    Kind kind = kind_of(s, name);
    Rng r = rng_of(s, name);
    uint8_t *own = bytes ? NULL : tn_xcalloc(tn_gw_tensor_bytes(type, 2, (uint64_t[]){cols, rows}), 1);
    uint8_t *out = bytes ? bytes : own;
    double scale = 1.0;
    if (kind == TRITS) {
        float sc = ternary_scale(s, name, type, cols);
        int8_t *t = tn_xcalloc(rows * cols, 1);
        trits(&r, t, rows * cols);
        kill_rows(s, name, t, rows, cols);
        bool own_scales = s->grouped && tn_gt_group(type);
        uint64_t group = tn_gt_group(type) && tn_gt_group(type) < cols ? tn_gt_group(type) : cols;
        float *scales = block_scales(s, name, type, sc, rows * cols / group, own_scales);
        scale = own_scales ? 1.0 : sc;
        if (values)
            for (size_t i = 0; i < rows * cols; i++)
                values[i] = own_scales ? t[i] * (double)scales[i / group] : t[i];
        if (type == GW_T_I2_S) pack_i2_s(t, rows * cols, sc, out);
        if (type == GW_T_TQ1_0) pack_tq1_0(t, rows * cols, scales, out);
        if (type == GW_T_TQ2_0) pack_tq2_0(t, rows * cols, scales, out);
        tn_gt_pack(type, t, rows, cols, scales, out);
        if (is_float(type)) {
            float *x = tn_xcalloc(rows * cols, sizeof *x);
            for (size_t i = 0; i < rows * cols; i++) x[i] = (float)t[i] * sc;
            pack_float(type, x, rows * cols, out, NULL);
            free(x);
        }
        free(scales);
        free(t);
    } else {
        float *x = tn_xcalloc(cols, sizeof *x);
        size_t row_bytes = type == GW_T_I8_S ? cols : tn_gw_tensor_bytes(type, 1, &cols);
        for (uint64_t i = 0; i < rows; i++, out += row_bytes) {
            double *v = values ? values + i * cols : NULL;
            draw(s, kind, &r, x, cols, cols);
            if (s->outliers > 0 && strstr(name, ".ffn_sub_norm."))
                for (uint64_t j = 0; j < cols; j += 100) x[j] *= s->outliers;
            if (type == GW_T_Q8_0)
                pack_q8_0(x, cols, out, v);
            else if (type == GW_T_Q6_K)
                pack_q6_k(x, cols, out, v);
            else if (type == GW_T_I8_S)
                pack_i8_s(x, cols, i8_s_scale(cols), out, v);
            else if (tn_gb_block(type).elems)
                tn_gb_pack(type, x, cols, out, v);
            else
                pack_float(type, x, cols, out, v);
        }
        if (type == GW_T_I8_S) {
            float scale = i8_s_scale(cols);
            memcpy(out, &scale, 4);
            memset(out + 4, 0xa5, 28);
        }
        free(x);
    }
    if (out_scale) *out_scale = scale;
    free(own);
}

static uint32_t type_of(const TnGmSpec *s, const char *name) {
    switch (kind_of(s, name)) {
    case FREQS:
    case SCALE:
        return GW_T_F32;
    case NORM:
    case BIAS:
        return s->norms;
    default:
        return strncmp(name, "blk.", 4) == 0 ? s->weights : s->embd;
    }
}

void tn_gm_values(const TnGmSpec *s, const char *name, uint64_t rows, uint64_t cols, double *out,
                  double *out_scale) {
    make(s, name, type_of(s, name), rows, cols, NULL, out, out_scale);
}

/* ---- the file */

static void fill_matrix(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    const TnGmSpec *s = ctx;
    uint64_t h = s->hidden, wide = (uint64_t)s->heads * tn_gm_head_dim(s),
             narrow = (uint64_t)s->kv_heads * tn_gm_head_dim(s), rows = 1, cols = h;
    (void)bytes;
    if (strncmp(name, "blk.", 4) != 0)
        rows = s->vocab;
    else if (strstr(name, "attn_q"))
        rows = wide;
    else if (strstr(name, "attn_k") || strstr(name, "attn_v"))
        rows = narrow;
    else if (strstr(name, "attn_output"))
        rows = h, cols = wide;
    else if (strstr(name, "ffn_down"))
        rows = h, cols = s->ffn;
    else
        rows = s->ffn;
    make(s, name, type_of(s, name), rows, cols, out, NULL, NULL);
}
static void fill_vector(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    const TnGmSpec *s = ctx;
    uint32_t type = type_of(s, name);
    make(s, name, type, 1, bytes / (type == GW_T_F32 ? 4 : 2), out, NULL, NULL);
}

static void vector(TnGw *w, const TnGmSpec *s, const char *name, uint64_t n) {
    tn_gw_tensor(w, name, type_of(s, name), 1, &n, fill_vector, (void *)(uintptr_t)s);
}
static void matrix(TnGw *w, const TnGmSpec *s, const char *name, uint64_t rows, uint64_t cols) {
    uint64_t ne[2] = {cols, rows};
    tn_gw_tensor(w, name, type_of(s, name), 2, ne, fill_matrix, (void *)(uintptr_t)s);
}

static void tensors(TnGw *w, const TnGmSpec *s, const TnGmArch *arch) {
    uint64_t h = s->hidden, head = tn_gm_head_dim(s), wide = s->heads * head, narrow = s->kv_heads * head;
    const struct {
        const char *name;
        uint64_t rows, cols; /* rows 0: a norm */
    } list[] = {{"attn_norm", 0, h},         {"attn_q", wide, h},      {"attn_k", narrow, h},
                {"attn_v", narrow, h},       {"attn_q_norm", 0, head}, {"attn_k_norm", 0, head},
                {"attn_sub_norm", 0, wide},  {"attn_output", h, wide}, {"post_attention_norm", 0, h},
                {"ffn_norm", 0, h},          {"ffn_gate", s->ffn, h},  {"ffn_up", s->ffn, h},
                {"ffn_sub_norm", 0, s->ffn}, {"ffn_down", h, s->ffn},  {"post_ffw_norm", 0, h}};
    matrix(w, s, "token_embd.weight", s->vocab, h);
    vector(w, s, "output_norm.weight", h);
    if (s->rope_freqs) vector(w, s, "rope_freqs.weight", head / 2);
    if (s->untied) matrix(w, s, "output.weight", s->vocab, h);
    for (uint32_t l = 0; l < s->layers; l++)
        for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
            char name[64];
            if (!arch->sub_norms && strstr(list[i].name, "sub_norm")) continue;
            if (!arch->post_norms && strncmp(list[i].name, "post_", 5) == 0) continue;
            if (!arch->head_norms && (strstr(list[i].name, "q_norm") || strstr(list[i].name, "k_norm")))
                continue;
            snprintf(name, sizeof name, "blk.%u.%s.weight", l, list[i].name);
            if (list[i].rows == 0) {
                vector(w, s, name, list[i].cols);
                continue;
            }
            matrix(w, s, name, list[i].rows, list[i].cols);
            snprintf(name, sizeof name, "blk.%u.%s_norm_in.weight", l, list[i].name);
            if (s->norms_in) vector(w, s, name, list[i].cols);
            snprintf(name, sizeof name, "blk.%u.%s.scale", l, list[i].name);
            if (s->scales) vector(w, s, name, 1);
            snprintf(name, sizeof name, "blk.%u.%s.bias", l, list[i].name);
            if (arch->biases && i >= 1 && i <= 3) vector(w, s, name, list[i].rows);
        }
}

/* GPT-2's spelling of a byte, as UTF-8. */
static void spell(int byte, char out[4]) {
    int code = byte, extra = 0;
    bool kept = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    for (int b = 0; b < byte; b++) extra += !((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174);
    if (!kept) code = 256 + extra;
    memset(out, 0, 4);
    if (code < 128) {
        out[0] = (char)code;
    } else {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
    }
}

/* All bytes, or as many from the blank on as there is room for, then begin, end and padding. */
static void vocabulary(TnGw *w, const TnGmSpec *s) {
    uint32_t n = s->vocab, bytes = n < 258 ? n - 2 : 256;
    char(*text)[24] = tn_xcalloc(n, sizeof *text);
    const char **tokens = tn_xcalloc(n, sizeof *tokens);
    int32_t *kinds = tn_xcalloc(n, sizeof *kinds);
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = text[i];
        kinds[i] = i < bytes ? 1 : i < bytes + 2 ? 3 : 4;
        if (i < bytes)
            spell(bytes < 256 ? (int)(i + 32) % 256 : (int)i, text[i]);
        else if (i < bytes + 2)
            strcpy(text[i], i == bytes ? "<|begin_of_text|>" : "<|end_of_text|>");
        else
            snprintf(text[i], sizeof text[i], "<|reserved_%u|>", i);
    }
    tn_gw_str(w, "tokenizer.ggml.model", "gpt2");
    tn_gw_str(w, "tokenizer.ggml.pre", "gpt-2");
    tn_gw_strs(w, "tokenizer.ggml.tokens", tokens, n);
    tn_gw_array(w, "tokenizer.ggml.token_type", GW_I32, kinds, n, sizeof *kinds);
    tn_gw_strs(w, "tokenizer.ggml.merges", NULL, 0);
    tn_gw_u32(w, "tokenizer.ggml.bos_token_id", bytes);
    tn_gw_u32(w, "tokenizer.ggml.eos_token_id", bytes + 1);
    tn_gw_bool(w, "tokenizer.ggml.add_bos_token", 1);
    free(text);
    free(tokens);
    free(kinds);
}

TnGw *tn_gm_create(const TnGmSpec *s) {
    TnGw *w = tn_gw_create();
    const TnGmArch *arch = tn_gm_arch(s->arch);
    if (!arch) abort();
    const struct {
        const char *key;
        uint32_t value;
    } counts[] = {{"vocab_size", s->vocab},
                  {"context_length", s->context},
                  {"embedding_length", s->hidden},
                  {"block_count", s->layers},
                  {"feed_forward_length", s->ffn},
                  {"rope.dimension_count", tn_gm_head_dim(s)},
                  {"attention.head_count", s->heads},
                  {"attention.head_count_kv", s->kv_heads},
                  {"attention.key_length", s->head_dim},
                  {"attention.value_length", s->head_dim},
                  {"attention.sliding_window", s->window},
                  {"attention.sliding_window_pattern", s->period},
                  {"rope.scaling.original_context_length", s->scaling_context}};
    char key[64];
    tn_gw_str(w, "general.architecture", s->arch);
    tn_gw_str(w, "general.name", "random");
    if (s->alignment) {
        tn_gw_u32(w, "general.alignment", s->alignment);
        tn_gw_alignment(w, s->alignment);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        snprintf(key, sizeof key, "%s.%s", s->arch, counts[i].key);
        if (counts[i].value) tn_gw_u32(w, key, counts[i].value);
    }
    snprintf(key, sizeof key, "%s.rope.freq_base", s->arch);
    tn_gw_f32(w, key, s->rope_base);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", s->arch);
    tn_gw_f32(w, key, s->eps);
    if (s->scaling || arch->linear_scaling) {
        snprintf(key, sizeof key, "%s.rope.scaling.type", s->arch);
        tn_gw_str(w, key, s->scaling ? s->scaling : "linear");
        snprintf(key, sizeof key, "%s.rope.scaling.factor", s->arch);
        tn_gw_f32(w, key, s->scaling ? s->scaling_factor : 1.0f);
    }
    static const char *const scales[] = {"embedding_scale", "residual_scale", "logit_scale"};
    for (int i = 0; arch->three_scales && i < 3; i++) {
        snprintf(key, sizeof key, "%s.%s", s->arch, scales[i]);
        tn_gw_f32(w, key, tn_gm_scales[i]);
    }
    if (s->activation) {
        snprintf(key, sizeof key, "%s.hidden_activation", s->arch);
        tn_gw_str(w, key, s->activation);
    }
    if (!s->no_vocab) vocabulary(w, s);
    tensors(w, s, arch);
    return w;
}

void tn_gm_bytes(const TnGmSpec *s, TnBuf *out) {
    TnGw *w = tn_gm_create(s);
    tn_gw_bytes(w, out, NULL, NULL);
    tn_gw_destroy(w);
}
