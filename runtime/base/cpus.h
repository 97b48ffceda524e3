/* How many threads are worth having: as many as the processors this process may run on, or as the quota of processor time
 * that a container gives it, whichever is less. Above the quota threads only take it from each other, and whoever holds
 * up a barrier may be made to wait for the next period. */
#ifndef TN_BASE_CPUS_H
#define TN_BASE_CPUS_H

#include <stdint.h>

typedef struct TnCpus {
    uint32_t processors;    /* that this process may run on */
    uint64_t quota, period; /* the least quota there is, in microseconds a period; 0, 0: none */
    uint32_t threads;       /* the less of both, a part of a processor counted whole; at least 1 */
} TnCpus;

/* The quotas of cgroup v1 and v2, of this process's group and of those above it, as far as they can be seen. root: ""
 * for the system's own; or a folder with proc/self/cgroup, proc/self/mountinfo and what is mounted. What is not there or
 * cannot be read as what it should be counts as no quota. */
TnCpus tn_cpus(const char *root);
uint32_t tn_os_threads(void); /* tn_cpus("").threads */

#endif
