/* The messages of a conversation: a list, its JSON, and files of it. Part of conversation.h. */
#ifndef TN_GENERATE_MESSAGES_H
#define TN_GENERATE_MESSAGES_H

#include <stdbool.h>
#include "runtime/base/buf.h"
#include "runtime/base/status.h"
#include "runtime/text/text.h"

typedef struct TnMessage {
    char *role, *content; /* UTF-8; NUL after both */
    size_t n;             /* bytes of the content */
} TnMessage;

typedef struct TnMessages {
    TnMessage *v;
    size_t n, cap;
} TnMessages;

/* Inserts a copy before the message `at`. TERN_ERR_INPUT for an empty role, and for bytes that are not UTF-8. */
TernStatus tn_messages_insert(TnMessages *m, size_t at, const char *role, TernText content, TernError *err);
void tn_messages_remove(TnMessages *m, size_t from, size_t to); /* [from, to) */
void tn_messages_free(TnMessages *m);

/* Where the first turn begins: after the messages at the beginning that are not the user's; n if there is no turn. */
size_t tn_messages_first_turn(const TnMessages *m);
/* The next message of the user after `at`; n if there is none. */
size_t tn_messages_next_turn(const TnMessages *m, size_t at);
/* The last message of the user; n if there is none. */
size_t tn_messages_last_turn(const TnMessages *m);

/* Appends the messages as JSON, one on a line, without those of [from, to). */
void tn_messages_print(const TnMessages *m, size_t from, size_t to, TnBuf *out);
/* Reads what tn_messages_print wrote into an empty list; `name` is that of the file, for messages. */
TernStatus tn_messages_read(TnMessages *m, const char *json, size_t size, const char *name, TernError *err);

/* Appends the bytes with U+FFFD in the place of those that are not UTF-8. Returns whether there were any. */
bool tn_put_utf8(const char *bytes, size_t n, TnBuf *out);

#endif
