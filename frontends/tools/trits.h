/* Statistics of ternary weights, read from a file's own bytes. */
#ifndef TN_TRITS_H
#define TN_TRITS_H

#include "frontends/gguf/gguf.h"

typedef struct TnTrits {
    uint64_t rows, cols;
    uint64_t minus, zero, plus; /* weights -1, 0, +1 */
    uint64_t bad;               /* codes that mean none of them (3): nothing, or +2 in Q2_0 and PQ2_0 */
    uint64_t dead_rows;         /* all zero */
    bool *dead;                 /* [rows]; free() with tn_trits_free */
    uint32_t n_scales;          /* different scales of blocks that hold any weight but zero */
    float scale_lo, scale_hi;   /* of them; 0 where there is none */
    bool dense;                 /* stored as floats that are -s, 0 or s */
} TnTrits;

/* Reads every weight of a matrix: of a ternary encoding, or f32, f16, bf16 whose values are -s, 0 and s. False if it is
 * none of these (then *out is empty). Packed codes are counted as they lie, 32 at a time: a model of 2 G weights
 * takes a tenth of a second and the time of reading it. */
bool tn_trits_read(const TnGgufTensor *t, TnTrits *out);
void tn_trits_free(TnTrits *s);

#endif
