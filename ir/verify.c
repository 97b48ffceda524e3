/* The verifier checks all rules for a graph of its stage, with arrays of facts about the values.
 * It continues after a fault and reports all faults. It stops only if a node refers to itself or to a later node, since no
 * other check makes sense for such a graph. */
#include "ir/internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ir/type_layout.h"
#include "runtime/base/escape.h"
#include "runtime/base/excerpt.h"

#define SHOWN_MAX 20

void tn_diag_add(TnDiag *d, const char *file, uint32_t line, uint32_t col, const char *fmt, ...) {
    if (d->n++ >= SHOWN_MAX) return;
    char text[sizeof(((TernError *)0)->text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    TernError clean; /* makes it printable */
    (void)tn_fail(&clean, TERN_ERR_INPUT, "%s", text);
    enum { FILE_MOST = 320 }; /* leave room in the line for the fault */
    if (!file) file = "graph";
    tn_put_shown(file, strlen(file), FILE_MOST, &d->text);
    if (line) tn_buf_printf(&d->text, ":%u", line);
    TnBuf excerpt = {0};
    if (d->source && line) col = (uint32_t)tn_excerpt_of(d->source, d->source_bytes, line, col, &excerpt);
    if (line && col) tn_buf_printf(&d->text, ":%u", col);
    tn_buf_printf(&d->text, ": %s\n", clean.text);
    tn_buf_put(&d->text, excerpt.data, excerpt.len);
    tn_buf_free(&excerpt);
}

void tn_diag_free(TnDiag *d) {
    tn_buf_free(&d->text);
    *d = (TnDiag){0};
}

typedef struct Verify {
    const TnGraph *g;
    TnDiag *diag;
    const char *file;   /* for messages; the graph's name if it was built */
    TnRef *root;        /* tn_alias_root of each value */
    uint32_t *last;     /* last kernel that reads each value; TN_NONE: none; n_kernels: an output */
    bool *leaves;       /* read outside its kernel */
    TnRef *replaced_by; /* for each cache, the kv_put that took it, or TN_NONE */
} Verify;

#define FAULT(v, r, ...)        tn_diag_add((v)->diag, (v)->file, (v)->g->nodes[r].line, 0, __VA_ARGS__)
#define KERNEL_FAULT(v, k, ...) tn_diag_add((v)->diag, (v)->file, (v)->g->kernels[k].line, 0, __VA_ARGS__)

static TnOpClass class_of(const TnGraph *g, TnRef r) {
    return tn_ops[g->nodes[r].op].class;
}
static bool is_cache(const TnGraph *g, TnRef r) {
    return tn_encs[g->nodes[r].type.enc].kind == TN_CACHE;
}

/* ---- nodes by themselves */

static bool refers_backwards(Verify *v) {
    bool ok = true;
    for (TnRef r = 0; r < v->g->n; r++)
        for (uint32_t i = 0; i < v->g->nodes[r].n_args; i++)
            if (v->g->nodes[r].args[i] >= r) {
                FAULT(v, r, "%%%s: operand %u is not above it", v->g->nodes[r].name, i + 1);
                ok = false;
            }
    return ok;
}

static void check_node(Verify *v, TnRef r) {
    const TnGraph *g = v->g;
    const TnNode *n = &g->nodes[r];
    char sigil = tn_sigil(g, r);
    if (!tn_name_ok(n->name, strlen(n->name)) || tn_map_get(&g->names, n->name, strlen(n->name)) != r)
        FAULT(v, r, "%c%s: not a name, or not its own", sigil, n->name);
    if (!strchr(tn_ops[n->op].stages, "MFP"[g->stage]))
        FAULT(v, r, "%c%s: %s has no place in stage %s", sigil, n->name, tn_ops[n->op].name,
              g->stage == TN_STAGE_MODEL   ? "model"
              : g->stage == TN_STAGE_FUSED ? "fused"
                                           : "planned");
    for (uint32_t i = 1; i < n->n_attrs; i++)
        if (n->attrs[i].key <= n->attrs[i - 1].key) {
            FAULT(v, r, "%c%s: attributes are not in order", sigil, n->name);
            return;
        }
    TnArena scratch = {0};
    TnType type;
    TernError err;
    if (tn_infer(g, n->op, &n->type, n->args, n->n_args, n->attrs, n->n_attrs, &scratch, &type, &err) !=
        TERN_OK)
        FAULT(v, r, "%c%s: %s", sigil, n->name, err.text);
    else if (n->op == TN_OP_attend_blocks && g->rows_hi > tn_attr_int(n, TN_ATTR_n))
        FAULT(v, r, "%%%s: n is %lld, but a step has up to %lld rows", n->name,
              (long long)tn_attr_int(n, TN_ATTR_n), (long long)g->rows_hi);
    tn_arena_free(&scratch);
}

/* ---- caches: a kv_put takes a cache, and nothing may use it afterwards */

static void check_caches(Verify *v) {
    const TnGraph *g = v->g;
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef c = g->nodes[r].args[i];
            if (!is_cache(g, c)) continue;
            TnRef put = v->replaced_by[c];
            if (put != TN_NONE)
                FAULT(v, r, "%%%s: reads the cache %%%s, which %%%s has replaced", g->nodes[r].name,
                      g->nodes[c].name, g->nodes[put].name);
            else if (tn_op_is(g->nodes[r].op, TN_TRAIT_STATE) && i == 0)
                v->replaced_by[c] = r;
        }
}

/* ---- kernels */

/* Checks that nodes and kernels refer to each other, in the order of launches. */
static bool check_ranges(Verify *v) {
    const TnGraph *g = v->g;
    bool ok = true;
    TnRef next = 0;
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        const TnKernel *kn = &g->kernels[k];
        if (kn->n == 0 || kn->first < next || kn->first >= g->n || kn->n > g->n - kn->first) {
            KERNEL_FAULT(v, k, "kernel @%s: empty, or not after the kernel before it", kn->name);
            return false;
        }
        for (TnRef r = next; r < kn->first + kn->n; r++) {
            uint32_t want = r < kn->first ? TN_NONE : k;
            if (g->nodes[r].kernel == want) continue;
            FAULT(v, r, "%c%s: kernel @%s is not a run of neighbouring values", tn_sigil(g, r),
                  g->nodes[r].name, kn->name);
            ok = false;
        }
        next = kn->first + kn->n;
    }
    for (TnRef r = next; r < g->n; r++)
        if (g->nodes[r].kernel != TN_NONE) {
            FAULT(v, r, "%c%s: is in no kernel's range, but names one", tn_sigil(g, r), g->nodes[r].name);
            ok = false;
        }
    return ok;
}

static void check_kernel_names(Verify *v) {
    TnMap names = {0};
    for (uint32_t k = 0; k < v->g->n_kernels; k++) {
        const char *s = v->g->kernels[k].name;
        if (!tn_name_ok(s, strlen(s)))
            KERNEL_FAULT(v, k, "kernel @%s: not a name", s);
        else if (tn_map_set(&names, s, strlen(s), k) != TN_MAP_NONE)
            KERNEL_FAULT(v, k, "kernel @%s: another kernel has this name", s);
    }
    tn_map_free(&names);
}

/* After the root there is its input, as a whole row, and no other value that was made before it. Ops that go column by column
 * cannot read it there. */
static void check_reads_back(Verify *v, uint32_t k, TnRef r, TnRef a) {
    const TnGraph *g = v->g;
    const TnKernel *kn = &g->kernels[k];
    if (a < kn->first || a >= kn->root) return;
    if (a == g->nodes[kn->root].args[0] && tn_encs[g->nodes[a].type.enc].kind != TN_DENSE) return;
    FAULT(v, r, "%%%s: reads %%%s after the root of kernel @%s, which only has it before", g->nodes[r].name,
          g->nodes[a].name, kn->name);
}

/* Before the root: ROW and ELEM ops that lead to it. After the root: ELEM ops. Without a root: ROW and ELEM ops. */
static void check_shape(Verify *v, uint32_t k) {
    const TnGraph *g = v->g;
    const TnKernel *kn = &g->kernels[k];
    TnRef end = kn->first + kn->n, root = TN_NONE;
    for (TnRef r = kn->first; r < end; r++) {
        const TnNode *n = &g->nodes[r];
        TnOpClass c = class_of(g, r);
        if (c == TN_SOURCE || c == TN_INPUT || c == TN_SINK)
            FAULT(v, r, "%c%s: %s has no place in kernel @%s", tn_sigil(g, r), n->name, tn_ops[n->op].name,
                  kn->name);
        else if (c == TN_ROOT && root != TN_NONE)
            FAULT(v, r, "%%%s: %s is a second root in kernel @%s", n->name, tn_ops[n->op].name, kn->name);
        else if (c == TN_ROW && root != TN_NONE)
            FAULT(v, r, "%%%s: %s after the root of kernel @%s is not elementwise", n->name,
                  tn_ops[n->op].name, kn->name);
        if (c == TN_ROOT && root == TN_NONE) root = r;
    }
    if (root != kn->root) {
        KERNEL_FAULT(v, k, "kernel @%s: its root is %s, not %s", kn->name,
                     root == TN_NONE ? "none" : g->nodes[root].name,
                     kn->root == TN_NONE || kn->root >= g->n ? "none" : g->nodes[kn->root].name);
        return;
    }
    if (root == TN_NONE) return;
    bool *leads = tn_xcalloc(kn->n, sizeof *leads);
    leads[root - kn->first] = true;
    for (TnRef r = root + 1; r-- > kn->first;)
        if (!leads[r - kn->first])
            FAULT(v, r, "%c%s: stands before the root of kernel @%s, but does not lead to it", tn_sigil(g, r),
                  g->nodes[r].name, kn->name);
        else
            for (uint32_t i = 0; i < g->nodes[r].n_args; i++)
                if (g->nodes[r].args[i] >= kn->first) leads[g->nodes[r].args[i] - kn->first] = true;
    free(leads);
    for (TnRef r = root + 1; r < end; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) check_reads_back(v, k, r, g->nodes[r].args[i]);
}

/* Many threads work on the rows of a kernel in any order, so a kernel must not read a cache that it writes. */
static void check_hazards(Verify *v, uint32_t k, TnRef *written_in) {
    const TnGraph *g = v->g;
    const TnKernel *kn = &g->kernels[k];
    for (TnRef r = kn->first; r < kn->first + kn->n; r++)
        if (tn_op_is(g->nodes[r].op, TN_TRAIT_STATE)) written_in[v->root[r]] = k;
    for (TnRef r = kn->first; r < kn->first + kn->n; r++)
        for (uint32_t i = 0; tn_op_is(g->nodes[r].op, TN_TRAIT_ATTENDS) && i < g->nodes[r].n_args; i++) {
            TnRef a = g->nodes[r].args[i];
            if (is_cache(g, a) && written_in[v->root[a]] == k)
                FAULT(v, r, "%%%s: reads the cache %%%s, which kernel @%s writes", g->nodes[r].name,
                      g->nodes[v->root[a]].name, kn->name);
        }
}

static void check_operands(Verify *v, uint32_t k, uint32_t *seen_by) {
    const TnGraph *g = v->g;
    const TnKernel *kn = &g->kernels[k];
    uint32_t n = 0;
    for (TnRef r = kn->first; r < kn->first + kn->n; r++) {
        n += v->leaves[r] && !tn_op_is(g->nodes[r].op, TN_TRAIT_STATE);
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef a = v->root[g->nodes[r].args[i]];
            if (g->nodes[a].kernel == k || seen_by[a] == k) continue;
            seen_by[a] = k;
            n++;
        }
    }
    if (n > TN_OPERANDS_MAX)
        KERNEL_FAULT(v, k, "kernel @%s: reads and writes %u values, at most %d", kn->name, n,
                     TN_OPERANDS_MAX);
}

static void check_kernels(Verify *v) {
    const TnGraph *g = v->g;
    for (TnRef r = 0; r < g->n; r++) {
        if (g->nodes[r].kernel == TN_NONE && tn_op_computes(g->nodes[r].op))
            FAULT(v, r, "%%%s: %s is in no kernel", g->nodes[r].name, tn_ops[g->nodes[r].op].name);
    }
    TnRef *scratch = malloc(((size_t)g->n + 1) * 2 * sizeof *scratch);
    if (!scratch) tn_out_of_memory(((size_t)g->n + 1) * 2 * sizeof *scratch);
    for (size_t i = 0; i < 2 * ((size_t)g->n + 1); i++) scratch[i] = TN_NONE;
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        check_shape(v, k);
        check_hazards(v, k, scratch);
        check_operands(v, k, scratch + g->n + 1);
    }
    free(scratch);
}

/* ---- the plan */

/* A fact of kernels over columns. */
static void not_by_rows(Verify *v, uint32_t k, const char *name) {
    const TnKernel *kn = &v->g->kernels[k];
    if (kn->axis == TN_AXIS_ROWS)
        KERNEL_FAULT(v, k, "kernel @%s: got %s with axis=rows, expected it with axis=cols alone", kn->name,
                     name);
}

static void check_reading(Verify *v, uint32_t k) {
    const TnKernel *kn = &v->g->kernels[k];
    for (TnStream s = 0; s < TN_STREAM_COUNT; s++)
        for (TnInto i = 0; i < TN_INTO_COUNT; i++) {
            int64_t ahead = kn->prefetch.ahead[s][i];
            const char *name = tn_attrs[tn_prefetch_key(s, i)].name;
            if (!tn_prefetch_ok(s, ahead))
                KERNEL_FAULT(v, k, "kernel @%s: %s=%lld, %s", kn->name, name, (long long)ahead,
                             tn_prefetch_expected(s).s);
            if (ahead) not_by_rows(v, k, name);
        }
    if (kn->panels) not_by_rows(v, k, "panels");
}

static void check_facts(Verify *v) {
    const TnGraph *g = v->g;
    if (!g->level) tn_diag_add(v->diag, v->file, 0, 0, "graph @%s is planned, but has no level", g->name);
    if (!g->kv) tn_diag_add(v->diag, v->file, 0, 0, "graph @%s is planned, but has no kv", g->name);
    if (g->rows_lo < 1 || g->rows_hi < g->rows_lo)
        tn_diag_add(v->diag, v->file, 0, 0, "graph @%s is planned, but has no rows", g->name);
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        const TnKernel *kn = &g->kernels[k];
        if (!kn->target || !tn_word_ok(kn->target, strlen(kn->target)))
            KERNEL_FAULT(v, k, "kernel @%s has no target", kn->name);
        if (kn->axis != TN_AXIS_ROWS && kn->axis != TN_AXIS_COLS)
            KERNEL_FAULT(v, k, "kernel @%s has no axis", kn->name);
        if (kn->grain < 1 || kn->units < 1)
            KERNEL_FAULT(v, k, "kernel @%s has no grain or no units", kn->name);
        check_reading(v, k);
    }
    for (TnRef r = 0; r < g->n; r++) {
        if (g->nodes[r].type.enc == TN_ENC_kc || g->nodes[r].type.enc == TN_ENC_vc)
            FAULT(v, r, "%%%s: its cache type is not chosen yet", g->nodes[r].name);
        if (v->leaves[r] && !is_cache(g, r) && !tn_node_attr(&g->nodes[r], TN_ATTR_off))
            FAULT(v, r, "%%%s: leaves its kernel, but has no off", g->nodes[r].name);
    }
}

/* A value in the arena: bytes [lo, hi) of its symbol's region, from kernel `from` to kernel `to`. */
typedef struct Place {
    TnRef ref;
    int region;
    uint64_t lo, hi;
    uint32_t from, to;
} Place;

static int by_place(const void *a, const void *b) {
    const Place *x = a, *y = b;
    if (x->region != y->region) return x->region < y->region ? -1 : 1;
    if (x->lo != y->lo) return x->lo < y->lo ? -1 : 1;
    return x->ref < y->ref ? -1 : x->ref > y->ref;
}

/* A binary tree over kernels that finds, of the places alive in an interval, the one that reaches farthest up. For each
 * tree node, `all` is that of the places alive in the whole node, `any` that of the places alive in part of it. */
typedef struct Reach {
    uint32_t leaves; /* a power of two */
    const Place **all, **any;
} Reach;

static void raise(const Place **at, const Place *p) {
    if (!*at || p->hi > (*at)->hi) *at = p;
}

static void reach_add(Reach *t, const Place *p) {
    uint32_t lo = p->from + t->leaves, hi = p->to + t->leaves + 1;
    for (uint32_t l = lo, h = hi; l < h; l >>= 1, h >>= 1) {
        if (l & 1) raise(&t->all[l++], p);
        if (h & 1) raise(&t->all[--h], p);
    }
    for (uint32_t l = lo, h = hi - 1; l; l >>= 1, h >>= 1) {
        raise(&t->any[l], p);
        raise(&t->any[h], p);
    }
    /* nodes between the two paths are wholly inside, so `all` above covers them or an ancestor */
}

static const Place *reach_find(const Reach *t, const Place *p) {
    const Place *best = NULL;
    uint32_t lo = p->from + t->leaves, hi = p->to + t->leaves + 1;
    for (uint32_t l = lo, h = hi; l < h; l >>= 1, h >>= 1) {
        if (l & 1) {
            if (t->any[l]) raise(&best, t->any[l]);
            if (t->all[l]) raise(&best, t->all[l]);
            l++;
        }
        if (h & 1) {
            h--;
            if (t->any[h]) raise(&best, t->any[h]);
            if (t->all[h]) raise(&best, t->all[h]);
        }
    }
    for (uint32_t l = lo, h = hi - 1; l; l >>= 1, h >>= 1) {
        if (t->all[l]) raise(&best, t->all[l]);
        if (t->all[h]) raise(&best, t->all[h]);
    }
    return best;
}

static void check_places(Verify *v, const Place *places, size_t n) {
    const TnGraph *g = v->g;
    Reach t = {.leaves = 1};
    while (t.leaves < g->n_kernels + 1) t.leaves *= 2;
    t.all = tn_xcalloc((size_t)t.leaves * 2, sizeof *t.all);
    t.any = tn_xcalloc((size_t)t.leaves * 2, sizeof *t.any);
    for (size_t i = 0; i < n; i++) {
        const Place *p = &places[i];
        if (i && p[-1].region != p->region) {
            memset(t.all, 0, (size_t)t.leaves * 2 * sizeof *t.all);
            memset(t.any, 0, (size_t)t.leaves * 2 * sizeof *t.any);
        }
        /* Sorted by lo: a place that lives at the same time and reaches above lo overlaps. */
        const Place *below = reach_find(&t, p);
        if (below && below->hi > p->lo)
            FAULT(v, p->ref, "%%%s: bytes %llu to %llu overlap %%%s at %llu to %llu, which is alive too",
                  g->nodes[p->ref].name, (unsigned long long)p->lo, (unsigned long long)p->hi,
                  g->nodes[below->ref].name, (unsigned long long)below->lo, (unsigned long long)below->hi);
        reach_add(&t, p);
    }
    free(t.all);
    free(t.any);
}

/* Every symbol has a region of its own, so values overlap only with values of the same leading symbol. */
static void check_arena(Verify *v) {
    static const int64_t no_sym[TN_SYM_COUNT] = {0};
    const TnGraph *g = v->g;
    Place *places = tn_xcalloc((size_t)g->n + 1, sizeof *places);
    size_t n = 0;
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *node = &g->nodes[r];
        const TnAttr *off = tn_node_attr(node, TN_ATTR_off);
        if (!off || off->i < 0) continue;
        const TnType *t = &node->type;
        if (is_cache(g, r) || (t->rank == 2 && tn_dim_is_sym(t->dim[1]))) {
            FAULT(v, r, "%%%s: %s lies outside of the arena, so it has no off", node->name,
                  tn_encs[t->enc].name);
            continue;
        }
        Place *p = &places[n++];
        p->ref = r;
        p->region = tn_dim_is_sym(t->dim[0]) ? (int)tn_dim_sym(t->dim[0]) : TN_SYM_COUNT;
        p->lo = (uint64_t)off->i;
        p->hi = p->lo + (p->region == TN_SYM_COUNT ? (tn_type_bytes(t, no_sym) + 63) / 64 * 64
                                                   : tn_row_bytes_aligned(t));
        p->from = node->kernel == TN_NONE ? 0 : node->kernel;
        p->to = v->last[r] == TN_NONE ? p->from : v->last[r];
    }
    qsort(places, n, sizeof *places, by_place);
    check_places(v, places, n);
    free(places);
}

/* ---- the whole */

static void gather_facts(Verify *v) {
    const TnGraph *g = v->g;
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        v->root[r] = tn_op_is(n->op, TN_TRAIT_STATE) && n->n_args ? v->root[n->args[0]] : r;
        v->last[r] = v->replaced_by[r] = TN_NONE;
        uint32_t reader = n->kernel != TN_NONE ? n->kernel : g->n_kernels;
        for (uint32_t i = 0; i < n->n_args; i++) {
            TnRef a = n->args[i];
            if (v->last[a] == TN_NONE || v->last[a] < reader) v->last[a] = reader;
            if (g->nodes[a].kernel != TN_NONE && g->nodes[a].kernel != n->kernel) v->leaves[a] = true;
        }
    }
}

/* The runtime finds inputs and outputs by name. */
static void check_names_of(Verify *v, TnOp op) {
    TnMap names = {0};
    for (TnRef r = 0; r < v->g->n; r++) {
        const TnAttr *a = v->g->nodes[r].op == op ? tn_node_attr(&v->g->nodes[r], TN_ATTR_name) : NULL;
        if (a && tn_map_set(&names, a->s, strlen(a->s), r) != TN_MAP_NONE)
            FAULT(v, r, "%%%s: another %s has the name \"%s\"", v->g->nodes[r].name, tn_ops[op].name, a->s);
    }
    tn_map_free(&names);
}

static void verify(Verify *v) {
    const TnGraph *g = v->g;
    uint32_t before = v->diag->n;
    if (!refers_backwards(v)) return;
    for (TnRef r = 0; r < g->n; r++) check_node(v, r);
    check_names_of(v, TN_OP_input);
    check_names_of(v, TN_OP_output);
    if (!check_ranges(v)) return;
    gather_facts(v);
    check_caches(v);
    check_kernel_names(v);
    if (g->stage == TN_STAGE_MODEL) {
        for (uint32_t k = 0; k < g->n_kernels; k++)
            KERNEL_FAULT(v, k, "kernel @%s: stage model has no kernels", g->kernels[k].name);
        return;
    }
    check_kernels(v);
    if (g->stage == TN_STAGE_PLANNED) check_facts(v);
    /* The sizes of places follow from the types, so the types must be right. */
    if (g->stage == TN_STAGE_PLANNED && v->diag->n == before) check_arena(v);
}

TernStatus tn_verify(const TnGraph *g, TnDiag *diag) {
    size_t n = (size_t)g->n + 1;
    char name[TN_NAME_MAX + 2];
    snprintf(name, sizeof name, "@%s", g->name);
    Verify v = {.g = g, .diag = diag, .file = g->file ? g->file : name};
    v.root = tn_xcalloc(n, sizeof *v.root);
    v.last = tn_xcalloc(n, sizeof *v.last);
    v.leaves = tn_xcalloc(n, sizeof *v.leaves);
    v.replaced_by = tn_xcalloc(n, sizeof *v.replaced_by);
    uint32_t before = diag->n;
    verify(&v);
    free(v.root);
    free(v.last);
    free(v.leaves);
    free(v.replaced_by);
    return diag->n == before ? TERN_OK : TERN_ERR_INPUT;
}
