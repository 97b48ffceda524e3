/* Finds stop strings in a text that comes in pieces.
 *
 * Of the text so far, it holds back the longest suffix that is a proper prefix of a stop string. A stop string that is
 * completed later must begin there or after it, so bytes that were given out are never looked at again. */
#include <stdlib.h>
#include <string.h>
#include "runtime/base/options.h"
#include "runtime/base/status.h"
#include "runtime/text/text.h"
#include "runtime/text/utf8.h"

enum { STOPS_MOST = 256, STOP_BYTES_MOST = 4096 };

struct TernStops {
    size_t n, stopped;       /* stopped: the one that ended the text, or TERN_NO_STOP */
    size_t shown, held, cap; /* buf[shown .. shown + held) is held back; the caller may still read below it */
    char *buf, *bytes;       /* bytes: of all stop strings */
    TernText stops[];        /* they point into `bytes` */
};

static TernStatus check_stop(const TernText *stop, size_t i, TernError *err) {
    if (!stop->data) return tn_fail(err, TERN_ERR_INPUT, "stops[%zu].data is NULL, expected a text", i);
    if (stop->size == 0 || stop->size > STOP_BYTES_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "stops[%zu] has %zu bytes, expected 1 to %d", i, stop->size,
                       STOP_BYTES_MOST);
    for (size_t at = 0; at < stop->size;) {
        uint32_t point;
        int partial, n = tn_utf8_next((const uint8_t *)stop->data + at, stop->size - at, &point, &partial);
        if (n == 0)
            return tn_fail(err, TERN_ERR_INPUT, "stops[%zu] has the byte 0x%02x at %zu, expected UTF-8", i,
                           (uint8_t)stop->data[at], at);
        at += (size_t)n;
    }
    return TERN_OK;
}

TernStatus tern_stops_create(const TernText *stops, size_t n, TernStops **out_stops, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_stops, err);
    *out_stops = NULL;
    if (n) TN_NEED(stops, err);
    if (n > STOPS_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "n is %zu stop strings, expected at most %d", n, STOPS_MOST);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        TN_TRY(check_stop(&stops[i], i, err));
        bytes += stops[i].size;
    }
    TernStops *s = calloc(1, sizeof *s + n * sizeof *s->stops + bytes);
    if (!s) return tn_fail(err, TERN_ERR_MEMORY, "no memory for %zu stop strings", n);
    s->n = n;
    s->stopped = TERN_NO_STOP;
    s->bytes = (char *)(s->stops + n);
    for (size_t i = 0, at = 0; i < n; at += stops[i++].size) {
        memcpy(s->bytes + at, stops[i].data, stops[i].size);
        s->stops[i] = (TernText){s->bytes + at, stops[i].size};
    }
    *out_stops = s;
    return TERN_OK;
}

void tern_stops_destroy(TernStops *stops) {
    if (!stops) return;
    free(stops->buf);
    free(stops);
}

/* The longest stop string that ends at byte n of the buffer. */
static size_t find_end(const TernStops *s, size_t n) {
    size_t found = TERN_NO_STOP;
    for (size_t i = 0; i < s->n; i++) {
        TernText t = s->stops[i];
        if (t.size > n || t.data[t.size - 1] != s->buf[n - 1]) continue;
        if (memcmp(s->buf + n - t.size, t.data, t.size) != 0) continue;
        if (found == TERN_NO_STOP || t.size > s->stops[found].size) found = i;
    }
    return found;
}

/* How many of the last of the first `n` bytes may be the beginning of a stop string. */
static size_t count_open(const TernStops *s, size_t n) {
    size_t most = 0;
    for (size_t i = 0; i < s->n; i++) {
        TernText t = s->stops[i];
        for (size_t k = t.size - 1 < n ? t.size - 1 : n; k > most; k--)
            if (s->buf[n - k] == t.data[0] && memcmp(s->buf + n - k, t.data, k) == 0) most = k;
    }
    return most;
}

static bool append(TernStops *s, const char *bytes, size_t size) {
    size_t need = s->held + size;
    if (need > s->cap) {
        size_t cap = need < 256 ? 256 : need + need / 2;
        char *buf = realloc(s->buf, cap);
        if (!buf) return false;
        s->buf = buf;
        s->cap = cap;
    }
    if (s->held) memmove(s->buf, s->buf + s->shown, s->held);
    if (size) memcpy(s->buf + s->held, bytes, size);
    return true;
}

TernStatus tern_stops_push(TernStops *s, const char *bytes, size_t size, const char **out_bytes,
                           size_t *out_size, size_t *out_stop, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_bytes, err);
    TN_NEED(out_size, err);
    TN_NEED(out_stop, err);
    *out_bytes = "";
    *out_size = 0;
    *out_stop = TERN_NO_STOP;
    if (!s) return tn_fail_null("stops", err);
    if (size) TN_NEED(bytes, err);
    *out_stop = s->stopped;
    if (s->stopped != TERN_NO_STOP || s->held + size == 0) return TERN_OK;
    if (!append(s, bytes, size))
        return tn_fail(err, TERN_ERR_MEMORY, "no memory to look for stop strings in %zu bytes",
                       s->held + size);
    size_t n = s->held + size;
    for (size_t i = s->held + 1; i <= n && s->stopped == TERN_NO_STOP; i++) {
        s->stopped = find_end(s, i);
        if (s->stopped != TERN_NO_STOP) n = i - s->stops[s->stopped].size;
    }
    s->held = s->stopped == TERN_NO_STOP ? count_open(s, n) : 0;
    s->shown = n - s->held;
    *out_bytes = s->buf;
    *out_size = s->shown;
    *out_stop = s->stopped;
    return TERN_OK;
}

void tern_stops_flush(TernStops *s, const char **out_bytes, size_t *out_size) {
    if (out_bytes) *out_bytes = "";
    if (out_size) *out_size = 0;
    if (!s || !out_bytes || !out_size || s->held == 0) return;
    *out_bytes = s->buf + s->shown;
    *out_size = s->held;
    s->shown = s->held = 0;
}
