/* Reports the differences of paired and unpaired nodes, kernels and graphs. */
#include "frontends/tools/diff_graphs.h"
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/align.h"
#include "frontends/tools/layer_label.h"
#include "ir/print.h"
#include "runtime/base/escape.h"
#include "runtime/base/half.h"

typedef struct Tell {
    TnAligned a, b;
    TnPlace *place_a, *place_b;
    const TnDiffOptions *o;
    TnDiff *d;
    TnBuf words;                         /* of the current line, each after ", " */
    uint32_t *kernel_of_a, *kernel_of_b; /* the paired kernel of the other graph, or TN_NONE */
    uint32_t moved;                      /* values at another offset */
    TnRef first_moved;
} Tell;

/* ---- pieces of lines */

static void put_name(const TnGraph *g, TnRef r, TnBuf *out) {
    tn_buf_printf(out, "%c%s", tn_sigil(g, r), g->nodes[r].name);
}

/* As in the text form, but easier to read: floats in decimal, long lists by their length. */
static void put_value(const TnAttr *a, TnBuf *out) {
    if (!a)
        tn_buf_puts(out, "none");
    else if (tn_attrs[a->key].kind == TN_AFLOAT)
        tn_buf_printf(out, "%.9g", (double)a->f);
    else if (tn_attrs[a->key].kind == TN_AFLOATS)
        tn_buf_printf(out, "[%u values]", a->n);
    else if (tn_attrs[a->key].kind == TN_ASTR)
        tn_buf_puts(out, a->s);
    else
        tn_print_value(a, out);
}

/* "at a.tir:12, b.tir:14", for graphs that were read from text. */
static void put_lines(const TnGraph *a, uint32_t line_a, const TnGraph *b, uint32_t line_b, TnBuf *out) {
    bool has_a = a && a->file && line_a, has_b = b && b->file && line_b;
    if (has_a) tn_buf_printf(out, " at %s:%u", tn_listed(a->file).s, line_a);
    if (has_b) tn_buf_printf(out, "%s %s:%u", has_a ? "," : " at", tn_listed(b->file).s, line_b);
}

/* "(l0.ffn, f32[T,768])" */
static void put_where(const TnNode *n, TnPlace place, bool type, TnBuf *out) {
    TnBuf p = {0};
    tn_place_print(place, &p);
    if (p.len || type) tn_buf_puts(out, " (");
    if (p.len) tn_buf_puts(out, p.data);
    if (p.len && type) tn_buf_puts(out, ", ");
    if (type) tn_print_shape(&n->type, out);
    if (p.len || type) tn_buf_puts(out, ")");
    tn_buf_free(&p);
}

static TnBuf *word(Tell *t) {
    tn_buf_puts(&t->words, t->words.len ? ", " : " ");
    return &t->words;
}

/* ---- one pair of nodes */

/* Returns whether x (of a) is the same value as y (of b): paired, or equal to the other's partner. */
static bool same_value(const Tell *t, TnRef x, TnRef y) {
    TnRef mx = t->a.match[x], my = t->b.match[y];
    if (mx == y) return true;
    if (my != TN_NONE && t->a.value[my] == t->a.value[x]) return true;
    return mx != TN_NONE && t->b.value[mx] == t->b.value[y];
}

/* An inserted or removed op is one difference. It is reported where it stands; that its reader has another
 * operand follows from it. Walks up through unpaired nodes only. */
static bool follows(const Tell *t, TnRef x, TnRef y) {
    TnRef p = x, q = y;
    for (int step = 0; step < 64; step++) {
        bool a_new = t->a.match[p] == TN_NONE, b_new = t->b.match[q] == TN_NONE;
        if (!a_new && !b_new) return same_value(t, p, q);
        const TnNode *n = a_new ? &t->a.g->nodes[p] : &t->b.g->nodes[q];
        if (!n->n_args) return false;
        if (a_new)
            p = n->args[0];
        else
            q = n->args[0];
    }
    return false;
}

static void tell_operands(Tell *t, const TnNode *p, const TnNode *q) {
    if (p->n_args != q->n_args) tn_buf_printf(word(t), "%u operands -> %u", p->n_args, q->n_args);
    for (uint32_t i = 0; i < p->n_args && i < q->n_args; i++) {
        TnRef x = p->args[i], y = q->args[i];
        if (same_value(t, x, y) || follows(t, x, y)) continue;
        TnBuf *w = word(t);
        tn_buf_printf(w, "operand %u ", i);
        put_name(t->a.g, x, w);
        tn_buf_puts(w, " -> ");
        put_name(t->b.g, y, w);
    }
}

static void tell_attrs(Tell *t, TnRef x, const TnNode *p, const TnNode *q) {
    for (int k = 0; k < TN_ATTR_COUNT; k++) {
        const TnAttr *u = tn_node_attr(p, (TnAttrKey)k), *v = tn_node_attr(q, (TnAttrKey)k);
        if ((!u && !v) || (u && v && tn_attr_equal(u, v)) || k == TN_ATTR_hash) continue;
        if (k == TN_ATTR_off) { /* one more op moves all others: reported once */
            if (!t->moved++) t->first_moved = x;
            continue;
        }
        if ((!u || !v) && p->op != q->op) continue; /* goes with the op */
        TnBuf *w = word(t);
        tn_buf_printf(w, "%s ", tn_attrs[k].name);
        put_value(u, w);
        tn_buf_puts(w, " -> ");
        put_value(v, w);
    }
}

static bool scales_equal(const TnType *s, const TnType *t) {
    if (s->n_scales != t->n_scales) return false;
    for (uint32_t i = 0; i < s->n_scales; i++)
        if (s->scales[i].rows != t->scales[i].rows ||
            tn_f32_bits(s->scales[i].scale) != tn_f32_bits(t->scales[i].scale))
            return false;
    return true;
}

static bool types_equal(const TnType *s, const TnType *t) {
    return s->enc == t->enc && s->rank == t->rank && s->group == t->group && s->two == t->two &&
           memcmp(s->dim, t->dim, s->rank * sizeof s->dim[0]) == 0;
}

/* Compares tensors of the model files by hash. Returns whether they differ. */
static bool tell_weight(Tell *t, const TnNode *p, const TnNode *q) {
    const TnAttr *u = tn_node_attr(p, TN_ATTR_hash), *v = tn_node_attr(q, TN_ATTR_hash);
    bool scale = !scales_equal(&p->type, &q->type);
    if (!scale && (!u || !v || u->u == v->u)) return false;
    tn_buf_puts(word(t), "weights differ");
    if (p->type.n_scales == 1 && q->type.n_scales == 1 && scale)
        tn_buf_printf(&t->words, ", scale %.6g -> %.6g", (double)p->type.scales[0].scale,
                      (double)q->type.scales[0].scale);
    if (t->o->weights) t->o->weights(t->o->user, p, q, &t->words);
    return true;
}

static void tell_pair(Tell *t, TnRef x, TnRef y) {
    const TnGraph *a = t->a.g, *b = t->b.g;
    const TnNode *p = &a->nodes[x], *q = &b->nodes[y];
    TnBuf *out = &t->d->text;
    bool weight = false, type = !types_equal(&p->type, &q->type), renamed = strcmp(p->name, q->name) != 0;
    t->words.len = 0;
    if (p->op != q->op) tn_buf_printf(word(t), "%s -> %s", tn_ops[p->op].name, tn_ops[q->op].name);
    if (type) {
        TnBuf *w = word(t);
        tn_print_shape(&p->type, w);
        tn_buf_puts(w, " -> ");
        tn_print_shape(&q->type, w);
    }
    tell_operands(t, p, q);
    tell_attrs(t, x, p, q);
    bool structural = t->words.len > 0;
    if (p->op == TN_OP_gguf && q->op == TN_OP_gguf) weight = tell_weight(t, p, q);
    bool moved = a->n_kernels && b->n_kernels && p->kernel != TN_NONE && q->kernel != TN_NONE &&
                 t->kernel_of_a[p->kernel] != TN_NONE && t->kernel_of_a[p->kernel] != q->kernel;
    if (moved) {
        tn_buf_printf(word(t), "kernel @%s -> @%s", a->kernels[p->kernel].name, b->kernels[q->kernel].name);
        structural = true;
    }
    if (renamed && t->o->names && !t->words.len) tn_buf_puts(word(t), "renamed");
    if (renamed) t->d->renamed++;
    if (!t->words.len) {
        t->d->alike++;
        return;
    }
    if (structural)
        t->d->changed++;
    else if (weight)
        t->d->weights++;
    else
        t->d->alike++;
    tn_buf_puts(out, "~ ");
    put_name(a, x, out);
    if (renamed) {
        tn_buf_puts(out, " (now ");
        put_name(b, y, out);
        tn_buf_puts(out, ")");
    }
    if (p->op == q->op && p->op != TN_OP_gguf) tn_buf_printf(out, " %s", tn_ops[p->op].name);
    tn_buf_put(out, t->words.data, t->words.len);
    put_where(p, t->place_a[x], !type, out);
    put_lines(a, p->line, b, q->line, out);
    tn_buf_puts(out, "\n");
}

static void tell_lone(Tell *t, char mark, const TnAligned *s, TnRef r) {
    const TnNode *n = &s->g->nodes[r];
    TnBuf *out = &t->d->text;
    tn_buf_printf(out, "%c ", mark);
    put_name(s->g, r, out);
    tn_buf_printf(out, " %s", tn_ops[n->op].name);
    for (uint32_t i = 0; i < n->n_args; i++) {
        tn_buf_puts(out, i ? ", " : " ");
        put_name(s->g, n->args[i], out);
    }
    put_where(n, mark == '+' ? t->place_b[r] : t->place_a[r], true, out);
    put_lines(s->g, n->line, NULL, 0, out);
    tn_buf_puts(out, "\n");
    *(mark == '+' ? &t->d->added : &t->d->removed) += 1;
}

/* ---- kernels */

/* A kernel is paired through its root, or if it has none, through its first paired node. */
static void pair_kernels(Tell *t, TnArena *arena) {
    const TnGraph *a = t->a.g, *b = t->b.g;
    t->kernel_of_a = tn_alloc_array(arena, a->n_kernels + 1u, sizeof *t->kernel_of_a);
    t->kernel_of_b = tn_alloc_array(arena, b->n_kernels + 1u, sizeof *t->kernel_of_b);
    memset(t->kernel_of_a, 0xff, a->n_kernels * sizeof *t->kernel_of_a);
    memset(t->kernel_of_b, 0xff, b->n_kernels * sizeof *t->kernel_of_b);
    for (int roots = 1; roots >= 0; roots--)
        for (uint32_t k = 0; k < a->n_kernels; k++) {
            const TnKernel *p = &a->kernels[k];
            for (TnRef r = p->first; r < p->first + p->n && t->kernel_of_a[k] == TN_NONE; r++) {
                TnRef y = t->a.match[r];
                if ((roots && r != p->root) || y == TN_NONE) continue;
                uint32_t l = b->nodes[y].kernel;
                if (l == TN_NONE || t->kernel_of_b[l] != TN_NONE) continue;
                if (roots && b->kernels[l].root != y) continue;
                t->kernel_of_a[k] = l;
                t->kernel_of_b[l] = k;
            }
        }
}

static void tell_lone_kernel(Tell *t, char mark, const TnGraph *g, const TnKernel *k) {
    TnBuf *out = &t->d->text;
    tn_buf_printf(out, "%c kernel @%s", mark, k->name);
    tn_buf_printf(out, " (%s, %u op%s)", k->root == TN_NONE ? "no root" : tn_ops[g->nodes[k->root].op].name,
                  k->n, k->n == 1 ? "" : "s");
    put_lines(g, k->line, NULL, 0, out);
    tn_buf_puts(out, "\n");
    *(mark == '+' ? &t->d->added : &t->d->removed) += 1;
}

static void tell_int(Tell *t, const char *what, int64_t u, int64_t v) {
    if (u != v) tn_buf_printf(word(t), "%s %lld -> %lld", what, (long long)u, (long long)v);
}

static void tell_kernel_pair(Tell *t, const TnKernel *p, const TnKernel *q) {
    static const char *const axes[] = {"unset", "rows", "cols"};
    TnBuf *out = &t->d->text;
    const char *s = p->target ? p->target : "none", *u = q->target ? q->target : "none";
    t->words.len = 0;
    if (strcmp(s, u) != 0) tn_buf_printf(word(t), "target %s -> %s", s, u);
    if (p->axis != q->axis) tn_buf_printf(word(t), "axis %s -> %s", axes[p->axis], axes[q->axis]);
    tell_int(t, "grain", p->grain, q->grain);
    tell_int(t, "units", p->units, q->units);
    for (TnStream i = 0; i < TN_STREAM_COUNT; i++)
        for (TnInto j = 0; j < TN_INTO_COUNT; j++)
            tell_int(t, tn_attrs[tn_prefetch_key(i, j)].name, p->prefetch.ahead[i][j],
                     q->prefetch.ahead[i][j]);
    tell_int(t, "panels", p->panels, q->panels);
    tell_int(t, "barrier", p->barrier, q->barrier);
    if (!t->words.len) return;
    t->d->changed++;
    tn_buf_printf(out, "~ kernel @%s", p->name);
    if (strcmp(p->name, q->name) != 0) tn_buf_printf(out, " (now @%s)", q->name);
    tn_buf_put(out, t->words.data, t->words.len);
    if (p->n)
        put_where(&t->a.g->nodes[p->first], t->place_a[p->root == TN_NONE ? p->first : p->root], false, out);
    put_lines(t->a.g, p->line, t->b.g, q->line, out);
    tn_buf_puts(out, "\n");
}

/* Only where both graphs have kernels: before fuse there is nothing to compare. */
static void tell_kernels(Tell *t) {
    const TnGraph *a = t->a.g, *b = t->b.g;
    if (!a->n_kernels || !b->n_kernels) return;
    for (uint32_t k = 0; k < a->n_kernels; k++)
        if (t->kernel_of_a[k] == TN_NONE)
            tell_lone_kernel(t, '-', a, &a->kernels[k]);
        else
            tell_kernel_pair(t, &a->kernels[k], &b->kernels[t->kernel_of_a[k]]);
    for (uint32_t k = 0; k < b->n_kernels; k++)
        if (t->kernel_of_b[k] == TN_NONE) tell_lone_kernel(t, '+', b, &b->kernels[k]);
}

/* ---- the graph */

static void tell_graph(Tell *t) {
    static const char *const stages[] = {"model", "fused", "planned"};
    const TnGraph *a = t->a.g, *b = t->b.g;
    const char *s = a->level ? a->level : "none", *u = b->level ? b->level : "none";
    t->words.len = 0;
    if (a->stage != b->stage) tn_buf_printf(word(t), "stage %s -> %s", stages[a->stage], stages[b->stage]);
    if (strcmp(s, u) != 0) tn_buf_printf(word(t), "level %s -> %s", s, u);
    if (a->kv != b->kv)
        tn_buf_printf(word(t), "kv %s -> %s", a->kv ? tn_kv_names[a->kv] : "unset",
                      b->kv ? tn_kv_names[b->kv] : "unset");
    if (a->rows_lo != b->rows_lo || a->rows_hi != b->rows_hi)
        tn_buf_printf(word(t), "rows %lld..%lld -> %lld..%lld", (long long)a->rows_lo, (long long)a->rows_hi,
                      (long long)b->rows_lo, (long long)b->rows_hi);
    if (!t->words.len) return;
    t->d->changed++;
    tn_buf_printf(&t->d->text, "~ graph @%s%s\n", a->name, t->words.data);
}

static void tell_moved(Tell *t) {
    if (!t->moved) return;
    TnBuf *out = &t->d->text;
    const TnNode *p = &t->a.g->nodes[t->first_moved], *q = &t->b.g->nodes[t->a.match[t->first_moved]];
    tn_buf_printf(out, "~ %u value%s at another offset in the arena, the first ", t->moved,
                  t->moved == 1 ? "" : "s");
    put_name(t->a.g, t->first_moved, out);
    tn_buf_puts(out, " off ");
    put_value(tn_node_attr(p, TN_ATTR_off), out);
    tn_buf_puts(out, " -> ");
    put_value(tn_node_attr(q, TN_ATTR_off), out);
    tn_buf_puts(out, "\n");
    t->d->changed++;
}

void tn_diff(const TnGraph *a, const TnGraph *b, const TnDiffOptions *options, TnDiff *out) {
    static const TnDiffOptions none = {0};
    TnArena arena = {0};
    Tell t = {.o = options ? options : &none, .d = out};
    *out = (TnDiff){.n_a = a->n, .n_b = b->n};
    tn_align(a, b, &arena, &t.a, &t.b);
    t.place_a = tn_places(a, &arena);
    t.place_b = tn_places(b, &arena);
    pair_kernels(&t, &arena);
    tell_graph(&t);
    /* in b's order; nodes removed from a are reported before the next pair after them */
    TnRef next = 0;
    for (TnRef y = 0; y < b->n; y++) {
        TnRef x = t.b.match[y];
        if (x == TN_NONE) {
            tell_lone(&t, '+', &t.b, y);
            continue;
        }
        for (; next < x; next++)
            if (t.a.match[next] == TN_NONE) tell_lone(&t, '-', &t.a, next);
        tell_pair(&t, x, y);
    }
    for (; next < a->n; next++)
        if (t.a.match[next] == TN_NONE) tell_lone(&t, '-', &t.a, next);
    tell_kernels(&t);
    tell_moved(&t);
    tn_buf_free(&t.words);
    tn_arena_free(&arena);
}

void tn_diff_summary(const TnDiff *d, TnBuf *out) {
    if (!tn_diff_any(d)) {
        tn_buf_printf(out, "the same: %u ops", d->n_a);
        if (d->renamed) tn_buf_printf(out, ", %u under another name", d->renamed);
    } else {
        tn_buf_printf(out, "%u changed, %u added, %u removed", d->changed, d->added, d->removed);
        if (d->weights) tn_buf_printf(out, ", %u with other weights", d->weights);
        tn_buf_printf(out, "; %u of %u ops alike", d->alike, d->n_a);
    }
    tn_buf_puts(out, "\n");
}
