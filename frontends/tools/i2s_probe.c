/* Which layout of I2_S a file has, by trying.
 *
 * Three layouts have the same number and size (docs/models.md), and each reads as a sound model. But only the right one is the
 * model that was trained: under the others the weights are shuffled, and the model knows no more of a text than a guess among
 * its whole vocabulary does. So a fixed prompt is scored under each. A layout is named only if its loss is far below the
 * second best and far below a blind guess; a model with random weights, or one that knows no English, gives no answer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/targets.h"
#include "frontends/tools/report.h"
#include "runtime/base/fmath.h"
#include "runtime/tern.h"
#include "runtime/text/text.h"

static const double margin = 1.0; /* nats a token; trained models are ahead by three and more */

static const char prompt[] =
    "And it came to pass in the morning, that the king said unto his servants, Let us go "
    "up to the city, and see what the people have done there. And they went with him.";

static const char *const layouts[] = {"128x32", "64x16", "1x4"};

typedef struct Score {
    const int32_t *ids;
    size_t n, vocab;
    double sum;
} Score;

/* Adds -log softmax of the next id. */
static void add_row(void *user, const TernResult *r) {
    Score *s = user;
    double most = r->logits[0], sum = 0;
    if (r->row + 1 >= s->n) return;
    for (size_t i = 1; i < s->vocab; i++) most = fmax(most, (double)r->logits[i]);
    for (size_t i = 0; i < s->vocab; i++) sum += tn_expd((double)r->logits[i] - most);
    s->sum += tn_log(sum) - ((double)r->logits[s->ids[r->row + 1]] - most);
}

/* The prompt's loss a token. At least two ids. */
static TernStatus score_ids(TernModel *m, const int32_t *ids, size_t n, double *out, TernError *err) {
    TernModelInfo info;
    TernPool *pool = NULL;
    TernSession *session = NULL;
    tern_model_info(m, &info);
    Score s = {.ids = ids, .n = n, .vocab = info.n_vocab};
    TernSessionOptions so = {.size = sizeof so, .context = (uint32_t)n};
    TernRow *rows = tn_xcalloc(n, sizeof *rows);
    for (size_t i = 0; i < n; i++) rows[i] = (TernRow){ids[i], 0, TERN_WANT_LOGITS};
    TernStatus st = tern_pool_create(NULL, &pool, err);
    if (st == TERN_OK) st = tern_session_create(m, pool, &so, &session, err);
    if (st == TERN_OK) st = tern_session_step(session, rows, n, add_row, &s, err);
    *out = s.sum / (double)(n - 1);
    free(rows);
    tern_session_destroy(session);
    tern_pool_destroy(pool);
    return st;
}

static const char *evaluator(void) {
    const TnTargetRow *row = NULL;
    for (size_t i = 0; (row = tn_target_row(i)) && !tn_target_evaluates(row->name);) i++;
    return row ? row->name : NULL;
}

static TernStatus score(const TerncSource *source, const int32_t *ids, size_t n, double *out,
                        TernError *err) {
    TernModel *m;
    TerncOptions o = {.size = sizeof o, .kvs = 1u << TERN_KV_F16};
    TerncSource quiet = *source; /* its notes were sent when the report was begun */
    quiet.note = NULL;
    TernStatus st = ternc_load(&quiet, &o, NULL, &m, err);
    if (st ==
        TERN_ERR_UNSUPPORTED) { /* no code for this machine: evaluated, which is slow, with the same loss */
        o.target = evaluator();
        st = ternc_load(&quiet, &o, NULL, &m, err);
    }
    TN_TRY(st);
    st = score_ids(m, ids, n, out, err);
    tern_model_close(m);
    return st;
}

/* As many of the prompt's ids as the model has positions for. */
static TernStatus prompt_ids(const TnReport *r, int32_t **out, size_t *out_n, TernError *err) {
    enum { LEAST = 8 };
    TernVocab *vocab;
    if (!r->facts.vocab)
        return tn_fail(err, TERN_ERR_INPUT, "%s has no vocabulary, which TerncImport.i2s_probe needs",
                       r->gguf->path);
    if (r->facts.n_context < LEAST)
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s has %u positions, expected at least %d, which TerncImport.i2s_probe needs",
                       r->gguf->path, r->facts.n_context, LEAST);
    TN_TRY(tern_vocab_open(r->facts.vocab, r->facts.vocab_bytes, &vocab, err));
    size_t most = tern_encode_most(vocab, strlen(prompt));
    int32_t *ids = tn_xcalloc(most + 2, sizeof *ids);
    TernStatus st =
        tern_encode(vocab, prompt, strlen(prompt), TERN_ENCODE_ADD_SPECIAL, ids, most, out_n, err);
    tern_vocab_close(vocab);
    if (st == TERN_OK && *out_n < LEAST)
        st = tn_fail(err, TERN_ERR_INPUT,
                     "%s: the prompt of TerncImport.i2s_probe has %zu tokens, expected at least %d",
                     r->gguf->path, *out_n, LEAST);
    if (*out_n > r->facts.n_context) *out_n = r->facts.n_context;
    *out = ids;
    if (st == TERN_OK) return TERN_OK;
    free(ids);
    return st;
}

/* The layout that the report's file is read by; NULL if no tensor is I2_S. */
static const char *read_by(const TnReport *r) {
    for (size_t i = 0; i < r->gguf->n_tensors; i++) {
        TnEnc enc = r->gguf->tensors[i].enc;
        if (enc == TN_ENC_i2s || enc == TN_ENC_i2s64 || enc == TN_ENC_i2s4)
            return layouts[enc == TN_ENC_i2s ? 0 : enc == TN_ENC_i2s64 ? 1 : 2];
    }
    return NULL;
}

/* Not a number compares with nothing, so it would stay the best. */
static double or_infinite(double loss) {
    return isnan(loss) ? INFINITY : loss;
}

size_t tn_i2s_best(const double *loss, size_t n, double blind) {
    size_t best = 0;
    double second = INFINITY;
    for (size_t i = 1; i < n; i++)
        if (or_infinite(loss[i]) < or_infinite(loss[best])) best = i;
    for (size_t i = 0; i < n; i++)
        if (i != best) second = fmin(second, or_infinite(loss[i]));
    return loss[best] + margin < second && loss[best] + margin < blind ? best : n;
}

static void conclude(TnReport *r, const double *loss, const char *now, size_t n_ids, TnBuf *losses) {
    double blind = tn_log((double)r->facts.n_vocab);
    size_t best = tn_i2s_best(loss, TN_COUNT(layouts), blind);
    const char *name = best < TN_COUNT(layouts) ? layouts[best] : NULL;
    const char *says = !name ? "undecided: no layout is better by a wide margin"
                       : strcmp(name, now) == 0
                           ? tn_sprintf(&r->arena, "%s, as it is read", name)
                           : tn_sprintf(&r->arena, "%s: --i2s-layout %s reads it", name, name);
    tn_findings_add(&r->notes, &r->arena, "I2_S probe", says,
                    tn_sprintf(&r->arena, "loss a token of a text of %zu: %s; a blind guess %.2f", n_ids,
                               losses->data, blind));
}

TernStatus tn_report_i2s_probe(TnReport *r, const TerncSource *source, TernError *err) {
    const char *now = read_by(r);
    int32_t *ids = NULL;
    size_t n = 0;
    double loss[TN_COUNT(layouts)];
    TnBuf losses = {0};
    if (!now)
        return tn_fail(err, TERN_ERR_INPUT, "%s: no tensor is I2_S: TerncImport.i2s_probe has no effect",
                       r->gguf->path);
    TN_TRY(prompt_ids(r, &ids, &n, err));
    TernStatus st = TERN_OK;
    for (size_t i = 0; i < TN_COUNT(layouts) && st == TERN_OK; i++) {
        TerncSource one = *source;
        TernError why = {0};
        one.i2s_layout = layouts[i];
        loss[i] = INFINITY;
        TernStatus got = score(&one, ids, n, &loss[i], &why);
        tn_buf_printf(&losses, "%s%s ", i ? ", " : "", layouts[i]);
        if (got == TERN_ERR_INPUT) /* the shapes do not allow this layout */
            tn_buf_printf(&losses, "not possible (%s)", why.text);
        else if (got == TERN_OK && isnan(loss[i]))
            tn_buf_puts(&losses, "not a number");
        else if (got == TERN_OK)
            tn_buf_printf(&losses, "%.2f", loss[i]);
        else
            st = got, *err = why;
    }
    if (st == TERN_OK) conclude(r, loss, now, n, &losses);
    tn_buf_free(&losses);
    free(ids);
    return st;
}
