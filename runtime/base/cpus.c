#include "runtime/base/cpus.h"

#include <stddef.h>
#include "runtime/base/cgroup.h"
#include "runtime/base/os.h"

static void take_quota(TnCpus *c, uint64_t quota, uint64_t period) {
    if (c->period && (double)quota / (double)period >= (double)c->quota / (double)c->period) return;
    c->quota = quota;
    c->period = period;
}

static void read_group(void *user, const TnGroup *g) {
    uint64_t v[2];
    if (g->v2 ? tn_group_numbers(g, "/cpu.max", 2, v)
              : tn_group_numbers(g, "/cpu.cfs_quota_us", 1, &v[0]) &&
                    tn_group_numbers(g, "/cpu.cfs_period_us", 1, &v[1]))
        take_quota(user, v[0], v[1]);
}

TnCpus tn_cpus(const char *root) {
    TnCpus c = {.processors = tn_os_cpus()};
    tn_groups(root, "cpu", read_group, &c);
    c.threads = c.processors;
    if (c.period) {
        uint64_t whole = c.quota / c.period + (c.quota % c.period != 0);
        if (whole < c.threads) c.threads = (uint32_t)whole;
    }
    return c;
}

uint32_t tn_os_threads(void) {
    return tn_cpus("").threads;
}
