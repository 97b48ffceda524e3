/* Targets that emit nothing, so that the passes can be tested without a code generator.
 *
 * "wide" makes every kernel on every level except "none". It reads ternary weights as p64 and dense tables as
 * they are; on level "f16tables" it reads dense tables as f16, on "f32tables" as f32. layout must not let it lose bits.
 * "picky" makes only attend, with a better score than wide, and has no opinion on weights.
 *
 * "grid" stands for a machine of many small processors. Each of its answers differs from that of a CPU: 32 columns a unit,
 * attention by whole rows, classes of 1 to 4 rows and more, all ops of a prologue except attend_join repeated in the first
 * class, no rows of more than 2048 bytes held inside a kernel, attention never split. */
#ifndef TESTS_PASSES_SAMPLE_TARGETS_H
#define TESTS_PASSES_SAMPLE_TARGETS_H

#include <string.h>
#include "passes/passes.h"

static int wide_can(const TnGraph *g, uint32_t kernel, const char *level) {
    (void)g, (void)kernel;
    return strcmp(level, "none") != 0;
}
static TnEnc wide_prefer(const TnType *weight, TnOp reader, const char *level) {
    (void)reader;
    if (tn_enc_is_ternary(weight->enc)) return tn_type_in_groups(weight) ? TN_ENC_r64 : TN_ENC_p64;
    if (strcmp(level, "f16tables") == 0) return TN_ENC_f16;
    if (strcmp(level, "f32tables") == 0) return TN_ENC_f32;
    return weight->enc;
}
static bool wide_pays(const char *pass, const TnGraph *g, bool usual) {
    return usual && (strcmp(g->level, "none") != 0 || strcmp(pass, "colmajor") != 0);
}
static const TnTargetDesc target_wide = {
    .name = "wide", .can = wide_can, .prefer = wide_prefer, .pays = wide_pays};

static int picky_can(const TnGraph *g, uint32_t kernel, const char *level) {
    (void)level;
    TnRef root = g->kernels[kernel].root;
    return root != TN_NONE && g->nodes[root].op == TN_OP_attend ? 9 : 0;
}
static TnEnc picky_prefer(const TnType *weight, TnOp reader, const char *level) {
    (void)weight, (void)reader, (void)level;
    return TN_ENC_COUNT;
}
static const TnTargetDesc target_picky = {.name = "picky", .can = picky_can, .prefer = picky_prefer};

static const TnTargetDesc *const test_targets[] = {&target_picky, &target_wide};
#define TEST_TARGETS 2

static TnCut grid_cut(const TnGraph *g, uint32_t kernel) {
    return tn_cut_by_columns(g, kernel) ? tn_cut_of(g, kernel, 32) : (TnCut){.grain = 1, .units = 1};
}
static uint32_t grid_classes(const char *level, int64_t most, TnBatchClass out[TN_BATCH_CLASSES]) {
    (void)level;
    out[0] = (TnBatchClass){1, most < 4 ? most : 4};
    out[1] = (TnBatchClass){5, most};
    return most > 4 ? 2 : 1;
}
static bool grid_repeats(const TnGraph *g, TnRef r) {
    return g->nodes[r].op != TN_OP_attend_join && g->rows_hi <= 4;
}
static bool grid_holds(const TnGraph *g, TnRef r) {
    return tn_row_bytes(&g->nodes[r].type) <= 2048;
}
static bool grid_pays(const char *pass, const TnGraph *g, bool usual) {
    return strcmp(pass, "split") == 0 ? strcmp(g->level, "splits") == 0 : usual;
}
static const TnTargetDesc target_grid = {.name = "grid",
                                         .can = wide_can,
                                         .prefer = wide_prefer,
                                         .cut = grid_cut,
                                         .classes = grid_classes,
                                         .repeats = grid_repeats,
                                         .holds = grid_holds,
                                         .pays = grid_pays};
/* picky sets none of these hooks, so grid's answers hold for its kernels too, except for how they are cut. */
static const TnTargetDesc *const grid_targets[] = {&target_picky, &target_grid};

#endif
