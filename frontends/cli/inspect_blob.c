/* tern inspect of a compiled model without the compiler library, and --memory: what a model will take.
 *
 * A blob of any machine is opened as one whose kernels are evaluated, so that no code is loaded; then a session is planned but
 * not made. The scratch of such a session is that of the blob's own code. */
#include <stdlib.h>
#include <string.h>
#include "frontends/blob_list.h"
#include "frontends/cli/inspect.h"
#include "runtime/base/cpus.h"
#include "runtime/base/filekind.h"

bool is_blob(const char *path) {
    TnFile f;
    if (!path || tn_os_is_folder(path) || tn_file_map(path, &f, NULL) != TERN_OK) return false;
    bool yes = tn_file_kind(f.data, f.size).kind == TN_KIND_TERN;
    tn_file_unmap(&f);
    return yes;
}

/* ---- a blob to look at */

static void run_none(void *user, uint32_t variant, uint32_t launch, const void *args, void *scratch) {
    (void)user, (void)variant, (void)launch, (void)args, (void)scratch;
    TN_BUG("a kernel of a model opened to be looked at was run");
}

static size_t scratch_of_code(void *user, uint32_t variant, uint32_t launch, const int64_t *sym_max) {
    TernModel *const *model = user;
    (void)launch;
    return tn_blob_scratch(*model, variant, sym_max);
}

/* *out must stay where it is while the model is open. */
static TernStatus open_blob(const char *path, const char *level, TernModel **out, TernError *err) {
    TernKernels kernels = {.size = sizeof kernels, .user = out, .scratch = scratch_of_code, .run = run_none};
    TernModelOptions o = {.size = sizeof o, .no_check = 1, .cpu = level, .kernels = &kernels};
    return tern_model_open(path, &o, out, err);
}

int list_blob(const char *path) {
    TernModel *m;
    TernError err = {0};
    TnBuf text = {0};
    if (open_blob(path, NULL, &m, &err) != TERN_OK) return fail(&err);
    tn_blob_list(path, m, &text);
    tern_model_close(m);
    fwrite(text.data, 1, text.len, stdout);
    tn_buf_free(&text);
    note("the plan of memory is not shown: it needs the compiler library");
    return EXIT_OK;
}

/* ---- the level */

/* Whether a processor of this machine runs the level. */
static bool runs_here(const char *level) {
    size_t n = strlen(level);
    for (const char *p = tern_cpu_levels(); *p; p += *p == ',') {
        if (strcspn(p, ",") == n && memcmp(p, level, n) == 0) return true;
        p += strcspn(p, ",");
    }
    return false;
}

/* The blob's best level under --cpu; without it the best that runs here, else the best of all. NULL: none is for processors. */
static const TnLevelRow *choose_level(const TernModel *m, const char *cpu) {
    uint32_t levels[TN_LEVEL_COUNT + 1], n = tn_blob_levels(m, levels);
    const TnLevelRow *best = NULL, *cap = cpu ? tn_level_named(cpu) : NULL;
    for (uint32_t i = 0; i < n; i++) {
        const TnLevelRow *r = tn_level_numbered(levels[i]);
        if (!r || r->arch == TN_ARCH_PTX) continue;
        if (cap && (r->arch != cap->arch || r->preference > cap->preference)) continue;
        bool here = runs_here(r->name), best_here = best && runs_here(best->name);
        if (!best || here > best_here || (here == best_here && r->preference > best->preference)) best = r;
    }
    return best;
}

static TernStatus open_level(const char *path, const char *cpu, TernModel **out, const char **level,
                             TernError *err) {
    TernModel *any;
    TN_TRY(open_blob(path, NULL, &any, err));
    const TnLevelRow *row = choose_level(any, cpu);
    tern_model_close(any);
    if (!row)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: has no level %s%s, expected one for a processor", path,
                       cpu ? "under " : "for a processor", cpu ? cpu : "");
    *level = row->name;
    return open_blob(path, row->name, out, err);
}

/* ---- the table */

#define MB(bytes) ((double)(bytes) / 1e6)

typedef struct Row {
    uint64_t resident, token, reserved;
} Row;

static void print_row(const char *what, Row r, Row *sum) {
    printf("  %-46s %12.3f %12.3f %12.3f\n", what, MB(r.resident), MB(r.token), MB(r.reserved));
    sum->resident += r.resident;
    sum->token += r.token;
    sum->reserved += r.reserved;
}

/* The part of a table that a step of one row reads, if each of its rows is for one id. */
static uint64_t one_row(uint64_t table, uint32_t n_vocab) {
    return n_vocab ? table / n_vocab : 0;
}

static void print_weights(const TernModelMemory *w, const TernModelInfo *info, Row *sum) {
    uint64_t row = one_row(w->rows, info->n_vocab);
    bool mapped = w->resident < w->whole + w->rows + w->longer + w->unused;
    print_row("weights that a token reads whole", (Row){w->whole, w->whole, w->whole}, sum);
    print_row("tables of which it reads rows", (Row){mapped ? row : w->rows, row, w->rows}, sum);
    print_row("weights that only longer steps read", (Row){mapped ? 0 : w->longer, 0, w->longer}, sum);
    print_row("weights of other levels", (Row){mapped ? 0 : w->unused, 0, w->unused}, sum);
}

static void print_memory(const MemoryFlags *f, const TernModel *m, const char *level, uint32_t threads,
                         const TernModelMemory *w, const TernSessionBytes *b) {
    TernModelInfo info;
    Row sum = {0};
    char cache[64], scratch[64];
    tern_model_info(m, &info);
    uint64_t weights = w->whole + w->rows + w->longer + w->unused;
    uint64_t rest = info.file_bytes > weights + w->code ? info.file_bytes - weights - w->code : 0;
    snprintf(cache, sizeof cache, "cache of %lld slot%s of %lld positions, kv %s", (long long)f->slots,
             f->slots == 1 ? "" : "s", (long long)f->context, tn_kv_type(f->kv)->name);
    snprintf(scratch, sizeof scratch, "scratch of %u thread%s", threads, threads == 1 ? "" : "s");
    printf("memory of %s, level %s, in MB (10^6 bytes), with the cache full\n  %-46s %12s %12s %12s\n",
           info.name, level, "", "resident", "each token", "reserved");
    print_weights(w, &info, &sum);
    print_row("code", (Row){w->code, w->code, w->code}, &sum);
    print_row(cache, (Row){b->cache, b->cache, b->cache}, &sum);
    print_row("arena", (Row){b->arena, b->arena, b->arena}, &sum);
    print_row(scratch, (Row){b->scratch, b->scratch, b->scratch}, &sum);
    print_row("tables of the session", (Row){b->tables, b->tables, b->tables}, &sum);
    print_row("the rest of the file", (Row){0, 0, rest}, &sum);
    print_row("all", sum, &(Row){0});
}

/* The session that tern run makes, or a generator with that many slots. `workers`: for how many the scratch is to be; 0: for
 * those of the pool. */
static TernStatus measure(const TernModel *m, const TernPool *pool, MemoryFlags *f, uint32_t workers,
                          TernModelMemory *w, TernSessionBytes *b, TernError *err) {
    enum { CONTEXT_DEFAULT = 4096 };
    TernModelInfo info;
    tern_model_info(m, &info);
    if (!f->context) f->context = info.n_context < CONTEXT_DEFAULT ? info.n_context : CONTEXT_DEFAULT;
    TernSessionOptions o = {.size = sizeof o,
                            .slots = (uint32_t)f->slots,
                            .context = (uint32_t)f->context,
                            .wants = (uint32_t)f->slots,
                            .kv = f->kv};
    TN_TRY(tern_model_memory(m, w, err));
    TN_TRY(tern_session_bytes(m, pool, &o, b, err));
    if (workers > 1) {
        b->total += (workers - 1) * b->scratch;
        b->scratch *= workers;
    }
    return TERN_OK;
}

static TernStatus blob_memory(MemoryFlags *f, TernError *err) {
    TernModel *m = NULL;
    TernPool *pool = NULL;
    const char *level = NULL;
    uint32_t threads = f->m.threads ? (uint32_t)f->m.threads : tn_os_threads();
    TernModelMemory w = {.size = sizeof w};
    TernSessionBytes b = {.size = sizeof b};
    TernPoolOptions one = {.size = sizeof one, .threads = 1};
    TN_TRY(open_level(f->m.model, f->m.cpu, &m, &level, err));
    TernStatus st = tern_pool_create(&one, &pool, err);
    if (st == TERN_OK) st = measure(m, pool, f, threads, &w, &b, err);
    if (st == TERN_OK) print_memory(f, m, level, threads, &w, &b);
    tern_pool_destroy(pool);
    tern_model_close(m);
    return st;
}

static int file_memory(const Verb *verb, MemoryFlags *f) {
    Loaded l;
    TernError err = {0};
    TernModelMemory w = {.size = sizeof w};
    TernSessionBytes b = {.size = sizeof b};
    int code = load_model(verb, &f->m, &l);
    if (code != EXIT_OK) return code;
    if (measure(l.model, l.pool, f, 0, &w, &b, &err) == TERN_OK)
        print_memory(f, l.model, l.info.level, tern_pool_threads(l.pool), &w, &b);
    else
        code = fail(&err);
    unload_model(&l);
    return code;
}

int show_memory(const Verb *verb, MemoryFlags *f) {
    TernError err = {0};
    if (f->m.cpu && !tn_level_named(f->m.cpu))
        usage_error(verb, "--cpu: '%s', expected one of %s", f->m.cpu, TN_LEVEL_CPU_NAMES);
    f->kv = parse_kv(verb, f->m.kv);
    if (!is_blob(f->m.model)) return file_memory(verb, f);
    if (f->m.head) usage_error(verb, "--head works on a .gguf, %s is compiled", f->m.model);
    only_with(verb, &f->m.no_keep, false, "a .gguf: nothing is compiled");
    return blob_memory(f, &err) == TERN_OK ? EXIT_OK : fail(&err);
}
