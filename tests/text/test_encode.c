/* The steps of encoding, each by itself: words, special tokens, merges, odd bytes, room. */
#include "runtime/text/chat.h"
#include "runtime/text/pretok.h"
#include "runtime/text/vocab.h"
#include "vocab_file.h"

/* ---- Words ---- */

typedef struct Words {
    char text[2000];
} Words;

static TernStatus note_word(void *user, const char *text, size_t size, TernError *err) {
    (void)err;
    Words *w = user;
    size_t n = strlen(w->text);
    snprintf(w->text + n, sizeof w->text - n, "%s%.*s", n ? "|" : "", (int)size, text);
    return TERN_OK;
}

static void check_words(const char *pre, const char *text, const char *want) {
    Fixture f;
    fixture_start(&f, pre);
    fixture_bytes(&f);
    fixture_open(&f);
    Words w = {""};
    TnSplit *split = tn_split_begin(f.vocab->own, strlen(text));
    assert_int_equal(tn_split_words(split, text, strlen(text), note_word, &w, NULL), TERN_OK);
    assert_string_equal(w.text, want);
    tn_split_end(split);
    fixture_close(&f);
}

static void test_words(void **state) {
    (void)state;
    check_words("gpt-2", "", "");
    check_words("gpt-2", "Hello world", "Hello| world");
    check_words("gpt-2", "I'll  see\n\nyou'Re 12345!?", "I|'ll| | see|\n|\n|you|'|Re| 12345|!?");
    check_words("gpt-2", "x   \n", "x|   \n");
    check_words("gpt-2", "na\xc3\xafve \xe2\x80\x94\xe6\x97\xa5", "na\xc3\xafve| \xe2\x80\x94|\xe6\x97\xa5");
    check_words("llama-bpe", "I'LL  see\n\nyou 12345678!?\n\n x",
                "I|'LL| | see|\n\n|you| |123|456|78|!?\n\n| x");
    check_words("llama-bpe", "(a) \r\n  b   ", "(a|)| \r\n| | b|   ");
    check_words("llama-bpe",
                "a\tb\xc2\xa0"
                "c",
                "a|\tb|\xc2\xa0"
                "c");
    /* Four expressions in turn: punctuation, GPT-2's, numbers, three digits at a time. */
    check_words("default", "a,b 12345 <x>", "a|,|b| |123|45| |<|x|>");
    check_words("default", "$5.00 isn't", "$|5|.|00| isn|'|t");
    /* U+180E is a format character, not a space: PCRE2's \s would separate it from the dashes. */
    check_words("gpt-2", "-\xe1\xa0\x8e-", "-\xe1\xa0\x8e-");
}

/* ---- Merges ---- */

enum { ab = 256, bc, abc, cd, user_x, control_y, control_yy };

static void open_small(Fixture *f, const char *pre) {
    fixture_start(f, pre);
    fixture_bytes(f);
    fixture_grow(f, "a b");
    fixture_grow(f, "b c");
    fixture_grow(f, "ab c");
    fixture_token(f, TERN_TOKEN_NORMAL, "cd");
    fixture_token(f, TERN_TOKEN_USER_DEFINED, "<x>");
    fixture_token(f, TERN_TOKEN_CONTROL, "<y>");
    fixture_token(f, TERN_TOKEN_CONTROL, "<y><y>");
    fixture_open(f);
}

static void test_merges(void **state) {
    (void)state;
    Fixture f;
    open_small(&f, "gpt-2");
    assert_ids(f.vocab, "abc", 3, 0, abc);
    assert_ids(f.vocab, "bc", 2, 0, bc);
    assert_ids(f.vocab, "abbc", 4, 0, ab, bc);
    assert_ids(f.vocab, "abcabcb", 7, 0, abc, abc, 'b');
    assert_ids(f.vocab, "cd", 2, 0, 'c', 'd'); /* a token that no merge makes */
    fixture_close(&f);
    open_small(&f, "llama-bpe");
    assert_ids(f.vocab, "cd", 2, 0, cd); /* ignore_merges: a whole word that is a token */
    assert_ids(f.vocab, "cdb", 3, 0, 'c', 'd', 'b');
    fixture_close(&f);
}

/* Of pairs with equal ranks the leftmost merges first; a merge that is named twice keeps its first rank. */
static void test_order(void **state) {
    (void)state;
    Fixture f;
    fixture_start(&f, "gpt-2");
    fixture_bytes(&f);
    fixture_grow(&f, "a a"); /* 256 */
    fixture_grow(&f, "b c"); /* 257 */
    fixture_grow(&f, "a b"); /* 258 */
    fixture_merge(&f, "a a");
    fixture_grow(&f, "aa aa"); /* 259 */
    fixture_open(&f);
    assert_ids(f.vocab, "aaa", 3, 0, 256, 'a');
    assert_ids(f.vocab, "aaaaaaa", 7, 0, 259, 256, 'a');
    assert_ids(f.vocab, "abc", 3, 0, 'a', 257);
    assert_ids(f.vocab, "abab", 4, 0, 258, 258);
    fixture_close(&f);
}

/* The reference searches for the best pair again and again. Random merges, words of all odd sizes. */
static void test_against_naive(void **state) {
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 60; round++) {
        Fixture f;
        fixture_start(&f, "gpt-2");
        fixture_bytes(&f);
        for (int i = 0; i < 40; i++) {
            size_t n = f.n_tokens - 256;
            TernText part[2];
            for (int k = 0; k < 2; k++) {
                uint32_t r = test_random(&seed) % (3 + (uint32_t)n);
                part[k] = f.tokens[r < 3 ? 'a' + r : 256 + r - 3];
            }
            if (part[0].size + part[1].size > 12) continue;
            char text[40];
            snprintf(text, sizeof text, "%.*s %.*s", (int)part[0].size, part[0].data, (int)part[1].size,
                     part[1].data);
            fixture_grow(&f, text);
        }
        fixture_open(&f);
        for (int word = 0; word < 40; word++) {
            char text[64];
            int32_t want[64];
            size_t size = test_random(&seed) % 60, n = size;
            TernText piece[64];
            for (size_t i = 0; i < size; i++) text[i] = (char)('a' + test_random(&seed) % 3);
            for (size_t i = 0; i < size; i++) piece[i] = (TernText){text + i, 1};
            for (;;) {
                size_t best = f.n_merges, at = 0;
                for (size_t i = 0; i + 1 < n; i++)
                    for (size_t m = 0; m < best; m++) {
                        const char *merge = f.merges[m].data;
                        size_t left = piece[i].size, right = piece[i + 1].size;
                        if (f.merges[m].size == left + 1 + right && merge[left] == ' ' &&
                            memcmp(merge, piece[i].data, left) == 0 &&
                            memcmp(merge + left + 1, piece[i + 1].data, right) == 0)
                            best = m, at = i;
                    }
                if (best == f.n_merges) break;
                piece[at].size += piece[at + 1].size;
                memmove(piece + at + 1, piece + at + 2, (n - at - 2) * sizeof *piece);
                n--;
            }
            for (size_t i = 0; i < n; i++) want[i] = tern_token_find(f.vocab, piece[i].data, piece[i].size);
            check_ids(f.vocab, text, size, 0, want, n, __FILE__, __LINE__);
        }
        fixture_close(&f);
    }
}

/* Results of merges that have no token, and control tokens, become bytes again. */
static void test_no_token(void **state) {
    (void)state;
    Fixture f;
    fixture_start(&f, "llama-bpe");
    fixture_bytes(&f);
    fixture_merge(&f, "a b");
    fixture_grow(&f, "ab c");                     /* 256 */
    fixture_token(&f, TERN_TOKEN_CONTROL, "xyz"); /* 257 */
    fixture_merge(&f, "x y");
    fixture_merge(&f, "xy z");
    fixture_open(&f);
    assert_ids(f.vocab, "abc", 3, 0, 256);
    assert_ids(f.vocab, "abd", 3, 0, 'a', 'b', 'd');
    assert_ids(f.vocab, "xyz", 3, 0, 'x', 'y', 'z');
    assert_ids(f.vocab, "xyz", 3, TERN_ENCODE_PARSE_SPECIAL, 257);
    fixture_close(&f);
    /* A byte that the vocabulary lacks is an error. */
    fixture_start(&f, "gpt-2");
    fixture_token(&f, TERN_TOKEN_NORMAL, "a");
    fixture_open(&f);
    size_t n;
    TernError err;
    assert_ids(f.vocab, "aa", 2, 0, 0, 0);
    assert_int_equal(tern_encode(f.vocab, "ab", 2, 0, NULL, 0, &n, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the text has a byte 0x62, for which the vocabulary has no token");
    fixture_close(&f);
}

/* ---- Special tokens ---- */

static void test_specials(void **state) {
    (void)state;
    const uint32_t parse = TERN_ENCODE_PARSE_SPECIAL;
    Fixture f;
    open_small(&f, "gpt-2");
    assert_ids(f.vocab, "<x>", 3, 0, user_x);
    assert_ids(f.vocab, "a<x>b<x><x>", 11, 0, 'a', user_x, 'b', user_x, user_x);
    assert_ids(f.vocab, "<y>", 3, 0, '<', 'y', '>');
    assert_ids(f.vocab, "<y>", 3, parse, control_y);
    assert_ids(f.vocab, "<y><x>c", 7, 0, '<', 'y', '>', user_x, 'c');
    /* The longest first, wherever it is; then the text that is left. */
    assert_ids(f.vocab, "<y><y><y>", 9, parse, control_yy, control_y);
    assert_ids(f.vocab, "<<y>>", 5, parse, '<', control_y, '>');
    /* A special token separates words: without it a b would merge. */
    assert_ids(f.vocab, "a<y>b", 5, parse, 'a', control_y, 'b');
    assert_ids(f.vocab, "<x", 2, parse, '<', 'x');
    fixture_close(&f);
}

/* The longer of two that overlap wins even if it starts later. */
static void test_overlap(void **state) {
    (void)state;
    Fixture f;
    fixture_start(&f, "gpt-2");
    fixture_bytes(&f);
    fixture_token(&f, TERN_TOKEN_USER_DEFINED, "[[");         /* 256 */
    fixture_token(&f, TERN_TOKEN_USER_DEFINED, "[]]");        /* 257 */
    fixture_token(&f, TERN_TOKEN_USER_DEFINED, " \xc3\xa9 "); /* 258: spelled as it is, not in GPT-2's way */
    fixture_open(&f);
    assert_ids(f.vocab, "[[]]", 4, 0, '[', 257);
    assert_ids(f.vocab, "[[]", 3, 0, 256, ']');
    assert_ids(f.vocab, "x \xc3\xa9 y", 6, 0, 'x', 258, 'y');
    fixture_close(&f);
}

/* Of a chat, what the user typed gives no control token. `whose` has a letter for each byte: u is the user's. */
static void check_chat(const TernVocab *v, const char *text, const char *whose, const int32_t *ids,
                       size_t n) {
    TernChatSpan spans[64];
    TernChatText chat = {(char *)text, strlen(text), spans, 0};
    int32_t got[64];
    size_t n_got;
    TernError err;
    assert_int_equal(strlen(text), strlen(whose));
    for (size_t i = 0; whose[i]; i++) {
        if (i == 0 || whose[i] != whose[i - 1]) spans[chat.n_spans++] = (TernChatSpan){whose[i] == 'u', 0};
        spans[chat.n_spans - 1].size++;
    }
    assert_int_equal(tern_chat_encode(v, &chat, got, 64, &n_got, &err), TERN_OK);
    assert_int_equal(n_got, n);
    assert_memory_equal(got, ids, n * sizeof *ids);
}
#define CHAT(text, whose, ...)                                                                               \
    check_chat(f.vocab, text, whose, (const int32_t[]){__VA_ARGS__},                                         \
               sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))
static void test_chat(void **state) {
    (void)state;
    Fixture f;
    open_small(&f, "gpt-2");
    CHAT("<y>", "ttt", control_y);
    CHAT("<y>", "uuu", '<', 'y', '>');
    CHAT("<y>", "tut", '<', 'y', '>');
    CHAT("<y>", "ttu", '<', 'y', '>');
    CHAT("<y><y><y>", "tttuuuttt", control_y, '<', 'y', '>', control_y);
    CHAT("<y><y>", "uuuttt", '<', 'y', '>', control_y);
    CHAT("<x>", "uuu", user_x); /* not a control token */
    CHAT("ab", "tu", ab);       /* merges go over the borders */
    TernChatSpan half = {false, 1};
    TernChatText chat = {(char *)"ab", 2, &half, 1};
    TernError err;
    size_t n;
    assert_int_equal(tern_chat_encode(f.vocab, &chat, NULL, 0, &n, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the spans cover 1 bytes, expected 2");
    fixture_close(&f);
}

static void test_add_special(void **state) {
    (void)state;
    const uint32_t add = TERN_ENCODE_ADD_SPECIAL;
    for (int bos = -1; bos <= 1; bos++)
        for (int eos = -1; eos <= 1; eos++) {
            Fixture f;
            fixture_start(&f, "llama-bpe");
            fixture_bytes(&f);
            f.source.bos = 1;
            f.source.eos = 2;
            f.source.add_bos = bos;
            f.source.add_eos = eos;
            fixture_open(&f);
            assert_ids(f.vocab, "a", 1, 0, 'a');
            if (bos != 0 && eos == 1)
                assert_ids(f.vocab, "a", 1, add, 1, 'a', 2);
            else if (bos != 0)
                assert_ids(f.vocab, "a", 1, add, 1, 'a');
            else if (eos == 1)
                assert_ids(f.vocab, "", 0, add, 2);
            fixture_close(&f);
        }
}

/* ---- Odd bytes, room ---- */

static void test_odd_bytes(void **state) {
    (void)state;
    Fixture f;
    open_small(&f, "gpt-2");
    assert_ids(f.vocab, "a\0b", 3, 0, 'a', 0, 'b');
    assert_ids(f.vocab, "\xff\xff", 2, 0, 0xff, 0xff);
    assert_ids(f.vocab,
               "ab\xe2\x80"
               "ab",
               6, 0, ab, 0xe2, 0x80, ab);
    assert_ids(f.vocab, "\xed\xa0\x80", 3, 0, 0xed, 0xa0, 0x80); /* a surrogate */
    assert_ids(f.vocab, "\xc0\xaf\xf4\x90\x80\x80", 6, 0, 0xc0, 0xaf, 0xf4, 0x90, 0x80, 0x80);
    assert_ids(f.vocab,
               "a\xff"
               "bc",
               4, 0, 'a', 0xff, bc);
    fixture_close(&f);
}

static void test_room(void **state) {
    (void)state;
    Fixture f;
    open_small(&f, "gpt-2");
    int32_t ids[3] = {7, 7, 7};
    size_t n;
    TernError err;
    assert_int_equal(tern_encode(f.vocab, "abcd", 4, 0, NULL, 0, &n, &err), TERN_OK);
    assert_int_equal(n, 2);
    assert_int_equal(tern_encode(f.vocab, "abcd", 4, 0, ids, 1, &n, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the text has 2 tokens, and there is room for 1");
    assert_int_equal(n, 2);
    assert_int_equal(ids[1], 7);
    assert_int_equal(tern_encode(f.vocab, "abcd", 4, 0, ids, 2, &n, &err), TERN_OK);
    assert_string_equal(err.text, "");
    assert_int_equal(ids[2], 7);
    assert_int_equal(tern_encode(f.vocab, "a", 1, 0x40, ids, 2, &n, &err), TERN_ERR_INPUT);
    assert_int_equal(tern_encode(f.vocab, NULL, 0, 0, ids, 2, &n, NULL), TERN_OK);
    assert_int_equal(n, 0);
    fixture_close(&f);
}

/* Thousands of user-defined tokens of a few sizes, some of them twice, one in another. */
static void test_many_specials(void **state) {
    (void)state;
    Fixture f;
    fixture_start(&f, "gpt-2");
    fixture_bytes(&f);
    for (int i = 0; i < 3000; i++)
        fixture_token(&f, i == 7 ? TERN_TOKEN_CONTROL : TERN_TOKEN_USER_DEFINED,
                      tn_sprintf(&f.arena, "[PAD%d]", i));
    fixture_token(&f, TERN_TOKEN_USER_DEFINED, "[PAD12]"); /* of two the first */
    fixture_token(&f, TERN_TOKEN_USER_DEFINED, "PAD");
    fixture_open(&f);
    assert_ids(f.vocab, "[PAD2999]a[PAD12][PAD0]", 23, 0, 256 + 2999, 'a', 256 + 12, 256);
    assert_ids(f.vocab, "[PAD7]", 6, 0, '[', 256 + 3001, '7', ']');
    assert_ids(f.vocab, "[PAD7]", 6, TERN_ENCODE_PARSE_SPECIAL, 256 + 7);
    assert_ids(f.vocab, "[PAD3000", 8, 0, '[', 256 + 3001, '3', '0', '0', '0');
    assert_ids(f.vocab, "[PA", 3, 0, '[', 'P', 'A');
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_specials), cmocka_unit_test(test_words),
        cmocka_unit_test(test_merges),        cmocka_unit_test(test_order),
        cmocka_unit_test(test_against_naive), cmocka_unit_test(test_no_token),
        cmocka_unit_test(test_specials),      cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_add_special),   cmocka_unit_test(test_odd_bytes),
        cmocka_unit_test(test_room),          cmocka_unit_test(test_chat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
