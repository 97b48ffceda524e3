/* The program `tern`: what its verbs share. Generated text alone goes to standard output, all else to
 * standard error; exit status 0, 1 for a bad input or environment, 2 for a usage error, 128 + N when signal N
 * ended it. */
#ifndef TN_CLI_H
#define TN_CLI_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include "runtime/tern.h"
#include "runtime/text/text.h"
#include "codegen/targets.h"
#include "frontends/api/ternc_tools.h"
#include "runtime/base/files.h"
#include "runtime/abi/kvs.h"
#include "runtime/abi/levels.h"
#include "runtime/base/os.h"
#include "runtime/base/arena.h"
#include "runtime/base/buf.h"

enum { EXIT_OK = 0, EXIT_INPUT = 1, EXIT_USAGE = 2 };

/* ---- args.c: flags from a table */
typedef enum FlagKind {
    FLAG_BOOL,  /* bool */
    FLAG_STR,   /* const char *, not empty */
    FLAG_TEXT,  /* const char * */
    FLAG_OPT,   /* const char *, given as --flag or --flag=VALUE: "-" without a value */
    FLAG_INT,   /* int64_t within [lo, hi] */
    FLAG_U64,   /* uint64_t */
    FLAG_SEED,  /* uint64_t: TERN_SEED_RANDOM is said as -1 */
    FLAG_FLOAT, /* float within [lo, hi] */
    FLAG_LIST   /* StrList: may be given again */
} FlagKind;

typedef struct StrList {
    const char *v[64];
    uint32_t n;
} StrList;

typedef struct Flag {
    const char *names; /* "-p --prompt" */
    const char *arg;   /* "TEXT"; NULL for FLAG_BOOL */
    FlagKind kind;
    void *out;
    double lo, hi;
    const char *help;
} Flag;
#define FLAG_END                                                                                             \
    { NULL, NULL, FLAG_BOOL, NULL, 0, 0, NULL }

typedef struct Verb {
    const char *name, *usage, *summary;
    int (*run)(const struct Verb *verb, int argc, char **argv);
} Verb;
extern const Verb verbs[];

/* Reads flags; up to max_positional other words go to positional, their number to *n. On --help prints the
 * help and exits 0; on a mistake prints one line and exits 2. A flag of one value that is given two, also by a word in
 * its place, is a mistake, and so is an empty value, except of a FLAG_TEXT. */
void parse_args(const Verb *verb, const Flag *flags, int argc, char **argv, const char **positional,
                int max_positional, int *n);
/* Every flag has effect or is refused, and what a verb refuses beyond ranges it says with these. After parse_args: the
 * name by which the flag that fills `out` was given, or NULL. */
const char *flag_given(const void *out);
/* Of the names of one flag, "-t --threads", that by which it was given, else the first; text that is no flag as it is. */
const char *flag_typed(const char *names);
/* Exits 2 with "NAME goes with WHAT" if that flag was given and `with` is false. */
void only_with(const Verb *verb, const void *out, bool with, const char *what);
/* A line about a flag that is let pass without effect. It waits for notes_print, or for a verb that ends with an answer
 * or by a signal that it heeds: what is refused is refused with one line. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void notes_print(void);
/* Does `word` (n bytes) stand among the names? */
bool flag_named(const char *names, const char *word, size_t n);
/* Prints "tern VERB: text" and exits 2. */
_Noreturn void usage_error(const Verb *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* fields.c: puts the program's flags where a library's line names fields of its interface. */
void name_flags(TernError *err);
/* Prints "tern: error: text", with flags for fields, and returns EXIT_INPUT. Under a message about a line of a text that is
 * known (`path` is not copied) stands the line. */
void known_text(const char *path);
int fail(const TernError *err);
int fail_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- numbers.c: decimal, without blanks or a plus; false if it is none, or out of [lo, hi] */
bool read_whole(const char *text, int64_t lo, int64_t hi, int64_t *out);
bool read_u64(const char *text, uint64_t *out);
bool read_number(const char *text, double lo, double hi, double *out);
/* "1,2,3" to whole numbers up to 2^24; exits 2 on a mistake. Returns the count, at most 64. */
uint32_t parse_counts(const Verb *verb, const char *flag, const char *list, uint32_t *out);
/* "N" or "LO..HI", 1 to 65,536; exits 2 on anything else. */
void parse_rows(const Verb *verb, const char *rows, uint32_t *out_lo, uint32_t *out_hi);
/* Threads that were asked for by a flag: above four times the processors exits 2, above them leaves a note. */
void check_threads(const Verb *verb, const char *flag, int64_t threads);

/* ---- foreign.c: whether the word is a flag of another program; *out says what to do about it */
bool foreign_flag(const Flag *flags, const char *word, size_t len, TnBuf *out);

/* ---- main.c: flushes standard output. Returns `code`, or the verb's code for trouble if that failed. */
int close_output(const Verb *verb, int code);

/* ---- tune_flags.c: --tune of compile, run and bench */
typedef struct TuneFlags {
    const char *seconds, *cache; /* "-": given without a value */
    char path[4096];
} TuneFlags;
#define TUNE_FLAGS(t)                                                                                        \
    {"--tune",                                                                                               \
     "SECONDS",                                                                                              \
     FLAG_OPT,                                                                                               \
     &(t).seconds,                                                                                           \
     0,                                                                                                      \
     0,                                                                                                      \
     "measure how to cut kernels and how far to fetch ahead, for at most so long (default 5)"},              \
    {                                                                                                        \
        "--tune-cache", "FILE", FLAG_STR, &(t).cache, 0, 0,                                                  \
            "keeps what --tune measured; default: tern/tune in $XDG_CACHE_HOME or ~/.cache"                  \
    }
/* The file that keeps what is measured, NULL without --tune; its path may lie in *t. */
const char *tuning_cache(TuneFlags *t);
/* Sets what the flags say, if --tune is given; exits 2 on a mistake. The path of the cache lies in *t. */
void set_tuning(const Verb *verb, TuneFlags *t, int64_t threads, TerncOptions *o);

/* ---- check_files.c: what a verb reads and writes */
/* Before any work, of all files that the verb will read or write: one that cannot be read or written is refused, and an
 * output that is one of the inputs, or of the program's own files. Returns an exit status; exits 2 on an output's empty name. */
int check_files(const Verb *verb, const TnFileUse *files, size_t n);
/* Of a verb that takes MODEL_FLAGS; the second also of TUNE_FLAGS. */
#define MODEL_FILES(m)                                                                                       \
    {"the model", (m).model, TN_FILE_IN}, {                                                                  \
        "--weights", (m).weights, TN_FILE_IN                                                                 \
    }
#define TUNE_FILE(t)                                                                                         \
    {                                                                                                        \
        (t).cache ? "--tune-cache" : "the tuning cache", tuning_cache(&(t)),                                 \
            (t).cache ? TN_FILE_CACHE : TN_FILE_CACHE_MAYBE                                                  \
    }
#define STANDARD_OUTPUT                                                                                      \
    { "standard output", "-", TN_FILE_OUT }
void keep_standard(void); /* first of all */
/* Then: where standard error is a file that a word names, or standard input, messages go to standard output, or to the
 * terminal if that is such a file too, until check_files knows what the word is. */
void keep_messages(int argc, char **argv);

/* ---- load.c: models and the compiler library */
/* What a verb can refuse once a model is known, before there is code for it: lengths, ids, a text. `vocab` is the
 * vocabulary image or NULL, and ends with the call if the model is compiled. Returns an exit status. */
typedef int KnownFn(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes);
typedef struct ModelFlags {
    const char *model;   /* NULL: the embedded one */
    const char *weights; /* of a .tir; NULL: the embedded model's */
    const char *cpu, *target, *kv, *head;
    const char *type_k, *type_v; /* llama.cpp's way to say kv */
    StrList overrides;
    bool ternary_dense, no_check, huge;
    int64_t threads;
    TuneFlags tune;
    KnownFn *known; /* called by load_model; may be NULL */
    void *known_user;
} ModelFlags;
#define MODEL_FLAGS(m)                                                                                       \
    {"-m --model", "FILE", FLAG_STR, &(m).model, 0, 0, "the model, if not given as a word"},                 \
        {"--weights",                                                                                        \
         "FILE.gguf",                                                                                        \
         FLAG_STR,                                                                                           \
         &(m).weights,                                                                                       \
         0,                                                                                                  \
         0,                                                                                                  \
         "where a .tir (a graph as text, stage=model) finds its tensors; default: the embedded model"},      \
        {"-t --threads",                                                                                     \
         "N",                                                                                                \
         FLAG_INT,                                                                                           \
         &(m).threads,                                                                                       \
         1,                                                                                                  \
         1024,                                                                                               \
         "worker threads (default: all processors, or what a CPU quota is good for)"},                       \
        {"--kv", "TYPE", FLAG_STR, &(m).kv, 0, 0, "KV cache: f16 (default), f32 or i8"},                     \
        {"-ctk --cache-type-k", "TYPE", FLAG_STR, &(m).type_k, 0, 0, "the same: both of these, equal"},      \
        {"-ctv --cache-type-v", "TYPE", FLAG_STR, &(m).type_v, 0, 0, "the same: both of these, equal"},      \
        {"--cpu",                                                                                            \
         "LEVEL",                                                                                            \
         FLAG_STR,                                                                                           \
         &(m).cpu,                                                                                           \
         0,                                                                                                  \
         0,                                                                                                  \
         TN_LEVEL_NAMES_THEN(": the highest CPU feature level to use")},                                     \
        {"--head",                                                                                           \
         "TYPE",                                                                                             \
         FLAG_STR,                                                                                           \
         &(m).head,                                                                                          \
         0,                                                                                                  \
         0,                                                                                                  \
         "of a .gguf: head table as f32 or f16, or q8, q6: with a small copy by which the best are found"},  \
        {"--target", "NAME", FLAG_STR, &(m).target, 0, 0, target_help()},                                    \
        {"--override-kv",                                                                                    \
         "KEY=TYPE:VALUE",                                                                                   \
         FLAG_LIST,                                                                                          \
         &(m).overrides,                                                                                     \
         0,                                                                                                  \
         0,                                                                                                  \
         "replace a metadata key of a .gguf; TYPE is int, float, bool or str"},                              \
    {                                                                                                        \
        "--ternary-dense", NULL, FLAG_BOOL, &(m).ternary_dense, 0, 0,                                        \
            "run block weights stored dense as ternary; refused unless all are -s, 0 or s"                   \
    }

#define NO_CHECK_FLAG(m)                                                                                     \
    { "--no-check", NULL, FLAG_BOOL, &(m).no_check, 0, 0, "of a .tern: do not verify the weights' hashes" }

#define HUGE_FLAG(m)                                                                                         \
    {                                                                                                        \
        "--huge", NULL, FLAG_BOOL, &(m).huge, 0, 0,                                                          \
            "move a .tern's weights into huge pages; those of a .gguf are made in such anyway"               \
    }

typedef struct Loaded {
    TernModel *model;
    TernPool *pool;
    TernModelInfo info;
    double seconds;
    bool compiled; /* at load */
} Loaded;
/* Opens (a .tern) or compiles (a .gguf) the model and makes the pool. Returns an exit status, flags->known's if that is
 * not 0. */
int load_model(const Verb *verb, const ModelFlags *flags, Loaded *out);
void unload_model(Loaded *l);
/* The note that -t is due beside --target ref. */
void note_idle_threads(const Verb *verb, const ModelFlags *flags, const char *name);
/* Exits 2 if the flag that fills `out` is given and the file is a graph as text or compiled. */
void only_of_gguf(const Verb *verb, const char *path, const void *out);
/* With --huge, once there is a session: a line that says what came of it. */
void report_huge(const ModelFlags *flags, const Loaded *l);
/* A note that so many values saturated in an f16 cache; nothing for 0. */
void note_saturated(uint64_t n);
/* f16 (also if kv is NULL), f32 or i8; exits 2 on another word. */
TernKv parse_kv(const Verb *verb, const char *kv);
/* From --kv, or -ctk and -ctv, which without a --kv are f16 as long as they are not given; exits 2 unless all agree:
 * keys and values have one type. */
TernKv kv_of_flags(const Verb *verb, const ModelFlags *flags);
/* A comma list of them as a mask, 1u << TernKv each. */
uint32_t parse_kvs(const Verb *verb, const char *list);
/* For TerncSource.note: prints the line. And for those that take text: whether it is such a line, which is printed then. */
void print_note(void *user, const char *line);
bool take_note(const char *what, const char *text, size_t n);
/* Vocabulary of a .gguf or a .tern; *image is to be freed after the vocabulary is closed, *model closed. */
int load_vocab(const Verb *verb, const ModelFlags *flags, TernVocab **out, void **image, TernModel **model);
/* For --target: who makes the code of kernels. */
const char *target_help(void);
/* What ternc.h wants of the flags' model: a source, or, if *blob is set, that compiled file (its --target too is checked). */
TernStatus source_of_flags(const Verb *verb, const ModelFlags *flags, TerncSource *out, const char **blob,
                           TernError *err);
/* tn_file_read of a text that somebody wrote, with a refusal of what is known to be no text. */
TernStatus read_text_file(const char *path, size_t limit, char **out, size_t *out_size, TernError *err);
/* Whether the file begins with GGUF. */
bool is_gguf(const char *path);
/* Whether the word names a graph as text: FILE.tir, or "-" for standard input; NULL is fine. */
bool is_tir(const char *path);

/* ---- compiler.c: where memory ends in the compiler library
 * While it compiles an abort is one line and an exit of 1; before it is opened: whether there is address space for it. */
void compiler_aborts(bool compiling);
bool compiler_has_room(void);
const char *compiler_refused(const char *why); /* the loader's words, and that memory was short if it was */
void compiler_handlers(void *lib);

/* The compiler library, opened on first use. */
typedef struct TerncCalls {
    const char *(*version)(void);
    TernStatus (*compile)(const TerncSource *, const TerncOptions *, const char *, TerncReport *,
                          TernError *);
    TernStatus (*load)(const TerncSource *, const TerncOptions *, TerncReport *, TernModel **, TernError *);
    TernStatus (*open_ref)(const char *, const TernModelOptions *, TernModel **, TernError *);
    TernStatus (*emit)(const TerncSource *, const TerncOptions *, const char *, TerncTextFn *, void *,
                       TernError *);
    TernStatus (*vocab)(const TerncSource *, void **, size_t *, TernError *);
    TernStatus (*opt)(const TerncOpt *, TerncTextFn *, void *, TernError *);
    TernStatus (*inspect)(const char *, TerncTextFn *, void *, TernError *);
    TernStatus (*eval)(const TerncEval *, TerncTextFn *, void *, TernError *);
    TernStatus (*import)(const TerncImport *, TerncTextFn *, void *, TernError *);
    TernStatus (*diff)(const TerncDiff *, TerncTextFn *, void *, int *, TernError *);
    TernStatus (*picture)(const TerncPicture *, TerncTextFn *, void *, TernError *);
    TernStatus (*verify)(const TerncVerify *, TerncTextFn *, void *, int *, TernError *);
    TernStatus (*cost)(const TernModel *, uint32_t, TerncCost **, uint32_t *, TernError *);
} TerncCalls;
TernStatus find_ternc(const TerncCalls **out, TernError *err);
const TerncCalls *ternc(void); /* the same for a verb: ends the program with 1 and a line if it cannot be */
char *compiler_beside(const char *libtern); /* the path of it; NULL if libtern's says none; free() it */
bool ternc_present(void);

/* ---- verb_tokens.c: ids from flags */
typedef struct Tokens {
    int32_t *ids;
    size_t n;
} Tokens; /* free(ids) */
/* From --tokens text or a --token-file (either NULL): whole numbers between blanks, newlines or commas, each
 * below n_vocab (0: not checked). Returns an exit status. */
int read_ids(const char *list, const char *file, uint32_t n_vocab, Tokens *out);
/* From -p or -f text. */
int encode_text(const TernVocab *vocab, const char *text, size_t n, uint32_t flags, Tokens *out);

/* ---- picture.c */
/* A graph drawn or written out: to the file `path` ("-": standard output). svg: through Graphviz' program `dot`.
 * Returns an exit status. */
int show_picture(const TerncPicture *picture, const char *path, bool svg);

/* ---- progress.c: a bar on standard error, if that is a terminal */
int progress_bar(void *user, const char *phase, uint64_t done, uint64_t total);
void progress_end(void);
void progress_wipe(void); /* the same for a signal's handler */

/* ---- quota.c */
/* Where -t is not given (0): one line, the first time, if a quota of processor time makes the threads fewer than the
 * processors. Called when nothing can be refused any more, and before anything else is said. */
void report_quota(int64_t threads);

/* ---- signals.c: what SIGINT, SIGTERM, SIGHUP and SIGBUS do */
/* From here on the first three end the program with a line and status 128 + the signal, and a mapped file that is cut
 * short ends it with a line and status 1. */
void start_signals(void);
/* fork, with the default actions in the child: what a terminal sends to both never runs the program's handlers twice. */
pid_t fork_child(void);
/* While a verb is at work what ends the program with 1, and is not the verb, is trouble: nothing but what is half written
 * is tidied up then. On, it comes before the ends of all libraries that are open. */
void set_work(bool on);
void set_trouble(int status); /* of a verb in which 1 means something else; its work begins */
/* While on, the first of them is only noted, and a second one ends the program. */
void heed_signals(bool on);
int signal_status(void);  /* 128 + the signal that was noted, or 0 */
void report_signal(void); /* a line that names it, if there was one */
/* For handlers: wipes the progress bar, removes temporary files, prints one line, and exits with 1 or
 * set_trouble's status. Calls nothing but what is async-signal-safe. */
_Noreturn void end_at_once(const char *text);
/* ---- profile_collect.c: --profile[=FILE] of run and bench */
typedef struct Profile Profile;
#define PROFILE_FLAG(value)                                                                                  \
    {                                                                                                        \
        "--profile", "FILE", FLAG_OPT, &(value), 0, 0,                                                       \
            "time every kernel; a table, and FILE.json, FILE.trace (Perfetto) or FILE.tir"                   \
    }
/* From the flag's value; NULL: no profile, and all calls below do nothing then. Exits 2 on an ending that is
 * none of the three. */
Profile *profile_create(const Verb *verb, const char *value);
void profile_destroy(Profile *p);
const char *profile_path(const Profile *p); /* of the file that it will write, or NULL */
/* Whether the model has what the profile's file shows. Returns an exit status. */
int profile_check(const Profile *p, const Loaded *model);
/* From attach to take the session's steps are timed; reset forgets those so far. `test` names them. Take
 * before the session ends; again for another test or session. */
TernStatus profile_attach(Profile *p, TernSession *session, TernError *err);
void profile_reset(Profile *p);
TernStatus profile_take(Profile *p, const Loaded *model, const char *test, TernError *err);
void profile_detach(Profile *p); /* for when a step failed */
/* Prints the tables and writes the file. Returns an exit status. */
int profile_finish(Profile *p, const Loaded *model);

/* ---- the verbs */
int verb_compile(const Verb *, int, char **);
int verb_run(const Verb *, int, char **);
int verb_logits(const Verb *, int, char **);
int verb_perplexity(const Verb *, int, char **);
int verb_tokenize(const Verb *, int, char **);
int verb_detokenize(const Verb *, int, char **);
int verb_opt(const Verb *, int, char **);
int verb_eval(const Verb *, int, char **);
int verb_inspect(const Verb *, int, char **);
int verb_bench(const Verb *, int, char **);
int verb_diff(const Verb *, int, char **);
int verb_verify(const Verb *, int, char **);

#endif
