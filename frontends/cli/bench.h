/* tern bench: a row of its table. verb_bench.c measures it, bench_stats.c sums its runs up, bench_floor.c computes what the
 * machine allows, bench_print.c prints it, and bench_against.c holds it against the rows of a file. */
#ifndef TN_CLI_BENCH_H
#define TN_CLI_BENCH_H

#include "frontends/cli/cli.h"
#include "frontends/cli/machine.h"

#define BENCH_SAMPLES 100
#define BENCH_RUNS    5 /* the fewest runs of a test that are held against others */

/* A test and its results. Every sequence is first filled with `depth` positions, which is not timed. Then it
 * takes n_prompt rows in one step, and then n_gen steps of one row each. */
typedef struct BenchRow {
    char test[64], backend[48];
    uint32_t threads, n_prompt, n_gen, depth, sequences;
    uint32_t n_samples;
    double
        samples[BENCH_SAMPLES]; /* tokens a second of all sequences together, in the order they were taken */
    double firsts
        [BENCH_SAMPLES]; /* seconds from a run's start to its first ids, which end the prompt or the first step */
    double mean, stddev, median, least, most;
    double p95;   /* tokens a second that 95 % of the runs reach */
    double first; /* the median of firsts */
    uint64_t
        peak; /* resident bytes at most, with those of mapped files, while the test ran; 0: the system does not say */
    const Machine *machine; /* rates for this thread count */
    /* from bench_floors; 0 if unknown */
    double bytes; /* that a repetition must read: weights once a step, and the cache that attention reads */
    double macs;  /* multiply-adds of a repetition, all but those of attention */
    double float_macs; /* those of attention, which are in f32 */
    double floor;      /* tokens a second if only the machine's rates counted */
    const char *bound; /* the rate that takes most of the floor's time: "read", "int8", "f32" */
} BenchRow;

/* Tokens that a repetition processes. */
double bench_tokens(const BenchRow *b);
/* The most rows that one of its steps has; a model takes `most`. */
uint32_t bench_batch(const BenchRow *b, uint32_t most);
/* The share of its floor that a row reaches; 0 if unknown. */
double bench_share(const BenchRow *b);

/* ---- bench_stats.c */

/* The value that a share of n sorted values, n > 0, does not exceed: between two values in proportion. */
double bench_quantile(const double *sorted, uint32_t n, double share);
/* What a few samples say: n > 0. */
typedef struct BenchStats {
    uint32_t n;
    double mean, stddev, median, least, most, p95;
} BenchStats;
BenchStats bench_stats(const double *samples, uint32_t n);
/* How far the ratio of two medians may be off by chance, as a share of it, at 95 %: Student's t for the two deviations (by Welch and
 * Satterthwaite), a median's error being 1.25 times a mean's. Both have at least 2 samples. */
double bench_ratio_noise(const BenchStats *now, const BenchStats *then);

/* ---- bench_floor.c */

/* Fills in bytes, macs and floor from the plans of the model. They stay 0 without the compiler library, which
 * is needed to know what a kernel reads. */
TernStatus bench_floors(Loaded *l, TernKv kv, BenchRow *rows, uint32_t n, TernError *err);

typedef struct BenchTable {
    const Loaded *model;
    uint64_t
        file_bytes; /* size of the model file; 0: there is none, and the weights' size in memory is shown */
    const char *kv;
    const BenchRow *rows;
    uint32_t n;
    const Machine *machines; /* one for each thread count; bytes 0: nothing was measured */
    uint32_t n_machines;
    int64_t repeats;
    uint32_t n_cpus; /* processors that the process may run on */
    char cpu[128];   /* their name */
} BenchTable;
typedef void BenchPrint(const BenchTable *t);
BenchPrint *bench_printer(const char *format); /* "md", "json", "csv"; NULL: none such */

/* ---- bench_against.c: the rows that an earlier `tern bench -o json` wrote */

typedef struct BenchOld BenchOld;
/* Reads the file, or gives one line that says what is wrong with it and where. */
TernStatus bench_old_read(const char *path, BenchOld **out, TernError *err);
void bench_old_free(BenchOld *old);
/* Whether one of its rows is of that test of that model with so many threads. */
bool bench_old_has(const BenchOld *old, const BenchRow *row, const char *model);
/* Prints a table of ratios to `out`, and names the rows of one side alone. Returns how many rows are slower than `least` times
 * what they were, and by more than the noise, and says of how many the noise hides that. Every row of the table has at least
 * BENCH_RUNS samples. */
uint32_t bench_old_compare(const BenchOld *old, const BenchTable *t, double least, FILE *out);

#endif
