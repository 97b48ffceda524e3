/* cp.async: the bytes of a copy arrive when its thread waits for its group, as late as a GPU may be. */
#include "support/ptx_parts.h"

#include <stdlib.h>
#include <string.h>

static void add_late(PtxWarp *w, PtxLate late) {
    if (w->lates == w->late_room) {
        w->late_room = w->late_room ? 2 * w->late_room : 256;
        w->late = realloc(w->late, w->late_room * sizeof *w->late);
        if (!w->late) abort();
    }
    w->late[w->lates++] = late;
}

/* cp.async [shared], [device], bytes */
bool ptx_copy(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    uint32_t bytes = *ptx_value(w, run->body->constants, i->value[2]), to[PTX_ROW];
    uint64_t from[PTX_ROW];
    if (bytes != (i->row == TN_PX_copy16 ? 16 : 4))
        return ptx_fails(run, (uint32_t)__builtin_ctz(lanes), "copies %u bytes, expected %d", bytes,
                         i->row == TN_PX_copy16 ? 16 : 4);
    ptx_shared_addresses(w, i, 0, to);
    ptx_device_addresses(w, i, 1, i->second, from);
    for (uint32_t left = lanes, some; left; left &= ~some) {
        uintptr_t delta;
        some = ptx_device_reach(run, cta, w, from, left, bytes, PTX_READ, &delta);
        if (!some) return false;
    }
    if (!ptx_shared_reach(run, cta, w, to, lanes, bytes, PTX_WRITE, false)) return false;
    PtxWho who = ptx_who(run, cta, w, true);
    for (; lanes; lanes &= lanes - 1) {
        uint32_t l = (uint32_t)__builtin_ctz(lanes), byte = to[l] - PTX_SHARED_BASE;
        who.thread = w->number * 32 + l;
        ptx_shadow_late(cta->writes, byte, bytes, &who);
        memset(cta->shared + byte, 0xcd, bytes);
        add_late(w, (PtxLate){from[l], byte, bytes, l, w->groups[l]});
    }
    return true;
}

static void arrive(PtxRun *run, PtxCta *cta, const PtxWarp *w, const PtxLate *late) {
    PtxWho who = ptx_who(run, cta, w, true);
    who.thread = w->number * 32 + late->lane;
    const void *from = ptx_memory_host(run->m, late->from, late->bytes);
    if (!from) abort(); /* memory is not released within a launch */
    memcpy(cta->shared + late->to, from, late->bytes);
    ptx_shadow_arrive(cta->writes, late->to, late->bytes, &who);
}

bool ptx_group(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    if (i->row == TN_PX_copy_commit) {
        for (uint32_t l = 0; l < 32; l++) w->groups[l] += lanes >> l & 1;
        return true;
    }
    uint32_t kept = 0,
             pending = i->row == TN_PX_copy_wait ? *ptx_value(w, run->body->constants, i->value[0]) : 0;
    for (uint32_t k = 0; k < w->lates; k++) {
        const PtxLate late = w->late[k];
        bool due = i->row == TN_PX_copy_wait_all || (uint64_t)late.group + pending < w->groups[late.lane];
        if (due && (lanes >> late.lane & 1))
            arrive(run, cta, w, &late);
        else
            w->late[kept++] = late;
    }
    w->lates = kept;
    return true;
}
