#include "codegen/codegen.h"

#include <assert.h>
#include <string.h>

/* Compiled code indexes TnLaunch.sym by TN_ABI_*, the compiler thinks in TnSym: one order. */
static_assert((int)TN_ABI_T == (int)TN_T && (int)TN_ABI_R == (int)TN_R && (int)TN_ABI_K == (int)TN_K &&
                  (int)TN_ABI_H == (int)TN_H && (int)TN_ABI_S == (int)TN_S && (int)TN_ABI_P == (int)TN_P &&
                  (int)TN_ABI_N == (int)TN_N && (int)TN_ABI_L == (int)TN_L &&
                  (int)TN_ABI_SYMS == (int)TN_SYM_COUNT,
              "kernel.h and ir.h must agree on the symbols");
static_assert((int)TN_KVTYPE_F16 == (int)TN_KV_F16 && (int)TN_KVTYPE_F32 == (int)TN_KV_F32 &&
                  (int)TN_KVTYPE_I8 == (int)TN_KV_I8,
              "blob.h and ir.h must agree on the cache types");

const TnTarget *tn_target_find(const char *name) {
#ifdef TERN_LLVM
    if (!strcmp(name, tn_target_llvm.desc.name)) return &tn_target_llvm;
#endif
    return strcmp(name, tn_target_ref.desc.name) ? NULL : &tn_target_ref;
}
