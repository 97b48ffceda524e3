/* For aarch64, static, under qemu: runs one tile of a kernel from a file and writes the operands back.
 * tests/codegen/emulate.h makes the file; all numbers are u64.
 *
 *   image bytes, entry, scratch bytes, operands, lo, hi, 7 symbols, bytes of each operand; the image;
 * scratch; the operands */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct Launch {
    void *const *ptr;
    const int64_t *sym;
} Launch;
typedef struct Tile {
    int64_t lo, hi;
    void *scratch;
    int64_t scratch_valid;
} Tile;

static void *piece(FILE *f, size_t n) {
    void *p = aligned_alloc(64, (n + 127) / 64 * 64);
    if (!p || fread(p, 1, n, f) != n) exit(3);
    return p;
}

int main(int argc, char **argv) {
    FILE *f = argc == 2 ? fopen(argv[1], "r+b") : NULL;
    uint64_t head[13], bytes[64];
    if (!f || fread(head, 8, 13, f) != 13 || head[3] > 64 || fread(bytes, 8, head[3], f) != head[3]) return 2;
    void *image = piece(f, head[0]);
    long from = ftell(f);
    void *scratch = piece(f, head[2]), *ptr[64];
    for (uint64_t i = 0; i < head[3]; i++) ptr[i] = piece(f, bytes[i]);
    void *code = mmap(NULL, head[0], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED) return 4;
    memcpy(code, image, head[0]);
    if (mprotect(code, head[0], PROT_READ | PROT_EXEC)) return 5;
    __builtin___clear_cache((char *)code, (char *)code + head[0]);
    Launch l = {ptr, (const int64_t *)&head[6]};
    Tile t = {(int64_t)head[4], (int64_t)head[5], scratch, 0};
    void (*run)(const Launch *, const Tile *);
    uintptr_t at = (uintptr_t)code + head[1];
    memcpy(&run, &at, sizeof run);
    run(&l, &t);
    fseek(f, from, SEEK_SET);
    if (fwrite(scratch, 1, head[2], f) != head[2]) return 6;
    for (uint64_t i = 0; i < head[3]; i++)
        if (fwrite(ptr[i], 1, bytes[i], f) != bytes[i]) return 6;
    return fclose(f) ? 6 : 0;
}
