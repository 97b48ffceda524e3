/* Files of weights: good ones are read, and every way a head can be wrong has its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "frontends/hf/hf.h"
#include "runtime/base/buf.h"

/* Opens bytes and returns the error, or "" if it works. The object goes to `keep`; if that is NULL, it is closed. */
static const char *bytes_say(const void *bytes, size_t n, TnSafe **keep) {
    static TernError err;
    TnSafe *s = NULL;
    err = (TernError){0};
    void *exact =
        tn_xcalloc(n ? n : 1, 1); /* a separate block, so that a sanitizer sees a read past its end */
    memcpy(exact, bytes, n);
    if (tn_safe_open_memory(exact, n, "m.safetensors", &s, &err) == TERN_OK) err.text[0] = 0;
    if (keep) {
        *keep = s;
        return err.text; /* the bytes are not freed: the object uses them */
    }
    tn_safe_close(s);
    free(exact);
    return err.text;
}

/* A file: the length of the head, the head, and this many bytes of data that count up. */
static void make(TnBuf *b, const char *head, size_t n, size_t data) {
    uint64_t length = n;
    tn_buf_put(b, &length, 8);
    tn_buf_put(b, head, n);
    for (size_t i = 0; i < data; i++) tn_buf_put(b, &(uint8_t){(uint8_t)i}, 1);
}
static const char *head_says(const char *head, size_t n, size_t data, TnSafe **keep) {
    TnBuf b = {0};
    make(&b, head, n, data);
    const char *says = bytes_say(b.data, b.len, keep);
    tn_buf_free(&b);
    return says;
}

static const char good[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                           "\"b.weight\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
                           "\"a.weight\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
                           "\"b.weight_scale\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[20,24]},"
                           "\"none\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[20,20]}}   ";

static void reads_tensors(void **state) {
    (void)state;
    TnSafe *s;
    assert_string_equal(head_says(good, sizeof good - 1, 24, &s), "");
    assert_int_equal(s->n_tensors, 4);
    const TnSafeTensor *t = tn_safe_tensor(s, "b.weight");
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->dim[0], 2);
    assert_int_equal(t->dim[1], 3);
    assert_int_equal(t->dim[2], 1);
    assert_int_equal(t->bytes, 12);
    assert_int_equal(t->data[0], 8);
    assert_string_equal(t->type->name, "BF16");
    assert_int_equal(t->type->kind, TN_SAFE_BF16);
    t = tn_safe_tensor(s, "b.weight_scale");
    assert_int_equal(t->rank, 0);
    assert_int_equal(t->data[0], 20);
    assert_int_equal(tn_safe_tensor(s, "none")->bytes, 0);
    assert_string_equal(s->tensors[0].name, "a.weight"); /* in the order of the data */
    assert_null(tn_safe_tensor(s, "c.weight"));
    assert_null(tn_safe_tensor(s, "__metadata__"));
    void *bytes = (void *)(uintptr_t)s->file.data;
    tn_safe_close(s);
    free(bytes);
    tn_safe_close(NULL);
}

/* A file that ends early, at every byte: refused. */
static void truncations(void **state) {
    (void)state;
    TnBuf b = {0};
    make(&b, good, sizeof good - 1, 24);
    for (size_t n = 0; n < b.len; n++)
        if (!*bytes_say(b.data, n, NULL)) fail_msg("cut at byte %zu of %zu: read", n, b.len);
    assert_string_equal(
        bytes_say(b.data, b.len - 1, NULL),
        "m.safetensors: tensor b.weight_scale ends at offset 24, but the file has 23 bytes of data: "
        "the download was cut short");
    tn_buf_put(&b, "x", 1);
    assert_string_equal(bytes_say(b.data, b.len, NULL),
                        "m.safetensors: no tensor has the last 1 bytes of the file");
    tn_buf_free(&b);
}

/* Every byte of the head replaced by a few others: read or refused, and nothing worse. */
static void flipped_bytes(void **state) {
    (void)state;
    static const uint8_t values[] = {0, '"', '9', '{', ']', '-', 0xff};
    TnBuf b = {0};
    make(&b, good, sizeof good - 1, 24);
    size_t refused = 0;
    for (size_t i = 0; i < 8 + sizeof good - 1; i++)
        for (size_t v = 0; v < sizeof values; v++) {
            char was = b.data[i];
            b.data[i] = (char)values[v];
            refused += *bytes_say(b.data, b.len, NULL) != 0;
            b.data[i] = was;
        }
    assert_true(refused > 1500);
    tn_buf_free(&b);
}

static void lengths_of_the_head(void **state) {
    (void)state;
    static const struct {
        uint64_t length;
        const char *want;
    } list[] = {
        {26, "m.safetensors: the head is 26 bytes long, but 25 are left in the file"},
        {UINT64_MAX,
         "m.safetensors: the head is 18446744073709551615 bytes long, but 25 are left in the file"},
        {1ull << 63,
         "m.safetensors: the head is 9223372036854775808 bytes long, but 25 are left in the file"},
        {0, "m.safetensors: the head does not begin with {: not a safetensors file"},
        {1, "m.safetensors: the head does not begin with {: not a safetensors file"},
    };
    uint8_t file[8 + 25] = "........{\"a\":1}             ";
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        memcpy(file, &list[i].length, 8);
        assert_string_equal(bytes_say(file, sizeof file, NULL), list[i].want);
    }
    assert_string_equal(bytes_say("", 0, NULL),
                        "m.safetensors: the file has 0 bytes, expected at least the 8 of a safetensors head");
    assert_string_equal(bytes_say("{}{}{}{", 7, NULL),
                        "m.safetensors: the file has 7 bytes, expected at least the 8 of a safetensors head");
    static const uint8_t gguf[32] = "GGUF\3\0\0\0";
    assert_string_equal(bytes_say(gguf, sizeof gguf, NULL),
                        "m.safetensors: the file is a GGUF model, not compiled; expected safetensors");
    static const char zip[] = "PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_string_equal(bytes_say(zip, sizeof zip, NULL),
                        "m.safetensors: the file is a zip archive; expected safetensors");
}

#define ONE(entry)             "{\"w\":" entry "}"
#define E(dtype, shape, place) ONE("{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" place "}")
#define M                      "m.safetensors: "
#define W                      "m.safetensors: tensor w: "
static const struct {
    const char *head;
    const char *want; /* a beginning of the line */
} faults[] = {
    /* json */
    {"{ ", M "line 1, column 2 of its json: "},
    {"{]", M "line 1, column 2 of its json: "},
    {"{}}", M "line 1, column 3 of its json: 'end of file expected near '}''"},
    {"{} x", M "line 1, column 4 of its json: "},
    {"{\"a\"}", M "line 1, column 5 of its json: "},
    {"{\"a\":}", M "line 1, column 6 of its json: "},
    {"{\"a\":1,}", M "line 1, column 8 of its json: "},
    {"{'a':1}", M "line 1, column 2 of its json: "},
    {"{\"a\":nul}", M "line 1, column 8 of its json: "},
    {"{\"a\":NaN}", M "line 1, column 8 of its json: "},
    {"{\"a\":01}", M "line 1, column 6 of its json: "},
    {"{\"a\":1e999}", M "line 1, column 10 of its json: "},
    {"{\"a\":99999999999999999999}", M "line 1, column 25 of its json: 'too big integer near "},
    {"{\"a\\u0000b\":1}", M "line 1, column 11 of its json: "},
    {"{\"\xff\":1}", M "line 1, column 2 of its json: "},
    {"{\"\xc3\":1}", M "line 1, column 2 of its json: "},
    {"{\"\xed\xa0\x80\":1}", M "line 1, column 2 of its json: "},
    {"{\"\\ud800\":1}", M "line 1, column 9 of its json: "},
    {"{\"a\n\":1}", M "line 1, column 3 of its json: "},
    {"{\"a\":\"b}", M "line 1, column 8 of its json: "},
    {"{// c\n}", M "line 1, column 2 of its json: "},
    {"{\"w\":{},\"w\":{}}", M "line 1, column 11 of its json: 'duplicate object key near '\"w\"''"},
    {"{\"w\":{\"dtype\":\"U8\",\"dtype\":\"I8\"}}", M "line 1, column 26 of its json: 'duplicate object key"},
    /* no tensors */
    {"{}", M "the file has no tensors"},
    {"{\"__metadata__\":{\"a\":\"b\"}}", M "the file has no tensors"},
    /* names */
    {"{\"\":{}}", M "the name of a tensor is 0 bytes long, expected 1 to 255"},
    {"{\"a\\nb\":{}}", M "the name of a tensor has the byte 0x0a at 1, expected printable text"},
    {"{\"\\u001b[2J\":{}}", M "the name of a tensor has the byte 0x1b at 0, expected printable text"},
    {"{\"a\\\"b\":{}}", M "the name of a tensor has the byte 0x22 at 1, expected printable text"},
    {"{\"a\\\\b\":{}}", M "the name of a tensor has the byte 0x5c at 1, expected printable text"},
    {"{\"ab\\u007f\":{}}", M "the name of a tensor has the byte 0x7f at 2, expected printable text"},
    /* entries */
    {ONE("1"), W "its entry is not an object"},
    {ONE("null"), W "its entry is not an object"},
    {ONE("[]"), W "its entry is not an object"},
    {ONE("\"U8\""), W "its entry is not an object"},
    {ONE("{}"), W "no text \"dtype\" says its type"},
    /* types */
    {E("1", "[4]", "[0,4]"), W "no text \"dtype\" says its type"},
    {E("null", "[4]", "[0,4]"), W "no text \"dtype\" says its type"},
    {E("[\"U8\"]", "[4]", "[0,4]"), W "no text \"dtype\" says its type"},
    {E("\"\"", "[4]", "[0,4]"),
     M "tensor w is of type '', expected F32, F16, BF16, U8 or another of the format"},
    {E("\"u8\"", "[4]", "[0,4]"), M "tensor w is of type 'u8', expected"},
    {E("\"F4\"", "[4]", "[0,4]"), M "tensor w is of type 'F4', expected"},
    {E("\"BF16 \"", "[4]", "[0,4]"), M "tensor w is of type 'BF16 ', expected"},
    {E("\"\\n\"", "[4]", "[0,4]"), M "tensor w is of type '\\n', expected"},
    /* shapes */
    {ONE("{\"dtype\":\"U8\",\"data_offsets\":[0,4]}"), W "no array \"shape\" says its dimensions"},
    {E("\"U8\"", "4", "[0,4]"), W "no array \"shape\" says its dimensions"},
    {E("\"U8\"", "null", "[0,4]"), W "no array \"shape\" says its dimensions"},
    {E("\"U8\"", "{\"0\":4}", "[0,4]"), W "no array \"shape\" says its dimensions"},
    {E("\"U8\"", "\"4\"", "[0,4]"), W "no array \"shape\" says its dimensions"},
    {E("\"U8\"", "[-4]", "[0,4]"), W "dimension 0 is not a count"},
    {E("\"U8\"", "[4,-1]", "[0,4]"), W "dimension 1 is not a count"},
    {E("\"U8\"", "[4.0]", "[0,4]"), W "dimension 0 is not a count"},
    {E("\"U8\"", "[\"4\"]", "[0,4]"), W "dimension 0 is not a count"},
    {E("\"U8\"", "[true]", "[0,4]"), W "dimension 0 is not a count"},
    {E("\"U8\"", "[null]", "[0,4]"), W "dimension 0 is not a count"},
    {E("\"U8\"", "[[4]]", "[0,4]"), W "dimension 0 is not a count"},
    {E("\"U8\"", "[2,2,{}]", "[0,4]"), W "dimension 2 is not a count"},
    {E("\"U8\"", "[1,1,1,1,1,1,1,1,4]", "[0,4]"), M "tensor w has 9 dimensions, expected at most 8"},
    {E("\"F32\"", "[4294967296,4294967296]", "[0,4]"),
     W "its dimensions multiply to more than any file holds"},
    {E("\"F32\"", "[4611686018427387904]", "[0,4]"), W "its dimensions multiply to more than any file holds"},
    {E("\"U8\"", "[9223372036854775807,3]", "[0,4]"),
     W "its dimensions multiply to more than any file holds"},
    {E("\"F32\"", "[9223372036854775807]", "[0,4]"), W "its dimensions multiply to more than any file holds"},
    /* places */
    {ONE("{\"dtype\":\"U8\",\"shape\":[4]}"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "4"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "null"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "{}"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[]"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[4]"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[0,4,4]"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[-4,0]"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[0,-4]"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[0.0,4]"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[0,\"4\"]"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[null,4]"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[false,4]"), W "no array \"data_offsets\" of two counts says where it lies"},
    {E("\"U8\"", "[4]", "[4,0]"), M "tensor w begins at offset 4 and ends at 0"},
    {E("\"U8\"", "[4]", "[9223372036854775807,0]"),
     M "tensor w begins at offset 9223372036854775807 and ends at 0"},
    {E("\"U8\"", "[4]", "[0,3]"), M "tensor w has 3 bytes, expected 4 for its shape in U8"},
    {E("\"U8\"", "[3]", "[0,4]"), M "tensor w has 4 bytes, expected 3 for its shape in U8"},
    {E("\"F16\"", "[4]", "[0,4]"), M "tensor w has 4 bytes, expected 8 for its shape in F16"},
    {E("\"BF16\"", "[1]", "[0,4]"), M "tensor w has 4 bytes, expected 2 for its shape in BF16"},
    {E("\"F64\"", "[1]", "[0,4]"), M "tensor w has 4 bytes, expected 8 for its shape in F64"},
    {E("\"F32\"", "[]", "[0,0]"), M "tensor w has 0 bytes, expected 4 for its shape in F32"},
    {E("\"U8\"", "[0]", "[0,4]"), M "tensor w has 4 bytes, expected 0 for its shape in U8"},
    {E("\"U8\"", "[4]", "[1,5]"),
     M "tensor w ends at offset 5, but the file has 4 bytes of data: the download"},
    {E("\"U8\"", "[5]", "[0,5]"),
     M "tensor w ends at offset 5, but the file has 4 bytes of data: the download"},
    {E("\"U8\"", "[9223372036854775807]", "[0,9223372036854775807]"),
     M "tensor w ends at offset 9223372036854775807, but the file has 4 bytes of data: the download"},
    {E("\"U8\"", "[1]", "[9223372036854775806,9223372036854775807]"),
     M "tensor w ends at offset 9223372036854775807, but the file has 4 bytes of data: the download"},
    {E("\"U8\"", "[0]", "[5,5]"),
     M "tensor w ends at offset 5, but the file has 4 bytes of data: the download"},
    {E("\"U8\"", "[3]", "[1,4]"), M "no tensor has the 1 bytes at offset 0, before tensor w"},
    {E("\"U8\"", "[3]", "[0,3]"), M "no tensor has the last 1 bytes of the file"},
    {E("\"U8\"", "[0]", "[0,0]"), M "no tensor has the last 4 bytes of the file"},
    {"{\"v\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"w\":{\"dtype\":\"U8\",\"shape\":[2],"
     "\"data_offsets\":[2,4]}}",
     M "tensors v and w overlap at offset 2"},
    {"{\"v\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"w\":{\"dtype\":\"U8\",\"shape\":[4],"
     "\"data_offsets\":[0,4]}}",
     M "tensors v and w overlap at offset 0"},
    {"{\"v\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"w\":{\"dtype\":\"U8\",\"shape\":[0],"
     "\"data_offsets\":[2,2]}}",
     M "tensors v and w overlap at offset 2"},
    {"{\"v\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"w\":{\"dtype\":\"U8\",\"shape\":[1],"
     "\"data_offsets\":[3,4]}}",
     M "no tensor has the 2 bytes at offset 1, before tensor w"},
};

static void faulty_heads(void **state) {
    (void)state;
    size_t n = sizeof faults / sizeof *faults, differ = 0;
    assert_true(n > 90);
    for (size_t i = 0; i < n; i++) {
        const char *says = head_says(faults[i].head, strlen(faults[i].head), 4, NULL);
        if (strncmp(says, faults[i].want, strlen(faults[i].want)) != 0) {
            print_error("%s\n  says   %s\n  expected %s\n", faults[i].head, says, faults[i].want);
            differ++;
        }
        if (strchr(says, '\n')) fail_msg("%s: more than one line", faults[i].head);
    }
    assert_int_equal(differ, 0);
    assert_string_equal(head_says("{}\0", 3, 4, NULL) + strlen(M),
                        "line 1, column 3 of its json: 'end of file expected near end of file'");
}

static void limits(void **state) {
    (void)state;
    char name[300], head[400];
    for (size_t n = 255; n <= 256; n++) {
        memset(name, 'a', n);
        name[n] = 0;
        snprintf(head, sizeof head, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", name);
        assert_string_equal(head_says(head, strlen(head), 4, NULL),
                            n == 255 ? "" : M "the name of a tensor is 256 bytes long, expected 1 to 255");
    }
    /* brackets within brackets, deeper than any reader should follow */
    TnBuf b = {0};
    tn_buf_puts(&b, "{\"w\":");
    for (int i = 0; i < 100000; i++) tn_buf_puts(&b, "[");
    const char *says = head_says(b.data, b.len, 0, NULL);
    assert_non_null(strstr(says, "maximum parsing depth reached"));
    tn_buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tensors), cmocka_unit_test(truncations),
        cmocka_unit_test(flipped_bytes), cmocka_unit_test(lengths_of_the_head),
        cmocka_unit_test(faulty_heads),  cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
