/* A kernel's signature has everything that its code depends on, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "codegen/codegen.h"

typedef struct Text {
    const char *level, *rows, *name, *seed, *type, *eps, *off, *kernel;
} Text;
static const Text plain = {.level = "avx2",
                           .rows = "1..1",
                           .name = "h",
                           .seed = "1",
                           .type = "p64[96,300] scale=[32:0x1p+0,64:0x1p-1]",
                           .eps = "0x1p-17",
                           .off = "0",
                           .kernel = "axis=cols, grain=32, units=3, barrier=1"};

static char *signature(Text t) {
    TnBuf b = {0}, out = {0};
    TnDiag diag = {0};
    TnGraph **gs = NULL;
    uint32_t n;
    tn_buf_printf(&b,
                  "tir 1\ngraph @t stage=planned level=%s kv=f16 rows=%s\n"
                  "  $w: %s = random {seed=%s}\n"
                  "  $n: f32[300] = random {seed=3}\n"
                  "  %%x: f32[T,300] = input {name=\"x\"}\n"
                  "  kernel @%s0 {root=tmatmul, target=llvm, %s}\n"
                  "    %%%s: f32[T,300] = rmsnorm %%x, $n {eps=%s}\n"
                  "    %%q: q8[T,300] = quant %%%s\n"
                  "    %%a: i32[T,96] = tmatmul %%q, $w\n"
                  "    %%y: f32[T,96] = dequant %%a, %%q, $w {off=%s}\n"
                  "  end\n"
                  "  %%o: f32[T,96] = output %%y {name=\"hidden\"}\nend\n",
                  t.level, t.rows, t.type, t.seed, t.name, t.kernel, t.name, t.eps, t.name, t.off);
    if (tn_parse(b.data, b.len, "test", &gs, &n, &diag)) fail_msg("%s", diag.text.data);
    tn_kernel_signature(gs[0], 0, &out);
    tn_buf_put(&out, "", 1);
    tn_graph_destroy(gs[0]);
    free(gs);
    tn_buf_free(&b);
    tn_diag_free(&diag);
    return out.data;
}

static void expect_pair(const char *what, Text s, Text t, bool equal) {
    char *a = signature(s), *b = signature(t);
    if (!strcmp(a, b) != equal)
        fail_msg("%s: signatures %s\n%s\n%s", what, equal ? "differ" : "are equal", a, b);
    free(a);
    free(b);
}
static void expect(const char *what, Text t, bool equal) {
    expect_pair(what, plain, t, equal);
}

static void names_places_and_scales_do_not_count(void **state) {
    (void)state;
    Text t = plain;
    t.name = "other";
    expect("names", t, true);
    t = plain;
    t.seed = "77";
    expect("which weight", t, true);
    t = plain;
    t.off = "6400";
    expect("place in the arena", t, true);
    t = plain;
    t.type = "p64[96,300] scale=[32:0x1p-9,64:0x1.8p-3]";
    expect("scales", t, true);
    Text by_rows = plain;
    by_rows.kernel = "axis=rows, grain=1, units=1, barrier=1";
    t = by_rows;
    t.rows = "2..8";
    expect_pair("batch class where a unit is a row", by_rows, t, true);
    t = plain;
    t.kernel = "axis=cols, grain=32, units=3, barrier=0";
    expect("barrier", t, true);
}

static void what_code_depends_on_counts(void **state) {
    (void)state;
    Text t = plain;
    t.level = "avx512-vnni";
    expect("level", t, false);
    t = plain;
    t.rows = "2..8";
    expect("batch class", t, false);
    t = plain;
    t.type = "p64[96,300] scale=[64:0x1p+0,32:0x1p-1]";
    expect("where the scales change", t, false);
    t = plain;
    t.type = "t8[96,300] scale=[32:0x1p+0,64:0x1p-1]";
    expect("encoding", t, false);
    t = plain;
    t.eps = "0x1p-18";
    expect("eps", t, false);
    t = plain;
    t.kernel = "axis=cols, grain=48, units=2, barrier=1";
    expect("grain", t, false);
    t.kernel = "axis=cols, grain=32, units=3, prefetch_l1=64, barrier=1";
    expect("prefetch_l1", t, false);
    t.kernel = "axis=cols, grain=32, units=3, prefetch_l2=4096, barrier=1";
    expect("prefetch_l2", t, false);
    t.kernel = "axis=cols, grain=32, units=3, listed_l2=12, barrier=1";
    expect("listed_l2", t, false);
    t.kernel = "axis=cols, grain=32, units=3, columns_past=32, barrier=1";
    expect("columns_past", t, false);
    t.kernel = "axis=cols, grain=32, units=3, panels=1, barrier=1";
    expect("panels", t, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_places_and_scales_do_not_count),
                                       cmocka_unit_test(what_code_depends_on_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
