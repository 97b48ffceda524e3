/* Tern's compile interface: from a GGUF file to a blob, or to a running model. What looks at models instead (verify, diff,
 * inspect, pictures, ..) is ternc_tools.h, of the same library.
 *
 * libternc holds the compiler and LLVM; programs that only run blobs do not need it. The program `tern` opens it
 * with dlopen for the verbs that compile.
 *
 *   source   a model file (GGUF), or NULL for the small model embedded in the library
 *   levels   CPU feature levels to emit code for: "avx2", "avx512-vnni", "amx", "neon-dotprod"; or "ref" for none,
 *            whose kernels are evaluated by the reference evaluator, slowly, with the same bits
 *   target   who makes the code of a level's kernels, where there is a choice: ternc_targets()
 *
 * A whole program, compile at load and step (tests compile and run it: tests/cli/example_compile.c):
 *
 *   TernError err;
 *   TerncSource source = {.size = sizeof source, .path = "model.gguf"};
 *   TernModel *model;
 *   if (ternc_load(&source, NULL, NULL, &model, &err)) { fprintf(stderr, "%s\n", err.text); return 1; }
 *   // from here on tern.h: tern_pool_create, tern_session_create, tern_session_step
 *
 * and ahead of time:
 *
 *   TerncOptions options = {.size = sizeof options, .levels = "avx2,avx512-vnni"};
 *   ternc_compile(&source, &options, "model.tern", NULL, &err);
 *
 * Errors as in tern.h: a status and one line; a call that fails leaves nothing allocated and no file. All calls are
 * thread-safe and hold no global state. Option structs and pointers are as tern.h says: checked field by field, NULL or
 * zero means the default, and a name that is "" is refused. */
#ifndef TERNC_H
#define TERNC_H

#include "tern.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the library was built with, e.g. "LLVM 19.1.7". */
TERN_API const char *ternc_version(void);
/* Who can make kernels in this build: "xsmm, llvm, ref", best liked first; which of them there are is chosen when it is
 * built. */
TERN_API const char *ternc_targets(void);

typedef struct TerncSource {
    size_t size;
    const char *path; /* GGUF; NULL: the embedded model */
    const char *const
        *overrides; /* "KEY=TYPE:VALUE", replacing or adding metadata; one that nobody reads is refused */
    uint32_t n_overrides;
    int ternary_dense; /* block matrices stored dense must hold -s, 0, s and run as ternary */
    const char *tir;   /* a graph of stage=model that runs instead of the file's own, with the file's weights,
                          vocabulary and context: text, "-" is standard input; may be NULL */
    /* Receives a line, without a newline, that names the keys of the file which nothing here knows and which were ignored,
     * once the file is read; not called if there are none. May be NULL. */
    void (*note)(void *user, const char *line);
    void *note_user;
} TerncSource;

typedef struct TerncOptions {
    size_t size;
    const char *levels; /* comma list; default: all this machine has (compile), the best one (load) */
    const char *cap;    /* load: the default level is at most this one */
    uint32_t context;   /* largest context; default: the model's */
    uint32_t kvs;       /* cache types that sessions may ask for, 1u << TernKv each; default: all */
    /* "f16" or "f32" for embedding and head tables; "q8" or "q6": without loss, and with a copy of 8 or 6 bits
     * by which the best are found; default: without loss */
    const char *head;
    /* One of ternc_targets(): it makes all kernels, or those that it can do; default: the best for each kernel. One that makes
     * no code, "ref", has its kernels evaluated, at any level. */
    const char *target;
    int (*progress)(void *user, const char *phase, uint64_t done,
                    uint64_t total); /* nonzero cancels; may be NULL */
    void *user;
    /* Above 0: kernels of the best level that this machine runs are tuned by running them for at most about so long:
     * how they are cut, how far they fetch ahead. Results are the same bits, the blob's bytes are not. 0: not tuned,
     * and a blob depends on the model, the options and the version alone. */
    double tune_seconds;
    uint32_t tune_threads;  /* that it is tuned for; default: as many as a pool has by default */
    const char *tune_cache; /* a file that keeps what was measured; NULL: none */
    int tune_write; /* that it cannot be written, or is another kind of file, is an error before work; else a line
                               of tune_text */
    void (*tune_text)(void *user, const char *text, size_t size); /* receives lines; may be NULL */
    /* compile and load: called once, when all is known of the model and nothing of it has been compiled, for a caller to
     * refuse by a nonzero value what would not fit it. Of info the sizes in bytes are 0; vocab is the vocabulary image
     * or NULL. Valid during the call. May be NULL. */
    int (*known)(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes);
} TerncOptions;

typedef struct TerncReport {
    uint64_t file_bytes, weight_bytes, code_bytes, meta_bytes, tir_bytes;
    uint32_t n_variants, n_kernels, n_unique;
    double seconds, seconds_passes, seconds_tune, seconds_codegen, seconds_weights;
    char levels[96];
    char refused[200]; /* "", or code that a target would have used but which failed its test, and why */
} TerncReport;

/* Compiles to a file, which appears whole or not at all, or, with "-", to standard output. A pipe or a device is written
 * front to back, for which the weights are made twice. Refused before any work: a path that cannot be written, and one
 * that is the same file as the source, the .tir or the tuning cache. report may be NULL. */
TERN_API TernStatus ternc_compile(const TerncSource *source, const TerncOptions *options, const char *path,
                                  TerncReport *report, TernError *err);
/* Compiles to memory and opens the result; tern_model_close frees it. */
TERN_API TernStatus ternc_load(const TerncSource *source, const TerncOptions *options, TerncReport *report,
                               TernModel **out, TernError *err);
/* Opens a blob whose kernels are evaluated from its embedded IR instead of its code. options
 * as in tern_model_open. */
TERN_API TernStatus ternc_open_ref(const char *path, const TernModelOptions *options, TernModel **out,
                                   TernError *err);
/* The vocabulary image of a GGUF file (one with a vocabulary alone will do); free() it. */
TERN_API TernStatus ternc_vocab(const TerncSource *source, void **out, size_t *out_size, TernError *err);

#ifdef __cplusplus
}
#endif
#endif
