/* Every pre-tokenizer against the same expression as its authors wrote it, run by another engine over other tables of
 * Unicode (tests/support/regex_vm.h, tests/data/unicode.txt): random strings of characters that both tables agree on;
 * the rest are counted and listed. TERN_ROUNDS: strings a pre-tokenizer. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "runtime/text/pretok.h"
#include "tests/support/regex_vm.h"
#include "vocab_file.h"

enum { POINTS = 0x110000, LONGEST = 60 };

#define SHORT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define GPT2  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA(n)                                                                                             \
    SHORT "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" n "| "                                                           \
          "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UP  "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOW "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(n, end)                                                                                        \
    "[^\\r\\n\\p{L}\\p{N}]?" UP "*" LOW "+" end "|[^\\r\\n\\p{L}\\p{N}]?" UP "+" LOW "*" end "|" n           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define NO_HAN_UP  "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define NO_HAN_LOW "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define KANA       "[一-龥぀-ゟ゠-ヿ]+"
#define DEEPSEEK3                                                                                            \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "      \
    "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
#define BLOOM " ?[^(\\s|[.,!?…。，、।۔،])]+"

static const struct Author {
    const char *name;
    const char *regexes[6];
} authors[] = {
    {"llama-bpe", {LLAMA("\\p{N}{1,3}")}},
    {"gpt-2", {GPT2}},
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"qwen2", {LLAMA("\\p{N}")}},
    {"qwen35",
     {SHORT "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
            "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!"
            "\\S)|\\s+"}},
    {"dbrx", {LLAMA("\\p{N}{1,3}")}},
    {"minicpm5", {"\\p{N}{1,3}", LLAMA("\\p{N}+")}},
    {"falcon", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"falcon_e", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9]"}},
    {"starcoder", {"\\p{N}", GPT2}},
    {"deepseek-llm",
     {"[\r\n]", NULL, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", "[一-龥ࠀ-一가-퟿]+", "\\p{N}+"}},
    {"deepseek-coder", {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"}},
    {"deepseek-v3", {"\\p{N}{1,3}", KANA, DEEPSEEK3}},
    {"youtu",
     {"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" KANA,
      CASED("\\p{N}", SHORT "?")}},
    {"bloom", {BLOOM}},
    {"viking", {BLOOM, "\\p{N}"}},
    {"tekken", {CASED("\\p{N}", "")}},
    {"gpt-4o", {CASED("\\p{N}{1,3}", SHORT "?")}},
    {"granite-embed-multi-97m", {CASED("\\p{N}{1,3}", SHORT "?")}},
    {"tiny_aya", {"\\d{1,3}(?=(?:\\d{3})*\\b)", CASED("\\p{N}{1,3}", SHORT "?")}},
    {"kimi-k2",
     {"[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN_UP "*" NO_HAN_LOW "+" SHORT
      "?|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN_UP "+" NO_HAN_LOW "*" SHORT
      "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"superbpe", {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
    {"bailingmoe",
     {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
      "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {"seed-coder",
     {SHORT "|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}},
    {"afmoe",
     {"\\p{N}{1,3}(?=(\\p{N}{3})*(?!\\p{N}))",
      "[一-鿿㐀-䶿\uf900-\ufaff぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-"
      "힯ᄀ-"
      "ᇿ]"
      "+",
      DEEPSEEK3}},
    {"laguna", {"[^\\n]+|[\\n]+", LLAMA("\\p{N}")}},
    {"exaone-moe",
     {SHORT "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| "
            "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {"jais-2",
     {SHORT
      "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!"
      "\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{"
      "4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"}},
    {"chameleon",
     {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
      "[\\p{P}!-/:-@\\[-`{-~]", GPT2}},
    {"gemma4", {"[^\\n]+|[\\n]+"}},
    {"sarvam-moe", {"[^\\n]+|[\\n]+"}},
    {"whitespace", {"\\S+"}},
};

/* The letters that DeepSeek lists one by one. */
/* The formatter counts bytes, not characters. */
/* clang-format off */
#define DEEPSEEK_LETTERS \
    "\\s?[A-Za-z" \
    "µÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-" \
    "ὅὈ-" \
    "Ὅὐ-" \
    "ὗὙ" \
    "ὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉ" \
    "ⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-" \
    "𐲲𐳀-" \
    "𐳲𑢠-" \
    "𑣟𞤀-𞥃" \
    "]+"
/* clang-format on */

/* ---- Unicode, twice ---- */

static char (*category)[2];
static bool *han, *agreed;
static uint32_t *by_category[30]; /* the agreed code points of each category */
static size_t n_by_category[30];
static const char names[30][3] = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                  "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                  "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};

static void read_unicode(void) {
    char path[600], line[100];
    snprintf(path, sizeof path, "%s/tests/data/unicode.txt", TERN_SOURCE_DIR);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    category = tn_xcalloc(POINTS, sizeof *category);
    han = tn_xcalloc(POINTS, 1);
    agreed = tn_xcalloc(POINTS, 1);
    while (fgets(line, sizeof line, f)) {
        uint32_t from, to;
        char what[3], script = 0;
        if (sscanf(line, "%x %x %2s %c", &from, &to, what, &script) < 3) continue;
        for (uint32_t c = from; c <= to; c++) {
            memcpy(category[c], what, 2);
            han[c] = script == 'h';
        }
    }
    fclose(f);
}

static size_t put_point(char *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    out[0] = (char)((more == 1 ? 0xc0u : more == 2 ? 0xe0u : 0xf0u) | c >> 6 * more);
    for (int i = 1; i <= more; i++) out[i] = (char)(0x80u | (c >> 6 * (more - i) & 0x3f));
    return (size_t)more + 1;
}

static pcre2_code *compile(const char *text) {
    int code;
    PCRE2_SIZE at;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    assert_non_null(re);
    return re;
}

/* Where PCRE2 and the file call a code point the same, and agree on Han. */
static void compare_unicode(void) {
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    pcre2_code *same = NULL, *is_han = compile("\\p{sc:Han}");
    size_t n_differ = 0, n_listed = 0;
    for (size_t k = 0; k < 30; k++) {
        char property[100];
        snprintf(property, sizeof property, "\\p{%s}", names[k]);
        same = compile(property);
        for (uint32_t c = 0; c < POINTS; c++) {
            char text[4];
            if ((c >= 0xd800 && c < 0xe000) || memcmp(category[c], names[k], 2) != 0) continue;
            size_t n = put_point(text, c);
            bool a = pcre2_match(same, (PCRE2_SPTR)text, n, 0, 0, match, NULL) > 0;
            bool h = pcre2_match(is_han, (PCRE2_SPTR)text, n, 0, 0, match, NULL) > 0;
            agreed[c] = a && h == han[c];
            n_differ += !agreed[c];
            if (!agreed[c] && n_listed++ < 20)
                print_message("U+%04X: %s%s here, another for PCRE2\n", c, names[k], han[c] ? ", Han" : "");
            if (agreed[c]) n_by_category[k]++;
        }
        pcre2_code_free(same);
        by_category[k] = tn_xcalloc(n_by_category[k] + 1, sizeof(uint32_t));
        size_t n = 0;
        for (uint32_t c = 0; c < POINTS; c++)
            if (agreed[c] && memcmp(category[c], names[k], 2) == 0) by_category[k][n++] = c;
    }
    print_message("%zu code points are left out: the tables of Unicode differ there\n", n_differ);
    pcre2_code_free(is_han);
    pcre2_match_data_free(match);
}

/* ---- Strings ---- */

typedef struct String {
    uint32_t points[LONGEST];
    char bytes[4 * LONGEST];
    size_t n, at[LONGEST + 1]; /* at[i]: bytes before point i */
} String;

static void add_point(String *s, uint32_t c) {
    if (s->n == LONGEST || !agreed[c]) return;
    s->points[s->n++] = c;
}

static void make_string(String *s, uint64_t *seed) {
    static const char *const bits[] = {
        "'s",     "'T",  "'re",  "'VE",  "'ll",     "'d",     "'\u017f", " ",         "  ",
        "   ",    "\n",  "\r\n", "\n\n", "\t",      "12",     "123",     "1234567",   "a",
        "Bc",     "DEF", "ghI",  "/",    "//",      "!?",     " (",      "IMGIMGABZ", "<sentinel:12>",
        "中文",   "の",  "한국", "ก็",    "e\u0301", "\u0301", "_",       "\u3000",    "\u00a0",
        "\u2028", "½",   "Ⅷ",    "٣",    "٣٤٥",     "〇",     "々",      "⺀",        "｡",
        "।",      "…",   "ʰ",    "ǅ"};
    s->n = 0;
    for (uint32_t n = 1 + test_random(seed) % 10; n > 0; n--) {
        uint32_t kind = test_random(seed) % 8;
        if (kind < 2) {
            add_point(s, test_random(seed) % 128);
        } else if (kind < 6) {
            const uint8_t *p = (const uint8_t *)bits[test_random(seed) % TN_COUNT(bits)];
            while (*p) {
                uint32_t c = *p++;
                int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
                if (more) c &= 0x3fu >> more;
                while (more-- > 0) c = c << 6 | (*p++ & 0x3f);
                add_point(s, c);
            }
        } else {
            size_t k = test_random(seed) % 30;
            if (n_by_category[k]) add_point(s, by_category[k][test_random(seed) % n_by_category[k]]);
        }
    }
    s->at[0] = 0;
    for (size_t i = 0; i < s->n; i++) s->at[i + 1] = s->at[i] + put_point(s->bytes + s->at[i], s->points[i]);
}

/* ---- Words, twice ---- */

typedef struct Cuts {
    size_t n, at[LONGEST + 1]; /* ends of words in bytes */
    const char *start;
} Cuts;

static void split_level(VmRegex *const *regexes, size_t n_regexes, const String *s, size_t from, size_t to,
                        Cuts *out) {
    if (from == to) return;
    if (n_regexes == 0) {
        out->at[out->n++] = s->at[to];
        return;
    }
    size_t done = from, search = from, start, end;
    while (search <= to && vm_find(regexes[0], s->points + from, to - from, search - from, &start, &end)) {
        start += from, end += from;
        split_level(regexes + 1, n_regexes - 1, s, done, start, out);
        split_level(regexes + 1, n_regexes - 1, s, start, end, out);
        done = end;
        search = end > start ? end : end + 1;
    }
    split_level(regexes + 1, n_regexes - 1, s, done, to, out);
}

static TernStatus note_end(void *user, const char *text, size_t size, TernError *err) {
    (void)err;
    Cuts *c = user;
    c->at[c->n++] = (size_t)(text - c->start) + size;
    return TERN_OK;
}

static void show(const char *who, const String *s, const Cuts *c) {
    print_message("  %s:", who);
    for (size_t i = 0, at = 0; i < c->n; at = c->at[i++])
        print_message(" [%.*s]", (int)(c->at[i] - at), s->bytes + at);
    print_message("\n");
}

static size_t check_author(const struct Author *a, size_t rounds) {
    VmUnicode unicode = {(const char(*)[2])category, han};
    VmRegex *regexes[6];
    size_t n = 0, bad = 0;
    for (; n < 6 && (a->regexes[n] || (n == 1 && a->regexes[2])); n++)
        regexes[n] = vm_compile(a->regexes[n] ? a->regexes[n] : DEEPSEEK_LETTERS, &unicode);
    TnPretok *pretok;
    TernError err;
    uint32_t row = tn_pre_find((TernText){a->name, strlen(a->name)});
    assert_int_not_equal(row, TN_PRE_NONE);
    if (tn_pretok_create(row, &pretok, &err) != TERN_OK) fail_msg("%s", err.text);
    TnSplit *split = tn_split_begin(pretok, 4 * LONGEST);
    uint64_t seed = row;
    for (size_t round = 0; round < rounds; round++) {
        String s;
        make_string(&s, &seed);
        Cuts mine = {.start = s.bytes}, theirs = {0};
        if (tn_split_words(split, s.bytes, s.at[s.n], note_end, &mine, &err) != TERN_OK)
            fail_msg("%s", err.text);
        split_level(regexes, n, &s, 0, s.n, &theirs);
        if (mine.n == theirs.n && memcmp(mine.at, theirs.at, mine.n * sizeof *mine.at) == 0) continue;
        if (bad++ < 3) {
            print_message("%s splits otherwise:\n", a->name);
            show("the product", &s, &mine);
            show("the authors", &s, &theirs);
        }
    }
    tn_split_end(split);
    tn_pretok_destroy(pretok);
    while (n) vm_free(regexes[--n]);
    return bad;
}

static void as_their_authors_wrote_them(void **state) {
    (void)state;
    const char *given = getenv("TERN_ROUNDS");
    size_t rounds = given ? strtoul(given, NULL, 10) : 10000, bad = 0;
    read_unicode();
    compare_unicode();
    for (size_t i = 0; i < TN_COUNT(authors); i++) {
        size_t n = check_author(&authors[i], rounds);
        if (n) print_message("%s: %zu of %zu strings differ\n", authors[i].name, n, rounds);
        bad += n;
    }
    print_message("%zu strings for each of %zu pre-tokenizers\n", rounds, TN_COUNT(authors));
    assert_int_equal(bad, 0);
    assert_int_equal(TN_COUNT(authors), tn_pre_count()); /* none is left out */
    for (size_t k = 0; k < 30; k++) free(by_category[k]);
    free(category);
    free(han);
    free(agreed);
}

static TernStatus count_word(void *user, const char *text, size_t size, TernError *err) {
    (void)text;
    (void)err;
    *(size_t *)user += size;
    return TERN_OK;
}

/* Long runs, at the end of a text and before something else: minutes if any of them were looked over again and again. The
 * time is not checked, the limit of the test is. */
static void long_runs(void **state) {
    (void)state;
    static const char *const runs[] = {" ", "a",      "7",  "A",    "\n", "\t",
                                       "'", "\u0301", "中", "\r\n", " a", "!"};
    static const char *const ends[] = {"", "x", "中", "7", "\n", "!"};
    enum { BYTES = 1 << 16 };
    char *text = malloc(BYTES + 8);
    for (uint32_t row = 0; row < tn_pre_count(); row++) {
        TnPretok *pretok;
        TernError err;
        if (tn_pretok_create(row, &pretok, &err) != TERN_OK) fail_msg("%s", err.text);
        for (size_t k = 0; k < TN_COUNT(runs) * TN_COUNT(ends); k++) {
            const char *run = runs[k / TN_COUNT(ends)], *end = ends[k % TN_COUNT(ends)];
            size_t n = strlen(run), size = 0, sum = 0;
            for (; size + n <= BYTES; size += n) memcpy(text + size, run, n);
            memcpy(text + size, end, strlen(end));
            size += strlen(end);
            TnSplit *split = tn_split_begin(pretok, size);
            if (tn_split_words(split, text, size, count_word, &sum, &err) != TERN_OK)
                fail_msg("%s", err.text);
            assert_int_equal(sum, size);
            tn_split_end(split);
        }
        tn_pretok_destroy(pretok);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_their_authors_wrote_them),
                                       cmocka_unit_test(long_runs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
