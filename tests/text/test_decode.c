/* Ids to text, at once and as a stream. */
#include "vocab_file.h"

enum { user_x = 256, control_y, spaced, smile };

static void open_small(Fixture *f) {
    fixture_start(f, "gpt-2");
    fixture_bytes(f);
    fixture_token(f, TERN_TOKEN_USER_DEFINED, "<x>");
    fixture_token(f, TERN_TOKEN_CONTROL, "<y>");
    fixture_token(f, TERN_TOKEN_NORMAL, "\xc4\xa0hi");   /* U+0120 spells the space */
    fixture_token(f, TERN_TOKEN_NORMAL, "\xe2\x98\xba"); /* spells no bytes, so it stands for itself */
    fixture_open(f);
}

static void check_decode(const TernVocab *v, const int32_t *ids, size_t n, uint32_t flags, const char *want) {
    char out[100];
    size_t size;
    TernError err;
    assert_int_equal(tern_decode(v, ids, n, flags, out, sizeof out, &size, &err), TERN_OK);
    assert_int_equal(size, strlen(want));
    assert_memory_equal(out, want, size);
}

static void test_decode(void **state) {
    (void)state;
    Fixture f;
    open_small(&f);
    const int32_t ids[] = {'a', control_y, user_x, spaced, smile, 0xff};
    check_decode(f.vocab, ids, 6, 0, "a<x> hi\xe2\x98\xba\xff");
    check_decode(f.vocab, ids, 6, TERN_DECODE_CONTROL, "a<y><x> hi\xe2\x98\xba\xff");
    char out[3] = "...";
    size_t size;
    TernError err;
    assert_int_equal(tern_decode(f.vocab, ids, 6, 0, NULL, 0, &size, &err), TERN_OK);
    assert_int_equal(size, 11);
    assert_int_equal(tern_decode(f.vocab, ids, 6, 0, out, 2, &size, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the tokens have 11 bytes, and there is room for 2");
    assert_int_equal(out[2], '.');
    const int32_t bad[] = {'a', 260};
    assert_int_equal(tern_decode(f.vocab, bad, 2, 0, out, 3, &size, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "token id 260 is not in the vocabulary of 260");
    fixture_close(&f);
}

static void push(TernDetok *d, int32_t id, const char *want) {
    const char *bytes;
    size_t size;
    TernError err;
    assert_int_equal(tern_detok_push(d, id, &bytes, &size, &err), TERN_OK);
    assert_int_equal(size, strlen(want));
    assert_memory_equal(bytes, want, size);
}
static void flush(TernDetok *d, const char *want) {
    const char *bytes;
    size_t size;
    tern_detok_flush(d, &bytes, &size);
    assert_int_equal(size, strlen(want));
    assert_memory_equal(bytes, want, size);
}

static void test_stream(void **state) {
    (void)state;
    Fixture f;
    open_small(&f);
    TernDetok *d;
    TernError err;
    assert_int_equal(tern_detok_create(f.vocab, 0, &d, &err), TERN_OK);
    push(d, 'a', "a");
    push(d, 0xc3, ""); /* the first half of an e with acute accent */
    push(d, control_y, "");
    push(d, 0xa9, "\xc3\xa9");
    push(d, 0xf0, ""); /* a face, byte by byte */
    push(d, 0x9f, "");
    push(d, 0x98, "");
    push(d, 0x80, "\xf0\x9f\x98\x80");
    push(d, 0xff, "\xff"); /* can never become a character */
    push(d, 0x80, "\x80");
    push(d, 0xe2, "");
    push(d, 'b',
         "\xe2"
         "b"); /* can no longer become a character */
    push(d, 0xe0, "");
    push(d, 0x80, "\xe0\x80"); /* overlong: not the start of a character */
    push(d, 0xe2, "");
    push(d, 0xe2, "\xe2");
    push(d, 0x98, "");
    flush(d, "\xe2\x98");
    flush(d, "");
    push(d, 0xba, "\xba"); /* a new text */
    push(d, spaced, " hi");
    const char *bytes;
    size_t size;
    push(d, 0xc3, "");
    assert_int_equal(tern_detok_push(d, 260, &bytes, &size, &err), TERN_ERR_INPUT);
    assert_int_equal(size, 0);
    push(d, 0xa9, "\xc3\xa9"); /* a refused id changes nothing */
    tern_detok_destroy(d);
    assert_int_equal(tern_detok_create(f.vocab, TERN_DECODE_CONTROL, &d, &err), TERN_OK);
    push(d, control_y, "<y>");
    tern_detok_destroy(d);
    tern_detok_destroy(NULL);
    fixture_close(&f);
}

/* All pieces together are the decoded text, and only the last piece may end inside a character. */
static void test_stream_is_decode(void **state) {
    (void)state;
    Fixture f;
    open_small(&f);
    static const char text[] = "\xf0\x9f\x98\x80"
                               "a\xe2\x98\xba\xc3\xa9\xf0\x9f\x98\xe2\x98";
    uint64_t seed = 9;
    for (int round = 0; round < 500; round++) {
        int32_t ids[64];
        size_t n = test_random(&seed) % 64;
        for (size_t i = 0; i < n; i++)
            ids[i] = round % 2 ? test_random(&seed) % 260 : (uint8_t)text[i % (sizeof text - 1)];
        char whole[300], parts[300];
        size_t size, got = 0, piece;
        TernDetok *d;
        TernError err;
        const char *bytes;
        assert_int_equal(tern_decode(f.vocab, ids, n, 0, whole, sizeof whole, &size, &err), TERN_OK);
        assert_int_equal(tern_detok_create(f.vocab, 0, &d, &err), TERN_OK);
        for (size_t i = 0; i <= n; i++) {
            if (i == n)
                tern_detok_flush(d, &bytes, &piece);
            else
                tern_detok_push(d, ids[i], &bytes, &piece, &err);
            memcpy(parts + got, bytes, piece);
            got += piece;
            size_t full;
            assert_int_equal(tern_decode(f.vocab, ids, i < n ? i + 1 : n, 0, NULL, 0, &full, &err), TERN_OK);
            assert_true(full - got <= (i < n ? 3 : 0));
        }
        assert_int_equal(got, size);
        assert_memory_equal(parts, whole, size);
        tern_detok_destroy(d);
    }
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_is_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
