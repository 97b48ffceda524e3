/* The inputs of a differential run. They depend on the seed, the step's number and the input's name, not on the
 * rest of the graph, so that a graph gets the same inputs before and after the passes. */
#include "codegen/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/half.h"

static uint64_t mix(uint64_t z) { /* splitmix64 */
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t tn_step_pick(TnStep *s, uint64_t n) {
    s->state += 0x9e3779b97f4a7c15u;
    return mix(s->state) % n;
}

void tn_step_open(TnStep *s, uint64_t seed, int64_t most_rows) {
    *s = (TnStep){.seed = seed, .state = mix(seed), .cap = most_rows};
    int64_t slots = 1 + (int64_t)tn_step_pick(s, TN_STEP_SLOTS), pages = 2 + (int64_t)tn_step_pick(s, 2);
    while (pages * TN_PAGE < most_rows) pages++; /* one slot must hold a whole step */
    if (pages > TN_STEP_PAGES) pages = TN_STEP_PAGES;
    TN_CHECK(most_rows <= pages * TN_PAGE);
    s->pos = tn_xcalloc((size_t)most_rows + 1, sizeof *s->pos);
    s->slot = tn_xcalloc((size_t)most_rows + 1, sizeof *s->slot);
    for (int i = 0; i < slots * pages; i++) {
        int j = (int)tn_step_pick(s, (uint64_t)i + 1);
        s->table[i] = s->table[j];
        s->table[j] = i;
    }
    for (int i = 0; i < slots; i++) s->used[i] = (int32_t)tn_step_pick(s, (uint64_t)(pages * TN_PAGE));
    int64_t max[TN_SYM_COUNT] = {
        [TN_T] = most_rows, [TN_R] = most_rows, [TN_K] = most_rows,    [TN_H] = most_rows,
        [TN_S] = slots,     [TN_P] = pages,     [TN_N] = slots * pages};
    memcpy(s->max, max, sizeof max);
    memcpy(s->sym, max, sizeof max);
}

void tn_step_close(TnStep *s) {
    free(s->pos);
    free(s->slot);
}

void tn_step_next(TnStep *s, int64_t rows) {
    TN_CHECK(rows <= s->cap);
    s->number++;
    for (int i = 0; i < s->sym[TN_S]; i++) /* a slot that could overflow starts again */
        if (s->used[i] + rows > s->sym[TN_P] * TN_PAGE) s->used[i] = 0;
    int64_t slots = s->sym[TN_S];
    bool one = tn_step_pick(s, 2); /* all rows in one slot, a prompt; else rows of many conversations */
    int32_t slot = (int32_t)tn_step_pick(s, (uint64_t)slots);
    for (int64_t t = 0; t < rows; t++) {
        if (!one) slot = (int32_t)tn_step_pick(s, (uint64_t)slots);
        s->slot[t] = slot;
        s->pos[t] = s->used[slot]++;
    }
    s->sym[TN_T] = rows;
    s->sym[TN_R] = (int64_t)tn_step_pick(s, (uint64_t)rows + 1);
    s->sym[TN_K] = (int64_t)tn_step_pick(s, (uint64_t)s->sym[TN_R] + 1);
    s->sym[TN_H] = (int64_t)tn_step_pick(s, (uint64_t)rows + 1);
    if (tn_step_pick(s, 4)) s->sym[TN_R] = rows; /* usually compare the outputs of all rows */
}

/* The least limit of the ops that read the input as an index. *lowest is the least value to draw. */
static int64_t index_limit(const TnStep *s, const TnGraph *g, TnRef input, int32_t *lowest) {
    int64_t limit = 1 << 20;
    bool index = false;
    *lowest = 0;
    for (TnRef r = input + 1; r < g->n; r++) {
        const TnNode *n = &g->nodes[r];
        int64_t l = INT64_MAX;
        bool second = n->n_args > 1 && n->args[1] == input;
        if (tn_op_is(n->op, TN_TRAIT_INDEX1) && n->args[0] == input)
            l = g->nodes[n->args[n->n_args - 1]].type.dim[0];
        if (tn_op_is(n->op, TN_TRAIT_INDEX2) && second) l = tn_type_rows(&g->nodes[n->args[0]].type, s->sym);
        if (tn_op_is(n->op, TN_TRAIT_PICKS2) && second)
            l = tn_op_is(n->op, TN_TRAIT_TABLE_ROWS) ? g->nodes[n->args[n->n_args - 1]].type.dim[0]
                                                     : g->nodes[n->args[0]].type.dim[1];
        if (n->op == TN_OP_rope_angle && n->args[0] == input) l = 4096;
        if (l == INT64_MAX) continue;
        index = true;
        if (l < limit) limit = l;
    }
    if (index) return limit > 0 ? limit : 1;
    *lowest = -1000; /* no index: integer sums, like those of a tmatmul */
    return 2001;
}

static uint64_t name_seed(const TnStep *s, const char *name, bool first) {
    uint64_t h = mix(s->seed ^ (first ? 0x5bd1e995u : s->number));
    for (; *name; name++) h = mix(h ^ (unsigned char)*name);
    return h;
}

/* Whether the run also draws values that a broken or badly scaled model could reach: one seed in eight. */
static bool is_extreme(const TnStep *s) {
    return s->seed % 8 == 3;
}

/* A float in [-2, 2) that uses all 24 bits; in extreme runs sometimes another one. */
static float some_float(const TnStep *s, uint64_t h, uint64_t i) {
    static const float extremes[] = {INFINITY,   -INFINITY, NAN,       0x1p66f,    -0x1p66f,
                                     0x1.8p127f, -0x1p100f, 0x1p-149f, -0x1p-130f, 0x1p-126f,
                                     65504.0f,   -65520.0f, -0.0f,     0x1p-60f};
    uint64_t z = mix(h + i);
    if (is_extreme(s) && (h >> 8) % 3 == 0 && z % 16 == 0) return extremes[(z >> 8) % TN_COUNT(extremes)];
    return (float)(z >> 40) * 0x1p-22f - 2.0f;
}

static void fill_cache(const TnStep *s, const TnType *t, uint64_t h, void *data) {
    size_t bytes = tn_type_bytes(t, s->max);
    bool half = t->enc == TN_ENC_kc_f16 || t->enc == TN_ENC_vc_f16;
    bool single =
        t->enc == TN_ENC_kc || t->enc == TN_ENC_vc || t->enc == TN_ENC_kc_f32 || t->enc == TN_ENC_vc_f32;
    if (half)
        for (size_t i = 0; i < bytes / 2; i++) ((uint16_t *)data)[i] = tn_f32_to_f16(some_float(s, h, i));
    else if (single)
        for (size_t i = 0; i < bytes / 4; i++) ((float *)data)[i] = some_float(s, h, i);
    else
        memset(data, 0, bytes); /* other layouts: zero bytes are zeros in all of them */
}

void tn_step_fill(const TnStep *s, const TnGraph *g, TnRef r, bool first, void *data) {
    const TnNode *n = &g->nodes[r];
    const char *name = tn_attr_str(n, TN_ATTR_name);
    uint64_t h = name_seed(s, name, first);
    if (tn_encs[n->type.enc].kind == TN_CACHE) {
        if (first) fill_cache(s, &n->type, h, data);
        return;
    }
    int64_t rows = tn_type_rows(&n->type, s->sym);
    if (!strcmp(name, "pos")) {
        memcpy(data, s->pos, (size_t)rows * 4);
    } else if (!strcmp(name, "slot")) {
        memcpy(data, s->slot, (size_t)rows * 4);
    } else if (!strcmp(name, "table")) {
        memcpy(data, s->table, (size_t)s->sym[TN_N] * 4);
    } else {
        int32_t lowest = 0;
        int64_t limit = n->type.enc == TN_ENC_i32 ? index_limit(s, g, r, &lowest) : 0;
        int64_t cols = tn_row_elems(&n->type);
        size_t stride = tn_row_bytes(&n->type);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                uint64_t at = (uint64_t)(i * cols + j);
                if (n->type.enc == TN_ENC_i32)
                    ((int32_t *)((char *)data + (size_t)i * stride))[j] =
                        lowest + (int32_t)(mix(h + at) % (uint64_t)limit);
                else
                    ((float *)((char *)data + (size_t)i * stride))[j] = some_float(s, h, at);
            }
    }
}
