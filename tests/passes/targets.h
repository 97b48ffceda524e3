/* Two targets that emit nothing, so that the passes can be tested without a code generator.
 *
 * "wide" does every kernel on every level but "none", and wants ternary weights as p64 and dense tables as
 * they are. "picky" does attend alone, better than wide, and has no opinion on weights. On level "f16tables"
 * wide wants dense tables as f16 and as f32 on "f32tables"; layout must not let it lose bits. */
#ifndef TESTS_PASSES_TARGETS_H
#define TESTS_PASSES_TARGETS_H

#include <string.h>
#include "passes/passes.h"

static int wide_can(const TnGraph *g, uint32_t kernel, const char *level) {
    (void)g, (void)kernel;
    return strcmp(level, "none") != 0;
}
static TnEnc wide_prefer(const TnType *weight, TnOp reader, const char *level) {
    if (reader == TN_OP_tmatmul) return TN_ENC_p64;
    if (strcmp(level, "f16tables") == 0) return TN_ENC_f16;
    if (strcmp(level, "f32tables") == 0) return TN_ENC_f32;
    return weight->enc;
}
static bool wide_columns(const char *level) {
    return strcmp(level, "none") != 0;
}
static const TnTargetDesc target_wide = {
    .name = "wide", .can = wide_can, .prefer = wide_prefer, .columns = wide_columns};

static int picky_can(const TnGraph *g, uint32_t kernel, const char *level) {
    (void)level;
    TnRef root = g->kernels[kernel].root;
    return root != TN_NONE && g->nodes[root].op == TN_OP_attend ? 9 : 0;
}
static TnEnc picky_prefer(const TnType *weight, TnOp reader, const char *level) {
    (void)weight, (void)reader, (void)level;
    return TN_ENC_COUNT;
}
static const TnTargetDesc target_picky = {.name = "picky", .can = picky_can, .prefer = picky_prefer};

static const TnTargetDesc *const test_targets[] = {&target_picky, &target_wide};
#define TEST_TARGETS 2

#endif
