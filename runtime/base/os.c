#include "runtime/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "runtime/base/reader.h"

static TernStatus fail_errno(TernError *err, const char *path, const char *what) {
    int e = errno;
    return tn_fail(err, e == ENOMEM ? TERN_ERR_MEMORY : TERN_ERR_ENV, "%s: cannot %s: %s", path, what,
                   strerror(e));
}

static int open_retry(const char *path, int flags, mode_t mode) {
    int fd;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Files, read */

bool tn_os_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool tn_os_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static TernStatus map_file(const char *path, int fd, TnFile *out, TernError *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) return fail_errno(err, path, "stat");
    if (!S_ISREG(st.st_mode))
        return tn_fail(err, TERN_ERR_INPUT, "%s: is a %s, expected a regular file", path,
                       S_ISDIR(st.st_mode) ? "directory" : "pipe or device");
    if (st.st_size == 0) return TERN_OK;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return fail_errno(err, path, "map");
    *out = (TnFile){.data = p, .size = (size_t)st.st_size};
    return TERN_OK;
}

static TernStatus open_and_map(const char *path, bool keep, TnFile *out, TernError *err) {
    *out = (TnFile){0};
    int fd = open_retry(path, O_RDONLY | O_NONBLOCK, 0); /* a pipe without a writer must not block */
    if (fd < 0) return fail_errno(err, path, "open");
    TernStatus status = map_file(path, fd, out, err);
    if (keep && status == TERN_OK)
        out->kept = fd + 1;
    else
        close(fd);
    return status;
}

TernStatus tn_file_map(const char *path, TnFile *out, TernError *err) {
    return open_and_map(path, false, out, err);
}

TernStatus tn_file_map_kept(const char *path, TnFile *out, TernError *err) {
    return open_and_map(path, true, out, err);
}

void tn_file_unmap(TnFile *f) {
    if (f->size) munmap((void *)(uintptr_t)f->data, f->size);
    if (f->kept) close(f->kept - 1);
    *f = (TnFile){0};
}

bool tn_file_read_at(const TnFile *f, const void *p, size_t bytes, void *out) {
    size_t at = (size_t)((uintptr_t)p - (uintptr_t)f->data);
    if (!f->kept || !tn_range_ok(at, bytes, f->size)) return false;
    ssize_t n;
    do n = pread(f->kept - 1, out, bytes, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n >= 0 && (size_t)n == bytes;
}

void tn_file_forget(const TnFile *f, const void *p, size_t bytes) {
    if (!f->kept) return;
    posix_fadvise(f->kept - 1, (off_t)((const uint8_t *)p - f->data), (off_t)bytes, POSIX_FADV_DONTNEED);
}

TernStatus tn_file_read(const char *path, size_t limit, char **out, size_t *out_size, TernError *err) {
    *out = NULL;
    *out_size = 0;
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    int fd = standard ? STDIN_FILENO : open_retry(path, O_RDONLY, 0);
    if (fd < 0) return fail_errno(err, name, "open");
    struct stat st;
    size_t cap = 4096, n = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size < SIZE_MAX / 2)
        cap = (size_t)st.st_size + 1;
    if (cap > limit && limit < SIZE_MAX) cap = limit + 1; /* one byte more shows that the file is too long */
    char *data = malloc(cap + 1);
    TernStatus status = TERN_OK;
    while (data) {
        if (n == cap) {
            size_t more;
            char *p = tn_mul(cap, 2, &more) && more < SIZE_MAX ? realloc(data, more + 1) : NULL;
            if (!p) {
                free(data);
                data = NULL;
                break;
            }
            data = p;
            cap = more;
        }
        ssize_t got = read(fd, data + n, cap - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = fail_errno(err, name, "read");
        if (got <= 0) break;
        n += (size_t)got;
        if (n > limit) {
            status = tn_fail(err, TERN_ERR_INPUT, "%s: is longer than %zu bytes", name, limit);
            break;
        }
    }
    if (!standard) close(fd);
    if (!data)
        return tn_fail(err, TERN_ERR_MEMORY, "%s: no memory to read it, %zu bytes requested", name, cap);
    if (status != TERN_OK) {
        free(data);
        return status;
    }
    data[n] = '\0';
    *out = data;
    *out_size = n;
    return TERN_OK;
}

/* Memory */

static size_t page_round(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), r;
    if (!tn_align_up(bytes ? bytes : 1, page, &r)) return 0;
    return r;
}

TernStatus tn_os_map(size_t bytes, bool huge, void **out, TernError *err) {
    enum { HUGE_PAGE = 2 << 20 };
    *out = NULL;
    size_t size = page_round(bytes), with_slack = size;
    bool aligned = size >= 2 * HUGE_PAGE;
    if (size == 0 || (aligned && !tn_add(size, HUGE_PAGE, &with_slack)))
        return tn_fail(err, TERN_ERR_MEMORY, "cannot map %zu bytes of memory: the address space is too small",
                       bytes);
    uint8_t *p = mmap(NULL, with_slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return tn_fail(err, TERN_ERR_MEMORY, "cannot map %zu bytes of memory: %s", bytes, strerror(errno));
    if (aligned) {
        size_t front = -(uintptr_t)p & (HUGE_PAGE - 1), back = HUGE_PAGE - front;
        if (front) munmap(p, front);
        if (back) munmap(p + front + size, back);
        p += front;
        if (huge) madvise(p, size, MADV_HUGEPAGE); /* advice: refused where the kernel has none */
    }
    *out = p;
    return TERN_OK;
}

void tn_os_unmap(void *p, size_t bytes) {
    if (p) munmap(p, page_round(bytes));
}

/* Counts every mapping that touches the range, whole. The range is normally a mapping of its own, but the kernel may have
 * joined neighbours with the same advice to it. */
size_t tn_os_huge_bytes(const void *p, size_t bytes) {
    FILE *f = fopen("/proc/self/smaps", "re");
    if (!f) return 0;
    char line[512];
    uintptr_t at = (uintptr_t)p;
    size_t huge = 0;
    bool inside = false;
    while (fgets(line, sizeof line, f)) {
        unsigned long lo, hi, kb;
        if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
            inside = lo < at + bytes && at < hi;
        else if (inside && sscanf(line, "AnonHugePages: %lu kB", &kb) == 1)
            huge += (size_t)kb * 1024;
    }
    fclose(f);
    return huge < bytes ? huge : bytes;
}

/* Advises on the pages that lie wholly inside a range. */
static void advise(const void *p, size_t bytes, int advice) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t lo = ((uintptr_t)p + page - 1) & ~(page - 1), hi = ((uintptr_t)p + bytes) & ~(page - 1);
    if (lo < hi) madvise((void *)lo, hi - lo, advice);
}

void tn_os_advise_small(void *p, size_t bytes) {
    advise(p, page_round(bytes), MADV_NOHUGEPAGE);
}

void tn_os_advise_dontneed(const void *p, size_t bytes) {
    advise(p, bytes, MADV_DONTNEED);
}

/* All pages that the range touches. */
void tn_os_advise_soon(const void *p, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), lo = (uintptr_t)p & ~(page - 1);
    madvise((void *)lo, (uintptr_t)p + bytes - lo, MADV_WILLNEED);
}

void tn_os_advise_random(const void *p, size_t bytes, bool random) {
    advise(p, bytes, random ? MADV_RANDOM : MADV_NORMAL);
}

uint64_t tn_os_file_resident(void) {
    char text[128];
    unsigned long long pages = 0;
    int fd = open_retry("/proc/self/statm", O_RDONLY, 0);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    return sscanf(text, "%*s %*s %llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* The process and the machine */

double tn_os_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

long tn_os_last_cache(void) {
#ifdef _SC_LEVEL3_CACHE_SIZE
    return sysconf(_SC_LEVEL3_CACHE_SIZE);
#else
    return 0; /* musl does not say */
#endif
}

uint32_t tn_os_cpus(void) {
    /* The kernel refuses a set smaller than its own, so try larger ones until it accepts. */
    for (int want = CPU_SETSIZE; want <= 1 << 20; want *= 2) {
        cpu_set_t *set = CPU_ALLOC(want);
        if (!set) break;
        size_t bytes = CPU_ALLOC_SIZE(want);
        int n = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : -1;
        CPU_FREE(set);
        if (n > 0) return (uint32_t)n;
        if (n < 0 && errno != EINVAL) break;
    }
    return 1;
}

/* From /proc/cpuinfo: a name on x86, the numbers of implementer and part on ARM. */
void tn_os_cpu_name(char *out, size_t size) {
    char line[256], part[64] = "";
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (!value) continue;
        *value++ = 0;
        value += strspn(value, " \t");
        value[strcspn(value, "\n")] = 0;
        for (char *p = value + strlen(value); p > value && p[-1] == ' ';) *--p = 0;
        for (char *p = value; *p; p++)
            if (*p < 0x20 || *p > 0x7e) *p = '?';
        if (*value && strncmp(line, "model name", 10) == 0) {
            snprintf(out, size, "%s", value);
            break;
        }
        if (strncmp(line, "CPU implementer", 15) == 0) snprintf(part, sizeof part, "%.63s", value);
        if (*part && strncmp(line, "CPU part", 8) == 0) {
            snprintf(out, size, "implementer %s part %.63s", part, value);
            break;
        }
    }
    if (f) fclose(f);
}

uint64_t tn_os_random_seed(void) {
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed) return seed;
    struct timespec t; /* no entropy yet: only at boot, or in a strict sandbox */
    clock_gettime(CLOCK_MONOTONIC, &t);
    return ((uint64_t)t.tv_nsec * 0x9e3779b97f4a7c15u) ^ (uint64_t)t.tv_sec ^ (uint64_t)getpid() << 40;
}

/* The first object is the program. Only a dynamic one names an interpreter. */
static int find_interpreter(struct dl_phdr_info *program, size_t size, void *found) {
    (void)size;
    for (int i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_INTERP) *(bool *)found = true;
    return 1;
}

bool tn_os_opens_libraries(void) {
    bool found = false;
    dl_iterate_phdr(find_interpreter, &found);
    return found;
}

/* Not getrusage's number where there is another: that one is at least the peak of the program which this one replaced by exec,
 * and nothing lowers it. */
uint64_t tn_os_peak_rss(void) {
    FILE *f = fopen("/proc/self/status", "re");
    unsigned long long kb = 0;
    char line[128];
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %llu kB", &kb) == 1) break;
    if (f) fclose(f);
    struct rusage u;
    if (kb == 0 && getrusage(RUSAGE_SELF, &u) == 0) kb = (unsigned long long)u.ru_maxrss;
    return kb * 1024;
}

bool tn_os_peak_rss_restart(void) {
    FILE *f = fopen("/proc/self/clear_refs", "we");
    bool written = f && fputs("5", f) >= 0;
    return f && fclose(f) == 0 && written;
}

uint64_t tn_os_free_memory(void) {
    FILE *f = fopen("/proc/meminfo", "re");
    unsigned long long kb = 0;
    char line[128];
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1) break;
    fclose(f);
    return kb * 1024;
}

bool tn_os_allow_amx(void) {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
    enum { REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
#else
    return false;
#endif
}
