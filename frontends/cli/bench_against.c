/* tern bench --against OLD.json: a gate. A row of the file and a row of this run belong together if they have the same test,
 * model and number of threads. Their ratio is that of the medians. A test fails only if it is slower than it may be, and if
 * that is more than chance makes of so few runs: a gate that fails at random is soon switched off. Where chance may make more than
 * is allowed, the gate passes and says that it cannot tell. What has no counterpart is named, so that a gate does not lose a test
 * without a word. */
#include <math.h>
#include <string.h>
#include "frontends/cli/bench.h"
#include "frontends/json.h"
#include "runtime/base/escape.h"

enum { ROWS_MOST = 4096 }; /* each is compared with all before it */
/* Squares, sums and ratios of speeds within these are numbers. */
static const double SPEED_LEAST = 1e-12, SPEED_MOST = 1e12;

typedef struct OldRow {
    const char *test, *model, *backend, *kv; /* within the json; the last two may be NULL */
    uint32_t threads;
    double read; /* bytes a second of the machine then; 0: not measured */
    BenchStats stats;
    bool met;
} OldRow;

struct BenchOld {
    const char *path, *cpu; /* cpu: NULL if the file does not say */
    json_t *json;
    OldRow *rows;
    size_t n;
};

static const char *text_of(const json_t *row, const char *key) {
    return json_string_value(json_object_get(row, key)); /* NULL: none, or no text */
}

static double number_of(const json_t *row, const char *key) {
    return json_number_value(json_object_get(row, key)); /* 0: none, or no number */
}

static TernStatus read_samples(const BenchOld *old, size_t i, const json_t *list, BenchStats *out,
                               TernError *err) {
    double samples[BENCH_SAMPLES];
    size_t n = json_array_size(list);
    if (n < BENCH_RUNS || n > BENCH_SAMPLES)
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s: row %zu: got %zu speeds in samples_ts, expected %d to %d, as tern bench -o json "
                       "-r %d writes",
                       old->path, i + 1, n, BENCH_RUNS, BENCH_SAMPLES, BENCH_RUNS);
    for (size_t k = 0; k < n; k++) {
        samples[k] = json_number_value(json_array_get(list, k));
        if (!(samples[k] >= SPEED_LEAST && samples[k] <= SPEED_MOST))
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: row %zu: speed %zu in samples_ts is no number from %g to %g", old->path,
                           i + 1, k + 1, SPEED_LEAST, SPEED_MOST);
    }
    *out = bench_stats(samples, (uint32_t)n);
    return TERN_OK;
}

static TernStatus read_row(BenchOld *old, size_t i, TernError *err) {
    const json_t *row = json_array_get(old->json, i);
    OldRow *r = &old->rows[i];
    json_int_t threads = json_integer_value(json_object_get(row, "n_threads"));
    *r = (OldRow){.test = text_of(row, "test"),
                  .model = text_of(row, "model"),
                  .backend = text_of(row, "backend"),
                  .kv = text_of(row, "type_kv")};
    const char *missing = !r->test                        ? "test"
                          : !r->model                     ? "model"
                          : threads < 1 || threads > 1024 ? "n_threads"
                                                          : NULL;
    if (missing)
        return tn_fail(err, TERN_ERR_INPUT, "%s: row %zu: got no %s, expected a row of tern bench -o json",
                       old->path, i + 1, missing);
    r->threads = (uint32_t)threads;
    double plain = number_of(row, "read_plain"), ahead = number_of(row, "read_prefetching");
    r->read = plain > ahead ? plain : ahead;
    if (!old->cpu) old->cpu = text_of(row, "cpu_info");
    TN_TRY(read_samples(old, i, json_object_get(row, "samples_ts"), &r->stats, err));
    for (size_t k = 0; k < i; k++)
        if (old->rows[k].threads == r->threads && strcmp(old->rows[k].test, r->test) == 0 &&
            strcmp(old->rows[k].model, r->model) == 0)
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: rows %zu and %zu are both of %s, %u threads, expected one", old->path, k + 1,
                           i + 1, tn_shown(r->test).s, r->threads);
    return TERN_OK;
}

static TernStatus read_rows(BenchOld *old, const char *text, size_t size, TernError *err) {
    json_error_t why;
    old->json = json_loadb(text, size, 0, &why);
    if (!old->json)
        return tn_fail(err, TERN_ERR_INPUT, "%s: line %d: %s, expected what tern bench -o json writes",
                       old->path, why.line, tn_shown(why.text).s);
    old->n = json_array_size(old->json);
    if (old->n == 0)
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s: got %s, expected a list of rows, as tern bench -o json writes", old->path,
                       json_is_array(old->json) ? "an empty list" : "no list");
    if (old->n > ROWS_MOST)
        return tn_fail(err, TERN_ERR_INPUT, "%s: got %zu rows, expected at most %d", old->path, old->n,
                       ROWS_MOST);
    old->rows = tn_xcalloc(old->n, sizeof *old->rows);
    for (size_t i = 0; i < old->n; i++) TN_TRY(read_row(old, i, err));
    return TERN_OK;
}

TernStatus bench_old_read(const char *path, BenchOld **out, TernError *err) {
    enum { MOST = 64 << 20 };
    char *text;
    size_t size;
    TN_TRY(read_text_file(path, MOST, &text, &size, err));
    *out = tn_xcalloc(1, sizeof **out);
    (*out)->path = path;
    TernStatus st = read_rows(*out, text, size, err);
    free(text);
    return st;
}

void bench_old_free(BenchOld *old) {
    if (!old) return;
    json_decref(old->json);
    free(old->rows);
    free(old);
}

/* The model's name as the json has it: what is not UTF-8 in it was replaced when it was written. */
static OldRow *find(const BenchOld *old, const BenchRow *b, const char *model) {
    json_t *name = tn_json_text(model);
    OldRow *found = NULL;
    for (size_t i = 0; i < old->n && !found; i++) {
        OldRow *r = &old->rows[i];
        if (r->threads == b->threads && strcmp(r->test, b->test) == 0 &&
            strcmp(r->model, json_string_value(name)) == 0)
            found = r;
    }
    json_decref(name);
    return found;
}

bool bench_old_has(const BenchOld *old, const BenchRow *row, const char *model) {
    return find(old, row, model) != NULL;
}

typedef struct Verdicts {
    uint32_t fail, unknown;
} Verdicts;

/* Prints a row and counts what became of it. */
static void compare_row(const OldRow *r, const BenchRow *b, double least, Verdicts *sum, FILE *out) {
    BenchStats now = bench_stats(b->samples, b->n_samples);
    double ratio = now.median / r->stats.median, noise = bench_ratio_noise(&now, &r->stats);
    bool slower = log(ratio)<-noise, faster = log(ratio)> noise, fails = slower && ratio < least;
    bool unknown = !slower && !faster && noise > -log(least);
    char read[32] = "-";
    if (r->read > 0 && machine_read(b->machine) > 0)
        snprintf(read, sizeof read, "%.2f", machine_read(b->machine) / r->read);
    fprintf(out, "| %18s | %7u | %10.2f | %10.2f | %5.3f ± %5.3f | %5s | %-12s |\n", b->test, b->threads,
            r->stats.median, now.median, ratio, ratio * noise, read,
            fails     ? "FAILS"
            : slower  ? "slower"
            : faster  ? "faster"
            : unknown ? "cannot tell"
                      : "within noise");
    sum->fail += fails;
    sum->unknown += unknown;
}

static void note_other(FILE *out, const char *of, const char *what, const char *then, const char *now) {
    if (then && strcmp(then, now) != 0)
        fprintf(out, "%s: %s %s then, %s now\n", of, what, tn_shown(then).s, tn_shown(now).s);
}

uint32_t bench_old_compare(const BenchOld *old, const BenchTable *t, double least, FILE *out) {
    const char *model = t->model->info.name;
    Verdicts sum = {0};
    fprintf(out, "\nagainst %s:\n| %18s | %7s | %10s | %10s | %13s | %5s | %-12s |\n", old->path, "test",
            "threads", "t/s then", "t/s now", "ratio", "read", "");
    fprintf(out, "| -----------------: | ------: | ---------: | ---------: | ------------: | ----: | "
                 "------------ |\n");
    for (uint32_t i = 0; i < t->n; i++) {
        OldRow *r = find(old, &t->rows[i], model);
        if (!r) continue;
        r->met = true;
        compare_row(r, &t->rows[i], least, &sum, out);
    }
    fprintf(out, "\nratio: of the medians ± its noise at 95 %%; read: what the machine read, now / then\n");
    note_other(out, old->path, "cpu", old->cpu, t->cpu);
    for (uint32_t i = 0; i < t->n; i++) {
        const BenchRow *b = &t->rows[i];
        const OldRow *r = find(old, b, model);
        if (!r) {
            fprintf(out, "not in %s: %s, %u threads\n", old->path, b->test, b->threads);
            continue;
        }
        note_other(out, b->test, "backend", r->backend, b->backend);
        note_other(out, b->test, "cache", r->kv, t->kv);
    }
    for (size_t i = 0; i < old->n; i++)
        if (!old->rows[i].met)
            fprintf(out, "only in %s: %s, %u threads, %s\n", old->path, tn_shown(old->rows[i].test).s,
                    old->rows[i].threads, tn_shown(old->rows[i].model).s);
    if (sum.unknown)
        fprintf(out,
                "cannot tell: the noise of %u of the tests is more than %g times allows; more runs (-r) or a "
                "quieter machine make it less\n",
                sum.unknown, least);
    return sum.fail;
}
