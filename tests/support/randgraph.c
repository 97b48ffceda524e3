/* See randgraph.h. Draw at most one random number in a full expression: C does not say in which order arguments are
 * evaluated, compilers differ, and a seed must give the same graph with all of them. */
#include "tests/support/randgraph.h"
#include "ir/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t rand_u64(Rand *r) {
    uint64_t z = r->s += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
int64_t rand_in(Rand *r, int64_t lo, int64_t hi) {
    return lo + (int64_t)(rand_u64(r) % (uint64_t)(hi - lo + 1));
}
bool rand_one_in(Rand *r, int n) {
    return rand_u64(r) % (unsigned)n == 0;
}
float rand_float(Rand *r, float lo, float hi) {
    return lo + (hi - lo) * ((float)(rand_u64(r) >> 40) * 0x1p-24f);
}

enum { VALUES_MAX = 400 };

/* A f32 matrix of the graph, with a bound of its magnitude as a power of two. */
typedef struct Value {
    TnRef ref;
    TnSym sym;
    int64_t cols;
    double mag;
} Value;

typedef struct Gen {
    Rand rand;
    TnGraph *g;
    Value v[VALUES_MAX];
    int n;
    TnRef ids, pos, slot, rows, hrows, table;
    TnRef k[RAND_LAYERS], val[RAND_LAYERS]; /* newest caches */
    int64_t kv_heads, head, vocab;
    int layers, outputs;
    bool extreme;
} Gen;

static TnRef add(Gen *p, TnOp op, const TnType *type, const TnRef *args, uint32_t n, const TnAttr *attrs,
                 uint32_t n_attrs) {
    return tn_node_add(p->g, op, NULL, type, args, n, attrs, n_attrs);
}

/* Sizes that are just below or above the paddings (64, 256) more often than by chance. */
static int64_t some_cols(Rand *r) {
    static const int64_t edges[] = {1, 2, 31, 33, 63, 64, 65, 128, 129, 255, 256, 257, 300};
    return rand_one_in(r, 3) ? edges[rand_in(r, 0, (int64_t)TN_COUNT(edges) - 1)] : rand_in(r, 1, 48);
}

/* ---- weights */

/* A value that no trained model has. */
static float some_extreme(Rand *r) {
    static const uint32_t bits[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f7fffff, 0xff000000, 0x60800000,
                                    0xe0800000, 0x00000001, 0x80400000, 0x00800000, 0x80000000, 0x2b800000};
    float f;
    memcpy(&f, &bits[rand_in(r, 0, (int64_t)TN_COUNT(bits) - 1)], sizeof f);
    return f;
}

static TnRef source(Gen *p, TnType t) {
    static float values[1024];
    int64_t n = t.dim[0] * (t.rank == 2 ? t.dim[1] : 1);
    if (n <= 64 && !t.group && rand_one_in(&p->rand, 4)) {
        for (int64_t i = 0; i < n; i++)
            values[i] = t.n_scales ? (float)rand_in(&p->rand, -1, t.two ? 2 : 1)
                        : p->extreme && rand_one_in(&p->rand, 24) ? some_extreme(&p->rand)
                                                                  : rand_float(&p->rand, -1, 1);
        TnAttr a = {.key = TN_ATTR_values, .n = (uint32_t)n, .fs = values};
        return add(p, TN_OP_const, &t, NULL, 0, &a, 1);
    }
    TnAttr seed = {.key = TN_ATTR_seed, .i = rand_in(&p->rand, 0, 1 << 20)};
    return add(p, TN_OP_random, &t, NULL, 0, &seed, 1);
}

static TnRef dense(Gen *p, int rank, int64_t rows, int64_t cols) {
    static const TnEnc encs[] = {TN_ENC_f32, TN_ENC_f16, TN_ENC_bf16};
    TnType t = rank == 1 ? tn_type(encs[rand_in(&p->rand, 0, 2)], 1, (TnDim)cols)
                         : tn_type(encs[rand_in(&p->rand, 0, 2)], 2, (TnDim)rows, (TnDim)cols);
    if (rank == 2 && rows > 1 && rand_one_in(&p->rand, 6)) { /* two matrices, one below the other */
        TnType a = t, b = t;
        a.dim[0] = rand_in(&p->rand, 1, rows - 1);
        b.dim[0] = rows - a.dim[0];
        TnRef ab[2] = {source(p, a), 0};
        ab[1] = source(p, b);
        return add(p, TN_OP_concat, NULL, ab, 2, NULL, 0);
    }
    TnRef w = source(p, t);
    if (rand_one_in(&p->rand, 4)) {
        t.enc = encs[rand_in(&p->rand, 0, 2)];
        w = add(p, TN_OP_pack, &t, &w, 1, NULL, 0);
    }
    return w;
}

/* row_scales: its rows have scales of their own; the type says only that they have. */
static TnRef ternary_part(Gen *p, int64_t rows, int64_t cols, bool row_scales) {
    TnScale scale[3];
    TnType t = tn_type(rand_one_in(&p->rand, 3) ? TN_ENC_p64 : TN_ENC_t8, 2, (TnDim)rows, (TnDim)cols);
    t.two = rand_one_in(&p->rand, 5);
    if (row_scales) {
        t.group = TN_GROUP_ROW;
        return source(p, t);
    }
    t.scales = scale;
    for (int64_t left = rows; left; left -= scale[t.n_scales++].rows) {
        scale[t.n_scales].scale = rand_one_in(&p->rand, 8) ? 0.0f : rand_float(&p->rand, 0.01f, 2);
        if (p->extreme && rand_one_in(&p->rand, 6)) {
            static const float by[] = {0x1p66f, 0x1p120f, 0x1p-66f, 0x1p-120f, 0x1p-140f, -1.0f};
            scale[t.n_scales].scale *= by[rand_in(&p->rand, 0, (int64_t)TN_COUNT(by) - 1)];
        }
        scale[t.n_scales].rows =
            t.n_scales == 2 || rand_one_in(&p->rand, 2) ? left : rand_in(&p->rand, 1, left);
    }
    if (t.n_scales == 1 && t.enc == TN_ENC_t8 && !t.two && rows * cols <= 64 && rand_one_in(&p->rand, 3)) {
        float values[64]; /* a float matrix that is ternary in fact */
        for (int64_t i = 0; i < rows * cols; i++)
            values[i] = (float)rand_in(&p->rand, -1, 1) * scale[0].scale;
        TnAttr a = {.key = TN_ATTR_values, .n = (uint32_t)(rows * cols), .fs = values};
        TnType dense = tn_type(TN_ENC_f32, 2, (TnDim)rows, (TnDim)cols);
        TnRef w = add(p, TN_OP_const, &dense, NULL, 0, &a, 1);
        return add(p, TN_OP_pack, &t, &w, 1, NULL, 0);
    }
    return source(p, t);
}

static TnRef ternary(Gen *p, int64_t rows, int64_t cols) {
    TnRef w;
    bool row_scales = rand_one_in(&p->rand, 6);
    if (rows > 1 && rand_one_in(&p->rand, 3)) {
        TnRef parts[8];
        uint32_t n = 0, want = (uint32_t)rand_in(&p->rand, 2, rows < 4 ? rows : 4);
        for (int64_t left = rows; n < want; n++) {
            int64_t part = n + 1 == want ? left : rand_in(&p->rand, 1, left - (want - n - 1));
            parts[n] = ternary_part(p, part, cols, row_scales);
            left -= part;
        }
        w = add(p, TN_OP_concat, NULL, parts, n, NULL, 0);
    } else {
        w = ternary_part(p, rows, cols, row_scales);
    }
    if (rand_one_in(&p->rand, 3)) {
        TnType t = p->g->nodes[w].type;
        t.enc = rand_one_in(&p->rand, 4) ? TN_ENC_t8 : TN_ENC_p64;
        w = add(p, TN_OP_pack, &t, &w, 1, NULL, 0);
    }
    return w;
}

/* ---- values */

static Value keep(Gen *p, TnRef ref, double mag) {
    const TnType *t = &p->g->nodes[ref].type;
    Value v = {ref, tn_dim_sym(t->dim[0]), t->dim[1], mag};
    if (p->n < VALUES_MAX) p->v[p->n++] = v;
    return v;
}

static double log2_up(double x) { /* rounded up */
    double n = 0;
    for (; x > 1; x /= 2) n++;
    return n;
}

static Value norm(Gen *p, Value x) {
    TnAttr eps = {.key = TN_ATTR_eps, .f = rand_float(&p->rand, 1e-6f, 1e-3f)};
    TnRef args[2] = {x.ref, dense(p, 1, 0, x.cols)};
    return keep(p, add(p, TN_OP_rmsnorm, NULL, args, 2, &eps, 1), log2_up((double)x.cols));
}

/* A MAP op whose results have a known bound, and which has trait `also` unless that is TN_TRAIT_COUNT. The rows of
 * ir/ops.def decide, so a new op is drawn without a change here. */
static TnOp some_map(Gen *p, TnTrait also) {
    TnOp fit[TN_OP_COUNT];
    int n = 0;
    for (int op = 0; op < TN_OP_COUNT; op++) {
        bool bounded = tn_op_is((TnOp)op, TN_TRAIT_LINEAR) || tn_op_is((TnOp)op, TN_TRAIT_SQUARE);
        if (tn_ops[op].class == TN_MAP && bounded && (also == TN_TRAIT_COUNT || tn_op_is((TnOp)op, also)))
            fit[n++] = (TnOp)op;
    }
    return fit[rand_in(&p->rand, 0, n - 1)];
}

/* The op applied to x, y, x, y .., as many as it takes; out_mag gets the bound. */
static TnRef map(Gen *p, TnOp op, Value x, Value y, double *out_mag) {
    bool linear = tn_op_is(op, TN_TRAIT_LINEAR);
    TnRef args[8];
    uint32_t n = tn_ops[op].max_args;
    double mag = linear || n > 1 ? x.mag : 2 * x.mag;
    for (uint32_t i = 0; i < n; i++) {
        Value v = i % 2 ? y : x;
        args[i] = v.ref;
        if (i) mag = !linear ? mag + v.mag : (mag > v.mag ? mag : v.mag) + 1;
    }
    *out_mag = mag;
    return add(p, op, NULL, args, n, NULL, 0);
}

/* An activation. */
static Value gate(Gen *p, TnRef x, double mag) {
    Value v = {.ref = x, .mag = mag};
    v.ref = map(p, some_map(p, TN_TRAIT_GATE), v, v, &v.mag);
    return v;
}

/* A value with that leading symbol, small enough for any op. */
static Value value(Gen *p, TnSym sym) {
    for (int tries = 0;; tries++) {
        Value v = p->v[tries < 100 ? rand_in(&p->rand, 0, p->n - 1) : 0];
        if (tries >= 100 && sym != TN_T) {
            TnRef args[2] = {v.ref, sym == TN_R ? p->rows : p->hrows};
            v = keep(p, add(p, TN_OP_gather, NULL, args, 2, NULL, 0), v.mag);
        }
        if (v.sym == sym) return v.mag > 16 ? norm(p, v) : v;
    }
}

/* A product. Sometimes there is a column-major copy of the weights too. */
static TnRef product(Gen *p, TnRef q, TnRef w) {
    TnRef args[3] = {q, w};
    uint32_t n = 2;
    if (rand_one_in(&p->rand, 5)) args[n++] = add(p, TN_OP_colmajor, NULL, &w, 1, NULL, 0);
    TnRef acc = add(p, TN_OP_tmatmul, NULL, args, n, NULL, 0);
    return add(p, TN_OP_dequant, NULL, (TnRef[]){acc, q, w}, 3, NULL, 0);
}

static Value tmatmul(Gen *p, Value x, int64_t cols) {
    TnRef q = add(p, TN_OP_quant, NULL, &x.ref, 1, NULL, 0);
    TnRef y = product(p, q, ternary(p, cols, x.cols));
    return keep(p, y, x.mag + log2_up((double)x.cols) + 2); /* |scale| and |w| are at most 2 */
}

/* A matrix whose rows have a scale for every n columns. */
static TnRef grouped_part(Gen *p, int64_t rows, int64_t cols, uint32_t n) {
    TnType t = tn_type(rand_one_in(&p->rand, 3) ? TN_ENC_r64 : TN_ENC_t8, 2, (TnDim)rows, (TnDim)cols);
    t.group = n;
    t.two = rand_one_in(&p->rand, 3);
    return source(p, t);
}

static TnRef grouped(Gen *p, int64_t rows, int64_t cols, uint32_t n) {
    int64_t first = rows > 1 && rand_one_in(&p->rand, 4) ? rand_in(&p->rand, 1, rows - 1) : rows;
    TnRef w = grouped_part(p, first, cols, n);
    if (first < rows) {
        TnRef parts[2] = {w, 0};
        parts[1] = grouped_part(p, rows - first, cols, n);
        w = add(p, TN_OP_concat, NULL, parts, 2, NULL, 0);
    }
    if (rand_one_in(&p->rand, 3)) {
        TnType t = p->g->nodes[w].type;
        t.enc = rand_one_in(&p->rand, 2) ? TN_ENC_t8 : TN_ENC_r64;
        w = add(p, TN_OP_pack, &t, &w, 1, NULL, 0);
    }
    return w;
}

/* A product by groups of a row of whole groups; sometimes two of them, for pass merge. */
static Value tmatmul_groups(Gen *p, Value x, int64_t cols) {
    uint32_t n = 64;
    while (n < 256 && x.cols % (2 * n) == 0 && rand_one_in(&p->rand, 2)) n *= 2;
    TnAttr of = {.key = TN_ATTR_n, .i = n};
    TnRef q = add(p, TN_OP_quant_groups, NULL, &x.ref, 1, &of, 1);
    Value y = {0};
    for (int i = rand_one_in(&p->rand, 3) ? 2 : 1; i; i--) {
        TnRef args[2] = {q, grouped(p, cols, x.cols, n)};
        y = keep(p, add(p, TN_OP_tmatmul_groups, NULL, args, 2, NULL, 0),
                 x.mag + log2_up((double)x.cols) + 2);
    }
    return y;
}

static Value matmul(Gen *p, Value x, int64_t cols) {
    TnRef args[2] = {x.ref, dense(p, 2, cols, x.cols)};
    return keep(p, add(p, TN_OP_matmul, NULL, args, 2, NULL, 0), x.mag + log2_up((double)x.cols));
}

/* x plus a vector, or times a number. */
static Value affine(Gen *p, Value x) {
    if (rand_one_in(&p->rand, 2)) {
        TnRef w = dense(p, 1, 0, x.cols);
        return keep(p, add(p, TN_OP_bias, NULL, (TnRef[]){x.ref, w}, 2, NULL, 0), x.mag + 1);
    }
    TnAttr by = {.key = TN_ATTR_scale, .f = rand_float(&p->rand, -2, 2)};
    return keep(p, add(p, TN_OP_times, NULL, &x.ref, 1, &by, 1), x.mag + 1);
}

static Value linear(Gen *p, Value x, int64_t cols) {
    Value y = x.cols % 64 == 0 && rand_one_in(&p->rand, 2) ? tmatmul_groups(p, x, cols)
              : rand_one_in(&p->rand, 3)                   ? matmul(p, x, cols)
                                                           : tmatmul(p, x, cols);
    return rand_one_in(&p->rand, 6) ? affine(p, y) : y;
}

static Value embed(Gen *p) {
    int64_t cols = some_cols(&p->rand);
    TnRef args[2] = {p->ids, 0};
    if (rand_one_in(&p->rand, 4))
        args[1] = ternary(p, p->vocab, cols);
    else if (cols % 64 == 0)
        args[1] = grouped_part(p, p->vocab, cols, 64);
    else
        args[1] = dense(p, 2, p->vocab, cols);
    return keep(p, add(p, TN_OP_embed, NULL, args, 2, NULL, 0), 2);
}

/* Each head normed. */
static Value headnorm(Gen *p, Value x, int64_t head) {
    TnAttr eps = {.key = TN_ATTR_eps, .f = rand_float(&p->rand, 1e-6f, 1e-3f)};
    TnRef args[2] = {x.ref, dense(p, 1, 0, head)};
    return keep(p, add(p, TN_OP_headnorm, NULL, args, 2, &eps, 1), log2_up((double)head));
}

/* T rows, rotated; heads of an even divisor of the columns. */
static Value rope(Gen *p, Value x, int64_t head) {
    if (rand_one_in(&p->rand, 4)) x = headnorm(p, x, head);
    if (head % 2) return x;
    TnType t = tn_type(TN_ENC_f32, 2, (TnDim)2, (TnDim)(head / 2));
    TnAttr base = {.key = TN_ATTR_base, .f = rand_float(&p->rand, 2, 10000)};
    TnAttr mode = {.key = TN_ATTR_mode, .s = rand_one_in(&p->rand, 2) ? "half" : "pair"};
    TnRef factors = TN_NONE;
    if (rand_one_in(&p->rand, 3)) {
        float values[512];
        for (int64_t i = 0; i < head / 2; i++) values[i] = rand_float(&p->rand, 0.5f, 8);
        TnAttr a = {.key = TN_ATTR_values, .n = (uint32_t)(head / 2), .fs = values};
        TnType ft = tn_type(TN_ENC_f32, 1, (TnDim)(head / 2));
        factors = add(p, TN_OP_const, &ft, NULL, 0, &a, 1);
    }
    TnRef freq = add(p, TN_OP_rope_freq, &t, &factors, factors != TN_NONE, &base, 1);
    TnRef angle = add(p, TN_OP_rope_angle, NULL, (TnRef[]){p->pos, freq}, 2, NULL, 0);
    return keep(p, add(p, TN_OP_rope, NULL, (TnRef[]){x.ref, angle}, 2, &mode, 1), x.mag + 1);
}

static void put(Gen *p, TnRef *cache, Value x) {
    TnRef args[5] = {*cache, x.ref, p->pos, p->slot, p->table};
    *cache = add(p, TN_OP_kv_put, NULL, args, 5, NULL, 0);
}

/* The attention of a layer, sometimes over caches that this step has not written. */
static void attend(Gen *p) {
    int layer = (int)rand_in(&p->rand, 0, p->layers - 1);
    int64_t kv = p->kv_heads * p->head;
    if (!rand_one_in(&p->rand, 5)) {
        put(p, &p->k[layer], rope(p, linear(p, value(p, TN_T), kv), p->head));
        put(p, &p->val[layer], linear(p, value(p, TN_T), kv));
    }
    Value q = value(p, TN_T);
    q = linear(p, q, kv * rand_in(&p->rand, 1, 3));
    if (q.mag > 24) q = norm(p, q);
    q = rope(p, q, p->head);
    TnAttr attrs[2] = {{.key = TN_ATTR_scale, .f = rand_float(&p->rand, 0.01f, 1)}, {.key = TN_ATTR_window}};
    attrs[1].i = rand_one_in(&p->rand, 2) ? 0 : rand_in(&p->rand, 1, 100);
    TnRef args[6] = {q.ref, p->k[layer], p->val[layer], p->pos, p->slot, p->table};
    if (rand_one_in(&p->rand, 4)) { /* as pass split leaves it */
        TnAttr rows = {.key = TN_ATTR_n, .i = 512};
        TnRef blocks = add(p, TN_OP_attend_blocks, NULL, args, 6, (TnAttr[]){attrs[0], attrs[1], rows}, 3);
        TnAttr heads = {.key = TN_ATTR_heads, .i = p->g->nodes[q.ref].type.dim[1] / p->head};
        keep(p,
             add(p, TN_OP_attend_join, NULL, (TnRef[]){blocks, p->pos}, 2, (TnAttr[]){attrs[1], rows, heads},
                 3),
             30);
        return;
    }
    keep(p, add(p, TN_OP_attend, NULL, args, 6, attrs, 2), 30);
}

static void output(Gen *p, TnRef r) {
    char name[16];
    snprintf(name, sizeof name, "o%d", p->outputs++);
    TnAttr a = {.key = TN_ATTR_name, .s = name};
    add(p, TN_OP_output, NULL, &r, 1, &a, 1);
}

/* A head by way of a shadow table, as pass shortlist makes it. */
static void shortlisted(Gen *p) {
    Value x = value(p, TN_R);
    int64_t rows = some_cols(&p->rand);
    TnRef w = dense(p, 2, rows, x.cols);
    TnEnc copy = rand_one_in(&p->rand, 2) ? TN_ENC_s8 : TN_ENC_s6;
    if (rows % 3 == 0) copy = TN_ENC_s5;
    TnType t = tn_type(copy, 2, (TnDim)rows, (TnDim)x.cols);
    TnRef s = add(p, TN_OP_pack, &t, &w, 1, NULL, 0);
    TnRef q = add(p, TN_OP_limbs, NULL, &x.ref, 1, NULL, 0);
    TnRef y = add(p, TN_OP_estimate, NULL, (TnRef[]){q, s}, 2, NULL, 0);
    TnRef head[] = {y, q, s, x.ref, w};
    TnAttr k = {.key = TN_ATTR_k, .i = rand_in(&p->rand, 1, 9)};
    output(p, add(p, TN_OP_rerank, NULL, head, 5, NULL, 0));
    TnRef top = add(p, TN_OP_rerank_top, NULL, head, 5, &k, 1);
    output(p, top);
    output(p, add(p, TN_OP_pick, NULL, (TnRef[]){x.ref, top, w}, 3, NULL, 0));
}

static void results(Gen *p) {
    if (rand_one_in(&p->rand, 4)) shortlisted(p);
    Value x = value(p, TN_R);
    output(p, add(p, TN_OP_argmax, NULL, &x.ref, 1, NULL, 0));
    TnAttr k = {.key = TN_ATTR_k, .i = rand_one_in(&p->rand, 8) ? 256 : rand_in(&p->rand, 1, 9)};
    TnRef top = add(p, TN_OP_topk, NULL, &x.ref, 1, &k, 1);
    TnRef take = add(p, TN_OP_take, NULL, (TnRef[]){x.ref, top}, 2, NULL, 0);
    output(p, top);
    output(p, take);
    output(p, x.ref);
}

/* The places of `wide` columns, of which at most `most` are kept. */
static TnRef places(Gen *p, int64_t wide, int64_t most) {
    bool *kept = tn_xcalloc((size_t)wide, sizeof *kept);
    for (int64_t i = 0, n = 0; i < wide; i++) n += kept[i] = n < most && !rand_one_in(&p->rand, 3);
    TnAttr mask = {.key = TN_ATTR_mask, .s = tn_mask_new(&p->g->arena, kept, wide)};
    free(kept);
    return add(p, TN_OP_places, NULL, NULL, 0, &mask, 1);
}

/* A ternary matrix in up to three pieces, some of which end in rows of zeros. */
static TnRef partly_dead(Gen *p, int64_t rows, int64_t cols) {
    TnRef parts[3];
    uint32_t n = 0;
    for (int64_t left = rows; left; n++) {
        int64_t piece = n == 2 || rand_one_in(&p->rand, 3) ? left : rand_in(&p->rand, 1, left);
        parts[n] = ternary_part(p, piece, cols, false);
        left -= piece;
        if (rand_one_in(&p->rand, 3)) continue;
        TnAttr of = {.key = TN_ATTR_n, .i = piece};
        TnRef args[2] = {parts[n], places(p, piece, piece)};
        parts[n] = add(p, TN_OP_keep_rows, NULL, args, 2, &of, 1);
    }
    return n == 1 ? parts[0] : add(p, TN_OP_concat, NULL, parts, n, NULL, 0);
}

/* A feed-forward layer with dead neurons, for pass prune. */
static void feed_forward(Gen *p, Value x) {
    int64_t cols = some_cols(&p->rand), out = some_cols(&p->rand);
    if (!rand_one_in(&p->rand, 6)) x = norm(p, x);
    TnRef q = add(p, TN_OP_quant, NULL, &x.ref, 1, NULL, 0), half[2];
    half[0] = product(p, q, partly_dead(p, cols, x.cols));
    half[1] = product(p, q, partly_dead(p, cols, x.cols));
    double mag = x.mag + log2_up((double)x.cols) + 2;
    Value act = gate(p, half[0], mag);
    half[0] = act.ref;
    if (rand_one_in(&p->rand, 2)) half[0] ^= half[1], half[1] ^= half[0], half[0] ^= half[1];
    TnRef y = add(p, TN_OP_mul, NULL, half, 2, NULL, 0);
    mag += act.mag;
    if (!rand_one_in(&p->rand, 3)) {
        TnAttr eps = {.key = TN_ATTR_eps, .f = rand_float(&p->rand, 1e-6f, 1e-3f)};
        TnRef args[2] = {y, dense(p, 1, 0, cols)};
        y = add(p, TN_OP_rmsnorm, NULL, args, 2, &eps, 1);
        mag = log2_up((double)cols);
    }
    if (cols > 1 && rand_one_in(&p->rand, 4)) { /* as prune leaves it */
        int64_t wide = cols + rand_in(&p->rand, 0, 9);
        TnRef at = places(p, wide, cols - 1), w = dense(p, 1, 0, wide);
        TnAttr attrs[2] = {{.key = TN_ATTR_eps, .f = 1e-5f}, {.key = TN_ATTR_n, .i = wide}};
        TnAttr n = {.key = TN_ATTR_n, .i = cols};
        w = add(p, TN_OP_keep_cols, NULL, (TnRef[]){w, at}, 2, &n, 1);
        y = add(p, TN_OP_rmsnorm, NULL, (TnRef[]){y, w, at}, 3, attrs, 2);
        q = add(p, TN_OP_quant, NULL, &y, 1, NULL, 0);
        w = ternary(p, out, wide);
        w = add(p, TN_OP_keep_cols, NULL, (TnRef[]){w, at}, 2, &n, 1);
        keep(p, product(p, q, w), 2 * log2_up((double)wide) + 3);
        return;
    }
    q = add(p, TN_OP_quant, NULL, &y, 1, NULL, 0);
    for (int64_t n = rand_one_in(&p->rand, 4) ? 2 : 1; n; n--)
        keep(p, product(p, q, ternary(p, out, cols)), mag + log2_up((double)cols) + 2);
}

/* The beginning of a feed-forward layer: two halves of one product, or two products that pass merge joins. */
static void gated(Gen *p, Value x) {
    int64_t cols = some_cols(&p->rand);
    TnRef half[2];
    double mag = x.mag + log2_up((double)x.cols) + 2;
    if (rand_one_in(&p->rand, 2)) {
        Value whole = tmatmul(p, x, 2 * cols);
        for (int i = 0; i < 2; i++) {
            TnAttr a[2] = {{.key = TN_ATTR_lo, .i = i * cols}, {.key = TN_ATTR_n, .i = cols}};
            half[i] = add(p, TN_OP_slice, NULL, &whole.ref, 1, a, 2);
        }
    } else {
        for (int i = 0; i < 2; i++) half[i] = tmatmul(p, x, cols).ref;
    }
    Value act = gate(p, half[0], mag);
    half[0] = act.ref;
    keep(p, add(p, TN_OP_mul, NULL, half, 2, NULL, 0), mag + act.mag);
}

/* Adds one node or a few. */
static void grow(Gen *p) {
    Rand *r = &p->rand;
    TnSym sym = rand_one_in(r, 4) ? TN_R : rand_one_in(r, 8) ? TN_H : TN_T;
    Value x = value(p, sym), y;
    Value same = x; /* of x's type */
    for (int tries = 0; tries < 20; tries++) {
        y = p->v[rand_in(r, 0, p->n - 1)];
        if (y.sym != x.sym || y.cols != x.cols || y.mag > 16) continue;
        same = y;
        break;
    }
    switch (rand_in(r, 0, 15)) {
    case 0:
        norm(p, x);
        break;
    case 1:
    case 2:
        linear(p, x, some_cols(r));
        break;
    case 3: /* two that share their input: food for merge */
        y = tmatmul(p, x, rand_in(r, 1, 20));
        tmatmul(p, x, y.cols);
        break;
    case 4:
    case 5:
    case 6:
    case 7: {
        double mag;
        TnRef made = map(p, some_map(p, TN_TRAIT_COUNT), x, same, &mag);
        keep(p, made, mag);
        break;
    }
    case 8: {
        int64_t lo = rand_in(r, 0, x.cols - 1);
        TnAttr a[2] = {{.key = TN_ATTR_lo, .i = lo}, {.key = TN_ATTR_n, .i = rand_in(r, 1, x.cols - lo)}};
        keep(p, add(p, TN_OP_slice, NULL, &x.ref, 1, a, 2), x.mag);
        break;
    }
    case 9:
        attend(p);
        break;
    case 10:
        x = value(p, TN_T);
        rope(p, x, x.cols % 4 || rand_one_in(r, 2) ? x.cols : x.cols / 2);
        break;
    case 11:
        if (rand_one_in(r, 2)) embed(p);
        x = value(p, TN_T);
        keep(p,
             add(p, TN_OP_gather, NULL, (TnRef[]){x.ref, rand_one_in(r, 2) ? p->rows : p->hrows}, 2, NULL, 0),
             x.mag);
        break;
    case 12:
        if (rand_one_in(r, 3)) results(p);
        break;
    case 13: /* gate and up: one product, joined again or not */
        if (rand_one_in(r, 2))
            feed_forward(p, x);
        else
            gated(p, x);
        break;
    case 15: { /* a row of whole groups, and a product of it */
        static const int64_t whole[] = {64, 128, 192, 256, 384, 512};
        y = linear(p, x, whole[rand_in(r, 0, (int64_t)TN_COUNT(whole) - 1)]);
        if (y.mag > 16) y = norm(p, y);
        tmatmul_groups(p, y, some_cols(r));
        break;
    }
    case 14: /* q, k and v: products of several widths */
        for (int64_t n = rand_in(r, 2, 4); n; n--) tmatmul(p, x, some_cols(r));
        break;
    }
}

static TnRef input(Gen *p, const char *name, TnType t) {
    TnAttr a = {.key = TN_ATTR_name, .s = name};
    return tn_node_add(p->g, TN_OP_input, name, &t, NULL, 0, &a, 1);
}

TnGraph *rand_graph(uint64_t seed) {
    return rand_small_graph(seed, 24);
}

static TnGraph *generate(uint64_t seed, int64_t most, bool extreme) {
    Gen *p = tn_xcalloc(1, sizeof *p);
    p->rand.s = seed;
    p->extreme = extreme;
    p->g = tn_graph_create("rand");
    TnDim t = tn_sym_dim(TN_T);
    p->ids = input(p, "ids", tn_type(TN_ENC_i32, 1, t));
    p->pos = input(p, "pos", tn_type(TN_ENC_i32, 1, t));
    p->slot = input(p, "slot", tn_type(TN_ENC_i32, 1, t));
    p->rows = input(p, "rows", tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_R)));
    p->hrows = input(p, "hrows", tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_H)));
    p->table = input(p, "table", tn_type(TN_ENC_i32, 2, tn_sym_dim(TN_S), tn_sym_dim(TN_P)));
    p->vocab = rand_in(&p->rand, 2, 40);
    p->kv_heads = rand_in(&p->rand, 1, 3);
    p->head = rand_one_in(&p->rand, 4) ? rand_in(&p->rand, 1, 70) : 2 * rand_in(&p->rand, 1, 20);
    p->layers = (int)rand_in(&p->rand, 1, RAND_LAYERS);
    for (int i = 0; i < p->layers; i++) {
        char k[2][4] = {{'k', (char)('0' + i)}, {'v', (char)('0' + i)}};
        p->k[i] = input(p, k[0], tn_type(TN_ENC_kc, 3, tn_sym_dim(TN_N), (TnDim)p->kv_heads, (TnDim)p->head));
        p->val[i] =
            input(p, k[1], tn_type(TN_ENC_vc, 3, tn_sym_dim(TN_N), (TnDim)p->kv_heads, (TnDim)p->head));
    }
    embed(p);
    for (int64_t n = rand_in(&p->rand, 1, most); n; n--) grow(p);
    results(p);
    output(p, value(p, TN_H).ref);
    for (int64_t n = rand_in(&p->rand, 0, 3); n; n--) output(p, p->v[rand_in(&p->rand, 0, p->n - 1)].ref);
    TnGraph *g = p->g;
    free(p);
    return g;
}

TnGraph *rand_small_graph(uint64_t seed, int64_t most) {
    return generate(seed, most, false);
}

TnGraph *rand_extreme_graph(uint64_t seed, int64_t most) {
    return generate(seed, most, true);
}

/* ---- a step for it */

/* The smallest vocabulary among the graph's tables, so that every id is in all of them. */
static int64_t vocab_of(const TnGraph *g) {
    int64_t v = INT32_MAX;
    for (TnRef r = 0; r < g->n; r++)
        if (g->nodes[r].op == TN_OP_embed && g->nodes[g->nodes[r].args[1]].type.dim[0] < v)
            v = g->nodes[g->nodes[r].args[1]].type.dim[0];
    return v;
}

void rand_step(RandStep *s, const TnGraph *g, Rand *r, int64_t rows) {
    bool first = s->sym[TN_S] == 0;
    if (first) {
        s->sym[TN_S] = rand_in(r, 1, RAND_SLOTS);
        s->sym[TN_P] = RAND_PAGES;
        s->sym[TN_N] = s->sym[TN_S] * s->sym[TN_P];
        for (int i = 0; i < s->sym[TN_N]; i++) {
            int j = (int)rand_in(r, 0, i);
            s->table[i] = s->table[j];
            s->table[j] = i;
        }
    }
    int64_t vocab = vocab_of(g), room = 64 * s->sym[TN_P], t = 0;
    for (int64_t tries = 0; t < rows && t < RAND_ROWS && tries < 1000; tries++) {
        int slot = (int)rand_in(r, 0, s->sym[TN_S] - 1);
        if (s->used[slot] == room) continue;
        s->ids[t] = (int32_t)rand_in(r, 0, vocab - 1);
        s->slot[t] = slot;
        s->pos[t++] = s->used[slot]++;
    }
    s->sym[TN_T] = t;
    s->sym[TN_R] = rand_in(r, t > 0, t);
    s->sym[TN_K] = rand_in(r, 0, s->sym[TN_R]);
    s->sym[TN_H] = rand_in(r, 0, t);
    for (int64_t i = 0; i < t; i++) {
        s->rows[i] = (int32_t)rand_in(r, 0, t - 1);
        s->hrows[i] = (int32_t)rand_in(r, 0, t - 1);
    }
}

void rand_fill(const RandStep *s, const char *name, void *data) {
    const struct {
        const char *name;
        const int32_t *from;
        int64_t n;
    } all[] = {{"ids", s->ids, s->sym[TN_T]},     {"pos", s->pos, s->sym[TN_T]},
               {"slot", s->slot, s->sym[TN_T]},   {"rows", s->rows, s->sym[TN_R]},
               {"hrows", s->hrows, s->sym[TN_H]}, {"table", s->table, s->sym[TN_N]}};
    for (size_t i = 0; i < TN_COUNT(all); i++)
        if (strcmp(all[i].name, name) == 0 && all[i].n) memcpy(data, all[i].from, (size_t)all[i].n * 4);
}

/* ---- later stages, in the simplest way */

void rand_kernels(TnGraph *g) {
    g->stage = TN_STAGE_FUSED;
    for (TnRef r = 0; r < g->n; r++) {
        TnOp op = g->nodes[r].op;
        char name[16];
        snprintf(name, sizeof name, "k%u", r);
        if (tn_op_computes(op)) tn_kernel_add(g, name, tn_ops[op].class == TN_ROOT ? r : TN_NONE, r, 1);
    }
}

void rand_plan(TnGraph *g, Rand *r) {
    int64_t off[TN_SYM_COUNT] = {0};
    g->stage = TN_STAGE_PLANNED;
    g->level = tn_strdup(&g->arena, rand_one_in(r, 2) ? "avx2" : "avx512-vnni");
    g->kv = (TnKv)rand_in(r, TN_KV_F16, TN_KV_I8);
    g->rows_lo = rand_in(r, 1, 3);
    g->rows_hi = g->rows_lo + rand_in(r, 0, 500);
    for (TnRef i = 0; i < g->n; i++) {
        TnNode *n = &g->nodes[i];
        if (n->type.enc == TN_ENC_kc || n->type.enc == TN_ENC_vc)
            n->type.enc = tn_kv_enc(g->kv, n->type.enc == TN_ENC_kc);
        if (n->kernel == TN_NONE || n->op == TN_OP_kv_put) continue;
        int64_t *at = &off[tn_dim_sym(n->type.dim[0])];
        tn_node_set_attr(g, i, (TnAttr){.key = TN_ATTR_off, .i = *at});
        *at += (int64_t)tn_row_bytes_aligned(&n->type) + 64 * rand_in(r, 0, 1);
    }
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        TnKernel *kn = &g->kernels[k];
        kn->target = "ref";
        kn->axis = rand_one_in(r, 2) ? TN_AXIS_ROWS : TN_AXIS_COLS;
        kn->grain = rand_in(r, 1, 64);
        kn->units = rand_in(r, 1, 64);
        if (kn->axis == TN_AXIS_COLS) { /* no new random number, so that the graph of a seed stays the same */
            kn->prefetch.ahead[TN_STREAM_DENSE][TN_INTO_L1] = kn->grain % 4 * 64;
            kn->prefetch.ahead[TN_STREAM_DENSE][TN_INTO_L2] = kn->units % 3 * 4096;
            kn->prefetch.ahead[TN_STREAM_LISTED][TN_INTO_L2] = kn->grain % 5 * 6;
            kn->prefetch.ahead[TN_STREAM_COLUMNS][TN_INTO_PAST] = kn->units % 4 * 20;
            kn->panels = kn->units % 2;
        }
        kn->barrier = rand_one_in(r, 2);
    }
}

/* ---- things that can be written but not run */

void rand_wild(TnGraph *g, Rand *r) {
    static const char *const names[] = {"a.b",      "_",         "x\"\\y",         "caf\xc3\xa9",
                                        "\xff\x01", "tab\there", "; not a comment"};
    for (int64_t n = rand_in(r, 1, 10); n; n--) {
        char name[300];
        int len = (int)rand_in(r, 1, rand_one_in(r, 10) ? 255 : 12);
        name[0] = "abcXYZ_"[rand_in(r, 0, 6)];
        for (int i = 1; i < len; i++) name[i] = "abcXYZ_.019"[rand_in(r, 0, 10)];
        name[len] = '\0';
        if (tn_map_get(&g->names, name, (size_t)len) != TN_MAP_NONE) continue;
        static const TnEnc encs[] = {TN_ENC_f32, TN_ENC_f16, TN_ENC_bf16, TN_ENC_q8_0, TN_ENC_q6_k,
                                     TN_ENC_i2s, TN_ENC_tq1, TN_ENC_tq2,  TN_ENC_t8};
        TnScale scale = {.rows = rand_in(r, 1, 9)};
        scale.scale = rand_float(r, -2, 2);
        TnDim cols = (TnDim)(256 * rand_in(r, 1, 5));
        TnType t = tn_type(encs[rand_in(r, 0, 8)], 2, (TnDim)scale.rows, cols);
        t.n_scales = tn_enc_is_ternary(t.enc);
        t.scales = t.n_scales ? &scale : NULL;
        uint64_t hash = rand_u64(r);
        hash >>= rand_in(r, 0, 63);
        TnAttr a[2] = {{.key = TN_ATTR_hash, .u = hash},
                       {.key = TN_ATTR_name, .s = names[rand_in(r, 0, (int64_t)TN_COUNT(names) - 1)]}};
        tn_node_add(g, TN_OP_gguf, name, &t, NULL, 0, a, 2);
        float values[6];
        for (int i = 0; i < 6; i++) {
            uint32_t bits = (uint32_t)rand_u64(r) & (rand_one_in(r, 3) ? 0x807fffffu : 0xffffffffu);
            memcpy(&values[i], &bits, 4);
            if (values[i] != values[i]) {
                bits = 0x7fc00000u;
                memcpy(&values[i], &bits, 4);
            }
        }
        TnAttr v = {.key = TN_ATTR_values, .n = 6, .fs = values};
        TnType ct = tn_type(TN_ENC_f32, 2, (TnDim)2, (TnDim)3);
        tn_node_add(g, TN_OP_const, NULL, &ct, NULL, 0, &v, 1);
    }
}
