/* The program that `./dev fuzz diff` and `./dev fuzz text` run. It checks laws on random graphs for as long as asked.
 *
 *   random_laws diff RUNS|SECONDSs [SEED]   differential runs (differ.h), that many or for that long
 *   random_laws text N [SEED]               N graphs of all stages: parse(print(g)) equals g, and prints the same
 *
 * Exit status 0 if the law holds, 1 with the failing seed if not. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/base/os.h"
#include "tests/support/differ.h"
#include "tests/support/roundtrip.h"

static uint64_t now; /* first seed of the current batch */

static void say_seed(int sig) { /* the compiler aborts on its own bugs */
    char text[80];
    int n = snprintf(text, sizeof text, "aborted in the batch that begins with seed %llu\n",
                     (unsigned long long)now);
    if (write(2, text, (size_t)n) < 0) _exit(3);
    signal(sig, SIG_DFL);
    raise(sig);
}

static int diff(const char *amount, uint64_t seed) {
    Differ d = {.batch = 16, .sets = 4, .steps = 64};
    size_t len = strlen(amount);
    bool timed = len && amount[len - 1] == 's';
    double start = tn_os_seconds(), said = start;
    uint64_t want = strtoull(amount, NULL, 10);
    for (now = seed; timed ? tn_os_seconds() - start < (double)want : d.runs < want; now += d.batch) {
        if (!differ_batch(&d, now)) {
            printf("%s\nafter %llu runs\n", d.first, (unsigned long long)d.runs);
            return 1;
        }
        if (tn_os_seconds() - said > 60) {
            said = tn_os_seconds();
            fprintf(stderr, "%llu runs, %.0f s\n", (unsigned long long)d.runs, said - start);
        }
    }
    printf("%llu runs of %llu graphs compiled %llu ways (%llu more refused), seeds %llu to %llu: no "
           "difference; %.0f s, "
           "%.0f of them compiling\n",
           (unsigned long long)d.runs, (unsigned long long)d.graphs, (unsigned long long)d.compiled,
           (unsigned long long)d.refused, (unsigned long long)seed, (unsigned long long)now - 1,
           tn_os_seconds() - start, d.seconds_compiling);
    return 0;
}

static int text(uint64_t count, uint64_t seed) {
    double start = tn_os_seconds();
    for (now = seed; now < seed + count; now++) {
        char why[1000];
        if (roundtrip(now, NULL, why, sizeof why)) continue;
        printf("seed %llu: %s\n", (unsigned long long)now, why);
        return 1;
    }
    printf("%llu graphs: every text parses back to its graph and prints the same; %.0f s\n",
           (unsigned long long)count, tn_os_seconds() - start);
    return 0;
}

int main(int argc, char **argv) {
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    signal(SIGABRT, say_seed);
    signal(SIGSEGV, say_seed);
    if (argc > 2 && !strcmp(argv[1], "diff")) return diff(argv[2], seed);
    if (argc > 2 && !strcmp(argv[1], "text")) return text(strtoull(argv[2], NULL, 10), seed);
    fprintf(stderr, "usage: random_laws diff RUNS|SECONDSs [SEED]\n       random_laws text N [SEED]\n");
    return 2;
}
