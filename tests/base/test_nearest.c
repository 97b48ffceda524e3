/* Guessing the name that a mistyped word means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "runtime/base/nearest.h"

static const char *nearest(const char *word, const char *const *names) {
    TnNearest n = {.word = word, .len = strlen(word)};
    for (; *names; names++) tn_nearest_try(&n, *names, strlen(*names));
    return n.best ? n.best : "";
}

static void slips(void **state) {
    (void)state;
    static const char *const verbs[] = {"compile", "run", "opt", "bench", "inspect", NULL};
    assert_string_equal(nearest("bnech", verbs), "bench"); /* two in the wrong order */
    assert_string_equal(nearest("complie", verbs), "compile");
    assert_string_equal(nearest("compil", verbs), "compile");  /* missing */
    assert_string_equal(nearest("inspekt", verbs), "inspect"); /* another */
    assert_string_equal(nearest("rrun", verbs), "run");        /* too many */
    assert_string_equal(nearest("OPT", verbs), "opt");
    assert_string_equal(nearest("frobnicate", verbs), "");
    assert_string_equal(nearest("ru", verbs), ""); /* two letters: no slip */
    assert_string_equal(nearest("", verbs), "");
}

static void the_nearest_wins(void **state) {
    (void)state;
    static const char *const flags[] = {"--temp", "--tokens", "--tokens-file", "--top-k", "--top-p", NULL};
    assert_string_equal(nearest("--token", flags), "--tokens");
    assert_string_equal(nearest("--topk", flags), "--top-k");
    assert_string_equal(nearest("--tokens-fil", flags), "--tokens-file");
    static const char *const keys[] = {"tokenizer.ggml.model", "tokenizer.ggml.add_bos_token", NULL};
    assert_string_equal(nearest("tokenizer.ggml.add_bos", keys),
                        "tokenizer.ggml.add_bos_token"); /* its beginning */
}

static void long_words(void **state) {
    (void)state;
    char a[300], b[300];
    memset(a, 'a', sizeof a);
    memset(b, 'a', sizeof b);
    TnNearest n = {.word = a, .len = 100};
    tn_nearest_try(&n, b, 101);
    assert_null(n.best);
    tn_nearest_try(&n, b, 100);
    assert_ptr_equal(n.best, b);
    n = (TnNearest){.word = a, .len = sizeof a};
    tn_nearest_try(&n, b, sizeof b);
    assert_null(n.best);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips),
        cmocka_unit_test(the_nearest_wins),
        cmocka_unit_test(long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
