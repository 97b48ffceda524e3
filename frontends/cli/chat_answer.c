/* One answer: the steps that make it, how Ctrl-C ends it, and what is said about its end. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "frontends/cli/chat_verb.h"
#include "runtime/base/status.h"

void chat_say(const char *fmt, ...) {
    char text[1024];
    bool dim = screen_colors(STDERR_FILENO);
    va_list ap;
    va_start(ap, fmt);
    tn_message(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "%stern: %s%s\n", dim ? "\033[2m" : "", text, dim ? "\033[0m" : "");
}

void chat_failed(Chat *c, const TernError *err) {
    (void)fail(err);
    if (!c->input.terminal) c->failed = true;
}

static int show_piece(void *user, const TernPiece *p) {
    Chat *c = user;
    screen_text(&c->screen, p->text, p->size);
    return 0;
}

/* Some templates begin the answer with the tag that opens a thought. */
static bool begins_in_thought(Chat *c) {
    enum { LOOK = 8 };
    static const char tag[] = "<think>";
    const int32_t *ids;
    char text[256];
    size_t n_ids, n, tail = sizeof tag - 1;
    TernError ignored;
    if (tern_conversation_ids(c->talk, &ids, &n_ids, &ignored) != TERN_OK) return false;
    size_t from = n_ids > LOOK ? n_ids - LOOK : 0;
    if (tern_decode(c->vocab, ids + from, n_ids - from, TERN_DECODE_CONTROL, text, sizeof text, &n,
                    &ignored) != TERN_OK)
        return false;
    while (n && strchr(" \n", text[n - 1])) n--;
    return n >= tail && memcmp(text + n - tail, tag, tail) == 0;
}

/* Runs the steps. A signal takes effect between two of them. */
static TernStatus run(Chat *c, TernError *err) {
    TernSamplerOptions sampler = sampler_of_flags(&c->f->g);
    TernRequest how = request_of_flags(&c->f->g, &sampler);
    constraint_apply(&c->constraint, &how, &sampler);
    sampler.seed = c->seed + c->n_answers;
    screen_begin(&c->screen, begins_in_thought(c));
    TN_TRY(tern_conversation_begin(c->talk, &how, show_piece, c, err));
    size_t dropped = tern_conversation_dropped(c->talk);
    if (dropped)
        chat_say("the context of %u positions is full: the oldest %zu turn%s dropped", c->context, dropped,
                 dropped == 1 ? " was" : "s were");
    if (!c->said_seed && c->f->g.temp > 0 && c->f->g.seed == TERN_SEED_RANDOM)
        chat_say("seed %" PRIu64, c->seed);
    c->said_seed = true;
    TernStatus st = TERN_OK;
    while (st == TERN_OK && tern_conversation_running(c->talk)) {
        screen_spin(&c->screen);
        if (signal_status()) tern_conversation_cancel(c->talk);
        st = tern_generator_step(c->generator, err);
    }
    c->n_answers++;
    if (st == TERN_OK) return tern_conversation_end(c->talk, &c->got, err);
    (void)tern_conversation_end(c->talk, NULL, NULL);
    return st;
}

static void say_end(const Chat *c) {
    if (c->got.end == TERN_END_CONTEXT)
        chat_say("the context of %u positions is full: the answer ends here", c->context);
    else if (c->got.end == TERN_END_LENGTH && c->input.terminal)
        chat_say("the answer was cut at %zu tokens (-n)", c->got.n_out);
    else if (c->got.end == TERN_END_CANCELLED && c->got.n_out)
        chat_say("stopped");
    else if (c->got.end == TERN_END_CANCELLED)
        chat_say("stopped before the first word: nothing has changed%s",
                 tern_conversation_dropped(c->talk) ? ", no turn is dropped" : "");
}

void chat_answer(Chat *c, const char *message) {
    TernError err = {0};
    if (message &&
        tern_conversation_add(c->talk, "user", (TernText){message, strlen(message)}, &err) != TERN_OK) {
        chat_failed(c, &err);
        return;
    }
    c->got.n_out = 0;
    TernStatus st = run(c, &err);
    screen_end(&c->screen);
    if (st == TERN_OK)
        say_end(c);
    else
        chat_failed(c, &err);
    if (message && (st != TERN_OK || c->got.n_out == 0)) (void)tern_conversation_undo(c->talk, &err);
}
