/* Ranges: limits exact to the column, data that reaches the bounds, data that never exceeds them, and the comments. */
#include "ir/type_layout.h"
#include "ir/range.h"
#include "tests/ir/tir_text.h"

/* The ways in which levels sum (codegen/llvm): avx2 one row and many, vnni, sdot, avx2's s8 and s6, vnni's s6; and one
 * that fits no line. */
static const TnDot dots[] = {{8, 127, 16, 2, 4, true},    {2, 127, 256, 2, 64, false},
                             {128, 127, 4, 0, 0, true},   {32, 127, 16, 0, 0, true},
                             {255, 64, 256, 2, 4, false}, {63, 64, 256, 2, 4, false},
                             {252, 64, 256, 0, 0, true},  {32, 127, 16, 2, 4, false}};
enum { MOST_K = 16909320 };

static void limits(void **state) {
    (void)state;
    assert_int_equal(tn_range_sum_most_k(), MOST_K);
    assert_true(tn_range_sum(MOST_K) <= INT32_MAX && tn_range_sum(MOST_K + 1) > INT32_MAX);
    static const int64_t adds[] = {16, 64, 0, 0, 1, 4, 0, 4}, widen[] = {4, 1, 66053, 66053, 0, 1, 66053, 1},
                         split[] = {66053, 66053, 33026, 33026, 66053, 66053, 520, 66053},
                         narrow[] = {32512, 32512, 0, 0, 32640, 32256, 0, 32512};
    for (size_t i = 0; i < TN_COUNT(dots); i++) {
        const TnDot *d = &dots[i];
        assert_int_equal(tn_range_adds(d), adds[i]);
        assert_int_equal(tn_range_widen(d, MOST_K), widen[i]);
        assert_int_equal(tn_range_split(d, MOST_K), split[i]);
        assert_int_equal(tn_range_narrow(d, MOST_K), narrow[i]);
        /* the most that fits: one addition more, one line more would not */
        if (d->pair) assert_true((adds[i] + 1) * tn_range_pair(d) > INT16_MAX);
        if (d->exact32) assert_true(tn_range_lane(d, MOST_K) <= INT32_MAX);
        if (split[i] < 66053) assert_true((split[i] + 1) * d->meets * d->code * d->value > INT32_MAX);
        /* never more than there is */
        assert_int_equal(tn_range_split(d, 257), 2);
        assert_true(tn_range_widen(d, 256) <= 1);
    }
}

/* The fault of a text, or NULL. Only quant makes q8, so no tmatmul gets rows that quant refuses. */
static char *fault_of(const char *fmt, long long k) {
    TnBuf b = {0};
    TnDiag diag = {0};
    TnGraph **gs;
    uint32_t n;
    char body[512], *fault = NULL;
    snprintf(body, sizeof body, fmt, k, k, k, k);
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
    static const char estimate[] = "  $w: f32[2,%lld] = random {seed=1}\n  $s: s8[2,%lld] = pack $w\n  %%x: "
                                   "f32[R,%lld] = input {name=\"x\"}\n"
                                   "  %%q: q14[R,%lld] = limbs %%x\n  %%y: f32[R,2] = estimate %%q, $s\n";
    assert_null(fault_of(quant, MOST_K));
    assert_null(fault_of(estimate, 131072));
    char *fault = fault_of(estimate, 131073);
    assert_string_equal(
        fault, "t:7:18: estimate: operand 2 ($s) is s8[2,131073], expected at most 131072 columns, so that "
               "255*64*K fits i32\n");
    free(fault);
    fault = fault_of(quant, MOST_K + 1);
    assert_string_equal(
        fault, "t:4:24: quant: operand 1 (%x) is f32[T,16909321], expected at most 16909320 columns, "
               "so that |sum| <= 127*K fits i32\n");
    free(fault);
}

/* What a lane and an i16 hold at most while lines are summed as the bounds say; products of random or of largest size. */
static void sum_lines(const TnDot *d, int64_t k, int sign, int64_t *out_lane, int64_t *out_narrow) {
    int64_t lane = 0, narrow = 0, lines = (k + 255) / 256, split = tn_range_split(d, k),
            widen = tn_range_widen(d, k);
    *out_lane = *out_narrow = 0;
    for (int64_t l = 0; l < lines; l++) {
        for (int a = 0; a < d->adds; a++) {
            for (int i = 0; i < d->pair; i++)
                narrow += sign ? sign * d->code * d->value
                               : (int64_t)(random_u32() % (uint32_t)(d->code + 1)) *
                                     ((int64_t)(random_u32() % (uint32_t)(2 * d->value + 1)) - d->value);
            if (llabs(narrow) > *out_narrow) *out_narrow = llabs(narrow);
            if (widen == 0 && (a + 1) % tn_range_adds(d) == 0) narrow = 0;
        }
        for (int i = 0; i < d->meets; i++)
            lane += sign ? sign * d->code * d->value
                         : (int64_t)(random_u32() % (uint32_t)(d->code + 1)) *
                               ((int64_t)(random_u32() % (uint32_t)(2 * d->value + 1)) - d->value);
        if (llabs(lane) > *out_lane) *out_lane = llabs(lane);
        if (widen && (l + 1) % widen == 0) narrow = 0;
        if ((l + 1) % split == 0) lane = narrow = 0;
    }
}

static void lanes_stay_below(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(dots); i++)
        for (int round = 0; round < 100; round++) {
            int64_t lane, narrow, k = 1 + random_u32() % 5000;
            const TnDot *d = &dots[i];
            sum_lines(d, k, 0, &lane, &narrow);
            assert_true(lane <= tn_range_lane(d, k) && narrow <= tn_range_narrow(d, k));
            sum_lines(d, k, round % 2 ? 1 : -1, &lane, &narrow);
            assert_int_equal(lane, tn_range_lane(d, k));
            assert_int_equal(narrow, tn_range_narrow(d, k));
            assert_true(narrow <= INT16_MAX);
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

static bool dot_of(const TnGraph *g, TnRef product, TnDot *out) {
    *out = dots[g->nodes[product].op == TN_OP_estimate ? 5 : g->nodes[product].type.dim[1] == 3 ? 0 : 2];
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
                               "  $v: t8[2,300] scale=0x1p+0 = random {seed=3}\n"
                               "  %b: i32[T,2] = tmatmul %q, $v\n"
                               "  $f: f32[5,300] = random {seed=4}\n"
                               "  $s: s6[5,300] = pack $f\n"
                               "  %l: q14[T,300] = limbs %x\n"
                               "  %y: f32[T,5] = estimate %l, $s\n"
                               "  %d: f32[T,3] = dequant %a, %q, $w\n"
                               "  %best: i32[T] = argmax %d\n"
                               "  %out: i32[T] = output %best {name=\"best\"}\n";
    static const char want[] =
        "tir 1\ngraph @t stage=model\n"
        "  $w: t8[3,300] scale=0x1p+0 = random {seed=1}\n"
        "  $e: f32[40,300] = random {seed=2}\n"
        "  %ids: i32[T] = input {name=\"ids\"} ; 0 <= y <= 39\n"
        "  %x: f32[T,300] = embed %ids, $e\n"
        "  %q: q8[T,300] = quant %x ; |y| <= 127, |sum| <= 38100\n"
        "  %a: i32[T,3] = tmatmul %q, $w ; |y| <= 38100; a lane <= 32512; an i16 <= "
        "16256: 8 additions of 2032, of 16 that fit\n"
        "  $v: t8[2,300] scale=0x1p+0 = random {seed=3}\n"
        "  %b: i32[T,2] = tmatmul %q, $v ; |y| <= 38100; a lane <= 130048\n"
        "  $f: f32[5,300] = random {seed=4}\n"
        "  $s: s6[5,300] = pack $f ; |y| <= 31\n"
        "  %l: q14[T,300] = limbs %x ; |y| <= 64\n"
        "  %y: f32[T,5] = estimate %l, $s ; |sum| <= 595200 of each limb; a lane <= 2064384; an "
        "i16 <= 32256: 4 additions of 8064, all that fit\n"
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
