/* Prompt lookup: finds where the last two ids occurred before, with a chained hash of pairs.
 *
 * Every position is entered under the hash of its id and the one before it; `before` leads to the previous position
 * with that hash. A guess walks the chain from the latest position, over at most TRIES of them, and counts how many
 * of the ids before the pair are equal too. If the phrases of all texts know what follows on more ids than that, they guess, one
 * id after the other. */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/options.h"
#include "runtime/text/phrases.h"

enum { LONGEST = 16, TRIES = 64, NOWHERE = 0 };

struct TernLookup {
    size_t capacity, n;
    bool full; /* there was no room for an id */
    uint32_t bits;
    uint32_t *ids, *before; /* [capacity]; before[i]: 1 + the previous position, or NOWHERE */
    uint32_t *last;         /* [1 << bits]: 1 + the latest position of a pair with that hash */
    TernPhrases *phrases;   /* of all texts; NULL: none */
};

static uint32_t hash_pair(const TernLookup *l, size_t at) {
    uint64_t pair = (uint64_t)l->ids[at - 1] << 32 | l->ids[at];
    return (uint32_t)(pair * 0x9e3779b97f4a7c15u >> (64 - l->bits));
}

TernStatus tern_lookup_create(size_t capacity, TernLookup **out, TernError *err) {
    tn_error_clear(err);
    if (!out) return tn_fail_null("out_lookup", err);
    *out = NULL;
    if (capacity == 0 || capacity > (1u << 24))
        return tn_fail(err, TERN_ERR_INPUT, "capacity is %zu, expected 1 to %u", capacity, 1u << 24);
    uint32_t bits = 8;
    while (bits < 24 && (size_t)1 << bits < capacity) bits++;
    size_t words = 2 * capacity + ((size_t)1 << bits);
    TernLookup *l = calloc(1, sizeof *l);
    uint32_t *memory = calloc(words, sizeof *memory);
    if (!l || !memory) {
        free(l);
        free(memory);
        return tn_fail(err, TERN_ERR_MEMORY, "no memory for a lookup of %zu ids", capacity);
    }
    *l = (TernLookup){.capacity = capacity, .bits = bits};
    l->ids = memory;
    l->before = memory + capacity;
    l->last = memory + 2 * capacity;
    *out = l;
    return TERN_OK;
}

void tern_lookup_destroy(TernLookup *l) {
    if (!l) return;
    free(l->ids);
    free(l);
}

void tern_lookup_share(TernLookup *l, TernPhrases *phrases) {
    if (l) l->phrases = phrases;
}

void tern_lookup_accept(TernLookup *l, const int32_t *ids, size_t n) {
    for (size_t i = 0; l && ids && i < n; i++) {
        if (l->n == l->capacity) {
            l->full = true;
            return;
        }
        size_t at = l->n++;
        l->ids[at] = (uint32_t)ids[i];
        if (at == 0) continue;
        if (l->phrases) tn_phrases_accept(l->phrases, l->ids, at);
        uint32_t *last = &l->last[hash_pair(l, at)];
        l->before[at] = *last;
        *last = (uint32_t)at + 1;
    }
}

/* How many ids up to and including position `at` equal the last ones. */
static size_t count_equal(const TernLookup *l, size_t at) {
    size_t n = 0, end = l->n - 1;
    while (n < LONGEST && n <= at && l->ids[at - n] == l->ids[end - n]) n++;
    return n;
}

/* Finds the longest earlier run, and returns its length; *best is the position of what followed. */
static size_t find_run(const TernLookup *l, size_t *best) {
    size_t longest = 1; /* accept at least a pair, because hashes may collide */
    uint32_t at = l->before[l->n - 1];
    *best = 0;
    for (int i = 0; at != NOWHERE && i < TRIES && longest < LONGEST; i++, at = l->before[at - 1]) {
        size_t n = count_equal(l, at - 1);
        if (n <= longest) continue;
        longest = n;
        *best = at; /* 1 + the position, so the position of the first id of the guess */
    }
    return *best ? longest : 0;
}

/* Guesses by phrases of more than `least` ids; the guesses after the first, by any. */
static size_t guess_phrase(const TernLookup *l, int32_t *out, size_t most, size_t least) {
    uint32_t text[2 * TN_PHRASE_LONGEST], id;
    size_t n = l->n < TN_PHRASE_LONGEST ? l->n : TN_PHRASE_LONGEST, made = 0;
    memcpy(text, l->ids + (l->n - n), n * sizeof *text);
    while (made < most && tn_phrases_find(l->phrases, text, n, &id) > (made ? 0 : least)) {
        out[made++] = (int32_t)id;
        if (n == TN_COUNT(text)) {
            n = TN_PHRASE_LONGEST;
            memmove(text, text + n, n * sizeof *text);
        }
        text[n++] = id;
    }
    return made;
}

size_t tern_lookup_guess(const TernLookup *l, int32_t *out, size_t most) {
    if (!l || !out || l->n < 2 || l->full) return 0;
    size_t best, n = 0, run = find_run(l, &best);
    if (l->phrases) n = guess_phrase(l, out, most, run);
    if (n) return n;
    for (; best && n < most && best + n < l->n; n++) out[n] = (int32_t)l->ids[best + n];
    return n;
}
