#include "codegen/codegen.h"

#include <assert.h>
#include <string.h>
#include "runtime/abi/levels.h"
#include "runtime/base/arena.h"

/* Compiled code indexes TnLaunch.sym by TN_ABI_*, the compiler by TnSym. Their order must be the same. */
static_assert((int)TN_ABI_T == (int)TN_T && (int)TN_ABI_R == (int)TN_R && (int)TN_ABI_K == (int)TN_K &&
                  (int)TN_ABI_H == (int)TN_H && (int)TN_ABI_S == (int)TN_S && (int)TN_ABI_P == (int)TN_P &&
                  (int)TN_ABI_N == (int)TN_N && (int)TN_ABI_L == (int)TN_L &&
                  (int)TN_ABI_SYMS == (int)TN_SYM_COUNT,
              "kernel.h and ir.h must agree on the symbols");

static const TnTarget *const targets[] = {
#define TARGET(name, ...) &tn_target_##name,
#include "codegen/targets.def"
#undef TARGET
};

const TnTarget *tn_target_find(const char *name) {
    for (size_t i = 0; name && i < TN_COUNT(targets); i++)
        if (!strcmp(name, targets[i]->desc.name)) return targets[i];
    return NULL;
}

uint32_t tn_targets_for(const char *level, const char *first, const TnTargetDesc *out[TN_TARGETS_MAX]) {
    const TnTargetRow *row = tn_target_named(first);
    bool rest = !row || row->kernels == TN_TARGET_SOME;
    uint32_t n = 0;
    const TnTarget *t = tn_target_find(first), *before = NULL;
    if (t && t->has(level)) out[n++] = &t->desc, before = t;
    for (size_t i = 0; rest && i < TN_COUNT(targets); i++) {
        if (targets[i] == t || !targets[i]->has(level) || tn_target_row(i)->kernels == TN_TARGET_SOME)
            continue;
        TN_CHECK(!before || before->section == targets[i]->section); /* a level's code is one image */
        out[n++] = &targets[i]->desc, before = targets[i];
    }
    return n;
}

uint32_t tn_targets_asked(const char *level, const TnTargetDesc *out[TN_TARGETS_MAX]) {
    uint32_t n = tn_targets_for(level, NULL, out);
    for (size_t i = 0; n == 0 && i < TN_COUNT(targets); i++)
        if (!targets[i]->emit) out[n++] = &targets[i]->desc;
    return n;
}

static void put_level(TnBuf *list, const TnTarget *t, const char *level) {
    if (t->has(level)) tn_buf_printf(list, "%s%s", list->len ? "," : "", level);
}

const char *tn_target_levels(const char *name, const char *liked, TnArena *arena) {
    const TnTarget *t = tn_target_find(name);
    const TnLevelRow *row;
    TnBuf list = {0};
    if (!t) return liked;
    for (const char *p = liked; *p; p += strspn(p, ",")) {
        size_t n = strcspn(p, ",");
        put_level(&list, t, tn_strndup(arena, p, n));
        p += n;
    }
    bool others = list.len == 0;
    for (size_t i = 0; others && (row = tn_level_row(i)); i++) put_level(&list, t, row->name);
    if (list.len == 0) put_level(&list, t, TN_LEVEL_REF_NAME);
    const char *text = tn_strndup(arena, list.data, list.len);
    tn_buf_free(&list);
    return text;
}

bool tn_target_dot(const TnGraph *g, TnRef product, TnDot *out) {
    uint32_t kernel = g->nodes[product].kernel;
    const TnTarget *t = kernel == TN_NONE ? NULL : tn_target_find(g->kernels[kernel].target);
    return t && t->desc.dot_of && t->desc.dot_of(g, product, out);
}
