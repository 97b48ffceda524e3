/* Whole vocabularies, compared with the answers of other tokenizers (tests/data/vocab/README.md). */
#include "vocab_file.h"

static const char separator[] = "\n__ggml_vocab_test__\n";

/* Calls check(text, ids) on each pair of two files; returns how many there were. */
typedef void Check(const TernVocab *v, const char *text, size_t size, const int32_t *ids, size_t n);
static size_t for_each_pair(const TernVocab *v, const char *inp_file, const char *out_file, Check *check) {
    size_t inp_size, out_size, count = 0;
    char *inp = read_data(inp_file, &inp_size), *out = read_data(out_file, &out_size);
    char *text = inp, *line = out;
    while (line < out + out_size) {
        char *text_end = strstr(text, separator), *line_end = strchr(line, '\n');
        size_t size = text_end ? (size_t)(text_end - text) : strlen(text);
        *line_end = '\0';
        int32_t ids[2000];
        size_t n = 0;
        for (char *p = line, *end; *p; p = end) {
            ids[n] = (int32_t)strtol(p, &end, 10);
            if (end == p) break;
            n++;
        }
        check(v, text, size, ids, n);
        count++;
        line = line_end + 1;
        text = text_end ? text_end + strlen(separator) : inp + inp_size;
    }
    free(inp);
    free(out);
    return count;
}

static size_t for_each_vector(const TernVocab *v, const char *name, Check *check) {
    char inp[100], out[100];
    snprintf(inp, sizeof inp, "%s.inp", name);
    snprintf(out, sizeof out, "%s.out", name);
    return for_each_pair(v, inp, out, check);
}

static void check_plain(const TernVocab *v, const char *text, size_t size, const int32_t *ids, size_t n) {
    check_ids(v, text, size, 0, ids, n, "plain", 0);
}
static void check_with_bos(const TernVocab *v, const char *text, size_t size, const int32_t *ids, size_t n) {
    check_ids(v, text, size, TERN_ENCODE_ADD_SPECIAL, ids, n, "with bos", 0);
}
static void check_decoded(const TernVocab *v, const char *text, size_t size, const int32_t *ids, size_t n) {
    char out[20000];
    size_t got;
    TernError err;
    assert_int_equal(tern_decode(v, ids, n, 0, out, sizeof out, &got, &err), TERN_OK);
    assert_int_equal(got, size);
    assert_memory_equal(out, text, size);
}

static void test_gpt2(void **state) {
    (void)state;
    Fixture f;
    fixture_read(&f, "gpt-2.vocab");
    TernVocabFacts facts = tern_vocab_get_facts(f.vocab);
    assert_int_equal(facts.n_tokens, 50257);
    assert_string_equal(facts.pre, "gpt-2");
    assert_false(facts.add_bos);
    assert_true(tern_token_is_eog(f.vocab, 50256));
    assert_int_equal(for_each_vector(f.vocab, "gpt-2", check_plain), 46);
    for_each_vector(f.vocab, "gpt-2", check_decoded);
    fixture_close(&f);
}

static void test_llama_bpe(void **state) {
    (void)state;
    Fixture f;
    fixture_read(&f, "verse.vocab");
    assert_string_equal(tern_vocab_get_facts(f.vocab).pre, "llama-bpe");
    assert_int_equal(for_each_vector(f.vocab, "verse", check_with_bos), 9);
    assert_int_equal(for_each_vector(f.vocab, "verse-said", check_decoded), 9);
    fixture_close(&f);
}

/* A space that the text writes as U+2581 comes back as a space. */
static void check_decoded_spaces(const TernVocab *v, const char *text, size_t size, const int32_t *ids,
                                 size_t n) {
    char want[2000];
    size_t n_want = 0;
    for (size_t i = 0; i < size; i++) {
        bool space = size - i >= 3 && memcmp(text + i, "\xe2\x96\x81", 3) == 0;
        want[n_want++] = space ? ' ' : text[i];
        if (space) i += 2;
    }
    check_decoded(v, want, n_want, ids, n);
}

static void test_sentencepiece(void **state) {
    (void)state;
    Fixture f;
    fixture_read(&f, "spm.vocab");
    TernVocabFacts facts = tern_vocab_get_facts(f.vocab);
    assert_string_equal(facts.pre, "");
    assert_true(facts.add_bos);
    assert_int_equal(facts.bos, 1);
    assert_int_equal(facts.eos, 2);
    assert_int_equal(facts.unk, 0);
    assert_int_equal(for_each_vector(f.vocab, "spm", check_plain), 1300);
    assert_int_equal(for_each_vector(f.vocab, "spm", check_decoded_spaces), 1300);
    fixture_close(&f);
}

/* Every fifth token of two characters or more is unused. */
static void test_sentencepiece_unused(void **state) {
    (void)state;
    Fixture f;
    fixture_load(&f, "spm.vocab");
    for (size_t id = 259; id < f.n_tokens; id++) {
        size_t n_chars = 0;
        for (size_t i = 0; i < f.tokens[id].size; i++) n_chars += (f.tokens[id].data[i] & 0xc0) != 0x80;
        if (id % 5 == 3 && n_chars > 1) f.types[id] = TERN_TOKEN_UNUSED;
    }
    fixture_open(&f);
    assert_int_equal(for_each_pair(f.vocab, "spm.inp", "spm-unused.out", check_plain), 1300);
    fixture_close(&f);
}

/* One word of a megabyte, which would take very long if merging were quadratic. Only the limit of the test checks the
 * time. */
static void test_long_word(void **state) {
    (void)state;
    Fixture f;
    fixture_read(&f, "gpt-2.vocab");
    size_t size = 1u << 20, n, back;
    char *text = malloc(size), *out = malloc(size);
    int32_t *ids = malloc(size * sizeof *ids);
    TernError err;
    uint64_t seed = 5;
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < size; i++)
            text[i] = kind == 0   ? 'a'
                      : kind == 1 ? (char)('a' + test_random(&seed) % 26)
                      : kind == 2 ? ' '
                                  : (char)test_random(&seed);
        double start = tn_os_seconds();
        assert_int_equal(tern_encode(f.vocab, text, size, 0, ids, size, &n, &err), TERN_OK);
        print_message("kind %d: %zu tokens in %.0f ms\n", kind, n, (tn_os_seconds() - start) * 1e3);
        assert_int_equal(tern_decode(f.vocab, ids, n, 0, out, size, &back, &err), TERN_OK);
        assert_int_equal(back, size);
        assert_memory_equal(out, text, size);
    }
    free(text);
    free(out);
    free(ids);
    fixture_close(&f);
}

/* Any bytes that are encoded come back. */
static void test_any_bytes(void **state) {
    (void)state;
    static const char *const bits[] = {" ",
                                       "  ",
                                       "\n",
                                       "\r\n",
                                       "a",
                                       "the",
                                       "1234",
                                       "'ll",
                                       "\xc3\xa9",
                                       "\xe2",
                                       "\x80",
                                       "\xff",
                                       "\xf0\x9f\x98\x80",
                                       "!?",
                                       "\xed\xa0\x80",
                                       "<|end_of_text|>"};
    const char *const names[] = {"gpt-2.vocab", "verse.vocab"};
    for (int v = 0; v < 2; v++) {
        Fixture f;
        fixture_read(&f, names[v]);
        uint64_t seed = 11;
        for (int round = 0; round < 3000; round++) {
            char text[400], out[400];
            size_t size = 0, n, back, n_bits = test_random(&seed) % 20;
            for (size_t i = 0; i < n_bits; i++) {
                const char *bit = bits[test_random(&seed) % 16];
                memcpy(text + size, bit, strlen(bit));
                size += strlen(bit);
                if (test_random(&seed) % 4 == 0) text[size++] = (char)test_random(&seed);
            }
            int32_t ids[400];
            TernError err;
            assert_int_equal(tern_encode(f.vocab, text, size, round % 2 ? TERN_ENCODE_PARSE_SPECIAL : 0, ids,
                                         400, &n, &err),
                             TERN_OK);
            assert_true(n <= size);
            assert_int_equal(tern_decode(f.vocab, ids, n, TERN_DECODE_CONTROL, out, sizeof out, &back, &err),
                             TERN_OK);
            assert_int_equal(back, size);
            assert_memory_equal(out, text, size);
        }
        fixture_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),          cmocka_unit_test(test_llama_bpe),
        cmocka_unit_test(test_sentencepiece), cmocka_unit_test(test_sentencepiece_unused),
        cmocka_unit_test(test_long_word),     cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
