/* An engine runs programs. It loads code, holds the memory that kernels see, moves pages of the cache and runs launches;
 * nothing else in the runtime follows an address of that memory or knows what a kernel is.
 *
 *   cpu         engine_cpu.c        compiled code, on the workers of the pool
 *   evaluated   engine_evaluated.c  kernels as a callback computes them (TernKernels)
 *
 * An engine is made for one model and closed with it. Any threads may call it, each for a session of its own, and upload
 * from several at once.
 *
 * Memory. What kernels read and write is allocated by the engine, zeroed, and addressed by space (TnBases). Of an engine
 * that shares the host's memory (`apart` is false) a session takes one block, in which the host's own tables lie beside
 * what kernels see, and nothing is ever copied between the two. One that has memory of its own (`apart`) gets its part
 * by itself; inputs go there and results come back as part of a run.
 *
 * To add one: fill this struct, and give it a row in engine.c. Functions are needed unless they say otherwise. */
#ifndef TN_ENGINE_H
#define TN_ENGINE_H

#include "runtime/program.h"

typedef struct TnEngine TnEngine;

/* Which rows of each output somebody asked for: [first, first + n), by TN_OUT_*. */
typedef struct TnAsked {
    struct {
        uint32_t first, n;
    } rows[TN_OUT_COUNT];
} TnAsked;

struct TnEngine {
    const char *name;   /* also of the device that it is chosen by */
    const char *levels; /* that it runs on this machine, for messages: "avx512-vnni,avx2"; "" if none */
    bool coded; /* runs what it has loaded; false: a level is only a plan and a packing of the weights */
    bool apart; /* its memory is its own: the host must not touch it */

    /* It runs code of that level here; any level if it needs no code. */
    bool (*runs)(const TnEngine *, uint32_t level);
    /* Makes code runnable: a handle for each of code->n exports. The code is borrowed during the call and has been
     * checked. Called only if `coded`. */
    TernStatus (*load)(TnEngine *, const TnCode *code, TnHandle *handles, TernError *err);

    /* Memory that reads as zero, at a multiple of 4096; `huge` asks for huge pages where there are such. */
    TernStatus (*allocate)(TnEngine *, size_t bytes, bool huge, TnAddress *out, TernError *err);
    void (*release)(TnEngine *, TnAddress at, size_t bytes);
    /* From host memory into allocated memory. */
    TernStatus (*upload)(TnEngine *, TnAddress to, const void *from, size_t bytes, TernError *err);

    /* Pages of the cache, of all layers, keys and values. A failure is the next run's to report. Positions lo to hi - 1
     * of a page read as zero afterwards; in another engine's cache they may stay as they are if its kernels never read
     * masked positions. */
    void (*copy_page)(TnEngine *, TnMemory *m, int32_t to, int32_t from);
    void (*clear_page)(TnEngine *, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi);
    /* How many values of positions lo to hi - 1 of a page of an f16 cache are +-65504, as stores make of anything larger.
     * NULL: they are not counted. */
    uint64_t (*saturated)(TnEngine *, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi);

    /* How many workers need scratch, and leave stamps. */
    uint32_t (*workers)(const TnEngine *, const TernPool *pool);
    /* Bytes of scratch that a worker needs for a variant whose symbols are at most sym_max, and where the code's part of
     * them begins; false: more than addresses. */
    bool (*scratch)(const TnEngine *, const TnVariant *v, const int64_t *sym_max, size_t *out_bytes,
                    size_t *out_code);

    /* Once a session's programs are laid out, and before its memory is released; both may be NULL. After a bind that
     * failed there is no unbind. */
    TernStatus (*bind)(TnEngine *, TnMemory *m, TnProgram *programs, uint32_t n, TernError *err);
    void (*unbind)(TnEngine *, TnMemory *m);
    /* Runs all launches whose gate is open, on the inputs as they are staged; when it returns, the rows asked for are
     * staged too. Allocates nothing. What fails in a device is a status and a line; the cache may then hold anything. */
    TernStatus (*run)(TnEngine *, TnProgram *p, const TnAsked *asked, TernError *err);

    void (*close)(TnEngine *); /* frees the engine, and all code with it */
};

TernStatus tn_engine_cpu(TnEngine **out, TernError *err);
TernStatus tn_engine_evaluated(const TernKernels *kernels, TnEngine **out, TernError *err);
/* By name; NULL: the default. */
TernStatus tn_engine_named(const char *name, TnEngine **out, TernError *err);

#endif
