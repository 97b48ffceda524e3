/* A conversation: messages become a prompt, the picks of a sequence become a message. The prompt's ids are kept in
 * step with the cache of the conversation's slot by rendered.c. */
#include "runtime/generate/conversation.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "runtime/base/arena.h"
#include "runtime/base/options.h"
#include "runtime/base/os.h"
#include "runtime/generate/messages.h"
#include "runtime/generate/rendered.h"
#include "runtime/generate/sequence.h"

struct TernConversation {
    TernGenerator *generator;
    TernSlot *slot;
    TernChatTemplate *chat;
    char *tools, *variables; /* JSON, or NULL */
    TernConversationOptions o;
    TnMessages messages;
    TnRendered rendered;
    size_t n_dropped;

    /* the answer that is running */
    TernSequence *sequence;    /* NULL: none */
    size_t drop_from, drop_to; /* messages that it does without; they go when it has come */
    TernPieceFn *piece;
    void *user;
    bool special; /* the text that is given out has control tokens in it */
    TnBuf text;
    int32_t *ids;
    size_t n_ids, cap_ids;
};

/* ---- Made and destroyed */

enum { RESERVE_MOST = 256, RESERVE_PART = 8 };

static const TnField conversation_fields[] = {
    TN_FIELD(TernConversationOptions, chat_template), TN_FIELD(TernConversationOptions, tools),
    TN_FIELD(TernConversationOptions, variables),     TN_FIELD(TernConversationOptions, full),
    TN_FIELD(TernConversationOptions, reserve),       TN_FIELD(TernConversationOptions, now)};
static const TnShape conversation_shape = TN_SHAPE(TernConversationOptions, conversation_fields);

static TernStatus take_text(const char *field, TernText *text, char **keep, TernError *err) {
    if (!text->data && text->size)
        return tn_fail(err, TERN_ERR_INPUT, "TernConversationOptions.%s is NULL although its size is %zu",
                       field, text->size);
    if (!text->data) return TERN_OK;
    *keep = tn_xcalloc(text->size + 1, 1);
    if (text->size) memcpy(*keep, text->data, text->size);
    text->data = *keep;
    return TERN_OK;
}

static TernStatus check_options(const TernConversation *c, TernError *err) {
    const TernConversationOptions *o = &c->o;
    if (o->full != TERN_FULL_STOP && o->full != TERN_FULL_DROP)
        return tn_fail(err, TERN_ERR_INPUT, "TernConversationOptions.full is %d, expected 0 or 1",
                       (int)o->full);
    if (o->reserve >= c->generator->context)
        return tn_fail(
            err, TERN_ERR_INPUT,
            "TernConversationOptions.reserve is %u positions, expected fewer than the context's %u",
            o->reserve, c->generator->context);
    if (!o->chat_template.data && o->chat_template.size)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernConversationOptions.chat_template is NULL although its size is %zu",
                       o->chat_template.size);
    return TERN_OK;
}

static TernStatus open_template(TernConversation *c, TernError *err) {
    TernText source = c->o.chat_template;
    bool own = !source.data;
    if (own) source = tern_vocab_get_facts(c->generator->vocab).chat_template;
    if (source.size == 0)
        return tn_fail(err, own ? TERN_ERR_UNSUPPORTED : TERN_ERR_INPUT, "%s",
                       own ? "the model has no chat template: give one" : "the chat template is empty");
    TernStatus st = tern_chat_template_create(source, &c->chat, err);
    c->o.chat_template = (TernText){NULL, 0};
    return st == TERN_OK ? st : tn_fail_in(err, st, "the chat template");
}

static TernStatus fill(TernConversation *c, TernError *err) {
    TN_TRY(tn_generator_check_idle(c->generator, err));
    if (!c->generator->vocab)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "the model has no tokenizer, which a conversation needs");
    TN_TRY(check_options(c, err));
    TN_TRY(take_text("tools", &c->o.tools, &c->tools, err));
    TN_TRY(take_text("variables", &c->o.variables, &c->variables, err));
    if (c->o.reserve == 0) {
        c->o.reserve = c->generator->context / RESERVE_PART;
        if (c->o.reserve > RESERVE_MOST) c->o.reserve = RESERVE_MOST;
    }
    if (c->o.now == 0) c->o.now = (int64_t)time(NULL);
    TN_TRY(open_template(c, err));
    tn_rendered_open(&c->rendered, c->generator->vocab);
    return tern_slot_create(c->generator, &c->slot, err);
}

TernStatus tern_conversation_create(TernGenerator *g, const TernConversationOptions *options,
                                    TernConversation **out, TernError *err) {
    TernConversationOptions o = {.size = sizeof o};
    tn_error_clear(err);
    TN_NEED(out, err);
    if (!g) return tn_fail_null("generator", err);
    TN_TRY(tn_options_take(&conversation_shape, options, &o, err));
    TernConversation *c = calloc(1, sizeof *c);
    if (!c) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a conversation");
    c->generator = g;
    c->o = o;
    TernStatus st = fill(c, err);
    if (st == TERN_OK)
        *out = c;
    else
        tern_conversation_destroy(c);
    return st;
}

void tern_conversation_destroy(TernConversation *c) {
    if (!c) return;
    tern_sequence_destroy(c->sequence);
    tern_slot_destroy(c->slot);
    tern_chat_template_destroy(c->chat);
    tn_rendered_free(&c->rendered);
    tn_messages_free(&c->messages);
    tn_buf_free(&c->text);
    free(c->tools);
    free(c->variables);
    free(c->ids);
    free(c);
}

/* ---- Messages */

static TernStatus check_idle(const TernConversation *c, TernError *err) {
    tn_error_clear(err);
    if (!c) return tn_fail_null("conversation", err);
    if (!c->sequence) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "an answer is running, expected tern_conversation_end before this call");
}

size_t tern_conversation_count(const TernConversation *c) {
    return c ? c->messages.n : 0;
}

TernMessage tern_conversation_message(const TernConversation *c, size_t index) {
    if (!c || index >= c->messages.n) return (TernMessage){NULL, {NULL, 0}};
    const TnMessage *m = &c->messages.v[index];
    return (TernMessage){m->role, {m->content, m->n}};
}

TernStatus tern_conversation_add(TernConversation *c, const char *role, TernText content, TernError *err) {
    TN_TRY(check_idle(c, err));
    TN_NEED(role, err);
    if (content.size) TN_NEED(content.data, err);
    return tn_messages_insert(&c->messages, c->messages.n, role, content, err);
}

static bool has_system(const TernConversation *c) {
    return c->messages.n > 0 && strcmp(c->messages.v[0].role, "system") == 0;
}

TernStatus tern_conversation_set_system(TernConversation *c, TernText content, TernError *err) {
    TN_TRY(check_idle(c, err));
    if (content.size) TN_NEED(content.data, err);
    bool had = has_system(c);
    if (content.size) TN_TRY(tn_messages_insert(&c->messages, 0, "system", content, err));
    if (had) tn_messages_remove(&c->messages, content.size ? 1 : 0, content.size ? 2 : 1);
    return TERN_OK;
}

TernStatus tern_conversation_undo(TernConversation *c, TernError *err) {
    TN_TRY(check_idle(c, err));
    size_t at = tn_messages_last_turn(&c->messages);
    if (at == c->messages.n) return tn_fail(err, TERN_ERR_INPUT, "there is no turn to undo");
    tn_messages_remove(&c->messages, at, c->messages.n);
    return TERN_OK;
}

TernStatus tern_conversation_undo_answer(TernConversation *c, TernError *err) {
    TN_TRY(check_idle(c, err));
    size_t at = tn_messages_last_turn(&c->messages);
    if (at == c->messages.n) return tn_fail(err, TERN_ERR_INPUT, "there is no message to answer again");
    tn_messages_remove(&c->messages, at + 1, c->messages.n);
    return TERN_OK;
}

TernStatus tern_conversation_clear(TernConversation *c, TernError *err) {
    TN_TRY(check_idle(c, err));
    tn_messages_remove(&c->messages, has_system(c), c->messages.n);
    return TERN_OK;
}

/* ---- Files */

TernStatus tern_conversation_save(const TernConversation *c, const char *path, TernError *err) {
    TN_TRY(check_idle(c, err));
    TN_NEED(path, err);
    TnWriter w;
    TnBuf json = {0};
    TN_TRY(tn_writer_open(path, &w, err));
    tn_messages_print(&c->messages, 0, 0, &json);
    TernStatus st = tn_writer_put(&w, json.data, json.len, err);
    if (st == TERN_OK) st = tn_writer_commit(&w, err);
    tn_buf_free(&json);
    return st;
}

enum { FILE_MOST = 1 << 28 };

static TernStatus read_messages(TernText json, const char *name, TnMessages *out, TernError *err) {
    TN_NEED(name, err);
    if (!json.data) return tn_fail_null("json.data", err);
    return tn_messages_read(out, json.data, json.size, name, err);
}

TernStatus tern_conversation_load(TernConversation *c, const char *path, TernError *err) {
    TN_TRY(check_idle(c, err));
    TN_NEED(path, err);
    char *json = NULL;
    size_t n = 0;
    TN_TRY(tn_file_read(path, FILE_MOST, &json, &n, err));
    TernStatus st = tern_conversation_load_text(c, (TernText){json, n}, path, err);
    free(json);
    return st;
}

TernStatus tern_conversation_load_text(TernConversation *c, TernText json, const char *name, TernError *err) {
    TnMessages messages = {0};
    TN_TRY(check_idle(c, err));
    TN_TRY(read_messages(json, name, &messages, err));
    tn_messages_free(&c->messages);
    c->messages = messages;
    return TERN_OK;
}

TernStatus tern_messages_check(TernText json, const char *name, TernError *err) {
    TnMessages messages = {0};
    tn_error_clear(err);
    TN_TRY(read_messages(json, name, &messages, err));
    tn_messages_free(&messages);
    return TERN_OK;
}

/* ---- The prompt */

/* Renders the messages without those of [from, to). */
static TernStatus render(const TernConversation *c, size_t from, size_t to, TnRendered *out, TernError *err) {
    const TernVocab *v = c->generator->vocab;
    TernVocabFacts facts = tern_vocab_get_facts(v);
    TnBuf json = {0};
    TernChatInput in = TERN_CHAT_INPUT;
    TernChatText text = {NULL, 0, NULL, 0};
    tn_messages_print(&c->messages, from, to, &json);
    in.messages = (TernText){json.data, json.len};
    in.tools = c->o.tools;
    in.extra = c->o.variables;
    in.bos = tern_token_get_bytes(v, facts.bos);
    in.eos = tern_token_get_bytes(v, facts.eos);
    in.add_generation_prompt = 1;
    in.now = c->o.now;
    TernStatus st = tern_chat_render(c->chat, &in, &text, err);
    if (st == TERN_OK)
        st = tn_rendered_set(out, &text, err);
    else
        (void)tn_fail_in(err, st, "the chat template");
    tern_chat_text_free(&text);
    tn_buf_free(&json);
    return st;
}

static bool fits(const TernConversation *c, const TnRendered *r, uint32_t reserve) {
    return r->n_ids + reserve <= c->generator->context;
}

static TernStatus too_long(const TernConversation *c, const TnRendered *r, uint32_t reserve, TernError *err) {
    return tn_fail(err, TERN_ERR_INPUT,
                   "%s: %zu tokens and %u for an answer, but the context has %u positions",
                   c->o.full == TERN_FULL_DROP ? "the last turn is too long" : "the context is full",
                   r->n_ids, reserve, c->generator->context);
}

/* Renders without the oldest turns, one more at a time, until it fits: into a text of its own, so that a message which never
 * fits costs the others neither their ids nor their cache. */
static TernStatus drop_turns(TernConversation *c, uint32_t reserve, TnRendered *fewer, TernError *err) {
    const TnRendered *now = &c->rendered;
    size_t last = tn_messages_last_turn(&c->messages);
    while (!fits(c, now, reserve)) {
        if (c->drop_to >= last) return too_long(c, now, reserve, err);
        c->drop_to = tn_messages_next_turn(&c->messages, c->drop_to);
        c->n_dropped++;
        TN_TRY(render(c, c->drop_from, c->drop_to, fewer, err));
        now = fewer;
    }
    return TERN_OK;
}

/* Renders as many of the turns, the last ones, as fit into the context. */
static TernStatus fit(TernConversation *c, uint32_t max_tokens, TernError *err) {
    uint32_t reserve = c->o.reserve;
    if (max_tokens && max_tokens < reserve) reserve = max_tokens;
    c->n_dropped = 0;
    c->drop_from = c->drop_to = tn_messages_first_turn(&c->messages);
    TN_TRY(render(c, 0, 0, &c->rendered, err));
    if (fits(c, &c->rendered, reserve)) return TERN_OK;
    if (c->o.full == TERN_FULL_STOP) return too_long(c, &c->rendered, reserve, err);
    TnRendered fewer;
    tn_rendered_open(&fewer, c->generator->vocab);
    TernStatus st = drop_turns(c, reserve, &fewer, err);
    if (st != TERN_OK) {
        tn_rendered_free(&fewer);
        return st;
    }
    tn_rendered_free(&c->rendered);
    c->rendered = fewer;
    return TERN_OK;
}

TernStatus tern_conversation_ids(TernConversation *c, const int32_t **out_ids, size_t *out_n,
                                 TernError *err) {
    TN_TRY(check_idle(c, err));
    TN_NEED(out_ids, err);
    TN_NEED(out_n, err);
    TN_TRY(render(c, 0, 0, &c->rendered, err));
    *out_ids = c->rendered.ids;
    *out_n = c->rendered.n_ids;
    return TERN_OK;
}

size_t tern_conversation_dropped(const TernConversation *c) {
    return c ? c->n_dropped : 0;
}

/* ---- The answer */

static int hear(void *user, const TernPiece *p) {
    TernConversation *c = user;
    if (p->id != TERN_NO_TOKEN) TN_PUSH(c->ids, c->n_ids, c->cap_ids, p->id);
    if (p->size) tn_buf_put(&c->text, p->text, p->size);
    return c->piece ? c->piece(c->user, p) : 0;
}

static TernStatus check_how(const TernRequest *r, TernError *err) {
    const char *set = r->text.data || r->text.size ? "text"
                      : r->ids || r->n_ids         ? "ids"
                      : r->plain                   ? "plain"
                      : r->parse_special           ? "parse_special"
                      : r->slot                    ? "slot"
                                                   : NULL;
    if (!set) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "TernRequest.%s is set, expected none: the conversation has its own",
                   set);
}

TernStatus tern_conversation_begin(TernConversation *c, const TernRequest *how, TernPieceFn *piece,
                                   void *user, TernError *err) {
    TernRequest r = TERN_REQUEST;
    TN_TRY(check_idle(c, err));
    TN_TRY(tn_generator_check_idle(c->generator, err));
    TN_TRY(tn_request_take(how, &r, err));
    TN_TRY(check_how(&r, err));
    TN_TRY(fit(c, r.max_tokens, err));
    r.ids = c->rendered.ids;
    r.n_ids = c->rendered.n_ids;
    r.slot = c->slot;
    c->piece = piece;
    c->user = user;
    c->special = r.special;
    c->text.len = c->n_ids = 0;
    return tern_sequence_create(c->generator, &r, hear, c, &c->sequence, err);
}

int tern_conversation_running(const TernConversation *c) {
    return c && tn_sequence_runs(c->sequence);
}

void tern_conversation_cancel(TernConversation *c) {
    if (c) tern_sequence_cancel(c->sequence);
}

/* Whether the ids, with the names of control tokens, spell the text. They do not if a control token was picked and not
 * shown, or a stop string was taken out. */
static bool spells(const TernVocab *v, const int32_t *ids, size_t n_ids, TernText text) {
    size_t n = 0;
    char *bytes = tn_xcalloc(text.size + 1, 1);
    bool same = tern_decode(v, ids, n_ids, TERN_DECODE_CONTROL, bytes, text.size, &n, NULL) == TERN_OK &&
                n == text.size && (n == 0 || memcmp(bytes, text.data, n) == 0);
    free(bytes);
    return same;
}

/* A message has no control tokens, also if the caller saw them. */
static TernStatus hide_special(TernConversation *c, size_t n_ids, TernError *err) {
    const TernVocab *v = c->generator->vocab;
    size_t n = 0;
    TN_TRY(tern_decode(v, c->ids, n_ids, 0, NULL, 0, &n, err));
    c->text.len = 0;
    char *text = tn_buf_grow(&c->text, n);
    return n ? tern_decode(v, c->ids, n_ids, 0, text, n, &n, err) : TERN_OK;
}

static TernStatus add_answer(TernConversation *c, TernEnd end, TernError *err) {
    TnBuf clean = {0};
    size_t n_ids = c->n_ids - (end == TERN_END_TOKEN);
    if (c->special && end != TERN_END_STOP) TN_TRY(hide_special(c, n_ids, err));
    bool odd = tn_put_utf8(c->text.data, c->text.len, &clean);
    TernText text = {clean.data, clean.len};
    TernStatus st = tn_messages_insert(&c->messages, c->messages.n, "assistant", text, err);
    if (st == TERN_OK && !odd && spells(c->generator->vocab, c->ids, n_ids, text))
        tn_rendered_add(&c->rendered, text, c->ids, n_ids);
    if (st == TERN_OK) tn_messages_remove(&c->messages, c->drop_from, c->drop_to);
    tn_buf_free(&clean);
    return st;
}

TernStatus tern_conversation_end(TernConversation *c, TernGenerated *out, TernError *err) {
    TernGenerated got = {.size = sizeof got};
    tn_error_clear(err);
    if (!c) return tn_fail_null("conversation", err);
    TN_TRY(tn_generator_check_idle(c->generator, err));
    if (!c->sequence)
        return tn_fail(err, TERN_ERR_INPUT, "no answer is running, expected tern_conversation_begin");
    if (out) TN_TRY(tern_sequence_get(c->sequence, out, err)); /* refuses a wrong size */
    tern_sequence_cancel(c->sequence);
    tn_sequence_heed(c->sequence);
    (void)tern_sequence_get(c->sequence, &got, NULL);
    if (out) (void)tern_sequence_get(c->sequence, out, NULL);
    TernStatus st = tern_sequence_status(c->sequence, err);
    tern_sequence_destroy(c->sequence);
    c->sequence = NULL;
    return st == TERN_OK && got.n_out ? add_answer(c, got.end, err) : st;
}

TernStatus tern_conversation_answer(TernConversation *c, const TernRequest *how, TernPieceFn *piece,
                                    void *user, TernGenerated *out, TernError *err) {
    TN_TRY(tern_conversation_begin(c, how, piece, user, err));
    TernStatus st = out ? tern_sequence_get(c->sequence, out, err) : TERN_OK;
    while (st == TERN_OK && tern_conversation_running(c)) st = tern_generator_step(c->generator, err);
    if (st == TERN_OK) return tern_conversation_end(c, out, err);
    tern_sequence_destroy(c->sequence);
    c->sequence = NULL;
    return st;
}

TernStatus tern_conversation_ask(TernConversation *c, TernText message, const TernRequest *how,
                                 TernPieceFn *piece, void *user, TernGenerated *out, TernError *err) {
    TN_TRY(tern_conversation_add(c, "user", message, err));
    TernStatus st = tern_conversation_answer(c, how, piece, user, out, err);
    size_t last = c->messages.n - 1;
    if (strcmp(c->messages.v[last].role, "user") == 0) tn_messages_remove(&c->messages, last, last + 1);
    return st;
}
