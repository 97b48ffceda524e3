/* Building and changing graphs, their tables, and the type that each op gives. */
#include <sys/wait.h>
#include <unistd.h>
#include "tests/ir/tir_text.h"
#include "ir/internal.h"
#include "ir/type_layout.h"

static TnRef input(TnGraph *g, const char *name, TnType t) {
    TnAttr a = {.key = TN_ATTR_name, .s = name};
    return tn_node_add(g, TN_OP_input, name, &t, NULL, 0, &a, 1);
}
static TnRef unary(TnGraph *g, TnOp op, TnRef x) {
    return tn_node_add(g, op, NULL, NULL, &x, 1, NULL, 0);
}
static TnType rows_of(int64_t cols) {
    return tn_type(TN_ENC_f32, 2, tn_sym_dim(TN_T), (TnDim)cols);
}

/* Our own mistakes end the process. */
static void must_abort(void (*mistake)(void)) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        mistake();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- tables */

static void test_tables(void **state) {
    (void)state;
    for (int op = 0; op < TN_OP_COUNT; op++) {
        const TnOpInfo *o = &tn_ops[op];
        assert_int_equal(tn_op_find(o->name, strlen(o->name)), op);
        assert_true(o->min_args <= o->max_args && o->max_args <= TN_ARGS_MAX);
        assert_true(o->doc[0] && o->stages[0] && strspn(o->stages, "MFP") == strlen(o->stages));
        char attrs[100];
        snprintf(attrs, sizeof attrs, "%s", o->attrs);
        for (char *a = strtok(attrs, " "); a; a = strtok(NULL, " ")) {
            size_t n = strcspn(a, "?");
            TnAttrKey key = tn_attr_find(a, n);
            if (key >= TN_ATTR_root) fail_msg("op %s lists the attribute %s", o->name, a);
            assert_int_equal(tn_attr_rule((TnOp)op, key), a[n] ? TN_ATTR_OPTIONAL : TN_ATTR_REQUIRED);
        }
        assert_int_equal(tn_attr_rule((TnOp)op, TN_ATTR_barrier), TN_ATTR_FOREIGN);
    }
    assert_int_equal(tn_attr_rule(TN_OP_silu, TN_ATTR_off), TN_ATTR_OPTIONAL);
    assert_int_equal(tn_attr_rule(TN_OP_gguf, TN_ATTR_off), TN_ATTR_FOREIGN);
    for (int e = 0; e < TN_ENC_COUNT; e++)
        assert_int_equal(tn_enc_find(tn_encs[e].name, strlen(tn_encs[e].name)), e);
    for (int a = 0; a < TN_ATTR_COUNT; a++)
        assert_int_equal(tn_attr_find(tn_attrs[a].name, strlen(tn_attrs[a].name)), a);
    for (int s = 0; s < TN_SYM_COUNT; s++)
        assert_int_equal(tn_dim_sym(tn_sym_dim(tn_sym_find(tn_sym_names[s], 1))), s);
    assert_int_equal(tn_op_find("sil", 3), TN_OP_COUNT);
    assert_int_equal(tn_op_find("silu2", 5), TN_OP_COUNT);
    assert_int_equal(tn_op_find("silu2", 4), TN_OP_silu);
}

static void test_names(void **state) {
    (void)state;
    static const char *const good[] = {"a", "_", "A1", "x.y.0", "0", "007"}, *const bad[] = {
                                                                                 "",    ".",   "1a",
                                                                                 "a-b", "a b", "\xc3\xa9"};
    for (size_t i = 0; i < TN_COUNT(good); i++) assert_true(tn_name_ok(good[i], strlen(good[i])));
    for (size_t i = 0; i < TN_COUNT(bad); i++) assert_false(tn_name_ok(bad[i], strlen(bad[i])));
    TnGraph *g = tn_graph_create("g");
    TnRef x = input(g, "7", rows_of(3));
    assert_string_equal(g->nodes[unary(g, TN_OP_silu, x)].name, "8");
    input(g, "12345678901234567890", rows_of(3));
    assert_string_equal(g->nodes[unary(g, TN_OP_silu, x)].name, "9");
    assert_int_equal(tn_map_get(&g->names, "8", 1), 1);
    tn_graph_destroy(g);
    tn_graph_destroy(NULL);
}

/* ---- building */

static void test_attrs(void **state) {
    (void)state;
    TnGraph *g = tn_graph_create("g");
    char word[] = "pair";
    TnRef x = input(g, "x", rows_of(6));
    TnAttr lo_n[2] = {{.key = TN_ATTR_n, .i = 2}, {.key = TN_ATTR_lo, .i = 3}}; /* any order */
    TnRef s = tn_node_add(g, TN_OP_slice, NULL, NULL, &x, 1, lo_n, 2);
    assert_int_equal(g->nodes[s].attrs[0].key, TN_ATTR_lo);
    assert_int_equal(tn_attr_int(&g->nodes[s], TN_ATTR_lo), 3);
    assert_int_equal(tn_attr_int(&g->nodes[s], TN_ATTR_n), 2);
    assert_null(tn_node_attr(&g->nodes[s], TN_ATTR_off));
    tn_node_set_attr(g, s, (TnAttr){.key = TN_ATTR_off, .i = 64});
    tn_node_set_attr(g, s, (TnAttr){.key = TN_ATTR_lo, .i = 1});
    assert_int_equal(g->nodes[s].n_attrs, 3);
    assert_int_equal(tn_attr_int(&g->nodes[s], TN_ATTR_lo), 1);
    assert_int_equal(tn_attr_int(&g->nodes[s], TN_ATTR_off), 64);
    TnAttr mode = {.key = TN_ATTR_mode, .s = word};
    TnRef r = tn_node_add(g, TN_OP_rope, NULL, NULL, (TnRef[]){x, x}, 2, &mode, 1);
    word[0] = 'x'; /* the graph has its own copy */
    assert_string_equal(tn_attr_str(&g->nodes[r], TN_ATTR_mode), "pair");
    tn_graph_destroy(g);
}

static void test_scale_of_row(void **state) {
    (void)state;
    TnScale s[3] = {{2, 1.0f}, {1, 2.0f}, {5, 3.0f}};
    TnType t = tn_type(TN_ENC_t8, 2, (TnDim)8, (TnDim)3), u;
    t.scales = s;
    t.n_scales = 3;
    static const float want[8] = {1, 1, 2, 3, 3, 3, 3, 3};
    for (int i = 0; i < 8; i++) assert_true(tn_type_scale(&t, i) == want[i]);
    u = t;
    assert_true(tn_type_equal(&t, &u));
    TnScale negative_zero[3] = {{2, 1.0f}, {1, 2.0f}, {5, -0.0f}},
            zero[3] = {{2, 1.0f}, {1, 2.0f}, {5, 0.0f}};
    t.scales = zero;
    u.scales = negative_zero;
    assert_false(tn_type_equal(&t, &u)); /* bit for bit */
}

static void bad_type(void) {
    TnGraph *g = tn_graph_create("g");
    TnRef x[2] = {input(g, "x", rows_of(3)), input(g, "y", rows_of(4))};
    tn_node_add(g, TN_OP_add, NULL, NULL, x, 2, NULL, 0);
}
static void two_names(void) {
    TnGraph *g = tn_graph_create("g");
    input(g, "x", rows_of(3));
    input(g, "x", rows_of(3));
}
static void odd_nan(void) {
    TnGraph *g = tn_graph_create("g");
    float f = tn_bits_f32(0x7fc00001u);
    TnAttr v = {.key = TN_ATTR_values, .n = 1, .fs = &f};
    TnType t = tn_type(TN_ENC_f32, 1, (TnDim)1);
    tn_node_add(g, TN_OP_const, NULL, &t, NULL, 0, &v, 1);
}
static void dropped_but_read(void) {
    TnGraph *g = tn_graph_create("g");
    unary(g, TN_OP_silu, input(g, "x", rows_of(3)));
    tn_graph_reorder(g, (TnRef[]){1}, 1);
}
static void reader_first(void) {
    TnGraph *g = tn_graph_create("g");
    unary(g, TN_OP_silu, input(g, "x", rows_of(3)));
    tn_graph_reorder(g, (TnRef[]){1, 0}, 2);
}
static void missing_attr(void) {
    TnGraph *g = tn_graph_create("g");
    input(g, "x", rows_of(3));
    (void)tn_attr_int(&g->nodes[0], TN_ATTR_off);
}

static void test_mistakes_abort(void **state) {
    (void)state;
    void (*const mistakes[])(void) = {bad_type,         two_names,    odd_nan,
                                      dropped_but_read, reader_first, missing_attr};
    for (size_t i = 0; i < TN_COUNT(mistakes); i++) must_abort(mistakes[i]);
}

/* ---- changing */

#define KERNELS                                                                                              \
    "%x: f32[T,8] = input {name=\"x\"}\n$w: t8[8,8] scale=1 = random {seed=1}\n"                             \
    "%pos: i32[T] = input {name=\"pos\"}\n%slot: i32[T] = input {name=\"slot\"}\n"                           \
    "%table: i32[S,P] = input {name=\"table\"}\n%k0: kc[N,2,4] = input {name=\"k0\"}\n"                      \
    "%v0: vc[N,2,4] = input {name=\"v0\"}\n"                                                                 \
    "kernel @a {root=tmatmul}\n%q: q8[T,8] = quant %x\n%i: i32[T,8] = tmatmul %q, $w\n"                      \
    "%d: f32[T,8] = dequant %i, %q, $w\n%s: f32[T,8] = add %d, %x\n"                                         \
    "%k1: kc[N,2,4] = kv_put %k0, %s, %pos, %slot, %table\nend\n"                                            \
    "kernel @b {root=attend}\n"                                                                              \
    "%y: f32[T,8] = attend %d, %k1, %v0, %pos, %slot, %table {scale=1, window=0}\nend\n"                     \
    "%o: f32[T,8] = output %y {name=\"o\"}\n%p: f32[T,8] = output %d {name=\"p\"}\n"

static void operands_are(const TnGraph *g, uint32_t kernel, const char *want) {
    TnRef refs[64];
    uint32_t n_in, n = tn_kernel_operands(g, kernel, refs, &n_in);
    TnBuf b = {0};
    for (uint32_t i = 0; i < n; i++)
        tn_buf_printf(&b, "%s%s", i == n_in ? " -> " : i ? " " : "", g->nodes[refs[i]].name);
    assert_string_equal(b.data, want);
    tn_buf_free(&b);
}

/* Operands are in the order of first use, each once; a cache is there by its root and never as a result; values that are
 * only used inside are not there. */
static void test_kernel_operands(void **state) {
    (void)state;
    TnGraph *g = graph_of(KERNELS);
    operands_are(g, 0, "x w k0 pos slot table -> d");
    operands_are(g, 1, "d k0 v0 pos slot table -> y");
    assert_int_equal(tn_alias_root(g, ref_of(g, "k1")), ref_of(g, "k0"));
    assert_int_equal(tn_alias_root(g, ref_of(g, "y")), ref_of(g, "y"));
    uint32_t *uses = tn_xcalloc(g->n, sizeof *uses);
    tn_count_uses(g, uses);
    assert_int_equal(uses[ref_of(g, "x")], 2);
    assert_int_equal(uses[ref_of(g, "d")], 3);
    assert_int_equal(uses[ref_of(g, "o")], 0);
    free(uses);
    tn_graph_destroy(g);
}

/* Kernels follow their nodes, are numbered in the new order, and disappear when they are empty. */
static void test_reorder_kernels(void **state) {
    (void)state;
    TnGraph *g = graph_of("%x: f32[T,8] = input {name=\"x\"}\n"
                          "kernel @a {root=none}\n%a1: f32[T,8] = silu %x\n%a2: f32[T,8] = silu %a1\nend\n"
                          "kernel @b {root=none}\n%b1: f32[T,8] = silu %x\nend\n"
                          "kernel @c {root=none}\n%c1: f32[T,8] = silu %x\nend\n");
    g->nodes[4].line = 77;
    tn_graph_reorder(g, (TnRef[]){0, 4, 1}, 3); /* x c1 a1: @b is gone, @a has lost its second node */
    TnBuf b = {0};
    tn_print(g, &b);
    assert_string_equal(b.data, "graph @t stage=model\n  %x: f32[T,8] = input {name=\"x\"}\n"
                                "  kernel @c {root=none}\n    %c1: f32[T,8] = silu %x\n  end\n"
                                "  kernel @a {root=none}\n    %a1: f32[T,8] = silu %x\n  end\nend\n");
    assert_int_equal(g->nodes[1].line, 77);
    assert_int_equal(tn_map_get(&g->names, "b1", 2), TN_MAP_NONE);
    tn_buf_free(&b);
    tn_graph_destroy(g);
}

static void test_replace(void **state) {
    (void)state;
    TnGraph *g =
        graph_of("%x: f32[T,8] = input {name=\"x\"}\n%a: f32[T,8] = silu %x\n%b: f32[T,8] = silu %x\n"
                 "%c: f32[T,8] = add %b, %b\n%o: f32[T,8] = output %b {name=\"o\"}\n");
    tn_graph_replace(g, ref_of(g, "b"), ref_of(g, "a"));
    tn_graph_reorder(g, (TnRef[]){0, 1, 3, 4}, 4);
    TnBuf b = {0};
    tn_print(g, &b);
    assert_string_equal(
        b.data, "graph @t stage=model\n  %x: f32[T,8] = input {name=\"x\"}\n  %a: f32[T,8] = silu %x\n"
                "  %c: f32[T,8] = add %a, %a\n  %o: f32[T,8] = output %a {name=\"o\"}\nend\n");
    tn_buf_free(&b);
    tn_graph_destroy(g);
}

/* A clone shares nothing with its original. */
static void test_clone(void **state) {
    (void)state;
    TnGraph *g = graph_of(KERNELS), *c = tn_graph_clone(g);
    assert_true(tn_graph_equal(g, c));
    tn_graph_destroy(g);
    TnRef last = unary(c, TN_OP_silu, ref_of(c, "y"));
    assert_int_equal(last, c->n - 1);
    TnBuf b = {0};
    tn_print(c, &b);
    assert_non_null(strstr(b.data, "kernel @b {root=attend}\n    %y: f32[T,8] = attend %d, %k1,"));
    tn_buf_free(&b);
    tn_graph_destroy(c);
}

/* ---- the type of each op */

/* The type that an op infers from its operands, where attributes do not matter; "no": it refuses them. */
static void gives(const char *op_and_operands, const char *type) {
    static const char before[] =
        "%ids: i32[T] = input {name=\"ids\"}\n%rows: i32[R] = input {name=\"rows\"}\n"
        "%pos: i32[5] = input {name=\"pos\"}\n%table: i32[S,P] = input {name=\"table\"}\n"
        "%x: f32[T,6] = input {name=\"x\"}\n%r: f32[R,6] = input {name=\"r\"}\n%c5: f32[5,12] = input "
        "{name=\"c5\"}\n"
        "%kc: kc_f16[N,2,3] = input {name=\"kc\"}\n%vc: vc_f16[N,2,4] = input {name=\"vc\"}\n"
        "%vn: vc_f16[N,2,3] = input {name=\"vn\"}\n%slot: i32[T] = input {name=\"slot\"}\n"
        "$f: f16[4,6] = random {seed=1}\n$q60: q6_k[4,256] = gguf {name=\"a\", hash=0x1}\n"
        "$t: t8[4,6] scale=1 = random {seed=1}\n$u: p64[3,6] scale=[1:2,2:3] = random {seed=1}\n"
        "$n: bf16[6] = random {seed=1}\n$n3: f32[3] = random {seed=1}\n$fr: f32[2,3] = rope_freq {base=10}\n"
        "%q: q8[T,6] = quant %x\n%acc: i32[T,4] = tmatmul %q, $t\n%an: f32[T,6] = rope_angle %ids, $fr\n"
        "%k: i32[K,2] = topk %r {k=2}\n"
        "$tc: t8[6,256] scale=0x1p+0 = colmajor $t\n$tp: p64[6,256] scale=0x1p+0 = pack $tc\n"
        "$uc: t8[6,256] scale=0x1p+0 = colmajor $u\n";
    TnGraph *g = graph_of(before);
    TnBuf got = {0};
    char text[200];
    snprintf(text, sizeof text, "%s", op_and_operands);
    TnAttr attrs[2] = {{.key = TN_ATTR_lo, .i = 1}, {.key = TN_ATTR_n, .i = 3}};
    uint32_t n_attrs = 0;
    char *save, *word = strtok_r(text, " ,", &save);
    TnOp op = tn_op_find(word, strlen(word));
    TnRef args[8];
    uint32_t n = 0;
    while ((word = strtok_r(NULL, " ,", &save))) args[n++] = ref_of(g, word);
    if (op == TN_OP_slice) n_attrs = 2;
    if (op == TN_OP_rmsnorm || op == TN_OP_headnorm) attrs[n_attrs++] = (TnAttr){.key = TN_ATTR_eps, .f = 0};
    if (op == TN_OP_rope) attrs[n_attrs++] = (TnAttr){.key = TN_ATTR_mode, .s = "half"};
    if (op == TN_OP_topk) attrs[n_attrs++] = (TnAttr){.key = TN_ATTR_k, .i = 3};
    if (op == TN_OP_output) attrs[n_attrs++] = (TnAttr){.key = TN_ATTR_name, .s = "o"};
    if (op == TN_OP_attend) {
        attrs[n_attrs++] = (TnAttr){.key = TN_ATTR_scale, .f = 1};
        attrs[n_attrs++] = (TnAttr){.key = TN_ATTR_window, .i = 0};
    }
    TnType t;
    TernError err;
    TnArena scratch = {0};
    TernStatus s = tn_infer(g, op, NULL, args, n, attrs, n_attrs, &scratch, &t, &err);
    if (s == TERN_OK)
        tn_print_type(&t, &got);
    else
        tn_buf_puts(&got, "no");
    if (strcmp(got.data, type) != 0)
        fail_msg("%s gives %s (%s), expected %s", op_and_operands, got.data, s ? err.text : "", type);
    tn_buf_free(&got);
    tn_arena_free(&scratch);
    tn_graph_destroy(g);
}

static void test_infer(void **state) {
    (void)state;
    gives("embed ids f", "f32[T,6]");
    gives("embed pos q60", "f32[5,256]");
    gives("embed ids t", "f32[T,6]");
    gives("embed ids n", "no");
    gives("embed x f", "no");
    gives("embed table f", "no");
    gives("gather x rows", "f32[R,6]");
    gives("gather c5 rows", "f32[R,12]");
    gives("gather rows x", "no");
    gives("rmsnorm x n", "f32[T,6]");
    gives("rmsnorm c5 n", "no");
    gives("rmsnorm x x", "no");
    gives("headnorm x n3", "f32[T,6]");
    gives("headnorm c5 n", "f32[5,12]");
    gives("headnorm acc n3", "no");
    gives("headnorm x x", "no");
    gives("bias x n", "f32[T,6]");
    gives("bias c5 n", "no");
    gives("quant c5", "q8[5,12]");
    gives("quant acc", "no");
    gives("tmatmul q t", "i32[T,4]");
    gives("tmatmul q u", "i32[T,3]");
    gives("tmatmul q t tc", "i32[T,4]");
    gives("tmatmul q t tp", "i32[T,4]");
    gives("tmatmul q t uc", "no");
    gives("tmatmul q t t", "no");
    gives("colmajor t", "t8[6,256] scale=0x1p+0");
    gives("colmajor f", "no");
    gives("colmajor x", "no");
    gives("tmatmul q f", "no");
    gives("tmatmul x t", "no");
    gives("dequant acc q t", "f32[T,4]");
    gives("dequant acc q u", "no");
    gives("dequant x q t", "no");
    gives("matmul r f", "f32[R,4]");
    gives("matmul c5 f", "no");
    gives("matmul x q60", "no");
    gives("matmul x t", "no");
    gives("rope_angle pos fr", "f32[5,6]");
    gives("rope_angle pos f", "no");
    gives("rope x an", "f32[T,6]");
    gives("rope c5 an", "no");
    gives("rope r an", "no");
    gives("kv_put kc x ids slot table", "kc_f16[N,2,3]");
    gives("kv_put vc x ids slot table", "no");
    gives("kv_put kc x pos slot table", "no");
    gives("kv_put kc x ids rows table", "no");
    gives("kv_put kc x ids slot acc", "no");
    gives("kv_put x x ids slot table", "no");
    gives("kv_put kc c5 pos pos table", "no");
    gives("attend x kc vn ids slot table", "f32[T,6]");
    gives("attend c5 kc vn pos pos table", "f32[5,12]");
    gives("attend x kc vc ids slot table", "no");
    gives("attend x vn kc ids slot table", "no");
    gives("attend an kc kc ids slot table", "no");
    gives("slice x", "f32[T,3]");
    gives("slice q", "no");
    gives("add x an", "f32[T,6]");
    gives("add x r", "no");
    gives("add acc acc", "no");
    gives("mul r r", "f32[R,6]");
    gives("relu2 c5", "f32[5,12]");
    gives("silu ids", "no");
    gives("argmax r", "i32[R]");
    gives("argmax acc", "no");
    gives("topk r", "i32[K,3]");
    gives("topk c5", "i32[5,3]");
    gives("topk x", "no");
    gives("take r k", "f32[K,2]");
    gives("take x k", "no");
    gives("take c5 k", "no");
    gives("concat t u", "t8[7,6] scale=[4:0x1p+0,1:0x1p+1,2:0x1.8p+1]");
    gives("concat t t", "t8[8,6] scale=[4:0x1p+0,4:0x1p+0]");
    gives("concat f f f", "f16[12,6]");
    gives("concat f fr", "no");
    gives("concat t f", "no");
    gives("concat n n", "no");
    gives("output x", "f32[T,6]");
    gives("output k", "i32[K,2]");
    gives("output kc", "no");
    gives("output q", "no");
    gives("output f", "no");
    gives("pack t", "no"); /* needs a type */
    gives("input", "no");
}

/* Ops that need a type get the given one, which is checked. */
static void test_infer_given(void **state) {
    (void)state;
    tn_graph_destroy(
        graph_of("$f: f16[4,256] = random {seed=1}\n$n: bf16[3] = random {seed=1}\n"
                 "$t: t8[4,256] scale=[1:1,3:2] = random {seed=1}\n"
                 "$i: i2s[4,256] scale=2 = gguf {name=\"i\", hash=0x1}\n"
                 "$q: q6_k[4,256] = gguf {name=\"q\", hash=0x1}\n"
                 "$p0: p64[4,256] scale=[1:1,3:2] = pack $t\n$p1: t8[4,256] scale=2 = pack $i\n"
                 "$p2: p64[4,256] scale=2 = pack $p1\n$p3: f32[4,256] = pack $f\n$p4: bf16[4,256] = pack $q\n"
                 "$p5: f32[3] = pack $n\n$p6: t8[4,256] scale=0x1p-1 = pack $f\n"
                 "$fr: f32[2,3] = rope_freq $p5 {base=10}\n"));
    TnGraph *g = graph_of("$n: bf16[3] = random {seed=1}\n$x: f32[3] = random {seed=1}\n");
    TnAttr base = {.key = TN_ATTR_base, .f = 10};
    TnType good = tn_type(TN_ENC_f32, 2, (TnDim)2, (TnDim)3),
           bad = tn_type(TN_ENC_f32, 2, (TnDim)2, (TnDim)4), out;
    TnRef n = 0, x = 1;
    TernError err;
    assert_int_equal(tn_infer(g, TN_OP_rope_freq, &good, &x, 1, &base, 1, &g->arena, &out, &err), TERN_OK);
    assert_int_equal(tn_infer(g, TN_OP_rope_freq, &good, &n, 1, &base, 1, &g->arena, &out, &err),
                     TERN_ERR_INPUT);
    assert_string_equal(err.text,
                        "rope_freq: operand 1 ($n) is bf16[3], expected f32[n], a factor a frequency");
    assert_int_equal(tn_infer(g, TN_OP_rope_freq, &bad, &x, 1, &base, 1, &g->arena, &out, &err),
                     TERN_ERR_INPUT);
    base.f = -1;
    assert_int_equal(tn_infer(g, TN_OP_rope_freq, &good, &x, 1, &base, 1, &g->arena, &out, &err),
                     TERN_ERR_INPUT);
    assert_string_equal(err.text, "rope_freq: base must be finite and above 0");
    tn_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),          cmocka_unit_test(test_names),
        cmocka_unit_test(test_attrs),           cmocka_unit_test(test_scale_of_row),
        cmocka_unit_test(test_mistakes_abort),  cmocka_unit_test(test_kernel_operands),
        cmocka_unit_test(test_reorder_kernels), cmocka_unit_test(test_replace),
        cmocka_unit_test(test_clone),           cmocka_unit_test(test_infer),
        cmocka_unit_test(test_infer_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
