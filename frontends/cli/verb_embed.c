/* tern embed: one vector for a text, or for each line of a file. */
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"
#include "frontends/json.h"
#include "runtime/generate/generate.h"

typedef enum Format { FORMAT_RAW, FORMAT_ARRAY, FORMAT_JSON, FORMAT_F32, N_FORMATS } Format;

static const char *const formats[N_FORMATS] = {"raw", "array", "json", "f32"};
static const struct {
    const char *name;
    TernPooling pooling;
} poolings[] = {{"none", TERN_POOLING_NONE},
                {"mean", TERN_POOLING_MEAN},
                {"cls", TERN_POOLING_CLS},
                {"last", TERN_POOLING_LAST}};

typedef struct EmbedFlags {
    ModelFlags m;
    const char *prompt, *file, *tokens, *pooling_name, *format_name, *output;
    bool normalize, no_normalize, special;
    TernPooling pooling;
    Format format;
} EmbedFlags;

typedef struct Embed {
    const EmbedFlags *f;
    Loaded model;
    TernEmbedder *embedder;
    Tokens *texts;
    TernEmbedText *inputs;
    size_t n, cap, longest, n_ids;
    /* output */
    TnWriter w;
    FILE *out; /* standard output, if it is written to */
    TnBuf line;
    TernStatus status;
    TernError err;
} Embed;

/* ---- Texts */

static int add_text(Embed *s, Tokens t, const char *what) {
    TN_PUSH(s->texts, s->n, s->cap, t);
    if (t.n == 0) return fail_text("%s has no tokens, and the model adds none", what);
    if (t.n > s->model.info.n_context)
        return fail_text("%s has %zu tokens, but the model has %u positions", what, t.n,
                         s->model.info.n_context);
    s->longest = t.n > s->longest ? t.n : s->longest;
    s->n_ids += t.n;
    return EXIT_OK;
}

static int encode_part(Embed *s, const TernVocab *vocab, const char *text, size_t n, const char *what) {
    uint32_t how = TERN_ENCODE_ADD_SPECIAL | (s->f->special ? TERN_ENCODE_PARSE_SPECIAL : 0);
    Tokens t = {0};
    int code = encode_text(vocab, text, n, how, &t);
    return code == EXIT_OK ? add_text(s, t, what) : code;
}

/* A line ends with \n or \r\n; the last one may end without. */
static int read_lines(Embed *s, const TernVocab *vocab) {
    TernError err = {0};
    char *text = NULL;
    size_t n = 0, line = 0;
    if (read_text_file(s->f->file, (size_t)1 << 30, &text, &n, &err) != TERN_OK) return fail(&err);
    int code = n ? EXIT_OK : fail_text("%s: is empty, expected a text a line", s->f->file);
    for (const char *p = text, *end = text + n; p < end && code == EXIT_OK;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t len = stop ? (size_t)(stop - p) : (size_t)(end - p);
        char what[300];
        snprintf(what, sizeof what, "%.200s: line %zu", s->f->file, ++line);
        code = encode_part(s, vocab, p, len - (stop && len && p[len - 1] == '\r'), what);
        p += len + (stop != NULL);
    }
    free(text);
    return code;
}

static int check_pooling(const Embed *s) {
    const TernModelInfo *info = &s->model.info;
    if (s->f->pooling || info->pooling) return EXIT_OK;
    return fail_text("%s: nothing says how the rows of a text become one vector (key %s.pooling_type): give "
                     "--pooling none, mean, cls or last",
                     info->name, info->arch);
}

static int known(void *user, const TernModelInfo *info, const void *image, size_t image_bytes) {
    Embed *s = user;
    TernError err = {0};
    TernVocab *vocab = NULL;
    s->model.info = *info;
    int code = check_pooling(s);
    if (code != EXIT_OK) return code;
    if (s->f->tokens) {
        Tokens t = {0};
        code = read_ids(s->f->tokens, NULL, info->n_vocab, &t);
        return code == EXIT_OK ? add_text(s, t, "--tokens") : code;
    }
    if (!image) return fail_text("the model has no tokenizer: give --tokens");
    if (tern_vocab_open(image, image_bytes, &vocab, &err) != TERN_OK) return fail(&err);
    code = s->f->file ? read_lines(s, vocab)
                      : encode_part(s, vocab, s->f->prompt, strlen(s->f->prompt), "the text");
    tern_vocab_close(vocab);
    return code;
}

/* ---- Output */

static void put(Embed *s, const void *bytes, size_t n) {
    if (s->out)
        fwrite(bytes, 1, n, s->out); /* checked at the end of main */
    else if (s->status == TERN_OK)
        s->status = tn_writer_put(&s->w, bytes, n, &s->err);
}

static void flush(Embed *s) {
    if (s->line.len) put(s, s->line.data, s->line.len); /* before the first line there is no data */
    s->line.len = 0;
}

/* Nine digits, from which the same float is read back. */
static void put_numbers(TnBuf *b, const TernVector *v, const char *between) {
    for (uint32_t i = 0; i < v->n; i++) tn_buf_printf(b, "%s%.9g", i ? between : "", (double)v->x[i]);
}

/* A vector in JSON; with pooling none those of a text are an array. */
static void put_json(Embed *s, const TernVector *v, bool rows) {
    TnBuf *b = &s->line;
    bool json = s->f->format == FORMAT_JSON, first = v->row == 0, last = !rows || v->row + 1 == v->n_ids;
    if (first) tn_buf_puts(b, v->text ? ",\n" : "");
    if (first && json)
        tn_buf_printf(b, "{\"object\": \"embedding\", \"index\": %zu, \"embedding\": ", v->text);
    if (rows) tn_buf_puts(b, first ? "[" : ",\n");
    tn_buf_puts(b, "[");
    put_numbers(b, v, ", ");
    tn_buf_puts(b, "]");
    if (rows && last) tn_buf_puts(b, "]");
    if (last && json) tn_buf_puts(b, "}");
}

static int take(void *user, const TernVector *v) {
    Embed *s = user;
    TernPooling pooling = s->f->pooling ? s->f->pooling : s->model.info.pooling;
    if (s->f->format == FORMAT_F32) {
        put(s, v->x, v->n * sizeof *v->x);
    } else if (s->f->format == FORMAT_RAW) {
        put_numbers(&s->line, v, " ");
        tn_buf_puts(&s->line, "\n");
    } else {
        put_json(s, v, pooling == TERN_POOLING_NONE);
    }
    flush(s);
    if (s->n > 1) progress_bar(NULL, "embed", v->text + 1, s->n);
    return s->status != TERN_OK;
}

static void begin(Embed *s) {
    if (s->f->format == FORMAT_ARRAY) tn_buf_puts(&s->line, "[");
    if (s->f->format == FORMAT_JSON) {
        tn_buf_puts(&s->line, "{\"object\": \"list\", \"model\": ");
        tn_json_put(tn_json_text(s->model.info.name), JSON_ENCODE_ANY, &s->line);
        tn_buf_puts(&s->line, ", \"data\": [\n");
    }
    if (s->line.len) flush(s);
}

static void finish(Embed *s) {
    if (s->f->format == FORMAT_ARRAY) tn_buf_puts(&s->line, "]\n");
    if (s->f->format == FORMAT_JSON)
        tn_buf_printf(&s->line, "],\n\"usage\": {\"prompt_tokens\": %zu, \"total_tokens\": %zu}}\n", s->n_ids,
                      s->n_ids);
    if (s->line.len) flush(s);
}

/* ---- The verb */

static TernStatus make(Embed *s, TernKv kv, TernError *err) {
    uint32_t most = s->model.info.max_rows;
    size_t slots = s->longest < most ? most / s->longest : 1;
    TernEmbedderOptions o = {.size = sizeof o,
                             .slots = (uint32_t)(slots < s->n ? slots : s->n),
                             .context = (uint32_t)s->longest,
                             .kv = kv,
                             .pooling = s->f->pooling,
                             .normalize = s->f->normalize      ? TERN_NORMALIZE_YES
                                          : s->f->no_normalize ? TERN_NORMALIZE_NO
                                                               : TERN_NORMALIZE_DEFAULT};
    for (TernStatus st;
         (st = tern_embedder_create(s->model.model, s->model.pool, &o, &s->embedder, err)) != TERN_OK;)
        if (!load_for_cpu(&s->model, st, err)) return st;
    report_start(&s->model);
    s->inputs = tn_xcalloc(s->n, sizeof *s->inputs);
    for (size_t i = 0; i < s->n; i++)
        s->inputs[i] =
            (TernEmbedText){.size = sizeof *s->inputs, .ids = s->texts[i].ids, .n_ids = s->texts[i].n};
    report_quota(s->f->m.threads || s->f->m.cpus);
    return TERN_OK;
}

static TernStatus write_all(Embed *s, TernError *err) {
    begin(s);
    TernStatus st = tern_embed(s->embedder, s->inputs, s->n, take, s, err);
    progress_end();
    if (s->status == TERN_OK && st == TERN_OK) finish(s);
    if (s->status != TERN_OK) {
        *err = s->err;
        st = s->status;
    }
    return st == TERN_OK && !s->out ? tn_writer_commit(&s->w, err) : st;
}

static int embed(Embed *s, TernKv kv) {
    TernError err = {0};
    if (make(s, kv, &err) != TERN_OK) return fail(&err);
    if (strcmp(s->f->output, "-") == 0)
        s->out = stdout;
    else if (tn_writer_open(s->f->output, &s->w, &err) != TERN_OK)
        return fail(&err);
    if (write_all(s, &err) != TERN_OK) {
        if (!s->out) tn_writer_abort(&s->w);
        return fail(&err);
    }
    note_saturated(tern_session_saturated(tern_embedder_session(s->embedder)));
    return EXIT_OK;
}

static void read_names(const Verb *verb, EmbedFlags *f) {
    for (size_t i = 0; f->pooling_name && i < TN_COUNT(poolings); i++)
        if (strcmp(f->pooling_name, poolings[i].name) == 0) f->pooling = poolings[i].pooling;
    if (f->pooling_name && !f->pooling)
        usage_error(verb, "--pooling: got '%s', expected none, mean, cls or last", f->pooling_name);
    for (int i = 0; f->format_name && i < N_FORMATS; i++)
        if (strcmp(f->format_name, formats[i]) == 0) {
            f->format = (Format)i;
            return;
        }
    if (f->format_name)
        usage_error(verb, "--embd-output-format: got '%s', expected raw, array, json or f32", f->format_name);
}

int verb_embed(const Verb *verb, int argc, char **argv) {
    EmbedFlags f = {.output = "-"};
    const Flag flags[] = {
        {"-p --prompt", "TEXT", FLAG_TEXT, &f.prompt, 0, 0, "the text, for one vector"},
        {"-f --file", "FILE", FLAG_STR, &f.file, 0, 0,
         "a file with a text in each line, for a vector each; - is standard input"},
        {"--tokens", "IDS", FLAG_STR, &f.tokens, 0, 0,
         "the text as token ids, comma separated; nothing is added"},
        {"--pooling", "NAME", FLAG_STR, &f.pooling_name, 0, 0,
         "how a text's rows become one vector: mean, cls (the first), last, or none (a vector for each "
         "token); default: as the model's file says"},
        {"--normalize", NULL, FLAG_BOOL, &f.normalize, 0, 0,
         "make vectors of length 1; the default, except with --pooling none"},
        {"--no-normalize", NULL, FLAG_BOOL, &f.no_normalize, 0, 0, "leave vectors as they are"},
        {"--special", NULL, FLAG_BOOL, &f.special, 0, 0,
         "turn control tokens that the text spells into those tokens"},
        {"--embd-output-format", "NAME", FLAG_STR, &f.format_name, 0, 0,
         "raw (default): a line of numbers a vector; array: JSON arrays; json: as OpenAI's server answers; "
         "f32: little-endian float32"},
        {"-o --output", "FILE", FLAG_STR, &f.output, 0, 0, "default: standard output"},
        SESSION_FLAGS(f.m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f.m.model, 1, &n_words);
    if (!!f.prompt + !!f.file + !!f.tokens != 1)
        usage_error(verb, "expected exactly one of -p, -f and --tokens");
    if (f.normalize && f.no_normalize) usage_error(verb, "--normalize and --no-normalize exclude each other");
    only_with(verb, &f.special, !f.tokens, "-p or -f");
    read_names(verb, &f);
    TernKv kv = kv_of_flags(verb, &f.m);
    const TnFileUse files[] = {MODEL_FILES(f.m),
                               {"-f", f.file, TN_FILE_IN},
                               {"-o", f.output, f.format == FORMAT_F32 ? TN_FILE_BINARY : TN_FILE_OUT}};
    Embed s = {.f = &f};
    f.m.known = known;
    f.m.known_user = &s;
    int code = check_files(verb, files, TN_COUNT(files));
    if (code == EXIT_OK) code = load_model(verb, &f.m, &s.model);
    if (code == EXIT_OK) code = embed(&s, kv);
    tern_embedder_destroy(s.embedder);
    for (size_t i = 0; i < s.n; i++) free(s.texts[i].ids);
    free(s.texts);
    free(s.inputs);
    tn_buf_free(&s.line);
    unload_model(&s.model);
    return code;
}
