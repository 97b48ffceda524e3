/* A GPU on which kernels of the probe are timed, with a buffer of weights that is larger than its caches. */
#ifndef TN_PROBE_RUN_H
#define TN_PROBE_RUN_H

#include "bench/probe/probe_text.h"
#include "runtime/cuda/cuda_device.h"

typedef struct ProbeSizes {
    size_t weights; /* bytes; at least what any kernel reads */
    size_t pattern; /* bytes, which repeat in the buffer */
    uint32_t repeats;
} ProbeSizes;

typedef struct Probe {
    TnCudaDevice device;
    char level[16];
    ProbeSizes sizes;
    uint8_t *pattern;                  /* no half of it is an infinity or NaN */
    float *floats;                     /* x of the head */
    int8_t *ints;                      /* x of the products: PROBE_K */
    uint64_t weights, x, out, counter; /* in device memory; x: ints, floats after them */
    void *stream, *start, *end;        /* events */
    double read_roof, mac_roof;        /* bytes and int8 multiply-adds a second; 0: unknown */
    uint32_t mhz, memory_mhz, bus;
} Probe;

enum { PROBE_OUT_BYTES = 16 << 20 };

/* Opens the device and sends the data. After an error nothing is open. */
TernStatus probe_open(const char *device, const ProbeSizes *sizes, Probe *out, TernError *err);
void probe_close(Probe *p);

/* One kernel, `launches` times in a row as one graph. */
typedef struct ProbeCase {
    ProbeText text;
    uint32_t grid, launches;
    uint64_t params[3];
    uint32_t n_params;
    size_t
        stride; /* bytes between what a launch reads and what the next does: added to params[0]; 0: nothing */
    bool counts; /* the counter is set to 0 before each launch */
    bool pdl;    /* a launch may start before the one before it ends, as its kernel allows */
    void *module, *function;
} ProbeCase;

/* Compiles the text. After an error there is nothing to unload. */
TernStatus probe_load(Probe *p, ProbeCase *c, TernError *err);
void probe_unload(Probe *p, ProbeCase *c);
/* Launches it once and gets `bytes` of `out`, which were 0xff before. */
TernStatus probe_once(Probe *p, ProbeCase *c, void *out, size_t bytes, TernError *err);
/* Microseconds of a launch: the best and the median of the repeats. */
TernStatus probe_time(Probe *p, ProbeCase *c, double *best, double *median, TernError *err);

#endif
