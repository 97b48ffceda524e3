#include "runtime/session.h"

#include <string.h>
#include "runtime/base/options.h"
#include "runtime/profile.h"

/* Making and ending */

static const TnField session_fields[] = {
    TN_FIELD(TernSessionOptions, slots),       TN_FIELD(TernSessionOptions, context),
    TN_FIELD(TernSessionOptions, batch),       TN_FIELD(TernSessionOptions, wants),
    TN_FIELD(TernSessionOptions, kv),          TN_FIELD(TernSessionOptions, memory),
    TN_FIELD(TernSessionOptions, memory_bytes)};
static const TnShape session_shape = TN_SHAPE(TernSessionOptions, session_fields);

static TernStatus take(const TernModel *m, const TernPool *pool, const TernSessionOptions *options,
                       TernSessionOptions *o, TernError *err) {
    tn_error_clear(err);
    if (!m || !pool)
        return tn_fail(err, TERN_ERR_INPUT, "a session needs a model and a pool, the %s is NULL",
                       m ? "pool" : "model");
    TN_TRY(tn_options_take(&session_shape, options, o, err));
    if (!o->memory && o->memory_bytes)
        return tn_fail(err, TERN_ERR_INPUT, "TernSessionOptions.memory is NULL although memory_bytes is %zu",
                       o->memory_bytes);
    return TERN_OK;
}

TernStatus tern_session_bytes(const TernModel *m, const TernPool *pool, const TernSessionOptions *options,
                              TernSessionBytes *out, TernError *err) {
    TernSessionOptions o = {0};
    TnSessionPlan plan;
    TN_TRY(take(m, pool, options, &o, err));
    TN_NEED(out, err);
    TN_TRY(tn_session_plan(m, pool, &o, &plan, err));
    *out = plan.bytes;
    return TERN_OK;
}

TernStatus tern_session_create(TernModel *m, TernPool *pool, const TernSessionOptions *options,
                               TernSession **out, TernError *err) {
    TernSessionOptions o = {0};
    TnSessionPlan plan;
    TN_TRY(take(m, pool, options, &o, err));
    TN_NEED(out, err);
    TN_TRY(tn_session_plan(m, pool, &o, &plan, err));
    if (o.memory && ((uintptr_t)o.memory % 64 != 0 || o.memory_bytes < plan.bytes.total))
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernSessionOptions.memory: %zu bytes at an address with remainder %u, wanted %llu at "
                       "a multiple of 64",
                       o.memory_bytes, (unsigned)((uintptr_t)o.memory % 64),
                       (unsigned long long)plan.bytes.total);
    TN_TRY(tn_model_check_weights(m, pool, err));
    void *owned = NULL;
    if (!o.memory) TN_TRY(tn_os_map(plan.bytes.total, m->huge, &owned, err));
    *out = tn_session_bind(&plan, m, pool, o.memory ? o.memory : owned, !o.memory);
    (*out)->owned = owned;
    return TERN_OK;
}

void tern_session_destroy(TernSession *s) {
    if (s && s->owned) tn_os_unmap(s->owned, s->total);
}

/* Slots */

uint32_t tern_session_length(const TernSession *s, uint32_t slot) {
    return s && slot < s->slots ? s->pages.length[slot] : 0;
}

uint64_t tern_session_saturated(const TernSession *s) {
    return s->saturated;
}

static TernStatus check_slot(const TernSession *s, uint32_t slot, TernError *err) {
    tn_error_clear(err);
    if (!s) return tn_fail_null("session", err);
    if (s->stepping) return tn_fail(err, TERN_ERR_INPUT, "a step of this session is under way");
    if (slot < s->slots) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "slot is %u, wanted 0 to %u", slot, s->slots - 1);
}

TernStatus tern_session_truncate(TernSession *s, uint32_t slot, uint32_t n, TernError *err) {
    TN_TRY(check_slot(s, slot, err));
    if (n > s->pages.length[slot])
        return tn_fail(err, TERN_ERR_INPUT, "slot %u holds %u positions, wanted at least the %u to keep",
                       slot, s->pages.length[slot], n);
    tn_pages_truncate(&s->pages, slot, n);
    return TERN_OK;
}

TernStatus tern_session_fork(TernSession *s, uint32_t from, uint32_t to, TernError *err) {
    TN_TRY(check_slot(s, from, err));
    TN_TRY(check_slot(s, to, err));
    tn_pages_fork(&s->pages, from, to);
    return TERN_OK;
}

/* Stepping */

/* The symbol that counts the rows with this want, or TN_ABI_SYMS. */
static uint32_t counted_by(const TernSession *s, uint32_t want) {
    switch (want) {
    case TERN_WANT_GREEDY:
    case TERN_WANT_TOP:
        return TN_ABI_R;
    case TERN_WANT_LOGITS:
        return s->logits_apart ? TN_ABI_L : TN_ABI_R;
    case TERN_WANT_HIDDEN:
        return TN_ABI_H;
    default:
        return TN_ABI_SYMS;
    }
}

/* Every program of a session gives the same outputs, or the step would depend on how it is cut. */
static bool can(const TernSession *s, uint32_t want) {
    static const int needs[][2] = {
        [TERN_WANT_GREEDY] = {TN_OUT_BEST, TN_OUT_BEST},
        [TERN_WANT_TOP] = {TN_OUT_TOP, TN_OUT_TOPLOGIT},
        [TERN_WANT_LOGITS] = {TN_OUT_LOGITS, TN_OUT_LOGITS},
        [TERN_WANT_HIDDEN] = {TN_OUT_HIDDEN, TN_OUT_HIDDEN},
    };
    for (uint32_t i = 0; want != TERN_WANT_NOTHING && i < s->n_programs; i++)
        if (!s->programs[i].out[needs[want][0]].data || !s->programs[i].out[needs[want][1]].data)
            return false;
    return true;
}

static TernStatus check_row(TernSession *s, const TernRow *r, size_t i, TernError *err) {
    uint32_t n_vocab = s->model->meta.facts.n_vocab;
    if (r->token < 0 || (uint32_t)r->token >= n_vocab)
        return tn_fail(err, TERN_ERR_INPUT, "row %zu: token is %d, wanted 0 to %u", i, r->token, n_vocab - 1);
    if (r->slot >= s->slots)
        return tn_fail(err, TERN_ERR_INPUT, "row %zu: slot is %u, wanted 0 to %u", i, r->slot, s->slots - 1);
    if (r->want > TERN_WANT_HIDDEN)
        return tn_fail(err, TERN_ERR_INPUT, "row %zu: want is %u, wanted 0 to %d", i, r->want,
                       TERN_WANT_HIDDEN);
    if (!can(s, r->want))
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "row %zu: want is %u, and %s was compiled without that output", i, r->want,
                       s->model->name);
    if (s->pages.length[r->slot] + s->growth[r->slot] >= s->context)
        return tn_fail(err, TERN_ERR_INPUT,
                       "row %zu: slot %u would hold %u positions, wanted at most %u (the session's context)",
                       i, r->slot, s->context + 1, s->context);
    s->growth[r->slot]++;
    return TERN_OK;
}

static TernStatus check_rows(TernSession *s, const TernRow *rows, size_t n, TernError *err) {
    memset(s->growth, 0, s->slots * sizeof *s->growth);
    for (size_t i = 0; i < n; i++) TN_TRY(check_row(s, &rows[i], i, err));
    return TERN_OK;
}

/* Rows from the front that fit one run; fills the symbols of their counts. */
static size_t count_chunk(TernSession *s, const TernRow *rows, size_t n) {
    int64_t *sym = s->sym;
    sym[TN_ABI_R] = sym[TN_ABI_K] = sym[TN_ABI_H] = sym[TN_ABI_L] = 0;
    size_t t = 0;
    for (; t < n && t < s->batch; t++) {
        uint32_t by = counted_by(s, rows[t].want);
        if (by == TN_ABI_SYMS) continue;
        if (sym[by] == s->wants) break;
        sym[by]++;
        sym[TN_ABI_K] += rows[t].want == TERN_WANT_TOP;
    }
    sym[TN_ABI_T] = (int64_t)t;
    return t;
}

/* The inputs of a run. Rows that want top-k come first among those with logits: they are the first K of the
 * R. */
static void fill_chunk(TernSession *s, const TernRow *rows, size_t n) {
    uint32_t top = 0, plain = (uint32_t)s->sym[TN_ABI_K], hidden = 0, full = 0;
    for (size_t t = 0; t < n; t++) {
        const TernRow *r = &rows[t];
        s->input[TN_IN_IDS][t] = r->token;
        s->input[TN_IN_SLOT][t] = (int32_t)r->slot;
        s->input[TN_IN_POS][t] = (int32_t)tn_pages_append(&s->pages, r->slot);
        uint32_t by = counted_by(s, r->want);
        if (by == TN_ABI_R) {
            uint32_t at = r->want == TERN_WANT_TOP ? top++ : plain++;
            s->input[TN_IN_ROWS][at] = (int32_t)t;
            s->place[t] = at;
        } else if (by == TN_ABI_L) {
            s->input[TN_IN_LROWS][full] = (int32_t)t;
            s->place[t] = full++;
        } else if (by == TN_ABI_H) {
            s->input[TN_IN_HROWS][hidden] = (int32_t)t;
            s->place[t] = hidden++;
        }
    }
}

/* Looks at what the chunk's rows have stored, rows that follow each other in a page together. */
static void count_saturated(TernSession *s, const TernRow *rows, size_t n) {
    const int32_t *pos = s->input[TN_IN_POS];
    for (size_t t = 0, end; t < n; t = end) {
        for (end = t + 1; end < n && rows[end].slot == rows[t].slot && pos[end] % TN_PAGE_POSITIONS;) end++;
        uint32_t first = (uint32_t)pos[t];
        s->saturated += tn_pages_saturated(&s->pages, rows[t].slot, first, first + (uint32_t)(end - t));
    }
}

static const void *output_row(const TnBound *b, int out, uint32_t row) {
    return b->out[out].data + b->out[out].stride * row;
}

/* Of logits, or any row, as the op argmax has it: the lowest index of the largest; -1 if there is a NaN or an infinity. */
static int32_t best_of(const float *logits, uint32_t n) {
    uint32_t best = 0, wild = 0;
    float most = logits[0];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        wild |= (bits & 0x7f800000) == 0x7f800000;
    }
    if (wild) return -1;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > most) most = logits[best = i];
    return (int32_t)best;
}

static TernStatus give_results(const TernSession *s, const TnBound *b, const TernRow *rows, size_t n,
                               size_t first, TernSinkFn *sink, void *user, TernError *err) {
    for (size_t t = 0; t < n; t++) {
        uint32_t at = s->place[t];
        TernResult result = {.row = first + t, .want = rows[t].want, .id = -1};
        if (rows[t].want == TERN_WANT_NOTHING) continue;
        uint32_t by = counted_by(s, rows[t].want);
        if (by == TN_ABI_R || by == TN_ABI_L) {
            result.id = by == TN_ABI_R
                            ? *(const int32_t *)output_row(b, TN_OUT_BEST, at)
                            : best_of(output_row(b, TN_OUT_LOGITS, at), s->model->meta.facts.n_vocab);
            if (result.id < 0)
                return tn_fail(err, TERN_ERR_NUMERIC,
                               "row %zu (slot %u, position %d): its logits hold NaN or infinity", first + t,
                               rows[t].slot, s->input[TN_IN_POS][t]);
        }
        if (rows[t].want == TERN_WANT_TOP) {
            result.top_ids = output_row(b, TN_OUT_TOP, at);
            result.top_logits = output_row(b, TN_OUT_TOPLOGIT, at);
            while (result.n_top < b->topk && result.top_ids[result.n_top] >= 0) result.n_top++;
        }
        if (rows[t].want == TERN_WANT_LOGITS) result.logits = output_row(b, TN_OUT_LOGITS, at);
        if (rows[t].want == TERN_WANT_HIDDEN) {
            result.hidden = output_row(b, TN_OUT_HIDDEN, at);
            if (best_of(result.hidden, s->model->meta.facts.n_hidden) < 0)
                return tn_fail(err, TERN_ERR_NUMERIC,
                               "row %zu (slot %u, position %d): its hidden row holds NaN or infinity",
                               first + t, rows[t].slot, s->input[TN_IN_POS][t]);
        }
        if (sink) sink(user, &result);
    }
    return TERN_OK;
}

static TernStatus run_chunks(TernSession *s, const TernRow *rows, size_t n, TernSinkFn *sink, void *user,
                             TernError *err) {
    for (size_t done = 0, chunk; done < n; done += chunk) {
        uint64_t from = s->profile ? tn_clock_ns() : 0;
        chunk = count_chunk(s, rows + done, n - done);
        fill_chunk(s, rows + done, chunk);
        TnBound *b = s->programs;
        while (b->rows_hi < chunk) b++; /* the last holds the largest batch */
        if (s->profile) tn_profile_begin(s->profile, (uint32_t)(b - s->programs), (uint32_t)chunk);
        tn_program_run(&b->program);
        if (s->profile) tn_profile_end(s->profile, (uint32_t)(b - s->programs));
        if (s->watched) count_saturated(s, rows + done, chunk);
        TN_TRY(give_results(s, b, rows + done, chunk, done, sink, user, err));
        if (s->profile) tn_profile_chunk(s->profile, (uint32_t)(b - s->programs), from);
    }
    return TERN_OK;
}

TernStatus tern_session_step(TernSession *s, const TernRow *rows, size_t n, TernSinkFn *sink, void *user,
                             TernError *err) {
    tn_error_clear(err);
    if (!s) return tn_fail_null("session", err);
    if (!rows && n) return tn_fail_null("rows", err);
    if (s->stepping) return tn_fail(err, TERN_ERR_INPUT, "a step of this session is under way");
    TN_TRY(check_rows(s, rows, n, err));
    if (!tn_pool_acquire(s->pool))
        return tn_fail(err, TERN_ERR_INPUT, "the pool is busy with another session's step");
    s->stepping = true;
    TernStatus status = run_chunks(s, rows, n, sink, user, err);
    s->stepping = false;
    tn_pool_release(s->pool);
    return status;
}
