/* Finds the pass at fault. The graph is evaluated after every pass and compared with the one before it,
 * because passes promise to change no bit of outputs and caches. If a pass breaks that promise, the first
 * value that keeps its name but differs shows where. Passes that change no nodes (tile, plan) need no
 * evaluation. */
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/verify.h"

typedef struct Bisect {
    const TnWeights *weights;
    const int32_t *tokens;
    uint32_t n;
    TnKv kv;
    TnBuf *text;
    uint32_t n_stages;
    bool found;
    TnBroken *out;
} Bisect;

static bool attrs_equal(const TnNode *a, const TnNode *b) {
    uint32_t i = 0, j = 0;
    for (;; i++, j++) {
        while (i < a->n_attrs && a->attrs[i].key == TN_ATTR_off) i++;
        while (j < b->n_attrs && b->attrs[j].key == TN_ATTR_off) j++;
        if (i == a->n_attrs || j == b->n_attrs) return i == a->n_attrs && j == b->n_attrs;
        if (!tn_attr_equal(&a->attrs[i], &b->attrs[j])) return false;
    }
}

/* Compares node by node: if equal, the values are the same, wherever they lie. */
static bool same_nodes(const TnGraph *a, const TnGraph *b) {
    if (a->n != b->n) return false;
    for (TnRef r = 0; r < a->n; r++) {
        const TnNode *x = &a->nodes[r], *y = &b->nodes[r];
        if (x->op != y->op || x->n_args != y->n_args || !tn_type_equal(&x->type, &y->type) ||
            (x->n_args && memcmp(x->args, y->args, x->n_args * sizeof *x->args) != 0) || !attrs_equal(x, y))
            return false;
    }
    return true;
}

static TnGraph *clone_for_eval(const TnGraph *g, TnKv kv) {
    TnGraph *c = tn_graph_clone(g);
    tn_graph_set_caches(c, kv);
    return c;
}

static void put_side(const char *what, const TnGraph *g, TnRef r, TnBuf *out) {
    tn_buf_printf(out, "  %-6s ", what);
    tn_print_node(g, r, out);
    tn_buf_puts(out, "\n");
}

static void tell(Bisect *b, const char *pass, const TnGraph *before, const TnGraph *after, const TnPair *p,
                 uint32_t first) {
    tn_buf_printf(b->text, "pass %s: ", pass);
    if (p->a == TN_NONE) { /* nothing that kept its name differs */
        tn_buf_puts(b->text,
                    "an output or a cache differs after it, but no value that keeps its name does\n");
        return;
    }
    tn_buf_printf(b->text, "%%%s differs after it, in the step from position %u\n", after->nodes[p->a].name,
                  first);
    put_side("before", before, p->b, b->text);
    put_side("after", after, p->a, b->text);
    tn_buf_printf(b->text, "  at     %s\n  before %s\n  after  %s, %s\n", p->first.place, p->first.b,
                  p->first.a, p->first.apart);
}

static TernStatus hold(Bisect *b, const char *pass, const TnGraph *before, const TnGraph *after,
                       TernError *err) {
    TnGraph *x = clone_for_eval(before, b->kv), *y = clone_for_eval(after, b->kv);
    TnWhole wx = {0}, wy = {0};
    TnArena arena = {0};
    TnRef *match;
    uint32_t rows =
        after->rows_hi && after->rows_hi < TN_WHOLE_ROWS ? (uint32_t)after->rows_hi : TN_WHOLE_ROWS;
    tn_wholes_match(y, x, true, &arena, &match);
    TernStatus st = tn_whole_create(x, b->weights, b->tokens, b->n, rows, &wx, err);
    if (st == TERN_OK) st = tn_whole_create(y, b->weights, b->tokens, b->n, rows, &wy, err);
    while (st == TERN_OK && !b->found && tn_whole_step(&wx) && tn_whole_step(&wy)) {
        TnPair p;
        tn_wholes_compare(&wy, &wx, match, NULL, &p);
        if (!p.leaves) continue;
        b->found = true;
        tell(b, pass, before, after, &p, wy.first);
        b->out->pass = pass;
        b->out->before = tn_graph_clone(before);
        b->out->lost = p.a == TN_NONE ? NULL : tn_strdup(&b->out->before->arena, after->nodes[p.a].name);
    }
    tn_whole_destroy(&wx);
    tn_whole_destroy(&wy);
    tn_graph_destroy(x);
    tn_graph_destroy(y);
    tn_arena_free(&arena);
    return st;
}

/* Runs one pass and checks what it did. */
static TernStatus try_pass(Bisect *b, const TnPass *pass, TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    TnGraph *before = tn_graph_clone(g);
    TernStatus st = tn_passes_run(g, pass->name, ctx, err);
    b->n_stages++;
    if (st == TERN_OK && !same_nodes(before, g)) st = hold(b, pass->name, before, g, err);
    tn_graph_destroy(before);
    return st;
}

TernStatus tn_passes_bisect(const TnGraph *model, const TnWeights *w, const TnPassCtx *ctx,
                            const uint32_t (*classes)[2], uint32_t n_classes, const int32_t *tokens,
                            uint32_t n, TnBuf *text, TnBroken *out, uint32_t *n_stages, TernError *err) {
    *out = (TnBroken){0};
    Bisect b = {.weights = w, .tokens = tokens, .n = n, .kv = ctx->kv, .text = text, .out = out};
    TnGraph *g = tn_graph_clone(model);
    TernStatus st = TERN_OK;
    uint32_t i = 0;
    for (; st == TERN_OK && !b.found && i < tn_n_passes && !tn_passes[i].variant; i++)
        st = try_pass(&b, &tn_passes[i], g, ctx, err);
    for (uint32_t c = 0; st == TERN_OK && !b.found && c < n_classes; c++) {
        TnGraph *v = tn_graph_clone(g);
        TnPassCtx of = *ctx;
        of.rows_lo = classes[c][0];
        of.rows_hi = classes[c][1];
        for (uint32_t k = i; st == TERN_OK && !b.found && k < tn_n_passes; k++)
            st = try_pass(&b, &tn_passes[k], v, &of, err);
        if (b.found) {
            out->rows_lo = of.rows_lo;
            out->rows_hi = of.rows_hi;
        }
        tn_graph_destroy(v);
    }
    tn_graph_destroy(g);
    *n_stages = b.n_stages;
    return st;
}
