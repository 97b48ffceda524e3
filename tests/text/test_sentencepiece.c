/* SentencePiece, where the vectors do not reach: prefixes, special tokens, missing tokens, ties, refusals. */
#include "runtime/text/bpe.h"
#include "runtime/text/tokenizer.h"
#include "vocab_file.h"

#define S "\xe2\x96\x81" /* a space, as files write it */
enum { A = 3, B, AB, SPACE, SPACE_A, SPACE_SPACE, BA, BAB, EACUTE, MASK, LINE };

/* <unk> <s> </s>, then the tokens above. */
static void start(Fixture *f) {
    fixture_start(f, NULL);
    f->source.model = TEXT("llama");
    fixture_scored(f, 0, TERN_TOKEN_UNKNOWN, "<unk>");
    fixture_scored(f, 0, TERN_TOKEN_CONTROL, "<s>");
    fixture_scored(f, 0, TERN_TOKEN_CONTROL, "</s>");
    fixture_scored(f, -9, TERN_TOKEN_NORMAL, "a");
    fixture_scored(f, -9, TERN_TOKEN_NORMAL, "b");
    fixture_scored(f, -1, TERN_TOKEN_NORMAL, "ab");
    fixture_scored(f, -9, TERN_TOKEN_NORMAL, S);
    fixture_scored(f, -2, TERN_TOKEN_NORMAL, S "a");
    fixture_scored(f, -5, TERN_TOKEN_NORMAL, S S);
    fixture_scored(f, -1, TERN_TOKEN_NORMAL, "ba");
    fixture_scored(f, -3, TERN_TOKEN_NORMAL, "bab");
    fixture_scored(f, -9, TERN_TOKEN_NORMAL, "\xc3\xa9");
    fixture_scored(f, 0, TERN_TOKEN_USER_DEFINED, "<mask>");
    fixture_scored(f, 0, TERN_TOKEN_USER_DEFINED, "\n");
}
static void add_bytes(Fixture *f) {
    for (int b = 0; b < 256; b++) fixture_scored(f, 0, TERN_TOKEN_BYTE, tn_sprintf(&f->arena, "<0x%02X>", b));
}
enum { BYTE = LINE + 1 };

#define GIVES(text, flags, ...) assert_ids(f.vocab, text, sizeof(text) - 1, flags, __VA_ARGS__)

static void check_decoded(const TernVocab *v, const int32_t *ids, size_t n, uint32_t flags,
                          const char *want) {
    char out[200];
    size_t size;
    TernError err;
    assert_int_equal(tern_decode(v, ids, n, flags, out, sizeof out, &size, &err), TERN_OK);
    assert_int_equal(size, strlen(want));
    assert_memory_equal(out, want, size);
}
#define SAYS(want, flags, ...)                                                                               \
    check_decoded(f.vocab, (int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / 4, flags, want)

static void test_prefix(void **state) {
    (void)state;
    Fixture f;
    start(&f);
    add_bytes(&f);
    fixture_open(&f);
    assert_ids(f.vocab, "", 0, TERN_ENCODE_ADD_SPECIAL, 1);
    GIVES("a", 0, SPACE_A);
    GIVES(" a", 0, SPACE, SPACE_A);
    GIVES("ab", TERN_ENCODE_ADD_SPECIAL, 1, SPACE, AB);
    GIVES(S "a", 0, SPACE, SPACE_A); /* the same as a space */
    /* each stretch, also after a special token */
    GIVES("a<mask>b a", 0, SPACE_A, MASK, SPACE, B, SPACE_A);
    GIVES("\nb<s>b", 0, LINE, SPACE, B, BYTE + '<', BYTE + 's', BYTE + '>', B);
    GIVES("b<s>b", TERN_ENCODE_PARSE_SPECIAL, SPACE, B, 1, SPACE, B);
    SAYS("a", 0, SPACE_A);
    SAYS("a", 0, 1, SPACE_A);
    SAYS("<s> a", TERN_DECODE_CONTROL, 1, SPACE_A);
    SAYS(" a", 0, SPACE, SPACE_A); /* one space is taken, once */
    SAYS("a a", 0, SPACE_A, SPACE_A);
    SAYS("<mask> a", 0, MASK, SPACE_A);
    SAYS("\xc3\xa9", 0, BYTE + 0xc3, BYTE + 0xa9);
    SAYS(" ", 0, BYTE + ' '); /* a byte is no word */
    fixture_close(&f);

    start(&f);
    f.source.add_space_prefix = 0;
    f.source.add_bos = 0;
    f.source.add_eos = 1;
    add_bytes(&f);
    fixture_open(&f);
    GIVES("a", TERN_ENCODE_ADD_SPECIAL, A, 2);
    GIVES(" a", 0, SPACE_A);
    GIVES("   a", 0, SPACE_SPACE, SPACE_A);
    SAYS(" a", 0, SPACE_A);
    fixture_close(&f);
}

/* The highest score merges first, and the leftmost on ties. A pair that does not merge first may never merge. */
static void test_order(void **state) {
    (void)state;
    Fixture f;
    start(&f);
    f.source.add_space_prefix = 0;
    add_bytes(&f);
    fixture_open(&f);
    GIVES("bab", 0, BAB);
    GIVES("aba", 0, AB, A);
    GIVES("abab", 0, AB, AB);
    GIVES("babab", 0, BA, BAB);
    GIVES("  a b", 0, SPACE, SPACE_A, SPACE, B);
    fixture_close(&f);
}

/* Characters that no token holds: bytes, or else one unknown token a run, or else an error. */
static void test_unknown(void **state) {
    (void)state;
    Fixture f;
    start(&f);
    add_bytes(&f);
    fixture_open(&f);
    GIVES("a\xe9\x81\x93", 0, SPACE_A, BYTE + 0xe9, BYTE + 0x81, BYTE + 0x93);
    GIVES("a\xff"
          "ab\xed\xa0\x80",
          0, SPACE_A, BYTE + 0xff, AB, BYTE + 0xed, BYTE + 0xa0, BYTE + 0x80);
    assert_ids(f.vocab, "a\0b", 3, 0, SPACE_A, BYTE, B);
    fixture_close(&f);

    start(&f);
    fixture_scored(&f, 0, TERN_TOKEN_BYTE, "<0xE9>");
    fixture_open(&f);
    GIVES("a\xe9\x81\x93xa", 0, SPACE_A, 0, A);
    GIVES("x<mask>x", 0, SPACE, 0, MASK, SPACE, 0);
    GIVES("a\xe9", 0, SPACE_A, BYTE);
    SAYS("aa", 0, SPACE_A, 0, A);
    fixture_close(&f);

    start(&f);
    f.types[0] = TERN_TOKEN_CONTROL;
    f.n_tokens--, f.n_types--, f.n_scores--;
    fixture_point(&f);
    fixture_open(&f);
    GIVES("ax", 0, SPACE_A, 0); /* id 0 is the unknown one unless a key says otherwise */
    fixture_close(&f);

    fixture_start(&f, NULL);
    f.source.model = TEXT("llama");
    fixture_scored(&f, 0, TERN_TOKEN_NORMAL, "a");
    fixture_open(&f);
    TernVocabFacts facts = tern_vocab_get_facts(f.vocab);
    assert_int_equal(facts.bos, TERN_NO_TOKEN);
    assert_int_equal(facts.unk, TERN_NO_TOKEN);
    TernError err;
    int32_t ids[8];
    size_t n;
    assert_int_equal(tern_encode(f.vocab, "a", 1, 0, ids, 8, &n, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the text has a byte 0x20, for which the vocabulary has no token");
    fixture_close(&f);
}

/* A token that only other characters lead to; spaces inside a token; tokens that no text becomes. */
static void test_odd_tokens(void **state) {
    (void)state;
    Fixture f;
    start(&f);
    add_bytes(&f);
    int32_t xy = (int32_t)f.n_tokens;
    fixture_scored(&f, -1, TERN_TOKEN_NORMAL, "xy");
    fixture_scored(&f, -1, TERN_TOKEN_NORMAL, "xy" S "a");
    fixture_scored(&f, 5, TERN_TOKEN_NORMAL, "a b"); /* a space that files do not write */
    fixture_scored(&f, 5, TERN_TOKEN_NORMAL, "");
    fixture_open(&f);
    GIVES("xy", 0, SPACE, xy);
    GIVES("x", 0, SPACE, BYTE + 'x');
    GIVES("xy axy", 0, SPACE, xy + 1, xy);
    GIVES("a b", 0, SPACE_A, SPACE, B);
    SAYS("a b", 0, xy + 2);
    assert_int_equal(tern_token_find(f.vocab, " a", 2), SPACE_A);
    assert_int_equal(tern_token_find(f.vocab, "<s>", 3), 1);
    fixture_close(&f);

    /* without types, bytes are known by their texts */
    start(&f);
    add_bytes(&f);
    f.source.types = NULL;
    f.source.n_types = 0;
    fixture_open(&f);
    GIVES("x", 0, SPACE, BYTE + 'x');
    SAYS("x", 0, BYTE + 'x');
    fixture_close(&f);
}

/* No text has more ids than tern_encode_most says. */
static void test_most(void **state) {
    (void)state;
    Fixture f;
    start(&f);
    add_bytes(&f);
    fixture_open(&f);
    uint64_t seed = 3;
    for (int round = 0; round < 3000; round++) {
        static const char *const bits[] = {"<mask>", "\n", " ", "b", "x", "\xff", S, "<s>", "\xe9\x81\x93"};
        char text[200] = "";
        for (uint32_t n = test_random(&seed) % 12; n > 0; n--) strcat(text, bits[test_random(&seed) % 9]);
        size_t size = strlen(text), n;
        TernError err;
        assert_int_equal(tern_encode(f.vocab, text, size, 3, NULL, 0, &n, &err), TERN_OK);
        assert_true(n <= tern_encode_most(f.vocab, size));
    }
    fixture_close(&f);
}

static void check_refused(Fixture *f, const char *want) {
    TernError err;
    void *image;
    size_t size;
    assert_int_equal(tern_vocab_build(&f->source, &image, &size, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, want);
    fixture_close(f);
}

static void test_refusals(void **state) {
    (void)state;
    Fixture f;
    start(&f);
    f.source.scores = NULL;
    f.source.n_scores = 0;
    check_refused(&f, "tokenizer.ggml.scores is absent, expected one number a token");
    start(&f);
    f.source.n_scores--;
    check_refused(&f, "tokenizer.ggml.scores holds 13 numbers, expected 14, one a token");
    start(&f);
    f.scores[4] = (float)(0.0 / 0.0);
    check_refused(&f, "tokenizer.ggml.scores[4] is not a number");
    start(&f);
    fixture_scored(&f, 0, TERN_TOKEN_BYTE, "<0xaF>");
    check_refused(&f, "tokenizer.ggml.tokens[14] is '<0xaF>' of type byte, expected <0x00> to <0xFF>");
    start(&f);
    char *large = tn_strdup(&f.arena, tn_sprintf(&f.arena, "%1025d", 7));
    fixture_scored(&f, 0, TERN_TOKEN_NORMAL, large);
    check_refused(&f, "tokenizer.ggml.tokens[14] has 1025 bytes, expected at most 1024");
}

/* If the merges of an image made a token from itself, dividing it would never end. */
static void test_damaged(void **state) {
    (void)state;
    Fixture f;
    start(&f);
    f.types[BAB] = TERN_TOKEN_UNUSED;
    f.source.add_space_prefix = 0;
    fixture_open(&f);
    GIVES("bab", 0, BA, B);
    TnVocabHead head;
    TernVocab *v;
    TernError err;
    memcpy(&head, f.image, sizeof head);
    assert_true(head.flags & TN_VOCAB_UNUSED);
    char *copy = malloc(f.image_size);
    memcpy(copy, f.image, f.image_size);
    for (uint32_t i = 0; i < head.table_n; i++) {
        TnMergeSlot m;
        memcpy(&m, copy + head.table_at + i * sizeof m, sizeof m);
        if (m.merged == BAB) m.merged = m.left;
        memcpy(copy + head.table_at + i * sizeof m, &m, sizeof m);
    }
    assert_int_equal(tern_vocab_open(copy, f.image_size, &v, &err), TERN_ERR_INPUT);
    assert_non_null(strstr(err.text, "the vocabulary image is damaged: symbols of "));
    head.pre = 1;
    memcpy(copy, f.image, f.image_size);
    memcpy(copy, &head, sizeof head);
    assert_int_equal(tern_vocab_open(copy, f.image_size, &v, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the vocabulary image is damaged: pre-tokenizer 1, expected 0");
    free(copy);
    fixture_close(&f);
}

/* Damaged images are refused or give odd ids, but read nothing that is not theirs (run under ASan). */
static void test_flipped(void **state) {
    (void)state;
    static const char text[] = "bab <mask>ab\xff \xe9\x81\x93 baab\nb  a <s>";
    Fixture f;
    start(&f);
    add_bytes(&f);
    f.types[BAB] = f.types[SPACE_A] = TERN_TOKEN_UNUSED;
    fixture_open(&f);
    uint8_t *copy = malloc(f.image_size);
    uint64_t seed = 4;
    size_t opened = 0, rounds = 20000;
    for (size_t round = 0; round < rounds; round++) {
        memcpy(copy, f.image, f.image_size);
        for (uint32_t n = 1 + test_random(&seed) % 3; n > 0; n--) {
            size_t at =
                test_random(&seed) % (test_random(&seed) % 2 ? sizeof(TnVocabHead) : f.image_size - 4);
            uint32_t word;
            at &= ~(size_t)3;
            memcpy(&word, copy + at, 4);
            word = test_random(&seed) % 3 ? word + test_random(&seed) % 5 - 2
                                          : word ^ 1u << test_random(&seed) % 32;
            memcpy(copy + at, &word, 4);
        }
        TernVocab *v;
        TernError err;
        int32_t ids[200];
        size_t n, size;
        if (tern_vocab_open(copy, f.image_size, &v, &err) != TERN_OK) continue;
        opened++;
        if (tern_encode(v, text, sizeof text - 1, round % 4, ids, 200, &n, &err) == TERN_OK)
            (void)tern_decode(v, ids, n, round % 2, NULL, 0, &size, &err);
        tern_vocab_close(v);
    }
    assert_in_range(opened, rounds / 50, rounds - rounds / 50);
    free(copy);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix),     cmocka_unit_test(test_order),   cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_odd_tokens), cmocka_unit_test(test_most),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damaged),    cmocka_unit_test(test_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
