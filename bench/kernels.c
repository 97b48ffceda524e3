/* kernels [LEVEL [THREADS [CASE]..]]: times the llvm target's kernels on THREADS threads (1), each beside a
 * plain read of its weights. CASE is a number of the list at the end, or ROOT:M:K:ROWS; without one, all are run.
 * TERN_AHEAD="prefetch_l1=.., prefetch_l2=.., panels=1" sets other distances of prefetches, and panels.
 *
 * Prints for each kernel, as the best of several runs: GB/s of weight bytes, which bound decoding, and GOPS
 * (a multiply-add is two operations), which bound prefill. Each has its share of what the machine reaches:
 * the better of two readers over 512 MiB in huge pages, and the level's int8 dot products on registers. Cases
 * with `stream` in their name have weights larger than the last-level cache; the others may beat memory. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "codegen/codegen.h"
#include "frontends/cli/machine.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"

enum { RUNS = 7, MOST_THREADS = 64 };

/* Words are read a line at a time: one by one, a core of 4 GHz reads no more than 20 GB/s, which is less than memory gives. */
typedef uint64_t Line __attribute__((vector_size(64)));

typedef struct Bench {
    TnKernelFn *run;
    TnLaunch launch;
    int64_t units;
    int threads;
    const Line *plain; /* if set, read these lines instead of running the kernel */
    size_t lines;
    void *scratch[MOST_THREADS];
} Bench;

typedef struct Share {
    Bench *b;
    int index;
    uint64_t sum;
} Share;

static void *work(void *p) {
    Share *s = p;
    Bench *b = s->b;
    if (b->plain) {
        size_t lo = b->lines * (size_t)s->index / (size_t)b->threads,
               hi = b->lines * (size_t)(s->index + 1) / (size_t)b->threads;
        Line sum = {0};
        for (size_t i = lo; i < hi; i++) sum += b->plain[i];
        for (int j = 0; j < 8; j++) s->sum += sum[j];
        return NULL;
    }
    TnTile t = {.lo = b->units * s->index / b->threads,
                .hi = b->units * (s->index + 1) / b->threads,
                .scratch = b->scratch[s->index]};
    if (t.lo < t.hi) b->run(&b->launch, &t);
    return NULL;
}

/* A single thread is timed by its own processor time, which other load on the machine disturbs less. */
static double seconds(const Bench *b) {
    struct timespec t;
    if (b->threads > 1) return tn_os_seconds();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best(Bench *b) {
    double least = 1e9;
    for (int r = 0; r < RUNS; r++) {
        pthread_t thread[MOST_THREADS] = {0};
        Share share[MOST_THREADS] = {{b, 0, 0}};
        double start = seconds(b);
        for (int i = 1; i < b->threads; i++) share[i] = (Share){b, i, 0};
        for (int i = 1; i < b->threads; i++) pthread_create(&thread[i], NULL, work, &share[i]);
        work(&share[0]);
        for (int i = 1; i < b->threads; i++) pthread_join(thread[i], NULL);
        double t = seconds(b) - start;
        least = t < least ? t : least;
    }
    return least;
}

static void *map(size_t bytes) {
    void *p;
    TernError err;
    if (tn_os_map(bytes + 64, true, &p, &err) != TERN_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return p;
}

/* root: "tmatmul", "beside" and "base3" (tmatmul over b64 and b80), "groups" or "groups64" (a product by groups of 128 or 64),
 * the encoding of a dense matmul, or "s8", "s6" or "s5" for a product over a shadow table. */
static void bench(const Machine *machine, const char *level, int threads, const char *root, int m, int k,
                  int rows, const char *what) {
    bool base3 = !strcmp(root, "base3"), beside = base3 || !strcmp(root, "beside"),
         ternary = beside || !strcmp(root, "tmatmul"), groups = !strncmp(root, "groups", 6),
         shadow = root[0] == 's';
    int grain = base3 && rows <= 8 ? 160 : 128, units = (m + grain - 1) / grain,
        group = strcmp(root, "groups") ? 64 : 128;
    const char *ahead = getenv("TERN_AHEAD");
    if (!ahead)
        ahead = groups    ? "prefetch_l1=2048, prefetch_l2=8192"
                : beside  ? "prefetch_l1=4096"
                : shadow  ? "prefetch_l1=8192"
                : ternary ? "prefetch_l1=1024, prefetch_l2=12288"
                          : "prefetch_l1=4096";
    TnBuf text = {0};
    tn_buf_printf(&text, "tir 1\ngraph @b stage=planned level=%s kv=f16 rows=%d..%d\n", level, rows, rows);
    if (ternary)
        tn_buf_printf(&text, "$w: %s[%d,%d] scale=0x1p-3 = random {seed=5}\n",
                      base3    ? "b80"
                      : beside ? "b64"
                               : "p64",
                      m, k);
    else if (groups)
        tn_buf_printf(&text, "$w: r64[%d,%d] scale=group:%d = random {seed=5}\n", m, k, group);
    else if (shadow)
        tn_buf_printf(&text, "$t: f16[%d,%d] = random {seed=5}\n$w: %s[%d,%d] = pack $t\n", m, k, root, m, k);
    else
        tn_buf_printf(&text, "$w: %s[%d,%d] = random {seed=5}\n", root, m, k);
    tn_buf_printf(&text, "$g: f32[%d] = random {seed=6}\n%%x: f32[T,%d] = input {name=\"x\"}\n", k, k);
    if (ternary && rows > 1)
        tn_buf_printf(&text,
                      "kernel @q {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n%%q: "
                      "q8[T,%d] = quant %%x {off=0}\nend\n",
                      k);
    if (groups)
        tn_buf_printf(&text,
                      "kernel @q {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n%%q: "
                      "q8g[T,%d] scale=group:%d = quant_groups %%x {n=%d, off=0}\nend\n",
                      k, group, group);
    if (shadow)
        tn_buf_printf(&text,
                      "kernel @q {root=none, target=llvm, axis=rows, grain=1, units=1, barrier=1}\n%%q: "
                      "q14[T,%d] = limbs %%x {off=0}\nend\n",
                      k);
    tn_buf_printf(&text,
                  "kernel @main {root=%s, target=llvm, axis=cols, grain=%d, units=%d, %s, "
                  "barrier=1}\n",
                  ternary  ? "tmatmul"
                  : groups ? "tmatmul_groups"
                  : shadow ? "estimate"
                           : "matmul",
                  grain, units, ahead);
    if (ternary && rows == 1)
        tn_buf_printf(&text, "%%n: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17}\n%%q: q8[T,%d] = quant %%n\n", k,
                      k);
    if (ternary)
        tn_buf_printf(
            &text, "%%a: i32[T,%d] = tmatmul %%q, $w\n%%d: f32[T,%d] = dequant %%a, %%q, $w {off=0}\n", m, m);
    else
        tn_buf_printf(&text, "%%y: f32[T,%d] = %s, $w {off=0}\n", m,
                      groups   ? "tmatmul_groups %q"
                      : shadow ? "estimate %q"
                               : "matmul %x");
    tn_buf_printf(&text, "end\n%%o: f32[T,%d] = output %%%s {name=\"hidden\"}\nend\n", m,
                  ternary ? "d" : "y");
    TnDiag diag = {0};
    TnGraph **gs;
    uint32_t n;
    if (tn_parse(text.data, text.len, "bench", &gs, &n, &diag) != TERN_OK) {
        fputs(diag.text.data, stderr);
        exit(1);
    }
    TnGraph *g = gs[0];
    uint32_t kernel = g->n_kernels - 1;
    TnEmitJob job = {.g = g, .kernel = kernel, .symbol = "k"};
    TnBuf image = {0};
    TernError err;
    void *code;
    double t0 = tn_os_seconds();
    if (tn_target_llvm.emit(&job, 1, level, &image, NULL, NULL, &err) != TERN_OK ||
        tn_os_map_code(image.data, image.len, &code, &err) != TERN_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    double t1 = tn_os_seconds();
    const char *dump = getenv("DUMP");
    if (dump) {
        FILE *f = fopen(dump, "wb");
        fwrite(image.data, 1, image.len, f);
        fclose(f);
    }
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = rows, [TN_R] = rows};
    TnRef ops[64];
    uint32_t n_in, n_ops = tn_kernel_operands(g, kernel, ops, &n_in);
    void *ptr[64];
    size_t weight_bytes = 0;
    Bench b = {
        .run = (TnKernelFn *)(uintptr_t)((uintptr_t)code + job.entry), .units = units, .threads = threads};
    for (uint32_t i = 0; i < n_ops; i++) {
        const TnType *t = &g->nodes[ops[i]].type;
        size_t bytes = tn_type_bytes(t, sym);
        ptr[i] = map(bytes);
        memset(ptr[i], 0, bytes);
        if (!strcmp(g->nodes[ops[i]].name, "w")) {
            memset(ptr[i], 0x55, bytes);
            if (!ternary && !groups) memset(ptr[i], 0, bytes);
            weight_bytes = shadow ? tn_shadow_read_bytes(t) : bytes;
            b.plain = ptr[i];
            b.lines = weight_bytes / sizeof(Line);
        }
    }
    b.launch = (TnLaunch){(void *const *)ptr, sym};
    for (int i = 0; i < threads; i++) b.scratch[i] = map(job.scratch + 64);
    double plain = best(&b);
    b.plain = NULL;
    double t = best(&b);
    double bytes = (double)weight_bytes / t, macs = (double)m * k * rows / t;
    printf("%-12s %-8s [%d,%d] x %d rows%s: %.2f GB/s, %.0f%% of read (its weights plainly %.2f); %.1f GOPS, "
           "%.0f%% of "
           "int8; code %zu B in %.0f ms\n",
           level, root, m, k, rows, what, bytes * 1e-9, 100 * bytes / machine_read(machine),
           (double)weight_bytes / plain * 1e-9, 2e-9 * macs, 200 * macs / machine->int8, image.len,
           (t1 - t0) * 1e3);
    for (uint32_t i = 0; i < n_ops; i++) tn_os_unmap(ptr[i], tn_type_bytes(&g->nodes[ops[i]].type, sym) + 64);
    for (int i = 0; i < threads; i++) tn_os_unmap(b.scratch[i], job.scratch + 64);
    tn_os_unmap(code, image.len);
    tn_graph_destroy(g);
    free(gs);
    tn_buf_free(&text);
    tn_buf_free(&image);
    tn_diag_free(&diag);
}

int main(int argc, char **argv) {
    const char *level = argc > 1 ? argv[1] : "avx2";
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    if (!tn_level_runs_here(tn_level_number(level)) || threads < 1 || threads > MOST_THREADS) {
        fprintf(stderr, "usage: kernels [LEVEL [THREADS [CASE]..]]; %s does not run here\n", level);
        return 2;
    }
    Machine machine = {0};
    if (!machine_read_rate(&machine, (uint32_t)threads, (size_t)512 << 20, true) ||
        !machine_dot_rates(&machine, (uint32_t)threads, level)) {
        fprintf(stderr, "kernels: no memory or threads to measure the machine with\n");
        return 1;
    }
    printf("%d threads: read %.2f GB/s, int8 %.1f GOPS\n", threads, machine_read(&machine) * 1e-9,
           machine.int8 * 1e-9);
    static const struct {
        const char *root;
        int m, k, rows;
        const char *what;
    } all[] = {
        {"tmatmul", 200000, 2560, 1, ", stream"},  {"tmatmul", 80000, 6912, 1, ", stream"},
        {"tmatmul", 1280, 2560, 1, ", cached"},    {"tmatmul", 200000, 2560, 2, ", stream"},
        {"tmatmul", 200000, 2560, 4, ", stream"},  {"tmatmul", 200000, 2560, 8, ", stream"},
        {"tmatmul", 80000, 6912, 8, ", stream"},   {"tmatmul", 6912, 2560, 128, ""},
        {"tmatmul", 2560, 6912, 128, ""},          {"tmatmul", 2560, 2560, 512, ""},
        {"f16", 60000, 2560, 1, ", stream"},       {"f32", 30000, 2560, 1, ", stream"},
        {"f16", 200, 2560, 1, ", cached"},         {"f16", 8000, 2560, 64, ""},
        {"f16", 60000, 2560, 2, ", stream"},       {"f16", 60000, 2560, 8, ", stream"},
        {"tmatmul", 1280, 2560, 8, ", cached"},    {"tmatmul", 512, 6912, 8, ", cached"},
        {"s6", 60000, 2560, 1, ", stream"},        {"s6", 60000, 2560, 8, ", stream"},
        {"s8", 60000, 2560, 8, ", stream"},        {"groups", 200000, 2048, 1, ", stream"},
        {"groups", 80000, 6144, 1, ", stream"},    {"groups", 1024, 2048, 1, ", cached"},
        {"groups", 200000, 2048, 8, ", stream"},   {"groups", 4096, 2048, 512, ""},
        {"groups", 2048, 6144, 512, ""},           {"beside", 200000, 2560, 1, ", stream"},
        {"beside", 80000, 6912, 1, ", stream"},    {"beside", 1280, 2560, 1, ", cached"},
        {"tmatmul", 200000, 2560, 3, ", stream"},  {"beside", 200000, 2560, 2, ", stream"},
        {"beside", 200000, 2560, 3, ", stream"},   {"beside", 200000, 2560, 4, ", stream"},
        {"beside", 200000, 2560, 6, ", stream"},   {"beside", 200000, 2560, 8, ", stream"},
        {"beside", 80000, 6912, 8, ", stream"},    {"beside", 1280, 2560, 8, ", cached"},
        {"beside", 6912, 2560, 128, ""},           {"beside", 2560, 6912, 128, ""},
        {"beside", 2560, 2560, 512, ""},           {"groups", 200000, 2560, 2, ", stream"},
        {"groups", 200000, 2560, 4, ", stream"},   {"groups", 1280, 2560, 4, ", cached"},
        {"groups", 1280, 2560, 8, ", cached"},     {"groups", 6912, 2560, 128, ""},
        {"groups64", 200000, 2560, 1, ", stream"}, {"groups64", 200000, 2560, 8, ", stream"},
        {"groups64", 1280, 2560, 8, ", cached"},   {"groups64", 6912, 2560, 128, ""},
    };
    for (int i = 0; i < (int)TN_COUNT(all); i++)
        if (argc <= 3)
            bench(&machine, level, threads, all[i].root, all[i].m, all[i].k, all[i].rows, all[i].what);
    for (int a = 3; a < argc; a++) {
        char root[16];
        int m, k, rows, i = atoi(argv[a]);
        if (sscanf(argv[a], "%15[a-z0-9]:%d:%d:%d", root, &m, &k, &rows) == 4)
            bench(&machine, level, threads, root, m, k, rows, "");
        else if (i < (int)TN_COUNT(all))
            bench(&machine, level, threads, all[i].root, all[i].m, all[i].k, all[i].rows, all[i].what);
    }
    return 0;
}
