/* WGHT, made chunk by chunk on threads, in memory or in order to a file, has the bytes of tn_weight_all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "codegen/internal.h"
#include "ir/weights.h"

/* Row lengths and counts are odd, so that rows and scale tables straddle chunks; 13 MB in all. */
static const char model[] = "tir 1\n"
                            "graph @t stage=model\n"
                            "  $a: f16[1501,1001] = random {seed=1}\n"
                            "  $b: t8[3001,1000] scale=0x1p-3 = random {seed=2}\n"
                            "  $c: t8[77,1000] scale=0x1p-4 = random {seed=3}\n"
                            "  $bc: t8[3078,1000] scale=[3001:0x1p-3,77:0x1p-4] = concat $b, $c\n"
                            "  $p: p64[3078,1000] scale=[3001:0x1p-3,77:0x1p-4] = pack $bc\n"
                            "  $n: f32[131] = random {seed=4}\n"
                            "  $w: f32[5,700001] = random {seed=5}\n"
                            "  $s: i2s[7,128] scale=0x1p+0 = gguf {name=\"x\", hash=0x1}\n"
                            "  $again: f16[1501,1001] = random {seed=1}\n"
                            "  $other: f16[1501,1001] = random {seed=6}\n"
                            "end\n";

static uint8_t raw[7 * 128 / 4 + 32];

static const void *find(void *ctx, const char *name, size_t *out_bytes) {
    (void)ctx;
    *out_bytes = sizeof raw;
    return strcmp(name, "x") ? NULL : raw;
}
static const TnWeights source = {.find = find};

static TnGraph *parse(void) {
    TnDiag diag = {0};
    TnGraph **gs;
    uint32_t n;
    if (tn_parse(model, strlen(model), "test", &gs, &n, &diag)) fail_msg("%s", diag.text.data);
    TnGraph *g = gs[0];
    free(gs);
    tn_diag_free(&diag);
    return g;
}

static TnWeightStore store_of(const TnGraph *g) {
    TnWeightStore s = {0};
    for (TnRef r = 0; r < g->n; r++) tn_store_add(&s, g, r);
    return s;
}

static TernStatus append(void *user, const void *bytes, size_t n, TernError *err) {
    (void)err;
    tn_buf_put(user, bytes, n);
    return TERN_OK;
}

static void holds_every_weight(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)(i * 7);
    TnGraph *g = parse();
    TnWeightStore s = store_of(g);
    TnProgress quiet = {0};
    uint64_t chunks = tn_store_chunks(&s);
    assert_true(chunks >= 4);
    TnHash128 *hashes = calloc(chunks, sizeof *hashes), *again = calloc(chunks, sizeof *again);
    uint8_t *memory = calloc(s.bytes, 1);
    TnStoreSink to_memory = {.memory = memory};
    assert_int_equal(tn_store_write(&s, &source, &to_memory, hashes, &quiet, NULL), TERN_OK);
    for (size_t i = 0; i < s.n; i++) {
        uint8_t *want = calloc(s.w[i].size, 1);
        assert_int_equal(s.w[i].offset % 64, 0);
        assert_int_equal(tn_weight_all(g, s.w[i].ref, &source, want, NULL), TERN_OK);
        assert_memory_equal(memory + s.w[i].offset, want, s.w[i].size);
        free(want);
    }
    TnBuf file = {0};
    TnStoreSink to_file = {.put = append, .user = &file};
    assert_int_equal(tn_store_write(&s, &source, &to_file, again, &quiet, NULL), TERN_OK);
    assert_int_equal(file.len, s.bytes);
    assert_memory_equal(file.data, memory, s.bytes);
    assert_memory_equal(hashes, again, chunks * sizeof *hashes);
    TnHash128 last =
        tn_hash128(memory + (chunks - 1) * TN_BLOB_CHUNK, s.bytes - (chunks - 1) * TN_BLOB_CHUNK);
    assert_memory_equal(&last, &hashes[chunks - 1], sizeof last);
    tn_buf_free(&file);
    free(memory);
    free(hashes);
    free(again);
    tn_store_free(&s);
    tn_graph_destroy(g);
}

static void equal_expressions_are_stored_once(void **state) {
    (void)state;
    TnGraph *g = parse(), *clone = tn_graph_clone(g);
    TnWeightStore s = store_of(g);
    assert_int_equal(s.n, g->n - 1); /* $again is $a; $other is not */
    uint64_t bytes = s.bytes;
    for (TnRef r = 0; r < clone->n; r++) tn_store_add(&s, clone, r);
    assert_int_equal(s.bytes, bytes);
    TnBuf dir = {0};
    tn_store_directory(&s, &dir);
    TnBlobWdir head;
    memcpy(&head, dir.data, sizeof head);
    assert_int_equal(head.n, s.n);
    TnBlobWeight row;
    memcpy(&row, dir.data + sizeof head + 4 * sizeof row, sizeof row); /* $p */
    const char *title = "concat(random(2),random(3))p64[3078,1000]";
    assert_int_equal(row.name.size + row.type.size, strlen(title));
    assert_memory_equal(dir.data + row.name.offset, title, strlen(title));
    tn_buf_free(&dir);
    tn_store_free(&s);
    tn_graph_destroy(clone);
    tn_graph_destroy(g);
}

static TernStatus full_disk(void *user, const void *bytes, size_t n, TernError *err) {
    (void)bytes, (void)n;
    if (++*(int *)user == 2) return tn_fail(err, TERN_ERR_ENV, "no space left");
    return TERN_OK;
}
static int stop_at_once(void *user, const char *phase, uint64_t done, uint64_t total) {
    (void)user, (void)phase, (void)done, (void)total;
    return 1;
}
static const void *find_nothing(void *ctx, const char *name, size_t *out_bytes) {
    (void)ctx, (void)name, (void)out_bytes;
    return NULL;
}

static void failures_stop_all_threads(void **state) {
    (void)state;
    TnGraph *g = parse();
    TnWeightStore s = store_of(g);
    TnHash128 *hashes = calloc(tn_store_chunks(&s), sizeof *hashes);
    TnProgress quiet = {0}, stop = {stop_at_once, NULL};
    TernError err;
    int calls = 0;
    TnStoreSink sink = {.put = full_disk, .user = &calls};
    assert_int_equal(tn_store_write(&s, &source, &sink, hashes, &quiet, &err), TERN_ERR_ENV);
    assert_string_equal(err.text, "no space left");
    calls = 10;
    assert_int_equal(tn_store_write(&s, &source, &sink, hashes, &stop, &err), TERN_ERR_CANCELLED);
    TnWeights none = {.find = find_nothing};
    assert_int_equal(tn_store_write(&s, &none, &sink, hashes, &quiet, &err), TERN_ERR_INPUT);
    assert_non_null(strstr(err.text, "tensor x"));
    free(hashes);
    tn_store_free(&s);
    tn_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_every_weight),
        cmocka_unit_test(equal_expressions_are_stored_once),
        cmocka_unit_test(failures_stop_all_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
