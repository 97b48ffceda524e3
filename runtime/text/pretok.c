/* The table of pre-tokenizers.
 *
 * A pre-tokenizer is a list of expressions. Each is applied to every piece that the expression before it left. Its matches
 * are pieces, and so are the texts between them. Two first characters have a meaning of their own:
 *     #    the match is cut into groups of three characters, counted from its end
 *     %    the same, but the match does not end a piece, and begins one only if its length is a multiple of three
 * The expressions are those of the models' authors if they are known, otherwise llama.cpp's. llama.cpp's differ from the
 * authors' where its own engine lacks something: classes such as \p{Lu}, (?i:), \p{Han}. Here they are written so that
 * PCRE2 gives the same matches in time linear in the text:
 * - \s and \S are written out, because PCRE2 counts U+180E as white space, and Unicode and the authors' engines do not.
 *   \d is \p{Nd}.
 * - A script means Script, not Script_Extensions: \p{sc:Han}.
 * - A lookbehind prevents a run from being scanned again (jais-2, deepseek-llm, tiny_aya). */
#include "runtime/text/pretok.h"
#include "runtime/text/vocab.h"

#define SPACE       "\\p{Z}\\t-\\r\\x{85}"
#define LAST        "[" SPACE "]+(?![^" SPACE "])" /* white space, without the last one before something else */
#define GPT2        "'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|" LAST
#define SHORT       "'(?i:[stmd]|re|ve|ll)"
#define MAYBE_SHORT "(?:" SHORT ")?"
#define LINES       "[" SPACE "]*[\\r\\n]+"
#define SIGNS       " ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n]*"
#define BEGIN       "[^\\r\\n\\p{L}\\p{N}]?"
#define REST        LINES "|" LAST "|[" SPACE "]+"
/* Llama 3 and its relatives, which differ in how many digits they take. */
#define LLAMA(numbers) SHORT "|" BEGIN "\\p{L}+|" numbers "|" SIGNS "|" REST
#define QWEN35         SHORT "|" BEGIN "[\\p{L}\\p{M}]+|\\p{N}| ?[^" SPACE "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" REST
#define SEED           SHORT "|" BEGIN "\\p{L}+|\\p{N}| ?[^" SPACE "\\p{L}\\p{N}]+|" REST
#define ONE_LINE       "[" SPACE "]*[\\r\\n]|" LAST "|[" SPACE "]+"
#define BAILING        SHORT "|" BEGIN "\\p{L}+|\\p{N}|" SIGNS "|" ONE_LINE
/* words with single spaces between them are one word */
#define EXAONE                                                                                               \
    SHORT "|" BEGIN "\\p{L}(?:[\\p{L}\\p{M}]++| \\p{L})*+|\\p{N}| ?[^" SPACE                                 \
          "\\p{L}\\p{N}]+[\\r\\n/]?|" ONE_LINE
/* GPT-4o and its relatives: a word begins with capitals, goes on with small letters, and may end in a short form. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(numbers, end)                                                                                  \
    BEGIN UPPER "*" LOWER "+" end "|" BEGIN UPPER "+" LOWER "*" end "|" numbers "| ?[^" SPACE                \
                "\\p{L}\\p{N}]+[\\r\\n/]*|" REST
#define GPT4O CASED("\\p{N}{1,3}", MAYBE_SHORT)
/* Kimi: the same without Han, which has an alternative of its own, and without / after signs. */
#define NO_HAN_UPPER "(?:(?!\\p{sc:Han})" UPPER ")"
#define NO_HAN_LOWER "(?:(?!\\p{sc:Han})" LOWER ")"
#define KIMI                                                                                                 \
    "\\p{sc:Han}+|" BEGIN NO_HAN_UPPER "*" NO_HAN_LOWER "+" MAYBE_SHORT "|" BEGIN NO_HAN_UPPER               \
    "+" NO_HAN_LOWER "*" MAYBE_SHORT "|\\p{N}{1,3}|" SIGNS "|" REST
#define FALCON "[\\p{P}\\$\\+<=>\\^~\\|`]+"
/* DeepSeek, by characters */
#define CJK  "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define KANA "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{30ff}]+"
#define DEEPSEEK3                                                                                            \
    "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "                                \
    "?[\\p{P}\\p{S}]+[\\r\\n]*|" REST
#define CASED_LETTERS                                                                                        \
    "A-Za-z"                                                                                                 \
    "\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"                \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}"                    \
    "\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}"          \
    "\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}"          \
    "\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"        \
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}"         \
    "\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"         \
    "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}"        \
    "\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}"          \
    "\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}"                   \
    "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"                   \
    "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"         \
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"        \
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"                       \
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"                   \
    "\\x{1e900}-\\x{1e943}"
#define DEEPSEEK_WORDS "[" SPACE "]?[" CASED_LETTERS "]+"
#define DEEPSEEK_SIGNS                                                                                       \
    "[" SPACE "]?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+"
#define DEEPSEEK_END "(?<![" SPACE "])[" SPACE "]++\\z"
#define CODER_WORDS  "[" SPACE "]?\\p{L}+"
#define CODER_SIGNS  "[" SPACE "]?\\p{P}+"
/* Hangul, full signs, Bopomofo, ideographs and kana */
#define YOUTU                                                                                                \
    "[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}"      \
    "\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|[\\x{3105}-\\x{312f}]+"    \
    "|" KANA
/* LINES, but not after white space that does not end a line: that run has been scanned already and has no line end */
#define JAIS(n) "[" SPACE "]{" n "}(?![^" SPACE "])|"
#define JAIS2                                                                                                \
    SHORT "|" BEGIN "\\p{L}+|\\p{N}{1,3}|" SIGNS "|(?<![\\p{Z}\\t\\x0b\\x0c\\x{85}])" LINES "|" JAIS("512")  \
        JAIS("256") JAIS("128") JAIS("64") JAIS("32") JAIS("16") JAIS("8") JAIS("4") JAIS("1,2") "[" SPACE   \
                                                                                                 "]"
#define AYA_DIGITS  "#(?<!\\p{Nd})\\p{Nd}++(?![\\p{L}\\p{M}\\p{Nl}\\p{Pc}])"
#define PUNCTUATION "[\\p{P}\\$\\+<=>\\^~\\|]+"
#define CHAMELEON                                                                                            \
    "<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", "[\\t\\n]|    |  ", "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", GPT2
#define BLOOM " ?[^(" SPACE "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
/* ideographs, kana, Thai, Lao, Khmer, Burmese, Hangul */
#define AFMOE                                                                                                \
    "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{30ff}\\x{ff65}-\\x{ff9f}"       \
    "\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}"          \
    "\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+"

#define LINE_RUNS "[^\\n]+|\\n+"

typedef struct Pre {
    const char *name;
    const char *also; /* other names for it in model files, between blanks */
    uint16_t flags;
    const char *regexes[TN_PRE_REGEXES];
} Pre;

#define BOS   TN_VOCAB_ADD_BOS
#define WHOLE TN_VOCAB_IGNORE_MERGES
#define CHARS TN_VOCAB_CHARACTERS
/* Images hold a row's number: a new row goes to the end. */
static const Pre table[] = {
    {"llama-bpe",
     "llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     BOS | WHOLE,
     {LLAMA("\\p{N}{1,3}")}},
    {"gpt-2",
     "phi-2 jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe gigachat a.x-4.0 "
     "mellum modern-bert mpt olmo jais trillion granite-docling exaone4",
     0,
     {GPT2}},
    {"default", "", 0, {PUNCTUATION, GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"qwen2",
     "deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
     0,
     {LLAMA("\\p{N}")}},
    {"qwen35", "", 0, {QWEN35}},
    {"dbrx", "smaug-bpe chatglm-bpe glm4", 0, {LLAMA("\\p{N}{1,3}")}},
    {"minicpm5", "", WHOLE, {"\\p{N}{1,3}", LLAMA("\\p{N}+")}},
    {"falcon", "", 0, {FALCON, GPT2, "[0-9][0-9][0-9]"}},
    {"falcon_e", "falcon-e", 0, {FALCON, GPT2, "[0-9]"}},
    {"starcoder", "refact command-r smollm codeshell exaone minerva-7b mellum2", 0, {"\\p{N}", GPT2}},
    {"deepseek-llm", "", 0, {"[\\r\\n]", DEEPSEEK_WORDS, DEEPSEEK_SIGNS, DEEPSEEK_END, CJK, "\\p{N}+"}},
    {"deepseek-coder", "", 0, {"[\\r\\n]", CODER_WORDS, CODER_SIGNS, CJK, "\\p{N}"}},
    {"deepseek-v3", "hunyuan-dense joyai-llm", 0, {"\\p{N}{1,3}", KANA, DEEPSEEK3}},
    {"youtu", "", WHOLE, {YOUTU, CASED("\\p{N}", MAYBE_SHORT)}},
    {"bloom", "poro-chat gpt3-finnish", 0, {BLOOM}},
    {"viking", "", 0, {BLOOM, "\\p{N}"}},
    {"tekken", "", BOS | WHOLE, {CASED("\\p{N}", "")}},
    {"gpt-4o", "llama4 kanana2 talkie minimax-m2", 0, {GPT4O}},
    {"granite-embed-multi-97m", "", WHOLE, {GPT4O}},
    {"tiny_aya", "cohere2moe", 0, {AYA_DIGITS, GPT4O}},
    {"kimi-k2", "", 0, {KIMI}},
    {"superbpe", "", 0, {"\\p{N}+", "%\\p{Nd}+"}},
    {"bailingmoe", "bailingmoe2 llada-moe", 0, {BAILING}},
    {"seed-coder", "", 0, {SEED}},
    {"afmoe", "", 0, {"#\\p{N}+", AFMOE, DEEPSEEK3}},
    {"laguna", "", 0, {LINE_RUNS, LLAMA("\\p{N}")}},
    {"exaone-moe", "", 0, {EXAONE}},
    {"jais-2", "", 0, {JAIS2}},
    {"chameleon", "", BOS, {CHAMELEON}},
    {"gemma4", "granite-embed-multi-311m", BOS | CHARS | TN_VOCAB_WHOLE_LINES, {LINE_RUNS}},
    {"sarvam-moe", "", CHARS, {LINE_RUNS}},
    {"whitespace", "", CHARS | TN_VOCAB_DROP_SPACE, {"[^" SPACE "]+"}},
};
#undef BOS
#undef WHOLE
#undef CHARS

/* Calls each() on every name, with its row, until it returns false. */
typedef bool NameFn(void *user, uint32_t row, TernText name);
static void each_name(NameFn *each, void *user) {
    for (uint32_t i = 0; i < TN_COUNT(table); i++) {
        bool more = each(user, i, (TernText){table[i].name, strlen(table[i].name)});
        for (const char *p = table[i].also; more && *p;) {
            size_t n = strcspn(p, " ");
            more = each(user, i, (TernText){p, n});
            p += n + strspn(p + n, " ");
        }
        if (!more) return;
    }
}

typedef struct Search {
    TernText name;
    uint32_t found;
} Search;

static bool compare(void *user, uint32_t row, TernText name) {
    Search *s = user;
    if (name.size == s->name.size && memcmp(name.data, s->name.data, name.size) == 0) s->found = row;
    return s->found == TN_PRE_NONE;
}

uint32_t tn_pre_find(TernText name) {
    Search s = {name, TN_PRE_NONE};
    each_name(compare, &s);
    return s.found;
}

uint32_t tn_pre_default(size_t n_tokens) {
    /* Converters of BitNet 2B-4T leave the key out; its vocabulary is Llama 3's, known by its size. */
    const char *name = n_tokens == 128256 ? "llama-bpe" : "default";
    return tn_pre_find((TernText){name, strlen(name)});
}

uint32_t tn_pre_count(void) {
    return TN_COUNT(table);
}
const char *tn_pre_name(uint32_t pre) {
    return table[pre].name;
}
const char *tn_pre_regex(uint32_t pre, uint32_t level) {
    return level < TN_PRE_REGEXES ? table[pre].regexes[level] : NULL;
}
uint16_t tn_pre_flags(uint32_t pre) {
    return table[pre].flags;
}

const char *tn_pre_of_characters(void) {
    for (uint32_t i = 0; i < TN_COUNT(table); i++)
        if (table[i].flags == TN_VOCAB_CHARACTERS) return table[i].name;
    return NULL;
}

void tn_pre_list(TnBuf *out) {
    for (size_t i = 0; i < TN_COUNT(table); i++)
        tn_buf_printf(out, "%s%s", i == 0 ? "" : i + 1 == TN_COUNT(table) ? " or " : ", ", table[i].name);
}
