/* The text of an answer as it is shown. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "frontends/cli/chat_verb.h"

#define DIM   "\033[2m"
#define PLAIN "\033[0m"

static const char opens[] = "<think>", closes[] = "</think>";

bool screen_colors(int fd) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

Screen screen_open(bool hide) {
    const char *term = getenv("TERM");
    bool spinner = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    return (Screen){.hide = hide, .color = screen_colors(STDOUT_FILENO), .spinner = spinner};
}

void screen_close(Screen *s) {
    tn_buf_free(&s->out);
}

/* ---- Spinner */

static void wipe(Screen *s) {
    if (s->spun) fputs("\r\033[K", stderr);
    s->spun = false;
}

void screen_spin(Screen *s) {
    static const char frames[] = "|/-\\";
    double now = tn_os_seconds();
    if (!s->spinner || !s->newline || (s->spun && now - s->last < 0.1)) return;
    s->last = now;
    s->spun = true;
    fprintf(stderr, "\r%c%s", frames[s->frame++ % 4], s->thinking ? " thinking" : "");
}

/* ---- Text */

static void show(Screen *s, const char *bytes, size_t n) {
    if (s->hide && s->thinking) return;
    for (; s->blanks && n && strchr(" \n\r\t", *bytes); n--) bytes++;
    if (n == 0) return;
    s->blanks = false;
    tn_buf_put(&s->out, bytes, n);
    s->newline = bytes[n - 1] == '\n';
}

static void color(Screen *s, const char *code) {
    if (s->color && !s->hide) tn_buf_puts(&s->out, code);
}

static void think(Screen *s, bool on) {
    if (on) {
        color(s, DIM);
        s->thinking = true;
    }
    show(s, s->held, s->n_held);
    if (!on) {
        color(s, PLAIN);
        s->thinking = false;
        s->blanks = s->hide;
    }
    s->n_held = 0;
}

static void put(Screen *s, char byte) {
    s->held[s->n_held++] = byte;
    const char *tag = s->thinking ? closes : opens;
    while (s->n_held && strncmp(s->held, tag, s->n_held) != 0) {
        show(s, s->held, 1);
        memmove(s->held, s->held + 1, --s->n_held);
    }
    if (s->n_held == strlen(tag)) think(s, !s->thinking);
}

static void flush(Screen *s) {
    if (s->out.len) {
        wipe(s);
        fwrite(s->out.data, 1, s->out.len, stdout);
        fflush(stdout);
    }
    s->out.len = 0;
}

void screen_begin(Screen *s, bool thinking) {
    s->thinking = false;
    s->blanks = false;
    s->newline = true;
    s->n_held = 0;
    if (!thinking) return;
    color(s, DIM);
    s->thinking = true;
}

void screen_text(Screen *s, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) put(s, text[i]);
    flush(s);
}

void screen_end(Screen *s) {
    show(s, s->held, s->n_held);
    s->n_held = 0;
    if (s->thinking) color(s, PLAIN);
    if (!s->newline) tn_buf_puts(&s->out, "\n");
    flush(s);
    wipe(s);
}
