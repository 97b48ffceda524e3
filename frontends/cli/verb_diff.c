/* tern diff. Its exit status is that of diff(1). */
#include <string.h>
#include "frontends/cli/cli.h"
#include "runtime/base/escape.h"

enum { EXIT_SAME = 0, EXIT_DIFFERENT = 1, EXIT_TROUBLE = 2 };

static void take_diff(void *user, const char *what, const char *text, size_t n) {
    bool brief = *(bool *)user;
    if (take_note(what, text, n)) return;
    if (strcmp(what, "result") != 0)
        fwrite(text, 1, n, stderr);
    else if (!brief)
        fwrite(text, 1, n, stdout);
}

int verb_diff(const Verb *verb, int argc, char **argv) {
    set_trouble(EXIT_TROUBLE);
    const char *words[2] = {0};
    bool brief = false, names = false, no_stats = false;
    const Flag flags[] = {
        {"-q --brief", NULL, FLAG_BOOL, &brief, 0, 0, "report only whether they differ"},
        {"--names", NULL, FLAG_BOOL, &names, 0, 0, "also report values whose names differ"},
        {"--no-stats", NULL, FLAG_BOOL, &no_stats, 0, 0,
         "compare weights by hash and scale, without reading their values"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, words, 2, &n_words);
    if (n_words != 2) usage_error(verb, "expected two files");
    only_with(verb, &no_stats, !brief, "a list of differences, not with -q");
    TerncDiff d = {
        .size = sizeof d, .a = words[0], .b = words[1], .names = names, .no_stats = no_stats || brief};
    const TnFileUse files[] = {
        {"A", words[0], TN_FILE_MODEL}, {"B", words[1], TN_FILE_MODEL}, STANDARD_OUTPUT};
    if (check_files(verb, files, TN_COUNT(files)) != EXIT_OK) return EXIT_TROUBLE;
    TernError err = {0};
    int same;
    if (ternc()->diff(&d, take_diff, &brief, &same, &err) != TERN_OK) {
        fail(&err);
        return EXIT_TROUBLE;
    }
    if (brief && !same) printf("%s and %s differ\n", tn_listed(words[0]).s, tn_listed(words[1]).s);
    return same ? EXIT_SAME : EXIT_DIFFERENT;
}
