/* tern tokenize, tern detokenize, and ids from flags for the other verbs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"
#include "runtime/base/arena.h"
#include "runtime/base/filekind.h"

#define TEXT_LIMIT ((size_t)1 << 30) /* bytes of a text or token file */

static int parse_ids(const char *what, const char *p, uint32_t n_vocab, Tokens *out) {
    size_t cap = 0;
    *out = (Tokens){0};
    for (;;) {
        p += strspn(p, " \t\r\n,");
        if (!*p) break;
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        size_t len = strcspn(p, " \t\r\n,");
        bool bad = end != p + len || errno || v < 0 || v > INT32_MAX || *p == '+';
        if (bad || (n_vocab && v >= n_vocab)) {
            free(out->ids);
            *out = (Tokens){0};
            if (bad) return fail_text("%s: '%.*s', expected token ids", what, (int)(len < 40 ? len : 40), p);
            return fail_text("%s: token %ld, expected 0 to %u", what, v, n_vocab - 1);
        }
        TN_PUSH(out->ids, out->n, cap, (int32_t)v);
        p = end;
    }
    if (out->n == 0) return fail_text("%s: no token ids", what);
    return EXIT_OK;
}

int read_ids(const char *list, const char *file, uint32_t n_vocab, Tokens *out) {
    if (list) return parse_ids("--tokens", list, n_vocab, out);
    TernError err = {0};
    char *text;
    size_t n;
    if (tn_file_read(file, TEXT_LIMIT, &text, &n, &err) != TERN_OK) return fail(&err);
    TnFileKind kind = tn_file_kind(text, n);
    if (kind.kind == TN_KIND_MARKUP) {
        TernStatus st = tn_file_kind_refuse(kind, "token ids", &err);
        free(text);
        tn_fail_in(&err, st, "%s", file);
        return fail(&err);
    }
    int code = strlen(text) == n ? parse_ids(file, text, n_vocab, out)
                                 : fail_text("%s: holds a NUL byte, expected token ids", file);
    free(text);
    return code;
}

/* If the text already spells BOS or EOS, adding the token gives two. Models were trained with one. */
static void note_doubled(const TernVocab *vocab, const Tokens *t) {
    TernVocabFacts f = tern_vocab_get_facts(vocab);
    size_t n = t->n;
    if (n > 1 && f.add_bos && t->ids[0] == f.bos && t->ids[1] == t->ids[0])
        note("the text begins with BOS and the model adds another: it is there twice, leave one out");
    if (n > 1 && f.add_eos && t->ids[n - 1] == f.eos && t->ids[n - 2] == t->ids[n - 1])
        note("the text ends with EOS and the model adds another: it is there twice, leave one out");
}

int encode_text(const TernVocab *vocab, const char *text, size_t n, uint32_t flags, Tokens *out) {
    TernError err = {0};
    size_t count, most = tern_encode_most(vocab, n);
    int32_t *ids = tn_xcalloc(most, sizeof *ids);
    if (tern_encode(vocab, text, n, flags, ids, most, &count, &err) != TERN_OK) {
        free(ids);
        return fail(&err);
    }
    out->ids = ids;
    out->n = count;
    if ((flags & TERN_ENCODE_ADD_SPECIAL) && (flags & TERN_ENCODE_PARSE_SPECIAL)) note_doubled(vocab, out);
    return EXIT_OK;
}

static void print_ids(const Tokens *t) {
    for (size_t i = 0; i < t->n; i++) printf("%s%d", i ? "," : "", t->ids[i]);
    printf("\n");
}

int verb_tokenize(const Verb *verb, int argc, char **argv) {
    ModelFlags m = {0};
    const char *prompt = NULL, *file = NULL;
    bool no_bos = false, special = false;
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &m.model, 0, 0, "the model, if not given as a word"},
        {"-p --prompt", "TEXT", FLAG_TEXT, &prompt, 0, 0, "the text"},
        {"-f --file", "FILE", FLAG_STR, &file, 0, 0, "a file with the text; - is standard input"},
        {"--no-bos", NULL, FLAG_BOOL, &no_bos, 0, 0,
         "do not add the BOS and EOS tokens that the model asks for"},
        {"--special", NULL, FLAG_BOOL, &special, 0, 0,
         "turn control tokens that the text spells into those tokens"},
        {"--override-kv", "KEY=TYPE:VALUE", FLAG_LIST, &m.overrides, 0, 0,
         "replace a metadata key of a .gguf"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &m.model, 1, &n_words);
    if (!prompt == !file) usage_error(verb, "expected exactly one of -p and -f");
    const TnFileUse files[] = {
        {"the model", m.model, TN_FILE_MODEL}, {"-f", file, TN_FILE_IN}, STANDARD_OUTPUT};
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    TernVocab *vocab;
    void *image;
    TernModel *model;
    int code = load_vocab(verb, &m, &vocab, &image, &model);
    if (code != EXIT_OK) return code;
    char *text = NULL;
    size_t n = prompt ? strlen(prompt) : 0;
    TernError err = {0};
    if (file && read_text_file(file, TEXT_LIMIT, &text, &n, &err) != TERN_OK) code = fail(&err);
    Tokens t = {0};
    uint32_t how = (no_bos ? 0 : TERN_ENCODE_ADD_SPECIAL) | (special ? TERN_ENCODE_PARSE_SPECIAL : 0);
    if (code == EXIT_OK) code = encode_text(vocab, file ? text : prompt, n, how, &t);
    if (code == EXIT_OK) print_ids(&t);
    free(t.ids);
    free(text);
    tern_vocab_close(vocab);
    tern_model_close(model);
    free(image);
    return code;
}

int verb_detokenize(const Verb *verb, int argc, char **argv) {
    ModelFlags m = {0};
    const char *list = NULL, *file = NULL;
    bool special = false;
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &m.model, 0, 0, "the model, if not given as a word"},
        {"--tokens", "IDS", FLAG_STR, &list, 0, 0, "token ids, comma separated"},
        {"--token-file", "FILE", FLAG_STR, &file, 0, 0,
         "a file of token ids, separated by blanks, newlines or commas"},
        {"--special", NULL, FLAG_BOOL, &special, 0, 0, "print control tokens by their names"},
        {"--override-kv", "KEY=TYPE:VALUE", FLAG_LIST, &m.overrides, 0, 0,
         "replace a metadata key of a .gguf"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &m.model, 1, &n_words);
    if (!list == !file) usage_error(verb, "expected exactly one of --tokens and --token-file");
    const TnFileUse files[] = {
        {"the model", m.model, TN_FILE_MODEL}, {"--token-file", file, TN_FILE_IN}, STANDARD_OUTPUT};
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_INPUT;
    TernVocab *vocab;
    void *image;
    TernModel *model;
    int code = load_vocab(verb, &m, &vocab, &image, &model);
    if (code != EXIT_OK) return code;
    Tokens t = {0};
    code = read_ids(list, file, tern_vocab_get_facts(vocab).n_tokens, &t);
    if (code == EXIT_OK) {
        TernError err = {0};
        size_t n = 0;
        uint32_t how = special ? TERN_DECODE_CONTROL : 0;
        TernStatus st = tern_decode(vocab, t.ids, t.n, how, NULL, 0, &n, &err);
        char *text = tn_xcalloc(n + 1, 1);
        if (st == TERN_OK) st = tern_decode(vocab, t.ids, t.n, how, text, n, &n, &err);
        if (st == TERN_OK)
            fwrite(text, 1, n, stdout);
        else
            code = fail(&err);
        free(text);
        free(t.ids);
    }
    tern_vocab_close(vocab);
    tern_model_close(model);
    free(image);
    return code;
}
