/* For tests: evaluates a graph of the frontend over one or more sequences at once. */
#ifndef TN_TEST_EVAL_MODEL_H
#define TN_TEST_EVAL_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "frontends/gguf/gguf.h"
#include "ir/eval.h"

static inline void assert_verified(const TnGraph *g) {
    TnDiag diag = {0};
    if (tn_verify(g, &diag) != TERN_OK) fail_msg("%s", diag.text.data);
    tn_diag_free(&diag);
}

typedef struct Runner {
    TnEval *e;
    int64_t sym[TN_SYM_COUNT];
    uint32_t vocab, hidden, slots, pages; /* pages of a slot */
} Runner;

/* Makes room for `rows` rows per step and `slots` sequences of `context` positions. */
static inline Runner runner(const TnGguf *gg, const TnGraph *g, const TnFacts *f, uint32_t rows,
                            uint32_t slots, uint32_t context) {
    Runner r = {.vocab = f->n_vocab, .hidden = f->n_hidden, .slots = slots, .pages = (context + 63) / 64};
    TernError err;
    TnWeights w = tn_gguf_weights(gg);
    for (int i = TN_T; i <= TN_H; i++) r.sym[i] = rows;
    r.sym[TN_S] = slots;
    r.sym[TN_P] = r.pages;
    r.sym[TN_N] = slots * r.pages;
    if (tn_eval_create(g, &w, r.sym, &r.e, &err) != TERN_OK) fail_msg("%s", err.text);
    int32_t *table = tn_eval_input(r.e, "table");
    for (uint32_t i = 0; i < slots * r.pages; i++)
        table[i] = (int32_t)(slots * r.pages - 1 - i); /* not in order */
    return r;
}

/* Runs one step: row t is token ids[t] at pos[t] of slot[t]. Fills logits [n, vocab] and hidden [n, hidden],
 * which may be NULL. */
static inline void runner_step(Runner *r, const int32_t *ids, const int32_t *pos, const int32_t *slot,
                               uint32_t n, float *logits, float *hidden) {
    for (int i = TN_T; i <= TN_H; i++) r->sym[i] = n;
    memcpy(tn_eval_input(r->e, "ids"), ids, n * sizeof *ids);
    memcpy(tn_eval_input(r->e, "pos"), pos, n * sizeof *pos);
    memcpy(tn_eval_input(r->e, "slot"), slot, n * sizeof *slot);
    int32_t *rows = tn_eval_input(r->e, "rows"), *hrows = tn_eval_input(r->e, "hrows");
    for (uint32_t i = 0; i < n; i++) rows[i] = hrows[i] = (int32_t)i;
    tn_eval_run(r->e, r->sym);
    /* rows are padded to multiples of 64 values */
    size_t step = (r->vocab + TN_PAD - 1) / TN_PAD * TN_PAD,
           hstep = (r->hidden + TN_PAD - 1) / TN_PAD * TN_PAD;
    const float *from = tn_eval_output(r->e, "logits"), *h = tn_eval_output(r->e, "hidden");
    for (uint32_t i = 0; i < n; i++) {
        memcpy(logits + (size_t)i * r->vocab, from + i * step, r->vocab * sizeof *from);
        if (hidden) memcpy(hidden + (size_t)i * r->hidden, h + i * hstep, r->hidden * sizeof *h);
    }
}

#endif
