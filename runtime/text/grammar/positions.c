/* Lays out the rules as positions, and sets of code points as automata over bytes. */
#include "runtime/text/grammar/positions.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/status.h"

enum { SET_NODES_MOST = 4096 }; /* of one set: less than TN_CHAR_DONE */

/* ---- A set of code points as an automaton
 *
 * A byte at the beginning of a character, or after `r` more are known to come, stands for a run of code points. If all of
 * the run is in the set, what follows is any continuation; if none is, the byte may not come; else the byte has a node of
 * its own. Runs hold only valid code points when they are all in the set, since sets hold no others: overlong forms,
 * surrogates and what is above U+10FFFF fall out by themselves. */

typedef struct Set {
    TnPositions *p;
    const TnPoints *points;
    uint32_t first;   /* its first node */
    uint16_t full[4]; /* the node that takes any r continuation bytes; 0: not made yet */
    uint32_t least;   /* the lowest code point of this length of character */
    bool too_large;
} Set;

/* How much of lo..hi is in the set: 0 nothing, 1 some, 2 all. */
static int share(const Set *s, uint32_t lo, uint32_t hi) {
    const TnPoints *p = s->points;
    uint32_t a = 0, b = p->n;
    bool whole = lo >= s->least; /* the rest has a shorter form */
    if (hi < s->least) return 0;
    if (!whole) lo = s->least;
    while (a < b) { /* the first range that ends at lo or after it */
        uint32_t m = a + (b - a) / 2;
        if (p->ranges[m].hi < lo)
            a = m + 1;
        else
            b = m;
    }
    if (a == p->n || p->ranges[a].lo > hi) return 0;
    return whole && p->ranges[a].lo <= lo && p->ranges[a].hi >= hi ? 2 : 1;
}

typedef struct Row {
    TnByteRange r[256];
    uint32_t n;
} Row;

static void row_add(Row *row, uint8_t byte, uint16_t to) {
    TnByteRange *last = row->n ? &row->r[row->n - 1] : NULL;
    if (last && last->to == to && last->hi + 1 == byte)
        last->hi = byte;
    else
        row->r[row->n++] = (TnByteRange){byte, byte, to};
}

static uint16_t new_node(Set *s) {
    TnPositions *p = s->p;
    uint32_t i = (uint32_t)p->n_nodes - s->first;
    if (i >= SET_NODES_MOST) {
        s->too_large = true;
        return 0;
    }
    TN_PUSH(p->nodes, p->n_nodes, p->cap_nodes, ((TnByteNode){0, 0, i}));
    return (uint16_t)i;
}

static void set_row(Set *s, uint16_t node, const Row *row) {
    TnPositions *p = s->p;
    TnByteNode *n = &p->nodes[s->first + node];
    n->first = (uint32_t)p->n_ranges, n->n = row->n;
    for (uint32_t i = 0; i < row->n; i++) TN_PUSH(p->ranges, p->n_ranges, p->cap_ranges, row->r[i]);
}

/* What comes after a byte with r continuation bytes to come, for code points from lo on. Returns false if nothing. */
static bool after(Set *s, uint32_t lo, int r, uint16_t *out);

static uint16_t full_node(Set *s, int r) {
    if (s->full[r]) return s->full[r];
    Row row = {.n = 1};
    uint16_t i = s->full[r] = new_node(s);
    row.r[0] = (TnByteRange){0x80, 0xbf, r == 1 ? TN_CHAR_DONE : full_node(s, r - 1)};
    if (!s->too_large) set_row(s, i, &row);
    return i;
}

static uint16_t part_node(Set *s, uint32_t lo, int r) {
    Row row = {.n = 0};
    uint16_t i = new_node(s), to;
    for (uint32_t b = 0; b < 64 && !s->too_large; b++)
        if (after(s, lo + (b << (6 * (r - 1))), r - 1, &to)) row_add(&row, (uint8_t)(0x80 + b), to);
    if (!s->too_large) set_row(s, i, &row);
    return i;
}

static bool after(Set *s, uint32_t lo, int r, uint16_t *out) {
    int how = share(s, lo, lo + (1u << (6 * r)) - 1);
    if (how == 0) return false;
    *out = r == 0 ? TN_CHAR_DONE : how == 2 ? full_node(s, r) : part_node(s, lo, r);
    return true;
}

/* Makes the nodes of a set, the first one first. */
static TernStatus make_set(TnPositions *p, const TnItem *item, uint32_t *out_first, TernError *err) {
    static const struct {
        uint8_t lo, hi, r, mask;
        uint32_t least;
    } leads[] = {{0x00, 0x7f, 0, 0x7f, 0},
                 {0xc2, 0xdf, 1, 0x1f, 0x80},
                 {0xe0, 0xef, 2, 0x0f, 0x800},
                 {0xf0, 0xf4, 3, 0x07, 0x10000}};
    Set s = {.p = p, .points = &item->points, .first = (uint32_t)p->n_nodes};
    Row row = {.n = 0};
    uint16_t root = new_node(&s), to;
    for (size_t l = 0; l < TN_COUNT(leads); l++) {
        s.least = leads[l].least;
        for (uint32_t b = leads[l].lo; b <= leads[l].hi && !s.too_large; b++)
            if (after(&s, (b & leads[l].mask) << (6 * leads[l].r), leads[l].r, &to))
                row_add(&row, (uint8_t)b, to);
    }
    if (s.too_large)
        return tn_fail(
            err, TERN_ERR_INPUT,
            "line %u, column %u: got a class whose UTF-8 has more than %d states, expected fewer ranges",
            item->line, item->col, SET_NODES_MOST);
    set_row(&s, root, &row);
    *out_first = s.first;
    return TERN_OK;
}

/* ---- Positions */

typedef struct Making {
    TnPositions *p;
    TnMap sets; /* ranges of a set -> its first node */
    TernError *err;
} Making;

/* Equal sets share their nodes. */
static TernStatus find_set(Making *m, const TnItem *i, uint32_t *out) {
    const char *key = (const char *)i->points.ranges;
    size_t n = i->points.n * sizeof *i->points.ranges;
    *out = tn_map_get(&m->sets, key, n);
    if (*out != TN_MAP_NONE) return TERN_OK;
    TN_TRY(make_set(m->p, i, out, m->err));
    tn_map_set(&m->sets, key, n, *out);
    return TERN_OK;
}

static uint32_t push(TnPositions *p, TnPositionKind kind, uint32_t a, uint32_t next) {
    TN_PUSH(p->v, p->n, p->cap, ((TnPosition){kind, a, next}));
    return (uint32_t)(p->n - 1);
}

static TernStatus put_item(Making *m, const TnItem *i) {
    TnPositions *p = m->p;
    uint32_t next = (uint32_t)p->n + 1, node;
    switch (i->kind) {
    case TN_ITEM_CHAR:
        TN_TRY(find_set(m, i, &node));
        uint32_t n = 1;
        while (node + n < p->n_nodes && p->nodes[node + n].in_set == n) n++;
        next = (uint32_t)p->n + n;
        for (uint32_t k = 0; k < n; k++) push(p, TN_AT_BYTE, node + k, next);
        return TERN_OK;
    case TN_ITEM_TOKEN:
        push(p, TN_AT_TOKEN, i->token, next);
        return TERN_OK;
    case TN_ITEM_TOKEN_NOT:
        push(p, TN_AT_TOKEN_NOT, i->token, next);
        return TERN_OK;
    case TN_ITEM_RULE:
        push(p, TN_AT_RULE, i->rule, next);
        return TERN_OK;
    case TN_ITEM_LOOP:
        push(p, TN_AT_LOOP, (uint32_t)p->n_loops, next);
        TN_PUSH(p->loops, p->n_loops, p->cap_loops, ((TnLoop){i->rule, i->min, i->max}));
        return TERN_OK;
    }
    TN_BUG("item kind %d", (int)i->kind);
}

static TernStatus put_rules(Making *m, const TnRules *rules) {
    enum { MOST = 1 << 24 };
    TnPositions *p = m->p;
    for (size_t r = 0; r < rules->n; r++) {
        p->first_start[r] = (uint32_t)p->n_starts;
        for (const TnAlternative *a = rules->v[r].alternatives; a; a = a->next) {
            TN_PUSH(p->starts, p->n_starts, p->cap_starts, (uint32_t)p->n);
            for (const TnItem *i = a->items; i; i = i->next) TN_TRY(put_item(m, i));
            push(p, TN_AT_END, 0, 0);
            if (p->n > MOST)
                return tn_fail(m->err, TERN_ERR_INPUT,
                               "the grammar has more than %d positions, expected a smaller one", MOST);
        }
    }
    p->first_start[rules->n] = (uint32_t)p->n_starts;
    return TERN_OK;
}

TernStatus tn_positions_make(const TnRules *rules, TnPositions *out, TernError *err) {
    *out =
        (TnPositions){.root = rules->root, .first_start = tn_xcalloc(rules->n + 1, sizeof *out->first_start)};
    Making m = {.p = out, .err = err};
    TernStatus st = put_rules(&m, rules);
    tn_map_free(&m.sets);
    if (st != TERN_OK) tn_positions_free(out);
    return st;
}

void tn_positions_free(TnPositions *p) {
    free(p->v);
    free(p->loops);
    free(p->nodes);
    free(p->ranges);
    free(p->starts);
    free(p->first_start);
    *p = (TnPositions){0};
}

size_t tn_positions_bytes(const TnPositions *p) {
    return p->cap * sizeof *p->v + p->cap_loops * sizeof *p->loops + p->cap_nodes * sizeof *p->nodes +
           p->cap_ranges * sizeof *p->ranges + p->cap_starts * sizeof *p->starts;
}
