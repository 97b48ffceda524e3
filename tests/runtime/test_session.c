/* Sessions are compared with an oracle, a plain array of tokens for each slot: steps with any rows, wants and chunks,
 * truncation and forks in any order. The fake model reads the whole cache, so a wrong page gives a wrong number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "fake_model.h"
#include "runtime/model.h"
#include "support/far_engine.h"
#include "runtime/base/os.h"
#include "runtime/pool.h"
#include "runtime/session.h"

static Fake fake;
static Image image;
static TernPool *pool;
static TernModel *model;

static int open_fake(void **state) {
    (void)state;
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    image = fake_image_kvs(3);
    return tern_pool_create(&po, &pool, NULL) ||
           tern_model_open_memory(image.data, image.size, &o, &model, NULL);
}
static int close_fake(void **state) {
    (void)state;
    tern_model_close(model);
    tern_pool_destroy(pool);
    free(image.data);
    return 0;
}

/* The same with memory that only kernels and their engine may touch. */
static FarControl far;
static int open_far(void **state) {
    (void)state;
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o};
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    TnEngine *inner;
    image = fake_image_kvs(3);
    return tern_pool_create(&po, &pool, NULL) || tn_engine_evaluated(&k, &inner, NULL) ||
           tn_model_open_on(far_engine(inner, &far), image.data, image.size, &o, &model, NULL);
}
static int close_far(void **state) {
    close_fake(state);
    return far.strangers || far.sessions || far.blocks || far.closed != 1 || !far.copies || !far.clears;
}

static TernSession *session_of(TernSessionOptions o) {
    TernSession *s = NULL;
    TernError err = {0};
    o.size = sizeof o;
    TernStatus status = tern_session_create(model, pool, &o, &s, &err);
    if (status != TERN_OK) fail_msg("%s", err.text);
    return s;
}

/* The oracle */

enum { SLOTS = 5, ROWS = 70 };
typedef struct Oracle {
    int32_t tokens[SLOTS][CONTEXT];
    uint32_t length[SLOTS];
    /* of the step under way */
    uint64_t hash[ROWS];
    const TernRow *rows;
    size_t n, next; /* next: the results of the rows before it have come */
} Oracle;

static uint64_t hash_of(const Oracle *o, uint32_t slot) {
    uint64_t h = 0;
    for (uint32_t i = 0; i < o->length[slot]; i++) h = fold(h, o->tokens[slot][i]);
    return h;
}

static void check_result(void *user, const TernResult *r) {
    Oracle *o = user;
    while (o->next < o->n && o->rows[o->next].want == TERN_WANT_NOTHING) o->next++;
    assert_int_equal(r->row, o->next); /* rising, none left out */
    o->next++;
    assert_int_equal(r->want, o->rows[r->row].want);
    uint64_t h = o->hash[r->row];
    float logits[VOCAB];
    for (int32_t v = 0; v < VOCAB; v++) logits[v] = fake_logit(h, v);
    if (r->want == TERN_WANT_HIDDEN) {
        for (int j = 0; j < HIDDEN; j++) assert_true(r->hidden[j] == (float)(h >> 8 * j & 255));
        return;
    }
    assert_int_equal(r->id, fake_best(logits));
    assert_true(!r->hidden && !r->top_ids == (r->want != TERN_WANT_TOP) &&
                (r->want == TERN_WANT_TOP || !r->logits == (r->want != TERN_WANT_LOGITS)));
    if (r->logits) assert_memory_equal(r->logits, logits, sizeof logits);
    if (r->want == TERN_WANT_TOP) {
        int32_t ids[TOPK];
        float values[TOPK];
        fake_top(logits, ids, values);
        assert_int_equal(r->n_top, TOPK);
        assert_memory_equal(r->top_ids, ids, sizeof ids);
        assert_memory_equal(r->top_logits, values, sizeof values);
    }
}

static void step(TernSession *s, Oracle *o, const TernRow *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        o->tokens[rows[i].slot][o->length[rows[i].slot]++] = rows[i].token;
        o->hash[i] = hash_of(o, rows[i].slot);
    }
    o->rows = rows;
    o->n = n;
    o->next = 0;
    TernError err = {0};
    if (tern_session_step(s, rows, n, check_result, o, &err) != TERN_OK) fail_msg("%s", err.text);
    while (o->next < n && rows[o->next].want == TERN_WANT_NOTHING) o->next++;
    assert_int_equal(o->next, n);
    for (uint32_t i = 0; i < SLOTS; i++) assert_int_equal(tern_session_length(s, i), o->length[i]);
}

static uint32_t draw(uint64_t *seed, uint32_t below) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*seed >> 33) % below);
}

/* The first n positions of a slot go out as bytes and into another slot, of this session or of another with that cache. The
 * last page also brings positions after them, which must not count. */
static void carry(TernSession *from, uint32_t a, TernSession *to, uint32_t b, uint32_t n) {
    TernError err = {0};
    size_t bytes = tern_session_page_bytes(from);
    assert_int_equal(tern_session_page_bytes(to), bytes);
    assert_int_equal(tern_session_truncate(to, b, 0, NULL), TERN_OK);
    for (uint32_t at = 0; at < n; at += TERN_PAGE) {
        void *page = malloc(bytes);
        memset(page, 0xff, bytes);
        uint32_t some = n - at < TERN_PAGE ? n - at : TERN_PAGE, held = tern_session_length(from, a) - at;
        if (held > TERN_PAGE) held = TERN_PAGE;
        if (tern_session_read_page(from, a, at / TERN_PAGE, held, page, &err) != TERN_OK)
            fail_msg("%s", err.text);
        if (tern_session_append_page(to, b, page, some, &err) != TERN_OK) fail_msg("%s", err.text);
        free(page);
    }
    assert_int_equal(tern_session_length(to, b), n);
}

static void anything_goes(void **state) {
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 60; round++) {
        TernSessionOptions so = {.slots = 1 + draw(&seed, SLOTS),
                                 .context = 1 + draw(&seed, CONTEXT),
                                 .batch = draw(&seed, 21),
                                 .kv = draw(&seed, 4)};
        so.wants = so.batch ? draw(&seed, so.batch + 1) : draw(&seed, 21);
        memset(&fake, 0, sizeof fake);
        TernSession *s = session_of(so);
        Oracle o = {0};
        for (int turn = 0; turn < 60; turn++) {
            uint32_t a = draw(&seed, so.slots), b = draw(&seed, so.slots);
            switch (draw(&seed, 7)) {
            case 2: {
                uint32_t n = draw(&seed, 3) ? draw(&seed, o.length[a] + 1) : o.length[a];
                if (a == b) break;
                carry(s, a, s, b, n);
                memcpy(o.tokens[b], o.tokens[a], sizeof o.tokens[a]);
                o.length[b] = n;
                break;
            }
            case 0: {
                uint32_t n = draw(&seed, 3) ? draw(&seed, o.length[a] + 1) : 0;
                assert_int_equal(tern_session_truncate(s, a, n, NULL), TERN_OK);
                o.length[a] = n;
                break;
            }
            case 1:
                assert_int_equal(tern_session_fork(s, a, b, NULL), TERN_OK);
                memcpy(o.tokens[b], o.tokens[a], sizeof o.tokens[a]);
                o.length[b] = o.length[a];
                break;
            default: {
                TernRow rows[ROWS];
                uint32_t length[SLOTS], n = 0, most = 1 + draw(&seed, ROWS), kinds = 1 + draw(&seed, 5);
                memcpy(length, o.length, sizeof length);
                for (uint32_t i = 0; i < most; i++) {
                    uint32_t slot = kinds == 1 ? a : draw(&seed, so.slots);
                    if (length[slot] == so.context) continue;
                    length[slot]++;
                    rows[n++] = (TernRow){(int32_t)draw(&seed, POISON), slot, draw(&seed, kinds)};
                }
                step(s, &o, rows, n);
            }
            }
        }
        assert_int_equal(fake.faults, 0);
        assert_true(fake.most_rows <= (so.batch ? so.batch : 20));
        assert_true(fake.most_wants <= (so.wants ? so.wants : 16));
        tern_session_destroy(s);
    }
}

/* Saturated values are counted in every layer, head, dim and position, and nothing else is counted. */
static void saturated_values_are_counted(void **state) {
    (void)state;
    enum { LAYERS = 2, HEADS = 3, DIM = 5, PAGES = 2 };
    static uint16_t cache[2][LAYERS][PAGES][HEADS][DIM * 64];
    int32_t table[PAGES] = {1, 0};
    TnMemory m = {.bases = {.keys = (TnAddress)cache[0], .values = (TnAddress)cache[1]},
                  .cache = {.n = PAGES, .layers = LAYERS, .heads = HEADS, .head_dim = DIM, .elem_bytes = 2}};
    TnEngine *cpu;
    assert_int_equal(tn_engine_named("cpu", &cpu, NULL), TERN_OK);
    static const uint16_t some[] = {0x7bff, 0xfbff, 0x7bfe, 0x7c00, 0xfc00,
                                    0x7e00, 0,      0x8000, 0xffff, 0x7fff};
    uint64_t seed = 1;
    uint16_t *all = (uint16_t *)cache;
    for (size_t i = 0; i < sizeof cache / 2; i++) all[i] = some[draw(&seed, 10)];
    for (uint32_t from = 0; from < 128; from += 1 + draw(&seed, 7))
        for (uint32_t to = from + 1; to <= from / 64 * 64 + 64; to++) {
            uint64_t count = 0;
            for (int layer = 0; layer < LAYERS; layer++)
                for (int h = 0; h < HEADS; h++)
                    for (uint32_t d = 0; d < DIM; d++)
                        for (uint32_t j = from; j < to; j++) {
                            uint16_t k = cache[0][layer][table[j / 64]][h][d * 64 + j % 64];
                            uint16_t v = cache[1][layer][table[j / 64]][h][j % 64 * DIM + d];
                            count += ((k & 0x7fff) == 0x7bff) + ((v & 0x7fff) == 0x7bff);
                        }
            uint32_t lo = from % 64;
            assert_int_equal(cpu->saturated(cpu, &m, table[from / 64], lo, lo + to - from), count);
        }
    cpu->close(cpu);
}

/* The same rows in several chunks and batches: the number of rows that run at once decides the variant. */
static void chunks_and_variants(void **state) {
    (void)state;
    TernRow rows[50];
    for (uint32_t i = 0; i < 50; i++) rows[i] = (TernRow){(int32_t)(i % POISON), 0, i % 5};
    memset(&fake, 0, sizeof fake);
    TernSession *s = session_of((TernSessionOptions){.kv = TERN_KV_F32});
    Oracle o = {0};
    step(s, &o, rows, 50); /* 20 + 20 + 10 rows */
    assert_int_equal(fake.calls[5][PUT], 3);
    assert_int_equal(fake.calls[5][HEAD], 3);
    step(s, &o, rows + 5, 1); /* wants nothing: the gates stay shut */
    assert_int_equal(fake.calls[3][PUT], 1);
    assert_int_equal(fake.calls[3][HEAD] + fake.calls[3][TOP] + fake.calls[3][HIDE], 0);
    step(s, &o, rows + 6, 1);
    assert_int_equal(fake.calls[3][HEAD], 1);
    assert_int_equal(fake.calls[3][TOP], 0);
    step(s, &o, rows + 7, 3); /* wants 2, 3, 4 */
    assert_int_equal(fake.calls[4][PUT], 1);
    assert_int_equal(fake.calls[4][TOP], 1);
    assert_int_equal(fake.calls[4][HIDE], 1);
    for (int v = 0; v < 3; v++) assert_int_equal(fake.calls[v][PUT], 0); /* f16 variants */
    step(s, &o, rows, 0);
    tern_session_destroy(s);

    /* Two results at once: a step of 12 rows that all want the same takes 6 runs; with two kinds of want, 3. */
    memset(&fake, 0, sizeof fake);
    s = session_of((TernSessionOptions){.wants = 2});
    memset(&o, 0, sizeof o);
    for (uint32_t i = 0; i < 12; i++) rows[i].want = TERN_WANT_GREEDY;
    step(s, &o, rows, 12);
    assert_int_equal(fake.calls[1][PUT], 6);
    for (uint32_t i = 0; i < 12; i++) rows[i].want = i % 2 ? TERN_WANT_HIDDEN : TERN_WANT_TOP;
    step(s, &o, rows, 12);
    assert_int_equal(fake.calls[1][PUT], 9);
    assert_int_equal(fake.faults, 0);
    tern_session_destroy(s);
}

/* One slot gives up a shared page while another still reads it, and a page that held a NaN is clean for its next owner.
 * An int8 page also has scales, which must follow the same rules. */
static void share_pages(TernKv kv) {
    memset(&fake, 0, sizeof fake);
    TernSession *s = session_of((TernSessionOptions){.slots = 3, .context = 130, .kv = kv});
    Oracle o = {0};
    TernRow rows[ROWS];
    for (uint32_t i = 0; i < ROWS; i++) rows[i] = (TernRow){(int32_t)(i % POISON), 0, TERN_WANT_GREEDY};
    step(s, &o, rows, 70); /* a whole page and six positions */
    for (uint32_t to = 1; to < 3; to++) {
        assert_int_equal(tern_session_fork(s, 0, to, NULL), TERN_OK);
        memcpy(o.tokens[to], o.tokens[0], sizeof o.tokens[0]);
        o.length[to] = 70;
    }
    assert_int_equal(tern_session_truncate(s, 1, 66, NULL), TERN_OK); /* inside the shared page ... */
    o.length[1] = 66;
    assert_int_equal(tern_session_truncate(s, 0, 0, NULL), TERN_OK);
    assert_int_equal(tern_session_truncate(s, 2, 10, NULL), TERN_OK); /* ... which only slot 1 holds now */
    o.length[0] = 0;
    o.length[2] = 10;
    for (uint32_t i = 0; i < 60; i++) {
        TernRow three[3] = {{3, 0, TERN_WANT_GREEDY}, {4, 1, TERN_WANT_TOP}, {5, 2, TERN_WANT_HIDDEN}};
        step(s, &o, three, 3);
    }
    assert_int_equal(tern_session_fork(s, 1, 1, NULL), TERN_OK); /* onto itself: nothing happens */
    assert_int_equal(tern_session_length(s, 1), 126);
    assert_int_equal(fake.faults, 0);
    tern_session_destroy(s);
}

static void shared_pages(void **state) {
    (void)state;
    for (TernKv kv = TERN_KV_F16; kv <= TERN_KV_I8; kv++) share_pages(kv);
}

/* Pages go from session to session whatever their sizes, and a page has the same bytes wherever it was and whatever lay in
 * its place before. */
static void carry_pages(TernKv kv) {
    memset(&fake, 0, sizeof fake);
    TernSession *a = session_of((TernSessionOptions){.slots = 2, .context = 100, .kv = kv});
    TernSession *b = session_of((TernSessionOptions){.slots = 3, .context = 190, .batch = 3, .kv = kv});
    Oracle o = {0};
    TernRow rows[ROWS];
    for (uint32_t i = 0; i < ROWS; i++) rows[i] = (TernRow){(int32_t)(i * i % POISON), 0, TERN_WANT_GREEDY};
    step(a, &o, rows, 70);
    carry(a, 0, b, 2, 70);
    Oracle other = {0};
    memcpy(other.tokens[2], o.tokens[0], sizeof o.tokens[0]);
    other.length[2] = 70;
    size_t bytes = tern_session_page_bytes(a);
    uint8_t *x = malloc(bytes), *y = malloc(bytes);
    for (uint32_t page = 0; page < 2; page++) {
        assert_int_equal(tern_session_read_page(a, 0, page, page ? 6 : 64, x, NULL), TERN_OK);
        assert_int_equal(tern_session_read_page(b, 2, page, page ? 6 : 64, y, NULL), TERN_OK);
        assert_memory_equal(x, y, bytes);
    }
    for (uint32_t i = 0; i < 60; i++) {
        TernRow two[2] = {{3, 0, TERN_WANT_GREEDY}, {(int32_t)(i % 7), 2, TERN_WANT_TOP}};
        step(b, &other, two, 2);
    }
    /* a longer past in the same page leaves no trace */
    assert_int_equal(tern_session_read_page(b, 2, 1, 6, x, NULL), TERN_OK);
    assert_int_equal(tern_session_read_page(a, 0, 1, 6, y, NULL), TERN_OK);
    assert_memory_equal(x, y, bytes);
    assert_int_equal(tern_session_truncate(b, 2, 70, NULL), TERN_OK);
    assert_int_equal(tern_session_read_page(b, 2, 1, 6, x, NULL), TERN_OK);
    assert_memory_equal(x, y, bytes);
    free(x);
    free(y);
    assert_int_equal(fake.faults, 0);
    tern_session_destroy(a);
    tern_session_destroy(b);
}

static void carried_pages(void **state) {
    (void)state;
    for (TernKv kv = TERN_KV_F16; kv <= TERN_KV_I8; kv++) carry_pages(kv);
}

static void page_errors(void **state) {
    (void)state;
    TernSession *s = session_of((TernSessionOptions){.slots = 2, .context = 130});
    TernError err = {0};
    void *page = calloc(1, tern_session_page_bytes(s));
    assert_int_equal(tern_session_page_bytes(s), 2 * LAYERS * HEADS * HEAD_DIM * TERN_PAGE * 2);
    assert_int_equal(tern_session_page_bytes(NULL), 0);
    assert_int_equal(tern_session_read_page(s, 0, 0, 1, page, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "slot 0 holds 0 positions, expected at least 1");
    assert_int_equal(tern_session_read_page(s, 0, 0, 65, page, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "n is 65, expected 1 to 64 positions");
    assert_int_equal(tern_session_read_page(s, 2, 0, 1, page, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "slot is 2, expected 0 to 1");
    assert_int_equal(tern_session_append_page(s, 2, page, 1, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "slot is 2, expected 0 to 1");
    assert_int_equal(tern_session_append_page(s, 0, page, 0, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "n is 0, expected 1 to 64 positions");
    assert_int_equal(tern_session_append_page(s, 0, page, 65, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "n is 65, expected 1 to 64 positions");
    assert_int_equal(tern_session_append_page(s, 0, page, 63, &err), TERN_OK);
    assert_int_equal(tern_session_append_page(s, 0, page, 1, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text,
                        "slot 0 holds 63 of 130 positions, expected a multiple of 64 and room for 1 more");
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(tern_session_append_page(s, 1, page, 64, &err), TERN_OK);
    assert_int_equal(tern_session_append_page(s, 1, page, 3, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text,
                        "slot 1 holds 128 of 130 positions, expected a multiple of 64 and room for 3 more");
    assert_int_equal(tern_session_append_page(s, 1, page, 2, &err), TERN_OK);
    assert_int_equal(tern_session_read_page(s, 1, 2, 3, page, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "slot 1 holds 130 positions, expected at least 131");
    assert_int_equal(tern_session_read_page(s, 1, UINT32_MAX / 64 + 1, 1, page, &err), TERN_ERR_INPUT);
    free(page);
    tern_session_destroy(s);
}

/* Errors: the exact lines, and nothing changes. */

static TernStatus one(TernSession *s, TernRow row, TernError *err) {
    TernRow rows[3] = {{1, 0, 0}, {1, 0, 0}, row};
    return tern_session_step(s, rows, 3, NULL, NULL, err);
}

typedef struct Inside {
    TernSession *s;
    int called;
} Inside;
static void call_inside(void *user, const TernResult *r) {
    (void)r;
    Inside *in = user;
    TernError err = {0};
    TernRow row = {1, 0, 0};
    in->called++;
    assert_int_equal(tern_session_step(in->s, &row, 1, NULL, NULL, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "a step of this session is under way");
    assert_int_equal(tern_session_truncate(in->s, 0, 0, &err), TERN_ERR_INPUT);
    assert_int_equal(tern_session_fork(in->s, 0, 1, &err), TERN_ERR_INPUT);
    TernSession *other;
    assert_int_equal(tern_session_create(model, pool, NULL, &other, &err),
                     TERN_OK); /* weights are known to be sound */
    assert_int_equal(tern_session_step(other, &row, 1, NULL, NULL, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the pool is busy with another session's step");
    tern_session_destroy(other);
}

static void step_errors(void **state) {
    (void)state;
    TernSession *s = session_of((TernSessionOptions){.slots = 2, .context = 5});
    TernError err = {0};
    assert_int_equal(one(s, (TernRow){13, 0, 0}, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "row 2: token is 13, expected 0 to 12");
    assert_int_equal(one(s, (TernRow){-1, 0, 0}, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "row 2: token is -1, expected 0 to 12");
    assert_int_equal(one(s, (TernRow){0, 2, 0}, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "row 2: slot is 2, expected 0 to 1");
    assert_int_equal(one(s, (TernRow){0, 0, 5}, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "row 2: want is 5, expected 0 to 4");
    assert_int_equal(tern_session_length(s, 0), 0);
    assert_int_equal(one(s, (TernRow){0, 0, 0}, &err), TERN_OK);
    assert_int_equal(one(s, (TernRow){0, 0, 0}, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text,
                        "row 2: slot 0 would hold 6 positions, expected at most 5 (the session's context)");
    assert_int_equal(tern_session_length(s, 0), 3);
    assert_int_equal(one(s, (TernRow){0, 1, 0}, &err), TERN_OK);
    assert_int_equal(tern_session_truncate(s, 0, 6, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "slot 0 holds 5 positions, expected at least the 6 to keep");
    assert_int_equal(tern_session_truncate(s, 2, 0, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "slot is 2, expected 0 to 1");
    assert_int_equal(tern_session_fork(s, 0, 9, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "slot is 9, expected 0 to 1");
    assert_int_equal(tern_session_length(s, 9), 0);
    assert_int_equal(tern_session_truncate(s, 0, 0, &err), TERN_OK);
    Inside in = {s, 0};
    TernRow row = {1, 0, TERN_WANT_GREEDY};
    assert_int_equal(tern_session_step(s, &row, 1, call_inside, &in, &err), TERN_OK);
    assert_int_equal(in.called, 1);
    tern_session_destroy(s);
}

static void count_results(void *user, const TernResult *r) {
    (void)r;
    ++*(int *)user;
}

static void not_a_number(void **state) {
    (void)state;
    TernSession *s = session_of((TernSessionOptions){.slots = 2, .batch = 4});
    TernError err = {0};
    TernRow rows[10];
    for (uint32_t i = 0; i < 10; i++) rows[i] = (TernRow){1, i % 2, TERN_WANT_GREEDY};
    rows[1].token = POISON; /* slot 1, position 0: its logits are not asked for */
    rows[1].want = TERN_WANT_HIDDEN;
    rows[6].token = POISON; /* slot 0, position 3, in the second run of 4 rows */
    int results = 0;
    assert_int_equal(tern_session_step(s, rows, 10, count_results, &results, &err), TERN_ERR_NUMERIC);
    assert_string_equal(err.text, "row 6 (slot 0, position 3): its logits hold NaN or infinity");
    assert_int_equal(results, 6);
    assert_int_equal(tern_session_length(s, 0), 4);
    assert_int_equal(tern_session_length(s, 1), 4);
    tern_session_destroy(s);
}

static void missing_outputs(void **state) {
    (void)state;
    Maker m = fake_maker(TN_LEVEL_REF, 300);
    uint32_t none = UINT32_MAX;
    TnBuf *prog = &maker_find(&m, TN_SECTION_PROG, 2)->bytes; /* one batch class only */
    memcpy(prog->data + offsetof(TnBlobProg, output[TN_OUT_HIDDEN]), &none, 4);
    Image i = maker_seal(&m);
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    TernModel *other;
    TernSession *s;
    TernError err = {0};
    assert_int_equal(tern_model_open_memory(i.data, i.size, &o, &other, &err), TERN_OK);
    assert_int_equal(tern_session_create(other, pool, NULL, &s, &err), TERN_OK);
    TernRow row = {1, 0, TERN_WANT_HIDDEN};
    assert_int_equal(tern_session_step(s, &row, 1, NULL, NULL, &err), TERN_ERR_UNSUPPORTED);
    assert_string_equal(err.text, "row 0: want is 4, and model in memory was compiled without that output");
    row.want = TERN_WANT_LOGITS;
    assert_int_equal(tern_session_step(s, &row, 1, NULL, NULL, &err), TERN_OK);
    tern_session_destroy(s);
    tern_model_close(other);
    free(i.data);
    maker_free(&m);
}

/* Sizes */

static void option_errors(void **state) {
    (void)state;
    const struct {
        TernSessionOptions o;
        const char *line;
    } cases[] = {
        {{.kv = 4}, "kv is 4, expected the number of one of f16, f32, i8"},
        {{.slots = 100000}, "slots is 100000, expected 1 to 65536"},
        {{.context = 201}, "context is 201, expected 1 to 200"},
        {{.batch = 21}, "batch is 21, expected 1 to 20"},
        {{.batch = 4, .wants = 5}, "wants is 5, expected 1 to 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TernSessionOptions o = cases[i].o;
        TernSession *s = NULL;
        TernSessionBytes bytes = {.size = sizeof bytes};
        TernError err = {0};
        o.size = sizeof o;
        assert_int_equal(tern_session_create(model, pool, &o, &s, &err), TERN_ERR_INPUT);
        assert_string_equal(err.text, cases[i].line);
        assert_null(s);
        assert_int_equal(tern_session_bytes(model, pool, &o, &bytes, NULL), TERN_ERR_INPUT);
    }
    TernError err = {0};
    TernSession *s;
    assert_int_equal(tern_session_create(model, NULL, NULL, &s, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "a session needs a model and a pool, the pool is NULL");
}

/* The sizes are filled in up to the size of the caller's struct, which may be older or newer. */
static void bytes_of_any_caller(void **state) {
    (void)state;
    struct {
        TernSessionBytes bytes;
        uint64_t later[2];
    } all, one;
    TernError err = {0};
    memset(&all, 0x5a, sizeof all);
    all.bytes.size = sizeof all;
    assert_int_equal(tern_session_bytes(model, pool, NULL, &all.bytes, &err), TERN_OK);
    assert_int_equal(all.bytes.size, sizeof all);
    assert_int_equal(all.later[0] + all.later[1] + all.bytes.device, 0);
    for (size_t size = sizeof(size_t); size < sizeof(TernSessionBytes); size += sizeof(uint64_t)) {
        memset(&one, 0x5a, sizeof one);
        one.bytes.size = size;
        assert_int_equal(tern_session_bytes(model, pool, NULL, &one.bytes, &err), TERN_OK);
        assert_memory_equal((char *)&one + sizeof size, (char *)&all + sizeof size, size - sizeof size);
        for (size_t i = size; i < sizeof one; i++) assert_int_equal(((uint8_t *)&one)[i], 0x5a);
    }
    one.bytes.size = 0;
    assert_int_equal(tern_session_bytes(model, pool, NULL, &one.bytes, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TernSessionBytes.size is 0, expected sizeof(TernSessionBytes), 56 here");
    one.bytes.size = 12;
    assert_int_equal(tern_session_bytes(model, pool, NULL, &one.bytes, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text,
                        "TernSessionBytes.size is 12, which ends inside the field total, expected 56");
}

/* What a model takes, and a limit on it: all sessions together count, and one that was refused or destroyed does not. */
static void memory_and_limit(void **state) {
    (void)state;
    TernModelMemory m = {.size = sizeof m}, with = m;
    TernSessionBytes b = {.size = sizeof b};
    TernSessionOptions o = {.size = sizeof o, .slots = 2, .context = 100};
    TernSession *one, *two = NULL;
    TernError err = {0};
    assert_int_equal(tern_model_memory(model, &m, &err), TERN_OK);
    assert_int_equal(m.whole, 64); /* the one operand in WGHT, which every variant reads */
    assert_int_equal(m.rows + m.longer, 0);
    assert_true(m.unused > 0);
    assert_int_equal(m.resident, m.whole + m.unused); /* a blob in memory is all there */
    assert_int_equal(m.sessions, 0);
    assert_int_equal(tern_session_bytes(model, pool, &o, &b, &err), TERN_OK);
    uint64_t first = m.resident + m.code + b.total;
    tern_model_limit(model, first - 1);
    assert_int_equal(tern_session_create(model, pool, &o, &two, &err), TERN_ERR_MEMORY);
    assert_null(two);
    assert_non_null(strstr(err.text, "the cache of 2 slots of 100 positions, "));
    assert_non_null(strstr(err.text, " MB for steps), expected at most the limit, "));
    tern_model_limit(model, first);
    assert_int_equal(tern_session_create(model, pool, &o, &one, &err), TERN_OK);
    assert_int_equal(tern_model_memory(model, &with, &err), TERN_OK);
    assert_int_equal(with.sessions, b.total);
    assert_int_equal(tern_session_create(model, pool, &o, &two, &err), TERN_ERR_MEMORY);
    assert_non_null(strstr(err.text, " MB for other sessions), expected at most the limit, "));
    tern_model_limit(model, first + b.total);
    assert_int_equal(tern_session_create(model, pool, &o, &two, &err), TERN_OK);
    tern_session_destroy(two);
    tern_session_destroy(one);
    tern_model_limit(model, 0);
    assert_int_equal(tern_model_memory(model, &with, &err), TERN_OK);
    assert_memory_equal(&with, &m, sizeof m);
}

/* tern_session_bytes is exactly enough, and the caller's memory works like a mapping. */
static void own_memory_of(TernKv kv, uint64_t head_bytes) {
    TernSessionOptions o = {.size = sizeof o, .slots = 2, .context = 100, .batch = 10, .wants = 3, .kv = kv};
    TernSessionBytes b = {.size = sizeof b};
    TernError err = {0};
    assert_int_equal(tern_session_bytes(model, pool, &o, &b, &err), TERN_OK);
    assert_int_equal(b.total, b.arena + b.scratch + b.cache + b.tables);
    uint64_t pages = 2 * 2 * 2 * LAYERS * HEADS * 64 * head_bytes; /* keys and values begin on a page each */
    assert_true(b.cache >= pages && b.cache < pages + 2 * 4096);
    uint8_t *memory = aligned_alloc(64, b.total + 64);
    o.memory = memory;
    o.memory_bytes = b.total - 1;
    TernSession *s;
    char line[200];
    assert_int_equal(tern_session_create(model, pool, &o, &s, &err), TERN_ERR_INPUT);
    snprintf(line, sizeof line,
             "TernSessionOptions.memory: %zu bytes at an address with remainder 0, expected %zu at a "
             "multiple of 64",
             (size_t)b.total - 1, (size_t)b.total);
    assert_string_equal(err.text, line);
    o.memory_bytes = b.total;
    for (int twice = 0; twice < 2; twice++) {
        memset(memory, 0, b.total);
        memset(memory + b.total, 0x5a, 64);
        memset(&fake, 0, sizeof fake);
        assert_int_equal(tern_session_create(model, pool, &o, &s, &err), TERN_OK);
        assert_ptr_equal(s, memory);
        Oracle oracle = {0};
        TernRow rows[60];
        for (uint32_t i = 0; i < 60; i++) rows[i] = (TernRow){(int32_t)(i % POISON), i % 2, i % 5};
        for (int i = 0; i < 3; i++) step(s, &oracle, rows, 60);
        assert_int_equal(fake.faults, 0);
        for (int i = 0; i < 64; i++) assert_int_equal(memory[b.total + (size_t)i], 0x5a);
        tern_session_destroy(s);
    }
    free(memory);
}

static void own_memory(void **state) {
    (void)state;
    own_memory_of(TERN_KV_F32, HEAD_DIM * 4);
    own_memory_of(TERN_KV_F16, HEAD_DIM * 2);
    own_memory_of(TERN_KV_I8, HEAD_DIM + 4);
}

/* The bytes of the session's cache that the system has in memory. */
static size_t resident(const TernSession *s) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = s->bytes.cache / page, sum = 0;
    unsigned char *in = malloc(n);
    assert_int_equal(s->memory.bases.keys % page, 0);
    assert_int_equal(mincore((void *)s->memory.bases.keys, n * page, in), 0);
    for (size_t i = 0; i < n; i++) sum += (in[i] & 1) * page;
    free(in);
    return sum;
}

/* The cache is reserved and not in memory until it is used, in huge pages too: a text takes what its pages take, rounded to
 * the system's small pages. */
static void unused_cache_is_not_resident(void **state) {
    (void)state;
    TernKernels k = fake_kernels(&fake);
    TernModelOptions mo = {.size = sizeof mo, .kernels = &k, .huge = 1};
    TernModel *huge;
    TernError err = {0};
    assert_int_equal(tern_model_open_memory(image.data, image.size, &mo, &huge, &err), TERN_OK);
    TernSessionOptions o = {.size = sizeof o, .slots = 1 << 14, .kv = TERN_KV_F32};
    TernSession *s;
    if (tern_session_create(huge, pool, &o, &s, &err) != TERN_OK) fail_msg("%s", err.text);
    size_t arrays = (size_t)2 * LAYERS, round = 2 * (size_t)sysconf(_SC_PAGESIZE),
           page = tern_session_page_bytes(s);
    assert_true(s->bytes.cache > arrays * (16 << 20)); /* far more than is spared */
    assert_int_equal(resident(s), 0);
    TernRow rows[60];
    for (uint32_t i = 0; i < 60; i++) rows[i] = (TernRow){.token = (int32_t)(i % POISON)};
    for (size_t pages = 1; pages <= 2; pages++) {
        assert_int_equal(tern_session_step(s, rows, 60, NULL, NULL, &err), TERN_OK);
        size_t is = resident(s), most = pages * page + arrays * round;
        if (is > most) fail_msg("%zu bytes of the cache are in memory, expected at most %zu", is, most);
        assert_true(is >= arrays);
    }
    tern_session_destroy(s);
    tern_model_close(huge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anything_goes),       cmocka_unit_test(saturated_values_are_counted),
        cmocka_unit_test(chunks_and_variants), cmocka_unit_test(shared_pages),
        cmocka_unit_test(step_errors),         cmocka_unit_test(not_a_number),
        cmocka_unit_test(missing_outputs),     cmocka_unit_test(option_errors),
        cmocka_unit_test(bytes_of_any_caller), cmocka_unit_test(memory_and_limit),
        cmocka_unit_test(own_memory),          cmocka_unit_test(carried_pages),
        cmocka_unit_test(page_errors),         cmocka_unit_test(unused_cache_is_not_resident),
    };
    const struct CMUnitTest anywhere[] = {
        cmocka_unit_test(anything_goes), cmocka_unit_test(chunks_and_variants),
        cmocka_unit_test(shared_pages),  cmocka_unit_test(step_errors),
        cmocka_unit_test(not_a_number),  cmocka_unit_test(carried_pages),
        cmocka_unit_test(page_errors),
    };
    return cmocka_run_group_tests(tests, open_fake, close_fake) ||
           cmocka_run_group_tests_name("far", anywhere, open_far, close_far);
}
