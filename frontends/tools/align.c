/* Pairing takes two steps.
 *
 * First, equal values: every node of both graphs gets a number by what it computes, and the k-th node with a
 * number in one graph is paired with the k-th in the other. For equal graphs that is all.
 *
 * A change gives everything below it another value. So, second, pairs spread to operands at the same place
 * and to readers at the same operand: first only where op, attributes and type agree and there is one
 * candidate, then with fewer and fewer conditions. Weights keep their names whatever happens above them, so
 * every layer has anchors. */
#include "frontends/tools/align.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/half.h"
#include "runtime/base/hash.h"

/* ---- keys of nodes */

static void put_attrs(const TnNode *n, TnBuf *key) {
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const TnAttr *a = &n->attrs[i];
        if (!tn_attr_structural(a->key)) continue;
        tn_attr_put_key(a, key);
    }
}

/* The key of the node alone. Weights and inputs are identified by name and packed weights by what is packed;
 * their types are compared later. */
static void put_node(const TnNode *n, TnBuf *key) {
    uint32_t op = n->op;
    tn_buf_put(key, &op, sizeof op);
    put_attrs(n, key);
    bool named = n->op == TN_OP_gguf || tn_ops[n->op].class == TN_INPUT || n->op == TN_OP_pack ||
                 tn_op_is_made(n->op) || tn_ops[n->op].class == TN_SINK;
    if (named) return;
    uint32_t head[2] = {n->type.enc, n->type.rank};
    tn_buf_put(key, head, sizeof head);
    tn_buf_put(key, n->type.dim, n->type.rank * sizeof n->type.dim[0]);
}

static void count_uses(TnAligned *s, TnArena *arena) {
    const TnGraph *g = s->g;
    uint32_t total = 0;
    s->first_use = tn_alloc_array(arena, g->n + 1, sizeof *s->first_use);
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++, total++) s->first_use[g->nodes[r].args[i] + 1]++;
    for (TnRef r = 0; r < g->n; r++) s->first_use[r + 1] += s->first_use[r];
    s->uses = tn_alloc_array(arena, total ? total : 1, sizeof *s->uses);
    uint32_t *at = tn_alloc_array(arena, g->n + 1, sizeof *at);
    for (TnRef r = 0; r < g->n; r++)
        for (uint32_t i = 0; i < g->nodes[r].n_args; i++) {
            TnRef x = g->nodes[r].args[i];
            s->uses[s->first_use[x] + at[x]++] = r;
        }
}

static void describe(TnAligned *s, const TnGraph *g, TnMap *values, TnArena *arena) {
    uint32_t n = g->n ? g->n : 1;
    *s = (TnAligned){.g = g,
                     .match = tn_alloc_array(arena, n, sizeof *s->match),
                     .value = tn_alloc_array(arena, n, sizeof *s->value),
                     .exact = tn_alloc_array(arena, n, sizeof *s->exact),
                     .kind = tn_alloc_array(arena, n, sizeof *s->kind)};
    TnBuf key = {0};
    for (TnRef r = 0; r < g->n; r++) {
        const TnNode *x = &g->nodes[r];
        s->match[r] = TN_NONE;
        key.len = 0;
        put_node(x, &key);
        s->exact[r] = tn_hash64(key.data, key.len);
        uint32_t kind[2] = {x->op, x->n_args};
        s->kind[r] = tn_hash64(kind, sizeof kind);
        for (uint32_t i = 0; i < x->n_args; i++) tn_buf_put(&key, &s->value[x->args[i]], sizeof(uint32_t));
        uint32_t id = tn_map_get(values, key.data, key.len);
        if (id == TN_MAP_NONE) {
            id = (uint32_t)values->n;
            tn_map_set(values, tn_strndup(arena, key.data, key.len), key.len, id);
        }
        s->value[r] = id;
    }
    tn_buf_free(&key);
    count_uses(s, arena);
}

/* ---- pairing */

typedef struct Align {
    TnAligned *a, *b;
    TnRef *pairs; /* nodes of a, in the order they were paired */
    uint32_t n;
    uint32_t left_a, left_b;
} Align;

static void pair(Align *c, TnRef x, TnRef y) {
    c->a->match[x] = y;
    c->b->match[y] = x;
    c->pairs[c->n++] = x;
    c->left_a--;
    c->left_b--;
}

static void pair_equal_values(Align *c, uint32_t n_values, TnArena *arena) {
    TnRef *head = tn_alloc_array(arena, n_values + 1, sizeof *head);
    TnRef *next = tn_alloc_array(arena, c->a->g->n + 1, sizeof *next);
    memset(head, 0xff, (n_values + 1) * sizeof *head);
    for (TnRef r = c->a->g->n; r-- > 0;) {
        next[r] = head[c->a->value[r]];
        head[c->a->value[r]] = r;
    }
    for (TnRef r = 0; r < c->b->g->n; r++) {
        TnRef x = head[c->b->value[r]];
        if (x == TN_NONE) continue;
        head[c->b->value[r]] = next[x];
        pair(c, x, r);
    }
}

/* What must agree in two nodes. */
typedef enum Ask { ASK_EXACT, ASK_KIND, ASK_PLACE } Ask;

static uint64_t label(const TnAligned *s, TnRef r, Ask ask) {
    if (ask == ASK_EXACT) return s->exact[r];
    /* a weight, an input or an output never takes the place of another op */
    TnOpClass class = tn_ops[s->g->nodes[r].op].class;
    if (ask == ASK_KIND || class == TN_SOURCE || class == TN_INPUT || class == TN_SINK) return s->kind[r];
    return 1;
}

typedef struct Reader {
    uint64_t label;
    TnRef r;
} Reader;

static int by_label(const void *x, const void *y) {
    const Reader *a = x, *b = y;
    if (a->label != b->label) return a->label < b->label ? -1 : 1;
    return a->r < b->r ? -1 : a->r > b->r;
}

/* The unpaired readers of r, labelled by what they are and by the operand at which they read it. */
static uint32_t readers(const TnAligned *s, TnRef r, Ask ask, Reader **out, size_t *cap) {
    size_t n = 0;
    for (uint32_t i = s->first_use[r]; i < s->first_use[r + 1]; i++) {
        TnRef u = s->uses[i];
        if (s->match[u] != TN_NONE || (i > s->first_use[r] && s->uses[i - 1] == u)) continue;
        const TnNode *x = &s->g->nodes[u];
        uint64_t mask = 0;
        for (uint32_t k = 0; k < x->n_args; k++) mask |= (uint64_t)(x->args[k] == r) << k;
        Reader one = {label(s, u, ask) ^ mask * 0x9e3779b97f4a7c15u, u};
        TN_PUSH(*out, n, *cap, one);
    }
    if (n > 1) qsort(*out, n, sizeof **out, by_label);
    return (uint32_t)n;
}

typedef struct Room {
    Reader *a, *b;
    size_t cap_a, cap_b;
} Room;

/* Pairs the neighbours of one pair. `ordered`: several candidates are paired in order where their numbers
 * agree. */
static void spread(Align *c, TnRef x, Ask ask, bool ordered, Room *room) {
    TnRef y = c->a->match[x];
    const TnNode *p = &c->a->g->nodes[x], *q = &c->b->g->nodes[y];
    for (uint32_t i = 0; i < p->n_args && i < q->n_args; i++) {
        TnRef u = p->args[i], v = q->args[i];
        if (c->a->match[u] == TN_NONE && c->b->match[v] == TN_NONE &&
            label(c->a, u, ask) == label(c->b, v, ask))
            pair(c, u, v);
    }
    uint32_t n = readers(c->a, x, ask, &room->a, &room->cap_a);
    uint32_t m = n ? readers(c->b, y, ask, &room->b, &room->cap_b) : 0;
    for (uint32_t i = 0, j = 0; i < n && j < m;) {
        uint64_t la = room->a[i].label, lb = room->b[j].label;
        uint32_t ni = 1, nj = 1;
        while (i + ni < n && room->a[i + ni].label == la) ni++;
        while (j + nj < m && room->b[j + nj].label == lb) nj++;
        if (la == lb && (ni == 1 || ordered) && ni == nj)
            for (uint32_t k = 0; k < ni; k++) pair(c, room->a[i + k].r, room->b[j + k].r);
        if (la <= lb) i += ni;
        if (lb <= la) j += nj;
    }
}

static void spread_all(Align *c) {
    static const struct {
        Ask ask;
        bool ordered;
    } passes[] = {
        {ASK_EXACT, false}, {ASK_EXACT, true}, {ASK_KIND, false}, {ASK_KIND, true}, {ASK_PLACE, false}};
    enum { ROUNDS = 24 }; /* each goes over all pairs; nodes left unpaired are reported as added or removed */
    Room room = {0};
    for (uint32_t round = 0, p = 0; p < TN_COUNT(passes) && round < ROUNDS && c->left_a && c->left_b;
         round++) {
        uint32_t before = c->n;
        for (uint32_t i = 0; i < c->n; i++) spread(c, c->pairs[i], passes[p].ask, passes[p].ordered, &room);
        /* new anchors: be strict again before relaxing the conditions */
        p = c->n > before ? 0 : p + 1;
    }
    free(room.a);
    free(room.b);
}

void tn_align(const TnGraph *a, const TnGraph *b, TnArena *arena, TnAligned *out_a, TnAligned *out_b) {
    TnMap values = {0};
    describe(out_a, a, &values, arena);
    describe(out_b, b, &values, arena);
    Align c = {.a = out_a, .b = out_b, .left_a = a->n, .left_b = b->n};
    c.pairs = tn_alloc_array(arena, (a->n < b->n ? a->n : b->n) + 1u, sizeof *c.pairs);
    pair_equal_values(&c, (uint32_t)values.n, arena);
    spread_all(&c);
    tn_map_free(&values);
}
