/* The kernels of the probe (bench/cuda_probe.c), as PTX texts of one entry `probe`. They are not the kernels of models: each is
 * one way of doing what a model's kernels need, small enough to tell what a GPU gives for it.
 *
 * Parameters are device addresses, in the order stated. What a kernel writes can be computed on the host, so that a probe
 * that skips its work is found out.
 *
 * A kernel of the table's instructions (ptx.def) is written for any level, and the machine of the tests runs it. Bulk copies,
 * wgmma and griddepcontrol have no rows: no kernel of a model uses them. They are for sm_90a. */
#ifndef TN_PROBE_TEXT_H
#define TN_PROBE_TEXT_H

#include "codegen/ptx/ptx_writer.h"

#define PROBE_ENTRY "probe"

typedef struct ProbeText {
    TnBuf text; /* a module, with its NUL byte; the caller frees it */
    uint32_t threads, shared;
} ProbeText;

/* Below, `level` is "sm_80" or "sm_90a". */
enum {
    PROBE_THREADS = 256,
    PROBE_READ_BYTES = 64 << 10, /* that a CTA of `read` reads */
    PROBE_K = 2560,              /* columns of `gemv` and `head`: the hidden size of 2B-4T */
    PROBE_HEAD_ROWS = 64,        /* of a CTA of `head` */
    PROBE_STAGE = 16 << 10       /* bytes of a stage of `ring` */
};

/* in, out: each thread adds up 64 words of a CTA's PROBE_READ_BYTES and writes the sum. */
void probe_read(const char *level, ProbeText *t);

/* A wait that is in vain ends after a number of looks, and the results are wrong then: no kernel hangs. */

/* weights, x, out: out[row] = the sum of x times codes 0..3, PROBE_K of them a row, 2 bits each. Bits 2q and 2q + 1 of byte b of
 * word j of chunk c of 16 bytes multiply x[64c + 16j + 4q + b]. `rows` rows a group of 8 lanes, 32 * rows a CTA. */
typedef enum ProbeLoad { PROBE_LD, PROBE_CP_ASYNC, PROBE_BULK } ProbeLoad;
void probe_gemv(const char *level, uint32_t rows, ProbeLoad how, ProbeText *t);

/* weights (f16), x (f32), out (f32): out[row] in the defined order: 32 chains, then a tree. */
void probe_head(const char *level, ProbeText *t);

/* No parameters. With `pdl` it waits for the launch before it and lets the next one start. */
void probe_empty(const char *level, bool pdl, ProbeText *t);

/* counter (0 at the start), out: `grid` CTAs meet `phases` times. out[0] is set to 1 if one of them waited in vain for `spins`
 * looks. */
void probe_barrier(const char *level, uint32_t grid, uint32_t phases, uint32_t spins, ProbeText *t);
/* weights, counter, out: in each phase each CTA reads `stages` stages by bulk copies, `depth` of them under way at any time,
 * also while the CTAs meet. CTA c reads from stage (phase * grid + c) * stages on. out[0] as above; out[1 + thread] is the sum
 * of the words that a thread of all CTAs has read. */
void probe_ring(const char *level, uint32_t grid, uint32_t phases, uint32_t stages, uint32_t depth,
                uint32_t spins, ProbeText *t);

/* out: a warp multiplies tiles of 32x128 codes (all 2) with 128x64 bytes (all 3), `turns` times; each thread writes the sum of
 * its 64 results. mma.sync: codes unpacked in between; wgmma: 64x128 tiles of codes in registers. */
enum { PROBE_MMA_MACS = 32 * 64 * 128, PROBE_WGMMA_MACS = 64 * 128 * 128 };
void probe_mma(const char *level, uint32_t turns, ProbeText *t);
void probe_wgmma(const char *level, uint32_t turns, ProbeText *t);

/* ---- for the files of this folder */
void probe_begin(TnPx *x, const char *level, uint32_t params, ProbeText *t);
void probe_end(TnPx *x, ProbeText *t);
/* An instruction without a row. %0 to %9 in `text` are the values that follow, as they stand in an operand. */
#define PROBE_RAW(x, text, ...) probe_raw((x), (text), TN_PX_OPERANDS(__VA_ARGS__))
void probe_raw(TnPx *x, const char *text, const TnPxV *v, uint32_t n);
TnPxV probe_parameter(TnPx *x, uint32_t i);
/* base + scale * index */
TnPxV probe_index(TnPx *x, TnPxV base, TnPxV index, uint32_t scale);
/* Thread 0 waits until `goal` CTAs have come to the counter. */
void probe_meet(TnPx *x, TnPxV counter, TnPxV goal, TnPxV out, uint32_t spins);
/* A barrier in shared memory for bulk copies: its address. One thread has made it when this returns. */
void probe_make_mbarriers(TnPx *x, TnPxV thread, uint32_t at, uint32_t n);
/* Waits until the phase of that parity is complete. left: the looks in vain that the thread has left, of PROBE_LOOKS at first. */
enum { PROBE_LOOKS = 1 << 18 };
void probe_await(TnPx *x, TnPxV mbarrier, TnPxV parity, TnPxV left);

#endif
