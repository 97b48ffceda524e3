/* The IR: one typed dataflow graph from the model file to the planned program.
 *
 * A graph is a flat array of nodes in topological order; a value is the node that makes it and a reference
 * is its index. There are no blocks: a transformer step is straight-line code. Weights and constants are
 * nodes too (class SOURCE). The tables ops.def, traits.def, types.def and attrs.def list the ops, their traits, the types and
 * the attributes. Parser, printer, inference, verifier, evaluator, emitters and docs are made from these tables.
 *
 * A graph's stage decides which ops and facts it has:
 *   model    as the frontend built it: no kernels
 *   fused    every non-SOURCE, non-INPUT, non-SINK node belongs to exactly one kernel; kernels are runs of
 *            neighbouring nodes. A kernel is one ROOT (or none) with a prologue of ROW ops on its input and
 *            an epilogue of ELEM ops after it
 *   planned  kernels have target, axis, grain, units, barrier and perhaps distances of prefetches and panels; every value that
 *            leaves its kernel has `off`
 *
 * A step is a ragged batch: T rows, each with token, slot, position and want. Symbols stand for its sizes
 * and for the session's; they are never constants in code:
 *   T rows; R rows that need logits in some form (wants 1 to 3; those with want 2 come first); K the first K
 *   of the R rows, which ask for top-k (want 2); H rows that ask for the hidden row; S slots; P pages a slot; N pages in
 *   the cache; L rows that ask for all logits, if pass shortlist has split them off: then R counts only wants 1 and 2
 *
 * Attention (op attend), for row t, head h of kv head g = h / (heads / kv heads), position j = 0 .. pos[t]
 * (from max(0, pos[t]-window+1) with a window; other positions are masked):
 *   s_j = fma chain over d = 0.. from +0 of q[d]*k_j[d], then * scale
 *   blocks b of 64 positions from position 0, without those that are masked whole: m_b = max s_j;
 *   p_j = fma(s_j, 0, exp(s_j - m_b)) (NaN for an infinite s_j), +0 where masked; l_b = lanes of p_j (64 elements: two a
 *   lane); o_b[d] = fma chain over unmasked j rising from +0 of p_j*v_j[d], then + 0.0f
 *   M = max m_b; w_b = exp(m_b - M); over b rising from +0: L = L + l_b*w_b; O[d] = O[d] + o_b[d]*w_b
 *   y[d] = O[d] / L
 * Caches of int8 hold codes, and a scale for each position and head. k_j[d] above is then the code, and s_j is
 * multiplied by the key's scale before `scale`. v_j[d] is the code too, and in its chain (not in l_b) p_j is multiplied
 * by the value's scale.
 *
 * Shortlisting (ops limbs, estimate, rerank, rerank_top) finds the best rows of a dense table w with the help of a small
 * copy of it. Its answers are those of the table itself. For each row w_r the copy (pack to s8, s6 or s5) has codes
 * c with w^_r = scale*c, and Euclidean norms e_r >= |w_r - w^_r| and n_r >= |w_r|, |w^_r|. If a weight is not finite
 * or the row is too small to scale, the scale is 0 (and the codes of s8 and s6). For a row x, limbs gives codes of x^, X >= |x|,
 * Y >= |x - x^| + (ceil(K/32) + 16) 2^-24 1.01 |x|. With y_r = estimate, the element of matmul lies in
 *   y_r - rad_r .. y_r + rad_r,  rad_r = X*n_r < 2^126 ? fma(Y, n_r, fma(X, e_r, 2^-120)) : infinity
 * since |x.w - x^.w^| <= |x| e_r + |w^_r| |x - x^|. The lanes of the defined dot product may lose
 * 2^-24 (ceil(K/32) + 6) |x| |w_r| to rounding. The other ten units of 2^-24 cover the rounding of y and of these lines;
 * X, Y, e and n are all rounded up by 2^-20, which covers that of the products. Below X*n = 2^126 no lane overflows, so the
 * element is finite.
 * s6 has one more bit of each weight and s5 two, in planes of their own: s, s' = +-1, w~_r = w^_r + step*s, w'_r = w~_r + step'*s',
 * f_r >= |w_r - w~_r|, f'_r >= |w_r - w'_r|, and n_r >= |w~_r|, |w'_r| too. They give closer approximations and bounds,
 *   z_r = y_r + (128*H + L) * (step * d), z'_r = z_r + (128*H' + L') * (step' * d) in double
 *     H, L = sums over k of s_k*h_k, s_k*l_k, exact in i32; H', L' with s'
 *   f32(z_r) - fine_r .. f32(z_r) + fine_r,  fine_r as rad_r, with f_r for e_r; and the same with z'_r and f'_r
 * since |x.w - x^.w~| <= |x| f_r + |w~_r| |x - x^|. f32(z_r) and y_r in it are each rounded by 2^-24 |x^| n_r at most, and
 * |x^| <= 2|x|. With the rounding of the sum with fine_r that is six of the ten units.
 *   rerank: first = the lowest r with the largest y_r - rad_r (0 if there is none); its element is the best so
 *     far. Then, for r rising, unless y_r + rad_r < best (or that of a plane is): compute the element of r; it
 *     becomes the best if it is larger, or equal and of lower index. Gives the index of the best; -1 as soon as an element
 *     is NaN or infinite.
 *   rerank_top: the threshold is the least of the elements of the k rows with the largest y_r - rad_r (-infinity
 *     if one of them is NaN, or if there are fewer rows). Gives topk of the elements of all rows except those with
 *     y_r + rad_r < threshold (or that of a plane).
 *
 * Ownership: the graph's arena owns everything; tn_graph_destroy frees it. Thread-compatible. */
#ifndef TN_IR_H
#define TN_IR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/abi/kvs.h"
#include "runtime/base/arena.h"
#include "runtime/base/buf.h"
#include "runtime/base/map.h"
#include "runtime/base/status.h"

typedef enum TnOp {
#define OP(name, lo, hi, class, stages, attrs, traits, doc) TN_OP_##name,
#include "ir/ops.def"
#undef OP
    TN_OP_COUNT
} TnOp;

typedef enum TnOpClass { TN_SOURCE, TN_INPUT, TN_ROW, TN_ELEM, TN_MAP, TN_ROOT, TN_SINK } TnOpClass;

typedef enum TnTrait {
#define TRAIT(name, doc) TN_TRAIT_##name,
#include "ir/traits.def"
#undef TRAIT
    TN_TRAIT_COUNT
} TnTrait;

typedef struct TnTraitInfo {
    const char *name, *doc;
} TnTraitInfo;
extern const TnTraitInfo tn_traits[TN_TRAIT_COUNT];

typedef struct TnOpInfo {
    const char *name;
    uint8_t min_args, max_args;
    TnOpClass class;
    const char *stages, *attrs;
    uint32_t traits; /* bits 1 << TnTrait */
    const char *doc;
} TnOpInfo;
extern const TnOpInfo tn_ops[TN_OP_COUNT];

static inline bool tn_op_is(TnOp op, TnTrait trait) {
    return tn_ops[op].traits >> trait & 1;
}
/* The operand, counted from 0, that holds the position of each row. The next two are its slot and the block table. 0 if the
 * op has none. */
static inline uint32_t tn_op_places(TnOp op) {
    return tn_op_is(op, TN_TRAIT_STATE) ? 2 : tn_op_is(op, TN_TRAIT_ATTENDS) ? 3 : 0;
}
/* Whether the op's class is ELEM or MAP; or one of these or ROW; or one of these or ROOT, which kernels compute. */
static inline bool tn_op_is_elem(TnOp op) {
    return tn_ops[op].class == TN_ELEM || tn_ops[op].class == TN_MAP;
}
static inline bool tn_op_is_row(TnOp op) {
    return tn_op_is_elem(op) || tn_ops[op].class == TN_ROW;
}
static inline bool tn_op_computes(TnOp op) {
    return tn_op_is_row(op) || tn_ops[op].class == TN_ROOT;
}
/* Whether the op reads only some rows of its last operand, a table. */
static inline bool tn_op_reads_rows(TnOp op) {
    return tn_op_is(op, TN_TRAIT_TABLE_ROW) || tn_op_is(op, TN_TRAIT_TABLE_ROWS);
}
/* Whether the op makes a weight from other weights, with a type that follows from theirs. */
static inline bool tn_op_is_made(TnOp op) {
    return op == TN_OP_concat || op == TN_OP_keep_rows || op == TN_OP_keep_cols || op == TN_OP_colmajor;
}

typedef enum TnEnc {
#define ENC(name, kind, elems, bytes, doc) TN_ENC_##name,
#include "ir/types.def"
#undef ENC
    TN_ENC_COUNT
} TnEnc;

typedef enum TnEncKind {
    TN_DENSE,
    TN_STORED,
    TN_Q8,
    TN_Q8_GROUPS,
    TN_LIMBS,
    TN_SHADOW,
    TN_TERNARY,
    TN_TERNARY_GROUPS,
    TN_CACHE
} TnEncKind;

typedef struct TnEncInfo {
    const char *name;
    TnEncKind kind;
    uint32_t block_elems, block_bytes;
    const char *doc;
} TnEncInfo;
extern const TnEncInfo tn_encs[TN_ENC_COUNT];

typedef enum TnAttrKey {
#define ATTR(name, kind, doc) TN_ATTR_##name,
#include "ir/attrs.def"
#undef ATTR
    TN_ATTR_COUNT
} TnAttrKey;

typedef enum TnAttrKind { TN_AINT, TN_AHEX, TN_AFLOAT, TN_ASTR, TN_AIDENT, TN_AFLOATS } TnAttrKind;
typedef struct TnAttrInfo {
    const char *name;
    TnAttrKind kind;
    const char *doc;
} TnAttrInfo;
extern const TnAttrInfo tn_attrs[TN_ATTR_COUNT];

/* A dim is a constant >= 0 or a symbol. */
typedef enum TnSym { TN_T, TN_R, TN_K, TN_H, TN_S, TN_P, TN_N, TN_L, TN_SYM_COUNT } TnSym;
typedef int64_t TnDim;
static inline TnDim tn_sym_dim(TnSym s) {
    return -1 - (int64_t)s;
}
static inline bool tn_dim_is_sym(TnDim d) {
    return d < 0;
}
static inline TnSym tn_dim_sym(TnDim d) {
    return (TnSym)(-1 - d);
}
extern const char *const tn_sym_names[TN_SYM_COUNT];

/* One scale for the next `rows` rows after the range before. A tensor-wide scale is one range over all rows. */
typedef struct TnScale {
    int64_t rows;
    float scale;
} TnScale;

/* Limits of a graph. A text that exceeds one is refused; anywhere else it is a bug. */
#define TN_NAME_MAX   255        /* bytes of a name */
#define TN_STR_MAX    4096       /* bytes of a string attribute */
#define TN_VALUES_MAX 1024       /* values of a `const` */
#define TN_ARGS_MAX   8          /* operands */
#define TN_NODES_MAX  (1u << 24) /* nodes of a graph as text; passes add a few to each */
#define TN_SCALES_MAX (1u << 24) /* scale ranges of a type */

/* Elements of a value, not counting its symbol; the largest `off` of a planned value; values that a kernel reads and
 * writes. */
#define TN_ELEMENTS_MAX ((int64_t)1 << 40)
#define TN_OFF_MAX      ((int64_t)1 << 48)
#define TN_OPERANDS_MAX 64

typedef struct TnType {
    TnEnc enc;
    uint8_t rank;      /* 1 to 3 */
    TnDim dim[3];      /* outermost first; matrices are [rows, columns] */
    uint32_t n_scales; /* ternary encodings without a group: >= 1; else 0 */
    const TnScale *scales;
    /* Ternary encodings: 0: the scales are those above; TN_GROUP_ROW: every row has one; 64, 128 or 256: that many columns
     * of a row share one. In the last two cases the scales are stored with the weights. q8g: the number of columns that
     * share a scale. Other encodings: 0. */
    uint32_t group;
    bool two; /* ternary: weights may also be 2, not only -1, 0 and 1 */
} TnType;
#define TN_GROUP_ROW UINT32_MAX

bool tn_enc_is_ternary(TnEnc e); /* i2s tq1 tq2 t8 p64 b64 b80 r64 */
bool tn_enc_is_float(TnEnc e);   /* f32 f16 bf16 */
bool tn_enc_is_blocks(TnEnc e);  /* floats in blocks, as files store them: q8_0 q6_k .. */
bool tn_enc_is_kcache(TnEnc e);
bool tn_enc_is_vcache(TnEnc e);
TnType tn_type(TnEnc enc, int rank, ...);             /* dims as TnDim; no scales */
bool tn_type_equal(const TnType *a, const TnType *b); /* scales too, bit for bit */
float tn_type_scale(const TnType *t,
                    int64_t row); /* the row's scale in the type; only for types without a group */
/* Whether groups of columns within a row have scales: such matrices are for tmatmul_groups. */
static inline bool tn_type_in_groups(const TnType *t) {
    return t->group && t->group != TN_GROUP_ROW;
}
/* The number of scales that are stored with the weights or codes of a row: 0, 1, or one for each group. */
int64_t tn_type_row_scales(const TnType *t);

typedef uint32_t TnRef;
#define TN_NONE UINT32_MAX

typedef struct TnAttr {
    TnAttrKey key;
    uint32_t n; /* FLOATS */
    union {
        int64_t i;
        uint64_t u;
        float f;
        const char *s;
        const float *fs;
    };
} TnAttr;

typedef struct TnNode {
    TnOp op;
    uint32_t n_args, n_attrs;
    uint32_t line;   /* of the text it was parsed from, 0 if built */
    uint32_t kernel; /* index, or TN_NONE */
    TnRef *args;
    TnAttr *attrs;    /* in the order of attrs.def */
    const char *name; /* without sigil; unique in the graph; [A-Za-z_][A-Za-z0-9_.]* or digits */
    TnType type;
} TnNode;

/* A kernel over columns reads its weights as one stream of bytes (DENSE), leaves out rows of them (LISTED, a product
 * whose gate is shut for some of its columns, if rows of its weights lie by themselves) or leaves out columns (COLUMNS, a
 * product with a copy of its weights by columns). Of each it may fetch what it will read into the first cache, into the second, or past the caches, so many
 * bytes, rows or columns ahead; 0: not at all. The best of these depends on the machine. */
typedef enum TnStream { TN_STREAM_DENSE, TN_STREAM_LISTED, TN_STREAM_COLUMNS, TN_STREAM_COUNT } TnStream;
typedef enum TnInto { TN_INTO_L1, TN_INTO_L2, TN_INTO_PAST, TN_INTO_COUNT } TnInto;
typedef struct TnPrefetch {
    int64_t ahead[TN_STREAM_COUNT][TN_INTO_COUNT];
} TnPrefetch;
/* The range of distances: multiples of `step` up to `most`. */
typedef struct TnPrefetchRange {
    int64_t step, most;
} TnPrefetchRange;
extern const TnPrefetchRange tn_prefetch_ranges[TN_STREAM_COUNT];
bool tn_prefetch_ok(TnStream stream, int64_t distance);
TnAttrKey tn_prefetch_key(TnStream stream, TnInto into); /* the distance's attribute */
bool tn_prefetch_find(TnAttrKey key, TnStream *stream, TnInto *into);
bool tn_prefetch_equal(const TnPrefetch *a, const TnPrefetch *b);
int64_t tn_prefetch_most(const TnPrefetch *p, TnStream stream); /* the largest distance of a stream */
/* For messages: "expected a multiple of 64 from 0 to 1048576", "expected 0 to 64". */
typedef struct TnPrefetchText {
    char s[64];
} TnPrefetchText;
TnPrefetchText tn_prefetch_expected(TnStream stream);
/* ", prefetch_l1=1024, listed_l2=12": the distances that are not 0. */
void tn_prefetch_print(const TnPrefetch *p, TnBuf *out);

typedef enum TnAxis { TN_AXIS_UNSET, TN_AXIS_ROWS, TN_AXIS_COLS } TnAxis;

/* A run of nodes [first, first + n). The passes tile and plan set the facts from `target` on. */
typedef struct TnKernel {
    const char *name;
    TnRef root; /* the ROOT node, or TN_NONE */
    TnRef first;
    uint32_t n, line;
    const char *target; /* NULL until planned */
    TnAxis axis;
    int64_t grain, units;
    TnPrefetch prefetch;
    bool panels; /* the attribute */
    bool barrier;
} TnKernel;

typedef enum TnStage { TN_STAGE_MODEL, TN_STAGE_FUSED, TN_STAGE_PLANNED } TnStage;
typedef enum TnKv {
    TN_KV_UNSET,
#define TN_KV_NUMBER(id, number, ...) TN_KV_##id = (number),
    TN_KVS(TN_KV_NUMBER)
#undef TN_KV_NUMBER
        TN_KV_COUNT
} TnKv;
extern const char *const tn_kv_names[TN_KV_COUNT]; /* "any" for TN_KV_UNSET */
TnEnc tn_kv_enc(TnKv kv, bool key); /* encoding of the key or the value cache; kc, vc if unset */

typedef struct TnGraph {
    TnArena arena;
    const char *name; /* without @ */
    TnStage stage;
    const char *level;        /* feature level, NULL until the variant is chosen */
    TnKv kv;                  /* likewise */
    int64_t rows_lo, rows_hi; /* batch class; 0, 0 until chosen */
    TnNode *nodes;
    uint32_t n, cap;
    TnKernel *kernels;
    uint32_t n_kernels, cap_kernels;
    TnMap names;          /* node name -> ref */
    uint32_t next_number; /* greater than every name that is a number */
    const char *file;     /* for messages; NULL if built */
} TnGraph;

/* ---- graph.c: building and changing */
TnGraph *tn_graph_create(const char *name);
void tn_graph_destroy(TnGraph *g); /* NULL is fine */
TnGraph *tn_graph_clone(const TnGraph *g);

/* Appends a node. args and attrs are copied; attrs may be in any order. If name is NULL, the node gets the next free
 * number. The type is inferred. If it cannot be (SOURCE, INPUT, pack), pass it in `type`, else pass NULL. A badly typed
 * node is a bug of the caller (outside text goes through the parser). */
TnRef tn_node_add(TnGraph *g, TnOp op, const char *name, const TnType *type, const TnRef *args,
                  uint32_t n_args, const TnAttr *attrs, uint32_t n_attrs);
/* The same without inference: copies the type as it is. */
TnRef tn_node_push(TnGraph *g, TnOp op, const char *name, size_t name_len, const TnType *type,
                   const TnRef *args, uint32_t n_args, const TnAttr *attrs, uint32_t n_attrs);
/* Makes the nodes [first, first + n), which must be in no kernel yet, a kernel with that root (or TN_NONE) and
 * returns its index. Kernels are numbered in the order of their nodes: add them in that order, or reorder afterwards. */
uint32_t tn_kernel_add(TnGraph *g, const char *name, TnRef root, TnRef first, uint32_t n);
const TnAttr *tn_node_attr(const TnNode *n, TnAttrKey key); /* NULL if missing */
int64_t tn_attr_int(const TnNode *n, TnAttrKey key);        /* the attribute must be there */
float tn_attr_float(const TnNode *n, TnAttrKey key);
const char *tn_attr_str(const TnNode *n, TnAttrKey key);
/* Finds the input or output (op) whose attribute `name` is this, the name that the runtime uses; TN_NONE if there is none. */
TnRef tn_graph_find(const TnGraph *g, TnOp op, const char *name);
void tn_node_set_attr(TnGraph *g, TnRef ref, TnAttr attr);
bool tn_attr_equal(const TnAttr *a, const TnAttr *b); /* bit for bit */
void tn_attr_put_key(const TnAttr *a, TnBuf *key);    /* bytes that are equal when the attributes are */
bool tn_node_is_source(const TnGraph *g, TnRef r);
/* Sets counts[ref] to the number of readers of each value. */
void tn_count_uses(const TnGraph *g, uint32_t *counts);
/* Reorders the nodes: order[i] is the old ref of the i-th node. Drops the refs that are not in order, which must be
 * unread. Updates operands and the ranges and roots of kernels; removes kernels that become empty. */
void tn_graph_reorder(TnGraph *g, const TnRef *order, uint32_t n);
/* Makes every reader of `from` read `to` instead. */
void tn_graph_replace(TnGraph *g, TnRef from, TnRef to);
/* The cache input at the bottom of a chain of kv_put; any other value is its own root. State is updated in place. */
TnRef tn_alias_root(const TnGraph *g, TnRef r);
/* The values that a kernel reads and writes, in the fixed order of launches. First come the values from outside, in
 * order of first use (caches by alias root, once), then its own values that another kernel or a SINK reads, in
 * order. (The result of a kv_put is its cache, so it is among the reads.) Returns the count; *n_in is the number
 * of reads. out has room for TN_OPERANDS_MAX; more is a bug, since tn_verify refuses it. */
uint32_t tn_kernel_operands(const TnGraph *g, uint32_t kernel, TnRef *out, uint32_t *n_in);
/* Whether everything that the text shows is equal, node for node, including names (lines and files are not compared). */
bool tn_graph_equal(const TnGraph *a, const TnGraph *b);

/* ---- infer.c: infers the type of a node from its operands. On failure err is one line (TERN_ERR_INPUT). */
TernStatus tn_infer(const TnGraph *g, TnOp op, const TnType *given, const TnRef *args, uint32_t n_args,
                    const TnAttr *attrs, uint32_t n_attrs, TnArena *arena, TnType *out, TernError *err);

/* ---- verify.c: finds all faults of a graph at its stage. */
typedef struct TnDiag {
    TnBuf
        text; /* lines "file:line: message" or "file:line:col: message", at most 20, each naming its value */
    uint32_t n; /* faults found, including those not shown */
    /* Set both to the text that is parsed, or from which the verified graph was parsed. Then every message is followed
     * by its source line and a caret (runtime/base/excerpt.h), and faults of the verifier have a column too. */
    const char *source;
    size_t source_bytes;
} TnDiag;
void tn_diag_add(TnDiag *d, const char *file, uint32_t line, uint32_t col, const char *fmt, ...)
    TN_PRINTF(5, 6);
void tn_diag_free(TnDiag *d);
/* Returns TERN_OK, or TERN_ERR_INPUT with the faults in *diag. Checks: order, arity, operand classes, types
 * equal to the inferred, attributes present and in range, names, legal stage, kernels (contiguous, one
 * root, prologue and epilogue classes), linear use of caches, kv_put before attend, planned facts (offsets
 * aligned to 64, no two live values overlap within one leading symbol). */
TernStatus tn_verify(const TnGraph *g, TnDiag *diag);

/* ---- print.c, parse.c: the text form `.tir`; print(parse(s)) == s for canonical s, parse(print(g)) equals
 * g.
 *
 *   tir 1
 *   graph @step stage=planned level=avx2 kv=f16 rows=2..8
 *     $wq: i2s[2560,2560] scale=0x1p-4 = gguf {name="blk.0.attn_q.weight", hash=0x1f}
 *     %ids: i32[T] = input {name="ids"}
 *     kernel @qkv0 {root=tmatmul, target=llvm, axis=cols, grain=128, units=30, barrier=1}
 *       %a: i32[T,3840] = tmatmul %q, $w
 *     end
 *     %o: f32[R,128256] = output %lg {name="logits"}
 *   end
 *
 * Two spaces of indent (four inside kernels), one blank after `:` and around `=`, attributes in the order
 * of attrs.def, floats as shortest C99 hex (%a of the float, or nan, inf, -inf), ranges as
 * scale=[2560:0x1p-4,640:0x1p-5], comments from `;` to the end of the line (not kept). A file holds one or
 * more graphs after one `tir 1` line. Sigil $ for SOURCE, % for the rest. An output's value is its operand.
 * */
void tn_print(const TnGraph *g, TnBuf *out);                    /* `graph` .. `end`, without `tir 1` */
void tn_print_file(TnGraph *const *gs, uint32_t n, TnBuf *out); /* with it */
/* Parses n bytes of UTF-8 text (no NUL needed). Lines end with \n only; spaces, tabs and the order of attributes are
 * free. Floats may also be decimal (rounded to nearest); hex floats must be an f32 exactly.
 * On success *out is an array of *out_n graphs (free() the array, destroy the graphs). Each graph passes
 * inference; run tn_verify for the rest. On failure returns TERN_ERR_INPUT and no graphs, with
 * "file:line:col: message" lines in *diag (columns are bytes from 1; one fault a line; reading stops at 20 faults).
 * Limits: 2^30 bytes, 256 graphs, 2^24 nodes, 1,024 const values, names of 255 bytes, strings of 4,096, 8
 * operands. */
TernStatus tn_parse(const char *text, size_t n, const char *file, TnGraph ***out, uint32_t *out_n,
                    TnDiag *diag);

#endif
