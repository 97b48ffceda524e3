#include "support/ptx_shadow.h"

#include <stdio.h>

static bool is_late(uint64_t tag) {
    return ptx_tag_thread(tag) >= PTX_LATE && ptx_tag_thread(tag) < PTX_ATOMIC;
}
static bool is_atomic(uint64_t tag) {
    return ptx_tag_thread(tag) >= PTX_ATOMIC || ptx_tag_thread(tag) == PTX_ATOMICS;
}

/* Whether the access of a tag and that of `who` are without order. */
static bool clashes(uint64_t tag, const PtxWho *who) {
    uint32_t thread = ptx_tag_thread(tag);
    if (thread >= PTX_ATOMIC) thread -= PTX_ATOMIC;
    if (ptx_tag_cta(tag) == 0 || (who->atomic && is_atomic(tag))) return false;
    if (ptx_tag_cta(tag) != who->cta) return !who->shared && !who->alone;
    if (thread == who->thread && thread < PTX_WARP) return false;
    bool same_warp = thread < PTX_WARP ? thread / 32 == who->warp : thread == PTX_WARP + who->warp;
    return ptx_tag_moment(tag) >= (same_warp ? who->since_warp : who->since_block);
}

static PtxClash check_writer(uint64_t tag, const PtxWho *who) {
    if (ptx_tag_cta(tag) == who->cta && is_late(tag)) return PTX_TOO_EARLY;
    return clashes(tag, who) ? PTX_AFTER_WRITE : PTX_NO_CLASH;
}

/* The tag of a word after one more reader. */
static uint64_t merged(uint64_t tag, uint64_t mine, const PtxWho *who) {
    uint64_t mask = (tag | mine) & 15;
    if (ptx_tag_cta(tag) == 0 || (who->shared && ptx_tag_cta(tag) != who->cta)) return mine;
    if (ptx_tag_cta(tag) != who->cta) return (uint64_t)PTX_ANY_CTA << 40 | (uint64_t)PTX_SEVERAL << 4 | mask;
    if (ptx_tag_moment(tag) < who->since_block) return mine;
    uint32_t a = ptx_tag_thread(tag), b = ptx_tag_thread(mine), thread = PTX_SEVERAL;
    if (a == b)
        thread = a;
    else if (a < PTX_WARP + 32 && b < PTX_WARP + 32 &&
             (a < PTX_WARP ? a / 32 : a - PTX_WARP) == (b < PTX_WARP ? b / 32 : b - PTX_WARP))
        thread = PTX_WARP + who->warp;
    return (mine & ~(uint64_t)0xffff) | (uint64_t)thread << 4 | mask;
}

PtxClash ptx_shadow_read(uint64_t *reads, const uint64_t *writes, uint32_t at, uint32_t bytes,
                         const PtxWho *who, uint64_t *out_other) {
    for (uint32_t i = 0; writes && i < bytes; i++) {
        uint64_t tag = writes[at + i];
        if (ptx_tag_is_old(tag, who)) continue;
        *out_other = tag;
        if (who->shared && ptx_tag_cta(tag) != who->cta) return PTX_UNWRITTEN;
        PtxClash clash = check_writer(tag, who);
        if (clash) return clash;
    }
    for (uint32_t i = at & ~3u; reads && i < at + bytes; i += 4) {
        uint32_t lo = i < at ? at - i : 0, hi = i + 4 < at + bytes ? 4 : at + bytes - i;
        uint64_t mine = ptx_tag(who, ((1u << hi) - 1) & ~((1u << lo) - 1)), *tag = &reads[i / 4];
        if (*tag != mine) *tag = merged(*tag, mine, who);
    }
    return PTX_NO_CLASH;
}

PtxClash ptx_shadow_write(const uint64_t *reads, uint64_t *writes, uint32_t at, uint32_t bytes,
                          const PtxWho *who, uint64_t *out_other) {
    uint64_t mine = ptx_tag(who, 0);
    for (uint32_t i = 0; i < bytes; i++) {
        uint64_t tag = writes[at + i], read = reads ? reads[(at + i) / 4] : 0;
        if (!ptx_tag_is_old(tag, who)) {
            PtxClash clash = check_writer(tag, who);
            *out_other = tag;
            if (clash) return clash;
        }
        if ((read >> (at + i) % 4 & 1) && !ptx_tag_is_old(read, who) && clashes(read, who)) {
            *out_other = read;
            return PTX_AFTER_READ;
        }
        bool others = who->atomic && !ptx_tag_is_old(tag, who) && is_atomic(tag) &&
                      ptx_tag_thread(tag) != ptx_tag_thread(mine);
        writes[at + i] = others ? (mine & ~(uint64_t)0xffff) | (uint64_t)PTX_ATOMICS << 4 : mine;
    }
    return PTX_NO_CLASH;
}

void ptx_shadow_late(uint64_t *writes, uint32_t at, uint32_t bytes, const PtxWho *who) {
    for (uint32_t i = 0; i < bytes; i++)
        writes[at + i] = (ptx_tag(who, 0) + ((uint64_t)PTX_LATE << 4)) | (uint64_t)(PTX_MOMENTS - 1) << 16;
}

void ptx_shadow_arrive(uint64_t *writes, uint32_t at, uint32_t bytes, const PtxWho *who) {
    for (uint32_t i = 0; i < bytes; i++) writes[at + i] = ptx_tag(who, 0);
}

const char *ptx_shadow_name(uint64_t tag, const PtxWho *who, char room[48]) {
    uint32_t thread = ptx_tag_thread(tag) % PTX_WARP;
    if (ptx_tag_cta(tag) == PTX_ANY_CTA)
        snprintf(room, 48, "other CTAs");
    else if (ptx_tag_cta(tag) != who->cta)
        snprintf(room, 48, "CTA %u", ptx_tag_cta(tag) - 1);
    else if (ptx_tag_thread(tag) >= PTX_LATE || ptx_tag_thread(tag) < PTX_WARP)
        snprintf(room, 48, "thread %u", thread);
    else if (thread < 32)
        snprintf(room, 48, "lanes of warp %u", thread);
    else
        snprintf(room, 48, "several threads");
    return room;
}
