/* Numbers in the blocks that ggml has for tables and heads, written for tests: a simple rounding, and the exact values of
 * what was written. It is written from the formats, not from ir/, which is compared with it. */
#ifndef TN_TEST_GGUF_BLOCKS_H
#define TN_TEST_GGUF_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

/* Elements and bytes of a block of a type of the file (GW_T_Q4_0 ..); elems is 0 for types that this file does not write. */
typedef struct TnGbBlock {
    uint32_t elems, bytes;
} TnGbBlock;
TnGbBlock tn_gb_block(uint32_t type);
/* Packs n numbers, which must fill whole blocks. `values`, unless NULL, gets the exact values of the packed numbers. */
void tn_gb_pack(uint32_t type, const float *x, size_t n, uint8_t *out, double *values);

#endif
