/* Files, mappings and code memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/base/os.h"

static char folder[] = "/tmp/tern-os-XXXXXX";
static int enter(void **state) {
    (void)state;
    return !(mkdtemp(folder) && chdir(folder) == 0);
}
static int files_here(void) {
    DIR *d = opendir(".");
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}
static int leave(void **state) {
    (void)state;
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') unlink(e->d_name);
    closedir(d);
    return chdir("/") || rmdir(folder);
}
static void put(const char *path, const void *bytes, size_t n) {
    TnWriter w;
    TernError e;
    assert_int_equal(tn_writer_open(path, &w, &e), TERN_OK);
    assert_int_equal(tn_writer_put(&w, bytes, n, &e), TERN_OK);
    assert_int_equal(tn_writer_commit(&w, &e), TERN_OK);
}
static void expect_content(const char *path, const void *bytes, size_t n) {
    TnFile f;
    TernError e;
    assert_int_equal(tn_file_map(path, &f, &e), TERN_OK);
    assert_int_equal(f.size, n);
    if (n) assert_memory_equal(f.data, bytes, n);
    tn_file_unmap(&f);
    assert_null(f.data);
}

static void files_are_mapped_or_refused(void **state) {
    (void)state;
    put("a", "hello", 5);
    expect_content("a", "hello", 5);
    put("empty", "", 0);
    expect_content("empty", NULL, 0);
    TnFile f;
    TernError e;
    assert_int_equal(tn_file_map("missing\x1b", &f, &e), TERN_ERR_ENV);
    assert_string_equal(e.text, "missing\\x1b: cannot open: No such file or directory");
    assert_int_equal(tn_file_map(".", &f, &e), TERN_ERR_INPUT);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(tn_file_map("pipe", &f, &e), TERN_ERR_INPUT); /* and does not wait for a writer */
    assert_int_equal(tn_file_map("/dev/zero", &f, &e), TERN_ERR_INPUT);
    unlink("pipe");
}

static void files_are_read_up_to_a_limit(void **state) {
    (void)state;
    char *text;
    size_t n;
    TernError e;
    put("a", "hello", 5);
    assert_int_equal(tn_file_read("a", 5, &text, &n, &e), TERN_OK);
    assert_int_equal(n, 5);
    assert_string_equal(text, "hello");
    free(text);
    assert_int_equal(tn_file_read("a", 4, &text, &n, &e), TERN_ERR_INPUT);
    assert_null(text);
    assert_string_equal(e.text, "a: is longer than 4 bytes");
    assert_int_equal(tn_file_read("/dev/zero", 100000, &text, &n, &e), TERN_ERR_INPUT); /* endless */
    assert_int_equal(tn_file_read("missing", 4, &text, &n, &e), TERN_ERR_ENV);
    assert_int_equal(tn_file_read(".", 4, &text, &n, &e), TERN_ERR_ENV);
    /* a pipe, as standard input */
    int fd[2], old = dup(0);
    assert_int_equal(pipe(fd), 0);
    dup2(fd[0], 0);
    static char big[50001];
    memset(big, 'z', sizeof big);
    assert_int_equal(write(fd[1], big, sizeof big), sizeof big);
    close(fd[1]);
    assert_int_equal(tn_file_read("-", 1 << 20, &text, &n, &e), TERN_OK);
    assert_int_equal(n, sizeof big);
    free(text);
    close(fd[0]);
    dup2(old, 0);
    close(old);
}

static void writer_appends_and_patches(void **state) {
    (void)state;
    TnWriter w;
    TernError e;
    assert_int_equal(tn_writer_open("w", &w, &e), TERN_OK);
    assert_int_equal(tn_writer_put(&w, "abc", 3, &e), TERN_OK);
    assert_int_equal(w.pos, 3);
    assert_int_equal(tn_writer_put(&w, "d", 1, &e), TERN_OK);
    assert_int_equal(tn_writer_put_at(&w, 1, "XY", 2, &e), TERN_OK);
    assert_int_equal(tn_writer_put(&w, "e", 1, &e), TERN_OK);
    assert_int_equal(access("w", F_OK), -1); /* not before commit */
    assert_int_equal(tn_writer_commit(&w, &e), TERN_OK);
    expect_content("w", "aXYde", 5);
    struct stat st;
    mode_t mask = umask(022);
    umask(mask);
    assert_int_equal(stat("w", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
}

static void abort_and_failure_leave_the_old_file(void **state) {
    (void)state;
    TnWriter w;
    TernError e;
    put("old", "old", 3);
    int before = files_here();
    assert_int_equal(tn_writer_open("old", &w, &e), TERN_OK);
    assert_int_equal(tn_writer_put(&w, "new", 3, &e), TERN_OK);
    tn_writer_abort(&w);
    tn_writer_abort(&w); /* twice is harmless */
    expect_content("old", "old", 3);
    /* a write that fails, because the writer's descriptor was closed */
    assert_int_equal(tn_writer_open("old", &w, &e), TERN_OK);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(fd, w.fd);
    close(fd);
    assert_int_equal(tn_writer_put(&w, "new", 3, &e), TERN_ERR_ENV);
    assert_non_null(strstr(e.text, "old: cannot write: "));
    assert_int_equal(tn_writer_put(&w, "new", 3, &e), TERN_ERR_ENV); /* no way back */
    assert_int_equal(tn_writer_commit(&w, &e), TERN_ERR_ENV);
    expect_content("old", "old", 3);
    assert_int_equal(tn_writer_open("no/such/folder", &w, &e), TERN_ERR_ENV);
    assert_int_equal(tn_writer_open(".", &w, &e), TERN_ERR_INPUT);
    assert_int_equal(files_here(), before);
}

static void devices_and_links_are_not_replaced(void **state) {
    (void)state;
    put("/dev/null", "x", 1);
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    put("real", "1", 1);
    unlink("link");
    assert_int_equal(symlink("real", "link"), 0);
    put("link", "22", 2);
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_content("real", "22", 2);
}

/* SIGKILL after every number of steps: the target is always the old file or the whole new one. */
static void kill_points_leave_nothing_behind(void **state) {
    (void)state;
    put("target", "old", 3);
    int before = files_here();
    for (int point = 0; point < 6; point++) {
        pid_t pid = fork();
        if (pid == 0) {
            TnWriter w;
            for (int step = 0;; step++) {
                if (step == point) raise(SIGKILL);
                if (step == 0)
                    tn_writer_open("target", &w, NULL);
                else if (step < 4)
                    tn_writer_put(&w, "new", 3, NULL);
                else
                    tn_writer_commit(&w, NULL);
            }
        }
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        if (point <= 4)
            expect_content("target", "old", 3);
        else
            expect_content("target", "newnewnew", 9);
        TnWriter probe; /* without nameless files a .tmp- file may stay, but the target is never partial */
        assert_int_equal(tn_writer_open("target", &probe, NULL), TERN_OK);
        bool nameless = probe.temp == NULL;
        tn_writer_abort(&probe);
        if (nameless) assert_int_equal(files_here(), before);
    }
}

/* What a signal handler calls removes the writers' files, and no file that only looks like one. */
static void clean_up_removes_temporary_files_alone(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int flags;
        bool stays;
    } files[] = {
        {"a.tmp-0123456789abcdef", O_WRONLY | O_CLOEXEC, false},
        {"b b.tern.tmp-fedcba9876543210", O_WRONLY | O_CLOEXEC, false},
        {"read.tmp-0123456789abcdef", O_RDONLY | O_CLOEXEC, true},
        {"inherited.tmp-0123456789abcdef", O_WRONLY, true},
        {"upper.tmp-0123456789ABCDEF", O_WRONLY | O_CLOEXEC, true},
        {"short.tmp-0123456789abcde", O_WRONLY | O_CLOEXEC, true},
        {"long.tmp-00123456789abcdef", O_WRONLY | O_CLOEXEC, true},
        {"0123456789abcdef", O_WRONLY | O_CLOEXEC, true},
    };
    enum { N = sizeof files / sizeof *files };
    int fds[N];
    for (int i = 0; i < N; i++) {
        fds[i] = open(files[i].name, files[i].flags | O_CREAT, 0600);
        assert_true(fds[i] >= 0);
    }
    TnWriter w; /* one that is being written, with a name or without */
    TernError e;
    int before = files_here();
    assert_int_equal(tn_writer_open("growing", &w, &e), TERN_OK);
    bool nameless = w.temp == NULL;
    assert_int_equal(files_here(), before + !nameless);
    int high = fcntl(fds[0], F_DUPFD_CLOEXEC, 1000); /* numbers of four digits, too */
    close(fds[0]);
    tn_writer_clean_up();
    assert_int_equal(files_here(), before - 2);
    for (int i = 0; i < N; i++) {
        assert_int_equal(access(files[i].name, F_OK) == 0, files[i].stays);
        if (i) close(fds[i]);
        unlink(files[i].name);
    }
    if (high >= 0) close(high);
    tn_writer_abort(&w);
}

static void memory_is_zeroed_and_aligned(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 4097, 3 << 20, 4 << 20, (5 << 20) + 1, 9 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *p;
        TernError e;
        assert_int_equal(tn_os_map(sizes[i], i & 1, &p, &e), TERN_OK);
        assert_int_equal((uintptr_t)p % (sizes[i] >= 4 << 20 ? 2 << 20 : 4096), 0);
        unsigned char *b = p;
        for (size_t j = 0; j < sizes[i]; j += 997) assert_int_equal(b[j], 0);
        if (sizes[i]) b[sizes[i] - 1] = 1;
        tn_os_unmap(p, sizes[i]);
    }
    void *p;
    TernError e;
    assert_int_equal(tn_os_map(SIZE_MAX, false, &p, &e), TERN_ERR_MEMORY);
    assert_int_equal(tn_os_map(SIZE_MAX / 4, false, &p, &e), TERN_ERR_MEMORY);
    assert_null(p);
    assert_non_null(strstr(e.text, "4611686018427387903"));
}

/* The rights of the mapping that holds p, from /proc/self/maps; *any_wx: does one map have both W and X? */
static void rights(const void *p, char out[5], bool *any_wx) {
    FILE *f = fopen("/proc/self/maps", "r");
    char line[600];
    *any_wx = false;
    strcpy(out, "none");
    while (fgets(line, sizeof line, f)) {
        unsigned long long a, b;
        char r[5];
        if (sscanf(line, "%llx-%llx %4s", &a, &b, r) != 3) continue;
        if (r[1] == 'w' && r[2] == 'x') *any_wx = true;
        if ((uintptr_t)p >= a && (uintptr_t)p < b) strcpy(out, r);
    }
    fclose(f);
}

static void code_is_never_writable_and_executable(void **state) {
    (void)state;
#if defined(__x86_64__)
    static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
#elif defined(__aarch64__)
    static const uint8_t code[] = {0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6}; /* mov w0, 42; ret */
#else
    skip();
    static const uint8_t code[1];
#endif
    void *p;
    TernError e;
    assert_int_equal(tn_os_map_code(code, sizeof code, &p, &e), TERN_OK);
    char r[5];
    bool any_wx;
    rights(p, r, &any_wx);
    assert_string_equal(r, "r-xp");
    assert_false(any_wx);
    int (*f)(void);
    memcpy(&f, &p, sizeof f);
    assert_int_equal(f(), 42);
    tn_os_unmap(p, sizeof code);
}

/* In a child, which then can make no memory executable, as under systemd's MemoryDenyWriteExecute. */
static void code_is_loaded_where_mprotect_is_refused(void **state) {
    (void)state;
    enum { SET_MDWE = 65, REFUSE_EXEC_GAIN = 1, NO_MDWE = 77 };
#if defined(__x86_64__)
    static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3};
#elif defined(__aarch64__)
    static const uint8_t code[] = {0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6};
#else
    skip();
    static const uint8_t code[1];
#endif
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        void *p;
        int (*f)(void);
        TernError e;
        char r[5];
        bool any_wx;
        if (prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0) _exit(NO_MDWE);
        if (tn_os_map_code(code, sizeof code, &p, &e) != TERN_OK) _exit(1);
        rights(p, r, &any_wx);
        memcpy(&f, &p, sizeof f);
        _exit(strcmp(r, "r-xp") != 0 || any_wx || f() != 42 ? 2 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_MDWE) {
        print_message("skipped: this kernel has no PR_SET_MDWE\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* In the folder of the test. The second lock need not be in another process, because a lock belongs to an open file. */
static void one_at_a_time_has_the_lock(void **state) {
    (void)state;
    int lock = tn_os_lock_folder("none.txt", 0);
    assert_true(lock >= 0);
    double begun = tn_os_seconds();
    assert_int_equal(tn_os_lock_folder("./some.txt", 0.05), -1);
    assert_true(tn_os_seconds() - begun >= 0.05);
    tn_os_unlock(lock);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) _exit(tn_os_lock_folder("none.txt", 600) < 0); /* ends with the lock */
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    lock = tn_os_lock_folder("none.txt", 0);
    assert_true(lock >= 0);
    tn_os_unlock(lock);
    assert_int_equal(tn_os_lock_folder("no/such/folder", 1), -1);
    tn_os_unlock(-1);
}

static void the_machine_is_known(void **state) {
    (void)state;
    assert_in_range(tn_os_cpus(), 1, 1 << 20);
    double a = tn_os_seconds(), b = tn_os_seconds();
    assert_true(b >= a);
    assert_true(tn_os_random_seed() != tn_os_random_seed());
    assert_in_range(tn_os_peak_rss(), 100000, (uint64_t)1 << 40);
}

static void the_peak_counts_anew(void **state) {
    (void)state;
    enum { BYTES = 32 << 20 };
    void *memory;
    TernError err;
    assert_int_equal(tn_os_map(BYTES, false, &memory, &err), TERN_OK);
    memset(memory, 1, BYTES);
    uint64_t high = tn_os_peak_rss();
    tn_os_unmap(memory, BYTES);
    assert_true(tn_os_peak_rss() + (1 << 20) >= high); /* the system's counts of pages may be a little late */
    if (!tn_os_peak_rss_restart()) {
        print_message("skipped: the system keeps the peak of the whole process\n");
        skip();
    }
    assert_true(tn_os_peak_rss() + BYTES / 2 < high);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_mapped_or_refused),
        cmocka_unit_test(files_are_read_up_to_a_limit),
        cmocka_unit_test(writer_appends_and_patches),
        cmocka_unit_test(abort_and_failure_leave_the_old_file),
        cmocka_unit_test(devices_and_links_are_not_replaced),
        cmocka_unit_test(kill_points_leave_nothing_behind),
        cmocka_unit_test(clean_up_removes_temporary_files_alone),
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(code_is_never_writable_and_executable),
        cmocka_unit_test(code_is_loaded_where_mprotect_is_refused),
        cmocka_unit_test(one_at_a_time_has_the_lock),
        cmocka_unit_test(the_machine_is_known),
        cmocka_unit_test(the_peak_counts_anew),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
