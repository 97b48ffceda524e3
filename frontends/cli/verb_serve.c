/* tern serve: a model behind HTTP, in the shape of OpenAI's API (frontends/serve). */
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"

#ifdef TERN_SERVE
#include "frontends/serve/serving.h"
#include "runtime/base/escape.h"
#include "runtime/base/status.h"

#define MIB ((size_t)1 << 20)

typedef struct ServeFlags {
    ModelFlags m;
    GenerateFlags g;
    const char *host, *socket, *keys, *alias, *choice, *pooling_name, *log_name;
    int64_t port, slots, connections, queue, body;
    float deadline, idle;
    TernKv kv;
    TernPooling pooling;
    TnLog log;
} ServeFlags;

typedef struct Serve {
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
} Serve;

/* ---- Before there is code */

/* The template's text; none is no error, since a model without one still completes texts. */
static int take_source(Serve *s, const TernVocab *vocab) {
    if (s->own_source) return EXIT_OK;
    if (!s->f->choice && (!vocab || tern_vocab_get_facts(vocab).chat_template.size == 0)) {
        s->source = (TernText){NULL, 0};
        return EXIT_OK;
    }
    return chat_source(s->f->choice, vocab, &s->source, &s->own_source);
}

static int take_template(Serve *s, const TernVocab *vocab) {
    tern_chat_template_destroy(s->chat);
    s->chat = NULL;
    int code = take_source(s, vocab);
    if (code == EXIT_OK && s->source.data) code = chat_parse(s->f->choice, s->source, &s->chat);
    return code;
}

static int known(void *user, const TernModelInfo *info, const void *image, size_t image_bytes) {
    Serve *s = user;
    TernError err = {0};
    TernVocab *vocab = NULL;
    if (image && tern_vocab_open(image, image_bytes, &vocab, &err) != TERN_OK) return fail(&err);
    int code = take_template(s, vocab);
    if (code == EXIT_OK) code = settle_generate(&s->f->g, info, &s->context);
    uint64_t rows = (uint64_t)s->f->slots * (uint64_t)(1 + s->f->g.draft);
    if (code == EXIT_OK && rows > info->max_rows)
        code = fail_text(
            "--slots: got %lld slots of %lld row%s each, expected at most %u rows: a step has no more",
            (long long)s->f->slots, (long long)(1 + s->f->g.draft), s->f->g.draft ? "s" : "", info->max_rows);
    tern_vocab_close(vocab);
    return code;
}

/* ---- The model */

static TernStatus make(Serve *s, TernError *err) {
    const ServeFlags *f = s->f;
    size_t n = 0;
    const void *image = tern_model_vocab(s->model.model, &n);
    tern_vocab_close(s->vocab);
    s->vocab = NULL;
    if (image) TN_TRY(tern_vocab_open(image, n, &s->vocab, err));
    TernGeneratorOptions o = {.size = sizeof o,
                              .slots = (uint32_t)f->slots,
                              .context = s->context,
                              .draft_max = (uint32_t)f->g.draft,
                              .kv = f->kv,
                              .vocab = s->vocab};
    TN_TRY(tern_generator_create(s->model.model, s->model.pool, &o, &s->generator, err));
    if (!f->pooling && !s->model.info.pooling) return TERN_OK;
    TernEmbedderOptions eo = {.size = sizeof eo,
                              .slots = (uint32_t)f->slots,
                              .context = s->context,
                              .kv = f->kv,
                              .pooling = f->pooling,
                              .vocab = s->vocab};
    return tern_embedder_create(s->model.model, s->model.pool, &eo, &s->embedder, err);
}

static int prepare(Serve *s) {
    TernError err = {0};
    for (TernStatus st; (st = make(s, &err)) != TERN_OK;) {
        tern_generator_destroy(s->generator);
        s->generator = NULL;
        if (!load_for_cpu(&s->model, st, &err)) return fail(&err);
    }
    report_device(&s->model.device);
    int code = take_template(s, s->vocab); /* of the vocabulary that stays */
    report_quota(s->f->m.threads || s->f->m.cpus);
    report_huge(&s->f->m, &s->model);
    return code;
}

/* --alias, or the file's name without its ending. */
static void name_model(Serve *s) {
    const char *path = s->f->m.model ? s->f->m.model : s->model.info.name, *slash = strrchr(path, '/');
    const char *name = s->f->alias ? s->f->alias : s->f->m.model && slash ? slash + 1 : path;
    snprintf(s->name, sizeof s->name, "%s", name);
    char *dot = strrchr(s->name, '.');
    if (!s->f->alias && s->f->m.model && dot && dot != s->name) *dot = '\0';
}

/* ---- Serving */

static bool ending(void) {
    return signal_status() != 0;
}

static void listening(void *user, const char *address) {
    Serve *s = user;
    fprintf(stderr, "tern: %s at %s, %lld slot%s of %u positions\n", tn_shown(s->name).s, address,
            (long long)s->f->slots, s->f->slots == 1 ? "" : "s", s->context);
}

static int serve(Serve *s) {
    const ServeFlags *f = s->f;
    TernError err = {0};
    TnServeModel model = {.name = s->name,
                          .model = s->model.model,
                          .info = s->model.info,
                          .vocab = s->vocab,
                          .chat = s->chat,
                          .chat_source = s->source,
                          .generator = s->generator,
                          .slots = (uint32_t)f->slots,
                          .context = s->context,
                          .embedder = s->embedder,
                          .embed_slots = (uint32_t)f->slots,
                          .embed_context = s->context};
    TnServeOptions o = {.models = &model,
                        .n_models = 1,
                        .host = f->host,
                        .port = (uint32_t)f->port,
                        .unix_socket = f->socket,
                        .keys_file = f->keys,
                        .connections = (uint32_t)f->connections,
                        .queue = (uint32_t)f->queue,
                        .body_most = (size_t)f->body * MIB,
                        .body_seconds = (double)f->idle,
                        .deadline = (double)f->deadline,
                        .sampler = sampler_of_flags(&f->g),
                        .max_tokens = f->g.n > 0 ? (uint32_t)f->g.n : 0,
                        .draft_max = (uint32_t)f->g.draft,
                        .log = f->log,
                        .ending = ending,
                        .listening = listening,
                        .user = s};
    heed_signals(true);
    TernStatus st = tn_serve(&o, &err);
    heed_signals(false);
    note_saturated(tern_session_saturated(tern_generator_session(s->generator)));
    return st == TERN_OK ? EXIT_OK : fail(&err);
}

static TernPooling read_pooling(const Verb *verb, const char *name) {
    static const char *const names[] = {"mean", "cls", "last"};
    static const TernPooling values[] = {TERN_POOLING_MEAN, TERN_POOLING_CLS, TERN_POOLING_LAST};
    for (size_t i = 0; name && i < TN_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) return values[i];
    if (name) usage_error(verb, "--pooling: got '%s', expected mean, cls or last", name);
    return (TernPooling)0;
}

static TnLog read_log(const Verb *verb, const char *name) {
    if (!name) return TN_LOG_NONE;
    if (strcmp(name, "text") == 0) return TN_LOG_TEXT;
    if (strcmp(name, "json") == 0) return TN_LOG_JSON;
    usage_error(verb, "--log: got '%s', expected text or json", name);
}

int verb_serve(const Verb *verb, int argc, char **argv) {
    ServeFlags f = {.g = GENERATE_DEFAULTS,
                    .host = "127.0.0.1",
                    .port = 8080,
                    .slots = 8,
                    .connections = 1000,
                    .queue = 64,
                    .body = 4,
                    .deadline = 600,
                    .idle = 60};
    const Flag flags[] = {
        {"--host", "ADDRESS", FLAG_STR, &f.host, 0, 0, "the address to listen on (default: 127.0.0.1)"},
        {"--port", "N", FLAG_INT, &f.port, 0, 65535, "the port (default: 8080); 0: one that is free"},
        {"--socket", "FILE", FLAG_STR, &f.socket, 0, 0, "listen on a unix socket instead"},
        {"--api-key --api-key-file", "FILE", FLAG_STR, &f.keys, 0, 0,
         "a file of keys, one a line; requests must show one"},
        {"--alias", "NAME", FLAG_STR, &f.alias, 0, 0,
         "what requests call the model (default: its file's name)"},
        {"--slots -np --parallel", "N", FLAG_INT, &f.slots, 1, 256,
         "answers that are made at once, each with a context of its own (default: 8)"},
        {"--queue", "N", FLAG_INT, &f.queue, 0, 100000, "requests that may wait for a slot (default: 64)"},
        {"--connections", "N", FLAG_INT, &f.connections, 1, 100000, "connections at once (default: 1000)"},
        {"--deadline", "SECONDS", FLAG_FLOAT, &f.deadline, 0.001, 1e6,
         "most seconds of a request, its wait included (default: 600)"},
        {"--idle", "SECONDS", FLAG_FLOAT, &f.idle, 1, 1e6,
         "most seconds in which a request must arrive, and in which nothing comes or goes (default: 60)"},
        {"--body-most", "MIB", FLAG_INT, &f.body, 1, 1024, "most MiB of a request's body (default: 4)"},
        {"--log", "text|json", FLAG_STR, &f.log_name, 0, 0,
         "a line on standard error for each request, without what was asked and answered"},
        {"--pooling", "NAME", FLAG_STR, &f.pooling_name, 0, 0,
         "how a text's rows become one vector, for /v1/embeddings: mean, cls or last; default: as the "
         "model's file says"},
        CHAT_TEMPLATE_FLAG(f.choice),
        GENERATE_FLAGS(f.g),
        HUGE_FLAG(f.m),
        MODEL_FLAGS(f.m),
        KEEP_FLAGS(f.m),
        CPUS_FLAG(f.m),
        NO_CHECK_FLAG(f.m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f.m.model, 1, &n_words);
    only_with(verb, &f.g.ignore_eos, false, "a request: its member ignore_eos");
    if (f.g.n == 0) usage_error(verb, "%s 0: an answer has at least one token", flag_given(&f.g.n));
    if (flag_given(&f.socket) && (flag_given(&f.host) || flag_given(&f.port)))
        usage_error(verb, "--socket excludes --host and --port");
    f.kv = kv_of_flags(verb, &f.m);
    f.pooling = read_pooling(verb, f.pooling_name);
    f.log = read_log(verb, f.log_name);
    const TnFileUse files[] = {MODEL_FILES(f.m),
                               {"--api-key", f.keys, TN_FILE_IN},
                               {"--chat-template", chat_template_file(f.choice), TN_FILE_IN}};
    Serve s = {.f = &f};
    f.m.context = f.g.context > 0 ? (uint32_t)f.g.context : 0;
    f.m.known = known;
    f.m.known_user = &s;
    int code = check_files(verb, files, TN_COUNT(files));
    if (code == EXIT_OK) code = load_model(verb, &f.m, &s.model);
    if (code == EXIT_OK) code = prepare(&s);
    if (code == EXIT_OK) {
        name_model(&s);
        code = serve(&s);
    }
    tern_chat_template_destroy(s.chat);
    tern_embedder_destroy(s.embedder);
    tern_generator_destroy(s.generator);
    tern_vocab_close(s.vocab);
    unload_model(&s.model);
    free(s.own_source);
    return code;
}

#else

int verb_serve(const Verb *verb, int argc, char **argv) {
    const Flag flags[] = {FLAG_END};
    const char *word;
    if (argc == 1 && strcmp(argv[0], "--help") == 0) {
        int n;
        parse_args(verb, flags, argc, argv, &word, 1, &n);
    }
    return fail_text(
        "this build cannot serve: it was made without libmicrohttpd (Debian's libmicrohttpd-dev)");
}

#endif
