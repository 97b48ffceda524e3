/* Inside the sampler. sampler.c picks from all logits and from as many of the best as the options ask for;
 * sampler_try.c picks from the best 256 where they settle the pick. */
#ifndef TN_TEXT_SAMPLER_H
#define TN_TEXT_SAMPLER_H

#include "runtime/text/text.h"

enum { TN_SAMPLER_TOP_MOST = 256 };

typedef struct TnCand {
    int32_t id;
    float logit;
} TnCand;

struct TernSampler {
    TernSamplerOptions o;
    TernSamplerWant want;
    size_t n_vocab;
    uint64_t rng[4];
    TnCand *cands; /* n_vocab of them, or 256 if the k best are enough */
    /* With a penalty only: the last ids as a ring. */
    int32_t *recent;
    size_t n_recent, next_recent;
    float *bias;     /* [n_vocab], with a bias only */
    int32_t *biased; /* [o.n_bias] the ids that have one */
    /* With a frequency or presence penalty only: how often each id was picked, and those that were. */
    uint32_t *counts; /* [n_vocab] */
    int32_t *counted; /* [n_vocab] */
    size_t n_counted;
    uint8_t *marks; /* [n_vocab], with a penalty or a bias only: TN_MARK_*, of the current pick */
};
enum { TN_MARK_RECENT = 1, TN_MARK_LISTED = 2 };

static inline bool tn_sampler_knows(const TernSampler *s, int32_t id) {
    return id >= 0 && (size_t)id < s->n_vocab;
}
/* The order of all lists: the best logit first, then the lowest id. */
static inline bool tn_cand_better(TnCand a, TnCand b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* The first of the allowed ids, of which there is one at least. */
static inline int32_t tn_sampler_first_of(const TernAllowed *a) {
    size_t w = 0;
    while (!a->words[w]) w++;
    return (int32_t)(64 * w) + __builtin_ctzll(a->words[w]);
}

/* Sets or clears a mark on all recent ids. */
void tn_sampler_mark_recent(TernSampler *s, bool on);
/* A logit with bias and penalties. For each id it never falls when the logit rises. Needs the marks of recent ids. */
TnCand tn_sampler_adjust(const TernSampler *s, int32_t id, float logit);
/* Sorts candidates, best first. */
void tn_sampler_sort(TnCand *v, size_t n);
/* The share of a candidate before it is divided by the total. */
double tn_sampler_weight(TnCand c, float best, double temp);
/* Whether the options leave only the best id, and how many of the best they keep at most: 1, top_k, or all. */
bool tn_sampler_is_greedy(const TernSampler *s);
size_t tn_sampler_keeps(const TernSampler *s);
/* Whether a pick from all logits goes through the candidates by id instead of best first. */
bool tn_sampler_goes_by_id(const TernSampler *s);
/* The chain from top-p on. Draws one of n >= 1 candidates. Either they are sorted, best first, or they are all logits in the
 * order of ids. In the second case, top-p takes the best from a heap one by one, only as many as it keeps. */
int32_t tn_sampler_draw(TernSampler *s, TnCand *v, size_t n, bool sorted);
/* Draws one of the n >= 1 candidates at[0], at[step], at[2 * step], ..; this is the end of the chain. */
int32_t tn_sampler_draw_kept(TernSampler *s, const TnCand *at, ptrdiff_t step, size_t n, float best);

TernStatus tn_sampler_check_logit(float logit, size_t id, TernError *err);
/* Ends a pick. */
TernStatus tn_sampler_picked(TernSampler *s, int32_t id, int32_t *out_id, TernError *err);

#endif
