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

/* Rows of a table that need not be read where the table's file is mapped, page fault by page fault. The kernel of a launch with
 * TN_LAUNCH_LISTS can do a tile of one unit in several calls, and names the rows that it reads before it reads them: in a list at
 * the beginning of its scratch, where n is 0 before each call. After the list lies room for the bytes of all rows that are
 * listed. The first call has scratch_valid TN_TILE_LISTS. If the kernel has listed no row when a call returns, the unit is
 * done. Else the caller brings the first `brought` of the rows into the room, n of them if it can, and calls again with
 * TN_TILE_LISTED. Then the kernel goes on: it reads these rows there, any that were not brought in the table, and may list
 * more. Between the calls of a unit the scratch is left as it is, except for what is said here. */
enum { TN_TILE_LISTS = 2, TN_TILE_LISTED = 3, TN_ROWS_LISTED = 4092 };
typedef struct TnRowList {
    int64_t n, brought;
    int64_t row_bytes, room; /* bytes of a row, and of what lies after the list: filled in with a row */
    const void *row[TN_ROWS_LISTED];
} TnRowList;

typedef void TnKernelFn(const TnLaunch *, const TnTile *);

#endif
