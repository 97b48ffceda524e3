/* Type inference: one function for each row of ops.def except those of class MAP. If one is missing, nothing links. Those of
 * sources and inputs are in infer_sources.c.
 *
 * Operand types are checked here and nowhere else. The builder, the parser and the verifier all call
 * tn_infer, so every graph is well typed. Messages give the number and the name of the operand.
 */
#include "ir/infer_ops.h"
#include "ir/type_layout.h"
#include "ir/places.h"
#include "ir/range.h"
#include <stdio.h>
#include <string.h>
#include "runtime/base/half.h"

#define WINDOW_MAX INT32_MAX
#define SHADOW_MAX ((int64_t)1 << 17) /* 255 * 64 * 2^17 fits in i32 */

/* ---- attributes by themselves: the ranges that attrs.def states */

static bool finite_f32(float f) {
    return (tn_f32_bits(f) & 0x7f800000u) != 0x7f800000u;
}

static TernStatus check_int(const TnInfer *c, const TnAttr *a, int64_t lo, int64_t hi) {
    if (a->i >= lo && a->i <= hi) return TERN_OK;
    return FAIL(c, "%s: %s=%lld, expected %lld to %lld", tn_ops[c->op].name, tn_attrs[a->key].name,
                (long long)a->i, (long long)lo, (long long)hi);
}

static TernStatus check_attr(const TnInfer *c, const TnAttr *a) {
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

static TernStatus check_attrs(const TnInfer *c) {
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

static TernStatus check_args(const TnInfer *c) {
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

static TernStatus infer_op(TnInfer *c) {
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
    TnInfer c = {g, op, given, args, n_args, attrs, n_attrs, arena, out, err};
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

/* ---- rows of tokens */

TernStatus tn_infer_embed(TnInfer *c) {
    if (!is(arg(c, 0), TN_ENC_i32, 1)) return wrong(c, 0, "i32[T]");
    if (!is_float_weight(c, 1) && !is_ternary_weight(c, 1))
        return wrong(c, 1, "a weight matrix of floats, or of a ternary encoding");
    return done(c, tn_type(TN_ENC_f32, 2, arg(c, 0)->dim[0], arg(c, 1)->dim[1]));
}

TernStatus tn_infer_gather(TnInfer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[T,D]");
    if (!is(arg(c, 1), TN_ENC_i32, 1)) return wrong(c, 1, "i32[R]");
    return done(c, tn_type(TN_ENC_f32, 2, arg(c, 1)->dim[0], arg(c, 0)->dim[1]));
}

/* A vector of weights, as rmsnorm and bias read it. */
static bool is_vector(const TnInfer *c, uint32_t i) {
    const TnType *w = arg(c, i);
    return tn_node_is_source(c->g, c->args[i]) && tn_enc_is_float(w->enc) && w->rank == 1;
}

/* Operands x, w: a weight a column. */
static TernStatus check_by_column(const TnInfer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[T,D]");
    if (!is_vector(c, 1) || arg(c, 1)->dim[0] != arg(c, 0)->dim[1])
        return wrong(c, 1, "a weight of f32, f16 or bf16, one a column");
    return TERN_OK;
}

TernStatus tn_infer_rmsnorm(TnInfer *c) {
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

TernStatus tn_infer_quant(TnInfer *c) {
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

TernStatus tn_infer_quant_groups(TnInfer *c) {
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

TernStatus tn_infer_tmatmul(TnInfer *c) {
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

TernStatus tn_infer_tmatmul_groups(TnInfer *c) {
    const TnType *q = arg(c, 0), *w = arg(c, 1);
    if (q->enc != TN_ENC_q8g) return wrong(c, 0, "q8g[T,K]");
    if (!is_ternary_weight(c, 1) || w->group != q->group)
        return wrong(c, 1, "a ternary weight matrix with the groups of operand 1");
    if (w->dim[1] != q->dim[1]) return wrong(c, 1, "as many columns as operand 1");
    return done(c, tn_type(TN_ENC_f32, 2, q->dim[0], w->dim[0]));
}

TernStatus tn_infer_dequant(TnInfer *c) {
    const TnType *acc = arg(c, 0), *q = arg(c, 1), *w = arg(c, 2);
    if (acc->enc != TN_ENC_i32 || !is_matrix(acc)) return wrong(c, 0, "i32[T,M]");
    if (!is(q, TN_ENC_q8, 2) || q->dim[0] != acc->dim[0]) return wrong(c, 1, "q8 with the rows of operand 1");
    if (!is_ternary_weight(c, 2) || w->dim[0] != acc->dim[1] || w->dim[1] != q->dim[1])
        return wrong(c, 2, "a ternary weight matrix [columns of operand 1, columns of operand 2]");
    if (tn_type_in_groups(w)) return wrong(c, 2, "no groups of columns (tmatmul_groups takes them)");
    return done(c, tn_type(TN_ENC_f32, 2, acc->dim[0], acc->dim[1]));
}

TernStatus tn_infer_matmul(TnInfer *c) {
    const TnType *x = arg(c, 0), *w = arg(c, 1);
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,K]");
    if (!is_float_weight(c, 1)) return wrong(c, 1, "a weight matrix of floats");
    if (w->dim[1] != x->dim[1]) return wrong(c, 1, "as many columns as operand 1");
    return done(c, tn_type(TN_ENC_f32, 2, x->dim[0], w->dim[0]));
}

/* ---- shortlisting */

TernStatus tn_infer_limbs(TnInfer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[R,K]");
    return done(c, tn_type(TN_ENC_q14, 2, arg(c, 0)->dim[0], arg(c, 0)->dim[1]));
}

/* Checks operand i: a shadow table of K columns. */
static TernStatus check_shadow(const TnInfer *c, uint32_t i, int64_t k) {
    const TnType *s = arg(c, i);
    if (!tn_node_is_source(c->g, c->args[i]) || tn_encs[s->enc].kind != TN_SHADOW)
        return wrong(c, i, "a shadow table, s8, s6 or s5");
    if (s->dim[1] != k) return wrong(c, i, "as many columns as the rows of q14");
    if (k > SHADOW_MAX) return wrong(c, i, "at most 131072 columns, so that 255*64*K fits i32");
    return TERN_OK;
}

TernStatus tn_infer_estimate(TnInfer *c) {
    const TnType *q = arg(c, 0);
    if (q->enc != TN_ENC_q14) return wrong(c, 0, "q14[R,K]");
    TN_TRY(check_shadow(c, 1, q->dim[1]));
    return done(c, tn_type(TN_ENC_f32, 2, q->dim[0], arg(c, 1)->dim[0]));
}

/* Checks the operands y, q, s, x, w: one head, approximate and exact. */
static TernStatus check_head(const TnInfer *c) {
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

TernStatus tn_infer_rope_angle(TnInfer *c) {
    const TnType *pos = arg(c, 0), *f = arg(c, 1);
    if (!is(pos, TN_ENC_i32, 1)) return wrong(c, 0, "i32[T]");
    if (!tn_node_is_source(c->g, c->args[1]) || !is_f32_matrix(f) || f->dim[0] != 2)
        return wrong(c, 1, "a weight f32[2,n]");
    return done(c, tn_type(TN_ENC_f32, 2, pos->dim[0], 2 * f->dim[1]));
}

TernStatus tn_infer_rope(TnInfer *c) {
    const TnType *x = arg(c, 0), *a = arg(c, 1);
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,M]");
    if (!is_f32_matrix(a) || a->dim[0] != x->dim[0] || a->dim[1] % 2) return wrong(c, 1, "f32[T,2n]");
    if (x->dim[1] % a->dim[1]) return wrong(c, 0, "a multiple of operand 2's columns");
    return done(c, *x);
}

/* Checks pos, slot and table, from operand i on; they have the rows of operand `like`. */
static TernStatus check_places(const TnInfer *c, uint32_t i, uint32_t like) {
    for (uint32_t j = i; j < i + 2; j++)
        if (!is(arg(c, j), TN_ENC_i32, 1) || arg(c, j)->dim[0] != arg(c, like)->dim[0])
            return wrong(c, j, j == i ? "i32[T], a position a row" : "i32[T], a slot a row");
    if (!is(arg(c, i + 2), TN_ENC_i32, 2) || is_matrix(arg(c, i + 2)))
        return wrong(c, i + 2, "a page table i32[S,P]");
    return TERN_OK;
}

TernStatus tn_infer_kv_put(TnInfer *c) {
    const TnType *cache = arg(c, 0), *x = arg(c, 1);
    if (tn_encs[cache->enc].kind != TN_CACHE) return wrong(c, 0, "a cache");
    if (!is_f32_matrix(x) || x->dim[1] % cache->dim[1] || x->dim[1] / cache->dim[1] != cache->dim[2])
        return wrong(c, 1, "f32[T, heads * head]");
    TN_TRY(check_places(c, 2, 1));
    return done(c, *cache);
}

TernStatus tn_infer_attend(TnInfer *c) {
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
TernStatus tn_infer_attend_blocks(TnInfer *c) {
    TN_TRY(tn_infer_attend(c));
    const TnType *q = arg(c, 0);
    int64_t head = arg(c, 1)->dim[2], n = attr(c, TN_ATTR_n)->i, columns = q->dim[1] / head * (head + 2);
    if (!tn_dim_is_sym(q->dim[0]) && q->dim[0] > n) return wrong(c, 0, "at most n rows");
    if (n > TN_ELEMENTS_MAX / columns)
        return FAIL(c, "attend_blocks: n is %lld, which is too large", (long long)n);
    return done(c, tn_type(TN_ENC_f32, 2, tn_sym_dim(TN_P), n * columns));
}

/* Operand 1 must be an attend_blocks with the same heads, window and positions. */
TernStatus tn_infer_attend_join(TnInfer *c) {
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

TernStatus tn_infer_headnorm(TnInfer *c) {
    const TnType *x = arg(c, 0);
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,M]");
    if (!is_vector(c, 1)) return wrong(c, 1, "a weight of f32, f16 or bf16, one a column of a head");
    if (x->dim[1] % arg(c, 1)->dim[0]) return wrong(c, 0, "a multiple of operand 2's columns");
    return done(c, *x);
}

TernStatus tn_infer_bias(TnInfer *c) {
    TN_TRY(check_by_column(c));
    return done(c, *arg(c, 0));
}

TernStatus tn_infer_times(TnInfer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[T,M]");
    return done(c, *arg(c, 0));
}

TernStatus tn_infer_slice(TnInfer *c) {
    const TnType *x = arg(c, 0);
    int64_t lo = attr(c, TN_ATTR_lo)->i, n = attr(c, TN_ATTR_n)->i;
    if (!is_f32_matrix(x)) return wrong(c, 0, "f32[T,M]");
    if (lo > x->dim[1] || n > x->dim[1] - lo)
        return FAIL(c, "slice: columns %lld to %lld, but operand 1 (%c%s) has %lld", (long long)lo,
                    (long long)(lo + n - 1), tn_sigil(c->g, c->args[0]), c->g->nodes[c->args[0]].name,
                    (long long)x->dim[1]);
    return done(c, tn_type(TN_ENC_f32, 2, x->dim[0], n));
}

TernStatus tn_infer_map(TnInfer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[T,D]");
    for (uint32_t i = 1; i < c->n_args; i++)
        if (!tn_type_equal(arg(c, 0), arg(c, i))) return wrong(c, i, "the type of operand 1");
    return done(c, *arg(c, 0));
}

/* ---- results */

TernStatus tn_infer_argmax(TnInfer *c) {
    if (!is_f32_matrix(arg(c, 0))) return wrong(c, 0, "f32[R,V]");
    return done(c, tn_type(TN_ENC_i32, 1, arg(c, 0)->dim[0]));
}

/* Maps the rows of an operand to those of which top-k is taken: R to K, its first rows; a constant number stays. */
static bool first_rows(TnDim of, TnDim *out) {
    *out = of == tn_sym_dim(TN_R) ? tn_sym_dim(TN_K) : of;
    return !tn_dim_is_sym(of) || of == tn_sym_dim(TN_R);
}

TernStatus tn_infer_topk(TnInfer *c) {
    TnDim rows;
    if (!is_f32_matrix(arg(c, 0)) || !first_rows(arg(c, 0)->dim[0], &rows)) return wrong(c, 0, "f32[R,V]");
    return done(c, tn_type(TN_ENC_i32, 2, rows, attr(c, TN_ATTR_k)->i));
}

TernStatus tn_infer_take(TnInfer *c) {
    const TnType *x = arg(c, 0), *ids = arg(c, 1);
    TnDim rows;
    if (!is_f32_matrix(x) || !first_rows(x->dim[0], &rows)) return wrong(c, 0, "f32[R,V]");
    if (ids->enc != TN_ENC_i32 || !is_matrix(ids) || ids->dim[0] != rows) return wrong(c, 1, "i32[K,k]");
    return done(c, tn_type(TN_ENC_f32, 2, ids->dim[0], ids->dim[1]));
}

TernStatus tn_infer_rerank(TnInfer *c) {
    TN_TRY(check_head(c));
    return done(c, tn_type(TN_ENC_i32, 1, arg(c, 0)->dim[0]));
}

TernStatus tn_infer_rerank_top(TnInfer *c) {
    TnDim rows;
    TN_TRY(check_head(c));
    if (!first_rows(arg(c, 0)->dim[0], &rows)) return wrong(c, 0, "f32[R,V]");
    return done(c, tn_type(TN_ENC_i32, 2, rows, attr(c, TN_ATTR_k)->i));
}

TernStatus tn_infer_pick(TnInfer *c) {
    const TnType *x = arg(c, 0), *ids = arg(c, 1);
    TnDim rows;
    if (!is_f32_matrix(x) || !first_rows(x->dim[0], &rows)) return wrong(c, 0, "f32[R,K]");
    if (ids->enc != TN_ENC_i32 || !is_matrix(ids) || ids->dim[0] != rows) return wrong(c, 1, "i32[K,k]");
    if (!is_float_weight(c, 2)) return wrong(c, 2, "a weight matrix of floats");
    if (arg(c, 2)->dim[1] != x->dim[1]) return wrong(c, 2, "as many columns as operand 1");
    return done(c, tn_type(TN_ENC_f32, 2, ids->dim[0], ids->dim[1]));
}

TernStatus tn_infer_output(TnInfer *c) {
    const TnType *x = arg(c, 0);
    if (tn_node_is_source(c->g, c->args[0]) || (x->enc != TN_ENC_f32 && x->enc != TN_ENC_i32))
        return wrong(c, 0, "a computed f32 or i32");
    return done(c, *x);
}
