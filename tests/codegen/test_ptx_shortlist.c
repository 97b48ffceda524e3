/* limbs, rerank, rerank_top and pick as PTX, over tables and rows with ties, NaN, infinities, overflow and sums too small for
 * a float, against the evaluator. Kernels whose ops have no emitter are named. */
#include "codegen/ptx/ops/ptx_best.h"
#include "codegen/ptx_cases.h"
#include "tests/ir/shortlist_cases.h"

/* Kernel `kernel` of the case: its operands are what the evaluator made. */
static void check_kernel(const HeadCase *c, uint32_t kernel, size_t target, const char *what) {
    TnBuf text = {0};
    char line[PTX_LINE];
    TnPtx b = ptx_emit(c->g, kernel, target, &text, what);
    PtxModule *code = ptx_module_load(text.data, text.len, line);
    if (!code) fail_msg("%s: %s", what, line);
    Memory in = parity_memory(c->g, kernel, c->sym), want;
    for (uint32_t i = 0; i < in.n_in; i++) memcpy(in.p[i], tn_eval_data(c->e, in.ref[i]), in.bytes[i]);
    want = parity_copy(&in);
    for (uint32_t i = in.n_in; i < in.n; i++) memcpy(want.p[i], tn_eval_data(c->e, in.ref[i]), in.bytes[i]);
    Memory got = ptx_launch_kernel(c->g, kernel, &b, code, &in, c->sym, c->rows, what);
    parity_compare(c->g, &want, &got, c->sym, what);
    parity_memory_free(&got);
    parity_memory_free(&want);
    parity_memory_free(&in);
    ptx_module_free(code);
    tn_buf_free(&text);
}

static void check(HeadCase c, int rows_hi) {
    head_open(&c, "ref", rows_hi);
    for (uint32_t k = 0; k < HEAD_KERNELS; k++)
        for (size_t t = 0; t < TN_COUNT(ptx_targets); t++) {
            const char *op;
            char what[160];
            if (!tn_ptx_can(c.g, k, &op)) {
                if (rows_hi == 1 && !t && c.copy == TN_ENC_s8) printf("no emitter of %s\n", op);
                continue;
            }
            if (c.g->kernels[k].axis == TN_AXIS_ROWS) c.g->kernels[k].units = tn_ptx_parts(c.g, k);
            snprintf(what, sizeof what, "%s @%s %s[%d,%d] table %d, %d rows of %d", ptx_targets[t].target,
                     c.g->kernels[k].name, tn_encs[c.copy].name, (int)c.v, (int)c.k, c.table, c.rows,
                     rows_hi);
            check_kernel(&c, k, t, what);
        }
    head_close(&c);
}

static void shapes(void **state) {
    (void)state;
    static const struct {
        int64_t v, k, top;
        int rows, rows_hi;
        TnEnc enc;
    } shapes[] = {
        {33, 192, 5, 1, 1, TN_ENC_f16},    {33, 192, 5, 2, 8, TN_ENC_f32},
        {1, 1, 1, 7, 8, TN_ENC_bf16},      {129, 100, 40, 7, 8, TN_ENC_f16},
        {64, 513, 32, 3, 8, TN_ENC_f32},   {1000, 320, 40, 1, 1, TN_ENC_bf16},
        {257, 300, 256, 2, 8, TN_ENC_f16}, {2601, 64, 1, 1, 1, TN_ENC_f16},
        {65, 4, 3, 7, 8, TN_ENC_f16},
    };
    for (size_t i = 0; i < TN_COUNT(shapes); i++)
        for (int copy = 0; copy < 2; copy++)
            check((HeadCase){.v = shapes[i].v,
                             .k = shapes[i].k,
                             .top = shapes[i].top,
                             .rows = shapes[i].rows,
                             .enc = shapes[i].enc,
                             .copy = copy ? TN_ENC_s6 : TN_ENC_s8},
                  shapes[i].rows_hi);
}

static void tables(void **state) {
    (void)state;
    for (int table = 1; table < HEAD_TABLE_KINDS; table++)
        check((HeadCase){.v = 150,
                         .k = 96,
                         .top = 20,
                         .rows = HEAD_ROW_KINDS,
                         .enc = table % 2 ? TN_ENC_f16 : TN_ENC_f32,
                         .table = table,
                         .copy = table % 2 ? TN_ENC_s6 : TN_ENC_s8},
              512);
    for (int table = 1; table < HEAD_TABLE_KINDS; table++) /* several CTAs a row */
        check((HeadCase){.v = 1100,
                         .k = 48,
                         .top = 3,
                         .rows = 1,
                         .enc = TN_ENC_f16,
                         .table = table,
                         .copy = table % 2 ? TN_ENC_s8 : TN_ENC_s6},
              1);
}

/* A product over a table of 5 bits has no emitter, whatever its rows. */
static void five_bits(void **state) {
    (void)state;
    HeadCase c = {.v = 64, .k = 96, .top = 3, .rows = 1, .enc = TN_ENC_f16, .copy = TN_ENC_s5};
    const char *op = NULL;
    head_open(&c, "ref", 1);
    assert_false(tn_ptx_can(c.g, HEAD_SHADOW, &op));
    assert_string_equal(op, "estimate by 5 bits, or of rows of more than 96 KB");
    head_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(tables),
                                       cmocka_unit_test(five_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
