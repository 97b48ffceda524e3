/* The shortlisted head in the evaluator. The bound holds for every element, and the choices are those of the full
 * product, for tables and rows that were made to break it. */
#include "tests/ir/shortlist_cases.h"

static const TnEnc copies[] = {TN_ENC_s8, TN_ENC_s6};

/* The element in exact arithmetic, and by the defined dot product. */
static void check_bounds(const HeadCase *c, int row) {
    const float *x = head_value_row(c, "x", row), *y = head_value_row(c, "y", row);
    const float *full = head_value_row(c, "full", row);
    const uint8_t *q = head_value_row(c, "q", row);
    const TnType *t = &c->g->nodes[head_ref(c, "s")].type;
    float limits[2];
    memcpy(limits, q + 12, sizeof limits);
    for (int64_t r = 0; r < c->v; r++) {
        TnRowFacts f = tn_shadow_row_facts(t, head_value(c, "s"), r);
        float rad = tn_shadow_radius(limits[0], limits[1], f.error, f.norm);
        if (!(rad < INFINITY)) continue;
        long double exact = 0;
        for (int64_t i = 0; i < c->k; i++) exact += (long double)x[i] * (long double)c->w[r * c->k + i];
        if (!(fabsf(full[r]) < INFINITY))
            fail_msg("row %d, element %d: a finite bound, but it is not finite", row, (int)r);
        if (!(fabsl((long double)full[r] - (long double)y[r]) <= (long double)rad) ||
            !(fabsl(exact - (long double)y[r]) <= (long double)rad))
            fail_msg("%s table %d row %d of kind %d, element %d: %a, approximately %a, bound %a",
                     tn_encs[c->copy].name, c->table, row, row % HEAD_ROW_KINDS, (int)r, (double)full[r],
                     (double)y[r], (double)rad);
        if (!(full[r] <= y[r] + rad) || !(full[r] >= y[r] - rad))
            fail_msg("the interval, rounded, is too narrow");
    }
}

static void check_choices(const HeadCase *c, int row) {
    const int32_t *best = head_value(c, "best"), *want = head_value(c, "want");
    if (best[row] != want[row])
        fail_msg("%s table %d row %d of kind %d: best %d, expected %d", tn_encs[c->copy].name, c->table, row,
                 row % HEAD_ROW_KINDS, best[row], want[row]);
    assert_memory_equal(head_value_row(c, "top", row), head_value_row(c, "wtop", row), (size_t)c->top * 4);
    const float *a = head_value_row(c, "logit", row), *b = head_value_row(c, "wlogit", row);
    for (int64_t i = 0; i < c->top; i++) /* a NaN's bits mean nothing, and there is none among the best */
        assert_int_equal(tn_f32_bits(a[i]), tn_f32_bits(b[i]));
}

static void tables(void **state) {
    (void)state;
    static const struct {
        int64_t v, k, top;
        TnEnc enc;
    } shapes[] = {{33, 192, 5, TN_ENC_f16},
                  {1, 1, 1, TN_ENC_f32},
                  {7, 65, 40, TN_ENC_bf16},
                  {257, 300, 256, TN_ENC_f16},
                  {500, 256, 40, TN_ENC_f32}};
    for (size_t i = 0; i < TN_COUNT(shapes); i++)
        for (int table = 0; table < HEAD_TABLE_KINDS; table++)
            for (size_t s = 0; s < TN_COUNT(copies); s++) {
                HeadCase c = {.v = shapes[i].v, .k = shapes[i].k, .top = shapes[i].top, .enc = shapes[i].enc};
                c.rows = 2 * HEAD_ROW_KINDS;
                c.table = table;
                c.copy = copies[s];
                head_open(&c, "avx2", 512);
                for (int r = 0; r < c.rows; r++) {
                    check_bounds(&c, r);
                    check_choices(&c, r);
                }
                head_close(&c);
            }
}

/* Most rows of a table like a real one are ruled out; otherwise the bound would be true but useless. */
static void few_survive(void **state) {
    (void)state;
    for (size_t s = 0; s < TN_COUNT(copies); s++) {
        HeadCase c = {.v = 4000, .k = 256, .top = 1, .enc = TN_ENC_f16, .rows = 1, .copy = copies[s]};
        head_open(&c, "avx2", 512);
        const float *y = head_value(&c, "y"), *full = head_value(&c, "full");
        const TnType *t = &c.g->nodes[head_ref(&c, "s")].type;
        float limits[2], best = full[*(int32_t *)head_value(&c, "want")];
        memcpy(limits, (uint8_t *)head_value(&c, "q") + 12, sizeof limits);
        int open = 0;
        for (int64_t r = 0; r < c.v; r++) {
            TnRowFacts f = tn_shadow_row_facts(t, head_value(&c, "s"), r);
            open += !(y[r] + tn_shadow_radius(limits[0], limits[1], f.error, f.norm) < best);
        }
        printf("%s: %d of %d rows of random numbers are left\n", tn_encs[c.copy].name, open, (int)c.v);
        assert_in_range(open, 1, c.copy == TN_ENC_s8 ? 8 : 60);
        head_close(&c);
    }
}

/* Codes are encoded and decoded, and some rows have none. */
static void codes(void **state) {
    (void)state;
    float row[300], tiny[300];
    uint8_t bytes[768];
    int8_t c[512];
    for (int i = 0; i < 300; i++) {
        row[i] = (float)(i % 63 - 31) / 31.0f;
        tiny[i] = row[i] * 0x1p-140f;
    }
    for (size_t s = 0; s < TN_COUNT(copies); s++) {
        TnType t = tn_type(copies[s], 2, (TnDim)1, (TnDim)300);
        int most = copies[s] == TN_ENC_s8 ? 127 : 31;
        tn_shadow_encode(&t, row, bytes);
        tn_shadow_codes(&t, bytes, c);
        for (int i = 0; i < 300; i++) assert_int_equal(c[i], (int)rintf(row[i] * (float)most));
        TnRowFacts f = tn_shadow_facts(&t, row);
        assert_true(f.scale == 1.0f / (float)most && f.error < 0.1f && f.norm > 1.0f);
        tn_shadow_encode(&t, tiny, bytes);
        tn_shadow_codes(&t, bytes, c);
        for (int i = 0; i < 300; i++) assert_int_equal(c[i], 0);
        f = tn_shadow_facts(&t, tiny);
        assert_true(f.scale == 0 && f.error > 0 && f.error < 0x1p-125f);
    }
    TnType t = tn_type(TN_ENC_s6, 2, (TnDim)1, (TnDim)300);
    row[7] = NAN;
    TnRowFacts f = tn_shadow_facts(&t, row);
    assert_true(f.error == INFINITY && f.norm == INFINITY && f.scale == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables), cmocka_unit_test(few_survive),
                                       cmocka_unit_test(codes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
