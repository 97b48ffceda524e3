/* Addresses, loads, stores, masks and prefetches. */
#include "codegen/llvm/builder/builder.h"

#include <stdio.h>
#include <string.h>

LLVMValueRef tn_build_at(TnBuilder *b, LLVMValueRef ptr, LLVMValueRef bytes) {
    return LLVMBuildGEP2(b->b, b->t_i8, ptr, &bytes, 1, "");
}

LLVMValueRef tn_build_atc(TnBuilder *b, LLVMValueRef ptr, int64_t bytes) {
    return bytes ? tn_build_at(b, ptr, tn_build_i64(b, bytes)) : ptr;
}

LLVMValueRef tn_build_elem(TnBuilder *b, LLVMValueRef ptr, LLVMValueRef index, int64_t elem_bytes) {
    return tn_build_at(b, ptr, tn_build_mul(b, index, tn_build_i64(b, elem_bytes)));
}

LLVMValueRef tn_build_load(TnBuilder *b, LLVMTypeRef type, LLVMValueRef ptr, unsigned align) {
    LLVMValueRef v = LLVMBuildLoad2(b->b, type, ptr, "");
    LLVMSetAlignment(v, align);
    return v;
}

void tn_build_store(TnBuilder *b, LLVMValueRef value, LLVMValueRef ptr, unsigned align) {
    LLVMSetAlignment(LLVMBuildStore(b->b, value, ptr), align);
}

LLVMValueRef tn_build_load_masked(TnBuilder *b, LLVMTypeRef type, LLVMValueRef ptr, unsigned align,
                                  LLVMValueRef mask) {
    if (!mask) return tn_build_load(b, type, ptr, align);
    LLVMTypeRef overload[] = {type, b->t_ptr};
    LLVMValueRef args[] = {ptr, tn_build_i32(b, align), mask, LLVMConstNull(type)};
    return tn_build_call(b, "llvm.masked.load", overload, 2, args, 4);
}

void tn_build_store_masked(TnBuilder *b, LLVMValueRef value, LLVMValueRef ptr, unsigned align,
                           LLVMValueRef mask) {
    if (!mask) {
        tn_build_store(b, value, ptr, align);
        return;
    }
    LLVMTypeRef overload[] = {LLVMTypeOf(value), b->t_ptr};
    LLVMValueRef args[] = {value, ptr, tn_build_i32(b, align), mask};
    tn_build_call(b, "llvm.masked.store", overload, 2, args, 4);
}

LLVMValueRef tn_build_gather(TnBuilder *b, LLVMValueRef ptr, LLVMValueRef index) {
    LLVMValueRef at = LLVMBuildGEP2(b->b, b->t_f32, ptr, &index, 1, "");
    LLVMValueRef all = LLVMConstAllOnes(LLVMVectorType(LLVMInt1TypeInContext(b->c), TN_LANES));
    LLVMValueRef args[] = {at, tn_build_i32(b, 4), all, LLVMConstNull(b->t_f32x)};
    LLVMTypeRef overload[] = {b->t_f32x, LLVMTypeOf(at)};
    return tn_build_call(b, "llvm.masked.gather", overload, 2, args, 4);
}

static int64_t elem_bytes(TnBuilder *b, LLVMTypeRef vector) {
    LLVMTypeRef e = LLVMGetElementType(vector);
    if (e == b->t_f32) return 4;
    TN_CHECK(LLVMGetTypeKind(e) == LLVMIntegerTypeKind);
    return LLVMGetIntTypeWidth(e) / 8;
}

void tn_build_store_first(TnBuilder *b, LLVMValueRef value, LLVMValueRef ptr, int n) {
    int lanes = (int)LLVMGetVectorSize(LLVMTypeOf(value)), at = 0;
    int64_t bytes = elem_bytes(b, LLVMTypeOf(value));
    for (int piece = lanes; piece > 0; piece /= 2) {
        if (at + piece > n) continue;
        LLVMValueRef part = piece == lanes ? value
                            : piece == 1   ? tn_build_extract(b, value, at)
                                           : tn_build_lanes(b, value, at, piece);
        tn_build_store(b, part, tn_build_atc(b, ptr, at * bytes), (unsigned)bytes);
        at += piece;
    }
}

void tn_build_prefetch(TnBuilder *b, LLVMValueRef ptr, TnInto into) {
    static const int locality[] = {[TN_INTO_L1] = 3, [TN_INTO_L2] = 2, [TN_INTO_PAST] = 0};
    LLVMValueRef args[] = {ptr, tn_build_i32(b, 0), tn_build_i32(b, locality[into]), tn_build_i32(b, 1)};
    tn_build_call(b, "llvm.prefetch", &b->t_ptr, 1, args, 4);
}

void tn_build_ahead(TnBuilder *b, LLVMValueRef ptr) {
    const int64_t *ahead = b->k->prefetch.ahead[TN_STREAM_DENSE];
    for (TnInto i = 0; i < TN_INTO_COUNT; i++)
        if (ahead[i]) tn_build_prefetch(b, tn_build_atc(b, ptr, ahead[i]), i);
}

void tn_build_ahead_name(const TnBuilder *b, TnStream stream, char *name, size_t size) {
    for (TnInto i = 0; i < TN_INTO_COUNT; i++) {
        size_t n = strlen(name);
        snprintf(name + n, size - n, "_%lld", (long long)b->k->prefetch.ahead[stream][i]);
    }
}

LLVMValueRef tn_build_mask_below(TnBuilder *b, LLVMValueRef n, int lanes) {
    LLVMValueRef n32 = tn_build_trunc(b, n, b->t_i32);
    return tn_build_icmp(b, LLVMIntSLT, tn_build_iota(b, lanes), tn_build_splat(b, n32, lanes));
}

LLVMValueRef tn_build_mask_const(TnBuilder *b, int64_t n, int lanes) {
    LLVMValueRef e[64];
    TN_CHECK(lanes <= 64);
    for (int i = 0; i < lanes; i++) e[i] = LLVMConstInt(b->t_i1, i < n, 0);
    return LLVMConstVector(e, (unsigned)lanes);
}

LLVMValueRef tn_build_mask_block(TnBuilder *b, int64_t n, int64_t at, int lanes) {
    return n - at >= lanes ? NULL : tn_build_mask_const(b, n - at, lanes);
}

int64_t tn_enc_bytes(TnEnc enc) {
    TN_CHECK(tn_encs[enc].block_elems == 1);
    return tn_encs[enc].block_bytes;
}

LLVMValueRef tn_build_load_wide(TnBuilder *b, TnEnc enc, LLVMValueRef ptr) {
    if (enc == TN_ENC_f32) return tn_build_load(b, b->t_f32x, ptr, 4);
    LLVMValueRef v = tn_build_load(b, LLVMVectorType(b->t_i16, TN_LANES), ptr, 2);
    TN_CHECK(enc == TN_ENC_f16 || enc == TN_ENC_bf16);
    return enc == TN_ENC_f16 ? tn_build_widen_f16(b, v) : tn_build_widen_bf16(b, v);
}
