/* cse: equal values are computed once.
 *
 * Does: replaces nodes of equal op, operands, attributes and type by the first of them. The frontend writes a `quant`
 * for every linear layer; this merges those of one input. Tensors of the model file are equal if their types and hashes
 * are, whatever their names (a tied head that is stored twice). If the hash is 0 (unknown), the names must be equal too.
 * Needs: a verified graph of stage model.
 * Breaks: nothing. Weights that are no longer read are left to dce.
 * Stops: one pass in order; operands are merged before their readers are compared.
 *
 * Not merged: inputs and outputs, which are names, and kv_put, which changes a cache each time. Two attends of
 * equal operands read the same state, since a changed cache is another value. a+b and b+a stay two nodes:
 * the order may decide which NaN comes out. */
#include "passes/internal.h"
#include <stdlib.h>
#include <string.h>
#include "ir/print.h"

static void put_node(TnBuf *key, const TnNode *n) {
    tn_buf_put(key, &n->op, sizeof n->op);
    tn_print_type(&n->type, key);
    tn_buf_put(key, &n->n_args, sizeof n->n_args);
    tn_buf_put(key, n->args, n->n_args * sizeof *n->args);
    const TnAttr *hash = n->op == TN_OP_gguf ? tn_node_attr(n, TN_ATTR_hash) : NULL;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (!(hash && hash->u && n->attrs[i].key == TN_ATTR_name)) tn_attr_put_key(&n->attrs[i], key);
}

TernStatus pass_cse(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)ctx;
    (void)err;
    TnArena keys = {0};
    TnMap seen = {0};
    TnBuf key = {0};
    TnEdit edit;
    tn_edit_begin(&edit, g);
    for (TnRef r = 0; r < edit.n; r++) {
        TnNode *n = &g->nodes[r];
        for (uint32_t i = 0; i < n->n_args; i++) n->args[i] = tn_edit_find(&edit, n->args[i]);
        TnOpClass c = tn_class_of(g, r);
        if (c == TN_INPUT || c == TN_SINK || tn_op_is(n->op, TN_TRAIT_STATE)) continue;
        key.len = 0;
        put_node(&key, n);
        uint32_t first = tn_map_get(&seen, key.data, key.len);
        if (first != TN_MAP_NONE)
            tn_edit_replace(&edit, r, first);
        else
            tn_map_set(&seen, tn_strndup(&keys, key.data, key.len), key.len, r);
    }
    tn_edit_end(&edit, false);
    tn_map_free(&seen);
    tn_buf_free(&key);
    tn_arena_free(&keys);
    return TERN_OK;
}
