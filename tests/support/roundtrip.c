#include "tests/support/roundtrip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TnGraph *stage_graph(uint64_t seed) {
    Rand r = {seed};
    TnGraph *g = rand_graph(seed);
    if (seed % 2) rand_wild(g, &r);
    if (seed % 5 >= 1) rand_kernels(g);
    if (seed % 5 >= 3) rand_plan(g, &r);
    return g;
}

static bool verifies(const TnGraph *g, char *why, size_t room) {
    TnDiag d = {0};
    bool ok = tn_verify(g, &d) == TERN_OK;
    if (!ok) snprintf(why, room, "%s", d.text.data);
    tn_diag_free(&d);
    return ok;
}

static bool same(const TnGraph *g, const TnBuf *text, char *why, size_t room) {
    TnGraph **back;
    TnDiag d = {0};
    uint32_t n;
    if (tn_parse(text->data, text->len, "t", &back, &n, &d) != TERN_OK) {
        snprintf(why, room, "%s", d.text.data);
        tn_diag_free(&d);
        return false;
    }
    TnBuf again = {0};
    tn_print_file(back, n, &again);
    const char *what = n != 1                                           ? "other graphs"
                       : !tn_graph_equal(g, back[0])                    ? "another graph"
                       : back[0]->next_number != g->next_number         ? "another next number"
                       : again.len != text->len                         ? "another text"
                       : memcmp(again.data, text->data, text->len) != 0 ? "another text"
                                                                        : NULL;
    bool ok = !what && verifies(back[0], why, room);
    if (what) snprintf(why, room, "the text gives %s", what);
    tn_buf_free(&again);
    for (uint32_t i = 0; i < n; i++) tn_graph_destroy(back[i]);
    free(back);
    return ok;
}

bool roundtrip(uint64_t seed, uint32_t ops[TN_OP_COUNT], char *why, size_t room) {
    TnGraph *g = stage_graph(seed), *clone = tn_graph_clone(g);
    TnBuf text = {0}, copy = {0};
    tn_print_file(&g, 1, &text);
    tn_print_file(&clone, 1, &copy);
    bool ok = verifies(g, why, room) && same(g, &text, why, room);
    if (ok && (!tn_graph_equal(g, clone) || strcmp(text.data, copy.data) != 0)) {
        snprintf(why, room, "a clone is not equal");
        ok = false;
    }
    for (TnRef i = 0; ops && i < g->n; i++) ops[g->nodes[i].op]++;
    tn_buf_free(&text);
    tn_buf_free(&copy);
    tn_graph_destroy(clone);
    tn_graph_destroy(g);
    return ok;
}
