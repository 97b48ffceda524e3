/* Three things must not happen: a step allocates memory, cache memory becomes resident before it is used, memory is
 * writable and executable at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>
#include "fake_model.h"
#include "support/sanitized.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"

/* Count every way to allocate. Sanitizers bring their own malloc and must keep it. */

static atomic_int counted, watching;

#if defined(__GLIBC__) && !TN_SANITIZED
#define COUNTING 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
static void count(void) {
    counted += watching;
}
void *malloc(size_t n) {
    count();
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    count();
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    count();
    return __libc_realloc(p, n);
}
int posix_memalign(void **out, size_t align, size_t n) {
    count();
    *out = __libc_memalign(align, n);
    return *out ? 0 : ENOMEM;
}
void *aligned_alloc(size_t align, size_t n) {
    count();
    return __libc_memalign(align, n);
}
void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
    count();
    return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}
#else
#define COUNTING 0
#endif

static Fake fake;
static TernPool *pool;

static TernModel *model_of(Image image) {
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    TernModel *m = NULL;
    TernError err = {0};
    if (tern_model_open_memory(image.data, image.size, &o, &m, &err) != TERN_OK) fail_msg("%s", err.text);
    return m;
}

/* Steps of all kinds, forks and truncations, on a session whose pages have all been used before. */
static void exercise(TernSession *s, TernError *err) {
    TernRow rows[90];
    for (uint32_t i = 0; i < 90; i++) rows[i] = (TernRow){(int32_t)(i % POISON), i % 2, i % 5};
    for (int round = 0; round < 6; round++) {
        TernRow bad = {-1, 0, 0}, poison = {POISON, 0, TERN_WANT_GREEDY};
        tern_session_step(s, rows, 90, NULL, NULL, err);
        tern_session_step(s, rows, 1, NULL, NULL, err);
        tern_session_fork(s, 0, 2, err);
        tern_session_step(s, &bad, 1, NULL, NULL, err);
        tern_session_step(s, &poison, 1, NULL, NULL, err);
        tern_session_truncate(s, 0, (uint32_t)(round * 7), err);
        tern_session_truncate(s, 1, 3, err);
    }
}

static void no_allocation(void **state) {
    (void)state;
    if (!COUNTING) {
        print_message("  skipped: malloc belongs to a sanitizer or is not glibc's\n");
        skip();
    }
    watching = 1;
    void *volatile one = malloc(1); /* shows that the counter works; volatile, or clang removes the pair */
    free(one);
    watching = 0;
    assert_int_equal(counted, 1);
    counted = 0;
    Image image = fake_image();
    TernModel *m = model_of(image);
    TernSession *s = NULL;
    TernError err = {0};
    TernSessionOptions o = {.size = sizeof o, .slots = 3};
    assert_int_equal(tern_session_create(m, pool, &o, &s, &err), TERN_OK);
    watching = 1;
    exercise(s, &err);
    watching = 0;
    assert_int_equal(counted, 0);
    assert_int_equal(fake.faults, 0);
    tern_session_destroy(s);
    tern_model_close(m);
    free(image.data);
}

/* The number of executable mappings, and how many of them are writable too (none, except under valgrind). */
static int executable(int *out_writable) {
    char line[512];
    int n = 0;
    *out_writable = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        const char *prot = strchr(line, ' ');
        if (!prot || prot[3] != 'x') continue;
        n++;
        *out_writable += prot[2] == 'w';
    }
    if (maps) fclose(maps);
    return n;
}

/* The same with compiled code (which returns at once) on several workers. */
static void no_allocation_in_workers(void **state) {
    (void)state;
    uint32_t mine = TN_LEVEL_REF;
    for (uint32_t l = 1; l < TN_LEVEL_SM_80; l++)
        if (tn_level_runs_here(l)) mine = l;
    if (!COUNTING || mine == TN_LEVEL_REF) skip();
    int both_before, executable_before = executable(&both_before);
    Maker maker = fake_maker(mine, 300);
    Image image = maker_seal(&maker);
    maker_free(&maker);
    TernModel *m = NULL;
    TernSession *s = NULL;
    TernError err = {0};
    assert_int_equal(tern_model_open_memory(image.data, image.size, NULL, &m, &err), TERN_OK);
    TernSessionOptions o = {.size = sizeof o, .slots = 3};
    assert_int_equal(tern_session_create(m, pool, &o, &s, &err), TERN_OK);
    counted = 0;
    watching = 1;
    exercise(s, &err);
    watching = 0;
    assert_int_equal(counted, 0);

    int both_now, executable_now = executable(&both_now);
    assert_true(executable_now > executable_before); /* the model's code is mapped by now */
    assert_int_equal(both_now, both_before);
    tern_session_destroy(s);
    tern_model_close(m);
    free(image.data);
}

static size_t resident(void) {
    size_t size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%zu %zu", &size, &pages) != 2) pages = 0;
        fclose(f);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* A session for millions of positions takes address space, but no memory until positions are held. */
static void untouched_cache(void **state) {
    (void)state;
    Maker maker = fake_maker(TN_LEVEL_REF, 300);
    uint32_t context = 1 << 21;
    memcpy(maker_find(&maker, TN_SECTION_META, 0)->bytes.data + offsetof(TnBlobMeta, n_context), &context, 4);
    Image image = maker_seal(&maker);
    maker_free(&maker);
    TernModel *m = model_of(image);
    TernSession *s = NULL;
    TernSessionBytes bytes = {.size = sizeof bytes};
    TernError err = {0};
    TernSessionOptions o = {.size = sizeof o, .slots = 4, .context = context, .kv = TERN_KV_F32};
    assert_int_equal(tern_session_bytes(m, pool, &o, &bytes, &err), TERN_OK);
    assert_true(bytes.cache > 700u << 20);
    size_t before = resident();
    assert_int_equal(tern_session_create(m, pool, &o, &s, &err), TERN_OK);
    TernRow rows[90];
    for (uint32_t i = 0; i < 90; i++) rows[i] = (TernRow){1, i % 4, TERN_WANT_GREEDY};
    assert_int_equal(tern_session_step(s, rows, 90, NULL, NULL, &err), TERN_OK);
    assert_true(resident() < before + (1 << 20));
    assert_int_equal(fake.faults, 0);
    tern_session_destroy(s);
    tern_model_close(m);
    free(image.data);
}

int main(void) {
    TernPoolOptions o = {.size = sizeof o, .threads = 3};
    if (tern_pool_create(&o, &pool, NULL) != TERN_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_allocation),
        cmocka_unit_test(no_allocation_in_workers),
        cmocka_unit_test(untouched_cache),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tern_pool_destroy(pool);
    return failed;
}
