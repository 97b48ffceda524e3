/* What jinja2 refuses when it compiles a template, though the part may never run: filters and tests that it does not know,
 * and assignments to `loop` inside a loop. Inside an if, an unknown name is refused only when it is used. */
#include "jinja.h"

typedef struct Checker {
    TnJinja *j;
    bool soft, in_loop;
} Checker;

static void check(Checker *c, const TnNode *n);
static void check_all(Checker *c, TnNode *const *body) {
    for (; body && *body; body++) check(c, *body);
}
/* The body of what makes a scope of its own. */
static void check_scope(Checker *c, TnNode *const *body) {
    bool soft = c->soft;
    c->soft = false;
    check_all(c, body);
    c->soft = soft;
}
static void check_name(Checker *c, const TnNode *n) {
    bool filter = n->kind == JN_FILTER;
    if (c->soft || (filter ? tn_j_filter_known(n->s) : tn_j_test_known(n->s))) return;
    c->j->line = n->line;
    tn_j_fail(c->j, "No %s named '%.*s'.", filter ? "filter" : "test", (int)(n->s.n < 60 ? n->s.n : 60),
              n->s.p);
}
static void check_target(Checker *c, const TnNode *target) {
    if (!target) return;
    if (target->kind == JN_TUPLELIT)
        for (size_t i = 0; i < target->n; i++) check_target(c, target->list[i]);
    c->j->line = target->line;
    if (target->kind == JN_NAME && c->in_loop && tn_j_same(target->s, "loop"))
        tn_j_fail(c->j, "Can't assign to special loop variable in for-loop target");
}
static void check_for(Checker *c, const TnNode *n) {
    bool outer = c->in_loop, soft = c->soft;
    check(c, n->b);
    c->in_loop = true;
    check_target(c, n->a);
    c->soft = false;
    check(c, n->c);
    check_all(c, n->body);
    check_all(c, n->other);
    c->soft = soft, c->in_loop = outer;
}
static void check_if(Checker *c, const TnNode *n) {
    bool soft = c->soft;
    c->soft = true;
    check(c, n->a);
    check_all(c, n->body);
    check_all(c, n->other);
    c->soft = soft;
}
/* Parameters with defaults, arguments, items: all that is in list. */
static void check_list(Checker *c, const TnNode *n) {
    for (size_t i = 0; i < n->n; i++) check(c, n->list[i]);
}
static void check(Checker *c, const TnNode *n) {
    bool soft = c->soft;
    if (!n) return;
    tn_j_nest(c->j);
    switch (n->kind) {
    case JN_IF:
        check_if(c, n);
        break;
    case JN_FOR:
        check_for(c, n);
        break;
    case JN_COND:
        c->soft = true;
        check(c, n->a), check(c, n->b), check(c, n->c);
        c->soft = soft;
        break;
    case JN_SET:
    case JN_SETBLOCK:
        check_target(c, n->a);
        check(c, n->b);
        check_scope(c, n->body);
        break;
    case JN_MACRO:
    case JN_CALLBLOCK:
        if (n->kind == JN_CALLBLOCK) check(c, n->a);
        check_list(c, n);
        check_scope(c, n->body);
        break;
    case JN_WITH:
        check_list(c, n);
        check_scope(c, n->body);
        break;
    default:
        if (n->kind == JN_FILTER || n->kind == JN_TEST) check_name(c, n);
        check(c, n->a), check(c, n->b);
        check_list(c, n);
        check_scope(c, n->body);
        break;
    }
    c->j->depth--;
}
void tn_j_check(TnJinja *j, TnNode **tree) {
    Checker c = {.j = j};
    j->depth = 0;
    check_all(&c, tree);
    j->depth = 0;
}
