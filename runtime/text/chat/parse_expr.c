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
    bool named = false, star = false, stars = false;
    while (!tn_j_accept(j, JT_OP, ")")) {
        if (call->n) {
            tn_j_expect(j, JT_OP, ",");
            if (tn_j_accept(j, JT_OP, ")")) break;
        }
        bool one = tn_j_is(j, JT_OP, "*"), two = tn_j_is(j, JT_OP, "**");
        bool name = tn_j_is(j, JT_NAME, NULL) && j->tokens[j->at + 1].kind == JT_OP &&
                    tn_j_same(j->tokens[j->at + 1].s, "=");
        j->line = tn_j_peek(j)->line;
        if (stars || (star && !two && !name) || (named && !one && !two && !name))
            tn_j_fail(j, "an argument is out of order");
        TnNode *item = one || two ? tn_j_node(j, JN_STAR) : name ? tn_j_node(j, JN_KWARG) : NULL;
        if (item) {
            item->s = tn_j_peek(j)->s;
            j->at += name ? 2 : 1;
            item->a = tn_j_expr(j, true);
        } else {
            item = tn_j_expr(j, true);
        }
        for (size_t i = 0; name && i < call->n; i++)
            if (call->list[i]->kind == JN_KWARG && tn_j_equal(j, tn_j_of(call->list[i]->s), tn_j_of(item->s)))
                tn_j_fail(j, "a named argument is given twice");
        tn_j_push(j, call, item);
        star |= one, stars |= two, named |= name;
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
    for (TnNode *m = j->in_macro; m; m = m->c) {
        m->varargs |= tn_j_same(s, "varargs");
        m->kwargs |= tn_j_same(s, "kwargs");
        m->caller |= tn_j_same(s, "caller");
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
/* An index, or SLICE with its three parts in list; NULL: left out. */
static TnNode *subscribed(TnJinja *j) {
    TnNode *n = tn_j_node(j, JN_SLICE), *part[3] = {NULL, NULL, NULL};
    int at = 0;
    if (!tn_j_is(j, JT_OP, ":")) part[0] = tn_j_expr(j, true);
    if (!tn_j_is(j, JT_OP, ":")) return part[0];
    while (at < 2 && tn_j_accept(j, JT_OP, ":")) {
        at++;
        if (!tn_j_is(j, JT_OP, ":") && !tn_j_is(j, JT_OP, "]") && !tn_j_is(j, JT_OP, ","))
            part[at] = tn_j_expr(j, true);
    }
    for (int k = 0; k < 3; k++) tn_j_push(j, n, part[k]);
    return n;
}
static TnNode *subscript(TnJinja *j, TnNode *of) {
    TnNode *n = tn_j_node(j, JN_ITEM), *all = tn_j_node(j, JN_TUPLELIT);
    while (!tn_j_accept(j, JT_OP, "]")) {
        if (all->n) tn_j_expect(j, JT_OP, ",");
        if (all->n && tn_j_is(j, JT_OP, "]")) tn_j_expect(j, JT_NAME, "an expression");
        tn_j_push(j, all, subscribed(j));
    }
    for (size_t i = 0; all->n > 1 && i < all->n; i++)
        if (all->list[i]->kind == JN_SLICE && !all->list[i]->a)
            tn_j_fail(j, "a slice among several indices is not supported");
    n->b = all->n == 1 ? all->list[0] : all;
    if (n->b->kind == JN_SLICE && !n->b->a) n = n->b;
    n->a = of;
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
/* The name of a filter or a test. One with dots is never known, which counts only where it is used. */
static TnStr dotted(TnJinja *j) {
    TnStr s = tn_j_expect(j, JT_NAME, NULL)->s;
    while (tn_j_accept(j, JT_OP, ".")) {
        TnOut *o = tn_j_open(j);
        tn_o_put(o, s);
        tn_o_puts(o, ".");
        tn_o_put(o, tn_j_expect(j, JT_NAME, NULL)->s);
        s = tn_j_close(o).s;
    }
    return s;
}
static TnNode *test(TnJinja *j, TnNode *of) {
    bool no = tn_j_accept(j, JT_NAME, "not");
    TnNode *n = tn_j_node(j, JN_TEST);
    n->a = of;
    n->s = dotted(j);
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
        n->s = dotted(j);
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
        if (tn_j_is(j, JT_OP, ")") || tn_j_is(j, JT_END, NULL)) break;
        tn_j_push(j, n, target_one(j, false));
    }
    return n;
}
