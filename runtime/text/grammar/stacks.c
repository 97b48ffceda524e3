/* Nodes, sets, closures. */
#include "runtime/text/grammar/stacks.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/hash.h"
#include "runtime/base/status.h"

enum {
    STACKS_MOST = 4096,     /* of a set */
    CLOSURE_MOST = 1 << 17, /* items of a closure */
    NODES_MOST = 1 << 23,
    SETS_MOST = 1 << 23,
    MEMBERS_MOST = 1 << 24,
};
#define NONE UINT32_MAX

/* ---- Hash tables of chains. The newest entry is the head of its chain, so that a cut can take entries out again. */

static uint32_t mix(uint32_t a, uint32_t b, uint32_t c) {
    uint64_t h = a * 0x9e3779b97f4a7c15u ^ (b * 0xc2b2ae3d27d4eb4fu + c) * 0x165667b19e3779f9u;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return (uint32_t)(h >> 32);
}

static uint32_t hash_node(const TnStackNode *n) {
    return mix(n->pos, n->count, n->below);
}
static uint32_t hash_members(const uint32_t *v, uint32_t n) {
    if (n == 1) return mix(v[0], 1, 0);
    return (uint32_t)tn_hash64(v, n * sizeof *v);
}

static uint32_t *new_slots(size_t n) {
    uint32_t *v = tn_xrealloc(NULL, n * sizeof *v);
    memset(v, 0xff, n * sizeof *v);
    return v;
}

static void grow_node_slots(TnStacks *s) {
    free(s->node_slots);
    s->node_mask = s->node_mask * 2 + 1;
    s->node_slots = new_slots((size_t)s->node_mask + 1);
    for (uint32_t i = 2; i < s->n_nodes; i++) {
        uint32_t *head = &s->node_slots[hash_node(&s->nodes[i]) & s->node_mask];
        s->nodes[i].chain = *head;
        *head = i;
    }
}

static uint32_t *set_head(const TnStacks *s, const TnStackSet *v) {
    return &s->set_slots[hash_members(s->members + v->first, v->n) & s->set_mask];
}

static void grow_set_slots(TnStacks *s) {
    free(s->set_slots);
    s->set_mask = s->set_mask * 2 + 1;
    s->set_slots = new_slots((size_t)s->set_mask + 1);
    for (uint32_t i = 0; i < s->n_sets; i++) {
        uint32_t *head = set_head(s, &s->sets[i]);
        s->sets[i].chain = *head;
        *head = i;
    }
}

static const struct {
    uint32_t most;
    const char *what;
    bool so_far; /* a grammar that is made anew has none of it */
} bounds[] = {
    [TN_BOUND_WAYS] = {STACKS_MOST, "ways to read the text", false},
    [TN_BOUND_STEPS] = {CLOSURE_MOST, "steps after a byte", false},
    [TN_BOUND_NODES] = {NODES_MOST, "nodes of its states", true},
    [TN_BOUND_SETS] = {SETS_MOST, "sets of stacks of its states", true},
    [TN_BOUND_STACKS] = {MEMBERS_MOST, "stacks of its states", true},
    [TN_BOUND_WORK] = {TN_WORK_MOST, "steps for a mask", false},
};

void tn_stacks_pass(TnStacks *s, TnBound bound, uint64_t found) {
    s->passed = bound;
    s->found = found;
}

TernStatus tn_stacks_fail(const TnStacks *s, TernError *err) {
    return tn_fail(err, TERN_ERR_INPUT, "the grammar needs too much here: got %llu %s, expected at most %u%s",
                   (unsigned long long)s->found, bounds[s->passed].what, bounds[s->passed].most,
                   bounds[s->passed].so_far ? "; make it anew" : "");
}

uint32_t tn_stack_node(TnStacks *s, uint32_t pos, uint32_t count, uint32_t below) {
    TnStackNode node = {pos, count, below, NONE};
    uint32_t h = hash_node(&node);
    for (uint32_t i = s->node_slots[h & s->node_mask]; i != NONE; i = s->nodes[i].chain) {
        const TnStackNode *n = &s->nodes[i];
        if (n->pos == pos && n->count == count && n->below == below) return i;
    }
    if (s->n_nodes >= NODES_MOST) {
        tn_stacks_pass(s, TN_BOUND_NODES, s->n_nodes + 1);
        s->too_large = true;
        return TN_STACK_EMPTY;
    }
    if (s->n_nodes > s->node_mask) grow_node_slots(s);
    uint32_t *head = &s->node_slots[h & s->node_mask], made = (uint32_t)s->n_nodes;
    node.chain = *head;
    *head = made;
    TN_PUSH(s->nodes, s->n_nodes, s->cap_nodes, node);
    return made;
}

static uint32_t find_set(TnStacks *s, const uint32_t *v, uint32_t n) {
    uint32_t h = hash_members(v, n);
    for (uint32_t i = s->set_slots[h & s->set_mask]; i != NONE; i = s->sets[i].chain)
        if (s->sets[i].n == n && memcmp(s->members + s->sets[i].first, v, n * sizeof *v) == 0) return i;
    bool full = s->n_sets >= SETS_MOST;
    if (full || s->n_members + n > MEMBERS_MOST) {
        tn_stacks_pass(s, full ? TN_BOUND_SETS : TN_BOUND_STACKS, full ? s->n_sets + 1 : s->n_members + n);
        return TN_SET_TOO_LARGE;
    }
    if (s->n_sets > s->set_mask) grow_set_slots(s);
    uint32_t *head = &s->set_slots[h & s->set_mask], made = (uint32_t)s->n_sets;
    TN_PUSH(s->sets, s->n_sets, s->cap_sets, ((TnStackSet){(uint32_t)s->n_members, n, *head}));
    *head = made;
    for (uint32_t i = 0; i < n; i++) TN_PUSH(s->members, s->n_members, s->cap_members, v[i]);
    return made;
}

void tn_stacks_start(TnStacks *s, const TnPositions *p) {
    *s = (TnStacks){.p = p, .node_mask = 1023, .set_mask = 1023};
    s->node_slots = new_slots(1024);
    s->set_slots = new_slots(1024);
    for (int i = 0; i < 2; i++)
        TN_PUSH(s->nodes, s->n_nodes, s->cap_nodes, ((TnStackNode){NONE, 0, 0, NONE}));
    uint32_t none = 0;
    find_set(s, &none, 0);
}

void tn_stacks_free(TnStacks *s) {
    free(s->nodes);
    free(s->sets);
    free(s->members);
    free(s->node_slots);
    free(s->set_slots);
    free(s->todo);
    free(s->tops);
    free(s->seen);
    *s = (TnStacks){0};
}

size_t tn_stacks_bytes(const TnStacks *s) {
    return s->cap_nodes * sizeof *s->nodes + s->cap_sets * sizeof *s->sets +
           s->cap_members * sizeof *s->members + ((size_t)s->node_mask + s->set_mask + 2) * sizeof(uint32_t) +
           s->cap_todo * sizeof *s->todo + s->cap_tops * sizeof *s->tops + s->cap_seen * sizeof *s->seen;
}

TnStacksMark tn_stacks_mark(const TnStacks *s) {
    return (TnStacksMark){s->n_nodes, s->n_sets, s->n_members};
}

void tn_stacks_cut(TnStacks *s, TnStacksMark mark) {
    while (s->n_sets > mark.n_sets) {
        const TnStackSet *v = &s->sets[--s->n_sets];
        *set_head(s, v) = v->chain;
    }
    s->n_members = mark.n_members;
    while (s->n_nodes > mark.n_nodes) {
        const TnStackNode *n = &s->nodes[--s->n_nodes];
        s->node_slots[hash_node(n) & s->node_mask] = n->chain;
    }
}

/* ---- Closures */

void tn_closure_begin(TnStacks *s) {
    s->n_todo = s->n_tops = s->n_seen = 0;
    s->too_large = false;
    if (++s->round == 0) {
        memset(s->seen, 0, s->cap_seen * sizeof *s->seen);
        s->round = 1;
    }
}

static struct TnSeen *seen_slot(const TnStacks *s, const TnClosureItem *i) {
    size_t at = mix(i->pos, i->count, i->below) & (s->cap_seen - 1);
    while (s->seen[at].round == s->round && memcmp(&s->seen[at].item, i, sizeof *i) != 0)
        at = (at + 1) & (s->cap_seen - 1);
    return &s->seen[at];
}

static void grow_seen(TnStacks *s) {
    struct TnSeen *old = s->seen;
    size_t n = s->cap_seen;
    s->cap_seen = n ? 2 * n : 64;
    s->seen = tn_xcalloc(s->cap_seen, sizeof *s->seen);
    for (size_t i = 0; i < n; i++)
        if (old[i].round == s->round) *seen_slot(s, &old[i].item) = old[i];
    free(old);
}

/* Notes an item that was not there yet. */
void tn_closure_from(TnStacks *s, uint32_t pos, uint32_t count, uint32_t below) {
    TnClosureItem item = {pos, count, below};
    if (s->n_seen * 2 >= s->cap_seen) grow_seen(s);
    struct TnSeen *slot = seen_slot(s, &item);
    if (slot->round == s->round) return;
    if (s->n_seen >= CLOSURE_MOST) {
        tn_stacks_pass(s, TN_BOUND_STEPS, s->n_seen + 1);
        s->too_large = true;
        return;
    }
    *slot = (struct TnSeen){item, s->round};
    s->n_seen++;
    TN_PUSH(s->todo, s->n_todo, s->cap_todo, item);
}

void tn_closure_add(TnStacks *s, uint32_t stack) {
    TN_PUSH(s->tops, s->n_tops, s->cap_tops, stack);
}

void tn_closure_return(TnStacks *s, uint32_t node) {
    if (node <= TN_STACK_UNKNOWN) {
        tn_closure_add(s, node);
        return;
    }
    TnStackNode n = s->nodes[node];
    tn_closure_from(s, n.pos, n.count, n.below);
}

/* The node to return to after an item, if `next` is the place after it. */
static uint32_t place(TnStacks *s, uint32_t next, uint32_t below) {
    return s->p->v[next].kind == TN_AT_END ? below : tn_stack_node(s, next, 0, below);
}

static void enter(TnStacks *s, uint32_t rule, uint32_t below) {
    const TnPositions *p = s->p;
    for (uint32_t i = p->first_start[rule]; i < p->first_start[rule + 1]; i++)
        tn_closure_from(s, p->starts[i], 0, below);
}

static void enter_loop(TnStacks *s, const TnClosureItem *i) {
    TnPosition pos = s->p->v[i->pos];
    TnLoop loop = s->p->loops[pos.a];
    if (i->count >= loop.min) tn_closure_from(s, pos.next, 0, i->below);
    if (i->count >= loop.max) return;
    uint32_t turns = i->count + 1;
    if (loop.max == TN_NO_MAX && turns > loop.min) turns = loop.min;
    enter(s, loop.rule,
          turns == loop.max ? place(s, pos.next, i->below) : tn_stack_node(s, i->pos, turns, i->below));
}

static void run(TnStacks *s) {
    while (s->n_todo && !s->too_large) {
        TnClosureItem i = s->todo[--s->n_todo];
        TnPosition pos = s->p->v[i.pos];
        s->work++;
        switch ((TnPositionKind)pos.kind) {
        case TN_AT_END:
            tn_closure_return(s, i.below);
            break;
        case TN_AT_RULE:
            enter(s, pos.a, place(s, pos.next, i.below));
            break;
        case TN_AT_LOOP:
            enter_loop(s, &i);
            break;
        case TN_AT_BYTE:
        case TN_AT_TOKEN:
        case TN_AT_TOKEN_NOT:
            tn_closure_add(s, tn_stack_node(s, i.pos, 0, i.below));
            break;
        }
    }
}

static int by_number(const void *pa, const void *pb) {
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

uint32_t tn_closure_end(TnStacks *s) {
    run(s);
    if (!s->too_large && s->n_tops > STACKS_MOST) {
        tn_stacks_pass(s, TN_BOUND_WAYS, s->n_tops);
        s->too_large = true;
    }
    if (s->too_large) return TN_SET_TOO_LARGE;
    if (s->n_tops == 0) return TN_SET_EMPTY;
    size_t n = 1;
    if (s->n_tops > 1) qsort(s->tops, s->n_tops, sizeof *s->tops, by_number);
    for (size_t i = 1; i < s->n_tops; i++)
        if (s->tops[i] != s->tops[n - 1]) s->tops[n++] = s->tops[i];
    return find_set(s, s->tops, (uint32_t)n);
}

uint32_t tn_set_root(TnStacks *s) {
    tn_closure_begin(s);
    enter(s, s->p->root, TN_STACK_EMPTY);
    return tn_closure_end(s);
}

uint32_t tn_set_after(TnStacks *s, uint32_t set, uint8_t byte) {
    TnStackSet v = s->sets[set];
    tn_closure_begin(s);
    s->work += v.n;
    for (uint32_t i = 0; i < v.n; i++) {
        uint32_t top = s->members[v.first + i];
        if (top <= TN_STACK_UNKNOWN) continue;
        TnStackNode node = s->nodes[top];
        if (s->p->v[node.pos].kind != TN_AT_BYTE) continue;
        bool done;
        uint32_t next = tn_position_after(s->p, node.pos, byte, &done);
        if (next == NONE) continue;
        if (done)
            tn_closure_from(s, next, 0, node.below);
        else
            tn_closure_add(s, tn_stack_node(s, next, 0, node.below));
    }
    return tn_closure_end(s);
}
