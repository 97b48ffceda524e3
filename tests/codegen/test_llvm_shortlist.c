/* limbs, estimate, rerank, rerank_top and pick: code of every level against the evaluator, bit for bit, over tables
 * and rows with ties, NaN, infinities, overflow and sums too small for a float. */
#include "codegen/parity.h"
#include "tests/ir/shortlist_cases.h"

#ifndef TERN_LLVM
int main(void) {
    puts("skipped: built without LLVM");
    return 77;
}
#else

static const TnEnc copies[] = {TN_ENC_s8, TN_ENC_s6, TN_ENC_s5};

/* Whether the bounds leave row r of the table, with this threshold. */
static bool is_left(const HeadCase *c, int64_t row, int64_t r, float threshold) {
    const TnType *t = &c->g->nodes[head_ref(c, "s")].type;
    const float *y = head_value_row(c, "y", row);
    const uint8_t *q = head_value_row(c, "q", row);
    TnRowFacts f = tn_shadow_row_facts(t, head_value(c, "s"), r);
    float limits[2];
    memcpy(limits, q + 12, sizeof limits);
    if (y[r] + tn_shadow_radius(limits[0], limits[1], f.error, f.norm) < threshold) return false;
    for (int p = 0; p < tn_shadow_planes(t); p++) {
        float z = head_finer(c, t, q, p + 1, r, y[r]);
        if (z + tn_shadow_radius(limits[0], limits[1], f.fine[p], f.norm) < threshold) return false;
    }
    return true;
}

/* How many rows rerank (k is 0) or rerank_top needs for a row: the k most promising, and those that the bounds leave with the
 * threshold that these give. */
static int64_t needs(const HeadCase *c, int64_t row, int64_t k) {
    const TnType *t = &c->g->nodes[head_ref(c, "s")].type;
    const float *y = head_value_row(c, "y", row), *full = head_value_row(c, "full", row);
    const uint8_t *q = head_value_row(c, "q", row);
    float limits[2], *low = calloc((size_t)c->v, sizeof *low), least = INFINITY;
    bool *taken = calloc((size_t)c->v, sizeof *taken);
    int64_t most = k ? k : 1, n = 0;
    assert_true(low && taken);
    memcpy(limits, q + 12, sizeof limits);
    for (int64_t r = 0; r < c->v; r++) {
        TnRowFacts f = tn_shadow_row_facts(t, head_value(c, "s"), r);
        low[r] = y[r] - tn_shadow_radius(limits[0], limits[1], f.error, f.norm);
    }
    for (; n < most; n++) {
        int64_t best = -1;
        for (int64_t r = 0; r < c->v; r++)
            if (!taken[r] && !isnan(low[r]) && (k || low[r] > -INFINITY) && (best < 0 || low[r] > low[best]))
                best = r;
        if (best < 0 && k) break;
        if (best < 0) best = 0;
        taken[best] = true;
        if (!k && !isfinite(full[best])) least = NAN; /* ends it */
        if (k && isnan(full[best])) least = -INFINITY;
        if (full[best] < least) least = full[best];
    }
    if (k && n < k) least = -INFINITY;
    for (int64_t r = 0, some = n; r < c->v && !isnan(least); r++) n = some += is_left(c, row, r, least);
    free(low);
    free(taken);
    return n;
}

/* How many rows pick needs. */
static int64_t picked(const HeadCase *c, int64_t row) {
    const int32_t *ids = head_value_row(c, "top", row);
    int64_t n = 0;
    for (int64_t i = 0; i < c->top; i++) n += ids[i] >= 0;
    return n;
}

/* Kernel `kernel` of the case: its operands are what the evaluator made. */
static void check_kernel(const HeadCase *c, const char *level, uint32_t kernel, const char *what) {
    Compiled code = parity_compile(c->g, kernel, level);
    if (!parity_works(&code)) { /* cross-compiled: that it could be is all that can be said here */
        parity_free(&code);
        return;
    }
    Memory in = parity_memory(c->g, kernel, c->sym), want;
    for (uint32_t i = 0; i < in.n_in; i++) memcpy(in.p[i], tn_eval_data(c->e, in.ref[i]), in.bytes[i]);
    want = parity_copy(&in);
    for (uint32_t i = in.n_in; i < in.n; i++) memcpy(want.p[i], tn_eval_data(c->e, in.ref[i]), in.bytes[i]);
    const TnKernel *k = &c->g->kernels[kernel];
    int64_t units = k->axis == TN_AXIS_ROWS ? k->units * c->rows : k->units, need = 0, least_calls = 0;
    Listed listed = parity_ways(c->g, &code, &in, &want, c->sym, units, what);
    bool exact = kernel == HEAD_TOP || kernel == HEAD_PICK;
    assert_int_equal(code.job.lists, exact || kernel == HEAD_BEST);
    for (int64_t r = 0; listed.calls && r < units; r++)
        need += kernel == HEAD_PICK ? picked(c, r) : needs(c, r, kernel == HEAD_TOP ? c->top : 0);
    least_calls = units ? (need + listed.most - 1) / (listed.most ? listed.most : 1) : 0;
    if (listed.n > need || (listed.n < need && exact))
        fail_msg("%s: %d rows are listed, %d are needed", what, (int)listed.n, (int)need);
    if (exact && listed.calls < least_calls)
        fail_msg("%s: %d rows in %d lists of %d", what, (int)need, (int)listed.calls, (int)listed.most);
    if (c->v <= listed.most && (listed.n != need || listed.calls > 2 * units))
        fail_msg("%s: %d rows are listed in %d lists, %d are needed", what, (int)listed.n, (int)listed.calls,
                 (int)need);
    parity_memory_free(&want);
    parity_memory_free(&in);
    parity_free(&code);
}

/* The first `kernels` kernels, on every level. */
static void check_some(HeadCase c, int rows_hi, uint32_t kernels) {
    for (size_t i = 0; i < TN_COUNT(parity_levels); i++) {
        bool cross = !parity_runs(parity_levels[i]);
        if (cross && (rows_hi != 8 || c.table)) continue; /* code of other machines, emulated: less of it */
        if (!parity_due(parity_levels[i])) continue;
        head_open(&c, parity_levels[i], rows_hi);
        for (uint32_t k = 0; k < kernels; k++) {
            char what[160];
            snprintf(what, sizeof what, "%s @%s %s[%d,%d] table %d, %d rows of %d", parity_levels[i],
                     c.g->kernels[k].name, tn_encs[c.copy].name, (int)c.v, (int)c.k, c.table, c.rows,
                     rows_hi);
            check_kernel(&c, parity_levels[i], k, what);
        }
        head_close(&c);
    }
}

static void check(HeadCase c, int rows_hi) {
    check_some(c, rows_hi, HEAD_KERNELS);
}

static void shapes(void **state) {
    (void)state;
    static const struct {
        int64_t v, k, top;
        int rows, rows_hi;
        TnEnc enc;
    } shapes[] = {
        {33, 192, 5, 1, 1, TN_ENC_f16},       {33, 192, 5, 2, 8, TN_ENC_f32},
        {1, 1, 1, 7, 8, TN_ENC_bf16},         {129, 100, 40, 7, 8, TN_ENC_f16},
        {200, 256, 256, 33, 512, TN_ENC_f16}, {64, 513, 32, 3, 8, TN_ENC_f32},
        {1000, 320, 40, 1, 1, TN_ENC_bf16},   {97, 64, 33, 12, 512, TN_ENC_f16},
    };
    for (size_t i = 0; i < TN_COUNT(shapes); i++)
        for (int copy = 0; copy < 3; copy++)
            check((HeadCase){.v = shapes[i].v,
                             .k = shapes[i].k,
                             .top = shapes[i].top,
                             .rows = shapes[i].rows,
                             .enc = shapes[i].enc,
                             .copy = copies[copy]},
                  shapes[i].rows_hi);
}

/* Products of every number of rows, with blocks and turns that are not whole, and K in stretches. */
static void products(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{65, 4}, {7, 20}, {130, 2564}, {2, 272}};
    for (int i = 0; i < 24; i++)
        check_some((HeadCase){.v = sizes[(i + i / 8) % 4][0],
                              .k = sizes[(i + i / 8) % 4][1],
                              .top = 2,
                              .rows = i % 8 + 1,
                              .enc = TN_ENC_f32,
                              .copy = copies[i / 8]},
                   8, HEAD_SHADOW + 1);
}

/* Units that begin anywhere in a block of the shadow table, or take several blocks. */
static void units(void **state) {
    (void)state;
    static const int grains[] = {1, 40, 100, 192};
    for (size_t i = 0; i < TN_COUNT(grains); i++)
        check_some((HeadCase){.v = grains[i] == 1 ? 5 : 321,
                              .k = 36,
                              .top = 3,
                              .rows = 4 + (int)i,
                              .grain = grains[i],
                              .enc = TN_ENC_f32,
                              .copy = copies[i % 3]},
                   8, HEAD_SHADOW + 1);
}

/* A table in the blocks of the file. */
static void stored(void **state) {
    (void)state;
    static const struct {
        int64_t v, k, top;
        int rows, rows_hi;
        TnEnc enc;
    } shapes[] = {
        {130, 32, 5, 1, 1, TN_ENC_q8_0},       {97, 288, 33, 7, 8, TN_ENC_q8_0},
        {300, 256, 40, 3, 8, TN_ENC_q4_k},     {129, 768, 32, 12, 512, TN_ENC_q5_k},
        {1, 256, 1, 2, 8, TN_ENC_q6_k},        {1000, 512, 40, 1, 1, TN_ENC_q6_k},
        {333, 768, 256, 11, 512, TN_ENC_q6_k},
    };
    for (size_t i = 0; i < TN_COUNT(shapes); i++)
        for (int copy = 0; copy < 3; copy++)
            check((HeadCase){.v = shapes[i].v,
                             .k = shapes[i].k,
                             .top = shapes[i].top,
                             .rows = shapes[i].rows,
                             .enc = shapes[i].enc,
                             .copy = copies[copy]},
                  shapes[i].rows_hi);
}

static void tables(void **state) {
    (void)state;
    for (int table = 1; table < HEAD_TABLE_KINDS; table++)
        for (int copy = 0; copy < 3; copy++)
            check((HeadCase){.v = 150,
                             .k = 160,
                             .top = 20,
                             .rows = 2 * HEAD_ROW_KINDS,
                             .enc = copy ? TN_ENC_f16 : TN_ENC_f32,
                             .table = table,
                             .copy = copies[copy]},
                  512);
}

/* More rows are equally good than one list takes: all rows of a table of two. In the last case more are promising, too. */
static void long_lists(void **state) {
    (void)state;
    static const struct {
        int64_t v, k, top;
        TnEnc enc;
    } shapes[] = {{9000, 64, 3, TN_ENC_f16}, {701, 2100, 40, TN_ENC_f32}, {300, 4100, 256, TN_ENC_f32}};
    for (size_t i = 0; i < TN_COUNT(shapes); i++)
        check((HeadCase){.v = shapes[i].v,
                         .k = shapes[i].k,
                         .top = shapes[i].top,
                         .rows = 2,
                         .enc = shapes[i].enc,
                         .table = 1,
                         .copy = copies[1 + i % 2]},
              8);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(products),
                                       cmocka_unit_test(units),  cmocka_unit_test(stored),
                                       cmocka_unit_test(tables), cmocka_unit_test(long_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
