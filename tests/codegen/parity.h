/* For tests: one planned kernel as text, run by the evaluator and as code, compared bit for bit.
 *
 * The code runs several times: all units at once, one by one from the last, and cut at random. Columns of
 * padding are not compared, but nothing outside the operands may be written: every buffer ends in a guard. */
#ifndef TN_TEST_PARITY_H
#define TN_TEST_PARITY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "codegen/codegen.h"
#include "codegen/emulate.h"
#include "ir/type_layout.h"
#include "ir/weights.h"
#include "runtime/base/half.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"

enum { PARITY_GUARD = 4096 };

static uint64_t parity_state = 1;
static inline uint32_t parity_u32(void) {
    parity_state = parity_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(parity_state >> 33);
}
/* In [-1, 1), with all 24 bits in use. */
static inline float parity_float(void) {
    return (float)(parity_u32() & 0xffffff) * 0x1p-23f - 1.0f;
}

static const char *const parity_levels[] = {"avx2", "avx-vnni",     "avx512-vnni",
                                            "neon", "neon-dotprod", "neon-i8mm"};
static inline bool parity_runs(const char *level) {
    return tn_level_runs_here(tn_level_number(level));
}

/* Whether a level runs the case at hand where TERN_EMULATE is 0: in builds by another compiler or with a sanitizer, which may
 * change how code is made, but not the code. Of the levels of x86-64 one does, and one of aarch64. True elsewhere. Ask once a
 * level and case. */
static inline bool parity_turn(const char *level) {
    static unsigned asked[TN_COUNT(parity_levels)];
    const char *emulate = getenv("TERN_EMULATE");
    unsigned l = 0;
    if (!emulate || strcmp(emulate, "0")) return true;
    while (strcmp(parity_levels[l], level)) l++;
    unsigned turn = asked[l]++;
    return (turn + turn / 3) % 3 == l % 3;
}
/* A test of a few cases sets it: they all run on every level. */
static bool parity_everywhere;
/* Whether a level runs the case at hand: all that run here do, and the others, which are emulated or only compiled, take
 * turns, as that takes long. TERN_EMULATE=all: every level runs every case; 0: see parity_turn. Ask once a level and case. The
 * turns shift with each round, so that cases that alternate do not keep to one level each. */
static inline bool parity_due(const char *level) {
    static unsigned asked[TN_COUNT(parity_levels)];
    const char *emulate = getenv("TERN_EMULATE");
    unsigned l = 0, others = 0, before = 0;
    if (parity_everywhere) return true;
    if (emulate && !strcmp(emulate, "0")) return parity_turn(level);
    if (parity_runs(level) || (emulate && !strcmp(emulate, "all"))) return true;
    for (unsigned i = 0; i < TN_COUNT(parity_levels); i++) {
        if (!strcmp(parity_levels[i], level)) l = i, before = others;
        others += !parity_runs(parity_levels[i]);
    }
    unsigned turn = asked[l]++;
    return (turn + turn / others) % others == before;
}

/* Values with a place that nobody reads get an output: only what is read leaves its kernel and is compared. (q8
 * rows cannot be an output: their tests need a reader.) */
static inline void parity_outputs(TnGraph *g) {
    uint32_t n = g->n, *uses = calloc(n + 1u, sizeof *uses);
    assert_non_null(uses);
    tn_count_uses(g, uses);
    for (TnRef r = 0; r < n; r++) {
        TnAttr name = {.key = TN_ATTR_name, .s = "logits"};
        TnEnc enc = g->nodes[r].type.enc;
        if (uses[r] == 0 && (enc == TN_ENC_f32 || enc == TN_ENC_i32) &&
            tn_node_attr(&g->nodes[r], TN_ATTR_off))
            tn_node_add(g, TN_OP_output, NULL, NULL, &r, 1, &name, 1);
    }
    free(uses);
}

/* The graph of `body` (lines between `graph` and `end`), planned for a level. */
static inline TnGraph *parity_graph(const char *level, const char *body) {
    TnBuf b = {0};
    TnDiag diag = {0};
    TnGraph **gs = NULL;
    uint32_t n = 0;
    tn_buf_printf(&b, "tir 1\ngraph @t stage=planned level=%s kv=f16 rows=1..512\n%send\n", level, body);
    if (tn_parse(b.data, b.len, "test", &gs, &n, &diag) != TERN_OK) fail_msg("%s", diag.text.data);
    assert_int_equal(n, 1);
    TnGraph *g = gs[0];
    parity_outputs(g);
    free(gs);
    tn_buf_free(&b);
    tn_diag_free(&diag);
    return g;
}

typedef struct Compiled {
    void *code;
    size_t bytes;
    TnKernelFn *run;
    TnEmitJob job;
    TnBuf image; /* kept for levels that are emulated */
    bool emulated;
} Compiled;

/* Whether the code can be run at all; cross-compiled code cannot where there is no emulator. */
static inline bool parity_works(const Compiled *c) {
    return c->run || c->emulated;
}

static inline Compiled parity_compile(const TnGraph *g, uint32_t kernel, const char *level) {
    Compiled c = {.job = {.g = g, .kernel = kernel, .symbol = "kernel_0"}};
    TnBuf image = {0};
    TernError err = {0};
    const TnTarget *t = tn_target_find(g->kernels[kernel].target);
    assert_non_null(t);
    assert_true(t->desc.can(g, kernel, level) > 0);
    if (t->emit(&c.job, 1, level, &image, NULL, NULL, &err) != TERN_OK) fail_msg("%s", err.text);
    if (parity_runs(level)) {
        if (tn_os_map_code(image.data, image.len, &c.code, &err) != TERN_OK) fail_msg("%s", err.text);
        c.bytes = image.len;
        c.run = (TnKernelFn *)(uintptr_t)((uintptr_t)c.code + c.job.entry);
    }
    if (!c.run && !strncmp(level, "neon", 4) && emulate_command(level)) {
        c.image = image;
        c.emulated = true;
    } else {
        tn_buf_free(&image);
    }
    return c;
}

static inline void parity_free(Compiled *c) {
    if (c->code) tn_os_unmap(c->code, c->bytes);
    tn_buf_free(&c->image);
}

typedef struct Memory {
    void *p[64];
    size_t bytes[64];
    uint32_t n, n_in;
    TnRef ref[64];
} Memory;

static inline void *parity_alloc(size_t bytes, int fill) {
    uint8_t *p = aligned_alloc(64, (bytes + PARITY_GUARD + 63) / 64 * 64);
    assert_non_null(p);
    memset(p, fill, (bytes + PARITY_GUARD + 63) / 64 * 64);
    memset(p + bytes, 0x77, PARITY_GUARD);
    return p;
}

static inline Memory parity_memory(const TnGraph *g, uint32_t kernel, const int64_t *sym) {
    Memory m = {0};
    m.n = tn_kernel_operands(g, kernel, m.ref, &m.n_in);
    for (uint32_t i = 0; i < m.n; i++) {
        m.bytes[i] = tn_type_bytes(&g->nodes[m.ref[i]].type, sym);
        m.p[i] = parity_alloc(m.bytes[i], 0xa5);
    }
    return m;
}
static inline Memory parity_copy(const Memory *from) {
    Memory m = *from;
    for (uint32_t i = 0; i < m.n; i++) {
        m.p[i] = parity_alloc(m.bytes[i], 0);
        memcpy(m.p[i], from->p[i], m.bytes[i]);
    }
    return m;
}
static inline void parity_memory_free(Memory *m) {
    for (uint32_t i = 0; i < m->n; i++) free(m->p[i]);
}
/* Memory of the operand of that name. */
static inline void *parity_named(const TnGraph *g, const Memory *m, const char *name) {
    for (uint32_t i = 0; i < m->n; i++)
        if (!strcmp(g->nodes[m->ref[i]].name, name)) return m->p[i];
    fail_msg("no operand %s", name);
    return NULL;
}

/* Whether a byte of a value belongs to an f32. */
static inline bool parity_in_f32(const TnType *t, size_t at) {
    switch (t->enc) {
    case TN_ENC_f32:
    case TN_ENC_kc_f32:
    case TN_ENC_vc_f32:
        return true;
    case TN_ENC_kc_i8:
    case TN_ENC_vc_i8:
        return at % tn_page_head_bytes(t) >= (size_t)t->dim[2] * TN_PAGE;
    case TN_ENC_q8:
        return at % tn_row_bytes(t) < 4;
    case TN_ENC_q8g:
        return at % tn_row_bytes(t) < tn_q8g_part(t);
    default:
        return false;
    }
}
/* Whether an element of an f16 cache is NaN. */
static inline bool parity_half_nan(TnEnc enc, const uint8_t *at) {
    uint16_t h;
    memcpy(&h, at, 2);
    return (enc == TN_ENC_kc_f16 || enc == TN_ENC_vc_f16) && (h & 0x7fff) > 0x7c00;
}

static inline void parity_compare(const TnGraph *g, const Memory *want, const Memory *got, const int64_t *sym,
                                  const char *what) {
    for (uint32_t i = 0; i < want->n; i++) {
        const TnNode *n = &g->nodes[want->ref[i]];
        const uint8_t *a = want->p[i], *b = got->p[i];
        for (size_t k = 0; k < PARITY_GUARD; k++)
            if (b[got->bytes[i] + k] != 0x77) fail_msg("%s: wrote %zu bytes behind %s", what, k, n->name);
        bool whole = i < want->n_in || tn_encs[n->type.enc].kind != TN_DENSE;
        size_t stride = whole ? want->bytes[i] : tn_row_bytes(&n->type);
        size_t rows = stride ? want->bytes[i] / stride : 0, used = stride;
        if (!whole && n->type.rank > 1)
            used = (size_t)n->type.dim[n->type.rank - 1] * tn_encs[n->type.enc].block_bytes;
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < used; k++)
                if (a[r * stride + k] != b[r * stride + k]) {
                    size_t at = r * stride + k / 4 * 4;
                    float x, y;
                    memcpy(&x, a + at, 4);
                    memcpy(&y, b + at, 4);
                    /* a NaN that an operation makes has the sign that the architecture gives it */
                    if (parity_in_f32(&n->type, r * stride + k) && x != x && y != y) continue;
                    if (parity_half_nan(n->type.enc, a + r * stride + k / 2 * 2) &&
                        parity_half_nan(n->type.enc, b + r * stride + k / 2 * 2))
                        continue;
                    fail_msg("%s: %s row %zu byte %zu: evaluator %a (%08x), code %a (%08x)", what, n->name, r,
                             k, (double)x, tn_f32_bits(x), (double)y, tn_f32_bits(y));
                }
    }
    (void)sym;
}

/* scratch_valid: the scratch is as another call with the same symbols and operands left it. */
static inline void parity_call(const Compiled *c, const Memory *m, const int64_t *sym, int64_t lo, int64_t hi,
                               void *scratch, bool scratch_valid) {
    if (c->emulated) {
        size_t bytes[64], room = (size_t)(c->job.scratch + c->job.scratch_page * (uint64_t)sym[TN_P]);
        for (uint32_t i = 0; i < m->n; i++) bytes[i] = m->bytes[i] + PARITY_GUARD;
        if (!emulate(c->job.g->level, &c->image, c->job.entry, m->p, bytes, m->n, sym, lo, hi, scratch,
                     room + PARITY_GUARD))
            fail_msg("emulation of %s failed", c->job.g->level);
        return;
    }
    TnLaunch l = {(void *const *)m->p, sym};
    TnTile t = {.lo = lo, .hi = hi, .scratch = scratch, .scratch_valid = scratch_valid};
    c->run(&l, &t);
}

/* The rows that a kernel has listed. */
typedef struct Listed {
    int64_t n, calls;
    int64_t most; /* in one list */
} Listed;

/* The table of whose rows the ops of a kernel read. */
static inline TnRef parity_table(const Compiled *c) {
    const TnNode *n = &c->job.g->nodes[c->job.g->kernels[c->job.kernel].first];
    return n->args[n->n_args - 1];
}

/* Whether what a kernel has listed are rows of the table for which it has room. embed lists what its ids name. */
static inline void parity_check_list(const Compiled *c, const Memory *m, const int64_t *sym, int64_t u,
                                     const TnRowList *list, const char *what) {
    const TnGraph *g = c->job.g;
    const TnNode *n = &g->nodes[g->kernels[c->job.kernel].first], *table = &g->nodes[parity_table(c)];
    const uint8_t *rows = parity_named(g, m, table->name);
    size_t bytes = (size_t)(c->job.scratch + c->job.scratch_page * (uint64_t)sym[TN_P]);
    size_t row = (size_t)tn_row_bytes(&table->type);
    assert_in_range(list->n, 1, TN_ROWS_LISTED);
    assert_int_equal(list->row_bytes, row);
    assert_in_range(list->room, (size_t)list->n * row, bytes - sizeof *list);
    for (int64_t i = 0; i < list->n; i++) {
        size_t at = (size_t)((const uint8_t *)list->row[i] - rows);
        if (at % row || at / row >= (size_t)table->type.dim[0])
            fail_msg("%s: listed %zu bytes from the table's beginning, rows of %zu", what, at, row);
    }
    if (n->op != TN_OP_embed) return;
    const int32_t *ids = parity_named(g, m, g->nodes[n->args[0]].name);
    assert_int_equal(list->n, 1);
    assert_ptr_equal(list->row[0], rows + (size_t)ids[u] * row);
}

/* Runs unit u as the runtime does where a table lies in a file: the kernel lists rows and they are brought, until it lists none.
 * all: every row is brought, and the table where it lies is NaN all the time. Else only the first few rows of a list are brought,
 * or none, and have other bytes in the table. */
static inline void parity_call_listed(const Compiled *c, const Memory *m, const int64_t *sym, int64_t u,
                                      uint8_t *room, bool all, Listed *out, const char *what) {
    const TnNode *t = &c->job.g->nodes[parity_table(c)];
    size_t size = tn_type_bytes(&t->type, sym);
    uint8_t *table = parity_named(c->job.g, m, t->name), *kept = malloc(size);
    assert_non_null(kept);
    memcpy(kept, table, size);
    if (all) memset(table, 0xff, size);
    TnRowList *list = (TnRowList *)(void *)room;
    TnLaunch l = {(void *const *)m->p, sym};
    TnTile tile = {.lo = u, .hi = u + 1, .scratch = room, .scratch_valid = TN_TILE_LISTS};
    for (list->n = 0, c->run(&l, &tile); list->n; c->run(&l, &tile)) {
        parity_check_list(c, m, sym, u, list, what);
        out->n += list->n;
        out->calls++;
        out->most =
            list->room / list->row_bytes < TN_ROWS_LISTED ? list->room / list->row_bytes : TN_ROWS_LISTED;
        if (!all) memcpy(table, kept, size);
        int64_t n = all ? list->n : (int64_t)(parity_u32() % (uint32_t)(list->n + 1));
        size_t bytes = (size_t)list->row_bytes;
        for (list->brought = 0; list->brought < n; list->brought++) {
            uint8_t *row = (uint8_t *)(uintptr_t)list->row[list->brought];
            memcpy((uint8_t *)(list + 1) + (size_t)list->brought * bytes, kept + (row - table), bytes);
            memset(row, 0xff, bytes);
        }
        list->n = 0;
        tile.scratch_valid = TN_TILE_LISTED;
    }
    memcpy(table, kept, size);
    free(kept);
}

/* Runs `units` units in three ways: all at once; one by one from the last; cut at random, where all but the first know
 * that the scratch is as it was left. A kernel that lists rows is run in two more ways, as above, and what it listed where all
 * was brought is returned. Each way must give what the evaluator gave (want), and must stay in its scratch. */
static inline Listed parity_ways(const TnGraph *g, const Compiled *c, const Memory *m, const Memory *want,
                                 const int64_t *sym, int64_t units, const char *what) {
    size_t bytes = (size_t)(c->job.scratch + c->job.scratch_page * (uint64_t)sym[TN_P]);
    int ways = c->job.lists && !c->emulated ? 5 : 3;
    Listed listed[2] = {{0}, {0}};
    for (int way = c->emulated ? 2 : 0; way < ways; way++) {
        Memory got = parity_copy(m);
        uint8_t *room = parity_alloc(bytes, 0xff);
        if (way == 0 && units > 0) parity_call(c, &got, sym, 0, units, room, false);
        for (int64_t u = units; way == 1 && u > 0; u--) parity_call(c, &got, sym, u - 1, u, room, false);
        for (int64_t lo = 0, hi; way == 2 && lo < units; lo = hi) {
            hi = lo + 1 + (int64_t)(parity_u32() % (uint32_t)(units - lo));
            parity_call(c, &got, sym, lo, hi, room, lo > 0);
        }
        for (int64_t u = 0; way >= 3 && u < units; u++)
            parity_call_listed(c, &got, sym, u, room, way == 3, &listed[way == 4], what);
        for (size_t i = 0; i < PARITY_GUARD; i++)
            if (room[bytes + i] != 0x77) fail_msg("%s: wrote past the end of its scratch", what);
        parity_compare(g, want, &got, sym, what);
        parity_memory_free(&got);
        free(room);
    }
    return listed[0];
}

/* A kernel of g with the operands of `m` (reads filled in): the evaluator against the code of `level`. */
static inline void parity_check(const TnGraph *g, const char *level, uint32_t kernel, const Memory *m,
                                const int64_t *sym, const char *what) {
    Compiled c = parity_compile(g, kernel, level);
    if (!parity_works(&c)) { /* cross-compiled: that it could be is all that can be said here */
        parity_free(&c);
        return;
    }
    Memory want = parity_copy(m);
    void *scratch = parity_alloc(tn_eval_kernel_scratch(g, kernel, sym), 0xff);
    tn_eval_kernel(g, kernel, want.p, sym, scratch);
    free(scratch);

    const TnKernel *k = &g->kernels[kernel];
    int64_t units = k->units;
    if (k->axis == TN_AXIS_ROWS) {
        const TnType *lead = &g->nodes[m->n > m->n_in ? m->ref[m->n_in] : g->nodes[k->first].args[1]].type;
        units *= tn_type_rows(lead, sym);
    }
    parity_ways(g, &c, m, &want, sym, units, what);
    parity_memory_free(&want);
    parity_free(&c);
}

#endif
