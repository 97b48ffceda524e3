/* A grammar as rules, between its text (gbnf.c) and its positions (positions.h).
 *
 * A rule is a list of alternatives, an alternative a list of items. Groups, and symbols that are repeated, become rules of
 * their own without a name. Everything lies in the arena of the grammar that is being made. */
#ifndef TN_GRAMMAR_RULES_H
#define TN_GRAMMAR_RULES_H

#include "runtime/base/arena.h"
#include "runtime/base/map.h"
#include "runtime/text/text.h"

enum {
    TN_GRAMMAR_TEXT_MOST = 1 << 20, /* bytes of GBNF */
    TN_GRAMMAR_REPEAT_MOST = 1000000,
    TN_GRAMMAR_DEPTH_MOST = 256, /* groups in each other */
};
#define TN_NO_MAX UINT32_MAX

/* A set of code points: n ranges, sorted, apart from each other, without surrogates. */
typedef struct TnPoints {
    struct TnPointRange {
        uint32_t lo, hi;
    } * ranges;
    uint32_t n;
} TnPoints;

typedef enum TnItemKind {
    TN_ITEM_CHAR,      /* one character of a set */
    TN_ITEM_TOKEN,     /* one token */
    TN_ITEM_TOKEN_NOT, /* any token but this */
    TN_ITEM_RULE,
    TN_ITEM_LOOP, /* a rule, min to max times */
} TnItemKind;

typedef struct TnItem {
    TnItemKind kind;
    TnPoints points;    /* CHAR */
    uint32_t token;     /* TOKEN, TOKEN_NOT */
    uint32_t rule;      /* RULE, LOOP */
    uint32_t min, max;  /* LOOP: max TN_NO_MAX: no bound; else 1 <= max, min <= max */
    uint32_t line, col; /* where it is in the text */
    struct TnItem *next;
} TnItem;

typedef struct TnAlternative {
    TnItem *items; /* NULL: empty */
    struct TnAlternative *next;
} TnAlternative;

typedef struct TnRule {
    const char *name; /* NULL: a group or a repeated symbol */
    TnAlternative *alternatives;
    uint32_t line, col;
    bool defined;
    bool nullable;  /* set by tn_rules_check: matches the empty text */
    bool something; /* the same: matches a text that is not empty */
} TnRule;

typedef struct TnRules {
    TnRule *v;
    size_t n, cap;
    TnMap names;
    uint32_t root;
    TnArena *arena;
} TnRules;

/* Reads GBNF. The vocabulary finds the tokens that the text names. */
TernStatus tn_gbnf_read(const TernVocab *vocab, const char *text, size_t size, TnRules *out, TernError *err);
/* Refuses rules without a definition and left recursion, and sets `nullable` and `something`. Then changes loops over
 * rules that match the empty text so that each turn matches a character or token. The texts stay the same. */
TernStatus tn_rules_check(TnRules *rules, TernError *err);
void tn_rules_free(TnRules *rules);

/* A new rule without a name; its index. Moves the array. */
uint32_t tn_rules_add(TnRules *rules);

/* Sorts and joins ranges, which may overlap, in place, and removes surrogates and what is above U+10FFFF. `ranges` must
 * have room for one more. */
void tn_points_tidy(TnPoints *points);
/* All code points that are not in `points`. */
TnPoints tn_points_not(const TnPoints *points, TnArena *arena);

#endif
