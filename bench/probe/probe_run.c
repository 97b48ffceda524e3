#include "bench/probe/probe_run.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"

/* ---- data */

static uint64_t random_word(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static void make_data(Probe *p) {
    uint64_t state = 88172645463325252u;
    p->pattern = tn_xcalloc(p->sizes.pattern, 1);
    p->ints = tn_xcalloc(PROBE_K, sizeof *p->ints);
    p->floats = tn_xcalloc(PROBE_K, sizeof *p->floats);
    for (size_t i = 0; i + 8 <= p->sizes.pattern; i += 8) {
        uint64_t word = random_word(&state) & 0xbfffbfffbfffbfffu; /* halves below 2 */
        memcpy(p->pattern + i, &word, 8);
    }
    for (uint32_t i = 0; i < PROBE_K; i++) {
        p->ints[i] = (int8_t)(random_word(&state) >> 32);
        p->floats[i] = (float)(int32_t)(random_word(&state) >> 32) * 0x1p-31f;
    }
}

static TernStatus send_data(Probe *p, TernError *err) {
    TnCudaDevice *d = &p->device;
    size_t ints = PROBE_K, floats = PROBE_K * sizeof *p->floats;
    TN_TRY(TN_CU(d, err, MemAlloc, (&p->weights, p->sizes.weights)));
    TN_TRY(TN_CU(d, err, MemAlloc, (&p->x, ints + floats)));
    TN_TRY(TN_CU(d, err, MemAlloc, (&p->out, PROBE_OUT_BYTES)));
    TN_TRY(TN_CU(d, err, MemAlloc, (&p->counter, 64)));
    for (size_t at = 0, n; at < p->sizes.weights; at += n) {
        n = p->sizes.weights - at < p->sizes.pattern ? p->sizes.weights - at : p->sizes.pattern;
        TN_TRY(TN_CU(d, err, ToDevice, (p->weights + at, p->pattern, n, NULL)));
    }
    TN_TRY(TN_CU(d, err, ToDevice, (p->x, p->ints, ints, NULL)));
    TN_TRY(TN_CU(d, err, ToDevice, (p->x + ints, p->floats, floats, NULL)));
    return TN_CU(d, err, StreamWait, (NULL));
}

/* ---- roofs */

/* Multiply-adds of int8 that a multiprocessor's tensor cores do in a clock, dense: as NVIDIA states them for the chip. */
static double macs_a_clock(const TernDevice *d) {
    switch (10 * d->major + d->minor) {
    case 80:
        return 2048;
    case 86:
    case 89:
        return 1024;
    case 90:
        return 4096;
    case 100:
        return 8192;
    default:
        return 0;
    }
}

static uint32_t attribute(Probe *p, int which) {
    int value = 0;
    return p->device.cu.DeviceGetAttribute(&value, which, p->device.number) == 0 && value > 0
               ? (uint32_t)value
               : 0;
}

static void find_roofs(Probe *p) {
    enum { CLOCK = 13, MEMORY_CLOCK = 36, BUS = 37 }; /* kHz, kHz, bits */
    p->mhz = attribute(p, CLOCK) / 1000;
    p->memory_mhz = attribute(p, MEMORY_CLOCK) / 1000;
    p->bus = attribute(p, BUS);
    p->read_roof = 2e6 * p->memory_mhz * p->bus / 8; /* both edges of the clock */
    p->mac_roof = 1e6 * p->mhz * p->device.facts.multiprocessors * macs_a_clock(&p->device.facts);
}

/* ---- open and close */

static void free_all(Probe *p) {
    const TnCuda *cu = &p->device.cu;
    const uint64_t memory[] = {p->weights, p->x, p->out, p->counter};
    for (size_t i = 0; i < TN_COUNT(memory); i++)
        if (memory[i]) cu->MemFree(memory[i]);
    if (p->start) cu->EventDestroy(p->start);
    if (p->end) cu->EventDestroy(p->end);
    if (p->stream) cu->StreamDestroy(p->stream);
    free(p->pattern);
    free(p->ints);
    free(p->floats);
}

static TernStatus prepare(Probe *p, TernError *err) {
    TnCudaDevice *d = &p->device;
    make_data(p);
    find_roofs(p);
    TN_TRY(TN_CU(d, err, StreamCreate, (&p->stream, TN_CUDA_STREAM_APART)));
    TN_TRY(TN_CU(d, err, EventCreate, (&p->start, 0)));
    TN_TRY(TN_CU(d, err, EventCreate, (&p->end, 0)));
    return send_data(p, err);
}

TernStatus probe_open(const char *device, const ProbeSizes *sizes, Probe *out, TernError *err) {
    *out = (Probe){.sizes = *sizes};
    TN_TRY(tn_cuda_device_open(device, &out->device, err));
    const char *levels = out->device.facts.levels;
    size_t n = strcspn(levels, ",");
    TN_CHECK(n < sizeof out->level);
    memcpy(out->level, levels, n);
    TernStatus s = tn_cuda_enter(&out->device, err);
    if (s == TERN_OK && (s = prepare(out, err)) != TERN_OK) {
        free_all(out);
        tn_cuda_leave(&out->device);
    }
    if (s != TERN_OK) tn_cuda_device_close(&out->device);
    return s;
}

void probe_close(Probe *p) {
    free_all(p);
    tn_cuda_leave(&p->device);
    tn_cuda_device_close(&p->device);
}

/* ---- a kernel */

TernStatus probe_load(Probe *p, ProbeCase *c, TernError *err) {
    TnCudaDevice *d = &p->device;
    TN_TRY(tn_cuda_compile(d, (const char *)c->text.text.data, &c->module, err));
    TernStatus s = TN_CU(d, err, ModuleFunction, (&c->function, c->module, PROBE_ENTRY));
    if (s == TERN_OK && c->text.shared > TN_CUDA_SHARED_PLAIN)
        s = TN_CU(d, err, FuncAttribute, (c->function, TN_CUDA_FUNC_SHARED, (int)c->text.shared));
    if (s != TERN_OK) probe_unload(p, c);
    return s;
}

void probe_unload(Probe *p, ProbeCase *c) {
    p->device.cu.ModuleUnload(c->module);
    c->module = NULL;
}

/* cuLaunchKernelEx, as cuda.h has it: it came with CUDA 11.8, so it is no part of the runtime's table. */
typedef struct Attribute {
    int id, pad;
    union {
        char room[64];
        int allowed;
    } value;
} Attribute;
typedef struct Config {
    unsigned grid[3], block[3], shared;
    void *stream;
    Attribute *attributes;
    unsigned n;
} Config;

static TernStatus launch_early(Probe *p, ProbeCase *c, void **params, TernError *err) {
    enum { PROGRAMMATIC_STREAM_SERIALIZATION = 6 };
    int (*call)(const Config *, void *, void **, void **);
    void *found = dlsym(p->device.cu.library, "cuLaunchKernelEx");
    if (!found)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: no function cuLaunchKernelEx", TN_CUDA_LIBRARY);
    memcpy(&call, &found, sizeof call);
    Attribute early = {.id = PROGRAMMATIC_STREAM_SERIALIZATION, .value.allowed = 1};
    Config config = {.grid = {c->grid, 1, 1},
                     .block = {c->text.threads, 1, 1},
                     .shared = c->text.shared,
                     .stream = p->stream,
                     .attributes = &early,
                     .n = 1};
    int result = call(&config, c->function, params, NULL);
    if (result) return tn_fail(err, TERN_ERR_ENV, "cuLaunchKernelEx: error %d", result);
    return TERN_OK;
}

static TernStatus launch(Probe *p, ProbeCase *c, uint32_t i, TernError *err) {
    TnCudaDevice *d = &p->device;
    uint64_t values[3];
    void *params[3];
    memcpy(values, c->params, sizeof values);
    for (uint32_t k = 0; k < 3; k++) params[k] = &values[k];
    if (c->stride) values[0] += i % (p->sizes.weights / c->stride) * c->stride;
    if (c->counts) TN_TRY(TN_CU(d, err, Fill, (p->counter, 0, 64, p->stream)));
    if (c->pdl) return launch_early(p, c, params, err);
    return TN_CU(
        d, err, Launch,
        (c->function, c->grid, 1, 1, c->text.threads, 1, 1, c->text.shared, p->stream, params, NULL));
}

TernStatus probe_once(Probe *p, ProbeCase *c, void *out, size_t bytes, TernError *err) {
    TnCudaDevice *d = &p->device;
    TN_CHECK(bytes <= PROBE_OUT_BYTES);
    if (bytes) TN_TRY(TN_CU(d, err, Fill, (p->out, 0xff, bytes, p->stream)));
    TN_TRY(launch(p, c, 0, err));
    TN_TRY(TN_CU(d, err, StreamWait, (p->stream)));
    if (!bytes) return TERN_OK;
    TN_TRY(TN_CU(d, err, ToHost, (out, p->out, bytes, NULL)));
    return TN_CU(d, err, StreamWait, (NULL));
}

/* ---- time */

static TernStatus capture(Probe *p, ProbeCase *c, void **out, TernError *err) {
    TnCudaDevice *d = &p->device;
    void *graph = NULL;
    TernError later;
    TN_TRY(TN_CU(d, err, CaptureBegin, (p->stream, TN_CUDA_CAPTURE_RELAXED)));
    TernStatus s = TERN_OK;
    for (uint32_t i = 0; i < c->launches && s == TERN_OK; i++) s = launch(p, c, i, err);
    TernStatus ended = TN_CU(d, s == TERN_OK ? err : &later, CaptureEnd, (p->stream, &graph));
    if (s == TERN_OK) s = ended;
    if (s == TERN_OK) s = TN_CU(d, err, GraphInstantiate, (out, graph, 0));
    if (graph) d->cu.GraphDestroy(graph);
    return s;
}

static TernStatus run_graph(Probe *p, void *graph, float *ms, TernError *err) {
    TnCudaDevice *d = &p->device;
    TN_TRY(TN_CU(d, err, EventRecord, (p->start, p->stream)));
    TN_TRY(TN_CU(d, err, GraphLaunch, (graph, p->stream)));
    TN_TRY(TN_CU(d, err, EventRecord, (p->end, p->stream)));
    TN_TRY(TN_CU(d, err, EventWait, (p->end)));
    return TN_CU(d, err, EventElapsed, (ms, p->start, p->end));
}

static int rising(const void *a, const void *b) {
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

TernStatus probe_time(Probe *p, ProbeCase *c, double *best, double *median, TernError *err) {
    void *graph = NULL;
    uint32_t n = p->sizes.repeats;
    float *ms = tn_xcalloc(n, sizeof *ms);
    TernStatus s = capture(p, c, &graph, err);
    if (s == TERN_OK) s = run_graph(p, graph, &ms[0], err); /* warm */
    for (uint32_t i = 0; i < n && s == TERN_OK; i++) s = run_graph(p, graph, &ms[i], err);
    if (graph) p->device.cu.GraphExecDestroy(graph);
    qsort(ms, n, sizeof *ms, rising);
    *best = 1e3 * ms[0] / c->launches;
    *median = 1e3 * ms[n / 2] / c->launches;
    free(ms);
    return s;
}
