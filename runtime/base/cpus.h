/* How many threads are useful: the number of processors that this process may run on, or the quota of processor time that
 * a container gives it, whichever is less. With more threads than the quota allows, threads only take time from each
 * other, and a barrier may have to wait until a thread gets its time in the next period. */
#ifndef TN_BASE_CPUS_H
#define TN_BASE_CPUS_H

#include <stdint.h>

typedef struct TnCpus {
    uint32_t processors;    /* that this process may run on */
    uint64_t quota, period; /* the smallest quota, and its period, both in microseconds; 0, 0: none */
    uint32_t threads; /* the smaller of both, with the quota rounded up to whole processors; at least 1 */
} TnCpus;

/* Reads the quotas of cgroup v1 and v2: those of this process's group and of all groups above it that can be seen. root:
 * "" for the system itself, or a folder that holds proc/self/cgroup, proc/self/mountinfo and the mounts. A file that is
 * missing or malformed counts as no quota. */
TnCpus tn_cpus(const char *root);
uint32_t tn_os_threads(void); /* tn_cpus("").threads */

#endif
