/* What --profile has seen, as numbers that need no more work: profile_collect.c collects and prints them,
 * profile_write.c writes them to files. */
#ifndef TN_CLI_PROFILE_COLLECT_H
#define TN_CLI_PROFILE_COLLECT_H

#include "frontends/cli/cli.h"

/* One launch, or several of the same code and shapes (a group): sums over all calls. */
typedef struct Cost {
    const char *name, *what; /* what: "" without the compiler library */
    uint32_t launch, group;  /* the first of a group; a launch's group by its first launch */
    uint32_t members;        /* 1 for a launch */
    uint64_t calls, ns, wait_ns, slowest_ns, busy_all_ns;
    uint64_t *busy_ns; /* [workers] */
    double bytes, weight_bytes, table_bytes, macs;
} Cost;

/* One variant's runs in one test. */
typedef struct Seen {
    TernProfileProgram facts;
    Cost *launches, *groups; /* launches in their order, groups by falling time */
    uint32_t n_launches, n_groups;
    uint64_t kernel_ns, wait_ns; /* facts.ns = kernel_ns + wait_ns + facts.idle_ns */
    bool known;                  /* bytes and operations are */
} Seen;

typedef struct Test {
    char *name;
    uint32_t threads, workers;
    double read_rate; /* bytes a second that so many threads read from memory */
    Seen *seen;       /* variants that ran, by rising rows */
    uint32_t n_seen;
    uint32_t *program_seen; /* of an event's program: index in seen */
    TernProfileEvent *events;
    size_t n_events;
    uint64_t dropped;
} Test;

/* Derived numbers; 0 where nothing is known. */
double cost_rate(const Cost *c);                        /* bytes a second */
double cost_ops(const Cost *c);                         /* operations a second, two a multiply-add */
double cost_floor(const Cost *c, double read_rate);     /* least time its bytes need over its time */
double cost_imbalance(const Cost *c, uint32_t workers); /* slowest worker over the mean, minus 1 */

TernStatus profile_write_json(const char *path, const Loaded *m, const Test *tests, uint32_t n,
                              TernError *err);
TernStatus profile_write_trace(const char *path, const Loaded *m, const Test *tests, uint32_t n,
                               TernError *err);
/* The planned graphs of what ran, a comment above every kernel; of tests that ran the same one, the last. */
TernStatus profile_write_tir(const char *path, const Loaded *m, const Test *tests, uint32_t n,
                             TernError *err);

#endif
