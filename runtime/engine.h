/* An engine runs programs. It loads code, holds the memory that kernels see, moves pages of the cache and runs launches;
 * nothing else in the runtime follows an address of that memory or knows what a kernel is.
 *
 *   cpu         engine_cpu.c        compiled code, on the workers of the pool
 *   evaluated   engine_evaluated.c  callbacks that evaluate kernels (TernKernels)
 *   cuda        cuda/               PTX text, which the driver of an NVIDIA GPU compiles
 *
 * An engine is made for one model and closed with it. Several threads may call it, each for a session of its own, and
 * several may upload at once.
 *
 * Memory. The engine allocates the memory that kernels read and write, zeroed; operands are addressed by space (TnBases).
 * If the engine shares the host's memory (`apart` is false), a session takes one block: the host's own tables lie beside
 * what kernels see, and nothing is copied between the two. If the engine has its own memory (`apart` is true), what
 * kernels see is a second block in it; each run copies the inputs there and the results back.
 *
 * To add an engine, fill in this struct and add a row in engine.c. All functions are required unless they say otherwise. */
#ifndef TN_ENGINE_H
#define TN_ENGINE_H

#include "runtime/program.h"

typedef struct TnEngine TnEngine;

/* For each output TN_OUT_*, the rows that a step asked for: [first, first + n). */
typedef struct TnAsked {
    struct {
        uint32_t first, n;
    } rows[TN_OUT_COUNT];
} TnAsked;

struct TnEngine {
    const char *name;   /* also the name of the device that selects it */
    const char *levels; /* the levels it runs on this machine, for messages: "avx512-vnni,avx2"; "" if none */
    uint32_t arch;      /* TN_ARCH_* of those levels */
    bool coded; /* it runs code that it has loaded; false: a level only selects a plan and packed weights */
    bool apart; /* it has its own memory, which the host must not touch */

    /* True if it runs code of that level here. An engine that needs no code runs any level. */
    bool (*runs)(const TnEngine *, uint32_t level);
    /* Makes code runnable and writes a handle for each of the code->n exports. The code has been checked and is borrowed
     * for the call. Called only if `coded`. */
    TernStatus (*load)(TnEngine *, const TnCode *code, TnHandle *handles, TernError *err);

    /* Allocates memory that reads as zero, at a multiple of 4096. `huge` asks for huge pages where the system has them. */
    TernStatus (*allocate)(TnEngine *, size_t bytes, bool huge, TnAddress *out, TernError *err);
    void (*release)(TnEngine *, TnAddress at, size_t bytes);
    /* Host memory that copies to and from the engine's own memory are fast with; it reads as zero and begins at a multiple
     * of 64. NULL: ordinary memory will do. */
    TernStatus (*pin)(TnEngine *, size_t bytes, void **out, TernError *err);
    void (*unpin)(TnEngine *, void *memory, size_t bytes);
    /* Copies from host memory into allocated memory. */
    TernStatus (*upload)(TnEngine *, TnAddress to, const void *from, size_t bytes, TernError *err);

    /* Copy a page of the cache, or clear positions lo to hi - 1 of one: keys and values of all layers. The next run
     * reports a failure. Cleared positions read as zero; an engine whose kernels never read masked positions may leave
     * them as they are. */
    void (*copy_page)(TnEngine *, TnMemory *m, int32_t to, int32_t from);
    void (*clear_page)(TnEngine *, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi);
    /* Copy a page to or from host memory, where it is laid out as in tn_cache_page_offset. All of it: positions that were
     * never written too. */
    TernStatus (*read_page)(TnEngine *, TnMemory *m, int32_t page, void *to, TernError *err);
    TernStatus (*write_page)(TnEngine *, TnMemory *m, int32_t page, const void *from, TernError *err);
    /* Counts the values +-65504 in positions lo to hi - 1 of a page of an f16 cache; stores turn anything larger into that.
     * NULL: kernels count, and a run leaves the number of what it stored in m->sym[TN_ABI_SATURATED]; only if `apart`. */
    uint64_t (*saturated)(TnEngine *, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi);

    /* The number of workers that need scratch and leave stamps. */
    uint32_t (*workers)(const TnEngine *, const TernPool *pool);
    /* Gives the bytes of scratch that a worker needs for a variant whose symbols are at most sym_max, and the offset in
     * them where the code's part begins. False if that is more than can be addressed. */
    bool (*scratch)(const TnEngine *, const TnVariant *v, const int64_t *sym_max, size_t *out_bytes,
                    size_t *out_code);

    /* bind is called after a session's programs are laid out, unbind before its memory is released. Both may be NULL. If
     * bind fails, unbind is not called. */
    TernStatus (*bind)(TnEngine *, TnMemory *m, TnProgram *programs, uint32_t n, TernError *err);
    void (*unbind)(TnEngine *, TnMemory *m);
    /* Runs all launches whose gate is open, on the staged inputs. When it returns, the rows asked for are staged too.
     * Allocates nothing. If a device fails, it returns a status and a line, and the cache may hold anything. */
    TernStatus (*run)(TnEngine *, TnProgram *p, const TnAsked *asked, TernError *err);

    void (*close)(TnEngine *); /* frees the engine and all code it has loaded */
};

TernStatus tn_engine_cpu(TnEngine **out, TernError *err);
TernStatus tn_engine_evaluated(const TernKernels *kernels, TnEngine **out, TernError *err);
/* runtime/cuda/: the engine of a device "cuda" or "cuda:N", what is known of it, and how many there are. */
TernStatus tn_engine_cuda(const char *name, TnEngine **out, TernError *err);
TernStatus tn_cuda_facts(const char *name, TernDevice *out, TernError *err);
TernStatus tn_cuda_count(uint32_t *out, TernError *err);
/* The engine of that name; NULL: the default. */
TernStatus tn_engine_named(const char *name, TnEngine **out, TernError *err);

#endif
