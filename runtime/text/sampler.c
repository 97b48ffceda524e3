/* The sampler: bias, penalties, top-k, top-p, min-p, temperature, draw.
 *
 * It picks the same ids on every machine: weights are summed in double, best first (or by id if no order is needed),
 * with the exponential of runtime/base, and the random number generator is our own. From top-k results and from full
 * logits a pick reads the same list in the same order, so both give the same id. */
#include <math.h>
#include <stdlib.h>
#include "runtime/base/fmath.h"
#include "runtime/base/os.h"
#include "runtime/base/options.h"
#include "runtime/text/sampler.h"

#define MAX_TOP    ((int)TN_SAMPLER_TOP_MOST)
#define MAX_LAST_N (1 << 20)
#define MAX_BIAS   (1 << 20)
#define MAX_COUNT  100.0f /* of a penalty by counts */

typedef TnCand Cand;

/* ---- Random numbers: xoshiro256**, seeded by splitmix64 (Blackman and Vigna, public domain) ---- */

static uint64_t rotl(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

static uint64_t next_random(uint64_t s[4]) {
    uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

static void seed_random(uint64_t s[4], uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        s[i] = z ^ z >> 31;
    }
}

/* ---- Create ---- */

static TernStatus check_count(const char *field, float v, TernError *err) {
    if (v >= -MAX_COUNT && v <= MAX_COUNT) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "TernSamplerOptions.%s is %g, expected -%g to %g", field, (double)v,
                   (double)MAX_COUNT, (double)MAX_COUNT);
}

static TernStatus check_options(const TernSamplerOptions *o, size_t n_vocab, TernError *err) {
    if (n_vocab == 0 || n_vocab > (1u << 24))
        return tn_fail(err, TERN_ERR_INPUT, "n_vocab is %zu, expected 1 to %u", n_vocab, 1u << 24);
    if (!isfinite(o->temp))
        return tn_fail(err, TERN_ERR_INPUT, "TernSamplerOptions.temp is %g, expected a number",
                       (double)o->temp);
    if (!(o->top_p >= 0.0f && o->top_p <= 1.0f))
        return tn_fail(err, TERN_ERR_INPUT, "TernSamplerOptions.top_p is %g, expected 0 to 1",
                       (double)o->top_p);
    if (!(o->min_p <= 1.0f) || !isfinite(o->min_p))
        return tn_fail(err, TERN_ERR_INPUT, "TernSamplerOptions.min_p is %g, expected at most 1",
                       (double)o->min_p);
    if (!(o->repeat_penalty > 0.0f) || !isfinite(o->repeat_penalty))
        return tn_fail(err, TERN_ERR_INPUT, "TernSamplerOptions.repeat_penalty is %g, expected above 0",
                       (double)o->repeat_penalty);
    if (o->repeat_last_n < 0 || o->repeat_last_n > MAX_LAST_N)
        return tn_fail(err, TERN_ERR_INPUT, "TernSamplerOptions.repeat_last_n is %d, expected 0 to %d",
                       (int)o->repeat_last_n, MAX_LAST_N);
    TN_TRY(check_count("frequency_penalty", o->frequency_penalty, err));
    return check_count("presence_penalty", o->presence_penalty, err);
}

static TernStatus check_bias(const TernSamplerOptions *o, size_t n_vocab, TernError *err) {
    if (o->n_bias && !o->bias)
        return tn_fail(err, TERN_ERR_INPUT, "TernSamplerOptions.bias is NULL although n_bias is %zu",
                       o->n_bias);
    if (o->n_bias > MAX_BIAS)
        return tn_fail(err, TERN_ERR_INPUT, "TernSamplerOptions.n_bias is %zu, expected at most %d",
                       o->n_bias, MAX_BIAS);
    for (size_t i = 0; i < o->n_bias; i++) {
        const TernLogitBias *b = &o->bias[i];
        if (b->id < 0 || (size_t)b->id >= n_vocab)
            return tn_fail(err, TERN_ERR_INPUT, "TernSamplerOptions.bias[%zu].id is %d, expected 0 to %zu", i,
                           b->id, n_vocab - 1);
        if (!(b->bias < INFINITY))
            return tn_fail(err, TERN_ERR_INPUT,
                           "TernSamplerOptions.bias[%zu].bias is %g, expected a number or -infinity", i,
                           (double)b->bias);
    }
    return TERN_OK;
}

static bool has_penalty(const TernSamplerOptions *o) {
    return o->repeat_penalty != 1.0f && o->repeat_last_n > 0;
}

static bool has_counts(const TernSamplerOptions *o) {
    return o->frequency_penalty != 0.0f || o->presence_penalty != 0.0f;
}

/* True if the options leave only the best id. */
static bool is_greedy(const TernSamplerOptions *o) {
    return o->temp <= 0.0f || o->top_k == 1 || o->top_p <= 0.0f;
}

static TernSamplerWant choose_want(const TernSamplerOptions *o, size_t n_vocab) {
    if (has_penalty(o) || has_counts(o) || o->n_bias) return (TernSamplerWant){TERN_SAMPLER_LOGITS, 0};
    if (is_greedy(o)) return (TernSamplerWant){TERN_SAMPLER_ID, 0};
    if (o->top_k <= 0 || o->top_k > MAX_TOP) return (TernSamplerWant){TERN_SAMPLER_LOGITS, 0};
    size_t k = (size_t)o->top_k < n_vocab ? (size_t)o->top_k : n_vocab;
    return (TernSamplerWant){TERN_SAMPLER_TOP, (uint32_t)k};
}

static const TnField sampler_fields[] = {TN_FIELD(TernSamplerOptions, temp),
                                         TN_FIELD(TernSamplerOptions, top_k),
                                         TN_FIELD(TernSamplerOptions, top_p),
                                         TN_FIELD(TernSamplerOptions, min_p),
                                         TN_FIELD(TernSamplerOptions, repeat_penalty),
                                         TN_FIELD(TernSamplerOptions, repeat_last_n),
                                         TN_FIELD(TernSamplerOptions, seed),
                                         TN_FIELD(TernSamplerOptions, bias),
                                         TN_FIELD(TernSamplerOptions, n_bias),
                                         TN_FIELD(TernSamplerOptions, frequency_penalty),
                                         TN_FIELD(TernSamplerOptions, presence_penalty)};
static const TnShape sampler_shape = TN_SHAPE(TernSamplerOptions, sampler_fields);

/* Biases of one id add up. */
static TernStatus take_bias(TernSampler *s, const TernLogitBias *bias, TernError *err) {
    for (size_t i = 0; i < s->o.n_bias; i++) {
        s->biased[i] = bias[i].id;
        s->bias[bias[i].id] += bias[i].bias;
        if (!(s->bias[bias[i].id] < INFINITY))
            return tn_fail(err, TERN_ERR_INPUT,
                           "TernSamplerOptions.bias adds up to %g for id %d, expected a number or -infinity",
                           (double)s->bias[bias[i].id], bias[i].id);
    }
    s->o.bias = NULL;
    return TERN_OK;
}

static bool allocate(TernSampler *s) {
    size_t n = s->n_vocab;
    bool penalty = has_penalty(&s->o), bias = s->o.n_bias > 0, counts = has_counts(&s->o);
    s->cands = malloc((n > MAX_TOP ? n : MAX_TOP) * sizeof *s->cands);
    s->recent = penalty ? malloc((size_t)s->o.repeat_last_n * sizeof *s->recent) : NULL;
    s->bias = bias ? calloc(n, sizeof *s->bias) : NULL;
    s->biased = bias ? malloc(s->o.n_bias * sizeof *s->biased) : NULL;
    s->counts = counts ? calloc(n, sizeof *s->counts) : NULL;
    s->counted = counts ? malloc(n * sizeof *s->counted) : NULL;
    s->marks = penalty || bias || counts ? calloc(n, 1) : NULL;
    return s->cands && (!penalty || s->recent) && (!bias || (s->bias && s->biased)) &&
           (!counts || (s->counts && s->counted)) && ((!penalty && !bias && !counts) || s->marks);
}

TernStatus tern_sampler_create(const TernSamplerOptions *options, size_t n_vocab, TernSampler **out_sampler,
                               TernError *err) {
    TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
    tn_error_clear(err);
    TN_NEED(out_sampler, err);
    *out_sampler = NULL;
    TN_TRY(tn_options_take(&sampler_shape, options, &o, err));
    TN_TRY(check_options(&o, n_vocab, err));
    TN_TRY(check_bias(&o, n_vocab, err));
    TernSampler *s = calloc(1, sizeof *s);
    if (!s) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a sampler (%zu bytes)", sizeof *s);
    s->o = o;
    s->n_vocab = n_vocab;
    s->want = choose_want(&o, n_vocab);
    while (s->o.seed == TERN_SEED_RANDOM) s->o.seed = tn_os_random_seed();
    seed_random(s->rng, s->o.seed);
    if (!allocate(s)) {
        tern_sampler_destroy(s);
        return tn_fail(err, TERN_ERR_MEMORY, "no memory for a sampler of %zu tokens", n_vocab);
    }
    TernStatus st = take_bias(s, o.bias, err);
    if (st == TERN_OK)
        *out_sampler = s;
    else
        tern_sampler_destroy(s);
    return st;
}

void tern_sampler_destroy(TernSampler *sampler) {
    if (!sampler) return;
    free(sampler->cands);
    free(sampler->recent);
    free(sampler->bias);
    free(sampler->biased);
    free(sampler->counts);
    free(sampler->counted);
    free(sampler->marks);
    free(sampler);
}

uint64_t tern_sampler_get_seed(const TernSampler *sampler) {
    return sampler ? sampler->o.seed : 0;
}
TernSamplerWant tern_sampler_want(const TernSampler *sampler) {
    return sampler ? sampler->want : (TernSamplerWant){0, 0};
}

void tern_sampler_accept(TernSampler *s, const int32_t *ids, size_t n) {
    if (!s || !ids || !s->recent) return;
    size_t cap = (size_t)s->o.repeat_last_n;
    for (size_t i = n > cap ? n - cap : 0; i < n; i++) {
        s->recent[s->next_recent] = ids[i];
        s->next_recent = (s->next_recent + 1) % cap;
        if (s->n_recent < cap) s->n_recent++;
    }
}

/* ---- Candidates ---- */

static bool better(Cand a, Cand b) {
    return tn_cand_better(a, b);
}
static bool worse(Cand a, Cand b) {
    return tn_cand_better(b, a);
}

/* Heaps: the first element comes `before` all others. */
typedef bool Before(Cand, Cand);
static inline void sink(Cand *v, size_t n, size_t i, Before *before) {
    Cand c = v[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && before(v[child + 1], v[child])) child++;
        if (!before(v[child], c)) break;
        v[i] = v[child];
        i = child;
    }
    v[i] = c;
}
static inline void make_heap(Cand *v, size_t n, Before *before) {
    for (size_t i = n / 2; i-- > 0;) sink(v, n, i, before);
}
/* Turns a heap with the worst first into a list with the best first. */
static void sort_heap(Cand *v, size_t n) {
    while (n > 1) {
        Cand c = v[--n];
        v[n] = v[0];
        v[0] = c;
        sink(v, n, 0, worse);
    }
}

void tn_sampler_sort(Cand *v, size_t n) {
    make_heap(v, n, worse);
    sort_heap(v, n);
}

/* Offers c to a heap of the k best of a stream, worst first; returns the new size. */
static inline size_t offer(Cand *v, size_t n, size_t k, Cand c) {
    if (n < k) {
        v[n++] = c;
        if (n == k) make_heap(v, n, worse);
    } else if (better(c, v[0])) {
        v[0] = c;
        sink(v, n, 0, worse);
    }
    return n;
}

/* Moves the best element to the end; the heap is then one shorter. */
static void pop_to_end(Cand *v, size_t n) {
    Cand c = v[n - 1];
    v[n - 1] = v[0];
    v[0] = c;
    sink(v, n - 1, 0, better);
}

/* ---- The draw ---- */

double tn_sampler_weight(Cand c, float best, double temp) {
    return tn_expd(((double)c.logit - (double)best) / temp);
}

int32_t tn_sampler_draw_kept(TernSampler *s, const Cand *at, ptrdiff_t step, size_t n, float best) {
    double temp = (double)s->o.temp, total = 0.0;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) total += tn_sampler_weight(at[i * step], best, temp);
    double left = (double)(next_random(s->rng) >> 11) * 0x1p-53 * total;
    ptrdiff_t chosen = 0; /* the last with any weight so far, in case rounding runs past the end */
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
        double w = tn_sampler_weight(at[i * step], best, temp);
        if (w > 0.0) chosen = i;
        if (left < w) break;
        left -= w;
    }
    return at[chosen * step].id;
}

int32_t tn_sampler_draw(TernSampler *s, Cand *v, size_t n, bool sorted) {
    const TernSamplerOptions *o = &s->o;
    float best = v[0].logit;
    for (size_t i = 1; i < n && !sorted; i++) best = v[i].logit > best ? v[i].logit : best;
    Cand *at = v; /* candidate i is at[i * step] */
    ptrdiff_t step = 1, kept = 0;
    double total = 0.0, reached = 0.0;
    if (o->top_p < 1.0f) {
        for (size_t i = 0; i < n; i++) total += tn_sampler_weight(v[i], best, 1.0);
        if (!sorted) {
            make_heap(v, n, better);
            at = v + n - 1;
            step = -1;
        }
        do {
            if (!sorted) pop_to_end(v, n - (size_t)kept);
            reached += tn_sampler_weight(at[kept * step], best, 1.0);
            kept++;
        } while ((size_t)kept < n && reached < (double)o->top_p * total);
        n = (size_t)kept;
    }
    if (o->min_p > 0.0f) {
        double least = (double)best + tn_log((double)o->min_p);
        kept = 0;
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)
            if ((double)at[i * step].logit >= least) at[step * kept++] = at[i * step];
        n = kept ? (size_t)kept : 1;
    }
    return tn_sampler_draw_kept(s, at, step, n, best);
}

/* ---- Picks ---- */

TernStatus tn_sampler_check_logit(float logit, size_t id, TernError *err) {
    if (logit < INFINITY) return TERN_OK;
    return tn_fail(err, TERN_ERR_NUMERIC, "the logit of token %zu is %g, expected a number", id,
                   (double)logit);
}

static TernStatus nothing_left(TernError *err) {
    return tn_fail(err, TERN_ERR_NUMERIC, "all logits are -infinity, so there is no token to pick");
}

TernStatus tn_sampler_picked(TernSampler *s, int32_t id, int32_t *out_id, TernError *err) {
    tern_sampler_accept(s, &id, 1);
    if (s->counts && s->counts[id]++ == 0) s->counted[s->n_counted++] = id;
    *out_id = id;
    tn_error_clear(err);
    return TERN_OK;
}

TernStatus tern_sampler_pick_id(TernSampler *s, int32_t id, int32_t *out_id, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_id, err);
    *out_id = 0;
    if (!s) return tn_fail_null("sampler", err);
    if (s->want.kind != TERN_SAMPLER_ID)
        return tn_fail(err, TERN_ERR_INPUT, "the sampler got only the best id, expected %s",
                       s->want.kind == TERN_SAMPLER_TOP ? "the top ids and logits" : "all logits");
    if (!tn_sampler_knows(s, id))
        return tn_fail(err, TERN_ERR_INPUT, "the best id is %d, expected one below %zu", id, s->n_vocab);
    return tn_sampler_picked(s, id, out_id, err);
}

/* Sorts the k best and draws one of them. */
static TernStatus pick_sorted(TernSampler *s, size_t n, size_t k, int32_t *out_id, TernError *err) {
    if (n == 0) return nothing_left(err);
    if (n < k) make_heap(s->cands, n, worse);
    sort_heap(s->cands, n);
    int32_t id = is_greedy(&s->o) ? s->cands[0].id : tn_sampler_draw(s, s->cands, n, true);
    return tn_sampler_picked(s, id, out_id, err);
}

TernStatus tern_sampler_pick_top(TernSampler *s, const int32_t *ids, const float *logits, size_t k,
                                 int32_t *out_id, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_id, err);
    *out_id = 0;
    if (!s) return tn_fail_null("sampler", err);
    TN_NEED(ids, err);
    TN_NEED(logits, err);
    if (s->want.kind == TERN_SAMPLER_LOGITS)
        return tn_fail(err, TERN_ERR_INPUT, "the sampler got the top ids and logits, expected all logits");
    size_t needed = s->want.kind == TERN_SAMPLER_TOP ? s->want.k : 1;
    if (k < needed)
        return tn_fail(err, TERN_ERR_INPUT, "the sampler got the top %zu ids, expected %zu", k, needed);
    for (size_t i = 0; i < k; i++) {
        if (!tn_sampler_knows(s, ids[i]))
            return tn_fail(err, TERN_ERR_INPUT, "top id %zu is %d, expected one below %zu", i, ids[i],
                           s->n_vocab);
        TN_TRY(tn_sampler_check_logit(logits[i], (size_t)ids[i], err));
    }
    size_t n = 0;
    for (size_t i = 0; i < k; i++)
        if (logits[i] > -INFINITY) n = offer(s->cands, n, needed, (Cand){ids[i], logits[i]});
    return pick_sorted(s, n, needed, out_id, err);
}

void tn_sampler_mark_recent(TernSampler *s, bool on) {
    for (size_t i = 0; i < s->n_recent; i++)
        if (tn_sampler_knows(s, s->recent[i])) {
            uint8_t *mark = &s->marks[s->recent[i]];
            *mark = (uint8_t)(on ? *mark | TN_MARK_RECENT : *mark & ~TN_MARK_RECENT);
        }
}

Cand tn_sampler_adjust(const TernSampler *s, int32_t id, float l) {
    if (s->bias) l += s->bias[id];
    if (s->recent && s->marks[id] & TN_MARK_RECENT)
        l = l > 0.0f ? l / s->o.repeat_penalty : l * s->o.repeat_penalty;
    if (s->counts && s->counts[id]) {
        l -= (float)s->counts[id] * s->o.frequency_penalty;
        l -= s->o.presence_penalty;
    }
    return (Cand){id, l};
}

bool tn_sampler_is_greedy(const TernSampler *s) {
    return is_greedy(&s->o);
}
size_t tn_sampler_keeps(const TernSampler *s) {
    if (is_greedy(&s->o)) return 1;
    return s->o.top_k > 0 && (size_t)s->o.top_k < s->n_vocab ? (size_t)s->o.top_k : s->n_vocab;
}
/* Lists are sorted whenever pick_top would sort. One of all logits is sorted only as far as top-p needs it. */
bool tn_sampler_goes_by_id(const TernSampler *s) {
    return tn_sampler_keeps(s) == s->n_vocab && s->want.kind == TERN_SAMPLER_LOGITS;
}

/* Candidates so far, of all that may be picked. */
typedef struct Gathered {
    size_t n, keeps;
    bool by_id;
} Gathered;

static inline void gather(TernSampler *s, Gathered *g, size_t id, float logit) {
    Cand c = tn_sampler_adjust(s, (int32_t)id, logit);
    if (c.logit == -INFINITY) return;
    if (g->by_id)
        s->cands[g->n++] = c;
    else
        g->n = offer(s->cands, g->n, g->keeps, c);
}

static void gather_allowed(TernSampler *s, Gathered *g, const float *logits, const uint64_t *words,
                           size_t n) {
    for (size_t w = 0; w < n; w++)
        for (uint64_t left = words[w]; left; left &= left - 1) {
            size_t id = 64 * w + (size_t)__builtin_ctzll(left);
            if (id < s->n_vocab) gather(s, g, id, logits[id]);
        }
}

/* The only allowed id needs no logit; a bias may still forbid it. */
static void gather_only(TernSampler *s, Gathered *g, const TernAllowed *a) {
    int32_t id = tn_sampler_first_of(a);
    if (tn_sampler_knows(s, id)) gather(s, g, (size_t)id, 0.0f);
}

TernStatus tern_sampler_pick_allowed(TernSampler *s, const float *logits, size_t n_vocab,
                                     const TernFilter *filter, int32_t *out_id, TernError *err) {
    TernAllowed allowed = {NULL, 0, 0};
    tn_error_clear(err);
    TN_NEED(out_id, err);
    *out_id = 0;
    if (!s) return tn_fail_null("sampler", err);
    TN_NEED(logits, err);
    if (n_vocab != s->n_vocab)
        return tn_fail(err, TERN_ERR_INPUT, "the sampler got %zu logits, expected %zu", n_vocab, s->n_vocab);
    for (size_t i = 0; i < n_vocab; i++) TN_TRY(tn_sampler_check_logit(logits[i], i, err));
    if (filter) TN_TRY(filter->mask(filter->user, &allowed, err));
    if (filter && allowed.n == 0) return tn_fail(err, TERN_ERR_INPUT, "no token is allowed here");
    Gathered g = {.keeps = tn_sampler_keeps(s), .by_id = tn_sampler_goes_by_id(s)};
    tn_sampler_mark_recent(s, true);
    if (filter && allowed.n == 1)
        gather_only(s, &g, &allowed);
    else if (filter)
        gather_allowed(s, &g, logits, allowed.words, allowed.n_words);
    else
        for (size_t i = 0; i < n_vocab; i++) gather(s, &g, i, logits[i]);
    tn_sampler_mark_recent(s, false);
    if (!g.by_id) return pick_sorted(s, g.n, g.keeps, out_id, err);
    if (g.n == 0) return nothing_left(err);
    return tn_sampler_picked(s, tn_sampler_draw(s, s->cands, g.n, false), out_id, err);
}

TernStatus tern_sampler_pick_logits(TernSampler *s, const float *logits, size_t n_vocab, int32_t *out_id,
                                    TernError *err) {
    return tern_sampler_pick_allowed(s, logits, n_vocab, NULL, out_id, err);
}
