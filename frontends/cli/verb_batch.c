/* tern batch: answers the requests of a file, with the engine of tern serve (frontends/serve/batch.c). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"

#ifdef TERN_SERVE
#include "frontends/cli/serve_model.h"
#include "runtime/base/escape.h"

#define LINE_MOST ((size_t)64 << 20)

static void show(uint64_t done, uint64_t total) {
    progress_bar(NULL, "batch", done, total);
}

/* i/n */
static void read_shard(const Verb *verb, const char *text, TnBatchOptions *b) {
    char *slash = NULL, *end = NULL;
    b->shard = b->n_shards = 1;
    if (!text) return;
    unsigned long i = strtoul(text, &slash, 10), n = *slash == '/' ? strtoul(slash + 1, &end, 10) : 0;
    if (slash == text || !end || end == slash + 1 || *end || i < 1 || i > n || n > 1000000 || *text == '-')
        usage_error(verb, "--shard: got '%s', expected i/n with 1 <= i <= n <= 1000000", text);
    b->shard = (uint32_t)i;
    b->n_shards = (uint32_t)n;
}

static int report(const TnBatchOptions *b, const TnBatchCounts *c) {
    fprintf(stderr, "tern: %s: %" PRIu64 " of %" PRIu64 " lines answered", tn_shown(b->out).s, c->answered,
            c->lines);
    if (c->found) fprintf(stderr, ", %" PRIu64 " of them before", c->found);
    if (c->refused) fprintf(stderr, ", %" PRIu64 " with an error", c->refused);
    if (c->again) fprintf(stderr, ", %" PRIu64 " asked again", c->again);
    fprintf(stderr, "\n");
    if (c->grown)
        fprintf(stderr, "tern: %s: has grown meanwhile, and what came is not answered: run the batch again\n",
                tn_shown(b->in).s);
    report_signal();
    if (signal_status()) return signal_status();
    return c->refused || c->answered < c->lines ? EXIT_INPUT : EXIT_OK;
}

static int batch(ServeModels *s, const TnBatchOptions *b) {
    TernError err = {0};
    TnBatchCounts counts;
    TnServeOptions o = serve_options(s);
    o.body_most = LINE_MOST;
    heed_signals(true);
    TernStatus st = tn_batch(&o, b, &counts, &err);
    heed_signals(false);
    progress_end();
    return st == TERN_OK ? report(b, &counts) : fail(&err);
}

int verb_batch(const Verb *verb, int argc, char **argv) {
    ServeFlags f = SERVE_DEFAULTS;
    TnBatchOptions b = {.progress = show};
    const char *words[2] = {NULL, NULL}, *shard = NULL;
    const Flag flags[] = {
        {"-o --output", "FILE", FLAG_STR, &b.out, 0, 0,
         "where answers go, a line each; if it has answers of this batch already, the batch goes on from "
         "there"},
        {"--shard", "I/N", FLAG_STR, &shard, 0, 0,
         "answer only the lines I, I+N, I+2N, ..: a part of N, for one of N machines"},
        SERVE_FLAGS(f),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, words, 2, &n_words);
    if (n_words == 0) usage_error(verb, "expected a file of requests");
    if (!b.out) usage_error(verb, "expected -o FILE");
    b.in = words[n_words - 1];
    const char *flag = flag_given(&f.m.model);
    if (n_words == 2 && flag && strcmp(f.m.model, words[0]) != 0)
        usage_error(verb, "%s: got '%s' and the word '%s', expected one model", flag, f.m.model, words[0]);
    if (n_words == 2) f.m.model = words[0];
    read_shard(verb, shard, &b);
    serve_check(verb, &f);
    const TnFileUse files[] = {
        SERVE_FILES(f), {"the requests", b.in, TN_FILE_IN}, {"-o", b.out, TN_FILE_CACHE}};
    ServeModels s = {.f = &f};
    const char *model = f.m.model;
    int code = check_files(verb, files, TN_COUNT(files));
    if (code == EXIT_OK) code = serve_open(verb, &f, &model, 1, &s);
    if (code == EXIT_OK) code = batch(&s, &b);
    serve_close(&s);
    return code;
}

#endif
