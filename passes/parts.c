/* The column parts of a kernel, read off its nodes: no pass stores them, so no text can contradict them. */
#include "passes/internal.h"
#include <stdlib.h>

/* Parts of an epilogue node: which group of slices it hangs on. Slices joined by an op become one group. */
typedef struct Groups {
    uint32_t *
        of; /* by node of the kernel: the slice (index in the kernel) that stands for its group, or TN_NONE */
} Groups;

static uint32_t find(const Groups *s, uint32_t i) {
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
            /* a slice of a part counts columns of its own: it stays in the part */
            TnRef a = n->args[0];
            if (a > k->root && a < k->first + k->n && s->of[a - k->first] != TN_NONE)
                s->of[i] = s->of[a - k->first];
            continue;
        }
        for (uint32_t j = 0; j < n->n_args; j++) {
            TnRef a = n->args[j];
            if (a <= k->root || a >= k->first + k->n) continue;
            uint32_t mine = find(s, i), other = find(s, a - k->first);
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

/* Groups are numbered by their first slice; as slices come in the order of their first readers, that is the
 * order of text. */
static uint32_t number(const TnGraph *g, const TnKernel *k, const Groups *s, uint32_t i) {
    uint32_t rep = find(s, i), n = 0;
    if (rep == TN_NONE) return TN_NONE;
    for (uint32_t j = 0; j < rep; j++) n += is_group(g, k, s, j);
    return n;
}

uint32_t tn_kernel_parts(const TnGraph *g, uint32_t kernel, TnPart out[TN_PARTS_MAX]) {
    const TnKernel *k = &g->kernels[kernel];
    if (k->root == TN_NONE || !tn_is_matmul(&g->nodes[k->root])) return 0;
    Groups s;
    group(g, k, &s);
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->n; i++) {
        const TnNode *node = &g->nodes[k->first + i];
        if (node->op != TN_OP_slice || s.of[i] == TN_NONE) continue;
        TnRef a = node->args[0];
        if (a > k->root && s.of[a - k->first] != TN_NONE) continue; /* of a part, not of the root */
        uint32_t p = number(g, k, &s, i);
        if (p >= TN_PARTS_MAX || (p < n && out[p].n_bases == TN_COUNT(out[p].base))) {
            n = 0; /* more than the contract has room for: no parts, so no target can */
            break;
        }
        if (p >= n) out[n++] = (TnPart){.n = tn_attr_int(node, TN_ATTR_n)};
        int64_t lo = tn_attr_int(node, TN_ATTR_lo);
        uint32_t at = out[p].n_bases++;
        for (; at && out[p].base[at - 1] > lo; at--) out[p].base[at] = out[p].base[at - 1];
        out[p].base[at] = lo;
    }
    bool sliced = false;
    for (uint32_t i = 0; i < k->n; i++) sliced |= s.of[i] != TN_NONE;
    free(s.of);
    if (!sliced) {
        out[0] = (TnPart){.n = g->nodes[k->root].type.dim[1], .n_bases = 1};
        n = 1;
    }
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
