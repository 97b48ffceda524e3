/* What the engines on this machine's own processors share: host memory, cache pages in it, code in executable memory, and
 * the float environment that the same bits depend on. */
#ifndef TN_HOST_H
#define TN_HOST_H

#include "runtime/engine.h"

/* Sets the memory and page functions of *engine to those for host memory; leaves the rest as it was. */
void tn_host_memory(TnEngine *engine);

/* Code in executable memory. */
typedef struct TnHostCode {
    struct TnHostImage {
        void *memory;
        size_t bytes;
    } * images;
    size_t n, cap;
} TnHostCode;
TernStatus tn_host_load(TnHostCode *c, const TnCode *code, TnHandle *handles, TernError *err);
void tn_host_unload(TnHostCode *c);
static inline TnKernelFn *tn_host_kernel(TnHandle handle) {
    return (TnKernelFn *)handle;
}
/* Gives the bytes of scratch that compiled code needs; false if that is more than can be addressed. */
bool tn_host_code_scratch(const TnVariant *v, const int64_t *sym_max, size_t *out);

/* Set the float environment (round to nearest, no flush to zero) and restore the one before. They write the control
 * register themselves, because fesetenv does not handle flush to zero. */
#if defined(__x86_64__)
typedef uint32_t TnFloatEnv;
static inline TnFloatEnv tn_floats_enter(void) {
    TnFloatEnv before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(0x1f80); /* exceptions masked, round to nearest, FTZ and DAZ off */
    return before;
}
static inline void tn_floats_leave(TnFloatEnv before) {
    __builtin_ia32_ldmxcsr(before);
}
#elif defined(__aarch64__)
typedef uint64_t TnFloatEnv;
static inline TnFloatEnv tn_floats_enter(void) {
    TnFloatEnv before, plain = 0; /* no traps, round to nearest, FZ and FZ16 off */
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(plain));
    return before;
}
static inline void tn_floats_leave(TnFloatEnv before) {
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
}
#else
#include <fenv.h>
typedef int TnFloatEnv;
static inline TnFloatEnv tn_floats_enter(void) {
    TnFloatEnv before = fegetround();
    fesetround(FE_TONEAREST);
    return before;
}
static inline void tn_floats_leave(TnFloatEnv before) {
    fesetround(before);
}
#endif

#endif
