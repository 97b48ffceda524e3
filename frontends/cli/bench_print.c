/* Prints the table of tern bench as Markdown, json or csv. Columns that llama-bench also has keep its
 * names. */
#include <string.h>
#include "frontends/cli/bench.h"
#include "frontends/json.h"

static uint64_t size_of(const BenchTable *t) {
    return t->file_bytes ? t->file_bytes : t->model->info.weight_bytes;
}

static void model_columns(const BenchTable *t, char *name, size_t n, double *gib, double *params_b) {
    const Loaded *l = t->model;
    snprintf(name, n, "%s %s", tn_shown(l->info.arch).s, tn_shown(l->info.desc).s);
    *gib = (double)size_of(t) / (1 << 30);
    *params_b = (double)l->info.n_params / 1e9;
}

static void print_machine(const Machine *m, const char *level) {
    if (machine_read(m) > 0)
        printf("read: %.2f GB/s, %u threads, %zu MiB in %s pages (plain %.2f, prefetching %.2f)\n",
               machine_read(m) / 1e9, m->threads, m->bytes >> 20,
               m->huge_bytes > m->bytes / 2 ? "huge" : "small", m->plain / 1e9, m->prefetching / 1e9);
    if (m->int8 > 0) printf("int8: %.1f GOPS, %u threads, %s\n", m->int8 / 1e9, m->threads, level);
    if (m->f32 > 0) printf("f32: %.1f GOPS, %u threads, %s\n", m->f32 / 1e9, m->threads, level);
}

static void print_md(const BenchTable *t) {
    const Loaded *l = t->model;
    char name[2 * sizeof(TnShownText) + 2];
    double gib, params;
    model_columns(t, name, sizeof name, &gib, &params);
    int w = (int)strlen(name) > 24 ? (int)strlen(name) : 24;
    printf("| %-*s | %10s | %10s | %-16s | %7s | %18s | %18s | %8s | %8s | %9s | %8s | %10s |\n", w, "model",
           "size", "params", "backend", "threads", "test", "t/s", "mean", "p95", "first ms", "peak MB",
           "floor");
    printf("| ");
    for (int i = 0; i < w; i++) putchar('-');
    printf(
        " | ---------: | ---------: | ---------------- | ------: | -----------------: | -----------------: | "
        "-------: | -------: | --------: | -------: | ---------: |\n");
    for (uint32_t i = 0; i < t->n; i++) {
        const BenchRow *b = &t->rows[i];
        char size[32], count[32], speed[48], peak[32] = "-", share[32] = "-";
        snprintf(size, sizeof size, gib >= 1 ? "%.2f GiB" : "%.2f MiB", gib >= 1 ? gib : gib * 1024);
        snprintf(count, sizeof count, params >= 1 ? "%.2f B" : "%.2f M", params >= 1 ? params : params * 1e3);
        snprintf(speed, sizeof speed, "%.2f ± %.2f", b->median, b->stddev);
        if (b->floor > 0) snprintf(share, sizeof share, "%.0f%% %s", 100 * bench_share(b), b->bound);
        if (b->peak) snprintf(peak, sizeof peak, "%.1f", (double)b->peak / 1e6);
        printf("| %-*s | %10s | %10s | %-16s | %7u | %18s | %19s | %8.2f | %8.2f | %9.2f | %8s | %10s |\n", w,
               name, size, count, b->backend, b->threads, b->test, speed, b->mean, b->p95, 1e3 * b->first,
               peak, share);
    }
    printf("\nsize: of the %s\n", t->file_bytes ? "file" : "weights in memory");
    printf("t/s: median ± standard deviation of %lld\n", (long long)t->repeats);
    printf("p95: t/s that 95 %% of them reach; first ms: to the first token, median; peak MB: resident, with "
           "mapped files\n");
    printf("cpu: %s, %u processor%s\n", t->cpu, t->n_cpus, t->n_cpus == 1 ? "" : "s");
    for (uint32_t i = 0; i < t->n_machines; i++) print_machine(&t->machines[i], l->info.level);
    printf("build: tern %s\n", tern_version());
}

static void print_csv(const BenchTable *t) {
    const Loaded *l = t->model;
    printf(
        "model,arch,size,params,backend,n_threads,type_kv,test,n_prompt,n_gen,n_depth,n_seq,avg_ts,stddev_ts,"
        "median_ts,min_ts,max_ts,floor_ts,floor_bound,bytes,macs,read_gbs,int8_gops,weight_bytes,float_macs,"
        "f32_gops,p95_ts,first_ms,peak_bytes,n_cpus,cpu_info\n");
    for (uint32_t i = 0; i < t->n; i++) {
        const BenchRow *b = &t->rows[i];
        TnBuf name = {0}, cpu = {0};
        tn_put_csv(t->cpu, &cpu);
        tn_put_csv(l->info.name, &name);
        tn_buf_puts(&name, ",");
        tn_put_csv(l->info.arch, &name);
        printf("%s,%llu,%llu,%s,%u,%s,%s,%u,%u,%u,%u,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%s,%.0f,%.0f,%.3f,"
               "%.3f,%llu,%.0f,%.3f,%.6f,%.6f,%llu,%u,%s\n",
               name.data, (unsigned long long)size_of(t), (unsigned long long)l->info.n_params, b->backend,
               b->threads, t->kv, b->test, b->n_prompt, b->n_gen, b->depth, b->sequences, b->mean, b->stddev,
               b->median, b->least, b->most, b->floor, b->floor > 0 ? b->bound : "", b->bytes, b->macs,
               machine_read(b->machine) / 1e9, b->machine->int8 / 1e9,
               (unsigned long long)l->info.weight_bytes, b->float_macs, b->machine->f32 / 1e9, b->p95,
               1e3 * b->first, (unsigned long long)b->peak, t->n_cpus, cpu.data);
        tn_buf_free(&name);
        tn_buf_free(&cpu);
    }
}

static json_t *json_samples(const double *v, uint32_t n) {
    json_t *list = tn_json_array();
    for (uint32_t k = 0; k < n; k++) tn_json_push(list, tn_json_real(v[k]));
    return list;
}

static void set_counts(json_t *row, const BenchTable *t, const BenchRow *b) {
    const TernModelInfo *info = &t->model->info;
    const struct {
        const char *key;
        uint64_t value;
    } counts[] = {{"n_cpus", t->n_cpus},
                  {"model_size", size_of(t)},
                  {"weight_bytes", info->weight_bytes},
                  {"model_n_params", info->n_params},
                  {"n_threads", b->threads},
                  {"n_prompt", b->n_prompt},
                  {"n_gen", b->n_gen},
                  {"n_depth", b->depth},
                  {"n_seq", b->sequences},
                  {"peak_bytes", b->peak},
                  {"read_bytes", b->machine->bytes},
                  {"read_huge_bytes", b->machine->huge_bytes}};
    for (size_t k = 0; k < TN_COUNT(counts); k++)
        tn_json_set(row, counts[k].key, tn_json_int(counts[k].value));
}

static void set_reals(json_t *row, const BenchRow *b) {
    const Machine *m = b->machine;
    const struct {
        const char *key;
        double value;
    } reals[] = {{"avg_ts", b->mean},           {"stddev_ts", b->stddev},
                 {"median_ts", b->median},      {"p95_ts", b->p95},
                 {"min_ts", b->least},          {"max_ts", b->most},
                 {"first_ms", 1e3 * b->first},  {"floor_ts", b->floor},
                 {"bytes", b->bytes},           {"macs", b->macs},
                 {"read_plain", m->plain},      {"read_prefetching", m->prefetching},
                 {"int8_ops", m->int8},         {"f32_ops", m->f32},
                 {"float_macs", b->float_macs}, {"floor_share", bench_share(b)}};
    for (size_t k = 0; k < TN_COUNT(reals); k++) tn_json_set(row, reals[k].key, tn_json_real(reals[k].value));
}

static void print_json(const BenchTable *t) {
    const Loaded *l = t->model;
    json_t *all = tn_json_array();
    for (uint32_t i = 0; i < t->n; i++) {
        const BenchRow *b = &t->rows[i];
        json_t *row = tn_json_object();
        const char *const texts[][2] = {{"build", tern_version()},    {"cpu_info", t->cpu},
                                        {"model", l->info.name},      {"model_arch", l->info.arch},
                                        {"model_type", l->info.desc}, {"backend", b->backend},
                                        {"type_kv", t->kv},           {"test", b->test}};
        for (size_t k = 0; k < TN_COUNT(texts); k++) tn_json_set(row, texts[k][0], tn_json_text(texts[k][1]));
        set_counts(row, t, b);
        set_reals(row, b);
        tn_json_set(row, "floor_bound", b->floor > 0 ? tn_json_text(b->bound) : json_null());
        tn_json_set(row, "samples_ts", json_samples(b->samples, b->n_samples));
        tn_json_set(row, "samples_first_s", json_samples(b->firsts, b->n_samples));
        tn_json_push(all, row);
    }
    TnBuf out = {0};
    tn_json_end(all, JSON_INDENT(2) | JSON_REAL_PRECISION(10), &out);
    fwrite(out.data, 1, out.len, stdout); /* checked at the end of main */
    tn_buf_free(&out);
}

BenchPrint *bench_printer(const char *format) {
    return strcmp(format, "md") == 0     ? print_md
           : strcmp(format, "json") == 0 ? print_json
           : strcmp(format, "csv") == 0  ? print_csv
                                         : NULL;
}
