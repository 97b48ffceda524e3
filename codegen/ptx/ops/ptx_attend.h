/* What attend, attend_blocks and attend_join share: a block of 64 positions of one query head, by one warp. */
#ifndef TN_PTX_ATTEND_H
#define TN_PTX_ATTEND_H

#include "codegen/ptx/ops/ptx_ops.h"

/* The sizes and operands of an attend, and what its warps have in shared memory. */
typedef struct TnPtxAttend {
    uint32_t heads, group, head; /* query heads; those of one kv head; head dim */
    uint32_t each;               /* query heads of a unit */
    uint32_t size;               /* bytes of an element of the caches */
    int64_t window;
    float scale;
    TnRef q, k, v, pos, slot, table;
    TnPxV lane, warp; /* r */
    TnPxV p, weight;  /* S: this warp's 64 values p; its 64 factors of v, which are p but for int8 */
} TnPtxAttend;

#define TN_PTX_ATTEND_HEAD 512
enum { TN_PTX_ATTEND_WARPS = 8 };

/* Sets b->x.threads. */
TnPtxAttend tn_ptx_attend_of(TnPtx *b);

/* The positions that a row sees: r. */
typedef struct TnPtxSpan {
    TnPxV first, last, b0, b1;
} TnPtxSpan;
TnPtxSpan tn_ptx_attend_span(TnPx *x, TnPxV pos, int64_t window);

/* A block of a row: its pages' parts of the kv head, and its positions lo .. hi. */
typedef struct TnPtxBlock {
    TnPxV q;      /* G: the query head */
    TnPxV k, v;   /* G */
    TnPxV lo, hi; /* r */
} TnPtxBlock;
/* row, block: r; h: the query head, r. */
TnPtxBlock tn_ptx_attend_block(TnPtx *b, const TnPtxAttend *a, const TnPtxSpan *span, TnPxV row, TnPxV block,
                               TnPxV h);

/* Scores of a lane's positions 2l and 2l + 1 (f), and the largest of all unmasked ones. */
typedef struct TnPtxScores {
    TnPxV s[2], in[2], most; /* in: p */
} TnPtxScores;
TnPtxScores tn_ptx_attend_scores(TnPtx *b, const TnPtxAttend *a, const TnPtxBlock *k);

/* A lane's dims of a head: `wide` neighbours of each of `n` runs of 32 * wide dims. */
typedef struct TnPtxDims {
    uint32_t wide, n;
    TnPxV value[2 * (TN_PTX_ATTEND_HEAD / 32)]; /* f: variables */
} TnPtxDims;
TnPtxDims tn_ptx_attend_dims(TnPtx *b, const TnPtxAttend *a);
/* Writes a lane's dims to a row of floats at `to` (G). */
void tn_ptx_attend_store(TnPtx *b, const TnPtxAttend *a, const TnPtxDims *o, TnPxV to);

/* From the scores the sum l of p (f, in every lane), and p * v in o. Ends with a barrier of the warp. */
TnPxV tn_ptx_attend_values(TnPtx *b, const TnPtxAttend *a, const TnPtxBlock *k, const TnPtxScores *s,
                           TnPtxDims *o);

#endif
