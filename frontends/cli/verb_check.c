/* tern check: verifies a compiled file, such as a download or an update, and says what it is. */
#include <inttypes.h>
#include <string.h>
#include "frontends/blob_list.h"
#include "frontends/cli/cli.h"
#include "runtime/base/escape.h"
#include "runtime/base/hex.h"

static void print_hash(TernHash h) {
    printf("  hash     %s\n", tn_hex(h.bytes).s);
}

/* "8.3 M", "2.4 G" */
static void print_params(uint64_t n) {
    if (n >= 1000000000)
        printf("%.1f G", (double)n / 1e9);
    else
        printf("%.1f M", (double)n / 1e6);
}

/* The best level of the file that this machine runs, NULL if it runs none. */
static const char *runs_here(const char *levels) {
    static char best[32];
    for (const char *p = tern_cpu_levels(); *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        for (const char *q = levels; *q; q += *q == ',') {
            size_t m = strcspn(q, ",");
            if (n == m && n < sizeof best && memcmp(p, q, n) == 0) {
                memcpy(best, p, n);
                best[n] = 0;
                return best;
            }
            q += m;
        }
        p += n;
    }
    return NULL;
}

static void print_machines(const char *levels) {
    const TnLevelRow *r;
    for (size_t i = 0; (r = tn_level_row(i)); i++)
        for (const char *p = levels; *p; p += *p == ',') {
            size_t n = strcspn(p, ",");
            if (n == strlen(r->name) && memcmp(p, r->name, n) == 0)
                printf("           %s: %s\n", r->name, tn_level_machines(r->number));
            p += n;
        }
}

static void print_facts(const char *path, const TernBlobInfo *b) {
    const char *best = runs_here(b->levels);
    printf("%s: sound, %.1f MB\n", tn_shown(path).s, (double)b->file_bytes / 1e6);
    print_hash(b->hash);
    printf("  model    %s (%s), ", tn_shown(b->name).s, tn_shown(b->arch).s);
    print_params(b->n_params);
    printf(" parameters, context %" PRIu32 ", %s\n", b->n_context, tn_shown(b->desc).s);
    if (best)
        printf("  levels   %s; this machine runs %s\n", b->levels, best);
    else
        printf("  levels   %s; this machine's processor runs none of them\n", b->levels);
    print_machines(b->levels);
    printf("  version  %" PRIu32 ", abi %" PRIu32 ", written by %s\n", b->version, b->abi,
           tn_shown(b->producer).s);
}

int verb_check(const Verb *verb, int argc, char **argv) {
    const char *path = NULL;
    const Flag flags[] = {
        {"-m --model", "FILE", FLAG_STR, &path, 0, 0, "the file, if not given as a word"},
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &path, 1, &n_words);
    if (!path) usage_error(verb, "missing MODEL.tern");
    const TnFileUse files[] = {{"the file", path, TN_FILE_MODEL}, STANDARD_OUTPUT};
    int code = check_files(verb, files, TN_COUNT(files));
    if (code != EXIT_OK) return code;
    TernError err = {0};
    TernBlobInfo info = {.size = sizeof info};
    if (tern_blob_check(path, &info, &err) != TERN_OK) return fail(&err);
    print_facts(path, &info);
    return EXIT_OK;
}
