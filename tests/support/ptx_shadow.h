/* Who touched a byte last: how the machine finds races.
 *
 * A tag names a CTA, a thread of it and a moment. Each byte has the tag of its last writer. Each aligned word of 4 bytes has
 * one of its last readers, with the bytes they read; two readers become "several". Moments count the barriers of a CTA, so
 * a tag from before the last barrier that both threads took part in is harmless.
 *
 *   bits 0..3    bytes of the word (readers only)
 *   bits 4..15   thread; or PTX_WARP + a warp, PTX_SEVERAL, PTX_ATOMICS: several by atom; or PTX_LATE + a thread, by a
 *                cp.async under way; or PTX_ATOMIC + a thread, by atom
 *   bits 16..39  moment; of PTX_LATE the last one of all
 *   bits 40..63  CTA + 1; PTX_ANY_CTA: several; 0: nobody
 */
#ifndef TN_TEST_PTX_SHADOW_H
#define TN_TEST_PTX_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

enum { PTX_WARP = 1024, PTX_ATOMICS = 2046, PTX_SEVERAL = 2047, PTX_LATE = 2048, PTX_ATOMIC = 3072 };
enum { PTX_MOMENTS = 1 << 24, PTX_ANY_CTA = (1 << 24) - 1 };

/* Who touches something now. */
typedef struct PtxWho {
    uint32_t cta;    /* + 1 */
    uint32_t thread; /* or PTX_WARP + warp: several of its lanes read the same */
    uint32_t warp;   /* of the thread */
    uint32_t now;    /* moment */
    /* accesses before these moments are ordered by a barrier of the block, or of this warp */
    uint32_t since_block, since_warp;
    bool atomic;
    bool
        shared; /* shared memory: tags of other CTAs are old ones, and bytes without a tag have not been written */
    bool alone; /* do not compare with other CTAs */
} PtxWho;

/* A tag of `who`, for these bytes of a word (readers only), and its parts. */
static inline uint64_t ptx_tag(const PtxWho *who, uint32_t mask) {
    uint32_t thread = who->thread + (who->atomic ? PTX_ATOMIC : 0);
    return (uint64_t)who->cta << 40 | (uint64_t)who->now << 16 | (uint64_t)thread << 4 | mask;
}
static inline uint32_t ptx_tag_cta(uint64_t tag) {
    return (uint32_t)(tag >> 40);
}
static inline uint32_t ptx_tag_moment(uint64_t tag) {
    return (uint32_t)(tag >> 16) & (PTX_MOMENTS - 1);
}
static inline uint32_t ptx_tag_thread(uint64_t tag) {
    return (uint32_t)(tag >> 4) & 4095;
}
/* The usual case, which many bytes share: the same CTA, before the last barrier of all. */
static inline bool ptx_tag_is_old(uint64_t tag, const PtxWho *who) {
    return (tag >> 16) - ((uint64_t)who->cta << 24) < who->since_block;
}

/* What is wrong: with `other`, the tag of who touched it before. */
typedef enum PtxClash {
    PTX_NO_CLASH,
    PTX_UNWRITTEN,
    PTX_AFTER_WRITE,
    PTX_AFTER_READ,
    PTX_TOO_EARLY
} PtxClash;

/* Bytes [at, at + bytes) of a block are read or written; reads[at / 4] and writes[at] are its tags. writes may be NULL where
 * nothing was written, and reads where no reader counts. All within one aligned block of 16 bytes. */
PtxClash ptx_shadow_read(uint64_t *reads, const uint64_t *writes, uint32_t at, uint32_t bytes,
                         const PtxWho *who, uint64_t *out_other);
PtxClash ptx_shadow_write(const uint64_t *reads, uint64_t *writes, uint32_t at, uint32_t bytes,
                          const PtxWho *who, uint64_t *out_other);
/* The same for whole words that a plain read finds in the usual state. False, with nothing changed but tags of readers: ask
 * ptx_shadow_read. */
static inline bool ptx_shadow_read_words(uint64_t *reads, const uint64_t *writes, uint32_t at, uint32_t bytes,
                                         const PtxWho *who) {
    uint64_t mine = ptx_tag(who, 15), several = (mine & ~(uint64_t)0xffff) | (uint64_t)PTX_SEVERAL << 4 | 15;
    const uint64_t any = (uint64_t)PTX_ANY_CTA << 40 | (uint64_t)PTX_SEVERAL << 4 | 15;
    if (who->atomic || bytes % 4) return false;
    for (uint32_t i = at; writes && i < at + bytes; i++)
        if (!ptx_tag_is_old(writes[i], who) && (who->shared || writes[i])) return false;
    for (uint32_t i = at / 4; reads && i < (at + bytes) / 4; i++) {
        uint64_t tag = reads[i];
        if (tag == mine || tag == several || tag == any) continue;
        if (!tag || ptx_tag_is_old(tag, who))
            reads[i] = mine;
        else if (!who->shared && ptx_tag_cta(tag) != who->cta)
            reads[i] = any;
        else
            return false;
    }
    return true;
}

/* Bytes that a cp.async will write: nobody may touch them before it is complete. */
void ptx_shadow_late(uint64_t *writes, uint32_t at, uint32_t bytes, const PtxWho *who);

/* They are there: `who` has written them. */
void ptx_shadow_arrive(uint64_t *writes, uint32_t at, uint32_t bytes, const PtxWho *who);

/* "thread 5", "CTA 3", "several threads" .. of a tag. */
const char *ptx_shadow_name(uint64_t tag, const PtxWho *who, char room[48]);

#endif
