/* kernel_config.ini: tensors in tiles that are not those of their shape, and what is wrong with such a list. */
#include <unistd.h>
#include "gguf/refuse.h"
#include "support/gguf_trits.h"

static char ini_path[64];

static void put_ini(const char *text) {
    FILE *f = fopen(ini_path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

enum { ROWS = 256, COLS = 768 };
static int8_t weights[ROWS * COLS];
static const float scale = 0.3f;

/* A file with one such tensor; free() *out. */
static TnGguf *file_with(uint32_t type, int64_t tile_rows, int64_t tile_cols, int64_t block_rows,
                         char **out) {
    uint64_t ne[2] = {COLS, ROWS};
    size_t bytes = tn_gw_tensor_bytes(type, 2, ne), n;
    uint8_t *raw = calloc(bytes, 1);
    uint32_t seed = 7;
    for (size_t i = 0; i < ROWS * COLS; i++)
        seed = seed * 1664525 + 1013904223, weights[i] = (int8_t)((seed >> 16) % 3) - 1;
    TnGtMatrix m = {.rows = ROWS, .cols = COLS, .w = weights, .scale = &scale, .out = raw, .bytes = bytes};
    if (type == GW_T_TL1)
        tn_gt_tl1(&m, tile_rows, tile_cols, block_rows);
    else
        tn_gt_tl2(&m, tile_rows, tile_cols);
    memcpy(raw + bytes - 32, &scale, 4);
    TnGw *w = tn_gw_create();
    TnBuf b = {0};
    tn_gw_str(w, "general.architecture", "llama");
    tn_gw_tensor(w, "t", type, 2, ne, NULL, NULL);
    tn_gw_data(w, "t", raw, bytes);
    tn_gw_bytes(w, &b, NULL, NULL);
    tn_gw_destroy(w);
    free(raw);
    TnGguf *g;
    TernError err;
    n = b.len;
    *out = (char *)b.data;
    if (tn_gguf_open_memory(b.data, n, "m.gguf", false, &g, &err) != TERN_OK) fail_msg("%s", err.text);
    return g;
}

static void tiles_of_the_list(void **state) {
    (void)state;
    static const struct {
        uint32_t type;
        int64_t tile[3];
        const char *ini;
    } list[] = {
        {GW_T_TL1, {128, 64, 64}, "[Kernels_0]\nm = 256\nk = 768\nbm = 128\nbk = 64\nbmm = 64\n"},
        {GW_T_TL1,
         {64, 256, 16},
         "; two\n[a]\nm=1\nk=1\nbm=1\nbk=1\nbmm=16\n\n[b]\nm=256\r\nk=768\r\nbm=64\r\nbk=256\r\nbmm=16"},
        {GW_T_TL2,
         {128, 192, 32},
         "[Kernels_0]\nm = 256\nk = 768\nbm = 128\nbk = 192\nbmm = 32\nother = x\n"},
        {GW_T_TL2, {32, 96, 32}, "[Kernels_0]\nm = 256\nk = 768\nbm = 32\nbk = 96\n"},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        char *bytes;
        TernError err;
        int8_t row[COLS];
        TnGguf *g = file_with(list[i].type, list[i].tile[0], list[i].tile[1], list[i].tile[2], &bytes);
        put_ini(list[i].ini);
        if (tn_gguf_tl_config(g, ini_path, &err) != TERN_OK) fail_msg("%zu: %s", i, err.text);
        const TnGgufTensor *t = tn_gguf_tensor(g, "t");
        assert_int_equal(t->enc, TN_ENC_i2s);
        assert_int_equal(t->type, 36);
        TnType type = tn_type(TN_ENC_i2s, 2, (TnDim)ROWS, (TnDim)COLS);
        for (int r = 0; r < ROWS; r++) {
            tn_decode_trits(&type, t->data, r, row);
            assert_memory_equal(row, weights + r * COLS, COLS);
        }
        assert_memory_equal(t->data + ROWS * COLS / 4, &scale, 4);
        tn_gguf_close(g);
        free(bytes);
    }
}

static void lists_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *ini, *want;
    } list[] = {
        {"", ": no sections, expected those of a kernel_config.ini"},
        {"m = 3\n", ":1: 'm = 3', expected [a section] or, in one, name = number"},
        {"[a]\nmm\n", ":2: 'mm', expected [a section] or, in one, name = number"},
        {"[a]\nm = 0\n", ":2: m is '0', expected a whole number from 1 to 16777216"},
        {"[a]\nm = -3\n", ":2: m is '-3', expected a whole number from 1 to 16777216"},
        {"[a]\nbk = 99999999999999999999\n",
         ":2: bk is '99999999999999999999', expected a whole number from 1 to 16777216"},
        {"[a]\nbk =\n", ":2: bk is '', expected a whole number from 1 to 16777216"},
        {"\n[a]\nm=256\nk=768\nbm=128\n", ":2: the section has no bk"},
        {"[a]\nm=256\nk=767\nbm=128\nbk=64\nbmm=64\n",
         " has no section for 256 rows of 768 columns, which tensor t of m.gguf has"},
        {"[a]\nm=256\nk=768\nbm=96\nbk=64\nbmm=32\n",
         ":1: tiles of 96 x 64, blocks of 32 rows, do not divide tensor t"},
        {"[a]\nm=256\nk=768\nbm=128\nbk=100\nbmm=32\n",
         ":1: tiles of 128 x 100, blocks of 32 rows, do not divide tensor t"},
        {"[a]\nm=256\nk=768\nbm=128\nbk=64\nbmm=48\n",
         ":1: tiles of 128 x 64, blocks of 48 rows, do not divide tensor t"},
        {"[a]\nm=256\nk=768\nbm=256\nbk=64\nbmm=256\n",
         ":1: tiles of 256 x 64, blocks of 256 rows, do not divide tensor t"},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        char *bytes;
        TernError err;
        TnGguf *g = file_with(GW_T_TL1, 128, 64, 64, &bytes);
        put_ini(list[i].ini);
        assert_int_equal(tn_gguf_tl_config(g, ini_path, &err), TERN_ERR_INPUT);
        assert_memory_equal(err.text, ini_path, strlen(ini_path));
        assert_string_equal(err.text + strlen(ini_path), list[i].want);
        tn_gguf_close(g);
        free(bytes);
    }
}

/* The size of a TL2 tensor holds 256 columns in pairs; tiles that leave more would be read past its end. */
static void pairs_fit_the_tensor(void **state) {
    (void)state;
    static const char *const inis[] = {"[a]\nm=256\nk=768\nbm=128\nbk=480\n",
                                       "[a]\nm=256\nk=768\nbm=128\nbk=24000\n"};
    for (size_t i = 0; i < TN_COUNT(inis); i++) {
        char *bytes;
        TernError err;
        TnGguf *g = file_with(GW_T_TL2, 128, 192, 32, &bytes);
        put_ini(inis[i]);
        assert_int_equal(tn_gguf_tl_config(g, ini_path, &err), TERN_ERR_INPUT);
        assert_non_null(strstr(err.text, ", blocks of 32 rows, do not divide tensor t"));
        tn_gguf_close(g);
        free(bytes);
    }
}

int main(void) {
    snprintf(ini_path, sizeof ini_path, "/tmp/tern-tl-%d.ini", (int)getpid());
    const struct CMUnitTest tests[] = {cmocka_unit_test(tiles_of_the_list),
                                       cmocka_unit_test(lists_are_checked),
                                       cmocka_unit_test(pairs_fit_the_tensor)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(ini_path);
    return rc;
}
