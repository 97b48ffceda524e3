/* Vectors of texts: held against the model in double of tests/support, the same bits however texts are batched, on every
 * level and for any number of threads, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"
#include "runtime/base/arena.h"
#include "runtime/base/files.h"
#include "runtime/base/status.h"
#include "runtime/generate/generate.h"
#include "support/ref_model.h"
#include "support/sanitized.h"

enum { N = 6, CONTEXT = 64, HIDDEN = 128, ROWS = N * CONTEXT };
static const uint32_t lengths[N] = {1, 40, 7, 64, 2, 33};
static char path[64];
static int32_t ids[N][CONTEXT];
static TernPool *pools[3]; /* of 1 to 3 threads */

static void must(TernStatus st, const TernError *err) {
    if (st != TERN_OK) fail_msg("%s", err->text);
}

/* Two families of embedding models: norms in front of linears; gemma3 with a local and a global layer. */
static TnGmSpec spec_of(const char *arch, uint32_t weights) {
    TnGmSpec s = tn_gm_tiny;
    s.arch = arch, s.weights = weights, s.norms_in = true, s.seed = 5;
    if (strcmp(arch, "gemma3") == 0) s.window = 9, s.period = 2;
    return s;
}

static TernModel *load(const TnGmSpec *s, const char *target, const char *levels, const char *pooling) {
    TnBuf file = {0};
    TernError err = {0};
    TernModel *model;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    tn_gm_bytes(s, &file);
    fwrite(file.data, 1, file.len, f);
    fclose(f);
    tn_buf_free(&file);
    char key[64];
    snprintf(key, sizeof key, "%s.pooling_type=int:%s", s->arch, pooling ? pooling : "");
    const char *overrides[] = {key};
    TerncSource source = {
        .size = sizeof source, .path = path, .overrides = overrides, .n_overrides = pooling != NULL};
    TerncOptions o = {.size = sizeof o, .target = target, .levels = levels, .kvs = 1u << TERN_KV_F32};
    must(ternc_load(&source, &o, NULL, &model, &err), &err);
    return model;
}

typedef struct Got {
    float x[ROWS][HIDDEN];
    size_t n, text[ROWS], row[ROWS], stop_after;
    TernEmbedder *call; /* from inside */
} Got;

static int take(void *user, const TernVector *v) {
    Got *g = user;
    TernError err;
    assert_true(g->n < ROWS && v->n == HIDDEN && v->text < N && v->n_ids == lengths[v->text]);
    g->text[g->n] = v->text, g->row[g->n] = v->row;
    memcpy(g->x[g->n++], v->x, sizeof *g->x);
    if (g->call) {
        assert_int_equal(tern_embed(g->call, NULL, 0, NULL, NULL, &err), TERN_ERR_INPUT);
        assert_string_equal(
            err.text,
            "a call of this embedder is under way: the function that gets vectors must not call it");
    }
    return g->stop_after && g->n == g->stop_after;
}

static void texts_of(TernEmbedText out[N]) {
    for (size_t t = 0; t < N; t++)
        out[t] = (TernEmbedText){.size = sizeof *out, .ids = ids[t], .n_ids = lengths[t]};
}

static Got *embed(TernModel *model, TernPool *pool, TernEmbedderOptions o) {
    TernError err = {0};
    TernEmbedder *e;
    TernEmbedText texts[N];
    Got *g = tn_xcalloc(1, sizeof *g);
    texts_of(texts);
    o.size = sizeof o;
    o.context = CONTEXT;
    o.kv = TERN_KV_F32;
    must(tern_embedder_create(model, pool, &o, &e, &err), &err);
    must(tern_embed(e, texts, N, take, g, &err), &err);
    tern_embedder_destroy(e);
    return g;
}

/* What a vector should be, from the hidden rows in double. */
static void pooled(const double *rows, size_t n, TernPooling how, size_t row, bool normalize, double *out) {
    size_t lo = how == TERN_POOLING_NONE ? row : how == TERN_POOLING_LAST ? n - 1 : 0;
    size_t hi = how == TERN_POOLING_MEAN ? n : lo + 1;
    double sum = 0;
    for (size_t i = 0; i < HIDDEN; i++) {
        out[i] = 0;
        for (size_t r = lo; r < hi; r++) out[i] += rows[r * HIDDEN + i] / (double)(hi - lo);
        sum += out[i] * out[i];
    }
    for (size_t i = 0; normalize && i < HIDDEN; i++) out[i] /= sqrt(sum);
}

static void vectors_are_those_in_double(void **state) {
    (void)state;
    static const char *const archs[] = {"qwen3", "gemma3"};
    for (size_t a = 0; a < 2; a++) {
        TnGmSpec s = spec_of(archs[a], GW_T_F32); /* nothing is rounded to int8, so there are no ties */
        TernModel *model = load(&s, "ref", NULL, NULL);
        TnRefModel *m = tn_ref_model_create(&s, false);
        double *hidden[N], logits[CONTEXT * 100];
        for (size_t t = 0; t < N; t++) {
            hidden[t] = tn_xcalloc(CONTEXT * HIDDEN, sizeof(double));
            tn_ref_model_run(m, ids[t], lengths[t], logits, hidden[t]);
        }
        for (uint32_t how = TERN_POOLING_NONE; how <= TERN_POOLING_LAST; how++)
            for (uint32_t normalize = 0; normalize <= 2; normalize++) {
                if (TN_SANITIZED && normalize != how % 3) continue; /* it is arithmetic of one function */
                Got *g = embed(model, pools[1],
                               (TernEmbedderOptions){.pooling = (TernPooling)how,
                                                     .normalize = (TernNormalize)normalize,
                                                     .slots = how});
                bool norm = normalize ? normalize == TERN_NORMALIZE_YES : how != TERN_POOLING_NONE;
                size_t expected = 0;
                for (size_t t = 0; t < N; t++) expected += how == TERN_POOLING_NONE ? lengths[t] : 1;
                assert_int_equal(g->n, expected);
                for (size_t i = 0; i < g->n; i++) {
                    double want[HIDDEN];
                    pooled(hidden[g->text[i]], lengths[g->text[i]], (TernPooling)how, g->row[i], norm, want);
                    double off = tn_row_error(g->x[i], want, HIDDEN);
                    if (!(off < 1e-5))
                        fail_msg("%s pooling %u: text %zu row %zu is off by %g", archs[a], how, g->text[i],
                                 g->row[i], off);
                }
                free(g);
            }
        for (size_t t = 0; t < N; t++) free(hidden[t]);
        tn_ref_model_destroy(m);
        tern_model_close(model);
    }
}

static void batches_threads_and_levels_change_no_bit(void **state) {
    (void)state;
    static const char *const archs[] = {"qwen3", "gemma3"};
    static const TernEmbedderOptions how[] = {{.batch = 1},
                                              {.batch = 2, .slots = 2},
                                              {.batch = 7, .slots = 3},
                                              {.batch = 33, .slots = 6},
                                              {.slots = 4}};
    for (size_t a = 0; a < 2; a++) {
        TnGmSpec s = spec_of(archs[a], GW_T_I2_S);
        TernModel *plain = load(&s, "ref", NULL, "1"), *model = plain;
        Got *want = embed(plain, pools[0], (TernEmbedderOptions){.slots = 1});
        char levels[128];
        snprintf(levels, sizeof levels, "ref,%s", native_levels());
        for (char *level = strtok(levels, ","); level; level = strtok(NULL, ",")) {
            if (strcmp(level, "ref") != 0) model = load(&s, NULL, level, "1");
            for (size_t i = 0; i < sizeof how / sizeof *how; i++)
                for (int t = 0; t < 3; t += model == plain ? 2 : 1) {
                    if (TN_SANITIZED && model == plain && t == 0)
                        continue; /* the evaluator runs on one thread */
                    Got *g = embed(model, pools[t], how[i]);
                    assert_int_equal(g->n, N);
                    for (size_t k = 0; k < N; k++)
                        if (memcmp(g->x[k], want->x[k], sizeof g->x[k]) != 0)
                            fail_msg("%s %s, options %zu, %d threads: text %zu has other bits", archs[a],
                                     level, i, t + 1, k);
                    free(g);
                }
            if (model != plain) tern_model_close(model);
            model = plain;
        }
        free(want);
        tern_model_close(plain);
    }
}

/* A step at a time, of any number of rows; one that was let go in the middle leaves nothing behind. */
static void steps_change_no_bit(void **state) {
    (void)state;
    TnGmSpec s = spec_of("gemma3", GW_T_I2_S);
    TernModel *model = load(&s, "ref", NULL, "1");
    Got *want = embed(model, pools[0], (TernEmbedderOptions){.slots = 1});
    TernEmbedderOptions o = {.size = sizeof o, .slots = 3, .context = CONTEXT, .kv = TERN_KV_F32};
    TernEmbedder *e;
    TernError err = {0};
    TernEmbedText texts[N];
    int more;
    texts_of(texts);
    must(tern_embedder_create(model, pools[1], &o, &e, &err), &err);
    assert_int_equal(tern_embed_step(e, 1, &more, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "no texts were begun");
    for (size_t rows = 1; rows < 80; rows = rows * 2 + 1) {
        Got *g = tn_xcalloc(1, sizeof *g);
        size_t n = 0, all = 0;
        for (size_t stop = 0; stop < 2; stop++) { /* first a few steps of it */
            g->n = n = 0;
            must(tern_embed_begin(e, texts, N, take, g, &err), &err);
            assert_int_equal(tern_embed_begin(e, texts, N, take, g, &err), TERN_ERR_INPUT);
            for (more = 1; more && (stop || n < 3); n++) must(tern_embed_step(e, rows, &more, &err), &err);
            tern_embed_end(e);
        }
        for (size_t t = 0; t < N; t++) all += lengths[t];
        assert_true(n >= (all + rows - 1) / rows && g->n == N);
        for (size_t k = 0; k < N; k++)
            if (memcmp(g->x[k], want->x[k], sizeof g->x[k]) != 0)
                fail_msg("steps of %zu rows: text %zu has other bits", rows, k);
        free(g);
    }
    must(tern_embed_begin(e, texts, N, take, want, &err), &err);
    tern_embedder_destroy(e); /* in the middle */
    free(want);
    tern_model_close(model);
}

static void refuse(TernModel *model, TernEmbedderOptions o, const char *line) {
    TernEmbedder *e = NULL;
    TernError err;
    o.size = sizeof o;
    assert_int_equal(tern_embedder_create(model, pools[0], &o, &e, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, line);
    assert_null(e);
}

static int count(void *user, const TernVector *v) {
    *(size_t *)user += v->n > 0;
    return 0;
}
static void refuse_text(TernEmbedder *e, TernEmbedText text, const char *line) {
    TernEmbedText texts[2];
    TernError err;
    size_t n = 0;
    texts[0] = (TernEmbedText){.size = sizeof text, .ids = ids[0], .n_ids = 1};
    texts[1] = text;
    texts[1].size = sizeof text;
    assert_int_equal(tern_embed(e, texts, 2, count, &n, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, line);
    assert_int_equal(n, 0); /* all texts are checked first */
}

static void what_is_refused(void **state) {
    (void)state;
    TnGmSpec s = spec_of("qwen3", GW_T_I2_S);
    TernModel *model = load(&s, "ref", NULL, NULL);
    TernEmbedder *e;
    TernError err;
    static const int32_t wild[] = {3, 100};
    refuse(model, (TernEmbedderOptions){0},
           "TernEmbedderOptions.pooling is not set, and random does not say it (key qwen3.pooling_type): "
           "expected none, "
           "mean, cls or last");
    refuse(model, (TernEmbedderOptions){.pooling = (TernPooling)5},
           "TernEmbedderOptions.pooling is 5, expected 0 to 4");
    refuse(model, (TernEmbedderOptions){.normalize = (TernNormalize)3},
           "TernEmbedderOptions.normalize is 3, expected 0 to 2");
    refuse(model, (TernEmbedderOptions){.context = 65},
           "TernEmbedderOptions.context is 65 positions, expected at most the model's 64");
    refuse(model, (TernEmbedderOptions){.batch = 513},
           "TernEmbedderOptions.batch is 513 rows, expected at most 512");
    refuse(model, (TernEmbedderOptions){.batch = 2, .slots = 3},
           "TernEmbedderOptions.slots is 3, expected at most 2, the rows of a step");
    TernEmbedderOptions o = {
        .size = sizeof o, .pooling = TERN_POOLING_MEAN, .context = 32, .kv = TERN_KV_F32};
    must(tern_embedder_create(model, pools[0], &o, &e, &err), &err);
    refuse_text(e, (TernEmbedText){0}, "text 1: it has no tokens");
    refuse_text(e, (TernEmbedText){.ids = ids[1], .n_ids = 33},
                "text 1: it has 33 tokens, expected at most the 32 of the context");
    refuse_text(e, (TernEmbedText){.ids = wild, .n_ids = 2},
                "text 1: TernEmbedText.ids[1] is 100, expected 0 to 99");
    refuse_text(e, (TernEmbedText){.n_ids = 1}, "text 1: TernEmbedText.ids is NULL although n_ids is 1");
    tern_embedder_destroy(e);
    tern_model_close(model);
}

/* After a cancel, or a call from inside, the embedder works as before. */
static void it_can_be_used_again(void **state) {
    (void)state;
    TnGmSpec s = spec_of("gemma3", GW_T_I2_S);
    TernModel *model = load(&s, "ref", NULL, "3");
    static const TernEmbedderOptions how[] = {
        {.slots = 1}, {.slots = 2, .batch = 8}}; /* the second: a text is under way when the first one ends */
    TernEmbedText texts[N];
    TernEmbedder *e;
    TernError err;
    Got *want = embed(model, pools[0], (TernEmbedderOptions){0});
    texts_of(texts);
    for (size_t i = 0; i < 2; i++) {
        TernEmbedderOptions o = how[i];
        Got *g = tn_xcalloc(1, sizeof *g);
        o.size = sizeof o, o.context = CONTEXT, o.kv = TERN_KV_F32;
        must(tern_embedder_create(model, pools[0], &o, &e, &err), &err);
        g->stop_after = 1;
        assert_int_equal(tern_embed(e, texts, N, take, g, &err), TERN_ERR_CANCELLED);
        assert_string_equal(err.text, "cancelled by the caller's function");
        assert_int_equal(g->n, 1);
        g->n = g->stop_after = 0;
        g->call = e;
        must(tern_embed(e, texts, N, take, g, &err), &err);
        assert_int_equal(g->n, N);
        assert_memory_equal(g->x, want->x, sizeof g->x);
        tern_embedder_destroy(e);
        free(g);
    }
    TernModelInfo info;
    tern_model_info(model, &info);
    assert_int_equal(info.pooling, TERN_POOLING_LAST);
    tern_model_close(model);
    free(want);
}

static int open_all(void **state) {
    (void)state;
    TernError err;
    snprintf(path, sizeof path, "/tmp/tern-embed-%ld.gguf", (long)getpid());
    for (int t = 0; t < N; t++)
        for (int i = 0; i < CONTEXT; i++) ids[t][i] = (i * 37 + t * 53 + 11) % 100;
    for (uint32_t t = 0; t < 3; t++) {
        TernPoolOptions o = {.size = sizeof o, .threads = t + 1};
        must(tern_pool_create(&o, &pools[t], &err), &err);
    }
    return 0;
}

static int close_all(void **state) {
    (void)state;
    for (int t = 0; t < 3; t++) tern_pool_destroy(pools[t]);
    unlink(path);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_those_in_double),
        cmocka_unit_test(batches_threads_and_levels_change_no_bit),
        cmocka_unit_test(steps_change_no_bit),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(it_can_be_used_again),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
