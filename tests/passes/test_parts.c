/* The column parts of a kernel: what tile and the emitters must agree on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "passes/passes.h"

/* A kernel over %y: f32[T,30] with this epilogue, and outputs of these values. */
static TnGraph *kernel_of(const char *epilogue, const char *outputs) {
    TnBuf text = {0};
    TnDiag d = {0};
    TnGraph **gs, *g;
    uint32_t n;
    tn_buf_puts(&text, "tir 1\ngraph @g stage=fused\n  $w: f32[30,8] = random {seed=1}\n"
                       "  %x: f32[T,8] = input {name=\"x\"}\n  %r: f32[T,10] = input {name=\"r\"}\n"
                       "  kernel @k {root=matmul}\n    %y: f32[T,30] = matmul %x, $w\n");
    tn_buf_puts(&text, epilogue);
    tn_buf_puts(&text, "  end\n");
    for (const char *p = outputs; *p; p++)
        tn_buf_printf(&text, "  %%out%c: f32[T,%d] = output %%%c {name=\"%c\"}\n", *p,
                      *p == 'y' || *p == 'z' ? 30 : 10, *p, *p);
    tn_buf_puts(&text, "end\n");
    if (tn_parse(text.data, text.len, "t", &gs, &n, &d) != TERN_OK || tn_verify(gs[0], &d) != TERN_OK)
        fail_msg("%s", d.text.data);
    g = gs[0];
    free(gs);
    tn_buf_free(&text);
    return g;
}

static TnRef ref(const TnGraph *g, const char *name) {
    TnRef r = tn_map_get(&g->names, name, strlen(name));
    assert_true(r != TN_MAP_NONE);
    return r;
}

#define A "    %a: f32[T,10] = slice %y {lo=20, n=10}\n"
#define B "    %b: f32[T,10] = slice %y {lo=3, n=10}\n"

static void whole(void **state) {
    (void)state;
    TnPart p[TN_PARTS_MAX];
    TnGraph *g = kernel_of("    %z: f32[T,30] = silu %y\n", "yz");
    assert_int_equal(tn_kernel_parts(g, 0, p), 1);
    assert_int_equal(p[0].n, 30);
    assert_int_equal(p[0].n_bases, 1);
    assert_int_equal(p[0].base[0], 0);
    assert_int_equal(tn_node_part(g, 0, ref(g, "z")), TN_NONE);
    tn_graph_destroy(g);
}

/* Two slices with no op in common are two parts, in the order of the text; an outside operand joins nothing. */
static void apart(void **state) {
    (void)state;
    TnPart p[TN_PARTS_MAX];
    TnGraph *g = kernel_of(A B "    %c: f32[T,10] = add %a, %r\n    %d: f32[T,10] = mul %b, %r\n", "cd");
    assert_int_equal(tn_kernel_parts(g, 0, p), 2);
    assert_int_equal(p[0].base[0], 20);
    assert_int_equal(p[1].base[0], 3);
    assert_int_equal(p[0].n_bases, 1);
    assert_int_equal(tn_node_part(g, 0, ref(g, "y")), TN_NONE);
    assert_int_equal(tn_node_part(g, 0, ref(g, "c")), 0);
    assert_int_equal(tn_node_part(g, 0, ref(g, "b")), 1);
    assert_int_equal(tn_node_part(g, 0, ref(g, "d")), 1);
    tn_graph_destroy(g);
}

/* An op that reads both makes them one part with two bases, rising; what stands before that op belongs to it as well. */
static void together(void **state) {
    (void)state;
    TnPart p[TN_PARTS_MAX];
    TnGraph *g = kernel_of(A "    %c: f32[T,10] = silu %a\n" B "    %d: f32[T,10] = mul %c, %b\n", "cd");
    assert_int_equal(tn_kernel_parts(g, 0, p), 1);
    assert_int_equal(p[0].n, 10);
    assert_int_equal(p[0].n_bases, 2);
    assert_int_equal(p[0].base[0], 3);
    assert_int_equal(p[0].base[1], 20);
    for (int i = 0; i < 4; i++) assert_int_equal(tn_node_part(g, 0, ref(g, (const char[]){"abcd"[i], 0})), 0);
    tn_graph_destroy(g);
}

/* What a text may hold, but no code for parts can do. */
static void no_parts(void **state) {
    (void)state;
    static const struct {
        const char *epilogue, *outputs;
    } cases[] = {
        {A, "ay"},                                            /* the root leaves */
        {A "    %z: f32[T,30] = silu %y\n", "az"},            /* so does a value of all columns */
        {A "    %c: f32[T,5] = slice %a {lo=0, n=5}\n", "a"}, /* a slice of a part */
        {"    %s: f32[T,30] = slice %y {lo=0, n=30}\n    %z: f32[T,30] = add %s, %y\n",
         "z"}, /* a part and the whole */
    };
    TnPart p[TN_PARTS_MAX];
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        TnGraph *g = kernel_of(cases[i].epilogue, cases[i].outputs);
        if (tn_kernel_parts(g, 0, p) != 0) fail_msg("case %zu has parts", i);
        tn_graph_destroy(g);
    }
    /* nine parts; five slices in one */
    TnBuf nine = {0}, five = {0};
    for (int i = 0; i < 9; i++) tn_buf_printf(&nine, "    %%s%d: f32[T,2] = slice %%y {lo=%d, n=2}\n", i, i);
    for (int i = 0; i < 5; i++) tn_buf_printf(&five, "    %%s%d: f32[T,2] = slice %%y {lo=%d, n=2}\n", i, i);
    for (int i = 1; i < 5; i++)
        tn_buf_printf(&five, "    %%t%d: f32[T,2] = add %%%c%d, %%s%d\n", i, i > 1 ? 't' : 's', i - 1, i);
    TnGraph *g = kernel_of(nine.data, ""), *h = kernel_of(five.data, "");
    assert_int_equal(tn_kernel_parts(g, 0, p), 0);
    assert_int_equal(tn_kernel_parts(h, 0, p), 0);
    tn_graph_destroy(g);
    tn_graph_destroy(h);
    tn_buf_free(&nine);
    tn_buf_free(&five);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(apart),
        cmocka_unit_test(together),
        cmocka_unit_test(no_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
