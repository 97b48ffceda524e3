/* Slots in files: what comes back gives what was never away, for each cache type, in contexts of other sizes; a second reader,
 * made from docs/prompt_cache.md alone, finds the same; and nothing that is damaged or forged is taken. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/base/hash.h"
#include "slots.h"

static char path[] = "/tmp/tern-slot-XXXXXX";

typedef struct Place {
    TernGenerator *g;
    TernSlot *slot;
} Place;

static Place place(uint32_t context, uint32_t batch, TernKv kv) {
    Place p;
    TernError err;
    TernGeneratorOptions o = {.size = sizeof o, .slots = 2, .context = context, .batch = batch, .kv = kv};
    must(tern_generator_create(model, pool, &o, &p.g, &err), &err);
    must(tern_slot_create(p.g, &p.slot, &err), &err);
    return p;
}

static void leave(Place p) {
    tern_slot_destroy(p.slot);
    tern_generator_destroy(p.g);
}

static Heard ask(Place p, const int32_t *ids, size_t n) {
    Heard h = {.got = {.size = sizeof h.got}};
    TernError err;
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    so.seed = n;
    TernRequest r = {.size = sizeof r,
                     .ids = ids,
                     .n_ids = n,
                     .max_tokens = 5,
                     .ignore_eog = 1,
                     .sampler = &so,
                     .slot = p.slot};
    must(tern_generate(p.g, &r, hear, &h, &h.got, &err), &err);
    return h;
}

static void same_answers(const Heard *a, const Heard *b) {
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, a->n * sizeof *a->ids);
}

static void make_ids(int32_t *ids, size_t n, unsigned draw) {
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)((draw = draw * 1103515245u + 12345u) >> 16) % 500;
}

static uint8_t *read_all(size_t *n) {
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *bytes = malloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
    close(fd);
    *n = (size_t)st.st_size;
    return bytes;
}

static void write_all(const uint8_t *bytes, size_t n) {
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

/* ---- there and back */

static void comes_back(TernKv kv) {
    static const uint32_t lengths[] = {1, 2, 63, 64, 65, 100, 128, 150};
    int32_t ids[CONTEXT];
    TernError err;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint32_t n = lengths[i];
        if (evaluated() && n != 65) continue; /* that takes seconds */
        make_ids(ids, CONTEXT, n);
        Place a = place(CONTEXT, 0, kv), b = place(n + 30, 3, kv), fresh = place(CONTEXT, 7, kv);
        ask(a, ids, n);
        must(tern_slot_save(a.slot, n, path, &err), &err);
        size_t in_file = 0, held, more = n + 9;
        must(tern_slot_load(b.slot, path, ids, more, &in_file, &err), &err);
        const int32_t *got = tern_slot_ids(b.slot, &held);
        assert_int_equal(in_file, n);
        assert_int_equal(held, n);
        assert_memory_equal(got, ids, n * sizeof *ids);
        Heard x = ask(b, ids, more), y = ask(fresh, ids, more);
        assert_int_equal(x.got.n_reused, n);
        same_answers(&x, &y);
        /* another end: only the common beginning is loaded; the same file, whoever wrote it */
        size_t first, second;
        uint8_t *one = read_all(&first);
        must(tern_slot_save(b.slot, n, path, &err), &err);
        uint8_t *two = read_all(&second);
        assert_int_equal(first, second);
        assert_memory_equal(one, two, first);
        free(one);
        free(two);
        ids[n / 2] = 7;
        ids[n / 2 + 1] = 8;
        must(tern_slot_load(b.slot, path, ids, more, &in_file, &err), &err);
        x = ask(b, ids, more);
        y = ask(fresh, ids, more);
        same_answers(&x, &y);
        assert_true(x.got.n_reused >= n / 2 && x.got.n_reused <= n / 2 + 2);
        /* all of it, without a prompt */
        must(tern_slot_load(a.slot, path, NULL, 0, NULL, &err), &err);
        tern_slot_ids(a.slot, &held);
        assert_int_equal(held, n);
        leave(a);
        leave(b);
        leave(fresh);
    }
}

static void all_caches_come_back(void **state) {
    (void)state;
    for (TernKv kv = evaluated() ? TERN_KV_I8 : TERN_KV_F16; kv <= TERN_KV_I8; kv++) comes_back(kv);
}

/* ---- a second reader */

static uint64_t le(const uint8_t *p, int n) {
    uint64_t v = 0;
    while (n--) v = v << 8 | p[n];
    return v;
}

static void is_hash(const uint8_t *at, const void *bytes, size_t n) {
    assert_memory_equal(tn_hash128(bytes, n).bytes, at, 16);
}

/* docs/prompt_cache.md, field by field. */
static void second_reader(const uint8_t *f, size_t size, const int32_t *ids, uint32_t n, TernKv kv,
                          size_t page) {
    static const uint8_t zeros[64];
    TernModelInfo info;
    tern_model_info(model, &info);
    assert_memory_equal(f, "\x89TPC\r\n\x1a\n", 8);
    assert_int_equal(le(f + 8, 4), 1);
    assert_int_equal(le(f + 12, 4), 128);
    assert_int_equal(le(f + 16, 8), size);
    assert_int_equal(le(f + 24, 4), n);
    assert_int_equal(le(f + 28, 4), kv);
    assert_int_equal(le(f + 32, 8), page);
    assert_int_equal(le(f + 40, 4), info.n_vocab);
    assert_int_equal(le(f + 44, 4), 0);
    assert_memory_equal(f + 48, tern_model_hash(model).bytes, 16);
    assert_memory_equal(f + 96, zeros, 32);
    size_t pages = (n + 63) / 64, hashes = 128 + (n * 4 + 63) / 64 * 64,
           first = hashes + (pages * 16 + 63) / 64 * 64;
    is_hash(f + 64, f + 128, first - 128);
    uint8_t head[128];
    memcpy(head, f, sizeof head);
    memset(head + 80, 0, 16);
    is_hash(f + 80, head, sizeof head);
    for (uint32_t i = 0; i < n; i++) assert_int_equal(le(f + 128 + 4 * i, 4), ids[i]);
    for (size_t i = 128 + 4 * n; i < hashes; i++) assert_int_equal(f[i], 0);
    for (size_t i = 0; i < pages; i++) is_hash(f + hashes + 16 * i, f + first + i * page, page);
    for (size_t i = hashes + 16 * pages; i < first; i++) assert_int_equal(f[i], 0);
    assert_int_equal(size, first + pages * page);
}

/* What a page holds: an f32 cache, whose keys lie by dimension and whose values by position. Positions after n are zero. */
static void tail_is_zero(const uint8_t *page, uint32_t n) {
    TernModelInfo info;
    tern_model_info(model, &info);
    size_t dim = info.head_dim, head = dim * 64 * 4, layer = head * info.n_kv_heads, some = 0;
    for (uint32_t l = 0; l < info.n_layers; l++)
        for (uint32_t h = 0; h < info.n_kv_heads; h++) {
            const uint8_t *k = page + 2 * l * layer + h * head, *v = k + layer;
            for (size_t d = 0; d < dim; d++)
                for (uint32_t p = 0; p < 64; p++) {
                    bool is_zero = !le(k + (d * 64 + p) * 4, 4) && !le(v + (p * dim + d) * 4, 4);
                    assert_true(is_zero || p < n);
                    some += !is_zero;
                }
        }
    assert_true(some > (size_t)info.n_layers * info.n_kv_heads * dim * n / 2);
}

static void read_by_another(void **state) {
    (void)state;
    int32_t ids[CONTEXT];
    TernError err;
    make_ids(ids, CONTEXT, 3);
    for (TernKv kv = TERN_KV_F16; kv <= TERN_KV_I8; kv++)
        for (uint32_t n = evaluated() ? 67 : 60; n < 68; n += 7) {
            Place a = place(CONTEXT, 0, kv);
            ask(a, ids, evaluated() ? 70 : 90); /* so that the last page holds more than the file may */
            must(tern_slot_save(a.slot, n, path, &err), &err);
            size_t size, page = tern_session_page_bytes(tern_generator_session(a.g));
            uint8_t *f = read_all(&size);
            second_reader(f, size, ids, n, kv, page);
            if (kv == TERN_KV_F32) tail_is_zero(f + size - page, (n - 1) % 64 + 1);
            free(f);
            leave(a);
        }
}

/* ---- damage and forgery */

static void refuse(Place p, const char *line) {
    TernError err = {0};
    size_t held;
    char want[300];
    snprintf(want, sizeof want, "%s: %s", path, line);
    TernStatus st = tern_slot_load(p.slot, path, NULL, 0, NULL, &err);
    assert_true(st == TERN_ERR_INPUT || st == TERN_ERR_UNSUPPORTED);
    if (*line) assert_string_equal(err.text, want);
    assert_true(strlen(err.text) > strlen(path) + 2 && !strchr(err.text, '\n'));
    tern_slot_ids(p.slot, &held);
    assert_int_equal(held, 0);
}

static void every_byte_counts(void **state) {
    (void)state;
    int32_t ids[CONTEXT];
    TernError err;
    size_t size;
    make_ids(ids, CONTEXT, 9);
    Place a = place(CONTEXT, 0, TERN_KV_I8);
    ask(a, ids, 70);
    must(tern_slot_save(a.slot, 70, path, &err), &err);
    uint8_t *f = read_all(&size);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i += i < 700 ? 1 : 211) {
        uint8_t flipped = (uint8_t)(f[i] ^ 1 << i % 8);
        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)i), 1);
        refuse(a, "");
        assert_int_equal(pwrite(fd, &f[i], 1, (off_t)i), 1);
    }
    close(fd);
    must(tern_slot_load(a.slot, path, NULL, 0, NULL, &err), &err);
    for (size_t n = 0; n < size; n += n < 800 ? 13 : size / 9) {
        write_all(f, n);
        refuse(a, "");
    }
    f = realloc(f, size + 1);
    f[size] = 0;
    write_all(f, size + 1);
    refuse(a, "");
    free(f);
    leave(a);
}

/* Changes a field and makes all hashes right. */
static void forge(const uint8_t *f, size_t size, size_t at, int width, uint64_t value) {
    uint8_t *g = malloc(size);
    memcpy(g, f, size);
    for (int i = 0; i < width; i++) g[at + (size_t)i] = (uint8_t)(value >> 8 * i);
    uint32_t n = (uint32_t)le(f + 24, 4);
    size_t pages = (n + 63) / 64, hashes = 128 + (n * 4 + 63) / 64 * 64,
           first = hashes + (pages * 16 + 63) / 64 * 64;
    memcpy(g + 64, tn_hash128(g + 128, first - 128).bytes, 16);
    memset(g + 80, 0, 16);
    memcpy(g + 80, tn_hash128(g, 128).bytes, 16);
    write_all(g, size);
    free(g);
}

static void forged(void **state) {
    (void)state;
    int32_t ids[CONTEXT];
    TernError err;
    size_t size;
    char line[200];
    make_ids(ids, CONTEXT, 9);
    Place a = place(CONTEXT, 0, TERN_KV_F16), other = place(CONTEXT, 0, TERN_KV_I8), small = place(30, 0, 0);
    ask(a, ids, 33);
    must(tern_slot_save(a.slot, 33, path, &err), &err);
    uint8_t *f = read_all(&size);
    refuse(other, "its cache is f16, expected i8");
    refuse(small, "it has 33 positions, but the context has 30");
    forge(f, size, 0, 1, 'M');
    refuse(a, "not a prompt cache: it begins with 4d 54 50 43, expected 89 54 50 43");
    forge(f, size, 8, 4, 2);
    refuse(a, "version is 2, expected 1");
    forge(f, size, 12, 4, 64);
    refuse(a, "head_bytes is 64, expected 128");
    forge(f, size, 16, 8, size - 1);
    snprintf(line, sizeof line, "has %zu bytes, expected %zu", size, size - 1);
    refuse(a, line);
    forge(f, size, 24, 4, 0);
    refuse(a, "n is 0 positions, expected 1 to 16777216");
    forge(f, size, 24, 4, UINT32_MAX);
    refuse(a, "n is 4294967295 positions, expected 1 to 16777216");
    for (uint64_t n = 49; n <= 1 << 24; n = n * 3 + 1) {
        forge(f, size, 24, 4, n);
        refuse(a, "");
    }
    forge(f, size, 28, 4, 0);
    refuse(a, "kv is 0, expected the number of one of f16, f32, i8");
    forge(f, size, 28, 4, 4);
    refuse(a, "kv is 4, expected the number of one of f16, f32, i8");
    for (uint64_t bytes = 0; bytes < 63; bytes++) {
        forge(f, size, 32, 8, 1ull << bytes);
        refuse(a, "");
    }
    forge(f, size, 32, 8, UINT64_MAX);
    refuse(a, "");
    forge(f, size, 40, 4, 400);
    refuse(a, "");
    forge(f, size, 44, 4, 1);
    refuse(a, "reserved bytes are not 0");
    forge(f, size, 127, 1, 1);
    refuse(a, "reserved bytes are not 0");
    forge(f, size, 50, 1, f[50] ^ 1u);
    refuse(a, "it was made with another model, or by another build of Tern, expected those in use");
    forge(f, size, 128, 4, 0xffffffff);
    refuse(a, "id 0 is -1, expected 0 to 1791");
    forge(f, size, 132, 4, 1792);
    refuse(a, "id 1 is 1792, expected 0 to 1791");
    forge(f, size, 128 + 33 * 4, 1, 5);
    refuse(a, "byte 260 is 0x05, expected 0");
    forge(f, size, size - 1, 1, 1);
    refuse(a, "damaged: page 0 of 1 has another hash than it should");
    write_all((const uint8_t *)"GGUF\3\0\0\0", 8);
    refuse(a, "");
    write_all(f, 0);
    refuse(a, "");
    /* a beginning fits a small context, and an unfit slot is left empty and of use */
    write_all(f, size);
    must(tern_slot_load(small.slot, path, ids, 20, NULL, &err), &err);
    size_t held;
    tern_slot_ids(small.slot, &held);
    assert_int_equal(held, 20);
    Heard x = ask(small, ids, 22), y = ask(a, ids, 22);
    same_answers(&x, &y);
    assert_int_equal(tern_slot_save(a.slot, CONTEXT, path, &err), TERN_ERR_INPUT);
    assert_int_equal(tern_slot_save(a.slot, 0, path, &err), TERN_ERR_INPUT);
    assert_int_equal(tern_slot_save(a.slot, 5, "/dev/null", &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "/dev/null: is a pipe or device, expected a file");
    assert_int_equal(tern_slot_save(a.slot, 5, "/dev/full/x", &err), TERN_ERR_ENV);
    assert_int_equal(tern_slot_load(a.slot, "/nonexistent/x", NULL, 0, NULL, &err), TERN_ERR_ENV);
    assert_int_equal(tern_slot_load(a.slot, path, NULL, 1, NULL, &err), TERN_ERR_INPUT);
    free(f);
    leave(a);
    leave(other);
    leave(small);
}

static int open_all(void **state) {
    (void)state;
    open_model(NULL, 0);
    int fd = mkstemp(path);
    return fd < 0 || close(fd);
}

static int close_all(void **state) {
    (void)state;
    unlink(path);
    close_model();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_caches_come_back),
        cmocka_unit_test(read_by_another),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(forged),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
