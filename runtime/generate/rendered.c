/* See rendered.h. */
#include "runtime/generate/rendered.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"

void tn_rendered_open(TnRendered *r, const TernVocab *vocab) {
    TernVocabFacts facts = tern_vocab_get_facts(vocab);
    int32_t id[16];
    size_t n = 0;
    *r = (TnRendered){.vocab = vocab, .bos = facts.bos};
    r->adds_bos = facts.add_bos && facts.bos != TERN_NO_TOKEN;
    if (tern_encode(vocab, "a", 1, 0, id, TN_COUNT(id), &n, NULL) == TERN_OK && n) {
        TernText bytes = tern_token_get_bytes(vocab, id[0]);
        r->adds_space = bytes.size && bytes.data[0] == ' ';
    }
}

void tn_rendered_free(TnRendered *r) {
    tn_buf_free(&r->text);
    free(r->spans);
    free(r->ids);
    free(r->marks);
    *r = (TnRendered){0};
}

/* ---- What two texts share */

/* The kind of the text's bytes, run by run. */
typedef struct Walk {
    const TernChatSpan *span;
    size_t left;
} Walk;

static void walk(Walk *w, size_t n) {
    w->left -= n;
    if (w->left == 0) w->left = (++w->span)->size;
}

static size_t count_shared(const TnRendered *r, const TernChatText *t) {
    size_t most = r->text.len < t->size ? r->text.len : t->size, same = 0, at = 0;
    while (same < most && r->text.data[same] == t->data[same]) same++;
    Walk a = {r->spans, same ? r->spans->size : 0}, b = {t->spans, same ? t->spans->size : 0};
    while (at < same && a.span->user == b.span->user) {
        size_t n = a.left < b.left ? a.left : b.left;
        if (n >= same - at) return same;
        at += n;
        walk(&a, n);
        walk(&b, n);
    }
    return at;
}

/* ---- A new text */

/* The text from a place on, with its spans, which the caller frees. */
static TernChatText rest_of(const TernChatText *t, size_t from) {
    TernChatText rest = {.data = t->data + from, .size = t->size - from};
    rest.spans = tn_xcalloc(t->n_spans + 1, sizeof *rest.spans);
    for (size_t i = 0, at = 0; i < t->n_spans; at += t->spans[i++].size) {
        size_t skip = from > at ? from - at : 0;
        if (skip >= t->spans[i].size) continue;
        rest.spans[rest.n_spans++] = (TernChatSpan){t->spans[i].user, t->spans[i].size - skip};
    }
    return rest;
}

static void want_ids(TnRendered *r, size_t n) {
    if (n <= r->cap_ids) return;
    r->cap_ids = n + n / 2;
    r->ids = tn_xrealloc(r->ids, r->cap_ids * sizeof *r->ids);
}

static void mark(TnRendered *r) {
    TnMark m = {r->text.len, r->n_ids};
    if (r->n_marks && r->marks[r->n_marks - 1].text == m.text) r->n_marks--;
    TN_PUSH(r->marks, r->n_marks, r->cap_marks, m);
}

static void take_text(TnRendered *r, const TernChatText *t) {
    r->text.len = 0;
    tn_buf_put(&r->text, t->data, t->size);
    r->n_spans = 0;
    for (size_t i = 0; i < t->n_spans; i++) TN_PUSH(r->spans, r->n_spans, r->cap_spans, t->spans[i]);
}

/* Whether the ids may stand after those before the mark as if the text had not been cut there. */
static bool may_cut(const TnRendered *r, TnMark m, const int32_t *rest, size_t n) {
    return !r->adds_space || m.ids == 0 || n == 0 ||
           tern_token_get_type(r->vocab, rest[0]) == TERN_TOKEN_CONTROL;
}

static TernStatus encode_rest(TnRendered *r, const TernChatText *t, size_t n_marks, bool *out_cut,
                              TernError *err) {
    TnMark at = n_marks ? r->marks[n_marks - 1] : (TnMark){0, 0};
    TernChatText rest = rest_of(t, at.text);
    size_t most = tern_encode_most(r->vocab, rest.size), n = 0;
    int32_t *ids = tn_xcalloc(most + 1, sizeof *ids);
    TernStatus st = tern_chat_encode(r->vocab, &rest, ids, most, &n, err);
    *out_cut = st == TERN_OK && may_cut(r, at, ids, n);
    if (*out_cut) {
        want_ids(r, at.ids + n + 1);
        if (at.ids == 0 && r->adds_bos && !(n && ids[0] == r->bos)) r->ids[at.ids++] = r->bos;
        if (n) memcpy(r->ids + at.ids, ids, n * sizeof *ids);
        r->n_ids = at.ids + n;
        r->n_marks = n_marks;
        take_text(r, t);
        mark(r);
    }
    free(ids);
    free(rest.spans);
    return st;
}

TernStatus tn_rendered_set(TnRendered *r, const TernChatText *t, TernError *err) {
    size_t shared = count_shared(r, t), n = r->n_marks;
    bool cut = false;
    while (n > 0 && r->marks[n - 1].text > shared) n--;
    do TN_TRY(encode_rest(r, t, n, &cut, err));
    while (!cut && n-- > 0);
    return TERN_OK;
}

void tn_rendered_add(TnRendered *r, TernText answer, const int32_t *ids, size_t n_ids) {
    if (answer.size == 0) return;
    tn_buf_put(&r->text, answer.data, answer.size);
    if (r->n_spans && r->spans[r->n_spans - 1].user)
        r->spans[r->n_spans - 1].size += answer.size;
    else
        TN_PUSH(r->spans, r->n_spans, r->cap_spans, ((TernChatSpan){true, answer.size}));
    want_ids(r, r->n_ids + n_ids);
    if (n_ids) memcpy(r->ids + r->n_ids, ids, n_ids * sizeof *ids);
    r->n_ids += n_ids;
    mark(r);
}
