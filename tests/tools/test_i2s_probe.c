/* The probe of I2_S layouts: a trained model, whose codes are put into each layout by an encoder of this file, and one with random
 * weights, of which nothing can be said. */
#include "tests/ir/tir_text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "frontends/api/ternc_tools.h"
#include "frontends/gguf/gguf.h"
#include "frontends/tools/report.h"
#include "runtime/base/os.h"
#include "support/gguf_model.h"
#include "support/sanitized.h"

static const char *const layouts[] = {"128x32", "64x16", "1x4"};

/* Code i of the flat tensor in a layout: its byte, and which two bits from the lowest. */
static size_t place(const char *layout, size_t i, size_t cols, int *shift) {
    if (strcmp(layout, "1x4") == 0) {
        size_t row = i / cols;
        *shift = 6 - 2 * (int)(row % 4);
        return row / 4 * cols + i % cols;
    }
    size_t block = strcmp(layout, "64x16") == 0 ? 64 : 128, quarter = block / 4, at = i % block;
    *shift = 6 - 2 * (int)(at / quarter);
    return i / block * quarter + at % quarter;
}

/* A copy of a model in the first layout, its I2_S tensors in another. */
static void write_as(const char *from, const char *layout, const char *to) {
    TnGguf *g;
    TernError err;
    if (tn_gguf_open(from, false, &g, &err) != TERN_OK) fail_msg("%s", err.text);
    uint8_t *bytes = malloc(g->file.size);
    memcpy(bytes, g->file.data, g->file.size);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const TnGgufTensor *t = &g->tensors[i];
        if (t->enc != TN_ENC_i2s) continue;
        size_t n = t->ne[0] * t->ne[1];
        uint8_t *out = bytes + (t->data - g->file.data);
        memset(out, 0, n / 4);
        for (size_t k = 0; k < n; k++) {
            int shift, own;
            size_t at = place("128x32", k, t->ne[0], &shift);
            uint8_t code = t->data[at] >> shift & 3;
            at = place(layout, k, t->ne[0], &own);
            out[at] |= (uint8_t)(code << own);
        }
    }
    FILE *f = fopen(to, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, g->file.size, f), g->file.size);
    fclose(f);
    free(bytes);
    tn_gguf_close(g);
}

static void take(void *user, const char *what, const char *text, size_t n) {
    if (strcmp(what, "result") == 0) tn_buf_put(user, text, n);
}

static TernStatus probe(const char *path, const char *layout, const char *override, TnBuf *out,
                        TernError *err) {
    TerncSource source = {.size = sizeof source,
                          .path = path,
                          .i2s_layout = layout,
                          .overrides = &override,
                          .n_overrides = override ? 1 : 0};
    TerncImport o = {.size = sizeof o, .source = &source, .i2s_probe = 1};
    TernStatus st = ternc_import(&o, take, out, err);
    tn_buf_puts(out, "");
    return st;
}

static void says(const char *path, const char *read, const char *want) {
    TnBuf out = {0};
    TernError err;
    if (probe(path, read, NULL, &out, &err) != TERN_OK) fail_msg("%s", err.text);
    char line[200];
    snprintf(line, sizeof line, "  I2_S probe         %s\n", want);
    if (!strstr(out.data, line))
        fail_msg("the report does not say %s but\n%s", line, strstr(out.data, "to know"));
    tn_buf_free(&out);
}

static const char trained[] = TERN_SOURCE_DIR "/models/verse-i2_s.gguf";
static char path[64];

static void a_trained_model(void **state) {
    (void)state;
    /* a sanitizer sees each decoder in the tests of ir, and every probe reads all three layouts */
    for (size_t i = 0; i < (TN_SANITIZED ? 1 : 3); i++) {
        char want[80];
        write_as(trained, layouts[i], path);
        snprintf(want, sizeof want, "%s, as it is read", layouts[i]);
        says(path, layouts[i], want);
        snprintf(want, sizeof want, "%s: --i2s-layout %s reads it", layouts[i], layouts[i]);
        says(path, layouts[(i + 1) % 3], want);
    }
}

/* Other bytes in place of the codes: no layout knows a text. */
static void an_untrained_one(void **state) {
    (void)state;
    write_as(trained, "128x32", path);
    TnGguf *g;
    TernError err;
    assert_int_equal(tn_gguf_open(path, false, &g, &err), TERN_OK);
    FILE *f = fopen(path, "rb+");
    uint32_t seed = 1;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const TnGgufTensor *t = &g->tensors[i];
        if (t->enc != TN_ENC_i2s) continue;
        fseek(f, (long)(t->data - g->file.data), SEEK_SET);
        for (size_t k = 0; k < t->ne[0] * t->ne[1] / 4; k++) {
            int byte = 0;
            for (int j = 0; j < 4; j++)
                seed = seed * 1664525 + 1013904223, byte = byte << 2 | (int)((seed >> 16) % 3);
            fputc(byte, f);
        }
    }
    fclose(f);
    tn_gguf_close(g);
    says(path, NULL, "undecided: no layout is better by a wide margin");
}

/* A loss that is not a number is no loss, wherever it stands. */
static void losses(void **state) {
    (void)state;
    static const struct {
        double loss[3];
        size_t best;
    } list[] = {{{2, 7, 8}, 0},       {{7, 2, 8}, 1},           {{NAN, 7, 2}, 2},   {{2, NAN, NAN}, 0},
                {{NAN, NAN, 2}, 2},   {{NAN, 2, INFINITY}, 1},  {{NAN, 2, 2.5}, 3}, {{2, 2.5, NAN}, 3},
                {{NAN, NAN, NAN}, 3}, {{INFINITY, NAN, 6.5}, 3}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        assert_int_equal(tn_i2s_best(list[i].loss, 3, 7), list[i].best);
}

/* Too few positions for a prompt are refused; with a few more, as many ids are scored. */
static void short_contexts(void **state) {
    (void)state;
    TnBuf out = {0};
    TernError err;
    char want[200];
    assert_int_equal(probe(trained, NULL, "bitnet-b1.58.context_length=int:1", &out, &err), TERN_ERR_INPUT);
    snprintf(want, sizeof want, "%s has 1 positions, expected at least 8, which TerncImport.i2s_probe needs",
             trained);
    assert_string_equal(err.text, want);
    out.len = 0;
    if (probe(trained, NULL, "bitnet-b1.58.context_length=int:9", &out, &err) != TERN_OK)
        fail_msg("%s", err.text);
    assert_non_null(strstr(out.data, "loss a token of a text of 9: "));
    tn_buf_free(&out);
}

/* A layout that the shapes do not allow is reported with what they lack. */
static void a_layout_that_is_not_possible(void **state) {
    (void)state;
    TnBuf out = {0};
    TernError err;
    TnBuf file = {0};
    TnGmSpec spec = tn_gm_small;
    char want[200];
    spec.vocab = 300;
    spec.ffn = 130;
    TnGw *w = tn_gm_create(&spec);
    tn_gw_bytes(w, &file, NULL, NULL);
    tn_gw_destroy(w);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(file.data, 1, file.len, f), file.len);
    fclose(f);
    if (probe(path, NULL, NULL, &out, &err) != TERN_OK) fail_msg("%s", err.text);
    snprintf(want, sizeof want,
             "1x4 not possible (%s: tensor blk.0.ffn_gate.weight has 130 rows of 256 elements, "
             "expected a multiple of 4 rows for I2_S in 1x4)",
             path);
    if (!strstr(out.data, want))
        fail_msg("the report does not say %s but\n%s", want, strstr(out.data, "I2_S probe"));
    tn_buf_free(&file);
    tn_buf_free(&out);
}

int main(void) {
    snprintf(path, sizeof path, "/tmp/tern-probe-%d.gguf", (int)getpid());
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_trained_model), cmocka_unit_test(an_untrained_one),
                                       cmocka_unit_test(losses), cmocka_unit_test(short_contexts),
                                       cmocka_unit_test(a_layout_that_is_not_possible)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return rc;
}
