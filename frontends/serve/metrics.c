/* Prints metrics.def as Prometheus reads it (text format 0.0.4). */
#include "frontends/serve/metrics.h"
#include <math.h>
#include <string.h>

static const double least_second = 1.0 / 1024;

void tn_metrics_seconds(TnHistogram *h, double seconds) {
    int i = 0;
    for (double bound = least_second; i < TN_BUCKETS && seconds > bound; bound *= 2) i++;
    h->counts[i]++;
    h->sum += seconds;
}

/* ---- What generators count */

void tn_metrics_add(TnMetrics *m, const TernGeneratorCounts *c) {
#define TN_SUMS
#define TN_METRIC(kind, name, help)
#define TN_SUM(kind, name, field, help) m->name += (double)c->field;
#define TN_HISTOGRAM(name, help)
#include "frontends/serve/metrics.def"
#undef TN_SUMS
    TnHistogram *h = &m->step_sequences;
    for (size_t n = 1; n < c->n_by_size; n++) {
        h->counts[n <= TN_BUCKETS ? n - 1 : TN_BUCKETS] += c->by_size[n];
        h->sum += (double)(n * c->by_size[n]);
    }
    m->step_sequences_total = h->sum;
    for (size_t i = 0; i < TERN_ENDS; i++) m->by_end[i] += c->n_ended[i];
}

void tn_metrics_replace(TnMetrics *m, const TnMetrics *by) {
#define TN_SUMS
#define TN_METRIC(kind, name, help)
#define TN_SUM(kind, name, field, help) m->name = by->name;
#define TN_HISTOGRAM(name, help)
#include "frontends/serve/metrics.def"
#undef TN_SUMS
    m->step_sequences = by->step_sequences;
    m->step_sequences_total = by->step_sequences_total;
    memcpy(m->by_end, by->by_end, sizeof m->by_end);
}

/* ---- Text */

static void print_number(double v, TnBuf *out) {
    if (v == floor(v) && fabs(v) < 1e15)
        tn_buf_printf(out, "%.0f", v);
    else
        tn_buf_printf(out, "%.9g", v);
}

static void print_kind(const char *prefix, const char *name, const char *kind, const char *help, TnBuf *out) {
    tn_buf_printf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help, prefix, name, kind);
}

static void print_value(const char *prefix, const char *name, const char *kind, const char *help, double v,
                        TnBuf *out) {
    print_kind(prefix, name, kind, help, out);
    tn_buf_printf(out, "%s%s ", prefix, name);
    print_number(v, out);
    tn_buf_puts(out, "\n");
}

static void print_histogram(const char *name, const char *help, const TnHistogram *h, bool seconds,
                            TnBuf *out) {
    uint64_t n = 0;
    double bound = least_second;
    print_kind("tern_", name, "histogram", help, out);
    for (int i = 0; i < TN_BUCKETS; i++, bound *= 2) {
        n += h->counts[i];
        tn_buf_printf(out, "tern_%s_bucket{le=\"", name);
        print_number(seconds ? bound : i + 1, out);
        tn_buf_printf(out, "\"} %llu\n", (unsigned long long)n);
    }
    n += h->counts[TN_BUCKETS];
    tn_buf_printf(out, "tern_%s_bucket{le=\"+Inf\"} %llu\ntern_%s_sum ", name, (unsigned long long)n, name);
    print_number(h->sum, out);
    tn_buf_printf(out, "\ntern_%s_count %llu\n", name, (unsigned long long)n);
}

static void print_llama(const TnMetrics *m, TnBuf *out) {
#define TN_LLAMA(kind, name, help) print_value("llamacpp:", #name, #kind, help, m->name, out);
#define TN_METRIC(kind, name, help)
#define TN_HISTOGRAM(name, help)
#include "frontends/serve/metrics.def"
}

static void print_ends(const TnMetrics *m, TnBuf *out) {
    static const char *const names[] = {
        [TERN_END_NOT] = "dropped",   [TERN_END_TOKEN] = "token",     [TERN_END_STOP] = "stop",
        [TERN_END_LENGTH] = "length", [TERN_END_CONTEXT] = "context", [TERN_END_CANCELLED] = "cancelled",
        [TERN_END_FAILED] = "failed", [TERN_END_GRAMMAR] = "grammar"};
    print_kind("tern_", "sequences_ended_total", "counter", "Sequences by how they ended.", out);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        tn_buf_printf(out, "tern_sequences_ended_total{end=\"%s\"} %llu\n", names[i],
                      (unsigned long long)m->by_end[i]);
}

static bool of_seconds(const char *name) {
    size_t n = strlen(name);
    return n > 8 && strcmp(name + n - 8, "_seconds") == 0;
}

void tn_metrics_print(const TnMetrics *m, bool llama, TnBuf *out) {
    if (llama) {
        print_llama(m, out);
        return;
    }
#define TN_METRIC(kind, name, help) print_value("tern_", #name, #kind, help, m->name, out);
#define TN_HISTOGRAM(name, help)    print_histogram(#name, help, &m->name, of_seconds(#name), out);
#include "frontends/serve/metrics.def"
    print_ends(m, out);
    print_kind("tern_", "responses_total", "counter", "Answers by their HTTP status.", out);
    for (int i = 0; i < 600; i++)
        if (m->by_status[i])
            tn_buf_printf(out, "tern_responses_total{code=\"%d\"} %llu\n", i,
                          (unsigned long long)m->by_status[i]);
}
