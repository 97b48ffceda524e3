/* The ptx target: kernels as PTX text, which the driver of an NVIDIA GPU compiles when a blob is loaded.
 *
 * It needs no library, so every build makes it, and the text of a level does not depend on the machine that wrote it. A
 * unit is a CTA: the contract of a kernel (runtime/abi/kernel.h), any units in any order with the same bits, is that of a
 * grid. Operands and weights lie as for a processor, so a blob for both has one WGHT. What differs is how work is cut: a
 * GPU runs some hundred CTAs at once, each with its own shared memory, so units are smaller, and prologues that are cheap
 * to recompute are recomputed by every CTA. */
#include "codegen/codegen.h"
#include "codegen/ptx/ops/ptx_best.h"
#include "codegen/ptx/ops/ptx_ops.h"
#include "codegen/ptx/skeletons/ptx_ring.h"

#include <string.h>
#include "runtime/abi/levels.h"

enum { SCORE = 100 };

static const TnLevelRow *row_of(const char *level) {
    const TnLevelRow *row = level ? tn_level_named(level) : NULL;
    return row && row->arch == TN_ARCH_PTX ? row : NULL;
}

static bool has(const char *level) {
    return row_of(level) != NULL;
}

/* ---- The passes' questions */

static int can(const TnGraph *g, uint32_t kernel, const char *level) {
    const char *op;
    return has(level) && tn_ptx_can(g, kernel, &op) ? SCORE : 0;
}

static const char *lacks(const TnGraph *g, uint32_t kernel, const char *level) {
    const char *op = NULL;
    return has(level) && !tn_ptx_can(g, kernel, &op) ? op : NULL;
}

/* As for a processor, so that one copy of the weights serves both, except that stored blocks of floats become f32. */
static TnEnc prefer(const TnType *weight, TnOp reader, const char *level) {
    (void)reader, (void)level;
    if (tn_enc_is_blocks(weight->enc)) return TN_ENC_f32;
    if (!tn_enc_is_ternary(weight->enc)) return weight->enc;
    return tn_type_in_groups(weight) ? TN_ENC_r64 : TN_ENC_p64;
}

/* The widest cut of 64, 32 or 16 columns that gives at least UNITS CTAs in the largest step of the class, else 16: ternary
 * products of many rows have CTAs for each block of rows. r64 and shadow tables hold 64 rows side by side, so their products are cut by 64. */
static TnCut cut(const TnGraph *g, uint32_t kernel) {
    enum { UNITS = 100, WIDEST = 64, LEAST = 16 };
    uint32_t parts = tn_ptx_parts(g, kernel);
    if (parts > 1) return (TnCut){.grain = parts, .units = parts};
    if (!tn_cut_by_columns(g, kernel)) return tn_cut_usual(g, kernel);
    const TnNode *root = &g->nodes[g->kernels[kernel].root];
    int64_t columns = WIDEST, blocks = 1;
    if (root->op == TN_OP_tmatmul && g->rows_hi > TN_PTX_ROWS)
        blocks = (g->rows_hi + TN_PTX_RING_ROWS - 1) / TN_PTX_RING_ROWS;
    TnCut out = tn_cut_of(g, kernel, columns);
    bool beside = tn_rows_together(&g->nodes[root->args[1]].type) > 1;
    while (!beside && out.units * blocks < UNITS && columns > LEAST) out = tn_cut_of(g, kernel, columns /= 2);
    return out;
}

/* Rows of values lie in shared memory between the ops of a kernel. Longer ones lie in memory, between kernels. */
static bool holds(const TnGraph *g, TnRef r) {
    enum { MOST = 64 << 10 };
    const TnType *t = &g->nodes[r].type;
    return tn_encs[t->enc].kind == TN_CACHE || tn_row_bytes(t) <= MOST;
}

/* Every CTA of a product recomputes norms and quantised rows, which costs less than a launch; with more rows than one they
 * would be recomputed too often, and so would long ones. attend_join reads much, and the CTAs of a product are many. */
static bool repeats(const TnGraph *g, TnRef r) {
    const TnNode *n = &g->nodes[r];
    return g->rows_hi == 1 && n->op != TN_OP_attend_join && holds(g, r) && holds(g, n->args[0]);
}

/* Columns whose gate is zero are read with their neighbours: a GPU skips nothing that lies between. */
static bool pays(const char *pass, const TnGraph *g, bool usual) {
    (void)g;
    return usual && strcmp(pass, "gate") != 0 && strcmp(pass, "colmajor") != 0;
}

/* ---- Text */

static void put_entry(TnEmitJob *job, const char *level, TnBuf *out) {
    TnPtx b = {.x.out = out, .g = job->g, .kernel = job->kernel, .level = level};
    job->entry = out->len;
    tn_ptx_kernel(&b, job->symbol);
    job->threads = b.x.threads;
    job->shared = b.x.shared;
    job->block = b.block;
}

static TernStatus emit(TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnProgressFn *progress,
                       void *user, TernError *err) {
    const TnLevelRow *row = row_of(level);
    if (!row) return tn_fail(err, TERN_ERR_INPUT, "level %s: no level of PTX", level);
    TN_CHECK(image->len == 0); /* no other target adds to a text */
    tn_px_module(image, row->more, row->processor);
    for (uint32_t i = 0; i < n; i++) {
        tn_buf_puts(image, "\n");
        put_entry(&jobs[i], level, image);
        if (progress && progress(user, "codegen", i + 1, n))
            return tn_fail(err, TERN_ERR_CANCELLED, "compilation cancelled");
    }
    tn_buf_put(image, "", 1);
    return TERN_OK;
}

/* Appends the lines of a text as comments. */
static void put_note(const char *note, TnBuf *out) {
    while (note && *note) {
        size_t n = strcspn(note, "\n");
        tn_buf_printf(out, "// %.*s\n", (int)n, note);
        note += n + (note[n] == '\n');
    }
}

static TernStatus show(TnEmitJob *jobs, uint32_t n, const char *level, const char *kind, const TnBuf *image,
                       const TnFlat *given, TnBuf *out, TernError *err) {
    (void)image, (void)given;
    const TnLevelRow *row = row_of(level);
    if (!row) return tn_fail(err, TERN_ERR_INPUT, "level %s: no level of PTX", level);
    if (strcmp(kind, "ptx") != 0)
        return tn_fail(err, TERN_ERR_INPUT, "kind: got '%s', expected ptx for code of level %s", kind, level);
    tn_px_module(out, row->more, row->processor);
    for (uint32_t i = 0; i < n; i++) {
        tn_buf_puts(out, "\n");
        put_note(jobs[i].note, out);
        put_entry(&jobs[i], level, out);
    }
    return TERN_OK;
}

const TnTarget tn_target_ptx = {.desc = {.name = "ptx",
                                         .can = can,
                                         .lacks = lacks,
                                         .prefer = prefer,
                                         .cut = cut,
                                         .repeats = repeats,
                                         .holds = holds,
                                         .pays = pays},
                                .has = has,
                                .section = TN_SECTION_PTXT,
                                .emit = emit,
                                .show = show};
