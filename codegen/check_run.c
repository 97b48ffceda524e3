/* Runs what check.c compiled, and compares.
 *
 * The quick way evaluates the graph once a step for all items and compares outputs and caches. Only if that finds a
 * difference is the run repeated with a second evaluator on the planned graph, which tells which kernel wrote the first
 * wrong value. Inputs, tiles and orders are the same again, since they come from the seed. */
#include "codegen/check_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/half.h"
#include "runtime/base/reader.h"

enum { GUARD = 256, OPERANDS = 64, TILES = 5 };

typedef struct Launch {
    void *ptr[OPERANDS];
    TnRef ref[OPERANDS];
    uint32_t n, n_in;
    const TnType *lead; /* the type whose rows the work is counted in; NULL: none */
    TnKernelFn *fn;     /* NULL: evaluated */
} Launch;

/* One item's memory. */
typedef struct Machine {
    const TnCheckItem *item;
    const TnGraph *g;
    void **data; /* for each value of the planned graph that a launch reads or writes */
    bool *owned;
    char *space[TN_SYM_COUNT + 1]; /* the arena: a part for each leading symbol, then the constant part */
    size_t bytes[TN_SYM_COUNT + 1];
    char *scratch;
    size_t scratch_bytes;
    Launch *launches;
    bool ran;
} Machine;

typedef struct Run {
    const TnCheck *c;
    TnStep step;
    const TnGraph *source;
    TnEval *want;
    Machine *machines;
    uint32_t n;
    TnEval *beside; /* evaluates the only item's planned graph while a difference is located; else NULL */
    TnDifference *out;
} Run;

static char *guarded(size_t n, int fill) {
    size_t all = tn_round_up(n + GUARD, 64);
    char *p = aligned_alloc(64, all);
    if (!p) tn_out_of_memory(all);
    memset(p, fill, n);
    memset(p + n, 0x77, all - n);
    return p;
}

static bool guard_holds(const char *p, size_t n) {
    for (size_t i = 0; i < GUARD; i++)
        if (p[n + i] != 0x77) return false;
    return true;
}

/* ---- memory and launches */

static TernStatus place_values(Machine *m, const TnCheck *c, const TnStep *s, TernError *err) {
    const TnGraph *g = m->g;
    uint64_t per_row[TN_SYM_COUNT], constant;
    tn_plan_bytes(g, per_row, &constant);
    for (int i = 0; i <= TN_SYM_COUNT; i++) {
        m->bytes[i] = i < TN_SYM_COUNT ? per_row[i] * (uint64_t)s->max[i] : constant;
        m->space[i] = guarded(m->bytes[i], 0xff);
    }
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        const TnAttr *off = tn_node_attr(n, TN_ATTR_off);
        if (n->kernel == TN_NONE && tn_ops[n->op].class != TN_SINK) {
            m->data[r] = guarded(tn_type_bytes(&n->type, s->max), 0);
            m->owned[r] = true;
            if (tn_node_is_source(g, r)) TN_TRY(tn_weight_all(g, r, c->weights, m->data[r], err));
        } else if (off) {
            int sym = tn_dim_is_sym(n->type.dim[0]) ? (int)tn_dim_sym(n->type.dim[0]) : TN_SYM_COUNT;
            m->data[r] = m->space[sym] + off->i * (sym < TN_SYM_COUNT ? s->max[sym] : 1);
        }
    }
    return TERN_OK;
}

/* The type whose rows decide how many units a kernel has and whether it runs at all, as in codegen/program.c. */
static const TnType *leading(const TnGraph *g, const TnKernel *k, const Launch *l) {
    if (l->n > l->n_in) return &g->nodes[l->ref[l->n_in]].type;
    for (TnRef r = k->first; r < k->first + k->n; r++)
        if (tn_op_is(g->nodes[r].op, TN_TRAIT_STATE)) return &g->nodes[g->nodes[r].args[1]].type;
    return NULL;
}

static void make_launches(Machine *m, const TnCheck *c, const TnStep *s) {
    const TnCheckLevel *level = &c->levels[m->item->level];
    for (uint32_t k = 0; k < m->g->n_kernels; k++) {
        Launch *l = &m->launches[k];
        size_t need = tn_eval_kernel_scratch(m->g, k, s->max);
        l->n = tn_kernel_operands(m->g, k, l->ref, &l->n_in);
        l->lead = leading(m->g, &m->g->kernels[k], l);
        for (uint32_t i = 0; i < l->n; i++) {
            l->ptr[i] = m->data[l->ref[i]];
            TN_CHECK(l->ptr[i]);
        }
        if (level->code) {
            const TnEmitJob *job = &level->jobs[m->item->jobs[k]];
            l->fn = (TnKernelFn *)(uintptr_t)((uintptr_t)level->code + job->entry);
            need = (size_t)(job->scratch + job->scratch_page * (uint64_t)s->sym[TN_P]);
        }
        if (need > m->scratch_bytes) m->scratch_bytes = need;
    }
    m->scratch = guarded(m->scratch_bytes, 0xff);
}

/* The caller closes the machine even if this fails. */
static TernStatus open_machine(Machine *m, const TnCheck *c, uint32_t item, const TnStep *s, TernError *err) {
    TN_CHECK(item < c->n);
    *m = (Machine){.item = &c->items[item], .g = c->items[item].g};
    m->data = tn_xcalloc(m->g->n + 1, sizeof *m->data);
    m->owned = tn_xcalloc(m->g->n + 1, sizeof *m->owned);
    m->launches = tn_xcalloc(m->g->n_kernels + 1, sizeof *m->launches);
    TN_TRY(place_values(m, c, s, err));
    make_launches(m, c, s);
    return TERN_OK;
}

static void close_machine(Machine *m) {
    if (!m->g) return;
    for (TnRef r = 0; r < m->g->n; r++)
        if (m->owned[r]) free(m->data[r]);
    for (int i = 0; i <= TN_SYM_COUNT; i++) free(m->space[i]);
    free(m->data);
    free(m->owned);
    free(m->launches);
    free(m->scratch);
}

/* ---- differences */

static void show(const TnType *t, const void *at, char out[48], int64_t *ordered, bool *nan) {
    uint32_t bits = 0;
    size_t size = tn_encs[t->enc].block_bytes;
    memcpy(&bits, at, size < 4 ? size : 4);
    *nan = false;
    if (t->enc == TN_ENC_i32) {
        *ordered = (int32_t)bits;
        snprintf(out, 48, "%d", (int32_t)bits);
    } else if (size == 4 || size == 2) {
        float f = size == 4 ? tn_bits_f32(bits) : tn_f16_to_f32((uint16_t)bits);
        uint32_t sign = size == 4 ? 0x80000000u : 0x8000u;
        *ordered = bits & sign ? -(int64_t)(bits & ~sign) : (int64_t)bits;
        *nan = f != f;
        snprintf(out, 48, "%a (0x%0*x)", (double)f, (int)size * 2, bits);
    } else {
        *ordered = (int8_t)bits;
        snprintf(out, 48, "%d", (int8_t)bits);
    }
}

/* A value to compare: of the planned graph, with the kernel that made it, or of the source graph (kernel TN_NONE). */
typedef struct Value {
    const Machine *m;
    const TnGraph *g;
    TnRef r;
    uint32_t kernel;
} Value;

static void differ(Run *run, const Value *v, int64_t row, int64_t col, const void *want, const void *got) {
    TnDifference *d = run->out;
    const Machine *m = v->m;
    const TnGraph *g = v->g;
    TnRef r = v->r;
    uint32_t kernel = v->kernel;
    int64_t a, b;
    bool nan_a, nan_b;
    snprintf(d->value, sizeof d->value, "%s", g->nodes[r].name);
    snprintf(d->op, sizeof d->op, "%s", tn_ops[g->nodes[r].op].name);
    snprintf(d->kernel, sizeof d->kernel, "%s", kernel == TN_NONE ? "" : m->g->kernels[kernel].name);
    d->row = row;
    d->col = col;
    d->rows = run->step.sym[TN_T];
    d->step = run->step.number - 1;
    show(&g->nodes[r].type, want, d->want, &a, &nan_a);
    show(&g->nodes[r].type, got, d->got, &b, &nan_b);
    d->distance = nan_a != nan_b ? UINT64_MAX : (uint64_t)(a > b ? a - b : b - a);
    char where[300];
    if (kernel == TN_NONE)
        snprintf(where, sizeof where, "passes");
    else
        snprintf(where, sizeof where, "kernel @%.200s", d->kernel);
    snprintf(
        d->text, sizeof d->text,
        "level %s%s, %s: %%%.200s = %s, row %lld, column %lld, step %u of %lld rows: got %s, expected %s",
        m->item->how.level, m->item->how.apart ? ", ops apart" : "", where, d->value, d->op, (long long)row,
        (long long)col, d->step, (long long)d->rows, d->got, d->want);
}

/* Whether both are NaN. Which NaN an operation gives depends on the machine, so all NaNs count as equal. */
static bool both_nan(size_t size, const char *a, const char *b) {
    float x, y;
    uint16_t h[2];
    memcpy(size == 2 ? (void *)&h[0] : &x, a, size);
    memcpy(size == 2 ? (void *)&h[1] : &y, b, size);
    if (size == 2) return (h[0] & 0x7fff) > 0x7c00 && (h[1] & 0x7fff) > 0x7c00;
    return x != x && y != y;
}

/* The bytes of floats and of all numbers before the codes of a row of activations. X and Y of q14 are no codes either. */
static size_t head_floats(const TnType *t) {
    return t->enc == TN_ENC_q8 ? 4 : t->enc == TN_ENC_q8g ? tn_q8g_part(t) : 0;
}
static size_t head_bytes(const TnType *t) {
    return t->enc == TN_ENC_q8 ? TN_Q8_HEAD : t->enc == TN_ENC_q8g ? 2 * tn_q8g_part(t) : 0;
}

/* The offset at which two rows of `used` bytes first differ, or `used`. Floats, also those in heads of rows of activations
 * and in caches, are equal if their bits are or if both are NaN. */
static size_t first_difference(const TnType *t, const char *a, const char *b, size_t used) {
    TnEnc enc = t->enc;
    bool half = enc == TN_ENC_kc_f16 || enc == TN_ENC_vc_f16;
    bool single = enc == TN_ENC_f32 || enc == TN_ENC_kc_f32 || enc == TN_ENC_vc_f32;
    size_t size = half ? 2 : 4;
    for (size_t at = 0; at < used; at++) {
        if (a[at] == b[at]) continue;
        size_t start = at / size * size;
        bool is_float = half || single || start < head_floats(t);
        if (!is_float || !both_nan(size, a + start, b + start)) return at;
        at = start + size - 1;
    }
    return used;
}

/* Compares a value: rows of dense values without their padding, all other encodings whole. */
static bool equal(Run *run, Value v, const void *want, const void *got, const int64_t *sym) {
    const TnGraph *g = v.g;
    const TnType *t = &g->nodes[v.r].type;
    size_t size = tn_encs[t->enc].block_bytes;
    size_t stride = tn_row_bytes(t), used = (size_t)tn_row_elems(t) * size;
    int64_t rows = tn_type_rows(t, sym);
    const char *a = want, *b = got;
    size_t head = head_bytes(t);
    if (head) {
        used = head + (size_t)t->dim[1];
        size = 1;
    } else if (t->enc == TN_ENC_q14) {
        used = stride;
        size = 1;
    } else if (tn_encs[t->enc].kind == TN_CACHE) {
        used = stride = tn_page_bytes(t);
        rows = sym[TN_N];
    }
    for (int64_t i = 0; i < rows; i++, a += stride, b += stride) {
        if (!memcmp(a, b, used)) continue;
        size_t at = first_difference(t, a, b, used);
        if (at == used) continue;
        if (run->out) {
            if (head) {
                TnGraph fake = *g; /* with one node that has the type of the head's number or of the code */
                TnNode node = g->nodes[v.r];
                node.type.enc = at < head_floats(t) ? TN_ENC_f32 : at < head ? TN_ENC_i32 : TN_ENC_i8;
                if (at < head) at = at / 4 * 4;
                fake.nodes = &node;
                TN_CHECK(at < used);
                differ(run, &(Value){v.m, &fake, 0, v.kernel}, i, (int64_t)at - (int64_t)head, a + at,
                       b + at);
                snprintf(run->out->op, sizeof run->out->op, "%s", tn_ops[node.op].name);
            } else {
                at = at / size * size;
                differ(run, &v, i, (int64_t)(at / size), a + at, b + at);
            }
        }
        return false;
    }
    return true;
}

/* ---- steps */

static bool launch(Run *run, Machine *m, uint32_t k, const int64_t *sym) {
    const TnKernel *kernel = &m->g->kernels[k];
    const Launch *l = &m->launches[k];
    TnStep *s = &run->step;
    if (l->lead && tn_dim_is_sym(l->lead->dim[0]) && sym[tn_dim_sym(l->lead->dim[0])] == 0) return true;
    if (!l->fn) {
        tn_eval_kernel(m->g, k, l->ptr, sym, m->scratch);
    } else {
        bool by_rows = kernel->axis == TN_AXIS_ROWS && l->lead;
        int64_t units = kernel->units * (by_rows ? tn_type_rows(l->lead, sym) : 1), cut[TILES + 1] = {0};
        int n = 1 + (int)tn_step_pick(s, TILES);
        cut[n] = units;
        for (int i = 1; i < n; i++) cut[i] = (int64_t)tn_step_pick(s, (uint64_t)units + 1);
        for (int i = 1; i < n; i++) /* sort */
            for (int j = i; j > 1 && cut[j] < cut[j - 1]; j--) {
                int64_t t = cut[j];
                cut[j] = cut[j - 1];
                cut[j - 1] = t;
            }
        int first = (int)tn_step_pick(s, (uint64_t)n), valid = 0;
        TnLaunch args = {l->ptr, sym};
        for (int i = 0; i < n; i++) {
            int j = (first + i) % n;
            TnTile tile = {cut[j], cut[j + 1], m->scratch, valid};
            if (tile.lo == tile.hi) continue;
            l->fn(&args, &tile);
            valid = first % 2; /* the runtime sets scratch_valid for a worker's later tiles */
        }
    }
    for (uint32_t i = l->n_in; run->beside && i < l->n; i++)
        if (!equal(run, (Value){m, m->g, l->ref[i], k}, tn_eval_data(run->beside, l->ref[i]), l->ptr[i], sym))
            return false;
    for (TnRef r = kernel->first; run->beside && r < kernel->first + kernel->n; r++) {
        if (!tn_op_is(m->g->nodes[r].op, TN_TRAIT_STATE)) continue;
        TnRef cache = tn_alias_root(m->g, r);
        int64_t all[TN_SYM_COUNT];
        memcpy(all, sym, sizeof all);
        /* the evaluator has run all ops, so the cache can be compared only after its last kv_put */
        bool last = true;
        for (TnRef q = r + 1; q < m->g->n; q++)
            last &= !tn_op_is(m->g->nodes[q].op, TN_TRAIT_STATE) || tn_alias_root(m->g, q) != cache;
        if (last &&
            !equal(run, (Value){m, m->g, r, k}, tn_eval_data(run->beside, cache), m->data[cache], all))
            return false;
    }
    return true;
}

/* Compares outputs, by name, and the caches that were written: those of `planned`, or of the machine if it is NULL. */
static bool results_equal(Run *run, Machine *m, TnEval *planned) {
    const int64_t *sym = run->step.sym;
    const TnGraph *g = run->source, *p = m->g;
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        TnRef a = TN_NONE, b = TN_NONE;
        if (n->op == TN_OP_output) {
            TnRef o = tn_graph_find(p, TN_OP_output, tn_attr_str(n, TN_ATTR_name));
            TN_CHECK(o != TN_NONE); /* dce keeps what is read */
            a = n->args[0];
            b = p->nodes[o].args[0];
        } else if (tn_op_is(n->op, TN_TRAIT_STATE)) {
            a = tn_alias_root(g, r);
            if (g->nodes[a].op != TN_OP_input) continue;
            b = tn_graph_find(p, TN_OP_input, tn_attr_str(&g->nodes[a], TN_ATTR_name));
        }
        if (b == TN_NONE) continue;
        b = tn_alias_root(p, b);
        const void *got = planned ? tn_eval_data(planned, b) : m->data[b];
        if (!equal(run, (Value){m, g, n->op == TN_OP_output ? a : r, TN_NONE}, tn_eval_data(run->want, a),
                   got, sym))
            return false;
    }
    return true;
}

static bool memory_holds(Run *run, Machine *m) {
    const char *what = NULL;
    for (int i = 0; i <= TN_SYM_COUNT; i++)
        if (!guard_holds(m->space[i], m->bytes[i])) what = "the arena";
    if (!guard_holds(m->scratch, m->scratch_bytes)) what = "a scratch";
    for (TnRef r = 0; r < m->g->n; r++)
        if (m->owned[r] && !guard_holds(m->data[r], tn_type_bytes(&m->g->nodes[r].type, run->step.max)))
            what = m->g->nodes[r].name;
    if (what && run->out) {
        *run->out = (TnDifference){.rows = run->step.sym[TN_T], .step = run->step.number - 1};
        snprintf(run->out->text, sizeof run->out->text, "level %s: code writes past the end of %s",
                 m->item->how.level, what);
    }
    return !what;
}

static void fill_inputs(Run *run, bool first) {
    for (TnRef r = 0; r < run->source->n; r++) {
        const TnNode *n = &run->source->nodes[r];
        if (n->op != TN_OP_input) continue;
        bool cache = tn_encs[n->type.enc].kind == TN_CACHE;
        if (cache != first) continue;
        void *data = tn_eval_data(run->want, r);
        tn_step_fill(&run->step, run->source, r, first, data);
        size_t bytes = tn_type_bytes(&n->type, cache ? run->step.max : run->step.sym);
        const char *name = tn_attr_str(n, TN_ATTR_name);
        for (uint32_t i = 0; i < run->n; i++) {
            TnRef p = tn_graph_find(run->machines[i].g, TN_OP_input, name);
            if (p == TN_NONE) continue;
            TN_CHECK(run->machines[i].g->nodes[p].type.enc == n->type.enc); /* one kv */
            memcpy(run->machines[i].data[p], data, bytes);
            if (run->beside) memcpy(tn_eval_data(run->beside, p), data, bytes);
        }
    }
}

/* Runs all launches of a step. Those between two barriers run forwards or backwards. */
static bool walk(Run *run, Machine *m, const int64_t *sym) {
    for (int i = 0; i <= TN_SYM_COUNT; i++) memset(m->space[i], 0xff, m->bytes[i]);
    for (uint32_t k = 0, end; k < m->g->n_kernels; k = end) {
        for (end = k + 1; end < m->g->n_kernels && !m->g->kernels[end - 1].barrier; end++) {
        }
        bool backwards = tn_step_pick(&run->step, 2);
        for (uint32_t j = k; j < end; j++)
            if (!launch(run, m, backwards ? k + end - 1 - j : j, sym)) return false;
    }
    return true;
}

/* Runs one step. Returns the index of the item that differs, or n. */
static uint32_t one_step(Run *run, int64_t rows) {
    tn_step_next(&run->step, rows);
    const int64_t *sym = run->step.sym;
    fill_inputs(run, false);
    tn_eval_run(run->want, sym);
    if (run->beside) {
        tn_eval_run(run->beside, sym);
        if (!results_equal(run, &run->machines[0], run->beside)) return 0;
    }
    uint64_t state = run->step.state;
    for (uint32_t i = 0; i < run->n; i++) {
        run->step.state = state; /* so that an item runs the same way alone as among others */
        if (!walk(run, &run->machines[i], sym) || !results_equal(run, &run->machines[i], NULL)) return i;
    }
    run->step.state = state;
    return run->n;
}

/* Runs all steps. *bad is the index of the item that differs, or n. */
static TernStatus all_steps(const TnCheck *c, const uint32_t *items, uint32_t n, const TnCheckSteps *steps,
                            bool beside, uint32_t *bad, TnDifference *out, TernError *err) {
    *bad = n;
    if (n == 0) return TERN_OK; /* a build without a code generator */
    Run run = {.c = c, .n = n, .source = c->items[items[0]].source, .out = out};
    int64_t most = 1;
    for (uint32_t i = 0; i < steps->n; i++) most = steps->rows[i] > most ? steps->rows[i] : most;
    tn_step_open(&run.step, steps->seed, most);
    run.machines = tn_xcalloc(n, sizeof *run.machines);
    TernStatus st = tn_eval_create(run.source, c->weights, run.step.max, &run.want, err);
    for (uint32_t i = 0; i < n && st == TERN_OK; i++)
        st = open_machine(&run.machines[i], c, items[i], &run.step, err);
    if (beside && st == TERN_OK)
        st = tn_eval_create(run.machines[0].g, c->weights, run.step.max, &run.beside, err);
    if (st == TERN_OK) fill_inputs(&run, true);
    for (uint32_t i = 0; st == TERN_OK && *bad == n && i < steps->n; i++)
        *bad = one_step(&run, steps->rows[i]);
    for (uint32_t i = 0; st == TERN_OK && *bad == n && i < n; i++)
        if (!memory_holds(&run, &run.machines[i])) *bad = i;
    for (uint32_t i = 0; i < n; i++) close_machine(&run.machines[i]);
    tn_eval_destroy(run.want);
    tn_eval_destroy(run.beside);
    free(run.machines);
    tn_step_close(&run.step);
    return st;
}

TernStatus tn_check_run(TnCheck *c, const uint32_t *items, uint32_t n_items, const TnCheckSteps *steps,
                        bool *same, TnDifference *out, TernError *err) {
    TnDifference quick = {0}, found = {0};
    uint32_t bad, again;
    TN_TRY(all_steps(c, items, n_items, steps, false, &bad, &quick, err));
    *same = bad == n_items;
    if (*same) return TERN_OK;
    TN_TRY(all_steps(c, &items[bad], 1, steps, true, &again, &found, err));
    if (again == 1) found = quick;
    found.item = bad;
    if (out) *out = found;
    return TERN_OK;
}
