/* Tern's compile interface: from a GGUF file to a blob, or to a running model. ternc_tools.h, of the same
 * library, has the calls that examine models: verify, diff, inspect, pictures and the like.
 *
 * libternc holds the compiler and LLVM. Programs that only run blobs do not need it. The program `tern` opens
 * it with dlopen for the verbs that compile.
 *
 *   source   a model file (GGUF), or NULL for the small model embedded in the library
 *   levels   CPU feature levels to generate code for: "avx2", "avx-vnni", "avx512-vnni", "amx", "neon", "neon-dotprod", "neon-i8mm", "sm_80", "sm_90a"; or
 *            "ref", which has no code: the reference evaluator runs its kernels, slowly, with the same bits
 *   target   the code generator to use, where there is a choice: ternc_targets()
 *
 * A whole program that compiles at load and runs steps (tests/cli/example_compile.c, which the tests run):
 *
 *   TernError err;
 *   TerncSource source = {.size = sizeof source, .path = "model.gguf"};
 *   TernModel *model;
 *   if (ternc_load(&source, NULL, NULL, &model, &err)) { fprintf(stderr, "%s\n", err.text); return 1; }
 *   // from here on tern.h: tern_pool_create, tern_session_create, tern_session_step
 *
 * To compile ahead of time:
 *
 *   TerncOptions options = {.size = sizeof options, .levels = "avx2,avx512-vnni"};
 *   ternc_compile(&source, &options, "model.tern", NULL, &err);
 *
 * Errors are reported as in tern.h: a status and one line. A call that fails leaves nothing allocated and no
 * file. All calls are thread-safe and hold no global state. Option structs and pointers follow tern.h: every
 * field is checked, NULL or zero means the default, and an empty name ("") is refused. */
#ifndef TERNC_H
#define TERNC_H

#include "tern.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Returns what the library was built with, e.g. "LLVM 19.1.7". */
TERN_API const char *ternc_version(void);
/* Returns the targets (code generators) of this build, e.g. "xsmm, llvm, ptx, ref". Build options decide which of them
 * exist. */
TERN_API const char *ternc_targets(void);

typedef struct TerncSource {
    size_t size;
    const char *path; /* GGUF, or a folder of Hugging Face; NULL: the embedded model */
    /* n_overrides texts "KEY=TYPE:VALUE" that replace or add metadata. An override of a key that is never
     * read is refused. */
    const char *const *overrides;
    uint32_t n_overrides;
    int ternary_dense; /* run dense block matrices as ternary; refused unless all weights are -s, 0 or s */
    /* The layout of all I2_S tensors, which a file does not tell: "128x32", Microsoft's and the default; "64x16", of
     * llama-quantize built for ARM since November 2025; or "1x4", four rows side by side. May be NULL. */
    const char *i2s_layout;
    /* Path of a graph as text (stage=model) that replaces the file's own graph. The weights, vocabulary and
     * context are still the file's. "-" is standard input. May be NULL. */
    const char *tir;
    /* Called once, after the file is read, with one line (no newline) that names the keys of the file that
     * Tern does not know and ignored. Not called if there are none. May be NULL. */
    void (*note)(void *user, const char *line);
    void *note_user;
} TerncSource;

typedef struct TerncOptions {
    size_t size;
    const char *levels; /* comma list; default: all that this machine has (compile), the best one (load) */
    const char *cap;    /* load: the highest level that may be chosen by default */
    uint32_t context;   /* largest context in positions; default: the model's */
    uint32_t kvs;       /* cache types that sessions may ask for, 1u << TernKv each; default: all */
    /* Encoding of the embedding and head tables. "f16" or "f32": converted to it. "q8", "q6" or "q5": kept
     * without loss, plus a quantized copy of 8, 6 or 5 bits that finds the candidates for the best ids; the ids stay the
     * same. Default: kept without loss. */
    const char *head;
    /* One of ternc_targets(): it makes every kernel that it can. Default: the target that makes all kernels of the level.
     * "ref" makes no code: its kernels are evaluated, at any level. */
    const char *target;
    /* Reports progress; a nonzero return cancels. May be NULL. */
    int (*progress)(void *user, const char *phase, uint64_t done, uint64_t total);
    void *user;
    /* Above 0: tune the kernels of the best level that this machine runs, by running them for at most about this many seconds.
     * Tuning chooses whether weights are packed in base 3, how kernels are cut, their prefetch distances, and whether they
     * unpack weights for many rows. It changes the blob's bytes, but no bit of a result. 0: no tuning, and the blob depends
     * only on the model, the options and the version, and on the machine if no levels are given. */
    double tune_seconds;
    uint32_t tune_threads;  /* thread count to tune for; default: a pool's default */
    const char *tune_cache; /* file that keeps the measurements; NULL: none */
    /* What happens if tune_cache cannot be written or is another kind of file. Nonzero: an error before any
     * work. 0: a line for tune_text. */
    int tune_write;
    void (*tune_text)(void *user, const char *text, size_t size); /* receives lines; may be NULL */
    /* compile and load: called once, when the model's facts are known and before anything is compiled. The
     * caller refuses the model by returning nonzero. In info the sizes in bytes are 0. vocab is the
     * vocabulary image or NULL. Both are valid only during the call. May be NULL. */
    int (*known)(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes);
    const char *device; /* load: TernModelOptions.device; decides which levels are the default */
    /* compile: generate code for the one level that ternc_load would choose with these options; cap and device then count
     * as they do there. For a blob that is kept for the next start on this machine. */
    int best;
    /* compile: what is written. "blob" (default). "exe": a copy of a static program tern with the blob in it, which runs
     * that model. "obj": an ELF object with the blob as data, for linkers: `tern_blob` is its first byte, `tern_blob_end` the
     * byte after the last, and tern_model_open_memory takes it. The machine of an object is that of the levels. */
    const char *form;
    const char
        *program; /* form "exe": the static program, for the machine of the levels and of this version */
    /* The family of processors for which weights are packed (b80 in place of b64), fetched ahead and unpacked, where tuning finds
     * nothing faster: one of codegen/families.def, such as "zen4"; "here": this machine's, if it is one of them; "any": what
     * is good everywhere. The code runs on every machine of its level and gives the same bits. Default: "any" if `levels`
     * are given, else "here". */
    const char *family;
} TerncOptions;

typedef struct TerncReport {
    uint64_t file_bytes, weight_bytes, code_bytes, meta_bytes, tir_bytes;
    uint32_t n_variants, n_kernels, n_unique;
    double seconds, seconds_passes, seconds_tune, seconds_codegen, seconds_weights;
    char levels[96];
    char refused[200]; /* "", or which code of a target failed its test and was not used, and why */
} TerncReport;

/* Compiles to a file, which appears whole or not at all. "-" is standard output. A pipe or a device is
 * written front to back, which means that the weights are made twice. Two kinds of path are refused before
 * any work: one that cannot be written, and one that is the same file as the source, the .tir or the tuning
 * cache. report may be NULL. */
TERN_API TernStatus ternc_compile(const TerncSource *source, const TerncOptions *options, const char *path,
                                  TerncReport *report, TernError *err);
/* Compiles to memory and opens the result; tern_model_close frees it. */
TERN_API TernStatus ternc_load(const TerncSource *source, const TerncOptions *options, TerncReport *report,
                               TernModel **out, TernError *err);
/* Opens a blob and evaluates its kernels from its embedded IR instead of running its code. options as in
 * tern_model_open. */
TERN_API TernStatus ternc_open_ref(const char *path, const TernModelOptions *options, TernModel **out,
                                   TernError *err);
/* Makes the vocabulary image of a GGUF file, which may be one that holds only a vocabulary. free() the
 * image. */
TERN_API TernStatus ternc_vocab(const TerncSource *source, void **out, size_t *out_size, TernError *err);

#ifdef __cplusplus
}
#endif
#endif
