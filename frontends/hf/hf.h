/* Folders of Hugging Face: a model as its authors train and publish it.
 *
 *   config.json                    the architecture and its sizes
 *   model.safetensors, or several  the weights; model.safetensors.index.json says which file has which
 *   tokenizer.json                 the vocabulary, for byte-level BPE
 *
 * safetensors.c reads a file of weights through the checked reader, folder.c the files of a folder as one set of tensors.
 * Anything damaged, unknown or contradictory is refused with one line that names the file, the value found and the value
 * expected. */
#ifndef TN_HF_H
#define TN_HF_H

#include <stdbool.h>
#include "runtime/base/arena.h"
#include "runtime/base/map.h"
#include "runtime/base/os.h"

#define TN_SAFE_RANK 8

typedef struct TnSafeTensor {
    const char *name;
    const struct TnSafeType *type;
    uint32_t rank;              /* 0: a single number */
    uint64_t dim[TN_SAFE_RANK]; /* outermost first, as in the file; 1 beyond rank */
    const uint8_t *data;        /* in the file, at any alignment */
    size_t bytes;
} TnSafeTensor;

typedef enum TnSafeKind { TN_SAFE_U8, TN_SAFE_F16, TN_SAFE_BF16, TN_SAFE_F32, TN_SAFE_OTHER } TnSafeKind;
typedef struct TnSafeType {
    const char *name; /* "BF16" */
    TnSafeKind kind;
    uint32_t bytes; /* of an element */
} TnSafeType;

/* ---- safetensors.c: one file */
typedef struct TnSafe {
    TnFile file;
    bool owned; /* the mapping */
    TnArena arena;
    const char *path;
    TnSafeTensor *tensors; /* in the order of their data */
    size_t n_tensors;
    TnMap map; /* by name */
} TnSafe;
/* Maps and checks a file; *out must be closed. */
TernStatus tn_safe_open(const char *path, TnSafe **out, TernError *err);
/* The same over memory that outlives the object. `name` is for messages. */
TernStatus tn_safe_open_memory(const void *bytes, size_t n, const char *name, TnSafe **out, TernError *err);
void tn_safe_close(TnSafe *s);                                         /* NULL is fine */
const TnSafeTensor *tn_safe_tensor(const TnSafe *s, const char *name); /* NULL if absent */

/* ---- folder.c: the weights of a folder */
typedef struct TnHfFolder {
    TnArena arena;
    const char *path;
    TnSafe **files;
    size_t n_files, cap_files;
    const TnSafeTensor **tensors; /* of all files, file by file */
    size_t n_tensors;
    TnMap map; /* by name */
} TnHfFolder;
/* Opens the folder's weights: all files that its index names, or its only one. *out must be closed. */
TernStatus tn_hf_folder_open(const char *path, TnHfFolder **out, TernError *err);
void tn_hf_folder_close(TnHfFolder *f);                                  /* NULL is fine */
const TnSafeTensor *tn_hf_tensor(const TnHfFolder *f, const char *name); /* NULL if absent */
/* Refuses an output that is one of the folder's files (weights, config, tokenizer), by whatever name; fine if `folder` is none. */
TernStatus tn_hf_check_output(const char *folder, const char *output, TernError *err);
/* "FOLDER/name", in the folder's arena. */
const char *tn_hf_path(TnHfFolder *f, const char *name);

/* ---- hfjson.c: json files of a folder */
typedef struct json_t TnJson; /* jansson's value */
/* Reads a text that holds one object; json_decref(*out). An object that names a member twice is refused, as its readers
 * differ in which they take. */
TernStatus tn_hf_json(const char *text, size_t n, const char *name, TnJson **out, TernError *err);
/* The same of a file, which need not exist unless it is `required`: then *out is NULL. */
TernStatus tn_hf_json_file(const char *path, bool required, TnJson **out, TernError *err);
/* A file that holds one array. */
TernStatus tn_hf_json_list(const char *path, TnJson **out, TernError *err);

/* ---- convert.c: a folder as a GGUF */
/* Keys that say who chose the names and who wrote the weights; other programs leave them out. */
#define TN_HF_CONVERTER "general.converter"
#define TN_HF_PACKER    "general.packer"
#define TN_HF_SELF      "tern convert"
typedef struct TnHfOptions {
    const char *
        type; /* of ternary matrices: "i2_s", "tq1_0", "tq2_0", "q2_0", "pq2_0" or "ptq1_0" (of a GGUF also "f16" or "f32"); NULL: what their scales need */
    const char
        *embd;       /* of embedding and head: "f32", "f16", "bf16" or "q8_0"; NULL: as the folder has them */
    const char *pre; /* the pre-tokenizer, for one that is not recognised; may be NULL */
    bool
        absmean; /* dense matrices are masters, to be rounded by their mean magnitude, though nothing in the folder says so */
    void (*note)(void *user, const char *line); /* called for each thing that is worth knowing; may be NULL */
    void *user;
} TnHfOptions;
typedef struct TnHfModel TnHfModel;
/* Reads all but the data of the tensors, and decides how each is to be written. Keeps nothing of `options`. */
TernStatus tn_hf_open(const char *path, const TnHfOptions *options, TnHfModel **out, TernError *err);
void tn_hf_close(TnHfModel *m); /* NULL is fine */
/* The bytes of the GGUF. */
size_t tn_hf_size(const TnHfModel *m);
/* Hands the GGUF to the sink, front to back. May be called once. */
TernStatus tn_hf_write(TnHfModel *m,
                       TernStatus (*sink)(void *ctx, const void *bytes, size_t n, TernError *err), void *ctx,
                       TernError *err);

/* ---- between_types.c: a GGUF with other types of tensors */
struct TnGguf;
/* Hands to the sink a GGUF whose ternary matrices are of options->type and whose dense embedding and head are of
 * options->embd; what is NULL stays as it is. The weights and scales of ternary matrices stay the same, or become numbers
 * that are exactly their products, or the file is refused. A ternary embedding or head that becomes numbers is rounded to
 * options->embd; one that stays ternary is refused if that is given. A model in several files becomes one. */
TernStatus tn_hf_between(const struct TnGguf *g, const TnHfOptions *options,
                         TernStatus (*sink)(void *ctx, const void *bytes, size_t n, TernError *err),
                         void *ctx, TernError *err);

#endif
