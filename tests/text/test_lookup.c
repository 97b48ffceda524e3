/* Prompt lookup: what it guesses, and that a plain search over all places gives the same. */
#include "vocab_file.h"

static TernLookup *make(size_t capacity) {
    TernLookup *l;
    TernError err;
    if (tern_lookup_create(capacity, &l, &err) != TERN_OK) fail_msg("%s", err.text);
    return l;
}

static void check(const int32_t *ids, size_t n, size_t most, const int32_t *want, size_t n_want) {
    TernLookup *l = make(100);
    tern_lookup_accept(l, ids, n);
    int32_t got[16];
    assert_int_equal(tern_lookup_guess(l, got, most), n_want);
    for (size_t i = 0; i < n_want; i++) assert_int_equal(got[i], want[i]);
    tern_lookup_destroy(l);
}
#define IDS(...) (const int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / 4

static void test_guesses(void **state) {
    (void)state;
    check(IDS(1, 2, 3, 4, 5, 1, 2), 3, IDS(3, 4, 5));
    check(IDS(1, 2, 3, 4, 5, 1, 2), 1, IDS(3));
    check(IDS(1, 2, 3, 1, 2), 9, IDS(3, 1, 2));             /* all there are */
    check(IDS(1, 2, 3, 9, 2, 7, 1, 2), 1, IDS(3));          /* a pair, not one id */
    check(IDS(5, 1, 2, 3, 9, 1, 2, 4, 5, 1, 2), 1, IDS(3)); /* the longer stretch, though it is older */
    check(IDS(1, 2, 3, 9, 1, 2, 4, 8, 1, 2), 1, IDS(4));    /* of equal ones the latest */
    check(IDS(7, 7, 7), 4, IDS(7));                         /* it may overlap itself */
    int32_t none[1] = {0}, ids[] = {1, 2, 3, 4};
    check(ids, 4, 4, none, 0);
    check(ids, 1, 4, none, 0);
    check(ids, 0, 4, none, 0);
}

static size_t search(const int32_t *ids, size_t n, int32_t *out, size_t most) {
    size_t best = 0, longest = 1, m = 0;
    for (size_t end = n - 1; end-- > 0;) {
        size_t k = 0;
        while (k < 16 && k <= end && ids[end - k] == ids[n - 1 - k]) k++;
        if (k > longest) {
            longest = k;
            best = end + 1;
        }
    }
    for (; best && m < most && best + m < n; m++) out[m] = ids[best + m];
    return m;
}

static void test_search(void **state) {
    (void)state;
    enum { N = 150 };
    int32_t ids[N];
    uint32_t rng = 7;
    for (uint32_t kinds = 2; kinds < 12; kinds++) {
        TernLookup *l = make(N);
        for (size_t n = 1; n <= N; n++) {
            rng = rng * 1664525u + 1013904223u;
            ids[n - 1] = (rng >> 16) % kinds;
            tern_lookup_accept(l, &ids[n - 1], 1);
            int32_t got[5], want[5];
            size_t m = search(ids, n, want, 5);
            /* with two kinds of ids a chain is longer than the part that is searched: then any right guess will do */
            if (kinds < 4) continue;
            assert_int_equal(tern_lookup_guess(l, got, 5), m);
            assert_memory_equal(got, want, m * sizeof *got);
        }
        tern_lookup_destroy(l);
    }
}

static void test_limits(void **state) {
    (void)state;
    TernLookup *l;
    TernError err;
    assert_int_equal(tern_lookup_create(0, &l, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "capacity is 0, expected 1 to 16777216");
    l = make(4);
    int32_t ids[] = {1, 2, 1, 2, 1}, got[2];
    tern_lookup_accept(l, ids, 4);
    assert_int_equal(tern_lookup_guess(l, got, 2), 2);
    tern_lookup_accept(l, ids, 1); /* no room: what it holds is no longer the end of the text */
    assert_int_equal(tern_lookup_guess(l, got, 2), 0);
    tern_lookup_destroy(l);
    tern_lookup_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
