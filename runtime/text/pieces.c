#include "runtime/text/pieces.h"
#include "runtime/base/hex.h"
#include "runtime/text/utf8.h"

int tn_piece_byte(TernText t) {
    int byte = 0;
    if (t.size != 6 || memcmp(t.data, "<0x", 3) != 0 || t.data[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        int digit = t.data[i] >= 'a' ? -1 : tn_hex_digit(t.data[i]); /* upper case only */
        if (digit < 0) return -1;
        byte = byte * 16 + digit;
    }
    return byte;
}

bool tn_piece_is_byte(const TernVocabSource *s, size_t id) {
    return s->types ? s->types[id] == TERN_TOKEN_BYTE : tn_piece_byte(s->tokens[id]) >= 0;
}

TnSpelling tn_piece_put(TnBuf *out, TernText text) {
    bool found = true;
    for (size_t i = 0; i < text.size;) {
        uint32_t point;
        int partial;
        int len = tn_utf8_next((const uint8_t *)text.data + i, text.size - i, &point, &partial);
        if (len == 0) return TN_SPELLED_BADLY;
        found &= point != ' ';
        if (point == TN_SPACE_POINT)
            tn_buf_put(out, " ", 1);
        else
            tn_buf_put(out, text.data + i, (size_t)len);
        i += (size_t)len;
    }
    return found ? TN_SPELLED : TN_SPELLED_APART;
}

TnSpelling tn_piece_spell(void *source, TernText text, TernTokenType type, TnBuf *out) {
    const TernVocabSource *s = source;
    int byte = type == TERN_TOKEN_BYTE || !s->types ? tn_piece_byte(text) : -1;
    if (byte < 0) return tn_piece_put(out, text);
    char c = (char)byte;
    tn_buf_put(out, &c, 1);
    return TN_SPELLED_APART;
}

TernStatus tn_pieces_check_bytes(const TernVocabSource *s, TernError *err) {
    for (size_t i = 0; i < s->n_tokens; i++)
        if (tn_piece_is_byte(s, i) && tn_piece_byte(s->tokens[i]) < 0)
            return tn_fail(err, TERN_ERR_INPUT,
                           "tokenizer.ggml.tokens[%zu] is '%.*s' of type byte, expected <0x00> to <0xFF>", i,
                           TN_SHOW(s->tokens[i]));
    return TERN_OK;
}

void tn_pieces_find_bytes(TnVocabBuild *b) {
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        tn_buf_put(&b->bytes, &c, 1);
        b->head.byte_symbol[byte] = tn_build_intern(b);
    }
    for (uint32_t id = b->head.n_tokens; id-- > 0;)
        if (tn_piece_is_byte(b->src, id)) b->head.byte_symbol[tn_piece_byte(b->src->tokens[id])] = id;
}
