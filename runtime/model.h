/* An opened model: the checked blob, the variants of the level chosen for this machine, and their code.
 * Immutable after open, but for the state of the weights' check. */
#ifndef TN_MODEL_H
#define TN_MODEL_H

#include <pthread.h>
#include "runtime/base/os.h"
#include "runtime/pool.h"
#include "runtime/variant.h"

/* A CODE section of the chosen level, copied to executable memory. */
typedef struct TnImage {
    uint32_t section;
    void *memory;
    size_t bytes;
    const uint64_t *entries; /* by export, offsets in memory */
    uint32_t n_entries;
} TnImage;

struct TernModel {
    char *name; /* for error lines: the path, or "model in memory" */
    TnFile file;
    TnBlob blob;
    TnArena arena;
    TnMeta meta;
    TnVariant *variants; /* all of the blob */
    uint32_t n_variants;
    uint32_t level; /* chosen */
    TnImage *images;
    uint32_t n_images;
    bool evaluated; /* kernels are called back instead of run */
    bool coded;     /* the level's code is mapped */
    TernKernels kernels;
    void (*release)(void *user, const void *bytes, size_t size);
    void *release_user;

    uint8_t *chunk_used; /* by chunk of WGHT: the chosen level reads of it */
    bool check_weights;
    bool huge;         /* sessions lie in huge pages */
    bool move_weights; /* to `moved`, with the check or instead of it */
    uint8_t *moved;    /* WGHT in memory of its own; NULL: where the blob has it */
    size_t moved_bytes;
    pthread_mutex_t lock; /* of the two below, and of making `moved` */
    enum { TN_UNCHECKED, TN_SOUND, TN_DAMAGED } weights;
    uint32_t damaged_chunk;
};

/* The variants of the chosen level and a cache type, by rising rows: how many (0: the blob has none), the
 * first `cap` in out. */
uint32_t tn_model_variants(const TernModel *m, uint32_t kv, const TnVariant **out, uint32_t cap);
/* The function of a launch; only if m->coded. */
TnKernelFn *tn_model_kernel(const TernModel *m, const TnVariant *v, const TnBlobLaunch *l);
/* The bytes of WGHT that kernels read: settled once tn_model_check_weights has returned. */
const uint8_t *tn_model_weights(const TernModel *m);
/* Verifies the hashes of WGHT's chunks on the workers of the pool (which must be free then), once for a
 * model; later calls repeat the answer. Moves WGHT at the same time where that was asked. */
TernStatus tn_model_check_weights(TernModel *m, TernPool *pool, TernError *err);

#endif
