#include "support/ptx_shadow.h"

#include <stdio.h>

static uint64_t tag_of(const PtxWho *who, uint32_t mask) {
    uint32_t thread = who->thread + (who->atomic ? PTX_ATOMIC : 0);
    return (uint64_t)who->cta << 40 | (uint64_t)who->now << 16 | (uint64_t)thread << 4 | mask;
}

static uint32_t cta_of(uint64_t tag) {
    return (uint32_t)(tag >> 40);
}
static uint32_t moment_of(uint64_t tag) {
    return (uint32_t)(tag >> 16) & (PTX_MOMENTS - 1);
}
static uint32_t thread_of(uint64_t tag) {
    return (uint32_t)(tag >> 4) & 4095;
}

static bool is_late(uint64_t tag) {
    return thread_of(tag) >= PTX_LATE && thread_of(tag) < PTX_ATOMIC;
}
static bool is_atomic(uint64_t tag) {
    return thread_of(tag) >= PTX_ATOMIC || thread_of(tag) == PTX_ATOMICS;
}

/* The usual case, which many bytes share: the same CTA, before the last barrier of all. */
static bool is_old(uint64_t tag, const PtxWho *who) {
    return (tag >> 16) - ((uint64_t)who->cta << 24) < who->since_block && !is_late(tag);
}

/* Whether the access of a tag and that of `who` are without order. */
static bool clashes(uint64_t tag, const PtxWho *who) {
    uint32_t thread = thread_of(tag);
    if (thread >= PTX_ATOMIC) thread -= PTX_ATOMIC;
    if (cta_of(tag) == 0 || (who->atomic && is_atomic(tag))) return false;
    if (cta_of(tag) != who->cta) return !who->shared && !who->alone;
    if (thread == who->thread && thread < PTX_WARP) return false;
    bool same_warp = thread < PTX_WARP ? thread / 32 == who->warp : thread == PTX_WARP + who->warp;
    return moment_of(tag) >= (same_warp ? who->since_warp : who->since_block);
}

static PtxClash check_writer(uint64_t tag, const PtxWho *who) {
    if (cta_of(tag) == who->cta && is_late(tag)) return PTX_TOO_EARLY;
    return clashes(tag, who) ? PTX_AFTER_WRITE : PTX_NO_CLASH;
}

/* The tag of a word after one more reader. */
static uint64_t merged(uint64_t tag, uint64_t mine, const PtxWho *who) {
    uint64_t mask = (tag | mine) & 15;
    if (cta_of(tag) == 0 || (who->shared && cta_of(tag) != who->cta)) return mine;
    if (cta_of(tag) != who->cta) return (uint64_t)PTX_ANY_CTA << 40 | (uint64_t)PTX_SEVERAL << 4 | mask;
    if (moment_of(tag) < who->since_block) return mine;
    uint32_t a = thread_of(tag), b = thread_of(mine), thread = PTX_SEVERAL;
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
        if (is_old(tag, who)) continue;
        *out_other = tag;
        if (who->shared && cta_of(tag) != who->cta) return PTX_UNWRITTEN;
        PtxClash clash = check_writer(tag, who);
        if (clash) return clash;
    }
    for (uint32_t i = at & ~3u; reads && i < at + bytes; i += 4) {
        uint32_t lo = i < at ? at - i : 0, hi = i + 4 < at + bytes ? 4 : at + bytes - i;
        uint64_t mine = tag_of(who, ((1u << hi) - 1) & ~((1u << lo) - 1)), *tag = &reads[i / 4];
        if (*tag != mine) *tag = merged(*tag, mine, who);
    }
    return PTX_NO_CLASH;
}

PtxClash ptx_shadow_write(const uint64_t *reads, uint64_t *writes, uint32_t at, uint32_t bytes,
                          const PtxWho *who, uint64_t *out_other) {
    uint64_t mine = tag_of(who, 0);
    for (uint32_t i = 0; i < bytes; i++) {
        uint64_t tag = writes[at + i], read = reads ? reads[(at + i) / 4] : 0;
        if (!is_old(tag, who)) {
            PtxClash clash = check_writer(tag, who);
            *out_other = tag;
            if (clash) return clash;
        }
        if ((read >> (at + i) % 4 & 1) && !is_old(read, who) && clashes(read, who)) {
            *out_other = read;
            return PTX_AFTER_READ;
        }
        bool others = who->atomic && !is_old(tag, who) && is_atomic(tag) && thread_of(tag) != thread_of(mine);
        writes[at + i] = others ? (mine & ~(uint64_t)0xffff) | (uint64_t)PTX_ATOMICS << 4 : mine;
    }
    return PTX_NO_CLASH;
}

void ptx_shadow_late(uint64_t *writes, uint32_t at, uint32_t bytes, const PtxWho *who) {
    for (uint32_t i = 0; i < bytes; i++) writes[at + i] = tag_of(who, 0) + ((uint64_t)PTX_LATE << 4);
}

void ptx_shadow_arrive(uint64_t *writes, uint32_t at, uint32_t bytes, const PtxWho *who) {
    for (uint32_t i = 0; i < bytes; i++) writes[at + i] = tag_of(who, 0);
}

const char *ptx_shadow_name(uint64_t tag, const PtxWho *who, char room[48]) {
    uint32_t thread = thread_of(tag) % PTX_WARP;
    if (cta_of(tag) == PTX_ANY_CTA)
        snprintf(room, 48, "other CTAs");
    else if (cta_of(tag) != who->cta)
        snprintf(room, 48, "CTA %u", cta_of(tag) - 1);
    else if (thread_of(tag) >= PTX_LATE || thread_of(tag) < PTX_WARP)
        snprintf(room, 48, "thread %u", thread);
    else if (thread < 32)
        snprintf(room, 48, "lanes of warp %u", thread);
    else
        snprintf(room, 48, "several threads");
    return room;
}
