#include "tests/support/differ.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/os.h"
#include "runtime/cpu.h"
#include "tests/support/randgraph.h"

enum { WAYS = 16, STEPS_MAX = 64 };

static bool failed(Differ *d, uint64_t seed, const char *text) {
    if (!d->differences++)
        snprintf(d->first, sizeof d->first, "seed %llu: %s", (unsigned long long)seed, text);
    return false;
}

/* All ways to compile: every level that this machine runs, optimised and with every op apart. ref is slow and has the
 * evaluator's own kernels, so only one graph in four uses it. */
static uint32_t ways(uint64_t seed, bool passes_too, TnCheckHow out[WAYS]) {
    static const char *const levels[] = {"avx2", "avx-vnni",     "avx512-vnni", "amx",
                                         "neon", "neon-dotprod", "neon-i8mm"};
    static const struct { int64_t lo, hi; } classes[] = {{1, 1}, {2, 8}, {9, 40}};
    static const char *const lists[] = {TN_PASSES_VARIANT, "merge," TN_PASSES_VARIANT,
                                        "dce,cse," TN_PASSES_VARIANT, "fold,merge,dce," TN_PASSES_VARIANT};
    TnCheckHow how = {.kv = (TnKv)(TN_KV_F16 + seed / 3 % (TN_KV_COUNT - TN_KV_F16)),
                      .rows_lo = classes[seed % 3].lo,
                      .rows_hi = classes[seed % 3].hi};
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    uint32_t n = 0;
    for (size_t i = 0; i <= TN_COUNT(levels); i++) {
        how.level = i < TN_COUNT(levels) ? levels[i] : "ref";
        if (i < TN_COUNT(levels) && (!tn_level_runs_here(tn_level_number(how.level)) ||
                                     tn_targets_for(how.level, NULL, targets) == 0))
            continue;
        if (i == TN_COUNT(levels) && seed % 4) continue;
        how.apart = false;
        how.settings = 0;
        how.passes = NULL;
        out[n++] = how;
        how.settings = seed % 2 ? seed : 0; /* the other half as the passes have it */
        how.apart = true;
        how.passes = TN_CHECK_PLAN;
        out[n++] = how;
        if (!passes_too && seed % 5) continue;
        how.settings = seed % 2 ? seed + 1 : 0;
        how.apart = false;
        how.passes = lists[seed / 5 % TN_COUNT(lists)];
        out[n++] = how;
    }
    return n;
}

static bool run_graph(Differ *d, TnCheck *c, uint64_t seed, const TnCheckHow *how, const uint32_t *items,
                      uint32_t n) {
    Rand r = {seed * 31 + 7};
    int64_t rows[STEPS_MAX];
    for (uint32_t set = 0; set < d->sets; set++) {
        for (uint32_t i = 0; i < d->steps; i++) rows[i] = rand_in(&r, how->rows_lo, how->rows_hi);
        TnDifference diff;
        TernError err;
        bool same;
        TnCheckSteps steps = {rand_u64(&r), rows, d->steps};
        if (tn_check_run(c, items, n, &steps, &same, &diff, &err) != TERN_OK)
            return failed(d, seed, err.text);
        if (!same) return failed(d, seed, diff.text);
        d->runs += (uint64_t)n * d->steps;
    }
    return true;
}

bool differ_batch(Differ *d, uint64_t from) {
    TnCheck *c = tn_check_create(NULL);
    uint32_t(*items)[WAYS] = tn_xcalloc(d->batch, sizeof *items), *n = tn_xcalloc(d->batch, sizeof *n);
    TnCheckHow how[WAYS];
    TernError err;
    bool ok = true;
    TN_CHECK(d->steps <= STEPS_MAX);
    double start = tn_os_seconds();
    for (uint32_t i = 0; ok && i < d->batch; i++) {
        uint64_t seed = from + i;
        TnGraph *g = (seed % 7 == 6 ? rand_extreme_graph : rand_small_graph)(seed, 1 + (int64_t)(seed % 10));
        uint32_t all = ways(seed, d->passes_too, how);
        for (uint32_t w = 0; ok && w < all; w++) {
            TernStatus s = tn_check_add(c, g, &how[w], &items[i][n[i]], &err);
            n[i] += s == TERN_OK;
            if (s == TERN_ERR_UNSUPPORTED && how[w].apart)
                d->refused++; /* fusing decides what the code generator must be able to do */
            else if (s != TERN_OK)
                ok = failed(d, seed, err.text);
        }
        tn_graph_destroy(g);
    }
    if (ok && tn_check_build(c, &err) != TERN_OK) ok = failed(d, from, err.text);
    d->seconds_compiling += tn_os_seconds() - start;
    for (uint32_t i = 0; ok && i < d->batch; i++) {
        if (!n[i]) continue; /* no target runs here, and this seed leaves out the evaluator's */
        ways(from + i, d->passes_too, how);
        ok = run_graph(d, c, from + i, how, items[i], n[i]);
        d->graphs += ok;
        d->compiled += ok ? n[i] : 0;
    }
    tn_check_destroy(c);
    free(items);
    free(n);
    return ok;
}
