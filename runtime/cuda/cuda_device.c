/* Which GPUs there are, and which level each takes. */
#include "runtime/cuda/cuda_device.h"

#include <stdio.h>
#include <string.h>
#include "runtime/abi/levels.h"
#include "runtime/base/escape.h"
#include "runtime/engine.h"

/* ---- levels */

/* Which devices take a level's text, best first. The version of a text (levels.def) needs a driver at least that new. */
static const struct {
    uint32_t level;
    uint32_t capability; /* 10 * major + minor */
    bool exactly;        /* no newer device takes it */
    uint32_t driver;
} takes[] = {
    {TN_LEVEL_SM_90A, 90, true, 12000},
    {TN_LEVEL_SM_80, 80, false, 11000},
};

bool tn_cuda_takes(const TernDevice *d, uint32_t level) {
    uint32_t capability = 10 * d->major + d->minor;
    for (size_t i = 0; i < TN_COUNT(takes); i++)
        if (takes[i].level == level)
            return d->driver >= takes[i].driver &&
                   (takes[i].exactly ? capability == takes[i].capability : capability >= takes[i].capability);
    return false;
}

static void list_levels(TernDevice *d) {
    size_t at = 0;
    for (size_t i = 0; i < TN_COUNT(takes); i++)
        if (tn_cuda_takes(d, takes[i].level))
            at += (size_t)snprintf(d->levels + at, sizeof d->levels - at, "%s%s", at ? "," : "",
                                   tn_level_name(takes[i].level));
    TN_CHECK(at < sizeof d->levels);
}

/* ---- facts */

static TernStatus count_devices(const TnCuda *cu, uint32_t *out, TernError *err) {
    int n = 0, result = cu->DeviceGetCount(&n);
    *out = 0;
    if (result == TN_CUDA_NO_DEVICE) return TERN_OK;
    TN_TRY(tn_cuda_result(cu, TN_CUDA_LIBRARY, TN_CUDA_DeviceGetCount, result, err));
    *out = n > 0 ? (uint32_t)n : 0;
    return TERN_OK;
}

static TernStatus attribute(TnCudaDevice *d, int which, uint32_t *out, TernError *err) {
    int value = 0;
    TN_TRY(TN_CU(d, err, DeviceGetAttribute, (&value, which, d->number)));
    *out = value > 0 ? (uint32_t)value : 0;
    return TERN_OK;
}

/* Fills in everything but the context. */
static TernStatus look(TnCudaDevice *d, uint32_t ordinal, TernError *err) {
    TernDevice *f = &d->facts;
    size_t bytes = 0;
    snprintf(f->device, sizeof f->device, "cuda:%u", ordinal);
    TN_TRY(TN_CU(d, err, DeviceGet, (&d->number, (int)ordinal)));
    TN_TRY(TN_CU(d, err, DeviceGetName, (f->name, (int)sizeof f->name - 1, d->number)));
    TN_TRY(TN_CU(d, err, DeviceTotalMem, (&bytes, d->number)));
    TN_TRY(attribute(d, TN_CUDA_MAJOR, &f->major, err));
    TN_TRY(attribute(d, TN_CUDA_MINOR, &f->minor, err));
    TN_TRY(attribute(d, TN_CUDA_MULTIPROCESSORS, &f->multiprocessors, err));
    TN_TRY(attribute(d, TN_CUDA_SHARED_MOST, &d->shared, err));
    f->memory = bytes;
    f->driver = (uint32_t)d->cu.version;
    list_levels(f);
    return TERN_OK;
}

static TernStatus find(TnCudaDevice *d, uint32_t ordinal, TernError *err) {
    uint32_t n;
    TN_TRY(count_devices(&d->cu, &n, err));
    if (n == 0) return tn_fail(err, TERN_ERR_ENV, "%s: the driver finds no GPU", TN_CUDA_LIBRARY);
    if (ordinal >= n)
        return tn_fail(err, TERN_ERR_INPUT, "device cuda:%u: expected cuda:0 to cuda:%u", ordinal, n - 1);
    return look(d, ordinal, err);
}

TernStatus tn_cuda_count(uint32_t *out, TernError *err) {
    TnCuda cu;
    TN_TRY(tn_cuda_open(&cu, err));
    TernStatus status = count_devices(&cu, out, err);
    tn_cuda_close(&cu);
    return status;
}

/* ---- names */

/* "cuda" is the first device, "cuda:N" the N-th from 0. False if the name is another. */
static bool read_ordinal(const char *name, uint32_t *out) {
    static const char kind[] = "cuda";
    const char *digits = name + sizeof kind; /* after a colon */
    if (strncmp(name, kind, sizeof kind - 1) != 0) return false;
    *out = 0;
    if (name[sizeof kind - 1] == '\0') return true;
    size_t n = name[sizeof kind - 1] == ':' ? strspn(digits, "0123456789") : 0;
    if (n == 0 || n > 4 || digits[n]) return false;
    for (size_t i = 0; i < n; i++) *out = 10 * *out + (uint32_t)(digits[i] - '0');
    return true;
}

static TernStatus ordinal_of(const char *name, uint32_t *out, TernError *err) {
    if (read_ordinal(name, out)) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "device '%s' is unknown, expected cuda:N with N from 0 to 9999",
                   name);
}

TernStatus tn_cuda_facts(const char *name, TernDevice *out, TernError *err) {
    TnCudaDevice d = {0};
    uint32_t ordinal;
    TN_TRY(ordinal_of(name, &ordinal, err));
    TN_TRY(tn_cuda_open(&d.cu, err));
    TernStatus status = find(&d, ordinal, err);
    tn_cuda_close(&d.cu);
    *out = d.facts;
    return status;
}

/* ---- open and close */

static TernStatus open_device(TnCudaDevice *d, uint32_t ordinal, TernError *err) {
    TN_TRY(find(d, ordinal, err));
    const TernDevice *f = &d->facts;
    if (!*f->levels)
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "%s: %s has compute capability %u.%u, expected 8.0 or newer", f->device, f->name,
                       f->major, f->minor);
    return TN_CU(d, err, CtxRetain, (&d->context, d->number));
}

TernStatus tn_cuda_device_open(const char *name, TnCudaDevice *out, TernError *err) {
    TnCudaDevice d = {0};
    uint32_t ordinal;
    TN_TRY(ordinal_of(name, &ordinal, err));
    TN_TRY(tn_cuda_open(&d.cu, err));
    TernStatus status = open_device(&d, ordinal, err);
    if (status == TERN_OK)
        *out = d;
    else
        tn_cuda_close(&d.cu);
    return status;
}

void tn_cuda_device_close(TnCudaDevice *d) {
    d->cu.CtxRelease(d->number);
    tn_cuda_close(&d->cu);
}

TernStatus tn_cuda_enter(TnCudaDevice *d, TernError *err) {
    return TN_CU(d, err, CtxPush, (d->context));
}

void tn_cuda_leave(TnCudaDevice *d) {
    void *context;
    d->cu.CtxPop(&context);
}

/* ---- code */

/* The log's first line says what is wrong with a text. */
TernStatus tn_cuda_compile(TnCudaDevice *d, const char *text, void **out, TernError *err) {
    char log[4096] = "";
    int options[] = {TN_CUDA_JIT_ERRORS, TN_CUDA_JIT_ERRORS_BYTES};
    void *values[] = {log, (void *)(uintptr_t)sizeof log};
    TernError error = {0};
    TernStatus s = TN_CU(d, &error, ModuleLoad, (out, text, TN_COUNT(options), options, values));
    if (s == TERN_OK) return TERN_OK;
    log[sizeof log - 1] = '\0';
    size_t n = strcspn(log, "\r\n");
    if (n == 0) return tn_fail(err, s, "%s", error.text);
    return tn_fail(err, s, "%s: %s", error.text, tn_shown_n(log, n).s);
}
