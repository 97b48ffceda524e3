/* Makes, checks and destroys generators and sequences. */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/options.h"
#include "runtime/base/os.h"
#include "runtime/generate/store.h"

/* ---- Generator */

enum { CONTEXT_DEFAULT = 4096, SLOTS_MOST = 1 << 16, PAUSE_MOST = 3600 };

static const TnField generator_fields[] = {
    TN_FIELD(TernGeneratorOptions, slots),     TN_FIELD(TernGeneratorOptions, context),
    TN_FIELD(TernGeneratorOptions, batch),     TN_FIELD(TernGeneratorOptions, draft_max),
    TN_FIELD(TernGeneratorOptions, kv),        TN_FIELD(TernGeneratorOptions, vocab),
    TN_FIELD(TernGeneratorOptions, stored),    TN_FIELD(TernGeneratorOptions, pages),
    TN_FIELD(TernGeneratorOptions, max_pause), TN_FIELD(TernGeneratorOptions, draft_memory)};
static const TnShape generator_shape = TN_SHAPE(TernGeneratorOptions, generator_fields);

/* Without stored beginnings every sequence can fill its context. */
static TernStatus take_pages(TernGenerator *g, const TernGeneratorOptions *o, TernError *err) {
    uint64_t most = (g->context + TERN_PAGE - 1) / TERN_PAGE, slots = (uint64_t)g->slots + o->stored;
    if (slots > SLOTS_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "TernGeneratorOptions.stored is %u, expected at most %u",
                       o->stored, SLOTS_MOST - g->slots);
    if (o->pages && (o->pages < g->slots * most || o->pages > slots * most))
        return tn_fail(err, TERN_ERR_INPUT, "TernGeneratorOptions.pages is %u, expected %llu to %llu",
                       o->pages, (unsigned long long)(g->slots * most), (unsigned long long)(slots * most));
    g->all = (uint32_t)slots;
    return TERN_OK;
}

static TernStatus take_options(TernGenerator *g, const TernGeneratorOptions *given, TernGeneratorOptions *o,
                               TernError *err) {
    TN_TRY(tn_options_take(&generator_shape, given, o, err));
    const TernModelInfo *info = &g->info;
    g->slots = o->slots ? o->slots : 1;
    g->batch = o->batch ? o->batch : info->max_rows;
    g->draft_max = o->draft_max;
    g->context = o->context                          ? o->context
                 : info->n_context < CONTEXT_DEFAULT ? info->n_context
                                                     : CONTEXT_DEFAULT;
    if (g->context > info->n_context)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernGeneratorOptions.context is %u positions, expected at most the model's %u",
                       g->context, info->n_context);
    if (g->batch > info->max_rows)
        return tn_fail(err, TERN_ERR_INPUT, "TernGeneratorOptions.batch is %u rows, expected at most %u",
                       g->batch, info->max_rows);
    if (g->slots > g->batch)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernGeneratorOptions.slots is %u, expected at most %u, the rows of a step", g->slots,
                       g->batch);
    if (g->draft_max > g->batch / g->slots - 1)
        return tn_fail(
            err, TERN_ERR_INPUT,
            "TernGeneratorOptions.draft_max is %u, expected at most %u: %u slots share %u rows a step",
            g->draft_max, g->batch / g->slots - 1, g->slots, g->batch);
    if (!(o->max_pause >= 0 && o->max_pause <= PAUSE_MOST))
        return tn_fail(err, TERN_ERR_INPUT, "TernGeneratorOptions.max_pause is %g seconds, expected 0 to %d",
                       o->max_pause, PAUSE_MOST);
    g->max_pause = o->max_pause;
    if (o->draft_memory && !o->draft_max)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernGeneratorOptions.draft_memory is %llu, expected 0: draft_max is 0",
                       (unsigned long long)o->draft_memory);
    return take_pages(g, o, err);
}

static TernStatus open_vocab(TernGenerator *g, const TernVocab *given, TernError *err) {
    size_t n;
    const void *image = given ? NULL : tern_model_vocab(g->model, &n);
    if (image) TN_TRY(tern_vocab_open(image, n, &g->own_vocab, err));
    g->vocab = given ? given : g->own_vocab;
    return TERN_OK;
}

static TernSessionOptions session_options(const TernGenerator *g, const TernGeneratorOptions *o) {
    return (TernSessionOptions){.size = sizeof(TernSessionOptions),
                                .slots = g->all,
                                .context = g->context,
                                .batch = g->batch,
                                .wants = g->slots * (1 + g->draft_max),
                                .kv = o->kv,
                                .pages = o->pages};
}

TernStatus tern_generator_bytes(const TernModel *model, const TernPool *pool,
                                const TernGeneratorOptions *options, TernSessionBytes *out, TernError *err) {
    TernGeneratorOptions o = {.size = sizeof o};
    tn_error_clear(err);
    TN_NEED(model, err);
    TN_NEED(pool, err);
    TN_NEED(out, err);
    TernGenerator g = {.slots = 0};
    tern_model_info(model, &g.info);
    TN_TRY(take_options(&g, options, &o, err));
    TernSessionOptions so = session_options(&g, &o);
    return tern_session_bytes(model, pool, &so, out, err);
}

static TernStatus open_phrases(TernGenerator *g, uint64_t bytes, TernError *err) {
    TernStatus st = tern_phrases_create((size_t)bytes, &g->phrases, err);
    g->drafts.alone = true;
    return st == TERN_OK ? st : tn_fail_in(err, st, "TernGeneratorOptions.draft_memory");
}

static TernStatus fill(TernGenerator *g, TernPool *pool, const TernGeneratorOptions *given, TernError *err) {
    TernGeneratorOptions o = {.size = sizeof o};
    TN_TRY(take_options(g, given, &o, err));
    TN_TRY(open_vocab(g, o.vocab, err));
    g->at = calloc(g->all, sizeof *g->at);
    g->rows = calloc(g->batch, sizeof *g->rows);
    g->row_of = calloc(g->batch, sizeof *g->row_of);
    g->kept = calloc(g->all, sizeof *g->kept);
    g->decoding = calloc(g->all, sizeof *g->decoding);
    g->used = calloc(g->all, sizeof *g->used);
    g->by_size = calloc(1 + (size_t)g->slots, sizeof *g->by_size);
    g->ids = calloc((size_t)g->all * g->context, sizeof *g->ids);
    if (!g->at || !g->kept || !g->decoding || !g->rows || !g->row_of || !g->used || !g->by_size || !g->ids)
        return tn_fail(err, TERN_ERR_MEMORY, "no memory for %u slots and the %u rows of a step", g->all,
                       g->batch);
    TN_TRY(tn_drafts_open(&g->drafts, g->all, err));
    if (o.draft_memory) TN_TRY(open_phrases(g, o.draft_memory, err));
    if (o.stored && !(g->prefix = tn_prefix_create(g->all, g->context, g->ids)))
        return tn_fail(err, TERN_ERR_MEMORY, "no memory for a tree of %u slots", g->all);
    TernSessionOptions so = session_options(g, &o);
    g->kv = o.kv ? o.kv : TERN_KV_F16;
    return tern_session_create(g->model, pool, &so, &g->session, err);
}

TernStatus tern_generator_create(TernModel *model, TernPool *pool, const TernGeneratorOptions *options,
                                 TernGenerator **out, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out, err);
    TN_NEED(model, err);
    TN_NEED(pool, err);
    TernGenerator *g = calloc(1, sizeof *g);
    if (!g) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a generator (%zu bytes)", sizeof *g);
    g->model = model;
    g->seconds = tn_os_seconds;
    tern_model_info(model, &g->info);
    TernStatus st = fill(g, pool, options, err);
    if (st == TERN_OK)
        *out = g;
    else
        tern_generator_destroy(g);
    return st;
}

void tern_generator_destroy(TernGenerator *g) {
    if (!g) return;
    tern_session_destroy(g->session);
    tern_vocab_close(g->own_vocab);
    free(g->at);
    free(g->kept);
    free(g->decoding);
    free(g->drafts.order);
    tern_phrases_destroy(g->phrases);
    free(g->used);
    free(g->by_size);
    free(g->ids);
    tn_prefix_destroy(g->prefix);
    free(g->rows);
    free(g->row_of);
    free(g);
}

TernSession *tern_generator_session(TernGenerator *g) {
    return g ? g->session : NULL;
}

/* If two threads cancel, the one that saw fewer sequences may come last, so the bound must only rise. */
void tern_generator_cancel(TernGenerator *g) {
    if (!g) return;
    unsigned long long n = atomic_load(&g->n_created), below = atomic_load(&g->cancel_below);
    while (below < n && !atomic_compare_exchange_weak(&g->cancel_below, &below, n)) {
    }
}

/* ---- Sequence */

static const TnField request_fields[] = {
    TN_FIELD(TernRequest, text),          TN_FIELD(TernRequest, ids),
    TN_FIELD(TernRequest, n_ids),         TN_FIELD(TernRequest, plain),
    TN_FIELD(TernRequest, parse_special), TN_FIELD(TernRequest, max_tokens),
    TN_FIELD(TernRequest, draft_max),     TN_FIELD(TernRequest, ignore_eog),
    TN_FIELD(TernRequest, stop_ids),      TN_FIELD(TernRequest, n_stop_ids),
    TN_FIELD(TernRequest, stops),         TN_FIELD(TernRequest, n_stops),
    TN_FIELD(TernRequest, sampler),       TN_FIELD(TernRequest, slot),
    TN_FIELD(TernRequest, grammar),       TN_FIELD(TernRequest, special),
    TN_FIELD(TernRequest, unstored),      TN_FIELD(TernRequest, logprobs)};
static const TnShape request_shape = TN_SHAPE(TernRequest, request_fields);

TernStatus tn_request_take(const TernRequest *given, TernRequest *out, TernError *err) {
    return tn_options_take(&request_shape, given, out, err);
}

static TernStatus no_memory(TernError *err) {
    return tn_fail(err, TERN_ERR_MEMORY, "no memory for a sequence");
}

static TernStatus check_request(const TernGenerator *g, const TernRequest *r, TernError *err) {
    if (r->text.data && (r->ids || r->n_ids))
        return tn_fail(err, TERN_ERR_INPUT, "TernRequest.ids is set, expected none beside a text");
    if (!r->text.data && r->text.size)
        return tn_fail(err, TERN_ERR_INPUT, "TernRequest.text is NULL although its size is %zu",
                       r->text.size);
    if (r->n_ids && !r->ids)
        return tn_fail(err, TERN_ERR_INPUT, "TernRequest.ids is NULL although n_ids is %zu", r->n_ids);
    if (r->n_stop_ids && !r->stop_ids)
        return tn_fail(err, TERN_ERR_INPUT, "TernRequest.stop_ids is NULL although n_stop_ids is %zu",
                       r->n_stop_ids);
    if (r->n_stops && !r->stops)
        return tn_fail(err, TERN_ERR_INPUT, "TernRequest.stops is NULL although n_stops is %zu", r->n_stops);
    if ((r->plain || r->parse_special) && !r->text.data)
        return tn_fail(err, TERN_ERR_INPUT, "TernRequest.%s is set, expected 0 beside ids",
                       r->plain ? "plain" : "parse_special");
    if (r->draft_max > g->draft_max)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernRequest.draft_max is %u, expected at most the generator's %u", r->draft_max,
                       g->draft_max);
    if (!g->vocab && r->text.data)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernRequest.text is set, expected ids: the model has no tokenizer");
    if (!g->vocab && r->grammar)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernRequest.grammar is set, expected none: the model has no tokenizer");
    if (r->grammar && r->ignore_eog)
        return tn_fail(err, TERN_ERR_INPUT, "TernRequest.ignore_eog is set, expected 0 beside a grammar");
    if (!g->vocab && r->n_stops)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernRequest.stops is set, expected none: the model has no tokenizer");
    return TERN_OK;
}

static TernStatus encode_prompt(TernSequence *s, const TernRequest *r, TernError *err) {
    const TernVocab *v = s->generator->vocab;
    uint32_t flags =
        (r->plain ? 0 : TERN_ENCODE_ADD_SPECIAL) | (r->parse_special ? TERN_ENCODE_PARSE_SPECIAL : 0);
    size_t most = tern_encode_most(v, r->text.size);
    s->prompt = malloc(most * sizeof *s->prompt);
    if (!s->prompt) return no_memory(err);
    return tern_encode(v, r->text.data, r->text.size, flags, s->prompt, most, &s->got.n_prompt, err);
}

static TernStatus check_length(const TernGenerator *g, size_t n, TernError *err) {
    if (n <= g->context) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "the prompt has %zu tokens, but the context has %u positions", n,
                   g->context);
}

static TernStatus take_prompt(TernSequence *s, const TernRequest *r, TernError *err) {
    const TernGenerator *g = s->generator;
    if (r->text.data) {
        TN_TRY(encode_prompt(s, r, err));
        TN_TRY(check_length(g, s->got.n_prompt, err));
    } else {
        TN_TRY(check_length(g, r->n_ids, err));
        s->prompt = calloc(r->n_ids + 1, sizeof *s->prompt);
        if (!s->prompt) return no_memory(err);
        if (r->n_ids) memcpy(s->prompt, r->ids, r->n_ids * sizeof *s->prompt);
        s->got.n_prompt = r->n_ids;
    }
    for (size_t i = 0; i < s->got.n_prompt; i++)
        if (s->prompt[i] < 0 || (uint32_t)s->prompt[i] >= g->info.n_vocab)
            return tn_fail(err, TERN_ERR_INPUT, "TernRequest.ids[%zu] is %d, expected 0 to %u", i,
                           s->prompt[i], g->info.n_vocab - 1);
    if (s->got.n_prompt == 0)
        return tn_fail(err, TERN_ERR_INPUT, "the prompt is empty%s",
                       r->text.data ? " and the model adds no BOS token" : "");
    return TERN_OK;
}

static TernStatus take_ends(TernSequence *s, const TernRequest *r, TernError *err) {
    for (size_t i = 0; i < r->n_stop_ids; i++)
        if (r->stop_ids[i] < 0 || (uint32_t)r->stop_ids[i] >= s->generator->info.n_vocab)
            return tn_fail(err, TERN_ERR_INPUT, "TernRequest.stop_ids[%zu] is %d, expected 0 to %u", i,
                           r->stop_ids[i], s->generator->info.n_vocab - 1);
    s->ignore_eog = r->ignore_eog;
    s->max_tokens = r->max_tokens;
    s->n_stop_ids = r->n_stop_ids;
    s->stop_ids = r->n_stop_ids ? calloc(r->n_stop_ids, sizeof *s->stop_ids) : NULL;
    if (r->n_stop_ids && !s->stop_ids) return no_memory(err);
    if (r->n_stop_ids) memcpy(s->stop_ids, r->stop_ids, r->n_stop_ids * sizeof *s->stop_ids);
    if (!s->generator->vocab) return TERN_OK;
    s->special = r->special;
    TN_TRY(tern_detok_create(s->generator->vocab, r->special ? TERN_DECODE_CONTROL : 0, &s->detok, err));
    TernStatus st = tern_stops_create(r->stops, r->n_stops, &s->stops, err);
    return st == TERN_OK ? st : tn_fail_in(err, st, "TernRequest");
}

static TernStatus take_sampler(TernSequence *s, const TernRequest *r, TernError *err) {
    TN_TRY(tern_sampler_create(r->sampler, s->generator->info.n_vocab, &s->sampler, err));
    tern_sampler_accept(s->sampler, s->prompt, s->got.n_prompt);
    s->want = tern_sampler_want(s->sampler);
    if (s->want.kind != TERN_SAMPLER_LOGITS &&
        !tern_session_gives(s->generator->session, (TernWant)s->want.kind))
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "TernRequest.sampler needs an output that the model was compiled without");
    s->got.seed = tern_sampler_get_seed(s->sampler);
    return tn_constrain(s, r->grammar, err);
}

static TernStatus take_guesses(TernSequence *s, const TernRequest *r, TernError *err) {
    s->draft_max = r->draft_max;
    s->trust = r->draft_max;
    tn_drafts_begin(s);
    s->next = calloc(1 + (size_t)r->draft_max, sizeof *s->next);
    s->guess = calloc(1 + (size_t)r->draft_max, sizeof *s->guess);
    if (!s->next || !s->guess) return no_memory(err);
    TN_TRY(tn_logprobs(s, r->logprobs, err));
    return r->draft_max ? tern_lookup_create((size_t)s->generator->context + 1, &s->lookup, err) : TERN_OK;
}

static TernStatus fill_sequence(TernSequence *s, const TernRequest *r, TernError *err) {
    TN_TRY(check_request(s->generator, r, err));
    TN_TRY(take_prompt(s, r, err));
    TN_TRY(take_ends(s, r, err));
    TN_TRY(take_sampler(s, r, err));
    TN_TRY(take_guesses(s, r, err));
    s->unstored = r->unstored;
    TN_TRY(tn_slot_take(s, r->slot, err));
    return tn_sequence_end_if_complete(s, err); /* a grammar of the empty text alone */
}

TernStatus tern_sequence_create(TernGenerator *g, const TernRequest *request, TernPieceFn *piece, void *user,
                                TernSequence **out, TernError *err) {
    TernRequest r = {.size = sizeof r};
    tn_error_clear(err);
    TN_NEED(out, err);
    if (!g) return tn_fail_null("generator", err);
    TN_NEED(request, err);
    TN_TRY(tn_generator_check_idle(g, err));
    TN_TRY(tn_request_take(request, &r, err));
    TernSequence *s = calloc(1, sizeof *s);
    if (!s) return no_memory(err);
    s->generator = g;
    s->piece = piece;
    s->user = user;
    s->got.stop = TERN_NO_STOP;
    s->slot = UINT32_MAX;
    s->number = atomic_fetch_add(&g->n_created, 1);
    TernStatus st = fill_sequence(s, &r, err);
    if (st == TERN_OK)
        *out = s;
    else
        tern_sequence_destroy(s);
    return st;
}

void tern_sequence_destroy(TernSequence *s) {
    if (!s) return;
    tn_slot_leave(s);
    tern_sampler_destroy(s->sampler);
    tern_detok_destroy(s->detok);
    tern_stops_destroy(s->stops);
    tern_lookup_destroy(s->lookup);
    free(s->prompt);
    free(s->stop_ids);
    free(s->next);
    free(s->guess);
    free(s->logprobs);
    free(s);
}

static const TnField generated_fields[] = {TN_FIELD(TernGenerated, end),
                                           TN_FIELD(TernGenerated, stop),
                                           TN_FIELD(TernGenerated, n_prompt),
                                           TN_FIELD(TernGenerated, n_prefilled),
                                           TN_FIELD(TernGenerated, n_out),
                                           TN_FIELD(TernGenerated, n_decoded),
                                           TN_FIELD(TernGenerated, n_guessed),
                                           TN_FIELD(TernGenerated, n_right),
                                           TN_FIELD(TernGenerated, prompt_seconds),
                                           TN_FIELD(TernGenerated, decode_seconds),
                                           TN_FIELD(TernGenerated, seed),
                                           TN_FIELD(TernGenerated, n_reused),
                                           TN_FIELD(TernGenerated, n_from_best),
                                           TN_FIELD(TernGenerated, n_from_all),
                                           TN_FIELD(TernGenerated, n_again)};
static const TnShape generated_shape = TN_SHAPE(TernGenerated, generated_fields);

TernStatus tern_sequence_get(const TernSequence *s, TernGenerated *out, TernError *err) {
    tn_error_clear(err);
    if (!s) return tn_fail_null("sequence", err);
    TN_NEED(out, err);
    return tn_options_give(&generated_shape, &s->got, out, err);
}

TernStatus tern_sequence_status(const TernSequence *s, TernError *err) {
    tn_error_clear(err);
    if (!s) return tn_fail_null("sequence", err);
    if (s->got.end != TERN_END_FAILED) return TERN_OK;
    if (err) *err = s->err;
    return s->err.code;
}

void tern_sequence_cancel(TernSequence *s) {
    if (s) atomic_store(&s->cancelled, true);
}

void tern_sequence_hold(TernSequence *s, int on) {
    if (s) atomic_store(&s->on_hold, on != 0);
}

/* ---- The short way */

TernStatus tern_generate(TernGenerator *g, const TernRequest *request, TernPieceFn *piece, void *user,
                         TernGenerated *out, TernError *err) {
    TernSequence *s = NULL;
    TN_TRY(tern_sequence_create(g, request, piece, user, &s, err));
    TernStatus st = out ? tern_sequence_get(s, out, err) : TERN_OK; /* refuse a wrong size before any work */
    while (st == TERN_OK && tn_sequence_runs(s)) st = tern_generator_step(g, err);
    if (st == TERN_OK) st = tern_sequence_status(s, err);
    if (out) (void)tern_sequence_get(s, out, NULL);
    tern_sequence_destroy(s);
    return st;
}
