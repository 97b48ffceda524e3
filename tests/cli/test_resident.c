/* What a model's check leaves in memory. With a shortlisted head the table of tokens is read by a few rows for each token: once
 * it is checked, its pages are given back and the system is told not to read ahead. A step that wants all logits reads the
 * whole table, which is as usual from then on. The process's own list of mappings shows all three. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"

static void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

/* Of the mappings of a file that are read here and there: how many there are, their size and what is resident, in kB. */
typedef struct Seen {
    unsigned long n, size, resident;
} Seen;

static Seen look(const char *path) {
    FILE *f = fopen("/proc/self/smaps", "re");
    Seen seen = {0};
    unsigned long lo, hi, size = 0, resident = 0;
    char line[1024];
    int ours = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2) ours = strstr(line, path) != NULL;
        sscanf(line, "Size: %lu", &size);
        sscanf(line, "Rss: %lu", &resident);
        if (!ours || strncmp(line, "VmFlags:", 8) != 0 || !strstr(line, " rr")) continue;
        seen.n++;
        seen.size += size;
        seen.resident += resident;
    }
    if (f) fclose(f);
    return seen;
}

static void step(TernSession *s, uint32_t want) {
    TernError err = {0};
    TernRow row = {7, 0, want};
    must(tern_session_step(s, &row, 1, NULL, NULL, &err), &err);
}

static void open_and_step(const char *path, int no_check) {
    TernError err = {0};
    TernModelOptions mo = {.size = sizeof mo, .no_check = no_check};
    TernPool *pool;
    TernModel *m;
    TernSession *s;
    must(tern_pool_create(NULL, &pool, &err), &err);
    must(tern_model_open(path, &mo, &m, &err), &err);
    must(tern_session_create(m, pool, NULL, &s, &err), &err);
    Seen seen = look(path); /* the table has 896 KiB */
    assert_int_equal(seen.n, 1);
    assert_in_range(seen.size, 896 - 2 * 64, 896);
    assert_int_equal(seen.resident, 0);
    step(s, TERN_WANT_GREEDY);
    seen = look(path);
    assert_int_equal(seen.n, 1);
    step(s, TERN_WANT_LOGITS);
    assert_int_equal(look(path).n, 0);
    tern_session_destroy(s);
    tern_model_close(m);
    tern_pool_destroy(pool);
}

static void table(void **state) {
    (void)state;
    char path[] = "/tmp/tern-resident-XXXXXX";
    int fd = mkstemp(path);
    TernError err = {0};
    TerncOptions o = {.size = sizeof o, .head = "q6", .best = 1};
    assert_true(fd >= 0);
    close(fd);
    must(ternc_compile(NULL, &o, path, NULL, &err), &err);
    open_and_step(path, 0);
    open_and_step(path, 1);
    unlink(path);
}

int main(void) {
    if (!*native_levels()) {
        puts("skipped: no code for this machine in this build");
        return 77;
    }
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[1024] = "";
    while (f && fgets(line, sizeof line, f) && strncmp(line, "VmFlags:", 8) != 0) line[0] = 0;
    if (f) fclose(f);
    if (!*line) {
        puts("skipped: the system does not show the flags of mappings");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
