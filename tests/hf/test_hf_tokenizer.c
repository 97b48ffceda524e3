/* Vocabularies: tokenizer.json and tokenizer.model as they should be, and every way they can be wrong. */
#include "hf/folder_vocab.h"

static const char good_json[] =
    "{\"version\":\"1.0\",\n"
    "\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"special\":true},{\"id\":1,\"content\":\"<think>\","
    "\"special\":false}],\n"
    "\"normalizer\":null,\n"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},\n"
    "\"post_processor\":null,\n"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":3,\"b\":4,\"ab\":5,\"\xc4\xa0\":6},\"merges\":[\"a "
    "b\"],\"ignore_merges\":false}}";
static const char pre[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}";
static const char none[] = "\"post_processor\":null";
static const char first[] = "{\"id\":0,\"content\":\"<s>\",\"special\":true}";
#define LLAMA3                                                                                               \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "                   \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SPLIT(regex, behavior)                                                                               \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex          \
    "\"},\"behavior\":\"" behavior "\",\"invert\":false},{\"type\":\"ByteLevel\",\"use_regex\":false}]}"
#define T "/tokenizer.json: "

static const struct {
    const char *from, *to, *want;
} faults[] = {
    {"{\"version\"", "[\"version\"", T "line 1, column "},
    {"\"model\":", "\"models\":", T "the model is of type '', expected BPE, or "},
    {"\"BPE\"", "\"Unigram\"", T "the model is of type 'Unigram', expected BPE, or "},
    {"\"BPE\"", "1,\"x\":2", ""},
    {"\"ignore_merges\":false", "\"byte_fallback\":true",
     T "the pre-tokenizer is of type 'ByteLevel', expected none, Metaspace, or Split at a space"},
    {"\"vocab\":{\"a\":3,\"b\":4,\"ab\":5,\"\xc4\xa0\":6}", "\"vocab\":[]",
     T "model has no object \"vocab\" with tokens"},
    {"\"vocab\":{\"a\":3,\"b\":4,\"ab\":5,\"\xc4\xa0\":6}", "\"vocab\":{}",
     T "model has no object \"vocab\" with tokens"},
    {"\"vocab\":", "\"words\":", T "model has no object \"vocab\" with tokens"},
    {"\"a\":3", "\"a\":\"3\"", T "token 'a' has no id"},
    {"\"a\":3", "\"a\":-1", T "token 'a' has no id"},
    {"\"a\":3", "\"a\":3.0", T "token 'a' has no id"},
    {"\"a\":3", "\"a\":null", T "token 'a' has no id"},
    {"\"a\":3", "\"a\":32", T "token 'a' has the id 32, but vocab_size is 32"},
    {"\"a\":3", "\"a\":9223372036854775807",
     T "token 'a' has the id 9223372036854775807, but vocab_size is 32"},
    {"\"a\":3", "\"a\":4", T "tokens 'a' and 'b' have the same id 4"},
    {"\"a\":3", "\"a\":0", T "tokens 'a' and '<s>' have the same id 0"},
    {"\"a\":3", "\"a\":3,\"a\":7", T "line 6, column "},
    {"\"a\":3", "\"\xff\":3", T "line 6, column "},
    {"[{\"id\":0,\"content\":\"<s>\",\"special\":true},{\"id\":1,\"content\":\"<think>\",\"special\":false}]",
     "{}", T "added_tokens is not an array"},
    {"[{\"id\":0,\"content\":\"<s>\",\"special\":true},{\"id\":1,\"content\":\"<think>\",\"special\":false}]",
     "null", ""},
    {first, "1", T "added token 0 has no id and content"},
    {first, "{}", T "added token 0 has no id and content"},
    {first, "{\"id\":0}", T "added token 0 has no id and content"},
    {first, "{\"id\":\"0\",\"content\":\"<s>\"}", T "added token 0 has no id and content"},
    {first, "{\"id\":0,\"content\":1}", T "added token 0 has no id and content"},
    {first, "{\"id\":-2,\"content\":\"x\"}", T "added token 0 has no id and content"},
    {first, "{\"id\":99,\"content\":\"x\"}", T "token 'x' has the id 99, but vocab_size is 32"},
    {first, "{\"id\":1,\"content\":\"x\"}", T "tokens 'x' and '<think>' have the same id 1"},
    {"[\"a b\"]", "{}", T "model has no array \"merges\""},
    {"[\"a b\"]", "null", T "model has no array \"merges\""},
    {"[\"a b\"]", "[1]", T "merge 0 is not a text, nor an array of two"},
    {"[\"a b\"]", "[\"a b\",[\"a\"]]", T "merge 1 is not a text, nor an array of two"},
    {"[\"a b\"]", "[[\"a\",\"b\",\"c\"]]", T "merge 0 is not a text, nor an array of two"},
    {"[\"a b\"]", "[[\"a\",2]]", T "merge 0 is not a text, nor an array of two"},
    {"[\"a b\"]", "[{}]", T "merge 0 is not a text, nor an array of two"},
    {"[\"a b\"]", "[[\"a\",\"b\"]]", ""},
    {"[\"a b\"]", "[]", ""},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", ""},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFKC\"}",
     T "the normalizer is of type 'NFKC', expected none or NFC"},
    {"\"normalizer\":null", "\"normalizer\":1", T "the normalizer is of type '', expected none or NFC"},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[]}",
     T "the normalizer is of type 'Sequence', expected none or NFC"},
    {pre, "null", T "the pre-tokenizer is not known: ''; convert the folder with TerncConvert.pre, one of "},
    {pre, "[]", T "the pre-tokenizer is not known: ''; "},
    {pre, "{\"type\":\"Whitespace\"}", T "the pre-tokenizer is not known: 'Whitespace'; "},
    {pre, "{\"type\":\"Metaspace\"}", T "the pre-tokenizer is not known: 'Metaspace'; "},
    {pre, "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}",
     T "the pre-tokenizer is not known: 'ByteLevel'; "},
    {pre, "{\"type\":\"ByteLevel\",\"use_regex\":false}", T "the pre-tokenizer is not known: 'ByteLevel'; "},
    {pre, "{\"type\":\"Sequence\"}", T "the pre-tokenizer is not known: 'Sequence'; "},
    {pre, "{\"type\":\"Sequence\",\"pretokenizers\":{}}", T "the pre-tokenizer is not known: 'Sequence'; "},
    {pre, "{\"type\":\"Sequence\",\"pretokenizers\":[1]}", T "the pre-tokenizer is not known: "},
    {pre, SPLIT("x+", "Isolated"), T "the pre-tokenizer is not known: 'regex x+'; "},
    {pre, SPLIT(LLAMA3, "Removed"), T "the pre-tokenizer is not known: 'regex (?i:"},
    {pre, SPLIT(LLAMA3, "Isolated"), ""},
    {pre, "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Isolated\"}",
     T "the pre-tokenizer is not known: 'Split'; "},
    {none, "\"post_processor\":1", ""},
    {none, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":{}}", ""},
};

static void faulty_json(void **state) {
    (void)state;
    size_t differ = 0;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char *text = replaced(good_json, faults[i].from, faults[i].to);
        put_text("tokenizer.json", text);
        const char *says = convert_says(NULL, NULL);
        if (strncmp(says, faults[i].want, strlen(faults[i].want)) != 0 || (!*faults[i].want && *says)) {
            print_error("%s\n  says   %s\n  expected %s\n", faults[i].to, says, faults[i].want);
            differ++;
        }
        free(text);
    }
    assert_int_equal(differ, 0);
    size_t n = strlen(good_json);
    for (size_t cut = 0; cut < n; cut++) {
        put_file("tokenizer.json", good_json, cut);
        if (!*convert_says(NULL, NULL)) fail_msg("cut at byte %zu: read", cut);
    }
    char *text = tn_xcalloc(n + 1, 1);
    for (size_t i = 0; i < n; i++) {
        memcpy(text, good_json, n + 1);
        text[i] = "\"0-{"[i % 4];
        put_file("tokenizer.json", text, n);
        (void)convert_says(NULL, NULL);
    }
    free(text);
    put_text("tokenizer.json", good_json);
}

static void reads_json(void **state) {
    (void)state;
    void *image;
    TernError err;
    int32_t ids[8];
    size_t n;
    char *text = replaced(
        good_json, none,
        "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":"
        "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{}}]}]}");
    put_text("tokenizer.json", text);
    free(text);
    put_text("tokenizer_config.json",
             "{\"add_eos_token\":true,\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"x\"},"
             "{\"name\":\"default\",\"template\":\"{{ messages }}\"}]}");
    put_text("generation_config.json", "{\"bos_token_id\":0,\"eos_token_id\":[1,0],\"pad_token_id\":3}");
    TernVocab *v = vocab(&image);
    TernVocabFacts f = tern_vocab_get_facts(v);
    assert_int_equal(f.n_tokens, VOCAB);
    assert_int_equal(f.bos, 0);
    assert_int_equal(f.eos, 1);
    assert_int_equal(f.eot, 0);
    assert_int_equal(f.pad, 3);
    assert_true(f.add_bos);
    assert_true(f.add_eos);
    assert_string_equal(f.pre, "gpt-2");
    assert_int_equal(f.chat_template.size, strlen("{{ messages }}"));
    assert_int_equal(tern_encode(v, "ab a", 4, 0, ids, 8, &n, &err), TERN_OK);
    assert_int_equal(n, 3);
    assert_int_equal(ids[0], 5);
    assert_int_equal(ids[1], 6);
    assert_int_equal(ids[2], 3);
    assert_int_equal(tern_token_find(v, "[PAD7]", 6), 7);
    tern_vocab_close(v);
    free(image);
    put_text("chat_template.jinja", "newer");
    v = vocab(&image);
    assert_int_equal(tern_vocab_get_facts(v).chat_template.size, 5);
    tern_vocab_close(v);
    free(image);
    assert_int_equal(unlink(path_in_dir("chat_template.jinja")), 0);
}

static void faulty_config(void **state) {
    (void)state;
    static const struct {
        const char *file, *text, *want;
    } list[] = {
        {"tokenizer_config.json", "[]", "/tokenizer_config.json: its json is not an object"},
        {"tokenizer_config.json", "{", "/tokenizer_config.json: line 1, column "},
        {"tokenizer_config.json", "{\"add_bos_token\":1}",
         "/tokenizer_config.json: add_bos_token is not true or false"},
        {"tokenizer_config.json", "{\"add_eos_token\":\"x\"}",
         "/tokenizer_config.json: add_eos_token is not true or"},
        {"tokenizer_config.json", "{\"add_bos_token\":null,\"chat_template\":7}", ""},
        {"generation_config.json", "1", "/generation_config.json: line 1, column 1 of its json: "},
        {"generation_config.json", "{\"eos_token_id\":32}",
         "/generation_config.json: the id for tokenizer.ggml.eos_token_id"},
        {"generation_config.json", "{\"eos_token_id\":[1,-2]}",
         "/generation_config.json: the id for tokenizer.ggml.eot_tok"},
        {"generation_config.json", "{\"eos_token_id\":[[1]]}",
         "/generation_config.json: the id for tokenizer.ggml.eos_tok"},
        {"generation_config.json", "{\"bos_token_id\":\"0\"}",
         "/generation_config.json: the id for tokenizer.ggml.bos_tok"},
        {"generation_config.json", "{\"pad_token_id\":1.5}",
         "/generation_config.json: the id for tokenizer.ggml.padding_"},
        {"generation_config.json", "{\"pad_token_id\":-1,\"eos_token_id\":[]}", ""},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        put_text("tokenizer_config.json", "{}");
        put_text("generation_config.json", "{}");
        put_text(list[i].file, list[i].text);
        const char *says = convert_says(NULL, NULL);
        if (strncmp(says, list[i].want, strlen(list[i].want)) != 0 || (!*list[i].want && *says))
            fail_msg("%s\n  says   %s\n  expected %s", list[i].text, says, list[i].want);
    }
    put_text("tokenizer_config.json", "{}");
    put_text("generation_config.json", "{}");
}

/* ---- SentencePiece */

static void field(TnBuf *b, uint32_t number, const void *bytes, size_t n) {
    uint8_t head[2] = {(uint8_t)(number << 3 | 2), (uint8_t)n};
    assert_true(number < 16 && n < 128);
    tn_buf_put(b, head, 2);
    tn_buf_put(b, bytes, n);
}
static void number(TnBuf *b, uint32_t field, uint8_t v) { /* below 16: one byte for the field */
    uint8_t bytes[3] = {(uint8_t)(field << 3 | (field > 15 ? 0x80 : 0)), (uint8_t)(field >> 4), v};
    if (field <= 15) bytes[1] = v;
    tn_buf_put(b, bytes, field > 15 ? 3 : 2);
}
static void piece(TnBuf *b, const char *text, float score, uint8_t type) {
    TnBuf p = {0};
    field(&p, 1, text, strlen(text));
    tn_buf_put(&p, "\x15", 1);
    tn_buf_put(&p, &score, 4);
    number(&p, 3, type);
    field(b, 1, p.data, p.len);
    tn_buf_free(&p);
}
static void spm(TnBuf *b, uint8_t algorithm, const char *normalizer, uint8_t prefix, uint8_t escape) {
    TnBuf p = {0};
    piece(b, "<unk>", 0, 2);
    piece(b, "<s>", 0, 3);
    piece(b, "</s>", 0, 3);
    piece(b, "a", -1, 1);
    piece(b, "b", -2, 1);
    piece(b, "ab", -0.5f, 1);
    piece(b, "\xe2\x96\x81", -3, 1);
    number(&p, 3, algorithm);
    number(&p, 40, 0);
    number(&p, 41, 1);
    number(&p, 42, 2);
    field(b, 2, p.data, p.len);
    p.len = 0;
    field(&p, 1, normalizer, strlen(normalizer));
    number(&p, 3, prefix);
    number(&p, 4, 0);
    number(&p, 5, escape);
    field(b, 3, p.data, p.len);
    tn_buf_free(&p);
}

static void reads_pieces(void **state) {
    (void)state;
    void *image;
    TernError err;
    int32_t ids[8];
    size_t n;
    for (uint8_t prefix = 0; prefix < 2; prefix++) {
        TnBuf b = {0};
        spm(&b, 2, "identity", prefix, 1);
        put_file("tokenizer.model", b.data, b.len);
        tn_buf_free(&b);
        put_text("tokenizer_config.json",
                 "{\"add_bos_token\":true,\"added_tokens_decoder\":{\"1\":{\"content\":\"<s>\","
                 "\"special\":true},\"9\":{\"content\":\"<|im_end|>\",\"special\":true}}}");
        put_text("added_tokens.json", "{\"<pad>\":10,\"<|im_end|>\":9}");
        TernVocab *v = vocab(&image);
        assert_int_equal(tern_token_find(v, "<pad>", 5), 10);
        TernVocabFacts f = tern_vocab_get_facts(v);
        assert_int_equal(f.bos, 1);
        assert_int_equal(f.eos, 2);
        assert_int_equal(f.unk, 0);
        assert_int_equal(tern_encode(v, "ab", 2, 0, ids, 8, &n, &err), TERN_OK);
        assert_int_equal(n, 1 + prefix);
        assert_int_equal(ids[0], prefix ? 6 : 5);
        assert_int_equal(ids[prefix], 5);
        assert_int_equal(tern_token_find(v, "<|im_end|>", 10), 9);
        tern_vocab_close(v);
        free(image);
    }
}

static void faulty_pieces(void **state) {
    (void)state;
    static const struct {
        uint8_t algorithm;
        const char *normalizer;
        uint8_t escape;
        const char *want;
    } list[] = {{1, "identity", 1, "/tokenizer.model: algorithm 1 of SentencePiece, expected 2 (BPE)"},
                {3, "identity", 1, "/tokenizer.model: algorithm 3 of SentencePiece, expected 2 (BPE)"},
                {2, "nmt_nfkc", 1, "/tokenizer.model: texts are prepared by 'nmt_nfkc', expected identity"},
                {2, "", 0, "/tokenizer.model: escape_whitespaces is false, expected true"}};
    TnBuf b = {0};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        b.len = 0;
        spm(&b, list[i].algorithm, list[i].normalizer, 1, list[i].escape);
        put_file("tokenizer.model", b.data, b.len);
        assert_string_equal(convert_says(NULL, NULL), list[i].want);
    }
    static const struct {
        const char *bytes;
        size_t n;
        const char *want;
    } raw[] = {
        {"", 0, "no pieces: not a model of SentencePiece, or damaged"},
        {"\x00", 1, "a field without a number"},
        {"\x80", 1, "a field without a number"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "a field without a number"},
        {"\x0b", 1, "a field of unknown wire type"},
        {"\x0f", 1, "a field of unknown wire type"},
        {"\x08", 1, "a number is cut short"},
        {"\x09\x01\x02", 3, "a number is cut short"},
        {"\x0d\x01\x02", 3, "a number is cut short"},
        {"\x0a", 1, "a field is longer than what holds it"},
        {"\x0a\x05\x0a\x01", 4, "a field is longer than what holds it"},
        {"\x0a\x02\x0a\x01", 4, "a field is longer than what holds it"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10, "a field is longer than what holds it"},
        {"\x0a\x02\x18\x07", 4, "piece 0 is of type 7, expected 1 to 6"},
        {"\x0a\x02\x18\x00", 4, "piece 0 is of type 0, expected 1 to 6"},
        {"\x0a\x05\x15\x00\x00\xc0\x7f", 7, "the score of piece 0 is not a number"},
        {"\x0a\x05\x15\x00\x00\x80\x7f", 7, "the score of piece 0 is not a number"},
        {"IQ== 0\nIg== 1\n", 14,
         "not a model of SentencePiece"}, /* ranks in text, which some call by the same name */
    };
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
        put_file("tokenizer.model", raw[i].bytes, raw[i].n);
        const char *says = convert_says(NULL, NULL);
        if (!strstr(says, raw[i].want)) fail_msg("%zu: says %s, expected %s", i, says, raw[i].want);
    }
    static const struct {
        const char *added, *want;
    } added[] = {{"{\"x\":\"9\"}", "/added_tokens.json: token 'x' has no id"},
                 {"{\"x\":-1}", "/added_tokens.json: token 'x' has no id"},
                 {"{\"x\":32}", "/added_tokens.json: token 'x' has the id 32, but vocab_size is 32"},
                 {"[1]", "/added_tokens.json: its json is not an object"},
                 {"{\"a\":9,\"b\":9}", ""}};
    b.len = 0;
    spm(&b, 2, "identity", 1, 1);
    put_file("tokenizer.model", b.data, b.len);
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        put_text("added_tokens.json", added[i].added);
        assert_string_equal(convert_says(NULL, NULL), added[i].want);
    }
    assert_int_equal(unlink(path_in_dir("added_tokens.json")), 0);
    b.len = 0;
    for (int i = 0; i < 33; i++) piece(&b, "x", 0, 1);
    put_file("tokenizer.model", b.data, b.len);
    assert_string_equal(convert_says(NULL, NULL),
                        "/tokenizer.model: token 'x' has the id 32, but vocab_size is 32");
    /* cut, and every byte replaced */
    b.len = 0;
    spm(&b, 2, "identity", 1, 1);
    for (size_t n = 0; n < b.len; n++) {
        put_file("tokenizer.model", b.data, n);
        (void)convert_says(NULL, NULL);
    }
    for (size_t i = 0; i < b.len; i++) {
        char was = b.data[i];
        b.data[i] = "\xff\x00\x7f\x0a"[i % 4];
        put_file("tokenizer.model", b.data, b.len);
        (void)convert_says(NULL, NULL);
        b.data[i] = was;
    }
    put_file("tokenizer.model", b.data, b.len);
    tn_buf_free(&b);
    static const struct {
        const char *decoder, *want;
    } decoders[] = {
        {"{\"x\":{\"content\":\"y\"}}",
         "/tokenizer_config.json: added_tokens_decoder has 'x' without an id or content"},
        {"{\"-1\":{\"content\":\"y\"}}",
         "/tokenizer_config.json: added_tokens_decoder has '-1' without an id or content"},
        {"{\"\":{\"content\":\"y\"}}",
         "/tokenizer_config.json: added_tokens_decoder has '' without an id or content"},
        {"{\"9\":{}}", "/tokenizer_config.json: added_tokens_decoder has '9' without an id or content"},
        {"{\"32\":{\"content\":\"y\"}}",
         "/tokenizer_config.json: token 'y' has the id 32, but vocab_size is 32"},
    };
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"added_tokens_decoder\":%s}", decoders[i].decoder);
        put_text("tokenizer_config.json", text);
        assert_string_equal(convert_says(NULL, NULL), decoders[i].want);
    }
}

static int begin(void **state) {
    if (make_dir(state)) return 1;
    put_text("config.json", good_config);
    put_weights(PACKED, 0, false);
    return 0;
}
static int begin_pieces(void **state) {
    (void)state;
    return unlink(path_in_dir("tokenizer.json"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faulty_json),   cmocka_unit_test(reads_json),
        cmocka_unit_test(faulty_config), cmocka_unit_test_setup(reads_pieces, begin_pieces),
        cmocka_unit_test(faulty_pieces),
    };
    return cmocka_run_group_tests(tests, begin, remove_dir);
}
