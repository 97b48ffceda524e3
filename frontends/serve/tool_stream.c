/* Calls of tools in an answer that comes piece by piece (the formats are in tools.c).
 *
 * Text goes out as it comes, but for what may begin a call: the first letters of a word such as <tool_call>, and blanks, which
 * are dropped beside calls. A call goes out as soon as its object has begun with its name and its arguments, in this order, and
 * the name is a tool's; then its arguments as they come, without blanks. One in another order waits until it is whole. So does an
 * answer that is bare JSON, which may be data, unless the request asked for a call.
 *
 * All of it depends on the pieces alone. What went out cannot be taken back: a call that breaks off stays one, with the
 * arguments that came, and so does one whose arguments are no JSON or that lacks its last brace or </tool_call>; in an answer
 * that is no stream they stay text. What follows such a call is text, or a call. */
#include <stdlib.h>
#include <string.h>
#include "frontends/serve/serve.h"
#include "frontends/serve/tool_words.h"

typedef enum Place {
    BEGIN, /* nothing but blanks so far */
    TEXT,  /* text, in which <tool_call> may come */
    HEAD,  /* a call's object up to the brace of its arguments; `skip` bytes before it have not gone out */
    ARGUMENTS, /* in them */
    TAIL,      /* blanks after them */
    REST,      /* the rest of the call's object */
    CLOSE,     /* after it: </tool_call> */
    AFTER,     /* after an object of a list */
    WHOLE,     /* a call that is held until it is whole */
} Place;

struct TnToolStream {
    Place place;
    bool tagged, list; /* <tool_call>; a list of calls */
    TnBuf held;        /* what came and is not decided */
    size_t skip;
    TnBuf blanks; /* that may be dropped */
    size_t depth; /* in JSON */
    bool in_string, escaped;
    TnBuf arguments; /* of the call so far */
    TnBuf made;      /* a part that has not gone out, all of it of one kind */
    TnToolPart kind;
    TnToolText t; /* all so far */
    /* of the current call */
    TnCall *call;
    size_t choice;
    TnToolPartFn *give;
    TnBuf *out;
};

static const char tag_open[] = TN_CALL_OPEN, tag_close[] = TN_CALL_CLOSE;

/* ---- Parts */

static void flush(TnToolStream *s) {
    if (s->made.len) s->give(s->call, s->choice, s->kind, s->made.data, s->made.len, s->out);
    s->made.len = 0;
}

static void put(TnToolStream *s, TnToolPart kind, const char *bytes, size_t n) {
    if (s->kind != kind) flush(s);
    s->kind = kind;
    tn_buf_put(&s->made, bytes, n);
}

static void put_raw(TnToolStream *s, const char *bytes, size_t n) {
    if (n == 0) return;
    if (s->t.content.len == 0) s->t.text_at = s->t.n_calls;
    tn_buf_put(&s->t.content, bytes, n);
    put(s, TN_PART_TEXT, bytes, n);
}

/* Blanks wait for what follows them. */
static void put_text(TnToolStream *s, const char *bytes, size_t n) {
    size_t used = n;
    while (used && tn_is_blank(bytes[used - 1])) used--;
    if (used) {
        size_t lead = tn_blanks(bytes, used);
        tn_buf_put(&s->blanks, bytes, lead);
        if (s->blanks.len && (s->t.content.len || !s->t.n_calls)) put_raw(s, s->blanks.data, s->blanks.len);
        s->blanks.len = 0;
        put_raw(s, bytes + lead, used - lead);
    }
    tn_buf_put(&s->blanks, bytes + used, n - used);
}

static void put_call(TnToolStream *s, const char *name, size_t n) {
    TnToolCall c = {{tn_strndup(&s->t.arena, name, n), n}, {"", 0}};
    flush(s);
    TN_PUSH(s->t.calls, s->t.n_calls, s->t.cap_calls, c);
    s->arguments.len = 0;
    s->give(s->call, s->choice, TN_PART_CALL, name, n, s->out);
}

static void put_arguments(TnToolStream *s, const char *bytes, size_t n) {
    tn_buf_put(&s->arguments, bytes, n);
    put(s, TN_PART_ARGUMENTS, bytes, n);
}

static void end_call(TnToolStream *s) {
    TnToolCall *c = &s->t.calls[s->t.n_calls - 1];
    size_t n = s->arguments.len;
    c->arguments = (TernText){tn_strndup(&s->t.arena, n ? s->arguments.data : "", n), n};
    flush(s);
    s->give(s->call, s->choice, TN_PART_END, c->arguments.data, n, s->out);
}

/* Calls that were parsed when they were whole. */
static void put_whole_calls(TnToolStream *s, const TnToolText *whole) {
    for (size_t i = 0; i < whole->n_calls; i++) {
        put_call(s, whole->calls[i].name.data, whole->calls[i].name.size);
        put_arguments(s, whole->calls[i].arguments.data, whole->calls[i].arguments.size);
        end_call(s);
    }
}

static void consume(TnToolStream *s, size_t n) {
    if (n && n < s->held.len) memmove(s->held.data, s->held.data + n, s->held.len - n);
    s->held.len -= n;
    s->skip = 0;
}

/* ---- Places. Each returns whether it went on; false: it needs more bytes. */

/* How much of a word the bytes begin with: all of it, all bytes that there are, or 0. */
static size_t begins(const char *bytes, size_t n, const char *word) {
    size_t size = strlen(word), m = n < size ? n : size;
    return memcmp(bytes, word, m) == 0 ? m : 0;
}

typedef struct Cursor {
    const char *p, *end;
    bool more; /* it ended before it could be told */
} Cursor;

static char next(Cursor *c) {
    c->p += tn_blanks(c->p, (size_t)(c->end - c->p));
    c->more = c->p == c->end;
    return c->more ? 0 : *c->p;
}

static bool take(Cursor *c, char wanted) {
    if (next(c) != wanted || c->more) return false;
    c->p++;
    return true;
}

static bool take_string(Cursor *c, TernText *out) {
    if (!take(c, '"')) return false;
    const char *from = c->p;
    while (c->p < c->end && *c->p != '"' && *c->p != '\\') c->p++;
    c->more = c->p == c->end;
    *out = (TernText){from, (size_t)(c->p - from)};
    return !c->more && *c->p++ == '"';
}

static bool is(TernText t, const char *word) {
    return t.size == strlen(word) && memcmp(t.data, word, t.size) == 0;
}

/* {"name": "f", "arguments": up to the brace that follows. */
static bool take_head(Cursor *c, TernText *name) {
    TernText key;
    if (!take(c, '{') || !take_string(c, &key) || !is(key, "name") || !take(c, ':')) return false;
    if (!take_string(c, name) || !take(c, ',') || !take_string(c, &key)) return false;
    return (is(key, "arguments") || is(key, "parameters")) && take(c, ':') && next(c) == '{' && !c->more;
}

static bool begin(TnToolStream *s) {
    size_t lead = tn_blanks(s->held.data, s->held.len), used = 0;
    tn_buf_put(&s->blanks, s->held.data, lead);
    consume(s, lead);
    if (s->held.len == 0) return false;
    for (size_t i = 0; *tn_call_words[i] && !used; i++) {
        used = begins(s->held.data, s->held.len, tn_call_words[i]);
        if (used == s->held.len) return false;
    }
    Cursor c = {s->held.data + used, s->held.data + s->held.len, false};
    bool list = take(&c, '[');
    char first = next(&c);
    if (c.more) return false;
    s->list = list;
    s->skip = (size_t)(c.p - s->held.data);
    s->place = first != '{' ? TEXT : used || s->call->plan.must_call ? HEAD : WHOLE;
    return true;
}

static bool text(TnToolStream *s) {
    const char *at = s->held.len ? memmem(s->held.data, s->held.len, tag_open, sizeof tag_open - 1) : NULL;
    size_t n = at ? (size_t)(at - s->held.data) : 0;
    while (!at && n < s->held.len && !begins(s->held.data + n, s->held.len - n, tag_open)) n++;
    put_text(s, s->held.data, n);
    consume(s, n);
    if (!at) return false;
    s->place = HEAD;
    s->tagged = true;
    s->skip = sizeof tag_open - 1;
    return true;
}

static bool head(TnToolStream *s) {
    TernText name = {NULL, 0};
    Cursor c = {s->held.data + s->skip, s->held.data + s->held.len, false};
    bool ok = take_head(&c, &name);
    if (!ok && c.more) return false;
    s->place = WHOLE;
    if (!ok || !tn_tools_has(&s->call->plan, name)) return true;
    put_call(s, name.data, name.size);
    consume(s, (size_t)(c.p - s->held.data));
    s->place = ARGUMENTS;
    s->depth = 0;
    return true;
}

/* A byte of JSON. True: it closes the outermost brace. */
static bool closes(TnToolStream *s, char c) {
    if (s->in_string) {
        s->in_string = c != '"' || s->escaped;
        s->escaped = c == '\\' && !s->escaped;
        return false;
    }
    s->in_string = c == '"';
    s->depth += c == '{' || c == '[';
    return (c == '}' || c == ']') && --s->depth == 0;
}

static bool arguments(TnToolStream *s) {
    bool closed = false;
    size_t i = 0;
    for (; i < s->held.len && !closed; i++) {
        char c = s->held.data[i];
        if (s->in_string || !tn_is_blank(c)) put_arguments(s, &c, 1);
        closed = closes(s, c);
    }
    consume(s, i);
    if (!closed) return false;
    end_call(s);
    s->depth = 1;
    s->in_string = s->escaped = false;
    s->place = TAIL;
    return true;
}

static void end_object(TnToolStream *s) {
    s->place = s->tagged ? CLOSE : s->list ? AFTER : TEXT;
}

/* An object that does not go on has lost its brace. */
static bool tail(TnToolStream *s) {
    Cursor c = {s->held.data, s->held.data + s->held.len, false};
    char one = next(&c);
    if (c.more) return false;
    s->place = REST;
    if (one != ',' && one != '}') end_object(s);
    return true;
}

static bool rest(TnToolStream *s) {
    bool ended = false;
    size_t i = 0;
    while (i < s->held.len && !ended) {
        bool lost = s->held.data[i] == '<' && !s->in_string; /* no JSON: a word, where a brace was due */
        ended = lost || closes(s, s->held.data[i]);
        i += !lost;
    }
    consume(s, i);
    if (ended) end_object(s);
    return ended;
}

static bool close_tag(TnToolStream *s) {
    Cursor c = {s->held.data, s->held.data + s->held.len, false};
    next(&c);
    if (c.more) return false;
    size_t lead = (size_t)(c.p - s->held.data), left = s->held.len - lead, m = begins(c.p, left, tag_close);
    if (m == left && m < sizeof tag_close - 1) return false;
    consume(s, m ? lead + m : 0);
    s->tagged = false;
    s->place = TEXT;
    return true;
}

static bool after(TnToolStream *s) {
    Cursor c = {s->held.data, s->held.data + s->held.len, false};
    char one = next(&c);
    if (c.more) return false;
    if (one == ',' || one == ']') consume(s, (size_t)(c.p - s->held.data) + 1);
    s->place = one == ',' ? HEAD : TEXT;
    return true;
}

static bool whole(TnToolStream *s) {
    const char *from = s->held.data + s->skip;
    const char *at = s->tagged ? memmem(from, s->held.len - s->skip, tag_close, sizeof tag_close - 1) : NULL;
    TnToolText t = {.n_calls = 0};
    if (!at) return false;
    if (tn_tools_add(&s->call->plan, &t, from, (size_t)(at - from), false))
        put_whole_calls(s, &t);
    else
        put_text(s, s->held.data, (size_t)(at - s->held.data) + sizeof tag_close - 1);
    tn_tools_free(&t);
    consume(s, (size_t)(at - s->held.data) + sizeof tag_close - 1);
    s->tagged = false;
    s->place = TEXT;
    return true;
}

/* ---- The whole */

static TnToolStream *stream_of(TnCall *call, size_t choice, TnToolPartFn *give, TnBuf *out) {
    TnChoice *c = &call->choices[choice];
    if (!c->stream) c->stream = tn_xcalloc(1, sizeof *c->stream);
    c->stream->call = call;
    c->stream->choice = choice;
    c->stream->give = give;
    c->stream->out = out;
    return c->stream;
}

void tn_tools_stream(TnCall *call, size_t choice, const char *bytes, size_t n, TnToolPartFn *give,
                     TnBuf *out) {
    static bool (*const places[])(TnToolStream *) = {
        [BEGIN] = begin, [TEXT] = text,       [HEAD] = head,   [ARGUMENTS] = arguments, [TAIL] = tail,
        [REST] = rest,   [CLOSE] = close_tag, [AFTER] = after, [WHOLE] = whole,
    };
    TnToolStream *s = stream_of(call, choice, give, out);
    tn_buf_put(&s->held, bytes, n);
    while (places[s->place](s)) {
    }
    flush(s);
}

/* Ends an answer that may be calls in another order. False: what is held is none. */
static bool end_held(TnToolStream *s) {
    TnToolText t = {.n_calls = 0};
    bool all = !s->t.n_calls;
    if (all) { /* nothing went out */
        tn_tools_parse_whole(s->call, s->choice, &t);
        s->blanks.len = 0;
        put_raw(s, t.content.data, t.content.len);
    } else if (s->list && s->held.len) { /* the rest of a list */
        TnBuf list = {0};
        tn_buf_puts(&list, "[");
        tn_buf_put(&list, s->held.data, s->held.len);
        tn_tools_add(&s->call->plan, &t, list.data, list.len, false);
        tn_buf_free(&list);
    }
    bool is = all || t.n_calls;
    put_whole_calls(s, &t);
    tn_tools_free(&t);
    return is;
}

void tn_tools_stream_end(TnCall *call, size_t choice, TnToolPartFn *give, TnBuf *out) {
    TnToolStream *s = stream_of(call, choice, give, out);
    bool held = (s->place == HEAD || s->place == WHOLE) && !s->tagged;
    bool call_ended = s->place == TAIL || s->place == REST || s->place == CLOSE; /* what is held is its */
    if (s->place == ARGUMENTS)
        end_call(s);
    else if (!(held && end_held(s)) && !call_ended && s->held.len)
        put_text(s, s->held.data, s->held.len);
    if (!s->t.n_calls) put_raw(s, s->blanks.data, s->blanks.len);
    s->held.len = s->blanks.len = 0;
    flush(s);
}

const TnToolText *tn_tools_so_far(const TnChoice *c) {
    return c->stream ? &c->stream->t : NULL;
}

void tn_tools_stream_free(TnToolStream *s) {
    if (!s) return;
    tn_buf_free(&s->held);
    tn_buf_free(&s->blanks);
    tn_buf_free(&s->arguments);
    tn_buf_free(&s->made);
    tn_tools_free(&s->t);
    free(s);
}
