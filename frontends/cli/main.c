/* tern VERB ...: the table of verbs. */
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include "frontends/cli/cli.h"
#include "frontends/cli/compile_apart.h"
#include "runtime/base/escape.h"
#include "runtime/base/nearest.h"
#include "runtime/base/status.h"

const Verb verbs[] = {
    {"compile", "[MODEL.gguf|FILE.tir] -o MODEL.tern", "compile a model to a native blob", verb_compile},
    {"convert", "FOLDER|MODEL.gguf -o MODEL.gguf",
     "convert a folder of Hugging Face to GGUF, or types of tensors", verb_convert},
    {"run", "[MODEL]", "generate text; MODEL is a .gguf or .tir (compiled at load) or a .tern", verb_run},
    {"chat", "[MODEL]", "hold a conversation, on a terminal or through a pipe", verb_chat},
    {"serve", "[MODEL..]", "answer requests over HTTP, in the shape of OpenAI's API", verb_serve},
    {"batch", "[MODEL] IN.jsonl -o OUT.jsonl", "answer the requests of a file, as serve would", verb_batch},
    {"embed", "MODEL -p TEXT", "make a vector of a text, or of each line of a file", verb_embed},
    {"logits", "MODEL --tokens 1,2,3 -o FILE", "write the logits of every token", verb_logits},
    {"perplexity", "MODEL -f TEXTFILE", "score a text", verb_perplexity},
    {"tokenize", "MODEL -p TEXT", "convert a text to token ids", verb_tokenize},
    {"detokenize", "MODEL --tokens 1,2,3", "convert token ids to bytes", verb_detokenize},
    {"render", "[MODEL] --messages FILE", "print what a chat template makes of messages", verb_render},
    {"opt", "FILE.tir|MODEL.gguf|MODEL.tern|-", "run passes and print the graph", verb_opt},
    {"eval", "FILE.tir|-", "evaluate a graph on made-up inputs and print its results", verb_eval},
    {"inspect", "MODEL.gguf|MODEL.tern", "show what is in a file", verb_inspect},
    {"check", "MODEL.tern", "verify a compiled file, such as a download, and say what it is", verb_check},
    {"diff", "A B", "compare graphs, models or blobs; exit status 0 the same, 1 different, 2 trouble",
     verb_diff},
    {"verify", "[MODEL] --tokens 1,2,3|-p TEXT",
     "compare code with the evaluator, or two graphs; exit status 0 equal, 1 different, 2 trouble",
     verb_verify},
    {"bench", "[MODEL]", "measure prefill and decode", verb_bench},
    {"devices", "", "list the GPUs that can run models", verb_devices},
    {NULL, NULL, NULL, NULL},
};

static void print_help(FILE *f) {
    fprintf(f, "usage: tern VERB ...\n\n");
    for (const Verb *v = verbs; v->name; v++) fprintf(f, "  %-11s %-36s %s\n", v->name, v->usage, v->summary);
    fprintf(f, "\n`tern help VERB` lists a verb's flags. Most verbs without MODEL use the small "
               "embedded model.\n");
}

static void print_version(void) {
    const char *levels = tern_cpu_levels();
    printf("tern %s (%s; compiler library: %s)\n", tern_version(), __VERSION__,
           ternc_present() ? ternc()->version() : "not installed");
    printf("cpu levels: %s\n", *levels ? levels : "none");
    if (*tern_cpu_refused())
        printf("cpu level %s: the processor has it, but the system does not let this process use it\n",
               tern_cpu_refused());
}

/* In diff and verify status 1 means a difference, so an error is 2. */
static bool compares(const Verb *verb) {
    return verb && (verb->run == verb_diff || verb->run == verb_verify);
}

int close_output(const Verb *verb, int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    if (code != EXIT_OK && !(compares(verb) && code == EXIT_INPUT))
        return code; /* an error is printed already */
    code = fail_text("standard output: the write failed");
    return compares(verb) ? EXIT_USAGE : code;
}

static const Verb *find_verb(const char *name) {
    const Verb *v = verbs;
    while (v->name && strcmp(v->name, name) != 0) v++;
    return v->name ? v : NULL;
}

static bool ends_in(const char *word, const char *ending) {
    size_t n = strlen(word), m = strlen(ending);
    return n > m && strcmp(word + n - m, ending) == 0;
}

static int unknown_verb(const char *word) {
    TnNearest near = {.word = word, .len = strlen(word)};
    for (const Verb *v = verbs; v->name; v++) tn_nearest_try(&near, v->name, strlen(v->name));
    tn_nearest_try(&near, "help", 4);
    TernError line; /* makes the word printable */
    if (*word == '-')
        tn_fail(&line, TERN_ERR_INPUT, "'%s': a verb comes first, as in tern run %s", word, word);
    else if (ends_in(word, ".gguf") || ends_in(word, ".tern") || ends_in(word, ".tir"))
        tn_fail(&line, TERN_ERR_INPUT, "no verb is called '%s', did you mean tern run %s?", word, word);
    else if (near.best)
        tn_fail(&line, TERN_ERR_INPUT, "no verb is called '%s', did you mean %s?", word, near.best);
    else
        tn_fail(&line, TERN_ERR_INPUT, "no verb is called '%s'", word);
    fprintf(stderr, "tern: %s (see tern --help)\n", line.text);
    return EXIT_USAGE;
}

static int no_more(int argc, char **argv, int n) {
    if (argc <= n) return EXIT_OK;
    fprintf(stderr, "tern: unexpected word '%s' after %s (see tern --help)\n", tn_shown(argv[n]).s,
            tn_shown(argv[n - 1]).s);
    return EXIT_USAGE;
}

/* help, help VERB; --man or --bash before the verb gives another form */
static int show_help(int argc, char **argv) {
    static char flag[] = "--help";
    char *words[] = {flag, NULL};
    bool formed = argc > 2 && strcmp(argv[1], "help") == 0 && help_form(argv[2]);
    if (formed) argc--, argv++;
    int named = argc > 2 && (formed || strcmp(argv[1], "help") == 0), code = no_more(argc, argv, 2 + named);
    if (code != EXIT_OK) return code;
    if (!named && formed) return close_output(NULL, help_program());
    if (!named) {
        print_help(stdout);
        return close_output(NULL, EXIT_OK);
    }
    const Verb *v = find_verb(argv[2]);
    return v ? v->run(v, 1, words) : unknown_verb(argv[2]);
}

int main(int argc, char **argv) {
    keep_standard();
    keep_messages(argc, argv);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_DFL); /* ignored, as it may be inherited, nobody learns how a process has ended */
    signal(SIGXFSZ, SIG_IGN); /* reaching a limit on file sizes is then a failed write, which is reported */
    start_signals();
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return show_help(argc, argv);
    if (strcmp(argv[1], "--version") == 0) {
        int code = no_more(argc, argv, 2);
        if (code != EXIT_OK) return code;
        print_version();
        return close_output(NULL, EXIT_OK);
    }
    if (is_compile_apart(argv[1])) return compile_apart_here(argc - 2, argv + 2);
    const Verb *v = find_verb(argv[1]);
    char **words = argv + 2, **own = NULL;
    int n_words = argc - 2;
    if (has_own_model() && (v || *argv[1] == '-')) {
        words = own = tn_xcalloc((size_t)argc + 2, sizeof *own);
        v = add_own_model(v, argc, argv, own, &n_words);
        if (!v) return EXIT_INPUT;
    }
    if (!v) return unknown_verb(argv[1]);
    int code = v->run(v, n_words, words);
    free(own);
    set_work(false);
    code = close_output(v, code);
    bool differs = compares(v) && code == EXIT_INPUT;
    if (code == EXIT_OK || code == signal_status() || differs) notes_print(); /* the verb did its work */
    return code;
}
