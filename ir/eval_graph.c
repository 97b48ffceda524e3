/* Evaluates whole graphs and single kernels. */
#include "ir/eval_ops.h"
#include "ir/internal.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/base/os.h"
#include "runtime/base/reader.h"

struct TnEval {
    const TnGraph *g;
    void **data; /* by ref; NULL for values that need no memory */
    int64_t sym[TN_SYM_COUNT];
    void *scratch;
};

static void *reserve(size_t bytes) {
    void *p = aligned_alloc(64, tn_round_up(bytes + 1, 64));
    if (!p) tn_out_of_memory(bytes);
    return p;
}

static bool *needed_sources(const TnGraph *g) {
    bool *needed = tn_xcalloc(g->n + 1, sizeof *needed);
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args && !tn_node_is_source(g, r); i++)
            needed[g->nodes[r].args[i]] = true;
    return needed;
}

TernStatus tn_eval_fits(const TnGraph *g, const int64_t sym[TN_SYM_COUNT], uint32_t times, TernError *err) {
    uint64_t total = 0, free_bytes = tn_os_free_memory();
    bool *needed = needed_sources(g);
    TernStatus st = TERN_OK;
    for (TnRef r = 0; r < g->n && free_bytes && st == TERN_OK; r++) {
        const TnNode *n = &g->nodes[r];
        TnOpClass class = tn_ops[n->op].class;
        if (class == TN_SINK || n->op == TN_OP_kv_put || (class == TN_SOURCE && !needed[r])) continue;
        total += tn_type_bytes(&n->type, sym);
        if (total > free_bytes / times)
            st = tn_fail(err, TERN_ERR_MEMORY,
                         "evaluating graph @%s takes %llu MB for its values up to %c%s, but %llu MB are free",
                         g->name, (unsigned long long)(total * times >> 20), tn_sigil(g, r), n->name,
                         (unsigned long long)(free_bytes >> 20));
    }
    free(needed);
    return st;
}

TernStatus tn_eval_create(const TnGraph *g, const TnWeights *w, const int64_t sym[TN_SYM_COUNT], TnEval **out,
                          TernError *err) {
    TnEval *e = tn_xcalloc(1, sizeof *e);
    e->g = g;
    memcpy(e->sym, sym, sizeof e->sym);
    e->data = tn_xcalloc(g->n + 1, sizeof *e->data);
    bool *needed = needed_sources(g);
    size_t scratch = 0;
    TernStatus st = TERN_OK;
    for (TnRef r = 0; r < g->n && st == TERN_OK; r++) {
        const TnNode *n = &g->nodes[r];
        TnOpClass class = tn_ops[n->op].class;
        if (class == TN_SINK || tn_op_is(n->op, TN_TRAIT_STATE)) continue;
        if (class == TN_SOURCE && !needed[r]) continue;
        size_t bytes = tn_type_bytes(&n->type, sym);
        e->data[r] = reserve(bytes);
        /* fill with NaN, so that a read of anything unwritten shows in the result */
        memset(e->data[r], class == TN_INPUT ? 0 : 0xff, bytes);
        if (class == TN_SOURCE) st = tn_weight_all(g, r, w, e->data[r], err);
        if (class == TN_SOURCE || class == TN_INPUT) continue;
        size_t need = tn_eval_op_scratch(g, r, sym);
        scratch = need > scratch ? need : scratch;
    }
    free(needed);
    e->scratch = reserve(scratch);
    if (st != TERN_OK) {
        tn_eval_destroy(e);
        return st;
    }
    *out = e;
    return TERN_OK;
}

void tn_eval_destroy(TnEval *e) {
    if (!e) return;
    for (TnRef r = 0; r < e->g->n; r++) free(e->data[r]);
    free(e->data);
    free(e->scratch);
    free(e);
}

void *tn_eval_data(TnEval *e, TnRef ref) {
    TN_CHECK(ref < e->g->n);
    return e->data[tn_alias_root(e->g, ref)];
}

void *tn_eval_input(TnEval *e, const char *name) {
    TnRef r = tn_graph_find(e->g, TN_OP_input, name);
    return r == TN_NONE ? NULL : e->data[r];
}

const void *tn_eval_output(TnEval *e, const char *name) {
    TnRef r = tn_graph_find(e->g, TN_OP_output, name);
    return r == TN_NONE ? NULL : tn_eval_data(e, e->g->nodes[r].args[0]);
}

void tn_eval_run(TnEval *e, const int64_t sym[TN_SYM_COUNT]) {
    for (int i = 0; i < TN_SYM_COUNT; i++) TN_CHECK(0 <= sym[i] && sym[i] <= e->sym[i]);
    for (TnRef r = 0; r < e->g->n; r++) {
        TnOpClass class = tn_ops[e->g->nodes[r].op].class;
        if (class != TN_SOURCE && class != TN_INPUT) tn_eval_node_in(e->g, r, e->data, sym, e->scratch);
    }
}

/* Whether a node's indices are inputs, so that they are known before a step. */
static bool by_inputs(const TnGraph *g, const TnNode *n) {
    bool any = false;
    for (uint32_t i = 0; i < n->n_args; i++) {
        const TnNode *a = &g->nodes[n->args[i]];
        if (a->type.enc != TN_ENC_i32) continue;
        if (a->op != TN_OP_input) return false;
        any = true;
    }
    return any;
}

TernStatus tn_eval_check_inputs(const TnEval *e, const int64_t sym[TN_SYM_COUNT], TernError *err) {
    for (TnRef r = 0; r < e->g->n; r++) {
        const TnNode *n = &e->g->nodes[r];
        TnEvalOp c = {.g = e->g, .n = n, .ref = r, .data = e->data, .sym = sym};
        if (tn_ops[n->op].class != TN_SINK && by_inputs(e->g, n)) TN_TRY(tn_eval_op_check(&c, err));
    }
    return TERN_OK;
}

TernStatus tn_eval_try(TnEval *e, const int64_t sym[TN_SYM_COUNT], TernError *err) {
    for (int i = 0; i < TN_SYM_COUNT; i++) TN_CHECK(0 <= sym[i] && sym[i] <= e->sym[i]);
    for (TnRef r = 0; r < e->g->n; r++) {
        const TnNode *n = &e->g->nodes[r];
        if (tn_ops[n->op].class == TN_SOURCE || tn_ops[n->op].class == TN_INPUT) continue;
        TnEvalOp c = {.g = e->g, .n = n, .ref = r, .data = e->data, .sym = sym};
        TN_TRY(tn_eval_op_check(&c, err));
        tn_eval_node_in(e->g, r, e->data, sym, e->scratch);
    }
    return TERN_OK;
}

/* ---- one kernel. Its scratch holds data pointers by ref (only those of the kernel are set), values that do not leave
 * the kernel, and the scratch of the ops. */

static bool is_operand(const TnRef *ops, uint32_t n, TnRef r) {
    for (uint32_t i = 0; i < n; i++)
        if (ops[i] == r) return true;
    return false;
}

/* Gives each inner value its place, from `at` on; with data == NULL only counts. Returns the end. */
static size_t place(const TnGraph *g, uint32_t kernel, const int64_t sym[TN_SYM_COUNT], const TnRef *ops,
                    uint32_t n_ops, uint8_t *scratch, size_t at, void **data) {
    const TnKernel *k = &g->kernels[kernel];
    size_t most = 0;
    for (TnRef r = k->first; r < k->first + k->n; r++) {
        size_t need = tn_eval_op_scratch(g, r, sym);
        most = need > most ? need : most;
        if (tn_op_is(g->nodes[r].op, TN_TRAIT_STATE) || is_operand(ops, n_ops, r)) continue;
        if (data) data[r] = scratch + at;
        at += tn_round_up(tn_type_bytes(&g->nodes[r].type, sym), 64);
    }
    return data ? at : at + most;
}

size_t tn_eval_kernel_scratch(const TnGraph *g, uint32_t kernel, const int64_t sym[TN_SYM_COUNT]) {
    TnRef ops[64];
    uint32_t n_in, n_ops = tn_kernel_operands(g, kernel, ops, &n_in);
    return place(g, kernel, sym, ops, n_ops, NULL, tn_round_up(g->n * sizeof(void *), 64), NULL);
}

void tn_eval_kernel(const TnGraph *g, uint32_t kernel, void *const *operands, const int64_t sym[TN_SYM_COUNT],
                    void *scratch) {
    TnRef ops[64];
    uint32_t n_in, n_ops = tn_kernel_operands(g, kernel, ops, &n_in);
    const TnKernel *k = &g->kernels[kernel];
    void **data = scratch;
    for (uint32_t i = 0; i < n_ops; i++) data[ops[i]] = operands[i];
    size_t end = place(g, kernel, sym, ops, n_ops, scratch, tn_round_up(g->n * sizeof(void *), 64), data);
    for (TnRef r = k->first; r < k->first + k->n; r++)
        tn_eval_node_in(g, r, data, sym, (uint8_t *)scratch + end);
}
