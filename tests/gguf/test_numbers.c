/* The graphs compute what the published models compute: every architecture, weight type and odd size, from
 * file to logits, is compared with the model in double precision of tests/support. A wrong pairing of rope, a
 * sub-norm in the wrong place, a swapped layout or a lost scale gives an error of order one; rounding errors
 * are below 1e-5, and an int8 tie that is rounded the other way gives less than 2e-2. */
#include "frontends/gguf/arch.h"
#include "gguf/eval_model.h"
#include <math.h>
#include <stdio.h>
#include "support/ref_model.h"
#include "support/sanitized.h"

enum { N = 14 };

typedef struct Errors {
    double *v;
    size_t n, cap;
} Errors;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void describe(const TnGmSpec *s, char *out, size_t cap) {
    snprintf(out, cap, "%s %s%s embd %s %ux%u heads %u/%u of %u vocab %u%s%s%s", s->arch,
             tn_gm_type_name(s->weights), s->ternary ? " ternary" : "", tn_gm_type_name(s->embd), s->hidden,
             s->ffn, s->heads, s->kv_heads, tn_gm_head_dim(s), s->vocab, s->untied ? " untied" : "",
             s->rope_freqs ? " freqs" : "", s->scales ? " scales" : "");
}

/* Rows of the sequence, as steps of `step` rows; the relative errors of logits and hidden rows. */
static void check_long(const TnGmSpec *s, bool ternary_dense, uint32_t n, uint32_t step) {
    char what[256];
    TnBuf file = {0};
    TnGguf *gg = NULL;
    TnGraph *g = NULL;
    TnFacts facts = {0};
    TernError err;
    Errors e = {0};
    describe(s, what, sizeof what);
    if (!tn_gm_fits(s)) fail_msg("%s: does not fit", what);
    tn_gm_bytes(s, &file);
    if (tn_gguf_open_memory(file.data, file.len, "test", false, &gg, &err) != TERN_OK ||
        tn_gguf_graph(gg, &(TnGgufOptions){.ternary_dense = ternary_dense, .no_hash = true}, &g, &facts,
                      &err) != TERN_OK)
        fail_msg("%s: %s", what, err.text);
    assert_verified(g);
    assert_int_equal(facts.n_vocab, s->vocab);
    assert_int_equal(facts.head_dim, tn_gm_head_dim(s));

    int32_t *ids = tn_xcalloc(n, sizeof *ids), *pos = tn_xcalloc(n, sizeof *pos),
            *slot = tn_xcalloc(n, sizeof *slot);
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = (int32_t)((i * 37u + 11u) % s->vocab);
        pos[i] = (int32_t)i;
    }
    size_t v = s->vocab, h = s->hidden;
    float *logits = tn_xcalloc(n * v, sizeof *logits), *hidden = tn_xcalloc(n * h, sizeof *hidden);
    double *want = tn_xcalloc(n * v, sizeof *want), *want_hidden = tn_xcalloc(n * h, sizeof *want_hidden);
    Runner r = runner(gg, g, &facts, step, 1, n);
    for (uint32_t i = 0; i < n; i += step)
        runner_step(&r, ids + i, pos + i, slot + i, n - i < step ? n - i : step, logits + i * v,
                    hidden + i * h);
    TnRefModel *m = tn_ref_model_create(s, ternary_dense);
    tn_ref_model_run(m, ids, n, want, want_hidden);
    for (uint32_t i = 0; i < n; i++) {
        TN_PUSH(e.v, e.n, e.cap, tn_row_error(logits + i * v, want + i * v, v));
        TN_PUSH(e.v, e.n, e.cap, tn_row_error(hidden + i * h, want_hidden + i * h, h));
        if (!(e.v[e.n - 2] < 2e-2 && e.v[e.n - 1] < 2e-2))
            fail_msg("%s: row %u: logits off by %g, hidden by %g", what, i, e.v[e.n - 2], e.v[e.n - 1]);
    }
    qsort(e.v, e.n, sizeof *e.v, by_size);
    if (getenv("TERN_TEST_VERBOSE"))
        printf("%-80s median %.2e worst %.2e\n", what, e.v[e.n / 2], e.v[e.n - 1]);
    if (!(e.v[e.n / 2] < 1e-5)) fail_msg("%s: the median row is off by %g", what, e.v[e.n / 2]);

    tn_ref_model_destroy(m);
    tn_eval_destroy(r.e);
    tn_graph_destroy(g);
    tn_gguf_close(gg);
    tn_buf_free(&file);
    void *all[] = {ids, pos, slot, logits, hidden, want, want_hidden, e.v};
    for (size_t i = 0; i < TN_COUNT(all); i++) free(all[i]);
}

static void check(const TnGmSpec *s, bool ternary_dense) {
    static unsigned count;
    if (TN_SANITIZED && count++ % 5) return; /* the sums are the same there; some of each kind will do */
    check_long(s, ternary_dense, N, 5);      /* three steps, the last one short */
}

/* All architectures of the product: one that the model in double precision does not know yet fails here. */
static size_t n_archs(void) {
    size_t n = 0;
    while (tn_arch_row(n)) n++;
    return n;
}
static const char *arch(size_t i) {
    const char *name = tn_arch_row(i)->name;
    if (!tn_gm_arch(name)) fail_msg("tests/support/gguf_model.c does not know the architecture %s", name);
    return name;
}

static void every_arch_and_ternary_type(void **state) {
    (void)state;
    static const uint32_t types[] = {GW_T_I2_S, GW_T_TQ1_0, GW_T_TQ2_0};
    for (size_t a = 0; a < n_archs(); a++)
        for (size_t t = 0; t < TN_COUNT(types); t++) {
            TnGmSpec s = tn_gm_small;
            s.arch = arch(a);
            s.weights = types[t];
            s.seed = 10 + 7 * a + t;
            s.rope_freqs = t == 1;
            s.untied = t == 2;
            check(&s, false);
        }
}

/* The types of other programs, which a row of their own in a file's table brings in. */
static void every_other_ternary_type(void **state) {
    (void)state;
    static const uint32_t types[] = {GW_T_TL1,  GW_T_TL2,      GW_T_IQ1_BN, GW_T_IQ2_BN, GW_T_IQ2_BN_R4,
                                     GW_T_Q2_0, GW_T_Q2_0_128, GW_T_PQ2_0,  GW_T_PTQ1_0};
    for (size_t t = 0; t < TN_COUNT(types); t++) {
        TnGmSpec s = tn_gm_small;
        s.arch = arch(t % n_archs());
        s.weights = types[t];
        s.seed = 700 + t;
        check(&s, false);
    }
}

static void dense_weights_run_dense(void **state) {
    (void)state;
    static const uint32_t types[] = {GW_T_F32,  GW_T_F16,   GW_T_BF16, GW_T_Q8_0, GW_T_Q6_K,
                                     GW_T_Q4_0, GW_T_Q4_1,  GW_T_Q5_0, GW_T_Q5_1, GW_T_Q4_K,
                                     GW_T_Q5_K, GW_T_MXFP4, GW_T_I8_S};
    for (size_t a = 0; a < n_archs(); a++)
        for (size_t t = 0; t < TN_COUNT(types); t++) {
            TnGmSpec s = tn_gm_small;
            s.arch = arch(a);
            s.weights = types[t];
            s.seed = 1000 + 16 * a + t;
            check(&s, false);
        }
}

/* The same file gives two models: -s, 0, s as floats, or as trits with quantised rows. */
static void dense_ternary_weights_run_either_way(void **state) {
    (void)state;
    static const uint32_t types[] = {GW_T_F32, GW_T_F16, GW_T_BF16};
    for (size_t a = 0; a < n_archs(); a++)
        for (size_t t = 0; t < TN_COUNT(types); t++) {
            TnGmSpec s = tn_gm_small;
            s.arch = arch(a);
            s.weights = types[t];
            s.ternary = true;
            s.seed = 170 + 3 * a + t; /* with these no tie falls the other way */
            check(&s, true);
            if (t == a % 3) check(&s, false);
        }
}

static void every_embedding_type(void **state) {
    (void)state;
    static const uint32_t types[] = {GW_T_F32,  GW_T_F16,      GW_T_BF16,  GW_T_Q8_0, GW_T_Q6_K,   GW_T_Q4_0,
                                     GW_T_Q4_1, GW_T_Q5_0,     GW_T_Q5_1,  GW_T_Q4_K, GW_T_Q5_K,   GW_T_MXFP4,
                                     GW_T_Q2_0, GW_T_Q2_0_128, GW_T_TQ2_0, GW_T_I2_S, GW_T_IQ2_BN, GW_T_I8_S};
    for (size_t t = 0; t < TN_COUNT(types); t++)
        for (int untied = 0; untied < 2; untied++) {
            TnGmSpec s = tn_gm_small;
            s.embd = types[t];
            s.untied = untied;
            s.norms = t == 1 ? GW_T_F16 : t == 2 ? GW_T_BF16 : GW_T_F32;
            s.grouped = tn_gm_is_trits(s.embd);
            s.seed = 600 + 2 * t + (uint64_t)untied;
            check(&s, false);
        }
}

/* Sizes that no block, vector or page divides. head_dim 0: hidden / heads. */
static void odd_sizes(void **state) {
    (void)state;
    static const struct {
        uint32_t hidden, ffn, heads, kv_heads, head_dim, vocab;
    } sizes[] = {
        {192, 448, 3, 1, 0, 384},  {320, 448, 4, 2, 0, 97},    {192, 320, 4, 4, 0, 97},
        {320, 384, 6, 3, 48, 263}, {192, 448, 2, 1, 100, 300}, {128, 64, 1, 1, 2, 129},
        {400, 640, 4, 1, 0, 258},  {256, 768, 2, 1, 256, 301},
    };
    static const uint32_t types[] = {GW_T_I2_S, GW_T_F32, GW_T_F16, GW_T_BF16};
    for (size_t i = 0; i < TN_COUNT(sizes); i++)
        for (size_t a = 0; a < n_archs(); a += 1 + i % 2)
            for (size_t t = 0; t < TN_COUNT(types); t += a == 0 ? 1 : 3) {
                TnGmSpec s = tn_gm_small;
                s.hidden = sizes[i].hidden;
                s.ffn = sizes[i].ffn;
                s.heads = sizes[i].heads;
                s.kv_heads = sizes[i].kv_heads;
                s.head_dim = sizes[i].head_dim;
                s.vocab = sizes[i].vocab;
                s.arch = arch(a);
                s.weights = types[t];
                s.embd = t % 2 ? GW_T_F16 : GW_T_F32;
                s.rope_freqs = i % 2;
                s.seed =
                    501 + 8 * i + t; /* with these no tie falls the other way; small models feel one most */
                if (tn_gm_fits(&s)) check(&s, false);
            }
}

/* Blocks with scales of their own: the input is rounded as finely. Of rows with scales it is rounded by the row. */
static void blocks_have_scales(void **state) {
    (void)state;
    static const uint32_t types[] = {GW_T_TQ2_0,  GW_T_TQ1_0,  GW_T_Q2_0,   GW_T_Q2_0_128, GW_T_PQ2_0,
                                     GW_T_PTQ1_0, GW_T_IQ1_BN, GW_T_IQ2_BN, GW_T_IQ2_BN_R4};
    for (size_t i = 0; i < n_archs() + TN_COUNT(types); i++) {
        TnGmSpec s = tn_gm_small;
        s.arch = arch(i % n_archs());
        s.hidden = 256;
        s.ffn = 768;
        s.weights = types[i % TN_COUNT(types)];
        s.grouped = true;
        s.seed = 1100 + i;
        if (tn_gm_fits(&s)) check(&s, false);
    }
}

static void rope_is_scaled(void **state) {
    (void)state;
    static const struct {
        const char *scaling;
        float factor;
        uint32_t context;
    } how[] = {{"linear", 4, 128}, {"yarn", 4, 64},    {"yarn", 2.5f, 4096},
               {"llama3", 8, 256}, {"llama3", 8, 256}, {"linear", 2, 128}};
    for (size_t i = 0; i < TN_COUNT(how); i++)
        for (size_t a = i % 2; a < n_archs(); a += 2) {
            TnGmSpec s = tn_gm_small;
            s.arch = arch(a);
            s.weights = GW_T_F32; /* nothing is rounded to int8, so there are no ties */
            s.scaling = how[i].scaling;
            s.scaling_factor = how[i].factor;
            s.scaling_context = how[i].context;
            s.rope_freqs = i > 3;
            s.seed = 900 + 7 * a + i;
            check(&s, false);
        }
}

static void activations_and_windows(void **state) {
    (void)state;
    static const char *const names[] = {"relu2", "silu", "relu", "gelu", "gelu_tanh"};
    for (size_t i = 0; i < TN_COUNT(names); i++)
        for (size_t a = i % 2; a < n_archs(); a += 2) {
            TnGmSpec s = tn_gm_small;
            s.arch = arch(a);
            s.weights = GW_T_F32; /* nothing is rounded to int8, so there are no ties */
            s.activation = names[i];
            s.window = 3 * (uint32_t)i;
            s.seed = 1000 + 7 * a + i;
            check(&s, false);
        }
}

/* Local layers, whose window and angles are their own; the key or the architecture says which. */
static void some_layers_are_local(void **state) {
    (void)state;
    static const uint32_t layers[] = {7, 3, 2, 4}, periods[] = {0, 2, 1, 3};
    for (size_t a = 0; a < n_archs(); a++)
        for (size_t i = 0; tn_gm_arch(arch(a))->period && i < TN_COUNT(layers); i++) {
            TnGmSpec s = tn_gm_tiny;
            s.arch = arch(a);
            s.weights = GW_T_F32; /* nothing is rounded to int8, so there are no ties */
            s.layers = layers[i];
            s.period = periods[i];
            s.window = i == 3 ? 64 : 3 + (uint32_t)i; /* 64: the whole context, so only the angles differ */
            s.rope_base = 500000.0f;
            s.scaling = i % 2 ? "linear" : NULL;
            s.scaling_factor = 4;
            s.scaling_context = 32;
            s.rope_freqs = i == 2;
            s.seed = 1300 + 10 * a + i;
            check(&s, false);
        }
}

static void linears_norm_their_input(void **state) {
    (void)state;
    static const uint32_t types[] = {GW_T_I2_S, GW_T_TQ2_0, GW_T_F32};
    for (size_t a = 0; a < n_archs(); a++)
        for (size_t t = 0; tn_gm_arch(arch(a))->may_norm_in && t < TN_COUNT(types); t++) {
            TnGmSpec s = tn_gm_small;
            s.arch = arch(a);
            s.weights = types[t];
            s.norms = t == 1 ? GW_T_F16 : GW_T_F32;
            s.norms_in = true;
            s.head_dim = 128;
            s.grouped = t == 1;
            s.seed = 1200 + 10 * a + t;
            check(&s, false);
        }
}

static void extra_scales_multiply_the_output(void **state) {
    (void)state;
    static const uint32_t types[] = {GW_T_I2_S, GW_T_TQ2_0, GW_T_F16, GW_T_BF16};
    for (size_t t = 0; t < TN_COUNT(types); t++) {
        TnGmSpec s = tn_gm_small;
        s.arch = "bitnet";
        s.scales = true;
        s.weights = types[t];
        s.ternary = t == 2; /* t == 3: truly dense, all scales 1 */
        s.seed = 300 + t;
        check(&s, t == 2);
    }
}

static void a_sequence_over_several_pages(void **state) {
    (void)state;
    for (size_t a = 0; a < n_archs(); a += 3) {
        TnGmSpec s = tn_gm_small;
        s.arch = arch(a);
        s.hidden = 128;
        s.ffn = 256;
        s.rope_base = 500000.0f;
        s.context = 256;
        s.seed = 405 + a;
        check_long(&s, false, 150, 33);
    }
}

/* Two sequences in one batch with mixed rows give the same bits as each alone. */
static void sequences_do_not_mix(void **state) {
    (void)state;
    TnBuf file = {0};
    TnGguf *gg = NULL;
    TnGraph *g = NULL;
    TnFacts f;
    TernError err;
    tn_gm_bytes(&tn_gm_small, &file);
    assert_int_equal(tn_gguf_open_memory(file.data, file.len, "test", false, &gg, &err), TERN_OK);
    assert_int_equal(tn_gguf_graph(gg, NULL, &g, &f, &err), TERN_OK);
    static const int32_t ids[8] = {5, 90, 17, 204, 33, 61, 290, 1}, pos[8] = {0, 0, 1, 1, 2, 2, 3, 3},
                         slot[8] = {0, 1, 0, 1, 0, 1, 0, 1};
    static float both[8][300], alone[4][300];
    Runner r = runner(gg, g, &f, 8, 2, 64);
    runner_step(&r, ids, pos, slot, 8, both[0], NULL);
    tn_eval_destroy(r.e);
    for (int32_t k = 0; k < 2; k++) {
        int32_t own[4], at[4] = {0, 1, 2, 3}, zero[4] = {0};
        for (int i = 0; i < 4; i++) own[i] = ids[2 * i + k];
        r = runner(gg, g, &f, 4, 1, 64);
        runner_step(&r, own, at, zero, 4, alone[0], NULL);
        for (int i = 0; i < 4; i++) assert_memory_equal(both[2 * i + k], alone[i], sizeof alone[i]);
        tn_eval_destroy(r.e);
    }
    tn_graph_destroy(g);
    tn_gguf_close(gg);
    tn_buf_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_arch_and_ternary_type),
        cmocka_unit_test(every_other_ternary_type),
        cmocka_unit_test(dense_weights_run_dense),
        cmocka_unit_test(dense_ternary_weights_run_either_way),
        cmocka_unit_test(every_embedding_type),
        cmocka_unit_test(odd_sizes),
        cmocka_unit_test(blocks_have_scales),
        cmocka_unit_test(rope_is_scaled),
        cmocka_unit_test(activations_and_windows),
        cmocka_unit_test(some_layers_are_local),
        cmocka_unit_test(linears_norm_their_input),
        cmocka_unit_test(extra_scales_multiply_the_output),
        cmocka_unit_test(a_sequence_over_several_pages),
        cmocka_unit_test(sequences_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
