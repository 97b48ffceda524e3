/* Ternary matrices as files hold them, written element by element from the formats alone; ir/ is held against it. */
#ifndef TN_TEST_GGUF_TRITS_H
#define TN_TEST_GGUF_TRITS_H

#include <stddef.h>
#include <stdint.h>

typedef struct TnGtMatrix {
    int64_t rows, cols;
    const int8_t *w; /* -1, 0, 1, or 2 where the type has room; row by row */
    const float *
        scale; /* one a row, one a block of a row, or one, as the type has it; values of f16 but for iq2bn and tl */
    uint8_t *out; /* zeros */
    size_t bytes; /* of out */
} TnGtMatrix;

void tn_gt_iq1bn(const TnGtMatrix *m);
void tn_gt_iq2bn(const TnGtMatrix *m);
void tn_gt_iq2bn4(const TnGtMatrix *m);
void tn_gt_ptq1(const TnGtMatrix *m);
void tn_gt_q2(const TnGtMatrix *m, int64_t block); /* Q2_0 and PQ2_0: blocks of 64 or 128 */
/* Tiles of bm_tile rows and bk columns, of tl1 in blocks of bm rows. */
void tn_gt_tl1(const TnGtMatrix *m, int64_t bm_tile, int64_t bk, int64_t bm);
void tn_gt_tl2(const TnGtMatrix *m, int64_t bm_tile, int64_t bk);
/* The codes alone: their scale lies 32 bytes before the end. */
void tn_gt_i2s64(const TnGtMatrix *m);
void tn_gt_i2s4(const TnGtMatrix *m);
/* Columns that have a scale together, by the number of a type: those of a block, or UINT64_MAX for a row. 0: the matrix. */
uint64_t tn_gt_group(uint32_t type);
/* By the number of a type, GW_T_TL1 and the like, with the scales in order; nothing for others. */
void tn_gt_pack(uint32_t type, const int8_t *t, uint64_t rows, uint64_t cols, const float *scales,
                uint8_t *out);

#endif
