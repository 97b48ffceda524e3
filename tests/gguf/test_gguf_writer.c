/* The writer of GGUF: the bytes of the writer that the tests have, and what its own reader reads. */
#include "frontends/gguf/gguf_writer.h"
#include "gguf/refuse.h"

static TernStatus append(void *ctx, const void *bytes, size_t n, TernError *err) {
    (void)err;
    tn_buf_put(ctx, bytes, n);
    return TERN_OK;
}

static TnGgufWriter *with_keys(void) {
    TnGgufWriter *w = tn_gguf_writer_create();
    const TernText words[] = {{"a", 1}, {"", 0}, {"gr\xc3\xbcn", 5}};
    tn_gguf_put_str(w, "general.name", "a model", 7);
    tn_gguf_put_u32(w, "some.number", 7);
    tn_gguf_put_f32(w, "some.float", 0.5f);
    tn_gguf_put_bool(w, "some.flag", true);
    tn_gguf_put_strs(w, "some.words", words, 3);
    tn_gguf_put_array(w, "some.ids", TN_GGUF_I32, (int32_t[]){1, -2, 3}, 3);
    return w;
}
static TnGw *with_same_keys(void) {
    TnGw *w = tn_gw_create();
    tn_gw_str(w, "general.name", "a model");
    tn_gw_u32(w, "some.number", 7);
    tn_gw_f32(w, "some.float", 0.5f);
    tn_gw_bool(w, "some.flag", 1);
    tn_gw_strs(w, "some.words", (const char *const[]){"a", "", "gr\xc3\xbcn"}, 3);
    tn_gw_array(w, "some.ids", GW_I32, (int32_t[]){1, -2, 3}, 3, 4);
    return w;
}

static void fill(void *ctx, const char *name, uint8_t *out, size_t bytes) {
    (void)name;
    for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)(i * 7 + *(int *)ctx);
}

/* Two tensors, one of which does not end at the alignment, in pieces of `piece` bytes. */
static void writes_the_same_bytes(void **state) {
    (void)state;
    TnGw *theirs = with_same_keys();
    TnBuf want = {0};
    int seeds[] = {3, 200};
    tn_gw_tensor(theirs, "first.weight", GW_T_F32, 2, (uint64_t[]){3, 5}, fill, &seeds[0]);
    tn_gw_tensor(theirs, "second.weight", GW_T_F16, 1, (uint64_t[]){128}, fill, &seeds[1]);
    tn_gw_bytes(theirs, &want, NULL, NULL);
    tn_gw_destroy(theirs);
    for (size_t piece = 1; piece < 300; piece += 37) {
        TnGgufWriter *w = with_keys();
        TnBuf got = {0};
        TernError err;
        size_t sizes[] = {60, 256};
        tn_gguf_put_tensor(w, "first.weight", GW_T_F32, 2, (uint64_t[]){3, 5}, 60);
        tn_gguf_put_tensor(w, "second.weight", GW_T_F16, 1, (uint64_t[]){128}, 256);
        assert_int_equal(tn_gguf_put_size(w), want.len);
        assert_int_equal(tn_gguf_put_head(w, append, &got, &err), TERN_OK);
        for (int t = 0; t < 2; t++) {
            uint8_t bytes[256];
            fill(&seeds[t], NULL, bytes, sizes[t]);
            for (size_t at = 0; at < sizes[t]; at += piece) {
                size_t n = sizes[t] - at < piece ? sizes[t] - at : piece;
                assert_int_equal(tn_gguf_put_data(w, bytes + at, n, &err), TERN_OK);
            }
        }
        tn_gguf_put_end(w);
        tn_gguf_writer_destroy(w);
        assert_int_equal(got.len, want.len);
        assert_memory_equal(got.data, want.data, want.len);
        tn_buf_free(&got);
    }
    tn_buf_free(&want);
}

/* The keys of a file, copied into another. */
static void copies_keys(void **state) {
    (void)state;
    TnBuf file = {0}, copy = {0};
    TernError err;
    TnGguf *g;
    TnGw *gw = with_same_keys();
    tn_gw_u64(gw, "a.long.number", 1ull << 40);
    tn_gw_bytes(gw, &file, NULL, NULL);
    tn_gw_destroy(gw);
    assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &g, &err), TERN_OK);
    TnGgufWriter *w = tn_gguf_writer_create();
    for (size_t i = 0; i < g->n_keys; i++) tn_gguf_put_key(w, &g->keys[i]);
    assert_true(tn_gguf_put_has(w, "some.words"));
    assert_false(tn_gguf_put_has(w, "some.word"));
    assert_int_equal(tn_gguf_put_head(w, append, &copy, &err), TERN_OK);
    tn_gguf_put_end(w);
    assert_int_equal(tn_gguf_put_size(w), copy.len);
    tn_gguf_writer_destroy(w);
    assert_int_equal(copy.len, file.len);
    assert_memory_equal(copy.data, file.data, file.len);
    tn_gguf_close(g);
    tn_buf_free(&file);
    tn_buf_free(&copy);
    tn_gguf_writer_destroy(NULL);
}

typedef struct Full {
    size_t left;
} Full;
static TernStatus until_full(void *ctx, const void *bytes, size_t n, TernError *err) {
    Full *f = ctx;
    (void)bytes;
    if (n > f->left) return tn_fail(err, TERN_ERR_ENV, "full");
    f->left -= n;
    return TERN_OK;
}

/* A sink that fails, at every byte. */
static void passes_failures_on(void **state) {
    (void)state;
    for (size_t room = 0;; room++) {
        TnGgufWriter *w = with_keys();
        TernError err;
        Full f = {room};
        tn_gguf_put_tensor(w, "first.weight", GW_T_F32, 1, (uint64_t[]){5}, 20);
        TernStatus st = tn_gguf_put_head(w, until_full, &f, &err);
        if (st == TERN_OK) st = tn_gguf_put_data(w, "01234567890123456789", 20, &err);
        size_t all = tn_gguf_put_size(w);
        tn_gguf_writer_destroy(w);
        if (room < all) assert_int_equal(st, TERN_ERR_ENV);
        if (room < all) continue;
        assert_int_equal(st, TERN_OK);
        return;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_same_bytes),
        cmocka_unit_test(copies_keys),
        cmocka_unit_test(passes_failures_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
