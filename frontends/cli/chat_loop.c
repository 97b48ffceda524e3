/* Messages and commands. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/chat_verb.h"
#include "runtime/base/escape.h"
#include "runtime/base/nearest.h"

typedef void CommandFn(Chat *c, const char *argument);
typedef enum Argument { NO_ARGUMENT, ARGUMENT, PERHAPS } Argument;
typedef struct Command {
    const char *name, *argument;
    Argument kind;
    CommandFn *run;
    const char *help;
} Command;

static CommandFn help, clear, set_system, save, load, regenerate, undo, stats, leave;

static const Command commands[] = {
    {"/help", "", NO_ARGUMENT, help, "list the commands"},
    {"/clear", "", NO_ARGUMENT, clear, "forget all messages but the system message"},
    {"/system", "[TEXT]", PERHAPS, set_system, "set the system message; without TEXT: remove it"},
    {"/save", "FILE", ARGUMENT, save, "write the messages to a file, as JSON"},
    {"/load", "FILE", ARGUMENT, load, "go on with the messages of a file"},
    {"/regen", "", NO_ARGUMENT, regenerate, "answer the last message again"},
    {"/undo", "", NO_ARGUMENT, undo, "take back the last message and its answer"},
    {"/stats", "", NO_ARGUMENT, stats, "show tokens and times"},
    {"/exit", "", NO_ARGUMENT, leave, "leave; so do Ctrl-D, and Ctrl-C twice"},
};

/* ---- The commands */

static void help(Chat *c, const char *argument) {
    (void)c, (void)argument;
    for (size_t i = 0; i < TN_COUNT(commands); i++)
        fprintf(stderr, "  %-8s %-7s %s\n", commands[i].name, commands[i].argument, commands[i].help);
    fprintf(stderr,
            "  A backslash at the end of a line, or a pasted block, makes a message of several lines.\n"
            "  Ctrl-C stops an answer. A message that begins with // begins with one / instead.\n");
}

static const char *plural(size_t n) {
    return n == 1 ? "" : "s";
}

static void count_messages(const Chat *c, const char *what) {
    size_t n = tern_conversation_count(c->talk);
    chat_say("%s%zu message%s", what, n, plural(n));
}

static void clear(Chat *c, const char *argument) {
    TernError err;
    (void)argument;
    if (tern_conversation_clear(c->talk, &err) != TERN_OK)
        chat_failed(c, &err);
    else
        chat_say("cleared");
}

static void set_system(Chat *c, const char *text) {
    TernError err;
    if (tern_conversation_set_system(c->talk, (TernText){text, strlen(text)}, &err) != TERN_OK)
        chat_failed(c, &err);
    else
        chat_say(*text ? "the system message is set" : "there is no system message");
}

/* What the program still reads must not be replaced. The file that was loaded may be. */
static bool may_save(const Chat *c, const char *path) {
    TnFileUse *files = tn_xcalloc(c->n_files + 1, sizeof *files);
    size_t n = 0;
    for (size_t i = 0; i < c->n_files; i++) {
        if (c->files[i].use >= TN_FILE_OUT || c->files[i].path == c->f->load) continue;
        files[n] = c->files[i];
        files[n++].use = TN_FILE_LOADED; /* it may be gone by now */
    }
    files[n++] = (TnFileUse){"/save", path, TN_FILE_OUT};
    int code = check_files(c->verb, files, n);
    free(files);
    return code == EXIT_OK;
}

static void save(Chat *c, const char *path) {
    TernError err;
    if (!may_save(c, path))
        c->failed |= !c->input.terminal;
    else if (tern_conversation_save(c->talk, path, &err) != TERN_OK)
        chat_failed(c, &err);
    else
        count_messages(c, "saved ");
}

static void load(Chat *c, const char *path) {
    TernError err;
    if (tern_conversation_load(c->talk, path, &err) != TERN_OK)
        chat_failed(c, &err);
    else
        count_messages(c, "loaded ");
}

/* Copies of what follows the last message of the user, so that it can be put back if there is no other answer. */
typedef struct Copy {
    char *role;
    TernText content;
} Copy;

static Copy *copy_answer(const Chat *c, size_t *out_n) {
    size_t count = tern_conversation_count(c->talk), from = count;
    while (from && strcmp(tern_conversation_message(c->talk, from - 1).role, "user") != 0) from--;
    Copy *copies = tn_xcalloc(count - from + 1, sizeof *copies);
    for (size_t i = from; i < count; i++) {
        TernMessage m = tern_conversation_message(c->talk, i);
        char *content = tn_xcalloc(m.content.size + 1, 1);
        memcpy(content, m.content.data, m.content.size);
        copies[i - from] = (Copy){strdup(m.role), {content, m.content.size}};
    }
    *out_n = count - from;
    return copies;
}

static void regenerate(Chat *c, const char *argument) {
    TernError err;
    size_t n = 0;
    Copy *old = copy_answer(c, &n);
    (void)argument;
    if (tern_conversation_undo_answer(c->talk, &err) != TERN_OK) {
        chat_failed(c, &err);
    } else {
        chat_answer(c, NULL);
        for (size_t i = 0; i < n && c->got.n_out == 0; i++)
            (void)tern_conversation_add(c->talk, old[i].role, old[i].content, &err);
    }
    for (size_t i = 0; i < n; i++) free(old[i].role), free((char *)old[i].content.data);
    free(old);
}

static void undo(Chat *c, const char *argument) {
    TernError err;
    (void)argument;
    if (tern_conversation_undo(c->talk, &err) != TERN_OK)
        chat_failed(c, &err);
    else
        count_messages(c, "undone; there are ");
}

static void stats(Chat *c, const char *argument) {
    const int32_t *ids;
    size_t n = 0;
    TernError err;
    (void)argument;
    count_messages(c, "");
    if (tern_conversation_ids(c->talk, &ids, &n, &err) == TERN_OK)
        chat_say("%zu of %u positions", n, c->context);
    if (c->n_answers == 0) return;
    const TernGenerated *g = &c->got;
    chat_say("last answer: %zu tokens read in %.0f ms, %zu were kept; %zu written, %.1f a second",
             g->n_prefilled, 1e3 * g->prompt_seconds, g->n_reused, g->n_out,
             g->decode_seconds > 0 ? (double)g->n_decoded / g->decode_seconds : 0.0);
    if (c->f->g.draft) chat_say("%zu of %zu guessed ids were right", g->n_right, g->n_guessed);
    if (c->f->g.temp > 0) chat_say("seed %" PRIu64, g->seed);
}

static void leave(Chat *c, const char *argument) {
    (void)argument;
    c->leave = true;
}

/* ---- Lines */

static void refuse(Chat *c, const TnBuf *line) {
    chat_say("%s (see /help)", line->data);
    if (!c->input.terminal) c->failed = true;
}

static void unknown(Chat *c, const char *word, size_t n) {
    TnBuf line = {0};
    TnNearest near = {.word = word, .len = n};
    for (size_t i = 0; i < TN_COUNT(commands); i++)
        tn_nearest_try(&near, commands[i].name, strlen(commands[i].name));
    tn_buf_printf(&line, "no command is called '%s'", tn_shown_n(word, n).s);
    if (near.best) tn_buf_printf(&line, ", did you mean %s?", near.best);
    refuse(c, &line);
    tn_buf_free(&line);
}

static bool takes(const Command *k, const char *argument) {
    return k->kind == PERHAPS || (k->kind == ARGUMENT) == (*argument != '\0');
}

static void command(Chat *c, char *line) {
    size_t n = strcspn(line, " \t\n");
    char *argument = line + n + strspn(line + n, " \t\n"), *end = argument + strlen(argument);
    while (end > argument && strchr(" \t\n", end[-1])) *--end = '\0';
    for (size_t i = 0; i < TN_COUNT(commands); i++) {
        const Command *k = &commands[i];
        if (strlen(k->name) != n || memcmp(k->name, line, n) != 0) continue;
        if (!takes(k, argument)) {
            TnBuf text = {0};
            tn_buf_printf(&text, "%s: got %s, expected %s", k->name, *argument ? "an argument" : "nothing",
                          *argument ? "none" : k->argument);
            refuse(c, &text);
            tn_buf_free(&text);
            return;
        }
        k->run(c, argument);
        return;
    }
    unknown(c, line, n);
}

static void take(Chat *c, const TnBuf *line) {
    char *message = line->data;
    if (memchr(message, 0, line->len)) {
        c->failed |= !c->input.terminal;
        (void)fail_text("the message has a NUL byte, expected text");
        return;
    }
    if (message[strspn(message, " \t\n")] == '\0') return;
    if (message[0] == '/' && message[1] == '/')
        chat_answer(c, message + 1);
    else if (message[0] == '/')
        command(c, message);
    else
        chat_answer(c, message);
}

/* ---- The loop */

/* On a terminal Ctrl-C ends what is going on, and only at an empty prompt, twice in a row, the program. Other signals, and
 * Ctrl-C without a terminal, end the program in order. */
static bool signal_ends(Chat *c, bool at_prompt, int *in_a_row) {
    if (!signal_status()) return false;
    if (!c->input.terminal || signal_status() != 128 + SIGINT) return true;
    if (at_prompt && ++*in_a_row > 1) return true;
    forget_signal();
    if (at_prompt) chat_say("Ctrl-C again leaves, and so does /exit");
    return false;
}

int chat_loop(Chat *c, const char *first) {
    TnBuf message = {0};
    int interrupts = 0;
    heed_signals(true);
    if (first && c->input.terminal) fprintf(stderr, "> %s\n", first);
    if (first) chat_answer(c, first);
    c->leave = first && c->f->single;
    bool ends = signal_ends(c, false, &interrupts);
    while (!ends && !c->leave) {
        InputKind kind = input_read(&c->input, &message);
        if (kind == INPUT_END) break;
        ends = signal_ends(c, kind == INPUT_BROKEN, &interrupts);
        if (ends || kind == INPUT_BROKEN) continue;
        interrupts = 0;
        take(c, &message);
        c->leave = c->leave || c->f->single;
        ends = signal_ends(c, false, &interrupts);
    }
    heed_signals(false);
    report_signal();
    tn_buf_free(&message);
    return signal_status() ? signal_status() : c->failed ? EXIT_INPUT : EXIT_OK;
}
