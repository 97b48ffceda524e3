/* tern bench: what a row of the table holds. verb_bench.c measures, bench_floor.c says what the machine allows,
 * bench_print.c writes it. */
#ifndef TN_CLI_BENCH_H
#define TN_CLI_BENCH_H

#include "frontends/cli/cli.h"
#include "frontends/cli/machine.h"

#define BENCH_SAMPLES 100

/* A test, and what it gave. Every sequence first holds `depth` positions (not timed), then takes n_prompt rows in one
 * step, then n_gen steps of one row for each sequence. */
typedef struct BenchRow {
    char test[64], backend[48];
    uint32_t threads, n_prompt, n_gen, depth, sequences;
    uint32_t n_samples;
    double
        samples[BENCH_SAMPLES]; /* tokens a second of all sequences together, in the order they were taken */
    double mean, stddev, median, least, most;
    const Machine *machine; /* of its thread count */
    /* by bench_floor; 0 where nothing is known */
    double bytes;     /* that a repetition must read: weights once a step, and what attention looks back at */
    double macs;      /* multiply-adds of a repetition */
    double floor;     /* tokens a second if only the machine's rates counted */
    bool floor_reads; /* most of the floor is reading, not arithmetic */
} BenchRow;

/* Tokens that a repetition makes. */
double bench_tokens(const BenchRow *b);
/* How much of its floor a row reaches; 0 where that is unknown. */
double bench_share(const BenchRow *b);

/* Fills bytes, macs and floor from the plans of the model. Without the compiler library, which knows what a kernel
 * reads, they stay 0. */
TernStatus bench_floors(Loaded *l, TernKv kv, BenchRow *rows, uint32_t n, TernError *err);

typedef struct BenchTable {
    const Loaded *model;
    uint64_t
        file_bytes; /* of the model file; 0: it has none, and the size is that of the weights in memory */
    const char *kv;
    const BenchRow *rows;
    uint32_t n;
    const Machine *machines; /* one a thread count; bytes 0: nothing was measured */
    uint32_t n_machines;
    int64_t repeats;
} BenchTable;
typedef void BenchPrint(const BenchTable *t);
BenchPrint *bench_printer(const char *format); /* "md", "json", "csv"; NULL: none such */

#endif
