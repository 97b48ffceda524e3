/* Rows of class ALU: each is a loop over the 32 lanes that the compiler vectorises. */
#include "support/ptx_parts.h"

#include <string.h>
#include "codegen/ptx/ptx_meaning.h"

#define HOT static inline __attribute__((always_inline))

/* Operand i of a row as its letter; 0: there is none. A vector comes alone. */
#define LETTER(s, i)                                                                                         \
    ((s)[0] == '{' ? ((i) + 2 < (int)sizeof(s) - 1 ? (s)[(i) + 1] : 0)                                       \
                   : ((i) < (int)sizeof(s) - 1 ? (s)[i] : 0))
#define WIDE(letter) ((letter) == 'd' || (letter) == 'g')

/* f16 to f32 without a branch: ptx.def's meaning names the function that this one stands for. */
HOT float half_to_float(uint16_t h) {
    uint32_t rest = (h & 0x7fffu) << 13, sign = (h & 0x8000u) << 16;
    uint32_t normal = rest + (112u << 23);
    uint32_t special = rest | 0x7f800000u | (rest & 0x7fffffu ? 0x400000u : 0);
    uint32_t tiny = tn_f32_bits((float)(int32_t)(h & 0x3ffu) * 0x1p-24f);
    uint32_t r = (h & 0x7c00u) == 0 ? tiny : (h & 0x7c00u) == 0x7c00u ? special : normal;
    return tn_bits_f32(r | sign);
}
#define tn_f16_to_f32 half_to_float

/* A lane of an operand; `bits` are the lanes of a predicate. */
HOT TnPtxWord lane_of(char letter, const uint32_t *row, uint32_t bits, int l) {
    TnPtxWord w;
    if (WIDE(letter))
        memcpy(&w.l, row + 2 * l, 8);
    else if (letter == 'p')
        w.u = bits >> l & 1;
    else
        w.u = row[l];
    return w;
}

/* Floats that an instruction rounds: NaN is the GPU's only one. */
HOT float as_rounded(float x) {
    return x == x ? x : tn_bits_f32(0x7fffffffu);
}

HOT void put(uint32_t *to, const uint32_t *from, uint32_t lanes) {
    if (lanes == UINT32_MAX)
        memcpy(to, from, 4 * PTX_ROW);
    else
        for (int l = 0; l < PTX_ROW; l++) to[l] = lanes >> l & 1 ? from[l] : to[l];
}
HOT void put_wide(uint32_t *to, const uint64_t *from, uint32_t lanes) {
    uint64_t old[PTX_ROW];
    if (lanes == UINT32_MAX) {
        memcpy(to, from, 8 * PTX_ROW);
        return;
    }
    memcpy(old, to, sizeof old);
    for (int l = 0; l < PTX_ROW; l++) old[l] = lanes >> l & 1 ? from[l] : old[l];
    memcpy(to, old, sizeof old);
}

/* The results in braces: the lowest bits first. */
HOT void put_parts(const PtxIns *i, PtxWarp *w, char letter, const uint64_t *from, uint32_t lanes) {
    uint32_t low[PTX_ROW], high[PTX_ROW];
    for (int l = 0; l < PTX_ROW; l++) {
        low[l] = (uint32_t)from[l] & (letter == 'h' ? 0xffffu : 0xffffffffu);
        high[l] = letter == 'h' ? (uint32_t)from[l] >> 16 : (uint32_t)(from[l] >> 32);
    }
    put(w->file + i->result[0], low, lanes);
    put(w->file + i->result[1], high, lanes);
}

#define LANE(operands, k)                       lane_of(LETTER(operands, k), v[k], bits[k], l)
#define PTX(name, class, text, made, from, ...) PTX_##class(name, text, made, from, __VA_ARGS__)
#define PTX_ALU(name, text, made, from, meaning)                                                             \
    case TN_PX_##name: {                                                                                     \
        const char kind = LETTER(made, 0);                                                                   \
        uint32_t narrow[PTX_ROW];                                                                            \
        uint64_t wide[PTX_ROW];                                                                              \
        for (int l = 0; l < PTX_ROW; l++) {                                                                  \
            TnPtxWord a = LANE(from, 0), b = LANE(from, 1), c = LANE(from, 2), d = LANE(from, 3), r;         \
            (void)a, (void)b, (void)c, (void)d;                                                              \
            if (kind == 'f')                                                                                 \
                r.f = __builtin_strstr(text, ".rn.") ? as_rounded((float)(meaning)) : (float)(meaning);      \
            else if (kind == 'g')                                                                            \
                r.g = (double)(meaning);                                                                     \
            else if (kind == 'd' || (made)[0] == '{')                                                        \
                r.l = (uint64_t)(meaning);                                                                   \
            else                                                                                             \
                r.u = kind == 'p' ? (uint32_t)((meaning) != 0) << l : (uint32_t)(meaning);                   \
            if (WIDE(kind) || (made)[0] == '{')                                                              \
                wide[l] = r.l;                                                                               \
            else                                                                                             \
                narrow[l] = r.u;                                                                             \
        }                                                                                                    \
        if ((made)[0] == '{') {                                                                              \
            put_parts(i, w, kind, wide, lanes);                                                              \
        } else if (WIDE(kind)) {                                                                             \
            put_wide(w->file + i->result[0], wide, lanes);                                                   \
        } else if (kind == 'p') {                                                                            \
            uint32_t all = 0, *p = &w->predicate[i->result[0]];                                              \
            for (int l = 0; l < PTX_ROW; l++) all |= narrow[l];                                              \
            *p = (*p & ~lanes) | (all & lanes);                                                              \
        } else {                                                                                             \
            put(w->file + i->result[0], narrow, lanes);                                                      \
        }                                                                                                    \
        break;                                                                                               \
    }
#define PTX_LOAD(...)
#define PTX_STORE(...)
#define PTX_ATOM(...)
#define PTX_COPY(...)
#define PTX_GROUP(...)
#define PTX_LANES(...)
#define PTX_TILE(...)
#define PTX_SYNC(...)
#define PTX_FLOW(...)

HOT void alu(const PtxIns *i, PtxWarp *w, const uint32_t *constants, uint32_t lanes) {
    const uint32_t *v[4] = {w->file, w->file, w->file, w->file};
    uint32_t bits[4] = {0};
    for (uint32_t k = 0; k < i->values; k++) {
        if (i->predicates >> k & 1)
            bits[k] = w->predicate[i->value[k]];
        else
            v[k] = ptx_value(w, constants, i->value[k]);
    }
    switch (i->row) {
#include "codegen/ptx/ptx.def"
    default:
        break;
    }
}

#if defined(__x86_64__)
/* A second body with the machine's fma, which baseline x86-64 lacks. */
__attribute__((target("avx2,fma"))) static void alu_avx2(const PtxIns *i, PtxWarp *w,
                                                         const uint32_t *constants, uint32_t lanes) {
    alu(i, w, constants, lanes);
}
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
#define alu_avx2   alu
#define has_avx2() false
#endif

void ptx_alu(const PtxIns *i, PtxWarp *w, const uint32_t *constants, uint32_t lanes) {
    if (has_avx2())
        alu_avx2(i, w, constants, lanes);
    else
        alu(i, w, constants, lanes);
}
