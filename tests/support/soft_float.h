/* IEEE floats in integers alone: a second statement of what hardware and compilers do. Round to nearest, ties to even;
 * subnormals are kept. Written from the standard's definition (the exact result, rounded once), not for speed. */
#ifndef TN_TEST_SOFT_FLOAT_H
#define TN_TEST_SOFT_FLOAT_H

#include <stdbool.h>
#include <stdint.h>

/* A format: bits of the exponent and of the stored fraction. */
typedef struct SoftFormat {
    int exponent, fraction;
} SoftFormat;
extern const SoftFormat soft_f16, soft_f32, soft_f64;

/* Operands and results are the bits of the format. A NaN that an operation makes is soft_nan. */
uint64_t soft_nan(SoftFormat f);
bool soft_is_nan(SoftFormat f, uint64_t a);
uint64_t soft_add(SoftFormat f, uint64_t a, uint64_t b);
uint64_t soft_neg(SoftFormat f, uint64_t a);
uint64_t soft_fma(SoftFormat f, uint64_t a, uint64_t b, uint64_t c); /* a * b + c, rounded once */
uint64_t soft_mul(SoftFormat f, uint64_t a, uint64_t b);
uint64_t soft_div(SoftFormat f, uint64_t a, uint64_t b);
uint64_t soft_sqrt(SoftFormat f, uint64_t a);
uint64_t soft_rint(SoftFormat f, uint64_t a); /* to an integer, ties to even; keeps the sign of zero */
uint64_t soft_convert(SoftFormat from, SoftFormat to, uint64_t a);
uint64_t soft_from_int(SoftFormat f, int64_t a);
/* Towards zero; the nearest int32_t for what does not fit; 0 for NaN. */
int32_t soft_to_s32(SoftFormat f, uint64_t a);
/* -1, 0, 1; 2 if one is NaN. */
int soft_compare(SoftFormat f, uint64_t a, uint64_t b);

#endif
