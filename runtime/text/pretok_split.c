/* Splits a text by the expressions of a pre-tokenizer.
 *
 * An expression is a list of alternatives, and most of them cannot begin with most characters. So each alternative is
 * compiled by itself, anchored. When a split meets a character for the first time, it asks PCRE2 which alternatives could
 * match a text that begins with it: those for which the character alone is a match or the beginning of one. It then walks
 * through the text character by character and tries only those. The result is that of the whole expression: the first
 * alternative that matches, at the first place where one does.
 *
 * Most alternatives are a few classes of characters with counts, such as " ?\p{L}+". These are matched here; PCRE2 is asked
 * only once for each character to which classes it belongs. PCRE2 matches all other alternatives: those with case
 * folding, lookahead or groups.
 *
 * PCRE2's own JIT stays off. It keeps pages that are writable and executable at once, which Tern never does, and no model
 * is fast enough to use the speed. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include "runtime/text/pretok.h"
#include "runtime/text/utf8.h"
#include "runtime/text/vocab.h"

enum { ALTERNATIVES = 16, KNOWN = 1 << ALTERNATIVES, CLASSES = 16, ITEMS = 4 };
#define NOWHERE SIZE_MAX

/* A class with a count, greedy. */
typedef struct Item {
    uint32_t class, least, most;
} Item;
typedef struct Alternative {
    pcre2_code *regex;
    uint32_t n_items; /* 0: the alternative is not a list of classes with counts */
    Item items[ITEMS];
} Alternative;

typedef struct Level {
    char cut; /* '#', '%' or 0: pretok.c */
    uint32_t n, n_classes;
    Alternative alternatives[ALTERNATIVES];
    pcre2_code *classes[CLASSES];
    TernText class_texts[CLASSES];
} Level;

struct TnPretok {
    uint32_t pre, n;
    Level levels[TN_PRE_REGEXES];
};

/* What is known of a character. */
typedef struct Known {
    uint32_t starts;  /* KNOWN, and bit k: alternative k can begin with it */
    uint32_t classes; /* bit k: it is of class k */
} Known;
typedef struct Plane {
    Known *pages[256]; /* of 256 characters each, made when needed */
} Plane;

struct TnSplit {
    const TnPretok *pretok;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    TnWordFn *word;
    void *user;
    Plane *planes[TN_PRE_REGEXES][17];
    const Known *latin[TN_PRE_REGEXES]; /* the first page, or NULL until it is made */
};

/* ---- Compiling ---- */

/* The number of bytes before the next | outside groups and classes, or before the end. */
static size_t alternative_size(const char *text) {
    int depth = 0;
    bool class = false;
    size_t n = 0;
    for (; text[n] && (text[n] != '|' || depth || class); n++) {
        if (text[n] == '\\') {
            n++;
        } else if (class) {
            class = text[n] != ']';
        } else {
            class = text[n] == '[';
            depth += (text[n] == '(') - (text[n] == ')');
        }
    }
    return n;
}

static TernStatus compile(const TnPretok *p, TernText text, pcre2_code **out, TernError *err) {
    int code;
    PCRE2_SIZE at;
    *out = pcre2_compile((PCRE2_SPTR)text.data, text.size, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &code, &at,
                         NULL);
    if (*out) return TERN_OK;
    PCRE2_UCHAR why[120] = "";
    if (pcre2_get_error_message(code, why, sizeof why) < 0 && !*why)
        snprintf((char *)why, sizeof why, "error %d", code);
    return tn_fail(err, code == PCRE2_ERROR_HEAP_FAILED ? TERN_ERR_MEMORY : TERN_ERR_ENV,
                   "PCRE2 does not take the expression of pre-tokenizer %s: %s (at %zu of %.*s)",
                   tn_pre_name(p->pre), (const char *)why, (size_t)at, (int)text.size, text.data);
}

/* The number of bytes of the class at the start of the text: [..], \p{..}, or one character; 0 if there is none. */
static size_t class_size(TernText t) {
    size_t n = 1;
    if (t.data[0] == '[') {
        while (n < t.size && t.data[n] != ']') n += t.data[n] == '\\' ? 2 : 1;
        return n + 1;
    }
    if (t.data[0] != '\\') return strchr("(){}|?*+^$.", t.data[0]) ? 0 : 1;
    if (t.size < 2) return 0;
    if (t.data[1] != 'p') return strchr("rnt", t.data[1]) ? 2 : 0;
    while (n < t.size && t.data[n] != '}') n++;
    return n + 1;
}

/* Reads a count, if there is one: ? * + {n} {n,m}. Returns the number of its bytes. */
static size_t read_count(TernText t, Item *item) {
    *item = (Item){item->class, 1, 1};
    if (t.size == 0 || !strchr("?*+{", t.data[0])) return 0;
    if (t.data[0] != '{') {
        if (t.data[0] != '+') item->least = 0;
        if (t.data[0] != '?') item->most = UINT32_MAX;
        return 1;
    }
    char *end;
    item->least = item->most = (uint32_t)strtoul(t.data + 1, &end, 10);
    if (*end == ',') item->most = (uint32_t)strtoul(end + 1, &end, 10);
    return (size_t)(end + 1 - t.data);
}

static TernStatus find_class(const TnPretok *p, Level *l, TernText text, uint32_t *out, TernError *err) {
    for (*out = 0; *out < l->n_classes; ++*out)
        if (l->class_texts[*out].size == text.size &&
            memcmp(l->class_texts[*out].data, text.data, text.size) == 0)
            return TERN_OK;
    TN_CHECK(l->n_classes < CLASSES);
    l->class_texts[l->n_classes] = text;
    return compile(p, text, &l->classes[l->n_classes++], err);
}

/* Reads an alternative as a list of classes with counts, if it is one. */
static TernStatus read_items(const TnPretok *p, Level *l, Alternative *a, TernText text, TernError *err) {
    TernText classes[ITEMS];
    uint32_t n = 0;
    while (text.size) {
        size_t size = class_size(text);
        if (size == 0 || n == ITEMS) return TERN_OK;
        classes[n] = (TernText){text.data, size};
        text = (TernText){text.data + size, text.size - size};
        size = read_count(text, &a->items[n++]);
        text = (TernText){text.data + size, text.size - size};
        if (size && text.size && strchr("?+", text.data[0])) return TERN_OK; /* another kind of count */
    }
    for (uint32_t i = 0; i < n; i++) TN_TRY(find_class(p, l, classes[i], &a->items[i].class, err));
    a->n_items = n;
    return TERN_OK;
}

static TernStatus compile_level(TnPretok *p, const char *text, TernError *err) {
    Level *l = &p->levels[p->n++];
    if (*text == '#' || *text == '%') l->cut = *text++;
    for (size_t n;; text += n + 1) {
        n = alternative_size(text);
        TN_CHECK(l->n < ALTERNATIVES);
        Alternative *a = &l->alternatives[l->n++];
        TN_TRY(compile(p, (TernText){text, n}, &a->regex, err));
        TN_TRY(read_items(p, l, a, (TernText){text, n}, err));
        if (!text[n]) return TERN_OK;
    }
}

TernStatus tn_pretok_create(uint32_t pre, TnPretok **out, TernError *err) {
    TnPretok *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a pre-tokenizer (%zu bytes)", sizeof *p);
    p->pre = pre;
    TernStatus st = TERN_OK;
    for (const char *text; st == TERN_OK && (text = tn_pre_regex(pre, p->n));)
        st = compile_level(p, text, err);
    if (st != TERN_OK)
        tn_pretok_destroy(p);
    else
        *out = p;
    return st;
}

void tn_pretok_destroy(TnPretok *p) {
    if (!p) return;
    for (uint32_t i = 0; i < p->n; i++) {
        for (uint32_t k = 0; k < p->levels[i].n; k++) pcre2_code_free(p->levels[i].alternatives[k].regex);
        for (uint32_t k = 0; k < p->levels[i].n_classes; k++) pcre2_code_free(p->levels[i].classes[k]);
    }
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
    /* In a run of white space PCRE2 backs up once for each byte; ten steps a byte are always enough. */
    size_t steps = 100000 + size * 10;
    pcre2_set_match_limit(s->limits, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    return s;
}

void tn_split_end(TnSplit *s) {
    if (!s) return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    for (int i = 0; i < TN_PRE_REGEXES; i++)
        for (int k = 0; k < 17; k++) {
            for (int m = 0; s->planes[i][k] && m < 256; m++) free(s->planes[i][k]->pages[m]);
            free(s->planes[i][k]);
        }
    free(s);
}

/* ---- Matching ---- */

static TernStatus gave_up(const TnSplit *s, int rc, size_t size, TernError *err) {
    if (rc == PCRE2_ERROR_NOMEMORY)
        return tn_fail(err, TERN_ERR_MEMORY, "no memory to split a piece of %zu bytes of text into words",
                       size);
    return tn_fail(err, TERN_ERR_INPUT,
                   "pre-tokenizer %s gives up on a piece of %zu bytes of text (PCRE2 error %d)",
                   tn_pre_name(s->pretok->pre), size, rc);
}

/* Asks PCRE2 whether the character alone is a match or, with PCRE2_PARTIAL_HARD, the beginning of one. */
static TernStatus ask(TnSplit *s, const pcre2_code *re, TernText one, uint32_t options, bool *out,
                      TernError *err) {
    int rc =
        pcre2_match(re, (PCRE2_SPTR)one.data, one.size, 0, PCRE2_NO_UTF_CHECK | options, s->match, s->limits);
    *out = rc >= 0 || rc == PCRE2_ERROR_PARTIAL;
    return *out || rc == PCRE2_ERROR_NOMATCH ? TERN_OK : gave_up(s, rc, one.size, err);
}

static TernStatus learn(TnSplit *s, const Level *l, TernText one, Known *out, TernError *err) {
    Known k = {.starts = KNOWN};
    bool is;
    for (uint32_t i = 0; i < l->n; i++) {
        TN_TRY(ask(s, l->alternatives[i].regex, one, PCRE2_PARTIAL_HARD, &is, err));
        k.starts |= (uint32_t)is << i;
    }
    for (uint32_t i = 0; i < l->n_classes; i++) {
        TN_TRY(ask(s, l->classes[i], one, 0, &is, err));
        k.classes |= (uint32_t)is << i;
    }
    *out = k;
    return TERN_OK;
}

static TernStatus know_any(TnSplit *s, uint32_t level, TernText text, size_t at, size_t *n, const Known **out,
                           TernError *err) {
    uint32_t point = 0;
    int partial;
    *n = (size_t)tn_utf8_next((const uint8_t *)text.data + at, text.size - at, &point, &partial);
    Plane **plane = &s->planes[level][point >> 16];
    if (!*plane && !(*plane = calloc(1, sizeof **plane)))
        return gave_up(s, PCRE2_ERROR_NOMEMORY, text.size, err);
    Known **page = &(*plane)->pages[point >> 8 & 255];
    if (!*page && !(*page = calloc(256, sizeof **page)))
        return gave_up(s, PCRE2_ERROR_NOMEMORY, text.size, err);
    if (point < 256) s->latin[level] = *page;
    Known *known = &(*page)[point & 255];
    *out = known;
    return known->starts ? TERN_OK
                         : learn(s, &s->pretok->levels[level], (TernText){text.data + at, *n}, known, err);
}

/* Gives what is known of the character at text[at], and the number of its bytes. */
static inline TernStatus know(TnSplit *s, uint32_t level, TernText text, size_t at, size_t *n,
                              const Known **out, TernError *err) {
    uint8_t c = (uint8_t)text.data[at];
    const Known *latin = s->latin[level];
    if (c >= 0x80 || !latin || !latin[c].starts) return know_any(s, level, text, at, n, out, err);
    *n = 1;
    *out = &latin[c];
    return TERN_OK;
}

/* Matches n items at text[at]; gives where they end, or NOWHERE. */
static TernStatus match_items(TnSplit *s, uint32_t level, const Item *item, uint32_t n, TernText text,
                              size_t at, size_t *end, TernError *err) {
    *end = at;
    if (n == 0) return TERN_OK;
    uint32_t have = 0;
    for (size_t size; have < item->most && at < text.size; have++, at += size) {
        const Known *k = NULL;
        TN_TRY(know(s, level, text, at, &size, &k, err));
        TN_CHECK(k);
        if (!(k->classes >> item->class & 1)) break;
    }
    for (*end = NOWHERE; have >= item->least; have--) {
        TN_TRY(match_items(s, level, item + 1, n - 1, text, at, end, err));
        if (*end != NOWHERE || have == 0) break;
        do at--;
        while ((text.data[at] & 0xc0) == 0x80);
    }
    return TERN_OK;
}

static TernStatus match_one(TnSplit *s, uint32_t level, const Alternative *a, TernText text, size_t at,
                            size_t *end, TernError *err) {
    if (a->n_items) return match_items(s, level, a->items, a->n_items, text, at, end, err);
    int rc =
        pcre2_match(a->regex, (PCRE2_SPTR)text.data, text.size, at, PCRE2_NO_UTF_CHECK, s->match, s->limits);
    *end = rc < 0 ? NOWHERE : pcre2_get_ovector_pointer(s->match)[1];
    return rc >= 0 || rc == PCRE2_ERROR_NOMATCH ? TERN_OK : gave_up(s, rc, text.size, err);
}

/* Finds the first match at or after *from, and sets *from and *to to its begin and end. If there is none, *to is *from. */
static TernStatus find_match(TnSplit *s, uint32_t level, TernText text, size_t *from, size_t *to,
                             TernError *err) {
    const Level *l = &s->pretok->levels[level];
    for (size_t at = *from, n; at < text.size; at += n) {
        const Known *k = NULL;
        TN_TRY(know(s, level, text, at, &n, &k, err));
        TN_CHECK(k);
        uint32_t starts = k->starts & (KNOWN - 1);
        for (uint32_t i = 0; starts; i++, starts >>= 1) {
            if (!(starts & 1)) continue;
            TN_TRY(match_one(s, level, &l->alternatives[i], text, at, to, err));
            if (*to == NOWHERE) continue;
            TN_CHECK(*to > at); /* no expression matches an empty text */
            *from = at;
            return TERN_OK;
        }
    }
    *to = *from;
    return TERN_OK;
}

/* ---- Splitting ---- */

static TernStatus split(TnSplit *s, uint32_t level, const char *text, size_t size, TernError *err);

/* Cuts a match as '#' or '%' requires (pretok.c). *done is where the last piece ended. */
static TernStatus cut_threes(TnSplit *s, uint32_t level, const char *text, size_t from, size_t to,
                             size_t *done, TernError *err) {
    bool isolated = s->pretok->levels[level].cut == '#';
    size_t left = 0; /* characters from here to the end */
    for (size_t i = from; i < to; i++) left += (text[i] & 0xc0) != 0x80;
    for (size_t i = from; i <= to; i++) {
        if (i < to && (text[i] & 0xc0) == 0x80) continue;
        bool cut = i == from || i == to ? isolated || (i < to && left % 3 == 0) : left % 3 == 0;
        if (cut) {
            TN_TRY(split(s, level + 1, text + *done, i - *done, err));
            *done = i;
        }
        left--;
    }
    return TERN_OK;
}

static TernStatus split(TnSplit *s, uint32_t level, const char *text, size_t size, TernError *err) {
    if (size == 0) return TERN_OK;
    if (level == s->pretok->n) return s->word(s->user, text, size, err);
    size_t done = 0;
    for (size_t from = 0, to = 0;; from = to) {
        TN_TRY(find_match(s, level, (TernText){text, size}, &from, &to, err));
        if (to == from) break;
        if (s->pretok->levels[level].cut) {
            TN_TRY(cut_threes(s, level, text, from, to, &done, err));
            continue;
        }
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
