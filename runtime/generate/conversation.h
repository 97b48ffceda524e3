/* A conversation with a model: messages in, answers out, and nothing computed twice. Part of libterngenerate.
 *
 * The messages are made into text by a chat template (text/chat.h), and the text into ids. What the user typed never becomes
 * a control token. A conversation has a slot of the generator to itself and leaves its cache there (TernSlot), so an answer
 * runs only the ids that are new since the last one: the time to its first token does not grow with the history. The ids
 * of an answer stay as the model picked them, so they are not run again even if the tokenizer would cut the text otherwise.
 * A message that the template shows in another way later (some drop the thoughts of earlier answers) is run again from the
 * first id that differs.
 *
 * A whole program without its includes (tests compile and run it: tests/cli/example_chat.c):
 *
 *   static int print(void *user, const TernPiece *p) { return fwrite(p->text, 1, p->size, (FILE *)user) != p->size; }
 *
 *   TernError err; TernPool *pool; TernModel *model; TernGenerator *g; TernConversation *chat; char line[1000];
 *   if (tern_pool_create(NULL, &pool, &err) || tern_model_open("m.tern", NULL, &model, &err) ||
 *       tern_generator_create(model, pool, NULL, &g, &err) || tern_conversation_create(g, NULL, &chat, &err))
 *       return fprintf(stderr, "%s\n", err.text), 1;
 *   while (fgets(line, sizeof line, stdin)) {
 *       TernText text = {line, strcspn(line, "\n")};
 *       if (tern_conversation_ask(chat, text, NULL, print, stdout, NULL, &err)) fprintf(stderr, "%s\n", err.text);
 *       putchar('\n');
 *   }
 *   tern_conversation_destroy(chat); tern_generator_destroy(g); tern_model_close(model); tern_pool_destroy(pool);
 *
 * Errors, option structs and pointers are as in tern.h. A conversation belongs to the thread of its generator. */
#ifndef TERN_CONVERSATION_H
#define TERN_CONVERSATION_H

#include "../text/chat.h"
#include "generate.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct TernConversation TernConversation;

/* What happens when the messages and an answer do not fit into the context. A turn is a message of the user with what
 * follows it up to the next one. */
typedef enum TernFull {
    TERN_FULL_STOP = 0, /* the next answer is refused */
    TERN_FULL_DROP =
        1 /* the oldest turns are dropped, whole, until it fits; messages before the first turn stay */
} TernFull;

typedef struct TernConversationOptions {
    size_t size;
    TernText chat_template; /* its source; default: the model's, and an error if it has none */
    TernText tools;         /* JSON: a list, for the template; default: none */
    TernText variables;     /* JSON: an object of further variables of the template; default: none */
    TernFull full;
    uint32_t
        reserve; /* positions that an answer must have; default: 1/8 of the context, at most 256. A smaller
                         TernRequest.max_tokens counts instead */
    int64_t now; /* for strftime_now: seconds since 1970; default: the clock's, now and for all answers */
} TernConversationOptions;

/* Takes a free slot of the generator, which must have a tokenizer and outlive the conversation. TERN_ERR_UNSUPPORTED if
 * there is no template. The options are copied. */
TERN_API TernStatus tern_conversation_create(TernGenerator *generator, const TernConversationOptions *options,
                                             TernConversation **out, TernError *err);
/* At any time between steps; NULL is fine. */
TERN_API void tern_conversation_destroy(TernConversation *conversation);

/* ---- messages */
typedef struct TernMessage {
    const char *role; /* "system", "user", "assistant", "tool" or another that the template knows */
    TernText content; /* UTF-8 */
} TernMessage;

TERN_API size_t tern_conversation_count(const TernConversation *conversation);
/* The message with that index; role NULL beyond the last. Borrowed until the messages change. */
TERN_API TernMessage tern_conversation_message(const TernConversation *conversation, size_t index);
/* Adds a message at the end. TERN_ERR_INPUT for an empty role and for text that is not UTF-8. An answer must not be
 * running, here and in the calls below. */
TERN_API TernStatus tern_conversation_add(TernConversation *conversation, const char *role, TernText content,
                                          TernError *err);
/* The message of role "system" at the beginning; no text removes it. */
TERN_API TernStatus tern_conversation_set_system(TernConversation *conversation, TernText content,
                                                 TernError *err);
/* Removes the last turn. TERN_ERR_INPUT if there is none. */
TERN_API TernStatus tern_conversation_undo(TernConversation *conversation, TernError *err);
/* Removes what follows the last message of the user, so that it can be answered again. TERN_ERR_INPUT if there is none. */
TERN_API TernStatus tern_conversation_undo_answer(TernConversation *conversation, TernError *err);
/* Removes all messages but the system message. */
TERN_API TernStatus tern_conversation_clear(TernConversation *conversation, TernError *err);

/* Messages as JSON, a list of {"role": .., "content": ..}, one on a line, in UTF-8. A saved file replaces the old one whole
 * or not at all; it gives the same bytes when it is loaded and saved again. Load replaces all messages, or none: it
 * refuses anything else in the file, and the line says where. */
TERN_API TernStatus tern_conversation_save(const TernConversation *conversation, const char *path,
                                           TernError *err);
TERN_API TernStatus tern_conversation_load(TernConversation *conversation, const char *path, TernError *err);
/* The same from the text of a file that was read already; lines about it begin with `name`. And only the check, which needs
 * no model. */
TERN_API TernStatus tern_conversation_load_text(TernConversation *conversation, TernText json,
                                                const char *name, TernError *err);
TERN_API TernStatus tern_messages_check(TernText json, const char *name, TernError *err);

/* ---- answers
 *
 * `how` says how to generate; its prompt (text, ids, plain, parse_special) and slot must not be set. NULL: TERN_REQUEST.
 * The answer becomes a message of role "assistant", also if it was cancelled after its first id, or ended by a limit. If it
 * failed, or was cancelled before its first id, the messages are as before. Bytes that are not UTF-8 become U+FFFD in the
 * message, and control tokens are not in it, whatever TernRequest.special says. */

/* Adds a message of the user and answers it. If that fails or gives no id, the message is removed again. out may be NULL. */
TERN_API TernStatus tern_conversation_ask(TernConversation *conversation, TernText message,
                                          const TernRequest *how, TernPieceFn *piece, void *user,
                                          TernGenerated *out, TernError *err);
/* Answers the messages as they are. */
TERN_API TernStatus tern_conversation_answer(TernConversation *conversation, const TernRequest *how,
                                             TernPieceFn *piece, void *user, TernGenerated *out,
                                             TernError *err);
/* The same in parts, for programs that step the generator themselves: after begin, step while tern_conversation_running,
 * then end. Refused as TERN_ERR_INPUT: a conversation that does not fit into the context, and what the template refuses. */
TERN_API TernStatus tern_conversation_begin(TernConversation *conversation, const TernRequest *how,
                                            TernPieceFn *piece, void *user, TernError *err);
TERN_API int tern_conversation_running(const TernConversation *conversation);
/* Ends it now if it still runs, as a cancel does. */
TERN_API TernStatus tern_conversation_end(TernConversation *conversation, TernGenerated *out, TernError *err);
/* Ends the running answer before its next step. Only from the generator's thread; tern_generator_cancel is for others. */
TERN_API void tern_conversation_cancel(TernConversation *conversation);

/* How many turns the last answer was begun without. They leave the messages when the answer is added. */
TERN_API size_t tern_conversation_dropped(const TernConversation *conversation);
/* The ids that the next answer would begin with: the messages, and what the template puts before an answer. Borrowed until
 * the next call. */
TERN_API TernStatus tern_conversation_ids(TernConversation *conversation, const int32_t **out_ids,
                                          size_t *out_n, TernError *err);

#ifdef __cplusplus
}
#endif
#endif
