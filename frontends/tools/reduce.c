/* The reducer: delta debugging on graphs, where removing most things would leave a hole.
 *
 * What it does: it tries edits, each of which gives a smaller graph that is still well typed, and keeps an
 * edit if the failure is still there. The kinds of edit:
 *
 *   cut the end     only the first k values stay; those that the others read become outputs
 *   cut the front   the values before the k-th that the rest reads become inputs of the same type
 *   drop            an output; a kv_put, whose readers then see the cache before it
 *   input           one value becomes an input
 *   shorten         a last operand that its op does not need is removed
 *   bypass          the readers of a value read an operand of the same type instead
 *   simple source   a weight becomes `random` of its type, or of t8 or f32 where the encoding is a file's
 *   shrink          a constant dim becomes smaller, in one weight or input or wherever that number stands; a slice
 *                   starts at column 0 or has one column; the best 1 instead of the best k
 *
 * After every edit, values that nothing reads are removed. Cuts are tried by bisection: a failure that is
 * there with the first k values is assumed to be there with more values. That is true of miscompiled values;
 * where it is not, the result is only larger. The other edits are tried one by one, from the end, until a
 * whole round changes nothing.
 *
 * Needs: a check that is cheap enough to run often; the graph of a real model is down to a few values after
 * about thirty. Why it stops: every kept edit makes the graph smaller in (values, sum of dims, weights of
 * files), and the number of checks is limited. The result is a local minimum, not the smallest graph. */
#include "frontends/tools/reduce.h"
#include <stdlib.h>
#include <string.h>

enum { QUESTIONS = 3000 };

typedef enum Act { KEEP, DROP, INPUT, ALIAS, SHORT, RANDOM } Act;

typedef struct Edit {
    Act *act;     /* of each value */
    TnRef *alias; /* ALIAS: the value that is read instead */
    bool *shown;  /* whether it gets an output */
    TnRef dim_of; /* the dim `dim` of this value, or TN_NONE: all that are `from` */
    int dim;
    int64_t from, to; /* 0: none */
    bool multiples;   /* multiples of `from` too: heads times head */
    TnRef cut;        /* a slice gets lo and n, a choice of the best k gets n; or TN_NONE */
    int64_t lo, n;
} Edit;

typedef struct Reduce {
    TnGraph *g; /* the smallest so far */
    TnFailsFn *fails;
    void *user;
    uint32_t asked;
} Reduce;

/* ---- edits made graphs */

static Edit edit_new(const TnGraph *g) {
    return (Edit){.act = tn_xcalloc((size_t)g->n + 1, sizeof(Act)),
                  .alias = tn_xcalloc((size_t)g->n + 1, sizeof(TnRef)),
                  .shown = tn_xcalloc((size_t)g->n + 1, sizeof(bool)),
                  .dim_of = TN_NONE,
                  .cut = TN_NONE};
}
static void edit_free(Edit *e) {
    free(e->act);
    free(e->alias);
    free(e->shown);
}

/* What an edited value reads. */
static uint32_t reads(const TnGraph *g, const Edit *e, TnRef r, const TnRef **out) {
    *out = e->act[r] == ALIAS ? &e->alias[r] : g->nodes[r].args;
    if (e->act[r] == KEEP || e->act[r] == SHORT) return g->nodes[r].n_args - (e->act[r] == SHORT);
    return e->act[r] == ALIAS;
}

static bool *find_needed(const TnGraph *g, const Edit *e) {
    bool *needed = tn_xcalloc((size_t)g->n + 1, sizeof *needed);
    for (TnRef r = g->n; r-- > 0;) {
        if (e->act[r] == DROP) continue;
        bool effect = tn_ops[g->nodes[r].op].class == TN_SINK || tn_op_is(g->nodes[r].op, TN_TRAIT_STATE);
        if ((effect && e->act[r] == KEEP) || e->shown[r]) needed[r] = true;
        const TnRef *args;
        uint32_t n = needed[r] ? reads(g, e, r, &args) : 0;
        for (uint32_t i = 0; i < n; i++) needed[args[i]] = true;
    }
    return needed;
}

/* A dim of a weight or input after the edit. */
static TnDim dim_after(const Edit *e, TnRef r, int i, TnDim d) {
    if (!e->from || d < e->from) return d;
    if (e->multiples && d % e->from == 0) return d / e->from * e->to;
    if (d != e->from) return d;
    return e->dim_of == TN_NONE || (e->dim_of == r && e->dim == i) ? e->to : d;
}

/* The type of a value that has none inferred, with its dims and scales after the edit. */
static TnType type_after(const TnGraph *g, const Edit *e, TnRef r, TnArena *arena) {
    TnType t = g->nodes[r].type;
    for (int i = 0; i < t.rank; i++) t.dim[i] = dim_after(e, r, i, t.dim[i]);
    if (e->act[r] == RANDOM) {
        if (tn_enc_is_ternary(t.enc) && tn_encs[t.enc].kind != TN_TERNARY) t.enc = TN_ENC_t8;
        if (!tn_enc_is_ternary(t.enc) && !tn_enc_is_float(t.enc)) t.enc = TN_ENC_f32;
    }
    if (tn_type_in_groups(&t) && tn_enc_is_ternary(t.enc) &&
        t.dim[1] % t.group) { /* fewer columns than a group */
        TnScale *one = tn_alloc_array(arena, 1, sizeof *one);
        *one = (TnScale){t.dim[0], 1.0f};
        t.enc = TN_ENC_t8;
        t.group = 0;
        t.scales = one;
        t.n_scales = 1;
    } else if (t.n_scales &&
               t.dim[0] != g->nodes[r].type.dim[0]) { /* the first ranges that still have rows */
        TnScale *s = tn_alloc_array(arena, t.n_scales, sizeof *s);
        uint32_t n = 0;
        for (int64_t left = t.dim[0]; left > 0 && n < t.n_scales; n++) {
            s[n] = t.scales[n];
            if (s[n].rows > left || n + 1 == t.n_scales) s[n].rows = left;
            left -= s[n].rows;
        }
        t.scales = s;
        t.n_scales = n;
    }
    return t;
}

static bool add(TnGraph *to, TnOp op, const char *name, const TnType *type, const TnRef *args,
                uint32_t n_args, const TnAttr *attrs, uint32_t n_attrs, TnRef *out) {
    TnArena scratch = {0};
    TnType inferred;
    bool ok = tn_infer(to, op, type, args, n_args, attrs, n_attrs, &scratch, &inferred, NULL) == TERN_OK;
    tn_arena_free(&scratch);
    if (ok) *out = tn_node_add(to, op, name, type, args, n_args, attrs, n_attrs);
    return ok;
}

static bool add_edited(TnGraph *to, const TnGraph *g, const Edit *e, TnRef r, TnRef *map) {
    const TnNode *n = &g->nodes[r];
    TnAttr attrs[TN_ATTR_COUNT];
    TnRef args[TN_ARGS_MAX];
    uint32_t n_attrs = n->n_attrs, n_args = n->n_args - (e->act[r] == SHORT);
    if (e->act[r] == ALIAS) {
        map[r] = map[e->alias[r]];
        return map[r] != TN_NONE;
    }
    bool given = tn_node_is_source(g, r) || n->op == TN_OP_input || e->act[r] == INPUT;
    TnType t = type_after(g, e, r, &to->arena);
    if (e->act[r] == INPUT || e->act[r] == RANDOM) {
        attrs[0] = e->act[r] == INPUT ? (TnAttr){.key = TN_ATTR_name, .s = n->name}
                                      : (TnAttr){.key = TN_ATTR_seed, .i = r + 1};
        return add(to, e->act[r] == INPUT ? TN_OP_input : TN_OP_random, n->name, &t, NULL, 0, attrs, 1,
                   &map[r]);
    }
    for (uint32_t i = 0; i < n_args; i++)
        if ((args[i] = map[n->args[i]]) == TN_NONE) return false;
    for (uint32_t i = 0; i < n_attrs; i++) {
        attrs[i] = n->attrs[i];
        if (r == e->cut) {
            attrs[i].i = attrs[i].key == TN_ATTR_lo ? e->lo : e->n;
        } else if (n->op == TN_OP_slice) { /* a column count or the start of one */
            if (e->from && e->dim_of == TN_NONE && attrs[i].i % e->from == 0)
                attrs[i].i = attrs[i].i / e->from * e->to;
        } else if (attrs[i].key == TN_ATTR_values) {
            int64_t want = t.dim[0] * (t.rank > 1 ? t.dim[1] : 1);
            if (want < attrs[i].n) attrs[i].n = (uint32_t)want;
        }
    }
    if (tn_op_is_made(n->op)) given = false;
    return add(to, n->op, n->name, given ? &t : NULL, args, n_args, attrs, n_attrs, &map[r]);
}

/* The edited graph, or NULL if it is not valid. */
static TnGraph *apply(const TnGraph *g, const Edit *e) {
    TnGraph *to = tn_graph_create(g->name);
    TnRef *map = tn_xcalloc((size_t)g->n + 1, sizeof *map);
    bool *needed = find_needed(g, e), ok = true, any = false;
    for (TnRef r = 0; r < g->n; r++) map[r] = TN_NONE;
    for (TnRef r = 0; ok && r < g->n; r++) {
        if (needed[r]) ok = add_edited(to, g, e, r, map);
        any |= needed[r] &&
               (tn_ops[g->nodes[r].op].class == TN_SINK || tn_op_is(g->nodes[r].op, TN_TRAIT_STATE));
    }
    for (TnRef r = 0; ok && r < g->n; r++) {
        if (!e->shown[r]) continue;
        TnAttr a = {.key = TN_ATTR_name, .s = g->nodes[r].name};
        TnRef o;
        ok = add(to, TN_OP_output, NULL, NULL, &map[r], 1, &a, 1, &o);
        any = true;
    }
    TnDiag d = {0};
    if (ok) ok = any && tn_verify(to, &d) == TERN_OK;
    tn_diag_free(&d);
    free(map);
    free(needed);
    if (ok) return to;
    tn_graph_destroy(to);
    return NULL;
}

/* Applies the edit if the failure survives it. */
static bool keep_if_failing(Reduce *x, Edit *e) {
    if (x->asked >= QUESTIONS) return false;
    TnGraph *small = apply(x->g, e);
    if (!small) return false;
    x->asked++;
    if (!x->fails(x->user, small)) {
        tn_graph_destroy(small);
        return false;
    }
    tn_graph_destroy(x->g);
    x->g = small;
    return true;
}

/* ---- cuts */

static bool can_show(const TnGraph *g, TnRef r) {
    TnEnc e = g->nodes[r].type.enc;
    return (e == TN_ENC_f32 || e == TN_ENC_i32) && tn_ops[g->nodes[r].op].class > TN_INPUT &&
           g->nodes[r].op != TN_OP_output;
}

static Edit cut_end(const TnGraph *g, TnRef k) {
    Edit e = edit_new(g);
    for (TnRef r = k; r < g->n; r++) {
        e.act[r] = DROP;
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef a = g->nodes[r].args[i];
            if (a < k && can_show(g, a)) e.shown[a] = true;
        }
    }
    return e;
}

static bool becomes_input(const TnGraph *g, TnRef r) {
    TnEnc e = g->nodes[r].type.enc;
    return (e == TN_ENC_f32 || e == TN_ENC_i32) && tn_ops[g->nodes[r].op].class > TN_INPUT &&
           tn_ops[g->nodes[r].op].class != TN_SINK;
}

static Edit cut_front(const TnGraph *g, TnRef k) {
    Edit e = edit_new(g);
    for (TnRef r = 0; r < k; r++) {
        if (becomes_input(g, r)) e.act[r] = INPUT;
        if (tn_ops[g->nodes[r].op].class == TN_SINK) e.act[r] = DROP;
    }
    return e;
}

static void bisect_cuts(Reduce *x) {
    TnRef lo = 0, hi = x->g->n; /* the first hi values fail */
    while (lo + 1 < hi) {
        TnRef mid = lo + (hi - lo) / 2;
        Edit e = cut_end(x->g, mid);
        uint32_t before = x->g->n;
        bool yes = keep_if_failing(x, &e);
        edit_free(&e);
        if (yes) {
            /* the graph has changed: nodes before mid may be gone, and outputs were appended */
            lo = 0;
            hi = x->g->n;
            if (hi >= before) break;
        } else {
            lo = mid;
        }
    }
    for (TnRef step = x->g->n / 2; step > 0; step /= 2) {
        Edit e = cut_front(x->g, step);
        uint32_t before = x->g->n;
        bool yes = keep_if_failing(x, &e);
        edit_free(&e);
        if (yes && x->g->n < before) step = x->g->n;
    }
}

/* ---- edits one by one */

static bool try_act(Reduce *x, TnRef r, Act act, TnRef alias) {
    Edit e = edit_new(x->g);
    e.act[r] = act;
    e.alias[r] = alias;
    bool yes = keep_if_failing(x, &e);
    edit_free(&e);
    return yes;
}

/* Replaces the output or kv_put r by an output of a value further up: the nearest with which the failure
 * stays. */
static bool show_from_above(Reduce *x, TnRef r) {
    bool *above = tn_xcalloc((size_t)r + 1, sizeof *above), yes = false,
         put = tn_op_is(x->g->nodes[r].op, TN_TRAIT_STATE);
    TnRef is = put ? TN_NONE : x->g->nodes[r].args[0];
    above[x->g->nodes[r].args[put]] = true;
    for (TnRef a = r; !yes && a-- > 0;) {
        if (!above[a]) continue;
        if (a != is && can_show(x->g, a)) {
            Edit e = edit_new(x->g);
            e.act[r] = put ? ALIAS : DROP;
            e.alias[r] = x->g->nodes[r].args[0];
            e.shown[a] = true;
            yes = keep_if_failing(x, &e);
            edit_free(&e);
        }
        for (uint32_t i = 0; !yes && i < x->g->nodes[a].n_args; i++) above[x->g->nodes[a].args[i]] = true;
    }
    free(above);
    return yes;
}

static bool simplify_value(Reduce *x, TnRef r) {
    const TnNode *n = &x->g->nodes[r];
    TnOpClass class = tn_ops[n->op].class;
    if (class == TN_SINK) {
        if (try_act(x, r, DROP, 0)) return true;
        return show_from_above(x, r);
    }
    if (class == TN_SOURCE) return n->op != TN_OP_random && try_act(x, r, RANDOM, 0);
    if (class == TN_INPUT) return false;
    if (tn_op_is(n->op, TN_TRAIT_STATE)) return try_act(x, r, ALIAS, n->args[0]) || show_from_above(x, r);
    if (becomes_input(x->g, r) && try_act(x, r, INPUT, 0)) return true;
    n = &x->g->nodes[r];
    if (n->n_args > tn_ops[n->op].min_args && try_act(x, r, SHORT, 0)) return true;
    n = &x->g->nodes[r];
    for (uint32_t i = 0; i < n->n_args; i++)
        if (tn_type_equal(&n->type, &x->g->nodes[n->args[i]].type) && try_act(x, r, ALIAS, n->args[i]))
            return true;
    return false;
}

static bool simplify_values(Reduce *x) {
    bool any = false;
    for (TnRef r = x->g->n; r-- > 0;) {
        if (r >= x->g->n) continue; /* several were removed at once */
        if (simplify_value(x, r)) {
            any = true;
            r = x->g->n < r + 1 ? x->g->n : r + 1; /* the value that has this place now */
        }
    }
    return any;
}

/* ---- dims */

static bool try_dim(Reduce *x, TnRef only, int dim, int64_t from, bool multiples) {
    int64_t tries[] = {1, 2, from / 8, from / 2, from - 1};
    for (size_t i = 0; i < TN_COUNT(tries); i++) {
        if (tries[i] < 1 || tries[i] >= from) continue;
        Edit e = edit_new(x->g);
        e.dim_of = only;
        e.dim = dim;
        e.from = from;
        e.multiples = multiples;
        e.to = tries[i];
        bool yes = keep_if_failing(x, &e);
        edit_free(&e);
        if (yes) return true;
    }
    return false;
}

/* Slices start at column 0 and have one column, so that the dim before them can shrink; topk takes the best
 * one, so that the dim after it can. */
static bool shrink_cuts(Reduce *x) {
    bool any = false;
    for (TnRef r = 0; r < x->g->n; r++) {
        const TnNode *node = &x->g->nodes[r];
        bool slice = node->op == TN_OP_slice;
        if (!slice && !tn_node_attr(node, TN_ATTR_k)) continue;
        int64_t lo = slice ? tn_attr_int(node, TN_ATTR_lo) : 0;
        int64_t n = tn_attr_int(node, slice ? TN_ATTR_n : TN_ATTR_k);
        const int64_t tries[][2] = {{0, 1}, {0, n}, {lo, 1}};
        for (size_t i = 0; i < TN_COUNT(tries); i++) {
            if (tries[i][0] + tries[i][1] >= lo + n) continue;
            Edit e = edit_new(x->g);
            e.cut = r;
            e.lo = tries[i][0];
            e.n = tries[i][1];
            bool yes = keep_if_failing(x, &e);
            edit_free(&e);
            if (!yes) continue;
            any = true;
            break;
        }
    }
    return any;
}

static bool shrink_dims(Reduce *x) {
    bool any = shrink_cuts(x);
    for (TnRef r = 0; r < x->g->n; r++) {
        TnOp op = x->g->nodes[r].op;
        if ((!tn_node_is_source(x->g, r) && op != TN_OP_input) || tn_op_is_made(op))
            continue; /* a dim that follows from others does not shrink by itself */
        for (int i = 0; i < x->g->nodes[r].type.rank; i++)
            for (TnDim d; (d = x->g->nodes[r].type.dim[i]) > 1;) {
                bool yes = try_dim(x, TN_NONE, 0, d, true) || try_dim(x, TN_NONE, 0, d, false) ||
                           try_dim(x, r, i, d, false);
                if (!yes) break;
                any = true;
            }
    }
    return any;
}

/* The first edit removes values that nothing reads; if the failure is in them, they become outputs. */
static void show_unread(Reduce *x) {
    Edit e = edit_new(x->g);
    bool plain = keep_if_failing(x, &e);
    uint32_t *uses = tn_xcalloc((size_t)x->g->n + 1, sizeof *uses);
    tn_count_uses(x->g, uses);
    for (TnRef r = 0; !plain && r < x->g->n; r++) e.shown[r] = !uses[r] && can_show(x->g, r);
    if (!plain) keep_if_failing(x, &e);
    free(uses);
    edit_free(&e);
}

TnGraph *tn_reduce(const TnGraph *g, TnFailsFn *fails, void *user) {
    Reduce x = {.g = tn_graph_clone(g), .fails = fails, .user = user, .asked = 1};
    if (g->stage != TN_STAGE_MODEL || !fails(user, g)) return x.g;
    show_unread(&x);
    bisect_cuts(&x);
    do {
        while (simplify_values(&x)) {
        }
    } while (shrink_dims(&x));
    return x.g;
}

uint32_t tn_count_ops(const TnGraph *g) {
    uint32_t n = 0;
    for (TnRef r = 0; r < g->n; r++) n += tn_op_computes(g->nodes[r].op);
    return n;
}
