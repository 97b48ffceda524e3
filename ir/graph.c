/* Builds graphs, and makes the few changes that passes need. */
#include "ir/internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/half.h"

TnType tn_type(TnEnc enc, int rank, ...) {
    TnType t = {.enc = enc, .rank = (uint8_t)rank};
    TN_CHECK(rank >= 1 && rank <= 3);
    va_list ap;
    va_start(ap, rank);
    for (int i = 0; i < rank; i++) t.dim[i] = va_arg(ap, TnDim);
    va_end(ap);
    return t;
}

bool tn_type_equal(const TnType *a, const TnType *b) {
    if (a->enc != b->enc || a->rank != b->rank || a->n_scales != b->n_scales) return false;
    if (a->group != b->group || a->two != b->two) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    for (uint32_t i = 0; i < a->n_scales; i++)
        if (a->scales[i].rows != b->scales[i].rows ||
            tn_f32_bits(a->scales[i].scale) != tn_f32_bits(b->scales[i].scale))
            return false;
    return true;
}

int64_t tn_type_row_scales(const TnType *t) {
    return tn_type_in_groups(t) ? t->dim[1] / t->group : t->group == TN_GROUP_ROW;
}

float tn_type_scale(const TnType *t, int64_t row) {
    TN_CHECK(t->n_scales && row >= 0);
    uint32_t i = 0;
    while (i + 1 < t->n_scales && row >= t->scales[i].rows) row -= t->scales[i++].rows;
    return t->scales[i].scale;
}

/* ---- creation and destruction */

TnGraph *tn_graph_create(const char *name) {
    TN_CHECK(tn_name_ok(name, strlen(name)));
    TnGraph *g = tn_xcalloc(1, sizeof *g);
    g->name = tn_strdup(&g->arena, name);
    return g;
}

void tn_graph_destroy(TnGraph *g) {
    if (!g) return;
    free(g->nodes);
    free(g->kernels);
    tn_map_free(&g->names);
    tn_arena_free(&g->arena);
    free(g);
}

static const char *copy_str(TnGraph *g, const char *s) {
    return s ? tn_strdup(&g->arena, s) : NULL;
}

static TnType copy_type(TnGraph *g, const TnType *t) {
    TnType c = *t;
    if (t->n_scales) {
        TnScale *s = tn_alloc_array(&g->arena, t->n_scales, sizeof *s);
        memcpy(s, t->scales, t->n_scales * sizeof *s);
        c.scales = s;
    } else {
        c.scales = NULL;
    }
    return c;
}

/* The text has one spelling of NaN, so a graph has one NaN. */
static float copy_float(float f) {
    TN_CHECK(f == f || tn_f32_bits(f) == 0x7fc00000u);
    return f;
}

static TnAttr copy_attr(TnGraph *g, const TnAttr *a) {
    TnAttr c = *a;
    switch (tn_attrs[a->key].kind) {
    case TN_AINT:
    case TN_AHEX:
        break;
    case TN_AFLOAT:
        copy_float(a->f);
        break;
    case TN_ASTR:
    case TN_AIDENT:
        c.s = tn_strdup(&g->arena, a->s);
        break;
    case TN_AFLOATS: {
        float *fs = tn_alloc_array(&g->arena, a->n, sizeof *fs);
        for (uint32_t i = 0; i < a->n; i++) fs[i] = copy_float(a->fs[i]);
        c.fs = fs;
        break;
    }
    }
    return c;
}

/* Also counts numbers that a caller chose as names, so that the next free number depends only on the graph. */
static void note_number(TnGraph *g, const char *name) {
    if (name[0] < '0' || name[0] > '9' || strlen(name) > 9) return;
    uint32_t v = (uint32_t)strtoul(name, NULL, 10);
    if (v >= g->next_number) g->next_number = v + 1;
}

static const char *next_name(TnGraph *g) {
    char text[16];
    int n;
    do n = snprintf(text, sizeof text, "%u", g->next_number++);
    while (tn_map_get(&g->names, text, (size_t)n) != TN_MAP_NONE);
    return tn_strndup(&g->arena, text, (size_t)n);
}

TnRef tn_node_push(TnGraph *g, TnOp op, const char *name, size_t name_len, const TnType *type,
                   const TnRef *args, uint32_t n_args, const TnAttr *attrs, uint32_t n_attrs) {
    TN_CHECK(g->n < INT32_MAX); /* a text has at most TN_NODES_MAX nodes, and memory runs out long before */
    TnNode node = {.op = op, .n_args = n_args, .n_attrs = n_attrs, .kernel = TN_NONE};
    node.type = copy_type(g, type);
    if (name) {
        TN_CHECK(tn_name_ok(name, name_len));
        node.name = tn_strndup(&g->arena, name, name_len);
        note_number(g, node.name);
    } else {
        node.name = next_name(g);
    }
    if (n_args) {
        node.args = tn_alloc_array(&g->arena, n_args, sizeof *node.args);
        memcpy(node.args, args, n_args * sizeof *args);
    }
    if (n_attrs) node.attrs = tn_alloc_array(&g->arena, n_attrs, sizeof *node.attrs);
    for (uint32_t i = 0; i < n_attrs; i++) {
        uint32_t at = i;
        for (; at && node.attrs[at - 1].key > attrs[i].key; at--) node.attrs[at] = node.attrs[at - 1];
        TN_CHECK(!at || node.attrs[at - 1].key != attrs[i].key);
        node.attrs[at] = copy_attr(g, &attrs[i]);
    }
    TnRef ref = g->n;
    uint32_t was = tn_map_set(&g->names, node.name, strlen(node.name), ref);
    if (was != TN_MAP_NONE) TN_BUG("graph @%s has two values named %s", g->name, node.name);
    TN_PUSH(g->nodes, g->n, g->cap, node);
    return ref;
}

TnRef tn_node_add(TnGraph *g, TnOp op, const char *name, const TnType *type, const TnRef *args,
                  uint32_t n_args, const TnAttr *attrs, uint32_t n_attrs) {
    TnType out;
    TernError err = {0};
    if (tn_infer(g, op, type, args, n_args, attrs, n_attrs, &g->arena, &out, &err) != TERN_OK)
        TN_BUG("graph @%s, value %s: %s", g->name, name ? name : "(unnamed)", err.text);
    return tn_node_push(g, op, name, name ? strlen(name) : 0, &out, args, n_args, attrs, n_attrs);
}

uint32_t tn_kernel_add(TnGraph *g, const char *name, TnRef root, TnRef first, uint32_t n) {
    TN_CHECK(n > 0 && first < g->n && n <= g->n - first && tn_name_ok(name, strlen(name)));
    TN_CHECK(root == TN_NONE || (root >= first && root - first < n));
    TnKernel k = {.name = tn_strdup(&g->arena, name), .root = root, .first = first, .n = n};
    uint32_t index = g->n_kernels;
    for (TnRef r = first; r < first + n; r++) {
        TN_CHECK(g->nodes[r].kernel == TN_NONE);
        g->nodes[r].kernel = index;
    }
    TN_PUSH(g->kernels, g->n_kernels, g->cap_kernels, k);
    return index;
}

TnGraph *tn_graph_clone(const TnGraph *g) {
    TnGraph *c = tn_graph_create(g->name);
    c->stage = g->stage;
    c->level = copy_str(c, g->level);
    c->kv = g->kv;
    c->rows_lo = g->rows_lo;
    c->rows_hi = g->rows_hi;
    c->file = copy_str(c, g->file);
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        tn_node_push(c, n->op, n->name, strlen(n->name), &n->type, n->args, n->n_args, n->attrs, n->n_attrs);
        c->nodes[r].line = n->line;
        c->nodes[r].kernel = n->kernel;
    }
    for (uint32_t i = 0; i < g->n_kernels; i++) {
        TnKernel k = g->kernels[i];
        k.name = copy_str(c, k.name);
        k.target = copy_str(c, k.target);
        TN_PUSH(c->kernels, c->n_kernels, c->cap_kernels, k);
    }
    return c;
}

/* ---- attributes */

const TnAttr *tn_node_attr(const TnNode *n, TnAttrKey key) {
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].key == key) return &n->attrs[i];
    return NULL;
}

static const TnAttr *need_attr(const TnNode *n, TnAttrKey key) {
    const TnAttr *a = tn_node_attr(n, key);
    if (!a) TN_BUG("%s %s has no attribute %s", tn_ops[n->op].name, n->name, tn_attrs[key].name);
    return a;
}

int64_t tn_attr_int(const TnNode *n, TnAttrKey key) {
    return need_attr(n, key)->i;
}
float tn_attr_float(const TnNode *n, TnAttrKey key) {
    return need_attr(n, key)->f;
}
const char *tn_attr_str(const TnNode *n, TnAttrKey key) {
    return need_attr(n, key)->s;
}

TnRef tn_graph_find(const TnGraph *g, TnOp op, const char *name) {
    for (TnRef r = 0; r < g->n; r++)
        if (g->nodes[r].op == op && strcmp(tn_attr_str(&g->nodes[r], TN_ATTR_name), name) == 0) return r;
    return TN_NONE;
}

void tn_node_set_attr(TnGraph *g, TnRef ref, TnAttr attr) {
    TN_CHECK(ref < g->n && tn_attr_rule(g->nodes[ref].op, attr.key) != TN_ATTR_FOREIGN);
    TnNode *n = &g->nodes[ref];
    attr = copy_attr(g, &attr);
    uint32_t at = 0;
    while (at < n->n_attrs && n->attrs[at].key < attr.key) at++;
    if (at == n->n_attrs || n->attrs[at].key != attr.key) {
        TnAttr *bigger = tn_alloc_array(&g->arena, n->n_attrs + 1, sizeof *bigger);
        for (uint32_t i = 0; i < n->n_attrs; i++) bigger[i + (i >= at)] = n->attrs[i];
        n->attrs = bigger;
        n->n_attrs++;
    }
    n->attrs[at] = attr;
}

/* ---- reading */

bool tn_node_is_source(const TnGraph *g, TnRef r) {
    return tn_ops[g->nodes[r].op].class == TN_SOURCE;
}

void tn_count_uses(const TnGraph *g, uint32_t *counts) {
    for (TnRef r = 0; r < g->n; r++) counts[r] = 0;
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) counts[g->nodes[r].args[i]]++;
}

TnRef tn_alias_root(const TnGraph *g, TnRef r) {
    while (tn_op_is(g->nodes[r].op, TN_TRAIT_STATE)) r = g->nodes[r].args[0];
    return r;
}

static bool listed(const TnRef *list, uint32_t n, TnRef r) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == r) return true;
    return false;
}

uint32_t tn_kernel_operands(const TnGraph *g, uint32_t kernel, TnRef *out, uint32_t *n_in) {
    const TnKernel *k = &g->kernels[kernel];
    TnRef end = k->first + k->n;
    uint32_t n = 0;
    for (TnRef r = k->first; r < end; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef a = tn_alias_root(g, g->nodes[r].args[i]);
            if (g->nodes[a].kernel == kernel || listed(out, n, a)) continue;
            TN_CHECK(n < TN_OPERANDS_MAX);
            out[n++] = a;
        }
    *n_in = n;
    /* The result of a kv_put is its cache, which is among the reads. */
    bool *leaves = tn_xcalloc(k->n, sizeof *leaves);
    for (TnRef r = end; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef a = g->nodes[r].args[i];
            if (a >= k->first && a < end) leaves[a - k->first] = true;
        }
    for (TnRef r = k->first; r < end; r++)
        if (leaves[r - k->first] && !tn_op_is(g->nodes[r].op, TN_TRAIT_STATE)) {
            TN_CHECK(n < TN_OPERANDS_MAX);
            out[n++] = r;
        }
    free(leaves);
    return n;
}

static bool str_equal(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool tn_attr_equal(const TnAttr *a, const TnAttr *b) {
    if (a->key != b->key) return false;
    switch (tn_attrs[a->key].kind) {
    case TN_AINT:
    case TN_AHEX:
        return a->u == b->u;
    case TN_AFLOAT:
        return tn_f32_bits(a->f) == tn_f32_bits(b->f);
    case TN_ASTR:
    case TN_AIDENT:
        return strcmp(a->s, b->s) == 0;
    case TN_AFLOATS:
        return a->n == b->n && (a->n == 0 || memcmp(a->fs, b->fs, a->n * sizeof *a->fs) == 0);
    }
    return false;
}

void tn_attr_put_key(const TnAttr *a, TnBuf *key) {
    uint32_t k = a->key;
    tn_buf_put(key, &k, sizeof k);
    switch (tn_attrs[a->key].kind) {
    case TN_AINT:
    case TN_AHEX:
        tn_buf_put(key, &a->u, sizeof a->u);
        break;
    case TN_AFLOAT:
        tn_buf_put(key, &a->f, sizeof a->f);
        break;
    case TN_ASTR:
    case TN_AIDENT:
        tn_buf_put(key, a->s, strlen(a->s) + 1);
        break;
    case TN_AFLOATS:
        tn_buf_put(key, &a->n, sizeof a->n);
        if (a->n) tn_buf_put(key, a->fs, a->n * sizeof *a->fs);
        break;
    }
}

static bool node_equal(const TnNode *a, const TnNode *b) {
    if (a->op != b->op || a->n_args != b->n_args || a->n_attrs != b->n_attrs || a->kernel != b->kernel ||
        strcmp(a->name, b->name) != 0 || !tn_type_equal(&a->type, &b->type))
        return false;
    for (uint32_t i = 0; i < a->n_args; i++)
        if (a->args[i] != b->args[i]) return false;
    for (uint32_t i = 0; i < a->n_attrs; i++)
        if (!tn_attr_equal(&a->attrs[i], &b->attrs[i])) return false;
    return true;
}

bool tn_graph_equal(const TnGraph *a, const TnGraph *b) {
    if (strcmp(a->name, b->name) != 0 || a->stage != b->stage || !str_equal(a->level, b->level) ||
        a->kv != b->kv || a->rows_lo != b->rows_lo || a->rows_hi != b->rows_hi || a->n != b->n ||
        a->n_kernels != b->n_kernels)
        return false;
    for (TnRef r = 0; r < a->n; r++)
        if (!node_equal(&a->nodes[r], &b->nodes[r])) return false;
    for (uint32_t i = 0; i < a->n_kernels; i++) {
        const TnKernel *x = &a->kernels[i], *y = &b->kernels[i];
        if (strcmp(x->name, y->name) != 0 || x->root != y->root || x->first != y->first || x->n != y->n ||
            !str_equal(x->target, y->target) || x->axis != y->axis || x->grain != y->grain ||
            x->units != y->units || !tn_prefetch_equal(&x->prefetch, &y->prefetch) ||
            x->panels != y->panels || x->barrier != y->barrier)
            return false;
    }
    return true;
}

/* ---- changing */

void tn_graph_replace(TnGraph *g, TnRef from, TnRef to) {
    TN_CHECK(from < g->n && to < g->n);
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++)
            if (g->nodes[r].args[i] == from) g->nodes[r].args[i] = to;
}

/* Renumbers the kernels in their new order, which is the order of launches and of the text. */
static void reorder_kernels(TnGraph *g, const TnRef *moved) {
    uint32_t *index = tn_xcalloc((size_t)g->n_kernels + 1, sizeof *index);
    TnKernel *sorted = tn_xcalloc((size_t)g->n_kernels + 1, sizeof *sorted);
    for (uint32_t i = 0; i < g->n_kernels; i++) index[i] = TN_NONE;
    uint32_t n = 0;
    for (TnRef r = 0; r < g->n; r++) {
        uint32_t old = g->nodes[r].kernel;
        if (old == TN_NONE) continue;
        if (index[old] == TN_NONE) {
            sorted[n] = g->kernels[old];
            sorted[n].first = r;
            sorted[n].n = 0;
            if (sorted[n].root != TN_NONE) sorted[n].root = moved[sorted[n].root];
            index[old] = n++;
        }
        g->nodes[r].kernel = index[old];
        sorted[index[old]].n++;
    }
    if (n) memcpy(g->kernels, sorted, n * sizeof *sorted);
    g->n_kernels = n;
    free(sorted);
    free(index);
}

void tn_graph_reorder(TnGraph *g, const TnRef *order, uint32_t n) {
    TN_CHECK(n <= g->n);
    TnRef *moved = tn_xcalloc((size_t)g->n + 1, sizeof *moved);
    TnNode *nodes = tn_xcalloc((size_t)n + 1, sizeof *nodes);
    for (TnRef r = 0; r < g->n; r++) moved[r] = TN_NONE;
    for (uint32_t i = 0; i < n; i++) {
        TN_CHECK(order[i] < g->n && moved[order[i]] == TN_NONE);
        moved[order[i]] = i;
        nodes[i] = g->nodes[order[i]];
    }
    tn_map_free(&g->names);
    g->names = (TnMap){0};
    g->next_number = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < nodes[i].n_args; j++) {
            TnRef to = moved[nodes[i].args[j]];
            if (to == TN_NONE || to >= i)
                TN_BUG("reorder: %s reads %s, which is %s", nodes[i].name, g->nodes[nodes[i].args[j]].name,
                       to == TN_NONE ? "dropped" : "not before it");
            nodes[i].args[j] = to;
        }
        tn_map_set(&g->names, nodes[i].name, strlen(nodes[i].name), i);
        note_number(g, nodes[i].name);
    }
    free(g->nodes);
    g->nodes = nodes;
    g->n = n;
    g->cap = n + 1;
    reorder_kernels(g, moved);
    free(moved);
}
