/* GGUF models of any shape with random weights. Tests and benches use them when shapes, names, keys and types
 * matter but the numbers do not. The same description gives the same bytes.
 *
 * Every value of a tensor follows from the seed and the tensor's name, so an independent model (ref_model.h) can ask
 * for the exact values without reading the file. */
#ifndef TN_TEST_GGUF_MODEL_H
#define TN_TEST_GGUF_MODEL_H

#include "support/gguf_write.h"

/* What the writer and the model in double (ref_model.h) know of an architecture. It is written from the published models
 * and not taken from the frontend, which is compared with it. */
typedef struct TnGmArch {
    const char *name;
    bool relu2;        /* the activation is relu squared, else silu */
    bool gelu;         /* or gelu by tanh */
    bool pairs;        /* rope turns columns 2i and 2i + 1, else i and i + half the head */
    bool sub_norms;    /* before attn_output and ffn_down */
    bool head_norms;   /* of q and k, before rope */
    bool biases;       /* of q, k and v */
    bool three_scales; /* of embedding, residual and logits */
    bool root_scale;   /* of the embedding: the square root of hidden */
    bool post_norms;   /* after attn_output and ffn_down, before they are added */
    bool may_norm_in;  /* a norm in front of every linear may be there */
    uint32_t
        period; /* of every so many layers the last has no window; the others turn by base 10000, not scaled */
    bool linear_scaling; /* the converter writes a rope scaling of factor 1 */
} TnGmArch;
extern const TnGmArch
    tn_gm_archs[]; /* in the order of the product's table, which a test checks; ends with name NULL */
extern const float tn_gm_scales[3];           /* what their keys say */
const TnGmArch *tn_gm_arch(const char *name); /* NULL if there is none of that name */
void tn_gm_arch_list(TnBuf *out);             /* "a, b or c" */

typedef struct TnGmSpec {
    const char *arch; /* one of tn_gm_archs */
    uint32_t hidden, ffn, layers, heads, kv_heads, context;
    uint32_t head_dim;    /* 0: hidden / heads, and no key says it; else key_length and value_length do */
    uint32_t vocab;       /* from 258 on all bytes, two control tokens, padding; fewer: fewer bytes */
    uint32_t weights;     /* type of the seven block matrices */
    bool ternary;         /* F32, F16 and BF16 matrices hold -s, 0 and s; the ternary types always do */
    uint32_t embd, norms; /* types of embedding and head; of the norm weights (F32, F16, BF16) */
    bool untied, rope_freqs;
    bool grouped;  /* of ternary types with scales, each block or row (tn_gt_group) has one of its own */
    bool scales;   /* a .scale tensor beside each matrix (arch bitnet); 1 beside truly dense ones */
    bool norms_in; /* a norm in front of every linear of a layer */
    bool no_vocab; /* no tokenizer keys */
    float rope_base, eps;
    const char *scaling; /* of rope: linear, yarn or llama3, with these two; NULL: none */
    float scaling_factor;
    uint32_t scaling_context;
    uint32_t window;        /* attention.sliding_window; 0: no key */
    uint32_t period;        /* attention.sliding_window_pattern; 0: no key */
    const char *activation; /* hidden_activation; NULL: no key */
    float
        dead; /* share of a layer's neurons whose rows of gate and up are zero, of ternary matrices; as many again
                   have one of the two zero, in turn */
    float
        outliers; /* every hundredth weight of the norm before down is so many times larger, 0: none is; that makes
                       codes of down's input 0, as training does */
    uint32_t alignment; /* 0: the default, and no key says it */
    uint64_t seed;
} TnGmSpec;

/* A small bitnet-b1.58 model to start from: 256 x 512, 2 layers, 4 heads of 64, 2 KV heads, i2_s, f16 tied.
 */
extern const TnGmSpec tn_gm_small;
/* The same shape, smaller: 128 columns, 100 tokens. */
extern const TnGmSpec tn_gm_tiny;

/* Sets the shape of that name, as in make_gguf: tiny odd small 700m 2b4t 3b 8b. False if there is no such name. */
bool tn_gm_shape(const char *name, TnGmSpec *io);
/* The type of that name ("i2_s", "tq1_0", "f32", ...); UINT32_MAX if there is no such name. */
uint32_t tn_gm_type(const char *name);
const char *tn_gm_type_name(uint32_t type);
/* Whether such a file can be written: types' blocks divide rows, i2_s matrices whole groups of 128. */
bool tn_gm_fits(const TnGmSpec *s);

/* The spec must outlive the writer. */
TnGw *tn_gm_create(const TnGmSpec *s);
/* Appends the whole file to a buffer. */
void tn_gm_bytes(const TnGmSpec *s, TnBuf *out);

/* The exact values of a tensor of the file: n of them, row by row. Ternary ones (by type or by `ternary`) are
 * -1, 0, 1 and a scale; others are values and scale 1. */
void tn_gm_values(const TnGmSpec *s, const char *name, uint64_t rows, uint64_t cols, double *out,
                  double *out_scale);
bool tn_gm_is_ternary(const TnGmSpec *s); /* the block matrices */
bool tn_gm_is_trits(uint32_t type);       /* a type that holds nothing else */
uint32_t tn_gm_head_dim(const TnGmSpec *s);

#endif
