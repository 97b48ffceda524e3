/* An opened model: the checked blob, the variants of the level chosen for this machine, and the engine that has loaded
 * their code. Immutable after open, except for the state of the weights' check. */
#ifndef TN_MODEL_H
#define TN_MODEL_H

#include <pthread.h>
#include <stdatomic.h>
#include "runtime/base/os.h"
#include "runtime/engine.h"

/* A CODE section of the chosen level. */
typedef struct TnLoaded {
    uint32_t section;
    const TnHandle *handles; /* by export */
    uint32_t n;
} TnLoaded;

/* A part of WGHT that decoding one row does not read whole: a table of which it reads some rows, or weights that only longer
 * steps read. It need not stay in memory. */
typedef struct TnRare {
    size_t at, bytes;
    bool rows; /* no step reads it whole, unless rows want all logits */
} TnRare;

struct TernModel {
    char *name; /* for error lines: the path, or "model in memory" */
    TnFile file;
    TnBlob blob;
    TnArena arena;
    TnMeta meta;
    TnEngine *engine;    /* owned */
    TnVariant *variants; /* all variants of the blob */
    uint32_t n_variants;
    uint32_t level; /* chosen */
    TnLoaded *loaded;
    uint32_t n_loaded;
    void (*destroy_kernels)(void *user); /* called at close, as is release */
    void *kernels_user;
    void (*release)(void *user, const void *bytes, size_t size);
    void *release_user;

    uint8_t *chunk_used; /* for each chunk of WGHT: whether the chosen level reads from it */
    TnRare *rare;
    uint32_t n_rare;
    bool has_tables;            /* some of `rare` are tables, of which pages may be given back at any time */
    bool tight;                 /* found by the check: the weights hardly fit in memory */
    _Atomic bool random;        /* the system was told not to read ahead in tables */
    _Atomic uint64_t let_go_at; /* the process's resident bytes of files, since tables were let go of */
    bool check_weights;
    bool huge;          /* put sessions into huge pages */
    bool carry_weights; /* copy the weights to the engine's memory, during the check or instead of it */
    TnAddress carried;  /* the copy of WGHT; 0: there is none, use the blob's */
    size_t carried_bytes;
    _Atomic uint64_t limit,
        sessions;         /* bytes: tern_model_limit; of this machine's memory, by the sessions there are */
    pthread_mutex_t lock; /* protects the two fields below, and carried */
    enum { TN_UNCHECKED, TN_SOUND, TN_DAMAGED } weights;
    uint32_t damaged_chunk;
};

/* Like tern_model_open_memory, but on an engine that the caller has made; NULL: the engine that the options ask for. The
 * model owns the engine from here on; it is closed if the call fails. */
TernStatus tn_model_open_on(TnEngine *engine, const void *bytes, size_t size, const TernModelOptions *options,
                            TernModel **out, TernError *err);

/* Finds the variants of the chosen level and a cache type, in rising order of rows. Writes the first `cap` to out and
 * returns how many there are (0: the blob has none). */
uint32_t tn_model_variants(const TernModel *m, uint32_t kv, const TnVariant **out, uint32_t cap);

/* ---- model_level.c: sets m->level. `cpu` caps it; NULL: no cap. */
TernStatus tn_model_choose_level(TernModel *m, const char *cpu, TernError *err);

/* ---- model_code.c */
TernStatus tn_model_load_code(TernModel *m, TernError *err);
/* The kernel of a launch. Call it only if the engine is coded. */
TnHandle tn_model_kernel(const TernModel *m, const TnVariant *v, const TnBlobLaunch *l);

/* ---- model_memory.c */
/* Counts a session of so many bytes; refuses it if the model would then exceed its limit. */
TernStatus tn_model_add_session(TernModel *m, const TernSessionBytes *b, uint32_t slots, uint32_t context,
                                TernError *err);
void tn_model_remove_session(TernModel *m, const TernSessionBytes *b);

/* ---- model_weights.c */
void tn_model_find_chunks(TernModel *m); /* fills chunk_used and rare */
/* Fills in the first four fields: who reads which bytes of WGHT. */
void tn_model_sum_weights(const TernModel *m, TernModelMemory *out);
/* Says that a step will read whole tables, for rows that want all logits. It is meant for good: such rows seldom come alone. */
void tn_model_read_tables(TernModel *m);
/* Lets go of the tables' pages and, if `all`, of everything that decoding one row does not read whole. */
void tn_model_let_go(TernModel *m, bool all);
/* Whether so much of files has become resident since then that the tables should be let go of. */
bool tn_model_has_grown(TernModel *m);
/* The file from which rows of tables are best read one by one; NULL if they are read whole, or are not in a file. */
const TnFile *tn_model_rows_file(const TernModel *m);
/* Where kernels read WGHT. Call it after tn_model_check_weights; then the address does not change. */
TnAddress tn_model_weights(const TernModel *m);
/* Verifies the hashes of WGHT's chunks on the workers of the pool, which must be free. If m->carry_weights is set, it also
 * copies WGHT to the engine's memory. Both happen once for a model; later calls repeat the answer. */
TernStatus tn_model_check_weights(TernModel *m, TernPool *pool, TernError *err);
/* Frees the copy of WGHT in the engine's memory. */
void tn_model_drop_weights(TernModel *m);

#endif
