/* The program `tern`: what its verbs share. Only generated text goes to standard output; everything else goes
 * to standard error. The exit status is 0, 1 for a bad input or environment, 2 for a usage error, or 128 + N
 * if signal N ended the program. */
#ifndef TN_CLI_H
#define TN_CLI_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include "runtime/tern.h"
#include "runtime/text/chat.h"
#include "runtime/text/text.h"
#include "runtime/generate/generate.h"
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
    FLAG_SEED,  /* uint64_t: -1 means TERN_SEED_RANDOM */
    FLAG_FLOAT, /* float within [lo, hi] */
    FLAG_LIST   /* StrList: may be given several times */
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

/* Reads flags. Up to max_positional other words go to positional, and their number to *n. On --help it prints
 * the help and exits 0; on a mistake it prints one line and exits 2. Two different values for a flag that
 * takes one are a mistake, also if one of them is a positional word; so is an empty value, except for
 * FLAG_TEXT. */
void parse_args(const Verb *verb, const Flag *flags, int argc, char **argv, const char **positional,
                int max_positional, int *n);
/* Every flag has an effect or is refused. Verbs use these calls, after parse_args, to refuse what is more
 * than a value out of range. flag_given returns the name by which the flag that fills `out` was given, or
 * NULL. */
const char *flag_given(const void *out);
/* Takes the names of one flag, e.g. "-t --threads", and returns the one by which it was given, or the first.
 * Returns text that is not a flag unchanged. */
const char *flag_typed(const char *names);
/* Exits 2 with "NAME goes with WHAT" if that flag was given and `with` is false. */
void only_with(const Verb *verb, const void *out, bool with, const char *what);
/* Keeps a line, e.g. about a flag that is accepted but has no effect. It is printed by notes_print, which
 * main also calls when a verb ends with an answer or by a signal that it handles. A verb that fails prints
 * its error alone. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void notes_print(void);
void notes_quiet(bool on); /* while on, notes_print drops them */
/* Returns whether `word` (n bytes) is one of the names. */
bool flag_named(const char *names, const char *word, size_t n);
/* Prints "tern VERB: text" and exits 2. */
_Noreturn void usage_error(const Verb *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* fields.c: replaces the names of a library's fields in its message by the program's flags. */
void name_flags(TernError *err);
/* Registers a text that the verb reads (`path` is not copied), so that a message about one of its lines shows
 * that line. */
void known_text(const char *path);
/* Prints "tern: error: text", with flags in place of fields, and returns EXIT_INPUT. */
int fail(const TernError *err);
int fail_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- help.c: the help of a verb, and what is made of the tables besides
 * `tern help` takes --man (manual pages) or --bash (completion). help_form sets the form for the rest of the process; false:
 * the word is neither. */
typedef enum HelpForm { HELP_TEXT, HELP_MAN, HELP_BASH } HelpForm;
bool help_form(const char *flag);
int help_program(void); /* prints the form for the whole program, of the two that help_form knows */
_Noreturn void help_verb(const Verb *verb, const Flag *flags); /* prints the form for a verb and exits */

/* ---- numbers.c: decimal numbers, without blanks or a plus. False if the text is not one, or is outside [lo,
 * hi]. */
bool read_whole(const char *text, int64_t lo, int64_t hi, int64_t *out);
bool read_u64(const char *text, uint64_t *out);
bool read_number(const char *text, double lo, double hi, double *out);
/* "1,2,3" to whole numbers up to 2^24; exits 2 on a mistake. Returns the count, at most 64. */
uint32_t parse_counts(const Verb *verb, const char *flag, const char *list, uint32_t *out);
/* "N" or "LO..HI", 1 to 65,536; exits 2 on anything else. */
void parse_rows(const Verb *verb, const char *rows, uint32_t *out_lo, uint32_t *out_hi);
/* "0-3,6" to processors; exits 2 on a mistake, and on one that the process may not run on. Returns the count, from 1. */
enum { CPUS_MOST = 1024 };
uint32_t parse_cpus(const Verb *verb, const char *flag, const char *list, uint32_t out[CPUS_MOST]);
/* "900M", "2G" (10^6, 10^9), "512Mi", "1Gi" (2^20, 2^30) or plain bytes; exits 2 on a mistake. Returns at least 1. */
uint64_t parse_bytes(const Verb *verb, const char *flag, const char *text);
/* Checks a thread count given by a flag. More than four times the processors: exits 2. More than the
 * processors: leaves a note. */
void check_threads(const Verb *verb, const char *flag, int64_t threads);

/* ---- foreign.c: returns whether the word is a flag of another program; *out then says what to use
 * instead */
bool foreign_flag(const Flag *flags, const char *word, size_t len, TnBuf *out);

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
     "choose how kernels are cut and their prefetch distances by measuring, for at most SECONDS (default "   \
     "5)"},                                                                                                  \
    {                                                                                                        \
        "--tune-cache", "FILE", FLAG_STR, &(t).cache, 0, 0,                                                  \
            "file that keeps what --tune measured; default: tern/tune in $XDG_CACHE_HOME or ~/.cache"        \
    }
/* Returns the path of the tuning cache, which may lie in *t; NULL without --tune. */
const char *tuning_cache(TuneFlags *t);
/* Gives the path of the user's cache `name`: tern/NAME in $XDG_CACHE_HOME or ~/.cache. False if neither is set, or if the
 * path does not fit. */
bool cache_path(const char *name, char *out, size_t size);
/* Makes the missing folders before the last part of a path. A failure shows when the file is written. */
void make_folders(char *path);
/* If --tune is given, sets the options of *o that the flags ask for; exits 2 on a mistake. The path of the
 * cache may lie in *t, which must live as long as *o. */
void set_tuning(const Verb *verb, TuneFlags *t, int64_t threads, TerncOptions *o);

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

/* ---- load.c: models and the compiler library */
/* Called when a model's facts are known and before there is code for it, so that a verb can refuse lengths,
 * ids or a text early. `vocab` is the vocabulary image or NULL; if the model is being compiled, it is valid
 * only during the call. Returns an exit status. */
typedef int KnownFn(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes);
typedef struct ModelFlags {
    const char *model;   /* NULL: the embedded one */
    const char *weights; /* for a .tir; NULL: the embedded model's */
    const char *cpu, *target, *device, *kv, *head, *i2s_layout;
    const char *type_k, *type_v; /* llama.cpp's spelling of kv */
    StrList overrides;
    bool ternary_dense, no_check, huge;
    int64_t threads;
    const char *cpus;         /* CPUS_FLAG; NULL: not given */
    const char *memory_limit; /* MEMORY_FLAG; likewise */
    uint32_t context;         /* of a model that is compiled: positions that will be run; 0: the model's */
    TuneFlags tune;
    float keep_gib; /* KEEP_FLAGS */
    bool no_keep;
    KnownFn *known; /* called by load_model; may be NULL */
    void *known_user;
} ModelFlags;
#define I2S_LAYOUT_HELP                                                                                      \
    "how I2_S tensors of a .gguf lie, which it cannot tell: 128x32 (default), 64x16 or 1x4"
#define MODEL_FLAGS(m)                                                                                       \
    {"-m --model", "FILE", FLAG_STR, &(m).model, 0, 0, "the model, if not given as a word"},                 \
        {"--weights",                                                                                        \
         "FILE.gguf",                                                                                        \
         FLAG_STR,                                                                                           \
         &(m).weights,                                                                                       \
         0,                                                                                                  \
         0,                                                                                                  \
         "the tensors of a .tir (a graph as text, stage=model); default: the embedded model's"},             \
        {"-t --threads",                                                                                     \
         "N",                                                                                                \
         FLAG_INT,                                                                                           \
         &(m).threads,                                                                                       \
         1,                                                                                                  \
         1024,                                                                                               \
         "worker threads (default: all processors, or as many as the CPU quota allows)"},                    \
        {"--kv", "TYPE", FLAG_STR, &(m).kv, 0, 0, "KV cache: f16 (default), f32 or i8"},                     \
        {"-ctk --cache-type-k",                                                                              \
         "TYPE",                                                                                             \
         FLAG_STR,                                                                                           \
         &(m).type_k,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         "llama.cpp's spelling of --kv; must equal -ctv"},                                                   \
        {"-ctv --cache-type-v",                                                                              \
         "TYPE",                                                                                             \
         FLAG_STR,                                                                                           \
         &(m).type_v,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         "llama.cpp's spelling of --kv; must equal -ctk"},                                                   \
        {"--cpu",                                                                                            \
         "LEVEL",                                                                                            \
         FLAG_STR,                                                                                           \
         &(m).cpu,                                                                                           \
         0,                                                                                                  \
         0,                                                                                                  \
         TN_LEVEL_CPU_NAMES_THEN(": the highest CPU feature level to use")},                                 \
        {"--head",                                                                                           \
         "TYPE",                                                                                             \
         FLAG_STR,                                                                                           \
         &(m).head,                                                                                          \
         0,                                                                                                  \
         0,                                                                                                  \
         "for a .gguf: f32, f16: convert the head table; q8, q6: also store a quantized copy that "          \
         "shortlists the best ids, same ids"},                                                               \
        {"--target", "NAME", FLAG_STR, &(m).target, 0, 0, target_help()},                                    \
        {"--device",                                                                                         \
         "NAME",                                                                                             \
         FLAG_STR,                                                                                           \
         &(m).device,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         "what runs the model: cpu (default), cuda[:N], or auto: a GPU that can, else the cpu"},             \
        {"--override-kv",                                                                                    \
         "KEY=TYPE:VALUE",                                                                                   \
         FLAG_LIST,                                                                                          \
         &(m).overrides,                                                                                     \
         0,                                                                                                  \
         0,                                                                                                  \
         "replace a metadata key of a .gguf; TYPE is int, float, bool or str"},                              \
        {"--i2s-layout", "NAME", FLAG_STR, &(m).i2s_layout, 0, 0, I2S_LAYOUT_HELP}, {                        \
        "--ternary-dense", NULL, FLAG_BOOL, &(m).ternary_dense, 0, 0,                                        \
            "run block weights that are stored dense as ternary; refused unless all are -s, 0 or s"          \
    }

#define NO_CHECK_FLAG(m)                                                                                     \
    { "--no-check", NULL, FLAG_BOOL, &(m).no_check, 0, 0, "for a .tern: do not verify the weights' hashes" }

#define HUGE_FLAG(m)                                                                                         \
    {                                                                                                        \
        "--huge", NULL, FLAG_BOOL, &(m).huge, 0, 0,                                                          \
            "move a .tern's weights into huge pages; a .gguf's are put there unless they are kept in a file" \
    }

/* For verbs that call load_model. */
#define KEEP_FLAGS(m)                                                                                        \
    {"--keep",                                                                                               \
     "GIB",                                                                                                  \
     FLAG_FLOAT,                                                                                             \
     &(m).keep_gib,                                                                                          \
     0,                                                                                                      \
     1e6,                                                                                                    \
     "keep what is compiled from a .gguf for the next start, at most GIB of it in all, the oldest goes "     \
     "first (16; 0: nothing; or $TERN_KEEP)"},                                                               \
    {                                                                                                        \
        "--no-keep", NULL, FLAG_BOOL, &(m).no_keep, 0, 0, "keep nothing and use nothing that was kept"       \
    }

#define CPUS_FLAG(m)                                                                                         \
    {                                                                                                        \
        "--cpus", "LIST", FLAG_STR, &(m).cpus, 0, 0,                                                         \
            "processors to run on, such as 0-3 or 0,2, one worker bound to each (default: all that the "     \
            "process "                                                                                       \
            "may run on, none bound)"                                                                        \
    }

/* For verbs that call load_model and make sessions. */
#define MEMORY_FLAG(m)                                                                                       \
    {                                                                                                        \
        "--memory-limit", "SIZE", FLAG_STR, &(m).memory_limit, 0, 0,                                         \
            "refuse to start if weights, code and cache need more, such as 900M, 2G or 1Gi (default: no "    \
            "limit)"                                                                                         \
    }

/* ---- prompt_cache.c: the cache of a prompt in a file, for run */
typedef struct PromptCache {
    const char *path; /* NULL: not given; all calls below do nothing */
    bool all, read_only;
    TernSlot *slot;          /* for the request; the caller destroys it */
    size_t n_file, n_loaded; /* ids in the file, and how many of those the prompt begins with */
} PromptCache;
#define PROMPT_CACHE_FLAGS(c)                                                                                \
    {"--prompt-cache",                                                                                       \
     "FILE",                                                                                                 \
     FLAG_STR,                                                                                               \
     &(c).path,                                                                                              \
     0,                                                                                                      \
     0,                                                                                                      \
     "load the beginning of the prompt from FILE, if it is there, and save the prompt's cache in it"},       \
        {"--prompt-cache-all", NULL, FLAG_BOOL, &(c).all, 0, 0, "save the answer's cache in it, too"}, {     \
        "--prompt-cache-ro", NULL, FLAG_BOOL, &(c).read_only, 0, 0, "save nothing in it"                     \
    }
#define PROMPT_CACHE_FILE(c)                                                                                 \
    { "--prompt-cache", (c).path, (c).read_only ? TN_FILE_IN : TN_FILE_CACHE }
/* Exits 2 on a mistake. */
void check_prompt_cache(const Verb *verb, const PromptCache *c);
/* Takes a slot of the generator and loads what the file has of the prompt. */
TernStatus open_prompt_cache(PromptCache *c, TernGenerator *g, const int32_t *ids, size_t n, TernError *err);
/* Prints how much of the prompt was there. If the prompt goes further than the file, saves it. */
TernStatus save_prompt_cache(const PromptCache *c, const TernGenerated *got, TernError *err);

/* ---- generate_flags.c: how text is generated, for run and chat */
typedef struct GenerateFlags {
    int64_t n, context, top_k, draft;
    float temp, top_p, min_p, repeat_penalty;
    uint64_t seed;
    bool ignore_eos;
} GenerateFlags;
#define GENERATE_DEFAULTS                                                                                    \
    {                                                                                                        \
        .n = -1, .context = -1, .temp = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f,                   \
        .repeat_penalty = 1.0f, .seed = TERN_SEED_RANDOM                                                     \
    }
enum { DRAFT_MOST = 64 };
#define GENERATE_FLAGS(g)                                                                                      \
    {"-n --predict --n-predict",                                                                               \
     "N",                                                                                                      \
     FLAG_INT,                                                                                                 \
     &(g).n,                                                                                                   \
     -1,                                                                                                       \
     1 << 30,                                                                                                  \
     "tokens to generate; -1 (default): until the end or the context is full"},                                \
        {"-c --ctx-size",                                                                                      \
         "N",                                                                                                  \
         FLAG_INT,                                                                                             \
         &(g).context,                                                                                         \
         0,                                                                                                    \
         1 << 24,                                                                                              \
         "context in positions; 0: the model's; default: the model's, but at most 4096"},                      \
        {"--temp", "X", FLAG_FLOAT, &(g).temp, 0, 1e9, "temperature (0.8); 0 is greedy"},                      \
        {"--top-k", "N", FLAG_INT, &(g).top_k, -1, 1 << 30, "keep the N best ids (40); 0 or -1: all"},         \
        {"--top-p",                                                                                            \
         "X",                                                                                                  \
         FLAG_FLOAT,                                                                                           \
         &(g).top_p,                                                                                           \
         0,                                                                                                    \
         1,                                                                                                    \
         "keep the best ids whose probabilities reach X together (0.95); 1: all"},                             \
        {"--min-p", "X", FLAG_FLOAT, &(g).min_p, 0, 1, "drop ids less probable than X times the best (0.05)"}, \
        {"--repeat-penalty",                                                                                   \
         "X",                                                                                                  \
         FLAG_FLOAT,                                                                                           \
         &(g).repeat_penalty,                                                                                  \
         1e-6,                                                                                                 \
         1e9,                                                                                                  \
         "penalise the last 64 ids (1.0: off)"},                                                               \
        {"-s --seed", "N", FLAG_SEED, &(g).seed, 0, 0, "random seed; -1 (default): choose one and print it"},  \
        {"--draft-max --draft",                                                                                \
         "N",                                                                                                  \
         FLAG_INT,                                                                                             \
         &(g).draft,                                                                                           \
         0,                                                                                                    \
         DRAFT_MOST,                                                                                           \
         "guess up to N ids from the text so far and check them in one step (0: off); same output"},           \
    {                                                                                                          \
        "--ignore-eos", NULL, FLAG_BOOL, &(g).ignore_eos, 0, 0, "continue after an end token"                  \
    }
/* Returns the sampler's options. */
TernSamplerOptions sampler_of_flags(const GenerateFlags *g);
/* Returns the request's limits; *sampler must live as long as the request. */
TernRequest request_of_flags(const GenerateFlags *g, const TernSamplerOptions *sampler);
/* Leaves notes about flags that have no effect: scripts give a seed and other sampling flags together with --temp 0, as
 * llama.cpp allows. */
void note_idle_flags(const GenerateFlags *g);
/* Checks all of them against the model, before there is code for it. *out_context is the number of positions. Returns an
 * exit status. */
int settle_generate(const GenerateFlags *g, const TernModelInfo *info, uint32_t *out_context);

/* What runs a model (device.c). */
typedef struct DeviceChoice {
    char name[16]; /* for TernModelOptions.device; "": the default */
    bool automatic;
    char why[200]; /* the rest of auto's line about a GPU that has not been printed yet; "": there is none */
} DeviceChoice;

typedef struct Loaded {
    TernModel *model;
    TernPool *pool;
    TernModelInfo info;
    double seconds;
    bool compiled; /* at load */
    bool tight;    /* report_start has printed its line about memory */
    bool kept;     /* its weights lie in the file of a kept blob, not in memory of this process */
    DeviceChoice device;
    uint32_t cpus[CPUS_MOST], n_cpus; /* --cpus; 0: not given */
    const Verb *verb;                 /* these two as load_model got them */
    const ModelFlags *flags;
} Loaded;
/* Opens (a .tern) or compiles (a .gguf) the model and makes the pool. Returns an exit status; if flags->known
 * refuses the model, that is its status. */
int load_model(const Verb *verb, const ModelFlags *flags, Loaded *out);
/* A session of the model could not be made. Returns true if --device auto had chosen a GPU: then a line says why, and the model
 * has been loaded anew for the cpu, so the session is to be made again. What belongs to the old model is gone, its vocabulary
 * too; flags->known is not asked again. False: *err says what the verb fails with. */
bool load_for_cpu(Loaded *l, TernStatus status, TernError *err);
void unload_model(Loaded *l);
/* Leaves a note if there are more threads than --cpus (`of`) has processors. */
void note_crowded(const char *flag, uint32_t threads, const char *of, uint32_t n_cpus);
/* Leaves a note if the evaluator is chosen: the flag `name` (-t) has no effect then. */
void note_idle_threads(const Verb *verb, const ModelFlags *flags, const char *name);
/* Exits 2 if the flag that fills `out` is given and the file is a graph as text or compiled. */
void only_of_gguf(const Verb *verb, const char *path, const void *out);
/* With --huge, prints how many bytes of the weights lie in huge pages. Call it once there is a session. */
void report_huge(const ModelFlags *flags, const Loaded *l);
/* Leaves a note that n values saturated in an f16 cache; does nothing if n is 0. */
void note_saturated(uint64_t n);
/* Parses f16 (also if kv is NULL), f32 or i8; exits 2 on another word. */
TernKv parse_kv(const Verb *verb, const char *kv);
/* Takes the type from --kv, or from -ctk and -ctv. Keys and values have one type, so it exits 2 unless all
 * agree; without --kv, -ctk or -ctv counts as f16 if it is not given. */
TernKv kv_of_flags(const Verb *verb, const ModelFlags *flags);
/* Parses a comma list of cache types into a mask, 1u << TernKv each. */
uint32_t parse_kvs(const Verb *verb, const char *list);
/* print_note prints the line of TerncSource.note. take_note is for text callbacks: if `what` is "note" it
 * prints the line and returns true. */
void print_note(void *user, const char *line);
bool take_note(const char *what, const char *text, size_t n);
/* Opens the vocabulary of a .gguf or a .tern. The caller closes the vocabulary, and after it frees *image and
 * closes *model. */
int load_vocab(const Verb *verb, const ModelFlags *flags, TernVocab **out, void **image, TernModel **model);
/* The help text of --target. */
const char *target_help(void);
/* Makes the arguments of a ternc.h call from the flags: a source, or, if the model is compiled, *blob, its
 * path. Also checks --target. */
TernStatus source_of_flags(const Verb *verb, const ModelFlags *flags, TerncSource *out, const char **blob,
                           TernError *err);
/* tn_file_read for a text written by a person; refuses files that are known not to be text. */
TernStatus read_text_file(const char *path, size_t limit, char **out, size_t *out_size, TernError *err);
/* Whether the file begins with GGUF. */
bool is_gguf(const char *path);
/* Whether the word names a graph as text: FILE.tir, or "-" for standard input; NULL is fine. */
bool is_tir(const char *path);

/* ---- device.c: --device
 * Exits 2 if the flag's value is no name of a device, or goes against --target. For auto, if that is the cpu, it prints a line
 * that says so and why. */
DeviceChoice choose_device(const Verb *verb, const ModelFlags *flags);
/* With auto, the GPU is taken when it has opened the model and made the session: prints the line, once. */
void report_device(DeviceChoice *choice);
/* For verbs that call load_model, when there is a session: report_device, and a line if the process's control group may not
 * use as much memory as the model and its sessions take, once. */
void report_start(Loaded *l);
/* With auto, the cpu takes over if the GPU could not open the model or make a session: prints the line and returns true. */
bool fall_back(DeviceChoice *choice, TernStatus status, const TernError *err);

/* ---- compiler.c: what happens when the compiler library runs out of memory
 * While `compiling` is set, an abort prints one line and exits 1. */
void compiler_aborts(bool compiling);
bool compiler_has_room(void); /* whether there is address space to open it */
const char *
compiler_refused(const char *why); /* the loader's message, with "out of memory" if that was the cause */
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
    TernStatus (*convert)(const TerncConvert *, TernError *);
    TernStatus (*picture)(const TerncPicture *, TerncTextFn *, void *, TernError *);
    TernStatus (*verify)(const TerncVerify *, TerncTextFn *, void *, int *, TernError *);
    TernStatus (*check_device)(const TerncDeviceCheck *, TerncTextFn *, void *, int *, TernError *);
    TernStatus (*cost)(const TernModel *, uint32_t, TerncCost **, uint32_t *, TernError *);
} TerncCalls;
TernStatus find_ternc(const TerncCalls **out, TernError *err);
const TerncCalls *
ternc(void); /* the same for a verb: if the library cannot be opened, prints a line and exits 1 */
/* The path of the compiler library in libtern's folder; NULL if libtern's path names no folder. free() it. */
char *compiler_beside(const char *libtern);
bool ternc_present(void);

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

/* ---- picture.c */
/* Writes a picture or text of a graph to the file `path` ("-": standard output). svg: runs Graphviz' program
 * `dot` on it. Returns an exit status. */
int show_picture(const TerncPicture *picture, const char *path, bool svg);

/* ---- progress.c: a bar on standard error, if that is a terminal */
int progress_bar(void *user, const char *phase, uint64_t done, uint64_t total);
void progress_end(void);
void progress_wipe(void); /* progress_end for signal handlers */

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
