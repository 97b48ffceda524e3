/* For tests of whole models on the CUDA engine, over a driver in software that runs the very PTX text (support/fake_cuda): a
 * session there and one of the processor or the evaluator hear the same results. */
#ifndef TN_TEST_CUDA_MODEL_H
#define TN_TEST_CUDA_MODEL_H

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

#define CUDA_LIBRARY TERN_BUILD_DIR "/tests/fake_cuda/libcuda.so.1"

static TernPool *pool;

static inline int open_pool(uint32_t threads) {
    TernError err = {0};
    TernPoolOptions po = {.size = sizeof po, .threads = threads};
    if (tern_pool_create(&po, &pool, &err) == TERN_OK) return 0;
    print_error("setup: %s\n", err.text);
    return 1;
}

static inline int close_pool(void **state) {
    (void)state;
    tern_pool_destroy(pool);
    return 0;
}

typedef struct Blob {
    void *bytes;
    size_t size;
} Blob;

static inline void must(TernStatus s, const TernError *err) {
    if (s != TERN_OK) fail_msg("%s", err->text);
}

/* kvs as in TnCompileOptions. */
static inline Blob compile_for(TnGguf *file, const TnGgufOptions *as, const char *const *levels, uint32_t n,
                               TnEnc head, uint32_t kvs) {
    Blob b = {0};
    TernError err = {0};
    TnGraph *g;
    TnFacts facts;
    TnCompileOptions o = {.levels = levels, .n_levels = n, .head = head, .kvs = kvs};
    TnBlobDest dest = {.memory = &b.bytes, .bytes = &b.size};
    must(tn_gguf_graph(file, as, &g, &facts, &err), &err);
    TnWeights weights = tn_gguf_weights(file);
    must(tn_compile(g, &weights, &facts, &o, &dest, NULL, &err), &err);
    tn_graph_destroy(g);
    return b;
}

static inline void blob_free(Blob *b) {
    tn_os_unmap(b->bytes, b->size);
}

static inline uint32_t list_gpu_levels(const char *out[TN_LEVEL_COUNT]) {
    uint32_t n = 0;
    for (size_t i = 0; tn_level_row(i); i++)
        if (tn_level_row(i)->arch == TN_ARCH_PTX) out[n++] = tn_level_row(i)->name;
    return n;
}

static inline TernKernels evaluator(const Blob *b) {
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

/* On the processor: its code, or without it the evaluator. */
static inline TernModel *open_plain(const Blob *b) {
    TernModel *m;
    TernError err = {0};
    TernModelOptions o = {.size = sizeof o};
    if (tern_model_open_memory(b->bytes, b->size, &o, &m, &err) == TERN_OK) return m;
    TernKernels k = evaluator(b); /* there is no code */
    o.kernels = &k;
    must(tern_model_open_memory(b->bytes, b->size, &o, &m, &err), &err);
    return m;
}

/* ---- what a session says, result by result, and how many values saturated in its cache */

typedef struct Heard {
    uint64_t results[1024], saturated;
    size_t n;
    uint32_t n_vocab, n_hidden;
    int32_t id;
} Heard;

static inline uint64_t fold(uint64_t h, const void *bytes, size_t n) {
    const uint8_t *b = bytes;
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

static inline void hear(void *user, const TernResult *r) {
    Heard *h = user;
    uint64_t f = fold(0xcbf29ce484222325u, &r->id, sizeof r->id);
    if (r->n_top) f = fold(f, r->top_ids, r->n_top * sizeof *r->top_ids);
    if (r->n_top) f = fold(f, r->top_logits, r->n_top * sizeof *r->top_logits);
    if (r->logits && !r->n_top) /* with the best ids they are there only if the step had them anyway */
        f = fold(f, r->logits, h->n_vocab * sizeof *r->logits);
    if (r->hidden) f = fold(f, r->hidden, h->n_hidden * sizeof *r->hidden);
    assert_true(h->n < TN_COUNT(h->results));
    h->results[h->n++] = f;
    h->id = r->id;
}

/* A session of the model. o: without a size. */
static inline TernSession *session_begin(TernModel *m, TernSessionOptions o, Heard *h) {
    TernModelInfo info;
    TernError err = {0};
    TernSession *s;
    tern_model_info(m, &info);
    *h = (Heard){.n_vocab = info.n_vocab, .n_hidden = info.n_hidden};
    o.size = sizeof o;
    if (!o.context) o.context = info.n_context;
    must(tern_session_create(m, pool, &o, &s, &err), &err);
    return s;
}

static inline void session_end(TernSession *s, Heard *h) {
    h->saturated = tern_session_saturated(s);
    tern_session_destroy(s);
}

static inline void step(TernSession *s, const TernRow *rows, size_t n, Heard *h) {
    TernError err = {0};
    must(tern_session_step(s, rows, n, hear, h, &err), &err);
}

/* Positions `from` to from + n of a text, `chunk` rows a step. */
static inline void feed(TernSession *s, uint32_t slot, size_t from, size_t n, size_t chunk, Heard *h) {
    TernRow rows[80];
    assert_true(n <= TN_COUNT(rows));
    for (size_t i = 0; i < n; i++)
        rows[i] = (TernRow){(int32_t)((300 + (from + i) * 37) % h->n_vocab), slot, (uint32_t)(i % 5)};
    for (size_t at = 0; at < n; at += chunk) step(s, rows + at, n - at < chunk ? n - at : chunk, h);
}

/* `prompt` rows in one step, in sevens and one by one, which give the same. */
static inline void feed_thrice(TernSession *s, size_t prompt, Heard *h) {
    const size_t chunks[] = {prompt, 7, 1};
    TernError err = {0};
    for (int i = 0; i < 3; i++) {
        must(tern_session_truncate(s, 0, 0, &err), &err);
        feed(s, 0, 0, prompt, chunks[i], h);
    }
    for (size_t i = 0; i < h->n; i++) assert_true(h->results[i] == h->results[i % (h->n / 3)]);
}

/* ---- on the device */

/* The driver in software, as a GPU of that architecture ("86": 8.6) whose units run in an order by the seed. */
static inline void *device_open(const char *arch, const char *seed) {
    setenv("FAKE_CUDA_ARCH", arch, 1);
    setenv("FAKE_CUDA_SEED", seed, 1);
    void *library = dlopen(CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail_msg("%s", dlerror());
    return library;
}

static inline TernModel *open_on_device(const Blob *b, const char *arch) {
    TernModelOptions o = {.size = sizeof o, .device = "cuda"};
    TernModel *m;
    TernModelInfo info;
    TernError err = {0};
    must(tern_model_open_memory(b->bytes, b->size, &o, &m, &err), &err);
    tern_model_info(m, &info);
    assert_string_equal(info.device, "cuda:0");
    assert_string_equal(info.level, strcmp(arch, "90") == 0 ? tn_level_name(TN_LEVEL_SM_90A)
                                                            : tn_level_name(TN_LEVEL_SM_80));
    return m;
}

static inline void same_results(const Heard *device, const Heard *plain, const char *what) {
    assert_int_equal(device->n, plain->n);
    for (size_t i = 0; i < device->n; i++)
        if (device->results[i] != plain->results[i])
            fail_msg("%s: result %zu of %zu differs", what, i, device->n);
    assert_true(device->saturated == plain->saturated);
}

#endif
