/* fuse: nodes become kernels, by grouping alone.
 *
 * Workers run a kernel without waiting for each other, and its inner values need no memory. A kernel has one
 * root (an op with a loop of its own) or none, row ops on the root's input before it, and elementwise ops on its
 * output after it. This pass adds no new op and changes none. These are all its rules:
 *
 * 1. embed, attend and attend_blocks stand alone, and so does rope_angle, which every layer reads.
 * 2. A tmatmul, matmul or estimate takes the elementwise ops after it, if an operand by which they join comes from
 *    inside and every other operand exists before the kernel starts. It does not matter whether the other operand of a sum
 *    is a residual or the result of another kernel; the kernel that comes first in the text takes the op.
 * 3. Slices after a (t)matmul cut its columns into parts that run independently (passes.h). All of them join or none: they
 *    join only if the value that they cut has no other reader. Parts of one width that an op joins run together. There are
 *    at most 8 parts of at most 4 slices each.
 * 4. Up to four ops before a (t)matmul (gather, attend_join, rmsnorm, quant) join it too, if the target lets every tile (a
 *    worker's run of units) recompute them (TnTargetDesc.repeats). Usually that is in the class of one row: there it costs
 *    less than a barrier and a trip through memory, but with more rows they would be recomputed rows times units. Kernels
 *    that share such a value get a copy of the op each. A value that any other op reads too, such as a sum after the
 *    product, is made once, in memory.
 * 5. The remaining ops form kernels without a root, with one row a unit. An op joins the kernel that makes its
 *    operand if that kernel has no root and the same rows, and can hold the operand (TnTargetDesc.holds). gather and attend_join can only begin one, since they read any
 *    row.
 * 6. No kernel may wait for itself: an op joins only if none of its other operands depends on the kernel. A
 *    kv_put counts as depending on all readers of the old cache. Two kv_puts of one cache are never in one
 *    kernel.
 * 7. A kernel reads and writes at most 64 values (ir.h). A cautious count of operands ensures this.
 *
 * Traits (ir/traits.def) in the rows of ir/ops.def tell which ops these are, by rule: 1 ALONE, 2 PRODUCT, JOINS1 and JOINS2,
 * 3 CUT, 4 REPEATS, 5 ANY_ROW, 6 STATE.
 *
 * Needs: a verified graph of stage model; merge before it, so that q|k|v and gate|up share a kernel; the batch class.
 * Breaks: copied ops have new numbers as names; the order of the text is now the order of launches.
 * Stops: for each node it is decided once whether it joins a kernel with a root, and once whether it joins one
 * without. */
#include "passes/internal.h"
#include <stdlib.h>
#include <string.h>

#define COST_MAX                                                                                             \
    64 /* of operands and results of all nodes: no kernel below it reads and writes more values */
#define CHAIN_MAX  4
#define CHAIN_COST 14 /* the costliest chain: three rmsnorm with places, one quant */

typedef struct Group {
    TnRef root;    /* or TN_NONE */
    TnRef members; /* list by Fuse.next, newest first */
    uint32_t cost;
    uint32_t lo, hi; /* least and greatest place of a member */
    bool closed;     /* rule 5 must not add to it */
    TnDim rows;
    uint32_t seen; /* stamp of the search */
    TnRef chain[CHAIN_MAX];
    uint32_t n_chain;
} Group;

typedef struct Fuse {
    TnGraph *g;
    const TnPassCtx *ctx;
    TnReaders readers; /* before any copy */
    uint32_t n_old;
    uint32_t *group; /* of each node, or TN_NONE */
    uint32_t *place; /* of each node: its place in the text; a copy has that of its original */
    TnRef *next;     /* member lists */
    uint32_t *part;  /* of each node after slices: a slice that stands for its part; see find_part */
    uint32_t *bases; /* of a part, at its slice */
    bool *bridged;   /* by place: some group has a member before it and another at or after it */
    uint32_t *seen;  /* stamps of the search */
    TnRef *stack;
    uint32_t stamp;
    Group *groups;
    size_t n, cap;
} Fuse;

static TnDim rows_of(const TnGraph *g, TnRef r) {
    const TnNode *n = &g->nodes[r];
    return tn_op_is(n->op, TN_TRAIT_STATE) ? g->nodes[n->args[1]].type.dim[0] : n->type.dim[0];
}

static uint32_t group_new(Fuse *f, TnRef root, TnDim rows) {
    Group made = {.root = root, .members = TN_NONE, .lo = TN_NONE, .rows = rows};
    TN_PUSH(f->groups, f->n, f->cap, made);
    return (uint32_t)f->n - 1;
}

static void group_take(Fuse *f, uint32_t group, TnRef r) {
    Group *s = &f->groups[group];
    f->group[r] = group;
    f->next[r] = s->members;
    s->members = r;
    s->cost += f->g->nodes[r].n_args + 1;
    uint32_t at = f->place[r];
    if (s->lo == TN_NONE) s->lo = s->hi = at;
    for (; s->lo > at; s->lo--) f->bridged[s->lo] = true;
    for (; s->hi < at; s->hi++) f->bridged[s->hi + 1] = true;
}

/* ---- which nodes depend on which */

/* The i-th value that must exist before r: its operands, and if r changes a cache, also the readers of the old cache. */
static TnRef need(const Fuse *f, TnRef r, uint32_t i) {
    const TnNode *n = &f->g->nodes[r];
    if (i < n->n_args) return n->args[i];
    if (!tn_op_is(n->op, TN_TRAIT_STATE)) return TN_NONE;
    uint32_t at = f->readers.at[n->args[0]] + (i - n->n_args);
    if (at >= f->readers.at[n->args[0] + 1]) return TN_NONE;
    TnRef reader = f->readers.list[at];
    return reader == r ? n->args[0] : reader;
}

static bool push_unseen(Fuse *f, uint32_t *depth, TnRef r, uint32_t oldest) {
    uint32_t gr = f->group[r];
    if (gr != TN_NONE) {
        Group *s = &f->groups[gr];
        if (s->seen == f->stamp || s->hi < oldest) return false;
        s->seen = f->stamp;
        for (TnRef m = s->members; m != TN_NONE; m = f->next[m]) f->stack[(*depth)++] = m;
        return true;
    }
    if (f->seen[r] == f->stamp || f->place[r] < oldest) return false;
    f->seen[r] = f->stamp;
    f->stack[(*depth)++] = r;
    return true;
}

/* Whether r, which is outside the group, waits for the group. A kernel runs as a whole: if one member waits for
 * something, all members do. So a value may wait for nodes that come after it in the text, but not across a place that no
 * group bridges, which keeps the search short. */
static bool waits_for(Fuse *f, TnRef r, uint32_t group) {
    uint32_t oldest = f->groups[group].lo, depth = 0;
    while (f->bridged[oldest]) oldest--;
    f->stamp++;
    push_unseen(f, &depth, r, oldest);
    while (depth) {
        TnRef at = f->stack[--depth], d;
        if (f->group[at] == group) return true;
        for (uint32_t i = 0; (d = need(f, at, i)) != TN_NONE; i++) push_unseen(f, &depth, d, oldest);
    }
    return false;
}

/* Whether the group can take r without waiting for itself. */
static bool acyclic(Fuse *f, TnRef r, uint32_t group) {
    TnRef d;
    for (uint32_t i = 0; (d = need(f, r, i)) != TN_NONE; i++)
        if (f->group[d] != group && tn_op_computes(f->g->nodes[d].op) && waits_for(f, d, group)) return false;
    return true;
}

/* ---- which operands may come from inside */

static bool inside(const Fuse *f, uint32_t group, TnRef r) {
    return f->group[r] == group;
}

/* Whether operand i may come from inside: it is read row by row, and in kernels with a root also column by column. An op that
 * changes a cache joins only by its rows. The cache is from outside, so a kernel changes it at most once. */
static bool joins_by(TnOp op, uint32_t i) {
    if (tn_ops[op].class == TN_MAP) return true;
    return i < 2 && tn_op_is(op, i ? TN_TRAIT_JOINS2 : TN_TRAIT_JOINS1);
}

/* Whether some operand comes from inside, and all such operands may. */
static bool reads_well(const Fuse *f, TnRef r, uint32_t group) {
    const TnNode *n = &f->g->nodes[r];
    bool some = false;
    for (uint32_t i = 0; i < n->n_args; i++) {
        if (!inside(f, group, n->args[i])) continue;
        if (!joins_by(n->op, i)) return false;
        some = true;
    }
    return some;
}

/* ---- rules 2 and 3: after a root */

static uint32_t find_part(const Fuse *f, uint32_t slice) {
    while (slice != TN_NONE && f->part[slice] != slice) slice = f->part[slice];
    return slice;
}

/* Merges the parts of r's inside operands into one. Returns false if r cannot join. */
static bool join_parts(Fuse *f, TnRef r, uint32_t group) {
    const TnNode *n = &f->g->nodes[r];
    uint32_t part = TN_NONE;
    for (uint32_t i = 0; i < n->n_args; i++) {
        if (!inside(f, group, n->args[i])) continue;
        uint32_t other = find_part(f, f->part[n->args[i]]);
        if (part == TN_NONE || part == other) {
            part = other;
            continue;
        }
        if (f->bases[part] + f->bases[other] > TN_COUNT(((TnPart *)0)->base)) return false;
        f->bases[part] += f->bases[other];
        f->part[other] = part;
    }
    f->part[r] = part;
    return true;
}

/* Takes the readers of r, a root's whole result, if all of them are slices. */
static void take_slices(Fuse *f, TnRef r, uint32_t group) {
    const TnReaders *u = &f->readers;
    uint32_t n = u->at[r + 1] - u->at[r];
    if (n == 0 || n > TN_PARTS_MAX || f->groups[group].cost + 2 * n + CHAIN_COST > COST_MAX) return;
    TnRef root = f->groups[group].root;
    if (r != root && u->at[root + 1] - u->at[root] != 1) return;
    for (uint32_t i = u->at[r]; i < u->at[r + 1]; i++)
        if (f->g->nodes[u->list[i]].op != TN_OP_slice || f->group[u->list[i]] != TN_NONE) return;
    for (uint32_t i = u->at[r]; i < u->at[r + 1]; i++) {
        TnRef s = u->list[i];
        group_take(f, group, s);
        f->part[s] = s;
        f->bases[s] = 1;
    }
}

static bool joins_root(Fuse *f, TnRef r, uint32_t group) {
    const TnNode *n = &f->g->nodes[r];
    if (f->group[r] != TN_NONE || !tn_op_is_elem(n->op) || n->op == TN_OP_slice) return false;
    if (f->groups[group].cost + n->n_args + 1 + CHAIN_COST > COST_MAX) return false;
    return reads_well(f, r, group) && acyclic(f, r, group) && join_parts(f, r, group);
}

/* Looks at the readers of members in the order of the text, so that all inside operands of a node are decided before
 * the node. */
static void grow(Fuse *f, uint32_t group) {
    const TnReaders *u = &f->readers;
    TnRef *queue = NULL; /* falling */
    size_t n = 0, cap = 0;
    TnRef root = f->groups[group].root, at = root;
    bool first = true;
    while (first || n) {
        if (!first) {
            at = queue[--n];
            while (n && queue[n - 1] == at) n--;
            if (f->group[at] != group) {
                if (!joins_root(f, at, group)) continue;
                group_take(f, group, at);
            }
        }
        first = false;
        const TnNode *node = &f->g->nodes[at];
        if (tn_op_is(node->op, TN_TRAIT_CUT) && (at == root || node->args[0] == root))
            take_slices(f, at, group);
        for (uint32_t i = u->at[at + 1]; i-- > u->at[at];) {
            TnRef r = u->list[i];
            TN_PUSH(queue, n, cap, r);
            for (size_t j = n - 1; j && queue[j - 1] < r; j--) {
                queue[j] = queue[j - 1];
                queue[j - 1] = r;
            }
        }
    }
    free(queue);
}

static void form_roots(Fuse *f) {
    for (TnRef r = 0; r < f->n_old; r++) {
        const TnNode *n = &f->g->nodes[r];
        bool root = tn_class_of(f->g, r) == TN_ROOT;
        if (!root && !tn_op_is(n->op, TN_TRAIT_ALONE)) continue;
        uint32_t s = group_new(f, root ? r : TN_NONE, rows_of(f->g, r));
        group_take(f, s, r);
        f->groups[s].closed = true;
        if (tn_is_matmul(n)) grow(f, s);
    }
}

/* ---- rule 4: before a root */

/* Whether the member `by` of a kernel finds r there. Its prologue leaves the root's input alone, and that as a whole row, so no
 * op that goes column by column can read it: only the root, and ops that read codes with their scales. */
static bool finds(const Fuse *f, const Group *s, TnRef by, TnRef r) {
    return s->n_chain && s->chain[0] == r &&
           (by == s->root || tn_encs[f->g->nodes[r].type.enc].kind != TN_DENSE);
}

/* The place of a node before roots: in no chain; in a chain; at the end of one, so that its operand stays outside. */
enum { UNCHAINED, CHAINED, CHAIN_END };

/* Whether all readers of r are in kernels that hold it: members that find it, or the next link of a chain. */
static bool absorbed(const Fuse *f, TnRef r, const uint8_t *link, const bool *yes) {
    const TnReaders *u = &f->readers;
    if (link[r] == UNCHAINED) return false;
    for (uint32_t i = u->at[r]; i < u->at[r + 1]; i++) {
        TnRef by = u->list[i];
        uint32_t s = f->group[by];
        if (s != TN_NONE ? !finds(f, &f->groups[s], by, r)
                         : !(yes[by] && link[by] == CHAINED && f->g->nodes[by].args[0] == r))
            return false;
    }
    return true;
}

static void find_chain(Fuse *f, Group *s) {
    TnRef r = f->g->nodes[s->root].args[0];
    while (s->n_chain < CHAIN_MAX) {
        TnOp op = f->g->nodes[r].op;
        if (!tn_op_is(op, TN_TRAIT_REPEATS) || f->group[r] != TN_NONE || !tn_repeats(f->ctx, f->g, r)) return;
        s->chain[s->n_chain++] = r;
        if (tn_op_is(op, TN_TRAIT_ANY_ROW)) return;
        r = f->g->nodes[r].args[0];
    }
}

static TnRef copy_node(Fuse *f, TnRef r) {
    const TnNode *n = &f->g->nodes[r];
    TnRef c = tn_node_add(f->g, n->op, NULL, NULL, n->args, n->n_args, n->attrs, n->n_attrs);
    f->g->nodes[c].line = f->g->nodes[r].line;
    f->place[c] = f->place[r];
    f->group[c] = f->part[c] = TN_NONE;
    return c;
}

/* reads[r]: the operand of r before any kernel got copies of its links. */
static void take_chain(Fuse *f, uint32_t group, const TnRef *reads) {
    for (uint32_t i = 0; i < f->groups[group].n_chain; i++) {
        TnRef r = f->groups[group].chain[i], mine = r;
        if (f->group[r] !=
            TN_NONE) { /* another kernel has the original, which may now read a copy in that kernel */
            mine = copy_node(f, r);
            f->g->nodes[mine].args[0] = reads[r];
            for (TnRef m = f->groups[group].members; m != TN_NONE; m = f->next[m])
                for (uint32_t j = 0; j < f->g->nodes[m].n_args; j++)
                    if (f->g->nodes[m].args[j] == r) f->g->nodes[m].args[j] = mine;
        }
        group_take(f, group, mine);
    }
}

static void form_prologues(Fuse *f) {
    uint32_t roots = (uint32_t)f->n;
    for (uint32_t s = 0; s < roots; s++)
        if (f->groups[s].root != TN_NONE && tn_is_matmul(&f->g->nodes[f->groups[s].root]))
            find_chain(f, &f->groups[s]);
    bool *yes = tn_xcalloc((size_t)f->n_old + 1, sizeof *yes);
    uint8_t *link = tn_xcalloc((size_t)f->n_old + 1, sizeof *link);
    for (uint32_t s = 0; s < roots; s++) {
        const Group *gr = &f->groups[s];
        for (uint32_t i = 0; i < gr->n_chain; i++) {
            TnRef r = gr->chain[i];
            bool end = i == CHAIN_MAX - 1 || tn_op_is(f->g->nodes[r].op, TN_TRAIT_ANY_ROW);
            if (link[r] != CHAIN_END) link[r] = end ? CHAIN_END : CHAINED;
        }
    }
    for (TnRef r = f->n_old; r-- > 0;) yes[r] = absorbed(f, r, link, yes);
    for (uint32_t s = 0; s < roots; s++) {
        Group *gr = &f->groups[s];
        uint32_t n = 0;
        while (n < gr->n_chain && yes[gr->chain[n]]) n++;
        gr->n_chain = n;
    }
    TnRef *reads = tn_xcalloc((size_t)f->n_old + 1, sizeof *reads);
    for (TnRef r = 0; r < f->n_old; r++) reads[r] = f->g->nodes[r].n_args ? f->g->nodes[r].args[0] : TN_NONE;
    for (uint32_t s = 0; s < roots; s++) take_chain(f, s, reads);
    free(reads);
    free(yes);
    free(link);
}

/* ---- rule 5: without a root */

static uint32_t home(Fuse *f, TnRef r) {
    const TnNode *n = &f->g->nodes[r];
    for (uint32_t i = n->n_args; i-- > 0;) {
        uint32_t s = f->group[n->args[i]];
        if (s == TN_NONE || f->groups[s].closed || f->groups[s].rows != rows_of(f->g, r)) continue;
        if (f->groups[s].cost + n->n_args + 1 > COST_MAX || !tn_holds(f->ctx, f->g, n->args[i])) continue;
        if (reads_well(f, r, s) && acyclic(f, r, s)) return s;
    }
    return TN_NONE;
}

static void form_rootless(Fuse *f) {
    for (TnRef r = 0; r < f->n_old; r++) {
        if (!tn_op_computes(f->g->nodes[r].op) || f->group[r] != TN_NONE) continue;
        uint32_t s = home(f, r);
        if (s == TN_NONE) s = group_new(f, TN_NONE, rows_of(f->g, r));
        group_take(f, s, r);
    }
}

/* ---- the new order: sources and inputs; kernels in the order of their root or first op in the text; outputs */

typedef struct Frame {
    uint32_t group;
    TnRef member;
    uint32_t need;
} Frame;

typedef struct Order {
    TnRef *refs;
    uint32_t n;
    uint32_t *kernels; /* groups in the order of launches */
    uint32_t n_kernels;
    bool *done; /* by group */
    Frame *stack;
} Order;

static void emit_group(Fuse *f, Order *o, uint32_t group) {
    uint32_t from = o->n;
    for (TnRef m = f->groups[group].members; m != TN_NONE; m = f->next[m]) {
        o->refs[o->n++] = m;
        for (uint32_t j = o->n - 1; j > from && f->place[o->refs[j - 1]] > f->place[m]; j--) {
            o->refs[j] = o->refs[j - 1];
            o->refs[j - 1] = m;
        }
    }
    o->kernels[o->n_kernels++] = group;
}

/* Emits everything that the group waits for, then the group. */
static void order_group(Fuse *f, Order *o, uint32_t group) {
    if (o->done[group]) return;
    uint32_t depth = 0;
    o->done[group] = true;
    o->stack[depth++] = (Frame){group, f->groups[group].members, 0};
    while (depth) {
        Frame *top = &o->stack[depth - 1];
        if (top->member == TN_NONE) {
            emit_group(f, o, top->group);
            depth--;
            continue;
        }
        TnRef d = need(f, top->member, top->need++);
        if (d == TN_NONE) {
            top->member = f->next[top->member];
            top->need = 0;
            continue;
        }
        uint32_t s = f->group[d];
        if (s == TN_NONE || o->done[s]) continue;
        o->done[s] = true;
        o->stack[depth++] = (Frame){s, f->groups[s].members, 0};
    }
}

/* tmatmul7, rmsnorm_quant6: the ops of the kernel, and the number of its launch. */
static const char *kernel_name(Fuse *f, uint32_t group, uint32_t first, uint32_t n, uint32_t number) {
    const TnNode *nodes = f->g->nodes;
    TnRef root = f->groups[group].root;
    if (root != TN_NONE) {
        while (!(tn_class_of(f->g, first) == TN_ROOT)) first++;
        return tn_sprintf(&f->g->arena, "%s%u", tn_ops[nodes[first].op].name, number);
    }
    TnBuf b = {0};
    for (uint32_t i = 0; i < n && i < 3; i++)
        tn_buf_printf(&b, "%s%s", i ? "_" : "", tn_ops[nodes[first + i].op].name);
    const char *name = tn_sprintf(&f->g->arena, "%s%u", b.data, number);
    tn_buf_free(&b);
    return name;
}

static void make_kernels(Fuse *f) {
    TnGraph *g = f->g;
    Order o = {0};
    o.refs = tn_xcalloc((size_t)g->n + 1, sizeof *o.refs);
    o.kernels = tn_xcalloc(f->n + 1, sizeof *o.kernels);
    o.done = tn_xcalloc(f->n + 1, sizeof *o.done);
    o.stack = tn_xcalloc(f->n + 1, sizeof *o.stack);
    for (TnRef r = 0; r < f->n_old; r++) {
        TnOpClass c = tn_class_of(g, r);
        if (c == TN_SOURCE || c == TN_INPUT) o.refs[o.n++] = r;
    }
    uint32_t first = o.n;
    for (TnRef r = 0; r < f->n_old; r++) {
        uint32_t s = f->group[r];
        if (s != TN_NONE && (f->groups[s].root == TN_NONE || f->groups[s].root == r)) order_group(f, &o, s);
    }
    for (TnRef r = 0; r < f->n_old; r++)
        if (tn_class_of(g, r) == TN_SINK) o.refs[o.n++] = r;
    uint32_t *sizes = tn_xcalloc(f->n + 1, sizeof *sizes);
    for (TnRef r = 0; r < g->n; r++)
        if (f->group[r] != TN_NONE) sizes[f->group[r]]++;
    tn_graph_reorder(g, o.refs, o.n);
    for (uint32_t k = 0; k < o.n_kernels; k++) {
        uint32_t n = sizes[o.kernels[k]], root = TN_NONE;
        for (TnRef r = first; r < first + n; r++)
            if (tn_class_of(g, r) == TN_ROOT) root = r;
        tn_kernel_add(g, kernel_name(f, o.kernels[k], first, n, k), root, first, n);
        first += n;
    }
    free(sizes);
    free(o.refs);
    free(o.kernels);
    free(o.done);
    free(o.stack);
}

TernStatus pass_fuse(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)err;
    size_t cap = g->n;
    for (TnRef r = 0; r < g->n; r++)
        if (tn_is_matmul(&g->nodes[r])) cap += CHAIN_MAX;
    Fuse f = {.g = g, .ctx = ctx, .n_old = g->n};
    tn_readers_create(g, &f.readers);
    uint32_t **arrays[] = {&f.group, &f.place, &f.next, &f.part, &f.bases, &f.seen, &f.stack};
    for (size_t i = 0; i < TN_COUNT(arrays); i++) *arrays[i] = tn_xcalloc(cap + 1, sizeof **arrays[i]);
    f.bridged = tn_xcalloc(cap + 1, sizeof *f.bridged);
    for (TnRef r = 0; r < g->n; r++) {
        f.group[r] = f.part[r] = TN_NONE;
        f.place[r] = r;
    }
    form_roots(&f);
    form_prologues(&f);
    form_rootless(&f);
    make_kernels(&f);
    g->stage = TN_STAGE_FUSED;
    for (size_t i = 0; i < TN_COUNT(arrays); i++) free(*arrays[i]);
    free(f.groups);
    free(f.bridged);
    tn_readers_destroy(&f.readers);
    return TERN_OK;
}
