/* The driver's library, opened with dlopen by its soname: no program that links libtern needs CUDA. The calls stand in one
 * table, names.def; each result is checked and named in one line. */
#ifndef TN_CUDA_DRIVER_H
#define TN_CUDA_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/base/status.h"
#include "runtime/cuda/names.def"

#define TN_CUDA_LIBRARY "libcuda.so.1"

typedef enum TnCudaCall {
#define TN_CUDA_NUMBER(name, ...) TN_CUDA_##name,
    TN_CUDA_CALLS(TN_CUDA_NUMBER)
#undef TN_CUDA_NUMBER
        TN_CUDA_CALL_COUNT
} TnCudaCall;

typedef struct TnCuda {
#define TN_CUDA_POINTER(name, symbol, args) int(*name) args;
    TN_CUDA_CALLS(TN_CUDA_POINTER)
#undef TN_CUDA_POINTER
    void *library;
    int version; /* 12040: the driver is of CUDA 12.4 */
} TnCuda;

/* Numbers of cuda.h that do not change. */
enum {
    TN_CUDA_OUT_OF_MEMORY = 2,
    TN_CUDA_NO_DEVICE = 100,
    /* cuDeviceGetAttribute */
    TN_CUDA_MULTIPROCESSORS = 16,
    TN_CUDA_MAJOR = 75,
    TN_CUDA_MINOR = 76,
    TN_CUDA_SHARED_MOST =
        97, /* bytes of shared memory that a launch may ask for, after the attribute below is set */
    /* cuFuncSetAttribute */
    TN_CUDA_FUNC_SHARED = 8,
    TN_CUDA_GRID_Y = 65535,          /* most CTAs of a launch in the second dimension */
    TN_CUDA_SHARED_PLAIN = 48 << 10, /* bytes that a launch may ask for without it */
    /* cuModuleLoadDataEx */
    TN_CUDA_JIT_ERRORS = 5,
    TN_CUDA_JIT_ERRORS_BYTES = 6,
    TN_CUDA_STREAM_APART = 1,       /* cuStreamCreate: does not wait for the default stream */
    TN_CUDA_CAPTURE_RELAXED = 2,    /* cuStreamBeginCapture: other threads may allocate */
    TN_CUDA_EVENT_WITHOUT_TIME = 2, /* cuEventCreate */
};

/* Opens the library, checks the driver's version and initialises it. After an error nothing is open. */
TernStatus tn_cuda_open(TnCuda *out, TernError *err);
void tn_cuda_close(TnCuda *cu);
/* A call has returned `result`, not 0. Writes "WHERE: cuMemAlloc_v2: out of memory (CUDA_ERROR_OUT_OF_MEMORY)" and returns
 * TERN_ERR_MEMORY for that error and TERN_ERR_ENV for others. */
TernStatus tn_cuda_failed(const TnCuda *cu, const char *where, TnCudaCall call, int result, TernError *err);

/* TN_CUDA(cu, where, err, MemFree, (address)): the call's status. */
#define TN_CUDA(cu, where, err, name, args) tn_cuda_result(cu, where, TN_CUDA_##name, (cu)->name args, err)
static inline TernStatus tn_cuda_result(const TnCuda *cu, const char *where, TnCudaCall call, int result,
                                        TernError *err) {
    return result == 0 ? TERN_OK : tn_cuda_failed(cu, where, call, result, err);
}

#endif
