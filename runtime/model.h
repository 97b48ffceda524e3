/* An opened model: the checked blob, the variants of the level chosen for this machine, and the engine that has their
 * code. Immutable after open, but for the state of the weights' check. */
#ifndef TN_MODEL_H
#define TN_MODEL_H

#include <pthread.h>
#include "runtime/base/os.h"
#include "runtime/engine.h"

/* A CODE section of the chosen level. */
typedef struct TnLoaded {
    uint32_t section;
    const TnHandle *handles; /* by export */
    uint32_t n;
} TnLoaded;

struct TernModel {
    char *name; /* for error lines: the path, or "model in memory" */
    TnFile file;
    TnBlob blob;
    TnArena arena;
    TnMeta meta;
    TnEngine *engine;    /* the model's own */
    TnVariant *variants; /* all of the blob */
    uint32_t n_variants;
    uint32_t level; /* chosen */
    TnLoaded *loaded;
    uint32_t n_loaded;
    void (*destroy_kernels)(void *user); /* this and the next are called at close */
    void *kernels_user;
    void (*release)(void *user, const void *bytes, size_t size);
    void *release_user;

    uint8_t *chunk_used; /* by chunk of WGHT: the chosen level reads of it */
    bool check_weights;
    bool huge;          /* sessions lie in huge pages */
    bool carry_weights; /* to memory of the engine's, with the check or instead of it */
    TnAddress carried;  /* WGHT there; 0: where the blob has it */
    size_t carried_bytes;
    pthread_mutex_t lock; /* of the two below, and of what is carried */
    enum { TN_UNCHECKED, TN_SOUND, TN_DAMAGED } weights;
    uint32_t damaged_chunk;
};

/* As tern_model_open_memory, on an engine of the caller's making, which is the model's from here on, and closed if the
 * call fails. NULL: the one that the options ask for. */
TernStatus tn_model_open_on(TnEngine *engine, const void *bytes, size_t size, const TernModelOptions *options,
                            TernModel **out, TernError *err);

/* The variants of the chosen level and a cache type, by rising rows: how many (0: the blob has none), the
 * first `cap` in out. */
uint32_t tn_model_variants(const TernModel *m, uint32_t kv, const TnVariant **out, uint32_t cap);

/* ---- model_level.c: sets m->level, at most `cpu` unless that is NULL. */
TernStatus tn_model_choose_level(TernModel *m, const char *cpu, TernError *err);

/* ---- model_code.c */
TernStatus tn_model_load_code(TernModel *m, TernError *err);
/* The kernel of a launch; only if the engine is coded. */
TnHandle tn_model_kernel(const TernModel *m, const TnVariant *v, const TnBlobLaunch *l);

/* ---- model_weights.c */
void tn_model_find_chunks(TernModel *m); /* fills chunk_used */
/* Where kernels read WGHT: settled once tn_model_check_weights has returned. */
TnAddress tn_model_weights(const TernModel *m);
/* Verifies the hashes of WGHT's chunks on the workers of the pool (which must be free then), once for a
 * model; later calls repeat the answer. Carries WGHT to the engine's memory at the same time where that was asked. */
TernStatus tn_model_check_weights(TernModel *m, TernPool *pool, TernError *err);
void tn_model_drop_weights(TernModel *m); /* what was carried */

#endif
