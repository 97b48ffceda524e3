/* Parses flags by a table: --name value, --name=value, -x value. help.c prints the help from the same table. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"
#include "runtime/base/excerpt.h"
#include "runtime/base/nearest.h"
#include "runtime/base/status.h"

/* A message as one printable line. */
static void set_line(TernError *err, const char *fmt, va_list ap) {
    char text[2048];
    tn_message(text, sizeof text, fmt, ap);
    tn_fail(err, TERN_ERR_INPUT, "%s", text);
}

void usage_error(const Verb *verb, const char *fmt, ...) {
    TernError err = {0};
    va_list ap;
    va_start(ap, fmt);
    set_line(&err, fmt, ap);
    va_end(ap);
    fprintf(stderr, "tern %s: %s (see tern %s --help)\n", verb->name, err.text, verb->name);
    exit(EXIT_USAGE);
}

/* The texts that the verb reads. Messages show their names made printable, and cut if they are long. */
static const char *texts[4];
static uint32_t n_texts;

void known_text(const char *path) {
    if (n_texts < TN_COUNT(texts)) texts[n_texts++] = path;
}

/* Returns the text whose name the message begins with, and in *n the length of the name there; NULL: none. */
static const char *named_text(const char *message, size_t *n) {
    for (uint32_t i = 0; i < n_texts; i++) {
        TernError name[2];
        tn_fail(&name[0], TERN_ERR_INPUT, "%s", texts[i]);
        tn_fail(&name[1], TERN_ERR_INPUT, "%s:", texts[i]); /* cut */
        name[1].text[strlen(name[1].text) - 1] = 0;
        for (int k = 0; k < 2; k++) {
            *n = strlen(name[k].text);
            if (strncmp(message, name[k].text, *n) == 0 && message[*n] == ':') return texts[i];
        }
    }
    return NULL;
}

/* If the message is "FILE.tir:LINE: .." or "FILE.tir:LINE:COL: .." about a registered text, prints it with
 * the column (by default that of the line's first word), the line itself and a caret. */
static bool show_place(const char *message) {
    unsigned line, col = 0;
    int at = 0;
    size_t n = 0;
    TnFile file;
    const char *path = named_text(message, &n);
    if (!path || sscanf(message + n, ":%u%n", &line, &at) != 1) return false;
    const char *rest = message + n + at;
    if (sscanf(rest, ":%u%n", &col, &at) == 1) rest += at;
    if (rest[0] != ':' || rest[1] != ' ') return false;
    if (tn_file_map(path, &file, NULL) != TERN_OK) return false;
    TnBuf out = {0};
    if (file.size) col = (unsigned)tn_excerpt_of((const char *)file.data, file.size, line, col, &out);
    fprintf(stderr, "tern: error: %.*s:%u:%u%s\n", (int)n, message, line, col, rest);
    if (out.len) fwrite(out.data, 1, out.len, stderr);
    tn_buf_free(&out);
    tn_file_unmap(&file);
    return true;
}

int fail(const TernError *library) {
    TernError named = *library, *err = &named;
    name_flags(err);
    if (!show_place(err->text)) fprintf(stderr, "tern: error: %s\n", err->text);
    return EXIT_INPUT;
}

int fail_text(const char *fmt, ...) {
    TernError err = {0};
    va_list ap;
    va_start(ap, fmt);
    set_line(&err, fmt, ap);
    va_end(ap);
    return fail(&err);
}

bool flag_named(const char *names, const char *word, size_t n) {
    for (const char *p = names; *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, word, n) == 0) return true;
        p += len;
        p += *p == ' ';
    }
    return false;
}

/* ---- What was given */

enum { FLAGS_MOST = 64 };
static struct Given {
    const void *out;          /* what the flag fills */
    const char *name, *value; /* as typed; value NULL for a FLAG_BOOL */
} given[FLAGS_MOST];
static uint32_t n_given;
static TnArena typed; /* names of flags; lives as long as the program */

static struct Given *find_given(const void *out) {
    for (uint32_t i = 0; i < n_given; i++)
        if (given[i].out == out) return &given[i];
    return NULL;
}

const char *flag_given(const void *out) {
    const struct Given *g = find_given(out);
    return g ? g->name : NULL;
}

const char *flag_typed(const char *names) {
    for (uint32_t i = 0; names[0] == '-' && i < n_given; i++)
        if (flag_named(names, given[i].name, strlen(given[i].name))) return given[i].name;
    return names[0] == '-' ? tn_strndup(&typed, names, strcspn(names, " ")) : names;
}

void only_with(const Verb *verb, const void *out, bool with, const char *what) {
    const char *name = flag_given(out);
    if (name && !with) usage_error(verb, "%s goes with %s", name, what);
}

/* Refuses a second, different value of a flag that takes one: either could be the one that was meant. */
static void note_given(const Verb *verb, const Flag *f, const char *name, const char *value) {
    struct Given *g = find_given(f->out);
    if (g && value && f->kind != FLAG_LIST && strcmp(g->value, value) != 0)
        usage_error(verb, "%s: got '%s' and then '%s', expected one value", name, g->value, value);
    if (!g && n_given < FLAGS_MOST) given[n_given++] = (struct Given){f->out, name, value};
}

static TnBuf notes;

void note(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    tn_buf_puts(&notes, "tern: ");
    tn_buf_vprintf(&notes, fmt, ap);
    tn_buf_puts(&notes, "\n");
    va_end(ap);
}

static bool quiet;

void notes_quiet(bool on) {
    quiet = on;
}

void notes_print(void) {
    for (size_t at = 0, n; at < notes.len && !quiet; at += n) {
        const char *line = notes.data + at, *end = memchr(line, '\n', notes.len - at);
        n = end ? (size_t)(end - line) + 1 : notes.len - at;
        say_line("%.*s", (int)n, line);
    }
    tn_buf_free(&notes);
}

/* ---- Values */

static void set(const Verb *verb, const Flag *f, const char *name, const char *value) {
    switch (f->kind) {
    case FLAG_BOOL:
        *(bool *)f->out = true;
        return;
    case FLAG_OPT:
    case FLAG_STR:
    case FLAG_TEXT:
        *(const char **)f->out = value;
        return;
    case FLAG_LIST: {
        StrList *l = f->out;
        if (l->n == 64) usage_error(verb, "%s is given more than 64 times", name);
        l->v[l->n++] = value;
        return;
    }
    case FLAG_INT: {
        int64_t v;
        if (!read_whole(value, (int64_t)f->lo, (int64_t)f->hi, &v))
            usage_error(verb, "%s: '%s', expected a whole number from %.0f to %.0f", name, value, f->lo,
                        f->hi);
        *(int64_t *)f->out = v;
        return;
    }
    case FLAG_U64: {
        uint64_t v;
        if (!read_u64(value, &v)) usage_error(verb, "%s: '%s', expected a whole number", name, value);
        *(uint64_t *)f->out = v;
        return;
    }
    case FLAG_SEED: {
        uint64_t v = TERN_SEED_RANDOM; /* llama.cpp spells it -1 */
        if (strcmp(value, "-1") != 0 && (!read_u64(value, &v) || v == TERN_SEED_RANDOM))
            usage_error(verb, "%s: got '%s', expected 0 to 18446744073709551614, or -1 for a random one",
                        name, value);
        *(uint64_t *)f->out = v;
        return;
    }
    case FLAG_FLOAT: {
        double v;
        if (!read_number(value, f->lo, f->hi, &v))
            usage_error(verb, "%s: '%s', expected a number from %g to %g", name, value, f->lo, f->hi);
        *(float *)f->out = (float)v;
        return;
    }
    }
}

/* Refuses an unknown flag. It may be another program's, or close to one of ours: then the message says so. */
_Noreturn static void unknown_flag(const Verb *verb, const Flag *flags, const char *word, size_t len) {
    TnBuf text = {0};
    if (foreign_flag(flags, word, len, &text)) usage_error(verb, "'%.*s': %s", (int)len, word, text.data);
    TnNearest near = {.word = word, .len = len};
    for (const Flag *f = flags; f->names; f++)
        for (const char *p = f->names; *p; p += *p == ' ') {
            size_t n = strcspn(p, " ");
            tn_nearest_try(&near, p, n);
            p += n;
        }
    if (near.best)
        usage_error(verb, "unknown flag '%.*s', did you mean %.*s?", (int)len, word, (int)near.best_len,
                    near.best);
    usage_error(verb, "unknown flag '%s'", word);
}

/* A positional word may fill the same place as a flag, such as -m. */
static void take_word(const Verb *verb, const Flag *flags, const char *word, const char **place) {
    if (!*word) usage_error(verb, "got '', expected %s", verb->usage);
    for (const Flag *f = flags; f->names; f++)
        if (f->out == (void *)place) {
            const struct Given *g = find_given(place);
            note_given(verb, f, g ? g->name : word, word);
        }
    *place = word;
}

void parse_args(const Verb *verb, const Flag *flags, int argc, char **argv, const char **positional,
                int max_positional, int *n) {
    *n = 0;
    n_given = 0;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-' || word[1] == 0) {
            if (*n == max_positional) usage_error(verb, "unexpected word '%s'", word);
            take_word(verb, flags, word, &positional[(*n)++]);
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) help_verb(verb, flags);
        const char *eq = word[1] == '-' ? strchr(word, '=') : NULL;
        size_t len = eq ? (size_t)(eq - word) : strlen(word);
        const Flag *f = flags;
        while (f->names && !flag_named(f->names, word, len)) f++;
        if (!f->names) unknown_flag(verb, flags, word, len);
        const char *value = eq ? eq + 1 : NULL;
        if (f->kind == FLAG_BOOL) {
            if (value) usage_error(verb, "%.*s takes no value", (int)len, word);
        } else if (f->kind == FLAG_OPT) {
            if (!value) value = "-";
        } else if (!value) {
            if (i + 1 == argc) usage_error(verb, "%s: missing %s", word, f->arg);
            value = argv[++i];
        }
        char *name = tn_strndup(&typed, word, len);
        bool words = f->kind == FLAG_STR || f->kind == FLAG_OPT || f->kind == FLAG_LIST;
        if (words && !*value) usage_error(verb, "%s: got '', expected %s", name, f->arg);
        note_given(verb, f, name, value);
        set(verb, f, name, value);
    }
}
