/* A graph as json, for programs that are not ours. */
#include <math.h>
#include <string.h>
#include "frontends/tools/dot.h"
#include "ir/print.h"
#include "runtime/base/escape.h"

/* json has no nan and no infinity: they are strings. Nine digits are the float exactly. */
static void put_float(float f, TnBuf *out) {
    if (isnan(f))
        tn_buf_puts(out, "\"nan\"");
    else if (isinf(f))
        tn_buf_puts(out, f < 0 ? "\"-inf\"" : "\"inf\"");
    else
        tn_buf_printf(out, "%.9g", (double)f);
}

static void put_attr(const TnAttr *a, TnBuf *out) {
    tn_buf_printf(out, "\"%s\": ", tn_attrs[a->key].name);
    switch (tn_attrs[a->key].kind) {
    case TN_AINT:
        tn_buf_printf(out, "%lld", (long long)a->i);
        break;
    case TN_AHEX: /* a number would lose bits in readers that hold doubles */
        tn_buf_printf(out, "\"0x%llx\"", (unsigned long long)a->u);
        break;
    case TN_AFLOAT:
        put_float(a->f, out);
        break;
    case TN_ASTR:
    case TN_AIDENT:
        tn_put_json(a->s, out);
        break;
    case TN_AFLOATS:
        tn_buf_puts(out, "[");
        for (uint32_t i = 0; i < a->n; i++) {
            if (i) tn_buf_puts(out, ", ");
            put_float(a->fs[i], out);
        }
        tn_buf_puts(out, "]");
        break;
    }
}

static void put_type(const TnType *t, TnBuf *out) {
    tn_buf_printf(out, "{\"enc\": \"%s\", \"dims\": [", tn_encs[t->enc].name);
    for (int i = 0; i < t->rank; i++) {
        if (i) tn_buf_puts(out, ", ");
        if (tn_dim_is_sym(t->dim[i]))
            tn_buf_printf(out, "\"%s\"", tn_sym_names[tn_dim_sym(t->dim[i])]);
        else
            tn_buf_printf(out, "%lld", (long long)t->dim[i]);
    }
    tn_buf_puts(out, "]");
    for (uint32_t i = 0; i < t->n_scales; i++) {
        tn_buf_printf(out, "%s{\"rows\": %lld, \"scale\": ", i ? ", " : ", \"scales\": [",
                      (long long)t->scales[i].rows);
        put_float(t->scales[i].scale, out);
        tn_buf_puts(out, i + 1 == t->n_scales ? "}]" : "}");
    }
    tn_buf_puts(out, "}");
}

static void put_node(const TnGraph *g, TnRef r, TnBuf *out) {
    const TnNode *n = &g->nodes[r];
    tn_buf_printf(out, "    {\"name\": \"%c%s\", \"op\": \"%s\", \"type\": ", tn_sigil(g, r), n->name,
                  tn_ops[n->op].name);
    put_type(&n->type, out);
    tn_buf_puts(out, ", \"args\": [");
    for (uint32_t i = 0; i < n->n_args; i++)
        tn_buf_printf(out, "%s\"%c%s\"", i ? ", " : "", tn_sigil(g, n->args[i]), g->nodes[n->args[i]].name);
    tn_buf_puts(out, "], \"attrs\": {");
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        if (i) tn_buf_puts(out, ", ");
        put_attr(&n->attrs[i], out);
    }
    tn_buf_puts(out, "}");
    if (n->kernel != TN_NONE) tn_buf_printf(out, ", \"kernel\": \"%s\"", g->kernels[n->kernel].name);
    if (n->line) tn_buf_printf(out, ", \"line\": %u", n->line);
    tn_buf_puts(out, "}");
}

static void put_kernel(const TnGraph *g, const TnKernel *k, TnBuf *out) {
    static const char *const axes[] = {"", "rows", "cols"};
    tn_buf_printf(out, "    {\"name\": \"%s\", ", k->name);
    if (k->root == TN_NONE)
        tn_buf_puts(out, "\"root\": null");
    else
        tn_buf_printf(out, "\"root\": \"%c%s\"", tn_sigil(g, k->root), g->nodes[k->root].name);
    if (k->target) {
        tn_buf_puts(out, ", \"target\": ");
        tn_put_json(k->target, out);
        tn_buf_printf(out, ", \"axis\": \"%s\", \"grain\": %lld, \"units\": %lld, \"barrier\": %s",
                      axes[k->axis], (long long)k->grain, (long long)k->units, k->barrier ? "true" : "false");
        if (k->near || k->far)
            tn_buf_printf(out, ", \"near\": %lld, \"far\": %lld", (long long)k->near, (long long)k->far);
    }
    tn_buf_puts(out, "}");
}

void tn_json(const TnGraph *g, TnBuf *out) {
    static const char *const stages[] = {"model", "fused", "planned"};
    tn_buf_printf(out, "{\"graph\": \"%s\", \"stage\": \"%s\"", g->name, stages[g->stage]);
    if (g->level) {
        tn_buf_puts(out, ", \"level\": ");
        tn_put_json(g->level, out);
    }
    if (g->kv) tn_buf_printf(out, ", \"kv\": \"%s\"", tn_kv_names[g->kv]);
    if (g->rows_lo || g->rows_hi)
        tn_buf_printf(out, ", \"rows\": [%lld, %lld]", (long long)g->rows_lo, (long long)g->rows_hi);
    tn_buf_puts(out, ",\n  \"kernels\": [");
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        tn_buf_puts(out, k ? ",\n" : "\n");
        put_kernel(g, &g->kernels[k], out);
    }
    tn_buf_puts(out, "],\n  \"nodes\": [");
    for (TnRef r = 0; r < g->n; r++) {
        tn_buf_puts(out, r ? ",\n" : "\n");
        put_node(g, r, out);
    }
    tn_buf_puts(out, "]}\n");
}
