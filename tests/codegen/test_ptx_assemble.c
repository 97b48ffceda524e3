/* NVIDIA's assembler over the ptx target's kernels: those of the trained model, for each architecture, without spills; and a
 * table of what becomes of products in the shapes of published models: registers, and how many loads are issued before the
 * first product, which is what makes them fast. The table is tests/data/ptx_products.txt; TERN_REFRESH=1 writes it.
 *
 * It is for one version of ptxas. Another one is only asked whether it spills. */
#include "codegen/ptx_cases.h"
#include "frontends/gguf/gguf.h"

#define TABLE   TERN_SOURCE_DIR "/tests/data/ptx_products.txt"
#define VERSION "V13.0.88"

/* Where a text is assembled: what ptxas says, and the cubin. */
typedef struct Assembled {
    TnBuf log, cubin;
} Assembled;

static void run(const char *command, TnBuf *out) {
    FILE *f = popen(command, "r");
    char line[4096];
    size_t n;
    assert_non_null(f);
    while ((n = fread(line, 1, sizeof line, f)) > 0) tn_buf_put(out, line, n);
    tn_buf_put(out, "", 1);
    if (pclose(f) != 0) fail_msg("%s: %s", command, out->data);
}

static Assembled assemble(const TnBuf *text, const char *target) {
    char source[] = "/tmp/ptxas_XXXXXX", cubin[] = "/tmp/cubin_XXXXXX", command[8300];
    Assembled a = {{0}, {0}};
    int fd = mkstemp(source), to = mkstemp(cubin);
    assert_true(fd >= 0 && to >= 0);
    assert_int_equal(write(fd, text->data, text->len), text->len);
    close(fd);
    snprintf(command, sizeof command, "'%s' -v -arch=%s -o '%s' '%s' 2>&1", ptxas_path(), target, cubin,
             source);
    run(command, &a.log);
    char bytes[4096];
    ssize_t n;
    while ((n = read(to, bytes, sizeof bytes)) > 0) tn_buf_put(&a.cubin, bytes, (size_t)n);
    close(to);
    unlink(source);
    unlink(cubin);
    return a;
}

static void assembled_free(Assembled *a) {
    tn_buf_free(&a->log);
    tn_buf_free(&a->cubin);
}

/* Fails if any kernel keeps registers in memory; returns the number of kernels. */
static uint32_t check_spills(const Assembled *a, const char *what) {
    uint32_t n = 0;
    for (const char *p = a->log.data; (p = strstr(p, "bytes spill stores")); p++, n++) {
        const char *count = p - 2;
        while (count > a->log.data && count[-1] != ' ') count--;
        if (strncmp(count, "0 ", 2) != 0) fail_msg("%s: spills: %.300s", what, count);
    }
    return n;
}

static bool skipped(void) {
    if (ptxas_path()) return false;
    print_message("skipped: no ptxas on PATH, in $CUDA_HOME/bin or /usr/local/cuda/bin\n");
    return true;
}

/* ---- the trained model */

static void trained_model(void **state) {
    (void)state;
    if (skipped()) skip();
    static const struct {
        const char *level, *target;
    } targets[] = {{"sm_80", "sm_80"},
                   {"sm_80", "sm_86"},
                   {"sm_80", "sm_89"},
                   {"sm_90a", "sm_90a"},
                   {"sm_80", "sm_100"}};
    TernError err = {0};
    TnGguf *gg;
    TnGraph *g;
    TnFacts facts;
    if (tn_gguf_open(TERN_SOURCE_DIR "/models/verse-i2_s.gguf", false, &gg, &err)) fail_msg("%s", err.text);
    if (tn_gguf_graph(gg, &(TnGgufOptions){0}, &g, &facts, &err)) fail_msg("%s", err.text);
    TnWeights weights = tn_gguf_weights(gg);
    for (size_t i = 0; i < TN_COUNT(targets); i++) {
        TnCompileOptions o = {
            .levels = &targets[i].level, .n_levels = 1, .head = i % 2 ? TN_ENC_s6 : TN_ENC_COUNT};
        TnBuf text = {0};
        if (tn_compile_show(g, &weights, &facts, &o, "ptx", &text, &err)) fail_msg("%s", err.text);
        Assembled a = assemble(&text, targets[i].target);
        uint32_t n = check_spills(&a, targets[i].target);
        print_message("%s: %u kernels\n", targets[i].target, n);
        assert_true(n > 30);
        assembled_free(&a);
        tn_buf_free(&text);
    }
    tn_graph_destroy(g);
    tn_gguf_close(gg);
}

/* ---- products */

typedef struct Counts {
    uint32_t registers, loads, before, idp, imma, ffma; /* before: loads before the first idp, imma or ffma */
} Counts;

static uint64_t at(const TnBuf *b, size_t i, uint32_t bytes) {
    uint64_t v = 0;
    assert_true(i + bytes <= b->len);
    memcpy(&v, b->data + i, bytes);
    return v;
}

/* The instructions of kernel_0 in a cubin, an ELF file: 16 bytes each, whose low 12 bits say what it is. */
static Counts count(const Assembled *a) {
    const TnBuf *b = &a->cubin;
    Counts c = {0};
    size_t table = at(b, 40, 8), n = at(b, 60, 2), names = at(b, table + 64 * at(b, 62, 2) + 24, 8);
    for (size_t i = 0; i < n; i++) {
        size_t row = table + 64 * i, from = at(b, row + 24, 8), size = at(b, row + 32, 8);
        if (strcmp(b->data + names + at(b, row, 4), ".text.kernel_0")) continue;
        for (size_t k = from; k < from + size; k += 16) {
            uint32_t op = (uint32_t)at(b, k, 2) & 0xfff;
            c.loads += op == 0x981;
            c.before += op == 0x981 && !c.idp && !c.imma && !c.ffma;
            c.idp += op == 0x226;
            c.imma += op == 0x237;
            c.ffma += op == 0x223;
        }
    }
    const char *used = strstr(a->log.data, "Used ");
    assert_non_null(used);
    c.registers = (uint32_t)atoi(used + 5);
    return c;
}

static TnBuf table;

/* @main of the text said so far, for steps of up to rows_hi rows. */
static void add_row(const char *name, int rows_hi) {
    for (size_t t = 0; t < TN_COUNT(ptx_targets); t++) {
        TnGraph *g = case_graph(ptx_targets[t].target, rows_hi);
        TnBuf text = {0};
        uint32_t kernel = 0;
        while (strcmp(g->kernels[kernel].name, "main")) kernel++;
        g->rows_lo = rows_hi == 1 ? 1 : 2;
        (void)ptx_emit(g, kernel, t, &text, name);
        Assembled a = assemble(&text, ptx_targets[t].target);
        check_spills(&a, name);
        Counts c = count(&a);
        tn_buf_printf(&table, "%-24s %4d %-7s %9u %5u %6u %5u %5u %5u\n", name, rows_hi,
                      ptx_targets[t].target, c.registers, c.loads, c.before, c.idp, c.imma, c.ffma);
        assembled_free(&a);
        tn_buf_free(&text);
        tn_graph_destroy(g);
    }
}

static void say_main(const char *root, int grain, int m) {
    say("kernel @main {root=%s, target=ptx, axis=cols, grain=%d, units=%d, barrier=1}\n", root, grain,
        (m + grain - 1) / grain);
}

/* A ternary product with what the passes put around it: norm and quantiser before it in the class of one row. */
static void ternary(const char *name, int m, int k, int grain) {
    static const int classes[] = {1, 8, 512};
    for (size_t i = 0; i < TN_COUNT(classes); i++) {
        say("$w: p64[%d,%d] scale=0x1p-3 = random {seed=5}\n$g: f32[%d] = random {seed=9}\n", m, k, k);
        if (classes[i] == 1)
            say("%%x: f32[T,%d] = input {name=\"x\"}\n", k);
        else
            say_q8(k);
        say_main("tmatmul", grain, m);
        if (classes[i] == 1)
            say("%%n: f32[T,%d] = rmsnorm %%x, $g {eps=0x1p-17}\n%%q: q8[T,%d] = quant %%n\n", k, k);
        say("%%a: i32[T,%d] = tmatmul %%q, $w\n%%y: f32[T,%d] = dequant %%a, %%q, $w {off=1048576}\nend\n", m,
            m);
        add_row(name, classes[i]);
        case_done();
    }
}

static void by_groups(const char *name, int m, int k) {
    static const int classes[] = {1, 8};
    for (size_t i = 0; i < TN_COUNT(classes); i++) {
        say("$w: r64[%d,%d] scale=group:128 = random {seed=5}\n%%x: f32[T,%d] = input {name=\"x\"}\n", m, k,
            k);
        say("kernel @before {root=none, target=ptx, axis=rows, grain=1, units=1, barrier=1}\n"
            "%%q: q8g[T,%d] scale=group:128 = quant_groups %%x {n=128, off=0}\nend\n",
            k);
        say_main("tmatmul_groups", 64, m);
        say("%%y: f32[T,%d] = tmatmul_groups %%q, $w {off=1048576}\nend\n", m);
        add_row(name, classes[i]);
        case_done();
    }
}

static void dense(const char *name, const char *enc, int m, int k) {
    say("$w: %s[%d,%d] = random {seed=5}\n%%x: f32[T,%d] = input {name=\"x\"}\n", enc, m, k, k);
    say_main("matmul", 64, m);
    say("%%y: f32[T,%d] = matmul %%x, $w {off=0}\nend\n", m);
    add_row(name, 1);
    add_row(name, 8);
    case_done();
}

static void products(void **state) {
    (void)state;
    if (skipped()) skip();
    char command[4200];
    TnBuf said = {0};
    tn_buf_printf(&table, "Products as ptxas " VERSION
                          " assembles them: loads in all, and before the first product\n");
    tn_buf_puts(&table, "kernel                   rows target  registers loads before   idp  imma  ffma\n");
    ternary("qkv 3840x2560", 3840, 2560, 128);
    ternary("o 2560x2560", 2560, 2560, 16);
    ternary("gate|up 13824x2560", 13824, 2560, 64);
    ternary("down 2560x6912", 2560, 6912, 16);
    by_groups("groups 4096x4096", 4096, 4096);
    by_groups("groups 4096x12288", 4096, 12288);
    dense("head f16 128256x2560", "f16", 128256, 2560);
    dense("head f32 151936x4096", "f32", 151936, 4096);
    snprintf(command, sizeof command, "'%s' --version", ptxas_path());
    run(command, &said);
    if (!strstr(said.data, VERSION)) {
        print_message("skipped: the table is for ptxas " VERSION "\n");
    } else if (getenv("TERN_REFRESH")) {
        FILE *f = fopen(TABLE, "w");
        assert_non_null(f);
        fwrite(table.data, 1, table.len, f);
        fclose(f);
    } else {
        FILE *f = fopen(TABLE, "r");
        char line[200];
        if (!f) fail_msg(TABLE " is missing: TERN_REFRESH=1 writes it");
        for (const char *p = table.data; p < table.data + table.len; p = strchr(p, '\n') + 1)
            if (!fgets(line, sizeof line, f) || strncmp(p, line, strlen(line)))
                fail_msg(TABLE " is out of date (TERN_REFRESH=1 writes it): got %.*s, expected %s",
                         (int)strcspn(p, "\n"), p, line);
        fclose(f);
    }
    tn_buf_free(&said);
    tn_buf_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(trained_model),
                                       cmocka_unit_test_teardown(products, case_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
