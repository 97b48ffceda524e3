/* The model of serve and batch. */
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"

#ifdef TERN_SERVE
#include "frontends/cli/serve_model.h"
#include "runtime/base/status.h"

/* ---- Before there is code */

/* The template's text; none is no error, since a model without one still completes texts. */
static int take_source(ServeModel *s, const TernVocab *vocab) {
    if (s->own_source) return EXIT_OK;
    if (!s->f->choice && (!vocab || tern_vocab_get_facts(vocab).chat_template.size == 0)) {
        s->source = (TernText){NULL, 0};
        return EXIT_OK;
    }
    return chat_source(s->f->choice, vocab, &s->source, &s->own_source);
}

static int take_template(ServeModel *s, const TernVocab *vocab) {
    tern_chat_template_destroy(s->chat);
    s->chat = NULL;
    int code = take_source(s, vocab);
    if (code == EXIT_OK && s->source.data) code = chat_parse(s->f->choice, s->source, &s->chat);
    return code;
}

static int known(void *user, const TernModelInfo *info, const void *image, size_t image_bytes) {
    ServeModel *s = user;
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

/* The pages for stored beginnings are as many as a quarter of them would fill. If they are more than the limit on memory
 * allows, there are none, and beginnings get the pages that no running sequence needs. */
static TernStatus make_generator(ServeModel *s, TernError *err) {
    const ServeFlags *f = s->f;
    uint32_t slots = (uint32_t)f->slots, stored = (uint32_t)(f->stored < 0 ? 2 * f->slots : f->stored),
             most = (s->context + TERN_PAGE - 1) / TERN_PAGE;
    TernGeneratorOptions o = {.size = sizeof o,
                              .slots = slots,
                              .context = s->context,
                              .draft_max = (uint32_t)f->g.draft,
                              .kv = f->kv,
                              .vocab = s->vocab,
                              .stored = stored,
                              .pages = slots * most + (uint32_t)(((uint64_t)stored * most + 3) / 4),
                              .max_pause = (double)f->max_pause / 1e3};
    TernStatus st = tern_generator_create(s->model.model, s->model.pool, &o, &s->generator, err);
    if (st != TERN_ERR_MEMORY || stored == 0) return st;
    o.pages = slots * most;
    return tern_generator_create(s->model.model, s->model.pool, &o, &s->generator, err);
}

static TernStatus make(ServeModel *s, TernError *err) {
    const ServeFlags *f = s->f;
    size_t n = 0;
    const void *image = tern_model_vocab(s->model.model, &n);
    tern_vocab_close(s->vocab);
    s->vocab = NULL;
    if (image) TN_TRY(tern_vocab_open(image, n, &s->vocab, err));
    TN_TRY(make_generator(s, err));
    if (!f->pooling && !s->model.info.pooling) return TERN_OK;
    TernEmbedderOptions eo = {.size = sizeof eo,
                              .slots = (uint32_t)f->slots,
                              .context = s->context,
                              .kv = f->kv,
                              .pooling = f->pooling,
                              .vocab = s->vocab};
    return tern_embedder_create(s->model.model, s->model.pool, &eo, &s->embedder, err);
}

static int prepare(ServeModel *s) {
    TernError err = {0};
    for (TernStatus st; (st = make(s, &err)) != TERN_OK;) {
        tern_generator_destroy(s->generator);
        s->generator = NULL;
        if (!load_for_cpu(&s->model, st, &err)) return fail(&err);
    }
    report_start(&s->model);
    int code = take_template(s, s->vocab); /* of the vocabulary that stays */
    report_quota(s->f->m.threads || s->f->m.cpus);
    report_huge(&s->f->m, &s->model);
    return code;
}

/* --alias, or the file's name without its ending. */
static void name_model(ServeModel *s) {
    const char *path = s->f->m.model ? s->f->m.model : s->model.info.name, *slash = strrchr(path, '/');
    const char *name = s->f->alias ? s->f->alias : s->f->m.model && slash ? slash + 1 : path;
    snprintf(s->name, sizeof s->name, "%s", name);
    char *dot = strrchr(s->name, '.');
    if (!s->f->alias && s->f->m.model && dot && dot != s->name) *dot = '\0';
}

/* ---- The whole */

static TernPooling read_pooling(const Verb *verb, const char *name) {
    static const char *const names[] = {"mean", "cls", "last"};
    static const TernPooling values[] = {TERN_POOLING_MEAN, TERN_POOLING_CLS, TERN_POOLING_LAST};
    for (size_t i = 0; name && i < TN_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) return values[i];
    if (name) usage_error(verb, "--pooling: got '%s', expected mean, cls or last", name);
    return (TernPooling)0;
}

void serve_check(const Verb *verb, ServeFlags *f) {
    only_with(verb, &f->g.ignore_eos, false, "a request: its member ignore_eos");
    if (f->g.n == 0) usage_error(verb, "%s 0: an answer has at least one token", flag_given(&f->g.n));
    f->kv = kv_of_flags(verb, &f->m);
    f->pooling = read_pooling(verb, f->pooling_name);
    f->now = f->date ? read_date(verb, f->date) : -1;
}

static void fill_served(ServeModel *s) {
    uint32_t slots = (uint32_t)s->f->slots;
    s->served = (TnServeModel){.name = s->name,
                               .model = s->model.model,
                               .info = s->model.info,
                               .vocab = s->vocab,
                               .chat = s->chat,
                               .chat_source = s->source,
                               .generator = s->generator,
                               .slots = slots,
                               .context = s->context,
                               .embedder = s->embedder,
                               .embed_slots = slots,
                               .embed_context = s->context};
}

int serve_open(const Verb *verb, ServeFlags *f, ServeModel *s) {
    s->f = f;
    f->m.context = f->g.context > 0 ? (uint32_t)f->g.context : 0;
    f->m.known = known;
    f->m.known_user = s;
    int code = load_model(verb, &f->m, &s->model);
    if (code == EXIT_OK) code = prepare(s);
    if (code != EXIT_OK) return code;
    name_model(s);
    fill_served(s);
    return EXIT_OK;
}

static bool ending(void) {
    return signal_status() != 0;
}

TnServeOptions serve_options(ServeModel *s) {
    const GenerateFlags *g = &s->f->g;
    return (TnServeOptions){.models = &s->served,
                            .n_models = 1,
                            .sampler = sampler_of_flags(g),
                            .max_tokens = g->n > 0 ? (uint32_t)g->n : 0,
                            .draft_max = (uint32_t)g->draft,
                            .now = s->f->now,
                            .ending = ending,
                            .user = s};
}

void serve_close(ServeModel *s) {
    tern_chat_template_destroy(s->chat);
    tern_embedder_destroy(s->embedder);
    tern_generator_destroy(s->generator);
    tern_vocab_close(s->vocab);
    unload_model(&s->model);
    free(s->own_source);
}

#endif
