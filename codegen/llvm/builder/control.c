/* Loops, branches and functions. */
#include "codegen/llvm/builder/builder.h"

#include <string.h>

LLVMBasicBlockRef tn_build_here(TnBuilder *b) {
    return LLVMGetInsertBlock(b->b);
}

LLVMBasicBlockRef tn_build_block(TnBuilder *b, const char *name) {
    return LLVMAppendBasicBlockInContext(b->c, LLVMGetBasicBlockParent(tn_build_here(b)), name);
}

void tn_build_enter(TnBuilder *b, LLVMBasicBlockRef block) {
    LLVMPositionBuilderAtEnd(b->b, block);
}

void tn_build_jump(TnBuilder *b, LLVMBasicBlockRef to) {
    LLVMBuildBr(b->b, to);
}

LLVMValueRef tn_build_branch(TnBuilder *b, LLVMValueRef cond, LLVMBasicBlockRef then,
                             LLVMBasicBlockRef otherwise) {
    return LLVMBuildCondBr(b->b, cond, then, otherwise);
}

LLVMValueRef tn_build_phi(TnBuilder *b, LLVMTypeRef type, const char *name) {
    return LLVMBuildPhi(b->b, type, name);
}

TnLoop tn_build_loop(TnBuilder *b, LLVMValueRef start, LLVMValueRef end, int64_t step) {
    TnLoop l = {.end = end, .step = step, .before = tn_build_here(b)};
    l.body = tn_build_block(b, "loop");
    l.exit = tn_build_block(b, "done");
    tn_build_branch(b, tn_build_icmp(b, LLVMIntSLT, start, end), l.body, l.exit);
    tn_build_enter(b, l.body);
    l.i = tn_build_phi(b, b->t_i64, "i");
    LLVMAddIncoming(l.i, &start, &l.before, 1);
    return l;
}

LLVMValueRef tn_build_carry(TnBuilder *b, TnLoop *l, LLVMValueRef init) {
    TN_CHECK(l->n < TN_LOOP_CARRIES && tn_build_here(b) == l->body);
    LLVMValueRef phi = tn_build_phi(b, LLVMTypeOf(init), "");
    LLVMAddIncoming(phi, &init, &l->before, 1);
    l->phi[l->n] = phi;
    l->init[l->n++] = init;
    return phi;
}

void tn_build_next(TnLoop *l, int carry, LLVMValueRef value) {
    TN_CHECK(carry < l->n);
    l->next[carry] = value;
}

LLVMValueRef tn_build_walk(TnBuilder *b, TnLoop *l, LLVMValueRef ptr, int64_t bytes) {
    LLVMValueRef phi = tn_build_carry(b, l, ptr);
    l->walk[l->n - 1] = bytes;
    return phi;
}

/* If LLVM fully unrolled a loop over K, it would hoist more activations than there are registers and spill
 * them. */
static void never_unroll(TnBuilder *b, LLVMValueRef branch) {
    static const char name[] = "llvm.loop.unroll.disable";
    LLVMMetadataRef text = LLVMMDStringInContext2(b->c, name, sizeof name - 1);
    LLVMMetadataRef disable = LLVMMDNodeInContext2(b->c, &text, 1);
    LLVMMetadataRef self = LLVMTemporaryMDNode(b->c, NULL, 0), parts[] = {self, disable};
    LLVMMetadataRef loop = LLVMMDNodeInContext2(b->c, parts, 2);
    LLVMMetadataReplaceAllUsesWith(self, loop);
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(b->c, "llvm.loop", 9), LLVMMetadataAsValue(b->c, loop));
}

void tn_build_loop_end(TnBuilder *b, TnLoop *l) {
    for (int k = 0; k < l->n; k++)
        if (l->walk[k]) l->next[k] = tn_build_opaque(b, tn_build_atc(b, l->phi[k], l->walk[k]));
    LLVMValueRef i = tn_build_opaque(b, tn_build_add(b, l->i, tn_build_i64(b, l->step)));
    LLVMBasicBlockRef latch = tn_build_here(b);
    LLVMValueRef again = tn_build_icmp(b, LLVMIntSLT, i, l->end);
    never_unroll(b, tn_build_branch(b, again, l->body, l->exit));
    LLVMAddIncoming(l->i, &i, &latch, 1);
    tn_build_enter(b, l->exit);
    for (int k = 0; k < l->n; k++) {
        TN_CHECK(l->next[k]);
        LLVMAddIncoming(l->phi[k], &l->next[k], &latch, 1);
        l->out[k] = tn_build_phi(b, LLVMTypeOf(l->init[k]), "");
        LLVMAddIncoming(l->out[k], &l->init[k], &l->before, 1);
        LLVMAddIncoming(l->out[k], &l->next[k], &latch, 1);
    }
}

TnIf tn_build_if(TnBuilder *b, LLVMValueRef cond) {
    LLVMBasicBlockRef then = tn_build_block(b, "then");
    TnIf i = {tn_build_block(b, "endif")};
    tn_build_branch(b, cond, then, i.exit);
    tn_build_enter(b, then);
    return i;
}

TnIf tn_build_if_between(TnBuilder *b, LLVMValueRef n, int64_t least, int64_t most) {
    LLVMValueRef over = tn_build_sub(b, n, tn_build_i64(b, least));
    return tn_build_if(b, tn_build_icmp(b, LLVMIntULE, over, tn_build_i64(b, most - least)));
}

void tn_build_else(TnBuilder *b, TnIf *i) {
    LLVMBasicBlockRef end = tn_build_block(b, "endif");
    tn_build_jump(b, end);
    tn_build_enter(b, i->exit);
    i->exit = end;
}

void tn_build_if_end(TnBuilder *b, TnIf *i) {
    tn_build_jump(b, i->exit);
    tn_build_enter(b, i->exit);
}

LLVMValueRef tn_build_opaque(TnBuilder *b, LLVMValueRef v) {
    bool vector = LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind,
         arm = tn_level_numbered(b->level->number)->arch == TN_ARCH_AARCH64;
    char same[] = "=r,0";
    if (vector) same[1] = arm ? 'w' : 'v';
    LLVMTypeRef of = LLVMTypeOf(v), type = LLVMFunctionType(of, &of, 1, 0);
    LLVMValueRef nothing =
        LLVMGetInlineAsm(type, "", 0, same, sizeof same - 1, 0, 0, LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(b->b, type, nothing, &v, 1, "");
}

/* ---- Functions */

static void string_attr(TnBuilder *b, LLVMValueRef fn, const char *key, const char *value) {
    LLVMAddAttributeAtIndex(
        fn, LLVMAttributeFunctionIndex,
        LLVMCreateStringAttribute(b->c, key, (unsigned)strlen(key), value, (unsigned)strlen(value)));
}

static void enum_attr(TnBuilder *b, LLVMValueRef fn, LLVMAttributeIndex at, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    TN_CHECK(kind);
    LLVMAddAttributeAtIndex(fn, at, LLVMCreateEnumAttribute(b->c, kind, 0));
}

LLVMValueRef tn_build_function(TnBuilder *b, const char *name, LLVMTypeRef *params, unsigned n,
                               bool exported) {
    LLVMValueRef fn = LLVMAddFunction(b->m, name, LLVMFunctionType(b->t_void, params, n, 0));
    LLVMSetLinkage(fn, exported ? LLVMExternalLinkage : LLVMInternalLinkage);
    enum_attr(b, fn, LLVMAttributeFunctionIndex, "nounwind");
    string_attr(b, fn, "no-builtins", "");
    if (b->level->bytes == 64) string_attr(b, fn, "prefer-vector-width", "512");
    if (!exported) {
        /* Keep one copy and call it: inlining would only make the kernels larger. */
        enum_attr(b, fn, LLVMAttributeFunctionIndex, "noinline");
        for (unsigned i = 0; i < n; i++)
            if (params[i] == b->t_ptr) enum_attr(b, fn, i + 1, "noalias");
    }
    return fn;
}

LLVMBasicBlockRef tn_build_shared(TnBuilder *b, const char *name, LLVMTypeRef *params, unsigned n,
                                  LLVMValueRef *out_fn) {
    *out_fn = LLVMGetNamedFunction(b->m, name);
    if (*out_fn) return NULL;
    LLVMBasicBlockRef back = tn_build_here(b);
    *out_fn = tn_build_function(b, name, params, n, false);
    tn_build_enter(b, LLVMAppendBasicBlockInContext(b->c, *out_fn, ""));
    return back;
}

LLVMValueRef tn_build_shared_end(TnBuilder *b, LLVMBasicBlockRef back) {
    LLVMValueRef fn = LLVMGetBasicBlockParent(tn_build_here(b));
    LLVMBuildRetVoid(b->b);
    tn_build_enter(b, back);
    return fn;
}

void tn_build_call_function(TnBuilder *b, LLVMValueRef fn, LLVMValueRef *args, unsigned n) {
    LLVMBuildCall2(b->b, LLVMGlobalGetValueType(fn), fn, args, n, "");
}
