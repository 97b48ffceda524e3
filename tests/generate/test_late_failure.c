/* A row fails after guesses that were right. With guesses and without, the ids before it are given out, and a sequence that
 * ends before it does not fail. The kernels count 1, 2, 3, 1, .. and give no id at positions from `sound` on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "runtime/fake_model.h"
#include "runtime/generate/generate.h"

enum { PROMPT = 9, SOUND = 20, MOST = 64 };

static TernModel *model;
static TernPool *pool;
static Image image;
static const int32_t *pos; /* of the run's rows, as ATTEND gets them */

static void run(void *user, uint32_t variant, uint32_t launch, const void *args, void *scratch) {
    const TnLaunch *a = args;
    (void)user, (void)variant, (void)scratch;
    if (launch == ATTEND) pos = a->ptr[1];
    if (launch != HEAD) return;
    for (int64_t r = 0; r < a->sym[TN_ABI_R]; r++) {
        int32_t at = pos[((const int32_t *)a->ptr[1])[r]];
        ((int32_t *)a->ptr[3])[r] = at < SOUND ? 1 + (at + 1) % 3 : -1;
    }
}

typedef struct Heard {
    int32_t ids[MOST];
    size_t n;
    TernGenerated got;
    TernStatus status;
    TernError err;
} Heard;

static int hear(void *user, const TernPiece *p) {
    Heard *h = user;
    h->ids[h->n++] = p->id;
    return 0;
}

static Heard generate(uint32_t most, uint32_t draft) {
    static const int32_t prompt[PROMPT] = {1, 2, 3, 1, 2, 3, 1, 2, 3};
    Heard h = {.got = {.size = sizeof h.got}};
    TernGeneratorOptions o = {.size = sizeof o, .context = 64, .draft_max = draft};
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    so.temp = 0;
    TernRequest r = {.size = sizeof r,
                     .ids = prompt,
                     .n_ids = PROMPT,
                     .max_tokens = most,
                     .draft_max = draft,
                     .sampler = &so};
    TernGenerator *g;
    TernError err;
    if (tern_generator_create(model, pool, &o, &g, &err)) fail_msg("%s", err.text);
    h.status = tern_generate(g, &r, hear, &h, &h.got, &h.err);
    tern_generator_destroy(g);
    return h;
}

static void what_came_before_counts(void **state) {
    (void)state;
    const size_t sound = SOUND - PROMPT + 1; /* ids before the row that fails */
    for (uint32_t most = (uint32_t)sound - 4; most <= sound + 4; most++)
        for (uint32_t draft = 0; draft <= 6; draft++) {
            Heard h = generate(most, draft);
            assert_int_equal(h.n, most < sound ? most : sound);
            for (size_t i = 0; i < h.n; i++) assert_int_equal(h.ids[i], 1 + (PROMPT + i) % 3);
            assert_int_equal(h.got.n_out, h.n);
            assert_int_equal(h.got.end, most <= sound ? TERN_END_LENGTH : TERN_END_FAILED);
            assert_int_equal(h.status, most <= sound ? TERN_OK : TERN_ERR_NUMERIC);
            if (most > sound) assert_non_null(strstr(h.err.text, "position 20): its logits hold NaN"));
            assert_true(draft == 0 || h.got.n_right > 0);
            assert_true(h.got.n_right <= h.got.n_guessed);
        }
}

/* A model of the fake's shape, but without a vocabulary: the fake's is not valid. */
static int open_all(void **state) {
    (void)state;
    static const TernKernels k = {.size = sizeof k, .scratch = fake_scratch, .run = run};
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    Maker m = fake_maker(TN_LEVEL_REF, 300);
    memset(maker_find(&m, TN_SECTION_META, 0)->bytes.data + offsetof(TnBlobMeta, vocab), 0,
           sizeof(TnBlobRange));
    image = maker_seal(&m);
    maker_free(&m);
    return tern_pool_create(&po, &pool, NULL) ||
           tern_model_open_memory(image.data, image.size, &o, &model, NULL);
}

static int close_all(void **state) {
    (void)state;
    tern_pool_destroy(pool);
    tern_model_close(model);
    free(image.data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_came_before_counts)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
