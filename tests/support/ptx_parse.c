/* Reads PTX text: directives, labels, and instructions that are rows of ptx.def.
 *
 * Every line has one directive, label or instruction, as codegen/ptx writes them; comments begin with two slashes. Registers
 * become places in a warp's file, numbers become rows of constants, labels become numbers of instructions. */
#include "support/ptx_words.h"

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

/* ---- instructions */

/* Operands, and the pattern of their kinds as a row states it: "r{rr}[#". */
typedef struct Operands {
    PtxOperand of[PTX_VALUES_MOST + PTX_RESULTS_MOST];
    uint32_t n;
    char pattern[64];
} Operands;

static bool operands(PtxParser *t, Operands *o) {
    size_t n = 0;
    bool braces = false;
    *o = (Operands){0};
    if (ptx_take(t, ';')) return true;
    for (;;) {
        if (!braces && ptx_take(t, '{')) {
            o->pattern[n++] = '{';
            braces = true;
        }
        if (o->n == PTX_VALUES_MOST + PTX_RESULTS_MOST || n > 50) return ptx_bad(t, "too many operands");
        if (!ptx_operand(t, &o->of[o->n])) return false;
        o->pattern[n++] = o->of[o->n++].kind;
        if (braces && ptx_take(t, '}')) {
            o->pattern[n++] = '}';
            braces = false;
        }
        if (ptx_take(t, ',')) continue;
        return ptx_expect(t, ';') && (!braces || ptx_bad(t, "a brace is not closed"));
    }
}

/* Whether an operand can be what a letter of a row asks for. */
static bool fits(char letter, const PtxOperand *o, bool register_only) {
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

static void fill(PtxParser *t, const TnPxInfo *row, const Operands *o, PtxIns *i) {
    uint32_t n = 0;
    for (const char *p = row->result; *p; p++)
        if (*p != '{' && *p != '}') i->result[i->results++] = o->of[n++].place;
    i->predicate_result = *row->result == 'p';
    for (const char *p = row->operands; *p; p++) {
        if (*p == '{' || *p == '}') continue;
        const PtxOperand *v = &o->of[n++];
        uint32_t place = v->kind == '#' ? ptx_constant(t, *p == 'd' ? 'd' : 'r', v->number) : v->place;
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

static PtxIns *add(PtxParser *t) {
    PtxBody *b = t->body;
    b->code = ptx_grown(b->code, b->n, &t->code_room, sizeof *b->code);
    PtxIns *i = &b->code[b->n++];
    *i = (PtxIns){.row = TN_PX_ROWS, .class = TN_PX_FLOW, .guard = PTX_NO_GUARD, .line = t->line};
    return i;
}

static bool instruction(PtxParser *t, char text[PTX_NAME]) {
    PtxIns *i = add(t);
    uint32_t at = t->body->n - 1;
    if (*text == '@') { /* the guard */
        PtxOperand g = {0};
        i->unless = ptx_take(t, '!');
        if (!ptx_word(t, text) || !ptx_find_register(t, text, &g) || g.kind != 'p')
            return ptx_bad(t, "got %s, expected a predicate", text);
        i->guard = (uint16_t)g.place;
        if (!ptx_word(t, text)) return ptx_bad(t, "expected an instruction");
    }
    Operands o;
    bool known;
    uint32_t line = t->line;
    if (!operands(t, &o)) return false;
    t->line = line;
    const TnPxInfo *row = find_row(text, &o, &known);
    if (!row && known) return ptx_bad(t, "%s with operands %s is no row of ptx.def", text, o.pattern);
    if (!row) return ptx_bad(t, "%s is no row of ptx.def", text);
    i = &t->body->code[at];
    i->row = (uint16_t)(row - rows);
    i->class = (uint8_t)row->class;
    fill(t, row, &o, i);
    return true;
}

/* ---- entries */

static bool registers(PtxParser *t) {
    static const struct {
        const char *type;
        char letter;
    } types[] = {{".b32", 'r'}, {".f32", 'f'}, {".b16", 'h'}, {".b64", 'd'}, {".f64", 'g'}, {".pred", 'p'}};
    char type[PTX_NAME], letter = 0;
    uint64_t n;
    if (!ptx_word(t, type)) return ptx_bad(t, "expected the type of registers");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(type, types[i].type)) letter = types[i].letter;
    if (!letter) return ptx_bad(t, "registers of type %s are not known", type);
    if (t->kinds == PTX_KINDS_MOST) return ptx_bad(t, "too many kinds of registers");
    PtxKind *k = &t->kind[t->kinds];
    if (!ptx_word(t, k->prefix) || k->prefix[0] != '%') return ptx_bad(t, "expected the name of registers");
    if (!ptx_expect(t, '<') || !ptx_decimal(t, 60000, &n) || !ptx_expect(t, '>') || !ptx_expect(t, ';'))
        return false;
    k->letter = letter;
    k->n = (uint32_t)n;
    PtxBody *b = t->body;
    k->place = letter == 'p' ? b->predicates : b->words;
    if (letter == 'p')
        b->predicates += k->n;
    else
        b->words += k->n * (ptx_is_wide(letter) ? 2 * PTX_ROW : PTX_ROW);
    if (letter != 'p') b->registers += k->n * (ptx_is_wide(letter) ? 2 : 1);
    t->kinds++;
    return true;
}

static bool parameters(PtxParser *t) {
    PtxBody *b = t->body;
    b->param_at = calloc(PTX_PARAMS_MOST, sizeof *b->param_at);
    b->param_size = calloc(PTX_PARAMS_MOST, sizeof *b->param_size);
    if (!b->param_at || !b->param_size) abort();
    if (!ptx_expect(t, '(')) return false;
    if (ptx_take(t, ')')) return true;
    do {
        char type[PTX_NAME];
        if (!ptx_keyword(t, ".param")) return false;
        if (!ptx_word(t, type) || (strcmp(type, ".u64") && strcmp(type, ".u32")))
            return ptx_bad(t, "a parameter of type %s is not known", type);
        if (b->params == PTX_PARAMS_MOST) return ptx_bad(t, "more than %d parameters", PTX_PARAMS_MOST);
        uint32_t bytes = type[2] == '6' ? 8 : 4;
        b->param_at[b->params] = (b->param_bytes + bytes - 1) / bytes * bytes;
        b->param_size[b->params] = bytes;
        b->param_bytes = b->param_at[b->params] + bytes;
        if (!ptx_word(t, t->param[b->params++])) return ptx_bad(t, "expected the name of a parameter");
    } while (ptx_take(t, ','));
    return ptx_expect(t, ')');
}

static bool place_label(PtxParser *t, const char *name) {
    uint32_t k = ptx_label_of(t, name);
    PtxLabel *l = &t->label[k];
    if (l->at != UINT32_MAX) return ptx_bad(t, "%s is placed twice", name);
    l->at = t->body->n;
    return true;
}

static bool join_labels(PtxParser *t) {
    for (uint32_t i = 0; i < t->body->n; i++) {
        PtxIns *c = &t->body->code[i];
        if (c->row != TN_PX_bra) continue;
        const PtxLabel *l = &t->label[c->value[0]];
        if (l->at == UINT32_MAX) {
            t->line = c->line;
            return ptx_bad(t, "there is no label %s", l->name);
        }
        c->value[0] = l->at;
    }
    return true;
}

static bool body(PtxParser *t) {
    char text[PTX_NAME];
    while (!ptx_take(t, '}')) {
        if (ptx_take(t, '@')) {
            strcpy(text, "@");
        } else if (!ptx_word(t, text)) {
            if (t->p == t->end) return ptx_bad(t, "the text ends within entry %s", t->body->name);
            return ptx_bad(t, "got '%c', expected an instruction", *t->p);
        }
        bool ok;
        if (!strcmp(text, ".reg"))
            ok = registers(t);
        else if (t->p < t->end && *t->p == ':')
            ok = place_label(t, text) && ptx_expect(t, ':');
        else
            ok = instruction(t, text);
        if (!ok) return false;
    }
    add(t); /* the end */
    return join_labels(t);
}

static bool entry(PtxParser *t) {
    char text[PTX_NAME];
    uint64_t n, one;
    PtxModule *m = t->module;
    if (!ptx_keyword(t, ".entry") || !ptx_word(t, text)) return ptx_bad(t, "expected the name of an entry");
    if (ptx_body_find(m, text)) return ptx_bad(t, "there are two entries %s", text);
    m->bodies = realloc(m->bodies, (m->n + 1) * sizeof *m->bodies);
    if (!m->bodies) abort();
    t->body = &m->bodies[m->n++];
    *t->body = (PtxBody){.name = ptx_copied(text, strlen(text)), .threads_most = 1024};
    t->body->words = TN_PX_SPECIALS * PTX_ROW;
    t->kinds = t->code_room = t->constant_room = t->labels = 0;
    if (!parameters(t)) return false;
    while (!ptx_take(t, '{')) {
        if (!ptx_word(t, text) || (strcmp(text, ".maxntid") && strcmp(text, ".minnctapersm")))
            return ptx_bad(t, "got '%s', expected .maxntid, .minnctapersm or '{'", text);
        if (!strcmp(text, ".minnctapersm")) {
            if (!ptx_decimal(t, 32, &one)) return false;
            continue;
        }
        if (!ptx_decimal(t, 1024, &n)) return false;
        while (ptx_take(t, ','))
            if (!ptx_decimal(t, 1, &one)) return false;
        t->body->threads_most = (uint32_t)n;
    }
    return body(t);
}

/* ---- modules */

static bool module_shared(PtxParser *t) {
    char text[PTX_NAME];
    uint64_t align;
    if (!ptx_keyword(t, ".shared") || !ptx_keyword(t, ".align") || !ptx_decimal(t, 16, &align) ||
        !ptx_keyword(t, ".b8"))
        return false;
    if (!ptx_word(t, text)) return ptx_bad(t, "expected a name");
    strcpy(t->shared, text);
    return ptx_expect(t, '[') && ptx_expect(t, ']') && ptx_expect(t, ';');
}

static bool module_text(PtxParser *t) {
    char text[PTX_NAME];
    for (ptx_skip(t); t->p < t->end; ptx_skip(t)) {
        uint64_t n;
        bool ok = ptx_word(t, text);
        if (!ok) return ptx_bad(t, "got '%c', expected a directive", *t->p);
        if (!strcmp(text, ".version")) {
            ok = ptx_word(t, text);
            if (ok && strcmp(text, "7.0") && strcmp(text, "8.0"))
                return ptx_bad(t, "got version %s, expected 7.0 or 8.0", text);
        } else if (!strcmp(text, ".target")) {
            ok = ptx_word(t, text) && !strncmp(text, "sm_", 3);
            char *end = text;
            if (ok) t->module->target = (unsigned)strtoul(text + 3, &end, 10);
            t->module->suffix = *end;
            ok = ok && t->module->target >= 80 && (!*end || !strcmp(end, "a"));
        } else if (!strcmp(text, ".address_size")) {
            ok = ptx_decimal(t, 64, &n) && n == 64;
        } else if (!strcmp(text, ".extern")) {
            ok = module_shared(t);
        } else if (!strcmp(text, ".visible")) {
            if (!t->module->target) return ptx_bad(t, "an entry before .target");
            ok = entry(t);
        } else {
            return ptx_bad(t, "%s is not known", text);
        }
        if (!ok) return ptx_bad(t, "%s is not known", text);
    }
    return t->module->target ? true : ptx_bad(t, "there is no .target");
}

static void keep_lines(PtxModule *m, const char *text, size_t len) {
    m->text = ptx_copied(text, len);
    uint32_t room = 0;
    for (size_t at = 0; at < len; at++) {
        m->line_at = ptx_grown(m->line_at, m->lines, &room, sizeof *m->line_at);
        m->line_at[m->lines++] = (uint32_t)at;
        const char *end = memchr(text + at, '\n', len - at);
        if (!end) break;
        at = (size_t)(end - text);
    }
}

PtxModule *ptx_module_load(const char *text, size_t len, char line[PTX_LINE]) {
    while (len && !text[len - 1]) len--;
    PtxModule *m = calloc(1, sizeof *m);
    PtxParser *t = calloc(1, sizeof *t);
    if (!m || !t) abort();
    keep_lines(m, text, len);
    *t = (PtxParser){.p = m->text, .end = m->text + len, .line = 1, .module = m, .error = line};
    bool ok = module_text(t);
    free(t->label);
    free(t);
    if (ok) return m;
    ptx_module_free(m);
    return NULL;
}
