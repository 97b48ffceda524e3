/* Chat templates: from messages to the text and the tokens that a model was trained on. Part of libterntext; this part
 * needs libc and jansson.
 *
 * A template is Jinja. It is rendered as Hugging Face renders it: sandboxed and immutable (no append, no names with a leading
 * underscore), trim_blocks, lstrip_blocks, break and continue, the `generation` tag, raise_exception, strftime_now, and a
 * tojson that leaves characters as they are. What jinja2 refuses is refused. docs/chat.md has the language and what this
 * interpreter lacks.
 *
 *     TernChatTemplate *chat;
 *     tern_chat_template_create(tern_vocab_get_facts(vocab).chat_template, &chat, &err);
 *     TernChatInput in = TERN_CHAT_INPUT;
 *     in.messages = text of [{"role": "user", "content": "Hi"}];
 *     in.bos = tern_token_get_bytes(vocab, facts.bos);
 *     TernChatText out;
 *     tern_chat_render(chat, &in, &out, &err);
 *     tern_chat_encode(vocab, &out, ids, cap, &n, &err);
 *     tern_chat_text_free(&out);
 *     tern_chat_template_destroy(chat);
 *
 * Whose text it is. Each byte of the output is the template's or the user's, and tern_chat_encode makes control tokens only of
 * the template's. So a user who types "<|im_end|>" sends that text and does not end the turn. The user's are the bytes of
 * every string and key in messages and tools, through slices, methods, filters, tojson, joins and macros. The template's
 * are its own text and strings, bos, eos, the strings in `extra`, dates, and what is made from numbers. One exception: the
 * role of a message counts as the template's if it is a usual one (system, developer, user, assistant, tool, function,
 * ipython, model, observation), because some templates make "<|user|>" from it. A template that tests characters and
 * prints its own ("{% if c == '<' %}<{% endif %}") prints the template's. */
#ifndef TERN_TEXT_CHAT_H
#define TERN_TEXT_CHAT_H

#include "text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A template that was read. It never changes, and any number of threads may render it at once. */
typedef struct TernChatTemplate TernChatTemplate;

/* Copies what it needs of the source. TERN_ERR_INPUT for one that is not UTF-8, not Jinja, nested too deep or longer than
 * 4 MiB; the line begins with "line N: ". */
TERN_API TernStatus tern_chat_template_create(TernText source, TernChatTemplate **out_template,
                                              TernError *err);
TERN_API void tern_chat_template_destroy(TernChatTemplate *chat); /* NULL is fine */

/* Templates by name, for models whose file has none: chatml, llama3, bitnet and so on. tern_chat_template_find is empty
 * (data NULL) for a name that is not known; tern_chat_template_name is NULL from the end of the list on. */
TERN_API TernText tern_chat_template_find(const char *name);
TERN_API const char *tern_chat_template_name(size_t index);

/* What is rendered. Everything is borrowed for the call. Keys of JSON keep their order; NaN, an integer beyond
 * 64 bits, half of a surrogate pair and more than 32 MiB are refused. */
typedef struct TernChatInput {
    size_t size;       /* sizeof(TernChatInput) */
    TernText messages; /* JSON: a list of objects with role, content and so on. data NULL: an empty list */
    TernText tools;    /* JSON: a list. data NULL: tools is None, as it is for Hugging Face without tools */
    TernText bos, eos; /* bos_token, eos_token. data NULL: the variable is undefined */
    TernText
        extra; /* JSON: an object of further variables, such as {"enable_thinking": false}. data NULL: none */
    int32_t add_generation_prompt; /* 0 or 1 */
    int64_t now;                   /* for strftime_now: seconds since 1970, shown as UTC */
    uint64_t max_steps;            /* 0: 20,000,000 nodes evaluated or items visited */
    uint64_t max_output;           /* 0: 64 MiB */
    uint64_t max_memory;           /* 0: 1 GiB of values */
} TernChatInput;
/* Positional, so that C++ accepts it; in the order of the fields. */
#define TERN_CHAT_INPUT                                                                                      \
    { sizeof(TernChatInput), {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, 1, 0, 0, 0, 0 }

/* `size` bytes that are all the template's or all the user's. */
typedef struct TernChatSpan {
    bool user;
    size_t size;
} TernChatSpan;
/* The spans cover the text in order, and neighbours differ. */
typedef struct TernChatText {
    char *data; /* UTF-8, with a NUL after its size */
    size_t size;
    TernChatSpan *spans;
    size_t n_spans;
} TernChatText;

/* Fills *out, which tern_chat_text_free empties. TERN_ERR_INPUT: JSON or a value is wrong, the template called
 * raise_exception ("line N: the template refuses: .."), or a bound was passed. TERN_ERR_MEMORY: out of memory. */
TERN_API TernStatus tern_chat_render(const TernChatTemplate *chat, const TernChatInput *input,
                                     TernChatText *out, TernError *err);
TERN_API void tern_chat_text_free(TernChatText *text); /* NULL and an empty one are fine */

/* As tern_encode with TERN_ENCODE_PARSE_SPECIAL and without TERN_ENCODE_ADD_SPECIAL, but a control token is found only where
 * all its bytes are the template's. Text that has none in the user's parts gives the same ids as tern_encode. */
TERN_API TernStatus tern_chat_encode(const TernVocab *vocab, const TernChatText *text, int32_t *ids,
                                     size_t cap, size_t *out_n, TernError *err);

#ifdef __cplusplus
}
#endif
#endif
