/* For tests: checks that a file made by a writer is read, or refused with exactly the given line. */
#ifndef TN_TEST_REFUSE_H
#define TN_TEST_REFUSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "frontends/gguf/gguf.h"
#include "support/gguf_model.h"

/* The types of tensors that are read, as refusals list them. */
#define TYPES_READ                                                                                           \
    "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, MXFP4, I8_S, I2_S, TQ1_0, TQ2_0, TL1, " \
    "TL2, IQ1_BN, IQ2_BN, IQ2_BN_R4, Q2_0, PQ2_0, PTQ1_0"

/* Opens bytes and returns the error, or "" if it works. The object goes to `keep`; if that is NULL, it is
 * closed. */
static inline const char *open_says(const void *bytes, size_t n, bool vocab_only, TnGguf **keep) {
    static TernError err;
    TnGguf *g = NULL;
    err = (TernError){0};
    void *exact =
        tn_xcalloc(n ? n : 1, 1); /* a separate block, so that a sanitizer sees a read past its end */
    memcpy(exact, bytes, n);
    if (tn_gguf_open_memory(exact, n, "m.gguf", vocab_only, &g, &err) == TERN_OK) err.text[0] = 0;
    if (keep) {
        *keep = g;
        return err.text; /* the bytes are not freed: the object uses them */
    }
    if (g) tn_gguf_close(g);
    free(exact);
    return err.text;
}

/* Opens the writer's file, calls `make`, and returns the error, or "" if it works. Consumes the writer. */
typedef TernStatus GraphFn(TnGguf *gg, void *user, TnGraph **out, TernError *err);
static inline const char *makes_graph(TnGw *w, GraphFn *make, void *user) {
    static TernError err;
    TnBuf file = {0};
    TnGguf *gg = NULL;
    TnGraph *g = NULL;
    err = (TernError){0};
    tn_gw_bytes(w, &file, NULL, NULL);
    tn_gw_destroy(w);
    if (tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &gg, &err) == TERN_OK &&
        make(gg, user, &g, &err) == TERN_OK)
        err.text[0] = 0;
    tn_graph_destroy(g);
    tn_gguf_close(gg);
    tn_buf_free(&file);
    return err.text;
}

static inline TernStatus gguf_graph(TnGguf *gg, void *user, TnGraph **out, TernError *err) {
    TnFacts f;
    const bool *ternary_dense = user;
    return tn_gguf_graph(gg, &(TnGgufOptions){.ternary_dense = *ternary_dense, .no_hash = true}, out, &f,
                         err);
}

/* Makes the graph and returns the error, or "". Consumes the writer. */
static inline const char *graph_says(TnGw *w, bool ternary_dense) {
    return makes_graph(w, gguf_graph, &ternary_dense);
}

/* Expects this error, or "" for success. Consumes the writer. */
static inline void expect_open(TnGw *w, const char *want) {
    TnBuf file = {0};
    tn_gw_bytes(w, &file, NULL, NULL);
    tn_gw_destroy(w);
    assert_string_equal(open_says(file.data, file.len, false, NULL), want);
    tn_buf_free(&file);
}

#endif
