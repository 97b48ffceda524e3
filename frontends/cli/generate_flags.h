/* How text is generated: flags of the verbs that do, and the cache of a prompt in a file. */
#ifndef TN_CLI_GENERATE_FLAGS_H
#define TN_CLI_GENERATE_FLAGS_H

#include "frontends/cli/cli.h"
#include "runtime/generate/generate.h"

/* ---- generate_flags.c: how text is generated, for run and chat */
typedef struct GenerateFlags {
    int64_t n, context, top_k, draft;
    float temp, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    uint64_t seed;
    bool ignore_eos;
} GenerateFlags;
#define GENERATE_DEFAULTS                                                                                    \
    {                                                                                                        \
        .n = -1, .context = -1, .temp = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f,                   \
        .repeat_penalty = 1.0f, .seed = TERN_SEED_RANDOM                                                     \
    }
enum { DRAFT_MOST = 64 };
#define GENERATE_FLAGS(g)                                                                                      \
    {"-n --predict --n-predict",                                                                               \
     "N",                                                                                                      \
     FLAG_INT,                                                                                                 \
     &(g).n,                                                                                                   \
     -1,                                                                                                       \
     1 << 30,                                                                                                  \
     "tokens to generate; -1 (default): until the end or the context is full"},                                \
        {"-c --ctx-size",                                                                                      \
         "N",                                                                                                  \
         FLAG_INT,                                                                                             \
         &(g).context,                                                                                         \
         0,                                                                                                    \
         1 << 24,                                                                                              \
         "context in positions; 0: the model's; default: the model's, but at most 4096"},                      \
        {"--temp", "X", FLAG_FLOAT, &(g).temp, 0, 1e9, "temperature (0.8); 0 is greedy"},                      \
        {"--top-k", "N", FLAG_INT, &(g).top_k, -1, 1 << 30, "keep the N best ids (40); 0 or -1: all"},         \
        {"--top-p",                                                                                            \
         "X",                                                                                                  \
         FLAG_FLOAT,                                                                                           \
         &(g).top_p,                                                                                           \
         0,                                                                                                    \
         1,                                                                                                    \
         "keep the best ids whose probabilities reach X together (0.95); 1: all"},                             \
        {"--min-p", "X", FLAG_FLOAT, &(g).min_p, 0, 1, "drop ids less probable than X times the best (0.05)"}, \
        {"--repeat-penalty",                                                                                   \
         "X",                                                                                                  \
         FLAG_FLOAT,                                                                                           \
         &(g).repeat_penalty,                                                                                  \
         1e-6,                                                                                                 \
         1e9,                                                                                                  \
         "penalise the last 64 ids (1.0: off)"},                                                               \
        {"--presence-penalty",                                                                                 \
         "X",                                                                                                  \
         FLAG_FLOAT,                                                                                           \
         &(g).presence_penalty,                                                                                \
         -2,                                                                                                   \
         2,                                                                                                    \
         "what ids lose that the answer has already (0: off)"},                                                \
        {"--frequency-penalty",                                                                                \
         "X",                                                                                                  \
         FLAG_FLOAT,                                                                                           \
         &(g).frequency_penalty,                                                                               \
         -2,                                                                                                   \
         2,                                                                                                    \
         "what ids lose for each time that the answer has them (0: off)"},                                     \
        {"-s --seed", "N", FLAG_SEED, &(g).seed, 0, 0, "random seed; -1 (default): choose one and print it"},  \
        {"--draft-max --draft",                                                                                \
         "N",                                                                                                  \
         FLAG_INT,                                                                                             \
         &(g).draft,                                                                                           \
         0,                                                                                                    \
         DRAFT_MOST,                                                                                           \
         "guess up to N ids from the text so far and check them in one step (0: off); same output"},           \
    {                                                                                                          \
        "--ignore-eos", NULL, FLAG_BOOL, &(g).ignore_eos, 0, 0, "continue after an end token"                  \
    }
/* Returns the sampler's options. */
TernSamplerOptions sampler_of_flags(const GenerateFlags *g);
/* Returns the request's limits; *sampler must live as long as the request. */
TernRequest request_of_flags(const GenerateFlags *g, const TernSamplerOptions *sampler);
/* Leaves notes about flags that have no effect: scripts give a seed and other sampling flags together with --temp 0, as
 * llama.cpp allows. */
void note_idle_flags(const GenerateFlags *g);
/* Checks all of them against the model, before there is code for it. *out_context is the number of positions. Returns an
 * exit status. */
int settle_generate(const GenerateFlags *g, const TernModelInfo *info, uint32_t *out_context);

/* ---- prompt_cache.c: the cache of a prompt in a file, for run */
typedef struct PromptCache {
    const char *path; /* NULL: not given; all calls below do nothing */
    bool all, read_only;
    TernSlot *slot;          /* for the request; the caller destroys it */
    size_t n_file, n_loaded; /* ids in the file, and how many of those the prompt begins with */
} PromptCache;
#define PROMPT_CACHE_FLAGS(c)                                                                                \
    {"--prompt-cache",                                                                                       \
     "FILE",                                                                                                 \
     FLAG_STR,                                                                                               \
     &(c).path,                                                                                              \
     0,                                                                                                      \
     0,                                                                                                      \
     "load the beginning of the prompt from FILE, if it is there, and save the prompt's cache in it"},       \
        {"--prompt-cache-all", NULL, FLAG_BOOL, &(c).all, 0, 0, "save the answer's cache in it, too"}, {     \
        "--prompt-cache-ro", NULL, FLAG_BOOL, &(c).read_only, 0, 0, "save nothing in it"                     \
    }
#define PROMPT_CACHE_FILE(c)                                                                                 \
    { "--prompt-cache", (c).path, (c).read_only ? TN_FILE_IN : TN_FILE_CACHE }
/* Exits 2 on a mistake. */
void check_prompt_cache(const Verb *verb, const PromptCache *c);
/* Takes a slot of the generator and loads what the file has of the prompt. */
TernStatus open_prompt_cache(PromptCache *c, TernGenerator *g, const int32_t *ids, size_t n, TernError *err);
/* Prints how much of the prompt was there. If the prompt goes further than the file, saves it. */
TernStatus save_prompt_cache(const PromptCache *c, const TernGenerated *got, TernError *err);

#endif
