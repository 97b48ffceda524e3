/* Type inference: one function for each row of ops.def except those of class MAP. If one is missing, this file does not
 * compile.
 *
 * Operand types are checked here and nowhere else. The builder, the parser and the verifier all call
 * tn_infer, so every graph is well typed. Messages give the number and the name of the operand.
 */
#include "ir/internal.h"
#include "ir/type_layout.h"
#include "ir/places.h"
#include "ir/range.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/half.h"

#define RANDOM_MAX ((size_t)1 << 34) /* bytes of a test weight; a line of text must not take all memory */
#define WINDOW_MAX INT32_MAX
#define SHADOW_MAX ((int64_t)1 << 17) /* 255 * 64 * 2^17 fits in i32 */

/* The state of one call of tn_infer: what is known of the node, and the type to find. */
typedef struct Infer {
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
} Infer;

#define INFER_SOURCE(name)                                  infer_##name
#define INFER_INPUT(name)                                   infer_##name
#define INFER_ROW(name)                                     infer_##name
#define INFER_ELEM(name)                                    infer_##name
#define INFER_MAP(name)                                     infer_map
#define INFER_ROOT(name)                                    infer_##name
#define INFER_SINK(name)                                    infer_##name
#define OP(name, lo, hi, class, stages, attrs, traits, doc) static TernStatus INFER_##class(name)(Infer * c);
#include "ir/ops.def"
#undef OP

#define FAIL(c, ...) tn_fail((c)->err, TERN_ERR_INPUT, __VA_ARGS__)

/* ---- messages and small questions */

static const TnType *arg(const Infer *c, uint32_t i) {
    return &c->g->nodes[c->args[i]].type;
}

/* "operand 2 ($w) is f32[4], expected ..." */
static TernStatus wrong(const Infer *c, uint32_t i, const char *expected) {
    return FAIL(c, "%s: operand %u (%c%s) is %s, expected %s", tn_ops[c->op].name, i + 1,
                tn_sigil(c->g, c->args[i]), c->g->nodes[c->args[i]].name, tn_type_text(arg(c, i)).s,
                expected);
}

static bool is(const TnType *t, TnEnc enc, int rank) {
    return t->enc == enc && t->rank == rank;
}
static bool is_matrix(const TnType *t) {
    return t->rank == 2 && !tn_dim_is_sym(t->dim[1]);
}
static bool is_f32_matrix(const TnType *t) {
    return t->enc == TN_ENC_f32 && is_matrix(t);
}
/* Whether operand i is a weight matrix of numbers, as embed and matmul read it. */
static bool is_float_weight(const Infer *c, uint32_t i) {
    const TnType *t = arg(c, i);
    return tn_node_is_source(c->g, c->args[i]) && t->rank == 2 &&
           (tn_enc_is_float(t->enc) || tn_enc_is_blocks(t->enc));
}
static bool is_ternary_weight(const Infer *c, uint32_t i) {
    return tn_node_is_source(c->g, c->args[i]) && tn_enc_is_ternary(arg(c, i)->enc);
}

static const TnAttr *attr(const Infer *c, TnAttrKey key) {
    for (uint32_t i = 0; i < c->n_attrs; i++)
        if (c->attrs[i].key == key) return &c->attrs[i];
    return NULL;
}

static TernStatus done(Infer *c, TnType t) {
    *c->out = t;
    return TERN_OK;
}

/* ---- types by themselves */

/* The number of columns that share a scale in a stored encoding: those of a block, or TN_GROUP_ROW; 0: one scale for all. */
static uint32_t stored_group(TnEnc e) {
    if (e == TN_ENC_iq1bn || e == TN_ENC_iq2bn || e == TN_ENC_iq2bn4) return TN_GROUP_ROW;
    return tn_encs[e].kind == TN_STORED ? tn_encs[e].block_elems : 0;
}

/* Whether it is a ternary encoding that kernels read. */
static bool is_packed(TnEnc e) {
    return tn_encs[e].kind == TN_TERNARY || tn_encs[e].kind == TN_TERNARY_GROUPS;
}

/* Whether the encoding can hold a weight of 2. */
static bool holds_two(TnEnc e) {
    return e == TN_ENC_t8 || (is_packed(e) && e != TN_ENC_b80) || e == TN_ENC_q2g64 || e == TN_ENC_q2g128;
}

/* Checks the scales that are stored with the weights or codes. */
static TernStatus check_group(const TnType *t, TernError *err) {
    const TnEncInfo *e = &tn_encs[t->enc];
    bool ternary = tn_enc_is_ternary(t->enc), groups = tn_type_in_groups(t);
    if (t->two && !holds_two(t->enc))
        return tn_fail(err, TERN_ERR_INPUT, "type %s: got most=2, which it cannot hold", e->name);
    if (!ternary && e->kind != TN_Q8_GROUPS && t->group)
        return tn_fail(err, TERN_ERR_INPUT, "type %s: got scales a row or group, expected none", e->name);
    if (t->group && t->n_scales)
        return tn_fail(err, TERN_ERR_INPUT, "type %s: got scales and where they lie, expected one", e->name);
    bool only = e->kind == TN_Q8_GROUPS || e->kind == TN_TERNARY_GROUPS;
    if (only && !groups)
        return tn_fail(err, TERN_ERR_INPUT, "type %s: got no scale a group, expected scale=group:n", e->name);
    if (groups && t->group != 64 && t->group != 128 && t->group != 256)
        return tn_fail(err, TERN_ERR_INPUT, "type %s: got groups of %u columns, expected 64, 128 or 256",
                       e->name, t->group);
    if (groups && t->dim[1] % t->group)
        return tn_fail(err, TERN_ERR_INPUT,
                       "type %s: got %lld columns, expected a multiple of its group's %u", e->name,
                       (long long)t->dim[1], t->group);
    if (groups && !only && t->enc != TN_ENC_t8 && stored_group(t->enc) != t->group)
        return tn_fail(err, TERN_ERR_INPUT,
                       "type %s: got scales of groups of %u columns, which it cannot hold", e->name,
                       t->group);
    bool in_row = t->enc == TN_ENC_t8 || e->kind == TN_TERNARY || stored_group(t->enc) == TN_GROUP_ROW;
    if (t->group == TN_GROUP_ROW && !in_row)
        return tn_fail(err, TERN_ERR_INPUT, "type %s: got a scale a row, which it cannot hold", e->name);
    return TERN_OK;
}

static TernStatus check_scales(const TnType *t, TernError *err) {
    const char *name = tn_encs[t->enc].name;
    TN_TRY(check_group(t, err));
    if (t->group) return TERN_OK;
    if (!tn_enc_is_ternary(t->enc)) {
        if (t->n_scales)
            return tn_fail(err, TERN_ERR_INPUT, "type %s has a scale, only ternary types have one", name);
        return TERN_OK;
    }
    if (!t->n_scales) return tn_fail(err, TERN_ERR_INPUT, "type %s has no scale, expected scale=..", name);
    if (t->n_scales > TN_SCALES_MAX)
        return tn_fail(err, TERN_ERR_INPUT, "type %s has too many scale ranges", name);
    int64_t rows = 0;
    for (uint32_t i = 0; i < t->n_scales; i++) {
        if (t->scales[i].rows < 1 || t->scales[i].rows > t->dim[0] - rows)
            return tn_fail(err, TERN_ERR_INPUT, "type %s: scale range %u of %lld rows, expected 1 to %lld",
                           name, i + 1, (long long)t->scales[i].rows, (long long)(t->dim[0] - rows));
        if ((tn_f32_bits(t->scales[i].scale) & 0x7f800000u) == 0x7f800000u)
            return tn_fail(err, TERN_ERR_INPUT, "type %s: scale %u is not finite", name, i + 1);
        rows += t->scales[i].rows;
    }
    if (rows != t->dim[0])
        return tn_fail(err, TERN_ERR_INPUT, "type %s: scale ranges cover %lld rows, expected %lld", name,
                       (long long)rows, (long long)t->dim[0]);
    return TERN_OK;
}

static TernStatus check_rank(const TnType *t, int lo, int hi, TernError *err) {
    if (t->rank >= lo && t->rank <= hi) return TERN_OK;
    if (lo == hi)
        return tn_fail(err, TERN_ERR_INPUT, "type %s has %d dims, expected %d", tn_encs[t->enc].name, t->rank,
                       lo);
    return tn_fail(err, TERN_ERR_INPUT, "type %s has %d dims, expected %d or %d", tn_encs[t->enc].name,
                   t->rank, lo, hi);
}

TernStatus tn_type_check(const TnType *t, TernError *err) {
    TN_CHECK((unsigned)t->enc < TN_ENC_COUNT);
    const TnEncInfo *e = &tn_encs[t->enc];
    if (e->kind == TN_CACHE)
        TN_TRY(check_rank(t, 3, 3, err));
    else if (e->kind == TN_Q8 || e->kind == TN_Q8_GROUPS || e->kind == TN_LIMBS || e->kind == TN_SHADOW ||
             e->kind == TN_STORED || tn_enc_is_ternary(t->enc))
        TN_TRY(check_rank(t, 2, 2, err));
    else
        TN_TRY(check_rank(t, 1, 2, err));
    if (e->kind == TN_CACHE && t->dim[0] != tn_sym_dim(TN_N))
        return tn_fail(err, TERN_ERR_INPUT, "type %s: dim 1 is not N, the pages of the session", e->name);
    int64_t product = 1;
    for (int i = 0; i < t->rank; i++) {
        TnDim d = t->dim[i];
        if (tn_dim_is_sym(d)) {
            TN_CHECK(tn_dim_sym(d) < TN_SYM_COUNT);
            if (e->kind == TN_STORED || tn_enc_is_ternary(t->enc))
                return tn_fail(err, TERN_ERR_INPUT, "type %s has a symbol as a dim, weights have constants",
                               e->name);
            /* only the block table has two */
            if (i > 0 && t->enc != TN_ENC_i32)
                return tn_fail(err, TERN_ERR_INPUT, "type %s has a symbol as dim %d, expected a constant",
                               e->name, i + 1);
            if (i > 0 && (t->dim[0] != tn_sym_dim(TN_S) || d != tn_sym_dim(TN_P)))
                return tn_fail(err, TERN_ERR_INPUT,
                               "type %s has a symbol as dim 2, expected a constant, or [S,P]", e->name);
            continue;
        }
        if (d < 1)
            return tn_fail(err, TERN_ERR_INPUT, "type %s: dim %d is 0, expected at least 1", e->name, i + 1);
        if (d > TN_ELEMENTS_MAX / product)
            return tn_fail(err, TERN_ERR_INPUT, "type %s has more than 2^40 elements", e->name);
        product *= d;
    }
    if (e->kind == TN_STORED) {
        const char *needs = tn_stored_needs(t->enc, t->dim[0], t->dim[1]);
        if (needs)
            return tn_fail(err, TERN_ERR_INPUT, "type %s: got %lld rows of %lld columns, expected %s",
                           e->name, (long long)t->dim[0], (long long)t->dim[1], needs);
        if (e->block_elems && t->dim[1] % e->block_elems)
            return tn_fail(err, TERN_ERR_INPUT, "type %s: %lld columns, expected a multiple of %u", e->name,
                           (long long)t->dim[1], e->block_elems);
    }
    if (t->enc == TN_ENC_b80 && t->dim[1] > TN_B80_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "type %s: got %lld columns, expected at most %d", e->name,
                       (long long)t->dim[1], TN_B80_MOST);
    return check_scales(t, err);
}

/* ---- attributes by themselves: the ranges that attrs.def states */

static bool finite_f32(float f) {
    return (tn_f32_bits(f) & 0x7f800000u) != 0x7f800000u;
}

static TernStatus check_int(const Infer *c, const TnAttr *a, int64_t lo, int64_t hi) {
    if (a->i >= lo && a->i <= hi) return TERN_OK;
    return FAIL(c, "%s: %s=%lld, expected %lld to %lld", tn_ops[c->op].name, tn_attrs[a->key].name,
                (long long)a->i, (long long)lo, (long long)hi);
}

static TernStatus check_attr(const Infer *c, const TnAttr *a) {
    const char *op = tn_ops[c->op].name, *key = tn_attrs[a->key].name;
    switch (a->key) {
    case TN_ATTR_name:
        if (!a->s[0]) return FAIL(c, "%s: %s is empty", op, key);
        return TERN_OK;
    case TN_ATTR_mask:
        if (!a->s[0] || a->s[strspn(a->s, "0123456789abcdef")])
            return FAIL(c, "%s: mask is \"%.16s\", expected hex digits", op, a->s);
        return TERN_OK;
    case TN_ATTR_values:
        if (a->n < 1 || a->n > TN_VALUES_MAX)
            return FAIL(c, "%s: %u values, expected 1 to %d", op, a->n, TN_VALUES_MAX);
        return TERN_OK;
    case TN_ATTR_eps:
        if (!finite_f32(a->f) || a->f < 0) return FAIL(c, "%s: eps must be finite and not negative", op);
        return TERN_OK;
    case TN_ATTR_base:
        if (!finite_f32(a->f) || !(a->f > 0)) return FAIL(c, "%s: base must be finite and above 0", op);
        return TERN_OK;
    case TN_ATTR_scale:
        if (!finite_f32(a->f)) return FAIL(c, "%s: scale must be finite", op);
        return TERN_OK;
    case TN_ATTR_mode:
        if (strcmp(a->s, "half") != 0 && strcmp(a->s, "pair") != 0)
            return FAIL(c, "%s: mode=%s, expected half or pair", op, a->s);
        return TERN_OK;
    case TN_ATTR_window:
        return check_int(c, a, 0, WINDOW_MAX);
    case TN_ATTR_lo:
        return check_int(c, a, 0, TN_ELEMENTS_MAX);
    case TN_ATTR_n:
    case TN_ATTR_heads:
        return check_int(c, a, 1, TN_ELEMENTS_MAX);
    case TN_ATTR_k:
        return check_int(c, a, 1, 256);
    case TN_ATTR_off:
        if (a->i % 64) return FAIL(c, "%s: off=%lld, expected a multiple of 64", op, (long long)a->i);
        return check_int(c, a, 0, TN_OFF_MAX);
    default:
        return TERN_OK; /* any value is allowed */
    }
}

static TernStatus check_attrs(const Infer *c) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < c->n_attrs; i++) {
        const TnAttr *a = &c->attrs[i];
        TN_CHECK((unsigned)a->key < TN_ATTR_COUNT);
        if (tn_attr_rule(c->op, a->key) == TN_ATTR_FOREIGN)
            return FAIL(c, "%s has no attribute %s", tn_ops[c->op].name, tn_attrs[a->key].name);
        if (seen >> a->key & 1) return FAIL(c, "attribute %s is given twice", tn_attrs[a->key].name);
        seen |= 1u << a->key;
        TN_TRY(check_attr(c, a));
    }
    for (int k = 0; k < TN_ATTR_COUNT; k++)
        if (!(seen >> k & 1) && tn_attr_rule(c->op, (TnAttrKey)k) == TN_ATTR_REQUIRED)
            return FAIL(c, "%s needs the attribute %s", tn_ops[c->op].name, tn_attrs[k].name);
    return TERN_OK;
}
_Static_assert(TN_ATTR_COUNT <= 32, "check_attrs keeps a bit an attribute");

/* ---- entry */

static TernStatus check_args(const Infer *c) {
    const TnOpInfo *op = &tn_ops[c->op];
    if (c->n_args < op->min_args || c->n_args > op->max_args) {
        if (op->min_args == op->max_args)
            return FAIL(c, "%s has %u operands, expected %d", op->name, c->n_args, op->min_args);
        return FAIL(c, "%s has %u operands, expected %d to %d", op->name, c->n_args, op->min_args,
                    op->max_args);
    }
    for (uint32_t i = 0; i < c->n_args; i++) {
        TN_CHECK(c->args[i] < c->g->n);
        const TnNode *a = &c->g->nodes[c->args[i]];
        if (tn_ops[a->op].class == TN_SINK)
            return FAIL(c, "%s: operand %u (%%%s) is an output, read its operand instead", op->name, i + 1,
                        a->name);
        if (op->class == TN_SOURCE && tn_ops[a->op].class != TN_SOURCE)
            return FAIL(c, "%s: operand %u (%%%s) is not a weight", op->name, i + 1, a->name);
    }
    return TERN_OK;
}

static TernStatus infer_op(Infer *c) {
    switch (c->op) {
#define OP(name, lo, hi, class, stages, attrs, traits, doc)                                                  \
    case TN_OP_##name:                                                                                       \
        return INFER_##class(name)(c);
#include "ir/ops.def"
#undef OP
    case TN_OP_COUNT:
        break;
    }
    TN_BUG("op %d", (int)c->op);
}

TernStatus tn_infer(const TnGraph *g, TnOp op, const TnType *given, const TnRef *args, uint32_t n_args,
                    const TnAttr *attrs, uint32_t n_attrs, TnArena *arena, TnType *out, TernError *err) {
    TN_CHECK((unsigned)op < TN_OP_COUNT);
    Infer c = {g, op, given, args, n_args, attrs, n_attrs, arena, out, err};
    TN_TRY(check_args(&c));
    TN_TRY(check_attrs(&c));
    if (given) TN_TRY(tn_type_check(given, err));
    TN_TRY(infer_op(&c));
    TN_TRY(tn_type_check(out, err));
    if (given && !tn_type_equal(given, out))
        return FAIL(&c, "%s gives %s, but the type says %s", tn_ops[op].name, tn_type_text(out).s,
                    tn_type_text(given).s);
    return TERN_OK;
}

/* ---- sources: their type is given */

static TernStatus given_type(Infer *c) {
    if (!c->given) return FAIL(c, "%s needs a type", tn_ops[c->op].name);
    return done(c, *c->given);
}

static TernStatus weight_dims(Infer *c, bool encoding_ok, const char *expected) {
    const TnType *t = c->out;
    if (!encoding_ok)
        return FAIL(c, "%s: type is %s, expected %s", tn_ops[c->op].name, tn_encs[t->enc].name, expected);
    for (int i = 0; i < t->rank; i++)
        if (tn_dim_is_sym(t->dim[i]))
            return FAIL(c, "%s: type has the symbol %s as a dim, weights have constants", tn_ops[c->op].name,
                        tn_sym_names[tn_dim_sym(t->dim[i])]);
    return TERN_OK;
}

static TernStatus infer_gguf(Infer *c) {
    TN_TRY(given_type(c));
    TnEnc e = c->out->enc;
    return weight_dims(
        c, !is_packed(e) && (tn_enc_is_float(e) || tn_enc_is_ternary(e) || tn_encs[e].kind == TN_STORED),
        "an encoding that files store, or t8");
}

/* Checks the types that the generator and the list of values can make. */
static TernStatus made_here(Infer *c) {
    TN_TRY(given_type(c));
    TnEnc e = c->out->enc;
    return weight_dims(c, tn_enc_is_float(e) || e == TN_ENC_t8 || is_packed(e),
                       "f32, f16, bf16, t8, p64, b64, b80 or r64");
}

static TernStatus infer_random(Infer *c) {
    TN_TRY(made_here(c));
    size_t bytes = tn_type_bytes(c->out, NULL);
    if (bytes > RANDOM_MAX)
        return FAIL(c, "random: %s takes %zu bytes, expected at most 2^34", tn_type_text(c->out).s, bytes);
    return TERN_OK;
}

static TernStatus infer_const(Infer *c) {
    TN_TRY(made_here(c));
    const TnAttr *v = attr(c, TN_ATTR_values);
    int64_t n = c->out->dim[0] * (c->out->rank == 2 ? c->out->dim[1] : 1);
    if (c->out->group) return FAIL(c, "const: got a type with a scale a row or group, expected scales");
    if (n != v->n) return FAIL(c, "const: %u values for %lld elements", v->n, (long long)n);
    if (tn_enc_is_ternary(c->out->enc))
        for (uint32_t i = 0; i < v->n; i++)
            if (v->fs[i] != 0 && v->fs[i] != 1 && v->fs[i] != -1 && !(c->out->two && v->fs[i] == 2))
                return FAIL(c, "const: value %u of a ternary matrix is %g, expected -1, 0 or 1", i + 1,
                            (double)v->fs[i]);
    return TERN_OK;
}

static TernStatus infer_input(Infer *c) {
    TN_TRY(given_type(c));
    TnEnc e = c->out->enc;
    if (e != TN_ENC_f32 && e != TN_ENC_i32 && tn_encs[e].kind != TN_CACHE)
        return FAIL(c, "input: type is %s, expected f32, i32 or a cache", tn_encs[e].name);
    return TERN_OK;
}

static TernStatus infer_concat(Infer *c) {
    const TnType *first = arg(c, 0);
    bool ternary = tn_enc_is_ternary(first->enc);
    TnType t = tn_type(ternary ? TN_ENC_t8 : first->enc, 2, (TnDim)0, first->dim[1]);
    t.group = first->group;
    for (uint32_t i = 0; i < c->n_args; i++) {
        const TnType *a = arg(c, i);
        if (a->rank != 2 || (!tn_enc_is_ternary(a->enc) && !tn_enc_is_float(a->enc)))
            return wrong(c, i, "a matrix of f32, f16, bf16 or a ternary encoding");
        if (tn_enc_is_ternary(a->enc) != ternary || (!ternary && a->enc != first->enc))
            return wrong(c, i, ternary ? "ternary, as the first" : "the encoding of the first");
        if (a->dim[1] != first->dim[1]) return wrong(c, i, "as many columns as the first");
        if (a->group != first->group) return wrong(c, i, "scales that lie as those of the first");
        t.dim[0] += a->dim[0];
        t.two |= a->two;
        if (a->n_scales > TN_SCALES_MAX - t.n_scales) return FAIL(c, "concat: too many scale ranges");
        t.n_scales += a->n_scales;
    }
    /* A chain of these doubles its ranges, so never allocate more ranges than the text spells out. */
    if (c->given && c->given->n_scales != t.n_scales)
        return FAIL(c, "concat gives %u scale ranges, but the type says %u", t.n_scales, c->given->n_scales);
    if (t.n_scales) {
        TnScale *s = tn_alloc_array(c->arena, t.n_scales, sizeof *s);
        t.scales = s;
        for (uint32_t i = 0; i < c->n_args; s += arg(c, i++)->n_scales)
            memcpy(s, arg(c, i)->scales, arg(c, i)->n_scales * sizeof *s);
    }
    return done(c, t);
}

static TernStatus infer_pack(Infer *c) {
    TN_TRY(given_type(c));
    const TnType *a = arg(c, 0), *t = c->out;
    if (tn_enc_is_ternary(a->enc)) {
        if (t->enc != TN_ENC_t8 && !is_packed(t->enc))
            return wrong(c, 0, "a float matrix, or t8, p64, b64, b80 or r64 as the type");
    } else if (tn_enc_is_float(a->enc) || tn_enc_is_blocks(a->enc)) {
        if (t->enc == TN_ENC_t8 && tn_enc_is_float(a->enc)) { /* takes the signs; the type gives the scale */
            TnType bare = *t;
            bare.enc = a->enc;
            bare.n_scales = 0;
            bare.scales = NULL;
            if (t->group || t->two)
                return FAIL(
                    c, "pack of floats gives scales in the type and weights up to 1, but the type says %s",
                    tn_type_text(t).s);
            if (!tn_type_equal(&bare, a))
                return FAIL(c, "pack of %s, but the type says %s", tn_type_text(a).s, tn_type_text(t).s);
            return TERN_OK;
        }
        bool shadow = tn_encs[t->enc].kind == TN_SHADOW && a->rank == 2;
        if (!tn_enc_is_float(t->enc) && !shadow)
            return wrong(c, 0, "a ternary matrix, or f32, f16, bf16, s8 or s6 as the type");
    } else {
        return wrong(c, 0, "a ternary or float matrix");
    }
    TnType as_packed = *a;
    as_packed.enc = t->enc;
    if (!tn_type_equal(&as_packed, t))
        return FAIL(c, "pack gives %s, but the type says %s", tn_type_text(&as_packed).s, tn_type_text(t).s);
    return TERN_OK;
}

static TernStatus infer_places(Infer *c) {
    int64_t digits = (int64_t)strlen(attr(c, TN_ATTR_mask)->s);
    return done(c, tn_type(TN_ENC_i32, 2, (TnDim)((digits + 15) / 16), (TnDim)TN_PLACES));
}

/* Checks operand 2 of keep_rows and keep_cols against the `have` rows or columns of operand 1 and the n of the result. */
static TernStatus check_kept(Infer *c, int64_t have, int64_t *out_n) {
    const TnNode *p = &c->g->nodes[c->args[1]];
    if (p->op != TN_OP_places) return wrong(c, 1, "a places");
    const char *mask = tn_attr_str(p, TN_ATTR_mask);
    int64_t kept = tn_mask_count(mask), end = tn_mask_end(mask);
    *out_n = attr(c, TN_ATTR_n)->i;
    if (end > have)
        return FAIL(c, "%s: $%s keeps number %lld of %lld", tn_ops[c->op].name, p->name, (long long)end,
                    (long long)have);
    if (*out_n < kept)
        return FAIL(c, "%s: n=%lld, expected at least the %lld that $%s keeps", tn_ops[c->op].name,
                    (long long)*out_n, (long long)kept, p->name);
    return TERN_OK;
}

static TernStatus infer_keep_rows(Infer *c) {
    const TnType *a = arg(c, 0);
    int64_t n;
    if (!is_ternary_weight(c, 0)) return wrong(c, 0, "a ternary matrix");
    TN_TRY(check_kept(c, a->dim[0], &n));
    TnType t = tn_type(TN_ENC_t8, 2, (TnDim)n, a->dim[1]);
    t.group = a->group;
    t.two = a->two;
    if (t.group) return done(c, t); /* the rows bring their scales; of those of zeros they are 0 */
    const char *mask = tn_attr_str(&c->g->nodes[c->args[1]], TN_ATTR_mask);
    int64_t kept = tn_mask_count(mask), start = 0, at = 0;
    int32_t *list = tn_mask_list(mask);
    TnScale *s = tn_alloc_array(c->arena, a->n_scales, sizeof *s);
    for (uint32_t i = 0; i < a->n_scales; i++) { /* ranges that keep a row; the last also gets the zeros */
        TnScale one = {.scale = a->scales[i].scale};
        start += a->scales[i].rows;
        for (; at < kept && list[at] < start; at++) one.rows++;
        if (one.rows || (!t.n_scales && i + 1 == a->n_scales)) s[t.n_scales++] = one;
    }
    free(list);
    s[t.n_scales - 1].rows += n - kept;
    t.scales = s;
    return done(c, t);
}

static TernStatus infer_keep_cols(Infer *c) {
    TnType t = *arg(c, 0);
    bool ternary = is_ternary_weight(c, 0), vector = t.rank == 1 && tn_enc_is_float(t.enc);
    if (!ternary && !vector) return wrong(c, 0, "a ternary matrix, or a vector of f32, f16 or bf16");
    if (ternary && tn_type_in_groups(&t)) return wrong(c, 0, "a matrix without groups of columns");
    if (ternary) t.enc = TN_ENC_t8;
    TN_TRY(check_kept(c, t.dim[t.rank - 1], &t.dim[t.rank - 1]));
    return done(c, t);
}

static TernStatus infer_colmajor(Infer *c) {
    if (!is_ternary_weight(c, 0)) return wrong(c, 0, "a ternary matrix");
    const TnType *a = arg(c, 0);
    if (a->dim[1] > TN_COLUMNS_MOST)
        return FAIL(c, "columns: %s has %lld columns, expected at most %d", tn_type_text(a).s,
                    (long long)a->dim[1], TN_COLUMNS_MOST);
    int64_t blocks = (a->dim[0] + TN_COLMAJOR_ROWS - 1) / TN_COLMAJOR_ROWS;
    if (blocks > TN_ELEMENTS_MAX / TN_COLMAJOR_ROWS / a->dim[1])
        return FAIL(c, "colmajor of %s: more than 2^40 elements", tn_type_text(a).s);
    TnType t = tn_type(TN_ENC_t8, 2, (TnDim)(blocks * a->dim[1]), (TnDim)TN_COLMAJOR_ROWS);
    t.two = a->two;
    TnScale *s = tn_alloc_array(c->arena, 1, sizeof *s);
    *s = (TnScale){.rows = t.dim[0], .scale = 1.0f};
    t.n_scales = 1;
    t.scales = s;
    return done(c, t);
}

static TernStatus infer_rope_freq(Infer *c) {
    TN_TRY(given_type(c));
    const TnType *t = c->out;
    if (!is_f32_matrix(t) || t->dim[0] != 2)
        return FAIL(c, "rope_freq: type is %s, expected f32[2,n]", tn_type_text(t).s);
    if (c->n_args && (!is(arg(c, 0), TN_ENC_f32, 1) || arg(c, 0)->dim[0] != t->dim[1]))
        return wrong(c, 0, "f32[n], a factor a frequency");
    return TERN_OK;
}

/* ---- rows of tokens */

static TernStatus infer_embed(Infer *c) {
    if (!is(arg(c, 0), TN_ENC_i32, 1)) return wrong(c, 0, "i32[T]");
    if (!is_float_weight(c, 1) && !is_ternary_weight(c, 1))
        return wrong(c, 1, "a weight matrix of floats, or of a ternary encoding");
    return done(c, tn_type(TN_ENC_f32, 2, arg(c, 0)->dim[0], arg(c, 1)->dim[1]));
}

static TernStatus infer_gather(Infer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[T,D]");
    if (!is(arg(c, 1), TN_ENC_i32, 1)) return wrong(c, 1, "i32[R]");
    return done(c, tn_type(TN_ENC_f32, 2, arg(c, 1)->dim[0], arg(c, 0)->dim[1]));
}

/* A vector of weights, as rmsnorm and bias read it. */
static bool is_vector(const Infer *c, uint32_t i) {
    const TnType *w = arg(c, i);
    return tn_node_is_source(c->g, c->args[i]) && tn_enc_is_float(w->enc) && w->rank == 1;
}

/* Operands x, w: a weight a column. */
static TernStatus check_by_column(const Infer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[T,D]");
    if (!is_vector(c, 1) || arg(c, 1)->dim[0] != arg(c, 0)->dim[1])
        return wrong(c, 1, "a weight of f32, f16 or bf16, one a column");
    return TERN_OK;
}

static TernStatus infer_rmsnorm(Infer *c) {
    const TnType *x = arg(c, 0);
    TN_TRY(check_by_column(c));
    if (c->n_args < 3) return done(c, *x);
    const TnNode *places = &c->g->nodes[c->args[2]];
    if (places->op != TN_OP_places) return wrong(c, 2, "a places");
    int64_t kept = tn_mask_count(tn_attr_str(places, TN_ATTR_mask));
    if (kept >= x->dim[1])
        return FAIL(c, "rmsnorm: $%s keeps %lld columns, expected fewer than the %lld of operand 1",
                    places->name, (long long)kept, (long long)x->dim[1]);
    return done(c, *x);
}

static TernStatus infer_quant(Infer *c) {
    const TnType *x = arg(c, 0);
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,K]");
    if (x->dim[1] > tn_range_sum_most_k()) { /* of these codes alone, and of products with ternary weights */
        char expected[96];
        snprintf(expected, sizeof expected, "at most %lld columns, so that |sum| <= %d*K fits i32",
                 (long long)tn_range_sum_most_k(), TN_RANGE_CODE);
        return wrong(c, 0, expected);
    }
    return done(c, tn_type(TN_ENC_q8, 2, x->dim[0], x->dim[1]));
}

static TernStatus infer_quant_groups(Infer *c) {
    const TnType *x = arg(c, 0);
    int64_t n = attr(c, TN_ATTR_n)->i;
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,K]");
    if (n != 64 && n != 128 && n != 256)
        return FAIL(c, "quant_groups: n=%lld, expected 64, 128 or 256", (long long)n);
    TnType t = tn_type(TN_ENC_q8g, 2, x->dim[0], x->dim[1]);
    t.group = (uint32_t)n;
    return done(c, t);
}

/* The ternary matrix that r packs, or r itself. The walk is bounded, since a hostile text may have a long chain of packs and
 * ask for it on every line. */
static TnRef unpacked(const TnGraph *g, TnRef r) {
    for (int i = 0; i < 64; i++) {
        if (g->nodes[r].op != TN_OP_pack || !tn_enc_is_ternary(g->nodes[g->nodes[r].args[0]].type.enc)) break;
        r = g->nodes[r].args[0];
    }
    return r;
}

static TernStatus infer_tmatmul(Infer *c) {
    const TnType *q = arg(c, 0), *w = arg(c, 1);
    if (!is(q, TN_ENC_q8, 2)) return wrong(c, 0, "q8[T,K]");
    if (!is_ternary_weight(c, 1)) return wrong(c, 1, "a ternary weight matrix");
    if (tn_type_in_groups(w)) return wrong(c, 1, "no groups of columns (tmatmul_groups takes them)");
    if (w->dim[1] != q->dim[1]) return wrong(c, 1, "as many columns as operand 1");
    if (w->two && q->dim[1] > tn_range_sum_most_k() / 2)
        return wrong(c, 1, "a weight matrix with fewer columns, so that |sum| <= 127*2*K fits i32");
    if (c->n_args > 2) { /* code may read either, so both must be the same matrix */
        const TnNode *by = &c->g->nodes[unpacked(c->g, c->args[2])];
        if (by->op != TN_OP_colmajor || unpacked(c->g, by->args[0]) != unpacked(c->g, c->args[1]))
            return wrong(c, 2, "colmajor of what operand 2 is, or a pack of that");
    }
    return done(c, tn_type(TN_ENC_i32, 2, q->dim[0], w->dim[0]));
}

static TernStatus infer_tmatmul_groups(Infer *c) {
    const TnType *q = arg(c, 0), *w = arg(c, 1);
    if (q->enc != TN_ENC_q8g) return wrong(c, 0, "q8g[T,K]");
    if (!is_ternary_weight(c, 1) || w->group != q->group)
        return wrong(c, 1, "a ternary weight matrix with the groups of operand 1");
    if (w->dim[1] != q->dim[1]) return wrong(c, 1, "as many columns as operand 1");
    return done(c, tn_type(TN_ENC_f32, 2, q->dim[0], w->dim[0]));
}

static TernStatus infer_dequant(Infer *c) {
    const TnType *acc = arg(c, 0), *q = arg(c, 1), *w = arg(c, 2);
    if (acc->enc != TN_ENC_i32 || !is_matrix(acc)) return wrong(c, 0, "i32[T,M]");
    if (!is(q, TN_ENC_q8, 2) || q->dim[0] != acc->dim[0]) return wrong(c, 1, "q8 with the rows of operand 1");
    if (!is_ternary_weight(c, 2) || w->dim[0] != acc->dim[1] || w->dim[1] != q->dim[1])
        return wrong(c, 2, "a ternary weight matrix [columns of operand 1, columns of operand 2]");
    if (tn_type_in_groups(w)) return wrong(c, 2, "no groups of columns (tmatmul_groups takes them)");
    return done(c, tn_type(TN_ENC_f32, 2, acc->dim[0], acc->dim[1]));
}

static TernStatus infer_matmul(Infer *c) {
    const TnType *x = arg(c, 0), *w = arg(c, 1);
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,K]");
    if (!is_float_weight(c, 1)) return wrong(c, 1, "a weight matrix of floats");
    if (w->dim[1] != x->dim[1]) return wrong(c, 1, "as many columns as operand 1");
    return done(c, tn_type(TN_ENC_f32, 2, x->dim[0], w->dim[0]));
}

/* ---- shortlisting */

static TernStatus infer_limbs(Infer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[R,K]");
    return done(c, tn_type(TN_ENC_q14, 2, arg(c, 0)->dim[0], arg(c, 0)->dim[1]));
}

/* Checks operand i: a shadow table of K columns. */
static TernStatus check_shadow(const Infer *c, uint32_t i, int64_t k) {
    const TnType *s = arg(c, i);
    if (!tn_node_is_source(c->g, c->args[i]) || tn_encs[s->enc].kind != TN_SHADOW)
        return wrong(c, i, "a shadow table, s8 or s6");
    if (s->dim[1] != k) return wrong(c, i, "as many columns as the rows of q14");
    if (k > SHADOW_MAX) return wrong(c, i, "at most 131072 columns, so that 255*64*K fits i32");
    return TERN_OK;
}

static TernStatus infer_estimate(Infer *c) {
    const TnType *q = arg(c, 0);
    if (q->enc != TN_ENC_q14) return wrong(c, 0, "q14[R,K]");
    TN_TRY(check_shadow(c, 1, q->dim[1]));
    return done(c, tn_type(TN_ENC_f32, 2, q->dim[0], arg(c, 1)->dim[0]));
}

/* Checks the operands y, q, s, x, w: one head, approximate and exact. */
static TernStatus check_head(const Infer *c) {
    const TnType *y = arg(c, 0), *q = arg(c, 1), *s = arg(c, 2), *x = arg(c, 3), *w = arg(c, 4);
    if (!is_f32_matrix(y)) return wrong(c, 0, "f32[R,V]");
    if (q->enc != TN_ENC_q14 || q->dim[0] != y->dim[0]) return wrong(c, 1, "q14[R,K]");
    TN_TRY(check_shadow(c, 2, q->dim[1]));
    if (s->dim[0] != y->dim[1]) return wrong(c, 2, "as many rows as operand 1 has columns");
    if (!is_f32_matrix(x) || x->dim[0] != y->dim[0] || x->dim[1] != q->dim[1])
        return wrong(c, 3, "f32[R,K], what operand 2 was made from");
    if (!is_float_weight(c, 4)) return wrong(c, 4, "a weight matrix of floats");
    if (w->dim[0] != s->dim[0] || w->dim[1] != s->dim[1])
        return wrong(c, 4, "the dims of operand 3, which was packed from it");
    return TERN_OK;
}

/* ---- positions and attention */

static TernStatus infer_rope_angle(Infer *c) {
    const TnType *pos = arg(c, 0), *f = arg(c, 1);
    if (!is(pos, TN_ENC_i32, 1)) return wrong(c, 0, "i32[T]");
    if (!tn_node_is_source(c->g, c->args[1]) || !is_f32_matrix(f) || f->dim[0] != 2)
        return wrong(c, 1, "a weight f32[2,n]");
    return done(c, tn_type(TN_ENC_f32, 2, pos->dim[0], 2 * f->dim[1]));
}

static TernStatus infer_rope(Infer *c) {
    const TnType *x = arg(c, 0), *a = arg(c, 1);
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,M]");
    if (!is_f32_matrix(a) || a->dim[0] != x->dim[0] || a->dim[1] % 2) return wrong(c, 1, "f32[T,2n]");
    if (x->dim[1] % a->dim[1]) return wrong(c, 0, "a multiple of operand 2's columns");
    return done(c, *x);
}

/* Checks pos, slot and table, from operand i on; they have the rows of operand `like`. */
static TernStatus check_places(const Infer *c, uint32_t i, uint32_t like) {
    for (uint32_t j = i; j < i + 2; j++)
        if (!is(arg(c, j), TN_ENC_i32, 1) || arg(c, j)->dim[0] != arg(c, like)->dim[0])
            return wrong(c, j, j == i ? "i32[T], a position a row" : "i32[T], a slot a row");
    if (!is(arg(c, i + 2), TN_ENC_i32, 2) || is_matrix(arg(c, i + 2)))
        return wrong(c, i + 2, "a page table i32[S,P]");
    return TERN_OK;
}

static TernStatus infer_kv_put(Infer *c) {
    const TnType *cache = arg(c, 0), *x = arg(c, 1);
    if (tn_encs[cache->enc].kind != TN_CACHE) return wrong(c, 0, "a cache");
    if (!is_f32_matrix(x) || x->dim[1] % cache->dim[1] || x->dim[1] / cache->dim[1] != cache->dim[2])
        return wrong(c, 1, "f32[T, heads * head]");
    TN_TRY(check_places(c, 2, 1));
    return done(c, *cache);
}

static TernStatus infer_attend(Infer *c) {
    const TnType *q = arg(c, 0), *k = arg(c, 1), *v = arg(c, 2);
    if (!is_f32_matrix(q)) return wrong(c, 0, "f32[T, heads * head]");
    if (!tn_enc_is_kcache(k->enc)) return wrong(c, 1, "a key cache");
    if (!tn_enc_is_vcache(v->enc)) return wrong(c, 2, "a value cache");
    if (v->enc - TN_ENC_vc != k->enc - TN_ENC_kc || memcmp(k->dim, v->dim, sizeof k->dim) != 0)
        return wrong(c, 2, "the dims and the elements of the key cache");
    if (q->dim[1] % k->dim[2] || q->dim[1] / k->dim[2] % k->dim[1])
        return wrong(c, 0, "a multiple of the cache's heads * head columns");
    TN_TRY(check_places(c, 3, 0));
    return done(c, *q);
}

/* The operands are those of attend; the result has room for n rows. */
static TernStatus infer_attend_blocks(Infer *c) {
    TN_TRY(infer_attend(c));
    const TnType *q = arg(c, 0);
    int64_t head = arg(c, 1)->dim[2], n = attr(c, TN_ATTR_n)->i, columns = q->dim[1] / head * (head + 2);
    if (!tn_dim_is_sym(q->dim[0]) && q->dim[0] > n) return wrong(c, 0, "at most n rows");
    if (n > TN_ELEMENTS_MAX / columns)
        return FAIL(c, "attend_blocks: n is %lld, which is too large", (long long)n);
    return done(c, tn_type(TN_ENC_f32, 2, tn_sym_dim(TN_P), n * columns));
}

/* Operand 1 must be an attend_blocks with the same heads, window and positions. */
static TernStatus infer_attend_join(Infer *c) {
    const TnNode *b = &c->g->nodes[c->args[0]];
    if (b->op != TN_OP_attend_blocks) return wrong(c, 0, "the result of attend_blocks");
    const TnType *q = &c->g->nodes[b->args[0]].type, *k = &c->g->nodes[b->args[1]].type;
    if (tn_attr_int(b, TN_ATTR_window) != attr(c, TN_ATTR_window)->i ||
        tn_attr_int(b, TN_ATTR_n) != attr(c, TN_ATTR_n)->i ||
        q->dim[1] / k->dim[2] != attr(c, TN_ATTR_heads)->i)
        return wrong(c, 0, "the result of attend_blocks with this window, n and heads");
    if (c->args[1] != b->args[3]) return wrong(c, 1, "the positions of that attend_blocks");
    return done(c, *q);
}
_Static_assert(TN_ENC_kc_f32 - TN_ENC_kc == TN_ENC_vc_f32 - TN_ENC_vc &&
                   TN_ENC_kc_f16 - TN_ENC_kc == TN_ENC_vc_f16 - TN_ENC_vc &&
                   TN_ENC_kc_i8 - TN_ENC_kc == TN_ENC_vc_i8 - TN_ENC_vc,
               "key and value caches stand in the same order");

/* ---- elementwise */

static TernStatus infer_headnorm(Infer *c) {
    const TnType *x = arg(c, 0);
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,M]");
    if (!is_vector(c, 1)) return wrong(c, 1, "a weight of f32, f16 or bf16, one a column of a head");
    if (x->dim[1] % arg(c, 1)->dim[0]) return wrong(c, 0, "a multiple of operand 2's columns");
    return done(c, *x);
}

static TernStatus infer_bias(Infer *c) {
    TN_TRY(check_by_column(c));
    return done(c, *arg(c, 0));
}

static TernStatus infer_times(Infer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[T,M]");
    return done(c, *arg(c, 0));
}

static TernStatus infer_slice(Infer *c) {
    const TnType *x = arg(c, 0);
    int64_t lo = attr(c, TN_ATTR_lo)->i, n = attr(c, TN_ATTR_n)->i;
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,M]");
    if (lo > x->dim[1] || n > x->dim[1] - lo)
        return FAIL(c, "slice: columns %lld to %lld, but operand 1 (%c%s) has %lld", (long long)lo,
                    (long long)(lo + n - 1), tn_sigil(c->g, c->args[0]), c->g->nodes[c->args[0]].name,
                    (long long)x->dim[1]);
    return done(c, tn_type(TN_ENC_f32, 2, x->dim[0], n));
}

static TernStatus infer_map(Infer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[T,D]");
    for (uint32_t i = 1; i < c->n_args; i++)
        if (!tn_type_equal(arg(c, 0), arg(c, i))) return wrong(c, i, "the type of operand 1");
    return done(c, *arg(c, 0));
}

/* ---- results */

static TernStatus infer_argmax(Infer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[R,V]");
    return done(c, tn_type(TN_ENC_i32, 1, arg(c, 0)->dim[0]));
}

/* Maps the rows of an operand to those of which top-k is taken: R to K, its first rows; a constant number stays. */
static bool first_rows(TnDim of, TnDim *out) {
    *out = of == tn_sym_dim(TN_R) ? tn_sym_dim(TN_K) : of;
    return !tn_dim_is_sym(of) || of == tn_sym_dim(TN_R);
}

static TernStatus infer_topk(Infer *c) {
    TnDim rows;
    if (!is_f32_matrix(arg(c, 0)) || !first_rows(arg(c, 0)->dim[0], &rows)) return wrong(c, 0, "f32[R,V]");
    return done(c, tn_type(TN_ENC_i32, 2, rows, attr(c, TN_ATTR_k)->i));
}

static TernStatus infer_take(Infer *c) {
    const TnType *x = arg(c, 0), *ids = arg(c, 1);
    TnDim rows;
    if (!is_f32_matrix(x) || !first_rows(x->dim[0], &rows)) return wrong(c, 0, "f32[R,V]");
    if (ids->enc != TN_ENC_i32 || !is_matrix(ids) || ids->dim[0] != rows) return wrong(c, 1, "i32[K,k]");
    return done(c, tn_type(TN_ENC_f32, 2, ids->dim[0], ids->dim[1]));
}

static TernStatus infer_rerank(Infer *c) {
    TN_TRY(check_head(c));
    return done(c, tn_type(TN_ENC_i32, 1, arg(c, 0)->dim[0]));
}

static TernStatus infer_rerank_top(Infer *c) {
    TnDim rows;
    TN_TRY(check_head(c));
    if (!first_rows(arg(c, 0)->dim[0], &rows)) return wrong(c, 0, "f32[R,V]");
    return done(c, tn_type(TN_ENC_i32, 2, rows, attr(c, TN_ATTR_k)->i));
}

static TernStatus infer_pick(Infer *c) {
    const TnType *x = arg(c, 0), *ids = arg(c, 1);
    TnDim rows;
    if (!is_f32_matrix(x) || !first_rows(x->dim[0], &rows)) return wrong(c, 0, "f32[R,K]");
    if (ids->enc != TN_ENC_i32 || !is_matrix(ids) || ids->dim[0] != rows) return wrong(c, 1, "i32[K,k]");
    if (!is_float_weight(c, 2)) return wrong(c, 2, "a weight matrix of floats");
    if (arg(c, 2)->dim[1] != x->dim[1]) return wrong(c, 2, "as many columns as operand 1");
    return done(c, tn_type(TN_ENC_f32, 2, ids->dim[0], ids->dim[1]));
}

static TernStatus infer_output(Infer *c) {
    const TnType *x = arg(c, 0);
    if (tn_node_is_source(c->g, c->args[0]) || (x->enc != TN_ENC_f32 && x->enc != TN_ENC_i32))
        return wrong(c, 0, "a computed f32 or i32");
    return done(c, *x);
}
