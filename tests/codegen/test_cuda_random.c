/* Small random models on the CUDA engine, over a driver in software (support/fake_cuda): every architecture and type of
 * weights, with sizes, positions, activations, windows, heads and caches as the seed says, gives the evaluator's ids, logits
 * and hidden rows to the bit, on each level for some. Prompts at once, in sevens and row by row, and slots that share pages.
 *
 * TERN_TEST_MODELS=n runs n models instead of a few, TERN_TEST_FROM=s begins with seed s. */
#include "codegen/cuda_model.h"
#include "support/gguf_model.h"
#include "support/gguf_trits.h"
#include "support/randgraph.h"
#include "support/sanitized.h"

enum { SLOTS = 3, PAGE = 64 };

/* A model, and how it is run. */
typedef struct Plan {
    TnGmSpec spec;
    TnGgufOptions as;
    TnEnc head;
    TernKv kv;
    size_t prompt, more;
    bool longrope, embeds, brief;
    char what[300];
} Plan;

static const uint32_t types[] = {
    GW_T_I2_S, GW_T_TQ1_0, GW_T_TQ2_0,  GW_T_TL1,  GW_T_TL2,  GW_T_IQ1_BN, GW_T_IQ2_BN, GW_T_IQ2_BN_R4,
    GW_T_Q2_0, GW_T_PQ2_0, GW_T_PTQ1_0, GW_T_F32,  GW_T_F16,  GW_T_BF16,   GW_T_Q8_0,   GW_T_Q6_K,
    GW_T_Q4_0, GW_T_Q4_1,  GW_T_Q5_0,   GW_T_Q5_1, GW_T_Q4_K, GW_T_Q5_K,   GW_T_MXFP4,  GW_T_Q2_0_128};

static uint32_t any(Rand *r, const uint32_t *of, size_t n) {
    return of[rand_in(r, 0, (int64_t)n - 1)];
}

static size_t n_archs(void) {
    size_t n = 0;
    while (tn_gm_archs[n].name) n++;
    return n;
}

/* Sizes that no vector or page divides, but blocks of the types do. Not all rows are equally long, because then some types
 * could be others. */
static void draw_sizes(TnGmSpec *s, Rand *r) {
    static const uint32_t hidden[] = {64, 128, 192, 256, 320}, ffn[] = {64, 128, 192, 256, 448, 512},
                          heads[][2] = {{4, 2}, {3, 1}, {2, 2}, {4, 1}, {1, 1}, {6, 3}},
                          dims[] = {0, 0, 16, 32, 48, 64, 64, 100, 128};
    do {
        s->hidden = any(r, hidden, TN_COUNT(hidden));
        s->ffn = any(r, ffn, TN_COUNT(ffn));
        size_t h = (size_t)rand_in(r, 0, TN_COUNT(heads) - 1);
        s->heads = heads[h][0];
        s->kv_heads = heads[h][1];
        s->head_dim = any(r, dims, TN_COUNT(dims));
    } while (!tn_gm_fits(s) || s->hidden == s->ffn || (!s->head_dim && s->hidden % (2 * s->heads)));
}

static void draw_positions(Plan *p, const TnGmArch *arch, Rand *r) {
    static const char *const names[] = {"linear", "yarn", "llama3"};
    TnGmSpec *s = &p->spec;
    s->rope_base = rand_one_in(r, 2) ? 10000.0f : 500000.0f;
    s->rope_freqs = rand_one_in(r, 4);
    p->longrope = strcmp(arch->name, "minicpm") == 0 && !rand_one_in(r, 3);
    if (p->longrope) {
        s->scaling = "longrope";
        s->scaling_factor = 1;
        s->scaling_context = PAGE;
        s->rope_freqs = false;
        if (rand_one_in(r, 2)) p->as.context = s->context;
    } else if (rand_one_in(r, 2)) {
        s->scaling = names[rand_in(r, 0, arch->period ? 0 : 2)]; /* local layers go with no other */
        s->scaling_factor = 4;
        s->scaling_context = rand_one_in(r, 2) ? 64 : 4096;
    }
    if (!rand_one_in(r, arch->period ? 1 : 3)) return;
    static const uint32_t windows[] = {1, 3, 9, 64};
    s->window = any(r, windows, TN_COUNT(windows));
    if (arch->period) s->period = (uint32_t)rand_in(r, 1, 3); /* of 2 layers, none, one or both are local */
}

static void draw_types(Plan *p, const TnGmArch *arch, Rand *r) {
    static const uint32_t embds[] = {GW_T_F16, GW_T_F16, GW_T_F32, GW_T_BF16, GW_T_Q8_0, GW_T_Q4_1},
                          norms[] = {GW_T_F32, GW_T_F32, GW_T_F16, GW_T_BF16};
    static const char *const acts[] = {"relu2", "silu", "relu", "gelu", "gelu_tanh"};
    TnGmSpec *s = &p->spec;
    bool stored = s->weights == GW_T_F32 || s->weights == GW_T_F16 || s->weights == GW_T_BF16;
    s->embd = any(r, embds, TN_COUNT(embds));
    s->norms = any(r, norms, TN_COUNT(norms));
    s->ternary = stored && rand_one_in(r, 2);
    p->as.ternary_dense = s->ternary && rand_one_in(r, 2);
    s->grouped = tn_gt_group(s->weights) && !rand_one_in(r, 3);
    s->untied = rand_one_in(r, 3);
    s->norms_in = arch->may_norm_in && rand_one_in(r, 2);
    s->scales = strcmp(arch->name, "bitnet") == 0 && !s->grouped && rand_one_in(r, 2);
    if (rand_one_in(r, 3)) s->activation = acts[rand_in(r, 0, TN_COUNT(acts) - 1)];
    p->embeds = rand_one_in(r, 6);
    p->head = rand_one_in(r, 3) ? TN_ENC_s6 : rand_one_in(r, 4) ? TN_ENC_s8 : TN_ENC_COUNT;
}

static Plan draw(uint64_t seed) {
    Rand r = {seed * 77 + 5};
    const TnGmArch *arch = &tn_gm_archs[(seed + seed / TN_COUNT(types)) % n_archs()];
    Plan p = {.spec = tn_gm_tiny, .as = {.no_hash = true}};
    TnGmSpec *s = &p.spec;
    s->arch = arch->name;
    s->weights = types[seed % TN_COUNT(types)];
    s->layers = arch->period ? 2 : (uint32_t)rand_in(&r, 1, 2);
    s->context = 80;
    s->vocab = rand_one_in(&r, 2) ? 97 : 300;
    s->seed = seed;
    draw_sizes(s, &r);
    draw_positions(&p, arch, &r);
    draw_types(&p, arch, &r);
    if (s->hidden % 32) s->embd = GW_T_F16;
    if (tn_gt_group(s->weights) && rand_one_in(&r, 2)) {
        s->embd = s->weights;
        s->vocab = 300; /* some types hold four rows together */
        s->scales = false;
    }
    p.kv = (TernKv)(TERN_KV_F16 + seed % 3);
    p.prompt = (size_t)rand_in(&r, 9, 10);            /* 9 rows are the class of many */
    p.more = seed % 8 == 7 ? PAGE + 2 - p.prompt : 0; /* to the next page */
    snprintf(p.what, sizeof p.what,
             "seed %llu: %s %s%s%s embd %s, %ux%u, heads %u/%u of %u, vocab %u%s, rope %s, window %u, %s, kv "
             "%d, head %s",
             (unsigned long long)seed, s->arch, tn_gm_type_name(s->weights), s->ternary ? " ternary" : "",
             s->grouped ? " grouped" : "", tn_gm_type_name(s->embd), s->hidden, s->ffn, s->heads, s->kv_heads,
             tn_gm_head_dim(s), s->vocab, s->untied ? " untied" : "", s->scaling ? s->scaling : "plain",
             s->window, s->activation ? s->activation : "usual", (int)p.kv,
             p.head == TN_ENC_COUNT ? "as it is" : tn_encs[p.head].name);
    return p;
}

static void model_file(const Plan *p, TnBuf *out) {
    static const char *const factors[] = {"rope_factors_short.weight", "rope_factors_long.weight"};
    TnGw *w = tn_gm_create(&p->spec);
    char key[64];
    for (int i = 0; p->longrope && i < 2; i++) {
        float f[128];
        uint64_t n = tn_gm_head_dim(&p->spec) / 2;
        for (uint64_t j = 0; j < n; j++) f[j] = 1 + (float)(j * (unsigned)(i + 1)) / 7;
        tn_gw_tensor(w, factors[i], GW_T_F32, 1, &n, NULL, NULL);
        tn_gw_data(w, factors[i], f, n * sizeof *f);
    }
    snprintf(key, sizeof key, "%s.pooling_type", p->spec.arch);
    if (p->embeds) tn_gw_u32(w, key, 3);
    tn_gw_bytes(w, out, NULL, NULL);
    tn_gw_destroy(w);
}

/* The prompt thrice, a page's end, then slots that share it and one of its own; then greedy ids. */
static void play(TernSession *s, const Plan *p, Heard *h) {
    TernError err = {0};
    feed_thrice(s, p->prompt, h);
    if (p->more) feed(s, 0, p->prompt, p->more, p->more, h);
    for (uint32_t slot = 1; slot < SLOTS; slot++) must(tern_session_fork(s, 0, slot, &err), &err);
    must(tern_session_truncate(s, 1, 3, &err), &err);
    must(tern_session_truncate(s, 2, 0, &err), &err);
    TernRow rows[6];
    for (uint32_t i = 0; i < 6; i++)
        rows[i] = (TernRow){(int32_t)(i * 71 % h->n_vocab), i % SLOTS, 1 + i % TERN_WANT_HIDDEN};
    step(s, rows, 6, h);
    for (int i = 0; i < 3; i++) step(s, &(TernRow){h->id, 1, TERN_WANT_GREEDY}, 1, h);
}

/* A step of each class. */
static void play_briefly(TernSession *s, const Plan *p, Heard *h) {
    feed(s, 0, 0, p->prompt, p->prompt, h);
    feed(s, 0, p->prompt, 3, 3, h);
    step(s, &(TernRow){h->id, 1, TERN_WANT_LOGITS}, 1, h);
}

static Heard listen(TernModel *m, const Plan *p, bool briefly) {
    Heard h;
    TernSession *s = session_begin(m, (TernSessionOptions){.slots = SLOTS, .kv = p->kv}, &h);
    (briefly ? play_briefly : play)(s, p, &h);
    session_end(s, &h);
    return h;
}

/* On one level the whole, in turn. On the other, whose text differs in its first lines alone, the brief one for some models. All on
 * both if all is asked for. */
static void compare(const Blob *here, const Blob *there, const Plan *p) {
    static const char *const archs[] = {"80", "90"};
    static Heard plain, device;
    char order[24];
    bool all = getenv("TERN_TEST_MODELS");
    for (size_t i = 0; i < TN_COUNT(archs); i++) {
        bool other = i != p->spec.seed % 2, briefly = p->brief || (other && !all);
        if (other && !all && p->spec.seed % 5) continue;
        TernModel *m = open_plain(here);
        plain = listen(m, p, briefly);
        tern_model_close(m);
        snprintf(order, sizeof order, "%llu", (unsigned long long)p->spec.seed);
        void *library = device_open(archs[i], order);
        m = open_on_device(there, archs[i]);
        device = listen(m, p, briefly);
        same_results(&device, &plain, p->what);
        tern_model_close(m);
        assert_int_equal(dlclose(library), 0);
    }
}

static void check(const Plan *plan) {
    Plan p = *plan;
    TnBuf bytes = {0};
    TnGguf *file;
    TernError err = {0};
    const char *levels[TN_LEVEL_COUNT], *ref = "ref";
    model_file(&p, &bytes);
    if (tn_gguf_open_memory(bytes.data, bytes.len, "random", false, &file, &err))
        fail_msg("%s: %s", p.what, err.text);
    if (getenv("TERN_TEST_VERBOSE")) print_message("  %s\n", p.what);
    uint32_t n = list_gpu_levels(levels);
    Blob here = compile_for(file, &p.as, &ref, 1, p.head, 1u << p.kv),
         there = compile_for(file, &p.as, levels, n, p.head, 1u << p.kv);
    compare(&here, &there, &p);
    blob_free(&here);
    blob_free(&there);
    tn_gguf_close(file);
    tn_buf_free(&bytes);
}

static void random_models(void **state) {
    (void)state;
    const char *count = getenv("TERN_TEST_MODELS"), *from = getenv("TERN_TEST_FROM");
    uint64_t n = count          ? strtoull(count, NULL, 10)
                 : TN_SANITIZED ? n_archs()
                                : TN_COUNT(types),
             first = from ? strtoull(from, NULL, 10) : 0;
    for (uint64_t seed = first; seed < first + n; seed++) {
        Plan p = draw(seed);
        check(&p);
    }
    print_message("  %llu models%s\n", (unsigned long long)n,
                  count ? "" : "; skipped: more of them, which TERN_TEST_MODELS=n runs");
}

/* Prompts of several blocks of rows, and feed-forwards whose rows no CTA can hold. */
static void large_models(void **state) {
    (void)state;
    static const struct {
        const char *arch;
        uint32_t weights, ffn;
        bool grouped;
        size_t prompt;
    } all[] = {{"bitnet-b1.58", GW_T_I2_S, 448, false, 70},
               {"bitnet-b1.58", GW_T_I2_S, 28672, false, 9},
               {"qwen3", GW_T_Q2_0, 448, true, 70},
               {"qwen3", GW_T_F16, 28672, false, 9}};
    for (size_t i = 0; i < TN_COUNT(all); i++) {
        if (TN_SANITIZED && all[i].ffn > 1000) continue; /* slow, and nothing that other kernels do not do */
        Plan p = {.spec = tn_gm_tiny,
                  .as = {.no_hash = true},
                  .head = TN_ENC_COUNT,
                  .kv = TERN_KV_F16,
                  .brief = true};
        p.spec.arch = all[i].arch;
        p.spec.weights = all[i].weights;
        p.spec.hidden = 64;
        p.spec.ffn = all[i].ffn;
        p.spec.heads = 2;
        p.spec.kv_heads = 1;
        p.spec.head_dim = 32;
        p.spec.layers = 1;
        p.spec.vocab = 97;
        p.spec.context = 80;
        p.spec.seed = i;
        p.spec.grouped = all[i].grouped;
        p.prompt = all[i].prompt;
        snprintf(p.what, sizeof p.what, "%s, feed-forward of %u", all[i].arch, all[i].ffn);
        check(&p);
    }
}

static int setup(void **state) {
    (void)state;
    return open_pool(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(large_models), cmocka_unit_test(random_models)};
    return cmocka_run_group_tests(tests, setup, close_pool);
}
