/* Lists the ops that a target cannot make, that random graphs never hold or that fuse never groups. No compiler reports a
 * missing op; this test does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "codegen/codegen.h"
#include "runtime/abi/levels.h"
#include "tests/support/randgraph.h"

enum { GRAPHS = 250 };

/* The ops that something was seen to know. */
typedef struct Known {
    bool op[TN_OP_COUNT];
} Known;

static struct {
    Known drawn;    /* by random graphs */
    Known grouped;  /* in a kernel with others */
    Known epilogue; /* after the root of a product */
    Known llvm[TN_LEVEL_COUNT];
    Known xsmm; /* on some level */
    Known ptx;
} seen;

static void note_all(Known *k, const TnGraph *g, TnRef first, uint32_t n) {
    for (TnRef r = first; r < first + n; r++) k->op[g->nodes[r].op] = true;
}

static void ask_target(Known *k, const char *name, const TnGraph *g, uint32_t kernel, const char *level) {
    const TnTarget *t = tn_target_find(name);
    if (t && t->desc.can(g, kernel, level) > 0)
        note_all(k, g, g->kernels[kernel].first, g->kernels[kernel].n);
}

static void look_at(const TnGraph *g) {
    for (uint32_t i = 0; i < g->n_kernels; i++) {
        const TnKernel *k = &g->kernels[i];
        if (k->n > 1) note_all(&seen.grouped, g, k->first, k->n);
        if (k->root != TN_NONE) note_all(&seen.epilogue, g, k->root + 1, k->first + k->n - k->root - 1);
        for (size_t l = 0; tn_level_row(l); l++) {
            ask_target(&seen.llvm[l], "llvm", g, i, tn_level_row(l)->name);
            ask_target(&seen.ptx, "ptx", g, i, tn_level_row(l)->name);
            ask_target(&seen.xsmm, "xsmm", g, i, tn_level_row(l)->name);
        }
    }
}

static int anything(const TnGraph *g, uint32_t kernel, const char *level) {
    (void)g, (void)kernel, (void)level;
    return 1;
}

/* Random graphs, fused, laid out and cut for each batch class, and asked about: as for llvm, but by a target that takes all. */
static int look(void **state) {
    (void)state;
    static const struct { int64_t lo, hi; } classes[] = {{1, 1}, {2, 8}, {9, 40}};
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        TnGraph *g = rand_graph(seed);
        note_all(&seen.drawn, g, 0, g->n);
        const TnTarget *like = tn_target_find("llvm") ? tn_target_find("llvm") : tn_target_find("ref");
        TnTargetDesc all = like->desc;
        all.can = anything;
        TnPassCtx ctx = {.level = tn_level_row(0)->name,
                         .kv = TN_KV_F16,
                         .rows_lo = classes[seed % 3].lo,
                         .rows_hi = classes[seed % 3].hi,
                         .head = TN_ENC_COUNT,
                         .targets = (const TnTargetDesc *const[]){&all},
                         .n_targets = 1};
        TernError err;
        if (tn_passes_run(g, TN_PASSES_FUSE ",layout,tile", &ctx, &err) != TERN_OK) fail_msg("%s", err.text);
        look_at(g);
        tn_graph_destroy(g);
    }
    return 0;
}

/* The ops of which `asked` holds and that are known, or unknown, are those of `expected`, in the order of ops.def. */
static bool all(TnOp op) {
    return op < TN_OP_COUNT;
}

static void check(const char *what, const Known *k, bool known, bool (*asked)(TnOp), const char *expected,
                  const char *remedy) {
    TnBuf got = {0};
    tn_buf_puts(&got, "");
    for (int op = 0; op < TN_OP_COUNT; op++)
        if (asked((TnOp)op) && k->op[op] == known)
            tn_buf_printf(&got, "%s%s", got.len ? " " : "", tn_ops[op].name);
    print_message("%s: %s\n", what, got.len ? got.data : "none");
    bool same = strcmp(got.data, expected) == 0;
    tn_buf_free(&got);
    if (!same)
        fail_msg("%s: expected %s. %s; or change the list in tests/codegen/test_ops.c", what,
                 *expected ? expected : "none", remedy);
}

static void random_graphs(void **state) {
    (void)state;
    check("ops that random graphs never hold", &seen.drawn, false, all, "gguf",
          "A MAP is drawn if its row of ir/ops.def has LINEAR or SQUARE; others need a recipe in "
          "tests/support/randgraph.c");
}

static void fuse(void **state) {
    (void)state;
    /* estimate and rerank could, but random graphs have nothing to go with them */
    check("ops that fuse never puts in a kernel with others", &seen.grouped, false, tn_op_computes,
          "embed estimate rope_angle attend attend_blocks rerank",
          "JOINS1 or JOINS2 in its row of ir/ops.def lets an op join, unless it is a MAP");
    check("elementwise ops that never follow a product in its kernel", &seen.epilogue, false, tn_op_is_elem,
          "", "JOINS1 or JOINS2 in its row of ir/ops.def lets an op join, unless it is a MAP");
}

static void llvm(void **state) {
    (void)state;
    if (!tn_target_find("llvm")) {
        print_message("skipped: built without LLVM\n");
        skip();
    }
    for (size_t l = 0; tn_level_row(l); l++) {
        if (!tn_target_find("llvm")->has(tn_level_row(l)->name)) continue;
        char what[80];
        snprintf(what, sizeof what, "ops without an emitter of llvm for %s", tn_level_row(l)->name);
        check(what, &seen.llvm[l], false, tn_op_computes, "",
              "A row tn_llvm_op_NAME in a file of codegen/llvm/ops/ is its emitter, elem.c has those of MAP "
              "ops");
    }
}

static void xsmm(void **state) {
    (void)state;
    if (!tn_target_find("xsmm")) {
        print_message("skipped: built without libxsmm\n");
        skip();
    }
    if (!seen.xsmm.op[TN_OP_attend]) { /* it tries its code before it offers it */
        print_message("skipped: xsmm makes no code for any level on this machine\n");
        skip();
    }
    check("ops that xsmm does", &seen.xsmm, true, tn_op_computes, "attend",
          "codegen/xsmm/xsmm.c says what it can");
}

static void ptx(void **state) {
    (void)state;
    check("ops without an emitter of ptx", &seen.ptx, false, tn_op_computes, "",
          "A row tn_ptx_op_NAME in a file of codegen/ptx/ops/ is its emitter");
}

static bool has_no_traits(TnOp op) {
    return tn_op_computes(op) && !tn_ops[op].traits;
}

/* Traits must be consistent with each other, and some op must have each. */
static void traits(void **state) {
    (void)state;
    static const Known none = {0};
    uint32_t used = 0;
    check("ops of which nothing is said", &none, false, has_no_traits, "", "ir/traits.def lists what can be");
    for (int i = 0; i < TN_OP_COUNT; i++) {
        TnOp op = (TnOp)i;
        const TnOpInfo *o = &tn_ops[op];
        bool joins = tn_op_is(op, TN_TRAIT_JOINS1) || tn_op_is(op, TN_TRAIT_JOINS2);
        used |= o->traits;
        if (joins && (!tn_op_is_row(op) || o->class == TN_MAP))
            fail_msg("%s: JOINS1 and JOINS2 are for ROW and ELEM; a MAP joins by any operand", o->name);
        if (joins && (tn_op_is(op, TN_TRAIT_ALONE) || tn_op_is(op, TN_TRAIT_ANY_ROW)))
            fail_msg("%s: joins a kernel, but is ALONE or needs ANY_ROW", o->name);
        if (tn_op_is(op, TN_TRAIT_PRODUCT) && o->class != TN_ROOT)
            fail_msg("%s: a PRODUCT that is no ROOT", o->name);
        if (tn_op_is(op, TN_TRAIT_LINEAR) && tn_op_is(op, TN_TRAIT_SQUARE))
            fail_msg("%s: LINEAR and SQUARE", o->name);
        if (tn_op_is(op, TN_TRAIT_ONES) && (o->class != TN_MAP || o->min_args != 2 || o->max_args != 2))
            fail_msg("%s: ONES is for a MAP of two operands", o->name);
        if (tn_op_is(op, TN_TRAIT_GATE) && (o->class != TN_MAP || o->max_args != 1))
            fail_msg("%s: GATE is for a MAP of one operand", o->name);
        if (o->class == TN_MAP && (o->min_args != o->max_args || *o->attrs))
            fail_msg("%s: a MAP has a fixed number of operands and no attributes", o->name);
    }
    for (int t = 0; t < TN_TRAIT_COUNT; t++)
        if (!(used >> t & 1)) fail_msg("no op has the trait %s", tn_traits[t].name);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_graphs), cmocka_unit_test(fuse),
                                       cmocka_unit_test(llvm),          cmocka_unit_test(xsmm),
                                       cmocka_unit_test(ptx),           cmocka_unit_test(traits)};
    return cmocka_run_group_tests(tests, look, NULL);
}
