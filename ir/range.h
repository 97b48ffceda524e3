/* How large integers can become: bounds proved from types alone, and the largest K for which no sum overflows.
 *
 * Quantised activations are codes -127 to 127 (quant clamps, also infinities and NaN), ternary weights are -1, 0, 1.
 * So a sum over K of codes, or of codes times weights, is at most 127*K in absolute value, in any order, and so is
 * every partial sum. It must fit i32. That is the only limit of the IR itself: inference refuses longer rows, by name.
 *
 * Each target sums in its own way, with weights as codes 0, 1, 2 and several codes a byte. A TnDot describes such a
 * way. From it the functions here tell emitters how many additions an i16 takes before it must be widened, and how many
 * lines a lane takes before its sum must be put elsewhere. So every K that the IR allows is exact on every target, for any
 * data. */
#ifndef TN_RANGE_H
#define TN_RANGE_H

#include "ir/ir.h"

#define TN_RANGE_CODE 127 /* of q8, in absolute value */
#define TN_RANGE_LIMB 64  /* of q14 */

/* A closed range. known is false for values that are not integers or have no known bounds. */
typedef struct TnRange {
    bool known;
    int64_t lo, hi;
} TnRange;
/* The range of a value's elements: of the codes for q8, s8, s6 and s5, of the limbs for q14. For ids, positions and rows it is
 * the range that sessions check before a step. */
TnRange tn_range_of(const TnGraph *g, TnRef r);

/* The bound of |sum of K codes| and of |sum of K codes times ternary weights|. K >= 0. */
int64_t tn_range_sum(int64_t k);
/* The largest K whose sums fit i32: (2^31 - 1) / 127. */
int64_t tn_range_sum_most_k(void);

/* How a target sums the products of a row. A line is 256 codes. The codes of p64 are w + 1; bits 2q and 2q + 1 of byte j, of
 * 64, hold that of weight 64q + j, which belongs to plane q. Masking a plane without shifting it leaves codes times 4^q. */
typedef struct TnDot {
    int code;  /* the largest code at its multiplication; at most 255, since it is a byte */
    int value; /* the largest activation, in absolute value */
    int meets; /* products of a line that are summed in one i32 lane */
    int pair;  /* products that one instruction sums to an i16; 0: to an i32 */
    int adds;  /* sums of a line, or of the part of it that is widened together, that go to the same i16 */
    bool
        exact32; /* a lane must hold its sum exactly, since it is shifted down later; else only the result must fit,
                     since addition is modulo 2^32 */
} TnDot;
/* The largest sum of `pair` products, and the number of these sums that an i16 takes for any data. 0 without a pair. */
int64_t tn_range_pair(const TnDot *d);
int64_t tn_range_adds(const TnDot *d);
/* The number of lines whose sums an i16 takes before it must be widened, at most the lines of a row of K. 0: it must be
 * widened within a line, after tn_range_adds. Without a pair: all lines of a row. */
int64_t tn_range_widen(const TnDot *d, int64_t k);
/* The number of lines that a lane takes before its sum must be put elsewhere, at most the lines of a row of K. */
int64_t tn_range_split(const TnDot *d, int64_t k);
/* The largest values of a lane and of an i16 for rows of K, in code that follows the two functions above. */
int64_t tn_range_lane(const TnDot *d, int64_t k);
int64_t tn_range_narrow(const TnDot *d, int64_t k);

/* Prints the graph like tn_print_file, with the known ranges of a value as a comment at the end of its line:
 *
 *     %a: i32[T,3840] = tmatmul %q, $w ; |y| <= 325120; a lane <= 162560; an i16 <= 32512: 16 additions of 2032, all that fit
 *
 * dot_of tells how the target of a planned tmatmul or estimate sums (false: not known); may be NULL. */
typedef bool TnDotOf(const TnGraph *g, TnRef product, TnDot *out);
void tn_print_ranges(const TnGraph *g, TnDotOf *dot_of, TnBuf *out);

#endif
