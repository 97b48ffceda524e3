/* tern VERB ...: the table of verbs. */
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include "frontends/cli/cli.h"

const Verb verbs[] = {
    {"compile", "[MODEL.gguf|FILE.tir] -o MODEL.tern", "compile a model to a native blob", verb_compile},
    {"run", "[MODEL]", "generate text; MODEL is a .gguf or .tir (compiled at load) or a .tern", verb_run},
    {"logits", "MODEL --tokens 1,2,3 -o FILE", "write the logits of every token", verb_logits},
    {"perplexity", "MODEL -f TEXTFILE", "score a text", verb_perplexity},
    {"tokenize", "MODEL -p TEXT", "text to token ids", verb_tokenize},
    {"detokenize", "MODEL --tokens 1,2,3", "token ids to bytes", verb_detokenize},
    {"opt", "FILE.tir|MODEL.gguf|MODEL.tern|-", "run passes and print the graph", verb_opt},
    {"eval", "FILE.tir|-", "evaluate a graph on made-up inputs and print its results", verb_eval},
    {"inspect", "MODEL.gguf|MODEL.tern", "show what is in a file", verb_inspect},
    {"diff", "A B", "compare graphs, models or blobs: 0 the same, 1 different, 2 trouble", verb_diff},
    {"verify", "[MODEL] --tokens 1,2,3|-p TEXT",
     "hold code against the evaluator, or two graphs: 0 equal, 1 different, 2 trouble", verb_verify},
    {"bench", "[MODEL]", "measure prefill and decode", verb_bench},
    {NULL, NULL, NULL, NULL},
};

static void print_help(FILE *f) {
    fprintf(f, "usage: tern VERB ...\n\n");
    for (const Verb *v = verbs; v->name; v++) fprintf(f, "  %-11s %-30s %s\n", v->name, v->usage, v->summary);
    fprintf(f, "\n`tern VERB --help` lists a verb's flags. Without MODEL, run and bench use the small "
               "embedded model.\n");
}

static void print_version(void) {
    const char *levels = tern_cpu_levels();
    printf("tern %s (%s; compiler library: %s)\n", tern_version(), __VERSION__,
           ternc_present() ? ternc()->version() : "not found");
    printf("cpu levels: %s\n", *levels ? levels : "none");
    if (*tern_cpu_refused())
        printf("cpu level %s: the processor has it, the system refuses it to this process\n",
               tern_cpu_refused());
}

int main(int argc, char **argv) {
    keep_standard();
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is a failed write then, which is said and tidied up */
    start_signals();
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        print_version();
        return EXIT_OK;
    }
    for (const Verb *v = verbs; v->name; v++)
        if (strcmp(argv[1], v->name) == 0) {
            int code = v->run(v, argc - 2, argv + 2);
            if (fflush(stdout) != 0 || ferror(stdout)) {
                if (code == EXIT_OK) code = fail_text("standard output: the write failed");
            }
            return code;
        }
    fprintf(stderr, "tern: no verb is called '%s' (see tern --help)\n", argv[1]);
    return EXIT_USAGE;
}
