/* The column parts of a kernel. They follow from its nodes: no pass stores them, so no text can contradict them. */
#include "passes/internal.h"
#include <stdlib.h>

/* The group of slices from which each node of the kernel is computed. Slices joined by an op form one group. of[i] leads to
 * the slice (by its number in the kernel) that stands for the group of node i (see find_group); TN_NONE: no group. */
typedef struct Groups {
    uint32_t *of;
} Groups;

static uint32_t find_group(const Groups *s, uint32_t i) {
    while (i != TN_NONE && s->of[i] != i) i = s->of[i];
    return i;
}

static void group(const TnGraph *g, const TnKernel *k, Groups *s) {
    s->of = tn_xcalloc(k->n, sizeof *s->of);
    for (uint32_t i = 0; i < k->n; i++) {
        const TnNode *n = &g->nodes[k->first + i];
        s->of[i] = TN_NONE;
        if (k->root == TN_NONE || k->first + i <= k->root) continue;
        if (n->op == TN_OP_slice) {
            s->of[i] = i;
            continue;
        }
        for (uint32_t j = 0; j < n->n_args; j++) {
            TnRef a = n->args[j];
            if (a <= k->root || a >= k->first + k->n) continue;
            uint32_t mine = find_group(s, i), other = find_group(s, a - k->first);
            if (other == TN_NONE) continue;
            if (mine == TN_NONE)
                s->of[i] = other;
            else if (mine < other)
                s->of[other] = mine;
            else
                s->of[mine] = other;
        }
    }
}

static bool is_group(const TnGraph *g, const TnKernel *k, const Groups *s, uint32_t i) {
    return s->of[i] == i && g->nodes[k->first + i].op == TN_OP_slice;
}

/* The number of node i's group. Groups are numbered by their first slices, in the order of the text. */
static uint32_t number(const TnGraph *g, const TnKernel *k, const Groups *s, uint32_t i) {
    uint32_t rep = find_group(s, i), n = 0;
    if (rep == TN_NONE) return TN_NONE;
    for (uint32_t j = 0; j < rep; j++) n += is_group(g, k, s, j);
    return n;
}

/* Whether r is the root, or an epilogue value that is not computed from a slice: it has all columns. */
static bool is_whole(const TnKernel *k, const Groups *s, TnRef r) {
    return r >= k->root && r < k->first + k->n && s->of[r - k->first] == TN_NONE;
}

/* Whether every column that is read belongs to a part. fuse makes no other kernels with slices, but a text may hold some. */
static bool parts_are_all(const TnGraph *g, uint32_t kernel, const Groups *s) {
    const TnKernel *k = &g->kernels[kernel];
    TnRef out[64];
    uint32_t n_in, n = tn_kernel_operands(g, kernel, out, &n_in);
    for (uint32_t i = n_in; i < n; i++)
        if (is_whole(k, s, out[i])) return false;
    for (TnRef r = k->root + 1; r < k->first + k->n; r++) {
        const TnNode *node = &g->nodes[r];
        bool slice = node->op == TN_OP_slice, whole = is_whole(k, s, r);
        if (whole && tn_op_is(node->op, TN_TRAIT_STATE)) return false;
        for (uint32_t i = 0; i < node->n_args; i++) {
            TnRef a = node->args[i];
            if (a < k->root || a >= k->first + k->n) continue;
            if (slice && !is_whole(k, s, a)) return false; /* a slice of a part */
            if (!slice && !whole && is_whole(k, s, a))
                return false; /* joins a part and the whole, of one width */
        }
    }
    return true;
}

static uint32_t list_parts(const TnGraph *g, const TnKernel *k, const Groups *s, TnPart out[TN_PARTS_MAX]) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->n; i++) {
        const TnNode *node = &g->nodes[k->first + i];
        if (node->op != TN_OP_slice || s->of[i] == TN_NONE) continue;
        uint32_t p = number(g, k, s, i);
        if (p >= TN_PARTS_MAX || (p < n && out[p].n_bases == TN_COUNT(out[p].base))) return 0;
        if (p >= n) out[n++] = (TnPart){.n = tn_attr_int(node, TN_ATTR_n)};
        int64_t lo = tn_attr_int(node, TN_ATTR_lo);
        uint32_t at = out[p].n_bases++;
        for (; at && out[p].base[at - 1] > lo; at--) out[p].base[at] = out[p].base[at - 1];
        out[p].base[at] = lo;
    }
    return n;
}

uint32_t tn_kernel_parts(const TnGraph *g, uint32_t kernel, TnPart out[TN_PARTS_MAX]) {
    const TnKernel *k = &g->kernels[kernel];
    if (k->root == TN_NONE || !tn_is_matmul(&g->nodes[k->root])) return 0;
    Groups s;
    group(g, k, &s);
    bool sliced = false;
    for (uint32_t i = 0; i < k->n; i++) sliced |= s.of[i] != TN_NONE;
    uint32_t n = 1;
    if (!sliced)
        out[0] = (TnPart){.n = g->nodes[k->root].type.dim[1], .n_bases = 1};
    else
        n = parts_are_all(g, kernel, &s) ? list_parts(g, k, &s, out) : 0;
    free(s.of);
    return n;
}

uint32_t tn_node_part(const TnGraph *g, uint32_t kernel, TnRef node) {
    const TnKernel *k = &g->kernels[kernel];
    TN_CHECK(node >= k->first && node < k->first + k->n);
    Groups s;
    group(g, k, &s);
    uint32_t p = number(g, k, &s, node - k->first);
    free(s.of);
    return p;
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* The columns that must stay together: the least common multiple of the epilogue's head sizes. */
int64_t tn_head_columns(const TnGraph *g, const TnKernel *k) {
    int64_t head = 1, most = g->nodes[k->root].type.dim[1];
    for (TnRef r = k->root + 1; r < k->first + k->n; r++) {
        const TnNode *n = &g->nodes[r];
        int64_t h = 1;
        if (tn_op_is(n->op, TN_TRAIT_HEADS)) {
            const TnType *second = &g->nodes[n->args[1]].type;
            h = second->dim[second->rank - 1];
        } else if (tn_op_is(n->op, TN_TRAIT_STATE)) {
            h = n->type.dim[2];
        }
        h /= gcd(head, h);
        TN_CHECK(h > 0);                          /* verified: heads have columns */
        head = head > most / h ? most : head * h; /* all columns hold whole heads of any size */
    }
    return head;
}

int64_t tn_whole_columns(const TnGraph *g, const TnKernel *k, int64_t rows) {
    int64_t head = tn_head_columns(g, k);
    return head / gcd(head, rows) * rows;
}

TnCut tn_cut_of(const TnGraph *g, uint32_t kernel, int64_t columns) {
    const TnKernel *k = &g->kernels[kernel];
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(g, kernel, parts);
    /* no parts: only a target that computes the whole kernel at once can take it */
    if (n == 0) return (TnCut){.grain = g->nodes[k->root].type.dim[1], .units = 1};
    const TnType *w = &g->nodes[g->nodes[k->root].args[1]].type;
    int64_t head = tn_head_columns(g, k), together = tn_rows_together(w);
    if (w->enc == TN_ENC_b80 && g->rows_hi > TN_ROWS_FEW)
        together = TN_B80_PLANE; /* unpacked plane by plane */
    else if (w->enc == TN_ENC_b80 && tn_whole_columns(g, k, TN_B80_ROWS) <= TN_CUT_MOST)
        head = tn_whole_columns(g, k, TN_B80_ROWS);
    columns = (columns + together - 1) / together * together;
    if (columns > TN_CUT_MOST) columns = TN_CUT_MOST;
    if (g->nodes[k->root].n_args > 2)
        columns = TN_COLMAJOR_ROWS; /* a unit reads whole lines of a `colmajor` */
    TnCut cut = {.grain = (columns + head - 1) / head * head};
    for (uint32_t i = 0; i < n; i++) cut.units += (parts[i].n + cut.grain - 1) / cut.grain;
    return cut;
}

void tn_cut_columns(TnGraph *g, uint32_t kernel, int64_t columns) {
    TnKernel *k = &g->kernels[kernel];
    TnCut cut = tn_cut_of(g, kernel, columns);
    k->axis = TN_AXIS_COLS;
    k->grain = cut.grain;
    k->units = cut.units;
}

bool tn_cut_by_columns(const TnGraph *g, uint32_t kernel) {
    TnRef root = g->kernels[kernel].root;
    return root != TN_NONE && tn_is_matmul(&g->nodes[root]);
}

TnCut tn_cut_usual(const TnGraph *g, uint32_t kernel) {
    if (tn_cut_by_columns(g, kernel)) return tn_cut_of(g, kernel, TN_CUT_COLUMNS);
    TnRef root = g->kernels[kernel].root;
    bool attend = root != TN_NONE && tn_op_is(g->nodes[root].op, TN_TRAIT_ATTENDS);
    int64_t units = attend ? g->nodes[g->nodes[root].args[1]].type.dim[1] : 1;
    return (TnCut){.grain = units, .units = units};
}
