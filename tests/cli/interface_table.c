/* The calls of the four public headers refuse wrong arguments: one table with a row for each wrong field or
 * argument, and the rules of size for every option struct. Each row runs in its own process, so that a crash
 * or a hang is a failed row. Uses only the headers and the shared libraries. tests/cli/faults/15-interface.sh
 * compiles it against a build and checks that every struct, field and call of the headers is here.
 *
 * Any value is right, so no row can refuse it: TerncSource.ternary_dense TerncOptions.progress
 * TerncOptions.user TerncOptions.tune_text TerncOptions.known TerncOptions.context TerncOpt.passes
 * TerncOpt.source TerncOpt.times TerncOpt.verify_each TerncOpt.ranges TerncImport.source TerncImport.json
 * TerncImport.progress TerncImport.user TerncDiff.names TerncDiff.no_stats TerncPicture.source
 * TerncPicture.fold_layers TerncPicture.one_layer TerncVerify.source TerncVerify.options TerncVerify.bisect
 * TerncConvert.absmean TerncConvert.note TerncConvert.user TerncVerify.random TerncVerify.seeded TerncSource.note
 * TerncSource.note_user TerncImport.i2s_probe TernModelOptions.no_check
 * TernModelOptions.huge TernModelOptions.release TernModelOptions.release_user TernKernels.user
 * TernKernels.destroy TernKernels.watch TernLabLaunch.shared TernSamplerOptions.top_k TernSamplerOptions.seed TernVocabSource.bos
 * TernVocabSource.eos TernVocabSource.eot TernVocabSource.eom TernVocabSource.unk TernVocabSource.pad
 * TernVocabSource.add_bos TernVocabSource.add_eos TernGeneratorOptions.vocab TernRequest.max_tokens
 * TernConversationOptions.now TernChatInput.now TernRequest.special TernEmbedderOptions.vocab
 * TernRequest.unstored TernVocabSource.add_space_prefix (the ids are held against the tokens:
 * tests/text/test_vocab.c). Held elsewhere or under the name of another: TernModelOptions.cpu
 * (tests/runtime/test_blob.c) TerncOpt.rows_hi TerncVerify.rows_hi (with rows_lo) TerncPicture.variant
 * (below).
 *
 * Without a status, so with live handles only: tern_version tern_cpu_levels tern_cpu_refused
 * tern_lab_close tern_pool_destroy tern_model_close tern_model_huge_bytes tern_model_hash tern_model_vocab
 * tern_model_section
 * tern_session_destroy tern_session_saturated tern_profile_destroy tern_profile_reset tern_profile_workers
 * tern_profile_programs tern_profile_program tern_profile_launch tern_profile_events tern_vocab_close
 * tern_vocab_get_facts tern_token_get_bytes tern_token_get_type tern_token_is_eog tern_token_find
 * tern_chat_template_destroy tern_chat_template_name tern_chat_text_free
 * tern_encode_most tern_detok_destroy tern_sampler_destroy tern_lookup_destroy tern_phrases_destroy tern_generator_destroy
 * tern_embedder_destroy tern_sequence_destroy tern_slot_destroy tern_conversation_destroy
 * tern_conversation_cancel ternc_version ternc_targets tern_pool_default_threads */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tern.h"
#include "ternc_tools.h"
#include "text/chat.h"
#include "text/text.h"
#include "generate/generate.h"
#include "generate/conversation.h"

static TernError err;
static int rows, failures;
static char why[700];

/* What a row may say beside its text: 0 means "refused as TERN_ERR_INPUT". */
enum { REFUSED, ACCEPTED };

static const char *judge(TernStatus st, int want, const char *text) {
    if (want == ACCEPTED) {
        if (st == TERN_OK && (err.code != TERN_OK || err.text[0]))
            return "the error is not empty after success";
        return st != TERN_OK && strstr(err.text, text) ? "it was refused" : NULL;
    }
    if (st != TERN_ERR_INPUT) return "it was not refused as TERN_ERR_INPUT";
    if (!strstr(err.text, text)) return "the line does not name it";
    return strstr(err.text, "--") ? "the line names a flag" : NULL;
}

static int begin(void) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(300); /* ends a call that hangs */
        err.code = TERN_ERR_NUMERIC;
        strcpy(err.text, "an old failure");
        return 1;
    }
    int status;
    waitpid(pid, &status, 0);
    rows++;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    failures++;
    if (WIFSIGNALED(status)) printf("FAILED: %s: ended by signal %d\n", why, WTERMSIG(status));
    return 0;
}

static void end(TernStatus st, int want, const char *text) {
    const char *fault = judge(st, want, text);
    if (fault) printf("FAILED: %s: status %d '%s', expected '%s': %s\n", why, (int)st, err.text, text, fault);
    fflush(stdout);
    _exit(fault != NULL);
}

#define CALL(call, want, text)                                                                               \
    do {                                                                                                     \
        snprintf(why, sizeof why, "%s", #call);                                                              \
        if (begin()) end(call, want, text);                                                                  \
    } while (0)
/* A call without a status that must survive NULL. */
#define SAFE(what)                                                                                           \
    do {                                                                                                     \
        snprintf(why, sizeof why, "%s", #what);                                                              \
        if (begin()) _exit(!(what));                                                                         \
    } while (0)
/* A struct `o` of type S with these fields, given to the call. */
#define FIELD(call, text, S, ...)                                                                            \
    do {                                                                                                     \
        snprintf(why, sizeof why, "%s {%s}", #call, #__VA_ARGS__);                                           \
        if (begin()) {                                                                                       \
            S o = {.size = sizeof o, __VA_ARGS__};                                                           \
            end(call, REFUSED, text);                                                                        \
        }                                                                                                    \
    } while (0)

static void ignore(void *user, const char *what, const char *text, size_t size) {
    (void)user, (void)what, (void)text, (void)size;
}
static void sink(void *user, const TernResult *result) {
    (void)user, (void)result;
}
static void *out;
static size_t n_out;
static int same;
static const int32_t token[1] = {1};

/* ---- sizes: for every struct a call that fails later, or succeeds, if the struct is right */

#define NOWHERE "/nonexistent/x.gguf"
static TernStatus use_pool(const void *o) {
    return tern_pool_create(o, (TernPool **)&out, &err);
}
static TernStatus use_model(const void *o) {
    return tern_model_open(NOWHERE, o, (TernModel **)&out, &err);
}
static TernStatus use_ref(const void *o) {
    return ternc_open_ref(NOWHERE, o, (TernModel **)&out, &err);
}
static TernStatus use_kernels(const void *o) {
    TernModelOptions m = {.size = sizeof m, .kernels = o};
    return tern_model_open(NOWHERE, &m, (TernModel **)&out, &err);
}
static TernModel *model;
static TernPool *pool;
static TernSession *session;
static TernStatus use_session(const void *o) {
    TernSessionBytes bytes = {.size = sizeof bytes};
    return tern_session_bytes(model, pool, o, &bytes, &err);
}
static TernStatus use_lab(const void *o) {
    return tern_lab_run(NULL, o, &err);
}
static TernStatus use_device_check(const void *o) {
    return ternc_check_device(o, ignore, NULL, &same, &err);
}
static TernStatus fill_device(void *o) {
    return tern_device("cpu", o, &err);
}
static char blob_path[] = "/tmp/tern-interface-XXXXXX"; /* a blob of no level */
static TernStatus fill_blob(void *o) {
    return tern_blob_check(blob_path, o, &err);
}
static TernStatus fill_bytes(void *o) {
    return tern_session_bytes(model, pool, NULL, o, &err);
}
static TernStatus fill_memory(void *o) {
    return tern_model_memory(model, o, &err);
}
static TernStatus fill_pages(void *o) {
    return tern_session_pages(session, o, &err);
}
static TernStatus use_profile(const void *o) {
    return tern_profile_create(session, o, (TernProfile **)&out, &err);
}
static TernGenerator *generator, *other;
static TernSlot *slot; /* of the other generator */
static TernEmbedder *embedder;
static TernStatus use_embedder(const void *o) {
    return tern_embedder_create(model, pool, o, (TernEmbedder **)&out, &err);
}
static TernStatus use_embed(const void *o) {
    return tern_embed(embedder, o, 1, NULL, NULL, &err);
}
static TernStatus use_generator(const void *o) {
    return tern_generator_create(model, pool, o, (TernGenerator **)&out, &err);
}
static TernStatus use_request(const void *o) {
    return tern_sequence_create(generator, o, NULL, NULL, (TernSequence **)&out, &err);
}
static TernStatus fill_counts(void *o) {
    return tern_generator_counts(generator, o, &err);
}
static TernStatus fill_generated(void *o) {
    TernRequest r = {.size = sizeof r, .ids = token, .n_ids = 1};
    TernSequence *s;
    return tern_sequence_create(generator, &r, NULL, NULL, &s, &err) ? err.code
                                                                     : tern_sequence_get(s, o, &err);
}
/* The model is the embedded one, which has no template. */
static TernConversation *conversation;
static TernStatus use_conversation(const void *o) {
    return tern_conversation_create(generator, o, (TernConversation **)&out, &err);
}
static TernStatus use_sampler(const void *o) {
    return tern_sampler_create(o, 10, (TernSampler **)&out, &err);
}
static TernStatus use_vocab(const void *o) {
    return tern_vocab_build(o, &out, &n_out, &err);
}
static TernStatus use_source(const void *o) {
    return ternc_vocab(o, &out, &n_out, &err);
}
static TernStatus use_options(const void *o) {
    TerncSource s = {.size = sizeof s, .path = NOWHERE};
    return ternc_load(&s, o, NULL, (TernModel **)&out, &err);
}
static TernStatus use_opt(const void *o) {
    return ternc_opt(o, ignore, NULL, &err);
}
static TernStatus use_eval(const void *o) {
    return ternc_eval(o, ignore, NULL, &err);
}
static TernStatus use_import(const void *o) {
    return ternc_import(o, ignore, NULL, &err);
}
static TernStatus use_diff(const void *o) {
    return ternc_diff(o, ignore, NULL, &same, &err);
}
static TernStatus use_convert(const void *o) {
    return ternc_convert(o, &err);
}
static TernStatus use_picture(const void *o) {
    return ternc_picture(o, ignore, NULL, &err);
}
static TernStatus use_verify(const void *o) {
    return ternc_verify(o, ignore, NULL, &same, &err);
}

typedef TernStatus Use(const void *o);
/* `whole`: a right struct. `needed`: how much of it must be there for the struct to be right. */
static void sizes(const char *name, Use *use, const void *whole, size_t bytes, size_t needed) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char field[64],
        *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory + page, page, PROT_NONE);
    snprintf(field, sizeof field, "%s.size", name);
    for (size_t size = bytes; size >= sizeof size; size -= 4) {
        char *o = memory + page - size; /* what follows cannot be read */
        memcpy(o, whole, size);
        memcpy(o, &size, sizeof size);
        snprintf(why, sizeof why, "%s of %zu bytes before a page that cannot be read", name, size);
        if (!begin()) continue;
        TernStatus st = use(o);
        /* a size inside a field is refused as such, and one without what is needed by the field's name */
        if (size == bytes) end(st, ACCEPTED, name);
        if (size < needed || strstr(err.text, "inside the field")) _exit(0);
        end(st, ACCEPTED, field);
    }
    union {
        size_t size;
        char bytes[1024];
    } o;
    static const size_t wrong[] = {0, 1, 7, (size_t)-1, 1u << 20};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memset(&o, 0, sizeof o);
        memcpy(&o, whole, bytes);
        o.size = wrong[i];
        snprintf(why, sizeof why, "%s with size %zu", name, wrong[i]);
        if (begin()) end(use(&o), REFUSED, field);
    }
    memset(&o, 0, sizeof o);
    memcpy(&o, whole, bytes);
    o.size = bytes + 40;
    snprintf(why, sizeof why, "%s with 40 unknown bytes, zeros", name);
    if (begin()) end(use(&o), ACCEPTED, field);
    o.bytes[bytes + 39] = 1;
    snprintf(why, sizeof why, "%s with 40 unknown bytes, the last one set", name);
    if (begin()) end(use(&o), REFUSED, field);
    munmap(memory, 2 * page);
}

/* The same for a struct that is filled in, as far as its size says. */
typedef TernStatus Fill(void *o);
static void sizes_filled(const char *name, Fill *fill, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char field[64],
        *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory + page, page, PROT_NONE);
    snprintf(field, sizeof field, "%s.size", name);
    for (size_t size = bytes; size >= sizeof size; size -= 4) {
        char *o = memory + page - size; /* what follows cannot be written */
        memset(o, 0xa5, size);
        memcpy(o, &size, sizeof size);
        snprintf(why, sizeof why, "%s of %zu bytes before a page that cannot be written", name, size);
        if (!begin()) continue;
        TernStatus st = fill(o);
        if (size < bytes && strstr(err.text, "inside the field")) _exit(0);
        end(st, ACCEPTED, field);
    }
    static const size_t wrong[] = {0, 1, 7, (size_t)-1, 1u << 20};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(memory, &wrong[i], sizeof wrong[i]);
        snprintf(why, sizeof why, "%s with size %zu", name, wrong[i]);
        if (begin()) end(fill(memory), REFUSED, field);
    }
    size_t more = bytes + 40;
    memset(memory, 0xa5, more);
    memcpy(memory, &more, sizeof more);
    snprintf(why, sizeof why, "%s with 40 unknown bytes: zeros afterwards", name);
    if (begin()) _exit(fill(memory) != TERN_OK || memory[more - 1] != 0 || memory[bytes] != 0);
    munmap(memory, 2 * page);
}
#define SIZES_FILLED(S, fill) sizes_filled(#S, fill, sizeof(S))
#define SIZES(S, use, needed, ...)                                                                           \
    do {                                                                                                     \
        S o = {.size = sizeof o, __VA_ARGS__};                                                               \
        sizes(#S, use, &o, sizeof o, needed);                                                                \
    } while (0)

static TernStatus use_chat(const void *o) {
    static TernChatTemplate *chat;
    TernChatText text;
    if (!chat && tern_chat_template_create((TernText){"{% for i in range(9) %}x{% endfor %}", 36}, &chat,
                                           &err) != TERN_OK)
        return err.code;
    TernStatus st = tern_chat_render(chat, o, &text, &err);
    tern_chat_text_free(&text);
    return st;
}
static size_t scratch(void *user, uint32_t variant, uint32_t launch, const int64_t *sym_max) {
    (void)user, (void)variant, (void)launch, (void)sym_max;
    return 0;
}
static void run(void *user, uint32_t variant, uint32_t launch, const void *args, void *memory) {
    (void)user, (void)variant, (void)launch, (void)args, (void)memory;
}

static void test_sizes(void) {
    const size_t all = 4096;
    TernSamplerOptions sampler = TERN_SAMPLER_OPTIONS;
    TernVocabSource source = TERN_VOCAB_SOURCE;
    SIZES(TernPoolOptions, use_pool, 0, .threads = 1);
    SIZES(TernModelOptions, use_model, 0, .no_check = 1);
    SIZES_FILLED(TernDevice, fill_device);
    SIZES_FILLED(TernBlobInfo, fill_blob);
    SIZES(TernModelOptions, use_ref, 0, .no_check = 1);
    SIZES(TernKernels, use_kernels, all, .scratch = scratch, .run = run);
    SIZES(TerncSource, use_source, 0, .ternary_dense = 0);
    SIZES(TerncOptions, use_options, 0, .context = 0);
    SIZES(TerncOpt, use_opt, 0, .path = NOWHERE);
    SIZES(TerncEval, use_eval, 0, .path = NOWHERE);
    SIZES(TerncImport, use_import, all, .source = NULL);
    SIZES(TerncDiff, use_diff, all, .a = NOWHERE, .b = NOWHERE);
    SIZES(TerncConvert, use_convert, all, .path = NOWHERE, .output = NOWHERE);
    SIZES(TerncPicture, use_picture, all, .path = NOWHERE, .format = "tir");
    SIZES(TerncDeviceCheck, use_device_check, all, .device = NULL);
    SIZES(TernLabLaunch, use_lab, all, .entry = "x", .grid = 1, .threads = 1);
    SIZES(TerncVerify, use_verify, all, .blob = NOWHERE, .tokens = token, .n_tokens = 1);
    sizes("TernSamplerOptions", use_sampler, &sampler, sizeof sampler, 0);
    sizes("TernVocabSource", use_vocab, &source, sizeof source, 0);
    SIZES(TernChatInput, use_chat, 0, .now = 0);
    if (!session) return;
    SIZES(TernSessionOptions, use_session, 0, .slots = 1);
    SIZES_FILLED(TernSessionBytes, fill_bytes);
    SIZES_FILLED(TernModelMemory, fill_memory);
    SIZES_FILLED(TernSessionPages, fill_pages);
    SIZES(TernProfileOptions, use_profile, 0, .events = 0);
    SIZES(TernGeneratorOptions, use_generator, 0, .slots = 1);
    SIZES(TernEmbedderOptions, use_embedder, all, .pooling = TERN_POOLING_MEAN);
    if (embedder)
        SIZES(TernEmbedText, use_embed, offsetof(TernEmbedText, parse_special), .ids = token, .n_ids = 1);
    if (generator) SIZES_FILLED(TernGenerated, fill_generated);
    if (generator) SIZES_FILLED(TernGeneratorCounts, fill_counts);
    if (generator) SIZES(TernConversationOptions, use_conversation, 0, .chat_template = {"x", 1});
    if (generator) SIZES(TernRequest, use_request, offsetof(TernRequest, plain), .ids = token, .n_ids = 1);
}

/* ---- fields */

static void test_compiler(void) {
    static const char *const none[1] = {NULL};
    TernModel **m = (TernModel **)&out;
    FIELD(ternc_vocab(&o, &out, &n_out, &err), "TerncSource.overrides", TerncSource, .n_overrides = 1);
    FIELD(ternc_vocab(&o, &out, &n_out, &err), "TerncSource.overrides[0]", TerncSource, .n_overrides = 1,
          .overrides = none);
    FIELD(ternc_vocab(&o, &out, &n_out, &err), "TerncSource.overrides", TerncSource,
          .n_overrides = UINT32_MAX);
    FIELD(ternc_load(&o, NULL, NULL, m, &err), "TerncSource.path", TerncSource, .path = "");
    FIELD(ternc_load(&o, NULL, NULL, m, &err), "TerncSource.i2s_layout", TerncSource, .i2s_layout = "4x1");
    FIELD(ternc_load(&o, NULL, NULL, m, &err), "TerncSource.tir", TerncSource, .tir = "");
#define OPTIONS(text, ...)                                                                                   \
    FIELD(ternc_load(NULL, &o, NULL, m, &err), text, TerncOptions, __VA_ARGS__);                             \
    FIELD(ternc_compile(NULL, &o, "/nonexistent/o.tern", NULL, &err), text, TerncOptions, __VA_ARGS__);      \
    FIELD(ternc_emit(NULL, &o, "llvm", ignore, NULL, &err), text, TerncOptions, __VA_ARGS__)
    OPTIONS("TerncOptions.levels", .levels = "");
    OPTIONS("TerncOptions.cap", .cap = "");
    FIELD(ternc_load(NULL, &o, NULL, m, &err), "TerncOptions.cap", TerncOptions, .cap = "pentium");
    OPTIONS("TerncOptions.head", .head = "");
    FIELD(ternc_load(NULL, &o, NULL, m, &err), "TerncOptions.head", TerncOptions, .head = "q4");
    OPTIONS("TerncOptions.target", .target = "");
    OPTIONS("TerncOptions.device", .device = "");
    OPTIONS("TerncOptions.tune_seconds", .device = "cpu", .tune_seconds = 1);
    FIELD(ternc_load(NULL, &o, NULL, m, &err), "device 'gpu' is unknown", TerncOptions, .device = "gpu");
    FIELD(ternc_load(NULL, &o, NULL, m, &err), "TerncOptions.device", TerncOptions, .device = "cpu",
          .target = "ref");
    FIELD(ternc_compile(NULL, &o, "/nonexistent/o.tern", NULL, &err), "TerncOptions.device", TerncOptions,
          .device = "cpu");
    OPTIONS("TerncOptions.best", .levels = "ref", .best = 1);
    OPTIONS("TerncOptions.form", .form = "");
    OPTIONS("TerncOptions.form", .form = "zip");
    OPTIONS("TerncOptions.family", .family = "");
    OPTIONS("TerncOptions.family", .family = "zen0");
    OPTIONS("TerncOptions.program", .program = "");
    OPTIONS("TerncOptions.program", .program = "x");
    FIELD(ternc_load(NULL, &o, NULL, m, &err), "TerncOptions.form", TerncOptions, .form = "blob");
    FIELD(ternc_emit(NULL, &o, "llvm", ignore, NULL, &err), "TerncOptions.form", TerncOptions, .form = "obj");
    FIELD(ternc_compile(NULL, &o, "/nonexistent/o.tern", NULL, &err), "TerncOptions.program", TerncOptions,
          .form = "exe");
    OPTIONS("TerncOptions.kvs", .kvs = 1);
    OPTIONS("TerncOptions.kvs", .kvs = 1u << 4);
    OPTIONS("TerncOptions.tune_seconds", .tune_seconds = -1);
    OPTIONS("TerncOptions.tune_seconds", .tune_seconds = (double)NAN);
    OPTIONS("TerncOptions.tune_seconds", .tune_seconds = (double)INFINITY);
    OPTIONS("TerncOptions.tune_threads", .tune_seconds = 1, .tune_threads = UINT32_MAX);
    OPTIONS("TerncOptions.tune_threads", .tune_threads = 2);
    OPTIONS("TerncOptions.tune_cache", .tune_seconds = 1, .tune_cache = "");
    OPTIONS("TerncOptions.tune_cache", .tune_cache = "/nonexistent/c");
    OPTIONS("TerncOptions.tune_write", .tune_write = 1);
    CALL(ternc_compile(NULL, NULL, NULL, NULL, &err), REFUSED, "path");
    CALL(ternc_load(NULL, NULL, NULL, NULL, &err), REFUSED, "out");
    CALL(ternc_emit(NULL, NULL, NULL, ignore, NULL, &err), REFUSED, "kind");
    CALL(ternc_emit(NULL, NULL, "", ignore, NULL, &err), REFUSED, "kind");
    CALL(ternc_emit(NULL, NULL, "llvm", NULL, NULL, &err), REFUSED, "text");
    CALL(ternc_open_ref(NULL, NULL, m, &err), REFUSED, "path");
    CALL(ternc_open_ref(NOWHERE, NULL, NULL, &err), REFUSED, "out");
    CALL(ternc_vocab(NULL, NULL, &n_out, &err), REFUSED, "out");
    CALL(ternc_vocab(NULL, &out, NULL, &err), REFUSED, "out_size");
    CALL(ternc_vocab(NULL, &out, &n_out, &err), ACCEPTED, "");
    CALL(ternc_cost(NULL, 0, (TerncCost **)&out, NULL, &err), REFUSED, "model");
    CALL(ternc_inspect(NULL, NULL, NULL, &err), REFUSED, "text");
}

static void test_texts(void) {
#define OPT(text, ...) FIELD(use_opt(&o), text, TerncOpt, .passes = "fold", __VA_ARGS__)
    OPT("TerncOpt.kv", .kv = 4);
    OPT("TerncOpt.kv", .kv = -1);
    OPT("TerncOpt.path", .path = "");
    OPT("TerncOpt.level", .level = "");
    OPT("TerncOpt.head", .head = "");
    OPT("TerncOpt.family", .family = "");
    OPT("TerncOpt.family", .family = "zen0");
    OPT("TerncOpt.dump_after", .dump_after = "");
    OPT("TerncOpt.rows_lo", .rows_lo = 9, .rows_hi = 2);
    OPT("TerncOpt.rows_lo", .rows_lo = 1, .rows_hi = UINT32_MAX);
    OPT("TerncOpt.effort", .effort = "O2");
    OPT("TerncOpt.variant", .variant = 9);
    FIELD(use_opt(&o), "TerncOpt.effort", TerncOpt, .effort = "fast");
    FIELD(use_opt(&o), "TerncSource.overrides", TerncOpt,
          .source = &(TerncSource){.size = sizeof(TerncSource), .n_overrides = 1});
    FIELD(ternc_opt(&o, NULL, NULL, &err), "text", TerncOpt, .passes = "");
    FIELD(use_eval(&o), "TerncEval.path", TerncEval, .path = "");
    FIELD(use_eval(&o), "TerncEval.weights", TerncEval, .weights = "");
    FIELD(use_eval(&o), "TerncEval.rows", TerncEval, .rows = 65);
    FIELD(use_eval(&o), "TerncEval.variant", TerncEval, .variant = 7);
    FIELD(ternc_eval(&o, NULL, NULL, &err), "text", TerncEval, .rows = 1);
    FIELD(ternc_import(&o, NULL, NULL, &err), "text", TerncImport, .json = 1);
    FIELD(use_diff(&o), "TerncDiff.a", TerncDiff, .b = NOWHERE);
    FIELD(use_diff(&o), "TerncDiff.b", TerncDiff, .a = NOWHERE);
    FIELD(ternc_diff(&o, NULL, NULL, &same, &err), "text", TerncDiff, .a = NOWHERE, .b = NOWHERE);
    FIELD(ternc_diff(&o, ignore, NULL, NULL, &err), "same", TerncDiff, .a = NOWHERE, .b = NOWHERE);
    CALL(use_diff(NULL), REFUSED, "TerncDiff.a");
    FIELD(use_convert(&o), "TerncConvert.path", TerncConvert, .output = NOWHERE);
    FIELD(use_convert(&o), "TerncConvert.output", TerncConvert, .path = NOWHERE);
#define CONVERT(text, ...)                                                                                   \
    FIELD(use_convert(&o), text, TerncConvert, .path = "/", .output = "/dev/null", __VA_ARGS__)
    CONVERT("TerncConvert.type", .type = "");
    CONVERT("TerncConvert.embd", .embd = "");
    CONVERT("TerncConvert.pre", .pre = "");
    CONVERT("TerncConvert.tl_config", .tl_config = "");
    CALL(use_convert(NULL), REFUSED, "TerncConvert.path");
    FIELD(use_picture(&o), "TerncPicture.format", TerncPicture, .path = NULL);
    FIELD(use_picture(&o), "TerncPicture.format", TerncPicture, .format = "png");
#define PICTURE(text, ...) FIELD(use_picture(&o), text, TerncPicture, .format = "dot", __VA_ARGS__)
    PICTURE("TerncPicture.path", .path = "");
    PICTURE("TerncPicture.levels", .levels = "");
    PICTURE("TerncPicture.head", .levels = "ref", .head = "");
    PICTURE("TerncPicture.head", .head = "f16");
    PICTURE("TerncPicture.profile", .profile = "");
    PICTURE("TerncPicture.family", .levels = "ref", .family = "");
    PICTURE("TerncPicture.family", .levels = "ref", .family = "zen0");
    PICTURE("TerncPicture.family", .family = "zen4");
    PICTURE("TerncPicture.layer", .one_layer = 1, .layer = -1);
    PICTURE("TerncPicture.layer", .layer = 2);
    PICTURE("variant", .variant = 9);
    FIELD(ternc_picture(&o, NULL, NULL, &err), "text", TerncPicture, .format = "tir");
#define VERIFY(text, ...) FIELD(use_verify(&o), text, TerncVerify, .n_tokens = 1, __VA_ARGS__)
    VERIFY("TerncVerify.kv", .tokens = token, .kv = 99);
    VERIFY("TerncVerify.kv", .tokens = token, .kv = -1);
    VERIFY("TerncVerify.tokens", .kv = 0);
    VERIFY("TerncVerify.threads", .tokens = token, .threads = UINT32_MAX);
    VERIFY("TerncVerify.blob", .tokens = token, .blob = "");
    VERIFY("TerncVerify.against", .tokens = token, .against = "");
    VERIFY("TerncVerify.reduce", .tokens = token, .reduce = "");
    VERIFY("TerncVerify.seed", .tokens = token, .seed = 1);
    VERIFY("TerncVerify.rows_lo", .tokens = token, .rows_lo = 2, .rows_hi = 3);
    VERIFY("TerncVerify.rows_lo", .tokens = token, .rows_hi = UINT32_MAX);
    FIELD(use_verify(&o), "TerncVerify.n_tokens", TerncVerify, .tokens = token);
#define ON_DEVICE(...) &(TerncOptions){.size = sizeof(TerncOptions), .device = "cuda", __VA_ARGS__}
    VERIFY("TerncOptions.device has no effect on evaluated", .options = ON_DEVICE(.target = "ref"),
           .tokens = token);
    VERIFY("TerncOptions.device has no effect on reduced", .options = ON_DEVICE(), .tokens = token,
           .reduce = "/tmp/x.tir");
    VERIFY("TerncVerify.threads has no effect on a device", .options = ON_DEVICE(), .tokens = token,
           .threads = 2);
    FIELD(use_device_check(&o), "device 'cpu:1' is unknown", TerncDeviceCheck, .device = "cpu:1");
    CALL(ternc_check_device(NULL, NULL, NULL, &same, &err), REFUSED, "text");
    CALL(ternc_check_device(NULL, ignore, NULL, NULL, &err), REFUSED, "same");
    FIELD(ternc_verify(&o, NULL, NULL, &same, &err), "text", TerncVerify, .tokens = token, .n_tokens = 1);
    FIELD(ternc_verify(&o, ignore, NULL, NULL, &err), "same", TerncVerify, .tokens = token, .n_tokens = 1);
    CALL(use_verify(NULL), REFUSED, "TerncVerify.n_tokens");
}

static void test_text(void) {
    TernSamplerOptions good = TERN_SAMPLER_OPTIONS;
    CALL(use_sampler(NULL), ACCEPTED, "TernSamplerOptions");
    CALL(tern_sampler_create(&good, 10, NULL, &err), REFUSED, "out_sampler");
    CALL(tern_sampler_create(&good, 0, (TernSampler **)&out, &err), REFUSED, "n_vocab");
    CALL(tern_sampler_create(&good, (size_t)-1, (TernSampler **)&out, &err), REFUSED, "n_vocab");
#define SAMPLER(text, ...) FIELD(use_sampler(&o), text, TernSamplerOptions, .repeat_penalty = 1, __VA_ARGS__)
    SAMPLER("TernSamplerOptions.temp", .temp = NAN);
    SAMPLER("TernSamplerOptions.top_p", .top_p = 7);
    SAMPLER("TernSamplerOptions.top_p", .top_p = NAN);
    SAMPLER("TernSamplerOptions.top_p", .top_p = -0.5f);
    SAMPLER("TernSamplerOptions.min_p", .min_p = 2);
    SAMPLER("TernSamplerOptions.repeat_last_n", .repeat_last_n = -1);
    SAMPLER("TernSamplerOptions.repeat_last_n", .repeat_last_n = INT32_MAX);
    SAMPLER("TernSamplerOptions.frequency_penalty", .frequency_penalty = NAN);
    SAMPLER("TernSamplerOptions.presence_penalty", .presence_penalty = -101);
    FIELD(use_sampler(&o), "TernSamplerOptions.repeat_penalty", TernSamplerOptions, .temp = 1);
    TernLogitBias far = {10, 1};
    SAMPLER("TernSamplerOptions.bias is NULL although n_bias", .n_bias = 1);
    SAMPLER("TernSamplerOptions.n_bias", .bias = &far, .n_bias = SIZE_MAX);
    SAMPLER("TernSamplerOptions.bias[0].id", .bias = &far, .n_bias = 1);
    static const TernText null_text[1] = {{NULL, 3}};
    FIELD(use_vocab(&o), "TernVocabSource.model", TernVocabSource, .model = {NULL, 4});
    FIELD(use_vocab(&o), "TernVocabSource.pre", TernVocabSource, .pre = {NULL, 4});
    FIELD(use_vocab(&o), "TernVocabSource.chat_template", TernVocabSource, .chat_template = {NULL, 4});
    FIELD(use_vocab(&o), "TernVocabSource.tokens", TernVocabSource, .n_tokens = 4);
    FIELD(use_vocab(&o), "TernVocabSource.types", TernVocabSource, .n_types = 4);
    FIELD(use_vocab(&o), "TernVocabSource.merges", TernVocabSource, .n_merges = 4);
    FIELD(use_vocab(&o), "TernVocabSource.scores", TernVocabSource, .n_scores = 4);
    FIELD(use_vocab(&o), "TernVocabSource.tokens", TernVocabSource, .n_tokens = 1, .tokens = null_text);
    FIELD(use_vocab(&o), "TernVocabSource.merges", TernVocabSource, .n_merges = 1, .merges = null_text);
    FIELD(tern_vocab_build(&o, NULL, &n_out, &err), "out_image", TernVocabSource, .bos = -1);
    FIELD(tern_vocab_build(&o, &out, NULL, &err), "out_size", TernVocabSource, .bos = -1);
    CALL(use_vocab(NULL), REFUSED, "model");

    void *image = NULL;
    size_t bytes, n;
    int32_t id = 0, ids[8] = {0};
    float logits[8] = {0};
    const char *piece;
    TernVocab *v = NULL;
    TernDetok *d = NULL;
    TernSampler *s = NULL;
    if (ternc_vocab(NULL, &image, &bytes, &err) || tern_vocab_open(image, bytes, &v, &err) ||
        tern_detok_create(v, 0, &d, &err) || tern_sampler_create(&good, 8, &s, &err)) {
        printf("FAILED: no vocabulary to try: %s\n", err.text);
        failures++;
        return;
    }
    CALL(tern_vocab_open(NULL, 9, &v, &err), REFUSED, "image");
    CALL(tern_vocab_open(image, bytes, NULL, &err), REFUSED, "out_vocab");
    CALL(tern_vocab_open(image, 0, &v, &err), REFUSED, "image");
    CALL(tern_encode(NULL, "a", 1, 0, ids, 8, &n, &err), REFUSED, "vocab");
    CALL(tern_encode(v, NULL, 1, 0, ids, 8, &n, &err), REFUSED, "text");
    CALL(tern_encode(v, NULL, 0, 0, ids, 8, &n, &err), ACCEPTED, "");
    CALL(tern_encode(v, "a", 1, 4, ids, 8, &n, &err), REFUSED, "flags");
    CALL(tern_encode(v, "a", 1, UINT32_MAX, ids, 8, &n, &err), REFUSED, "flags");
    CALL(tern_encode(v, "a", 1, 0, ids, 8, NULL, &err), REFUSED, "out_n");
    CALL(tern_encode(v, "a", (size_t)-1, 0, ids, 8, &n, &err), REFUSED, "text");
    CALL(tern_encode(v, "a", 1, 0, ids, 8, &n, &err), ACCEPTED, "");
    CALL(tern_decode(NULL, ids, 1, 0, NULL, 0, &n, &err), REFUSED, "vocab");
    CALL(tern_decode(v, NULL, 1, 0, NULL, 0, &n, &err), REFUSED, "ids");
    CALL(tern_decode(v, ids, 1, 2, NULL, 0, &n, &err), REFUSED, "flags");
    CALL(tern_decode(v, ids, 1, 0, NULL, 0, NULL, &err), REFUSED, "out_n");
    CALL(tern_detok_create(NULL, 0, &d, &err), REFUSED, "vocab");
    CALL(tern_detok_create(v, 0, NULL, &err), REFUSED, "out_detok");
    CALL(tern_detok_create(v, 8, &d, &err), REFUSED, "flags");
    CALL(tern_detok_push(NULL, 1, &piece, &n, &err), REFUSED, "detok");
    CALL(tern_detok_push(d, UINT32_MAX, &piece, &n, &err), REFUSED, "token id");
    CALL(tern_detok_push(d, 1, NULL, &n, &err), REFUSED, "out_bytes");
    CALL(tern_detok_push(d, 1, &piece, NULL, &err), REFUSED, "out_size");
    SAFE((tern_detok_flush(NULL, &piece, &n), n == 0));
    TernChatTemplate *chat = NULL;
    TernChatSpan span = {false, 1};
    TernChatText text = {(char *)"a", 1, &span, 1}, made;
    CALL(use_chat(NULL), ACCEPTED, "");
#define CHAT(text, ...) FIELD(use_chat(&o), text, TernChatInput, __VA_ARGS__)
    CHAT("the messages", .messages = {"{}", 2});
    CHAT("TernChatInput.messages is NULL although", .messages = {NULL, 2});
    CHAT("the tools", .tools = {"7", 1});
    CHAT("TernChatInput.tools is NULL although", .tools = {NULL, 2});
    CHAT("the extra variables", .extra = {"[]", 2});
    CHAT("TernChatInput.extra is NULL although", .extra = {NULL, 2});
    CHAT("bos is not UTF-8", .bos = {"\xff", 1});
    CHAT("TernChatInput.bos is NULL although", .bos = {NULL, 2});
    CHAT("eos is not UTF-8", .eos = {"\xff", 1});
    CHAT("TernChatInput.eos is NULL although", .eos = {NULL, 2});
    CHAT("TernChatInput.add_generation_prompt", .add_generation_prompt = 2);
    CHAT("1 steps", .max_steps = 1);  /* TernChatInput.max_steps */
    CHAT("1 bytes", .max_output = 1); /* TernChatInput.max_output */
    CHAT("1 bytes", .max_memory = 1); /* TernChatInput.max_memory */
#undef CHAT
    CALL(tern_chat_template_create((TernText){NULL, 3}, &chat, &err), REFUSED, "source.data");
    CALL(tern_chat_template_create((TernText){"x", 1}, NULL, &err), REFUSED, "out_template");
    CALL(tern_chat_render(NULL, NULL, &made, &err), REFUSED, "chat");
    CALL(tern_chat_encode(NULL, &text, ids, 8, &n, &err), REFUSED, "vocab");
    CALL(tern_chat_encode(v, NULL, ids, 8, &n, &err), REFUSED, "chat");
    CALL(tern_chat_encode(v, &text, ids, 8, NULL, &err), REFUSED, "out_n");
    CALL(tern_chat_encode(v, &(TernChatText){(char *)"ab", 2, &span, 1}, ids, 8, &n, &err), REFUSED, "spans");
    CALL(tern_chat_encode(v, &text, ids, 8, &n, &err), ACCEPTED, "");
    SAFE(tern_chat_template_find(NULL).data == NULL && !tern_chat_template_name(SIZE_MAX));
    SAFE((tern_chat_text_free(NULL), tern_chat_template_destroy(NULL), 1));
    TernStops *stops = NULL;
    const TernText stop = {"a", 1};
    CALL(tern_stops_create(&stop, 1, NULL, &err), REFUSED, "out_stops");
    CALL(tern_stops_create(NULL, 1, &stops, &err), REFUSED, "stops");
    CALL(tern_stops_create(&stop, (size_t)-1, &stops, &err), REFUSED, "n is");
    CALL(tern_stops_create(&(TernText){"", 0}, 1, &stops, &err), REFUSED, "stops[0]");
    CALL(tern_stops_create(NULL, 0, &stops, &err), ACCEPTED, "");
    if (tern_stops_create(&stop, 1, &stops, &err)) failures++;
    CALL(tern_stops_push(NULL, "a", 1, &piece, &n, &bytes, &err), REFUSED, "stops");
    CALL(tern_stops_push(stops, NULL, 1, &piece, &n, &bytes, &err), REFUSED, "bytes");
    CALL(tern_stops_push(stops, "a", 1, NULL, &n, &bytes, &err), REFUSED, "out_bytes");
    CALL(tern_stops_push(stops, "a", 1, &piece, NULL, &bytes, &err), REFUSED, "out_size");
    CALL(tern_stops_push(stops, "a", 1, &piece, &n, NULL, &err), REFUSED, "out_stop");
    CALL(tern_stops_push(stops, "a", 1, &piece, &n, &bytes, &err), ACCEPTED, "");
    SAFE((tern_stops_flush(NULL, &piece, &n), tern_stops_destroy(NULL), n == 0));
    CALL(tern_sampler_pick_id(NULL, 1, &id, &err), REFUSED, "sampler");
    CALL(tern_sampler_pick_id(s, 1, NULL, &err), REFUSED, "out_id");
    CALL(tern_sampler_pick_top(NULL, ids, logits, 8, &id, &err), REFUSED, "sampler");
    CALL(tern_sampler_pick_top(s, NULL, logits, 8, &id, &err), REFUSED, "ids");
    CALL(tern_sampler_pick_top(s, ids, NULL, 8, &id, &err), REFUSED, "logits");
    CALL(tern_sampler_pick_top(s, ids, logits, 8, NULL, &err), REFUSED, "out_id");
    CALL(tern_sampler_pick_logits(NULL, logits, 8, &id, &err), REFUSED, "sampler");
    CALL(tern_sampler_pick_logits(s, NULL, 8, &id, &err), REFUSED, "logits");
    CALL(tern_sampler_pick_logits(s, logits, 8, NULL, &err), REFUSED, "out_id");
    CALL(tern_sampler_pick_logits(s, logits, 8, &id, &err), ACCEPTED, "");
    CALL(tern_sampler_pick_allowed(NULL, logits, 8, NULL, &id, &err), REFUSED, "sampler");
    CALL(tern_sampler_pick_allowed(s, NULL, 8, NULL, &id, &err), REFUSED, "logits");
    CALL(tern_sampler_pick_allowed(s, logits, 8, NULL, NULL, &err), REFUSED, "out_id");
    CALL(tern_sampler_try_top(NULL, ids, logits, 8, NULL, &id, &err), REFUSED, "sampler");
    CALL(tern_sampler_try_top(s, NULL, logits, 8, NULL, &id, &err), REFUSED, "ids");
    CALL(tern_sampler_try_top(s, ids, NULL, 8, NULL, &id, &err), REFUSED, "logits");
    CALL(tern_sampler_try_top(s, ids, logits, 8, NULL, NULL, &err), REFUSED, "out_id");
    CALL(tern_sampler_try_top(s, ids, logits, 0, NULL, &id, &err), REFUSED, "the top 0 ids");
    SAFE(!tern_sampler_tries_top(NULL));
    SAFE((tern_sampler_accept(NULL, ids, 1), !tern_sampler_want(NULL).kind && !tern_sampler_get_seed(NULL)));
    CALL(tern_lookup_create(0, (TernLookup **)&out, &err), REFUSED, "capacity");
    CALL(tern_lookup_create((size_t)-1, (TernLookup **)&out, &err), REFUSED, "capacity");
    CALL(tern_lookup_create(8, NULL, &err), REFUSED, "out_lookup");
    CALL(tern_lookup_create(8, (TernLookup **)&out, &err), ACCEPTED, "");
    SAFE((tern_lookup_accept(NULL, ids, 1), tern_lookup_guess(NULL, ids, 8) == 0));
    CALL(tern_phrases_create(63, (TernPhrases **)&out, &err), REFUSED, "bytes is 63, expected 64 to");
    CALL(tern_phrases_create((size_t)-1, (TernPhrases **)&out, &err), REFUSED, "bytes");
    CALL(tern_phrases_create(64, NULL, &err), REFUSED, "out_phrases");
    CALL(tern_phrases_create(64, (TernPhrases **)&out, &err), ACCEPTED, "");
    SAFE((tern_lookup_share(NULL, NULL), true));
}

static void test_runtime(void) {
    TernPool **p = (TernPool **)&out;
    TernModel **m = (TernModel **)&out;
    static const uint32_t cpu[1] = {0};
    static const char nothing[64] __attribute__((aligned(64)));
    static const TernKernels kernels = {.size = sizeof kernels, .scratch = scratch, .run = run};
    FIELD(use_pool(&o), "TernPoolOptions.threads", TernPoolOptions, .threads = UINT32_MAX);
    FIELD(use_pool(&o), "TernPoolOptions.cpus", TernPoolOptions, .threads = 1, .n_cpus = 3);
    FIELD(use_pool(&o), "TernPoolOptions.n_cpus", TernPoolOptions, .threads = 1, .cpus = cpu);
    CALL(tern_pool_create(NULL, NULL, &err), REFUSED, "out");
    CALL(tern_pool_create(NULL, p, &err), ACCEPTED, "");
    SAFE(tern_pool_threads(NULL) == 0);
    CALL(tern_model_open(NULL, NULL, m, &err), REFUSED, "path");
    FIELD(tern_model_open(NOWHERE, &o, m, &err), "device 'gpu' is unknown", TernModelOptions,
          .device = "gpu");
    FIELD(tern_model_open(NOWHERE, &o, m, &err), "TernModelOptions.device", TernModelOptions, .device = "cpu",
          .kernels = &kernels);
    CALL(tern_blob_check(NULL, &(TernBlobInfo){.size = sizeof(TernBlobInfo)}, &err), REFUSED, "path");
    CALL(tern_blob_check(NOWHERE, NULL, &err), REFUSED, "out");
    CALL(tern_device(NULL, (TernDevice *)&out, &err), REFUSED, "device");
    CALL(tern_device("cpu", NULL, &err), REFUSED, "out");
    CALL(tern_devices(NULL, &err), REFUSED, "out");
    CALL(tern_lab_open(NULL, (TernLab **)&out, &err), REFUSED, "device");
    CALL(tern_lab_open("cuda", NULL, &err), REFUSED, "out");
    CALL(tern_lab_open("cpu", (TernLab **)&out, &err), REFUSED, "device 'cpu' is unknown");
    CALL(tern_lab_load(NULL, "x", &err), REFUSED, "lab");
    CALL(tern_lab_run(NULL, NULL, &err), REFUSED, "launch");
    FIELD(use_lab(&o), "lab is NULL", TernLabLaunch, .entry = "x", .grid = 1, .threads = 1);
    FIELD(use_lab(&o), "entry", TernLabLaunch, .grid = 1, .threads = 1);
    FIELD(use_lab(&o), "TernLabLaunch: a grid", TernLabLaunch, .entry = "x", .threads = 1);
    FIELD(use_lab(&o), "TernLabLaunch: a grid", TernLabLaunch, .entry = "x", .grid = 1);
    FIELD(use_lab(&o), "grid_y is 65536", TernLabLaunch, .entry = "x", .grid = 1, .threads = 1,
          .grid_y = 65536);
    FIELD(use_lab(&o), "n_buffers 1", TernLabLaunch, .entry = "x", .grid = 1, .threads = 1, .n_buffers = 1);
    FIELD(use_lab(&o), "buffers[0].data", TernLabLaunch, .entry = "x", .grid = 1, .threads = 1,
          .n_buffers = 1, .buffers = &(TernLabBuffer){.bytes = 1});
    CALL(tern_model_open(NOWHERE, NULL, NULL, &err), REFUSED, "out");
    CALL(tern_model_open_memory(NULL, 64, NULL, m, &err), REFUSED, "bytes");
    CALL(tern_model_open_memory(nothing, 64, NULL, NULL, &err), REFUSED, "out");
    SAFE((tern_model_info(NULL, &(TernModelInfo){0}), 1));
    SAFE((tern_model_limit(NULL, 1), 1));
    CALL(tern_model_memory(NULL, &(TernModelMemory){.size = sizeof(TernModelMemory)}, &err), REFUSED,
         "model");
    FIELD(use_kernels(&o), "TernKernels.scratch", TernKernels, .run = run);
    FIELD(use_kernels(&o), "TernKernels.run", TernKernels, .scratch = scratch);
    FIELD(use_ref(&o), "TernModelOptions.kernels", TernModelOptions, .kernels = (const TernKernels *)nothing);
    CALL(tern_session_create(NULL, NULL, NULL, (TernSession **)&out, &err), REFUSED, "model is NULL");
    CALL(tern_session_bytes(NULL, NULL, NULL, NULL, &err), REFUSED, "model is NULL");
    CALL(tern_session_step(NULL, NULL, 0, sink, NULL, &err), REFUSED, "session");
    CALL(tern_session_truncate(NULL, 0, 0, &err), REFUSED, "session");
    CALL(tern_session_fork(NULL, 0, 0, &err), REFUSED, "session");
    CALL(tern_session_read_page(NULL, 0, 0, 1, &out, &err), REFUSED, "session");
    CALL(tern_session_append_page(NULL, 0, &out, 1, &err), REFUSED, "session");
    SAFE(tern_session_page_bytes(NULL) == 0);
    SAFE(tern_session_length(NULL, 0) == 0);
    SAFE(tern_session_gives(NULL, TERN_WANT_GREEDY) == 0);
    SAFE(tern_session_lacks(NULL, NULL, 0) == 0);
    CALL(tern_session_pages(NULL, &(TernSessionPages){.size = sizeof(TernSessionPages)}, &err), REFUSED,
         "session");
    CALL(tern_profile_create(NULL, NULL, (TernProfile **)&out, &err), REFUSED, "session");
    if (!session) return;
    TernSession **s = (TernSession **)&out;
    CALL(tern_session_create(model, pool, NULL, NULL, &err), REFUSED, "out");
    CALL(tern_session_bytes(model, pool, NULL, NULL, &err), REFUSED, "out");
    CALL(tern_model_memory(model, NULL, &err), REFUSED, "out");
    CALL(tern_session_create(model, NULL, NULL, s, &err), REFUSED, "pool is NULL");
#define SESSION(text, ...)                                                                                   \
    FIELD(tern_session_create(model, pool, &o, s, &err), text, TernSessionOptions, __VA_ARGS__)
    SESSION("kv", .kv = 4); /* TernSessionOptions.kv */
    SESSION("kv", .kv = -1);
    SESSION("slots", .slots = UINT32_MAX);     /* TernSessionOptions.slots */
    SESSION("context", .context = UINT32_MAX); /* TernSessionOptions.context */
    SESSION("batch", .batch = UINT32_MAX);     /* TernSessionOptions.batch */
    SESSION("wants", .wants = UINT32_MAX);     /* TernSessionOptions.wants */
    SESSION("hidden", .hidden = UINT32_MAX);   /* TernSessionOptions.hidden */
    SESSION("pages", .pages = UINT32_MAX);     /* TernSessionOptions.pages */
    SESSION("TernSessionOptions.memory", .memory = (void *)&out, .memory_bytes = 3);
    SESSION("TernSessionOptions.memory is NULL although memory_bytes", .memory_bytes = 1u << 30);
    FIELD(tern_profile_create(session, &o, (TernProfile **)&out, &err), "TernProfileOptions.events",
          TernProfileOptions, .events = UINT32_MAX);
    CALL(tern_profile_create(session, NULL, NULL, &err), REFUSED, "out");
    CALL(tern_session_step(session, NULL, 1, sink, NULL, &err), REFUSED, "rows");
    static const struct {
        TernRow row;
        const char *text;
    } wrong[] = {
        {{-1, 0, 0}, "token"},        {{INT32_MAX, 0, 0}, "token"}, {{1, 1, 0}, "slot"},
        {{1, UINT32_MAX, 0}, "slot"}, {{1, 0, 5}, "want"},          {{1, 0, UINT32_MAX}, "want"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CALL(tern_session_step(session, &wrong[i].row, 1, sink, NULL, &err), REFUSED, wrong[i].text);
    CALL(tern_session_step(session, &(TernRow){1, 0, TERN_WANT_GREEDY}, 1, NULL, NULL, &err), ACCEPTED, "");
    CALL(tern_session_truncate(session, 1, 0, &err), REFUSED, "slot");
    CALL(tern_session_truncate(session, 0, 5, &err), REFUSED, "positions");
    CALL(tern_session_truncate(session, 0, 0, &err), ACCEPTED, "");
    CALL(tern_session_fork(session, 0, UINT32_MAX, &err), REFUSED, "slot");
    CALL(tern_session_fork(session, UINT32_MAX, 0, &err), REFUSED, "slot");
}

static void test_conversation(void) {
    TernGenerated got = {.size = sizeof got};
    TernRequest plain = {.size = sizeof plain, .plain = 1};
    static const TernText none = {NULL, 3}, text = {"x", 1}, bad = {"\xff", 1};
    TernConversation *c = conversation;
    const int32_t *ids;
    CALL(tern_conversation_create(NULL, NULL, &c, &err), REFUSED, "generator");
    CALL(tern_conversation_add(NULL, "user", text, &err), REFUSED, "conversation");
    CALL(tern_conversation_set_system(NULL, text, &err), REFUSED, "conversation");
    CALL(tern_conversation_undo(NULL, &err), REFUSED, "conversation");
    CALL(tern_conversation_undo_answer(NULL, &err), REFUSED, "conversation");
    CALL(tern_conversation_clear(NULL, &err), REFUSED, "conversation");
    CALL(tern_conversation_save(NULL, "/nonexistent/a", &err), REFUSED, "conversation");
    CALL(tern_conversation_load(NULL, "/nonexistent/a", &err), REFUSED, "conversation");
    CALL(tern_conversation_load_text(NULL, text, "a", &err), REFUSED, "conversation");
    CALL(tern_messages_check(text, NULL, &err), REFUSED, "name");
    CALL(tern_messages_check(none, "a", &err), REFUSED, "json.data");
    CALL(tern_messages_check(text, "a", &err), REFUSED, "a: ");
    CALL(tern_conversation_ask(NULL, text, NULL, NULL, NULL, &got, &err), REFUSED, "conversation");
    CALL(tern_conversation_answer(NULL, NULL, NULL, NULL, &got, &err), REFUSED, "conversation");
    CALL(tern_conversation_begin(NULL, NULL, NULL, NULL, &err), REFUSED, "conversation");
    CALL(tern_conversation_end(NULL, &got, &err), REFUSED, "conversation");
    CALL(tern_conversation_ids(NULL, &ids, &n_out, &err), REFUSED, "conversation");
    SAFE(tern_conversation_count(NULL) == 0 && tern_conversation_dropped(NULL) == 0);
    SAFE(!tern_conversation_running(NULL) && !tern_conversation_message(NULL, 0).role);
    if (!c) return;
    CALL(tern_conversation_create(generator, NULL, NULL, &err), REFUSED, "out");
    CALL(tern_conversation_add(c, NULL, text, &err), REFUSED, "role");
    CALL(tern_conversation_add(c, "user", none, &err), REFUSED, "content");
    CALL(tern_conversation_add(c, "user", bad, &err), REFUSED, "UTF-8");
    CALL(tern_conversation_set_system(c, none, &err), REFUSED, "content");
    CALL(tern_conversation_undo(c, &err), REFUSED, "no turn");
    CALL(tern_conversation_undo_answer(c, &err), REFUSED, "no message");
    CALL(tern_conversation_save(c, NULL, &err), REFUSED, "path");
    CALL(tern_conversation_load(c, NULL, &err), REFUSED, "path");
    CALL(tern_conversation_load_text(c, text, NULL, &err), REFUSED, "name");
    CALL(tern_conversation_load_text(c, none, "a", &err), REFUSED, "json.data");
    CALL(tern_conversation_ask(c, text, &plain, NULL, NULL, &got, &err), REFUSED, "TernRequest.plain");
    CALL(tern_conversation_end(c, &got, &err), REFUSED, "no answer");
    CALL(tern_conversation_ids(c, NULL, &n_out, &err), REFUSED, "out");
    CALL(tern_conversation_ids(c, &ids, NULL, &err), REFUSED, "out");
#define CONVERSATION(text, ...) FIELD(use_conversation(&o), text, TernConversationOptions, __VA_ARGS__)
    CONVERSATION("TernConversationOptions.chat_template", .chat_template = none);
    CONVERSATION("TernConversationOptions.tools", .chat_template = text, .tools = none);
    CONVERSATION("TernConversationOptions.variables", .chat_template = text, .variables = none);
    CONVERSATION("TernConversationOptions.full", .chat_template = text, .full = (TernFull)2);
    CONVERSATION("TernConversationOptions.reserve", .chat_template = text, .reserve = UINT32_MAX);
}

static void test_generate(void) {
    TernSequence **s = (TernSequence **)&out;
    TernGenerated got = {.size = sizeof got};
    static const TernText none = {NULL, 3};
    TernSamplerOptions sampler = TERN_SAMPLER_OPTIONS;
    sampler.top_p = 2;
    CALL(tern_generator_create(NULL, pool, NULL, (TernGenerator **)&out, &err), REFUSED, "model is NULL");
    CALL(tern_generator_bytes(NULL, pool, NULL, &(TernSessionBytes){.size = sizeof(TernSessionBytes)}, &err),
         REFUSED, "model is NULL");
    CALL(tern_generator_step(NULL, &err), REFUSED, "generator");
    CALL(tern_sequence_status(NULL, &err), REFUSED, "sequence");
    CALL(tern_sequence_create(NULL, NULL, NULL, NULL, s, &err), REFUSED, "generator");
    CALL(tern_generate(NULL, NULL, NULL, NULL, &got, &err), REFUSED, "generator");
    SAFE((tern_sequence_hold(NULL, 1), 1));
    SAFE((tern_generator_cancel(NULL), tern_sequence_cancel(NULL), tern_generator_running(NULL) == 0));
    SAFE(tern_generator_session(NULL) == NULL);
    CALL(tern_sequence_get(NULL, &got, &err), REFUSED, "sequence");
    CALL(tern_generator_counts(NULL, &(TernGeneratorCounts){.size = sizeof(TernGeneratorCounts)}, &err),
         REFUSED, "generator");
    CALL(tern_slot_create(NULL, (TernSlot **)&out, &err), REFUSED, "generator");
    CALL(tern_slot_truncate(NULL, 0, &err), REFUSED, "slot");
    CALL(tern_slot_save(NULL, 1, NOWHERE, &err), REFUSED, "slot");
    CALL(tern_slot_load(NULL, NOWHERE, NULL, 0, NULL, &err), REFUSED, "slot");
    CALL(tern_slot_load(NULL, NULL, NULL, 0, NULL, &err), REFUSED, "path");
    CALL(tern_slot_load(NULL, NOWHERE, NULL, 1, NULL, &err), REFUSED, "ids");
    SAFE(tern_slot_ids(NULL, NULL) == NULL);
    CALL(fill_generated(NULL), REFUSED, "out");
    if (!generator) return;
    CALL(tern_generator_create(model, NULL, NULL, (TernGenerator **)&out, &err), REFUSED, "pool is NULL");
    CALL(tern_generator_create(model, pool, NULL, NULL, &err), REFUSED, "out");
    CALL(tern_generator_bytes(model, pool, NULL, NULL, &err), REFUSED, "out");
    CALL(tern_sequence_create(generator, NULL, NULL, NULL, s, &err), REFUSED, "request");
    CALL(tern_sequence_create(generator, &(TernRequest){.size = sizeof(TernRequest)}, NULL, NULL, NULL, &err),
         REFUSED, "out");
    CALL(tern_slot_create(generator, NULL, &err), REFUSED, "out");
    if (slot) {
        CALL(tern_slot_truncate(slot, 1, &err), REFUSED, "n is 1");
        FIELD(use_request(&o), "TernRequest.slot", TernRequest, .ids = token, .n_ids = 1, .slot = slot);
    }
#define GENERATOR(text, ...) FIELD(use_generator(&o), text, TernGeneratorOptions, __VA_ARGS__)
    GENERATOR("TernGeneratorOptions.slots", .slots = UINT32_MAX);
    GENERATOR("TernGeneratorOptions.context", .context = UINT32_MAX);
    GENERATOR("TernGeneratorOptions.batch", .batch = UINT32_MAX);
    GENERATOR("TernGeneratorOptions.draft_max", .draft_max = UINT32_MAX);
    GENERATOR("TernGeneratorOptions.draft_max", .slots = 8, .batch = 8, .draft_max = 1);
    GENERATOR("TernGeneratorOptions.draft_memory", .draft_memory = 64);
    GENERATOR("TernGeneratorOptions.draft_memory", .draft_max = 1, .draft_memory = 63);
    GENERATOR("kv", .kv = 4); /* TernGeneratorOptions.kv */
    GENERATOR("TernGeneratorOptions.max_pause", .max_pause = -1);
    GENERATOR("TernGeneratorOptions.max_pause", .max_pause = (double)NAN);
    GENERATOR("TernGeneratorOptions.stored", .stored = UINT32_MAX);
    GENERATOR("TernGeneratorOptions.pages", .pages = 1, .slots = 2);
    GENERATOR("TernGeneratorOptions.pages", .pages = UINT32_MAX);
    CALL(tern_embedder_create(NULL, pool, NULL, (TernEmbedder **)&out, &err), REFUSED, "model is NULL");
    CALL(tern_embedder_create(model, NULL, NULL, (TernEmbedder **)&out, &err), REFUSED, "pool is NULL");
    CALL(tern_embedder_create(model, pool, NULL, NULL, &err), REFUSED, "out");
    CALL(tern_embedder_bytes(NULL, pool, NULL, NULL, &err), REFUSED, "model is NULL");
    CALL(tern_embedder_bytes(model, pool, NULL, NULL, &err), REFUSED, "out");
    CALL(tern_embed(NULL, NULL, 0, NULL, NULL, &err), REFUSED, "embedder");
    CALL(tern_embed_begin(NULL, NULL, 0, NULL, NULL, &err), REFUSED, "embedder");
    int more = 0;
    CALL(tern_embed_step(NULL, 0, &more, &err), REFUSED, "embedder");
    SAFE((tern_embed_end(NULL), true));
    SAFE(tern_embedder_session(NULL) == NULL);
#define EMBEDDER(text, ...)                                                                                  \
    FIELD(use_embedder(&o), text, TernEmbedderOptions, .pooling = TERN_POOLING_MEAN, __VA_ARGS__)
    EMBEDDER("TernEmbedderOptions.slots", .slots = UINT32_MAX);
    EMBEDDER("TernEmbedderOptions.context", .context = UINT32_MAX);
    EMBEDDER("TernEmbedderOptions.batch", .batch = UINT32_MAX);
    EMBEDDER("TernEmbedderOptions.normalize", .normalize = (TernNormalize)3);
    EMBEDDER("kv", .kv = 4); /* TernEmbedderOptions.kv */
    FIELD(use_embedder(&o), "TernEmbedderOptions.pooling", TernEmbedderOptions, .pooling = (TernPooling)5);
    FIELD(use_embedder(&o), "TernEmbedderOptions.pooling", TernEmbedderOptions, .slots = 1);
#define EMBED(text, ...) FIELD(use_embed(&o), text, TernEmbedText, __VA_ARGS__)
    if (embedder) {
        CALL(tern_embed(embedder, NULL, 1, NULL, NULL, &err), REFUSED, "texts is NULL");
        EMBED("text 0: it has no tokens", .ids = token);
        EMBED("TernEmbedText.text is NULL", .text = none);
        EMBED("TernEmbedText.ids is set", .text = {"a", 1}, .ids = token);
        EMBED("TernEmbedText.ids is set", .text = {"a", 1}, .n_ids = 1);
        EMBED("TernEmbedText.ids is NULL although n_ids", .n_ids = 1);
        EMBED("TernEmbedText.parse_special", .ids = token, .n_ids = 1, .parse_special = 1);
        CALL(use_embed(&(TernEmbedText){.size = sizeof(TernEmbedText), .text = {"a", 1}}), ACCEPTED, "");
    }
#define REQUEST(text, ...) FIELD(use_request(&o), text, TernRequest, __VA_ARGS__)
    REQUEST("empty", .max_tokens = 1);
    REQUEST("TernRequest.text", .text = none);
    REQUEST("TernRequest.ids", .text = {"a", 1}, .ids = token);
    REQUEST("TernRequest.ids", .text = {"a", 1}, .n_ids = 1);
    REQUEST("TernRequest.ids is NULL although n_ids", .n_ids = 1);
    REQUEST("TernRequest.plain", .ids = token, .n_ids = 1, .plain = 1);
    REQUEST("TernRequest.parse_special", .ids = token, .n_ids = 1, .parse_special = 1);
    REQUEST("TernRequest.draft_max", .ids = token, .n_ids = 1, .draft_max = 1);
    REQUEST("TernRequest.stop_ids is NULL although n_stop_ids", .ids = token, .n_ids = 1, .n_stop_ids = 1);
    REQUEST("TernRequest.stops is NULL although n_stops", .ids = token, .n_ids = 1, .n_stops = 1);
    REQUEST("stops[0]", .ids = token, .n_ids = 1, .stops = &none, .n_stops = 1);
    REQUEST("TernRequest.ignore_eog is set", .ids = token, .n_ids = 1, .ignore_eog = 1,
            .grammar = (TernGrammar *)&none); /* TernRequest.grammar */
    REQUEST("TernRequest.logprobs is 22", .ids = token, .n_ids = 1, .logprobs = 22);
    REQUEST("TernSamplerOptions.top_p", .ids = token, .n_ids = 1,
            .sampler = &sampler); /* TernRequest.sampler */
    CALL(use_request(&(TernRequest){.size = sizeof(TernRequest), .text = {"a", 1}}), ACCEPTED, "");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    TernPoolOptions one = {.size = sizeof one, .threads = 1}; /* no threads: rows fork */
    TerncOptions ref = {.size = sizeof ref, .levels = "ref"};
    close(mkstemp(blob_path));
    if (ternc_compile(NULL, &ref, blob_path, NULL, &err)) {
        printf("FAILED: no blob to try: %s\n", err.text);
        failures++;
    }
    TernSessionOptions small = {.size = sizeof small, .context = 64};
    if (ternc_load(NULL, &ref, NULL, &model, &err) || tern_pool_create(&one, &pool, &err) ||
        tern_session_create(model, pool, &small, &session, &err)) {
        printf("FAILED: no session to try: %s\n", err.text);
        failures++;
    }
    TernGeneratorOptions few = {.size = sizeof few, .context = 64};
    if (session && tern_generator_create(model, pool, &few, &generator, &err)) {
        printf("FAILED: no generator to try: %s\n", err.text);
        failures++;
    }
    if (session &&
        (tern_generator_create(model, pool, &few, &other, &err) || tern_slot_create(other, &slot, &err))) {
        printf("FAILED: no slot to try: %s\n", err.text);
        failures++;
    }
    TernConversationOptions fixed = {.size = sizeof fixed, .chat_template = {"x", 1}};
    TernGenerator *third = NULL;
    if (session && (tern_generator_create(model, pool, &few, &third, &err) ||
                    tern_conversation_create(third, &fixed, &conversation, &err))) {
        printf("FAILED: no conversation to try: %s\n", err.text);
        failures++;
    }
    TernEmbedderOptions mean = {.size = sizeof mean, .context = 64, .pooling = TERN_POOLING_MEAN};
    if (session && tern_embedder_create(model, pool, &mean, &embedder, &err)) {
        printf("FAILED: no embedder to try: %s\n", err.text);
        failures++;
    }
    test_sizes();
    test_compiler();
    test_texts();
    test_text();
    test_runtime();
    test_generate();
    test_conversation();
    unlink(blob_path);
    printf("interface: %d rows, %d failures\n", rows, failures);
    tern_embedder_destroy(embedder);
    tern_conversation_destroy(conversation);
    tern_generator_destroy(third);
    tern_slot_destroy(slot);
    tern_generator_destroy(other);
    tern_generator_destroy(generator);
    tern_session_destroy(session);
    tern_pool_destroy(pool);
    tern_model_close(model);
    return failures != 0;
}
