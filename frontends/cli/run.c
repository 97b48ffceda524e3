/* tern run: a prompt in, text out, streamed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"
#include "runtime/base/escape.h"

#define DEFAULT_CONTEXT 4096
enum { DRAFT_MOST = 64 };
#define DEMO_PROMPT "KING RICHARD:\n" /* of the embedded model, when nothing else is said */

typedef struct RunFlags {
    ModelFlags m;
    const char *prompt, *file, *tokens, *token_file, *profile;
    int64_t n, context, top_k, draft;
    float temp, top_p, min_p, repeat_penalty;
    uint64_t seed;
    bool print_tokens, ignore_eos;
    TernKv kv;
} RunFlags;

typedef struct Run {
    const RunFlags *f;
    Loaded model;
    TernVocab *vocab; /* NULL if the model has none */
    TernSampler *sampler;
    TernSamplerWant want;
    TernDetok *detok;
    TernLookup *lookup; /* with --draft-max */
    TernSession *session;
    Profile *profile;
    Tokens prompt;
    bool demo; /* it is the embedded model's own */
    uint32_t context;
    /* of the last step: the ids picked, one a row as long as each is what the next row guessed */
    int32_t guess[DRAFT_MOST], next[1 + DRAFT_MOST];
    size_t n_guess, n_next;
    size_t trust; /* how many guesses are worth a row, going by the last ones */
    bool missed;  /* the last pick was not what the next row guessed: the rows behind mean nothing */
    TernStatus picked;
    TernError pick_err;
    size_t n_out, n_drafted, n_accepted;
    double prompt_seconds, eval_seconds;
    size_t n_prefilled, n_eval;
} Run;

static void pick(void *user, const TernResult *r) {
    Run *s = user;
    TernError *e = &s->pick_err;
    if (s->missed || s->picked != TERN_OK) return;
    int32_t *id = &s->next[s->n_next];
    if (s->want.kind == TERN_SAMPLER_ID)
        s->picked = tern_sampler_pick_id(s->sampler, r->id, id, e);
    else if (s->want.kind == TERN_SAMPLER_TOP)
        s->picked = tern_sampler_pick_top(s->sampler, r->top_ids, r->top_logits,
                                          s->want.k < r->n_top ? s->want.k : r->n_top, id, e);
    else
        s->picked = tern_sampler_pick_logits(s->sampler, r->logits, s->model.info.n_vocab, id, e);
    if (s->picked != TERN_OK) return;
    s->missed = s->n_next < s->n_guess && *id != s->guess[s->n_next];
    s->n_next++;
}

static void emit_text(const char *bytes, size_t n) {
    fwrite(bytes, 1, n, stdout);
    if (n) fflush(stdout);
}

static TernStatus emit_token(Run *s, int32_t id, bool ends, TernError *err) {
    if (s->f->print_tokens) {
        printf("%s%d", s->n_out ? "," : "", id);
        fflush(stdout);
    } else if (s->detok && !ends) {
        const char *bytes;
        size_t n;
        TernStatus st = tern_detok_push(s->detok, id, &bytes, &n, err);
        if (st != TERN_OK) return st;
        emit_text(bytes, n);
    }
    s->n_out++;
    return TERN_OK;
}

static TernStatus step(Run *s, const TernRow *rows, size_t n, TernError *err) {
    s->picked = TERN_OK;
    s->n_next = 0;
    s->missed = false;
    TernStatus st = tern_session_step(s->session, rows, n, pick, s, err);
    if (st == TERN_ERR_NUMERIC && s->missed) st = TERN_OK; /* of a row that plain decoding never sees */
    if (st == TERN_OK && s->picked != TERN_OK) {
        *err = s->pick_err;
        st = s->picked;
    }
    return st;
}

/* One id more, or several: the last one and what is guessed to follow it, in one step. Wrong guesses cost time,
 * so there are one more at most than were right the last time, or twice as many if all were. */
static TernStatus decode(Run *s, TernError *err) {
    TernRow rows[1 + DRAFT_MOST] = {{.token = s->next[s->n_next - 1], .want = s->want.kind}};
    size_t held = tern_session_length(s->session, 0), most = s->context - held - 1;
    if (most > s->trust) most = s->trust;
    if (s->lookup) s->n_guess = tern_lookup_guess(s->lookup, s->guess, most);
    for (size_t i = 0; i < s->n_guess; i++)
        rows[1 + i] = (TernRow){.token = s->guess[i], .want = s->want.kind};
    TN_TRY(step(s, rows, 1 + s->n_guess, err));
    s->n_drafted += s->n_guess;
    s->n_accepted += s->n_next - 1;
    if (s->lookup) tern_lookup_accept(s->lookup, s->next, s->n_next);
    if (s->n_guess == 0) return TERN_OK;
    s->trust = s->n_next > s->n_guess ? 2 * s->trust : s->n_next;
    if (s->trust > (size_t)s->f->draft) s->trust = (size_t)s->f->draft;
    return tern_session_truncate(s->session, 0, (uint32_t)(held + s->n_next), err);
}

/* Cut where the session cuts it anyway, so that a signal need not wait for all of a long prompt. */
static TernStatus prefill(Run *s, TernError *err) {
    double start = tn_os_seconds();
    TernRow *rows = tn_xcalloc(s->prompt.n, sizeof *rows);
    for (size_t i = 0; i < s->prompt.n; i++) rows[i] = (TernRow){.token = s->prompt.ids[i]};
    rows[s->prompt.n - 1].want = s->want.kind;
    tern_sampler_accept(s->sampler, s->prompt.ids, s->prompt.n);
    TernStatus st = TERN_OK;
    while (st == TERN_OK && s->n_prefilled < s->prompt.n && !signal_status()) {
        size_t left = s->prompt.n - s->n_prefilled,
               n = left < s->model.info.max_rows ? left : s->model.info.max_rows;
        st = step(s, rows + s->n_prefilled, n, err);
        s->n_prefilled += n;
    }
    free(rows);
    if (s->lookup && s->n_next) {
        tern_lookup_accept(s->lookup, s->prompt.ids, s->prompt.n);
        tern_lookup_accept(s->lookup, s->next, s->n_next);
    }
    s->prompt_seconds = tn_os_seconds() - start;
    return st;
}

static TernStatus generate(Run *s, TernError *err) {
    int64_t limit = s->f->n;
    if (limit == 0) return TERN_OK;
    heed_signals(true); /* what there is of an answer is printed, and the times */
    TN_TRY(prefill(s, err));
    /* only now: whatever is refused is refused with one line alone */
    if (s->f->temp > 0 && s->f->seed == TERN_SEED_RANDOM)
        fprintf(stderr, "tern: seed %" PRIu64 "\n", tern_sampler_get_seed(s->sampler));
    bool full = false, ends = false;
    double start = tn_os_seconds();
    for (;;) {
        for (size_t i = 0; i < s->n_next && !ends; i++) {
            bool eog = s->vocab && tern_token_is_eog(s->vocab, s->next[i]) && !s->f->ignore_eos;
            TN_TRY(emit_token(s, s->next[i], eog, err));
            ends = eog || (limit > 0 && (int64_t)s->n_out >= limit);
        }
        if (ends || signal_status() || (full = tern_session_length(s->session, 0) >= s->context)) break;
        TN_TRY(decode(s, err));
        s->n_eval += s->n_next;
        s->eval_seconds = tn_os_seconds() - start;
    }
    if (s->detok && !s->f->print_tokens) {
        const char *bytes;
        size_t n;
        tern_detok_flush(s->detok, &bytes, &n);
        emit_text(bytes, n);
    }
    printf("\n");
    fflush(stdout);
    heed_signals(false);
    report_signal();
    if (full) fprintf(stderr, "tern: the context of %u positions is full\n", s->context);
    return TERN_OK;
}

static void timing(const char *what, double seconds, size_t n) {
    double ms = seconds * 1e3;
    fprintf(stderr,
            "tern: %12s time = %10.2f ms / %5zu tokens (%8.2f ms per token, %8.2f tokens per second)\n", what,
            ms, n, n ? ms / (double)n : 0.0, seconds > 0 ? (double)n / seconds : 0.0);
}

static int open_vocab(Run *s, const void *image, size_t n) {
    TernError err = {0};
    if (image && tern_vocab_open(image, n, &s->vocab, &err) != TERN_OK) return fail(&err);
    return EXIT_OK;
}

static int read_prompt(Run *s) {
    const RunFlags *f = s->f;
    if (f->tokens || f->token_file)
        return read_ids(f->tokens, f->token_file, s->model.info.n_vocab, &s->prompt);
    if (!s->vocab) return fail_text("the model has no tokenizer: give --tokens");
    const char *text = f->prompt;
    char *from_file = NULL;
    size_t n = 0;
    TernError err = {0};
    if (f->file) {
        if (read_text_file(f->file, (size_t)1 << 30, &from_file, &n, &err) != TERN_OK) return fail(&err);
    } else if (!text) {
        s->demo = !f->m.model;
        text = s->demo ? DEMO_PROMPT : "";
    }
    if (!f->file) n = strlen(text);
    int code = encode_text(s->vocab, from_file ? from_file : text, n,
                           TERN_ENCODE_ADD_SPECIAL | TERN_ENCODE_PARSE_SPECIAL, &s->prompt);
    free(from_file);
    if (code == EXIT_OK && s->prompt.n == 0)
        return fail_text("the prompt is empty and the model adds no BOS token");
    return code;
}

/* What needs no code. */
static int settle(Run *s) {
    const RunFlags *f = s->f;
    TernError err = {0};
    uint32_t most = s->model.info.n_context;
    s->context = most < DEFAULT_CONTEXT ? most : DEFAULT_CONTEXT;
    if (f->context >= 0) s->context = f->context ? (uint32_t)f->context : most;
    if (s->context > most) return fail_text("-c: %u positions, but the model has %u", s->context, most);
    if (s->prompt.n > s->context)
        return fail_text("the prompt has %zu tokens, but the context has %u positions", s->prompt.n,
                         s->context);
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    so.temp = f->temp;
    so.top_k = (int32_t)f->top_k;
    so.top_p = f->top_p;
    so.min_p = f->min_p;
    so.repeat_penalty = f->repeat_penalty;
    so.seed = f->seed;
    if (tern_sampler_create(&so, s->model.info.n_vocab, &s->sampler, &err) != TERN_OK) return fail(&err);
    s->want = tern_sampler_want(s->sampler);
    if (1 + f->draft > s->model.info.max_rows)
        return fail_text("--draft-max: a step has at most %u rows", s->model.info.max_rows);
    return EXIT_OK;
}

static int known(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes) {
    Run *s = user;
    s->model.info = *info;
    int code = open_vocab(s, vocab, vocab_bytes);
    if (code == EXIT_OK) code = read_prompt(s);
    if (code == EXIT_OK) code = settle(s);
    if (s->model.compiled) { /* its vocabulary is not the loaded model's */
        tern_vocab_close(s->vocab);
        s->vocab = NULL;
    }
    return code;
}

static int prepare(Run *s) {
    const RunFlags *f = s->f;
    TernError err = {0};
    if (s->vocab && tern_detok_create(s->vocab, 0, &s->detok, &err) != TERN_OK) return fail(&err);
    TernSessionOptions o = {
        .size = sizeof o, .context = s->context, .wants = 1 + (uint32_t)f->draft, .kv = f->kv};
    uint32_t rows = s->prompt.n > o.wants ? (uint32_t)s->prompt.n : o.wants;
    if (rows < s->model.info.max_rows) o.batch = rows;
    s->trust = (size_t)f->draft;
    if (f->draft && tern_lookup_create(s->context + 1, &s->lookup, &err) != TERN_OK) return fail(&err);
    if (tern_session_create(s->model.model, s->model.pool, &o, &s->session, &err) != TERN_OK ||
        profile_attach(s->profile, s->session, &err) != TERN_OK)
        return fail(&err);
    report_quota(f->m.threads);
    if (s->demo) fprintf(stderr, "tern: prompt: KING RICHARD:\n");
    report_huge(&f->m, &s->model);
    return EXIT_OK;
}

static int run(Run *s, double start) {
    size_t n = 0;
    const void *image = s->vocab ? NULL : tern_model_vocab(s->model.model, &n);
    int code = open_vocab(s, image, n);
    if (code == EXIT_OK) code = prepare(s);
    if (code != EXIT_OK) return code;
    double loaded = tn_os_seconds() - start;
    TernError err = {0};
    if (generate(s, &err) != TERN_OK) {
        if (s->n_out) printf("\n");
        fflush(stdout);
        return fail(&err);
    }
    fprintf(stderr, "tern: %s, %s, %u threads%s\n", tn_shown(s->model.info.name).s, s->model.info.level,
            tern_pool_threads(s->model.pool), s->model.compiled ? ", compiled at load" : "");
    fprintf(stderr, "tern: %12s time = %10.2f ms\n", "load", loaded * 1e3);
    timing("prompt eval", s->prompt_seconds, s->n_prefilled);
    timing("eval", s->eval_seconds, s->n_eval);
    if (s->lookup)
        fprintf(stderr, "tern: %12s      = %zu of %zu guessed ids were right\n", "draft", s->n_accepted,
                s->n_drafted);
    if (profile_take(s->profile, &s->model, "run", &err) != TERN_OK) return fail(&err);
    code = profile_finish(s->profile, &s->model);
    note_saturated(tern_session_saturated(s->session));
    return code == EXIT_OK ? signal_status() : code;
}

/* Scripts give a seed and the rest beside --temp 0, as llama.cpp lets them: that is said, not refused. */
static void note_idle_flags(const RunFlags *f) {
    const void *const sampling[] = {&f->temp, &f->top_k, &f->top_p, &f->min_p, &f->seed};
    const void *greedy = f->temp <= 0 ? &f->temp : f->top_k == 1 ? (const void *)&f->top_k : &f->top_p;
    TnBuf idle = {0};
    if (f->temp <= 0 || f->top_k == 1 || f->top_p <= 0)
        for (size_t i = 0; i < TN_COUNT(sampling); i++)
            if (sampling[i] != greedy && flag_given(sampling[i]))
                tn_buf_printf(&idle, "%s%s", idle.len ? ", " : "", flag_given(sampling[i]));
    if (idle.len)
        note("%s: no effect beside %s %d, which takes the best id", (const char *)idle.data,
             flag_given(greedy), greedy == &f->top_k);
    tn_buf_free(&idle);
    if (f->draft && (f->n == 0 || f->n == 1))
        note("%s: no effect beside -n %d: guesses begin with the second id", flag_given(&f->draft),
             (int)f->n);
}

int verb_run(const Verb *verb, int argc, char **argv) {
    double start = tn_os_seconds();
    RunFlags f = {.n = -1,
                  .context = -1,
                  .temp = 0.8f,
                  .top_k = 40,
                  .top_p = 0.95f,
                  .min_p = 0.05f,
                  .repeat_penalty = 1.0f,
                  .seed = TERN_SEED_RANDOM};
    const Flag flags[] = {
        {"-p --prompt", "TEXT", FLAG_TEXT, &f.prompt, 0, 0, "the prompt; it is not echoed"},
        {"-f --file", "FILE", FLAG_STR, &f.file, 0, 0, "a file with the prompt; - is standard input"},
        {"--tokens", "IDS", FLAG_STR, &f.tokens, 0, 0,
         "the prompt as token ids, comma separated; nothing is added"},
        {"--token-file", "FILE", FLAG_STR, &f.token_file, 0, 0, "the same from a file"},
        {"-n --predict --n-predict", "N", FLAG_INT, &f.n, -1, 1 << 30,
         "tokens to generate; -1 (default): until the end or the context is full"},
        {"-c --ctx-size", "N", FLAG_INT, &f.context, 0, 1 << 24,
         "context in positions; 0: the model's; default: the same, but at most 4096"},
        {"--temp", "X", FLAG_FLOAT, &f.temp, 0, 1e9, "temperature (0.8); 0 is greedy"},
        {"--top-k", "N", FLAG_INT, &f.top_k, -1, 1 << 30, "keep the k best (40); 0 or -1: all"},
        {"--top-p", "X", FLAG_FLOAT, &f.top_p, 0, 1,
         "keep the best that reach this probability (0.95); 1: all"},
        {"--min-p", "X", FLAG_FLOAT, &f.min_p, 0, 1,
         "drop what is less probable than this times the best (0.05)"},
        {"--repeat-penalty", "X", FLAG_FLOAT, &f.repeat_penalty, 1e-6, 1e9,
         "penalise the last 64 ids (1.0: off)"},
        {"-s --seed", "N", FLAG_SEED, &f.seed, 0, 0, "seed of the draws; -1 (default): random, and printed"},
        {"--print-tokens", NULL, FLAG_BOOL, &f.print_tokens, 0, 0, "print the generated ids instead of text"},
        {"--draft-max --draft", "N", FLAG_INT, &f.draft, 0, DRAFT_MOST,
         "guess up to N ids from what was said before and check them in one step (0); the output is the "
         "same"},
        {"--ignore-eos", NULL, FLAG_BOOL, &f.ignore_eos, 0, 0, "go on after an end token"},
        PROFILE_FLAG(f.profile),
        HUGE_FLAG(f.m),
        TUNE_FLAGS(f.m.tune),
        MODEL_FLAGS(f.m),
        NO_CHECK_FLAG(f.m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f.m.model, 1, &n_words);
    if (!!f.prompt + !!f.file + !!f.tokens + !!f.token_file > 1)
        usage_error(verb, "-p, -f, --tokens and --token-file exclude each other");
    f.kv = kv_of_flags(verb, &f.m);
    only_with(verb, &f.profile, f.n != 0, "a step at least, and -n 0 takes none");
    note_idle_flags(&f);
    Run s = {.f = &f, .profile = profile_create(verb, f.profile)};
    const TnFileUse files[] = {
        MODEL_FILES(f.m),
        {"-f", f.file, TN_FILE_IN},
        {"--token-file", f.token_file, TN_FILE_IN},
        STANDARD_OUTPUT,
        {"--profile", profile_path(s.profile), TN_FILE_OUT},
        TUNE_FILE(f.m.tune),
    };
    f.m.known = known;
    f.m.known_user = &s;
    int code = check_files(verb, files, TN_COUNT(files));
    if (code == EXIT_OK) code = load_model(verb, &f.m, &s.model);
    if (code == EXIT_OK) code = profile_check(s.profile, &s.model);
    if (code == EXIT_OK) code = run(&s, start);
    profile_destroy(s.profile);
    tern_session_destroy(s.session);
    tern_detok_destroy(s.detok);
    tern_lookup_destroy(s.lookup);
    tern_sampler_destroy(s.sampler);
    tern_vocab_close(s.vocab);
    free(s.prompt.ids);
    unload_model(&s.model);
    return code;
}
