/* Tuning: the choices for given times, the time limit, and the table that keeps the choices. Times come from a simulated
 * machine; tests/cli/test_tune.sh runs real kernels. */
#include "codegen/small_model.h"
#include "codegen/tune.h"

#include <math.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/base/os.h"

static const TnTuneMachine here = {.cpu = "A \"CPU\"", .version = "1 LLVM 2", .threads = 2};

static TnSetting setting(int64_t grain, int64_t l1, int64_t l2) {
    return (TnSetting){grain, {{{l1, l2, 0}}}, false};
}

static void put(TnTuneTable *t, const TnTuneMachine *m, const char *shape, TnSetting s) {
    tn_tune_put(t, &(TnTuned){.kind = TN_TUNED_KERNEL, .shape = shape, .machine = *m, .s = s});
}

/* ---- Judging */

static void gain_needs_the_median_and_the_spread(void **state) {
    (void)state;
    static const double first[] = {10, 20, 10, 10, 10, 40, 10}; /* two rounds in which the machine was busy */
    static const double faster[] = {9, 18, 9, 9, 9, 36, 9}, little[] = {9.8, 19.6, 9.8, 9.8, 9.8, 39, 9.8};
    static const double wild[] = {9, 22, 9, 11, 9, 44, 9}, slower[] = {11, 22, 11, 11, 11, 44, 11};
    assert_true(fabs(tn_tune_gain(first, faster, 7) - 0.1) < 1e-12);
    assert_true(tn_tune_gain(first, little, 7) == 0); /* 2 % */
    assert_true(tn_tune_gain(first, wild, 7) == 0);   /* 10 % in four rounds of seven is luck */
    assert_true(tn_tune_gain(first, slower, 7) == 0);
    assert_true(tn_tune_gain(first, first, 7) == 0);
    assert_true(tn_tune_gain(first, faster, 0) == 0); /* nothing measured */
    static const double nothing[] = {0, 0};
    assert_true(tn_tune_gain(nothing, faster, 2) == 0);
}

/* ---- A simulated machine */

typedef struct Fake {
    double (*seconds)(struct Fake *f, const TnGraph *g, uint32_t kernel, TnSetting s);
    double now, opening;
    const TnGraph *g;
    uint32_t kernel, n, opened, samples, last;
    TnSetting s[10];
    uint32_t fails; /* number of the opening that fails, from 1 */
} Fake;

static TernStatus fake_open(void *user, const TnGraph *g, uint32_t kernel, const TnSetting *s, uint32_t n,
                            TernError *err) {
    Fake *f = user;
    assert_null(f->g);
    assert_true(n >= 2 && n <= TN_COUNT(((Fake *)0)->s));
    if (++f->opened == f->fails) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a kernel");
    f->g = g;
    f->kernel = kernel;
    f->n = n;
    memcpy(f->s, s, n * sizeof *s);
    f->now += f->opening;
    return TERN_OK;
}
static double fake_sample(void *user, uint32_t setting) {
    Fake *f = user;
    assert_non_null(f->g);
    assert_true(setting < f->n);
    double t = f->seconds(f, f->g, f->kernel, f->s[setting]);
    f->samples++;
    f->last = setting;
    f->now += t;
    return t;
}
static void fake_close(void *user) {
    Fake *f = user;
    assert_non_null(f->g);
    f->g = NULL;
}
static double fake_now(void *user) {
    return ((Fake *)user)->now;
}

/* Best at grain 128 and 2 KB and 16 KB; one sample in five takes four times as long. */
static double likes_far(Fake *f, const TnGraph *g, uint32_t kernel, TnSetting s) {
    (void)g, (void)kernel;
    double t = 0.004;
    if (s.prefetch.ahead[TN_STREAM_DENSE][TN_INTO_L1] != 2048) t *= 1.1;
    if (s.grain != 128) t *= 1.2;
    return f->samples % 5 == 3 ? 4 * t : t;
}
static double likes_panels(Fake *f, const TnGraph *g, uint32_t kernel, TnSetting s) {
    (void)g, (void)kernel;
    double t = s.panels ? 0.004 : 0.0045;
    return f->samples % 5 == 3 ? 4 * t : t;
}
static double all_alike(Fake *f, const TnGraph *g, uint32_t kernel, TnSetting s) {
    (void)g, (void)kernel, (void)s;
    return 0.004 * (1 + (double)(f->samples * 7919 % 100) / 1000);
}

/* The planned graphs of the small model, for a level of columns. */
static uint32_t planned(const char *level, TnGraph *out[3]) {
    static const struct { int64_t lo, hi; } classes[] = {{1, 1}, {2, 8}, {9, 64}};
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    TnPassCtx ctx = {.level = level, .kv = TN_KV_F16, .head = TN_ENC_f16, .targets = targets};
    ctx.n_targets = tn_targets_for(level, NULL, targets);
    if (!ctx.n_targets) skip(); /* no code generator in this build */
    for (int i = 0; i < 3; i++) {
        TernError err;
        out[i] = small_model();
        ctx.rows_lo = classes[i].lo;
        ctx.rows_hi = classes[i].hi;
        if (tn_passes_run(out[i], NULL, &ctx, &err) != TERN_OK) fail_msg("%s", err.text);
    }
    return 3;
}
static void destroy(TnGraph *gs[3]) {
    for (int i = 0; i < 3; i++) tn_graph_destroy(gs[i]);
}

static void keep_text(void *user, const char *text, size_t n) {
    tn_buf_put(user, text, n);
    tn_buf_puts(user, "");
}

static uint32_t settings(TnGraph *gs[3], TnSetting s) {
    uint32_t n = 0;
    for (int i = 0; i < 3; i++)
        for (uint32_t k = 0; k < gs[i]->n_kernels; k++) {
            if (!tn_tune_can(gs[i], k)) continue;
            TnSetting is = tn_tune_get(gs[i], k);
            n += is.grain == s.grain && (!tn_prefetch_most(&is.prefetch, TN_STREAM_DENSE) ||
                                         is.prefetch.ahead[TN_STREAM_DENSE][TN_INTO_L1] ==
                                             s.prefetch.ahead[TN_STREAM_DENSE][TN_INTO_L1]);
        }
    return n;
}

static uint32_t tunable(TnGraph *gs[3]) {
    uint32_t n = 0;
    for (int i = 0; i < 3; i++)
        for (uint32_t k = 0; k < gs[i]->n_kernels; k++) n += tn_tune_can(gs[i], k);
    return n;
}

static void the_fastest_is_chosen_everywhere(void **state) {
    (void)state;
    TnGraph *gs[3];
    uint32_t n = planned("avx2", gs);
    Fake f = {.seconds = likes_far};
    TnTuneBench bench = {&f, fake_open, fake_sample, fake_close, fake_now};
    TnBuf text = {0};
    TnTuneOptions o = {.seconds = 60, .level = "avx2", .machine = here, .bench = &bench, .text = keep_text};
    o.user = &text;
    o.machine.threads = 1; /* with more a kernel of few columns is not cut coarser */
    TernError err;
    assert_true(settings(gs, setting(64, 1024, 12288)) > 6);
    if (tn_tune(gs, n, &o, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_int_equal(settings(gs, setting(128, 2048, 16384)), tunable(gs));
    TnDiag d = {0};
    for (uint32_t i = 0; i < n; i++)
        if (tn_verify(gs[i], &d) != TERN_OK) fail_msg("%s", d.text.data);
    tn_diag_free(&d);
    if (!strstr(text.data, "128/2048/16384") || !strstr(text.data, "avx2 tmatmul p64["))
        fail_msg("%s", text.data);
    assert_true(strstr(text.data, "0 from the cache, ") != NULL);
    TnGraph *two[3];
    planned("avx2", two);
    o.machine.threads = 2;
    if (tn_tune(two, n, &o, &err) != TERN_OK) fail_msg("%s", err.text);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < two[i]->n_kernels; k++)
            if (tn_tune_can(two[i], k)) assert_true(two[i]->kernels[k].units >= 2);
    destroy(two);
    /* another level: nothing is touched, nothing measured */
    uint32_t opened = f.opened;
    o.level = "avx512-vnni";
    assert_int_equal(tn_tune(gs, n, &o, &err), TERN_OK);
    o.level = NULL;
    assert_int_equal(tn_tune(gs, n, &o, &err), TERN_OK);
    assert_int_equal(f.opened, opened);
    tn_buf_free(&text);
    destroy(gs);
}

/* Where a kernel has code for both ways, and only there. */
static void panels_are_chosen(void **state) {
    (void)state;
    TnGraph *gs[3];
    uint32_t n = planned("avx512-vnni", gs), found = 0;
    Fake f = {.seconds = likes_panels};
    TnTuneBench bench = {&f, fake_open, fake_sample, fake_close, fake_now};
    TnBuf text = {0};
    TnTuneOptions o = {
        .seconds = 60, .level = "avx512-vnni", .machine = here, .bench = &bench, .text = keep_text};
    o.user = &text;
    TernError err;
    if (tn_tune(gs, n, &o, &err) != TERN_OK) fail_msg("%s", err.text);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < gs[i]->n_kernels; k++) {
            bool both = tn_tune_has_panels(gs[i], k);
            assert_int_equal(gs[i]->kernels[k].panels, both);
            found += both;
        }
    assert_true(found > 0);
    if (!strstr(text.data, " panels ")) fail_msg("%s", text.data);
    tn_buf_free(&text);
    destroy(gs);
}

static void noise_changes_nothing(void **state) {
    (void)state;
    TnGraph *gs[3], *before[3];
    uint32_t n = planned("avx2", gs);
    for (uint32_t i = 0; i < n; i++) before[i] = tn_graph_clone(gs[i]);
    Fake f = {.seconds = all_alike};
    TnTuneBench bench = {&f, fake_open, fake_sample, fake_close, fake_now};
    TnTuneOptions o = {.seconds = 60, .level = "avx2", .machine = here, .bench = &bench};
    TernError err;
    if (tn_tune(gs, n, &o, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_true(f.samples > 100);
    for (uint32_t i = 0; i < n; i++) assert_true(tn_graph_equal(gs[i], before[i]));
    destroy(gs);
    destroy(before);
}

static void the_bound_holds(void **state) {
    (void)state;
    static const double seconds[] = {0.1, 0.5, 2, 5};
    uint32_t before = 0;
    for (size_t i = 0; i < TN_COUNT(seconds); i++) {
        TnGraph *gs[3];
        uint32_t n = planned("avx2", gs);
        Fake f = {.seconds = all_alike, .opening = 0.05};
        TnTuneBench bench = {&f, fake_open, fake_sample, fake_close, fake_now};
        TnTuneOptions o = {.seconds = seconds[i], .level = "avx2", .machine = here, .bench = &bench};
        TernError err;
        if (tn_tune(gs, n, &o, &err) != TERN_OK) fail_msg("%s", err.text);
        if (f.now > seconds[i] + 0.1) fail_msg("%g seconds took %g", seconds[i], f.now);
        assert_true(f.opened >= before); /* more time, more kernels */
        before = f.opened;
        destroy(gs);
    }
    assert_true(before >= 12);
}

static int cancel(void *user, const char *phase, uint64_t done, uint64_t total) {
    (void)user;
    assert_string_equal(phase, "tune");
    assert_true(done <= total);
    return 1;
}

static void failures_are_told(void **state) {
    (void)state;
    TnGraph *gs[3];
    uint32_t n = planned("avx2", gs);
    Fake f = {.seconds = likes_far, .fails = 3};
    TnTuneBench bench = {&f, fake_open, fake_sample, fake_close, fake_now};
    TnTuneOptions o = {.seconds = 60, .level = "avx2", .machine = here, .bench = &bench};
    TernError err;
    assert_int_equal(tn_tune(gs, n, &o, &err), TERN_ERR_MEMORY);
    assert_string_equal(err.text, "no memory for a kernel");
    assert_null(f.g);
    o.progress = cancel;
    assert_int_equal(tn_tune(gs, n, &o, &err), TERN_ERR_CANCELLED);
    destroy(gs);
}

/* ---- The table */

static void table_comes_back(void **state) {
    (void)state;
    TnTuneTable t = {0}, u = {0};
    TnBuf a = {0}, b = {0};
    TnTuneMachine huge = here;
    huge.huge = true;
    put(&t, &here, "avx2 tmatmul p64[64,256]", setting(64, 1024, 12288));
    put(&t, &huge, "avx2 tmatmul p64[64,256]", setting(32, 0, 0));
    TnSetting with = setting(128, 64, 1 << 20);
    with.panels = true;
    put(&t, &here, "avx2 tmatmul p64[64,256]", with);
    assert_int_equal(t.n, 2);
    TnTuned packing = {TN_TUNED_PACKING, "avx2 tmatmul p64[64,256]", .machine = here, .base3 = true};
    tn_tune_put(&t, &packing);
    packing.machine = huge;
    tn_tune_put(&t, &packing);
    packing.base3 = false; /* the last word on it */
    tn_tune_put(&t, &packing);
    assert_int_equal(t.n, 4);
    tn_tune_print(&t, &a);
    TernError err;
    if (tn_tune_parse(a.data, a.len, "t", &u, &err) != TERN_OK) fail_msg("%s", err.text);
    tn_tune_print(&u, &b);
    assert_string_equal(a.data, b.data);
    const TnTuned *found = tn_tune_find(&u, TN_TUNED_KERNEL, &here, "avx2 tmatmul p64[64,256]");
    assert_non_null(found);
    assert_int_equal(found->s.grain, 128);
    assert_true(found->s.panels);
    assert_false(tn_tune_find(&u, TN_TUNED_KERNEL, &huge, "avx2 tmatmul p64[64,256]")->s.panels);
    assert_true(tn_tune_find(&u, TN_TUNED_PACKING, &here, "avx2 tmatmul p64[64,256]")->base3);
    assert_false(tn_tune_find(&u, TN_TUNED_PACKING, &huge, "avx2 tmatmul p64[64,256]")->base3);
    /* every part of the key counts */
    TnTuneMachine other = here;
    other.threads = 3;
    assert_null(tn_tune_find(&u, TN_TUNED_KERNEL, &other, "avx2 tmatmul p64[64,256]"));
    other = here;
    other.cpu = "A CPU";
    assert_null(tn_tune_find(&u, TN_TUNED_KERNEL, &other, "avx2 tmatmul p64[64,256]"));
    other = here;
    other.version = "1 LLVM 3";
    assert_null(tn_tune_find(&u, TN_TUNED_KERNEL, &other, "avx2 tmatmul p64[64,256]"));
    assert_null(tn_tune_find(&u, TN_TUNED_KERNEL, &here, "avx2 tmatmul p64[64,512]"));
    tn_buf_free(&a);
    tn_buf_free(&b);
    tn_tune_free(&t);
    tn_tune_free(&u);
}

#define ENTRY(settings) "kernel \"s\" {cpu=\"c\", threads=2, pages=small, tern=\"v\", " settings "}\n"
#define PACKING(choice) "packing \"s\" {cpu=\"c\", threads=2, pages=huge, tern=\"v\", " choice "}\n"

static void faults_have_a_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
    } all[] = {
        {"", "f:1:1: the text is empty, expected 'tune 1'"},
        {"; nothing\n", "f:2:1: the text is empty, expected 'tune 1'"},
        {"tir 1\n", "f:1:1: found 'tir', expected 'tune 1', the first line of such a file"},
        {"tune 2\n", "f:1:6: found '2', expected 1"},
        {"tune 1 1\n", "f:1:8: found '1', expected the end of the line"},
        {"tune 1\nkernal \"s\"\n", "f:2:1: found 'kernal', expected kernel or packing"},
        {"tune 1\n" ENTRY("grain=0, prefetch_l1=0, prefetch_l2=0"), "f:2:62: grain=0, expected 1 to 4096"},
        {"tune 1\n" ENTRY("grain=64, prefetch_l1=1, prefetch_l2=0"),
         "f:2:78: prefetch_l1=1, expected a multiple of 64 from 0 to 1048576"},
        {"tune 1\n" ENTRY("grain=64, prefetch_l1=64, prefetch_l2=-64"),
         "f:2:94: prefetch_l2=-64, expected a multiple of 64 from 0 to 1048576"},
        {"tune 1\n" ENTRY("grain=64, prefetch_l1=64, prefetch_l2=64, panels=2"),
         "f:2:105: panels=2, expected 0 to 1"},
        {"tune 1\n" ENTRY("grain=64, prefetch_l1=64"), "f:2:80: found '}', expected ','"},
        {"tune 1\n" ENTRY("grain=64, prefetch_l1=64, prefetch_l2=0") "\x01\n", "f:3:1: control byte 0x01"},
        {"tune 1\nkernel \"s\" {cpu=\"c\", threads=0, ", "f:2:30: threads=0, expected 1 to 65536"},
        {"tune 1\n" PACKING("base3=maybe"), "f:2:62: found 'maybe', expected no or yes"},
        {"tune 1\n" PACKING("grain=64"), "f:2:56: found 'grain', expected base3"},
        {"tune 1\n" PACKING("base3=yes, grain=64"), "f:2:65: found ',', expected '}'"},
    };
    for (size_t i = 0; i < TN_COUNT(all); i++) {
        TnTuneTable t = {0};
        TernError err = {0};
        assert_int_equal(tn_tune_parse(all[i].text, strlen(all[i].text), "f", &t, &err), TERN_ERR_INPUT);
        assert_int_equal(t.n, 0);
        if (strncmp(err.text, all[i].want, strlen(all[i].want)) != 0)
            fail_msg("%zu: '%s', expected '%s'", i, err.text, all[i].want);
    }
    /* no prefix of a good text does harm */
    const char *good =
        "tune 1\n" ENTRY("grain=64, prefetch_l1=64, prefetch_l2=128, panels=1") PACKING("base3=yes");
    for (size_t n = 0; n <= strlen(good); n++) {
        TnTuneTable t = {0};
        TernError err;
        char *copy = malloc(n + 1); /* so that a sanitizer sees reading behind the end */
        memcpy(copy, good, n);
        bool ok = tn_tune_parse(copy, n, "f", &t, &err) == TERN_OK;
        if (t.n > 2 || (t.n && !ok)) fail_msg("%zu bytes", n);
        free(copy);
        tn_tune_free(&t);
    }
}

static char *scratch_file(void) {
    static char path[] = "/tmp/tern-tune-XXXXXX";
    strcpy(path + sizeof path - 7, "XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return path;
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Two processes: each reads, measures something else, and writes. */
static void what_others_wrote_stays(void **state) {
    (void)state;
    char *path = scratch_file();
    unlink(path);
    TnTuneTable a = {0}, b = {0}, all = {0};
    TernError err;
    assert_int_equal(tn_tune_read(path, &a, &err), TERN_OK); /* not there: empty */
    assert_int_equal(tn_tune_read(path, &b, &err), TERN_OK);
    put(&a, &here, "one", setting(64, 0, 0));
    put(&b, &here, "two", setting(32, 0, 0));
    if (tn_tune_write(path, &a, &err) != TERN_OK) fail_msg("%s", err.text);
    if (tn_tune_write(path, &b, &err) != TERN_OK) fail_msg("%s", err.text);
    if (tn_tune_read(path, &all, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_int_equal(all.n, 2);
    assert_non_null(tn_tune_find(&all, TN_TUNED_KERNEL, &here, "one"));
    assert_non_null(tn_tune_find(&all, TN_TUNED_KERNEL, &here, "two"));
    unlink(path);
    tn_tune_free(&a);
    tn_tune_free(&b);
    tn_tune_free(&all);
}

/* Processes that write at the same time: each reads what the one before it wrote. */
static void writers_at_once_lose_nothing(void **state) {
    (void)state;
    enum { WRITERS = 4, EACH = 12 };
    char *path = scratch_file(), shape[32];
    unlink(path);
    pid_t child[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        child[w] = fork();
        assert_true(child[w] >= 0);
        if (child[w]) continue;
        bool ok = true;
        for (int i = 0; i < EACH; i++) {
            TnTuneTable t = {0};
            snprintf(shape, sizeof shape, "%d of writer %d", i, w);
            put(&t, &here, shape, setting(64, 0, 0));
            ok &= tn_tune_write(path, &t, NULL) == TERN_OK;
            tn_tune_free(&t);
        }
        _exit(!ok);
    }
    for (int w = 0; w < WRITERS; w++) {
        int status;
        assert_int_equal(waitpid(child[w], &status, 0), child[w]);
        assert_int_equal(status, 0);
    }
    TnTuneTable all = {0};
    TernError err;
    if (tn_tune_read(path, &all, &err) != TERN_OK) fail_msg("%s", err.text);
    for (int w = 0; w < WRITERS; w++)
        for (int i = 0; i < EACH; i++) {
            snprintf(shape, sizeof shape, "%d of writer %d", i, w);
            if (!tn_tune_find(&all, TN_TUNED_KERNEL, &here, shape)) fail_msg("%s is lost", shape);
        }
    unlink(path);
    tn_tune_free(&all);
}

static void a_cache_saves_the_time(void **state) {
    (void)state;
    TnGraph *gs[3], *again[3];
    uint32_t n = planned("avx2", gs);
    planned("avx2", again);
    char *path = scratch_file();
    write_text(path, "tir 1\n"); /* somebody else's file */
    Fake f = {.seconds = likes_far};
    TnTuneBench bench = {&f, fake_open, fake_sample, fake_close, fake_now};
    TnBuf text = {0};
    TnTuneOptions o = {.seconds = 60, .level = "avx2", .machine = here, .cache = path, .bench = &bench};
    o.text = keep_text;
    o.user = &text;
    TernError err;
    if (tn_tune(gs, n, &o, &err) != TERN_OK) fail_msg("%s", err.text);
    if (!strstr(text.data,
                ":1:1: found 'tir', expected 'tune 1', the first line of such a file; this tuning cache is "
                "ignored and will be replaced\n"))
        fail_msg("%s", text.data);
    uint32_t opened = f.opened;
    assert_true(opened > 6);
    text.len = 0;
    if (tn_tune(again, n, &o, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_int_equal(f.opened, opened);
    assert_true(strstr(text.data, ", 0 measured in 0.0 s, ") != NULL);
    for (uint32_t i = 0; i < n; i++) assert_true(tn_graph_equal(gs[i], again[i]));
    /* another number of threads is another machine */
    destroy(again);
    planned("avx2", again);
    o.machine.threads = 3;
    if (tn_tune(again, n, &o, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_true(f.opened > opened);
    /* a file that cannot be written is said, or an error */
    o.machine.threads = 4;
    o.cache = "/nowhere/tune";
    text.len = 0;
    if (tn_tune(again, n, &o, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_true(strstr(text.data, "; the measurements are not saved\n") != NULL);
    o.must_write = true;
    assert_int_equal(tn_tune(again, n, &o, &err), TERN_ERR_ENV);
    assert_true(strstr(err.text, "/nowhere/tune: cannot write: the folder ") != NULL);
    unlink(path);
    tn_buf_free(&text);
    destroy(gs);
    destroy(again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gain_needs_the_median_and_the_spread),
        cmocka_unit_test(the_fastest_is_chosen_everywhere),
        cmocka_unit_test(panels_are_chosen),
        cmocka_unit_test(noise_changes_nothing),
        cmocka_unit_test(the_bound_holds),
        cmocka_unit_test(failures_are_told),
        cmocka_unit_test(table_comes_back),
        cmocka_unit_test(faults_have_a_place),
        cmocka_unit_test(what_others_wrote_stays),
        cmocka_unit_test(writers_at_once_lose_nothing),
        cmocka_unit_test(a_cache_saves_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
