/* Reads a script (scripted.h). */
#include <stdlib.h>
#include <string.h>
#include "support/scripted.h"

enum { MOST_PIECES = 256, NONE = -1 };
static const float begins = 10, follows = 100, latest = 5;

typedef struct Script {
    TnScripted *s;
    int32_t end;
    TnBuf controls; /* ids */
} Script;

static int hex(char c) {
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 32) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Appends what the text up to `stop`, or to its end, stands for. Returns where it stopped, or NULL. */
static const char *unescape(const char *at, const char *end, char stop, TnBuf *out) {
    static const char from[] = "nt\\|:", to[] = "\n\t\\|:";
    for (; at < end && *at != stop; at++) {
        if (*at != '\\') {
            tn_buf_put(out, at, 1);
            continue;
        }
        if (++at == end) return NULL;
        const char *known = strchr(from, *at);
        if (known && *known) {
            tn_buf_put(out, to + (known - from), 1);
        } else if (*at == 'x' && end - at > 2 && hex(at[1]) >= 0 && hex(at[2]) >= 0) {
            tn_buf_put(out, &(char){(char)(16 * hex(at[1]) + hex(at[2]))}, 1);
            at += 2;
        } else {
            return NULL;
        }
    }
    return at;
}

static bool is_control(const Script *r, const char *bytes, size_t size, int32_t *id) {
    for (size_t i = 0; i + sizeof *id <= r->controls.len; i += sizeof *id) {
        const char *name;
        size_t n;
        memcpy(id, r->controls.data + i, sizeof *id);
        tn_scripted_spelling(r->s, *id, &name, &n);
        if (n == size && memcmp(name, bytes, n) == 0) return true;
    }
    return false;
}

static bool read_pieces(Script *r, const char *at, const char *end, int32_t *ids, size_t *n) {
    for (*n = 0; at < end; at++) {
        TnBuf piece = {0};
        at = unescape(at, end, '|', &piece);
        bool ok = at && piece.len && *n < MOST_PIECES;
        if (ok && !is_control(r, piece.data, piece.len, &ids[*n]))
            ids[*n] = tn_scripted_token(r->s, TN_SCRIPTED_PIECE, piece.data, piece.len);
        tn_buf_free(&piece);
        if (!ok) return false;
        for (size_t i = 0; i < *n; i++)
            if (ids[i] == ids[*n]) return false; /* what follows it would not be clear */
        ++*n;
    }
    return true;
}

/* say TRIGGER: PIECE|PIECE */
static bool read_answer(Script *r, const char *at, const char *end) {
    TnBuf trigger = {0};
    int32_t when = NONE, ids[MOST_PIECES + 1];
    size_t n;
    while (at < end && *at == ' ') at++;
    at = unescape(at, end, ':', &trigger);
    bool ok = at && at < end && r->end != NONE;
    while (trigger.len && trigger.data[trigger.len - 1] == ' ') trigger.len--;
    if (ok && trigger.len) when = tn_scripted_token(r->s, TN_SCRIPTED_TRIGGER, trigger.data, trigger.len);
    tn_buf_free(&trigger);
    if (!ok) return false;
    at++;
    if (at < end && *at == ' ') at++;
    if (!read_pieces(r, at, end, ids, &n)) return false;
    ids[n] = r->end;
    tn_scripted_after(r->s, NONE, ids[0], begins);
    for (size_t i = 0; i < n; i++) tn_scripted_after(r->s, ids[i], ids[i + 1], follows);
    for (size_t i = 0; i <= n; i++) tn_scripted_during(r->s, when, ids[i], latest);
    return true;
}

static bool starts(const char **at, const char *end, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(end - *at) < n || memcmp(*at, word, n) != 0) return false;
    *at += n;
    return true;
}

static bool read_line(Script *r, const char *at, const char *end) {
    if (at == end || *at == '#') return true;
    bool last = starts(&at, end, "end ");
    if (last || starts(&at, end, "control ")) {
        if (at == end) return false;
        int32_t id =
            tn_scripted_token(r->s, last ? TN_SCRIPTED_END : TN_SCRIPTED_CONTROL, at, (size_t)(end - at));
        tn_buf_put(&r->controls, &id, sizeof id);
        if (last && r->end == NONE) r->end = id;
        return true;
    }
    return starts(&at, end, "say") && at < end && (*at == ' ' || *at == ':') && read_answer(r, at, end);
}

bool tn_scripted_read(TnScripted *s, const char *text, size_t *line) {
    Script r = {.s = s, .end = NONE};
    bool ok = true;
    for (*line = 1; ok; ++*line) {
        size_t n = strcspn(text, "\n");
        ok = read_line(&r, text, text + n);
        if (!ok || !text[n]) break;
        text += n + 1;
    }
    tn_buf_free(&r.controls);
    return ok;
}
