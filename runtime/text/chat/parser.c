/* Parses statements. Bodies are arrays of nodes that end with NULL. */
#include "jinja.h"

static TnNode **body(TnJinja *j, const char *const *ends);

static void end(TnJinja *j) {
    tn_j_expect(j, JT_END, NULL);
}
/* After a body: the name that ended it is the next token. */
static void close_block(TnJinja *j, const char *name) {
    tn_j_expect(j, JT_NAME, name);
    end(j);
}
static TnNode **block(TnJinja *j, const char *name) {
    const char *const ends[] = {name, NULL};
    end(j);
    TnNode **b = body(j, ends);
    close_block(j, name);
    return b;
}
/* IF: a, body, other. */
static TnNode *if_(TnJinja *j) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    static const char *const last[] = {"endif", NULL};
    TnNode *n = tn_j_node(j, JN_IF), *top = n;
    for (;;) {
        n->a = tn_j_tuple(j, false);
        end(j);
        n->body = body(j, ends);
        if (tn_j_accept(j, JT_NAME, "elif")) {
            TnNode *next = tn_j_node(j, JN_IF);
            n->other = tn_j_alloc(j, 2, sizeof(TnNode *));
            n->other[0] = next;
            n = next;
            continue;
        }
        if (tn_j_accept(j, JT_NAME, "else")) {
            end(j);
            n->other = body(j, last);
        }
        close_block(j, "endif");
        return top;
    }
}
/* FOR: target a, in b, filter c, body, other. jinja2 makes a function of a recursive one, so its `else` is in no loop. */
static TnNode *for_(TnJinja *j) {
    static const char *const ends[] = {"else", "endfor", NULL}, *const last[] = {"endfor", NULL};
    TnNode *n = tn_j_node(j, JN_FOR);
    n->a = tn_j_target(j, false);
    tn_j_expect(j, JT_NAME, "in");
    n->b = tn_j_tuple(j, false);
    if (tn_j_accept(j, JT_NAME, "if")) n->c = tn_j_expr(j, true);
    n->recursive = tn_j_accept(j, JT_NAME, "recursive");
    end(j);
    int loops = j->in_loop;
    j->in_loop++;
    n->body = body(j, ends);
    j->in_loop = n->recursive ? 0 : loops;
    if (tn_j_accept(j, JT_NAME, "else")) {
        end(j);
        n->other = body(j, last);
    }
    j->in_loop = loops;
    close_block(j, "endfor");
    return n;
}
/* SET: a = b; SETBLOCK: a, body, filters in b over a NULL. */
static TnNode *set(TnJinja *j) {
    TnNode *n = tn_j_node(j, JN_SET);
    n->a = tn_j_target(j, true);
    if (tn_j_accept(j, JT_OP, "=")) {
        n->b = tn_j_tuple(j, true);
        end(j);
        return n;
    }
    n->kind = JN_SETBLOCK;
    n->b = tn_j_filters(j, NULL, false);
    n->body = block(j, "endset");
    return n;
}
/* c of a MACRO or CALLBLOCK is the one around it.
 *
 * The parameters of MACRO and CALLBLOCK: list of NAME, with its default in a. */
static void signature(TnJinja *j, TnNode *n) {
    tn_j_expect(j, JT_OP, "(");
    while (!tn_j_accept(j, JT_OP, ")")) {
        if (n->n) tn_j_expect(j, JT_OP, ",");
        TnNode *p = tn_j_node(j, JN_NAME);
        p->s = tn_j_expect(j, JT_NAME, NULL)->s;
        if (tn_j_accept(j, JT_OP, "="))
            p->a = tn_j_expr(j, true);
        else if (n->n && n->list[n->n - 1]->a)
            tn_j_fail(j, "a parameter without default after one with");
        tn_j_push(j, n, p);
    }
}
static TnNode *macro(TnJinja *j, bool call) {
    TnNode *n = tn_j_node(j, call ? JN_CALLBLOCK : JN_MACRO), *outer = j->in_macro;
    int loops = j->in_loop;
    n->s = call ? TN_LIT("caller") : tn_j_expect(j, JT_NAME, NULL)->s;
    if (!call || tn_j_is(j, JT_OP, "(")) signature(j, n);
    if (call) {
        n->a = tn_j_expr(j, true);
        if (n->a->kind != JN_CALL) tn_j_fail(j, "call without a call");
    }
    n->c = outer;
    j->in_macro = n, j->in_loop = 0;
    n->body = block(j, call ? "endcall" : "endmacro");
    j->in_macro = outer, j->in_loop = loops;
    return n;
}
static TnNode *with(TnJinja *j) {
    TnNode *n = tn_j_node(j, JN_WITH);
    while (!tn_j_is(j, JT_END, NULL)) {
        if (n->n) tn_j_expect(j, JT_OP, ",");
        TnNode *one = tn_j_node(j, JN_SET);
        one->a = tn_j_target(j, false);
        tn_j_expect(j, JT_OP, "=");
        one->b = tn_j_expr(j, true);
        tn_j_push(j, n, one);
    }
    n->body = block(j, "endwith");
    return n;
}
static TnNode *statement(TnJinja *j) {
    const TnToken *t = tn_j_expect(j, JT_NAME, NULL);
    TnNode *n;
    j->line = t->line;
    if (tn_j_same(t->s, "if")) return if_(j);
    if (tn_j_same(t->s, "for")) return for_(j);
    if (tn_j_same(t->s, "set")) return set(j);
    if (tn_j_same(t->s, "macro")) return macro(j, false);
    if (tn_j_same(t->s, "call")) return macro(j, true);
    if (tn_j_same(t->s, "with")) return with(j);
    if (tn_j_same(t->s, "filter")) {
        n = tn_j_node(j, JN_FILTERBLOCK);
        n->b = tn_j_filters(j, NULL, true);
        n->body = block(j, "endfilter");
        return n;
    }
    if (tn_j_same(t->s, "generation")) {
        n = tn_j_node(j, JN_BLOCK);
        int loops = j->in_loop;
        j->in_loop = 0; /* jinja2 makes it a function of its own */
        n->body = block(j, "endgeneration");
        j->in_loop = loops;
        return n;
    }
    if (tn_j_same(t->s, "break") || tn_j_same(t->s, "continue")) {
        if (!j->in_loop) tn_j_fail(j, "'%.*s' outside of a loop", (int)t->s.n, t->s.p);
        n = tn_j_node(j, tn_j_same(t->s, "break") ? JN_BREAK : JN_CONTINUE);
        end(j);
        return n;
    }
    static const char *const lacking[] = {"block", "extends", "include", "import", "from", "autoescape"};
    for (size_t i = 0; i < TN_COUNT(lacking); i++)
        if (tn_j_same(t->s, lacking[i])) tn_j_fail(j, "the tag '%s' is not supported", lacking[i]);
    tn_j_fail(j, "got tag '%.*s', expected a known one", (int)(t->s.n < 60 ? t->s.n : 60), t->s.p);
}
/* Up to a block with one of these names, which is then the next token; or to the end of the template. */
static TnNode **body(TnJinja *j, const char *const *ends) {
    TnNode list = {0};
    if (++j->depth > 100) tn_j_fail(j, "blocks are nested too deep, expected at most 100 levels");
    for (;;) {
        TnNode *n;
        if (tn_j_accept(j, JT_EOF, NULL)) {
            if (ends) tn_j_fail(j, "got the end of the template, expected '%s'", ends[0]);
            break;
        }
        if (tn_j_is(j, JT_TEXT, NULL)) {
            n = tn_j_node(j, JN_TEXT);
            n->s = tn_j_peek(j)->s;
            j->at++;
        } else if (tn_j_accept(j, JT_VAR, NULL)) {
            n = tn_j_node(j, JN_PRINT);
            n->a = tn_j_tuple(j, true);
            tn_j_expect(j, JT_VAR_END, NULL);
        } else {
            tn_j_expect(j, JT_BEGIN, NULL);
            bool ended = false;
            for (size_t k = 0; ends && ends[k]; k++) ended |= tn_j_is(j, JT_NAME, ends[k]);
            if (ended) break;
            n = statement(j);
        }
        tn_j_push(j, &list, n);
    }
    j->depth--;
    tn_j_push(j, &list, NULL);
    return list.list;
}
TnNode **tn_j_parse(TnJinja *j) {
    return body(j, NULL);
}
