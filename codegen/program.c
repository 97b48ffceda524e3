/* Makes PROG and PLAN, which tell the runtime about a planned graph.
 *
 * Every kernel becomes a launch, and every operand of tn_kernel_operands a place: in the arena, in WGHT, in the
 * session's inputs or in its caches. Offsets stay formulas: only the runtime multiplies them by the symbols' values. */
#include "codegen/internal.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/reader.h"

typedef struct Builder {
    const TnGraph *g;
    TnWeightStore *store;
    TnBlobLaunch *launches;
    size_t n_launches, cap_launches;
    TnBlobOperand *operands;
    size_t n_operands, cap_operands;
    bool *whole; /* for each value: whether it is a weight that a token reads whole */
    bool shortlisted;
    uint64_t *offset_of; /* for each value that is a weight which a token reads whole: where it lies */
    TnMap
        read; /* those offsets of which plan.weight_bytes counts the weights already; keys lie in offset_of */
    TnBuf names;
    uint32_t *operand_of; /* for each value, the operand that writes it, or UINT32_MAX */
    TnBlobPlan plan;
    TernError *err;
} Builder;

static bool leads_with_sym(const TnType *t) {
    return tn_dim_is_sym(t->dim[0]);
}

static uint32_t lead(const TnType *t) {
    return leads_with_sym(t) ? (uint32_t)tn_dim_sym(t->dim[0]) : UINT32_MAX;
}

static TernStatus bind_input(Builder *b, TnRef ref, TnBlobOperand *out) {
    static const char *const names[TN_IN_COUNT] = {"ids", "pos", "slot", "rows", "hrows", "table", "lrows"};
    const TnNode *node = &b->g->nodes[ref];
    const char *name = tn_attr_str(node, TN_ATTR_name);
    if (tn_encs[node->type.enc].kind == TN_CACHE) {
        bool key = tn_enc_is_kcache(node->type.enc);
        char *end;
        unsigned long layer = strtoul(name + 1, &end, 10);
        if (name[0] != (key ? 'k' : 'v') || end == name + 1 || *end || layer >= UINT32_MAX)
            return tn_fail(b->err, TERN_ERR_INPUT,
                           "graph %s: cache input \"%s\", expected k<layer> or v<layer>", b->g->name, name);
        uint64_t page = tn_page_bytes(&node->type), *of_all = key ? &b->plan.key_page : &b->plan.value_page;
        if (*of_all && *of_all != page)
            return tn_fail(b->err, TERN_ERR_UNSUPPORTED,
                           "graph %s: cache %s has pages of %llu bytes, expected %llu as in other layers",
                           b->g->name, name, (unsigned long long)page, (unsigned long long)*of_all);
        *of_all = page;
        *out = (TnBlobOperand){key ? TN_SPACE_KEYS : TN_SPACE_VALUES, (uint32_t)layer, 0, page};
        return TERN_OK;
    }
    for (uint32_t i = 0; i < TN_IN_COUNT; i++) {
        if (strcmp(name, names[i])) continue;
        *out = (TnBlobOperand){TN_SPACE_INPUT, i, 0, tn_row_bytes(&node->type)};
        return TERN_OK;
    }
    return tn_fail(b->err, TERN_ERR_INPUT,
                   "graph %s: input \"%s\", expected one of ids pos slot rows hrows lrows table k<i> v<i>",
                   b->g->name, name);
}

static TernStatus bind(Builder *b, TnRef ref, TnBlobOperand *out) {
    const TnNode *node = &b->g->nodes[ref];
    if (node->op == TN_OP_input) return bind_input(b, ref, out);
    if (tn_node_is_source(b->g, ref)) {
        uint32_t w = tn_store_add(b->store, b->g, ref);
        *out = (TnBlobOperand){TN_SPACE_WGHT, 0, b->store->w[w].offset, b->store->w[w].size};
        return TERN_OK;
    }
    const TnAttr *off = tn_node_attr(node, TN_ATTR_off);
    if (!off) TN_BUG("graph %s: value %s leaves its kernel without `off`", b->g->name, node->name);
    uint32_t sym = lead(&node->type);
    uint64_t row = sym == UINT32_MAX ? tn_type_bytes(&node->type, NULL) : tn_row_bytes(&node->type);
    *out = (TnBlobOperand){TN_SPACE_ARENA, sym, (uint64_t)off->i, row};
    uint64_t *part = sym == UINT32_MAX ? &b->plan.arena_const : &b->plan.arena[sym],
             end = out->offset + tn_round_up(row, 64);
    if (end > *part) *part = end;
    return TERN_OK;
}

/* The type whose rows a kernel's work is counted in: that of its first result, or of what it stores in a cache. */
static const TnType *kernel_lead(const TnGraph *g, uint32_t kernel) {
    const TnKernel *k = &g->kernels[kernel];
    TnRef ops[64];
    uint32_t n_in, n = tn_kernel_operands(g, kernel, ops, &n_in);
    if (n > n_in) return &g->nodes[ops[n_in]].type;
    for (uint32_t i = 0; i < k->n; i++) {
        const TnNode *node = &g->nodes[k->first + i];
        if (tn_op_is(node->op, TN_TRAIT_STATE)) return &g->nodes[node->args[1]].type;
    }
    return NULL;
}

TnLaunchSyms tn_launch_syms(const TnGraph *g, uint32_t kernel) {
    const TnKernel *k = &g->kernels[kernel];
    const TnType *rows = kernel_lead(g, kernel);
    bool by_rows = k->axis == TN_AXIS_ROWS && rows;
    TnLaunchSyms s = {
        .gate = rows ? lead(rows) : UINT32_MAX, .unit = UINT32_MAX, .units = (uint64_t)k->units};
    if (by_rows) s.unit = s.gate;
    if (by_rows && s.unit == UINT32_MAX) s.units *= (uint64_t)tn_type_rows(rows, NULL);
    return s;
}

/* Whether node n reads only some rows of operand i, a table, or only the bounds of it, a shadow table. */
static bool by_rows(const TnGraph *g, const TnNode *n, uint32_t i) {
    bool rows = tn_op_reads_rows(n->op);
    return rows && (i + 1 == n->n_args || tn_encs[g->nodes[n->args[i]].type.enc].kind == TN_SHADOW);
}

/* Marks the weights that a token reads whole: all operands of its launches, except tables of which a shortlisted head
 * reads some rows, and except what only rows that ask for all logits need. */
static void find_whole(Builder *b) {
    for (TnRef r = 0; r < b->g->n; r++) b->shortlisted |= b->g->nodes[r].op == TN_OP_estimate;
    for (TnRef r = 0; r < b->g->n; r++) {
        const TnNode *n = &b->g->nodes[r];
        if (n->kernel == TN_NONE) continue;
        for (uint32_t i = 0; i < n->n_args; i++)
            if (!b->shortlisted || (!by_rows(b->g, n, i) && n->type.dim[0] != tn_sym_dim(TN_L)))
                b->whole[n->args[i]] = true;
    }
}

/* dequant takes the weight of its product for the sake of a scale, which lies after the codes. */
static bool takes_scale(const TnGraph *g, const TnNode *n, TnRef weight) {
    return n->op == TN_OP_dequant && !tn_type_in_groups(&g->nodes[weight].type);
}

/* How the kernel reads operand `ref`, a weight (TN_WGHT_*): whole, unless every op that takes it reads rows of it. */
static uint32_t weight_use(const TnGraph *g, const TnKernel *k, TnRef ref) {
    uint32_t use = TN_WGHT_ROWS;
    bool read = false;
    for (uint32_t i = 0; i < k->n; i++) {
        const TnNode *n = &g->nodes[k->first + i];
        bool rows = tn_op_reads_rows(n->op);
        for (uint32_t j = 0; j < n->n_args; j++) {
            if (n->args[j] != ref || takes_scale(g, n, ref)) continue;
            read = true;
            if (rows && j + 1 == n->n_args) continue;
            bool copied = n->op == TN_OP_tmatmul && n->n_args == 3 && j == 1;
            if (use == TN_WGHT_ROWS || !copied) use = copied ? TN_WGHT_EITHER : TN_WGHT_WHOLE;
        }
    }
    return read ? use : TN_WGHT_WHOLE;
}

/* Bytes that a token reads of an operand that is not read by rows: of a shadow table not the planes of bits. */
static uint64_t read_bytes(const TnType *t, const TnBlobOperand *o) {
    return tn_encs[t->enc].kind == TN_SHADOW ? tn_shadow_read_bytes(t) : o->row_bytes;
}

static TernStatus add_launch(Builder *b, uint32_t kernel, const TnEmitJob *jobs, const uint32_t *exports) {
    const TnKernel *k = &b->g->kernels[kernel];
    TnRef ops[64];
    uint32_t n_in, n = tn_kernel_operands(b->g, kernel, ops, &n_in);
    TnBlobLaunch l = {.first_operand = (uint32_t)b->n_operands, .n_operands = n, .n_reads = n_in};
    for (uint32_t i = 0; i < n; i++) {
        TnBlobOperand o;
        TN_TRY(bind(b, ops[i], &o));
        if (o.space == TN_SPACE_WGHT) o.index = weight_use(b->g, k, ops[i]);
        if (i >= n_in) b->operand_of[ops[i]] = (uint32_t)b->n_operands;
        if (o.space == TN_SPACE_WGHT && b->whole[ops[i]]) {
            uint64_t *at = &b->offset_of[ops[i]];
            *at = o.offset;
            if (tn_map_set(&b->read, (const char *)at, sizeof *at, 0) == TN_MAP_NONE)
                b->plan.weight_bytes += read_bytes(&b->g->nodes[ops[i]].type, &o);
        }
        TN_PUSH(b->operands, b->n_operands, b->cap_operands, o);
    }
    TnLaunchSyms syms = tn_launch_syms(b->g, kernel);
    l.gate_sym = syms.gate;
    l.unit_sym = syms.unit;
    l.units = syms.units;
    l.flags = k->barrier ? TN_LAUNCH_BARRIER : 0;
    b->plan.n_barriers += k->barrier;
    if (jobs) {
        const TnEmitJob *job = &jobs[exports[kernel]];
        l.export_index = exports[kernel];
        l.scratch = job->scratch;
        l.scratch_page = job->scratch_page;
        if (job->threads > TN_LAUNCH_THREADS_MAX || job->shared > TN_LAUNCH_SHARED_MAX)
            TN_BUG("kernel %s: %u threads sharing %u bytes", k->name, job->threads, job->shared);
        TN_CHECK(job->block <= UINT8_MAX && (!job->block || l.gate_sym != UINT32_MAX));
        l.threads = (uint16_t)job->threads;
        l.block = (uint8_t)job->block;
        if (job->lists) l.flags |= TN_LAUNCH_LISTS;
        l.shared = job->shared;
    }
    if (l.scratch > b->plan.scratch) b->plan.scratch = l.scratch;
    if (l.scratch_page > b->plan.scratch_page) b->plan.scratch_page = l.scratch_page;
    l.name = (TnBlobRange){(uint32_t)b->names.len, (uint32_t)strlen(k->name)};
    tn_buf_put(&b->names, k->name, l.name.size);
    TN_PUSH(b->launches, b->n_launches, b->cap_launches, l);
    return TERN_OK;
}

static TernStatus find_outputs(Builder *b, uint32_t output[8]) {
    static const char *const names[TN_OUT_COUNT] = {"best", "top", "toplogit", "logits", "hidden"};
    for (uint32_t i = 0; i < 8; i++) output[i] = UINT32_MAX;
    for (TnRef r = 0; r < b->g->n; r++) {
        const TnNode *node = &b->g->nodes[r];
        if (node->op != TN_OP_output) continue;
        const char *name = tn_attr_str(node, TN_ATTR_name);
        uint32_t i = 0;
        while (i < TN_OUT_COUNT && strcmp(name, names[i])) i++;
        if (i == TN_OUT_COUNT)
            return tn_fail(b->err, TERN_ERR_INPUT,
                           "graph %s: output \"%s\", expected one of best top toplogit logits hidden",
                           b->g->name, name);
        output[i] = b->operand_of[node->args[0]];
        if (output[i] == UINT32_MAX)
            return tn_fail(b->err, TERN_ERR_INPUT, "graph %s: output \"%s\" is not made by any kernel",
                           b->g->name, name);
        const TnType *t = &b->g->nodes[node->args[0]].type;
        if (i == TN_OUT_TOP) b->plan.topk = (uint32_t)t->dim[t->rank - 1];
    }
    return TERN_OK;
}

static TernStatus build(Builder *b, TnBlobProg *head, const TnEmitJob *jobs, const uint32_t *exports) {
    find_whole(b);
    for (uint32_t k = 0; k < b->g->n_kernels; k++) TN_TRY(add_launch(b, k, jobs, exports));
    return find_outputs(b, head->output);
}

TernStatus tn_program_build(const TnGraph *g, const TnProgramCode *code, TnWeightStore *store, TnBuf *prog,
                            TnBuf *plan, TernError *err) {
    Builder b = {.g = g, .store = store, .err = err, .operand_of = tn_xcalloc(g->n, sizeof(uint32_t))};
    b.whole = tn_xcalloc(g->n, sizeof *b.whole);
    memset(b.operand_of, 0xff, g->n * sizeof(uint32_t));
    b.offset_of = tn_xcalloc(g->n, sizeof *b.offset_of);
    TnBlobProg head = {.level = code->level,
                       .kv = (uint32_t)g->kv,
                       .rows_lo = (uint32_t)g->rows_lo,
                       .rows_hi = (uint32_t)g->rows_hi,
                       .code = code->section};
    TernStatus s = build(&b, &head, code->jobs, code->exports);
    if (s == TERN_OK) {
        head.n_launches = (uint32_t)b.n_launches;
        head.n_operands = (uint32_t)b.n_operands;
        head.n_names = (uint32_t)b.names.len;
        uint32_t names_at =
            (uint32_t)(sizeof head + b.n_launches * sizeof *b.launches + b.n_operands * sizeof *b.operands);
        for (size_t i = 0; i < b.n_launches; i++) b.launches[i].name.offset += names_at;
        tn_buf_put(prog, &head, sizeof head);
        tn_buf_put(prog, b.launches, b.n_launches * sizeof *b.launches);
        tn_buf_put(prog, b.operands, b.n_operands * sizeof *b.operands);
        tn_buf_put(prog, b.names.data, b.names.len);
        tn_buf_put(plan, &b.plan, sizeof b.plan);
    }
    free(b.launches);
    free(b.operands);
    free(b.operand_of);
    free(b.offset_of);
    free(b.whole);
    tn_map_free(&b.read);
    tn_buf_free(&b.names);
    return s;
}
