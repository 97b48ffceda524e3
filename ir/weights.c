/* SOURCE values, row by row. Every op gives a row either as floats or as trits, as its type says;
 * tn_weight_rows puts it into the layout. A row is a function of its index alone, so any split of the rows
 * gives the same bytes. */
#include "ir/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/internal.h"
#include "ir/screen.h"
#include "runtime/base/fmath.h"
#include "runtime/base/reader.h"

enum { MAX_DEPTH = 256 }; /* recursion; texts from outside may nest packs without end */

typedef struct Source {
    const TnGraph *g;
    const TnWeights *w;
    int depth;
    const void **found; /* by ref: bytes of gguf nodes met so far */
    float *temp;        /* a row of floats, for ops that need one beside their result */
    TernError *err;
} Source;

/* One of the two is set: what the reader wants. */
typedef struct Row {
    float *f;
    int8_t *t;
} Row;

typedef TernStatus SourceFn(Source *s, TnRef ref, int64_t row, Row out);

static SourceFn source_row;

static TernStatus find_raw(Source *s, TnRef ref, const void **out) {
    const TnNode *n = &s->g->nodes[ref];
    if (!s->found[ref]) {
        const char *name = tn_attr_str(n, TN_ATTR_name);
        size_t bytes = 0, want = tn_raw_bytes(&n->type);
        const void *p = s->w && s->w->find ? s->w->find(s->w->ctx, name, &bytes) : NULL;
        if (!p) return tn_fail(s->err, TERN_ERR_INPUT, "tensor %s: not in the model file", name);
        if (bytes != want) {
            TnBuf type = {0};
            tn_print_type(&n->type, &type);
            TernStatus st = tn_fail(s->err, TERN_ERR_INPUT, "tensor %s: has %zu bytes, wanted %zu for %.100s",
                                    name, bytes, want, type.data);
            tn_buf_free(&type);
            return st;
        }
        s->found[ref] = p;
    }
    *out = s->found[ref];
    return TERN_OK;
}

static TernStatus source_gguf(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    const void *raw = NULL;
    if (n->type.enc == TN_ENC_t8)
        return tn_fail(s->err, TERN_ERR_UNSUPPORTED,
                       "gguf $%s: no tensor of a file is t8, wanted its stored type and a pack", n->name);
    TN_TRY(find_raw(s, ref, &raw));
    if (out.t)
        tn_decode_trits(&n->type, raw, row, out.t);
    else
        tn_decode_raw(&n->type, raw, row, out.f);
    return TERN_OK;
}

static uint64_t splitmix(uint64_t seed, uint64_t i) {
    uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static TernStatus source_random(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    uint64_t seed = (uint64_t)tn_attr_int(n, TN_ATTR_seed), k = (uint64_t)tn_weight_len(&n->type);
    for (uint64_t i = 0; i < k; i++) {
        uint64_t z = splitmix(seed, (uint64_t)row * k + i);
        if (out.t)
            out.t[i] = (int8_t)((int)((z >> 32) * 3 >> 32) - 1);
        else
            out.f[i] = (float)(z >> 40) * 0x1p-23f - 1.0f;
    }
    return TERN_OK;
}

static int8_t sign(float f) {
    return (int8_t)((f > 0.0f) - (f < 0.0f));
}

static TernStatus source_const(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    const TnAttr *a = tn_node_attr(n, TN_ATTR_values);
    size_t k = (size_t)tn_weight_len(&n->type), lo = (size_t)row * k;
    if (!a || a->n < lo + k)
        return tn_fail(s->err, TERN_ERR_INPUT, "const $%s: has %u values, wanted %zu", n->name, a ? a->n : 0,
                       (size_t)tn_weight_count(&n->type) * k);
    for (size_t i = 0; i < k; i++) {
        if (out.t)
            out.t[i] = sign(a->fs[lo + i]);
        else
            out.f[i] = a->fs[lo + i];
    }
    return TERN_OK;
}

static TernStatus source_concat(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    for (uint32_t i = 0; i < n->n_args; i++) {
        int64_t rows = tn_weight_count(&s->g->nodes[n->args[i]].type);
        if (row < rows) return source_row(s, n->args[i], row, out);
        row -= rows;
    }
    TN_BUG("row behind the end of concat $%s", n->name);
}

static TernStatus source_pack(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref], *from = &s->g->nodes[n->args[0]];
    bool ternary = tn_enc_is_ternary(from->type.enc);
    if (out.f && ternary)
        return tn_fail(s->err, TERN_ERR_UNSUPPORTED, "pack $%s: from %s to %s is not defined", n->name,
                       tn_encs[from->type.enc].name, tn_encs[n->type.enc].name);
    if (out.f || ternary) return source_row(s, n->args[0], row, out);
    TN_TRY(source_row(s, n->args[0], row, (Row){.f = s->temp}));
    for (int64_t i = 0; i < tn_weight_len(&n->type); i++) out.t[i] = sign(s->temp[i]);
    return TERN_OK;
}

static TernStatus source_rope_freq(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    int64_t k = tn_weight_len(&n->type);
    double base = (double)tn_attr_float(n, TN_ATTR_base);
    if (!(base > 0.0 && base < (double)INFINITY))
        return tn_fail(s->err, TERN_ERR_INPUT, "rope_freq $%s: base is %g, wanted more than 0", n->name,
                       base);
    if (n->n_args) TN_TRY(source_row(s, n->args[0], 0, (Row){.f = s->temp}));
    for (int64_t i = 0; i < k; i++) {
        double f = n->n_args ? (double)s->temp[i] : 1.0;
        double u = tn_pow(base, -(double)i / (double)k) / 0x1.921fb54442d18p+2 / f;
        /* what rope_angle can turn: a position times this stays exact enough, and finite */
        if (!(fabs(u) < 0x1p31))
            return tn_fail(
                s->err, TERN_ERR_INPUT,
                "rope_freq $%s: frequency %lld is %g turns (factor %g), wanted a finite one below 2^31",
                n->name, (long long)i, u, f);
        float hi = (float)u;
        out.f[i] = row == 0 ? hi : (float)(u - (double)hi);
    }
    return TERN_OK;
}

/* Every SOURCE row of the table has its source_ function; without it this does not compile. */
#define ROW_SOURCE(name) source_##name
#define ROW_INPUT(name)  NULL
#define ROW_ROW(name)    NULL
#define ROW_ELEM(name)   NULL
#define ROW_ROOT(name)   NULL
#define ROW_SINK(name)   NULL
static SourceFn *const sources[TN_OP_COUNT] = {
#define OP(name, lo, hi, class, stages, attrs, doc) ROW_##class(name),
#include "ir/ops.def"
#undef OP
};

static TernStatus source_row(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    SourceFn *fn = sources[n->op];
    TN_CHECK(fn);
    if (s->depth == MAX_DEPTH)
        return tn_fail(s->err, TERN_ERR_UNSUPPORTED, "%s $%s: more than %d weight operations nested",
                       tn_ops[n->op].name, n->name, MAX_DEPTH);
    s->depth++;
    TN_TRY(fn(s, ref, row, out));
    s->depth--;
    /* inside a chain of packs a value is what its type can hold; the last one is rounded by tn_encode_row */
    if (out.f && s->depth > 0 && (n->type.enc == TN_ENC_f16 || n->type.enc == TN_ENC_bf16) &&
        n->op != TN_OP_gguf) {
        bool half = n->type.enc == TN_ENC_f16;
        for (int64_t i = 0; i < tn_weight_len(&n->type); i++)
            out.f[i] =
                half ? tn_f16_to_f32(tn_f32_to_f16(out.f[i])) : tn_bf16_to_f32(tn_f32_to_bf16(out.f[i]));
    }
    return TERN_OK;
}

TernStatus tn_weight_rows(const TnGraph *g, TnRef ref, const TnWeights *w, int64_t lo, int64_t hi, void *out,
                          TernError *err) {
    TN_CHECK(ref < g->n);
    const TnNode *n = &g->nodes[ref];
    const TnType *t = &n->type;
    TN_CHECK(0 <= lo && lo <= hi && hi <= tn_weight_count(t));
    bool ternary = tn_enc_is_ternary(t->enc);
    if (tn_encs[t->enc].kind == TN_STORED || (ternary && t->enc != TN_ENC_t8 && t->enc != TN_ENC_p64))
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s $%s: only a file gives values of encoding %s",
                       tn_ops[n->op].name, n->name, tn_encs[t->enc].name);
    size_t stride = tn_row_bytes(t), len = (size_t)tn_weight_len(t);
    if (t->rank == 3) stride /= (size_t)t->dim[1];
    Source s = {.g = g, .w = w, .err = err};
    s.found = tn_xcalloc((size_t)ref + 1, sizeof *s.found);
    /* operands of sources have rows as long as their result's */
    s.temp = tn_xcalloc(2 * len + 1, sizeof(float));
    float *row = s.temp + len;
    TernStatus st = TERN_OK;
    uint8_t *o = out;
    for (int64_t r = lo; r < hi && st == TERN_OK; r++, o += stride) {
        if (n->op == TN_OP_gguf && !ternary) { /* as stored, and padding */
            const void *raw = NULL;
            size_t e = tn_encs[t->enc].block_bytes;
            st = find_raw(&s, ref, &raw);
            if (st != TERN_OK) break;
            memcpy(o, (const uint8_t *)raw + (size_t)r * len * e, len * e);
            memset(o + len * e, 0, stride - len * e);
        } else if (ternary) {
            st = source_row(&s, ref, r, (Row){.t = (int8_t *)row});
            if (st == TERN_OK) tn_encode_trits(t, (const int8_t *)row, o);
        } else {
            st = source_row(&s, ref, r, (Row){.f = row});
            if (st != TERN_OK) break;
            if (tn_encs[t->enc].kind == TN_SCREEN)
                tn_screen_encode(t, row, o);
            else
                tn_encode_row(t, row, o);
        }
    }
    free(s.temp);
    free(s.found);
    return st;
}

/* The facts of all rows of a screening table; out is zeroed. */
static TernStatus screen_tail(Source *s, TnRef ref, uint8_t *out) {
    const TnType *t = &s->g->nodes[ref].type;
    size_t len = (size_t)tn_weight_len(t), array = tn_screen_array_bytes(t);
    TernStatus st = TERN_OK;
    s->found = tn_xcalloc((size_t)ref + 1, sizeof *s->found);
    s->temp = tn_xcalloc(2 * len + 1, sizeof(float));
    for (int64_t r = 0; r < t->dim[0] && st == TERN_OK; r++) {
        st = source_row(s, ref, r, (Row){.f = s->temp + len});
        if (st != TERN_OK) break;
        TnRowFacts f = tn_screen_facts(t, s->temp + len);
        memcpy(out + 4 * (size_t)r, &f.scale, 4);
        memcpy(out + array + 4 * (size_t)r, &f.error, 4);
        memcpy(out + 2 * array + 4 * (size_t)r, &f.norm, 4);
    }
    free(s->temp);
    free(s->found);
    return st;
}

TernStatus tn_weight_tail(const TnGraph *g, TnRef ref, const TnWeights *w, void *out, TernError *err) {
    const TnType *t = &g->nodes[ref].type;
    if (!tn_tail_bytes(t)) return TERN_OK;
    memset(out, 0, tn_tail_bytes(t));
    if (tn_encs[t->enc].kind == TN_SCREEN) {
        Source s = {.g = g, .w = w, .err = err};
        return screen_tail(&s, ref, out);
    }
    for (uint32_t i = 0; i < t->n_scales; i++) memcpy((uint8_t *)out + 4 * (size_t)i, &t->scales[i].scale, 4);
    return TERN_OK;
}

TernStatus tn_weight_all(const TnGraph *g, TnRef ref, const TnWeights *w, void *out, TernError *err) {
    TN_CHECK(ref < g->n);
    const TnNode *n = &g->nodes[ref];
    bool stored = tn_encs[n->type.enc].kind == TN_STORED;
    if (stored && n->op == TN_OP_gguf) {
        Source s = {.g = g, .w = w, .err = err};
        const void *raw = NULL;
        s.found = tn_xcalloc((size_t)ref + 1, sizeof *s.found);
        TernStatus st = find_raw(&s, ref, &raw);
        if (st == TERN_OK) memcpy(out, raw, tn_raw_bytes(&n->type));
        free(s.found);
        return st;
    }
    TN_TRY(tn_weight_rows(g, ref, w, 0, tn_weight_count(&n->type), out, err));
    return tn_weight_tail(g, ref, w, (uint8_t *)out + tn_type_bytes(&n->type, NULL) - tn_tail_bytes(&n->type),
                          err);
}
