/* tern logits, tern perplexity: they run the model over given tokens. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"
#include "runtime/base/fmath.h"

#define SCORE_WANTS 32 /* rows with logits at once */

typedef struct ScoreFlags {
    ModelFlags m;
    const char *tokens, *token_file, *file, *output;
    int64_t context;
    Tokens t; /* read when the model is known */
} ScoreFlags;

static int make_session(const ScoreFlags *f, const Verb *verb, Loaded *l, uint32_t context,
                        TernSession **out) {
    TernError err = {0};
    TernSessionOptions o = {
        .size = sizeof o, .context = context, .wants = SCORE_WANTS, .kv = kv_of_flags(verb, &f->m)};
    for (TernStatus st; (st = tern_session_create(l->model, l->pool, &o, out, &err)) != TERN_OK;)
        if (!load_for_cpu(l, st, &err)) return fail(&err);
    report_start(l);
    report_quota(f->m.threads || f->m.cpus);
    return EXIT_OK;
}

/* ---- logits */

typedef struct LogitsOut {
    TnWriter w;
    FILE *f; /* standard output, if it is written to */
    uint32_t n_vocab;
    TernStatus status;
    TernError err;
} LogitsOut;

static void write_row(void *user, const TernResult *r) {
    LogitsOut *o = user;
    if (o->status != TERN_OK) return;
    if (o->f)
        fwrite(r->logits, sizeof(float), o->n_vocab, o->f); /* checked at the end of main */
    else
        o->status = tn_writer_put(&o->w, r->logits, sizeof(float) * o->n_vocab, &o->err);
}

static int know_ids(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes) {
    ScoreFlags *f = user;
    (void)vocab, (void)vocab_bytes;
    int code = read_ids(f->tokens, f->token_file, info->n_vocab, &f->t);
    if (code == EXIT_OK && f->t.n > info->n_context)
        code = fail_text("%zu tokens, but the model has %u positions", f->t.n, info->n_context);
    return code;
}

static int logits(const ScoreFlags *f, const Verb *verb, Loaded *l, TernSession **session) {
    TernError err = {0};
    const Tokens *t = &f->t;
    int code = make_session(f, verb, l, (uint32_t)t->n, session);
    LogitsOut o = {.n_vocab = l->info.n_vocab};
    TernRow *rows = tn_xcalloc(t->n, sizeof *rows);
    for (size_t i = 0; i < t->n; i++) rows[i] = (TernRow){.token = t->ids[i], .want = TERN_WANT_LOGITS};
    if (strcmp(f->output, "-") == 0) o.f = stdout;
    if (code == EXIT_OK && !o.f && tn_writer_open(f->output, &o.w, &err) != TERN_OK) code = fail(&err);
    if (code == EXIT_OK) {
        TernStatus st = tern_session_step(*session, rows, t->n, write_row, &o, &err);
        if (st == TERN_OK && (st = o.status) != TERN_OK) err = o.err;
        if (st == TERN_OK && !o.f) st = tn_writer_commit(&o.w, &err);
        if (st != TERN_OK) {
            if (!o.f) tn_writer_abort(&o.w);
            code = fail(&err);
        }
    }
    free(rows);
    return code;
}

int verb_logits(const Verb *verb, int argc, char **argv) {
    ScoreFlags f = {0};
    const Flag flags[] = {
        {"--tokens", "IDS", FLAG_STR, &f.tokens, 0, 0, "token ids, comma separated"},
        {"--token-file", "FILE", FLAG_STR, &f.token_file, 0, 0,
         "a file of token ids, separated by blanks, newlines or commas"},
        {"-o --output", "FILE", FLAG_STR, &f.output, 0, 0,
         "raw little-endian float32, tokens x vocabulary; - is standard output"},
        SESSION_FLAGS(f.m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f.m.model, 1, &n_words);
    if (!f.tokens == !f.token_file) usage_error(verb, "expected exactly one of --tokens and --token-file");
    if (!f.output) usage_error(verb, "missing -o FILE");
    (void)kv_of_flags(verb, &f.m);
    const TnFileUse files[] = {
        MODEL_FILES(f.m), {"--token-file", f.token_file, TN_FILE_IN}, {"-o", f.output, TN_FILE_BINARY}};
    Loaded l = {0};
    TernSession *session = NULL;
    f.m.known = know_ids;
    f.m.known_user = &f;
    int code = check_files(verb, files, TN_COUNT(files));
    if (code == EXIT_OK) code = load_model(verb, &f.m, &l);
    if (code == EXIT_OK) code = logits(&f, verb, &l, &session);
    if (code == EXIT_OK) note_saturated(tern_session_saturated(session));
    free(f.t.ids);
    tern_session_destroy(session);
    unload_model(&l);
    return code;
}

/* ---- perplexity */

typedef struct Nll {
    const int32_t *ids; /* of the window */
    uint32_t n_vocab;
    double sum;
    size_t n;
} Nll;

/* Adds -log softmax of the next token. It is computed in double, in index order, with our own exp and log, so
 * it is the same on every machine. */
static void score_row(void *user, const TernResult *r) {
    Nll *s = user;
    double max = r->logits[0], sum = 0;
    for (uint32_t i = 1; i < s->n_vocab; i++)
        if (r->logits[i] > max) max = r->logits[i];
    for (uint32_t i = 0; i < s->n_vocab; i++) sum += tn_expd((double)r->logits[i] - max);
    s->sum += tn_log(sum) - ((double)r->logits[s->ids[r->row + 1]] - max);
    s->n++;
}

static int perplexity(const ScoreFlags *f, const Verb *verb, Loaded *l, TernSession **session) {
    const Tokens *t = &f->t;
    uint32_t window = f->context ? (uint32_t)f->context : l->info.n_context;
    uint32_t context = t->n < window ? (uint32_t)t->n : window;
    int code = make_session(f, verb, l, context, session);
    if (code != EXIT_OK) return code;
    TernRow *rows = tn_xcalloc(window, sizeof *rows);
    Nll s = {.n_vocab = l->info.n_vocab};
    TernError err = {0};
    for (size_t at = 0; at + 1 < t->n && code == EXIT_OK; at += window) {
        size_t n = t->n - at < window ? t->n - at : window;
        s.ids = t->ids + at;
        for (size_t i = 0; i < n; i++)
            rows[i] = (TernRow){.token = s.ids[i], .want = i + 1 < n ? TERN_WANT_LOGITS : TERN_WANT_NOTHING};
        if (tern_session_truncate(*session, 0, 0, &err) != TERN_OK ||
            tern_session_step(*session, rows, n, score_row, &s, &err) != TERN_OK)
            code = fail(&err);
        progress_bar(NULL, "score", at + n, t->n);
    }
    progress_end();
    free(rows);
    if (code != EXIT_OK) return code;
    double nll = s.sum / (double)s.n;
    printf("tokens %zu  nll %.9f  perplexity %.6f\n", s.n, nll, tn_expd(nll));
    return EXIT_OK;
}

static int read_text(ScoreFlags *f, uint32_t n_vocab, const void *image, size_t image_bytes) {
    if (f->token_file || f->tokens) return read_ids(f->tokens, f->token_file, n_vocab, &f->t);
    TernError err = {0};
    size_t n;
    char *text;
    TernVocab *vocab;
    if (!image) return fail_text("the model has no tokenizer: give --token-file");
    if (tern_vocab_open(image, image_bytes, &vocab, &err) != TERN_OK) return fail(&err);
    int code = read_text_file(f->file, (size_t)1 << 30, &text, &n, &err) == TERN_OK ? EXIT_OK : fail(&err);
    if (code == EXIT_OK) {
        code = encode_text(vocab, text, n, TERN_ENCODE_ADD_SPECIAL, &f->t);
        free(text);
    }
    tern_vocab_close(vocab);
    return code;
}

static int know_text(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes) {
    ScoreFlags *f = user;
    if (info->n_context < 2)
        return fail_text("the model has %u positions, expected at least 2", info->n_context);
    if (f->context > (int64_t)info->n_context)
        return fail_text("-c: %u positions, but the model has %u", (uint32_t)f->context, info->n_context);
    int code = read_text(f, info->n_vocab, vocab, vocab_bytes);
    if (code == EXIT_OK && f->t.n < 2) code = fail_text("%zu tokens, expected at least 2", f->t.n);
    return code;
}

int verb_perplexity(const Verb *verb, int argc, char **argv) {
    ScoreFlags f = {0};
    const Flag flags[] = {
        {"-f --file", "FILE", FLAG_STR, &f.file, 0, 0, "the text; - is standard input"},
        {"--token-file", "FILE", FLAG_STR, &f.token_file, 0, 0,
         "a file of token ids instead, separated by blanks, newlines or commas"},
        {"--tokens", "IDS", FLAG_STR, &f.tokens, 0, 0, "token ids instead, comma separated"},
        {"-c --ctx-size", "N", FLAG_INT, &f.context, 0, 1 << 24,
         "tokens per window; 0 (default): the model's context"},
        SESSION_FLAGS(f.m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f.m.model, 1, &n_words);
    if (!!f.file + !!f.token_file + !!f.tokens != 1)
        usage_error(verb, "expected exactly one of -f, --token-file and --tokens");
    if (f.context == 1) usage_error(verb, "-c: 1, expected at least 2, or 0 for the model's");
    (void)kv_of_flags(verb, &f.m);
    const TnFileUse files[] = {MODEL_FILES(f.m),
                               {"-f", f.file, TN_FILE_IN},
                               {"--token-file", f.token_file, TN_FILE_IN},
                               STANDARD_OUTPUT};
    Loaded l = {0};
    TernSession *session = NULL;
    f.m.context = (uint32_t)f.context;
    f.m.known = know_text;
    f.m.known_user = &f;
    int code = check_files(verb, files, TN_COUNT(files));
    if (code == EXIT_OK) code = load_model(verb, &f.m, &l);
    if (code == EXIT_OK) code = perplexity(&f, verb, &l, &session);
    if (code == EXIT_OK) note_saturated(tern_session_saturated(session));
    free(f.t.ids);
    tern_session_destroy(session);
    unload_model(&l);
    return code;
}
