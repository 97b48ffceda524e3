#include "runtime/cpu.h"

#include <pthread.h>
#include <stdio.h>
#include "runtime/base/status.h"
#include "runtime/tern.h"

bool tn_level_under(uint32_t level, uint32_t cap) {
    const TnLevelRow *r = tn_level_numbered(level), *c = tn_level_numbered(cap);
    return level == TN_LEVEL_REF || (r && c && r->arch == c->arch && r->preference <= c->preference);
}

bool tn_level_preferred(uint32_t level, uint32_t to) {
    const TnLevelRow *r = tn_level_numbered(level), *t = tn_level_numbered(to);
    return (r ? r->preference : 0) > (t ? t->preference : 0);
}

/* We ask the machine once: a permission holds for the whole process, and the rest does not change. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t features;
static char runs_here[160], refused_here[160]; /* names with commas between them, most preferred first */

static bool runs_with(const TnLevelRow *r, uint32_t has) {
    return r->arch == TN_ARCH_HERE && (r->features & ~has) == 0;
}

/* Writes the names of all levels that run with features `has` and do not run with features `less`. */
static void list_levels(uint32_t has, uint32_t less, char *out, size_t cap) {
    size_t at = 0;
    uint32_t below = UINT32_MAX;
    for (;;) {
        const TnLevelRow *next = NULL, *r;
        for (size_t i = 0; (r = tn_level_row(i)); i++)
            if (runs_with(r, has) && !runs_with(r, less) && r->preference < below &&
                (!next || r->preference > next->preference))
                next = r;
        if (!next) return;
        int n = snprintf(out + at, cap - at, "%s%s", at ? "," : "", next->name);
        TN_CHECK(n > 0 && (size_t)n < cap - at);
        at += (size_t)n;
        below = next->preference;
    }
}

static void look(void) {
    uint32_t refused;
    features = tn_cpu_features(&refused);
    list_levels(features, 0, runs_here, sizeof runs_here);
    list_levels(features | refused, features, refused_here, sizeof refused_here);
}

const char *tern_cpu_refused(void) {
    pthread_once(&once, look);
    return refused_here;
}

bool tn_level_runs_here(uint32_t level) {
    pthread_once(&once, look);
    const TnLevelRow *r = tn_level_numbered(level);
    return r && runs_with(r, features);
}

const char *tern_cpu_levels(void) {
    pthread_once(&once, look);
    return runs_here;
}

const char *tern_version(void) {
    return TERN_VERSION;
}
