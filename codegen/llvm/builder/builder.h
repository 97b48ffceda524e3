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
typedef struct TnLb {
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
    LLVMValueRef lo, hi;  /* the tile's units, i64 */
    LLVMValueRef scratch; /* pointer, 64-aligned */
    LLVMValueRef again;   /* i64: not 0 if the scratch holds what another tile of this launch left */
    LLVMValueRef sym[TN_SYM_COUNT]; /* i64 */
    TnRef ops[64];                  /* tn_kernel_operands */
    uint32_t n_ops, n_in;
    LLVMValueRef op_ptr[64];
    uint64_t scratch_bytes, scratch_page; /* asked so far */
    /* of listings alone, else NULL: instructions carry the line of their op */
    LLVMDIBuilderRef di;
    LLVMMetadataRef di_file, di_scope;
    uint32_t di_line; /* nodes of the kernels before this one */
} TnLb;

/* ---- Instructions: tn_lb_add(b, x, y), tn_lb_trunc(b, x, type) .. by the rows of instructions.def */
#define BINARY(name, llvm)  LLVMValueRef tn_lb_##name(TnLb *b, LLVMValueRef x, LLVMValueRef y);
#define UNARY(name, llvm)   LLVMValueRef tn_lb_##name(TnLb *b, LLVMValueRef x);
#define CONVERT(name, llvm) LLVMValueRef tn_lb_##name(TnLb *b, LLVMValueRef x, LLVMTypeRef type);
#include "codegen/llvm/builder/instructions.def"
#undef BINARY
#undef UNARY
#undef CONVERT
/* cond ? x : y, lane by lane where cond is a vector */
LLVMValueRef tn_lb_select(TnLb *b, LLVMValueRef cond, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef tn_lb_icmp(TnLb *b, LLVMIntPredicate how, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef tn_lb_fcmp(TnLb *b, LLVMRealPredicate how, LLVMValueRef x, LLVMValueRef y);

/* ---- Plain values */
LLVMValueRef tn_lb_i64(TnLb *b, int64_t v);
LLVMValueRef tn_lb_i32(TnLb *b, int64_t v);
LLVMValueRef tn_lb_f32(TnLb *b, float v);                                /* any bits, NaN too */
LLVMValueRef tn_lb_splat_const(TnLb *b, LLVMValueRef scalar, int lanes); /* of a constant */
LLVMValueRef tn_lb_splat(TnLb *b, LLVMValueRef scalar, int lanes);       /* of any scalar */
LLVMValueRef tn_lb_vf(TnLb *b, float v);                                 /* constant <32 x float> */
LLVMValueRef tn_lb_vi(TnLb *b, int32_t v);                               /* constant <32 x i32> */
LLVMValueRef tn_lb_iota(TnLb *b, int lanes);                             /* <lanes x i32> 0, 1, 2 .. */
LLVMValueRef tn_lb_min(TnLb *b, LLVMValueRef x, LLVMValueRef y);         /* signed integers */
LLVMValueRef tn_lb_max(TnLb *b, LLVMValueRef x, LLVMValueRef y);

/* ---- Memory. Offsets are i64 values or constants. */
LLVMValueRef tn_lb_at(TnLb *b, LLVMValueRef ptr, LLVMValueRef bytes);
LLVMValueRef tn_lb_atc(TnLb *b, LLVMValueRef ptr, int64_t bytes);
LLVMValueRef tn_lb_elem(TnLb *b, LLVMValueRef ptr, LLVMValueRef index, int64_t elem_bytes);
LLVMValueRef tn_lb_load(TnLb *b, LLVMTypeRef type, LLVMValueRef ptr, unsigned align);
void tn_lb_store(TnLb *b, LLVMValueRef value, LLVMValueRef ptr, unsigned align);
/* mask: <lanes x i1>, or NULL for a plain access; masked-off lanes are not touched and read as zero. 4-byte
 * elements. */
LLVMValueRef tn_lb_load_masked(TnLb *b, LLVMTypeRef type, LLVMValueRef ptr, unsigned align,
                               LLVMValueRef mask);
void tn_lb_store_masked(TnLb *b, LLVMValueRef value, LLVMValueRef ptr, unsigned align, LLVMValueRef mask);
/* The first n lanes (a constant), as vectors of falling powers of two, nothing beyond them touched. Any
 * element type. */
void tn_lb_store_first(TnLb *b, LLVMValueRef value, LLVMValueRef ptr, int n);
/* The f32 at ptr with these numbers, 32 of i32 each. */
LLVMValueRef tn_lb_gather(TnLb *b, LLVMValueRef ptr, LLVMValueRef index);
void tn_lb_prefetch(TnLb *b, LLVMValueRef ptr, int level); /* 1: into L1, 2: into L2, 0: to be used once */
/* The line at ptr is about to be read: those the kernel's `near` and `far` behind it are fetched. A function of the module
 * with such calls has them in its name, for kernels that differ in them share it not: tn_lb_ahead_name appends it. */
void tn_lb_ahead(TnLb *b, LLVMValueRef ptr);
void tn_lb_ahead_name(const TnLb *b, char *name, size_t size);
/* Lanes below n (i64 value): <lanes x i1>. */
LLVMValueRef tn_lb_mask_below(TnLb *b, LLVMValueRef n, int lanes);
LLVMValueRef tn_lb_mask_const(TnLb *b, int64_t n, int lanes);
/* Those of the block at `at` of n elements: NULL if it is full. */
LLVMValueRef tn_lb_mask_block(TnLb *b, int64_t n, int64_t at, int lanes);
/* 32 elements of a dense f32, f16 or bf16 row at ptr, widened; with a mask f32 only. */
LLVMValueRef tn_lb_load_wide(TnLb *b, TnEnc enc, LLVMValueRef ptr);
int64_t tn_enc_bytes(TnEnc enc); /* of a dense or cache element */

/* ---- Arithmetic; scalars or vectors alike */
LLVMValueRef tn_lb_call(TnLb *b, const char *intrinsic, LLVMTypeRef *overload, unsigned n_overload,
                        LLVMValueRef *args,
                        unsigned n); /* looked up by name; args are bitcast to what it wants */
LLVMValueRef tn_lb_fma(TnLb *b, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z); /* x*y + z */
LLVMValueRef tn_lb_rint(TnLb *b, LLVMValueRef x);
LLVMValueRef tn_lb_sqrt(TnLb *b, LLVMValueRef x);
LLVMValueRef tn_lb_fmax(TnLb *b, LLVMValueRef x, LLVMValueRef y); /* x > y ? x : y */
LLVMValueRef tn_lb_fmin(TnLb *b, LLVMValueRef x, LLVMValueRef y); /* x < y ? x : y */
LLVMValueRef tn_lb_bits(TnLb *b, LLVMValueRef x);                 /* float(s) as i32(s) */
LLVMValueRef tn_lb_float_of(TnLb *b, LLVMValueRef bits);
LLVMValueRef tn_lb_widen_f16(TnLb *b, LLVMValueRef i16s); /* i16 lanes to float lanes */
LLVMValueRef tn_lb_widen_bf16(TnLb *b, LLVMValueRef i16s);
LLVMValueRef tn_lb_widen_i8(TnLb *b, LLVMValueRef i8s);
LLVMValueRef tn_lb_narrow_f16_sat(TnLb *b,
                                  LLVMValueRef x); /* float lanes to i16 lanes, clamped to +-65504 first */
LLVMValueRef tn_lb_exp(TnLb *b, LLVMValueRef x);   /* tn_exp */
/* quant (ops.def): 127/a and a/127 from the largest |x| as bits (i32); the codes (i32 lanes) of float lanes. */
LLVMValueRef tn_lb_quant_factor(TnLb *b, LLVMValueRef bits, LLVMValueRef *out_scale);
LLVMValueRef tn_lb_quant(TnLb *b, LLVMValueRef x, LLVMValueRef factor);
void tn_lb_sincos_turn(TnLb *b, LLVMValueRef f, LLVMValueRef *out_sin,
                       LLVMValueRef *out_cos); /* tn_sincos_turn */

/* ---- Lanes */
LLVMValueRef tn_lb_extract(TnLb *b, LLVMValueRef v, int lane);
LLVMValueRef tn_lb_insert(TnLb *b, LLVMValueRef v, LLVMValueRef x, int lane);
LLVMValueRef tn_lb_lanes(TnLb *b, LLVMValueRef v, int first, int n); /* a part of a vector */
LLVMValueRef tn_lb_shuffle(TnLb *b, LLVMValueRef v, LLVMValueRef w, const int *lane, int n);
typedef enum TnFold { TN_FOLD_FADD, TN_FOLD_ADD, TN_FOLD_UMAX, TN_FOLD_FMAX } TnFold;
/* Halving tree over the lanes: j with j + n/2, then n/4 .. 1; a scalar. */
LLVMValueRef tn_lb_tree(TnLb *b, LLVMValueRef v, TnFold fold);
/* The same of n vectors of n lanes at once: lane i of the result is the tree of v[i]. */
LLVMValueRef tn_lb_trees(TnLb *b, LLVMValueRef *v, int n, TnFold fold);

/* ---- Control. A loop `for (i = start; i < end; i += step)`, perhaps never entered, with up to 40 carried
 * values:
 *
 *   TnLoop l = tn_lb_loop(b, start, end, 1);
 *   LLVMValueRef acc = tn_lb_carry(b, &l, zero);   (all carries first)
 *   ... l.i ...
 *   tn_lb_next(&l, 0, new_acc);                    (every carry, any order)
 *   tn_lb_loop_end(b, &l);                         (now l.out[0] is the final value)
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
TnLoop tn_lb_loop(TnLb *b, LLVMValueRef start, LLVMValueRef end, int64_t step);
LLVMValueRef tn_lb_carry(TnLb *b, TnLoop *l, LLVMValueRef init);
void tn_lb_next(TnLoop *l, int carry, LLVMValueRef value);
/* A carry that goes `bytes` (not 0) on every turn, in a register of its own; it needs no tn_lb_next. */
LLVMValueRef tn_lb_walk(TnLb *b, TnLoop *l, LLVMValueRef ptr, int64_t bytes);
void tn_lb_loop_end(TnLb *b, TnLoop *l);
/* if (cond) { ... } else { ... }, the second half as one likes: no values come out of it. */
typedef struct TnIf {
    LLVMBasicBlockRef exit;
} TnIf;
TnIf tn_lb_if(TnLb *b, LLVMValueRef cond);
TnIf tn_lb_if_between(TnLb *b, LLVMValueRef n, int64_t least, int64_t most); /* i64, both included */
void tn_lb_else(TnLb *b, TnIf *i);
void tn_lb_if_end(TnLb *b, TnIf *i);
/* The pointer or i64 itself, but LLVM cannot see what it was made from. A loop's pointer that goes through this each
 * turn stays a register of its own; else LLVM addresses everything by one index, and operands with an index
 * cost x86 a micro-op more. */
LLVMValueRef tn_lb_opaque(TnLb *b, LLVMValueRef v);
LLVMBasicBlockRef tn_lb_block(TnLb *b, const char *name); /* appended to the function, not entered */
/* For control that is no loop and no if: what is built from here on goes to the end of the block; how a block ends; a
 * value by where one comes from (LLVMAddIncoming). tn_lb_branch returns the instruction. */
void tn_lb_enter(TnLb *b, LLVMBasicBlockRef block);
void tn_lb_jump(TnLb *b, LLVMBasicBlockRef to);
LLVMValueRef tn_lb_branch(TnLb *b, LLVMValueRef cond, LLVMBasicBlockRef then, LLVMBasicBlockRef otherwise);
LLVMValueRef tn_lb_phi(TnLb *b, LLVMTypeRef type, const char *name);

/* ---- Functions of the module: nounwind, no-builtins, level's vector width; without a body yet. What is not exported is
 * internal and never inlined, and its pointers are noalias. */
LLVMValueRef tn_lb_function(TnLb *b, const char *name, LLVMTypeRef *params, unsigned n, bool exported);
/* One that the module's kernels share, by its name. NULL: it is there already. Else the builder now stands in its body,
 * and tn_lb_shared_end gives it back to where it stood, which is what was returned; it returns the function. */
LLVMBasicBlockRef tn_lb_shared(TnLb *b, const char *name, LLVMTypeRef *params, unsigned n,
                               LLVMValueRef *out_fn);
LLVMValueRef tn_lb_shared_end(TnLb *b, LLVMBasicBlockRef back);
void tn_lb_call_function(TnLb *b, LLVMValueRef fn, LLVMValueRef *args, unsigned n);
LLVMBasicBlockRef tn_lb_here(TnLb *b);

/* ---- The launch */
/* Address of an operand of the launch (a cache by any kv_put of it). */
LLVMValueRef tn_lb_operand(TnLb *b, TnRef ref);
/* Whether a value of the kernel leaves it, so that its operand must be written. */
bool tn_lb_leaves(TnLb *b, TnRef ref);
/* Row `row` (i64) of an operand: matrix rows, q8 rows, elements of ids and pos. */
LLVMValueRef tn_lb_operand_row(TnLb *b, TnRef ref, LLVMValueRef row);
/* Columns of a matrix row. */
int64_t tn_lb_cols(TnLb *b, TnRef ref);
bool tn_lb_inside(TnLb *b, TnRef ref); /* a node of the kernel */
/* Rows of a value: a symbol's value or a constant; and the most there can be in the graph's row class. */
LLVMValueRef tn_lb_rows(TnLb *b, TnRef ref);
int64_t tn_lb_most_rows(TnLb *b, TnRef ref);
/* Scratch of the worker, 64-aligned: constant bytes, and bytes for each page of a slot (symbol P). All
 * constant pieces must be asked before the first piece per page. */
LLVMValueRef tn_lb_scratch(TnLb *b, uint64_t bytes);
LLVMValueRef tn_lb_scratch_pages(TnLb *b, uint64_t bytes_per_page);

/* ---- Where the builder is. What is built from here on comes from that node of the kernel. Returns what to give back to
 * tn_lb_op_back. Of code that is not for a listing both do nothing. */
LLVMMetadataRef tn_lb_op(TnLb *b, TnRef ref);
void tn_lb_op_back(TnLb *b, LLVMMetadataRef before);
/* The kernel and op, for tn_llvm_fatal, which LLVM calls where it gives up. Both are of this thread. */
void tn_llvm_note(const char *kernel, const char *op);
void tn_llvm_fatal(const char *reason);

#endif
