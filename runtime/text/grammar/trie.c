/* Sorts the tokens by their bytes and lays out the tree. */
#include "runtime/text/grammar/trie.h"
#include <stdlib.h>
#include "runtime/base/arena.h"
#include "runtime/text/tokenizer.h"

enum { DEPTH_MOST = UINT16_MAX };

bool tn_token_is_text(const TernVocab *vocab, uint32_t id) {
    if (tn_type_is_control(tn_token_type(vocab, id)) || (vocab->attrs[id] & TN_ATTR_EOG)) return false;
    size_t n = tn_token_text(vocab, id, false).size;
    return n > 0 && n <= DEPTH_MOST;
}

TernText tn_token_text(const TernVocab *vocab, uint32_t id, bool first) {
    return vocab->tokenizer->decode(vocab, id, first);
}

typedef struct Entry {
    TernText text;
    uint32_t id;
} Entry;

static int by_bytes(const void *pa, const void *pb) {
    const Entry *a = pa, *b = pb;
    size_t n = a->text.size < b->text.size ? a->text.size : b->text.size;
    int c = memcmp(a->text.data, b->text.data, n);
    if (c) return c;
    if (a->text.size != b->text.size) return a->text.size < b->text.size ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static size_t common(const TernText *a, const TernText *b) {
    size_t n = 0, most = a->size < b->size ? a->size : b->size;
    while (n < most && a->data[n] == b->data[n]) n++;
    return n;
}

/* `open` holds the nodes of the path to the last entry: open[d] has depth d. */
static void close_nodes(TnTrie *t, const uint32_t *open, size_t from, size_t to) {
    for (size_t d = from; d > to; d--) {
        TnTrieNode *node = &t->nodes[open[d]], *parent = &t->nodes[open[d - 1]];
        node->skip = (uint32_t)t->n;
        if (parent->deepest < node->deepest) parent->deepest = node->deepest;
    }
}

static void lay_out(TnTrie *t, const Entry *list, size_t n) {
    uint32_t *open = tn_xcalloc((size_t)t->depth + 1, sizeof *open);
    size_t depth = 0;
    TN_PUSH(t->nodes, t->n, t->cap, ((TnTrieNode){0}));
    for (size_t i = 0; i < n; i++) {
        size_t same = i ? common(&list[i - 1].text, &list[i].text) : 0;
        close_nodes(t, open, depth, same);
        depth = same;
        while (depth < list[i].text.size) {
            uint8_t byte = (uint8_t)list[i].text.data[depth];
            open[++depth] = (uint32_t)t->n;
            TN_PUSH(t->nodes, t->n, t->cap,
                    ((TnTrieNode){0, (uint32_t)i, (uint16_t)depth, (uint16_t)depth, byte}));
        }
        t->ids[i] = list[i].id;
    }
    close_nodes(t, open, depth, 0);
    t->nodes[0].skip = (uint32_t)t->n;
    TN_PUSH(t->nodes, t->n, t->cap, ((TnTrieNode){(uint32_t)t->n, (uint32_t)n, 0, 0, 0}));
    t->n--;
    free(open);
}

static void take_ends(const TernVocab *vocab, TnTrie *t) {
    uint32_t n = vocab->head.n_tokens;
    t->not_end = tn_xcalloc(((size_t)n + 63) / 64, sizeof *t->not_end);
    for (uint32_t id = 0; id < n; id++) {
        if (vocab->attrs[id] & TN_ATTR_EOG)
            TN_PUSH(t->ends, t->n_ends, t->cap_ends, id);
        else
            t->not_end[id / 64] |= (uint64_t)1 << (id % 64);
    }
}

static void *make(const TernVocab *vocab) {
    uint32_t n_tokens = vocab->head.n_tokens;
    TnTrie *t = tn_xcalloc(1, sizeof *t);
    t->ids = tn_xcalloc((size_t)n_tokens + 1, sizeof *t->ids);
    Entry *list = tn_xcalloc((size_t)n_tokens + 1, sizeof *list);
    for (uint32_t id = 0; id < n_tokens; id++) {
        if (!tn_token_is_text(vocab, id)) continue;
        TernText text = tn_token_text(vocab, id, false);
        list[t->n_ids++] = (Entry){text, id};
        if (text.size > t->depth) t->depth = (uint32_t)text.size;
        if (tn_token_text(vocab, id, true).size != text.size)
            TN_PUSH(t->firsts, t->n_firsts, t->cap_firsts, id);
    }
    qsort(list, t->n_ids, sizeof *list, by_bytes);
    lay_out(t, list, t->n_ids);
    take_ends(vocab, t);
    free(list);
    return t;
}

static void release(void *made) {
    TnTrie *t = made;
    free(t->nodes);
    free(t->ids);
    free(t->firsts);
    free(t->ends);
    free(t->not_end);
    free(t);
}

const TnTrie *tn_trie_of(const TernVocab *vocab) {
    return tn_vocab_shared(vocab, make, release);
}
