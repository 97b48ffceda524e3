/* Checks a type by itself: rank, dims, sizes of blocks, scales. */
#include "ir/internal.h"
#include "ir/type_layout.h"
#include "runtime/base/half.h"

/* The number of columns that share a scale in a stored encoding: those of a block, or TN_GROUP_ROW; 0: one scale for all. */
static uint32_t stored_group(TnEnc e) {
    if (e == TN_ENC_iq1bn || e == TN_ENC_iq2bn || e == TN_ENC_iq2bn4) return TN_GROUP_ROW;
    return tn_encs[e].kind == TN_STORED ? tn_encs[e].block_elems : 0;
}

/* Whether the encoding can hold a weight of 2. */
static bool holds_two(TnEnc e) {
    return e == TN_ENC_t8 || (tn_enc_is_packed(e) && e != TN_ENC_b80) || e == TN_ENC_q2g64 ||
           e == TN_ENC_q2g128;
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
