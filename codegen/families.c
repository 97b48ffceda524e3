#include "codegen/families.h"

#include <string.h>
#include "runtime/base/os.h"

static const TnFamily families[] = {
#define EACH(...) __VA_ARGS__
#define FAMILY(name, vendor, family, models, listed, columns, beside, whole, base3, panels, doc)             \
    {#name,          doc,           vendor, family, {EACH models}, {EACH listed},                            \
     {EACH columns}, {EACH beside}, whole,  base3,  panels},
#include "codegen/families.def"
#undef FAMILY
#undef EACH
};

const TnFamily *tn_family_at(size_t i) {
    return i < TN_COUNT(families) ? &families[i] : NULL;
}

const TnFamily *tn_family_named(const char *name) {
    for (size_t i = 0; name && i < TN_COUNT(families); i++)
        if (strcmp(families[i].name, name) == 0) return &families[i];
    return NULL;
}

const TnFamily *tn_family_of(const char *vendor, uint32_t family, uint32_t model) {
    for (size_t i = 0; i < TN_COUNT(families); i++) {
        const TnFamily *f = &families[i];
        if (strcmp(f->vendor, vendor) != 0 || f->family != family) continue;
        for (size_t j = 0; j < TN_COUNT(f->models) && f->models[j].hi; j++)
            if (model >= f->models[j].lo && model <= f->models[j].hi) return f;
    }
    return NULL;
}

const char *tn_family_here(void) {
    TnCpuModel m;
    tn_os_cpu_model(&m);
    const TnFamily *f = tn_family_of(m.vendor, m.family, m.model);
    return f ? f->name : NULL;
}
