/* The numbers of /metrics. The table is metrics.def: a field of a struct for each, and the text of Prometheus is printed from the
 * same rows. */
#ifndef TN_SERVE_METRICS_H
#define TN_SERVE_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include "runtime/base/buf.h"
#include "runtime/generate/generate.h"

enum { TN_BUCKETS = 16 };
typedef struct TnHistogram {
    uint64_t counts[TN_BUCKETS + 1]; /* not cumulative; the last one: above all bounds */
    double sum;
} TnHistogram;

typedef struct TnMetrics {
#define TN_METRIC(kind, name, help) double name;
#define TN_HISTOGRAM(name, help)    TnHistogram name;
#include "frontends/serve/metrics.def"
    uint64_t by_status[600];    /* answers by their HTTP status */
    uint64_t by_end[TERN_ENDS]; /* sequences by their end */
} TnMetrics;

/* Seconds go by powers of two from a millisecond; numbers of sequences by whole numbers up to 16. */
void tn_metrics_seconds(TnHistogram *h, double seconds);
/* Adds what a generator has counted. */
void tn_metrics_add(TnMetrics *m, const TernGeneratorCounts *c);
/* Takes everything that tn_metrics_add writes. */
void tn_metrics_replace(TnMetrics *m, const TnMetrics *by);
/* Prints all of them. llama: those that llama-server has, with its prefix "llamacpp:", which Prometheus' own checks do not
 * like; else with "tern_". */
void tn_metrics_print(const TnMetrics *m, bool llama, TnBuf *out);

#endif
