/* What a grammar must be, and loops whose turns are not empty.
 *
 * Which rules match the empty text is the least solution of "all items of one alternative do", found with a counter for
 * each alternative in linear time. A rule is left-recursive if it can come to itself without a character before; the
 * stacks of such a rule would grow without end.
 *
 * A loop over a rule that matches the empty text, such as ([x]*)*, has infinitely many readings of one text. It is
 * changed so that no turn is empty: B{m,n} becomes (B+){0,n}, where B+ matches what B does except the empty text. For an
 * alternative x1 x2 .. xk of B, B+ has the alternatives x1+ x2 .. xk, then x2+ x3 .. xk if x1 may be empty, and so on. */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/status.h"
#include "runtime/text/grammar/rules.h"

#define NONE UINT32_MAX

uint32_t tn_rules_add(TnRules *rules) {
    TN_PUSH(rules->v, rules->n, rules->cap, ((TnRule){0}));
    return (uint32_t)(rules->n - 1);
}

void tn_rules_free(TnRules *rules) {
    tn_map_free(&rules->names);
    free(rules->v);
    *rules = (TnRules){0};
}

static bool has_rule(const TnItem *i) {
    return i->kind == TN_ITEM_RULE || i->kind == TN_ITEM_LOOP;
}
static bool item_nullable(const TnRules *rules, const TnItem *i) {
    if (i->kind == TN_ITEM_LOOP && i->min == 0) return true;
    return has_rule(i) && rules->v[i->rule].nullable;
}
static bool item_something(const TnRules *rules, const TnItem *i) {
    return !has_rule(i) || rules->v[i->rule].something;
}

/* ---- Defined */

static TernStatus check_defined(const TnRules *rules, TernError *err) {
    for (size_t i = 0; i < rules->n; i++) {
        const TnRule *r = &rules->v[i];
        if (!r->defined)
            return tn_fail(err, TERN_ERR_INPUT,
                           "line %u, column %u: got '%s', expected a rule that is defined", r->line, r->col,
                           r->name);
    }
    return TERN_OK;
}

/* ---- Which rules may be empty, and which may be more than empty */

typedef struct Use {
    uint32_t rule, alternative; /* where the used rule is used */
} Use;

typedef struct Fixpoint {
    TnRules *rules;
    uint32_t *first; /* uses of rule r: uses[first[r]] .. uses[first[r + 1]] */
    Use *uses;
    uint32_t *missing; /* of an alternative: items that are not known to be nullable */
    uint32_t *todo;
    size_t n_todo;
} Fixpoint;

static bool waits(const TnItem *i) {
    return has_rule(i) && !(i->kind == TN_ITEM_LOOP && i->min == 0);
}

/* Lists where each rule is used: with all uses, or with those that keep an alternative from being nullable. */
static void list_uses(Fixpoint *f, bool only_waiting) {
    TnRules *rules = f->rules;
    memset(f->first, 0, (rules->n + 2) * sizeof *f->first);
    for (int pass = 0; pass < 2; pass++) {
        uint32_t a_index = 0;
        for (uint32_t r = 0; r < rules->n; r++)
            for (const TnAlternative *a = rules->v[r].alternatives; a; a = a->next, a_index++)
                for (const TnItem *i = a->items; i; i = i->next) {
                    if (!(only_waiting ? waits(i) : has_rule(i))) continue;
                    if (pass == 0)
                        f->first[i->rule + 2]++;
                    else
                        f->uses[f->first[i->rule + 1]++] = (Use){r, a_index};
                }
        if (pass == 0)
            for (size_t r = 0; r <= rules->n; r++) f->first[r + 1] += f->first[r];
    }
}

static void set_nullable(Fixpoint *f, uint32_t rule) {
    if (f->rules->v[rule].nullable) return;
    f->rules->v[rule].nullable = true;
    f->todo[f->n_todo++] = rule;
}

static void find_nullable(Fixpoint *f) {
    TnRules *rules = f->rules;
    uint32_t a_index = 0;
    list_uses(f, true);
    for (uint32_t r = 0; r < rules->n; r++)
        for (const TnAlternative *a = rules->v[r].alternatives; a; a = a->next, a_index++) {
            uint32_t n = 0;
            for (const TnItem *i = a->items; i; i = i->next) n += waits(i) || !has_rule(i);
            f->missing[a_index] = n;
            if (n == 0) set_nullable(f, r);
        }
    while (f->n_todo) {
        uint32_t r = f->todo[--f->n_todo];
        for (uint32_t u = f->first[r]; u < f->first[r + 1]; u++)
            if (--f->missing[f->uses[u].alternative] == 0) set_nullable(f, f->uses[u].rule);
    }
}

static void set_something(Fixpoint *f, uint32_t rule) {
    if (f->rules->v[rule].something) return;
    f->rules->v[rule].something = true;
    f->todo[f->n_todo++] = rule;
}

static void find_something(Fixpoint *f) {
    TnRules *rules = f->rules;
    list_uses(f, false);
    for (uint32_t r = 0; r < rules->n; r++)
        for (const TnAlternative *a = rules->v[r].alternatives; a; a = a->next)
            for (const TnItem *i = a->items; i; i = i->next)
                if (!has_rule(i)) set_something(f, r);
    while (f->n_todo) {
        uint32_t r = f->todo[--f->n_todo];
        for (uint32_t u = f->first[r]; u < f->first[r + 1]; u++) set_something(f, f->uses[u].rule);
    }
}

static void find_facts(TnRules *rules) {
    size_t n_uses = 0, n_alternatives = 0;
    for (size_t r = 0; r < rules->n; r++)
        for (const TnAlternative *a = rules->v[r].alternatives; a; a = a->next, n_alternatives++)
            for (const TnItem *i = a->items; i; i = i->next) n_uses += has_rule(i);
    Fixpoint f = {.rules = rules,
                  .first = tn_xcalloc(rules->n + 2, sizeof *f.first),
                  .uses = tn_xcalloc(n_uses + 1, sizeof *f.uses),
                  .missing = tn_xcalloc(n_alternatives + 1, sizeof *f.missing),
                  .todo = tn_xcalloc(rules->n + 1, sizeof *f.todo)};
    find_nullable(&f);
    find_something(&f);
    free(f.first);
    free(f.uses);
    free(f.missing);
    free(f.todo);
}

/* ---- Left recursion: a walk in depth over what a rule may begin with */

typedef struct Visit {
    uint32_t rule;
    const TnAlternative *alternative;
    const TnItem *item; /* the next that may be at the beginning; NULL: go to the next alternative */
} Visit;

static const TnItem *next_begin(const TnRules *rules, Visit *v) {
    for (;;) {
        while (!v->item) {
            if (!v->alternative) return NULL;
            v->item = v->alternative->items;
            v->alternative = v->alternative->next;
        }
        const TnItem *i = v->item;
        v->item = item_nullable(rules, i) ? i->next : NULL;
        if (has_rule(i)) return i;
    }
}

static TernStatus refuse_cycle(const TnRules *rules, const Visit *path, size_t n, uint32_t again,
                               TernError *err) {
    size_t from = n;
    while (path[from - 1].rule != again) from--;
    for (size_t i = from - 1; i < n; i++) {
        const TnRule *r = &rules->v[path[i].rule];
        if (r->name)
            return tn_fail(err, TERN_ERR_INPUT,
                           "line %u, column %u: rule '%s' may begin with itself, expected no left recursion",
                           r->line, r->col, r->name);
    }
    TN_BUG("a cycle of groups");
}

static TernStatus check_from(const TnRules *rules, uint32_t rule, uint8_t *seen, Visit *path,
                             TernError *err) {
    enum { NEW, OPEN, DONE };
    size_t n = 0;
    if (seen[rule] != NEW) return TERN_OK;
    path[n++] = (Visit){rule, rules->v[rule].alternatives, NULL};
    seen[rule] = OPEN;
    while (n) {
        const TnItem *i = next_begin(rules, &path[n - 1]);
        if (!i) {
            seen[path[--n].rule] = DONE;
        } else if (seen[i->rule] == OPEN) {
            return refuse_cycle(rules, path, n, i->rule, err);
        } else if (seen[i->rule] == NEW) {
            seen[i->rule] = OPEN;
            path[n++] = (Visit){i->rule, rules->v[i->rule].alternatives, NULL};
        }
    }
    return TERN_OK;
}

static TernStatus check_left_recursion(const TnRules *rules, TernError *err) {
    uint8_t *seen = tn_xcalloc(rules->n, 1);
    Visit *path = tn_xcalloc(rules->n, sizeof *path);
    TernStatus st = TERN_OK;
    for (uint32_t r = 0; r < rules->n && st == TERN_OK; r++) st = check_from(rules, r, seen, path, err);
    free(seen);
    free(path);
    return st;
}

/* ---- Loops without empty turns */

typedef struct Rewrite {
    TnRules *rules;
    uint32_t n;     /* rules before */
    uint32_t *plus; /* of a rule: its B+, or NONE */
    uint32_t *todo;
    size_t n_todo;
} Rewrite;

static uint32_t plus_of(Rewrite *w, uint32_t rule) {
    if (!w->rules->v[rule].nullable) return rule;
    if (w->plus[rule] == NONE) {
        w->plus[rule] = tn_rules_add(w->rules);
        TnRule *r = &w->rules->v[w->plus[rule]];
        r->something = r->defined = true;
        w->todo[w->n_todo++] = rule;
    }
    return w->plus[rule];
}

static TnItem *copy_item(Rewrite *w, const TnItem *i) {
    TnItem *c = tn_alloc(w->rules->arena, sizeof *c);
    *c = *i;
    c->next = NULL;
    return c;
}

static TnAlternative *add_alternative(Rewrite *w, uint32_t rule, TnItem *items) {
    TnAlternative *a = tn_alloc(w->rules->arena, sizeof *a);
    a->items = items;
    a->next = w->rules->v[rule].alternatives;
    w->rules->v[rule].alternatives = a;
    return a;
}

/* Adds the alternatives of B+ that come from one of B's. Each tail of the list becomes a rule, so that the work stays
 * linear: the tails are made from the end. */
static void add_plus(Rewrite *w, uint32_t plus, const TnItem *items) {
    size_t n = 0, open = 0;
    for (const TnItem *i = items; i; i = i->next, n++) {
    }
    const TnItem **list = tn_xcalloc(n + 1, sizeof *list);
    n = 0;
    for (const TnItem *i = items; i; i = i->next) list[n++] = i;
    while (open < n && item_nullable(w->rules, list[open])) open++;
    uint32_t tail = NONE;
    for (size_t k = n; k-- > 0;) {
        TnItem *rest = NULL;
        if (tail != NONE) {
            rest = copy_item(w, list[k]);
            *rest = (TnItem){.kind = TN_ITEM_RULE, .rule = tail};
        }
        if (k <= open && item_something(w->rules, list[k])) {
            TnItem *first = copy_item(w, list[k]);
            if (first->kind == TN_ITEM_RULE) first->rule = plus_of(w, first->rule);
            if (first->kind == TN_ITEM_LOOP && first->min == 0) first->min = 1;
            first->next = rest;
            add_alternative(w, plus, first);
        }
        if (k == 0) break;
        TnItem *all = copy_item(w, list[k]);
        all->next = rest ? copy_item(w, rest) : NULL;
        tail = tn_rules_add(w->rules);
        w->rules->v[tail].defined = true;
        add_alternative(w, tail, all);
    }
    free(list);
}

static void change_loops(Rewrite *w, TnAlternative *a) {
    for (TnItem **at = &a->items; *at;) {
        TnItem *i = *at;
        if (i->kind == TN_ITEM_LOOP && w->rules->v[i->rule].nullable) {
            if (!w->rules->v[i->rule].something) {
                *at = i->next; /* it matches the empty text only */
                continue;
            }
            i->rule = plus_of(w, i->rule);
            i->min = 0;
        }
        at = &i->next;
    }
}

static void change_all(TnRules *rules) {
    Rewrite w = {.rules = rules,
                 .n = (uint32_t)rules->n,
                 .plus = tn_xcalloc(rules->n, sizeof *w.plus),
                 .todo = tn_xcalloc(rules->n, sizeof *w.todo)};
    memset(w.plus, 0xff, rules->n * sizeof *w.plus);
    for (uint32_t r = 0; r < w.n; r++)
        for (TnAlternative *a = rules->v[r].alternatives; a; a = a->next) change_loops(&w, a);
    while (w.n_todo) {
        uint32_t rule = w.todo[--w.n_todo];
        for (const TnAlternative *a = rules->v[rule].alternatives; a; a = a->next)
            add_plus(&w, w.plus[rule], a->items);
    }
    free(w.plus);
    free(w.todo);
}

TernStatus tn_rules_check(TnRules *rules, TernError *err) {
    TN_TRY(check_defined(rules, err));
    find_facts(rules);
    TN_TRY(check_left_recursion(rules, err));
    change_all(rules);
    return TERN_OK;
}
