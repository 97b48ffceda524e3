/* Opens the graphs of any file that holds some, for calls that read and do not run. */
#ifndef TN_GRAPHS_H
#define TN_GRAPHS_H

#include "frontends/api/source.h"
#include "frontends/api/ternc_tools.h"

typedef enum TnGraphsKind { TN_GRAPHS_TEXT, TN_GRAPHS_GGUF, TN_GRAPHS_BLOB } TnGraphsKind;

typedef struct TnGraphs {
    TnGraphsKind kind;
    const char *path; /* the name in messages */
    TnGraph **g;
    uint32_t n;       /* at least 1 */
    TnGguf *gguf;     /* of a model file */
    TernModel *model; /* of a blob */
} TnGraphs;

/* Opens a .tir (any number of graphs, verified), a model file (one graph, as built; `source` may give
 * overrides; path NULL: the embedded model) or a blob (one graph per variant). The first bytes tell the kind
 * of file; "-" is text. Faults of a text are sent as what = "faults". A failure leaves nothing allocated. */
TernStatus tn_graphs_open(const char *path, const TerncSource *source, TerncTextFn *text, void *user,
                          TnGraphs *out, TernError *err);
void tn_graphs_close(TnGraphs *s);

/* cost.c: describes a kernel by its root and what that reads, "tmatmul p64[512,256]"; without a root by its
 * ops in order. */
void tn_kernel_describe(const TnGraph *g, uint32_t kernel, char *out, size_t n);

#endif
