/* Makes masks. */
#include "runtime/text/grammar/masks.h"
#include <stdlib.h>
#include <string.h>
#include "runtime/base/status.h"

enum {
    KEPT_BYTES = 4 << 20, /* of masks, and as much of tables */
    MEMO = 1 << 14,
    KEY_MOST = 33, /* words of a table's key: a position, then loops and counts */
};

static void set_bit(uint64_t *words, uint32_t id) {
    words[id / 64] |= (uint64_t)1 << (id % 64);
}
static void clear_bit(uint64_t *words, uint32_t id) {
    words[id / 64] &= ~((uint64_t)1 << (id % 64));
}

void tn_masks_start(TnMasks *m, const TernVocab *vocab, const TnPositions *p) {
    uint32_t n = vocab->head.n_tokens;
    *m = (TnMasks){.vocab = vocab, .p = p, .n_words = ((size_t)n + 63) / 64, .round = 1};
    tn_stacks_start(&m->stacks, p);
    m->trie = tn_trie_of(vocab);
    size_t most = KEPT_BYTES / (8 * m->n_words + 1);
    most = most < 16 ? 16 : most > 1024 ? 1024 : most;
    tn_keep_start(&m->tables, most, m->n_words);
    tn_keep_start(&m->masks, most, m->n_words);
    m->memo = tn_xcalloc(MEMO, sizeof *m->memo);
    m->path = tn_xcalloc((size_t)m->trie->depth + 1, sizeof *m->path);
}

void tn_masks_free(TnMasks *m) {
    tn_stacks_free(&m->stacks);
    tn_keep_free(&m->tables);
    tn_keep_free(&m->masks);
    free(m->memo);
    free(m->path);
    *m = (TnMasks){0};
}

size_t tn_masks_bytes(const TnMasks *m) {
    return tn_stacks_bytes(&m->stacks) + MEMO * sizeof *m->memo + (m->tables.n + m->masks.n) * m->n_words * 8;
}

/* ---- Walks */

/* Sets that a walk makes are numbered anew after a cut; rounds keep their steps apart. */
static void new_round(TnMasks *m) {
    m->round = (m->round + 1) & 0xffffff;
    if (m->round) return;
    memset(m->memo, 0, MEMO * sizeof *m->memo);
    m->round = 1;
}

/* Work is counted as if nothing were remembered, so that it does not depend on what was asked before. */
static uint32_t step(TnMasks *m, uint32_t set, uint8_t byte) {
    struct TnStep *s = &m->memo[(set * 0x9e3779b1u + byte * 0x85ebca6bu) >> 18 & (MEMO - 1)];
    uint32_t key = m->round << 8 | byte;
    m->n_steps++;
    if (s->set == set && s->byte_round == key) {
        m->stacks.work += s->work;
        return s->after;
    }
    uint64_t before = m->stacks.work++;
    uint32_t after = tn_set_after(&m->stacks, set, byte);
    *s = (struct TnStep){set, key, after, (uint32_t)(m->stacks.work - before)};
    return after;
}

/* Sets the bits of the tokens that end at a node. */
static void take(const TnMasks *m, uint32_t node, uint64_t *words) {
    for (uint32_t i = m->trie->nodes[node].first; i < m->trie->nodes[node + 1].first; i++)
        set_bit(words, m->trie->ids[i]);
}

/* Walks the subtree below `node` from a set. Tokens whose bytes all may come get their bits; where the stack UNKNOWN
 * comes up, the node is added to the exits of `table`. Tokens of up to `known` bytes, and exits there, are left as they
 * are. False if it takes too much. */
static bool walk(TnMasks *m, uint32_t node, uint32_t set, uint32_t known, uint64_t *words, TnKept *table,
                 size_t *cap_exits) {
    const TnTrieNode *t = m->trie->nodes;
    uint32_t end = t[node].skip;
    m->path[t[node].depth] = set;
    for (uint32_t i = node + 1; i < end;) {
        if (t[i].deepest <= known) {
            i = t[i].skip;
            continue;
        }
        uint32_t after = step(m, m->path[t[i].depth - 1], t[i].byte);
        if (after == TN_SET_TOO_LARGE) return false;
        if (m->stacks.work > TN_WORK_MOST) {
            tn_stacks_pass(&m->stacks, TN_BOUND_WORK, m->stacks.work);
            return false;
        }
        bool out = tn_set_has(&m->stacks, after, TN_STACK_UNKNOWN), on = tn_set_goes_on(&m->stacks, after);
        if (t[i].depth > known) {
            if (out && table) TN_PUSH(table->exits, table->n_exits, *cap_exits, i);
            if (on || (!out && after != TN_SET_EMPTY)) take(m, i, words);
        }
        m->path[t[i].depth] = after;
        i = on ? i + 1 : t[i].skip;
    }
    return true;
}

/* ---- Tables */

/* A count that has the same future within one token. */
static uint32_t near_count(const TnMasks *m, TnLoop l, uint32_t count) {
    uint32_t far = m->trie->depth;
    if (count < l.min) return l.min - count > far ? 0 : count;
    return l.max != TN_NO_MAX && l.max - count > far ? l.min : count;
}

/* Writes the key of a stack's table: the top position, then loops and counts. Gives the node below them. A loop that is not
 * the last of its alternative is the last of the key: what is below it comes up only after more bytes. */
static uint32_t table_key(const TnMasks *m, uint32_t stack, uint32_t key[KEY_MOST], uint32_t *out_n) {
    const TnStackNode *node = &m->stacks.nodes[stack];
    uint32_t n = 0, below = node->below;
    key[n++] = node->pos;
    while (below > TN_STACK_UNKNOWN && n < KEY_MOST) {
        node = &m->stacks.nodes[below];
        TnPosition pos = m->p->v[node->pos];
        if (pos.kind != TN_AT_LOOP) break;
        key[n++] = node->pos;
        key[n++] = near_count(m, m->p->loops[pos.a], node->count);
        below = node->below;
        if (m->p->v[pos.next].kind != TN_AT_END) break;
    }
    *out_n = n;
    return below;
}

/* Each turn of a loop takes at least one byte. So a loop that may still turn `left` times takes the same tokens of up to
 * `left` bytes as one that may turn more often, and the table of the same stack with the count at its minimum has those
 * tokens and exits. Writes its key and gives `left`; 0 if there is no such table. */
static uint32_t base_key(const TnMasks *m, const uint32_t *key, uint32_t n, uint32_t out[KEY_MOST]) {
    if (n < 3) return 0;
    TnLoop l = m->p->loops[m->p->v[key[1]].a];
    if (l.max == TN_NO_MAX || key[2] <= l.min || key[2] >= l.max) return 0;
    memcpy(out, key, n * sizeof *key);
    out[2] = l.min;
    return l.max - key[2];
}

/* Copies what a table has of tokens of up to `known` bytes. */
static void copy_known(const TnMasks *m, const TnKept *base, uint32_t known, TnKept *table,
                       size_t *cap_exits) {
    const TnTrieNode *t = m->trie->nodes;
    memcpy(table->words, base->words, m->n_words * sizeof *table->words);
    for (uint32_t i = 1; i < m->trie->n;) {
        if (t[i].depth > known)
            for (uint32_t k = t[i].first; k < t[i + 1].first; k++) clear_bit(table->words, m->trie->ids[k]);
        i = t[i].deepest > known ? i + 1 : t[i].skip;
    }
    for (size_t i = 0; i < base->n_exits; i++)
        if (t[base->exits[i]].depth <= known)
            TN_PUSH(table->exits, table->n_exits, *cap_exits, base->exits[i]);
}

static bool fill_table(TnMasks *m, const uint32_t *key, uint32_t n, uint32_t known, TnKept *table,
                       size_t *cap) {
    uint32_t stack = TN_STACK_UNKNOWN;
    m->stacks.too_large = false;
    for (uint32_t i = n; i > 1; i -= 2) stack = tn_stack_node(&m->stacks, key[i - 2], key[i - 1], stack);
    stack = tn_stack_node(&m->stacks, key[0], 0, stack);
    if (m->stacks.too_large) return false;
    tn_closure_begin(&m->stacks);
    tn_closure_add(&m->stacks, stack);
    uint32_t set = tn_closure_end(&m->stacks);
    return set != TN_SET_TOO_LARGE && walk(m, 0, set, known, table->words, table, cap);
}

static const TnKept *table_of(TnMasks *m, const uint32_t *key, uint32_t n) {
    TnKept *table = tn_keep_find(&m->tables, key, n), base = {0};
    if (table) return table;
    uint32_t other[KEY_MOST], known = base_key(m, key, n, other);
    if (known) {
        const TnKept *found = table_of(m, other, n);
        if (!found) return NULL;
        base = *found; /* its place may change, what it points to does not: it is the newest */
    }
    size_t cap = 0;
    table = tn_keep_new(&m->tables, key, n);
    if (known) copy_known(m, &base, known, table, &cap);
    uint64_t work = m->stacks.work;
    m->stacks.work = 0; /* whether the table has to be made must not show in the mask's own work */
    bool made = fill_table(m, key, n, known, table, &cap);
    m->stacks.work = work;
    if (made) return table;
    tn_keep_drop(&m->tables, table);
    return NULL;
}

static bool add_exits(TnMasks *m, const TnKept *table, uint32_t below, uint64_t *words) {
    tn_closure_begin(&m->stacks);
    tn_closure_return(&m->stacks, below);
    uint32_t set = tn_closure_end(&m->stacks);
    if (set == TN_SET_TOO_LARGE) return false;
    bool on = tn_set_goes_on(&m->stacks, set);
    for (size_t i = 0; i < table->n_exits; i++) {
        take(m, table->exits[i], words);
        if (on && !walk(m, table->exits[i], set, 0, words, NULL, NULL)) return false;
    }
    return true;
}

/* ---- Masks */

static bool add_stack(TnMasks *m, uint32_t stack, uint64_t *words) {
    uint32_t key[KEY_MOST], n, below = table_key(m, stack, key, &n);
    const TnKept *table = table_of(m, key, n);
    if (!table) return false;
    for (size_t i = 0; i < m->n_words; i++) words[i] |= table->words[i];
    return table->n_exits == 0 || add_exits(m, table, below, words);
}

/* Tokens that lose their first byte at the beginning of an output are tried one by one. */
static bool fix_firsts(TnMasks *m, uint32_t set, uint64_t *words) {
    for (size_t i = 0; i < m->trie->n_firsts; i++) {
        uint32_t id = m->trie->firsts[i], after = set;
        TernText t = tn_token_text(m->vocab, id, true);
        for (size_t k = 0; k < t.size && after != TN_SET_EMPTY; k++) {
            after = step(m, after, (uint8_t)t.data[k]);
            if (after == TN_SET_TOO_LARGE) return false;
        }
        if (t.size && after != TN_SET_EMPTY)
            set_bit(words, id);
        else
            clear_bit(words, id);
    }
    return true;
}

/* Token references, and the tokens that end a generation. */
static void add_tokens(TnMasks *m, uint32_t set, bool may_end, uint64_t *words) {
    TnStackSet v = m->stacks.sets[set];
    for (uint32_t i = 0; i < v.n; i++) {
        uint32_t stack = m->stacks.members[v.first + i];
        if (stack <= TN_STACK_UNKNOWN) continue;
        TnPosition pos = m->p->v[m->stacks.nodes[stack].pos];
        if (pos.kind == TN_AT_TOKEN) set_bit(words, pos.a);
        if (pos.kind != TN_AT_TOKEN_NOT) continue;
        bool had = words[pos.a / 64] >> (pos.a % 64) & 1;
        for (size_t w = 0; w < m->n_words; w++) words[w] |= m->trie->not_end[w];
        if (!had) clear_bit(words, pos.a);
    }
    for (size_t i = 0; may_end && i < m->trie->n_ends; i++) set_bit(words, m->trie->ends[i]);
}

static bool make(TnMasks *m, uint32_t set, bool first, bool may_end, uint64_t *words) {
    TnStackSet v = m->stacks.sets[set];
    for (uint32_t i = 0; i < v.n; i++) {
        uint32_t stack = m->stacks.members[v.first + i];
        if (stack <= TN_STACK_UNKNOWN || m->p->v[m->stacks.nodes[stack].pos].kind != TN_AT_BYTE) continue;
        if (!add_stack(m, stack, words)) return false;
    }
    if (first && !fix_firsts(m, set, words)) return false;
    add_tokens(m, set, may_end, words);
    return true;
}

const TnKept *tn_mask_of(TnMasks *m, uint32_t set, bool first, bool may_end) {
    uint32_t key[2] = {set, (uint32_t)first | (uint32_t)may_end << 1};
    TnKept *mask = tn_keep_find(&m->masks, key, 2);
    if (mask) return mask;
    TnStacksMark mark = tn_stacks_mark(&m->stacks);
    m->stacks.work = 0;
    m->n_made++;
    new_round(m);
    mask = tn_keep_new(&m->masks, key, 2);
    bool made = make(m, set, first, may_end, mask->words);
    tn_stacks_cut(&m->stacks, mark);
    if (!made) {
        tn_keep_drop(&m->masks, mask);
        return NULL;
    }
    mask->n_allowed = 0;
    for (size_t i = 0; i < m->n_words; i++) mask->n_allowed += (size_t)__builtin_popcountll(mask->words[i]);
    return mask;
}
