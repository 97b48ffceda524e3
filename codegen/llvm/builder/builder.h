/* The builder: every emitter of the llvm target makes its code with these calls. It holds the context of one
 * kernel and offers values, memory, arithmetic on blocks of 32 floats, loops and functions.
 *
 * A kernel becomes `void f(const TnLaunch *, const TnTile *)`. A skeleton makes its loops: the one in the
 * root op's row of the op table, or rows.c for kernels that go over rows. Inside the loops it makes frames:
 * "row t, columns col .. col + width". Within a frame, each op of a prologue or an epilogue is emitted by its
 * own row of the table.
 *
 * Floats are <32 x float> everywhere. LLVM splits them into the registers of the level, so the same IR gives
 * the defined 32-lane order on every level. No flag that lets LLVM reorder or contract is ever set. Generated
 * code has no globals and calls only functions of its own module.
 *
 * An emitter must not use a constant of the graph that tn_kernel_signature does not show: kernels with equal
 * signatures share code. */
#ifndef TN_LLVM_BUILDER_H
#define TN_LLVM_BUILDER_H

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/TargetMachine.h>
#include "codegen/codegen.h"

#define TN_LANES 32

/* ---- Levels */
typedef enum TnDotKind { TN_DOT_MADDUBS, TN_DOT_VNNI, TN_DOT_SDOT, TN_DOT_SMLAL } TnDotKind;
typedef struct TnLevel {
    uint32_t number; /* TN_LEVEL_*, with the rest in runtime/abi/levels.def */
    TnDotKind dot;
    int bytes; /* of the widest vector register */
    bool amx;  /* tiles for products of 2 rows and more */
    bool mmla; /* products of 2 rows by 2 columns, 8 codes of each, for 9 rows and more */
} TnLevel;
const TnLevel *tn_llvm_level(const char *name); /* NULL if the llvm target has no code for it */
const char *tn_llvm_triple(const TnLevel *level);
/* Whether products of int8 are summed in int16 first (MADDUBS, SMLAL; narrow.c), and how many of them one
 * addition brings to an int16; 0 if they are summed in int32. */
bool tn_level_narrow(const TnLevel *level);
int tn_level_narrow_pair(const TnLevel *level);
/* Whether it has 16 vector registers, not 32: for how many sums a loop holds. */
bool tn_level_few_registers(const TnLevel *level);
/* Whether codes must be signed where they are multiplied: on NEON. Else they are unsigned. */
bool tn_level_signed(const TnLevel *level);

/* ---- The context of a module and of the kernel being emitted */
typedef struct TnBuilder {
    const TnLevel *level;
    const struct TnLlvmOp *const *table; /* [TN_OP_COUNT]: how each op is emitted (skeletons/frame.h) */
    const TnFlat *given; /* functions with code already, which kernels call by name; or NULL */
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
    LLVMValueRef
        scratch_valid; /* i64: 1 if the scratch still holds what an earlier tile of this launch left; see TnTile */
    LLVMValueRef row_list; /* a TnRowList in scratch; NULL: the kernel lists no rows */
    uint64_t row_room;     /* bytes after it, for rows */
    TnRef top; /* the latest rerank_top of the kernel, or TN_NONE, and the elements that it found */
    LLVMValueRef top_values;
    LLVMValueRef sym[TN_SYM_COUNT]; /* i64 */
    TnRef ops[64];                  /* tn_kernel_operands */
    uint32_t n_ops, n_in;
    LLVMValueRef op_ptr[64];
    uint64_t scratch_bytes, scratch_page; /* requested so far */
    /* for listings only, else NULL: each instruction carries the line of its op */
    LLVMDIBuilderRef di;
    LLVMMetadataRef di_file, di_scope;
    uint32_t di_line; /* nodes of the kernels before this one */
} TnBuilder;

/* ---- Instructions: one function for each row of instructions.def, such as tn_build_add(b, x, y) and
 * tn_build_trunc(b, x, type) */
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
/* For 4-byte elements. mask: <lanes x i1>, or NULL for a plain access. Masked-off lanes are not touched; a
 * load gives zero for them. */
LLVMValueRef tn_build_load_masked(TnBuilder *b, LLVMTypeRef type, LLVMValueRef ptr, unsigned align,
                                  LLVMValueRef mask);
void tn_build_store_masked(TnBuilder *b, LLVMValueRef value, LLVMValueRef ptr, unsigned align,
                           LLVMValueRef mask);
/* Stores the first n lanes (n is a constant) as vectors of falling powers of two and touches nothing after
 * them. Any element type. */
void tn_build_store_first(TnBuilder *b, LLVMValueRef value, LLVMValueRef ptr, int n);
/* Loads the 32 f32 ptr[index[i]]; index is <32 x i32>. */
LLVMValueRef tn_build_gather(TnBuilder *b, LLVMValueRef ptr, LLVMValueRef index);
void tn_build_prefetch(TnBuilder *b, LLVMValueRef ptr, TnInto into);
/* Call this where the line at ptr is about to be read. It prefetches the lines that lie the kernel's distances
 * of TN_STREAM_DENSE after it. Kernels with different distances of a stream must not share a function that
 * depends on them, so the name of that function must hold the distances: tn_build_ahead_name appends them. */
void tn_build_ahead(TnBuilder *b, LLVMValueRef ptr);
void tn_build_ahead_name(const TnBuilder *b, TnStream stream, char *name, size_t size);
/* Lanes below n (i64 value): <lanes x i1>. */
LLVMValueRef tn_build_mask_below(TnBuilder *b, LLVMValueRef n, int lanes);
LLVMValueRef tn_build_mask_const(TnBuilder *b, int64_t n, int lanes);
/* The lanes in use in the block that begins at element `at` of n; NULL if all are. */
LLVMValueRef tn_build_mask_block(TnBuilder *b, int64_t n, int64_t at, int lanes);
/* 32 elements of a dense f32, f16 or bf16 row at ptr, widened to f32. */
LLVMValueRef tn_build_load_wide(TnBuilder *b, TnEnc enc, LLVMValueRef ptr);
int64_t tn_enc_bytes(TnEnc enc); /* bytes of one element; the encoding must have no blocks */

/* ---- Arithmetic; scalars or vectors alike */
LLVMValueRef tn_build_call(TnBuilder *b, const char *intrinsic, LLVMTypeRef *overload, unsigned n_overload,
                           LLVMValueRef *args,
                           unsigned n); /* looks it up by name and bitcasts args to its parameters' types */
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
/* For quant (ops.def). quant_factor takes a, the largest |x|, as bits (i32), raises it to at least 1e-5,
 * returns 127/a and stores a/127 in *out_scale. tn_build_quant gives the codes (i32 lanes) of float lanes. */
LLVMValueRef tn_build_quant_factor(TnBuilder *b, LLVMValueRef bits, LLVMValueRef *out_scale);
LLVMValueRef tn_build_quant(TnBuilder *b, LLVMValueRef x, LLVMValueRef factor);
void tn_build_sincos_turn(TnBuilder *b, LLVMValueRef f, LLVMValueRef *out_sin,
                          LLVMValueRef *out_cos); /* tn_sincos_turn */

/* ---- Lanes */
LLVMValueRef tn_build_extract(TnBuilder *b, LLVMValueRef v, int lane);
LLVMValueRef tn_build_insert(TnBuilder *b, LLVMValueRef v, LLVMValueRef x, int lane);
LLVMValueRef tn_build_lanes(TnBuilder *b, LLVMValueRef v, int first,
                            int n); /* lanes first .. first + n - 1 */
LLVMValueRef tn_build_shuffle(TnBuilder *b, LLVMValueRef v, LLVMValueRef w, const int *lane, int n);
typedef enum TnFold { TN_FOLD_FADD, TN_FOLD_ADD, TN_FOLD_UMAX, TN_FOLD_FMAX } TnFold;
/* Folds the lanes to a scalar by a halving tree: lane j with j + n/2, then with j + n/4, down to 1. */
LLVMValueRef tn_build_tree(TnBuilder *b, LLVMValueRef v, TnFold fold);
/* The trees of n vectors of n lanes at once: lane i of the result is the tree of v[i]. */
LLVMValueRef tn_build_trees(TnBuilder *b, LLVMValueRef *v, int n, TnFold fold);

/* ---- narrow.c: sums in int16, for levels with tn_level_narrow. A sum belongs to the bytes of a register. */
LLVMTypeRef tn_build_narrow_type(TnBuilder *b);
/* sum, NULL for none yet, and the products of the bytes of c and a. c is unsigned with MADDUBS, else signed. */
LLVMValueRef tn_build_narrow_add(TnBuilder *b, LLVMValueRef sum, LLVMValueRef c, LLVMValueRef a);
/* The sums in int32: lane i has those of bytes 4i to 4i + 3. */
LLVMValueRef tn_build_narrow_widen(TnBuilder *b, LLVMValueRef sum);
/* acc and the sums in int32, in any lanes. Takes fewer operations, for sums whose lanes are added up later. */
LLVMValueRef tn_build_narrow_mix(TnBuilder *b, LLVMValueRef acc, LLVMValueRef sum);

/* ---- Control. A loop `for (i = start; i < end; i += step)` with up to 40 carried values. Its body may run
 * zero times:
 *
 *   TnLoop l = tn_build_loop(b, start, end, 1);
 *   LLVMValueRef acc = tn_build_carry(b, &l, zero);   (all carries first)
 *   ... l.i ...
 *   tn_build_next(&l, 0, new_acc);                    (every carry, any order)
 *   tn_build_loop_end(b, &l);                         (now l.out[0] is the final value)
 *
 * Loops are never unrolled, and the step of i is hidden from LLVM. If LLVM saw it, it would only choose other
 * registers for the addresses, and that took a sixth of the time of code generation. So an inner loop should
 * address its data by a base and i times 1, 2, 4 or 8, or by a pointer that it walks. */
#define TN_LOOP_CARRIES 40
typedef struct TnLoop {
    LLVMValueRef i, end;
    int64_t step;
    LLVMBasicBlockRef before, body, exit;
    int n;
    LLVMValueRef phi[TN_LOOP_CARRIES], init[TN_LOOP_CARRIES], next[TN_LOOP_CARRIES], out[TN_LOOP_CARRIES];
    int64_t walk[TN_LOOP_CARRIES]; /* bytes a turn; 0: this carry does not walk */
} TnLoop;
TnLoop tn_build_loop(TnBuilder *b, LLVMValueRef start, LLVMValueRef end, int64_t step);
LLVMValueRef tn_build_carry(TnBuilder *b, TnLoop *l, LLVMValueRef init);
void tn_build_next(TnLoop *l, int carry, LLVMValueRef value);
/* A pointer, carried in a register of its own, that moves by `bytes` (not 0) each turn. It needs no
 * tn_build_next. */
LLVMValueRef tn_build_walk(TnBuilder *b, TnLoop *l, LLVMValueRef ptr, int64_t bytes);
void tn_build_loop_end(TnBuilder *b, TnLoop *l);
/* if (cond) { ... } else { ... }. The else is optional. Neither half gives a value. */
typedef struct TnIf {
    LLVMBasicBlockRef exit;
} TnIf;
TnIf tn_build_if(TnBuilder *b, LLVMValueRef cond);
TnIf tn_build_if_between(TnBuilder *b, LLVMValueRef n, int64_t least, int64_t most); /* i64, both included */
void tn_build_else(TnBuilder *b, TnIf *i);
void tn_build_if_end(TnBuilder *b, TnIf *i);
/* Returns the pointer, i64 or vector register unchanged but hides from LLVM where it came from. A loop's pointer that goes
 * through this each turn keeps a register of its own. Otherwise LLVM addresses everything by one index, and
 * on x86 an operand with an index costs one micro-op more. Sums of which each goes through this stay sums, where LLVM would
 * make products of them. */
LLVMValueRef tn_build_opaque(TnBuilder *b, LLVMValueRef v);
LLVMBasicBlockRef tn_build_block(TnBuilder *b, const char *name); /* appended to the function, not entered */
/* For control flow that is neither a loop nor an if. tn_build_enter: build at the end of this block from now
 * on. tn_build_jump and tn_build_branch end a block; the latter returns its instruction. tn_build_phi: a
 * value that depends on the block that control came from; the caller adds its cases by LLVMAddIncoming. */
void tn_build_enter(TnBuilder *b, LLVMBasicBlockRef block);
void tn_build_jump(TnBuilder *b, LLVMBasicBlockRef to);
LLVMValueRef tn_build_branch(TnBuilder *b, LLVMValueRef cond, LLVMBasicBlockRef then,
                             LLVMBasicBlockRef otherwise);
LLVMValueRef tn_build_phi(TnBuilder *b, LLVMTypeRef type, const char *name);

/* ---- Functions of the module. tn_build_function adds one without a body: nounwind, no-builtins, with the
 * level's vector width. A function that is not exported is internal and never inlined, and its pointers are
 * noalias. */
LLVMValueRef tn_build_function(TnBuilder *b, const char *name, LLVMTypeRef *params, unsigned n,
                               bool exported);
/* A function that the module's kernels share, found by its name; *out_fn is set either way. Returns NULL if
 * it exists already. Else the builder moves into its body, and the return value is the block where it was
 * before: pass that to tn_build_shared_end, which ends the function, moves the builder back and returns the
 * function. */
LLVMBasicBlockRef tn_build_shared(TnBuilder *b, const char *name, LLVMTypeRef *params, unsigned n,
                                  LLVMValueRef *out_fn);
LLVMValueRef tn_build_shared_end(TnBuilder *b, LLVMBasicBlockRef back);
void tn_build_call_function(TnBuilder *b, LLVMValueRef fn, LLVMValueRef *args, unsigned n);
LLVMBasicBlockRef tn_build_here(TnBuilder *b); /* the block that is being built */

/* ---- The launch */
/* Address of an operand of the launch. Any kv_put into a cache names that cache. */
LLVMValueRef tn_build_operand(TnBuilder *b, TnRef ref);
/* Whether a value of the kernel is used outside it, so that its operand must be written. */
bool tn_build_leaves(TnBuilder *b, TnRef ref);
/* Address of row `row` (i64) of an operand: a row of a matrix, a q8 row, an element of ids or pos. */
LLVMValueRef tn_build_operand_row(TnBuilder *b, TnRef ref, LLVMValueRef row);
/* Columns of a matrix row. */
int64_t tn_build_cols(TnBuilder *b, TnRef ref);
bool tn_build_inside(TnBuilder *b, TnRef ref); /* whether it is a node of the kernel */
/* Rows of a value, a symbol's value or a constant; and the most rows it can have in the graph's batch
 * class. */
LLVMValueRef tn_build_rows(TnBuilder *b, TnRef ref);
int64_t tn_build_most_rows(TnBuilder *b, TnRef ref);
/* The next piece of the worker's scratch, 64-aligned: a constant number of bytes, or bytes for each page of a
 * slot (symbol P). All constant pieces must be requested before the first piece per page. */
LLVMValueRef tn_build_scratch(TnBuilder *b, uint64_t bytes);
LLVMValueRef tn_build_scratch_pages(TnBuilder *b, uint64_t bytes_per_page);
/* Rows that are listed (TnRowList). As i1, constant where the kernel lists none: whether this call is one of those of a unit
 * whose rows are listed; whether it goes on with a unit; whether rows have been listed in this call, so that what needs them
 * waits for the next; whether the list takes another row of the table. tn_build_most_listed: how many it takes. */
LLVMValueRef tn_build_lists(TnBuilder *b);
LLVMValueRef tn_build_goes_on(TnBuilder *b);
LLVMValueRef tn_build_waits(TnBuilder *b);
LLVMValueRef tn_build_list_has_room(TnBuilder *b, TnRef table);
int64_t tn_build_most_listed(TnBuilder *b, TnRef table);
/* Lists a row of the table, by its number; there must be room. And the address of a row: where it was brought, if it was entry
 * `index` (i64, or NULL: it was not listed) of the list of the call before, else in the table. */
void tn_build_list_row(TnBuilder *b, TnRef table, LLVMValueRef row);
LLVMValueRef tn_build_listed_row(TnBuilder *b, TnRef table, LLVMValueRef row, LLVMValueRef index);

/* ---- Where the builder is. tn_build_op attributes what is built from now on to this node of the kernel.
 * Pass its result to tn_build_op_back to end that. Without a listing both do nothing. */
LLVMMetadataRef tn_build_op(TnBuilder *b, TnRef ref);
void tn_build_op_back(TnBuilder *b, LLVMMetadataRef before);
/* Notes the kernel and op, per thread, for tn_llvm_fatal, which LLVM calls when it gives up. */
void tn_llvm_note(const char *kernel, const char *op);
void tn_llvm_fatal(const char *reason);

#endif
