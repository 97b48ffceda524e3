/* Trials of rows of ptx.def: a kernel that does one row on inputs at its edges, and what the table says comes out. `tern devices
 * --check` runs them on a GPU.
 *
 * Inputs. Pairs of awkward values first, each with each: zeros of both signs, subnormals, the ends of the range, halves between
 * two integers and between two f16, NaN, infinities; then random bits, and floats close to one, whose sums and products round
 * in every way.
 *
 * Integers are divided by zero too: PTX leaves open what comes out, and the table states what the code of ptxas gives: all bits
 * set, of a remainder too.
 *
 * What comes out is equal bit for bit, but all NaNs of a float are equal: no result of a model depends on which it is.
 *
 * A kernel also needs other rows, to reach its operands: ld_param, mad, mad_wide, ld, st and a few more. If one of those is
 * wrong, many trials differ. Of bar_warp and fence, which order accesses, a trial sees only that they do no harm. */
#ifndef TN_PTX_TRIAL_H
#define TN_PTX_TRIAL_H

#include "codegen/ptx/ptx_writer.h"

#define TN_PTX_TRIAL_ENTRY "trial" /* entry of each kernel; parameters: the addresses of `in` and `out` */

typedef struct TnPtxTrial {
    TnPxRow row;
    TnBuf text;                             /* a module, with its NUL byte */
    uint32_t grid, grid_y, threads, shared; /* grid_y 0: 1 */
    uint8_t *in, *out, *expected;           /* out is to be copied to the device too */
    size_t in_bytes, out_bytes;             /* of expected as well */
    uint32_t record;                        /* bytes of out that belong to one thread */
    uint32_t operands; /* values of 8 bytes that one thread reads, for messages; 0: something else */
    char kind;         /* letter of the result; f, g and h: NaNs are equal */
} TnPtxTrial;

/* The trial of a row for a level of GPUs. Free it with tn_ptx_trial_free. */
void tn_ptx_trial_make(TnPxRow row, const char *level, TnPtxTrial *out);
void tn_ptx_trial_free(TnPtxTrial *t);
/* Compares `out` with `expected`. False: *text gets what differs first, as a line without an end. */
bool tn_ptx_trial_judge(const TnPtxTrial *t, TnBuf *text);

/* The GPU on which a check has found that the row does what the table says ("H200, driver 13.0"), or NULL: it has never run
 * on silicon (ptx_seen.def). */
const char *tn_ptx_seen(TnPxRow row);

/* ---- kernels of one row. The letters of a pattern of ptx.def without its braces; returns their number. */
uint32_t tn_ptx_letters(const char *pattern, char out[16]);
/* A value of a kind r f d g h p from memory: a g by its 64 bits, a p as a word that is 0 or not. And back. */
TnPxV tn_ptx_loaded(TnPx *x, TnPxV at, char kind);
void tn_ptx_stored(TnPx *x, TnPxV at, TnPxV v);

/* ---- ptx_inputs.c: a value for an operand of a kind r f h d g p, as the low bits of 64. */
/* The number of awkward values of a kind, and one of them. */
uint32_t tn_ptx_awkward_count(char kind);
uint64_t tn_ptx_awkward(char kind, uint32_t i);
/* Any value: awkward ones and others. The same state gives the same values. */
uint64_t tn_ptx_any(char kind, uint64_t *state);
uint64_t tn_ptx_random(uint64_t *state);

/* ---- ptx_meant.c: what the table says. */
/* A row of class ALU: the bits of its result, the lowest first if there are several. v: the operands in order. */
uint64_t tn_ptx_meant(TnPxRow row, const uint64_t *v);
/* A row of class LOAD, STORE or ATOM. */
typedef enum TnPtxSpace { TN_PTX_GLOBAL, TN_PTX_SHARED, TN_PTX_PARAM } TnPtxSpace;
typedef enum TnPtxUpdate { TN_PTX_NONE, TN_PTX_ADD, TN_PTX_MAX, TN_PTX_MIN, TN_PTX_CAS } TnPtxUpdate;
typedef struct TnPtxAccess {
    TnPtxSpace space;
    uint32_t bytes, count; /* of an element; elements */
    bool is_signed;
    TnPtxUpdate update; /* of ATOM */
} TnPtxAccess;
TnPtxAccess tn_ptx_access(TnPxRow row);
uint32_t tn_ptx_updated(TnPtxUpdate how, uint32_t old, uint32_t b, uint32_t c);

#endif
