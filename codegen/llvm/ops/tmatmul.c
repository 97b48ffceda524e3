/* tmatmul: the exact integer sums. This file has the product with one row over p64 weights, which streams
 * them. tmatmul_few.c has it for 2 to 8 rows (tmatmul_amx_few.c with tiles), tmatmul_rows.c for more
 * (tmatmul_amx.c with tiles, tmatmul_packed.c with AVX-512 VNNI). tmatmul_beside.c has the products over b64 and b80.
 *
 * A line of 64 bytes holds 256 codes c = w + 1 of one row. Byte j has weight 64q + j in bits 2q and 2q + 1.
 * The code bits are masked, not shifted: accumulator q sums c * 4^q * a and is shifted once at the end. That
 * is exact, since each of its lanes is a multiple of 4^q, as long as the lane does not overflow. Rows so long
 * that it might (8,454,656 columns with VNNI) are summed in pieces.
 *
 *   VNNI     vpdpbusd: unsigned codes, signed activations, four accumulators
 *   MADDUBS  (AVX2) planes 2 and 3 are shifted by 4 once, so that two planes share a scale; pairs of products
 *            are added in int16 for as many lines as are proved to fit (ir/range.h: four), then vpmaddwd
 *            widens: two accumulators
 *   SDOT     (NEON) signed: plane 3 is shifted down instead of masked, four accumulators
 *   SMLAL    (NEON without dot products) the planes of MADDUBS; int16 sums as in builder/narrow.c
 *
 * Rows of weights stream from memory one after the other, and the code prefetches at the kernel's distances of
 * bytes. Of rows in a list it prefetches, line by line, those that are its distances of listed rows ahead. Sums,
 * a register each, are kept in `buf` until there are enough for one transposing tree. */
#include "codegen/llvm/ops/ternary.h"
#include "codegen/llvm/skeletons/cols.h"

#include "runtime/base/arena.h"
#include <stdio.h>

enum { LINE = TN_LINE, CODES = TN_CODES };

static int accumulators(TnBuilder *b) {
    return tn_level_narrow(b->level) ? 2 : 4;
}

static LLVMValueRef byte_splat(TnBuilder *b, int v) {
    return tn_build_splat_const(b, LLVMConstInt(b->t_i8, (uint64_t)v, 0), b->level->bytes);
}

/* The four planes of a vector of code bytes, each with the scale of its accumulator. */
static void planes(TnBuilder *b, LLVMValueRef w, LLVMValueRef c[4]) {
    if (tn_level_narrow(b->level)) {
        LLVMTypeRef shorts = LLVMVectorType(b->t_i16, (unsigned)b->level->bytes / 2);
        LLVMValueRef four = tn_build_splat_const(b, LLVMConstInt(b->t_i16, 4, 0), b->level->bytes / 2);
        LLVMValueRef high = tn_build_lshr(b, tn_build_bitcast(b, w, shorts), four);
        high = tn_build_bitcast(b, high, tn_tmatmul_bytes(b));
        for (int q = 0; q < 4; q++)
            c[q] = tn_build_and(b, q < 2 ? w : high, byte_splat(b, 3 << (2 * (q & 1))));
        return;
    }
    for (int q = 0; q < 4; q++)
        c[q] = q == 3 && b->level->dot == TN_DOT_SDOT ? tn_build_lshr(b, w, byte_splat(b, 6))
                                                      : tn_build_and(b, w, byte_splat(b, 3 << (2 * q)));
}

/* Multiplies the line of weights at w by the 256 codes of the row at x. Adds to acc[accumulators]; on narrow
 * levels to the int16 sums in narrow[accumulators] (NULL: none yet). */
static void line(TnBuilder *b, LLVMValueRef w, LLVMValueRef x, LLVMValueRef *acc, LLVMValueRef *narrow) {
    int v = b->level->bytes;
    LLVMTypeRef bytes = tn_tmatmul_bytes(b);
    for (int at = 0; at < LINE; at += v) {
        LLVMValueRef c[4];
        planes(b, tn_build_load(b, bytes, tn_build_atc(b, w, at), (unsigned)v), c);
        for (int q = 0; q < 4; q++) {
            LLVMValueRef a = tn_build_load(b, bytes, tn_build_atc(b, x, q * LINE + at), (unsigned)v);
            if (tn_level_narrow(b->level))
                narrow[q & 1] = tn_build_narrow_add(b, narrow[q & 1], c[q], a);
            else
                acc[q] = tn_tmatmul_dot(b, acc[q], c[q], a);
        }
    }
}

/* The same for n lines, no more than an i16 has room for. */
static void lines_of(TnBuilder *b, int64_t n, LLVMValueRef w, LLVMValueRef x, LLVMValueRef *acc) {
    LLVMValueRef narrow[2] = {NULL};
    for (int64_t i = 0; i < n; i++)
        line(b, tn_build_atc(b, w, i * LINE), tn_build_atc(b, x, i * CODES), acc, narrow);
    if (!tn_level_narrow(b->level) || n == 0) return;
    for (int q = 0; q < 2; q++) acc[q] = tn_build_narrow_mix(b, acc[q], narrow[q]);
}

/* The accumulators of a row, shifted down and added. */
static LLVMValueRef combine(TnBuilder *b, LLVMValueRef *acc) {
    LLVMValueRef sum = acc[0];
    for (int q = 1; q < accumulators(b); q++) {
        bool plain = q == 3 && b->level->dot == TN_DOT_SDOT;
        LLVMValueRef by = tn_build_splat_const(b, tn_build_i32(b, 2 * q), b->level->bytes / 4);
        sum = tn_build_add(b, sum, plain ? acc[q] : tn_build_ashr(b, acc[q], by));
    }
    return sum;
}

static LLVMValueRef entry(TnBuilder *b, LLVMValueRef list, LLVMValueRef i) {
    return tn_build_sext(b, tn_build_load(b, b->t_i32, tn_build_elem(b, list, i, 4), 4), b->t_i64);
}

/* Rows of weights to prefetch, into each level; NULL: none. */
typedef struct Ahead {
    LLVMValueRef row[TN_INTO_COUNT];
} Ahead;

/* The sums of n lines from line `from` on. ahead: NULL for the kernel's distances in bytes. */
static LLVMValueRef piece(TnBuilder *b, LLVMValueRef row, LLVMValueRef x, const Ahead *ahead, int64_t from,
                          int64_t n, int64_t k) {
    TnDot d = tn_llvm_dot(b->level, tn_tmatmul_weights(b), 1);
    int64_t together = tn_level_narrow(b->level) ? tn_range_widen(&d, k) : 1;
    TN_CHECK(together > 0);
    int64_t whole = n / together * together;
    int sums = accumulators(b);
    LLVMValueRef acc[4] = {NULL}, walk[TN_INTO_COUNT] = {NULL}, codes = tn_build_atc(b, x, from * CODES),
                 start = tn_build_atc(b, row, from * LINE);
    LLVMValueRef first[TN_INTO_COUNT] = {NULL};
    for (TnInto into = 0; ahead && into < TN_INTO_COUNT; into++)
        if (ahead->row[into]) first[into] = tn_build_atc(b, ahead->row[into], from * LINE);
    TnLoop i = tn_build_loop(b, tn_build_i64(b, from), tn_build_i64(b, from + whole), together);
    for (int a = 0; a < sums; a++) acc[a] = tn_build_carry(b, &i, LLVMConstNull(tn_tmatmul_ints(b)));
    LLVMValueRef at = tn_build_walk(b, &i, codes, together * CODES);
    LLVMValueRef w = tn_build_walk(b, &i, start, together * LINE);
    for (TnInto into = 0; ahead && into < TN_INTO_COUNT; into++)
        if (ahead->row[into]) walk[into] = tn_build_walk(b, &i, first[into], together * LINE);
    for (int64_t j = 0; j < together; j++) {
        if (!ahead) tn_build_ahead(b, tn_build_atc(b, w, j * LINE));
        for (TnInto into = 0; into < TN_INTO_COUNT; into++)
            if (walk[into]) tn_build_prefetch(b, tn_build_atc(b, walk[into], j * LINE), into);
    }
    lines_of(b, together, w, at, acc);
    for (int a = 0; a < sums; a++) tn_build_next(&i, a, acc[a]);
    tn_build_loop_end(b, &i);
    for (int a = 0; a < sums; a++) acc[a] = i.out[a];
    lines_of(b, n - whole, tn_build_atc(b, row, (from + whole) * LINE),
             tn_build_atc(b, x, (from + whole) * CODES), acc);
    return combine(b, acc);
}

/* Prefetches the first rows of a list: those that the loop over it, which prefetches `ahead`, does not. */
static void first_rows(TnBuilder *b, LLVMValueRef w, LLVMValueRef list, int64_t row_bytes) {
    LLVMValueRef zero = tn_build_i64(b, 0);
    for (TnInto into = 0; into < TN_INTO_COUNT; into++) {
        int64_t rows = b->k->prefetch.ahead[TN_STREAM_LISTED][into];
        if (!rows) continue;
        TnLoop l = tn_build_loop(b, zero, tn_build_i64(b, rows), 1);
        LLVMValueRef row = tn_build_elem(b, w, entry(b, list, l.i), row_bytes);
        TnLoop i = tn_build_loop(b, zero, tn_build_i64(b, row_bytes / LINE), 1);
        tn_build_prefetch(b, tn_build_elem(b, row, i.i, LINE), into);
        tn_build_loop_end(b, &i);
        tn_build_loop_end(b, &l);
    }
}

static Ahead rows_ahead(TnBuilder *b, LLVMValueRef w, LLVMValueRef list, LLVMValueRef at, int64_t row_bytes) {
    Ahead a = {{NULL}};
    for (TnInto into = 0; into < TN_INTO_COUNT; into++) {
        int64_t rows = b->k->prefetch.ahead[TN_STREAM_LISTED][into];
        if (!rows) continue;
        LLVMValueRef row = entry(b, list, tn_build_add(b, at, tn_build_i64(b, rows)));
        a.row[into] = tn_build_elem(b, w, row, row_bytes);
    }
    return a;
}

/* The module's function for K = k: void (w, i64 count, x, acc, buf, list). With `listed` it takes only the
 * rows of weights in `list` (TnStrips). */
static LLVMValueRef strip_function(TnBuilder *b, int64_t k, bool listed) {
    char name[96];
    snprintf(name, sizeof name, "tmatmul_k%lld%s%s", (long long)k, tn_tmatmul_name(b),
             listed ? "_listed" : "");
    tn_build_ahead_name(b, listed ? TN_STREAM_LISTED : TN_STREAM_DENSE, name, sizeof name);
    LLVMTypeRef params[] = {b->t_ptr, b->t_i64, b->t_ptr, b->t_ptr, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 6, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), count = LLVMGetParam(fn, 1), x = LLVMGetParam(fn, 2);
    LLVMValueRef out = LLVMGetParam(fn, 3), buf = LLVMGetParam(fn, 4), list = LLVMGetParam(fn, 5);
    LLVMValueRef zero = tn_build_i64(b, 0);
    LLVMTypeRef ints = tn_tmatmul_ints(b);
    TnDot dot = tn_llvm_dot(b->level, tn_tmatmul_weights(b), 1);
    int size = b->level->bytes, lanes = size / 4;
    int64_t lines = tn_tmatmul_lines(k), row_bytes = lines * LINE, split = tn_range_split(&dot, k);
    LLVMValueRef sum = tn_build_load(b, b->t_i32, tn_build_atc(b, x, 4), 4);
    x = tn_build_atc(b, x, TN_Q8_HEAD);
    if (listed) first_rows(b, w, list, row_bytes);
    TnLoop g = tn_build_loop(b, zero, count, lanes); /* rows of weights that share a tree */
    LLVMValueRef here = tn_build_min(b, tn_build_sub(b, count, g.i), tn_build_i64(b, lanes));
    LLVMValueRef first = tn_build_elem(b, w, g.i, row_bytes), whole = NULL;
    Ahead ahead;
    TnLoop m = tn_build_loop(b, zero, here, 1);
    LLVMValueRef row = listed ? NULL : tn_build_walk(b, &m, first, row_bytes);
    if (listed) {
        LLVMValueRef at = tn_build_add(b, g.i, m.i);
        ahead = rows_ahead(b, w, list, at, row_bytes);
        row = tn_build_elem(b, w, entry(b, list, at), row_bytes);
    }
    for (int64_t from = 0; from < lines; from += split) {
        int64_t here_lines = lines - from < split ? lines - from : split;
        LLVMValueRef part = piece(b, row, x, listed ? &ahead : NULL, from, here_lines, k);
        whole = whole ? tn_build_add(b, whole, part) : part;
    }
    tn_build_store(b, whole, tn_build_elem(b, buf, m.i, size), (unsigned)size);
    tn_build_loop_end(b, &m);
    /* Lanes after the last weight row are old bytes. The strip has room for their results. */
    LLVMValueRef part[16];
    for (int j = 0; j < lanes; j++)
        part[j] = tn_build_load(b, ints, tn_build_atc(b, buf, (int64_t)j * size), (unsigned)size);
    LLVMValueRef all = tn_build_trees(b, part, lanes, TN_FOLD_ADD);
    all = tn_build_sub(b, all, tn_build_splat(b, sum, lanes));
    if (listed) {
        tn_build_store(b, all, buf, (unsigned)size);
        TnLoop j = tn_build_loop(b, zero, here, 1);
        LLVMValueRef to = entry(b, list, tn_build_add(b, g.i, j.i));
        tn_build_store(b, tn_build_load(b, b->t_i32, tn_build_elem(b, buf, j.i, 4), 4),
                       tn_build_elem(b, out, to, 4), 4);
        tn_build_loop_end(b, &j);
    } else {
        tn_build_store(b, all, tn_build_elem(b, out, g.i, 4), 4);
    }
    tn_build_loop_end(b, &g);
    return tn_build_shared_end(b, back);
}

static int64_t root_k(TnBuilder *b) {
    return tn_build_cols(b, b->g->nodes[b->k->root].args[1]);
}

static void strip(TnBuilder *b, const TnStrip *s) {
    LLVMValueRef args[] = {s->w, s->n, s->x, s->acc, s->buf, s->buf};
    tn_build_call_function(b, strip_function(b, root_k(b), false), args, 6);
}

static void listed(TnBuilder *b, const TnStrip *s) {
    LLVMValueRef args[] = {s->w, s->n, s->x, s->acc, s->buf, s->list};
    tn_build_call_function(b, strip_function(b, root_k(b), true), args, 6);
}

static void note(TnBuilder *b, LLVMValueRef x, LLVMValueRef noted) {
    tn_tmatmul_note(b, root_k(b), x, noted);
}

static LLVMValueRef is_sparse(TnBuilder *b, LLVMValueRef noted) {
    return tn_tmatmul_is_sparse(b, root_k(b), noted);
}

static void columns(TnBuilder *b, LLVMValueRef lines, LLVMValueRef x, LLVMValueRef noted, LLVMValueRef acc) {
    tn_tmatmul_colmajor(b, root_k(b), lines, x, noted, acc);
}

static void few(TnBuilder *b, const TnStrip *s) {
    tn_tmatmul_few(b, root_k(b), s);
}

static void arrange(TnBuilder *b, LLVMValueRef x, LLVMValueRef n_x, LLVMValueRef to) {
    tn_tmatmul_tiles_arrange(b, root_k(b), x, n_x, to);
}

static void tiles(TnBuilder *b, const TnStrip *s) {
    tn_tmatmul_tiles(b, root_k(b), s);
}

static void prepare(TnBuilder *b, const TnStrip *s, LLVMValueRef panels) {
    tn_tmatmul_prepare(b, s->w, s->n, root_k(b), panels);
}

static void many(TnBuilder *b, const TnStrip *s) {
    tn_tmatmul_strips(b, root_k(b), s);
}

static void packed(TnBuilder *b, const TnStrip *s) {
    tn_tmatmul_packed(b, root_k(b), s);
}

static bool is_beside(TnBuilder *b) {
    return tn_rows_together(tn_tmatmul_weights(b)) > 1;
}

/* Of how many rows of weights a strip must have whole groups to be turned into panels or packed bytes. */
static int64_t panel_rows(TnBuilder *b) {
    TnEnc enc = tn_tmatmul_weights(b)->enc;
    return enc == TN_ENC_b80 ? TN_B80_PLANE : enc == TN_ENC_b64 ? TN_BESIDE : 1;
}

/* Whether many rows go over panels, or packed bytes: for more than TN_FEW rows a worker makes them of a strip in its scratch. */
static bool has_panels(TnBuilder *b) {
    return tn_tmatmul_unpacks(b->level, tn_tmatmul_weights(b)) && tn_beside_aligned(b, panel_rows(b));
}

/* The bytes of the panels of a strip. */
static int64_t panels_of(TnBuilder *b, int64_t k) {
    int64_t wide = (b->k->grain + 63) / 64 * 64, spare = tn_tmatmul_weights(b)->enc == TN_ENC_b80;
    return (wide / (b->level->bytes / 4) + spare) * tn_tmatmul_panel_bytes(b, k);
}

static bool is_packed_already(TnBuilder *b) {
    return tn_tmatmul_weights(b)->enc == TN_ENC_b64;
}

/* Of more rows than TN_FEW, how many still go faster without unpacking the weights once for all of them: those of p64 as few
 * rows, eight at a time, those of b64 over packed bytes where the kernel has panels. 0: none, or not measured. */
static int64_t short_rows(TnBuilder *b) {
    TnEnc enc = tn_tmatmul_weights(b)->enc;
    if (b->level->amx || tn_build_most_rows(b, b->k->root) <= TN_FEW || !has_panels(b)) return 0;
    if (enc == TN_ENC_b64) return b->k->panels ? 96 : 0;
    if (enc != TN_ENC_p64) return 0;
    return b->level->dot == TN_DOT_VNNI ? 32 : b->level->dot == TN_DOT_MADDUBS ? 16 : 0;
}

static void kernel(TnBuilder *b) {
    bool beside = is_beside(b);
    int64_t most = tn_build_most_rows(b, b->k->root), k = root_k(b);
    TnStrips one = {.rows = 1,
                    .buf = beside ? tn_beside_buf(b, 1) : 1024,
                    .strip = beside ? tn_tmatmul_beside : strip,
                    .listed = beside ? NULL : listed,
                    .note = note,
                    .is_sparse = is_sparse,
                    .columns = columns,
                    .noted = tn_tmatmul_noted_bytes(k)};
    TnStrips some = {.rows = TN_FEW,
                     .buf = beside ? tn_beside_buf(b, TN_FEW) : tn_tmatmul_few_buf(b, k),
                     .strips = beside ? tn_tmatmul_beside : few};
    TnStrips some_tiles = {.rows = TN_FEW,
                           .buf = tn_tmatmul_tiles_buf(),
                           .strips = tiles,
                           .arrange = arrange,
                           .arranged = tn_tmatmul_tiles_x(k)};
    TnStrips all = {.rows = tn_tmatmul_block(b),
                    .buf = 64,
                    .ahead = true,
                    .panels = panels_of(b, k),
                    .strips = many,
                    .prepare = tn_tmatmul_weights(b)->enc == TN_ENC_b80 ? tn_tmatmul_base3_prepare
                               : beside                                 ? tn_tmatmul_beside_prepare
                                                                        : prepare};
    TnStrips all_packed = {.rows = all.rows,
                           .buf = 64,
                           .panels = tn_tmatmul_packed_bytes(b, k),
                           .strips = packed,
                           .prepare = is_packed_already(b) ? NULL : tn_tmatmul_packed_prepare,
                           .ahead = true};
    const TnStrips *s = most == 1                                     ? &one
                        : most <= TN_FEW && b->level->amx && !beside  ? &some_tiles
                        : most <= TN_FEW || !has_panels(b)            ? &some
                        : tn_tmatmul_packs(b->level) && !b->k->panels ? &all_packed
                                                                      : &all;
    int64_t few = short_rows(b);
    if (few == 0) {
        tn_build_cols_kernel(b, s);
        return;
    }
    LLVMValueRef rows = tn_build_rows(b, b->k->root);
    TnIf is = tn_build_if(b, tn_build_icmp(b, LLVMIntSLE, rows, tn_build_i64(b, few)));
    tn_build_cols_kernel(b, beside ? &all_packed : &some);
    tn_build_else(b, &is);
    tn_build_cols_kernel(b, s);
    tn_build_if_end(b, &is);
}

static bool can_tmatmul(const TnGraph *g, TnRef ref, const TnLevel *level) {
    const TnNode *n = &g->nodes[ref];
    TnEnc rows = g->nodes[n->args[1]].type.enc;
    bool columns = n->n_args < 3 || g->nodes[n->args[2]].type.enc == TN_ENC_p64;
    if (rows == TN_ENC_b80) return columns && level->dot == TN_DOT_VNNI;
    return columns && (rows == TN_ENC_p64 || rows == TN_ENC_b64);
}
const TnLlvmOp tn_llvm_op_tmatmul = {.can = can_tmatmul, .kernel = kernel};
