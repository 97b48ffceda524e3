/* The library itself refuses to write over a file that it reads, gives the facts of a model before it
 * compiles, and writes the same blob of several chunks into a pipe as into a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "frontends/api/ternc_tools.h"
#include "runtime/base/os.h"

static char folder[] = "/tmp/tern-outputs-XXXXXX";

static char *model; /* the file's bytes */
static size_t model_bytes;

static int enter(void **state) {
    (void)state;
    TernError err;
    TnWriter w;
    if (tn_file_read(TERN_SOURCE_DIR "/models/verse-i2_s.gguf", (size_t)1 << 30, &model, &model_bytes,
                     &err) != TERN_OK)
        return 1;
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    if (tn_writer_open("m.gguf", &w, &err) || tn_writer_put(&w, model, model_bytes, &err) ||
        tn_writer_commit(&w, &err))
        return 1;
    FILE *f = fopen("a.tir", "w");
    if (!f) return 1;
    fputs("tir 1\n", f);
    fclose(f);
    return link("m.gguf", "hard.gguf");
}
static int leave(void **state) {
    (void)state;
    static const char *const names[] = {"m.gguf", "hard.gguf", "a.tir", "m.tern", "fifo", "big.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(names[i]);
    free(model);
    return chdir("/") || rmdir(folder);
}

static void expect(TernStatus st, const TernError *err, const char *text) {
    if (st != TERN_ERR_INPUT || strcmp(err->text, text) != 0)
        fail_msg("got %d '%s', expected '%s'", st, err->text, text);
    char *now;
    size_t n;
    TernError e;
    assert_int_equal(tn_file_read("m.gguf", (size_t)1 << 30, &now, &n, &e), TERN_OK);
    assert_int_equal(n, model_bytes);
    assert_memory_equal(now, model, n);
    free(now);
}

static void no_text(void *user, const char *what, const char *text, size_t n) {
    (void)user, (void)what, (void)text, (void)n;
}

static void its_inputs_stay(void **state) {
    (void)state;
    TernError err = {0};
    TerncSource source = {.size = sizeof source, .path = "m.gguf"};
    TerncSource text = {.size = sizeof text, .path = "m.gguf", .tir = "a.tir"};
    TerncOptions ref = {.size = sizeof ref, .levels = "ref"};
    TerncOptions tuned = {.size = sizeof tuned, .levels = "ref", .tune_seconds = 1, .tune_cache = "m.gguf"};
    TernModel *m;
    int same;
    expect(ternc_compile(&source, &ref, "m.gguf", NULL, &err), &err,
           "the output m.gguf is the same file as the model m.gguf, which is read and would be lost: give "
           "another");
    expect(ternc_compile(&source, &ref, "hard.gguf", NULL, &err), &err,
           "the output hard.gguf is the same file as the model m.gguf, which is read and would be lost: give "
           "another");
    expect(ternc_compile(&text, &ref, "a.tir", NULL, &err), &err,
           "the output a.tir is the same file as the graph a.tir, which is read and would be lost: give "
           "another");
    expect(ternc_compile(&source, &tuned, "m.tern", NULL, &err), &err,
           "the tuning cache m.gguf is the same file as the model m.gguf, which is read and would be lost: "
           "give another");
    expect(ternc_load(&source, &tuned, NULL, &m, &err), &err,
           "the tuning cache m.gguf is the same file as the model m.gguf, which is read and would be lost: "
           "give another");
    tuned.tune_cache = "m.tern";
    expect(ternc_compile(&source, &tuned, "m.tern", NULL, &err), &err,
           "the tuning cache m.tern is the same file as the output m.tern: give another");
    const int32_t ids[] = {1};
    TerncVerify v = {
        .size = sizeof v, .source = &source, .tokens = ids, .n_tokens = 1, .reduce = "hard.gguf"};
    expect(ternc_verify(&v, no_text, NULL, &same, &err), &err,
           "the reduced graph hard.gguf is the same file as the model m.gguf, which is read and would be "
           "lost: give another");
    v.reduce = "a.tir";
    v.against = "a.tir";
    expect(ternc_verify(&v, no_text, NULL, &same, &err), &err,
           "the reduced graph a.tir is the same file as the model to compare with a.tir, which is read "
           "and would be lost: give another");
    assert_int_not_equal(access("m.tern", F_OK), 0);
}

static int known(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes) {
    int *calls = user;
    ++*calls;
    assert_string_equal(info->arch, "bitnet-b1.58");
    assert_string_equal(info->level, "ref");
    assert_int_equal(info->n_vocab, 1792);
    assert_int_equal(info->n_context, 1024);
    assert_int_equal(info->n_layers, 6);
    assert_int_equal(info->max_rows, 512);
    assert_non_null(vocab);
    assert_true(vocab_bytes > 0);
    return *calls > 1;
}

static void what_is_known_is_said_first(void **state) {
    (void)state;
    TernError err = {0};
    int calls = 0;
    TernModel *m;
    TernModelInfo info;
    TerncOptions o = {.size = sizeof o, .levels = "ref", .known = known, .user = &calls};
    assert_int_equal(ternc_load(NULL, &o, NULL, &m, &err), TERN_OK);
    tern_model_info(m, &info);
    assert_int_equal(info.max_rows, 512); /* as it was said */
    tern_model_close(m);
    assert_int_equal(calls, 1);
    assert_int_equal(ternc_load(NULL, &o, NULL, &m, &err), TERN_ERR_CANCELLED);
    assert_int_equal(ternc_compile(NULL, &o, "m.tern", NULL, &err), TERN_ERR_CANCELLED);
    assert_int_equal(calls, 3);
    assert_int_not_equal(access("m.tern", F_OK), 0);
}

static void *read_fifo(void *user) {
    size_t *n = user;
    char *bytes;
    TernError err;
    assert_int_equal(tn_file_read("fifo", (size_t)1 << 30, &bytes, n, &err), TERN_OK);
    return bytes;
}

/* 16 MB of weights are chunks enough for helpers to take turns. */
static void a_pipe_gets_the_same_bytes(void **state) {
    (void)state;
    TernError err = {0};
    TerncOptions o = {.size = sizeof o, .levels = "ref", .head = "f32"};
    TerncReport report;
    pthread_t reader;
    size_t n, n_read = 0;
    char *bytes;
    void *read;
    TerncSource source = {.size = sizeof source, .path = "big.gguf"};
    assert_int_equal(
        system("'" TERN_BUILD_DIR "/make_gguf' --hidden 256 --ffn 256 --layers 1 --vocab 16384 -o big.gguf"),
        0);
    if (ternc_compile(&source, &o, "m.tern", NULL, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_int_equal(mkfifo("fifo", 0666), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_fifo, &n_read), 0);
    if (ternc_compile(&source, &o, "fifo", &report, &err) != TERN_OK) fail_msg("%s", err.text);
    pthread_join(reader, &read);
    assert_int_equal(tn_file_read("m.tern", (size_t)1 << 30, &bytes, &n, &err), TERN_OK);
    assert_int_equal(n_read, n);
    assert_int_equal(report.file_bytes, n);
    assert_true(report.weight_bytes > 12u << 20);
    assert_memory_equal(read, bytes, n);
    free(read);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_inputs_stay),
        cmocka_unit_test(what_is_known_is_said_first),
        cmocka_unit_test(a_pipe_gets_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
