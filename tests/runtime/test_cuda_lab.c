/* The lab (tern.h) over a driver in software: single kernels on buffers of the host, what it refuses, and every driver call
 * failing in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dlfcn.h>
#include <cmocka.h>
#include "runtime/base/status.h"
#include "runtime/tern.h"

#define LIBRARY TERN_BUILD_DIR "/tests/fake_cuda/libcuda.so.1"
enum { THREADS = 32, CTAS = 3, WORDS = THREADS * CTAS };

#define HEAD ".version 7.0\n.target sm_80\n.address_size 64\n"
/* word i of p1 = word i of p0 + what the CTA's thread 0 left in shared memory, its CTA's number */
#define ENTRY                                                                                                \
    ".extern .shared .align 16 .b8 tn_shared[];\n"                                                           \
    ".visible .entry sum(.param .u64 p0, .param .u64 p1)\n{\n"                                               \
    ".reg .b32 %r<8>;\n.reg .b64 %d<4>;\n.reg .pred %p<2>;\n"                                                \
    "mov.u32 %r0, %tid.x;\nmov.u32 %r1, %ctaid.x;\nmov.u32 %r2, tn_shared;\n"                                \
    "setp.eq.u32 %p0, %r0, 0;\n@%p0 st.shared.u32 [%r2+64], %r1;\nbar.sync 0;\n"                             \
    "ld.shared.u32 %r3, [%r2+64];\nmad.lo.u32 %r4, %r1, 32, %r0;\n"                                          \
    "ld.param.u64 %d0, [p0];\nmad.wide.u32 %d0, %r4, 4, %d0;\nld.global.u32 %r5, [%d0];\n"                   \
    "add.u32 %r5, %r5, %r3;\n"                                                                               \
    "ld.param.u64 %d1, [p1];\nmad.wide.u32 %d1, %r4, 4, %d1;\nst.global.u32 [%d1], %r5;\nret;\n}\n"

static uint32_t in[WORDS], out[WORDS];
static TernLabBuffer buffers[] = {{in, sizeof in, 0}, {out, sizeof out, 1}};
static const TernLabLaunch sum = {.size = sizeof sum,
                                  .entry = "sum",
                                  .grid = CTAS,
                                  .threads = THREADS,
                                  .shared = 128,
                                  .n_buffers = 2,
                                  .buffers = buffers};

static TernStatus all(TernError *err) {
    TernLab *lab;
    memset(out, 0, sizeof out);
    TN_TRY(tern_lab_open("cuda:0", &lab, err));
    TernStatus st = tern_lab_load(lab, HEAD ENTRY, err);
    if (st == TERN_OK) st = tern_lab_run(lab, &sum, err);
    tern_lab_close(lab);
    return st;
}

static bool right(void) {
    for (uint32_t i = 0; i < WORDS; i++)
        if (out[i] != 100 + i + i / THREADS) return false;
    return true;
}

/* ---- the driver */

static void *start_driver(unsigned long long fail) {
    char number[24];
    snprintf(number, sizeof number, "%llu", fail);
    setenv("FAKE_CUDA_FAIL", number, 1);
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail_msg("%s", dlerror());
    return library;
}

/* Gives the number of calls, and that of objects that are left. */
static unsigned long long end_driver(void *library, unsigned long long *out_left) {
    unsigned long long c[4];
    void *found = dlsym(library, "fake_cuda_counts");
    void (*counts)(unsigned long long out[4]);
    assert_non_null(found);
    memcpy(&counts, &found, sizeof counts);
    counts(c);
    *out_left = c[1];
    assert_int_equal(dlclose(library), 0);
    return c[0];
}

/* ---- tests */

static void runs(void **state) {
    (void)state;
    TernError err = {0};
    unsigned long long left;
    void *library = start_driver(0);
    if (all(&err) != TERN_OK) fail_msg("%s", err.text);
    assert_true(right());
    end_driver(library, &left);
    assert_int_equal(left, 0);
}

static void expect(TernStatus got, TernStatus status, const TernError *err, const char *line) {
    assert_int_equal(got, status);
    if (!strstr(err->text, line)) fail_msg("got '%s', expected '%s'", err->text, line);
}

static void refusals(void **state) {
    (void)state;
    TernError err = {0};
    TernLab *lab = NULL;
    TernLabLaunch l = sum;
    unsigned long long left;
    expect(tern_lab_open("cuda:0", &lab, &err), TERN_ERR_ENV, &err, "no driver of CUDA: ");
    void *library = start_driver(0);
    expect(tern_lab_open("cuda:1", &lab, &err), TERN_ERR_INPUT, &err, "expected cuda:0 to cuda:0");
    assert_null(lab);
    assert_int_equal(tern_lab_open("cuda", &lab, &err), TERN_OK);
    expect(tern_lab_run(lab, &sum, &err), TERN_ERR_INPUT, &err, "the lab has no text");
    assert_int_equal(tern_lab_load(lab, HEAD ENTRY, &err), TERN_OK);
    l.entry = "other";
    expect(tern_lab_run(lab, &l, &err), TERN_ERR_ENV, &err, "cuda:0: cuModuleGetFunction: ");
    l = sum;
    l.shared = 1 << 20;
    expect(tern_lab_run(lab, &l, &err), TERN_ERR_ENV, &err, "cuda:0: cuFuncSetAttribute: ");
    l = sum;
    l.threads = 4096;
    expect(tern_lab_run(lab, &l, &err), TERN_ERR_ENV, &err, "cuda:0: cuLaunchKernel: ");
    assert_int_equal(tern_lab_run(lab, &sum, &err), TERN_OK); /* as if nothing had been */
    assert_true(right());
    expect(tern_lab_load(lab, HEAD "what is this\n", &err), TERN_ERR_ENV, &err,
           "cuda:0: cuModuleLoadDataEx: ");
    expect(tern_lab_run(lab, &sum, &err), TERN_ERR_INPUT, &err, "the lab has no text");
    tern_lab_close(lab);
    end_driver(library, &left);
    assert_int_equal(left, 0);
    tern_lab_close(NULL);
}

/* A kernel that reads past the end of a buffer faults; then no call of this lab works, and closing is safe. */
static void faults(void **state) {
    (void)state;
    TernError err = {0};
    TernLab *lab;
    TernLabLaunch l = sum;
    unsigned long long left;
    void *library = start_driver(0);
    assert_int_equal(tern_lab_open("cuda", &lab, &err), TERN_OK);
    assert_int_equal(tern_lab_load(lab, HEAD ENTRY, &err), TERN_OK);
    l.grid = CTAS + 1;
    expect(tern_lab_run(lab, &l, &err), TERN_ERR_ENV, &err, "cuda:0: cuStreamSynchronize: ");
    assert_int_not_equal(tern_lab_run(lab, &sum, &err), TERN_OK);
    tern_lab_close(lab);
    end_driver(library, &left);
}

static void every_call_fails(void **state) {
    (void)state;
    TernError err = {0};
    unsigned long long left, quiet = 0;
    void *library = start_driver(0);
    assert_int_equal(all(&err), TERN_OK);
    const unsigned long long calls = end_driver(library, &left);
    for (unsigned long long i = 1; i <= calls; i++) {
        library = start_driver(i);
        TernStatus st = all(&err);
        end_driver(library, &left);
        if (st == TERN_OK) {
            assert_true(right());
            quiet++; /* a call that frees something */
        } else {
            if (!strstr(err.text, "cu")) fail_msg("call %llu: '%s'", i, err.text);
            assert_int_equal(left, 0);
        }
    }
    print_message("%llu calls; the failure of %llu, which free something, is not seen\n", calls, quiet);
    assert_true(calls > 20 && quiet < calls / 2);
}

int main(void) {
    for (uint32_t i = 0; i < WORDS; i++) in[i] = 100 + i;
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs), cmocka_unit_test(refusals),
                                       cmocka_unit_test(faults), cmocka_unit_test(every_call_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
