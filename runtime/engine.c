#include "runtime/engine.h"

#include <string.h>

/* The engines that can be chosen by name. The evaluating engine is chosen by giving callbacks (TernModelOptions.kernels).
 */
static const struct {
    const char *name;
    TernStatus (*make)(TnEngine **out, TernError *err);
} engines[] = {
    {"cpu", tn_engine_cpu}, /* the default */
};

TernStatus tn_engine_named(const char *name, TnEngine **out, TernError *err) {
    if (!name) return engines[0].make(out, err);
    for (size_t i = 0; i < TN_COUNT(engines); i++)
        if (strcmp(engines[i].name, name) == 0) return engines[i].make(out, err);
    return tn_fail(err, TERN_ERR_INPUT, "device '%s' is unknown, expected %s", name, engines[0].name);
}
