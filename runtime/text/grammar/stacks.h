/* The stacks of a grammar: where in it a text may be.
 *
 * A stack is a chain of nodes: on top the position of the next byte or token, below it the places to return to. Nodes are
 * immutable, and equal nodes are one node, so a stack is the number of its top node and stacks share their lower parts. A
 * text that can be read in several ways has several stacks: a set of them, again made once. Sets are therefore compared by
 * number, and to fork a text is to copy a number.
 *
 * A loop counts its turns in the node to which a turn returns, so a repeat of a thousand costs no more than one of two.
 * Counts stop where they make no difference. The last item of an alternative needs no place to return to, so lists that
 * are written as right recursion do not grow a stack. */
#ifndef TN_GRAMMAR_STACKS_H
#define TN_GRAMMAR_STACKS_H

#include "runtime/text/grammar/positions.h"

enum {
    TN_STACK_EMPTY = 0,     /* the text is complete */
    TN_STACK_UNKNOWN = 1,   /* what is below is not known (masks.h) */
    TN_SET_EMPTY = 0,       /* no stack: the text is not of the grammar */
    TN_WORK_MOST = 1 << 26, /* steps for one mask or table */
};
#define TN_SET_TOO_LARGE UINT32_MAX

typedef struct TnStackNode {
    uint32_t pos;
    uint32_t count; /* pos is a loop: turns, with the one that runs above this node */
    uint32_t below;
    uint32_t chain; /* of the hash table */
} TnStackNode;

typedef struct TnStackSet {
    uint32_t first, n; /* members[first ..]: sorted, so the stacks EMPTY and UNKNOWN come first */
    uint32_t chain;
} TnStackSet;

typedef struct TnClosureItem {
    uint32_t pos, count, below;
} TnClosureItem;

/* What a grammar can have too much of. */
typedef enum TnBound {
    TN_BOUND_WAYS,   /* stacks of a set: ways to read a text */
    TN_BOUND_STEPS,  /* items of a closure: steps after a byte */
    TN_BOUND_NODES,  /* nodes of all stacks so far */
    TN_BOUND_SETS,   /* sets of stacks so far */
    TN_BOUND_STACKS, /* members of all sets so far */
    TN_BOUND_WORK,   /* steps for a mask (masks.c) */
} TnBound;

typedef struct TnStacks {
    const TnPositions *p;
    TnStackNode *nodes;
    TnStackSet *sets;
    uint32_t *members;
    size_t n_nodes, cap_nodes, n_sets, cap_sets, n_members, cap_members;
    uint32_t *node_slots, *set_slots; /* heads of chains; newer entries come first */
    uint32_t node_mask, set_mask;
    /* a closure being made */
    TnClosureItem *todo;
    uint32_t *tops;
    struct TnSeen {
        TnClosureItem item;
        uint32_t round;
    } * seen;
    size_t n_todo, cap_todo, n_tops, cap_tops, n_seen, cap_seen;
    uint32_t round;
    bool too_large;
    TnBound passed; /* what the last TN_SET_TOO_LARGE was about, and how many there were */
    uint64_t found;
    uint64_t work; /* items and stacks so far, for the bounds of callers */
} TnStacks;

void tn_stacks_start(TnStacks *s, const TnPositions *p);
void tn_stacks_free(TnStacks *s);
size_t tn_stacks_bytes(const TnStacks *s);

/* The node with these values. */
uint32_t tn_stack_node(TnStacks *s, uint32_t pos, uint32_t count, uint32_t below);

/* Notes that a bound was passed. */
void tn_stacks_pass(TnStacks *s, TnBound bound, uint64_t found);
/* TERN_ERR_INPUT, with the bound that was passed last. */
TernStatus tn_stacks_fail(const TnStacks *s, TernError *err);

/* A set is made by a closure: begin, then any number of places to go on from and of stacks to add, then end. From a place,
 * rules and loops are entered and ends left until every stack has a byte or a token on top. end gives TN_SET_TOO_LARGE if
 * that takes too many steps or stacks. */
void tn_closure_begin(TnStacks *s);
void tn_closure_from(TnStacks *s, uint32_t pos, uint32_t count, uint32_t below);
void tn_closure_return(TnStacks *s, uint32_t node); /* as if everything above `node` were complete */
void tn_closure_add(TnStacks *s, uint32_t stack);
uint32_t tn_closure_end(TnStacks *s);

uint32_t tn_set_root(TnStacks *s);
/* The set after a byte; stacks with a token on top do not go on. */
uint32_t tn_set_after(TnStacks *s, uint32_t set, uint8_t byte);
static inline bool tn_set_has(const TnStacks *s, uint32_t set, uint32_t stack) {
    const TnStackSet *v = &s->sets[set];
    for (uint32_t i = 0; i < v->n && s->members[v->first + i] <= stack; i++)
        if (s->members[v->first + i] == stack) return true;
    return false;
}
/* Whether a set has stacks besides EMPTY and UNKNOWN. */
static inline bool tn_set_goes_on(const TnStacks *s, uint32_t set) {
    const TnStackSet *v = &s->sets[set];
    return v->n && s->members[v->first + v->n - 1] > TN_STACK_UNKNOWN;
}

/* Everything that was made since the mark is forgotten by a cut. */
typedef struct TnStacksMark {
    size_t n_nodes, n_sets, n_members;
} TnStacksMark;
TnStacksMark tn_stacks_mark(const TnStacks *s);
void tn_stacks_cut(TnStacks *s, TnStacksMark mark);

#endif
