/* The tokenizer's keys on their way to the vocabulary image. This layer checks types; runtime/text checks
 * values, and its messages get the file's name in front. */
#include "gguf/refuse.h"
#include "runtime/text/text.h"

#define T "tokenizer.ggml."

static const char *const tokens[] = {"a", "b", "ab", "<s>", "</s>", "<pad>"};

static TnGw *good(void) {
    TnGw *w = tn_gw_create();
    tn_gw_str(w, T "model", "gpt2");
    tn_gw_str(w, T "pre", "gpt-2");
    tn_gw_strs(w, T "tokens", tokens, TN_COUNT(tokens));
    tn_gw_array(w, T "token_type", GW_I32, (int32_t[]){1, 1, 1, 3, 3, 3}, TN_COUNT(tokens), 4);
    tn_gw_strs(w, T "merges", (const char *[]){"a b"}, 1);
    tn_gw_u32(w, T "bos_token_id", 3);
    tn_gw_u32(w, T "eos_token_id", 4);
    tn_gw_u32(w, T "padding_token_id", 5);
    tn_gw_bool(w, T "add_bos_token", 1);
    tn_gw_bool(w, T "add_eos_token", 1);
    tn_gw_str(w, "tokenizer.chat_template", "{{ text }}");
    return w;
}

/* Returns the image, or sets the error; NULL and "" for a file without a tokenizer. Consumes the writer. */
static void *image_of(TnGw *w, size_t *out_bytes, const char **out_says) {
    static TernError err;
    TnBuf file = {0};
    TnGguf *g;
    const void *image = NULL, *again = NULL;
    void *copy = NULL;
    size_t bytes = 1;
    err = (TernError){0};
    tn_gw_bytes(w, &file, NULL, NULL);
    tn_gw_destroy(w);
    if (tn_gguf_open_memory(file.data, file.len, "m.gguf", true, &g, &err) != TERN_OK)
        fail_msg("%s", err.text);
    if (tn_gguf_vocab(g, &image, &bytes, &err) == TERN_OK) {
        err.text[0] = 0;
        assert_int_equal(tn_gguf_vocab(g, &again, out_bytes, &err), TERN_OK); /* made once */
        assert_ptr_equal(again, image);
        if (image) {
            copy = malloc(bytes);
            memcpy(copy, image, bytes);
        }
        *out_bytes = bytes;
    } else {
        assert_null(image);
        assert_int_equal(bytes, 0);
    }
    tn_gguf_close(g);
    tn_buf_free(&file);
    if (out_says) *out_says = err.text;
    return copy;
}
static const char *says(TnGw *w) {
    size_t n;
    const char *text;
    free(image_of(w, &n, &text));
    return text;
}

static void keys_reach_the_image(void **state) {
    (void)state;
    size_t n;
    const char *text;
    TernVocab *v;
    TernError err;
    void *image = image_of(good(), &n, &text);
    assert_string_equal(text, "");
    assert_int_equal(tern_vocab_open(image, n, &v, &err), TERN_OK);
    TernVocabFacts f = tern_vocab_get_facts(v);
    assert_int_equal(f.n_tokens, 6);
    assert_int_equal(f.bos, 3);
    assert_int_equal(f.eos, 4);
    assert_int_equal(f.pad, 5);
    assert_int_equal(f.unk, TERN_NO_TOKEN);
    assert_true(f.add_bos && f.add_eos);
    assert_string_equal(f.pre, "gpt-2");
    assert_int_equal(f.chat_template.size, 10);
    assert_memory_equal(f.chat_template.data, "{{ text }}", 10);
    assert_int_equal(tern_token_get_type(v, 3), TERN_TOKEN_CONTROL);
    int32_t ids[8];
    size_t n_ids;
    assert_int_equal(tern_encode(v, "ab", 2, TERN_ENCODE_ADD_SPECIAL, ids, 8, &n_ids, &err), TERN_OK);
    assert_int_equal(n_ids, 3);
    assert_int_equal(ids[0], 3);
    assert_int_equal(ids[1], 2); /* the merge came along */
    assert_int_equal(ids[2], 4);
    tern_vocab_close(v);
    free(image);
}

static void more_special_tokens(void **state) {
    (void)state;
    size_t n;
    const char *text;
    TernVocab *v;
    TernError err;
    TnGw *w = good();
    tn_gw_u64(w, T "unknown_token_id", 5); /* any integer type will do */
    tn_gw_u32(w, T "eot_token_id", 4);
    tn_gw_u32(w, T "eom_token_id", 5);
    tn_gw_bool(w, T "add_bos_token", 0);
    tn_gw_drop(w, T "add_eos_token");
    tn_gw_drop(w, T "token_type");
    tn_gw_drop(w, "tokenizer.chat_template");
    void *image = image_of(w, &n, &text);
    assert_string_equal(text, "");
    assert_int_equal(tern_vocab_open(image, n, &v, &err), TERN_OK);
    TernVocabFacts f = tern_vocab_get_facts(v);
    assert_int_equal(f.unk, 5);
    assert_int_equal(f.eot, 4);
    assert_int_equal(f.eom, 5);
    assert_false(f.add_bos || f.add_eos);
    assert_int_equal(f.chat_template.size, 0);
    assert_int_equal(tern_token_get_type(v, 3), TERN_TOKEN_NORMAL);
    tern_vocab_close(v);
    free(image);
}

/* SentencePiece: scores, as floats or as integers, and the prefix. */
static void scores_reach_the_image(void **state) {
    (void)state;
    static const char *const pieces[] = {"<unk>", "<s>", "</s>", "a", "b", "aa", "ab", "\xe2\x96\x81"};
    static const float scores[] = {0, 0, 0, -5, -5, -2, -1, -5};
    static const int32_t ranks[] = {0, 0, 0, -5, -5, -2, -1, -5};
    for (int k = 0; k < 4; k++) {
        TnGw *w = tn_gw_create();
        tn_gw_str(w, T "model", "llama");
        tn_gw_str(w, T "pre", "default");
        tn_gw_strs(w, T "tokens", pieces, TN_COUNT(pieces));
        tn_gw_array(w, T "token_type", GW_I32, (int32_t[]){2, 3, 3, 1, 1, 1, 1, 1}, TN_COUNT(pieces), 4);
        if (k % 2)
            tn_gw_array(w, T "scores", GW_I32, ranks, TN_COUNT(ranks), 4);
        else
            tn_gw_array(w, T "scores", GW_F32, scores, TN_COUNT(scores), 4);
        if (k >= 2) tn_gw_bool(w, T "add_space_prefix", 0);
        size_t n, n_ids;
        const char *text;
        TernVocab *v;
        TernError err;
        int32_t ids[8];
        void *image = image_of(w, &n, &text);
        assert_string_equal(text, "");
        assert_int_equal(tern_vocab_open(image, n, &v, &err), TERN_OK);
        assert_int_equal(tern_encode(v, "aab", 3, TERN_ENCODE_ADD_SPECIAL, ids, 8, &n_ids, &err), TERN_OK);
        assert_int_equal(n_ids, k >= 2 ? 3 : 4);
        assert_int_equal(ids[0], 1);
        assert_int_equal(ids[n_ids - 2], 3);
        assert_int_equal(ids[n_ids - 1], 6); /* ab before aa */
        tern_vocab_close(v);
        free(image);
    }
}

static void a_file_without_tokenizer(void **state) {
    (void)state;
    TnGw *w = tn_gw_create();
    size_t n = 1;
    const char *text;
    tn_gw_str(w, "general.name", "nothing here");
    assert_null(image_of(w, &n, &text));
    assert_string_equal(text, "");
    assert_int_equal(n, 0);
}

/* Llama 3's vocabulary is known by its size where the pre-tokenizer's name is missing. */
static void a_missing_pre_tokenizer(void **state) {
    (void)state;
    for (size_t n_tokens = 128255; n_tokens <= 128256; n_tokens++) {
        char(*text)[12] = tn_xcalloc(n_tokens, sizeof *text);
        const char **all = tn_xcalloc(n_tokens, sizeof *all), *why;
        for (size_t i = 0; i < n_tokens; i++) {
            snprintf(text[i], sizeof text[i], "t%zu", i);
            all[i] = text[i];
        }
        TnGw *w = good();
        tn_gw_drop(w, T "pre");
        tn_gw_drop(w, T "token_type");
        tn_gw_strs(w, T "merges", NULL, 0);
        tn_gw_strs(w, T "tokens", all, n_tokens);
        size_t n;
        TernVocab *v;
        TernError err;
        void *image = image_of(w, &n, &why);
        assert_string_equal(why, "");
        assert_int_equal(tern_vocab_open(image, n, &v, &err), TERN_OK);
        assert_string_equal(tern_vocab_get_facts(v).pre, n_tokens == 128256 ? "llama-bpe" : "default");
        tern_vocab_close(v);
        free(image);
        free(all);
        free(text);
    }
}

static void wrong_types(void **state) {
    (void)state;
    static const char *const strings[] = {T "model", T "pre", "tokenizer.chat_template"},
                             *const ids[] = {T "bos_token_id", T "eos_token_id",     T "eot_token_id",
                                             T "eom_token_id", T "unknown_token_id", T "padding_token_id"},
                             *const flags[] = {T "add_bos_token", T "add_eos_token"},
                             *const lists[] = {T "tokens", T "merges"};
    char want[128];
    for (size_t i = 0; i < TN_COUNT(strings); i++) {
        TnGw *w = good();
        tn_gw_u32(w, strings[i], 1);
        snprintf(want, sizeof want, "m.gguf: %s is of type u32, expected a string", strings[i]);
        assert_string_equal(says(w), want);
    }
    for (size_t i = 0; i < TN_COUNT(ids); i++) {
        TnGw *w = good();
        tn_gw_f32(w, ids[i], 1);
        snprintf(want, sizeof want, "m.gguf: %s is of type f32, expected an integer", ids[i]);
        assert_string_equal(says(w), want);
        w = good();
        tn_gw_i32(w, ids[i], -1);
        snprintf(want, sizeof want, "m.gguf: %s is -1, expected 0 to 4294967295", ids[i]);
        assert_string_equal(says(w), want);
        w = good();
        tn_gw_u32(w, ids[i], 6);
        snprintf(want, sizeof want, "m.gguf: %s is 6, expected an id below the 6 tokens", ids[i]);
        assert_string_equal(says(w), want);
        w = good();
        tn_gw_u32(w, ids[i], UINT32_MAX); /* none */
        assert_string_equal(says(w), "");
    }
    for (size_t i = 0; i < TN_COUNT(flags); i++) {
        TnGw *w = good();
        tn_gw_u32(w, flags[i], 1);
        snprintf(want, sizeof want, "m.gguf: %s is of type u32, expected a bool", flags[i]);
        assert_string_equal(says(w), want);
    }
    for (size_t i = 0; i < TN_COUNT(lists); i++) {
        TnGw *w = good();
        tn_gw_str(w, lists[i], "a");
        snprintf(want, sizeof want, "m.gguf: %s is of type string, expected an array of string", lists[i]);
        assert_string_equal(says(w), want);
        w = good();
        tn_gw_array(w, lists[i], GW_U8, "abcdef", 6, 1);
        snprintf(want, sizeof want, "m.gguf: %s is an array of u8, expected an array of string", lists[i]);
        assert_string_equal(says(w), want);
    }
    TnGw *w = good();
    tn_gw_u32(w, T "token_type", 1);
    assert_string_equal(says(w),
                        "m.gguf: tokenizer.ggml.token_type is of type u32, expected an array of i32");
    w = good();
    tn_gw_array(w, T "token_type", GW_I8, "\1\1\1\3\3\3", 6, 1);
    assert_string_equal(says(w),
                        "m.gguf: tokenizer.ggml.token_type is an array of i8, expected an array of i32");
    w = good();
    tn_gw_array(w, T "token_type", GW_U32, (uint32_t[]){1, 1, 1, 3, 3, 3}, 6, 4);
    assert_string_equal(says(w), "");
}

static void wrong_values(void **state) {
    (void)state;
    TnGw *w = good();
    tn_gw_str(w, T "model", "bert");
    assert_string_equal(
        says(w),
        "m.gguf: TerncSource.overrides can replace this: tokenizer.ggml.model is 'bert', expected 'gpt2', "
        "'llama', 'gemma4' or 'whitespace'");
    w = good();
    tn_gw_drop(w, T "model");
    assert_string_equal(
        says(w),
        "m.gguf: tokenizer.ggml.model is absent, expected 'gpt2', 'llama', 'gemma4' or 'whitespace'");
    w = good();
    tn_gw_drop(w, T "tokens");
    assert_string_equal(says(w),
                        "m.gguf: tokenizer.ggml.tokens is absent or empty, expected one text a token");
    w = good();
    tn_gw_drop(w, T "merges");
    assert_string_equal(says(w), "m.gguf: tokenizer.ggml.merges is absent, expected one text a merge");
    w = good();
    tn_gw_strs(w, T "merges", NULL, 0); /* an empty list is not an absent one */
    assert_string_equal(says(w), "");
    size_t many = (1 << 20) + 1;
    const char **empty = tn_xcalloc(many, sizeof *empty);
    for (size_t i = 0; i < many; i++) empty[i] = "";
    w = good();
    tn_gw_strs(w, T "merges", empty, many);
    assert_string_equal(says(w),
                        "m.gguf: tokenizer.ggml.merges has 1048577 strings, expected at most 1048576");
    w = good();
    tn_gw_strs(w, T "tokens", empty, many);
    assert_string_equal(says(w),
                        "m.gguf: tokenizer.ggml.tokens has 1048577 strings, expected at most 1048576");
    free(empty);
    w = good();
    tn_gw_array(w, T "token_type", GW_I32, (int32_t[]){1, 1, 1, 3, 3}, 5, 4);
    assert_string_equal(says(w),
                        "m.gguf: tokenizer.ggml.token_type holds 5 numbers, expected 6, one a token");
}

/* What the frontend adds to the notes: a type that the vocabulary overrides. */
static void an_end_of_the_wrong_type(void **state) {
    (void)state;
    static const char *const ends[] = {"a", "b", "ab", "<|im_end|>", "<eos>", "<|im_start|>"};
    static const char *const notes[] = {
        NULL,
        "m.gguf: token 4 is '<eos>': of type user-defined, but by the name an end, so a control token",
        "m.gguf: token 3 is '<|im_end|>', and 1 more token: of type user-defined, but by the name an end, so "
        "a "
        "control token",
    };
    for (int32_t n = 0; n < 3; n++) {
        TnGw *w = good();
        TnBuf file = {0};
        TnGguf *g;
        const void *image;
        size_t bytes;
        TernError err;
        tn_gw_strs(w, T "tokens", ends, TN_COUNT(ends));
        tn_gw_array(w, T "token_type", GW_I32, (int32_t[]){1, 1, 1, n > 1 ? 4 : 3, n > 0 ? 4 : 3, 4}, 6, 4);
        tn_gw_bytes(w, &file, NULL, NULL);
        tn_gw_destroy(w);
        assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", true, &g, &err), TERN_OK);
        assert_int_equal(tn_gguf_vocab(g, &image, &bytes, &err), TERN_OK);
        if (notes[n])
            assert_string_equal(g->vocab_note, notes[n]);
        else
            assert_null(g->vocab_note);
        tn_gguf_close(g);
        tn_buf_free(&file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_reach_the_image),
        cmocka_unit_test(more_special_tokens),
        cmocka_unit_test(scores_reach_the_image),
        cmocka_unit_test(a_file_without_tokenizer),
        cmocka_unit_test(a_missing_pre_tokenizer),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(wrong_values),
        cmocka_unit_test(an_end_of_the_wrong_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
