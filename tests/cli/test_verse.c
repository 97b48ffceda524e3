/* The trained model that comes with Tern is compared with outside vectors (models/vectors.json, made by an
 * independent float64 implementation). And the promise is tested: the same bits whether compiled at load or
 * ahead, evaluated or compiled, at every feature level, for 1 to 3 threads, and however a prompt is cut into
 * steps. */
#include <math.h>
#include "cli/shipped.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOW = 1 }; /* a sanitizer makes the evaluator thirty times slower: a part of the text has to do */
#else
enum { SLOW = 0 };
#endif

static json_t *vectors;
static char blob[] =
    "/tmp/tern-verse-XXXXXX"; /* the model for every level and cache type: compiling is what takes time */

/* Compiled at load, for one cache type. */
static TernModel *load(const char *cpu, const char *target, TernKv kv) {
    TernError err = {0};
    TernModel *m = NULL;
    TerncOptions o = {.size = sizeof o, .cap = cpu, .target = target, .kvs = kv ? 1u << kv : 0};
    must(ternc_load(NULL, &o, NULL, &m, &err), &err);
    return m;
}

static void keep_id(void *user, const TernResult *r) {
    *(int32_t *)user = r->id;
}

/* Feeds tokens in steps of `chunk`; the greedy id after the last. */
static int32_t feed(TernSession *s, const int32_t *ids, size_t n, size_t chunk) {
    TernError err = {0};
    TernRow rows[1024];
    int32_t best = -1;
    for (size_t at = 0; at < n; at += chunk) {
        size_t m = n - at < chunk ? n - at : chunk;
        for (size_t i = 0; i < m; i++)
            rows[i] = (TernRow){ids[at + i], 0, at + i + 1 == n ? TERN_WANT_GREEDY : TERN_WANT_NOTHING};
        must(tern_session_step(s, rows, m, keep_id, &best, &err), &err);
    }
    return best;
}

/* Perplexity of the vectors' text, of its first `n` tokens; *bits identifies every logit of it. */
static double perplexity(TernModel *m, TernPool *p, TernKv kv, size_t n, uint64_t *bits) {
    static int32_t ids[1024];
    size_t all = ids_of(json_object_get(json_object_get(vectors, "perplexity"), "tokens"), ids, 1024);
    TernModelInfo info;
    if (n > all) n = all;
    tern_model_info(m, &info);
    TernSession *s = session(m, p, kv, 1024);
    Score sc = {.n_vocab = info.n_vocab};
    score_step(s, ids, n, &sc);
    tern_session_destroy(s);
    assert_int_equal(sc.n, n - 1);
    *bits = sc.bits;
    return tn_expd(sc.sum / (double)sc.n);
}

static void test_greedy_ids_are_the_references(void **state) {
    (void)state;
    TernModel *m = open_shipped(blob, NULL);
    TernPool *p = threads(2);
    TernSession *s = session(m, p, TERN_KV_F32, 1024);
    json_t *list = json_object_get(vectors, "greedy"), *one;
    size_t at;
    json_array_foreach(list, at, one) {
        static const size_t chunks[] = {1024, 1, 7};
        int32_t prompt[256], want[256];
        size_t n = ids_of(json_object_get(one, "tokens"), prompt, 256),
               n_want = ids_of(json_object_get(one, "ids"), want, 256);
        for (size_t c = 0; c < 3; c++) {
            TernError err = {0};
            must(tern_session_truncate(s, 0, 0, &err), &err);
            int32_t id = feed(s, prompt, n, chunks[c]);
            for (size_t i = 0; i < n_want; i++) {
                if (id != want[i])
                    fail_msg("prompt %zu, steps of %zu: id %zu is %d, expected %d", at, chunks[c], i, id,
                             want[i]);
                id = feed(s, &id, 1, 1);
            }
        }
    }
    tern_session_destroy(s);
    tern_pool_destroy(p);
    tern_model_close(m);
}

static void test_tokenizer_gives_the_vectors_ids(void **state) {
    (void)state;
    TernModel *m = open_shipped(blob, NULL);
    size_t n;
    const void *image = tern_model_vocab(m, &n);
    TernVocab *v;
    TernError err = {0};
    must(tern_vocab_open(image, n, &v, &err), &err);
    json_t *list = json_object_get(vectors, "greedy"), *one;
    size_t at;
    json_array_foreach(list, at, one) {
        const char *text = json_string_value(json_object_get(one, "prompt"));
        int32_t want[256];
        int32_t got[256];
        size_t n_want = ids_of(json_object_get(one, "tokens"), want, 256), n_got;
        must(tern_encode(v, text, strlen(text), TERN_ENCODE_ADD_SPECIAL, got, 256, &n_got, &err), &err);
        assert_int_equal(n_got, n_want);
        assert_memory_equal(got, want, n_want * sizeof *got);
    }
    tern_vocab_close(v);
    tern_model_close(m);
}

static void check_near(double got, double want, double tolerance) {
    if (!(fabs(got / want - 1) <= tolerance))
        fail_msg("perplexity %.6f, expected %.6f within %g", got, want, tolerance);
}

enum {
    ALL = 1024,
    PART = SLOW ? 90 : 200, /* more than one block of positions; the evaluator takes its time for every one */
    KVS = TERN_KV_I8 + 1    /* f16, f32, i8 are 1 to 3 */
};

static double near_of(TernKv kv) {
    return kv == TERN_KV_F32 ? 0.002 : 0.003; /* the reference's cache is not rounded */
}

/* One model at one level, whichever way it was loaded: the evaluator's logits of a part of the text, by any
 * number of threads. */
static void check_level(TernModel *m, const char *what, const char *level, TernKv first, TernKv last,
                        const uint64_t bits[KVS]) {
    TernModelInfo info;
    tern_model_info(m, &info);
    assert_string_equal(info.level, level);
    for (uint32_t n = 1; n <= 3; n++) {
        TernPool *p = threads(n);
        for (TernKv kv = first; kv <= last; kv++) {
            uint64_t got;
            (void)perplexity(m, p, kv, PART, &got);
            if (got != bits[kv])
                fail_msg("%s, %s, kv %d, %u threads: other logits than the evaluator's", level, what, kv, n);
        }
        tern_pool_destroy(p);
    }
}

static void test_perplexity_is_the_references_and_the_same_everywhere(void **state) {
    (void)state;
    double want = json_number_value(json_object_get(json_object_get(vectors, "perplexity"), "value"));
    TernError err = {0};
    const char *levels = native_levels();
    uint64_t part[KVS], whole[KVS], bits;
    TernPool *two = threads(2);
    TernModel *m = load(NULL, "ref", 0);
    for (TernKv kv = TERN_KV_F16; kv <= TERN_KV_I8; kv++) (void)perplexity(m, two, kv, PART, &part[kv]);
    /* the whole text once, or for each cache type if nothing compiles */
    for (TernKv kv = TERN_KV_F16; kv <= TERN_KV_I8 && !SLOW; kv++)
        if (kv == TERN_KV_F32 || !*levels)
            check_near(perplexity(m, two, kv, ALL, &whole[kv]), want, near_of(kv));
    tern_model_close(m);
    TernModelOptions mo = {.size = sizeof mo};
    must(ternc_open_ref(blob, &mo, &m, &err), &err);
    for (TernKv kv = TERN_KV_F16; kv <= TERN_KV_I8; kv++) {
        (void)perplexity(m, two, kv, PART, &bits);
        assert_true(bits == part[kv]);
    }
    tern_model_close(m);
    char list[128];
    snprintf(list, sizeof list, "%s", levels);
    uint32_t seen = 0;
    for (char *level = strtok(list, ","); level; level = strtok(NULL, ","), seen++) {
        TernKv jit = TERN_KV_I8 - (TernKv)(seen % 3); /* the blob has them all */
        m = load(level, NULL, jit);
        check_level(m, "JIT", level, jit, jit, part);
        tern_model_close(m);
        m = open_shipped(blob, level);
        check_level(m, "blob", level, TERN_KV_F16, TERN_KV_I8, part);
        for (TernKv kv = TERN_KV_F16; kv <= TERN_KV_I8 && !SLOW; kv++) {
            /* the whole text: f32 as it was evaluated, the others as at the first level */
            double got = perplexity(m, two, kv, ALL, &bits);
            check_near(got, want, near_of(kv));
            if (seen == 0 && kv != TERN_KV_F32) whole[kv] = bits;
            if (bits != whole[kv]) fail_msg("%s, kv %d: other logits of the whole text", level, kv);
        }
        tern_model_close(m);
    }
    tern_pool_destroy(two);
}

static int setup(void **state) {
    (void)state;
    TernError err = {0};
    TerncOptions o = {.size = sizeof o, .levels = *native_levels() ? NULL : "ref"};
    int fd = mkstemp(blob);
    if (fd < 0 || close(fd) || ternc_compile(NULL, &o, blob, NULL, &err) != TERN_OK) {
        print_error("setup: %s\n", err.text);
        return 1;
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return unlink(blob);
}

int main(void) {
    json_error_t why;
    vectors = json_load_file(TERN_SOURCE_DIR "/models/vectors.json", 0, &why);
    if (!vectors) {
        fprintf(stderr, "models/vectors.json: %s\n", why.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_gives_the_vectors_ids),
        cmocka_unit_test(test_greedy_ids_are_the_references),
        cmocka_unit_test(test_perplexity_is_the_references_and_the_same_everywhere),
    };
    int bad = cmocka_run_group_tests(tests, setup, teardown);
    json_decref(vectors);
    return bad;
}
