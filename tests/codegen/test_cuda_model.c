/* The trained model on the CUDA engine, over a driver in software that runs the very PTX text (support/fake_cuda): the bits
 * of the processor's code, or without LLVM of the evaluator. Prompts at once, in sevens and row by row, pages that are
 * shared and copied, eight slots, every cache type, want, level and head. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "codegen/codegen.h"
#include "frontends/gguf/gguf.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"
#include "runtime/session.h"

#define LIBRARY TERN_BUILD_DIR "/tests/fake_cuda/libcuda.so.1"

typedef struct Blob {
    void *bytes;
    size_t size;
} Blob;

static TnGguf *file;
static TernPool *pool;

static void must(TernStatus s, const TernError *err) {
    if (s != TERN_OK) fail_msg("%s", err->text);
}

static Blob compile(const char *const *levels, uint32_t n, TnEnc head) {
    Blob b = {0};
    TernError err = {0};
    TnGraph *g;
    TnFacts facts;
    TnCompileOptions o = {.levels = levels, .n_levels = n, .head = head};
    TnBlobDest dest = {.memory = &b.bytes, .bytes = &b.size};
    must(tn_gguf_graph(file, &(TnGgufOptions){0}, &g, &facts, &err), &err);
    TnWeights weights = tn_gguf_weights(file);
    must(tn_compile(g, &weights, &facts, &o, &dest, NULL, &err), &err);
    tn_graph_destroy(g);
    return b;
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

static TernKernels evaluator(const Blob *b) {
    TnBlob opened;
    TernError err = {0};
    TnRefKernels *ref;
    must(tn_blob_open(b->bytes, b->size, &opened, &err), &err);
    const TnBlobSection *s = tn_blob_section(&opened, TN_SECTION_TIR, 0);
    must(tn_ref_create((const char *)tn_blob_bytes(&opened, s), (size_t)s->size, &ref, &err), &err);
    return (TernKernels){.size = sizeof(TernKernels),
                         .user = ref,
                         .scratch = tn_ref_scratch,
                         .run = tn_ref_run,
                         .destroy = tn_ref_destroy};
}

static TernModel *open_plain(const Blob *b) {
    TernModel *m;
    TernError err = {0};
    TernModelOptions o = {.size = sizeof o};
    if (tern_model_open_memory(b->bytes, b->size, &o, &m, &err) == TERN_OK) return m;
    TernKernels k = evaluator(b); /* there is no code */
    o.kernels = &k;
    must(tern_model_open_memory(b->bytes, b->size, &o, &m, &err), &err);
    return m;
}

/* ---- what a session says, result by result */

typedef struct Heard {
    uint64_t results[1024];
    size_t n;
    uint32_t n_vocab, n_hidden;
    int32_t id;
} Heard;

static uint64_t fold(uint64_t h, const void *bytes, size_t n) {
    const uint8_t *b = bytes;
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

static void hear(void *user, const TernResult *r) {
    Heard *h = user;
    uint64_t f = fold(0xcbf29ce484222325u, &r->id, sizeof r->id);
    if (r->n_top) f = fold(f, r->top_ids, r->n_top * sizeof *r->top_ids);
    if (r->n_top) f = fold(f, r->top_logits, r->n_top * sizeof *r->top_logits);
    if (r->logits) f = fold(f, r->logits, h->n_vocab * sizeof *r->logits);
    if (r->hidden) f = fold(f, r->hidden, h->n_hidden * sizeof *r->hidden);
    assert_true(h->n < TN_COUNT(h->results));
    h->results[h->n++] = f;
    h->id = r->id;
}

static void step(TernSession *s, const TernRow *rows, size_t n, Heard *h) {
    TernError err = {0};
    must(tern_session_step(s, rows, n, hear, h, &err), &err);
}

static void feed(TernSession *s, uint32_t slot, size_t from, size_t n, size_t chunk, Heard *h) {
    TernRow rows[80];
    for (size_t i = 0; i < n; i++)
        rows[i] = (TernRow){(int32_t)(300 + (from + i) * 37 % 1000), slot, (uint32_t)(i % 5)};
    for (size_t at = 0; at < n; at += chunk) step(s, rows + at, n - at < chunk ? n - at : chunk, h);
}

/* `prompt` rows in one step, in sevens and one by one; `more` rows, to the next page; then eight slots that share pages; then
 * greedy text. */
static void play(TernSession *s, size_t prompt, size_t more, Heard *h) {
    const size_t chunks[] = {prompt, 7, 1};
    TernError err = {0};
    for (int i = 0; i < 3; i++) {
        must(tern_session_truncate(s, 0, 0, &err), &err);
        feed(s, 0, 0, prompt, chunks[i], h);
    }
    for (size_t i = 0; i < h->n; i++) assert_true(h->results[i] == h->results[i % (h->n / 3)]);
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
    TernModelInfo info;
    TernError err = {0};
    TernSession *s;
    TernSessionOptions o = {.size = sizeof o, .slots = 8, .context = 100, .kv = kv};
    tern_model_info(m, &info);
    Heard h = {.n_vocab = info.n_vocab, .n_hidden = info.n_hidden};
    must(tern_session_create(m, pool, &o, &s, &err), &err);
    play(s, prompt, more, &h);
    tern_session_destroy(s);
    return h;
}

static void compare(const Blob *gpu, const Blob *plain, const char *arch, TernKv kv, size_t prompt,
                    size_t more) {
    TernModelOptions o = {.size = sizeof o, .device = "cuda", .cpu = NULL};
    TernModel *there, *here;
    TernModelInfo info;
    TernError err = {0};
    setenv("FAKE_CUDA_ARCH", arch, 1);
    setenv("FAKE_CUDA_SEED", arch, 1);
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail_msg("%s", dlerror());
    must(tern_model_open_memory(gpu->bytes, gpu->size, &o, &there, &err), &err);
    here = open_plain(plain);
    tern_model_info(there, &info);
    assert_string_equal(info.device, "cuda:0");
    assert_string_equal(info.level, strcmp(arch, "90") == 0 ? tn_level_name(TN_LEVEL_SM_90A)
                                                            : tn_level_name(TN_LEVEL_SM_80));
    static Heard a, b;
    a = listen(there, kv, prompt, more);
    b = listen(here, kv, prompt, more);
    assert_int_equal(a.n, b.n);
    for (size_t i = 0; i < a.n; i++)
        if (a.results[i] != b.results[i]) fail_msg("kv %d: result %zu of %zu differs", kv, i, a.n);
    print_message("  %s, kv %d: %zu results\n", info.level, (int)kv, a.n);
    tern_model_close(there);
    tern_model_close(here);
    assert_int_equal(dlclose(library), 0);
}

static uint32_t list_gpu_levels(const char *out[TN_LEVEL_COUNT]) {
    uint32_t n = 0;
    for (size_t i = 0; tn_level_row(i); i++)
        if (tn_level_row(i)->arch == TN_ARCH_PTX) out[n++] = tn_level_row(i)->name;
    return n;
}

static void with_head(TnEnc head, bool all) {
    const char *levels[TN_LEVEL_COUNT];
    uint32_t n = list_gpu_levels(levels);
    Blob gpu = compile(levels, n, head), plain = compile_plain(head);
    compare(&gpu, &plain, "86", TERN_KV_F16, all ? 24 : 10, all ? 46 : 0);
    for (int i = 0; all && i < 2; i++)
        compare(&gpu, &plain, i ? "80" : "120", i ? TERN_KV_I8 : TERN_KV_F32, 9, 0);
    if (all) compare(&gpu, &plain, "90", TERN_KV_F16, 9, 0);
    tn_os_unmap(gpu.bytes, gpu.size);
    tn_os_unmap(plain.bytes, plain.size);
}

static void the_same_bits(void **state) {
    (void)state;
    with_head(TN_ENC_COUNT, true);
}

static void with_a_shortlist(void **state) {
    (void)state;
    with_head(TN_ENC_s6, false);
    with_head(TN_ENC_s8, false);
}

static int setup(void **state) {
    (void)state;
    TernError err = {0};
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    TernStatus s = tn_gguf_open(TERN_SOURCE_DIR "/models/verse-i2_s.gguf", false, &file, &err);
    if (s == TERN_OK) s = tern_pool_create(&po, &pool, &err);
    if (s != TERN_OK) print_error("setup: %s\n", err.text);
    return s != TERN_OK;
}

static int teardown(void **state) {
    (void)state;
    tern_pool_destroy(pool);
    tn_gguf_close(file);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(with_a_shortlist),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
