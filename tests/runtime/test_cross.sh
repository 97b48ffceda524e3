#!/bin/bash
# The runtime builds for aarch64 with only libc and threads, and its pool, float environment and levels work there.
# Argument 1: the build folder. Exit 77: skipped, with the reason.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cc=${TERN_AARCH64_CC:-aarch64-linux-gnu-gcc}
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
command -v "$cc" >/dev/null || { echo "skipped: no $cc (apt install gcc-aarch64-linux-gnu)"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# xxhash.h is used as a header without a library here (XXH_INLINE_ALL), so the host's copy will do.
mkdir "$dir/include"
cp "$(echo '#include <xxhash.h>' | cc -E -x c - | sed -n 's/^# 1 "\(.*xxhash.h\)".*/\1/p' | head -1)" "$dir/include/"
cat >"$dir/main.c" <<'C'
#include <stdio.h>
#include <string.h>
#include "runtime/base/os.h"
#include "runtime/cpu.h"
#include "runtime/abi/kernel.h"
#include "runtime/engine.h"
static int64_t units[64], wrong;
static uint64_t control(void) {
    uint64_t c;
    __asm__ volatile("mrs %0, fpcr" : "=r"(c));
    return c;
}
static void kernel(const TnLaunch *l, const TnTile *t) {
    (void)l;
    if (control() != 0) wrong++;
    for (int64_t u = t->lo; u < t->hi; u++) units[u]++;
}
int main(int argc, char **argv) {
    const char *levels = argc > 1 ? argv[1] : "";
    uint64_t spoilt = 1u << 24 | 2u << 22; /* flush to zero, round down */
    TernPoolOptions o = {.size = sizeof o, .threads = 3};
    TernPool *pool;
    if (tern_pool_create(&o, &pool, NULL)) return 1;
    int64_t sym[TN_ABI_SYMS] = {1};
    TnRunLaunch l[2] = {{.kernel = (TnHandle)kernel, .args = {NULL, sym}, .units = 64, .gate_sym = UINT32_MAX, .unit_sym = UINT32_MAX, .barrier = true}};
    l[1] = l[0];
    TnMemory m = {.sym = sym};
    TnProgram p = {.launches = l, .n = 2, .memory = &m, .pool = pool};
    TnEngine *cpu;
    if (tn_engine_cpu(&cpu, NULL)) return 1;
    __asm__ volatile("msr fpcr, %0" : : "r"(spoilt));
    for (int i = 0; i < 50; i++) cpu->run(cpu, &p, NULL, NULL);
    uint64_t after = control();
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    for (int u = 0; u < 64; u++) wrong += units[u] != 100;
    tern_pool_destroy(pool);
    printf("levels '%s' wrong %d restored %d\n", tern_cpu_levels(), (int)wrong, after == spoilt);
    return wrong != 0 || after != spoilt || strcmp(tern_cpu_levels(), levels) != 0;
}
C
"$cc" -std=c11 -O2 -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -ffp-contract=off -D_GNU_SOURCE \
    -DTERN_VERSION='"0"' -I"$root" -I"$root/runtime" -isystem "$dir/include" -static \
    "$dir/main.c" "$root"/runtime/*.c "$root"/runtime/cuda/*.c "$root"/runtime/base/*.c -lpthread -lm -o "$dir/main"
echo "built for aarch64: $(stat -c %s "$dir/main") bytes"
[ -n "$qemu" ] || { echo "skipped: built, not run: no qemu-aarch64 (apt install qemu-user-static)"; exit 77; }
"$qemu" -cpu max "$dir/main" "neon-i8mm,neon-dotprod,neon"
"$qemu" -cpu neoverse-n1 "$dir/main" "neon-dotprod,neon"
"$qemu" -cpu cortex-a72 "$dir/main" neon
