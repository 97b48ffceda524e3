/* The shortlisted head in the evaluator. The bound holds for every element, and the choices are those of the full
 * product, for tables and rows that were made to break it. */
#include "tests/ir/shortlist_cases.h"

static const TnEnc copies[] = {TN_ENC_s8, TN_ENC_s6, TN_ENC_s5};

/* Both values must be within rad of y. */
static void check_interval(const HeadCase *c, const char *what, int row, int64_t r, float full,
                           long double exact, float y, float rad) {
    if (!(fabsl((long double)full - (long double)y) <= (long double)rad) ||
        !(fabsl(exact - (long double)y) <= (long double)rad))
        fail_msg("%s table %d row %d of kind %d, element %d: %a, approximately %a, %s bound %a",
                 tn_encs[c->copy].name, c->table, row, row % HEAD_ROW_KINDS, (int)r, (double)full, (double)y,
                 what, (double)rad);
    if (!(full <= y + rad) || !(full >= y - rad)) fail_msg("the %s interval, rounded, is too narrow", what);
}

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
        check_interval(c, "first", row, r, full[r], exact, y[r], rad);
        for (int p = 0; p < tn_shadow_planes(t); p++) {
            float fine = tn_shadow_radius(limits[0], limits[1], f.fine[p], f.norm);
            assert_true(fine <= rad);
            check_interval(c, p ? "second plane's" : "first plane's", row, r, full[r], exact,
                           head_finer(c, t, q, p + 1, r, y[r]), fine);
        }
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
        int open = 0, fine[TN_PLANES_MOST] = {0};
        for (int64_t r = 0; r < c.v; r++) {
            TnRowFacts f = tn_shadow_row_facts(t, head_value(&c, "s"), r);
            if (y[r] + tn_shadow_radius(limits[0], limits[1], f.error, f.norm) < best) continue;
            open++;
            for (int p = 0; p < tn_shadow_planes(t); p++) {
                float z = head_finer(&c, t, head_value(&c, "q"), p + 1, r, y[r]);
                if (z + tn_shadow_radius(limits[0], limits[1], f.fine[p], f.norm) < best) break;
                fine[p]++;
            }
        }
        printf("%s: %d of %d rows of random numbers are left\n", tn_encs[c.copy].name, open, (int)c.v);
        for (int p = 0; p < tn_shadow_planes(t); p++) {
            printf("%s: %d of them by plane %d\n", tn_encs[c.copy].name, fine[p], p);
            assert_in_range(fine[p], 1, p ? 5 : 20);
        }
        assert_in_range(open, 1, c.copy == TN_ENC_s8 ? 8 : c.copy == TN_ENC_s6 ? 60 : 120);
        head_close(&c);
    }
}

/* Codes are encoded and decoded, and some rows have none. */
static void codes(void **state) {
    (void)state;
    float row[300], tiny[300];
    static uint8_t table[2 * TN_BESIDE * 304]; /* of more rows than a block has */
    int8_t c[512];
    for (int i = 0; i < 300; i++) {
        row[i] = (float)(i % 63 - 31) / 31.0f;
        tiny[i] = row[i] * 0x1p-140f;
    }
    for (size_t s = 0; s < TN_COUNT(copies); s++) {
        if (copies[s] == TN_ENC_s5) continue;
        TnType t = tn_type(copies[s], 2, (TnDim)(TN_BESIDE + 52), (TnDim)300);
        size_t block = TN_BESIDE * tn_row_bytes(&t);
        assert_true(2 * block <= sizeof table);
        int most = copies[s] == TN_ENC_s8 ? 127 : 31;
        memset(table, 0, sizeof table);
        for (int r = 0; r < 52; r++) { /* row r of the second block is turned by r */
            float turned[300];
            for (int i = 0; i < 300; i++) turned[i] = row[(i + r) % 300];
            tn_shadow_encode(&t, turned, TN_BESIDE + r, table + block);
        }
        for (int r = 0; r < 52; r++) {
            tn_shadow_codes(&t, table, TN_BESIDE + r, c);
            for (int i = 0; i < 300; i++)
                assert_int_equal(c[i], (int)rintf(row[(i + r) % 300] * (float)most));
        }
        for (size_t i = 0; i < block; i++) assert_int_equal(table[i], 0);
        TnRowFacts f = tn_shadow_facts(&t, row, NULL);
        assert_true(f.scale == 1.0f / (float)most && f.error < 0.1f && f.norm > 1.0f);
        tn_shadow_encode(&t, tiny, 63, table);
        tn_shadow_codes(&t, table, 63, c);
        for (int i = 0; i < 300; i++) assert_int_equal(c[i], 0);
        f = tn_shadow_facts(&t, tiny, NULL);
        assert_true(f.scale == 0 && f.error > 0 && f.error < 0x1p-125f);
    }
    TnType t = tn_type(TN_ENC_s6, 2, (TnDim)1, (TnDim)300);
    row[7] = NAN;
    TnRowFacts f = tn_shadow_facts(&t, row, NULL);
    assert_true(f.error == INFINITY && f.norm == INFINITY && f.scale == 0);
}

/* Whether the bytes of s8 and s6 are as type_layout.h says, of two rows of every plane. */
static void places(void **state) {
    (void)state;
    enum { K = 21, COLUMNS = 32 };
    static const int rows[] = {0, 15, 16, 31, 37, 47, 48, 63};
    for (int six = 0; six < 2; six++) {
        TnType t = tn_type(six ? TN_ENC_s6 : TN_ENC_s8, 2, (TnDim)TN_BESIDE, (TnDim)K);
        assert_int_equal(tn_row_bytes(&t), six ? COLUMNS * 3 / 4 : COLUMNS);
        for (size_t i = 0; i < TN_COUNT(rows); i++) {
            uint8_t block[TN_BESIDE * COLUMNS] = {0}, want[TN_BESIDE * COLUMNS] = {0};
            float row[K];
            int r = rows[i], q = r / 16, most = six ? 31 : 127;
            for (int k = 0; k < K; k++) {
                int c = k ? (5 * k + r) % (2 * most + 1) - most : most; /* the largest gives the scale */
                int j = 4 * (r % 16) + k % 4, u = c + most + 1;
                row[k] = (float)c;
                if (!six) want[k / 4 * 256 + 64 * q + j] = (uint8_t)u;
                if (six && q < 3) want[k / 4 * 192 + 64 * q + j] = (uint8_t)u;
                for (int line = 0; six && q == 3 && line < 3; line++)
                    want[k / 4 * 192 + 64 * line + j] = (uint8_t)((u >> (4 - 2 * line) & 3) << 6);
            }
            tn_shadow_encode(&t, row, r, block);
            assert_memory_equal(block, want, sizeof want);
        }
    }
}

/* Whether each bit of the planes is the sign of what is left before, and steps and errors are true: no other step leaves less. */
static void check_planes(const TnType *t, const float *row, const int8_t *c, const TnRowFacts *f) {
    uint8_t first[128], second[128], *const bits[] = {first, second};
    int planes = tn_shadow_planes(t);
    double rest[1024] = {0}, left[2][3] = {{0}}, norm[2] = {0};
    size_t k = (size_t)t->dim[1];
    assert_int_equal(tn_shadow_plane_bytes(t), sizeof first);
    memset(first, 0xff, sizeof first);
    memset(second, 0xff, sizeof second);
    tn_shadow_facts(t, row, bits);
    for (size_t i = 0; i < k; i++) rest[i] = (double)row[i] - (double)c[i] * (double)f->scale;
    for (int p = 0; p < planes; p++) {
        double step = (double)f->step[p];
        for (size_t i = 0; i < 1024; i++) {
            bool set = bits[p][i / 8] >> (i % 8) & 1;
            if (set != (i < k && rest[i] >= 0)) fail_msg("plane %d, bit %d: %d", p, (int)i, set);
            if (i >= k) continue;
            for (int way = 0; way < 3; way++) {
                double e = fabs(rest[i]) - step * (1 + 0.01 * (way - 1));
                left[p][way] += e * e;
            }
            rest[i] -= set ? step : -step;
            norm[p] += ((double)row[i] - rest[i]) * ((double)row[i] - rest[i]);
        }
        double least = sqrt(left[p][1]);
        assert_true(left[p][0] > left[p][1] && left[p][2] > left[p][1]);
        assert_true(sqrt(norm[p]) <= (double)f->norm);
        assert_true(f->fine[p] >= least && f->fine[p] <= least * 1.0001);
    }
    assert_true(f->fine[0] < f->error && (planes < 2 || f->fine[1] < f->fine[0]));
}

/* Whether the plane of s6 is true, also of a row with one weight that is far larger. */
static void sixth_bit_halved(void **state) {
    (void)state;
    enum { K = 700 };
    static float row[K];
    static uint8_t block[TN_BESIDE * 528];
    int8_t c[768];
    TnType t = tn_type(TN_ENC_s6, 2, (TnDim)TN_BESIDE, (TnDim)K);
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < K; i++) row[i] = head_normal();
        if (way == 1) row[333] = -100.0f;
        memset(block, 0, sizeof block);
        tn_shadow_encode(&t, row, 63, block);
        tn_shadow_codes(&t, block, 63, c);
        TnRowFacts f = tn_shadow_facts(&t, row, NULL);
        check_planes(&t, row, c, &f);
        assert_true(way == 1 || f.fine[0] < 0.55f * f.error);
    }
}

/* Whether each code of s5 is the nearest of the 32, its bytes are as type_layout.h says, and the facts are true. */
static void five_bits(void **state) {
    (void)state;
    enum { K = 700, ROW = 41 }; /* row 9 of plane 2 */
    static float row[K];
    static uint8_t bytes[TN_BESIDE * 440];
    int8_t c[K];
    TnType t = tn_type(TN_ENC_s5, 2, (TnDim)TN_BESIDE, (TnDim)K);
    assert_int_equal(tn_row_bytes(&t), 440); /* 704 columns */
    for (int way = 0; way < 3; way++) {      /* normal numbers, with one that is far larger, and steps */
        for (int i = 0; i < K; i++) row[i] = way == 2 ? (float)(i % 301 - 150) / 100.0f : head_normal();
        if (way == 1) row[333] = -100.0f;
        memset(bytes, 0, sizeof bytes);
        tn_shadow_encode(&t, row, ROW, bytes);
        tn_shadow_codes(&t, bytes, ROW, c);
        TnRowFacts f = tn_shadow_facts(&t, row, NULL);
        double error = 0;
        for (int i = 0; i < K; i++) {
            double v = (double)row[i] / (double)f.scale, here = fabs(v - c[i]), best = INFINITY;
            for (int j = 0; j < 32; j++) {
                double d = fabs(v - (j & 16 ? -1.0 : 1.0) * tn_s5_levels[j & 15]);
                best = d < best ? d : best;
            }
            if (here > best + 1e-4) fail_msg("way %d, weight %d: %g is coded as %d", way, i, v, c[i]);
            error += here * here;
            const uint8_t *at = bytes + i / 8 * 320 + 4 * (ROW % 16) + i % 4;
            unsigned number = at[64 * (i % 8 / 4 * 2 + ROW / 32)] >> (ROW / 16 % 2 * 4) & 15;
            unsigned sign = at[256] >> (i % 8 / 4 * 4 + ROW / 16) & 1;
            assert_int_equal(c[i], sign ? -tn_s5_levels[number] : tn_s5_levels[number]);
        }
        error = sqrt(error) * (double)f.scale;
        assert_true(f.error >= error * 0.9999 && f.error <= error * 1.0001);
        check_planes(&t, row, c, &f);
        if (way == 0) assert_true(f.fine[0] < 0.6f * f.error && f.fine[1] < 0.7f * f.fine[0]);
        for (int i = 0; i < 64; i++) /* neither another row nor the columns after the last */
            if (i / 4 != ROW % 16) assert_int_equal(bytes[64 * (i % 5) + i], 0);
        for (int i = 700; i < 704; i++)
            assert_int_equal(bytes[i / 8 * 320 + 64 * 3 + 4 * (ROW % 16) + i % 4], 0);
    }
    for (int i = 0; i < K; i++) row[i] *= 0x1p-140f;
    TnRowFacts f = tn_shadow_facts(&t, row, NULL);
    assert_true(f.scale == 0 && f.error > 0 && f.error < 0x1p-125f && f.step[0] == 0 && f.fine[1] == f.error);
    row[7] = NAN;
    f = tn_shadow_facts(&t, row, NULL);
    assert_true(f.error == INFINITY && f.norm == INFINITY && f.scale == 0 && f.step[1] == 0 &&
                f.fine[1] == INFINITY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables), cmocka_unit_test(few_survive),      cmocka_unit_test(codes),
        cmocka_unit_test(places), cmocka_unit_test(sixth_bit_halved), cmocka_unit_test(five_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
