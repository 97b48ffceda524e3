/* For tests: the vocabulary of the folder of small_folder.h, as the GGUF has it that the folder becomes. */
#ifndef TN_TEST_FOLDER_VOCAB_H
#define TN_TEST_FOLDER_VOCAB_H

#include "hf/small_folder.h"
#include "runtime/text/text.h"

/* Opened, to be closed; free() *image after it. */
static inline TernVocab *vocab(void **image) {
    TnBuf file = {0};
    TnGguf *g;
    TernError err;
    const void *made;
    size_t n;
    TernVocab *v;
    assert_string_equal(convert_says(NULL, &file), "");
    assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &g, &err), TERN_OK);
    if (tn_gguf_vocab(g, &made, &n, &err) != TERN_OK) fail_msg("%s", err.text);
    *image = tn_xcalloc(n, 1);
    memcpy(*image, made, n);
    tn_gguf_close(g);
    tn_buf_free(&file);
    assert_int_equal(tern_vocab_open(*image, n, &v, &err), TERN_OK);
    return v;
}

#endif
