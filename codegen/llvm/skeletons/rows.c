/* The skeleton of kernels that go over rows: a unit is one row of the leading symbol, and the ops are emitted
 * in order. */
#include "codegen/llvm/skeletons/frame.h"

#include "runtime/base/arena.h"
#include <stdlib.h>

void tn_build_rows_kernel(TnBuilder *b) {
    TN_CHECK(b->k->axis == TN_AXIS_ROWS && b->k->units == 1);
    TnLoop l = tn_build_loop(b, b->lo, b->hi, 1);
    TnFrame f = {.row = l.i, .col = tn_build_i64(b, 0)};
    f.mem = tn_xcalloc(b->k->n, sizeof *f.mem);
    tn_build_frame(b, &f, b->k->first, b->k->first + b->k->n, NULL);
    tn_build_loop_end(b, &l);
    free(f.mem);
}
