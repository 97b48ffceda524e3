/* tern run: takes a prompt and prints the text as it is generated. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/constrain.h"
#include "runtime/base/escape.h"
#include "runtime/generate/generate.h"

#define DEMO_PROMPT "KING RICHARD:\n" /* the embedded model's, if no prompt is given */

typedef struct RunFlags {
    ModelFlags m;
    GenerateFlags g;
    ConstrainFlags c;
    const char *prompt, *file, *tokens, *token_file, *profile;
    PromptCache cache;
    bool print_tokens, lines, quiet;
    TernKv kv;
} RunFlags;

typedef struct Run {
    const RunFlags *f;
    Loaded model;
    TernVocab *vocab; /* NULL if the model has none */
    Constraint constraint;
    TernGenerator *generator;
    TernSequence *sequence;
    TernGenerated got;
    Profile *profile;
    Tokens prompt;
    PromptCache cache;
    bool demo; /* the prompt is DEMO_PROMPT */
    bool seed_said;
    uint32_t context;
    size_t n_out;
} Run;

/* Called only once there is something to print: a refusal must be one line alone. */
static void say_seed(Run *s) {
    if (s->seed_said || s->f->quiet || s->f->g.temp <= 0 || s->f->g.seed != TERN_SEED_RANDOM) return;
    s->seed_said = true;
    (void)tern_sequence_get(s->sequence, &s->got, NULL);
    fprintf(stderr, "tern: seed %" PRIu64 "\n", s->got.seed);
}

/* With --lines an answer is one line. */
static void put_text(const Run *s, const char *text, size_t n) {
    if (!s->f->lines) {
        fwrite(text, 1, n, stdout);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n' || text[i] == '\\') putchar('\\');
        putchar(text[i] == '\n' ? 'n' : text[i]);
    }
}

static int emit(void *user, const TernPiece *p) {
    Run *s = user;
    bool ids = s->f->print_tokens;
    if (s->f->g.n == 0) return 0; /* the prompt's cache alone is asked for */
    say_seed(s);
    if (ids && p->id != TERN_NO_TOKEN) printf("%s%d", s->n_out ? "," : "", p->id);
    if (!ids) put_text(s, p->text, p->size);
    if (ids || p->size) fflush(stdout);
    s->n_out += p->id != TERN_NO_TOKEN;
    return 0;
}

/* Runs steps to the end. A signal takes effect between steps, also within a long prompt; the answer so far
 * and the times are still printed. */
static TernStatus generate(Run *s, TernError *err) {
    const RunFlags *f = s->f;
    if (f->g.n == 0 && !f->cache.path) return TERN_OK;
    TernSamplerOptions sampler = sampler_of_flags(&f->g);
    TernRequest r = request_of_flags(&f->g, &sampler);
    constraint_apply(&s->constraint, &r, &sampler);
    r.ids = s->prompt.ids;
    r.n_ids = s->prompt.n;
    r.slot = s->cache.slot;
    if (f->g.n == 0) r.max_tokens = 1;
    TN_TRY(tern_sequence_create(s->generator, &r, emit, s, &s->sequence, err));
    heed_signals(true);
    while (tern_generator_running(s->generator)) {
        if (signal_status()) tern_sequence_cancel(s->sequence);
        TN_TRY(tern_generator_step(s->generator, err));
    }
    TN_TRY(tern_sequence_status(s->sequence, err));
    TN_TRY(tern_sequence_get(s->sequence, &s->got, err));
    if (f->g.n) {
        say_seed(s);
        printf("\n");
        fflush(stdout);
    }
    heed_signals(false);
    report_signal();
    if (s->got.end == TERN_END_CONTEXT && !s->f->quiet)
        fprintf(stderr, "tern: the context of %u positions is full\n", s->context);
    return TERN_OK;
}

static void timing(const char *what, double seconds, size_t n) {
    double ms = seconds * 1e3;
    fprintf(stderr,
            "tern: %12s time = %10.2f ms / %5zu tokens (%8.2f ms per token, %8.2f tokens per second)\n", what,
            ms, n, n ? ms / (double)n : 0.0, seconds > 0 ? (double)n / seconds : 0.0);
}

static void close_vocab(Run *s) {
    constraint_close(&s->constraint);
    tern_vocab_close(s->vocab);
    s->vocab = NULL;
}

/* The vocabulary of this image, and what depends on it. */
static int open_vocab(Run *s, const void *image, size_t n) {
    TernError err = {0};
    close_vocab(s);
    if (image && tern_vocab_open(image, n, &s->vocab, &err) != TERN_OK) return fail(&err);
    return constraint_open(&s->f->c, s->vocab, &s->constraint);
}

static int read_prompt(Run *s) {
    const RunFlags *f = s->f;
    if (f->lines) return s->vocab ? EXIT_OK : fail_text("the model has no tokenizer, which --lines needs");
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

/* Checks all that can be checked before there is code. */
static int settle(Run *s) {
    int code = settle_generate(&s->f->g, &s->model.info, &s->context);
    if (code == EXIT_OK && s->prompt.n > s->context)
        return fail_text("the prompt has %zu tokens, but the context has %u positions", s->prompt.n,
                         s->context);
    return code == EXIT_OK ? constraint_check(&s->constraint, &s->f->g, &s->model.info) : code;
}

static int known(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes) {
    Run *s = user;
    s->model.info = *info;
    int code = open_vocab(s, vocab, vocab_bytes);
    if (code == EXIT_OK) code = read_prompt(s);
    if (code == EXIT_OK) code = settle(s);
    if (s->model.compiled) close_vocab(s); /* it is not the loaded model's */
    return code;
}

static int open_own_vocab(Run *s) {
    size_t n = 0;
    const void *image = tern_model_vocab(s->model.model, &n);
    return open_vocab(s, image, n);
}

static TernStatus make_generator(Run *s, TernError *err) {
    const RunFlags *f = s->f;
    TernGeneratorOptions o = {.size = sizeof o,
                              .context = s->context,
                              .draft_max = (uint32_t)f->g.draft,
                              .kv = f->kv,
                              .vocab = s->vocab};
    uint32_t rows = s->prompt.n > 1 + o.draft_max ? (uint32_t)s->prompt.n : 1 + o.draft_max;
    if (rows < s->model.info.max_rows && !f->lines) o.batch = rows;
    return tern_generator_create(s->model.model, s->model.pool, &o, &s->generator, err);
}

static int prepare(Run *s) {
    const RunFlags *f = s->f;
    TernError err = {0};
    int code = s->model.compiled ? open_own_vocab(s) : EXIT_OK;
    if (code != EXIT_OK) return code;
    for (TernStatus st; (st = make_generator(s, &err)) != TERN_OK;) {
        if (!load_for_cpu(&s->model, st, &err)) return fail(&err);
        if ((code = open_own_vocab(s)) != EXIT_OK) return code;
    }
    report_start(&s->model);
    if (open_prompt_cache(&s->cache, s->generator, s->prompt.ids, s->prompt.n, &err) != TERN_OK ||
        profile_attach(s->profile, tern_generator_session(s->generator), &err) != TERN_OK)
        return fail(&err);
    if (f->quiet) return EXIT_OK;
    report_quota(f->m.threads || f->m.cpus);
    if (s->demo) fprintf(stderr, "tern: prompt: KING RICHARD:\n");
    report_huge(&f->m, &s->model);
    return EXIT_OK;
}

/* A line of standard input as a prompt: \n stands for a newline and \\ for a backslash, as in answers. In place. */
static size_t unescape(char *line, size_t n) {
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        bool pair = line[i] == '\\' && i + 1 < n && (line[i + 1] == 'n' || line[i + 1] == '\\');
        if (pair) i++;
        line[to++] = pair && line[i] == 'n' ? '\n' : line[i];
    }
    return to;
}

/* One prompt. What is wrong with it alone gives an error line and an empty answer, so that answers stay in step with prompts;
 * *code is then EXIT_INPUT. False: no further prompt can be answered. */
static bool answer_line(Run *s, char *line, size_t n, int *code) {
    TernError err = {0};
    TernStatus st = TERN_ERR_INPUT;
    free(s->prompt.ids);
    s->prompt = (Tokens){0};
    s->n_out = 0;
    s->seed_said = false;
    int bad = encode_text(s->vocab, line, unescape(line, n),
                          TERN_ENCODE_ADD_SPECIAL | TERN_ENCODE_PARSE_SPECIAL, &s->prompt);
    if (bad == EXIT_OK) {
        st = generate(s, &err);
        tern_sequence_destroy(s->sequence);
        s->sequence = NULL;
        if (st != TERN_OK) bad = fail(&err);
    }
    if (bad != EXIT_OK) {
        *code = bad;
        printf("\n");
    }
    return fflush(stdout) == 0 && (st == TERN_OK || st == TERN_ERR_INPUT) && !signal_status();
}

/* While no prompt is being answered, a signal ends the program at once. */
static int run_lines(Run *s) {
    char *line = NULL;
    size_t cap = 0;
    int code = prepare(s);
    bool more = code == EXIT_OK;
    for (ssize_t n; more && (n = getline(&line, &cap, stdin)) >= 0;) {
        if (n && line[n - 1] == '\n') n--;
        more = answer_line(s, line, (size_t)n, &code);
    }
    free(line);
    if (code == EXIT_OK && ferror(stdin)) code = fail_text("standard input: the read failed");
    return signal_status() ? signal_status() : code;
}

static void print_times(const Run *s, double loaded) {
    fprintf(stderr, "tern: %s, %s, %u threads%s\n", tn_shown(s->model.info.name).s, s->model.info.level,
            tern_pool_threads(s->model.pool), s->model.compiled ? ", compiled at load" : "");
    fprintf(stderr, "tern: %12s time = %10.2f ms\n", "load", loaded * 1e3);
    timing("prompt eval", s->got.prompt_seconds, s->got.n_prefilled);
    timing("eval", s->got.decode_seconds, s->got.n_decoded);
    if (s->f->g.draft)
        fprintf(stderr, "tern: %12s      = %zu of %zu guessed ids were right\n", "draft", s->got.n_right,
                s->got.n_guessed);
    if (s->got.n_from_best + s->got.n_from_all)
        fprintf(stderr, "tern: %12s      = %zu of %zu ids from the best 256 logits; %zu rows run again\n",
                "picks", s->got.n_from_best, s->got.n_from_best + s->got.n_from_all, s->got.n_again);
}

static int run_prompt(Run *s, double start) {
    int code = prepare(s);
    if (code != EXIT_OK) return code;
    double loaded = tn_os_seconds() - start;
    TernError err = {0};
    if (generate(s, &err) != TERN_OK) {
        if (s->n_out) printf("\n");
        fflush(stdout);
        return fail(&err);
    }
    if (!s->f->quiet) print_times(s, loaded);
    if (save_prompt_cache(&s->cache, &s->got, &err) != TERN_OK) return fail(&err);
    if (profile_take(s->profile, &s->model, "run", &err) != TERN_OK) return fail(&err);
    code = profile_finish(s->profile, &s->model);
    note_saturated(tern_session_saturated(tern_generator_session(s->generator)));
    return code == EXIT_OK ? signal_status() : code;
}

static void read_flags(const Verb *verb, int argc, char **argv, RunFlags *f) {
    const Flag flags[] = {
        {"-p --prompt", "TEXT", FLAG_TEXT, &f->prompt, 0, 0, "the prompt; it is not echoed"},
        {"-f --file", "FILE", FLAG_STR, &f->file, 0, 0, "a file with the prompt; - is standard input"},
        {"--tokens", "IDS", FLAG_STR, &f->tokens, 0, 0,
         "the prompt as token ids, comma separated; nothing is added"},
        {"--token-file", "FILE", FLAG_STR, &f->token_file, 0, 0, "the prompt as token ids, in a file"},
        GENERATE_FLAGS(f->g),
        CONSTRAIN_FLAGS(f->c),
        PROMPT_CACHE_FLAGS(f->cache),
        {"--lines", NULL, FLAG_BOOL, &f->lines, 0, 0,
         "answer each line of standard input as a prompt, with one line; in both, \\n stands for a newline "
         "and \\\\ for a backslash"},
        {"-q --quiet", NULL, FLAG_BOOL, &f->quiet, 0, 0, "print nothing but answers and errors"},
        {"--print-tokens", NULL, FLAG_BOOL, &f->print_tokens, 0, 0,
         "print the generated ids instead of text"},
        PROFILE_FLAG(f->profile),
        TUNED_SESSION_FLAGS(f->m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f->m.model, 1, &n_words);
}

/* Refuses flags that do not go together. */
static void check_flags(const Verb *verb, RunFlags *f) {
    if (!!f->prompt + !!f->file + !!f->tokens + !!f->token_file > 1)
        usage_error(verb, "-p, -f, --tokens and --token-file exclude each other");
    f->kv = kv_of_flags(verb, &f->m);
    const void *const single[] = {&f->prompt,     &f->file,       &f->tokens,
                                  &f->token_file, &f->cache.path, &f->profile};
    for (size_t i = 0; i < TN_COUNT(single); i++)
        only_with(verb, single[i], !f->lines, "one prompt, and --lines reads many");
    if (f->lines && f->g.n == 0) usage_error(verb, "-n 0 goes with one prompt, and --lines reads many");
    notes_quiet(f->quiet);
    if (f->print_tokens && f->c.special)
        usage_error(verb, "%s and --print-tokens exclude each other", flag_given(&f->c.special));
    check_prompt_cache(verb, &f->cache);
    only_with(verb, &f->profile, f->g.n != 0, "a step at least, and -n 0 takes none");
    note_idle_flags(&f->g);
}

static void close_run(Run *s) {
    profile_destroy(s->profile);
    tern_sequence_destroy(s->sequence);
    tern_slot_destroy(s->cache.slot);
    tern_generator_destroy(s->generator);
    close_vocab(s);
    constraint_free(&s->constraint);
    free(s->prompt.ids);
    unload_model(&s->model);
}

int verb_run(const Verb *verb, int argc, char **argv) {
    double start = tn_os_seconds();
    RunFlags f = {.g = GENERATE_DEFAULTS};
    read_flags(verb, argc, argv, &f);
    check_flags(verb, &f);
    Run s = {
        .f = &f, .cache = f.cache, .got = {.size = sizeof s.got}, .profile = profile_create(verb, f.profile)};
    constraint_parse(verb, &f.c, &f.g, &s.constraint);
    const TnFileUse files[] = {
        MODEL_FILES(f.m),
        {"-f", f.file, TN_FILE_IN},
        {"--lines", f.lines ? "-" : NULL, TN_FILE_IN},
        {"--token-file", f.token_file, TN_FILE_IN},
        CONSTRAIN_FILES(f.c),
        STANDARD_OUTPUT,
        PROMPT_CACHE_FILE(f.cache),
        {"--profile", profile_path(s.profile), TN_FILE_OUT},
        TUNE_FILE(f.m.tune),
    };
    f.m.context = f.g.context > 0 ? (uint32_t)f.g.context : 0;
    f.m.known = known;
    f.m.known_user = &s;
    int code = check_files(verb, files, TN_COUNT(files));
    if (code == EXIT_OK) code = load_model(verb, &f.m, &s.model);
    if (code == EXIT_OK) code = profile_check(s.profile, &s.model);
    if (code == EXIT_OK) code = f.lines ? run_lines(&s) : run_prompt(&s, start);
    close_run(&s);
    return code;
}
