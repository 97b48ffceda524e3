/* The machine that runs PTX in tests: it computes what the text says, and finds each kind of fault, planted one by one. */
#include "support/ptx_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define HEAD ".version 7.0\n.target sm_80\n.address_size 64\n.extern .shared .align 16 .b8 tn_shared[];\n"
#define OPEN                                                                                                 \
    ".visible .entry k(\n.param .u64 k_0,\n.param .u64 k_1)\n.maxntid 128, 1, 1\n{\n.reg .b32 %r<20>;\n"     \
    ".reg .b64 %d<9>;\n.reg .pred %p<4>;\n.reg .f32 %f<4>;\nld.param.u64 %d0, [k_0];\n"                      \
    "ld.param.u64 %d1, [k_1];\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, %ctaid.x;\nmov.u32 %r2, tn_shared;\n"      \
    "mad.lo.u32 %r3, %r0, 4, %r2;\nmad.wide.u32 %d2, %r0, 4, %d0;\nmad.wide.u32 %d3, %r0, 4, %d1;\n"
#define CLOSE "ret;\n}\n"
/* In the body: d0, d1 are the two pieces of memory; d2, d3 the thread's words in them; r0 tid, r1 ctaid, r2 the start of
 * shared memory, r3 the thread's word there. */

enum { BYTES = 1024 };

typedef struct Rig {
    PtxMachine *m;
    PtxModule *code;
    uint64_t x, y; /* x: written words 0, 1, ..; y: fresh */
} Rig;

static Rig rig(const char *body) {
    Rig r = {.m = ptx_machine_new(0)};
    char *text, line[PTX_LINE];
    size_t n = strlen(HEAD OPEN CLOSE) + strlen(body) + 1;
    text = malloc(n);
    assert_non_null(text);
    snprintf(text, n, "%s%s%s", HEAD OPEN, body, CLOSE);
    r.code = ptx_module_load(text, strlen(text), line);
    if (!r.code) fail_msg("%s", line);
    free(text);
    r.x = ptx_memory_new(r.m, BYTES, PTX_READ_ONLY, "x");
    r.y = ptx_memory_new(r.m, BYTES, PTX_FRESH, "y");
    uint32_t words[BYTES / 4];
    for (uint32_t i = 0; i < BYTES / 4; i++) words[i] = i;
    assert_null(ptx_memory_write(r.m, r.x, words, BYTES));
    return r;
}

static void rig_free(Rig *r) {
    ptx_module_free(r->code);
    ptx_machine_free(r->m);
}

static const char *run(Rig *r, uint32_t grid, uint32_t threads, uint32_t shared, uint64_t seed,
                       uint64_t limit) {
    uint64_t params[2] = {r->x, r->y};
    PtxLaunch l = {.entry = "k",
                   .grid = grid,
                   .threads = threads,
                   .shared = shared,
                   .params = params,
                   .param_bytes = sizeof params,
                   .seed = seed,
                   .limit = limit};
    return ptx_launch(r->m, r->code, &l);
}

/* 2 CTAs of 64 threads with 256 bytes of shared memory, in order and in others. */
static void computes(const char *body, const uint32_t *expected, uint32_t n) {
    for (uint64_t seed = 0; seed < 5; seed++) {
        Rig r = rig(body);
        const char *fault = run(&r, 2, 64, 256, seed, 0);
        uint32_t got[BYTES / 4];
        if (fault) fail_msg("%s", fault);
        assert_null(ptx_memory_read(r.m, got, r.y, n * 4));
        for (uint32_t i = 0; i < n; i++)
            if (got[i] != expected[i])
                fail_msg("seed %u, word %u: got %u, expected %u", (unsigned)seed, i, got[i], expected[i]);
        rig_free(&r);
    }
}

/* The address of the thread's word among those of all CTAs of 64 threads: d4. */
#define OWN "mad.lo.u32 %r4, %r1, 64, %r0;\nmad.wide.u32 %d4, %r4, 4, %d1;\n"

static void test_computes(void **state) {
    (void)state;
    uint32_t expected[128];
    for (uint32_t i = 0; i < 128; i++) expected[i] = 3 * (i % 64) + i / 64;
    computes(OWN "ld.global.u32 %r5, [%d2];\nmad.lo.u32 %r5, %r5, 3, %r1;\nst.global.u32 [%d4], %r5;\n",
             expected, 128);
    /* branches and a loop: lane i adds i, i - 1, .. 1 if it is even, and has 7 if it is odd */
    for (uint32_t i = 0; i < 128; i++) expected[i] = i % 2 ? 7 : (i % 64) * (i % 64 + 1) / 2;
    computes(OWN "and.b32 %r6, %r0, 1;\nsetp.eq.u32 %p0, %r6, 1;\nmov.u32 %r5, 7;\n@%p0 bra $L1;\n"
                 "mov.u32 %r5, 0;\nmov.u32 %r7, %r0;\n$L0:\nsetp.eq.u32 %p1, %r7, 0;\n@%p1 bra $L1;\n"
                 "add.u32 %r5, %r5, %r7;\nsub.u32 %r7, %r7, 1;\nbra $L0;\n$L1:\nst.global.u32 [%d4], %r5;\n",
             expected, 128);
    /* through shared memory, the other way round, with a barrier */
    for (uint32_t i = 0; i < 128; i++) expected[i] = 63 - i % 64;
    computes(OWN
             "st.shared.u32 [%r3], %r0;\nbar.sync 0;\nsub.u32 %r5, 63, %r0;\nmad.lo.u32 %r5, %r5, 4, %r2;\n"
             "ld.shared.u32 %r6, [%r5];\nst.global.u32 [%d4], %r6;\n",
             expected, 128);
    /* a sum over a warp */
    for (uint32_t i = 0; i < 128; i++) expected[i] = i / 32 % 2 ? 32 * 31 / 2 + 32 * 32 : 32 * 31 / 2;
    computes(OWN
             "mov.u32 %r5, %r0;\nshfl.sync.bfly.b32 %r6, %r5, 16, 31, -1;\nadd.u32 %r5, %r5, %r6;\n"
             "shfl.sync.bfly.b32 %r6, %r5, 8, 31, -1;\nadd.u32 %r5, %r5, %r6;\n"
             "shfl.sync.bfly.b32 %r6, %r5, 4, 31, -1;\nadd.u32 %r5, %r5, %r6;\n"
             "shfl.sync.bfly.b32 %r6, %r5, 2, 31, -1;\nadd.u32 %r5, %r5, %r6;\n"
             "shfl.sync.bfly.b32 %r6, %r5, 1, 31, -1;\nadd.u32 %r5, %r5, %r6;\nst.global.u32 [%d4], %r5;\n",
             expected, 128);
    /* cp.async, in two groups */
    for (uint32_t i = 0; i < 128; i++) expected[i] = 2 * (i % 64) + 64;
    computes(OWN "cp.async.ca.shared.global [%r3], [%d2], 4;\ncp.async.commit_group;\n"
                 "add.u32 %r5, %r3, 128;\nsetp.lt.u32 %p0, %r0, 32;\n"
                 "cp.async.wait_group 0;\nld.shared.u32 %r6, [%r3];\nbar.sync 0;\n"
                 "cp.async.ca.shared.global [%r3], [%d2+256], 4;\ncp.async.commit_group;\n"
                 "cp.async.wait_group 0;\nld.shared.u32 %r7, [%r3];\nadd.u32 %r6, %r6, %r7;\n"
                 "st.global.u32 [%d4], %r6;\n",
             expected, 128);
}

/* Atomics of several CTAs do not race with one another. */
static void test_atomics(void **state) {
    (void)state;
    Rig r = rig("atom.global.add.u32 %r5, [%d1], %r0;\n");
    uint32_t zero = 0, got;
    assert_null(ptx_memory_write(r.m, r.y, &zero, 4));
    const char *fault = run(&r, 3, 64, 0, 7, 0);
    if (fault) fail_msg("%s", fault);
    assert_null(ptx_memory_read(r.m, &got, r.y, 4));
    assert_int_equal(got, 3 * 63 * 64 / 2);
    rig_free(&r);
}

typedef struct Planted {
    const char *body, *expected; /* in the line of the fault */
    uint32_t grid, threads, shared;
    uint64_t limit;
} Planted;

static const Planted planted[] = {
    /* addresses */
    {"ld.global.u32 %r5, [%d2+900];\n",
     "CTA 0, thread 31, line 22 (ld.global.u32 %r5, [%d2+900];): reads 4 bytes at "
     "0x1000000000400, 0 bytes past the end of x (1024 bytes)",
     1, 64, 0, 0},
    {"ld.global.u32 %r5, [%d0+-4];\n", "no address of the device", 1, 1, 0, 0},
    {"mov.u64 %d0, 4096;\nld.global.u32 %r5, [%d0];\n", "no address of the device", 1, 1, 0, 0},
    {"ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%d0+1016];\n", "which ends after 1024 bytes", 1, 1, 0, 0},
    {"ld.global.u32 %r5, [%d0+2];\n", "not aligned", 1, 1, 0, 0},
    {"st.global.u32 [%d2], %r0;\n", "writes byte 0 of x, which is read only", 1, 32, 0, 0},
    {"st.shared.u32 [%r3+4], %r0;\n",
     "thread 31, line 22 (st.shared.u32 [%r3+4], %r0;): writes 4 bytes at byte 128 of "
     "shared memory, which has 128 bytes",
     1, 32, 128, 0},
    {"mov.u32 %r3, 0;\nst.shared.u32 [%r3], %r0;\n", "byte -1024 of shared memory", 1, 1, 128, 0},
    {"st.shared.v2.u32 [%r3], {%r0, %r0};\n",
     "thread 1, line 22 (st.shared.v2.u32 [%r3], {%r0, %r0};): writes 8 bytes at "
     "byte 4 of shared memory, which is not aligned",
     1, 2, 128, 0},
    /* what nobody wrote */
    {"add.u32 %r5, %r6, 1;\n", "operand 2 was never written", 1, 32, 0, 0},
    {"setp.lt.u32 %p0, %r0, 9;\n@%p0 mov.u32 %r5, 1;\nst.global.u32 [%d3], %r5;\n", "thread 9, line 24", 1,
     32, 0, 0},
    {"@%p1 mov.u32 %r5, 1;\n", "the guard was never written", 1, 32, 0, 0},
    {"selp.b32 %r5, 1, 2, %p2;\n", "operand 4 was never written", 1, 32, 0, 0},
    {"ld.shared.u32 %r5, [%r3];\n", "byte 0 of shared memory, which nobody wrote", 1, 32, 128, 0},
    {"ld.global.u32 %r5, [%d3];\n", "reads 4 bytes at byte 0 of y, which nobody wrote", 1, 32, 0, 0},
    {"cvt.u64.u32 %d4, %r0;\nadd.u64 %d4, %d4, %d1;\nst.global.u8 [%d4], %r0;\nld.global.u32 %r5, "
     "[%d1+28];\n",
     "byte 28 of y, which nobody wrote", 1, 31, 0, 0},
    /* races */
    {"st.shared.u32 [%r3], %r0;\nxor.b32 %r5, %r3, 128;\nsetp.ge.u32 %p0, %r0, 32;\n"
     "@%p0 ld.shared.u32 %r6, [%r5];\n",
     "bytes at byte 0 of shared memory, which was written by thread 0 with no barrier between", 1, 64, 256,
     0},
    {"st.shared.u32 [%r3], %r0;\nxor.b32 %r5, %r3, 4;\nld.shared.u32 %r6, [%r5];\n",
     "was written by thread 1", 1, 32, 256, 0},
    {"st.shared.u32 [%r3], %r0;\nbar.sync 0;\nxor.b32 %r5, %r3, 4;\nld.shared.u32 %r6, [%r5];\nst.shared.u32 "
     "[%r3], %r6;\n",
     "which was read by thread 1", 1, 32, 256, 0},
    {"st.shared.u32 [%r2], %r0;\n", "which was written by thread 0", 1, 2, 256, 0},
    {"st.global.u32 [%d3], %r0;\n", "byte 0 of y, which was written by CTA 0 with no order between", 2, 32, 0,
     0},
    {"setp.eq.u32 %p0, %r1, 0;\n@%p0 st.global.u32 [%d3], %r0;\n@!%p0 ld.global.u32 %r5, [%d3];\n",
     "CTA 1, thread 0, line 24 (@!%p0 ld.global.u32 %r5, [%d3];): reads 4 bytes at byte 0 of y, which was "
     "written by CTA 0",
     2, 32, 0, 0},
    {"st.global.u32 [%d3], %r0;\nmov.u32 %r6, 31;\nsub.u32 %r6, %r6, %r0;\nmad.wide.u32 %d5, %r6, 4, %d1;\n"
     "ld.global.u32 %r5, [%d5];\n",
     "which was written by thread 31", 1, 32, 0, 0},
    /* cp.async */
    {"cp.async.ca.shared.global [%r3], [%d2], 4;\ncp.async.commit_group;\nbar.sync 0;\nld.shared.u32 %r5, "
     "[%r3];\n",
     "before the cp.async of thread 0 is waited for", 1, 32, 128, 0},
    {"cp.async.ca.shared.global [%r3], [%d2], 4;\ncp.async.commit_group;\ncp.async.wait_group 1;\n"
     "ld.shared.u32 %r5, [%r3];\n",
     "before the cp.async of thread 0", 1, 32, 128, 0},
    {"cp.async.ca.shared.global [%r3], [%d2], 4;\ncp.async.wait_group 0;\nld.shared.u32 %r5, [%r3];\n",
     "before the cp.async of thread 0", 1, 32, 128, 0},
    {"cp.async.ca.shared.global [%r3], [%d2], 4;\ncp.async.wait_all;\nxor.b32 %r5, %r3, 64;\nld.shared.u32 "
     "%r5, [%r5];\n",
     "which was written by thread 16 with no barrier", 1, 32, 128, 0},
    {"cp.async.cg.shared.global [%r3], [%d2], 16;\n", "not aligned", 1, 2, 128, 0},
    /* who takes part */
    {"setp.lt.u32 %p0, %r0, 7;\n@%p0 bra $L0;\nbar.sync 0;\n$L0:\n",
     "thread 0, line 24 (bar.sync 0;): the thread is missing", 1, 32, 0, 0},
    {"setp.lt.u32 %p0, %r0, 32;\n@%p0 bra $L0;\nbar.sync 0;\n$L0:\n",
     "thread 0, line 24 (bar.sync 0;): the thread ended", 1, 64, 0, 0},
    {"setp.lt.u32 %p0, %r0, 32;\n@%p0 bra $L0;\nbar.sync 0;\n$L0:\nbar.sync 0;\n", "wait at another barrier",
     1, 64, 0, 0},
    {"setp.lt.u32 %p0, %r0, 7;\n@%p0 bar.warp.sync -1;\n", "thread 7, line 23", 1, 32, 0, 0},
    {"setp.lt.u32 %p0, %r0, 7;\n@%p0 shfl.sync.bfly.b32 %r5, %r0, 1, 31, -1;\n", "the lanes are 0x0000007f",
     1, 32, 0, 0},
    {"setp.lt.u32 %p0, %r0, 7;\n@%p0 shfl.sync.bfly.b32 %r5, %r0, 1, 31, 127;\n",
     "thread 6, line 23 (@%p0 shfl.sync.bfly.b32 "
     "%r5, %r0, 1, 31, 127;): reads lane 7, which takes no part",
     1, 32, 0, 0},
    {"shfl.sync.bfly.b32 %r5, %r0, 1, 7, -1;\n", "the range of a shuffle is 7, expected 31", 1, 32, 0, 0},
    {"setp.lt.u32 %p0, %r0, 7;\nvote.sync.ballot.b32 %r5, %p0, 1;\n", "not in the mask", 1, 32, 0, 0},
    {"setp.lt.u32 %p0, %r0, 7;\n@%p0 mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%r4, %r5, %r6, %r7}, "
     "{%r0, %r0, %r0, %r0}, {%r0, %r0}, {%r0, %r0, %r0, %r0};\n",
     "all 32 must take part", 1, 32, 0, 0},
    /* launches */
    {"", "k: 129 threads, expected 1 to 128", 1, 129, 0, 0},
    {"", "k: 200000 bytes of shared memory, expected at most 166912", 1, 32, 200000, 0},
    {"", "k: a grid of 0 CTAs", 0, 32, 0, 0},
    {"$L0:\nbra $L0;\n", "the launch does not end", 1, 32, 0, 1000},
};

static void test_planted(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        const Planted *p = &planted[i];
        Rig r = rig(p->body);
        const char *fault = run(&r, p->grid, p->threads, p->shared, 0, p->limit);
        if (!fault) fail_msg("not found, expected \"%s\" in:\n%s", p->expected, p->body);
        if (!strstr(fault, p->expected)) fail_msg("got \"%s\", expected \"%s\"", fault, p->expected);
        rig_free(&r);
    }
}

/* A race between CTAs is found in every order. */
static void test_any_order(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        Rig r = rig(
            "setp.eq.u32 %p0, %r1, 5;\n@%p0 st.global.u32 [%d3+4], %r0;\n@!%p0 ld.global.u32 %r5, [%d3];\n");
        assert_null(ptx_memory_fill(r.m, r.y, 1, BYTES));
        const char *fault = run(&r, 9, 32, 0, seed, 0);
        if (!fault || !strstr(fault, "with no order between"))
            fail_msg("seed %u: %s", (unsigned)seed, fault ? fault : "-");
        rig_free(&r);
    }
}

/* No fault: other threads' bytes, after the barrier that this needs. */
static void test_no_false_alarm(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "st.shared.u32 [%r3], %r0;\nbar.warp.sync -1;\nxor.b32 %r5, %r3, 4;\nld.shared.u32 %r6, "
        "[%r5];\nbar.warp.sync -1;\n"
        "st.shared.u32 [%r3], %r6;\n",
        "st.shared.u32 [%r3], %r0;\nbar.sync 0;\nld.shared.u32 %r6, [%r2+8];\nbar.sync 0;\nst.shared.u32 "
        "[%r3], %r6;\n",
        /* neighbours' bytes of one word, and every lane reading the word before */
        "setp.eq.u32 %p0, %r0, 0;\n@%p0 st.shared.u32 [%r2], 0;\nbar.sync 0;\nld.shared.u32 %r6, "
        "[%r2];\nbar.sync 0;\n"
        "and.b32 %r7, %r0, 3;\nadd.u32 %r7, %r7, %r2;\nsetp.lt.u32 %p0, %r0, 4;\n@%p0 st.shared.u8 [%r7], "
        "%r0;\n",
        /* CTAs that write neighbouring bytes */
        "mul.lo.u32 %r5, %r0, 2;\nadd.u32 %r5, %r5, %r1;\ncvt.u64.u32 %d4, %r5;\nadd.u64 %d4, %d4, %d1;\n"
        "st.global.u8 [%d4], %r0;\n",
        /* lanes that have left are not missed by those that go on */
        "setp.lt.u32 %p0, %r0, 7;\n@%p0 ret;\nmov.u32 %r5, 1;\n",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        Rig r = rig(bodies[i]);
        const char *fault = run(&r, 2, 64, 256, i, 0);
        if (fault) fail_msg("%s", fault);
        rig_free(&r);
    }
}

typedef struct Text {
    const char *text, *expected;
} Text;

static const Text texts[] = {
    {HEAD OPEN "add.f32 %f0, %f1, %f2;\n" CLOSE, "line 22: add.f32 is no row of ptx.def"},
    {HEAD OPEN "add.rn.f32 %f0, %r1, %f2;\n" CLOSE,
     "line 22: add.rn.f32 with operands frf is no row of ptx.def"},
    {HEAD OPEN "add.u32 %r0, %r1;\n" CLOSE, "line 22: add.u32 with operands rr is no row of ptx.def"},
    {HEAD OPEN "add.u32 %r0, %r1, %r20;\n" CLOSE, "line 22: %r20: only 20 such registers are declared"},
    {HEAD OPEN "add.u32 %r0, %r1, %x2;\n" CLOSE, "line 22: %x2 is not declared"},
    {HEAD OPEN "add.u32 %r0, %r1, 5000000000;\n" CLOSE, "line 22: add.u32 with operands rr# is no row"},
    {HEAD OPEN "mov.f32 0f00000000, %f1;\n" CLOSE, "line 22: mov.f32 with operands ff is no row"},
    {HEAD OPEN "mov.f32 %f0, 0f123;\n" CLOSE, "line 22: 0f123 is not a float"},
    {HEAD OPEN "mov.u32 %r0, %clock;\n" CLOSE, "line 22: %clock is not declared"},
    {HEAD OPEN "bra $L7;\n" CLOSE, "line 22: there is no label $L7"},
    {HEAD OPEN "$L7:\n$L7:\n" CLOSE, "line 23: $L7 is placed twice"},
    {HEAD OPEN "ld.param.u64 %d0, [k_2];\n" CLOSE, "line 22: k_2 is no parameter"},
    {HEAD OPEN "ret\n}\n", "line 23: expected an operand"},
    {HEAD OPEN "ret;\n", "the text ends within entry k"},
    {HEAD ".visible .func f()\n{\n}\n", "line 5: got '.func', expected '.entry'"},
    {HEAD OPEN CLOSE OPEN CLOSE, "there are two entries k"},
    {HEAD OPEN ".reg .b128 %q<2>;\n" CLOSE, "registers of type .b128 are not known"},
    {".version 9.0\n", "line 1: got version 9.0, expected 7.0 or 8.0"},
    {".version 7.0\n.target sm_70\n", "line 2: sm_70 is not known"},
    {"", "line 1: there is no .target"},
};

static void test_texts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char line[PTX_LINE] = "";
        PtxModule *m = ptx_module_load(texts[i].text, strlen(texts[i].text), line);
        if (m) fail_msg("not refused, expected \"%s\"", texts[i].expected);
        if (!strstr(line, texts[i].expected))
            fail_msg("got \"%s\", expected \"%s\"", line, texts[i].expected);
    }
}

static void test_module(void **state) {
    (void)state;
    char line[PTX_LINE], suffix;
    static const char text[] = HEAD OPEN "// a note\n" CLOSE "\0";
    PtxModule *m = ptx_module_load(text, sizeof text, line);
    PtxEntry e;
    uint32_t at, bytes;
    if (!m) fail_msg("%s", line);
    assert_int_equal(ptx_module_target(m, &suffix), 80);
    assert_int_equal(suffix, 0);
    assert_int_equal(ptx_module_entries(m), 1);
    assert_true(ptx_module_find(m, "k", &e));
    assert_false(ptx_module_find(m, "l", &e));
    assert_int_equal(e.params, 2);
    assert_int_equal(e.param_bytes, 16);
    assert_int_equal(e.threads_most, 128);
    assert_int_equal(e.registers, 20 + 2 * 9 + 4);
    ptx_module_param(m, "k", 1, &at, &bytes);
    assert_int_equal(at, 8);
    assert_int_equal(bytes, 8);
    ptx_module_free(m);
}

static void test_memory(void **state) {
    (void)state;
    PtxMachine *m = ptx_machine_new(1000);
    uint64_t a = ptx_memory_new(m, 600, PTX_FRESH, "a");
    uint8_t bytes[64], host[256] = {5};
    assert_true(a && a % 256 == 0);
    assert_int_equal(ptx_memory_left(m), 400);
    assert_true(ptx_memory_new(m, 401, PTX_ZEROED, "b") == 0);
    uint64_t b = ptx_memory_new(m, 400, PTX_ZEROED, "b"), h = ptx_memory_map(m, host, sizeof host, "host");
    assert_true(b && h);
    assert_int_equal(ptx_memory_pieces(m), 3);
    assert_null(ptx_memory_read(m, bytes, h, 64));
    assert_int_equal(bytes[0], 5);
    assert_null(ptx_memory_fill(m, b + 3, 9, 30));
    assert_null(ptx_memory_copy(m, a + 100, b, 64));
    assert_null(ptx_memory_read(m, bytes, a + 100, 64));
    assert_int_equal(bytes[2], 0);
    assert_int_equal(bytes[3], 9);
    assert_int_equal(bytes[33], 0);
    assert_string_equal(ptx_memory_write(m, a + 590, bytes, 20),
                        "the host writes 20 bytes at byte 590 of a, which ends after 600 bytes");
    assert_true(ptx_memory_release(m, a));
    assert_false(ptx_memory_release(m, a));
    assert_false(ptx_memory_release(m, b + 256));
    assert_string_equal(ptx_memory_read(m, bytes, a, 8),
                        "the host reads 8 bytes at byte 0 of a, which was released");
    assert_int_equal(ptx_memory_left(m), 600);
    assert_null(ptx_memory_host(m, b + 399, 2));
    assert_non_null(ptx_memory_host(m, b + 398, 2));
    ptx_machine_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_computes),       cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_planted),        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_no_false_alarm), cmocka_unit_test(test_texts),
        cmocka_unit_test(test_module),         cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
