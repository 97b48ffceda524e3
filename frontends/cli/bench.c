/* tern bench: tokens a second, in llama-bench's table. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"

#define MAX_SAMPLES 100

typedef struct BenchRow {
    char test[32], backend[48];
    uint32_t threads, n_prompt, n_gen;
    uint32_t n_samples;
    double samples[MAX_SAMPLES], mean, stddev;
} BenchRow;

static void ignore(void *user, const TernResult *r) {
    *(int32_t *)user = r->id;
}

/* Ids that are spread over the vocabulary and the same every time. */
static int32_t filler(uint32_t i, uint32_t n_vocab) {
    return (int32_t)((i * 2654435761u >> 7) % n_vocab);
}

static TernStatus once(Loaded *l, TernSession *s, const BenchRow *b, double *out, TernError *err) {
    int32_t best = 0;
    uint32_t n = b->n_prompt ? b->n_prompt : 1;
    TernRow *rows = tn_xcalloc(n, sizeof *rows);
    for (uint32_t i = 0; i < n; i++) rows[i] = (TernRow){.token = filler(i, l->info.n_vocab)};
    rows[n - 1].want = TERN_WANT_GREEDY;
    TernStatus st = tern_session_truncate(s, 0, 0, err);
    double start = tn_os_seconds();
    if (b->n_prompt) {
        if (st == TERN_OK) st = tern_session_step(s, rows, n, ignore, &best, err);
    } else {
        for (uint32_t i = 0; i < b->n_gen && st == TERN_OK; i++) {
            rows[0].token = i ? best : rows[0].token;
            st = tern_session_step(s, rows, 1, ignore, &best, err);
        }
    }
    *out = (double)(b->n_prompt + b->n_gen) / (tn_os_seconds() - start);
    free(rows);
    return st;
}

static TernStatus measure(Loaded *l, BenchRow *b, uint32_t repeats, TernKv kv, Profile *profile,
                          TernError *err) {
    TernSession *s;
    uint32_t n = b->n_prompt + b->n_gen;
    if (n > l->info.n_context)
        return tn_fail(err, TERN_ERR_INPUT, "%s needs %u positions, but the model has %u", b->test, n,
                       l->info.n_context);
    TernSessionOptions o = {.size = sizeof o, .context = n, .wants = 1, .kv = kv};
    if (n < l->info.max_rows) o.batch = n;
    TN_TRY(tern_session_create(l->model, l->pool, &o, &s, err));
    double warm;
    BenchRow warmup = *b;
    warmup.n_gen = b->n_gen ? 1 : 0;
    TernStatus st = profile_attach(profile, s, err);
    if (st == TERN_OK) st = once(l, s, &warmup, &warm, err);
    if (st == TERN_OK) profile_reset(profile);
    for (uint32_t i = 0; i < repeats && st == TERN_OK; i++)
        st = once(l, s, b, &b->samples[b->n_samples++], err);
    if (st == TERN_OK) st = profile_take(profile, l, b->test, err);
    profile_detach(profile);
    tern_session_destroy(s);
    double sum = 0, square = 0;
    for (uint32_t i = 0; i < b->n_samples; i++) sum += b->samples[i];
    b->mean = sum / b->n_samples;
    for (uint32_t i = 0; i < b->n_samples; i++)
        square += (b->samples[i] - b->mean) * (b->samples[i] - b->mean);
    b->stddev = b->n_samples > 1 ? sqrt(square / (b->n_samples - 1)) : 0;
    return st;
}

static void model_columns(const Loaded *l, char *name, size_t n, double *gib, double *params_b) {
    snprintf(name, n, "%s %s", l->info.arch, l->info.desc);
    *gib = (double)l->info.weight_bytes / (1 << 30);
    *params_b = (double)l->info.n_params / 1e9;
}

static void print_md(const Loaded *l, const BenchRow *rows, uint32_t n) {
    char name[128];
    double gib, params;
    model_columns(l, name, sizeof name, &gib, &params);
    int w = (int)strlen(name) > 24 ? (int)strlen(name) : 24;
    printf("| %-*s | %10s | %10s | %-16s | %7s | %12s | %18s |\n", w, "model", "size", "params", "backend",
           "threads", "test", "t/s");
    printf("| ");
    for (int i = 0; i < w; i++) putchar('-');
    printf(" | ---------: | ---------: | ---------------- | ------: | -----------: | -----------------: |\n");
    for (uint32_t i = 0; i < n; i++) {
        char size[32], count[32], speed[48];
        snprintf(size, sizeof size, gib >= 1 ? "%.2f GiB" : "%.2f MiB", gib >= 1 ? gib : gib * 1024);
        snprintf(count, sizeof count, params >= 1 ? "%.2f B" : "%.2f M", params >= 1 ? params : params * 1e3);
        snprintf(speed, sizeof speed, "%.2f ± %.2f", rows[i].mean, rows[i].stddev);
        printf("| %-*s | %10s | %10s | %-16s | %7u | %12s | %19s |\n", w, name, size, count, rows[i].backend,
               rows[i].threads, rows[i].test, speed);
    }
    printf("\nbuild: tern %s\n", tern_version());
}

static void print_csv(const Loaded *l, const BenchRow *rows, uint32_t n) {
    printf("model,arch,size,params,backend,n_threads,test,n_prompt,n_gen,avg_ts,stddev_ts\n");
    for (uint32_t i = 0; i < n; i++)
        printf("\"%s\",%s,%llu,%llu,%s,%u,%s,%u,%u,%.6f,%.6f\n", l->info.name, l->info.arch,
               (unsigned long long)l->info.weight_bytes, (unsigned long long)l->info.n_params,
               rows[i].backend, rows[i].threads, rows[i].test, rows[i].n_prompt, rows[i].n_gen, rows[i].mean,
               rows[i].stddev);
}

static void print_json(const Loaded *l, const BenchRow *rows, uint32_t n) {
    json_t *all = json_array();
    for (uint32_t i = 0; i < n; i++) {
        json_t *samples = json_array();
        for (uint32_t k = 0; k < rows[i].n_samples; k++)
            json_array_append_new(samples, json_real(rows[i].samples[k]));
        json_array_append_new(
            all, json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:s,s:s,s:i,s:i,s:i,s:f,s:f,s:o}", "build",
                           tern_version(), "model", l->info.name, "model_arch", l->info.arch, "model_type",
                           l->info.desc, "model_size", (json_int_t)l->info.weight_bytes, "model_n_params",
                           (json_int_t)l->info.n_params, "backend", rows[i].backend, "test", rows[i].test,
                           "n_threads", (int)rows[i].threads, "n_prompt", (int)rows[i].n_prompt, "n_gen",
                           (int)rows[i].n_gen, "avg_ts", rows[i].mean, "stddev_ts", rows[i].stddev,
                           "samples_ts", samples));
    }
    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    printf("\n");
    json_decref(all);
}

int verb_bench(const Verb *verb, int argc, char **argv) {
    ModelFlags m = {0};
    const char *prompts = "512", *gens = "128", *threads = NULL, *format = "md", *profiled = NULL;
    int64_t repeats = 5;
    const Flag flags[] = {
        {"-p --n-prompt", "LIST", FLAG_STR, &prompts, 0, 0, "prompt lengths (512); 0: none"},
        {"-n --n-gen", "LIST", FLAG_STR, &gens, 0, 0, "tokens to generate (128); 0: none"},
        {"-t --threads", "LIST", FLAG_STR, &threads, 0, 0, "thread counts (all processors)"},
        {"-r --repetitions", "N", FLAG_INT, &repeats, 1, MAX_SAMPLES, "samples a row (5)"},
        {"-o --output", "FORMAT", FLAG_STR, &format, 0, 0, "md (default), json or csv"},
        PROFILE_FLAG(profiled),
        MODEL_FLAGS(m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &m.model, 1, &n_words);
    void (*print)(const Loaded *, const BenchRow *, uint32_t) = strcmp(format, "md") == 0     ? print_md
                                                                : strcmp(format, "json") == 0 ? print_json
                                                                : strcmp(format, "csv") == 0  ? print_csv
                                                                                              : NULL;
    if (!print) usage_error(verb, "-o: '%s', wanted md, json or csv", format);
    TernKv kv = parse_kv(verb, m.kv);
    uint32_t t[64] = {tn_os_cpus()}, pp[64], tg[64];
    uint32_t n_t = threads ? parse_counts(verb, "-t", threads, t) : 1;
    uint32_t n_pp = parse_counts(verb, "-p", prompts, pp), n_tg = parse_counts(verb, "-n", gens, tg);
    for (uint32_t i = 0; i < n_t; i++)
        if (t[i] < 1 || t[i] > 1024) usage_error(verb, "-t: %u, wanted 1 to 1024", t[i]);
    Loaded l;
    m.threads = t[0];
    Profile *profile = profile_create(verb, profiled);
    int code = load_model(verb, &m, &l);
    if (code != EXIT_OK) {
        profile_destroy(profile);
        return code;
    }
    BenchRow *rows = tn_xcalloc((size_t)n_t * (n_pp + n_tg), sizeof *rows);
    uint32_t n = 0;
    TernError err = {0};
    for (uint32_t i = 0; i < n_t && code == EXIT_OK; i++) {
        TernPoolOptions po = {.size = sizeof po, .threads = t[i]};
        tern_pool_destroy(l.pool);
        l.pool = NULL;
        if (tern_pool_create(&po, &l.pool, &err) != TERN_OK) code = fail(&err);
        for (uint32_t k = 0; k < n_pp + n_tg && code == EXIT_OK; k++) {
            BenchRow *b = &rows[n];
            *b = (BenchRow){
                .threads = t[i], .n_prompt = k < n_pp ? pp[k] : 0, .n_gen = k < n_pp ? 0 : tg[k - n_pp]};
            if (b->n_prompt + b->n_gen == 0) continue;
            snprintf(b->test, sizeof b->test, "%s%u", k < n_pp ? "pp" : "tg", b->n_prompt + b->n_gen);
            snprintf(b->backend, sizeof b->backend, "%s", l.info.level);
            if (measure(&l, b, (uint32_t)repeats, kv, profile, &err) != TERN_OK) code = fail(&err);
            n++;
            progress_bar(NULL, "bench", n, (uint64_t)n_t * (n_pp + n_tg));
        }
    }
    progress_end();
    if (code == EXIT_OK) print(&l, rows, n);
    if (code == EXIT_OK) code = profile_finish(profile, &l);
    profile_destroy(profile);
    free(rows);
    unload_model(&l);
    return code;
}
