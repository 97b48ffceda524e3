/* Edits that change a graph all at once: replacements first, one new order at the end. */
#include "passes/internal.h"
#include <stdlib.h>

void tn_edit_begin(TnEdit *e, TnGraph *g) {
    e->g = g;
    e->n = g->n;
    e->to = tn_xcalloc((size_t)g->n + 1, sizeof *e->to);
    for (TnRef r = 0; r < g->n; r++) e->to[r] = r;
}

TnRef tn_edit_find(const TnEdit *e, TnRef r) {
    while (r < e->n && e->to[r] != r) r = e->to[r];
    return r;
}

void tn_edit_replace(TnEdit *e, TnRef from, TnRef to) {
    to = tn_edit_find(e, to);
    TN_CHECK(from < e->n && e->to[from] == from && to != from);
    e->to[from] = to;
}

void tn_edit_drop(TnEdit *e, TnRef r) {
    TN_CHECK(r < e->n && e->to[r] == r);
    e->to[r] = TN_NONE;
}

void tn_edit_become(TnEdit *e, TnRef from, TnRef to) {
    TN_CHECK(to >= e->n);
    TnNode *a = &e->g->nodes[from], *b = &e->g->nodes[to];
    const char *name = a->name;
    a->name = b->name;
    b->name = name;
    b->line = a->line;
    tn_edit_replace(e, from, to);
}

/* Emits r after everything it reads. The stack is an array, since a text can hold chains too deep for recursion. */
typedef struct Emit {
    const TnGraph *g;
    bool *done;
    TnRef *order, *stack;
    uint32_t *next; /* for each stack entry, the next operand to look at */
    uint32_t n;
} Emit;

static void emit(Emit *m, TnRef r) {
    if (m->done[r]) return;
    uint32_t depth = 0;
    m->stack[depth] = r;
    m->next[depth++] = 0;
    m->done[r] = true;
    while (depth) {
        const TnNode *n = &m->g->nodes[m->stack[depth - 1]];
        if (m->next[depth - 1] == n->n_args) {
            m->order[m->n++] = m->stack[--depth];
            continue;
        }
        TnRef a = n->args[m->next[depth - 1]++];
        if (m->done[a]) continue;
        m->done[a] = true;
        m->stack[depth] = a;
        m->next[depth++] = 0;
    }
}

static bool gone(const TnEdit *e, TnRef r) {
    return r < e->n && e->to[r] != r;
}

void tn_edit_end(TnEdit *e, bool sources_first) {
    TnGraph *g = e->g;
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; !gone(e, r) && i < g->nodes[r].n_args; i++)
            g->nodes[r].args[i] = tn_edit_find(e, g->nodes[r].args[i]);
    size_t n = (size_t)g->n + 1;
    Emit m = {.g = g};
    m.done = tn_xcalloc(n, sizeof *m.done);
    m.order = tn_xcalloc(n, sizeof *m.order);
    m.stack = tn_xcalloc(n, sizeof *m.stack);
    m.next = tn_xcalloc(n, sizeof *m.next);
    if (sources_first) {
        bool *read = tn_xcalloc(n, sizeof *read);
        for (TnRef r = 0; r < g->n; r++)
            for (uint32_t i = 0; !gone(e, r) && i < g->nodes[r].n_args; i++) read[g->nodes[r].args[i]] = true;
        for (TnRef r = 0; r < g->n; r++) {
            TnOpClass c = tn_class_of(g, r);
            bool stays = r < e->n ? !gone(e, r) : read[r];
            if ((c == TN_SOURCE || c == TN_INPUT) && stays) emit(&m, r);
        }
        free(read);
    }
    for (TnRef r = 0; r < e->n; r++)
        if (!gone(e, r)) emit(&m, r);
    tn_graph_reorder(g, m.order, m.n);
    free(m.done);
    free(m.order);
    free(m.stack);
    free(m.next);
    free(e->to);
    e->to = NULL;
}

void tn_readers_create(const TnGraph *g, TnReaders *out) {
    out->at = tn_xcalloc((size_t)g->n + 2, sizeof *out->at);
    uint32_t total = 0;
    for (TnRef r = 0; r < g->n; r++) {
        total += g->nodes[r].n_args;
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) out->at[g->nodes[r].args[i] + 2]++;
    }
    out->list = tn_xcalloc((size_t)total + 1, sizeof *out->list);
    for (TnRef r = 2; r < g->n + 2; r++) out->at[r] += out->at[r - 1];
    /* at[r + 1] is where the next reader of r goes; at the end it is where the readers of r + 1 begin */
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) out->list[out->at[g->nodes[r].args[i] + 1]++] = r;
}

void tn_readers_destroy(TnReaders *u) {
    free(u->at);
    free(u->list);
    *u = (TnReaders){0};
}
