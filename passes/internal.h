/* What the passes share: changing a graph all at once, and who reads what. */
#ifndef TN_PASSES_INTERNAL_H
#define TN_PASSES_INTERNAL_H

#include "passes/passes.h"

/* ---- edit.c: replacements are noted while a pass looks at the graph, and made together at the end. */
typedef struct TnEdit {
    TnGraph *g;
    TnRef *to; /* what stands in a value's place; itself if nothing does, TN_NONE if dropped */
    TnRef n;   /* length of to; nodes added later stand for themselves */
} TnEdit;

void tn_edit_begin(TnEdit *e, TnGraph *g);
/* Readers of `from`, which was there at tn_edit_begin, shall read `to`. Chains are followed. `from` goes. */
void tn_edit_replace(TnEdit *e, TnRef from, TnRef to);
/* The same, and `to`, a node added since, takes the name too. */
void tn_edit_become(TnEdit *e, TnRef from, TnRef to);
/* r, which nobody will read, goes. */
void tn_edit_drop(TnEdit *e, TnRef r);
/* What a reference has become so far. */
TnRef tn_edit_find(const TnEdit *e, TnRef r);
/* Puts all readers straight, drops what was replaced and unread nodes added since, and orders the rest: as
 * before, with an added node right before its first reader, or with all sources and inputs in front if
 * `sources_first`. Ends the edit. */
void tn_edit_end(TnEdit *e, bool sources_first);

/* ---- hooks.c: TnTargetDesc.repeats and pays, asked of the level's targets. */
bool tn_repeats(const TnPassCtx *ctx, TnOp op, const TnGraph *g);
bool tn_pays(const TnPassCtx *ctx, const TnPass *pass, const TnGraph *g);

/* ---- Readers of every value, as lists: readers of r are list[at[r]] .. list[at[r + 1] - 1], rising, one
 * entry an operand. */
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
