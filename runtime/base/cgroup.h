/* The control groups that this process is in: what a container may use of a machine. Reads cgroup v1 and v2, the process's
 * own group and all groups above it that can be seen. A file that is missing or malformed counts as no limit. */
#ifndef TN_BASE_CGROUP_H
#define TN_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TnSpan {
    const char *at;
    size_t n;
} TnSpan;

/* A group: where its hierarchy is mounted, and its path below that. */
typedef struct TnGroup {
    const char *root;
    TnSpan dir, rel;
    bool v2;
} TnGroup;
typedef void TnGroupFn(void *user, const TnGroup *g);

/* Calls fn for each group that has this controller ("cpu", "memory"); in v2, for every group. root: "" for the system
 * itself, or a folder that holds proc/self/cgroup, proc/self/mountinfo and the mounts. */
void tn_groups(const char *root, const char *controller, TnGroupFn *fn, void *user);
/* Reads a group's file ("/cpu.max") whose first line is n whole numbers from 1; false if it is anything else, as "max". */
bool tn_group_numbers(const TnGroup *g, const char *name, uint32_t n, uint64_t *out);

/* The smallest limit of memory, in bytes; 0: none. */
uint64_t tn_memory_limit(const char *root);

#endif
