/* Log probabilities of tokens as OpenAI's two endpoints write them:
 *
 *   chat         {"content": [{"token", "logprob", "bytes", "top_logprobs": [{"token", "logprob", "bytes"}, ..]}, ..]}
 *   completions  {"tokens": [..], "token_logprobs": [..], "top_logprobs": [{token: logprob, ..}, ..], "text_offset": [..]}
 *
 * A token that ends the answer is left out. Text may be held back for a while, so an event has the tokens since the last
 * one, or null, and the last event what is left. Offsets count characters, as if tokens stood one after the other. */
#include <string.h>
#include "frontends/serve/serve.h"
#include "runtime/base/escape.h"

#define LEAST (-9999.0) /* JSON has no infinity; OpenAI's own number for it */

static void put_number(TnBuf *out, double v) {
    tn_buf_printf(out, "%.9g", v > LEAST ? v : LEAST);
}

static bool is_text(TernText t) {
    size_t at = 0, n;
    while (at < t.size && (n = tn_utf8(t.data + at, t.size - at))) at += n;
    return at == t.size;
}

/* ---- Chat */

static void put_one(TnBuf *out, const TernVocab *vocab, const TernLogprob *l) {
    TernText t = tern_token_get_bytes(vocab, l->id);
    tn_buf_puts(out, "{\"token\": ");
    tn_put_string(out, t.data, t.size);
    tn_buf_puts(out, ", \"logprob\": ");
    put_number(out, l->logprob);
    tn_buf_puts(out, ", \"bytes\": [");
    for (size_t i = 0; i < t.size; i++)
        tn_buf_printf(out, "%s%u", i ? ", " : "", (unsigned)(unsigned char)t.data[i]);
    tn_buf_puts(out, "]");
}

static void add_content(TnOdds *o, const TernVocab *vocab, const TernPiece *p) {
    tn_buf_puts(&o->content, o->n_tokens ? ", " : "");
    put_one(&o->content, vocab, &p->logprobs[0]);
    tn_buf_puts(&o->content, ", \"top_logprobs\": [");
    for (size_t i = 1; i < p->n_logprobs; i++) {
        tn_buf_puts(&o->content, i > 1 ? ", " : "");
        put_one(&o->content, vocab, &p->logprobs[i]);
        tn_buf_puts(&o->content, "}");
    }
    tn_buf_puts(&o->content, "]}");
}

/* ---- Completions */

/* Without a tokenizer, and for bytes that are no characters, a name stands for the token. */
static void put_name(TnBuf *out, const TernVocab *vocab, int32_t id) {
    TernText t = vocab ? tern_token_get_bytes(vocab, id) : (TernText){NULL, 0};
    if (vocab && is_text(t)) {
        tn_put_string(out, t.data, t.size);
        return;
    }
    tn_buf_puts(out, vocab ? "\"bytes:" : "\"token_id:");
    for (size_t i = 0; i < t.size; i++) tn_buf_printf(out, "\\\\x%02x", (unsigned)(unsigned char)t.data[i]);
    if (!vocab) tn_buf_printf(out, "%d", id);
    tn_buf_puts(out, "\"");
}

/* Two tokens may have one text. An object has each name once: that of the better one. */
static bool named_before(const TernVocab *vocab, const TernLogprob *list, size_t n, int32_t id) {
    TernText t = vocab ? tern_token_get_bytes(vocab, id) : (TernText){NULL, 0};
    for (size_t i = 0; i < n; i++) {
        TernText u = vocab ? tern_token_get_bytes(vocab, list[i].id) : t;
        if (list[i].id == id || (vocab && t.size == u.size && memcmp(t.data, u.data, t.size) == 0))
            return true;
    }
    return false;
}

/* The best ones, and the token itself if it is none of them. */
static void put_top(TnBuf *out, const TernVocab *vocab, const TernPiece *p) {
    const TernLogprob *best = p->logprobs + 1;
    size_t n = p->n_logprobs - 1, written = 0;
    tn_buf_puts(out, "{");
    for (size_t i = 0; i <= n; i++) {
        const TernLogprob *l = i < n ? &best[i] : &p->logprobs[0];
        if (named_before(vocab, best, i, l->id)) continue;
        tn_buf_puts(out, written++ ? ", " : "");
        put_name(out, vocab, l->id);
        tn_buf_puts(out, ": ");
        put_number(out, l->logprob);
    }
    tn_buf_puts(out, "}");
}

static size_t count_characters(const TernVocab *vocab, int32_t id) {
    TernText t = vocab ? tern_token_get_bytes(vocab, id) : (TernText){NULL, 0};
    size_t n = 0;
    for (size_t i = 0; i < t.size; i++) n += ((unsigned char)t.data[i] & 0xc0) != 0x80;
    return n;
}

static void add_lists(TnOdds *o, const TernVocab *vocab, const TernPiece *p) {
    TnBuf *const lists[] = {&o->tokens, &o->logprobs, &o->top, &o->offset};
    for (size_t i = 0; o->n_tokens && i < TN_COUNT(lists); i++) tn_buf_puts(lists[i], ", ");
    put_name(&o->tokens, vocab, p->id);
    put_number(&o->logprobs, p->logprobs[0].logprob);
    put_top(&o->top, vocab, p);
    tn_buf_printf(&o->offset, "%zu", o->at);
    o->at += count_characters(vocab, p->id);
}

/* ---- Both */

void tn_odds_add(TnChoice *c, const TernPiece *p) {
    const TnPlan *plan = &c->call->plan;
    const TernVocab *vocab = plan->model->vocab;
    if (!p->n_logprobs || (vocab && !plan->ignore_eos && tern_token_is_eog(vocab, p->id))) return;
    if (plan->logprob_lists)
        add_lists(&c->odds, vocab, p);
    else
        add_content(&c->odds, vocab, p);
    c->odds.n_tokens++;
}

static void put_list(TnBuf *out, const char *name, TnBuf *list) {
    tn_buf_printf(out, "%s\": [", name);
    if (list->len) tn_buf_put(out, list->data, list->len);
    tn_buf_puts(out, "]");
    list->len = 0;
}

void tn_put_odds(TnBuf *out, TnChoice *c) {
    TnOdds *o = &c->odds;
    const TnPlan *plan = &c->call->plan;
    if (!plan->logprobs || (plan->stream && !o->n_tokens)) {
        tn_buf_puts(out, "null");
        return;
    }
    if (plan->logprob_lists) {
        put_list(out, "{\"tokens", &o->tokens);
        put_list(out, ", \"token_logprobs", &o->logprobs);
        put_list(out, ", \"top_logprobs", &o->top);
        put_list(out, ", \"text_offset", &o->offset);
    } else {
        put_list(out, "{\"content", &o->content);
    }
    tn_buf_puts(out, plan->logprob_lists ? "}" : ", \"refusal\": null}");
    o->n_tokens = 0;
}

void tn_odds_free(TnOdds *o) {
    TnBuf *const all[] = {&o->content, &o->tokens, &o->logprobs, &o->top, &o->offset};
    for (size_t i = 0; i < TN_COUNT(all); i++) tn_buf_free(all[i]);
}
