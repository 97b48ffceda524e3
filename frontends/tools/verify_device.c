/* Runs launches of a model on a GPU, one by one (the lab of tern.h). The session is one of evaluated kernels, whose memory is the
 * host's: for a launch its operands go to the device, and what it writes comes back. So the evaluator and the device begin each
 * launch with the same bytes. The engine's own way, with memory that stays on the device and steps captured as graphs, is not
 * what is checked here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/verify.h"
#include "runtime/abi/levels.h"

TernStatus tn_lab_create(const char *device, TnLab *out, TernError *err) {
    *out = (TnLab){0};
    return tern_lab_open(device, &out->lab, err);
}

void tn_lab_destroy(TnLab *l) {
    tern_lab_close(l->lab);
    *l = (TnLab){0};
}

/* ---- what the blob says. It was checked when it was opened. */

static void take(void *to, size_t bytes, const uint8_t *section, size_t size, size_t at) {
    TN_CHECK(at <= size && bytes <= size - at);
    memcpy(to, section + at, bytes);
}

/* The code of a level: there is one text for each, and it names its processor. */
static const uint8_t *find_text(const TernModel *m, const char *level, size_t *out_size, TnBlobCode *out) {
    char line[64];
    int n = snprintf(line, sizeof line, "\n.target %s\n", tn_level_named(level)->processor);
    for (uint32_t i = 0;; i++) {
        const uint8_t *s = tern_model_section(m, TN_SECTION_PTXT, i, out_size);
        TN_CHECK(s); /* variants of the level need it */
        take(out, sizeof *out, s, *out_size, 0);
        if (memmem(s + out->image_offset, (size_t)out->image_size, line, (size_t)n)) return s;
    }
}

/* Loads the text when the first launch of the model comes. */
static TernStatus need_text(TnLab *l, const TernModel *m, const char *level, TernError *err) {
    size_t size;
    TnBlobCode code;
    if (l->model == m) return TERN_OK;
    const uint8_t *s = find_text(m, level, &size, &code);
    TN_TRY(tern_lab_load(l->lab, (const char *)s + code.image_offset, err));
    l->model = m;
    return TERN_OK;
}

static TnBlobLaunch find_launch(const TernModel *m, uint32_t variant, uint32_t launch) {
    size_t size;
    TnBlobLaunch b;
    const uint8_t *s = tern_model_section(m, TN_SECTION_PROG, variant, &size);
    TN_CHECK(s);
    take(&b, sizeof b, s, size, sizeof(TnBlobProg) + launch * sizeof b);
    return b;
}

static char *entry_name(const TernModel *m, const char *level, uint32_t number) {
    size_t size;
    TnBlobCode code;
    TnBlobExport e;
    const uint8_t *s = find_text(m, level, &size, &code);
    TN_CHECK(number < code.n_exports);
    take(&e, sizeof e, s, size, sizeof code + number * sizeof e);
    char *name = tn_xcalloc(e.name.size + 1u, 1);
    take(name, e.name.size, s, size, e.name.offset);
    return name;
}

/* ---- launches */

/* CTAs for the step's blocks of `block` rows, of which symbol `rows` has the number. */
static uint32_t blocks_of(const TnLabRun *r, uint32_t block, uint32_t rows) {
    return block ? ((uint32_t)r->sym[rows] + block - 1) / block : 1;
}

static TernStatus run(TnLab *l, const TnLabRun *r, const char *entry, uint64_t units, uint32_t blocks,
                      uint32_t threads, uint32_t shared, TernError *err) {
    TernLabBuffer buffers[TN_LAB_OPERANDS + 1];
    int64_t sym[TN_ABI_WORDS] = {0};
    TN_CHECK(r->n <= TN_LAB_OPERANDS);
    for (uint32_t i = 0; i < r->n; i++)
        buffers[i] = (TernLabBuffer){.data = r->ptr[i], .bytes = r->bytes[i], .written = r->written[i]};
    memcpy(sym, r->sym, TN_ABI_SYMS * sizeof *sym);
    buffers[r->n] = (TernLabBuffer){.data = sym, .bytes = sizeof sym};
    if (units > INT32_MAX)
        return tn_fail(err, TERN_ERR_UNSUPPORTED, "%llu units, expected at most 2^31 - 1",
                       (unsigned long long)units);
    return tern_lab_run(l->lab,
                        &(TernLabLaunch){.size = sizeof(TernLabLaunch),
                                         .entry = entry,
                                         .grid = (uint32_t)units,
                                         .grid_y = blocks,
                                         .threads = threads,
                                         .shared = shared,
                                         .n_buffers = r->n + 1,
                                         .buffers = buffers},
                        err);
}

TernStatus tn_lab_launch(TnLab *l, const TernModel *m, const char *level, uint32_t variant, uint32_t launch,
                         const TnLabRun *r, TernError *err) {
    TN_TRY(need_text(l, m, level, err));
    TnBlobLaunch b = find_launch(m, variant, launch);
    uint64_t units = b.units;
    if (b.unit_sym != UINT32_MAX) units *= (uint64_t)r->sym[b.unit_sym];
    char *name = entry_name(m, level, b.export_index);
    TernStatus st = run(l, r, name, units, blocks_of(r, b.block, b.gate_sym), b.threads, b.shared, err);
    free(name);
    return st;
}

TernStatus tn_lab_job(TnLab *l, const TnEmitJob *job, const char *text, uint64_t units, const TnLabRun *r,
                      TernError *err) {
    l->model = NULL;
    TN_TRY(tern_lab_load(l->lab, text, err));
    uint32_t rows = tn_launch_syms(job->g, job->kernel).gate;
    return run(l, r, job->symbol, units, blocks_of(r, job->block, rows), job->threads, job->shared, err);
}
