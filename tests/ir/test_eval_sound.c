/* Every index of every op is refused if it is out of range, with its place and the numbers, and accepted at the
 * ends of its range. */
#include "tests/ir/tir_text.h"
#include <math.h>
#include "ir/eval.h"

enum { ROWS = 3 };
static const int64_t sym[TN_SYM_COUNT] = {[TN_T] = ROWS, [TN_R] = ROWS, [TN_K] = ROWS, [TN_H] = ROWS,
                                          [TN_L] = ROWS, [TN_S] = 2,    [TN_P] = 2,    [TN_N] = 4};

#define CACHE                                                                                                \
    "%x: f32[T,2] = input {name=\"x\"}\n%pos: i32[T] = input {name=\"pos\"}\n"                               \
    "%slot: i32[T] = input {name=\"slot\"}\n%table: i32[S,P] = input {name=\"table\"}\n"                     \
    "%k: kc[N,1,2] = input {name=\"k0\"}\n%v: vc[N,1,2] = input {name=\"v0\"}\n"

/* Runs the text with the input's element `at` set to `value` (all others are 0), and compares the end of the message.
 * NULL: the value must be accepted. */
static void run(const char *text, const char *input, int64_t at, int32_t value, const char *expected) {
    TnGraph *g = graph_of(text);
    TnEval *e;
    TernError err = {0}, of_inputs = {0};
    assert_int_equal(tn_eval_create(g, NULL, sym, &e, &err), TERN_OK);
    if (input) ((int32_t *)tn_eval_input(e, input))[at] = value;
    TernStatus first = tn_eval_check_inputs(e, sym, &of_inputs), st = tn_eval_try(e, sym, &err);
    assert_int_equal(first, st);
    if (expected
            ? st != TERN_ERR_INPUT || strcmp(err.text, expected) != 0 || strcmp(of_inputs.text, expected) != 0
            : st != TERN_OK)
        fail_msg("%s[%d] = %d: got '%s', expected '%s'", input ? input : "", (int)at, (int)value, err.text,
                 expected ? expected : "");
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

static void rows_of_tables(void **state) {
    (void)state;
    const char *embed = "%ids: i32[T] = input {name=\"ids\"}\n$w: f32[8,4] = random {seed=1}\n"
                        "%y: f32[T,4] = embed %ids, $w\n";
    run(embed, "ids", 2, 7, NULL);
    run(embed, "ids", 2, 8, "test:5: %y: embed of %ids: got index 8, expected 0 to 7");
    run(embed, "ids", 0, -1, "test:5: %y: embed of %ids: got index -1, expected 0 to 7");
    run(embed, "ids", 1, INT32_MIN, "test:5: %y: embed of %ids: got index -2147483648, expected 0 to 7");
    const char *gather = "%r: i32[R] = input {name=\"rows\"}\n%x: f32[T,4] = input {name=\"x\"}\n"
                         "%y: f32[R,4] = gather %x, %r\n";
    run(gather, "rows", 2, ROWS - 1, NULL);
    run(gather, "rows", 2, ROWS, "test:5: %y: gather of %r: got index 3, expected 0 to 2");
    const char *take = "%i: i32[K,2] = input {name=\"i\"}\n%x: f32[R,4] = input {name=\"x\"}\n"
                       "%y: f32[K,2] = take %x, %i\n";
    run(take, "i", 1, -1, NULL); /* fewer than k were found */
    run(take, "i", 1, 3, NULL);
    run(take, "i", 1, 4, "test:5: %y: take of %i: got index 4, expected -1 to 3");
    run(take, "i", 0, -2, "test:5: %y: take of %i: got index -2, expected -1 to 3");
    const char *pick = "%i: i32[K,2] = input {name=\"i\"}\n%x: f32[R,4] = input {name=\"x\"}\n"
                       "$w: f16[5,4] = random {seed=1}\n%y: f32[K,2] = pick %x, %i, $w\n";
    run(pick, "i", 0, 4, NULL);
    run(pick, "i", 0, -1, NULL);
    run(pick, "i", 0, 5, "test:6: %y: pick of %i: got index 5, expected -1 to 4");
}

static void places_in_caches(void **state) {
    (void)state;
    static const struct {
        const char *line, *op;
    } ops[] = {{"%y: kc[N,1,2] = kv_put %k, %x, %pos, %slot, %table\n", "kv_put"},
               {"%y: f32[T,2] = attend %x, %k, %v, %pos, %slot, %table {scale=1.0, window=0}\n", "attend"},
               {"%y: f32[P,12] = attend_blocks %x, %k, %v, %pos, %slot, %table {scale=1.0, window=0, n=3}\n",
                "attend_blocks"}};
    for (size_t i = 0; i < TN_COUNT(ops); i++) {
        char text[1000], expected[200];
        snprintf(text, sizeof text, "%s%s", CACHE, ops[i].line);
        run(text, "pos", 2, 2 * TN_PAGE - 1, NULL);
        run(text, "slot", 1, 1, NULL);
        run(text, "table", 2, 3, NULL); /* of slot 1, which no row has */
        run(text, "table", 2, 99, NULL);
        const struct {
            const char *input, *what;
            int32_t at, value, most;
        } bad[] = {{"pos", "position", 2, 2 * TN_PAGE, 2 * TN_PAGE - 1},
                   {"pos", "position", 0, -1, 2 * TN_PAGE - 1},
                   {"slot", "slot", 1, 2, 1},
                   {"slot", "slot", 1, -1, 1},
                   {"table", "page", 0, 4, 3},
                   {"table", "page", 0, -1, 3}};
        for (size_t j = 0; j < TN_COUNT(bad); j++) {
            snprintf(expected, sizeof expected, "test:9: %%y: %s of %%%s: got %s %d, expected 0 to %d",
                     ops[i].op, bad[j].input, bad[j].what, (int)bad[j].value, (int)bad[j].most);
            run(text, bad[j].input, bad[j].at, bad[j].value, expected);
        }
    }
}

/* A row reads only the pages of its window. */
static void pages_of_windows(void **state) {
    (void)state;
    for (int window = 0; window <= 64; window += 64) {
        char text[1000];
        snprintf(text, sizeof text,
                 "%s%%y: f32[T,2] = attend %%x, %%k, %%v, %%pos, %%slot, %%table {scale=1.0, window=%d}\n",
                 CACHE, window);
        TnGraph *g = graph_of(text);
        TnEval *e;
        TernError err = {0};
        assert_int_equal(tn_eval_create(g, NULL, sym, &e, &err), TERN_OK);
        for (int t = 0; t < ROWS; t++) ((int32_t *)tn_eval_input(e, "pos"))[t] = 2 * TN_PAGE - 1;
        ((int32_t *)tn_eval_input(e, "table"))[0] = 77;
        assert_int_equal(tn_eval_try(e, sym, &err), window ? TERN_OK : TERN_ERR_INPUT);
        tn_eval_destroy(e);
        tn_graph_destroy(g);
    }
}

static void rooms(void **state) {
    (void)state;
    const char *blocks =
        CACHE "%b: f32[P,8] = attend_blocks %x, %k, %v, %pos, %slot, %table {scale=1.0, window=0, n=2}\n";
    run(blocks, NULL, 0, 0, "test:9: %b: attend_blocks has room for 2 rows, got 3");
    const char *one =
        CACHE "%b: f32[P,4] = attend_blocks %x, %k, %v, %pos, %slot, %table {scale=1.0, window=0, n=1}\n";
    run(one, NULL, 0, 0, "test:9: %b: attend_blocks has room for 1 row, got 3");
}

/* An index that the graph computes is checked after it has been computed. */
static void computed(void **state) {
    (void)state;
    TnGraph *g = graph_of("%x: f32[T,40] = input {name=\"x\"}\n%b: i32[T] = argmax %x\n"
                          "$w: f32[4,4] = random {seed=1}\n%y: f32[T,4] = embed %b, $w\n");
    TnEval *e;
    TernError err = {0};
    assert_int_equal(tn_eval_create(g, NULL, sym, &e, &err), TERN_OK);
    assert_int_equal(tn_eval_try(e, sym, &err), TERN_OK); /* all equal: 0 */
    ((float *)tn_eval_input(e, "x"))[30] = 1;
    assert_int_equal(tn_eval_check_inputs(e, sym, &err), TERN_OK);
    assert_int_equal(tn_eval_try(e, sym, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "test:6: %y: embed of %b: got index 30, expected 0 to 3");
    ((float *)tn_eval_input(e, "x"))[30] = INFINITY; /* argmax says -1 */
    assert_int_equal(tn_eval_try(e, sym, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "test:6: %y: embed of %b: got index -1, expected 0 to 3");
    tn_eval_destroy(e);
    tn_graph_destroy(g);
}

/* A graph that needs more memory than is free is refused before the memory is allocated. */
static void memory(void **state) {
    (void)state;
    TnGraph *g =
        graph_of("%x: f32[T,1099511627776] = input {name=\"x\"}\n%y: f32[T,1099511627776] = silu %x\n");
    TernError err = {0};
    assert_int_equal(tn_eval_fits(g, sym, 1, &err), TERN_ERR_MEMORY);
    assert_non_null(strstr(err.text, "graph @t takes 12582912 MB for its values up to %x, but "));
    tn_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_of_tables),   cmocka_unit_test(places_in_caches),
                                       cmocka_unit_test(pages_of_windows), cmocka_unit_test(rooms),
                                       cmocka_unit_test(computed),         cmocka_unit_test(memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
