/* The trained model on an engine whose memory the host cannot touch (support/far_engine.h): the bits of the engine it is
 * made of, prompts in one step, in sevens and row by row, forks and truncation, eight slots, every cache type and want.
 * And a host access that is planted is caught. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "codegen/codegen.h"
#include "frontends/gguf/gguf.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"
#include "runtime/session.h"
#include "support/far_engine.h"

static void *blob;
static size_t blob_bytes;
static TernPool *pool;
static FarControl far;
static bool compiled; /* else the kernels are evaluated, over a part of the text */

static void must(TernStatus s, const TernError *err) {
    if (s != TERN_OK) fail_msg("%s", err->text);
}

static TernKernels evaluator(const char *tir, size_t n) {
    TernError err = {0};
    TnRefKernels *ref;
    must(tn_ref_create(tir, n, &ref, &err), &err);
    return (TernKernels){
        .size = sizeof(TernKernels), .user = ref, .scratch = tn_ref_scratch, .run = tn_ref_run};
}

/* The section TIR of the blob, without a model. */
static TernKernels kernels_of_blob(void) {
    TnBlob b;
    TernError err = {0};
    must(tn_blob_open(blob, blob_bytes, &b, &err), &err);
    const TnBlobSection *s = tn_blob_section(&b, TN_SECTION_TIR, 0);
    return evaluator((const char *)tn_blob_bytes(&b, s), (size_t)s->size);
}

typedef struct Opened {
    TernModel *model;
    TernKernels kernels; /* run NULL: none */
} Opened;

static Opened open_model(bool is_far) {
    Opened o = {0};
    TernError err = {0};
    TnEngine *engine;
    if (!compiled) o.kernels = kernels_of_blob();
    must(compiled ? tn_engine_cpu(&engine, &err) : tn_engine_evaluated(&o.kernels, &engine, &err), &err);
    if (is_far) far = (FarControl){0};
    must(tn_model_open_on(is_far ? far_engine(engine, &far) : engine, blob, blob_bytes, NULL, &o.model, &err),
         &err);
    return o;
}

static void close_model(Opened *o) {
    tern_model_close(o->model);
    if (o->kernels.run) tn_ref_destroy(o->kernels.user);
}

static TernSession *session(TernModel *m, TernKv kv) {
    TernError err = {0};
    TernSession *s;
    TernSessionOptions o = {.size = sizeof o, .slots = 8, .context = 320, .kv = kv};
    must(tern_session_create(m, pool, &o, &s, &err), &err);
    return s;
}

/* ---- what a session says, result by result */

typedef struct Heard {
    uint64_t results[8192];
    size_t n;
    uint32_t wants[TERN_WANT_HIDDEN + 1]; /* how many of each */
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
    f = fold(f, &r->n_top, sizeof r->n_top);
    if (r->n_top) f = fold(f, r->top_ids, r->n_top * sizeof *r->top_ids);
    if (r->n_top) f = fold(f, r->top_logits, r->n_top * sizeof *r->top_logits);
    if (r->want == TERN_WANT_LOGITS) f = fold(f, r->logits, h->n_vocab * sizeof *r->logits);
    if (r->hidden) f = fold(f, r->hidden, h->n_hidden * sizeof *r->hidden);
    assert_true(h->n < TN_COUNT(h->results));
    h->results[h->n++] = f;
    h->wants[r->want]++;
    h->id = r->id;
}

static void step(TernSession *s, const TernRow *rows, size_t n, Heard *h) {
    TernError err = {0};
    must(tern_session_step(s, rows, n, hear, h, &err), &err);
}

static int32_t token(size_t i) {
    return (int32_t)(300 + i * 37 % 1000);
}

static void feed(TernSession *s, uint32_t slot, size_t from, size_t n, size_t chunk, Heard *h) {
    TernRow rows[320];
    for (size_t i = 0; i < n; i++)
        rows[i] = (TernRow){token(from + i), slot, (uint32_t)(i % 7 ? i % (TERN_WANT_HIDDEN + 1) : 0)};
    for (size_t at = 0; at < n; at += chunk) step(s, rows + at, n - at < chunk ? n - at : chunk, h);
}

/* Everything that a session does, with the results in *h. */
static void play(TernSession *s, Heard *h) {
    const size_t prompt = compiled ? 150 : 68; /* more than a page, and in the middle of one */
    const size_t chunks[] = {prompt, 7, 1};
    TernError err = {0};
    for (int i = 0; i < 3; i++) {
        must(tern_session_truncate(s, 0, 0, &err), &err);
        feed(s, 0, 0, prompt, chunks[i], h);
    }
    for (size_t i = 0; i < h->n; i++) assert_true(h->results[i] == h->results[i % (h->n / 3)]);
    for (uint32_t slot = 1; slot < 8; slot++) must(tern_session_fork(s, 0, slot, &err), &err);
    must(tern_session_truncate(s, 1, 65, &err), &err); /* inside a page that others share */
    must(tern_session_truncate(s, 2, 3, &err), &err);
    must(tern_session_truncate(s, 3, 0, &err), &err);
    feed(s, 3, 500, 5, 5, h);
    int32_t next[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (uint32_t turn = 0; turn < (compiled ? 20 : 3); turn++) {
        TernRow rows[8];
        for (uint32_t i = 0; i < 8; i++) rows[i] = (TernRow){next[i], i, (turn + i) % (TERN_WANT_HIDDEN + 1)};
        step(s, rows, 8, h);
        for (uint32_t i = 0; i < 8; i++) next[i] = token(turn * 8 + i + (uint32_t)(h->id > 0));
    }
    /* a branch that was wrong is forgotten, and the freed page is another slot's now */
    must(tern_session_truncate(s, 0, 64, &err), &err);
    must(tern_session_fork(s, 2, 4, &err), &err);
    feed(s, 4, 700, 70, 9, h);
    feed(s, 0, 900, 20, 1, h);
}

static void the_same_bits(void **state) {
    (void)state;
    for (TernKv kv = TERN_KV_F16; kv <= TERN_KV_I8; kv++) {
        Opened near = open_model(false), away = open_model(true);
        TernModelInfo info, other;
        tern_model_info(near.model, &info);
        tern_model_info(away.model, &other);
        assert_string_equal(info.level, other.level);
        static Heard a, b;
        a = b = (Heard){.n_vocab = info.n_vocab, .n_hidden = info.n_hidden};
        TernSession *s = session(near.model, kv), *f = session(away.model, kv);
        play(s, &a);
        play(f, &b);
        assert_int_equal(a.n, b.n);
        for (size_t i = 0; i < a.n; i++)
            if (a.results[i] != b.results[i]) fail_msg("kv %d: result %zu of %zu differs", kv, i, a.n);
        for (uint32_t want = TERN_WANT_GREEDY; want <= TERN_WANT_HIDDEN; want++)
            assert_true(a.wants[want] > 10);
        assert_true(tern_session_saturated(s) == tern_session_saturated(f));
        assert_true(far.runs > 100 && far.copies > 5 && far.clears > 0);
        assert_int_equal(far.strangers, 0);
        print_message("  %s, kv %d: %zu results in %u runs, %u pages copied, %u cleared\n", info.level, kv,
                      a.n, far.runs, far.copies, far.clears);
        tern_session_destroy(s);
        tern_session_destroy(f);
        close_model(&near);
        close_model(&away);
        assert_int_equal(far.blocks + far.sessions, 0);
    }
}

/* Two sessions of one model take turns, in other steps and another slot: what one holds is not the other's. */
static void two_sessions(void **state) {
    (void)state;
    Opened away = open_model(true);
    TernModelInfo info;
    tern_model_info(away.model, &info);
    static Heard h[2];
    TernSession *s[2];
    for (int i = 0; i < 2; i++) {
        h[i] = (Heard){.n_vocab = info.n_vocab, .n_hidden = info.n_hidden};
        s[i] = session(away.model, TERN_KV_F16);
    }
    assert_int_equal(far.uploads, tn_blob_chunks(&away.model->blob)); /* once for both */
    for (int turn = 0; turn < 4; turn++)
        for (int i = 0; i < 2; i++) feed(s[i], (uint32_t)i, (size_t)turn * 11, 11, i ? 11 : 4, &h[i]);
    assert_int_equal(h[0].n, h[1].n);
    assert_memory_equal(h[0].results, h[1].results, h[0].n * sizeof *h[0].results);
    for (int i = 0; i < 2; i++) tern_session_destroy(s[i]);
    close_model(&away);
}

/* ---- planted: the host reads what it must not */

static bool faults(TnAddress at) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL); /* neither cmocka's nor a sanitizer's */
        (void)*(volatile const uint8_t *)at;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) assert_int_equal(WTERMSIG(status), SIGSEGV);
    return WIFSIGNALED(status);
}

static void a_host_access_is_caught(void **state) {
    (void)state;
    for (int is_far = 0; is_far < 2; is_far++) {
        Opened o = open_model(is_far);
        TernSession *s = session(o.model, TERN_KV_F16);
        static Heard h;
        h = (Heard){.n_vocab = o.model->meta.facts.n_vocab, .n_hidden = o.model->meta.facts.n_hidden};
        const TnBases *b = &s->memory.bases;
        for (int stepped = 0; stepped < 2; stepped++) {
            assert_int_equal(faults(b->keys), is_far);
            assert_int_equal(faults(b->values), is_far);
            assert_int_equal(faults(b->arena), is_far);
            assert_int_equal(faults(b->inputs), is_far);
            assert_int_equal(faults(b->scratch), is_far);
            assert_int_equal(faults(b->weights), is_far);
            assert_false(faults((TnAddress)s->input[TN_IN_IDS]));
            feed(s, 0, 0, 9, 9, &h);
        }
        tern_session_destroy(s);
        close_model(&o);
    }
}

/* The level is the engine's to choose. */
static void it_chooses_the_level(void **state) {
    (void)state;
    if (!compiled) {
        print_message("  skipped: no code is compiled here, and without code every level runs\n");
        skip();
    }
    TnBlob b;
    TernError why = {0};
    must(tn_blob_open(blob, blob_bytes, &b, &why), &why);
    for (size_t i = 0; tn_level_row(i); i++) {
        uint32_t level = tn_level_row(i)->number;
        TnEngine *cpu;
        TernModel *m = NULL;
        TernError err = {0};
        must(tn_engine_cpu(&cpu, &err), &err);
        far = (FarControl){.only_level = level};
        bool has = false;
        for (uint32_t k = 0; k < b.n_sections; k++)
            has |= b.sections[k].kind == TN_SECTION_CODE && b.sections[k].level == level;
        TernStatus st = tn_model_open_on(far_engine(cpu, &far), blob, blob_bytes, NULL, &m, &err);
        assert_int_equal(st, has ? TERN_OK : TERN_ERR_UNSUPPORTED);
        if (has) assert_int_equal(m->level, level);
        tern_model_close(m);
        assert_int_equal(far.closed, 1);
    }
}

/* ---- the model, for every level that runs here */

static int setup(void **state) {
    (void)state;
    TernError err = {0};
    TnGguf *gg;
    TnGraph *g;
    TnFacts facts;
    const char *levels[TN_LEVEL_COUNT + 1] = {"ref"};
    TnCompileOptions o = {.levels = levels, .n_levels = 1, .head = TN_ENC_COUNT};
#ifdef TERN_LLVM
    uint32_t n = 0;
    for (size_t i = 0; tn_level_row(i); i++)
        if (tn_level_runs_here(tn_level_row(i)->number)) levels[n++] = tn_level_row(i)->name;
    compiled = n > 0;
    if (compiled) o.n_levels = n;
#endif
    TernPoolOptions po = {.size = sizeof po, .threads = 2};
    TnBlobDest dest = {.memory = &blob, .bytes = &blob_bytes};
    TernStatus s = tn_gguf_open(TERN_SOURCE_DIR "/models/verse-i2_s.gguf", false, &gg, &err);
    if (s == TERN_OK) s = tn_gguf_graph(gg, &(TnGgufOptions){0}, &g, &facts, &err);
    TnWeights weights = s == TERN_OK ? tn_gguf_weights(gg) : (TnWeights){0};
    if (s == TERN_OK) s = tn_compile(g, &weights, &facts, &o, &dest, NULL, &err);
    if (s == TERN_OK) s = tern_pool_create(&po, &pool, &err);
    if (s != TERN_OK) {
        print_error("setup: %s\n", err.text);
        return 1;
    }
    tn_graph_destroy(g);
    tn_gguf_close(gg);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tern_pool_destroy(pool);
    tn_os_unmap(blob, blob_bytes);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(two_sessions),
        cmocka_unit_test(a_host_access_is_caught),
        cmocka_unit_test(it_chooses_the_level),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
