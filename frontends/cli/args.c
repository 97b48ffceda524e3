/* Flags from a table: --name value, --name=value, -x value. The help is the same table. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"
#include "runtime/base/excerpt.h"

void usage_error(const Verb *verb, const char *fmt, ...) {
    va_list ap;
    fprintf(stderr, "tern %s: ", verb->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, " (see tern %s --help)\n", verb->name);
    exit(EXIT_USAGE);
}

/* A message "FILE.tir:LINE: .." or "FILE.tir:LINE:COL: .." about a text that can be read again: with its column (that of
 * the line's first word, if it has none), and under it the line and a caret. */
static bool show_place(const char *message) {
    char path[400];
    unsigned line, col = 0;
    int at = 0;
    const char *p = strstr(message, ".tir:"), *digits = p ? p + 5 : NULL;
    TnFile file;
    if (!p || (size_t)(digits - message) > sizeof path || sscanf(digits, "%u%n", &line, &at) != 1)
        return false;
    const char *rest = digits + at;
    if (sscanf(rest, ":%u%n", &col, &at) == 1) rest += at;
    if (rest[0] != ':' || rest[1] != ' ') return false;
    snprintf(path, sizeof path, "%.*s", (int)(p - message) + 4, message);
    if (tn_file_map(path, &file, NULL) != TERN_OK) return false;
    TnBuf out = {0};
    if (file.size) col = (unsigned)tn_excerpt_of((const char *)file.data, file.size, line, col, &out);
    fprintf(stderr, "tern: error: %s:%u:%u%s\n", path, line, col, rest);
    if (out.len) fwrite(out.data, 1, out.len, stderr);
    tn_buf_free(&out);
    tn_file_unmap(&file);
    return true;
}

int fail(const TernError *err) {
    if (!show_place(err->text)) fprintf(stderr, "tern: error: %s\n", err->text);
    return EXIT_INPUT;
}

int fail_text(const char *fmt, ...) {
    TernError err = {0};
    char text[sizeof err.text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tn_fail(&err, TERN_ERR_INPUT, "%s", text); /* makes the line printable */
    return fail(&err);
}

static void help(const Verb *verb, const Flag *flags) {
    printf("usage: tern %s %s [flags]\n%s\n\n", verb->name, verb->usage, verb->summary);
    for (const Flag *f = flags; f->names; f++) {
        char left[80];
        snprintf(left, sizeof left, f->kind == FLAG_OPT ? "%s[=%s]" : "%s %s", f->names,
                 f->arg ? f->arg : "");
        printf("  %-32s %s\n", left, f->help);
    }
    printf("  %-32s %s\n", "--help", "this");
    exit(EXIT_OK);
}

/* Does `word` (n bytes) stand among the names? */
static bool named(const char *names, const char *word, size_t n) {
    for (const char *p = names; *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, word, n) == 0) return true;
        p += len;
        p += *p == ' ';
    }
    return false;
}

static void set(const Verb *verb, const Flag *f, const char *name, const char *value) {
    char *end = NULL;
    errno = 0;
    switch (f->kind) {
    case FLAG_BOOL:
        *(bool *)f->out = true;
        return;
    case FLAG_OPT:
    case FLAG_STR:
        *(const char **)f->out = value;
        return;
    case FLAG_LIST: {
        StrList *l = f->out;
        if (l->n == 64) usage_error(verb, "%s is given more than 64 times", name);
        l->v[l->n++] = value;
        return;
    }
    case FLAG_INT: {
        long long v = strtoll(value, &end, 10);
        if (end == value || *end || errno || (double)v < f->lo || (double)v > f->hi)
            usage_error(verb, "%s: '%s', wanted a whole number from %.0f to %.0f", name, value, f->lo, f->hi);
        *(int64_t *)f->out = v;
        return;
    }
    case FLAG_U64: {
        unsigned long long v = strtoull(value, &end, 10);
        if (end == value || *end || errno || *value == '-')
            usage_error(verb, "%s: '%s', wanted a whole number", name, value);
        *(uint64_t *)f->out = v;
        return;
    }
    case FLAG_FLOAT: {
        double v = strtod(value, &end);
        if (end == value || *end || !(v >= f->lo && v <= f->hi))
            usage_error(verb, "%s: '%s', wanted a number from %g to %g", name, value, f->lo, f->hi);
        *(float *)f->out = (float)v;
        return;
    }
    }
}

void parse_args(const Verb *verb, const Flag *flags, int argc, char **argv, const char **positional,
                int max_positional, int *n) {
    *n = 0;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] != '-' || word[1] == 0) {
            if (*n == max_positional) usage_error(verb, "unexpected word '%s'", word);
            positional[(*n)++] = word;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) help(verb, flags);
        const char *eq = word[1] == '-' ? strchr(word, '=') : NULL;
        size_t len = eq ? (size_t)(eq - word) : strlen(word);
        const Flag *f = flags;
        while (f->names && !named(f->names, word, len)) f++;
        if (!f->names) usage_error(verb, "unknown flag '%s'", word);
        const char *value = eq ? eq + 1 : NULL;
        if (f->kind == FLAG_BOOL) {
            if (value) usage_error(verb, "%.*s takes no value", (int)len, word);
        } else if (f->kind == FLAG_OPT) {
            if (!value) value = "-";
        } else if (!value) {
            if (i + 1 == argc) usage_error(verb, "%s wants %s", word, f->arg);
            value = argv[++i];
        }
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)len, word);
        set(verb, f, name, value);
    }
}

uint32_t parse_counts(const Verb *verb, const char *flag, const char *list, uint32_t *out) {
    uint32_t n = 0;
    for (const char *p = list;;) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || v < 0 || v > 1 << 24 || errno || (*end && *end != ',') || n == 64)
            usage_error(verb, "%s: '%s', wanted a comma list of whole numbers", flag, list);
        out[n++] = (uint32_t)v;
        if (!*end) return n;
        p = end + 1;
    }
}
