/* A blob whose parts disagree, each with correct hashes: `verify` runs the code in it and must notice.
 * --target ref alone would evaluate the text and could not notice. */
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
#include "runtime/abi/blob.h"
#include "runtime/base/buf.h"
#include "runtime/base/hash.h"
#include "runtime/base/os.h"

static char path[] = "/tmp/tern-verify-XXXXXX";
static const char *level; /* "ref" where nothing compiles */
static char *blob;        /* as it was compiled */
static size_t blob_n;
static const int32_t tokens[] = {1789, 978, 1530, 317, 44, 9, 100, 3, 1, 0, 44};

static void take(void *user, const char *what, const char *text, size_t n) {
    assert_string_equal(what, "result");
    tn_buf_put(user, text, n);
    tn_buf_puts(user, "");
}

/* Writes `bytes` as the file, with hashes that fit. */
static void write_sealed(uint8_t *bytes) {
    TnBlobHead *head = (TnBlobHead *)(void *)bytes;
    TnBlobSection *table = (TnBlobSection *)(void *)(bytes + sizeof *head);
    for (uint32_t i = 0; i < head->n_sections; i++) {
        if (table[i].kind == TN_SECTION_WGHT) continue;
        TnHash128 h = tn_hash128(bytes + table[i].offset, table[i].size);
        memcpy(table[i].hash, &h, sizeof h);
    }
    memset(head->hash, 0, sizeof head->hash);
    TnHash128 h = tn_hash128(bytes, sizeof *head + head->n_sections * sizeof *table);
    memcpy(head->hash, &h, sizeof h);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, blob_n, f), blob_n);
    fclose(f);
}

/* Section `index` of a kind in a copy of the blob. */
static uint8_t *section(uint8_t *bytes, uint32_t kind, uint32_t index, size_t *n) {
    const TnBlobHead *head = (const TnBlobHead *)(const void *)bytes;
    const TnBlobSection *table = (const TnBlobSection *)(const void *)(bytes + sizeof *head);
    for (uint32_t i = 0; i < head->n_sections; i++)
        if (table[i].kind == kind && index-- == 0) {
            *n = table[i].size;
            return bytes + table[i].offset;
        }
    fail_msg("no section %u", kind);
    return NULL;
}

static uint8_t *copy(void) {
    uint8_t *bytes = malloc(blob_n);
    memcpy(bytes, blob, blob_n);
    return bytes;
}

static TernStatus verify(const char *target, TnBuf *out, int *same, TernError *err) {
    TerncOptions o = {.size = sizeof o, .target = target};
    TerncVerify v = {.size = sizeof v,
                     .blob = path,
                     .options = &o,
                     .tokens = tokens,
                     .n_tokens = sizeof tokens / sizeof *tokens,
                     .threads = 3};
    out->len = 0;
    return ternc_verify(&v, take, out, same, err);
}

static const char *own_target(void) {
    return strcmp(level, "ref") == 0 ? "ref" : NULL;
}

static void is_equal_as_compiled(void **state) {
    (void)state;
    uint8_t *bytes = copy();
    TnBuf out = {0};
    TernError err = {0};
    int same = 0;
    write_sealed(bytes);
    assert_int_equal(verify(own_target(), &out, &same, &err), TERN_OK);
    assert_int_equal(same, 1);
    assert_non_null(strstr(out.data, " kernels, "));
    assert_non_null(strstr(out.data, "rows 1, 2..8 and 9..512"));
    tn_buf_free(&out);
    free(bytes);
}

/* The text of every graph says silu, the code still does relu2. */
static void code_of_another_text(void **state) {
    (void)state;
    if (own_target()) skip();
    uint8_t *bytes = copy();
    TnBuf out = {0};
    TernError err = {0};
    size_t n, edits = 0;
    int same = 1;
    uint8_t *text = section(bytes, TN_SECTION_TIR, 0, &n);
    for (size_t i = 0; i + 8 < n; i++)
        if (memcmp(text + i, "= relu2 ", 8) == 0) {
            memcpy(text + i, "=  silu ", 8);
            edits++;
        }
    assert_true(edits >= 6);
    write_sealed(bytes);
    assert_int_equal(verify(NULL, &out, &same, &err), TERN_OK);
    assert_int_equal(same, 0);
    assert_non_null(strstr(out.data, "different: kernel @"));
    /* compiled from the text, the cut kernels do what it says: so it is the value that leaves which is named
     */
    assert_non_null(strstr(out.data, "cut after any one op, the kernel does not differ"));
    /* evaluated, text against text */
    assert_int_equal(verify("ref", &out, &same, &err), TERN_OK);
    assert_int_equal(same, 1);
    tn_buf_free(&out);
    free(bytes);
}

/* A launch reads its operand from another place than the text says. */
static void program_of_another_text(void **state) {
    (void)state;
    uint8_t *bytes = copy();
    TnBuf out = {0};
    TernError err = {0};
    TnBlobProg prog;
    size_t n;
    int same = 1;
    uint8_t *p = section(bytes, TN_SECTION_PROG, 0, &n);
    memcpy(&prog, p, sizeof prog);
    TnBlobOperand *o = (TnBlobOperand *)(void *)(p + sizeof prog + prog.n_launches * sizeof(TnBlobLaunch));
    uint32_t i = 0;
    while (i < prog.n_operands && (o[i].space != TN_SPACE_ARENA || o[i].offset < 64)) i++;
    assert_true(i < prog.n_operands);
    o[i].offset -= 64;
    write_sealed(bytes);
    for (int ref = 0; ref < 2; ref++) {
        if (!ref && own_target()) continue;
        assert_int_equal(verify(ref ? "ref" : NULL, &out, &same, &err), TERN_OK);
        assert_int_equal(same, 0);
        assert_non_null(strstr(out.data, "different: program 0 of the file and its text: launch "));
        assert_non_null(strstr(out.data, " lies in the arena at "));
    }
    tn_buf_free(&out);
    free(bytes);
}

static void asks_for_tokens(void **state) {
    (void)state;
    TnBuf out = {0};
    TernError err = {0};
    int same = 7;
    TerncVerify v = {.size = sizeof v};
    assert_int_equal(ternc_verify(&v, take, &out, &same, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "TerncVerify.n_tokens is 0, expected at least one");
    assert_int_equal(same, 7);
}

static int compile(void **state) {
    (void)state;
    TernError err = {0};
    level = *native_levels() ? NULL : "ref";
    TerncOptions o = {.size = sizeof o, .levels = level};
    if (!level) level = "";
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    if (ternc_compile(NULL, &o, path, NULL, &err) != TERN_OK) return -1;
    return tn_file_read(path, (size_t)1 << 30, &blob, &blob_n, &err) == TERN_OK ? 0 : -1;
}

static int clean(void **state) {
    (void)state;
    free(blob);
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_equal_as_compiled),
        cmocka_unit_test(code_of_another_text),
        cmocka_unit_test(program_of_another_text),
        cmocka_unit_test(asks_for_tokens),
    };
    return cmocka_run_group_tests_name("tern verify", tests, compile, clean);
}
