/* Pass merge with a miscompile for `tern verify` to find (tests/cli/test_plant.sh): the last part's slice begins at 0. */
#include <stdlib.h>
#include <string.h>
#include "passes/internal.h"

static TnRef add_planted(TnGraph *g, TnOp op, const char *name, const TnType *type, const TnRef *args,
                         uint32_t n_args, TnAttr *attrs, uint32_t n_attrs) {
    const char *plant = getenv("TERN_PLANT");
    if (op == TN_OP_slice && plant && strcmp(plant, "merge") == 0) {
        const TnType *t = &g->nodes[args[0]].type;
        if (attrs[0].i + attrs[1].i == t->dim[t->rank - 1]) attrs[0].i = 0;
    }
    return tn_node_add(g, op, name, type, args, n_args, attrs, n_attrs);
}
#define tn_node_add add_planted
#include "passes/merge.c"
