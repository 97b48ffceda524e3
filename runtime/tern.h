/* Tern's run interface: open a compiled model (.tern), make a session, step it.
 *
 *   pool     worker threads; shared by any models and sessions, one step at a time each
 *   model    an opened blob: immutable, mapped, shared by threads
 *   session  slots (sequences) with their KV cache and all memory a step needs, one allocation made up front
 *   step     a ragged batch of rows in, results out. Prefill, decode, batched decode and the checking of
 *            guessed tokens are the same call with different rows.
 *
 * The promise: the same rows give the same bits. The number of threads, the other rows in the batch, the way
 * a prompt is cut into steps and the CPU feature level do not change them, nor does it matter whether the
 * code was compiled ahead of time or at load.
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
 * Errors: every call that can fail returns a TernStatus and writes one line to *err, which is empty after success. err
 * may be NULL. On failure outputs are left as they were. A bad argument is TERN_ERR_INPUT, and the line names it.
 * Signals: the library sets no handlers, and a pool's workers block every signal but faults. If another process truncates
 * a blob while it is open, a thread that reads it gets SIGBUS; the application must handle that. Replacing the file by
 * renaming is safe.
 * Threads: any number of threads may use a model; only one at a time may use a session or a pool.
 * Dependencies: libc and threads.
 * Option structs, here and in text.h and ternc.h, start with their size: sizeof the struct that the caller was compiled
 * with. A NULL struct means all defaults, and a zero field means its default (in text.h, start from the macro). Fields
 * beyond the size are not read and have their defaults; bytes beyond what the library knows must be zero. These are
 * errors that name the field: a size of 0, a size that ends inside a field, nonzero bytes that the library does not know,
 * a value out of range, and a value that has no effect beside the others. A result struct that starts with its size
 * (TernSessionBytes) is filled in up to that size.
 * Pointers: a function that returns a status refuses a NULL handle, and a NULL out pointer, text or list.
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
/* The feature levels that this machine can run, best first, separated by commas ("avx512-vnni,avx2"); "" if none. */
TERN_API const char *tern_cpu_levels(void);
/* "amx" if the processor has AMX but the system refuses its tiles to this process, else "". The first call that asks
 * about levels requests the tiles, once, with arch_prctl. */
TERN_API const char *tern_cpu_refused(void);

/* ---- pool */
typedef struct TernPoolOptions {
    size_t size;
    uint32_t threads;     /* workers, including the calling thread; 0: one for each processor that the process
                             may run on, or as many as its quota of processor time allows if that is fewer */
    const uint32_t *cpus; /* optional: worker i runs on processor cpus[i % n_cpus] */
    uint32_t n_cpus;
} TernPoolOptions;
TERN_API TernStatus tern_pool_create(const TernPoolOptions *options, TernPool **out, TernError *err);
TERN_API void tern_pool_destroy(TernPool *pool); /* NULL is fine, here and below */
TERN_API uint32_t tern_pool_threads(const TernPool *pool);

/* ---- devices: what runs models besides the processors. The driver's library, libcuda.so.1, is opened when one of these
 * calls or a model asks for it. */

typedef struct TernDevice {
    size_t size;
    char device[16]; /* "cuda:0": TernModelOptions.device */
    char name[112];  /* "NVIDIA H200" */
    char levels[40]; /* the feature levels that it runs, best first, as in tern_cpu_levels; "" if none */
    uint32_t major, minor; /* compute capability */
    uint32_t driver;       /* the newest CUDA that its driver knows: 1000 * major + 10 * minor */
    uint32_t multiprocessors;
    uint64_t memory; /* bytes */
} TernDevice;
/* Gives the number of devices. Without a usable driver it fails, and the line says why. */
TERN_API TernStatus tern_devices(uint32_t *out, TernError *err);
/* Gives what is known of a device: "cuda", "cuda:N", or "cpu", of which only the levels. Set `size` before the call. */
TERN_API TernStatus tern_device(const char *device, TernDevice *out, TernError *err);

/* ---- lab: single kernels of PTX text on a GPU, for tools that compare code with what it should do */
typedef struct TernLab TernLab;
typedef struct TernLabBuffer {
    void *data;
    size_t bytes;
    int written; /* copy it back after the launch */
} TernLabBuffer;
typedef struct TernLabLaunch {
    size_t size;
    const char *entry;
    uint32_t grid, threads, shared; /* CTAs; threads, and bytes of dynamic shared memory, of each */
    uint32_t n_buffers;             /* at most 512 */
    const TernLabBuffer *buffers; /* the entry's parameters are the addresses of their copies on the device */
    uint32_t grid_y;              /* CTAs are `grid` times so many; 0: as 1 */
} TernLabLaunch;
/* Opens a device, "cuda" or "cuda:N". */
TERN_API TernStatus tern_lab_open(const char *device, TernLab **out, TernError *err);
/* Compiles a text. It takes the place of the one before, also if it is refused: then there is none. */
TERN_API TernStatus tern_lab_load(TernLab *lab, const char *text, TernError *err);
/* Runs an entry on copies of the buffers and waits for it. If a kernel faults, all later calls may fail. */
TERN_API TernStatus tern_lab_run(TernLab *lab, const TernLabLaunch *launch, TernError *err);
TERN_API void tern_lab_close(TernLab *lab);

/* ---- model */

/* What TernKernels.watch gets: a launch and its code. */
typedef struct TernWatch {
    uint32_t variant, launch;
    const void *args;   /* a TnLaunch (runtime/abi/kernel.h) */
    void (*code)(void); /* a TnKernelFn */
    int64_t units;
    void *scratch;      /* as large as TernKernels.scratch said */
    void *code_scratch; /* the scratch that `code` needs, for its tile */
} TernWatch;

/* Callbacks that evaluate kernels in place of compiled code (`--target ref`). The compiler library sets them. */
typedef struct TernKernels {
    size_t size;
    void *user;
    /* Returns the scratch bytes of a launch whose symbols are at most sym_max (TN_ABI_SYMS values). */
    size_t (*scratch)(void *user, uint32_t variant, uint32_t launch, const int64_t *sym_max);
    /* Runs the whole launch; `launch_args` is a TnLaunch (runtime/abi/kernel.h). Must be thread-safe and not allocate. */
    void (*run)(void *user, uint32_t variant, uint32_t launch, const void *launch_args, void *scratch);
    /* Called when the model closes; may be NULL. */
    void (*destroy)(void *user);
    /* Takes the place of run, to compare the model's code with something else: the code is loaded too, and watch is called
     * for every launch. It must call `code` itself if the launch's results are needed. May be NULL. */
    void (*watch)(void *user, const TernWatch *launch);
} TernKernels;

typedef struct TernModelOptions {
    size_t size;
    const char *cpu; /* cap on the feature level, e.g. "avx2"; NULL: the best level of the machine */
    int no_check;    /* do not verify the hashes of the weights */
    /* Put sessions into huge pages, where the system has them, except the first 2 MiB of a layer's keys and of its values.
     * After tern_model_open the weights are moved into huge pages too, while the first session is made;
     * tern_model_huge_bytes returns how many bytes were. */
    int huge;
    const TernKernels *kernels; /* evaluate kernels instead of running code */
    void (*release)(void *user, const void *bytes, size_t size); /* tern_model_open_memory: called at close */
    void *release_user;
    const char *device; /* what runs the model: "cpu" (default), "cuda" or "cuda:N" (see tern_device) */
} TernModelOptions;

/* Maps a blob and checks all of it but the bytes of the weights. Those are verified while the first session is made, so
 * no step gives a result before the check has ended. The error line names the section at fault.
 * The weights stay in the file. While the model is open the file may be deleted, or replaced by renaming (mv), but must not be
 * written to (cp) or truncated: a step fails if it finds another section table there, and reading past the end of the file
 * gives SIGBUS. */
TERN_API TernStatus tern_model_open(const char *path, const TernModelOptions *options, TernModel **out,
                                    TernError *err);
/* The same for a blob in memory, which must be 64-byte aligned and stay unchanged until the model is closed. */
TERN_API TernStatus tern_model_open_memory(const void *bytes, size_t size, const TernModelOptions *options,
                                           TernModel **out, TernError *err);
TERN_API void tern_model_close(TernModel *model); /* close it after its sessions are destroyed */

typedef struct TernHash {
    uint8_t bytes[16];
} TernHash;

/* What a compiled file says of itself. */
typedef struct TernBlobInfo {
    size_t size;
    TernHash hash;         /* of the file: of its head and section table, which hold the hashes of all else */
    uint32_t version, abi; /* of the format; this library reads one of each */
    uint32_t n_context;    /* largest context */
    uint64_t file_bytes, n_params;
    char levels[128]; /* that it has code for, separated by commas; "ref": none, it can only be evaluated */
    char name[112], arch[64], desc[112],
        producer[64]; /* the last is the program that wrote it, "tern 0.1.0" */
} TernBlobInfo;
/* Verifies a file of any level, also of other machines, as a whole: all hashes, those of the weights too, and all that
 * tern_model_open checks. Of a program with a blob in it, the hash and the sizes are those of the blob. The error line names the section at fault. Set `size` before the call. Reads all of the file. */
TERN_API TernStatus tern_blob_check(const char *path, TernBlobInfo *out, TernError *err);

/* How the cache stores its elements. I8: int8 codes, with one f32 scale for each position and head. */
typedef enum TernKv { TERN_KV_F16 = 1, TERN_KV_F32 = 2, TERN_KV_I8 = 3 } TernKv;

/* How the hidden rows of a text become one vector: not at all, by their mean, or the first or the last row alone. */
typedef enum TernPooling {
    TERN_POOLING_UNSAID = 0, /* no key of the model's file says it */
    TERN_POOLING_NONE = 1,
    TERN_POOLING_MEAN = 2,
    TERN_POOLING_CLS = 3,
    TERN_POOLING_LAST = 4
} TernPooling;

typedef struct TernModelInfo {
    const char *arch, *name, *desc; /* valid until close */
    const char *level;              /* the chosen feature level, or "ref" */
    uint32_t n_vocab, n_context, n_layers, n_hidden, n_ffn, n_heads, n_kv_heads, head_dim;
    uint64_t n_params, file_bytes, weight_bytes;
    uint32_t max_rows;  /* rows of the largest batch class; a step with more is run in chunks */
    const char *device; /* "cpu", "cuda:0" */
    TernPooling pooling;
} TernModelInfo;
TERN_API void tern_model_info(const TernModel *model, TernModelInfo *out);
/* How many bytes of the weights are in huge pages now. Call it after a session was made. Slow: it asks the system. */
TERN_API uint64_t tern_model_huge_bytes(const TernModel *model);
/* The memory that a model takes besides its sessions, in bytes, on the level that was chosen. The first four are all of the
 * file's weights. Set `size` before the call. */
typedef struct TernModelMemory {
    size_t size;
    uint64_t whole; /* weights that decoding a token reads whole, or may read whole */
    uint64_t rows;  /* tables of which a step reads a few rows */
    uint64_t
        longer; /* weights that only steps of several rows read: prompts, or sequences that are decoded together */
    uint64_t unused; /* weights of other levels, and what lies between weights */
    uint64_t
        resident; /* of the weights, what stays in this machine's memory while tokens are decoded: `whole`, or all of
                          them if they do not lie in the file, or nothing if a device holds them */
    uint64_t code;
    uint64_t sessions; /* what the sessions of the model take now: the sum of TernSessionBytes.total */
} TernModelMemory;
TERN_API TernStatus tern_model_memory(const TernModel *model, TernModelMemory *out, TernError *err);
/* Sets what resident weights, code and all sessions of the model together may take; 0: no limit. From then on
 * tern_session_create refuses what would take more, before it reads the weights, and the line has the sizes
 * (TERN_ERR_MEMORY). What the program takes besides is not counted. */
TERN_API void tern_model_limit(TernModel *model, uint64_t bytes);
/* What decides the contents of a cache: the weights, the graphs and the code of all levels of a blob, and the version of the
 * library. Which level or device runs it does not count, nor do names and the largest context. So two compilations of a model
 * have the same hash if they have the same version, levels, cache types, head and target, and are tuned alike or not at all. */
TERN_API TernHash tern_model_hash(const TernModel *model);
/* The vocabulary image for tern_vocab_open (text/text.h), or NULL if the model has none. Valid until close. */
TERN_API const void *tern_model_vocab(const TernModel *model, size_t *out_size);
/* For tools: the bytes of section `index` of a kind (TN_SECTION_* of runtime/abi/blob.h), or NULL if there is none. */
enum { TERN_SECTION_TIR = 8 }; /* index 0: the planned graphs as text, one for each variant */
TERN_API const void *tern_model_section(const TernModel *model, uint32_t kind, uint32_t index,
                                        size_t *out_size);

/* ---- session */
typedef struct TernSessionOptions {
    size_t size;
    uint32_t slots;   /* sequences held at once; default 1 */
    uint32_t context; /* positions that a slot can hold; default min(4096, the model's n_context) */
    uint32_t batch;   /* most rows that run at once; default and maximum: the model's max_rows */
    uint32_t wants;   /* most rows with results that run at once; default min(batch, 16) */
    TernKv kv;        /* default f16 */
    void *memory;     /* optional: the caller's memory, 64-byte aligned, zeroed, tern_session_bytes() long */
    size_t memory_bytes;
    uint32_t
        hidden; /* most rows with a hidden row that run at once, which need less memory; default: wants */
    /* Pages of TERN_PAGE positions that the slots share; default and maximum: as many as let all slots be full. With fewer,
     * the sum of what slots hold is bounded, and a step that needs a page when none is free is refused. */
    uint32_t pages;
} TernSessionOptions;

/* All memory that a session with these options takes, in bytes: arena, scratch of every worker, caches, tables.
 * Set `size` before the call. */
typedef struct TernSessionBytes {
    size_t size;
    uint64_t total; /* of this machine's memory: the least size of TernSessionOptions.memory */
    uint64_t arena, scratch, cache, tables;
    uint64_t
        device; /* not in the total: memory of a device that holds arena, scratch and cache; 0: no device */
} TernSessionBytes;
TERN_API TernStatus tern_session_bytes(const TernModel *model, const TernPool *pool,
                                       const TernSessionOptions *options, TernSessionBytes *out,
                                       TernError *err);
/* The model and the pool must outlive the session. After this returns, no call allocates for the session. */
TERN_API TernStatus tern_session_create(TernModel *model, TernPool *pool, const TernSessionOptions *options,
                                        TernSession **out, TernError *err);
TERN_API void tern_session_destroy(TernSession *session);

typedef enum TernWant {
    TERN_WANT_NOTHING = 0,
    TERN_WANT_GREEDY = 1, /* the id of the largest logit; the lowest id on ties */
    TERN_WANT_TOP = 2,    /* up to 256 best ids and their logits, best first */
    TERN_WANT_LOGITS = 3, /* all logits */
    TERN_WANT_HIDDEN = 4  /* the final normalised hidden row */
} TernWant;

typedef struct TernRow {
    int32_t token;
    uint32_t slot;
    uint32_t want; /* TernWant */
} TernRow;

typedef struct TernResult {
    size_t row;     /* index in the rows of the step */
    uint32_t want;  /* TernWant of that row */
    int32_t id;     /* GREEDY, TOP, LOGITS: the greedy id */
    uint32_t n_top; /* TOP */
    const int32_t *top_ids;
    const float *top_logits;
    const float *logits; /* LOGITS: n_vocab values; TOP: NULL, or the same if the step had them anyway */
    const float *hidden; /* HIDDEN: n_hidden values */
} TernResult;            /* pointers are valid only during the call of the sink */

typedef void TernSinkFn(void *user, const TernResult *result);

/* Appends the rows to their slots, in order, and runs them. The sink gets one result for every row that wants one, in
 * the order of the rows. If there are more rows than fit at once, they are run in chunks. Errors:
 * - A token, slot or want is out of range, or a slot would grow past the context, or there are too few free pages: nothing
 *   has changed.
 * - The logits or the hidden row of a row hold NaN or infinity: TERN_ERR_NUMERIC, and the line names the row. The slots
 *   then hold the rows up to the end of that chunk.
 * - A device fails: the line is the device's. The slots may then hold anything; empty them. */
TERN_API TernStatus tern_session_step(TernSession *session, const TernRow *rows, size_t n, TernSinkFn *sink,
                                      void *user, TernError *err);
/* Whether a row may want this: 1, or 0 if the model was compiled without that output. */
TERN_API int tern_session_gives(const TernSession *session, TernWant want);
/* The number of positions that a slot holds. */
TERN_API uint32_t tern_session_length(const TernSession *session, uint32_t slot);
/* How many keys and values that the session's steps stored in an f16 cache have the largest magnitude of f16, 65504.
 * Larger values are stored as that, so a model for which this is not 0 needs an f32 cache. Always 0 for other caches. */
TERN_API uint64_t tern_session_saturated(const TernSession *session);
/* Removes the positions from n on; n = 0 empties the slot. */
TERN_API TernStatus tern_session_truncate(TernSession *session, uint32_t slot, uint32_t n, TernError *err);
/* Empties slot `to`, then makes it a copy of `from`. Whole pages are shared, not copied. */
TERN_API TernStatus tern_session_fork(TernSession *session, uint32_t from, uint32_t to, TernError *err);

/* The pages of a session's cache. Slots that were forked share whole pages, and one that is not full until one of them
 * writes into it. Set `size` before the call. */
typedef struct TernSessionPages {
    size_t size;
    uint32_t total, free;
    uint32_t shared; /* held by more than one slot; each counts once */
} TernSessionPages;
TERN_API TernStatus tern_session_pages(const TernSession *session, TernSessionPages *out, TernError *err);
/* How many pages these rows need beyond those that are free; 0: a step has enough for them. The rows must be such that the
 * step would refuse none of them. */
TERN_API uint64_t tern_session_lacks(TernSession *session, const TernRow *rows, size_t n);

/* The cache of a slot as bytes, a page of TERN_PAGE positions at a time, to be stored and given to another session later. The
 * bytes depend on the model (tern_model_hash), on the cache type and on the ids that were run, and on nothing else: not on
 * the session's sizes, nor on the device. */
enum { TERN_PAGE = 64 };
/* The bytes of a page: keys and values of all layers. */
TERN_API size_t tern_session_page_bytes(const TernSession *session);
/* Copies n positions, 1 to TERN_PAGE, from TERN_PAGE * page on, of a slot that holds them. `out` is tern_session_page_bytes()
 * long; what it has after n positions becomes zero. */
TERN_API TernStatus tern_session_read_page(TernSession *session, uint32_t slot, uint32_t page, uint32_t n,
                                           void *out, TernError *err);
/* Appends n positions, 1 to TERN_PAGE, to a slot that holds a multiple of TERN_PAGE. `bytes` is such a page; what it has after
 * n positions is ignored. The caller vouches for the bytes: others give other answers, but do no harm. If a device fails, the
 * slot holds what it held before. Refused if no page is free. */
TERN_API TernStatus tern_session_append_page(TernSession *session, uint32_t slot, const void *bytes,
                                             uint32_t n, TernError *err);

/* ---- profile: where a session's time goes, launch by launch and worker by worker.
 *
 * A profile is attached to its session from create to destroy; destroy it before the session. A session has at most one.
 * Results keep their bits and steps still allocate nothing; each worker reads the clock twice a launch. Read a profile
 * from the thread that steps the session, between steps. Times are in nanoseconds and summed over all calls since create
 * or reset.
 * Its result structs have no size and may grow with each version before 1.0: a program that reads them must be compiled with the
 * header of the very library that it runs with. */
typedef struct TernProfile TernProfile;
typedef struct TernProfileOptions {
    size_t size;
    uint32_t events; /* most events to keep, for a trace, at 32 bytes each; default 0: sums only */
} TernProfileOptions;
TERN_API TernStatus tern_profile_create(TernSession *session, const TernProfileOptions *options,
                                        TernProfile **out, TernError *err);
TERN_API void tern_profile_destroy(TernProfile *profile);
TERN_API void tern_profile_reset(TernProfile *profile); /* sets all sums to 0 and drops all events */
TERN_API uint32_t tern_profile_workers(const TernProfile *profile);
/* The number of programs of the session, one for each batch class, including those that never ran. */
TERN_API uint32_t tern_profile_programs(const TernProfile *profile);

typedef struct TernProfileProgram {
    uint32_t variant;          /* which PROG and PLAN section, and which graph of TIR */
    uint32_t rows_lo, rows_hi; /* batch class */
    uint32_t n_launches;
    uint64_t runs, ns; /* how often it ran, and for how long as the calling thread saw it */
    uint64_t idle_ns;  /* part of ns: the time before the first launch */
    uint64_t rest_ns;  /* not in ns: filling in inputs and giving out results. ns + rest_ns: whole steps */
    uint64_t weight_bytes; /* from its plan: bytes of distinct weights that a run reads */
    uint64_t sym[8];       /* sums over runs of T R K H S P N L (runtime/abi/kernel.h) */
    uint64_t held;         /* sum over runs: positions held by the slots of the run's rows */
    uint64_t attended;     /* sum over rows: positions up to and including the row's own */
} TernProfileProgram;
TERN_API void tern_profile_program(const TernProfile *profile, uint32_t program, TernProfileProgram *out);

typedef struct TernProfileLaunch {
    const char *name; /* borrowed, as is busy_ns */
    uint64_t calls;
    uint64_t ns;      /* its part of the run. idle_ns plus all launches' ns and wait_ns is the program's ns */
    uint64_t wait_ns; /* from the end of its last worker to the begin of the next launch: the barrier */
    uint64_t slowest_ns;     /* sum over calls of the slowest worker's time */
    uint64_t busy_all_ns;    /* sum of busy_ns over workers */
    const uint64_t *busy_ns; /* for each worker */
    uint64_t units;          /* sum over calls of the units, the pieces that workers take */
} TernProfileLaunch;
TERN_API void tern_profile_launch(const TernProfile *profile, uint32_t program, uint32_t launch,
                                  TernProfileLaunch *out);

typedef struct TernProfileEvent {
    uint64_t begin, end;              /* on the monotonic clock */
    uint32_t program, launch, worker; /* launch UINT32_MAX: the whole run */
    uint32_t rows;                    /* T of the run */
} TernProfileEvent;
/* The events, in the order of runs and launches; the event of a run comes after those of its launches. *out_dropped is
 * the number of events for which there was no room. */
TERN_API const TernProfileEvent *tern_profile_events(const TernProfile *profile, size_t *out_n,
                                                     uint64_t *out_dropped);

#ifdef __cplusplus
}
#endif
#endif
