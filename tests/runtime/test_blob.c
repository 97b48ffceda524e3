/* Opening blobs: every flipped byte and every truncation is refused, an error is one line that names the place,
 * and a blob with correct hashes but wrong contents is refused too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#include "fake_model.h"
#include "runtime/base/cpus.h"
#include "runtime/base/os.h"
#include "runtime/cpu.h"

static Fake fake;

/* Opens from memory and makes a session, as a user would. Only after that has everything been checked. */
static TernStatus open_all(const uint8_t *data, size_t size, TernError *err) {
    static TernPool *pool;
    if (!pool)
        assert_int_equal(
            tern_pool_create(&(TernPoolOptions){.size = sizeof(TernPoolOptions), .threads = 2}, &pool, err),
            0);
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    TernModel *m;
    TernSession *s;
    TernStatus status = tern_model_open_memory(data, size, &o, &m, err);
    if (status != TERN_OK) return status;
    status = tern_session_create(m, pool, NULL, &s, err);
    if (status == TERN_OK) tern_session_destroy(s);
    tern_model_close(m);
    return status;
}

static bool one_line(const TernError *err) {
    if (!err->text[0]) return false;
    for (const char *c = err->text; *c; c++)
        if ((unsigned char)*c < 32) return false;
    return true;
}

static bool names_a_place(const char *text) {
    return strstr(text, "section ") || strstr(text, "head: ") || strstr(text, "padding ");
}

static void good(void **state) {
    (void)state;
    Image image = fake_image();
    TernError err = {0};
    assert_int_equal(open_all(image.data, image.size, &err), TERN_OK);
    assert_string_equal(err.text, "");
    free(image.data);
}

static void every_byte_flipped(void **state) {
    (void)state;
    Image image = fake_image();
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    for (size_t i = 0; i < image.size; i++)
        for (size_t k = 0; k < sizeof masks; k++) {
            TernError err = {0};
            image.data[i] ^= masks[k];
            TernStatus s = open_all(image.data, image.size, &err);
            if (s == TERN_OK || !one_line(&err) || !names_a_place(err.text))
                fail_msg("byte %zu ^ 0x%02x: status %d, '%s'", i, masks[k], s, err.text);
            image.data[i] ^= masks[k];
        }
    free(image.data);
}

static void every_truncation(void **state) {
    (void)state;
    Image image = fake_image();
    for (size_t n = 0; n < image.size; n++) {
        uint8_t *cut = aligned_alloc(
            64, tn_round_up(n + 1, 64)); /* its own block, so that a sanitizer sees reads after it */
        memcpy(cut, image.data, n);
        TernError err = {0};
        assert_int_equal(open_all(cut, n, &err), TERN_ERR_INPUT);
        assert_true(one_line(&err) && names_a_place(err.text));
        free(cut);
    }
    free(image.data);
}

/* Wrong contents with correct hashes. `line` is the whole error. */

typedef struct Spoilt {
    const char *line;
    uint32_t kind, index; /* of the section to damage */
    size_t offset;
    uint64_t value;
    uint32_t bytes;
} Spoilt;

#define META(field, v, line)                                                                                 \
    { line, TN_SECTION_META, 0, offsetof(TnBlobMeta, field), v, sizeof(((TnBlobMeta *)0)->field) }
#define PROG(i, field, v, line)                                                                              \
    { line, TN_SECTION_PROG, i, offsetof(TnBlobProg, field), v, 4 }
#define LAUNCH(l, field, v, line)                                                                            \
    {                                                                                                        \
        line, TN_SECTION_PROG, 1,                                                                            \
            sizeof(TnBlobProg) + (l) * sizeof(TnBlobLaunch) + offsetof(TnBlobLaunch, field), v,              \
            sizeof(((TnBlobLaunch *)0)->field)                                                               \
    }
#define OPERAND(o, field, v, line)                                                                           \
    {                                                                                                        \
        line, TN_SECTION_PROG, 1,                                                                            \
            sizeof(TnBlobProg) + LAUNCHES * sizeof(TnBlobLaunch) + (o) * sizeof(TnBlobOperand) +             \
                offsetof(TnBlobOperand, field),                                                              \
            v, sizeof(((TnBlobOperand *)0)->field)                                                           \
    }
#define PLAN(field, v, line)                                                                                 \
    { line, TN_SECTION_PLAN, 2, offsetof(TnBlobPlan, field), v, sizeof(((TnBlobPlan *)0)->field) }

static const Spoilt spoilt[] = {
    META(n_vocab, 0, "section META: n_vocab is 0, expected 1 to 1073741824"),
    META(n_layers, 1u << 20, "section META: n_layers is 1048576, expected 1 to 65536"),
    META(head_dim, 4, "section PLAN 0: key_page is 768 and value_page 768, expected 1024 by META"),
    META(arch.offset, 5000, "section META: arch: offset 5000 with size 4, expected to end within 146 bytes"),
    META(vocab.offset, 127, "section META: vocab: offset is 127, expected a multiple of 64"),
    META(vocab.size, UINT32_MAX,
         "section META: vocab: offset 128 with size 4294967295, expected to end within 146 bytes"),
    PROG(1, level, 1, "section PROG 1: level is 1, expected 0 by the section table"),
    PROG(1, kv, 4, "section PROG 1: kv is 4, expected 1 to 3"),
    PROG(1, rows_lo, 0, "section PROG 1: rows are 0..6, expected within 1..65536"),
    PROG(1, rows_lo, 3, "section PROG 1: rows are 3..6, expected to begin at 2, after the variant before it"),
    PROG(4, rows_hi, 7,
         "section PROG 5: rows are 7..20, expected to begin at 8, after the variant before it"),
    PROG(1, code, 0, "section PROG 1: code is section 0, expected none for level ref"),
    PROG(1, n_launches, 100000,
         "section PROG 1: 100000 launches of 64 bytes do not fit in the 1060 bytes left"),
    PROG(1, n_operands, 29,
         "section PROG 1: launch 4: operands 27 + 3, 2 of them read, expected to end within 29"),
    PROG(1, n_operands, 0xffffffff,
         "section PROG 1: 4294967295 operands of 24 bytes do not fit in the 740 bytes left"),
    PROG(1, output[TN_OUT_BEST], UINT32_MAX, "section PROG 1: output best is missing"),
    PROG(1, output[TN_OUT_BEST], 30, "section PROG 1: output best is operand 30, expected below 30"),
    PROG(1, output[TN_OUT_LOGITS], 23,
         "section PROG 1: output logits: space 0, symbol 1, 4 bytes a row, expected 0, 1, 52"),
    PROG(1, output[7], 0, "section PROG 1: output 7 is operand 0, expected none"),
    LAUNCH(0, export_index, 1, "section PROG 1: launch 0: export_index is 1, expected below 1"),
    LAUNCH(0, n_reads, 11,
           "section PROG 1: launch 0: operands 0 + 10, 11 of them read, expected to end within 30"),
    LAUNCH(0, n_reads, 8, "section PROG 1: launch 0: writes operand 8 of space 4, expected the arena"),
    LAUNCH(0, n_reads, 4, "section PROG 1: launch 0: writes operand 4 of space 1, expected the arena"),
    LAUNCH(2, gate_sym, 8,
           "section PROG 1: launch 2: gate_sym 8, unit_sym 4294967295, expected symbols below 8"),
    LAUNCH(2, units, 0, "section PROG 1: launch 2: units is 0, expected 1 to 2^31"),
    LAUNCH(2, scratch, 321,
           "section PROG 1: launch 2: scratch 321 + 0 a page, expected at most 320 + 0 by PLAN"),
    LAUNCH(2, flags, 4, "section PROG 1: launch 2: flags are 0x4, expected 0 to 3"),
    LAUNCH(2, flags, 2, "section PROG 1: launch 2: scratch 128, expected at least 32768 for a list of rows"),
    LAUNCH(0, block, 64,
           "section PROG 1: launch 0: blocks of 64 rows, but gate_sym is none, expected a symbol"),
    LAUNCH(2, threads, 1025,
           "section PROG 1: launch 2: 1025 threads sharing 0 bytes, expected at most 1024 and 262144"),
    LAUNCH(3, shared, 262145,
           "section PROG 1: launch 3: 0 threads sharing 262145 bytes, expected at most 1024 and 262144"),
    LAUNCH(
        2, name.offset, 1u << 31,
        "section PROG 1: a launch's name: offset 2147483648 with size 4, expected to end within 1124 bytes"),
    OPERAND(0, space, 5, "section PROG 1: operand 0: space is 5, expected 0 to 4"),
    OPERAND(0, index, 7, "section PROG 1: operand 0: input 7 at 0, expected an input below 7 at 0"),
    OPERAND(5, index, 2, "section PROG 1: operand 5: cache of layer 2 at 0, expected a layer below 2 at 0"),
    OPERAND(4, offset, 65, "section PROG 1: operand 4: offset is 65, expected a multiple of 64"),
    OPERAND(4, offset, 256,
            "section PROG 1: operand 4: offset 256 with 64 bytes, expected to end within the 300 of WGHT"),
    OPERAND(
        4, row_bytes, UINT64_MAX,
        "section PROG 1: operand 4: offset 64 with 18446744073709551615 bytes, expected to end within the "
        "300 of WGHT"),
    OPERAND(
        9, offset, 64,
        "section PROG 1: operand 9: offset 64 with 64 bytes a row, expected to end within the arena's 64"),
    OPERAND(
        19, row_bytes, 65,
        "section PROG 1: operand 19: offset 64 with 65 bytes a row, expected to end within the arena's 128"),
    OPERAND(19, index, 8, "section PROG 1: operand 19: symbol 8, expected below 8"),
    PLAN(arena[TN_ABI_T], UINT64_MAX,
         "section PLAN 2: arena bytes for T are 18446744073709551615, expected at most 2^40"),
    PLAN(arena[7], 1ull << 41, "section PLAN 2: arena bytes for L are 2199023255552, expected at most 2^40"),
    PLAN(value_page, 0, "section PLAN 2: key_page is 768 and value_page 0, expected 768 by META"),
    PLAN(weight_bytes, 301, "section PLAN 2: weight_bytes is 301, expected at most 300"),
    PLAN(topk, 17, "section PROG 2: output top: space 0, symbol 2, 64 bytes a row, expected 0, 2, 68"),
};

static void wrong_contents(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
        const Spoilt *s = &spoilt[i];
        Maker m = fake_maker(TN_LEVEL_REF, 300);
        memcpy(maker_find(&m, s->kind, s->index)->bytes.data + s->offset, &s->value, s->bytes);
        Image image = maker_seal(&m);
        TernError err = {0};
        assert_int_equal(open_all(image.data, image.size, &err), TERN_ERR_INPUT);
        assert_string_equal(err.text, s->line);
        free(image.data);
        maker_free(&m);
    }
}

/* Head and table. The hash is corrected after the change. */
static void expect_line(Image image, TernStatus status, const char *line) {
    TernError err = {0};
    image_rehash_head(&image);
    assert_int_equal(open_all(image.data, image.size, &err), status);
    assert_string_equal(err.text, line);
    free(image.data);
}
static TnBlobHead *head_of(Image i) {
    return (TnBlobHead *)(void *)i.data;
}
static TnBlobSection *row_of(Image i, uint32_t n) {
    return (TnBlobSection *)(void *)(i.data + sizeof(TnBlobHead)) + n;
}

static void wrong_outside(void **state) {
    (void)state;
    Image i = fake_image();
    i.data[0] = 'G';
    expect_line(i, TERN_ERR_INPUT,
                "head: not a .tern file: it begins with 47 54 45 52, expected 89 54 45 52");
    i = fake_image();
    head_of(i)->version = 7;
    expect_line(i, TERN_ERR_UNSUPPORTED,
                "head: the file has version 7, abi 10; this library reads version 4, abi 10: compile the "
                "model again");
    i = fake_image();
    head_of(i)->file_bytes--;
    expect_line(i, TERN_ERR_INPUT, "head: the file has 9260 bytes, expected 9259");
    i = fake_image();
    head_of(i)->probe_int = 0x04030201;
    expect_line(i, TERN_ERR_INPUT, "head: probe_int is 0x04030201, expected 0x01020304");
    i = fake_image();
    head_of(i)->n_sections = 0;
    expect_line(i, TERN_ERR_INPUT, "head: n_sections is 0, expected 1 to 256");
    i = fake_image();
    row_of(i, 13)->flags = 1;
    expect_line(i, TERN_ERR_UNSUPPORTED,
                "section of kind 77: is required, but this library does not know it");
    i = fake_image();
    row_of(i, 0)->align = 3;
    expect_line(i, TERN_ERR_INPUT, "section META: align is 3, expected a power of two up to 2^30");
    i = fake_image();
    row_of(i, 0)->offset++;
    expect_line(i, TERN_ERR_INPUT, "section META: offset is 1089, expected a multiple of 64");
    i = fake_image();
    row_of(i, 1)->offset = 1152;
    expect_line(i, TERN_ERR_INPUT,
                "section PROG 0: offset is 1152, expected at least 1234, the end of what is before it");
    i = fake_image();
    row_of(i, 15)->size = UINT64_MAX;
    expect_line(
        i, TERN_ERR_INPUT,
        "section WGHT: offset 8960 with size 18446744073709551615, expected to end within 9260 bytes");
    i = fake_image();
    row_of(i, 15)->size--;
    expect_line(i, TERN_ERR_INPUT, "padding after the last section: byte 9259 is 0x2d, expected 0");
    i = fake_image();
    row_of(i, 12)->kind = TN_SECTION_TIR;
    expect_line(i, TERN_ERR_INPUT, "section PLAN: comes 5 times, expected 6, once for every PROG");
    i = fake_image();
    row_of(i, 0)->kind = TN_SECTION_WDIR;
    expect_line(i, TERN_ERR_INPUT, "section META: is missing");
    i = fake_image();
    row_of(i, 13)->kind = TN_SECTION_META;
    expect_line(i, TERN_ERR_INPUT, "section META: comes 2 times, expected once");
}

/* Lines with hashes in them, up to the hashes. */
static void damage(void **state) {
    (void)state;
    const struct {
        size_t byte;
        const char *begins;
    } cases[] = {
        {40, "head: the hash of head and section table is "},
        {100, "head: the hash of head and section table is "},
        {1088, "section META: the hash is "},
        {1235, "padding before section PROG 0: byte 1235 is 0x01, expected 0"},
        {1240, "section PROG 0: the hash is "},
        {9000, "model in memory: section WGHT: the hash of chunk 0 of 1 is "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Image image = fake_image();
        image.data[cases[i].byte] ^= 1;
        TernError err = {0};
        assert_int_equal(open_all(image.data, image.size, &err), TERN_ERR_INPUT);
        if (strncmp(err.text, cases[i].begins, strlen(cases[i].begins)) != 0)
            assert_string_equal(err.text, cases[i].begins);
        free(image.data);
    }
}

/* Random damage with correct hashes: the blob opens or is refused, and nothing else happens. Meant for sanitizers. */
static void random_contents(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        Maker m = fake_maker(TN_LEVEL_REF, 300);
        for (int k = 0; k < 1 + round % 3; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            TnBuf *b = &m.s[(seed >> 33) % 13].bytes; /* META, PROG, PLAN */
            size_t at = (seed >> 20) % (b->len / 4) * 4;
            static const uint32_t values[] = {0, 1, 2, 63, 64, 0x7fffffff, 0x80000000, 0xffffffff};
            memcpy(b->data + at, &values[seed >> 61], 4);
        }
        Image image = maker_seal(&m);
        TernError err = {0};
        TernStatus s = open_all(image.data, image.size, &err);
        assert_true(s == TERN_OK || one_line(&err));
        free(image.data);
        maker_free(&m);
    }
}

/* Files, as opposed to memory */

static void write_file(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

/* Weights: several chunks, the damaged one is named; --no-check does not look. */
static void weight_chunks(void **state) {
    (void)state;
    Maker m = fake_maker(TN_LEVEL_REF, 2 * (size_t)TN_BLOB_CHUNK + 1000);
    Image image = maker_seal(&m);
    maker_free(&m);
    TernError err = {0};
    assert_int_equal(open_all(image.data, image.size, &err), TERN_OK);
    image.data[image.size - 1] ^= 4;
    assert_int_equal(open_all(image.data, image.size, &err), TERN_ERR_INPUT);
    assert_memory_equal(err.text, "model in memory: section WGHT: the hash of chunk 2 of 3 is ", 59);
    image.data[image.size - 1100] ^= 4; /* the first damaged one is named, whichever worker finds one first */
    assert_int_equal(open_all(image.data, image.size, &err), TERN_ERR_INPUT);
    assert_memory_equal(err.text, "model in memory: section WGHT: the hash of chunk 1 of 3 is ", 59);

    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k, .no_check = 1};
    TernModel *model;
    TernPool *pool;
    TernSession *s;
    assert_int_equal(tern_pool_create(NULL, &pool, &err), TERN_OK);
    assert_int_equal(tern_model_open_memory(image.data, image.size, &o, &model, &err), TERN_OK);
    assert_int_equal(tern_session_create(model, pool, NULL, &s, &err), TERN_OK);
    tern_session_destroy(s);
    tern_model_close(model);

    /* From a file, chunks that this level does not read leave memory after the check; they can still be read. */
    char path[] = "/tmp/tern-test-chunks-XXXXXX";
    close(mkstemp(path));
    o.no_check = 0;
    image.data[image.size - 1] ^= 4;
    image.data[image.size - 1100] ^= 4;
    write_file(path, image.data, image.size);
    assert_int_equal(tern_model_open(path, &o, &model, &err), TERN_OK);
    assert_int_equal(tern_session_create(model, pool, NULL, &s, &err), TERN_OK);
    size_t n;
    const uint8_t *weights = tern_model_section(model, TN_SECTION_WGHT, 0, &n);
    assert_memory_equal(weights, image.data + image.size - n, n);
    tern_session_destroy(s);
    tern_model_close(model);
    image.data[image.size - 1] ^= 4;
    write_file(path, image.data, image.size);
    assert_int_equal(tern_model_open(path, &o, &model, &err), TERN_OK);
    for (int twice = 0; twice < 2; twice++) { /* the answer is kept */
        char line[100];
        snprintf(line, sizeof line, "%s: section WGHT: the hash of chunk 2 of 3 is ", path);
        assert_int_equal(tern_session_create(model, pool, NULL, &s, &err), TERN_ERR_INPUT);
        assert_memory_equal(err.text, line, strlen(line));
    }
    tern_model_close(model);
    unlink(path);
    tern_pool_destroy(pool);
    free(image.data);
}

static void files(void **state) {
    (void)state;
    char path[] = "/tmp/tern-test-blob-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    Image image = fake_image();
    write_file(path, image.data, image.size);
    TernKernels k = fake_kernels(&fake);
    TernModelOptions o = {.size = sizeof o, .kernels = &k};
    TernModel *m;
    TernError err = {0};
    assert_int_equal(tern_model_open(path, &o, &m, &err), TERN_OK);
    TernModelInfo info;
    tern_model_info(m, &info);
    assert_string_equal(info.arch, "fake");
    assert_string_equal(info.name, "Fake Model");
    assert_string_equal(info.desc, "tiny");
    assert_string_equal(info.level, "ref");
    assert_int_equal(info.n_vocab, VOCAB);
    assert_int_equal(info.max_rows, 20);
    assert_int_equal(info.file_bytes, image.size);
    assert_int_equal(info.weight_bytes, 64);
    size_t n;
    assert_memory_equal(tern_model_vocab(m, &n), "a vocabulary image", 18);
    assert_int_equal(n, 18);
    assert_non_null(tern_model_section(m, TN_SECTION_PROG, 5, &n));
    assert_null(tern_model_section(m, TN_SECTION_PROG, 6, &n));
    assert_int_equal(n, 0);
    tern_model_close(m);

    char line[200];
    write_file(path, image.data, 10);
    assert_int_equal(tern_model_open(path, &o, &m, &err), TERN_ERR_INPUT);
    snprintf(line, sizeof line, "%s: head: the file has 10 bytes, expected at least 64", path);
    assert_string_equal(err.text, line);
    write_file(path, image.data, 0);
    assert_int_equal(tern_model_open(path, &o, &m, &err), TERN_ERR_INPUT);
    unlink(path);
    assert_int_equal(tern_model_open(path, &o, &m, &err), TERN_ERR_ENV);
    assert_int_equal(tern_model_open("/tmp", &o, &m, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "/tmp: is a directory, expected a regular file");
    assert_int_equal(tern_model_open(path, &o, &m, NULL), TERN_ERR_ENV);
    assert_int_equal(tern_model_open_memory(image.data + 1, image.size - 1, &o, &m, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "model in memory: its address is not a multiple of 64");
    free(image.data);
}

/* Levels: one that the machine cannot run is refused by name, and there is no silent fallback. */

static void levels(void **state) {
    (void)state;
    TernModel *m;
    TernError err = {0};
    char line[400];
    Image ref = fake_image();
    assert_int_equal(tern_model_open_memory(ref.data, ref.size, NULL, &m, &err), TERN_ERR_UNSUPPORTED);
    const char *here = tern_cpu_levels();
    snprintf(
        line, sizeof line,
        "the file has code for ref, this machine runs %s: run it evaluated (ternc_open_ref), or compile the "
        "model for this machine",
        *here ? here : "none of the levels");
    assert_string_equal(err.text, line);
    TernModelOptions o = {.size = sizeof o, .cpu = "sse9"};
    assert_int_equal(tern_model_open_memory(ref.data, ref.size, &o, &m, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "cpu level 'sse9' is unknown, expected one of avx2, avx-vnni, avx512-vnni, "
                                  "amx, neon, neon-dotprod, neon-i8mm, "
                                  "sm_80, sm_90a");
    free(ref.data);

    uint32_t mine = TN_LEVEL_REF;
    for (uint32_t l = 1; l < TN_LEVEL_SM_80; l++)
        if (tn_level_runs_here(l)) mine = l;
    if (mine == TN_LEVEL_REF) skip();
    /* Code of this machine's best level, whose kernels return at once. So the ids are the zeros of new memory. */
    Maker maker = fake_maker(mine, 300);
    Image image = maker_seal(&maker);
    assert_int_equal(tern_model_open_memory(image.data, image.size, NULL, &m, &err), TERN_OK);
    TernModelInfo info;
    tern_model_info(m, &info);
    assert_string_equal(info.level, tn_level_name(mine));
    for (uint32_t threads = 1; threads <= 3; threads++) {
        TernPool *pool;
        TernSession *s;
        TernRow row = {3, 0, TERN_WANT_GREEDY};
        assert_int_equal(
            tern_pool_create(&(TernPoolOptions){.size = sizeof(TernPoolOptions), .threads = threads}, &pool,
                             &err),
            0);
        assert_int_equal(tern_session_create(m, pool, NULL, &s, &err), TERN_OK);
        assert_int_equal(tern_session_step(s, &row, 1, NULL, NULL, &err), TERN_OK);
        assert_int_equal(tern_session_length(s, 0), 1);
        tern_session_destroy(s);
        tern_pool_destroy(pool);
    }
    tern_model_close(m);
    o.cpu = mine >= TN_LEVEL_NEON_DOTPROD ? "avx2" : "neon-dotprod";
    assert_int_equal(tern_model_open_memory(image.data, image.size, &o, &m, &err), TERN_ERR_UNSUPPORTED);
    snprintf(line, sizeof line,
             "cpu level '%s' is of another architecture: the file has code for %s, this machine runs %s",
             o.cpu, tn_level_name(mine), here);
    assert_string_equal(err.text, line);
    /* An entry outside the image, an export that is not there. */
    Section *code = maker_find(&maker, TN_SECTION_CODE, 0), *prog = maker_find(&maker, TN_SECTION_PROG, 0);
    code->bytes.data[sizeof(TnBlobCode)] = 4;
    free(image.data);
    image = maker_seal(&maker);
    assert_int_equal(tern_model_open_memory(image.data, image.size, NULL, &m, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "section CODE 0: export 0: entry is 4, expected below 4");
    code->bytes.data[sizeof(TnBlobCode)] = 0;
    prog->bytes.data[sizeof(TnBlobProg)] = 1;
    free(image.data);
    image = maker_seal(&maker);
    assert_int_equal(tern_model_open_memory(image.data, image.size, NULL, &m, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "section PROG 0: launch 0: export_index is 1, expected below 1");
    free(image.data);
    maker_free(&maker);
}

/* Text for GPUs: well-formed, it is refused only because no processor runs it. */
static void ptx_text(void **state) {
    (void)state;
    static const struct {
        size_t at; /* in the section */
        char byte;
        const char *error;
    } faults[] = {
        {64 + 21, 0, "section PTXT 0: image: a 0 at 21 of 35 bytes, expected one at the end"},
        {64 + 34, '\n', "section PTXT 0: image: a 0 at 35 of 35 bytes, expected one at the end"},
        {64 + 20, 'x', "section PTXT 0: export 0: no \".visible .entry ret(\" at 3"},
        {64 + 22, ' ', "section PTXT 0: export 0: no \".visible .entry ret(\" at 3"},
        {24, 4, "section PTXT 0: export 0: no \".visible .entry ret(\" at 4"},
        {24, 33, "section PTXT 0: export 0: no \".visible .entry ret(\" at 33"},
        {24, 35, "section PTXT 0: export 0: entry is 35, expected below 35"},
    };
    TernModel *m;
    TernError err = {0};
    Maker maker = fake_maker(TN_LEVEL_SM_80, 300);
    Section *text = maker_find(&maker, TN_SECTION_PTXT, 0), *prog = maker_find(&maker, TN_SECTION_PROG, 0);
    Image image = maker_seal(&maker);
    assert_int_equal(tern_model_open_memory(image.data, image.size, NULL, &m, &err), TERN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "the file has code for sm_80, this machine runs "));
    free(image.data);
    for (size_t i = 0; i < TN_COUNT(faults); i++) {
        char *byte = text->bytes.data + faults[i].at, before = *byte;
        *byte = faults[i].byte;
        image = maker_seal(&maker);
        assert_int_equal(tern_model_open_memory(image.data, image.size, NULL, &m, &err), TERN_ERR_INPUT);
        assert_string_equal(err.text, faults[i].error);
        free(image.data);
        *byte = before;
    }
    /* A PROG for a processor cannot refer to it. */
    ((TnBlobProg *)(void *)prog->bytes.data)->level = prog->row.level = TN_LEVEL_AVX2;
    maker_find(&maker, TN_SECTION_PLAN, 0)->row.level = TN_LEVEL_AVX2;
    image = maker_seal(&maker);
    assert_int_equal(tern_model_open_memory(image.data, image.size, NULL, &m, &err), TERN_ERR_INPUT);
    assert_non_null(strstr(err.text, "expected a CODE section of level 1"));
    free(image.data);
    maker_free(&maker);
}

static void level_names(void **state) {
    (void)state;
    for (uint32_t l = 0; l < 40; l++)
        if (tn_level_name(l)) assert_int_equal(tn_level_number(tn_level_name(l)), l);
    assert_int_equal(tn_level_number("avx"), UINT32_MAX);
    assert_true(tn_level_under(TN_LEVEL_AVX2, TN_LEVEL_AMX));
    assert_false(tn_level_under(TN_LEVEL_AMX, TN_LEVEL_AVX512_VNNI));
    assert_false(tn_level_under(TN_LEVEL_AVX2, TN_LEVEL_NEON_DOTPROD));
    assert_false(tn_level_under(TN_LEVEL_NEON_DOTPROD, TN_LEVEL_AMX));
    assert_false(tn_level_under(TN_LEVEL_AVX2, TN_LEVEL_SM_80));
    assert_true(tn_level_under(TN_LEVEL_SM_80, TN_LEVEL_SM_90A));
    assert_false(tn_level_runs_here(TN_LEVEL_REF));
    assert_false(tn_level_runs_here(TN_LEVEL_SM_80));
    assert_string_equal(tern_version(), TERN_VERSION);
}

/* Options of older and newer callers. */
static void option_sizes(void **state) {
    (void)state;
    TernError err = {0};
    TernPool *pool;
    struct {
        TernPoolOptions o;
        uint64_t more;
    } newer = {{.size = sizeof newer, .threads = 1}, 0};
    assert_int_equal(tern_pool_create(&newer.o, &pool, &err), TERN_OK);
    tern_pool_destroy(pool);
    newer.more = 1;
    assert_int_equal(tern_pool_create(&newer.o, &pool, &err), TERN_ERR_INPUT);
    assert_string_equal(
        err.text, "TernPoolOptions.size is 40 and byte 32 is set, expected zeros after the 32 known here");
    newer.o.size = 0;
    assert_int_equal(tern_pool_create(&newer.o, &pool, &err), TERN_ERR_INPUT);
    newer.o.size = sizeof(size_t); /* a caller that knew no field: all defaults */
    newer.o.threads = 77777;
    assert_int_equal(tern_pool_create(&newer.o, &pool, &err), TERN_OK);
    assert_int_equal(tern_pool_threads(pool), tn_os_threads());
    tern_pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(every_byte_flipped),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(wrong_contents),
        cmocka_unit_test(wrong_outside),
        cmocka_unit_test(damage),
        cmocka_unit_test(random_contents),
        cmocka_unit_test(weight_chunks),
        cmocka_unit_test(files),
        cmocka_unit_test(levels),
        cmocka_unit_test(ptx_text),
        cmocka_unit_test(level_names),
        cmocka_unit_test(option_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
