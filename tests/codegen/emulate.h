/* For tests: runs code for aarch64 in qemu's user mode, if that and a cross compiler are installed. */
#ifndef TN_TEST_EMULATE_H
#define TN_TEST_EMULATE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "codegen/codegen.h"

static inline void emulate_end(void) {
    char path[600];
    snprintf(path, sizeof path, "%s/tests/neon_run.%d", TERN_BUILD_DIR, (int)getpid());
    unlink(path);
}

/* The command that runs tests/codegen/neon_kernel_run.c, which is built at first use, on a processor that has no more than
 * the level needs: a Cortex-A72 faults on a dot product, a Neoverse N1 on smmla. NULL if this machine cannot run it, or
 * if TERN_EMULATE is 0; the reason is printed once. */
static inline const char *emulate_command(const char *level) {
    static char commands[3][600];
    static int known;
    const char *command = commands[!strcmp(level, "neon") ? 1 : !strcmp(level, "neon-dotprod") ? 2 : 0];
    if (known) return known > 0 ? command : NULL;
    known = -1;
    const char *qemu = NULL, *asked = getenv("TERN_EMULATE");
    if (asked && !strcmp(asked, "0")) {
        puts("skipped on neon, neon-dotprod and neon-i8mm: TERN_EMULATE=0; their code is only compiled");
        return NULL;
    }
    if (!system("command -v qemu-aarch64-static >/dev/null"))
        qemu = "qemu-aarch64-static";
    else if (!system("command -v qemu-aarch64 >/dev/null"))
        qemu = "qemu-aarch64";
    if (!qemu || system("command -v aarch64-linux-gnu-gcc >/dev/null")) {
        puts("skipped on neon, neon-dotprod and neon-i8mm: no qemu-aarch64 or no aarch64-linux-gnu-gcc; "
             "their code is only "
             "compiled");
        return NULL;
    }
    char build[600];
    snprintf(build, sizeof build,
             "aarch64-linux-gnu-gcc -O1 -static %s/tests/codegen/neon_kernel_run.c -o %s/tests/neon_run.%d",
             TERN_SOURCE_DIR, TERN_BUILD_DIR, (int)getpid());
    if (system(build)) {
        puts("skipped on neon, neon-dotprod and neon-i8mm: aarch64-linux-gnu-gcc cannot link a static "
             "program");
        return NULL;
    }
    static const char *const cpus[] = {"max", "cortex-a72", "neoverse-n1"};
    for (int i = 0; i < 3; i++)
        snprintf(commands[i], sizeof commands[i], "%s -cpu %s %s/tests/neon_run.%d", qemu, cpus[i],
                 TERN_BUILD_DIR, (int)getpid());
    known = 1;
    atexit(emulate_end);
    return command;
}

/* Runs one tile of code for a level. bytes[i] of each operand and of the scratch are copied there and back. False: it could not run. */
static inline bool emulate(const char *level, const TnBuf *image, uint64_t entry, void *const *ptr,
                           const size_t *bytes, uint32_t n, const int64_t *sym, int64_t lo, int64_t hi,
                           void *scratch, size_t scratch_bytes) {
    char path[600], command[1300];
    snprintf(path, sizeof path, "%s/tests/emulate.%d", TERN_BUILD_DIR, (int)getpid());
    snprintf(command, sizeof command, "%s %s", emulate_command(level), path);
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    uint64_t head[13] = {image->len, entry, scratch_bytes, n, (uint64_t)lo, (uint64_t)hi}, size;
    memcpy(&head[6], sym, 7 * 8);
    fwrite(head, 8, 13, f);
    for (uint32_t i = 0; i < n; i++) {
        size = bytes[i];
        fwrite(&size, 8, 1, f);
    }
    fwrite(image->data, 1, image->len, f);
    fwrite(scratch, 1, scratch_bytes, f);
    for (uint32_t i = 0; i < n; i++) fwrite(ptr[i], 1, bytes[i], f);
    bool ok = !fclose(f) && !system(command);
    f = ok ? fopen(path, "rb") : NULL;
    ok = f && !fseek(f, (long)(13 * 8 + n * 8 + image->len), SEEK_SET) &&
         fread(scratch, 1, scratch_bytes, f) == scratch_bytes;
    for (uint32_t i = 0; ok && i < n; i++) ok = fread(ptr[i], 1, bytes[i], f) == bytes[i];
    if (f) fclose(f);
    unlink(path);
    return ok;
}

#endif
