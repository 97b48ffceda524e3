/* Integer products of a few rows of activations with rows of weights that stream from memory. This file has
 * the order in which tmatmul (tmatmul_few.c) and estimate (estimate.c) read both.
 *
 * A block is a few rows of weights, called its columns. It is multiplied by all rows of activations, step by
 * step along K. All sums stay in registers, one for each lane, until the end of K. So weights are unpacked
 * once for all rows, and only the sums are transposed, at the end.
 *
 * Each block loads all activations, so they should be in L1. But 8 rows of 6912 are 55 KB and do not fit. So
 * K is cut into stretches of at most STRETCH bytes of activations, and a group of blocks is multiplied by one
 * stretch after the other. Between stretches the group's sums are in memory, a register each. That costs
 * loads and stores, but uses none of the ports that multiply. A stretch comes from L2 once for each group, so
 * groups must not be small.
 *
 * If the sums of all rows do not fit into registers, the rows are split into passes over a group. The later
 * passes read the group from L2.
 *
 * Prefetches: the lines of the next block for the same steps go into L1. Lines of the next group go into L2,
 * in the order in which they lie in memory and at the pace of the work in this group. So memory is read
 * evenly, however often a group is read. With one row of activations, the kernel's distances are used
 * instead. */
#include "codegen/llvm/skeletons/groups.h"

enum {
    LINE = 64,
    STRETCH = 22 << 10,
    AHEAD = 16 << 10,  /* least bytes of weights of a group */
    LEAST_BLOCKS = 16, /* least blocks of a group that has stretches or passes */
};

static int64_t at_least(int64_t n, int64_t d) {
    return (n + d - 1) / d;
}

typedef struct Cut {
    int64_t stretch, stretches,
        blocks; /* steps of a stretch (the last may have fewer); stretches; blocks of a group */
} Cut;

static Cut cut_of(const TnGroups *g) {
    int64_t most = STRETCH / (g->x_bytes * g->n_x);
    if (g->narrow && g->narrow < most) most = g->narrow;
    Cut c = {.stretches = at_least(g->steps, most > 0 ? most : 1)};
    c.stretch = at_least(g->steps, c.stretches);
    c.blocks = at_least(AHEAD, g->columns * g->row_bytes);
    if ((c.stretches > 1 || g->passes > 1) && c.blocks < LEAST_BLOCKS) c.blocks = LEAST_BLOCKS;
    return c;
}

int64_t tn_build_groups_buf(TnBuilder *b, const TnGroups *g) {
    Cut c = cut_of(g);
    return c.stretches == 1 ? 0 : c.blocks * g->n_sums * b->level->bytes;
}

/* Bytes of weights, in whole lines, that a step of a pass prefetches from memory. */
static int64_t ahead_bytes(const TnGroups *g) {
    return at_least(g->columns * g->step_bytes / LINE, g->passes > 1 ? g->passes : 1) * LINE;
}

static void prefetch(TnBuilder *b, const TnGroups *g, LLVMValueRef *here, LLVMValueRef ahead) {
    for (int i = 0; i < g->columns; i++)
        for (int64_t at = 0; at < g->step_bytes; at += LINE)
            if (g->by_distance)
                tn_build_ahead(b, tn_build_atc(b, here[i], at));
            else
                tn_build_prefetch(b, tn_build_atc(b, here[i], g->columns * g->row_bytes + at), TN_INTO_L1);
    for (int64_t at = 0; !g->by_distance && at < ahead_bytes(g); at += LINE)
        tn_build_prefetch(b, tn_build_atc(b, ahead, at), TN_INTO_L2);
}

void tn_build_groups(TnBuilder *b, const TnGroups *g, LLVMValueRef w, LLVMValueRef count, LLVMValueRef x,
                     LLVMValueRef buf) {
    Cut c = cut_of(g);
    int size = b->level->bytes;
    unsigned lanes = (unsigned)size / 4;
    int64_t columns = g->columns, group = c.blocks * columns;
    bool one = c.stretches == 1;
    LLVMTypeRef ints = LLVMVectorType(b->t_i32, lanes);
    LLVMValueRef zero = tn_build_i64(b, 0), none = LLVMConstNull(ints), sum[TN_LOOP_CARRIES], row[16];
    LLVMValueRef nothing = g->narrow ? LLVMConstNull(tn_build_narrow_type(b)) : none;
    LLVMValueRef last = tn_build_sub(b, count, tn_build_i64(b, 1));
    TN_CHECK(columns <= (int)TN_COUNT(row) && g->n_sums + 2 <= TN_LOOP_CARRIES);

    TnLoop u = tn_build_loop(b, zero, count, group);
    LLVMValueRef after = tn_build_add(b, u.i, tn_build_i64(b, group)), end = tn_build_min(b, after, count);
    LLVMValueRef next = tn_build_elem(b, w, after, g->row_bytes);
    TnLoop p = tn_build_loop(b, zero, tn_build_i64(b, g->passes > 1 ? g->passes : 1), 1);
    LLVMValueRef far_pass = tn_build_carry(b, &p, next), pass_x = x;
    if (g->passes > 1) pass_x = tn_build_at(b, x, tn_build_mul(b, p.i, g->pass_bytes));
    if (!one) {
        TnLoop z = tn_build_loop(b, u.i, end, columns);
        LLVMValueRef to = tn_build_walk(b, &z, buf, (int64_t)g->n_sums * size);
        for (int i = 0; i < g->n_sums; i++)
            tn_build_store(b, none, tn_build_atc(b, to, (int64_t)i * size), (unsigned)size);
        tn_build_loop_end(b, &z);
    }
    TnLoop s = tn_build_loop(b, zero, tn_build_i64(b, c.stretches), 1);
    LLVMValueRef far_stretch = tn_build_carry(b, &s, far_pass);
    LLVMValueRef from = tn_build_mul(b, s.i, tn_build_i64(b, c.stretch));
    LLVMValueRef upto = tn_build_add(b, from, tn_build_i64(b, c.stretch));
    upto = tn_build_min(b, upto, tn_build_i64(b, g->steps));
    LLVMValueRef from_bytes = tn_build_mul(b, from, tn_build_i64(b, g->step_bytes));
    LLVMValueRef bytes = tn_build_mul(b, tn_build_sub(b, upto, from), tn_build_i64(b, g->step_bytes));
    LLVMValueRef from_x = tn_build_elem(b, pass_x, from, g->x_bytes);

    TnLoop j = tn_build_loop(b, u.i, end, columns);
    LLVMValueRef far_block = tn_build_carry(b, &j, far_stretch);
    LLVMValueRef held = tn_build_walk(b, &j, buf, (int64_t)g->n_sums * size);
    for (int i = 0; i < columns; i++) { /* columns after the last are copies of it */
        LLVMValueRef col = i ? tn_build_min(b, tn_build_add(b, j.i, tn_build_i64(b, i)), last) : j.i;
        row[i] = tn_build_at(b, tn_build_elem(b, w, col, g->row_bytes), from_bytes);
    }
    for (int i = 0; i < g->n_sums; i++) {
        sum[i] = nothing;
        if (one || g->narrow) continue;
        sum[i] = tn_build_load(b, ints, tn_build_atc(b, held, (int64_t)i * size), (unsigned)size);
    }
    TnLoop l = tn_build_loop(b, zero, bytes, g->step_bytes);
    for (int i = 0; i < g->n_sums; i++) sum[i] = tn_build_carry(b, &l, sum[i]);
    LLVMValueRef codes = tn_build_walk(b, &l, from_x, g->x_bytes);
    LLVMValueRef ahead = tn_build_walk(b, &l, far_block, ahead_bytes(g)), here[16];
    for (int i = 0; i < columns; i++) here[i] = tn_build_at(b, row[i], l.i);
    prefetch(b, g, here, ahead);
    g->step(b, g->user, here, codes, sum);
    for (int i = 0; i < g->n_sums; i++) tn_build_next(&l, i, sum[i]);
    tn_build_loop_end(b, &l);
    for (int i = 0; i < g->n_sums; i++) {
        LLVMValueRef to = tn_build_atc(b, held, (int64_t)i * size);
        sum[i] = g->narrow ? tn_build_narrow_widen(b, l.out[i]) : l.out[i];
        if (one) continue;
        if (g->narrow) sum[i] = tn_build_add(b, sum[i], tn_build_load(b, ints, to, (unsigned)size));
        tn_build_store(b, sum[i], to, (unsigned)size);
    }
    if (one) g->finish(b, g->user, sum, j.i, p.i);
    tn_build_next(&j, 0, l.out[g->n_sums + 1]);
    tn_build_loop_end(b, &j);
    tn_build_next(&s, 0, j.out[0]);
    tn_build_loop_end(b, &s);

    if (!one) {
        TnLoop e = tn_build_loop(b, u.i, end, columns);
        LLVMValueRef kept = tn_build_walk(b, &e, buf, (int64_t)g->n_sums * size);
        for (int i = 0; i < g->n_sums; i++)
            sum[i] = tn_build_load(b, ints, tn_build_atc(b, kept, (int64_t)i * size), (unsigned)size);
        g->finish(b, g->user, sum, e.i, p.i);
        tn_build_loop_end(b, &e);
    }
    tn_build_next(&p, 0, s.out[0]);
    tn_build_loop_end(b, &p);
    tn_build_loop_end(b, &u);
}

LLVMValueRef tn_build_groups_trees(TnBuilder *b, const TnGroups *g, LLVMValueRef *sum) {
    int lanes = b->level->bytes / 4, place[64], width = 0;
    LLVMValueRef all = NULL;
    for (int first = 0; first < g->n_sums; first += lanes) {
        LLVMValueRef part[16];
        for (int i = 0; i < lanes; i++)
            part[i] = first + i < g->n_sums ? sum[first + i] : LLVMConstNull(LLVMTypeOf(sum[0]));
        LLVMValueRef tree = tn_build_trees(b, part, lanes, TN_FOLD_ADD);
        if (!all) {
            all = tree, width = lanes;
            continue;
        }
        /* A shuffle takes two vectors of the same width. */
        for (int i = 0; i < width; i++) place[i] = i < lanes ? i : 0;
        tree = tn_build_shuffle(b, tree, tree, place, width);
        for (int i = 0; i < width + lanes; i++) place[i] = i;
        all = tn_build_shuffle(b, all, tree, place, width + lanes);
        width += lanes;
    }
    return all;
}
