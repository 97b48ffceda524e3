/* What the files of this room share while a folder is converted. */
#ifndef TN_HF_INTERNAL_H
#define TN_HF_INTERNAL_H

#include "frontends/gguf/arch.h"
#include "frontends/gguf/gguf_writer.h"
#include "frontends/hf/hf.h"
#include "frontends/json.h"

/* ---- hfconfig.c: config.json */

/* What a packed matrix has to be multiplied by. */
typedef enum TnHfScale { TN_HF_SCALE_NONE, TN_HF_SCALE_TIMES, TN_HF_SCALE_OVER } TnHfScale;
typedef struct TnHfConfig {
    const char *path; /* for messages */
    json_t *json;
    const TnArch *arch;
    uint64_t hidden, ffn, layers, heads, kv, head, vocab, context;
    bool tied; /* the head is the embedding */
    TnHfScale scale;
    const char *scale_rule; /* the words of quantization_config that say so, for messages */
    bool masters;           /* dense matrices are what training rounded, by absmean */
} TnHfConfig;
/* Reads and checks all of config.json that the model's meaning depends on, and writes the keys of the architecture.
 * c->json is to be released with json_decref whatever the status. */
TernStatus tn_hf_config(TnHfFolder *f, TnGgufWriter *w, TnHfConfig *c, TernError *err);
/* The factors of rope that config.json has, as the tensors that a GGUF has instead. Each `out` is NULL, or head / 2
 * numbers in the folder's arena. */
typedef struct TnHfFactors {
    const float *all, *longer, *shorter; /* rope_freqs, rope_factors_long, rope_factors_short */
} TnHfFactors;
TernStatus tn_hf_factors(TnHfFolder *f, const TnHfConfig *c, TnHfFactors *out, TernError *err);

/* ---- hfpooling.c: the key pooling_type, if the folder says how a text's rows become one vector */
TernStatus tn_hf_pooling(TnHfFolder *f, const TnHfConfig *c, TnGgufWriter *w, TernError *err);

/* ---- trit_types.c: the ternary types that can be written */
typedef struct TnTritType {
    const char *name; /* "i2_s", as options have it */
    uint32_t id, file_type;
    uint32_t block, bytes; /* weights of a row that share a scale, and their bytes; 0: one scale a matrix */
    bool two;              /* a weight may be 2 */
} TnTritType;
const TnTritType *tn_trit_type(const char *name); /* NULL if there is none */
const TnTritType *tn_trit_type_row(size_t i);     /* NULL after the last */
/* The bytes of a matrix; 0 if it does not divide into blocks. */
size_t tn_trit_bytes(const TnTritType *t, uint64_t rows, uint64_t cols);
/* Packs n weights, a multiple of 128 and of whole blocks; scales: one a block, ignored if there is one a matrix. Returns
 * the bytes written. */
size_t tn_trit_pack(const TnTritType *t, const int8_t *trits, const float *scales, size_t n, uint8_t *out);

/* ---- matrix.c: matrices as a checkpoint stores them */
typedef enum TnMatrixForm {
    TN_MATRIX_PACKED, /* four codes a byte, and one scale, or several */
    TN_MATRIX_MASTER, /* numbers that training rounds to -s, 0, s with s the mean of their magnitudes */
    TN_MATRIX_DENSE   /* -s, 0, s as numbers, with one s or one for each group */
} TnMatrixForm;
typedef struct TnMatrix {
    const char *name; /* in the GGUF, for messages */
    const TnSafeTensor *t;
    TnMatrixForm form;
    uint64_t rows, cols;
    uint32_t heads;                  /* whose rows go from halves to pairs; 0: rows stay in their order */
    float scale;                     /* 0 of DENSE with several */
    uint32_t group;                  /* with several scales: columns that share one: 256, 128 or 64 */
    const TnSafeTensor *scales;      /* of PACKED with several; else NULL */
    uint64_t scale_rows, scale_cols; /* of `scales`: as many for the rows, and for the columns */
    bool over;                       /* weights are divided by them */
} TnMatrix;
/* The row of the checkpoint that is row r of the GGUF. */
uint64_t tn_matrix_row(const TnMatrix *m, uint64_t r);
/* Whether all numbers of a dense matrix are -s, 0 or s, with one s for the matrix or for each group: sets scale and group.
 * Ends at the first that is not. */
bool tn_matrix_is_ternary(TnMatrix *m);
/* Sets the scale of a master. */
void tn_matrix_absmean(TnMatrix *m);
/* Decodes n rows from r on; scales gets one for each `block` columns. Fails at a code that is no weight. */
TernStatus tn_matrix_read(const TnMatrix *m, uint64_t r, uint64_t n, uint32_t block, int8_t *trits,
                          float *scales, const char *path, TernError *err);
/* n numbers from element `at` on, of a tensor in F32, F16 or BF16. */
void tn_safe_floats(const TnSafeTensor *t, size_t at, size_t n, float *out);

/* ---- tensor_plan.c: which tensors the GGUF has, and what each is made of */
typedef enum TnPlanForm {
    TN_PLAN_MATRIX, /* ternary */
    TN_PLAN_TABLE,  /* floats, perhaps converted */
    TN_PLAN_NUMBERS /* made from config.json */
} TnPlanForm;
typedef struct TnPlan {
    const char *name; /* in the GGUF */
    TnPlanForm form;
    uint32_t id;         /* the type's number in a GGUF */
    uint64_t rows, cols; /* rows 1 and rank 1: a vector */
    uint32_t rank;
    size_t bytes;
    const TnTritType *type; /* of MATRIX */
    TnMatrix m;             /* of MATRIX; of TABLE: t, rows, cols and heads */
    const float *numbers;   /* of NUMBERS */
    float plus;             /* of TABLE: what is added to each number */
} TnPlan;
typedef struct TnPlanner {
    TnHfFolder *f;
    const TnHfConfig *c;
    const TnHfOptions *options;
    TnPlan *plans;
    size_t n_plans, cap_plans;
    uint32_t file_type; /* of most matrices */
    TernError *err;
} TnPlanner;
/* Finds a place for every tensor of the folder. free(p->plans), whatever the status. */
TernStatus tn_hf_plan(TnPlanner *p);
/* float_table.c: the types of floats that can be written */
enum { TN_GGUF_ID_F32 = 0, TN_GGUF_ID_F16 = 1, TN_GGUF_ID_Q8_0 = 8, TN_GGUF_ID_BF16 = 30 };
bool tn_float_type(const char *name, uint32_t *out_id);
/* The bytes of a row; 0 if it does not divide into blocks. */
size_t tn_float_bytes(uint32_t id, uint64_t cols);
/* Converts the n numbers of a row. */
void tn_float_pack(uint32_t id, const float *x, uint64_t n, uint8_t *out);

/* Sends a line to options->note. */
void tn_hf_note(const TnHfOptions *o, const char *fmt, ...) TN_PRINTF(2, 3);

/* ---- hftokenizer.c: the vocabulary */

/* A vocabulary as a GGUF has it. The texts lie in the folder's arena. */
typedef struct TnHfTokens {
    TernText *texts;
    int32_t *types;
    float *scores; /* of SentencePiece; else NULL */
    size_t n;
} TnHfTokens;
/* Types of tokens. */
enum { TN_HF_NORMAL = 1, TN_HF_UNKNOWN, TN_HF_CONTROL, TN_HF_USER, TN_HF_UNUSED, TN_HF_BYTE };
/* Writes the tokenizer's keys; none, with a note, if the folder has no tokenizer. */
TernStatus tn_hf_tokenizer(TnHfFolder *f, const TnHfConfig *c, const TnHfOptions *options, TnGgufWriter *w,
                           TernError *err);
/* Makes n tokens without text unused ones, "[PAD7]"; so are all after those a tokenizer has. */
void tn_hf_tokens_create(TnHfFolder *f, size_t n, bool scores, TnHfTokens *out);

/* ---- hfbpe.c: the members of tokenizer.json that are a byte-level BPE's */
TernStatus tn_hf_bpe(TnHfFolder *f, const TnHfConfig *c, const TnHfOptions *options, const char *path,
                     const json_t *tokenizer, TnGgufWriter *w, TernError *err);
/* Puts a token at its place, which it must have alone. */
TernStatus tn_hf_put_token(TnHfFolder *f, const char *path, TnHfTokens *t, uint64_t id, const char *text,
                           size_t n, int32_t type, TernError *err);
/* Takes a list of added tokens: objects with id, content and special. */
TernStatus tn_hf_added(TnHfFolder *f, const char *path, TnHfTokens *t, const json_t *list, TernError *err);
/* Takes model.vocab and added_tokens of a tokenizer.json of BPE, and its merges, "a b" each. */
TernStatus tn_hf_vocab(TnHfFolder *f, const char *path, const json_t *tokenizer, TnHfTokens *t,
                       TernError *err);
TernStatus tn_hf_merges(TnHfFolder *f, const char *path, const json_t *model, const TernText **out,
                        size_t *out_n, TernError *err);
/* Writes what is put around a text, if no key says it yet; the texts and types of tokens. */
void tn_hf_around(const json_t *tokenizer, TnGgufWriter *w);
void tn_hf_put_tokens(TnHfFolder *f, TnHfTokens *t, TnGgufWriter *w);

/* ---- hfpieces.c: a tokenizer.json that holds SentencePiece's BPE */
TernStatus tn_hf_pieces(TnHfFolder *f, const TnHfConfig *c, const TnHfOptions *options, const char *path,
                        const json_t *tokenizer, TnGgufWriter *w, TernError *err);

/* ---- spm_model.c: tokenizer.model of SentencePiece */
TernStatus tn_hf_spm(TnHfFolder *f, const TnHfConfig *c, const char *path, TnGgufWriter *w,
                     TnHfTokens *tokens, TernError *err);

#endif
