/* Messages from lines: of the editor, of a plain terminal, or of a pipe. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include "frontends/cli/chat_verb.h"

#define PROMPT ">"
#define MORE   "."

Input input_open(bool history) {
    Input in = {.terminal = isatty(STDIN_FILENO), .color = screen_colors(STDERR_FILENO)};
    if (in.terminal && isatty(STDERR_FILENO)) in.edit = edit_open(history, in.color);
    return in;
}

void input_close(Input *in) {
    edit_close(in->edit);
    tn_buf_free(&in->bytes);
}

/* ---- Lines without an editor. A signal must end the wait, so stdio will not do: its reads go on after one. */

static InputKind more_bytes(Input *in) {
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    char chunk[4096];
    for (;;) {
        if (signal_status()) return INPUT_BROKEN;
        if (poll(&fd, 1, 200) <= 0) continue; /* no longer: a signal may come just before the wait */
        ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return INPUT_END;
        tn_buf_put(&in->bytes, chunk, (size_t)n);
        return INPUT_TEXT;
    }
}

static InputKind plain_line(Input *in, const char *prompt, TnBuf *out) {
    if (in->terminal) fprintf(stderr, "%s ", prompt);
    for (size_t seen = in->at;;) {
        const char *end =
            in->bytes.len > seen ? memchr(in->bytes.data + seen, '\n', in->bytes.len - seen) : NULL;
        bool last = in->ended && in->bytes.len > in->at;
        if (end || last) {
            size_t to = end ? (size_t)(end - in->bytes.data) : in->bytes.len;
            tn_buf_put(out, in->bytes.data + in->at, to - in->at);
            in->at = end ? to + 1 : to;
            return INPUT_TEXT;
        }
        if (in->ended) return INPUT_END;
        if (in->at) memmove(in->bytes.data, in->bytes.data + in->at, in->bytes.len -= in->at);
        in->at = 0;
        seen = in->bytes.len;
        InputKind kind = more_bytes(in);
        if (kind == INPUT_BROKEN) return kind;
        in->ended = kind == INPUT_END;
    }
}

/* ---- Messages */

static InputKind line(Input *in, const char *prompt, TnBuf *out) {
    if (in->edit) return edit_line(in->edit, prompt, out);
    InputKind kind = plain_line(in, prompt, out);
    if (kind != INPUT_TEXT && in->terminal) fputs("\n", stderr);
    return kind;
}

InputKind input_read(Input *in, TnBuf *out) {
    const char *prompt = PROMPT;
    out->len = 0;
    for (;;) {
        size_t from = out->len;
        InputKind kind = line(in, prompt, out);
        tn_buf_puts(out, "");
        if (kind == INPUT_BROKEN || (kind == INPUT_END && from == 0)) return kind;
        if (kind == INPUT_END) break; /* the end of input ends the last message */
        if (out->len > from && out->data[out->len - 1] == '\r') out->data[--out->len] = '\0';
        if (out->len == from || out->data[out->len - 1] != '\\') break;
        out->data[out->len - 1] = '\n';
        prompt = MORE;
    }
    if (in->edit) edit_remember(in->edit, out->data);
    return INPUT_TEXT;
}
