/* Tables of floats, as their readers find them: plain rows, or rows of blocks as model files store them.
 *
 * A stored row takes two to seven times fewer bytes than its floats. An element is a small code times a scale that its group
 * of 16 or 32 shares, less a minimum in some encodings (ir/stored_floats.c has the formats). It is made by the very
 * operations of ir/stored_floats.c, each rounded once, so it has the bits of the unpacked table on every level. A block is
 * unpacked 32 elements at a time, which are one step of the lanes of a dot product. */
#include "codegen/llvm/ops/table_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include "ir/type_layout.h"

enum { LONGEST = 1 << 14 };

static bool reads_blocks(TnEnc enc) {
    return enc == TN_ENC_q8_0 || enc == TN_ENC_q4_k || enc == TN_ENC_q5_k || enc == TN_ENC_q6_k;
}

bool tn_llvm_reads_table(const TnType *t) {
    return tn_enc_is_float(t->enc) || (reads_blocks(t->enc) && t->dim[1] <= LONGEST);
}

/* A block whose bytes are in registers. */
typedef struct Block {
    TnEnc enc;
    LLVMValueRef scales, least; /* q8_0: a scale; q4_k, q5_k: 8 of both; q6_k: 16 scales */
    LLVMValueRef low[4], high[2];
} Block;

static LLVMValueRef bytes(TnBuilder *b, LLVMValueRef at, int64_t offset, int n) {
    return tn_build_load(b, LLVMVectorType(b->t_i8, (unsigned)n), tn_build_atc(b, at, offset), 1);
}

static LLVMValueRef half_at(TnBuilder *b, LLVMValueRef at, int64_t offset) {
    return tn_build_widen_f16(b, tn_build_load(b, b->t_i16, tn_build_atc(b, at, offset), 1));
}

/* Every byte: shifted right by `shift` (left, if it is below 0), then masked. */
static LLVMValueRef bits_of(TnBuilder *b, LLVMValueRef v, int shift, int mask) {
    int n = (int)LLVMGetVectorSize(LLVMTypeOf(v));
    LLVMValueRef by = tn_build_splat_const(b, LLVMConstInt(b->t_i8, (unsigned)abs(shift), 0), n);
    if (shift) v = shift > 0 ? tn_build_lshr(b, v, by) : tn_build_shl(b, v, by);
    return tn_build_and(b, v, tn_build_splat_const(b, LLVMConstInt(b->t_i8, (unsigned)mask, 0), n));
}

/* 4 and 4 codes of a scale or a minimum, times the block's factor. */
static LLVMValueRef eight(TnBuilder *b, LLVMValueRef factor, LLVMValueRef first, LLVMValueRef last) {
    static const int lanes[] = {0, 1, 2, 3, 4, 5, 6, 7};
    LLVMValueRef codes = tn_build_shuffle(b, first, last, lanes, 8);
    return tn_build_fmul(b, tn_build_splat(b, factor, 8), tn_build_widen_i8(b, codes));
}

/* The twelve bytes of scales and minima of q4_k and q5_k. */
static void open_groups_of_32(TnBuilder *b, LLVMValueRef at, Block *o) {
    LLVMValueRef s = bytes(b, at, 4, 4), m = bytes(b, at, 8, 4), rest = bytes(b, at, 12, 4);
    LLVMValueRef s_high = tn_build_or(b, bits_of(b, rest, 0, 15), bits_of(b, s, 2, 48));
    LLVMValueRef m_high = tn_build_or(b, bits_of(b, rest, 4, 15), bits_of(b, m, 2, 48));
    o->scales = eight(b, half_at(b, at, 0), bits_of(b, s, 0, 63), s_high);
    o->least = eight(b, half_at(b, at, 2), bits_of(b, m, 0, 63), m_high);
}

static Block open_block(TnBuilder *b, TnEnc enc, LLVMValueRef at) {
    Block o = {.enc = enc};
    int64_t low = enc == TN_ENC_q4_k ? 16 : enc == TN_ENC_q5_k ? 48 : 0;
    switch (enc) {
    case TN_ENC_q8_0:
        o.scales = half_at(b, at, 0);
        o.low[0] = bytes(b, at, 2, TN_LANES);
        return o;
    case TN_ENC_q6_k:
        o.scales = tn_build_splat(b, half_at(b, at, 208), 16);
        o.scales = tn_build_fmul(b, o.scales, tn_build_widen_i8(b, bytes(b, at, 192, 16)));
        for (int i = 0; i < 2; i++) o.high[i] = bytes(b, at, 128 + 32 * i, TN_LANES);
        break;
    default:
        TN_CHECK(enc == TN_ENC_q4_k || enc == TN_ENC_q5_k);
        open_groups_of_32(b, at, &o);
        if (enc == TN_ENC_q5_k) o.high[0] = bytes(b, at, 16, TN_LANES);
    }
    for (int i = 0; i < 4; i++) o.low[i] = bytes(b, at, low + 32 * i, TN_LANES);
    return o;
}

/* Lane `first` of v in the first 16 of 32 lanes, lane `last` in the others. */
static LLVMValueRef spread(TnBuilder *b, LLVMValueRef v, int first, int last) {
    int lanes[TN_LANES];
    for (int i = 0; i < TN_LANES; i++) lanes[i] = i < TN_LANES / 2 ? first : last;
    return tn_build_shuffle(b, v, v, lanes, TN_LANES);
}

/* Elements 32g to 32g + 31 of the block. */
static LLVMValueRef group(TnBuilder *b, const Block *o, int g) {
    LLVMValueRef q, y;
    switch (o->enc) {
    case TN_ENC_q8_0:
        return tn_build_fmul(b, tn_build_splat(b, o->scales, TN_LANES), tn_build_widen_i8(b, o->low[0]));
    case TN_ENC_q6_k: /* the high bits of group j of a half are bits 2j and 2j + 1 */
        q = bits_of(b, o->low[2 * (g / 4) + g % 2], g % 4 < 2 ? 0 : 4, 15);
        q = tn_build_or(b, q, bits_of(b, o->high[g / 4], 2 * (g % 4) - 4, 48));
        q = tn_build_sub(b, q, tn_build_splat_const(b, LLVMConstInt(b->t_i8, 32, 0), TN_LANES));
        return tn_build_fmul(b, spread(b, o->scales, 2 * g, 2 * g + 1), tn_build_widen_i8(b, q));
    default:
        q = bits_of(b, o->low[g / 2], 4 * (g % 2), 15);
        if (o->enc == TN_ENC_q5_k) q = tn_build_or(b, q, bits_of(b, o->high[0], g - 4, 16));
        y = tn_build_fmul(b, spread(b, o->scales, g, g), tn_build_widen_i8(b, q));
        return tn_build_fsub(b, y, spread(b, o->least, g, g));
    }
}

void tn_build_unpack_row(TnBuilder *b, TnEnc enc, LLVMValueRef row, int64_t k, LLVMValueRef out) {
    char name[64];
    int64_t elems = tn_encs[enc].block_elems;
    snprintf(name, sizeof name, "unpack_%s", tn_encs[enc].name);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_i64};
    LLVMValueRef fn, args[] = {row, out, tn_build_i64(b, k / elems)};
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 3, &fn);
    if (back) {
        TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), LLVMGetParam(fn, 2), 1);
        LLVMValueRef from = tn_build_walk(b, &l, LLVMGetParam(fn, 0), tn_encs[enc].block_bytes);
        LLVMValueRef to = tn_build_walk(b, &l, LLVMGetParam(fn, 1), elems * 4);
        Block o = open_block(b, enc, from);
        for (int g = 0; g < elems / TN_LANES; g++)
            tn_build_store(b, group(b, &o, g), tn_build_atc(b, to, (int64_t)g * TN_LANES * 4), 4);
        tn_build_loop_end(b, &l);
        fn = tn_build_shared_end(b, back);
    }
    tn_build_call_function(b, fn, args, 3);
}

static void ahead_of(TnBuilder *b, LLVMValueRef from, int64_t size) {
    for (int64_t line = 0; line < size; line += 64) tn_build_ahead(b, tn_build_atc(b, from, line));
}

/* Rows of blocks are whole blocks, so there is no rest. */
static LLVMValueRef stored_lanes(TnBuilder *b, TnEnc enc, LLVMValueRef w, LLVMValueRef x, int64_t k,
                                 bool ahead) {
    int64_t elems = tn_encs[enc].block_elems, size = tn_encs[enc].block_bytes;
    TnLoop l = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, k / elems), 1);
    LLVMValueRef acc = tn_build_carry(b, &l, tn_build_vf(b, 0.0f));
    LLVMValueRef from = tn_build_walk(b, &l, w, size), at = tn_build_walk(b, &l, x, elems * 4);
    if (ahead) ahead_of(b, from, size);
    Block o = open_block(b, enc, from);
    for (int g = 0; g < elems / TN_LANES; g++) {
        LLVMValueRef a = tn_build_load(b, b->t_f32x, tn_build_atc(b, at, (int64_t)g * TN_LANES * 4), 4);
        acc = tn_build_fma(b, a, group(b, &o, g), acc);
    }
    tn_build_next(&l, 0, acc);
    tn_build_loop_end(b, &l);
    return l.out[0];
}

LLVMValueRef tn_build_table_lanes(TnBuilder *b, TnEnc enc, LLVMValueRef w, LLVMValueRef x, int64_t k,
                                  bool ahead) {
    if (tn_enc_is_blocks(enc)) return stored_lanes(b, enc, w, x, k, ahead);
    int64_t full = k / TN_LANES * TN_LANES, size = tn_enc_bytes(enc);
    TnLoop i = tn_build_loop(b, tn_build_i64(b, 0), tn_build_i64(b, full), TN_LANES);
    LLVMValueRef acc = tn_build_carry(b, &i, tn_build_vf(b, 0.0f)), from = tn_build_elem(b, w, i.i, size);
    if (ahead) ahead_of(b, from, TN_LANES * size);
    LLVMValueRef v = tn_build_load_wide(b, enc, from);
    LLVMValueRef a = tn_build_load(b, b->t_f32x, tn_build_elem(b, x, i.i, 4), 4);
    tn_build_next(&i, 0, tn_build_fma(b, a, v, acc));
    tn_build_loop_end(b, &i);
    acc = i.out[0];
    if (full == k) return acc;
    v = tn_build_load_wide(b, enc, tn_build_atc(b, w, full * size));
    a = tn_build_load(b, b->t_f32x, tn_build_atc(b, x, full * 4), 4);
    a = tn_build_select(b, tn_build_mask_const(b, k - full, TN_LANES), a, tn_build_vf(b, 0.0f));
    return tn_build_fma(b, a, v, acc);
}

/* void (row of the table, row of x, float *out): one element of matmul */
static LLVMValueRef element_function(TnBuilder *b, TnEnc enc, int64_t k) {
    char name[64];
    snprintf(name, sizeof name, "element_%s_k%lld", tn_encs[enc].name, (long long)k);
    LLVMTypeRef params[] = {b->t_ptr, b->t_ptr, b->t_ptr};
    LLVMValueRef fn;
    LLVMBasicBlockRef back = tn_build_shared(b, name, params, 3, &fn);
    if (!back) return fn;
    LLVMValueRef w = LLVMGetParam(fn, 0), x = LLVMGetParam(fn, 1);
    LLVMValueRef acc = tn_build_table_lanes(b, enc, w, x, k, false);
    tn_build_store(b, tn_build_tree(b, acc, TN_FOLD_FADD), LLVMGetParam(fn, 2), 4);
    return tn_build_shared_end(b, back);
}

void tn_build_element(TnBuilder *b, TnRef table, LLVMValueRef id, LLVMValueRef index, LLVMValueRef x,
                      LLVMValueRef out) {
    const TnType *t = &b->g->nodes[table].type;
    LLVMValueRef args[] = {tn_build_listed_row(b, table, id, index), x, out};
    tn_build_call_function(b, element_function(b, t->enc, t->dim[1]), args, 3);
}
