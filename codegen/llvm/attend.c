/* Attention over the paged cache: one skeleton for decode, batches and prefill.
 *
 * A unit is one row and some of its heads, as tile has cut it: a few kv heads, or a part of the query heads
 * of one. Query heads of a unit that have a kv head in common share every load of its keys and values. Two
 * passes over the blocks of 64 positions:
 *
 *   scores  per block: s = q.k with 64 positions side by side (the K page is interleaved for that), block
 *           max, p = exp(s - m), sum of p. They are kept in scratch, a record a block: the largest max is
 *           not known before the last block
 *   values  per block: o = p.v with head dims side by side, weighed by exp(m - M) and added in the order of
 *           the blocks
 *
 * Each output is one fma chain in index order, so how many heads and lanes are in flight is free: enough to
 * fill the registers of the level and no more. Head dims that are no multiple of the tile are covered by a
 * last tile that overlaps the one before; its sums are kept apart and come out the same. */
#include "codegen/llvm/build.h"

#include <math.h>
#include "ir/layout.h"

#define MAX_TILES 64 /* of 32 head dims at least: heads of 2,048 */

typedef struct Attend {
    int64_t heads, kv_heads, group, head; /* query heads, kv heads, query heads taken together, head dim */
    int64_t parts;                        /* units that the query heads of a kv head are cut into */
    int64_t window;
    float scale;
    TnEnc k_enc, v_enc;
    int64_t k_page, v_page;         /* bytes */
    int lanes, at_once;             /* positions or dims, and query heads, in registers */
    int v_lanes, n_tiles;           /* the tiles of a head's dims */
    int64_t tile[MAX_TILES];        /* first dim */
    int many;                       /* lanes of a vector with one value a query head of the group */
    int64_t max_at, sum_at, record; /* in a block's record: p[group][64], then max and sum of each head */
    TnRef q, k, v, pos, slot, table;
    LLVMValueRef records, out, sums; /* scratch: the records, O[group][tile][lanes], many floats */
} Attend;

static Attend attend_of(const TnGraph *g, TnRef ref, int64_t units, const TnLevel *level) {
    const TnNode *n = &g->nodes[ref];
    const TnType *k = &g->nodes[n->args[1]].type, *v = &g->nodes[n->args[2]].type;
    Attend a = {.q = n->args[0],
                .k = n->args[1],
                .v = n->args[2],
                .pos = n->args[3],
                .slot = n->args[4],
                .table = n->args[5]};
    a.kv_heads = k->dim[1];
    a.head = k->dim[2];
    a.heads = n->type.dim[1] / a.head;
    a.parts = units > a.kv_heads ? units / a.kv_heads : 1;
    a.group = a.heads / a.kv_heads / a.parts;
    if (units > a.kv_heads ? units % a.kv_heads || a.heads % units : a.kv_heads % units)
        TN_BUG("attend: %lld units a row do not cut %lld heads of %lld kv heads", (long long)units,
               (long long)a.heads, (long long)a.kv_heads);
    a.window = tn_attr_int(n, TN_ATTR_window);
    a.scale = tn_attr_float(n, TN_ATTR_scale);
    a.k_enc = k->enc == TN_ENC_kc_f16 ? TN_ENC_f16 : TN_ENC_f32;
    a.v_enc = v->enc == TN_ENC_vc_f16 ? TN_ENC_f16 : TN_ENC_f32;
    a.k_page = (int64_t)tn_page_bytes(k);
    a.v_page = (int64_t)tn_page_bytes(v);
    /* 32 registers of 64 bytes: 4 heads x 4 registers; 16 of 32 bytes: 2 x 4; 32 of 16 bytes: 2 x 8 */
    a.at_once = level->bytes == 64 ? 4 : 2;
    a.lanes = level->bytes == 64 || (a.group == 1 && level->bytes == 32) ? 64 : 32;
    a.v_lanes = a.lanes <= a.head ? a.lanes : a.head >= 32 ? 32 : (int)a.head;
    for (a.many = 4; a.many < a.group; a.many *= 2) {
    }
    a.max_at = a.group * TN_PAGE * 4;
    a.sum_at = a.max_at + a.many * 4;
    a.record = (a.sum_at + a.many * 4 + 63) / 64 * 64;
    return a;
}

static bool can(const TnGraph *g, TnRef ref, const TnLevel *level) {
    const TnNode *n = &g->nodes[ref];
    TnEnc k = g->nodes[n->args[1]].type.enc, v = g->nodes[n->args[2]].type.enc;
    (void)level;
    if (n->kernel == TN_NONE || g->kernels[n->kernel].n != 1) return false;
    if ((k != TN_ENC_kc_f16 && k != TN_ENC_kc_f32) || (v != TN_ENC_vc_f16 && v != TN_ENC_vc_f32))
        return false;
    int64_t head = g->nodes[n->args[1]].type.dim[2], heads = n->type.dim[1] / head;
    return head <= MAX_TILES * 32 && heads / g->nodes[n->args[1]].type.dim[1] <= 64;
}

static LLVMTypeRef floats(TnLb *b, int lanes) {
    return LLVMVectorType(b->t_f32, (unsigned)lanes);
}

static LLVMValueRef load_cache(TnLb *b, TnEnc enc, LLVMValueRef ptr, int lanes) {
    if (enc == TN_ENC_f32) return tn_lb_load(b, floats(b, lanes), ptr, 4);
    return tn_lb_widen_f16(b, tn_lb_load(b, LLVMVectorType(b->t_i16, (unsigned)lanes), ptr, 2));
}

static LLVMValueRef load_int(TnLb *b, LLVMValueRef ptr) {
    return LLVMBuildSExt(b->b, tn_lb_load(b, b->t_i32, ptr, 4), b->t_i64, "");
}

/* The kv head's part of the page that holds block `block` of the row's slot. */
static LLVMValueRef page_head(TnLb *b, TnRef cache, LLVMValueRef pages, LLVMValueRef block,
                              LLVMValueRef kv_head, int64_t page_bytes, int64_t head_bytes) {
    LLVMValueRef page = load_int(b, tn_lb_elem(b, pages, block, 4));
    LLVMValueRef p = tn_lb_elem(b, tn_lb_operand(b, cache), page, page_bytes);
    return tn_lb_elem(b, p, kv_head, head_bytes);
}

/* s = (q.k) * scale for all heads of the group into the record. */
static void scores(TnLb *b, const Attend *a, LLVMValueRef q, LLVMValueRef k, LLVMValueRef record) {
    int64_t elem = tn_enc_bytes(a->k_enc);
    int unroll = a->head % 2 ? 1 : 2;
    for (int64_t h0 = 0; h0 < a->group; h0 += a->at_once) {
        int n = (int)(a->group - h0 < a->at_once ? a->group - h0 : a->at_once);
        for (int part = 0; part < TN_PAGE; part += a->lanes) {
            LLVMValueRef acc[4];
            TnLoop l = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, a->head), unroll);
            for (int h = 0; h < n; h++) acc[h] = tn_lb_carry(b, &l, LLVMConstNull(floats(b, a->lanes)));
            LLVMValueRef k_row = tn_lb_elem(b, tn_lb_atc(b, k, part * elem), l.i, TN_PAGE * elem);
            LLVMValueRef q_at = tn_lb_elem(b, tn_lb_atc(b, q, h0 * a->head * 4), l.i, 4);
            for (int u = 0; u < unroll; u++) {
                LLVMValueRef keys =
                    load_cache(b, a->k_enc, tn_lb_atc(b, k_row, u * TN_PAGE * elem), a->lanes);
                for (int h = 0; h < n; h++) {
                    LLVMValueRef x = tn_lb_load(b, b->t_f32, tn_lb_atc(b, q_at, (h * a->head + u) * 4), 4);
                    acc[h] = tn_lb_fma(b, tn_lb_splat(b, x, a->lanes), keys, acc[h]);
                }
            }
            for (int h = 0; h < n; h++) tn_lb_next(&l, h, acc[h]);
            tn_lb_loop_end(b, &l);
            for (int h = 0; h < n; h++) {
                LLVMValueRef s =
                    LLVMBuildFMul(b->b, l.out[h], tn_lb_splat_const(b, tn_lb_f32(b, a->scale), a->lanes), "");
                tn_lb_store(b, s, tn_lb_atc(b, record, ((h0 + h) * TN_PAGE + part) * 4), 64);
            }
        }
    }
}

/* Scores to p, max and sum, one head after the other. Positions lo..hi (i64) of the block are unmasked. */
static void softmax(TnLb *b, const Attend *a, LLVMValueRef record, LLVMValueRef lo, LLVMValueRef hi) {
    LLVMValueRef in[2];
    for (int i = 0; i < 2; i++) {
        LLVMValueRef j = LLVMBuildAdd(b->b, tn_lb_iota(b, TN_LANES), tn_lb_vi(b, i * TN_LANES), "");
        LLVMValueRef from = tn_lb_splat(b, LLVMBuildTrunc(b->b, lo, b->t_i32, ""), TN_LANES);
        LLVMValueRef to = tn_lb_splat(b, LLVMBuildTrunc(b->b, hi, b->t_i32, ""), TN_LANES);
        in[i] = LLVMBuildAnd(b->b, LLVMBuildICmp(b->b, LLVMIntSGE, j, from, ""),
                             LLVMBuildICmp(b->b, LLVMIntSLE, j, to, ""), "");
    }
    TnLoop heads = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, a->group), 1);
    LLVMValueRef at = tn_lb_elem(b, record, heads.i, TN_PAGE * 4), s[2], p[2];
    for (int i = 0; i < 2; i++) {
        s[i] = tn_lb_load(b, b->t_f32x, tn_lb_atc(b, at, i * TN_LANES * 4), 64);
        p[i] = LLVMBuildSelect(b->b, in[i], s[i], tn_lb_vf(b, -INFINITY), "");
    }
    LLVMValueRef m = tn_lb_tree(b, tn_lb_fmax(b, p[0], p[1]), TN_FOLD_FMAX),
                 m_x = tn_lb_splat(b, m, TN_LANES);
    for (int i = 0; i < 2; i++) {
        p[i] = tn_lb_exp(b, LLVMBuildFSub(b->b, s[i], m_x, ""));
        p[i] = LLVMBuildSelect(b->b, in[i], p[i], tn_lb_vf(b, 0.0f), "");
        tn_lb_store(b, p[i], tn_lb_atc(b, at, i * TN_LANES * 4), 64);
    }
    LLVMValueRef sum = tn_lb_tree(b, LLVMBuildFAdd(b->b, p[0], p[1], ""), TN_FOLD_FADD);
    tn_lb_store(b, m, tn_lb_elem(b, tn_lb_atc(b, record, a->max_at), heads.i, 4), 4);
    tn_lb_store(b, sum, tn_lb_elem(b, tn_lb_atc(b, record, a->sum_at), heads.i, 4), 4);
    tn_lb_loop_end(b, &heads);
}

static LLVMValueRef record_at(TnLb *b, const Attend *a, LLVMValueRef block) {
    return tn_lb_elem(b, a->records, block, a->record);
}

/* Turns every record's max into its weight exp(m - M); leaves L in a->sums. Heads lie side by side; the lanes
 * behind the group hold anything. */
static void weights(TnLb *b, const Attend *a, LLVMValueRef first, LLVMValueRef end) {
    LLVMTypeRef type = floats(b, a->many);
    TnLoop l = tn_lb_loop(b, first, end, 1);
    LLVMValueRef top = tn_lb_carry(b, &l, tn_lb_splat_const(b, tn_lb_f32(b, -INFINITY), a->many));
    LLVMValueRef m = tn_lb_load(b, type, tn_lb_atc(b, record_at(b, a, l.i), a->max_at), 4);
    tn_lb_next(&l, 0, tn_lb_fmax(b, top, m));
    tn_lb_loop_end(b, &l);
    top = l.out[0];

    l = tn_lb_loop(b, first, end, 1);
    LLVMValueRef sum = tn_lb_carry(b, &l, LLVMConstNull(type)), record = record_at(b, a, l.i);
    m = tn_lb_load(b, type, tn_lb_atc(b, record, a->max_at), 4);
    LLVMValueRef w = tn_lb_exp(b, LLVMBuildFSub(b->b, m, top, ""));
    LLVMValueRef part = tn_lb_load(b, type, tn_lb_atc(b, record, a->sum_at), 4);
    tn_lb_store(b, w, tn_lb_atc(b, record, a->max_at), 4);
    tn_lb_next(&l, 0, LLVMBuildFAdd(b->b, sum, LLVMBuildFMul(b->b, part, w, ""), ""));
    tn_lb_loop_end(b, &l);
    tn_lb_store(b, l.out[0], a->sums, 4);
}

/* O of head h, tile i, in scratch. */
static LLVMValueRef out_tile(TnLb *b, const Attend *a, int64_t h, int i) {
    return tn_lb_atc(b, a->out, (h * a->n_tiles + i) * a->lanes * 4);
}

/* o = p.v of positions lo..hi, then O = O + (o + 0) * w. */
static void values(TnLb *b, const Attend *a, LLVMValueRef v, LLVMValueRef record, LLVMValueRef lo,
                   LLVMValueRef hi) {
    int64_t elem = tn_enc_bytes(a->v_enc);
    LLVMTypeRef type = floats(b, a->v_lanes);
    LLVMValueRef end = LLVMBuildAdd(b->b, hi, tn_lb_i64(b, 1), "");
    for (int64_t h0 = 0; h0 < a->group; h0 += a->at_once) {
        int n = (int)(a->group - h0 < a->at_once ? a->group - h0 : a->at_once);
        for (int i = 0; i < a->n_tiles; i++) {
            TnLoop l = tn_lb_loop(b, lo, end, 1);
            LLVMValueRef acc[4];
            for (int h = 0; h < n; h++) acc[h] = tn_lb_carry(b, &l, LLVMConstNull(type));
            LLVMValueRef row = load_cache(
                b, a->v_enc, tn_lb_elem(b, tn_lb_atc(b, v, a->tile[i] * elem), l.i, a->head * elem),
                a->v_lanes);
            LLVMValueRef p = tn_lb_elem(b, tn_lb_atc(b, record, h0 * TN_PAGE * 4), l.i, 4);
            for (int h = 0; h < n; h++) {
                LLVMValueRef x = tn_lb_load(b, b->t_f32, tn_lb_atc(b, p, (int64_t)h * TN_PAGE * 4), 4);
                tn_lb_next(&l, h, tn_lb_fma(b, tn_lb_splat(b, x, a->v_lanes), row, acc[h]));
            }
            tn_lb_loop_end(b, &l);
            for (int h = 0; h < n; h++) {
                LLVMValueRef w = tn_lb_load(b, b->t_f32, tn_lb_atc(b, record, a->max_at + (h0 + h) * 4), 4);
                LLVMValueRef o = LLVMBuildFAdd(b->b, l.out[h], LLVMConstNull(type), "");
                o = LLVMBuildFMul(b->b, o, tn_lb_splat(b, w, a->v_lanes), "");
                LLVMValueRef at = out_tile(b, a, h0 + h, i);
                tn_lb_store(b, LLVMBuildFAdd(b->b, tn_lb_load(b, type, at, 64), o, ""), at, 64);
            }
        }
    }
}

/* One row, the group'th part of its query heads. */
static void head_group(TnLb *b, const Attend *a, LLVMValueRef row, LLVMValueRef group) {
    LLVMValueRef kv_head = LLVMBuildUDiv(b->b, group, tn_lb_i64(b, a->parts), "");
    LLVMValueRef last = load_int(b, tn_lb_operand_row(b, a->pos, row));
    LLVMValueRef slot = load_int(b, tn_lb_operand_row(b, a->slot, row));
    LLVMValueRef pages =
        tn_lb_elem(b, tn_lb_operand(b, a->table), LLVMBuildMul(b->b, slot, b->sym[TN_P], ""), 4);
    LLVMValueRef zero = tn_lb_i64(b, 0), page = tn_lb_i64(b, TN_PAGE), full = tn_lb_i64(b, TN_PAGE - 1);
    LLVMValueRef first = zero;
    if (a->window > 0) first = tn_lb_max(b, zero, LLVMBuildSub(b->b, last, tn_lb_i64(b, a->window - 1), ""));
    LLVMValueRef b0 = LLVMBuildUDiv(b->b, first, page, "");
    LLVMValueRef end = LLVMBuildAdd(b->b, LLVMBuildUDiv(b->b, last, page, ""), tn_lb_i64(b, 1), "");
    LLVMValueRef q = tn_lb_elem(b, tn_lb_operand_row(b, a->q, row), group, a->group * a->head * 4);

    for (int64_t h = 0; h < a->group; h++)
        for (int i = 0; i < a->n_tiles; i++)
            tn_lb_store(b, LLVMConstNull(floats(b, a->v_lanes)), out_tile(b, a, h, i), 64);
    for (int pass = 0; pass < 2; pass++) {
        TnLoop l = tn_lb_loop(b, b0, end, 1);
        LLVMValueRef start = LLVMBuildMul(b->b, l.i, page, "");
        LLVMValueRef lo = tn_lb_max(b, zero, LLVMBuildSub(b->b, first, start, ""));
        LLVMValueRef hi = tn_lb_min(b, full, LLVMBuildSub(b->b, last, start, ""));
        LLVMValueRef record = record_at(b, a, l.i);
        if (pass == 0) {
            LLVMValueRef k = page_head(b, a->k, pages, l.i, kv_head, a->k_page, a->k_page / a->kv_heads);
            scores(b, a, q, k, record);
            softmax(b, a, record, lo, hi);
        } else {
            LLVMValueRef v = page_head(b, a->v, pages, l.i, kv_head, a->v_page, a->v_page / a->kv_heads);
            values(b, a, v, record, lo, hi);
        }
        tn_lb_loop_end(b, &l);
        if (pass == 0) weights(b, a, b0, end);
    }
    LLVMValueRef y = tn_lb_elem(b, tn_lb_operand_row(b, b->k->root, row), group, a->group * a->head * 4);
    for (int64_t h = 0; h < a->group; h++) {
        LLVMValueRef sum =
            tn_lb_splat(b, tn_lb_load(b, b->t_f32, tn_lb_atc(b, a->sums, h * 4), 4), a->v_lanes);
        for (int i = 0; i < a->n_tiles; i++) {
            LLVMValueRef o = tn_lb_load(b, floats(b, a->v_lanes), out_tile(b, a, h, i), 64);
            tn_lb_store(b, LLVMBuildFDiv(b->b, o, sum, ""), tn_lb_atc(b, y, (h * a->head + a->tile[i]) * 4),
                        4);
        }
    }
}

static void kernel(TnLb *b) {
    Attend a = attend_of(b->g, b->k->root, b->k->units, b->level);
    for (int64_t d = 0; d < a.head; d += a.v_lanes) {
        TN_CHECK(a.n_tiles < MAX_TILES);
        a.tile[a.n_tiles++] = d + a.v_lanes <= a.head ? d : a.head - a.v_lanes;
    }
    a.out = tn_lb_scratch(b, (uint64_t)(a.group * a.n_tiles * a.lanes * 4));
    a.sums = tn_lb_scratch(b, (uint64_t)a.many * 4);
    a.records = tn_lb_scratch_pages(b, (uint64_t)a.record);

    /* A unit has `each` kv heads, all their query heads; or one of the `parts` of the query heads of one. */
    TnLoop units = tn_lb_loop(b, b->lo, b->hi, 1);
    LLVMValueRef row = LLVMBuildUDiv(b->b, units.i, tn_lb_i64(b, b->k->units), "");
    LLVMValueRef unit = LLVMBuildURem(b->b, units.i, tn_lb_i64(b, b->k->units), "");
    int64_t each = b->k->units < a.kv_heads ? a.kv_heads / b->k->units : 1;
    TnLoop heads = tn_lb_loop(b, tn_lb_i64(b, 0), tn_lb_i64(b, each), 1);
    LLVMValueRef group = LLVMBuildMul(b->b, unit, tn_lb_i64(b, each), "");
    head_group(b, &a, row, LLVMBuildAdd(b->b, group, heads.i, ""));
    tn_lb_loop_end(b, &heads);
    tn_lb_loop_end(b, &units);
}

extern const TnLlvmOp tn_llvm_op_attend;
const TnLlvmOp tn_llvm_op_attend = {.can = can, .kernel = kernel};
