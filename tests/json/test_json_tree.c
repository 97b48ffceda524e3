/* The reader of JSON: what is accepted, as what it is printed, and the place of what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/json/json_tree.h"

static const struct {
    const char *text, *printed, *error;
} cases[] = {
    {"null", "null", NULL},
    {" [1, -0, 2.50 ,1e5,\t-1.5E+3 ]\n", "[1,0,2.5,100000.0,-1500.0]", NULL},
    {"[9223372036854775807, -9223372036854775808, 0.1, 1e300]",
     "[9223372036854775807,-9223372036854775808,0.1,1e+300]", NULL},
    {"123456789012345678901234567890", NULL, "line 1, column 30: too big integer"},
    {"{\"b\": true, \"a\": {\"\": []}, \"c\": {}}", "{\"b\":true,\"a\":{\"\":[]},\"c\":{}}", NULL},
    {"{\"a\": 1, \"b\": 2, \"a\": [3]}", "{\"a\":[3],\"b\":2}", NULL},
    {"\"\\u00e9\\u20ac\\ud83d\\ude00\\/\\n\\u0001\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/\\n\\u0001\"",
     NULL},
    {"", NULL, "line 1, column 0: unexpected token near end of file"},
    {"[1,]", NULL, "line 1, column 4: unexpected token near ']'"},
    {"[1 2]", NULL, "line 1, column 4: ']' expected near '2'"},
    {"[1]\n x", NULL, "line 2, column 2: end of file expected near 'x'"},
    {"{\n  \"a\" 1}", NULL, "line 2, column 7: ':' expected near '1'"},
    {"{a: 1}", NULL, "line 1, column 2: string or '}' expected near 'a'"},
    {"{\"a\": 1", NULL, "line 1, column 7: '}' expected near end of file"},
    {"01", NULL, "line 1, column 1: invalid token near '0'"},
    {"1.", NULL, "line 1, column 2: invalid token near '1.'"},
    {"1e999", NULL, "line 1, column 5: real number overflow near '1e999'"},
    {"NaN", NULL, "line 1, column 3: invalid token near 'NaN'"},
    {"'a'", NULL, "line 1, column 1: invalid token near '''"},
    {"\"a", NULL, "line 1, column 2: premature end of input near '\"a'"},
    {"\"a\nb\"", NULL, "line 1, column 2: unexpected newline near '\"a'"},
    {"\"\\x\"", NULL, "line 1, column 3: invalid escape near '\"\\x'"},
    {"\"\\udc00\"", NULL, "line 1, column 8: invalid Unicode '\\uDC00' near '\"\\udc00\"'"},
    {"\"\xff\"", NULL, "line 1, column 1: unable to decode byte 0xff near '\"'"},
    {"{\"a\\u0000b\": 1}", NULL,
     "line 1, column 11: NUL byte in object key not supported near '\"a\\u0000b\"'"},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TnArena arena = {0};
        TnBuf out = {0};
        TernError err;
        const TnJsonNode *root;
        TernStatus st = tn_json_tree(cases[i].text, strlen(cases[i].text), &arena, &root, &err);
        if (st != TERN_OK) {
            if (!cases[i].error) fail_msg("%s: %s", cases[i].text, err.text);
            assert_string_equal(err.text, cases[i].error);
            assert_null(root);
        } else {
            if (cases[i].error) fail_msg("%s was accepted", cases[i].text);
            tn_json_print(root, &out);
            tn_buf_put(&out, "", 1);
            assert_string_equal(out.data, cases[i].printed);
        }
        tn_buf_free(&out);
        tn_arena_free(&arena);
    }
}

static void test_tree(void **state) {
    (void)state;
    static const char text[] = "{\"type\": \"object\",\n \"n\": [1, null], \"z\": \"a\\u0000b\"}";
    TnArena arena = {0};
    const TnJsonNode *root;
    assert_int_equal(tn_json_tree(text, strlen(text), &arena, &root, NULL), TERN_OK);
    assert_int_equal(root->n, 3);
    assert_true(tn_json_is(tn_json_member(root, "type"), "object"));
    const TnJsonNode *n = tn_json_member(root, "n"), *z = tn_json_member(root, "z");
    assert_int_equal(n->kind, TN_JSON_ARRAY);
    assert_string_equal(n->first->text, "1");
    assert_int_equal(n->first->next->kind, TN_JSON_NULL);
    assert_int_equal(z->size, 3);
    assert_memory_equal(z->text, "a\0b", 4);
    assert_null(tn_json_member(root, "x"));
    assert_null(tn_json_member(n, "x"));
    assert_null(tn_json_member(NULL, "x"));
    tn_arena_free(&arena);
}

/* Depth at the bound and beyond, and an object with many members, the half of them twice. */
static void test_bounds(void **state) {
    (void)state;
    TnArena arena = {0};
    TernError err;
    const TnJsonNode *root;
    char deep[2 * TN_JSON_DEPTH_MOST + 2];
    for (int n = TN_JSON_DEPTH_MOST; n <= TN_JSON_DEPTH_MOST + 1; n++) {
        memset(deep, '[', (size_t)n);
        memset(deep + n, ']', (size_t)n);
        TernStatus st = tn_json_tree(deep, 2 * (size_t)n, &arena, &root, &err);
        assert_int_equal(st, n > TN_JSON_DEPTH_MOST ? TERN_ERR_INPUT : TERN_OK);
    }
    TnBuf b = {0};
    tn_buf_puts(&b, "{");
    for (int i = 0; i < 3000; i++) tn_buf_printf(&b, "%s\"k%d\":%d", i ? "," : "", i % 2000, i);
    tn_buf_puts(&b, "}");
    assert_int_equal(tn_json_tree(b.data, b.len, &arena, &root, &err), TERN_OK);
    assert_int_equal(root->n, 2000);
    int i = 0;
    for (const TnJsonNode *m = root->first; m; m = m->next, i++)
        assert_int_equal(atoi(m->text), i < 1000 ? i + 2000 : i);
    tn_buf_free(&b);
    tn_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
