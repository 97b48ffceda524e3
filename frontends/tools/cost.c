/* ternc_cost: the bytes and multiply-adds of each launch of a compiled model, computed from its planned
 * graph. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/api/call_options.h"
#include "frontends/tools/graphs.h"
#include "ir/print.h"

typedef struct Kernel {
    const TnGraph *g;
    const TnKernel *k;
    TerncCost *out;
} Kernel;

static void add_rows(Kernel *k, const TnType *leading, uint64_t bytes_a_row) {
    if (tn_dim_is_sym(leading->dim[0]))
        k->out->sym_bytes[tn_dim_sym(leading->dim[0])] += bytes_a_row;
    else
        k->out->weight_bytes += bytes_a_row * (uint64_t)leading->dim[0];
}

/* The only node of the kernel that reads r, at operand 1; NULL if there are several, or it reads r at
 * another. */
static const TnNode *only_reader(const Kernel *k, TnRef r) {
    const TnNode *found = NULL;
    for (uint32_t i = 0; i < k->k->n; i++) {
        const TnNode *n = &k->g->nodes[k->k->first + i];
        for (uint32_t a = 0; a < n->n_args; a++) {
            if (n->args[a] != r) continue;
            if (a != 0 || found) return NULL;
            found = n;
        }
    }
    return found;
}

static bool read_by_others(const Kernel *k, TnRef r) {
    for (TnRef i = 0; i < k->g->n; i++) {
        const TnNode *n = &k->g->nodes[i];
        if (n->kernel == TN_NONE || (i >= k->k->first && i < k->k->first + k->k->n)) continue;
        for (uint32_t a = 0; a < n->n_args; a++)
            if (n->args[a] == r) return true;
    }
    return false;
}

/* Bytes of one position in a cache. */
static uint64_t position_bytes(const TnType *cache) {
    return tn_page_bytes(cache) / TN_PAGE;
}

/* Rows of a table that node n reads through operand `place` for each row that it makes; 0: the whole table.
 * For reranking it is the least number, since the bounds decide at run time how many rows are left. */
static uint64_t rows_read(const TnNode *n, uint32_t place) {
    if (place + 1 != n->n_args) return 0;
    if (tn_op_is(n->op, TN_TRAIT_TABLE_ROWS)) return (uint64_t)n->type.dim[1];
    return tn_op_is(n->op, TN_TRAIT_TABLE_ROW);
}

/* Counts a table of which every reader in the kernel takes rows. */
static bool add_rows_of(Kernel *k, TnRef r) {
    const TnType *t = &k->g->nodes[r].type;
    for (int add = 0; add < 2; add++)
        for (uint32_t i = 0; i < k->k->n; i++) {
            const TnNode *n = &k->g->nodes[k->k->first + i];
            for (uint32_t a = 0; a < n->n_args; a++) {
                if (n->args[a] != r) continue;
                uint64_t rows = rows_read(n, a);
                if (!rows) return false;
                if (add) add_rows(k, &n->type, rows * tn_row_bytes(t));
            }
        }
    return true;
}

static void add_source(Kernel *k, TnRef r) {
    const TnType *t = &k->g->nodes[r].type;
    const TnNode *root = k->k->root == TN_NONE ? NULL : &k->g->nodes[k->k->root];
    if (add_rows_of(k, r)) {
        bool embedded = root && tn_op_is(root->op, TN_TRAIT_INDEX1);
        if (embedded && !read_by_others(k, r)) k->out->table_bytes += tn_type_bytes(t, NULL);
    } else if (tn_encs[t->enc].kind == TN_SHADOW && !(root && root->op == TN_OP_estimate)) {
        k->out->weight_bytes += 2 * tn_shadow_array_bytes(t); /* reranking: errors and norms */
    } else if (tn_encs[t->enc].kind == TN_SHADOW) {
        k->out->weight_bytes += tn_shadow_read_bytes(t);
    } else {
        k->out->weight_bytes += tn_type_bytes(t, NULL);
    }
}

/* A column-major copy is read instead of operand 2, where that is less. */
static bool is_copy(const Kernel *k, TnRef r) {
    const TnNode *root = k->k->root == TN_NONE ? NULL : &k->g->nodes[k->k->root];
    return root && root->op == TN_OP_tmatmul && root->n_args > 2 && root->args[2] == r;
}

static void add_value(Kernel *k, TnRef r) {
    const TnNode *n = &k->g->nodes[r];
    if (tn_node_is_source(k->g, r)) {
        if (!is_copy(k, r)) add_source(k, r);
        return;
    }
    if (tn_encs[n->type.enc].kind == TN_CACHE) return; /* counted at the nodes that use it */
    if (n->type.rank == 2 && tn_dim_is_sym(n->type.dim[1]))
        return; /* the block table: one entry for 64 positions */
    if (n->type.dim[0] == tn_sym_dim(TN_P))
        return; /* the result of attend_blocks: one row for 64 positions, small beside the cache */
    const TnNode *reader = only_reader(k, r);
    bool fewer = reader && tn_op_is(reader->op, TN_TRAIT_FEWER);
    add_rows(k, fewer ? &reader->type : &n->type, tn_row_bytes(&n->type));
}

static void add_node(Kernel *k, const TnNode *n) {
    const TnNode *nodes = k->g->nodes;
    TerncCost *w = k->out;
    if (tn_op_is(n->op, TN_TRAIT_STATE)) {
        add_rows(k, &nodes[n->args[1]].type, position_bytes(&n->type));
    } else if (tn_op_is(n->op, TN_TRAIT_ATTENDS)) {
        const TnType *q = &nodes[n->args[0]].type;
        w->held_bytes += position_bytes(&nodes[n->args[1]].type) + position_bytes(&nodes[n->args[2]].type);
        w->attended_macs += 2 * (uint64_t)q->dim[q->rank - 1]; /* a score, and a weighted value */
        w->window = (uint64_t)tn_attr_int(n, TN_ATTR_window);
    } else if (tn_op_is(n->op, TN_TRAIT_PRODUCT)) {
        const TnType *m = &nodes[n->args[1]].type;
        uint64_t macs = (uint64_t)m->dim[0] * (uint64_t)m->dim[1];
        if (tn_dim_is_sym(n->type.dim[0])) w->sym_macs[tn_dim_sym(n->type.dim[0])] += macs;
    }
}

void tn_kernel_describe(const TnGraph *g, uint32_t kernel, char *out, size_t n) {
    const TnKernel *k = &g->kernels[kernel];
    *out = 0;
    if (k->root != TN_NONE) {
        const TnNode *root = &g->nodes[k->root];
        TnBuf text = {0};
        tn_buf_printf(&text, "%s ", tn_ops[root->op].name);
        tn_print_shape(&g->nodes[root->args[1]].type, &text);
        snprintf(out, n, "%s", text.data);
        tn_buf_free(&text);
        return;
    }
    for (uint32_t i = 0; i < k->n && strlen(out) + 1 < n; i++) {
        size_t at = strlen(out);
        snprintf(out + at, n - at, "%s%s", i ? "+" : "", tn_ops[g->nodes[k->first + i].op].name);
    }
}

/* Kernels with equal text get the same number; the map borrows its keys. */
typedef struct Groups {
    TnMap of_text;
    TnArena arena;
} Groups;

static uint32_t group_of(Groups *s, const TnGraph *g, uint32_t kernel) {
    TnBuf text = {0};
    tn_kernel_signature(g, kernel, &text);
    uint32_t group = tn_map_get(&s->of_text, text.data, text.len);
    if (group == TN_MAP_NONE) {
        group = kernel;
        tn_map_set(&s->of_text, tn_strndup(&s->arena, text.data, text.len), text.len, group);
    }
    tn_buf_free(&text);
    return group;
}

/* Columns of which a unit can have any multiple: whole blocks of rows side by side, whole heads, whole lines. Fewer than 16 are no
 * work for a unit. */
static int64_t least_grain(const TnGraph *g, uint32_t kernel) {
    int64_t least = 16, cut;
    while ((cut = tn_cut_of(g, kernel, least).grain) != least) {
        if (cut < least) return least; /* more than a unit may have */
        least = cut;
    }
    return least;
}

static void work_of(const TnGraph *g, uint32_t kernel, Groups *groups, TerncCost *out) {
    Kernel k = {g, &g->kernels[kernel], out};
    TnRef ops[64];
    uint32_t n_in, n = tn_kernel_operands(g, kernel, ops, &n_in);
    for (uint32_t i = 0; i < n; i++) add_value(&k, ops[i]);
    for (uint32_t i = 0; i < k.k->n; i++) add_node(&k, &g->nodes[k.k->first + i]);
    snprintf(out->name, sizeof out->name, "%s", k.k->name);
    tn_kernel_describe(g, kernel, out->what, sizeof out->what);
    out->group = group_of(groups, g, kernel);
    if (k.k->axis != TN_AXIS_COLS) return;
    out->grain = (uint64_t)k.k->grain;
    out->least = tn_cut_by_columns(g, kernel) ? (uint64_t)least_grain(g, kernel) : out->grain;
}

TernStatus ternc_cost(const TernModel *model, uint32_t variant, TerncCost **out, uint32_t *out_n,
                      TernError *err) {
    size_t n;
    tn_error_clear(err);
    TN_NEED(model, err);
    TN_NEED(out, err);
    TN_NEED(out_n, err);
    const char *tir = tern_model_section(model, TN_SECTION_TIR, 0, &n);
    if (!tir) return tn_fail(err, TERN_ERR_INPUT, "the model has no section TIR, which holds its graphs");
    TnDiag d = {0};
    TnGraph **gs = NULL;
    uint32_t n_graphs = 0;
    TernStatus st = tn_parse(tir, n, "section TIR", &gs, &n_graphs, &d);
    for (uint32_t i = 0; i < n_graphs && st == TERN_OK; i++) st = tn_verify(gs[i], &d);
    if (st != TERN_OK)
        st = tn_fail(err, st, "%.*s", d.text.data ? (int)strcspn(d.text.data, "\n") : 0,
                     d.text.data ? d.text.data : "");
    else if (variant >= n_graphs || gs[variant]->stage != TN_STAGE_PLANNED)
        st = tn_fail(err, TERN_ERR_INPUT, "section TIR: graph %u of %u is missing or not planned", variant,
                     n_graphs);
    if (st == TERN_OK) {
        const TnGraph *g = gs[variant];
        Groups groups = {0};
        *out_n = g->n_kernels;
        *out = tn_xcalloc(g->n_kernels ? g->n_kernels : 1, sizeof **out);
        for (uint32_t k = 0; k < g->n_kernels; k++) work_of(g, k, &groups, &(*out)[k]);
        tn_map_free(&groups.of_text);
        tn_arena_free(&groups.arena);
    }
    for (uint32_t i = 0; i < n_graphs; i++) tn_graph_destroy(gs[i]);
    free(gs);
    tn_diag_free(&d);
    return st;
}
