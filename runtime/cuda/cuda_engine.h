/* What the files of the CUDA engine share. engine_cuda.c loads code and runs programs, cuda_memory.c has memory, the
 * upload of weights and pages. */
#ifndef TN_CUDA_ENGINE_H
#define TN_CUDA_ENGINE_H

#include <pthread.h>
#include "runtime/cuda/cuda_device.h"
#include "runtime/engine.h"

enum { TN_CUDA_RING = 4, TN_CUDA_RING_BYTES = 1 << 20 };

/* Pinned host memory through which weights go to the device: while one piece is on its way, others are filled in. It exists
 * from the first upload to the first bind. */
typedef struct TnCudaRing {
    uint8_t *memory; /* NULL: there is no ring */
    void *stream;
    struct {
        void *sent; /* an event: the piece has left */
        bool busy;  /* a thread fills it in */
    } pieces[TN_CUDA_RING];
    uint32_t next;
} TnCudaRing;

typedef struct TnCudaBlock {
    uint64_t at, base; /* what the engine gave out, and what it got from the driver */
} TnCudaBlock;

typedef struct TnCudaEngine {
    TnEngine engine;
    TnCudaDevice device;
    void **modules;
    size_t n_modules, cap_modules;
    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t piece_free;
    TnCudaRing ring;
    TnCudaBlock *blocks;
    size_t n_blocks, cap_blocks;
} TnCudaEngine;

/* A session: TnMemory.own. */
typedef struct TnCudaSession {
    void *stream;
    const TnProgram *programs; /* the session's, n of them */
    uint32_t n;
    void **graphs; /* one a program */
    void **params; /* room for the parameters of one launch */
    void **events; /* for a profile: made when first used */
    uint32_t n_events;
    TernStatus failed; /* of a page's move since the last run, with its line */
    TernError error;
} TnCudaSession;

/* cuda_memory.c: fills in the functions of the engine for memory, uploads and pages. */
void tn_cuda_memory(TnCudaEngine *e);
/* Waits until all uploads have arrived, and frees the ring. */
TernStatus tn_cuda_settle(TnCudaEngine *e, TernError *err);
/* Frees all that is left at close. */
void tn_cuda_memory_close(TnCudaEngine *e);

#endif
