/* Lines of a block of quantised rows, which come to shared memory by cp.async while those before them are multiplied.
 *
 *   open                      the first lines are under way
 *   for each line
 *     TnPxV at = tn_ptx_ring_next(..)     all threads: the line is there, and a later one is under way
 *     multiply                            reads row r's bytes at `at` + r * apart
 *   tn_ptx_ring_close         no copy is left, and no thread reads the ring
 *
 * There are three places. A line is copied into the place of the line before the current one, which nobody reads any more once
 * all threads have met to read the current one: so there is one barrier a line. */
#ifndef TN_PTX_RING_H
#define TN_PTX_RING_H

#include "codegen/ptx/skeletons/ptx_cols.h"

enum {
    TN_PTX_RING_ROWS = 64, /* rows of a block */
    TN_PTX_RING_PLACES = 3,
    TN_PTX_RING_PIECES = 8 /* most pieces of 16 bytes that a thread copies of a line */
};

typedef struct TnPtxRing {
    uint32_t head;  /* bytes of a row of the operand before its lines */
    uint32_t line;  /* bytes of a line of one row: 64, 128 or 256 */
    uint32_t lines; /* of a row */
    /* Words that come with a line, a column of all rows each: 0, or 2 with 128 threads. Word k of line i is at k * part + 4 i of
     * a row of the operand, and at 64 * apart + 256 k + 4 row of a place. */
    uint32_t words, part;
    /* inside */
    uint32_t pieces;
    TnPxV from[TN_PTX_RING_PIECES]; /* G: cursors of this thread's pieces */
    TnPxV to;                       /* S: the first of them in the first place */
    TnPxV word, word_to;            /* the same of this thread's word */
    TnPxV place, full, fill;        /* S: the first place. r: offsets of the places to read and to fill */
    TnPxV left;                     /* r: lines of which no copy was started */
} TnPtxRing;

/* Bytes between the rows of a line: 16 words more than a multiple of 32, so that 8 lanes that read 16 bytes each, 4 of a row,
 * meet in no bank. */
static inline uint32_t tn_ptx_ring_apart(uint32_t line) {
    return line == 64 ? 64 : line + 64;
}
static inline uint32_t tn_ptx_ring_bytes(uint32_t line, uint32_t words) {
    return TN_PTX_RING_PLACES * TN_PTX_RING_ROWS * (tn_ptx_ring_apart(line) + 4 * words);
}
/* Rows of the block that lie after the step's last are that one. */
TnPxV tn_ptx_ring_row(TnPtx *b, const TnPtxUnit *u, TnPxV i);
/* head, line, lines, words and part are set; `place` is where tn_ptx_ring_bytes bytes of shared memory are, which nobody uses. */
void tn_ptx_ring_open(TnPtx *b, const TnPtxUnit *u, TnPtxRing *o, TnPxV place);
TnPxV tn_ptx_ring_next(TnPtx *b, TnPtxRing *o);
void tn_ptx_ring_close(TnPtx *b);

#endif
