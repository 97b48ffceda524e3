/* For tests: a model-stage graph from the lines of its body, and random bytes that are the same everywhere.
 */
#ifndef TN_TEST_TIR_TEXT_H
#define TN_TEST_TIR_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ir/eval.h"
#include "runtime/base/half.h"

static inline TnGraph *graph_of(const char *body) {
    TnBuf b = {0};
    TnDiag diag = {0};
    TnGraph **gs = NULL;
    uint32_t n = 0;
    tn_buf_printf(&b, "tir 1\ngraph @t stage=model\n%send\n", body);
    if (tn_parse(b.data, b.len, "test", &gs, &n, &diag) != TERN_OK) fail_msg("%s", diag.text.data);
    assert_int_equal(n, 1);
    TnGraph *g = gs[0];
    free(gs);
    tn_buf_free(&b);
    tn_diag_free(&diag);
    return g;
}

static inline TnRef ref_of(const TnGraph *g, const char *name) {
    TnRef r = tn_map_get(&g->names, name, strlen(name));
    assert_true(r != TN_MAP_NONE);
    return r;
}

static uint64_t random_state = 1;
static inline uint32_t random_u32(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}
static inline void random_bytes(void *p, size_t n) {
    for (size_t i = 0; i < n; i++) ((uint8_t *)p)[i] = (uint8_t)(random_u32() >> 7);
}
/* In [-1, 1), with all 24 bits in use. */
static inline float random_float(void) {
    return (float)(random_u32() & 0xffffff) * 0x1p-23f - 1.0f;
}

#endif
