#include "runtime/generate/prefix.h"

#include <stdbool.h>
#include <stdlib.h>
#include "runtime/base/status.h"

enum { NONE = TN_PREFIX_NONE, ROOT = 0 };

/* Children and free nodes are chained by `next`. */
typedef struct Node {
    size_t depth; /* ids from the root to here */
    uint32_t parent, child, next;
    uint32_t entry; /* the first slot whose entry ends here */
    uint32_t any;   /* a slot whose entry ends here or below */
} Node;

/* Where a slot's entry ends, and the next slot whose entry ends there. */
typedef struct Place {
    uint32_t node, next;
} Place;

struct TnPrefix {
    const int32_t *ids;
    size_t width;
    Node *nodes;
    Place *places; /* [slots] */
    uint32_t free; /* the first free node */
};

TnPrefix *tn_prefix_create(uint32_t slots, size_t width, const int32_t *ids) {
    size_t n = 2 * (size_t)slots + 4; /* the root, and up to three more while an entry grows */
    TnPrefix *t = calloc(1, sizeof *t);
    Node *nodes = calloc(n, sizeof *nodes);
    Place *places = calloc(slots, sizeof *places);
    if (!t || !nodes || !places) {
        free(t);
        free(nodes);
        free(places);
        return NULL;
    }
    *t = (TnPrefix){ids, width, nodes, places, 1};
    for (uint32_t i = 0; i < n; i++) nodes[i].next = i + 1 < n ? i + 1 : NONE;
    nodes[ROOT] = (Node){0, NONE, NONE, NONE, NONE, NONE};
    for (uint32_t i = 0; i < slots; i++) places[i] = (Place){NONE, NONE};
    return t;
}

void tn_prefix_destroy(TnPrefix *t) {
    if (!t) return;
    free(t->nodes);
    free(t->places);
    free(t);
}

static const int32_t *row(const TnPrefix *t, uint32_t slot) {
    return t->ids + slot * t->width;
}

/* ---- Nodes */

static uint32_t add_node(TnPrefix *t, uint32_t parent, size_t depth, uint32_t slot) {
    uint32_t at = t->free;
    TN_CHECK(at != NONE);
    t->free = t->nodes[at].next;
    t->nodes[at] = (Node){depth, parent, NONE, t->nodes[parent].child, NONE, slot};
    t->nodes[parent].child = at;
    return at;
}

/* The link that leads to a node from its parent or from the sibling before it. */
static uint32_t *link_to(TnPrefix *t, uint32_t at) {
    uint32_t *link = &t->nodes[t->nodes[at].parent].child;
    while (*link != at) link = &t->nodes[*link].next;
    return link;
}

static void drop_node(TnPrefix *t, uint32_t at) {
    t->nodes[at].next = t->free;
    t->free = at;
}

/* Takes a node out that has no entry and at most one child. Returns its parent; for another node, or the root, NONE. */
static uint32_t tidy(TnPrefix *t, uint32_t at) {
    Node *node = &t->nodes[at];
    uint32_t child = node->child, parent = node->parent, *link;
    if (at == ROOT || node->entry != NONE || (child != NONE && t->nodes[child].next != NONE)) return NONE;
    link = link_to(t, at);
    *link = node->next;
    if (child != NONE) {
        *link = child;
        t->nodes[child].next = node->next;
        t->nodes[child].parent = parent;
    }
    drop_node(t, at);
    return parent;
}

static uint32_t child_with(const TnPrefix *t, uint32_t at, int32_t id) {
    uint32_t c = t->nodes[at].child;
    while (c != NONE && row(t, t->nodes[c].any)[t->nodes[at].depth] != id) c = t->nodes[c].next;
    return c;
}

/* How far ids agree with the edge to a node, from `depth` on, up to n. */
static size_t match(const TnPrefix *t, uint32_t at, size_t depth, const int32_t *ids, size_t n) {
    const int32_t *edge = row(t, t->nodes[at].any);
    size_t end = t->nodes[at].depth < n ? t->nodes[at].depth : n;
    while (depth < end && edge[depth] == ids[depth]) depth++;
    return depth;
}

/* Puts a node in the middle of the edge to another. */
static uint32_t split(TnPrefix *t, uint32_t at, size_t depth) {
    uint32_t parent = t->nodes[at].parent, *link = link_to(t, at), middle = t->free;
    TN_CHECK(middle != NONE);
    t->free = t->nodes[middle].next;
    t->nodes[middle] = (Node){depth, parent, at, t->nodes[at].next, NONE, t->nodes[at].any};
    *link = middle;
    t->nodes[at].next = NONE;
    t->nodes[at].parent = middle;
    return middle;
}

/* ---- Entries */

static void add_entry(TnPrefix *t, uint32_t at, uint32_t slot) {
    Node *node = &t->nodes[at];
    t->places[slot] = (Place){at, node->entry};
    node->entry = slot;
    if (node->any == NONE) node->any = slot;
}

static void remove_entry(TnPrefix *t, uint32_t slot) {
    uint32_t *link = &t->nodes[t->places[slot].node].entry;
    while (*link != slot) link = &t->places[*link].next;
    *link = t->places[slot].next;
    t->places[slot] = (Place){NONE, NONE};
}

/* Adds the entry of n ids below a node that the slot's row leads to. */
static void insert(TnPrefix *t, uint32_t at, uint32_t slot, size_t n) {
    const int32_t *ids = row(t, slot);
    while (t->nodes[at].depth < n) {
        size_t depth = t->nodes[at].depth;
        uint32_t c = child_with(t, at, ids[depth]);
        if (c == NONE) {
            at = add_node(t, at, n, slot);
            break;
        }
        size_t same = match(t, c, depth, ids, n);
        at = same == t->nodes[c].depth ? c : split(t, c, same);
    }
    add_entry(t, at, slot);
}

static void take_out(TnPrefix *t, uint32_t slot) {
    uint32_t at = t->places[slot].node, parent;
    remove_entry(t, slot);
    while ((parent = tidy(t, at)) != NONE) at = parent;
    /* From here up, no edge may be read from the slot's row any more. Nodes that went were below. */
    for (; at != NONE; at = t->nodes[at].parent) {
        Node *node = &t->nodes[at];
        if (node->any != slot) continue;
        node->any = node->entry != NONE   ? node->entry
                    : node->child != NONE ? t->nodes[node->child].any
                                          : NONE;
    }
}

/* An entry that ends at a leaf of its own, as those of running sequences do, grows with the leaf. */
static void grow(TnPrefix *t, uint32_t slot, size_t n) {
    uint32_t at = t->places[slot].node;
    Node *node = &t->nodes[at];
    if (node->child == NONE && node->entry == slot && t->places[slot].next == NONE) {
        node->depth = n;
        return;
    }
    remove_entry(t, slot);
    insert(t, at, slot, n);
    tidy(t, at); /* if its only entry has moved on to its only child */
}

size_t tn_prefix_length(const TnPrefix *t, uint32_t slot) {
    uint32_t at = t->places[slot].node;
    return at == NONE ? 0 : t->nodes[at].depth;
}

void tn_prefix_set(TnPrefix *t, uint32_t slot, size_t n) {
    size_t old = tn_prefix_length(t, slot);
    TN_CHECK(n <= t->width);
    if (n == old) return;
    if (n > old && old) {
        grow(t, slot, n);
        return;
    }
    if (old) take_out(t, slot);
    if (n) insert(t, ROOT, slot, n);
}

size_t tn_prefix_find(const TnPrefix *t, const int32_t *ids, size_t n, uint32_t *slot) {
    size_t found = 0;
    for (uint32_t at = ROOT; found == t->nodes[at].depth && found < n;) {
        uint32_t c = child_with(t, at, ids[found]);
        if (c == NONE) break;
        found = match(t, c, found, ids, n);
        *slot = t->nodes[c].any;
        at = c;
    }
    return found;
}

uint32_t tn_prefix_shorter(const TnPrefix *t, uint32_t slot, uint32_t after) {
    uint32_t at = t->places[after].node, next = t->places[after].next;
    if (after == slot) next = t->nodes[at].entry; /* the others that end there come before it as well */
    for (;;) {
        if (next == slot) next = t->places[next].next;
        if (next != NONE) return next;
        at = t->nodes[at].parent;
        if (at == NONE) return NONE;
        next = t->nodes[at].entry;
    }
}

uint32_t tn_prefix_longer(const TnPrefix *t, uint32_t slot) {
    const Node *node = &t->nodes[t->places[slot].node];
    uint32_t other = node->entry == slot ? t->places[slot].next : node->entry;
    if (other != NONE) return other;
    return node->child == NONE ? NONE : t->nodes[node->child].any;
}
