#include "codegen/codegen.h"

#include <assert.h>
#include <string.h>
#include "runtime/abi/levels.h"

/* Compiled code indexes TnLaunch.sym by TN_ABI_*, the compiler thinks in TnSym: one order. */
static_assert((int)TN_ABI_T == (int)TN_T && (int)TN_ABI_R == (int)TN_R && (int)TN_ABI_K == (int)TN_K &&
                  (int)TN_ABI_H == (int)TN_H && (int)TN_ABI_S == (int)TN_S && (int)TN_ABI_P == (int)TN_P &&
                  (int)TN_ABI_N == (int)TN_N && (int)TN_ABI_L == (int)TN_L &&
                  (int)TN_ABI_SYMS == (int)TN_SYM_COUNT,
              "kernel.h and ir.h must agree on the symbols");

/* Best liked first. */
static const TnTarget *const targets[] = {
#ifdef TERN_XSMM
    &tn_target_xsmm,
#endif
#ifdef TERN_LLVM
    &tn_target_llvm,
#endif
    &tn_target_ref,
};

const TnTarget *tn_target_find(const char *name) {
    for (size_t i = 0; i < TN_COUNT(targets); i++)
        if (!strcmp(name, targets[i]->desc.name)) return targets[i];
    return NULL;
}

uint32_t tn_targets_for(const char *level, const TnTargetDesc *out[TN_TARGETS_MAX]) {
    uint32_t n = 0;
    static_assert(TN_COUNT(targets) <= TN_TARGETS_MAX, "room for all targets");
    for (size_t i = 0; i < TN_COUNT(targets); i++)
        if (!targets[i]->emit == !strcmp(level, "ref")) out[n++] = &targets[i]->desc;
    return n;
}

uint32_t tn_targets_asked(const char *level, const TnTargetDesc *out[TN_TARGETS_MAX]) {
    uint32_t n = tn_targets_for(level, out);
    return n ? n : tn_targets_for(TN_LEVEL_REF_NAME, out);
}

const char *tn_target_names(void) {
#ifdef TERN_XSMM
    return "llvm, xsmm and ref";
#elif defined(TERN_LLVM)
    return "llvm and ref";
#else
    return "ref";
#endif
}
