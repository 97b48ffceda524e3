/* The keys that clients must show: a file with one a line. A comparison looks at every byte of every key, so its time says
 * nothing about how much of a key was right. */
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"

enum { KEY_MOST = 256, KEYS_MOST = 4096 };

struct TnKeys {
    struct {
        unsigned char bytes[KEY_MOST]; /* zeros after the key */
        size_t n;
    } * v;
    size_t n, cap;
};

static TernStatus add(TnKeys *keys, const char *path, const char *line, size_t n, size_t number,
                      TernError *err) {
    while (n && (line[n - 1] == '\r' || line[n - 1] == ' ' || line[n - 1] == '\t')) n--;
    while (n && (*line == ' ' || *line == '\t')) line++, n--;
    if (n == 0 || *line == '#') return TERN_OK;
    if (n > KEY_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "%s: line %zu: got a key of %zu bytes, expected at most %d", path,
                       number, n, KEY_MOST);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] <= ' ' || (unsigned char)line[i] > '~')
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: line %zu: got byte 0x%02x, expected a key of printable ASCII without blanks",
                           path, number, (unsigned)(unsigned char)line[i]);
    if (keys->n == KEYS_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "%s: got more keys, expected at most %d", path, KEYS_MOST);
    if (keys->n == keys->cap) {
        keys->cap = keys->cap ? keys->cap * 2 : 16;
        keys->v = tn_xrealloc(keys->v, keys->cap * sizeof *keys->v);
    }
    memset(&keys->v[keys->n], 0, sizeof *keys->v);
    memcpy(keys->v[keys->n].bytes, line, n);
    keys->v[keys->n++].n = n;
    return TERN_OK;
}

static TernStatus read_lines(TnKeys *keys, const char *path, const char *text, size_t n, TernError *err) {
    size_t number = 1;
    for (const char *p = text, *end = text + n; p < end; number++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t len = stop ? (size_t)(stop - p) : (size_t)(end - p);
        TN_TRY(add(keys, path, p, len, number, err));
        p += len + 1;
    }
    if (keys->n == 0) return tn_fail(err, TERN_ERR_INPUT, "%s: got no key, expected one a line", path);
    return TERN_OK;
}

TernStatus tn_keys_read(const char *path, TnKeys **out, TernError *err) {
    char *text;
    size_t n;
    TN_TRY(tn_file_read(path, (size_t)1 << 20, &text, &n, err));
    TnKeys *keys = tn_xcalloc(1, sizeof *keys);
    TernStatus st = read_lines(keys, path, text, n, err);
    memset(text, 0, n);
    free(text);
    if (st == TERN_OK)
        *out = keys;
    else
        tn_keys_free(keys);
    return st;
}

size_t tn_keys_find(const TnKeys *keys, const char *key, size_t n) {
    unsigned char shown[KEY_MOST] = {0};
    size_t found = 0;
    memcpy(shown, key, n < KEY_MOST ? n : KEY_MOST);
    for (size_t i = 0; i < keys->n; i++) {
        volatile size_t differ = keys->v[i].n ^ n;
        for (size_t k = 0; k < KEY_MOST; k++) differ |= (size_t)(keys->v[i].bytes[k] ^ shown[k]);
        if (differ == 0) found = i + 1;
    }
    return found;
}

void tn_keys_free(TnKeys *keys) {
    if (!keys) return;
    if (keys->v) memset(keys->v, 0, keys->n * sizeof *keys->v);
    free(keys->v);
    free(keys);
}
