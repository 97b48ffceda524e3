/* The skeleton of products: units are strips of root columns.
 *
 *   in a worker's first tile of a launch (the results stay in the worker's cache)
 *     for each row of the step: the prologue
 *     arrange the step's rows, if the root has an `arrange`
 *     note which values of the only row are not 0, if there is a column-major copy of the weights (`note`)
 *   for each unit of the tile
 *     for each slice of the unit's part: prepare its weights, if the root has a `prepare`
 *     for each block of rows (the strip's weights come from memory once, then from L2)
 *       for each slice of the unit's part: compute the strip of root values into scratch (for the second
 *         slice of a gated part only the columns that are needed: gated.c)
 *       for each row of the block: the part's epilogue over the strips */
#include "codegen/llvm/skeletons/cols.h"
#include "codegen/llvm/skeletons/frame.h"
#include "codegen/llvm/skeletons/gated.h"

#include <stdlib.h>
#include "runtime/base/arena.h"

enum { LINE_BYTES = 64 };

typedef struct Cols {
    TnBuilder *b;
    const TnStrips *s;
    TnRef root, x, w; /* root's operands */
    int block;        /* rows of a block */
    LLVMValueRef rows, zero;
    LLVMValueRef in; /* rows of x */
    int64_t in_stride, w_stride;
    LLVMValueRef acc, buf;    /* strips [slice][row of block][grain + 32] of 4 bytes; scratch */
    LLVMValueRef panels;      /* [slice] of what `prepare` makes */
    LLVMValueRef arranged;    /* what `arrange` makes */
    LLVMValueRef list;        /* the needed columns of a gated part */
    LLVMValueRef noted;       /* what `note` makes; NULL: the weights are only read by rows */
    int64_t acc_stride;       /* bytes */
    bool *skip;               /* nodes that do not belong to the part being emitted */
    LLVMValueRef *mem[1 + 4]; /* memory of frames: the one after the slices, then the one before each slice */
} Cols;

/* if (this is a worker's first tile of the launch). What it leaves in scratch is still there for the later
 * tiles. */
static TnIf first_tile(Cols *c) {
    return tn_build_if(c->b, tn_build_icmp(c->b, LLVMIntNE, c->b->scratch_valid, tn_build_i64(c->b, 1)));
}

/* Emits the nodes before the root, row by row. The root's input goes to scratch for all rows. */
static void prologue(Cols *c) {
    TnBuilder *b = c->b;
    const TnType *t = &b->g->nodes[c->x].type;
    c->in_stride = (int64_t)tn_row_bytes(t);
    if (!tn_build_inside(b, c->x)) {
        c->in = tn_build_operand(b, c->x);
        return;
    }
    bool leaves = tn_build_leaves(b, c->x);
    c->in = leaves ? tn_build_operand(b, c->x)
                   : tn_build_scratch(b, (uint64_t)c->in_stride * (uint64_t)tn_build_most_rows(b, c->x));
    TnIf first = first_tile(c);
    TnLoop l = tn_build_loop(b, c->zero, c->rows, 1);
    TnFrame f = {.row = l.i, .col = c->zero, .mem = c->mem[0]};
    f.mem[c->x - b->k->first] = tn_build_elem(b, c->in, l.i, c->in_stride);
    tn_build_frame(b, &f, b->k->first, c->root, NULL);
    tn_build_loop_end(b, &l);
    tn_build_if_end(b, &first);
}

/* Arranges the input of all rows, which are one block, if the root needs that. */
static void arrange(Cols *c) {
    TnBuilder *b = c->b;
    if (!c->s->arrange) return;
    TN_CHECK(tn_build_most_rows(b, c->root) <= c->block);
    c->arranged = tn_build_scratch(b, (uint64_t)c->s->arranged);
    TnIf first = first_tile(c);
    c->s->arrange(b, c->in, c->rows, c->arranged);
    tn_build_if_end(b, &first);
}

/* Whether the column-major copy can be used: only if every unit is a whole block of it. */
static bool by_columns(const Cols *c, const TnPart *parts, uint32_t n) {
    if (c->block != 1 || !c->s->note || c->b->g->nodes[c->root].n_args < 3) return false;
    bool whole = c->b->k->grain == TN_COLMAJOR_ROWS;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < parts[i].n_bases; j++) whole &= parts[i].base[j] % TN_COLMAJOR_ROWS == 0;
    return whole;
}

static void note(Cols *c) {
    TnBuilder *b = c->b;
    if (!c->noted) return;
    TnIf first = first_tile(c);
    TnLoop l = tn_build_loop(b, c->zero, c->rows, 1); /* there may be no row */
    c->s->note(b, c->in, c->noted);
    tn_build_loop_end(b, &l);
    tn_build_if_end(b, &first);
}

static LLVMValueRef panels(Cols *c, uint32_t slice) {
    return tn_build_atc(c->b, c->panels, (int64_t)slice * c->s->panels);
}

/* Weight rows of the strip of the root's columns from `col` on. */
static LLVMValueRef weights(Cols *c, LLVMValueRef col) {
    return tn_build_elem(c->b, tn_build_operand(c->b, c->w), col, c->w_stride);
}

/* A strip of one row's values, by the faster way. */
static void strip(Cols *c, LLVMValueRef x, LLVMValueRef col, LLVMValueRef width, LLVMValueRef acc) {
    TnBuilder *b = c->b;
    TnStrip s = {.col = col, .n = width, .x = x, .acc = acc, .buf = c->buf};
    if (!c->noted) {
        s.w = weights(c, col);
        c->s->strip(b, &s);
        return;
    }
    LLVMValueRef block = tn_build_sdiv(b, col, tn_build_i64(b, TN_COLMAJOR_ROWS));
    TnRef by = b->g->nodes[c->root].args[2];
    int64_t bytes = tn_build_cols(b, c->x) * (int64_t)tn_row_bytes(&b->g->nodes[by].type);
    TnIf sparse = tn_build_if(b, c->s->is_sparse(b, c->noted));
    c->s->columns(b, tn_build_elem(b, tn_build_operand(b, by), block, bytes), x, c->noted, acc);
    tn_build_else(b, &sparse);
    s.w = weights(c, col);
    c->s->strip(b, &s);
    tn_build_if_end(b, &sparse);
}

/* Computes strips of the root's values for `n` rows from `first` on, into c->acc + slice * block *
 * acc_stride. */
static void strips(Cols *c, LLVMValueRef first, LLVMValueRef n, LLVMValueRef col, LLVMValueRef width,
                   uint32_t slice) {
    TnBuilder *b = c->b;
    LLVMValueRef acc = tn_build_atc(b, c->acc, (int64_t)slice * c->block * c->acc_stride);
    LLVMValueRef x = c->arranged ? c->arranged : tn_build_elem(b, c->in, first, c->in_stride);
    if (c->block == 1) {
        strip(c, x, col, width, acc);
        return;
    }
    TnStrip s = {.col = col, .n = width, .x = x, .n_x = n, .acc = acc, .buf = c->buf};
    s.stride = tn_build_i64(b, c->acc_stride);
    s.w = c->s->prepare ? panels(c, slice) : weights(c, col);
    c->s->strips(b, &s);
}

/* The same for one row of a gated part, whose columns of `up` are needed only where its gate is open. */
static void gated_strips(Cols *c, const TnPart *p, LLVMValueRef row, const LLVMValueRef col[4],
                         LLVMValueRef width, uint32_t gate, uint32_t up) {
    TnBuilder *b = c->b;
    strips(c, row, NULL, col[gate], width, gate);
    LLVMValueRef x = tn_build_elem(b, c->in, row, c->in_stride);
    LLVMValueRef open = tn_build_atc(b, c->acc, (int64_t)gate * c->acc_stride);
    LLVMValueRef n = tn_build_needed(b, p, gate, up, open, width, x, c->list);
    TnStrip s = {.col = col[up], .n = n, .x = x, .buf = c->buf, .list = c->list};
    s.acc = tn_build_atc(b, c->acc, (int64_t)up * c->acc_stride);
    s.w = weights(c, col[up]);
    c->s->listed(b, &s);
}

/* A new frame over the columns from `col` on. Only the root's strip and its input are in memory. */
static TnFrame frame(Cols *c, LLVMValueRef *mem, LLVMValueRef row, LLVMValueRef col, LLVMValueRef width,
                     LLVMValueRef acc) {
    TnBuilder *b = c->b;
    for (uint32_t i = 0; i < b->k->n; i++) mem[i] = NULL;
    mem[c->root - b->k->first] = acc;
    if (tn_build_inside(b, c->x)) mem[c->x - b->k->first] = tn_build_elem(b, c->in, row, c->in_stride);
    return (TnFrame){.row = row, .col = col, .width = width, .grain = b->k->grain, .mem = mem};
}

/* Sets c->skip for all nodes except those after the root that belong to this part, or, with part = TN_NONE,
 * that come before all slices. */
static void choose(Cols *c, uint32_t part) {
    TnBuilder *b = c->b;
    for (TnRef r = b->k->first; r < b->k->first + b->k->n; r++)
        c->skip[r - b->k->first] = r <= c->root || tn_node_part(b->g, b->kernel, r) != part;
}

static bool has_slices(TnBuilder *b) {
    for (TnRef r = b->k->first; r < b->k->first + b->k->n; r++)
        if (b->g->nodes[r].op == TN_OP_slice) return true;
    return false;
}

/* The epilogue of one row. `at` (i64) is its place in the block, c0 the strip's first column in the part. */
static void epilogue(Cols *c, const TnPart *p, uint32_t part, LLVMValueRef row, LLVMValueRef at,
                     LLVMValueRef c0, LLVMValueRef width) {
    TnBuilder *b = c->b;
    TnRef end = b->k->first + b->k->n;
    bool slices = has_slices(b);
    /* Rows are padded to 64 columns. A last block may run into the padding, but not into the next strip. */
    bool whole = b->k->grain % TN_LANES == 0, full = whole && p->n % TN_LANES == 0;
    LLVMValueRef acc = tn_build_elem(b, c->acc, at, c->acc_stride);
    TnFrame bases[4];
    choose(c, TN_NONE);
    for (uint32_t i = 0; i < p->n_bases; i++) {
        LLVMValueRef col = tn_build_add(b, c0, tn_build_i64(b, p->base[i]));
        LLVMValueRef strip = tn_build_atc(b, acc, (int64_t)i * c->block * c->acc_stride);
        bases[i] = frame(c, c->mem[1 + i], row, col, width, strip);
        bases[i].root_base = p->base[i];
        bases[i].root_end = p->base[i] + p->n;
        bases[i].masked = slices ? !full : !whole;
        if (tn_build_leaves(b, c->root)) tn_build_copy_out(b, &bases[i], c->root);
        /* Without slices every node belongs to the only part or to none, so they share a frame. */
        if (slices) tn_build_frame(b, &bases[i], c->root + 1, end, c->skip);
    }
    if (!slices) {
        for (TnRef r = b->k->first; r < end; r++) c->skip[r - b->k->first] = r <= c->root;
        tn_build_frame(b, &bases[0], c->root + 1, end, c->skip);
        return;
    }
    choose(c, part);
    TnFrame f = frame(c, c->mem[0], row, c0, width, NULL);
    f.masked = !whole;
    f.bases = bases;
    f.n_bases = p->n_bases;
    tn_build_frame(b, &f, c->root + 1, end, c->skip);
}

/* ---- What the epilogues of many rows will need is fetched into L2 while their products are made. Rows of results lie far
 * apart, and so do those that are added to them: no stride that the processor would notice. */

static void fetch_lines(TnBuilder *b, LLVMValueRef from, LLVMValueRef n) {
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), n, 1);
    tn_build_prefetch(b, tn_build_elem(b, from, l.i, LINE_BYTES), TN_INTO_L2);
    tn_build_loop_end(b, &l);
}

/* Whether strips of a matrix outside the kernel are read or written by an epilogue of `cols` columns. */
static bool is_strip(TnBuilder *b, TnRef ref, int64_t cols) {
    const TnType *t = &b->g->nodes[ref].type;
    return t->enc == TN_ENC_f32 && t->rank == 2 && tn_dim_is_sym(t->dim[0]) && tn_build_cols(b, ref) == cols;
}

/* The strips of the n rows from `first` on that the epilogue of a part reads and writes. */
static void fetch_strips(Cols *c, const TnPart *p, uint32_t part, LLVMValueRef first, LLVMValueRef n,
                         LLVMValueRef c0) {
    TnBuilder *b = c->b;
    bool slices = has_slices(b);
    LLVMValueRef lines = tn_build_i64(b, (b->k->grain * 4 + LINE_BYTES - 1) / LINE_BYTES);
    for (TnRef r = c->root + 1; r < b->k->first + b->k->n; r++) {
        const TnNode *node = &b->g->nodes[r];
        if (slices && tn_node_part(b->g, b->kernel, r) != part) continue;
        for (uint32_t a = 0; a <= node->n_args; a++) {
            TnRef ref = a < node->n_args ? node->args[a] : r;
            bool outside = a < node->n_args ? !tn_build_inside(b, ref) : tn_build_leaves(b, r);
            if (!outside || !is_strip(b, ref, p->n)) continue;
            TnLoop j = tn_build_loop(b, c->zero, n, 1);
            LLVMValueRef row = tn_build_operand_row(b, ref, tn_build_add(b, first, j.i));
            fetch_lines(b, tn_build_elem(b, row, c0, 4), lines);
            tn_build_loop_end(b, &j);
        }
    }
}

/* Units [lo, hi) of part p, whose first unit is number `start`. */
static void part_units(Cols *c, const TnPart *p, uint32_t part, int64_t start) {
    TnBuilder *b = c->b;
    int64_t grain = b->k->grain, units = (p->n + grain - 1) / grain;
    LLVMValueRef from = tn_build_max(b, b->lo, tn_build_i64(b, start));
    LLVMValueRef to = tn_build_min(b, b->hi, tn_build_i64(b, start + units));
    TnLoop u = tn_build_loop(b, from, to, 1);
    LLVMValueRef c0 = tn_build_mul(b, tn_build_sub(b, u.i, tn_build_i64(b, start)), tn_build_i64(b, grain));
    LLVMValueRef width = p->n % grain == 0 ? tn_build_i64(b, grain)
                                           : tn_build_min(b, tn_build_sub(b, tn_build_i64(b, p->n), c0),
                                                          tn_build_i64(b, grain));
    LLVMValueRef col[4];
    for (uint32_t i = 0; i < p->n_bases; i++) col[i] = tn_build_add(b, c0, tn_build_i64(b, p->base[i]));
    for (uint32_t i = 0; c->block > 1 && c->s->prepare && i < p->n_bases; i++) {
        TnStrip s = {.w = weights(c, col[i]), .col = col[i], .n = width};
        c->s->prepare(b, &s, panels(c, i));
    }
    TnLoop t = tn_build_loop(b, c->zero, c->rows, c->block);
    LLVMValueRef left = tn_build_sub(b, c->rows, t.i), n = tn_build_min(b, left, tn_build_i64(b, c->block));
    if (c->block > 1 && c->s->ahead) fetch_strips(c, p, part, t.i, n, c0);
    uint32_t gate, up;
    if (c->list && tn_build_gated(b, p, part, &gate, &up))
        gated_strips(c, p, t.i, col, width, gate, up);
    else
        for (uint32_t i = 0; i < p->n_bases; i++) strips(c, t.i, n, col[i], width, i);
    if (c->block == 1) {
        epilogue(c, p, part, t.i, c->zero, c0, width);
    } else {
        TnLoop j = tn_build_loop(b, c->zero, n, 1);
        epilogue(c, p, part, tn_build_add(b, t.i, j.i), j.i, c0, width);
        tn_build_loop_end(b, &j);
    }
    tn_build_loop_end(b, &t);
    tn_build_loop_end(b, &u);
}

void tn_build_cols_kernel(TnBuilder *b, const TnStrips *s) {
    const TnKernel *k = b->k;
    TN_CHECK(k->axis == TN_AXIS_COLS && k->grain > 0);
    Cols c = {.b = b, .s = s, .root = k->root, .zero = tn_build_i64(b, 0)};
    c.x = b->g->nodes[k->root].args[0];
    c.w = b->g->nodes[k->root].args[1];
    c.w_stride = (int64_t)tn_row_bytes(&b->g->nodes[c.w].type);
    c.rows = tn_build_rows(b, k->root);
    c.block = tn_build_most_rows(b, k->root) == 1 ? 1 : s->rows;
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(b->g, b->kernel, parts), most = 1;
    for (uint32_t i = 0; i < n; i++)
        if (parts[i].n_bases > most) most = parts[i].n_bases;
    c.acc_stride = ((k->grain + TN_LANES - 1) / TN_LANES * TN_LANES + TN_LANES) * 4;
    c.acc = tn_build_scratch(b, (uint64_t)(c.acc_stride * c.block) * most);
    c.buf = tn_build_scratch(b, (uint64_t)s->buf);
    if (c.block > 1 && s->prepare) c.panels = tn_build_scratch(b, (uint64_t)s->panels * most);
    int64_t more = tn_prefetch_most(&k->prefetch, TN_STREAM_LISTED);
    if (c.block == 1 && s->listed && most == 2) c.list = tn_build_scratch(b, (uint64_t)(k->grain + more) * 4);
    if (by_columns(&c, parts, n)) c.noted = tn_build_scratch(b, (uint64_t)s->noted);
    c.skip = tn_xcalloc(k->n, sizeof *c.skip);
    for (size_t i = 0; i < TN_COUNT(c.mem); i++) c.mem[i] = tn_xcalloc(k->n, sizeof *c.mem[i]);
    prologue(&c);
    arrange(&c);
    note(&c);
    int64_t start = 0;
    for (uint32_t i = 0; i < n; i++) {
        part_units(&c, &parts[i], i, start);
        start += (parts[i].n + k->grain - 1) / k->grain;
    }
    free(c.skip);
    for (size_t i = 0; i < TN_COUNT(c.mem); i++) free(c.mem[i]);
}
