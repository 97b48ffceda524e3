/* Text from outside on its way to a terminal, csv, json and xml; messages that quote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/base/escape.h"
#include "runtime/base/hex.h"
#include "runtime/base/status.h"

static void holds(TnBuf *b, const char *expected) {
    assert_string_equal(b->len ? b->data : "", expected);
    tn_buf_free(b);
}

static void test_hex(void **state) {
    (void)state;
    static const char digits[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    for (int c = 0; c < 256; c++) {
        const char *at = c ? strchr(digits, c) : NULL;
        int expected = at ? (int)(at - digits) : c && strchr(upper, c) ? (int)(strchr(upper, c) - upper) : -1;
        assert_int_equal(tn_hex_digit((char)c), expected);
    }
    uint32_t v = 7;
    assert_int_equal(tn_hex_read("fFfFfFfF", 8, 8, &v), 8);
    assert_int_equal(v, UINT32_MAX);
    assert_int_equal(tn_hex_read("20ac!", 5, 4, &v), 4);
    assert_int_equal(v, 0x20ac);
    assert_int_equal(tn_hex_read("20g", 3, 4, &v), 2);
    assert_int_equal(tn_hex_read("20ac", 3, 4, &v), 3); /* only n bytes are there */
    assert_int_equal(tn_hex_read("", 0, 2, &v), 0);
    assert_int_equal(v, 0x20ac);
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++) bytes[i] = (uint8_t)(i * 17);
    assert_string_equal(tn_hex(bytes).s, "00112233445566778899aabbccddeeff");
}

static void test_each_destination(void **state) {
    (void)state;
    static const struct {
        const char *text, *terminal, *csv, *json, *xml;
    } rows[] = {
        {"plain", "plain", "plain", "\"plain\"", "plain"},
        {"a,b\"c\n", "a,b\"c\\n", "\"a,b\"\"c\n\"", "\"a,b\\\"c\\u000a\"", "a,b&quot;c?"},
        {"\x1b]\x7f", "\\x1b]\\x7f", "\\x1b]\\x7f", "\"\\u001b]\\u007f\"", "?]?"},
        {"\xc2\x9b\xc3\xa9", "\\xc2\\x9b\xc3\xa9", "\\xc2\\x9b\xc3\xa9", "\"\\u009b\xc3\xa9\"", "??\xc3\xa9"},
        {"\xe2\x80\xae", "\\xe2\\x80\\xae", "\\xe2\\x80\\xae", "\"\\u202e\"", "???"},
        {"\xe9<&>", "\\xe9<&>", "\\xe9<&>", "\"?<&>\"", "?&lt;&amp;&gt;"},        /* Latin-1 */
        {"\xc0\xaf", "\\xc0\\xaf", "\\xc0\\xaf", "\"??\"", "??"},                 /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80", "\"???\"", "???"}, /* a surrogate */
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        TnBuf b = {0};
        tn_put_shown(rows[i].text, strlen(rows[i].text), 0, &b);
        holds(&b, rows[i].terminal);
        tn_put_csv(rows[i].text, &b);
        holds(&b, rows[i].csv);
        tn_put_json(rows[i].text, &b);
        holds(&b, rows[i].json);
        tn_put_xml(rows[i].text, &b);
        holds(&b, rows[i].xml);
    }
}

static void test_a_quoted_value_is_cut_between_characters(void **state) {
    (void)state;
    char text[400] = "x", expected[600];
    for (int i = 0; i < 100; i++) memcpy(text + 1 + 2 * i, "\xc3\xa9", 3);
    TernError err = {0};
    tn_fail(&err, TERN_ERR_INPUT, "k: '%s', %zu of %5.1f %.*s%% %c", text, (size_t)7, 2.5, 2, "abc", 'd');
    memcpy(expected, "k: '", 4);
    memcpy(expected + 4, text, 79);
    strcpy(expected + 83, "..', 7 of   2.5 ab% d");
    assert_string_equal(err.text, expected);
    tn_fail(&err, TERN_ERR_INPUT, "'%.*s' and %-4u| %lld %08llx", 3, "abcdef", 5u, -6LL, 255ULL);
    assert_string_equal(err.text, "'abc' and 5   | -6 000000ff");
}

static void test_a_long_path_leaves_room_for_the_reason(void **state) {
    (void)state;
    char path[5000];
    memset(path, 'd', sizeof path - 1);
    path[sizeof path - 1] = 0;
    TernError err = {0};
    tn_fail(&err, TERN_ERR_INPUT, "%s: cannot open", path);
    assert_non_null(strstr(err.text, "dd..: cannot open"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hex), cmocka_unit_test(test_each_destination),
                                       cmocka_unit_test(test_a_quoted_value_is_cut_between_characters),
                                       cmocka_unit_test(test_a_long_path_leaves_room_for_the_reason)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
