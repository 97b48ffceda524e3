/* Attention over the paged cache: attend, and its halves attend_blocks and attend_join.
 *
 * A block is 64 positions, one page of the cache. The query heads of a kv head share each load of its keys
 * and values.
 *
 *   scores  s = q.k with 64 positions side by side (the K page is interleaved for that)
 *   softmax block max m, p = exp(s - m), sum of p
 *   values  o = p.v with head dims side by side
 *
 * attend: a unit is one row and some of its heads, as pass tile has cut them: a few kv heads, or a part of
 * the query heads of one. It makes two passes over the blocks, since the largest max M is not known before
 * the last block. The first pass computes scores and softmax and keeps them in scratch, a record for each
 * block. The second computes the values, weights them by exp(m - M) and adds them in the order of the blocks.
 * If a unit is one kv head, runs of rows are computed many at once: attend_rows.c.
 *
 * attend_blocks: units are only numbers here. The code counts all (block, kv head, row) of this step's rows,
 * and a tile takes the same share of them as it has of the units. So any split into tiles covers each of them
 * once, and at any depth all workers have equal work. A block's m, sum and o go to memory. The values of a
 * block are prefetched while its scores are computed, and the keys of the next block while its values are
 * added up. attend_join: computes weights and sums of a row from these, heads side by side.
 *
 * Each output is one fma chain in index order, so the number of heads and lanes in flight changes no bit. We
 * use enough to fill the registers of the level and no more. If the head dim is not a multiple of the tile,
 * the last tile overlaps the one before; its sums are separate and come out the same. Codes of an int8 cache
 * are widened without their scale; the key's scale multiplies the finished score, the value's scale
 * multiplies p. */
#include "codegen/llvm/ops/attend.h"

#include <math.h>
#include "ir/type_layout.h"

/* A kv head's part of a page. */
typedef struct Block {
    LLVMValueRef k, v;    /* elements */
    LLVMValueRef next;    /* bytes to prefetch while v is read; NULL: prefetch nothing, not v either */
    LLVMValueRef lo, hi;  /* positions lo..hi are unmasked */
    LLVMValueRef p, m, l; /* results: [group][64] scores or p, one max and one sum for each head */
} Block;

TnAttend tn_attend_of(const TnGraph *g, TnRef ref, int64_t units, const TnLevel *level) {
    const TnNode *n = &g->nodes[ref];
    const TnType *k = &g->nodes[n->args[1]].type;
    TnAttend a = {.q = n->args[0],
                  .k = n->args[1],
                  .v = n->args[2],
                  .pos = n->args[3],
                  .slot = n->args[4],
                  .table = n->args[5]};
    a.kv_heads = k->dim[1];
    a.head = k->dim[2];
    a.heads = g->nodes[n->args[0]].type.dim[1] / a.head;
    a.parts = units > a.kv_heads ? units / a.kv_heads : 1;
    a.group = a.heads / a.kv_heads / a.parts;
    if (units > a.kv_heads ? units % a.kv_heads || a.heads % units : a.kv_heads % units)
        TN_BUG("attend: %lld units a row do not cut %lld heads of %lld kv heads", (long long)units,
               (long long)a.heads, (long long)a.kv_heads);
    a.window = tn_attr_int(n, TN_ATTR_window);
    a.scale = tn_attr_float(n, TN_ATTR_scale);
    a.size = tn_enc_bytes(k->enc); /* both caches have the same elements */
    a.page = (int64_t)tn_page_bytes(k);
    a.page_head = (int64_t)tn_page_head_bytes(k);
    /* 32 registers of 64 bytes: 4 heads x 4 registers; 16 of 32 bytes: 2 x 4; 32 of 16 bytes: 2 x 8 */
    a.at_once = level->bytes == 64 ? 4 : 2;
    a.lanes = level->bytes == 64 || (a.group == 1 && level->bytes == 32) ? 64 : 32;
    a.v_lanes = a.lanes <= a.head ? a.lanes : a.head >= 32 ? 32 : (int)a.head;
    for (a.many = 4; a.many < a.group; a.many *= 2) {
    }
    a.max_at = a.group * TN_PAGE * 4;
    a.sum_at = a.max_at + a.many * 4;
    a.record = (a.sum_at + a.many * 4 + 63) / 64 * 64;
    a.n_tiles = (int)((a.head + a.v_lanes - 1) / a.v_lanes);
    return a;
}

static bool can_attend(const TnGraph *g, TnRef ref, const TnLevel *level) {
    const TnNode *n = &g->nodes[ref];
    const TnType *k = &g->nodes[n->args[1]].type;
    (void)level;
    if (n->kernel == TN_NONE || g->kernels[n->kernel].n != 1 || k->enc == TN_ENC_kc) return false;
    int64_t heads = g->nodes[n->args[0]].type.dim[1] / k->dim[2];
    return k->dim[2] <= TN_ATTEND_HEAD && heads / k->dim[1] <= 64;
}

static LLVMTypeRef floats(TnBuilder *b, int lanes) {
    return LLVMVectorType(b->t_f32, (unsigned)lanes);
}

LLVMValueRef tn_attend_load(TnBuilder *b, const TnAttend *a, LLVMValueRef ptr, int lanes) {
    if (a->size == 4) return tn_build_load(b, floats(b, lanes), ptr, 4);
    if (a->size == 1)
        return tn_build_widen_i8(b, tn_build_load(b, LLVMVectorType(b->t_i8, (unsigned)lanes), ptr, 1));
    return tn_build_widen_f16(b, tn_build_load(b, LLVMVectorType(b->t_i16, (unsigned)lanes), ptr, 2));
}

/* Prefetches `bytes` from ptr on into L2, line by line. */
static void fetch(TnBuilder *b, LLVMValueRef ptr, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) tn_build_prefetch(b, tn_build_atc(b, ptr, i), TN_INTO_L2);
}

LLVMValueRef tn_attend_int(TnBuilder *b, LLVMValueRef ptr) {
    return tn_build_sext(b, tn_build_load(b, b->t_i32, ptr, 4), b->t_i64);
}

LLVMValueRef tn_attend_page(TnBuilder *b, const TnAttend *a, TnRef cache, LLVMValueRef pages,
                            LLVMValueRef block, LLVMValueRef kv_head) {
    LLVMValueRef page = tn_attend_int(b, tn_build_elem(b, pages, block, 4));
    LLVMValueRef p = tn_build_elem(b, tn_build_operand(b, cache), page, a->page);
    return tn_build_elem(b, p, kv_head, a->page_head);
}

/* Stores s = (q.k) * scale for all heads of the group in k->p. */
static void scores(TnBuilder *b, const TnAttend *a, LLVMValueRef q, const Block *k) {
    int unroll = a->head % 2 ? 1 : 2;
    for (int64_t h0 = 0; h0 < a->group; h0 += a->at_once) {
        int n = (int)(a->group - h0 < a->at_once ? a->group - h0 : a->at_once);
        for (int part = 0; part < TN_PAGE; part += a->lanes) {
            int64_t turn = unroll * TN_PAGE * a->size;
            LLVMValueRef acc[4], k_row = tn_build_atc(b, k->k, part * a->size);
            LLVMValueRef q_at = tn_build_atc(b, q, h0 * a->head * 4), v = NULL;
            if (k->next && h0 == 0) v = tn_build_atc(b, k->v, part * a->size);
            TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, a->head), unroll);
            for (int h = 0; h < n; h++) acc[h] = tn_build_carry(b, &l, LLVMConstNull(floats(b, a->lanes)));
            k_row = tn_build_walk(b, &l, k_row, turn);
            q_at = tn_build_walk(b, &l, q_at, unroll * 4);
            if (v) /* prefetch a line of values for each line of keys */
                fetch(b, tn_build_walk(b, &l, v, turn),
                      (a->lanes == TN_PAGE ? unroll : 1) * a->lanes * a->size);
            for (int u = 0; u < unroll; u++) {
                LLVMValueRef keys =
                    tn_attend_load(b, a, tn_build_atc(b, k_row, u * TN_PAGE * a->size), a->lanes);
                for (int h = 0; h < n; h++) {
                    LLVMValueRef x =
                        tn_build_load(b, b->t_f32, tn_build_atc(b, q_at, (h * a->head + u) * 4), 4);
                    acc[h] = tn_build_fma(b, tn_build_splat(b, x, a->lanes), keys, acc[h]);
                }
            }
            for (int h = 0; h < n; h++) tn_build_next(&l, h, acc[h]);
            tn_build_loop_end(b, &l);
            for (int h = 0; h < n; h++) {
                LLVMValueRef s = l.out[h];
                if (a->size == 1)
                    s = tn_build_fmul(b, s,
                                      tn_build_load(b, floats(b, a->lanes),
                                                    tn_build_atc(b, k->k, a->head * TN_PAGE + part * 4), 4));
                s = tn_build_fmul(b, s, tn_build_splat_const(b, tn_build_f32(b, a->scale), a->lanes));
                tn_build_store(b, s, tn_build_atc(b, k->p, ((h0 + h) * TN_PAGE + part) * 4), 64);
            }
        }
    }
}

LLVMValueRef tn_attend_unmasked(TnBuilder *b, LLVMValueRef of, LLVMValueRef first, LLVMValueRef lo,
                                LLVMValueRef hi, float other) {
    int lanes = (int)LLVMGetVectorSize(LLVMTypeOf(of));
    LLVMValueRef at[3] = {first, lo, hi};
    for (int i = 0; i < 3; i++) at[i] = tn_build_splat(b, tn_build_trunc(b, at[i], b->t_i32), lanes);
    at[0] = tn_build_add(b, at[0], tn_build_iota(b, lanes));
    LLVMValueRef in = tn_build_and(b, tn_build_icmp(b, LLVMIntSGE, at[0], at[1]),
                                   tn_build_icmp(b, LLVMIntSLE, at[0], at[2]));
    return tn_build_select(b, in, of, tn_build_splat_const(b, tn_build_f32(b, other), lanes));
}

/* Turns scores into p, max and sum, one head after the other. */
static void softmax(TnBuilder *b, const TnAttend *a, const Block *k) {
    LLVMValueRef zero = tn_build_i64(b, 0), page = tn_build_i64(b, TN_PAGE);
    TnLoop heads = tn_build_loop(b, zero, tn_build_i64(b, a->group), 1);
    LLVMValueRef at = tn_build_elem(b, k->p, heads.i, TN_PAGE * 4), s[2];
    for (int i = 0; i < 2; i++) {
        s[i] = tn_build_load(b, b->t_f32x, tn_build_atc(b, at, i * TN_LANES * 4), 64);
        s[i] = tn_attend_unmasked(b, s[i], tn_build_i64(b, i * TN_LANES), k->lo, k->hi, -INFINITY);
    }
    LLVMValueRef m = tn_build_tree(b, tn_build_fmax(b, s[0], s[1]), TN_FOLD_FMAX),
                 m_x = tn_build_splat(b, m, TN_LANES);
    TnLoop half = tn_build_loop(b, zero, page, TN_LANES);
    LLVMValueRef sum =
        tn_build_carry(b, &half, tn_build_vf(b, 0.0f)); /* no p is -0: the first is added unchanged */
    LLVMValueRef x = tn_build_elem(b, at, half.i, 4);
    LLVMValueRef score = tn_build_load(b, b->t_f32x, x, 64);
    LLVMValueRef p = tn_build_exp(b, tn_build_fsub(b, score, m_x));
    p = tn_build_fma(b, score, tn_build_vf(b, 0.0f), p); /* NaN if the score is not finite */
    p = tn_attend_unmasked(b, p, half.i, k->lo, k->hi, 0.0f);
    tn_build_next(&half, 0, tn_build_fadd(b, sum, p));
    if (a->size == 1) {
        LLVMValueRef scales = tn_build_elem(b, tn_build_atc(b, k->v, a->head * TN_PAGE), half.i, 4);
        p = tn_build_fmul(b, p, tn_build_load(b, b->t_f32x, scales, 4));
    }
    tn_build_store(b, p, x, 64);
    tn_build_loop_end(b, &half);
    tn_build_store(b, m, tn_build_elem(b, k->m, heads.i, 4), 4);
    tn_build_store(b, tn_build_tree(b, half.out[0], TN_FOLD_FADD), tn_build_elem(b, k->l, heads.i, 4), 4);
    tn_build_loop_end(b, &heads);
}

static LLVMValueRef record_at(TnBuilder *b, const TnAttend *a, LLVMValueRef block) {
    return tn_build_elem(b, a->records, block, a->record);
}

/* Turns the max in each record into its weight exp(m - M) and stores the sum L in a->sums. Heads lie side by
 * side; lanes after the group hold garbage. */
static void weights(TnBuilder *b, const TnAttend *a, LLVMValueRef first, LLVMValueRef end) {
    LLVMTypeRef type = floats(b, a->many);
    TnLoop l = tn_build_loop(b, first, end, 1);
    LLVMValueRef top = tn_build_carry(b, &l, tn_build_splat_const(b, tn_build_f32(b, -INFINITY), a->many));
    LLVMValueRef m = tn_build_load(b, type, tn_build_atc(b, record_at(b, a, l.i), a->max_at), 4);
    tn_build_next(&l, 0, tn_build_fmax(b, top, m));
    tn_build_loop_end(b, &l);
    top = l.out[0];

    l = tn_build_loop(b, first, end, 1);
    LLVMValueRef sum = tn_build_carry(b, &l, LLVMConstNull(type)), record = record_at(b, a, l.i);
    m = tn_build_load(b, type, tn_build_atc(b, record, a->max_at), 4);
    LLVMValueRef w = tn_build_exp(b, tn_build_fsub(b, m, top));
    LLVMValueRef part = tn_build_load(b, type, tn_build_atc(b, record, a->sum_at), 4);
    tn_build_store(b, w, tn_build_atc(b, record, a->max_at), 4);
    tn_build_next(&l, 0, tn_build_fadd(b, sum, tn_build_fmul(b, part, w)));
    tn_build_loop_end(b, &l);
    tn_build_store(b, l.out[0], a->sums, 4);
}

/* A loop over the tiles, and the first dim of tile i. The last tile may overlap the one before. */
static TnLoop tile_loop(TnBuilder *b, const TnAttend *a) {
    return tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, a->n_tiles), 1);
}
static LLVMValueRef tile_at(TnBuilder *b, const TnAttend *a, LLVMValueRef i) {
    LLVMValueRef d = tn_build_mul(b, i, tn_build_i64(b, a->v_lanes));
    return a->head % a->v_lanes ? tn_build_min(b, d, tn_build_i64(b, a->head - a->v_lanes)) : d;
}

/* O of head h (i64), tile i (i64), in scratch. */
static LLVMValueRef out_tile(TnBuilder *b, const TnAttend *a, LLVMValueRef h, LLVMValueRef i) {
    LLVMValueRef at = tn_build_elem(b, a->out, h, (int64_t)a->n_tiles * a->lanes * 4);
    return tn_build_elem(b, at, i, a->lanes * 4);
}

/* o = p.v for tile i, which begins at dim d, and n heads from h0 on. out[h] is o[h] + 0. */
static void value_tile(TnBuilder *b, const TnAttend *a, const Block *k, int64_t h0, int n, LLVMValueRef i,
                       LLVMValueRef d, LLVMValueRef out[4]) {
    LLVMTypeRef type = floats(b, a->v_lanes);
    LLVMValueRef end = tn_build_add(b, k->hi, tn_build_i64(b, 1)), next = NULL;
    LLVMValueRef v = tn_build_elem(b, tn_build_elem(b, k->v, d, a->size), k->lo, a->head * a->size);
    LLVMValueRef p = tn_build_elem(b, tn_build_atc(b, k->p, h0 * TN_PAGE * 4), k->lo, 4);
    int64_t bytes = a->v_lanes * a->size;
    if (k->next && h0 == 0)
        next = tn_build_elem(b, tn_build_elem(b, k->next, i, TN_PAGE * bytes), k->lo, bytes);
    TnLoop l = tn_build_loop(b, k->lo, end, 1);
    LLVMValueRef acc[4];
    for (int h = 0; h < n; h++) acc[h] = tn_build_carry(b, &l, LLVMConstNull(type));
    v = tn_build_walk(b, &l, v, a->head * a->size);
    p = tn_build_walk(b, &l, p, 4);
    /* Prefetch line after line, not only this tile's columns: a stream is fetched fastest. */
    if (next) fetch(b, tn_build_walk(b, &l, next, bytes), bytes);
    LLVMValueRef row = tn_attend_load(b, a, v, a->v_lanes);
    for (int h = 0; h < n; h++) {
        LLVMValueRef x = tn_build_load(b, b->t_f32, tn_build_atc(b, p, (int64_t)h * TN_PAGE * 4), 4);
        tn_build_next(&l, h, tn_build_fma(b, tn_build_splat(b, x, a->v_lanes), row, acc[h]));
    }
    tn_build_loop_end(b, &l);
    for (int h = 0; h < n; h++) out[h] = tn_build_fadd(b, l.out[h], LLVMConstNull(type));
}

/* O = O + o * w */
static void add_values(TnBuilder *b, const TnAttend *a, const Block *k) {
    TnLoop t = tile_loop(b, a);
    LLVMValueRef d = tile_at(b, a, t.i);
    for (int64_t h0 = 0; h0 < a->group; h0 += a->at_once) {
        int n = (int)(a->group - h0 < a->at_once ? a->group - h0 : a->at_once);
        LLVMValueRef o[4];
        value_tile(b, a, k, h0, n, t.i, d, o);
        for (int h = 0; h < n; h++) {
            LLVMValueRef w = tn_build_load(b, b->t_f32, tn_build_atc(b, k->m, (h0 + h) * 4), 4);
            LLVMValueRef at = out_tile(b, a, tn_build_i64(b, h0 + h), t.i);
            LLVMValueRef old = tn_build_load(b, floats(b, a->v_lanes), at, 64);
            o[h] = tn_build_fmul(b, o[h], tn_build_splat(b, w, a->v_lanes));
            tn_build_store(b, tn_build_fadd(b, old, o[h]), at, 64);
        }
    }
    tn_build_loop_end(b, &t);
}

/* Stores o as [group][head] at `to`. */
static void put_values(TnBuilder *b, const TnAttend *a, const Block *k, LLVMValueRef to) {
    TnLoop t = tile_loop(b, a);
    LLVMValueRef d = tile_at(b, a, t.i);
    to = tn_build_elem(b, to, d, 4);
    for (int64_t h0 = 0; h0 < a->group; h0 += a->at_once) {
        int n = (int)(a->group - h0 < a->at_once ? a->group - h0 : a->at_once);
        LLVMValueRef o[4];
        value_tile(b, a, k, h0, n, t.i, d, o);
        for (int h = 0; h < n; h++) tn_build_store(b, o[h], tn_build_atc(b, to, (h0 + h) * a->head * 4), 4);
    }
    tn_build_loop_end(b, &t);
}

/* The positions that a row sees: first..last of the pages. */
typedef struct Row {
    LLVMValueRef first, last, pages;
} Row;

static Row row_of(TnBuilder *b, const TnAttend *a, LLVMValueRef row) {
    Row r = {.first = tn_build_i64(b, 0), .last = tn_attend_int(b, tn_build_operand_row(b, a->pos, row))};
    LLVMValueRef slot = tn_attend_int(b, tn_build_operand_row(b, a->slot, row));
    r.pages = tn_build_elem(b, tn_build_operand(b, a->table), tn_build_mul(b, slot, b->sym[TN_P]), 4);
    if (a->window > 0)
        r.first = tn_build_max(b, r.first, tn_build_sub(b, r.last, tn_build_i64(b, a->window - 1)));
    return r;
}

static LLVMValueRef block_of(TnBuilder *b, LLVMValueRef position) {
    return tn_build_lshr(b, position, tn_build_i64(b, 6));
}

/* Sets k->lo and k->hi to the part of the block that the row sees. */
static void set_span(TnBuilder *b, const Row *r, LLVMValueRef block, Block *k) {
    LLVMValueRef start = tn_build_mul(b, block, tn_build_i64(b, TN_PAGE));
    k->lo = tn_build_max(b, tn_build_i64(b, 0), tn_build_sub(b, r->first, start));
    k->hi = tn_build_min(b, tn_build_i64(b, TN_PAGE - 1), tn_build_sub(b, r->last, start));
}

void tn_attend_row(TnBuilder *b, const TnAttend *a, LLVMValueRef row, LLVMValueRef group) {
    LLVMValueRef kv_head = tn_build_udiv(b, group, tn_build_i64(b, a->parts));
    Row r = row_of(b, a, row);
    LLVMValueRef b0 = block_of(b, r.first);
    LLVMValueRef end = tn_build_add(b, block_of(b, r.last), tn_build_i64(b, 1));
    LLVMValueRef q = tn_build_elem(b, tn_build_operand_row(b, a->q, row), group, a->group * a->head * 4);

    TnLoop z = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, a->group * a->n_tiles), 1);
    tn_build_store(b, LLVMConstNull(floats(b, a->v_lanes)), out_tile(b, a, tn_build_i64(b, 0), z.i), 64);
    tn_build_loop_end(b, &z);
    for (int pass = 0; pass < 2; pass++) {
        TnLoop l = tn_build_loop(b, b0, end, 1);
        LLVMValueRef record = record_at(b, a, l.i);
        Block k = {.k = tn_attend_page(b, a, a->k, r.pages, l.i, kv_head),
                   .v = tn_attend_page(b, a, a->v, r.pages, l.i, kv_head),
                   .p = record,
                   .m = tn_build_atc(b, record, a->max_at),
                   .l = tn_build_atc(b, record, a->sum_at)};
        set_span(b, &r, l.i, &k);
        if (pass == 0) {
            scores(b, a, q, &k);
            softmax(b, a, &k);
        } else {
            add_values(b, a, &k);
        }
        tn_build_loop_end(b, &l);
        if (pass == 0) weights(b, a, b0, end);
    }
    LLVMValueRef y =
        tn_build_elem(b, tn_build_operand_row(b, b->k->root, row), group, a->group * a->head * 4);
    TnLoop h = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, a->group), 1);
    LLVMValueRef sum = tn_build_load(b, b->t_f32, tn_build_elem(b, a->sums, h.i, 4), 4);
    y = tn_build_elem(b, y, h.i, a->head * 4);
    sum = tn_build_splat(b, sum, a->v_lanes);
    TnLoop t = tile_loop(b, a);
    LLVMValueRef o = tn_build_load(b, floats(b, a->v_lanes), out_tile(b, a, h.i, t.i), 64);
    tn_build_store(b, tn_build_fdiv(b, o, sum), tn_build_elem(b, y, tile_at(b, a, t.i), 4), 4);
    tn_build_loop_end(b, &t);
    tn_build_loop_end(b, &h);
}

static void kernel(TnBuilder *b) {
    TnAttend a = tn_attend_of(b->g, b->k->root, b->k->units, b->level);
    a.out = tn_build_scratch(b, (uint64_t)(a.group * a.n_tiles * a.lanes * 4));
    a.sums = tn_build_scratch(b, (uint64_t)a.many * 4);
    if (tn_attend_is_blocked(&a, b->k)) {
        tn_attend_rows_scratch(b, &a);
        int64_t record = tn_attend_rows_record(&a);
        a.records = tn_build_scratch_pages(b, (uint64_t)(record > a.record ? record : a.record));
        tn_attend_rows(b, &a);
        return;
    }
    a.records = tn_build_scratch_pages(b, (uint64_t)a.record);

    /* A unit has `each` kv heads with all their query heads, or one of the `parts` of the query heads of
     * one. */
    TnLoop units = tn_build_loop(b, b->lo, b->hi, 1);
    LLVMValueRef row = tn_build_udiv(b, units.i, tn_build_i64(b, b->k->units));
    LLVMValueRef unit = tn_build_urem(b, units.i, tn_build_i64(b, b->k->units));
    int64_t each = b->k->units < a.kv_heads ? a.kv_heads / b->k->units : 1;
    TnLoop heads = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, each), 1);
    LLVMValueRef group = tn_build_mul(b, unit, tn_build_i64(b, each));
    tn_attend_row(b, &a, row, tn_build_add(b, group, heads.i));
    tn_build_loop_end(b, &heads);
    tn_build_loop_end(b, &units);
}

const TnLlvmOp tn_llvm_op_attend = {.can = can_attend, .kernel = kernel};

/* ---- attend_blocks */

/* First and end of the blocks that any row sees. */
static void all_blocks(TnBuilder *b, const TnAttend *a, LLVMValueRef rows, LLVMValueRef *out_first,
                       LLVMValueRef *out_end) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), rows, 1);
    LLVMValueRef first = tn_build_carry(b, &l, tn_build_i64(b, INT64_MAX)),
                 last = tn_build_carry(b, &l, tn_build_i64(b, -1));
    Row r = row_of(b, a, l.i);
    tn_build_next(&l, 0, tn_build_min(b, first, block_of(b, r.first)));
    tn_build_next(&l, 1, tn_build_max(b, last, block_of(b, r.last)));
    tn_build_loop_end(b, &l);
    *out_first = l.out[0];
    *out_end = tn_build_add(b, l.out[1], tn_build_i64(b, 1));
}

/* Number `i` of all (block, kv head, row), in the order of memory: the heads of a page lie one after the
 * other, and rows may share a page. */
typedef struct Item {
    LLVMValueRef row, block, kv_head;
} Item;

static Item item_of(TnBuilder *b, LLVMValueRef i, LLVMValueRef rows, LLVMValueRef first,
                    LLVMValueRef kv_heads) {
    Item it;
    it.row = tn_build_urem(b, i, rows);
    i = tn_build_udiv(b, i, rows);
    it.kv_head = tn_build_urem(b, i, kv_heads);
    it.block = tn_build_add(b, first, tn_build_udiv(b, i, kv_heads));
    return it;
}

static void block_kernel(TnBuilder *b) {
    TN_CHECK(b->k->axis == TN_AXIS_ROWS);
    TnAttend a = tn_attend_of(b->g, b->k->root, 1, b->level);
    const TnNode *root = &b->g->nodes[b->k->root];
    bool one = tn_attr_int(root, TN_ATTR_n) == 1;
    int64_t plane = a.heads * (a.head + 2) * 4;
    LLVMValueRef p = tn_build_scratch(b, (uint64_t)(a.group * TN_PAGE * 4));
    LLVMValueRef rows = one ? tn_build_i64(b, 1) : tn_build_rows(b, a.q), first, end;
    all_blocks(b, &a, rows, &first, &end);
    LLVMValueRef blocks = tn_build_sub(b, end, first);
    LLVMValueRef kv_heads = tn_build_i64(b, a.kv_heads);
    LLVMValueRef items = tn_build_mul(b, tn_build_mul(b, blocks, rows), kv_heads);
    LLVMValueRef units = tn_build_mul(b, tn_build_rows(b, b->k->root), tn_build_i64(b, b->k->units));
    LLVMValueRef from = tn_build_udiv(b, tn_build_mul(b, b->lo, items), units);
    LLVMValueRef to = tn_build_udiv(b, tn_build_mul(b, b->hi, items), units);
    LLVMValueRef last = tn_build_sub(b, to, tn_build_i64(b, 1));

    TnLoop l = tn_build_loop(b, from, to, 1);
    Item it = item_of(b, l.i, rows, first, kv_heads);
    Row r = row_of(b, &a, it.row);
    Block k = {.k = tn_attend_page(b, &a, a.k, r.pages, it.block, it.kv_head),
               .v = tn_attend_page(b, &a, a.v, r.pages, it.block, it.kv_head),
               .p = p};
    set_span(b, &r, it.block, &k);
    TnIf seen = tn_build_if(b, tn_build_icmp(b, LLVMIntSLE, k.lo, k.hi));
    Item next =
        item_of(b, tn_build_min(b, tn_build_add(b, l.i, tn_build_i64(b, 1)), last), rows, first, kv_heads);
    Row next_row = row_of(b, &a, next.row);
    k.next = tn_attend_page(b, &a, a.k, next_row.pages, next.block, next.kv_head);
    LLVMValueRef q = tn_build_elem(b, tn_build_operand_row(b, a.q, it.row), it.kv_head, a.group * a.head * 4);
    LLVMValueRef y = tn_build_elem(b, tn_build_operand_row(b, b->k->root, it.block), it.row, plane);
    k.m = tn_build_elem(b, tn_build_atc(b, y, a.heads * a.head * 4), it.kv_head, a.group * 4);
    k.l = tn_build_atc(b, k.m, a.heads * 4);
    scores(b, &a, q, &k);
    softmax(b, &a, &k);
    put_values(b, &a, &k, tn_build_elem(b, y, it.kv_head, a.group * a.head * 4));
    tn_build_if_end(b, &seen);
    tn_build_loop_end(b, &l);
}

const TnLlvmOp tn_llvm_op_attend_blocks = {.can = can_attend, .kernel = block_kernel};

/* ---- attend_join */

#define MAX_HEADS (TN_LANES * 32)

/* n columns at y, 32 at a time: y += from * by, or y /= by if `from` is NULL. */
static void join_columns(TnBuilder *b, int64_t n, LLVMValueRef from, LLVMValueRef y, LLVMValueRef by) {
    int64_t whole = n / TN_LANES * TN_LANES;
    for (int tail = 0; tail < 2; tail++) {
        LLVMValueRef mask = tail ? tn_build_mask_block(b, n, whole, TN_LANES) : NULL;
        if (tail && whole == n) break;
        int64_t first = tail ? whole : 0, end = tail ? n : whole;
        TnLoop d = tn_build_loop(b, tn_build_i64(b, first), tn_build_i64(b, end), TN_LANES);
        LLVMValueRef at = tn_build_elem(b, y, d.i, 4), old = tn_build_load_masked(b, b->t_f32x, at, 4, mask),
                     v;
        if (from) {
            v = tn_build_load_masked(b, b->t_f32x, tn_build_elem(b, from, d.i, 4), 4, mask);
            v = tn_build_fadd(b, old, tn_build_fmul(b, v, by));
        } else {
            v = tn_build_fdiv(b, old, by);
        }
        tn_build_store_masked(b, v, at, 4, mask);
        tn_build_loop_end(b, &d);
    }
}

/* A row's blocks, and what becomes of them: with w = exp(m - M), the sum of o * w is divided by the sum of l * w. */
typedef struct Join {
    int64_t heads, head, row_bytes; /* bytes from a block's part to that of the next one */
    int parts;                      /* vectors of 32 heads */
    LLVMValueRef first, end;        /* the blocks */
    LLVMValueRef o, m, l;           /* block 0's part: [heads][head], max and sum of each head */
    LLVMValueRef w, sums, y;        /* w of a block and the sums of l * w, in scratch; the result */
} Join;

static Join join_of(TnBuilder *b, TnFrame *f, TnRef ref) {
    const TnNode *n = &b->g->nodes[ref];
    TnRef x = n->args[0];
    Join j = {.heads = tn_attr_int(n, TN_ATTR_heads),
              .row_bytes = (int64_t)tn_row_bytes(&b->g->nodes[x].type)};
    j.head = n->type.dim[1] / j.heads;
    j.parts = (int)((j.heads + TN_LANES - 1) / TN_LANES);
    int64_t window = tn_attr_int(n, TN_ATTR_window), plane = j.heads * (j.head + 2) * 4;
    LLVMValueRef zero = tn_build_i64(b, 0), last = tn_attend_int(b, tn_build_row_mem(b, f, n->args[1])),
                 first = zero;
    if (window > 0) first = tn_build_max(b, zero, tn_build_sub(b, last, tn_build_i64(b, window - 1)));
    j.first = block_of(b, first);
    j.end = tn_build_add(b, block_of(b, last), tn_build_i64(b, 1));
    j.o = tn_build_elem(b, tn_build_operand(b, x), f->row, plane);
    j.m = tn_build_atc(b, j.o, j.heads * j.head * 4);
    j.l = tn_build_atc(b, j.m, j.heads * 4);
    j.w = tn_build_scratch(b, (uint64_t)(j.heads + TN_LANES) * 4);
    j.sums = tn_build_scratch(b, (uint64_t)(j.heads + TN_LANES) * 4);
    j.y = tn_build_result_row(b, f, ref);
    return j;
}

/* top[parts]: M of each head. */
static void largest(TnBuilder *b, const Join *j, LLVMValueRef *top) {
    TnLoop l = tn_build_loop(b, j->first, j->end, 1);
    for (int i = 0; i < j->parts; i++) (void)tn_build_carry(b, &l, tn_build_vf(b, -INFINITY));
    for (int i = 0; i < j->parts; i++) {
        LLVMValueRef at = tn_build_atc(b, tn_build_elem(b, j->m, l.i, j->row_bytes), i * TN_LANES * 4);
        LLVMValueRef mask = tn_build_mask_block(b, j->heads, i * TN_LANES, TN_LANES);
        LLVMValueRef m = tn_build_load_masked(b, b->t_f32x, at, 4, mask);
        tn_build_next(&l, i, tn_build_fmax(b, l.phi[i], m));
    }
    tn_build_loop_end(b, &l);
    for (int i = 0; i < j->parts; i++) top[i] = l.out[i];
}

/* Sets the sums and the result to 0. */
static void clear(TnBuilder *b, const Join *j) {
    LLVMValueRef zero = tn_build_vf(b, 0.0f);
    for (int i = 0; i < j->parts; i++)
        tn_build_store(b, zero, tn_build_atc(b, j->sums, i * TN_LANES * 4), 64);
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, j->heads * j->head), TN_LANES);
    tn_build_store(b, zero, tn_build_elem(b, j->y, l.i, 4), 4);
    tn_build_loop_end(b, &l);
}

/* Stores w of a block, and adds l * w to the sums. */
static void weigh(TnBuilder *b, const Join *j, const LLVMValueRef *top, LLVMValueRef block) {
    for (int i = 0; i < j->parts; i++) {
        int64_t off = i * TN_LANES * 4;
        LLVMValueRef mask = tn_build_mask_block(b, j->heads, i * TN_LANES, TN_LANES),
                     sum_at = tn_build_atc(b, j->sums, off);
        LLVMValueRef from = tn_build_elem(b, j->m, block, j->row_bytes);
        LLVMValueRef m = tn_build_load_masked(b, b->t_f32x, tn_build_atc(b, from, off), 4, mask);
        from = tn_build_elem(b, j->l, block, j->row_bytes);
        LLVMValueRef part = tn_build_load_masked(b, b->t_f32x, tn_build_atc(b, from, off), 4, mask);
        LLVMValueRef w = tn_build_exp(b, tn_build_fsub(b, m, top[i]));
        tn_build_store(b, w, tn_build_atc(b, j->w, off), 64);
        LLVMValueRef sum = tn_build_load(b, b->t_f32x, sum_at, 64);
        tn_build_store(b, tn_build_fadd(b, sum, tn_build_fmul(b, part, w)), sum_at, 64);
    }
}

/* Head h's float of those at `from`, in all lanes. */
static LLVMValueRef of_head(TnBuilder *b, LLVMValueRef from, LLVMValueRef h) {
    return tn_build_splat(b, tn_build_load(b, b->t_f32, tn_build_elem(b, from, h, 4), 4), TN_LANES);
}

static void join(TnBuilder *b, TnFrame *f, TnRef ref) {
    TN_CHECK(!f->width);
    Join j = join_of(b, f, ref);
    LLVMValueRef top[MAX_HEADS / TN_LANES], zero = tn_build_i64(b, 0), heads = tn_build_i64(b, j.heads);
    largest(b, &j, top);
    clear(b, &j);
    TnLoop l = tn_build_loop(b, j.first, j.end, 1);
    weigh(b, &j, top, l.i);
    TnLoop h = tn_build_loop(b, zero, heads, 1);
    LLVMValueRef o = tn_build_elem(b, tn_build_elem(b, j.o, l.i, j.row_bytes), h.i, j.head * 4);
    LLVMValueRef y = tn_build_elem(b, j.y, h.i, j.head * 4);
    join_columns(b, j.head, o, y, of_head(b, j.w, h.i));
    tn_build_loop_end(b, &h);
    tn_build_loop_end(b, &l);

    h = tn_build_loop(b, zero, heads, 1);
    y = tn_build_elem(b, j.y, h.i, j.head * 4);
    join_columns(b, j.head, NULL, y, of_head(b, j.sums, h.i));
    tn_build_loop_end(b, &h);
}

static bool can_join(const TnGraph *g, TnRef ref, const TnLevel *level) {
    (void)level;
    return tn_attr_int(&g->nodes[ref], TN_ATTR_heads) <= MAX_HEADS;
}
const TnLlvmOp tn_llvm_op_attend_join = {.can = can_join, .row = join};
