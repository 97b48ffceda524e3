/* Labels spread from weights and caches forward through the graph. */
#include "frontends/tools/layer_label.h"
#include <stdlib.h>
#include <string.h>

/* The number N in text such as "blkN." at s, or -1; *end points after the digits. */
static int32_t number_at(const char *s, const char **end) {
    int32_t n = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9' && n < 100000; p++) n = n * 10 + (*p - '0');
    *end = p;
    return p == s ? -1 : n;
}

static TnPlace of_tensor(const char *name, TnArena *arena) {
    TnPlace p = {TN_PLACE_ENTRY, ""};
    const char *rest;
    if (strncmp(name, "blk.", 4) == 0) {
        int32_t layer = number_at(name + 4, &rest);
        if (layer < 0 || *rest != '.') return p;
        p.layer = layer;
        p.part = tn_strndup(arena, rest + 1, strcspn(rest + 1, "_."));
    } else if (strncmp(name, "token_embd", 10) == 0) {
        p.part = "embed";
    } else if (strncmp(name, "output", 6) == 0) {
        p = (TnPlace){TN_PLACE_HEAD, "head"};
    }
    return p;
}

static TnPlace of_input(const TnNode *n) {
    TnPlace p = {TN_PLACE_ENTRY, ""};
    const char *rest;
    if (tn_encs[n->type.enc].kind != TN_CACHE) return p;
    const char *name = tn_attr_str(n, TN_ATTR_name);
    int32_t layer = *name ? number_at(name + 1, &rest) : -1;
    if (layer >= 0 && !*rest) p = (TnPlace){layer, "attn"};
    return p;
}

/* From its own weight or cache, else from the operand that is latest in the model. */
static TnPlace of_op(const TnGraph *g, const TnNode *n, const TnPlace *places) {
    TnPlace best = {TN_PLACE_ENTRY, ""};
    TnRef last = TN_NONE;
    if (n->type.rank && tn_dim_is_sym(n->type.dim[0]) && tn_dim_sym(n->type.dim[0]) >= TN_R &&
        tn_dim_sym(n->type.dim[0]) <= TN_H)
        return (TnPlace){TN_PLACE_HEAD, "head"};
    for (uint32_t i = 0; i < n->n_args; i++) {
        const TnNode *x = &g->nodes[n->args[i]];
        const TnPlace *p = &places[n->args[i]];
        bool own = tn_ops[x->op].class == TN_SOURCE ||
                   (tn_ops[x->op].class == TN_INPUT && tn_encs[x->type.enc].kind == TN_CACHE);
        if (own && *p->part) return *p;
        if (!*p->part && p->layer == TN_PLACE_ENTRY) continue;
        if (last == TN_NONE || p->layer > best.layer || (p->layer == best.layer && n->args[i] > last)) {
            best = *p;
            last = n->args[i];
        }
    }
    return best;
}

TnPlace *tn_places(const TnGraph *g, TnArena *arena) {
    TnPlace *out = tn_alloc_array(arena, g->n ? g->n : 1, sizeof *out);
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        if (n->op == TN_OP_gguf)
            out[r] = of_tensor(tn_attr_str(n, TN_ATTR_name), arena);
        else if (n->op == TN_OP_input)
            out[r] = of_input(n);
        else if (tn_ops[n->op].class == TN_SOURCE)
            out[r] = n->n_args ? out[n->args[0]] : (TnPlace){TN_PLACE_ENTRY, ""};
        else
            out[r] = of_op(g, n, out);
    }
    return out;
}

void tn_place_print(TnPlace p, TnBuf *out) {
    if (p.layer >= 0 && p.layer != TN_PLACE_HEAD)
        tn_buf_printf(out, "l%d%s%s", p.layer, *p.part ? "." : "", p.part);
    else
        tn_buf_puts(out, p.part);
}
