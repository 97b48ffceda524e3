/* The table of tokenizers. */
#include "runtime/text/tokenizer.h"

/* Images hold the number of a row, so add a new row at the end. */
static const TnTokenizer *const table[] = {&tn_byte_bpe, &tn_sentencepiece};

const TnTokenizer *tn_tokenizer_find(TernText model) {
    for (size_t i = 0; i < TN_COUNT(table); i++)
        if (model.size == strlen(table[i]->model) && memcmp(model.data, table[i]->model, model.size) == 0)
            return table[i];
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
    for (size_t i = 0; i < TN_COUNT(table); i++)
        tn_buf_printf(out, "%s'%s'", i == 0 ? "" : i + 1 == TN_COUNT(table) ? " or " : ", ", table[i]->model);
}
