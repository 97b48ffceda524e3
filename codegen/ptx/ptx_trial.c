#include "codegen/ptx/ptx_trial.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/abi/levels.h"
#include "runtime/base/arena.h"
#include "runtime/base/status.h"

enum { THREADS = 128, CTAS = 24, VALUES = 4, LANES = 32, LINE = 16 };

/* A trial while it is written. */
typedef struct Make {
    TnPtxTrial *t;
    TnPx x;
    TnPxV thread; /* over all CTAs */
    uint64_t random;
} Make;

/* ---- kernels */

static void begin(Make *m, const char *level, uint32_t grid, uint32_t threads) {
    TnPtxTrial *t = m->t;
    t->grid = grid;
    t->threads = threads;
    const TnLevelRow *l = tn_level_named(level);
    tn_px_module(&t->text, l->more, l->processor);
    m->x = (TnPx){.out = &t->text, .threads = threads};
    m->random = t->row;
    tn_px_open(&m->x, TN_PTX_TRIAL_ENTRY, 2);
    m->thread =
        PX(&m->x, mad, tn_px_special(&m->x, TN_PX_ctaid), tn_px_u(threads), tn_px_special(&m->x, TN_PX_tid));
}

static void end(Make *m) {
    PX(&m->x, ret);
    tn_px_close(&m->x);
    tn_buf_put(&m->t->text, "", 1);
    m->t->shared = m->x.shared;
}

/* Room for what the threads read and write, in bytes a thread; in: random bits. */
static void make_room(Make *m, uint32_t in, uint32_t out) {
    TnPtxTrial *t = m->t;
    uint32_t threads = t->grid * (t->grid_y ? t->grid_y : 1) * t->threads;
    t->record = out;
    t->in_bytes = (size_t)threads * in;
    t->out_bytes = (size_t)threads * out;
    t->in = tn_xcalloc(t->in_bytes, 1);
    t->out = tn_xcalloc(t->out_bytes, 1);
    t->expected = tn_xcalloc(t->out_bytes, 1);
    for (size_t i = 0; i < t->in_bytes; i++) t->in[i] = (uint8_t)(tn_ptx_random(&m->random) >> 56);
}

/* The thread's place in parameter `param`, of which each thread has `bytes`. */
static TnPxV own(Make *m, uint32_t param, uint32_t bytes) {
    TnPx *x = &m->x;
    return tn_px_at(PX(x, mad_wide, m->thread, tn_px_u(bytes), PX(x, ld_param, tn_px_param(param))), 0);
}

static TnPxV after(TnPxV at, uint32_t bytes) {
    at.bits += bytes;
    return at;
}

/* The place of thread `number` in new shared memory, of which each thread has `bytes`. */
static TnPxV shared_at(Make *m, uint32_t offset, TnPxV number, uint32_t bytes) {
    TnPx *x = &m->x;
    return tn_px_at(PX(x, mad, number, tn_px_u(bytes), tn_px_shared_base(x)), offset);
}
static TnPxV own_shared(Make *m, uint32_t bytes) {
    uint32_t offset = tn_px_shared(&m->x, m->t->threads * bytes, 16);
    return shared_at(m, offset, tn_px_special(&m->x, TN_PX_tid), bytes);
}

TnPxV tn_ptx_loaded(TnPx *x, TnPxV at, char kind) {
    switch (kind) {
    case 'r':
        return PX(x, ld, at);
    case 'f':
        return PX(x, ld_f, at);
    case 'd':
        return PX(x, ld_d, at);
    case 'g':
        return PX(x, doubles, PX(x, ld_d, at));
    case 'h':
        return PX(x, ld_h, at);
    default:
        TN_CHECK(kind == 'p');
        return PX(x, ne, PX(x, ld, at), tn_px_u(0));
    }
}

void tn_ptx_stored(TnPx *x, TnPxV at, TnPxV v) {
    switch (v.kind) {
    case 'r':
        PX(x, st, at, v);
        return;
    case 'f':
        PX(x, st_f, at, v);
        return;
    case 'd':
        PX(x, st_d, at, v);
        return;
    case 'g':
        PX(x, st_d, at, PX(x, bits_g, v));
        return;
    case 'h':
        PX(x, st_h, at, v);
        return;
    default:
        PX(x, st, at, PX(x, sel, tn_px_u(1), tn_px_u(0), v));
    }
}

uint32_t tn_ptx_letters(const char *pattern, char out[16]) {
    uint32_t n = 0;
    for (; *pattern; pattern++)
        if (*pattern != '{' && *pattern != '}') out[n++] = *pattern;
    return n;
}

static uint32_t word_at(const uint8_t *p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}
static void put_word(uint8_t *p, uint32_t w) {
    memcpy(p, &w, 4);
}

/* ---- class ALU: each thread has a tuple of operands, and 8 bytes of results for each number in place of an operand i */

/* lop3: every function of one bit of three appears in one of these. */
static const uint32_t tables[] = {0x96, 0xe8, 0xca, 0x01};

static void alu_inputs(Make *m, const char *kinds, uint32_t n) {
    uint64_t v[VALUES];
    uint32_t first = n > 0 ? tn_ptx_awkward_count(kinds[0]) : 1;
    uint32_t second = n > 1 && kinds[1] != 'i' ? tn_ptx_awkward_count(kinds[1]) : 1;
    for (uint32_t t = 0; t < THREADS * CTAS; t++) {
        for (uint32_t k = 0; k < VALUES; k++) v[k] = k < n ? tn_ptx_any(kinds[k], &m->random) : 0;
        if (t < first * second) {
            v[0] = tn_ptx_awkward(kinds[0], t % first);
            if (second > 1) v[1] = tn_ptx_awkward(kinds[1], t / first);
        }
        memcpy(m->t->in + (size_t)t * sizeof v, v, sizeof v);
    }
}

static void alu(Make *m, const char *level) {
    const TnPxInfo *info = &tn_px_rows[m->t->row];
    TnPx *x = &m->x;
    char kinds[16], made[16];
    uint32_t n = tn_ptx_letters(info->operands, kinds), n_made = tn_ptx_letters(info->result, made);
    bool table = strchr(info->operands, 'i') != NULL;
    uint32_t rounds = table ? TN_COUNT(tables) : 1;
    begin(m, level, CTAS, THREADS);
    TnPxV from = own(m, 0, VALUES * 8), to = own(m, 1, rounds * 8), v[VALUES], r[4];
    for (uint32_t k = 0; k < n; k++)
        if (kinds[k] != 'i') v[k] = tn_ptx_loaded(x, after(from, 8 * k), kinds[k]);
    for (uint32_t i = 0; i < rounds; i++) {
        for (uint32_t k = 0; k < n; k++)
            if (kinds[k] == 'i') v[k] = tn_px_i(tables[i]);
        tn_px_many(x, m->t->row, r, v, n);
        for (uint32_t k = 0; k < n_made; k++)
            tn_ptx_stored(x, after(to, 8 * i + k * (made[k] == 'h' ? 2 : 4)), r[k]);
    }
    end(m);
    make_room(m, VALUES * 8, rounds * 8);
    m->t->operands = n;
    m->t->kind = n_made == 1 ? made[0] : 'd';
    alu_inputs(m, kinds, n);
    for (uint32_t t = 0; t < THREADS * CTAS; t++) {
        uint64_t tuple[VALUES];
        memcpy(tuple, m->t->in + (size_t)t * sizeof tuple, sizeof tuple);
        for (uint32_t i = 0; i < rounds; i++) {
            for (uint32_t k = 0; k < n; k++)
                if (kinds[k] == 'i') tuple[k] = tables[i];
            uint64_t expected = tn_ptx_meant(m->t->row, tuple);
            memcpy(m->t->expected + ((size_t)t * rounds + i) * 8, &expected, 8);
        }
    }
}

static void special(Make *m, const char *level) {
    enum { GRID = 3, DOWN = 2 };
    begin(m, level, GRID, THREADS);
    m->t->grid_y = DOWN;
    m->thread = PX(&m->x, mad, tn_px_special(&m->x, TN_PX_ctaid_y), tn_px_u(GRID * THREADS), m->thread);
    TnPxV to = own(m, 1, 4 * TN_PX_SPECIALS);
    for (int s = 0; s < TN_PX_SPECIALS; s++)
        PX(&m->x, st, after(to, 4 * (uint32_t)s), tn_px_special(&m->x, (TnPxSpecial)s));
    end(m);
    make_room(m, 4, 4 * TN_PX_SPECIALS);
    for (uint32_t i = 0; i < DOWN * GRID * THREADS; i++) {
        uint8_t *e = m->t->expected + (size_t)i * m->t->record;
        put_word(e + 4 * TN_PX_tid, i % THREADS);
        put_word(e + 4 * TN_PX_ntid, THREADS);
        put_word(e + 4 * TN_PX_ctaid, i / THREADS % GRID);
        put_word(e + 4 * TN_PX_ctaid_y, i / THREADS / GRID);
        put_word(e + 4 * TN_PX_nctaid, GRID);
        put_word(e + 4 * TN_PX_laneid, i % LANES);
    }
}

/* ---- what a thread puts into shared memory, another reads: the one whose number differs in the bits of `mask` */

typedef enum Meet { MEET_CTA, MEET_WARP } Meet;

static void exchange(Make *m, const char *level, uint32_t mask, Meet meet) {
    TnPx *x = &m->x;
    begin(m, level, 1, THREADS);
    TnPxV from = own(m, 0, 4), to = own(m, 1, 4), tid = tn_px_special(x, TN_PX_tid);
    uint32_t offset = tn_px_shared(x, THREADS * 4, 16);
    PX(x, sts, shared_at(m, offset, tid, 4), PX(x, ld, from));
    if (meet == MEET_CTA)
        tn_px_barrier(x);
    else
        tn_px_barrier_warp(x);
    PX(x, st, to, PX(x, lds, shared_at(m, offset, PX(x, xor, tid, tn_px_u(mask)), 4)));
    end(m);
    make_room(m, 4, 4);
    for (uint32_t i = 0; i < THREADS; i++) memcpy(m->t->expected + 4 * i, m->t->in + 4 * (i ^ mask), 4);
}

/* ---- loads, stores, atomics: a thread has 16 bytes of each piece */

static void ld_param(Make *m, const char *level) {
    begin(m, level, 1, THREADS);
    PX(&m->x, st, own(m, 1, 4), PX(&m->x, ld, own(m, 0, 4)));
    end(m);
    make_room(m, 4, 4);
    memcpy(m->t->expected, m->t->in, m->t->in_bytes);
}

static void load(Make *m, const char *level) {
    TnPx *x = &m->x;
    TnPtxAccess a = tn_ptx_access(m->t->row);
    TnPxV r[4];
    begin(m, level, 1, THREADS);
    TnPxV from = own(m, 0, LINE), to = own(m, 1, LINE);
    if (a.space == TN_PTX_SHARED) {
        TnPxV at = own_shared(m, LINE);
        for (uint32_t i = 0; i < 4; i++) PX(x, sts, after(at, 4 * i), PX(x, ld, after(from, 4 * i)));
        from = at;
    }
    tn_px_many(x, m->t->row, r, &from, 1);
    for (uint32_t e = 0; e < a.count; e++) tn_ptx_stored(x, after(to, 4 * e), r[e]);
    end(m);
    make_room(m, LINE, LINE);
    for (uint32_t t = 0; t < THREADS; t++) {
        const uint8_t *in = m->t->in + LINE * t;
        uint8_t *e = m->t->expected + LINE * t;
        for (uint32_t i = 0; i < a.count; i++) memcpy(e + i * 4, in + i * a.bytes, a.bytes);
        if (a.is_signed && in[a.bytes - 1] > 127) memset(e + a.bytes, 0xff, 4 - a.bytes);
    }
}

static void store(Make *m, const char *level) {
    TnPx *x = &m->x;
    TnPtxAccess a = tn_ptx_access(m->t->row);
    char kinds[16];
    uint32_t n = tn_ptx_letters(tn_px_rows[m->t->row].operands, kinds);
    TnPxV v[5];
    begin(m, level, 1, THREADS);
    TnPxV from = own(m, 0, LINE), to = own(m, 1, LINE);
    bool shared = a.space == TN_PTX_SHARED;
    v[0] = shared ? own_shared(m, LINE) : to;
    for (uint32_t k = 1; k < n; k++) v[k] = tn_ptx_loaded(x, after(from, (k - 1) * 4), kinds[k]);
    for (uint32_t i = 0; shared && i < 4; i++) PX(x, sts, after(v[0], 4 * i), tn_px_var(x, tn_px_u(0)));
    tn_px_many(x, m->t->row, NULL, v, n);
    for (uint32_t i = 0; shared && i < 4; i++) PX(x, st, after(to, 4 * i), PX(x, lds, after(v[0], 4 * i)));
    end(m);
    make_room(m, LINE, LINE);
    for (uint32_t t = 0; t < THREADS; t++)
        memcpy(m->t->expected + LINE * t, m->t->in + LINE * t, a.bytes * a.count);
}

/* Each thread updates a word of its own; in: the old value, b, c. out: what it got, and the word afterwards. */
static void atom(Make *m, const char *level) {
    TnPx *x = &m->x;
    const TnPxInfo *info = &tn_px_rows[m->t->row];
    TnPtxAccess a = tn_ptx_access(m->t->row);
    char kinds[16];
    uint32_t n = tn_ptx_letters(info->operands, kinds);
    bool shared = a.space == TN_PTX_SHARED;
    TnPxV v[3], r[4] = {{0}};
    begin(m, level, 1, THREADS);
    TnPxV from = own(m, 0, LINE), to = own(m, 1, LINE), old = PX(x, ld, from);
    v[0] = shared ? own_shared(m, 4) : after(to, 4);
    for (uint32_t k = 1; k < n; k++) v[k] = PX(x, ld, after(from, 4 * k));
    (void)(shared ? PX(x, sts, v[0], old) : PX(x, st, v[0], old));
    tn_px_many(x, m->t->row, r, v, n);
    PX(x, st, to, *info->result ? r[0] : old);
    if (shared) PX(x, st, after(to, 4), PX(x, lds, v[0]));
    end(m);
    make_room(m, LINE, LINE);
    for (uint32_t t = 0; t < THREADS; t++) {
        uint8_t *in = m->t->in + LINE * t, *e = m->t->expected + LINE * t;
        if (t % 2) memcpy(in + 4, in, 4); /* so that cas exchanges */
        memcpy(e, in, 4);
        put_word(e + 4, tn_ptx_updated(a.update, word_at(in), word_at(in + 4), word_at(in + 8)));
    }
}

/* ---- cp.async: two copies into shared memory, each read by another thread */

static void copy(Make *m, const char *level) {
    TnPx *x = &m->x;
    TnPxRow row = m->t->row;
    uint32_t bytes = row == TN_PX_copy4 ? 4 : LINE;
    begin(m, level, 1, THREADS);
    TnPxV from = own(m, 0, 2 * LINE), to = own(m, 1, 8), tid = tn_px_special(x, TN_PX_tid);
    TnPxV other = PX(x, xor, tid, tn_px_u(THREADS - 1));
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t offset = tn_px_shared(x, THREADS * LINE, 16);
        TnPxV at = shared_at(m, offset, tid, LINE), piece = after(from, i * LINE);
        if (bytes == 4)
            PX(x, copy4, at, piece, tn_px_i(4));
        else
            PX(x, copy16, at, piece, tn_px_i(LINE));
        if (row != TN_PX_copy_wait_all) PX(x, copy_commit);
    }
    for (uint32_t i = 0; i < 2; i++) { /* the first may arrive while the second is on its way */
        if (row == TN_PX_copy_wait_all)
            PX(x, copy_wait_all);
        else
            PX(x, copy_wait, tn_px_i(1 - i));
        tn_px_barrier(x);
        PX(x, st, after(to, 4 * i),
           PX(x, lds, after(shared_at(m, i * THREADS * LINE, other, LINE), bytes - 4)));
    }
    end(m);
    make_room(m, 2 * LINE, 8);
    for (uint32_t t = 0; t < 2 * THREADS; t++)
        memcpy(m->t->expected + 4 * t,
               m->t->in + 2 * LINE * ((t / 2) ^ (THREADS - 1)) + t % 2 * LINE + bytes - 4, 4);
}

/* ---- lanes */

static void lanes(Make *m, const char *level) {
    static const uint32_t apart[] = {1, 2, 4, 8, 16, 31};
    enum { WORDS = TN_COUNT(apart) };
    TnPx *x = &m->x;
    TnPxRow row = m->t->row;
    bool bfly = row == TN_PX_bfly || row == TN_PX_bfly_f, floats = row == TN_PX_bfly_f || row == TN_PX_idx_f;
    TnPxV last = tn_px_i(31), all = tn_px_i(-1);
    begin(m, level, 1, LANES);
    TnPxV from = own(m, 0, 4), to = own(m, 1, 4 * WORDS);
    TnPxV v = floats ? PX(x, ld_f, from) : PX(x, ld, from);
    for (uint32_t i = 0; i < WORDS; i++) {
        TnPxV which = PX(x, and, PX(x, mul, m->thread, tn_px_u(apart[i])), tn_px_u(31)), got;
        TnPxV operands[] = {v, bfly ? tn_px_i(apart[i]) : which, last, all};
        if (row == TN_PX_ballot) {
            TnPxV bit = PX(x, and, PX(x, shr, v, tn_px_u(apart[i])), tn_px_u(1));
            TnPxV p[] = {PX(x, ne, bit, tn_px_u(0)), all};
            got = tn_px_op(x, row, NULL, p, 2);
        } else {
            got = tn_px_op(x, row, NULL, operands, TN_COUNT(operands));
        }
        tn_ptx_stored(x, after(to, 4 * i), got);
    }
    end(m);
    make_room(m, 4, 4 * WORDS);
    for (uint32_t l = 0; l < LANES; l++)
        for (uint32_t i = 0; i < WORDS; i++) {
            uint32_t w = word_at(m->t->in + 4 * (bfly ? l ^ apart[i] : l * apart[i] % LANES));
            if (row == TN_PX_ballot) {
                w = 0;
                for (uint32_t k = 0; k < LANES; k++) w |= (word_at(m->t->in + 4 * k) >> apart[i] & 1) << k;
            }
            put_word(m->t->expected + 4 * (l * WORDS + i), w);
        }
}

/* ---- tiles. In a fragment lane l has g = l / 4 and t = l % 4. A: register r is row g + 8 (r % 2), columns 4 t + 16 (r / 2) on;
 * B: column g, rows 4 t + 16 r on; C: register r is row g + 8 (r / 2), column 2 t + r % 2. */

enum { MMA_IN = 40 };

static uint8_t a_byte(const uint8_t *in, uint32_t row, uint32_t col) {
    uint32_t lane = row % 8 * 4 + col % 16 / 4, reg = row / 8 + col / 16 * 2;
    return in[lane * MMA_IN + reg * 4 + col % 4];
}
static uint8_t b_byte(const uint8_t *in, uint32_t row, uint32_t col) {
    return in[(col * 4 + row % 16 / 4) * MMA_IN + 16 + row / 16 * 4 + row % 4];
}

static void mma(Make *m, const char *level) {
    TnPx *x = &m->x;
    TnPxV v[10], r[4];
    begin(m, level, 1, LANES);
    TnPxV from = own(m, 0, MMA_IN), to = own(m, 1, 16);
    for (uint32_t k = 0; k < 10; k++) v[k] = PX(x, ld, after(from, 4 * k));
    tn_px_many(x, m->t->row, r, v, 10);
    for (uint32_t k = 0; k < 4; k++) PX(x, st, after(to, 4 * k), r[k]);
    end(m);
    make_room(m, MMA_IN, 16);
    for (uint32_t lane = 0; lane < LANES; lane++)
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t row = lane / 4 + i / 2 * 8, col = lane % 4 * 2 + i % 2;
            uint32_t sum = word_at(m->t->in + lane * MMA_IN + 24 + 4 * i);
            for (uint32_t k = 0; k < 32; k++) {
                int32_t a = a_byte(m->t->in, row, k), b = (int8_t)b_byte(m->t->in, k, col);
                if (m->t->row == TN_PX_mma_s8s8) a = (int8_t)a;
                sum += (uint32_t)(a * b);
            }
            put_word(m->t->expected + 16 * lane + 4 * i, sum);
        }
}

/* Thread t gives the address of row t % 8 of matrix t / 8, and gets values 2 (t % 4) and 2 (t % 4) + 1 of row t / 4 of each. */
static void ldmatrix(Make *m, const char *level) {
    TnPx *x = &m->x;
    TnPxV w[4];
    begin(m, level, 1, LANES);
    TnPxV from = own(m, 0, LINE), to = own(m, 1, LINE);
    TnPxV place = PX(x, and, PX(x, mul, m->thread, tn_px_u(5)), tn_px_u(31)); /* rows lie in some order */
    TnPxV at = shared_at(m, tn_px_shared(x, LANES * LINE, 16), place, LINE);
    for (uint32_t i = 0; i < 4; i++) PX(x, sts, after(at, 4 * i), PX(x, ld, after(from, 4 * i)));
    tn_px_barrier(x);
    tn_px_many(x, m->t->row, w, &at, 1);
    for (uint32_t i = 0; i < 4; i++) PX(x, st, after(to, 4 * i), w[i]);
    end(m);
    make_room(m, LINE, LINE);
    for (uint32_t t = 0; t < LANES; t++)
        for (uint32_t i = 0; i < 4; i++)
            memcpy(m->t->expected + t * LINE + 4 * i, m->t->in + (8 * i + t / 4) * LINE + t % 4 * 4, 4);
}

/* ---- fences and flow */

static void fence(Make *m, const char *level) {
    TnPx *x = &m->x;
    begin(m, level, 1, THREADS);
    TnPxV to = own(m, 1, 8);
    PX(x, st, to, PX(x, ld, own(m, 0, 4)));
    PX(x, fence);
    PX(x, st, after(to, 4), PX(x, ld, to));
    end(m);
    make_room(m, 4, 8);
    for (uint32_t t = 0; t < 2 * THREADS; t++) memcpy(m->t->expected + 4 * t, m->t->in + t / 2 * 4, 4);
}

/* Each thread goes round a loop as often as its word says, and adds up the rounds. */
static void branch(Make *m, const char *level) {
    TnPx *x = &m->x;
    begin(m, level, 1, THREADS);
    TnPxV n = PX(x, and, PX(x, ld, own(m, 0, 4)), tn_px_u(31)), sum = tn_px_var(x, tn_px_u(0));
    TnPxLoop l = tn_px_loop(x, tn_px_u(0), n, tn_px_u(1));
    PX_TO(x, sum, add, sum, l.i);
    tn_px_loop_end(x, &l);
    PX(x, st, own(m, 1, 4), sum);
    end(m);
    make_room(m, 4, 4);
    for (uint32_t t = 0; t < THREADS; t++) {
        uint32_t k = word_at(m->t->in + 4 * t) & 31;
        put_word(m->t->expected + 4 * t, k ? k * (k - 1) / 2 : 0);
    }
}

/* Threads whose word is negative return before they store. */
static void back(Make *m, const char *level) {
    TnPx *x = &m->x;
    begin(m, level, 1, THREADS);
    TnPxV to = own(m, 1, 4), v = PX(x, ld, own(m, 0, 4));
    tn_px_when(x, PX(x, lt_s, v, tn_px_u(0)));
    PX(x, ret);
    PX(x, st, to, v);
    end(m);
    make_room(m, 4, 4);
    for (uint32_t t = 0; t < THREADS; t++) {
        uint32_t w = word_at(m->t->in + 4 * t);
        put_word(m->t->expected + 4 * t, w >> 31 ? 0 : w);
    }
}

/* ---- all */

static void synchronise(Make *m, const char *level) {
    if (m->t->row == TN_PX_bar)
        exchange(m, level, THREADS - 1, MEET_CTA); /* of another warp */
    else if (m->t->row == TN_PX_bar_warp)
        exchange(m, level, LANES - 1, MEET_WARP);
    else
        fence(m, level);
}

void tn_ptx_trial_make(TnPxRow row, const char *level, TnPtxTrial *out) {
    *out = (TnPtxTrial){.row = row};
    Make make = {.t = out}, *m = &make;
    switch (tn_px_rows[row].class) {
    case TN_PX_ALU:
        if (row == TN_PX_special)
            special(m, level);
        else if (row == TN_PX_shared)
            exchange(m, level, 1, MEET_CTA);
        else
            alu(m, level);
        return;
    case TN_PX_LOAD:
        if (row == TN_PX_ld_param)
            ld_param(m, level);
        else
            load(m, level);
        return;
    case TN_PX_STORE:
        store(m, level);
        return;
    case TN_PX_ATOM:
        atom(m, level);
        return;
    case TN_PX_COPY:
    case TN_PX_GROUP:
        copy(m, level);
        return;
    case TN_PX_LANES:
        lanes(m, level);
        return;
    case TN_PX_TILE:
        if (row == TN_PX_ldmatrix4)
            ldmatrix(m, level);
        else
            mma(m, level);
        return;
    case TN_PX_SYNC:
        synchronise(m, level);
        return;
    case TN_PX_FLOW:
        if (row == TN_PX_bra)
            branch(m, level);
        else
            back(m, level);
        return;
    }
}

void tn_ptx_trial_free(TnPtxTrial *t) {
    tn_buf_free(&t->text);
    free(t->in);
    free(t->out);
    free(t->expected);
    *t = (TnPtxTrial){0};
}

/* ---- judging */

static bool is_nan(char kind, const uint8_t *bits) {
    uint64_t v;
    memcpy(&v, bits, 8);
    switch (kind) {
    case 'f':
        return (v & 0x7fffffff) > 0x7f800000;
    case 'g':
        return (v & INT64_MAX) > 0x7ff0000000000000;
    case 'h':
        return (v & 0x7fff) > 0x7c00;
    default:
        return false;
    }
}

static void put_hex(TnBuf *text, const uint8_t *bytes, uint32_t n) {
    tn_buf_puts(text, "0x");
    for (uint32_t i = n; i-- > 0;) tn_buf_printf(text, "%02x", bytes[i]);
}

/* "of 0x.., 0x..: got 0x.., expected 0x..", at byte `at` of a thread's record. */
static void put_difference(const TnPtxTrial *t, size_t thread, uint32_t at, uint32_t n, uint64_t wrong,
                           TnBuf *text) {
    size_t place = thread * t->record + at;
    for (uint32_t k = 0; k < t->operands; k++) {
        tn_buf_puts(text, k ? ", " : "of ");
        put_hex(text, t->in + (thread * VALUES + k) * 8, 8);
    }
    if (!t->operands) tn_buf_printf(text, "byte %u of thread %zu", at, thread);
    tn_buf_puts(text, ": got ");
    put_hex(text, t->out + place, n);
    tn_buf_puts(text, ", expected ");
    put_hex(text, t->expected + place, n);
    tn_buf_printf(text, "; %llu of %zu differ", (unsigned long long)wrong, t->out_bytes / n);
}

bool tn_ptx_trial_judge(const TnPtxTrial *t, TnBuf *text) {
    uint32_t unit = t->operands ? 8 : 4;
    size_t first = 0;
    uint64_t wrong = 0;
    for (size_t at = 0; at < t->out_bytes; at += unit) {
        if (memcmp(t->out + at, t->expected + at, unit) == 0) continue;
        if (t->operands && is_nan(t->kind, t->out + at) && is_nan(t->kind, t->expected + at)) continue;
        if (wrong++ == 0) first = at;
    }
    if (wrong) put_difference(t, first / t->record, (uint32_t)(first % t->record), unit, wrong, text);
    return wrong == 0;
}
