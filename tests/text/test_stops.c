/* Stop strings: what comes out is the text up to the first one that is complete, however the text is cut. */
#include "vocab_file.h"

enum { MOST = 4 };
typedef struct Case {
    const char *stops[MOST], *text, *out;
    int stop; /* which, or -1 */
} Case;

static const Case cases[] = {
    {{NULL}, "a text", "a text", -1},
    {{"x"}, "a text", "a te", 0},
    {{"STOP"}, "no STO no STOP no", "no STO no ", 0},
    {{"STOP"}, "no STO", "no STO", -1},
    {{"aab"}, "aaaab", "aa", 0}, /* begins again inside its own beginning */
    {{"abac"}, "ababac!", "ab", 0},
    {{"abcd", "bc"}, "zabcd", "za", 1}, /* the one that ends first, though the other begins first */
    {{"bc", "abc"}, "zabcd", "z", 1},   /* both end at once: the longer */
    {{"\n\n", "User:"}, "yes\nUser: a", "yes\n", 1},
    {{"\xe2\x82\xac"}, "5 \xe2\x82\xac", "5 ", 0},
    {{"\xe2\x82\xac"}, "5 \xe2\x82\xad.", "5 \xe2\x82\xad.", -1},
    {{"a"}, "a", "", 0},
    {{"ab", "ab"}, "cab", "c", 0},
    {{"abc", "x"}, "ab", "ab", -1},
};

static TernStops *stops_of(const Case *c) {
    TernText t[MOST];
    size_t n = 0;
    for (; n < MOST && c->stops[n]; n++) t[n] = (TernText){c->stops[n], strlen(c->stops[n])};
    TernStops *s;
    TernError err;
    if (tern_stops_create(t, n, &s, &err) != TERN_OK) fail_msg("%s", err.text);
    return s;
}

/* Cuts a text into pieces of these sizes (the last one repeats); gives what comes out, and the stop string or -1. */
static int run(const Case *c, const size_t *sizes, size_t n_sizes, char out[64]) {
    TernStops *s = stops_of(c);
    const char *bytes;
    size_t n = strlen(c->text), at = 0, len = 0, got, stop = TERN_NO_STOP;
    for (size_t i = 0; at < n; i++) {
        size_t piece = sizes[i < n_sizes ? i : n_sizes - 1];
        if (piece > n - at) piece = n - at;
        assert_int_equal(tern_stops_push(s, c->text + at, piece, &bytes, &got, &stop, NULL), TERN_OK);
        at += piece;
        memcpy(out + len, bytes, got);
        len += got;
    }
    tern_stops_flush(s, &bytes, &got);
    if (stop != TERN_NO_STOP) assert_int_equal(got, 0);
    memcpy(out + len, bytes, got);
    out[len + got] = '\0';
    tern_stops_destroy(s);
    return stop == TERN_NO_STOP ? -1 : (int)stop;
}

static void test_any_cut(void **state) {
    (void)state;
    char out[64];
    for (size_t i = 0; i < TN_COUNT(cases); i++)
        for (size_t a = 1; a <= strlen(cases[i].text); a++)
            for (size_t b = 1; b <= strlen(cases[i].text); b++) {
                int stop = run(&cases[i], (size_t[]){a, b, 1}, 3, out);
                if (stop != cases[i].stop || strcmp(out, cases[i].out) != 0)
                    fail_msg("case %zu cut at %zu and %zu: '%s' and %d, expected '%s' and %d", i, a, b, out,
                             stop, cases[i].out, cases[i].stop);
            }
}

/* Compared with a search in the whole text: random texts of two letters. */
static void test_against_naive(void **state) {
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 4000; round++) {
        char text[40], stop[3][6], expected[64], out[64];
        Case c = {.text = text};
        size_t n = test_random(&seed) % 39, n_stops = 1 + test_random(&seed) % 3;
        for (size_t i = 0; i < n; i++) text[i] = (char)('a' + test_random(&seed) % 2);
        text[n] = '\0';
        for (size_t k = 0; k < n_stops; k++) {
            size_t len = 1 + test_random(&seed) % 5;
            for (size_t i = 0; i < len; i++) stop[k][i] = (char)('a' + test_random(&seed) % 2);
            stop[k][len] = '\0';
            c.stops[k] = stop[k];
        }
        c.stop = -1;
        strcpy(expected, text);
        for (size_t end = 1; end <= n && c.stop < 0; end++)
            for (size_t k = 0; k < n_stops; k++) {
                size_t len = strlen(stop[k]);
                if (len > end || memcmp(text + end - len, stop[k], len) != 0) continue;
                if (c.stop >= 0 && len <= strlen(stop[c.stop])) continue;
                c.stop = (int)k;
                snprintf(expected, sizeof expected, "%.*s", (int)(end - len), text);
            }
        size_t sizes[8];
        for (size_t i = 0; i < 8; i++) sizes[i] = 1 + test_random(&seed) % 6;
        assert_int_equal(run(&c, sizes, 8, out), c.stop);
        assert_string_equal(out, expected);
    }
}

/* Nothing is held back without need, and a text that is given out never ends inside a character. */
static void test_held_back(void **state) {
    (void)state;
    const TernText stops[] = {TEXT("\xc3\xa9t\xc3\xa9"), TEXT("##")};
    static const struct {
        const char *in, *out;
    } steps[] = {{"caf", "caf"},
                 {"\xc3\xa9", ""},
                 {"s", "\xc3\xa9s"},
                 {"#", ""},
                 {"a#", "#a"},
                 {"", ""},
                 {"\xc3\xa9t\xc3\xa8", "#\xc3\xa9t\xc3\xa8"},
                 {"\xc3\xa9", ""}};
    TernStops *s;
    const char *bytes;
    size_t n, stop;
    assert_int_equal(tern_stops_create(stops, 2, &s, NULL), TERN_OK);
    for (size_t i = 0; i < TN_COUNT(steps); i++) {
        assert_int_equal(tern_stops_push(s, steps[i].in, strlen(steps[i].in), &bytes, &n, &stop, NULL),
                         TERN_OK);
        assert_int_equal(stop, TERN_NO_STOP);
        assert_int_equal(n, strlen(steps[i].out));
        assert_memory_equal(bytes, steps[i].out, n);
    }
    assert_int_equal(tern_stops_push(s, "t\xc3\xa9 and", 7, &bytes, &n, &stop, NULL), TERN_OK);
    assert_int_equal(stop, 0);
    assert_int_equal(n, 0);
    assert_int_equal(tern_stops_push(s, "more", 4, &bytes, &n, &stop, NULL), TERN_OK); /* it is over */
    assert_int_equal(stop, 0);
    assert_int_equal(n, 0);
    tern_stops_destroy(s);
}

static void test_refusals(void **state) {
    (void)state;
    char *big = tn_xcalloc(5000, 1);
    TernStops *s;
    TernError err;
    memset(big, 'a', 5000);
    static const TernText many[257];
#define REFUSED(n, line, ...)                                                                                \
    do {                                                                                                     \
        s = (TernStops *)&err;                                                                               \
        assert_int_equal(tern_stops_create((const TernText[]){__VA_ARGS__}, n, &s, &err), TERN_ERR_INPUT);   \
        assert_string_equal(err.text, line);                                                                 \
        assert_null(s);                                                                                      \
    } while (0)
    REFUSED(1, "stops[0] has 0 bytes, expected 1 to 4096", TEXT(""));
    REFUSED(2, "stops[1] has 5000 bytes, expected 1 to 4096", TEXT("a"), {big, 5000});
    REFUSED(1, "stops[0].data is NULL, expected a text", {NULL, 3});
    REFUSED(1, "stops[0] has the byte 0xc3 at 1, expected UTF-8", TEXT("a\xc3"));
#undef REFUSED
    assert_int_equal(tern_stops_create(many, 257, &s, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "n is 257 stop strings, expected at most 256");
    free(big);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_against_naive),
        cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
