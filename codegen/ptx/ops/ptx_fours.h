/* The columns of a row by fours, for rows of 16-aligned f32 values whose number is a multiple of four: thread t has the fours
 * t, t + threads, t + 2 threads, .. A loop over them is written out, so that all its loads can be under way at once.
 *
 *   for (uint32_t i = 0; i < c.n; i++) {
 *       bool some = tn_ptx_four(b, &c, i);          the last four is not every thread's
 *       .. tn_ptx_four_at(b, &c, base, i) ..
 *       tn_ptx_four_end(b, &c, some);
 *   } */
#ifndef TN_PTX_FOURS_H
#define TN_PTX_FOURS_H

#include "codegen/ptx/skeletons/ptx_frame.h"

typedef struct TnPtxFours {
    uint32_t n;   /* of a thread, at most */
    TnPxV inside; /* p: whether this thread has the last; kind 0: every thread has */
    TnPxIf last;
} TnPtxFours;

static inline bool tn_ptx_by_fours(int64_t columns) {
    return columns % 4 == 0;
}
TnPtxFours tn_ptx_fours(TnPtx *b, int64_t columns);
bool tn_ptx_four(TnPtx *b, TnPtxFours *c, uint32_t i);
void tn_ptx_four_end(TnPtx *b, TnPtxFours *c, bool some);
/* The address of four number i of this thread, `bytes` a four; base as in tn_px_get. */
TnPxV tn_ptx_four_at(TnPtx *b, TnPxV base, uint32_t i, uint32_t bytes);
/* f32 values at an address. */
void tn_ptx_get4(TnPtx *b, TnPxV at, TnPxV out[4]);
void tn_ptx_put4(TnPtx *b, TnPxV at, const TnPxV v[4]);

#endif
