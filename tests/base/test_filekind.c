/* Recognising a file by its first bytes: every kind, and files of no kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "runtime/base/filekind.h"

/* `bytes` followed by `more` bytes, which are all 1 (never in a text) or 0. */
static TnFileKind kind_of(const char *bytes, size_t n, size_t more, int fill) {
    static uint8_t file[8192];
    memset(file, fill, sizeof file);
    memcpy(file, bytes, n);
    return tn_file_kind(file, n + more);
}
#define IS(kind_expected, text, bytes) is(kind_expected, text, bytes, sizeof(bytes) - 1, 64)
static void is(TnKind expected, const char *text, const char *bytes, size_t n, size_t more) {
    TnFileKind k = kind_of(bytes, n, more, 1);
    if (k.kind != expected || (text ? !k.what || !strstr(k.what, text) : k.what != NULL))
        fail_msg("'%.20s': kind %d, '%s'; expected %d, '%s'", bytes, (int)k.kind, k.what ? k.what : "",
                 (int)expected, text ? text : "");
}

static void binaries(void **state) {
    (void)state;
    IS(TN_KIND_GGUF, "a GGUF model", "GGUF\x03\0\0\0");
    IS(TN_KIND_TERN, "already compiled", "\x89TERN\r\n\x1a");
    IS(TN_KIND_BINARY, "CR LF became LF", "\x89TERN\n\x1a");
    IS(TN_KIND_BINARY, "LF became CR LF", "\x89TERN\r\r\n\x1a");
    IS(TN_KIND_BINARY, "LF was lost", "\x89TERN\r\x1a");
    IS(TN_KIND_BINARY, "7 bits", "\tTERN\r\n\x1a");
    IS(TN_KIND_BINARY, "recoded", "\xef\xbf\xbdTERN\r\n");
    IS(TN_KIND_BINARY, "recoded", "\xc2\x89TERN\r\n");
    IS(TN_KIND_BINARY, "big-endian", "FUGG\0\0\0\x03");
    IS(TN_KIND_BINARY, "GGML", "lmgg\0");
    IS(TN_KIND_BINARY, "GGMF", "fmgg\0");
    IS(TN_KIND_BINARY, "GGJT", "tjgg\0");
    IS(TN_KIND_BINARY, "GGLA", "algg\0");
    IS(TN_KIND_BINARY, "GGML", "ggml\0");
    IS(TN_KIND_BINARY, "GGJT", "ggjt\0");
    IS(TN_KIND_BINARY, "a zip archive", "PK\x03\x04\x14\0");
    IS(TN_KIND_BINARY, "PyTorch model (zip)", "PK\x03\x04\x14\0archive/data.pkl");
    IS(TN_KIND_BINARY, "empty zip", "PK\x05\x06\0");
    IS(TN_KIND_BINARY, "gzip", "\x1f\x8b\x08");
    IS(TN_KIND_BINARY, "xz",
       "\xfd"
       "7zXZ\0");
    IS(TN_KIND_BINARY, "zstd", "\x28\xb5\x2f\xfd");
    IS(TN_KIND_BINARY, "lz4", "\x04\x22\x4d\x18");
    IS(TN_KIND_BINARY, "bzip2", "BZh9");
    IS(TN_KIND_BINARY, "7z", "7z\xbc\xaf\x27\x1c");
    IS(TN_KIND_BINARY, "RAR", "Rar!\x1a");
    IS(TN_KIND_BINARY, "ELF",
       "\x7f"
       "ELF\x02");
    IS(TN_KIND_BINARY, "Mach-O", "\xcf\xfa\xed\xfe");
    IS(TN_KIND_BINARY, "Windows", "MZ\x90\0");
    IS(TN_KIND_BINARY, "object files", "!<arch>\n");
    IS(TN_KIND_BINARY, "PNG", "\x89PNG\r\n");
    IS(TN_KIND_BINARY, "JPEG", "\xff\xd8\xff\xe0");
    IS(TN_KIND_BINARY, "PDF", "%PDF-1.7\n");
    IS(TN_KIND_BINARY, "NumPy", "\x93NUMPY");
    IS(TN_KIND_BINARY, "HDF5", "\x89HDF\r\n");
    IS(TN_KIND_BINARY, "TensorFlow Lite", "\x1c\0\0\0TFL3");
    IS(TN_KIND_BINARY, "UTF-16", "\xff\xfet\0");
    IS(TN_KIND_BINARY, "UTF-16", "\xfe\xff\0t");
    IS(TN_KIND_BINARY, "safetensors", "\x40\0\0\0\0\0\0\0{\"__metadata__\"");
    IS(TN_KIND_BINARY, "pickle", "\x80\x02}q");
    IS(TN_KIND_BINARY, "ONNX", "\x08\x07\x12\x07pytorch");
    char tar[300] = "model/weights";
    memcpy(tar + 257, "ustar", 5);
    is(TN_KIND_BINARY, "a tar archive", tar, sizeof tar, 0);
    char wide[64];
    for (size_t i = 0; i < sizeof wide; i++) wide[i] = i % 2 ? 0 : "tir 1\n"[i / 2 % 6];
    is(TN_KIND_BINARY, "UTF-16", wide, sizeof wide, 0);
    assert_string_equal(kind_of("", 0, 5000, 0).what, "nothing but zeros: a download that was not finished");
    IS(TN_KIND_UNKNOWN, NULL, "\x81\x02\x03\x04");
}

static void texts(void **state) {
    (void)state;
    static const struct {
        TnKind kind;
        const char *bytes, *what;
    } all[] = {
        {TN_KIND_TEXT, "tir 1\ngraph @g stage=model\nend\n", "a text"},
        {TN_KIND_TEXT, "GGUF is a format for models, and this a text", "a text"},
        {TN_KIND_TEXT, "PK\t is what zip archives begin with", "a text"},
        {TN_KIND_TEXT, "tir 1\n", "shorter than the head"},
        {TN_KIND_SHORT, "", "empty"},
        {TN_KIND_SHORT, "\1\1\1", "shorter than the head"},
        {TN_KIND_MARKUP, "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git-lfs pointer"},
        {TN_KIND_MARKUP, "version http://git-media.io/v/2\n", "git-lfs pointer"},
        {TN_KIND_MARKUP, "../../blobs/0123456789abcdef0123", "link of a download cache"},
        {TN_KIND_MARKUP, "\xef\xbb\xbf \r\n<!DOCTYPE HTML><p>", "an HTML page"},
        {TN_KIND_MARKUP, "<html lang=en>", "an HTML page"},
        {TN_KIND_MARKUP, "<HEAD><title>", "an HTML page"},
        {TN_KIND_MARKUP, "<body class=x>", "an HTML page"},
        {TN_KIND_MARKUP, "Sorry.\n<html>", "an HTML page"},
        {TN_KIND_MARKUP, "<!-- page -->", "HTML or XML"},
        {TN_KIND_MARKUP, "<?xml version=\"1.0\"?>", "an XML text"},
        {TN_KIND_MARKUP, "<Error><Code>NoSuchKey", "error message in XML"},
        {TN_KIND_MARKUP, "<svg xmlns=", "an SVG picture"},
        {TN_KIND_MARKUP, "HTTP/1.1 200 OK\r\n", "with its headers"},
        {TN_KIND_MARKUP, "Entry not found", "error message"},
        {TN_KIND_MARKUP, "Repository not found", "error message"},
        {TN_KIND_MARKUP, "Invalid username or password.", "error message"},
        {TN_KIND_MARKUP, "Access denied", "error message"},
        {TN_KIND_MARKUP, "404: Not Found", "error message"},
        {TN_KIND_MARKUP, "#!/bin/sh\n", "a script"},
        {TN_KIND_MARKUP, "{\"error\": \"gated\"}", "error message in json"},
        {TN_KIND_MARKUP, "{\"weight_map\": {}}", "index of a safetensors model"},
        {TN_KIND_MARKUP, " {\"added_tokens\": []}", "a tokenizer.json"},
        {TN_KIND_MARKUP, "{\"architectures\": []}", "a config.json"},
        {TN_KIND_MARKUP, "{\"model_type\": \"x\"}", "a config.json"},
        {TN_KIND_MARKUP, "{\"tokenizer_class\": \"x\"}", "a tokenizer_config.json"},
        {TN_KIND_MARKUP, "{\"a\": 1}", "a json text"},
    };
    for (size_t i = 0; i < TN_COUNT(all); i++)
        is(all[i].kind, all[i].what, all[i].bytes, strlen(all[i].bytes), 0);
}

/* No byte after the end of the file is read, whatever it begins with: tries every length of every beginning. */
static void lengths(void **state) {
    (void)state;
    static const char *const begins[] = {"GGUF",       "\x89TERN\r\n\x1a",        "PK\x03\x04",
                                         "{\"error\"", "<!doctype html",          "\x08\x07\x12\x07pytorch",
                                         "\x80\x02",   "version https://git-lfs", "\xef\xbb\xbf",
                                         "t\0i\0r"};
    for (size_t b = 0; b < TN_COUNT(begins); b++)
        for (size_t n = 0; n <= strlen(begins[b]); n++) {
            uint8_t *exact = test_malloc(n ? n : 1);
            memcpy(exact, begins[b], n);
            TnFileKind k = tn_file_kind(exact, n);
            assert_true(n || k.kind == TN_KIND_SHORT);
            test_free(exact);
        }
}

static void refusals(void **state) {
    (void)state;
    TernError err = {0};
    assert_int_equal(tn_file_kind_refuse((TnFileKind){0}, "a graph", &err), TERN_OK);
    assert_int_equal(tn_file_kind_refuse(tn_file_kind("", 0), "a graph", &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "the file is empty; expected a graph");
    assert_int_equal(tn_file_kind_refuse(tn_file_kind("BZh91AY\1", 8), "a model", NULL), TERN_ERR_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(binaries), cmocka_unit_test(texts),
                                       cmocka_unit_test(lengths), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
