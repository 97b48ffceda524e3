/* NVIDIA's assembler over all kernels of models with random weights in the shapes of published ones: BitNet b1.58 2B-4T, and
 * Bonsai 8B and 1.7B, whose tables are ternary too. Two layers and a small vocabulary have all kernels of the whole. No kernel
 * spills; the products are in the instructions that the text asks for; and no multiplication is contracted with an addition:
 * assembled with contraction forbidden, a kernel is the same to the byte. (A table of FFMA alone would not show it, as
 * divisions and square roots are made of them.) tests/data/ptx_shapes.txt has what each kernel becomes; TERN_REFRESH=1 writes it.
 *
 * Each shape is assembled for one architecture, unless TERN_TEST_PTXAS_ALL=1 asks for all five. */
#include "codegen/codegen.h"
#include "codegen/ptx_assembled.h"
#include "frontends/gguf/gguf.h"
#include "support/gguf_model.h"

#define TABLE TERN_SOURCE_DIR "/tests/data/ptx_shapes.txt"

static const struct {
    const char *level, *target;
} targets[] = {
    {"sm_80", "sm_80"}, {"sm_80", "sm_86"}, {"sm_80", "sm_89"}, {"sm_90a", "sm_90a"}, {"sm_80", "sm_100"}};

typedef struct Shape {
    const char *name;
    TnGmSpec spec;
    TnEnc head;
    size_t target; /* of the table */
} Shape;

static TnBuf table;

static TnBuf text_of(const Shape *s, const char *level) {
    TnBuf bytes = {0}, text = {0};
    TernError err = {0};
    TnGguf *gg;
    TnGraph *g;
    TnFacts facts;
    TnCompileOptions o = {.levels = &level, .n_levels = 1, .head = s->head, .kvs = 1u << TN_KV_F16};
    tn_gm_bytes(&s->spec, &bytes);
    if (tn_gguf_open_memory(bytes.data, bytes.len, s->name, false, &gg, &err)) fail_msg("%s", err.text);
    if (tn_gguf_graph(gg, &(TnGgufOptions){.no_hash = true}, &g, &facts, &err)) fail_msg("%s", err.text);
    TnWeights weights = tn_gguf_weights(gg);
    if (tn_compile_show(g, &weights, &facts, &o, "ptx", &text, &err)) fail_msg("%s", err.text);
    tn_buf_put(&text, "", 1);
    text.len--;
    tn_graph_destroy(g);
    tn_gguf_close(gg);
    tn_buf_free(&bytes);
    return text;
}

static bool has(const char *from, const char *to, const char *what) {
    const char *at = strstr(from, what);
    return at && at < to;
}

/* What an entry, the text between two places, asks for is there, and nothing else. */
static void check_products(const char *name, const char *from, const char *to, const Counts *c) {
    bool chains = has(from, to, "fma.rn.f32") || has(from, to, "div.rn.f32") || has(from, to, "sqrt.rn.f32");
    if (has(from, to, "mma.sync") != (c->imma > 0)) fail_msg("%s: %u IMMA", name, c->imma);
    if (has(from, to, "dp4a") != (c->idp > 0)) fail_msg("%s: %u IDP", name, c->idp);
    if (c->ffma && !chains) fail_msg("%s: %u FFMA that were not asked for", name, c->ffma);
}

static void same_without_contraction(const Assembled *a, const Assembled *b, const char *kernel) {
    size_t n, m;
    const char *with = instructions(a, kernel, &n), *without = instructions(b, kernel, &m);
    if (n != m || memcmp(with, without, n)) fail_msg("%s: contracted", kernel);
}

static void check(const Shape *s, size_t t, bool listed) {
    static const char head[] = ".visible .entry ";
    TnBuf text = text_of(s, targets[t].level);
    Assembled a = assemble(&text, targets[t].target, ""),
              b = assemble(&text, targets[t].target, "-fmad=false");
    uint32_t spills_checked = check_spills(&a, s->name), n = 0;
    for (const char *p = text.data, *next; (p = strstr(p, head)); p = next, n++) {
        char name[100];
        p += strlen(head);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, "("), p);
        next = strstr(p, head);
        if (!next) next = text.data + text.len;
        Counts c = count(&a, name);
        check_products(name, p, next, &c);
        same_without_contraction(&a, &b, name);
        if (listed)
            tn_buf_printf(&table, "%-6s %-34s %-7s %9u %5u %6u %5u %5u %5u\n", s->name, name,
                          targets[t].target, c.registers, c.loads, c.before, c.idp, c.imma, c.ffma);
        if (next == text.data + text.len) break;
    }
    n++;
    print_message("  %s, %s: %u kernels\n", s->name, targets[t].target, n);
    assert_int_equal(n, spills_checked);
    assert_true(n > 20);
    assembled_free(&a);
    assembled_free(&b);
    tn_buf_free(&text);
}

static TnGmSpec bonsai(uint32_t hidden, uint32_t ffn, uint32_t heads) {
    TnGmSpec s = tn_gm_tiny;
    s.arch = "qwen3";
    s.hidden = hidden;
    s.ffn = ffn;
    s.heads = heads;
    s.kv_heads = 8;
    s.head_dim = 128;
    s.context = 4096;
    s.rope_base = 1e6f;
    s.weights = s.embd = GW_T_PQ2_0;
    s.grouped = true;
    return s;
}

static void shapes(void **state) {
    (void)state;
    if (skipped()) skip();
    bool all = getenv("TERN_TEST_PTXAS_ALL") != NULL;
    Shape list[] = {{"2b4t", tn_gm_tiny, TN_ENC_COUNT, 3},
                    {"8b", bonsai(4096, 12288, 32), TN_ENC_COUNT, 0},
                    {"1.7b", bonsai(2048, 6144, 16), TN_ENC_COUNT, 4}};
    tn_gm_shape("2b4t", &list[0].spec);
    tn_buf_printf(&table, "Kernels as ptxas " PTXAS_VERSION
                          " assembles them: loads in all, and before the first product\n");
    tn_buf_puts(
        &table,
        "shape  kernel                             target  registers loads before   idp  imma  ffma\n");
    for (size_t i = 0; i < TN_COUNT(list); i++) {
        list[i].spec.layers = 2;
        list[i].spec.vocab = 4096;
        list[i].spec.no_vocab = true;
        for (size_t t = 0; t < TN_COUNT(targets); t++)
            if (all || t == list[i].target) check(&list[i], t, t == list[i].target);
    }
    if (!all) print_message("  skipped: other architectures, which TERN_TEST_PTXAS_ALL=1 asks for\n");
    compare_table(&table, TABLE);
    tn_buf_free(&table);
}

/* A product and a sum that may be contracted: forbidding it makes another kernel. */
static void a_contraction_is_seen(void **state) {
    (void)state;
    if (skipped()) skip();
    static const char head[] =
        ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p) {\n"
        ".reg .b64 %d<2>; .reg .f32 %f<4>;\nld.param.u64 %d0, [p];\n"
        "ld.global.f32 %f0, [%d0];\nld.global.f32 %f1, [%d0+4];\n",
                      tail[] = "st.global.f32 [%d0+8], %f3;\nret;\n}\n";
    static const char *const forms[] = {"mul.f32 %f2, %f0, %f1;\nadd.f32 %f3, %f2, %f1;\n",
                                        "mul.rn.f32 %f2, %f0, %f1;\nadd.rn.f32 %f3, %f2, %f1;\n"};
    for (int i = 0; i < 2; i++) {
        TnBuf text = {0};
        tn_buf_printf(&text, "%s%s%s", head, forms[i], tail);
        Assembled a = assemble(&text, "sm_80", ""), b = assemble(&text, "sm_80", "-fmad=false");
        size_t n, m;
        const char *with = instructions(&a, "k", &n), *without = instructions(&b, "k", &m);
        assert_int_equal(count(&a, "k").ffma, i == 0);
        assert_int_equal(count(&b, "k").ffma, 0);
        assert_int_equal(n == m && memcmp(with, without, n) == 0, i == 1);
        assembled_free(&a);
        assembled_free(&b);
        tn_buf_free(&text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_contraction_is_seen), cmocka_unit_test(shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
