/* Resources: opening a blob touches no weights, running one never loads the compiler, no page is ever
 * writable and executable at once, and if there is not enough memory or threads, however little there is, the
 * program reports it in one line and exits with 1. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"
#include "runtime/base/os.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define TERN TERN_BUILD_DIR "/tern"

static char blob_path[] = "/tmp/tern-resources-XXXXXX";
static bool native; /* the blob has code for this machine; else it is evaluated */
static TerncReport report;

/* ---- mappings */

/* Lines of a process's maps that are writable and executable; *names gets those that hold a word of it. */
static int count_wx(const char *maps, const char *const *names, int n_names, bool *seen) {
    FILE *f = fopen(maps, "r");
    char line[512];
    int wx = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        const char *flags = strchr(line, ' ');
        wx += flags && flags[2] == 'w' && flags[3] == 'x';
        for (int i = 0; i < n_names; i++) seen[i] |= strstr(line, names[i]) != NULL;
    }
    fclose(f);
    return wx;
}

static int wx_now(void) {
    return count_wx("/proc/self/maps", NULL, 0, NULL);
}

static int n_looks;
static void look(void *user, const TernResult *r) {
    (void)r;
    *(int *)user += wx_now();
    n_looks++;
}

static int look_while_compiling(void *user, const char *phase, uint64_t done, uint64_t total) {
    (void)phase, (void)done, (void)total;
    look(user, NULL);
    return 0;
}

static void step_and_look(TernModel *m, int *wx) {
    TernError err = {0};
    TernPool *pool;
    TernSession *s;
    TernRow row = {1, 0, TERN_WANT_GREEDY};
    assert_int_equal(tern_pool_create(NULL, &pool, &err), TERN_OK);
    *wx += wx_now();
    assert_int_equal(tern_session_create(m, pool, NULL, &s, &err), TERN_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(tern_session_step(s, &row, 1, look, wx, &err), TERN_OK);
    tern_session_destroy(s);
    tern_pool_destroy(pool);
    tern_model_close(m);
    *wx += wx_now();
}

static TernModel *open_blob(void) {
    TernError err = {0};
    TernModel *m;
    if ((native ? tern_model_open : ternc_open_ref)(blob_path, NULL, &m, &err) != TERN_OK)
        fail_msg("%s", err.text);
    return m;
}

static void skip_unless(bool can, const char *why) {
    if (can) return;
    print_message("skipped: %s\n", why);
    skip();
}

static void test_no_page_is_writable_and_executable(void **state) {
    (void)state;
    int wx = wx_now();
    step_and_look(open_blob(), &wx);
    TernError err = {0};
    TernModel *m;
    TerncOptions o = {.size = sizeof o,
                      .levels = native ? NULL : "ref",
                      .target = native ? NULL : "ref",
                      .progress = look_while_compiling,
                      .user = &wx};
    if (ternc_load(NULL, &o, NULL, &m, &err) != TERN_OK) fail_msg("%s", err.text);
    step_and_look(m, &wx);
    assert_int_equal(wx, 0);
    assert_true(n_looks > 6);
}

/* ---- opening */

/* Bytes of a file's mappings that this process has touched, or that came with a page that it touched. */
static size_t resident_of(const char *path) {
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    size_t kb, sum = 0;
    unsigned long lo, hi;
    bool inside = false;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
            inside = strstr(line, path) != NULL;
        else if (inside && sscanf(line, "Rss: %zu kB", &kb) == 1)
            sum += kb << 10;
    }
    fclose(f);
    return sum;
}

/* What makes opening fast whatever the model's size: all is read and checked but the weights, of which no
 * page is touched. The time itself depends on the machine and is only printed. */
static void test_opening_touches_no_weights(void **state) {
    (void)state;
    skip_unless(!SANITIZED, "under a sanitizer, which takes its own time and memory");
    skip_unless(native, "this build or machine runs no compiled code");
    enum { NEIGHBOURS = 256 << 10 }; /* the system maps pages beside the one that is touched */
    assert_int_equal(report.n_variants, 18);
    double best = 1e9;
    for (int i = 0; i < 7; i++) {
        double start = tn_os_seconds();
        TernModel *m = open_blob();
        double took = tn_os_seconds() - start;
        if (took < best) best = took;
        size_t touched = resident_of(blob_path), most = report.file_bytes - report.weight_bytes + NEIGHBOURS;
        assert_true(touched > 0);
        if (touched > most)
            fail_msg("opening touched %zu bytes of %llu, expected at most %zu: %llu are weights", touched,
                     (unsigned long long)report.file_bytes, most, (unsigned long long)report.weight_bytes);
        tern_model_close(m);
    }
    print_message("%u variants open in %.2f ms\n", report.n_variants, best * 1e3);
}

/* ---- the program */

/* Starts it; standard output and standard error come through the pipes. as_limit: bytes of address space, 0:
 * any. */
static pid_t start(const char *const *args, size_t as_limit, int *out, int *err) {
    int o[2], e[2];
    assert_int_equal(pipe(o), 0);
    assert_int_equal(pipe(e), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit r = {as_limit, as_limit}, none = {0, 0};
        dup2(o[1], 1);
        dup2(e[1], 2);
        for (int i = 0; i < 2; i++) close(o[i]), close(e[i]);
        setrlimit(RLIMIT_CORE, &none);
        if (as_limit) setrlimit(RLIMIT_AS, &r);
        execv(TERN, (char *const *)(uintptr_t)args);
        _exit(126);
    }
    close(o[1]);
    close(e[1]);
    *out = o[0];
    *err = e[0];
    return pid;
}

static void test_running_a_blob_never_loads_the_compiler(void **state) {
    (void)state;
    skip_unless(native, "this build or machine runs no compiled code");
    const char *const args[] = {TERN, "run", blob_path,      "--tokens",       "1,2",
                                "-n", "-1",  "--ignore-eos", "--print-tokens", NULL};
    static const char *const names[] = {"/libtern.so", "libternc", "libLLVM", "libstdc++"};
    bool seen[4] = {false};
    int out, err, status;
    char byte, maps[64];
    pid_t pid = 0;
    for (int i = 0; i < 100; i++) { /* it may have come to its end before it is stopped */
        pid = start(args, 0, &out, &err);
        assert_int_equal(read(out, &byte, 1), 1); /* the first token is there */
        kill(pid, SIGSTOP);
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        if (WIFSTOPPED(status)) break;
        close(out);
        close(err);
    }
    assert_true(WIFSTOPPED(status));
    snprintf(maps, sizeof maps, "/proc/%d/maps", (int)pid);
    int wx = count_wx(maps, names, 4, seen);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    close(out);
    close(err);
    assert_true(seen[0]);
    for (int i = 1; i < 4 - (SANITIZED ? 1 : 0); i++)
        if (seen[i]) fail_msg("running a blob loads %s", names[i]);
    assert_int_equal(wx, 0);
}

/* What is resident: the weights of the level that runs, the session, and the program itself with its
 * libraries. */
static void test_running_takes_the_weights_and_the_plan(void **state) {
    (void)state;
    skip_unless(!SANITIZED, "under a sanitizer, which takes its own time and memory");
    skip_unless(native, "this build or machine runs no compiled code");
    TernModel *m = open_blob();
    TernModelInfo info;
    TernSessionBytes plan = {.size = sizeof plan};
    TernPool *pool;
    TernError err = {0};
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    TernSessionOptions so = {.size = sizeof so, .context = 512};
    tern_model_info(m, &info);
    if (tern_pool_create(&po, &pool, &err) || tern_session_bytes(m, pool, &so, &plan, &err))
        fail_msg("%s", err.text);
    tern_pool_destroy(pool);
    tern_model_close(m);
    const char *const ways[] = {NULL, "--huge"};
    for (int i = 0; i < 2; i++) {
        const char *const args[] = {TERN, "run", blob_path, "--tokens",       "1,2",   "-n", "4", "-t",
                                    "2",  "-c",  "512",     "--print-tokens", ways[i], NULL};
        char skipped[4096];
        int out, e, status;
        struct rusage used;
        pid_t pid = start(args, 0, &out, &e);
        while (read(out, skipped, sizeof skipped) > 0 || read(e, skipped, sizeof skipped) > 0) {
        }
        assert_int_equal(wait4(pid, &status, 0, &used), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        close(out);
        close(e);
        double mb = (double)used.ru_maxrss * 1024 / 1e6;
        double most = (double)(info.weight_bytes + plan.total) / 1e6 + 50;
        print_message("run -c 512 %s: %.1f MB resident, of at most %.1f\n", ways[i] ? ways[i] : "", mb, most);
        if (mb >= most) fail_msg("%.1f MB are resident, expected less than %.1f", mb, most);
    }
}

/* Runs with so much address space; true if it ran. */
static bool check_limit(const char *const *args, size_t limit) {
    char text[4096] = "", skipped[4096];
    int out, err, status;
    size_t n = 0;
    pid_t pid = start(args, limit, &out, &err);
    while (read(out, skipped, sizeof skipped) > 0) {
    }
    for (ssize_t r; n + 1 < sizeof text && (r = read(err, text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)r;
    waitpid(pid, &status, 0);
    close(out);
    close(err);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    /* The C library's own last words, before main and where a library's thread-local data finds no room. */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return false;
    const char *end = strchr(text, '\n');
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || strncmp(text, "tern: ", 6) || !end || end[1])
        fail_msg("with %zu KB of address space: status 0x%x, expected exit 1 and one line: '%s'", limit >> 10,
                 status, text);
    return false;
}

static void check_limits(const char *const *args, size_t from, size_t to, int percent) {
    int ran = 0, refused = 0;
    for (size_t limit = from; limit < to; limit += limit / 100 * (size_t)percent) {
        if (check_limit(args, limit))
            ran++;
        else
            refused++;
    }
    print_message("%d limits on memory: %d ran, %d refused\n", ran + refused, ran, refused);
    assert_true(ran > 0 && refused > 0);
}

static void test_little_memory_to_run_with(void **state) {
    (void)state;
    skip_unless(!SANITIZED, "under a sanitizer, which takes its own time and memory");
    skip_unless(native, "this build or machine runs no compiled code");
    const char *const args[] = {TERN, "run", blob_path, "--tokens",       "1,2", "-n",
                                "2",  "-t",  "3",       "--print-tokens", NULL};
    check_limits(args, 4 << 20, 64 << 20, 6);
}

static void test_little_memory_to_compile_with(void **state) {
    (void)state;
    skip_unless(!SANITIZED, "under a sanitizer, which takes its own time and memory");
    skip_unless(native, "this build or machine runs no compiled code");
    const char *const args[] = {TERN,    "run",  "--tokens",       "1,2", "-n", "2", "-t", "1",
                                "--cpu", "avx2", "--print-tokens", NULL};
    check_limits(args, 64 << 20, 480 << 20, 14);
}

static void test_more_threads_than_can_be_had(void **state) {
    (void)state;
    skip_unless(!SANITIZED, "under a sanitizer, which takes its own time and memory");
    skip_unless(native, "this build or machine runs no compiled code");
    /* as many as any machine lets a flag say, with stacks of 100 MB: the fourth has no room, the third had */
    const char *const args[] = {TERN, "run", blob_path, "--tokens",       "1,2", "-n",
                                "2",  "-t",  "4",       "--print-tokens", NULL};
    struct rlimit before, stack;
    assert_int_equal(getrlimit(RLIMIT_STACK, &before), 0);
    stack = before;
    stack.rlim_cur = 100 << 20;
    if (setrlimit(RLIMIT_STACK, &stack) != 0) skip();
    bool ran = check_limit(args, 280 << 20), ran_with_more = check_limit(args, 600 << 20);
    assert_int_equal(setrlimit(RLIMIT_STACK, &before), 0);
    assert_false(ran);
    assert_true(ran_with_more);
}

static int setup(void **state) {
    (void)state;
    TernError err = {0};
    native = strstr(native_levels(), "avx2") != NULL;
    /* both levels whatever this machine has: twice two caches of three batch classes */
    TerncOptions o = {.size = sizeof o, .levels = native ? "avx512-vnni,avx2" : "ref"};
    int fd = mkstemp(blob_path);
    if (fd < 0 || close(fd) || ternc_compile(NULL, &o, blob_path, &report, &err) != TERN_OK) {
        print_error("setup: %s\n", err.text);
        return 1;
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return unlink(blob_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_page_is_writable_and_executable),
        cmocka_unit_test(test_opening_touches_no_weights),
        cmocka_unit_test(test_running_a_blob_never_loads_the_compiler),
        cmocka_unit_test(test_running_takes_the_weights_and_the_plan),
        cmocka_unit_test(test_little_memory_to_run_with),
        cmocka_unit_test(test_little_memory_to_compile_with),
        cmocka_unit_test(test_more_threads_than_can_be_had),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
