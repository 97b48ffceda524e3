/* What compiled code sees. This header includes nothing of the runtime and is shared with the compiler.
 *
 * A kernel is a function of two pointers. It reads and writes only the operands of its launch and the
 * scratch of its tile. It has no globals, imports nothing, never blocks and never fails: everything that
 * could go wrong (ids, positions, sizes) is checked before the launch. Any threads may call it, for any
 * split of its units into tiles, with the same result to the bit. */
#ifndef TN_ABI_KERNEL_H
#define TN_ABI_KERNEL_H

#include <stdint.h>
#include "runtime/abi/levels.h"

/* Symbols: the sizes of a step and of its session, in the order of TnLaunch.sym. */
enum { TN_ABI_T, TN_ABI_R, TN_ABI_K, TN_ABI_H, TN_ABI_S, TN_ABI_P, TN_ABI_N, TN_ABI_L, TN_ABI_SYMS };

/* In a device's own memory the symbols are followed by words of 64 bits for its kernels, which read as zero when a step
 * begins. */
enum {
    TN_ABI_SATURATED = TN_ABI_SYMS, /* the number of values that kv_put stored as +-65504 of f16 */
    TN_ABI_DONE,                    /* 0 between launches: CTAs that are done with their part of a row */
    TN_ABI_PARTS = 16,              /* 0 between launches: what each found, TN_ABI_PARTS_MOST words */
    TN_ABI_PARTS_MOST = 32,
    TN_ABI_WORDS = TN_ABI_PARTS + TN_ABI_PARTS_MOST
};

typedef struct TnLaunch {
    void *const
        *ptr; /* operand addresses, 64-aligned, in the order of the program's operand list: reads first */
    const int64_t *sym; /* TN_ABI_SYMS values, on a device TN_ABI_WORDS */
} TnLaunch;

typedef struct TnTile {
    int64_t lo, hi; /* units [lo, hi) of the launch, lo < hi */
    void *scratch;  /* this worker's own, 64-aligned, as large as the launch asks */
    /* 1: the scratch is as this launch, with the same symbols, left it after an earlier tile of this worker; or one of
     * those below; else 0 */
    int64_t scratch_valid;
} TnTile;

/* Which rows of tables a tile of one unit is about to read, so that they need not be read where the table's file is mapped,
 * page fault by page fault. If scratch_valid is TN_TILE_LISTS, the kernel of a launch with TN_LAUNCH_LISTS does no work. It
 * fills in a list at the beginning of its scratch, where n is 0 before the call, and reads no table for that. So it may name
 * rows that it will not need, and leave out some that it will. After the list lies room for the bytes of rows. Whoever has
 * brought the first `brought` of them there calls it with TN_TILE_LISTED, and it reads those rows there. */
enum { TN_TILE_LISTS = 2, TN_TILE_LISTED = 3, TN_ROWS_LISTED = 4091 };
typedef struct TnRowList {
    int64_t n, brought;
    int64_t row_bytes, room; /* bytes of a row, and of what lies after the list: filled in with a row */
    const void *found;       /* the kernel's own */
    const void *row[TN_ROWS_LISTED]; /* by ascending address */
} TnRowList;

typedef void TnKernelFn(const TnLaunch *, const TnTile *);

#endif
