/* What products of ternary weights share, and in what the sums of all integer products are held. */
#include "codegen/llvm/ops/ternary.h"

LLVMTypeRef tn_tmatmul_bytes(TnBuilder *b) {
    return LLVMVectorType(b->t_i8, (unsigned)b->level->bytes);
}
LLVMTypeRef tn_tmatmul_ints(TnBuilder *b) {
    return LLVMVectorType(b->t_i32, (unsigned)b->level->bytes / 4);
}

LLVMValueRef tn_tmatmul_dot(TnBuilder *b, LLVMValueRef acc, LLVMValueRef c, LLVMValueRef a) {
    LLVMValueRef args[] = {acc, c, a};
    if (b->level->dot == TN_DOT_VNNI)
        return tn_build_call(
            b, b->level->bytes == 64 ? "llvm.x86.avx512.vpdpbusd.512" : "llvm.x86.avx512.vpdpbusd.256", NULL,
            0, args, 3);
    LLVMTypeRef overload[] = {tn_tmatmul_ints(b), tn_tmatmul_bytes(b)};
    return tn_build_call(b, "llvm.aarch64.neon.sdot", overload, 2, args, 3);
}

LLVMValueRef tn_tmatmul_plane(TnBuilder *b, LLVMValueRef w, int q) {
    int size = b->level->bytes;
    if (q && tn_level_signed(b->level)) {
        w = tn_build_lshr(b, w, tn_build_splat_const(b, LLVMConstInt(b->t_i8, 2 * (unsigned)q, 0), size));
        if (q == 3) return w;
    } else if (q) { /* x86 has no byte shifts; the mask below removes the bits of the neighbour */
        LLVMTypeRef wide = LLVMVectorType(b->t_i16, (unsigned)size / 2);
        LLVMValueRef by = tn_build_splat_const(b, LLVMConstInt(b->t_i16, 2 * (unsigned)q, 0), size / 2);
        w = tn_build_lshr(b, tn_build_bitcast(b, w, wide), by);
        w = tn_build_bitcast(b, w, tn_tmatmul_bytes(b));
    }
    return tn_build_and(b, w, tn_build_splat_const(b, LLVMConstInt(b->t_i8, 3, 0), size));
}

void tn_tmatmul_fetch(TnBuilder *b, LLVMValueRef w, int lines) {
    for (int i = 0; i < lines; i++)
        tn_build_prefetch(b, tn_build_atc(b, w, (int64_t)i * TN_LINE), TN_INTO_L2);
}

/* ---- How sums are held */

bool tn_tmatmul_unpacks(const TnLevel *level, const TnType *w) {
    return w->dim[1] <= TN_UNPACKED_MOST && !(w->two && level->dot == TN_DOT_MADDUBS);
}

/* The essays in numbers. With one row an accumulator holds one plane, or with int16 two, so that an i16 gets the products of
 * two planes from each register of a line. With more rows codes are shifted down, so only the whole sum must fit. Up to TN_FEW
 * rows an i16 gets those of every plane and register; with more rows an i16 belongs to one column, as its lane does. With
 * tiles all products of a line are added to one i32. With AVX-512 VNNI more rows go over packed bytes, whose codes are masked
 * as those of b64, unless the kernel has panels and more rows than a few dozen: then sums are smaller. This is of strips that
 * begin at a block; others go a few rows at a time. */
TnDot tn_llvm_dot(const TnLevel *level, const TnType *w, int64_t rows) {
    int code = w->two ? 3 : 2;
    bool many = rows > TN_FEW && tn_tmatmul_unpacks(level, w), packed = many && tn_tmatmul_packs(level);
    if (w->enc == TN_ENC_b80 && !many) /* bytes as they are; three times a lane need not fit */
        return (TnDot){.code = 255, .value = TN_RANGE_CODE, .meets = TN_CODES, .exact32 = true};
    if (packed || (w->enc == TN_ENC_b64 && !many)) { /* a lane has one row of weights; masked or shifted */
        bool masked = level->dot == TN_DOT_VNNI && w->dim[1] <= TN_MASKED_MOST;
        int at_once = tn_level_narrow_pair(level);
        return (TnDot){.code = masked ? 0x55 * code : code, /* a whole byte, which plane 0 is (beside.c) */
                       .value = TN_RANGE_CODE,
                       .meets = TN_CODES,
                       .pair = at_once,
                       .adds = at_once ? TN_BESIDE_NARROW / 4 : 0,
                       .exact32 = masked};
    }
    bool narrow = tn_level_narrow(level);
    int lanes = level->bytes / 4, pair = tn_level_narrow_pair(level);
    if (rows > 1) {
        bool tiles = level->amx && (many || rows <= TN_FEW);
        int meets = many || tiles ? TN_CODES : TN_CODES / lanes;
        return (TnDot){.code = code,
                       .value = TN_RANGE_CODE,
                       .meets = meets,
                       .pair = pair,
                       .adds = !narrow ? 0
                               : many  ? TN_CODES / 4
                                       : meets / 4};
    }
    if (narrow)
        return (TnDot){code << 2,
                       TN_RANGE_CODE,
                       .meets = TN_CODES / 2 / lanes,
                       .pair = pair,
                       .adds = TN_LINE / level->bytes * 2,
                       .exact32 = true};
    return (TnDot){.code = level->dot == TN_DOT_SDOT ? code << 4 : code << 6,
                   .value = TN_RANGE_CODE,
                   .meets = TN_CODES / 4 / lanes,
                   .exact32 = true};
}

TnDot tn_llvm_estimate_dot(const TnLevel *level, TnEnc enc) {
    bool six = enc == TN_ENC_s6,
         high = six && level->dot == TN_DOT_VNNI; /* codes of one plane four times as large */
    int code = tn_level_signed(level) ? (six ? 31 : 127) : high ? 252 : six ? 63 : 255;
    int pair = tn_level_narrow_pair(level);
    return (TnDot){.code = code,
                   .value = TN_RANGE_LIMB,
                   .meets = TN_CODES,
                   .pair = pair,
                   .adds = pair ? 4 : 0,
                   .exact32 = high};
}
