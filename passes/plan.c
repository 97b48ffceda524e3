/* plan: where values lie and where workers wait.
 *
 * Does: sets barriers, then gives every value that leaves its kernel a place in the arena.
 *
 * Barriers. Each worker runs the launches of a step at its own pace; at a barrier after a kernel all workers
 * wait for each other. Two kernels need a barrier between them if the later one reads what the earlier wrote, or writes a
 * cache that the earlier read or wrote. The pass goes through the launches and sets a barrier right before the first
 * kernel that needs one since the last barrier. That is as late as possible, so there are as few as possible. The end of
 * the step is a barrier anyway.
 *
 * Places. Between two barriers everything may happen at once, so the stretch between them is the unit of
 * time. A value lives from the stretch that writes it to the last stretch that reads it; an output lives to the end. Two
 * values of one leading symbol whose lives share a stretch never share a byte. So memory is reused only across a barrier,
 * reuse never needs another barrier, and inputs and results of a kernel never overlap. Places are in bytes per row of the
 * leading symbol: the arena of a symbol is its peak times the symbol's largest value. The largest value is placed first,
 * each value at the lowest free place; of two equal ones the earlier comes first.
 * Needs: a fused graph with targets and units (tile) and its final cache types (layout).
 * Breaks: places and barriers that the graph had before.
 * Stops: values are placed one by one and stay. */
#include "passes/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t no_sym[TN_SYM_COUNT] = {0};

typedef struct Life {
    TnRef ref;
    int space; /* leading symbol, or TN_SYM_COUNT */
    uint64_t size, off;
    uint32_t from, to;               /* stretches */
    uint32_t from_kernel, to_kernel; /* for the table; an output ends at n_kernels */
} Life;

static int space_of(const TnType *t) {
    return tn_dim_is_sym(t->dim[0]) ? (int)tn_dim_sym(t->dim[0]) : TN_SYM_COUNT;
}

static uint64_t size_of(const TnType *t) {
    return space_of(t) == TN_SYM_COUNT ? (tn_type_bytes(t, no_sym) + 63) / 64 * 64 : tn_row_bytes_aligned(t);
}

/* ---- barriers */

typedef struct Touched {
    uint32_t read, written; /* stretch + 1 of the last access, by value; caches by alias root */
} Touched;

static void touch(TnGraph *g, uint32_t kernel, Touched *t, uint32_t *stretch) {
    const TnKernel *k = &g->kernels[kernel];
    bool wait = false;
    for (TnRef r = k->first; r < k->first + k->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef a = tn_alias_root(g, g->nodes[r].args[i]);
            if (t[a].written == *stretch + 1) wait = true;
            if (tn_op_is(g->nodes[r].op, TN_TRAIT_STATE) && i == 0 && t[a].read == *stretch + 1) wait = true;
        }
    if (wait) {
        g->kernels[kernel - 1].barrier = true;
        ++*stretch;
    }
    for (TnRef r = k->first; r < k->first + k->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++)
            t[tn_alias_root(g, g->nodes[r].args[i])].read = *stretch + 1;
    /* note writes last: a value that a kernel both makes and reads needs no barrier */
    for (TnRef r = k->first; r < k->first + k->n; r++) t[tn_alias_root(g, r)].written = *stretch + 1;
}

static void set_barriers(TnGraph *g, uint32_t *stretch_of) {
    Touched *t = tn_xcalloc((size_t)g->n + 1, sizeof *t);
    uint32_t stretch = 0;
    for (uint32_t k = 0; k < g->n_kernels; k++) g->kernels[k].barrier = false;
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        touch(g, k, t, &stretch);
        stretch_of[k] = stretch;
    }
    free(t);
}

/* ---- lives */

static uint32_t find_lives(const TnGraph *g, const uint32_t *stretch_of, Life **out) {
    uint32_t *last = tn_xcalloc((size_t)g->n + 1, sizeof *last); /* reader + 1 */
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef a = g->nodes[r].args[i];
            uint32_t by = g->nodes[r].kernel == TN_NONE ? g->n_kernels : g->nodes[r].kernel;
            if (g->nodes[a].kernel == TN_NONE || g->nodes[a].kernel == by) continue;
            if (by + 1 > last[a]) last[a] = by + 1;
        }
    Life *v = NULL;
    size_t n = 0, cap = 0;
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *node = &g->nodes[r];
        if (!last[r] || tn_is_cache(&node->type)) continue;
        Life l = {.ref = r, .space = space_of(&node->type), .size = size_of(&node->type)};
        l.from_kernel = node->kernel;
        l.to_kernel = last[r] - 1;
        l.from = stretch_of[l.from_kernel];
        l.to = l.to_kernel == g->n_kernels ? UINT32_MAX : stretch_of[l.to_kernel];
        TN_PUSH(v, n, cap, l);
    }
    free(last);
    *out = v;
    return (uint32_t)n;
}

/* ---- places */

static int by_size(const void *a, const void *b) {
    const Life *x = a, *y = b;
    if (x->space != y->space) return x->space - y->space;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return x->ref < y->ref ? -1 : x->ref > y->ref;
}

/* Places l. `placed` holds the n values of this space that were placed before, by rising off. */
static void place(Life *l, Life **placed, uint32_t n) {
    uint64_t off = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        const Life *p = placed[i];
        if (p->to < l->from || l->to < p->from) continue;
        if (p->off >= off + l->size) break;
        if (p->off + p->size > off) off = p->off + p->size;
    }
    l->off = off;
    for (at = n; at && placed[at - 1]->off > off; at--) placed[at] = placed[at - 1];
    placed[at] = l;
}

static void place_all(Life *v, uint32_t n) {
    Life **placed = tn_xcalloc((size_t)n + 1, sizeof *placed);
    if (n) qsort(v, n, sizeof *v, by_size);
    uint32_t first = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].space != v[first].space) first = i;
        place(&v[i], placed, i - first);
    }
    free(placed);
}

static TernStatus check_ready(const TnGraph *g, TernError *err) {
    for (uint32_t i = 0; i < g->n_kernels; i++)
        if (!g->kernels[i].target || g->kernels[i].units < 1)
            return tn_fail(err, TERN_ERR_INPUT,
                           "plan: kernel @%s has no target or no units, expected tile before plan",
                           g->kernels[i].name);
    for (TnRef r = 0; r < g->n; r++)
        if (g->nodes[r].type.enc == TN_ENC_kc || g->nodes[r].type.enc == TN_ENC_vc)
            return tn_fail(err, TERN_ERR_INPUT, "plan: cache %%%s is %s, expected layout before plan",
                           g->nodes[r].name, tn_encs[g->nodes[r].type.enc].name);
    return TERN_OK;
}

static TernStatus check_places(const TnGraph *g, const Life *v, uint32_t n, TernError *err) {
    for (uint32_t i = 0; i < n; i++)
        if (v[i].off > (uint64_t)TN_OFF_MAX)
            return tn_fail(err, TERN_ERR_INPUT,
                           "plan: graph @%s needs %llu bytes a row beside %%%s, expected at most %lld",
                           g->name, (unsigned long long)v[i].off, g->nodes[v[i].ref].name,
                           (long long)TN_OFF_MAX);
    return TERN_OK;
}

TernStatus pass_plan(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)ctx;
    TN_TRY(check_ready(g, err));
    uint32_t *stretch_of = tn_xcalloc((size_t)g->n_kernels + 1, sizeof *stretch_of);
    Life *v;
    set_barriers(g, stretch_of);
    uint32_t n = find_lives(g, stretch_of, &v);
    place_all(v, n);
    TernStatus st = check_places(g, v, n, err);
    for (uint32_t i = 0; st == TERN_OK && i < n; i++)
        tn_node_set_attr(g, v[i].ref, (TnAttr){.key = TN_ATTR_off, .i = (int64_t)v[i].off});
    if (st == TERN_OK) g->stage = TN_STAGE_PLANNED;
    free(v);
    free(stretch_of);
    return st;
}

/* ---- the plan, read back */

/* Reads stretches and places from the graph's attributes, so that the table shows what is really there. */
static uint32_t read_plan(const TnGraph *g, Life **out) {
    TN_CHECK(g->stage == TN_STAGE_PLANNED);
    uint32_t *stretch_of = tn_xcalloc((size_t)g->n_kernels + 1, sizeof *stretch_of);
    for (uint32_t k = 1; k < g->n_kernels; k++) stretch_of[k] = stretch_of[k - 1] + g->kernels[k - 1].barrier;
    uint32_t n = find_lives(g, stretch_of, out);
    for (uint32_t i = 0; i < n; i++)
        (*out)[i].off = (uint64_t)tn_attr_int(&g->nodes[(*out)[i].ref], TN_ATTR_off);
    free(stretch_of);
    return n;
}

void tn_plan_bytes(const TnGraph *g, uint64_t per_row[TN_SYM_COUNT], uint64_t *constant) {
    Life *v;
    uint64_t peak[TN_SYM_COUNT + 1] = {0};
    uint32_t n = read_plan(g, &v);
    for (uint32_t i = 0; i < n; i++)
        if (v[i].off + v[i].size > peak[v[i].space]) peak[v[i].space] = v[i].off + v[i].size;
    memcpy(per_row, peak, TN_SYM_COUNT * sizeof *peak);
    *constant = peak[TN_SYM_COUNT];
    free(v);
}

static int by_off(const void *a, const void *b) {
    const Life *x = a, *y = b;
    if (x->space != y->space) return x->space - y->space;
    if (x->off != y->off) return x->off < y->off ? -1 : 1;
    return x->ref < y->ref ? -1 : x->ref > y->ref;
}

void tn_plan_table(const TnGraph *g, TnBuf *out) {
    Life *v;
    uint64_t peak[TN_SYM_COUNT + 1] = {0}, naive[TN_SYM_COUNT + 1] = {0};
    uint32_t n = read_plan(g, &v), barriers = 0;
    for (uint32_t k = 0; k < g->n_kernels; k++) barriers += g->kernels[k].barrier;
    for (uint32_t i = 0; i < n; i++) {
        naive[v[i].space] += v[i].size;
        if (v[i].off + v[i].size > peak[v[i].space]) peak[v[i].space] = v[i].off + v[i].size;
    }
    if (n) qsort(v, n, sizeof *v, by_off);
    tn_buf_printf(out, "graph @%s: %u kernels, %u barriers\n", g->name, g->n_kernels, barriers);
    for (int s = 0; s <= TN_SYM_COUNT; s++) {
        if (!naive[s]) continue;
        tn_buf_printf(out, "%s%s: %llu bytes, %llu without reuse\n",
                      s < TN_SYM_COUNT ? "per row of " : "constant", s < TN_SYM_COUNT ? tn_sym_names[s] : "",
                      (unsigned long long)peak[s], (unsigned long long)naive[s]);
        tn_buf_printf(out, "  %10s %10s  %-9s value\n", "off", "size", "kernels");
        for (uint32_t i = 0; i < n; i++) {
            if (v[i].space != s) continue;
            char range[32];
            if (v[i].to_kernel == g->n_kernels)
                snprintf(range, sizeof range, "%u..end", v[i].from_kernel);
            else
                snprintf(range, sizeof range, "%u..%u", v[i].from_kernel, v[i].to_kernel);
            tn_buf_printf(out, "  %10llu %10llu  %-9s %%%s\n", (unsigned long long)v[i].off,
                          (unsigned long long)v[i].size, range, g->nodes[v[i].ref].name);
        }
    }
    free(v);
}
