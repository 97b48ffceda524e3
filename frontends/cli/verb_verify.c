/* tern verify. Its exit status is that of diff(1). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"

enum { EXIT_SAME = 0, EXIT_DIFFERENT = 1, EXIT_TROUBLE = 2 };

typedef struct VerifyFlags {
    ModelFlags m;
    const char *tokens, *token_file, *prompt, *file, *against, *reduce, *rows;
    const char *seed;
    int64_t context;
    bool bisect, no_bos;
} VerifyFlags;

static void take_verify(void *user, const char *what, const char *text, size_t n) {
    (void)user;
    if (strcmp(what, "saturated") == 0) {
        note_saturated(strtoull(text, NULL, 10));
        return;
    }
    fwrite(text, 1, n, strcmp(what, "result") == 0 ? stdout : stderr);
}

/* A text is encoded with the model's own vocabulary. Ids also work for a model without a tokenizer; the
 * session checks them. */
static int read_tokens(const VerifyFlags *f, const Verb *verb, Tokens *out) {
    TernVocab *vocab;
    TernModel *model;
    void *image;
    TernError err = {0};
    if (f->tokens || f->token_file) return read_ids(f->tokens, f->token_file, 0, out);
    int code = load_vocab(verb, &f->m, &vocab, &image, &model);
    if (code != EXIT_OK) return code;
    char *text = NULL;
    size_t n = f->prompt ? strlen(f->prompt) : 0;
    if (f->file && read_text_file(f->file, (size_t)1 << 30, &text, &n, &err) != TERN_OK) code = fail(&err);
    if (code == EXIT_OK)
        code =
            encode_text(vocab, f->file ? text : f->prompt, n, f->no_bos ? 0 : TERN_ENCODE_ADD_SPECIAL, out);
    if (code == EXIT_OK && out->n == 0) code = fail_text("the text has no tokens");
    free(text);
    tern_vocab_close(vocab);
    tern_model_close(model);
    free(image);
    return code;
}

/* --seed is kept as text because 0 is a valid seed and differs from no seed. */
static uint64_t parse_seed(const Verb *verb, const char *text) {
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        usage_error(verb, "--seed: '%s', expected a whole number", text);
    return v;
}

/* Returns whether the run is on random inputs. */
static bool check_flags(const Verb *verb, const VerifyFlags *f) {
    int given = !!f->tokens + !!f->token_file + !!f->prompt + !!f->file;
    bool random = f->seed || f->rows || (!given && !f->against && f->m.model && is_tir(f->m.model));
    if (random && given) usage_error(verb, "--seed and --rows are for random inputs, not for tokens");
    if (random && (f->against || f->bisect))
        usage_error(verb, "%s needs tokens: random inputs only compare code with the evaluator",
                    f->against ? "--against" : "--bisect");
    if (!random && given != 1)
        usage_error(verb, "expected exactly one of --tokens, --token-file, -p, -f and --seed");
    only_with(verb, &f->no_bos, f->prompt || f->file, "-p or -f");
    only_with(verb, &f->m.device, !random, "tokens, not with random inputs");
    only_with(verb, &f->m.threads, !random, "tokens, not with random inputs");
    only_with(verb, &f->m.head, !random, "tokens, not with random inputs");
    only_with(verb, &f->m.target, !random || !f->m.target || tn_target_evaluates(f->m.target),
              "tokens: random inputs try every target");
    return random;
}

static int check_names(const Verb *verb, const VerifyFlags *f) {
    const TnFileUse files[] = {
        MODEL_FILES(f->m),
        {"--token-file", f->token_file, TN_FILE_IN},
        {"-f", f->file, TN_FILE_IN},
        {"--against", tn_target_evaluates(f->against) ? NULL : f->against, TN_FILE_IN},
        {"--reduce", f->reduce, TN_FILE_NAMED},
        STANDARD_OUTPUT,
    };
    return check_files(verb, files, TN_COUNT(files));
}

/* The GPU's name is written to *device, which must live as long as the options. */
static TerncOptions options_of(const Verb *verb, const VerifyFlags *f, DeviceChoice *device) {
    TerncOptions o = {.size = sizeof o,
                      .cap = f->m.cpu,
                      .context = (uint32_t)f->context,
                      .head = f->m.head,
                      .target = f->m.target,
                      .progress = progress_bar};
    *device = choose_device(verb, &f->m);
    report_device(device);
    if (*device->name) o.device = device->name;
    only_with(verb, &f->m.threads, !o.device, "code of a processor, and --device names a GPU");
    only_with(verb, &f->reduce, !o.device, "code of a processor, and --device names a GPU");
    return o;
}

/* Flags that do not go with what is verified: v->blob is a compiled file, or NULL. */
static void check_source(const Verb *verb, const VerifyFlags *f, const TerncVerify *v) {
    only_with(verb, &f->context, !v->blob, "a model, a .tern has a context of its own");
    bool graphs = f->against && !v->blob && (is_tir(f->against) || is_gguf(f->against));
    const void *const of_code[] = {&f->m.threads, &f->m.head, &f->m.target, &f->m.cpu, &f->m.device};
    for (size_t i = 0; i < TN_COUNT(of_code); i++)
        only_with(verb, of_code[i], !graphs, "code, and --against names a graph beside a graph");
}

static int verify(const Verb *verb, const VerifyFlags *f) {
    bool random = check_flags(verb, f);
    TerncVerify v = {.size = sizeof v,
                     .kv = kv_of_flags(verb, &f->m),
                     .threads = (uint32_t)f->m.threads,
                     .against = f->against,
                     .bisect = f->bisect,
                     .reduce = f->reduce,
                     .random = random,
                     .seeded = f->seed != NULL};
    if (f->seed) v.seed = parse_seed(verb, f->seed);
    if (f->rows) parse_rows(verb, f->rows, &v.rows_lo, &v.rows_hi);
    if (check_names(verb, f) != EXIT_OK) return EXIT_TROUBLE;
    DeviceChoice device;
    TerncOptions o = options_of(verb, f, &device);
    TerncSource source;
    TernError err = {0};
    if (source_of_flags(verb, &f->m, &source, &v.blob, &err) != TERN_OK) return fail(&err);
    v.source = v.blob ? NULL : &source;
    check_source(verb, f, &v);
    v.options = &o;
    Tokens t = {0};
    int same = 0;
    if (!random && read_tokens(f, verb, &t) != EXIT_OK) return EXIT_TROUBLE;
    v.tokens = t.ids;
    v.n_tokens = (uint32_t)t.n;
    TernStatus st = ternc()->verify(&v, take_verify, NULL, &same, &err);
    progress_end();
    free(t.ids);
    if (st != TERN_OK) {
        fail(&err);
        return EXIT_TROUBLE;
    }
    return same ? EXIT_SAME : EXIT_DIFFERENT;
}

int verb_verify(const Verb *verb, int argc, char **argv) {
    set_trouble(EXIT_TROUBLE);
    VerifyFlags f = {0};
    const Flag flags[] = {
        {"--tokens", "IDS", FLAG_STR, &f.tokens, 0, 0, "token ids, comma separated"},
        {"--token-file", "FILE", FLAG_STR, &f.token_file, 0, 0,
         "a file of token ids, separated by blanks, newlines or commas"},
        {"-p --prompt", "TEXT", FLAG_TEXT, &f.prompt, 0, 0, "a text instead of ids"},
        {"-f --file", "FILE", FLAG_STR, &f.file, 0, 0, "a file with the text; - is standard input"},
        {"--no-bos", NULL, FLAG_BOOL, &f.no_bos, 0, 0,
         "do not add the BOS and EOS tokens that the model asks for"},
        {"--against", "ref|FILE", FLAG_STR, &f.against, 0, 0,
         "compare with ref, the evaluator, launch by launch (default), or with another model, value by "
         "value"},
        {"--bisect", NULL, FLAG_BOOL, &f.bisect, 0, 0, "name the pass or the emitter that changes a result"},
        {"--reduce", "OUT.tir", FLAG_STR, &f.reduce, 0, 0,
         "write what differs, reduced to a graph of a few ops"},
        {"--seed", "N", FLAG_STR, &f.seed, 0, 0,
         "run on random inputs from this seed instead of tokens (default for a .tir without tokens: 1, then "
         "2)"},
        {"--rows", "LO..HI", FLAG_STR, &f.rows, 0, 0,
         "random inputs: only this batch class (default: each that models are compiled for)"},
        {"-c --ctx-size", "N", FLAG_INT, &f.context, 1, 1 << 24,
         "largest context; default: the model's, or that of a .tern"},
        {"-t --threads", "N", FLAG_INT, &f.m.threads, 1, 1024,
         "workers that a launch is divided among, run one after the other (default: all processors)"},
        MODEL_FLAGS(f.m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f.m.model, 1, &n_words);
    return verify(verb, &f);
}
