/* What sequences leave for others: stored beginnings, and who may begin with what (store.c). */
#ifndef TN_GENERATE_STORE_H
#define TN_GENERATE_STORE_H

#include "runtime/generate/sequence.h"

/* The longest beginning of these ids that some slot holds, at most n, and the slot. 0: none, or nothing is shared. */
uint32_t tn_store_find(const TernGenerator *g, const int32_t *ids, size_t n, uint32_t *slot);
/* Makes slot `to`, which has no stored beginning, hold the first n ids that `from` holds, which may be the same. If nothing
 * is shared, that is a truncation. */
void tn_store_fork(TernGenerator *g, uint32_t from, uint32_t to, size_t n);
/* Others may take what the slot holds now, or nothing of it. */
void tn_store_show(TernGenerator *g, uint32_t slot, bool shown);
/* Empties a slot that no sequence is in. */
void tn_store_drop(TernGenerator *g, uint32_t slot);
/* A sequence has left the slot: its beginning is stored, unless another slot holds it too. */
void tn_store_keep(TernGenerator *g, uint32_t slot);
/* A slot that is not in use, while fewer than g->slots are: a free one, or else the one of the stored beginning that was used
 * least recently. `source`, if it is stored, comes last and keeps what it holds; what another holds is dropped. */
uint32_t tn_store_place(TernGenerator *g, uint32_t source);
/* Drops stored beginnings until the rows of the step find free pages, or until one page is free. */
void tn_store_make_room(TernGenerator *g);
void tn_store_free_page(TernGenerator *g);
/* A device has failed: no slot holds anything. */
void tn_store_lose(TernGenerator *g);

/* Before a sequence runs rows of its prompt: takes what other slots hold of it by now, if that is some rows more. */
void tn_store_share(TernSequence *s);
/* Whether a sequence in the step so far runs some rows that this one can have instead of running them. */
bool tn_store_waits(const TernSequence *s);

#endif
