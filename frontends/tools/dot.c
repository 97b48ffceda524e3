/* Draws the picture. A layer should fit a page: a token flows from top to bottom, weights and caches are at
 * the side, and nothing is drawn that would send a line across the whole sheet. */
#include "frontends/tools/dot.h"
#include <stdlib.h>
#include <string.h>
#include "frontends/tools/layer_label.h"
#include "frontends/tools/repeat.h"
#include "ir/print.h"
#include "ir/type_layout.h"
#include "runtime/base/escape.h"

#define FONT "Helvetica,Arial,sans-serif"
/* The smallest size of text, still legible on a page of 900 pixels, and its lightest grey, still legible on
 * the darkest fill of a kernel. */
#define SMALL "11"
#define SOFT  "#33414e"

/* ---- colours: fill, border, text */

typedef struct Ink {
    const char *fill, *line, *text;
} Ink;

static Ink ink_of(const TnNode *n) {
    switch (tn_ops[n->op].class) {
    case TN_ROOT:
        if (n->op == TN_OP_attend) return (Ink){"#6d4aa8", "#4f3280", "#ffffff"};
        if (n->op == TN_OP_tmatmul || n->op == TN_OP_tmatmul_groups)
            return (Ink){"#2563a8", "#17457a", "#ffffff"};
        if (n->op == TN_OP_embed) return (Ink){"#2f7d5b", "#1e5a40", "#ffffff"};
        return (Ink){"#237a8a", "#155662", "#ffffff"};
    case TN_ROW:
        return (Ink){"#e4edf6", "#9db6cf", "#1f2d3d"};
    case TN_ELEM:
    case TN_MAP:
        if (tn_op_is(n->op, TN_TRAIT_STATE)) return (Ink){"#f1ecfa", "#8f72c4", "#3d2a66"};
        return (Ink){"#ffffff", "#aab7c4", "#1f2d3d"};
    case TN_INPUT:
        if (tn_encs[n->type.enc].kind == TN_CACHE) return (Ink){"#f1ecfa", "#8f72c4", "#3d2a66"};
        return (Ink){"#e6f4ec", "#7db797", "#1e5a40"};
    case TN_SINK:
        return (Ink){"#fdeee3", "#dc9a6a", "#7a3d12"};
    case TN_SOURCE:
        break;
    }
    return (Ink){"#fbf6e4", "#cdbd85", "#6a5c2a"};
}

/* White to red by cost relative to the most expensive kernel, in 6 steps that print well and keep black text
 * readable. */
static const char *heat(double share) {
    static const char *const steps[] = {"#fff8f0", "#fef0e0", "#fee3c6", "#fdd5af", "#fcc59b", "#f9b189"};
    int i = (int)(share * 6);
    return steps[i < 0 ? 0 : i > 5 ? 5 : i];
}

/* ---- text */

static void put_bytes(double n, TnBuf *out) {
    if (n < 1024)
        tn_buf_printf(out, "%.0f B", n);
    else if (n < 1024 * 1024)
        tn_buf_printf(out, "%.3g KiB", n / 1024);
    else
        tn_buf_printf(out, "%.4g MiB", n / 1024 / 1024);
}

/* ---- choosing what is drawn */

typedef struct Draw {
    const TnGraph *g;
    const TnDotOptions *o;
    TnBuf *out;
    TnArena arena;
    TnPlace *places;
    TnRepeat rep;
    bool *hub;      /* named in its readers instead of drawn */
    bool *shown;    /* ops, inputs and outputs with a box */
    bool *boundary; /* outside the only layer drawn, but read by it or made by it */
    int64_t *outer; /* layer group, or NO_GROUP */
    uint32_t notes;
    double dearest, total; /* ms */
} Draw;

enum { NO_GROUP = -1, NOT_FOLDED = 1 << 30 /* layers outside the repeated stretch, in a folded picture */ };

static bool is_cache(const TnNode *n) {
    return tn_encs[n->type.enc].kind == TN_CACHE;
}

/* The node that stands for r in a folded picture. */
static TnRef face(const Draw *d, TnRef r) {
    return d->o->fold_layers ? d->rep.first[r] : r;
}

/* The layer by name, or by structure if names tell nothing. */
static int64_t layer_of(const Draw *d, TnRef r) {
    if (d->o->fold_layers && d->rep.piece[r] != TN_NONE) return d->rep.piece[r];
    int32_t layer = d->places[r].layer;
    if (layer < 0 || layer == TN_PLACE_HEAD) return NO_GROUP;
    return d->o->fold_layers ? layer + NOT_FOLDED : layer;
}

/* A hub is read in several layers but belongs to none: positions, block tables, the rope's angles. */
static void find_hubs(Draw *d) {
    const TnGraph *g = d->g;
    int64_t *seen = tn_alloc_array(&d->arena, g->n + 1u, sizeof *seen);
    for (TnRef r = 0; r < g->n; r++) seen[r] = INT64_MIN;
    uint32_t *readers = tn_alloc_array(&d->arena, g->n + 1u, sizeof *readers);
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        int64_t layer = d->rep.piece[r] != TN_NONE ? d->rep.piece[r] : layer_of(d, r);
        for (uint32_t i = 0; i < n->n_args; i++) {
            TnRef x = n->args[i];
            const TnNode *p = &g->nodes[x];
            readers[x]++;
            if (tn_ops[p->op].class == TN_SOURCE || is_cache(p)) continue;
            if (tn_ops[p->op].class == TN_INPUT && readers[x] > 1) d->hub[x] = true;
            if (d->rep.piece[x] != TN_NONE || layer_of(d, x) != NO_GROUP) continue;
            if (layer == NO_GROUP) continue;
            if (seen[x] != INT64_MIN && seen[x] != layer) d->hub[x] = true;
            seen[x] = layer;
        }
    }
}

/* In a picture of one layer, inputs that other layers read are hubs too, so hubs are found first. */
static void choose(Draw *d) {
    const TnGraph *g = d->g;
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        TnOpClass class = tn_ops[n->op].class;
        d->outer[r] = layer_of(d, r);
        d->shown[r] = class != TN_SOURCE && !(d->hub[r] && class == TN_INPUT) && face(d, r) == r;
        if (d->o->one_layer) d->shown[r] &= d->places[r].layer == d->o->layer;
    }
    if (!d->o->fold_layers && !d->o->one_layer) return;
    /* caches of folded layers: those that the first piece reads */
    for (TnRef r = 0; r < g->n; r++)
        if (tn_ops[g->nodes[r].op].class == TN_INPUT && is_cache(&g->nodes[r])) d->shown[r] = false;
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef x = g->nodes[r].args[i];
            TnOpClass class = tn_ops[g->nodes[x].op].class;
            if (class == TN_SOURCE) continue;
            if (d->shown[r] && class == TN_INPUT && is_cache(&g->nodes[x])) {
                d->shown[x] = true;
                d->outer[x] = d->outer[r];
            } else if (d->o->one_layer && d->shown[r] != d->shown[x] && !d->hub[x]) {
                d->boundary[d->shown[r] ? x : r] = true;
            }
        }
}

/* ---- boxes */

static void put_attrs(const Draw *d, const TnNode *n, TnBuf *b) {
    static const TnAttrKey keys[] = {TN_ATTR_eps,    TN_ATTR_mode, TN_ATTR_scale,
                                     TN_ATTR_window, TN_ATTR_k,    TN_ATTR_base};
    for (size_t i = 0; i < TN_COUNT(keys); i++) {
        const TnAttr *a = tn_node_attr(n, keys[i]);
        if (!a || (keys[i] == TN_ATTR_window && a->i == 0)) continue;
        tn_buf_printf(b, " &middot; %s ", tn_attrs[a->key].name);
        if (tn_attrs[a->key].kind == TN_AFLOAT)
            tn_buf_printf(b, "%.4g", (double)a->f);
        else if (tn_attrs[a->key].kind == TN_AINT)
            tn_buf_printf(b, "%lld", (long long)a->i);
        else
            tn_put_xml(a->s, b);
    }
    if (n->op == TN_OP_dequant) /* a line beside the main flow would add nothing */
        tn_buf_printf(b, " &middot; row scale of %%%s", d->g->nodes[n->args[1]].name);
    if (n->op == TN_OP_slice) {
        int64_t lo = tn_attr_int(n, TN_ATTR_lo);
        tn_buf_printf(b, " &middot; columns %lld&ndash;%lld", (long long)lo,
                      (long long)(lo + tn_attr_int(n, TN_ATTR_n) - 1));
    }
}

/* A hub that is made by ops is drawn, with lines to its readers in the first layer drawn. */
static bool leads_from(const Draw *d, TnRef x, TnRef reader) {
    if (!d->hub[x] || !d->shown[x] || !d->shown[reader]) return false;
    for (TnRef r = x + 1; r < reader; r++)
        for (uint32_t i = 0; d->shown[r] && i < d->g->nodes[r].n_args; i++)
            if (d->g->nodes[r].args[i] == x) return d->outer[r] == d->outer[reader];
    return true;
}

/* Puts the names of the hubs that it reads and that have no line to it, each once. */
static bool put_hubs(const Draw *d, const TnNode *n, TnBuf *b) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->n_args; i++) {
        TnRef x = n->args[i];
        bool before = false;
        for (uint32_t k = 0; k < i; k++) before |= n->args[k] == x;
        if (!d->hub[x] || before || leads_from(d, x, (TnRef)(n - d->g->nodes))) continue;
        tn_buf_printf(b, "%s%s", count++ ? ", " : "with ", d->g->nodes[x].name);
    }
    return count > 0;
}

static void put_box(Draw *d, TnRef r) {
    const TnNode *n = &d->g->nodes[r];
    Ink ink = ink_of(n);
    TnBuf *out = d->out, hubs = {0};
    TnOpClass class = tn_ops[n->op].class;
    const char *soft = class == TN_ROOT ? "#ffffff" : SOFT;
    tn_buf_printf(out, "n%u [shape=%s, style=\"filled,rounded%s\", fillcolor=\"%s\", color=\"%s\", ", r,
                  class == TN_INPUT && is_cache(n) ? "cylinder" : "box",
                  is_cache(n) || tn_op_is(n->op, TN_TRAIT_STATE) ? ",dashed" : "", ink.fill, ink.line);
    tn_buf_printf(out, "fontcolor=\"%s\", label=<", ink.text);
    if (class == TN_INPUT || class == TN_SINK) {
        tn_buf_puts(out, "<b>");
        tn_put_xml(tn_attr_str(n, TN_ATTR_name), out);
        tn_buf_printf(out, "</b><br/><font point-size=\"" SMALL "\" color=\"%s\">", soft);
        if (class == TN_SINK) tn_buf_puts(out, "output ");
        tn_print_shape(&n->type, out);
    } else {
        tn_buf_printf(out, "<b>%s</b><br/><font point-size=\"" SMALL "\" color=\"%s\">%%%s",
                      tn_ops[n->op].name, soft, n->name);
        put_attrs(d, n, out);
    }
    tn_buf_puts(out, "</font>");
    if (put_hubs(d, n, &hubs))
        tn_buf_printf(out, "<br/><font point-size=\"" SMALL "\" color=\"%s\"><i>%s</i></font>", soft,
                      hubs.data);
    tn_buf_puts(out, ">];\n");
    tn_buf_free(&hubs);
}

/* "attn_q | attn_k": the tensors of the file that make up a weight, without layer and ending. */
static void put_tensors(Draw *d, TnRef r, uint32_t *n_put, TnBuf *b) {
    const TnNode *n = &d->g->nodes[r];
    if (n->op != TN_OP_gguf) {
        for (uint32_t i = 0; i < n->n_args; i++) put_tensors(d, n->args[i], n_put, b);
        if (n->op == TN_OP_colmajor) tn_buf_puts(b, ", by columns");
        if (n->n_args) return;
    }
    if ((*n_put)++) tn_buf_puts(b, " | ");
    if (n->op != TN_OP_gguf) {
        tn_buf_puts(b, n->name);
        return;
    }
    const char *name = tn_attr_str(n, TN_ATTR_name);
    if (strncmp(name, "blk.", 4) == 0) {
        const char *p = name + 4 + strspn(name + 4, "0123456789");
        if (*p == '.') name = p + 1;
    }
    size_t len = strlen(name);
    if (len > 7 && strcmp(name + len - 7, ".weight") == 0) len -= 7;
    tn_put_xml(tn_strndup(&d->arena, name, len), b);
}

/* Draws a weight beside its reader. A shared weight gets a note at each reader, to avoid a line across the
 * sheet. */
static void put_note(Draw *d, TnRef w, TnRef reader) {
    static const int64_t no_syms[TN_SYM_COUNT];
    const TnNode *n = &d->g->nodes[w];
    Ink ink = ink_of(n);
    TnBuf *out = d->out;
    uint32_t n_put = 0, id = d->notes++;
    tn_buf_printf(out,
                  "w%u [shape=note, style=filled, fillcolor=\"%s\", color=\"%s\", fontcolor=\"%s\", "
                  "fontsize=" SMALL ", margin=\"0.06,0.03\", label=<<b>",
                  id, ink.fill, ink.line, ink.text);
    put_tensors(d, w, &n_put, out);
    tn_buf_puts(out, "</b><br/>");
    tn_print_shape(&n->type, out);
    tn_buf_puts(out, " &middot; ");
    put_bytes((double)tn_type_bytes(&n->type, no_syms), out);
    tn_buf_puts(out, ">];\n");
    /* beside its reader, unless that is a matrix product: these often stand side by side (q, k, v), where
       notes between them would make lines cross */
    if (d->g->nodes[reader].op != TN_OP_tmatmul) tn_buf_printf(out, "{rank=same; w%u; n%u;}\n", id, reader);
    tn_buf_printf(out, "w%u -> n%u [color=\"%s\", arrowhead=none, penwidth=0.8];\n", id, reader, ink.line);
}

static void put_member(Draw *d, TnRef r) {
    const TnNode *n = &d->g->nodes[r];
    put_box(d, r);
    for (uint32_t i = 0; i < n->n_args; i++) {
        TnRef x = n->args[i];
        /* dequant only reads the scale of the matrix, which is drawn beside its tmatmul */
        if (tn_ops[d->g->nodes[x].op].class == TN_SOURCE && n->op != TN_OP_dequant) put_note(d, x, r);
    }
}

/* ---- groups */

typedef struct Item {
    int64_t outer;
    uint32_t inner; /* kernel, or a number of the part */
    TnRef r;
} Item;

static int by_group(const void *x, const void *y) {
    const Item *a = x, *b = y;
    if (a->outer != b->outer) return a->outer < b->outer ? -1 : 1;
    if (a->inner != b->inner) return a->inner < b->inner ? -1 : 1;
    return a->r < b->r ? -1 : a->r > b->r;
}

static double kernel_cost(const Draw *d, uint32_t k) {
    if (!d->o->kernel_ms) return -1;
    if (!d->o->fold_layers || d->g->kernels[k].n == 0) return d->o->kernel_ms[k];
    /* folded: all kernels that this one stands for */
    TnRef mine = d->g->kernels[k].first;
    double sum = -1;
    for (uint32_t i = 0; i < d->g->n_kernels; i++) {
        const TnKernel *other = &d->g->kernels[i];
        if (other->n && face(d, other->first) == mine && d->o->kernel_ms[i] >= 0)
            sum = (sum < 0 ? 0 : sum) + d->o->kernel_ms[i];
    }
    return sum;
}

static void open_kernel(Draw *d, uint32_t k) {
    static const char *const axes[] = {"", ", by rows", ", by columns"};
    const TnKernel *p = &d->g->kernels[k];
    TnBuf *out = d->out;
    double ms = kernel_cost(d, k);
    tn_buf_printf(out, "subgraph cluster_k%u { style=\"filled,rounded\"; penwidth=0.8; color=\"#b9c6d3\"; ",
                  k);
    tn_buf_printf(out, "fillcolor=\"%s\"; fontsize=12; labeljust=l; fontcolor=\"#1f2d3d\"; label=<<b>%s",
                  ms >= 0 && d->dearest > 0 ? heat(ms / d->dearest) : "#f3f6f9", p->name);
    if (p->target) {
        tn_buf_puts(out, ": ");
        tn_put_xml(p->target, out);
        tn_buf_printf(out, "%s, %lld unit%s", axes[p->axis], (long long)p->units, p->units == 1 ? "" : "s");
    }
    if (ms >= 0) tn_buf_printf(out, ", %.4g ms, %.1f %%", ms, d->total > 0 ? 100 * ms / d->total : 0.0);
    tn_buf_puts(out, "</b>>;\n");
}

static void open_layer(Draw *d, int64_t layer, bool folded) {
    tn_buf_printf(d->out,
                  "subgraph cluster_l%lld { style=rounded; penwidth=%s; color=\"#5b7793\"; fontsize=14; "
                  "labeljust=l; fontcolor=\"#2c4258\"; margin=10; label=<<b>",
                  (long long)layer, folded ? "2.4" : "1.2");
    if (folded)
        tn_buf_printf(d->out, "&times; %u layers, each on what the one before gave</b>>;\n", d->rep.count);
    else
        tn_buf_printf(d->out, "layer %lld</b>>;\n", (long long)(layer & (NOT_FOLDED - 1)));
}

/* Before fuse there are no kernels: parts of the layer are grouped instead. */
static uint32_t part_number(const char *part) {
    static const char *const known[] = {"attn", "ffn"};
    for (uint32_t i = 0; i < TN_COUNT(known); i++)
        if (strcmp(part, known[i]) == 0) return i;
    return TN_NONE;
}

static void open_part(Draw *d, int64_t outer, uint32_t part) {
    static const char *const names[] = {"attention", "feed forward"};
    tn_buf_printf(d->out,
                  "subgraph cluster_p%lld_%u { style=\"filled,rounded\"; penwidth=0.8; color=\"#c9d3dd\"; "
                  "fillcolor=\"#f6f8fa\"; fontsize=13; labeljust=l; fontcolor=\"#2c4258\"; margin=8; "
                  "label=\"%s\";\n",
                  (long long)outer, part, names[part]);
}

static void put_groups(Draw *d) {
    const TnGraph *g = d->g;
    Item *items = NULL;
    size_t n = 0, cap = 0;
    /* an input is drawn with its first reader */
    uint32_t *reader = tn_alloc_array(&d->arena, g->n + 1u, sizeof *reader);
    memset(reader, 0xff, (g->n + 1u) * sizeof *reader);
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++)
            if (reader[g->nodes[r].args[i]] == TN_NONE) reader[g->nodes[r].args[i]] = r;
    for (TnRef r = 0; r < g->n; r++) {
        if (!d->shown[r]) continue;
        const TnNode *x = &g->nodes[r];
        TnRef at = tn_ops[x->op].class == TN_INPUT && is_cache(x) && reader[r] != TN_NONE ? reader[r] : r;
        uint32_t inner = g->n_kernels ? g->nodes[at].kernel : part_number(d->places[at].part);
        Item one = {d->outer[at], inner, r};
        if (tn_ops[x->op].class == TN_SINK) one = (Item){NO_GROUP, TN_NONE, r};
        TN_PUSH(items, n, cap, one);
    }
    if (n) qsort(items, n, sizeof *items, by_group);
    for (size_t i = 0; i < n; i++) {
        bool new_outer = i == 0 || items[i].outer != items[i - 1].outer;
        bool new_inner = new_outer || items[i].inner != items[i - 1].inner;
        bool folded = d->o->fold_layers && items[i].outer >= 0 && items[i].outer < NOT_FOLDED;
        if (new_outer && items[i].outer != NO_GROUP) open_layer(d, items[i].outer, folded);
        if (new_inner && items[i].inner != TN_NONE) {
            if (g->n_kernels)
                open_kernel(d, items[i].inner);
            else
                open_part(d, items[i].outer, items[i].inner);
        }
        put_member(d, items[i].r);
        bool last = i + 1 == n;
        bool end_outer = last || items[i + 1].outer != items[i].outer;
        bool end_inner = end_outer || items[i + 1].inner != items[i].inner;
        if (end_inner && items[i].inner != TN_NONE) tn_buf_puts(d->out, "}\n");
        if (end_outer && items[i].outer != NO_GROUP) tn_buf_puts(d->out, "}\n");
    }
    free(items);
}

/* ---- edges */

static void put_edge(Draw *d, TnRef x, TnRef r, bool label) {
    const TnNode *p = &d->g->nodes[x];
    TnBuf *out = d->out;
    tn_buf_printf(out, "n%u -> n%u [", x, r);
    if (is_cache(p)) tn_buf_puts(out, "style=dashed, color=\"#8f72c4\", ");
    if (label) {
        tn_buf_puts(out, "label=\" ");
        tn_print_shape(&p->type, out);
        tn_buf_puts(out, "\"");
    }
    tn_buf_puts(out, "];\n");
}

static void put_edges(Draw *d) {
    const TnGraph *g = d->g;
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        if (!d->shown[r] && !d->boundary[r]) continue;
        for (uint32_t i = 0; i < n->n_args; i++) {
            TnRef x = n->args[i];
            if (leads_from(d, x, r)) tn_buf_printf(d->out, "n%u -> n%u [style=dotted];\n", x, r);
            if (tn_ops[g->nodes[x].op].class == TN_SOURCE || d->hub[x]) continue;
            if (!d->shown[r] && !d->shown[face(d, x)]) continue;
            if (n->op == TN_OP_dequant && i == 1) continue;
            bool input = tn_ops[g->nodes[x].op].class == TN_INPUT; /* its box says the type */
            if (d->shown[face(d, x)] || d->boundary[x])
                put_edge(d, face(d, x), r, !input && tn_ops[n->op].class != TN_SINK);
        }
    }
}

static void put_boundary(Draw *d) {
    for (TnRef r = 0; r < d->g->n; r++) {
        if (!d->boundary[r] || d->shown[r]) continue;
        const TnNode *n = &d->g->nodes[r];
        TnBuf place = {0};
        tn_place_print(d->places[r], &place);
        tn_buf_printf(d->out,
                      "n%u [shape=box, style=\"rounded,dashed\", color=\"#b9c6d3\", fontcolor=\"" SOFT "\", "
                      "label=<%s<br/><font point-size=\"" SMALL "\">%%%s%s%s</font>>];\n",
                      r, tn_ops[n->op].name, n->name, place.len ? " in " : "", place.len ? place.data : "");
        tn_buf_free(&place);
    }
}

static void put_head(Draw *d) {
    static const char *const stages[] = {"model", "fused", "planned"};
    const TnGraph *g = d->g;
    TnBuf *out = d->out;
    tn_buf_puts(out, "digraph tern {\n");
    tn_buf_puts(out, "graph [fontname=\"" FONT "\", bgcolor=white, rankdir=TB, nodesep=0.16, ranksep=0.3, "
                     "pad=0.15, labelloc=t, labeljust=l, fontsize=15, fontcolor=\"#1f2d3d\", label=<<b>");
    tn_buf_printf(out, "%s</b> &nbsp;<font point-size=\"12\" color=\"" SOFT "\">%s", g->name,
                  stages[g->stage]);
    if (g->level) {
        tn_buf_puts(out, ", ");
        tn_put_xml(g->level, out);
    }
    if (g->kv) tn_buf_printf(out, ", kv %s", tn_kv_names[g->kv]);
    if (g->rows_lo && g->rows_lo == g->rows_hi)
        tn_buf_printf(out, ", %lld row%s", (long long)g->rows_lo, g->rows_lo == 1 ? "" : "s");
    else if (g->rows_hi)
        tn_buf_printf(out, ", %lld&ndash;%lld rows", (long long)g->rows_lo, (long long)g->rows_hi);
    if (g->n_kernels) tn_buf_printf(out, ", %u kernels", g->n_kernels);
    if (d->total > 0) tn_buf_printf(out, ", %.4g ms", d->total);
    tn_buf_puts(out, "</font>>];\n");
    tn_buf_puts(out,
                "node [fontname=\"" FONT "\", fontsize=14, margin=\"0.1,0.04\", height=0.3, penwidth=1];\n");
    tn_buf_puts(out,
                "edge [fontname=\"" FONT "\", fontsize=" SMALL ", fontcolor=\"" SOFT "\", color=\"#465461\", "
                "arrowsize=0.6, penwidth=1];\n");
}

static void measure(Draw *d) {
    if (!d->o->kernel_ms) return;
    for (uint32_t k = 0; k < d->g->n_kernels; k++)
        if (d->o->kernel_ms[k] > 0) d->total += d->o->kernel_ms[k];
    for (uint32_t k = 0; k < d->g->n_kernels; k++) {
        double ms = kernel_cost(d, k);
        if (ms > d->dearest) d->dearest = ms;
    }
}

void tn_dot(const TnGraph *g, const TnDotOptions *options, TnBuf *out) {
    static const TnDotOptions none = {0};
    Draw d = {.g = g, .o = options ? options : &none, .out = out};
    d.places = tn_places(g, &d.arena);
    tn_repeat_find(g, &d.arena, &d.rep);
    d.hub = tn_alloc_array(&d.arena, g->n + 1u, sizeof *d.hub);
    d.shown = tn_alloc_array(&d.arena, g->n + 1u, sizeof *d.shown);
    d.boundary = tn_alloc_array(&d.arena, g->n + 1u, sizeof *d.boundary);
    d.outer = tn_alloc_array(&d.arena, g->n + 1u, sizeof *d.outer);
    find_hubs(&d);
    choose(&d);
    measure(&d);
    put_head(&d);
    put_groups(&d);
    put_boundary(&d);
    put_edges(&d);
    tn_buf_puts(out, "}\n");
    tn_arena_free(&d.arena);
}
