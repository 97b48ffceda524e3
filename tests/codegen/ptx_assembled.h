/* For tests: what NVIDIA's assembler makes of a text: spills, registers and instructions, and tables of them that lie in
 * tests/data. A table is for one version of ptxas; TERN_REFRESH=1 writes it. */
#ifndef TN_TEST_PTX_ASSEMBLED_H
#define TN_TEST_PTX_ASSEMBLED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "codegen/ptxas.h"
#include "runtime/base/buf.h"

#define PTXAS_VERSION "V13.0.88"

static inline bool skipped(void) {
    if (ptxas_path()) return false;
    print_message("skipped: no ptxas on PATH, in $CUDA_HOME/bin or /usr/local/cuda/bin\n");
    return true;
}

/* What ptxas says of a text, and the cubin. */
typedef struct Assembled {
    TnBuf log, cubin;
} Assembled;

static inline void run(const char *command, TnBuf *out) {
    FILE *f = popen(command, "r");
    char line[4096];
    size_t n;
    assert_non_null(f);
    while ((n = fread(line, 1, sizeof line, f)) > 0) tn_buf_put(out, line, n);
    tn_buf_put(out, "", 1);
    if (pclose(f) != 0) fail_msg("%s: %s", command, out->data);
}

static inline Assembled assemble(const TnBuf *text, const char *target, const char *flags) {
    char source[] = "/tmp/ptxas_XXXXXX", cubin[] = "/tmp/cubin_XXXXXX", command[8300];
    Assembled a = {{0}, {0}};
    int fd = mkstemp(source), to = mkstemp(cubin);
    assert_true(fd >= 0 && to >= 0);
    assert_int_equal(write(fd, text->data, text->len), text->len);
    close(fd);
    snprintf(command, sizeof command, "'%s' %s -v -arch=%s -o '%s' '%s' 2>&1", ptxas_path(), flags, target,
             cubin, source);
    run(command, &a.log);
    char bytes[4096];
    ssize_t n;
    while ((n = read(to, bytes, sizeof bytes)) > 0) tn_buf_put(&a.cubin, bytes, (size_t)n);
    close(to);
    unlink(source);
    unlink(cubin);
    return a;
}

static inline void assembled_free(Assembled *a) {
    tn_buf_free(&a->log);
    tn_buf_free(&a->cubin);
}

/* Fails if any kernel keeps registers in memory; returns the number of kernels. */
static inline uint32_t check_spills(const Assembled *a, const char *what) {
    uint32_t n = 0;
    for (const char *p = a->log.data; (p = strstr(p, "bytes spill stores")); p++, n++) {
        const char *count = p - 2;
        while (count > a->log.data && count[-1] != ' ') count--;
        if (strncmp(count, "0 ", 2) != 0) fail_msg("%s: spills: %.300s", what, count);
    }
    return n;
}

typedef struct Counts {
    uint32_t registers, loads, before, idp, imma, ffma; /* before: loads before the first idp, imma or ffma */
} Counts;

static inline uint64_t at(const TnBuf *b, size_t i, uint32_t bytes) {
    uint64_t v = 0;
    assert_true(i + bytes <= b->len);
    memcpy(&v, b->data + i, bytes);
    return v;
}

/* The instructions of a kernel in a cubin, an ELF file. */
static inline const char *instructions(const Assembled *a, const char *kernel, size_t *out_bytes) {
    const TnBuf *b = &a->cubin;
    char section[160];
    snprintf(section, sizeof section, ".text.%s", kernel);
    size_t table = at(b, 40, 8), n = at(b, 60, 2), names = at(b, table + 64 * at(b, 62, 2) + 24, 8);
    for (size_t i = 0; i < n; i++) {
        size_t row = table + 64 * i;
        if (strcmp(b->data + names + at(b, row, 4), section)) continue;
        *out_bytes = at(b, row + 32, 8);
        return b->data + at(b, row + 24, 8);
    }
    print_error("no kernel %s\n", kernel);
    abort();
}

/* An instruction has 16 bytes, whose low 9 bits say what it is, and 3 more where its operands are. */
static inline Counts count(const Assembled *a, const char *kernel) {
    enum { LOAD = 0x981, FFMA = 0x23, IDP = 0x26, IMMA = 0x37 };
    Counts c = {0};
    char entry[160];
    size_t size;
    const char *code = instructions(a, kernel, &size);
    for (size_t k = 0; k < size; k += 16) {
        uint32_t op = (uint8_t)code[k] | (uint8_t)(code[k + 1] & 15) << 8, kind = op & 0x1ff;
        c.loads += op == LOAD;
        c.before += op == LOAD && !c.idp && !c.imma && !c.ffma;
        c.idp += kind == IDP;
        c.imma += kind == IMMA;
        c.ffma += kind == FFMA;
    }
    snprintf(entry, sizeof entry, "function '%s'", kernel);
    const char *used = strstr(a->log.data, entry);
    used = used ? strstr(used, "Used ") : NULL;
    assert_non_null(used);
    c.registers = (uint32_t)atoi(used + 5);
    return c;
}

/* Fails if the table of that path is another one. */
static inline void compare_table(const TnBuf *table, const char *path) {
    char command[4200], line[200];
    TnBuf said = {0};
    snprintf(command, sizeof command, "'%s' --version", ptxas_path());
    run(command, &said);
    bool same = strstr(said.data, PTXAS_VERSION) != NULL, refresh = getenv("TERN_REFRESH") != NULL;
    tn_buf_free(&said);
    if (!same) {
        print_message("skipped: the table is for ptxas " PTXAS_VERSION "\n");
        return;
    }
    FILE *f = fopen(path, refresh ? "w" : "r");
    if (!f) fail_msg("%s is missing: TERN_REFRESH=1 writes it", path);
    if (refresh) fwrite(table->data, 1, table->len, f);
    for (const char *p = table->data; !refresh && p < table->data + table->len; p = strchr(p, '\n') + 1)
        if (!fgets(line, sizeof line, f) || strncmp(p, line, strlen(line)))
            fail_msg("%s is out of date (TERN_REFRESH=1 writes it): got %.*s, expected %s", path,
                     (int)strcspn(p, "\n"), p, line);
    fclose(f);
}

#endif
