/* SOURCE values, row by row. Every op gives a row either as floats or as trits, depending on its type;
 * tn_weight_rows converts it to the layout. A row depends only on its index, so any split of the rows
 * gives the same bytes. */
#include "ir/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/internal.h"
#include "ir/places.h"
#include "ir/r64.h"
#include "ir/shadow.h"
#include "runtime/base/fmath.h"
#include "runtime/base/reader.h"

enum { MAX_DEPTH = 256 }; /* of recursion; a text from outside may nest packs to any depth */
/* A block of a `colmajor`: TN_COLMAJOR_ROWS trits of each column. */
typedef struct Block {
    int8_t *trits;
    int64_t number;
} Block;

typedef struct Source {
    const TnGraph *g;
    const TnWeights *w;
    int depth;
    bool by_columns;    /* inside a colmajor */
    const void **found; /* by ref: the bytes of the gguf nodes so far */
    int32_t **kept;     /* by ref: the numbers that the places nodes so far keep */
    Block *blocks;      /* by ref: one block for each colmajor node so far */
    float *temp;        /* a row of floats, for ops that need one besides their result */
    TernError *err;
} Source;

/* The longest row among the sources up to ref, itself a source. */
static size_t longest_row(const TnGraph *g, TnRef ref) {
    int64_t most = 0;
    for (TnRef r = 0; r <= ref; r++)
        if (tn_node_is_source(g, r) && tn_weight_len(&g->nodes[r].type) > most)
            most = tn_weight_len(&g->nodes[r].type);
    return (size_t)most;
}

/* Allocates the memory that sources need, and `row` floats after it, which it returns. */
static float *source_open(Source *s, TnRef ref, size_t row) {
    size_t longest = longest_row(s->g, ref);
    s->found = tn_xcalloc((size_t)ref + 1, sizeof *s->found);
    s->kept = tn_xcalloc((size_t)ref + 1, sizeof *s->kept);
    s->blocks = tn_xcalloc((size_t)ref + 1, sizeof *s->blocks);
    s->temp = tn_xcalloc(longest + row + 1, sizeof(float));
    return s->temp + longest;
}

static void source_close(Source *s, TnRef ref) {
    for (TnRef r = 0; r <= ref; r++) {
        free(s->kept[r]);
        free(s->blocks[r].trits);
    }
    free(s->blocks);
    free(s->kept);
    free(s->temp);
    free(s->found);
}

/* The destination of a row. The reader sets one of the two. */
typedef struct Row {
    float *f;
    int8_t *t;
} Row;

typedef TernStatus SourceFn(Source *s, TnRef ref, int64_t row, Row out);

static SourceFn source_row;

static TernStatus find_raw(Source *s, TnRef ref, const void **out) {
    const TnNode *n = &s->g->nodes[ref];
    if (n->type.enc == TN_ENC_t8)
        return tn_fail(s->err, TERN_ERR_UNSUPPORTED,
                       "gguf $%s: no tensor of a file is t8, expected its stored type and a pack", n->name);
    if (!s->found[ref]) {
        const char *name = tn_attr_str(n, TN_ATTR_name);
        size_t bytes = 0, want = tn_raw_bytes(&n->type);
        const void *p = s->w && s->w->find ? s->w->find(s->w->ctx, name, &bytes) : NULL;
        if (!p) return tn_fail(s->err, TERN_ERR_INPUT, "tensor %s: not in the model file", name);
        if (bytes != want)
            return tn_fail(s->err, TERN_ERR_INPUT, "tensor %s: has %zu bytes, expected %zu for %.100s", name,
                           bytes, want, tn_type_text(&n->type).s);
        s->found[ref] = p;
    }
    *out = s->found[ref];
    return TERN_OK;
}

static TernStatus source_gguf(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    const void *raw = NULL;
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
            out.t[i] = (int8_t)((int)((z >> 32) * (n->type.two ? 4 : 3) >> 32) - 1);
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
        return tn_fail(s->err, TERN_ERR_INPUT, "const $%s: has %u values, expected %zu", n->name,
                       a ? a->n : 0, (size_t)tn_weight_count(&n->type) * k);
    for (size_t i = 0; i < k; i++) {
        if (out.t)
            out.t[i] = (int8_t)a->fs[lo + i]; /* -1, 0, 1, 2: checked */
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
    TN_BUG("row after the end of concat $%s", n->name);
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

/* Returns how many numbers operand 2, a places, keeps; *out are these numbers. */
static int64_t kept_of(Source *s, TnRef ref, const int32_t **out) {
    TnRef p = s->g->nodes[ref].args[1];
    const char *mask = tn_attr_str(&s->g->nodes[p], TN_ATTR_mask);
    if (!s->kept[p]) s->kept[p] = tn_mask_list(mask);
    *out = s->kept[p];
    return tn_mask_count(mask);
}

static TernStatus source_places(Source *s, TnRef ref, int64_t row, Row out) {
    const char *mask = tn_attr_str(&s->g->nodes[ref], TN_ATTR_mask);
    int64_t all = tn_mask_count(mask), before = 0, lo = row * TN_PLACES;
    for (int64_t i = 0; i < lo; i++) before += tn_mask_get(mask, i);
    for (int64_t i = 0; i < TN_PLACES; i++) {
        bool kept = tn_mask_get(mask, lo + i);
        out.f[i] = (float)(kept ? before : all); /* below 2^14: exact */
        before += kept;
    }
    return TERN_OK;
}

static TernStatus source_keep_rows(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    const int32_t *list;
    if (row < kept_of(s, ref, &list)) return source_row(s, n->args[0], list[row], out);
    memset(out.t, 0, (size_t)tn_weight_len(&n->type));
    return TERN_OK;
}

static TernStatus source_keep_cols(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    const int32_t *list;
    int64_t kept = kept_of(s, ref, &list), k = tn_weight_len(&n->type);
    float *all = tn_xcalloc((size_t)tn_weight_len(&s->g->nodes[n->args[0]].type), sizeof *all);
    int8_t *trits = (int8_t *)all;
    TernStatus st = source_row(s, n->args[0], row, out.f ? (Row){.f = all} : (Row){.t = trits});
    for (int64_t i = 0; st == TERN_OK && i < k; i++) {
        if (out.f)
            out.f[i] = i < kept ? all[list[i]] : 0.0f;
        else
            out.t[i] = (int8_t)(i < kept ? trits[list[i]] : 0);
    }
    free(all);
    return st;
}

/* Transposes 8 x 8 bytes: swaps halves of words across 4 rows, then quarters across 2 rows, then bytes. */
static void transpose8(const int8_t *from, size_t from_stride, int8_t *to, size_t to_stride) {
    static const uint64_t low[] = {0x00ff00ff00ff00ff, 0x0000ffff0000ffff, 0x00000000ffffffff};
    uint64_t x[8];
    for (size_t i = 0; i < 8; i++) memcpy(&x[i], from + i * from_stride, 8);
    for (int n = 4, s = 2; n; n /= 2, s--)
        for (int i = 0; i < 8; i++) {
            if (i & n) continue;
            uint64_t t = (x[i] >> 8 * n ^ x[i + n]) & low[s];
            x[i + n] ^= t;
            x[i] ^= t << 8 * n;
        }
    for (size_t i = 0; i < 8; i++) memcpy(to + i * to_stride, &x[i], 8);
}

/* Makes block `number` from its rows of w. Both sides of a strip of columns fit in the first cache. */
static TernStatus fill_block(Source *s, TnRef w, int64_t number, int8_t *out) {
    int64_t m = tn_weight_count(&s->g->nodes[w].type), k = tn_weight_len(&s->g->nodes[w].type);
    int64_t from = number * TN_COLMAJOR_ROWS, n = m - from < TN_COLMAJOR_ROWS ? m - from : TN_COLMAJOR_ROWS;
    int64_t stride = ((k + 63) / 64 | 1) *
                     64; /* an odd number of lines: the bytes of a column are in different cache sets */
    int8_t *rows = tn_xcalloc((size_t)(n + 7) / 8 * 8, (size_t)stride);
    TernStatus st = TERN_OK;
    for (int64_t i = 0; i < n && st == TERN_OK; i++)
        st = source_row(s, w, from + i, (Row){.t = rows + i * stride});
    if (n < TN_COLMAJOR_ROWS) memset(out, 0, (size_t)(k * TN_COLMAJOR_ROWS));
    for (int64_t strip = 0; strip < k && st == TERN_OK; strip += 64)
        for (int64_t i = 0; i < n; i += 8)
            for (int64_t j = strip; j < strip + 64 && j < k; j += 8)
                transpose8(rows + i * stride + j, (size_t)stride, out + j * TN_COLMAJOR_ROWS + i,
                           TN_COLMAJOR_ROWS);
    free(rows);
    return st;
}

/* Rows of the result are mostly read in order, so a block is made once. */
static TernStatus source_colmajor(Source *s, TnRef ref, int64_t row, Row out) {
    TnRef w = s->g->nodes[ref].args[0];
    int64_t k = tn_weight_len(&s->g->nodes[w].type), number = row / k;
    Block *b = &s->blocks[ref];
    if (s->by_columns) /* a row of the outer one would need 256 rows of the inner one */
        return tn_fail(s->err, TERN_ERR_UNSUPPORTED,
                       "colmajor $%s: read by another colmajor, expected one alone", s->g->nodes[ref].name);
    if (!b->trits || b->number != number) {
        if (!b->trits) b->trits = tn_xcalloc((size_t)(k + 7) / 8 * 8, TN_COLMAJOR_ROWS);
        b->number = number;
        s->by_columns = true;
        TN_TRY(fill_block(s, w, number, b->trits));
        s->by_columns = false;
    }
    memcpy(out.t, b->trits + row % k * TN_COLMAJOR_ROWS, TN_COLMAJOR_ROWS);
    return TERN_OK;
}

static TernStatus source_rope_freq(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    int64_t k = tn_weight_len(&n->type);
    double base = (double)tn_attr_float(n, TN_ATTR_base);
    if (!(base > 0.0 && base < (double)INFINITY))
        return tn_fail(s->err, TERN_ERR_INPUT, "rope_freq $%s: base is %g, expected more than 0", n->name,
                       base);
    if (n->n_args) TN_TRY(source_row(s, n->args[0], 0, (Row){.f = s->temp}));
    for (int64_t i = 0; i < k; i++) {
        double f = n->n_args ? (double)s->temp[i] : 1.0;
        double u = tn_pow(base, -(double)i / (double)k) / 0x1.921fb54442d18p+2 / f;
        /* the limit of rope_angle: a position times this stays exact enough, and finite */
        if (!(fabs(u) < 0x1p31))
            return tn_fail(
                s->err, TERN_ERR_INPUT,
                "rope_freq $%s: frequency %lld is %g turns (factor %g), expected a finite one below 2^31",
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
#define ROW_MAP(name)    NULL
#define ROW_ROOT(name)   NULL
#define ROW_SINK(name)   NULL
static SourceFn *const sources[TN_OP_COUNT] = {
#define OP(name, lo, hi, class, stages, attrs, traits, doc) ROW_##class(name),
#include "ir/ops.def"
#undef OP
};

/* Goes one level deeper into a chain of ops. */
static TernStatus enter(Source *s, TnRef ref) {
    const TnNode *n = &s->g->nodes[ref];
    if (s->depth == MAX_DEPTH)
        return tn_fail(s->err, TERN_ERR_UNSUPPORTED, "%s $%s: more than %d weight operations nested",
                       tn_ops[n->op].name, n->name, MAX_DEPTH);
    s->depth++;
    return TERN_OK;
}

static TernStatus source_row(Source *s, TnRef ref, int64_t row, Row out) {
    const TnNode *n = &s->g->nodes[ref];
    SourceFn *fn = sources[n->op];
    TN_CHECK(fn);
    TN_TRY(enter(s, ref));
    TN_TRY(fn(s, ref, row, out));
    s->depth--;
    /* inside a chain of packs, values are rounded to their type here; tn_encode_row rounds the last one */
    if (out.f && s->depth > 0 && (n->type.enc == TN_ENC_f16 || n->type.enc == TN_ENC_bf16) &&
        n->op != TN_OP_gguf) {
        bool half = n->type.enc == TN_ENC_f16;
        for (int64_t i = 0; i < tn_weight_len(&n->type); i++)
            out.f[i] =
                half ? tn_f16_to_f32(tn_f32_to_f16(out.f[i])) : tn_bf16_to_f32(tn_f32_to_bf16(out.f[i]));
    }
    return TERN_OK;
}

/* ---- Scales that lie with the weights */

static TernStatus source_scales(Source *s, TnRef ref, int64_t row, float *out);

/* The scales are numbered after all trits. */
static TernStatus random_scales(const TnNode *n, int64_t row, float *out) {
    uint64_t seed = (uint64_t)tn_attr_int(n, TN_ATTR_seed), k = (uint64_t)tn_type_row_scales(&n->type);
    uint64_t trits = (uint64_t)tn_weight_count(&n->type) * (uint64_t)tn_weight_len(&n->type);
    for (uint64_t i = 0; i < k; i++)
        out[i] = (float)((splitmix(seed, trits + (uint64_t)row * k + i) >> 54) + 1) * 0x1p-10f;
    return TERN_OK;
}

static TernStatus concat_scales(Source *s, TnRef ref, int64_t row, float *out) {
    const TnNode *n = &s->g->nodes[ref];
    for (uint32_t i = 0; i < n->n_args; i++) {
        int64_t rows = tn_weight_count(&s->g->nodes[n->args[i]].type);
        if (row < rows) return source_scales(s, n->args[i], row, out);
        row -= rows;
    }
    TN_BUG("row after the end of concat $%s", n->name);
}

static TernStatus kept_scales(Source *s, TnRef ref, int64_t row, float *out) {
    const TnNode *n = &s->g->nodes[ref];
    const int32_t *list;
    if (row < kept_of(s, ref, &list)) return source_scales(s, n->args[0], list[row], out);
    memset(out, 0, (size_t)tn_type_row_scales(&n->type) * sizeof *out);
    return TERN_OK;
}

static TernStatus op_scales(Source *s, TnRef ref, int64_t row, float *out) {
    const TnNode *n = &s->g->nodes[ref];
    const void *raw = NULL;
    switch (n->op) {
    case TN_OP_gguf:
        TN_TRY(find_raw(s, ref, &raw));
        tn_decode_scales(&n->type, raw, row, out);
        return TERN_OK;
    case TN_OP_random:
        return random_scales(n, row, out);
    case TN_OP_concat:
        return concat_scales(s, ref, row, out);
    case TN_OP_keep_rows:
        return kept_scales(s, ref, row, out);
    case TN_OP_pack:
    case TN_OP_keep_cols:
        return source_scales(s, n->args[0], row, out);
    default:
        TN_BUG("%s $%s has no scales a row", tn_ops[n->op].name, n->name);
    }
}

static TernStatus source_scales(Source *s, TnRef ref, int64_t row, float *out) {
    TN_TRY(enter(s, ref));
    TN_TRY(op_scales(s, ref, row, out));
    s->depth--;
    return TERN_OK;
}

/* Makes rows [lo, hi) of a shadow table, in whole blocks. */
static TernStatus shadow_rows(Source *s, TnRef ref, int64_t lo, int64_t hi, float *row, uint8_t *out) {
    const TnType *t = &s->g->nodes[ref].type;
    size_t block = TN_BESIDE * tn_row_bytes(t);
    TN_CHECK(lo % TN_BESIDE == 0 && (hi % TN_BESIDE == 0 || hi == tn_weight_count(t)));
    memset(out, 0, (size_t)((hi - lo + TN_BESIDE - 1) / TN_BESIDE) * block);
    for (int64_t r = lo; r < hi; r++) {
        TN_TRY(source_row(s, ref, r, (Row){.f = row}));
        tn_shadow_encode(t, row, r, out + (size_t)((r - lo) / TN_BESIDE) * block);
    }
    return TERN_OK;
}

/* Makes rows [lo, hi) of b64, b80 or r64, in whole blocks. */
static TernStatus block_rows(Source *s, TnRef ref, int64_t lo, int64_t hi, uint8_t *out) {
    const TnType *t = &s->g->nodes[ref].type;
    bool grouped = t->enc == TN_ENC_r64;
    int64_t rows = tn_weight_count(t), k = tn_weight_len(t), wide = (int64_t)tn_r64_columns(t),
            groups = grouped ? tn_type_row_scales(t) : 1, together = tn_rows_together(t);
    TN_CHECK(lo % together == 0 && (hi % together == 0 || hi == rows));
    uint8_t *codes = tn_xcalloc((size_t)wide, (size_t)together);
    float *scales = tn_xcalloc((size_t)(groups * together), sizeof *scales);
    TernStatus st = TERN_OK;
    for (; lo < hi && st == TERN_OK; lo += together, out += (size_t)together * tn_row_bytes(t)) {
        memset(codes, 1, (size_t)(wide * together));
        memset(scales, 0, (size_t)(groups * together) * sizeof *scales);
        for (int64_t r = 0; r < together && lo + r < rows && st == TERN_OK; r++) {
            uint8_t *row = codes + r * wide;
            st = source_row(s, ref, lo + r, (Row){.t = (int8_t *)row});
            for (int64_t i = 0; i < k; i++) row[i] = (uint8_t)(row[i] + 1);
            if (grouped && st == TERN_OK) st = source_scales(s, ref, lo + r, scales + r * groups);
        }
        tn_r64_encode(t, codes, scales, out);
    }
    free(scales);
    free(codes);
    return st;
}

TernStatus tn_weight_rows(const TnGraph *g, TnRef ref, const TnWeights *w, int64_t lo, int64_t hi, void *out,
                          TernError *err) {
    TN_CHECK(ref < g->n);
    const TnNode *n = &g->nodes[ref];
    const TnType *t = &n->type;
    TN_CHECK(0 <= lo && lo <= hi && hi <= tn_weight_count(t));
    bool ternary = tn_enc_is_ternary(t->enc);
    if (tn_encs[t->enc].kind == TN_STORED)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s $%s: only a file gives values of encoding %s",
                       tn_ops[n->op].name, n->name, tn_encs[t->enc].name);
    size_t stride = tn_row_bytes(t), len = (size_t)tn_weight_len(t);
    if (t->rank == 3) stride /= (size_t)t->dim[1];
    Source s = {.g = g, .w = w, .err = err};
    float *row = source_open(&s, ref, len);
    TernStatus st = TERN_OK;
    uint8_t *o = out;
    if (tn_encs[t->enc].kind == TN_SHADOW) {
        st = shadow_rows(&s, ref, lo, hi, row, out);
        lo = hi;
    } else if (tn_rows_together(t) > 1) {
        st = block_rows(&s, ref, lo, hi, out);
        lo = hi;
    }
    for (int64_t r = lo; r < hi && st == TERN_OK; r++, o += stride) {
        if (n->op == TN_OP_gguf && !ternary) { /* the bytes as stored, then padding */
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
            if (st == TERN_OK) tn_encode_row(t, row, o);
        }
    }
    source_close(&s, ref);
    return st;
}

TernStatus tn_weight_dead_rows(const TnGraph *g, TnRef ref, const TnWeights *w, bool *out, TernError *err) {
    const TnType *t = &g->nodes[ref].type;
    TN_CHECK(tn_enc_is_ternary(t->enc));
    size_t len = (size_t)tn_weight_len(t), half = (len + 1) / 2;
    Source s = {.g = g, .w = w, .err = err};
    int8_t *row = (int8_t *)source_open(&s, ref, len);
    const uint8_t *raw = NULL;
    TernStatus st = TERN_OK;
    if (g->nodes[ref].op == TN_OP_gguf && t->enc == TN_ENC_i2s && len % 128 == 0) {
        const void *p = NULL;
        st = find_raw(&s, ref, &p);
        raw = p;
    }
    for (int64_t r = 0; r < tn_weight_count(t) && st == TERN_OK; r++) {
        if (raw) { /* rows are whole bytes of four codes: the usual case */
            const uint8_t *b = raw + (size_t)r * len / 4;
            out[r] = b[0] == 0x55 && memcmp(b, b + 1, len / 4 - 1) == 0;
            continue;
        }
        st = source_row(&s, ref, r, (Row){.t = row});
        /* compare the row with itself shifted by one; its first half first, since most rows are decided there */
        out[r] = st == TERN_OK && row[0] == 0 && memcmp(row, row + 1, half - 1) == 0 &&
                 memcmp(row, row + 1, len - 1) == 0;
    }
    source_close(&s, ref);
    return st;
}

/* Writes the facts of all rows of a shadow table, and their bits of its planes; out is zeroed. */
static TernStatus shadow_tail(Source *s, TnRef ref, uint8_t *out) {
    const TnType *t = &s->g->nodes[ref].type;
    size_t len = (size_t)tn_weight_len(t), array = tn_shadow_array_bytes(t), bits = tn_shadow_plane_bytes(t);
    int planes = tn_shadow_planes(t);
    TernStatus st = TERN_OK;
    float *row = source_open(s, ref, len);
    for (int64_t r = 0; r < t->dim[0] && st == TERN_OK; r++) {
        uint8_t *at[TN_PLANES_MOST], *to = out + 4 * (size_t)r;
        st = source_row(s, ref, r, (Row){.f = row});
        if (st != TERN_OK) break;
        for (int p = 0; p < planes; p++)
            at[p] = out + (tn_shadow_plane_at(t, p) - tn_tail_at(t)) + bits * (size_t)r;
        TnRowFacts f = tn_shadow_facts(t, row, planes ? at : NULL);
        memcpy(to, &f.scale, 4);
        memcpy(to + array, &f.error, 4);
        memcpy(to + 2 * array, &f.norm, 4);
        for (int p = 0; p < planes; p++) {
            memcpy(to + (size_t)(3 + 2 * p) * array, &f.step[p], 4);
            memcpy(to + (size_t)(4 + 2 * p) * array, &f.fine[p], 4);
        }
    }
    source_close(s, ref);
    return st;
}

TernStatus tn_weight_tail(const TnGraph *g, TnRef ref, const TnWeights *w, void *out, TernError *err) {
    const TnType *t = &g->nodes[ref].type;
    if (!tn_tail_bytes(t)) return TERN_OK;
    memset(out, 0, tn_tail_bytes(t));
    if (tn_encs[t->enc].kind == TN_SHADOW) {
        Source s = {.g = g, .w = w, .err = err};
        return shadow_tail(&s, ref, out);
    }
    if (t->group) {
        Source s = {.g = g, .w = w, .err = err};
        TernStatus st = TERN_OK;
        source_open(&s, ref, 0);
        for (int64_t r = 0; r < t->dim[0] && st == TERN_OK; r++)
            st = source_scales(&s, ref, r, (float *)out + r * tn_type_row_scales(t));
        source_close(&s, ref);
        return st;
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
