/* For tests of the ptx target's kernels: the kernel @main of a text, evaluated, and run as PTX by the machine of
 * support/ptx_machine.h, compared bit for bit. Texts are said as in llvm_cases.h. */
#ifndef TN_TEST_PTX_CASES_H
#define TN_TEST_PTX_CASES_H

#include "codegen/llvm_cases.h"
#include "codegen/ptx/ops/ptx_ops.h"
#include "codegen/ptxas.h"
#include "support/ptx_machine.h"

static const struct { const char *version, *target; } ptx_targets[] = {{"7.0", "sm_80"}, {"8.0", "sm_90a"}};

/* Emits a kernel as a module of its own. Returns what the launch needs. */
static inline TnPtx ptx_emit(const TnGraph *g, uint32_t kernel, size_t target, TnBuf *text,
                             const char *what) {
    const char *op = NULL;
    if (!tn_ptx_can(g, kernel, &op)) fail_msg("%s: no emitter of %s", what, op);
    tn_px_module(text, ptx_targets[target].version, ptx_targets[target].target);
    TnPtx b = {.x = {.out = text}, .g = g, .kernel = kernel, .level = g->level};
    tn_ptx_kernel(&b, "kernel_0");
    return b;
}

/* Puts the operands into the machine's memory; out[n] is the address of the symbols. */
static inline void ptx_operands(PtxMachine *m, const TnGraph *g, const Memory *from, const int64_t *sym,
                                uint64_t *out) {
    for (uint32_t i = 0; i < from->n; i++) {
        const TnNode *n = &g->nodes[from->ref[i]];
        bool cache = tn_encs[n->type.enc].kind == TN_CACHE;
        PtxMemory kind = i >= from->n_in || cache ? PTX_ZEROED : PTX_READ_ONLY;
        out[i] = ptx_memory_new(m, from->bytes[i], kind, n->name);
        const char *fault = ptx_memory_write(m, out[i], from->p[i], from->bytes[i]);
        if (fault) fail_msg("%s", fault);
        if (i >= from->n_in)
            ptx_memory_kind(m, out[i], PTX_FRESH); /* keeps its bytes, but nobody may read them */
    }
    out[from->n] = ptx_memory_new(m, TN_ABI_WORDS * 8, PTX_ZEROED, "sym");
    ptx_memory_write(m, out[from->n], sym, TN_ABI_SYMS * 8);
}

/* Runs a kernel of `rows` rows with the operands of `m` and returns them as it left them. */
static inline Memory ptx_launch_kernel(const TnGraph *g, uint32_t kernel, const TnPtx *b,
                                       const PtxModule *code, const Memory *m, const int64_t *sym, int rows,
                                       const char *what) {
    const TnKernel *k = &g->kernels[kernel];
    PtxMachine *machine = ptx_machine_new(0);
    uint64_t params[TN_OPERANDS_MAX + 1];
    ptx_operands(machine, g, m, sym, params);
    PtxLaunch l = {.entry = "kernel_0", .threads = b->x.threads, .shared = b->x.shared, .params = params};
    int64_t units = k->axis == TN_AXIS_ROWS ? k->units * rows : k->units;
    l.grid = (uint32_t)units + 2; /* as a graph of a larger step launches it */
    if (b->block) l.grid_y = ((uint32_t)rows + b->block - 1) / b->block + 1;
    l.param_bytes = (m->n + 1) * sizeof *params;
    l.seed = parity_u32();
    const char *fault = ptx_launch(machine, code, &l);
    if (fault) fail_msg("%s: %s", what, fault);
    Memory got = parity_copy(m);
    for (uint32_t i = 0; i < m->n; i++)
        if ((fault = ptx_memory_read(machine, got.p[i], params[i], got.bytes[i]))) fail_msg("%s", fault);
    uint64_t words[TN_ABI_WORDS];
    if ((fault = ptx_memory_read(machine, words, params[m->n], sizeof words))) fail_msg("%s", fault);
    for (size_t i = TN_ABI_DONE; i < TN_ABI_WORDS; i++) assert_true(words[i] == 0); /* as they were */
    ptx_machine_free(machine);
    return got;
}

/* A kernel with the operands of `m` (reads filled in): the evaluator against the machine. */
static inline void ptx_compare(const TnGraph *g, uint32_t kernel, const TnPtx *b, const PtxModule *code,
                               const Memory *m, const int64_t *sym, const char *what) {
    const TnKernel *k = &g->kernels[kernel];
    const TnType *lead = &g->nodes[m->n > m->n_in ? m->ref[m->n_in] : g->nodes[k->first].args[1]].type;
    Memory want = parity_copy(m);
    void *scratch = parity_alloc(tn_eval_kernel_scratch(g, kernel, sym), 0xff);
    tn_eval_kernel(g, kernel, want.p, sym, scratch);
    free(scratch);
    Memory got = ptx_launch_kernel(g, kernel, b, code, m, sym, (int)tn_type_rows(lead, sym), what);
    parity_compare(g, &want, &got, sym, what);
    parity_memory_free(&got);
    parity_memory_free(&want);
}

static inline void ptx_run(const TnGraph *g, uint32_t kernel, const TnPtx *b, const PtxModule *code, int rows,
                           bool wild, const char *what) {
    int64_t sym[TN_SYM_COUNT] = {
        [TN_T] = rows, [TN_R] = rows,       [TN_K] = rows,       [TN_H] = rows,
        [TN_L] = rows, [TN_S] = CASE_SLOTS, [TN_P] = CASE_PAGES, [TN_N] = CASE_CACHE_PAGES};
    char line[200];
    snprintf(line, sizeof line, "ptx %s, %d rows of %d", what, rows, (int)g->rows_hi);
    Memory m = parity_memory(g, kernel, sym);
    case_fill(g, &m, sym, wild);
    ptx_compare(g, kernel, b, code, &m, sym, line);
    parity_memory_free(&m);
}

/* Loads a text, after ptxas has seen it if TERN_TEST_PTXAS is set. */
static inline PtxModule *ptx_load(const TnBuf *text, size_t target, const char *what) {
    char line[PTX_LINE];
    if (getenv("TERN_TEST_PTXAS") && ptxas_path() &&
        !ptxas_accepts(text->data, text->len, ptx_targets[target].target))
        fail_msg("%s: ptxas refuses the text", what);
    PtxModule *code = ptx_module_load(text->data, text->len, line);
    if (!code) fail_msg("%s: %s", what, line);
    return code;
}

/* The text said so far, as of the batch class 1..rows_hi, with up to two row counts (0: none). */
static inline void ptx_check(int rows_hi, int rows, int more, bool wild, const char *what) {
    for (size_t t = 0; t < TN_COUNT(ptx_targets); t++) {
        TnGraph *g = case_graph("ref", rows_hi);
        TnBuf text = {0};
        uint32_t kernel = 0;
        while (strcmp(g->kernels[kernel].name, "main")) kernel++;
        TnPtx b = ptx_emit(g, kernel, t, &text, what);
        PtxModule *code = ptx_load(&text, t, what);
        ptx_run(g, kernel, &b, code, rows, wild, what);
        if (more) ptx_run(g, kernel, &b, code, more, wild, what);
        ptx_module_free(code);
        tn_buf_free(&text);
        tn_graph_destroy(g);
    }
}

#endif
