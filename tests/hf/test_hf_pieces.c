/* A tokenizer.json that Hugging Face's converter would make of a SentencePiece model gives the same ids as the library itself
 * (tests/data/vocab/spm.*), and every other form of it is read or refused by name. */
#include "hf/folder_vocab.h"

#define SPACE "\xe2\x96\x81"

/* ---- As a converter writes it */

typedef struct Piece {
    float score;
    int type, id;
    char text[100];
} Piece;
typedef struct Split {
    int piece, left, right;
} Split;

static Piece pieces[1000];
static int n_pieces;

static void read_pieces(void) {
    FILE *f = fopen(TERN_SOURCE_DIR "/tests/data/vocab/spm.vocab", "r");
    char line[200];
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        Piece *p = &pieces[n_pieces];
        int at;
        if (sscanf(line, "s %f %d %n", &p->score, &p->type, &at) < 2) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(p->text, sizeof p->text, "%s", line + at);
        p->id = n_pieces++;
    }
    fclose(f);
}

static int find_piece(const char *text, size_t n) {
    for (int i = 0; i < n_pieces; i++)
        if (strlen(pieces[i].text) == n && memcmp(pieces[i].text, text, n) == 0) return i;
    return -1;
}

/* By score, the best first, then by the ids of the parts. */
static int as_merged(const void *pa, const void *pb) {
    const Split *a = pa, *b = pb;
    float x = pieces[a->piece].score, y = pieces[b->piece].score;
    if (x != y) return x > y ? -1 : 1;
    if (a->left != b->left) return a->left - b->left;
    return a->right - b->right;
}

static void put_quoted(TnBuf *b, const char *text, size_t n) {
    tn_buf_puts(b, "\"");
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"' || text[i] == '\\') tn_buf_puts(b, "\\");
        if ((unsigned char)text[i] < ' ')
            tn_buf_printf(b, "\\u%04x", text[i]);
        else
            tn_buf_put(b, text + i, 1);
    }
    tn_buf_puts(b, "\"");
}

/* arrays: merges as pairs, else as texts; skip: leave out the merges of every piece with this remainder by 7 */
static void put_json(bool arrays, int skip, const char *around) {
    static Split splits[20000];
    int n = 0;
    TnBuf b = {0};
    for (int i = 0; i < n_pieces; i++)
        for (size_t at = 1; pieces[i].type == 1 && at < strlen(pieces[i].text); at++) {
            int left = find_piece(pieces[i].text, at),
                right = find_piece(pieces[i].text + at, strlen(pieces[i].text) - at);
            if (left >= 0 && right >= 0) splits[n++] = (Split){i, left, right};
        }
    qsort(splits, (size_t)n, sizeof *splits, as_merged);
    tn_buf_printf(
        &b,
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":1,\"content\":"
        "\"<s>\",\"special\":true},{\"id\":2,\"content\":\"</s>\",\"special\":true}],%s,\"model\":{\"type\":"
        "\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,\"vocab\":{",
        around);
    for (int i = 0; i < n_pieces; i++) {
        tn_buf_puts(&b, i ? "," : "");
        put_quoted(&b, pieces[i].text, strlen(pieces[i].text));
        tn_buf_printf(&b, ":%d", i);
    }
    tn_buf_puts(&b, "},\"merges\":[");
    for (int i = 0, some = 0; i < n; i++) {
        if (skip >= 0 && splits[i].piece % 7 == skip) continue;
        const Piece *l = &pieces[splits[i].left], *r = &pieces[splits[i].right];
        char both[250];
        tn_buf_puts(&b, some++ ? "," : "");
        if (arrays) {
            tn_buf_puts(&b, "[");
            put_quoted(&b, l->text, strlen(l->text));
            tn_buf_puts(&b, ",");
            put_quoted(&b, r->text, strlen(r->text));
            tn_buf_puts(&b, "]");
        } else {
            int size = snprintf(both, sizeof both, "%s %s", l->text, r->text);
            put_quoted(&b, both, (size_t)size);
        }
    }
    tn_buf_puts(&b, "]}}");
    put_file("tokenizer.json", b.data, b.len);
    tn_buf_free(&b);
}

/* ---- Reading it */

/* As many texts, each with the ids that the library gave. */
static size_t compare(const TernVocab *v) {
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char *texts, *answers;
    size_t n_texts, n_answers, n = 0;
    TernError err;
    assert_int_equal(
        tn_file_read(TERN_SOURCE_DIR "/tests/data/vocab/spm.inp", 1 << 24, &texts, &n_texts, &err), TERN_OK);
    assert_int_equal(
        tn_file_read(TERN_SOURCE_DIR "/tests/data/vocab/spm.out", 1 << 24, &answers, &n_answers, &err),
        TERN_OK);
    char *line = answers;
    for (char *text = texts, *end; (end = strstr(text, mark)); text = end + strlen(mark), n++) {
        int32_t ids[2000];
        size_t n_ids;
        TnBuf says = {0};
        if (tern_encode(v, text, (size_t)(end - text), 0, ids, TN_COUNT(ids), &n_ids, &err) != TERN_OK)
            fail_msg("%s", err.text);
        for (size_t i = 0; i < n_ids; i++) tn_buf_printf(&says, "%s%d", i ? " " : "", ids[i]);
        tn_buf_puts(&says, "");
        size_t size = strcspn(line, "\n");
        line[size] = 0;
        /* the library gives no ids for no text, we the space in front of it */
        if (end > text && strcmp(n_ids ? (char *)says.data : "", line) != 0)
            fail_msg("'%.*s' gives %s, expected %s", (int)(end - text), text, (char *)says.data, line);
        line += size + 1;
        tn_buf_free(&says);
    }
    free(texts);
    free(answers);
    return n;
}

#define PREPEND "{\"type\":\"Prepend\",\"prepend\":\"" SPACE "\"}"
#define REPLACE "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" SPACE "\"}"
#define BACK    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" SPACE "\"},\"content\":\" \"}"
#define LEGACY                                                                                               \
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" PREPEND "," REPLACE "]},\"pre_tokenizer\":"    \
    "null,"
#define DECODER                                                                                              \
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[" BACK                                                 \
    ",{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "                   \
    "\",\"start\":1,\"stop\":0}]}"
#define SPLIT "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"MergedWithPrevious\"}"

static void as_the_library(void **state) {
    (void)state;
    for (int arrays = 0; arrays < 2; arrays++) {
        void *image;
        put_json(arrays, -1, LEGACY DECODER);
        TernVocab *v = vocab(&image);
        TernVocabFacts f = tern_vocab_get_facts(v);
        assert_string_equal(f.pre, "");
        assert_int_equal(f.unk, 0);
        assert_int_equal(tern_token_get_type(v, 0), TERN_TOKEN_UNKNOWN);
        assert_int_equal(tern_token_get_type(v, 2), TERN_TOKEN_CONTROL);
        assert_int_equal(tern_token_get_type(v, 3), TERN_TOKEN_BYTE);
        assert_true(compare(v) > 1200);
        tern_vocab_close(v);
        free(image);
    }
}

static void gives(const TernVocab *v, const char *text, const char *want) {
    int32_t ids[100];
    size_t n;
    TernError err;
    TnBuf says = {0};
    assert_int_equal(tern_encode(v, text, strlen(text), 0, ids, 100, &n, &err), TERN_OK);
    for (size_t i = 0; i < n; i++) tn_buf_printf(&says, "%s%s", i ? " " : "", pieces[ids[i]].text);
    tn_buf_puts(&says, "");
    assert_string_equal(says.data, want);
    tn_buf_free(&says);
}

/* As Gemma's folders have it: no space in front. Merges of another's choosing are kept, for BPE of characters. */
static void without_a_prefix(void **state) {
    (void)state;
    for (int skip = -1; skip < 2; skip++) {
        void *image;
        put_json(true, skip, "\"normalizer\":" REPLACE ",\"pre_tokenizer\":" SPLIT ",\"decoder\":" BACK);
        TernVocab *v = vocab(&image);
        assert_string_equal(tern_vocab_get_facts(v).pre, skip < 0 ? "" : "sarvam-moe");
        if (skip < 0) gives(v, " summer", SPACE "summer");
        if (skip < 0) gives(v, "  ", SPACE SPACE);
        gives(v, "\n", "<0x0A>");
        tern_vocab_close(v);
        free(image);
    }
    put_json(true, 1, LEGACY DECODER);
    assert_string_equal(
        convert_says(NULL, NULL),
        "/tokenizer.json: the merges are not those of SentencePiece, and a space is put in front of "
        "texts: expected one or the other");
}

static void other_forms(void **state) {
    (void)state;
#define T          "/tokenizer.json: "
#define META(more) "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"" SPACE "\"" more "}"
    static const struct {
        const char *around, *want, *note;
    } list[] = {
        {"\"x\":1", "", ""},
        {META(",\"prepend_scheme\":\"never\",\"split\":false"), "", ""},
        {META(",\"add_prefix_space\":false,\"split\":false"), "", ""},
        {META(",\"prepend_scheme\":\"first\",\"split\":false"), "",
         "Metaspace puts a space in front of the first word that"},
        {META(",\"split\":false"), "", "Metaspace puts a space in front of a stretch of text that"},
        {META(""), T "Metaspace cuts texts before every space, but tokens have a space after something else",
         "Metaspace puts a space"},
        {META(",\"prepend_scheme\":\"last\""), T "prepend_scheme is 'last', expected always, first or never",
         ""},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\"}",
         T "Metaspace replaces spaces by '_', expected U+2581", ""},
        {"\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT ",{\"type\":\"Digits\"}]}",
         T "the pre-tokenizer is of type 'Digits', expected none, Metaspace, or Split at a space", ""},
        {"\"normalizer\":{\"type\":\"NFKC\"}",
         T "the normalizer is of type 'NFKC', expected none, Prepend of U+2581, or Replace of a space by it",
         ""},
        {"\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"_\"}",
         T
         "the normalizer is of type 'Prepend', expected none, Prepend of U+2581, or Replace of a space by it",
         ""},
        {"\"normalizer\":" BACK,
         T
         "the normalizer is of type 'Replace', expected none, Prepend of U+2581, or Replace of a space by it",
         ""},
        {"\"decoder\":{\"type\":\"CTC\"}",
         T "the decoder is of type 'CTC', expected none, Replace of U+2581 by a space, ByteFallback, Fuse, "
           "Strip or "
           "Metaspace",
         ""},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        put_json(false, -1, list[i].around);
        assert_string_equal(convert_says(NULL, NULL), list[i].want);
        if (*list[i].note ? !strstr(last_note, list[i].note) : strstr(last_note, "Metaspace") != NULL)
            fail_msg("%s: note '%s'", list[i].around, last_note);
    }
}

/* A model small enough to change. */
static void other_models(void **state) {
    (void)state;
    static const char good[] =
        "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},"
        "\"merges\":[\"a b\"],\"dropout\":null}}";
    static const struct {
        const char *from, *to, *want;
    } list[] = {
        {"null", "0.5", T "dropout is 0.5, expected none"},
        {"null", "0", ""},
        {"\"dropout\":null", "\"ignore_merges\":true",
         T "ignore_merges is true in a model with byte_fallback, expected false"},
        {"\"dropout\":null", "\"end_of_word_suffix\":\"</w>\"",
         T "end_of_word_suffix is '</w>', expected none"},
        {"\"dropout\":null", "\"continuing_subword_prefix\":\"##\"",
         T "continuing_subword_prefix is '##', expected none"},
        {"a b", "b a", T "merge 0 is 'b a', expected two tokens that make a third"},
        {"a b", "ab", T "merge 0 is 'ab', expected two tokens that make a third"},
        {"a b", "a  b", T "merge 0 is 'a  b', expected two tokens that make a third"},
        {"a b", "a c", T "merge 0 is 'a c', expected two tokens that make a third"},
        {"[\"a b\"]", "[]", ""},
        {"[\"a b\"]", "{}", T "model has no array \"merges\""},
        {"\"a\":0", "\"a\":1", T "tokens 'a' and 'b' have the same id 1"},
        {"\"a\":0", "\"a\":9000", T "token 'a' has the id 9000, but vocab_size is 900"},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        char *text = replaced(good, list[i].from, list[i].to);
        put_text("tokenizer.json", text);
        assert_string_equal(convert_says(NULL, NULL), list[i].want);
        free(text);
    }
}

static int begin(void **state) {
    static float numbers[900 * HIDDEN];
    Weights w = {0};
    if (make_dir(state)) return 1;
    read_pieces();
    char *config = replaced(good_config, "\"vocab_size\":32", "\"vocab_size\":900");
    put_text("config.json", config);
    free(config);
    add(&w, "model.embed_tokens.weight", "F32", "900,64", numbers, sizeof numbers);
    add(&w, "model.norm.weight", "F32", "64", numbers, HIDDEN * 4);
    add(&w, "model.layers.0.input_layernorm.weight", "F32", "64", numbers, HIDDEN * 4);
    add(&w, "model.layers.0.post_attention_layernorm.weight", "F32", "64", numbers, HIDDEN * 4);
    for (int m = 0; m < MATRICES; m++) add_matrix(&w, m, PACKED, 0, false);
    finish(&w);
    return n_pieces != 900;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_library),
        cmocka_unit_test(without_a_prefix),
        cmocka_unit_test(other_forms),
        cmocka_unit_test(other_models),
    };
    return cmocka_run_group_tests(tests, begin, remove_dir);
}
