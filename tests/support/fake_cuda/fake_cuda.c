/* The calls of the fake driver. */
#include "fake_cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/cuda/names.def"

/* Every call is defined with the types of the table. */
#define DECLARE(name, symbol, args)                                                                          \
    int fake_##name args __asm__(symbol) __attribute__((visibility("default")));
TN_CUDA_CALLS(DECLARE)

Fake fake = {.lock = PTHREAD_MUTEX_INITIALIZER};
static _Thread_local int contexts; /* the depth of this thread's stack of contexts */
static char a_context;             /* there is one, and this is its address */

/* ---- around a call */

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void start(void) {
    if (fake.started) return;
    fake.started = true;
    fake.devices = (uint32_t)setting("FAKE_CUDA_DEVICES", 1);
    fake.arch = (uint32_t)setting("FAKE_CUDA_ARCH", 80);
    fake.driver = (uint32_t)setting("FAKE_CUDA_DRIVER", 12040);
    fake.memory = setting("FAKE_CUDA_MEMORY", 4ull << 30);
    fake.fail = setting("FAKE_CUDA_FAIL", 0);
    fake.seed = setting("FAKE_CUDA_SEED", 0);
    if (setting("FAKE_CUDA_STAYS", 0))
        dlopen("libcuda.so.1", RTLD_NOW | RTLD_NODELETE); /* after dlclose too */
}

/* ---- objects */

/* Before every object: what is left when the library is unloaded is freed, since the call that frees it may have failed. */
typedef struct Made {
    struct Made *next, **here;
    void (*drop)(void *object); /* frees what it owns; NULL: nothing */
    void *padding;
} Made;
static Made *all;

static void *made(size_t bytes, void (*drop)(void *)) {
    Made *m = calloc(1, sizeof *m + bytes);
    if (!m) abort();
    *m = (Made){.next = all, .here = &all, .drop = drop};
    if (all) all->here = &m->next;
    all = m;
    fake.left++;
    return m + 1;
}

static void destroy(void *object) {
    Made *m = (Made *)object - 1;
    if (m->drop) m->drop(object);
    *m->here = m->next;
    if (m->next) m->next->here = m->here;
    free(m);
    fake.left--;
}

static void drop_pinned(void *object) {
    free(((struct Pinned *)object)->at);
}
static void drop_stream(void *object) {
    fake_drop(&((Stream *)object)->queue);
}
static void drop_graph(void *object) {
    fake_drop(object);
}
static void drop_module(void *object) {
    Module *m = object;
    for (Function *f = m->functions, *next; f; f = next) {
        next = f->next;
        free(f);
    }
    ptx_module_free(m->ptx);
}

/* For a test that holds the library open: calls, objects left, launches, faults. */
__attribute__((visibility("default"))) void fake_cuda_counts(unsigned long long out[4]);
void fake_cuda_counts(unsigned long long out[4]) {
    out[0] = fake.calls;
    out[1] = fake.left + fake.retained;
    out[2] = fake.launches;
    out[3] = fake.faults;
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("FAKE_CUDA_REPORT");
    uint32_t left = fake.left + fake.retained;
    while (all) destroy(all + 1);
    if (fake.machine) ptx_machine_free(fake.machine);
    free(fake.plain.queue.ops);
    FILE *f = path && fake.started ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%llu calls, %u objects left, %llu launches, %llu faults\n", (unsigned long long)fake.calls,
            left, (unsigned long long)fake.launches, (unsigned long long)fake.faults);
    fclose(f);
}

/* Counts the call. Returns what it must return at once, or OK. */
static int enter(bool needs_context) {
    pthread_mutex_lock(&fake.lock);
    start();
    if (++fake.calls == fake.fail) return UNKNOWN;
    if (fake.sticky) return fake.sticky;
    return needs_context && contexts == 0 ? INVALID_CONTEXT : OK;
}

static int leave(int result) {
    pthread_mutex_unlock(&fake.lock);
    return result;
}
#define ENTER(needs_context)                                                                                 \
    do {                                                                                                     \
        int entered_ = enter(needs_context);                                                                 \
        if (entered_ != OK) return leave(entered_);                                                          \
    } while (0)

static Stream *stream_of(void *handle) {
    if (!handle) return &fake.plain;
    Stream *s = fake.streams;
    while (s && s != handle) s = s->next;
    return s;
}

/* ---- facts */

int fake_DriverGetVersion(int *version) {
    ENTER(false);
    *version = (int)fake.driver;
    return leave(OK);
}

static const struct {
    int result;
    const char *name, *text;
} results[] = {
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {UNSUPPORTED_PTX, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain."},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CAPTURE_FORBIDS, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CAPTURE_INVALID, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static int describe(int result, const char **out, bool name) {
    int entered = enter(false);
    if (entered == UNKNOWN) return leave(entered);
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i].result == result) {
            *out = name ? results[i].name : results[i].text;
            return leave(OK);
        }
    return leave(INVALID_VALUE);
}

int fake_GetErrorName(int result, const char **name) {
    return describe(result, name, true);
}

int fake_GetErrorString(int result, const char **text) {
    return describe(result, text, false);
}

int fake_Init(unsigned flags) {
    ENTER(false);
    if (fake.devices == 0) return leave(NO_DEVICE);
    const char *wrong = getenv("FAKE_CUDA_WRONG");
    if (!fake.machine) fake.machine = ptx_machine_new(fake.memory);
    if (wrong && *wrong && !ptx_machine_plant(fake.machine, wrong)) return leave(INVALID_VALUE);
    return leave(flags == 0 ? OK : INVALID_VALUE);
}

int fake_DeviceGetCount(int *n) {
    ENTER(false);
    *n = (int)fake.devices;
    return leave(fake.machine ? OK : NOT_INITIALIZED);
}

int fake_DeviceGet(int *device, int ordinal) {
    ENTER(false);
    *device = ordinal;
    return leave(ordinal >= 0 && (uint32_t)ordinal < fake.devices ? OK : INVALID_DEVICE);
}

int fake_DeviceGetName(char *name, int bytes, int device) {
    ENTER(false);
    snprintf(name, (size_t)bytes, "Fake GPU %d", device);
    return leave(OK);
}

/* Bytes of shared memory that a launch may ask for. */
static uint32_t shared_most(void) {
    return fake.arch == 90 ? 227 << 10 : fake.arch == 80 ? 163 << 10 : fake.arch >= 80 ? 99 << 10 : 64 << 10;
}

int fake_DeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    ENTER(false);
    switch (attribute) {
    case 16:
        *value = 4;
        return leave(OK);
    case 75:
        *value = (int)fake.arch / 10;
        return leave(OK);
    case 76:
        *value = (int)fake.arch % 10;
        return leave(OK);
    case 97:
        *value = (int)shared_most();
        return leave(OK);
    default:
        return leave(INVALID_VALUE);
    }
}

int fake_DeviceTotalMem(size_t *bytes, int device) {
    (void)device;
    ENTER(false);
    *bytes = fake.memory;
    return leave(OK);
}

/* ---- contexts */

int fake_CtxRetain(void **context, int device) {
    (void)device;
    ENTER(false);
    fake.retained++;
    *context = &a_context;
    return leave(OK);
}

int fake_CtxRelease(int device) {
    (void)device;
    ENTER(false);
    if (fake.retained == 0) return leave(INVALID_CONTEXT);
    fake.retained--;
    return leave(OK);
}

int fake_CtxPush(void *context) {
    ENTER(false);
    if (context != &a_context || fake.retained == 0) return leave(INVALID_CONTEXT);
    contexts++;
    return leave(OK);
}

int fake_CtxPop(void **context) {
    int entered = enter(true);
    if (contexts) contexts--; /* also if the call fails: the fake must not mislead what follows */
    *context = &a_context;
    return leave(entered);
}

/* ---- memory */

int fake_MemGetInfo(size_t *left, size_t *total) {
    ENTER(true);
    *left = ptx_memory_left(fake.machine);
    *total = fake.memory;
    return leave(OK);
}

int fake_MemAlloc(uint64_t *address, size_t bytes) {
    ENTER(true);
    if (bytes == 0) return leave(INVALID_VALUE);
    *address = ptx_memory_new(fake.machine, bytes, PTX_FRESH, "device memory");
    fake.left += *address != 0;
    return leave(*address ? OK : OUT_OF_MEMORY);
}

/* Freeing waits for all work, as the driver does. */
int fake_MemFree(uint64_t address) {
    ENTER(true);
    int result = fake_run_all();
    if (result != OK) return leave(result);
    if (!ptx_memory_release(fake.machine, address)) return leave(INVALID_VALUE);
    fake.left--;
    return leave(OK);
}

int fake_MemHostAlloc(void **memory, size_t bytes, unsigned flags) {
    ENTER(true);
    if (bytes == 0 || flags != 0) return leave(INVALID_VALUE);
    struct Pinned *p = made(sizeof *p, drop_pinned);
    p->at = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!p->at) abort();
    memset(p->at, 0xa5, bytes);
    p->bytes = bytes;
    p->next = fake.pinned;
    fake.pinned = p;
    *memory = p->at;
    return leave(OK);
}

int fake_MemFreeHost(void *memory) {
    ENTER(true);
    int result = fake_run_all();
    if (result != OK) return leave(result);
    for (struct Pinned **at = &fake.pinned; *at; at = &(*at)->next) {
        struct Pinned *p = *at;
        if (p->at != memory) continue;
        *at = p->next;
        destroy(p);
        return leave(OK);
    }
    return leave(INVALID_VALUE);
}

static int enqueue(void *stream, Op op) {
    Stream *s = stream_of(stream);
    return s ? fake_enqueue(s, op) : INVALID_HANDLE;
}

int fake_ToDevice(uint64_t to, const void *from, size_t bytes, void *stream) {
    ENTER(true);
    Op op = {.kind = OP_TO_DEVICE, .to = to, .host = (void *)from, .bytes = bytes};
    if (!fake_pinned(from, bytes)) { /* ordinary memory may change after the call */
        op.copied = malloc(bytes + 1);
        if (!op.copied) abort();
        memcpy(op.copied, from, bytes);
    }
    return leave(enqueue(stream, op));
}

int fake_ToHost(void *to, uint64_t from, size_t bytes, void *stream) {
    ENTER(true);
    Stream *s = stream_of(stream);
    if (!s) return leave(INVALID_HANDLE);
    if (!fake_pinned(to, bytes) && s->capture) return leave(CAPTURE_FORBIDS);
    int result = fake_enqueue(s, (Op){.kind = OP_TO_HOST, .from = from, .host = to, .bytes = bytes});
    if (result == OK && !fake_pinned(to, bytes)) result = fake_run(s);
    return leave(result);
}

int fake_Within(uint64_t to, uint64_t from, size_t bytes, void *stream) {
    ENTER(true);
    return leave(enqueue(stream, (Op){.kind = OP_WITHIN, .to = to, .from = from, .bytes = bytes}));
}

int fake_FillRows(uint64_t to, size_t pitch, unsigned char value, size_t width, size_t height, void *stream) {
    ENTER(true);
    if (height > 1 && pitch < width) return leave(INVALID_VALUE);
    return leave(enqueue(
        stream,
        (Op){.kind = OP_FILL, .to = to, .pitch = pitch, .value = value, .bytes = width, .rows = height}));
}

int fake_Fill(uint64_t to, unsigned char value, size_t n, void *stream) {
    ENTER(true);
    return leave(enqueue(stream, (Op){.kind = OP_FILL, .to = to, .value = value, .bytes = n, .rows = 1}));
}

/* ---- code */

static int refused(const char *line, int result, unsigned n, const int *options, void **values) {
    char *log = NULL;
    size_t room = 0;
    for (unsigned i = 0; i < n; i++) {
        if (options[i] == 5) log = values[i];
        if (options[i] == 6) room = (size_t)(uintptr_t)values[i];
    }
    if (log && room) snprintf(log, room, "%s", line);
    return result;
}

static int check_target(const PtxModule *ptx, const char *text) {
    char suffix = 0;
    unsigned target = ptx_module_target(ptx, &suffix);
    if (target > fake.arch || (suffix && target != fake.arch)) return NO_BINARY;
    const char *version = strstr(text, ".version ");
    return version && version[9] >= '8' && fake.driver < 12000 ? UNSUPPORTED_PTX : OK;
}

int fake_ModuleLoad(void **module, const void *image, unsigned n, int *options, void **values) {
    char line[PTX_LINE];
    ENTER(true);
    PtxModule *ptx = ptx_module_load(image, strlen(image), line);
    if (!ptx) return leave(refused(line, INVALID_PTX, n, options, values));
    int result = check_target(ptx, image);
    if (result != OK) {
        ptx_module_free(ptx);
        return leave(result);
    }
    Module *m = made(sizeof *m, drop_module);
    m->ptx = ptx;
    *module = m;
    return leave(OK);
}

int fake_ModuleUnload(void *module) {
    ENTER(true);
    int result = fake_run_all();
    if (result != OK) return leave(result);
    destroy(module);
    return leave(OK);
}

int fake_ModuleFunction(void **function, void *module, const char *name) {
    ENTER(true);
    Module *m = module;
    PtxEntry entry;
    if (!ptx_module_find(m->ptx, name, &entry)) return leave(NOT_FOUND);
    Function *f = calloc(1, sizeof *f); /* belongs to its module */
    if (!f) abort();
    *f = (Function){.module = m, .entry = entry, .shared_most = 48 << 10, .next = m->functions};
    m->functions = f;
    *function = f;
    return leave(OK);
}

int fake_FuncAttribute(void *function, int attribute, int value) {
    ENTER(true);
    Function *f = function;
    if (attribute != 8 || value < 0 || (uint32_t)value + f->entry.shared > shared_most())
        return leave(INVALID_VALUE);
    f->shared_most = (uint32_t)value;
    return leave(OK);
}

/* ---- work */

int fake_StreamCreate(void **stream, unsigned flags) {
    ENTER(true);
    if (flags > 1) return leave(INVALID_VALUE);
    Stream *s = made(sizeof *s, drop_stream);
    s->next = fake.streams;
    fake.streams = s;
    *stream = s;
    return leave(OK);
}

int fake_StreamDestroy(void *stream) {
    ENTER(true);
    Stream **at = &fake.streams, *s;
    while (*at && *at != stream) at = &(*at)->next;
    if (!(s = *at)) return leave(INVALID_HANDLE);
    int result = fake_run(s);
    if (result != OK) return leave(result);
    *at = s->next;
    destroy(s);
    return leave(OK);
}

int fake_StreamWait(void *stream) {
    ENTER(true);
    Stream *s = stream_of(stream);
    if (!s) return leave(INVALID_HANDLE);
    if (!s->capture) return leave(fake_run(s));
    s->spoilt = true;
    return leave(CAPTURE_FORBIDS);
}

int fake_EventCreate(void **event, unsigned flags) {
    ENTER(true);
    if (flags > 3) return leave(INVALID_VALUE);
    *event = made(sizeof(Event), NULL);
    return leave(OK);
}

int fake_EventDestroy(void *event) {
    ENTER(true);
    int result = fake_run_to(event);
    if (result != OK) return leave(result);
    destroy(event);
    return leave(OK);
}

int fake_EventRecord(void *event, void *stream) {
    ENTER(true);
    return leave(enqueue(stream, (Op){.kind = OP_EVENT, .event = event}));
}

int fake_EventWait(void *event) {
    ENTER(true);
    return leave(fake_run_to(event));
}

int fake_EventElapsed(float *ms, void *from, void *to) {
    ENTER(true);
    const Event *a = from, *b = to;
    if (!a->recorded || !b->recorded) return leave(INVALID_HANDLE);
    if (!a->done || !b->done) return leave(NOT_READY);
    *ms = (float)(b->ms - a->ms);
    return leave(OK);
}

int fake_Launch(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **params,
                void **extra) {
    ENTER(true);
    Function *f = function;
    if (extra || grid_x == 0 || grid_x > INT32_MAX || grid_y == 0 || grid_y > 65535 || grid_z != 1 ||
        block_x == 0 || block_x > f->entry.threads_most || block_y != 1 || block_z != 1 ||
        shared > f->shared_most)
        return leave(INVALID_VALUE);
    Op op = {.kind = OP_LAUNCH,
             .function = f,
             .grid = grid_x,
             .grid_y = grid_y,
             .threads = block_x,
             .shared = shared};
    op.params = calloc(f->entry.param_bytes + 1u, 1);
    if (!op.params) abort();
    for (uint32_t i = 0; i < f->entry.params; i++) {
        uint32_t at, bytes;
        ptx_module_param(f->module->ptx, f->entry.name, i, &at, &bytes);
        memcpy(op.params + at, params[i], bytes);
    }
    return leave(enqueue(stream, op));
}

/* ---- graphs */

int fake_CaptureBegin(void *stream, int mode) {
    ENTER(true);
    Stream *s = stream_of(stream);
    if (!s || s == &fake.plain || s->capture || mode < 0 || mode > 2) return leave(INVALID_VALUE);
    s->capture = made(sizeof(Graph), drop_graph);
    s->spoilt = false;
    return leave(OK);
}

int fake_CaptureEnd(void *stream, void **graph) {
    int entered = enter(true);
    Stream *s = stream_of(stream);
    *graph = NULL;
    if (!s || !s->capture) return leave(entered != OK ? entered : INVALID_VALUE);
    Graph *g = s->capture;
    s->capture = NULL;
    if (entered != OK || s->spoilt) {
        destroy(g);
        return leave(entered != OK ? entered : CAPTURE_INVALID);
    }
    *graph = g;
    return leave(OK);
}

int fake_GraphInstantiate(void **exec, void *graph, unsigned long long flags) {
    ENTER(true);
    const Graph *g = graph;
    if (flags) return leave(INVALID_VALUE);
    Graph *copy = made(sizeof *copy, drop_graph);
    copy->ops = calloc(g->n + 1, sizeof *copy->ops);
    if (!copy->ops) abort();
    for (copy->cap = g->n + 1; copy->n < g->n; copy->n++) copy->ops[copy->n] = fake_copy(&g->ops[copy->n]);
    *exec = copy;
    return leave(OK);
}

int fake_GraphDestroy(void *graph) {
    ENTER(true);
    destroy(graph);
    return leave(OK);
}

int fake_GraphExecDestroy(void *exec) {
    ENTER(true);
    destroy(exec);
    return leave(OK);
}

int fake_GraphLaunch(void *exec, void *stream) {
    ENTER(true);
    const Graph *g = exec;
    Stream *s = stream_of(stream);
    if (!s) return leave(INVALID_HANDLE);
    for (size_t i = 0; i < g->n; i++) {
        int result = fake_enqueue(s, fake_copy(&g->ops[i]));
        if (result != OK) return leave(result);
    }
    return leave(OK);
}
