/* Reads GBNF, the notation of llama.cpp. docs/grammar.md has the language.
 *
 * A newline ends a rule, unless it is in parentheses, after "::=" or after "|". A repeat belongs to the symbol before it,
 * which may be a whole literal. */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/escape.h"
#include "runtime/base/hex.h"
#include "runtime/base/status.h"
#include "runtime/text/grammar/rules.h"
#include "runtime/text/utf8.h"

typedef struct Reading {
    const TernVocab *vocab;
    const char *text;
    size_t size, at, line_at;
    uint32_t line, depth;
    TnRules *rules;
    struct TnPointRange *ranges; /* of the class that is being read */
    size_t n_ranges, cap_ranges;
    TernError *err;
} Reading;

static uint32_t column(const Reading *r) {
    return (uint32_t)(r->at - r->line_at + 1);
}

static TernStatus expected(Reading *r, const char *what) {
    if (r->at >= r->size)
        return tn_fail(r->err, TERN_ERR_INPUT, "line %u, column %u: got the end of the grammar, expected %s",
                       r->line, column(r), what);
    size_t n = tn_utf8(r->text + r->at, r->size - r->at);
    return tn_fail(r->err, TERN_ERR_INPUT, "line %u, column %u: got '%.*s', expected %s", r->line, column(r),
                   (int)(n ? n : 1), r->text + r->at, what);
}

static int peek_at(const Reading *r, size_t ahead) {
    return r->at + ahead < r->size ? (unsigned char)r->text[r->at + ahead] : -1;
}
static int peek(const Reading *r) {
    return peek_at(r, 0);
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}
static bool is_word(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
}

static void newline(Reading *r) {
    if (r->text[r->at++] == '\n') r->line++, r->line_at = r->at;
}

static void blanks(Reading *r, bool newlines) {
    for (int c; (c = peek(r)) >= 0;) {
        if (c == '#')
            while (peek(r) >= 0 && peek(r) != '\n' && peek(r) != '\r') r->at++;
        else if (c == ' ' || c == '\t')
            r->at++;
        else if (newlines && (c == '\n' || c == '\r'))
            newline(r);
        else
            return;
    }
}

static TernStatus number(Reading *r, uint32_t most, const char *what, uint32_t *out) {
    uint64_t v = 0;
    size_t start = r->at;
    while (is_digit(peek(r)) && v <= most) v = v * 10 + (uint64_t)(r->text[r->at++] - '0');
    if (r->at == start) return expected(r, what);
    if (v > most) {
        while (is_digit(peek(r))) r->at++;
        int n = (int)(r->at - start);
        r->at = start;
        return tn_fail(r->err, TERN_ERR_INPUT, "line %u, column %u: got %.*s, expected %s of at most %u",
                       r->line, column(r), n, r->text + start, what, most);
    }
    *out = (uint32_t)v;
    return TERN_OK;
}

/* ---- Characters */

static TernStatus hex(Reading *r, size_t digits, uint32_t *out) {
    size_t n = tn_hex_read(r->text + r->at, r->size - r->at, digits, out);
    r->at += n;
    if (n == digits) return TERN_OK;
    return expected(r, digits == 2 ? "2 hex digits" : digits == 4 ? "4 hex digits" : "8 hex digits");
}

/* One character of a literal or of a class. */
static TernStatus character(Reading *r, uint32_t *out) {
    static const char names[] = "tnr\\\"[]-", values[] = "\t\n\r\\\"[]-";
    uint32_t col = column(r);
    if (peek(r) != '\\') {
        int partial, n = peek(r) < 0
                             ? 0
                             : tn_utf8_next((const uint8_t *)r->text + r->at, r->size - r->at, out, &partial);
        if (n == 0) return expected(r, peek(r) < 0 ? "the end of the literal or class" : "UTF-8");
        if (*out == '\n')
            newline(r);
        else
            r->at += (size_t)n;
        return TERN_OK;
    }
    r->at++;
    int c = peek(r);
    const char *found = c > 0 ? strchr(names, c) : NULL;
    if (found) {
        r->at++;
        *out = (unsigned char)values[found - names];
        return TERN_OK;
    }
    if (c != 'x' && c != 'u' && c != 'U') return expected(r, "an escape: one of \\ \" [ ] - n r t x u U");
    r->at++;
    TN_TRY(hex(r, c == 'x' ? 2 : c == 'u' ? 4 : 8, out));
    if (*out > 0x10ffff)
        return tn_fail(r->err, TERN_ERR_INPUT, "line %u, column %u: got U+%X, expected at most U+10FFFF",
                       r->line, col, *out);
    return TERN_OK;
}

static TnItem *new_item(Reading *r, TnItemKind kind) {
    TnItem *i = tn_alloc(r->rules->arena, sizeof *i);
    i->kind = kind;
    i->line = r->line, i->col = column(r);
    return i;
}

static TernStatus literal(Reading *r, TnItem ***end) {
    r->at++;
    while (peek(r) != '"') {
        TnItem *i = new_item(r, TN_ITEM_CHAR);
        uint32_t p;
        TN_TRY(character(r, &p));
        if (p >= 0xd800 && p < 0xe000)
            return tn_fail(r->err, TERN_ERR_INPUT,
                           "line %u, column %u: got U+%X, half of a surrogate pair, expected a character",
                           i->line, i->col, p);
        i->points.ranges = tn_alloc(r->rules->arena, sizeof *i->points.ranges);
        i->points.ranges[0] = (struct TnPointRange){p, p};
        i->points.n = 1;
        **end = i;
        *end = &i->next;
    }
    r->at++;
    return TERN_OK;
}

static TernStatus class_ranges(Reading *r) {
    r->n_ranges = 0;
    while (peek(r) != ']') {
        uint32_t lo, hi, line = r->line, col = column(r);
        TN_TRY(character(r, &lo));
        hi = lo;
        if (peek(r) == '-' && peek_at(r, 1) != ']') {
            r->at++;
            TN_TRY(character(r, &hi));
        }
        if (lo > hi)
            return tn_fail(r->err, TERN_ERR_INPUT,
                           "line %u, column %u: got the range U+%04X to U+%04X, expected the lower end first",
                           line, col, lo, hi);
        TN_PUSH(r->ranges, r->n_ranges, r->cap_ranges, ((struct TnPointRange){lo, hi}));
    }
    r->at++;
    return TERN_OK;
}

static TernStatus char_class(Reading *r, TnItem ***end) {
    TnItem *i = new_item(r, TN_ITEM_CHAR);
    r->at++;
    bool negated = peek(r) == '^';
    if (negated) r->at++;
    TN_TRY(class_ranges(r));
    TnPoints p = {tn_alloc_array(r->rules->arena, r->n_ranges + 1, sizeof *p.ranges), (uint32_t)r->n_ranges};
    if (p.n) memcpy(p.ranges, r->ranges, r->n_ranges * sizeof *p.ranges);
    bool empty = p.n == 0;
    tn_points_tidy(&p);
    i->points = negated ? tn_points_not(&p, r->rules->arena) : p;
    if (empty || i->points.n == 0)
        return tn_fail(r->err, TERN_ERR_INPUT, "line %u, column %u: got a class %s, expected some", i->line,
                       i->col, empty ? "without characters" : "that no character is in");
    **end = i;
    *end = &i->next;
    return TERN_OK;
}

static TernStatus any_char(Reading *r, TnItem ***end) {
    TnItem *i = new_item(r, TN_ITEM_CHAR);
    TnPoints none = {0};
    i->points = tn_points_not(&none, r->rules->arena);
    r->at++;
    **end = i;
    *end = &i->next;
    return TERN_OK;
}

/* ---- Tokens */

static TernStatus token(Reading *r, TnItem ***end) {
    TnItem *i = new_item(r, TN_ITEM_TOKEN);
    uint32_t n_tokens = tern_vocab_get_facts(r->vocab).n_tokens;
    if (peek(r) == '!') {
        i->kind = TN_ITEM_TOKEN_NOT;
        r->at++;
    }
    if (peek(r) != '<') return expected(r, "'<', a token");
    if (peek_at(r, 1) == '[') {
        r->at += 2;
        TN_TRY(number(r, n_tokens - 1, "a token id", &i->token));
        if (peek(r) != ']' || peek_at(r, 1) != '>') return expected(r, "']>'");
        r->at += 2;
    } else {
        const char *start = r->text + r->at, *stop = memchr(start, '>', r->size - r->at);
        const char *line = memchr(start, '\n', r->size - r->at);
        if (!stop || (line && line < stop)) return expected(r, "a token with '>' at its end");
        size_t n = (size_t)(stop - start) + 1;
        int32_t id = tern_token_find(r->vocab, start, n);
        if (id == TERN_NO_TOKEN)
            return tn_fail(r->err, TERN_ERR_INPUT,
                           "line %u, column %u: got '%.*s', expected a token of the vocabulary", r->line,
                           column(r), (int)(n < 400 ? n : 400), start);
        i->token = (uint32_t)id;
        r->at += n;
    }
    **end = i;
    *end = &i->next;
    return TERN_OK;
}

/* ---- Symbols, sequences, alternatives */

static uint32_t named(Reading *r, const char *name, size_t n) {
    uint32_t i = tn_map_get(&r->rules->names, name, n);
    if (i != TN_MAP_NONE) return i;
    i = tn_rules_add(r->rules);
    TnRule *rule = &r->rules->v[i];
    rule->name = tn_strndup(r->rules->arena, name, n);
    rule->line = r->line, rule->col = column(r);
    tn_map_set(&r->rules->names, rule->name, n, i);
    return i;
}

static size_t word(const Reading *r) {
    size_t n = 0;
    while (is_word(peek_at(r, n))) n++;
    return n;
}

static TernStatus alternatives(Reading *r, uint32_t rule, bool nested);

static TernStatus group(Reading *r, TnItem ***end) {
    TnItem *i = new_item(r, TN_ITEM_RULE);
    if (r->depth == TN_GRAMMAR_DEPTH_MOST)
        return tn_fail(r->err, TERN_ERR_INPUT,
                       "line %u, column %u: got more than %d groups in each other, expected at most that",
                       r->line, column(r), TN_GRAMMAR_DEPTH_MOST);
    r->depth++;
    r->at++;
    blanks(r, true);
    i->rule = tn_rules_add(r->rules);
    TN_TRY(alternatives(r, i->rule, true));
    if (peek(r) != ')') return expected(r, "a symbol, '|' or ')'");
    r->at++;
    r->depth--;
    **end = i;
    *end = &i->next;
    return TERN_OK;
}

/* Reads one symbol and appends its items; sets *out_none if there is no symbol here. */
static TernStatus symbol(Reading *r, TnItem ***end, bool *out_none) {
    int c = peek(r);
    *out_none = false;
    if (c == '"') return literal(r, end);
    if (c == '[') return char_class(r, end);
    if (c == '.') return any_char(r, end);
    if (c == '<' || c == '!') return token(r, end);
    if (c == '(') return group(r, end);
    size_t n = word(r);
    *out_none = n == 0;
    if (n == 0) return TERN_OK;
    TnItem *i = new_item(r, TN_ITEM_RULE);
    i->rule = named(r, r->text + r->at, n);
    r->at += n;
    **end = i;
    *end = &i->next;
    return TERN_OK;
}

/* What a repeat says; false if there is none here. */
static TernStatus repeat(Reading *r, bool nested, bool *out_any, uint32_t *min, uint32_t *max) {
    int c = peek(r);
    uint32_t line = r->line, col = column(r);
    *out_any = c == '*' || c == '+' || c == '?' || c == '{';
    if (!*out_any) return TERN_OK;
    *min = c == '+';
    *max = c == '?' ? 1 : TN_NO_MAX;
    r->at++;
    if (c != '{') return TERN_OK;
    blanks(r, nested);
    TN_TRY(number(r, TN_GRAMMAR_REPEAT_MOST, "a number of repeats", min));
    blanks(r, nested);
    *max = *min;
    if (peek(r) == ',') {
        r->at++;
        blanks(r, nested);
        *max = TN_NO_MAX;
        if (is_digit(peek(r))) TN_TRY(number(r, TN_GRAMMAR_REPEAT_MOST, "a number of repeats", max));
        blanks(r, nested);
    }
    if (peek(r) != '}') return expected(r, "',' or '}'");
    r->at++;
    if (*max < *min)
        return tn_fail(
            r->err, TERN_ERR_INPUT,
            "line %u, column %u: got at least %u and at most %u repeats, expected the smaller first", line,
            col, *min, *max);
    return TERN_OK;
}

/* Makes the items from *from on, one symbol, into a loop. Returns the new end of the list. */
static TnItem **loop(Reading *r, TnItem **from, uint32_t min, uint32_t max) {
    TnItem *body = *from;
    *from = NULL;
    if (!body || max == 0 || (min == 1 && max == 1)) {
        if (max == 0) return from;
        *from = body;
        while (*from) from = &(*from)->next;
        return from;
    }
    TnItem *i = tn_alloc(r->rules->arena, sizeof *i);
    *i = (TnItem){.kind = TN_ITEM_LOOP, .min = min, .max = max, .line = body->line, .col = body->col};
    if (body->kind == TN_ITEM_RULE && !body->next) {
        i->rule = body->rule;
    } else {
        i->rule = tn_rules_add(r->rules);
        TnRule *rule = &r->rules->v[i->rule];
        rule->alternatives = tn_alloc(r->rules->arena, sizeof *rule->alternatives);
        rule->alternatives->items = body;
        rule->defined = true;
        rule->line = body->line, rule->col = body->col;
    }
    *from = i;
    return &i->next;
}

static TernStatus sequence(Reading *r, TnItem **end, bool nested) {
    for (;;) {
        TnItem **from = end;
        uint32_t min, max;
        bool any;
        TN_TRY(symbol(r, &end, &any));
        if (any) {
            if (peek(r) > 0 && strchr("*+?{", peek(r))) return expected(r, "a symbol before a repeat");
            return TERN_OK;
        }
        for (;;) { /* a repeat may be repeated */
            blanks(r, nested);
            TN_TRY(repeat(r, nested, &any, &min, &max));
            if (!any) break;
            end = loop(r, from, min, max);
        }
    }
}

static TernStatus alternatives(Reading *r, uint32_t rule, bool nested) {
    TnAlternative *first = NULL, **end = &first;
    for (;;) {
        TnAlternative *a = tn_alloc(r->rules->arena, sizeof *a);
        TN_TRY(sequence(r, &a->items, nested));
        *end = a;
        end = &a->next;
        if (peek(r) != '|') break;
        r->at++;
        blanks(r, true);
    }
    TnRule *v = &r->rules->v[rule];
    v->alternatives = first;
    v->defined = true;
    return TERN_OK;
}

static TernStatus rule(Reading *r) {
    size_t n = word(r);
    if (n == 0) return expected(r, "the name of a rule");
    uint32_t line = r->line, col = column(r), i = named(r, r->text + r->at, n);
    TnRule *v = &r->rules->v[i];
    if (v->defined)
        return tn_fail(r->err, TERN_ERR_INPUT,
                       "line %u, column %u: got a second rule '%s', expected the only one after line %u",
                       line, col, v->name, v->line);
    v->line = line, v->col = col;
    r->at += n;
    blanks(r, false);
    if (r->size - r->at < 3 || memcmp(r->text + r->at, "::=", 3) != 0) return expected(r, "'::='");
    r->at += 3;
    blanks(r, true);
    TN_TRY(alternatives(r, i, false));
    if (peek(r) >= 0 && peek(r) != '\n' && peek(r) != '\r')
        return expected(r, "a symbol, '|' or the end of the line");
    blanks(r, true);
    return TERN_OK;
}

TernStatus tn_gbnf_read(const TernVocab *vocab, const char *text, size_t size, TnRules *out, TernError *err) {
    if (size > TN_GRAMMAR_TEXT_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "the grammar has %zu bytes, expected at most %d", size,
                       TN_GRAMMAR_TEXT_MOST);
    Reading r = {.vocab = vocab, .text = text, .size = size, .line = 1, .rules = out, .err = err};
    TernStatus st = TERN_OK;
    blanks(&r, true);
    while (st == TERN_OK && r.at < size) st = rule(&r);
    free(r.ranges);
    if (st != TERN_OK) return st;
    out->root = tn_map_get(&out->names, "root", 4);
    if (out->root == TN_MAP_NONE)
        return tn_fail(err, TERN_ERR_INPUT, "the grammar has no rule 'root', expected one");
    return TERN_OK;
}
