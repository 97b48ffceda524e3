/* A period is a distance at which ops are equal over a long stretch. Only a few are tried: those that the
 * rarer ops of the graph suggest, because occurrences of an op that stands once in a layer are one period
 * apart. */
#include "frontends/tools/repeat.h"
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/align.h"

typedef struct Find {
    const TnGraph *g;
    TnRef *ops;   /* everything but sources, inputs and results, in order */
    uint32_t *at; /* by node: index in ops, or TN_NONE */
    uint32_t n;
} Find;

static bool same_dims(const TnType *s, const TnType *t) {
    return s->enc == t->enc && s->rank == t->rank && memcmp(s->dim, t->dim, s->rank * sizeof s->dim[0]) == 0;
}

static bool same_alone(const TnNode *p, const TnNode *q) {
    if (p->op != q->op || p->n_args != q->n_args || !same_dims(&p->type, &q->type)) return false;
    for (int k = 0; k < TN_ATTR_COUNT; k++) {
        if (k == TN_ATTR_name || !tn_attr_structural((TnAttrKey)k)) continue;
        const TnAttr *u = tn_node_attr(p, (TnAttrKey)k), *v = tn_node_attr(q, (TnAttrKey)k);
        if ((u != NULL) != (v != NULL) || (u && !tn_attr_equal(u, v))) return false;
    }
    return true;
}

/* Ops since its kernel began, or TN_NONE. */
static uint32_t kernel_place(const TnGraph *g, TnRef r) {
    uint32_t k = g->nodes[r].kernel;
    return k == TN_NONE ? TN_NONE : r - g->kernels[k].first;
}

static bool same_at(const Find *f, uint32_t i, uint32_t j) {
    TnRef x = f->ops[i], y = f->ops[j];
    const TnNode *p = &f->g->nodes[x], *q = &f->g->nodes[y];
    if (!same_alone(p, q) || kernel_place(f->g, x) != kernel_place(f->g, y)) return false;
    for (uint32_t k = 0; k < p->n_args; k++) {
        TnRef u = p->args[k], v = q->args[k];
        if (u == v) continue;
        uint32_t au = f->at[u], av = f->at[v];
        if (au == TN_NONE && av == TN_NONE) { /* different weights or caches, but of the same kind */
            if (!same_dims(&f->g->nodes[u].type, &f->g->nodes[v].type)) return false;
        } else if (au == TN_NONE || av == TN_NONE || i - au != j - av) {
            return false;
        }
    }
    return true;
}

typedef struct Stretch {
    uint32_t start, n, period;
} Stretch;

/* The longest run of ops that are equal to those one period later. */
static Stretch longest(const Find *f, uint32_t period) {
    Stretch best = {.period = period};
    uint32_t run = 0;
    for (uint32_t i = 0; i + period < f->n; i++) {
        run = same_at(f, i, i + period) ? run + 1 : 0;
        if (run > best.n) best = (Stretch){i + 1 - run, run, period};
    }
    return best;
}

typedef struct Count {
    uint32_t period, n;
} Count;

static int by_count(const void *x, const void *y) {
    const Count *a = x, *b = y;
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    return a->period < b->period ? -1 : a->period > b->period;
}
static int by_period(const void *x, const void *y) {
    const Count *a = x, *b = y;
    return a->period < b->period ? -1 : a->period > b->period;
}

/* Distances between neighbours of one op and type, the most frequent first. */
static Count *periods(const Find *f, uint32_t *out_n) {
    TnArena arena = {0};
    TnMap last = {0};
    Count *all = NULL;
    size_t n = 0, cap = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        const TnNode *x = &f->g->nodes[f->ops[i]];
        char key[2 + 3 * sizeof(TnDim)] = {(char)x->op, (char)x->type.enc};
        memcpy(key + 2, x->type.dim, sizeof x->type.dim);
        uint32_t before = tn_map_set(&last, tn_strndup(&arena, key, sizeof key), sizeof key, i);
        if (before == TN_MAP_NONE) continue;
        Count one = {i - before, 1};
        TN_PUSH(all, n, cap, one);
    }
    if (n) qsort(all, n, sizeof *all, by_period);
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (m && all[m - 1].period == all[i].period)
            all[m - 1].n++;
        else
            all[m++] = all[i];
    if (m) qsort(all, m, sizeof *all, by_count);
    tn_map_free(&last);
    tn_arena_free(&arena);
    *out_n = (uint32_t)m;
    return all;
}

/* Makes the stretch begin with a kernel, so that no kernel is cut in two. */
static void begin_with_kernel(const Find *f, Stretch *s) {
    while (s->n) {
        uint32_t place = kernel_place(f->g, f->ops[s->start]);
        if (place == TN_NONE || place == 0) return;
        s->start++;
        s->n--;
    }
}

void tn_repeat_find(const TnGraph *g, TnArena *arena, TnRepeat *out) {
    enum { TRIES = 24 };
    uint32_t n = g->n ? g->n : 1, n_periods;
    Find f = {
        .g = g, .ops = tn_alloc_array(arena, n, sizeof *f.ops), .at = tn_alloc_array(arena, n, sizeof *f.at)};
    *out = (TnRepeat){.piece = tn_alloc_array(arena, n, sizeof *out->piece),
                      .first = tn_alloc_array(arena, n, sizeof *out->first)};
    for (TnRef r = 0; r < g->n; r++) {
        TnOpClass class = tn_ops[g->nodes[r].op].class;
        bool op = class != TN_SOURCE && class != TN_INPUT && class != TN_SINK;
        out->piece[r] = TN_NONE;
        out->first[r] = r;
        f.at[r] = op ? f.n : TN_NONE;
        if (op) f.ops[f.n++] = r;
    }
    Stretch best = {0};
    Count *c = periods(&f, &n_periods);
    for (uint32_t i = 0; i < n_periods && i < TRIES; i++) {
        Stretch s = longest(&f, c[i].period);
        begin_with_kernel(&f, &s);
        /* two layers repeat as well as one does: if both cover the same ops, take the shorter period */
        uint32_t covers = s.n + s.period, covered = best.n + best.period;
        if (s.n >= s.period && s.period > 1 &&
            (covers > covered + covered / 20 || (covers + covers / 20 >= covered && s.period < best.period)))
            best = s;
    }
    free(c);
    if (!best.n) return;
    out->period = best.period;
    out->count = best.n / best.period + 1;
    for (uint32_t i = 0; i < out->period * out->count; i++) {
        TnRef r = f.ops[best.start + i];
        out->piece[r] = i / out->period;
        out->first[r] = f.ops[best.start + i % out->period];
    }
}
