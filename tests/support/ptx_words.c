/* Words, numbers, registers and addresses of PTX text. */
#include "support/ptx_words.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const specials[TN_PX_SPECIALS] = {
#define SPECIAL(name, text) text,
#include "codegen/ptx/ptx_special.def"
#undef SPECIAL
};

bool ptx_bad(PtxParser *t, const char *format, ...) {
    if (t->failed) return false;
    va_list ap;
    int n = snprintf(t->error, PTX_LINE, "line %u: ", t->line);
    va_start(ap, format);
    vsnprintf(t->error + n, (size_t)(PTX_LINE - n), format, ap);
    va_end(ap);
    t->failed = true;
    return false;
}

void *ptx_grown(void *p, uint32_t n, uint32_t *room, size_t size) {
    if (n < *room) return p;
    *room = *room ? 2 * *room : 64;
    p = realloc(p, *room * size);
    if (!p) abort();
    return p;
}

char *ptx_copied(const char *s, size_t n) {
    char *p = malloc(n + 1);
    if (!p) abort();
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

/* ---- characters */

void ptx_skip(PtxParser *t) {
    for (; t->p < t->end; t->p++) {
        if (t->p + 1 < t->end && t->p[0] == '/' && t->p[1] == '/')
            while (t->p + 1 < t->end && t->p[1] != '\n') t->p++;
        else if (*t->p == '\n')
            t->line++;
        else if (*t->p != ' ' && *t->p != '\t' && *t->p != '\r')
            return;
    }
}

bool ptx_take(PtxParser *t, char c) {
    ptx_skip(t);
    if (t->p == t->end || *t->p != c) return false;
    t->p++;
    return true;
}

bool ptx_expect(PtxParser *t, char c) {
    if (ptx_take(t, c)) return true;
    if (t->p == t->end) return ptx_bad(t, "the text ends, expected '%c'", c);
    size_t left = (size_t)(t->end - t->p);
    return ptx_bad(t, "got '%.*s', expected '%c'", (int)(left < 20 ? left : 20), t->p, c);
}

/* A run of letters, digits and . _ $ % ::, as instructions without a row may have it. False if there is none. */
bool ptx_word(PtxParser *t, char out[PTX_NAME]) {
    ptx_skip(t);
    size_t n = 0;
    while (t->p < t->end && *t->p && n < PTX_NAME - 2) {
        if (t->end - t->p > 1 && t->p[0] == ':' && t->p[1] == ':')
            out[n++] = *t->p++;
        else if (!isalnum((unsigned char)*t->p) && !strchr("._$%", *t->p))
            break;
        out[n++] = *t->p++;
    }
    out[n] = 0;
    return n > 0;
}

bool ptx_decimal(PtxParser *t, uint64_t most, uint64_t *out) {
    char text[PTX_NAME], *end;
    if (!ptx_word(t, text)) return ptx_bad(t, "expected a number");
    *out = strtoull(text, &end, 10);
    return *end || *out > most ? ptx_bad(t, "got %s, expected a number up to %" PRIu64, text, most) : true;
}

bool ptx_keyword(PtxParser *t, const char *expected) {
    char text[PTX_NAME];
    if (ptx_word(t, text) && !strcmp(text, expected)) return true;
    return ptx_bad(t, "got '%s', expected '%s'", text, expected);
}

/* ---- values */

bool ptx_is_wide(char kind) {
    return kind == 'd' || kind == 'g';
}

uint32_t ptx_constant(PtxParser *t, char kind, uint64_t bits) {
    PtxBody *b = t->body;
    uint32_t words = ptx_is_wide(kind) ? 2 * PTX_ROW : PTX_ROW;
    while (b->constant_words + words > t->constant_room) {
        t->constant_room = t->constant_room ? 2 * t->constant_room : 4096;
        uint32_t *wider = aligned_alloc(64, (size_t)t->constant_room * 4);
        if (!wider) abort();
        if (b->constant_words) memcpy(wider, b->constants, (size_t)b->constant_words * 4);
        free(b->constants);
        b->constants = wider;
    }
    for (uint32_t at = 0; at < b->constant_words; at += PTX_ROW) /* one that is there already */
        if (at + words <= b->constant_words && b->constants[at] == (uint32_t)bits) {
            bool same = true;
            for (uint32_t i = 0; same && i < words; i++)
                same = b->constants[at + i] == (uint32_t)(ptx_is_wide(kind) && i % 2 ? bits >> 32 : bits);
            if (same) return PTX_CONSTANT | at;
        }
    uint32_t at = b->constant_words, *row = b->constants + at;
    for (uint32_t i = 0; i < words; i++) row[i] = (uint32_t)(ptx_is_wide(kind) && i % 2 ? bits >> 32 : bits);
    b->constant_words += words;
    return PTX_CONSTANT | at;
}

bool ptx_find_register(PtxParser *t, const char *name, PtxOperand *out) {
    for (uint32_t i = 0; i < t->kinds; i++) {
        const PtxKind *k = &t->kind[i];
        size_t n = strlen(k->prefix);
        if (strncmp(name, k->prefix, n) || !isdigit((unsigned char)name[n])) continue;
        char *end;
        unsigned long number = strtoul(name + n, &end, 10);
        if (*end) continue;
        if (number >= k->n) return ptx_bad(t, "%s: only %u such registers are declared", name, k->n);
        uint32_t step = k->letter == 'p' ? 1 : ptx_is_wide(k->letter) ? 2 * PTX_ROW : PTX_ROW;
        *out = (PtxOperand){.kind = k->letter, .place = k->place + (uint32_t)number * step};
        return true;
    }
    return false;
}

uint32_t ptx_label_of(PtxParser *t, const char *name) {
    for (uint32_t i = 0; i < t->labels; i++)
        if (!strcmp(t->label[i].name, name)) return i;
    t->label = ptx_grown(t->label, t->labels, &t->label_room, sizeof *t->label);
    PtxLabel *l = &t->label[t->labels];
    *l = (PtxLabel){.at = UINT32_MAX, .line = t->line};
    snprintf(l->name, sizeof l->name, "%s", name);
    return t->labels++;
}

/* A number: decimal with a sign, 0x.., 0f and 8 digits, 0d and 16. */
static bool number(PtxParser *t, PtxOperand *out) {
    bool minus = ptx_take(t, '-');
    char text[PTX_NAME], *end;
    if (!ptx_word(t, text) || !isdigit((unsigned char)text[0]))
        return ptx_bad(t, "got '%s', expected an operand", text);
    out->kind = '#';
    if (text[0] == '0' && (text[1] == 'f' || text[1] == 'd') && !minus) {
        out->kind = text[1] == 'f' ? 'f' : 'g';
        out->number = strtoull(text + 2, &end, 16);
        if (*end || strlen(text) != (text[1] == 'f' ? 10 : 18)) return ptx_bad(t, "%s is not a float", text);
        out->place = ptx_constant(t, out->kind, out->number);
        return true;
    }
    out->number = strtoull(text, &end, 0);
    if (*end) return ptx_bad(t, "%s is not a number", text);
    if (minus) out->number = -out->number;
    return true;
}

static bool address(PtxParser *t, PtxOperand *out) {
    char name[PTX_NAME];
    if (!ptx_word(t, name)) return ptx_bad(t, "expected an address");
    *out = (PtxOperand){.kind = '['};
    if (name[0] != '%') {
        for (uint32_t i = 0; i < t->body->params; i++)
            if (!strcmp(name, t->param[i])) *out = (PtxOperand){.kind = 'P', .place = t->body->param_at[i]};
        if (out->kind != 'P') return ptx_bad(t, "%s is no parameter", name);
        return ptx_expect(t, ']');
    }
    PtxOperand base = {0};
    if (!ptx_find_register(t, name, &base)) return ptx_bad(t, "%s is not declared", name);
    out->base = base.kind;
    out->place = base.place;
    if (ptx_take(t, '+')) {
        PtxOperand n = {0};
        if (!number(t, &n)) return false;
        if (n.kind != '#') return ptx_bad(t, "the offset of an address is an integer");
        out->offset = (int64_t)n.number;
    }
    return ptx_expect(t, ']');
}

bool ptx_operand(PtxParser *t, PtxOperand *out) {
    char name[PTX_NAME];
    *out = (PtxOperand){0};
    if (ptx_take(t, '[')) return address(t, out);
    ptx_skip(t);
    if (t->p < t->end && (*t->p == '-' || isdigit((unsigned char)*t->p))) return number(t, out);
    if (!ptx_word(t, name)) return ptx_bad(t, "expected an operand");
    if (name[0] == '%') {
        if (ptx_find_register(t, name, out)) return true;
        for (uint32_t s = 0; s < TN_PX_SPECIALS; s++)
            if (!strcmp(name, specials[s])) {
                *out = (PtxOperand){.kind = 's', .place = ptx_special_place(s)};
                return true;
            }
        return ptx_bad(t, "%s is not declared", name);
    }
    if (*t->shared && !strcmp(name, t->shared)) {
        *out = (PtxOperand){.kind = 'y', .number = PTX_SHARED_BASE};
        out->place = ptx_constant(t, 'r', out->number);
        return true;
    }
    *out = (PtxOperand){.kind = 'L', .place = ptx_label_of(t, name)};
    return true;
}
