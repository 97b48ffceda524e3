#include "runtime/base/cgroup.h"

#include <stdlib.h>
#include <string.h>
#include "runtime/base/buf.h"
#include "runtime/base/os.h"

enum { LIST_MOST = 16 << 20, VALUE_MOST = 4096 }; /* most bytes read of a file of /proc, of a group's file */

typedef TnSpan Span;

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

/* A whole number from 1; false for "max", -1 and anything else. */
static bool parse(Span s, uint64_t *out) {
    uint64_t v = 0;
    if (s.n == 0 || s.n > 15) return false; /* 30 years of microseconds, a petabyte */
    for (size_t i = 0; i < s.n; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') return false;
        v = v * 10 + (uint64_t)(s.at[i] - '0');
    }
    *out = v;
    return v > 0;
}

bool tn_group_numbers(const TnGroup *g, const char *name, uint32_t n, uint64_t *out) {
    size_t bytes;
    char *text = read_text(g->root, g->dir, g->rel, name, VALUE_MOST, &bytes);
    Span rest = {text, text ? bytes : 0}, line = {0}, word;
    bool ok = next(&rest, '\n', &line);
    for (uint32_t i = 0; i < n; i++) ok = ok && next(&line, ' ', &word) && parse(word, &out[i]);
    free(text);
    return ok && line.n == 0;
}

typedef struct Walk {
    const char *root, *controller;
    TnGroupFn *fn;
    void *user;
} Walk;

/* Goes from a group up to the mount's top: the limits of each hold for all groups below it. */
static void climb(const Walk *w, Span dir, Span rel, bool v2) {
    for (;;) {
        while (rel.n && rel.at[rel.n - 1] == '/') rel.n--;
        w->fn(w->user, &(TnGroup){w->root, dir, rel, v2});
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
static void read_mounts(const Walk *walk, Span mounts, Span group, bool v2) {
    for (Span line, w[5], rel; next(&mounts, '\n', &line);) {
        bool ok = true;
        for (int i = 0; i < 5; i++) ok = ok && next(&line, ' ', &w[i]);
        Span word, type = {0}, source = {0}, super = {0};
        while (ok && next(&line, ' ', &word) && !is(word, "-")) {
        }
        ok = ok && next(&line, ' ', &type) && next(&line, ' ', &source) && next(&line, ' ', &super);
        if (!ok || !is(type, v2 ? "cgroup2" : "cgroup") || (!v2 && !lists(super, walk->controller))) continue;
        if (!place(group, w[3], &rel)) continue;
        TnBuf point = {0};
        climb(walk, unescape(w[4], &point), rel, v2);
        tn_buf_free(&point);
    }
}

void tn_groups(const char *root, const char *controller, TnGroupFn *fn, void *user) {
    static const Span proc = {"/proc/self", 10}, none = {"", 0};
    const Walk w = {root, controller, fn, user};
    size_t n_groups, n_mounts;
    char *groups = read_text(root, proc, none, "/cgroup", LIST_MOST, &n_groups);
    char *mounts = groups ? read_text(root, proc, none, "/mountinfo", LIST_MOST, &n_mounts) : NULL;
    Span rest = {groups, mounts ? n_groups : 0};
    /* "4:cpu,cpuacct:/a/b" of v1, "0::/a/b" of v2; a path may hold colons */
    for (Span line, id, controllers; next(&rest, '\n', &line);) {
        if (!next(&line, ':', &id) || !next(&line, ':', &controllers) || line.n == 0 || line.at[0] != '/')
            continue;
        bool v2 = controllers.n == 0;
        if (v2 ? is(id, "0") : lists(controllers, controller))
            read_mounts(&w, (Span){mounts, n_mounts}, line, v2);
    }
    free(groups);
    free(mounts);
}

static void take_limit(void *user, const TnGroup *g) {
    uint64_t *least = user, limit;
    static const char *const names[] = {"/memory.max", "/memory.high"};
    for (int i = 0; i < 2; i++)
        if (tn_group_numbers(g, g->v2 ? names[i] : "/memory.limit_in_bytes", 1, &limit) &&
            (!*least || limit < *least))
            *least = limit;
}

uint64_t tn_memory_limit(const char *root) {
    uint64_t least = 0;
    tn_groups(root, "memory", take_limit, &least);
    return least;
}
