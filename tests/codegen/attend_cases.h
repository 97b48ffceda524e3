/* For tests: attend in every shape. */
#ifndef TN_TEST_ATTEND_CASES_H
#define TN_TEST_ATTEND_CASES_H

#include "codegen/parity.h"
#include <math.h>
#include "ir/type_layout.h"

typedef struct Case {
    int heads, kv_heads, head, window, units, t;
    const char *kv;
    int run; /* 0: rows of three slots by turns, at any positions. Else two runs of rows, of slot 2 from position
                run - 1 on and of slot 0 from 50 on */
    int wild; /* 1: values that only later rows see are infinite; 2: one dim of such a key is */
} Case;

static inline size_t elem_bytes(const Case *c) {
    return !strcmp(c->kv, "f32") ? 4 : !strcmp(c->kv, "f16") ? 2 : 1;
}

/* Element i of a head's part of a page; behind the head * 64 elements of int8 lie the 64 scales, in other
 * caches nothing. */
static inline void put(const Case *c, uint8_t *cache, int64_t part, int64_t i, float x) {
    size_t size = elem_bytes(c), n = (size_t)c->head * TN_PAGE;
    uint8_t *at = cache + (size_t)part * (n * size + (size == 1 ? TN_PAGE * 4 : 0));
    if ((size_t)i >= n && size == 1)
        ((float *)(void *)(at + n))[(size_t)i - n] = x == x ? fabsf(x) / 64 : x;
    else if ((size_t)i >= n)
        return;
    else if (size == 4)
        ((float *)(void *)at)[i] = x;
    else if (size == 2)
        ((uint16_t *)(void *)at)[i] = x == x ? tn_f32_to_f16(x) : 0x7e01; /* infinities stay */
    else
        ((int8_t *)at)[i] = x == x ? (int8_t)(x * 42) : 127;
}

/* Caches of shuffled pages; slots of different lengths; NaN in every place that no row may read. */
static inline void fill(const TnGraph *g, const Memory *m, const Case *c, const int64_t *sym) {
    float *q = parity_named(g, m, "q");
    int32_t *pos = parity_named(g, m, "pos"), *slot = parity_named(g, m, "slot"),
            *table = parity_named(g, m, "table");
    size_t stride = tn_row_bytes(&g->nodes[m->ref[0]].type) / 4;
    for (int64_t t = 0; t < sym[TN_T]; t++) {
        for (size_t i = 0; i < stride; i++) q[(size_t)t * stride + i] = parity_float();
        slot[t] = (int32_t)(t % sym[TN_S]);
        pos[t] = (int32_t)(parity_u32() % (uint32_t)(sym[TN_P] * TN_PAGE));
        int64_t first = sym[TN_T] * 2 / 3;
        if (c->run) slot[t] = t < first ? 2 : 0;
        if (c->run) pos[t] = (int32_t)(t < first ? c->run - 1 + t : 50 + t - first);
    }
    if (!c->run) {
        pos[0] = (int32_t)(sym[TN_P] * TN_PAGE - 1);
        if (sym[TN_T] > 1) pos[1] = 0;
        if (sym[TN_T] > 2) pos[2] = 63;
        if (sym[TN_T] > 3) pos[3] = 64;
    }
    for (int64_t i = 0; i < sym[TN_N]; i++) table[i] = (int32_t)(sym[TN_N] - 1 - i);
    for (int which = 0; which < 2; which++) {
        uint8_t *cache = parity_named(g, m, which ? "v0" : "k0");
        for (int64_t i = 0; i < sym[TN_N] * c->kv_heads; i++)
            for (int64_t j = 0; j < (c->head + 1) * TN_PAGE; j++) put(c, cache, i, j, parity_float() * 3.0f);
        /* what lies behind the longest row of each slot was never written: the evaluator never looks, nor may
         * the code show it */
        for (int64_t s = 0; s < sym[TN_S]; s++) {
            int64_t most = 0;
            for (int64_t t = 0; t < sym[TN_T]; t++)
                if (slot[t] == s && pos[t] > most) most = pos[t];
            for (int64_t p = most + 1; p < sym[TN_P] * TN_PAGE; p++)
                for (int64_t i = 0; i < c->kv_heads * (c->head + 1); i++) {
                    int64_t page = table[s * sym[TN_P] + p / TN_PAGE], j = p % TN_PAGE, h = i % c->kv_heads,
                            d = i / c->kv_heads;
                    bool by_position = which && d < c->head;
                    put(c, cache, page * c->kv_heads + h, by_position ? j * c->head + d : d * TN_PAGE + j,
                        NAN);
                }
            /* what the slot's last row sees is no number any more, the rows before it go without */
            int64_t last = (c->head - 1) * TN_PAGE;
            if (elem_bytes(c) == 1) last = c->head * TN_PAGE; /* its scale */
            for (int h = 0; c->wild == 2 && !which && most >= 2 && h < c->kv_heads; h++)
                put(c, cache, table[s * sym[TN_P] + most / TN_PAGE] * c->kv_heads + h, last + most % TN_PAGE,
                    h % 2 ? INFINITY : -INFINITY);
            for (int64_t i = 0; c->wild == 1 && which && most >= 2 && i < c->head; i++)
                put(c, cache, table[s * sym[TN_P] + most / TN_PAGE] * c->kv_heads,
                    most % TN_PAGE * c->head + i, INFINITY);
        }
    }
}

static inline TnGraph *graph(const Case *c, const char *level, const char *kernel) {
    TnBuf b = {0};
    int cols = c->heads * c->head;
    tn_buf_printf(&b,
                  "  %%q: f32[T,%d] = input {name=\"q\"}\n"
                  "  %%k0: kc_%s[N,%d,%d] = input {name=\"k0\"}\n"
                  "  %%v0: vc_%s[N,%d,%d] = input {name=\"v0\"}\n"
                  "  %%pos: i32[T] = input {name=\"pos\"}\n"
                  "  %%slot: i32[T] = input {name=\"slot\"}\n"
                  "  %%table: i32[S,P] = input {name=\"table\"}\n%s",
                  cols, c->kv, c->kv_heads, c->head, c->kv, c->kv_heads, c->head, kernel);
    TnGraph *g = parity_graph(level, b.data);
    tn_buf_free(&b);
    return g;
}

/* attend in one kernel. */
static inline TnGraph *whole(const Case *c, const char *level, const char *target) {
    char text[512];
    snprintf(text, sizeof text,
             "  kernel @attend0 {root=attend, target=%s, axis=rows, grain=1, units=%d, barrier=1}\n"
             "    %%y: f32[T,%d] = attend %%q, %%k0, %%v0, %%pos, %%slot, %%table {scale=%a, window=%d}\n"
             "  end\n"
             "  %%o: f32[T,%d] = output %%y {name=\"hidden\"}\n",
             target, c->units, c->heads * c->head, (double)(1.0f / sqrtf((float)c->head)), c->window,
             c->heads * c->head);
    return graph(c, level, text);
}

static inline void attend_symbols(const Case *c, int64_t sym[TN_SYM_COUNT]) {
    static const int64_t all[TN_SYM_COUNT] = {
        [TN_S] = 3, [TN_P] = 4, [TN_N] = 12, [TN_R] = 1, [TN_K] = 1, [TN_H] = 1};
    memcpy(sym, all, sizeof all);
    sym[TN_T] = c->t;
}

static inline void attend_name(const Case *c, const char *level, char what[200]) {
    snprintf(what, 200, "%s heads %d/%d x %d window %d kv %s rows %d run %d", level, c->heads, c->kv_heads,
             c->head, c->window, c->kv, c->t, c->run);
}

/* Runs of rows, which go many at once. Two-thirds of the rows are of the first run, which ends at 255 at the latest. */
static const Case attend_runs[] = {
    {8, 2, 128, 0, 2, 33, "f16", 1, 0},   {4, 1, 128, 0, 1, 65, "f16", 38, 0},
    {20, 5, 128, 0, 5, 9, "f32", 61, 0},  {3, 1, 64, 0, 1, 65, "f16", 100, 0},
    {3, 1, 64, 70, 1, 65, "f16", 100, 0}, {4, 1, 128, 64, 1, 50, "f32", 60, 0},
    {6, 2, 48, 0, 2, 33, "f16", 31, 0},   {6, 2, 64, 1, 2, 33, "f16", 31, 0},
    {2, 2, 96, 0, 2, 110, "f16", 3, 0},   {8, 2, 100, 90, 2, 40, "f16", 64, 0},
    {2, 1, 33, 0, 1, 70, "f16", 120, 0},  {6, 2, 80, 0, 2, 30, "f32", 50, 0},
    {4, 1, 128, 0, 1, 33, "f32", 20, 1},  {6, 2, 64, 40, 2, 33, "f16", 30, 1},
    {64, 1, 16, 0, 1, 7, "f16", 60, 0},   {9, 1, 20, 0, 1, 12, "f32", 60, 0},
    {4, 1, 64, 0, 1, 33, "i8", 50, 0},    {6, 2, 64, 40, 2, 33, "f16", 30, 2},
    {4, 1, 128, 0, 1, 33, "f32", 20, 2},
};

#endif
