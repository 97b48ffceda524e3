/* Damaged models from start to end: a file that is cut short, has a flipped byte or wrong keys is compiled,
 * given a session and stepped, or it is refused on the way with one line. A damaged blob is always refused,
 * with a line that names the head, the section or the padding. Nothing may crash or take long. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "cli/native.h"
#include "frontends/api/ternc.h"
#include "runtime/base/os.h"
#include "support/gguf_model.h"

enum { CASES = 200, SECONDS = 600, BY_LLVM = 8 };

static const TnGmSpec spec = {.arch = "bitnet",
                              .hidden = 128,
                              .ffn = 128,
                              .layers = 1,
                              .heads = 2,
                              .kv_heads = 1,
                              .head_dim = 64,
                              .context = 64,
                              .vocab = 300,
                              .weights = GW_T_I2_S,
                              .embd = GW_T_F16,
                              .norms = GW_T_F32,
                              .rope_freqs = true,
                              .scales = true,
                              .rope_base = 10000.0f,
                              .eps = 1e-5f,
                              .seed = 1};

static char gguf_path[] = "/tmp/tern-hostile-XXXXXX", blob_path[] = "/tmp/tern-hostile-XXXXXX";
static TernPool *pool;
static char now[160]; /* the current case, for the message if the test dies */
static uint64_t random_state = 20240229;

static uint64_t random_below(uint64_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

static void on_death(int sig) {
    const char *what = sig == SIGALRM ? "took too long: " : "died: ";
    ssize_t r = write(2, what, strlen(what));
    r = write(2, now, strlen(now));
    r = write(2, "\n", 1);
    (void)r;
    signal(sig, SIG_DFL);
    raise(sig == SIGALRM ? SIGKILL : sig);
}

static void begin(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(now, sizeof now, fmt, ap);
    va_end(ap);
    alarm(SECONDS);
}

static void write_file(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* One printable line. */
static void check_line(TernStatus st, const TernError *err) {
    bool ok = st == err->code && strlen(err->text) > 8;
    for (const unsigned char *p = (const unsigned char *)err->text; *p; p++) ok &= *p >= 0x20 && *p != 0x7f;
    if (!ok) fail_msg("%s: status %d, line '%s'", now, (int)st, err->text);
}

static void check_names_place(const TernError *err) {
    const char *t = err->text;
    if (!begins(t, blob_path) || !begins(t += strlen(blob_path), ": ")) fail_msg("%s: line '%s'", now, t);
    t += 2;
    if (!begins(t, "head: ") && !begins(t, "section ") && !begins(t, "padding "))
        fail_msg("%s: the line names no place: '%s'", now, err->text);
}

static size_t n_results;
static void count_result(void *user, const TernResult *r) {
    volatile float sum = 0; /* read them all: the sanitizers look */
    for (uint32_t i = 0; i < *(const uint32_t *)user; i++) sum += r->logits[i];
    (void)sum;
    n_results++;
}

/* A session, a prompt of three tokens and one more. */
static TernStatus use(TernModel *m, TernError *err) {
    TernModelInfo info;
    TernSession *s;
    tern_model_info(m, &info);
    TernSessionOptions o = {.size = sizeof o, .context = info.n_context < 8 ? info.n_context : 8, .batch = 4};
    TernStatus st = tern_session_create(m, pool, &o, &s, err);
    if (st != TERN_OK) return st;
    int32_t last = (int32_t)info.n_vocab - 1;
    const TernRow rows[] = {
        {0, 0, 0}, {last / 2, 0, 0}, {last, 0, TERN_WANT_LOGITS}, {last, 0, TERN_WANT_LOGITS}};
    size_t most = info.n_context < 3 ? info.n_context : 3;
    st = tern_session_step(s, rows + 3 - most, most, count_result, &info.n_vocab, err);
    if (st == TERN_OK && most < info.n_context)
        st = tern_session_step(s, rows + 3, 1, count_result, &info.n_vocab, err);
    tern_session_destroy(s);
    return st;
}

static size_t n_ran, n_refused;

/* Compiles the file and uses it. */
static bool try_gguf(const char *target, const char *const *overrides, uint32_t n_overrides) {
    TernError err = {0};
    TernModel *m;
    TerncSource source = {
        .size = sizeof source, .path = gguf_path, .overrides = overrides, .n_overrides = n_overrides};
    TerncOptions o = {.size = sizeof o, .target = target, .cap = target ? NULL : "avx2"};
    TernStatus st = ternc_load(&source, &o, NULL, &m, &err);
    if (st == TERN_OK) {
        st = use(m, &err);
        tern_model_close(m);
    }
    if (st != TERN_OK) check_line(st, &err);
    alarm(0);
    *(st == TERN_OK ? &n_ran : &n_refused) += 1;
    return st == TERN_OK;
}

/* Every model is evaluated; some that run are compiled too, which takes longer. */
static void try_both(const char *const *overrides, uint32_t n_overrides, int *left) {
    if (!try_gguf("ref", overrides, n_overrides) || *left == 0 || !*native_levels()) return;
    (*left)--;
    alarm(SECONDS);
    if (!try_gguf(NULL, overrides, n_overrides)) fail_msg("%s: evaluated, but not compiled", now);
    n_ran--;
}

static void tally(const char *what) {
    print_message("%s: %zu ran, %zu refused\n", what, n_ran, n_refused);
    n_ran = n_refused = 0;
}

static void test_a_model_file_cut_short(void **state) {
    TnBuf file = {0};
    (void)state;
    tn_gm_bytes(&spec, &file);
    for (int i = 0; i < CASES; i++) {
        /* the keys come first and are few bytes: half the cuts are there */
        size_t n = i < 20          ? (size_t)i * 5
                   : i < CASES / 2 ? random_below(file.len / 8)
                                   : random_below(file.len);
        begin("model file cut to %zu of %zu bytes", n, file.len);
        write_file(gguf_path, file.data, n);
        (void)try_gguf("ref", NULL, 0);
    }
    assert_true(n_ran + n_refused == CASES && n_refused > CASES / 2);
    tally("cut model files");
    tn_buf_free(&file);
}

static void test_a_model_file_with_a_flipped_byte(void **state) {
    TnBuf file = {0};
    int left = BY_LLVM;
    (void)state;
    tn_gm_bytes(&spec, &file);
    for (int i = 0; i < CASES; i++) {
        size_t at = i % 4 ? random_below(file.len / 8) : random_below(file.len);
        uint8_t flip = (uint8_t)(1 + random_below(255)), *bytes = (uint8_t *)file.data;
        begin("model file with byte %zu of %zu ^ 0x%02x", at, file.len, flip);
        bytes[at] ^= flip;
        write_file(gguf_path, bytes, file.len);
        bytes[at] ^= flip;
        try_both(NULL, 0, &left);
    }
    assert_true(n_ran + n_refused == CASES && n_ran > 0 && n_refused > 0);
    tally("flipped model files");
    tn_buf_free(&file);
}

static void test_keys_that_lie(void **state) {
    static const char *const keys[] = {
        "bitnet.context_length=int",        "bitnet.embedding_length=int",
        "bitnet.feed_forward_length=int",   "bitnet.block_count=int",
        "bitnet.attention.head_count=int",  "bitnet.attention.head_count_kv=int",
        "bitnet.attention.key_length=int",  "bitnet.attention.value_length=int",
        "bitnet.rope.dimension_count=int",  "bitnet.vocab_size=int",
        "tokenizer.ggml.bos_token_id=int",  "tokenizer.ggml.eos_token_id=int",
        "bitnet.rope.freq_base=float",      "bitnet.attention.layer_norm_rms_epsilon=float",
        "bitnet.rope.scaling.factor=float", "general.alignment=int",
        "bitnet.attention.head_count=str",  "general.architecture=str",
    };
    static const char *const values[] = {"0",   "1",     "3",          "63",         "64",        "65",
                                         "300", "65536", "2147483647", "2147483648", "4294967295"};
    static const char *const reals[] = {"0", "-1", "1e-30", "1", "1e30", "inf", "nan"};
    int left = BY_LLVM;
    TnBuf file = {0};
    (void)state;
    tn_gm_bytes(&spec, &file);
    write_file(gguf_path, file.data, file.len);
    tn_buf_free(&file);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        bool real = strstr(keys[k], "=float") != NULL;
        size_t n = real ? sizeof reals / sizeof *reals : sizeof values / sizeof *values;
        for (size_t v = 0; v < n; v++) {
            char text[120];
            const char *list[] = {text};
            snprintf(text, sizeof text, "%s:%s", keys[k], real ? reals[v] : values[v]);
            begin("%s", text);
            try_both(list, 1, &left);
        }
    }
    assert_true(n_ran > 0 && n_refused > 0);
    tally("keys that lie");
}

/* ---- blobs */

static TnBuf good_blob(void) {
    TnBuf file = {0};
    char *data;
    size_t n;
    TernError err = {0};
    TerncSource source = {.size = sizeof source, .path = gguf_path};
    TerncOptions o = {.size = sizeof o, .levels = *native_levels() ? NULL : "ref"};
    tn_gm_bytes(&spec, &file);
    write_file(gguf_path, file.data, file.len);
    tn_buf_free(&file);
    if (ternc_compile(&source, &o, blob_path, NULL, &err) != TERN_OK) fail_msg("%s", err.text);
    if (tn_file_read(blob_path, 1 << 30, &data, &n, &err) != TERN_OK) fail_msg("%s", err.text);
    tn_buf_put(&file, data, n);
    free(data);
    return file;
}

static TernStatus try_blob(TernError *err) {
    TernModel *m;
    TernModelOptions o = {.size = sizeof o};
    TernStatus st =
        *native_levels() ? tern_model_open(blob_path, &o, &m, err) : ternc_open_ref(blob_path, &o, &m, err);
    if (st == TERN_OK) {
        st = use(m, err);
        tern_model_close(m);
    }
    alarm(0);
    return st;
}

static void must_refuse(void) {
    TernError err = {0};
    TernStatus st = try_blob(&err);
    if (st == TERN_OK) fail_msg("%s: it ran", now);
    check_line(st, &err);
    check_names_place(&err);
    n_refused++;
}

static void test_a_blob_cut_short(void **state) {
    TnBuf blob = good_blob();
    TernError err = {0};
    (void)state;
    begin("the good blob");
    if (try_blob(&err) != TERN_OK) fail_msg("%s", err.text);
    for (int i = 0; i < CASES; i++) {
        size_t n = i < 40   ? (size_t)i * 16
                   : i < 50 ? blob.len - 1 - (size_t)(i - 40) * 7
                            : random_below(blob.len);
        begin("blob cut to %zu of %zu bytes", n, blob.len);
        write_file(blob_path, blob.data, n);
        must_refuse();
    }
    tally("cut blobs");
    tn_buf_free(&blob);
}

static void test_a_blob_with_a_flipped_byte(void **state) {
    TnBuf blob = good_blob();
    uint8_t *bytes = (uint8_t *)blob.data;
    (void)state;
    write_file(blob_path, blob.data, blob.len);
    int fd = open(blob_path, O_WRONLY);
    assert_true(fd >= 0);
    for (int i = 0; i < 64 + CASES; i++) { /* every byte of the head, and any others */
        size_t at = i < 64 ? (size_t)i : random_below(blob.len);
        uint8_t was = bytes[at], is = was ^ (uint8_t)(1 + random_below(255));
        begin("blob with byte %zu of %zu 0x%02x, not 0x%02x", at, blob.len, is, was);
        assert_int_equal(pwrite(fd, &is, 1, (off_t)at), 1);
        must_refuse();
        assert_int_equal(pwrite(fd, &was, 1, (off_t)at), 1);
    }
    close(fd);
    TernError err = {0};
    begin("the blob made good again");
    if (try_blob(&err) != TERN_OK) fail_msg("%s", err.text);
    tally("flipped blobs");
    tn_buf_free(&blob);
}

static int setup(void **state) {
    TernPoolOptions o = {.size = sizeof o, .threads = 2};
    int a = mkstemp(gguf_path), b = mkstemp(blob_path);
    (void)state;
    signal(SIGALRM, on_death);
    return a < 0 || b < 0 || close(a) || close(b) || tern_pool_create(&o, &pool, NULL);
}

static int teardown(void **state) {
    (void)state;
    tern_pool_destroy(pool);
    return unlink(gguf_path) | unlink(blob_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_model_file_cut_short),
        cmocka_unit_test(test_a_model_file_with_a_flipped_byte),
        cmocka_unit_test(test_keys_that_lie),
        cmocka_unit_test(test_a_blob_cut_short),
        cmocka_unit_test(test_a_blob_with_a_flipped_byte),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
