/* attention [LEVEL [SHAPE]]: times attention over a prompt on every target that can do it, in turn.
 *
 * Prints GFLOP/s of one core in the thread's own processor time, the best of several runs. Each key that a
 * row may see counts 4 * head dim operations for each query head. Work on masked keys does not count. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "codegen/codegen.h"
#include "ir/type_layout.h"
#include "runtime/base/half.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"

enum { RUNS = 25, MOST = 3 };

typedef struct Shape {
    int heads, kv_heads, head, rows, depth; /* depth: positions in the cache before the rows */
    const char *kv;
} Shape;

static uint32_t next_u32(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static float next_float(void) {
    return (float)(next_u32() & 0xffffff) * 0x1p-23f - 1.0f;
}

static void *map(size_t bytes) {
    void *p;
    TernError err;
    if (tn_os_map(bytes + 64, true, &p, &err) != TERN_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    memset(p, 0, bytes);
    return p;
}

/* `single`: all kv heads are one unit, so the llvm target works row by row. */
static TnGraph *graph(const Shape *s, const char *level, const char *target, bool single) {
    TnBuf b = {0};
    TnDiag diag = {0};
    TnGraph **gs;
    uint32_t n;
    int cols = s->heads * s->head;
    tn_buf_printf(
        &b,
        "tir 1\ngraph @b stage=planned level=%s kv=%s rows=9..4096\n"
        "%%q: f32[T,%d] = input {name=\"q\"}\n%%k0: kc_%s[N,%d,%d] = input {name=\"k0\"}\n"
        "%%v0: vc_%s[N,%d,%d] = input {name=\"v0\"}\n%%pos: i32[T] = input {name=\"pos\"}\n"
        "%%slot: i32[T] = input {name=\"slot\"}\n%%table: i32[S,P] = input {name=\"table\"}\n"
        "kernel @a {root=attend, target=%s, axis=rows, grain=1, units=%d, barrier=1}\n"
        "%%y: f32[T,%d] = attend %%q, %%k0, %%v0, %%pos, %%slot, %%table {scale=%a, window=0}\nend\n"
        "%%o: f32[T,%d] = output %%y {name=\"hidden\"}\nend\n",
        level, s->kv, cols, s->kv, s->kv_heads, s->head, s->kv, s->kv_heads, s->head, target,
        single ? 1 : s->kv_heads, cols, (double)(1.0f / sqrtf((float)s->head)), cols);
    if (tn_parse(b.data, b.len, "bench", &gs, &n, &diag) != TERN_OK) {
        fputs(diag.text.data, stderr);
        exit(1);
    }
    TnGraph *g = gs[0];
    free(gs);
    tn_buf_free(&b);
    return g;
}

typedef struct Code {
    TnKernelFn *run;
    void *scratch, *map;
    size_t map_bytes;
    double best;
} Code;

/* run is NULL if the target does not take the kernel. */
static Code compile(const TnGraph *g, const char *level, const TnTarget *target, int64_t pages) {
    Code c = {.best = 1e9};
    TnEmitJob job = {.g = g, .kernel = 0, .symbol = "k"};
    TnBuf image = {0};
    TernError err;
    if (target->desc.can(g, 0, level) <= 0) return c;
    if (target->emit(&job, 1, level, &image, NULL, NULL, &err) != TERN_OK ||
        tn_os_map_code(image.data, image.len, &c.map, &err) != TERN_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    const char *dump = getenv("DUMP"); /* a file for the code of the last kernel, for a disassembler */
    FILE *f = dump ? fopen(dump, "wb") : NULL;
    if (f) {
        fwrite(image.data, 1, image.len, f);
        fclose(f);
    }
    c.map_bytes = image.len;
    c.run = (TnKernelFn *)(uintptr_t)((uintptr_t)c.map + job.entry);
    c.scratch = map((size_t)(job.scratch + job.scratch_page * (uint64_t)pages));
    tn_buf_free(&image);
    return c;
}

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void bench(const char *level, const Shape *s) {
    static const char *const names[MOST] = {"llvm", "xsmm", "llvm"}; /* the last row by row */
    int64_t pages = (s->rows + s->depth + TN_PAGE - 1) / TN_PAGE;
    int64_t sym[TN_SYM_COUNT] = {[TN_T] = s->rows, [TN_S] = 1, [TN_P] = pages, [TN_N] = pages};
    TnGraph *g[MOST];
    Code code[MOST] = {{0}};
    void *ptr[64];
    for (int i = 0; i < MOST; i++) {
        const TnTarget *target = tn_target_find(names[i]);
        g[i] = graph(s, level, names[i], i == MOST - 1);
        if (target) code[i] = compile(g[i], level, target, pages);
    }
    TnRef ops[64];
    uint32_t n_in, n = tn_kernel_operands(g[0], 0, ops, &n_in);
    for (uint32_t i = 0; i < n; i++) {
        const TnNode *node = &g[0]->nodes[ops[i]];
        size_t bytes = tn_type_bytes(&node->type, sym);
        ptr[i] = map(bytes);
        if (i == n_in) continue;
        if (!strcmp(node->name, "pos"))
            for (int t = 0; t < s->rows; t++) ((int32_t *)ptr[i])[t] = s->depth + t;
        else if (!strcmp(node->name, "table"))
            for (int t = 0; t < pages; t++) ((int32_t *)ptr[i])[t] = t;
        else if (strcmp(node->name, "slot") && (!strcmp(node->name, "q") || !strcmp(s->kv, "f32")))
            for (size_t k = 0; k < bytes / 4; k++) ((float *)ptr[i])[k] = next_float();
        else if (strcmp(node->name, "slot"))
            for (size_t k = 0; k < bytes / 2; k++) ((uint16_t *)ptr[i])[k] = tn_f32_to_f16(next_float());
    }
    TnLaunch launch = {ptr, sym};
    for (int r = 0; r < RUNS; r++)
        for (int i = 0; i < MOST; i++) {
            if (!code[i].run) continue;
            TnTile tile = {.hi = (int64_t)s->rows * (i == MOST - 1 ? 1 : s->kv_heads),
                           .scratch = code[i].scratch};
            double start = thread_seconds();
            code[i].run(&launch, &tile);
            double t = thread_seconds() - start;
            if (r > 0 && t < code[i].best) code[i].best = t;
        }
    double flop = 0;
    for (int t = 0; t < s->rows; t++) flop += 4.0 * s->heads * s->head * (s->depth + t + 1);
    printf("%d/%d x %d %s, %4d rows at %4d:", s->heads, s->kv_heads, s->head, s->kv, s->rows, s->depth);
    for (int i = 0; i < MOST; i++) {
        if (!code[i].run)
            printf("  %s no           ", names[i]);
        else
            printf("  %s %6.1f", i == MOST - 1 ? "by row" : names[i], flop / code[i].best * 1e-9);
        tn_graph_destroy(g[i]);
    }
    printf(" GFLOP/s\n");
}

int main(int argc, char **argv) {
    static const Shape shapes[] = {
        {20, 5, 128, 512, 0, "f16"},    {20, 5, 128, 512, 512, "f16"}, {20, 5, 128, 512, 1536, "f16"},
        {20, 5, 128, 512, 3584, "f16"}, {20, 5, 128, 128, 0, "f16"},   {20, 5, 128, 33, 500, "f16"},
        {20, 5, 128, 8, 500, "f16"},    {20, 5, 128, 512, 0, "f32"},   {32, 8, 64, 512, 0, "f16"},
        {32, 32, 96, 512, 0, "f16"},    {20, 5, 128, 2, 500, "f16"},   {20, 5, 128, 3, 500, "f16"},
        {32, 32, 96, 9, 500, "f16"},
    };
    const char *level = argc > 1 ? argv[1] : "avx512-vnni";
    if (!tn_level_runs_here(tn_level_number(level))) {
        fprintf(stderr, "attention: this machine cannot run level %s\n", level);
        return 1;
    }
    printf("level %s\n", level);
    for (size_t i = 0; i < TN_COUNT(shapes); i++)
        if (argc < 3 || atoi(argv[2]) == (int)i) bench(level, &shapes[i]);
    return 0;
}
