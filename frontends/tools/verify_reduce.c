/* Turns a failing kernel or model into a graph that stands alone: its weights become random, and values from
 * elsewhere become inputs. The differential check (codegen/check.h) then makes the same comparison on it as
 * `tern verify` made on the whole, and the reducer (frontends/tools/reduce.h) removes what the failure does
 * not need. A fault of a pass shows without machine code, at level ref; a fault of an emitter shows at its
 * own level. */
#include "frontends/tools/reduce.h"
#include "frontends/tools/verify.h"
#include <stdlib.h>
#include <string.h>

/* ---- standing alone */

typedef struct Alone {
    const TnGraph *g;
    TnGraph *out;
    TnRef *to; /* by ref of g */
} Alone;

static void begin(Alone *a, const TnGraph *g) {
    *a = (Alone){.g = g, .out = tn_graph_create("reduced"), .to = tn_xcalloc(g->n + 1, sizeof(TnRef))};
    memset(a->to, 0xff, g->n * sizeof *a->to);
}

static TnRef push(Alone *a, TnRef r, TnOp op, const TnType *t, const TnRef *args, uint32_t n_args,
                  const TnAttr *attrs, uint32_t n_attrs) {
    const char *name = a->g->nodes[r].name;
    return a->to[r] = tn_node_push(a->out, op, name, strlen(name), t, args, n_args, attrs, n_attrs);
}

/* Gives the encoding of a weight without a file: before layout there are no packed encodings, and trits stay
 * trits. */
static TnEnc loose(TnEnc e) {
    if (tn_enc_is_ternary(e)) return TN_ENC_t8;
    return tn_enc_is_float(e) ? e : TN_ENC_f16;
}

static void put_source(Alone *a, TnRef r) {
    const TnNode *n = &a->g->nodes[r];
    TnType t = n->type;
    if (a->to[r] != TN_NONE) return;
    bool copy = tn_encs[t.enc].kind == TN_SHADOW; /* made from another weight and read together with it */
    if (n->op == TN_OP_const || n->op == TN_OP_rope_freq || copy) {
        TnRef args[1] = {TN_NONE};
        if (n->n_args) {
            put_source(a, n->args[0]);
            args[0] = a->to[n->args[0]];
        }
        push(a, r, n->op, &t, args, n->n_args, n->attrs, n->n_attrs);
        return;
    }
    TnAttr seed = {.key = TN_ATTR_seed,
                   .i = n->op == TN_OP_random ? tn_attr_int(n, TN_ATTR_seed) : (int64_t)r + 1};
    t.enc = loose(t.enc);
    push(a, r, TN_OP_random, &t, NULL, 0, &seed, 1);
}

/* A value that the runtime supplies keeps its input name; a computed value becomes an input of its own
 * name. */
static void put_input(Alone *a, TnRef r) {
    const TnNode *n = &a->g->nodes[r];
    if (a->to[r] != TN_NONE) return;
    TnType t = n->type;
    if (tn_encs[t.enc].kind == TN_CACHE) t.enc = tn_enc_is_kcache(t.enc) ? TN_ENC_kc : TN_ENC_vc;
    TnAttr name = {.key = TN_ATTR_name, .s = n->op == TN_OP_input ? tn_attr_str(n, TN_ATTR_name) : n->name};
    if (t.enc != TN_ENC_q8 && t.enc != TN_ENC_q8g) {
        push(a, r, TN_OP_input, &t, NULL, 0, &name, 1);
        return;
    }
    /* only quant and quant_groups make codes */
    TnAttr group = {.key = TN_ATTR_n, .i = t.group};
    bool by_groups = t.enc == TN_ENC_q8g;
    t = tn_type(TN_ENC_f32, 2, t.dim[0], t.dim[1]);
    name.s = tn_sprintf(&a->out->arena, "of.%s", n->name);
    TnRef x = tn_node_push(a->out, TN_OP_input, name.s, strlen(name.s), &t, NULL, 0, &name, 1);
    push(a, r, by_groups ? TN_OP_quant_groups : TN_OP_quant, &n->type, &x, 1, &group, by_groups);
}

static void put_op(Alone *a, TnRef r) {
    const TnNode *n = &a->g->nodes[r];
    TnRef args[TN_ARGS_MAX];
    TnAttr attrs[TN_ATTR_COUNT];
    uint32_t n_attrs = 0;
    for (uint32_t i = 0; i < n->n_args; i++) {
        TnRef x = n->args[i];
        if (a->to[x] == TN_NONE) x = tn_alias_root(a->g, x);
        if (tn_node_is_source(a->g, x))
            put_source(a, x);
        else
            put_input(a, x);
        args[i] = a->to[x];
    }
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].key != TN_ATTR_off) attrs[n_attrs++] = n->attrs[i];
    TnType t = n->type;
    if (tn_encs[t.enc].kind == TN_CACHE) t.enc = tn_enc_is_kcache(t.enc) ? TN_ENC_kc : TN_ENC_vc;
    push(a, r, n->op, &t, args, n->n_args, attrs, n_attrs);
}

/* Makes outputs of all values that nothing reads. NULL if that gives no valid graph. */
static TnGraph *end_alone(Alone *a) {
    uint32_t n = a->out->n, *uses = tn_xcalloc(n + 1, sizeof *uses);
    tn_count_uses(a->out, uses);
    for (TnRef r = 0; r < n; r++) {
        const TnNode *x = &a->out->nodes[r];
        TnAttr name = {.key = TN_ATTR_name, .s = x->name};
        bool computed = tn_ops[x->op].class != TN_SOURCE && tn_ops[x->op].class != TN_INPUT;
        if (!uses[r] && computed && !tn_op_is(x->op, TN_TRAIT_STATE))
            tn_node_push(a->out, TN_OP_output, NULL, 0, &x->type, &r, 1, &name, 1);
    }
    free(uses);
    free(a->to);
    TnDiag d = {0};
    bool fine = tn_verify(a->out, &d) == TERN_OK;
    tn_diag_free(&d);
    if (fine) return a->out;
    tn_graph_destroy(a->out);
    return NULL;
}

/* ---- failing */

static bool differs(void *user, const TnGraph *g) {
    return tn_random_differs(g, user);
}

static TnGraph *reduce(TnGraph *g, TnRandom *how) {
    TnGraph *small = NULL;
    if (g && tn_random_differs(g, how)) {
        small = tn_reduce(g, differs, how);
        (void)tn_random_differs(small, how); /* for its seed */
    }
    tn_graph_destroy(g);
    return small;
}

TnGraph *tn_reduce_random(const TnGraph *g, TnRandom *how) {
    Alone a;
    begin(&a, g);
    for (TnRef r = 0; r < g->n; r++)
        if (!tn_node_is_source(g, r) && g->nodes[r].op != TN_OP_input && g->nodes[r].op != TN_OP_output)
            put_op(&a, r);
    return reduce(end_alone(&a), how);
}

TnGraph *tn_reduce_kernel(const TnGraph *g, uint32_t kernel, TnRef op, TnRandom *out) {
    *out = (TnRandom){.level = g->level, .kv = g->kv, .rows_lo = g->rows_lo, .rows_hi = g->rows_hi};
    Alone a;
    begin(&a, g);
    for (TnRef r = g->kernels[kernel].first; r <= op; r++) put_op(&a, r);
    return reduce(end_alone(&a), out);
}

TnGraph *tn_reduce_model(const TnGraph *model, const char *lost, const char *level, TnKv kv, int64_t rows_lo,
                         int64_t rows_hi, TnRandom *out) {
    uint32_t at = lost ? tn_map_get(&model->names, lost, strlen(lost)) : TN_MAP_NONE;
    /* try the graph up to the lost value and a little more; if that does not fail, a longer part */
    for (uint64_t n = at == TN_MAP_NONE ? model->n : at + 8ull;; n *= 2) {
        for (int ref = 1; ref >= 0; ref--) {
            *out = (TnRandom){
                .level = ref ? TN_LEVEL_REF_NAME : level, .kv = kv, .rows_lo = rows_lo, .rows_hi = rows_hi};
            Alone a;
            if (!ref && !tn_level_has_code(level)) continue;
            begin(&a, model);
            for (TnRef r = 0; r < model->n && r < n; r++)
                if (!tn_node_is_source(model, r) && model->nodes[r].op != TN_OP_input &&
                    model->nodes[r].op != TN_OP_output)
                    put_op(&a, r);
            TnGraph *small = reduce(end_alone(&a), out);
            if (small) return small;
        }
        if (n >= model->n) return NULL;
    }
}
