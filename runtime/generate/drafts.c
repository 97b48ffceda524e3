/* Guesses where they pay.
 *
 * Where one sequence decodes, its guesses are nearly free: a step of a few rows reads the weights once, as a step of one row
 * does. Where several decode, their rows take the time of arithmetic, and those of wrong guesses hold up all. So guesses of
 * several are in a step only if it is then expected to give more tokens a second. That takes two things:
 *
 * - how long a step of so many rows takes. A moving mean of the rows and seconds of late steps is kept for each class of
 *   sizes: each up to 7 rows, and four for each power of two beyond. Between two classes it is a straight line; below and
 *   above all it is flat, so that what is not known is tried. A class without a step among the last 256 is forgotten. Steps
 *   with rows of prompts do not count: most of those want no results.
 * - how often a guess of the sequence is right, if those before it are: a moving mean over its guesses that were tried. Of
 *   guesses that were withheld the first is tried too, against the id that came in its place. A new sequence begins with what
 *   the sequences before it had.
 *
 * Sequences are taken with the best guesses first, as long as that is expected to give more. Every 64th choice is turned
 * round (none instead of some, all instead of none), so that no measurement stays as it is for good.
 *
 * With phrases of all texts there is nearly always a guess, and it is wrong more often. Then the guesses of one that decodes alone are
 * chosen in the same way.
 *
 * A guess changes no bits, so neither does any of this: only how many ids a step gives. */
#include <stdlib.h>
#include "runtime/generate/sequence.h"

/* A slower step counts for one part in RISE of the mean, a faster one for one in FALL: a step may be slow for other reasons. */
enum { RISE = 4, FALL = 2 };
enum { TRY_AGAIN = 64, FORGET = 256 };
static const double hit_weight = 1.0 / 8, hits_at_first = 0.5;

/* ---- Seconds of a step */

static int class_of(size_t rows) {
    int power = 0, i;
    if (rows < 8) return (int)rows - 1;
    while (rows >> (power + 1)) power++;
    i = 7 + 4 * (power - 3) + (int)((rows >> (power - 2)) & 3);
    return i < TN_COST_CLASSES ? i : TN_COST_CLASSES - 1;
}

static bool is_known(const TnCost *c, int i) {
    return c->rows[i] > 0 && c->steps - c->seen[i] < FORGET;
}

void tn_cost_note(TnCost *c, size_t rows, double seconds) {
    int i = class_of(rows);
    if (!(seconds > 0)) return; /* the clock stood still, or went back */
    bool known = is_known(c, i);
    c->seen[i] = ++c->steps;
    if (!known) {
        c->rows[i] = (double)rows;
        c->seconds[i] = seconds;
        return;
    }
    if (seconds > 2 * c->seconds[i]) seconds = 2 * c->seconds[i];
    int part = seconds > c->seconds[i] ? RISE : FALL;
    c->rows[i] += ((double)rows - c->rows[i]) / part;
    c->seconds[i] += (seconds - c->seconds[i]) / part;
}

double tn_cost_seconds(const TnCost *c, size_t rows) {
    int low = -1, high = -1;
    double r = (double)rows;
    for (int i = 0; i < TN_COST_CLASSES; i++) {
        if (!is_known(c, i)) continue;
        if (c->rows[i] <= r) low = i;
        if (c->rows[i] >= r && high < 0) high = i;
    }
    if (low < 0) return high < 0 ? 0 : c->seconds[high];
    if (high < 0) return c->seconds[low];
    double width = c->rows[high] - c->rows[low];
    if (width <= 0) return c->seconds[low];
    return c->seconds[low] + (c->seconds[high] - c->seconds[low]) * (r - c->rows[low]) / width;
}

/* ---- Right guesses */

static void note_hit(double *mean, bool right) {
    *mean += (right - *mean) * hit_weight;
}

static void note_trial(TernSequence *s, bool right) {
    note_hit(&s->hits, right);
    note_hit(&s->generator->drafts.hits, right);
}

TernStatus tn_drafts_open(TnDrafts *d, uint32_t slots, TernError *err) {
    d->hits = hits_at_first;
    d->order = calloc(slots, sizeof *d->order);
    return d->order ? TERN_OK : tn_fail(err, TERN_ERR_MEMORY, "no memory for guesses of %u slots", slots);
}

void tn_drafts_begin(TernSequence *s) {
    s->hits = s->generator->drafts.hits;
}

void tn_drafts_note(TernSequence *s, size_t right) {
    for (size_t i = 0; i < right; i++) note_trial(s, true);
    if (s->missed) note_trial(s, false);
    if (s->n_withheld && s->n_next) note_trial(s, s->guess[0] == s->next[0]);
}

/* Of n guesses, how many are expected to be right. */
static double expected(const TernSequence *s) {
    double sum = 0, chance = s->hits;
    for (size_t i = 0; i < s->n_guess; i++, chance *= s->hits) sum += chance;
    return sum;
}

/* ---- The choice */

/* With how many of the sequences in order, from 0 on, a step is expected to give the most tokens a second. */
static size_t best_of(const TnDrafts *d, size_t decoding, size_t n) {
    double tokens = (double)decoding, seconds = tn_cost_seconds(&d->cost, decoding);
    size_t rows = decoding, best = 0;
    if (seconds <= 0) return n; /* nothing is known */
    double best_rate = tokens / seconds;
    for (size_t i = 0; i < n; i++) {
        tokens += expected(d->order[i]);
        rows += d->order[i]->n_guess;
        double rate = tokens / tn_cost_seconds(&d->cost, rows);
        if (rate <= best_rate) continue;
        best_rate = rate;
        best = i + 1;
    }
    return best;
}

static void put_in_order(TnDrafts *d, size_t n, TernSequence *s) {
    for (; n > 0 && d->order[n - 1]->hits < s->hits; n--) d->order[n] = d->order[n - 1];
    d->order[n] = s;
}

void tn_drafts_choose(TnDrafts *d, TernSequence *const *decoding, size_t n) {
    size_t guessing = 0;
    if (n < 2 && !d->alone) return;
    for (size_t i = 0; i < n; i++)
        if (decoding[i]->n_guess) put_in_order(d, guessing++, decoding[i]);
    if (guessing == 0) return;
    size_t used = best_of(d, n, guessing);
    if (++d->choices % TRY_AGAIN == 0) used = used ? 0 : guessing;
    for (size_t i = used; i < guessing; i++) {
        d->order[i]->n_withheld = d->order[i]->n_guess;
        d->order[i]->n_guess = 0;
    }
}
