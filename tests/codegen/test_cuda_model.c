/* The trained model on the CUDA engine, over a driver in software that runs the very PTX text (support/fake_cuda): the bits
 * of the processor's code, or without LLVM of the evaluator. Prompts at once, in sevens and row by row, pages that are
 * shared and copied, eight slots, every cache type, want, level and head. Where addresses are checked, which is slow, what only the
 * text of kernels tells apart is left out: a cache of f32, a level, a head of 8 bits. */
#include "codegen/cuda_model.h"
#include "support/sanitized.h"

static TnGguf *file;

static Blob compile(const char *const *levels, uint32_t n, TnEnc head) {
    return compile_for(file, &(TnGgufOptions){0}, levels, n, head, 0);
}

/* For the processor: the best level that there is code for, or none. */
static Blob compile_plain(TnEnc head) {
    const char *level = "ref";
#ifdef TERN_LLVM
    for (size_t i = 0; tn_level_row(i); i++)
        if (tn_level_runs_here(tn_level_row(i)->number)) level = tn_level_row(i)->name;
#endif
    return compile(&level, 1, head);
}

/* `prompt` rows in one step, in sevens and one by one; `more` rows, to the next page; then eight slots that share pages; then
 * greedy text. */
static void play(TernSession *s, size_t prompt, size_t more, Heard *h) {
    TernError err = {0};
    feed_thrice(s, prompt, h);
    if (more) feed(s, 0, prompt, more, more, h);
    for (uint32_t slot = 1; slot < 8; slot++) must(tern_session_fork(s, 0, slot, &err), &err);
    must(tern_session_truncate(s, 1, 3, &err), &err);
    must(tern_session_truncate(s, 2, 0, &err), &err);
    TernRow rows[8];
    for (uint32_t i = 0; i < 8; i++) rows[i] = (TernRow){(int32_t)(i * 71), i, i % (TERN_WANT_HIDDEN + 1)};
    step(s, rows, 8, h);
    step(s, rows, 3, h);
    for (int i = 0; i < 6; i++) step(s, &(TernRow){h->id, 3, TERN_WANT_GREEDY}, 1, h);
}

static Heard listen(TernModel *m, TernKv kv, size_t prompt, size_t more) {
    Heard h;
    TernSession *s = session_begin(m, (TernSessionOptions){.slots = 8, .context = 100, .kv = kv}, &h);
    play(s, prompt, more, &h);
    session_end(s, &h);
    return h;
}

static void compare(const Blob *gpu, const Blob *plain, const char *arch, TernKv kv, size_t prompt,
                    size_t more) {
    static Heard a, b;
    char what[40];
    void *library = device_open(arch, arch);
    TernModel *there = open_on_device(gpu, arch), *here = open_plain(plain);
    a = listen(there, kv, prompt, more);
    b = listen(here, kv, prompt, more);
    snprintf(what, sizeof what, "%s, kv %d", arch, (int)kv);
    same_results(&a, &b, what);
    print_message("  %s: %zu results\n", what, a.n);
    tern_model_close(there);
    tern_model_close(here);
    assert_int_equal(dlclose(library), 0);
}

/* For the model as it is also steps of many rows to the next page, each type of cache and each level. */
static void with_head(TnEnc head, bool all) {
    const char *levels[TN_LEVEL_COUNT];
    uint32_t n = list_gpu_levels(levels);
    Blob gpu = compile(levels, n, head), plain = compile_plain(head);
    compare(&gpu, &plain, "86", TERN_KV_F16, 10, all ? 60 : 0);
    if (all) compare(&gpu, &plain, "80", TERN_KV_I8, 9, 0);
    if (all && !TN_SANITIZED) {
        compare(&gpu, &plain, "120", TERN_KV_F32, 9, 0);
        compare(&gpu, &plain, "90", TERN_KV_F16, 9, 0);
    }
    blob_free(&gpu);
    blob_free(&plain);
}

static void the_same_bits(void **state) {
    (void)state;
    with_head(TN_ENC_COUNT, true);
}

static void with_a_shortlist(void **state) {
    (void)state;
    with_head(TN_ENC_s6, false);
    if (!TN_SANITIZED) with_head(TN_ENC_s8, false);
}

static int setup(void **state) {
    (void)state;
    TernError err = {0};
    TernStatus s = tn_gguf_open(TERN_SOURCE_DIR "/models/verse-i2_s.gguf", false, &file, &err);
    if (s != TERN_OK) print_error("setup: %s\n", err.text);
    return s != TERN_OK || open_pool(2);
}

static int teardown(void **state) {
    tn_gguf_close(file);
    return close_pool(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(with_a_shortlist),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
