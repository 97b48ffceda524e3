/* GGUF files (versions 2 and 3) to graphs.
 *
 * container.c reads the file through the checked reader: keys, tensor table, no tensor data. arch.h is about the
 * architectures, each of which makes its typed graph; vocab.c makes the vocabulary image. A file that is damaged, unknown
 * or contradictory is refused with one line that names the key or tensor, the value found and the value expected.
 */
#ifndef TN_GGUF_H
#define TN_GGUF_H

#include "ir/facts.h"
#include "ir/ir.h"
#include "ir/weights.h"
#include "runtime/base/os.h"

typedef enum TnGgufType {
    TN_GGUF_U8,
    TN_GGUF_I8,
    TN_GGUF_U16,
    TN_GGUF_I16,
    TN_GGUF_U32,
    TN_GGUF_I32,
    TN_GGUF_F32,
    TN_GGUF_BOOL,
    TN_GGUF_STRING,
    TN_GGUF_ARRAY,
    TN_GGUF_U64,
    TN_GGUF_I64,
    TN_GGUF_F64,
    TN_GGUF_TYPES
} TnGgufType;

typedef struct TnGgufKey {
    const char *name;      /* NUL-terminated copy */
    TnGgufType type, elem; /* elem: of arrays */
    uint64_t n;            /* elements; 1 for scalars; bytes of a string */
    const uint8_t *data;   /* in the file: the scalar, the string's bytes, or the first element */
    bool asked;            /* tn_gguf_key has found it: somebody knows the name */
    bool overridden;       /* by tn_gguf_override */
} TnGgufKey;

typedef struct TnGgufTensor {
    const char *name; /* NUL-terminated copy */
    uint32_t rank;
    uint64_t ne[4]; /* innermost first, as in the file; 1 beyond rank */
    uint32_t type;  /* the file's number */
    TnEnc enc;
    const char *type_name; /* what the number means in this file, "I2_S"; NULL before that is known */
    const char *
        type_maker; /* the only program that has such a type, "bitnet.cpp"; NULL: several do, or it is not known */
    uint64_t offset; /* in the file */
    const uint8_t *data;
    size_t bytes;
} TnGgufTensor;

/* A number that forks use for different types, and how this file's meaning was found. */
typedef struct TnGgufSettled {
    uint32_t type;
    const char *name, *rule; /* "Q2_0 of llama.cpp" */
} TnGgufSettled;

/* Names that tn_gguf_key did not find: what the file might have said, too. */
typedef struct TnGgufAbsent {
    TnArena arena;
    TnMap map;
    const char **names;
    size_t n, cap;
} TnGgufAbsent;

typedef struct TnGguf {
    TnFile file;
    TnArena arena;
    const char *path;
    TnGgufKey *keys;
    size_t n_keys;
    TnMap key_map;
    TnGgufAbsent *absent;
    TnGgufTensor *tensors;
    size_t n_tensors;
    TnMap tensor_map;
    TnGgufSettled *settled;
    size_t n_settled;
    uint64_t table_hash; /* XXH3-64 of everything before the tensor data */
    void *vocab;         /* image, made on demand */
    size_t vocab_bytes;
    const char *vocab_note; /* a line about it for a note, or NULL */
    struct TnGguf **parts;  /* of a model in several files: those after the first, which hold their tensors */
    size_t n_parts, cap_parts;
} TnGguf;

/* Maps and checks; *out must be closed. A model in several files (NAME-00001-of-00003.gguf) is opened by the path of any of
 * them, and all are read (gguf_parts.c). Tensors of a type Tern does not read are refused by name, unless the
 * file is opened for its vocabulary alone. */
TernStatus tn_gguf_open(const char *path, bool vocab_only, TnGguf **out, TernError *err);
/* One file, whatever it says about parts. `first`: the first part of the model that this is a part of; may be NULL. */
TernStatus tn_gguf_open_part(const char *path, bool vocab_only, const TnGguf *first, TnGguf **out,
                             TernError *err);
/* The same over a mapped file, which the object unmaps, also if it is refused. `name` is for messages. */
TernStatus tn_gguf_open_mapped(TnFile file, const char *name, bool vocab_only, TnGguf **out, TernError *err);
/* The same over memory that outlives the object (the embedded model, tests). `name` is for messages. */
TernStatus tn_gguf_open_memory(const void *bytes, size_t n, const char *name, bool vocab_only, TnGguf **out,
                               TernError *err);
void tn_gguf_close(TnGguf *g);

/* KEY=TYPE:VALUE with TYPE int, float, bool or str: replaces or adds a key, before the graph is made. Refuses a key that
 * is given again, and general.alignment: by the time it could be replaced, tensors have their places. */
TernStatus tn_gguf_override(TnGguf *g, const char *spec, TernError *err);
/* Refuses an override that nobody has read so far, with the name nearest to it of those that were looked for. To be
 * called once everything is read that a caller reads: the graph, the vocabulary, or both. */
TernStatus tn_gguf_overrides_read(const TnGguf *g, TernError *err);

/* ---- keys.c. A getter for a missing key gives the default if `required` is false. Ranges are closed. */
const TnGgufKey *tn_gguf_key(const TnGguf *g, const char *name); /* NULL if absent */
TernStatus tn_gguf_uint(const TnGguf *g, const char *name, bool required, uint64_t lo, uint64_t hi,
                        uint64_t *io_value, TernError *err);
/* Also an array of `layers` integers, all the same. */
TernStatus tn_gguf_uint_layers(const TnGguf *g, const char *name, bool required, uint64_t layers, uint64_t lo,
                               uint64_t hi, uint64_t *io_value, TernError *err);
TernStatus tn_gguf_float(const TnGguf *g, const char *name, bool required, double lo, double hi,
                         float *io_value, TernError *err);
TernStatus tn_gguf_bool(const TnGguf *g, const char *name, bool required, bool *io_value, TernError *err);
/* A string as it lies in the file, not NUL-terminated; *out is NULL if it is absent and not required. */
TernStatus tn_gguf_bytes(const TnGguf *g, const char *name, bool required, const char **out, size_t *out_n,
                         TernError *err);
/* A copy, NUL-terminated and without a NUL inside; NULL if absent and not required. */
TernStatus tn_gguf_string(TnGguf *g, const char *name, bool required, const char **out, TernError *err);
/* An integer of any width as sign and magnitude; false if the type is another. */
bool tn_gguf_int_at(TnGgufType type, const uint8_t *p, bool *out_negative, uint64_t *out);
const char *tn_gguf_type_name(TnGgufType t);
size_t tn_gguf_type_bytes(TnGgufType t); /* 0 for strings and arrays */

const TnGgufTensor *tn_gguf_tensor(const TnGguf *g, const char *name); /* NULL if absent */
/* Its tensors by name; of NULL none, as suits a graph without `gguf` nodes. */
TnWeights tn_gguf_weights(const TnGguf *g);

/* ---- tensor_types.c: what the numbers of tensor types mean. Sets enc, type_name and bytes of all tensors, which have
 * their shapes and offsets, and g->settled. `data` is where tensor data begins. Refuses by name a type that is not read,
 * and a number whose meaning the file leaves open. */
TernStatus tn_gguf_size_tensors(TnGguf *g, size_t data, size_t align, TernError *err);
/* Reads all I2_S tensors by another layout than that of Microsoft's files, of which nothing in a file tells: "128x32" (that
 * one), "64x16" or "1x4". Refuses other words, a file without such a tensor, and shapes that the layout does not have. To be
 * called before the graph is made. */
TernStatus tn_gguf_i2s_layout(TnGguf *g, const char *layout, TernError *err);
/* ---- tl_config.c: turns all TL1 and TL2 tensors into I2_S in memory, by the tiles of a kernel_config.ini of bitnet.cpp. Refuses a
 * list that lacks a shape, or whose tiles do not divide it, and a file without such a tensor. To be called before the graph is
 * made. */
TernStatus tn_gguf_tl_config(TnGguf *g, const char *path, TernError *err);
/* As its makers call it, "I2_S", of a file that may yet be refused; NULL if the number is unknown,
 * "undecided" if it has several meanings and the file was refused before one was chosen. */
const char *tn_gguf_tensor_type_name(const TnGgufTensor *t);

/* ---- known.c: what keys mean */
typedef enum TnKeyRule {
    TN_RULE_HARMLESS, /* read elsewhere, or without effect on results */
    TN_RULE_IS, /* a number, or an array of numbers, all equal to `neutral`; `text` says what another is, or is NULL */
    TN_RULE_IS_HEAD, /* equal to the columns of a head */
    TN_RULE_IS_BASE, /* equal to the rope's base */
    TN_RULE_IS_TRUE,
    TN_RULE_IS_FALSE,
    TN_RULE_IS_TEXT, /* one of the words of `text`, between blanks */
    TN_RULE_REFUSED, /* whatever it holds; `text` says what it does */
    TN_RULE_NAMED    /* without effect here, but somebody may think it has one */
} TnKeyRule;
typedef struct TnKeyRow {
    const char *name; /* one that begins with a dot is of the architecture; a * in it stands for anything */
    TnKeyRule rule;
    double neutral;
    const char *text;
} TnKeyRow;
/* Of the model that is read: */
typedef struct TnGgufNeutral {
    double head, base; /* columns of a head; the rope's base */
} TnGgufNeutral;
/* Whether a name is of the pattern, in which one * stands for anything. */
bool tn_gguf_fits(const char *pattern, const char *name);
struct TnArch; /* arch.h */
/* Refuses by name a key that changes weights, activations or positions in a way that the graph does not. */
TernStatus tn_gguf_check_keys(TnGguf *g, const struct TnArch *arch, const TnGgufNeutral *model,
                              TernError *err);
/* Refuses a part of a model that was split into several files. */
TernStatus tn_gguf_whole(const TnGguf *g, TernError *err);
/* To be called after everything is read that a caller reads: names in one line (out->text) the keys that were passed
 * over though nobody knows them to be harmless; false if there are none. vocab_only: those of the tokenizer alone. */
bool tn_gguf_note(TnGguf *g, bool vocab_only, TernError *out);

/* ---- arch.c */
typedef struct TnGgufOptions {
    bool ternary_dense; /* block matrices stored F32, F16 or BF16 must hold -s, 0, s and run as ternary */
    bool no_hash;       /* leave hash=0 in the graph instead of reading every tensor */
    uint32_t
        context; /* positions that the model is to run; longrope chooses its factors by it (arch_rope.c); 0: as
                           many as it was first trained with, or context_length */
} TnGgufOptions;
/* The model-stage graph and the facts (which borrow from g). */
TernStatus tn_gguf_graph(TnGguf *g, const TnGgufOptions *options, TnGraph **out, TnFacts *facts,
                         TernError *err);

/* ---- vocab.c: the vocabulary image, owned by g; *out is NULL (and the status TERN_OK) if the file has no
 * tokenizer. */
TernStatus tn_gguf_vocab(TnGguf *g, const void **out, size_t *out_bytes, TernError *err);

#endif
