/* Damaged and malicious files: cut short, with flipped bytes, with extreme counts, lengths, types, dimensions
 * and offsets. Each is read, or refused with one printable line that begins with its name. There must be no
 * crash (run this under ASan and UBSan too), no hang, and no use of more than 64 MB plus twice the file. */
#include "gguf/eval_model.h"
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#include "gguf/refuse.h"
#include "runtime/text/text.h"
#include "support/hang.h"
#include "support/sanitized.h"

static const TnGmSpec spec = {.arch = "bitnet",
                              .hidden = 128,
                              .ffn = 128,
                              .layers = 1,
                              .heads = 2,
                              .kv_heads = 1,
                              .head_dim = 64,
                              .context = 64,
                              .vocab = 100,
                              .weights = GW_T_I2_S,
                              .embd = GW_T_F16,
                              .norms = GW_T_F32,
                              .rope_freqs = true,
                              .scales = true,
                              .alignment = 32,
                              .rope_base = 10000.0f,
                              .eps = 1e-5f,
                              .seed = 1};

/* ---- limits on one reading */

static size_t address_space(void) {
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* From here on this process gets at most 64 MB plus twice the file; asking for more ends it and the test. */
static void limit_memory(size_t file_bytes) {
    size_t now = address_space();
    struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};
    if (TN_SANITIZED || now == 0) return; /* a sanitizer's shadow takes terabytes */
    if (file_bytes) r.rlim_cur = now + (64 << 20) + 2 * file_bytes;
    assert_int_equal(setrlimit(RLIMIT_AS, &r), 0);
}

typedef struct Tally {
    size_t read, refused;
} Tally;

static void check_line(const char *what, TernStatus st, const TernError *err) {
    bool ok = st == err->code && strncmp(err->text, "m.gguf: ", 8) == 0 && strlen(err->text) > 12;
    for (const unsigned char *p = (const unsigned char *)err->text; *p; p++) ok &= *p >= 0x20 && *p != 0x7f;
    if (!ok) fail_msg("%s: status %d, line '%s'", what, (int)st, err->text);
}

/* Opens the file, makes the graph and the vocabulary, and reads everything. */
static void attempt(const char *what, const void *bytes, size_t n, Tally *tally) {
    TernError err = {0};
    TnGguf *gg = NULL;
    TnGraph *g = NULL;
    TnFacts f;
    uint8_t *exact = malloc(n ? n : 1);
    memcpy(exact, bytes, n);
    double start = tn_cpu_seconds();
    limit_memory(n);
    TernStatus st = tn_gguf_open_memory(exact, n, "m.gguf", false, &gg, &err);
    if (st == TERN_OK) st = tn_gguf_graph(gg, NULL, &g, &f, &err);
    limit_memory(0);
    double took = tn_cpu_seconds() - start;
    if (took > TN_HANG_SECONDS) fail_msg("%s: took %.2f s", what, took);
    if (st == TERN_OK) {
        assert_verified(g);
        if (f.vocab) {
            TernVocab *v;
            if (tern_vocab_open(f.vocab, f.vocab_bytes, &v, &err) != TERN_OK)
                fail_msg("%s: %s", what, err.text);
            tern_vocab_close(v);
        }
        tally->read++;
    } else {
        check_line(what, st, &err);
        tally->refused++;
    }
    tn_graph_destroy(g);
    tn_gguf_close(gg);
    gg = NULL;
    const void *image;
    size_t image_bytes;
    limit_memory(n);
    st = tn_gguf_open_memory(exact, n, "m.gguf", true, &gg, &err);
    if (st == TERN_OK) st = tn_gguf_vocab(gg, &image, &image_bytes, &err);
    limit_memory(0);
    if (st != TERN_OK) check_line(what, st, &err);
    tn_gguf_close(gg);
    free(exact);
}

static TnBuf good_file(TnGwMark **marks, size_t *n_marks) {
    TnBuf file = {0};
    static TnGw *w; /* the marks' texts live in it */
    tn_gw_destroy(w);
    w = NULL;
    w = tn_gm_create(&spec);
    tn_gw_strs(w, "tokenizer.ggml.merges", (const char *[]){"a b", "ab c"}, 2);
    tn_gw_bytes(w, &file, marks, n_marks);
    if (!marks) {
        tn_gw_destroy(w);
        w = NULL;
    }
    return file;
}

static uint64_t random_state = 7;
static uint64_t random_u64(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    uint64_t hi = random_state >> 33 << 31;
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return hi << 1 | random_state >> 33;
}

/* ---- the attacks */

static void the_good_file_is_read(void **state) {
    (void)state;
    TnBuf file = good_file(NULL, NULL);
    Tally t = {0};
    attempt("the good file", file.data, file.len, &t);
    assert_int_equal(t.read, 1);
    tn_buf_free(&file);
}

/* Every length up to the first tensor's data, then 300 more. None is whole. */
static void truncations(void **state) {
    (void)state;
    TnBuf file = good_file(NULL, NULL);
    Tally t = {0};
    size_t table = 4096;
    for (size_t n = 0; n < table; n += n < 64 ? 1 : 7) attempt("cut", file.data, n, &t);
    for (size_t i = 0; i < 300; i++) attempt("cut", file.data, table + (file.len - table) * i / 300, &t);
    assert_true(t.refused > 900);
    assert_int_equal(t.read, 0);
    tn_buf_free(&file);
}

static void flipped_bytes(void **state) {
    (void)state;
    TnBuf file = good_file(NULL, NULL);
    Tally t = {0};
    char what[64];
    for (size_t i = 0; i < 1500; i++) { /* two in three where the keys and the table are */
        size_t at = random_u64() % (i % 3 ? 5000 : file.len);
        uint8_t old = (uint8_t)file.data[at], with = (uint8_t)(1 + random_u64() % 255);
        snprintf(what, sizeof what, "byte %zu xor 0x%02x", at, with);
        file.data[at] = (char)(old ^ with);
        attempt(what, file.data, file.len, &t);
        file.data[at] = (char)old;
    }
    assert_true(t.read > 100 && t.refused > 300); /* both happen */
    tn_buf_free(&file);
}

static void extreme_numbers(void **state) {
    (void)state;
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      9,
                                      13,
                                      31,
                                      36,
                                      64,
                                      255,
                                      65535,
                                      65536,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      0x100000000,
                                      1ull << 40,
                                      1ull << 60,
                                      0x7fffffffffffffff,
                                      1ull << 63,
                                      UINT64_MAX - 31,
                                      UINT64_MAX - 7,
                                      UINT64_MAX};
    TnGwMark *marks;
    size_t n_marks;
    TnBuf file = good_file(&marks, &n_marks);
    Tally t = {0};
    char what[192];
    assert_true(n_marks > 100);
    for (size_t m = 0; m < n_marks; m++)
        for (size_t v = 0; v < TN_COUNT(values); v++) {
            uint8_t old[8];
            if (marks[m].bytes == 4 && values[v] > UINT32_MAX) continue;
            memcpy(old, file.data + marks[m].at, marks[m].bytes);
            memcpy(file.data + marks[m].at, &values[v], marks[m].bytes);
            snprintf(what, sizeof what, "%s = %llu", marks[m].what, (unsigned long long)values[v]);
            attempt(what, file.data, file.len, &t);
            memcpy(file.data + marks[m].at, old, marks[m].bytes);
        }
    assert_true(t.refused > 1000);
    free(marks);
    tn_buf_free(&file);
}

/* Every four bytes of keys and table at once: a key's value is as bad a place as its length. */
static void extreme_words_everywhere(void **state) {
    (void)state;
    static const uint32_t values[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fc00000, 0x00000101};
    TnBuf file = good_file(NULL, NULL);
    Tally t = {0};
    char what[64];
    for (size_t at = 4, v = 0; at < 5200; at += 5, v = (v + 1) % TN_COUNT(values)) {
        uint32_t old;
        memcpy(&old, file.data + at, 4);
        memcpy(file.data + at, &values[v], 4);
        snprintf(what, sizeof what, "word at %zu = 0x%08x", at, values[v]);
        attempt(what, file.data, file.len, &t);
        memcpy(file.data + at, &old, 4);
    }
    assert_true(t.refused > 300);
    tn_buf_free(&file);
}

/* Every key in every type, with the worst values of those types. */
static void keys_of_every_type(void **state) {
    (void)state;
    static const char *const keys[] = {"general.architecture",
                                       "general.name",
                                       "general.alignment",
                                       "bitnet.vocab_size",
                                       "bitnet.context_length",
                                       "bitnet.embedding_length",
                                       "bitnet.block_count",
                                       "bitnet.feed_forward_length",
                                       "bitnet.attention.head_count",
                                       "bitnet.attention.head_count_kv",
                                       "bitnet.attention.key_length",
                                       "bitnet.attention.value_length",
                                       "bitnet.rope.dimension_count",
                                       "bitnet.rope.freq_base",
                                       "bitnet.attention.layer_norm_rms_epsilon",
                                       "bitnet.rope.scaling.type",
                                       "bitnet.rope.scaling.factor",
                                       "bitnet.expert_count",
                                       "bitnet.attention.causal",
                                       "split.count",
                                       "tokenizer.ggml.model",
                                       "tokenizer.ggml.pre",
                                       "tokenizer.ggml.tokens",
                                       "tokenizer.ggml.token_type",
                                       "tokenizer.ggml.merges",
                                       "tokenizer.ggml.bos_token_id",
                                       "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.unknown_token_id",
                                       "tokenizer.ggml.add_bos_token",
                                       "tokenizer.chat_template"};
    static const uint8_t ones[8] = {255, 255, 255, 255, 255, 255, 255, 255},
                         high[8] = {0, 0, 0, 0x80, 0, 0, 0, 0x80}, zeros[8] = {0};
    static const uint8_t *const bits[] = {zeros, ones, high};
    static const size_t bytes[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    Tally t = {0};
    char what[96];
    for (size_t k = 0; k < TN_COUNT(keys); k++)
        for (uint32_t type = 0; type < 13; type++)
            for (size_t b = 0; b < TN_COUNT(bits); b++) {
                TnBuf file = {0};
                TnGw *w = tn_gm_create(&spec);
                if (type == GW_STR)
                    tn_gw_str(w, keys[k], b == 0 ? "" : b == 1 ? "\xff\xfe\n\x1b[31m" : "%s%n%d");
                else if (type == GW_ARRAY)
                    tn_gw_array(w, keys[k], b == 1 ? GW_I64 : GW_U8, bits[b], b, b == 1 ? 8 : 1);
                else if (type == GW_BOOL)
                    tn_gw_bool(w, keys[k], b > 0);
                else
                    tn_gw_raw(w, keys[k], type, bits[b], bytes[type]);
                tn_gw_bytes(w, &file, NULL, NULL);
                snprintf(what, sizeof what, "%s as type %u, value %zu", keys[k], type, b);
                attempt(what, file.data, file.len, &t);
                tn_gw_destroy(w);
                tn_buf_free(&file);
            }
    assert_true(t.refused > 800);
}

/* Names and texts that would drive a terminal, or a printf, come out harmless. */
static void names_in_messages(void **state) {
    (void)state;
    static const char *const names[] = {"\xe2\x80\xae"
                                        "evil",
                                        "\xff\xff", "%s%s%n",
                                        "a\xc2\x9b"
                                        "31m"};
    Tally t = {0};
    char long_name[256];
    memset(long_name, 'x', 255);
    long_name[255] = 0;
    for (size_t i = 0; i <= TN_COUNT(names); i++) {
        const char *name = i < TN_COUNT(names) ? names[i] : long_name;
        TnBuf file = {0};
        TnGw *w = tn_gm_create(&spec);
        tn_gw_tensor(w, name, GW_T_F32, 1, (uint64_t[]){1}, NULL, NULL);
        tn_gw_bytes(w, &file, NULL, NULL);
        attempt(name, file.data, file.len, &t);
        tn_gw_str(w, "general.architecture", name);
        tn_gw_bytes(w, &file, NULL, NULL);
        attempt(name, file.data, file.len, &t);
        tn_gw_destroy(w);
        tn_buf_free(&file);
    }
    assert_int_equal(t.read, 0);
}

/* Large tables must be quick: 50,000 unknown keys, 20,000 unknown tensors, an array of a million strings. */
static void large_tables_are_quick(void **state) {
    (void)state;
    enum { KEYS = 50000, TENSORS = 20000, STRINGS = 1000000 };
    TnBuf file = {0};
    uint64_t n_tensors = TENSORS, n_keys = KEYS + 1, n, offset = 0;
    uint32_t version = 3, u32 = 4, array[2] = {9, 8};
    char name[32];
    tn_buf_puts(&file, "GGUF");
    tn_buf_put(&file, &version, 4);
    tn_buf_put(&file, &n_tensors, 8);
    tn_buf_put(&file, &n_keys, 8);
    for (uint32_t i = 0; i < KEYS; i++) {
        n = (uint64_t)snprintf(name, sizeof name, "unknown.key.%u", i);
        tn_buf_put(&file, &n, 8);
        tn_buf_puts(&file, name);
        tn_buf_put(&file, &u32, 4);
        tn_buf_put(&file, &i, 4);
    }
    n = 4;
    tn_buf_put(&file, &n, 8);
    tn_buf_puts(&file, "many");
    tn_buf_put(&file, array, 4);
    tn_buf_put(&file, array + 1, 4);
    n = STRINGS;
    tn_buf_put(&file, &n, 8);
    (void)tn_buf_grow(&file, STRINGS * 8);
    for (uint32_t i = 0; i < TENSORS; i++) {
        n = (uint64_t)snprintf(name, sizeof name, "unknown.tensor.%u", i);
        tn_buf_put(&file, &n, 8);
        tn_buf_puts(&file, name);
        uint32_t rank = 1, type = GW_T_F32;
        uint64_t ne = 8;
        tn_buf_put(&file, &rank, 4);
        tn_buf_put(&file, &ne, 8);
        tn_buf_put(&file, &type, 4);
        tn_buf_put(&file, &offset, 8);
        offset += 32;
    }
    tn_buf_align(&file, 32);
    (void)tn_buf_grow(&file, offset);
    Tally t = {0};
    attempt("large tables", file.data, file.len, &t); /* which looks for a hang */
    assert_int_equal(t.refused, 1);                   /* there is no architecture */
    tn_buf_free(&file);
}

/* As many tokens and merges as are allowed, all empty: eight bytes each in the file, more here. */
static void a_large_vocabulary_of_nothing(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    const char **empty = tn_xcalloc(N, sizeof *empty);
    for (size_t i = 0; i < N; i++) empty[i] = "";
    for (int merges = 0; merges < 3; merges++) {
        TnBuf file = {0};
        TnGw *w = tn_gm_create(&spec);
        Tally t = {0};
        tn_gw_strs(w, "tokenizer.ggml.tokens", empty, N);
        tn_gw_drop(w, "tokenizer.ggml.token_type");
        if (merges) tn_gw_strs(w, "tokenizer.ggml.merges", empty, merges == 1 ? N : N - 1);
        tn_gw_bytes(w, &file, NULL, NULL);
        tn_gw_destroy(w);
        attempt("an empty vocabulary", file.data, file.len, &t);
        assert_int_equal(t.refused, 1);
        tn_buf_free(&file);
    }
    free(empty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_good_file_is_read),
        cmocka_unit_test(truncations),
        cmocka_unit_test(flipped_bytes),
        cmocka_unit_test(extreme_numbers),
        cmocka_unit_test(extreme_words_everywhere),
        cmocka_unit_test(keys_of_every_type),
        cmocka_unit_test(names_in_messages),
        cmocka_unit_test(large_tables_are_quick),
        cmocka_unit_test(a_large_vocabulary_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
