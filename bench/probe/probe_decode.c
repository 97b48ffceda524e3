/* Kernels that are bound by reading: a plain read, products of one row of activations, the head. */
#include "bench/probe/probe_text.h"
#include "runtime/abi/levels.h"
#include "runtime/base/status.h"

#include <string.h>

/* ---- what all kernels need */

void probe_begin(TnPx *x, const char *level, uint32_t params, ProbeText *t) {
    const TnLevelRow *row = tn_level_named(level);
    TN_CHECK(row);
    *t = (ProbeText){0};
    *x = (TnPx){.out = &t->text, .threads = PROBE_THREADS};
    tn_px_module(&t->text, row->more, row->processor);
    tn_px_open(x, PROBE_ENTRY, params);
}

void probe_end(TnPx *x, ProbeText *t) {
    PX(x, ret);
    tn_px_close(x);
    tn_buf_put(&t->text, "", 1);
    t->threads = x->threads;
    t->shared = x->shared;
}

void probe_raw(TnPx *x, const char *text, const TnPxV *v, uint32_t n) {
    for (const char *p = text; *p; p++) {
        if (*p != '%') {
            tn_buf_put(&x->body, p, 1);
            continue;
        }
        uint32_t i = (uint32_t)(*++p - '0');
        TN_CHECK(i < n);
        if (v[i].number)
            tn_buf_printf(&x->body, "%llu", (unsigned long long)v[i].bits);
        else
            tn_buf_printf(&x->body, "%%%c%u", v[i].kind, v[i].reg);
    }
    tn_buf_puts(&x->body, ";\n");
}

TnPxV probe_parameter(TnPx *x, uint32_t i) {
    return PX(x, ld_param, tn_px_param(i));
}

TnPxV probe_index(TnPx *x, TnPxV base, TnPxV index, uint32_t scale) {
    return PX(x, mad_wide, index, tn_px_u(scale), base);
}

static TnPxV sum_lanes(TnPx *x, TnPxV v, uint32_t lanes) {
    for (uint32_t d = lanes / 2; d; d /= 2)
        v = PX(x, add, v, PX(x, bfly, v, tn_px_i(d), tn_px_i(31), tn_px_i(-1)));
    return v;
}

/* ---- read */

void probe_read(const char *level, ProbeText *t) {
    enum { LOADS = PROBE_READ_BYTES / PROBE_THREADS / 16 };
    TnPx x;
    TnPxV words[LOADS][4];
    probe_begin(&x, level, 2, t);
    TnPxV in = probe_parameter(&x, 0), out = probe_parameter(&x, 1), thread = tn_px_special(&x, TN_PX_tid),
          cta = tn_px_special(&x, TN_PX_ctaid), sum = tn_px_var(&x, tn_px_u(0));
    TnPxV from = probe_index(&x, probe_index(&x, in, cta, PROBE_READ_BYTES), thread, 16);
    for (uint32_t i = 0; i < LOADS; i++) PX_MANY(&x, words[i], ld4, tn_px_at(from, i * PROBE_THREADS * 16));
    for (uint32_t i = 0; i < LOADS; i++)
        for (uint32_t j = 0; j < 4; j++) PX_TO(&x, sum, add, sum, words[i][j]);
    TnPxV to = probe_index(&x, probe_index(&x, out, cta, PROBE_THREADS * 4), thread, 4);
    PX(&x, st, tn_px_at(to, 0), sum);
    probe_end(&x, t);
}

/* ---- products of one row */

enum { LANES = 8, ROW_BYTES = PROBE_K / 4, CHUNKS = ROW_BYTES / 16 / LANES, GROUPS = PROBE_THREADS / LANES };

typedef struct Gemv {
    TnPx x;
    ProbeLoad how;
    uint32_t rows, activations, weights, mbarrier; /* offsets in shared memory */
    TnPxV thread, lane, group, first;              /* first: the address of the CTA's rows */
    TnPxV words[4][CHUNKS][4];
} Gemv;

static void copy_activations(Gemv *g, TnPxV from) {
    TnPx *x = &g->x;
    TnPxV word[4];
    TnPxIf i = tn_px_if(x, PX(x, lt, g->thread, tn_px_u(PROBE_K / 16)));
    PX_MANY(x, word, ld4, tn_px_at(probe_index(x, from, g->thread, 16), 0));
    TnPxV to = PX(x, mad, g->thread, tn_px_u(16), tn_px_shared_base(x));
    PX(x, sts4, tn_px_at(to, g->activations), word[0], word[1], word[2], word[3]);
    tn_px_if_end(x, &i);
}

/* The address of a row's chunk, relative to the CTA's rows: row r * GROUPS + group, chunk i * LANES + lane. */
static int64_t chunk_at(uint32_t r, uint32_t i) {
    return (int64_t)r * GROUPS * ROW_BYTES + (int64_t)i * LANES * 16;
}

static void start_loads(Gemv *g) {
    TnPx *x = &g->x;
    TnPxV mine = probe_index(x, probe_index(x, g->first, g->group, ROW_BYTES), g->lane, 16);
    TnPxV slot = PX(x, mad, g->thread, tn_px_u(16), tn_px_shared_base(x));
    if (g->how == PROBE_BULK) {
        uint32_t bytes = g->rows * GROUPS * ROW_BYTES;
        probe_make_mbarriers(x, g->thread, g->mbarrier, 1);
        TnPxV to = PX(x, add, tn_px_shared_base(x), tn_px_u(g->weights)),
              with = PX(x, add, tn_px_shared_base(x), tn_px_u(g->mbarrier));
        TnPxIf i = tn_px_if(x, PX(x, eq, g->thread, tn_px_u(0)));
        PROBE_RAW(x, "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1", with, tn_px_u(bytes));
        PROBE_RAW(x, "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3]",
                  to, g->first, tn_px_u(bytes), with);
        tn_px_if_end(x, &i);
        return;
    }
    for (uint32_t r = 0; r < g->rows; r++)
        for (uint32_t i = 0; i < CHUNKS; i++)
            if (g->how == PROBE_LD)
                PX_MANY(x, g->words[r][i], ld4, tn_px_at(mine, chunk_at(r, i)));
            else
                PX(x, copy16, tn_px_at(slot, g->weights + (r * CHUNKS + i) * PROBE_THREADS * 16),
                   tn_px_at(mine, chunk_at(r, i)), tn_px_i(16));
    if (g->how == PROBE_CP_ASYNC) PX(x, copy_commit);
}

static void end_loads(Gemv *g) {
    TnPx *x = &g->x;
    TnPxV slot = PX(x, mad, g->thread, tn_px_u(16), tn_px_shared_base(x));
    if (g->how == PROBE_LD) return;
    if (g->how == PROBE_CP_ASYNC) {
        PX(x, copy_wait_all);
    } else {
        probe_await(x, PX(x, add, tn_px_shared_base(x), tn_px_u(g->mbarrier)), tn_px_u(0),
                    tn_px_var(x, tn_px_u(PROBE_LOOKS)));
        slot = PX(x, mad, g->group, tn_px_u(ROW_BYTES), tn_px_shared_base(x));
        slot = PX(x, mad, g->lane, tn_px_u(16), slot);
    }
    for (uint32_t r = 0; r < g->rows; r++)
        for (uint32_t i = 0; i < CHUNKS; i++) {
            int64_t at =
                g->how == PROBE_BULK ? chunk_at(r, i) : (int64_t)(r * CHUNKS + i) * PROBE_THREADS * 16;
            PX_MANY(x, g->words[r][i], lds4, tn_px_at(slot, g->weights + at));
        }
}

/* Codes are masked where they lie: plane q gives 4^q times its sum. */
static void multiply(Gemv *g, TnPxV out, TnPxV cta) {
    TnPx *x = &g->x;
    TnPxV sums[4][4], planes[4];
    TnPxV from = PX(x, mad, g->lane, tn_px_u(64), tn_px_shared_base(x));
    for (uint32_t r = 0; r < g->rows; r++)
        for (uint32_t q = 0; q < 4; q++) sums[r][q] = tn_px_var(x, tn_px_u(0));
    for (uint32_t i = 0; i < CHUNKS; i++)
        for (uint32_t j = 0; j < 4; j++) {
            PX_MANY(x, planes, lds4, tn_px_at(from, g->activations + i * LANES * 64 + j * 16));
            for (uint32_t r = 0; r < g->rows; r++)
                for (uint32_t q = 0; q < 4; q++) {
                    TnPxV codes = PX(x, and, g->words[r][i][j], tn_px_u(0x03030303u << 2 * q));
                    PX_TO(x, sums[r][q], dp4a_us, codes, planes[q], sums[r][q]);
                }
        }
    TnPxV row = PX(x, mad, cta, tn_px_u(g->rows * GROUPS), g->group), writes = PX(x, eq, g->lane, tn_px_u(0));
    for (uint32_t r = 0; r < g->rows; r++) {
        TnPxV sum = sums[r][0];
        for (uint32_t q = 1; q < 4; q++) sum = PX(x, add, sum, PX(x, sar, sums[r][q], tn_px_u(2 * q)));
        sum = sum_lanes(x, sum, LANES);
        TnPxV to = probe_index(x, out, row, 4);
        tn_px_when(x, writes);
        PX(x, st, tn_px_at(to, (int64_t)r * GROUPS * 4), sum);
    }
}

void probe_gemv(const char *level, uint32_t rows, ProbeLoad how, ProbeText *t) {
    Gemv g = {.how = how, .rows = rows};
    TnPx *x = &g.x;
    probe_begin(x, level, 3, t);
    g.activations = tn_px_shared(x, PROBE_K, 16);
    if (how != PROBE_LD) g.weights = tn_px_shared(x, rows * GROUPS * ROW_BYTES, 16);
    if (how == PROBE_BULK) g.mbarrier = tn_px_shared(x, 16, 16);
    TnPxV weights = probe_parameter(x, 0), from = probe_parameter(x, 1), out = probe_parameter(x, 2),
          cta = tn_px_special(x, TN_PX_ctaid);
    g.thread = tn_px_special(x, TN_PX_tid);
    g.lane = PX(x, and, g.thread, tn_px_u(LANES - 1));
    g.group = PX(x, shr, g.thread, tn_px_u(3));
    g.first = probe_index(x, weights, cta, rows * GROUPS * ROW_BYTES);
    start_loads(&g);
    copy_activations(&g, from);
    tn_px_barrier(x);
    end_loads(&g);
    multiply(&g, out, cta);
    probe_end(x, t);
}

/* ---- the head: 4 threads a row, 8 of the 32 chains each */

void probe_head(const char *level, ProbeText *t) {
    enum { AHEAD = 8, STEP = 32 }; /* loads under way; elements of all chains together */
    TnPx px, *x = &px;
    TnPxV words[AHEAD][4], sums[8];
    probe_begin(x, level, 3, t);
    uint32_t activations = tn_px_shared(x, PROBE_K * 4, 16);
    TnPxV weights = probe_parameter(x, 0), from = probe_parameter(x, 1), out = probe_parameter(x, 2),
          thread = tn_px_special(x, TN_PX_tid), cta = tn_px_special(x, TN_PX_ctaid);
    TnPxLoop copy = tn_px_loop(x, thread, tn_px_u(PROBE_K), tn_px_u(PROBE_THREADS));
    TnPxV to = PX(x, mad, copy.i, tn_px_u(4), tn_px_shared_base(x));
    PX(x, sts_f, tn_px_at(to, activations), PX(x, ld_f, tn_px_at(probe_index(x, from, copy.i, 4), 0)));
    tn_px_loop_end(x, &copy);
    tn_px_barrier(x);
    TnPxV quarter = PX(x, and, thread, tn_px_u(3)),
          row = PX(x, mad, cta, tn_px_u(PROBE_HEAD_ROWS), PX(x, shr, thread, tn_px_u(2)));
    TnPxV at = probe_index(x, probe_index(x, weights, row, PROBE_K * 2), quarter, 16),
          beside = PX(x, mad, quarter, tn_px_u(32), tn_px_shared_base(x));
    for (uint32_t c = 0; c < 8; c++) sums[c] = tn_px_var(x, tn_px_f(0));
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(PROBE_K / STEP / AHEAD), tn_px_u(1));
    for (uint32_t i = 0; i < AHEAD; i++) PX_MANY(x, words[i], ld4, tn_px_at(at, i * STEP * 2));
    for (uint32_t i = 0; i < AHEAD; i++) {
        TnPxV halves[2], f[8];
        for (uint32_t k = 0; k < 2; k++)
            PX_MANY(x, f + 4 * k, lds4_f, tn_px_at(beside, activations + i * STEP * 4 + k * 16));
        for (uint32_t c = 0; c < 8; c++) {
            if (c % 2 == 0) PX_MANY(x, halves, halves, words[i][c / 2]);
            PX_TO(x, sums[c], fma_f, PX(x, from_f16, halves[c % 2]), f[c], sums[c]);
        }
    }
    PX_TO(x, at, add_d, at, tn_px_l(AHEAD * STEP * 2));
    PX_TO(x, beside, add, beside, tn_px_u(AHEAD * STEP * 4));
    tn_px_loop_end(x, &l);
    for (int64_t d = 2; d; d /= 2)
        for (uint32_t c = 0; c < 8; c++)
            PX_TO(x, sums[c], add_f, sums[c], PX(x, bfly_f, sums[c], tn_px_i(d), tn_px_i(31), tn_px_i(-1)));
    for (uint32_t d = 4; d; d /= 2)
        for (uint32_t c = 0; c < d; c++) PX_TO(x, sums[c], add_f, sums[c], sums[c + d]);
    TnPxV result = probe_index(x, out, row, 4);
    tn_px_when(x, PX(x, eq, quarter, tn_px_u(0)));
    PX(x, st_f, tn_px_at(result, 0), sums[0]);
    probe_end(x, t);
}
