/* The program `tern`: what its verbs share. Only generated text goes to standard output; everything else goes
 * to standard error. The exit status is 0, 1 for a bad input or environment, 2 for a usage error, or 128 + N
 * if signal N ended the program. */
#ifndef TN_CLI_H
#define TN_CLI_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include "frontends/cli/args.h"
#include "frontends/cli/models.h"
#include "runtime/text/chat.h"
#include "runtime/base/files.h"
#include "runtime/base/os.h"
#include "runtime/base/arena.h"

/* ---- main.c: flushes standard output. Returns `code`, or the verb's status for trouble if the flush
 * failed. */
int close_output(const Verb *verb, int code);

/* ---- self.c: a program with a model in it */
bool has_own_model(void);
/* Gives the verb and its words for the command line of such a program, with the program's own name as the model if the verb
 * takes one. named: the verb that argv[1] is, or NULL: then it is run. `words` has room for argc + 2. Prints a line and returns NULL if the
 * model is gone. */
const Verb *add_own_model(const Verb *named, int argc, char **argv, char **words, int *n_words);
/* The static program for "x86-64" or "aarch64" that came with this one: tern-static.MACHINE beside it or in ../lib/tern; NULL if
 * there is none. */
const char *static_program(const char *machine, char *out, size_t size);

/* ---- check_files.c: what a verb reads and writes */
/* Checks all files that a verb will read or write, before any work. Refuses one that cannot be read or
 * written, and an output that is one of the inputs or of the program's own files. Returns an exit status;
 * exits 2 on an empty name of an output. */
int check_files(const Verb *verb, const TnFileUse *files, size_t n);
/* Entries for verbs that take MODEL_FLAGS, and for those that take TUNE_FLAGS. */
#define MODEL_FILES(m)                                                                                       \
    {"the model", (m).model, TN_FILE_MODEL}, {                                                               \
        "--weights", (m).weights, TN_FILE_IN                                                                 \
    }
#define TUNE_FILE(t)                                                                                         \
    {                                                                                                        \
        (t).cache ? "--tune-cache" : "the tuning cache", tuning_cache(&(t)),                                 \
            (t).cache ? TN_FILE_CACHE : TN_FILE_CACHE_MAYBE                                                  \
    }
#define STANDARD_OUTPUT                                                                                      \
    { "standard output", "-", TN_FILE_OUT }
void keep_standard(void); /* main calls it first */
/* main calls it second. If standard error is standard input, or a file that a word of the command names,
 * messages must not be written into it: they go to standard output, or to the terminal if standard output is
 * such a file too, until check_files knows what the word is. */
void keep_messages(int argc, char **argv);

/* ---- verb_tokens.c: ids from flags */
typedef struct Tokens {
    int32_t *ids;
    size_t n;
} Tokens; /* free(ids) */
/* Reads ids from the text of --tokens or from a --token-file; the other is NULL. Ids are whole numbers
 * separated by blanks, newlines or commas, each below n_vocab (0: not checked). Returns an exit status. */
int read_ids(const char *list, const char *file, uint32_t n_vocab, Tokens *out);
/* Encodes the text of -p or -f. */
int encode_text(const TernVocab *vocab, const char *text, size_t n, uint32_t flags, Tokens *out);

/* ---- chat_source.c: --chat-template */
const char *chat_template_help(void);
#define CHAT_TEMPLATE_FLAG(value)                                                                            \
    { "--chat-template", "NAME|FILE", FLAG_STR, &(value), 0, 0, chat_template_help() }
/* Reads the template that the flag names (a name before a file of that name), or, if it is not given, the
 * model's. Returns an exit status; *out is NULL if that is not 0. vocab may be NULL. */
int chat_template(const char *choice, const TernVocab *vocab, TernChatTemplate **out);
/* The template of the source that chat_source gave for the choice. */
int chat_parse(const char *choice, TernText source, TernChatTemplate **out);
/* The file that the choice names, or NULL. */
const char *chat_template_file(const char *choice);
/* The same for its text, which borrows from the vocabulary or from *own; free(*own). */
int chat_source(const char *choice, const TernVocab *vocab, TernText *out, char **own);
#define DATE_FLAG(value)                                                                                     \
    { "--date", "YYYY-MM-DD", FLAG_STR, &(value), 0, 0, "today, for templates that print it" }
/* Seconds since 1970 at the beginning of the day; exits 2 if it is none. */
int64_t read_date(const Verb *verb, const char *date);

/* ---- picture.c */
/* Writes a picture or text of a graph to the file `path` ("-": standard output). svg: runs Graphviz' program
 * `dot` on it. Returns an exit status. */
int show_picture(const TerncPicture *picture, const char *path, bool svg);

/* ---- progress.c: a bar on standard error, if that is a terminal */
int progress_bar(void *user, const char *phase, uint64_t done, uint64_t total);
void progress_end(void);
void progress_wipe(void); /* progress_end for signal handlers */

/* ---- stderr_lines.c: lines on standard error of a thread that must go on when their reader stands still
 * From now on this thread loses lines that would have to wait, and the next one that need not is preceded by their number. */
void lines_may_be_lost(void);
bool line_has_room(void); /* whether the thread may print now */
/* Prints a line, with its end in the text; of one that may be lost, what is beyond 4 KiB is cut off. */
void say_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- quota.c */
/* If -t is not given (0) and a quota of processor time makes the threads fewer than the processors, prints a
 * line, once. Call it when nothing can be refused any more, and before anything else is printed. */
void report_quota(int64_t threads);

/* ---- signals.c: SIGINT, SIGTERM, SIGHUP and SIGBUS */
/* Installs the handlers. From then on the first three end the program with a line and status 128 + the
 * signal; a mapped file that is cut short ends it with a line and status 1. */
void start_signals(void);
/* fork, with default actions in the child: a signal that the terminal sends to both must not run the handlers
 * twice. */
pid_t fork_child(void);
/* While on, an exit with status 1 that does not come from the verb is trouble (a library ran out of memory):
 * the program then only removes half-written files and ends with the verb's status for trouble, before the
 * exit handlers of libraries that are already open. */
void set_work(bool on);
void set_trouble(
    int status); /* the status for trouble in a verb where 1 means something else; calls set_work(true) */
/* While on, the first signal is only recorded; a second one ends the program. */
void heed_signals(bool on);
int signal_status(void);  /* 128 + the recorded signal, or 0 */
void forget_signal(void); /* the next one is the first again */
void report_signal(void); /* prints a line that names the recorded signal, if there is one */
/* For handlers: wipes the progress bar, removes temporary files, prints one line, and exits with 1 or
 * set_trouble's status. Async-signal-safe. */
_Noreturn void end_at_once(const char *text);

/* ---- profile_collect.c: --profile[=FILE] of run and bench */
typedef struct Profile Profile;
#define PROFILE_FLAG(value)                                                                                  \
    {                                                                                                        \
        "--profile", "FILE", FLAG_OPT, &(value), 0, 0,                                                       \
            "time every kernel and print tables; also write FILE.json, FILE.trace (Perfetto) or FILE.tir"    \
    }
/* Makes a profile from the flag's value. NULL: no profile, and all calls below do nothing. Exits 2 on a file
 * name whose ending is not one of those. */
Profile *profile_create(const Verb *verb, const char *value);
void profile_destroy(Profile *p);
const char *profile_path(const Profile *p); /* the file that it will write, or NULL */
/* Checks that the model has what the profile's file shows. Returns an exit status. */
int profile_check(const Profile *p, const Loaded *model);
/* The session's steps are timed from attach to take, which stores them under the name `test`; reset drops
 * those so far. Call take before the session is destroyed; attach again for another test or session. */
TernStatus profile_attach(Profile *p, TernSession *session, TernError *err);
void profile_reset(Profile *p);
TernStatus profile_take(Profile *p, const Loaded *model, const char *test, TernError *err);
void profile_detach(Profile *p); /* instead of take, when a step failed */
/* profile_finish also says what these numbers of workers (at most 64) would make of each test that has two workers or more, on
 * sockets of so many cores whose memory gives so many bytes a second. */
void profile_simulate(Profile *p, const uint32_t *workers, uint32_t n, uint32_t cores, double rate);
/* Prints the tables and writes the file. Returns an exit status. */
int profile_finish(Profile *p, const Loaded *model);

/* ---- the verbs */
int verb_compile(const Verb *, int, char **);
int verb_convert(const Verb *, int, char **);
int verb_run(const Verb *, int, char **);
int verb_chat(const Verb *, int, char **);
int verb_logits(const Verb *, int, char **);
int verb_perplexity(const Verb *, int, char **);
int verb_tokenize(const Verb *, int, char **);
int verb_detokenize(const Verb *, int, char **);
int verb_render(const Verb *, int, char **);
int verb_opt(const Verb *, int, char **);
int verb_eval(const Verb *, int, char **);
int verb_inspect(const Verb *, int, char **);
int verb_embed(const Verb *, int, char **);
int verb_bench(const Verb *, int, char **);
int verb_devices(const Verb *, int, char **);
int verb_serve(const Verb *, int, char **);
int verb_batch(const Verb *, int, char **);
int verb_diff(const Verb *, int, char **);
int verb_verify(const Verb *, int, char **);
int verb_check(const Verb *, int, char **);

#endif
