/* Random weights in the shape of a published model, BitNet b1.58 2B-4T, on the CUDA engine over a driver in software
 * (support/fake_cuda): a step of one row and one of a prompt give the bits of the processor's code, or without LLVM of the
 * evaluator.
 *
 * One layer and a small vocabulary, unless TERN_TEST_BIG=n asks for n layers and the whole vocabulary: 30 make the whole
 * model, which takes a minute or two, 5 GB of memory and 1.2 GB in TMPDIR. TERN_TEST_PROMPT=n is the length of the prompt. */
#include <time.h>
#include <unistd.h>
#include "codegen/cuda_model.h"
#include "support/gguf_model.h"
#include "support/sanitized.h"

static void note(const char *what) {
    static struct timespec last;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (last.tv_sec)
        print_message("  %s: %.1f s\n", what,
                      (double)(now.tv_sec - last.tv_sec) + 1e-9 * (double)(now.tv_nsec - last.tv_nsec));
    last = now;
}

static TnGmSpec shape(const char *layers) {
    TnGmSpec s = tn_gm_tiny;
    assert_true(tn_gm_shape("2b4t", &s));
    s.no_vocab = true;
    s.layers = layers ? (uint32_t)strtoul(layers, NULL, 10) : 1;
    if (!layers) s.vocab = 1000;
    return s;
}

/* A file in TMPDIR that goes with the last who has it open. */
static void name_file(char *out, size_t cap) {
    const char *dir = getenv("TMPDIR");
    snprintf(out, cap, "%s/tern_big_XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(out);
    if (fd < 0) fail_msg("%s: no file can be made there", out);
    close(fd);
}

static TnGguf *write_model(const TnGmSpec *s) {
    char path[4096];
    TnGguf *file = NULL;
    TernError err = {0};
    name_file(path, sizeof path);
    TnGw *w = tn_gm_create(s);
    bool ok = tn_gw_file(w, path);
    tn_gw_destroy(w);
    TernStatus st = ok ? tn_gguf_open(path, false, &file, &err) : TERN_ERR_ENV;
    unlink(path);
    if (!ok) fail_msg("%s: not enough room for the model", path);
    must(st, &err);
    return file;
}

/* The level of the processor and that of the device, with the weights once. */
static Blob compile_both(TnGguf *file) {
    const char *levels[TN_LEVEL_COUNT + 1], *gpu[TN_LEVEL_COUNT];
    levels[0] = "ref";
#ifdef TERN_LLVM
    for (size_t i = 0; tn_level_row(i); i++)
        if (tn_level_runs_here(tn_level_row(i)->number)) levels[0] = tn_level_row(i)->name;
#endif
    assert_true(list_gpu_levels(gpu) > 0);
    levels[1] = gpu[0];
    return compile_for(file, &(TnGgufOptions){.no_hash = true}, levels, 2, TN_ENC_COUNT, 1u << TERN_KV_F16);
}

static Heard listen(TernModel *m, size_t prompt) {
    Heard h;
    TernSession *s =
        session_begin(m, (TernSessionOptions){.slots = 1, .context = 128, .kv = TERN_KV_F16}, &h);
    step(s, &(TernRow){17, 0, TERN_WANT_LOGITS}, 1, &h);
    note("a step of one row");
    for (size_t chunk = prompt; chunk; chunk = chunk == prompt && prompt > 3 ? 3 : 0) {
        TernRow rows[80];
        assert_true(chunk <= TN_COUNT(rows));
        for (size_t i = 0; i < chunk; i++)
            rows[i] =
                (TernRow){(int32_t)(i * 91 % h.n_vocab), 0, i % 4 ? TERN_WANT_NOTHING : TERN_WANT_LOGITS};
        step(s, rows, chunk, &h);
        note(chunk == prompt ? "a step of the prompt" : "a step of three rows");
    }
    session_end(s, &h);
    return h;
}

static void real_widths(void **state) {
    (void)state;
    static Heard here, there;
    const char *layers = getenv("TERN_TEST_BIG"), *prompt = getenv("TERN_TEST_PROMPT");
    size_t n = prompt ? strtoull(prompt, NULL, 10) : layers || TN_SANITIZED ? 0 : 9;
    TnGmSpec s = shape(layers);
    note("");
    if (!layers) print_message("  one layer; skipped: the whole model, which TERN_TEST_BIG=30 runs\n");
    TnGguf *file = write_model(&s);
    note("the model's file");
    Blob b = compile_both(file);
    tn_gguf_close(file);
    note("compiled");
    TernModel *m = open_plain(&b);
    here = listen(m, n);
    tern_model_close(m);
    void *library = device_open("86", "7");
    m = open_on_device(&b, "86");
    note("uploaded");
    there = listen(m, n);
    same_results(&there, &here, "2b4t");
    tern_model_close(m);
    assert_int_equal(dlclose(library), 0);
    blob_free(&b);
}

static int setup(void **state) {
    (void)state;
    return open_pool(2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(real_widths)};
    return cmocka_run_group_tests(tests, setup, close_pool);
}
