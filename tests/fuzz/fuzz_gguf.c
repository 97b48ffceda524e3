/* Any bytes are a GGUF model, or are refused with one line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    TernError err = {0};
    TnGguf *gguf = NULL;
    TnGraph *g = NULL;
    TnFacts facts;
    const void *vocab;
    size_t vocab_bytes;
    if (tn_gguf_open_memory(data, n, "fuzz", false, &gguf, &err) == TERN_OK) {
        if (tn_gguf_vocab(gguf, &vocab, &vocab_bytes, &err) == TERN_OK)
            if (tn_gguf_graph(gguf, &(TnGgufOptions){.no_hash = true}, &g, &facts, &err) == TERN_OK) {
                TnDiag diag = {0};
                TN_CHECK(tn_verify(g, &diag) == TERN_OK);
                tn_graph_destroy(g);
                tn_gguf_close(gguf);
                return 0;
            }
        tn_gguf_close(gguf);
    }
    TN_CHECK(err.text[0] && !strchr(err.text, '\n'));
    return 0;
}
