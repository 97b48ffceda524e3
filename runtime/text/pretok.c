/* The table of pre-tokenizers, and splitting by one.
 *
 * A pre-tokenizer is a list of expressions. Each is applied to every piece that the one before left; what it
 * matches and what lies between matches are both pieces. The expressions are those of the models' authors,
 * with \s and \S written out: PCRE2 counts U+180E as white space, Unicode and the authors' engines do not.
 *
 * PCRE2's own JIT stays off: it keeps pages that are writable and executable at once, which nothing of Tern
 * does, for a gain (5 to 10 MB of text a second) that no model can eat. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include "runtime/text/pretok.h"
#include "runtime/text/vocab.h"

/* ---- The table ---- */

#define SPACE "\\p{Z}\\t-\\r\\x{85}"
#define GPT2                                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|[" SPACE "]+(?![^" SPACE "])"
#define LLAMA                                                                                                \
    "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"       \
    " ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n]*|[" SPACE "]*[\\r\\n]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"

typedef struct Pre {
    const char *name;
    const char *also; /* other names for it in model files, between blanks */
    uint16_t flags;
    const char *regexes[TN_PRE_REGEXES];
} Pre;

/* Images hold a row's number: a new row goes to the end. */
static const Pre table[] = {
    {"llama-bpe", "llama3 llama-v3", TN_VOCAB_ADD_BOS | TN_VOCAB_IGNORE_MERGES, {LLAMA}},
    {"gpt-2", "", 0, {GPT2}},
    {"default", "", 0, {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
};

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
uint16_t tn_pre_flags(uint32_t pre) {
    return table[pre].flags;
}

typedef struct List {
    TnBuf *out;
    size_t n, at; /* names in all, unless 0; and those listed */
} List;

static bool list_one(void *user, uint32_t row, TernText name) {
    List *l = user;
    (void)row;
    if (l->n)
        tn_buf_printf(l->out, "%s%.*s",
                      l->at == 0          ? ""
                      : l->at + 1 == l->n ? " or "
                                          : ", ",
                      (int)name.size, name.data);
    l->at++;
    return true;
}

void tn_pre_list(TnBuf *out) {
    List count = {.out = out};
    each_name(list_one, &count);
    List list = {.out = out, .n = count.at};
    each_name(list_one, &list);
}

/* ---- Splitting ---- */

struct TnPretok {
    uint32_t pre, n;
    pcre2_code *regexes[TN_PRE_REGEXES];
};
struct TnSplit {
    const TnPretok *pretok;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    TnWordFn *word;
    void *user;
};

static TernStatus compile(TnPretok *p, TernError *err) {
    const Pre *row = &table[p->pre];
    for (; p->n < TN_PRE_REGEXES && row->regexes[p->n]; p->n++) {
        int code;
        PCRE2_SIZE at;
        pcre2_code *re = pcre2_compile((PCRE2_SPTR)row->regexes[p->n], PCRE2_ZERO_TERMINATED,
                                       PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
        if (!re) {
            PCRE2_UCHAR why[120] = "";
            if (pcre2_get_error_message(code, why, sizeof why) < 0 && !*why)
                snprintf((char *)why, sizeof why, "error %d", code);
            return tn_fail(err, code == PCRE2_ERROR_HEAP_FAILED ? TERN_ERR_MEMORY : TERN_ERR_ENV,
                           "PCRE2 does not take the expression of pre-tokenizer %s: %s (at %zu)", row->name,
                           (const char *)why, (size_t)at);
        }
        p->regexes[p->n] = re;
    }
    return TERN_OK;
}

TernStatus tn_pretok_create(uint32_t pre, TnPretok **out, TernError *err) {
    TnPretok *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a pre-tokenizer (%zu bytes)", sizeof *p);
    p->pre = pre;
    TernStatus st = compile(p, err);
    if (st != TERN_OK)
        tn_pretok_destroy(p);
    else
        *out = p;
    return st;
}

void tn_pretok_destroy(TnPretok *p) {
    if (!p) return;
    for (uint32_t i = 0; i < p->n; i++) pcre2_code_free(p->regexes[i]);
    free(p);
}

TnSplit *tn_split_begin(const TnPretok *p, size_t size) {
    TnSplit *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->pretok = p;
    s->match = pcre2_match_data_create(1, NULL);
    s->limits = pcre2_match_context_create(NULL);
    if (!s->match || !s->limits) {
        tn_split_end(s);
        return NULL;
    }
    /* A run of white space backs up once a byte; ten steps a byte are never needed. */
    size_t steps = 100000 + size * 10;
    pcre2_set_match_limit(s->limits, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    return s;
}

void tn_split_end(TnSplit *s) {
    if (!s) return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    free(s);
}

static TernStatus split(TnSplit *s, uint32_t level, const char *text, size_t size, TernError *err) {
    const TnPretok *p = s->pretok;
    if (size == 0) return TERN_OK;
    if (level == p->n) return s->word(s->user, text, size, err);
    size_t done = 0;
    while (done < size) {
        int rc = pcre2_match(p->regexes[level], (PCRE2_SPTR)text, size, done, PCRE2_NO_UTF_CHECK, s->match,
                             s->limits);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc == PCRE2_ERROR_NOMEMORY)
            return tn_fail(err, TERN_ERR_MEMORY, "no memory to split a piece of %zu bytes of text into words",
                           size);
        if (rc < 0)
            return tn_fail(err, TERN_ERR_INPUT,
                           "pre-tokenizer %s gives up on a piece of %zu bytes of text (PCRE2 error %d)",
                           table[p->pre].name, size, rc);
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(s->match);
        size_t from = span[0], to = span[1];
        if (to <= from) break; /* none of the expressions matches nothing */
        TN_TRY(split(s, level + 1, text + done, from - done, err));
        TN_TRY(split(s, level + 1, text + from, to - from, err));
        done = to;
    }
    return split(s, level + 1, text + done, size - done, err);
}

TernStatus tn_split_words(TnSplit *s, const char *text, size_t size, TnWordFn *word, void *user,
                          TernError *err) {
    s->word = word;
    s->user = user;
    return split(s, 0, text, size, err);
}
