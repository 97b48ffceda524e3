/* The models of serve and batch: what is read of each at the start, and what steps one. */
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"

#ifdef TERN_SERVE
#include "frontends/cli/serve_model.h"
#include "runtime/base/escape.h"
#include "runtime/base/status.h"

#define MB(bytes) ((double)(bytes) / 1e6)

/* ---- What requests are read by, before there is code */

/* The template's text; none is no error, since a model without one still completes texts. */
static int take_source(ServeModel *m) {
    if (!m->f->choice && (!m->vocab || tern_vocab_get_facts(m->vocab).chat_template.size == 0)) {
        m->source = (TernText){NULL, 0};
        return EXIT_OK;
    }
    return chat_source(m->f->choice, m->vocab, &m->source, &m->own_source);
}

static int take_template(ServeModel *m) {
    int code = take_source(m);
    if (code == EXIT_OK && m->source.data) code = chat_parse(m->f->choice, m->source, &m->chat);
    return code;
}

/* The vocabulary lies in a copy, which outlives the file. */
static int take_vocab(ServeModel *m, const void *image, size_t bytes) {
    TernError err = {0};
    if (!image) return EXIT_OK;
    m->image = memcpy(tn_xcalloc(1, bytes), image, bytes);
    m->image_bytes = bytes;
    return tern_vocab_open(m->image, bytes, &m->vocab, &err) == TERN_OK ? EXIT_OK : fail(&err);
}

static void take_info(ServeModel *m, const TernModelInfo *info) {
    m->info = *info;
    m->info.arch = m->info.name = m->info.desc = m->info.level = m->info.device = NULL;
}

static void name_model(ServeModel *m, const char *given, const char *own) {
    const char *path = m->path ? m->path : own, *slash = strrchr(path, '/');
    const char *name = given ? given : m->path && slash ? slash + 1 : path;
    snprintf(m->name, sizeof m->name, "%s", name);
    char *dot = strrchr(m->name, '.');
    if (!given && m->path && dot && dot != m->name) *dot = '\0';
}

static int known(void *user, const TernModelInfo *info, const void *image, size_t image_bytes) {
    ServeModel *m = user;
    const ServeFlags *f = m->f;
    if (!*m->name) name_model(m, NULL, info->name);
    take_info(m, info);
    int code = take_vocab(m, image, image_bytes);
    if (code == EXIT_OK) code = take_template(m);
    if (code == EXIT_OK) code = settle_generate(&f->g, info, &m->context);
    uint64_t rows = (uint64_t)f->slots * (uint64_t)(1 + f->g.draft);
    if (code == EXIT_OK && rows > info->max_rows)
        code = fail_text(
            "--slots: got %lld slots of %lld row%s each, expected at most %u rows: a step has no more",
            (long long)f->slots, (long long)(1 + f->g.draft), f->g.draft ? "s" : "", info->max_rows);
    return code;
}

/* ---- What steps a model */

static uint32_t pages_of(const ServeModel *m) {
    return (uint32_t)m->f->slots * ((m->context + TERN_PAGE - 1) / TERN_PAGE);
}

/* A table of guesses is a power of two. */
static uint64_t table_bytes(const ServeFlags *f) {
    uint64_t most = (uint64_t)f->draft_memory << 20, bytes = 1;
    while (2 * bytes <= most) bytes *= 2;
    return most ? bytes : 0;
}

/* The pages for stored beginnings are as many as a quarter of them would fill. If they are more than the limit on memory
 * allows, there are none, and beginnings get the pages that no running sequence needs. */
static TernGeneratorOptions generator_options(const ServeModel *m, bool lean) {
    const ServeFlags *f = m->f;
    uint32_t slots = (uint32_t)f->slots, stored = (uint32_t)(f->stored < 0 ? 2 * f->slots : f->stored);
    uint64_t most = pages_of(m) / slots;
    return (TernGeneratorOptions){.size = sizeof(TernGeneratorOptions),
                                  .slots = slots,
                                  .context = m->context,
                                  .draft_max = (uint32_t)f->g.draft,
                                  .kv = f->kv,
                                  .vocab = m->vocab,
                                  .stored = stored,
                                  .pages = pages_of(m) + (lean ? 0 : (uint32_t)((stored * most + 3) / 4)),
                                  .max_pause = (double)f->max_pause / 1e3,
                                  .draft_memory = table_bytes(f)};
}

static TernEmbedderOptions embedder_options(const ServeModel *m) {
    return (TernEmbedderOptions){.size = sizeof(TernEmbedderOptions),
                                 .slots = (uint32_t)m->f->slots,
                                 .context = m->context,
                                 .kv = m->f->kv,
                                 .pooling = m->f->pooling,
                                 .vocab = m->vocab};
}

static bool makes_vectors(const ServeModel *m) {
    return m->f->pooling || m->info.pooling;
}

TernStatus serve_measure(const ServeModels *s, ServeModel *m, const TernModel *model, TernError *err) {
    TernModelMemory all = {.size = sizeof all};
    TernSessionBytes vectors = {.size = sizeof vectors};
    TernEmbedderOptions eo = embedder_options(m);
    TN_TRY(tern_model_memory(model, &all, err));
    if (makes_vectors(m)) TN_TRY(tern_embedder_bytes(model, s->pool.pool, &eo, &vectors, err));
    for (int lean = 0; lean < 2; lean++) {
        TernSessionBytes text = {.size = sizeof text};
        TernGeneratorOptions o = generator_options(m, lean);
        TN_TRY(tern_generator_bytes(model, s->pool.pool, &o, &text, err));
        m->lean = lean;
        m->bytes = all.resident + all.code + vectors.total + text.total + o.draft_memory;
        if (!s->limit || m->bytes <= s->limit) break;
    }
    return TERN_OK;
}

bool serve_same_hash(ServeModel *m) {
    TernHash hash = tern_model_hash(m->model.model);
    bool gpu = m->is_source && *m->model.device.name; /* a .tern has the code for all that can run it */
    if (m->hashed[gpu] && memcmp(&hash, &m->hash[gpu], sizeof hash) != 0) return false;
    m->hash[gpu] = hash;
    m->hashed[gpu] = true;
    return true;
}

static TernStatus make_generator(const ServeModels *s, ServeModel *m, TernError *err) {
    TernGeneratorOptions o = generator_options(m, m->lean);
    TernStatus st = tern_generator_create(m->model.model, s->pool.pool, &o, &m->generator, err);
    if (st != TERN_ERR_MEMORY || o.stored == 0 || m->lean) return st;
    o = generator_options(m, true);
    return tern_generator_create(m->model.model, s->pool.pool, &o, &m->generator, err);
}

TernStatus serve_make(const ServeModels *s, ServeModel *m, TernError *err) {
    TernEmbedderOptions eo = embedder_options(m);
    TernStatus st = make_generator(s, m, err);
    if (st == TERN_OK && makes_vectors(m))
        st = tern_embedder_create(m->model.model, s->pool.pool, &eo, &m->embedder, err);
    if (st == TERN_OK) return st;
    tern_generator_destroy(m->generator);
    m->generator = NULL;
    return st;
}

void serve_unload(ServeModel *m) {
    if (m->generator) note_saturated(tern_session_saturated(tern_generator_session(m->generator)));
    tern_embedder_destroy(m->embedder);
    tern_generator_destroy(m->generator);
    unload_model(&m->model);
    m->embedder = NULL;
    m->generator = NULL;
    m->model = (Loaded){0};
}

/* ---- The start */

static int prepare(ServeModels *s, ServeModel *m) {
    TernError err = {0};
    for (;;) {
        TernStatus st = serve_measure(s, m, m->model.model, &err);
        if (st == TERN_OK) st = serve_make(s, m, &err);
        if (st == TERN_OK) break;
        if (!load_for_cpu(&m->model, st, &err)) return fail(&err);
        if (!serve_same_hash(m)) return fail_text("%s: was changed while it was loaded", tn_shown(m->path).s);
    }
    report_start(&m->model);
    report_quota(s->f->m.threads || s->f->m.cpus);
    report_huge(&s->f->m, &m->model);
    return EXIT_OK;
}

/* A model that is not loaded yet: what can be known of it now is refused now. */
static int look_at(ServeModels *s, ServeModel *m) {
    TernError err = {0};
    int code = EXIT_OK;
    if (m->model.model && serve_measure(s, m, m->model.model, &err) != TERN_OK) code = fail(&err);
    if (m->model.model && code == EXIT_OK && s->limit && m->bytes > s->limit)
        code = fail_text(
            "%s: needs %.1f MB of memory for weights, code and caches, expected at most the limit, %.1f MB",
            tn_shown(m->path).s, MB(m->bytes), MB(s->limit));
    m->bytes = 0;
    unload_model(&m->model);
    m->model = (Loaded){0};
    return code;
}

/* The pool has bound this thread to the first processor of --cpus; what compiles a model, and starts here, may use all of them. */
static int load_on_cpus(ServeModels *s, ServeModel *m) {
    cpu_set_t own, all;
    CPU_ZERO(&all);
    for (uint32_t i = 0; i < s->pool.n_cpus; i++) CPU_SET(s->pool.cpus[i], &all);
    bool moved = s->pool.n_cpus && sched_getaffinity(0, sizeof own, &own) == 0 &&
                 sched_setaffinity(0, sizeof all, &all) == 0;
    int code = load_model(s->verb, &s->f->m, &m->model);
    if (moved) sched_setaffinity(0, sizeof own, &own);
    return code;
}

static int open_one(ServeModels *s, size_t i) {
    ServeModel *m = &s->v[i];
    ModelFlags *flags = &s->f->m;
    flags->model = m->path;
    flags->known_user = m;
    flags->only_known = i > 0;
    int code = load_on_cpus(s, m);
    flags->only_known = false;
    if (code != EXIT_OK) return code;
    if (m->model.model) {
        take_info(m, &m->model.info);
        (void)serve_same_hash(m);
    }
    return i == 0 ? prepare(s, m) : look_at(s, m);
}

static void check_names(const ServeModels *s) {
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(s->v[i].name, s->v[k].name) == 0)
                usage_error(s->verb,
                            "two models are called '%s', expected another name for one of them (--alias)",
                            s->v[i].name);
}

static void name_models(ServeModels *s, const char *const *paths) {
    const StrList *a = &s->f->aliases;
    if (a->n > s->n)
        usage_error(s->verb, "%s is given %u times, expected at most one for each of %zu model%s",
                    flag_given(a), a->n, s->n, s->n == 1 ? "" : "s");
    for (size_t i = 0; i < s->n; i++) {
        ServeModel *m = &s->v[i];
        m->f = s->f;
        m->path = paths[i];
        if (m->path || i < a->n) name_model(m, i < a->n ? a->v[i] : NULL, "");
        m->is_source = !m->path || is_tir(m->path) || is_gguf(m->path);
        if (s->n > 1 || s->f->idle > 0)
            if (m->path && strcmp(m->path, "-") == 0)
                usage_error(s->verb,
                            "-: a model from standard input is not there a second time, expected a file");
    }
    check_names(s);
}

static void fill_served(ServeModels *s) {
    uint32_t slots = (uint32_t)s->f->slots;
    s->served = tn_xcalloc(s->n, sizeof *s->served);
    for (size_t i = 0; i < s->n; i++) {
        const ServeModel *m = &s->v[i];
        s->served[i] = (TnServeModel){.name = m->name,
                                      .info = m->info,
                                      .vocab = m->vocab,
                                      .chat = m->chat,
                                      .chat_source = m->source,
                                      .texts = true,
                                      .vectors = makes_vectors(m),
                                      .slots = slots,
                                      .context = m->context,
                                      .embed_slots = slots,
                                      .embed_context = m->context,
                                      .generator = m->generator,
                                      .embedder = m->embedder,
                                      .bytes = m->bytes};
    }
}

int serve_open(const Verb *verb, ServeFlags *f, const char *const *paths, size_t n, ServeModels *s) {
    ModelFlags *flags = &f->m;
    s->verb = verb;
    s->f = f;
    s->n = n;
    s->v = tn_xcalloc(n, sizeof *s->v);
    if (flags->memory_limit)
        s->limit = parse_bytes(verb, flag_given(&flags->memory_limit), flags->memory_limit);
    name_models(s, paths);
    flags->context = f->g.context > 0 ? (uint32_t)f->g.context : 0;
    flags->known = known;
    flags->apart = true;
    s->bound = flags->cpus && sched_getaffinity(0, sizeof s->unbound, &s->unbound) == 0;
    int code = load_pool(verb, flags, &s->pool);
    flags->pool = s->pool.pool;
    for (size_t i = 0; i < n && code == EXIT_OK; i++) code = open_one(s, i);
    if (code != EXIT_OK) return code;
    fill_served(s);
    return n > 1 || f->idle > 0 ? serve_loader(s) : EXIT_OK;
}

/* ---- Flags */

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
    only_with(verb, &f->draft_memory, f->g.draft > 0, "--draft-max");
    if (f->g.n == 0) usage_error(verb, "%s 0: an answer has at least one token", flag_given(&f->g.n));
    f->kv = kv_of_flags(verb, &f->m);
    f->pooling = read_pooling(verb, f->pooling_name);
    f->now = f->date ? read_date(verb, f->date) : -1;
}

static bool ending(void) {
    return signal_status() != 0;
}

TnServeOptions serve_options(ServeModels *s) {
    const GenerateFlags *g = &s->f->g;
    return (TnServeOptions){.models = s->served,
                            .n_models = s->n,
                            .loader = s->loader.open ? &s->loader : NULL,
                            .sampler = sampler_of_flags(g),
                            .max_tokens = g->n > 0 ? (uint32_t)g->n : 0,
                            .draft_max = (uint32_t)g->draft,
                            .max_pause = (double)s->f->max_pause / 1e3,
                            .now = s->f->now,
                            .ending = ending,
                            .helpers = s->bound ? &s->unbound : NULL,
                            .user = s};
}

void serve_close(ServeModels *s) {
    for (size_t i = 0; i < s->n; i++) {
        ServeModel *m = &s->v[i];
        serve_unload(m);
        tern_chat_template_destroy(m->chat);
        tern_vocab_close(m->vocab);
        free(m->image);
        free(m->own_source);
    }
    tern_pool_destroy(s->checker);
    unload_model(&s->pool);
    free(s->served);
    free(s->v);
}

#endif
