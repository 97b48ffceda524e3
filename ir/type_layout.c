#include "ir/type_layout.h"

#include "ir/stored_tiles.h"
#include "runtime/base/reader.h"

static size_t dim_size(TnDim d) {
    TN_CHECK(!tn_dim_is_sym(d));
    return (size_t)d;
}

static int64_t dim_value(TnDim d, const int64_t sym[TN_SYM_COUNT]) {
    if (!tn_dim_is_sym(d)) return d;
    TN_CHECK(sym && sym[tn_dim_sym(d)] >= 0);
    return sym[tn_dim_sym(d)];
}

/* Whether it is a block table. Its row length is a symbol, so its rows cannot be padded. */
static bool is_table(const TnType *t) {
    return t->rank == 2 && tn_dim_is_sym(t->dim[1]);
}

/* Whether it is a list with one element a row. No i32 is a weight, so every rank-1 i32 is a list of rows. */
static bool is_list(const TnType *t) {
    return t->rank == 1 && (tn_dim_is_sym(t->dim[0]) || t->enc == TN_ENC_i32);
}

int64_t tn_row_elems(const TnType *t) {
    return is_list(t) || is_table(t) ? 1 : t->dim[t->rank - 1];
}

/* Whether a single row cannot be addressed. */
static bool is_flat(TnEnc enc) {
    return enc == TN_ENC_i8s || enc == TN_ENC_i2s || enc == TN_ENC_i2s64 || tn_enc_is_tiled(enc);
}

static size_t flat_bytes(TnEnc enc, size_t rows, size_t k) {
    if (enc == TN_ENC_i8s) return rows * k + 32;
    if (!tn_enc_is_tiled(enc)) return tn_round_up(rows * k, 128) / 4 + 32;
    return tn_tiled_bytes(enc, (int64_t)rows, (int64_t)k) + (enc == TN_ENC_iq2bn4 ? 0 : 32);
}

size_t tn_row_head(TnEnc enc) {
    return enc == TN_ENC_iq1bn ? 2 : enc == TN_ENC_iq2bn ? 4 : 0;
}

const char *tn_stored_needs(TnEnc enc, int64_t rows, int64_t cols) {
    TnTlTiles tiles;
    if (enc == TN_ENC_i2s || enc == TN_ENC_i2s64)
        return rows * cols % 128 ? "a multiple of 128 elements" : NULL;
    if (enc == TN_ENC_iq2bn4) return rows % 4 || cols % 64 ? "multiples of 4 rows and 64 columns" : NULL;
    if (enc == TN_ENC_i2s4) return rows % 4 ? "a multiple of 4 rows" : NULL;
    if (tn_enc_is_tiled(enc))
        return tn_tl_tiles(enc, rows, cols, &tiles) ? NULL : "a shape that its tiles divide";
    return NULL;
}

size_t tn_row_bytes(const TnType *t) {
    const TnEncInfo *e = &tn_encs[t->enc];
    if (is_list(t) || is_table(t)) return e->block_bytes;
    size_t k = e->kind == TN_CACHE ? 0 : dim_size(t->dim[t->rank - 1]);
    size_t planes = t->rank == 3 ? dim_size(t->dim[1]) : 1;
    switch (e->kind) {
    case TN_DENSE:
        return planes * tn_round_up(k, TN_PAD) * e->block_bytes;
    case TN_Q8:
        return TN_Q8_HEAD + tn_round_up(k, TN_K_PAD);
    case TN_Q8_GROUPS:
        return 2 * tn_q8g_part(t) + tn_round_up(k, TN_K_PAD);
    case TN_LIMBS:
        return TN_Q14_HEAD + 2 * tn_round_up(k, TN_K_PAD);
    case TN_SHADOW:
        return tn_round_up(k, e->block_elems) / e->block_elems * e->block_bytes;
    case TN_CACHE:
        return tn_page_bytes(t);
    case TN_TERNARY_GROUPS: /* bytes of a block divided by its rows */
        return k / 4 + 2 * (size_t)tn_type_row_scales(t);
    case TN_TERNARY:
        if (t->enc == TN_ENC_b80) return tn_round_up(k, TN_B80_PAD) / 5;
        return tn_round_up(k, t->enc == TN_ENC_b64 ? TN_B64_PAD : TN_K_PAD) / 4;
    case TN_STORED:
        if (is_flat(t->enc)) return 0;
        return tn_row_head(t->enc) + tn_round_up(k, e->block_elems) / e->block_elems * e->block_bytes;
    }
    TN_BUG("encoding %d has no kind", (int)t->enc);
}

int64_t tn_rows_together(const TnType *t) {
    if (t->enc == TN_ENC_b80) return TN_B80_ROWS;
    bool beside = t->enc == TN_ENC_r64 || t->enc == TN_ENC_b64 || tn_encs[t->enc].kind == TN_SHADOW;
    return beside ? TN_BESIDE : 1;
}

size_t tn_q8g_part(const TnType *t) {
    return tn_round_up(4 * (size_t)tn_type_row_scales(t), 64);
}

size_t tn_row_bytes_aligned(const TnType *t) {
    return tn_round_up(tn_row_bytes(t), 64);
}

size_t tn_page_head_bytes(const TnType *cache) {
    TN_CHECK(tn_encs[cache->enc].kind == TN_CACHE && cache->rank == 3);
    size_t scales = cache->enc == TN_ENC_kc_i8 || cache->enc == TN_ENC_vc_i8 ? TN_PAGE * sizeof(float) : 0;
    return dim_size(cache->dim[2]) * TN_PAGE * tn_encs[cache->enc].block_bytes + scales;
}

size_t tn_page_bytes(const TnType *cache) {
    return dim_size(cache->dim[1]) * tn_page_head_bytes(cache);
}

/* Bytes of the blocks of codes. */
static size_t shadow_blocks(const TnType *t) {
    return tn_round_up(dim_size(t->dim[0]), TN_BESIDE) * tn_row_bytes(t);
}

size_t tn_shadow_array_bytes(const TnType *t) {
    return tn_round_up(dim_size(t->dim[0]), TN_PAD) * 4;
}

int tn_shadow_planes(const TnType *t) {
    return t->enc == TN_ENC_s5 ? 2 : t->enc == TN_ENC_s6 ? 1 : 0;
}

size_t tn_shadow_plane_bytes(const TnType *t) {
    return tn_round_up(dim_size(t->dim[1]), 512) / 8;
}

size_t tn_shadow_plane_at(const TnType *t, int plane) {
    size_t rows = dim_size(t->dim[0]), arrays = 3 + 2 * (size_t)tn_shadow_planes(t);
    return shadow_blocks(t) + arrays * tn_shadow_array_bytes(t) +
           (size_t)plane * rows * tn_shadow_plane_bytes(t);
}

size_t tn_shadow_read_bytes(const TnType *t) {
    return shadow_blocks(t) + 3 * tn_shadow_array_bytes(t);
}

size_t tn_tail_bytes(const TnType *t) {
    if (tn_encs[t->enc].kind == TN_SHADOW)
        return tn_shadow_plane_at(t, tn_shadow_planes(t)) - shadow_blocks(t);
    if (t->group && (t->enc == TN_ENC_t8 || tn_encs[t->enc].kind == TN_TERNARY))
        return dim_size(t->dim[0]) * (size_t)tn_type_row_scales(t) * 4;
    return tn_encs[t->enc].kind == TN_TERNARY ? (size_t)t->n_scales * 4 : 0;
}

size_t tn_tail_at(const TnType *t) {
    return tn_type_bytes(t, NULL) - tn_tail_bytes(t);
}

int64_t tn_type_rows(const TnType *t, const int64_t sym[TN_SYM_COUNT]) {
    if (t->rank == 1 && !is_list(t)) return 1;
    return dim_value(t->dim[0], sym);
}

size_t tn_type_bytes(const TnType *t, const int64_t sym[TN_SYM_COUNT]) {
    size_t rows = (size_t)tn_type_rows(t, sym);
    if (is_flat(t->enc)) return flat_bytes(t->enc, t->rank == 1 ? 1 : rows, dim_size(t->dim[t->rank - 1]));
    if (is_table(t)) rows *= (size_t)dim_value(t->dim[1], sym);
    return tn_round_up(rows, (size_t)tn_rows_together(t)) * tn_row_bytes(t) + tn_tail_bytes(t);
}
