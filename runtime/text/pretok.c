/* Pre-tokenizers: the regular expressions that split text into words before BPE.
 *
 * A pre-tokenizer is a list of expressions. Each is applied to every piece that the one before left; what it
 * matches and what lies between matches are both pieces. The expressions are those of the models' authors,
 * with \s and \S written out: PCRE2 counts U+180E as white space, Unicode and the authors' engines do not.
 *
 * PCRE2's own JIT stays off: it keeps pages that are writable and executable at once, which nothing of Tern
 * does, for a gain (5 to 10 MB of text a second) that no model can eat. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include "runtime/text/vocab.h"

#define SPACE "\\p{Z}\\t-\\r\\x{85}"
#define GPT2                                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|[" SPACE "]+(?![^" SPACE "])"
#define LLAMA                                                                                                \
    "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"       \
    " ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n]*|[" SPACE "]*[\\r\\n]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"

const char *const tn_pre_names[TN_PRE_COUNT] = {"llama-bpe", "gpt-2", "default"};

static const char *const regexes[TN_PRE_COUNT][TN_MAX_REGEXES] = {
    [TN_PRE_LLAMA_BPE] = {LLAMA},
    [TN_PRE_GPT2] = {GPT2},
    [TN_PRE_DEFAULT] = {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"},
};

struct TnPretok {
    pcre2_match_data *match;
    pcre2_match_context *limits;
};

TernStatus tn_pretok_compile(TernVocab *v, TernError *err) {
    for (int i = 0; i < TN_MAX_REGEXES && regexes[v->head.pre][i]; i++) {
        int code;
        PCRE2_SIZE at;
        pcre2_code *re = pcre2_compile((PCRE2_SPTR)regexes[v->head.pre][i], PCRE2_ZERO_TERMINATED,
                                       PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
        if (!re) {
            PCRE2_UCHAR why[120] = "";
            pcre2_get_error_message(code, why, sizeof why);
            return tn_fail(err, TERN_ERR_ENV,
                           "PCRE2 does not take the expression of pre-tokenizer %s: %s (at %zu)",
                           tn_pre_names[v->head.pre], (const char *)why, (size_t)at);
        }
        v->regexes[v->n_regexes++] = re;
    }
    return TERN_OK;
}

void tn_pretok_free(TernVocab *v) {
    for (uint32_t i = 0; i < v->n_regexes; i++) pcre2_code_free(v->regexes[i]);
    v->n_regexes = 0;
}

TnPretok *tn_pretok_begin(size_t size) {
    TnPretok *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->match = pcre2_match_data_create(1, NULL);
    p->limits = pcre2_match_context_create(NULL);
    if (!p->match || !p->limits) {
        tn_pretok_end(p);
        return NULL;
    }
    /* A run of white space backs up once a byte; ten steps a byte are never needed. */
    size_t steps = 100000 + size * 10;
    pcre2_set_match_limit(p->limits, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    return p;
}

void tn_pretok_end(TnPretok *p) {
    if (!p) return;
    pcre2_match_data_free(p->match);
    pcre2_match_context_free(p->limits);
    free(p);
}

static TernStatus split(const TernVocab *v, TnPretok *p, uint32_t level, const char *text, size_t size,
                        TnWordFn *word, void *user, TernError *err) {
    if (size == 0) return TERN_OK;
    if (level == v->n_regexes) return word(user, text, size, err);
    size_t done = 0;
    while (done < size) {
        int rc = pcre2_match(v->regexes[level], (PCRE2_SPTR)text, size, done, PCRE2_NO_UTF_CHECK, p->match,
                             p->limits);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc == PCRE2_ERROR_NOMEMORY)
            return tn_fail(err, TERN_ERR_MEMORY, "no memory to split a piece of %zu bytes of text into words",
                           size);
        if (rc < 0)
            return tn_fail(err, TERN_ERR_INPUT,
                           "pre-tokenizer %s gives up on a piece of %zu bytes of text (PCRE2 error %d)",
                           tn_pre_names[v->head.pre], size, rc);
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(p->match);
        size_t from = span[0], to = span[1];
        if (to <= from) break; /* none of the expressions matches nothing */
        TN_TRY(split(v, p, level + 1, text + done, from - done, word, user, err));
        TN_TRY(split(v, p, level + 1, text + from, to - from, word, user, err));
        done = to;
    }
    return split(v, p, level + 1, text + done, size - done, word, user, err);
}

TernStatus tn_pretok_split(const TernVocab *v, TnPretok *p, const char *text, size_t size, TnWordFn *word,
                           void *user, TernError *err) {
    return split(v, p, 0, text, size, word, user, err);
}
