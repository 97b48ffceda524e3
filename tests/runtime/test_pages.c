/* A session with fewer pages than its slots could fill, beside a list of which slot holds which page. A step that needs more
 * pages than are free is refused before anything changes, and no other step is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "fake_model.h"
#include "runtime/pages.h"

static Fake fake;
static Image image;
static TernPool *pool;
static TernModel *model;

enum { SLOTS = 6, PER_SLOT = (CONTEXT + TERN_PAGE - 1) / TERN_PAGE, ROWS = 150 };

/* What the slots hold, page by page; pages have numbers that are never used again. */
typedef struct Held {
    uint32_t length[SLOTS], page[SLOTS][PER_SLOT], next;
    int32_t tokens[SLOTS][CONTEXT];
} Held;

static uint32_t holders(const Held *h, uint32_t page) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < SLOTS; i++)
        for (uint32_t j = 0; j * TERN_PAGE < h->length[i]; j++) n += h->page[i][j] == page;
    return n;
}

/* Counts pages that are held, and those that are shared. */
static void count(const Held *h, uint32_t *out_held, uint32_t *out_shared) {
    *out_held = *out_shared = 0;
    for (uint32_t page = 1; page <= h->next; page++) {
        uint32_t n = holders(h, page);
        *out_held += n > 0;
        *out_shared += n > 1;
    }
}

static void append(Held *h, uint32_t slot, int32_t token) {
    uint32_t at = h->length[slot], *page = &h->page[slot][at / TERN_PAGE];
    if (at % TERN_PAGE == 0 || holders(h, *page) > 1) *page = ++h->next;
    h->tokens[slot][at] = token;
    h->length[slot]++;
}

static uint64_t hash_of(const Held *h, uint32_t slot) {
    uint64_t x = 0;
    for (uint32_t i = 0; i < h->length[slot]; i++) x = fold(x, h->tokens[slot][i]);
    return x;
}

typedef struct Expected {
    int32_t id[ROWS];
} Expected;
static void check_id(void *user, const TernResult *r) {
    assert_int_equal(r->id, ((Expected *)user)->id[r->row]);
}

static int32_t best_after(const Held *h, uint32_t slot) {
    float logits[VOCAB];
    for (int32_t v = 0; v < VOCAB; v++) logits[v] = fake_logit(hash_of(h, slot), v);
    return fake_best(logits);
}

static uint32_t draw(uint64_t *seed, uint32_t below) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*seed >> 33) % below);
}

static void check_counts(TernSession *s, const Held *h, uint32_t total) {
    TernSessionPages got = {.size = sizeof got};
    uint32_t held, shared;
    count(h, &held, &shared);
    assert_int_equal(tern_session_pages(s, &got, NULL), TERN_OK);
    assert_int_equal(got.total, total);
    assert_int_equal(got.free, total - held);
    assert_int_equal(got.shared, shared);
    for (uint32_t i = 0; i < SLOTS; i++) assert_int_equal(tern_session_length(s, i), h->length[i]);
}

/* Runs some rows, or sees them refused. Returns whether they ran. */
static bool try_step(TernSession *s, Held *h, const TernRow *rows, size_t n, uint32_t total) {
    static Held after; /* large */
    Expected expected;
    TernError err = {0};
    uint32_t held, shared;
    after = *h;
    for (size_t i = 0; i < n; i++) {
        append(&after, rows[i].slot, rows[i].token);
        expected.id[i] = best_after(&after, rows[i].slot);
    }
    count(h, &held, &shared);
    uint32_t needed = after.next - h->next, unused = total - held;
    assert_int_equal(tern_session_lacks(s, rows, n), needed > unused ? needed - unused : 0);
    TernStatus st = tern_session_step(s, rows, n, check_id, &expected, &err);
    if (needed <= unused) {
        if (st != TERN_OK) fail_msg("%s", err.text);
        *h = after;
        return true;
    }
    char line[200];
    snprintf(line, sizeof line, "the rows need %u more pages of the cache, but %u of its %u are free", needed,
             unused, total);
    assert_int_equal(st, TERN_ERR_INPUT);
    assert_string_equal(err.text, line);
    return false;
}

static void rows_take_what_is_free(void **state) {
    (void)state;
    uint64_t seed = 11;
    uint32_t ran = 0, refused = 0;
    for (uint32_t round = 0; round < 30; round++) {
        static Held h;
        TernSession *s;
        uint32_t total = 1 + draw(&seed, 12);
        TernSessionOptions so = {.size = sizeof so, .slots = SLOTS, .context = CONTEXT, .pages = total};
        TernError err = {0};
        memset(&h, 0, sizeof h);
        if (tern_session_create(model, pool, &so, &s, &err) != TERN_OK) fail_msg("%s", err.text);
        for (uint32_t turn = 0; turn < 60; turn++) {
            uint32_t a = draw(&seed, SLOTS), b = draw(&seed, SLOTS), kind = draw(&seed, 5);
            if (kind == 0) {
                h.length[a] = draw(&seed, h.length[a] + 1);
                assert_int_equal(tern_session_truncate(s, a, h.length[a], NULL), TERN_OK);
            } else if (kind == 1) {
                assert_int_equal(tern_session_fork(s, a, b, NULL), TERN_OK);
                h.length[b] = h.length[a];
                memcpy(h.page[b], h.page[a], sizeof h.page[a]);
                memcpy(h.tokens[b], h.tokens[a], sizeof h.tokens[a]);
            } else {
                TernRow rows[ROWS];
                uint32_t length[SLOTS], n = 0, most = 1 + draw(&seed, kind == 2 ? ROWS : 8);
                memcpy(length, h.length, sizeof length);
                for (uint32_t i = 0; i < most; i++) {
                    uint32_t slot = kind == 3 ? a : draw(&seed, SLOTS);
                    if (length[slot]++ < CONTEXT)
                        rows[n++] = (TernRow){(int32_t)draw(&seed, POISON), slot, TERN_WANT_GREEDY};
                }
                bool fits = try_step(s, &h, rows, n, total);
                ran += fits;
                refused += !fits;
            }
            check_counts(s, &h, total);
        }
        tern_session_destroy(s);
    }
    assert_int_equal(fake.faults, 0);
    assert_true(ran > 200 && refused > 200);
}

static void pages_need_a_place(void **state) {
    (void)state;
    TernSession *s;
    TernError err = {0};
    TernSessionOptions so = {.size = sizeof so, .slots = 2, .context = 128, .pages = 2};
    assert_int_equal(tern_session_create(model, pool, &so, &s, &err), TERN_OK);
    void *page = calloc(1, tern_session_page_bytes(s));
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(tern_session_append_page(s, i, page, 64, &err), TERN_OK);
    assert_int_equal(tern_session_append_page(s, 0, page, 1, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "no page of the cache is free, expected 1 of its 2");
    assert_int_equal(tern_session_length(s, 0), 64);
    assert_int_equal(tern_session_truncate(s, 1, 0, &err), TERN_OK);
    assert_int_equal(tern_session_append_page(s, 0, page, 1, &err), TERN_OK);
    free(page);
    tern_session_destroy(s);
    so.pages = 5;
    assert_int_equal(tern_session_create(model, pool, &so, &s, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "pages is 5, expected 1 to 4");
}

/* The cache is as large as its pages, whatever the slots. */
static void pages_decide_the_size(void **state) {
    (void)state;
    TernSessionBytes few = {.size = sizeof few}, many = {.size = sizeof many}, all = {.size = sizeof all};
    TernSessionOptions so = {.size = sizeof so, .slots = 2, .context = 128};
    assert_int_equal(tern_session_bytes(model, pool, &so, &few, NULL), TERN_OK);
    so.slots = 64;
    so.pages = 4;
    assert_int_equal(tern_session_bytes(model, pool, &so, &many, NULL), TERN_OK);
    so.pages = 0;
    assert_int_equal(tern_session_bytes(model, pool, &so, &all, NULL), TERN_OK);
    assert_int_equal(many.cache, few.cache);
    assert_true(all.cache > 20 * few.cache);
}

static int open_fake(void **state) {
    (void)state;
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    image = fake_image();
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

/* ---- Saturated values, with pages that hold no more than how many there are at each position. */

enum { FEW_SLOTS = 3, FEW_PAGES = 6 };
static uint8_t stored[FEW_PAGES][TERN_PAGE];

static void copy_stored(TnEngine *e, TnMemory *m, int32_t to, int32_t from) {
    (void)e, (void)m;
    memcpy(stored[to], stored[from], TERN_PAGE);
}

static void clear_stored(TnEngine *e, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi) {
    (void)e, (void)m;
    memset(stored[page] + lo, 0, hi - lo);
}

static uint64_t count_stored(TnEngine *e, TnMemory *m, int32_t page, uint32_t lo, uint32_t hi) {
    (void)e, (void)m;
    uint64_t n = 0;
    assert_true(lo < hi && hi <= TERN_PAGE);
    for (uint32_t i = lo; i < hi; i++) n += stored[page][i];
    return n;
}

/* Whatever becomes of a page, each value that a step stored is counted once, and none that came from elsewhere. */
static void each_value_is_counted_once(void **state) {
    (void)state;
    enum { PER_SLOT = 2 };
    TnEngine engine = {.copy_page = copy_stored, .clear_page = clear_stored, .saturated = count_stored};
    int32_t table[FEW_SLOTS * PER_SLOT] = {0}, free_pages[FEW_PAGES];
    uint32_t length[FEW_SLOTS] = {0}, refs[FEW_PAGES] = {0};
    uint8_t used[FEW_PAGES] = {0}, counted[FEW_PAGES] = {0};
    TnPages p = {.table = table,
                 .length = length,
                 .refs = refs,
                 .used = used,
                 .counted = counted,
                 .counts = true,
                 .free = free_pages,
                 .slots = FEW_SLOTS,
                 .per_slot = PER_SLOT,
                 .n = FEW_PAGES,
                 .engine = &engine};
    uint64_t seed = 3, total = 0;
    for (int turn = 0; turn < 20000; turn++) {
        uint32_t slot = draw(&seed, FEW_SLOTS), kind = draw(&seed, 40);
        if (kind == 0) {
            tn_pages_truncate(&p, slot, draw(&seed, length[slot] + 1));
        } else if (kind == 1) {
            tn_pages_fork(&p, slot, draw(&seed, FEW_SLOTS));
        } else if (kind == 2 && length[slot] == TERN_PAGE) {
            memset(stored[tn_pages_append_page(&p, slot, 5)], 1, TERN_PAGE);
        } else if (length[slot] < PER_SLOT * TERN_PAGE) {
            uint32_t at = tn_pages_append(&p, slot);
            uint8_t values = (uint8_t)draw(&seed, 3);
            stored[tn_pages_at(&p, slot, at)][at % TERN_PAGE] = values;
            total += values;
        }
        if (draw(&seed, 7) == 0) assert_int_equal(tn_pages_saturated(&p), total);
    }
    p.counts = false;
    assert_true(total > 10000 && tn_pages_saturated(&p) == p.saturated);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_take_what_is_free),
        cmocka_unit_test(pages_need_a_place),
        cmocka_unit_test(pages_decide_the_size),
        cmocka_unit_test(each_value_is_counted_once),
    };
    return cmocka_run_group_tests(tests, open_fake, close_fake);
}
