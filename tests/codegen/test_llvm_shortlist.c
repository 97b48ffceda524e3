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

/* How many rows rerank lists for a row: the bounds leave them, where the estimate of the most promising row stands for its
 * element. */
static int64_t left_for(const HeadCase *c, int64_t row) {
    const TnType *t = &c->g->nodes[head_ref(c, "s")].type;
    const float *y = head_value_row(c, "y", row);
    const uint8_t *q = head_value_row(c, "q", row), *s = head_value(c, "s");
    float limits[2], low = -INFINITY, least = y[0];
    int64_t left = 0;
    memcpy(limits, q + 12, sizeof limits);
    for (int64_t r = 0; r < c->v; r++) {
        TnRowFacts f = tn_shadow_row_facts(t, s, r);
        float here = y[r] - tn_shadow_radius(limits[0], limits[1], f.error, f.norm);
        if (here > low) low = here, least = y[r];
    }
    for (int64_t r = 0; r < c->v; r++) {
        TnRowFacts f = tn_shadow_row_facts(t, s, r);
        if (y[r] + tn_shadow_radius(limits[0], limits[1], f.error, f.norm) < least) continue;
        bool reaches = true;
        for (int p = 0; p < tn_shadow_planes(t) && reaches; p++) {
            float z = head_finer(c, t, q, p + 1, r, y[r]);
            reaches = !(z + tn_shadow_radius(limits[0], limits[1], f.fine[p], f.norm) < least);
        }
        if (!reaches) continue;
        left++;
    }
    return left;
}

/* Asks the kernel which rows it will read: the best of each row is among them where values are ordinary. */
static void check_list(const HeadCase *c, const Compiled *code, const Memory *in, int64_t units,
                       const char *what) {
    TnRowList *list = parity_list(c->g, code, in, c->sym, units, what);
    const TnKernel *k = &c->g->kernels[code->job.kernel];
    if (!list || c->table || code->job.kernel != HEAD_BEST) {
        free(list);
        return;
    }
    const TnType *w = &c->g->nodes[c->g->nodes[k->first].args[4]].type;
    const uint8_t *table = parity_named(c->g, in, c->g->nodes[c->g->nodes[k->first].args[4]].name);
    const int32_t *best = tn_eval_data(c->e, k->first);
    int64_t left = 0;
    for (int64_t r = 0; r < units; r++) left += left_for(c, r);
    if (list->n != (left < TN_ROWS_LISTED ? left : TN_ROWS_LISTED))
        fail_msg("%s: %d rows are listed, the bounds leave %d", what, (int)list->n, (int)left);
    for (int64_t r = 0; r < units; r++) {
        bool found = best[r] < 0;
        for (int64_t i = 0; i < list->n && !found; i++)
            found = list->row[i] == table + (size_t)best[r] * (size_t)tn_row_bytes(w);
        if (!found)
            fail_msg("%s: row %d: the best, %d, is not among the %d listed", what, (int)r, best[r],
                     (int)list->n);
    }
    free(list);
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
    int64_t units = k->axis == TN_AXIS_ROWS ? k->units * c->rows : k->units;
    size_t bytes = (size_t)code.job.scratch;
    int ways = code.job.lists && !code.emulated ? 4 : 3;
    for (int way = code.emulated ? 2 : 0; way < ways; way++) {
        Memory got = parity_copy(&in);
        uint8_t *room = parity_alloc(bytes, 0xff);
        if (way == 0) parity_call(&code, &got, c->sym, 0, units, room, false);
        for (int64_t u = units; way == 1 && u > 0; u--)
            parity_call(&code, &got, c->sym, u - 1, u, room, false);
        for (int64_t lo = 0, hi; way == 2 && lo < units; lo = hi) {
            hi = lo + 1 + (int64_t)(parity_u32() % (uint32_t)(units - lo));
            parity_call(&code, &got, c->sym, lo, hi, room, lo > 0);
        }
        for (int64_t u = 0; way == 3 && u < units; u++)
            parity_call_listed(&code, &got, c->sym, u, room, what);
        for (size_t i = 0; i < PARITY_GUARD; i++)
            if (room[bytes + i] != 0x77) fail_msg("%s: wrote behind its scratch", what);
        parity_compare(c->g, &want, &got, c->sym, what);
        parity_memory_free(&got);
        free(room);
    }
    check_list(c, &code, &in, units, what);
    parity_memory_free(&want);
    parity_memory_free(&in);
    parity_free(&code);
}

static void check(HeadCase c, int rows_hi) {
    for (size_t i = 0; i < TN_COUNT(parity_levels); i++) {
        bool cross = !parity_runs(parity_levels[i]);
        if (cross && (rows_hi != 8 || c.table)) continue; /* code of other machines, emulated: less of it */
        if (!parity_due(parity_levels[i])) continue;
        head_open(&c, parity_levels[i], rows_hi);
        for (uint32_t k = 0; k < HEAD_KERNELS; k++) {
            char what[160];
            snprintf(what, sizeof what, "%s @%s %s[%d,%d] table %d, %d rows of %d", parity_levels[i],
                     c.g->kernels[k].name, tn_encs[c.copy].name, (int)c.v, (int)c.k, c.table, c.rows,
                     rows_hi);
            check_kernel(&c, parity_levels[i], k, what);
        }
        head_close(&c);
    }
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(stored),
                                       cmocka_unit_test(tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
