/* Recursive descent over one text. Depth is bounded, so the stack of the machine is too. */
#include "runtime/base/json_tree.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/escape.h"
#include "runtime/base/map.h"
#include "runtime/base/status.h"

typedef struct Reading {
    const char *text;
    size_t size, at, line_at;
    uint32_t line, depth;
    TnArena *arena;
    TnBuf buf; /* the string being decoded */
    TernError *err;
} Reading;

static TernStatus expected(Reading *r, const char *what) {
    uint32_t col = (uint32_t)(r->at - r->line_at + 1);
    if (r->at >= r->size)
        return tn_fail(r->err, TERN_ERR_INPUT, "line %u, column %u: got the end of the text, expected %s",
                       r->line, col, what);
    size_t n = tn_utf8(r->text + r->at, r->size - r->at);
    return tn_fail(r->err, TERN_ERR_INPUT, "line %u, column %u: got '%.*s', expected %s", r->line, col,
                   (int)(n ? n : 1), r->text + r->at, what);
}

static void blanks(Reading *r) {
    for (; r->at < r->size; r->at++) {
        char c = r->text[r->at];
        if (c == '\n')
            r->line++, r->line_at = r->at + 1;
        else if (c != ' ' && c != '\t' && c != '\r')
            return;
    }
}

static int peek(const Reading *r) {
    return r->at < r->size ? (unsigned char)r->text[r->at] : -1;
}

static bool digit(const Reading *r) {
    return peek(r) >= '0' && peek(r) <= '9';
}

/* ---- strings */

static bool hex4(Reading *r, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int c = peek(r);
        uint32_t v;
        if (c >= '0' && c <= '9')
            v = (uint32_t)c - '0';
        else if (c >= 'a' && c <= 'f')
            v = (uint32_t)c - 'a' + 10;
        else if (c >= 'A' && c <= 'F')
            v = (uint32_t)c - 'A' + 10;
        else
            return false;
        *out = *out << 4 | v;
    }
    return true;
}

static void put_point(TnBuf *b, uint32_t p) {
    char s[4];
    size_t n = 0;
    if (p < 0x80) {
        s[n++] = (char)p;
    } else if (p < 0x800) {
        s[n++] = (char)(0xc0 | p >> 6);
    } else if (p < 0x10000) {
        s[n++] = (char)(0xe0 | p >> 12);
        s[n++] = (char)(0x80 | (p >> 6 & 0x3f));
    } else {
        s[n++] = (char)(0xf0 | p >> 18);
        s[n++] = (char)(0x80 | (p >> 12 & 0x3f));
        s[n++] = (char)(0x80 | (p >> 6 & 0x3f));
    }
    if (p >= 0x80) s[n++] = (char)(0x80 | (p & 0x3f));
    tn_buf_put(b, s, n);
}

static TernStatus unicode_escape(Reading *r) {
    uint32_t p, low;
    if (!hex4(r, &p)) return expected(r, "four hex digits after \\u");
    if (p >= 0xd800 && p < 0xe000) {
        bool pair = p < 0xdc00 && r->size - r->at >= 2 && memcmp(r->text + r->at, "\\u", 2) == 0;
        if (!pair) return expected(r, "the second half of a surrogate pair");
        r->at += 2;
        if (!hex4(r, &low) || low < 0xdc00 || low > 0xdfff)
            return expected(r, "the second half of a surrogate pair");
        p = 0x10000 + ((p & 0x3ff) << 10 | (low & 0x3ff));
    }
    put_point(&r->buf, p);
    return TERN_OK;
}

static TernStatus escape(Reading *r) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    int c = peek(r);
    const char *found = c > 0 ? strchr(names, c) : NULL;
    if (found) {
        r->at++;
        tn_buf_put(&r->buf, values + (found - names), 1);
        return TERN_OK;
    }
    if (c != 'u') return expected(r, "an escape: one of \" \\ / b f n r t u");
    r->at++;
    return unicode_escape(r);
}

/* After the opening quote. */
static TernStatus string(Reading *r, const char **out, size_t *out_size) {
    r->buf.len = 0;
    for (;;) {
        int c = peek(r);
        if (c < 0) return expected(r, "the quote that ends the string");
        if (c == '"') break;
        if (c == '\\') {
            r->at++;
            TN_TRY(escape(r));
            continue;
        }
        if (c < 0x20) return expected(r, "an escape for this control character");
        size_t n = tn_utf8(r->text + r->at, r->size - r->at);
        if (n == 0) return expected(r, "UTF-8");
        tn_buf_put(&r->buf, r->text + r->at, n);
        r->at += n;
    }
    r->at++;
    *out = tn_strndup(r->arena, r->buf.data ? r->buf.data : "", r->buf.len);
    *out_size = r->buf.len;
    return TERN_OK;
}

/* ---- the other values */

static TernStatus number(Reading *r, TnJsonNode *v) {
    size_t start = r->at;
    v->kind = TN_JSON_INT;
    if (peek(r) == '-') r->at++;
    if (!digit(r)) return expected(r, "a digit");
    if (peek(r) == '0')
        r->at++;
    else
        while (digit(r)) r->at++;
    if (peek(r) == '.') {
        v->kind = TN_JSON_REAL;
        r->at++;
        if (!digit(r)) return expected(r, "a digit");
        while (digit(r)) r->at++;
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        v->kind = TN_JSON_REAL;
        r->at++;
        if (peek(r) == '+' || peek(r) == '-') r->at++;
        if (!digit(r)) return expected(r, "a digit");
        while (digit(r)) r->at++;
    }
    v->size = r->at - start;
    v->text = tn_strndup(r->arena, r->text + start, v->size);
    return TERN_OK;
}

static TernStatus value(Reading *r, TnJsonNode **out);

static TernStatus array(Reading *r, TnJsonNode *v) {
    TnJsonNode **end = &v->first;
    blanks(r);
    if (peek(r) == ']') {
        r->at++;
        return TERN_OK;
    }
    for (;;) {
        TN_TRY(value(r, end));
        end = &(*end)->next;
        v->n++;
        blanks(r);
        if (peek(r) == ']') break;
        if (peek(r) != ',') return expected(r, "',' or ']'");
        r->at++;
    }
    r->at++;
    return TERN_OK;
}

/* Members that are already there, found by key: by a walk while they are few. */
typedef struct Keys {
    TnMap map;
    TnJsonNode **members;
    size_t n, cap;
} Keys;

static TnJsonNode *known(const Keys *k, const char *key, size_t size) {
    enum { FEW = 16 };
    if (k->n > FEW) {
        uint32_t i = tn_map_get(&k->map, key, size);
        return i == TN_MAP_NONE ? NULL : k->members[i];
    }
    for (size_t i = 0; i < k->n; i++)
        if (k->members[i]->key_size == size && memcmp(k->members[i]->key, key, size) == 0)
            return k->members[i];
    return NULL;
}

static TernStatus members(Reading *r, TnJsonNode *v, Keys *k) {
    TnJsonNode **end = &v->first;
    blanks(r);
    if (peek(r) == '}') {
        r->at++;
        return TERN_OK;
    }
    for (;;) {
        const char *key;
        size_t size;
        blanks(r);
        if (peek(r) != '"') return expected(r, "the name of a member, in quotes");
        r->at++;
        TN_TRY(string(r, &key, &size));
        blanks(r);
        if (peek(r) != ':') return expected(r, "':'");
        r->at++;
        TnJsonNode *member, *before = known(k, key, size);
        TN_TRY(value(r, &member));
        member->key = key, member->key_size = size;
        if (before) {
            member->next = before->next;
            *before = *member;
        } else {
            *end = member;
            end = &member->next;
            tn_map_set(&k->map, key, size, (uint32_t)k->n);
            TN_PUSH(k->members, k->n, k->cap, member);
            v->n++;
        }
        blanks(r);
        if (peek(r) == '}') break;
        if (peek(r) != ',') return expected(r, "',' or '}'");
        r->at++;
    }
    r->at++;
    return TERN_OK;
}

static TernStatus object(Reading *r, TnJsonNode *v) {
    Keys k = {0};
    TernStatus st = members(r, v, &k);
    tn_map_free(&k.map);
    free(k.members);
    return st;
}

static TernStatus nested(Reading *r, TnJsonNode *v) {
    if (r->depth == TN_JSON_DEPTH_MOST)
        return tn_fail(
            r->err, TERN_ERR_INPUT,
            "line %u, column %u: got more than %d arrays and objects in each other, expected at most that",
            v->line, v->col, TN_JSON_DEPTH_MOST);
    r->depth++;
    r->at++;
    TN_TRY(v->kind == TN_JSON_ARRAY ? array(r, v) : object(r, v));
    r->depth--;
    return TERN_OK;
}

static TernStatus word(Reading *r, TnJsonNode *v) {
    static const struct {
        const char *word;
        TnJsonKind kind;
    } words[] = {{"null", TN_JSON_NULL}, {"false", TN_JSON_FALSE}, {"true", TN_JSON_TRUE}};
    for (size_t i = 0; i < TN_COUNT(words); i++) {
        size_t n = strlen(words[i].word);
        if (r->size - r->at < n || memcmp(r->text + r->at, words[i].word, n) != 0) continue;
        v->kind = words[i].kind;
        r->at += n;
        return TERN_OK;
    }
    return expected(r, "a value");
}

static TernStatus value(Reading *r, TnJsonNode **out) {
    blanks(r);
    TnJsonNode *v = tn_alloc(r->arena, sizeof *v);
    v->line = r->line, v->col = (uint32_t)(r->at - r->line_at + 1);
    *out = v;
    switch (peek(r)) {
    case '"':
        v->kind = TN_JSON_STRING;
        r->at++;
        return string(r, &v->text, &v->size);
    case '[':
        v->kind = TN_JSON_ARRAY;
        return nested(r, v);
    case '{':
        v->kind = TN_JSON_OBJECT;
        return nested(r, v);
    default:
        return digit(r) || peek(r) == '-' ? number(r, v) : word(r, v);
    }
}

TernStatus tn_json_tree(const char *text, size_t size, TnArena *arena, const TnJsonNode **out,
                        TernError *err) {
    Reading r = {.text = text, .size = size, .line = 1, .arena = arena, .err = err};
    TnJsonNode *root = NULL;
    *out = NULL;
    if (err) *err = (TernError){0};
    TernStatus st = value(&r, &root);
    if (st == TERN_OK) {
        blanks(&r);
        if (r.at < size)
            st = expected(&r, "the end of the text");
        else
            *out = root;
    }
    tn_buf_free(&r.buf);
    return st;
}

/* ---- looking and printing */

const TnJsonNode *tn_json_member(const TnJsonNode *node, const char *key) {
    if (!node || node->kind != TN_JSON_OBJECT) return NULL;
    size_t n = strlen(key);
    for (const TnJsonNode *m = node->first; m; m = m->next)
        if (m->key_size == n && memcmp(m->key, key, n) == 0) return m;
    return NULL;
}

bool tn_json_is(const TnJsonNode *node, const char *string) {
    return node && node->kind == TN_JSON_STRING && node->size == strlen(string) &&
           memcmp(node->text, string, node->size) == 0;
}

const char *tn_json_kind_name(TnJsonKind kind) {
    static const char *const names[] = {"null",     "false",    "true",     "an integer",
                                        "a number", "a string", "an array", "an object"};
    return names[kind];
}

void tn_json_print_string(const char *bytes, size_t n, TnBuf *out) {
    static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    tn_buf_put(out, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        const char *found = bytes[i] ? strchr(named, bytes[i]) : NULL;
        if (found)
            tn_buf_printf(out, "\\%c", names[found - named]);
        else if ((unsigned char)bytes[i] < 0x20)
            tn_buf_printf(out, "\\u%04x", (unsigned char)bytes[i]);
        else
            tn_buf_put(out, bytes + i, 1);
    }
    tn_buf_put(out, "\"", 1);
}

void tn_json_print(const TnJsonNode *v, TnBuf *out) {
    static const char *const words[] = {"null", "false", "true"};
    switch (v->kind) {
    case TN_JSON_NULL:
    case TN_JSON_FALSE:
    case TN_JSON_TRUE:
        tn_buf_puts(out, words[v->kind]);
        return;
    case TN_JSON_INT:
    case TN_JSON_REAL:
        tn_buf_put(out, v->text, v->size);
        return;
    case TN_JSON_STRING:
        tn_json_print_string(v->text, v->size, out);
        return;
    case TN_JSON_ARRAY:
    case TN_JSON_OBJECT:
        break;
    }
    bool object = v->kind == TN_JSON_OBJECT;
    tn_buf_puts(out, object ? "{" : "[");
    for (const TnJsonNode *m = v->first; m; m = m->next) {
        if (m != v->first) tn_buf_puts(out, ",");
        if (object) {
            tn_json_print_string(m->key, m->key_size, out);
            tn_buf_puts(out, ":");
        }
        tn_json_print(m, out);
    }
    tn_buf_puts(out, object ? "}" : "]");
}
