/* Choosing base 3: what is chosen for given times, what of a blob's graphs follows from it, and that choices are kept. Times
 * come from two simulated benches with one clock; tests/cli/test_tune.sh runs real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "codegen/tune.h"

#include <stdio.h>
#include <unistd.h>
#include "runtime/base/os.h"

static const TnTuneMachine here = {.cpu = "A CPU", .version = "1 LLVM 2", .threads = 2};

/* $a and $c have the same dimensions and kernels of other shapes. */
static const char model_text[] = "tir 1\ngraph @g stage=model\n"
                                 "  $a: t8[320,256] scale=0x1p-3 = random {seed=5}\n"
                                 "  $b: t8[640,256] scale=0x1p-3 = random {seed=6}\n"
                                 "  $c: t8[320,256] scale=0x1p-3 = random {seed=7}\n"
                                 "  $d: t8[192,256] scale=0x1p-3 = random {seed=8}\n"
                                 "  %x: f32[T,256] = input {name=\"x\"}\n"
                                 "  %q: q8[T,256] = quant %x\n"
                                 "  %aa: i32[T,320] = tmatmul %q, $a\n"
                                 "  %ad: f32[T,320] = dequant %aa, %q, $a\n"
                                 "  %ba: i32[T,640] = tmatmul %q, $b\n"
                                 "  %bd: f32[T,640] = dequant %ba, %q, $b\n"
                                 "  %ca: i32[T,320] = tmatmul %q, $c\n"
                                 "  %cd: f32[T,320] = dequant %ca, %q, $c\n"
                                 "  %c1: f32[T,160] = slice %cd {lo=0, n=160}\n"
                                 "  %c2: f32[T,160] = slice %cd {lo=160, n=160}\n"
                                 "  %cm: f32[T,160] = mul %c1, %c2\n"
                                 "  %da: i32[T,192] = tmatmul %q, $d\n"
                                 "  %dd: f32[T,192] = dequant %da, %q, $d\n"
                                 "  %o1: f32[T,320] = output %ad {name=\"a\"}\n"
                                 "  %o2: f32[T,640] = output %bd {name=\"b\"}\n"
                                 "  %o3: f32[T,160] = output %cm {name=\"c\"}\n"
                                 "  %o4: f32[T,192] = output %dd {name=\"d\"}\nend\n";
static const char shape_a[] = "avx512-vnni tmatmul b64[320,256] rows=1..1",
                  shape_b[] = "avx512-vnni tmatmul b64[640,256] rows=1..1",
                  shape_c[] = "avx512-vnni tmatmul p64[320,256] rows=1..1 parts=160*2";

/* ---- A simulated machine */

typedef struct Clock {
    double now, opening;
    /* how many times as long base 3 takes for $a, $b and $c; more: how much of luck there is in a sample */
    double takes[3], luck;
    uint32_t opened, open, samples, last, fails; /* fails: number of the opening that fails, from 1 */
} Clock;

typedef struct Fake {
    Clock *clock;
    uint32_t number; /* 0: the bench without base 3 */
    double seconds;  /* 0: nothing is open */
} Fake;

static TernStatus fake_open(void *user, const TnGraph *g, uint32_t kernel, const TnSetting *s, uint32_t n,
                            TernError *err) {
    Fake *f = user;
    Clock *c = f->clock;
    TnPart parts[TN_PARTS_MAX];
    const TnType *t = &g->nodes[g->nodes[g->kernels[kernel].root].args[1]].type;
    TnSetting usual = tn_tune_get(g, kernel);
    assert_int_equal(n, 1);
    assert_int_equal(s->grain, usual.grain);
    assert_true(f->seconds == 0);
    assert_int_equal(t->enc == TN_ENC_b80, f->number);
    if (++c->opened == c->fails) return tn_fail(err, TERN_ERR_MEMORY, "no memory for a kernel");
    c->open++;
    c->now += c->opening;
    (void)tn_kernel_parts(g, kernel, parts);
    f->seconds = 0.004 * (f->number ? c->takes[t->dim[0] == 640 ? 1 : parts[0].n_bases == 2 ? 2 : 0] : 1);
    return TERN_OK;
}
static double fake_sample(void *user, uint32_t setting) {
    Fake *f = user;
    Clock *c = f->clock;
    assert_int_equal(setting, 0);
    assert_true(f->seconds > 0);
    assert_int_equal(c->open, 2); /* both, all the time */
    c->samples++;
    c->last = f->number;
    double t = f->seconds * (1 + c->luck * (double)(c->samples * 7919 % 100) / 100);
    c->now += t;
    return t;
}
static void fake_close(void *user) {
    Fake *f = user;
    assert_true(f->seconds > 0);
    f->seconds = 0;
    f->clock->open--;
}
static double fake_now(void *user) {
    return ((Fake *)user)->clock->now;
}

/* ---- A call */

typedef struct Call {
    Clock clock;
    Fake fakes[2];
    TnTuneBench bench[2];
    TnTuneOptions o;
    TnGraph *model;
    TnArena arena;
    TnTuneTable table;
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    TnPassCtx ctx;
    TnBuf text;
    double seconds;
} Call;

static void keep_text(void *user, const char *text, size_t n) {
    Call *c = user;
    tn_buf_put(&c->text, text, n);
    tn_buf_puts(&c->text, "");
}

static void begin(Call *c, bool was, double a, double b, double of_c) {
    TnDiag diag = {0};
    TnGraph **gs;
    uint32_t n;
    *c = (Call){.clock = {.takes = {a, b, of_c}}, .ctx = {.level = "avx512-vnni", .head = TN_ENC_COUNT}};
    c->ctx.n_targets = tn_targets_for(c->ctx.level, NULL, c->targets);
    c->ctx.targets = c->targets;
    c->ctx.beside = true;
    c->ctx.base3 = was;
    if (tn_parse(model_text, strlen(model_text), "m", &gs, &n, &diag)) fail_msg("%s", diag.text.data);
    c->model = gs[0];
    free(gs);
    for (uint32_t i = 0; i < 2; i++) {
        c->fakes[i] = (Fake){.clock = &c->clock, .number = i};
        c->bench[i] = (TnTuneBench){&c->fakes[i], fake_open, fake_sample, fake_close, fake_now};
    }
    c->o = (TnTuneOptions){.seconds = 60,
                           .level = c->ctx.level,
                           .machine = here,
                           .bench = &c->bench[0],
                           .other = &c->bench[1],
                           .text = keep_text,
                           .user = c};
}

static void choose(Call *c) {
    TernError err;
    if (tn_tune_packing(c->model, &c->ctx, &c->o, &c->arena, &c->table, &c->seconds, &err) != TERN_OK)
        fail_msg("%s", err.text);
    assert_int_equal(c->clock.open, 0);
}

static void end(Call *c) {
    tn_graph_destroy(c->model);
    tn_arena_free(&c->arena);
    tn_tune_free(&c->table);
    tn_buf_free(&c->text);
}

static TernStatus take(void *user, TnGraph *g, TernError *err) {
    (void)err;
    TnGraph **out = user;
    while (*out) out++;
    *out = g;
    return TERN_OK;
}

/* Checks how a blob's weights $a $b $c $d are packed, in each of its graphs: "080 064 ..". */
static void expect(Call *c, const char *want) {
    static const TnBatchClass classes[] = {{1, 1}, {2, 8}, {9, 512}};
    TnGraph *gs[4] = {0};
    TernError err;
    if (tn_lower_level(c->model, &c->ctx, classes, 3, 1u << TN_KV_F16, take, gs, &err) != TERN_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < 3; i++) {
        TnBuf found = {0};
        for (TnRef r = 0; r < gs[i]->n; r++)
            if (gs[i]->nodes[r].op == TN_OP_tmatmul)
                tn_buf_printf(&found, "%s%s", found.len ? " " : "",
                              tn_encs[gs[i]->nodes[gs[i]->nodes[r].args[1]].type.enc].name);
        assert_string_equal(found.data, want);
        tn_buf_free(&found);
        tn_graph_destroy(gs[i]);
    }
}

/* ---- Tests */

static void the_faster_packing_is_chosen(void **state) {
    (void)state;
    static const struct {
        bool was;
        double takes[3];
        const char *want;
    } all[] = {
        {false, {0.8, 0.8, 0.8}, "b80 b80 b80 b64"},   /* $d has 48 rows too few for blocks of 80 */
        {false, {0.99, 0.8, 0.98}, "b64 b80 p64 b64"}, /* 2 % is no gain */
        {false, {0.8, 1.2, 1.2}, "b64 b64 p64 b64"},   /* $a and $c have one answer */
        {false, {1.2, 1.2, 1.2}, "b64 b64 p64 b64"},
        {true, {1.2, 0.8, 1.2}, "b64 b80 p64 b64"},
        {true, {1.2, 1.2, 0.8}, "b64 b64 p64 b64"},
        {true, {1.02, 1.02, 1.02}, "b80 b80 b80 b64"}, /* nor is it a loss */
        {true, {1.3, 1.3, 1.3}, "b64 b64 p64 b64"},
    };
    for (size_t i = 0; i < TN_COUNT(all); i++) {
        Call c;
        begin(&c, all[i].was, all[i].takes[0], all[i].takes[1], all[i].takes[2]);
        choose(&c);
        expect(&c, all[i].want);
        assert_int_equal(c.table.n, 3);
        assert_true(c.seconds > 0 && c.seconds == c.clock.now);
        end(&c);
    }
}

static void luck_changes_nothing(void **state) {
    (void)state;
    for (int was = 0; was < 2; was++) {
        Call c;
        begin(&c, was, 1, 1, 1);
        c.clock.luck = 0.2;
        choose(&c);
        expect(&c, was ? "b80 b80 b80 b64" : "b64 b64 p64 b64");
        assert_true(c.clock.samples >= 6 * TN_TUNE_LEAST_ROUNDS);
        end(&c);
    }
}

static void it_is_told(void **state) {
    (void)state;
    Call c;
    begin(&c, false, 0.8, 0.9, 1);
    choose(&c);
    static const char *const lines[] = {
        "packed for avx512-vnni, 2 threads, A CPU: 3 shapes, 3 measured in ",
        " s, 0 from the cache, 2 better than before\n",
        "  b64                  b80                   20.0%  avx512-vnni tmatmul b64[320,256] rows=1..1\n",
        "  b64                  b80                   10.0%  avx512-vnni tmatmul b64[640,256] rows=1..1\n",
        ("  p64                  the same                     avx512-vnni tmatmul p64[320,256] rows=1..1 "
         "parts=160")};
    for (size_t i = 0; i < TN_COUNT(lines); i++)
        if (!strstr(c.text.data, lines[i])) fail_msg("%s\n%s", lines[i], c.text.data);
    end(&c);
}

static int within(void *user, const char *phase, uint64_t done, uint64_t total) {
    (void)user;
    (void)phase;
    assert_true(done <= total);
    return 0;
}

/* Rounds take a quarter of the seconds at most, and none begins after the last; what is not reached stays as it was. */
static void the_bound_holds(void **state) {
    (void)state;
    static const double seconds[] = {0.01, 0.4, 2, 8};
    size_t before = 0;
    for (size_t i = 0; i < TN_COUNT(seconds); i++) {
        Call c;
        begin(&c, false, 0.8, 0.8, 0.8);
        c.o.seconds = seconds[i];
        c.clock.opening = 0.05;
        c.o.progress = within;
        choose(&c);
        if (c.seconds > seconds[i] / 4 + 0.35) fail_msg("%g seconds took %g", seconds[i], c.seconds);
        assert_true(c.table.n >= before); /* more time, more shapes */
        before = c.table.n;
        if (i == 0) {
            assert_non_null(strstr(c.text.data, "no time"));
            expect(&c, "b64 b64 p64 b64");
        }
        end(&c);
    }
    assert_int_equal(before, 3);
}

static void put(TnTuneTable *t, const char *shape, bool base3) {
    tn_tune_put(t, &(TnTuned){TN_TUNED_PACKING, shape, here, .base3 = base3});
}

static void choices_are_kept(void **state) {
    (void)state;
    char path[] = "/tmp/tern-packing-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    TnTuneTable t = {0};
    TernError err;
    put(&t, shape_a, true);
    put(&t, shape_b, false);
    put(&t, shape_c, true);
    if (tn_tune_write(path, &t, &err) != TERN_OK) fail_msg("%s", err.text);
    tn_tune_free(&t);
    Call c;
    begin(&c, false, 2, 0.5, 2); /* the cache knows better */
    c.o.cache = path;
    choose(&c);
    assert_int_equal(c.clock.opened, 0);
    assert_int_equal(c.table.n, 0);
    assert_non_null(strstr(c.text.data, "0 measured in 0.0 s, 3 from the cache, 0 better"));
    expect(&c, "b80 b64 b80 b64");
    end(&c);
    /* another number of threads is another machine; tn_tune writes what was measured */
    begin(&c, true, 2, 0.5, 2);
    c.o.cache = path;
    c.o.machine.threads = 16;
    choose(&c);
    assert_int_equal(c.clock.opened, 6);
    expect(&c, "b64 b80 p64 b64");
    c.o.more = &c.table;
    if (tn_tune(NULL, 0, &c.o, &err) != TERN_OK) fail_msg("%s", err.text);
    if (tn_tune_read(path, &t, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_int_equal(t.n, 6);
    assert_true(tn_tune_find(&t, TN_TUNED_PACKING, &here, shape_a)->base3);
    assert_false(tn_tune_find(&t, TN_TUNED_PACKING, &c.o.machine, shape_a)->base3);
    assert_true(tn_tune_find(&t, TN_TUNED_PACKING, &c.o.machine, shape_b)->base3);
    tn_tune_free(&t);
    end(&c);
    unlink(path);
}

static int cancel(void *user, const char *phase, uint64_t done, uint64_t total) {
    (void)user;
    assert_string_equal(phase, "tune");
    assert_true(done <= total);
    return 1;
}

static void failures_are_told(void **state) {
    (void)state;
    TernError err;
    for (uint32_t fails = 1; fails <= 4; fails++) {
        Call c;
        begin(&c, false, 0.8, 0.8, 0.8);
        c.clock.fails = fails;
        assert_int_equal(tn_tune_packing(c.model, &c.ctx, &c.o, &c.arena, &c.table, &c.seconds, &err),
                         TERN_ERR_MEMORY);
        assert_string_equal(err.text, "no memory for a kernel");
        assert_int_equal(c.clock.open, 0);
        end(&c);
    }
    Call c;
    begin(&c, false, 0.8, 0.8, 0.8);
    c.o.progress = cancel;
    assert_int_equal(tn_tune_packing(c.model, &c.ctx, &c.o, &c.arena, &c.table, &c.seconds, &err),
                     TERN_ERR_CANCELLED);
    end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_faster_packing_is_chosen),
                                       cmocka_unit_test(luck_changes_nothing),
                                       cmocka_unit_test(it_is_told),
                                       cmocka_unit_test(the_bound_holds),
                                       cmocka_unit_test(choices_are_kept),
                                       cmocka_unit_test(failures_are_told)};
    const TnTargetDesc *targets[TN_TARGETS_MAX];
    if (!tn_targets_for("avx512-vnni", NULL, targets))
        return puts("skipped: this build has no code generator"), 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
