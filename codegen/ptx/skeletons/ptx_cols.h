/* The skeleton of products: a CTA computes the columns of its unit for one block of rows of the step. Units are %ctaid.x and
 * blocks %ctaid.y, of which there is one if a block takes all rows that there can be.
 *
 *   the unit's part and columns            one branch a part: what follows is emitted for each part
 *   the block's first row
 *     begin        the product issues loads of weights, which do not depend on the rows
 *     the input    rows of the input come to shared memory: copied, or made by the prologue
 *     finish       the product writes the root's words to shared memory
 *     epilogue     a row a warp, or row by row
 *
 * Loads in `begin` are under way while the prologue computes: ptxas does not move loads across a barrier. */
#ifndef TN_PTX_COLS_H
#define TN_PTX_COLS_H

#include "codegen/ptx/skeletons/ptx_frame.h"
#include "passes/passes.h"

enum { TN_PTX_ROWS = 8 /* most rows of a block */ };

/* A unit of one part. A slot is a column of one of the part's bases: base i has slots i * grain to (i + 1) * grain. */
typedef struct TnPtxUnit {
    const TnPart *part;
    TnPxV lo, n;           /* r: first column in the part, columns */
    uint32_t grain, slots; /* slots = bases * grain */
    uint32_t rows;         /* of a block */
    TnPxV row0, count;     /* r: the block's first row; rows of the step */
    TnPxV x[TN_PTX_ROWS];  /* S: rows of the input. Rows after the step's last are copies of it */
    TnPxV words;           /* S: the word of slot s of the block's row r is at words + (r * slots + s) * 4 */
    void *state;           /* the product's own */
} TnPtxUnit;

typedef struct TnPtxProduct {
    uint32_t threads, rows; /* of a CTA; of a block, at most TN_PTX_ROWS if they are copied */
    /* Bytes of an input row that are copied to shared memory, or made there by the prologue, a multiple of 4; and bytes that
     * they take there, those between being zeros. 0: `finish` reads the rows itself, and there is no prologue. */
    uint32_t copied, room;
    uint32_t scratch; /* bytes from u->words on that `finish` may use before it writes the words */
    void (*begin)(TnPtx *b, TnPtxUnit *u);
    void (*finish)(TnPtx *b, TnPtxUnit *u); /* all threads; the skeleton has barriers around it */
    void *state;                            /* the product's own; u->state */
} TnPtxProduct;

/* Emits the kernel's body. */
void tn_ptx_by_columns(TnPtx *b, const TnPtxProduct *p);
/* Whether the kernel's root gets its rows from a prologue. A block has one row then. */
bool tn_ptx_has_prologue(const TnPtx *b);
/* The most rows that the root can have. */
int64_t tn_ptx_most_rows(const TnPtx *b);
/* An address in a register of its own, and that register moved on by some bytes: for loops. */
TnPxV tn_ptx_cursor(TnPtx *b, TnPxV at);
void tn_ptx_advance(TnPtx *b, TnPxV cursor, uint32_t bytes);
/* The row of the weights that belongs to slot `s` (r); *out_valid: whether the unit has that slot. Rows of slots that it has
 * not are some row of the unit. */
TnPxV tn_ptx_slot_row(TnPtx *b, const TnPtxUnit *u, TnPxV s, TnPxV *out_valid);

#endif
