/* What every emitter of the llvm target builds with: one kernel's context, 32-lane float blocks, loops,
 * frames.
 *
 * A kernel becomes `void f(const TnLaunch *, const TnTile *)`. The skeletons (those of the op table's rows,
 * or rows.c for kernels that go over rows) make its loops and, inside them, frames: "row t, columns col ..
 * col + width of it". Within a frame the ops of a prologue or an epilogue are emitted from their own rows of
 * the table.
 *
 * Floats are <32 x float> everywhere; LLVM splits them into what the level has, so the same IR gives the
 * defined 32-lane order on all of them. No flag that lets LLVM reorder or contract is ever set. Generated
 * code has no globals and no calls but to functions of its own module.
 *
 * Everything here must be given constants of the graph only through what tn_kernel_signature shows. */
#ifndef TN_LLVM_BUILDER_H
#define TN_LLVM_BUILDER_H

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/TargetMachine.h>
#include "codegen/codegen.h"

#define TN_LANES 32

/* ---- Levels */
typedef enum TnDotKind { TN_DOT_MADDUBS, TN_DOT_VNNI, TN_DOT_SDOT } TnDotKind;
typedef struct TnLevel {
    uint32_t number; /* TN_LEVEL_*, with the rest in runtime/abi/levels.def */
    TnDotKind dot;
    int bytes; /* of the widest vector register */
    bool amx;  /* tiles for products of 2 rows and more */
} TnLevel;
const TnLevel *tn_llvm_level(const char *name); /* NULL if not lowered */
const char *tn_llvm_triple(const TnLevel *level);

/* ---- The context of a module and of the kernel being emitted */
typedef struct TnBuilder {
    const TnLevel *level;
    const struct TnLlvmOp *const *table; /* [TN_OP_COUNT]: how each op is emitted (skeletons/frame.h) */
    const TnFlat *given; /* functions that are called by name and have code already; or NULL */
    LLVMContextRef c;
    LLVMModuleRef m;
    LLVMBuilderRef b;
    LLVMTypeRef t_void, t_i1, t_i8, t_i16, t_i32, t_i64, t_f16, t_f32, t_ptr, t_f32x,
        t_i32x; /* x: 32 lanes */
    /* the kernel */
    const TnGraph *g;
    const TnKernel *k;
    uint32_t kernel;
    LLVMValueRef fn;
    LLVMValueRef lo, hi;        /* the tile's units, i64 */
    LLVMValueRef scratch;       /* pointer, 64-aligned */
    LLVMValueRef scratch_valid; /* i64: not 0 if the scratch holds what another tile of this launch left */
    LLVMValueRef sym[TN_SYM_COUNT]; /* i64 */
    TnRef ops[64];                  /* tn_kernel_operands */
    uint32_t n_ops, n_in;
    LLVMValueRef op_ptr[64];
    uint64_t scratch_bytes, scratch_page; /* asked so far */
    /* of listings alone, else NULL: instructions carry the line of their op */
    LLVMDIBuilderRef di;
    LLVMMetadataRef di_file, di_scope;
    uint32_t di_line; /* nodes of the kernels before this one */
} TnBuilder;

/* ---- Instructions: tn_build_add(b, x, y), tn_build_trunc(b, x, type) .. by the rows of instructions.def */
#define BINARY(name, llvm)  LLVMValueRef tn_build_##name(TnBuilder *b, LLVMValueRef x, LLVMValueRef y);
#define UNARY(name, llvm)   LLVMValueRef tn_build_##name(TnBuilder *b, LLVMValueRef x);
#define CONVERT(name, llvm) LLVMValueRef tn_build_##name(TnBuilder *b, LLVMValueRef x, LLVMTypeRef type);
#include "codegen/llvm/builder/instructions.def"
#undef BINARY
#undef UNARY
#undef CONVERT
/* cond ? x : y, lane by lane where cond is a vector */
LLVMValueRef tn_build_select(TnBuilder *b, LLVMValueRef cond, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef tn_build_icmp(TnBuilder *b, LLVMIntPredicate how, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef tn_build_fcmp(TnBuilder *b, LLVMRealPredicate how, LLVMValueRef x, LLVMValueRef y);

/* ---- Plain values */
LLVMValueRef tn_build_i64(TnBuilder *b, int64_t v);
LLVMValueRef tn_build_i32(TnBuilder *b, int64_t v);
LLVMValueRef tn_build_f32(TnBuilder *b, float v);                                /* any bits, NaN too */
LLVMValueRef tn_build_splat_const(TnBuilder *b, LLVMValueRef scalar, int lanes); /* of a constant */
LLVMValueRef tn_build_splat(TnBuilder *b, LLVMValueRef scalar, int lanes);       /* of any scalar */
LLVMValueRef tn_build_vf(TnBuilder *b, float v);                                 /* constant <32 x float> */
LLVMValueRef tn_build_vi(TnBuilder *b, int32_t v);                               /* constant <32 x i32> */
LLVMValueRef tn_build_iota(TnBuilder *b, int lanes);                     /* <lanes x i32> 0, 1, 2 .. */
LLVMValueRef tn_build_min(TnBuilder *b, LLVMValueRef x, LLVMValueRef y); /* signed integers */
LLVMValueRef tn_build_max(TnBuilder *b, LLVMValueRef x, LLVMValueRef y);

/* ---- Memory. Offsets are i64 values or constants. */
LLVMValueRef tn_build_at(TnBuilder *b, LLVMValueRef ptr, LLVMValueRef bytes);
LLVMValueRef tn_build_atc(TnBuilder *b, LLVMValueRef ptr, int64_t bytes);
LLVMValueRef tn_build_elem(TnBuilder *b, LLVMValueRef ptr, LLVMValueRef index, int64_t elem_bytes);
LLVMValueRef tn_build_load(TnBuilder *b, LLVMTypeRef type, LLVMValueRef ptr, unsigned align);
void tn_build_store(TnBuilder *b, LLVMValueRef value, LLVMValueRef ptr, unsigned align);
/* mask: <lanes x i1>, or NULL for a plain access; masked-off lanes are not touched and read as zero. 4-byte
 * elements. */
LLVMValueRef tn_build_load_masked(TnBuilder *b, LLVMTypeRef type, LLVMValueRef ptr, unsigned align,
                                  LLVMValueRef mask);
void tn_build_store_masked(TnBuilder *b, LLVMValueRef value, LLVMValueRef ptr, unsigned align,
                           LLVMValueRef mask);
/* The first n lanes (a constant), as vectors of falling powers of two, nothing beyond them touched. Any
 * element type. */
void tn_build_store_first(TnBuilder *b, LLVMValueRef value, LLVMValueRef ptr, int n);
/* The f32 at ptr with these numbers, 32 of i32 each. */
LLVMValueRef tn_build_gather(TnBuilder *b, LLVMValueRef ptr, LLVMValueRef index);
void tn_build_prefetch(TnBuilder *b, LLVMValueRef ptr,
                       int level); /* 1: into L1, 2: into L2, 0: to be used once */
/* The line at ptr is about to be read: those the kernel's `prefetch_l1` and `prefetch_l2` behind it are fetched. A function of the module
 * with such calls has them in its name, for kernels that differ in them share it not: tn_build_ahead_name appends it. */
void tn_build_ahead(TnBuilder *b, LLVMValueRef ptr);
void tn_build_ahead_name(const TnBuilder *b, char *name, size_t size);
/* Lanes below n (i64 value): <lanes x i1>. */
LLVMValueRef tn_build_mask_below(TnBuilder *b, LLVMValueRef n, int lanes);
LLVMValueRef tn_build_mask_const(TnBuilder *b, int64_t n, int lanes);
/* Those of the block at `at` of n elements: NULL if it is full. */
LLVMValueRef tn_build_mask_block(TnBuilder *b, int64_t n, int64_t at, int lanes);
/* 32 elements of a dense f32, f16 or bf16 row at ptr, widened; with a mask f32 only. */
LLVMValueRef tn_build_load_wide(TnBuilder *b, TnEnc enc, LLVMValueRef ptr);
int64_t tn_enc_bytes(TnEnc enc); /* of a dense or cache element */

/* ---- Arithmetic; scalars or vectors alike */
LLVMValueRef tn_build_call(TnBuilder *b, const char *intrinsic, LLVMTypeRef *overload, unsigned n_overload,
                           LLVMValueRef *args,
                           unsigned n); /* looked up by name; args are bitcast to what it wants */
LLVMValueRef tn_build_fma(TnBuilder *b, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z); /* x*y + z */
LLVMValueRef tn_build_rint(TnBuilder *b, LLVMValueRef x);
LLVMValueRef tn_build_sqrt(TnBuilder *b, LLVMValueRef x);
LLVMValueRef tn_build_fmax(TnBuilder *b, LLVMValueRef x, LLVMValueRef y); /* x > y ? x : y */
LLVMValueRef tn_build_fmin(TnBuilder *b, LLVMValueRef x, LLVMValueRef y); /* x < y ? x : y */
LLVMValueRef tn_build_bits(TnBuilder *b, LLVMValueRef x);                 /* float(s) as i32(s) */
LLVMValueRef tn_build_float_of(TnBuilder *b, LLVMValueRef bits);
LLVMValueRef tn_build_widen_f16(TnBuilder *b, LLVMValueRef i16s); /* i16 lanes to float lanes */
LLVMValueRef tn_build_widen_bf16(TnBuilder *b, LLVMValueRef i16s);
LLVMValueRef tn_build_widen_i8(TnBuilder *b, LLVMValueRef i8s);
LLVMValueRef tn_build_narrow_f16_sat(TnBuilder *b,
                                     LLVMValueRef x); /* float lanes to i16 lanes, clamped to +-65504 first */
LLVMValueRef tn_build_exp(TnBuilder *b, LLVMValueRef x); /* tn_exp */
/* quant (ops.def): 127/a and a/127 from the largest |x| as bits (i32); the codes (i32 lanes) of float lanes. */
LLVMValueRef tn_build_quant_factor(TnBuilder *b, LLVMValueRef bits, LLVMValueRef *out_scale);
LLVMValueRef tn_build_quant(TnBuilder *b, LLVMValueRef x, LLVMValueRef factor);
void tn_build_sincos_turn(TnBuilder *b, LLVMValueRef f, LLVMValueRef *out_sin,
                          LLVMValueRef *out_cos); /* tn_sincos_turn */

/* ---- Lanes */
LLVMValueRef tn_build_extract(TnBuilder *b, LLVMValueRef v, int lane);
LLVMValueRef tn_build_insert(TnBuilder *b, LLVMValueRef v, LLVMValueRef x, int lane);
LLVMValueRef tn_build_lanes(TnBuilder *b, LLVMValueRef v, int first, int n); /* a part of a vector */
LLVMValueRef tn_build_shuffle(TnBuilder *b, LLVMValueRef v, LLVMValueRef w, const int *lane, int n);
typedef enum TnFold { TN_FOLD_FADD, TN_FOLD_ADD, TN_FOLD_UMAX, TN_FOLD_FMAX } TnFold;
/* Halving tree over the lanes: j with j + n/2, then n/4 .. 1; a scalar. */
LLVMValueRef tn_build_tree(TnBuilder *b, LLVMValueRef v, TnFold fold);
/* The same of n vectors of n lanes at once: lane i of the result is the tree of v[i]. */
LLVMValueRef tn_build_trees(TnBuilder *b, LLVMValueRef *v, int n, TnFold fold);

/* ---- Control. A loop `for (i = start; i < end; i += step)`, perhaps never entered, with up to 40 carried
 * values:
 *
 *   TnLoop l = tn_build_loop(b, start, end, 1);
 *   LLVMValueRef acc = tn_build_carry(b, &l, zero);   (all carries first)
 *   ... l.i ...
 *   tn_build_next(&l, 0, new_acc);                    (every carry, any order)
 *   tn_build_loop_end(b, &l);                         (now l.out[0] is the final value)
 *
 * Loops are never unrolled, and LLVM cannot see how i grows: all it could do with that is to choose other registers to
 * address by, at a sixth of the time that code takes to make. So what an inner loop addresses should be a base and i
 * times 1, 2, 4 or 8, or a pointer that it walks. */
#define TN_LOOP_CARRIES 40
typedef struct TnLoop {
    LLVMValueRef i, end;
    int64_t step;
    LLVMBasicBlockRef before, body, exit;
    int n;
    LLVMValueRef phi[TN_LOOP_CARRIES], init[TN_LOOP_CARRIES], next[TN_LOOP_CARRIES], out[TN_LOOP_CARRIES];
    int64_t walk[TN_LOOP_CARRIES]; /* bytes a turn; 0: not a pointer that walks */
} TnLoop;
TnLoop tn_build_loop(TnBuilder *b, LLVMValueRef start, LLVMValueRef end, int64_t step);
LLVMValueRef tn_build_carry(TnBuilder *b, TnLoop *l, LLVMValueRef init);
void tn_build_next(TnLoop *l, int carry, LLVMValueRef value);
/* A carry that goes `bytes` (not 0) on every turn, in a register of its own; it needs no tn_build_next. */
LLVMValueRef tn_build_walk(TnBuilder *b, TnLoop *l, LLVMValueRef ptr, int64_t bytes);
void tn_build_loop_end(TnBuilder *b, TnLoop *l);
/* if (cond) { ... } else { ... }, the second half as one likes: no values come out of it. */
typedef struct TnIf {
    LLVMBasicBlockRef exit;
} TnIf;
TnIf tn_build_if(TnBuilder *b, LLVMValueRef cond);
TnIf tn_build_if_between(TnBuilder *b, LLVMValueRef n, int64_t least, int64_t most); /* i64, both included */
void tn_build_else(TnBuilder *b, TnIf *i);
void tn_build_if_end(TnBuilder *b, TnIf *i);
/* The pointer or i64 itself, but LLVM cannot see what it was made from. A loop's pointer that goes through this each
 * turn stays a register of its own; else LLVM addresses everything by one index, and operands with an index
 * cost x86 a micro-op more. */
LLVMValueRef tn_build_opaque(TnBuilder *b, LLVMValueRef v);
LLVMBasicBlockRef tn_build_block(TnBuilder *b, const char *name); /* appended to the function, not entered */
/* For control that is no loop and no if: what is built from here on goes to the end of the block; how a block ends; a
 * value by where one comes from (LLVMAddIncoming). tn_build_branch returns the instruction. */
void tn_build_enter(TnBuilder *b, LLVMBasicBlockRef block);
void tn_build_jump(TnBuilder *b, LLVMBasicBlockRef to);
LLVMValueRef tn_build_branch(TnBuilder *b, LLVMValueRef cond, LLVMBasicBlockRef then,
                             LLVMBasicBlockRef otherwise);
LLVMValueRef tn_build_phi(TnBuilder *b, LLVMTypeRef type, const char *name);

/* ---- Functions of the module: nounwind, no-builtins, level's vector width; without a body yet. What is not exported is
 * internal and never inlined, and its pointers are noalias. */
LLVMValueRef tn_build_function(TnBuilder *b, const char *name, LLVMTypeRef *params, unsigned n,
                               bool exported);
/* One that the module's kernels share, by its name. NULL: it is there already. Else the builder now stands in its body,
 * and tn_build_shared_end gives it back to where it stood, which is what was returned; it returns the function. */
LLVMBasicBlockRef tn_build_shared(TnBuilder *b, const char *name, LLVMTypeRef *params, unsigned n,
                                  LLVMValueRef *out_fn);
LLVMValueRef tn_build_shared_end(TnBuilder *b, LLVMBasicBlockRef back);
void tn_build_call_function(TnBuilder *b, LLVMValueRef fn, LLVMValueRef *args, unsigned n);
LLVMBasicBlockRef tn_build_here(TnBuilder *b);

/* ---- The launch */
/* Address of an operand of the launch (a cache by any kv_put of it). */
LLVMValueRef tn_build_operand(TnBuilder *b, TnRef ref);
/* Whether a value of the kernel leaves it, so that its operand must be written. */
bool tn_build_leaves(TnBuilder *b, TnRef ref);
/* Row `row` (i64) of an operand: matrix rows, q8 rows, elements of ids and pos. */
LLVMValueRef tn_build_operand_row(TnBuilder *b, TnRef ref, LLVMValueRef row);
/* Columns of a matrix row. */
int64_t tn_build_cols(TnBuilder *b, TnRef ref);
bool tn_build_inside(TnBuilder *b, TnRef ref); /* a node of the kernel */
/* Rows of a value: a symbol's value or a constant; and the most there can be in the graph's batch class. */
LLVMValueRef tn_build_rows(TnBuilder *b, TnRef ref);
int64_t tn_build_most_rows(TnBuilder *b, TnRef ref);
/* Scratch of the worker, 64-aligned: constant bytes, and bytes for each page of a slot (symbol P). All
 * constant pieces must be asked before the first piece per page. */
LLVMValueRef tn_build_scratch(TnBuilder *b, uint64_t bytes);
LLVMValueRef tn_build_scratch_pages(TnBuilder *b, uint64_t bytes_per_page);

/* ---- Where the builder is. What is built from here on comes from that node of the kernel. Returns what to give back to
 * tn_build_op_back. Of code that is not for a listing both do nothing. */
LLVMMetadataRef tn_build_op(TnBuilder *b, TnRef ref);
void tn_build_op_back(TnBuilder *b, LLVMMetadataRef before);
/* The kernel and op, for tn_llvm_fatal, which LLVM calls where it gives up. Both are of this thread. */
void tn_llvm_note(const char *kernel, const char *op);
void tn_llvm_fatal(const char *reason);

#endif
