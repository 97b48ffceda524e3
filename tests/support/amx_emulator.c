#include "support/amx_emulator.h"

#if defined(__x86_64__)

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

typedef struct Tiles {
    uint8_t config[64]; /* as ldtilecfg reads it; config[0]: palette, 0 if there is none */
    uint8_t data[TILES][ROWS][ROW_BYTES];
} Tiles;

static _Thread_local Tiles tiles;
static atomic_ullong products;

uint64_t amx_emulator_products(void) {
    return atomic_load(&products);
}

static void refuse(const char *what, int tile) {
    fprintf(stderr, "amx emulator: %s (tile %d)\n", what, tile);
    abort();
}

static int rows_of(int t) {
    if (t >= TILES || tiles.config[0] != 1) refuse("no such tile configured", t);
    int rows = tiles.config[48 + t];
    if (rows == 0 || rows > ROWS) refuse("rows", t);
    return rows;
}

static int bytes_of(int t) {
    if (t >= TILES || tiles.config[0] != 1) refuse("no such tile configured", t);
    int bytes = tiles.config[16 + 2 * t] | tiles.config[17 + 2 * t] << 8;
    if (bytes == 0 || bytes > ROW_BYTES) refuse("bytes of a row", t);
    return bytes;
}

/* ---- Decoding: VEX with three bytes, map 0F38 */

typedef struct Insn {
    int op, pp, vvvv, mod, reg, rm;
    uint64_t base, stride; /* of the memory operand; stride: index << scale, 0 without an index */
    int length;
} Insn;

static const int gregs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static bool decode(const uint8_t *p, const ucontext_t *u, Insn *in) {
    if (p[0] != 0xc4 || (p[1] & 0x1f) != 2 || (p[2] & 0x84)) return false; /* map 0F38, W0, 128 bits */
    int x = !(p[1] & 0x40), b = !(p[1] & 0x20);
    *in = (Insn){.op = p[3],
                 .pp = p[2] & 3,
                 .vvvv = ~(p[2] >> 3) & 15,
                 .mod = p[4] >> 6,
                 .reg = (p[4] >> 3 & 7) | (!(p[1] & 0x80)) << 3,
                 .rm = (p[4] & 7) | b << 3,
                 .length = 5};
    if (in->op != 0x49 && in->op != 0x4b && in->op != 0x5e) return false;
    if (in->mod == 3) return true;
    const greg_t *r = u->uc_mcontext.gregs;
    int low = p[4] & 7, disp = in->mod == 1 ? 1 : in->mod == 2 ? 4 : 0;
    bool rip = false;
    if (low == 4) {
        int sib = p[in->length++], index = (sib >> 3 & 7) | x << 3, base = (sib & 7) | b << 3;
        if (index != 4) in->stride = (uint64_t)r[gregs[index]] << (sib >> 6);
        if ((sib & 7) == 5 && in->mod == 0)
            disp = 4;
        else
            in->base = (uint64_t)r[gregs[base]];
    } else if (low == 5 && in->mod == 0) {
        rip = true;
        disp = 4;
    } else {
        in->base = (uint64_t)r[gregs[in->rm]];
    }
    int32_t d = 0;
    if (disp == 1) d = (int8_t)p[in->length];
    if (disp == 4) memcpy(&d, p + in->length, 4);
    in->length += disp;
    in->base += (uint64_t)(int64_t)d;
    if (rip) in->base += (uint64_t)r[REG_RIP] + (uint64_t)in->length;
    return true;
}

/* ---- Doing */

static void load(const Insn *in) {
    int rows = rows_of(in->reg), bytes = bytes_of(in->reg);
    memset(tiles.data[in->reg], 0, sizeof tiles.data[0]);
    for (int i = 0; i < rows; i++)
        memcpy(tiles.data[in->reg][i], (const void *)(uintptr_t)(in->base + in->stride * (uint64_t)i),
               (size_t)bytes);
}

static void store(const Insn *in) {
    int rows = rows_of(in->reg), bytes = bytes_of(in->reg);
    for (int i = 0; i < rows; i++)
        memcpy((void *)(uintptr_t)(in->base + in->stride * (uint64_t)i), tiles.data[in->reg][i],
               (size_t)bytes);
}

static int value(uint8_t byte, bool is_signed) {
    return is_signed ? (int8_t)byte : byte;
}

static void product(const Insn *in) {
    int c = in->reg, a = in->rm, b = in->vvvv;
    bool a_signed = in->pp == 3 || in->pp == 2, b_signed = in->pp == 3 || in->pp == 1;
    if (a == b || a == c || b == c) refuse("operands are the same", c);
    int m = rows_of(c), n = bytes_of(c) / 4, k = bytes_of(a) / 4;
    if (rows_of(a) != m || bytes_of(b) != 4 * n || rows_of(b) != k) refuse("shapes do not fit", c);
    for (int i = 0; i < ROWS; i++) {
        uint8_t *to = tiles.data[c][i];
        if (i >= m) memset(to, 0, ROW_BYTES);
        for (int j = 0; i < m && j < n; j++) {
            uint32_t sum;
            memcpy(&sum, to + 4 * j, 4);
            for (int l = 0; l < 4 * k; l++)
                sum += (uint32_t)(value(tiles.data[a][i][l], a_signed) *
                                  value(tiles.data[b][l / 4][4 * j + l % 4], b_signed));
            memcpy(to + 4 * j, &sum, 4);
        }
        if (i < m) memset(to + 4 * n, 0, (size_t)(ROW_BYTES - 4 * n));
    }
    atomic_fetch_add(&products, 1);
}

enum { NP, P66, PF3, PF2 };

static bool execute(const Insn *in) {
    bool memory = in->mod != 3;
    void *at = (void *)(uintptr_t)in->base;
    if (in->op == 0x5e && !memory) { /* tdpbuud, tdpbusd, tdpbsud, tdpbssd */
        product(in);
    } else if (in->op == 0x4b && memory && (in->pp == PF2 || in->pp == P66)) { /* tileloadd, tileloaddt1 */
        load(in);
    } else if (in->op == 0x4b && memory && in->pp == PF3) { /* tilestored */
        store(in);
    } else if (in->op == 0x49 && memory && in->pp == NP) { /* ldtilecfg */
        memcpy(tiles.config, at, sizeof tiles.config);
        if (tiles.config[0] > 1) refuse("palette", tiles.config[0]);
        memset(tiles.data, 0, sizeof tiles.data);
    } else if (in->op == 0x49 && memory && in->pp == P66) { /* sttilecfg */
        memcpy(at, tiles.config, sizeof tiles.config);
    } else if (in->op == 0x49 && !memory && in->pp == NP) { /* tilerelease */
        memset(&tiles, 0, sizeof tiles);
    } else if (in->op == 0x49 && !memory && in->pp == PF2) { /* tilezero */
        rows_of(in->reg);
        memset(tiles.data[in->reg], 0, sizeof tiles.data[0]);
    } else {
        return false;
    }
    return true;
}

static void on_illegal(int sig, siginfo_t *info, void *context) {
    (void)info;
    ucontext_t *u = context;
    Insn in;
    if (decode((const uint8_t *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP], u, &in) && execute(&in)) {
        u->uc_mcontext.gregs[REG_RIP] += in.length;
        return;
    }
    signal(sig, SIG_DFL); /* and again, for good */
}

bool amx_emulator_install(void) {
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vnni")) return false;
    struct sigaction act = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGILL, &act, NULL) == 0;
}

#else

bool amx_emulator_install(void) {
    return false;
}

uint64_t amx_emulator_products(void) {
    return 0;
}

#endif
