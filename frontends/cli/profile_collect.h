/* The finished numbers of --profile. profile_collect.c collects and prints them, profile_write.c writes them
 * to files. */
#ifndef TN_CLI_PROFILE_COLLECT_H
#define TN_CLI_PROFILE_COLLECT_H

#include "frontends/cli/cli.h"

/* Sums over all calls of one launch, or of a group: launches with the same code and shapes. */
typedef struct Cost {
    const char *name, *what; /* what: "" without the compiler library */
    uint32_t launch, group;  /* launch: of a group the first; group: the first launch of the group it is in */
    uint32_t members;        /* 1 for a launch */
    uint64_t calls, ns, wait_ns, slowest_ns, busy_all_ns, units;
    int64_t grain;     /* columns of a unit; 0: unknown, or not cut by columns */
    int64_t least;     /* columns of a unit are a multiple of this; 0: likewise */
    uint64_t *busy_ns; /* [workers] */
    double bytes, weight_bytes, table_bytes, macs;
} Cost;

/* The runs of one variant in one test. */
typedef struct Seen {
    TernProfileProgram facts;
    Cost *launches, *groups; /* launches in their order, groups by falling time */
    uint32_t n_launches, n_groups;
    uint64_t kernel_ns, wait_ns; /* facts.ns = kernel_ns + wait_ns + facts.idle_ns */
    bool known;                  /* whether bytes and operations are known */
} Seen;

typedef struct Test {
    char *name;
    uint32_t threads, workers;
    double read_rate; /* bytes a second that this many threads read from memory */
    Seen *seen;       /* variants that ran, by rising rows */
    uint32_t n_seen;
    uint32_t *program_seen; /* [program of an event]: index in seen */
    TernProfileEvent *events;
    size_t n_events;
    uint64_t dropped;
} Test;

/* Derived numbers; 0 if unknown. */
double cost_rate(const Cost *c);                        /* bytes a second */
double cost_ops(const Cost *c);                         /* operations a second, two a multiply-add */
double cost_floor(const Cost *c, double read_rate);     /* least time its bytes need over its time */
double cost_imbalance(const Cost *c, uint32_t workers); /* slowest worker over the mean, minus 1 */

TernStatus profile_write_json(const char *path, const Loaded *m, const Test *tests, uint32_t n,
                              TernError *err);
TernStatus profile_write_trace(const char *path, const Loaded *m, const Test *tests, uint32_t n,
                               TernError *err);
/* Writes the planned graphs of what ran, with a comment above every kernel. If several tests ran the same
 * graph, the last one's numbers are used. */
TernStatus profile_write_tir(const char *path, const Loaded *m, const Test *tests, uint32_t n,
                             TernError *err);

#endif
