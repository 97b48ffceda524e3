/* Graphs out of any file that holds some, for the calls that read and do not run. */
#ifndef TN_GRAPHS_H
#define TN_GRAPHS_H

#include "frontends/api/source.h"
#include "frontends/api/ternc_tools.h"

typedef enum TnGraphsKind { TN_GRAPHS_TEXT, TN_GRAPHS_GGUF, TN_GRAPHS_BLOB } TnGraphsKind;

typedef struct TnGraphs {
    TnGraphsKind kind;
    const char *path; /* as messages name it */
    TnGraph **g;
    uint32_t n;       /* at least 1 */
    TnGguf *gguf;     /* of a model file */
    TernModel *model; /* of a blob */
} TnGraphs;

/* A .tir (any number of graphs, verified), a model file (one, as built; `source` may give overrides; path NULL: the
 * embedded model) or a blob (one a variant). What a file is, its first bytes say; "-" is text. Faults of a text are
 * sent as what = "faults". On failure nothing is left. */
TernStatus tn_graphs_open(const char *path, const TerncSource *source, TerncTextFn *text, void *user,
                          TnGraphs *out, TernError *err);
void tn_graphs_close(TnGraphs *s);

/* cost.c: the root of a kernel and what it reads, "tmatmul p64[512,256]"; without a root the ops in order. */
void tn_kernel_describe(const TnGraph *g, uint32_t kernel, char *out, size_t n);

#endif
