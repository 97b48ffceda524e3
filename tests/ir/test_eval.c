/* The evaluator: values worked out by hand, every op once; the defined float orders against a second, plainer
 * implementation of the formulas; rules that hold for every batch. */
#include <math.h>
#include "ir/type_layout.h"
#include "runtime/base/fmath.h"
#include "tests/ir/tir_text.h"

static TnEval *eval_of(const TnGraph *g, const int64_t sym[TN_SYM_COUNT]) {
    TnEval *e = NULL;
    TernError err = {0};
    if (tn_eval_create(g, NULL, sym, &e, &err) != TERN_OK) fail_msg("%s", err.text);
    return e;
}

/* Writes rows of `cols` floats into an input, leaving its padding alone. */
static void put_f32(TnEval *e, const char *name, const float *x, int64_t rows, int64_t cols) {
    float *p = tn_eval_input(e, name);
    assert_non_null(p);
    for (int64_t r = 0; r < rows; r++)
        memcpy(p + r * ((cols + 63) / 64 * 64), x + r * cols, (size_t)cols * 4);
}

static void put_i32(TnEval *e, const char *name, const int32_t *x, int64_t n) {
    int32_t *p = tn_eval_input(e, name);
    assert_non_null(p);
    memcpy(p, x, (size_t)n * 4);
}

static float *value(TnEval *e, const TnGraph *g, const char *name) {
    return tn_eval_data(e, ref_of(g, name));
}

static void same_bits(const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (tn_f32_bits(a[i]) != tn_f32_bits(b[i]))
            fail_msg("element %lld: %a, expected %a", (long long)i, (double)a[i], (double)b[i]);
}

static const float *floats(const float *p, ...) {
    return p;
}
#define IS(got, ...)                                                                                         \
    same_bits(got, floats((const float[]){__VA_ARGS__}, 0),                                                  \
              sizeof((const float[]){__VA_ARGS__}) / sizeof(float))

/* ---- elementwise and row ops by hand */

static void elementwise(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %x: f32[T,5] = input {name=\"x\"}\n"
                          "  %z: f32[T,5] = input {name=\"z\"}\n"
                          "  %a: f32[T,5] = add %x, %z\n"
                          "  %m: f32[T,5] = mul %x, %z\n"
                          "  %mz: f32[T,5] = mulz %x, %z\n"
                          "  %r: f32[T,5] = relu2 %x\n"
                          "  %s: f32[T,5] = silu %x\n"
                          "  %c: f32[T,2] = slice %x {lo=1, n=2}\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 2};
    TnEval *e = eval_of(g, sym);
    const float x[10] = {1, -2, 0.5f, -0.0f, NAN, 3, 4, -5, 6, 7},
                z[10] = {4, 4, 4, 4, 4, -1, -1, -1, -1, -1};
    put_f32(e, "x", x, 2, 5);
    put_f32(e, "z", z, 2, 5);
    tn_eval_run(e, sym);
    IS(value(e, g, "a"), 5, 2, 4.5f, 4);
    IS(value(e, g, "a") + 64, 2, 3, -6, 5, 6);
    IS(value(e, g, "m"), 4, -8, 2, -0.0f);
    IS(value(e, g, "mz"), 4, -8, 2, 0.0f);
    assert_true(value(e, g, "mz")[4] != value(e, g, "mz")[4]);
    IS(value(e, g, "r"), 1, 0, 0.25f, 0);
    assert_true(value(e, g, "r")[4] != value(e, g, "r")[4]);
    IS(value(e, g, "c"), -2, 0.5f);
    IS(value(e, g, "c") + 64, 4, -5);
    const float *s = value(e, g, "s");
    IS(s, 1.0f / (1.0f + tn_exp(-1.0f)), -2.0f / (1.0f + tn_exp(2.0f)));
    assert_true(fabs(s[0] - 0.7310586) < 1e-6 && fabs(s[1] + 0.2384058) < 1e-6);
    assert_true(s[4] != s[4]);
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

static void rmsnorm(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %x: f32[T,4] = input {name=\"x\"}\n"
                          "  $w: f32[4] = const {values=[0x1p+0,0x1p+1,0x1p-1,0x1p+0]}\n"
                          "  $h: f16[4] = pack $w\n"
                          "  %y: f32[T,4] = rmsnorm %x, $w {eps=0x1p-2}\n"
                          "  %z: f32[T,4] = rmsnorm %x, $h {eps=0x1p-2}\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 1};
    TnEval *e = eval_of(g, sym);
    const float x[4] = {2, -1, 1, 3}; /* 15/4 + 1/4 = 4, r = 1/2 */
    put_f32(e, "x", x, 1, 4);
    tn_eval_run(e, sym);
    IS(value(e, g, "y"), 1, -1, 0.25f, 1.5f);
    IS(value(e, g, "z"), 1, -1, 0.25f, 1.5f);
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

/* Each head is a row to rmsnorm; a vector is added to every row; numbers multiply. */
static void headnorm_bias_times(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %x: f32[T,6] = input {name=\"x\"}\n"
                          "  $w: f32[3] = const {values=[0x1p+0,0x1p+1,0x1p-1]}\n"
                          "  $h: f16[3] = pack $w\n"
                          "  $b: f32[6] = const {values=[1,2,3,4,5,-0.5]}\n"
                          "  $c: bf16[6] = pack $b\n"
                          "  %y: f32[T,6] = headnorm %x, $w {eps=1}\n"
                          "  %z: f32[T,6] = headnorm %x, $h {eps=1}\n"
                          "  %a: f32[T,6] = bias %x, $b\n"
                          "  %d: f32[T,6] = bias %x, $c\n"
                          "  %m: f32[T,6] = times %x {scale=-3}\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 2};
    TnEval *e = eval_of(g, sym);
    const float x[12] = {3,       0,       0,       1, -2, 2,
                         0x1p70f, 0x1p70f, 0x1p70f, 0, 0,  0}; /* 9/3 + 1 and 9/3 + 1 = 4, r = 1/2 */
    put_f32(e, "x", x, 2, 6);
    tn_eval_run(e, sym);
    IS(value(e, g, "y"), 1.5f, 0, 0, 0.5f, -2, 0.5f);
    IS(value(e, g, "z"), 1.5f, 0, 0, 0.5f, -2, 0.5f);
    IS(value(e, g, "y") + 64, 1, 2, 0.5f, 0, 0, 0); /* a head with huge values, and one of zeros beside it */
    IS(value(e, g, "a"), 4, 2, 3, 5, 3, 1.5f);
    IS(value(e, g, "d"), 4, 2, 3, 5, 3, 1.5f);
    IS(value(e, g, "m"), -9, -0.0f, -0.0f, -3, 6, -6);
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

static void activations(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %x: f32[T,8] = input {name=\"x\"}\n"
                          "  %r: f32[T,8] = relu %x\n"
                          "  %e: f32[T,8] = gelu %x\n"
                          "  %t: f32[T,8] = gelu_tanh %x\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 1};
    TnEval *e = eval_of(g, sym);
    const float x[8] = {1, -2, 0, -0.0f, NAN, -0x1p100f, 0x1p100f, INFINITY};
    put_f32(e, "x", x, 1, 8);
    tn_eval_run(e, sym);
    const float *r = value(e, g, "r"), *exact = value(e, g, "e"), *t = value(e, g, "t");
    IS(r, 1, 0, 0, -0.0f);
    assert_true(fabs(exact[0] - 0.84134475) < 1e-6 && fabs(exact[1] + 0.04550026) < 1e-7);
    assert_true(fabs(t[0] - 0.84119199) < 1e-6 && fabs(t[1] + 0.04540231) < 1e-7);
    const float *all[] = {r, exact, t};
    for (int i = 0; i < 3; i++) {
        assert_true(all[i][2] == 0 && all[i][3] == 0 && all[i][4] != all[i][4] && all[i][5] == 0);
        assert_true(all[i][6] == 0x1p100f && all[i][7] == INFINITY);
    }
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

/* 32 lanes, literally: a list of partial sums for each lane, then pairs. */
static float lanes(const float *x, const float *w, int64_t k) {
    float lane[32];
    for (int j = 0; j < 32; j++) {
        lane[j] = 0.0f;
        for (int64_t i = j; i < (k + 31) / 32 * 32; i += 32)
            lane[j] = (float)fmaf(i < k ? x[i] : 0.0f, i < k ? w[i] : 0.0f, lane[j]);
    }
    for (int j = 0; j < 16; j++) lane[j] += lane[j + 16];
    for (int j = 0; j < 8; j++) lane[j] += lane[j + 8];
    float a = lane[0] + lane[4], b = lane[1] + lane[5], c = lane[2] + lane[6], d = lane[3] + lane[7];
    return (a + c) + (b + d);
}

/* Rows whose squares are infinite give the result of the scaled row. Rows without a norm are NaN in every column, wherever
 * the infinity or the NaN is. Rows whose squares are finite keep their bits. */
static void rmsnorm_of_huge_rows(void **state) {
    (void)state;
    enum { ROWS = 7, COLS = 70 };
    TnGraph *g = graph_of("  %x: f32[T,70] = input {name=\"x\"}\n"
                          "  $w: f32[70] = random {seed=1}\n"
                          "  %y: f32[T,70] = rmsnorm %x, $w {eps=0x1p-17}\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = ROWS};
    static const float by[ROWS] = {1, 0x1p57f, 0x1p60f, 0x1p64f, 0x1p100f, 0x1p126f, 0x1p126f};
    static const float no_number[] = {INFINITY, -INFINITY, NAN};
    TnEval *e = eval_of(g, sym);
    float x[ROWS][COLS];
    for (int t = 0; t < ROWS; t++)
        for (int i = 0; i < COLS; i++) x[t][i] = random_float() * by[t];
    for (int i = 1; i < COLS; i++) x[6][i] = -0.0f; /* one alone */
    put_f32(e, "x", x[0], ROWS, COLS);
    tn_eval_run(e, sym);
    float ones[COLS], w[COLS], wide[2][128];
    tn_decode_row(&g->nodes[ref_of(g, "w")].type, tn_eval_data(e, ref_of(g, "w")), 0, w);
    for (int i = 0; i < COLS; i++) ones[i] = x[0][i];
    for (int t = 0; t < ROWS; t++) {
        const float *y = value(e, g, "y") + t * 128;
        double sum = 0;
        for (int i = 0; i < COLS; i++) sum += (double)x[t][i] * (double)x[t][i];
        for (int i = 0; i < COLS; i++) {
            double want = (double)x[t][i] / sqrt(sum / COLS + 0x1p-17) * (double)w[i];
            assert_true(fabs((double)y[i] - want) <= 1e-6 * fabs(want));
        }
        float r = 1.0f / sqrtf(lanes(x[t], x[t], COLS) / (float)COLS + 0x1p-17f);
        for (int i = 0; i < COLS && t < 2; i++) assert_true(y[i] == (x[t][i] * r) * w[i]);
    }
    memcpy(wide[0], value(e, g, "y"), sizeof wide[0]);
    for (int at = 0; at < COLS; at += COLS - 1)
        for (size_t k = 0; k < TN_COUNT(no_number); k++) {
            for (int i = 0; i < COLS; i++) x[1][i] = random_float();
            x[1][at] = no_number[k];
            put_f32(e, "x", x[0], ROWS, COLS);
            tn_eval_run(e, sym);
            for (int i = 0; i < COLS; i++) assert_true(isnan(value(e, g, "y")[128 + i]));
            same_bits(value(e, g, "y"), wide[0], COLS); /* the other rows do not change */
            same_bits(x[0], ones, COLS);
        }
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

/* silu where its exp would overflow, against double; NaN and infinities exactly. */
static void silu_of_anything(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %x: f32[T,8] = input {name=\"x\"}\n"
                          "  %s: f32[T,8] = silu %x\n"
                          "  %r: f32[T,8] = relu2 %x\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 1};
    TnEval *e = eval_of(g, sym);
    const float x[8] = {-87.5f, -88.0f, nextafterf(-88.0f, -100.0f), -100, -1e20f, -3e38f, -INFINITY, 3e38f};
    put_f32(e, "x", x, 1, 8);
    tn_eval_run(e, sym);
    const float *s = value(e, g, "s");
    for (int i = 0; i < 8; i++) {
        double want = (double)x[i] / (1 + exp(-(double)x[i]));
        if (x[i] == -INFINITY) want = 0;
        assert_true(fabs((double)s[i] - want) <= 1e-6 * fabs(want) + 1e-36);
        assert_true(i < 2 || i == 7 || tn_f32_bits(s[i]) == 0x80000000u);
    }
    IS(value(e, g, "r"), 0, 0, 0, 0, 0, 0, 0, INFINITY);
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

static void matmul_order(void **state) {
    (void)state;
    static const int64_t ks[] = {1, 31, 32, 33, 64, 100, 257};
    int differs = 0;
    for (size_t n = 0; n < sizeof ks / sizeof *ks; n++) {
        int64_t k = ks[n];
        char text[512];
        snprintf(text, sizeof text,
                 "  %%x: f32[T,%d] = input {name=\"x\"}\n"
                 "  $w: f32[5,%d] = random {seed=3}\n"
                 "  $h: f16[5,%d] = random {seed=4}\n"
                 "  $b: bf16[5,%d] = random {seed=4}\n"
                 "  $n: f32[%d] = random {seed=8}\n"
                 "  %%y: f32[T,5] = matmul %%x, $w\n"
                 "  %%z: f32[T,5] = matmul %%x, $h\n"
                 "  %%v: f32[T,5] = matmul %%x, $b\n"
                 "  %%s: f32[T,%d] = rmsnorm %%x, $n {eps=0x1p-20}\n",
                 (int)k, (int)k, (int)k, (int)k, (int)k, (int)k);
        TnGraph *g = graph_of(text);
        int64_t sym[TN_SYM_COUNT] = {[TN_T] = 3};
        TnEval *e = eval_of(g, sym);
        float x[3 * 257], w[257];
        for (int64_t i = 0; i < 3 * k; i++) x[i] = random_float() * ldexpf(1, (int)(random_u32() % 8));
        put_f32(e, "x", x, 3, k);
        tn_eval_run(e, sym);
        static const char *const ws[] = {"w", "h", "b"}, *const ys[] = {"y", "z", "v"};
        for (int v = 0; v < 3; v++)
            for (int64_t m = 0; m < 5; m++) {
                TnRef r = ref_of(g, ws[v]);
                tn_decode_row(&g->nodes[r].type, tn_eval_data(e, r), m, w);
                for (int64_t t = 0; t < 3; t++) {
                    float want = lanes(x + t * k, w, k), naive = 0;
                    for (int64_t i = 0; i < k; i++) naive = fmaf(x[t * k + i], w[i], naive);
                    differs += naive != want;
                    same_bits(value(e, g, ys[v]) + t * 64 + m, &want, 1);
                }
            }
        const float *nw = value(e, g, "n"), *s = value(e, g, "s");
        for (int64_t t = 0; t < 3; t++) {
            const float *row = x + t * k;
            float r = 1.0f / sqrtf(lanes(row, row, k) / (float)k + 0x1p-20f);
            for (int64_t i = 0; i < k; i++) {
                float want = (row[i] * r) * nw[i];
                same_bits(s + t * ((k + 63) / 64 * 64) + i, &want, 1);
            }
        }
        tn_eval_destroy(e);
        tn_graph_destroy(g);
    }
    assert_true(differs > 10); /* else the test could not see the order */
}

typedef struct OneTensor {
    const float *data;
    size_t bytes;
} OneTensor;

static const void *same_tensor(void *ctx, const char *name, size_t *out_bytes) {
    const OneTensor *t = ctx;
    (void)name;
    *out_bytes = t->bytes;
    return t->data;
}

static void zeros_past_the_row(void **state) {
    (void)state;
    /* 2^-149 * -2^-149 rounds to -0. With 32 elements every lane is -0 and so is the sum; with 33 the zeros
     * that fill the row up make lanes 1 to 31 +0, and the sum with them. */
    for (int k = 32; k <= 33; k++) {
        char text[256];
        float x[33], w[33];
        for (int i = 0; i < 33; i++) x[i] = 0x1p-149f;
        snprintf(text, sizeof text,
                 "  %%x: f32[T,%d] = input {name=\"x\"}\n"
                 "  $w: f32[1,%d] = gguf {name=\"w\", hash=0x0}\n"
                 "  %%y: f32[T,1] = matmul %%x, $w\n",
                 k, k);
        for (int i = 0; i < 33; i++) w[i] = -0x1p-149f;
        TnGraph *g = graph_of(text);
        int64_t sym[TN_SYM_COUNT] = {[TN_T] = 1};
        TnEval *e = NULL;
        TernError err = {0};
        OneTensor tensor = {w, (size_t)k * 4};
        TnWeights from = {.find = same_tensor, .ctx = &tensor};
        if (tn_eval_create(g, &from, sym, &e, &err) != TERN_OK) fail_msg("%s", err.text);
        put_f32(e, "x", x, 1, k);
        tn_eval_run(e, sym);
        IS(value(e, g, "y"), k == 32 ? -0.0f : 0.0f);
        tn_eval_destroy(e);
        tn_graph_destroy(g);
    }
}

static void quant_corners(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %x: f32[T,5] = input {name=\"x\"}\n"
                          "  %q: q8[T,5] = quant %x\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 6};
    TnEval *e = eval_of(g, sym);
    const float x[30] = {127,       -127,   63.5f, 0.5f, 1.5f,  /* factor 1: halves go to even */
                         0,         0,      0,     0,    -0.0f, /* least amax */
                         NAN,       1,      2,     3,    4,     /* NaN wins the maximum: all codes 0, d NaN */
                         -INFINITY, 1,      2,     3,    4,     /* 127/inf = 0, inf*0 is NaN: 0 */
                         1e-6f,     -1e-6f, 0,     0,    0,     /* below the least amax */
                         -3,        1,      0.25f, 2,    1};
    put_f32(e, "x", x, 6, 5);
    tn_eval_run(e, sym);
    const uint8_t *p = tn_eval_data(e, ref_of(g, "q"));
    static const int8_t want[6][5] = {{127, -127, 64, 0, 2}, {0}, {0}, {0}, {13, -13, 0, 0, 0},
                                      {-127, 42, 11, 85, 42}};
    const float d[6] = {1, 1e-5f / 127.0f, NAN, INFINITY, 1e-5f / 127.0f, 3.0f / 127.0f};
    for (int t = 0; t < 6; t++, p += 64 + 256) {
        float got;
        int32_t sum, total = 0;
        memcpy(&got, p, 4);
        memcpy(&sum, p + 4, 4);
        for (int i = 0; i < 256; i++) {
            assert_int_equal((int8_t)p[64 + i], i < 5 ? want[t][i] : 0);
            total += (int8_t)p[64 + i];
        }
        for (int i = 8; i < 64; i++) assert_int_equal(p[i], 0);
        assert_int_equal(sum, total);
        assert_true(got == d[t] || (d[t] != d[t] && got != got));
    }
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

static void tmatmul_and_dequant(void **state) {
    (void)state;
    static const int64_t ks[] = {1, 63, 256, 259};
    for (size_t n = 0; n < 4; n++) {
        int64_t k = ks[n];
        char text[512];
        snprintf(text, sizeof text,
                 "  %%x: f32[T,%d] = input {name=\"x\"}\n"
                 "  %%q: q8[T,%d] = quant %%x\n"
                 "  $w: t8[7,%d] scale=[4:0x1p-1,3:0x1.8p-3] = random {seed=3}\n"
                 "  $p: p64[7,%d] scale=[4:0x1p-1,3:0x1.8p-3] = pack $w\n"
                 "  %%a: i32[T,7] = tmatmul %%q, $w\n"
                 "  %%b: i32[T,7] = tmatmul %%q, $p\n"
                 "  %%y: f32[T,7] = dequant %%b, %%q, $p\n",
                 (int)k, (int)k, (int)k, (int)k);
        TnGraph *g = graph_of(text);
        int64_t sym[TN_SYM_COUNT] = {[TN_T] = 3};
        TnEval *e = eval_of(g, sym);
        float x[3 * 259];
        for (int64_t i = 0; i < 3 * k; i++) x[i] = random_float();
        put_f32(e, "x", x, 3, k);
        tn_eval_run(e, sym);
        const uint8_t *q = tn_eval_data(e, ref_of(g, "q"));
        const int8_t *w = tn_eval_data(e, ref_of(g, "w"));
        const int32_t *a = tn_eval_data(e, ref_of(g, "a")), *b = tn_eval_data(e, ref_of(g, "b"));
        for (int64_t t = 0; t < 3; t++) {
            const uint8_t *row = q + t * (64 + (k + 255) / 256 * 256);
            float d;
            memcpy(&d, row, 4);
            for (int64_t m = 0; m < 7; m++) {
                int want = 0;
                for (int64_t i = 0; i < k; i++) want += (int8_t)row[64 + i] * w[m * ((k + 63) / 64 * 64) + i];
                assert_int_equal(a[t * 64 + m], want);
                assert_int_equal(b[t * 64 + m], want);
                float y = (float)want * ((m < 4 ? 0.5f : 0.1875f) * d);
                same_bits(value(e, g, "y") + t * 64 + m, &y, 1);
            }
        }
        tn_eval_destroy(e);
        tn_graph_destroy(g);
    }
}

/* A chain over groups; each as quant would round it alone; t8 and r64 alike; an embedding of the same table. */
static void products_of_groups(void **state) {
    (void)state;
    static const int shapes[][2] = {{64, 64}, {192, 64}, {384, 128}, {512, 256}};
    for (size_t s = 0; s < TN_COUNT(shapes); s++) {
        int64_t k = shapes[s][0], n = shapes[s][1], groups = k / n, rows = 70;
        char text[1024];
        snprintf(text, sizeof text,
                 "  %%x: f32[T,%d] = input {name=\"x\"}\n"
                 "  %%ids: i32[T] = input {name=\"ids\"}\n"
                 "  %%q: q8g[T,%d] scale=group:%d = quant_groups %%x {n=%d}\n"
                 "  $w: t8[70,%d] scale=group:%d most=2 = random {seed=3}\n"
                 "  $p: r64[70,%d] scale=group:%d most=2 = pack $w\n"
                 "  %%a: f32[T,70] = tmatmul_groups %%q, $w\n"
                 "  %%b: f32[T,70] = tmatmul_groups %%q, $p\n"
                 "  %%e: f32[T,%d] = embed %%ids, $p\n",
                 (int)k, (int)k, (int)n, (int)n, (int)k, (int)n, (int)k, (int)n, (int)k);
        TnGraph *g = graph_of(text);
        int64_t sym[TN_SYM_COUNT] = {[TN_T] = 3};
        TnEval *e = eval_of(g, sym);
        float x[3 * 512];
        for (int64_t i = 0; i < 3 * k; i++) x[i] = random_float() * (i / n % 2 ? 1e-7f : 3.0f);
        x[0] = 0.0f;
        put_f32(e, "x", x, 3, k);
        put_i32(e, "ids", (const int32_t[]){69, 0, 17}, 3);
        tn_eval_run(e, sym);
        const int8_t *w = tn_eval_data(e, ref_of(g, "w"));
        const float *scales = (const float *)(const void *)(w + rows * ((k + 63) / 64 * 64));
        const int32_t ids[] = {69, 0, 17};
        for (int64_t t = 0; t < 3; t++) {
            float d[8], factor[8];
            for (int64_t i = 0; i < groups; i++) {
                float a = 1e-5f;
                for (int64_t j = i * n; j < (i + 1) * n; j++) a = fmaxf(a, fabsf(x[t * k + j]));
                d[i] = a / 127.0f;
                factor[i] = 127.0f / a;
            }
            for (int64_t m = 0; m < rows; m++) {
                float y = 0.0f;
                for (int64_t i = 0; i < groups; i++) {
                    int acc = 0;
                    for (int64_t j = i * n; j < (i + 1) * n; j++)
                        acc += (int)rintf(x[t * k + j] * factor[i]) * w[m * ((k + 63) / 64 * 64) + j];
                    y = fmaf((float)acc, scales[m * groups + i] * d[i], y);
                }
                same_bits(value(e, g, "a") + t * 128 + m, &y, 1);
                same_bits(value(e, g, "b") + t * 128 + m, &y, 1);
            }
            for (int64_t j = 0; j < k; j++) {
                float want = (float)w[ids[t] * ((k + 63) / 64 * 64) + j] * scales[ids[t] * groups + j / n];
                same_bits(value(e, g, "e") + t * ((k + 63) / 64 * 64) + j, &want, 1);
            }
        }
        tn_eval_destroy(e);
        tn_graph_destroy(g);
    }
}

/* Rows with scales of their own: as ranges of one row. */
static void dequant_by_rows(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %x: f32[T,70] = input {name=\"x\"}\n"
                          "  %q: q8[T,70] = quant %x\n"
                          "  $w: p64[9,70] scale=row = random {seed=4}\n"
                          "  %a: i32[T,9] = tmatmul %q, $w\n"
                          "  %y: f32[T,9] = dequant %a, %q, $w\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 1};
    TnEval *e = eval_of(g, sym);
    float x[70], d;
    for (int i = 0; i < 70; i++) x[i] = random_float();
    put_f32(e, "x", x, 1, 70);
    tn_eval_run(e, sym);
    memcpy(&d, tn_eval_data(e, ref_of(g, "q")), 4);
    const int32_t *a = tn_eval_data(e, ref_of(g, "a"));
    const float *scale =
        (const float *)(const void *)((const char *)tn_eval_data(e, ref_of(g, "w")) + 9 * 64);
    for (int m = 0; m < 9; m++) {
        float y = (float)a[m] * (scale[m] * d);
        same_bits(value(e, g, "y") + m, &y, 1);
    }
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

static void embed_gather_take(void **state) {
    (void)state;
    TnGraph *g =
        graph_of("  $t: f16[3,2] = const {values=[0x1p+0,0x1p+1,0x1.8p+1,0x1p+2,0x1.4p+2,0x1.8p+2]}\n"
                 "  %ids: i32[T] = input {name=\"ids\"}\n"
                 "  %rows: i32[R] = input {name=\"rows\"}\n"
                 "  %x: f32[T,2] = embed %ids, $t\n"
                 "  %r: f32[R,2] = gather %x, %rows\n"
                 "  %best: i32[R] = argmax %r\n"
                 "  %top: i32[K,3] = topk %r {k=3}\n"
                 "  %tl: f32[K,3] = take %r, %top\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 4, [TN_R] = 2, [TN_K] = 1};
    TnEval *e = eval_of(g, sym);
    put_i32(e, "ids", (const int32_t[]){2, 0, 1, 2}, 4);
    put_i32(e, "rows", (const int32_t[]){3, 1}, 2);
    tn_eval_run(e, sym);
    IS(value(e, g, "x"), 5, 6);
    IS(value(e, g, "x") + 128, 3, 4);
    IS(value(e, g, "r"), 5, 6);
    IS(value(e, g, "r") + 64, 1, 2);
    const int32_t *best = tn_eval_data(e, ref_of(g, "best")), *top = tn_eval_data(e, ref_of(g, "top"));
    assert_true(best[0] == 1 && best[1] == 1);
    assert_true(top[0] == 1 && top[1] == 0 && top[2] == -1);
    IS(value(e, g, "tl"), 6, 5, -INFINITY);
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

static void best_and_top(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %x: f32[R,6] = input {name=\"x\"}\n"
                          "  %best: i32[R] = argmax %x\n"
                          "  %top: i32[K,4] = topk %x {k=4}\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_R] = 5, [TN_K] = 5};
    TnEval *e = eval_of(g, sym);
    const float x[30] = {1,         7,   7,   -1,  7,   2,  /* ties: lowest index first */
                         -0.0f,     0,   -1,  0,   -2,  -3, /* zeros of either sign are equal */
                         5,         NAN, 6,   1,   NAN, 2,  /* NaN is left out of topk */
                         INFINITY,  1,   2,   3,   4,   5,  /* infinity is no result of argmax */
                         -INFINITY, NAN, NAN, NAN, NAN, 3};
    put_f32(e, "x", x, 5, 6);
    tn_eval_run(e, sym);
    const int32_t *best = tn_eval_data(e, ref_of(g, "best")), *top = tn_eval_data(e, ref_of(g, "top"));
    static const int32_t want_best[5] = {1, 0, -1, -1, -1};
    static const int32_t want_top[5][4] = {
        {1, 2, 4, 5}, {0, 1, 3, 2}, {2, 0, 5, 3}, {0, 5, 4, 3}, {5, 0, -1, -1}};
    for (int r = 0; r < 5; r++) {
        assert_int_equal(best[r], want_best[r]);
        for (int j = 0; j < 4; j++) assert_int_equal(top[r * 64 + j], want_top[r][j]);
    }
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

/* A constant number of rows works like a symbol: an index for each row, and all of them. */
static void best_of_a_constant_number_of_rows(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %x: f32[3,2] = input {name=\"x\"}\n"
                          "  %rows: i32[5] = input {name=\"rows\"}\n"
                          "  $t: f16[2,1] = const {values=[0x1p+0,0x1p+1]}\n"
                          "  %best: i32[3] = argmax %x\n"
                          "  %e: f32[3,1] = embed %best, $t\n"
                          "  %g: f32[5,1] = gather %e, %rows\n");
    const int64_t sym[TN_SYM_COUNT] = {0};
    TnEval *e = eval_of(g, sym);
    put_f32(e, "x", (const float[]){1, 2, 4, 3, 5, 6}, 3, 2);
    put_i32(e, "rows", (const int32_t[]){2, 1, 0, 1, 2}, 5);
    tn_eval_run(e, sym);
    const int32_t *best = tn_eval_data(e, ref_of(g, "best"));
    assert_true(best[0] == 1 && best[1] == 0 && best[2] == 1);
    static const float want[5] = {2, 1, 2, 1, 2};
    for (int r = 0; r < 5; r++) IS(value(e, g, "g") + 64 * r, want[r]);
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

static void rope_turns(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %pos: i32[T] = input {name=\"pos\"}\n"
                          "  %x: f32[T,8] = input {name=\"x\"}\n"
                          "  $f: f32[2,2] = rope_freq {base=0x1.388p+13}\n"
                          "  %a: f32[T,4] = rope_angle %pos, $f\n"
                          "  %h: f32[T,8] = rope %x, %a {mode=half}\n"
                          "  %p: f32[T,8] = rope %x, %a {mode=pair}\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 4};
    TnEval *e = eval_of(g, sym);
    static const int32_t pos[4] = {0, 1, 4095, 1000003};
    float x[32];
    for (int i = 0; i < 32; i++) x[i] = random_float();
    put_i32(e, "pos", pos, 4);
    put_f32(e, "x", x, 4, 8);
    tn_eval_run(e, sym);
    for (int t = 0; t < 4; t++) {
        const float *a = value(e, g, "a") + t * 64, *h = value(e, g, "h") + t * 64,
                    *p = value(e, g, "p") + t * 64;
        for (int i = 0; i < 2; i++) {
            double angle = pos[t] * pow(10000.0, -i / 2.0);
            assert_true(fabs((double)a[i] - cos(angle)) < 2e-7);
            assert_true(fabs((double)a[2 + i] - sin(angle)) < 2e-7);
            for (int head = 0; head < 8; head += 4) {
                const float *v = x + 8 * t + head;
                float c = a[i], s = a[2 + i];
                assert_true(h[head + i] == v[i] * c - v[2 + i] * s);
                assert_true(h[head + 2 + i] == v[i] * s + v[2 + i] * c);
                assert_true(p[head + 2 * i] == v[2 * i] * c - v[2 * i + 1] * s);
                assert_true(p[head + 2 * i + 1] == v[2 * i] * s + v[2 * i + 1] * c);
            }
        }
        if (t == 0) IS(a, 1, 1, 0, 0);
    }
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

/* ---- attention */

enum { HEADS = 4, KV = 2, HEAD = 6, SLOTS = 2, PAGES = 4, STEPS = 200 };

typedef struct Past { /* everything that slots have stored, position by position */
    float k[SLOTS][STEPS][KV * HEAD], v[SLOTS][STEPS][KV * HEAD];
    float ks[SLOTS][STEPS][KV], vs[SLOTS][STEPS][KV]; /* scales, 1 if there are none */
} Past;

/* The formula of ir.h with everything in arrays over positions, and once more in double. */
static void attend_plain(const Past *past, int slot, int pos, int window, const float *q, float *y,
                         double *y64) {
    static float s[PAGES * 64], p[PAGES * 64];
    static double p64[PAGES * 64];
    int first = window && pos - window + 1 > 0 ? pos - window + 1 : 0;
    for (int h = 0; h < HEADS; h++) {
        int g = h / (HEADS / KV);
        float m[PAGES], l[PAGES], o[PAGES][HEAD], top = 0, sum = 0;
        double top64 = -1e300, sum64 = 0;
        for (int j = first; j <= pos; j++) {
            s[j] = 0;
            double s64 = 0;
            for (int d = 0; d < HEAD; d++) {
                s[j] = fmaf(q[h * HEAD + d], past->k[slot][j][g * HEAD + d], s[j]);
                s64 += (double)q[h * HEAD + d] * (double)past->k[slot][j][g * HEAD + d];
            }
            s[j] = s[j] * past->ks[slot][j][g] * 0.625f;
            p64[j] = s64 * (double)past->ks[slot][j][g] * 0.625;
            top64 = p64[j] > top64 ? p64[j] : top64;
        }
        for (int j = first; j <= pos; j++) sum64 += p64[j] = exp(p64[j] - top64);
        for (int d = 0; d < HEAD; d++) {
            y64[h * HEAD + d] = 0;
            for (int j = first; j <= pos; j++)
                y64[h * HEAD + d] +=
                    p64[j] * (double)past->v[slot][j][g * HEAD + d] * (double)past->vs[slot][j][g] / sum64;
        }
        for (int b = first / 64; b <= pos / 64; b++) {
            m[b] = -INFINITY;
            for (int j = 64 * b; j < 64 * b + 64; j++)
                if (j >= first && j <= pos) m[b] = m[b] > s[j] ? m[b] : s[j];
            for (int j = 64 * b; j < 64 * b + 64; j++)
                p[j] = j >= first && j <= pos ? tn_exp(s[j] - m[b]) : 0.0f;
            float ones[64];
            for (int j = 0; j < 64; j++) ones[j] = 1.0f;
            l[b] = lanes(p + 64 * b, ones, 64);
            for (int d = 0; d < HEAD; d++) {
                o[b][d] = 0.0f;
                for (int j = 64 * b; j < 64 * b + 64;
                     j++) /* a masked p is +0: multiplying by it changes nothing */
                    if (j < STEPS)
                        o[b][d] = fmaf(p[j] * past->vs[slot][j][g], past->v[slot][j][g * HEAD + d], o[b][d]);
                o[b][d] = o[b][d] + 0.0f;
            }
            top = b == first / 64 || m[b] > top ? m[b] : top;
        }
        for (int d = 0; d < HEAD; d++) y[h * HEAD + d] = 0;
        for (int b = first / 64; b <= pos / 64; b++) {
            float w = tn_exp(m[b] - top);
            sum = sum + l[b] * w;
            for (int d = 0; d < HEAD; d++) y[h * HEAD + d] = y[h * HEAD + d] + o[b][d] * w;
        }
        for (int d = 0; d < HEAD; d++) y[h * HEAD + d] = y[h * HEAD + d] / sum;
    }
}

static TnGraph *attend_graph(const char *cache, int rows) {
    char text[2048];
    snprintf(text, sizeof text,
             "  %%pos: i32[T] = input {name=\"pos\"}\n"
             "  %%slot: i32[T] = input {name=\"slot\"}\n"
             "  %%table: i32[S,P] = input {name=\"table\"}\n"
             "  %%k0: kc%s[N,2,6] = input {name=\"k0\"}\n"
             "  %%v0: vc%s[N,2,6] = input {name=\"v0\"}\n"
             "  %%q: f32[T,24] = input {name=\"q\"}\n"
             "  %%k: f32[T,12] = input {name=\"k\"}\n"
             "  %%v: f32[T,12] = input {name=\"v\"}\n"
             "  %%k1: kc%s[N,2,6] = kv_put %%k0, %%k, %%pos, %%slot, %%table\n"
             "  %%v1: vc%s[N,2,6] = kv_put %%v0, %%v, %%pos, %%slot, %%table\n"
             "  %%y: f32[T,24] = attend %%q, %%k1, %%v1, %%pos, %%slot, %%table {scale=0x1.4p-1, window=0}\n"
             "  %%w: f32[T,24] = attend %%q, %%k1, %%v1, %%pos, %%slot, %%table {scale=0x1.4p-1, window=70}\n"
             "  %%yb: f32[P,%d] = attend_blocks %%q, %%k1, %%v1, %%pos, %%slot, %%table {scale=0x1.4p-1, "
             "window=0, n=%d}\n"
             "  %%wb: f32[P,%d] = attend_blocks %%q, %%k1, %%v1, %%pos, %%slot, %%table {scale=0x1.4p-1, "
             "window=70, n=%d}\n"
             "  %%yj: f32[T,24] = attend_join %%yb, %%pos {window=0, n=%d, heads=4}\n"
             "  %%wj: f32[T,24] = attend_join %%wb, %%pos {window=70, n=%d, heads=4}\n",
             cache, cache, cache, cache, rows * 32, rows, rows * 32, rows, rows, rows);
    return graph_of(text);
}

/* A head as it is read back from a cache: its elements and their scale. */
static float remember(const char *cache, const float *x, float *out) {
    float top = 1e-5f;
    for (int i = 0; i < HEAD; i++) {
        out[i] = strcmp(cache, "_f16") == 0 ? tn_f16_to_f32(tn_f32_to_f16_sat(x[i])) : x[i];
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    }
    if (strcmp(cache, "_i8") != 0) return 1.0f;
    for (int i = 0; i < HEAD; i++) out[i] = rintf(x[i] * (127.0f / top));
    return top / 127.0f;
}

/* Rows of two slots, in chunks of `rows`: slot 1 begins at row 7 and runs every third row. */
static void run_attend(const char *cache, int rows, float *out_y, float *out_w) {
    static const int32_t table[SLOTS * PAGES] = {5, 0, 7, 2, 3, 6, 1, 4};
    TnGraph *g = attend_graph(cache, rows);
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = rows, [TN_S] = SLOTS, [TN_P] = PAGES, [TN_N] = SLOTS * PAGES};
    TnEval *e = eval_of(g, sym);
    Past *past = calloc(1, sizeof *past);
    put_i32(e, "table", table, SLOTS * PAGES);
    random_state = 77;
    int next[SLOTS] = {0};
    for (int at = 0; at < STEPS; at += rows) {
        int32_t pos[STEPS], slot[STEPS];
        float q[STEPS * 24], k[STEPS * 12], v[STEPS * 12];
        int n = STEPS - at < rows ? STEPS - at : rows;
        for (int t = 0; t < n; t++) {
            slot[t] = at + t > 7 && (at + t) % 5 == 0;
            pos[t] = next[slot[t]]++;
            for (int i = 0; i < 24; i++) q[t * 24 + i] = 3 * random_float();
            for (int i = 0; i < 12; i++) k[t * 12 + i] = 3 * random_float();
            for (int i = 0; i < 12; i++) v[t * 12 + i] = random_float();
            if (at + t == 20) v[t * 12] = 1e6f; /* more than a half holds */
            for (int h = 0; h < KV; h++) {
                past->ks[slot[t]][pos[t]][h] =
                    remember(cache, k + t * 12 + h * HEAD, past->k[slot[t]][pos[t]] + h * HEAD);
                past->vs[slot[t]][pos[t]][h] =
                    remember(cache, v + t * 12 + h * HEAD, past->v[slot[t]][pos[t]] + h * HEAD);
            }
        }
        sym[TN_T] = n;
        put_i32(e, "pos", pos, n);
        put_i32(e, "slot", slot, n);
        put_f32(e, "q", q, n, 24);
        put_f32(e, "k", k, n, 12);
        put_f32(e, "v", v, n, 12);
        tn_eval_run(e, sym);
        for (int t = 0; t < n; t++) {
            float *y = out_y + (at + t) * 24, *w = out_w + (at + t) * 24, want[24];
            double wide[24];
            memcpy(y, value(e, g, "y") + t * 64, 24 * 4);
            memcpy(w, value(e, g, "w") + t * 64, 24 * 4);
            /* in halves: the same */
            assert_memory_equal(value(e, g, "yj") + t * 64, y, 24 * 4);
            assert_memory_equal(value(e, g, "wj") + t * 64, w, 24 * 4);
            for (int window = 0; window <= 70; window += 70) {
                const float *got = window ? w : y;
                attend_plain(past, slot[t], pos[t], window, q + t * 24, want, wide);
                same_bits(got, want, 24);
                for (int i = 0; i < 24; i++)
                    assert_true(fabs((double)got[i] - wide[i]) < 4e-6 * (1 + fabs(wide[i])));
            }
        }
    }
    assert_true(next[0] > 150 && next[1] > 30);
    free(past);
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

static void attention(void **state) {
    (void)state;
    static const char *const caches[] = {"", "_f32", "_f16", "_i8"};
    size_t n = STEPS * 24;
    float *y[4], *w = malloc(n * 4), *y2 = malloc(n * 4), *w2 = malloc(n * 4);
    for (int c = 0; c < 4; c++) {
        y[c] = malloc(n * 4);
        run_attend(caches[c], 1, y[c], w);
        /* ragged batches give what single rows gave */
        run_attend(caches[c], 13, y2, w2);
        assert_memory_equal(y[c], y2, n * 4);
        assert_memory_equal(w, w2, n * 4);
        assert_memory_not_equal(y[c], w, n * 4); /* the window has an effect */
        run_attend(caches[c], STEPS, y2, w2);
        assert_memory_equal(y[c], y2, n * 4);
    }
    assert_memory_equal(y[0], y[1], n * 4); /* a cache not chosen yet means f32 */
    assert_memory_not_equal(y[0], y[2], n * 4);
    assert_memory_not_equal(y[2], y[3], n * 4);
    for (int c = 0; c < 4; c++) free(y[c]);
    free(w), free(y2), free(w2);
}

static void attention_carries_nan(void **state) {
    (void)state;
    TnGraph *g = attend_graph("", 1);
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 1, [TN_S] = 1, [TN_P] = 1, [TN_N] = 1};
    TnEval *e = eval_of(g, sym);
    float q[24] = {NAN}, k[12] = {1}, v[12] = {0};
    put_f32(e, "q", q, 1, 24);
    put_f32(e, "k", k, 1, 12);
    put_f32(e, "v", v, 1, 12);
    tn_eval_run(e, sym);
    const float *y = value(e, g, "y");
    for (int i = 0; i < 24; i++) assert_true(i < 6 ? y[i] != y[i] : y[i] == 0.0f);
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

/* A key whose score is -infinity must not count as a key of weight 0, and a masked key must not count at all. */
static void attention_refuses_infinite_scores(void **state) {
    (void)state;
    static const char *const caches[] = {"", "_f16", "_i8"};
    for (size_t c = 0; c < TN_COUNT(caches); c++)
        for (int at = 0; at < 3; at++) {
            TnGraph *g = attend_graph(caches[c], 3);
            int64_t sym[TN_SYM_COUNT] = {[TN_T] = 3, [TN_S] = 1, [TN_P] = 1, [TN_N] = 1};
            int32_t pos[3] = {0, 1, 2};
            TnEval *e = eval_of(g, sym);
            float q[3 * 24], k[3 * 12], v[3 * 12];
            for (int i = 0; i < 72; i++) q[i] = 1;
            for (int i = 0; i < 36; i++) k[i] = v[i] = 1;
            k[12 * at] = -INFINITY; /* of KV head 0, which heads 0 and 1 read */
            put_f32(e, "q", q, 3, 24);
            put_f32(e, "k", k, 3, 12);
            put_f32(e, "v", v, 3, 12);
            put_i32(e, "pos", pos, 3);
            tn_eval_run(e, sym);
            for (int t = 0; t < 3; t++)
                for (int i = 0; i < 24; i++)
                    for (int half = 0; half < 2; half++) {
                        float y = value(e, g, half ? "yj" : "y")[t * 64 + i];
                        assert_true(i < 12 && t >= at ? isnan(y) : fabsf(y - 1) < 0.02f);
                    }
            tn_eval_destroy(e);
            tn_graph_destroy(g);
        }
}

/* ---- graphs and kernels */

static const char STEP[] = "    %n: f32[T,70] = rmsnorm %x, $g {eps=0x1p-10}\n"
                           "    %q: q8[T,70] = quant %n\n"
                           "    %a: i32[T,9] = tmatmul %q, $w\n"
                           "    %d: f32[T,9] = dequant %a, %q, $w\n"
                           "    %r: f32[T,9] = relu2 %d\n";

static void kernels_are_their_nodes(void **state) {
    (void)state;
    TnBuf b = {0};
    tn_buf_printf(&b,
                  "tir 1\ngraph @t stage=fused\n"
                  "  $g: f32[70] = random {seed=1}\n"
                  "  $w: p64[9,70] scale=0x1p-3 = random {seed=2}\n"
                  "  $h: f16[5,9] = random {seed=3}\n"
                  "  %%x: f32[T,70] = input {name=\"x\"}\n"
                  "  kernel @one {root=tmatmul}\n%s  end\n"
                  "  kernel @two {root=matmul}\n"
                  "    %%m: f32[T,5] = matmul %%r, $h\n"
                  "  end\n"
                  "  %%o: f32[T,5] = output %%m {name=\"hidden\"}\n"
                  "end\n",
                  STEP);
    TnGraph **gs = NULL;
    uint32_t n = 0;
    TnDiag diag = {0};
    if (tn_parse(b.data, b.len, "test", &gs, &n, &diag) != TERN_OK) fail_msg("%s", diag.text.data);
    TnGraph *g = gs[0];
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 4};
    TnEval *e = eval_of(g, sym);
    float x[4 * 70], one[4 * 64], two[4 * 64];
    for (int i = 0; i < 280; i++) x[i] = random_float();
    put_f32(e, "x", x, 4, 70);
    tn_eval_run(e, sym);
    assert_ptr_equal(tn_eval_output(e, "hidden"), value(e, g, "m"));
    assert_null(tn_eval_output(e, "nothing"));
    assert_null(tn_eval_input(e, "nothing"));
    void *room[2] = {one, two};
    for (uint32_t k = 0; k < 2; k++) {
        TnRef ops[64];
        uint32_t n_in, count = tn_kernel_operands(g, k, ops, &n_in);
        assert_int_equal(count, n_in + 1);
        void *mem[64], *scratch = aligned_alloc(64, (tn_eval_kernel_scratch(g, k, sym) + 63) / 64 * 64);
        for (uint32_t i = 0; i < n_in; i++)
            mem[i] = k == 1 && g->nodes[ops[i]].op == TN_OP_relu2 ? (void *)one : tn_eval_data(e, ops[i]);
        mem[n_in] = room[k];
        tn_eval_kernel(g, k, mem, sym, scratch);
        free(scratch);
    }
    for (int t = 0; t < 4; t++) {
        same_bits(one + 64 * t, value(e, g, "r") + 64 * t, 9);
        same_bits(two + 64 * t, value(e, g, "m") + 64 * t, 5);
    }
    tn_eval_destroy(e);
    tn_graph_destroy(g);
    free(gs);
    tn_buf_free(&b);
    tn_diag_free(&diag);
}

static void fewer_rows_than_room(void **state) {
    (void)state;
    TnBuf b = {0};
    tn_buf_printf(&b,
                  "    $g: f32[70] = random {seed=1}\n"
                  "    $w: t8[9,70] scale=0x1p-3 = random {seed=2}\n"
                  "    %%x: f32[T,70] = input {name=\"x\"}\n%s",
                  STEP);
    TnGraph *g = graph_of(b.data);
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 5};
    TnEval *e = eval_of(g, sym);
    float x[5 * 70], all[5 * 64];
    for (int i = 0; i < 350; i++) x[i] = random_float();
    put_f32(e, "x", x, 5, 70);
    tn_eval_run(e, sym);
    memcpy(all, value(e, g, "r"), sizeof all);
    sym[TN_T] = 1;
    for (int t = 0; t < 5; t++) {
        put_f32(e, "x", x + 70 * t, 1, 70);
        tn_eval_run(e, sym);
        same_bits(value(e, g, "r"), all + 64 * t, 9);
    }
    sym[TN_T] = 0;
    tn_eval_run(e, sym);
    tn_eval_destroy(e);
    tn_graph_destroy(g);
    tn_buf_free(&b);
}

static void missing_weights_are_the_users_error(void **state) {
    (void)state;
    TnGraph *g = graph_of("  %ids: i32[T] = input {name=\"ids\"}\n"
                          "  $t: f32[3,2] = gguf {name=\"token_embd.weight\", hash=0x0}\n"
                          "  %x: f32[T,2] = embed %ids, $t\n");
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = 1};
    TnEval *e = NULL;
    TernError err = {0};
    assert_int_equal(tn_eval_create(g, NULL, sym, &e, &err), TERN_ERR_INPUT);
    assert_non_null(strstr(err.text, "token_embd.weight"));
    assert_null(e);
    tn_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise),
        cmocka_unit_test(rmsnorm),
        cmocka_unit_test(rmsnorm_of_huge_rows),
        cmocka_unit_test(headnorm_bias_times),
        cmocka_unit_test(activations),
        cmocka_unit_test(silu_of_anything),
        cmocka_unit_test(attention_refuses_infinite_scores),
        cmocka_unit_test(matmul_order),
        cmocka_unit_test(zeros_past_the_row),
        cmocka_unit_test(quant_corners),
        cmocka_unit_test(tmatmul_and_dequant),
        cmocka_unit_test(products_of_groups),
        cmocka_unit_test(dequant_by_rows),
        cmocka_unit_test(embed_gather_take),
        cmocka_unit_test(best_and_top),
        cmocka_unit_test(best_of_a_constant_number_of_rows),
        cmocka_unit_test(rope_turns),
        cmocka_unit_test(attention),
        cmocka_unit_test(attention_carries_nan),
        cmocka_unit_test(kernels_are_their_nodes),
        cmocka_unit_test(fewer_rows_than_room),
        cmocka_unit_test(missing_weights_are_the_users_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
