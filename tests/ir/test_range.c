/* Ranges: limits to the column, data that reaches the bounds, data that never passes them, and the comments. */
#include "ir/layout.h"
#include "ir/range.h"
#include "tests/ir/tir_text.h"

/* As avx2, avx512-vnni and neon-dotprod sum (codegen/llvm/tmatmul.c), and two that cannot be. */
static const TnDot dots[] = {{8, 2, 4, 8, true},   {16, 1, 64, 0, true}, {4, 1, 16, 0, true},
                             {16, 4, 1, 0, false}, {8, 4, 64, 16, true}, {16, 1, 256, 0, true}};

static void limits(void **state) {
    (void)state;
    assert_int_equal(tn_range_sum_most_k(), 16909320);
    assert_true(tn_range_sum(16909320) <= INT32_MAX && tn_range_sum(16909321) > INT32_MAX);
    static const int64_t most[] = {16909320, 8454656, 8454656, 16909320, 0, 0};
    for (size_t i = 0; i < TN_COUNT(dots); i++) {
        assert_int_equal(tn_range_most_k(&dots[i]), most[i]);
        if (!most[i]) continue;
        assert_true(tn_range_narrow(&dots[i]) <= INT16_MAX);
        if (!dots[i].exact32) continue;
        assert_true(tn_range_lane(&dots[i], most[i]) <= INT32_MAX);
        assert_true(tn_range_lane(&dots[i], most[i] + 1) > INT32_MAX || most[i] == tn_range_sum_most_k());
    }
}

/* q8 comes from quant alone, so that what quant refuses no tmatmul meets. The fault of a text, or NULL. */
static char *fault_of(const char *fmt, long long k) {
    TnBuf b = {0};
    TnDiag diag = {0};
    TnGraph **gs;
    uint32_t n;
    char body[512], *fault = NULL;
    snprintf(body, sizeof body, fmt, k, k, k);
    tn_buf_printf(&b, "tir 1\ngraph @t stage=model\n%send\n", body);
    if (tn_parse(b.data, b.len, "t", &gs, &n, &diag) == TERN_OK) {
        tn_graph_destroy(gs[0]);
        free(gs);
    } else {
        fault = strdup(diag.text.data);
    }
    tn_buf_free(&b);
    tn_diag_free(&diag);
    return fault;
}

static void too_long_is_refused(void **state) {
    (void)state;
    static const char quant[] = "  %%x: f32[T,%lld] = input {name=\"x\"}\n  %%q: q8[T,%lld] = quant %%x\n";
    assert_null(fault_of(quant, 16909320));
    char *fault = fault_of(quant, 16909321);
    assert_string_equal(fault,
                        "t:4:24: quant: operand 1 (%x) is f32[T,16909321], wanted at most 16909320 columns, "
                        "so that |sum| <= 127*K fits i32\n");
    free(fault);
}

/* What a lane holds at the end, line by line as TnDot says: for the plane or planes with the largest factor. */
static int64_t lane_of(const TnDot *d, const uint8_t *code, const int8_t *a, int64_t lines,
                       int64_t *out_narrow) {
    int64_t sum = 0, met = 64 * d->planes / d->lanes, most = 0;
    for (int64_t l = 0; l < lines; l++) {
        int64_t narrow = 0;
        for (int64_t i = 0; i < met; i++) {
            int64_t product = (int64_t)code[l * 256 + i] * d->factor * a[l * 256 + i];
            sum += product;
            if (i < d->narrow) narrow += product;
        }
        if (narrow > most) most = narrow;
        if (-narrow > most) most = -narrow;
    }
    *out_narrow = most;
    return sum < 0 ? -sum : sum;
}

static void lanes_stay_below(void **state) {
    (void)state;
    enum { LINES = 40, K = LINES * 256 };
    static uint8_t code[K];
    static int8_t a[K];
    for (size_t i = 0; i < TN_COUNT(dots); i++) {
        int64_t narrow;
        for (int round = 0; round < 200; round++) {
            int64_t lines = 1 + random_u32() % LINES;
            for (int64_t k = 0; k < lines * 256; k++) {
                code[k] = (uint8_t)(random_u32() % 3);
                a[k] = (int8_t)(random_u32() % 255 - 127);
            }
            int64_t most = tn_range_lane(&dots[i], lines * 256);
            assert_true(lane_of(&dots[i], code, a, lines, &narrow) <= most);
            assert_true(narrow <= tn_range_narrow(&dots[i]));
            memset(code, 2, sizeof code);
            memset(a, round % 2 ? 127 : -127, sizeof a);
            assert_int_equal(lane_of(&dots[i], code, a, lines, &narrow), most);
            assert_int_equal(narrow, tn_range_narrow(&dots[i]));
            /* a row that ends inside a line counts as a whole one */
            assert_int_equal(tn_range_lane(&dots[i], lines * 256 - 255), most);
        }
    }
}

/* quant and tmatmul as they are evaluated: never beyond, and reached. */
static void sums_stay_below(void **state) {
    (void)state;
    static const int ks[] = {1, 7, 33, 100, 256, 300};
    for (size_t i = 0; i < TN_COUNT(ks); i++) {
        int k = ks[i];
        char body[4096], ones[2048] = "1";
        for (int c = 1; c < k; c++) strcat(ones, ",1");
        snprintf(body, sizeof body,
                 "  $w: t8[7,%d] scale=1 = random {seed=%d}\n  $one: t8[1,%d] scale=1 = const {values=[%s]}\n"
                 "  %%x: f32[T,%d] = input {name=\"x\"}\n  %%q: q8[T,%d] = quant %%x\n"
                 "  %%a: i32[T,7] = tmatmul %%q, $w\n  %%m: i32[T,1] = tmatmul %%q, $one\n",
                 k, k, k, ones, k, k);
        TnGraph *g = graph_of(body);
        enum { ROWS = 33 };
        int64_t sym[TN_SYM_COUNT] = {[TN_T] = ROWS}, bound = tn_range_sum(k);
        TnEval *e;
        TernError err;
        if (tn_eval_create(g, NULL, sym, &e, &err) != TERN_OK) fail_msg("%s", err.text);
        float *x = tn_eval_input(e, "x");
        int64_t stride = (k + TN_PAD - 1) / TN_PAD * TN_PAD;
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < k; c++) {
                float *at = &x[r * stride + c];
                uint32_t bits = random_u32() << 1 | (random_u32() & 1);
                *at = r == 0   ? 5.0f
                      : r == 1 ? -0.25f
                      : r < 20 ? random_float()
                               : tn_bits_f32(bits); /* NaN too */
            }
        tn_eval_run(e, sym);
        const int32_t *a = tn_eval_data(e, ref_of(g, "a")), *m = tn_eval_data(e, ref_of(g, "m"));
        for (int r = 0; r < ROWS; r++) {
            for (int c = 0; c < 7; c++)
                assert_true(a[r * TN_PAD + c] <= bound && -a[r * TN_PAD + c] <= bound);
            assert_true(m[r * TN_PAD] <= bound && -m[r * TN_PAD] <= bound);
        }
        assert_int_equal(m[0], bound);
        assert_int_equal(m[TN_PAD], -bound);
        TnRange range = tn_range_of(g, ref_of(g, "a"));
        assert_true(range.known && range.lo == -bound && range.hi == bound);
        tn_eval_destroy(e);
        tn_graph_destroy(g);
    }
}

static bool dot_of(const TnGraph *g, TnRef tmatmul, TnDot *out) {
    (void)g, (void)tmatmul;
    *out = dots[0];
    return true;
}

static void comments(void **state) {
    (void)state;
    static const char body[] = "  $w: t8[3,300] scale=0x1p+0 = random {seed=1}\n"
                               "  $e: f32[40,300] = random {seed=2}\n"
                               "  %ids: i32[T] = input {name=\"ids\"}\n"
                               "  %x: f32[T,300] = embed %ids, $e\n"
                               "  %q: q8[T,300] = quant %x\n"
                               "  %a: i32[T,3] = tmatmul %q, $w\n"
                               "  %d: f32[T,3] = dequant %a, %q, $w\n"
                               "  %best: i32[T] = argmax %d\n"
                               "  %out: i32[T] = output %best {name=\"best\"}\n";
    static const char want[] = "tir 1\ngraph @t stage=model\n"
                               "  $w: t8[3,300] scale=0x1p+0 = random {seed=1}\n"
                               "  $e: f32[40,300] = random {seed=2}\n"
                               "  %ids: i32[T] = input {name=\"ids\"} ; 0 <= y <= 39\n"
                               "  %x: f32[T,300] = embed %ids, $e\n"
                               "  %q: q8[T,300] = quant %x ; |y| <= 127, |sum| <= 38100\n"
                               "  %a: i32[T,3] = tmatmul %q, $w ; |y| <= 38100; a lane <= 32512, an i16 <= "
                               "8128; exact up to K = 16909320\n"
                               "  %d: f32[T,3] = dequant %a, %q, $w\n"
                               "  %best: i32[T] = argmax %d ; -1 <= y <= 2\n"
                               "  %out: i32[T] = output %best {name=\"best\"}\n"
                               "end\n";
    TnGraph *g = graph_of(body), **gs;
    uint32_t n;
    TnBuf b = {0};
    TnDiag diag = {0};
    tn_print_ranges(g, dot_of, &b);
    assert_string_equal(b.data, want);
    assert_int_equal(tn_parse(b.data, b.len, "ranges", &gs, &n, &diag), TERN_OK);
    assert_true(tn_graph_equal(g, gs[0]));
    tn_graph_destroy(gs[0]);
    free(gs);
    tn_graph_destroy(g);
    tn_buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits),           cmocka_unit_test(too_long_is_refused),
        cmocka_unit_test(lanes_stay_below), cmocka_unit_test(sums_stay_below),
        cmocka_unit_test(comments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
