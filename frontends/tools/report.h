/* The import report: what a model file is, what Tern infers, and what would run. report.c and producer.c
 * gather it, report_text.c writes it. */
#ifndef TN_REPORT_H
#define TN_REPORT_H

#include "frontends/api/source.h"
#include "frontends/tools/trits.h"

/* A conclusion and its reason, in words. */
typedef struct TnFinding {
    const char *what, *value, *from;
} TnFinding;
typedef struct TnFindings {
    TnFinding *v;
    size_t n, cap;
} TnFindings;

typedef struct TnReportMatrix {
    const TnGgufTensor *tensor;
    TnTrits trits;
} TnReportMatrix;

/* Neurons of a layer's feed-forward that give zero for any input. */
typedef struct TnReportFfn {
    uint32_t layer;
    uint64_t neurons, gate, up, dead; /* zero rows of ffn_gate, of ffn_up, and neurons where either is zero */
} TnReportFfn;

/* Kernels of a variant with the same code. */
typedef struct TnReportKernels {
    char what[96];
    const char *target, *axis;
    uint32_t n;
} TnReportKernels;
typedef struct TnReportVariant {
    int64_t rows_lo, rows_hi;
    TnReportKernels *v;
    size_t n, cap;
} TnReportVariant;

typedef struct TnReport {
    TnArena arena;
    TnGguf *gguf;
    TnGraph *graph; /* NULL if the model does not run */
    TnFacts facts;
    TernError refused; /* why not */
    TnFindings producer, inferred, notes;
    const char **ignored_keys; /* never read while the graph and the vocabulary were made */
    size_t n_ignored_keys;
    const char **ignored_tensors;
    size_t n_ignored_tensors;
    TnReportMatrix *matrices; /* ternary ones, in the file's order */
    size_t n_matrices;
    TnReportFfn *ffn;
    size_t n_ffn;
    uint64_t other_bytes, n_other;                  /* dense matrices that are not ternary */
    uint64_t n_ternary, packed_bytes, stored_bytes; /* weights; as p64; as they lie in the file */
    uint64_t n_table, n_norm;                       /* values of embedding and head; of norms */
    uint64_t table_bytes;                           /* as they lie in the file */
    uint64_t kv_values;                             /* values of one position in all layers */
    uint64_t planned_bytes;                         /* of all weights that the planned graph reads */
    const char *level;
    TnReportVariant variants[TN_BATCH_CLASSES];
    size_t n_variants;
} TnReport;

void tn_findings_add(TnFindings *f, TnArena *arena, const char *what, const char *value, const char *from);
/* producer.c: finds who packed the weights and who converted the model, as far as the file tells; reads only
 * keys. Also adds notes about known traps. */
void tn_report_producer(TnReport *r);
/* i2s_probe.c: adds a note that says which layout of I2_S gives the lowest loss of a fixed prompt; runs the model. */
TernStatus tn_report_i2s_probe(TnReport *r, const TerncSource *source, TernError *err);
/* Which of n losses, in nats a token, is far below the others and far below a blind guess; n if none is. One that is not
 * a number counts as infinite. */
size_t tn_i2s_best(const double *loss, size_t n, double blind);
/* report_text.c */
void tn_report_text(const TnReport *r, TnBuf *out);
void tn_report_json(const TnReport *r, TnBuf *out);

#endif
