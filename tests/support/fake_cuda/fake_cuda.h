/* A libcuda.so.1 for tests: the driver calls of runtime/cuda/names.def over a machine in software (ptx_machine.h) that runs
 * the very text that a driver would get. A program uses it if its folder (tests/fake_cuda of the build) is first in
 * LD_LIBRARY_PATH.
 *
 * It is as strict and as late as a driver may be:
 *   - device addresses are made up: no host pointer equals one
 *   - work on a stream runs when somebody waits for it, not before; other streams run then too, as the seed decides
 *   - a copy between pinned memory and the device reads or writes the host's bytes when it runs; one of ordinary memory
 *     is done at the call
 *   - a launch, and a launch in a graph, keeps the values of its parameters of the time of the call
 *   - after a fault in a kernel every call fails
 *   - calls without a current context, with an object that is gone, or that a capture forbids, fail
 *
 * Environment, read by cuInit and cuDriverGetVersion:
 *   FAKE_CUDA_DEVICES   how many there are (1)         FAKE_CUDA_ARCH    10 * major + minor (80)
 *   FAKE_CUDA_DRIVER    its version (12040)            FAKE_CUDA_MEMORY  bytes of memory (4 GB)
 *   FAKE_CUDA_FAIL      the number of the call that fails, from 1, with error 999; 0: none
 *   FAKE_CUDA_SEED      decides orders; 0: plain ones
 *   FAKE_CUDA_WRONG     a row of ptx.def that is done wrongly (ptx_machine_plant)
 *   FAKE_CUDA_STAYS     1: it is not unloaded, so a fault lasts until the program ends
 *   FAKE_CUDA_REPORT    a file that gets a line of counts when the library is unloaded
 *
 * The line is "CALLS calls, LEFT objects left, LAUNCHES launches, FAULTS faults". A fault is also printed to standard
 * error, as the machine words it. */
#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "support/ptx_machine.h"

/* Results, as cuda.h numbers them. */
enum {
    OK = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    NO_BINARY = 209,
    INVALID_PTX = 218,
    UNSUPPORTED_PTX = 222,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    CAPTURE_FORBIDS = 900,
    CAPTURE_INVALID = 901,
    UNKNOWN = 999
};

typedef struct Function {
    struct Module *module;
    PtxEntry entry;
    uint32_t shared_most;
    struct Function *next;
} Function;

typedef struct Module {
    PtxModule *ptx;
    Function *functions;
} Module;

typedef struct Event {
    bool recorded, done;
    double ms; /* of a clock that counts work */
} Event;

typedef enum OpKind { OP_LAUNCH, OP_TO_DEVICE, OP_TO_HOST, OP_WITHIN, OP_FILL, OP_EVENT } OpKind;

typedef struct Op {
    OpKind kind;
    Function *function;
    uint32_t grid, grid_y, threads, shared;
    uint8_t *params; /* owned, as are the bytes of `copied` */
    uint64_t to, from;
    void *host;                /* pinned */
    uint8_t *copied;           /* of ordinary memory, at the call */
    size_t bytes, pitch, rows; /* of a fill: `rows` rows of `bytes` */
    uint8_t value;
    Event *event;
} Op;

typedef struct Graph {
    Op *ops;
    size_t n, cap;
} Graph; /* a CUgraph, and a CUgraphExec */

typedef struct Stream {
    Graph queue;
    size_t ran; /* of the queue */
    Graph *capture;
    bool spoilt; /* the capture has failed */
    struct Stream *next;
} Stream;

typedef struct Fake {
    pthread_mutex_t lock;
    PtxMachine *machine;
    uint32_t devices, arch, driver;
    uint64_t memory, fail, seed, calls, launches, faults;
    uint32_t retained, left; /* left: objects that were made and not destroyed */
    int sticky;              /* 0, or what every call returns */
    bool started;
    double clock;
    Stream plain; /* the stream NULL */
    Stream *streams;
    struct Pinned {
        uint8_t *at;
        size_t bytes;
        struct Pinned *next;
    } * pinned;
} Fake;
extern Fake fake;

/* fake_cuda_work.c; the lock is held */
bool fake_pinned(const void *at, size_t bytes);
int fake_enqueue(Stream *s, Op op); /* takes what the op owns */
int fake_run(Stream *s);            /* all that is queued */
int fake_run_all(void);
int fake_run_to(Event *e);
void fake_drop(Graph *g); /* frees its ops */
Op fake_copy(const Op *op);

#endif
