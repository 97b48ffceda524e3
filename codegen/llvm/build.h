/* What every emitter of the llvm target builds with: one kernel's context, 32-lane float blocks, loops,
 * frames.
 *
 * A kernel becomes `void f(const TnLaunch *, const TnTile *)`. The skeletons (root.h's rows of the op table,
 * or rows.c for kernels that go over rows) make its loops and, inside them, frames: "row t, columns col ..
 * col + width of it". Within a frame the ops of a prologue or an epilogue are emitted from their own rows of
 * the table.
 *
 * Floats are <32 x float> everywhere; LLVM splits them into what the level has, so the same IR gives the
 * defined 32-lane order on all of them. No flag that lets LLVM reorder or contract is ever set. Generated
 * code has no globals and no calls but to functions of its own module.
 *
 * Everything here must be given constants of the graph only through what tn_kernel_signature shows. */
#ifndef TN_LLVM_BUILD_H
#define TN_LLVM_BUILD_H

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
/* tmatmul.c: how sums of ternary products are held, for steps of up to so many rows. */
TnDot tn_llvm_dot(const TnLevel *level, int64_t rows);
/* screen.c: the same of each limb of a screening product. */
TnDot tn_llvm_screen_dot(const TnLevel *level, TnEnc enc);

/* ---- The context of a module and of the kernel being emitted */
typedef struct TnLb {
    const TnLevel *level;
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

/* frame.c: what is built from here on comes from that node of the kernel. Returns what to give back to
 * tn_lb_op_back. Of code that is not for a listing both do nothing. */
LLVMMetadataRef tn_lb_op(TnLb *b, TnRef ref);
void tn_lb_op_back(TnLb *b, LLVMMetadataRef before);

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
/* Rows of a value: a symbol's value or a constant; and the most there can be in the graph's row class. */
LLVMValueRef tn_lb_rows(TnLb *b, TnRef ref);
int64_t tn_lb_most_rows(TnLb *b, TnRef ref);
/* Scratch of the worker, 64-aligned: constant bytes, and bytes for each page of a slot (symbol P). All
 * constant pieces must be asked before the first piece per page. */
LLVMValueRef tn_lb_scratch(TnLb *b, uint64_t bytes);
LLVMValueRef tn_lb_scratch_pages(TnLb *b, uint64_t bytes_per_page);

/* ---- Frames: row `row` of the kernel's values; a strip of columns of them, or whole rows.
 *
 * A strip is columns [col, col + width) of the values behind the slices of an epilogue. Values before the
 * slices have a frame for each slice (`bases`), whose columns start elsewhere; a slice finds its own by
 * root_base. */
typedef struct TnFrame {
    LLVMValueRef row;   /* i64 */
    LLVMValueRef col;   /* i64; 0 for whole rows */
    LLVMValueRef width; /* i64; NULL for whole rows */
    int64_t grain;      /* most columns of a strip; 0 for whole rows */
    bool masked;        /* the last block of a strip may have neighbours that must not be touched */
    int64_t root_base; /* columns of the root that the frame can cover: [root_base, root_end), 0, 0 for all */
    int64_t root_end;
    const struct TnFrame *bases;
    uint32_t n_bases; /* 0: there are no slices, or the frame is whole rows */
    LLVMValueRef
        *mem; /* [k->n]: where the node's columns lie (from `col` on), or NULL: not in memory (yet) */
} TnFrame;
/* Memory of a value at the frame's first column: mem of the kernel's own nodes (it must be there), operand
 * memory of others. */
LLVMValueRef tn_lb_mem(TnLb *b, const TnFrame *f, TnRef ref);
/* The same, but from its column 0 on, for operands that do not go column by column (q8 rows, angles,
 * positions). */
LLVMValueRef tn_lb_row_mem(TnLb *b, const TnFrame *f, TnRef ref);
/* 32 columns, from column `off` (i64) of the frame on, of an f32 value (<32 x float>) or an i32 one (<32 x
 * i32>): loaded if it is in memory, else computed by its op's `block`. mask (NULL: none) is for memory
 * outside the kernel. */
LLVMValueRef tn_lb_value(TnLb *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask);
/* The mask of a strip's block at `off`, or NULL if all of it may be touched. */
LLVMValueRef tn_lb_frame_mask(TnLb *b, const TnFrame *f, LLVMValueRef off);
/* Where a node's whole row goes: f->mem if that is set already, else its operand row if it leaves, else new
 * scratch; recorded in f->mem. */
LLVMValueRef tn_lb_result_row(TnLb *b, TnFrame *f, TnRef ref);
/* Scratch for a strip of 4-byte elements, room for blocks behind its end included; recorded in f->mem. */
LLVMValueRef tn_lb_result_strip(TnLb *b, TnFrame *f, TnRef ref);
/* The frame's strip of `ref` from f->mem to its operand. */
void tn_lb_copy_out(TnLb *b, const TnFrame *f, TnRef ref);
/* Columns of a matrix row. */
int64_t tn_lb_cols(TnLb *b, TnRef ref);
bool tn_lb_inside(TnLb *b, TnRef ref); /* a node of the kernel */

/* select.c: the k largest values with their ids, sorted, equal ones in the order they came in; k <= 256. Free
 * places hold NaN and -1. */
typedef struct TnTopList {
    LLVMValueRef values, ids; /* scratch; one more element stands in front of each */
    int64_t k, room;          /* room: k rounded up to 32 */
} TnTopList;
TnTopList tn_lb_top_list(TnLb *b, int64_t k); /* scratch alone: tn_lb_top_clear it */
void tn_lb_top_clear(TnLb *b, const TnTopList *t);
LLVMValueRef tn_lb_top_last(TnLb *b, const TnTopList *t); /* f32: the k-th value, NaN if there is none yet */
/* Whether a value (f32) or 32 of them would be taken: not NaN, and above the last or there is none. */
LLVMValueRef tn_lb_top_takes(TnLb *b, LLVMValueRef value, LLVMValueRef last);
void tn_lb_top_insert(TnLb *b, const TnTopList *t, LLVMValueRef value,
                      LLVMValueRef id); /* one that is taken */
/* 32 values of an f32 row of n from column `at` on; what lies behind its end is replaced. */
LLVMValueRef tn_lb_load_block(TnLb *b, LLVMValueRef x, LLVMValueRef at, int64_t n, float instead);

/* ---- The op table: a row `const TnLlvmOp tn_llvm_op_<op>` for every op of ops.def, expanded in table.c; a
 * missing one is a link error, {0} is "no". A MAP needs a `can` and a `block` alone (elem.c). Which file has which: tmatmul.c, matmul.c, attend.c;
 * attend_blocks and attend_join in attend.c too; embed in rows.c; rmsnorm quant rope_angle in rowops.c; argmax topk
 * take gather in select.c; limbs screen in screen.c; rescore rescore_top pick in rescore.c; rope kv_put in heads.c;
 * dequant slice and the MAP ops in elem.c; the others in table.c.
 *
 * gather: `row` copies to tn_lb_result_row if f->mem is set or the value leaves; else it only points f->mem
 * at the source row. */
typedef struct TnLlvmOp {
    /* Whether this node of a kernel can be done on the level; the kernel's other ops answer for themselves.
     * NULL: no. */
    bool (*can)(const TnGraph *g, TnRef ref, const TnLevel *level);
    /* ROOT ops with a skeleton of their own: the whole function body behind the entry (tmatmul, matmul,
     * attend). */
    void (*kernel)(TnLb *b);
    /* The op on a whole row (ROW) or on a strip (rope, kv_put): reads tn_lb_mem or tn_lb_value of its
     * operands, writes its result and sets f->mem[ref - k->first]. Of whole rows, writing into the padding is
     * fine. */
    void (*row)(TnLb *b, TnFrame *f, TnRef ref);
    /* Column by column: 32 columns from `off` on. Values with this and without `row` are computed where they
     * are used. */
    LLVMValueRef (*block)(TnLb *b, const TnFrame *f, TnRef ref, LLVMValueRef off, LLVMValueRef mask);
} TnLlvmOp;
#define OP(name, lo, hi, class, stages, attrs, traits, doc) extern const TnLlvmOp tn_llvm_op_##name;
#include "ir/ops.def"
#undef OP
extern const TnLlvmOp *const tn_llvm_ops[TN_OP_COUNT];
bool tn_llvm_yes(const TnGraph *g, TnRef ref, const TnLevel *level); /* a `can` that always can */

/* frame.c: emits the nodes [first, end) of the kernel into the frame, in order; nodes for which skip[ref -
 * k->first] is set are left out (NULL: none). Column-by-column values go to memory where they leave the
 * kernel, where an op with `row` wants them, or where they are used twice; the rest is computed where it is
 * used. f->mem of values made before must be set. */
void tn_lb_frame(TnLb *b, TnFrame *f, TnRef first, TnRef end, const bool *skip);
/* rows.c: the skeleton of kernels with axis=rows whose root is none or has only a `block` (embed): a unit is
 * a row, all nodes are emitted for it in order. */
void tn_lb_rows_kernel(TnLb *b);

/* cols.c: the skeleton of tmatmul and matmul: prologue, then unit by unit strips of root columns and their
 * epilogue. An emitter fills the table; its functions emit calls that fill strips of 4-byte root values.
 *
 *   strip    n (i64) columns of the weight rows from `w` on, for one row x: class of one row
 *   strips   the same for `n_x` (i64, 1..rows) rows from x on, one after the other as in memory; row r's
 *            results lie at acc + r * stride (i64, bytes), and all `rows` rows of acc may be written
 *   prepare  may be NULL. Turns the n weight rows of a strip into what `strips` then gets instead of w, once
 *            for all rows of the step, in `panels` bytes of scratch
 *   listed   may be NULL. As `strip`, for n of the columns behind w: those that list (i32, rising) names. TN_AHEAD
 *            more entries follow, which may be read ahead. Other places of acc stay as they are
 *   arrange  may be NULL. Turns the n_x (1..rows) rows of a step, which are one block, into what `strips` then gets as x, once a worker
 *            and launch, in `arranged` bytes of scratch
 *
 *   note     may be NULL. Notes which values of the row x are not 0, once a worker and launch, in `noted` bytes of scratch
 *   is_sparse, columns   with note. Whether so few (i1) that `columns` is the faster way: it fills a strip of TN_COLUMNS
 *            columns from the lines of their block in the third operand, the weights by columns
 *
 * acc has room for 32 columns behind n rounded up to 32; buf is scratch of `buf` bytes, for each call. */
typedef struct TnStrips {
    int rows;
    int64_t buf, panels, arranged, noted;
    void (*strip)(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef x, LLVMValueRef acc,
                  LLVMValueRef buf);
    void (*strips)(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef x, LLVMValueRef n_x,
                   LLVMValueRef acc, LLVMValueRef stride, LLVMValueRef buf);
    void (*prepare)(TnLb *b, LLVMValueRef w, LLVMValueRef n, LLVMValueRef panels);
    void (*listed)(TnLb *b, LLVMValueRef w, LLVMValueRef list, LLVMValueRef n, LLVMValueRef x,
                   LLVMValueRef acc, LLVMValueRef buf);
    void (*arrange)(TnLb *b, LLVMValueRef x, LLVMValueRef n_x, LLVMValueRef to);
    void (*note)(TnLb *b, LLVMValueRef x, LLVMValueRef noted);
    LLVMValueRef (*is_sparse)(TnLb *b, LLVMValueRef noted);
    void (*columns)(TnLb *b, LLVMValueRef lines, LLVMValueRef x, LLVMValueRef noted, LLVMValueRef acc);
} TnStrips;
enum { TN_AHEAD = 4 };
void tn_lb_cols_kernel(TnLb *b, const TnStrips *s);

/* groups.c: integer products of a few rows of activations with `count` (i64, above 0) rows of weights from w on, block by
 * block. An emitter's functions are called once or twice and get `user`:
 *
 *   step     a step along K of a block: w[columns] its weights, x the activations of the first row at that step; adds to
 *            sum[n_sums], registers of i32 lanes, or of i16 with `narrow`
 *   finish   sum[n_sums] of i32, of the block whose first column is col (i64): columns behind `count` are copies of the last;
 *            in which pass (i64)
 *
 * buf: scratch of tn_lb_groups_buf bytes. */
typedef struct TnGroups {
    int n_x, columns, n_sums; /* rows of activations in a pass; columns of a block; sums */
    int64_t passes;           /* of a group; 0 is as 1 */
    LLVMValueRef pass_bytes;  /* i64, with passes: from one's activations to the next one's */
    int64_t steps, narrow;    /* of a row; i16 sums must be widened after so many steps, 0: they are i32 */
    int64_t row_bytes, step_bytes; /* of weights; a step is a multiple of 64 */
    int64_t x_bytes;               /* of a row of activations that a step reads */
    bool by_distance;              /* what is fetched is so far ahead as the kernel says (tn_lb_ahead) */
    void (*step)(TnLb *b, const void *user, LLVMValueRef *w, LLVMValueRef x, LLVMValueRef *sum);
    void (*finish)(TnLb *b, const void *user, LLVMValueRef *sum, LLVMValueRef col, LLVMValueRef pass);
    const void *user;
} TnGroups;
int64_t tn_lb_groups_buf(TnLb *b, const TnGroups *g);
void tn_lb_groups(TnLb *b, const TnGroups *g, LLVMValueRef w, LLVMValueRef count, LLVMValueRef x,
                  LLVMValueRef buf);
/* The sums over lanes: lane i is that of sum[i]; whole registers, lanes behind n_sums are 0. */
LLVMValueRef tn_lb_groups_trees(TnLb *b, const TnGroups *g, LLVMValueRef *sum);

/* gated.c: whether a part's values are all mulz(relu2(gate), up), so that columns of `up` are not needed where gate
 * is not positive. Gives which of the part's slices are the two. */
bool tn_lb_gated(TnLb *b, const TnPart *p, uint32_t part, uint32_t *out_gate, uint32_t *out_up);
/* Makes the list (TnStrips) of the columns wanted, of `width` (i64), in list[grain + TN_AHEAD]; returns their
 * number (i64). acc: the sums of the gate's strip; x: the q8 row. All of them are wanted where a column left out
 * could be told from a zero. */
LLVMValueRef tn_lb_wanted(TnLb *b, const TnPart *p, uint32_t gate, uint32_t up, LLVMValueRef acc,
                          LLVMValueRef width, LLVMValueRef x, LLVMValueRef list);

/* The kernel being built, for LLVM's fatal-error handler. */
void tn_llvm_note(const char *kernel, const char *op);

#endif
