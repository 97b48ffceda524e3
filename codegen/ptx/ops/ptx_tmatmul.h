/* What the files of tmatmul and tmatmul_groups share. */
#ifndef TN_PTX_TMATMUL_H
#define TN_PTX_TMATMUL_H

#include "codegen/ptx/skeletons/ptx_cols.h"

/* The kernel for many rows of activations, and whether it is to be taken: no prologue makes the rows, and the words of a block
 * fit in shared memory. ptx_tmatmul_tiles.c. */
bool tn_ptx_tmatmul_takes_tiles(const TnPtx *b);
void tn_ptx_tmatmul_tiles(TnPtx *b);
/* The same of tmatmul_groups: ptx_groups_tiles.c. */
bool tn_ptx_groups_take_tiles(const TnPtx *b);
void tn_ptx_groups_tiles(TnPtx *b);

#endif
