/* Models for the verbs: the flags that say which model it is and how it runs, opening or compiling it, the device that runs
 * it, and the compiler library. */
#ifndef TN_CLI_MODELS_H
#define TN_CLI_MODELS_H

#include <stdatomic.h>
#include "frontends/cli/args.h"
#include "frontends/api/ternc_tools.h"
#include "codegen/targets.h"
#include "runtime/tern.h"
#include "runtime/text/text.h"
#include "runtime/abi/kvs.h"
#include "runtime/abi/levels.h"

/* ---- tune_flags.c: --tune of compile, run and bench */
typedef struct TuneFlags {
    const char *seconds, *cache; /* "-": given without a value */
    char path[4096];
} TuneFlags;
#define TUNE_FLAGS(t)                                                                                        \
    {"--tune",                                                                                               \
     "SECONDS",                                                                                              \
     FLAG_OPT,                                                                                               \
     &(t).seconds,                                                                                           \
     0,                                                                                                      \
     0,                                                                                                      \
     "choose packings, cuts, prefetch distances and panels by measuring, for at most SECONDS (default 5)"},  \
    {                                                                                                        \
        "--tune-cache", "FILE", FLAG_STR, &(t).cache, 0, 0,                                                  \
            "file that keeps what --tune measured; default: tern/tune in $XDG_CACHE_HOME or ~/.cache"        \
    }
/* Returns the path of the tuning cache, which may lie in *t; NULL without --tune. */
const char *tuning_cache(TuneFlags *t);
/* Gives the path of the user's cache `name`: tern/NAME in $XDG_CACHE_HOME or ~/.cache. False if neither is set, or if the
 * path does not fit. */
bool cache_path(const char *name, char *out, size_t size);
/* Makes the missing folders before the last part of a path. A failure shows when the file is written. */
void make_folders(char *path);
/* If --tune is given, sets the options of *o that the flags ask for; exits 2 on a mistake. The path of the
 * cache may lie in *t, which must live as long as *o. */
void set_tuning(const Verb *verb, TuneFlags *t, int64_t threads, TerncOptions *o);

/* ---- load.c: models and the compiler library */
/* Called when a model's facts are known and before there is code for it, so that a verb can refuse lengths,
 * ids or a text early. `vocab` is the vocabulary image or NULL; if the model is being compiled, it is valid
 * only during the call. Returns an exit status. */
typedef int KnownFn(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes);
typedef struct ModelFlags {
    const char *model;   /* NULL: the embedded one */
    const char *weights; /* for a .tir; NULL: the embedded model's */
    const char *cpu, *target, *device, *kv, *head, *i2s_layout;
    const char *type_k, *type_v; /* llama.cpp's spelling of kv */
    StrList overrides;
    bool ternary_dense, no_check, huge;
    int64_t threads;
    const char *cpus;         /* CPUS_FLAG; NULL: not given */
    const char *memory_limit; /* MEMORY_FLAG; likewise */
    uint32_t context;         /* of a model that is compiled: positions that will be run; 0: the model's */
    TuneFlags tune;
    float keep_gib; /* KEEP_FLAGS */
    bool no_keep;
    KnownFn *known; /* called by load_model; may be NULL */
    void *known_user;
    TernPool *pool;  /* borrowed, for what loading needs one for; NULL: load_model makes one */
    bool only_known; /* load_model ends when the facts are known: what had to be compiled is not there then */
    bool
        late_check; /* what an earlier start has kept is not checked if that would copy its weights: the caller will */
    bool anew;  /* what an earlier start has kept is not used */
    bool apart; /* what is kept is compiled in a process of its own (compile_apart.h) */
    const atomic_bool
        *cancelled; /* another thread sets it: compiling ends as TERN_ERR_CANCELLED; NULL: nobody does */
} ModelFlags;
#define I2S_LAYOUT_HELP                                                                                      \
    "how I2_S tensors of a .gguf lie, which it cannot tell: 128x32 (default), 64x16 or 1x4"
#define MODEL_FLAGS(m)                                                                                       \
    {"-m --model", "FILE", FLAG_STR, &(m).model, 0, 0, "the model, if not given as a word"},                 \
        {"--weights",                                                                                        \
         "FILE.gguf",                                                                                        \
         FLAG_STR,                                                                                           \
         &(m).weights,                                                                                       \
         0,                                                                                                  \
         0,                                                                                                  \
         "the tensors of a .tir (a graph as text, stage=model); default: the embedded model's"},             \
        {"-t --threads",                                                                                     \
         "N",                                                                                                \
         FLAG_INT,                                                                                           \
         &(m).threads,                                                                                       \
         1,                                                                                                  \
         1024,                                                                                               \
         "worker threads (default: all processors, or as many as the CPU quota allows)"},                    \
        {"--kv", "TYPE", FLAG_STR, &(m).kv, 0, 0, "KV cache: f16 (default), f32 or i8"},                     \
        {"-ctk --cache-type-k",                                                                              \
         "TYPE",                                                                                             \
         FLAG_STR,                                                                                           \
         &(m).type_k,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         "llama.cpp's spelling of --kv; must equal -ctv"},                                                   \
        {"-ctv --cache-type-v",                                                                              \
         "TYPE",                                                                                             \
         FLAG_STR,                                                                                           \
         &(m).type_v,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         "llama.cpp's spelling of --kv; must equal -ctk"},                                                   \
        {"--cpu",                                                                                            \
         "LEVEL",                                                                                            \
         FLAG_STR,                                                                                           \
         &(m).cpu,                                                                                           \
         0,                                                                                                  \
         0,                                                                                                  \
         TN_LEVEL_CPU_NAMES_THEN(": the highest CPU feature level to use")},                                 \
        {"--head",                                                                                           \
         "TYPE",                                                                                             \
         FLAG_STR,                                                                                           \
         &(m).head,                                                                                          \
         0,                                                                                                  \
         0,                                                                                                  \
         "for a .gguf: f32, f16: convert the head table; q8, q6, q5: also store a quantized copy that "      \
         "shortlists the best ids, same ids"},                                                               \
        {"--target", "NAME", FLAG_STR, &(m).target, 0, 0, target_help()},                                    \
        {"--device",                                                                                         \
         "NAME",                                                                                             \
         FLAG_STR,                                                                                           \
         &(m).device,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         "what runs the model: cpu (default), cuda[:N], or auto: a GPU that can, else the cpu"},             \
        {"--override-kv",                                                                                    \
         "KEY=TYPE:VALUE",                                                                                   \
         FLAG_LIST,                                                                                          \
         &(m).overrides,                                                                                     \
         0,                                                                                                  \
         0,                                                                                                  \
         "replace a metadata key of a .gguf; TYPE is int, float, bool or str"},                              \
        {"--i2s-layout", "NAME", FLAG_STR, &(m).i2s_layout, 0, 0, I2S_LAYOUT_HELP}, {                        \
        "--ternary-dense", NULL, FLAG_BOOL, &(m).ternary_dense, 0, 0,                                        \
            "run block weights that are stored dense as ternary; refused unless all are -s, 0 or s"          \
    }

#define NO_CHECK_FLAG(m)                                                                                     \
    { "--no-check", NULL, FLAG_BOOL, &(m).no_check, 0, 0, "for a .tern: do not verify the weights' hashes" }

#define HUGE_FLAG(m)                                                                                         \
    {                                                                                                        \
        "--huge", NULL, FLAG_BOOL, &(m).huge, 0, 0,                                                          \
            "move a .tern's weights into huge pages; a .gguf's are put there unless they are kept in a file" \
    }

/* For verbs that call load_model. */
#define KEEP_FLAGS(m)                                                                                        \
    {"--keep",                                                                                               \
     "GIB",                                                                                                  \
     FLAG_FLOAT,                                                                                             \
     &(m).keep_gib,                                                                                          \
     0,                                                                                                      \
     1e6,                                                                                                    \
     "keep what is compiled from a .gguf for the next start, at most GIB of it in all, the oldest goes "     \
     "first (16; 0: nothing; or $TERN_KEEP)"},                                                               \
    {                                                                                                        \
        "--no-keep", NULL, FLAG_BOOL, &(m).no_keep, 0, 0, "keep nothing and use nothing that was kept"       \
    }

#define CPUS_FLAG(m)                                                                                         \
    {                                                                                                        \
        "--cpus", "LIST", FLAG_STR, &(m).cpus, 0, 0,                                                         \
            "processors to run on, such as 0-3 or 0,2, one worker bound to each (default: all that the "     \
            "process "                                                                                       \
            "may run on, none bound)"                                                                        \
    }

/* For verbs that call load_model and make sessions. */
#define MEMORY_FLAG(m)                                                                                       \
    {                                                                                                        \
        "--memory-limit", "SIZE", FLAG_STR, &(m).memory_limit, 0, 0,                                         \
            "refuse to start if weights, code and cache need more, such as 900M, 2G or 1Gi (default: no "    \
            "limit)"                                                                                         \
    }

/* All flags about the model, for verbs that call load_model and make sessions. The second list is for those that also take
 * --huge and --tune. */
#define SESSION_FLAGS(m)       MODEL_FLAGS(m), KEEP_FLAGS(m), CPUS_FLAG(m), MEMORY_FLAG(m), NO_CHECK_FLAG(m)
#define TUNED_SESSION_FLAGS(m) HUGE_FLAG(m), TUNE_FLAGS((m).tune), SESSION_FLAGS(m)

/* What runs a model (device.c). */
typedef struct DeviceChoice {
    char name[16]; /* for TernModelOptions.device; "": the default */
    bool automatic;
    char why[200]; /* the rest of auto's line about a GPU that has not been printed yet; "": there is none */
} DeviceChoice;

typedef struct Loaded {
    TernModel *model;
    TernPool *pool;
    bool borrows_pool;
    TernModelInfo info;
    double seconds;
    bool compiled; /* at load */
    bool tight;    /* report_start has printed its line about memory */
    bool kept;     /* its weights lie in the file of a kept blob, not in memory of this process */
    DeviceChoice device;
    uint32_t cpus[CPUS_MOST], n_cpus; /* --cpus; 0: not given */
    const Verb *verb;                 /* these two as load_model got them */
    const ModelFlags *flags;
} Loaded;
/* Opens (a .tern) or compiles (a .gguf) the model and makes the pool. Returns an exit status; if flags->known
 * refuses the model, that is its status. */
int load_model(const Verb *verb, const ModelFlags *flags, Loaded *out);
/* The same with the error in *err instead of on standard error; of flags->known the status is in *code. flags->pool is given. */
TernStatus load_quietly(const Verb *verb, const ModelFlags *flags, Loaded *out, int *code, TernError *err);
/* Makes the pool that the flags ask for: the first part of load_model. unload_model ends it. Returns an exit status. */
int load_pool(const Verb *verb, const ModelFlags *flags, Loaded *out);
/* What load_model compiles by these flags: the source and the options, but for callbacks and tuning. device: NULL is the cpu.
 * Returns the type of the cache. */
TernKv load_arguments(const Verb *verb, const ModelFlags *flags, const char *device, TerncSource *source,
                      TerncOptions *o);
/* Verifies the weights now, with the workers of the pool; a session would do it. */
TernStatus check_weights(TernModel *model, TernPool *pool, TernKv kv, TernError *err);
/* A session of the model could not be made. Returns true if --device auto had chosen a GPU: then a line says why, and the model
 * has been loaded anew for the cpu, so the session is to be made again. What belongs to the old model is gone, its vocabulary
 * too; flags->known is not asked again. False: *err says what the verb fails with. */
bool load_for_cpu(Loaded *l, TernStatus status, TernError *err);
void unload_model(Loaded *l);
/* Leaves a note if there are more threads than --cpus (`of`) has processors. */
void note_crowded(const char *flag, uint32_t threads, const char *of, uint32_t n_cpus);
/* Leaves a note if the evaluator is chosen: the flag `name` (-t) has no effect then. */
void note_idle_threads(const Verb *verb, const ModelFlags *flags, const char *name);
/* Exits 2 if the flag that fills `out` is given and the file is a graph as text or compiled. */
void only_of_gguf(const Verb *verb, const char *path, const void *out);
/* With --huge, prints how many bytes of the weights lie in huge pages. Call it once there is a session. */
void report_huge(const ModelFlags *flags, const Loaded *l);
/* Leaves a note that n values saturated in an f16 cache; does nothing if n is 0. */
void note_saturated(uint64_t n);
/* Parses f16 (also if kv is NULL), f32 or i8; exits 2 on another word. */
TernKv parse_kv(const Verb *verb, const char *kv);
/* Takes the type from --kv, or from -ctk and -ctv. Keys and values have one type, so it exits 2 unless all
 * agree; without --kv, -ctk or -ctv counts as f16 if it is not given. */
TernKv kv_of_flags(const Verb *verb, const ModelFlags *flags);
/* Parses a comma list of cache types into a mask, 1u << TernKv each. */
uint32_t parse_kvs(const Verb *verb, const char *list);
/* print_note prints the line of TerncSource.note. take_note is for text callbacks: if `what` is "note" it
 * prints the line and returns true. */
void print_note(void *user, const char *line);
bool take_note(const char *what, const char *text, size_t n);
/* Opens the vocabulary of a .gguf or a .tern. The caller closes the vocabulary, and after it frees *image and
 * closes *model. */
int load_vocab(const Verb *verb, const ModelFlags *flags, TernVocab **out, void **image, TernModel **model);
/* The help text of --target. */
const char *target_help(void);
/* Makes the arguments of a ternc.h call from the flags: a source, or, if the model is compiled, *blob, its
 * path. Also checks --target. */
TernStatus source_of_flags(const Verb *verb, const ModelFlags *flags, TerncSource *out, const char **blob,
                           TernError *err);
/* tn_file_read for a text written by a person; refuses files that are known not to be text. */
TernStatus read_text_file(const char *path, size_t limit, char **out, size_t *out_size, TernError *err);
/* Whether the file begins with GGUF. */
bool is_gguf(const char *path);
/* Whether the word names a graph as text: FILE.tir, or "-" for standard input; NULL is fine. */
bool is_tir(const char *path);

/* ---- device.c: --device
 * Exits 2 if the flag's value is no name of a device, or goes against --target. For auto, if that is the cpu, it prints a line
 * that says so and why. */
DeviceChoice choose_device(const Verb *verb, const ModelFlags *flags);
/* With auto, the GPU is taken when it has opened the model and made the session: prints the line, once. */
void report_device(DeviceChoice *choice);
/* For verbs that call load_model, when there is a session: report_device, and a line if the process's control group may not
 * use as much memory as the model and its sessions take, once. */
void report_start(Loaded *l);
/* With auto, the cpu takes over if the GPU could not open the model or make a session: prints the line and returns true. */
bool fall_back(DeviceChoice *choice, TernStatus status, const TernError *err);

/* ---- compiler.c: what happens when the compiler library runs out of memory
 * While `compiling` is set, an abort prints one line and exits 1. */
void compiler_aborts(bool compiling);
bool compiler_has_room(void); /* whether there is address space to open it */
const char *
compiler_refused(const char *why); /* the loader's message, with "out of memory" if that was the cause */
void compiler_handlers(void *lib);

/* The compiler library, opened on first use. */
typedef struct TerncCalls {
    const char *(*version)(void);
    TernStatus (*compile)(const TerncSource *, const TerncOptions *, const char *, TerncReport *,
                          TernError *);
    TernStatus (*load)(const TerncSource *, const TerncOptions *, TerncReport *, TernModel **, TernError *);
    TernStatus (*open_ref)(const char *, const TernModelOptions *, TernModel **, TernError *);
    TernStatus (*emit)(const TerncSource *, const TerncOptions *, const char *, TerncTextFn *, void *,
                       TernError *);
    TernStatus (*vocab)(const TerncSource *, void **, size_t *, TernError *);
    TernStatus (*opt)(const TerncOpt *, TerncTextFn *, void *, TernError *);
    TernStatus (*inspect)(const char *, TerncTextFn *, void *, TernError *);
    TernStatus (*eval)(const TerncEval *, TerncTextFn *, void *, TernError *);
    TernStatus (*import)(const TerncImport *, TerncTextFn *, void *, TernError *);
    TernStatus (*diff)(const TerncDiff *, TerncTextFn *, void *, int *, TernError *);
    TernStatus (*convert)(const TerncConvert *, TernError *);
    TernStatus (*picture)(const TerncPicture *, TerncTextFn *, void *, TernError *);
    TernStatus (*verify)(const TerncVerify *, TerncTextFn *, void *, int *, TernError *);
    TernStatus (*check_device)(const TerncDeviceCheck *, TerncTextFn *, void *, int *, TernError *);
    TernStatus (*cost)(const TernModel *, uint32_t, TerncCost **, uint32_t *, TernError *);
} TerncCalls;
TernStatus find_ternc(const TerncCalls **out, TernError *err);
const TerncCalls *
ternc(void); /* the same for a verb: if the library cannot be opened, prints a line and exits 1 */
/* The path of the compiler library in libtern's folder; NULL if libtern's path names no folder. free() it. */
char *compiler_beside(const char *libtern);
bool ternc_present(void);

#endif
