/* Any bytes are a blob, or are refused with one line. Hashes hide everything behind them from a fuzzer, so
 * the outside is what it reaches; with a valid seed it also learns to cut and to join. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/tern.h"
#include "runtime/base/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    TernError err = {0};
    TernModel *model = NULL;
    void *copy = aligned_alloc(64, (n + 64) & ~(size_t)63);
    memcpy(copy, data, n);
    if (tern_model_open_memory(copy, n, NULL, &model, &err) == TERN_OK)
        tern_model_close(model);
    else
        TN_CHECK(err.text[0] && !strchr(err.text, '\n'));
    free(copy);
    return 0;
}
