/* The name of a kept blob: the hash of a text with everything on which its bytes depend.
 *
 *   tern VERSION, compiler HASH      the compiler library's own bytes: any other build is another compiler
 *   levels, cap, target, context,    the options that change what is compiled. The levels are those of this machine, or of
 *   kvs, head, ..                    the device, so a home folder that several machines share is fine
 *   tune ..                          with --tune also the tuning cache's bytes: other measurements, another blob
 *   file NAME SIZE HASH              the model: its file, all parts of a split one, or the files of a folder
 *
 * LLVM counts by the version that the compiler library was built with. Its own library may be replaced by another build of that
 * version; blobs that are there stay in use, with the same results.
 *
 * The model's hash is that of all its bytes. Size, times and a sample are not enough: a file can be edited in place in its
 * middle and get its old times back. Reading 1.2 GB again at each start is dear, though, when it is not in memory: as long
 * as the disk needs for it. So the hash of a large file is remembered under what the kernel says of it: device, inode, size,
 * and the times of the last change of its contents (mtime) and of anything at all (ctime). No call sets ctime; each write,
 * truncation, rename and utimes moves it to now. Two holes remain, and are closed: a change within the same tick of the
 * clock as the one before, or through a mapping that is still dirty, does not move ctime. So nothing is remembered of a file
 * that was changed in the last two minutes (dirty pages are written, and from then on watched again, within half a
 * minute). And file systems that do not live on a disk of this machine follow other rules: only those of a short list are
 * trusted, and elsewhere every start reads the file. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include "frontends/cli/keep.h"
#include "runtime/base/cpus.h"
#include "runtime/base/hash.h"
#include "runtime/base/hex.h"
#include "runtime/base/reader.h"

enum { CHUNK = 1 << 20, LARGE = 64 << 20, QUIET_SECONDS = 120 };

static void hex(TnHash128 h, char out[KEEP_NAME + 1]) {
    memcpy(out, tn_hex(h.bytes).s, KEEP_NAME + 1);
}

/* ---- one file */

typedef struct Summed {
    const char *path;
    struct stat st;
    char hash[KEEP_NAME + 1];
} Summed;

static TernStatus fail_on(const char *path, const char *what, TernError *err) {
    return tn_fail(err, TERN_ERR_ENV, "%s: cannot %s: %s", path, what, strerror(errno));
}

/* The hash of the hashes of its chunks. Read, not mapped: a mapping would count as memory of this process, and the file may
 * be larger than the blob. */
static TernStatus hash_contents(int fd, Summed *f, TernError *err) {
    uint8_t *chunk = tn_xcalloc(CHUNK, 1);
    TnBuf hashes = {0};
    uint64_t total = 0;
    TernStatus st = TERN_OK;
    for (size_t n = 0;;) {
        ssize_t got = read(fd, chunk + n, CHUNK - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) st = fail_on(f->path, "read", err);
        if (got > 0) n += (size_t)got, total += (size_t)got;
        if (got > 0 && n < CHUNK) continue;
        TnHash128 h = tn_hash128(chunk, n);
        tn_buf_put(&hashes, h.bytes, sizeof h.bytes);
        n = 0;
        if (got <= 0) break;
    }
    if (st == TERN_OK && total != (uint64_t)f->st.st_size)
        st =
            tn_fail(err, TERN_ERR_ENV, "%s: has %" PRIu64 " bytes, expected %" PRIu64 ": it is being written",
                    f->path, total, (uint64_t)f->st.st_size);
    hex(tn_hash128(hashes.data, hashes.len), f->hash);
    tn_buf_free(&hashes);
    free(chunk);
    return st;
}

/* ---- hashes that are remembered */

/* Magic numbers of statfs(2). */
static bool is_trusted(int fd) {
    static const uint32_t local[] = {0xef53 /* ext2, 3, 4 */, 0x58465342 /* xfs */, 0x9123683e /* btrfs */,
                                     0xf2f52010 /* f2fs */, 0x2fc12fc1 /* zfs */};
    struct statfs s;
    if (fstatfs(fd, &s) != 0) return false;
    for (size_t i = 0; i < TN_COUNT(local); i++)
        if ((uint32_t)s.f_type == local[i]) return true;
    return false;
}

static bool is_quiet(const struct stat *st) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return st->st_ctim.tv_sec + QUIET_SECONDS < now.tv_sec && st->st_mtim.tv_sec + QUIET_SECONDS < now.tv_sec;
}

static void put_identity(const struct stat *st, TnBuf *out) {
    tn_buf_printf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 ".%09ld %" PRId64 ".%09ld\n",
                  (uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size,
                  (int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (int64_t)st->st_ctim.tv_sec,
                  st->st_ctim.tv_nsec);
}

/* A remembered hash is a file of three lines: "sum 1", the identity, and the hash. */
static void sum_path(const Summed *f, const char *folder, TnBuf *head, TnBuf *path) {
    char name[KEEP_NAME + 1];
    tn_buf_puts(head, "sum 1\n");
    put_identity(&f->st, head);
    hex(tn_hash128(head->data, head->len), name);
    tn_buf_printf(path, "%s/%s.sum", folder, name);
}

static bool recall(Summed *f, const char *folder) {
    TnBuf head = {0}, path = {0};
    char *text;
    size_t n;
    bool known = false;
    sum_path(f, folder, &head, &path);
    if (tn_file_read(path.data, 4096, &text, &n, NULL) == TERN_OK) {
        const char *hash = text + head.len;
        known = n == head.len + KEEP_NAME + 1 && memcmp(text, head.data, head.len) == 0 &&
                strspn(hash, "0123456789abcdef") == KEEP_NAME && hash[KEEP_NAME] == '\n';
        if (known) memcpy(f->hash, hash, KEEP_NAME);
        if (known) utimensat(AT_FDCWD, path.data, NULL, 0);
        free(text);
    }
    tn_buf_free(&head);
    tn_buf_free(&path);
    return known;
}

/* A failure only means that the file is read again next time. */
static void remember(const Summed *f, const char *folder) {
    TnBuf head = {0}, path = {0};
    TnWriter w;
    sum_path(f, folder, &head, &path);
    tn_buf_printf(&head, "%s\n", f->hash);
    if (tn_writer_open(path.data, &w, NULL) == TERN_OK &&
        tn_writer_put(&w, head.data, head.len, NULL) == TERN_OK)
        (void)tn_writer_commit(&w, NULL);
    tn_buf_free(&head);
    tn_buf_free(&path);
}

static TernStatus sum_file(Summed *f, const char *folder, TernError *err) {
    struct stat after;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail_on(f->path, "open", err);
    TernStatus st = fstat(fd, &f->st) == 0 ? TERN_OK : fail_on(f->path, "stat", err);
    if (st == TERN_OK && !S_ISREG(f->st.st_mode))
        st = tn_fail(err, TERN_ERR_INPUT, "%s: is not a regular file", f->path);
    bool memory = st == TERN_OK && folder && f->st.st_size >= LARGE && is_trusted(fd) && is_quiet(&f->st);
    if (st == TERN_OK && !(memory && recall(f, folder))) {
        st = hash_contents(fd, f, err);
        bool same = fstat(fd, &after) == 0 && after.st_ctim.tv_sec == f->st.st_ctim.tv_sec &&
                    after.st_ctim.tv_nsec == f->st.st_ctim.tv_nsec;
        if (st == TERN_OK && memory && same) remember(f, folder);
    }
    close(fd);
    return st;
}

/* ---- the files of a model */

typedef struct Paths {
    char **v;
    size_t n, cap;
    size_t stem; /* where the name begins in each */
} Paths;

static void add_path(Paths *p, char *path) {
    TN_PUSH(p->v, p->n, p->cap, path);
}

static void free_paths(Paths *p) {
    for (size_t i = 0; i < p->n; i++) free(p->v[i]);
    free(p->v);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Weights in forms that no reader of folders opens, and texts about the model. Everything else counts. */
static bool is_unread(const char *name) {
    static const char *const ends[] = {".bin",     ".pt", ".pth", ".gguf", ".onnx",
                                       ".msgpack", ".h5", ".md",  ".tern"};
    size_t n = strlen(name);
    for (size_t i = 0; i < TN_COUNT(ends); i++)
        if (n > strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0) return true;
    return false;
}

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Modules of sentence-transformers have their settings in folders of their own: 1_Pooling/config.json. */
static TernStatus list_folder(const char *folder, Paths *out, TernError *err) {
    DIR *d = opendir(folder);
    if (!d) return fail_on(folder, "open", err);
    out->stem = strlen(folder) + 1;
    for (struct dirent *e; (e = readdir(d));) {
        TnBuf path = {0};
        if (e->d_name[0] == '.') continue;
        tn_buf_printf(&path, "%s/%s", folder, e->d_name);
        if (tn_os_is_folder(path.data)) tn_buf_puts(&path, "/config.json");
        if (!is_unread(path.data) && is_file(path.data))
            add_path(out, path.data);
        else
            tn_buf_free(&path);
    }
    closedir(d);
    if (out->n) qsort(out->v, out->n, sizeof *out->v, by_name);
    return TERN_OK;
}

static bool digits(const char *p) {
    return strspn(p, "0123456789") >= 5;
}

/* NAME-00001-of-00003.gguf has two others beside it. Those that are missing are not listed: compiling says so. */
static void list_parts(const char *path, Paths *out) {
    enum { TAIL = sizeof "-00001-of-00003.gguf" - 1 };
    size_t n = strlen(path);
    const char *tail = n > TAIL ? path + n - TAIL : "";
    bool split = tail[0] == '-' && digits(tail + 1) && strncmp(tail + 6, "-of-", 4) == 0 &&
                 digits(tail + 10) && strcmp(tail + 15, ".gguf") == 0;
    long count = split ? strtol(tail + 10, NULL, 10) : 0;
    const char *slash = strrchr(path, '/');
    TnBuf whole = {0};
    out->stem = slash ? (size_t)(slash - path) + 1 : 0;
    tn_buf_printf(&whole, "%s", path);
    add_path(out, whole.data);
    for (long i = 1; i <= count; i++) {
        TnBuf part = {0};
        tn_buf_printf(&part, "%.*s-%05ld-of-%05ld.gguf", (int)(n - TAIL), path, i, count);
        if (strcmp(part.data, path) != 0 && tn_os_exists(part.data))
            add_path(out, part.data);
        else
            tn_buf_free(&part);
    }
}

static TernStatus list_model(const char *path, Paths *out, TernError *err) {
    if (!path) return TERN_OK;
    if (tn_os_is_folder(path)) return list_folder(path, out, err);
    list_parts(path, out);
    return TERN_OK;
}

/* ---- the key */

static TernStatus put_compiler(TnBuf *out, TernError *err) {
    const char *(*known)(void) = tern_version;
    void *in_libtern;
    memcpy(&in_libtern, &known, sizeof in_libtern);
    Dl_info at;
    char *path = compiler_beside(dladdr(in_libtern, &at) ? at.dli_fname : NULL);
    Summed f = {.path = path};
    TernStatus st = path ? sum_file(&f, NULL, err)
                         : tn_fail(err, TERN_ERR_ENV, "the folder of the compiler library is not known");
    if (st == TERN_OK) tn_buf_printf(out, "tern %s, compiler %s\n", tern_version(), f.hash);
    free(path);
    return st;
}

static void put_word(TnBuf *out, const char *name, const char *value) {
    tn_buf_printf(out, "%s %zu %s\n", name, value ? strlen(value) + 1 : 0, value ? value : "");
}

static TernStatus put_options(const KeepKey *k, TnBuf *out, TernError *err) {
    const TerncOptions *o = k->options;
    const TerncSource *s = k->source;
    TernDevice d = {.size = sizeof d};
    if (o->device) TN_TRY(tern_device(o->device, &d, err));
    put_word(out, "levels", o->device ? d.levels : tern_cpu_levels());
    put_word(out, "cap", o->cap);
    put_word(out, "target", o->target);
    put_word(out, "head", o->head);
    put_word(out, "i2s", s->i2s_layout);
    tn_buf_printf(out, "context %u\nkvs %u\ndense %d\n", o->context, o->kvs, s->ternary_dense);
    for (uint32_t i = 0; i < s->n_overrides; i++) put_word(out, "override", s->overrides[i]);
    char cpu[128]; /* its family decides how weights are packed and fetched ahead */
    tn_os_cpu_name(cpu, sizeof cpu);
    put_word(out, "cpu", cpu);
    if (!(o->tune_seconds > 0)) return TERN_OK;
    Summed cache = {.path = o->tune_cache};
    if (o->tune_cache && tn_os_exists(o->tune_cache)) TN_TRY(sum_file(&cache, NULL, err));
    tn_buf_printf(out, "tune %a %u %u\n", o->tune_seconds, o->tune_threads, tn_os_threads());
    put_word(out, "cache", cache.hash);
    return TERN_OK;
}

TernStatus keep_stamp(KeepKey *k, TernError *err) {
    Paths files = {0};
    TnBuf text = {0};
    TernStatus st = list_model(k->source->path, &files, err);
    k->model_bytes = 0;
    for (size_t i = 0; i < files.n && st == TERN_OK; i++) {
        struct stat is;
        if (stat(files.v[i], &is) != 0)
            st = fail_on(files.v[i], "stat", err);
        else
            put_identity(&is, &text);
        k->model_bytes += st == TERN_OK ? (uint64_t)is.st_size : 0;
    }
    hex(tn_hash128(text.data, text.len), k->stamp);
    tn_buf_free(&text);
    free_paths(&files);
    return st;
}

/* The name of a file counts without its folder: a model that was moved is the same model. */
static TernStatus put_files(const Paths *files, const char *folder, TnBuf *out, TernError *err) {
    for (size_t i = 0; i < files->n; i++) {
        Summed f = {.path = files->v[i]};
        TN_TRY(sum_file(&f, folder, err));
        put_word(out, "file", files->n > 1 ? f.path + files->stem : "");
        tn_buf_printf(out, "%" PRIu64 " %s\n", (uint64_t)f.st.st_size, f.hash);
    }
    return TERN_OK;
}

TernStatus keep_name(KeepKey *k, TernError *err) {
    TnBuf text = {0};
    TernStatus st = put_compiler(&text, err);
    if (st == TERN_OK) st = put_options(k, &text, err);
    put_word(&text, "model", k->model);
    if (st == TERN_OK) hex(tn_hash128(text.data, text.len), k->name);
    tn_buf_free(&text);
    return st;
}

TernStatus keep_key(KeepKey *k, const char *folder, TernError *err) {
    Paths files = {0};
    TnBuf text = {0};
    TernStatus st = keep_stamp(k, err);
    if (st == TERN_OK) st = list_model(k->source->path, &files, err);
    if (st == TERN_OK) st = put_files(&files, folder, &text, err);
    if (st == TERN_OK) hex(tn_hash128(text.data, text.len), k->model);
    if (st == TERN_OK) st = keep_name(k, err);
    tn_buf_free(&text);
    free_paths(&files);
    return st;
}
