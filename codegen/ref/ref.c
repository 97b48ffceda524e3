/* The ref target: runs a blob without its code. ir/eval.c evaluates every launch from the planned graph in
 * the blob's TIR section. Slow, and right by definition. */
#include "codegen/codegen.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/abi/levels.h"
#include "runtime/base/arena.h"

struct TnRefKernels {
    TnGraph **graphs; /* one for each variant */
    uint32_t n;
};

static bool has(const char *level) {
    return strcmp(level, TN_LEVEL_REF_NAME) == 0;
}

static int ref_score(const TnGraph *g, uint32_t kernel, const char *level) {
    (void)g;
    (void)kernel;
    return has(level);
}

/* Ternary weights become p64, or r64 if their scales are for groups. Everything else, embeddings in stored
 * blocks too, is read as it lies in the file, which costs one decode a row. */
static TnEnc prefer(const TnType *weight, TnOp reader, const char *level) {
    (void)reader;
    (void)level;
    if (!tn_enc_is_ternary(weight->enc)) return weight->enc;
    return tn_type_in_groups(weight) ? TN_ENC_r64 : TN_ENC_p64;
}

/* The evaluator never reads column-major copies. */
static bool pays(const char *pass, const TnGraph *g, bool usual) {
    (void)g;
    return usual && strcmp(pass, "colmajor") != 0;
}

const TnTarget tn_target_ref = {.desc = {.name = "ref", .can = ref_score, .prefer = prefer, .pays = pays},
                                .has = has};

TernStatus tn_ref_create(const char *tir, size_t n, TnRefKernels **out, TernError *err) {
    TnDiag diag = {0};
    TnRefKernels *ref = tn_xcalloc(1, sizeof *ref);
    TernStatus s = tn_parse(tir, n, "TIR section", &ref->graphs, &ref->n, &diag);
    for (uint32_t i = 0; s == TERN_OK && i < ref->n; i++) {
        if (ref->graphs[i]->stage != TN_STAGE_PLANNED)
            tn_diag_add(&diag, "TIR section", 0, 0, "graph %u is not planned", i);
        s = tn_verify(ref->graphs[i], &diag);
        if (diag.n) s = TERN_ERR_INPUT;
    }
    if (s != TERN_OK) {
        const char *line = diag.text.data ? diag.text.data : "TIR section: damaged";
        s = tn_fail(err, s, "%.*s", (int)strcspn(line, "\n"), line);
        tn_ref_destroy(ref);
    } else {
        *out = ref;
    }
    tn_diag_free(&diag);
    return s;
}

void tn_ref_destroy(void *user) {
    TnRefKernels *ref = user;
    if (!ref) return;
    for (uint32_t i = 0; i < ref->n; i++) tn_graph_destroy(ref->graphs[i]);
    free(ref->graphs);
    free(ref);
}

size_t tn_ref_scratch(void *user, uint32_t variant, uint32_t launch, const int64_t *sym_max) {
    const TnRefKernels *ref = user;
    /* The program does not match its TIR, so no session must be made from it. */
    if (variant >= ref->n || launch >= ref->graphs[variant]->n_kernels) return SIZE_MAX;
    return tn_eval_kernel_scratch(ref->graphs[variant], launch, sym_max);
}

void tn_ref_run(void *user, uint32_t variant, uint32_t launch, const void *launch_args, void *scratch) {
    const TnRefKernels *ref = user;
    const TnLaunch *args = launch_args;
    if (variant >= ref->n || launch >= ref->graphs[variant]->n_kernels) return;
    tn_eval_kernel(ref->graphs[variant], launch, args->ptr, args->sym, scratch);
}
