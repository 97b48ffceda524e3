/* The folder of kept blobs: who may use it, what is in it, and what must go (keep.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "frontends/cli/keep.h"
#include "runtime/base/escape.h"

enum { DEFAULT_GIB = 16 };
static const uint64_t spare = 1ull << 30; /* bytes that the file system keeps free */
static const char blob_end[] = ".tern", sum_end[] = ".sum", temp_mark[] = ".tmp-";

/* ---- how much */

static bool limit_of(const Verb *verb, const ModelFlags *flags, uint64_t *out) {
    const char *given = flag_given(&flags->keep_gib), *word = getenv("TERN_KEEP");
    double gib = DEFAULT_GIB;
    if (flags->no_keep && given) usage_error(verb, "--no-keep goes without %s", given);
    if (given)
        gib = (double)flags->keep_gib;
    else if (!flags->no_keep && word && *word && !read_number(word, 0, 1e6, &gib))
        exit(fail_text("TERN_KEEP: got '%s', expected GiB from 0 to 1000000", word));
    *out = flags->no_keep ? 0 : (uint64_t)(gib * 0x1p30);
    return *out > 0;
}

static bool not_kept(const char *why) {
    note("not kept: %s", why);
    return false;
}

/* ---- the folder */

/* A blob's code runs as the user who opens it. */
static bool is_ours(const char *folder) {
    struct stat st;
    TernError line;
    if (stat(folder, &st) != 0) return errno == ENOENT;
    if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022)) return true;
    tn_fail(&line, TERN_ERR_ENV, "%s: is %s, expected a folder of yours that nobody else may write to",
            folder,
            !S_ISDIR(st.st_mode)     ? "no folder"
            : st.st_uid != geteuid() ? "another user's"
                                     : "open to others");
    return not_kept(line.text);
}

bool keep_find(const Verb *verb, const ModelFlags *flags, const TerncSource *source,
               const TerncOptions *options, Keep *out) {
    TernError err = {0};
    *out = (Keep){.key = {.source = source, .options = options}, .lock = -1};
    if (!limit_of(verb, flags, &out->most) || tn_target_evaluates(options->target) || source->tir)
        return false;
    if (!cache_path("kept", out->folder, sizeof out->folder))
        return not_kept("neither XDG_CACHE_HOME nor HOME names a folder");
    if (!is_ours(out->folder)) return false;
    if (keep_key(&out->key, out->folder, &err) != TERN_OK) return not_kept(err.text);
    snprintf(out->path, sizeof out->path, "%s/%s%s", out->folder, out->key.name, blob_end);
    return true;
}

bool keep_hit(Keep *k) {
    if (access(k->path, R_OK) != 0) return false;
    utimensat(AT_FDCWD, k->path, NULL, 0);
    return true;
}

/* ---- what is in it */

typedef struct Kept {
    char name[256];
    uint64_t bytes;
    struct timespec used;
} Kept;

typedef struct Listing {
    Kept *v;
    size_t n, cap;
    uint64_t bytes;
} Listing;

static bool ends_in(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n == KEEP_NAME + m && strspn(name, "0123456789abcdef") == KEEP_NAME &&
           strcmp(name + n - m, end) == 0;
}

static int by_use(const void *a, const void *b) {
    const struct timespec *x = &((const Kept *)a)->used, *y = &((const Kept *)b)->used;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* The files that this program has made, the one that was used longest ago first. Files that a writer left when it was killed
 * are removed: whoever calls this has the lock, so nobody is writing. Other files are left alone. */
static Listing list(const char *folder) {
    Listing l = {0};
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        Kept k = {0};
        struct stat st;
        if (strlen(e->d_name) >= sizeof k.name) continue;
        if (strspn(e->d_name, "0123456789abcdef") == KEEP_NAME && strstr(e->d_name, temp_mark))
            unlinkat(dirfd(d), e->d_name, 0);
        else if ((ends_in(e->d_name, blob_end) || ends_in(e->d_name, sum_end)) &&
                 fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
            strcpy(k.name, e->d_name);
            k.bytes = (uint64_t)st.st_size;
            k.used = st.st_mtim;
            l.bytes += k.bytes;
            TN_PUSH(l.v, l.n, l.cap, k);
        }
    }
    if (d) closedir(d);
    if (l.n) qsort(l.v, l.n, sizeof *l.v, by_use);
    return l;
}

/* Removes what was used longest ago until the rest fits; `keep` stays. */
static void make_room(const Keep *k, const char *keep, uint64_t more) {
    Listing l = list(k->folder);
    for (size_t i = 0; i < l.n && (l.bytes > k->most || more > k->most - l.bytes); i++) {
        char path[sizeof k->path + 256];
        if (strcmp(l.v[i].name, keep) == 0) continue;
        snprintf(path, sizeof path, "%s/%s", k->folder, l.v[i].name);
        if (unlink(path) == 0) l.bytes -= l.v[i].bytes;
    }
    free(l.v);
}

/* ---- writing */

static double megabytes(uint64_t bytes) {
    return (double)bytes / 1e6;
}

/* About how large the blob will be. Files with ternary weights keep their size; dense weights become ternary. */
static uint64_t expected_bytes(const Keep *k) {
    const TerncSource *s = k->key.source;
    bool dense = s->ternary_dense || (s->path && tn_os_is_folder(s->path));
    return dense ? k->key.model_bytes / 8 : k->key.model_bytes;
}

static bool has_room(const Keep *k) {
    struct statvfs fs;
    TernError line;
    uint64_t need = expected_bytes(k) + expected_bytes(k) / 2;
    if (expected_bytes(k) > k->most) {
        tn_fail(&line, TERN_ERR_ENV, "the model has %.1f MB, expected at most the %.1f MB that may be kept",
                megabytes(expected_bytes(k)), megabytes(k->most));
        return not_kept(line.text);
    }
    if (statvfs(k->folder, &fs) != 0) return true;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes >= spare && free_bytes - spare >= need) return true;
    tn_fail(&line, TERN_ERR_ENV, "%s: %.0f MB are free, expected at least %.0f MB", k->folder,
            megabytes(free_bytes), megabytes(need + spare));
    return not_kept(line.text);
}

bool keep_begin(Keep *k) {
    TernError err = {0};
    make_folders(k->folder);
    (void)mkdir(k->folder, 0700);
    if (tn_writer_probe(k->path, &err) != TERN_OK) return not_kept(err.text);
    if (!is_ours(k->folder)) return false;
    k->lock = tn_os_lock_folder(k->path, 0);
    if (k->lock < 0) {
        tn_fail(&err, TERN_ERR_ENV, "%s: another process is keeping a model there", k->folder);
        return not_kept(err.text);
    }
    if (has_room(k)) {
        make_room(k, "", expected_bytes(k));
        return true;
    }
    tn_os_unlock(k->lock);
    k->lock = -1;
    return false;
}

bool report_lacks_memory(const TerncReport *report) {
    return strstr(report->refused, "out of memory") != NULL;
}

/* NULL: it may stay. */
static const char *why_not(Keep *k, const TerncReport *report, TernError *line) {
    struct stat st;
    KeepKey now = k->key;
    if (report_lacks_memory(report)) return "there was no memory for some of its code";
    if (keep_stamp(&now, line) != TERN_OK) return line->text;
    if (strcmp(now.stamp, k->key.stamp) != 0) return "the model was changed while it was compiled";
    if (stat(k->path, &st) != 0) return "it has vanished";
    if ((uint64_t)st.st_size <= k->most) return NULL;
    tn_fail(line, TERN_ERR_ENV, "the blob has %.1f MB, expected at most the %.1f MB that may be kept",
            megabytes((uint64_t)st.st_size), megabytes(k->most));
    return line->text;
}

/* With --tune the blob belongs to the measurements that are in the cache now. */
static void rename_tuned(Keep *k) {
    char from[sizeof k->path];
    TernError ignored;
    memcpy(from, k->path, sizeof from);
    if (!k->key.options->tune_cache || keep_name(&k->key, &ignored) != TERN_OK) return;
    snprintf(k->path, sizeof k->path, "%s/%s%s", k->folder, k->key.name, blob_end);
    if (strcmp(from, k->path) != 0) (void)rename(from, k->path);
}

void keep_end(Keep *k, const TerncReport *report) {
    TernError line;
    const char *why = report ? why_not(k, report, &line) : NULL;
    if (!report) free(list(k->folder).v); /* the process that compiled it may have been killed */
    if (why) {
        (void)unlink(k->path);
        not_kept(why);
    } else if (report) {
        rename_tuned(k);
        make_room(k, strrchr(k->path, '/') + 1, 0);
        note("kept for the next start: %s", tn_listed(k->path).s);
    }
    tn_os_unlock(k->lock);
    k->lock = -1;
}
