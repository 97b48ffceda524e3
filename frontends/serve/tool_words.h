/* The words around calls of tools, for tools.c, which says what the formats are, and tool_stream.c. */
#ifndef TN_SERVE_TOOL_WORDS_H
#define TN_SERVE_TOOL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#define TN_CALL_OPEN  "<tool_call>"
#define TN_CALL_CLOSE "</tool_call>"
/* What an answer that is calls from its beginning may begin with; "", which is the last: nothing but the JSON. */
static const char *const tn_call_words[] = {"[TOOL_CALLS]", "<|python_tag|>", ""};

static inline bool tn_is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* How many blanks the bytes begin with. */
static inline size_t tn_blanks(const char *bytes, size_t n) {
    size_t at = 0;
    while (at < n && tn_is_blank(bytes[at])) at++;
    return at;
}

#endif
