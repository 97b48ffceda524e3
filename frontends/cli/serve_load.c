/* Loads and unloads the models of serve while it runs. All of it runs on one thread, which is not the one that steps models: so
 * what needs the workers of a pool while a model is opened has a pool of its own, of one worker.
 *
 * A model that is loaded again must be the one that was there before: requests were read by its vocabulary, and the same
 * request has to have the same answer. */
#include <string.h>
#include "frontends/cli/cli.h"

#ifdef TERN_SERVE
#include "frontends/cli/serve_model.h"
#include "runtime/base/escape.h"
#include "runtime/base/status.h"

#define MB(bytes) ((double)(bytes) / 1e6)

enum { OTHER = -1 }; /* for the loader: `known` found another model */

static int is_same(void *user, const TernModelInfo *info, const void *image, size_t bytes) {
    const ServeModel *m = user;
    bool same = info->n_vocab == m->info.n_vocab && info->n_hidden == m->info.n_hidden &&
                info->n_layers == m->info.n_layers && info->max_rows == m->info.max_rows &&
                info->n_context >= m->context && !image == !m->image && bytes == m->image_bytes &&
                (!image || memcmp(image, m->image, bytes) == 0);
    return same ? 0 : OTHER;
}

static TernStatus refuse_other(const ServeModel *m, TernError *err) {
    return tn_fail(
        err, TERN_ERR_INPUT,
        "%s: is another model than when the server started, expected the same: start the server again",
        m->path ? m->path : "the embedded model");
}

/* What is compiled anew with --tune may be tuned otherwise, with the same bits. */
static TernStatus check_hash(const ServeModels *s, ServeModel *m, TernError *err) {
    bool tuned = m->is_source && s->f->m.tune.seconds;
    return serve_same_hash(m) || tuned ? TERN_OK : refuse_other(m, err);
}

/* A file that has become one of another kind would be refused as a mistake on the command line, which ends the program. */
static bool is_other_kind(const ServeModel *m) {
    return m->path && !is_tir(m->path) && tn_os_exists(m->path) && is_gguf(m->path) != m->is_source;
}

static TernStatus open_file(ServeModels *s, ServeModel *m, TernError *err) {
    ModelFlags *flags = &s->f->m;
    int code = 0;
    if (is_other_kind(m)) return refuse_other(m, err);
    flags->model = m->path;
    flags->known = is_same;
    flags->known_user = m;
    flags->pool = s->checker;
    flags->late_check = true;
    flags->cancelled = &s->cancelled;
    TernStatus st = load_quietly(s->verb, flags, &m->model, &code, err);
    return code == OTHER ? refuse_other(m, err) : st;
}

/* Takes n bytes away wherever `what` begins with them. */
static void cut_all(TernError *err, const char *what, size_t n) {
    for (char *at = err->text; (at = strstr(at, what)); at += strlen(what) - n)
        memmove(at, at + n, strlen(at + n) + 1);
}

/* Bytes of the folders of an absolute path that begins here; 0: none does. */
static size_t folders_at(const TernError *err, const char *at) {
    if (*at != '/' || (at > err->text && !strchr(" '\"(=", at[-1]))) return 0;
    size_t n = strcspn(at, " :;,'\"()");
    while (n > 1 && at[n - 1] == '/') n--;
    while (n > 0 && at[n - 1] != '/') n--;
    return at[n] && at[n] != ' ' ? n : 0;
}

/* Clients are told what is wrong, and not where files lie. */
static void hide_paths(const ServeModel *m, TernError *err) {
    char kept[4096];
    const char *slash = m->path ? strrchr(m->path, '/') : NULL;
    if (slash) cut_all(err, m->path, (size_t)(slash - m->path) + 1);
    if (cache_path("kept/", kept, sizeof kept)) cut_all(err, kept, strlen(kept));
    for (char *at = err->text; *at; at++) {
        size_t n = folders_at(err, at);
        memmove(at, at + n, strlen(at + n) + 1);
    }
}

static TernStatus say_failure(const ServeModels *s, const ServeModel *m, TernStatus st, TernError *err) {
    if (st == TERN_OK) return st;
    if (st == TERN_ERR_CANCELLED && atomic_load(&s->cancelled)) tn_fail(err, st, "the server ends");
    name_flags(err);
    say_line("tern: %s: not loaded: %s\n", tn_shown(m->name).s, err->text);
    hide_paths(m, err);
    return st;
}

/* Weights that are copied take their memory when they are checked, so these are checked when there is room for them. */
static bool copies_weights(const ServeModels *s, const ServeModel *m) {
    return s->f->m.huge || *m->model.device.name;
}

static TernStatus open_checked(ServeModels *s, ServeModel *m, TernError *err) {
    m->begun = tn_os_seconds();
    TN_TRY(open_file(s, m, err));
    TN_TRY(check_hash(s, m, err));
    TN_TRY(serve_measure(s, m, m->model.model, err));
    if (s->limit && m->bytes > s->limit) return TERN_OK; /* it will be refused, with its size */
    if (copies_weights(s, m) || atomic_load(&s->cancelled)) return TERN_OK;
    return check_weights(m->model.model, s->checker, s->f->kv, err);
}

/* A kept file that turns out to be damaged is written anew. */
static TernStatus check_copied(ServeModels *s, ServeModel *m, TernError *err) {
    if (!copies_weights(s, m)) return TERN_OK;
    TernStatus st = check_weights(m->model.model, s->checker, s->f->kv, err);
    if (st != TERN_ERR_INPUT || !m->is_source || !m->model.kept) return st;
    note("compiled anew: %s", err->text);
    unload_model(&m->model);
    m->model = (Loaded){0};
    *err = (TernError){0};
    s->f->m.anew = true;
    st = open_file(s, m, err);
    s->f->m.anew = false;
    if (st == TERN_OK) st = check_hash(s, m, err);
    return st == TERN_OK ? check_weights(m->model.model, s->checker, s->f->kv, err) : st;
}

/* What load_for_cpu has opened; it asks about nothing. */
static TernStatus check_reopened(const ServeModels *s, ServeModel *m, TernError *err) {
    size_t bytes;
    const void *image = tern_model_vocab(m->model.model, &bytes);
    if (is_same(m, &m->model.info, image, bytes) != 0) return refuse_other(m, err);
    return check_hash(s, m, err);
}

static TernStatus open(void *user, size_t i, uint64_t *bytes, TernError *err) {
    ServeModels *s = user;
    lines_may_be_lost();
    TernStatus st = open_checked(s, &s->v[i], err);
    *bytes = s->v[i].bytes;
    notes_print();
    return say_failure(s, &s->v[i], st, err);
}

/* With --device auto, a GPU that has no room leaves the model to the cpu. If it takes more there, nothing is made yet. */
static TernStatus make_somewhere(ServeModels *s, ServeModel *m, TernError *err) {
    for (;;) {
        uint64_t bytes = m->bytes;
        TernStatus st = check_copied(s, m, err);
        if (st == TERN_OK) st = serve_make(s, m, err);
        if (st == TERN_OK) return st;
        if (is_other_kind(m)) return refuse_other(m, err);
        if (!load_for_cpu(&m->model, st, err)) return st;
        TN_TRY(check_reopened(s, m, err));
        TN_TRY(serve_measure(s, m, m->model.model, err));
        if (!copies_weights(s, m)) TN_TRY(check_weights(m->model.model, s->checker, s->f->kv, err));
        if (s->limit && m->bytes > bytes) return TERN_OK;
    }
}

static TernStatus make(void *user, size_t i, uint64_t *bytes, TernGenerator **generator,
                       TernEmbedder **embedder, TernError *err) {
    ServeModels *s = user;
    ServeModel *m = &s->v[i];
    lines_may_be_lost();
    TernStatus st = make_somewhere(s, m, err);
    notes_print();
    *bytes = m->bytes;
    *generator = m->generator;
    *embedder = m->embedder;
    if (st != TERN_OK) return say_failure(s, m, st, err);
    if (!m->generator) return TERN_OK;
    report_start(&m->model);
    say_line("tern: %s: loaded in %.2f s, %.1f MB\n", tn_shown(m->name).s, tn_os_seconds() - m->begun,
             MB(m->bytes));
    return TERN_OK;
}

static void unload(void *user, size_t i) {
    ServeModels *s = user;
    ServeModel *m = &s->v[i];
    lines_may_be_lost();
    if (m->generator) say_line("tern: %s: unloaded\n", tn_shown(m->name).s);
    serve_unload(m);
    notes_print();
}

static void cancel(void *user) {
    ServeModels *s = user;
    atomic_store(&s->cancelled, true);
}

int serve_loader(ServeModels *s) {
    TernPoolOptions po = {.size = sizeof po, .threads = 1};
    TernError err = {0};
    if (tern_pool_create(&po, &s->checker, &err) != TERN_OK) return fail(&err);
    s->loader = (TnServeLoader){.open = open,
                                .make = make,
                                .close = unload,
                                .cancel = cancel,
                                .user = s,
                                .limit = s->limit,
                                .idle = (double)s->f->idle};
    return EXIT_OK;
}

#endif
