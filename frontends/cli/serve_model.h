/* The models of serve and batch: their flags that say which ones and how they generate, and from these TnServeModels. serve_load.c
 * loads and unloads them while they are served. */
#ifndef TN_CLI_SERVE_MODEL_H
#define TN_CLI_SERVE_MODEL_H

#include <sched.h>
#include "frontends/cli/generate_flags.h"
#include "frontends/serve/serving.h"

typedef struct ServeFlags {
    ModelFlags m;
    GenerateFlags g;
    StrList aliases; /* of the models, in their order */
    const char *choice, *date, *pooling_name;
    int64_t slots, stored; /* stored: -1: twice the slots */
    int64_t max_pause;     /* milliseconds; 0: no bound */
    int64_t draft_memory;  /* MiB; 0: none */
    TernKv kv;             /* serve_check fills these in */
    TernPooling pooling;   /* 0: as the model's file says */
    int64_t now;           /* of --date; -1: the clock */
    float idle;            /* seconds after which a model without requests is unloaded; 0: never */
} ServeFlags;
#define SERVE_FLAGS(f)                                                                                       \
    {"--alias",                                                                                              \
     "NAME",                                                                                                 \
     FLAG_LIST,                                                                                              \
     &(f).aliases,                                                                                           \
     0,                                                                                                      \
     0,                                                                                                      \
     "what requests call the model (default: its file's name); again: the next model"},                      \
        {"--slots -np --parallel",                                                                           \
         "N",                                                                                                \
         FLAG_INT,                                                                                           \
         &(f).slots,                                                                                         \
         1,                                                                                                  \
         256,                                                                                                \
         "answers that are made at once, each with a context of its own (default: 8)"},                      \
        {"--stored",                                                                                         \
         "N",                                                                                                \
         FLAG_INT,                                                                                           \
         &(f).stored,                                                                                        \
         0,                                                                                                  \
         4096,                                                                                               \
         "beginnings of ended requests that are kept for later ones (default: twice the slots)"},            \
        {"--draft-memory",                                                                                   \
         "MIB",                                                                                              \
         FLAG_INT,                                                                                           \
         &(f).draft_memory,                                                                                  \
         0,                                                                                                  \
         4096,                                                                                               \
         "with --draft-max: guess also from what all requests of a model have read and written, in a table " \
         "of MIB MiB, or the next smaller power of two (default: 0: from the text of each alone)"},          \
        {"--pooling",                                                                                        \
         "NAME",                                                                                             \
         FLAG_STR,                                                                                           \
         &(f).pooling_name,                                                                                  \
         0,                                                                                                  \
         0,                                                                                                  \
         "how a text's rows become one vector, for /v1/embeddings: mean, cls or last; default: as the "      \
         "model's file says"},                                                                               \
        CHAT_TEMPLATE_FLAG((f).choice), DATE_FLAG((f).date), GENERATE_FLAGS((f).g), HUGE_FLAG((f).m),        \
        SESSION_FLAGS((f).m)
#define SERVE_DEFAULTS                                                                                       \
    { .g = GENERATE_DEFAULTS, .slots = 8, .stored = -1 }
/* Entries for check_files. */
#define SERVE_FILES(f)                                                                                       \
    MODEL_FILES((f).m), {                                                                                    \
        "--chat-template", chat_template_file((f).choice), TN_FILE_IN                                        \
    }

/* All but what steps it is there as long as the server, in memory of its own, also while the model is not loaded. */
typedef struct ServeModel {
    const ServeFlags *f;
    const char *path; /* NULL: the embedded one */
    char name[256];
    bool is_source; /* it is compiled when it is loaded */
    void *image;    /* of the vocabulary; NULL: there is none */
    size_t image_bytes;
    TernVocab *vocab;
    TernChatTemplate *chat;
    TernText source;
    char *own_source;
    TernModelInfo info; /* without its texts */
    uint32_t context;
    TernHash hash
        [2]; /* of what was loaded or opened first: a .tern, or compiled for the cpu; compiled for a GPU */
    bool hashed[2];
    /* while it is loaded */
    Loaded model;
    TernGenerator *generator;
    TernEmbedder *embedder;
    uint64_t bytes; /* that it takes in all, if it is open */
    bool lean;      /* with room for stored beginnings it would take more than the limit */
    double begun;   /* when it was opened */
} ServeModel;

typedef struct ServeModels {
    const Verb *verb;
    ServeFlags *f;
    Loaded pool;       /* with a pool alone: it steps all of them */
    cpu_set_t unbound; /* with --cpus: where this thread might run before the pool bound it */
    bool bound;
    TernPool *checker; /* one worker, for the thread that loads models */
    uint64_t limit;    /* of --memory-limit; 0: none */
    ServeModel *v;
    size_t n;
    TnServeModel *served; /* what tn_serve and tn_batch take */
    TnServeLoader loader;
    atomic_bool cancelled; /* the server ends: what the loader does is for nobody */
} ServeModels;

/* After parse_args: checks the flags by themselves. Exits 2 on a mistake. */
void serve_check(const Verb *verb, ServeFlags *f);
/* Loads the first of n models and makes what steps it; of the others reads what requests need, and checks that they can be
 * loaded. Without a path the model is the embedded one. *s starts zeroed; serve_close also after a failure. Returns an exit
 * status. */
int serve_open(const Verb *verb, ServeFlags *f, const char *const *paths, size_t n, ServeModels *s);
void serve_close(ServeModels *s);
/* What both verbs tell the engine alike. */
TnServeOptions serve_options(ServeModels *s);

/* What serve_model.c and serve_load.c share. Computes what an open model will take, and whether it is lean. */
TernStatus serve_measure(const ServeModels *s, ServeModel *m, const TernModel *model, TernError *err);
/* Makes what steps an open model, with the pool of all. */
TernStatus serve_make(const ServeModels *s, ServeModel *m, TernError *err);
/* The hash of what is loaded, the first time; later false if it is not that one. */
bool serve_same_hash(ServeModel *m);
/* Ends what steps a model, and closes it. */
void serve_unload(ServeModel *m);
/* serve_load.c: the calls of a TnServeLoader, whose user is the ServeModels. */
int serve_loader(ServeModels *s); /* returns an exit status */

#endif
