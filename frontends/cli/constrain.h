/* The flags of run and chat about what an answer may be: its ends, biases, a grammar. */
#ifndef TN_CLI_CONSTRAIN_H
#define TN_CLI_CONSTRAIN_H

#include "frontends/cli/generate_flags.h"

typedef struct ConstrainFlags {
    StrList stops, biases;
    const char *grammar, *schema;
    bool special;
} ConstrainFlags;
#define CONSTRAIN_FLAGS(c)                                                                                   \
    {"-r --stop",                                                                                            \
     "TEXT",                                                                                                 \
     FLAG_LIST,                                                                                              \
     &(c).stops,                                                                                             \
     0,                                                                                                      \
     0,                                                                                                      \
     "end the answer before this text; may be given several times"},                                         \
        {"-l --logit-bias",                                                                                  \
         "ID+X",                                                                                             \
         FLAG_LIST,                                                                                          \
         &(c).biases,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         "add X to the logit of a token, or ID-X: subtract it; ID-inf: never; may be given several times"},  \
        {"--grammar --grammar-file",                                                                         \
         "FILE",                                                                                             \
         FLAG_STR,                                                                                           \
         &(c).grammar,                                                                                       \
         0,                                                                                                  \
         0,                                                                                                  \
         "keep the answer within the grammar of this file (GBNF)"},                                          \
        {"-jf --json-schema --json-schema-file",                                                             \
         "FILE",                                                                                             \
         FLAG_STR,                                                                                           \
         &(c).schema,                                                                                        \
         0,                                                                                                  \
         0,                                                                                                  \
         "make the answer JSON that is valid by the schema of this file"},                                   \
    {                                                                                                        \
        "-sp --special", NULL, FLAG_BOOL, &(c).special, 0, 0,                                                \
            "print control tokens too, as they are spelled"                                                  \
    }
/* Entries for check_files. */
#define CONSTRAIN_FILES(c)                                                                                   \
    {"--grammar", (c).grammar, TN_FILE_IN}, {                                                                \
        "--json-schema", (c).schema, TN_FILE_IN                                                              \
    }

/* What the flags stand for, for one vocabulary. Zero-initialise; free with constraint_free, before the vocabulary is closed. */
typedef struct Constraint {
    TernLogitBias bias[64];
    size_t n_bias;
    TernText stops[64];
    size_t n_stops;
    TnBuf text; /* of the grammar, once the files are read */
    TernGrammar *grammar;
    bool special;
} Constraint;

/* Checks the flags as such, and reads the biases; exits 2 on a mistake. Call it once, before check_files. */
void constraint_parse(const Verb *verb, const ConstrainFlags *f, const GenerateFlags *g, Constraint *out);
/* Reads the files, the first time, and makes the grammar for this vocabulary, which may be NULL. Returns an exit status. */
int constraint_open(const ConstrainFlags *f, const TernVocab *vocab, Constraint *c);
/* Checks biases and stop strings against the model, before there is code for it. Returns an exit status. */
int constraint_check(const Constraint *c, const GenerateFlags *g, const TernModelInfo *info);
/* Drops the grammar, whose vocabulary is about to be closed; constraint_open makes another. */
void constraint_close(Constraint *c);
void constraint_free(Constraint *c);
/* Adds them to a request and its sampler's options; both refer to *c. */
void constraint_apply(const Constraint *c, TernRequest *r, TernSamplerOptions *sampler);

#endif
