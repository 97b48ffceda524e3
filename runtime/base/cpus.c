#include "runtime/base/cpus.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/buf.h"
#include "runtime/base/os.h"

enum { LIST_MOST = 16 << 20, VALUE_MOST = 4096 }; /* most bytes read of a file of /proc, of a group's file */

typedef struct Span {
    const char *at;
    size_t n;
} Span;

static bool is(Span s, const char *word) {
    return s.n == strlen(word) && memcmp(s.at, word, s.n) == 0;
}

/* Takes the text up to the next `end`, or the rest, and moves on past it; false when nothing is left. */
static bool next(Span *rest, char end, Span *out) {
    if (rest->n == 0) return false;
    const char *stop = memchr(rest->at, end, rest->n);
    *out = (Span){rest->at, stop ? (size_t)(stop - rest->at) : rest->n};
    size_t used = out->n + (stop != NULL);
    *rest = (Span){rest->at + used, rest->n - used};
    return true;
}

static bool lists(Span words, const char *word) {
    for (Span w; next(&words, ',', &w);)
        if (is(w, word)) return true;
    return false;
}

static char *read_text(const char *root, Span dir, Span rel, const char *name, size_t most, size_t *n) {
    TnBuf path = {0};
    char *text;
    tn_buf_puts(&path, root);
    tn_buf_put(&path, dir.at, dir.n);
    tn_buf_put(&path, rel.at, rel.n);
    tn_buf_puts(&path, name);
    tn_buf_put(&path, "", 1);
    if (tn_file_read(path.data, most, &text, n, NULL) != TERN_OK) text = NULL;
    tn_buf_free(&path);
    return text;
}

/* A whole number of microseconds, from 1; false for "max", -1 and anything else. */
static bool parse(Span s, uint64_t *out) {
    uint64_t v = 0;
    if (s.n == 0 || s.n > 15) return false; /* 30 years */
    for (size_t i = 0; i < s.n; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') return false;
        v = v * 10 + (uint64_t)(s.at[i] - '0');
    }
    *out = v;
    return v > 0;
}

static void take_quota(TnCpus *c, uint64_t quota, uint64_t period) {
    if (c->period && (double)quota / (double)period >= (double)c->quota / (double)c->period) return;
    c->quota = quota;
    c->period = period;
}

static bool read_value(const char *root, Span dir, Span rel, const char *name, uint64_t *out) {
    size_t n;
    char *text = read_text(root, dir, rel, name, VALUE_MOST, &n);
    Span rest = {text, text ? n : 0}, line;
    bool ok = next(&rest, '\n', &line) && parse(line, out);
    free(text);
    return ok;
}

static void read_group(const char *root, Span dir, Span rel, bool v2, TnCpus *c) {
    uint64_t quota, period;
    if (!v2) {
        if (read_value(root, dir, rel, "/cpu.cfs_quota_us", &quota) &&
            read_value(root, dir, rel, "/cpu.cfs_period_us", &period))
            take_quota(c, quota, period);
        return;
    }
    size_t n;
    char *text = read_text(root, dir, rel, "/cpu.max", VALUE_MOST, &n);
    Span rest = {text, text ? n : 0}, line, a, b;
    if (next(&rest, '\n', &line) && next(&line, ' ', &a) && next(&line, ' ', &b) && line.n == 0 &&
        parse(a, &quota) && parse(b, &period))
        take_quota(c, quota, period);
    free(text);
}

/* Goes from a group up to the mount's top: the quota of each holds for all groups below it. */
static void climb(const char *root, Span dir, Span rel, bool v2, TnCpus *c) {
    for (;;) {
        while (rel.n && rel.at[rel.n - 1] == '/') rel.n--;
        read_group(root, dir, rel, v2, c);
        if (rel.n == 0) return;
        while (rel.n && rel.at[rel.n - 1] != '/') rel.n--;
    }
}

static bool starts(Span s, Span with) {
    return s.n >= with.n && memcmp(s.at, with.at, with.n) == 0;
}

static bool climbs(Span path) {
    return starts(path, (Span){"/..", 3}) && (path.n == 3 || path.at[3] == '/');
}

/* Finds the path of a group below `top`, the group that is mounted; false if it is not below it. Paths are relative to
 * the process's cgroup namespace: "/../.." is two groups above its root, and how to get down from there to us is not
 * known. */
static bool place(Span group, Span top, Span *rel) {
    *rel = (Span){group.at, 0};
    if (is(top, "/")) {
        *rel = group;
        return !climbs(group);
    }
    if (starts(group, top) && (group.n == top.n || group.at[top.n] == '/')) {
        *rel = (Span){group.at + top.n, group.n - top.n};
        return !climbs(*rel);
    }
    while (climbs(top)) top = (Span){top.at + 3, top.n - 3};
    return top.n == 0 && !climbs(group);
}

/* A mount point as mountinfo writes it: blanks and backslashes as \ooo. */
static Span unescape(Span s, TnBuf *to) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];
        if (c == '\\' && s.n - i > 3) {
            c = (char)((s.at[i + 1] & 3) << 6 | (s.at[i + 2] & 7) << 3 | (s.at[i + 3] & 7));
            i += 3;
        }
        tn_buf_put(to, &c, 1);
    }
    return (Span){to->data, to->len};
}

/* "36 35 98:0 TOP POINT OPTIONS .. - TYPE SOURCE SUPEROPTIONS" */
static void read_mounts(const char *root, Span mounts, Span group, bool v2, TnCpus *c) {
    for (Span line, w[5], rel; next(&mounts, '\n', &line);) {
        bool ok = true;
        for (int i = 0; i < 5; i++) ok = ok && next(&line, ' ', &w[i]);
        Span word, type = {0}, source = {0}, super = {0};
        while (ok && next(&line, ' ', &word) && !is(word, "-")) {
        }
        ok = ok && next(&line, ' ', &type) && next(&line, ' ', &source) && next(&line, ' ', &super);
        if (!ok || !is(type, v2 ? "cgroup2" : "cgroup") || (!v2 && !lists(super, "cpu"))) continue;
        if (!place(group, w[3], &rel)) continue;
        TnBuf point = {0};
        climb(root, unescape(w[4], &point), rel, v2, c);
        tn_buf_free(&point);
    }
}

TnCpus tn_cpus(const char *root) {
    static const Span proc = {"/proc/self", 10}, none = {"", 0};
    TnCpus c = {.processors = tn_os_cpus()};
    size_t n_groups, n_mounts;
    char *groups = read_text(root, proc, none, "/cgroup", LIST_MOST, &n_groups);
    char *mounts = groups ? read_text(root, proc, none, "/mountinfo", LIST_MOST, &n_mounts) : NULL;
    Span rest = {groups, mounts ? n_groups : 0};
    /* "4:cpu,cpuacct:/a/b" of v1, "0::/a/b" of v2; a path may hold colons */
    for (Span line, id, controllers; next(&rest, '\n', &line);) {
        if (!next(&line, ':', &id) || !next(&line, ':', &controllers) || line.n == 0 || line.at[0] != '/')
            continue;
        bool v2 = controllers.n == 0;
        if (v2 ? is(id, "0") : lists(controllers, "cpu"))
            read_mounts(root, (Span){mounts, n_mounts}, line, v2, &c);
    }
    free(groups);
    free(mounts);
    c.threads = c.processors;
    if (c.period) {
        uint64_t whole = c.quota / c.period + (c.quota % c.period != 0);
        if (whole < c.threads) c.threads = (uint32_t)whole;
    }
    return c;
}

uint32_t tn_os_threads(void) {
    return tn_cpus("").threads;
}
