/* The public calls: grammars and their states. */
#include "runtime/text/grammar.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/options.h"
#include "runtime/text/grammar/masks.h"

/* A state is a set of stacks, and whether the output has begun or ended. */
typedef struct State {
    uint32_t set;
    bool first, ended;
    uint32_t chain;
} State;

struct TernGrammar {
    TnPositions positions;
    TnMasks masks;
    State *states;
    size_t n_states, cap_states;
    uint32_t *slots; /* heads of chains, by set */
    uint32_t slot_mask;
    uint64_t n_masks;
};

#define NONE UINT32_MAX

/* ---- States */

static void grow_slots(TernGrammar *g) {
    g->slot_mask = g->slot_mask ? 2 * g->slot_mask + 1 : 1023;
    g->slots = tn_xrealloc(g->slots, ((size_t)g->slot_mask + 1) * sizeof *g->slots);
    memset(g->slots, 0xff, ((size_t)g->slot_mask + 1) * sizeof *g->slots);
    for (uint32_t i = 0; i < g->n_states; i++) {
        uint32_t *head = &g->slots[g->states[i].set * 0x9e3779b1u & g->slot_mask];
        g->states[i].chain = *head;
        *head = i;
    }
}

static TernStatus state_of(TernGrammar *g, uint32_t set, bool first, bool ended, TernGrammarState *out,
                           TernError *err) {
    if (set == TN_SET_TOO_LARGE) return tn_stacks_fail(&g->masks.stacks, err);
    for (uint32_t i = g->slots[set * 0x9e3779b1u & g->slot_mask]; i != NONE; i = g->states[i].chain) {
        const State *s = &g->states[i];
        if (s->set != set || s->first != first || s->ended != ended) continue;
        *out = i;
        return TERN_OK;
    }
    if (g->n_states >= TERN_GRAMMAR_STATES_MOST)
        return tn_fail(err, TERN_ERR_INPUT,
                       "the grammar has been in %u states, expected no more; make it anew",
                       TERN_GRAMMAR_STATES_MOST);
    if (g->n_states > g->slot_mask) grow_slots(g);
    uint32_t *head = &g->slots[set * 0x9e3779b1u & g->slot_mask];
    *out = (uint32_t)g->n_states;
    TN_PUSH(g->states, g->n_states, g->cap_states, ((State){set, first, ended, *head}));
    *head = *out;
    return TERN_OK;
}

static bool set_may_end(const TernGrammar *g, const State *s) {
    return s->ended || tn_set_has(&g->masks.stacks, s->set, TN_STACK_EMPTY);
}

/* ---- Making */

static TernStatus read_grammar(TernGrammar *g, const TernVocab *vocab, const char *text, size_t size,
                               TnArena *arena, TernError *err) {
    TnRules rules = {.arena = arena};
    TernStatus st = tn_gbnf_read(vocab, text, size, &rules, err);
    if (st == TERN_OK) st = tn_rules_check(&rules, err);
    if (st == TERN_OK) st = tn_positions_make(&rules, &g->positions, err);
    tn_rules_free(&rules);
    return st;
}

TernStatus tern_grammar_create(const TernVocab *vocab, const char *text, size_t size,
                               TernGrammar **out_grammar, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_grammar, err);
    *out_grammar = NULL;
    TN_NEED(vocab, err);
    TN_NEED(text, err);
    TernGrammar *g = tn_xcalloc(1, sizeof *g);
    TnArena arena = {0};
    TernStatus st = read_grammar(g, vocab, text, size, &arena, err);
    tn_arena_free(&arena);
    if (st == TERN_OK) {
        TernGrammarState start;
        tn_masks_start(&g->masks, vocab, &g->positions);
        grow_slots(g);
        st = state_of(g, tn_set_root(&g->masks.stacks), true, false, &start, err);
    }
    if (st != TERN_OK) {
        tern_grammar_destroy(g);
        return st;
    }
    *out_grammar = g;
    return TERN_OK;
}

void tern_grammar_destroy(TernGrammar *g) {
    if (!g) return;
    tn_masks_free(&g->masks);
    tn_positions_free(&g->positions);
    free(g->states);
    free(g->slots);
    free(g);
}

/* ---- Answers */

static TernStatus check_state(const TernGrammar *g, TernGrammarState state, TernError *err) {
    TN_NEED(g, err);
    if (state >= g->n_states)
        return tn_fail(err, TERN_ERR_INPUT,
                       "state is %u, expected one of the %zu that this grammar has given", state,
                       g->n_states);
    return TERN_OK;
}

TernStatus tern_grammar_get_mask(TernGrammar *g, TernGrammarState state, TernGrammarMask *out_mask,
                                 TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_mask, err);
    *out_mask = (TernGrammarMask){0};
    TN_TRY(check_state(g, state, err));
    const State *s = &g->states[state];
    g->n_masks++;
    const TnKept *mask = tn_mask_of(&g->masks, s->set, s->first, !s->ended && set_may_end(g, s));
    if (!mask) return tn_stacks_fail(&g->masks.stacks, err);
    *out_mask = (TernGrammarMask){mask->words, g->masks.n_words, mask->n_allowed};
    return TERN_OK;
}

/* The set after the text of a token: TN_SET_EMPTY if it may not come. */
static uint32_t after_text(TernGrammar *g, const State *s, uint32_t id) {
    if (!tn_token_is_text(g->masks.vocab, id)) return TN_SET_EMPTY;
    TernText t = tn_token_text(g->masks.vocab, id, s->first);
    uint32_t set = t.size ? s->set : TN_SET_EMPTY;
    for (size_t i = 0; i < t.size && set != TN_SET_EMPTY && set != TN_SET_TOO_LARGE; i++)
        set = tn_set_after(&g->masks.stacks, set, (uint8_t)t.data[i]);
    return set;
}

/* Whether a stack's top is a token reference that matches. */
static bool top_takes(const TernGrammar *g, uint32_t stack, uint32_t id) {
    if (stack <= TN_STACK_UNKNOWN) return false;
    const TnPosition *pos = &g->positions.v[g->masks.stacks.nodes[stack].pos];
    if (pos->kind == TN_AT_TOKEN) return pos->a == id;
    return pos->kind == TN_AT_TOKEN_NOT && pos->a != id && !(g->masks.vocab->attrs[id] & TN_ATTR_EOG);
}

/* The set after a token, as text and as token references: TN_SET_EMPTY if it may not come. */
static uint32_t after_token(TernGrammar *g, const State *s, uint32_t id) {
    TnStacks *stacks = &g->masks.stacks;
    uint32_t text = after_text(g, s, id);
    bool any = false;
    TnStackSet v = stacks->sets[s->set];
    for (uint32_t i = 0; i < v.n && !any; i++) any = top_takes(g, stacks->members[v.first + i], id);
    if (!any || text == TN_SET_TOO_LARGE) return text;
    tn_closure_begin(stacks);
    for (uint32_t i = 0; i < v.n; i++) {
        uint32_t stack = stacks->members[v.first + i];
        if (!top_takes(g, stack, id)) continue;
        TnStackNode node = stacks->nodes[stack];
        tn_closure_from(stacks, g->positions.v[node.pos].next, 0, node.below);
    }
    TnStackSet t = stacks->sets[text];
    for (uint32_t i = 0; i < t.n; i++) tn_closure_add(stacks, stacks->members[t.first + i]);
    return tn_closure_end(stacks);
}

static bool ends(const TernGrammar *g, const State *s, uint32_t id) {
    return !s->ended && (g->masks.vocab->attrs[id] & TN_ATTR_EOG) && set_may_end(g, s);
}

TernStatus tern_grammar_allows(TernGrammar *g, TernGrammarState state, int32_t id, bool *out_allowed,
                               TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_allowed, err);
    *out_allowed = false;
    TN_TRY(check_state(g, state, err));
    if (!tn_is_token(g->masks.vocab, id)) return TERN_OK;
    const State *s = &g->states[state];
    TnStacksMark mark = tn_stacks_mark(&g->masks.stacks);
    uint32_t after = after_token(g, s, (uint32_t)id);
    tn_stacks_cut(&g->masks.stacks, mark);
    if (after == TN_SET_TOO_LARGE) return tn_stacks_fail(&g->masks.stacks, err);
    *out_allowed = after != TN_SET_EMPTY || ends(g, s, (uint32_t)id);
    return TERN_OK;
}

TernStatus tern_grammar_accept(TernGrammar *g, TernGrammarState state, int32_t id,
                               TernGrammarState *out_state, TernError *err) {
    tn_error_clear(err);
    TN_NEED(out_state, err);
    *out_state = state;
    TN_TRY(check_state(g, state, err));
    if (!tn_is_token(g->masks.vocab, id))
        return tn_fail(err, TERN_ERR_INPUT, "token id %d is not in the vocabulary of %u", id,
                       g->masks.vocab->head.n_tokens);
    State s = g->states[state];
    uint32_t after = after_token(g, &s, (uint32_t)id);
    bool end = after == TN_SET_EMPTY && ends(g, &s, (uint32_t)id);
    if (after == TN_SET_EMPTY && !end)
        return tn_fail(err, TERN_ERR_INPUT,
                       "token %d may not come here by the grammar, expected one that may", id);
    bool hidden = tn_type_is_control(tn_token_type(g->masks.vocab, (uint32_t)id));
    return state_of(g, after, s.first && hidden, end, out_state, err);
}

bool tern_grammar_may_end(const TernGrammar *g, TernGrammarState state) {
    return g && state < g->n_states && set_may_end(g, &g->states[state]);
}

TernGrammarCounts tern_grammar_get_counts(const TernGrammar *g) {
    if (!g) return (TernGrammarCounts){0};
    return (TernGrammarCounts){g->n_masks, g->masks.n_made, g->masks.n_steps, (uint32_t)g->n_states,
                               sizeof *g + tn_positions_bytes(&g->positions) + tn_masks_bytes(&g->masks) +
                                   g->cap_states * sizeof *g->states};
}
