/* The models of a server while it runs: which are loaded, which are to be, and which must go.
 *
 * What requests are read by (vocabulary, template, sizes) is there as long as the server, so a request for a model that is not
 * loaded is checked like any other, and then waits in the queue. What steps a model comes and goes. Once a round the engine
 * looks whether something must change (tn_models_tend), and the loader thread does it (loading.h), one model at a time:
 *
 *   UNLOADED -- a call waits --> LOADING: opened, so its need is known; then it waits for room; then it is made --> LOADED
 *   LOADED -- another needs the room, or nobody asks --> UNLOADING --> UNLOADED
 *
 * Models are loaded in the order in which the first call of each came. Room is made by unloading models without work, the
 * one that was used least recently first. If that is not enough, models that are at work begin no call that came after the
 * one that waits for the room, so they become free when what they have begun has ended; work that was begun is never cut
 * off. Calls that have to wait so take their turn by their arrival, and no model keeps another out.
 *
 * None of this changes an answer: a sequence begins in a model that is loaded as a whole, and ends there. */
#ifndef TN_SERVE_MODELS_H
#define TN_SERVE_MODELS_H

#include "frontends/serve/metrics.h"
#include "frontends/serve/serving.h"

struct TnServer;
struct TnCall;

typedef enum TnModelState {
    TN_MODEL_UNLOADED,
    TN_MODEL_LOADING,
    TN_MODEL_LOADED,
    TN_MODEL_UNLOADING
} TnModelState;

typedef struct TnModel {
    const TnServeModel *served;
    /* the engine's */
    TernGenerator *generator; /* NULL: not loaded, or it makes no text */
    TernEmbedder *embedder;   /* likewise */
    double used;              /* when it last began or ended a call */
    bool opened;              /* LOADING: its need is known */
    bool drains;              /* it begins no call that came after server->since */
    double row_seconds;       /* of steps that make vectors, on average of late; 0: not known */
    /* under the lock */
    TnModelState state;
    uint64_t bytes;  /* what it takes, or will; 0: not known yet */
    size_t n_queued; /* calls that wait for its slots, or for itself */
    uint64_t n_loads, n_unloads, n_failures;
    double load_seconds;
} TnModel;

void tn_models_open(struct TnServer *server); /* makes server->models */
TnModel *tn_model_of(const struct TnServer *server, const TnServeModel *served);
/* Whether the queue has no room for one more call of the model. Call it with the lock. */
bool tn_models_full(const struct TnServer *server, const TnServeModel *served);
/* Whether a call may begin now or, if it has begun, go on. The engine's, like all below. */
bool tn_model_takes(const struct TnServer *server, const struct TnCall *call);
/* Loads and unloads what has to be. Fails calls whose model cannot be loaded. */
void tn_models_tend(struct TnServer *server);
/* A call of the model has begun or ended. */
void tn_model_used(struct TnServer *server, const TnServeModel *served);
/* Appends the numbers of each model to /metrics; takes the lock. */
void tn_models_print(struct TnServer *server, TnBuf *out);
const char *tn_model_state_name(TnModelState state);

#endif
