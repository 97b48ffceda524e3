/* The scripted model (support/scripted.h) says what a script says: through the compiler, the engine and the generator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/base/status.h"
#include "runtime/generate/generate.h"
#include "generate/load_scripted.h"

static TernPool *pool;

static void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

static int append(void *user, const TernPiece *p) {
    tn_buf_put(user, p->text, p->size);
    return 0;
}

static void check_answer(TernGenerator *g, const char *prompt, uint64_t seed, const char *expected) {
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    TernGenerated got = {.size = sizeof got};
    TernError err;
    TnBuf text = {0};
    so.seed = seed;
    if (seed == 0) so.temp = 0;
    TernRequest r = {.size = sizeof r, .text = {prompt, strlen(prompt)}, .sampler = &so, .max_tokens = 50};
    must(tern_generate(g, &r, append, &text, &got, &err), &err);
    assert_int_equal(got.end, TERN_END_TOKEN);
    tn_buf_put(&text, "", 1);
    assert_string_equal(text.data, expected);
    tn_buf_free(&text);
}

static void the_latest_trigger_decides(void **state) {
    (void)state;
    static const char script[] = "# two answers begin with the same control token\n"
                                 "end <|end|>\n"
                                 "control <think>\n"
                                 "control </think>\n"
                                 "say: Hello|, hello|, |hello|\\n\\x21\n"
                                 "say sun: <think>|It| shines|.|</think>|Sun\n"
                                 "say heavy rain: <think>|wet|</think>|Rain\n";
    TnScripted *s = tn_scripted_create();
    size_t line;
    assert_true(tn_scripted_read(s, script, &line));
    TernModel *model = load_scripted(s);
    TernGeneratorOptions o = {.size = sizeof o, .context = 512};
    TernGenerator *g;
    TernError err;
    must(tern_generator_create(model, pool, &o, &g, &err), &err);
    for (uint64_t seed = 0; seed < 3; seed++) {
        check_answer(g, "x", seed, "Hello, hello, hello\n!");
        check_answer(g, "no su\nn", seed, "Hello, hello, hello\n!");
        check_answer(g, "sun", seed, "It shines.Sun");
        check_answer(g, "sun and heavy rain, or not", seed, "wetRain");
        check_answer(g, "heavy rain...sun", seed, "It shines.Sun");
        check_answer(g, "sun sun heavy rain sun....heavy rain", seed, "wetRain");
    }
    char text[480];
    memset(text, '.', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text, "sunny.heavy rain", 16);
    check_answer(g, text, 0, "wetRain");
    memcpy(text, "heavy rain...sun", 16);
    check_answer(g, text, 0, "It shines.Sun");
    tern_generator_destroy(g);
    tern_model_close(model);
    tn_scripted_destroy(s);
}

/* With several answers to one text, which of them is said follows from the seed. */
static void answers_are_drawn(void **state) {
    (void)state;
    TnScripted *s = tn_scripted_create();
    size_t line;
    assert_true(tn_scripted_read(s, "end <|end|>\nsay: a\nsay: b\n", &line));
    TernModel *model = load_scripted(s);
    TernGenerator *g;
    TernError err;
    must(tern_generator_create(model, pool, NULL, &g, &err), &err);
    size_t n_a = 0, n = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
        TnBuf text = {0};
        so.seed = seed;
        TernRequest r = {.size = sizeof r, .text = {"?", 1}, .sampler = &so, .max_tokens = 50};
        must(tern_generate(g, &r, append, &text, NULL, &err), &err);
        n_a += text.data[0] == 'a';
        n += text.len;
        tn_buf_free(&text);
    }
    assert_int_equal(n, 20);
    assert_true(n_a > 0 && n_a < 20);
    tern_generator_destroy(g);
    tern_model_close(model);
    tn_scripted_destroy(s);
}

static void keep_logits(void *user, const TernResult *r) {
    memcpy(user, r->logits, 512 * sizeof(float));
}

/* Any logits after a token and during a trigger; their sum is exact. */
static void logits_are_those_of_the_rules(void **state) {
    (void)state;
    enum { STATES = 200 };
    TnScripted *s = tn_scripted_create();
    int32_t ids[STATES];
    float x[512];
    for (int i = 0; i < STATES; i++) ids[i] = tn_scripted_token(s, TN_SCRIPTED_PIECE, "piece", 5);
    int32_t up = tn_scripted_token(s, TN_SCRIPTED_TRIGGER, "up", 2);
    for (int i = 0; i < STATES; i++) {
        tn_scripted_after(s, ids[i], ids[(7 * i + 1) % STATES], (float)i / 8);
        tn_scripted_after(s, ids[i], up, -1e6f);
        tn_scripted_during(s, up, ids[i], (float)(i % 3));
        tn_scripted_during(s, -1, ids[i], (float)(i % 5));
    }
    tn_scripted_after(s, -1, ids[0], 42);
    TernModel *model = load_scripted(s);
    TernSession *session;
    TernError err;
    must(tern_session_create(model, pool, NULL, &session, &err), &err);
    for (int during = 0; during < 2; during++) {
        TernRow first = {during ? up : tn_scripted_byte(s, 'u'), 0, TERN_WANT_LOGITS};
        must(tern_session_truncate(session, 0, 0, &err), &err);
        must(tern_session_step(session, &first, 1, keep_logits, x, &err), &err);
        assert_true(x[ids[0]] == 42.0f);
        for (int i = 0; i < STATES; i++) {
            TernRow row = {ids[i], 0, TERN_WANT_LOGITS};
            must(tern_session_step(session, &row, 1, keep_logits, x, &err), &err);
            for (int j = 0; j < STATES; j++) {
                float expected = (float)(during ? j % 3 : j % 5);
                if (j == (7 * i + 1) % STATES) expected += (float)i / 8;
                if (x[ids[j]] != expected)
                    fail_msg("after %d, of %d: %g, expected %g", i, j, (double)x[ids[j]], (double)expected);
            }
            assert_true(x[up] == -1e6f);
        }
    }
    tern_session_destroy(session);
    tern_model_close(model);
    tn_scripted_destroy(s);
}

static void lines_that_are_not_understood(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t line;
    } cases[] = {
        {"sing\n", 1},
        {"end \n", 1},
        {"\n\nsay: a\n", 3},                                         /* no end token */
        {"end e\nsay a\n", 2},                                       /* no colon */
        {"end e\nsay: a||b\n", 2},                                   /* an empty piece */
        {"end e\nsay: \\q\n", 2},                                    /* no such escape */
        {"end e\nsay: \\x4\n", 2},                                   /* nor this one */
        {"control c\nend e\n# twice\nsay: c|then|c|something\n", 4}, /* what follows c? */
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        TnScripted *s = tn_scripted_create();
        size_t line = 0;
        assert_false(tn_scripted_read(s, cases[i].text, &line));
        assert_int_equal(line, cases[i].line);
        tn_scripted_destroy(s);
    }
}

static int open_pool(void **state) {
    (void)state;
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    return tern_pool_create(&po, &pool, NULL);
}

static int close_pool(void **state) {
    (void)state;
    tern_pool_destroy(pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_trigger_decides),
        cmocka_unit_test(answers_are_drawn),
        cmocka_unit_test(logits_are_those_of_the_rules),
        cmocka_unit_test(lines_that_are_not_understood),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
