/* Any text is parsed or refused with one line; what parses obeys the law print(parse(print)) == print. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "ir/ir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    TnGraph **gs, **again;
    uint32_t count, count_again;
    TnDiag diag = {0};
    if (tn_parse((const char *)data, n, "fuzz", &gs, &count, &diag) != TERN_OK) {
        tn_diag_free(&diag);
        return 0;
    }
    TnBuf first = {0}, second = {0};
    tn_print_file(gs, count, &first);
    for (uint32_t i = 0; i < count; i++) tn_verify(gs[i], &diag);
    tn_diag_free(&diag);
    diag = (TnDiag){0};
    if (tn_parse(first.data, first.len, "printed", &again, &count_again, &diag) != TERN_OK)
        TN_BUG("what was printed does not parse:\n%s", first.data);
    tn_print_file(again, count_again, &second);
    if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
        TN_BUG("printed twice, differently:\n%s---\n%s", first.data, second.data);
    for (uint32_t i = 0; i < count; i++) tn_graph_destroy(gs[i]);
    for (uint32_t i = 0; i < count_again; i++) tn_graph_destroy(again[i]);
    free(gs);
    free(again);
    tn_buf_free(&first);
    tn_buf_free(&second);
    tn_diag_free(&diag);
    return 0;
}
