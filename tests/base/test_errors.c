/* Errors are one printable line; the reader never passes the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/base/arena.h"
#include "runtime/base/reader.h"
#include "runtime/base/status.h"

static void a_line_is_printable(void **state) {
    (void)state;
    TernError e;
    assert_int_equal(tn_fail(&e, TERN_ERR_INPUT, "key %s", "a\nb\x1b[2J\x7f"), TERN_ERR_INPUT);
    assert_string_equal(e.text, "key a\\x0ab\\x1b[2J\\x7f");
    assert_int_equal(e.code, TERN_ERR_INPUT);
    tn_fail(&e, TERN_ERR_ENV, "%s", "\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x8c\xb2"); /* UTF-8 stays */
    assert_string_equal(e.text, "\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x8c\xb2");
    /* broken, overlong, C1, surrogate, right-to-left override */
    tn_fail(&e, TERN_ERR_ENV, "%s", "\xc3|\xc0\xaf|\xc2\x85|\xed\xa0\x80|\xe2\x80\xae");
    assert_string_equal(e.text, "\\xc3|\\xc0\\xaf|\\xc2\\x85|\\xed\\xa0\\x80|\\xe2\\x80\\xae");
    assert_int_equal(tn_fail(NULL, TERN_ERR_MEMORY, "x"), TERN_ERR_MEMORY);
}

static void a_long_line_is_cut(void **state) {
    (void)state;
    TernError e;
    char text[5000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    tn_fail(&e, TERN_ERR_INPUT, "%s", text);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_string_equal(e.text + sizeof e.text - 5, "a...");
    memset(text, '\n', sizeof text - 1);
    tn_fail(&e, TERN_ERR_INPUT, "%s", text);
    assert_true(strlen(e.text) < sizeof e.text);
    assert_string_equal(e.text + strlen(e.text) - 7, "\\x0a...");
}

static void context_goes_in_front(void **state) {
    (void)state;
    TernError e;
    tn_fail(&e, TERN_ERR_INPUT, "dims 5, expected 1 to 4");
    assert_int_equal(tn_fail_in(&e, TERN_ERR_ENV, "%s", "m.gguf"), TERN_ERR_INPUT); /* the first code stays */
    assert_string_equal(e.text, "m.gguf: dims 5, expected 1 to 4");
    tn_fail(&e, TERN_ERR_INPUT, "again: %s", e.text); /* its own text as an argument */
    assert_string_equal(e.text, "again: m.gguf: dims 5, expected 1 to 4");
    assert_int_equal(tn_fail_in(NULL, TERN_ERR_ENV, "x"), TERN_ERR_ENV);
}

/* Runs body in a child; gives what it wrote to stderr, and how it ended. */
static int ending(void (*body)(void), char *out, size_t cap) {
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], 2);
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        body();
        _exit(99);
    }
    close(fd[1]);
    size_t n = 0;
    ssize_t k;
    while ((k = read(fd[0], out + n, cap - 1 - n)) > 0) n += (size_t)k;
    out[n] = '\0';
    close(fd[0]);
    int status;
    waitpid(pid, &status, 0);
    return status;
}
static void make_bug(void) {
    TN_BUG("value %d", 7);
}
static void make_check(void) {
    TN_CHECK(1 + 1 == 3);
}
static void exhaust(void) {
    tn_out_of_memory(123456);
}

static void bugs_abort_and_memory_exits(void **state) {
    (void)state;
    char out[400];
    int status = ending(make_bug, out, sizeof out);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(out, "tern: bug: "));
    assert_non_null(strstr(out, "test_errors.c:"));
    assert_non_null(strstr(out, ": value 7\n"));
    status = ending(make_check, out, sizeof out);
    assert_true(WIFSIGNALED(status));
    assert_non_null(strstr(out, "check failed: 1 + 1 == 3"));
    status = ending(exhaust, out, sizeof out);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_string_equal(out, "tern: out of memory: 123456 bytes requested\n");
}

static void reader_stops_at_the_end(void **state) {
    (void)state;
    static const uint8_t bytes[7] = {1, 2, 0, 0, 0, 9, 8};
    TnReader r = tn_reader(bytes, sizeof bytes);
    uint8_t u8;
    uint16_t u16 = 55;
    uint32_t u32;
    uint64_t u64 = 66;
    assert_false(tn_read_u64(&r, &u64));
    assert_int_equal(u64, 66); /* nothing changed */
    assert_int_equal(r.pos, 0);
    assert_true(tn_read_u8(&r, &u8) && u8 == 1);
    assert_true(tn_read_u32(&r, &u32) && u32 == 2); /* unaligned */
    assert_null(tn_read(&r, 3));
    assert_null(tn_read(&r, SIZE_MAX));
    assert_true(tn_read_u16(&r, &u16) && u16 == 0x0809);
    assert_int_equal(tn_left(&r), 0);
    assert_non_null(tn_read(&r, 0));
    assert_false(tn_read_u8(&r, &u8));
}

static void arithmetic_fails_instead_of_wrapping(void **state) {
    (void)state;
    size_t x;
    assert_true(tn_add(SIZE_MAX - 1, 1, &x) && x == SIZE_MAX);
    assert_false(tn_add(SIZE_MAX, 1, &x));
    assert_true(tn_mul(1u << 31, 1u << 31, &x) && x == (size_t)1 << 62);
    assert_false(tn_mul((size_t)1 << 32, (size_t)1 << 32, &x));
    assert_true(tn_mul(0, SIZE_MAX, &x) && x == 0);
    assert_true(tn_align_up(33, 32, &x) && x == 64);
    assert_true(tn_align_up(64, 32, &x) && x == 64);
    assert_false(tn_align_up(SIZE_MAX - 3, 32, &x));
    assert_true(tn_range_ok(10, 0, 10) && tn_range_ok(3, 7, 10));
    assert_false(tn_range_ok(3, 8, 10));
    assert_false(tn_range_ok(11, 0, 10));
    assert_false(tn_range_ok(5, UINT64_MAX - 2, 10)); /* the sum would wrap to 2 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_printable),     cmocka_unit_test(a_long_line_is_cut),
        cmocka_unit_test(context_goes_in_front),   cmocka_unit_test(bugs_abort_and_memory_exits),
        cmocka_unit_test(reader_stops_at_the_end), cmocka_unit_test(arithmetic_fails_instead_of_wrapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
