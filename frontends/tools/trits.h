/* Statistics of ternary weights, read from the bytes of a file. */
#ifndef TN_TRITS_H
#define TN_TRITS_H

#include "frontends/gguf/gguf.h"

typedef struct TnTrits {
    uint64_t rows, cols;
    uint64_t minus, zero, plus; /* weights -1, 0, +1 */
    uint64_t bad;               /* codes 3 */
    bool two;                   /* these are weights of +2, else they are invalid */
    uint64_t dead_rows;         /* all zero */
    bool *dead;                 /* [rows]; free() with tn_trits_free */
    uint32_t n_scales;          /* number of different scales of blocks that are not all zero */
    float scale_lo, scale_hi;   /* their range; 0 if there are none */
    bool dense;                 /* stored as floats that are -s, 0 or s */
} TnTrits;

/* Reads every weight of a matrix in a ternary encoding, or in f32, f16, bf16 if the values are -s, 0 and s.
 * Returns false for any other (then *out is empty). Packed codes are counted without unpacking, 32 at a time:
 * a model of 2 G weights takes a tenth of a second plus the time to read it. */
bool tn_trits_read(const TnGgufTensor *t, TnTrits *out);
void tn_trits_free(TnTrits *s);

#endif
