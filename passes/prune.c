/* prune: neurons whose weights are all zero are left out.
 *
 * Training leaves rows of gate or up in which every weight is 0. Such a neuron adds nothing, yet its rows of gate
 * and up and its column of down are read for every token. The weights are known now, so the pass removes them:
 *
 *   %act: f32[T,m] = relu2(gate) * up          $p = places {mask=..}                 the neurons that are kept
 *   %h: f32[T,m] = rmsnorm %act, $w            $gate2 = keep_rows $gate, $p {n=k}    likewise up
 *   %y: f32[T,d] = down(quant(%h))             $down2 = keep_cols $down, $p {n=k}    likewise $w
 *                                              %h: f32[T,k] = rmsnorm %act, $w2, $p {n=m}
 *
 * Kept neurons stay in order. k is their number, plus one if there is a sub-norm, rounded up to a multiple of the largest
 * power of two that is at most m/16 and at most 256. The rounding adds neurons of zeros; with it, layers of about equal
 * width share their kernels.
 *
 * Does: the above for y = act(g) * u, where act is relu2 or silu (trait GATE) and g and u are dequants of ternary
 * multiplications. y must be read by quants that only multiplications read, or by one rmsnorm that only such quants read.
 * A neuron is dead if its row of gate or its row of up is all zero.
 * Needs: a verified graph of stage model, cse before it and merge after it; the weights' bytes (ctx->weights). A
 * graph without them stays as it is.
 * Breaks: nothing.
 * Stops: each product is looked at once; a pruned one does not get narrower by the rounding above, and is left alone.
 *
 * Why no bit changes. The integer sums of gate and up are multiplied by scale * d, where d is the scale of the
 * quantised input.
 *   1. If d is NaN, every column of g and u is that NaN, dead or not, and so is every column of act(g) * u. So is every
 *      element after the sub-norm, whose weights are finite where it matters, and the d of the next quant, whose codes are
 *      all 0. Leaving columns out changes none of this, since at least one stays.
 *   2. Otherwise no sum overflows. The pass proves it: the input of the quant is an rmsnorm with finite weights w and
 *      eps >= 2^-126. For a row of K elements x, the computed mean square is at least x^2/K up to rounding, since adding
 *      squares never makes a sum smaller. So |x*r| <= 2 sqrt(K), scaled or not, or NaN, which is case 1. Hence
 *      d <= 2 sqrt(K) max|w| / 127 (or 1e-5 / 127), and |g|, |u| <= 127 K d |scale|. The pass requires that bound to be
 *      below 2^60, so g, u and relu2(g) are finite. The sum of a dead row is 0, so its act(g) * u is 0, of either sign.
 *   3. The square of that 0 adds +0 to a lane that is at least +0, which changes nothing. The places put every other
 *      element at its own lane and turn, and an element of a neuron of zeros where one was removed. r is the same, and
 *      finite, since eps > 0.
 *   4. After the sub-norm the dead element is (0*r)*w = 0, since its w must be finite. It does not change quant's largest
 *      magnitude, its code is 0, and 0 times a weight of down adds nothing to an exact sum.
 *
 * Left alone: gate and up that are slices of one multiplication already; a layer of which anything else reads a value on
 * the way; an input that is not an rmsnorm; more neurons than the text can name (16,384); and gains that the rounding eats
 * up. */
#include "passes/internal.h"
#include "ir/places.h"
#include <math.h>
#include <stdlib.h>

#define LEAST_EPS 0x1p-126f
#define MOST      0x1p60 /* what g and u stay below: then g*g is finite */

/* A linear layer: d = dequant(tmatmul(q, w), q, w), with acc the tmatmul. */
typedef struct Linear {
    TnRef w, acc, d;
} Linear;

typedef struct Neurons {
    Linear gate, up;
    TnRef act, y, norm; /* norm or TN_NONE */
    int64_t m;
    bool *dead;
} Neurons;

typedef struct Prune {
    TnGraph *g;
    const TnWeights *weights;
    TnReaders readers;
} Prune;

static uint32_t n_readers(const Prune *p, TnRef r) {
    return p->readers.at[r + 1] - p->readers.at[r];
}
static TnRef reader(const Prune *p, TnRef r, uint32_t i) {
    return p->readers.list[p->readers.at[r] + i];
}

/* The floats of a vector of weights, malloc'ed; NULL if they are not available. */
static float *vector(const Prune *p, TnRef w) {
    const TnType *t = &p->g->nodes[w].type;
    TernError ignored;
    void *raw = tn_xcalloc(tn_type_bytes(t, NULL), 1);
    float *out = tn_xcalloc((size_t)tn_weight_len(t), sizeof *out);
    bool ok = tn_weight_all(p->g, w, p->weights, raw, &ignored) == TERN_OK;
    if (ok) tn_decode_row(t, raw, 0, out);
    free(raw);
    if (ok) return out;
    free(out);
    return NULL;
}

/* Point 2 of the essay: whether the layer's results stay below MOST, or are NaN in the whole row. */
static bool is_bounded(const Prune *p, const Linear *l) {
    const TnGraph *g = p->g;
    TnRef q = g->nodes[l->acc].args[0], h = g->nodes[q].args[0];
    const TnNode *norm = &g->nodes[h];
    if (g->nodes[q].op != TN_OP_quant || norm->op != TN_OP_rmsnorm) return false;
    if (tn_node_attr(norm, TN_ATTR_n) || tn_attr_float(norm, TN_ATTR_eps) < LEAST_EPS) return false;
    int64_t k = norm->type.dim[1];
    float *w = vector(p, norm->args[1]), top = 0.0f;
    if (!w) return false;
    for (int64_t i = 0; i < k; i++) top = fabsf(w[i]) <= top ? top : fabsf(w[i]); /* NaN too */
    free(w);
    double scale = 0, most = 2 * sqrt((double)k) * (double)top;
    const TnType *t = &g->nodes[l->w].type;
    if (t->group) return false; /* its scales are not known here */
    for (uint32_t i = 0; i < t->n_scales; i++) scale = fmax(scale, fabs((double)t->scales[i].scale));
    if (t->two) scale *= 2;
    return (double)k * scale * (most > 1e-5 ? most : 1e-5) < MOST;
}

/* Whether d is the result of a linear layer and has one reader; sets *out. */
static bool is_linear(const Prune *p, TnRef d, Linear *out) {
    const TnGraph *g = p->g;
    const TnNode *n = &g->nodes[d];
    if (n->op != TN_OP_dequant || n_readers(p, d) != 1) return false;
    *out = (Linear){.w = n->args[2], .acc = n->args[0], .d = d};
    const TnNode *acc = &g->nodes[out->acc];
    return acc->op == TN_OP_tmatmul && acc->n_args == 2 && n_readers(p, out->acc) == 1 &&
           acc->args[0] == n->args[1] && acc->args[1] == out->w && is_bounded(p, out);
}

static bool is_act(const Prune *p, TnRef r) {
    return tn_op_is(p->g->nodes[r].op, TN_TRAIT_GATE) && n_readers(p, r) == 1;
}

/* Whether only quants read r, and only multiplications and their dequants read those quants. */
static bool is_quantised(const Prune *p, TnRef r) {
    const TnGraph *g = p->g;
    for (uint32_t i = 0; i < n_readers(p, r); i++) {
        TnRef q = reader(p, r, i);
        if (g->nodes[q].op != TN_OP_quant) return false;
        for (uint32_t j = 0; j < n_readers(p, q); j++) {
            const TnNode *n = &g->nodes[reader(p, q, j)];
            if (n->op != TN_OP_dequant && (n->op != TN_OP_tmatmul || n->n_args != 2)) return false;
        }
    }
    return n_readers(p, r) > 0;
}

static bool match(const Prune *p, TnRef y, Neurons *out) {
    const TnGraph *g = p->g;
    const TnNode *n = &g->nodes[y];
    if (n->op != TN_OP_mul || n->args[0] == n->args[1]) return false;
    TnRef act = n->args[0], u = n->args[1];
    if (!is_act(p, act)) {
        act = n->args[1];
        u = n->args[0];
    }
    *out = (Neurons){.act = act, .y = y, .norm = TN_NONE, .m = n->type.dim[1]};
    if (out->m > TN_PLACES_MAX || !is_act(p, act)) return false;
    if (n_readers(p, y) == 1 && g->nodes[reader(p, y, 0)].op == TN_OP_rmsnorm) out->norm = reader(p, y, 0);
    if (out->norm != TN_NONE) {
        const TnNode *norm = &g->nodes[out->norm];
        if (norm->n_args > 2 || tn_node_attr(norm, TN_ATTR_n) || norm->args[0] != y ||
            !(tn_attr_float(norm, TN_ATTR_eps) > 0))
            return false;
    }
    return is_quantised(p, out->norm == TN_NONE ? y : out->norm) &&
           is_linear(p, g->nodes[act].args[0], &out->gate) && is_linear(p, u, &out->up);
}

/* Sets dead and returns the number of columns that are left, or m if the weights are not available. */
static int64_t count_left(const Prune *p, Neurons *n) {
    TernError ignored;
    bool *up = tn_xcalloc((size_t)n->m, sizeof *up);
    n->dead = tn_xcalloc((size_t)n->m, sizeof *n->dead);
    bool ok = tn_weight_dead_rows(p->g, n->gate.w, p->weights, n->dead, &ignored) == TERN_OK &&
              tn_weight_dead_rows(p->g, n->up.w, p->weights, up, &ignored) == TERN_OK;
    float *w = ok && n->norm != TN_NONE ? vector(p, p->g->nodes[n->norm].args[1]) : NULL;
    if (n->norm != TN_NONE && !w) ok = false;
    int64_t left = 0;
    for (int64_t i = 0; i < n->m; i++) {
        n->dead[i] |= up[i];
        if (w && !(fabsf(w[i]) < INFINITY)) n->dead[i] = false;
        left += !n->dead[i];
    }
    free(w);
    free(up);
    if (p->weights && p->weights->rest) p->weights->rest(p->weights->ctx);
    return ok ? left : n->m;
}

static int64_t rounded(int64_t left, int64_t m) {
    int64_t unit = 1;
    while (unit < 256 && unit * 32 <= m) unit *= 2;
    left = (left + unit - 1) / unit * unit;
    return left ? left : unit;
}

static void set_width(TnGraph *g, TnRef r, int64_t n) {
    TnType *t = &g->nodes[r].type;
    t->dim[t->rank - 1] = n;
}

/* Makes the readers of q read only the kept columns of down. */
static void narrow_down(Prune *p, TnRef q, TnRef places, TnAttr n) {
    TnGraph *g = p->g;
    set_width(g, q, n.i);
    for (uint32_t j = 0; j < n_readers(p, q); j++) {
        TnRef r = reader(p, q, j);
        uint32_t at = g->nodes[r].op == TN_OP_tmatmul ? 1 : 2;
        TnRef w = g->nodes[r].args[at], narrow = TN_NONE;
        for (uint32_t i = 0; i < j && narrow == TN_NONE; i++) { /* a dequant reads what its tmatmul does */
            const TnNode *other = &g->nodes[reader(p, q, i)];
            TnRef theirs = other->args[other->op == TN_OP_tmatmul ? 1 : 2];
            if (g->nodes[theirs].op == TN_OP_keep_cols && g->nodes[theirs].args[0] == w) narrow = theirs;
        }
        if (narrow == TN_NONE)
            narrow = tn_node_add(g, TN_OP_keep_cols, NULL, NULL, (TnRef[]){w, places}, 2, &n, 1);
        g->nodes[r].args[at] = narrow;
    }
}

static void narrow(Prune *p, const Neurons *s, int64_t k) {
    TnGraph *g = p->g;
    bool *kept = tn_xcalloc((size_t)s->m, sizeof *kept);
    for (int64_t i = 0; i < s->m; i++) kept[i] = !s->dead[i];
    TnAttr mask = {.key = TN_ATTR_mask, .s = tn_mask_new(&g->arena, kept, s->m)};
    TnAttr n = {.key = TN_ATTR_n, .i = k}, was = {.key = TN_ATTR_n, .i = s->m};
    free(kept);
    TnRef places = tn_node_add(g, TN_OP_places, NULL, NULL, NULL, 0, &mask, 1);
    const Linear *both[] = {&s->gate, &s->up};
    for (int i = 0; i < 2; i++) {
        const Linear *l = both[i];
        TnRef w = tn_node_add(g, TN_OP_keep_rows, NULL, NULL, (TnRef[]){l->w, places}, 2, &n, 1);
        g->nodes[l->acc].args[1] = w;
        g->nodes[l->d].args[2] = w;
        set_width(g, l->acc, k);
        set_width(g, l->d, k);
    }
    set_width(g, s->act, k);
    set_width(g, s->y, k);
    TnRef last = s->y;
    if (s->norm != TN_NONE) {
        TnRef w = tn_node_add(g, TN_OP_keep_cols, NULL, NULL, (TnRef[]){g->nodes[s->norm].args[1], places}, 2,
                              &n, 1);
        TnNode *norm = &g->nodes[s->norm];
        TnRef *args = tn_alloc_array(&g->arena, 3, sizeof *args);
        args[0] = s->y;
        args[1] = w;
        args[2] = places;
        norm->args = args;
        norm->n_args = 3;
        tn_node_set_attr(g, s->norm, was);
        set_width(g, s->norm, k);
        last = s->norm;
    }
    for (uint32_t i = 0; i < n_readers(p, last); i++) narrow_down(p, reader(p, last, i), places, n);
}

TernStatus pass_prune(TnGraph *g, const TnPassCtx *ctx, TernError *err) {
    (void)err;
    Prune p = {.g = g, .weights = ctx->weights};
    TnEdit edit;
    tn_readers_create(g, &p.readers);
    tn_edit_begin(&edit, g);
    for (TnRef r = 0; r < edit.n; r++) {
        Neurons s;
        if (!match(&p, r, &s)) continue;
        int64_t left = count_left(&p, &s), k = rounded(left + (s.norm != TN_NONE), s.m);
        if (left < s.m && k < s.m) narrow(&p, &s, k);
        free(s.dead);
    }
    tn_edit_end(&edit, false);
    tn_readers_destroy(&p.readers);
    return TERN_OK;
}
