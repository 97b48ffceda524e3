/* Phrases of several texts: what they guess, that a search over all that was read gives the same, and that their memory is bounded. */
#include "vocab_file.h"

enum { TEXTS = 3, N = 300, MOST = 5, LENGTHS = 3 };
static const size_t lengths[LENGTHS] = {2, 4, 8};

static TernLookup *open_lookup(TernPhrases *phrases, size_t capacity) {
    TernLookup *l;
    TernError err;
    if (tern_lookup_create(capacity, &l, &err) != TERN_OK) fail_msg("%s", err.text);
    tern_lookup_share(l, phrases);
    return l;
}

static TernPhrases *open_phrases(size_t bytes) {
    TernPhrases *p;
    TernError err;
    if (tern_phrases_create(bytes, &p, &err) != TERN_OK) fail_msg("%s", err.text);
    return p;
}

static void read_text(TernPhrases *p, const int32_t *ids, size_t n) {
    TernLookup *l = open_lookup(p, n);
    tern_lookup_accept(l, ids, n);
    tern_lookup_destroy(l);
}

/* After a text, these are the guesses. */
static void check(TernPhrases *p, const int32_t *ids, size_t n, size_t most, const int32_t *want,
                  size_t n_want) {
    TernLookup *l = open_lookup(p, 100);
    int32_t got[16];
    tern_lookup_accept(l, ids, n);
    assert_int_equal(tern_lookup_guess(l, got, most), n_want);
    for (size_t i = 0; i < n_want; i++) assert_int_equal(got[i], want[i]);
    tern_lookup_destroy(l);
}
#define IDS(...) (const int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / 4

static const int32_t none[1];

static void test_guesses(void **state) {
    (void)state;
    TernPhrases *p = open_phrases(1 << 16);
    check(p, IDS(1, 2), 3, none, 0); /* nothing was read */
    read_text(p, IDS(1, 2, 3, 4, 5));
    check(p, IDS(7, 1, 2), 2, IDS(3, 4)); /* from a text that has ended, one id after the other */
    check(p, IDS(7, 1, 2), 9, IDS(3, 4, 5));
    check(p, IDS(7, 2), 9, none, 0);                  /* two ids at least */
    check(p, IDS(1, 2, 8, 6, 1, 2), 1, IDS(8));       /* the own text, where it agrees in as many ids */
    check(p, IDS(20, 21, 22, 9, 20, 21), 1, IDS(22)); /* the own text alone */
    tern_phrases_destroy(p);

    p = open_phrases(1 << 16);
    for (int i = 0; i < 3; i++) read_text(p, IDS(1, 2, 3));
    read_text(p, IDS(1, 2, 9));
    check(p, IDS(7, 1, 2), 1, IDS(3)); /* what came most */
    for (int i = 0; i < 3; i++) read_text(p, IDS(1, 2, 9));
    check(p, IDS(7, 1, 2), 1, IDS(9)); /* of late */
    read_text(p, IDS(40, 41, 1, 2, 50));
    check(p, IDS(40, 41, 1, 2), 1, IDS(50)); /* more ids before it count more */
    tern_phrases_destroy(p);
    tern_phrases_destroy(NULL);
}

/* ---- Held against a search over all notes that were ever made */

typedef struct Note {
    int32_t before[8], id;
    size_t length;
    int count;
} Note;
static Note notes[TEXTS * N * LENGTHS];
static size_t n_notes;

static Note *search(const int32_t *end, size_t length) {
    for (size_t i = 0; i < n_notes; i++)
        if (notes[i].length == length && memcmp(notes[i].before, end - length, length * sizeof *end) == 0)
            return &notes[i];
    return NULL;
}

static void note(const int32_t *ids, size_t at) {
    for (size_t k = 0; k < LENGTHS && lengths[k] <= at; k++) {
        Note *n = search(ids + at, lengths[k]);
        if (!n) {
            n = &notes[n_notes++];
            *n = (Note){.length = lengths[k], .id = ids[at]};
            memcpy(n->before, ids + at - lengths[k], lengths[k] * sizeof *ids);
        }
        if (n->id == ids[at]) {
            n->count += n->count < 3;
        } else if (--n->count == 0) {
            n->id = ids[at];
            n->count = 1;
        }
    }
}

static size_t longest_known(const int32_t *ids, size_t n, int32_t *id) {
    for (size_t k = LENGTHS; k-- > 0;) {
        const Note *found = n >= lengths[k] ? search(ids + n, lengths[k]) : NULL;
        if (!found) continue;
        *id = found->id;
        return lengths[k];
    }
    return 0;
}

/* The length of the longest own run. */
static size_t own_run(const int32_t *ids, size_t n) {
    size_t longest = 1;
    for (size_t end = n - 1; end-- > 0;) {
        size_t k = 0;
        while (k < 16 && k <= end && ids[end - k] == ids[n - 1 - k]) k++;
        if (k > longest) longest = k;
    }
    return longest > 1 ? longest : 0;
}

static size_t search_guesses(const int32_t *ids, size_t n, int32_t *out) {
    int32_t text[N + MOST];
    size_t made = 0;
    memcpy(text, ids, n * sizeof *ids);
    if (n < 2 || longest_known(ids, n, out) <= own_run(ids, n)) return 0;
    while (made < MOST && longest_known(text, n + made, &out[made])) {
        text[n + made] = out[made];
        made++;
    }
    return made;
}

/* Texts that grow beside each other, of few and of many kinds of ids. */
static void test_search(void **state) {
    (void)state;
    static int32_t ids[TEXTS][N];
    uint32_t rng = 7;
    for (int32_t kinds = 4; kinds < 40; kinds += 9) {
        TernPhrases *p = open_phrases(1 << 20);
        TernLookup *l[TEXTS];
        size_t by_phrases = 0, all = 0;
        n_notes = 0;
        for (size_t t = 0; t < TEXTS; t++) l[t] = open_lookup(p, N);
        for (size_t n = 0; n < N; n++)
            for (size_t t = 0; t < TEXTS; t++) {
                int32_t got[MOST], want[MOST];
                rng = rng * 1664525u + 1013904223u;
                /* the second text and the third mostly repeat the first */
                bool repeats = t && n > 20 * t && (rng >> 8) % 10;
                ids[t][n] = repeats ? ids[0][n - 20 * t] : (int32_t)((rng >> 16) % (uint32_t)kinds);
                tern_lookup_accept(l[t], &ids[t][n], 1);
                note(ids[t], n);
                size_t m = search_guesses(ids[t], n + 1, want);
                size_t made = tern_lookup_guess(l[t], got, MOST);
                all++;
                if (!m) continue; /* its own text guesses, or nothing: test_lookup.c */
                by_phrases++;
                assert_int_equal(made, m);
                assert_memory_equal(got, want, m * sizeof *got);
            }
        assert_true(by_phrases > all / 4);
        for (size_t t = 0; t < TEXTS; t++) tern_lookup_destroy(l[t]);
        tern_phrases_destroy(p);
    }
}

/* The smallest table has room for eight notes: of three ids each makes one. */
static void test_bound(void **state) {
    (void)state;
    TernPhrases *p = open_phrases(127); /* rounded down */
    for (int32_t i = 0; i < 8; i++) read_text(p, IDS(100 + i, 200 + i, 300 + i));
    for (int32_t i = 0; i < 8; i++) check(p, IDS(100 + i, 200 + i), 1, IDS(300 + i));
    read_text(p, IDS(100, 200, 300)); /* seen again, so now the second is the oldest */
    read_text(p, IDS(1, 2, 3));
    check(p, IDS(101, 201), 1, none, 0);
    check(p, IDS(100, 200), 1, IDS(300));
    check(p, IDS(102, 202), 1, IDS(302));
    check(p, IDS(1, 2), 1, IDS(3));
    for (int32_t i = 0; i < 100000; i++) read_text(p, IDS(1000 + i, 2000 + i, i));
    check(p, IDS(1, 2), 1, none, 0);
    check(p, IDS(100999, 101999), 1, IDS(99999));
    tern_phrases_destroy(p);

    /* in a larger one, far more ids than it has room for */
    p = open_phrases(1 << 12);
    static int32_t text[5000];
    for (int32_t i = 0; i < 5000; i++) text[i] = i;
    read_text(p, text, 5000);
    check(p, text + 4990, 4, 3, text + 4994, 3);
    check(p, text + 10, 8, 3, none, 0);
    tern_phrases_destroy(p);
}

static void test_limits(void **state) {
    (void)state;
    TernPhrases *p;
    TernError err;
    assert_int_equal(tern_phrases_create(63, &p, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "bytes is 63, expected 64 to 68719476736");
    assert_null(p);
    p = open_phrases(4096);
    TernLookup *l = open_lookup(p, 3);
    int32_t ids[] = {1, 2, 3, 4}, got[2];
    tern_lookup_accept(l, ids, 3);
    tern_lookup_share(l, NULL);
    assert_int_equal(tern_lookup_guess(l, got, 2), 0);
    tern_lookup_share(l, p);
    tern_lookup_accept(l, ids + 3, 1); /* no room: it is not read either */
    check(p, IDS(9, 1, 2), 2, IDS(3));
    tern_lookup_destroy(l);
    tern_phrases_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
