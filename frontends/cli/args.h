/* The command line: verbs, tables of flags, numbers in their values, and the lines that say what is wrong with them. */
#ifndef TN_CLI_ARGS_H
#define TN_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/base/buf.h"
#include "runtime/base/error.h"

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
 * processors: leaves a note, unless the processors are listed, of which note_crowded says it. */
void check_threads(const Verb *verb, const char *flag, int64_t threads, bool listed);

/* ---- foreign.c: returns whether the word is a flag of another program; *out then says what to use
 * instead */
bool foreign_flag(const Flag *flags, const char *word, size_t len, TnBuf *out);

#endif
