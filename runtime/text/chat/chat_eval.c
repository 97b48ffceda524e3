/* Evaluates the tree. A scope is made by the body of a loop, a macro, a with, and blocks that are captured. */
#include <math.h>
#include "jinja.h"

typedef enum Flow { GO, BREAK, CONTINUE } Flow;
static Flow run(TnJinja *j, TnNode **body);
static Flow turns(TnJinja *j, const TnNode *n, TnVal over, size_t depth);

static void unset(TnJinja *j, TnNode *const *names) {
    for (; names && *names; names++)
        tn_j_put(j, &j->scope->vars, tn_j_of((*names)->s), tn_j_undefined((*names)->s));
}
static void enter(TnJinja *j, TnScope *up, TnNode *const *names) {
    TnScope *s = tn_j_alloc(j, 1, sizeof *s);
    s->up = up;
    j->scope = s;
    unset(j, names);
}
static TnVal str_of(TnStr s) {
    return tn_j_of(s);
}
static TnVal lookup(TnJinja *j, TnStr name) {
    for (TnScope *s = j->scope; s; s = s->up) {
        TnVal *v = tn_j_get(j, &s->vars, str_of(name));
        if (v) return *v;
    }
    if (tn_j_is_global(name)) return (TnVal){.kind = JV_FUNC, .s = name};
    return tn_j_undefined(name);
}
static void assign(TnJinja *j, const TnNode *target, TnVal v) {
    if (target->kind == JN_NAME) {
        tn_j_put(j, &j->scope->vars, str_of(target->s), v);
    } else if (target->kind == JN_ATTR) {
        TnVal ns = tn_j_eval(j, target->a);
        if (ns.kind != JV_NAMESPACE) tn_j_fail(j, "cannot assign attribute on non-namespace object");
        tn_j_put(j, ns.map, str_of(target->s), v);
    } else {
        TnList *parts = tn_j_iterate(j, v);
        if (v.kind == JV_UNDEFINED || parts->n != target->n)
            tn_j_fail(j, "got %zu values to unpack, expected %zu", parts->n, target->n);
        for (size_t i = 0; i < target->n; i++) assign(j, target->list[i], parts->v[i]);
    }
}
static TnArgs arguments(TnJinja *j, const TnNode *n) {
    TnList list = {0};
    TnArgs a = {0};
    for (size_t i = 0; i < n->n; i++) {
        const TnNode *x = n->list[i];
        TnVal v = tn_j_eval(j, x->kind == JN_KWARG || x->kind == JN_STAR ? x->a : x);
        if (x->kind == JN_KWARG) {
            tn_j_put(j, &a.kw, str_of(x->s), v);
        } else if (x->kind == JN_STAR && x->s.n == 2) {
            if (v.kind != JV_MAP) tn_j_fail(j, "argument after ** must be a mapping, not %s", tn_j_type(v));
            for (size_t k = 0; k < v.map->n; k++) {
                if (v.map->k[k].kind != JV_STR) tn_j_fail(j, "keywords must be strings");
                if (tn_j_get(j, &a.kw, v.map->k[k])) tn_j_fail(j, "a named argument is given twice");
                tn_j_put(j, &a.kw, v.map->k[k], v.map->v[k]);
            }
        } else if (x->kind == JN_STAR) {
            TnList *items = tn_j_iterate(j, v);
            for (size_t k = 0; k < items->n; k++) tn_j_add(j, &list, items->v[k]);
        } else {
            tn_j_add(j, &list, v);
        }
    }
    a.v = list.v, a.n = list.n;
    return a;
}
static TnVal captured(TnJinja *j, const TnNode *n, TnScope *up, Flow *flow) {
    TnScope *old = j->scope;
    TnOut *out = j->out, *b = tn_j_open(j);
    j->out = b;
    enter(j, up, n->unset);
    *flow = run(j, n->body);
    j->scope = old;
    j->out = out;
    return tn_j_close(b);
}
static TnVal call_macro(TnJinja *j, const TnMacro *m, const TnArgs *args) {
    const TnNode *n = m->node;
    TnScope *old = j->scope;
    TnMap kw = {0};
    size_t used = 0;
    enter(j, m->scope, NULL);
    for (size_t i = 0; i < n->n; i++) {
        const TnNode *p = n->list[i];
        TnVal *named = i < args->n ? NULL : tn_j_get(j, &args->kw, str_of(p->s)), v;
        used += named != NULL;
        if (i < args->n)
            v = args->v[i];
        else if (named)
            v = *named;
        else
            v = p->a ? tn_j_eval(j, p->a) : tn_j_undefined(p->s);
        tn_j_put(j, &j->scope->vars, str_of(p->s), v);
    }
    for (size_t i = 0; i < args->kw.n; i++) {
        bool known = false;
        for (size_t k = args->n; k < n->n; k++) known |= tn_j_equal(j, args->kw.k[i], str_of(n->list[k]->s));
        if (known) continue;
        if (n->caller && tn_j_same(args->kw.k[i].s, "caller"))
            used++;
        else
            tn_j_put(j, &kw, args->kw.k[i], args->kw.v[i]);
    }
    if ((args->n > n->n && !n->varargs) || (used < args->kw.n && !n->kwargs))
        tn_j_fail(j, "macro '%.*s' takes not more than %zu arguments", (int)n->s.n, n->s.p, n->n);
    if (n->caller) {
        TnVal *caller = tn_j_name(&args->kw, "caller");
        tn_j_put(j, &j->scope->vars, tn_j_of(TN_LIT("caller")),
                 caller ? *caller : tn_j_undefined(TN_LIT("caller")));
    }
    TnVal rest = tn_j_list(j, JV_TUPLE), named = tn_j_map(j);
    for (size_t i = n->n; i < args->n; i++) tn_j_add(j, rest.list, args->v[i]);
    *named.map = kw;
    if (n->varargs) tn_j_put(j, &j->scope->vars, tn_j_of(TN_LIT("varargs")), rest);
    if (n->kwargs) tn_j_put(j, &j->scope->vars, tn_j_of(TN_LIT("kwargs")), named);
    Flow flow;
    TnVal out = captured(j, n, j->scope, &flow);
    j->scope = old;
    return out;
}
/* loop(items): the text of the loop for other items. */
static TnVal call_loop(TnJinja *j, const TnLoop *l, const TnArgs *args) {
    TnVal items;
    tn_j_bind(j, "loop", args, "iterable", 1, &items);
    if (!l->node->recursive) tn_j_fail(j, "The loop must have the 'recursive' marker to be called.");
    TnScope *old = j->scope;
    TnOut *out = j->out, *b = tn_j_open(j);
    j->scope = l->scope, j->out = b;
    turns(j, l->node, items, l->depth + 1);
    j->scope = old, j->out = out;
    return tn_j_close(b);
}
TnVal tn_j_call(TnJinja *j, TnVal f, const TnArgs *args) {
    TnVal out;
    tn_j_nest(j);
    if (f.kind == JV_MACRO)
        out = call_macro(j, f.macro, args);
    else if (f.kind == JV_METHOD)
        out = tn_j_method(j, *f.self, f.s, args);
    else if (f.kind == JV_FUNC)
        out = tn_j_global(j, f.s, args);
    else if (f.kind == JV_LOOP)
        out = call_loop(j, f.loop, args);
    else if (f.kind == JV_JOINER)
        out = tn_j_method(j, f, TN_LIT("next"), args);
    else if (f.kind == JV_UNDEFINED)
        tn_j_fail(j, "'%.*s' is undefined", (int)f.s.n, f.s.p);
    else
        tn_j_fail(j, "'%s' object is not callable", tn_j_type(f));
    j->depth--;
    return out;
}
static TnMacro *new_macro(TnJinja *j, const TnNode *n) {
    TnMacro *m = tn_j_alloc(j, 1, sizeof *m);
    m->node = n, m->scope = j->scope;
    return m;
}
static TnVal filter_chain(TnJinja *j, const TnNode *n, TnVal v) {
    if (!n) return v;
    v = filter_chain(j, n->a, v);
    TnArgs a = arguments(j, n);
    j->line = n->line;
    return tn_j_filter(j, n->s, v, &a);
}
/* The values of the names of a target, as a tuple if the target is one. */
static TnVal values_of(TnJinja *j, const TnNode *target) {
    if (target->kind != JN_TUPLELIT) return tn_j_eval(j, target);
    TnVal out = tn_j_list(j, JV_TUPLE);
    for (size_t i = 0; i < target->n; i++) tn_j_add(j, out.list, values_of(j, target->list[i]));
    return out;
}
static Flow turns(TnJinja *j, const TnNode *n, TnVal over, size_t depth) {
    TnScope *outer = j->scope;
    TnList *items = tn_j_iterate(j, over);
    if (n->c) {
        TnList *kept = tn_j_alloc(j, 1, sizeof *kept);
        for (size_t i = 0; i < items->n; i++) {
            enter(j, outer, NULL);
            assign(j, n->a, items->v[i]);
            if (tn_j_truth(tn_j_eval(j, n->c))) tn_j_add(j, kept, values_of(j, n->a));
        }
        items = kept;
    }
    j->scope = outer;
    TnLoop *l = tn_j_alloc(j, 1, sizeof *l);
    *l = (TnLoop){.node = n, .scope = outer, .items = items, .depth = depth};
    bool whole = false; /* jinja2 takes the else unless an iteration came to its end */
    for (; l->at < items->n; l->at++) {
        tn_j_step(j, 1);
        enter(j, outer, n->unset);
        assign(j, n->a, items->v[l->at]);
        tn_j_put(j, &j->scope->vars, tn_j_of(TN_LIT("loop")), (TnVal){.kind = JV_LOOP, .loop = l});
        Flow f = run(j, n->body);
        j->scope = outer;
        whole |= f == GO;
        if (f == BREAK) break;
    }
    if (whole || !n->other) return GO;
    enter(j, outer, n->unset_other);
    Flow f = run(j, n->other);
    j->scope = outer;
    return f;
}
static void call_block(TnJinja *j, const TnNode *n) {
    TnVal f = tn_j_eval(j, n->a->a);
    TnArgs a = arguments(j, n->a);
    if (f.kind == JV_MACRO && !f.macro->node->caller && !f.macro->node->kwargs)
        tn_j_fail(j, "the macro does not use its caller");
    tn_j_put(j, &a.kw, tn_j_of(TN_LIT("caller")), (TnVal){.kind = JV_MACRO, .macro = new_macro(j, n)});
    tn_j_print(j, tn_j_call(j, f, &a), j->out);
}
static Flow statement(TnJinja *j, const TnNode *n) {
    TnScope *old = j->scope;
    TnVal v;
    Flow f = GO;
    switch (n->kind) {
    case JN_TEXT:
        tn_j_print(j, str_of(n->s), j->out);
        break;
    case JN_PRINT:
        tn_j_print(j, tn_j_eval(j, n->a), j->out);
        break;
    case JN_IF:
        return tn_j_truth(tn_j_eval(j, n->a)) ? run(j, n->body) : n->other ? run(j, n->other) : GO;
    case JN_FOR:
        return turns(j, n, tn_j_eval(j, n->b), 1);
    case JN_SET:
        assign(j, n->a, tn_j_eval(j, n->b));
        break;
    case JN_SETBLOCK:
        v = captured(j, n, j->scope, &f);
        if (f == GO) assign(j, n->a, filter_chain(j, n->b, v));
        break;
    case JN_MACRO:
        v = (TnVal){.kind = JV_MACRO, .macro = new_macro(j, n)};
        tn_j_put(j, &j->scope->vars, str_of(n->s), v);
        break;
    case JN_CALLBLOCK:
        call_block(j, n);
        break;
    case JN_FILTERBLOCK:
        v = captured(j, n, j->scope, &f);
        if (f != GO) break;
        v = filter_chain(j, n->b, v);
        if (v.kind != JV_STR) tn_j_fail(j, "a filter block gives a '%s', expected a string", tn_j_type(v));
        tn_j_print(j, v, j->out);
        break;
    case JN_BLOCK:
        tn_j_print(j, captured(j, n, j->scope, &f), j->out);
        break;
    case JN_WITH: {
        TnVal values = tn_j_list(j, JV_LIST);
        for (size_t i = 0; i < n->n; i++) tn_j_add(j, values.list, tn_j_eval(j, n->list[i]->b));
        enter(j, old, n->unset);
        for (size_t i = 0; i < n->n; i++) assign(j, n->list[i]->a, values.list->v[i]);
        f = run(j, n->body);
        j->scope = old;
        return f;
    }
    case JN_BREAK:
        return BREAK;
    case JN_CONTINUE:
        return CONTINUE;
    default:
        TN_BUG("node %d is no statement", n->kind);
    }
    return f;
}
static Flow run(TnJinja *j, TnNode **body) {
    Flow f = GO;
    tn_j_nest(j);
    for (; *body && f == GO; body++) {
        tn_j_step(j, 1);
        j->line = (*body)->line;
        f = statement(j, *body);
    }
    j->depth--;
    return f;
}
void tn_j_run(TnJinja *j, const TernChatTemplate *chat) {
    enter(j, j->scope, chat->unset);
    run(j, chat->tree);
}

/* ---- expressions */

static bool compare_one(TnJinja *j, TnStr op, TnVal a, TnVal b) {
    if (tn_j_same(op, "==")) return tn_j_equal(j, a, b);
    if (tn_j_same(op, "!=")) return !tn_j_equal(j, a, b);
    if (tn_j_same(op, "in")) return tn_j_contains(j, a, b);
    if (tn_j_same(op, "not in")) return !tn_j_contains(j, a, b);
    int c = tn_j_order(j, a, b);
    if (c == 2) return false;
    return tn_j_same(op, "<") ? c < 0 : tn_j_same(op, "<=") ? c <= 0 : tn_j_same(op, ">") ? c > 0 : c >= 0;
}
static TnVal compare(TnJinja *j, const TnNode *n) {
    TnVal a = tn_j_eval(j, n->a);
    for (size_t i = 0; i < n->n; i++) {
        TnVal b = tn_j_eval(j, n->list[i]->a);
        if (!compare_one(j, n->list[i]->s, a, b)) return tn_j_bool(false);
        a = b;
    }
    return tn_j_bool(true);
}
static TnVal sign(TnJinja *j, TnVal v, bool minus) {
    if (v.kind == JV_FLOAT) return v.f = minus ? -v.f : v.f, v;
    if (v.kind != JV_INT && v.kind != JV_BOOL)
        tn_j_fail(j, "bad operand type for a sign: '%s'", tn_j_type(v));
    if (minus && v.i == INT64_MIN) tn_j_fail(j, "an integer beyond 64 bits");
    return tn_j_int(minus ? -v.i : v.i);
}
static TnVal list_of(TnJinja *j, const TnNode *n) {
    TnVal v = tn_j_list(j, n->kind == JN_LISTLIT ? JV_LIST : JV_TUPLE);
    for (size_t i = 0; i < n->n; i++) tn_j_add(j, v.list, tn_j_eval(j, n->list[i]));
    return v;
}
static TnVal map_of(TnJinja *j, const TnNode *n) {
    TnVal v = tn_j_map(j);
    for (size_t i = 0; i < n->n; i += 2) {
        TnVal key = tn_j_eval(j, n->list[i]);
        tn_j_put(j, v.map, key, tn_j_eval(j, n->list[i + 1]));
    }
    return v;
}
static TnVal slice_of(TnJinja *j, const TnNode *n) {
    TnVal part[3], v = tn_j_eval(j, n->a);
    for (int k = 0; k < 3; k++) part[k] = n->list[k] ? tn_j_eval(j, n->list[k]) : (TnVal){.kind = JV_NONE};
    return tn_j_slice(j, v, part[0], part[1], part[2]);
}
/* A call, a filter or a test: all take a value and arguments. */
static TnVal call_of(TnJinja *j, const TnNode *n) {
    TnVal v = tn_j_eval(j, n->a);
    TnArgs args = arguments(j, n);
    if (n->kind == JN_TEST) return tn_j_bool(tn_j_test(j, n->s, v, &args));
    j->line = n->line;
    return n->kind == JN_CALL ? tn_j_call(j, v, &args) : tn_j_filter(j, n->s, v, &args);
}

static TnVal eval(TnJinja *j, const TnNode *n) {
    TnVal v;
    switch (n->kind) {
    case JN_CONST:
        return n->value;
    case JN_NAME:
        return lookup(j, n->s);
    case JN_LISTLIT:
    case JN_TUPLELIT:
        return list_of(j, n);
    case JN_MAPLIT:
        return map_of(j, n);
    case JN_ATTR:
        return tn_j_attr(j, tn_j_eval(j, n->a), n->s);
    case JN_ITEM:
        v = tn_j_eval(j, n->a);
        return tn_j_item(j, v, tn_j_eval(j, n->b));
    case JN_SLICE:
        return slice_of(j, n);
    case JN_CALL:
    case JN_FILTER:
    case JN_TEST:
        return call_of(j, n);
    case JN_NOT:
        return tn_j_bool(!tn_j_truth(tn_j_eval(j, n->a)));
    case JN_NEG:
        return sign(j, tn_j_eval(j, n->a), true);
    case JN_POS:
        return sign(j, tn_j_eval(j, n->a), false);
    case JN_AND:
        return v = tn_j_eval(j, n->a), tn_j_truth(v) ? tn_j_eval(j, n->b) : v;
    case JN_OR:
        return v = tn_j_eval(j, n->a), tn_j_truth(v) ? v : tn_j_eval(j, n->b);
    case JN_COND:
        if (tn_j_truth(tn_j_eval(j, n->b))) return tn_j_eval(j, n->a);
        return n->c ? tn_j_eval(j, n->c) : tn_j_undefined(TN_LIT("the inline if-expression"));
    case JN_CONCAT: {
        TnVal a = tn_j_string(j, tn_j_eval(j, n->a)), b = tn_j_string(j, tn_j_eval(j, n->b));
        return tn_j_binary(j, TN_LIT("+"), a, b);
    }
    case JN_BIN: {
        TnVal a = tn_j_eval(j, n->a), b = tn_j_eval(j, n->b);
        j->line = n->line;
        return tn_j_binary(j, n->s, a, b);
    }
    case JN_COMPARE:
        return compare(j, n);
    default:
        TN_BUG("node %d is no expression", n->kind);
    }
}
TnVal tn_j_eval(TnJinja *j, const TnNode *n) {
    tn_j_step(j, 1);
    tn_j_nest(j);
    TnVal v = eval(j, n);
    j->depth--;
    return v;
}
