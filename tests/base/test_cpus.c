/* The quota of processor time and the limit of memory, read from made-up folders in place of / : cgroup v1, v2 and both, with and without a
 * namespace, the smallest quota of a group and those above it, and malformed files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/base/cgroup.h"
#include "runtime/base/cpus.h"
#include "runtime/base/os.h"

static char folder[] = "/tmp/tern-cpus-XXXXXX";

static int gone(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}
static int enter(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}
static int leave(void **state) {
    (void)state;
    return nftw(folder, gone, 8, FTW_DEPTH | FTW_PHYS);
}

/* A file below the folder, and the folders above it. */
static void put(const char *path, const char *text, size_t n) {
    char full[1024];
    snprintf(full, sizeof full, "%s/root/%s", folder, path);
    for (char *p = strchr(full + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        (void)mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static TnCpus cpus(void) {
    char root[1024];
    snprintf(root, sizeof root, "%s/root", folder);
    TnCpus c = tn_cpus(root);
    assert_int_equal(c.processors, tn_os_cpus());
    return c;
}
static void clear(void) {
    char root[1024];
    snprintf(root, sizeof root, "%s/root", folder);
    nftw(root, gone, 8, FTW_DEPTH | FTW_PHYS);
}

typedef struct Case {
    const char *what;
    const char *files[16]; /* path, text, path, text, .. */
    uint64_t quota, period;
} Case;

#define V2           "31 22 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1           "33 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:3 - cgroup cgroup rw,cpu,cpuacct\n"
#define OTHERS       "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n23 22 0:21 / /proc rw - proc proc rw\n"
#define CGROUP       "proc/self/cgroup"
#define MOUNTS       "proc/self/mountinfo"
#define MAX(path)    "sys/fs/cgroup" path "/cpu.max"
#define QUOTA(path)  "sys/fs/cgroup/cpu,cpuacct" path "/cpu.cfs_quota_us"
#define PERIOD(path) "sys/fs/cgroup/cpu,cpuacct" path "/cpu.cfs_period_us"

static const Case cases[] = {
    {"nothing at all", {NULL}, 0, 0},
    {"no mounts", {CGROUP, "0::/\n", MAX(""), "50000 100000\n"}, 0, 0},
    {"no group", {MOUNTS, V2, MAX(""), "50000 100000\n"}, 0, 0},
    /* v2 */
    {"a namespace shows /", {CGROUP, "0::/\n", MOUNTS, OTHERS V2, MAX(""), "50000 100000\n"}, 50000, 100000},
    {"none is set", {CGROUP, "0::/\n", MOUNTS, V2, MAX(""), "max 100000\n"}, 0, 0},
    {"the root has no file", {CGROUP, "0::/\n", MOUNTS, V2, "sys/fs/cgroup/cpu.weight", "100\n"}, 0, 0},
    {"its own",
     {CGROUP, "0::/a/b\n", MOUNTS, V2, MAX("/a/b"), "150000 100000\n", MAX("/a"), "max 100000\n"},
     150000,
     100000},
    {"one above",
     {CGROUP, "0::/a/b\n", MOUNTS, V2, MAX("/a/b"), "max 100000\n", MAX("/a"), "25000 50000\n"},
     25000,
     50000},
    {"the least, above",
     {CGROUP, "0::/a/b\n", MOUNTS, V2, MAX("/a/b"), "300000 100000\n", MAX("/a"), "100000 50000\n"},
     100000,
     50000},
    {"the least, below",
     {CGROUP, "0::/a/b\n", MOUNTS, V2, MAX("/a/b"), "100000 100000\n", MAX("/a"), "100000 50000\n"},
     100000,
     100000},
    {"the least, at the top",
     {CGROUP, "0::/a/b/c\n", MOUNTS, V2, MAX("/a/b/c"), "300000 100000\n", MAX(""), "10000 100000\n"},
     10000,
     100000},
    {"a sibling's does not count",
     {CGROUP, "0::/a/b\n", MOUNTS, V2, MAX("/a/c"), "1000 100000\n", MAX("/ab"), "1000 100000\n"},
     0,
     0},
    {"a group that is gone",
     {CGROUP, "0::/a/b (deleted)\n", MOUNTS, V2, MAX("/a"), "70000 100000\n"},
     70000,
     100000},
    {"a name with a colon",
     {CGROUP, "0::/a:b/x\n", MOUNTS, V2, MAX("/a:b"), "70000 100000\n"},
     70000,
     100000},
    {"only a part is mounted",
     {CGROUP, "0::/docker/abc/x\n", MOUNTS, "31 22 0:27 /docker/abc /sys/fs/cgroup rw - cgroup2 none rw\n",
      MAX("/x"), "max 100000\n", MAX(""), "200000 100000\n"},
     200000,
     100000},
    {"somebody else's part is mounted",
     {CGROUP, "0::/docker/abc\n", MOUNTS, "31 22 0:27 /docker/ab /sys/fs/cgroup rw - cgroup2 none rw\n",
      MAX(""), "2000 100000\n"},
     0,
     0},
    {"mounted from above the namespace",
     {CGROUP, "0::/\n", MOUNTS, "31 22 0:27 /../.. /sys/fs/cgroup rw - cgroup2 none rw\n", MAX(""),
      "90000 100000\n"},
     90000,
     100000},
    {"mounted from beside the namespace",
     {CGROUP, "0::/\n", MOUNTS, "31 22 0:27 /../x /sys/fs/cgroup rw - cgroup2 none rw\n", MAX(""),
      "90000 100000\n"},
     0,
     0},
    {"outside the namespace", {CGROUP, "0::/../x\n", MOUNTS, V2, MAX(""), "90000 100000\n"}, 0, 0},
    {"a mount point with blanks",
     {CGROUP, "0::/a\n", MOUNTS, "31 22 0:27 / /c\\040g\\134 rw - cgroup2 none rw\n", "c g\\/a/cpu.max",
      "90000 100000\n"},
     90000,
     100000},
    /* v1 */
    {"v1",
     {CGROUP, "5:memory:/m\n3:cpu,cpuacct:/a\n", MOUNTS, OTHERS V1, QUOTA("/a"), "50000\n", PERIOD("/a"),
      "100000\n"},
     50000,
     100000},
    {"v1, a namespace shows /",
     {CGROUP, "3:cpuacct,cpu:/\n", MOUNTS, V1, QUOTA(""), "50000\n", PERIOD(""), "100000\n"},
     50000,
     100000},
    {"v1, none", {CGROUP, "3:cpu,cpuacct:/\n", MOUNTS, V1, QUOTA(""), "-1\n", PERIOD(""), "100000\n"}, 0, 0},
    {"v1, above",
     {CGROUP, "3:cpu:/a/b\n", MOUNTS, V1, QUOTA("/a/b"), "-1\n", PERIOD("/a/b"), "100000\n", QUOTA("/a"),
      "20000\n", PERIOD("/a"), "10000\n"},
     20000,
     10000},
    {"v1, another controller's group",
     {CGROUP, "3:cpuset:/a\n", MOUNTS, V1, QUOTA("/a"), "50000\n", PERIOD("/a"), "100000\n"},
     0,
     0},
    {"v1, without a period", {CGROUP, "3:cpu:/a\n", MOUNTS, V1, QUOTA("/a"), "50000\n"}, 0, 0},
    {"v1 in a container without a namespace",
     {CGROUP, "3:cpu,cpuacct:/docker/abc\n", MOUNTS,
      "33 25 0:28 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n", QUOTA(""),
      "400000\n", PERIOD(""), "100000\n"},
     400000,
     100000},
    {"v1 beside v2: the least",
     {CGROUP, "3:cpu:/\n0::/u\n", MOUNTS, V1 "34 25 0:29 / /sys/fs/cgroup rw - cgroup2 none rw\n", QUOTA(""),
      "50000\n", PERIOD(""), "100000\n", MAX("/u"), "40000 100000\n"},
     40000,
     100000},
    /* malformed */
    {"a sign", {CGROUP, "0::/\n", MOUNTS, V2, MAX(""), "-50000 100000\n"}, 0, 0},
    {"a word", {CGROUP, "0::/\n", MOUNTS, V2, MAX(""), "much 100000\n"}, 0, 0},
    {"one number", {CGROUP, "0::/\n", MOUNTS, V2, MAX(""), "50000\n"}, 0, 0},
    {"three numbers", {CGROUP, "0::/\n", MOUNTS, V2, MAX(""), "50000 100000 1\n"}, 0, 0},
    {"no quota", {CGROUP, "0::/\n", MOUNTS, V2, MAX(""), "0 100000\n"}, 0, 0},
    {"no period", {CGROUP, "0::/\n", MOUNTS, V2, MAX(""), "50000 0\n"}, 0, 0},
    {"a number of twenty digits",
     {CGROUP, "0::/\n", MOUNTS, V2, MAX(""), "18446744073709551617 100000\n"},
     0,
     0},
    {"empty", {CGROUP, "0::/\n", MOUNTS, V2, MAX(""), ""}, 0, 0},
    {"no newline at the end", {CGROUP, "0::/a", MOUNTS, V2, MAX("/a"), "50000 100000"}, 50000, 100000},
    {"lines of a group that are none",
     {CGROUP, "\n::\n0:\n0::\n0::a\n:::\nx\n0::/a\n", MOUNTS, V2, MAX("/a"), "50000 100000\n"},
     50000,
     100000},
    {"lines of mounts that are none",
     {CGROUP, "0::/\n", MOUNTS, "\n - \n1 2 3\n1 2 3 / /x rw - \n1 2 3 / /x rw - cgroup2\n" V2, MAX(""),
      "50000 100000\n"},
     50000,
     100000},
};

static void quotas_are_found(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Case *t = &cases[i];
        for (int k = 0; t->files[k]; k += 2) put(t->files[k], t->files[k + 1], strlen(t->files[k + 1]));
        TnCpus c = cpus();
        clear();
        if (c.quota != t->quota || c.period != t->period)
            fail_msg("%s: got %llu in %llu, expected %llu in %llu", t->what, (unsigned long long)c.quota,
                     (unsigned long long)c.period, (unsigned long long)t->quota,
                     (unsigned long long)t->period);
        uint64_t whole = t->period ? (t->quota + t->period - 1) / t->period : c.processors;
        assert_int_equal(c.threads, whole < c.processors ? whole : c.processors);
        assert_in_range(c.threads, 1, c.processors);
    }
}

/* Every truncation, and every byte replaced by one with a meaning here: there is always an answer, and no read outside
 * (sanitizers check that). */
static void damage_is_survived(void **state) {
    (void)state;
    static const char group[] = "3:cpu,cpuacct:/a\n0::/a/b\n";
    static const char mounts[] = V1 V2 "9 2 0:2 /.. /c\\040g rw - cgroup2 none rw\n";
    static const char damage[] = {0, ' ', '\n', ':', '/', '\\', '-', (char)0xff};
    put(MAX("/a"), "50000 100000\n", 13);
    for (int which = 0; which < 2; which++) {
        const char *path = which ? MOUNTS : CGROUP, *whole = which ? mounts : group;
        size_t n = strlen(whole);
        put(which ? CGROUP : MOUNTS, which ? group : mounts, strlen(which ? group : mounts));
        for (size_t at = 0; at < n; at++) {
            char text[512];
            memcpy(text, whole, n);
            text[at] = damage[at % sizeof damage];
            for (int cut = 0; cut < 2; cut++) {
                put(path, text, cut ? at : n);
                TnCpus c = cpus();
                assert_true(c.period == 0 || (c.quota == 50000 && c.period == 100000));
            }
        }
    }
    clear();
}

/* The smallest limit of a group and those above it; how a group is found is the same as above. */
static void memory_limits_are_found(void **state) {
    (void)state;
    static const char v1[] = "33 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    static const struct {
        const char *files[10];
        uint64_t limit;
    } limits[] = {
        {{NULL}, 0},
        {{CGROUP, "0::/a/b\n", MOUNTS, V2, "sys/fs/cgroup/a/b/memory.max", "max\n"}, 0},
        {{CGROUP, "0::/a/b\n", MOUNTS, V2, "sys/fs/cgroup/a/b/memory.max", "2000000000\n",
          "sys/fs/cgroup/a/memory.max", "1000000000\n"},
         1000000000},
        {{CGROUP, "0::/a\n", MOUNTS, V2, "sys/fs/cgroup/a/memory.max", "2000\n",
          "sys/fs/cgroup/a/memory.high", "1000\n"},
         1000},
        {{CGROUP, "0::/a\n", MOUNTS, V2, "sys/fs/cgroup/a/memory.max", "2000 1000\n"}, 0},
        {{CGROUP, "4:memory:/x\n", MOUNTS, v1, "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "4096\n",
          "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
         4096},
    };
    char root[1024];
    snprintf(root, sizeof root, "%s/root", folder);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const char *const *files = limits[i].files;
        for (int k = 0; files[k]; k += 2) put(files[k], files[k + 1], strlen(files[k + 1]));
        assert_int_equal(tn_memory_limit(root), limits[i].limit);
        clear();
    }
}

static void own_system(void **state) {
    (void)state;
    TnCpus c = tn_cpus("");
    assert_int_equal(c.threads, tn_os_threads());
    assert_in_range(c.threads, 1, c.processors);
    assert_int_equal(c.period == 0, c.quota == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotas_are_found),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(memory_limits_are_found),
        cmocka_unit_test(own_system),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
