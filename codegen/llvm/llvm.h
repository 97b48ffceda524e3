/* What the llvm target offers to other targets that have their own code for part of a kernel: LLVM emits the
 * rest of the kernel, which calls that code by name. No LLVM type appears here. */
#ifndef TN_LLVM_H
#define TN_LLVM_H

#include "codegen/codegen.h"

/* Like TnTarget.emit; `given` has the symbols of code that is in *image already. */
TernStatus tn_llvm_emit(TnEmitJob *jobs, uint32_t n, const char *level, const TnFlat *given, TnBuf *image,
                        TnProgressFn *progress, void *user, TernError *err);
/* Like TnTarget.show. Code that LLVM did not make is shown as bytes. */
TernStatus tn_llvm_show(TnEmitJob *jobs, uint32_t n, const char *level, const char *kind, const TnBuf *image,
                        const TnFlat *given, TnBuf *out, TernError *err);

/* ---- The small GEMMs of attention: C[n][m] = sum over k of A[k][m] * B[n][k], all f32 and dense. Each
 * output is one chain of fma from +0 in the order of k. The code is a function void (const float *a, const
 * float *b, float *c) in the machine's C calling convention; the pointers are 64-aligned. Kernels of a target
 * that gives code (TnTarget.given) call it by `symbol`, which begins with the target's name. All other
 * kernels use LLVM's own. */
typedef struct TnSmallGemm {
    int64_t m, n, k;
    char symbol[48];
} TnSmallGemm;
/* Fills out[] with the two GEMMs that an attend kernel uses for many rows at once, named for `target`, and
 * returns how many. Returns 0 if the kernel is not an attend or does not take many rows at once on this
 * level. */
uint32_t tn_attend_gemms(const TnGraph *g, uint32_t kernel, const char *level, const char *target,
                         TnSmallGemm out[2]);
/* Bytes of the level's widest vector register if the level is for x86-64, else 0. */
int tn_llvm_x86_bytes(const char *level);

#endif
