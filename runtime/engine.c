#include "runtime/engine.h"

#include <stdio.h>
#include <string.h>
#include "runtime/base/options.h"

static TernStatus make_cpu(const char *name, TnEngine **out, TernError *err) {
    (void)name;
    return tn_engine_cpu(out, err);
}

static TernStatus describe_cpu(const char *name, TernDevice *out, TernError *err) {
    (void)err;
    *out = (TernDevice){0};
    snprintf(out->device, sizeof out->device, "%s", name);
    snprintf(out->levels, sizeof out->levels, "%s", tern_cpu_levels());
    return TERN_OK;
}

/* The engines that can be chosen by name. The evaluating engine is chosen by giving callbacks (TernModelOptions.kernels).
 */
static const struct Engine {
    const char *name;
    bool numbered; /* there may be several: NAME:N */
    TernStatus (*make)(const char *name, TnEngine **out, TernError *err);
    TernStatus (*describe)(const char *name, TernDevice *out, TernError *err);
} engines[] = {
    {"cpu", false, make_cpu, describe_cpu}, /* the default */
    {"cuda", true, tn_engine_cuda, tn_cuda_facts},
};

static TernStatus find(const char *name, const struct Engine **out, TernError *err) {
    for (size_t i = 0; i < TN_COUNT(engines); i++) {
        size_t n = strlen(engines[i].name);
        *out = &engines[i];
        if (strncmp(engines[i].name, name, n) == 0 && (!name[n] || (engines[i].numbered && name[n] == ':')))
            return TERN_OK;
    }
    return tn_fail(err, TERN_ERR_INPUT, "device '%s' is unknown, expected %s, %s or %s:N", name,
                   engines[0].name, engines[1].name, engines[1].name);
}

TernStatus tn_engine_named(const char *name, TnEngine **out, TernError *err) {
    const struct Engine *e;
    if (!name) name = engines[0].name;
    TN_TRY(find(name, &e, err));
    return e->make(name, out, err);
}

/* ---- the public calls about devices */

static const TnField device_fields[] = {TN_FIELD(TernDevice, device),          TN_FIELD(TernDevice, name),
                                        TN_FIELD(TernDevice, levels),          TN_FIELD(TernDevice, major),
                                        TN_FIELD(TernDevice, minor),           TN_FIELD(TernDevice, driver),
                                        TN_FIELD(TernDevice, multiprocessors), TN_FIELD(TernDevice, memory)};
static const TnShape device_shape = TN_SHAPE(TernDevice, device_fields);

TernStatus tern_device(const char *device, TernDevice *out, TernError *err) {
    const struct Engine *e;
    TernDevice d;
    tn_error_clear(err);
    TN_NEED(device, err);
    TN_NEED(out, err);
    TN_TRY(find(device, &e, err));
    TN_TRY(e->describe(device, &d, err));
    return tn_options_give(&device_shape, &d, out, err);
}

TernStatus tern_devices(uint32_t *out, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out, err);
    return tn_cuda_count(out, err);
}
