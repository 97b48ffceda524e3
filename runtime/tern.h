/* Tern's run interface: open a compiled model (.tern), make a session, step it.
 *
 *   pool     worker threads; shared by any models and sessions, one step at a time each
 *   model    an opened blob: immutable, mapped, shared by threads
 *   session  slots (sequences) with their KV cache and all memory a step needs, one allocation made up front
 *   step     a ragged batch of rows in, results out: prefill, decode, batched decode and the checking of
 *            guessed tokens are the same call with different rows
 *
 * The promise: the same rows give the same bits, whatever the thread count, the other rows in the batch,
 * how a prompt is cut into steps, the CPU feature level, and whether the code was compiled ahead or at load.
 *
 * A whole program, greedy text from token ids (tests compile and run it: tests/cli/example_run.c):
 *
 *   TernError err;
 *   TernPool *pool; TernModel *model; TernSession *s;
 *   if (tern_pool_create(NULL, &pool, &err) || tern_model_open("m.tern", NULL, &model, &err) ||
 *       tern_session_create(model, pool, NULL, &s, &err)) { fprintf(stderr, "%s\n", err.text); return 1; }
 *   int32_t next = 0;                                   // set by the sink from result->id
 *   TernRow rows[3] = {{1, 0, TERN_WANT_NOTHING}, {2, 0, TERN_WANT_NOTHING}, {3, 0, TERN_WANT_GREEDY}};
 *   tern_session_step(s, rows, 3, sink, &next, &err);
 *   for (int i = 0; i < 16; i++) {
 *       TernRow row = {next, 0, TERN_WANT_GREEDY};
 *       tern_session_step(s, &row, 1, sink, &next, &err);
 *   }
 *   tern_session_destroy(s); tern_model_close(model); tern_pool_destroy(pool);
 *
 * Errors: every call that can fail returns a TernStatus and one line in *err (may be NULL), which is empty after
 * success. Outputs are untouched on failure. What is wrong with an argument is TERN_ERR_INPUT and a line that names it.
 * Signals: no handlers are set, and a pool's workers block all but faults. A blob that somebody cuts short while it is
 * open is SIGBUS in whoever reads it, which is the application's to handle; replacing it by renaming is safe.
 * Threads: a model may be used by any threads; a session and a pool by one at a time. Needs libc and
 * threads alone.
 * Option structs, here and in text.h and ternc.h: they start with their size, sizeof of the caller's own. NULL means all
 * defaults; zero fields mean the default too (in text.h start from the macro). Fields beyond the size are not read and are
 * the defaults; bytes beyond what the library knows must be zero. Refused, by name: a size of 0 or one that ends inside a
 * field, set bytes that nobody knows, and a value that is out of range or has no effect beside the others. A struct that
 * is filled in and starts with its size (TernSessionBytes) is filled in as far as that.
 * Pointers: an out pointer, a text or a list that is NULL is refused by whatever returns a status; so is a NULL handle.
 * Functions without a status need live handles, unless they say otherwise. */
#ifndef TERN_H
#define TERN_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct TernPool TernPool;
typedef struct TernModel TernModel;
typedef struct TernSession TernSession;

TERN_API const char *tern_version(void); /* "0.1.0" */
/* Feature levels this machine can run, best first, as a comma list ("avx512-vnni,avx2"); "" if none. */
TERN_API const char *tern_cpu_levels(void);
/* "amx" if the processor has it but the system refuses its tiles to this process (the first question about
 * levels asks for them, once, by arch_prctl); else "". */
TERN_API const char *tern_cpu_refused(void);

/* ---- pool */
typedef struct TernPoolOptions {
    size_t size;
    uint32_t threads;     /* workers, the calling thread among them; 0: as many as the process may
                             run on, or as its quota of processor time is good for */
    const uint32_t *cpus; /* optional: processor of worker i is cpus[i % n_cpus] */
    uint32_t n_cpus;
} TernPoolOptions;
TERN_API TernStatus tern_pool_create(const TernPoolOptions *options, TernPool **out, TernError *err);
TERN_API void tern_pool_destroy(TernPool *pool); /* NULL is fine, here and below */
TERN_API uint32_t tern_pool_threads(const TernPool *pool);

/* ---- model */

/* A launch and its code, as TernKernels.watch gets them. */
typedef struct TernWatch {
    uint32_t variant, launch;
    const void *args;   /* a TnLaunch (runtime/abi/kernel.h) */
    void (*code)(void); /* a TnKernelFn */
    int64_t units;
    void *scratch;      /* what TernKernels.scratch asked for */
    void *code_scratch; /* the scratch that `code` needs, for its tile */
} TernWatch;

/* Kernels evaluated instead of compiled code (`--target ref`): set by the compiler library. */
typedef struct TernKernels {
    size_t size;
    void *user;
    /* Scratch bytes for a launch when symbols are at most sym_max (TN_ABI_SYMS values). */
    size_t (*scratch)(void *user, uint32_t variant, uint32_t launch, const int64_t *sym_max);
    /* The whole launch; `launch_args` is a TnLaunch (runtime/abi/kernel.h). No allocation, thread-safe. */
    void (*run)(void *user, uint32_t variant, uint32_t launch, const void *launch_args, void *scratch);
    /* Called when the model closes; may be NULL. */
    void (*destroy)(void *user);
    /* Instead of run, to hold code against something else: the model's code is mapped too, and this is called
     * for every launch; who wants the launch's results calls `code`. May be NULL. */
    void (*watch)(void *user, const TernWatch *launch);
} TernKernels;

typedef struct TernModelOptions {
    size_t size;
    const char *cpu; /* cap on the feature level, e.g. "avx2"; NULL: the best the machine has */
    int no_check;    /* do not verify the weights' hashes */
    /* Sessions lie in huge pages, where the system has such. tern_model_open also moves the weights into them while
     * the first session is made (tern_model_huge_bytes says how many). */
    int huge;
    const TernKernels *kernels;                                  /* evaluate instead of running code */
    void (*release)(void *user, const void *bytes, size_t size); /* open_memory: called at close */
    void *release_user;
} TernModelOptions;

/* Maps and checks a blob: everything but the weights' bytes, which are verified while sessions are made; no
 * result leaves a first step before that has ended. Refuses with one line that names the section.
 * The weights stay in the file: it may be replaced or deleted while the model is open, but not written to or cut. */
TERN_API TernStatus tern_model_open(const char *path, const TernModelOptions *options, TernModel **out,
                                    TernError *err);
/* The same over memory (64-byte aligned) that stays unchanged until the model is closed. */
TERN_API TernStatus tern_model_open_memory(const void *bytes, size_t size, const TernModelOptions *options,
                                           TernModel **out, TernError *err);
TERN_API void tern_model_close(TernModel *model); /* after its sessions */

/* Elements of the cache. I8: codes, and an f32 scale a position and head. */
typedef enum TernKv { TERN_KV_F16 = 1, TERN_KV_F32 = 2, TERN_KV_I8 = 3 } TernKv;

typedef struct TernModelInfo {
    const char *arch, *name, *desc; /* valid until close */
    const char *level;              /* feature level chosen, or "ref" */
    uint32_t n_vocab, n_context, n_layers, n_hidden, n_ffn, n_heads, n_kv_heads, head_dim;
    uint64_t n_params, file_bytes, weight_bytes;
    uint32_t max_rows; /* of the largest batch class: longer steps are chunked */
} TernModelInfo;
TERN_API void tern_model_info(const TernModel *model, TernModelInfo *out);
/* How many bytes of the weights lie in huge pages now; call it once there is a session. Asks the system: slow. */
TERN_API uint64_t tern_model_huge_bytes(const TernModel *model);
/* The vocabulary image for tern_vocab_open (text/text.h); NULL if the model has none. */
TERN_API const void *tern_model_vocab(const TernModel *model, size_t *out_size);
/* Section `index` of a kind (TN_SECTION_* of runtime/abi/blob.h), NULL if there is none: for tools. */
enum { TERN_SECTION_TIR = 8 }; /* index 0: the planned graphs as text, one a variant */
TERN_API const void *tern_model_section(const TernModel *model, uint32_t kind, uint32_t index,
                                        size_t *out_size);

/* ---- session */
typedef struct TernSessionOptions {
    size_t size;
    uint32_t slots;   /* sequences held at once; default 1 */
    uint32_t context; /* positions a slot may hold; default min(4096, the model's) */
    uint32_t batch;   /* most rows run at once; default and most: the model's max_rows */
    uint32_t wants;   /* most rows with results run at once; default min(batch, 16) */
    TernKv kv;        /* default f16 */
    void *memory;     /* optional: 64-aligned, zeroed, tern_session_bytes() long, the caller's */
    size_t memory_bytes;
} TernSessionOptions;

/* What a session with these options takes, all of it: arena, scratch of every worker, caches, tables. Set its size. */
typedef struct TernSessionBytes {
    size_t size;
    uint64_t total; /* of this machine's memory: what TernSessionOptions.memory must hold */
    uint64_t arena, scratch, cache, tables;
    uint64_t
        device; /* beside the total, of a device's own memory, in which arena, scratch and cache lie then; 0: none */
} TernSessionBytes;
TERN_API TernStatus tern_session_bytes(const TernModel *model, const TernPool *pool,
                                       const TernSessionOptions *options, TernSessionBytes *out,
                                       TernError *err);
/* The model and pool must outlive the session. Nothing allocates after this returns. */
TERN_API TernStatus tern_session_create(TernModel *model, TernPool *pool, const TernSessionOptions *options,
                                        TernSession **out, TernError *err);
TERN_API void tern_session_destroy(TernSession *session);

typedef enum TernWant {
    TERN_WANT_NOTHING = 0,
    TERN_WANT_GREEDY = 1, /* id of the largest logit, lowest on ties */
    TERN_WANT_TOP = 2,    /* up to 256 best ids and logits, best first */
    TERN_WANT_LOGITS = 3, /* all logits */
    TERN_WANT_HIDDEN = 4  /* the final normalised row */
} TernWant;

typedef struct TernRow {
    int32_t token;
    uint32_t slot;
    uint32_t want; /* TernWant */
} TernRow;

typedef struct TernResult {
    size_t row; /* index in the step's rows */
    uint32_t want;
    int32_t id;     /* wants 1 to 3: the greedy id */
    uint32_t n_top; /* want 2 */
    const int32_t *top_ids;
    const float *top_logits;
    const float *logits; /* want 3: n_vocab values */
    const float *hidden; /* want 4: n_hidden values */
} TernResult;            /* pointers are valid during the call of the sink only */

typedef void TernSinkFn(void *user, const TernResult *result);

/* Appends the rows to their slots, in order, and runs them; the sink gets one result for every row with a
 * want, rising by row. More rows than fit at once are run in chunks. Fails without change when a token,
 * slot or want is out of range or a slot would grow past the context; fails with TERN_ERR_NUMERIC naming
 * the row when its logits or its hidden row hold NaN or infinity (the slots then hold the rows up to the end of that chunk),
 * and with a line of the device's when a device fails: then empty the slots, which may hold anything. */
TERN_API TernStatus tern_session_step(TernSession *session, const TernRow *rows, size_t n, TernSinkFn *sink,
                                      void *user, TernError *err);
/* Positions held by a slot. */
TERN_API uint32_t tern_session_length(const TernSession *session, uint32_t slot);
/* How many keys and values that the session's steps stored came to the largest number of an f16 cache, 65504, as
 * everything above it does: such a model wants a cache of f32. Always 0 with other caches. */
TERN_API uint64_t tern_session_saturated(const TernSession *session);
/* Forgets positions from n on; n = 0 empties the slot. */
TERN_API TernStatus tern_session_truncate(TernSession *session, uint32_t slot, uint32_t n, TernError *err);
/* Makes slot `to` (emptied first) a copy of `from`. Whole pages are shared, not copied. */
TERN_API TernStatus tern_session_fork(TernSession *session, uint32_t from, uint32_t to, TernError *err);

/* ---- profile: where a session's time goes, launch by launch and worker by worker.
 *
 * Attached to a session from create to destroy, which comes before the session's; one at a time. Results keep
 * their bits, steps still allocate nothing; each worker reads the clock twice a launch. Reading it is for the
 * thread that steps, between steps. Times are in nanoseconds, sums over all calls since create or reset. */
typedef struct TernProfile TernProfile;
typedef struct TernProfileOptions {
    size_t size;
    uint32_t events; /* most events kept, for a trace; default 0: sums alone. 32 bytes each */
} TernProfileOptions;
TERN_API TernStatus tern_profile_create(TernSession *session, const TernProfileOptions *options,
                                        TernProfile **out, TernError *err);
TERN_API void tern_profile_destroy(TernProfile *profile);
TERN_API void tern_profile_reset(TernProfile *profile); /* forgets everything seen */
TERN_API uint32_t tern_profile_workers(const TernProfile *profile);
/* Programs of the session, one a batch class, those that never ran too. */
TERN_API uint32_t tern_profile_programs(const TernProfile *profile);

typedef struct TernProfileProgram {
    uint32_t variant;          /* which PROG and PLAN section, and which graph of TIR */
    uint32_t rows_lo, rows_hi; /* batch class */
    uint32_t n_launches;
    uint64_t runs, ns; /* how often it ran, and how long from the calling thread's view */
    uint64_t idle_ns;  /* of ns: before the first launch */
    uint64_t rest_ns;  /* not of ns: inputs filled in, results handed to the sink. ns + rest_ns: the steps */
    uint64_t weight_bytes; /* of its plan: of distinct weights that a run reads */
    uint64_t sym[8];       /* sums over runs of T R K H S P N L (runtime/abi/kernel.h) */
    uint64_t held;         /* sum over runs of the positions held by the slots of its rows */
    uint64_t attended;     /* sum over rows of the positions up to their own */
} TernProfileProgram;
TERN_API void tern_profile_program(const TernProfile *profile, uint32_t program, TernProfileProgram *out);

typedef struct TernProfileLaunch {
    const char *name; /* borrowed, as is busy_ns */
    uint64_t calls;
    uint64_t ns;          /* its part of the run; with all wait_ns and idle_ns they make the program's ns */
    uint64_t wait_ns;     /* from its last worker's end to the next launch's begin: the barrier */
    uint64_t slowest_ns;  /* sum over calls of the slowest worker's time */
    uint64_t busy_all_ns; /* sum over workers */
    const uint64_t *busy_ns; /* by worker */
} TernProfileLaunch;
TERN_API void tern_profile_launch(const TernProfile *profile, uint32_t program, uint32_t launch,
                                  TernProfileLaunch *out);

typedef struct TernProfileEvent {
    uint64_t begin, end;              /* on the monotonic clock */
    uint32_t program, launch, worker; /* launch UINT32_MAX: the whole run */
    uint32_t rows;                    /* T of the run */
} TernProfileEvent;
/* In the order of runs and launches, a run after its launches; those that found no room are counted. */
TERN_API const TernProfileEvent *tern_profile_events(const TernProfile *profile, size_t *out_n,
                                                     uint64_t *out_dropped);

#ifdef __cplusplus
}
#endif
#endif
