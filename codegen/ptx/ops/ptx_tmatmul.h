/* What the files of tmatmul share. */
#ifndef TN_PTX_TMATMUL_H
#define TN_PTX_TMATMUL_H

#include "codegen/ptx/skeletons/ptx_cols.h"

/* The kernel for many rows of activations, which no prologue makes: ptx_tmatmul_tiles.c. */
void tn_ptx_tmatmul_tiles(TnPtx *b);

#endif
