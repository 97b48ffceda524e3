/* The lab of tern.h: single kernels of a text, each on buffers of the host. It shares nothing with models and sessions. A launch
 * is slow, since all its buffers go to the device and back, and simple, since nothing else runs. */
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/base/options.h"
#include "runtime/cuda/cuda_device.h"

struct TernLab {
    TnCudaDevice device;
    void *module; /* NULL: no text is loaded */
};

static const TnField launch_fields[] = {TN_FIELD(TernLabLaunch, entry),     TN_FIELD(TernLabLaunch, grid),
                                        TN_FIELD(TernLabLaunch, threads),   TN_FIELD(TernLabLaunch, shared),
                                        TN_FIELD(TernLabLaunch, n_buffers), TN_FIELD(TernLabLaunch, buffers),
                                        TN_FIELD(TernLabLaunch, grid_y)};
static const TnShape launch_shape = TN_SHAPE(TernLabLaunch, launch_fields);

TernStatus tern_lab_open(const char *device, TernLab **out, TernError *err) {
    TnCudaDevice d;
    tn_error_clear(err);
    TN_NEED(device, err);
    TN_NEED(out, err);
    TN_TRY(tn_cuda_device_open(device, &d, err));
    TernLab *lab = tn_xcalloc(1, sizeof *lab);
    lab->device = d;
    *out = lab;
    return TERN_OK;
}

static void unload(TernLab *lab) {
    if (lab->module) lab->device.cu.ModuleUnload(lab->module);
    lab->module = NULL;
}

void tern_lab_close(TernLab *lab) {
    if (!lab) return;
    if (tn_cuda_enter(&lab->device, NULL) == TERN_OK) {
        unload(lab);
        tn_cuda_leave(&lab->device);
    }
    tn_cuda_device_close(&lab->device);
    free(lab);
}

TernStatus tern_lab_load(TernLab *lab, const char *text, TernError *err) {
    tn_error_clear(err);
    TN_NEED(lab, err);
    TN_NEED(text, err);
    TN_TRY(tn_cuda_enter(&lab->device, err));
    unload(lab);
    TernStatus s = tn_cuda_compile(&lab->device, text, &lab->module, err);
    tn_cuda_leave(&lab->device);
    return s;
}

/* ---- a launch */

enum { BUFFERS_MOST = 512 }; /* the driver takes 4096 bytes of parameters */

static TernStatus check(const TernLabLaunch *l, TernError *err) {
    TN_NEED(l->entry, err);
    if (l->n_buffers > BUFFERS_MOST || (l->n_buffers && !l->buffers))
        return tn_fail(err, TERN_ERR_INPUT, "TernLabLaunch.buffers: %s for n_buffers %u, expected at most %d",
                       l->buffers ? "got some" : "got NULL", l->n_buffers, BUFFERS_MOST);
    for (uint32_t i = 0; i < l->n_buffers; i++)
        if (!l->buffers[i].data && l->buffers[i].bytes)
            return tn_fail(err, TERN_ERR_INPUT, "TernLabLaunch.buffers[%u].data is NULL, expected %zu bytes",
                           i, l->buffers[i].bytes);
    if (l->grid == 0 || l->threads == 0)
        return tn_fail(err, TERN_ERR_INPUT, "TernLabLaunch: a grid of %u times %u threads, expected some",
                       l->grid, l->threads);
    if (l->grid_y > TN_CUDA_GRID_Y)
        return tn_fail(err, TERN_ERR_INPUT, "TernLabLaunch.grid_y is %u, expected at most %d", l->grid_y,
                       TN_CUDA_GRID_Y);
    return TERN_OK;
}

/* A buffer of no bytes has an address too. */
static TernStatus send(TnCudaDevice *d, const TernLabBuffer *b, uint64_t *out, TernError *err) {
    TN_TRY(TN_CU(d, err, MemAlloc, (out, b->bytes ? b->bytes : 1)));
    return b->bytes ? TN_CU(d, err, ToDevice, (*out, b->data, b->bytes, NULL)) : TERN_OK;
}

static TernStatus start(TernLab *lab, const TernLabLaunch *l, void **params, TernError *err) {
    TnCudaDevice *d = &lab->device;
    void *function = NULL;
    TN_TRY(TN_CU(d, err, ModuleFunction, (&function, lab->module, l->entry)));
    if (l->shared > TN_CUDA_SHARED_PLAIN)
        TN_TRY(TN_CU(d, err, FuncAttribute, (function, TN_CUDA_FUNC_SHARED, (int)l->shared)));
    TN_TRY(TN_CU(
        d, err, Launch,
        (function, l->grid, l->grid_y ? l->grid_y : 1, 1, l->threads, 1, 1, l->shared, NULL, params, NULL)));
    return TN_CU(d, err, StreamWait, (NULL));
}

static TernStatus fetch(TnCudaDevice *d, const TernLabLaunch *l, const uint64_t *at, TernError *err) {
    for (uint32_t i = 0; i < l->n_buffers; i++) {
        const TernLabBuffer *b = &l->buffers[i];
        if (b->written && b->bytes) TN_TRY(TN_CU(d, err, ToHost, (b->data, at[i], b->bytes, NULL)));
    }
    return TN_CU(d, err, StreamWait, (NULL));
}

TernStatus tern_lab_run(TernLab *lab, const TernLabLaunch *launch, TernError *err) {
    TernLabLaunch l = {0};
    uint64_t at[BUFFERS_MOST] = {0};
    void *params[BUFFERS_MOST];
    tn_error_clear(err);
    TN_NEED(launch, err);
    TN_TRY(tn_options_take(&launch_shape, launch, &l, err));
    TN_TRY(check(&l, err));
    TN_NEED(lab, err);
    if (!lab->module)
        return tn_fail(err, TERN_ERR_INPUT, "the lab has no text, expected tern_lab_load first");
    TN_TRY(tn_cuda_enter(&lab->device, err));
    TernStatus s = TERN_OK;
    for (uint32_t i = 0; s == TERN_OK && i < l.n_buffers; i++) {
        s = send(&lab->device, &l.buffers[i], &at[i], err);
        params[i] = &at[i];
    }
    if (s == TERN_OK) s = start(lab, &l, params, err);
    if (s == TERN_OK) s = fetch(&lab->device, &l, at, err);
    for (uint32_t i = 0; i < l.n_buffers; i++)
        if (at[i]) lab->device.cu.MemFree(at[i]);
    tn_cuda_leave(&lab->device);
    return s;
}
