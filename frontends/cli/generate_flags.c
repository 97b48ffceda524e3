/* The flags of run and chat about generating: sampling, limits, guesses. */
#include "frontends/cli/generate_flags.h"

#define DEFAULT_CONTEXT 4096

TernSamplerOptions sampler_of_flags(const GenerateFlags *g) {
    TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
    o.temp = g->temp;
    o.top_k = (int32_t)g->top_k;
    o.top_p = g->top_p;
    o.min_p = g->min_p;
    o.repeat_penalty = g->repeat_penalty;
    o.presence_penalty = g->presence_penalty;
    o.frequency_penalty = g->frequency_penalty;
    o.seed = g->seed;
    return o;
}

TernRequest request_of_flags(const GenerateFlags *g, const TernSamplerOptions *sampler) {
    TernRequest r = TERN_REQUEST;
    r.max_tokens = g->n > 0 ? (uint32_t)g->n : 0;
    r.draft_max = (uint32_t)g->draft;
    r.ignore_eog = g->ignore_eos;
    r.sampler = sampler;
    return r;
}

void note_idle_flags(const GenerateFlags *g) {
    const void *const sampling[] = {&g->temp, &g->top_k, &g->top_p, &g->min_p, &g->seed};
    const void *greedy = g->temp <= 0 ? &g->temp : g->top_k == 1 ? (const void *)&g->top_k : &g->top_p;
    TnBuf idle = {0};
    if (g->temp <= 0 || g->top_k == 1 || g->top_p <= 0)
        for (size_t i = 0; i < TN_COUNT(sampling); i++)
            if (sampling[i] != greedy && flag_given(sampling[i]))
                tn_buf_printf(&idle, "%s%s", idle.len ? ", " : "", flag_given(sampling[i]));
    if (idle.len)
        note("%s: no effect with %s %d, which takes the best id", (const char *)idle.data, flag_given(greedy),
             greedy == &g->top_k);
    tn_buf_free(&idle);
    if (g->draft && (g->n == 0 || g->n == 1))
        note("%s: no effect with -n %d: guesses begin with the second id", flag_given(&g->draft), (int)g->n);
}

int settle_generate(const GenerateFlags *g, const TernModelInfo *info, uint32_t *out_context) {
    TernError err = {0};
    uint32_t most = info->n_context, context = most < DEFAULT_CONTEXT ? most : DEFAULT_CONTEXT;
    if (g->context >= 0) context = g->context ? (uint32_t)g->context : most;
    if (context > most) return fail_text("-c: %u positions, but the model has %u", context, most);
    TernSamplerOptions so = sampler_of_flags(g);
    TernSampler *sampler;
    if (tern_sampler_create(&so, info->n_vocab, &sampler, &err) != TERN_OK) return fail(&err);
    tern_sampler_destroy(sampler);
    if (1 + g->draft > info->max_rows)
        return fail_text("--draft-max: a step has at most %u rows", info->max_rows);
    *out_context = context;
    return EXIT_OK;
}
