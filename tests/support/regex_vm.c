/* See regex_vm.h. An expression becomes a program: sets of characters, splits with a preferred branch, jumps, and nested
 * programs (for lookahead and possessive parts). */
#include "tests/support/regex_vm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/buf.h"

typedef enum Kind { SET, SPLIT, JUMP, AHEAD, NOT_AHEAD, ATOMIC, AT_END, WORD_EDGE, DONE } Kind;
typedef struct Step {
    Kind kind;
    size_t x,
        y;     /* SPLIT: first this, then that; JUMP: x; a program inside: from the next step, goes on at x */
    bool *set; /* SET: [0x110000] */
} Step;

enum { POINTS = 0x110000 };

/* A set of characters, and its place in the expression: a part that is repeated n times has one set. */
typedef struct Set {
    const uint8_t *at, *end;
    bool *has; /* [POINTS] */
} Set;

struct VmRegex {
    Step *steps;
    size_t n, cap;
    Set *sets;
    size_t n_sets, cap_sets;
    bool *word; /* for \b: letters, marks, decimal digits, letter numbers, connectors */
};

typedef struct Parse {
    VmRegex *re;
    const VmUnicode *unicode;
    const uint8_t *p;
    bool no_case;
} Parse;

static void die(const Parse *p, const char *why) {
    fprintf(stderr, "%s at: %s\n", why, (const char *)p->p);
    abort();
}

static bool *new_set(Parse *p) {
    bool *has = tn_xcalloc(POINTS, 1);
    TN_PUSH(p->re->sets, p->re->n_sets, p->re->cap_sets, (Set){.has = has});
    return has;
}

static size_t emit(VmRegex *re, Kind kind, bool *set) {
    TN_PUSH(re->steps, re->n, re->cap, (Step){.kind = kind, .set = set});
    return re->n - 1;
}

static uint32_t next_point(Parse *p) {
    uint32_t c = *p->p++;
    if (c < 0x80) return c;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    c &= 0x3fu >> more;
    while (more-- > 0) c = c << 6 | (*p->p++ & 0x3f);
    return c;
}

static bool is_space(const VmUnicode *u, uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x85 || u->category[c][0] == 'Z';
}

/* After \p{ */
static void add_property(Parse *p, bool *set) {
    char name[8] = "";
    for (size_t i = 0; *p->p != '}' && i < 7; i++) name[i] = (char)*p->p++;
    if (*p->p++ != '}') die(p, "a property");
    for (uint32_t c = 0; c < POINTS; c++) {
        const char *have = p->unicode->category[c];
        set[c] |= strcmp(name, "Han") == 0 ? p->unicode->han[c]
                                           : have[0] == name[0] && (!name[1] || have[1] == name[1]);
    }
}

/* A class after a backslash that was already read. False if it is a single character, in *one. */
static bool add_escape(Parse *p, bool *set, uint32_t *one) {
    uint8_t e = *p->p++;
    *one = e == 'r' ? '\r' : e == 'n' ? '\n' : e == 't' ? '\t' : e;
    if (e == 'p') {
        if (*p->p++ != '{') die(p, "a property");
        add_property(p, set);
        return true;
    }
    if (e != 's' && e != 'S' && e != 'd') return false;
    for (uint32_t c = 0; c < POINTS; c++)
        set[c] |=
            e == 'd' ? memcmp(p->unicode->category[c], "Nd", 2) == 0 : is_space(p->unicode, c) == (e == 's');
    return true;
}

static void add_range(Parse *p, bool *set, uint32_t from, uint32_t to) {
    for (uint32_t c = from; c <= to; c++) set[c] = true;
    if (!p->no_case || from != to || from > 'z' || (from | 32) < 'a') return;
    set[from ^ 32] = true;
    if ((from | 32) == 's') set[0x17f] = true; /* long s, Kelvin */
    if ((from | 32) == 'k') set[0x212a] = true;
}

/* After [ */
static bool *parse_class(Parse *p) {
    bool *set = new_set(p);
    bool negate = *p->p == '^';
    if (negate) p->p++;
    for (bool first = true; first || *p->p != ']'; first = false) {
        if (p->p[0] == '&' && p->p[1] == '&') {
            p->p += 3; /* a class follows, and ends this one */
            bool *other = parse_class(p);
            for (uint32_t c = 0; c < POINTS; c++) set[c] &= other[c];
            break;
        }
        uint32_t from, to;
        if (*p->p == '[' && p->p[1] != ':' && !first) {
            p->p++;
            bool *other = parse_class(p);
            for (uint32_t c = 0; c < POINTS; c++) set[c] |= other[c];
            continue;
        }
        if (*p->p == '\\') {
            p->p++;
            if (add_escape(p, set, &from)) continue;
        } else {
            from = next_point(p);
        }
        to = from;
        if (p->p[0] == '-' && p->p[1] != ']') {
            p->p++;
            if (*p->p == '\\') p->p++;
            to = next_point(p);
        }
        add_range(p, set, from, to);
    }
    if (*p->p++ != ']') die(p, "the end of a class");
    for (uint32_t c = 0; negate && c < POINTS; c++) set[c] = !set[c];
    return set;
}

static void parse_either(Parse *p);

/* After ( */
static void parse_group(Parse *p) {
    bool no_case = p->no_case;
    Kind kind = DONE;
    if (*p->p == '?') {
        p->p++;
        if (*p->p == 'i') p->no_case = true, p->p++;
        if (*p->p == '=') kind = AHEAD;
        if (*p->p == '!') kind = NOT_AHEAD;
        p->p++;
    }
    size_t at = kind == DONE ? 0 : emit(p->re, kind, NULL);
    parse_either(p);
    if (*p->p++ != ')') die(p, "the end of a group");
    if (kind != DONE) {
        emit(p->re, DONE, NULL);
        p->re->steps[at].x = p->re->n;
    }
    p->no_case = no_case;
}

static bool *parse_set(Parse *p) {
    if (*p->p == '[') {
        p->p++;
        return parse_class(p);
    }
    bool *set = new_set(p), whole = false;
    uint32_t c;
    if (*p->p == '\\') {
        p->p++;
        whole = add_escape(p, set, &c);
    } else {
        c = next_point(p);
    }
    if (!whole) add_range(p, set, c, c);
    return set;
}

static void parse_one(Parse *p) {
    const uint8_t *at = p->p;
    if (*p->p == '(') {
        p->p++;
        parse_group(p);
        return;
    }
    if (*p->p == '$' || (p->p[0] == '\\' && p->p[1] == 'b')) {
        emit(p->re, *p->p == '$' ? AT_END : WORD_EDGE, NULL);
        p->p += *p->p == '$' ? 1 : 2;
        return;
    }
    size_t n = p->re->n_sets;
    for (size_t i = 0; i < n; i++) {
        if (p->re->sets[i].at != at) continue;
        p->p = p->re->sets[i].end;
        emit(p->re, SET, p->re->sets[i].has);
        return;
    }
    bool *set = parse_set(p);
    p->re->sets[n].at = at; /* the first of those it made is the whole */
    p->re->sets[n].end = p->p;
    emit(p->re, SET, set);
}

/* Reads the piece of the expression from `at` again. */
static void parse_again(Parse *p, const uint8_t *at) {
    const uint8_t *end = p->p;
    p->p = at;
    parse_one(p);
    p->p = end;
}

/* Reads how often a piece is repeated. The piece has been read once; its steps are removed again. */
static void parse_many(Parse *p) {
    VmRegex *re = p->re;
    const uint8_t *at = p->p;
    size_t start = re->n, least = 1, most = 1;
    parse_one(p);
    switch (*p->p) {
    case '?':
        least = 0, most = 1, p->p++;
        break;
    case '*':
        least = 0, most = SIZE_MAX, p->p++;
        break;
    case '+':
        least = 1, most = SIZE_MAX, p->p++;
        break;
    case '{':
        least = most = (size_t)strtol((const char *)p->p + 1, (char **)&p->p, 10);
        if (*p->p == ',') most = (size_t)strtol((const char *)p->p + 1, (char **)&p->p, 10);
        p->p++;
        break;
    default:
        return;
    }
    const uint8_t *after = p->p;
    bool atomic = *after == '+';
    re->n = start;
    if (atomic) emit(re, ATOMIC, NULL);
    for (size_t i = 0; i < least; i++) parse_again(p, at);
    size_t n_splits = 0, splits[16];
    if (most == SIZE_MAX) {
        size_t split = emit(re, SPLIT, NULL);
        re->steps[split].x = re->n;
        parse_again(p, at);
        size_t back = emit(re, JUMP, NULL);
        re->steps[back].x = split;
        re->steps[split].y = re->n;
    } else {
        for (size_t i = least; i < most; i++) {
            size_t split = splits[n_splits++] = emit(re, SPLIT, NULL);
            re->steps[split].x = re->n;
            parse_again(p, at);
        }
        while (n_splits) re->steps[splits[--n_splits]].y = re->n;
    }
    if (atomic) {
        emit(re, DONE, NULL);
        re->steps[start].x = re->n;
    }
    p->p = after + atomic;
}

static void parse_either(Parse *p) {
    VmRegex *re = p->re;
    size_t ends[40], n_ends = 0;
    for (;;) {
        size_t split = emit(re, SPLIT, NULL);
        re->steps[split].x = re->n;
        while (*p->p && *p->p != '|' && *p->p != ')') parse_many(p);
        ends[n_ends++] = emit(re, JUMP, NULL);
        re->steps[split].y = re->n;
        if (*p->p != '|') {
            re->steps[split].y = SIZE_MAX; /* no other branch */
            break;
        }
        p->p++;
    }
    while (n_ends) re->steps[ends[--n_ends]].x = re->n;
}

VmRegex *vm_compile(const char *pattern, const VmUnicode *unicode) {
    VmRegex *re = tn_xcalloc(1, sizeof *re);
    Parse p = {.re = re, .unicode = unicode, .p = (const uint8_t *)pattern};
    re->word = tn_xcalloc(POINTS, 1);
    for (uint32_t c = 0; c < POINTS; c++) {
        const char *have = unicode->category[c];
        re->word[c] = have[0] == 'L' || have[0] == 'M' || memcmp(have, "Nd", 2) == 0 ||
                      memcmp(have, "Nl", 2) == 0 || memcmp(have, "Pc", 2) == 0;
    }
    parse_either(&p);
    if (*p.p) die(&p, "more than an expression");
    emit(re, DONE, NULL);
    return re;
}

void vm_free(VmRegex *re) {
    for (size_t i = 0; i < re->n_sets; i++) free(re->sets[i].has);
    free(re->sets);
    free(re->word);
    free(re->steps);
    free(re);
}

typedef struct Subject {
    const VmRegex *re;
    const uint32_t *text;
    size_t n;
} Subject;

static bool run(const Subject *s, size_t pc, size_t at, size_t *end) {
    for (;;) {
        const Step *step = &s->re->steps[pc];
        size_t inner;
        switch (step->kind) {
        case SET:
            if (at == s->n || !step->set[s->text[at]]) return false;
            at++, pc++;
            break;
        case SPLIT:
            if (step->y != SIZE_MAX && run(s, step->x, at, end)) return true;
            pc = step->y == SIZE_MAX ? step->x : step->y;
            break;
        case JUMP:
            pc = step->x;
            break;
        case AHEAD:
        case NOT_AHEAD:
            if (run(s, pc + 1, at, &inner) != (step->kind == AHEAD)) return false;
            pc = step->x;
            break;
        case ATOMIC:
            if (!run(s, pc + 1, at, &at)) return false;
            pc = step->x;
            break;
        case AT_END:
            if (at != s->n) return false;
            pc++;
            break;
        case WORD_EDGE:
            if ((at > 0 && s->re->word[s->text[at - 1]]) == (at < s->n && s->re->word[s->text[at]]))
                return false;
            pc++;
            break;
        case DONE:
            *end = at;
            return true;
        }
    }
}

bool vm_find(const VmRegex *re, const uint32_t *text, size_t n, size_t from, size_t *out_start,
             size_t *out_end) {
    Subject s = {re, text, n};
    for (*out_start = from; *out_start <= n; ++*out_start)
        if (run(&s, 0, *out_start, out_end)) return true;
    return false;
}
