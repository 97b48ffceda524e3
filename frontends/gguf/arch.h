/* Architectures: the values that general.architecture of a model file may have.
 *
 * A file of arch/ describes one completely: the keys that only it has, its tensors and their shapes, its
 * graph, and what it refuses. It includes only this header. To add an architecture, add such a file and a row
 * in arch/archs.def; messages, the import report and docs/models.md are made from its TnArch.
 *
 * arch.c does the steps that are the same for all: it reads the sizes (arch_keys.c), checks every other key
 * against the architecture's rows and then against those of known.c, finds the vocabulary, makes the inputs,
 * calls `build`, and refuses a tensor that was not used: an ignored bias or expert would give a silently
 * wrong answer.
 *
 * `build` makes the graph from blocks (blocks.c). A block appends nodes and returns the value they make:
 *
 *     TnRef h = tn_block_norm(b, layer, "attn_norm", x);
 *     TnRef q = tn_block_linear(b, layer, "attn_q", h);
 *
 * The first failure, such as a missing tensor or a wrong shape, is kept in b->status and its line in b->err.
 * From then on blocks append nothing and return TN_NONE, so `build` need not check anything. The graph's text
 * depends on the order in which nodes are appended. So never pass two blocks as arguments of the same call: C
 * does not define the order in which they are evaluated. */
#ifndef TN_ARCH_H
#define TN_ARCH_H

#include <string.h>
#include "frontends/gguf/gguf.h"

/* ---- The description of an architecture */

/* The sizes that a tensor may have. */
typedef enum TnArchDim {
    TN_DIM_NONE, /* rows of a vector */
    TN_DIM_ONE,
    TN_DIM_HIDDEN,
    TN_DIM_FFN,
    TN_DIM_Q,    /* heads x columns of a head */
    TN_DIM_KV,   /* key/value heads x columns of a head */
    TN_DIM_HEAD, /* columns of a head */
    TN_DIM_HALF_HEAD,
    TN_DIM_VOCAB,
    TN_DIM_COUNT
} TnArchDim;
extern const char *const tn_dim_names[TN_DIM_COUNT]; /* as written in docs/models.md */

typedef struct TnArchTensor {
    const char *name; /* in the file; a leading "blk.*.": one for each layer */
    TnArchDim rows, cols;
    bool optional;
} TnArchTensor;

/* Rows of the norms in front of every linear of a layer (tn_block_linear), blk.*.attn_q_norm_in.weight and so on: a file
 * has all of them or none. */
#define TN_ARCH_NORM_IN(what, cols)                                                                          \
    { "blk.*." what "_norm_in.weight", TN_DIM_NONE, (cols), true }
#define TN_ARCH_NORMS_IN                                                                                     \
    TN_ARCH_NORM_IN("attn_q", TN_DIM_HIDDEN), TN_ARCH_NORM_IN("attn_k", TN_DIM_HIDDEN),                      \
        TN_ARCH_NORM_IN("attn_v", TN_DIM_HIDDEN), TN_ARCH_NORM_IN("attn_output", TN_DIM_Q),                  \
        TN_ARCH_NORM_IN("ffn_gate", TN_DIM_HIDDEN), TN_ARCH_NORM_IN("ffn_up", TN_DIM_HIDDEN),                \
        TN_ARCH_NORM_IN("ffn_down", TN_DIM_FFN)

/* A fact that follows from the architecture's name, for the import report and docs/models.md: {"sub-norms",
 * "none"}. */
typedef struct TnArchTrait {
    const char *what, *value;
} TnArchTrait;

/* Published models of the architecture, for docs/models.md: names, publisher, repository or file names (NULL:
 * known as a folder of Hugging Face alone), and the types of the matrices. */
typedef struct TnArchFamily {
    const char *models, *by, *files, *types;
} TnArchFamily;

/* What was measured with random weights in the shape of a published model, for docs/models.md: the type of its
 * matrices, the size of its file, and tokens a second of pp512 and tg128 with two threads on the machine of
 * docs/performance.md. */
typedef struct TnArchSpeed {
    const char *shape, *type, *size, *prefill, *decode;
} TnArchSpeed;

/* A program that writes files of this architecture. The import report names the first one whose sign is
 * found. `shown` looks for the sign in the keys and tensor names of a file that may still be refused (NULL:
 * always found). `sign` describes it and is put after "architecture NAME" (NULL: the name is the only
 * sign). */
typedef struct TnArchConverter {
    const char *who, *sign;
    bool (*shown)(const TnGguf *file);
} TnArchConverter;

typedef struct TnArchBuild TnArchBuild;
typedef struct TnArch {
    const char *name;    /* general.architecture; its keys begin with it and a dot */
    const char *doc;     /* one line that says which models have it */
    const char *classes; /* that config.json of Hugging Face names for it, between blanks; may be NULL */
    TnOp activation;  /* of the gate, relu2, silu or gelu_tanh, if there is no key ARCH.hidden_activation */
    const char *rope; /* which columns of a head are rotated together: attribute `mode` of op rope */
    const TnArchTensor *tensors;
    const TnArchTrait *traits;
    const TnArchConverter *converters;
    const TnArchFamily *families; /* may be NULL */
    const TnArchSpeed *speeds;    /* may be NULL */
    const TnKeyRow *keys;         /* its own, which take precedence over the shared ones; may be NULL */
    uint32_t n_tensors, n_traits, n_converters, n_families, n_speeds, n_keys;
    /* In a file with a window, which layers have it: of every so many layers all but the last, unless a key
     * says another number. 0: all layers have it. */
    uint32_t period;
    /* Checkpoints of Hugging Face have the weights of its norms less 1, but not of those in front of linears. */
    bool norms_less_one;
    /* Refuses a file that is well-formed but ambiguous. Called when keys and vocabulary are known, before
     * anything is built. May be NULL. */
    TernStatus (*refuse)(const TnArchBuild *b);
    /* Builds the graph, from the embedding to the outputs. */
    void (*build)(TnArchBuild *b);
} TnArch;

/* ---- arch.c: all of them, in the order of archs.def */
const TnArch *tn_arch_row(size_t i);              /* NULL after the last */
const TnArch *tn_arch_find(const char *name);     /* NULL if there is none of that name */
const TnArch *tn_arch_of_class(const char *name); /* the same by a word of its `classes` */
const char *tn_arch_list(TnArena *arena);         /* "a, b or c", for messages */
/* Whether the file has a norm in front of any linear; a sign of a converter too. */
bool tn_arch_has_norms_in(const TnGguf *file);

/* arch_unread.c: what a file is whose architecture is known but not supported, e.g. "a mixture of experts";
 * else NULL. */
const char *tn_arch_unread(const char *name);

/* ---- Positions: rope.scaling.* (arch_rope.c) */
typedef enum TnRopeScaling {
    TN_ROPE_PLAIN,
    TN_ROPE_LINEAR,
    TN_ROPE_YARN,
    TN_ROPE_LLAMA3,
    TN_ROPE_LONGROPE
} TnRopeScaling;
typedef struct TnArchRope {
    TnRopeScaling scaling;
    float factor;      /* by which positions are divided, all or in part */
    uint32_t context;  /* with which the model was first trained */
    bool long_factors; /* longrope: more than that is to be run */
    float fast,
        slow; /* yarn: turns in that context from which, and up to which, a pair counts as fast, as slow */
    float low, high; /* llama3: the same */
} TnArchRope;

/* ---- A graph under construction. `build` and `refuse` read it; only blocks write to it. */
struct TnArchBuild {
    TnGguf *gg;
    TnGraph *g;
    const TnGgufOptions *options;
    const TnArch *arch;
    TnFacts facts;
    float eps, rope_base, attn_scale; /* keys of norms, rope and attention, or their defaults */
    TnOp activation;                  /* the key's, or the architecture's */
    TnArchRope rope;
    uint32_t window; /* number of positions that a row attends to; 0: all */
    uint32_t period; /* 0: no layer differs; else see TnArch.period and tn_block_is_local */
    TnRef ids, pos, slot, rows, hrows, table, embd; /* the inputs, and the embedding's table */
    TernStatus status;                              /* of the first failure */
    TernError *err;
    /* only for blocks */
    bool norms_in;    /* the file has a norm in front of every linear of a layer */
    bool *used;       /* by tensor */
    TnRef *nodes;     /* by tensor: its `gguf` node, or TN_NONE */
    TnEnc matrix_enc; /* encoding of the last matrix of layer 0 */
    uint32_t n_dense; /* matrices of layers that are stored dense */
    uint32_t n_angles;
};

/* Like tn_gguf_graph, for an architecture that need not be in the table. For tests. */
TernStatus tn_arch_graph(const TnArch *arch, TnGguf *gg, const TnGgufOptions *options, TnGraph **out,
                         TnFacts *out_facts, TernError *err);

/* ---- arch_keys.c: "ARCH.what" */
const char *tn_arch_key(const TnArchBuild *b, const char *what);
/* Reads the keys that all architectures have: sizes, heads, eps, rope, activation, scale and window of
 * attention. */
TernStatus tn_arch_read_keys(TnArchBuild *b);
/* arch_rope.c: reads the keys of positions. Call it after the sizes and the scale of attention, which some of
 * them change. */
TernStatus tn_arch_read_rope(TnArchBuild *b);
/* Takes the size of the vocabulary from the rows of the embedding; keys and tokens must agree with it. */
TernStatus tn_arch_read_vocab(TnArchBuild *b);
/* Reads a number of the architecture's own, for `build`; `otherwise` if the key is absent. List the key in
 * `keys`. */
float tn_arch_float(TnArchBuild *b, const char *what, float otherwise, double lo, double hi);

/* ---- arch_tensors.c: tensors by their rows. `what` is the row's name, without "blk.*." if it is of a layer;
 * `layer` is the layer, or TN_NO_LAYER. Asking for a tensor without a row is a bug in the architecture's
 * file. */
#define TN_NO_LAYER UINT32_MAX
bool tn_arch_has_tensor(const TnArch *arch, bool layer, const char *what); /* whether there is a row */
uint64_t tn_arch_dim(const TnArchBuild *b, TnArchDim dim);
/* Finds the tensor and checks it against the row's shape. NULL on failure, or if it is optional and
 * absent. */
const TnGgufTensor *tn_arch_tensor(TnArchBuild *b, uint32_t layer, const char *what);
/* The name of a tensor's node: "l0.attn_q" for attn_q.weight of layer 0. */
const char *tn_arch_node_name(TnArchBuild *b, uint32_t layer, const char *what);
/* Returns the tensor's `gguf` node, making it on the first call. */
TnRef tn_arch_source(TnArchBuild *b, const TnGgufTensor *t, const char *node, const TnType *type);
/* The node of a vector in f32, f16 or bf16; TN_NONE if it is optional and absent. */
TnRef tn_arch_vector(TnArchBuild *b, uint32_t layer, const char *what);
/* The node of embedding or head; TN_NONE if it is optional and absent. */
TnRef tn_arch_table(TnArchBuild *b, const char *what);

/* ---- blocks.c. Values are f32 [T, columns] unless stated otherwise. */
/* Appends any op: without a name and attributes, or with them. */
TnRef tn_block_op(TnArchBuild *b, TnOp op, const TnRef *args, uint32_t n_args);
TnRef tn_block_op_attrs(TnArchBuild *b, TnOp op, const char *name, const TnRef *args, uint32_t n_args,
                        const TnAttr *attrs, uint32_t n_attrs);
TnRef tn_block_add(TnArchBuild *b, TnRef x, TnRef y);
TnRef tn_block_times(TnArchBuild *b, TnRef x, float by);
/* Makes ids, pos, slot, rows, hrows and table, and the embedding's table. Called before `build`. */
void tn_block_inputs(TnArchBuild *b);
/* The rows of the embedding for the ids. */
TnRef tn_block_embed(TnArchBuild *b);
/* rmsnorm by <what>.weight. */
TnRef tn_block_norm(TnArchBuild *b, uint32_t layer, const char *what, TnRef x);
/* Each head of x normed by <what>.weight. */
TnRef tn_block_head_norm(TnArchBuild *b, uint32_t layer, const char *what, TnRef x);
/* W x for <what>.weight: quant, tmatmul and dequant for ternary weights, matmul for dense ones. Multiplies by
 * the tensor <what>.scale and adds <what>.bias, if the architecture has a row for it and the file has it. The
 * same goes for a norm of x before the product, <what>_norm_in.weight; a file has it for all linears or none. */
TnRef tn_block_linear(TnArchBuild *b, uint32_t layer, const char *what, TnRef x);
/* The angles of all positions, for tn_block_rope: computed from the base and scaled as the file says
 * (arch_rope.c), including rope_freqs.weight if there is a row for it. */
TnRef tn_block_angle(TnArchBuild *b, float base);
/* The same without any scaling or factors: the angles of local layers. */
TnRef tn_block_angle_unscaled(TnArchBuild *b, float base);
TnRef tn_block_rope(TnArchBuild *b, TnRef angle, TnRef x);
/* Stores keys and values in the layer's cache, and lets each row attend to the cache. */
typedef struct TnBlockAttend {
    TnRef q, k, v;
    int64_t window; /* number of positions that a row attends to; 0: all */
    float scale;    /* of the scores; 0: b->attn_scale */
} TnBlockAttend;
TnRef tn_block_attend(TnArchBuild *b, uint32_t layer, const TnBlockAttend *a);
/* The plain case: attn_q, attn_k and attn_v of h, rope on the first two, and attention, with the window of
 * the file. If the architecture has rows for attn_q_norm and attn_k_norm, heads are normed before rope. */
TnRef tn_block_attention(TnArchBuild *b, uint32_t layer, TnRef angle, TnRef h);
/* The same with a window of the layer's own. */
TnRef tn_block_attention_within(TnArchBuild *b, uint32_t layer, TnRef angle, int64_t window, TnRef h);
/* Whether the layer is one of those that have the window, where others do not. */
bool tn_block_is_local(const TnArchBuild *b, uint32_t layer);
/* act(ffn_gate h) * ffn_up h */
TnRef tn_block_gated(TnArchBuild *b, uint32_t layer, TnOp activation, TnRef h);
/* The layer of Llama and most others: attn_norm, attention, attn_output, ffn_norm, gated, ffn_down. x is
 * added after each half. */
TnRef tn_block_layer(TnArchBuild *b, uint32_t layer, TnRef angle, TnRef x);
/* The end of a model, as one block or as three: the rows that want logits, [R, ..], and those that want the
 * hidden row, [H, ..], both normed by output_norm; the logits, by output.weight or by the embedding; and the
 * step's outputs. */
typedef struct TnBlockFinal {
    TnRef rows, hidden;
} TnBlockFinal;
TnBlockFinal tn_block_final(TnArchBuild *b, TnRef x);
TnRef tn_block_logits(TnArchBuild *b, TnRef rows);
void tn_block_outputs(TnArchBuild *b, TnRef logits, TnRef hidden);
void tn_block_head(TnArchBuild *b, TnRef x);
/* A whole model with equal layers: angles from rope_base, embedding, layers, head. `layer` makes one layer
 * and returns the next x. */
void tn_block_decoder(TnArchBuild *b, TnRef (*layer)(TnArchBuild *b, uint32_t i, TnRef angle, TnRef x));

#endif
