/* BPE of characters against a slow one that is written from its definition: lists of texts, the best pair first, over random
 * vocabularies and texts. Then what a file may leave out or say wrongly. */
#include "runtime/text/pretok.h"
#include "runtime/text/tokenizer.h"
#include "vocab_file.h"

#define S "\xe2\x96\x81" /* a space, as files write it */

enum { LONGEST = 40, MERGES = 60 };

/* ---- The slow one: texts as files write them */

typedef struct Slow {
    TernText tokens[1000], left[MERGES], right[MERGES];
    int32_t n, n_merges, first_byte; /* ids of <0x00> and on; -1: there are none */
} Slow;

static bool same(TernText a, TernText b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static int32_t token_of(const Slow *s, TernText t) {
    int32_t found = -1;
    for (int32_t i = 0; i < s->n; i++)
        if (same(s->tokens[i], t)) found = i;
    return found;
}

/* Merges one line, and appends its ids. Neighbours lie side by side in its bytes, so a merge is a longer text. */
static size_t slow_line(const Slow *s, TernText line, bool whole, int32_t *out) {
    TernText part[3 * LONGEST];
    size_t n = 0, n_ids = 0;
    if (whole && line.data[0] == '\n' && token_of(s, line) >= 0) {
        out[0] = token_of(s, line);
        return 1;
    }
    for (size_t i = 0, next; i < line.size; i = next) {
        for (next = i + 1; next < line.size && (line.data[next] & 0xc0) == 0x80; next++) {
        }
        part[n++] = (TernText){line.data + i, next - i};
    }
    for (;;) {
        int best = MERGES;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (int m = 0; m < s->n_merges && m < best; m++)
                if (same(part[i], s->left[m]) && same(part[i + 1], s->right[m])) best = m, at = i;
        if (best == MERGES) break;
        part[at].size += part[at + 1].size;
        n--;
        memmove(part + at + 1, part + at + 2, (n - at - 1) * sizeof *part);
    }
    for (size_t i = 0; i < n; i++) {
        int32_t id = token_of(s, part[i]);
        if (id >= 0) out[n_ids++] = id;
        for (size_t k = 0; id < 0 && k < part[i].size; k++) {
            bool space = part[i].size - k >= 3 && memcmp(part[i].data + k, S, 3) == 0;
            out[n_ids++] = s->first_byte + (space ? ' ' : (uint8_t)part[i].data[k]);
            k += space ? 2 : 0;
        }
    }
    return n_ids;
}

static size_t slow_encode(const Slow *s, TernText text, bool whole, int32_t *out) {
    size_t n = 0;
    for (size_t i = 0, end; i < text.size; i = end) {
        for (end = i + 1; end < text.size && (text.data[end] == '\n') == (text.data[i] == '\n'); end++) {
        }
        n += slow_line(s, (TernText){text.data + i, end - i}, whole, out + n);
    }
    return n;
}

/* ---- Random vocabularies */

static const char *const letters[] = {"a", "b", "c", S, "\n", "\xc3\xa9", "\xe4\xb8\xad"};

static TernText keep(Fixture *f, const char *data, size_t n) {
    return (TernText){tn_sprintf(&f->arena, "%.*s", (int)n, data), n};
}

/* Some letters, bytes, and tokens made by random merges, a few of which have no token. */
static void make(Fixture *f, Slow *s, const char *pre, uint64_t *seed) {
    TernText pieces[TN_COUNT(letters) + MERGES];
    size_t n = 0;
    fixture_start(f, pre);
    *s = (Slow){.first_byte = 0};
    for (int b = 0; b < 256; b++) fixture_token(f, TERN_TOKEN_BYTE, tn_sprintf(&f->arena, "<0x%02X>", b));
    for (size_t i = 0; i < TN_COUNT(letters); i++) {
        pieces[n++] = (TernText){letters[i], strlen(letters[i])};
        if (test_random(seed) % 8) fixture_token(f, TERN_TOKEN_NORMAL, letters[i]);
    }
    for (int tries = 0; tries < MERGES; tries++) {
        TernText l = pieces[test_random(seed) % n], r = pieces[test_random(seed) % n];
        char both[400], merge[400];
        if (l.size + r.size > 20) continue;
        /* a merge that a line cannot see says nothing */
        if ((l.data[0] == '\n') != (r.data[0] == '\n')) continue;
        int size = snprintf(both, sizeof both, "%s%s", l.data, r.data);
        snprintf(merge, sizeof merge, "%s %s", l.data, r.data);
        fixture_merge(f, tn_sprintf(&f->arena, "%s", merge));
        s->left[s->n_merges] = l, s->right[s->n_merges++] = r;
        pieces[n++] = keep(f, both, (size_t)size);
        if (test_random(seed) % 8) fixture_token(f, TERN_TOKEN_NORMAL, pieces[n - 1].data);
    }
    for (size_t i = 0; i < f->n_tokens; i++) s->tokens[i] = f->tokens[i];
    s->n = (int32_t)f->n_tokens;
    fixture_point(f);
}

static void against_the_slow_one(void **state) {
    (void)state;
    static const char *const more[] = {"x", " ", "\n\n", "\xf0\x9f\x98\x80", "  ", "ab"};
    uint64_t seed = 20;
    for (int round = 0; round < 200; round++) {
        bool whole = round % 2;
        Fixture f;
        Slow s;
        make(&f, &s, whole ? "gemma4" : "sarvam-moe", &seed);
        f.source.add_bos = 0;
        fixture_open(&f);
        for (int k = 0; k < 50; k++) {
            char text[400] = "", spaced[1200];
            for (uint32_t n = test_random(&seed) % LONGEST; n; n--) {
                uint32_t i = test_random(&seed) % (TN_COUNT(letters) + TN_COUNT(more));
                strcat(text, i < TN_COUNT(letters) ? letters[i] : more[i - TN_COUNT(letters)]);
                if (strlen(text) > LONGEST) break;
            }
            size_t n_spaced = 0, n;
            for (const char *p = text; *p; p++)
                n_spaced += (size_t)sprintf(spaced + n_spaced, *p == ' ' ? S : "%c", *p);
            int32_t want[1200], got[1200];
            size_t n_want = slow_encode(&s, (TernText){spaced, n_spaced}, whole, want);
            TernError err;
            if (tern_encode(f.vocab, text, strlen(text), 0, got, TN_COUNT(got), &n, &err) != TERN_OK)
                fail_msg("%s", err.text);
            assert_int_equal(n, n_want);
            assert_memory_equal(got, want, n * sizeof *got);
        }
        fixture_close(&f);
    }
}

/* ---- By hand */

static void start(Fixture *f, const char *pre) {
    fixture_start(f, pre);
    fixture_token(f, TERN_TOKEN_UNKNOWN, "<unk>");
    fixture_token(f, TERN_TOKEN_CONTROL, "<s>");
    fixture_token(f, TERN_TOKEN_NORMAL, "a");
    fixture_token(f, TERN_TOKEN_NORMAL, S);
    fixture_token(f, TERN_TOKEN_NORMAL, S "a");
    fixture_token(f, TERN_TOKEN_NORMAL, "\n");
    fixture_token(f, TERN_TOKEN_NORMAL, "\n\n");
    fixture_merge(f, S " a");
    f->source.bos = 1;
    f->source.unk = 0;
}
enum { UNK, BOS, A, SPACE, SPACE_A, LINE, LINES, BYTE };
#define GIVES(text, flags, ...) assert_ids(f.vocab, text, sizeof(text) - 1, flags, __VA_ARGS__)

static void lines_and_spaces(void **state) {
    (void)state;
    Fixture f;
    start(&f, "granite-embed-multi-311m");
    for (int b = 0; b < 256; b++) fixture_token(&f, TERN_TOKEN_BYTE, tn_sprintf(&f.arena, "<0x%02X>", b));
    fixture_open(&f);
    assert_string_equal(tern_vocab_get_facts(f.vocab).pre, "gemma4");
    GIVES("a a", TERN_ENCODE_ADD_SPECIAL, BOS, A, SPACE_A);
    GIVES("a" S "a", 0, A, SPACE_A);
    GIVES("a\n\na\n", 0, A, LINES, A, LINE);
    GIVES("\n\n\n", 0, LINE, LINE, LINE); /* three are no token, and no merge joins two */
    GIVES("b\xff<s>", TERN_ENCODE_PARSE_SPECIAL, BYTE + 'b', BYTE + 0xff, BOS);
    char out[20];
    size_t n;
    TernError err;
    assert_int_equal(
        tern_decode(f.vocab, (int32_t[]){SPACE_A, LINES, BYTE + 'b'}, 3, 0, out, sizeof out, &n, &err),
        TERN_OK);
    assert_int_equal(n, 5);
    assert_memory_equal(out, " a\n\nb", 5);
    fixture_close(&f);
    start(&f, "sarvam-moe");
    fixture_open(&f);
    GIVES("a\n\na", TERN_ENCODE_ADD_SPECIAL, A, LINE, LINE, A);
    GIVES("bc ad", 0, UNK, SPACE_A, UNK); /* one for a run */
    fixture_close(&f);
}

static void words_without_space(void **state) {
    (void)state;
    Fixture f;
    start(&f, "whitespace");
    fixture_token(&f, TERN_TOKEN_NORMAL, "aa");
    fixture_merge(&f, "a a");
    fixture_open(&f);
    GIVES(" a\n\taa\xe3\x80\x80", 0, A, BYTE);
    GIVES("a" S "a", 0, A, SPACE_A); /* not a space here, but the merge is there */
    fixture_close(&f);
}

/* The tokenizer's name may say it all. */
static void named_by_the_model(void **state) {
    (void)state;
    Fixture f;
    start(&f, NULL);
    f.source.model = TEXT("gemma4");
    fixture_open(&f);
    GIVES("a\n\n", TERN_ENCODE_ADD_SPECIAL, BOS, A, LINES);
    assert_ptr_equal(tn_tokenizer_find(TEXT("gpt2"), TEXT("sarvam-moe")), &tn_char_bpe);
    assert_ptr_equal(tn_tokenizer_find(TEXT("whitespace"), TEXT("default")), &tn_char_bpe);
    assert_ptr_equal(tn_tokenizer_find(TEXT("llama"), TEXT("gemma4")), &tn_sentencepiece);
    fixture_close(&f);
}

static void says(Fixture *f, const char *want) {
    TernError err;
    assert_int_not_equal(tern_vocab_build(&f->source, &f->image, &f->image_size, &err), TERN_OK);
    assert_string_equal(err.text, want);
    fixture_close(f);
}

static void refusals(void **state) {
    (void)state;
    Fixture f;
    start(&f, "gemma4");
    fixture_merge(&f, "ab");
    says(&f, "tokenizer.ggml.merges[1] is 'ab', expected two texts separated by a space");
    start(&f, "gemma4");
    fixture_merge(&f, "a \xff");
    says(&f, "tokenizer.ggml.merges[1] is 'a \\xff', expected UTF-8");
    start(&f, "gemma4");
    fixture_token(&f, TERN_TOKEN_BYTE, "x");
    says(&f, "tokenizer.ggml.tokens[7] is 'x' of type byte, expected <0x00> to <0xFF>");
    start(&f, "gemma4");
    f.source.merges = NULL, f.source.n_merges = 0;
    says(&f, "tokenizer.ggml.merges is absent, expected one text a merge");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_the_slow_one),
        cmocka_unit_test(lines_and_spaces),
        cmocka_unit_test(words_without_space),
        cmocka_unit_test(named_by_the_model),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
