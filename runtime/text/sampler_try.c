/* Picks from the best ids alone, where they settle the pick.
 *
 * The list holds the k best ids by their raw logits, and what is not on it is the tail. The bias and the penalties change
 * only the logits of *special* ids, biased, recent or picked ones, and never reverse the order of two raw logits of one id. So with
 * l the last logit of the list,
 *
 *   an id of the tail that is not special comes after the last of the list in the order of all ids;
 *   a special one comes at best where its logit would be if its raw logit were l.
 *
 * The best of these places is the bound: an allowed id of the list that is not worse than the bound comes before the whole
 * tail. Those ids, in order, are the first ones of the list that a pick from all logits would make; call them known. What
 * the chain then keeps is a prefix of that list: the first top_k, the first that reach top_p, and of those the first within
 * min_p of the best. The prefix is settled if it ends within the known ids whatever the tail holds: its total weight is
 * between nothing and one bound for each id. The total of a pick from all logits may be summed in another order, which
 * changes it by less than the slack below.
 *
 * If that fails, the mask may show that the tail has no allowed ids at all. Then all candidates are known. Or it shows that
 * a single id is allowed, which is the pick whatever its logit is, -infinity too; only its bias may forbid it. */
#include <math.h>
#include <stdlib.h>
#include "runtime/base/fmath.h"
#include "runtime/base/options.h"
#include "runtime/text/sampler.h"

static const double slack = 1e-6; /* far more than 2^24 roundings of a double */

typedef struct Try {
    TernSampler *s;
    const TernFilter *filter;
    const int32_t *ids;
    const float *logits;
    size_t n_list;
    bool no_tail;
    TnCand bound;   /* unless there is no tail */
    size_t n_known; /* of s->cands, best first, in front of the others */
} Try;

static TernStatus is_allowed(const Try *t, int32_t id, bool *out, TernError *err) {
    *out = true;
    return t->filter ? t->filter->allows(t->filter->user, id, out, err) : TERN_OK;
}

/* ---- The bound */

static void mark_list(Try *t, bool on) {
    uint8_t *marks = t->s->marks;
    for (size_t i = 0; marks && i < t->n_list; i++)
        marks[t->ids[i]] =
            (uint8_t)(on ? marks[t->ids[i]] | TN_MARK_LISTED : marks[t->ids[i]] & ~TN_MARK_LISTED);
}

static TernStatus raise_bound(Try *t, float last, const int32_t *special, size_t n, TernError *err) {
    for (size_t i = 0; i < n; i++) {
        bool allowed;
        if (!tn_sampler_knows(t->s, special[i]) || t->s->marks[special[i]] & TN_MARK_LISTED) continue;
        TnCand at_best = tn_sampler_adjust(t->s, special[i], last);
        if (!tn_cand_better(at_best, t->bound)) continue;
        TN_TRY(is_allowed(t, special[i], &allowed, err));
        if (allowed) t->bound = at_best;
    }
    return TERN_OK;
}

static TernStatus find_bound(Try *t, TernError *err) {
    size_t last = t->n_list - 1;
    t->bound = (TnCand){t->ids[last], t->logits[last]};
    t->no_tail = t->n_list == t->s->n_vocab || t->bound.logit == -INFINITY;
    if (t->no_tail) return TERN_OK;
    TN_TRY(raise_bound(t, t->logits[last], t->s->biased, t->s->o.n_bias, err));
    TN_TRY(raise_bound(t, t->logits[last], t->s->recent, t->s->n_recent, err));
    return raise_bound(t, t->logits[last], t->s->counted, t->s->n_counted, err);
}

/* ---- The known ids */

static size_t list_adjusted(Try *t) {
    TnCand *v = t->s->cands;
    size_t n = 0;
    bool sorted = true;
    for (size_t i = 0; i < t->n_list; i++) {
        v[n] = tn_sampler_adjust(t->s, t->ids[i], t->logits[i]);
        if (v[n].logit == -INFINITY) continue;
        sorted = sorted && (n == 0 || tn_cand_better(v[n - 1], v[n]));
        n++;
    }
    if (!sorted) tn_sampler_sort(v, n);
    return n;
}

/* Brings the first known ids to the front, as many as a pick can keep. */
static TernStatus find_known(Try *t, TernError *err) {
    TnCand *v = t->s->cands;
    size_t n = list_adjusted(t), most = tn_sampler_keeps(t->s);
    t->n_known = 0;
    for (size_t i = 0; i < n && t->n_known < most; i++) {
        bool allowed;
        if (!t->no_tail && tn_cand_better(t->bound, v[i])) break;
        TN_TRY(is_allowed(t, v[i].id, &allowed, err));
        if (allowed) v[t->n_known++] = v[i];
    }
    return TERN_OK;
}

/* ---- How many the chain keeps: at least and at most, as far as the known ids tell. ALL: all known ones and perhaps more */

#define ALL SIZE_MAX
typedef struct Range {
    size_t lo, hi;
} Range;

/* How many reach the share top_p of a total. */
static size_t reach(const Try *t, double total) {
    const TnCand *v = t->s->cands;
    double reached = 0.0;
    for (size_t i = 0; i < t->n_known; i++) {
        reached += tn_sampler_weight(v[i], v[0].logit, 1.0);
        if (!(reached < (double)t->s->o.top_p * total)) return i + 1;
    }
    return ALL;
}

static Range kept_by_top_p(const Try *t) {
    const TnCand *v = t->s->cands;
    size_t more = tn_sampler_keeps(t->s) - t->n_known;
    double total = 0.0, most = tn_sampler_weight(t->bound, v[0].logit, 1.0);
    if (!(t->s->o.top_p < 1.0f)) return (Range){ALL, ALL};
    for (size_t i = 0; i < t->n_known; i++) total += tn_sampler_weight(v[i], v[0].logit, 1.0);
    return (Range){reach(t, total * (1 - slack)), reach(t, (total + (double)more * most) * (1 + slack))};
}

static Range kept_by_min_p(const Try *t) {
    const TnCand *v = t->s->cands;
    size_t n = 0;
    if (!(t->s->o.min_p > 0.0f)) return (Range){ALL, ALL};
    double least = (double)v[0].logit + tn_log((double)t->s->o.min_p);
    while (n < t->n_known && (double)v[n].logit >= least) n++;
    bool all_seen = n < t->n_known || (double)t->bound.logit < least;
    return (Range){n, all_seen ? n : ALL};
}

static size_t lesser(size_t a, size_t b) {
    return a < b ? a : b;
}

/* ---- The pick */

static int by_id(const void *a, const void *b) {
    const TnCand *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Draws if all that a pick can keep is known. */
static bool draw_of_all(const Try *t, int32_t *id) {
    TernSampler *s = t->s;
    if (t->n_known == 0 || (!t->no_tail && t->n_known < tn_sampler_keeps(s))) return false;
    bool sorted = !tn_sampler_goes_by_id(s);
    if (!sorted) qsort(s->cands, t->n_known, sizeof *s->cands, by_id);
    *id = tn_sampler_is_greedy(s) ? s->cands[0].id : tn_sampler_draw(s, s->cands, t->n_known, sorted);
    return true;
}

/* Draws if top-p and min-p keep only known ids. */
static bool draw_of_some(const Try *t, int32_t *id) {
    TernSampler *s = t->s;
    if (t->n_known == 0 || t->no_tail) return false;
    Range p = kept_by_top_p(t), m = kept_by_min_p(t);
    size_t lo = lesser(p.lo, m.lo), hi = lesser(p.hi, m.hi);
    if (lo != hi || hi > t->n_known) return false;
    float best = s->cands[0].logit;
    if (tn_sampler_goes_by_id(s) && !(s->o.top_p < 1.0f)) qsort(s->cands, hi, sizeof *s->cands, by_id);
    *id = tn_sampler_draw_kept(s, s->cands, 1, hi, best);
    return true;
}

static size_t count_listed(const Try *t, const TernAllowed *a) {
    size_t n = 0;
    for (size_t i = 0; i < t->n_list; i++) {
        size_t w = (size_t)t->ids[i] / 64;
        n += w < a->n_words && a->words[w] >> (t->ids[i] % 64) & 1;
    }
    return n;
}

/* A single allowed id is the pick whatever its logit is, and all of them may be on the list. */
static TernStatus try_mask(Try *t, int32_t *id, bool *settled, TernError *err) {
    TernAllowed allowed = {NULL, 0, 0};
    TernSampler *s = t->s;
    TN_TRY(t->filter->mask(t->filter->user, &allowed, err));
    if (allowed.n == 0) return tn_fail(err, TERN_ERR_INPUT, "no token is allowed here");
    if (allowed.n == 1 && tn_sampler_knows(s, tn_sampler_first_of(&allowed))) {
        s->cands[0] = tn_sampler_adjust(s, tn_sampler_first_of(&allowed), 0.0f);
        t->n_known = s->cands[0].logit > -INFINITY;
    } else if (count_listed(t, &allowed) == allowed.n) {
        t->no_tail = true;
        TN_TRY(find_known(t, err));
    } else {
        return TERN_OK;
    }
    t->no_tail = true;
    *settled = draw_of_all(t, id);
    return TERN_OK;
}

static TernStatus try_list(Try *t, int32_t *id, bool *settled, TernError *err) {
    TN_TRY(find_bound(t, err));
    TN_TRY(find_known(t, err));
    *settled = draw_of_all(t, id) || draw_of_some(t, id);
    return *settled || !t->filter ? TERN_OK : try_mask(t, id, settled, err);
}

TernStatus tern_sampler_try_top(TernSampler *s, const int32_t *ids, const float *logits, size_t k,
                                const TernFilter *filter, int32_t *out_id, TernError *err) {
    int32_t id = TERN_NO_TOKEN;
    bool settled = false;
    tn_error_clear(err);
    TN_NEED(out_id, err);
    *out_id = TERN_NO_TOKEN;
    if (!s) return tn_fail_null("sampler", err);
    TN_NEED(ids, err);
    TN_NEED(logits, err);
    if (k == 0 || k > TN_SAMPLER_TOP_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "the sampler got the top %zu ids, expected 1 to %d", k,
                       TN_SAMPLER_TOP_MOST);
    for (size_t i = 0; i < k; i++) {
        if (!tn_sampler_knows(s, ids[i]))
            return tn_fail(err, TERN_ERR_INPUT, "top id %zu is %d, expected one below %zu", i, ids[i],
                           s->n_vocab);
        TN_TRY(tn_sampler_check_logit(logits[i], (size_t)ids[i], err));
        if (i && !tn_cand_better((TnCand){ids[i - 1], logits[i - 1]}, (TnCand){ids[i], logits[i]}))
            return tn_fail(err, TERN_ERR_INPUT, "top id %zu is %d, expected the best first", i, ids[i]);
    }
    Try t = {.s = s, .filter = filter, .ids = ids, .logits = logits, .n_list = k};
    mark_list(&t, true);
    tn_sampler_mark_recent(s, true);
    TernStatus st = try_list(&t, &id, &settled, err);
    tn_sampler_mark_recent(s, false);
    mark_list(&t, false);
    return st == TERN_OK && settled ? tn_sampler_picked(s, id, out_id, err) : st;
}

bool tern_sampler_tries_top(const TernSampler *s) {
    return s && (tn_sampler_keeps(s) <= TN_SAMPLER_TOP_MOST || s->o.top_p < 1.0f || s->o.min_p > 0.0f);
}
