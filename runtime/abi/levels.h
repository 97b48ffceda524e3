/* The table of levels.def, for all rooms: the names of levels, the features they need, and which is preferred. Includes
 * nothing else of the runtime. */
#ifndef TN_ABI_LEVELS_H
#define TN_ABI_LEVELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "runtime/abi/levels.def"

enum { TN_ARCH_X86_64 = 1, TN_ARCH_AARCH64 = 2, TN_ARCH_PTX = 3 };
#if defined(__x86_64__)
#define TN_ARCH_HERE TN_ARCH_X86_64
#elif defined(__aarch64__)
#define TN_ARCH_HERE TN_ARCH_AARCH64
#else
#define TN_ARCH_HERE 0
#endif

/* Features that a level may need from the processor. The system must save their registers. */
enum {
    TN_CPU_X86_V3 = 1 << 0, /* x86-64-v3: SSE3 to AVX2, FMA, F16C, BMI1, BMI2, LZCNT, MOVBE */
    TN_CPU_AVX512 = 1 << 1, /* F DQ CD BW VL */
    TN_CPU_AVX512_VNNI = 1 << 2,
    TN_CPU_AMX_INT8 = 1 << 3, /* tiles and their int8 products */
    TN_CPU_NEON = 1 << 4,
    TN_CPU_NEON_DOTPROD = 1 << 5,
    TN_CPU_AVX_VNNI = 1 << 6, /* vpdpbusd on registers of AVX */
    TN_CPU_NEON_I8MM = 1 << 7 /* products of matrices of int8 */
};

enum {
    TN_LEVEL_REF = 0, /* no code: kernels are evaluated */
#define TN_LEVEL_NUMBER(id, number, ...) TN_LEVEL_##id = (number),
    TN_LEVELS(TN_LEVEL_NUMBER)
#undef TN_LEVEL_NUMBER
};
#define TN_LEVEL_REF_NAME "ref"
enum {
#define TN_LEVEL_ONE(...) +1
    TN_LEVEL_COUNT = 0 TN_LEVELS(TN_LEVEL_ONE)
#undef TN_LEVEL_ONE
};

typedef struct TnLevelRow {
    uint32_t number, arch, preference, features;
    const char *name, *processor, *more;
} TnLevelRow;

/* The i-th level that has code; NULL after the last. */
static inline const TnLevelRow *tn_level_row(size_t i) {
    static const TnLevelRow rows[] = {
#define TN_LEVEL_ROW(id, number, name, arch, preference, features, cpu, more)                                \
    {(number), TN_ARCH_##arch, (preference), (features), (name), (cpu), (more)},
        TN_LEVELS(TN_LEVEL_ROW)
#undef TN_LEVEL_ROW
    };
    return i < sizeof rows / sizeof *rows ? &rows[i] : NULL;
}

/* Find a level by number or by name; NULL if no level with code has it. */
static inline const TnLevelRow *tn_level_numbered(uint32_t number) {
    const TnLevelRow *r = NULL;
    for (size_t i = 0; (r = tn_level_row(i)) && r->number != number;) i++;
    return r;
}
static inline const TnLevelRow *tn_level_named(const char *name) {
    const TnLevelRow *r = NULL;
    for (size_t i = 0; (r = tn_level_row(i)) && strcmp(r->name, name) != 0;) i++;
    return r;
}

/* "ref", "avx2", ...; NULL if no level has that number. */
static inline const char *tn_level_name(uint32_t number) {
    const TnLevelRow *r = tn_level_numbered(number);
    return r ? r->name : number == TN_LEVEL_REF ? TN_LEVEL_REF_NAME : NULL;
}
/* The number of the level of that name, or UINT32_MAX. */
static inline uint32_t tn_level_number(const char *name) {
    const TnLevelRow *r = tn_level_named(name);
    return r ? r->number : strcmp(name, TN_LEVEL_REF_NAME) == 0 ? TN_LEVEL_REF : UINT32_MAX;
}
/* Whether kernels of that level have code; else they are evaluated. */
static inline bool tn_level_has_code(const char *name) {
    return tn_level_named(name) != NULL;
}

/* For messages and help, string constants: "avx2, avx512-vnni, ..", followed by `text`: of all levels, and of those that a
 * processor may run. */
#define TN_LEVEL_COMMA_NAME(id, number, name, ...)   ", " name
#define TN_LEVEL_NAMES_THEN(text)                    (&(TN_LEVELS(TN_LEVEL_COMMA_NAME) text)[2])
#define TN_LEVEL_NAMES                               TN_LEVEL_NAMES_THEN("")
#define TN_LEVEL_X86_64(name)                        ", " name
#define TN_LEVEL_AARCH64(name)                       ", " name
#define TN_LEVEL_PTX(name)                           ""
#define TN_LEVEL_OF_CPU(id, number, name, arch, ...) TN_LEVEL_##arch(name)
#define TN_LEVEL_CPU_NAMES_THEN(text)                (&(TN_LEVELS(TN_LEVEL_OF_CPU) text)[2])
#define TN_LEVEL_CPU_NAMES                           TN_LEVEL_CPU_NAMES_THEN("")

#endif
