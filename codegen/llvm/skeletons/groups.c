/* Integer products of a few rows of activations with rows of weights that stream from memory. This file has
 * the order in which tmatmul (tmatmul_few.c) reads both.
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
 * Prefetches: the lines of the next block for the same steps go into L1. Lines of the next group go into L2,
 * in the order in which they lie in memory and at the pace of the work in this group. So memory is read
 * evenly, however often a group is read. */
#include "codegen/llvm/skeletons/groups.h"

enum {
    LINE = 64,
    STRETCH = 22 << 10,
    AHEAD = 16 << 10,  /* least bytes of weights of a group */
    LEAST_BLOCKS = 16, /* least blocks of a group that has stretches */
    COLUMNS = 16,      /* most columns of a block */
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
    if (c.stretches > 1 && c.blocks < LEAST_BLOCKS) c.blocks = LEAST_BLOCKS;
    return c;
}

int64_t tn_build_groups_buf(TnBuilder *b, const TnGroups *g) {
    Cut c = cut_of(g);
    return c.stretches == 1 ? 0 : c.blocks * g->n_sums * b->level->bytes;
}

/* Bytes of weights, in whole lines, that a step prefetches from memory. */
static int64_t ahead_bytes(const TnGroups *g) {
    return at_least(g->columns * g->step_bytes, LINE) * LINE;
}

static void prefetch(TnBuilder *b, const TnGroups *g, LLVMValueRef *here, LLVMValueRef ahead) {
    for (int i = 0; i < g->columns; i++)
        for (int64_t at = 0; at < g->step_bytes; at += LINE)
            tn_build_prefetch(b, tn_build_atc(b, here[i], g->columns * g->row_bytes + at), TN_INTO_L1);
    for (int64_t at = 0; at < ahead_bytes(g); at += LINE)
        tn_build_prefetch(b, tn_build_atc(b, ahead, at), TN_INTO_L2);
}

/* A group. */
typedef struct Group {
    const TnGroups *g;
    Cut cut;
    LLVMValueRef w, last;    /* the weights of all groups, and the last column of all */
    LLVMValueRef buf;        /* the sums of the blocks, if there are stretches */
    LLVMValueRef begin, end; /* the group's columns */
    LLVMValueRef x;          /* the activations */
} Group;

static TnLoop blocks_of(TnBuilder *b, const Group *group) {
    return tn_build_loop(b, group->begin, group->end, group->g->columns);
}

/* ---- Sums in memory, a register each */

static LLVMTypeRef ints(TnBuilder *b) {
    return LLVMVectorType(b->t_i32, (unsigned)b->level->bytes / 4);
}
/* In a loop over the blocks: where the block's sums are. */
static LLVMValueRef walk_sums(TnBuilder *b, const Group *group, TnLoop *l) {
    return tn_build_walk(b, l, group->buf, (int64_t)group->g->n_sums * b->level->bytes);
}
static LLVMValueRef sum_at(TnBuilder *b, LLVMValueRef sums, int i) {
    return tn_build_atc(b, sums, (int64_t)i * b->level->bytes);
}
static LLVMValueRef load_sum(TnBuilder *b, LLVMValueRef at) {
    return tn_build_load(b, ints(b), at, (unsigned)b->level->bytes);
}
static void store_sum(TnBuilder *b, LLVMValueRef sum, LLVMValueRef at) {
    tn_build_store(b, sum, at, (unsigned)b->level->bytes);
}

static void clear_sums(TnBuilder *b, const Group *group) {
    TnLoop l = blocks_of(b, group);
    LLVMValueRef to = walk_sums(b, group, &l);
    for (int i = 0; i < group->g->n_sums; i++) store_sum(b, LLVMConstNull(ints(b)), sum_at(b, to, i));
    tn_build_loop_end(b, &l);
}

static void finish_sums(TnBuilder *b, const Group *group) {
    LLVMValueRef sum[TN_LOOP_CARRIES];
    TnLoop l = blocks_of(b, group);
    LLVMValueRef from = walk_sums(b, group, &l);
    for (int i = 0; i < group->g->n_sums; i++) sum[i] = load_sum(b, sum_at(b, from, i));
    group->g->finish(b, group->g->user, sum, l.i);
    tn_build_loop_end(b, &l);
}

/* ---- Blocks */

/* A stretch of K: its bytes of each row of weights, and its activations. */
typedef struct Stretch {
    LLVMValueRef from, bytes, x;
} Stretch;

static Stretch stretch_of(TnBuilder *b, const Group *group, LLVMValueRef number) {
    const TnGroups *g = group->g;
    LLVMValueRef steps = tn_build_i64(b, group->cut.stretch), step_bytes = tn_build_i64(b, g->step_bytes);
    LLVMValueRef from = tn_build_mul(b, number, steps);
    LLVMValueRef upto = tn_build_min(b, tn_build_add(b, from, steps), tn_build_i64(b, g->steps));
    Stretch s = {.from = tn_build_mul(b, from, step_bytes)};
    s.bytes = tn_build_mul(b, tn_build_sub(b, upto, from), step_bytes);
    s.x = tn_build_elem(b, group->x, from, g->x_bytes);
    return s;
}

/* Adds the products of a stretch of row[columns] to sum[n_sums]. Prefetches from `ahead` on, and returns how far it came. */
static LLVMValueRef add_products(TnBuilder *b, const TnGroups *g, const Stretch *s, LLVMValueRef *row,
                                 LLVMValueRef ahead, LLVMValueRef *sum) {
    LLVMValueRef here[COLUMNS];
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), s->bytes, g->step_bytes);
    for (int i = 0; i < g->n_sums; i++) sum[i] = tn_build_carry(b, &l, sum[i]);
    LLVMValueRef codes = tn_build_walk(b, &l, s->x, g->x_bytes);
    ahead = tn_build_walk(b, &l, ahead, ahead_bytes(g));
    for (int i = 0; i < g->columns; i++) here[i] = tn_build_at(b, row[i], l.i);
    prefetch(b, g, here, ahead);
    g->step(b, g->user, here, codes, sum);
    for (int i = 0; i < g->n_sums; i++) tn_build_next(&l, i, sum[i]);
    tn_build_loop_end(b, &l);
    for (int i = 0; i < g->n_sums; i++) sum[i] = l.out[i];
    return l.out[g->n_sums + 1];
}

/* One block in a stretch. Its sums are at `held` between stretches; the only stretch finishes them. */
static LLVMValueRef block(TnBuilder *b, const Group *group, const Stretch *s, LLVMValueRef col,
                          LLVMValueRef held, LLVMValueRef ahead) {
    const TnGroups *g = group->g;
    bool one = group->cut.stretches == 1;
    LLVMValueRef row[COLUMNS], sum[TN_LOOP_CARRIES];
    TN_CHECK(g->columns <= COLUMNS && g->n_sums + 2 <= TN_LOOP_CARRIES);
    for (int i = 0; i < g->columns; i++) { /* columns after the last are copies of it */
        LLVMValueRef c = i ? tn_build_min(b, tn_build_add(b, col, tn_build_i64(b, i)), group->last) : col;
        row[i] = tn_build_at(b, tn_build_elem(b, group->w, c, g->row_bytes), s->from);
    }
    for (int i = 0; i < g->n_sums; i++)
        sum[i] = g->narrow ? LLVMConstNull(tn_build_narrow_type(b))
                 : one     ? LLVMConstNull(ints(b))
                           : load_sum(b, sum_at(b, held, i));
    ahead = add_products(b, g, s, row, ahead, sum);
    for (int i = 0; i < g->n_sums; i++) {
        LLVMValueRef to = sum_at(b, held, i);
        if (g->narrow) sum[i] = tn_build_narrow_widen(b, sum[i]);
        if (one) continue;
        if (g->narrow) sum[i] = tn_build_add(b, sum[i], load_sum(b, to));
        store_sum(b, sum[i], to);
    }
    if (one) g->finish(b, g->user, sum, col);
    return ahead;
}

void tn_build_groups(TnBuilder *b, const TnGroups *g, LLVMValueRef w, LLVMValueRef count, LLVMValueRef x,
                     LLVMValueRef buf) {
    Group group = {.g = g, .cut = cut_of(g), .w = w, .buf = buf, .x = x};
    int64_t columns = group.cut.blocks * g->columns;
    LLVMValueRef zero = tn_build_i64(b, 0);
    group.last = tn_build_sub(b, count, tn_build_i64(b, 1));
    TnLoop groups = tn_build_loop(b, zero, count, columns);
    LLVMValueRef after = tn_build_add(b, groups.i, tn_build_i64(b, columns));
    group.begin = groups.i;
    group.end = tn_build_min(b, after, count);
    LLVMValueRef next = tn_build_elem(b, w, after, g->row_bytes);
    if (group.cut.stretches > 1) clear_sums(b, &group);

    TnLoop stretches = tn_build_loop(b, zero, tn_build_i64(b, group.cut.stretches), 1);
    LLVMValueRef ahead =
        tn_build_carry(b, &stretches, next); /* prefetched next; the loops below hand it on */
    Stretch s = stretch_of(b, &group, stretches.i);
    TnLoop blocks = blocks_of(b, &group);
    ahead = tn_build_carry(b, &blocks, ahead);
    LLVMValueRef held = walk_sums(b, &group, &blocks);
    tn_build_next(&blocks, 0, block(b, &group, &s, blocks.i, held, ahead));
    tn_build_loop_end(b, &blocks);
    tn_build_next(&stretches, 0, blocks.out[0]);
    tn_build_loop_end(b, &stretches);

    if (group.cut.stretches > 1) finish_sums(b, &group);
    tn_build_loop_end(b, &groups);
}

/* ---- Lanes */

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
