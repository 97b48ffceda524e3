/* Every row of ptx.def does what PTX's manual says. The machine runs the rows by the table's own meaning, and the writer of
 * kernels believes that table too, so each row is stated once more, in another way: those of class ALU in ptx_stated.h, accesses
 * by the words of their names, layouts of tiles as the figures of the manual show them. A row without a second
 * statement fails. */
#include "codegen/ptx_stated.h"
#include "codegen/ptx/ptx_trial.h"
#include "support/ptx_machine.h"
#include "support/soft_float.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/base/status.h"

enum { THREADS = 128, CTAS = 24, TUPLES = THREADS * CTAS, VALUES = 4 };

static uint64_t state_of_random = 1;
static uint64_t random_bits(void) {
    return tn_ptx_random(&state_of_random);
}
static uint64_t some(char kind) {
    return tn_ptx_any(kind, &state_of_random);
}

/* ---- kernels of one row: thread i reads the tuple i, of 8 bytes a value, and writes 8 bytes */

/* The thread's place in pieces of `bytes` a thread. */
static TnPxV own(TnPx *x, TnPxV thread, uint32_t param, uint32_t bytes) {
    return tn_px_at(PX(x, mad_wide, thread, tn_px_u(bytes), PX(x, ld_param, tn_px_param(param))), 0);
}

static TnPxV open_kernel(TnPx *x, TnBuf *text) {
    tn_px_module(text, "7.0", "sm_80");
    *x = (TnPx){.out = text, .threads = THREADS};
    tn_px_open(x, "k", 2);
    return PX(x, mad, tn_px_special(x, TN_PX_ctaid), tn_px_u(THREADS), tn_px_special(x, TN_PX_tid));
}

/* Runs a kernel of two pieces of memory: what it reads, and what it writes. */
static void run_grid(TnPx *x, TnBuf *text, uint32_t ctas, uint32_t down, uint32_t threads, const void *in,
                     size_t in_bytes, void *out, size_t out_bytes, const char *name) {
    char line[PTX_LINE];
    PX(x, ret);
    tn_px_close(x);
    PtxModule *code = ptx_module_load(text->data, text->len, line);
    if (!code) fail_msg("%s: %s", name, line);
    PtxMachine *m = ptx_machine_new(0);
    uint64_t params[2] = {ptx_memory_new(m, in_bytes, PTX_READ_ONLY, "in"),
                          ptx_memory_new(m, out_bytes, PTX_ZEROED, "out")};
    ptx_memory_write(m, params[0], in, in_bytes);
    ptx_memory_write(m, params[1], out, out_bytes);
    const char *fault = ptx_launch(m, code,
                                   &(PtxLaunch){.entry = "k",
                                                .grid = ctas,
                                                .grid_y = down,
                                                .threads = threads,
                                                .shared = x->shared,
                                                .params = params,
                                                .param_bytes = sizeof params,
                                                .seed = 3});
    if (fault) fail_msg("%s: %s", name, fault);
    ptx_memory_read(m, out, params[1], out_bytes);
    ptx_machine_free(m);
    ptx_module_free(code);
    tn_buf_free(text);
}

static void run_kernel(TnPx *x, TnBuf *text, uint32_t ctas, uint32_t threads, const void *in, size_t in_bytes,
                       void *out, size_t out_bytes, const char *name) {
    run_grid(x, text, ctas, 1, threads, in, in_bytes, out, out_bytes, name);
}

static bool same(char kind, bool rounds, uint64_t got, uint64_t expected) {
    SoftFormat f = kind == 'f' ? soft_f32 : kind == 'g' ? soft_f64 : soft_f16;
    bool is_float = kind == 'f' || kind == 'g' || kind == 'h';
    if (got == expected) return true;
    /* only what is rounded to f32 has one NaN */
    return is_float && !rounds && soft_is_nan(f, got) && soft_is_nan(f, expected);
}

static void check_alu(TnPxRow row, uint32_t number) {
    const TnPxInfo *info = &tn_px_rows[row];
    static uint64_t in[TUPLES][VALUES], out[TUPLES];
    char kinds[16] = "", made[16] = "";
    uint32_t n = tn_ptx_letters(info->operands, kinds), n_made = tn_ptx_letters(info->result, made);
    TnBuf text = {0};
    TnPx x;
    TnPxV thread = open_kernel(&x, &text), from = own(&x, thread, 0, VALUES * 8), to = own(&x, thread, 1, 8);
    TnPxV v[VALUES], r[4];
    for (uint32_t k = 0; k < n; k++)
        v[k] = kinds[k] == 'i' ? tn_px_i(number) : tn_ptx_loaded(&x, tn_px_at(from, 8 * k), kinds[k]);
    tn_px_many(&x, row, r, v, n);
    for (uint32_t k = 0; k < n_made; k++) tn_ptx_stored(&x, tn_px_at(to, k * (made[k] == 'h' ? 2 : 4)), r[k]);
    for (uint32_t t = 0; t < TUPLES; t++) {
        out[t] = 0;
        for (uint32_t k = 0; k < n; k++) in[t][k] = kinds[k] == 'i' ? number : some(kinds[k]);
    }
    run_kernel(&x, &text, CTAS, THREADS, in, sizeof in, out, sizeof out, info->name);
    for (uint32_t t = 0; t < TUPLES; t++) {
        bool known, rounds = made[0] == 'f' && strstr(info->text, ".rn.");
        uint64_t expected = stated(row, in[t], &known);
        if (!known) fail_msg("row %s has no second statement in this test", info->name);
        if (same(made[0], rounds, out[t], expected)) continue;
        fail_msg("%s of %llx, %llx, %llx: got %llx, expected %llx", info->name, (unsigned long long)in[t][0],
                 (unsigned long long)in[t][1], (unsigned long long)in[t][2], (unsigned long long)out[t],
                 (unsigned long long)expected);
    }
}

static void test_alu(void **state) {
    (void)state;
    static const uint32_t tables[] = {0x96, 0xe8, 0xca, 0x01};
    for (int row = 0; row < TN_PX_ROWS; row++) {
        if (tn_px_rows[row].class != TN_PX_ALU || row == TN_PX_special || row == TN_PX_shared) continue;
        bool table = strchr(tn_px_rows[row].operands, 'i') != NULL;
        for (size_t i = 0; i < (table ? TN_COUNT(tables) : 1); i++) check_alu((TnPxRow)row, tables[i]);
    }
}

static void test_specials(void **state) {
    (void)state;
    static uint32_t out[2 * 3 * 64][TN_PX_SPECIALS];
    TnBuf text = {0};
    TnPx x;
    open_kernel(&x, &text);
    TnPxV t = PX(&x, mad, tn_px_special(&x, TN_PX_ctaid), tn_px_u(64), tn_px_special(&x, TN_PX_tid));
    t = PX(&x, mad, tn_px_special(&x, TN_PX_ctaid_y), tn_px_u(3 * 64), t);
    TnPxV to = own(&x, t, 1, 4 * TN_PX_SPECIALS);
    for (int s = 0; s < TN_PX_SPECIALS; s++)
        PX(&x, st, tn_px_at(to, 4 * s), tn_px_special(&x, (TnPxSpecial)s));
    run_grid(&x, &text, 3, 2, 64, "", 1, out, sizeof out, "special");
    for (uint32_t i = 0; i < 2 * 3 * 64; i++) {
        assert_int_equal(out[i][TN_PX_tid], i % 64);
        assert_int_equal(out[i][TN_PX_ntid], 64);
        assert_int_equal(out[i][TN_PX_ctaid], i / 64 % 3);
        assert_int_equal(out[i][TN_PX_ctaid_y], i / 64 / 3);
        assert_int_equal(out[i][TN_PX_nctaid], 3);
        assert_int_equal(out[i][TN_PX_laneid], i % 32);
    }
}

/* ---- memory. A thread has 16 bytes of each piece. What a row moves is in its name: u8, s8, b16, u32, v4.f32, u64. */

typedef struct Moved {
    uint32_t bytes, count;
    bool is_signed, shared;
} Moved;

static Moved moved_by(const char *text) {
    Moved m = {
        .count = 1, .is_signed = strstr(text, ".s8") != NULL, .shared = strstr(text, ".shared") != NULL};
    const char *type = strrchr(text, '.');
    m.bytes = (uint32_t)atoi(type + 2) / 8;
    if (strstr(text, ".v2")) m.count = 2;
    if (strstr(text, ".v4")) m.count = 4;
    return m;
}

/* The bytes that a thread finds at `at`, as the words that it has then in its registers, each written as 4 or 8 bytes. */
static void expect_loaded(const Moved *m, const uint8_t *at, uint8_t out[16]) {
    memset(out, 0, 16);
    for (uint32_t e = 0; e < m->count; e++)
        memcpy(out + e * (m->bytes > 4 ? 8 : 4), at + e * m->bytes, m->bytes);
    if (m->is_signed && at[0] > 127) memset(out + 1, 0xff, 3);
}

static void check_load(TnPxRow row) {
    const TnPxInfo *info = &tn_px_rows[row];
    static uint8_t in[THREADS][16], out[THREADS][16];
    Moved m = moved_by(info->text);
    TnBuf text = {0};
    TnPx x;
    TnPxV thread = open_kernel(&x, &text), from = own(&x, thread, 0, 16), to = own(&x, thread, 1, 16), w[4],
          r[4];
    if (m.shared) {
        TnPxV base = tn_px_shared_at(&x, tn_px_shared(&x, THREADS * 16, 16));
        TnPxV at = tn_px_at(PX(&x, mad, thread, tn_px_u(16), (TnPxV){.kind = 'r', .reg = base.reg}),
                            (int64_t)base.bits);
        PX_MANY(&x, w, ld4, from);
        PX(&x, sts4, at, w[0], w[1], w[2], w[3]);
        from = at;
    }
    tn_px_many(&x, row, r, &from, 1);
    for (uint32_t e = 0; e < m.count; e++) tn_ptx_stored(&x, tn_px_at(to, 4 * e), r[e]);
    for (uint32_t t = 0; t < THREADS; t++)
        for (int i = 0; i < 16; i++) in[t][i] = (uint8_t)random_bits(), out[t][i] = 0;
    run_kernel(&x, &text, 1, THREADS, in, sizeof in, out, sizeof out, info->name);
    for (uint32_t t = 0; t < THREADS; t++) {
        uint8_t expected[16];
        expect_loaded(&m, in[t], expected);
        if (memcmp(out[t], expected, 16)) fail_msg("%s: thread %u has other bytes", info->name, t);
    }
}

static void check_store(TnPxRow row) {
    const TnPxInfo *info = &tn_px_rows[row];
    static uint8_t in[THREADS][16], out[THREADS][16];
    char kinds[16];
    uint32_t n = tn_ptx_letters(info->operands, kinds);
    Moved m = moved_by(info->text);
    TnBuf text = {0};
    TnPx x;
    TnPxV thread = open_kernel(&x, &text), from = own(&x, thread, 0, 16), to = own(&x, thread, 1, 16), v[5],
          w[4];
    v[0] = to;
    for (uint32_t k = 1; k < n; k++) v[k] = tn_ptx_loaded(&x, tn_px_at(from, (k - 1) * 4), kinds[k]);
    if (m.shared) {
        TnPxV base = tn_px_shared_at(&x, tn_px_shared(&x, THREADS * 16, 16));
        v[0] = tn_px_at(PX(&x, mad, thread, tn_px_u(16), (TnPxV){.kind = 'r', .reg = base.reg}),
                        (int64_t)base.bits);
        TnPxV zero = tn_px_var(&x, tn_px_u(0));
        PX(&x, sts4, v[0], zero, zero, zero, zero);
    }
    tn_px_many(&x, row, w, v, n);
    if (m.shared) {
        PX_MANY(&x, w, lds4, v[0]);
        PX(&x, st4, to, w[0], w[1], w[2], w[3]);
    }
    for (uint32_t t = 0; t < THREADS; t++)
        for (int i = 0; i < 16; i++) in[t][i] = (uint8_t)random_bits(), out[t][i] = 0;
    run_kernel(&x, &text, 1, THREADS, in, sizeof in, out, sizeof out, info->name);
    for (uint32_t t = 0; t < THREADS; t++) {
        uint8_t expected[16] = {0};
        memcpy(expected, in[t], m.bytes * m.count);
        if (memcmp(out[t], expected, 16)) fail_msg("%s: thread %u wrote other bytes", info->name, t);
    }
}

static uint32_t updated(const char *text, uint32_t old, uint32_t b, uint32_t c) {
    if (strstr(text, ".add")) return old + b;
    if (strstr(text, ".max")) return old > b ? old : b;
    if (strstr(text, ".min")) return old > b ? b : old;
    assert_non_null(strstr(text, ".cas"));
    return old == b ? c : old;
}

/* Each thread updates a word of its own; in: the old value, b, c. out: what it got, and the word afterwards. */
static void check_atom(TnPxRow row) {
    const TnPxInfo *info = &tn_px_rows[row];
    static uint32_t in[THREADS][4], out[THREADS][4];
    char kinds[16];
    uint32_t n = tn_ptx_letters(info->operands, kinds);
    bool shared = strstr(info->text, ".shared") != NULL;
    TnBuf text = {0};
    TnPx x;
    TnPxV thread = open_kernel(&x, &text), from = own(&x, thread, 0, 16), to = own(&x, thread, 1, 16), v[3],
          r[4] = {{0}};
    TnPxV old = PX(&x, ld, from);
    v[0] = tn_px_at(to, 4);
    if (shared) {
        TnPxV base = tn_px_shared_at(&x, tn_px_shared(&x, THREADS * 4, 4));
        v[0] = tn_px_at(PX(&x, mad, thread, tn_px_u(4), (TnPxV){.kind = 'r', .reg = base.reg}),
                        (int64_t)base.bits);
    }
    for (uint32_t k = 1; k < n; k++) v[k] = PX(&x, ld, tn_px_at(from, 4 * k));
    (void)(shared ? PX(&x, sts, v[0], old) : PX(&x, st, v[0], old));
    tn_px_many(&x, row, r, v, n);
    PX(&x, st, to, *info->result ? r[0] : old);
    if (shared) PX(&x, st, tn_px_at(to, 4), PX(&x, lds, v[0]));
    for (uint32_t t = 0; t < THREADS; t++) {
        for (int i = 0; i < 4; i++) in[t][i] = (uint32_t)some('r'), out[t][i] = 0;
        if (t % 2) in[t][1] = in[t][0]; /* so that cas exchanges */
    }
    run_kernel(&x, &text, 1, THREADS, in, sizeof in, out, sizeof out, info->name);
    for (uint32_t t = 0; t < THREADS; t++)
        if (out[t][0] != in[t][0] || out[t][1] != updated(info->text, in[t][0], in[t][1], in[t][2]))
            fail_msg("%s of %x, %x, %x: got %x, word %x", info->name, in[t][0], in[t][1], in[t][2], out[t][0],
                     out[t][1]);
}

static void test_memory(void **state) {
    (void)state;
    for (int row = 0; row < TN_PX_ROWS; row++) {
        if (tn_px_rows[row].class == TN_PX_LOAD && row != TN_PX_ld_param) check_load((TnPxRow)row);
        if (tn_px_rows[row].class == TN_PX_STORE) check_store((TnPxRow)row);
        if (tn_px_rows[row].class == TN_PX_ATOM) check_atom((TnPxRow)row);
    }
}

/* ---- lanes */

static void test_lanes(void **state) {
    (void)state;
    static uint32_t in[32], out[32][8];
    static const int apart[5] = {1, 2, 4, 8, 16};
    TnBuf text = {0};
    TnPx x;
    TnPxV thread = open_kernel(&x, &text), from = own(&x, thread, 0, 4), to = own(&x, thread, 1, 32);
    TnPxV v = PX(&x, ld, from), last = tn_px_i(31), all = tn_px_i(-1);
    for (int i = 0; i < 5; i++)
        PX(&x, st, tn_px_at(to, 4 * i), PX(&x, bfly, v, tn_px_i(apart[i]), last, all));
    PX(&x, st_f, tn_px_at(to, 20), PX(&x, bfly_f, PX(&x, floats, v), tn_px_i(31), last, all));
    PX(&x, st, tn_px_at(to, 24),
       PX(&x, idx, v, PX(&x, and, PX(&x, mul, thread, tn_px_u(7)), tn_px_u(31)), last, all));
    PX(&x, st, tn_px_at(to, 28), PX(&x, ballot, PX(&x, lt_s, v, tn_px_u(0)), all));
    uint32_t vote = 0;
    for (uint32_t l = 0; l < 32; l++) in[l] = (uint32_t)random_bits(), vote |= (in[l] >> 31) << l;
    run_kernel(&x, &text, 1, 32, in, sizeof in, out, sizeof out, "lanes");
    for (uint32_t l = 0; l < 32; l++) {
        for (int i = 0; i < 5; i++)
            assert_int_equal(out[l][i],
                             in[l / (2 * apart[i]) * 2 * apart[i] + (l + apart[i]) % (2 * apart[i])]);
        assert_int_equal(out[l][5], in[31 - l]);
        assert_int_equal(out[l][6], in[7 * l % 32]);
        assert_int_equal(out[l][7], vote);
    }
}

/* ---- tiles: figures of the manual, four columns (of A) or rows (of B) a cell: thread, register */

typedef struct Cell {
    uint8_t thread, reg;
} Cell;
#define FOUR(t, r)                                                                                           \
    {t, r}, {t + 1, r}, {t + 2, r}, {                                                                        \
        t + 3, r                                                                                             \
    }
/* A of m16n8k32, 8-bit: row by row, columns 0..3, 4..7, .. 28..31. */
static const Cell figure_a[16][8] = {
    {FOUR(0, 0), FOUR(0, 2)},   {FOUR(4, 0), FOUR(4, 2)},   {FOUR(8, 0), FOUR(8, 2)},
    {FOUR(12, 0), FOUR(12, 2)}, {FOUR(16, 0), FOUR(16, 2)}, {FOUR(20, 0), FOUR(20, 2)},
    {FOUR(24, 0), FOUR(24, 2)}, {FOUR(28, 0), FOUR(28, 2)}, {FOUR(0, 1), FOUR(0, 3)},
    {FOUR(4, 1), FOUR(4, 3)},   {FOUR(8, 1), FOUR(8, 3)},   {FOUR(12, 1), FOUR(12, 3)},
    {FOUR(16, 1), FOUR(16, 3)}, {FOUR(20, 1), FOUR(20, 3)}, {FOUR(24, 1), FOUR(24, 3)},
    {FOUR(28, 1), FOUR(28, 3)},
};
/* B: column by column, rows 0..3, 4..7, .. 28..31. */
static const Cell figure_b[8][8] = {
    {FOUR(0, 0), FOUR(0, 1)},   {FOUR(4, 0), FOUR(4, 1)},   {FOUR(8, 0), FOUR(8, 1)},
    {FOUR(12, 0), FOUR(12, 1)}, {FOUR(16, 0), FOUR(16, 1)}, {FOUR(20, 0), FOUR(20, 1)},
    {FOUR(24, 0), FOUR(24, 1)}, {FOUR(28, 0), FOUR(28, 1)},
};
#define TWO(t, r)                                                                                            \
    {t, r}, {                                                                                                \
        t, r + 1                                                                                             \
    }
#define PAIRS(t, r)                                                                                          \
    { TWO(t, r), TWO(t + 1, r), TWO(t + 2, r), TWO(t + 3, r) }
/* C and D: row by row, a column a cell. */
static const Cell figure_c[16][8] = {
    PAIRS(0, 0),  PAIRS(4, 0),  PAIRS(8, 0),  PAIRS(12, 0), PAIRS(16, 0), PAIRS(20, 0),
    PAIRS(24, 0), PAIRS(28, 0), PAIRS(0, 2),  PAIRS(4, 2),  PAIRS(8, 2),  PAIRS(12, 2),
    PAIRS(16, 2), PAIRS(20, 2), PAIRS(24, 2), PAIRS(28, 2),
};

static void check_mma(TnPxRow row, bool a_signed) {
    static uint32_t in[32][10], out[32][4];
    TnBuf text = {0};
    TnPx x;
    TnPxV thread = open_kernel(&x, &text), from = own(&x, thread, 0, 40), to = own(&x, thread, 1, 16), v[10],
          r[4];
    for (int k = 0; k < 10; k++) v[k] = PX(&x, ld, tn_px_at(from, 4 * k));
    tn_px_many(&x, row, r, v, 10);
    for (int k = 0; k < 4; k++) PX(&x, st, tn_px_at(to, 4 * k), r[k]);
    for (int l = 0; l < 32; l++)
        for (int k = 0; k < 10; k++) in[l][k] = (uint32_t)random_bits();
    run_kernel(&x, &text, 1, 32, in, sizeof in, out, sizeof out, tn_px_rows[row].name);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
            Cell c = figure_c[i][j];
            int64_t sum = (int32_t)in[c.thread][6 + c.reg];
            for (int k = 0; k < 32; k++) {
                Cell a = figure_a[i][k / 4], b = figure_b[j][k / 4];
                uint8_t p = (uint8_t)(in[a.thread][a.reg] >> k % 4 * 8),
                        q = (uint8_t)(in[b.thread][4 + b.reg] >> k % 4 * 8);
                sum += (int64_t)(a_signed ? (int8_t)p : p) * (int8_t)q;
            }
            if ((uint32_t)sum != out[c.thread][c.reg])
                fail_msg("%s: row %d, column %d", tn_px_rows[row].name, i, j);
        }
}

/* ldmatrix.x4: rows of 8 values of 16 bits at the addresses of threads 0-7, 8-15, 16-23, 24-31, one matrix each. Register m of
 * thread t has values 2 (t % 4) and 2 (t % 4) + 1 of row t / 4 of matrix m. Rows lie in shared memory in some order. */
static void check_ldmatrix(void) {
    static uint16_t in[32][8], out[32][4][2];
    TnBuf text = {0};
    TnPx x;
    TnPxV thread = open_kernel(&x, &text), from = own(&x, thread, 0, 16), to = own(&x, thread, 1, 16), w[4];
    TnPxV base = tn_px_shared_base(&x), place = PX(&x, and, PX(&x, mul, thread, tn_px_u(5)), tn_px_u(31));
    (void)tn_px_shared(&x, 32 * 16, 16);
    PX_MANY(&x, w, ld4, from);
    TnPxV at = tn_px_at(PX(&x, mad, place, tn_px_u(16), base), 0);
    PX(&x, sts4, at, w[0], w[1], w[2], w[3]);
    tn_px_barrier_warp(&x);
    PX_MANY(&x, w, ldmatrix4, at);
    PX(&x, st4, to, w[0], w[1], w[2], w[3]);
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 8; i++) in[l][i] = (uint16_t)random_bits();
    run_kernel(&x, &text, 1, 32, in, sizeof in, out, sizeof out, "ldmatrix4");
    for (int t = 0; t < 32; t++)
        for (int m = 0; m < 4; m++)
            for (int i = 0; i < 2; i++) assert_int_equal(out[t][m][i], in[8 * m + t / 4][2 * (t % 4) + i]);
}

static void test_tiles(void **state) {
    (void)state;
    check_mma(TN_PX_mma_u8s8, false);
    check_mma(TN_PX_mma_s8s8, true);
    check_ldmatrix();
}

/* Each of them has a test above or in test_ptx_machine.c; a new one must get one. */
static void test_all_rows_have_one(void **state) {
    (void)state;
    static const TnPxRow others[] = {
        TN_PX_special,   TN_PX_shared,        TN_PX_ld_param, TN_PX_copy4,    TN_PX_copy16, TN_PX_copy_commit,
        TN_PX_copy_wait, TN_PX_copy_wait_all, TN_PX_bfly,     TN_PX_bfly_f,   TN_PX_idx,    TN_PX_idx_f,
        TN_PX_ballot,    TN_PX_ldmatrix4,     TN_PX_mma_u8s8, TN_PX_mma_s8s8, TN_PX_bar,    TN_PX_bar_warp,
        TN_PX_fence,     TN_PX_bra,           TN_PX_ret};
    for (int row = 0; row < TN_PX_ROWS; row++) {
        TnPxClass c = tn_px_rows[row].class;
        bool found = c == TN_PX_ALU || c == TN_PX_LOAD || c == TN_PX_STORE || c == TN_PX_ATOM;
        for (size_t i = 0; i < TN_COUNT(others); i++) found |= (int)others[i] == row;
        if (!found) fail_msg("row %s has no second statement", tn_px_rows[row].name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alu),    cmocka_unit_test(test_specials),
        cmocka_unit_test(test_memory), cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_tiles),  cmocka_unit_test(test_all_rows_have_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
