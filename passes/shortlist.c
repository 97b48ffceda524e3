/* shortlist: the head reads a small copy of its table first.
 *
 * Does: if only the best or the k best elements of a dense matmul are used, the table need not be read whole. An integer
 * copy of it (pack to s8, s6 or s5, as ctx->head asks) gives approximate elements and a proven bound on their errors. s6 has a
 * plane of further bits and s5 two, which rerank reads for the rows that the bound leaves, and each gives a closer one. The few rows
 * that the bound cannot rule out are computed from the table itself, in the defined order. The answers are always those of
 * the full product (ir.h).
 *
 *   %logits: f32[R,V] = matmul %x, $w      %q: q14[R,K] = limbs %x
 *   %best: i32[R] = argmax %logits         %y: f32[R,V] = estimate %q, $small
 *                                          %best: i32[R] = rerank %y, %q, $small, %x, $w
 *
 * topk becomes rerank_top. take of its ids becomes pick, which computes exactly those elements. An output that shows
 * all elements keeps the full product, but over rows of its own: those named by the input lrows and counted by the
 * symbol L, which is 0 in most steps. The ops between the gather of rows and the product are repeated for them.
 * Needs: a verified graph of stage model; merge before it, since merge recognises a head by its argmax; ctx->head.
 * Breaks: if an output showed the logits, R now counts only the rows with wants 1 and 2.
 * Stops: each matmul is looked at once.
 *
 * Left alone: everything unless ctx->head is s8, s6 or s5; products over rows that are not counted by R; those with
 * another reader than argmax, topk, take of that topk, and output; those from which nothing is chosen; rows longer
 * than 2^17, whose sums may not fit; an output whose rows cannot be gathered again. */
#include "passes/internal.h"
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX ((int64_t)1 << 17)
#define DEPTH_MAX   64

typedef struct Shortlist {
    TnGraph *g;
    TnEnc enc;
    TnReaders readers;
    TnEdit edit;
    TnRef lrows;
    TnRef *
        again; /* for each value counted by R: its copy over the rows lrows; 0: not made (0 is never a copy) */
    uint8_t *steps;
} Shortlist;

static bool leads(const TnGraph *g, TnRef r, TnSym s) {
    return g->nodes[r].type.dim[0] == tn_sym_dim(s);
}

/* Whether `by` chooses elements of r, or takes those that a topk chose. */
static bool chooses(const TnGraph *g, TnRef by, TnRef r) {
    const TnNode *n = &g->nodes[by];
    if (n->op != TN_OP_take) return n->op == TN_OP_argmax || n->op == TN_OP_topk;
    const TnNode *ids = &g->nodes[n->args[1]];
    return n->args[0] == r && ids->op == TN_OP_topk && ids->args[0] == r;
}

/* For a value counted by R: the number of row-wise ops from a gather of `rows` to it. They can be repeated for other rows.
 * NEVER: not all of them can, or there are more than DEPTH_MAX. For other values 0: they stay as they are. */
enum { NEVER = 255 };
static uint8_t steps_anew(const TnGraph *g, TnRef r, const uint8_t *steps) {
    const TnNode *n = &g->nodes[r];
    if (!leads(g, r, TN_R)) return 0;
    if (n->op == TN_OP_gather) {
        const TnNode *rows = &g->nodes[n->args[1]];
        return rows->op == TN_OP_input && strcmp(tn_attr_str(rows, TN_ATTR_name), "rows") == 0 ? 1 : NEVER;
    }
    if (!tn_op_is_row(n->op)) return NEVER;
    uint8_t most = 0;
    for (uint32_t i = 0; i < n->n_args; i++)
        if (steps[n->args[i]] > most) most = steps[n->args[i]];
    return most < DEPTH_MAX ? most + 1 : NEVER;
}

static bool shortlists(const Shortlist *s, TnRef r) {
    const TnGraph *g = s->g;
    const TnNode *n = &g->nodes[r];
    if (n->op != TN_OP_matmul || !leads(g, r, TN_R) || g->nodes[n->args[1]].type.dim[1] > COLUMNS_MAX)
        return false;
    bool chosen = false;
    for (uint32_t i = s->readers.at[r]; i < s->readers.at[r + 1]; i++) {
        TnRef by = s->readers.list[i];
        if (g->nodes[by].op == TN_OP_output ? s->steps[n->args[0]] == NEVER : !chooses(g, by, r))
            return false;
        chosen |= g->nodes[by].op != TN_OP_output;
    }
    return chosen;
}

static TnRef lrows(Shortlist *s) {
    TnAttr name = {.key = TN_ATTR_name, .s = "lrows"};
    TnType t = tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_L));
    if (!s->lrows) s->lrows = tn_node_add(s->g, TN_OP_input, NULL, &t, NULL, 0, &name, 1);
    return s->lrows;
}

/* Returns a copy of value r that is computed for the rows lrows. */
static TnRef gather_anew(Shortlist *s, TnRef r) {
    if (!leads(s->g, r, TN_R)) return r;
    if (s->again[r]) return s->again[r];
    TnRef args[8];
    uint32_t n = s->g->nodes[r].n_args;
    TnOp op = s->g->nodes[r].op;
    for (uint32_t i = 0; i < n; i++)
        args[i] = op == TN_OP_gather && i == 1 ? lrows(s) : gather_anew(s, s->g->nodes[r].args[i]);
    const TnNode *was = &s->g->nodes[r];
    return s->again[r] = tn_node_add(s->g, op, NULL, NULL, args, n, was->attrs, was->n_attrs);
}

static void shortlist(Shortlist *s, TnRef r) {
    TnGraph *g = s->g;
    TnRef x = g->nodes[r].args[0], w = g->nodes[r].args[1], top = TN_NONE;
    TnType t = tn_type(s->enc, 2, g->nodes[w].type.dim[0], g->nodes[w].type.dim[1]);
    TnRef copy = tn_node_add(g, TN_OP_pack, NULL, &t, &w, 1, NULL, 0);
    TnRef q = tn_node_add(g, TN_OP_limbs, NULL, NULL, &x, 1, NULL, 0);
    TnRef y = tn_node_add(g, TN_OP_estimate, NULL, NULL, (TnRef[]){q, copy}, 2, NULL, 0);
    TnRef head[] = {y, q, copy, x, w}, all = TN_NONE;
    for (uint32_t i = s->readers.at[r]; i < s->readers.at[r + 1]; i++) {
        TnRef by = s->readers.list[i];
        const TnNode *n = &g->nodes[by];
        switch (n->op) {
        case TN_OP_argmax:
            tn_edit_become(&s->edit, by, tn_node_add(g, TN_OP_rerank, NULL, NULL, head, 5, NULL, 0));
            break;
        case TN_OP_topk:
            tn_edit_become(&s->edit, by,
                           tn_node_add(g, TN_OP_rerank_top, NULL, NULL, head, 5, n->attrs, n->n_attrs));
            break;
        case TN_OP_take: /* after its topk in the list, as in the text */
            top = tn_edit_find(&s->edit, n->args[1]);
            tn_edit_become(&s->edit, by,
                           tn_node_add(g, TN_OP_pick, NULL, NULL, (TnRef[]){x, top, w}, 3, NULL, 0));
            break;
        default:
            if (all == TN_NONE) {
                TnRef lx = gather_anew(s, x);
                all = tn_node_add(g, TN_OP_matmul, NULL, NULL, (TnRef[]){lx, w}, 2, NULL, 0);
            }
            g->nodes[by].type = g->nodes[all].type;
        }
    }
    if (all == TN_NONE)
        tn_edit_drop(&s->edit, r);
    else
        tn_edit_become(&s->edit, r, all);
}

/* Finds the input lrows, if the text has it already. */
static TernStatus find_lrows(Shortlist *s, TernError *err) {
    TnType t = tn_type(TN_ENC_i32, 1, tn_sym_dim(TN_L));
    TnRef r = tn_graph_find(s->g, TN_OP_input, "lrows");
    if (r == TN_NONE) return TERN_OK;
    if (!tn_type_equal(&s->g->nodes[r].type, &t))
        return tn_fail(err, TERN_ERR_INPUT, "shortlist: input \"lrows\" (%%%s) is not i32[L]",
                       s->g->nodes[r].name);
    s->lrows = r;
    return TERN_OK;
}

TernStatus pass_shortlist(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    if (ctx->head == TN_ENC_COUNT || tn_encs[ctx->head].kind != TN_SHADOW) return TERN_OK;
    Shortlist s = {.g = g, .enc = ctx->head};
    TN_TRY(find_lrows(&s, err));
    tn_readers_create(g, &s.readers);
    s.again = tn_xcalloc((size_t)g->n + 1, sizeof *s.again);
    s.steps = tn_xcalloc((size_t)g->n + 1, sizeof *s.steps);
    for (TnRef r = 0; r < g->n; r++) s.steps[r] = steps_anew(g, r, s.steps);
    tn_edit_begin(&s.edit, g);
    for (TnRef r = 0; r < s.edit.n; r++)
        if (shortlists(&s, r)) shortlist(&s, r);
    tn_edit_end(&s.edit, false);
    tn_readers_destroy(&s.readers);
    free(s.again);
    free(s.steps);
    return TERN_OK;
}
