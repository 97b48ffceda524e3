#include "runtime/base/status.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/escape.h"

/* Shows unprintable bytes in hex, so that the name of a file or a tensor cannot control the reader's terminal. */
static void sanitise(char *out, size_t cap, const char *in) {
    size_t len = strlen(in), i = 0, o = 0, mark = 0; /* mark: where "..." still fits */
    while (i < len) {
        size_t n = tn_printable(in + i, len - i);
        size_t want = n ? n : 4;
        if (o + want >= cap) {
            memcpy(out + mark, "...", 4);
            return;
        }
        if (n)
            memcpy(out + o, in + i, n);
        else
            snprintf(out + o, cap - o, "\\x%02x", (unsigned char)in[i]);
        o += want;
        i += n ? n : 1;
        if (o + 3 < cap) mark = o;
    }
    out[o] = '\0';
}

/* ---- messages */

/* One conversion of a format: its text with the stars as numbers. */
typedef struct Spec {
    char text[48], conversion;
    int precision, length; /* precision: -1: none; length: how many of the letters h, l, z, j and t */
} Spec;

static const char *read_spec(const char *p, int star[2], Spec *s) {
    size_t n = 0;
    int stars = 0;
    *s = (Spec){.precision = -1};
    s->text[n++] = *p++;
    for (bool point = false; *p; p++) {
        bool more = strchr("-+ #0123456789.*hlzjt", *p) != NULL;
        if (*p == '.') point = true, s->precision = 0;
        if (point && *p >= '0' && *p <= '9') s->precision = s->precision * 10 + *p - '0';
        if (strchr("lzjt", *p)) s->length += *p == 'l' ? 1 : 2;
        if (*p == '*') {
            int value = star[stars++ ? 1 : 0]; /* a width and a precision; there is no third */
            if (point) s->precision = value;
            n += (size_t)snprintf(s->text + n, sizeof s->text - n, "%d", value);
        } else if (n < sizeof s->text - 16) {
            s->text[n++] = *p;
        }
        if (!more) break;
    }
    s->conversion = *p;
    s->text[n] = 0;
    return *p ? p + 1 : p;
}

static int count_stars(const char *p) {
    int n = 0;
    for (p++; *p && strchr("-+ #0123456789.*hlzjt", *p); p++) n += *p == '*';
    return n;
}

/* Like vsnprintf, but a value between quotes ('%s', "%s", '%.*s') is cut after 80 bytes and gets "..", so that a long value
 * from a file or a user does not push out the rest of the line. Other text, such as a path, is cut after 320 bytes. */
enum { TN_PATH_MOST = 320 };
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
void tn_message(char *out, size_t cap, const char *fmt, va_list ap) {
    size_t at = 0;
    va_list values;
    va_copy(values, ap);
    for (const char *p = fmt; *p && at + 1 < cap;) {
        if (p[0] != '%' || p[1] == '%') {
            out[at++] = *p;
            p += p[0] == '%' ? 2 : 1;
            continue;
        }
        int star[2] = {0, 0}, n_stars = count_stars(p), n = 0;
        for (int i = 0; i < n_stars && i < 2; i++) star[i] = va_arg(values, int);
        char before = p > fmt ? p[-1] : 0;
        Spec s;
        p = read_spec(p, star, &s);
        char *to = out + at;
        size_t left = cap - at;
        switch (s.conversion) {
        case 's': {
            const char *text = va_arg(values, const char *);
            bool quoted = (before == '\'' || before == '"') && *p == before;
            size_t whole = strcmp(fmt, "%s") != 0 && strcmp(s.text, "%s") == 0 ? strlen(text) : 0;
            if (!quoted && whole > TN_PATH_MOST) { /* cut a path that would leave no room for the error */
                for (n = TN_PATH_MOST; n && ((unsigned char)text[n] & 0xc0) == 0x80;) n--;
                n = snprintf(to, left, "%.*s..", n, text);
                break;
            }
            if (!quoted) {
                n = snprintf(to, left, s.text, text);
                break;
            }
            size_t len = s.precision < 0 ? strlen(text) : strnlen(text, (size_t)s.precision);
            n = snprintf(to, left, "%s", tn_shown_n(text, len).s);
            break;
        }
        case 'c':
            n = snprintf(to, left, s.text, va_arg(values, int));
            break;
        case 'p':
            n = snprintf(to, left, s.text, va_arg(values, void *));
            break;
        case 'a':
        case 'e':
        case 'f':
        case 'g':
            n = snprintf(to, left, s.text, va_arg(values, double));
            break;
        default: /* whole numbers; size_t and friends are as wide as long long or long */
            n = s.length == 0                         ? snprintf(to, left, s.text, va_arg(values, int))
                : s.length == 1                       ? snprintf(to, left, s.text, va_arg(values, long))
                : sizeof(size_t) == sizeof(long long) ? snprintf(to, left, s.text, va_arg(values, long long))
                                                      : snprintf(to, left, s.text, va_arg(values, long));
            break;
        }
        if (n > 0) at += (size_t)n < left ? (size_t)n : left - 1;
    }
    va_end(values);
    out[at] = 0;
}
#pragma GCC diagnostic pop

TernStatus(tn_fail)(TernError *err, TernStatus code, const char *fmt, ...) {
    if (!err) return code;
    char text[2048]; /* not err->text itself, because an argument may point into it */
    va_list ap;
    va_start(ap, fmt);
    tn_message(text, sizeof text, fmt, ap);
    va_end(ap);
    err->code = code;
    sanitise(err->text, sizeof err->text, text);
    return code;
}

TernStatus(tn_fail_in)(TernError *err, TernStatus code, const char *fmt, ...) {
    if (!err) return code;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    tn_message(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t at = strlen(text);
    snprintf(text + at, sizeof text - at, ": %s", err->text);
    sanitise(err->text, sizeof err->text, text);
    return err->code;
}

void tn_bug(const char *file, int line, const char *fmt, ...) {
    char text[1024], safe[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sanitise(safe, sizeof safe, text);
    fprintf(stderr, "tern: bug: %s:%d: %s\n", file, line, safe);
    signal(SIGABRT,
           SIG_DFL); /* the program's handler would blame the compiler's libraries; this abort is ours */
    abort();
}
