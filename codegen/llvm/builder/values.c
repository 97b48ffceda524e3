/* Levels and plain values. */
#include "codegen/llvm/builder/builder.h"

#include "runtime/base/fmath.h"

/* ---- Levels */

/* How code for each level is made; levels.def has the rest. */
static const TnLevel levels[] = {
    {TN_LEVEL_AVX2, TN_DOT_MADDUBS, 32, false, false},
    {TN_LEVEL_AVX_VNNI, TN_DOT_VNNI, 32, false, false},
    {TN_LEVEL_AVX512_VNNI, TN_DOT_VNNI, 64, false, false},
    {TN_LEVEL_AMX, TN_DOT_VNNI, 64, true, false},
    {TN_LEVEL_NEON, TN_DOT_SMLAL, 16, false, false},
    {TN_LEVEL_NEON_DOTPROD, TN_DOT_SDOT, 16, false, false},
    {TN_LEVEL_NEON_I8MM, TN_DOT_SDOT, 16, false, true},
};

const TnLevel *tn_llvm_level(const char *name) {
    const TnLevelRow *row = name ? tn_level_named(name) : NULL;
    for (size_t i = 0; row && i < TN_COUNT(levels); i++)
        if (levels[i].number == row->number) return &levels[i];
    return NULL;
}

bool tn_level_few_registers(const TnLevel *level) {
    return level->bytes == 32;
}

const char *tn_llvm_triple(const TnLevel *level) {
    return tn_level_numbered(level->number)->arch == TN_ARCH_AARCH64 ? "aarch64-unknown-linux-gnu"
                                                                     : "x86_64-unknown-linux-gnu";
}

/* ---- Values */

LLVMValueRef tn_build_i64(TnBuilder *b, int64_t v) {
    return LLVMConstInt(b->t_i64, (uint64_t)v, 0);
}

LLVMValueRef tn_build_i32(TnBuilder *b, int64_t v) {
    return LLVMConstInt(b->t_i32, (uint64_t)v, 0);
}

LLVMValueRef tn_build_f32(TnBuilder *b, float v) {
    return LLVMConstBitCast(LLVMConstInt(b->t_i32, tn_f32_bits(v), 0), b->t_f32);
}

LLVMValueRef tn_build_splat_const(TnBuilder *b, LLVMValueRef scalar, int lanes) {
    (void)b;
    LLVMValueRef e[256];
    TN_CHECK(lanes <= 256 && LLVMIsConstant(scalar));
    for (int i = 0; i < lanes; i++) e[i] = scalar;
    return LLVMConstVector(e, (unsigned)lanes);
}

LLVMValueRef tn_build_splat(TnBuilder *b, LLVMValueRef scalar, int lanes) {
    if (LLVMIsConstant(scalar)) return tn_build_splat_const(b, scalar, lanes);
    LLVMTypeRef t = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    LLVMValueRef v = LLVMBuildInsertElement(b->b, LLVMGetPoison(t), scalar, tn_build_i32(b, 0), "");
    return LLVMBuildShuffleVector(b->b, v, LLVMGetPoison(t),
                                  LLVMConstNull(LLVMVectorType(b->t_i32, (unsigned)lanes)), "");
}

LLVMValueRef tn_build_vf(TnBuilder *b, float v) {
    return tn_build_splat_const(b, tn_build_f32(b, v), TN_LANES);
}

LLVMValueRef tn_build_vi(TnBuilder *b, int32_t v) {
    return tn_build_splat_const(b, tn_build_i32(b, v), TN_LANES);
}

LLVMValueRef tn_build_iota(TnBuilder *b, int lanes) {
    LLVMValueRef e[64];
    TN_CHECK(lanes <= 64);
    for (int i = 0; i < lanes; i++) e[i] = tn_build_i32(b, i);
    return LLVMConstVector(e, (unsigned)lanes);
}

LLVMValueRef tn_build_min(TnBuilder *b, LLVMValueRef x, LLVMValueRef y) {
    return tn_build_select(b, tn_build_icmp(b, LLVMIntSLT, x, y), x, y);
}

LLVMValueRef tn_build_max(TnBuilder *b, LLVMValueRef x, LLVMValueRef y) {
    return tn_build_select(b, tn_build_icmp(b, LLVMIntSGT, x, y), x, y);
}
