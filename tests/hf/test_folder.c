/* Folders: one file of weights or several with an index, and every way an index can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "frontends/hf/hf.h"
#include "runtime/base/buf.h"

static char dir[] = "/tmp/tern-hf-XXXXXX";
static const char *const names[] = {"model.safetensors", "model.safetensors.index.json", "one.safetensors",
                                    "two.safetensors", "pytorch_model.bin"};
enum { SINGLE, INDEX, ONE, TWO, PICKLE, NAMES };

static void path_of(int file, char out[128]) {
    snprintf(out, 128, "%s/%s", dir, names[file]);
}
static void put(int file, const void *bytes, size_t n) {
    char path[128];
    path_of(file, path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}
static void put_text(int file, const char *text) {
    put(file, text, strlen(text));
}
/* A file with one or two tensors of four bytes. */
static void put_weights(int file, const char *a, const char *b) {
    TnBuf head = {0}, all = {0};
    tn_buf_printf(&head, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}", a);
    if (b) tn_buf_printf(&head, ",\"%s\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}", b);
    tn_buf_puts(&head, "}");
    uint64_t n = head.len;
    tn_buf_put(&all, &n, 8);
    tn_buf_put(&all, head.data, head.len);
    tn_buf_put(&all, "abcdefgh", b ? 8 : 4);
    put(file, all.data, all.len);
    tn_buf_free(&head);
    tn_buf_free(&all);
}
static int clear(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        char path[128];
        path_of(i, path);
        unlink(path);
    }
    return 0;
}
static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : 1;
}
static int remove_dir(void **state) {
    clear(state);
    return rmdir(dir);
}

/* The error without the folder's path before it, or "". */
static const char *says(void) {
    static TernError err;
    TnHfFolder *f = NULL;
    err = (TernError){0};
    if (tn_hf_folder_open(dir, &f, &err) == TERN_OK) err.text[0] = 0;
    tn_hf_folder_close(f);
    if (!*err.text) return "";
    assert_int_equal(strncmp(err.text, dir, strlen(dir)), 0);
    return err.text + strlen(dir);
}

static void one_file(void **state) {
    (void)state;
    TnHfFolder *f;
    TernError err;
    char path[128];
    put_weights(SINGLE, "a", "b");
    snprintf(path, sizeof path, "%s///", dir);
    assert_int_equal(tn_hf_folder_open(path, &f, &err), TERN_OK);
    assert_int_equal(f->n_tensors, 2);
    assert_memory_equal(tn_hf_tensor(f, "b")->data, "efgh", 4);
    assert_null(tn_hf_tensor(f, "c"));
    snprintf(path, sizeof path, "%s/x", dir);
    assert_string_equal(tn_hf_path(f, "x"), path);
    tn_hf_folder_close(f);
    tn_hf_folder_close(NULL);
}

static void several_files(void **state) {
    (void)state;
    TnHfFolder *f;
    TernError err;
    put_weights(ONE, "a", "b");
    put_weights(TWO, "c", "unnamed");
    put_text(INDEX, "{\"metadata\":{\"total_size\":12},\"weight_map\":{\"a\":\"one.safetensors\","
                    "\"c\":\"two.safetensors\",\"b\":\"one.safetensors\"}}");
    put_weights(SINGLE, "old", NULL); /* the index decides */
    assert_int_equal(tn_hf_folder_open(dir, &f, &err), TERN_OK);
    assert_int_equal(f->n_files, 2);
    assert_int_equal(f->n_tensors, 3);
    assert_memory_equal(tn_hf_tensor(f, "b")->data, "efgh", 4);
    assert_memory_equal(tn_hf_tensor(f, "c")->data, "abcd", 4);
    assert_null(tn_hf_tensor(f, "unnamed"));
    assert_null(tn_hf_tensor(f, "old"));
    tn_hf_folder_close(f);
}

static void no_weights(void **state) {
    (void)state;
    assert_string_equal(
        says(), ": the folder has no weights, expected model.safetensors or model.safetensors.index.json");
    put_text(PICKLE, "x");
    assert_string_equal(
        says(), ": the folder has pytorch_model.bin, which is a pickle, expected model.safetensors or "
                "model.safetensors.index.json");
}

static void faulty_files(void **state) {
    (void)state;
    put_text(SINGLE, "");
    assert_string_equal(
        says(), "/model.safetensors: the file has 0 bytes, expected at least the 8 of a safetensors head");
    put_text(SINGLE, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    assert_non_null(strstr(says(), "/model.safetensors: the file is "));
    assert_non_null(strstr(says(), "expected safetensors"));
}

static void faulty_indexes(void **state) {
    (void)state;
#define I        "/model.safetensors.index.json: "
#define MAP(map) "{\"weight_map\":" map "}"
    static const char bad_name[] = "expected the name of a .safetensors in the folder";
    static const struct {
        const char *index, *want;
    } faults[] = {
        {"", I "line 1, column 0 of its json: ''[' or '{' expected near end of file'"},
        {"[]", I "its json is not an object"},
        {"{", I "line 1, column 1 of its json: "},
        {"{\"weight_map\":{},\"weight_map\":{}}", I "line 1, column 29 of its json: 'duplicate object key"},
        {"{}", I "no object \"weight_map\" says which file has which tensor"},
        {MAP("[]"), I "no object \"weight_map\" says which file has which tensor"},
        {MAP("null"), I "no object \"weight_map\" says which file has which tensor"},
        {MAP("\"one.safetensors\""), I "no object \"weight_map\" says which file has which tensor"},
        {MAP("{}"), I "\"weight_map\" names no tensors"},
        {MAP("{\"a\":1}"), I "tensor 'a' is in no file that a text names"},
        {MAP("{\"a\":null}"), I "tensor 'a' is in no file that a text names"},
        {MAP("{\"a\":[\"one.safetensors\"]}"), I "tensor 'a' is in no file that a text names"},
        {MAP("{\"a\":\"\"}"), I "tensor 'a' is in '', "},
        {MAP("{\"a\":\"one\"}"), I "tensor 'a' is in 'one', "},
        {MAP("{\"a\":\"one.bin\"}"), I "tensor 'a' is in 'one.bin', "},
        {MAP("{\"a\":\".safetensors\"}"), I "tensor 'a' is in '.safetensors', "},
        {MAP("{\"a\":\"../one.safetensors\"}"), I "tensor 'a' is in '../one.safetensors', "},
        {MAP("{\"a\":\"/etc/one.safetensors\"}"), I "tensor 'a' is in '/etc/one.safetensors', "},
        {MAP("{\"a\":\"sub/one.safetensors\"}"), I "tensor 'a' is in 'sub/one.safetensors', "},
        {MAP("{\"a\":\"none.safetensors\"}"), "/none.safetensors: cannot open: "},
        {MAP("{\"c\":\"one.safetensors\"}"), I "tensor 'c' is said to be in "},
        {MAP("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}"), I "tensor 'b' is said to be in "},
        {MAP("{\"\":\"one.safetensors\"}"), I "tensor '' is said to be in "},
    };
    put_weights(ONE, "a", "b");
    put_weights(TWO, "c", NULL);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        put_text(INDEX, faults[i].index);
        const char *line = says();
        if (strncmp(line, faults[i].want, strlen(faults[i].want)) != 0)
            fail_msg("%s\n  says   %s\n  expected %s", faults[i].index, line, faults[i].want);
        if (strstr(line, " is in '")) assert_non_null(strstr(line, bad_name));
    }
    put_text(TWO, "12345678{}"); /* a file that the index names is refused like any other */
    put_text(INDEX, MAP("{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}"));
    assert_non_null(strstr(says(), "/two.safetensors: the head is "));
}

static void folders_that_are_not(void **state) {
    (void)state;
    TnHfFolder *f;
    TernError err;
    char path[128];
    snprintf(path, sizeof path, "%s/nowhere", dir);
    assert_int_equal(tn_hf_folder_open(path, &f, &err), TERN_ERR_INPUT);
    assert_true(tn_os_is_folder(dir));
    assert_true(tn_os_exists(dir));
    assert_false(tn_os_is_folder(path));
    assert_false(tn_os_exists(path));
    put_text(ONE, "x");
    path_of(ONE, path);
    assert_false(tn_os_is_folder(path));
    assert_true(tn_os_exists(path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(one_file, clear),
        cmocka_unit_test_teardown(several_files, clear),
        cmocka_unit_test_teardown(no_weights, clear),
        cmocka_unit_test_teardown(faulty_files, clear),
        cmocka_unit_test_teardown(faulty_indexes, clear),
        cmocka_unit_test_teardown(folders_that_are_not, clear),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
