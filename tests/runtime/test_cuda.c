/* The CUDA engine over a driver in software (support/fake_cuda): which devices there are and which are refused, sessions
 * that do all that a session can, every driver call failing in turn, and too little memory. The model is the small one of
 * fake_model.h; its kernels are PTX text. What the evaluated model says is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <dlfcn.h>
#include <cmocka.h>
#include "fake_ptx.h"
#include "runtime/engine.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "support/sanitized.h"

#define LIBRARY TERN_BUILD_DIR "/tests/fake_cuda/libcuda.so.1"
enum { WEIGHTS = 9 << 20 }; /* more than the ring, and three chunks */

static Image image, small; /* a model, and one with few weights */
static TernPool *pool;
static void *library; /* opened by its path; then the soname finds it too */

/* ---- the driver */

/* Starts a driver with these settings, "FAKE_CUDA_ARCH=90", and others at their defaults. */
static void start_driver(const char *const *settings) {
    static const char *const names[] = {"DEVICES", "ARCH", "DRIVER", "MEMORY", "FAIL", "SEED"};
    char name[40];
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        snprintf(name, sizeof name, "FAKE_CUDA_%s", names[i]);
        unsetenv(name);
    }
    for (; settings && *settings; settings++) {
        size_t n = strcspn(*settings, "=");
        snprintf(name, sizeof name, "FAKE_CUDA_%.*s", (int)n, *settings);
        setenv(name, *settings + n + 1, 1);
    }
    library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail_msg("%s", dlerror());
}
#define START(...) start_driver((const char *const[]){__VA_ARGS__, NULL})

typedef struct Counts {
    unsigned long long calls, left, launches, faults;
} Counts;

static Counts count(void) {
    Counts c;
    void *found = dlsym(library, "fake_cuda_counts");
    void (*counts)(unsigned long long out[4]);
    assert_non_null(found);
    memcpy(&counts, &found, sizeof counts);
    counts(&c.calls);
    return c;
}

/* Ends the driver; the next one is new. */
static Counts end_driver(void) {
    Counts c = count();
    assert_int_equal(dlclose(library), 0);
    library = NULL;
    return c;
}

/* ---- devices */

static TernDevice device(uint32_t index) {
    TernDevice d = {.size = sizeof d};
    TernError err = {0};
    char name[16];
    snprintf(name, sizeof name, "cuda:%u", index);
    if (tern_device(name, &d, &err) != TERN_OK) fail_msg("%s", err.text);
    return d;
}

static void devices(void **state) {
    (void)state;
    static const struct {
        const char *arch, *driver, *levels;
    } rows[] = {
        {"80", "11040", "sm_80"},  {"86", "12040", "sm_80"}, {"90", "12000", "sm_90a,sm_80"},
        {"90", "11080", "sm_80"},  {"89", "13000", "sm_80"}, {"100", "13000", "sm_80"},
        {"120", "13000", "sm_80"}, {"75", "12040", ""},      {"70", "12040", ""},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        char arch[32], driver[32];
        uint32_t n = 0;
        snprintf(arch, sizeof arch, "ARCH=%s", rows[i].arch);
        snprintf(driver, sizeof driver, "DRIVER=%s", rows[i].driver);
        START(arch, driver, "DEVICES=3", "MEMORY=1000000");
        assert_int_equal(tern_devices(&n, NULL), TERN_OK);
        assert_int_equal(n, 3);
        TernDevice d = device(2);
        assert_string_equal(d.device, "cuda:2");
        assert_string_equal(d.name, "Fake GPU 2");
        assert_string_equal(d.levels, rows[i].levels);
        assert_int_equal(10 * d.major + d.minor, atoi(rows[i].arch));
        assert_int_equal(d.driver, atoi(rows[i].driver));
        assert_int_equal(d.memory, 1000000);
        assert_int_equal(end_driver().left, 0);
    }
    TernDevice d = {.size = sizeof d};
    assert_int_equal(tern_device("cpu", &d, NULL), TERN_OK);
    assert_string_equal(d.device, "cpu");
    assert_string_equal(d.levels, tern_cpu_levels());
}

static TernStatus open_on(const char *device_name, TernModel **out, TernError *err) {
    TernModelOptions o = {.size = sizeof o, .device = device_name};
    return tern_model_open_memory(image.data, image.size, &o, out, err);
}

static void expect_refusal(const char *device_name, TernStatus status, const char *line) {
    TernModel *m = NULL;
    TernError err = {0};
    assert_int_equal(open_on(device_name, &m, &err), status);
    if (!strstr(err.text, line)) fail_msg("got '%s', expected '%s'", err.text, line);
    assert_null(m);
    if (library) assert_int_equal(end_driver().left, 0);
}

static void refusals(void **state) {
    (void)state;
    void *real = dlopen("libcuda.so.1", RTLD_NOW);
    if (real) {
        print_message("not tested: a machine without libcuda.so.1, this one has it\n");
        dlclose(real);
    } else {
        expect_refusal("cuda", TERN_ERR_ENV, "no driver of CUDA: libcuda.so.1: cannot open");
    }
    START("DEVICES=0");
    expect_refusal("cuda", TERN_ERR_ENV, "cuInit: no CUDA-capable device is detected");
    START("DRIVER=11030");
    expect_refusal("cuda", TERN_ERR_ENV, "a driver of CUDA 11.3, expected 11.4 or newer");
    START("ARCH=70");
    expect_refusal("cuda", TERN_ERR_UNSUPPORTED,
                   "cuda:0: Fake GPU 0 has compute capability 7.0, expected 8.0 or newer");
    START("DEVICES=2");
    expect_refusal("cuda:2", TERN_ERR_INPUT, "device cuda:2: expected cuda:0 to cuda:1");
    static const char *const wrong[] = {"cuda:", "cuda:x", "cuda:1x", "cuda1", "gpu", "cpu:0"};
    for (size_t i = 0; i < TN_COUNT(wrong); i++) expect_refusal(wrong[i], TERN_ERR_INPUT, "expected ");
    expect_refusal("cpu", TERN_ERR_UNSUPPORTED, "the file has code for sm_80, this machine runs ");
}

/* A text that the driver does not take is refused with the first line of its log. */
static void wrong_text(void **state) {
    (void)state;
    Maker m = fake_maker(TN_LEVEL_SM_80, 300);
    TernModelOptions o = {.size = sizeof o, .device = "cuda"};
    TernModel *model;
    TernError err = {0};
    fake_ptx_text(&maker_find(&m, TN_SECTION_PTXT, 0)->bytes);
    char *text = maker_find(&m, TN_SECTION_PTXT, 0)->bytes.data;
    size_t n = maker_find(&m, TN_SECTION_PTXT, 0)->bytes.len;
    for (size_t i = 0; i + 8 < n; i++)
        if (memcmp(text + i, "setp.ne.", 8) == 0) text[i] = 'q';
    Image damaged = maker_seal(&m);
    START("SEED=0");
    assert_int_equal(tern_model_open_memory(damaged.data, damaged.size, &o, &model, &err), TERN_ERR_ENV);
    assert_non_null(strstr(err.text, "cuda:0: cuModuleLoadDataEx: a PTX JIT compilation failed "
                                     "(CUDA_ERROR_INVALID_PTX): "));
    assert_non_null(strstr(err.text, "line "));
    assert_int_equal(end_driver().left, 0);
    free(damaged.data);
    maker_free(&m);
}

/* ---- what a session says */

typedef struct Heard {
    uint64_t hash;
    uint32_t n;
} Heard;

static uint64_t mix(uint64_t h, const void *bytes, size_t n) {
    const uint8_t *b = bytes;
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

static void hear(void *user, const TernResult *r) {
    Heard *h = user;
    h->n++;
    h->hash = mix(h->hash, &r->id, sizeof r->id);
    if (r->logits) h->hash = mix(h->hash, r->logits, VOCAB * sizeof *r->logits);
    if (r->hidden) h->hash = mix(h->hash, r->hidden, HIDDEN * sizeof *r->hidden);
}

#define GO(call)                                                                                             \
    do {                                                                                                     \
        TernStatus go_ = (call);                                                                             \
        if (go_ != TERN_OK) return go_;                                                                      \
    } while (0)

static TernStatus feed(TernSession *s, uint32_t slot, uint32_t from, uint32_t n, uint32_t chunk, Heard *h,
                       TernError *err) {
    static const uint32_t wants[] = {TERN_WANT_NOTHING, TERN_WANT_GREEDY, TERN_WANT_LOGITS, TERN_WANT_HIDDEN};
    TernRow rows[CONTEXT];
    for (uint32_t i = 0; i < n; i++)
        rows[i] = (TernRow){(int32_t)((from + i) * 7 % POISON), slot, wants[(from + i) % 4]};
    for (uint32_t at = 0; at < n; at += chunk)
        GO(tern_session_step(s, rows + at, n - at < chunk ? n - at : chunk, hear, h, err));
    return TERN_OK;
}

/* Two pages of slot 0 through the host's memory into slot 2. */
static TernStatus carry(TernSession *s, uint32_t n, TernError *err) {
    void *page = malloc(tern_session_page_bytes(s));
    TernStatus st = TERN_OK;
    for (uint32_t at = 0; at < n && st == TERN_OK; at += TERN_PAGE) {
        uint32_t some = n - at < TERN_PAGE ? n - at : TERN_PAGE;
        st = tern_session_read_page(s, 0, at / TERN_PAGE, some, page, err);
        if (st == TERN_OK) st = tern_session_append_page(s, 2, page, some, err);
    }
    free(page);
    return st;
}

/* Prompts at once, in sevens and one by one; forks whose shared page is copied; a page that another slot used, or that came from
 * the host. */
static TernStatus play(TernSession *s, uint32_t rounds, Heard *h, TernError *err) {
    static const uint32_t chunks[] = {100, 7, 1};
    for (uint32_t i = 0; i < rounds; i++) {
        GO(tern_session_truncate(s, 0, 0, err));
        GO(feed(s, 0, 0, 100, chunks[i % 3], h, err));
        GO(tern_session_fork(s, 0, 1, err));
        GO(feed(s, 1, 30, 9, 4, h, err));
        GO(feed(s, 0, 60, 3, 1, h, err));
        GO(tern_session_truncate(s, 1, 65, err));
        GO(feed(s, 1, 5, 40, 20, h, err));
        GO(tern_session_truncate(s, 1, 0, err));
        GO(carry(s, i < 2 ? 64 : 90, err)); /* each call fails once in the first rounds: let them be few */
        GO(feed(s, 2, 11, 7, 3, h, err));
        GO(tern_session_truncate(s, 2, 0, err));
        GO(feed(s, 2, 8, 5, 5, h, err));
        TernRow both[2] = {{3, 0, TERN_WANT_LOGITS}, {4, 2, TERN_WANT_HIDDEN}};
        GO(tern_session_step(s, both, 2, hear, h, err));
        GO(tern_session_truncate(s, 2, 0, err));
    }
    return TERN_OK;
}

static TernStatus create(TernModel *m, TernSession **out, TernError *err) {
    TernSessionOptions o = {.size = sizeof o, .slots = 3};
    return tern_session_create(m, pool, &o, out, err);
}

/* Opens, plays and closes. device_name NULL: the evaluated model. */
static TernStatus perform(const char *device_name, uint32_t rounds, Heard *h, TernError *err) {
    static Fake fake_state;
    TernKernels k = fake_kernels(&fake_state);
    TernModelOptions evaluated = {.size = sizeof evaluated, .kernels = &k};
    Image plain = {0};
    TernModel *m;
    TernSession *s;
    if (!device_name) plain = fake_image();
    TernStatus st = device_name ? open_on(device_name, &m, err)
                                : tern_model_open_memory(plain.data, plain.size, &evaluated, &m, err);
    if (st != TERN_OK) return st;
    st = create(m, &s, err);
    if (st == TERN_OK) {
        st = play(s, rounds, h, err);
        tern_session_destroy(s);
    }
    tern_model_close(m);
    free(plain.data);
    return st;
}

static Heard expected(uint32_t rounds) {
    Heard h = {0};
    TernError err = {0};
    if (perform(NULL, rounds, &h, &err) != TERN_OK) fail_msg("%s", err.text);
    return h;
}

static void sessions(void **state) {
    (void)state;
    Heard right = expected(3);
    assert_true(right.n > 300);
    for (int seed = 0; seed < 4; seed++) {
        Heard h = {0};
        TernError err = {0};
        char setting[20];
        snprintf(setting, sizeof setting, "SEED=%d", seed);
        START(setting, seed % 2 ? "ARCH=90" : "ARCH=86");
        if (perform("cuda", 3, &h, &err) != TERN_OK) fail_msg("%s", err.text);
        assert_int_equal(h.n, right.n);
        assert_true(h.hash == right.hash);
        Counts c = end_driver();
        assert_int_equal(c.left, 0);
        assert_int_equal(c.faults, 0);
        assert_true(c.launches > 100);
    }
}

/* Either a line names the call, or nothing was lost: what frees something has nobody to report to. */
static bool names_call(TernStatus st, const TernError *err) {
    return st == TERN_ERR_ENV && strstr(err->text, ": cu") && !strchr(err->text, '\n') &&
           (strstr(err->text, "CUDA_ERROR_UNKNOWN") || strstr(err->text, "error 999"));
}

/* Every call fails in turn: of opening a model with weights, and of a whole performance. Under TSan, where this takes two minutes,
 * every fifth: which call fails changes nothing that another thread does. */
static void calls_fail(uint32_t rounds) {
    Heard right = expected(rounds), h = {0};
    TernError err = {0};
    START("FAIL=0");
    assert_int_equal(perform("cuda", rounds, &h, &err), TERN_OK);
    unsigned long long calls = end_driver().calls, quiet = 0;
    for (unsigned long long i = 1; i <= calls; i += TN_THREAD_SANITIZED ? 5 : 1) {
        char setting[32];
        snprintf(setting, sizeof setting, "FAIL=%llu", i);
        START(setting);
        h = (Heard){0};
        TernStatus st = perform("cuda:0", rounds, &h, &err);
        Counts c = end_driver();
        assert_int_equal(c.faults, 0);
        if (st == TERN_OK) {
            assert_true(h.hash == right.hash);
            quiet++;
        } else {
            if (!names_call(st, &err)) fail_msg("call %llu: status %d, %s", i, (int)st, err.text);
            assert_int_equal(c.left, 0);
        }
    }
    print_message("%llu calls; the failure of %llu, which free something, is not seen\n", calls, quiet);
    assert_true(calls > 60 && quiet < calls / 2);
}

static void every_call_fails(void **state) {
    (void)state;
    calls_fail(0);
    Image large = image;
    image = small;
    calls_fail(1);
    image = large;
}

/* ---- memory */

static void memory(void **state) {
    (void)state;
    TernModel *m;
    TernSession *s;
    TernError err = {0};
    START("MEMORY=1048576");
    assert_int_equal(open_on("cuda", &m, &err), TERN_OK);
    assert_int_equal(create(m, &s, &err), TERN_ERR_MEMORY);
    assert_string_equal(err.text,
                        "model in memory: memory for the weights: cuda:0: no memory for 9437184 bytes, "
                        "1048576 of 1048576 are free");
    tern_model_close(m);
    assert_int_equal(end_driver().left, 0);

    /* The weights fit, the session does not: its size was known before. */
    START("MEMORY=9450000");
    TernSessionBytes bytes = {.size = sizeof bytes};
    TernSessionOptions o = {.size = sizeof o, .slots = 3};
    char line[100];
    assert_int_equal(open_on("cuda", &m, &err), TERN_OK);
    assert_int_equal(tern_session_bytes(m, pool, &o, &bytes, &err), TERN_OK);
    snprintf(line, sizeof line, "cuda:0: no memory for %zu bytes, ", (size_t)bytes.device);
    assert_int_equal(create(m, &s, &err), TERN_ERR_MEMORY);
    if (!strstr(err.text, line)) fail_msg("got '%s', expected '%s'", err.text, line);
    assert_int_equal(create(m, &s, &err), TERN_ERR_MEMORY); /* a second try fails the same way */
    tern_model_close(m);
    assert_int_equal(end_driver().left, 0);
}

/* A session in memory of the caller, which is not pinned. */
static void given_memory(void **state) {
    (void)state;
    Heard right = expected(1), h = {0};
    TernModel *m;
    TernSession *s;
    TernError err = {0};
    TernSessionBytes bytes = {.size = sizeof bytes};
    TernSessionOptions o = {.size = sizeof o, .slots = 3};
    START("SEED=5");
    assert_int_equal(open_on("cuda", &m, &err), TERN_OK);
    assert_int_equal(tern_session_bytes(m, pool, &o, &bytes, &err), TERN_OK);
    o.memory_bytes = (size_t)bytes.total;
    o.memory = aligned_alloc(64, (size_t)bytes.total);
    memset(o.memory, 0, (size_t)bytes.total);
    if (tern_session_create(m, pool, &o, &s, &err) != TERN_OK) fail_msg("%s", err.text);
    if (play(s, 1, &h, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_true(h.hash == right.hash);
    tern_session_destroy(s);
    free(o.memory);
    tern_model_close(m);
    assert_int_equal(end_driver().left, 0);
}

/* With a profile launches are timed one by one, and say the same. */
static void profile(void **state) {
    (void)state;
    Heard right = expected(1), h = {0};
    TernModel *m;
    TernSession *s;
    TernProfile *p;
    TernProfileLaunch launch;
    TernError err = {0};
    START("SEED=0");
    assert_int_equal(open_on("cuda", &m, &err), TERN_OK);
    assert_int_equal(create(m, &s, &err), TERN_OK);
    assert_int_equal(tern_profile_create(s, NULL, &p, &err), TERN_OK);
    assert_int_equal(tern_profile_workers(p), 1);
    if (play(s, 1, &h, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_true(h.hash == right.hash);
    for (uint32_t i = 0; i < LAUNCHES; i++) {
        tern_profile_launch(p, 2, i, &launch); /* of 7 to 20 rows */
        assert_true(i == TOP ? launch.calls == 0 : launch.calls > 0 && launch.ns > 0);
    }
    tern_profile_destroy(p);
    tern_session_destroy(s);
    tern_model_close(m);
    assert_int_equal(end_driver().left, 0);
}

static int setup(void **state) {
    (void)state;
    TernPoolOptions o = {.size = sizeof o, .threads = 3};
    image = fake_ptx_image(WEIGHTS);
    small = fake_ptx_image(300);
    return tern_pool_create(&o, &pool, NULL) != TERN_OK;
}

static int teardown(void **state) {
    (void)state;
    tern_pool_destroy(pool);
    free(image.data);
    free(small.data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices),  cmocka_unit_test(refusals),         cmocka_unit_test(wrong_text),
        cmocka_unit_test(sessions), cmocka_unit_test(memory),           cmocka_unit_test(given_memory),
        cmocka_unit_test(profile),  cmocka_unit_test(every_call_fails),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
