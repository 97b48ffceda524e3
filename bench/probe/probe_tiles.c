/* Kernels that are bound by multiply-adds of int8. All codes are 2 and all bytes of the other side 3, wherever they lie: the
 * layouts of fragments are the business of tests. */
#include "bench/probe/probe_text.h"

/* Fills shared memory from `at` on with a word, `bytes` of it. */
static void fill(TnPx *x, TnPxV thread, uint32_t at, uint32_t bytes, uint32_t word) {
    TnPxLoop l = tn_px_loop(x, thread, tn_px_u(bytes / 4), tn_px_u(PROBE_THREADS));
    PX(x, sts, tn_px_at(PX(x, mad, l.i, tn_px_u(4), tn_px_shared_base(x)), at), tn_px_u(word));
    tn_px_loop_end(x, &l);
}

static void write_sum(TnPx *x, TnPxV thread, const TnPxV *sums, uint32_t n) {
    TnPxV out = probe_parameter(x, 0), sum = tn_px_var(x, tn_px_u(0)), cta = tn_px_special(x, TN_PX_ctaid);
    for (uint32_t i = 0; i < n; i++) PX_TO(x, sum, add, sum, sums[i]);
    TnPxV to = probe_index(x, probe_index(x, out, cta, PROBE_THREADS * 4), thread, 4);
    PX(x, st, tn_px_at(to, 0), sum);
}

/* A warp's tile is 32 rows by 64 columns; a turn has 128 of k: 4 planes of codes. */
enum { ROWS = 2, COLUMNS = 8, PLANES = 4, STEPS = 8 /* places that turns take in turn */ };

static void turn_mma(TnPx *x, TnPxV (*sums)[COLUMNS][4], TnPxV codes_at, TnPxV bytes_at) {
    TnPxV codes[ROWS][4], a[ROWS][PLANES][4], b[4];
    for (uint32_t r = 0; r < ROWS; r++) {
        PX_MANY(x, codes[r], lds4, tn_px_at(codes_at, r * 512));
        for (uint32_t q = 0; q < PLANES; q++)
            for (uint32_t j = 0; j < 4; j++) {
                TnPxV word = q ? PX(x, shr, codes[r][j], tn_px_u(2 * q)) : codes[r][j];
                a[r][q][j] = PX(x, and, word, tn_px_u(0x03030303));
            }
    }
    for (uint32_t c = 0; c < COLUMNS; c++)
        for (uint32_t q = 0; q < PLANES; q++) {
            if (q % 2 == 0) PX_MANY(x, b, lds4, tn_px_at(bytes_at, (c * 2 + q / 2) * 512));
            for (uint32_t r = 0; r < ROWS; r++) {
                TnPxV *s = sums[r][c], *w = a[r][q];
                const TnPxV operands[] = {w[0], w[1], w[2], w[3], b[q % 2 * 2], b[q % 2 * 2 + 1],
                                          s[0], s[1], s[2], s[3]};
                tn_px_op(x, TN_PX_mma_u8s8, s, operands, 10);
            }
        }
}

void probe_mma(const char *level, uint32_t turns, ProbeText *t) {
    enum { CODES = ROWS * 512, BYTES = COLUMNS * 2 * 512 };
    TnPx px, *x = &px;
    TnPxV sums[ROWS][COLUMNS][4];
    probe_begin(x, level, 1, t);
    TnPxV thread = tn_px_special(x, TN_PX_tid), lane = PX(x, and, thread, tn_px_u(31));
    uint32_t codes = tn_px_shared(x, CODES + STEPS * 16, 16), bytes = tn_px_shared(x, BYTES + STEPS * 16, 16);
    fill(x, thread, codes, CODES + STEPS * 16, 0xaaaaaaaa);
    fill(x, thread, bytes, BYTES + STEPS * 16, 0x03030303);
    tn_px_barrier(x);
    for (uint32_t i = 0; i < ROWS * COLUMNS * 4; i++)
        sums[i / 4 / COLUMNS][i / 4 % COLUMNS][i % 4] = tn_px_var(x, tn_px_u(0));
    TnPxV at = PX(x, mad, lane, tn_px_u(16), tn_px_shared_base(x));
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(turns), tn_px_u(1));
    /* the address depends on the turn: else the loads would be done once */
    TnPxV from = PX(x, mad, PX(x, and, l.i, tn_px_u(STEPS - 1)), tn_px_u(16), at);
    turn_mma(x, sums, PX(x, add, from, tn_px_u(codes)), PX(x, add, from, tn_px_u(bytes)));
    tn_px_loop_end(x, &l);
    write_sum(x, thread, &sums[0][0][0], ROWS * COLUMNS * 4);
    probe_end(x, t);
}

/* ---- wgmma: 64 rows of codes in the registers of four warps, 128 columns in shared memory, 4 times 32 of k a turn. Bytes lie
 * in core matrices of 8 by 16, 128 bytes each. */

enum { N = 128, SUMS = N / 2 };

static uint64_t matrix_part(void) {
    const uint64_t along_k = 128 >> 4, along_n = 256 >> 4;
    return along_k << 16 | along_n << 32;
}

static void multiply_wgmma(TnPx *x, const TnPxV *sums, const TnPxV *a, TnPxV descriptor, TnPxV adds) {
    tn_buf_printf(&x->body, "wgmma.mma_async.sync.aligned.m64n%dk32.s32.s8.s8 {", N);
    for (uint32_t i = 0; i < SUMS; i++) tn_buf_printf(&x->body, "%s%%r%u", i ? ", " : "", sums[i].reg);
    tn_buf_printf(&x->body, "}, {%%r%u, %%r%u, %%r%u, %%r%u}, %%d%u, %%p%u;\n", a[0].reg, a[1].reg, a[2].reg,
                  a[3].reg, descriptor.reg, adds.reg);
}

void probe_wgmma(const char *level, uint32_t turns, ProbeText *t) {
    enum { BYTES = N * 32 };
    TnPx px, *x = &px;
    TnPxV sums[SUMS], a[4];
    probe_begin(x, level, 1, t);
    uint32_t bytes = tn_px_shared(x, BYTES, 16);
    TnPxV thread = tn_px_special(x, TN_PX_tid);
    fill(x, thread, bytes, BYTES, 0x03030303);
    PROBE_RAW(x, "fence.proxy.async.shared::cta");
    tn_px_barrier(x);
    for (uint32_t i = 0; i < SUMS; i++) sums[i] = tn_px_var(x, tn_px_u(0));
    for (uint32_t i = 0; i < 4; i++) a[i] = tn_px_var(x, tn_px_u(0x02020202));
    TnPxV at = PX(x, add, tn_px_shared_base(x), tn_px_u(bytes)),
          low = PX(x, and, PX(x, shr, at, tn_px_u(4)), tn_px_u(0x3fff)),
          descriptor = PX(x, or_d, PX(x, widen, low), tn_px_l((int64_t)matrix_part())),
          adds = PX(x, eq, low, low);
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(turns), tn_px_u(1));
    PROBE_RAW(x, "wgmma.fence.sync.aligned");
    for (uint32_t i = 0; i < 4; i++) multiply_wgmma(x, sums, a, descriptor, adds);
    PROBE_RAW(x, "wgmma.commit_group.sync.aligned");
    PROBE_RAW(x, "wgmma.wait_group.sync.aligned 0");
    tn_px_loop_end(x, &l);
    write_sum(x, thread, sums, SUMS);
    probe_end(x, t);
}
