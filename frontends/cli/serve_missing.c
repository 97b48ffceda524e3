/* The verbs serve and batch in a build without libmicrohttpd. */
#include <string.h>
#include "frontends/cli/cli.h"

#ifndef TERN_SERVE
static int refuse(const Verb *verb, int argc, char **argv) {
    const Flag flags[] = {FLAG_END};
    const char *word;
    if (argc == 1 && strcmp(argv[0], "--help") == 0) {
        int n;
        parse_args(verb, flags, argc, argv, &word, 1, &n);
    }
    return fail_text(
        "this build cannot serve: it was made without libmicrohttpd (Debian's libmicrohttpd-dev)");
}

int verb_serve(const Verb *verb, int argc, char **argv) {
    return refuse(verb, argc, argv);
}

int verb_batch(const Verb *verb, int argc, char **argv) {
    return refuse(verb, argc, argv);
}
#endif
