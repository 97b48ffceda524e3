/* The model of serve and batch: their flags that say which one and how it generates, and from these a TnServeModel. */
#ifndef TN_CLI_SERVE_MODEL_H
#define TN_CLI_SERVE_MODEL_H

#include "frontends/cli/generate_flags.h"
#include "frontends/serve/serving.h"

typedef struct ServeFlags {
    ModelFlags m;
    GenerateFlags g;
    const char *alias, *choice, *date, *pooling_name;
    int64_t slots, stored; /* stored: -1: twice the slots */
    int64_t max_pause;     /* milliseconds; 0: no bound */
    TernKv kv;             /* serve_check fills these in */
    TernPooling pooling;   /* 0: as the model's file says */
    int64_t now;           /* of --date; -1: the clock */
} ServeFlags;
#define SERVE_FLAGS(f)                                                                                       \
    {"--alias",                                                                                              \
     "NAME",                                                                                                 \
     FLAG_STR,                                                                                               \
     &(f).alias,                                                                                             \
     0,                                                                                                      \
     0,                                                                                                      \
     "what requests call the model (default: its file's name)"},                                             \
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
        {"--pooling",                                                                                        \
         "NAME",                                                                                             \
         FLAG_STR,                                                                                           \
         &(f).pooling_name,                                                                                  \
         0,                                                                                                  \
         0,                                                                                                  \
         "how a text's rows become one vector, for /v1/embeddings: mean, cls or last; default: as the "      \
         "model's file says"},                                                                               \
        CHAT_TEMPLATE_FLAG((f).choice), DATE_FLAG((f).date), GENERATE_FLAGS((f).g), HUGE_FLAG((f).m),        \
        MODEL_FLAGS((f).m), KEEP_FLAGS((f).m), CPUS_FLAG((f).m), MEMORY_FLAG((f).m), NO_CHECK_FLAG((f).m)
#define SERVE_DEFAULTS                                                                                       \
    { .g = GENERATE_DEFAULTS, .slots = 8, .stored = -1 }
/* Entries for check_files. */
#define SERVE_FILES(f)                                                                                       \
    MODEL_FILES((f).m), {                                                                                    \
        "--chat-template", chat_template_file((f).choice), TN_FILE_IN                                        \
    }

typedef struct ServeModel {
    const ServeFlags *f;
    Loaded model;
    TernVocab *vocab;
    TernChatTemplate *chat;
    TernText source;
    char *own_source;
    uint32_t context;
    TernGenerator *generator;
    TernEmbedder *embedder;
    char name[256];
    TnServeModel served; /* what tn_serve and tn_batch take */
} ServeModel;

/* After parse_args: checks the flags by themselves. Exits 2 on a mistake. */
void serve_check(const Verb *verb, ServeFlags *f);
/* Loads the model and makes what steps it. *s starts zeroed; serve_close also after a failure. Returns an exit status. */
int serve_open(const Verb *verb, ServeFlags *f, ServeModel *s);
void serve_close(ServeModel *s);
/* What both verbs tell the engine alike. */
TnServeOptions serve_options(ServeModel *s);

#endif
