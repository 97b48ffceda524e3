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
    printf("| %-*s | %10s | %10s | %-16s | %7s | %18s | %18s | %10s |\n", w, "model", "size", "params",
           "backend", "threads", "test", "t/s", "floor");
    printf("| ");
    for (int i = 0; i < w; i++) putchar('-');
    printf(" | ---------: | ---------: | ---------------- | ------: | -----------------: | "
           "-----------------: | ---------: |\n");
    for (uint32_t i = 0; i < t->n; i++) {
        const BenchRow *b = &t->rows[i];
        char size[32], count[32], speed[48], share[32] = "-";
        snprintf(size, sizeof size, gib >= 1 ? "%.2f GiB" : "%.2f MiB", gib >= 1 ? gib : gib * 1024);
        snprintf(count, sizeof count, params >= 1 ? "%.2f B" : "%.2f M", params >= 1 ? params : params * 1e3);
        snprintf(speed, sizeof speed, "%.2f ± %.2f", b->median, b->stddev);
        if (b->floor > 0) snprintf(share, sizeof share, "%.0f%% %s", 100 * bench_share(b), b->bound);
        printf("| %-*s | %10s | %10s | %-16s | %7u | %18s | %19s | %10s |\n", w, name, size, count,
               b->backend, b->threads, b->test, speed, share);
    }
    printf("\nsize: of the %s\n", t->file_bytes ? "file" : "weights in memory");
    printf("t/s: median ± standard deviation of %lld\n", (long long)t->repeats);
    for (uint32_t i = 0; i < t->n_machines; i++) print_machine(&t->machines[i], l->info.level);
    printf("build: tern %s\n", tern_version());
}

static void print_csv(const BenchTable *t) {
    const Loaded *l = t->model;
    printf(
        "model,arch,size,params,backend,n_threads,type_kv,test,n_prompt,n_gen,n_depth,n_seq,avg_ts,stddev_ts,"
        "median_ts,min_ts,max_ts,floor_ts,floor_bound,bytes,macs,read_gbs,int8_gops,weight_bytes,float_macs,"
        "f32_gops\n");
    for (uint32_t i = 0; i < t->n; i++) {
        const BenchRow *b = &t->rows[i];
        TnBuf name = {0};
        tn_put_csv(l->info.name, &name);
        tn_buf_puts(&name, ",");
        tn_put_csv(l->info.arch, &name);
        printf("%s,%llu,%llu,%s,%u,%s,%s,%u,%u,%u,%u,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%s,%.0f,%.0f,%.3f,"
               "%.3f,%llu,%.0f,%.3f\n",
               name.data, (unsigned long long)size_of(t), (unsigned long long)l->info.n_params, b->backend,
               b->threads, t->kv, b->test, b->n_prompt, b->n_gen, b->depth, b->sequences, b->mean, b->stddev,
               b->median, b->least, b->most, b->floor, b->floor > 0 ? b->bound : "", b->bytes, b->macs,
               machine_read(b->machine) / 1e9, b->machine->int8 / 1e9,
               (unsigned long long)l->info.weight_bytes, b->float_macs, b->machine->f32 / 1e9);
        tn_buf_free(&name);
    }
}

static void print_json(const BenchTable *t) {
    const Loaded *l = t->model;
    json_t *all = tn_json_array();
    for (uint32_t i = 0; i < t->n; i++) {
        const BenchRow *b = &t->rows[i];
        const Machine *m = b->machine;
        json_t *samples = tn_json_array(), *row;
        for (uint32_t k = 0; k < b->n_samples; k++) tn_json_push(samples, tn_json_real(b->samples[k]));
        row = tn_json_object();
        const char *const texts[][2] = {{"build", tern_version()},
                                        {"model", l->info.name},
                                        {"model_arch", l->info.arch},
                                        {"model_type", l->info.desc},
                                        {"backend", b->backend},
                                        {"type_kv", t->kv},
                                        {"test", b->test}};
        for (size_t k = 0; k < TN_COUNT(texts); k++) tn_json_set(row, texts[k][0], tn_json_text(texts[k][1]));
        const struct {
            const char *key;
            uint64_t value;
        } counts[] = {{"model_size", size_of(t)},
                      {"weight_bytes", l->info.weight_bytes},
                      {"model_n_params", l->info.n_params},
                      {"n_threads", b->threads},
                      {"n_prompt", b->n_prompt},
                      {"n_gen", b->n_gen},
                      {"n_depth", b->depth},
                      {"n_seq", b->sequences},
                      {"read_bytes", m->bytes},
                      {"read_huge_bytes", m->huge_bytes}};
        const struct {
            const char *key;
            double value;
        } reals[] = {{"avg_ts", b->mean},           {"stddev_ts", b->stddev},
                     {"median_ts", b->median},      {"min_ts", b->least},
                     {"max_ts", b->most},           {"floor_ts", b->floor},
                     {"bytes", b->bytes},           {"macs", b->macs},
                     {"read_plain", m->plain},      {"read_prefetching", m->prefetching},
                     {"int8_ops", m->int8},         {"f32_ops", m->f32},
                     {"float_macs", b->float_macs}, {"floor_share", bench_share(b)}};
        for (size_t k = 0; k < TN_COUNT(counts); k++)
            tn_json_set(row, counts[k].key, tn_json_int(counts[k].value));
        for (size_t k = 0; k < TN_COUNT(reals); k++)
            tn_json_set(row, reals[k].key, tn_json_real(reals[k].value));
        tn_json_set(row, "floor_bound", b->floor > 0 ? tn_json_text(b->bound) : json_null());
        tn_json_set(row, "samples_ts", samples);
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
