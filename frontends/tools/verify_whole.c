/* Evaluates whole graphs and compares one with another, value by value. */
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/align.h"
#include "frontends/tools/verify.h"

void tn_graph_set_caches(TnGraph *g, TnKv kv) {
    for (TnRef r = 0; r < g->n; r++) {
        TnType *t = &g->nodes[r].type;
        if (t->enc == TN_ENC_kc || t->enc == TN_ENC_vc) t->enc = tn_kv_enc(kv, t->enc == TN_ENC_kc);
    }
}

static void fill(TnEval *e, const char *name, const int32_t *values, int64_t from, int64_t n) {
    int32_t *to = tn_eval_input(e, name);
    for (int64_t i = 0; to && i < n; i++) to[i] = values ? values[i] : (int32_t)(from + i);
}

TernStatus tn_whole_create(const TnGraph *g, const TnWeights *w, const int32_t *tokens, uint32_t n,
                           uint32_t most_rows, TnWhole *out, TernError *err) {
    int64_t pages = ((int64_t)n + TN_PAGE - 1) / TN_PAGE, rows = n < most_rows ? n : most_rows;
    *out = (TnWhole){.g = g, .tokens = tokens, .n = n, .most = most_rows};
    int64_t most[TN_SYM_COUNT] = {[TN_T] = rows, [TN_R] = rows, [TN_K] = rows,  [TN_H] = rows,
                                  [TN_L] = rows, [TN_S] = 1,    [TN_P] = pages, [TN_N] = pages};
    memcpy(out->sym, most, sizeof most);
    TN_TRY(tn_eval_fits(g, most, 1, err));
    TN_TRY(tn_eval_create(g, w, most, &out->e, err));
    fill(out->e, "table", NULL, 0, pages);
    return TERN_OK;
}

void tn_whole_destroy(TnWhole *w) {
    tn_eval_destroy(w->e);
    w->e = NULL;
}

bool tn_whole_step(TnWhole *w) {
    uint32_t at = w->first + w->rows, left = w->n - at;
    if (left == 0) return false;
    w->first = at;
    w->rows = left % w->most ? left % w->most : w->most;
    bool last = at + w->rows == w->n;
    w->sym[TN_T] = w->rows;
    w->sym[TN_R] = w->sym[TN_K] = w->sym[TN_H] = w->sym[TN_L] = last ? w->rows : 0;
    fill(w->e, "ids", w->tokens + at, 0, w->rows);
    fill(w->e, "pos", NULL, at, w->rows);
    fill(w->e, "rows", NULL, 0, w->rows);
    fill(w->e, "hrows", NULL, 0, w->rows);
    fill(w->e, "lrows", NULL, 0, w->rows);
    int32_t *slot = tn_eval_input(w->e, "slot");
    if (slot) memset(slot, 0, w->rows * sizeof *slot);
    tn_eval_run(w->e, w->sym);
    return true;
}

/* ---- comparing a with b */

/* Here all rows that want any logits want all of them. */
static TnDim plain(TnDim d) {
    return d == tn_sym_dim(TN_L) ? tn_sym_dim(TN_R) : d;
}

static bool same_shape(const TnType *a, const TnType *b) {
    bool same = a->enc == b->enc && a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++) same = plain(a->dim[i]) == plain(b->dim[i]);
    return same;
}

/* Whether a step makes this value. Caches are compared at their inputs, after the step. */
static bool is_value(const TnGraph *g, TnRef r) {
    const TnNode *n = &g->nodes[r];
    if (tn_op_is(n->op, TN_TRAIT_STATE) || tn_ops[n->op].class == TN_SINK || tn_node_is_source(g, r))
        return false;
    return n->op != TN_OP_input || tn_encs[n->type.enc].kind == TN_CACHE;
}

static void match_names(const TnGraph *a, const TnGraph *b, TnRef *match) {
    for (TnRef r = 0; r < a->n; r++) {
        const char *name = a->nodes[r].name;
        uint32_t at = tn_map_get(&b->names, name, strlen(name));
        match[r] = at == TN_MAP_NONE ? TN_NONE : at;
    }
    /* the runtime identifies inputs and outputs by name, whatever the text calls them */
    for (TnRef r = 0; r < a->n; r++) {
        if (a->nodes[r].op != TN_OP_input && a->nodes[r].op != TN_OP_output) continue;
        match[r] = tn_graph_find(b, a->nodes[r].op, tn_attr_str(&a->nodes[r], TN_ATTR_name));
    }
}

static bool equal(const TnWhole *a, TnRef r, const TnWhole *b, TnRef q, TnTally *tally, uint64_t *zeros,
                  TnMismatch *out) {
    const TnType *t = &a->g->nodes[r].type;
    void *x = tn_eval_data(a->e, r), *y = tn_eval_data(b->e, q);
    return zeros ? tn_values_alike(t, a->sym, x, y, tally, zeros, out)
                 : tn_values_compare(t, a->sym, x, y, tally, out);
}

void tn_wholes_match(const TnGraph *a, const TnGraph *b, bool by_name, TnArena *arena, TnRef **out) {
    TnAligned sa, sb;
    if (by_name) {
        *out = tn_alloc_array(arena, a->n + 1, sizeof **out);
        match_names(a, b, *out);
        return;
    }
    tn_align(a, b, arena, &sa, &sb);
    *out = sa.match;
}

/* Finds the first value that differs, with zeros of different sign counting as different if `signs`; TN_NONE:
 * none. */
static void find_difference(const TnWhole *wa, const TnWhole *wb, const TnRef *match, bool signs,
                            TnTally *tally, TnPair *out) {
    const TnGraph *a = wa->g, *b = wb->g;
    TnRef cache = TN_NONE;
    for (TnRef r = 0; r < a->n; r++) {
        TnMismatch d;
        TnRef q = match[r];
        if (q == TN_NONE) continue;
        if (a->nodes[r].op == TN_OP_output && b->nodes[q].op == TN_OP_output) {
            TnRef x = a->nodes[r].args[0], y = b->nodes[q].args[0];
            if (same_shape(&a->nodes[x].type, &b->nodes[y].type))
                out->leaves |= !equal(wa, x, wb, y, NULL, NULL, NULL);
        }
        if (!is_value(a, r) || !is_value(b, q) || !same_shape(&a->nodes[r].type, &b->nodes[q].type)) continue;
        bool leaves = a->nodes[r].op == TN_OP_input; /* a cache: the stores into it have names of their own */
        out->n++;
        if (equal(wa, r, wb, q, tally, signs || leaves ? NULL : &out->zeros, &d)) continue;
        if (leaves) {
            out->leaves = true;
            cache = cache == TN_NONE ? r : cache;
        } else if (out->a == TN_NONE) {
            out->a = r;
            out->b = q;
            out->first = d;
        }
    }
    if (out->a != TN_NONE || cache == TN_NONE) return;
    out->a = cache;
    out->b = match[cache];
    equal(wa, out->a, wb, out->b, NULL, NULL, &out->first);
}

void tn_wholes_compare(const TnWhole *wa, const TnWhole *wb, const TnRef *match, TnTally *tally,
                       TnPair *out) {
    *out = (TnPair){.a = TN_NONE, .b = TN_NONE};
    find_difference(wa, wb, match, false, tally, out);
    if (out->a != TN_NONE || !out->leaves) return;
    *out = (TnPair){.a = TN_NONE, .b = TN_NONE}; /* then only the sign of a zero differs */
    find_difference(wa, wb, match, true, NULL, out);
}
