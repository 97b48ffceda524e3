/* A grammar as positions: what its stacks consist of (stacks.h).
 *
 * A position is a place in an alternative and says what may come there. Characters are bytes here: a set of code points is
 * a small automaton over the bytes of UTF-8, whose nodes have a position each. So a position may be inside a character, and
 * only the bytes of well-formed UTF-8 go on from there. */
#ifndef TN_GRAMMAR_POSITIONS_H
#define TN_GRAMMAR_POSITIONS_H

#include "runtime/text/grammar/rules.h"

typedef enum TnPositionKind {
    TN_AT_END,       /* the alternative is complete */
    TN_AT_BYTE,      /* a byte that goes on from node `a` */
    TN_AT_TOKEN,     /* the token `a` */
    TN_AT_TOKEN_NOT, /* any token but `a` */
    TN_AT_RULE,      /* rule `a` */
    TN_AT_LOOP,      /* loop `a` */
} TnPositionKind;

typedef struct TnPosition {
    uint32_t kind, a;
    uint32_t next; /* after this item */
} TnPosition;

typedef struct TnLoop {
    uint32_t rule, min, max; /* max TN_NO_MAX: no bound */
} TnLoop;

/* A node of a set's automaton: after a byte in lo..hi the character is complete (to TN_CHAR_DONE), or the node `to` nodes
 * after the set's first one is next, at the position as far from the set's first. Ranges are sorted. */
#define TN_CHAR_DONE UINT16_MAX
typedef struct TnByteRange {
    uint8_t lo, hi;
    uint16_t to;
} TnByteRange;
typedef struct TnByteNode {
    uint32_t first, n; /* ranges */
    uint32_t in_set;   /* which node of its set this is */
} TnByteNode;

typedef struct TnPositions {
    TnPosition *v;
    TnLoop *loops;
    TnByteNode *nodes;
    TnByteRange *ranges;
    uint32_t *starts;      /* of all alternatives */
    uint32_t *first_start; /* rule r: starts[first_start[r]] .. starts[first_start[r + 1]] */
    size_t n, cap, n_loops, cap_loops, n_nodes, cap_nodes, n_ranges, cap_ranges, n_starts, cap_starts;
    uint32_t root; /* a rule */
} TnPositions;

/* Rules that tn_rules_check accepted. */
TernStatus tn_positions_make(const TnRules *rules, TnPositions *out, TernError *err);
void tn_positions_free(TnPositions *p);
size_t tn_positions_bytes(const TnPositions *p);

/* The position after `byte` at `at`, which is a TN_AT_BYTE; the place after the character if it is complete, which
 * *out_done then says. UINT32_MAX if the byte may not come. */
static inline uint32_t tn_position_after(const TnPositions *p, uint32_t at, uint8_t byte, bool *out_done) {
    const TnPosition *pos = &p->v[at];
    const TnByteNode *node = &p->nodes[pos->a];
    const TnByteRange *r = p->ranges + node->first;
    for (uint32_t i = 0; i < node->n && r[i].lo <= byte; i++)
        if (byte <= r[i].hi) {
            *out_done = r[i].to == TN_CHAR_DONE;
            return *out_done ? pos->next : at - node->in_set + r[i].to;
        }
    return UINT32_MAX;
}

#endif
