/* Runs a blob at one level and compares every bit of its logits with those in a file. x86-64 without AMX has it by emulation;
 * for aarch64 the program is built by model_steps_arm.sh and run under qemu.
 *
 *   model_steps BLOB LEVEL f16|f32 WANT THREADS STEPS ID...
 *
 * WANT holds little-endian float32 rows, one an id. THREADS and STEPS are lists, as in 1,2,3: every number of threads is tried
 * with every kind of steps. A kind N runs N rows a step; N+ runs N rows in the first step and one in each of the others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/cpu.h"
#include "runtime/tern.h"
#ifdef __x86_64__
#include <cpuid.h>
#include "runtime/base/os.h"
#include "support/amx_emulator.h"

/* In place of the runtime's (features.c): a machine without tiles has them by emulation. */
uint32_t tn_cpu_features(uint32_t *refused) {
    static bool ready, tiles;
    *refused = 0;
    if (!ready) tiles = tn_os_allow_amx() || amx_emulator_install(), ready = true;
    uint32_t a = 0, b, c, d, most = TN_CPU_X86_V3;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1u << 4) most |= TN_CPU_AVX_VNNI;
    return tiles ? most | TN_CPU_AVX512 | TN_CPU_AVX512_VNNI | TN_CPU_AMX_INT8 : most;
}
#endif

enum { IDS = 256 };

typedef struct Run {
    const float *want;
    size_t rows, vocab, different; /* rows so far; the first row that differs, from 1 */
} Run;

static void compare(void *user, const TernResult *r) {
    Run *run = user;
    if (memcmp(r->logits, run->want + run->rows++ * run->vocab, run->vocab * sizeof(float)) != 0 &&
        !run->different)
        run->different = run->rows;
}

static int refuse(const TernError *err) {
    fprintf(stderr, "%s\n", err->text);
    return 2;
}

/* Runs all ids; 0: the same bits, 1: others, 2: trouble. */
static int steps(TernModel *model, uint32_t threads, const char *kind, TernKv kv, const TernRow *rows,
                 size_t n, Run *run) {
    TernError err = {0};
    TernPool *pool;
    TernSession *session;
    char *end;
    size_t step = strtoul(kind, &end, 10);
    TernPoolOptions po = {.size = sizeof po, .threads = threads};
    TernSessionOptions so = {.size = sizeof so, .context = (uint32_t)n, .kv = kv};
    if (step == 0 || (*end && strcmp(end, "+") != 0)) {
        fprintf(stderr, "steps of '%s', expected N or N+\n", kind);
        return 2;
    }
    if (tern_pool_create(&po, &pool, &err) || tern_session_create(model, pool, &so, &session, &err))
        return refuse(&err);
    for (size_t at = 0, some; at < n; at += some) {
        some = at > 0 && *end ? 1 : step;
        if (some > n - at) some = n - at;
        if (tern_session_step(session, rows + at, (uint32_t)some, compare, run, &err)) return refuse(&err);
    }
    tern_session_destroy(session);
    tern_pool_destroy(pool);
    if (run->rows != n) fprintf(stderr, "%zu rows, expected %zu\n", run->rows, n);
    return run->rows != n || run->different;
}

/* The rows of the file; NULL: there are not so many. */
static float *load(const char *path, size_t numbers) {
    FILE *f = fopen(path, "rb");
    float *x = malloc((numbers + 1) * sizeof(float));
    bool right = f && x && fread(x, sizeof(float), numbers + 1, f) == numbers;
    if (f) fclose(f);
    if (right) return x;
    free(x);
    return NULL;
}

/* The next word of a list of words between commas; NULL at its end. */
static const char *word(const char **list, char out[16]) {
    size_t n = strcspn(*list, ",");
    if (n == 0 || n > 15) return NULL;
    memcpy(out, *list, n), out[n] = 0;
    *list += n + ((*list)[n] == ',');
    return out;
}

int main(int argc, char **argv) {
    TernError err = {0};
    TernModel *model;
    TernModelInfo info;
    TernRow rows[IDS];
    size_t n = (size_t)argc - 7;
    int bad = 0;
    if (argc < 8 || n > IDS) {
        fprintf(stderr, "usage: model_steps BLOB LEVEL f16|f32 WANT THREADS STEPS ID...\n");
        return 2;
    }
    for (size_t i = 0; i < n; i++) rows[i] = (TernRow){atoi(argv[7 + i]), 0, TERN_WANT_LOGITS};
    TernModelOptions mo = {.size = sizeof mo, .cpu = argv[2]};
    if (tern_model_open(argv[1], &mo, &model, &err)) return refuse(&err);
    tern_model_info(model, &info);
    float *want = load(argv[4], n * info.n_vocab);
    if (strcmp(info.level, argv[2]) != 0 || !want) {
        fprintf(stderr, want ? "level is %s, expected %s\n" : "%.0s%s: not as many rows as ids\n", info.level,
                want ? argv[2] : argv[4]);
        return 2;
    }
    TernKv kv = strcmp(argv[3], "f32") == 0 ? TERN_KV_F32 : TERN_KV_F16;
    char threads[16], kind[16];
    for (const char *t = argv[5]; word(&t, threads);)
        for (const char *s = argv[6]; word(&s, kind);) {
            Run run = {.want = want, .vocab = info.n_vocab};
            int status = steps(model, (uint32_t)atoi(threads), kind, kv, rows, n, &run);
            if (status)
                fprintf(stderr, "%s, %s threads, steps of %s: row %zu differs\n", argv[2], threads, kind,
                        run.different);
            if (status > bad) bad = status;
        }
    free(want);
    tern_model_close(model);
    return bad;
}
