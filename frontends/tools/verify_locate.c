/* Finds the op of a kernel that is at fault. Only values that leave a kernel can be seen, so the kernel is
 * compiled again, cut after its first op, its second, and so on, until the value at the cut differs from the
 * evaluator's. That op is the earliest that could explain the fault, since all before it were right. A fault
 * that the cut hides is not found this way; some faults only show in the whole kernel. */
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/verify.h"
#include "runtime/base/os.h"

/* ---- the cut */

typedef struct Cut {
    const TnGraph *g;
    TnGraph *out;
    TnRef *to; /* by ref of g */
} Cut;

static void outside(Cut *c, TnRef r) {
    if (c->to[r] != TN_NONE) return;
    const TnNode *n = &c->g->nodes[r];
    TnAttr name = {.key = TN_ATTR_name, .s = n->name}, seed = {.key = TN_ATTR_seed, .i = (int64_t)r};
    bool source = tn_node_is_source(c->g, r);
    c->to[r] = tn_node_push(c->out, source ? TN_OP_random : TN_OP_input, n->name, strlen(n->name), &n->type,
                            NULL, 0, source ? &seed : &name, 1);
}

TnGraph *tn_kernel_cut(const TnGraph *g, uint32_t kernel, TnRef last) {
    const TnKernel *k = &g->kernels[kernel];
    Cut c = {.g = g, .out = tn_graph_create(g->name), .to = tn_xcalloc(g->n + 1, sizeof(TnRef))};
    memset(c.to, 0xff, g->n * sizeof *c.to);
    c.out->stage = g->stage;
    c.out->level = g->level ? tn_strdup(&c.out->arena, g->level) : NULL;
    c.out->kv = g->kv;
    c.out->rows_lo = g->rows_lo;
    c.out->rows_hi = g->rows_hi;
    for (TnRef r = k->first; r <= last; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++)
            /* a cache after another kernel's store is still the same cache */
            if (g->nodes[g->nodes[r].args[i]].kernel != kernel) {
                TnRef a = tn_alias_root(g, g->nodes[r].args[i]);
                outside(&c, a);
                c.to[g->nodes[r].args[i]] = c.to[a];
            }
    TnRef first = c.out->n;
    for (TnRef r = k->first; r <= last; r++) {
        const TnNode *n = &g->nodes[r];
        TnRef args[TN_ARGS_MAX];
        for (uint32_t i = 0; i < n->n_args; i++) args[i] = c.to[n->args[i]];
        c.to[r] = tn_node_push(c.out, n->op, n->name, strlen(n->name), &n->type, args, n->n_args, n->attrs,
                               n->n_attrs);
    }
    bool rooted = k->root != TN_NONE && k->root <= last;
    tn_kernel_add(c.out, k->name, rooted ? c.to[k->root] : TN_NONE, first, c.out->n - first);
    uint32_t *uses = tn_xcalloc(c.out->n + 1, sizeof *uses), end = c.out->n;
    tn_count_uses(c.out, uses);
    for (TnRef r = first; r < end; r++) {
        TnAttr name = {.key = TN_ATTR_name, .s = c.out->nodes[r].name};
        if (!uses[r] && !tn_op_is(c.out->nodes[r].op, TN_TRAIT_STATE))
            tn_node_push(c.out, TN_OP_output, NULL, 0, &c.out->nodes[r].type, &r, 1, &name, 1);
    }
    free(uses);
    free(c.to);
    return c.out;
}

/* ---- running it */

typedef struct Run {
    const TnGraph *g; /* the cut */
    const int64_t *sym;
    uint32_t n, n_in;
    TnRef ops[64];
    void *want[64], *got[64], *before[64]; /* by operand; before: borrowed */
    bool own[64];
    TnLab *lab;
} Run;

static bool puts_into(const TnGraph *g, TnRef cache) {
    for (TnRef r = 0; r < g->n; r++)
        if (tn_op_is(g->nodes[r].op, TN_TRAIT_STATE) && tn_alias_root(g, r) == cache) return true;
    return false;
}

static void *copy_of(const void *from, size_t bytes) {
    uint8_t *p = aligned_alloc(64, (bytes + 4096 + 63) / 64 * 64); /* spare room after the value */
    if (!p) tn_out_of_memory(bytes);
    if (from)
        memcpy(p, from, bytes);
    else
        memset(p, 0xa5, bytes);
    return p;
}

static void begin(Run *c, const TnGraph *whole, uint32_t kernel, void *const *reads) {
    TnRef of[64];
    uint32_t n_of, n_in;
    n_of = tn_kernel_operands(whole, kernel, of, &n_in);
    (void)n_of;
    c->n = tn_kernel_operands(c->g, 0, c->ops, &c->n_in);
    for (uint32_t i = 0; i < c->n; i++) {
        const TnNode *n = &c->g->nodes[c->ops[i]];
        for (uint32_t j = 0; i < c->n_in && j < n_in; j++)
            if (strcmp(whole->nodes[of[j]].name, n->name) == 0) c->before[i] = reads[j];
        TN_CHECK(i >= c->n_in || c->before[i]);
        c->own[i] = i >= c->n_in || puts_into(c->g, c->ops[i]);
        size_t bytes = tn_type_bytes(&n->type, c->sym);
        c->want[i] = c->own[i] ? copy_of(c->before[i], bytes) : c->before[i];
        c->got[i] = c->own[i] ? copy_of(c->before[i], bytes) : c->before[i];
    }
}

static void end(Run *c) {
    for (uint32_t i = 0; i < c->n; i++) {
        if (!c->own[i]) continue;
        free(c->want[i]);
        free(c->got[i]);
    }
}

/* What the runtime counts as units of the cut kernel. */
static int64_t units_of(const Run *c) {
    const TnKernel *k = &c->g->kernels[0];
    TnRef lead = c->n > c->n_in ? c->ops[c->n_in] : c->g->nodes[k->first].args[1];
    return k->axis == TN_AXIS_ROWS ? k->units * tn_type_rows(&c->g->nodes[lead].type, c->sym) : k->units;
}

static bool run_on_device(Run *c, const TnEmitJob *job, const char *text) {
    TernError err;
    size_t bytes[64];
    int64_t units = units_of(c);
    for (uint32_t i = 0; i < c->n; i++) bytes[i] = tn_type_bytes(&c->g->nodes[c->ops[i]].type, c->sym);
    TnLabRun r = {.ptr = c->got, .bytes = bytes, .written = c->own, .n = c->n, .sym = c->sym};
    return units <= 0 || tn_lab_job(c->lab, job, text, (uint64_t)units, &r, &err) == TERN_OK;
}

/* Compiles and runs the cut kernel; false if that cannot be done. */
static bool run_code(Run *c, const TnTarget *target) {
    TernError err;
    TnBuf image = {0};
    void *code;
    TnEmitJob job = {.g = c->g, .symbol = "cut"};
    bool done = target->emit(&job, 1, c->g->level, &image, NULL, NULL, &err) == TERN_OK;
    if (done && c->lab) {
        done = run_on_device(c, &job, image.data);
        tn_buf_free(&image);
        return done;
    }
    if (done) done = tn_os_map_code(image.data, image.len, &code, &err) == TERN_OK;
    if (done) {
        TnKernelFn *fn = (TnKernelFn *)((uintptr_t)code + job.entry);
        int64_t units = units_of(c);
        TnLaunch launch = {(void *const *)c->got, c->sym};
        TnTile tile = {.hi = units,
                       .scratch = copy_of(NULL, job.scratch + job.scratch_page * (uint64_t)c->sym[TN_P])};
        if (units > 0) fn(&launch, &tile);
        free(tile.scratch);
        tn_os_unmap(code, image.len);
    }
    tn_buf_free(&image);
    return done;
}

/* Returns whether the value of node `last` of the cut kernel differs. */
static bool differs(const TnGraph *whole, uint32_t kernel, TnGraph *cut, void *const *reads,
                    const int64_t *sym, TnLab *lab) {
    const char *name = whole->kernels[kernel].target;
    const TnTarget *target = name ? tn_target_find(name) : NULL;
    TernError err;
    if (!target || !target->emit) return false;
    const TnTargetDesc *targets[] = {&target->desc};
    TnPassCtx ctx = {.level = cut->level, .targets = targets, .n_targets = 1, .head = TN_ENC_COUNT};
    if (pass_tile(cut, &ctx, &err) != TERN_OK) return false; /* the target cannot make this kernel */
    Run c = {.g = cut, .sym = sym, .lab = lab};
    begin(&c, whole, kernel, reads);
    bool bad = false;
    if (run_code(&c, target)) {
        void *scratch = copy_of(NULL, tn_eval_kernel_scratch(cut, 0, sym));
        tn_eval_kernel(cut, 0, c.want, sym, scratch);
        free(scratch);
        for (uint32_t i = 0; i < c.n; i++)
            if (c.own[i])
                bad |= !tn_values_compare(&cut->nodes[c.ops[i]].type, sym, c.want[i], c.got[i], NULL, NULL);
    }
    end(&c);
    return bad;
}

TnRef tn_kernel_locate(const TnGraph *g, uint32_t kernel, TnRef last, void *const *reads, const int64_t *sym,
                       TnLab *lab) {
    for (TnRef r = g->kernels[kernel].first; r <= last; r++) {
        TnGraph *cut = tn_kernel_cut(g, kernel, r);
        bool bad = differs(g, kernel, cut, reads, sym, lab);
        tn_graph_destroy(cut);
        if (bad) return r;
    }
    return TN_NONE;
}
