/* Refusals before any work: missing inputs, outputs that are inputs, outputs that cannot be written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/base/files.h"
#include "runtime/base/os.h"

static char folder[] = "/tmp/tern-files-XXXXXX";
static void write_file(const char *path) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("text", f);
    fclose(f);
}
static int enter(void **state) {
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    write_file("in");
    return link("in", "hard") || symlink("in", "soft") || symlink("soft", "softer") || mkdir("sub", 0777) ||
           symlink("sub", "way") || symlink("new", "dangling") || mkfifo("fifo", 0666);
}
static int leave(void **state) {
    (void)state;
    static const char *const names[] = {"in", "hard", "soft", "softer", "way", "dangling", "fifo", "new"};
    for (size_t i = 0; i < TN_COUNT(names); i++) unlink(names[i]);
    return rmdir("sub") || chdir("/") || rmdir(folder);
}

/* expected NULL: fine; otherwise a piece of the line. */
static void expect(TnFileUse a, TnFileUse b, const char *expected) {
    const TnFileUse files[] = {a, {"not given", NULL, TN_FILE_IN}, b};
    TernError err = {0};
    TernStatus st = tn_files_check(files, TN_COUNT(files), &err);
    if (!expected && st != TERN_OK) fail_msg("refused: %s", err.text);
    if (expected && (st == TERN_OK || !strstr(err.text, expected)))
        fail_msg("got '%s', expected '%s'", err.text, expected);
}

static void an_output_is_no_input(void **state) {
    (void)state;
    static const char *const names[] = {"in", "./in", "sub/../in", "way/../in", "hard", "soft", "softer"};
    for (size_t i = 0; i < TN_COUNT(names); i++)
        for (size_t j = 0; j < TN_COUNT(names); j++) {
            TnFileUse in = {"the input", names[i], TN_FILE_IN};
            for (int use = TN_FILE_OUT; use <= TN_FILE_CACHE_MAYBE; use++) {
                TnFileUse out = {"-o", names[j], (TnUse)use};
                char text[100];
                snprintf(text, sizeof text, "-o %s is the same file as the input %s, which is read", names[j],
                         names[i]);
                expect(in, out, text);
                expect(out, in, text); /* in whatever order */
            }
        }
    expect((TnFileUse){"a", "in", TN_FILE_IN}, (TnFileUse){"b", "hard", TN_FILE_IN}, NULL);
    expect((TnFileUse){"a", "in", TN_FILE_IN}, (TnFileUse){"-o", "new", TN_FILE_OUT}, NULL);
    expect((TnFileUse){"the program", "in", TN_FILE_LOADED}, (TnFileUse){"-o", "hard", TN_FILE_OUT},
           "-o hard is the same file as the program, which is read");
    expect((TnFileUse){"the program", "none", TN_FILE_LOADED}, (TnFileUse){"-o", "new", TN_FILE_OUT}, NULL);
    assert_int_not_equal(access("new", F_OK), 0);
}

static void a_text_may_replace_itself(void **state) {
    (void)state;
    TnFileUse text = {"the graph", "in", TN_FILE_TEXT};
    expect(text, (TnFileUse){"-o", "in", TN_FILE_OUT}, NULL);
    expect(text, (TnFileUse){"-o", "soft", TN_FILE_OUT}, NULL);
    expect(text, (TnFileUse){"-o", "in", TN_FILE_BINARY}, "the same file");
    expect(text, (TnFileUse){"-o", "in", TN_FILE_NAMED}, "the same file");
}

static void two_outputs_are_two_files(void **state) {
    (void)state;
    TnFileUse out = {"-o", "new", TN_FILE_OUT};
    expect(out, (TnFileUse){"--json", "./new", TN_FILE_OUT},
           "--json ./new is the same file as -o new: give another");
    expect(out, (TnFileUse){"--json", "way/../new", TN_FILE_OUT}, "the same file");
    expect(out, (TnFileUse){"--json", "dangling", TN_FILE_OUT}, "the same file");
    expect(out, (TnFileUse){"--json", "sub/new", TN_FILE_OUT}, NULL);
    expect((TnFileUse){"-o", "sub/new", TN_FILE_OUT}, (TnFileUse){"--json", "way/new", TN_FILE_OUT},
           "the same file");
    expect((TnFileUse){"-o", "in", TN_FILE_OUT}, (TnFileUse){"--json", "hard", TN_FILE_OUT}, "the same file");
    expect((TnFileUse){"-o", "/dev/null", TN_FILE_OUT}, (TnFileUse){"--json", "/dev/null", TN_FILE_OUT},
           NULL);
    expect((TnFileUse){"-f", "/dev/null", TN_FILE_IN}, (TnFileUse){"-o", "/dev/null", TN_FILE_OUT}, NULL);
    expect((TnFileUse){"-f", "fifo", TN_FILE_IN}, (TnFileUse){"-o", "fifo", TN_FILE_OUT}, "the same file");
}

static void what_the_shell_opened_counts(void **state) {
    (void)state;
    int old[2] = {dup(0), dup(1)}, in = open("in", O_RDONLY), out = open("hard", O_WRONLY | O_APPEND);
    TnFileUse given = {"-f", "in", TN_FILE_IN}, text = {"the graph", "in", TN_FILE_TEXT};
    TnFileUse from = {"-f", "-", TN_FILE_IN}, to = {"standard output", "-", TN_FILE_OUT};
    fflush(stdout);
    dup2(in, 0);
    dup2(out, 1);
    TernError errs[5] = {0};
    const TnFileUse pairs[5][2] = {{given, to},
                                   {text, to},
                                   {from, to},
                                   {given, {"-o", "/dev/stdout", TN_FILE_OUT}},
                                   {from, {"-o", "in", TN_FILE_OUT}}};
    for (int i = 0; i < 5; i++) tn_files_check(pairs[i], 2, &errs[i]);
    dup2(old[0], 0);
    dup2(old[1], 1);
    static const char *const expected[5] = {
        "standard output is the same file as -f in", "standard output is the same file as the graph in",
        "standard output is the same file as standard input", "-o /dev/stdout is the same file as -f in",
        "-o in is the same file as standard input"};
    for (int i = 0; i < 5; i++)
        if (!strstr(errs[i].text, expected[i]))
            fail_msg("got '%s', expected '%s'", errs[i].text, expected[i]);
    expect(from, (TnFileUse){"the graph", "-", TN_FILE_TEXT},
           "standard input is given twice, as -f and as the graph");
    int fds[4] = {old[0], old[1], in, out};
    for (int i = 0; i < 4; i++) close(fds[i]);
}

static void bad_names_are_refused(void **state) {
    (void)state;
    char name[300], path[5000], longest[256], fd[32];
    TnFileUse in = {"-f", "in", TN_FILE_IN};
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memset(path, '/', sizeof path - 1);
    path[sizeof path - 1] = 0;
    memset(longest, 'l', 255);
    longest[255] = 0;
    expect(in, (TnFileUse){"-f", "none", TN_FILE_IN}, "none: cannot open: No such file or directory");
    expect(in, (TnFileUse){"-f", "sub", TN_FILE_IN}, "sub: is a directory, expected a regular file");
    expect(in, (TnFileUse){"-f", "", TN_FILE_IN}, "-f: the name is empty, expected a file");
    expect(in, (TnFileUse){"-o", "", TN_FILE_OUT}, "-o: the name is empty, expected a file");
    expect(in, (TnFileUse){"-o", name, TN_FILE_OUT}, "the name is too long: 299 bytes, expected at most 255");
    expect(in, (TnFileUse){"-o", path, TN_FILE_OUT},
           "the path is too long: 4999 bytes, expected at most 4095");
    expect(in, (TnFileUse){"-o", "none/new", TN_FILE_OUT},
           "none/new: cannot write: the folder none is not there");
    expect(in, (TnFileUse){"-o", "none/", TN_FILE_OUT}, "none/: cannot write: the folder none is not there");
    expect(in, (TnFileUse){"-o", "hard/new", TN_FILE_OUT},
           "hard/new: cannot write: the folder hard is not a folder");
    expect(in, (TnFileUse){"-o", "sub", TN_FILE_OUT}, "sub: is a directory, expected a file to write");
    expect(in, (TnFileUse){"-o", "-", TN_FILE_NAMED},
           "-o: got '-', expected a file; for a file of that name write ./-");
    expect(in, (TnFileUse){"-o", "-", TN_FILE_CACHE},
           "-o: got '-', expected a file; for a file of that name write ./-");
    expect(in, (TnFileUse){"-o", "none/new", TN_FILE_CACHE_MAYBE}, NULL);
    expect(in, (TnFileUse){"-o", "fifo", TN_FILE_BINARY}, NULL); /* and nobody waits for a reader */
    int readable = open("in", O_RDONLY);
    snprintf(fd, sizeof fd, "/dev/fd/%d", readable);
    expect((TnFileUse){"-f", "/dev/null", TN_FILE_IN}, (TnFileUse){"-o", fd, TN_FILE_OUT},
           "cannot write: Bad file descriptor");
    close(readable);
    expect(in, (TnFileUse){"-o", fd, TN_FILE_OUT}, "cannot write: Bad file descriptor");
    /* the longest name: the temporary name must be cut */
    TnWriter w;
    TernError err;
    for (int i = 0; i < 2; i++) {
        expect(in, (TnFileUse){"-o", longest, TN_FILE_OUT}, NULL);
        assert_int_equal(tn_writer_open(longest, &w, &err), TERN_OK);
        assert_int_equal(tn_writer_put(&w, "x", 1, &err), TERN_OK);
        assert_int_equal(tn_writer_commit(&w, &err), TERN_OK);
    }
    assert_int_equal(unlink(longest), 0);
}

static void a_link_to_nothing_is_followed(void **state) {
    (void)state;
    TnWriter w;
    TernError err;
    struct stat st;
    assert_int_equal(tn_writer_open("dangling", &w, &err), TERN_OK);
    assert_int_equal(tn_writer_put(&w, "x", 1, &err), TERN_OK);
    assert_int_equal(tn_writer_commit(&w, &err), TERN_OK);
    assert_int_equal(lstat("dangling", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(lstat("new", &st), 0);
    assert_true(S_ISREG(st.st_mode) && st.st_size == 1);
    assert_int_equal(unlink("new"), 0);
}

/* An open descriptor is written from its current position: a shell's >> keeps the old contents. */
static void descriptors_are_written_on(void **state) {
    (void)state;
    TnWriter w;
    TernError err;
    char name[32], got[16] = {0};
    int fd = open("new", O_RDWR | O_CREAT | O_APPEND, 0666);
    assert_int_equal(write(fd, "one", 3), 3);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    assert_int_equal(tn_os_standard(name), fd);
    assert_int_equal(tn_writer_open(name, &w, &err), TERN_OK);
    assert_true(w.direct);
    assert_int_equal(tn_writer_put(&w, "two", 3, &err), TERN_OK);
    assert_int_equal(tn_writer_commit(&w, &err), TERN_OK);
    assert_int_equal(write(fd, "!", 1), 1); /* it is open still */
    assert_int_equal(pread(fd, got, sizeof got, 0), 7);
    assert_string_equal(got, "onetwo!");
    close(fd);
    assert_int_equal(unlink("new"), 0);
    assert_int_equal(tn_os_standard("-"), 1);
    assert_int_equal(tn_os_standard("/dev/stdin"), 0);
    assert_int_equal(tn_os_standard("/dev/stderr"), 2);
    assert_int_equal(tn_os_standard("/dev/fd/"), -1);
    assert_int_equal(tn_os_standard("/dev/fd/1x"), -1);
    assert_int_equal(tn_os_standard("./-"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_output_is_no_input),      cmocka_unit_test(a_text_may_replace_itself),
        cmocka_unit_test(two_outputs_are_two_files),  cmocka_unit_test(what_the_shell_opened_counts),
        cmocka_unit_test(bad_names_are_refused),      cmocka_unit_test(a_link_to_nothing_is_followed),
        cmocka_unit_test(descriptors_are_written_on),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
