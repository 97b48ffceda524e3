/* Phrases: which id came after which, in a table whose size does not grow.
 *
 * Each id is noted three times: after the 2, the 4 and the 8 ids before it. A note is a word: 30 bits of the hash of those ids, a
 * count of 1 to 3, and the id that came. It lies in a line of 8 words that other bits of the hash choose, those that were
 * noted last in front; a new one takes the place of the last word of its line. So what was not seen for long is forgotten, and no
 * list of what is old has to be kept. Texts of several sequences may come in any order: nothing here knows whose an id is.
 *
 * If another id comes than the one that is noted, the count falls, and at 1 the other takes the place: the id that came most of
 * late. The ids before are known only by their hash. Should two hashes be equal, a guess is wrong, and no more. */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/options.h"
#include "runtime/text/phrases.h"

enum { LINE = 8, LENGTHS = 3, COUNT_MOST = 3 };
enum { TAG_SHIFT = 34, COUNT_SHIFT = 32 };
static const size_t lengths[LENGTHS] = {2, 4, TN_PHRASE_LONGEST};
#define LEAST ((size_t)LINE * sizeof(uint64_t))
#define MOST  ((size_t)1 << 36)

struct TernPhrases {
    uint64_t *words; /* [LINE << bits] tag, count, id; 0: empty, as a count is at least 1 */
    uint32_t bits;
};

TernStatus tern_phrases_create(size_t bytes, TernPhrases **out, TernError *err) {
    tn_error_clear(err);
    if (!out) return tn_fail_null("out_phrases", err);
    *out = NULL;
    if (bytes < LEAST || bytes > MOST)
        return tn_fail(err, TERN_ERR_INPUT, "bytes is %zu, expected %zu to %zu", bytes, LEAST, MOST);
    uint32_t bits = 0;
    while (LEAST << (bits + 1) <= bytes) bits++;
    TernPhrases *p = calloc(1, sizeof *p);
    uint64_t *words = aligned_alloc(LEAST, LEAST << bits);
    if (!p || !words) {
        free(p);
        free(words);
        return tn_fail(err, TERN_ERR_MEMORY, "no memory for phrases of %zu bytes", bytes);
    }
    memset(words, 0, LEAST << bits);
    *p = (TernPhrases){words, bits};
    *out = p;
    return TERN_OK;
}

void tern_phrases_destroy(TernPhrases *p) {
    if (!p) return;
    free(p->words);
    free(p);
}

/* Writes the hashes of the last lengths[i] ids, as far as there are as many, and returns how many hashes. */
static int hash_last(const uint32_t *ids, size_t n, uint64_t *hashes) {
    uint64_t h = 0;
    int found = 0;
    for (size_t i = 1; i <= n && found < LENGTHS; i++) {
        h = (h ^ (ids[n - i] + 1ull)) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
        if (i != lengths[found]) continue;
        uint64_t end = h * 0xff51afd7ed558ccdu;
        hashes[found++] = end ^ end >> 32;
    }
    return found;
}

static uint64_t *line_of(const TernPhrases *p, uint64_t hash) {
    return p->words + (p->bits ? hash >> (64 - p->bits) : 0) * LINE;
}

/* The place in the line of what came after those ids; LINE: none. */
static size_t find(const uint64_t *line, uint64_t hash) {
    size_t i = 0;
    while (i < LINE && (line[i] == 0 || line[i] >> TAG_SHIFT != (hash & ((1u << 30) - 1)))) i++;
    return i;
}

static uint64_t noted_again(uint64_t word, uint32_t id) {
    uint64_t count = word >> COUNT_SHIFT & COUNT_MOST;
    if ((uint32_t)word == id) return count < COUNT_MOST ? word + (1ull << COUNT_SHIFT) : word;
    return count > 1 ? word - (1ull << COUNT_SHIFT) : (word & ~(uint64_t)UINT32_MAX) | id;
}

void tn_phrases_accept(TernPhrases *p, const uint32_t *ids, size_t n) {
    uint64_t hashes[LENGTHS];
    int known = hash_last(ids, n, hashes);
    for (int k = 0; k < known; k++) {
        uint64_t *line = line_of(p, hashes[k]), word;
        size_t at = find(line, hashes[k]);
        if (at < LINE) {
            word = noted_again(line[at], ids[n]);
        } else {
            at = LINE - 1;
            word = hashes[k] << TAG_SHIFT | 1ull << COUNT_SHIFT | ids[n];
        }
        memmove(line + 1, line, at * sizeof *line);
        line[0] = word;
    }
}

size_t tn_phrases_find(const TernPhrases *p, const uint32_t *ids, size_t n, uint32_t *out_id) {
    uint64_t hashes[LENGTHS];
    for (int k = hash_last(ids, n, hashes); k-- > 0;) {
        const uint64_t *line = line_of(p, hashes[k]);
        size_t at = find(line, hashes[k]);
        if (at == LINE) continue;
        *out_id = (uint32_t)line[at];
        return lengths[k];
    }
    return 0;
}
