/* tern serve and tern batch for the verbs that start them: what they need, and the calls that do the work.
 *
 * The room is a static archive, libtn_serve, which the program links; it is built where Debian's libmicrohttpd is (option
 * TERN_SERVE). It may use the public headers of the runtime, runtime/json and runtime/base, and nothing of the compiler. */
#ifndef TN_SERVE_SERVING_H
#define TN_SERVE_SERVING_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/base/error.h"
#include "runtime/generate/generate.h"
#include "runtime/text/chat.h"

/* A model that is served. All is borrowed until tn_serve returns, and stays while the model is not loaded, except for what steps
 * it. */
typedef struct TnServeModel {
    const char *name;                    /* what requests call it, and answers; --alias or the file's name */
    TernModelInfo info;                  /* without its texts */
    const TernVocab *vocab;              /* NULL: prompts are ids */
    const TernChatTemplate *chat;        /* NULL: there is none, and chats are refused */
    TernText chat_source;                /* its text, for /props */
    bool texts, vectors;                 /* what it makes */
    uint32_t slots, context;             /* of its generator */
    uint32_t embed_slots, embed_context; /* of its embedder */
    /* What it begins with; both NULL: it is not loaded, and there is a loader. */
    TernGenerator *generator;
    TernEmbedder *embedder;
    uint64_t bytes; /* that it takes in all, if it is loaded */
} TnServeModel;

/* Loads and unloads models. The calls may take long: they come one at a time, from a thread of tn_serve's own, while the
 * models that are loaded are stepped by another. */
typedef struct TnServeLoader {
    /* Opens a model, and compiles it if need be, and finds what it will take in all. */
    TernStatus (*open)(void *user, size_t model, uint64_t *bytes, TernError *err);
    /* Makes what steps a model that is open; what it does not make is NULL. Both NULL: it has turned out to take more, *bytes,
     * and this is to be called again when there is room for that. */
    TernStatus (*make)(void *user, size_t model, uint64_t *bytes, TernGenerator **generator,
                       TernEmbedder **embedder, TernError *err);
    /* Ends all of that, also after a failure. Models that are loaded when tn_serve returns stay so. */
    void (*close)(void *user, size_t model);
    /* Called by the thread that called tn_serve, when that ends: a compile that is under way should fail soon. */
    void (*cancel)(void *user);
    void *user;
    uint64_t limit; /* bytes that all loaded models may take; 0: any */
    double idle;    /* seconds without a request after which a model is unloaded; 0: never */
} TnServeLoader;

/* A line on standard error for each request. */
typedef enum TnLog {
    TN_LOG_NONE,
    TN_LOG_TEXT, /* time, client, method, path, status, seconds, tokens of the prompt and of the answer, the answer's id */
    TN_LOG_JSON
} TnLog;

typedef struct TnServeOptions {
    TnServeModel *models; /* at least one; the first answers requests that name none */
    size_t n_models;
    const TnServeLoader *loader; /* NULL: all models are loaded, and stay so */
    const char *host;            /* a name or an address; ignored with a unix socket */
    uint32_t port;               /* 0: one that the system chooses */
    const char *unix_socket;     /* the path of a socket to listen on instead; NULL: none */
    int listen_fd;               /* a socket that listens already, which tn_serve closes; 0: none */
    const char *keys_file;       /* a key a line; NULL: none is asked for */
    const char *cors;            /* the origin whose pages may read answers, or "*"; NULL: none */
    uint32_t connections;        /* most at once */
    uint32_t queue;              /* most requests that wait for a slot; further ones get 429 */
    size_t body_most;            /* bytes of a request's body */
    double body_seconds; /* within which a request must have arrived, and between two bytes of a connection */
    double deadline;     /* seconds of a request from its arrival to the end of its answer */
    TernSamplerOptions sampler; /* what a request does not say */
    uint32_t max_tokens, draft_max;
    double max_pause; /* seconds for which a step that makes vectors may keep answers waiting; 0: no bound */
    int64_t now;      /* what templates take for now, in seconds since 1970, shown as UTC; -1: the clock */
    TnLog log;
    bool (*ending)(void); /* asked again and again by the calling thread: true from the first signal on */
    /* Called once, when connections are accepted: "http://127.0.0.1:8080". */
    void (*listening)(void *user, const char *address);
    void *user;
    const cpu_set_t *helpers; /* where threads that step no models run; NULL: where the calling one does */
} TnServeOptions;

/* Serves until `ending` says so, and then drains: new work is refused, what runs ends. The calling thread is the one that
 * steps the models. TERN_ERR_ENV if the address cannot be listened on, TERN_ERR_INPUT if the file of keys is wrong. */
TernStatus tn_serve(const TnServeOptions *options, TernError *err);

/* ---- tern batch: the lines of a file in the place of connections
 *
 * A line is a request as OpenAI's batches have it: {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
 * "body": {..}}. Its answer is a line of the other file: {"id": "batch_req_7", "custom_id": "a", "response":
 * {"status_code": 200, "request_id": .., "body": {..}}, "error": null}; 7 is the number of the line. A request that its
 * endpoint refuses has that status and the error object as its body; a line that is no request has no response, and the
 * error object as `error`. An answer with the status 429 or from 500 on is an error of the engine and not of the request, and
 * may pass: such a line is asked three times, and again by the next run. */
typedef struct TnBatchOptions {
    const char *in, *out;
    uint32_t shard, n_shards; /* of n shards, shard i from 1 has the lines i, i + n, .. */
    void (*progress)(uint64_t done, uint64_t total); /* NULL: none */
} TnBatchOptions;
typedef struct TnBatchCounts {
    uint64_t lines;    /* of the shard, without blank ones */
    uint64_t found;    /* those that were answered before */
    uint64_t answered; /* all that are, in the end */
    uint64_t refused;  /* those of them without the status 200 */
    uint64_t again;    /* times that a line was asked again: its answer was an error that may pass */
    bool grown; /* the file of requests has grown since its lines were counted; what came is not answered */
} TnBatchCounts;
/* Answers what is not answered yet, and appends each answer when it is there. `options` needs models, sampler, max_tokens,
 * draft_max, ending and body_most, the most bytes of a line. Also TERN_OK when `ending` has said so: then what runs is
 * answered, and the rest is not. TERN_ERR_INPUT if `out` has other lines than answers to `in`. */
TernStatus tn_batch(const TnServeOptions *options, const TnBatchOptions *batch, TnBatchCounts *counts,
                    TernError *err);

#endif
