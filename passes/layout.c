/* layout: weights and caches get the encodings that the targets read.
 *
 * Does: for every weight that a tmatmul, matmul or embed reads, the first target of the list that has an opinion chooses
 * the encoding, and a `pack` to it is put before the readers (dequant reads the scales of the packed weight, which are the
 * same). pack runs when the blob is written, never in a step. A table that embed and matmul both read is packed once, in
 * the encoding chosen for matmul, which reads all of it. Dense tables get the encoding that ctx->head asks for (f16 or
 * f32), or else a lossless one: f32, f16 and bf16 stay; blocks of floats stay as the file stores them if the target reads them
 * so, and else become f32. A table that has a shadow gets a lossless
 * one in any case, since the bounds of the shadow hold for the table as it is. A target may widen that encoding but not
 * narrow it. Weights that are vectors become f32. The caches kc and vc, and every kv_put on them, get the elements of the variant.
 * If ctx->beside says so, weights that a target would read as p64 become b64 instead, with 64 rows side by side, where that
 * serves every product that reads them: strips begin at blocks of 64 rows, and no rows are left out (pass gate), for which a row
 * must lie by itself; with ctx->whole they become b64 too, and all rows are read. The answer is the same in all batch classes,
 * since all share the weights. If ctx->base3 says so, they become b80, where all rows are read in a step of one row (not those
 * of which pass colmajor may make a copy by columns), strips of whole heads can begin at blocks of 80 rows, and as good as no rows must be added to fill the last block; with
 * ctx->base3_dims only those of these dimensions.
 * Needs: a fused graph; level and kv of the variant.
 * Breaks: nothing; sources and inputs come first, before the kernels.
 * Stops: each weight is looked at once; packs are added to weights that existed before the pass, never to packs
 * added here. */
#include "passes/internal.h"
#include <stdlib.h>

enum { MOST_WHOLE = 640 }; /* columns of the smallest unit of b80: five heads of 128 */

static TnEnc preferred(const TnPassCtx *ctx, const TnType *t, TnOp reader, const char *level) {
    for (uint32_t i = 0; i < ctx->n_targets; i++) {
        TnEnc e = ctx->targets[i]->prefer(t, reader, level);
        if (e != TN_ENC_COUNT) return e;
    }
    return t->enc;
}

/* The encoding of a table of floats: a lossless one that the target prefers, unless ctx->head asks for another. */
static TnEnc table_enc(const TnPassCtx *ctx, TnType t, TnOp reader, const char *level, bool shadowed) {
    if (!shadowed && ctx->head != TN_ENC_COUNT && tn_enc_is_float(ctx->head)) t.enc = ctx->head;
    TnEnc want = preferred(ctx, &t, reader, level);
    if (want == t.enc || want == TN_ENC_f32) return want;
    return tn_enc_is_blocks(t.enc) ? TN_ENC_f32 : t.enc;
}

/* Whether the op reads operand i as a weight. An operand that is read as rows of numbers keeps its type. */
static bool is_weight(const TnNode *n, uint32_t i) {
    if (tn_op_is(n->op, TN_TRAIT_DOTS) || tn_op_is(n->op, TN_TRAIT_TABLE_ROW)) return i + 1 == n->n_args;
    if (tn_op_is(n->op, TN_TRAIT_PRODUCT)) return i >= 1;
    return (tn_op_is(n->op, TN_TRAIT_VECTOR2) && i == 1) || (n->op == TN_OP_dequant && i == 2);
}

bool tn_may_leave_out(const TnGraph *g, const TnKernel *k) {
    for (TnRef r = k->root + 1; r < k->first + k->n; r++)
        if (g->nodes[r].op == TN_OP_relu2 || g->nodes[r].op == TN_OP_mulz) return true;
    return false;
}

/* Whether the code of a product may read its weights by columns, now or in another batch class (pass colmajor). */
static bool by_columns(const TnGraph *g, const TnNode *product) {
    const TnNode *x = &g->nodes[product->args[0]];
    if (product->n_args > 2) return true;
    if (x->op == TN_OP_quant) x = &g->nodes[x->args[0]];
    if (x->op == TN_OP_rmsnorm) x = &g->nodes[x->args[0]];
    bool zeros = x->op == TN_OP_mulz;
    for (uint32_t i = 0; x->op == TN_OP_mul && i < x->n_args; i++)
        zeros |= g->nodes[x->args[i]].op == TN_OP_relu2;
    return zeros;
}

/* Whether all strips of a product begin at a block of b64 or b80, and none is shorter than its code. */
static bool cuts_blocks(const TnGraph *g, uint32_t kernel, TnEnc enc) {
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(g, kernel, parts);
    int64_t rows = enc == TN_ENC_b80 ? TN_B80_ROWS : TN_BESIDE;
    bool whole = n > 0;
    if (enc == TN_ENC_b80) /* in a class of many rows, strips of whole heads are whole planes too */
        whole &= tn_whole_columns(g, &g->kernels[kernel], rows) <= MOST_WHOLE &&
                 tn_cut_of(g, kernel, TN_B80_PLANE).grain % TN_B80_PLANE == 0;
    else
        whole &= tn_cut_of(g, kernel, rows).grain % rows == 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < parts[i].n_bases; j++) whole &= parts[i].base[j] % rows == 0;
    return whole;
}

/* Whether the shape of a weight suits b64 or b80. */
static bool has_blocks(const TnType *t, TnEnc enc) {
    if (enc == TN_ENC_b64) return t->dim[0] % TN_BESIDE == 0 && t->dim[1] <= TN_COLUMNS_MOST;
    int64_t fill = (t->dim[0] + TN_B80_ROWS - 1) / TN_B80_ROWS * TN_B80_ROWS - t->dim[0];
    return !t->two && t->dim[1] <= TN_B80_MOST && fill <= t->dim[0] / 32;
}

/* Whether b64 or b80 serves all readers of weight w, which are as p64 for its target. */
static bool serves_beside(const TnGraph *g, const TnPassCtx *ctx, TnRef w, const TnReaders *u, TnEnc enc) {
    if (!has_blocks(&g->nodes[w].type, enc)) return false;
    for (uint32_t i = u->at[w]; i < u->at[w + 1]; i++) {
        TnRef r = u->list[i];
        const TnNode *n = &g->nodes[r];
        if (tn_node_is_source(g, r) || n->op == TN_OP_dequant) continue;
        if (n->op != TN_OP_tmatmul || n->args[1] != w) return false;
        if (n->kernel == TN_NONE || g->kernels[n->kernel].root != r ||
            (tn_may_leave_out(g, &g->kernels[n->kernel]) && !(ctx->whole && enc == TN_ENC_b64)) ||
            !cuts_blocks(g, n->kernel, enc))
            return false;
        if (enc == TN_ENC_b80 && by_columns(g, n)) return false;
    }
    return true;
}

static bool may_take_base3(const TnPassCtx *ctx, const TnType *t) {
    if (!ctx->base3 || !ctx->base3_dims) return ctx->base3;
    for (uint32_t i = 0; i < ctx->n_base3_dims; i++)
        if (t->dim[0] == ctx->base3_dims[i].rows && t->dim[1] == ctx->base3_dims[i].columns) return true;
    return false;
}

/* The encoding that the readers of weight w agree on. */
static TnEnc choose(const TnGraph *g, const TnPassCtx *ctx, TnRef w, const TnReaders *u) {
    const TnType *t = &g->nodes[w].type;
    bool tmatmul = false, matmul = false, shadowed = false, embed = false, vector = false;
    for (uint32_t i = u->at[w]; i < u->at[w + 1]; i++) {
        const TnNode *n = &g->nodes[u->list[i]];
        /* matmul, and the reranking ops, which compute single elements of it from the same encoding */
        bool dots = tn_op_is(n->op, TN_TRAIT_DOTS) && n->args[n->n_args - 1] == w;
        matmul |= dots;
        shadowed |= dots && n->op != TN_OP_matmul;
        tmatmul |= n->op == TN_OP_tmatmul && n->args[n->n_args - 1] == w; /* by columns */
        if (n->n_args < 2 || n->args[1] != w) continue;
        tmatmul |= n->op == TN_OP_tmatmul || n->op == TN_OP_tmatmul_groups;
        embed |= n->op == TN_OP_embed;
        vector |= tn_op_is(n->op, TN_TRAIT_VECTOR2);
    }
    if (tmatmul) {
        TnEnc enc = preferred(ctx, t, TN_OP_tmatmul, g->level);
        if (enc != TN_ENC_p64 || !ctx->beside) return enc;
        if (may_take_base3(ctx, t) && serves_beside(g, ctx, w, u, TN_ENC_b80)) return TN_ENC_b80;
        return serves_beside(g, ctx, w, u, TN_ENC_b64) ? TN_ENC_b64 : enc;
    }
    if (vector) return TN_ENC_f32;
    if (!matmul && !embed) return t->enc;
    if (tn_enc_is_ternary(t->enc)) return preferred(ctx, t, TN_OP_embed, g->level);
    return table_enc(ctx, *t, matmul ? TN_OP_matmul : TN_OP_embed, g->level, shadowed);
}

static void pack(TnGraph *g, const TnPassCtx *ctx, TnRef w, const TnReaders *u) {
    TnEnc enc = choose(g, ctx, w, u);
    if (enc == g->nodes[w].type.enc) return;
    TnType t = g->nodes[w].type;
    t.enc = enc;
    /* Ternary packs are exact: skip the inner one. */
    TnRef from = w;
    if (g->nodes[w].op == TN_OP_pack && tn_enc_is_ternary(g->nodes[g->nodes[w].args[0]].type.enc))
        from = g->nodes[w].args[0];
    TnRef p = tn_node_add(g, TN_OP_pack, NULL, &t, &from, 1, NULL, 0);
    for (uint32_t i = u->at[w]; i < u->at[w + 1]; i++) {
        TnNode *n = &g->nodes[u->list[i]];
        for (uint32_t j = 0; j < n->n_args; j++) /* concat and pack keep their operands */
            if (n->args[j] == w && is_weight(n, j)) n->args[j] = p;
    }
}

static void choose_caches(TnGraph *g) {
    for (TnRef r = 0; r < g->n; r++) {
        TnType *t = &g->nodes[r].type;
        if (t->enc == TN_ENC_kc || t->enc == TN_ENC_vc) t->enc = tn_kv_enc(g->kv, t->enc == TN_ENC_kc);
    }
}

/* Drops the sources that had readers and have none now, and what only those read. */
static void drop_unread(TnGraph *g, TnEdit *edit, const TnReaders *was) {
    uint32_t *uses = tn_xcalloc((size_t)g->n + 1, sizeof *uses);
    tn_count_uses(g, uses);
    for (TnRef r = edit->n; r-- > 0;) {
        if (!tn_node_is_source(g, r) || uses[r] || was->at[r] == was->at[r + 1]) continue;
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) uses[g->nodes[r].args[i]]--;
        tn_edit_drop(edit, r);
    }
    free(uses);
}

TernStatus pass_layout(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)err;
    TnReaders u;
    TnEdit edit;
    tn_readers_create(g, &u);
    tn_edit_begin(&edit, g);
    for (TnRef r = 0; r < edit.n; r++)
        if (tn_node_is_source(g, r)) pack(g, ctx, r, &u);
    choose_caches(g);
    drop_unread(g, &edit, &u);
    tn_edit_end(&edit, true);
    tn_readers_destroy(&u);
    return TERN_OK;
}
