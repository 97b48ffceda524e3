/* What the passes share: edits that change a graph all at once, and the lists of readers. */
#ifndef TN_PASSES_INTERNAL_H
#define TN_PASSES_INTERNAL_H

#include "passes/passes.h"

/* ---- edit.c: a pass notes replacements while it looks at the graph; tn_edit_end makes them all. */
typedef struct TnEdit {
    TnGraph *g;
    TnRef *to; /* the value that replaces each value; itself if it stays, TN_NONE if it is dropped */
    TnRef n;   /* length of to; nodes added later stand for themselves */
} TnEdit;

void tn_edit_begin(TnEdit *e, TnGraph *g);
/* Makes the readers of `from` read `to` and removes `from`, which must have existed at tn_edit_begin. Follows chains of
 * replacements. */
void tn_edit_replace(TnEdit *e, TnRef from, TnRef to);
/* The same, and gives the name of `from` to `to`, which must have been added since. */
void tn_edit_become(TnEdit *e, TnRef from, TnRef to);
/* Removes r. Nothing may read it afterwards. */
void tn_edit_drop(TnEdit *e, TnRef r);
/* The value that replaces r so far. */
TnRef tn_edit_find(const TnEdit *e, TnRef r);
/* Ends the edit: redirects all readers, removes the replaced nodes and the added nodes that nothing reads, and orders the
 * rest. Old nodes keep their order and an added node comes right before its first reader. With `sources_first` all sources
 * and inputs come first. */
void tn_edit_end(TnEdit *e, bool sources_first);

/* ---- hooks.c: the answers of the level's targets to TnTargetDesc.repeats, holds and pays. */
bool tn_repeats(const TnPassCtx *ctx, const TnGraph *g, TnRef r);
bool tn_holds(const TnPassCtx *ctx, const TnGraph *g, TnRef r);
bool tn_pays(const TnPassCtx *ctx, const TnPass *pass, const TnGraph *g);

/* ---- The readers of every value, as lists. Those of r are list[at[r]] .. list[at[r + 1] - 1], rising, with one entry for
 * each operand that is r. */
typedef struct TnReaders {
    uint32_t *at;
    TnRef *list;
} TnReaders;
void tn_readers_create(const TnGraph *g, TnReaders *out);
void tn_readers_destroy(TnReaders *u);

/* A (t)matmul or estimate: its columns are the rows of its weight. */
static inline bool tn_is_matmul(const TnNode *n) {
    return tn_op_is(n->op, TN_TRAIT_PRODUCT);
}
static inline TnOpClass tn_class_of(const TnGraph *g, TnRef r) {
    return tn_ops[g->nodes[r].op].class;
}
static inline bool tn_is_cache(const TnType *t) {
    return tn_encs[t->enc].kind == TN_CACHE;
}

#endif
