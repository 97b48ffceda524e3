/* Keys by type and range, and --override-kv. */
#include "gguf/refuse.h"
#include <math.h>

typedef struct Fixture {
    TnBuf file;
    TnGguf *g;
    TernError err;
} Fixture;

static Fixture open_writer(TnGw *w) {
    Fixture f = {0};
    tn_gw_bytes(w, &f.file, NULL, NULL);
    tn_gw_destroy(w);
    if (tn_gguf_open_memory(f.file.data, f.file.len, "m.gguf", false, &f.g, &f.err) != TERN_OK)
        fail_msg("%s", f.err.text);
    return f;
}
static void done(Fixture *f) {
    tn_gguf_close(f->g);
    tn_buf_free(&f->file);
}

static Fixture all_types(void) {
    TnGw *w = tn_gw_create();
    tn_gw_raw(w, "u8", GW_U8, "\xf0", 1);
    tn_gw_raw(w, "i8", GW_I8, "\x70", 1);
    tn_gw_raw(w, "i8.neg", GW_I8, "\xf0", 1);
    tn_gw_raw(w, "u16", GW_U16, "\x34\xf2", 2);
    tn_gw_raw(w, "i16", GW_I16, "\x34\x12", 2);
    tn_gw_raw(w, "i16.neg", GW_I16, "\x00\x80", 2);
    tn_gw_u32(w, "u32", 0xfedcba98);
    tn_gw_i32(w, "i32", 77);
    tn_gw_i32(w, "i32.neg", INT32_MIN);
    tn_gw_u64(w, "u64", UINT64_MAX);
    tn_gw_raw(w, "i64", GW_I64, "\1\0\0\0\1\0\0\0", 8);
    tn_gw_raw(w, "i64.neg", GW_I64, "\0\0\0\0\0\0\0\x80", 8);
    tn_gw_f32(w, "f32", 1.5f);
    tn_gw_raw(w, "f64", GW_F64, &(double){2.25}, 8);
    tn_gw_f32(w, "f32.nan", NAN);
    tn_gw_f32(w, "f32.inf", INFINITY);
    tn_gw_bool(w, "yes", 1);
    tn_gw_bool(w, "no", 0);
    tn_gw_str(w, "str", "text");
    tn_gw_str(w, "str.empty", "");
    tn_gw_raw(w, "str.nul", GW_STR, "\3\0\0\0\0\0\0\0a\0b", 11);
    tn_gw_array(w, "u32s", GW_U32, (uint32_t[]){6, 6, 6}, 3, 4);
    tn_gw_array(w, "u32s.mixed", GW_U32, (uint32_t[]){6, 6, 8}, 3, 4);
    tn_gw_array(w, "i8s.neg", GW_I8, (int8_t[]){6, 6, -6}, 3, 1);
    tn_gw_array(w, "f32s", GW_F32, (float[]){6, 6, 6}, 3, 4);
    tn_gw_array(w, "none", GW_U32, NULL, 0, 4);
    tn_gw_strs(w, "strs", (const char *[]){"a", "b", "c"}, 3);
    return open_writer(w);
}

static void integers_of_any_width(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint64_t want;
    } list[] = {{"u8", 0xf0},        {"i8", 0x70}, {"u16", 0xf234},     {"i16", 0x1234},
                {"u32", 0xfedcba98}, {"i32", 77},  {"u64", UINT64_MAX}, {"i64", 0x100000001}};
    Fixture f = all_types();
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        uint64_t v = 1;
        assert_int_equal(tn_gguf_uint(f.g, list[i].key, true, 0, UINT64_MAX, &v, &f.err), TERN_OK);
        assert_true(v == list[i].want);
        v = 1;
        assert_int_equal(tn_gguf_uint_layers(f.g, list[i].key, true, 3, 0, UINT64_MAX, &v, &f.err), TERN_OK);
        assert_true(v == list[i].want);
    }
    uint64_t v = 42;
    assert_int_equal(tn_gguf_uint(f.g, "absent", false, 0, 1, &v, &f.err), TERN_OK);
    assert_int_equal(tn_gguf_uint_layers(f.g, "absent", false, 3, 0, 1, &v, &f.err), TERN_OK);
    assert_int_equal(v, 42);
    assert_int_equal(tn_gguf_uint(f.g, "u8", true, 0xf0, 0xf0, &v, &f.err), TERN_OK); /* both ends belong */
    done(&f);
}

static void wrong_integers(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint64_t lo, hi;
        const char *want;
    } list[] = {
        {"absent", 0, 9, "m.gguf: the key absent is missing"},
        {"u8", 0, 0xef, "m.gguf: u8 is 240, expected 0 to 239"},
        {"u8", 0xf1, 999, "m.gguf: u8 is 240, expected 241 to 999"},
        {"u64", 0, 1000, "m.gguf: u64 is 18446744073709551615, expected 0 to 1000"},
        {"i32", 5, 5, "m.gguf: i32 is 77, expected 5"},
        {"i8.neg", 0, 999, "m.gguf: i8.neg is -16, expected 0 to 999"},
        {"i8.neg", 16, 16, "m.gguf: i8.neg is -16, expected 16"},
        {"i16.neg", 0, 99999, "m.gguf: i16.neg is -32768, expected 0 to 99999"},
        {"i32.neg", 0, UINT64_MAX, "m.gguf: i32.neg is -2147483648, expected 0 to 18446744073709551615"},
        {"i64.neg", 0, UINT64_MAX,
         "m.gguf: i64.neg is -9223372036854775808, expected 0 to 18446744073709551615"},
        {"f32", 0, 9, "m.gguf: f32 is of type f32, expected an integer"},
        {"yes", 0, 9, "m.gguf: yes is of type bool, expected an integer"},
        {"str", 0, 9, "m.gguf: str is of type string, expected an integer"},
        {"str.empty", 0, 9, "m.gguf: str.empty is of type string, expected an integer"},
        {"u32s", 0, 9, "m.gguf: u32s is an array of u32, expected an integer"},
    };
    Fixture f = all_types();
    uint64_t v = 42;
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        assert_int_equal(tn_gguf_uint(f.g, list[i].key, true, list[i].lo, list[i].hi, &v, &f.err),
                         TERN_ERR_INPUT);
        assert_string_equal(f.err.text, list[i].want);
    }
    assert_int_equal(v, 42);
    done(&f);
}

static void one_value_a_layer(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint64_t layers, hi;
        const char *want;
    } list[] = {
        {"absent", 3, 9, "m.gguf: the key absent is missing"},
        {"u32s", 2, 9, "m.gguf: u32s has 3 values, expected one, or one for each of 2 layers"},
        {"none", 3, 9, "m.gguf: none has 0 values, expected one, or one for each of 3 layers"},
        {"u32s", 3, 5, "m.gguf: u32s is 6, expected 0 to 5"},
        {"i8s.neg", 3, 9, "m.gguf: i8s.neg is -6, expected 0 to 9"},
        {"u32s.mixed", 3, 9, "m.gguf: u32s.mixed is 6 for layer 0 and 8 for layer 2, expected one value"},
        {"f32s", 3, 9, "m.gguf: f32s is an array of f32, expected integers"},
        {"strs", 3, 9, "m.gguf: strs is an array of string, expected integers"},
        {"i32", 3, 9, "m.gguf: i32 is 77, expected 0 to 9"},
    };
    Fixture f = all_types();
    uint64_t v = 42;
    assert_int_equal(tn_gguf_uint_layers(f.g, "u32s", true, 3, 6, 6, &v, &f.err), TERN_OK);
    assert_int_equal(v, 6);
    assert_int_equal(tn_gguf_uint_layers(f.g, "u32s", true, 3, 7, 9, &v, &f.err), TERN_ERR_INPUT);
    assert_string_equal(f.err.text, "m.gguf: u32s is 6, expected 7 to 9");
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        v = 42;
        assert_int_not_equal(
            tn_gguf_uint_layers(f.g, list[i].key, true, list[i].layers, 0, list[i].hi, &v, &f.err), TERN_OK);
        assert_string_equal(f.err.text, list[i].want);
    }
    done(&f);
}

static void floats(void **state) {
    (void)state;
    static const struct {
        const char *key, *want;
    } list[] = {
        {"absent", "m.gguf: the key absent is missing"},
        {"f64", "m.gguf: f64 is 2.25, expected 1 to 2"},
        {"f32.nan", "m.gguf: f32.nan is nan, expected 1 to 2"},
        {"f32.inf", "m.gguf: f32.inf is inf, expected 1 to 2"},
        {"u8", "m.gguf: u8 is of type u8, expected a float"},
        {"f32s", "m.gguf: f32s is an array of f32, expected a float"},
    };
    Fixture f = all_types();
    float v = 7;
    assert_int_equal(tn_gguf_float(f.g, "f32", true, 1.5, 1.5, &v, &f.err), TERN_OK);
    assert_true(v == 1.5f);
    assert_int_equal(tn_gguf_float(f.g, "f64", true, 2, 3, &v, &f.err), TERN_OK);
    assert_true(v == 2.25f);
    assert_int_equal(tn_gguf_float(f.g, "absent", false, 2, 3, &v, &f.err), TERN_OK);
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        assert_int_equal(tn_gguf_float(f.g, list[i].key, true, 1, 2, &v, &f.err), TERN_ERR_INPUT);
        assert_string_equal(f.err.text, list[i].want);
    }
    assert_true(v == 2.25f);
    done(&f);
}

static void bools_and_strings(void **state) {
    (void)state;
    Fixture f = all_types();
    bool b = false;
    const char *s = "?";
    size_t n = 9;
    assert_int_equal(tn_gguf_bool(f.g, "yes", true, &b, &f.err), TERN_OK);
    assert_true(b);
    assert_int_equal(tn_gguf_bool(f.g, "absent", false, &b, &f.err), TERN_OK);
    assert_true(b);
    assert_int_equal(tn_gguf_bool(f.g, "no", true, &b, &f.err), TERN_OK);
    assert_false(b);
    assert_int_equal(tn_gguf_bool(f.g, "u8", true, &b, &f.err), TERN_ERR_INPUT);
    assert_string_equal(f.err.text, "m.gguf: u8 is of type u8, expected a bool");
    assert_int_equal(tn_gguf_bool(f.g, "absent", true, &b, &f.err), TERN_ERR_INPUT);

    assert_int_equal(tn_gguf_string(f.g, "str", true, &s, &f.err), TERN_OK);
    assert_string_equal(s, "text");
    assert_int_equal(tn_gguf_string(f.g, "str.empty", true, &s, &f.err), TERN_OK);
    assert_string_equal(s, "");
    assert_int_equal(tn_gguf_string(f.g, "absent", false, &s, &f.err), TERN_OK);
    assert_null(s);
    static const struct {
        const char *key, *want;
    } list[] = {{"absent", "m.gguf: the key absent is missing"},
                {"str.nul", "m.gguf: str.nul holds a NUL byte, expected text"},
                {"u8", "m.gguf: u8 is of type u8, expected a string"},
                {"strs", "m.gguf: strs is an array of string, expected a string"}};
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        assert_int_equal(tn_gguf_string(f.g, list[i].key, true, &s, &f.err), TERN_ERR_INPUT);
        assert_string_equal(f.err.text, list[i].want);
        assert_null(s);
    }
    assert_int_equal(tn_gguf_bytes(f.g, "str.nul", true, &s, &n, &f.err), TERN_OK); /* as it lies there */
    assert_int_equal(n, 3);
    assert_memory_equal(s, "a\0b", 3);
    done(&f);
}

static void overrides(void **state) {
    (void)state;
    Fixture f = all_types();
    uint64_t v = 0;
    float x = 0;
    bool b = false;
    const char *s;
    static const char *const good[] = {"u8=int:12",          "new.int=int:-3", "f32=float:-1e3",
                                       "new.flag=bool:true", "yes=bool:false", "str=str:a=b:c",
                                       "new.str=str:"};
    for (size_t i = 0; i < TN_COUNT(good); i++)
        if (tn_gguf_override(f.g, good[i], &f.err) != TERN_OK) fail_msg("%s", f.err.text);
    assert_int_equal(tn_gguf_uint(f.g, "u8", true, 0, 99, &v, &f.err), TERN_OK);
    assert_int_equal(v, 12);
    assert_int_equal(tn_gguf_uint(f.g, "new.int", true, 0, 99, &v, &f.err), TERN_ERR_INPUT);
    assert_string_equal(f.err.text, "m.gguf: new.int is -3, expected 0 to 99");
    assert_int_equal(tn_gguf_float(f.g, "f32", true, -1e6, 1e6, &x, &f.err), TERN_OK);
    assert_true(x == -1000.0f);
    assert_int_equal(tn_gguf_bool(f.g, "new.flag", true, &b, &f.err), TERN_OK);
    assert_true(b);
    assert_int_equal(tn_gguf_bool(f.g, "yes", true, &b, &f.err), TERN_OK);
    assert_false(b);
    assert_int_equal(tn_gguf_string(f.g, "str", true, &s, &f.err), TERN_OK);
    assert_string_equal(s, "a=b:c");
    assert_int_equal(tn_gguf_string(f.g, "new.str", true, &s, &f.err), TERN_OK);
    assert_string_equal(s, "");
    static const struct {
        const char *spec, *want;
    } bad[] = {
        {"", "TerncSource.overrides: '', expected KEY=TYPE:VALUE"},
        {"key", "TerncSource.overrides: 'key', expected KEY=TYPE:VALUE"},
        {"key=int", "TerncSource.overrides: 'key=int', expected KEY=TYPE:VALUE"},
        {"=int:3", "TerncSource.overrides: '=int:3', expected KEY=TYPE:VALUE"},
        {"key=u32:3", "TerncSource.overrides: type 'u32', expected int, float, bool or str"},
        {"key=:3", "TerncSource.overrides: type '', expected int, float, bool or str"},
        {"key=integer:3", "TerncSource.overrides: type 'integer', expected int, float, bool or str"},
        {"key=int:3x", "TerncSource.overrides: key: '3x' is not a value of type int"},
        {"key=int:", "TerncSource.overrides: key: '' is not a value of type int"},
        {"key=int:99999999999999999999",
         "TerncSource.overrides: key: '99999999999999999999' is not a value of type int"},
        {"key=float:one", "TerncSource.overrides: key: 'one' is not a value of type float"},
        {"key=float:", "TerncSource.overrides: key: '' is not a value of type float"},
        {"key=int: 3", "TerncSource.overrides: key: ' 3' is not a value of type int"},
        {"key=int:+3", "TerncSource.overrides: key: '+3' is not a value of type int"},
        {"key=int:0x3", "TerncSource.overrides: key: '0x3' is not a value of type int"},
        {"key=float: 1", "TerncSource.overrides: key: ' 1' is not a value of type float"},
        {"key=float:nan", "TerncSource.overrides: key: 'nan' is not a value of type float"},
        {"u8=int:13", "TerncSource.overrides: u8 is given twice"},
        {"new.str=str:", "TerncSource.overrides: new.str is given twice"},
        {"general.alignment=int:64",
         "TerncSource.overrides: general.alignment cannot be replaced: the file is laid out by its own"},
        {"key=bool:1", "TerncSource.overrides: key: '1' is not a value of type bool"},
    };
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        assert_int_equal(tn_gguf_override(f.g, bad[i].spec, &f.err), TERN_ERR_INPUT);
        assert_string_equal(f.err.text, bad[i].want);
    }
    assert_null(tn_gguf_key(f.g, "key"));
    done(&f);
}

/* An override that is never read is a mistake. The suggested name is one that was looked for, whether found
 * or not. */
static void overrides_are_read(void **state) {
    (void)state;
    static const struct {
        const char *spec, *want;
    } cases[] = {
        {"u8=int:12", NULL},
        {"there.is.none=int:1", NULL},
        {"there.is.nome=int:1",
         "TerncSource.overrides: there.is.nome: nothing here reads this key, did you mean there.is.none?"},
        {"general.name=int:1", "m.gguf: general.name is of type i64, expected a string"},
        {"i8=int:1",
         "TerncSource.overrides: i8: nothing here reads this key"}, /* in the file, but that alone is no reason */
        {"quite.another=int:1", "TerncSource.overrides: quite.another: nothing here reads this key"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        Fixture f = all_types();
        if (tn_gguf_override(f.g, cases[i].spec, &f.err) != TERN_OK) fail_msg("%s", f.err.text);
        (void)tn_gguf_key(f.g, "u8");
        (void)tn_gguf_key(f.g, "there.is.none");
        (void)tn_gguf_key(f.g, "there.is.none");
        (void)tn_gguf_key(f.g, "general.name");
        TernStatus st = tn_gguf_overrides_read(f.g, &f.err);
        assert_int_equal(st, cases[i].want ? TERN_ERR_INPUT : TERN_OK);
        if (cases[i].want) assert_string_equal(f.err.text, cases[i].want);
        done(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_any_width), cmocka_unit_test(wrong_integers),
        cmocka_unit_test(one_value_a_layer),     cmocka_unit_test(floats),
        cmocka_unit_test(bools_and_strings),     cmocka_unit_test(overrides),
        cmocka_unit_test(overrides_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
