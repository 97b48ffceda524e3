/* Log probabilities of what was picked and of the best ids, from all logits of a row. The exponential and the logarithm are
 * those of runtime/base, so the numbers are the same on every machine. */
#include <stdlib.h>
#include "runtime/base/fmath.h"
#include "runtime/base/options.h"
#include "runtime/generate/sequence.h"

TernStatus tn_logprobs(TernSequence *s, uint32_t asked, TernError *err) {
    const TernGenerator *g = s->generator;
    if (asked == 0) return TERN_OK;
    if (asked > 1 + TERN_LOGPROBS_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "TernRequest.logprobs is %u, expected 0 to %d", asked,
                       1 + TERN_LOGPROBS_MOST);
    if (!tern_session_gives(g->session, TERN_WANT_LOGITS))
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "TernRequest.logprobs needs an output that the model was compiled without");
    s->n_logprobs = asked - 1 < g->info.n_vocab ? asked : 1 + (size_t)g->info.n_vocab;
    s->logprobs = calloc((1 + (size_t)s->draft_max) * s->n_logprobs, sizeof *s->logprobs);
    return s->logprobs ? TERN_OK : tn_fail(err, TERN_ERR_MEMORY, "no memory for a sequence");
}

/* Puts an id into a list of the best, if it is one of them. Ids come in rising order, so an equal one comes after. */
static size_t offer(TernLogprob *best, size_t n, size_t most, int32_t id, double logit) {
    if (n == most) {
        if (n == 0 || logit <= best[n - 1].logprob) return n;
        n--;
    }
    size_t at = n;
    for (; at > 0 && logit > best[at - 1].logprob; at--) best[at] = best[at - 1];
    best[at] = (TernLogprob){id, logit};
    return n + 1;
}

void tn_logprobs_take(TernSequence *s, const float *logits, int32_t id) {
    TernLogprob *out = s->logprobs + s->n_next * s->n_logprobs;
    size_t n_vocab = s->generator->info.n_vocab, n = 0;
    float most = logits[0];
    double sum = 0;
    for (size_t i = 1; i < n_vocab; i++) most = logits[i] > most ? logits[i] : most;
    for (size_t i = 0; i < n_vocab; i++) {
        sum += tn_expd((double)logits[i] - (double)most);
        n = offer(out + 1, n, s->n_logprobs - 1, (int32_t)i, (double)logits[i]);
    }
    out[0] = (TernLogprob){id, (double)logits[id]};
    double log_sum = tn_log(sum);
    for (size_t i = 0; i < s->n_logprobs; i++) out[i].logprob = out[i].logprob - (double)most - log_sum;
}
