/* tern chat: what its files share.
 *
 *   verb_chat.c      flags, model, conversation
 *   chat_loop.c      messages and commands, one after the other
 *   chat_answer.c    one answer: steps, Ctrl-C, what is said about it
 *   chat_screen.c    text on a terminal or in a pipe: thoughts, spinner
 *   chat_input.c     messages from lines
 *   chat_edit.c      lines with an editor and a history, by libedit
 *
 * Only answers go to standard output. The prompt, the spinner and all messages go to standard error. */
#ifndef TN_CLI_CHAT_VERB_H
#define TN_CLI_CHAT_VERB_H

#include "frontends/cli/cli.h"
#include "frontends/cli/constrain.h"
#include "runtime/generate/conversation.h"

/* ---- chat_screen.c: text as it is generated
 *
 * Thoughts are the text from <think> to </think>. On a terminal they are dim; with `hide` they are left out, with the blanks
 * that follow them. */
typedef struct Screen {
    bool hide;
    bool color;   /* standard output is a terminal that takes colours */
    bool spinner; /* standard error is one */

    bool thinking, blanks; /* blanks: leave out those that come now */
    bool spun;             /* the spinner is on the screen */
    bool newline;          /* the text so far is empty or ends in a newline */
    double last;
    unsigned frame;
    size_t n_held; /* bytes that may begin a tag */
    char held[16];
    TnBuf out;
} Screen;
Screen screen_open(bool hide);
void screen_close(Screen *s);
/* Call begin before an answer, and end after it: the last line then ends in a newline. thinking: it begins in a thought. */
void screen_begin(Screen *s, bool thinking);
void screen_text(Screen *s, const char *text, size_t n);
void screen_end(Screen *s);
void screen_spin(Screen *s); /* once a step: does something while there is no text to show */
/* Whether a terminal at that descriptor takes colours: NO_COLOR is not set, and TERM is not dumb. */
bool screen_colors(int fd);

/* ---- chat_input.c */
typedef enum InputKind {
    INPUT_TEXT,
    INPUT_END,   /* end of input */
    INPUT_BROKEN /* a signal came; what was typed is dropped */
} InputKind;
typedef struct Input {
    bool terminal; /* standard input is one */
    bool color;
    struct Edit *edit; /* NULL: no editor */
    TnBuf bytes;       /* read and not used */
    size_t at;
    bool ended;
} Input;
Input input_open(bool history);
void input_close(Input *in);
/* Reads a message: a line, and further ones while a line ends in a backslash, which becomes a newline. */
InputKind input_read(Input *in, TnBuf *out);

/* ---- chat_edit.c: libedit; without it edit_open gives NULL */
typedef struct Edit Edit;
/* The history is kept in the user's cache folder. */
Edit *edit_open(bool history, bool color);
void edit_close(Edit *e);
InputKind edit_line(Edit *e, const char *prompt, TnBuf *out); /* without the newline at its end */
void edit_remember(Edit *e, const char *message);

/* ---- the rest */
typedef struct ChatFlags {
    ModelFlags m;
    GenerateFlags g;
    ConstrainFlags c;
    const char *system, *prompt, *file, *choice, *date, *kwargs, *tools, *load, *full;
    bool hide, single, no_history;
    TernKv kv;
    int64_t now;        /* of --date; -1: the clock here */
    TernFull when_full; /* of `full` */
} ChatFlags;

typedef struct Chat {
    const Verb *verb;
    const ChatFlags *f;
    const TnFileUse *files; /* that the verb reads and writes */
    size_t n_files;
    TernText source; /* of the template */
    char *own_source;
    TernText tools, loaded; /* JSON of --tools and --load, owned */
    Loaded model;
    TernVocab *vocab;
    TernGenerator *generator;
    TernConversation *talk;
    Constraint constraint;
    uint32_t context;
    Screen screen;
    Input input;
    TernGenerated got; /* of the last answer */
    uint64_t seed;     /* of the first answer; the next has the next one */
    uint64_t n_answers;
    bool said_seed, failed, leave;
} Chat;

/* Answers the message, or the messages as they are if it is NULL. What goes wrong is said, and counts as failed unless a
 * person is there to see it. */
void chat_answer(Chat *c, const char *message);
/* The first message if there is one, then those of standard input. Returns an exit status. */
int chat_loop(Chat *c, const char *first);
/* Says a line on standard error, dim on a terminal. */
void chat_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void chat_failed(Chat *c, const TernError *err);

#endif
