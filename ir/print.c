/* Writes the text form. Everything has one spelling, so equal graphs give equal bytes. */
#include "ir/internal.h"
#include <stdio.h>
#include <string.h>
#include "runtime/base/escape.h"
#include "runtime/base/half.h"

char tn_sigil(const TnGraph *g, TnRef r) {
    return tn_node_is_source(g, r) ? '$' : '%';
}

/* Prints a float as %a does on glibc, but never with the decimal point of the locale. */
void tn_print_float(float f, TnBuf *out) {
    uint32_t u = tn_f32_bits(f), man = u & 0x7fffff;
    int exp = (int)(u >> 23 & 0xff);
    if (exp == 255 && man) {
        tn_buf_puts(out, "nan");
        return;
    }
    if (u >> 31) tn_buf_puts(out, "-");
    if (exp == 255) {
        tn_buf_puts(out, "inf");
        return;
    }
    if (!exp && !man) {
        tn_buf_puts(out, "0x0p+0");
        return;
    }
    exp -= 127;
    if (exp == -127) { /* subnormal: move the leading one before the point */
        exp = -126;
        for (; !(man & 0x800000); exp--) man <<= 1;
        man &= 0x7fffff;
    }
    char digits[8];
    snprintf(digits, sizeof digits, "%06x", (unsigned)(man << 1));
    int n = 6;
    while (n && digits[n - 1] == '0') n--;
    digits[n] = '\0';
    tn_buf_printf(out, "0x1%s%sp%+d", n ? "." : "", digits, exp);
}

void tn_print_shape(const TnType *t, TnBuf *out) {
    tn_buf_puts(out, tn_encs[t->enc].name);
    for (int i = 0; i < t->rank; i++) {
        tn_buf_puts(out, i ? "," : "[");
        if (tn_dim_is_sym(t->dim[i]))
            tn_buf_puts(out, tn_sym_names[tn_dim_sym(t->dim[i])]);
        else
            tn_buf_printf(out, "%lld", (long long)t->dim[i]);
    }
    tn_buf_puts(out, "]");
}

static void print_scales(const TnType *t, TnBuf *out) {
    if (t->group == TN_GROUP_ROW) {
        tn_buf_puts(out, "row");
        return;
    }
    if (t->group) {
        tn_buf_printf(out, "group:%u", t->group);
        return;
    }
    if (t->n_scales == 1) {
        tn_print_float(t->scales[0].scale, out);
        return;
    }
    for (uint32_t i = 0; i < t->n_scales; i++) {
        tn_buf_printf(out, "%s%lld:", i ? "," : "[", (long long)t->scales[i].rows);
        tn_print_float(t->scales[i].scale, out);
    }
    tn_buf_puts(out, "]");
}

void tn_print_type(const TnType *t, TnBuf *out) {
    tn_print_shape(t, out);
    if (t->n_scales || t->group) {
        tn_buf_puts(out, " scale=");
        print_scales(t, out);
    }
    if (t->two) tn_buf_puts(out, " most=2");
}

TnTypeText tn_type_text(const TnType *t) {
    TnTypeText out;
    TnBuf b = {0};
    tn_print_type(t, &b);
    snprintf(out.s, sizeof out.s, "%.*s%s", (int)sizeof out.s - 8, b.data,
             b.len > sizeof out.s - 8 ? "..." : "");
    tn_buf_free(&b);
    return out;
}

/* Escapes what is not printable. If the string is not UTF-8, also escapes all bytes beyond ASCII, since the text must be
 * UTF-8. */
static void print_string(const char *s, TnBuf *out) {
    size_t n = strlen(s), at = 0, k;
    while (at < n && (k = tn_utf8(s + at, n - at))) at += k;
    bool plain = at == n;
    tn_buf_puts(out, "\"");
    for (at = 0; at < n; at += k) {
        unsigned char c = (unsigned char)s[at];
        k = c < 0x80 || plain ? tn_printable(s + at, n - at) : 0;
        if (c == '"' || c == '\\')
            tn_buf_printf(out, "\\%c", c);
        else if (k)
            tn_buf_put(out, s + at, k);
        else
            for (size_t end = at + (plain ? tn_utf8(s + at, n - at) : 1); at + k < end; k++)
                tn_buf_printf(out, "\\x%02x", (unsigned char)s[at + k]);
    }
    tn_buf_puts(out, "\"");
}

void tn_print_value(const TnAttr *a, TnBuf *out) {
    switch (tn_attrs[a->key].kind) {
    case TN_AINT:
        tn_buf_printf(out, "%lld", (long long)a->i);
        break;
    case TN_AHEX:
        tn_buf_printf(out, "0x%llx", (unsigned long long)a->u);
        break;
    case TN_AFLOAT:
        tn_print_float(a->f, out);
        break;
    case TN_ASTR:
        print_string(a->s, out);
        break;
    case TN_AIDENT:
        tn_buf_puts(out, a->s);
        break;
    case TN_AFLOATS:
        for (uint32_t i = 0; i < a->n; i++) {
            tn_buf_puts(out, i ? "," : "[");
            tn_print_float(a->fs[i], out);
        }
        tn_buf_puts(out, a->n ? "]" : "[]");
        break;
    }
}

void tn_print_attr(const TnAttr *a, TnBuf *out) {
    tn_buf_printf(out, "%s=", tn_attrs[a->key].name);
    tn_print_value(a, out);
}

void tn_print_node(const TnGraph *g, TnRef r, TnBuf *out) {
    const TnNode *n = &g->nodes[r];
    tn_buf_printf(out, "%c%s: ", tn_sigil(g, r), n->name);
    tn_print_type(&n->type, out);
    tn_buf_printf(out, " = %s", tn_ops[n->op].name);
    for (uint32_t i = 0; i < n->n_args; i++)
        tn_buf_printf(out, "%s%c%s", i ? ", " : " ", tn_sigil(g, n->args[i]), g->nodes[n->args[i]].name);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        tn_buf_puts(out, i ? ", " : " {");
        tn_print_attr(&n->attrs[i], out);
    }
    if (n->n_attrs) tn_buf_puts(out, "}");
}

static void print_line(const TnGraph *g, TnRef r, TnBuf *out) {
    tn_buf_puts(out, g->nodes[r].kernel == TN_NONE ? "  " : "    ");
    tn_print_node(g, r, out);
    tn_buf_puts(out, "\n");
}

static void print_kernel(const TnGraph *g, const TnKernel *k, TnBuf *out) {
    static const char *const axes[] = {"", ", axis=rows", ", axis=cols"};
    tn_buf_printf(out, "  kernel @%s {root=%s", k->name,
                  k->root == TN_NONE ? "none" : tn_ops[g->nodes[k->root].op].name);
    if (k->target) tn_buf_printf(out, ", target=%s", k->target);
    tn_buf_puts(out, axes[k->axis]);
    if (k->grain) tn_buf_printf(out, ", grain=%lld", (long long)k->grain);
    if (k->units) tn_buf_printf(out, ", units=%lld", (long long)k->units);
    tn_prefetch_print(&k->prefetch, out);
    if (k->panels) tn_buf_puts(out, ", panels=1");
    if (k->target || k->barrier) tn_buf_printf(out, ", barrier=%d", k->barrier);
    tn_buf_puts(out, "}\n");
}

void tn_print(const TnGraph *g, TnBuf *out) {
    static const char *const stages[] = {"model", "fused", "planned"};
    tn_buf_printf(out, "graph @%s stage=%s", g->name, stages[g->stage]);
    if (g->level) tn_buf_printf(out, " level=%s", g->level);
    if (g->kv) tn_buf_printf(out, " kv=%s", tn_kv_names[g->kv]);
    if (g->rows_lo || g->rows_hi)
        tn_buf_printf(out, " rows=%lld..%lld", (long long)g->rows_lo, (long long)g->rows_hi);
    tn_buf_puts(out, "\n");
    uint32_t in = TN_NONE;
    for (TnRef r = 0; r < g->n; r++) {
        uint32_t k = g->nodes[r].kernel;
        if (k != in && in != TN_NONE) tn_buf_puts(out, "  end\n");
        if (k != in && k != TN_NONE) print_kernel(g, &g->kernels[k], out);
        print_line(g, r, out);
        in = k;
    }
    if (in != TN_NONE) tn_buf_puts(out, "  end\n");
    tn_buf_puts(out, "end\n");
}

void tn_print_file(TnGraph *const *gs, uint32_t n, TnBuf *out) {
    tn_buf_puts(out, "tir 1\n");
    for (uint32_t i = 0; i < n; i++) tn_print(gs[i], out);
}
