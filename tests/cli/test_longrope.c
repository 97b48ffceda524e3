/* `verify` of a longrope model takes the factors that the context chooses: long ones if it is longer than the first, and
 * beside a blob those that the blob was compiled with. */
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
#include "frontends/api/ternc_tools.h"
#include "runtime/base/buf.h"
#include "support/gguf_model.h"

enum { FIRST = 16, FEW = 12, MANY = 24, PAIRS = 16 };

static char folder[] = "/tmp/tern-longrope-XXXXXX";
static const char *target; /* "ref" where nothing compiles */

static void take(void *user, const char *what, const char *text, size_t n) {
    if (strcmp(what, "result") != 0) return;
    tn_buf_put(user, text, n);
    tn_buf_puts(user, "");
}

/* A small MiniCPM with both vectors of factors, which may change places. */
static void write_model(const char *path, bool swapped) {
    static const char *const names[] = {"rope_factors_short.weight", "rope_factors_long.weight"};
    TnGmSpec s = tn_gm_tiny;
    s.arch = "minicpm", s.hidden = 128, s.heads = 4, s.kv_heads = 2, s.context = 64;
    s.scaling = "longrope", s.scaling_factor = 1, s.scaling_context = FIRST;
    TnGw *w = tn_gm_create(&s);
    for (int t = 0; t < 2; t++) {
        float factors[PAIRS];
        for (int i = 0; i < PAIRS; i++) factors[i] = (t == 1) != swapped ? 1 + (float)i : 1;
        tn_gw_tensor(w, names[t], GW_T_F32, 1, (uint64_t[]){PAIRS}, NULL, NULL);
        tn_gw_data(w, names[t], factors, sizeof factors);
    }
    assert_true(tn_gw_file(w, path));
    tn_gw_destroy(w);
}

static TernStatus verify(TerncVerify v, uint32_t context, int *same, TernError *err) {
    int32_t tokens[MANY];
    for (int32_t i = 0; i < MANY; i++) tokens[i] = 3 + i * 7 % 80;
    TerncOptions o = {.size = sizeof o, .context = context, .target = target};
    TnBuf says = {0};
    v.size = sizeof v, v.options = &o, v.tokens = tokens, v.threads = 2;
    TernStatus st = ternc_verify(&v, take, &says, same, err);
    tn_buf_free(&says);
    return st;
}

static bool is_equal(TerncVerify v, uint32_t context) {
    TernError err = {0};
    int same = 0;
    if (verify(v, context, &same, &err) != TERN_OK) fail_msg("%s", err.text);
    return same;
}

static void compile(const char *model, const char *blob, uint32_t context) {
    TerncSource source = {.size = sizeof source, .path = model};
    TerncOptions o = {
        .size = sizeof o, .context = context, .levels = target, .target = target, .kvs = 1u << TERN_KV_F16};
    TernError err = {0};
    if (ternc_compile(&source, &o, blob, NULL, &err) != TERN_OK) fail_msg("%s", err.text);
}

static void a_model_for_either_context(void **state) {
    (void)state;
    TerncSource source = {.size = sizeof source, .path = "m.gguf"};
    TernError err = {0};
    int same;
    assert_true(is_equal((TerncVerify){.source = &source, .n_tokens = FEW}, 0));
    assert_true(is_equal((TerncVerify){.source = &source, .n_tokens = MANY}, 64));
    assert_int_equal(verify((TerncVerify){.source = &source, .n_tokens = MANY}, 0, &same, &err),
                     TERN_ERR_INPUT);
    assert_string_equal(err.text, "24 tokens, but the model has 16 positions");
    assert_int_equal(verify((TerncVerify){.source = &source, .n_tokens = FEW}, 65, &same, &err),
                     TERN_ERR_INPUT);
    assert_string_equal(err.text, "compile: context 65, expected at most the model's 64");
}

static void a_blob_beside_its_model(void **state) {
    (void)state;
    compile("m.gguf", "short.tern", 0);
    compile("m.gguf", "long.tern", 64);
    for (int i = 0; i < 2; i++) {
        const char *blob = i ? "long.tern" : "short.tern";
        uint32_t n = i ? MANY : FEW;
        assert_true(is_equal((TerncVerify){.blob = blob, .against = "m.gguf", .n_tokens = n}, 0));
        assert_false(is_equal((TerncVerify){.blob = blob, .against = "swapped.gguf", .n_tokens = n}, 0));
    }
}

/* Without code, both graphs have the factors of the same context. */
static void a_graph_beside_another(void **state) {
    (void)state;
    TerncSource source = {.size = sizeof source, .path = "m.gguf"};
    assert_true(is_equal((TerncVerify){.source = &source, .against = "m.gguf", .n_tokens = MANY}, 64));
    assert_false(is_equal((TerncVerify){.source = &source, .against = "swapped.gguf", .n_tokens = MANY}, 64));
}

static int enter(void **state) {
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    target = *native_levels() ? NULL : "ref";
    write_model("m.gguf", false);
    write_model("swapped.gguf", true);
    return 0;
}

static int leave(void **state) {
    (void)state;
    static const char *const names[] = {"m.gguf", "swapped.gguf", "short.tern", "long.tern"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(names[i]);
    return chdir("/") || rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_for_either_context),
        cmocka_unit_test(a_blob_beside_its_model),
        cmocka_unit_test(a_graph_beside_another),
    };
    return cmocka_run_group_tests_name("longrope", tests, enter, leave);
}
