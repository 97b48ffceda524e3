/* What the calls of ternc.h share: opening a source, choosing levels. */
#ifndef TN_SOURCE_H
#define TN_SOURCE_H

#include "codegen/tune.h"
#include "frontends/api/ternc.h"
#include "frontends/gguf/gguf.h"

/* The model embedded in the library. */
extern const unsigned char tn_embedded_model[];
extern const unsigned char tn_embedded_model_end[];

/* Opens source->path, or the embedded model, and applies the overrides. */
TernStatus tn_source_open(const TerncSource *source, bool vocab_only, TnGguf **out, TernError *err);
/* When all is read of it that the caller reads: refuses an override that nobody read, and sends source->note. */
TernStatus tn_source_settle(const TerncSource *source, TnGguf *g, bool vocab_only, TernError *err);
/* NULL: lossless (TN_ENC_COUNT); `field` is named if it is refused. */
TernStatus tn_head_parse(const char *field, const char *head, TnEnc *out, TernError *err);
/* Refuses a target that this build has not; NULL is fine. `field` is named. */
TernStatus tn_target_check(const char *field, const char *target, TernError *err);
/* Splits a comma list in place of a copy in the arena; empty items are refused. */
TernStatus tn_list_split(TnArena *arena, const char *what, const char *list, const char ***out,
                         uint32_t *out_n, TernError *err);
/* A list of levels, each one that there is and none twice. */
TernStatus tn_levels_split(TnArena *arena, const char *field, const char *list, const char ***out,
                           uint32_t *out_n, TernError *err);
/* The levels to compile for; alone: the one that loading takes. */
TernStatus tn_levels_choose(const TerncOptions *o, bool alone, TnArena *arena, const char ***out,
                            uint32_t *out_n, TernError *err);

/* ---- text_graph.c: graphs from text */
/* Whether a path names a text: `.tir`, or "-" for standard input. */
bool tn_path_is_text(const char *path);
/* Reads and verifies all graphs of a file; tn_graphs_free(). On faults they are in *diag (tn_diag_free), the
 * first in err. */
TernStatus tn_text_read(const char *path, TnGraph ***out, uint32_t *out_n, TnDiag *diag, TernError *err);
TernStatus tn_diag_fail(const TnDiag *d, TernError *err); /* the first fault, and how many more */
void tn_graphs_free(TnGraph **gs, uint32_t n);
/* The one graph of a text, of whatever stage, as one of stage=model; *settings (may be NULL) as below. */
TernStatus tn_text_model(const char *path, TnGraph **out, TnTuneTable *settings, TernError *err);
/* The model-stage graph of a source and its facts: the opened file's own, or the text's, whose tensors, inputs
 * and outputs must be the file's, and whose layers and heads hold. Of a planned text the kernels'
 * settings go to *settings, if that is not NULL; tn_tune_free() it in any case. */
TernStatus tn_source_graph(const TerncSource *source, TnGguf *file, TnGraph **out, TnFacts *facts,
                           TnTuneTable *settings, TernError *err);

/* A blob opened to be read, never run: any machine will do. */
TernStatus tn_open_for_reading(const char *path, TernModel **out, TernError *err);

#endif
