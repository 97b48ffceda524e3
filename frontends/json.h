/* jansson with its failures handled. A call that makes or stores a value can fail for lack of memory (as
 * everywhere in Tern: a line, exit 1), or because json cannot express the value. The latter is handled here:
 * in text that is not UTF-8 the bad bytes become ?, and numbers that are not finite become null. */
#ifndef TN_JSON_H
#define TN_JSON_H

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/escape.h"

static inline json_t *tn_json_made(json_t *value) {
    if (!value) tn_out_of_memory(sizeof(void *));
    return value;
}
static inline json_t *tn_json_object(void) {
    return tn_json_made(json_object());
}
static inline json_t *tn_json_array(void) {
    return tn_json_made(json_array());
}
static inline json_t *tn_json_int(uint64_t v) {
    return tn_json_made(json_integer((json_int_t)v));
}
static inline json_t *tn_json_real(double v) {
    return isfinite(v) ? tn_json_made(json_real(v)) : json_null();
}
static inline json_t *tn_json_text(const char *s) {
    size_t left = strlen(s), n;
    char *copy = tn_xcalloc(left + 1, 1), *to = copy;
    for (; left; s += n, left -= n) {
        n = tn_utf8(s, left);
        memcpy(to, n ? s : "?", n ? n : 1);
        to += n ? n : 1;
        if (!n) n = 1;
    }
    json_t *text = tn_json_made(json_string(copy));
    free(copy);
    return text;
}
/* Both take ownership of the value. */
static inline void tn_json_set(json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, tn_json_made(value)) != 0) tn_out_of_memory(sizeof(void *));
}
static inline void tn_json_push(json_t *array, json_t *value) {
    if (json_array_append_new(array, tn_json_made(value)) != 0) tn_out_of_memory(sizeof(void *));
}
/* Appends the text, which is safe to print on a terminal, and frees the value. */
static inline void tn_json_put(json_t *value, size_t flags, TnBuf *out) {
    char *text = json_dumps(value, flags);
    if (!text) tn_out_of_memory(sizeof(void *));
    json_decref(value);
    tn_put_json_text(text, strlen(text), out);
    free(text);
}
/* The same with a newline at its end. */
static inline void tn_json_end(json_t *value, size_t flags, TnBuf *out) {
    tn_json_put(value, flags, out);
    tn_buf_puts(out, "\n");
}

#endif
