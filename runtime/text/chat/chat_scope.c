/* Names that a scope assigns, and that parts of it read before.
 *
 * jinja2 decides when it compiles where each name of a scope comes from. A name that the scope assigns, and neither reads before itself nor
 * finds in a scope around it, begins undefined, even if a variable of that name is given: only loops, macros and other scopes inside
 * can see that, since what reads it in the scope itself makes it a given one. So {% for x in [1] %}{{ n }}{% endfor %}{% set n = 2 %} prints
 * nothing. What an if assigns begins as a given one too.
 *
 * Here names are looked up when they are used. So each scope gets the list of the names that must begin undefined (`unset` of its
 * node); names that nobody reads too early are left out. */
#include "jinja.h"

typedef enum Load { PARAM, GIVEN, OUTER, UNSET, ANY } Load; /* ANY: unset, but nothing reads it before */
typedef struct Scope {
    TnJinja *j;
    const struct Scope *up;
    TnMap refs, stores; /* name: Load; name: none */
    TnMap inner;        /* names that occur in the scopes inside, so far */
    TnNode scopes;      /* its list: these scopes */
} Scope;

static void statements(Scope *s, TnNode *const *body);

static bool known(const Scope *s, TnVal name) {
    for (; s; s = s->up)
        if (tn_j_get(s->j, &s->refs, name)) return true;
    return false;
}
static void define(Scope *s, TnVal name, Load load) {
    tn_j_put(s->j, &s->refs, name, tn_j_int(load));
}
static void store(Scope *s, TnStr name, bool param) {
    TnVal key = tn_j_of(name);
    tn_j_put(s->j, &s->stores, key, tn_j_bool(true));
    if (param)
        define(s, key, PARAM);
    else if (!tn_j_get(s->j, &s->refs, key))
        define(s, key, known(s->up, key) ? OUTER : tn_j_get(s->j, &s->inner, key) ? UNSET : ANY);
}
/* All names that an expression or a statement has, as loads of the scope or as names inside it. */
static void names(Scope *s, const TnNode *n, bool inside) {
    if (!n) return;
    tn_j_nest(s->j);
    tn_j_step(s->j, 1);
    TnVal key = tn_j_of(n->s);
    if (n->kind == JN_NAME && inside)
        tn_j_put(s->j, &s->inner, key, tn_j_bool(true));
    else if (n->kind == JN_NAME && !known(s, key))
        define(s, key, GIVEN);
    names(s, n->a, inside), names(s, n->b, inside);
    if (n->kind != JN_MACRO && n->kind != JN_CALLBLOCK)
        names(s, n->c, inside); /* theirs is the macro around */
    for (size_t i = 0; i < n->n; i++) names(s, n->list[i], inside);
    for (TnNode **b = n->body; b && *b; b++) names(s, *b, inside);
    for (TnNode **b = n->other; b && *b; b++) names(s, *b, inside);
    s->j->depth--;
}
static void target(Scope *s, const TnNode *n, bool param) {
    if (n->kind == JN_TUPLELIT)
        for (size_t i = 0; i < n->n; i++) target(s, n->list[i], param);
    else if (n->kind == JN_ATTR)
        names(s, n->a, false);
    else
        store(s, n->s, param);
}

/* A branch does not see what others define. What one of them assigns may be left as it was. */
static void if_(Scope *s, const TnNode *n) {
    TnNode *const *const bodies[] = {n->body, n->other};
    Scope all = {.j = s->j};
    names(s, n->a, false);
    size_t refs = s->refs.n, stores = s->stores.n;
    for (int k = 0; k < 2; k++) {
        statements(s, bodies[k]);
        for (size_t i = refs; i < s->refs.n; i++) tn_j_put(s->j, &all.refs, s->refs.k[i], s->refs.v[i]);
        for (size_t i = stores; i < s->stores.n; i++)
            tn_j_put(s->j, &all.stores, s->stores.k[i], s->stores.v[i]);
        s->refs.n = refs, s->stores.n = stores;
    }
    for (size_t i = 0; i < all.refs.n; i++) define(s, all.refs.k[i], (Load)all.refs.v[i].i);
    for (size_t i = 0; i < all.stores.n; i++) {
        TnVal name = all.stores.k[i];
        tn_j_put(s->j, &s->stores, name, all.stores.v[i]);
        define(s, name, known(s->up, name) ? OUTER : GIVEN);
    }
}
/* n has a scope of its own, with all of its expressions but those that were seen. */
static void inside(Scope *s, TnNode *n) {
    tn_j_push(s->j, &s->scopes, n);
    names(s, n, true);
}
static void statements(Scope *s, TnNode *const *body) {
    tn_j_nest(s->j);
    for (; body && *body; body++) {
        TnNode *n = *body;
        switch (n->kind) {
        case JN_IF:
            if_(s, n);
            break;
        case JN_SET:
            names(s, n->b, false);
            target(s, n->a, false);
            break;
        case JN_SETBLOCK:
            inside(s, n);
            target(s, n->a, false);
            break;
        case JN_MACRO:
            inside(s, n);
            store(s, n->s, false);
            break;
        case JN_FOR:
        case JN_FILTERBLOCK:
            names(s, n->b, false);
            inside(s, n);
            break;
        case JN_CALLBLOCK:
            names(s, n->a, false);
            inside(s, n);
            break;
        case JN_WITH:
            for (size_t i = 0; i < n->n; i++) names(s, n->list[i]->b, false);
            inside(s, n);
            break;
        case JN_BLOCK:
            inside(s, n);
            break;
        default:
            names(s, n, false);
        }
    }
    s->j->depth--;
}
static TnNode **unset_names(const Scope *s) {
    TnNode list = {0};
    for (size_t i = 0; i < s->refs.n; i++) {
        if (s->refs.v[i].i != UNSET) continue;
        TnNode *name = tn_j_alloc(s->j, 1, sizeof *name);
        name->kind = JN_NAME, name->s = s->refs.k[i].s;
        tn_j_push(s->j, &list, name);
    }
    if (list.n) tn_j_push(s->j, &list, NULL);
    return list.list;
}
static TnNode **analyze(TnJinja *j, TnNode *of, TnNode *const *body, const Scope *up) {
    Scope s = {.j = j, .up = up};
    tn_j_nest(j);
    if (of && of->kind == JN_FOR) {
        target(&s, of->a, true);
        store(&s, TN_LIT("loop"), true);
    }
    for (size_t i = 0; of && i < of->n; i++) {
        if (of->kind == JN_WITH) target(&s, of->list[i]->a, true);
        if (of->kind != JN_MACRO && of->kind != JN_CALLBLOCK) continue;
        store(&s, of->list[i]->s, true);
        names(&s, of->list[i]->a, false);
    }
    statements(&s, body);
    for (size_t i = 0; i < s.scopes.n; i++) {
        TnNode *n = s.scopes.list[i];
        n->unset = analyze(j, n, n->body, &s);
        if (n->kind == JN_FOR && n->other) n->unset_other = analyze(j, NULL, n->other, &s);
    }
    j->depth--;
    return unset_names(&s);
}
TnNode **tn_j_scopes(TnJinja *j, TnNode **tree) {
    j->depth = 0;
    TnNode **unset = analyze(j, NULL, tree, NULL);
    j->depth = 0;
    return unset;
}
