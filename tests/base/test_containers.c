/* The containers: arena, buffer, map, hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/buf.h"
#include "runtime/base/hash.h"
#include "runtime/base/map.h"
#include "support/hang.h"

static void arena_gives_zeroed_aligned_memory_apart(void **state) {
    (void)state;
    TnArena a = {0};
    unsigned char *piece[400];
    size_t size[400];
    for (size_t i = 0; i < 400; i++) { /* sizes around the block size too */
        size[i] = i * i * 7 % 40001 + (i % 50 == 49 ? 70000 : 0);
        piece[i] = tn_alloc(&a, size[i]);
        assert_int_equal((uintptr_t)piece[i] % 16, 0);
        for (size_t j = 0; j < size[i]; j++) assert_int_equal(piece[i][j], 0);
        memset(piece[i], (int)(i & 0xff) | 1, size[i]);
    }
    for (size_t i = 0; i < 400; i++)
        for (size_t j = 0; j < size[i]; j++) assert_int_equal(piece[i][j], (i & 0xff) | 1);
    assert_ptr_not_equal(tn_alloc(&a, 0), tn_alloc(&a, 0));
    assert_string_equal(tn_strndup(&a, "abcdef", 3), "abc");
    assert_string_equal(tn_strdup(&a, ""), "");
    assert_string_equal(tn_sprintf(&a, "%s=%d", "n", 42), "n=42");
    size_t total = a.total;
    assert_non_null(tn_alloc_array(&a, 3, 5));
    assert_int_equal(a.total - total, 15);
    tn_arena_free(&a);
    assert_null(a.head);
    assert_non_null(tn_alloc(&a, 1)); /* and again */
    tn_arena_free(&a);
}

static void push_grows(void **state) {
    (void)state;
    int *v = NULL;
    size_t n = 0, cap = 0;
    for (int i = 0; i < 1000; i++) TN_PUSH(v, n, cap, i);
    assert_int_equal(n, 1000);
    for (int i = 0; i < 1000; i++) assert_int_equal(v[i], i);
    free(v);
}

static void buf_appends(void **state) {
    (void)state;
    TnBuf b = {0};
    tn_buf_puts(&b, "a");
    tn_buf_align(&b, 8);
    assert_int_equal(b.len, 8);
    assert_memory_equal(b.data, "a\0\0\0\0\0\0\0", 8);
    tn_buf_align(&b, 8);
    assert_int_equal(b.len, 8);
    memset(tn_buf_grow(&b, 3), 'x', 3);
    assert_memory_equal(b.data + 8, "xxx", 4);
    tn_buf_free(&b);
    assert_null(b.data);
    for (int i = 0; i < 3000; i++) tn_buf_printf(&b, "%d,", i);
    assert_int_equal(strlen(b.data), b.len);
    assert_memory_equal(b.data + b.len - 5, "2999,", 6);
    char *wide = tn_xcalloc(10001, 1);
    memset(wide, 'w', 10000);
    size_t before = b.len;
    tn_buf_printf(&b, "[%s]", wide); /* longer than the room and than its double */
    assert_int_equal(b.len - before, 10002);
    assert_string_equal(b.data + b.len - 2, "w]");
    tn_buf_put(&b, "", 0);
    free(wide);
    tn_buf_free(&b);
}

static void map_holds_a_million_keys(void **state) {
    (void)state;
    enum { N = 1000000 };
    char(*keys)[12] = tn_xcalloc(N, sizeof *keys);
    TnMap m = {0};
    assert_int_equal(tn_map_get(&m, "x", 1), TN_MAP_NONE);
    double start = tn_cpu_seconds();
    for (uint32_t i = 0; i < N; i++) {
        snprintf(keys[i], sizeof keys[i], "%u", i);
        assert_int_equal(tn_map_set(&m, keys[i], strlen(keys[i]), i), TN_MAP_NONE);
    }
    for (uint32_t i = 0; i < N; i++) assert_int_equal(tn_map_get(&m, keys[i], strlen(keys[i])), i);
    double seconds = tn_cpu_seconds() - start;
    print_message("1e6 keys set and found in %.2f s\n", seconds);
    assert_true(seconds < TN_HANG_SECONDS); /* a quadratic map would need hours */
    assert_int_equal(m.n, N);
    assert_int_equal(tn_map_get(&m, "1000000", 7), TN_MAP_NONE);
    assert_int_equal(tn_map_set(&m, "77", 2, 5), 77);
    assert_int_equal(tn_map_get(&m, "77", 2), 5);
    assert_int_equal(m.n, N);
    tn_map_free(&m);
    free(keys);
}

static void map_keys_are_byte_strings(void **state) {
    (void)state;
    TnMap m = {0};
    tn_map_set(&m, "a\0b", 3, 1);
    tn_map_set(&m, "a\0c", 3, 2);
    tn_map_set(&m, "a", 1, 3);
    tn_map_set(&m, NULL, 0, 4);
    assert_int_equal(tn_map_get(&m, "a\0b", 3), 1);
    assert_int_equal(tn_map_get(&m, "a\0c", 3), 2);
    assert_int_equal(tn_map_get(&m, "ab", 1), 3);
    assert_int_equal(tn_map_get(&m, "", 0), 4);
    tn_map_free(&m);
}

/* A file that knows the hash function still cannot aim at one map's slots. */
static void maps_are_seeded_apart(void **state) {
    (void)state;
    TnMap a = {0}, b = {0};
    tn_map_set(&a, "k", 1, 0);
    tn_map_set(&b, "k", 1, 0);
    assert_true(a.seed != b.seed);
    assert_true(tn_hash64_seeded("k", 1, a.seed) != tn_hash64_seeded("k", 1, b.seed));
    tn_map_free(&a);
    tn_map_free(&b);
}

static void hash_is_xxh3(void **state) {
    (void)state;
    /* printf '' | xxhsum -H3, -H2: the values of the empty string are part of the algorithm */
    assert_true(tn_hash64("", 0) == 0x2d06800538d394c2u);
    static const uint8_t empty[16] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                      0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
    TnHash128 h = tn_hash128("", 0);
    assert_memory_equal(h.bytes, empty, 16);
    char data[5000];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 31);
    TnHash128 whole = tn_hash128(data, sizeof data);
    data[4001] ^= 1;
    TnHash128 flipped = tn_hash128(data, sizeof data);
    assert_memory_not_equal(whole.bytes, flipped.bytes, 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_zeroed_aligned_memory_apart),
        cmocka_unit_test(push_grows),
        cmocka_unit_test(buf_appends),
        cmocka_unit_test(map_holds_a_million_keys),
        cmocka_unit_test(map_keys_are_byte_strings),
        cmocka_unit_test(maps_are_seeded_apart),
        cmocka_unit_test(hash_is_xxh3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
