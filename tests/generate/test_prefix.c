/* The radix tree over ids (runtime/generate/prefix.h) against a plain list of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/generate/prefix.h"

enum { SLOTS = 9, WIDTH = 24 };

typedef struct List {
    int32_t ids[SLOTS][WIDTH];
    size_t n[SLOTS];
} List;

static uint32_t draw(uint64_t *seed, uint32_t below) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*seed >> 33) % below);
}

static size_t common(const int32_t *a, size_t n, const int32_t *b, size_t m) {
    size_t i = 0;
    while (i < n && i < m && a[i] == b[i]) i++;
    return i;
}

static void check_find(const TnPrefix *t, const List *l, const int32_t *ids, size_t n) {
    size_t best = 0;
    uint32_t slot = TN_PREFIX_NONE;
    for (uint32_t i = 0; i < SLOTS; i++) {
        size_t same = common(l->ids[i], l->n[i], ids, n);
        if (same > best) best = same;
    }
    assert_int_equal(tn_prefix_find(t, ids, n, &slot), best);
    if (best) assert_int_equal(common(l->ids[slot], l->n[slot], ids, n), best);
}

static bool begins(const List *l, uint32_t a, uint32_t b) {
    return l->n[b] && l->n[b] <= l->n[a] && common(l->ids[a], l->n[a], l->ids[b], l->n[b]) == l->n[b];
}

/* Each beginning of a slot's entry comes once, the longer ones first. */
static void check_relatives(const TnPrefix *t, const List *l, uint32_t slot) {
    size_t n = 0, expected = 0, last = WIDTH;
    bool seen[SLOTS] = {false}, longer = false;
    for (uint32_t i = 0; i < SLOTS; i++) {
        expected += i != slot && begins(l, slot, i);
        longer |= i != slot && begins(l, i, slot);
    }
    for (uint32_t i = slot; (i = tn_prefix_shorter(t, slot, i)) != TN_PREFIX_NONE; n++) {
        assert_true(i != slot && begins(l, slot, i) && !seen[i] && l->n[i] <= last);
        seen[i] = true;
        last = l->n[i];
    }
    assert_int_equal(n, expected);
    uint32_t other = tn_prefix_longer(t, slot);
    assert_int_equal(other != TN_PREFIX_NONE, longer);
    if (longer) assert_true(other != slot && begins(l, other, slot));
}

static void set(TnPrefix *t, List *l, uint32_t slot, size_t n) {
    tn_prefix_set(t, slot, n);
    l->n[slot] = n;
}

static void the_tree_is_the_list(void **state) {
    (void)state;
    uint64_t seed = 3;
    for (uint32_t round = 0; round < 60; round++) {
        static List l;
        memset(&l, 0, sizeof l);
        uint32_t letters = 1 + round % 3;
        TnPrefix *t = tn_prefix_create(SLOTS, WIDTH, l.ids[0]);
        assert_non_null(t);
        for (uint32_t turn = 0; turn < 400; turn++) {
            uint32_t a = draw(&seed, SLOTS), b = draw(&seed, SLOTS);
            int32_t ids[WIDTH];
            switch (draw(&seed, 5)) {
            case 0: /* a new row, perhaps with the beginning of another */
                set(t, &l, a, 0);
                memcpy(ids, l.ids[b], sizeof ids);
                for (size_t i = draw(&seed, WIDTH + 1); i < WIDTH; i++)
                    ids[i] = (int32_t)draw(&seed, letters);
                memcpy(l.ids[a], ids, sizeof ids);
                set(t, &l, a, draw(&seed, WIDTH + 1));
                break;
            case 1: /* shorter, and other ids after it */
                set(t, &l, a, draw(&seed, (uint32_t)l.n[a] + 1));
                for (size_t i = l.n[a]; i < WIDTH; i++) l.ids[a][i] = (int32_t)draw(&seed, letters);
                break;
            default: /* longer, as a running sequence */
                set(t, &l, a, l.n[a] + draw(&seed, (uint32_t)(WIDTH - l.n[a] < 4 ? WIDTH - l.n[a] : 4) + 1));
            }
            for (size_t i = 0; i < WIDTH; i++) ids[i] = (int32_t)draw(&seed, letters + 1);
            check_find(t, &l, ids, WIDTH);
            memcpy(ids, l.ids[b], draw(&seed, WIDTH + 1) * sizeof *ids);
            check_find(t, &l, ids, draw(&seed, WIDTH + 1));
            for (uint32_t i = 0; i < SLOTS; i++) {
                assert_int_equal(tn_prefix_length(t, i), l.n[i]);
                if (l.n[i]) check_relatives(t, &l, i);
            }
        }
        tn_prefix_destroy(t);
    }
    tn_prefix_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_is_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
