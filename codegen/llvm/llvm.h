/* What the llvm target offers to targets that bring code of their own for a part of a kernel: LLVM emits the skeleton, which
 * calls that code by name. Nothing of LLVM is seen here. */
#ifndef TN_LLVM_H
#define TN_LLVM_H

#include "codegen/codegen.h"

/* As TnTarget.emit, with symbols of code that is in *image already. */
TernStatus tn_llvm_emit(TnEmitJob *jobs, uint32_t n, const char *level, const TnFlat *given, TnBuf *image,
                        TnProgressFn *progress, void *user, TernError *err);
/* As TnTarget.show; code made elsewhere is shown as bytes. */
TernStatus tn_llvm_show(TnEmitJob *jobs, uint32_t n, const char *level, const char *kind, const TnBuf *image,
                        const TnFlat *given, TnBuf *out, TernError *err);

/* ---- The small GEMMs of attention. C[n][m] = sum over k of A[k][m] * B[n][k], all f32 and dense; each
 * output is one chain of fma from +0 in the order of k. A function void (const float *a, const float *b, float *c) of the
 * machine's C calling convention; pointers are 64-aligned. Kernels of a target that gives code (TnTarget.given)
 * call them by `symbol`, which begins with its name, all others have their own. */
typedef struct TnSmallGemm {
    int64_t m, n, k;
    char symbol[48];
} TnSmallGemm;
/* The two that an attend kernel is made of where it takes many rows at once; 0 if it does not, or is no attend, on this
 * level. Returns how many; `target` gives them. */
uint32_t tn_attend_gemms(const TnGraph *g, uint32_t kernel, const char *level, const char *target,
                         TnSmallGemm out[2]);
/* Bytes of the widest vector register of a level if it is one of x86-64, else 0. */
int tn_llvm_x86_bytes(const char *level);

#endif
