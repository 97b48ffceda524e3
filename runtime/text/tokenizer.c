/* The table of tokenizers. */
#include "runtime/text/pretok.h"
#include "runtime/text/tokenizer.h"

/* Images hold the number of a row, so add a new row at the end. */
static const TnTokenizer *const table[] = {&tn_byte_bpe, &tn_sentencepiece, &tn_char_bpe};

static bool is(TernText t, const char *name) {
    return name && t.size == strlen(name) && memcmp(t.data, name, t.size) == 0;
}

const TnTokenizer *tn_tokenizer_find(TernText model, TernText pre) {
    for (size_t i = 0; i < TN_COUNT(table); i++) {
        if (!is(model, table[i]->model) && !is(model, table[i]->also)) continue;
        if (table[i] != &tn_byte_bpe || !pre.data) return table[i];
        /* files call BPE of characters by the same name */
        uint32_t row = tn_pre_find(pre);
        bool characters = row != TN_PRE_NONE && (tn_pre_flags(row) & TN_VOCAB_CHARACTERS);
        return characters ? &tn_char_bpe : &tn_byte_bpe;
    }
    return NULL;
}

const TnTokenizer *tn_tokenizer_at(uint32_t kind) {
    return kind < TN_COUNT(table) ? table[kind] : NULL;
}

uint32_t tn_tokenizer_kind(const TnTokenizer *t) {
    uint32_t kind = 0;
    while (kind < TN_COUNT(table) && table[kind] != t) kind++;
    TN_CHECK(kind < TN_COUNT(table));
    return kind;
}

void tn_tokenizer_list(TnBuf *out) {
    for (size_t i = 0; i < TN_COUNT(table); i++) {
        const char *also = table[i]->also;
        bool last = i + 1 == TN_COUNT(table);
        tn_buf_printf(out, "%s'%s'", i == 0 ? "" : last && !also ? " or " : ", ", table[i]->model);
        if (also) tn_buf_printf(out, "%s'%s'", last ? " or " : ", ", also);
    }
}
