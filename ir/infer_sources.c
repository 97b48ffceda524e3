/* Type inference of weights, constants and inputs, whose types are given or follow from other sources. */
#include "ir/infer_ops.h"
#include "ir/type_layout.h"
#include "ir/places.h"
#include <stdlib.h>
#include <string.h>

#define RANDOM_MAX ((size_t)1 << 34) /* bytes of a test weight; a line of text must not take all memory */

static TernStatus given_type(TnInfer *c) {
    if (!c->given) return FAIL(c, "%s needs a type", tn_ops[c->op].name);
    return done(c, *c->given);
}

static TernStatus weight_dims(TnInfer *c, bool encoding_ok, const char *expected) {
    const TnType *t = c->out;
    if (!encoding_ok)
        return FAIL(c, "%s: type is %s, expected %s", tn_ops[c->op].name, tn_encs[t->enc].name, expected);
    for (int i = 0; i < t->rank; i++)
        if (tn_dim_is_sym(t->dim[i]))
            return FAIL(c, "%s: type has the symbol %s as a dim, weights have constants", tn_ops[c->op].name,
                        tn_sym_names[tn_dim_sym(t->dim[i])]);
    return TERN_OK;
}

TernStatus tn_infer_gguf(TnInfer *c) {
    TN_TRY(given_type(c));
    TnEnc e = c->out->enc;
    return weight_dims(c,
                       !tn_enc_is_packed(e) &&
                           (tn_enc_is_float(e) || tn_enc_is_ternary(e) || tn_encs[e].kind == TN_STORED),
                       "an encoding that files store, or t8");
}

/* Checks the types that the generator and the list of values can make. */
static TernStatus made_here(TnInfer *c) {
    TN_TRY(given_type(c));
    TnEnc e = c->out->enc;
    return weight_dims(c, tn_enc_is_float(e) || e == TN_ENC_t8 || tn_enc_is_packed(e),
                       "f32, f16, bf16, t8, p64, b64, b80 or r64");
}

TernStatus tn_infer_random(TnInfer *c) {
    TN_TRY(made_here(c));
    size_t bytes = tn_type_bytes(c->out, NULL);
    if (bytes > RANDOM_MAX)
        return FAIL(c, "random: %s takes %zu bytes, expected at most 2^34", tn_type_text(c->out).s, bytes);
    return TERN_OK;
}

TernStatus tn_infer_const(TnInfer *c) {
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

TernStatus tn_infer_input(TnInfer *c) {
    TN_TRY(given_type(c));
    TnEnc e = c->out->enc;
    if (e != TN_ENC_f32 && e != TN_ENC_i32 && tn_encs[e].kind != TN_CACHE)
        return FAIL(c, "input: type is %s, expected f32, i32 or a cache", tn_encs[e].name);
    return TERN_OK;
}

TernStatus tn_infer_concat(TnInfer *c) {
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

TernStatus tn_infer_pack(TnInfer *c) {
    TN_TRY(given_type(c));
    const TnType *a = arg(c, 0), *t = c->out;
    if (tn_enc_is_ternary(a->enc)) {
        if (t->enc != TN_ENC_t8 && !tn_enc_is_packed(t->enc))
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
            return wrong(c, 0, "a ternary matrix, or f32, f16, bf16, s8, s6 or s5 as the type");
    } else {
        return wrong(c, 0, "a ternary or float matrix");
    }
    TnType as_packed = *a;
    as_packed.enc = t->enc;
    if (!tn_type_equal(&as_packed, t))
        return FAIL(c, "pack gives %s, but the type says %s", tn_type_text(&as_packed).s, tn_type_text(t).s);
    return TERN_OK;
}

TernStatus tn_infer_places(TnInfer *c) {
    int64_t digits = (int64_t)strlen(attr(c, TN_ATTR_mask)->s);
    return done(c, tn_type(TN_ENC_i32, 2, (TnDim)((digits + 15) / 16), (TnDim)TN_PLACES));
}

/* Checks operand 2 of keep_rows and keep_cols against the `have` rows or columns of operand 1 and the n of the result. */
static TernStatus check_kept(TnInfer *c, int64_t have, int64_t *out_n) {
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

TernStatus tn_infer_keep_rows(TnInfer *c) {
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

TernStatus tn_infer_keep_cols(TnInfer *c) {
    TnType t = *arg(c, 0);
    bool ternary = is_ternary_weight(c, 0), vector = t.rank == 1 && tn_enc_is_float(t.enc);
    if (!ternary && !vector) return wrong(c, 0, "a ternary matrix, or a vector of f32, f16 or bf16");
    if (ternary && tn_type_in_groups(&t)) return wrong(c, 0, "a matrix without groups of columns");
    if (ternary) t.enc = TN_ENC_t8;
    TN_TRY(check_kept(c, t.dim[t.rank - 1], &t.dim[t.rank - 1]));
    return done(c, t);
}

TernStatus tn_infer_colmajor(TnInfer *c) {
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

TernStatus tn_infer_rope_freq(TnInfer *c) {
    TN_TRY(given_type(c));
    const TnType *t = c->out;
    if (!is_f32_matrix(t) || t->dim[0] != 2)
        return FAIL(c, "rope_freq: type is %s, expected f32[2,n]", tn_type_text(t).s);
    if (c->n_args && (!is(arg(c, 0), TN_ENC_f32, 1) || arg(c, 0)->dim[0] != t->dim[1]))
        return wrong(c, 0, "f32[n], a factor a frequency");
    return TERN_OK;
}
