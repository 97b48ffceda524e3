/* The loader: a thread that does what takes long with models, so that the engine goes on stepping the others. It has one job
 * at a time, which the engine gives it, and whose result the engine takes. */
#ifndef TN_SERVE_LOADING_H
#define TN_SERVE_LOADING_H

#include <pthread.h>
#include "frontends/serve/serving.h"

struct TnServer;

typedef enum TnLoadJob {
    TN_LOAD_NONE,
    TN_LOAD_OPEN, /* gives `bytes` */
    TN_LOAD_MAKE, /* gives `generator` and `embedder`, and `bytes` again */
    TN_LOAD_CLOSE
} TnLoadJob;

typedef struct TnLoad {
    TnLoadJob job;
    size_t model;
    TernStatus status; /* if it is not TERN_OK, the model is closed again */
    TernError error;
    uint64_t bytes;
    TernGenerator *generator;
    TernEmbedder *embedder;
    double seconds; /* that the job took */
} TnLoad;

typedef struct TnLoading {
    pthread_t thread;
    bool started;
    pthread_cond_t given; /* with the server's lock, under which all of these are */
    TnLoad now;           /* job NONE: none */
    bool done;            /* `now` is a result */
    bool ending;
} TnLoading;

/* Does nothing if the server has no loader. */
TernStatus tn_loading_start(struct TnServer *server, TernError *err);
/* Cancels a compile that runs, for which nobody waits any more, and waits until the job has ended. */
void tn_loading_stop(struct TnServer *server);
bool tn_loading_busy(struct TnServer *server);
/* It must not be busy. */
void tn_loading_give(struct TnServer *server, TnLoadJob job, size_t model);
/* Takes a result. False: there is none. */
bool tn_loading_take(struct TnServer *server, TnLoad *out);

#endif
