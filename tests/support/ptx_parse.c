/* Reads PTX text: directives, labels, and instructions that are rows of ptx.def.
 *
 * Every line has one directive, label or instruction, as codegen/ptx writes them; comments begin with two slashes. Registers
 * become places in a warp's file, numbers become rows of constants, labels become numbers of instructions. */
#include "support/ptx_parts.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const TnPxInfo rows[TN_PX_ROWS] = {
#define PTX(name, class, text, result, operands, ...) {#name, text, result, operands, TN_PX_##class},
#include "codegen/ptx/ptx.def"
#undef PTX
};
static const uint8_t text_lengths[TN_PX_ROWS] = {
#define PTX(name, class, text, ...) sizeof(text) - 1,
#include "codegen/ptx/ptx.def"
#undef PTX
};
static const char *const specials[TN_PX_SPECIALS] = {
#define SPECIAL(name, text) text,
#include "codegen/ptx/ptx_special.def"
#undef SPECIAL
};

enum { NAME = 128, KINDS_MOST = 8, PARAMS_MOST = 128 };

/* Registers that a line `.reg .b32 %r<9>;` declares. */
typedef struct Kind {
    char prefix[NAME], letter;
    uint32_t n, place; /* of number 0; wide ones are two rows apart */
} Kind;

typedef struct Label {
    char name[NAME];
    uint32_t at, line; /* at: UINT32_MAX until it is placed; line: first seen */
} Label;

/* An operand as it stands in the text. kind: a letter of ptx.def, '#' for an integer, '[' for an address. */
typedef struct Operand {
    char kind;
    uint32_t place; /* of a register; label; offset of a parameter */
    uint64_t number;
    int64_t offset;
    char base; /* of an address: the register's letter */
} Operand;

typedef struct Parser {
    const char *p, *end;
    uint32_t line;
    PtxModule *module;
    PtxBody *body; /* inside an entry */
    Kind kind[KINDS_MOST];
    uint32_t kinds, code_room, constant_room, labels, label_room;
    Label *label;
    char shared[NAME], param[PARAMS_MOST][NAME];
    bool failed;
    char *error;
} Parser;

static bool fails(Parser *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fails(Parser *t, const char *format, ...) {
    if (t->failed) return false;
    va_list ap;
    int n = snprintf(t->error, PTX_LINE, "line %u: ", t->line);
    va_start(ap, format);
    vsnprintf(t->error + n, (size_t)(PTX_LINE - n), format, ap);
    va_end(ap);
    t->failed = true;
    return false;
}

static void *grown(void *p, uint32_t n, uint32_t *room, size_t size) {
    if (n < *room) return p;
    *room = *room ? 2 * *room : 64;
    p = realloc(p, *room * size);
    if (!p) abort();
    return p;
}

static char *copied(const char *s, size_t n) {
    char *p = malloc(n + 1);
    if (!p) abort();
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

/* ---- characters */

static void skip(Parser *t) {
    for (; t->p < t->end; t->p++) {
        if (t->p + 1 < t->end && t->p[0] == '/' && t->p[1] == '/')
            while (t->p + 1 < t->end && t->p[1] != '\n') t->p++;
        else if (*t->p == '\n')
            t->line++;
        else if (*t->p != ' ' && *t->p != '\t' && *t->p != '\r')
            return;
    }
}

static bool take(Parser *t, char c) {
    skip(t);
    if (t->p == t->end || *t->p != c) return false;
    t->p++;
    return true;
}

static bool expect(Parser *t, char c) {
    if (take(t, c)) return true;
    if (t->p == t->end) return fails(t, "the text ends, expected '%c'", c);
    size_t left = (size_t)(t->end - t->p);
    return fails(t, "got '%.*s', expected '%c'", (int)(left < 20 ? left : 20), t->p, c);
}

/* A run of letters, digits and . _ $ % ::, as instructions without a row may have it. False if there is none. */
static bool word(Parser *t, char out[NAME]) {
    skip(t);
    size_t n = 0;
    while (t->p < t->end && *t->p && n < NAME - 2) {
        if (t->end - t->p > 1 && t->p[0] == ':' && t->p[1] == ':')
            out[n++] = *t->p++;
        else if (!isalnum((unsigned char)*t->p) && !strchr("._$%", *t->p))
            break;
        out[n++] = *t->p++;
    }
    out[n] = 0;
    return n > 0;
}

static bool decimal(Parser *t, uint64_t most, uint64_t *out) {
    char text[NAME], *end;
    if (!word(t, text)) return fails(t, "expected a number");
    *out = strtoull(text, &end, 10);
    return *end || *out > most ? fails(t, "got %s, expected a number up to %" PRIu64, text, most) : true;
}

static bool keyword(Parser *t, const char *expected) {
    char text[NAME];
    if (word(t, text) && !strcmp(text, expected)) return true;
    return fails(t, "got '%s', expected '%s'", text, expected);
}

/* ---- values */

static bool is_wide(char kind) {
    return kind == 'd' || kind == 'g';
}

static uint32_t constant(Parser *t, char kind, uint64_t bits) {
    PtxBody *b = t->body;
    uint32_t words = is_wide(kind) ? 2 * PTX_ROW : PTX_ROW;
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
                same = b->constants[at + i] == (uint32_t)(is_wide(kind) && i % 2 ? bits >> 32 : bits);
            if (same) return PTX_CONSTANT | at;
        }
    uint32_t at = b->constant_words, *row = b->constants + at;
    for (uint32_t i = 0; i < words; i++) row[i] = (uint32_t)(is_wide(kind) && i % 2 ? bits >> 32 : bits);
    b->constant_words += words;
    return PTX_CONSTANT | at;
}

static bool find_register(Parser *t, const char *name, Operand *out) {
    for (uint32_t i = 0; i < t->kinds; i++) {
        const Kind *k = &t->kind[i];
        size_t n = strlen(k->prefix);
        if (strncmp(name, k->prefix, n) || !isdigit((unsigned char)name[n])) continue;
        char *end;
        unsigned long number = strtoul(name + n, &end, 10);
        if (*end) continue;
        if (number >= k->n) return fails(t, "%s: only %u such registers are declared", name, k->n);
        uint32_t step = k->letter == 'p' ? 1 : is_wide(k->letter) ? 2 * PTX_ROW : PTX_ROW;
        *out = (Operand){.kind = k->letter, .place = k->place + (uint32_t)number * step};
        return true;
    }
    return false;
}

static uint32_t label_of(Parser *t, const char *name) {
    for (uint32_t i = 0; i < t->labels; i++)
        if (!strcmp(t->label[i].name, name)) return i;
    t->label = grown(t->label, t->labels, &t->label_room, sizeof *t->label);
    Label *l = &t->label[t->labels];
    *l = (Label){.at = UINT32_MAX, .line = t->line};
    snprintf(l->name, sizeof l->name, "%s", name);
    return t->labels++;
}

/* A number: decimal with a sign, 0x.., 0f and 8 digits, 0d and 16. */
static bool number(Parser *t, Operand *out) {
    bool minus = take(t, '-');
    char text[NAME], *end;
    if (!word(t, text) || !isdigit((unsigned char)text[0]))
        return fails(t, "got '%s', expected an operand", text);
    out->kind = '#';
    if (text[0] == '0' && (text[1] == 'f' || text[1] == 'd') && !minus) {
        out->kind = text[1] == 'f' ? 'f' : 'g';
        out->number = strtoull(text + 2, &end, 16);
        if (*end || strlen(text) != (text[1] == 'f' ? 10 : 18)) return fails(t, "%s is not a float", text);
        out->place = constant(t, out->kind, out->number);
        return true;
    }
    out->number = strtoull(text, &end, 0);
    if (*end) return fails(t, "%s is not a number", text);
    if (minus) out->number = -out->number;
    return true;
}

static bool address(Parser *t, Operand *out) {
    char name[NAME];
    if (!word(t, name)) return fails(t, "expected an address");
    *out = (Operand){.kind = '['};
    if (name[0] != '%') {
        for (uint32_t i = 0; i < t->body->params; i++)
            if (!strcmp(name, t->param[i])) *out = (Operand){.kind = 'P', .place = t->body->param_at[i]};
        if (out->kind != 'P') return fails(t, "%s is no parameter", name);
        return expect(t, ']');
    }
    Operand base = {0};
    if (!find_register(t, name, &base)) return fails(t, "%s is not declared", name);
    out->base = base.kind;
    out->place = base.place;
    if (take(t, '+')) {
        Operand n = {0};
        if (!number(t, &n)) return false;
        if (n.kind != '#') return fails(t, "the offset of an address is an integer");
        out->offset = (int64_t)n.number;
    }
    return expect(t, ']');
}

static bool operand(Parser *t, Operand *out) {
    char name[NAME];
    *out = (Operand){0};
    if (take(t, '[')) return address(t, out);
    skip(t);
    if (t->p < t->end && (*t->p == '-' || isdigit((unsigned char)*t->p))) return number(t, out);
    if (!word(t, name)) return fails(t, "expected an operand");
    if (name[0] == '%') {
        if (find_register(t, name, out)) return true;
        for (uint32_t s = 0; s < TN_PX_SPECIALS; s++)
            if (!strcmp(name, specials[s])) {
                *out = (Operand){.kind = 's', .place = ptx_special_place(s)};
                return true;
            }
        return fails(t, "%s is not declared", name);
    }
    if (*t->shared && !strcmp(name, t->shared)) {
        *out = (Operand){.kind = 'y', .number = PTX_SHARED_BASE};
        out->place = constant(t, 'r', out->number);
        return true;
    }
    *out = (Operand){.kind = 'L', .place = label_of(t, name)};
    return true;
}

/* ---- instructions */

/* Operands, and the pattern of their kinds as a row states it: "r{rr}[#". */
typedef struct Operands {
    Operand of[PTX_VALUES_MOST + PTX_RESULTS_MOST];
    uint32_t n;
    char pattern[64];
} Operands;

static bool operands(Parser *t, Operands *o) {
    size_t n = 0;
    bool braces = false;
    *o = (Operands){0};
    if (take(t, ';')) return true;
    for (;;) {
        if (!braces && take(t, '{')) {
            o->pattern[n++] = '{';
            braces = true;
        }
        if (o->n == PTX_VALUES_MOST + PTX_RESULTS_MOST || n > 50) return fails(t, "too many operands");
        if (!operand(t, &o->of[o->n])) return false;
        o->pattern[n++] = o->of[o->n++].kind;
        if (braces && take(t, '}')) {
            o->pattern[n++] = '}';
            braces = false;
        }
        if (take(t, ',')) continue;
        return expect(t, ';') && (!braces || fails(t, "a brace is not closed"));
    }
}

/* Whether an operand can be what a letter of a row asks for. */
static bool fits(char letter, const Operand *o, bool register_only) {
    switch (letter) {
    case 'G':
        return o->kind == '[' && o->base == 'd';
    case 'S':
        return o->kind == '[' && o->base == 'r';
    case 'i':
        return o->kind == '#';
    case 'r':
        if (o->kind == '#' && !register_only)
            return o->number <= UINT32_MAX || ((int64_t)o->number < 0 && (int64_t)o->number >= INT32_MIN);
        break;
    case 'd':
        if (o->kind == '#') return !register_only;
        break;
    default:
        break;
    }
    bool constant_place = (letter == 'f' || letter == 'g') && (o->place & PTX_CONSTANT);
    return o->kind == letter && !(register_only && constant_place);
}

static bool row_fits(const TnPxInfo *row, const Operands *o) {
    char both[64];
    snprintf(both, sizeof both, "%s%s", row->result, row->operands);
    uint32_t n = 0, results = (uint32_t)strlen(row->result);
    bool braces = false;
    const char *have = o->pattern;
    for (const char *want = both; *want; want++, have++) {
        if (*want == '{' || *want == '}') {
            braces = *want == '{';
            if (*have != *want) return false;
            continue;
        }
        if (*have == '{' || *have == '}' || !*have) return false;
        if (!fits(*want, &o->of[n++], braces || (uint32_t)(want - both) < results)) return false;
    }
    return !*have;
}

static const TnPxInfo *find_row(const char *text, const Operands *o, bool *out_known) {
    size_t n = strlen(text);
    *out_known = false;
    for (uint32_t i = 0; i < TN_PX_ROWS; i++) {
        if (text_lengths[i] != n || memcmp(rows[i].text, text, n)) continue;
        *out_known = true;
        if (row_fits(&rows[i], o)) return &rows[i];
    }
    return NULL;
}

static void fill(Parser *t, const TnPxInfo *row, const Operands *o, PtxIns *i) {
    uint32_t n = 0;
    for (const char *p = row->result; *p; p++)
        if (*p != '{' && *p != '}') i->result[i->results++] = o->of[n++].place;
    i->predicate_result = *row->result == 'p';
    for (const char *p = row->operands; *p; p++) {
        if (*p == '{' || *p == '}') continue;
        const Operand *v = &o->of[n++];
        uint32_t place = v->kind == '#' ? constant(t, *p == 'd' ? 'd' : 'r', v->number) : v->place;
        if (v->kind == 'p')
            i->predicates |= (uint16_t)(1u << i->values);
        else if (v->kind != 'P' && v->kind != 'L' && !(place & PTX_CONSTANT))
            i->registers |= (uint16_t)(1u << i->values);
        i->value[i->values++] = place;
        if (v->kind == '[' && i->values == 2 && row->class == TN_PX_COPY)
            i->second = v->offset;
        else if (v->kind == '[')
            i->offset = v->offset;
    }
}

static PtxIns *add(Parser *t) {
    PtxBody *b = t->body;
    b->code = grown(b->code, b->n, &t->code_room, sizeof *b->code);
    PtxIns *i = &b->code[b->n++];
    *i = (PtxIns){.row = TN_PX_ROWS, .class = TN_PX_FLOW, .guard = PTX_NO_GUARD, .line = t->line};
    return i;
}

static bool instruction(Parser *t, char text[NAME]) {
    PtxIns *i = add(t);
    uint32_t at = t->body->n - 1;
    if (*text == '@') { /* the guard */
        Operand g = {0};
        i->unless = take(t, '!');
        if (!word(t, text) || !find_register(t, text, &g) || g.kind != 'p')
            return fails(t, "got %s, expected a predicate", text);
        i->guard = (uint16_t)g.place;
        if (!word(t, text)) return fails(t, "expected an instruction");
    }
    Operands o;
    bool known;
    uint32_t line = t->line;
    if (!operands(t, &o)) return false;
    t->line = line;
    const TnPxInfo *row = find_row(text, &o, &known);
    if (!row && known) return fails(t, "%s with operands %s is no row of ptx.def", text, o.pattern);
    if (!row) return fails(t, "%s is no row of ptx.def", text);
    i = &t->body->code[at];
    i->row = (uint16_t)(row - rows);
    i->class = (uint8_t)row->class;
    fill(t, row, &o, i);
    return true;
}

/* ---- entries */

static bool registers(Parser *t) {
    static const struct {
        const char *type;
        char letter;
    } types[] = {{".b32", 'r'}, {".f32", 'f'}, {".b16", 'h'}, {".b64", 'd'}, {".f64", 'g'}, {".pred", 'p'}};
    char type[NAME], letter = 0;
    uint64_t n;
    if (!word(t, type)) return fails(t, "expected the type of registers");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(type, types[i].type)) letter = types[i].letter;
    if (!letter) return fails(t, "registers of type %s are not known", type);
    if (t->kinds == KINDS_MOST) return fails(t, "too many kinds of registers");
    Kind *k = &t->kind[t->kinds];
    if (!word(t, k->prefix) || k->prefix[0] != '%') return fails(t, "expected the name of registers");
    if (!expect(t, '<') || !decimal(t, 60000, &n) || !expect(t, '>') || !expect(t, ';')) return false;
    k->letter = letter;
    k->n = (uint32_t)n;
    PtxBody *b = t->body;
    k->place = letter == 'p' ? b->predicates : b->words;
    if (letter == 'p')
        b->predicates += k->n;
    else
        b->words += k->n * (is_wide(letter) ? 2 * PTX_ROW : PTX_ROW);
    if (letter != 'p') b->registers += k->n * (is_wide(letter) ? 2 : 1);
    t->kinds++;
    return true;
}

static bool parameters(Parser *t) {
    PtxBody *b = t->body;
    b->param_at = calloc(PARAMS_MOST, sizeof *b->param_at);
    b->param_size = calloc(PARAMS_MOST, sizeof *b->param_size);
    if (!b->param_at || !b->param_size) abort();
    if (!expect(t, '(')) return false;
    if (take(t, ')')) return true;
    do {
        char type[NAME];
        if (!keyword(t, ".param")) return false;
        if (!word(t, type) || (strcmp(type, ".u64") && strcmp(type, ".u32")))
            return fails(t, "a parameter of type %s is not known", type);
        if (b->params == PARAMS_MOST) return fails(t, "more than %d parameters", PARAMS_MOST);
        uint32_t bytes = type[2] == '6' ? 8 : 4;
        b->param_at[b->params] = (b->param_bytes + bytes - 1) / bytes * bytes;
        b->param_size[b->params] = bytes;
        b->param_bytes = b->param_at[b->params] + bytes;
        if (!word(t, t->param[b->params++])) return fails(t, "expected the name of a parameter");
    } while (take(t, ','));
    return expect(t, ')');
}

static bool place_label(Parser *t, const char *name) {
    uint32_t k = label_of(t, name);
    Label *l = &t->label[k];
    if (l->at != UINT32_MAX) return fails(t, "%s is placed twice", name);
    l->at = t->body->n;
    return true;
}

static bool join_labels(Parser *t) {
    for (uint32_t i = 0; i < t->body->n; i++) {
        PtxIns *c = &t->body->code[i];
        if (c->row != TN_PX_bra) continue;
        const Label *l = &t->label[c->value[0]];
        if (l->at == UINT32_MAX) {
            t->line = c->line;
            return fails(t, "there is no label %s", l->name);
        }
        c->value[0] = l->at;
    }
    return true;
}

static bool body(Parser *t) {
    char text[NAME];
    while (!take(t, '}')) {
        if (take(t, '@')) {
            strcpy(text, "@");
        } else if (!word(t, text)) {
            if (t->p == t->end) return fails(t, "the text ends within entry %s", t->body->name);
            return fails(t, "got '%c', expected an instruction", *t->p);
        }
        bool ok;
        if (!strcmp(text, ".reg"))
            ok = registers(t);
        else if (t->p < t->end && *t->p == ':')
            ok = place_label(t, text) && expect(t, ':');
        else
            ok = instruction(t, text);
        if (!ok) return false;
    }
    add(t); /* the end */
    return join_labels(t);
}

static bool entry(Parser *t) {
    char text[NAME];
    uint64_t n, one;
    PtxModule *m = t->module;
    if (!keyword(t, ".entry") || !word(t, text)) return fails(t, "expected the name of an entry");
    if (ptx_body_find(m, text)) return fails(t, "there are two entries %s", text);
    m->bodies = realloc(m->bodies, (m->n + 1) * sizeof *m->bodies);
    if (!m->bodies) abort();
    t->body = &m->bodies[m->n++];
    *t->body = (PtxBody){.name = copied(text, strlen(text)), .threads_most = 1024};
    t->body->words = TN_PX_SPECIALS * PTX_ROW;
    t->kinds = t->code_room = t->constant_room = t->labels = 0;
    if (!parameters(t)) return false;
    while (!take(t, '{')) {
        if (!word(t, text) || (strcmp(text, ".maxntid") && strcmp(text, ".minnctapersm")))
            return fails(t, "got '%s', expected .maxntid, .minnctapersm or '{'", text);
        if (!strcmp(text, ".minnctapersm")) {
            if (!decimal(t, 32, &one)) return false;
            continue;
        }
        if (!decimal(t, 1024, &n)) return false;
        while (take(t, ','))
            if (!decimal(t, 1, &one)) return false;
        t->body->threads_most = (uint32_t)n;
    }
    return body(t);
}

/* ---- modules */

static bool module_shared(Parser *t) {
    char text[NAME];
    uint64_t align;
    if (!keyword(t, ".shared") || !keyword(t, ".align") || !decimal(t, 16, &align) || !keyword(t, ".b8"))
        return false;
    if (!word(t, text)) return fails(t, "expected a name");
    strcpy(t->shared, text);
    return expect(t, '[') && expect(t, ']') && expect(t, ';');
}

static bool module_text(Parser *t) {
    char text[NAME];
    for (skip(t); t->p < t->end; skip(t)) {
        uint64_t n;
        bool ok = word(t, text);
        if (!ok) return fails(t, "got '%c', expected a directive", *t->p);
        if (!strcmp(text, ".version")) {
            ok = word(t, text);
            if (ok && strcmp(text, "7.0") && strcmp(text, "8.0"))
                return fails(t, "got version %s, expected 7.0 or 8.0", text);
        } else if (!strcmp(text, ".target")) {
            ok = word(t, text) && !strncmp(text, "sm_", 3);
            char *end = text;
            if (ok) t->module->target = (unsigned)strtoul(text + 3, &end, 10);
            t->module->suffix = *end;
            ok = ok && t->module->target >= 80 && (!*end || !strcmp(end, "a"));
        } else if (!strcmp(text, ".address_size")) {
            ok = decimal(t, 64, &n) && n == 64;
        } else if (!strcmp(text, ".extern")) {
            ok = module_shared(t);
        } else if (!strcmp(text, ".visible")) {
            if (!t->module->target) return fails(t, "an entry before .target");
            ok = entry(t);
        } else {
            return fails(t, "%s is not known", text);
        }
        if (!ok) return fails(t, "%s is not known", text);
    }
    return t->module->target ? true : fails(t, "there is no .target");
}

static void keep_lines(PtxModule *m, const char *text, size_t len) {
    m->text = copied(text, len);
    uint32_t room = 0;
    for (size_t at = 0; at < len; at++) {
        m->line_at = grown(m->line_at, m->lines, &room, sizeof *m->line_at);
        m->line_at[m->lines++] = (uint32_t)at;
        const char *end = memchr(text + at, '\n', len - at);
        if (!end) break;
        at = (size_t)(end - text);
    }
}

PtxModule *ptx_module_load(const char *text, size_t len, char line[PTX_LINE]) {
    while (len && !text[len - 1]) len--;
    PtxModule *m = calloc(1, sizeof *m);
    Parser *t = calloc(1, sizeof *t);
    if (!m || !t) abort();
    keep_lines(m, text, len);
    *t = (Parser){.p = m->text, .end = m->text + len, .line = 1, .module = m, .error = line};
    bool ok = module_text(t);
    free(t->label);
    free(t);
    if (ok) return m;
    ptx_module_free(m);
    return NULL;
}
