/* tern batch: the lines of a file in the place of connections.
 *
 * The engine is the server's (rounds.c), and so are the handlers; the calls have no connection. Between two rounds the
 * engine asks for more: then answers that are whole go to the file, and lines are read until as many calls wait as there
 * are slots, so that no slot that gets free stays so. All this is one thread.
 *
 * Answers are appended in the order in which they end. In the order of the lines one long answer would hold back all that
 * end before it, in memory, and a process that is killed would lose them. Each says by its id which line it answers, so
 * that is all that going on needs: lines that have an answer are left out. To see that the answers are of these lines, the
 * custom_id of both is compared.
 *
 * An answer that says that the engine failed (429, 500 and above) is not the last word on its line. It is asked again after a
 * while, with others in between, a few times; then the answer is kept, and the next run of the command drops it from the file
 * and asks once more.
 *
 * The file is read more than once, and may grow meanwhile. Only lines that were there at the first reading count; the next
 * run of the same command answers the others. */
#include "frontends/serve/batch_file.h"
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "frontends/serve/serve.h"
#include "runtime/base/hash.h"

enum { TRIES_MOST = 3 };
#define PAUSE_FIRST 0.25 /* seconds before a line is asked again; the next time four times as long */
#define ANSWER_MOST ((size_t)1 << 30)
static const char id_prefix[] = "batch_req_";

typedef struct Pending {
    TnCall *call;  /* NULL: it waits to be asked again */
    TnBuf text;    /* the line */
    bool too_long; /* it is not all there */
    bool routed;   /* the answer is an endpoint's; else it says why the line is no request */
    uint64_t number;
    TernText custom; /* in the call's arena */
    unsigned tries;
    double after; /* when it is asked again */
    struct Pending *next;
} Pending;

/* An answer that the next run drops. */
typedef struct Failed {
    uint64_t line, answer; /* numbers of lines, of the requests and of the answers */
} Failed;

typedef struct Batch {
    TnServer server;
    const TnBatchOptions *b;
    TnBatchCounts *counts;
    int in;
    TnLines lines;
    TnAnswers answers;
    uint64_t n_lines, n_bytes; /* of the whole file, when it was counted */
    uint64_t *marks; /* for each line of the shard that has an answer: mark_of its custom_id; 0: none */
    Failed *failed;
    size_t n_failed, cap_failed;
    Pending *pending;
    size_t n_waiting; /* of those: to be asked again */
    bool ended;       /* no more lines are read */
    bool ended_early; /* and those that have not begun are left */
    TernStatus status;
    TernError *err;
} Batch;

static bool is_mine(const Batch *b, uint64_t number) {
    return (number - 1) % b->b->n_shards == b->b->shard - 1;
}

static uint64_t *mark_at(const Batch *b, uint64_t number) {
    return &b->marks[(number - 1) / b->b->n_shards];
}

/* The custom_id of a line, or of its answer, as something to compare; never 0. */
static uint64_t mark_of(const TnJsonNode *custom) {
    bool text = custom && custom->kind == TN_JSON_STRING;
    return (text ? tn_hash64(custom->text, custom->size) : 0) | 1;
}

static void show_progress(const Batch *b) {
    if (b->b->progress) b->b->progress(b->counts->answered, b->counts->lines);
}

/* ---- Going on: what has an answer already */

/* Counts the lines, and those of the shard. */
static TernStatus count_lines(Batch *b) {
    TernStatus st;
    TN_TRY(tn_lines_start(&b->lines, b->b->in, b->in, b->server.o->body_most, b->err));
    while (tn_lines_next(&b->lines, &st, b->err))
        b->counts->lines += is_mine(b, b->lines.number) && !tn_lines_blank(&b->lines);
    b->n_lines = b->lines.number;
    b->n_bytes = b->lines.end;
    return st;
}

/* The next line of those that were counted; as tn_lines_next. */
static bool next_counted(Batch *b, TernStatus *st) {
    *st = TERN_OK;
    return b->lines.number < b->n_lines && tn_lines_next(&b->lines, st, b->err);
}

static TernStatus refuse_answer(const Batch *b, uint64_t number, const char *why) {
    return tn_fail(b->err, TERN_ERR_INPUT,
                   "%s:%" PRIu64 ": %s, expected a file that is new or has answers of this batch", b->b->out,
                   number, why);
}

/* Whether the same request may get another answer another time. */
static bool may_pass(unsigned long status) {
    return status == 429 || status >= 500;
}

/* The line that an answer is of; 0: it is no answer. */
static uint64_t line_of(const TnJsonNode *answer) {
    const TnJsonNode *id = tn_json_member(answer, "id");
    const size_t n = sizeof id_prefix - 1;
    char *end;
    if (!id || id->kind != TN_JSON_STRING || id->size <= n || memcmp(id->text, id_prefix, n) != 0) return 0;
    unsigned long long number = strtoull(id->text + n, &end, 10);
    return *end ? 0 : number;
}

static TernStatus take_answer(Batch *b, const TnLines *l) {
    TnArena arena = {0};
    const TnJsonNode *answer = NULL;
    const char *why = NULL;
    uint64_t number = 0;
    if (!l->too_long &&
        tn_json_tree(l->text.data ? l->text.data : "", l->text.len, &arena, &answer, NULL) == TERN_OK)
        number = line_of(answer);
    if (!number)
        why = "got no answer of a batch";
    else if (number > b->n_lines)
        why = "got an answer to a line that the input does not have";
    else if (!is_mine(b, number))
        why = "got an answer to a line of another shard";
    else if (*mark_at(b, number))
        why = "got a second answer to a line";
    if (!why) {
        const TnJsonNode *v = tn_json_member(tn_json_member(answer, "response"), "status_code");
        unsigned long status = v && v->kind == TN_JSON_INT ? strtoul(v->text, NULL, 10) : 0;
        Failed failed = {number, l->number};
        *mark_at(b, number) = mark_of(tn_json_member(answer, "custom_id"));
        if (may_pass(status)) TN_PUSH(b->failed, b->n_failed, b->cap_failed, failed);
        b->counts->found += !may_pass(status);
        b->counts->refused += status != 200 && !may_pass(status);
    }
    tn_arena_free(&arena);
    return why ? refuse_answer(b, l->number, why) : TERN_OK;
}

/* A last line without its end is what a killed process leaves, if it begins as an answer does. */
static TernStatus cut_torn(Batch *b, const TnLines *l) {
    char head[40];
    size_t n = (size_t)snprintf(head, sizeof head, "{\"id\": \"%s", id_prefix);
    if (n > l->text.len) n = l->text.len;
    if (memcmp(l->text.data, head, n) != 0) return refuse_answer(b, l->number, "got no answer of a batch");
    return tn_answers_cut(&b->answers, b->err);
}

static TernStatus take_answers(Batch *b) {
    TnLines *l = tn_xcalloc(1, sizeof *l);
    TernStatus st = tn_lines_start(l, b->b->out, b->answers.fd, ANSWER_MOST, b->err), read = TERN_OK;
    while (st == TERN_OK && tn_lines_next(l, &read, b->err)) {
        if (l->whole) b->answers.end = l->end;
        st = l->whole ? take_answer(b, l) : cut_torn(b, l);
    }
    tn_lines_free(l);
    free(l);
    return st == TERN_OK ? read : st;
}

/* Compares the custom_id of each line that has an answer with the answer's. */
static TernStatus compare(Batch *b) {
    TernStatus st;
    TN_TRY(tn_lines_start(&b->lines, b->b->in, b->in, b->server.o->body_most, b->err));
    while (next_counted(b, &st)) {
        const TnLines *l = &b->lines;
        TnArena arena = {0};
        const TnJsonNode *line = NULL;
        if (!is_mine(b, l->number) || !*mark_at(b, l->number)) continue;
        if (!l->too_long)
            (void)tn_json_tree(l->text.data ? l->text.data : "", l->text.len, &arena, &line, NULL);
        bool same =
            !tn_lines_blank(l) && mark_of(tn_json_member(line, "custom_id")) == *mark_at(b, l->number);
        tn_arena_free(&arena);
        if (!same)
            return tn_fail(b->err, TERN_ERR_INPUT,
                           "%s: got an answer to line %" PRIu64
                           " with another custom_id than %s has, expected a file that "
                           "is new or has answers of this batch",
                           b->b->out, l->number, b->b->in);
    }
    return st;
}

/* Drops the answers that are not the last word, when they are known to be this batch's. */
static TernStatus drop_failed(Batch *b) {
    uint64_t *numbers = tn_xcalloc(b->n_failed + 1, sizeof *numbers);
    for (size_t i = 0; i < b->n_failed; i++) {
        numbers[i] = b->failed[i].answer;
        *mark_at(b, b->failed[i].line) = 0;
    }
    b->counts->again = b->n_failed;
    TernStatus st = b->n_failed ? tn_answers_drop(&b->answers, numbers, b->n_failed, b->err) : TERN_OK;
    free(numbers);
    return st;
}

/* ---- Answers */

/* {"error": X} gives X. */
static void put_inner_error(const TnCall *call, TnBuf *out) {
    TnArena arena = {0};
    const TnJsonNode *answer = NULL;
    TN_CHECK(tn_json_tree(call->out.data, call->out.len, &arena, &answer, NULL) == TERN_OK);
    tn_json_print(tn_json_member(answer, "error"), out);
    tn_arena_free(&arena);
}

static void put_answer(Batch *b, const Pending *p) {
    const TnCall *call = p->call;
    const TernText custom = p->custom;
    TnBuf line = {0};
    size_t n = call->out.len;
    while (n && call->out.data[n - 1] == '\n') n--;
    tn_buf_printf(&line, "{\"id\": \"%s%" PRIu64 "\", \"custom_id\": ", id_prefix, p->number);
    if (custom.data)
        tn_put_string(&line, custom.data, custom.size);
    else
        tn_buf_puts(&line, "null");
    tn_buf_puts(&line, ", \"response\": ");
    if (p->routed) {
        tn_buf_printf(&line, "{\"status_code\": %u, \"request_id\": \"%s\", \"body\": ", call->status,
                      call->id);
        tn_buf_put(&line, call->out.data, n);
        tn_buf_puts(&line, "}, \"error\": null}\n");
    } else {
        tn_buf_puts(&line, "null, \"error\": ");
        put_inner_error(call, &line);
        tn_buf_puts(&line, "}\n");
    }
    if (b->status == TERN_OK) b->status = tn_answers_put(&b->answers, &line, b->err);
    if (b->status == TERN_OK) {
        b->counts->answered++;
        b->counts->refused += call->status != 200;
        show_progress(b);
    }
    tn_buf_free(&line);
}

/* ---- Requests */

typedef struct Line {
    TernText custom, method, url;
    const TnJsonNode *body;
} Line;
#define AT(field) offsetof(Line, field)
static const TnParam params[] = {
    {"custom_id", TN_PARAM_TEXT, AT(custom), 0, 0, NULL},
    {"method", TN_PARAM_TEXT, AT(method), 0, 0, NULL},
    {"url", TN_PARAM_TEXT, AT(url), 0, 0, NULL},
    {"body", TN_PARAM_NODE, AT(body), 0, 0, NULL},
    {NULL, TN_PARAM_ANY, 0, 0, 0, NULL},
};

static bool missing(TnCall *call, const char *name, const char *expected) {
    return tn_call_refuse(call, 400, "missing_parameter", name, "%s: is missing, expected %s", name,
                          expected);
}

static bool check_line(TnCall *call, const Line *line) {
    if (!line->custom.data) return missing(call, "custom_id", "a string");
    if (!line->url.data) return missing(call, "url", "a path such as /v1/chat/completions");
    if (!line->body) return missing(call, "body", "an object");
    if (line->method.size != 4 || memcmp(line->method.data, "POST", 4) != 0)
        return tn_call_refuse(call, 400, "invalid_value", "method", "method: got %s%.*s%s, expected POST",
                              line->method.data ? "'" : "none",
                              (int)(line->method.size < 40 ? line->method.size : 40),
                              line->method.data ? line->method.data : "", line->method.data ? "'" : "");
    if (line->body->kind != TN_JSON_OBJECT) return tn_param_wrong(call, "body", line->body, "an object");
    const TnJsonNode *stream = tn_json_member(line->body, "stream");
    if (stream && stream->kind == TN_JSON_TRUE)
        return tn_call_refuse(
            call, 400, "unsupported_value", "body.stream",
            "body.stream: got true, which is not supported, expected false: an answer is a line");
    return true;
}

/* Reads a line into a call. False: it is no request, and the call is refused. */
static bool read_line(const Pending *p, TnCall *call, size_t most, TernText *custom) {
    const TnParam *const table = params;
    TernError err = {0};
    Line line = {.body = NULL};
    if (p->too_long)
        return tn_call_refuse(call, 400, "line_too_long", NULL,
                              "got a line of more than %zu bytes, expected at most that", most);
    if (tn_json_tree(p->text.data, p->text.len, &call->parsed, &call->json, &err) != TERN_OK)
        return tn_call_refuse(call, 400, "invalid_json", NULL, "the line is not JSON: %s", err.text);
    if (call->json->kind != TN_JSON_OBJECT)
        return tn_call_refuse(call, 400, "invalid_json", NULL, "the line: got %s, expected an object",
                              tn_json_kind_name(call->json->kind));
    const TnJsonNode *id = tn_json_member(call->json, "custom_id");
    if (id && id->kind == TN_JSON_STRING)
        *custom = (TernText){tn_strndup(&call->arena, id->text, id->size), id->size};
    if (!tn_params_read(call, call->json, "", &table, 1, &line) || !check_line(call, &line)) return false;
    call->json = line.body;
    return tn_route_find(call, "POST", line.url.data);
}

/* ---- Lines that were begun */

static void ask(Batch *b, Pending *p) {
    p->call = tn_call_create(&b->server, NULL);
    p->custom = (TernText){NULL, 0};
    p->tries++;
    p->routed = read_line(p, p->call, b->server.o->body_most, &p->custom);
    if (p->routed) tn_route_handle(p->call);
}

/* Takes an answer, or has the line asked again. True: the line is done. */
static bool is_done(Batch *b, Pending *p) {
    if (!p->call->complete) return false; /* only this thread writes it */
    bool keep = !p->call->gone,
         again = keep && p->routed && may_pass(p->call->status) && p->tries < TRIES_MOST && !b->ended_early;
    if (keep && !again) put_answer(b, p);
    tn_call_release(p->call);
    p->call = NULL;
    if (!again) return true;
    b->counts->again++;
    p->after = tn_os_seconds() + PAUSE_FIRST * (double)(1u << 2 * (p->tries - 1));
    return false;
}

static void look_at_pending(Batch *b) {
    b->n_waiting = 0;
    for (Pending **at = &b->pending; *at;) {
        Pending *p = *at;
        if (!p->call && !b->ended_early && tn_os_seconds() >= p->after) ask(b, p);
        if (p->call ? !is_done(b, p) : !b->ended_early) {
            b->n_waiting += !p->call;
            at = &p->next;
            continue;
        }
        *at = p->next;
        tn_buf_free(&p->text);
        free(p);
    }
}

static void begin_line(Batch *b) {
    Pending **end = &b->pending, *p = tn_xcalloc(1, sizeof *p);
    *p = (Pending){.text = b->lines.text, .too_long = b->lines.too_long, .number = b->lines.number};
    b->lines.text = (TnBuf){0};
    while (*end) end = &(*end)->next;
    *end = p;
    ask(b, p);
    if (p->call->submitted || !is_done(b, p)) return;
    *end = NULL;
    tn_buf_free(&p->text);
    free(p);
}

static bool next_line(Batch *b) {
    TernStatus st;
    while (next_counted(b, &st))
        if (is_mine(b, b->lines.number) && !*mark_at(b, b->lines.number) && !tn_lines_blank(&b->lines))
            return true;
    if (st != TERN_OK) b->status = st;
    return false;
}

/* Calls that have not begun will not be answered, nor lines that wait to be asked again. */
static void give_up(Batch *b) {
    b->ended = b->ended_early = true;
    for (Pending *p = b->pending; p; p = p->next)
        if (p->call &&
            (b->status != TERN_OK || !(tn_call_has_begun(p->call) || p->call == b->server.embedding)))
            p->call->gone = true;
}

static bool feed(TnServer *server) {
    Batch *b = server->feeder;
    size_t most = server->n_views ? server->n_views : 1;
    pthread_mutex_lock(&server->lock);
    bool draining = server->draining; /* only this thread sets it */
    pthread_mutex_unlock(&server->lock);
    if (draining || b->status != TERN_OK) give_up(b);
    look_at_pending(b);
    for (;;) {
        pthread_mutex_lock(&server->lock);
        bool enough = server->n_queued + b->n_waiting >= most;
        pthread_mutex_unlock(&server->lock);
        if (b->status != TERN_OK) give_up(b);
        if (b->ended || enough) break;
        if (next_line(b))
            begin_line(b);
        else if (b->status == TERN_OK)
            b->ended = true;
    }
    return b->pending || !b->ended;
}

/* ---- The whole */

static TernStatus work(Batch *b) {
    const TnBatchOptions *o = b->b;
    TN_TRY(tn_batch_open_in(o->in, &b->in, b->err));
    TN_TRY(count_lines(b));
    b->marks = tn_xcalloc((size_t)(b->n_lines / o->n_shards + 1), sizeof *b->marks);
    TN_TRY(tn_answers_open(&b->answers, o->out, b->err));
    TN_TRY(take_answers(b));
    if (b->counts->found || b->n_failed) TN_TRY(compare(b));
    TN_TRY(drop_failed(b));
    b->counts->answered = b->counts->found;
    show_progress(b);
    TN_TRY(tn_lines_start(&b->lines, o->in, b->in, b->server.o->body_most, b->err));
    b->server.feed = feed;
    b->server.feeder = b;
    tn_engine_run(&b->server);
    TN_CHECK(!b->pending);
    b->counts->grown = tn_batch_has_grown(b->in, b->n_bytes);
    return b->status;
}

TernStatus tn_batch(const TnServeOptions *options, const TnBatchOptions *batch, TnBatchCounts *counts,
                    TernError *err) {
    Batch *b = tn_xcalloc(1, sizeof *b);
    TernError own = {0};
    TnServeOptions o = *options;
    o.queue = UINT32_MAX; /* feed bounds it */
    o.deadline = INFINITY;
    *counts = (TnBatchCounts){.lines = 0};
    b->b = batch;
    b->counts = counts;
    b->in = b->answers.fd = -1;
    b->err = err ? err : &own;
    tn_server_open(&b->server, &o);
    TernStatus st = work(b), closed = tn_answers_close(&b->answers, st == TERN_OK ? err : NULL);
    if (b->in >= 0) close(b->in);
    tn_server_close(&b->server);
    tn_lines_free(&b->lines);
    free(b->marks);
    free(b->failed);
    free(b);
    return st == TERN_OK ? closed : st;
}
