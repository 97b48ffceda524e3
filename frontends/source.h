/* What the calls of ternc.h share: opening a source, choosing levels. */
#ifndef TN_SOURCE_H
#define TN_SOURCE_H

#include "codegen/codegen.h"
#include "frontends/gguf/gguf.h"
#include "frontends/ternc.h"

/* The model embedded in the library. */
extern const unsigned char tn_embedded_model[];
extern const unsigned char tn_embedded_model_end[];

/* Opens source->path, or the embedded model, and applies the overrides. */
TernStatus tn_source_open(const TerncSource *source, bool vocab_only, TnGguf **out, TernError *err);
/* "" or NULL: lossless (TN_ENC_COUNT). */
TernStatus tn_head_parse(const char *head, TnEnc *out, TernError *err);
/* Splits a comma list in place of a copy in the arena; empty items are refused. */
TernStatus tn_list_split(TnArena *arena, const char *what, const char *list, const char ***out,
                         uint32_t *out_n, TernError *err);

/* A blob opened to be read, never run: any machine will do. */
TernStatus tn_open_for_reading(const char *path, TernModel **out, TernError *err);

#endif
