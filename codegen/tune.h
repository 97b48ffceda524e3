/* Tuning: measures what of a kernel has no closed form, on the machine that compiles.
 *
 * Tuning chooses some numbers of a kernel over columns. The grain is the number of columns a unit; it decides how large a
 * strip a product of many rows unpacks at once, and how evenly workers share. The others are how far ahead weights are
 * fetched, and into which cache, for each way in which the kernel reads them (TnPrefetch), and whether a product of many rows
 * unpacks them first where it need not (TnKernel.panels). All are in the planned text, and no bit of a result depends on them.
 * Before that it chooses whether weights are packed in base 3 (b80), which is for the whole blob. Everything else either
 * follows from the machine's description or was measured to be the same everywhere.
 *
 * A kernel's `shape` is what its speed depends on: level, op, weight, batch class, parts and heads. Kernels of one shape
 * get the same setting. The choices are kept in a table by shape and machine, which is a text file between runs. */
#ifndef TN_TUNE_H
#define TN_TUNE_H

#include "codegen/codegen.h"

typedef struct TnSetting {
    int64_t grain;
    TnPrefetch prefetch;
    bool panels;
} TnSetting;

/* ---- setting.c: whether a planned kernel has a setting: it has units of columns, and code. */
bool tn_tune_can(const TnGraph *g, uint32_t kernel);
/* "avx2 tmatmul p64[3840,2560] rows=1..1 parts=2560,640,640 heads=128"; a part of several slices is "6912*2". */
void tn_tune_shape(const TnGraph *g, uint32_t kernel, TnBuf *out);
/* Whether its target has code for it with panels and without. */
bool tn_tune_has_panels(const TnGraph *g, uint32_t kernel);
TnSetting tn_tune_get(const TnGraph *g, uint32_t kernel);
/* Sets grain, units, distances and panels. The grain is rounded up to whole heads, and the units follow from it. */
void tn_tune_set(TnGraph *g, uint32_t kernel, TnSetting s);

/* ---- The machine that settings are for. Strings are borrowed. */
typedef struct TnTuneMachine {
    const char *cpu;     /* the processor's own name */
    const char *version; /* of the program and its code generator: other code is tuned again */
    uint32_t threads;
    bool huge; /* weights lie in huge pages, as those of a model compiled at load do */
} TnTuneMachine;

/* ---- tune_table.c: settings and packings by machine and shape.
 *
 *   tune 1
 *   kernel "avx2 tmatmul ..." {cpu="..", threads=2, pages=small, tern="..", grain=128, prefetch_l1=1024, prefetch_l2=8192}
 *   packing "avx2 tmatmul ..." {cpu="..", threads=2, pages=small, tern="..", base3=yes}
 *
 * One line for each choice; `;` begins a comment. Names and strings are as in .tir. The other distances of ir/attrs.def may
 * follow, in its order, if they are not 0, and panels=1. The shape of a packing is the kernel's without base 3. */
typedef enum TnTunedKind { TN_TUNED_KERNEL, TN_TUNED_PACKING } TnTunedKind;
typedef struct TnTuned {
    TnTunedKind kind;
    const char *shape;
    TnTuneMachine machine;
    TnSetting s; /* of a kernel */
    bool base3;  /* of a packing */
    bool fresh;  /* added since the table was read */
} TnTuned;
typedef struct TnTuneTable {
    TnTuned *v; /* oldest first */
    size_t n, cap;
    TnArena arena;
} TnTuneTable;
enum { TN_TUNE_MOST = 4096 }; /* choices in a file; the oldest are dropped */
/* Returns NULL if there is none. */
const TnTuned *tn_tune_find(const TnTuneTable *t, TnTunedKind kind, const TnTuneMachine *m,
                            const char *shape);
/* Adds a choice, whose strings are copied, and removes the older one of its kind, machine and shape. */
void tn_tune_put(TnTuneTable *t, const TnTuned *choice);
void tn_tune_free(TnTuneTable *t);
void tn_tune_print(const TnTuneTable *t, TnBuf *out);
/* Adds the choices of a text. On failure it adds nothing, and err is "FILE:LINE:COL: found .., expected ..". */
TernStatus tn_tune_parse(const char *text, size_t n, const char *file, TnTuneTable *t, TernError *err);
/* Adds the choices of a file. A missing file counts as empty. */
TernStatus tn_tune_read(const char *path, TnTuneTable *t, TernError *err);
/* Refuses a file that is not a tuning cache, since tn_tune_write would replace it. A missing or empty file is fine, and so is
 * a cache with a fault after its first word. */
TernStatus tn_tune_check(const char *path, TernError *err);
/* Replaces the file as a whole. Writes the fresh choices and also those that the file has now, if it can be read, since
 * another process may have written it in the meantime. Writers wait for each other, but only for some seconds, and not
 * where files cannot be locked. Without the lock, only the choices of the last writer may be kept. */
TernStatus tn_tune_write(const char *path, const TnTuneTable *t, TernError *err);

/* ---- tune.c: settings of a planned text that was edited by hand. They hold for kernels of the same shapes, on any machine.
 * tn_tune_take reads the settings of a graph, none of one that is not planned; tn_tune_give sets them. */
void tn_tune_take(TnTuneTable *t, const TnGraph *g);
void tn_tune_give(const TnTuneTable *t, TnGraph *g);

/* ---- tune.c: choosing.
 *
 * The tuner opens a kernel with n settings and takes samples of them in turns, so that other work of the machine disturbs
 * all of them alike. */
typedef struct TnTuneBench {
    void *user;
    /* Prepares to run the kernel with each of the settings. On failure it leaves nothing open. */
    TernStatus (*open)(void *user, const TnGraph *g, uint32_t kernel, const TnSetting *s, uint32_t n,
                       TernError *err);
    /* Seconds of one launch over all columns, from launches that take some milliseconds together. */
    double (*sample)(void *user, uint32_t setting);
    void (*close)(void *user);
    double (*now)(void *user); /* the clock for TnTuneOptions.seconds */
} TnTuneBench;
/* tune_run.c: the real bench, with threads of its own and with weights that do not fit a cache, together with those of
 * `others` benches that take samples in turn with it. */
TernStatus tn_tune_bench_create(const TnTuneMachine *m, uint32_t others, TnTuneBench *out, TernError *err);
void tn_tune_bench_destroy(TnTuneBench *b);

/* The part of the first setting's time that the other saves, from the times of both in the same rounds. 0 unless the median
 * of the rounds saves at least TN_TUNE_LEAST and the other was faster in three rounds of four. */
#define TN_TUNE_LEAST 0.03
double tn_tune_gain(const double *first, const double *other, uint32_t rounds);
enum { TN_TUNE_ROUNDS = 15, TN_TUNE_LEAST_ROUNDS = 5 };
/* A setting of the kernel that a bench has open. */
typedef struct TnTuneRun {
    const TnTuneBench *bench;
    uint32_t setting;
} TnTuneRun;
/* Takes samples of n runs in rounds, each of which begins with another run, and sets times[run][round]. Ends after
 * TN_TUNE_ROUNDS, or at `end` if there are TN_TUNE_LEAST_ROUNDS by then, and at `last` in any case; both by the clock of the
 * first bench. Returns the number of rounds, 0 if there are too few. */
uint32_t tn_tune_rounds(const TnTuneRun *runs, uint32_t n, double end, double last,
                        double times[][TN_TUNE_ROUNDS]);

typedef struct TnTuneOptions {
    double seconds;    /* time limit */
    double used;       /* of these, by tn_tune_packing */
    const char *level; /* kernels of other levels stay as they are */
    TnTuneMachine machine;
    const char *cache;        /* a file; NULL: none */
    const TnTuneTable *more;  /* fresh choices that tn_tune writes with its own; may be NULL */
    bool must_write;          /* failure to write the file is an error; otherwise it is a line of text */
    const TnTuneBench *bench; /* NULL: the real bench */
    const TnTuneBench
        *other; /* a second one, with the same clock, for tn_tune_packing; NULL exactly if bench is */
    /* Receives lines for people: faults of the cache, then the table. May be NULL. */
    void (*text)(void *user, const char *text, size_t n);
    TnProgressFn *progress; /* may be NULL; both get this user */
    void *user;
} TnTuneOptions;

/* ---- tune_packing.c: the choice of base 3, which comes before that of settings.
 *
 * `model` has had the first half of the passes. ctx is for the level to tune, for which base 3 is at least TN_MERIT_CAN;
 * ctx->base3 says what is chosen where nothing else is faster. Sets ctx->base3 and ctx->base3_dims, which lie in the arena.
 * Takes choices from the cache if it has them, and measures the others. Adds what it measured to `out`, for tn_tune to write,
 * and the seconds to *seconds. */
TernStatus tn_tune_packing(const TnGraph *model, TnPassCtx *ctx, const TnTuneOptions *options, TnArena *arena,
                           TnTuneTable *out, double *seconds, TernError *err);

/* Tunes the kernels of planned graphs. Takes settings from the cache if it has them. Measures the other kernels, the most
 * used first, until the time limit. A kernel that is not reached keeps its setting, and so does a kernel for which nothing is
 * faster by more than the noise. */
TernStatus tn_tune(TnGraph *const *gs, uint32_t n, const TnTuneOptions *options, TernError *err);

#endif
