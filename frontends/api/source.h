/* Helpers that the calls of ternc.h share: open a source, choose levels, read graphs from text. */
#ifndef TN_SOURCE_H
#define TN_SOURCE_H

#include "codegen/tune.h"
#include "frontends/api/ternc.h"
#include "frontends/gguf/gguf.h"

/* The bytes of the model embedded in the library. */
extern const unsigned char tn_embedded_model[];
extern const unsigned char tn_embedded_model_end[];

/* Opens source->path, or the embedded model, and applies the overrides and the layout of I2_S. */
TernStatus tn_source_open(const TerncSource *source, bool vocab_only, TnGguf **out, TernError *err);
/* folder_source.c: opens a folder of Hugging Face, which becomes a GGUF in memory. */
TernStatus tn_source_folder(const TerncSource *source, bool vocab_only, TnGguf **out, TernError *err);
/* Call this when everything needed from the file has been read. Refuses an override that was never read, and
 * sends source->note. */
TernStatus tn_source_settle(const TerncSource *source, TnGguf *g, bool vocab_only, TernError *err);
/* Parses a head option. NULL means lossless and gives TN_ENC_COUNT. The error names `field`. */
TernStatus tn_head_parse(const char *field, const char *head, TnEnc *out, TernError *err);
/* Refuses a target that this build does not have; accepts NULL. The error names `field`. */
TernStatus tn_target_check(const char *field, const char *target, TernError *err);
/* Copies a comma list into the arena and splits the copy. Refuses empty items. */
TernStatus tn_list_split(TnArena *arena, const char *what, const char *list, const char ***out,
                         uint32_t *out_n, TernError *err);
/* The same for a list of levels. Also refuses an unknown level and one that is given twice. */
TernStatus tn_levels_split(TnArena *arena, const char *field, const char *list, const char ***out,
                           uint32_t *out_n, TernError *err);
/* Chooses the levels to compile for. alone: only the one that loading would use. */
/* The family of processors (codegen/families.def) that is meant by the fields `family` and `levels` of options, each of
 * which may be NULL. NULL: any. */
const char *tn_family_choose(const char *family, const char *levels);
TernStatus tn_levels_choose(const TerncOptions *o, bool alone, TnArena *arena, const char ***out,
                            uint32_t *out_n, TernError *err);

/* ---- text_graph.c: graphs from text */
/* Whether a path names a text: it ends in .tir, or is "-" for standard input. */
bool tn_path_is_text(const char *path);
/* Reads and verifies all graphs of a file; free them with tn_graphs_free(). If there are faults, *diag has
 * them all (free it with tn_diag_free) and err the first. */
TernStatus tn_text_read(const char *path, TnGraph ***out, uint32_t *out_n, TnDiag *diag, TernError *err);
TernStatus tn_diag_fail(const TnDiag *d, TernError *err); /* the first fault, and how many more */
void tn_graphs_free(TnGraph **gs, uint32_t n);
/* Reads the only graph of a text, which may be at any stage, and turns it into one of stage=model. *settings
 * (may be NULL) as below. */
TernStatus tn_text_model(const char *path, TnGraph **out, TnTuneTable *settings, TernError *err);
/* Gives the model-stage graph of a source for a context (TnGgufOptions), and its facts. It is the opened file's own graph, or that of
 * source->tir, whose tensors, inputs and outputs must be the file's, and whose numbers of layers and heads
 * then replace the file's. If settings is not NULL and the text is planned, its kernels' settings go to
 * *settings; tn_tune_free() it in any case. */
TernStatus tn_source_graph(const TerncSource *source, TnGguf *file, uint32_t context, TnGraph **out,
                           TnFacts *facts, TnTuneTable *settings, TernError *err);

/* Opens a blob for reading only; its kernels cannot be run. Works on any machine. */
TernStatus tn_open_for_reading(const char *path, TernModel **out, TernError *err);

#endif
