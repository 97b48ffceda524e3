/* Building and opening: defaults, refusals, and damaged images. */
#include <stddef.h>
#include "runtime/text/bpe.h"
#include "runtime/text/pretok.h"
#include "runtime/text/tokenizer.h"
#include "vocab_file.h"

static void start(Fixture *f, const char *pre) {
    fixture_start(f, pre);
    fixture_bytes(f);
    fixture_grow(f, "a b");
}

static void check_refused(Fixture *f, TernStatus status, const char *want) {
    TernError err;
    void *image = f;
    size_t size = 1;
    assert_int_equal(tern_vocab_build(&f->source, &image, &size, &err), status);
    assert_int_equal(err.code, status);
    assert_string_equal(err.text, want);
    assert_null(image);
    assert_int_equal(size, 0);
    assert_int_equal(tern_vocab_build(&f->source, &image, &size, NULL), status);
}

/* ---- What is accepted ---- */

static void test_pre(void **state) {
    (void)state;
    static const struct {
        const char *name, *want;
        bool add_bos;
    } cases[] = {{"llama-bpe", "llama-bpe", true}, {"llama3", "llama-bpe", true},
                 {"llama-v3", "llama-bpe", true},  {"falcon3", "llama-bpe", true},
                 {"falcon-e", "falcon_e", false},  {"olmo", "gpt-2", false},
                 {"exaone4", "gpt-2", false},      {"deepseek-r1-qwen", "qwen2", false},
                 {"tekken", "tekken", true},       {"gpt-2", "gpt-2", false},
                 {"default", "default", false},    {NULL, "default", false}};
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        Fixture f;
        start(&f, cases[i].name);
        fixture_open(&f);
        TernVocabFacts facts = tern_vocab_get_facts(f.vocab);
        assert_string_equal(facts.pre, cases[i].want);
        assert_int_equal(facts.add_bos, cases[i].add_bos);
        assert_false(facts.add_eos);
        fixture_close(&f);
    }
    /* Llama 3's size without the key: the 2B-4T files. */
    Fixture f;
    start(&f, NULL);
    while (f.n_tokens < 128256)
        fixture_token(&f, TERN_TOKEN_UNUSED, tn_sprintf(&f.arena, "unused%zu", f.n_tokens));
    fixture_open(&f);
    assert_string_equal(tern_vocab_get_facts(f.vocab).pre, "llama-bpe");
    fixture_close(&f);
}

/* Every row of the table compiles and is found by its name; the first ones keep the numbers that images hold. */
static void test_pre_table(void **state) {
    (void)state;
    static const char *const stored[] = {"llama-bpe", "gpt-2", "default"};
    for (uint32_t i = 0; i < tn_pre_count(); i++) {
        TnPretok *p;
        const char *name = tn_pre_name(i);
        assert_int_equal(tn_pretok_create(i, &p, NULL), TERN_OK);
        tn_pretok_destroy(p);
        assert_int_equal(tn_pre_find((TernText){name, strlen(name)}), i);
        if (i < TN_COUNT(stored)) assert_string_equal(name, stored[i]);
    }
    assert_true(tn_pre_count() >= TN_COUNT(stored));
    assert_int_equal(tn_pre_find(TEXT("llama-v3")), 0);
    assert_int_equal(tn_pre_find(TEXT("llama3 ")), TN_PRE_NONE);
    assert_int_equal(tn_pre_find(TEXT("")), TN_PRE_NONE);
}

static void test_tokenizer_table(void **state) {
    (void)state;
    assert_ptr_equal(tn_tokenizer_find(TEXT("gpt2"), (TernText){0}),
                     tn_tokenizer_at(0)); /* what images hold */
    for (uint32_t i = 0; tn_tokenizer_at(i); i++) {
        const TnTokenizer *t = tn_tokenizer_at(i);
        assert_int_equal(tn_tokenizer_kind(t), i);
        assert_ptr_equal(tn_tokenizer_find((TernText){t->model, strlen(t->model)}, (TernText){0}), t);
        assert_true(t->build && t->check && t->close && t->encode && t->decode);
    }
    assert_null(tn_tokenizer_find(TEXT("gpt"), (TernText){0}));
    assert_int_equal(tern_encode_most(NULL, 5), 0);
}

static void test_facts(void **state) {
    (void)state;
    Fixture f;
    start(&f, "gpt-2");
    fixture_token(&f, TERN_TOKEN_CONTROL, "<bos>");      /* 257 */
    fixture_token(&f, TERN_TOKEN_CONTROL, "<eos>");      /* 258 */
    fixture_token(&f, TERN_TOKEN_CONTROL, "<|eot_id|>"); /* 259 */
    fixture_token(&f, TERN_TOKEN_CONTROL, "<|eom_id|>"); /* 260 */
    fixture_token(&f, TERN_TOKEN_CONTROL, "<EOT>");      /* 261 */
    fixture_token(&f, TERN_TOKEN_NORMAL, "ab");          /* 262: the same as 256 */
    f.source.bos = 257;
    f.source.eos = 258;
    f.source.pad = 0;
    f.source.add_eos = 1;
    f.source.chat_template = TEXT("{{ bos }}\0{% x %}");
    fixture_open(&f);
    TernVocabFacts facts = tern_vocab_get_facts(f.vocab);
    assert_int_equal(facts.n_tokens, 263);
    assert_int_equal(facts.bos, 257);
    assert_int_equal(facts.eos, 258);
    assert_int_equal(facts.eot, 259);
    assert_int_equal(facts.eom, 260);
    assert_int_equal(facts.unk, TERN_NO_TOKEN);
    assert_int_equal(facts.pad, 0);
    assert_true(facts.add_eos);
    assert_int_equal(facts.max_token_bytes, 10);
    assert_int_equal(facts.chat_template.size, 17);
    assert_memory_equal(facts.chat_template.data, "{{ bos }}\0{% x %}", 17);
    for (int32_t id = 0; id < 300; id++)
        assert_int_equal(tern_token_is_eog(f.vocab, id), id >= 258 && id <= 261);
    assert_int_equal(tern_token_find(f.vocab, "<bos>", 5), 257);
    assert_int_equal(tern_token_find(f.vocab, "ab", 2),
                     262); /* of equal ones the last, as llama.cpp has it */
    assert_int_equal(tern_token_find(f.vocab, " ", 1), ' ');
    assert_int_equal(tern_token_find(f.vocab, "abc", 3), TERN_NO_TOKEN);
    assert_int_equal(tern_token_find(f.vocab, "", 0), TERN_NO_TOKEN);
    assert_int_equal(tern_token_get_type(f.vocab, 259), TERN_TOKEN_CONTROL);
    assert_int_equal(tern_token_get_type(f.vocab, 263), TERN_TOKEN_UNDEFINED);
    assert_int_equal(tern_token_get_bytes(f.vocab, 263).size, 0);
    assert_int_equal(*tern_token_get_bytes(f.vocab, 0).data, 0);
    fixture_close(&f);
}

/* Names that end an answer where they are control tokens, and those that other names make ordinary. */
static void test_ends_by_name(void **state) {
    (void)state;
    static const struct {
        const char *tokens[4];
        const char *ends; /* 1: ends an answer, by token */
    } cases[] = {
        {{"<|end|>", "<|return|>", "<|message|>"}, "110"},
        {{"<|end|>", "<|return|>", "<|call|>"}, "011"},
        {{"<|end|>", "<|calls|>", "<|flush|>"}, "011"},
        {{"<|end|>", "<|calls|>", "<|call|>"}, "111"},
        {{"</s>", "<turn|>", "[EOS]"}, "111"},
        {{"</s>", "<|tool_response>", "[e~["}, "011"},
        {{"_<EOT>", "[EOT]", "<eos>"}, "111"},
        {{"<|end_of_text|>", "<end_of_utterance>", "<pad>"}, "110"},
    };
    static const TernTokenType types[] = {TERN_TOKEN_NORMAL, TERN_TOKEN_CONTROL, TERN_TOKEN_USER_DEFINED};
    for (size_t t = 0; t < TN_COUNT(types); t++)
        for (size_t i = 0; i < TN_COUNT(cases); i++) {
            Fixture f;
            start(&f, "gpt-2");
            for (size_t k = 0; k < 3; k++) fixture_token(&f, types[t], cases[i].tokens[k]);
            fixture_open(&f);
            for (int32_t k = types[t] == TERN_TOKEN_NORMAL; k < 3; k++) {
                bool end = cases[i].ends[k] == '1' && types[t] != TERN_TOKEN_NORMAL;
                if (types[t] == TERN_TOKEN_USER_DEFINED && strcmp(cases[i].tokens[k], "</s>") == 0)
                    end = false;
                assert_int_equal(tern_token_is_eog(f.vocab, 257 + k), end);
                assert_int_equal(tern_token_get_type(f.vocab, 257 + k), end ? TERN_TOKEN_CONTROL : types[t]);
            }
            fixture_close(&f);
        }
}

/* Without the keys of bos and eos, token 11 is used if it is a control token; a comma must not end an answer. */
static void test_default_eleven(void **state) {
    (void)state;
    for (int control = 0; control < 2; control++) {
        Fixture f;
        start(&f, "gpt-2");
        if (control) f.types[11] = TERN_TOKEN_CONTROL;
        fixture_open(&f);
        int32_t want = control ? 11 : TERN_NO_TOKEN;
        assert_int_equal(tern_vocab_get_facts(f.vocab).bos, want);
        assert_int_equal(tern_vocab_get_facts(f.vocab).eos, want);
        assert_int_equal(tern_token_is_eog(f.vocab, 11), control);
        fixture_close(&f);
    }
}

static void test_repeatable(void **state) {
    (void)state;
    Fixture f;
    start(&f, "default");
    fixture_open(&f);
    void *again;
    size_t size;
    assert_int_equal(tern_vocab_build(&f.source, &again, &size, NULL), TERN_OK);
    assert_int_equal(size, f.image_size);
    assert_memory_equal(again, f.image, size);
    free(again);
    fixture_close(&f);
}

/* ---- What is refused ---- */

static const char *known_pres(TnArena *arena) {
    static const char first[] = "llama-bpe, gpt-2, default, qwen2, qwen35, ";
    TnBuf b = {0};
    tn_pre_list(&b);
    char *list = tn_strndup(arena, (const char *)b.data, b.len);
    tn_buf_free(&b);
    assert_memory_equal(list, first, sizeof first - 1);
    assert_non_null(strstr(list, " or "));
    return list;
}

static void test_refusals(void **state) {
    (void)state;
    Fixture f;
#define REFUSED(status, change, line)                                                                        \
    do {                                                                                                     \
        start(&f, "gpt-2");                                                                                  \
        change;                                                                                              \
        check_refused(&f, status, line);                                                                     \
        fixture_close(&f);                                                                                   \
    } while (0)
    REFUSED(TERN_ERR_UNSUPPORTED, f.source.model = TEXT("bert"),
            "tokenizer.ggml.model is 'bert', expected 'gpt2', 'llama', 'gemma4' or 'whitespace'");
    REFUSED(TERN_ERR_INPUT, f.source.model = (TernText){0},
            "tokenizer.ggml.model is absent, expected 'gpt2', 'llama', 'gemma4' or 'whitespace'");
    REFUSED(TERN_ERR_UNSUPPORTED, f.source.pre = TEXT("llama4\n"),
            tn_sprintf(&f.arena, "tokenizer.ggml.pre is 'llama4\\n', expected %s", known_pres(&f.arena)));
    REFUSED(TERN_ERR_INPUT, f.source.size = 7,
            tn_sprintf(&f.arena, "TernVocabSource.size is 7, expected sizeof(TernVocabSource), %zu here",
                       sizeof f.source));
    REFUSED(TERN_ERR_INPUT, f.source.n_tokens = 0,
            "tokenizer.ggml.tokens is absent or empty, expected one text a token");
    REFUSED(TERN_ERR_INPUT, f.source.n_types = 255,
            "tokenizer.ggml.token_type holds 255 numbers, expected 257, one a token");
    REFUSED(TERN_ERR_INPUT, f.types[3] = 7, "tokenizer.ggml.token_type[3] is 7, expected 0 to 6");
    REFUSED(TERN_ERR_INPUT, f.types[256] = -1, "tokenizer.ggml.token_type[256] is -1, expected 0 to 6");
    REFUSED(TERN_ERR_INPUT, f.tokens[5] = TEXT("a\xc3"),
            "tokenizer.ggml.tokens[5] is 'a\\xc3', expected UTF-8");
    REFUSED(TERN_ERR_INPUT, (f.source.merges = NULL, f.source.n_merges = 0),
            "tokenizer.ggml.merges is absent, expected one text a merge");
    REFUSED(TERN_ERR_INPUT, fixture_merge(&f, "ab"),
            "tokenizer.ggml.merges[1] is 'ab', expected two texts separated by a space");
    REFUSED(TERN_ERR_INPUT, fixture_merge(&f, " a"),
            "tokenizer.ggml.merges[1] is ' a', expected two texts separated by a space");
    REFUSED(TERN_ERR_INPUT, fixture_merge(&f, "ab "),
            "tokenizer.ggml.merges[1] is 'ab ', expected two texts separated by a space");
    REFUSED(TERN_ERR_INPUT, fixture_merge(&f, ""),
            "tokenizer.ggml.merges[1] is '', expected two texts separated by a space");
    REFUSED(TERN_ERR_INPUT, fixture_merge(&f, "a b c"),
            "tokenizer.ggml.merges[1] is 'a b c', expected two texts in the byte spelling of GPT-2");
    REFUSED(TERN_ERR_INPUT, fixture_merge(&f, "a \xe2\x98\xba"),
            "tokenizer.ggml.merges[1] is 'a \xe2\x98\xba', expected two texts in the byte spelling of GPT-2");
    REFUSED(TERN_ERR_INPUT, f.source.bos = 257,
            "tokenizer.ggml.bos_token_id is 257, expected an id below the 257 tokens");
    REFUSED(TERN_ERR_INPUT, f.source.eos = 0xffffffff,
            "tokenizer.ggml.eos_token_id is 4294967295, expected an id below the 257 tokens");
    REFUSED(TERN_ERR_INPUT, f.source.pad = -2,
            "tokenizer.ggml.padding_token_id is -2, expected an id below the 257 tokens");
    REFUSED(TERN_ERR_INPUT, f.source.add_bos = 2, "tokenizer.ggml.add_bos_token is 2, expected 0 or 1");
    REFUSED(TERN_ERR_INPUT, f.source.chat_template.size = 1u << 25,
            "TernVocabSource.chat_template is NULL although its size is 33554432");
#undef REFUSED
}

/* ---- Damaged images ---- */

/* Opens the image and, if it opens, uses it. It may give anything, but must read nothing outside it (run under ASan). */
static bool try_image(const void *image, size_t size) {
    static const char text[] = "ab <x>ab\xff ab<y>12 abab";
    TernVocab *v;
    TernError err;
    int32_t ids[sizeof text + 2];
    char out[4096];
    size_t n, n_out;
    if (tern_vocab_open(image, size, &v, &err) != TERN_OK) {
        assert_null(v);
        assert_true(err.text[0] != '\0');
        return false;
    }
    TernVocabFacts facts = tern_vocab_get_facts(v);
    if (tern_encode(v, text, sizeof text - 1, 3, ids, sizeof text + 2, &n, &err) == TERN_OK) {
        assert_true(n <= sizeof text + 1);
        tern_decode(v, ids, n, 0, out, sizeof out, &n_out, &err);
    }
    tern_token_find(v, "ab", 2);
    TernDetok *d;
    const char *bytes;
    if (tern_detok_create(v, 1, &d, &err) == TERN_OK)
        for (int32_t id = 0; (uint32_t)id < facts.n_tokens && id < 300; id++)
            tern_detok_push(d, id, &bytes, &n, &err);
    tern_detok_destroy(d);
    tern_vocab_close(v);
    return true;
}

static void make_image(Fixture *f) {
    start(f, "llama-bpe");
    fixture_token(f, TERN_TOKEN_USER_DEFINED, "<x>");
    fixture_token(f, TERN_TOKEN_CONTROL, "<y>");
    fixture_merge(f, "ab a");
    f->source.bos = 258;
    f->source.chat_template = TEXT("template");
    fixture_open(f);
}

static void test_truncated(void **state) {
    (void)state;
    Fixture f;
    make_image(&f);
    assert_false(try_image(NULL, 0));
    for (size_t n = 0; n < f.image_size; n += n < 1400 ? 1 : 37) {
        void *copy = malloc(n ? n : 1); /* its own block, so that a stray read is seen */
        memcpy(copy, f.image, n);
        assert_false(try_image(copy, n));
        free(copy);
    }
    /* Any alignment, and bytes after it, are fine. */
    char *copy = malloc(f.image_size + 9);
    memcpy(copy + 1, f.image, f.image_size);
    assert_true(try_image(copy + 1, f.image_size + 8));
    free(copy);
    fixture_close(&f);
}

static void test_flipped(void **state) {
    (void)state;
    Fixture f;
    make_image(&f);
    uint8_t *copy = malloc(f.image_size);
    uint64_t seed = 21;
    size_t opened = 0;
    const size_t rounds = 20000;
    for (size_t round = 0; round < rounds; round++) {
        memcpy(copy, f.image, f.image_size);
        for (uint32_t n = 1 + test_random(&seed) % 4; n > 0; n--) {
            /* Half of the damage is in the head, and half of that is a number next to a limit. */
            size_t at = test_random(&seed) % (test_random(&seed) % 2 ? sizeof(TnVocabHead) : f.image_size);
            if (test_random(&seed) % 2 && at + 4 <= f.image_size) {
                uint32_t word;
                at &= ~(size_t)3;
                memcpy(&word, copy + at, 4);
                word = test_random(&seed) % 4   ? word + test_random(&seed) % 3 - 1
                       : test_random(&seed) % 2 ? UINT32_MAX
                                                : 0;
                memcpy(copy + at, &word, 4);
            } else {
                copy[at] ^= (uint8_t)(1u << test_random(&seed) % 8);
            }
        }
        opened += try_image(copy, f.image_size);
    }
    assert_in_range(opened, rounds / 50, rounds - rounds / 50); /* both ways were gone */
    free(copy);
    fixture_close(&f);
}

/* A table without a free slot would make a look-up endless; an image of a newer Tern is refused as that. */
static void test_damaged(void **state) {
    (void)state;
    Fixture f;
    make_image(&f);
    TnVocabHead head;
    memcpy(&head, f.image, sizeof head);
    uint8_t *copy = malloc(f.image_size);
    TernVocab *v;
    TernError err;
    memcpy(copy, f.image, f.image_size);
    memset(copy + head.hash_at, 0, (size_t)head.hash_slots * 4);
    assert_int_equal(tern_vocab_open(copy, f.image_size, &v, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the vocabulary image is damaged: its hash table is full");
    memcpy(copy, f.image, f.image_size);
    memset(copy + head.table_at, 0, (size_t)head.table_n * sizeof(TnMergeSlot));
    assert_int_equal(tern_vocab_open(copy, f.image_size, &v, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the vocabulary image is damaged: its merge table is full");
    memcpy(copy, f.image, f.image_size);
    copy[8]++;
    assert_int_equal(tern_vocab_open(copy, f.image_size, &v, &err), TERN_ERR_UNSUPPORTED);
    assert_string_equal(err.text, "the vocabulary image has version 2, expected 1");
    head.kind = 7;
    memcpy(copy, f.image, f.image_size);
    memcpy(copy, &head, sizeof head);
    assert_int_equal(tern_vocab_open(copy, f.image_size, &v, &err), TERN_ERR_UNSUPPORTED);
    assert_string_equal(err.text, "the vocabulary image is of tokenizer 7, which this Tern does not know");
    head.kind = 0;
    head.flags |= 8;
    memcpy(copy, &head, sizeof head);
    assert_int_equal(tern_vocab_open(copy, f.image_size, &v, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the vocabulary image is damaged: flags 0xd, expected some of 0x7");
    free(copy);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pre),
        cmocka_unit_test(test_pre_table),
        cmocka_unit_test(test_tokenizer_table),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_ends_by_name),
        cmocka_unit_test(test_default_eleven),
        cmocka_unit_test(test_repeatable),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
