/* Encodings of weights whose rows lie side by side, r64, b64 and b80, against readers of one element at a time. */
#include "tests/ir/tir_text.h"

/* r64 by its words: byte 4r + i, bits 2q of the line of columns c .. c+3 is row 16q + r, column c + i. */
static int r64_at(const uint8_t *block, uint32_t group, size_t row, size_t c) {
    size_t bytes = 16 * (size_t)group + 128;
    uint8_t b = block[c / group * bytes + c % group / 4 * 64 + 4 * (row % 16) + c % 4];
    return (b >> 2 * (row / 16) & 3) - 1;
}
static float r64_scale(const uint8_t *block, uint32_t group, size_t row, size_t g) {
    uint16_t h;
    memcpy(&h, block + (g + 1) * (16 * (size_t)group + 128) - 128 + 2 * row, 2);
    return tn_f16_to_f32(h);
}

/* A random matrix in groups, as t8 and as r64: the same trits and scales; rows that are not there are zeros. */
static void check_r64(int64_t rows, int64_t k, uint32_t group, bool two) {
    TnGraph *g = tn_graph_create("g");
    TnType t = tn_type(TN_ENC_t8, 2, (TnDim)rows, (TnDim)k);
    t.group = group;
    t.two = two;
    TnAttr seed = {.key = TN_ATTR_seed, .i = 77};
    TnRef w = tn_node_add(g, TN_OP_random, "w", &t, NULL, 0, &seed, 1);
    t.enc = TN_ENC_r64;
    TnRef p = tn_node_add(g, TN_OP_pack, "p", &t, &w, 1, NULL, 0);
    const TnType *plain = &g->nodes[w].type;
    size_t bytes = tn_type_bytes(&t, NULL), blocks = (size_t)(rows + 63) / 64;
    int64_t groups = k / group;
    assert_int_equal(bytes, blocks * (size_t)groups * (16 * group + 128));
    assert_int_equal(tn_type_bytes(plain, NULL),
                     (size_t)rows * tn_row_bytes(plain) + (size_t)(rows * groups) * 4);
    uint8_t *from = malloc(tn_type_bytes(plain, NULL)), *to = malloc(bytes), *part = malloc(bytes);
    int8_t *a = malloc((size_t)k), *b = malloc((size_t)k);
    float *s = malloc((size_t)groups * 4), *u = malloc((size_t)groups * 4);
    assert_int_equal(tn_weight_all(g, w, NULL, from, NULL), TERN_OK);
    assert_int_equal(tn_weight_all(g, p, NULL, to, NULL), TERN_OK);
    bool seen = false;
    for (int64_t r = 0; r < (int64_t)blocks * 64; r++) {
        const uint8_t *block = to + (size_t)(r / 64) * 64 * tn_row_bytes(&t);
        if (r < rows) {
            tn_decode_trits(plain, from, r, a);
            tn_decode_trits(&t, to, r, b);
            assert_memory_equal(a, b, (size_t)k);
            tn_decode_scales(plain, from, r, s);
            tn_decode_scales(&t, to, r, u);
            assert_memory_equal(s, u, (size_t)groups * 4);
        }
        for (int64_t c = 0; c < k; c++) {
            int want = r < rows ? a[c] : 0;
            assert_int_equal(r64_at(block, group, (size_t)r % 64, (size_t)c), want);
            seen |= want == 2;
        }
        for (int64_t i = 0; i < groups; i++)
            assert_true(r64_scale(block, group, (size_t)r % 64, (size_t)i) == (r < rows ? s[i] : 0.0f));
    }
    assert_int_equal(seen, two);
    for (size_t i = 0; i < blocks; i++) { /* block by block */
        int64_t hi = (int64_t)(i + 1) * 64 < rows ? (int64_t)(i + 1) * 64 : rows;
        assert_int_equal(tn_weight_rows(g, p, NULL, (int64_t)i * 64, hi, part, NULL), TERN_OK);
        assert_memory_equal(part, to + i * 64 * tn_row_bytes(&t), 64 * tn_row_bytes(&t));
    }
    free(from), free(to), free(part), free(a), free(b), free(s), free(u);
    tn_graph_destroy(g);
}

static void r64_blocks(void **state) {
    (void)state;
    check_r64(64, 64, 64, false);
    check_r64(1, 192, 64, true);
    check_r64(67, 384, 128, true);
    check_r64(130, 512, 256, false);
}

/* Compares the rows of weight w, whose bytes are `from`, with those of its packing t in blocks of `each` rows: the same trits, zeros
 * around them, and nothing is decoded past a row. `at`: an element of a block, by its bytes. */
static void check_rows(const TnGraph *g, TnRef w, const TnType *t, const uint8_t *from, const uint8_t *to,
                       int64_t each, int (*at)(const uint8_t *, uint32_t, size_t, size_t)) {
    int64_t rows = t->dim[0], all = (rows + each - 1) / each * each;
    size_t k = (size_t)t->dim[1], wide = tn_row_bytes(t) * (size_t)each / 16;
    int8_t *a = malloc(wide), *b = malloc(wide);
    for (int64_t r = 0; r < all; r++) {
        memset(a, 0, wide), memset(b, 99, wide);
        if (r < rows) {
            tn_decode_trits(&g->nodes[w].type, from, r, a);
            tn_decode_trits(t, to, r, b);
            assert_memory_equal(a, b, k);
            assert_true(k == wide || b[k] == 99);
        }
        const uint8_t *block = to + (size_t)(r / each) * wide * 16;
        for (size_t c = 0; c < wide; c++)
            assert_int_equal(at(block, (uint32_t)wide, (size_t)(r % each), c), a[c]);
    }
    free(a), free(b);
}

/* A random matrix as t8 and as b64: the same trits; what is not there is zero; the scales come after the blocks. */
static void check_b64(int64_t rows, int64_t k, bool two) {
    TnGraph *g = tn_graph_create("g");
    TnScale s[] = {{rows, 0.5f}};
    TnType t = tn_type(TN_ENC_t8, 2, (TnDim)rows, (TnDim)k);
    t.n_scales = 1, t.scales = s;
    t.two = two;
    TnAttr seed = {.key = TN_ATTR_seed, .i = 78};
    TnRef w = tn_node_add(g, TN_OP_random, "w", &t, NULL, 0, &seed, 1);
    t.enc = TN_ENC_b64;
    TnRef p = tn_node_add(g, TN_OP_pack, "p", &t, &w, 1, NULL, 0);
    size_t blocks = (size_t)(rows + 63) / 64, wide = (size_t)(k + 15) / 16 * 16, block = wide * 16;
    assert_int_equal(tn_rows_together(&t), 64);
    assert_int_equal(tn_tail_at(&t), blocks * block);
    assert_int_equal(tn_type_bytes(&t, NULL), blocks * block + 4);
    uint8_t *from = malloc(tn_type_bytes(&g->nodes[w].type, NULL)), *to = malloc(tn_type_bytes(&t, NULL));
    float scale;
    assert_int_equal(tn_weight_all(g, w, NULL, from, NULL), TERN_OK);
    assert_int_equal(tn_weight_all(g, p, NULL, to, NULL), TERN_OK);
    check_rows(g, w, &t, from, to, 64, r64_at);
    memcpy(&scale, to + blocks * block, 4);
    assert_true(scale == 0.5f);
    free(from), free(to);
    tn_graph_destroy(g);
}

static void b64_blocks(void **state) {
    (void)state;
    check_b64(64, 256, false);
    check_b64(1, 1, false);
    check_b64(67, 130, true);
    check_b64(200, 77, false);
}

/* b80 by its bytes: digit p of byte 4r + i of the line of columns c .. c+3, most significant first, is row 16p + r, column c + i. */
static int b80_at(const uint8_t *block, uint32_t wide, size_t row, size_t c) {
    (void)wide;
    static const int divisor[] = {81, 27, 9, 3, 1};
    int byte = block[c / 4 * 64 + 4 * (row % 16) + c % 4], v = byte * 243 / 256;
    assert_int_equal((256 * v + 242) / 243, byte);
    return v / divisor[row / 16] % 3 - 1;
}

/* A random matrix as t8 and as b80: the same trits; what is not there is zero; the scales come after the blocks. Made in two
 * pieces it has the same bytes. */
static void check_b80(int64_t rows, int64_t k, bool by_row) {
    TnGraph *g = tn_graph_create("g");
    TnScale s[] = {{rows, 0.5f}};
    TnType t = tn_type(TN_ENC_t8, 2, (TnDim)rows, (TnDim)k);
    if (by_row)
        t.group = TN_GROUP_ROW;
    else
        t.n_scales = 1, t.scales = s;
    TnAttr seed = {.key = TN_ATTR_seed, .i = 79};
    TnRef w = tn_node_add(g, TN_OP_random, "w", &t, NULL, 0, &seed, 1);
    t.enc = TN_ENC_b80;
    TnRef p = tn_node_add(g, TN_OP_pack, "p", &t, &w, 1, NULL, 0);
    size_t blocks = (size_t)(rows + 79) / 80, wide = (size_t)(k + 19) / 20 * 20, block = wide * 16;
    size_t tail = by_row ? 4 * (size_t)rows : 4, all = blocks * block + tail;
    assert_int_equal(tn_rows_together(&t), 80);
    assert_int_equal(tn_row_bytes(&t) * 80, block);
    assert_int_equal(tn_tail_at(&t), blocks * block);
    assert_int_equal(tn_type_bytes(&t, NULL), all);
    uint8_t *from = malloc(tn_type_bytes(&g->nodes[w].type, NULL)), *to = malloc(all), *again = malloc(all);
    assert_int_equal(tn_weight_all(g, w, NULL, from, NULL), TERN_OK);
    assert_int_equal(tn_weight_all(g, p, NULL, to, NULL), TERN_OK);
    int64_t half = rows > 80 ? 80 : rows;
    assert_int_equal(tn_weight_rows(g, p, NULL, 0, half, again, NULL), TERN_OK);
    if (half < rows) assert_int_equal(tn_weight_rows(g, p, NULL, half, rows, again + block, NULL), TERN_OK);
    assert_memory_equal(again, to, blocks * block);
    check_rows(g, w, &t, from, to, 80, b80_at);
    if (by_row)
        assert_memory_equal(to + blocks * block, from + tn_type_bytes(&g->nodes[w].type, NULL) - tail, tail);
    else
        assert_memory_equal(to + blocks * block, &s->scale, tail);
    free(from), free(to), free(again);
    tn_graph_destroy(g);
}

static void b80_blocks(void **state) {
    (void)state;
    check_b80(80, 260, false);
    check_b80(1, 1, false);
    check_b80(83, 131, true);
    check_b80(240, 77, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(r64_blocks), cmocka_unit_test(b64_blocks),
                                       cmocka_unit_test(b80_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
