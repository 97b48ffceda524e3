/* A step checks all its rows first. Then it runs them in chunks that fit a program: for each chunk it fills in the inputs,
 * lets the engine run, and gives out the results. */
#include <string.h>
#include "runtime/base/options.h"
#include "runtime/profile.h"

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

/* Whether all programs of a session have the output. If only some had it, a result would depend on how a step is cut. */
int tern_session_gives(const TernSession *s, TernWant want) {
    static const int needs[][2] = {
        [TERN_WANT_GREEDY] = {TN_OUT_BEST, TN_OUT_BEST},
        [TERN_WANT_TOP] = {TN_OUT_TOP, TN_OUT_TOPLOGIT},
        [TERN_WANT_LOGITS] = {TN_OUT_LOGITS, TN_OUT_LOGITS},
        [TERN_WANT_HIDDEN] = {TN_OUT_HIDDEN, TN_OUT_HIDDEN},
    };
    if (!s || (uint32_t)want > TERN_WANT_HIDDEN) return 0;
    for (uint32_t i = 0; want != TERN_WANT_NOTHING && i < s->n_programs; i++)
        if (!s->programs[i].out[needs[want][0]].staged || !s->programs[i].out[needs[want][1]].staged)
            return 0;
    return 1;
}

static TernStatus check_row(TernSession *s, const TernRow *r, size_t i, TernError *err) {
    uint32_t n_vocab = s->model->meta.facts.n_vocab;
    if (r->token < 0 || (uint32_t)r->token >= n_vocab)
        return tn_fail(err, TERN_ERR_INPUT, "row %zu: token is %d, expected 0 to %u", i, r->token,
                       n_vocab - 1);
    if (r->slot >= s->slots)
        return tn_fail(err, TERN_ERR_INPUT, "row %zu: slot is %u, expected 0 to %u", i, r->slot,
                       s->slots - 1);
    if (r->want > TERN_WANT_HIDDEN)
        return tn_fail(err, TERN_ERR_INPUT, "row %zu: want is %u, expected 0 to %d", i, r->want,
                       TERN_WANT_HIDDEN);
    if (!tern_session_gives(s, (TernWant)r->want))
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "row %zu: want is %u, and %s was compiled without that output", i, r->want,
                       s->model->name);
    if (s->pages.length[r->slot] + s->growth[r->slot] >= s->context)
        return tn_fail(
            err, TERN_ERR_INPUT,
            "row %zu: slot %u would hold %u positions, expected at most %u (the session's context)", i,
            r->slot, s->context + 1, s->context);
    s->growth[r->slot]++;
    return TERN_OK;
}

static TernStatus check_rows(TernSession *s, const TernRow *rows, size_t n, TernError *err) {
    memset(s->growth, 0, s->slots * sizeof *s->growth);
    for (size_t i = 0; i < n; i++) TN_TRY(check_row(s, &rows[i], i, err));
    uint64_t needed = tn_pages_needed(&s->pages, s->growth);
    uint32_t unused = tn_pages_free(&s->pages);
    if (needed <= unused) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "the rows need %llu more pages of the cache, but %u of its %u are free",
                   (unsigned long long)needed, unused, s->pages.n);
}

uint64_t tern_session_lacks(TernSession *s, const TernRow *rows, size_t n) {
    if (!s) return 0;
    memset(s->growth, 0, s->slots * sizeof *s->growth);
    for (size_t i = 0; i < n; i++) s->growth[rows[i].slot]++;
    uint64_t needed = tn_pages_needed(&s->pages, s->growth), unused = tn_pages_free(&s->pages);
    return needed > unused ? needed - unused : 0;
}

/* Returns how many of the first rows fit in one run. Sets the symbols that count them, and the results asked for. */
static size_t count_chunk(TernSession *s, const TernRow *rows, size_t n) {
    int64_t *sym = s->sym;
    sym[TN_ABI_R] = sym[TN_ABI_K] = sym[TN_ABI_H] = sym[TN_ABI_L] = 0;
    size_t t = 0;
    uint32_t full = 0;
    for (; t < n && t < s->batch; t++) {
        uint32_t by = counted_by(s, rows[t].want);
        if (by == TN_ABI_SYMS) continue;
        if (sym[by] == (by == TN_ABI_H ? s->hidden : s->wants)) break;
        sym[by]++;
        sym[TN_ABI_K] += rows[t].want == TERN_WANT_TOP;
        full += rows[t].want == TERN_WANT_LOGITS;
    }
    sym[TN_ABI_T] = (int64_t)t;
    uint32_t top = (uint32_t)sym[TN_ABI_K];
    s->asked = (TnAsked){{[TN_OUT_BEST] = {0, (uint32_t)sym[TN_ABI_R]},
                          [TN_OUT_TOP] = {0, top},
                          [TN_OUT_TOPLOGIT] = {0, top},
                          [TN_OUT_LOGITS] = {s->logits_apart ? 0 : top, full},
                          [TN_OUT_HIDDEN] = {0, (uint32_t)sym[TN_ABI_H]}}};
    return t;
}

/* Fills in the inputs of a run. Of the R rows with logits, the K rows that want top-k come first. Rows that want all logits
 * come after them, so that they lie together too. */
static void fill_chunk(TernSession *s, const TernRow *rows, size_t n) {
    uint32_t top = (uint32_t)s->sym[TN_ABI_K], full = s->asked.rows[TN_OUT_LOGITS].n;
    struct {
        int32_t *rows;
        uint32_t next;
    } lists[] = {
        [TERN_WANT_GREEDY] = {s->input[TN_IN_ROWS], s->logits_apart ? top : top + full},
        [TERN_WANT_TOP] = {s->input[TN_IN_ROWS], 0},
        [TERN_WANT_LOGITS] = {s->input[s->logits_apart ? TN_IN_LROWS : TN_IN_ROWS],
                              s->asked.rows[TN_OUT_LOGITS].first},
        [TERN_WANT_HIDDEN] = {s->input[TN_IN_HROWS], 0},
    };
    for (size_t t = 0; t < n; t++) {
        const TernRow *r = &rows[t];
        s->input[TN_IN_IDS][t] = r->token;
        s->input[TN_IN_SLOT][t] = (int32_t)r->slot;
        s->input[TN_IN_POS][t] = (int32_t)tn_pages_append(&s->pages, r->slot);
        if (r->want == TERN_WANT_NOTHING) continue;
        s->place[t] = lists[r->want].next++;
        lists[r->want].rows[s->place[t]] = (int32_t)t;
    }
}

static const void *output_row(const TnProgram *p, int out, uint32_t row) {
    return p->out[out].staged + p->out[out].stride * row;
}

/* The index of the largest value, the lowest on ties, as op argmax defines it; -1 if there is a NaN or an infinity. Also
 * used for other rows than logits, for that check. */
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

/* Whether all logits of the rows that want the best of them lie in memory too, at the same place. */
static bool gives_all(const TernSession *s, const TnProgram *p) {
    return !s->logits_apart && !s->engine->apart && p->out[TN_OUT_LOGITS].staged;
}

static TernStatus give_results(const TernSession *s, const TnProgram *p, const TernRow *rows, size_t n,
                               size_t first, TernSinkFn *sink, void *user, TernError *err) {
    for (size_t t = 0; t < n; t++) {
        uint32_t at = s->place[t];
        TernResult result = {.row = first + t, .want = rows[t].want, .id = -1};
        if (rows[t].want == TERN_WANT_NOTHING) continue;
        uint32_t by = counted_by(s, rows[t].want);
        if (by == TN_ABI_R || by == TN_ABI_L) {
            result.id = by == TN_ABI_R
                            ? *(const int32_t *)output_row(p, TN_OUT_BEST, at)
                            : best_of(output_row(p, TN_OUT_LOGITS, at), s->model->meta.facts.n_vocab);
            if (result.id < 0)
                return tn_fail(err, TERN_ERR_NUMERIC,
                               "row %zu (slot %u, position %d): its logits hold NaN or infinity", first + t,
                               rows[t].slot, s->input[TN_IN_POS][t]);
        }
        if (rows[t].want == TERN_WANT_TOP) {
            result.top_ids = output_row(p, TN_OUT_TOP, at);
            result.top_logits = output_row(p, TN_OUT_TOPLOGIT, at);
            while (result.n_top < p->topk && result.top_ids[result.n_top] >= 0) result.n_top++;
        }
        if (rows[t].want == TERN_WANT_LOGITS || (rows[t].want == TERN_WANT_TOP && gives_all(s, p)))
            result.logits = output_row(p, TN_OUT_LOGITS, at);
        if (rows[t].want == TERN_WANT_HIDDEN) {
            result.hidden = output_row(p, TN_OUT_HIDDEN, at);
            if (best_of(result.hidden, s->model->meta.facts.n_hidden) < 0)
                return tn_fail(err, TERN_ERR_NUMERIC,
                               "row %zu (slot %u, position %d): its hidden row holds NaN or infinity",
                               first + t, rows[t].slot, s->input[TN_IN_POS][t]);
        }
        if (sink) sink(user, &result);
    }
    return TERN_OK;
}

/* Whether a slot begins in the chunk. Guesses never begin one. */
static bool begins(const TernSession *s) {
    for (int64_t t = 0; t < s->sym[TN_ABI_T]; t++)
        if (s->input[TN_IN_POS][t] == 0) return true;
    return false;
}

/* Tells the model about changes in what is read. What prompts read and decoding does not is given back when a prompt has
 * ended. Steps of a few rows alternate with those of one if ids are guessed, so they count as a prompt only where a slot
 * begins; the end of any other is seen after OFTEN steps of one row. A row of a table brings its neighbours into memory if
 * they are in the system's cache of files, as many as lie there in one piece, so tables are given back that often too, and after
 * any step that has brought much. */
static void heed_reading(TernSession *s, uint32_t index) {
    enum { OFTEN = 16 };
    if (s->logits_apart && s->sym[TN_ABI_L]) tn_model_read_tables(s->model);
    if (index) {
        s->longer = true;
        s->prompt |= index + 1 == s->n_programs || s->model->tight || begins(s);
        s->single = 0;
        return;
    }
    bool first = s->longer && !s->single, often = ++s->single > OFTEN;
    if (!first && !often) return;
    bool all = s->longer && (s->prompt || often);
    tn_model_let_go(s->model, all);
    if (all) s->longer = s->prompt = false;
    s->single = 1;
}

/* After a chunk. If the rows of one slot that was given a prompt bring a result, the prompt has ended, and what comes is
 * decoding. Guesses are no prompt: all of them want results. Where slots take turns, more of a prompt may come with the next step,
 * so they wait for a step of one row. */
static void heed_end(TernSession *s, const TernRow *rows, size_t n) {
    bool alone = n > 1 && rows[0].want == TERN_WANT_NOTHING && rows[n - 1].want != TERN_WANT_NOTHING;
    for (size_t i = 1; i < n; i++) alone &= rows[i].slot == rows[0].slot;
    if (s->prompt && alone) {
        tn_model_let_go(s->model, true);
        s->longer = s->prompt = false;
    } else if (tn_model_has_grown(s->model)) {
        tn_model_let_go(s->model, false);
    }
}

/* The weights are read where the file is mapped, so bytes that are written over it go into results unchecked. */
static TernStatus check_unchanged(const TernModel *m, TernError *err) {
    if (!m->file.size || tn_blob_unchanged(&m->blob)) return TERN_OK;
    return tn_fail(err, TERN_ERR_ENV,
                   "%s: was written to while it was in use; replace such a file with mv, not with cp",
                   m->name);
}

static TernStatus run_chunks(TernSession *s, const TernRow *rows, size_t n, TernSinkFn *sink, void *user,
                             TernError *err) {
    for (size_t done = 0, chunk; done < n; done += chunk) {
        uint64_t from = s->profile ? tn_clock_ns() : 0;
        chunk = count_chunk(s, rows + done, n - done);
        fill_chunk(s, rows + done, chunk);
        TnProgram *p = s->programs;
        while (p->rows_hi < chunk) p++; /* the last program is for the largest batch */
        uint32_t index = (uint32_t)(p - s->programs);
        heed_reading(s, index);
        p->file = tn_model_rows_file(s->model);
        p->scarce = s->model->tight;
        if (s->profile) tn_profile_begin(s->profile);
        TN_TRY(s->engine->run(s->engine, p, &s->asked, err));
        TN_TRY(check_unchanged(s->model, err));
        if (s->profile) tn_profile_end(s->profile, index, (uint32_t)chunk);
        heed_end(s, rows + done, chunk);
        if (s->kernels_count) s->saturated += (uint64_t)s->sym[TN_ABI_SATURATED];
        TernStatus given = give_results(s, p, rows + done, chunk, done, sink, user, err);
        if (s->profile) tn_profile_chunk(s->profile, index, from);
        TN_TRY(given);
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
