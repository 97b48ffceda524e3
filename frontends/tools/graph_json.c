/* Writes a graph as json, for other programs. jansson prints the values; the frame around them is written
 * here, to get one line for each node. */
#include "frontends/json.h"
#include "frontends/tools/dot.h"
#include "ir/print.h"

/* json has no nan and no infinity: they become strings. */
static json_t *of_float(float f) {
    if (isnan(f)) return tn_json_text("nan");
    if (isinf(f)) return tn_json_text(f < 0 ? "-inf" : "inf");
    return tn_json_real((double)f);
}

static json_t *of_hex(uint64_t u) {
    char text[24];
    snprintf(text, sizeof text, "0x%llx", (unsigned long long)u);
    return tn_json_text(text);
}

static json_t *of_ref(const TnGraph *g, TnRef r) {
    char text[TN_NAME_MAX + 2];
    snprintf(text, sizeof text, "%c%s", tn_sigil(g, r), g->nodes[r].name);
    return tn_json_text(text);
}

static json_t *of_attr(const TnAttr *a) {
    json_t *list;
    switch (tn_attrs[a->key].kind) {
    case TN_AINT:
        return tn_json_int((uint64_t)a->i);
    case TN_AHEX: /* as a number it would lose bits in readers that use doubles */
        return of_hex(a->u);
    case TN_AFLOAT:
        return of_float(a->f);
    case TN_ASTR:
    case TN_AIDENT:
        return tn_json_text(a->s);
    case TN_AFLOATS:
        list = tn_json_array();
        for (uint32_t i = 0; i < a->n; i++) tn_json_push(list, of_float(a->fs[i]));
        return list;
    }
    return NULL;
}

static json_t *of_type(const TnType *t) {
    json_t *type = tn_json_object(), *dims = tn_json_array();
    tn_json_set(type, "enc", tn_json_text(tn_encs[t->enc].name));
    for (int i = 0; i < t->rank; i++)
        tn_json_push(dims, tn_dim_is_sym(t->dim[i]) ? tn_json_text(tn_sym_names[tn_dim_sym(t->dim[i])])
                                                    : tn_json_int((uint64_t)t->dim[i]));
    tn_json_set(type, "dims", dims);
    if (t->two) tn_json_set(type, "most", tn_json_int(2));
    if (t->group == TN_GROUP_ROW) tn_json_set(type, "scales", tn_json_text("row"));
    if (tn_type_in_groups(t)) tn_json_set(type, "group", tn_json_int(t->group));
    if (!t->n_scales) return type;
    json_t *scales = tn_json_array();
    for (uint32_t i = 0; i < t->n_scales; i++) {
        json_t *scale = tn_json_object();
        tn_json_set(scale, "rows", tn_json_int((uint64_t)t->scales[i].rows));
        tn_json_set(scale, "scale", of_float(t->scales[i].scale));
        tn_json_push(scales, scale);
    }
    tn_json_set(type, "scales", scales);
    return type;
}

static json_t *of_node(const TnGraph *g, TnRef r) {
    const TnNode *n = &g->nodes[r];
    json_t *node = tn_json_object(), *args = tn_json_array(), *attrs = tn_json_object();
    tn_json_set(node, "name", of_ref(g, r));
    tn_json_set(node, "op", tn_json_text(tn_ops[n->op].name));
    tn_json_set(node, "type", of_type(&n->type));
    for (uint32_t i = 0; i < n->n_args; i++) tn_json_push(args, of_ref(g, n->args[i]));
    tn_json_set(node, "args", args);
    for (uint32_t i = 0; i < n->n_attrs; i++)
        tn_json_set(attrs, tn_attrs[n->attrs[i].key].name, of_attr(&n->attrs[i]));
    tn_json_set(node, "attrs", attrs);
    if (n->kernel != TN_NONE) tn_json_set(node, "kernel", tn_json_text(g->kernels[n->kernel].name));
    if (n->line) tn_json_set(node, "line", tn_json_int(n->line));
    return node;
}

static json_t *of_kernel(const TnGraph *g, const TnKernel *k) {
    static const char *const axes[] = {"", "rows", "cols"};
    json_t *kernel = tn_json_object();
    tn_json_set(kernel, "name", tn_json_text(k->name));
    tn_json_set(kernel, "root", k->root == TN_NONE ? json_null() : of_ref(g, k->root));
    if (!k->target) return kernel;
    tn_json_set(kernel, "target", tn_json_text(k->target));
    tn_json_set(kernel, "axis", tn_json_text(axes[k->axis]));
    tn_json_set(kernel, "grain", tn_json_int((uint64_t)k->grain));
    tn_json_set(kernel, "units", tn_json_int((uint64_t)k->units));
    tn_json_set(kernel, "barrier", json_boolean(k->barrier));
    for (TnStream s = 0; s < TN_STREAM_COUNT; s++)
        for (TnInto i = 0; i < TN_INTO_COUNT; i++)
            if (k->prefetch.ahead[s][i])
                tn_json_set(kernel, tn_attrs[tn_prefetch_key(s, i)].name,
                            tn_json_int((uint64_t)k->prefetch.ahead[s][i]));
    if (k->panels) tn_json_set(kernel, "panels", json_true());
    return kernel;
}

static json_t *of_graph(const TnGraph *g) {
    static const char *const stages[] = {"model", "fused", "planned"};
    json_t *head = tn_json_object();
    tn_json_set(head, "graph", tn_json_text(g->name));
    tn_json_set(head, "stage", tn_json_text(stages[g->stage]));
    if (g->level) tn_json_set(head, "level", tn_json_text(g->level));
    if (g->kv) tn_json_set(head, "kv", tn_json_text(tn_kv_names[g->kv]));
    if (!g->rows_lo && !g->rows_hi) return head;
    json_t *rows = tn_json_array();
    tn_json_push(rows, tn_json_int((uint64_t)g->rows_lo));
    tn_json_push(rows, tn_json_int((uint64_t)g->rows_hi));
    tn_json_set(head, "rows", rows);
    return head;
}

/* Nine digits identify a float exactly. */
static void put(json_t *value, TnBuf *out) {
    tn_json_put(value, JSON_REAL_PRECISION(9), out);
}

void tn_json(const TnGraph *g, TnBuf *out) {
    put(of_graph(g), out);
    out->len--; /* remove the brace, to continue the object */
    tn_buf_puts(out, ",\n  \"kernels\": [");
    for (uint32_t k = 0; k < g->n_kernels; k++) {
        tn_buf_puts(out, k ? ",\n    " : "\n    ");
        put(of_kernel(g, &g->kernels[k]), out);
    }
    tn_buf_puts(out, "],\n  \"nodes\": [");
    for (TnRef r = 0; r < g->n; r++) {
        tn_buf_puts(out, r ? ",\n    " : "\n    ");
        put(of_node(g, r), out);
    }
    tn_buf_puts(out, "]}\n");
}
