/* What the files of tern serve share.
 *
 * Two threads, and up to two more. The web thread is libmicrohttpd's: it reads requests, checks them and answers what needs no
 * step of a model; it never waits for the other one. The engine thread is the one that called tn_serve: it owns generators and
 * embedders, and nothing else touches them. A request that needs a model is handed over by tn_engine_submit, and its connection
 * sleeps until the engine has put bytes into its output. Where models come and go, a loader thread makes and ends what steps
 * them; where there is a log, a thread writes its lines.
 *
 *   http.c        the daemon: connections, bodies, limits, sleeping and waking
 *   listen.c, api_keys.c, origins.c, access_log.c   the socket; who may ask; which pages may; a line a request
 *   routes.def, routes.c   method, path, handler
 *   batch.c, batch_file.c  tern batch: lines of a file in the place of connections
 *   params.c      members of a request's JSON, by a table an endpoint
 *   rounds.c      the engine thread: turns between clients, steps, deadlines, hang-ups
 *   serve_models.c, loading.c   which models are loaded; the thread that loads them
 *   call.c        a request's memory and its output
 *   text_plan.c   what all requests for text have in common: sampling, ends, grammars
 *   reply.c       JSON of answers, events and errors
 *   token_logprobs.c   log probabilities of tokens, in the shapes of two endpoints
 *   prompt_messages.c   from messages to a prompt
 *   tools.c, tool_stream.c, tool_grammar.c   calls of tools in an answer's text; in one that streams; answers that must be one
 *   completions.c, chat_route.c, responses.c, anthropic.c, embeddings.c, tokens.c, state.c, metrics.c, web_page.c   the
 *                 endpoints
 *
 * One object is a request with its answer: TnCall. The web thread makes it, fills in what is asked for, and submits it; from
 * then on the engine thread owns all of it but the part under `lock`. The last of the two to let go frees it, so a client
 * that hangs up takes nothing away from under the engine.
 *
 * An answer depends on its request alone. So nothing here may look at other requests except to choose whose turn it is, and
 * the events of a stream are one a released piece, a choice after the other, however many ran at once. */
#ifndef TN_SERVE_H
#define TN_SERVE_H

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include "frontends/serve/loading.h"
#include "frontends/serve/metrics.h"
#include "frontends/serve/serve_models.h"
#include "frontends/serve/serving.h"
#include "runtime/base/arena.h"
#include "runtime/base/buf.h"
#include "runtime/base/os.h"
#include "runtime/base/status.h"
#include "runtime/json/json_tree.h"

typedef struct TnServer TnServer;
typedef struct TnCall TnCall;
typedef struct TnKeys TnKeys;
typedef struct TnPeer TnPeer;
typedef struct TnLogWriter TnLogWriter;
typedef struct TnToolStream TnToolStream;
struct MHD_Connection;
struct MHD_Daemon;

/* ---- routes (routes.def) */
enum {
    TN_ROUTE_OPEN = 1,      /* asks for no key */
    TN_ROUTE_RESPONSES = 2, /* errors in streams are events as /v1/responses has them */
    TN_ROUTE_ANTHROPIC = 4, /* errors have Anthropic's shape */
};
typedef struct TnRoute {
    const char *method, *path;
    void (*handle)(TnCall *call); /* on the web thread; answers or submits */
    unsigned flags;
} TnRoute;
#define ROUTE(method, path, handler, flags) void tn_route_##handler(TnCall *call);
#include "frontends/serve/routes.def"
/* Fills in call->route. False: refused. HEAD is GET. */
bool tn_route_find(TnCall *call, const char *method, const char *path);
/* Runs the handler; call->json is the body's object. Then the call is answered or submitted, and the tree is freed. */
void tn_route_handle(TnCall *call);

/* ---- text asked for
 *
 * How an endpoint writes its answer. All run on the engine thread. Functions of a stream append whole events; NULL: none. */
typedef struct TnShape {
    void (*begin)(TnCall *call, size_t choice, TnBuf *out); /* stream: before the first piece of a choice */
    void (*piece)(TnCall *call, size_t choice, const TernPiece *piece, TnBuf *out); /* stream */
    void (*end)(TnCall *call, size_t choice, TnBuf *out); /* stream: a choice has ended */
    void (*finish)(TnCall *call, TnBuf *out);             /* all have; not a stream: the whole answer */
    TernVectorFn
        *vector; /* vectors asked for: takes one of call->embed.done + its text; the user is the call */
} TnShape;

/* The log probabilities of tokens that have not gone out yet, as lists of JSON without their brackets (token_logprobs.c). */
typedef struct TnOdds {
    TnBuf content;                       /* as a chat has them */
    TnBuf tokens, logprobs, top, offset; /* as a completion has them */
    size_t n_tokens, at;                 /* tokens in the lists; characters of all tokens so far */
} TnOdds;

typedef struct TnChoice {
    TnCall *call;
    const int32_t *ids; /* of the prompt, in the call's arena */
    size_t n_ids;
    TernText echo; /* text that goes before the answer's */
    uint64_t seed;
    bool begun, ended;
    TernSequence *sequence; /* while it runs */
    uint32_t slot;          /* while it runs: its row of /slots */
    TernGenerated got;
    TnBuf text, events; /* the answer so far; events that wait for those of earlier choices */
    TnOdds odds;
    TnToolStream *stream; /* a stream with tools: what is not decided yet */
    double last;          /* when its last piece came */
} TnChoice;

typedef struct TnPlan {
    TnServeModel *model;
    const TnShape *shape;
    bool stream, include_usage, ignore_eos;
    int64_t n, max_tokens;
    TernSamplerOptions sampler; /* its biases lie in the arena */
    const TernText *stops;
    size_t n_stops;
    TernGrammar *grammar;  /* freed with the call */
    const char *echo;      /* members of the request that are part of the answer, as JSON; NULL: none */
    const TernText *tools; /* names of those whose calls are to be looked for in the answer; NULL: none */
    size_t n_tools;
    bool must_call;     /* the answer is a call, by its grammar */
    uint32_t logprobs;  /* 0: none; 1 + how many of the best go beside each token */
    bool logprob_lists; /* as /v1/completions writes them */
} TnPlan;

/* ---- vectors asked for */
typedef struct TnEmbedPlan {
    TernEmbedText *texts; /* NULL: the call does not ask for vectors */
    size_t n, done, n_ids;
    size_t n_chunk; /* those that are being made */
    bool base64;
} TnEmbedPlan;

/* ---- a request with its answer */
struct TnCall {
    /* the web thread's */
    TnServer *server;
    struct MHD_Connection *connection;
    const TnRoute *route;
    int fd;          /* of the connection */
    char client[72]; /* whose turn it is: the key's number, or the address */
    TnBuf body;
    size_t n_arrived; /* bytes of the body, also those that were thrown away */
    TnArena parsed;   /* the body's tree, which is gone when the handler has returned */
    const TnJsonNode *json;
    bool submitted;
    /* what is asked for; the engine's once it is submitted */
    TnArena arena;
    double begun; /* when the head of the request was read; tn_os_seconds */
    int64_t created;
    char id[33];
    TnPlan plan;
    TnEmbedPlan embed;
    TnChoice *choices;
    size_t n_choices, n_started, n_ended, front; /* front: whose events go out as they come */
    size_t n_events;                             /* of a stream of /v1/responses */
    size_t n_blocks;                             /* begun, of a stream of /v1/messages with tools */
    bool text_open;                              /* in a stream with tools: text has begun, and not ended */
    TnBuf making;                                /* an answer in the making */
    bool first_out;                              /* a piece has come */
    bool hung_up;                                /* the client closed its side; it may still read */
    TnCall *next;                                /* in the inbox or the engine's list */
    /* under the server's lock */
    unsigned refs;
    unsigned status;      /* of the answer, 0: not known yet */
    const char *type;     /* of its content */
    char headers[3][288]; /* further ones, "Name: value" */
    TnBuf out;
    size_t taken;  /* bytes of `out` that the connection has got */
    bool complete; /* no more will come */
    bool asleep;   /* the connection is suspended */
    bool gone;     /* the connection is closed */
};

/* Whether some of a call's work has been begun: it does not wait for its first slot any more. */
static inline bool tn_call_has_begun(const TnCall *call) {
    return call->embed.texts ? call->embed.done > 0 : call->n_started > 0;
}
/* call.c */
TnCall *tn_call_create(TnServer *server, struct MHD_Connection *connection);
void tn_call_release(TnCall *call); /* the last of two frees it */
/* Fills in the answer of a call that was not submitted: JSON, or another type. */
void tn_call_answer(TnCall *call, unsigned status, const char *type, const char *bytes, size_t n);
void tn_call_header(TnCall *call, const char *name, const char *value);
/* Answers with an error object, in the shape of the call's route. code and param may be NULL. Returns false. */
bool tn_call_refuse(TnCall *call, unsigned status, const char *code, const char *param, const char *fmt, ...)
    TN_PRINTF(5, 6);
bool tn_call_vrefuse(TnCall *call, unsigned status, const char *code, const char *param, const char *fmt,
                     va_list ap);
/* The engine's part of an answer: appends bytes, or an end, and wakes the connection. */
void tn_call_put(TnCall *call, TnBuf *bytes); /* empties it */
void tn_call_complete(TnCall *call, unsigned status, const char *type);
/* Refuses a call that was submitted: as an error object if nothing went out yet, else as the stream's last event. */
void tn_call_fail(TnCall *call, unsigned status, const char *code, const char *fmt, ...) TN_PRINTF(4, 5);

/* ---- params.c: the members of a request's JSON object, by a table an endpoint */
typedef enum TnParamKind {
    TN_PARAM_BOOL, /* bool */
    TN_PARAM_INT,  /* int64_t within [lo, hi] */
    TN_PARAM_REAL, /* double within [lo, hi] */
    TN_PARAM_TEXT, /* TernText */
    TN_PARAM_NODE, /* const TnJsonNode *: the endpoint looks at it itself */
    TN_PARAM_ONLY, /* nothing: the value must be one of `only`, which are those that change nothing */
    TN_PARAM_ANY,  /* nothing: whatever it says has no bearing on an answer */
} TnParamKind;
typedef struct TnParam {
    const char *name;
    TnParamKind kind;
    size_t at; /* where the value goes, from the beginning of the struct */
    double lo, hi;
    const char *only; /* JSON values, separated by blanks */
} TnParam;
/* Reads the members of an object into a struct that has the defaults. null is the same as absent. A member that no table
 * has, one of the wrong kind, and one that is not supported are refused, with the member's name: then it returns false, and
 * the call is answered. `path`: what is put before names, such as "stream_options."; or "". */
bool tn_params_read(TnCall *call, const TnJsonNode *object, const char *path, const TnParam *const *tables,
                    size_t n_tables, void *out);
/* Refuses a value: "PARAM: got 3, expected ..". Returns false. */
bool tn_param_wrong(TnCall *call, const char *param, const TnJsonNode *got, const char *expected);

/* ---- text_plan.c: requests for text */
#define TN_SEED_MOST 9007199254740992.0 /* 2^53: a JSON number is exact up to it */
/* What all endpoints for text read alike. The struct begins as tn_plan_defaults leaves it. */
typedef struct TnTextParams {
    TernText model;
    bool stream, ignore_eos;
    int64_t n, max_tokens, top_k, repeat_last_n, seed;
    double temperature, top_p, min_p, repeat_penalty, frequency_penalty, presence_penalty;
    const TnJsonNode *stop, *logit_bias, *response_format, *stream_options, *json_schema, *grammar;
    const char *stop_name, *max_name; /* what the endpoint calls `stop` and `max_tokens`, for refusals */
} TnTextParams;
extern const TnParam tn_text_params[];
void tn_plan_defaults(const TnServer *server, TnTextParams *out);
/* The model that a request names; NULL: it was refused. */
TnServeModel *tn_plan_model(TnCall *call, TernText name);
/* Fills in call->plan, except for its shape. False: refused. */
bool tn_plan_take(TnCall *call, const TnTextParams *p);
/* Adds the n choices of a prompt; the ids lie in the arena. False: refused. */
bool tn_plan_prompt(TnCall *call, const int32_t *ids, size_t n_ids, const char *param);
/* Gives the plan a grammar: of GBNF, or of a JSON schema as text or as a tree. False: refused. */
bool tn_plan_grammar(TnCall *call, const char *param, const char *text, size_t n);
bool tn_plan_schema(TnCall *call, const char *param, const char *json, size_t n);
bool tn_plan_schema_node(TnCall *call, const char *param, const TnJsonNode *v);
/* Reads a list of token ids into the arena; list->n of them. NULL: refused. */
const int32_t *tn_plan_ids(TnCall *call, const TnJsonNode *list, const char *param, uint32_t n_vocab);
/* Encodes a text that a user wrote: no control tokens. NULL: refused. */
const int32_t *tn_plan_encode(TnCall *call, TernText text, bool add, bool special, size_t *out_n);

/* ---- prompt_messages.c: requests with messages */
typedef enum TnToolUse {
    TN_TOOLS_AUTO, /* the model calls one if it likes */
    TN_TOOLS_NONE, /* the template is not given them */
    TN_TOOLS_MUST, /* the answer is a call of one */
} TnToolUse;
typedef struct TnChatParams {
    TnTextParams text;
    const char *param; /* what the endpoint calls the messages, for refusals */
    const TnJsonNode *messages, *tools, *tool_choice, *kwargs;
    TnToolUse use;
    TernText only; /* TN_TOOLS_MUST: the name of the one that must be called; data NULL: any */
    bool parallel; /* an answer may have several calls */
    bool logprobs;
    int64_t top_logprobs;   /* -1: absent */
    int64_t max_completion; /* the newer name of text.max_tokens; TN_ABSENT */
} TnChatParams;
#define TN_ABSENT INT64_MIN
/* Renders messages, tools and kwargs; false: refused. tern_chat_text_free the result. */
bool tn_chat_render(TnCall *call, const TnServeModel *model, const TnChatParams *p, TernChatText *out);
/* The ids of that text for the model of the plan. NULL: refused. */
const int32_t *tn_chat_ids(TnCall *call, const TnChatParams *p, size_t *out_n);
/* chat_route.c: reads p->tool_choice: a word, or an object of type function; `named` is what has the function's name, or NULL.
 * False: refused. */
bool tn_chat_take_choice(TnCall *call, TnChatParams *p, const TnJsonNode *named);
/* All of the plan but its shape. False: refused. */
bool tn_chat_plan(TnCall *call, const TnChatParams *p);
/* Appends the text of a string, or of a list of parts whose types are among `types`, separated by blanks. False: refused, by a
 * path such as PARAM[1].text. */
bool tn_chat_content(TnCall *call, const char *param, const TnJsonNode *v, const char *types, TnBuf *out);
/* Parses JSON that an endpoint wrote itself, no deeper than the request's: gone when the handler returns. Frees the text. */
const TnJsonNode *tn_chat_parse(TnCall *call, TnBuf *json);

/* ---- tools.c: what an answer is without the calls in it, and the calls; all of it if the plan has no tools. Zero-initialise;
 * free with tn_tools_free. */
typedef struct TnToolCall {
    TernText name, arguments; /* arguments: JSON, an object */
} TnToolCall;
typedef struct TnToolText {
    TnBuf content;
    TnToolCall *calls;
    size_t n_calls, cap_calls;
    size_t text_at; /* calls that came before the text; only a stream has some */
    TnArena arena;  /* of the calls' texts */
} TnToolText;
/* Of an answer that streamed with tools: as it went out. */
void tn_tools_parse(TnCall *call, size_t choice, TnToolText *out);
/* Of all of its text. */
void tn_tools_parse_whole(TnCall *call, size_t choice, TnToolText *out);
bool tn_tools_has(const TnPlan *plan, TernText name);
/* Adds a call, or a list of calls, of JSON. bare: no word around it says so. False: it is none. */
bool tn_tools_add(const TnPlan *plan, TnToolText *t, const char *text, size_t n, bool bare);
void tn_tools_free(TnToolText *t);
/* tool_stream.c: a stream's answer in parts, which `give` gets when they are decided: text; a call's name, its arguments in
 * any number of parts, and its end, with all arguments. Text may come between calls. */
typedef enum TnToolPart { TN_PART_TEXT, TN_PART_CALL, TN_PART_ARGUMENTS, TN_PART_END } TnToolPart;
typedef void TnToolPartFn(TnCall *call, size_t choice, TnToolPart part, const char *bytes, size_t n,
                          TnBuf *out);
void tn_tools_stream(TnCall *call, size_t choice, const char *bytes, size_t n, TnToolPartFn *give,
                     TnBuf *out);
void tn_tools_stream_end(TnCall *call, size_t choice, TnToolPartFn *give, TnBuf *out);
/* The calls that were begun, the text that was decided. */
const TnToolText *tn_tools_so_far(const TnChoice *c);
void tn_tools_stream_free(TnToolStream *s);
/* tool_grammar.c: with TN_TOOLS_MUST, gives the plan the grammar of a call, in the format of the model's template. False:
 * refused. */
bool tn_tools_force(TnCall *call, const TnChatParams *p);

/* ---- token_logprobs.c */
void tn_odds_add(TnChoice *c, const TernPiece *piece);
/* Writes the value of a member "logprobs" of what was added since the last call: an object, or null if none is asked for, or in a
 * stream none was added. */
void tn_put_odds(TnBuf *out, TnChoice *c);
void tn_odds_free(TnOdds *o);

/* ---- reply.c: JSON of answers */
void tn_put_string(TnBuf *out, const char *bytes, size_t n); /* bytes that are not UTF-8 become U+FFFD */
/* An error object, and an error as the last event of a stream. */
void tn_put_error(TnBuf *out, const TnCall *call, unsigned status, const char *code, const char *param,
                  const char *message);
void tn_put_error_event(TnBuf *out, const TnCall *call, unsigned status, const char *code,
                        const char *message);
/* The tokens of a call's prompts, each once for all its choices, those of them that were not run, and those given out. */
typedef struct TnUsage {
    size_t n_prompt, n_cached, n_out;
} TnUsage;
TnUsage tn_usage(const TnCall *call);
void tn_put_usage(TnBuf *out, const TnCall *call);   /* {"prompt_tokens": ..} */
void tn_put_timings(TnBuf *out, const TnCall *call); /* llama-server's, of all choices together */
/* The beginning of an answer's object, up to and with "model". */
void tn_put_head(TnBuf *out, const TnCall *call, const char *id_prefix, const char *object);
void tn_put_event(TnBuf *out, const TnBuf *json); /* data: .. */
void tn_put_named_event(TnBuf *out, const char *name, const TnBuf *json);
/* Closes the object, puts the event and frees the JSON. */
void tn_end_event(const char *name, TnBuf *json, TnBuf *out);
/* The end of an answer's object: , "usage": .., "timings": ..} */
void tn_put_tail(TnBuf *out, const TnCall *call);
/* The end of a stream in OpenAI's shape: an event with the tail if it was asked for, and [DONE]. */
void tn_put_end(TnBuf *out, const TnCall *call, const char *id_prefix, const char *object);
const char *tn_finish_reason(TernEnd end);

/* ---- rounds.c */
/* Hands a call over; false: refused (the queue is full, or the server drains). */
bool tn_engine_submit(TnCall *call);
/* Runs until everything has ended after `ending` said so. */
void tn_engine_run(TnServer *server);
/* Brings the metrics of generators up to date. */
void tn_engine_take_counts(TnServer *server);
/* Keeps what a model's generator has counted, which is about to go. */
void tn_engine_retire(TnServer *server, const TnModel *model);
/* Refuses all calls that wait for a model. */
void tn_engine_fail_model(TnServer *server, const TnServeModel *model, unsigned status, const char *code,
                          const TernError *err);

/* ---- http.c, access_log.c, listen.c, api_keys.c, origins.c */
TernStatus tn_http_start(TnServer *server, TernError *err);
void tn_http_stop(TnServer *server); /* after the engine has ended */
/* Wakes the connection of a call that was found asleep. */
void tn_http_wake(TnCall *call);
void tn_log_call(TnCall *call); /* access_log.c; when the connection lets go */
TernStatus tn_log_start(TnServer *server, TernError *err);
void tn_log_stop(TnServer *server); /* also if it was not started */
/* The value of NAME=VALUE in the query, or NULL; and whether it is `value`. */
const char *tn_http_query(const TnCall *call, const char *name);
bool tn_http_argument(const TnCall *call, const char *name, const char *value);
TernStatus tn_listen(const TnServeOptions *o, int *out_fd, char *address, size_t size, TernError *err);
TernStatus tn_keys_read(const char *path, TnKeys **out, TernError *err);
/* The number of the key from 1, or 0: none. Takes the same time for all keys of a length. */
size_t tn_keys_find(const TnKeys *keys, const char *key, size_t n);
void tn_keys_free(TnKeys *keys);
/* Who can reach the server's socket. */
typedef enum TnPlace {
    TN_PLACE_NETWORK,
    TN_PLACE_LOOPBACK, /* this machine, and what a browser on it runs */
    TN_PLACE_UNIX,     /* no browser */
} TnPlace;
TnPlace tn_place_of(int fd);
/* Whether --cors allows the origin. */
bool tn_origin_allowed(const TnServer *server, const char *origin);
/* Whether a request with these headers may be what they say; NULL: the header is absent. */
bool tn_origin_may_ask(const TnServer *server, const char *origin, const char *host);
bool tn_host_may_be(const TnServer *server, const char *host);

/* ---- server.c */
void tn_server_open(TnServer *server, const TnServeOptions *o); /* zeroes it first */
void tn_server_close(TnServer *server);

/* A row of /slots. */
typedef struct TnSlotView {
    const TnServeModel *model;
    bool busy;
    char call[33];     /* whose sequence it is */
    TernGenerated got; /* so far */
} TnSlotView;

/* Who waited last, for turns. */
typedef struct TnTurn {
    char client[72];
    uint64_t turn;
} TnTurn;

struct TnServer {
    const TnServeOptions *o;
    struct MHD_Daemon *daemon;
    int fd;
    TnPlace place;    /* of fd */
    TnKeys *keys;     /* NULL: none is asked for */
    TnLogWriter *log; /* NULL: no lines */
    double started;
    uint64_t instance; /* for ids of answers */

    pthread_mutex_t lock;
    pthread_cond_t work; /* something was submitted, or the loader has done something */
    /* under the lock */
    TnCall *inbox, **inbox_end; /* submitted, and not yet seen by the engine */
    size_t n_queued, n_running; /* calls that wait for a slot; the others that the engine has */
    size_t n_open;              /* calls that connections have */
    uint64_t n_ids;
    bool draining;
    TnModel *models; /* as in the options; serve_models.h says what of them is the engine's */
    TnLoading loading;
    TnSlotView *views; /* [n_views] */
    size_t n_views;
    TnMetrics metrics;

    /* the web thread's */
    TnPeer *peers; /* a ring of connections, which begins with none of them */
    size_t n_peers;

    /* the engine's */
    /* Submits calls in the place of a web thread; called once a round. False: there will be no more. NULL: there is a web
     * thread. */
    bool (*feed)(TnServer *server);
    void *feeder;
    TnCall *calls;     /* in the order of their arrival */
    TnModel *wanted;   /* the model to load next; NULL: none */
    double since;      /* when the call came that waits for room */
    TnMetrics retired; /* what generators have counted that are gone */
    TnCall *embedding; /* whose vectors the embedder makes; NULL: none */
    TnTurn *turns;
    size_t n_turns, cap_turns;
    uint64_t turn;
};

#endif
