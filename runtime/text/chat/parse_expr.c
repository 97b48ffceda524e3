/* Parses expressions, with jinja2's precedence: if-else, or, and, not, comparisons, + -, ~, * / // %, **, sign, and then
 * attributes, calls, filters and tests. */
#include "jinja.h"

TnNode *tn_j_node(TnJinja *j, TnNodeKind kind) {
    TnNode *n = tn_j_alloc(j, 1, sizeof *n);
    n->kind = kind;
    n->line = tn_j_peek(j)->line;
    return n;
}
void tn_j_push(TnJinja *j, TnNode *to, TnNode *item) {
    if (to->n == to->cap) {
        size_t cap = to->cap ? to->cap * 2 : 4;
        TnNode **list = tn_j_alloc(j, cap, sizeof *list);
        if (to->n) memcpy(list, to->list, to->n * sizeof *list);
        to->list = list, to->cap = cap;
    }
    to->list[to->n++] = item;
}
const TnToken *tn_j_peek(TnJinja *j) {
    return &j->tokens[j->at];
}
bool tn_j_is(TnJinja *j, TnTokenKind kind, const char *text) {
    const TnToken *t = tn_j_peek(j);
    return t->kind == kind && (!text || tn_j_same(t->s, text));
}
bool tn_j_accept(TnJinja *j, TnTokenKind kind, const char *text) {
    if (!tn_j_is(j, kind, text)) return false;
    if (kind != JT_EOF) j->at++;
    return true;
}
const TnToken *tn_j_expect(TnJinja *j, TnTokenKind kind, const char *text) {
    static const char *const names[] = {
        "text",        "a name",  "an integer",           "a number",    "a string",
        "an operator", "a block", "the end of the block", "a print tag", "the end of the print tag",
        "the end"};
    const TnToken *t = tn_j_peek(j);
    if (!tn_j_accept(j, kind, text)) {
        j->line = t->line;
        if (t->s.n)
            tn_j_fail(j, "got '%.*s', expected %s", (int)(t->s.n < 60 ? t->s.n : 60), t->s.p,
                      text ? text : names[kind]);
        tn_j_fail(j, "got %s, expected %s", names[t->kind], text ? text : names[kind]);
    }
    return t;
}
static TnNode *binary(TnJinja *j, TnNodeKind kind, TnStr op, TnNode *a, TnNode *b) {
    TnNode *n = tn_j_node(j, kind);
    n->line = a->line, n->s = op, n->a = a, n->b = b;
    return n;
}
static TnNode *constant(TnJinja *j, TnVal v) {
    TnNode *n = tn_j_node(j, JN_CONST);
    n->value = v;
    return n;
}
static void nest(TnJinja *j, int by) {
    j->depth += by;
    j->line = tn_j_peek(j)->line;
    if (j->depth > 180) tn_j_fail(j, "nested too deep, expected at most 180 levels");
}
void tn_j_call_args(TnJinja *j, TnNode *call) {
    bool named = false;
    while (!tn_j_accept(j, JT_OP, ")")) {
        if (call->n) {
            tn_j_expect(j, JT_OP, ",");
            if (tn_j_accept(j, JT_OP, ")")) break;
        }
        if (tn_j_is(j, JT_OP, "*") || tn_j_is(j, JT_OP, "**")) {
            TnNode *star = tn_j_node(j, JN_STAR);
            star->s = tn_j_peek(j)->s;
            j->at++;
            star->a = tn_j_expr(j, true);
            tn_j_push(j, call, star);
        } else if (tn_j_is(j, JT_NAME, NULL) && j->tokens[j->at + 1].kind == JT_OP &&
                   tn_j_same(j->tokens[j->at + 1].s, "=")) {
            TnNode *kw = tn_j_node(j, JN_KWARG);
            kw->s = tn_j_peek(j)->s;
            j->at += 2;
            kw->a = tn_j_expr(j, true);
            tn_j_push(j, call, kw);
            named = true;
        } else {
            j->line = tn_j_peek(j)->line;
            if (named) tn_j_fail(j, "a positional argument after a named one");
            tn_j_push(j, call, tn_j_expr(j, true));
        }
    }
}
static TnNode *map_literal(TnJinja *j) {
    TnNode *n = tn_j_node(j, JN_MAPLIT);
    while (!tn_j_accept(j, JT_OP, "}")) {
        if (n->n) {
            tn_j_expect(j, JT_OP, ",");
            if (tn_j_accept(j, JT_OP, "}")) break;
        }
        tn_j_push(j, n, tn_j_expr(j, true));
        tn_j_expect(j, JT_OP, ":");
        tn_j_push(j, n, tn_j_expr(j, true));
    }
    return n;
}
static TnNode *name(TnJinja *j) {
    TnStr s = tn_j_peek(j)->s;
    TnNode *n = tn_j_node(j, JN_NAME);
    j->at++;
    if (tn_j_same(s, "true") || tn_j_same(s, "True")) return constant(j, tn_j_bool(true));
    if (tn_j_same(s, "false") || tn_j_same(s, "False")) return constant(j, tn_j_bool(false));
    if (tn_j_same(s, "none") || tn_j_same(s, "None")) return constant(j, (TnVal){.kind = JV_NONE});
    n->s = s;
    if (j->in_macro) {
        if (tn_j_same(s, "varargs")) j->in_macro->varargs = true;
        if (tn_j_same(s, "kwargs")) j->in_macro->kwargs = true;
        if (tn_j_same(s, "caller")) j->in_macro->caller = true;
    }
    return n;
}
static TnNode *primary(TnJinja *j) {
    const TnToken *t = tn_j_peek(j);
    if (t->kind == JT_NAME) return name(j);
    if (t->kind == JT_INT) return j->at++, constant(j, tn_j_int(t->i));
    if (t->kind == JT_FLOAT) return j->at++, constant(j, (TnVal){.kind = JV_FLOAT, .f = t->f});
    if (t->kind == JT_STR) { /* strings side by side are one */
        TnOut *b = tn_j_open(j);
        for (; tn_j_is(j, JT_STR, NULL); j->at++) tn_o_put(b, tn_j_peek(j)->s);
        return constant(j, tn_j_close(b));
    }
    if (tn_j_accept(j, JT_OP, "(")) {
        TnNode *n;
        if (tn_j_is(j, JT_OP, ")"))
            n = tn_j_node(j, JN_TUPLELIT);
        else
            n = tn_j_tuple(j, true);
        tn_j_expect(j, JT_OP, ")");
        return n;
    }
    if (tn_j_accept(j, JT_OP, "[")) {
        TnNode *n = tn_j_node(j, JN_LISTLIT);
        while (!tn_j_accept(j, JT_OP, "]")) {
            if (n->n) {
                tn_j_expect(j, JT_OP, ",");
                if (tn_j_accept(j, JT_OP, "]")) break;
            }
            tn_j_push(j, n, tn_j_expr(j, true));
        }
        return n;
    }
    if (tn_j_accept(j, JT_OP, "{")) return map_literal(j);
    tn_j_expect(j, JT_NAME, "an expression");
    return NULL;
}
static TnNode *subscript(TnJinja *j, TnNode *of) {
    TnNode *n = tn_j_node(j, JN_ITEM), *part[3] = {NULL, NULL, NULL};
    int colons = 0;
    n->a = of;
    while (!tn_j_is(j, JT_OP, "]")) {
        if (tn_j_accept(j, JT_OP, ":")) {
            if (++colons > 2) tn_j_expect(j, JT_OP, "]");
        } else if (part[colons]) {
            tn_j_expect(j, JT_OP, "]");
        } else {
            part[colons] = tn_j_expr(j, true);
        }
    }
    j->at++;
    if (!colons && !part[0]) tn_j_fail(j, "an empty subscript");
    n->b = part[0];
    if (!colons) return n;
    n->kind = JN_SLICE;
    for (int k = 0; k < 3; k++) tn_j_push(j, n, part[k]);
    return n;
}
static TnNode *call(TnJinja *j, TnNode *of) {
    TnNode *n = tn_j_node(j, JN_CALL);
    n->a = of;
    tn_j_call_args(j, n);
    return n;
}
static TnNode *postfix(TnJinja *j, TnNode *n) {
    for (;;) {
        if (tn_j_accept(j, JT_OP, ".")) {
            if (tn_j_is(j, JT_INT, NULL)) {
                TnNode *index = constant(j, tn_j_int(tn_j_peek(j)->i));
                j->at++;
                n = binary(j, JN_ITEM, (TnStr){0}, n, index);
            } else {
                TnStr s = tn_j_expect(j, JT_NAME, NULL)->s;
                n = binary(j, JN_ATTR, s, n, NULL);
            }
        } else if (tn_j_accept(j, JT_OP, "[")) {
            n = subscript(j, n);
        } else if (tn_j_accept(j, JT_OP, "(")) {
            n = call(j, n);
        } else {
            return n;
        }
    }
}
static TnNode *test(TnJinja *j, TnNode *of) {
    bool no = tn_j_accept(j, JT_NAME, "not");
    TnNode *n = tn_j_node(j, JN_TEST);
    n->a = of;
    n->s = tn_j_expect(j, JT_NAME, NULL)->s;
    const TnToken *t = tn_j_peek(j);
    if (tn_j_accept(j, JT_OP, "(")) {
        tn_j_call_args(j, n);
    } else if ((t->kind == JT_NAME && !tn_j_same(t->s, "else") && !tn_j_same(t->s, "or") &&
                !tn_j_same(t->s, "and")) ||
               t->kind == JT_STR || t->kind == JT_INT || t->kind == JT_FLOAT || tn_j_is(j, JT_OP, "[") ||
               tn_j_is(j, JT_OP, "{")) {
        if (tn_j_is(j, JT_NAME, "is")) tn_j_expect(j, JT_OP, "no second test");
        tn_j_push(j, n, postfix(j, primary(j)));
    }
    return no ? binary(j, JN_NOT, (TnStr){0}, n, NULL) : n;
}
TnNode *tn_j_filters(TnJinja *j, TnNode *node, bool begin) {
    while (begin || tn_j_accept(j, JT_OP, "|")) {
        TnNode *n = tn_j_node(j, JN_FILTER);
        begin = false;
        n->a = node;
        n->s = tn_j_expect(j, JT_NAME, NULL)->s;
        if (tn_j_accept(j, JT_OP, "(")) tn_j_call_args(j, n);
        node = n;
    }
    return node;
}
TnNode *tn_j_unary(TnJinja *j, bool with_filter) {
    TnNode *n;
    nest(j, 1);
    if (tn_j_accept(j, JT_OP, "-"))
        n = binary(j, JN_NEG, (TnStr){0}, tn_j_unary(j, false), NULL);
    else if (tn_j_accept(j, JT_OP, "+"))
        n = binary(j, JN_POS, (TnStr){0}, tn_j_unary(j, false), NULL);
    else
        n = primary(j);
    n = postfix(j, n);
    while (with_filter) {
        if (tn_j_is(j, JT_OP, "|"))
            n = tn_j_filters(j, n, false);
        else if (tn_j_accept(j, JT_NAME, "is"))
            n = test(j, n);
        else if (tn_j_accept(j, JT_OP, "("))
            n = call(j, n);
        else
            break;
    }
    nest(j, -1);
    return n;
}
static TnNode *level(TnJinja *j, int at) {
    static const char *const ops[4][5] = {{"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}};
    if (at == 4) return tn_j_unary(j, true);
    TnNode *n = level(j, at + 1);
    for (size_t k = 0; k < 5 && ops[at][k];) {
        TnStr op = tn_j_peek(j)->s;
        if (tn_j_accept(j, JT_OP, ops[at][k]))
            n = binary(j, at == 1 ? JN_CONCAT : JN_BIN, op, n, level(j, at + 1)), k = 0;
        else
            k++;
    }
    return n;
}
/* COMPARE: a, then list of (s of the node, its a). */
static TnNode *compare(TnJinja *j) {
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    TnNode *first = level(j, 0), *n = NULL;
    for (;;) {
        TnStr op = {0};
        for (size_t k = 0; k < TN_COUNT(ops) && !op.n; k++)
            if (tn_j_accept(j, JT_OP, ops[k])) op = tn_j_plain(ops[k], strlen(ops[k]));
        if (!op.n && tn_j_accept(j, JT_NAME, "in")) op = TN_LIT("in");
        if (!op.n && tn_j_is(j, JT_NAME, "not") && j->tokens[j->at + 1].kind == JT_NAME &&
            tn_j_same(j->tokens[j->at + 1].s, "in"))
            j->at += 2, op = TN_LIT("not in");
        if (!op.n) return n ? n : first;
        if (!n) n = binary(j, JN_COMPARE, op, first, NULL);
        tn_j_push(j, n, binary(j, JN_BIN, op, level(j, 0), NULL));
    }
}
static TnNode *not_(TnJinja *j) {
    if (!tn_j_accept(j, JT_NAME, "not")) return compare(j);
    nest(j, 1);
    TnNode *n = binary(j, JN_NOT, (TnStr){0}, not_(j), NULL);
    nest(j, -1);
    return n;
}
static TnNode *and_(TnJinja *j) {
    TnNode *n = not_(j);
    while (tn_j_accept(j, JT_NAME, "and")) n = binary(j, JN_AND, (TnStr){0}, n, not_(j));
    return n;
}
static TnNode *or_(TnJinja *j) {
    TnNode *n = and_(j);
    while (tn_j_accept(j, JT_NAME, "or")) n = binary(j, JN_OR, (TnStr){0}, n, and_(j));
    return n;
}
/* COND: a if b else c; c may be NULL. */
TnNode *tn_j_expr(TnJinja *j, bool with_if) {
    nest(j, 1);
    TnNode *n = or_(j);
    while (with_if && tn_j_accept(j, JT_NAME, "if")) {
        n = binary(j, JN_COND, (TnStr){0}, n, or_(j));
        if (tn_j_accept(j, JT_NAME, "else")) n->c = tn_j_expr(j, true);
    }
    nest(j, -1);
    return n;
}
TnNode *tn_j_tuple(TnJinja *j, bool with_if) {
    TnNode *first = tn_j_expr(j, with_if);
    if (!tn_j_is(j, JT_OP, ",")) return first;
    TnNode *n = tn_j_node(j, JN_TUPLELIT);
    tn_j_push(j, n, first);
    while (tn_j_accept(j, JT_OP, ",")) {
        const TnToken *t = tn_j_peek(j);
        if (t->kind == JT_VAR_END || t->kind == JT_END || tn_j_is(j, JT_OP, ")")) break;
        tn_j_push(j, n, tn_j_expr(j, with_if));
    }
    return n;
}
static TnNode *target_one(TnJinja *j, bool with_ns) {
    if (tn_j_accept(j, JT_OP, "(")) {
        TnNode *n = tn_j_target(j, false);
        tn_j_expect(j, JT_OP, ")");
        return n;
    }
    TnNode *n = tn_j_node(j, JN_NAME);
    n->s = tn_j_expect(j, JT_NAME, NULL)->s;
    static const char *const kept[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t k = 0; k < TN_COUNT(kept); k++)
        if (tn_j_same(n->s, kept[k])) tn_j_fail(j, "cannot assign to '%s'", kept[k]);
    if (with_ns && tn_j_accept(j, JT_OP, "."))
        n = binary(j, JN_ATTR, tn_j_expect(j, JT_NAME, NULL)->s, n, NULL);
    return n;
}
TnNode *tn_j_target(TnJinja *j, bool with_ns) {
    TnNode *first = target_one(j, with_ns);
    if (!tn_j_is(j, JT_OP, ",")) return first;
    TnNode *n = tn_j_node(j, JN_TUPLELIT);
    tn_j_push(j, n, first);
    while (tn_j_accept(j, JT_OP, ",")) {
        if (tn_j_is(j, JT_OP, "=") || tn_j_is(j, JT_NAME, "in")) break;
        tn_j_push(j, n, target_one(j, false));
    }
    return n;
}
