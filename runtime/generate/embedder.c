/* Vectors of texts: a session, and the pooling of the hidden rows that it gives.
 *
 * Texts run side by side, as many in a step as there are slots and rows for. They give their rows in the order of the
 * batch, which is that of the texts, so a vector is finished when its text's last row comes, and one sum is enough. A text
 * for whose rows a step has no more room goes on in the next one, where it left off: how it is cut changes no bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/options.h"
#include "runtime/generate/generate.h"

enum { CONTEXT_DEFAULT = 4096 };

/* The ids of a text. */
typedef struct Part {
    int32_t *ids;
    size_t n;
} Part;

struct TernEmbedder {
    TernModelInfo info;
    TernSession *session;
    const TernVocab *vocab;
    TernVocab *own_vocab;
    uint32_t slots, context, batch;
    TernPooling pooling;
    bool normalize;
    bool busy, stepping; /* between begin and end; in a step */
    TernRow *rows;       /* [batch] of a step */
    double *sum;         /* [n_hidden] */
    float *x;            /* [n_hidden] */
    /* of the current call */
    Part *parts;
    size_t n;
    size_t at, from; /* the first text that has not run to its end, and how many of its ids have run */
    size_t text, i;  /* of the next row with a result: its text and place there, among those with one */
    bool cancelled;
    TernVectorFn *vector;
    void *user;
};

static const TnField embedder_fields[] = {
    TN_FIELD(TernEmbedderOptions, slots),   TN_FIELD(TernEmbedderOptions, context),
    TN_FIELD(TernEmbedderOptions, batch),   TN_FIELD(TernEmbedderOptions, kv),
    TN_FIELD(TernEmbedderOptions, pooling), TN_FIELD(TernEmbedderOptions, normalize),
    TN_FIELD(TernEmbedderOptions, vocab)};
static const TnShape embedder_shape = TN_SHAPE(TernEmbedderOptions, embedder_fields);
static const TnField text_fields[] = {TN_FIELD(TernEmbedText, text), TN_FIELD(TernEmbedText, ids),
                                      TN_FIELD(TernEmbedText, n_ids), TN_FIELD(TernEmbedText, parse_special)};
static const TnShape text_shape = TN_SHAPE(TernEmbedText, text_fields);

static TernStatus no_memory(TernError *err) {
    return tn_fail(err, TERN_ERR_MEMORY, "no memory for an embedder");
}

/* ---- The embedder */

static TernStatus take_pooling(TernEmbedder *e, const TernEmbedderOptions *o, TernError *err) {
    if ((uint32_t)o->pooling > TERN_POOLING_LAST)
        return tn_fail(err, TERN_ERR_INPUT, "TernEmbedderOptions.pooling is %u, expected 0 to %d",
                       (uint32_t)o->pooling, TERN_POOLING_LAST);
    if ((uint32_t)o->normalize > TERN_NORMALIZE_NO)
        return tn_fail(err, TERN_ERR_INPUT, "TernEmbedderOptions.normalize is %u, expected 0 to %d",
                       (uint32_t)o->normalize, TERN_NORMALIZE_NO);
    e->pooling = o->pooling ? o->pooling : e->info.pooling;
    if (e->pooling == TERN_POOLING_UNSAID)
        return tn_fail(
            err, TERN_ERR_INPUT,
            "TernEmbedderOptions.pooling is not set, and %s does not say it (key %s.pooling_type): "
            "expected none, mean, cls or last",
            e->info.name, e->info.arch);
    bool usual = e->pooling != TERN_POOLING_NONE;
    e->normalize = o->normalize ? o->normalize == TERN_NORMALIZE_YES : usual;
    return TERN_OK;
}

static TernStatus take_options(TernEmbedder *e, const TernEmbedderOptions *o, TernError *err) {
    const TernModelInfo *info = &e->info;
    e->batch = o->batch ? o->batch : info->max_rows;
    e->slots = o->slots ? o->slots : 1;
    e->context = o->context                          ? o->context
                 : info->n_context < CONTEXT_DEFAULT ? info->n_context
                                                     : CONTEXT_DEFAULT;
    if (e->batch > info->max_rows)
        return tn_fail(err, TERN_ERR_INPUT, "TernEmbedderOptions.batch is %u rows, expected at most %u",
                       e->batch, info->max_rows);
    if (e->slots > e->batch)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernEmbedderOptions.slots is %u, expected at most %u, the rows of a step", e->slots,
                       e->batch);
    if (e->context > info->n_context)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernEmbedderOptions.context is %u positions, expected at most the model's %u",
                       e->context, info->n_context);
    return take_pooling(e, o, err);
}

static TernSessionOptions session_options(const TernEmbedder *e, const TernEmbedderOptions *o) {
    bool all = e->pooling == TERN_POOLING_NONE || e->pooling == TERN_POOLING_MEAN;
    return (TernSessionOptions){.size = sizeof(TernSessionOptions),
                                .slots = e->slots,
                                .context = e->context,
                                .batch = e->batch,
                                .wants = 1,
                                .hidden = all ? e->batch : e->slots,
                                .kv = o->kv};
}

TernStatus tern_embedder_bytes(const TernModel *model, const TernPool *pool,
                               const TernEmbedderOptions *options, TernSessionBytes *out, TernError *err) {
    TernEmbedderOptions o = {.size = sizeof o};
    tn_error_clear(err);
    TN_NEED(model, err);
    TN_NEED(pool, err);
    TN_NEED(out, err);
    TernEmbedder e = {.slots = 0};
    tern_model_info(model, &e.info);
    TN_TRY(tn_options_take(&embedder_shape, options, &o, err));
    TN_TRY(take_options(&e, &o, err));
    TernSessionOptions so = session_options(&e, &o);
    return tern_session_bytes(model, pool, &so, out, err);
}

static TernStatus fill(TernEmbedder *e, TernModel *model, TernPool *pool, const TernEmbedderOptions *given,
                       TernError *err) {
    TernEmbedderOptions o = {.size = sizeof o};
    TN_TRY(tn_options_take(&embedder_shape, given, &o, err));
    TN_TRY(take_options(e, &o, err));
    size_t n = 0;
    const void *image = o.vocab ? NULL : tern_model_vocab(model, &n);
    if (image) TN_TRY(tern_vocab_open(image, n, &e->own_vocab, err));
    e->vocab = o.vocab ? o.vocab : e->own_vocab;
    e->rows = calloc(e->batch, sizeof *e->rows);
    e->sum = calloc(e->info.n_hidden, sizeof *e->sum);
    e->x = calloc(e->info.n_hidden, sizeof *e->x);
    if (!e->rows || !e->sum || !e->x) return no_memory(err);
    TernSessionOptions so = session_options(e, &o);
    TN_TRY(tern_session_create(model, pool, &so, &e->session, err));
    if (!tern_session_gives(e->session, TERN_WANT_HIDDEN))
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "%s was compiled without hidden rows, which vectors are made of", e->info.name);
    return TERN_OK;
}

TernStatus tern_embedder_create(TernModel *model, TernPool *pool, const TernEmbedderOptions *options,
                                TernEmbedder **out, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out, err);
    TN_NEED(model, err);
    TN_NEED(pool, err);
    TernEmbedder *e = calloc(1, sizeof *e);
    if (!e) return no_memory(err);
    tern_model_info(model, &e->info);
    TernStatus st = fill(e, model, pool, options, err);
    if (st == TERN_OK)
        *out = e;
    else
        tern_embedder_destroy(e);
    return st;
}

void tern_embedder_destroy(TernEmbedder *e) {
    if (!e) return;
    tern_embed_end(e);
    tern_session_destroy(e->session);
    tern_vocab_close(e->own_vocab);
    free(e->rows);
    free(e->sum);
    free(e->x);
    free(e);
}

TernSession *tern_embedder_session(TernEmbedder *e) {
    return e ? e->session : NULL;
}

/* ---- The ids of texts */

static TernStatus encode(const TernEmbedder *e, const TernEmbedText *t, Part *out, TernError *err) {
    uint32_t flags = TERN_ENCODE_ADD_SPECIAL | (t->parse_special ? TERN_ENCODE_PARSE_SPECIAL : 0);
    size_t most = tern_encode_most(e->vocab, t->text.size);
    out->ids = malloc((most + 1) * sizeof *out->ids);
    if (!out->ids) return no_memory(err);
    return tern_encode(e->vocab, t->text.data, t->text.size, flags, out->ids, most, &out->n, err);
}

static TernStatus copy_ids(const TernEmbedder *e, const TernEmbedText *t, Part *out, TernError *err) {
    if (t->text.size)
        return tn_fail(err, TERN_ERR_INPUT, "TernEmbedText.text is NULL although its size is %zu",
                       t->text.size);
    if (t->n_ids && !t->ids)
        return tn_fail(err, TERN_ERR_INPUT, "TernEmbedText.ids is NULL although n_ids is %zu", t->n_ids);
    if (t->parse_special)
        return tn_fail(err, TERN_ERR_INPUT, "TernEmbedText.parse_special is set, expected 0 beside ids");
    for (size_t i = 0; i < t->n_ids; i++)
        if (t->ids[i] < 0 || (uint32_t)t->ids[i] >= e->info.n_vocab)
            return tn_fail(err, TERN_ERR_INPUT, "TernEmbedText.ids[%zu] is %d, expected 0 to %u", i,
                           t->ids[i], e->info.n_vocab - 1);
    out->ids = malloc((t->n_ids + 1) * sizeof *out->ids);
    if (!out->ids) return no_memory(err);
    if (t->n_ids) memcpy(out->ids, t->ids, t->n_ids * sizeof *out->ids);
    out->n = t->n_ids;
    return TERN_OK;
}

static TernStatus take_text(const TernEmbedder *e, const TernEmbedText *given, Part *out, TernError *err) {
    TernEmbedText t = {.size = sizeof t};
    TN_TRY(tn_options_take(&text_shape, given, &t, err));
    if (t.text.data && (t.ids || t.n_ids))
        return tn_fail(err, TERN_ERR_INPUT, "TernEmbedText.ids is set, expected none beside a text");
    if (t.text.data && !e->vocab)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernEmbedText.text is set, expected ids: the model has no tokenizer");
    TN_TRY(t.text.data ? encode(e, &t, out, err) : copy_ids(e, &t, out, err));
    if (out->n == 0)
        return tn_fail(err, TERN_ERR_INPUT, "it has no tokens%s",
                       t.text.data ? ", and the model adds none" : "");
    if (out->n > e->context)
        return tn_fail(err, TERN_ERR_INPUT, "it has %zu tokens, expected at most the %u of the context",
                       out->n, e->context);
    return TERN_OK;
}

/* ---- Rows to vectors */

static void give(TernEmbedder *e, const float *x) {
    uint32_t n = e->info.n_hidden;
    if (e->normalize) {
        double sum = 0;
        for (uint32_t i = 0; i < n; i++) sum = sum + (double)x[i] * (double)x[i];
        double length = sqrt(sum);
        for (uint32_t i = 0; i < n; i++) e->x[i] = length > 0 ? (float)((double)x[i] / length) : x[i];
        x = e->x;
    }
    size_t row = e->pooling == TERN_POOLING_NONE ? e->i : 0;
    TernVector v = {.text = e->text, .row = row, .n_ids = e->parts[e->text].n, .x = x, .n = n};
    if (!e->cancelled && e->vector && e->vector(e->user, &v)) e->cancelled = true;
}

static void take_row(void *user, const TernResult *r) {
    TernEmbedder *e = user;
    const Part *p = &e->parts[e->text];
    uint32_t n = e->info.n_hidden;
    bool mean = e->pooling == TERN_POOLING_MEAN, one = !mean && e->pooling != TERN_POOLING_NONE;
    if (mean && e->i == 0) memset(e->sum, 0, n * sizeof *e->sum);
    for (uint32_t i = 0; mean && i < n; i++) e->sum[i] = e->sum[i] + (double)r->hidden[i];
    bool last = one || e->i + 1 == p->n;
    if (mean && last) {
        for (uint32_t i = 0; i < n; i++) e->x[i] = (float)(e->sum[i] / (double)p->n);
        give(e, e->x);
    } else if (!mean) {
        give(e, r->hidden);
    }
    e->i = last ? 0 : e->i + 1;
    e->text += last;
}

static uint32_t want_of(const TernEmbedder *e, size_t i, size_t n) {
    bool needed = e->pooling == TERN_POOLING_LAST  ? i + 1 == n
                  : e->pooling == TERN_POOLING_CLS ? i == 0
                                                   : true;
    return needed ? TERN_WANT_HIDDEN : TERN_WANT_NOTHING;
}

/* ---- Steps */

/* Adds the next rows of text i, from its id `from` on; returns how many of its ids have run then. */
static size_t add_rows(TernEmbedder *e, size_t i, size_t from, size_t most, size_t *rows) {
    const Part *p = &e->parts[i];
    for (; from < p->n && *rows < most; from++)
        e->rows[(*rows)++] = (TernRow){p->ids[from], (uint32_t)(i % e->slots), want_of(e, from, p->n)};
    return from;
}

/* Slots of texts that have run are empty again; all of them after a failure. */
static void clear(TernEmbedder *e, size_t from, size_t to) {
    TernError ignored;
    for (size_t i = from; i < to; i++)
        (void)tern_session_truncate(e->session, (uint32_t)(i % e->slots), 0, &ignored);
}

static TernStatus run_step(TernEmbedder *e, size_t most, TernError *err) {
    size_t rows = 0, first = e->at;
    do {
        e->from = add_rows(e, e->at, e->from, most, &rows);
        if (e->from < e->parts[e->at].n) break;
        e->at++;
        e->from = 0;
    } while (e->at < e->n && e->at - first < e->slots && rows < most);
    TernStatus st = tern_session_step(e->session, e->rows, rows, take_row, e, err);
    clear(e, first, st == TERN_OK ? e->at : e->at + (e->at < e->n));
    return st == TERN_ERR_NUMERIC ? tn_fail_in(err, st, "text %zu", e->text) : st;
}

TernStatus tern_embed_begin(TernEmbedder *e, const TernEmbedText *texts, size_t n, TernVectorFn *vector,
                            void *user, TernError *err) {
    tn_error_clear(err);
    if (!e) return tn_fail_null("embedder", err);
    if (!texts && n) return tn_fail_null("texts", err);
    if (e->busy)
        return tn_fail(
            err, TERN_ERR_INPUT,
            "a call of this embedder is under way: the function that gets vectors must not call it");
    Part *parts = calloc(n + 1, sizeof *parts);
    if (!parts) return no_memory(err);
    e->busy = true;
    e->parts = parts;
    e->n = n;
    e->at = e->from = e->text = e->i = 0;
    e->vector = vector;
    e->user = user;
    e->cancelled = false;
    TernStatus st = TERN_OK;
    for (size_t i = 0; i < n && st == TERN_OK; i++) {
        st = take_text(e, (const TernEmbedText *)(const void *)((const char *)texts + i * texts->size),
                       &parts[i], err);
        if (st != TERN_OK) st = tn_fail_in(err, st, "text %zu", i);
    }
    if (st != TERN_OK) tern_embed_end(e);
    return st;
}

TernStatus tern_embed_step(TernEmbedder *e, size_t rows, int *more, TernError *err) {
    tn_error_clear(err);
    if (!e) return tn_fail_null("embedder", err);
    TN_NEED(more, err);
    *more = 0;
    if (!e->busy || e->stepping)
        return tn_fail(err, TERN_ERR_INPUT, "%s",
                       e->busy ? "a step of this embedder is under way" : "no texts were begun");
    if (e->at == e->n) return TERN_OK;
    e->stepping = true;
    TernStatus st = run_step(e, rows && rows < e->batch ? rows : e->batch, err);
    e->stepping = false;
    if (st == TERN_OK && e->cancelled)
        st = tn_fail(err, TERN_ERR_CANCELLED, "cancelled by the caller's function");
    if (st != TERN_OK) { /* nothing is left to run, nor of the text that was under way */
        if (e->at < e->n && e->from) clear(e, e->at, e->at + 1);
        e->at = e->n;
        e->from = 0;
    }
    *more = e->at < e->n;
    return st;
}

void tern_embed_end(TernEmbedder *e) {
    if (!e || !e->busy || e->stepping) return;
    if (e->at < e->n && e->from) clear(e, e->at, e->at + 1);
    for (size_t i = 0; i < e->n; i++) free(e->parts[i].ids);
    free(e->parts);
    e->parts = NULL;
    e->busy = false;
}

TernStatus tern_embed(TernEmbedder *e, const TernEmbedText *texts, size_t n, TernVectorFn *vector, void *user,
                      TernError *err) {
    TernStatus st = tern_embed_begin(e, texts, n, vector, user, err);
    if (st != TERN_OK) return st;
    for (int more = 1; more && st == TERN_OK;) st = tern_embed_step(e, 0, &more, err);
    tern_embed_end(e);
    return st;
}
