/* From a model to a blob and through the runtime: a session on compiled kernels, or evaluated ones, gives the
 * logits of the model-stage graph in the evaluator, bit for bit, for any cut of the rows into steps. */
#include "codegen/small_model.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>
#include "ir/eval.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"
#include "runtime/tern.h"

enum { ROWS = 40 };

static int32_t token(int i) {
    return (i * 37 + i * i) % SMALL_VOCAB;
}

typedef struct Blob {
    void *bytes;
    size_t size;
    TnCompileReport report;
} Blob;

static Blob compile(const char *level, uint32_t max_rows) {
    Blob b;
    TnGraph *g = small_model();
    TnCompileOptions o = {.levels = &level, .n_levels = 1, .max_rows = max_rows, .head = TN_ENC_f16};
    TnBlobDest dest = {.memory = &b.bytes, .bytes = &b.size};
    TernError err = {0};
    if (tn_compile(g, NULL, &small_facts, &o, &dest, &b.report, &err)) fail_msg("%s", err.text);
    tn_graph_destroy(g);
    return b;
}

/* A blob has no variant, and so no code, for a cache type that was not asked for, and a session reports it. */
static void test_cache_types_asked_for(void **state) {
    (void)state;
    const char *level = "ref";
    for (uint32_t kv = TERN_KV_F16; kv <= TERN_KV_I8; kv++) {
        void *bytes;
        size_t size;
        TnCompileReport report;
        TernError err = {0};
        TnGraph *g = small_model();
        TnCompileOptions o = {
            .levels = &level, .n_levels = 1, .max_rows = 16, .head = TN_ENC_f16, .kvs = 1u << kv};
        TnBlobDest dest = {.memory = &bytes, .bytes = &size};
        if (tn_compile(g, NULL, &small_facts, &o, &dest, &report, &err)) fail_msg("%s", err.text);
        assert_int_equal(report.n_variants, 3);
        tn_os_unmap(bytes, size);
        o.kvs = 1u << 0;
        assert_int_equal(tn_compile(g, NULL, &small_facts, &o, &dest, &report, &err), TERN_ERR_INPUT);
        assert_string_equal(err.text, "compile: cache types 0x1, expected at most 0xe");
        tn_graph_destroy(g);
    }
}

static TernModel *open_blob(const Blob *b, const char *level) {
    TernModelOptions o = {.size = sizeof o};
    TernKernels k = {
        .size = sizeof k, .scratch = tn_ref_scratch, .run = tn_ref_run, .destroy = tn_ref_destroy};
    TernModel *m;
    TernError err = {0};
    if (!strcmp(level, "ref")) {
        /* the text is found the way a tool would find it: through an open model */
        TnRefKernels *ref;
        const TnBlobSection *s = (const void *)((const char *)b->bytes + sizeof(TnBlobHead));
        while (s->kind != TN_SECTION_TIR) s++;
        if (tn_ref_create((const char *)b->bytes + s->offset, s->size, &ref, &err)) fail_msg("%s", err.text);
        k.user = ref;
        o.kernels = &k;
    } else {
        o.cpu = level;
    }
    if (tern_model_open_memory(b->bytes, b->size, &o, &m, &err)) fail_msg("%s", err.text);
    TernModelInfo info;
    tern_model_info(m, &info);
    assert_string_equal(info.level, level);
    return m;
}

/* Everything the model-stage graph says of ROWS rows in one slot, caches in f32. */
typedef struct Oracle {
    TnGraph *g;
    TnEval *e;
} Oracle;

static Oracle oracle(void) {
    Oracle o = {.g = small_model()};
    int64_t sym[TN_SYM_COUNT] = {
        [TN_T] = ROWS, [TN_R] = ROWS, [TN_K] = ROWS, [TN_H] = ROWS, [TN_S] = 1, [TN_P] = 1, [TN_N] = 1};
    assert_int_equal(tn_eval_create(o.g, NULL, sym, &o.e, NULL), TERN_OK);
    int32_t *ids = tn_eval_input(o.e, "ids"), *pos = tn_eval_input(o.e, "pos"),
            *rows = tn_eval_input(o.e, "rows");
    int32_t *hrows = tn_eval_input(o.e, "hrows");
    for (int i = 0; i < ROWS; i++) {
        ids[i] = token(i);
        pos[i] = rows[i] = hrows[i] = i;
    }
    tn_eval_run(o.e, sym);
    return o;
}

static const float *oracle_row(const Oracle *o, const char *output, int row, int cols) {
    return (const float *)tn_eval_output(o->e, output) + (size_t)row * (size_t)((cols + 63) / 64 * 64);
}

typedef struct Seen {
    const Oracle *o;
    size_t first; /* row of the prompt that the step's row 0 is */
    size_t n;
    const char *what;
} Seen;

static void same(const Seen *s, const char *what, size_t row, const void *want, const void *got, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memcmp((const char *)want + 4 * i, (const char *)got + 4 * i, 4))
            fail_msg("%s: %s of row %zu differ at %zu: %a, expected %a", s->what, what, row, i,
                     (double)((const float *)got)[i], (double)((const float *)want)[i]);
}

static void check_row(void *user, const TernResult *r) {
    Seen *s = user;
    int row = (int)(s->first + r->row);
    s->n++;
    if (r->want == TERN_WANT_HIDDEN) {
        same(s, "hidden", (size_t)row, oracle_row(s->o, "hidden", row, 192), r->hidden, 192);
        return;
    }
    assert_int_equal(r->id, ((const int32_t *)tn_eval_output(s->o->e, "best"))[row]);
    if (r->want == TERN_WANT_LOGITS)
        same(s, "logits", (size_t)row, oracle_row(s->o, "logits", row, SMALL_VOCAB), r->logits, SMALL_VOCAB);
    if (r->want == TERN_WANT_TOP) {
        assert_int_equal(r->n_top, SMALL_TOP);
        same(s, "top ids", (size_t)row, oracle_row(s->o, "top", row, SMALL_TOP), r->top_ids, SMALL_TOP);
        same(s, "top logits", (size_t)row, oracle_row(s->o, "toplogit", row, SMALL_TOP), r->top_logits,
             SMALL_TOP);
    }
}

/* Steps of 1, 5, 20, 1 and the rest: every batch class; all kinds of wants. */
static void check_session(TernModel *m, const Oracle *o, uint32_t threads, const char *what) {
    static const size_t cuts[] = {1, 5, 20, 1, ROWS - 27};
    TernPoolOptions po = {.size = sizeof po, .threads = threads};
    TernSessionOptions so = {.size = sizeof so, .slots = 2, .context = 128, .kv = TERN_KV_F32};
    TernPool *pool;
    TernSession *session;
    TernError err = {0};
    assert_int_equal(tern_pool_create(&po, &pool, &err), TERN_OK);
    if (tern_session_create(m, pool, &so, &session, &err)) fail_msg("%s", err.text);
    Seen seen = {.o = o, .what = what};
    for (size_t c = 0; c < TN_COUNT(cuts); c++) {
        TernRow rows[ROWS];
        for (size_t i = 0; i < cuts[c]; i++)
            rows[i] = (TernRow){token((int)(seen.first + i)), 1, (uint32_t)(1 + (seen.first + i) % 4)};
        if (tern_session_step(session, rows, cuts[c], check_row, &seen, &err))
            fail_msg("%s: %s", what, err.text);
        seen.first += cuts[c];
    }
    assert_int_equal(seen.n, ROWS);
    tern_session_destroy(session);
    tern_pool_destroy(pool);
}

static void check_level(const char *level) {
    Oracle o = oracle();
    for (uint32_t max_rows = 16; max_rows <= 512; max_rows *= 32) { /* 16: a step of 20 rows is chunked */
        Blob b = compile(level, max_rows);
        TernModel *m = open_blob(&b, level);
        for (uint32_t threads = 1; threads <= 3; threads++) {
            char what[60];
            snprintf(what, sizeof what, "%s, %u threads, max_rows %u", level, threads, max_rows);
            check_session(m, &o, threads, what);
        }
        tern_model_close(m);
        tn_os_unmap(b.bytes, b.size);
    }
    tn_eval_destroy(o.e);
    tn_graph_destroy(o.g);
}

static void evaluated_kernels_give_the_models_logits(void **state) {
    (void)state;
    check_level("ref");
}

#ifdef TERN_LLVM
static void compiled_kernels_give_the_models_logits(void **state) {
    (void)state;
    static const char *const levels[] = {"avx2", "avx-vnni",     "avx512-vnni",
                                         "neon", "neon-dotprod", "neon-i8mm"};
    for (size_t i = 0; i < TN_COUNT(levels); i++)
        if (tn_level_runs_here(tn_level_number(levels[i])))
            check_level(levels[i]);
        else
            print_message("this machine does not run %s: compiled only\n", levels[i]);
    for (int i = 0; i < 2; i++) {
        Blob b = compile(i ? "neon-i8mm" : "neon-dotprod", 0);
        tn_os_unmap(b.bytes, b.size);
    }
}
#endif

static void same_input_same_bytes(void **state) {
    (void)state;
    const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char path[400];
    snprintf(path, sizeof path, "%s/tern-test-compile-%d.tern", dir, (int)getpid());
#ifdef TERN_LLVM
    const char *levels[] = {"ref", "avx2", "avx512-vnni"};
#else
    const char *levels[] = {"ref"};
#endif
    TnGraph *g = small_model();
    TnCompileOptions o = {.levels = levels, .n_levels = TN_COUNT(levels), .head = TN_ENC_f16};
    void *bytes;
    size_t size;
    TernError err = {0};
    TnBlobDest memory = {.memory = &bytes, .bytes = &size}, dest = {.path = path};
    TnCompileReport report;
    if (tn_compile(g, NULL, &small_facts, &o, &memory, NULL, &err)) fail_msg("%s", err.text);
    if (tn_compile(g, NULL, &small_facts, &o, &dest, &report, &err)) fail_msg("%s", err.text);
    TnFile f;
    assert_int_equal(tn_file_map(path, &f, NULL), TERN_OK);
    assert_int_equal(f.size, size);
    assert_memory_equal(f.data, bytes, f.size);
    assert_int_equal(report.file_bytes, f.size);
    assert_int_equal(report.n_variants, 9 * TN_COUNT(levels));
    assert_true(report.n_unique <= report.n_kernels);
    tn_file_unmap(&f);
    unlink(path);
    tn_os_unmap(bytes, size);
    tn_graph_destroy(g);
}

#ifdef TERN_LLVM
/* Whether each product's weights are in a blob of these levels once, with 64 rows side by side: `beside` of the four of a layer. Gate
 * and up are not, unless the family reads them whole, for rows of them are left out. */
static void check_beside(const char *const *levels, uint32_t n, const char *family, int beside) {
    TnGraph *g = small_model();
    void *bytes;
    size_t size;
    TernError err = {0};
    TnCompileOptions o = {.levels = levels,
                          .n_levels = n,
                          .head = TN_ENC_f16,
                          .family = family,
                          .kvs = 1u << TN_KV_F16}; /* weights are the same for all */
    TnBlobDest dest = {.memory = &bytes, .bytes = &size};
    if (tn_compile(g, NULL, &small_facts, &o, &dest, NULL, &err)) fail_msg("%s", err.text);
    const TnBlobSection *s = (const void *)((const char *)bytes + sizeof(TnBlobHead));
    while (s->kind != TN_SECTION_WDIR) s++;
    const uint8_t *dir = (const uint8_t *)bytes + s->offset;
    TnBlobWdir head;
    memcpy(&head, dir, sizeof head);
    int side = 0, rows = 0;
    for (uint32_t i = 0; i < head.n; i++) {
        TnBlobWeight w;
        memcpy(&w, dir + sizeof head + i * sizeof w, sizeof w);
        const char *type = (const char *)dir + w.type.offset;
        side += strncmp(type, "b64[", 4) == 0;
        rows += strncmp(type, "p64[", 4) == 0;
    }
    assert_int_equal(side, beside * SMALL_LAYERS);
    assert_int_equal(rows, (4 - beside) * SMALL_LAYERS);
    tn_os_unmap(bytes, size);
    tn_graph_destroy(g);
}

static void weights_lie_once(void **state) {
    (void)state;
    static const char *const both[] = {"avx2", "avx512-vnni"}, *const tiles[] = {"avx512-vnni", "amx"},
                             *const arm[] = {"avx2", "neon"}, *const ref[] = {"ref", "avx2"};
    check_beside(both, 2, NULL, 3);
    check_beside(both, 2, "zen5", 4);
    check_beside(both + 1, 1, NULL, 3);
    check_beside(tiles, 2, NULL, 0);
    check_beside(arm, 2, NULL, 0);
    check_beside(ref, 2, NULL, 0);
}
#endif

typedef struct Counter {
    int calls, stop_at;
} Counter;
static int count(void *user, const char *phase, uint64_t done, uint64_t total) {
    Counter *c = user;
    assert_non_null(phase);
    assert_true(done <= total);
    return c->calls++ == c->stop_at;
}

static void cancelled_anywhere_leaves_nothing(void **state) {
    (void)state;
    char dir[] = "/tmp/tern-test-cancel-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.tern", dir);
    TnGraph *g = small_model();
    const char *level = "ref";
    Counter c = {.stop_at = -1};
    TnCompileOptions o = {.levels = &level, .n_levels = 1, .head = TN_ENC_f16, .progress = count, .user = &c};
    TnBlobDest dest = {.path = path};
    assert_int_equal(tn_compile(g, NULL, &small_facts, &o, &dest, NULL, NULL), TERN_OK);
    assert_int_equal(unlink(path), 0);
    int calls = c.calls;
    assert_true(calls >= 8); /* a variant at least each, and the weights */
    for (int i = 0; i < calls; i++) {
        TernError err;
        c = (Counter){.stop_at = i};
        assert_int_equal(tn_compile(g, NULL, &small_facts, &o, &dest, NULL, &err), TERN_ERR_CANCELLED);
        assert_int_equal(c.calls, i + 1);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    assert_int_equal(rmdir(dir), 0); /* empty, temporary files too */
    tn_graph_destroy(g);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *level, *target;
        uint32_t context;
        TernStatus status;
        const char *says;
    } cases[] = {
        {"avx3", NULL, 0, TERN_ERR_INPUT, "unknown level avx3"},
        {"ref", NULL, SMALL_CONTEXT + 1, TERN_ERR_INPUT, "context 321, expected at most the model's 320"},
        {"ref", "cuda", 0, TERN_ERR_UNSUPPORTED, "no target cuda"},
        {"avx2", "ref", 0, TERN_ERR_INPUT, "target ref has no level avx2"}};
    TnGraph *g = small_model();
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        TernError err;
        void *bytes;
        size_t size;
        TnBlobDest dest = {.memory = &bytes, .bytes = &size};
        TnCompileOptions o = {.levels = &cases[i].level,
                              .n_levels = 1,
                              .target = cases[i].target,
                              .context = cases[i].context,
                              .head = TN_ENC_f16};
        assert_int_equal(tn_compile(g, NULL, &small_facts, &o, &dest, NULL, &err), cases[i].status);
        if (!strstr(err.text, cases[i].says)) fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
    }
    tn_graph_destroy(g);
}

/* The writer's side of "every byte is covered": no hash was forgotten and no gap left dirty. Weights are
 * checked while the session is made or at its first step, which tests/runtime holds. */
static void every_byte_before_the_weights_is_covered(void **state) {
    (void)state;
    Blob b = compile("ref", 8);
    const TnBlobHead *h = b.bytes;
    const TnBlobSection *s = (const void *)(h + 1);
    assert_int_equal(s[h->n_sections - 1].kind, TN_SECTION_WGHT);
    uint64_t end = s[h->n_sections - 1].offset;
    uint8_t *p = b.bytes;
    for (uint64_t i = 0; i < end; i += 1 + i / 97 % 13) {
        p[i] ^= 0x10;
        if (tern_model_open_memory(b.bytes, b.size, NULL, &(TernModel *){NULL}, NULL) == TERN_OK)
            fail_msg("byte %llu of %llu changed and the blob still opened", (unsigned long long)i,
                     (unsigned long long)end);
        p[i] ^= 0x10;
    }
    tn_os_unmap(b.bytes, b.size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_types_asked_for),
        cmocka_unit_test(evaluated_kernels_give_the_models_logits),
#ifdef TERN_LLVM
        cmocka_unit_test(compiled_kernels_give_the_models_logits),
        cmocka_unit_test(weights_lie_once),
#endif
        cmocka_unit_test(same_input_same_bytes),
        cmocka_unit_test(cancelled_anywhere_leaves_nothing),
        cmocka_unit_test(refusals),
        cmocka_unit_test(every_byte_before_the_weights_is_covered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
