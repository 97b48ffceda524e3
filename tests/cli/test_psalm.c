/* The grouped model that comes with Tern: it was trained with activations that are not rounded, and has a scale for each 128
 * columns. Logits are compared with outside vectors (models/psalm.json), with activations rounded by groups, as the model is run,
 * and not rounded, as it was trained; what rounding costs is as docs/decisions.md says. Its bits are the same whether compiled
 * at load or ahead, evaluated or compiled, at every feature level, for 1 to 3 threads, and however a prompt is cut into steps. */
#include <math.h>
#include "cli/shipped.h"
#include "frontends/api/ternc_tools.h"

#define MODEL    TERN_SOURCE_DIR "/models/psalm-pq2_0.gguf"
#define HELD_OUT TERN_SOURCE_DIR "/models/held-out.txt"

enum {
    CONTEXT = 512,
    WINDOW = 256,   /* of the vectors' perplexity */
    PART = 130,     /* positions that the evaluator computes: more than two blocks */
    MOST = 1 << 15, /* tokens of the text */
    KVS = TERN_KV_I8 + 1
};

static json_t *vectors;
/* The model compiled for every level and cache type; the same as numbers, which are multiplied by activations as they are. */
static char groups[] = "/tmp/tern-psalm-XXXXXX", floats[] = "/tmp/tern-psalm-floats-XXXXXX";

static void compile_all(const char *model, const char *blob, uint32_t kvs) {
    TernError err = {0};
    TerncSource s = {.size = sizeof s, .path = model};
    TerncOptions o = {.size = sizeof o, .levels = *native_levels() ? NULL : "ref", .kvs = kvs};
    must(ternc_compile(&s, &o, blob, NULL, &err), &err);
}

static TernModel *load(const char *cpu, const char *target, uint32_t kvs) {
    TernError err = {0};
    TernModel *m = NULL;
    TerncSource s = {.size = sizeof s, .path = MODEL};
    TerncOptions o = {.size = sizeof o, .cap = cpu, .target = target, .kvs = kvs};
    must(ternc_load(&s, &o, NULL, &m, &err), &err);
    return m;
}

/* Calls check(level, user) for each level of this machine, or once with NULL if nothing can be compiled. */
static void for_each_level(void (*check)(const char *level, void *user), void *user) {
    char list[128];
    snprintf(list, sizeof list, "%s", native_levels());
    if (!*list) check(NULL, user);
    for (char *level = strtok(list, ","); level; level = strtok(NULL, ",")) check(level, user);
}

static size_t held_out(int32_t *ids) {
    TernError err = {0};
    size_t n_image, n;
    TernModel *m = open_shipped(groups, NULL);
    TernVocab *v;
    const void *image = tern_model_vocab(m, &n_image);
    must(tern_vocab_open(image, n_image, &v, &err), &err);
    static char text[1 << 17];
    FILE *f = fopen(HELD_OUT, "rb");
    assert_non_null(f);
    size_t size = fread(text, 1, sizeof text, f);
    assert_true(size < sizeof text && feof(f));
    fclose(f);
    must(tern_encode(v, text, size, TERN_ENCODE_ADD_SPECIAL, ids, MOST, &n, &err), &err);
    tern_vocab_close(v);
    tern_model_close(m);
    return n;
}

/* ---- Logits of a text */

typedef struct Rows {
    uint32_t n_vocab;
    size_t n, at; /* the rows that the vectors have, and the one that comes next */
    const json_t *which, *values;
    double worst;
} Rows;

static void compare_row(void *user, const TernResult *r) {
    Rows *c = user;
    if (c->at >= c->n || (json_int_t)r->row != json_integer_value(json_array_get(c->which, c->at))) return;
    const json_t *want = json_array_get(c->values, c->at++);
    assert_int_equal(json_array_size(want), c->n_vocab);
    double off = 0, all = 0;
    for (uint32_t i = 0; i < c->n_vocab; i++) {
        double w = json_number_value(json_array_get(want, i)), d = r->logits[i] - w;
        off += d * d;
        all += w * w;
    }
    c->worst = fmax(c->worst, sqrt(off / all));
}

/* The vectors' text as one step; `name` says which of their logits are expected. */
static void check_rows(TernModel *m, const char *level, const char *name) {
    int32_t ids[64];
    TernRow rows[64];
    TernError err = {0};
    TernModelInfo info;
    tern_model_info(m, &info);
    size_t n = ids_of(json_object_get(vectors, "tokens"), ids, 64);
    Rows c = {.n_vocab = info.n_vocab,
              .which = json_object_get(vectors, "rows"),
              .values = json_object_get(json_object_get(vectors, "logits"), name)};
    c.n = json_array_size(c.which);
    for (size_t i = 0; i < n; i++) rows[i] = (TernRow){ids[i], 0, TERN_WANT_LOGITS};
    TernPool *p = threads(2);
    TernSession *s = session(m, p, TERN_KV_F32, CONTEXT);
    must(tern_session_step(s, rows, n, compare_row, &c, &err), &err);
    assert_int_equal(c.at, c.n);
    if (!(c.worst < 1e-5))
        fail_msg("%s, %s: a row of logits is off by %.2g", level ? level : "ref", name, c.worst);
    tern_session_destroy(s);
    tern_pool_destroy(p);
}

static void check_logits(const char *level, void *user) {
    (void)user;
    TernModel *m = open_shipped(groups, level);
    check_rows(m, level, "groups");
    tern_model_close(m);
    m = open_shipped(floats, level);
    check_rows(m, level, "floats");
    tern_model_close(m);
}

static void test_logits_are_the_references(void **state) {
    (void)state;
    for_each_level(check_logits, NULL);
}

static void test_tokenizer_gives_the_vectors_ids(void **state) {
    (void)state;
    TernError err = {0};
    TernModel *m = open_shipped(groups, NULL);
    TernVocab *v;
    size_t n_image, n;
    int32_t want[64], got[64];
    const void *image = tern_model_vocab(m, &n_image);
    must(tern_vocab_open(image, n_image, &v, &err), &err);
    const char *text = json_string_value(json_object_get(vectors, "text"));
    must(tern_encode(v, text, strlen(text), TERN_ENCODE_ADD_SPECIAL, got, 64, &n, &err), &err);
    assert_int_equal(n, ids_of(json_object_get(vectors, "tokens"), want, 64));
    assert_memory_equal(got, want, n * sizeof *got);
    tern_vocab_close(v);
    tern_model_close(m);
}

/* ---- The same bits everywhere */

typedef struct Text {
    int32_t ids[MOST];
    size_t n;
    uint64_t bits[KVS]; /* the evaluator's, of the first PART */
    uint32_t levels;    /* seen so far */
} Text;

static void keep_id(void *user, const TernResult *r) {
    *(int32_t *)user = r->id;
}

/* The greedy id after the first PART tokens, in steps of `chunk`. */
static int32_t feed(TernSession *s, const Text *t, size_t chunk) {
    TernRow rows[PART];
    TernError err = {0};
    int32_t best = -1;
    must(tern_session_truncate(s, 0, 0, &err), &err);
    for (size_t at = 0; at < PART; at += chunk) {
        size_t n = PART - at < chunk ? PART - at : chunk;
        for (size_t i = 0; i < n; i++)
            rows[i] = (TernRow){t->ids[at + i], 0, at + i + 1 == PART ? TERN_WANT_GREEDY : TERN_WANT_NOTHING};
        must(tern_session_step(s, rows, n, keep_id, &best, &err), &err);
    }
    return best;
}

static void check_bits(TernModel *m, const char *what, const char *level, TernKv first, TernKv last,
                       const Text *t) {
    static const size_t chunks[] = {PART, 33, 7, 1};
    TernModelInfo info;
    tern_model_info(m, &info);
    if (level) assert_string_equal(info.level, level);
    for (uint32_t n = 1; n <= 3; n++) {
        TernPool *p = threads(n);
        for (TernKv kv = first; kv <= last; kv++) {
            TernSession *s = session(m, p, kv, CONTEXT);
            Score sc = {.n_vocab = info.n_vocab};
            score_step(s, t->ids, PART, &sc);
            if (sc.bits != t->bits[kv])
                fail_msg("%s, %s, kv %d, %u threads: other logits than the evaluator's", what,
                         level ? level : "ref", kv, n);
            int32_t id = feed(s, t, PART);
            for (size_t c = 1; c < sizeof chunks / sizeof *chunks && n == 2; c++)
                if (feed(s, t, chunks[c]) != id)
                    fail_msg("%s: steps of %zu give another id", what, chunks[c]);
            tern_session_destroy(s);
        }
        tern_pool_destroy(p);
    }
}

static void check_level(const char *level, void *user) {
    Text *t = user;
    TernModel *m = open_shipped(groups, level);
    check_bits(m, "blob", level, TERN_KV_F16, TERN_KV_I8, t);
    tern_model_close(m);
    if (!level) return;
    TernKv kv = TERN_KV_I8 - (TernKv)(t->levels++ % 3);
    m = load(level, NULL, 1u << kv);
    check_bits(m, "JIT", level, kv, kv, t);
    tern_model_close(m);
}

static void test_same_bits_everywhere(void **state) {
    (void)state;
    static Text t;
    t.n = held_out(t.ids);
    TernPool *p = threads(2);
    TernModel *m = load(NULL, "ref", 0);
    TernModelInfo info;
    tern_model_info(m, &info);
    for (TernKv kv = TERN_KV_F16; kv <= TERN_KV_I8; kv++) {
        TernSession *s = session(m, p, kv, CONTEXT);
        Score sc = {.n_vocab = info.n_vocab};
        score_step(s, t.ids, PART, &sc);
        t.bits[kv] = sc.bits;
        tern_session_destroy(s);
    }
    tern_model_close(m);
    tern_pool_destroy(p);
    for_each_level(check_level, &t);
}

/* ---- What rounding costs */

static double perplexity(const char *blob, const Text *t, size_t *n) {
    TernModel *m = open_shipped(blob, NULL);
    TernModelInfo info;
    tern_model_info(m, &info);
    TernPool *p = threads(2);
    TernSession *s = session(m, p, TERN_KV_F32, CONTEXT);
    Score sc = {.n_vocab = info.n_vocab};
    for (size_t at = 0; at + 1 < t->n; at += WINDOW)
        score_step(s, t->ids + at, t->n - at < WINDOW ? t->n - at : WINDOW, &sc);
    tern_session_destroy(s);
    tern_pool_destroy(p);
    tern_model_close(m);
    *n = sc.n;
    return tn_expd(sc.sum / (double)sc.n);
}

static void test_what_rounding_costs(void **state) {
    (void)state;
    if (!*native_levels()) {
        print_message("skipped: nothing can be compiled here, and evaluating the text takes minutes\n");
        skip();
    }
    static Text t;
    t.n = held_out(t.ids);
    size_t n, n_floats;
    const json_t *want = json_object_get(json_object_get(vectors, "held-out"), "perplexity");
    double by_groups = perplexity(groups, &t, &n), by_none = perplexity(floats, &t, &n_floats);
    double want_groups = json_number_value(json_object_get(want, "groups")),
           want_none = json_number_value(json_object_get(want, "floats"));
    print_message("%zu tokens: %.6f by groups, %.6f not rounded: %+.4f %%\n", n, by_groups, by_none,
                  100 * (by_groups / by_none - 1));
    assert_int_equal(n, json_integer_value(json_object_get(json_object_get(vectors, "held-out"), "tokens")));
    assert_int_equal(n_floats, n);
    assert_true(fabs(by_none / want_none - 1) < 1e-6);
    assert_true(fabs(by_groups / want_groups - 1) < 5e-5); /* codes at a tie round either way */
    assert_true(by_groups / by_none - 1 < 1e-3);
}

static void take_name(char *path) {
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
}

static int setup(void **state) {
    (void)state;
    TernError err = {0};
    char numbers[] = "/tmp/tern-psalm-f32-XXXXXX";
    take_name(groups);
    take_name(floats);
    take_name(numbers);
    compile_all(MODEL, groups, 0);
    TerncConvert c = {.size = sizeof c, .path = MODEL, .output = numbers, .type = "f32"};
    must(ternc_convert(&c, &err), &err);
    compile_all(numbers, floats, 1u << TERN_KV_F32);
    return unlink(numbers);
}

static int teardown(void **state) {
    (void)state;
    return unlink(groups) | unlink(floats);
}

int main(void) {
    json_error_t why;
    vectors = json_load_file(TERN_SOURCE_DIR "/models/psalm.json", 0, &why);
    if (!vectors) {
        fprintf(stderr, "models/psalm.json: %s\n", why.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_gives_the_vectors_ids),
        cmocka_unit_test(test_logits_are_the_references),
        cmocka_unit_test(test_same_bits_everywhere),
        cmocka_unit_test(test_what_rounding_costs),
    };
    int bad = cmocka_run_group_tests(tests, setup, teardown);
    json_decref(vectors);
    return bad;
}
