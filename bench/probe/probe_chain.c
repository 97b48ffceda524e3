/* Kernels that tell what lies between two pieces of work: empty ones, a barrier of all CTAs, reads that run across it. */
#include "bench/probe/probe_text.h"

void probe_empty(const char *level, bool pdl, ProbeText *t) {
    TnPx x;
    probe_begin(&x, level, 0, t);
    if (pdl) {
        PROBE_RAW(&x, "griddepcontrol.launch_dependents");
        PROBE_RAW(&x, "griddepcontrol.wait");
    }
    probe_end(&x, t);
}

/* ---- all CTAs meet */

/* After `spins` looks in vain the counter gets so large that nobody waits any longer. */
void probe_meet(TnPx *x, TnPxV counter, TnPxV goal, TnPxV out, uint32_t spins) {
    const uint32_t nobody = 1u << 31; /* however many give up, the counter stays above this */
    TnPxV look = tn_px_label(x), met = tn_px_label(x), left = tn_px_var(x, tn_px_u(spins));
    PX(x, red_release, tn_px_at(counter, 0), tn_px_u(1));
    tn_px_place(x, look);
    TnPxV now = PX(x, ld_acquire, tn_px_at(counter, 0));
    tn_px_go_if(x, PX(x, ge, now, goal), met);
    PX_TO(x, left, sub, left, tn_px_u(1));
    tn_px_go_if(x, PX(x, ne, left, tn_px_u(0)), look);
    PX(x, atom_max, tn_px_at(counter, 0), tn_px_u(nobody));
    PX(x, st, tn_px_at(out, 0), tn_px_u(1));
    tn_px_place(x, met);
}

void probe_barrier(const char *level, uint32_t grid, uint32_t phases, uint32_t spins, ProbeText *t) {
    TnPx px, *x = &px;
    probe_begin(x, level, 2, t);
    TnPxV counter = probe_parameter(x, 0), out = probe_parameter(x, 1),
          first = PX(x, eq, tn_px_special(x, TN_PX_tid), tn_px_u(0)), goal = tn_px_var(x, tn_px_u(grid));
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(phases), tn_px_u(1));
    tn_px_barrier(x);
    TnPxIf i = tn_px_if(x, first);
    probe_meet(x, counter, goal, out, spins);
    tn_px_if_end(x, &i);
    tn_px_barrier(x);
    PX_TO(x, goal, add, goal, tn_px_u(grid));
    tn_px_loop_end(x, &l);
    probe_end(x, t);
}

/* ---- bulk copies */

void probe_make_mbarriers(TnPx *x, TnPxV thread, uint32_t at, uint32_t n) {
    TnPxIf i = tn_px_if(x, PX(x, eq, thread, tn_px_u(0)));
    for (uint32_t k = 0; k < n; k++)
        PROBE_RAW(x, "mbarrier.init.shared::cta.b64 [%0], 1",
                  PX(x, add, tn_px_shared_base(x), tn_px_u(at + 8 * k)));
    PROBE_RAW(x, "fence.mbarrier_init.release.cluster");
    tn_px_if_end(x, &i);
    tn_px_barrier(x);
}

/* A look takes at most about a microsecond. */
void probe_await(TnPx *x, TnPxV mbarrier, TnPxV parity, TnPxV left) {
    enum { NANOSECONDS = 1000 };
    TnPxV look = tn_px_label(x), there = tn_px_reg(x, 'p'), done = tn_px_label(x);
    tn_px_place(x, look);
    PROBE_RAW(x, "mbarrier.try_wait.parity.shared::cta.b64 %0, [%1], %2, %3", there, mbarrier, parity,
              tn_px_u(NANOSECONDS));
    tn_px_go_if(x, there, done);
    tn_px_go_if(x, PX(x, eq, left, tn_px_u(0)), done);
    PX_TO(x, left, sub, left, tn_px_u(1));
    tn_px_go(x, look);
    tn_px_place(x, done);
}

typedef struct Ring {
    TnPx x;
    uint32_t grid, stages, depth, slots, mbarriers;
    TnPxV weights, cta, next; /* next: the stage of this CTA that is copied next, from 0 */
    TnPxV phase, in_phase;    /* of it */
    TnPxV slot;
} Ring;

/* Starts the copy of the next stage into its slot. One thread does. */
static void start_copy(Ring *r) {
    TnPx *x = &r->x;
    TnPxV place = PX(x, mad, r->phase, tn_px_u(r->grid), r->cta);
    place = PX(x, mad, place, tn_px_u(r->stages), r->in_phase);
    TnPxV from = probe_index(x, r->weights, place, PROBE_STAGE),
          to = PX(x, mad, r->slot, tn_px_u(PROBE_STAGE), tn_px_shared_base(x)),
          with = PX(x, mad, r->slot, tn_px_u(8), tn_px_shared_base(x));
    to = PX(x, add, to, tn_px_u(r->slots));
    with = PX(x, add, with, tn_px_u(r->mbarriers));
    PROBE_RAW(x, "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1", with, tn_px_u(PROBE_STAGE));
    PROBE_RAW(x, "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3]", to,
              from, tn_px_u(PROBE_STAGE), with);
}

/* i + 1, and 0 after n - 1; what comes out is 1 if it went back to 0 */
static TnPxV turn(TnPx *x, TnPxV i, uint32_t n) {
    PX_TO(x, i, add, i, tn_px_u(1));
    TnPxV around = PX(x, eq, i, tn_px_u(n));
    PX_TO(x, i, sel, tn_px_u(0), i, around);
    return PX(x, sel, tn_px_u(1), tn_px_u(0), around);
}

static void step_next(Ring *r) {
    TnPx *x = &r->x;
    PX_TO(x, r->next, add, r->next, tn_px_u(1));
    PX_TO(x, r->phase, add, r->phase, turn(x, r->in_phase, r->stages));
    turn(x, r->slot, r->depth);
}

void probe_ring(const char *level, uint32_t grid, uint32_t phases, uint32_t stages, uint32_t depth,
                uint32_t spins, ProbeText *t) {
    enum { WORDS = PROBE_STAGE / PROBE_THREADS / 16 };
    Ring r = {.grid = grid, .stages = stages, .depth = depth};
    TnPx *x = &r.x;
    uint32_t total = phases * stages;
    probe_begin(x, level, 3, t);
    r.slots = tn_px_shared(x, depth * PROBE_STAGE, 16);
    r.mbarriers = tn_px_shared(x, depth * 8, 16);
    r.weights = probe_parameter(x, 0);
    TnPxV counter = probe_parameter(x, 1), out = probe_parameter(x, 2), thread = tn_px_special(x, TN_PX_tid),
          sum = tn_px_var(x, tn_px_u(0)), first = PX(x, eq, thread, tn_px_u(0)),
          goal = tn_px_var(x, tn_px_u(grid));
    r.cta = tn_px_special(x, TN_PX_ctaid);
    TnPxV *const zeros[] = {&r.next, &r.phase, &r.in_phase, &r.slot};
    for (uint32_t i = 0; i < 4; i++) *zeros[i] = tn_px_var(x, tn_px_u(0));
    TnPxV slot = tn_px_var(x, tn_px_u(0)), parity = tn_px_var(x, tn_px_u(0)), done = tn_px_var(x, tn_px_u(0));
    TnPxV looks = tn_px_var(x, tn_px_u(PROBE_LOOKS));
    probe_make_mbarriers(x, thread, r.mbarriers, depth);
    for (uint32_t i = 0; i < depth && i < total; i++) {
        TnPxIf one = tn_px_if(x, first);
        start_copy(&r);
        tn_px_if_end(x, &one);
        step_next(&r);
    }
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), tn_px_u(total), tn_px_u(1));
    TnPxV with = PX(x, mad, slot, tn_px_u(8), tn_px_shared_base(x));
    probe_await(x, PX(x, add, with, tn_px_u(r.mbarriers)), parity, looks);
    TnPxV from = PX(x, mad, slot, tn_px_u(PROBE_STAGE), tn_px_shared_base(x)), words[WORDS][4];
    from = PX(x, mad, thread, tn_px_u(16), from);
    for (uint32_t i = 0; i < WORDS; i++)
        PX_MANY(x, words[i], lds4, tn_px_at(from, r.slots + i * PROBE_THREADS * 16));
    for (uint32_t i = 0; i < WORDS; i++)
        for (uint32_t j = 0; j < 4; j++) PX_TO(x, sum, add, sum, words[i][j]);
    PX_TO(x, parity, xor, parity, turn(x, slot, depth));
    TnPxV ends = PX(x, ne, turn(x, done, stages), tn_px_u(0));
    tn_px_barrier(x);
    TnPxIf more = tn_px_if(x, PX(x, both, first, PX(x, lt, r.next, tn_px_u(total))));
    start_copy(&r);
    tn_px_if_end(x, &more);
    step_next(&r);
    TnPxIf phase = tn_px_if(x, ends);
    TnPxIf one = tn_px_if(x, first);
    probe_meet(x, counter, goal, out, spins);
    tn_px_if_end(x, &one);
    tn_px_barrier(x);
    PX_TO(x, goal, add, goal, tn_px_u(grid));
    tn_px_if_end(x, &phase);
    tn_px_loop_end(x, &l);
    PX(x, red_release, tn_px_at(probe_index(x, out, thread, 4), 4), sum);
    probe_end(x, t);
}
