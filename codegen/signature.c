/* The canonical text of a kernel, from which its code is made.
 *
 * Values outside the kernel are named by their place among the operands (o0, o1, ...), its own nodes by
 * their place in the run (n0, n1, ...). Types are spelled in full, except for scales that an encoding stores
 * after its rows. Those are data to the code, and only the row counts of their ranges are printed. */
#include "codegen/internal.h"
#include "ir/print.h"

/* The type as code sees it. */
static void put_code_type(const TnType *t, TnBuf *out) {
    if (tn_encs[t->enc].kind != TN_TERNARY) {
        tn_print_type(t, out);
        return;
    }
    tn_print_shape(t, out);
    if (t->group) tn_buf_puts(out, " row");
    if (t->two) tn_buf_puts(out, " most=2");
    for (uint32_t i = 0; i < t->n_scales; i++) tn_buf_printf(out, " %lld", (long long)t->scales[i].rows);
}

static uint32_t find_operand(const TnRef *ops, uint32_t n, TnRef r) {
    for (uint32_t i = 0; i < n; i++)
        if (ops[i] == r) return i;
    return TN_NONE;
}

void tn_kernel_signature(const TnGraph *g, uint32_t kernel, TnBuf *out) {
    const TnKernel *k = &g->kernels[kernel];
    TnRef ops[64];
    uint32_t n_in, n = tn_kernel_operands(g, kernel, ops, &n_in);
    tn_buf_printf(out, "target=%s level=%s axis=%d grain=%lld units=%lld", k->target ? k->target : "?",
                  g->level ? g->level : "?", (int)k->axis, (long long)k->grain, (long long)k->units);
    if (k->axis != TN_AXIS_ROWS)
        tn_buf_printf(out, " rows=%lld..%lld", (long long)g->rows_lo, (long long)g->rows_hi);
    tn_prefetch_print(&k->prefetch, out);
    if (k->panels) tn_buf_puts(out, ", panels=1");
    tn_buf_puts(out, " root=");
    if (k->root == TN_NONE)
        tn_buf_puts(out, "none\n");
    else
        tn_buf_printf(out, "n%u\n", k->root - k->first);
    for (uint32_t i = 0; i < n_in; i++) {
        tn_buf_printf(out, "o%u ", i);
        put_code_type(&g->nodes[ops[i]].type, out);
        tn_buf_puts(out, "\n");
    }
    for (uint32_t i = 0; i < k->n; i++) {
        const TnNode *node = &g->nodes[k->first + i];
        tn_buf_printf(out, "n%u ", i);
        put_code_type(&node->type, out);
        tn_buf_printf(out, " = %s", tn_ops[node->op].name);
        for (uint32_t a = 0; a < node->n_args; a++) {
            TnRef r = node->args[a];
            if (r >= k->first && r < k->first + k->n)
                tn_buf_printf(out, " n%u", r - k->first);
            else
                tn_buf_printf(out, " o%u", find_operand(ops, n_in, tn_alias_root(g, r)));
        }
        for (uint32_t a = 0; a < node->n_attrs; a++) {
            TnAttrKey key = node->attrs[a].key;
            if (key == TN_ATTR_off || key == TN_ATTR_name) continue;
            tn_buf_puts(out, " ");
            tn_print_attr(&node->attrs[a], out);
        }
        uint32_t leaves = find_operand(ops + n_in, n - n_in, k->first + i);
        if (leaves != TN_NONE) tn_buf_printf(out, " -> o%u", n_in + leaves);
        tn_buf_puts(out, "\n");
    }
}
