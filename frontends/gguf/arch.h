/* Architectures: what general.architecture of a model file may be.
 *
 * A file of arch/ says everything about one: the keys that only it knows, its tensors and their shapes, its graph, what
 * it refuses. It includes this header alone. That file and a row in arch/archs.def add an architecture; messages, the
 * import report and docs/models.md take what they say of it from its TnArch.
 *
 * Around it arch.c does what is the same for all: it reads the sizes (arch_keys.c), checks every other key against the
 * architecture's rows and then against those of known.c, finds the vocabulary, makes the inputs, calls `build`, and
 * refuses a tensor that nobody used: a bias or an expert passed over would be a silently wrong answer.
 *
 * `build` writes the graph down with blocks (blocks.c). A block appends nodes and returns the value they make:
 *
 *     TnRef h = tn_block_norm(b, layer, "attn_norm", x);
 *     TnRef q = tn_block_linear(b, layer, "attn_q", h);
 *
 * The first failure, such as a missing tensor or a wrong shape, is kept in b->status and its line in b->err. From then
 * on blocks append nothing and return TN_NONE, so `build` has nothing to check. The graph's text depends on the order in
 * which nodes are appended: let no two blocks be arguments of the same call, whose order of evaluation C leaves open. */
#ifndef TN_ARCH_H
#define TN_ARCH_H

#include <string.h>
#include "frontends/gguf/gguf.h"

/* ---- What an architecture says of itself */

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
extern const char *const tn_dim_names[TN_DIM_COUNT]; /* as docs/models.md has them */

typedef struct TnArchTensor {
    const char *name; /* in the file; "blk.*." at the beginning: one a layer */
    TnArchDim rows, cols;
    bool optional;
} TnArchTensor;

/* What the name alone says, for the import report and docs/models.md: {"sub-norms", "none"}. */
typedef struct TnArchTrait {
    const char *what, *value;
} TnArchTrait;

/* Published models of the architecture, for docs/models.md: names, publisher, the repository or the names of the files, and
 * the types of their matrices. */
typedef struct TnArchFamily {
    const char *models, *by, *files, *types;
} TnArchFamily;

/* A program that writes files of this architecture. The import report names the first whose sign is there: `shown` looks for
 * it (NULL: it always is) in the keys and tensor names of a file that may yet be refused, and `sign` describes it, to be
 * put after "architecture NAME" (NULL: the name is all there is). */
typedef struct TnArchConverter {
    const char *who, *sign;
    bool (*shown)(const TnGguf *file);
} TnArchConverter;

typedef struct TnArchBuild TnArchBuild;
typedef struct TnArch {
    const char *name; /* general.architecture; its keys begin with it and a dot */
    const char *doc;  /* whose models they are, in a line */
    TnOp activation;  /* of the gate, relu2 or silu, where no key ARCH.hidden_activation says which */
    const char *rope; /* which columns of a head turn together: attribute `mode` of op rope */
    const TnArchTensor *tensors;
    const TnArchTrait *traits;
    const TnArchConverter *converters;
    const TnArchFamily *families; /* may be NULL */
    const TnKeyRow *keys;         /* its own, asked before the shared ones; may be NULL */
    uint32_t n_tensors, n_traits, n_converters, n_families, n_keys;
    /* Refuses a file that is well-formed but must not be guessed at. Called when keys and vocabulary are known, before
     * anything is built. May be NULL. */
    TernStatus (*refuse)(const TnArchBuild *b);
    /* From the embedding to the outputs. */
    void (*build)(TnArchBuild *b);
} TnArch;

/* ---- arch.c: all of them, in the order of archs.def */
const TnArch *tn_arch_row(size_t i);          /* NULL after the last */
const TnArch *tn_arch_find(const char *name); /* NULL if there is none of that name */
const char *tn_arch_list(TnArena *arena);     /* "a, b or c", for messages */

/* arch_unread.c: what a file of a known architecture is that nothing here reads, "a mixture of experts"; else NULL. */
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
    float factor;     /* that positions are divided by, in whole or in part */
    uint32_t context; /* that the model was first trained with */
    float fast,
        slow; /* yarn: turns in that context from which, and up to which, a pair counts as fast, as slow */
    float low, high; /* llama3: the same */
} TnArchRope;

/* ---- A graph in the making. `build` and `refuse` read it; only blocks write. */
struct TnArchBuild {
    TnGguf *gg;
    TnGraph *g;
    const TnGgufOptions *options;
    const TnArch *arch;
    TnFacts facts;
    float eps, rope_base, attn_scale; /* keys of norms, rope and attention, or their defaults */
    TnOp activation;                  /* the key's, or the architecture's */
    TnArchRope rope;
    uint32_t window;                                /* positions that a row sees; 0: all */
    TnRef ids, pos, slot, rows, hrows, table, embd; /* the inputs, and the embedding's table */
    TernStatus status;                              /* of the first failure */
    TernError *err;
    /* for blocks alone */
    bool *used;       /* by tensor */
    TnRef *nodes;     /* by tensor: its `gguf` node, or TN_NONE */
    TnEnc matrix_enc; /* of the last matrix of layer 0 */
    uint32_t n_dense; /* matrices of layers that are stored dense */
    uint32_t n_angles;
};

/* As tn_gguf_graph, for an architecture that need not be in the table; for tests. */
TernStatus tn_arch_graph(const TnArch *arch, TnGguf *gg, const TnGgufOptions *options, TnGraph **out,
                         TnFacts *out_facts, TernError *err);

/* ---- arch_keys.c: "ARCH.what" */
const char *tn_arch_key(const TnArchBuild *b, const char *what);
/* The keys that all architectures have: sizes, heads, eps, rope, activation, scale and window of attention. */
TernStatus tn_arch_read_keys(TnArchBuild *b);
/* arch_rope.c: those of positions; after the sizes and the scale of attention, which some of them change. */
TernStatus tn_arch_read_rope(TnArchBuild *b);
/* The rows of the embedding are the vocabulary; keys and tokens must agree. */
TernStatus tn_arch_read_vocab(TnArchBuild *b);
/* A number that is the architecture's own, for `build`; `otherwise` if no key says it. List the key in `keys`. */
float tn_arch_float(TnArchBuild *b, const char *what, float otherwise, double lo, double hi);

/* ---- arch_tensors.c: tensors by their rows. `what` is the row's name, without "blk.*." for one of a layer; `layer` is the
 * layer, or TN_NO_LAYER. To ask for one without a row is a bug of the architecture's file. */
#define TN_NO_LAYER UINT32_MAX
bool tn_arch_has_tensor(const TnArch *arch, bool layer, const char *what); /* is there a row? */
uint64_t tn_arch_dim(const TnArchBuild *b, TnArchDim dim);
/* The tensor, of the row's shape. NULL on failure, and if it is optional and absent. */
const TnGgufTensor *tn_arch_tensor(TnArchBuild *b, uint32_t layer, const char *what);
/* What a tensor's node is called: "l0.attn_q" for attn_q.weight of layer 0. */
const char *tn_arch_node_name(TnArchBuild *b, uint32_t layer, const char *what);
/* The tensor's `gguf` node, which is made once. */
TnRef tn_arch_source(TnArchBuild *b, const TnGgufTensor *t, const char *node, const TnType *type);
/* The node of a vector in f32, f16 or bf16; TN_NONE if it is optional and absent. */
TnRef tn_arch_vector(TnArchBuild *b, uint32_t layer, const char *what);
/* The node of embedding or head, which may not be ternary; TN_NONE if it is optional and absent. */
TnRef tn_arch_table(TnArchBuild *b, const char *what);

/* ---- blocks.c. Values are f32 [T, columns] unless said otherwise. */
/* Any op: without a name and attributes, and with them. */
TnRef tn_block_op(TnArchBuild *b, TnOp op, const TnRef *args, uint32_t n_args);
TnRef tn_block_op_attrs(TnArchBuild *b, TnOp op, const char *name, const TnRef *args, uint32_t n_args,
                        const TnAttr *attrs, uint32_t n_attrs);
TnRef tn_block_add(TnArchBuild *b, TnRef x, TnRef y);
TnRef tn_block_times(TnArchBuild *b, TnRef x, float by);
/* ids, pos, slot, rows, hrows and table, and the embedding's table. Done before `build`. */
void tn_block_inputs(TnArchBuild *b);
/* The rows of the embedding that the ids name. */
TnRef tn_block_embed(TnArchBuild *b);
/* rmsnorm by <what>.weight. */
TnRef tn_block_norm(TnArchBuild *b, uint32_t layer, const char *what, TnRef x);
/* Each head of x normed by <what>.weight. */
TnRef tn_block_head_norm(TnArchBuild *b, uint32_t layer, const char *what, TnRef x);
/* W x for <what>.weight: ternary weights by quant, tmatmul, dequant, dense ones by matmul. Multiplied by the tensor
 * <what>.scale, and <what>.bias added, if the architecture has a row for that and the file has it. */
TnRef tn_block_linear(TnArchBuild *b, uint32_t layer, const char *what, TnRef x);
/* The angles of all positions, for tn_block_rope: from the base, scaled as the file says (arch_rope.c), which includes
 * rope_freqs.weight if there is a row for it. */
TnRef tn_block_angle(TnArchBuild *b, float base);
TnRef tn_block_rope(TnArchBuild *b, TnRef angle, TnRef x);
/* Keys and values go into the layer's cache, and each row attends to what lies there. */
typedef struct TnBlockAttend {
    TnRef q, k, v;
    int64_t window; /* positions that a row sees; 0: all */
    float scale;    /* of the scores; 0: b->attn_scale */
} TnBlockAttend;
TnRef tn_block_attend(TnArchBuild *b, uint32_t layer, const TnBlockAttend *a);
/* The plain case: attn_q, attn_k and attn_v of h, both of the former turned, and attended. If the architecture has rows for
 * attn_q_norm and attn_k_norm, their heads are normed before they are turned. By the window of the file. */
TnRef tn_block_attention(TnArchBuild *b, uint32_t layer, TnRef angle, TnRef h);
/* act(ffn_gate h) * ffn_up h */
TnRef tn_block_gated(TnArchBuild *b, uint32_t layer, TnOp activation, TnRef h);
/* The layer of Llama and of most others: attn_norm, attention, attn_output, ffn_norm, gated, ffn_down, x added after each
 * half. */
TnRef tn_block_layer(TnArchBuild *b, uint32_t layer, TnRef angle, TnRef x);
/* The end of a model, in one or in three: the rows that want logits and those that want the hidden row, [R, ..] and
 * [H, ..], both normed by output_norm; logits by output.weight, or by the embedding; the step's outputs. */
typedef struct TnBlockFinal {
    TnRef rows, hidden;
} TnBlockFinal;
TnBlockFinal tn_block_final(TnArchBuild *b, TnRef x);
TnRef tn_block_logits(TnArchBuild *b, TnRef rows);
void tn_block_outputs(TnArchBuild *b, TnRef logits, TnRef hidden);
void tn_block_head(TnArchBuild *b, TnRef x);
/* All of a model whose layers are alike: angles by rope_base, embedding, layers, head. `layer` makes the next x of one. */
void tn_block_decoder(TnArchBuild *b, TnRef (*layer)(TnArchBuild *b, uint32_t i, TnRef angle, TnRef x));

#endif
