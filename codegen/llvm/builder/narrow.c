/* Sums of int8 products in int16, for levels whose processors cannot add four products to an int32 at once.
 *
 *   MADDUBS  (AVX2) vpmaddubsw adds two neighbouring products of unsigned codes and signed activations, an
 *            i16 lane for each two bytes; vpmaddwd with ones adds two neighbouring lanes
 *   SMLAL    (NEON without dot products) smlal and smlal2 add the product of each byte to an i16 lane of its
 *            own, so a sum of 16 bytes takes two registers. Codes are signed. An i16 gets half as many
 *            products as with MADDUBS, and takes twice as many additions. saddlp adds two neighbouring lanes
 *            of each register, addp two neighbouring results
 *
 * How many additions an i16 has room for follows from the bounds of codes and activations (ir/range.h). */
#include "codegen/llvm/builder/builder.h"

bool tn_level_narrow(const TnLevel *level) {
    return level->dot == TN_DOT_MADDUBS || level->dot == TN_DOT_SMLAL;
}

int tn_level_narrow_pair(const TnLevel *level) {
    return level->dot == TN_DOT_MADDUBS ? 2 : level->dot == TN_DOT_SMLAL ? 1 : 0;
}

bool tn_level_signed(const TnLevel *level) {
    return level->dot == TN_DOT_SDOT || level->dot == TN_DOT_SMLAL;
}

LLVMTypeRef tn_build_narrow_type(TnBuilder *b) {
    int lanes = b->level->dot == TN_DOT_SMLAL ? b->level->bytes : b->level->bytes / 2;
    return LLVMVectorType(b->t_i16, (unsigned)lanes);
}

/* The products of 8 bytes of each, from byte `from` on, added to those lanes of sum. */
static LLVMValueRef add_eight(TnBuilder *b, LLVMValueRef sum, LLVMValueRef c, LLVMValueRef a, int from) {
    LLVMTypeRef eight = LLVMVectorType(b->t_i16, 8);
    LLVMValueRef args[] = {tn_build_lanes(b, c, from, 8), tn_build_lanes(b, a, from, 8)};
    LLVMValueRef p = tn_build_call(b, "llvm.aarch64.neon.smull", &eight, 1, args, 2);
    return sum ? tn_build_add(b, tn_build_lanes(b, sum, from, 8), p) : p;
}

LLVMValueRef tn_build_narrow_add(TnBuilder *b, LLVMValueRef sum, LLVMValueRef c, LLVMValueRef a) {
    if (b->level->dot == TN_DOT_MADDUBS) {
        LLVMValueRef args[] = {c, a};
        LLVMValueRef p = tn_build_call(b, "llvm.x86.avx2.pmadd.ub.sw", NULL, 0, args, 2);
        return sum ? tn_build_add(b, sum, p) : p;
    }
    int all[16];
    for (int i = 0; i < 16; i++) all[i] = i;
    return tn_build_shuffle(b, add_eight(b, sum, c, a, 0), add_eight(b, sum, c, a, 8), all, 16);
}

/* Neighbouring lanes of 8 of the sums, from lane `from` on, added. */
static LLVMValueRef add_neighbours(TnBuilder *b, LLVMValueRef sum, int from) {
    LLVMTypeRef types[] = {LLVMVectorType(b->t_i32, 4), LLVMVectorType(b->t_i16, 8)};
    LLVMValueRef half = tn_build_lanes(b, sum, from, 8);
    return tn_build_call(b, "llvm.aarch64.neon.saddlp", types, 2, &half, 1);
}

LLVMValueRef tn_build_narrow_widen(TnBuilder *b, LLVMValueRef sum) {
    if (b->level->dot == TN_DOT_MADDUBS) {
        LLVMValueRef ones = tn_build_splat_const(b, LLVMConstInt(b->t_i16, 1, 0), b->level->bytes / 2);
        LLVMValueRef args[] = {sum, ones};
        return tn_build_call(b, "llvm.x86.avx2.pmadd.wd", NULL, 0, args, 2);
    }
    LLVMTypeRef ints = LLVMVectorType(b->t_i32, 4);
    LLVMValueRef halves[] = {add_neighbours(b, sum, 0), add_neighbours(b, sum, 8)};
    return tn_build_call(b, "llvm.aarch64.neon.addp", &ints, 1, halves, 2);
}

LLVMValueRef tn_build_narrow_mix(TnBuilder *b, LLVMValueRef acc, LLVMValueRef sum) {
    if (b->level->dot == TN_DOT_MADDUBS) return tn_build_add(b, acc, tn_build_narrow_widen(b, sum));
    acc = tn_build_add(b, acc, add_neighbours(b, sum, 0));
    return tn_build_add(b, acc, add_neighbours(b, sum, 8));
}
