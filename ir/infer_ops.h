/* What the files of type inference share: the state of a call, its functions, one for each row of ops.def, and small questions.
 * A function sets c->out, or fails with a message that has the number and the name of the operand. */
#ifndef TN_INFER_OPS_H
#define TN_INFER_OPS_H

#include "ir/internal.h"

/* The state of one call of tn_infer: what is known of the node, and the type to find. */
typedef struct TnInfer {
    const TnGraph *g;
    TnOp op;
    const TnType *given;
    const TnRef *args;
    uint32_t n_args;
    const TnAttr *attrs;
    uint32_t n_attrs;
    TnArena *arena;
    TnType *out;
    TernError *err;
} TnInfer;

/* One for each op; those of class MAP share one. */
#define INFER_SOURCE(name)                                  tn_infer_##name
#define INFER_INPUT(name)                                   tn_infer_##name
#define INFER_ROW(name)                                     tn_infer_##name
#define INFER_ELEM(name)                                    tn_infer_##name
#define INFER_MAP(name)                                     tn_infer_map
#define INFER_ROOT(name)                                    tn_infer_##name
#define INFER_SINK(name)                                    tn_infer_##name
#define OP(name, lo, hi, class, stages, attrs, traits, doc) TernStatus INFER_##class(name)(TnInfer * c);
#include "ir/ops.def"
#undef OP

#define FAIL(c, ...) tn_fail((c)->err, TERN_ERR_INPUT, __VA_ARGS__)

/* ---- messages and small questions */

static inline const TnType *arg(const TnInfer *c, uint32_t i) {
    return &c->g->nodes[c->args[i]].type;
}

/* "operand 2 ($w) is f32[4], expected ..." */
static inline TernStatus wrong(const TnInfer *c, uint32_t i, const char *expected) {
    return FAIL(c, "%s: operand %u (%c%s) is %s, expected %s", tn_ops[c->op].name, i + 1,
                tn_sigil(c->g, c->args[i]), c->g->nodes[c->args[i]].name, tn_type_text(arg(c, i)).s,
                expected);
}

static inline bool is(const TnType *t, TnEnc enc, int rank) {
    return t->enc == enc && t->rank == rank;
}
static inline bool is_matrix(const TnType *t) {
    return t->rank == 2 && !tn_dim_is_sym(t->dim[1]);
}
static inline bool is_f32_matrix(const TnType *t) {
    return t->enc == TN_ENC_f32 && is_matrix(t);
}
/* Whether operand i is a weight matrix of numbers, as embed and matmul read it. */
static inline bool is_float_weight(const TnInfer *c, uint32_t i) {
    const TnType *t = arg(c, i);
    return tn_node_is_source(c->g, c->args[i]) && t->rank == 2 &&
           (tn_enc_is_float(t->enc) || tn_enc_is_blocks(t->enc));
}
static inline bool is_ternary_weight(const TnInfer *c, uint32_t i) {
    return tn_node_is_source(c->g, c->args[i]) && tn_enc_is_ternary(arg(c, i)->enc);
}

static inline const TnAttr *attr(const TnInfer *c, TnAttrKey key) {
    for (uint32_t i = 0; i < c->n_attrs; i++)
        if (c->attrs[i].key == key) return &c->attrs[i];
    return NULL;
}

static inline TernStatus done(TnInfer *c, TnType t) {
    *c->out = t;
    return TERN_OK;
}

#endif
