/* A GPU, opened for an engine: its context, and what is known of it. */
#ifndef TN_CUDA_DEVICE_H
#define TN_CUDA_DEVICE_H

#include <stdbool.h>
#include "runtime/cuda/cuda_driver.h"
#include "runtime/tern.h"

typedef struct TnCudaDevice {
    TnCuda cu;
    TernDevice facts;
    int number;      /* the driver's */
    void *context;   /* the primary one */
    uint32_t shared; /* most bytes of shared memory of a launch */
} TnCudaDevice;

/* True if the device's driver takes text of that level. */
bool tn_cuda_takes(const TernDevice *d, uint32_t level);

/* Opens the device, which must take a level. After an error nothing is open. */
TernStatus tn_cuda_device_open(const char *name, TnCudaDevice *out, TernError *err);
void tn_cuda_device_close(TnCudaDevice *d);

/* Between enter and leave the calling thread works with the device's context. */
TernStatus tn_cuda_enter(TnCudaDevice *d, TernError *err);
void tn_cuda_leave(TnCudaDevice *d);

/* Gives a module of a text, which ends in a NUL byte. The context is entered. The line of a refusal has the compiler's own. */
TernStatus tn_cuda_compile(TnCudaDevice *d, const char *text, void **out, TernError *err);

/* A call's status: TN_CU(d, err, MemFree, (address)). */
#define TN_CU(d, err, name, args) TN_CUDA(&(d)->cu, (d)->facts.device, err, name, args)

#endif
