/* The tokens of a vocabulary that are text, as a tree of their bytes. All grammars of a vocabulary share one. */
#ifndef TN_GRAMMAR_TRIE_H
#define TN_GRAMMAR_TRIE_H

#include "runtime/text/vocab.h"

/* In preorder: the first child of node i is i + 1, its next sibling is `skip`. Node 0 is the root, no byte. */
typedef struct TnTrieNode {
    uint32_t skip;    /* the node after the subtree */
    uint32_t first;   /* the tokens that end here: ids[first .. first of the next node) */
    uint16_t depth;   /* bytes from the root, up to 65535 */
    uint16_t deepest; /* the largest depth in the subtree */
    uint8_t byte;
} TnTrieNode;

typedef struct TnTrie {
    TnTrieNode *nodes; /* n and a last one, whose `first` is n_ids */
    uint32_t *ids;
    uint32_t *firsts;  /* tokens that lose a byte if they begin a text */
    uint32_t *ends;    /* tokens that end a generation */
    uint64_t *not_end; /* all tokens but those: bit id % 64 of word id / 64, as in a mask */
    size_t n, cap, n_ids, n_firsts, cap_firsts, n_ends, cap_ends;
    uint32_t depth;
} TnTrie;

/* Whether the token is text: it has bytes, is no control or unknown token, and does not end a generation. */
bool tn_token_is_text(const TernVocab *vocab, uint32_t id);
/* The bytes that it adds to an output, as the detokenizer gives them. */
TernText tn_token_text(const TernVocab *vocab, uint32_t id, bool first);

/* The vocabulary's tree, which lives as long as it does. The first call makes it; see tn_vocab_shared. */
const TnTrie *tn_trie_of(const TernVocab *vocab);

#endif
