/* Runs a warp: 32 lanes in lock-step. Where they diverge, the part with the lowest instruction goes first, until it reaches
 * the next one's place; parts at the same place become one. */
#include "support/ptx_parts.h"

#include <stdarg.h>
#include <stdio.h>

bool ptx_fails(PtxRun *run, uint32_t lane, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(run->fault.text, sizeof run->fault.text, format, ap);
    va_end(ap);
    run->fault.lane = lane;
    return false;
}

static uint32_t first_of(uint32_t lanes) {
    return lanes ? (uint32_t)__builtin_ctz(lanes) : 0;
}

/* Whether all values of an instruction were written in these lanes. */
static bool values_written(PtxRun *run, const PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    for (uint32_t left = i->registers; left; left &= left - 1) {
        uint32_t k = (uint32_t)__builtin_ctz(left), missing = lanes & ~w->written[i->value[k] / PTX_ROW];
        if (missing)
            return ptx_fails(run, first_of(missing), "operand %u was never written", i->results + k + 1);
    }
    for (uint32_t left = i->predicates; left; left &= left - 1) {
        uint32_t k = (uint32_t)__builtin_ctz(left), missing = lanes & ~w->predicate_written[i->value[k]];
        if (missing)
            return ptx_fails(run, first_of(missing), "operand %u was never written", i->results + k + 1);
    }
    return true;
}

static void mark_results(PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    if (i->predicate_result)
        w->predicate_written[i->result[0]] |= lanes;
    else
        for (uint32_t k = 0; k < i->results; k++) w->written[i->result[k] / PTX_ROW] |= lanes;
}

static bool synchronise(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    if (i->row == TN_PX_fence) return true;
    uint32_t number = *ptx_value(w, run->body->constants, i->value[0]);
    if (i->row == TN_PX_bar) {
        if (lanes != w->lanes)
            return ptx_fails(run, first_of(w->lanes & ~lanes),
                             "the thread is missing at a barrier of its CTA");
        w->state = PTX_AT_BARRIER;
        w->barrier = number;
        w->barrier_line = i->line;
        return true;
    }
    uint32_t missing = number & w->lanes & ~lanes;
    if (missing) return ptx_fails(run, first_of(missing), "the thread is missing at a barrier of its warp");
    if (lanes & ~number)
        return ptx_fails(run, first_of(lanes & ~number), "the lane is not in the mask 0x%08x", number);
    w->since = ++cta->now;
    return true;
}

/* Makes the row's result wrong after it was done. */
static void spoil(PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    if (i->results == 0 || !(lanes & 1)) return;
    if (i->predicate_result)
        w->predicate[i->result[0]] ^= 1;
    else
        w->file[i->result[0]] ^= 1;
}

/* One instruction that is no branch. */
static bool execute(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    bool ok = true;
    if (!values_written(run, w, i, lanes)) return false;
    if (i->row == run->wrong && i->results == 0) return true;
    switch (i->class) {
    case TN_PX_ALU:
        ptx_alu(i, w, run->body->constants, lanes);
        break;
    case TN_PX_LOAD:
    case TN_PX_STORE:
    case TN_PX_ATOM:
        ok = ptx_access(run, cta, w, i, lanes);
        break;
    case TN_PX_COPY:
        ok = ptx_copy(run, cta, w, i, lanes);
        break;
    case TN_PX_GROUP:
        ok = ptx_group(run, cta, w, i, lanes);
        break;
    case TN_PX_SYNC:
        ok = synchronise(run, cta, w, i, lanes);
        break;
    default:
        ok = ptx_lanes(run, cta, w, i, lanes);
        break;
    }
    if (ok) mark_results(w, i, lanes);
    if (ok && i->row == run->wrong) spoil(w, i, lanes);
    return ok;
}

static void remove_part(PtxWarp *w, uint32_t k) {
    w->part[k] = w->part[--w->parts];
}

/* The part that goes next, joined with those at the same place. *out_limit: the place where another one waits. */
static uint32_t next_part(PtxWarp *w, uint32_t *out_limit) {
    uint32_t best = 0;
    *out_limit = UINT32_MAX;
    for (uint32_t k = 1; k < w->parts; k++)
        if (w->part[k].pc < w->part[best].pc) best = k;
    for (uint32_t k = w->parts; k-- > 0;) {
        if (k == best || w->part[k].pc != w->part[best].pc) continue;
        w->part[best].lanes |= w->part[k].lanes;
        remove_part(w, k);
        if (best == w->parts) best = k;
    }
    for (uint32_t k = 0; k < w->parts; k++)
        if (k != best && w->part[k].pc < *out_limit) *out_limit = w->part[k].pc;
    return best;
}

/* A branch or a return. True: the part goes on at its pc. */
static bool flow(PtxWarp *w, uint32_t k, const PtxIns *i, uint32_t taken) {
    PtxPart *p = &w->part[k];
    uint32_t next = p->pc + 1, target = i->row == TN_PX_bra ? i->value[0] : 0;
    if (i->row != TN_PX_bra) {
        p->lanes &= ~taken;
        p->pc = next;
        if (p->lanes) return true;
        remove_part(w, k);
        return false;
    }
    if (taken == 0 || taken == p->lanes) {
        p->pc = taken ? target : next;
        return true;
    }
    p->lanes &= ~taken;
    p->pc = next;
    w->part[w->parts++] = (PtxPart){target, taken};
    return false;
}

/* Runs part k while it is alone ahead of `limit`. False: a fault at *out_line. */
static bool run_part(PtxRun *run, PtxCta *cta, PtxWarp *w, uint32_t k, uint32_t limit, uint64_t end) {
    const PtxIns *code = run->body->code;
    PtxPart *p = &w->part[k];
    while (p->pc < limit && run->left > end) {
        const PtxIns *i = &code[p->pc];
        uint32_t lanes = p->lanes;
        run->fault_line = i->line;
        run->left--;
        if (i->guard != PTX_NO_GUARD) {
            uint32_t missing = lanes & ~w->predicate_written[i->guard];
            if (missing) return ptx_fails(run, first_of(missing), "the guard was never written");
            lanes &= i->unless ? ~w->predicate[i->guard] : w->predicate[i->guard];
        }
        run->lane_instructions += lanes == UINT32_MAX ? 32 : (uint32_t)__builtin_popcount(lanes);
        if (i->class == TN_PX_FLOW) {
            if (!flow(w, k, i, lanes)) return true;
            continue;
        }
        if (lanes && !execute(run, cta, w, i, lanes)) return false;
        p->pc++;
        if (w->state == PTX_AT_BARRIER) return true;
    }
    return true;
}

void ptx_warp_run(PtxRun *run, PtxCta *cta, PtxWarp *w, uint64_t budget) {
    uint64_t end = run->left > budget ? run->left - budget : 0;
    while (w->parts && w->state == PTX_READY && run->left > end) {
        uint32_t limit, k = next_part(w, &limit);
        if (!run_part(run, cta, w, k, limit, end)) {
            w->state = PTX_FAULTY;
            return;
        }
    }
    if (!w->parts) w->state = PTX_ENDED;
}
