/* tern bench: tokens a second, in llama-bench's table, with the share of what the machine allows. */
#include "frontends/cli/bench.h"
#include "runtime/base/cpus.h"
#include "runtime/base/escape.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Bench {
    Loaded l;
    TernKv kv;
    int64_t repeats, warm_ups, read_mib;
    uint64_t saturated;
    bool huge; /* the weights are meant to lie in huge pages */
    Profile *profile;
    BenchRow *rows;
    uint32_t n, cap;
    Machine machines[64];
    const char *against; /* a file to compare with, or NULL */
    float least;         /* times its speed that a row must reach */
    BenchOld *old;
} Bench;

/* Gives ids that are spread over the vocabulary and are the same in every run. */
static int32_t filler(uint32_t i, uint32_t n_vocab) {
    return (int32_t)((i * 2654435761u >> 7) % n_vocab);
}

double bench_tokens(const BenchRow *b) {
    return ((double)b->n_prompt + b->n_gen) * b->sequences;
}

/* ---- one test */

typedef struct Run {
    Bench *bench;
    const BenchRow *b;
    bool peaks; /* the peak of resident memory was set back when the test began */
    TernSession *s;
    TernRow *rows;
    int32_t *best; /* of each sequence */
} Run;

static void ignore_result(void *user, const TernResult *result) {
    Run *r = user;
    r->best[r->rows[result->row].slot] = result->id;
}

/* Steps n rows of each sequence, one sequence after the other. With `want`, the last row of each asks for the
 * best id. */
static TernStatus prompt(Run *r, uint32_t n, bool want, TernError *err) {
    uint32_t at = 0;
    for (uint32_t s = 0; s < r->b->sequences; s++)
        for (uint32_t i = 0; i < n; i++, at++)
            r->rows[at] = (TernRow){.token = filler(at, r->bench->l.info.n_vocab),
                                    .slot = s,
                                    .want = want && i + 1 == n ? TERN_WANT_GREEDY : TERN_WANT_NOTHING};
    return tern_session_step(r->s, r->rows, at, ignore_result, r, err);
}

static TernStatus generate(Run *r, uint32_t n, TernError *err) {
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t s = 0; s < r->b->sequences; s++)
            r->rows[s] = (TernRow){.token = r->best[s], .slot = s, .want = TERN_WANT_GREEDY};
        TN_TRY(tern_session_step(r->s, r->rows, r->b->sequences, ignore_result, r, err));
    }
    return TERN_OK;
}

/* Runs a test once, from `depth` positions on. *out: tokens a second; *first: seconds to the first ids. */
static TernStatus once(Run *r, uint32_t n_prompt, uint32_t n_gen, double *out, double *first,
                       TernError *err) {
    for (uint32_t s = 0; s < r->b->sequences; s++) {
        TN_TRY(tern_session_truncate(r->s, s, r->b->depth, err));
        r->best[s] = filler(s, r->bench->l.info.n_vocab);
    }
    double start = tn_os_seconds();
    if (n_prompt) TN_TRY(prompt(r, n_prompt, true, err));
    if (!n_prompt) TN_TRY(generate(r, 1, err));
    *first = tn_os_seconds() - start;
    TN_TRY(generate(r, n_prompt ? n_gen : n_gen - 1, err));
    *out = bench_tokens(r->b) / (tn_os_seconds() - start);
    return TERN_OK;
}

/* A warm-up needs no more steps than it takes to touch all memory and to wake the processors. */
enum { WARM_STEPS = 8 };

static TernStatus repeat(Run *r, BenchRow *b, TernError *err) {
    Profile *profile = r->bench->profile;
    double ignored[2];
    if (b->depth) TN_TRY(prompt(r, b->depth, false, err));
    TN_TRY(profile_attach(profile, r->s, err));
    for (int64_t i = 0; i < r->bench->warm_ups; i++)
        TN_TRY(once(r, b->n_prompt, b->n_gen < WARM_STEPS ? b->n_gen : WARM_STEPS, &ignored[0], &ignored[1],
                    err));
    profile_reset(profile);
    while (b->n_samples < r->bench->repeats) {
        TN_TRY(once(r, b->n_prompt, b->n_gen, &b->samples[b->n_samples], &b->firsts[b->n_samples], err));
        b->n_samples++;
    }
    if (r->peaks)
        b->peak = tn_os_peak_rss(); /* before profile_take, which fills memory to measure its rate */
    return profile_take(profile, &r->bench->l, b->test, err);
}

static void summarise(BenchRow *b) {
    BenchStats s = bench_stats(b->samples, b->n_samples);
    b->mean = s.mean, b->stddev = s.stddev, b->median = s.median;
    b->least = s.least, b->most = s.most, b->p95 = s.p95;
    b->first = bench_stats(b->firsts, b->n_samples).median;
}

static int known(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes) {
    const Bench *bench = user;
    (void)vocab, (void)vocab_bytes;
    for (uint32_t i = 0; i < bench->n; i++) {
        const BenchRow *b = &bench->rows[i];
        uint32_t per_sequence = b->depth + b->n_prompt + b->n_gen;
        if (per_sequence > info->n_context)
            return fail_text("%s needs %u positions, but the model has %u", b->test, per_sequence,
                             info->n_context);
        if (b->sequences > info->max_rows)
            return fail_text("%s decodes %u sequences together, but a step has at most %u rows", b->test,
                             b->sequences, info->max_rows);
    }
    return EXIT_OK;
}

static uint64_t longest_step(const BenchRow *b) {
    return ((uint64_t)(b->depth > b->n_prompt ? b->depth : b->n_prompt) + 1) * b->sequences;
}

uint32_t bench_batch(const BenchRow *b, uint32_t most) {
    uint64_t longest = longest_step(b);
    return longest < most ? (uint32_t)longest : most;
}

static TernStatus measure(Bench *bench, BenchRow *b, TernError *err) {
    uint32_t per_sequence = b->depth + b->n_prompt + b->n_gen;
    uint64_t longest = longest_step(b);
    TernSessionOptions o = {.size = sizeof o,
                            .slots = b->sequences,
                            .context = per_sequence,
                            .wants = b->sequences,
                            .batch = bench_batch(b, bench->l.info.max_rows),
                            .kv = bench->kv};
    Run r = {.bench = bench, .b = b, .peaks = tn_os_peak_rss_restart()};
    for (TernStatus st; (st = tern_session_create(bench->l.model, bench->l.pool, &o, &r.s, err)) != TERN_OK;)
        if (!load_for_cpu(&bench->l, st, err)) return st;
    report_start(&bench->l);
    notes_print();
    snprintf(b->backend, sizeof b->backend, "%s", bench->l.info.level);
    r.rows = tn_xcalloc(longest, sizeof *r.rows);
    r.best = tn_xcalloc(b->sequences, sizeof *r.best);
    TernStatus st = repeat(&r, b, err);
    profile_detach(bench->profile);
    bench->saturated += tern_session_saturated(r.s);
    tern_session_destroy(r.s);
    free(r.rows);
    free(r.best);
    if (st == TERN_OK) summarise(b);
    return st;
}

/* ---- all of them */

static void add(Bench *bench, BenchRow b) {
    char *out = b.test;
    size_t n = sizeof b.test, at;
    if (b.n_prompt + b.n_gen == 0) return;
    at = (size_t)snprintf(out, n,
                          b.n_prompt && b.n_gen ? "pp%u+tg%u"
                          : b.n_prompt          ? "pp%u"
                                                : "tg%u",
                          b.n_prompt ? b.n_prompt : b.n_gen, b.n_gen);
    if (b.sequences > 1) at += (size_t)snprintf(out + at, n - at, " x%u", b.sequences);
    if (b.depth) snprintf(out + at, n - at, " @ d%u", b.depth);
    if (bench->n == bench->cap) {
        bench->cap = bench->cap ? bench->cap * 2 : 16;
        bench->rows = tn_xrealloc(bench->rows, bench->cap * sizeof *bench->rows);
    }
    bench->rows[bench->n++] = b;
}

static bool any(const uint32_t *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (v[i]) return true;
    return false;
}

/* "P,N" */
static void parse_pair(const Verb *verb, const char *text, uint32_t out[2]) {
    uint32_t pair[64];
    if (parse_counts(verb, "-pg", text, pair) != 2 || pair[0] == 0 || pair[1] == 0)
        usage_error(verb, "-pg: '%s', expected PROMPT,GEN, both at least 1", text);
    out[0] = pair[0];
    out[1] = pair[1];
}

/* Measures the machine's rates close to the tests that they judge: once before and once after them. */
static void rates(Bench *bench, Machine *m, uint32_t threads) {
    if (bench->read_mib == 0 || *bench->l.device.name) return; /* a GPU is no part of what is measured here */
    size_t bytes = (size_t)bench->read_mib << 20;
    if (!machine_read_rate(m, threads, bytes, bench->huge))
        fprintf(stderr, "tern: not enough memory or threads to measure reading of %zu MiB: see --read-mib\n",
                bytes >> 20);
    machine_dot_rates(m, threads, bench->l.info.level);
}

static int run_all(Bench *bench, const uint32_t *threads, uint32_t n_threads) {
    TernError err = {0};
    uint32_t done = 0;
    for (uint32_t i = 0; i < n_threads; i++) {
        TernPoolOptions po = {.size = sizeof po,
                              .threads = threads[i],
                              .cpus = bench->l.n_cpus ? bench->l.cpus : NULL,
                              .n_cpus = bench->l.n_cpus};
        Machine *m = &bench->machines[i];
        m->cpus = bench->l.cpus;
        m->n_cpus = bench->l.n_cpus;
        tern_pool_destroy(bench->l.pool);
        bench->l.pool = NULL;
        if (tern_pool_create(&po, &bench->l.pool, &err) != TERN_OK) return fail(&err);
        rates(bench, m, threads[i]);
        for (uint32_t k = 0; k < bench->n; k++) {
            BenchRow *b = &bench->rows[k];
            if (b->threads != threads[i] || b->n_samples) continue;
            b->machine = m;
            if (measure(bench, b, &err) != TERN_OK) return fail(&err);
            progress_bar(NULL, "bench", ++done, bench->n);
        }
        rates(bench, m, threads[i]);
    }
    return EXIT_OK;
}

/* Size of the model's file; 0 if there is none, or if it holds only the graph. */
static uint64_t file_bytes(const char *path) {
    struct stat st;
    return path && !is_tir(path) && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* What the flags ask for. */
typedef struct BenchFlags {
    ModelFlags m;
    const char *prompts, *gens, *depths, *batches, *threads, *format, *profiled, *simulated, *sockets;
    StrList pairs;
} BenchFlags;

/* A list of a flag. */
typedef struct Counts {
    uint32_t v[64], n;
} Counts;

/* Of the machine and the tests. */
typedef struct Asked {
    Counts threads, prompts, gens, depths, batches, workers;
    uint32_t socket[2]; /* cores; bytes a second of its memory, in GB */
    uint32_t pairs[64][2], n_pairs;
} Asked;

static Counts counts_of(const Verb *verb, const char *flag, const char *list) {
    Counts c;
    c.n = parse_counts(verb, flag, list, c.v);
    return c;
}

static Counts threads_of(const Verb *verb, const BenchFlags *f) {
    uint32_t cpus[CPUS_MOST], n_cpus = 0, most = 1;
    if (f->m.cpus) n_cpus = parse_cpus(verb, flag_given(&f->m.cpus), f->m.cpus, cpus);
    if (!f->threads) return (Counts){{n_cpus ? n_cpus : tn_os_threads()}, 1};
    Counts c = counts_of(verb, "-t", f->threads);
    for (uint32_t i = 0; i < c.n; i++) {
        if (c.v[i] < 1 || c.v[i] > 1024) usage_error(verb, "-t: %u, expected 1 to 1024", c.v[i]);
        most = c.v[i] > most ? c.v[i] : most;
    }
    check_threads(verb, flag_given(&f->threads), most, n_cpus > 0);
    if (n_cpus) note_crowded(flag_given(&f->threads), most, flag_given(&f->m.cpus), n_cpus);
    note_idle_threads(verb, &f->m, flag_given(&f->threads));
    return c;
}

static void ask_for(const Verb *verb, const BenchFlags *f, Asked *a) {
    a->threads = threads_of(verb, f);
    a->prompts = counts_of(verb, "-p", f->prompts);
    a->gens = counts_of(verb, "-n", f->gens);
    a->depths = counts_of(verb, "-d", f->depths);
    a->batches = counts_of(verb, "-b", f->batches);
    for (a->n_pairs = 0; a->n_pairs < f->pairs.n; a->n_pairs++)
        parse_pair(verb, f->pairs.v[a->n_pairs], a->pairs[a->n_pairs]);
    bool prefills = any(a->prompts.v, a->prompts.n), decodes = any(a->gens.v, a->gens.n) || a->n_pairs;
    if (!prefills && !decodes) usage_error(verb, "-p %s, -n %s: no test is left", f->prompts, f->gens);
    only_with(verb, &f->batches, decodes, "-n or -pg: tests of prompts alone have one sequence");
    for (uint32_t i = 0; i < a->batches.n; i++)
        if (a->batches.v[i] < 1 || a->batches.v[i] > 65536)
            usage_error(verb, "-b: %u, expected 1 to 65536", a->batches.v[i]);
}

/* What --simulate asks for. A barrier is measured between two workers at least. */
static void ask_for_workers(const Verb *verb, const BenchFlags *f, Asked *a) {
    static const uint32_t usual[2] = {32, 200};
    uint32_t socket[64], most = 1;
    memcpy(a->socket, usual, sizeof usual);
    a->workers.n = 0;
    only_with(verb, &f->simulated, f->profiled, "--profile");
    only_with(verb, &f->sockets, f->simulated, "--simulate");
    if (!f->simulated) return;
    a->workers = counts_of(verb, "--simulate", f->simulated);
    for (uint32_t i = 0; i < a->workers.n; i++)
        if (a->workers.v[i] < 1 || a->workers.v[i] > 1024)
            usage_error(verb, "--simulate: %u, expected 1 to 1024", a->workers.v[i]);
    for (uint32_t i = 0; i < a->threads.n; i++) most = a->threads.v[i] > most ? a->threads.v[i] : most;
    if (most < 2)
        usage_error(verb, "--simulate: got tests of 1 thread, expected 2 or more, which wait for each other");
    if (!f->sockets) return;
    if (parse_counts(verb, "--sockets", f->sockets, socket) != 2 || socket[0] == 0 || socket[1] == 0)
        usage_error(verb, "--sockets: '%s', expected CORES,GB/S, both at least 1", f->sockets);
    memcpy(a->socket, socket, sizeof a->socket);
}

/* The tests with so many threads and positions before: prompts, and what is decoded by each number of sequences. */
static void add_tests(Bench *bench, const Asked *a, BenchRow b) {
    for (uint32_t k = 0; k < a->prompts.n; k++) {
        b.n_prompt = a->prompts.v[k];
        add(bench, b);
    }
    for (uint32_t q = 0; q < a->batches.n; q++) {
        b.sequences = a->batches.v[q];
        b.n_prompt = 0;
        for (uint32_t k = 0; k < a->gens.n; k++) {
            b.n_gen = a->gens.v[k];
            add(bench, b);
        }
        for (uint32_t k = 0; k < a->n_pairs; k++) {
            b.n_prompt = a->pairs[k][0];
            b.n_gen = a->pairs[k][1];
            add(bench, b);
        }
    }
}

/* ---- against an earlier run */

static int read_old(Bench *bench) {
    TernError err = {0};
    if (!bench->against || bench_old_read(bench->against, &bench->old, &err) == TERN_OK) return EXIT_OK;
    return fail(&err);
}

/* A gate that compares nothing must not pass, and says so before it measures. */
static int check_old(const Bench *bench) {
    bool some = !bench->old;
    for (uint32_t i = 0; i < bench->n && !some; i++)
        some = bench_old_has(bench->old, &bench->rows[i], bench->l.info.name);
    if (some) return EXIT_OK;
    return fail_text("%s: no row is of these tests, threads and model, such as %s, %u threads, %s",
                     bench->against, bench->rows[0].test, bench->rows[0].threads,
                     tn_shown(bench->l.info.name).s);
}

/* json and csv stay whole on standard output. */
static int compare_old(const Bench *bench, const BenchFlags *f, const BenchTable *t) {
    if (!bench->old) return EXIT_OK;
    FILE *out = strcmp(f->format, "md") == 0 ? stdout : stderr;
    uint32_t slower = bench_old_compare(bench->old, t, (double)bench->least, out);
    if (slower == 0) return EXIT_OK;
    return fail_text("%u of the tests %s slower than %g times %s, by more than the noise", slower,
                     slower == 1 ? "is" : "are", (double)bench->least, bench->against);
}

static int load(const Verb *verb, BenchFlags *f, Bench *bench) {
    const TnFileUse files[] = {MODEL_FILES(f->m),
                               STANDARD_OUTPUT,
                               {"--profile", profile_path(bench->profile), TN_FILE_OUT},
                               {"--against", bench->against, TN_FILE_IN},
                               TUNE_FILE(f->m.tune)};
    f->m.known = known;
    f->m.known_user = bench;
    int code = check_files(verb, files, TN_COUNT(files));
    if (code == EXIT_OK) code = read_old(bench);
    if (code == EXIT_OK) code = load_model(verb, &f->m, &bench->l);
    if (code == EXIT_OK) code = check_old(bench);
    if (code == EXIT_OK) code = profile_check(bench->profile, &bench->l);
    bench->huge = f->m.huge || (bench->l.compiled && !bench->l.kept);
    if (code == EXIT_OK) report_quota(f->threads || f->m.cpus);
    return code;
}

static int show(const BenchFlags *f, Bench *bench, uint32_t n_machines, BenchPrint *print) {
    TernError err = {0};
    note_saturated(bench->saturated);
    report_huge(&f->m, &bench->l);
    if (bench_floors(&bench->l, bench->kv, bench->rows, bench->n, &err) != TERN_OK) return fail(&err);
    BenchTable table = {.model = &bench->l,
                        .file_bytes = file_bytes(f->m.model),
                        .kv = tn_kv_type(bench->kv)->name,
                        .rows = bench->rows,
                        .n = bench->n,
                        .machines = bench->machines,
                        .n_machines = n_machines,
                        .repeats = bench->repeats,
                        .n_cpus = tn_os_cpus()};
    tn_os_cpu_name(table.cpu, sizeof table.cpu);
    print(&table);
    int code = profile_finish(bench->profile, &bench->l);
    return code == EXIT_OK ? compare_old(bench, f, &table) : code;
}

static int bench_all(const Verb *verb, BenchFlags *f, Bench *bench) {
    BenchPrint *print = bench_printer(f->format);
    if (!print) usage_error(verb, "-o: '%s', expected md, json or csv", f->format);
    Asked a;
    bench->kv = kv_of_flags(verb, &f->m);
    ask_for(verb, f, &a);
    ask_for_workers(verb, f, &a);
    if (bench->read_mib < 0) {
        uint64_t quarter = tn_os_free_memory() / 4 >> 20;
        bench->read_mib = quarter < 1024 ? (int64_t)quarter : 1024;
    }
    only_with(verb, &bench->least, bench->against, "--against");
    if (bench->against && bench->repeats < BENCH_RUNS)
        usage_error(verb, "-r: got %lld, expected at least %d with --against: fewer do not tell the noise",
                    (long long)bench->repeats, BENCH_RUNS);
    f->m.threads = a.threads.v[0];
    bench->profile = profile_create(verb, f->profiled);
    if (a.workers.n)
        profile_simulate(bench->profile, a.workers.v, a.workers.n, a.socket[0], 1e9 * a.socket[1]);
    for (uint32_t i = 0; i < a.threads.n; i++)
        for (uint32_t d = 0; d < a.depths.n; d++)
            add_tests(bench, &a,
                      (BenchRow){.threads = a.threads.v[i], .depth = a.depths.v[d], .sequences = 1});
    int code = load(verb, f, bench);
    if (code == EXIT_OK) code = run_all(bench, a.threads.v, a.threads.n);
    progress_end();
    if (code == EXIT_OK) code = show(f, bench, a.threads.n, print);
    profile_destroy(bench->profile);
    bench_old_free(bench->old);
    free(bench->rows);
    unload_model(&bench->l);
    return code;
}

int verb_bench(const Verb *verb, int argc, char **argv) {
    Bench bench = {.repeats = 10, .warm_ups = 2, .read_mib = -1, .least = 0.95f};
    BenchFlags f = {.prompts = "512", .gens = "128", .depths = "0", .batches = "1", .format = "md"};
    const Flag flags[] = {
        {"-p --n-prompt", "LIST", FLAG_STR, &f.prompts, 0, 0, "prompt lengths (512); 0: none"},
        {"-n --n-gen", "LIST", FLAG_STR, &f.gens, 0, 0, "tokens to generate (128); 0: none"},
        {"-pg", "P,N", FLAG_LIST, &f.pairs, 0, 0,
         "one test of a prompt of P tokens and then N generated ones; may be repeated"},
        {"-d --n-depth", "LIST", FLAG_STR, &f.depths, 0, 0, "positions in each sequence before the test (0)"},
        {"-b --batch -npl", "LIST", FLAG_STR, &f.batches, 0, 0,
         "sequences decoded together, one row each per step (1); tests of prompts alone have one"},
        {"-t --threads", "LIST", FLAG_STR, &f.threads, 0, 0,
         "thread counts (all processors, or as many as the CPU quota allows)"},
        {"-r --repetitions", "N", FLAG_INT, &bench.repeats, 1, BENCH_SAMPLES, "timed runs of each test (10)"},
        {"--warm-ups", "N", FLAG_INT, &bench.warm_ups, 0, 100,
         "runs before them that are not timed, with at most 8 tokens generated (2)"},
        {"-o --output", "FORMAT", FLAG_STR, &f.format, 0, 0, "md (default), json or csv"},
        {"--read-mib", "N", FLAG_INT, &bench.read_mib, 0, 1 << 20,
         "MiB of memory to read when measuring the machine (1024, or a quarter of what is free); 0: do not "
         "measure"},
        {"--against", "OLD.json", FLAG_STR, &bench.against, 0, 0,
         "compare with what an earlier -o json wrote: ratios with their noise; exit status 1 if a test is "
         "slower"},
        {"--fail-below", "RATIO", FLAG_FLOAT, &bench.least, 0, 100,
         "with --against: how much of the old speed a test must reach, if it misses it by more than the "
         "noise (0.95)"},
        PROFILE_FLAG(f.profiled),
        {"--simulate", "LIST", FLAG_STR, &f.simulated, 0, 0,
         "with --profile: what these numbers of workers would take, from the times of kernels here, and "
         "which kernels starve"},
        {"--sockets", "CORES,GB/S", FLAG_STR, &f.sockets, 0, 0,
         "with --simulate: cores of a socket and what its memory gives (32,200)"},
        TUNED_SESSION_FLAGS(f.m),
        FLAG_END,
    };
    int n_words;
    parse_args(verb, flags, argc, argv, &f.m.model, 1, &n_words);
    return bench_all(verb, &f, &bench);
}
