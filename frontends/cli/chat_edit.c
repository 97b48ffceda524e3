/* Line editing and history by libedit.
 *
 * libedit reads characters through a function of ours, which lets a signal end the wait. It knows nothing of bracketed
 * paste: the terminal puts ESC [ 200 ~ and ESC [ 201 ~ around what is pasted, and the first of them is bound to a function
 * that takes everything up to the second as text, newlines too. */
#include <stdlib.h>
#include "frontends/cli/chat_verb.h"

#ifdef TERN_LIBEDIT
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

enum { ENTRIES_MOST = 500, ENTRY_BYTES_MOST = 4096 };

struct Edit {
    EditLine *line;
    History *history;
    FILE *screen;
    bool color;
    char shown[64];  /* the prompt */
    char path[4096]; /* of the history; "": it is not kept */
    mbstate_t partial;
};

static char *prompt_of(EditLine *line) {
    Edit *e;
    el_get(line, EL_CLIENTDATA, &e);
    return e->shown;
}

static int get_char(EditLine *line, wchar_t *out) {
    Edit *e;
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    el_get(line, EL_CLIENTDATA, &e);
    for (;;) {
        char byte;
        if (signal_status()) return -1;
        if (poll(&fd, 1, 200) <= 0) continue;
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return (int)got;
        size_t n = mbrtowc(out, &byte, 1, &e->partial);
        if (n == (size_t)-2) continue;
        if (n == (size_t)-1) {
            memset(&e->partial, 0, sizeof e->partial);
            *out = 0xfffd;
        }
        return 1;
    }
}

/* ---- Pasted text */

typedef struct Wide {
    wchar_t *v;
    size_t n, cap;
} Wide;

static bool ends_paste(const Wide *w) {
    static const wchar_t end[] = L"\033[201~";
    size_t n = TN_COUNT(end) - 1;
    return w->n >= n && wmemcmp(w->v + w->n - n, end, n) == 0;
}

static unsigned char paste(EditLine *line, int unused) {
    Wide w = {0};
    wchar_t c;
    bool whole = false;
    (void)unused;
    while (!whole && el_wgetc(line, &c) == 1) {
        TN_PUSH(w.v, w.n, w.cap, c);
        whole = ends_paste(&w);
    }
    if (whole) w.n -= 6;
    size_t n = 0;
    for (size_t i = 0; i < w.n; i++) {
        bool newline = w.v[i] == L'\r' || w.v[i] == L'\n';
        if (w.v[i] == L'\n' && i && w.v[i - 1] == L'\r') continue;
        if (newline || w.v[i] == L'\t' || (w.v[i] >= 0x20 && w.v[i] != 0x7f))
            w.v[n++] = newline ? L'\n' : w.v[i];
    }
    TN_PUSH(w.v, n, w.cap, L'\0');
    bool fits = el_winsertstr(line, w.v) == 0 || n == 1;
    free(w.v);
    return fits ? CC_REFRESH : CC_ERROR;
}

/* ---- Opened and closed */

static void open_history(Edit *e) {
    HistEvent ev;
    e->history = history_init();
    if (!e->history) return;
    history(e->history, &ev, H_SETSIZE, ENTRIES_MOST);
    history(e->history, &ev, H_SETUNIQUE, 1);
    if (cache_path("chat-history", e->path, sizeof e->path))
        history(e->history, &ev, H_LOAD, e->path);
    else
        *e->path = '\0';
    el_set(e->line, EL_HIST, history, e->history);
}

/* libedit's own format. Failures do not matter. */
static void save_history(const Edit *e) {
    HistEvent ev;
    char folders[sizeof e->path], temp[sizeof e->path + 32];
    if (!e->history || !*e->path) return;
    memcpy(folders, e->path, sizeof folders);
    make_folders(folders);
    snprintf(temp, sizeof temp, "%s.tmp-%ld", e->path, (long)getpid());
    if (history(e->history, &ev, H_SAVE, temp) < 0 || rename(temp, e->path) != 0) unlink(temp);
}

static bool is_utf8(void) {
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

Edit *edit_open(bool keep, bool color) {
    const char *term = getenv("TERM");
    if (!term || strcmp(term, "dumb") == 0) return NULL;
    setlocale(LC_CTYPE, "");
    if (!is_utf8()) setlocale(LC_CTYPE, "C.UTF-8");
    Edit *e = tn_xcalloc(1, sizeof *e);
    int fd = dup(STDERR_FILENO);
    e->screen = fd < 0 ? NULL : fdopen(fd, "w");
    e->line = e->screen ? el_init("tern", stdin, e->screen, e->screen) : NULL;
    if (!e->line) {
        edit_close(e);
        return NULL;
    }
    el_set(e->line, EL_CLIENTDATA, e);
    el_set(e->line, color ? EL_PROMPT_ESC : EL_PROMPT, prompt_of, '\1');
    e->color = color;
    el_set(e->line, EL_EDITOR, "emacs");
    el_set(e->line, EL_GETCFN, get_char);
    el_set(e->line, EL_ADDFN, "tern-paste", "take a pasted block as text", paste);
    el_set(e->line, EL_BIND, "\\e[200~", "tern-paste", NULL);
    el_set(e->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    if (keep) open_history(e);
    return e;
}

void edit_close(Edit *e) {
    if (!e) return;
    save_history(e);
    if (e->line) el_end(e->line);
    if (e->history) history_end(e->history);
    if (e->screen) fclose(e->screen);
    free(e);
}

/* ---- Lines */

InputKind edit_line(Edit *e, const char *prompt, TnBuf *out) {
    int n = 0;
    /* libedit puts a sequence in front of the character that follows it, so the prompt's blank comes last */
    snprintf(e->shown, sizeof e->shown, e->color ? "\1\033[1;32m\1%s\1\033[0m\1 " : "%s ", prompt);
    fputs("\033[?2004h", e->screen);
    el_resize(e->line);
    const char *text = el_gets(e->line, &n);
    fputs("\033[?2004l", e->screen);
    if (signal_status() || !text || n <= 0) fputs("\n", e->screen);
    fflush(e->screen);
    if (signal_status()) return INPUT_BROKEN;
    if (!text || n <= 0) return INPUT_END;
    if (text[n - 1] == '\n') n--;
    tn_buf_put(out, text, (size_t)n);
    return INPUT_TEXT;
}

void edit_remember(Edit *e, const char *message) {
    HistEvent ev;
    size_t n = strlen(message);
    if (e->history && n > 0 && n <= ENTRY_BYTES_MOST) history(e->history, &ev, H_ENTER, message);
}

#else

Edit *edit_open(bool keep, bool color) {
    (void)keep, (void)color;
    return NULL;
}

void edit_close(Edit *e) {
    (void)e;
}

InputKind edit_line(Edit *e, const char *prompt, TnBuf *out) {
    (void)e, (void)prompt, (void)out;
    return INPUT_END;
}

void edit_remember(Edit *e, const char *message) {
    (void)e, (void)message;
}

#endif
