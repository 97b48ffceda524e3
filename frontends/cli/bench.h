/* tern bench: a row of its table. verb_bench.c measures it, bench_floor.c computes what the machine allows,
 * and bench_print.c prints it. */
#ifndef TN_CLI_BENCH_H
#define TN_CLI_BENCH_H

#include "frontends/cli/cli.h"
#include "frontends/cli/machine.h"

#define BENCH_SAMPLES 100

/* A test and its results. Every sequence is first filled with `depth` positions, which is not timed. Then it
 * takes n_prompt rows in one step, and then n_gen steps of one row each. */
typedef struct BenchRow {
    char test[64], backend[48];
    uint32_t threads, n_prompt, n_gen, depth, sequences;
    uint32_t n_samples;
    double
        samples[BENCH_SAMPLES]; /* tokens a second of all sequences together, in the order they were taken */
    double mean, stddev, median, least, most;
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
} BenchTable;
typedef void BenchPrint(const BenchTable *t);
BenchPrint *bench_printer(const char *format); /* "md", "json", "csv"; NULL: none such */

#endif
