/* The container: files that are read, and every way a file can be wrong, each with its message. */
#include "gguf/refuse.h"
#include <sys/stat.h>
#include <unistd.h>

/* Two keys and two tensors; data at 256 bytes of zeros each. */
static TnGw *good(void) {
    TnGw *w = tn_gw_create();
    tn_gw_str(w, "general.name", "a model");
    tn_gw_u32(w, "some.number", 7);
    tn_gw_tensor(w, "first.weight", GW_T_F32, 2, (uint64_t[]){8, 8}, NULL, NULL);
    tn_gw_tensor(w, "second.weight", GW_T_F16, 1, (uint64_t[]){128}, NULL, NULL);
    return w;
}
static TnGw *with_tensor(uint32_t type, uint32_t rank, const uint64_t *ne) {
    TnGw *w = good();
    tn_gw_claim(w, "first.weight", type, rank, ne);
    return w;
}
/* One array key, whose bytes are as given. */
static TnGw *with_array(uint32_t elem, uint64_t n, const void *values, size_t bytes) {
    uint8_t raw[64];
    memcpy(raw, &elem, 4);
    memcpy(raw + 4, &n, 8);
    memcpy(raw + 12, values, bytes);
    TnGw *w = tn_gw_create();
    tn_gw_raw(w, "an.array", GW_ARRAY, raw, 12 + bytes);
    return w;
}

static void reads_keys_and_tensors(void **state) {
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        TnGw *w = good();
        TnBuf file = {0};
        TnGguf *g;
        TernError err;
        tn_gw_version(w, version);
        tn_gw_bytes(w, &file, NULL, NULL);
        tn_gw_destroy(w);
        assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &g, &err), TERN_OK);
        assert_int_equal(g->n_keys, 2);
        assert_int_equal(g->n_tensors, 2);
        const TnGgufKey *k = tn_gguf_key(g, "general.name");
        assert_int_equal(k->type, TN_GGUF_STRING);
        assert_int_equal(k->n, 7);
        assert_memory_equal(k->data, "a model", 7);
        assert_null(tn_gguf_key(g, "general"));
        const TnGgufTensor *t = tn_gguf_tensor(g, "second.weight");
        assert_int_equal(t->enc, TN_ENC_f16);
        assert_int_equal(t->rank, 1);
        assert_int_equal(t->ne[0], 128);
        assert_int_equal(t->ne[1], 1);
        assert_int_equal(t->bytes, 256);
        assert_ptr_equal(t->data, file.data + file.len - 256);
        assert_int_equal(t->offset, file.len - 256);
        assert_null(tn_gguf_tensor(g, "third.weight"));
        TnWeights find = tn_gguf_weights(g);
        size_t n = 0;
        assert_ptr_equal(find.find(find.ctx, "second.weight", &n), t->data);
        assert_int_equal(n, 256);
        assert_null(find.find(find.ctx, "third.weight", &n));
        tn_gguf_close(g);
        tn_buf_free(&file);
    }
    tn_gguf_close(NULL);
    TnWeights none = tn_gguf_weights(NULL);
    assert_true(!none.find && !none.rest);
}

static void an_empty_container_is_fine(void **state) {
    (void)state;
    expect_open(tn_gw_create(), "");
}

static void files_by_path(void **state) {
    (void)state;
    TnGw *w = good();
    TnGguf *g;
    TernError err;
    char dir[] = "/tmp/tern-gguf-XXXXXX", path[64], want[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    assert_true(tn_gw_file(w, path));
    assert_int_equal(tn_gguf_open(path, false, &g, &err), TERN_OK);
    assert_int_equal(g->n_tensors, 2);
    tn_gguf_close(g);
    tn_gw_version(w, 4);
    assert_true(tn_gw_file(w, path));
    assert_int_equal(tn_gguf_open(path, false, &g, &err), TERN_ERR_UNSUPPORTED);
    snprintf(want, sizeof want, "%s: GGUF version 4, expected 2 or 3", path);
    assert_string_equal(err.text, want);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(tn_gguf_open(path, false, &g, &err), TERN_ERR_INPUT);
    unlink(path);
    assert_int_equal(tn_gguf_open(path, false, &g, &err), TERN_ERR_ENV);
    assert_int_equal(tn_gguf_open(dir, false, &g, &err), TERN_ERR_INPUT);
    rmdir(dir);
    tn_gw_destroy(w);
}

static void magic_and_version(void **state) {
    (void)state;
    static const char magic[] =
        "m.gguf: the file is shorter than the head of any model; expected a GGUF model";
    assert_string_equal(open_says("", 0, false, NULL), "m.gguf: the file is empty; expected a GGUF model");
    assert_string_equal(open_says("GGUP\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, false, NULL),
                        "m.gguf: not a GGUF file: it does not begin with GGUF");
    assert_string_equal(open_says("GGU", 3, false, NULL), magic);
    assert_string_equal(open_says("GGML\3\0\0\0", 8, false, NULL), magic);
    assert_string_equal(open_says("GGUF\3\0", 6, false, NULL),
                        "m.gguf: the file ends at byte 6 inside the version");
    assert_string_equal(open_says("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0", 18, false, NULL),
                        "m.gguf: the file ends at byte 18 inside the counts");
    static const struct {
        uint32_t version;
        const char *want;
    } versions[] = {
        {0, "m.gguf: GGUF version 0, expected 2 or 3"},
        {1, "m.gguf: GGUF version 1, expected 2 or 3"},
        {4, "m.gguf: GGUF version 4, expected 2 or 3"},
        {0x03000000, "m.gguf: GGUF version 0x03000000: a big-endian file, expected little-endian"}};
    for (size_t i = 0; i < TN_COUNT(versions); i++) {
        TnGw *w = good();
        tn_gw_version(w, versions[i].version);
        expect_open(w, versions[i].want);
    }
}

static void counts(void **state) {
    (void)state;
    struct {
        char magic[4];
        uint32_t version;
        uint64_t tensors, keys;
        uint8_t rest[40];
    } f = {{'G', 'G', 'U', 'F'}, 3, 0, 3, {0}};
    assert_string_equal(open_says(&f, 64, false, NULL), "m.gguf: 3 keys do not fit in a file of 64 bytes");
    f.keys = UINT64_MAX;
    assert_string_equal(open_says(&f, 64, false, NULL),
                        "m.gguf: 18446744073709551615 keys do not fit in a file of 64 bytes");
    f.keys = 0;
    f.tensors = 2;
    assert_string_equal(open_says(&f, 64, false, NULL), "m.gguf: 2 tensors do not fit in a file of 64 bytes");
    f.tensors = 1ull << 63;
    assert_string_equal(open_says(&f, 64, false, NULL),
                        "m.gguf: 9223372036854775808 tensors do not fit in a file of 64 bytes");
    size_t n = 24 + 33 * 131073ul;
    uint8_t *large = tn_xcalloc(n, 1);
    f.tensors = 131073;
    memcpy(large, &f, 24);
    assert_string_equal(open_says(large, n, false, NULL),
                        "m.gguf: 0 keys and 131073 tensors, expected at most 131072 of each");
    f.keys = 131073;
    f.tensors = 0;
    memcpy(large, &f, 24);
    assert_string_equal(open_says(large, n, false, NULL),
                        "m.gguf: 131073 keys and 0 tensors, expected at most 131072 of each");
    free(large);
}

static void names(void **state) {
    (void)state;
    char *name = tn_xcalloc(65537, 1);
    memset(name, 'a', 65536);
    TnGw *w = good();
    tn_gw_rename(w, "some.number", name);
    expect_open(w, "m.gguf: a key's name is 65536 bytes long, expected at most 65535");
    name[65535] = 0;
    w = good();
    tn_gw_rename(w, "some.number", name);
    expect_open(w, "");
    name[256] = 0;
    w = good();
    tn_gw_rename(w, "first.weight", name);
    expect_open(w, "m.gguf: a tensor's name is 256 bytes long, expected at most 255");
    name[255] = 0;
    w = good();
    tn_gw_rename(w, "first.weight", name);
    expect_open(w, "");
    free(name);
    static const struct {
        const char *from, *to, *want;
    } list[] = {
        {"some.number", "", "m.gguf: a key's name is empty"},
        {"first.weight", "", "m.gguf: a tensor's name is empty"},
        {"some.number", "a\nb", "m.gguf: a key's name has the byte 0x0a at 1, expected printable text"},
        {"some.number", "\x1b[2J", "m.gguf: a key's name has the byte 0x1b at 0, expected printable text"},
        {"first.weight", "ab\x7f", "m.gguf: a tensor's name has the byte 0x7f at 2, expected printable text"},
        {"first.weight", "a\"b", "m.gguf: a tensor's name has the byte 0x22 at 1, expected printable text"},
        {"first.weight", "a\\b", "m.gguf: a tensor's name has the byte 0x5c at 1, expected printable text"},
        {"some.number",
         "gr\xc3\xb6\xc3\x9f"
         "e",
         ""},
    };
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        w = good();
        tn_gw_rename(w, list[i].from, list[i].to);
        expect_open(w, list[i].want);
    }
    /* a NUL inside: the name would end early */
    TnBuf file = {0};
    w = good();
    tn_gw_rename(w, "some.number", "some#number");
    tn_gw_bytes(w, &file, NULL, NULL);
    tn_gw_destroy(w);
    *(char *)memchr(file.data, '#', file.len) = 0;
    assert_string_equal(open_says(file.data, file.len, false, NULL),
                        "m.gguf: a key's name has the byte 0x00 at 4, expected printable text");
    tn_buf_free(&file);
}

static void names_are_given_once(void **state) {
    (void)state;
    TnGw *w = good();
    tn_gw_twice(w, "some.number");
    expect_open(w, "m.gguf: the key some.number is given twice");
    w = good();
    tn_gw_twice(w, "second.weight");
    expect_open(w, "m.gguf: tensor second.weight is given twice");
}

static void values_of_keys(void **state) {
    (void)state;
    TnGw *w = good();
    tn_gw_bool(w, "a.flag", 1);
    tn_gw_bool(w, "b.flag", 0);
    expect_open(w, "");
    w = good();
    tn_gw_bool(w, "a.flag", 2);
    expect_open(w, "m.gguf: a.flag is a bool of value 2, expected 0 or 1");
    w = good();
    tn_gw_raw(w, "some.number", 13, "", 1);
    expect_open(w, "m.gguf: some.number has value type 13, expected 0 to 12");
    w = tn_gw_create();
    tn_gw_raw(w, "a.string", GW_STR, "\x09\0\0\0\0\0\0\0abcdefgh", 16);
    expect_open(w, "m.gguf: a.string is 9 bytes long, but 8 bytes are left in the file");
}

static void arrays(void **state) {
    (void)state;
    static const uint8_t zeros[48];
    expect_open(with_array(GW_U16, 5, zeros, 10), "");
    expect_open(with_array(GW_U16, 0, zeros, 0), "");
    expect_open(with_array(GW_STR, 3, zeros, 24), "");
    expect_open(with_array(GW_U16, 6, zeros, 10),
                "m.gguf: an.array has 6 elements, more than the 10 bytes left in the file hold");
    expect_open(
        with_array(GW_F64, UINT64_MAX, zeros, 10),
        "m.gguf: an.array has 18446744073709551615 elements, more than the 10 bytes left in the file hold");
    expect_open(with_array(GW_U8, 11, zeros, 10),
                "m.gguf: an.array has 11 elements, more than the 10 bytes left in the file hold");
    expect_open(with_array(GW_STR, 4, zeros, 24),
                "m.gguf: an.array has 4 elements, more than the 24 bytes left in the file hold");
    expect_open(with_array(GW_ARRAY, 1, zeros, 24),
                "m.gguf: an.array is an array of type 9, expected 0 to 12 without 9");
    expect_open(with_array(13, 1, zeros, 24),
                "m.gguf: an.array is an array of type 13, expected 0 to 12 without 9");
    expect_open(with_array(GW_STR, 2, "\1\0\0\0\0\0\0\0a\xff\0\0\0\0\0\0\0", 17),
                "m.gguf: an.array is 255 bytes long, but 0 bytes are left in the file");
    /* the first string takes what the second one's length needs */
    expect_open(with_array(GW_STR, 2, "\4\0\0\0\0\0\0\0abcdefgh", 16),
                "m.gguf: the file ends at byte 72 inside an.array");
}

/* A file that ends early, at every byte, and the message for each kind of place. */
static void truncations(void **state) {
    (void)state;
    TnGw *w = good();
    tn_gw_array(w, "zz.array", GW_U32, (uint32_t[]){1, 2, 3}, 3, 4);
    TnBuf file = {0};
    TnGwMark *marks;
    size_t n_marks, ends = 0;
    tn_gw_bytes(w, &file, &marks, &n_marks);
    for (size_t n = 0; n < file.len; n++) {
        char want[64];
        const char *says = open_says(file.data, n, false, NULL);
        if (!*says) fail_msg("cut at byte %zu of %zu: read", n, file.len);
        snprintf(want, sizeof want, "m.gguf: the file ends at byte %zu inside ", n);
        ends += strncmp(says, want, strlen(want)) == 0;
    }
    assert_true(ends > 80);
    /* without tensors after the array: otherwise their count would be the first thing that does not fit */
    memset(file.data + 8, 0, 8);
    for (size_t m = 0; m < n_marks; m++) {
        char want[128];
        if (!strstr(marks[m].what, "zz.array") || strstr(marks[m].what, "name")) continue;
        snprintf(want, sizeof want, "m.gguf: the file ends at byte %zu inside zz.array", marks[m].at + 3);
        assert_string_equal(open_says(file.data, marks[m].at + 3, false, NULL), want);
    }
    free(marks);
    tn_buf_free(&file);
    tn_gw_destroy(w);

    /* one tensor with a long name: every part of its entry */
    w = tn_gw_create();
    tn_gw_tensor(w, "a.long.enough.name.for.the.count.to.fit", GW_T_F32, 1, (uint64_t[]){8}, NULL, NULL);
    tn_gw_bytes(w, &file, &marks, &n_marks);
    for (size_t m = 0; m < n_marks; m++) {
        if (marks[m].at < 33) continue; /* counts, and the length of the name */
        char want[128];
        snprintf(want, sizeof want,
                 "m.gguf: the file ends at byte %zu inside a.long.enough.name.for.the.count.to.fit",
                 marks[m].at + 3);
        assert_string_equal(open_says(file.data, marks[m].at + 3, false, NULL), want);
    }
    /* after the entry, before the data */
    assert_string_equal(open_says(file.data, file.len - 33, false, NULL),
                        "m.gguf: the file ends at byte 95 inside the tensor table");
    free(marks);
    tn_buf_free(&file);
    tn_gw_destroy(w);

    /* a scalar cut in its value; the name's length cut */
    w = tn_gw_create();
    tn_gw_u64(w, "a.number", 5);
    tn_gw_bytes(w, &file, NULL, NULL);
    assert_string_equal(open_says(file.data, file.len - 1, false, NULL),
                        "m.gguf: the file ends at byte 51 inside a.number");
    tn_gw_destroy(w);
    w = tn_gw_create();
    tn_gw_str(w, "a.string", "abc");
    tn_gw_bytes(w, &file, NULL, NULL);
    assert_string_equal(open_says(file.data, file.len - 6, false, NULL),
                        "m.gguf: the file ends at byte 49 inside a.string");
    assert_string_equal(open_says(file.data, 42, false, NULL),
                        "m.gguf: the file ends at byte 42 inside a.string");
    tn_buf_free(&file);
    tn_gw_destroy(w);
    uint8_t two[24 + 14 + 14] =
        "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\x0e\0\0\0\0\0\0\0abcdefghijklmn";
    memset(two + 46, 0, 4); /* type u8 */
    assert_string_equal(open_says(two, 52, false, NULL),
                        "m.gguf: the file ends at byte 52 inside a key's name");
}

static void shapes(void **state) {
    (void)state;
    expect_open(with_tensor(GW_T_F32, 0, NULL),
                "m.gguf: tensor first.weight has 0 dimensions, expected 1 to 4");
    expect_open(with_tensor(GW_T_F32, 5, (uint64_t[]){1, 1, 1, 1}),
                "m.gguf: tensor first.weight has 5 dimensions, expected 1 to 4");
    expect_open(with_tensor(GW_T_F32, 2, (uint64_t[]){8, 0}),
                "m.gguf: tensor first.weight has dimension 1 of 0, expected at least 1");
    expect_open(with_tensor(GW_T_F32, 4, (uint64_t[]){2, 2, 4, 4}), "");
    expect_open(with_tensor(GW_T_F32, 2, (uint64_t[]){1ull << 21, (1ull << 21) + 1}),
                "m.gguf: tensor first.weight has more than 2^42 elements");
    expect_open(with_tensor(GW_T_F32, 4, (uint64_t[]){1ull << 32, 1ull << 32, 1ull << 32, 1}),
                "m.gguf: tensor first.weight has more than 2^42 elements");
    expect_open(with_tensor(GW_T_F32, 2, (uint64_t[]){UINT64_MAX, UINT64_MAX}),
                "m.gguf: tensor first.weight has more than 2^42 elements");
    expect_open(with_tensor(GW_T_F32, 3, (uint64_t[]){1ull << 32, 1ull << 31, 2}), /* 2^64: 0 when wrapped */
                "m.gguf: tensor first.weight has more than 2^42 elements");
}

static void types(void **state) {
    (void)state;
    static const struct {
        uint32_t type;
        const char *name;
    } refused[] = {{9, "Q8_1"}, {10, "Q2_K"}, {15, "Q8_K"},     {20, "IQ4_NL"}, {24, "I8"},
                   {26, "I32"}, {28, "F64"},  {31, "Q4_0_4_4"}, {29, "IQ1_M"}};
    static const uint32_t unknown[] = {4, 5, 48, 99, 0x7fffffff, 0xffffffff};
    uint64_t ne[2] = {256, 1};
    char want[512];
    for (size_t i = 0; i < TN_COUNT(refused); i++) {
        snprintf(want, sizeof want,
                 "m.gguf: tensor first.weight has type %u (%s), expected one of " TYPES_READ, refused[i].type,
                 refused[i].name);
        expect_open(with_tensor(refused[i].type, 2, ne), want);
    }
    for (size_t i = 0; i < TN_COUNT(unknown); i++) {
        snprintf(want, sizeof want, "m.gguf: tensor first.weight has the unknown type %u", unknown[i]);
        expect_open(with_tensor(unknown[i], 2, ne), want);
    }
    static const struct {
        uint32_t type;
        size_t bytes;
    } read[] = {{GW_T_F32, 1024}, {GW_T_F16, 512},  {GW_T_BF16, 512}, {GW_T_Q4_0, 144}, {GW_T_Q4_1, 160},
                {GW_T_Q5_0, 176}, {GW_T_Q5_1, 192}, {GW_T_Q8_0, 272}, {GW_T_Q4_K, 144}, {GW_T_Q5_K, 176},
                {GW_T_Q6_K, 210}, {GW_T_I2_S, 96},  {GW_T_TQ1_0, 54}, {GW_T_TQ2_0, 66}};
    for (size_t i = 0; i < TN_COUNT(read); i++) { /* exactly their bytes, not one less */
        TnGw *w = tn_gw_create();
        TnBuf file = {0};
        tn_gw_tensor(w, "t", read[i].type, 2, ne, NULL, NULL);
        tn_gw_alignment(w, 1);
        tn_gw_u32(w, "general.alignment", 1);
        tn_gw_bytes(w, &file, NULL, NULL);
        assert_string_equal(open_says(file.data, file.len, false, NULL), "");
        snprintf(want, sizeof want,
                 "m.gguf: the file has %zu bytes, its tensors need %zu: the download was cut short",
                 file.len - 1, file.len);
        assert_string_equal(open_says(file.data, file.len - 1, false, NULL), want);
        tn_buf_free(&file);
        tn_gw_destroy(w);
    }
}

static void blocks_divide_rows(void **state) {
    (void)state;
    expect_open(with_tensor(GW_T_I2_S, 2, (uint64_t[]){50, 3}),
                "m.gguf: tensor first.weight has 3 rows of 50 elements, expected a multiple of 128 elements "
                "for I2_S");
    expect_open(with_tensor(GW_T_I2_S, 2, (uint64_t[]){64, 4}),
                ""); /* over the flat tensor: rows may be odd */
    expect_open(with_tensor(GW_T_TQ2_0, 2, (uint64_t[]){128, 2}),
                "m.gguf: tensor first.weight has rows of 128 elements, expected a multiple of 256 for TQ2_0");
    expect_open(with_tensor(GW_T_TQ1_0, 2, (uint64_t[]){640, 2}),
                "m.gguf: tensor first.weight has rows of 640 elements, expected a multiple of 256 for TQ1_0");
    expect_open(with_tensor(GW_T_Q6_K, 2, (uint64_t[]){100, 1}),
                "m.gguf: tensor first.weight has rows of 100 elements, expected a multiple of 256 for Q6_K");
    expect_open(with_tensor(GW_T_Q8_0, 2, (uint64_t[]){16, 2}),
                "m.gguf: tensor first.weight has rows of 16 elements, expected a multiple of 32 for Q8_0");
}

static void places(void **state) {
    (void)state;
    TnGw *w = good();
    tn_gw_offset(w, "second.weight", 257);
    expect_open(w, "m.gguf: tensor second.weight starts at offset 257, expected a multiple of 32");
    w = good();
    tn_gw_offset(w, "second.weight", 288);
    expect_open(w, "m.gguf: the file has 704 bytes, its tensors need 736: the download was cut short");
    w = good();
    tn_gw_offset(w, "second.weight", UINT64_MAX - 31);
    expect_open(
        w,
        "m.gguf: tensor second.weight needs 256 bytes at offset 18446744073709551584, but the file has 512 "
        "bytes of tensor data");
    w = good();
    tn_gw_offset(w, "second.weight", 224);
    expect_open(w, "m.gguf: tensors first.weight and second.weight overlap at byte 416");
    w = good();
    tn_gw_offset(w, "second.weight", 0);
    TnBuf file = {0};
    tn_gw_bytes(w, &file, NULL, NULL);
    assert_non_null(strstr(open_says(file.data, file.len, false, NULL), " overlap at byte 192"));
    tn_buf_free(&file);
    tn_gw_destroy(w);
    w = good(); /* in another order than the table */
    tn_gw_offset(w, "first.weight", 256);
    tn_gw_offset(w, "second.weight", 0);
    expect_open(w, "");
    w = good(); /* a gap */
    tn_gw_tensor(w, "third.weight", GW_T_F32, 1, (uint64_t[]){1}, NULL, NULL);
    tn_gw_drop(w, "first.weight");
    tn_gw_offset(w, "third.weight", 256);
    expect_open(w, "");
}

static void alignment(void **state) {
    (void)state;
    for (uint32_t align = 1; align <= 65536; align *= 4) {
        TnGw *w = good();
        tn_gw_alignment(w, align);
        tn_gw_u32(w, "general.alignment", align);
        expect_open(w, "");
    }
    static const struct {
        uint32_t align;
        const char *want;
    } bad[] = {{0, "m.gguf: general.alignment is 0, expected 1 to 65536"},
               {3, "m.gguf: general.alignment is 3, expected a power of two up to 65536"},
               {131072, "m.gguf: general.alignment is 131072, expected 1 to 65536"},
               {0x80000000, "m.gguf: general.alignment is 2147483648, expected 1 to 65536"}};
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        TnGw *w = good();
        tn_gw_u32(w, "general.alignment", bad[i].align);
        expect_open(w, bad[i].want);
    }
    TnGw *w = good();
    tn_gw_u64(w, "general.alignment", 32);
    expect_open(w, "m.gguf: general.alignment is of type u64, expected u32");
    w = good();
    tn_gw_array(w, "general.alignment", GW_U32, (uint32_t[]){32}, 1, 4);
    expect_open(w, "m.gguf: general.alignment is of type array, expected u32");
    w = good(); /* the file says 64, its tensors lie at multiples of 32 */
    tn_gw_tensor(w, "first.weight", GW_T_F32, 1, (uint64_t[]){3}, NULL, NULL);
    tn_gw_u32(w, "general.alignment", 64);
    expect_open(w, "m.gguf: tensor second.weight starts at offset 32, expected a multiple of 64");
}

/* A vocabulary does not need readable tensors, or any tensors. */
static void vocabulary_alone(void **state) {
    (void)state;
    TnGw *w = with_tensor(39, 2, (uint64_t[]){50, 3});
    TnBuf file = {0};
    tn_gw_bytes(w, &file, NULL, NULL);
    assert_string_equal(open_says(file.data, file.len, true, NULL), "");
    assert_string_equal(open_says(file.data, file.len - 512, true, NULL), "");
    tn_buf_free(&file);
    tn_gw_destroy(w);
}

static void the_table_has_an_identity(void **state) {
    (void)state;
    uint64_t hash[3];
    for (int i = 0; i < 3; i++) {
        TnGw *w = good();
        TnBuf file = {0};
        TnGguf *g;
        TernError err;
        uint8_t data[256] = {(uint8_t)(i == 1)};
        tn_gw_data(w, "first.weight", data, sizeof data);
        if (i == 2) tn_gw_u32(w, "some.number", 8);
        tn_gw_bytes(w, &file, NULL, NULL);
        assert_int_equal(tn_gguf_open_memory(file.data, file.len, "m.gguf", false, &g, &err), TERN_OK);
        hash[i] = g->table_hash;
        tn_gguf_close(g);
        tn_buf_free(&file);
        tn_gw_destroy(w);
    }
    assert_true(hash[0] == hash[1]);
    assert_true(hash[0] != hash[2]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keys_and_tensors),
        cmocka_unit_test(an_empty_container_is_fine),
        cmocka_unit_test(files_by_path),
        cmocka_unit_test(magic_and_version),
        cmocka_unit_test(counts),
        cmocka_unit_test(names),
        cmocka_unit_test(names_are_given_once),
        cmocka_unit_test(values_of_keys),
        cmocka_unit_test(arrays),
        cmocka_unit_test(truncations),
        cmocka_unit_test(shapes),
        cmocka_unit_test(types),
        cmocka_unit_test(blocks_divide_rows),
        cmocka_unit_test(places),
        cmocka_unit_test(alignment),
        cmocka_unit_test(vocabulary_alone),
        cmocka_unit_test(the_table_has_an_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
