/* What integers can become: bounds proved from types alone, and the largest K for which no sum overflows.
 *
 * Quantised activations are codes -127 to 127 (quant clamps, also what is infinite or NaN), ternary weights -1, 0, 1.
 * So a sum over K of codes, or of codes times weights, is at most 127*K in absolute value, in any order and with any
 * part left out: no partial sum is larger either. It must fit i32, which is the only limit that the IR itself has:
 * inference refuses longer rows, by name.
 *
 * Targets sum in ways of their own, with weights as codes 0, 1, 2 and several codes a byte. A TnDot describes such a
 * way, and tn_range_most_k says up to which K it is exact; a target that is asked for more answers no, and the kernel
 * goes to the next one. */
#ifndef TN_RANGE_H
#define TN_RANGE_H

#include "ir/ir.h"

#define TN_RANGE_CODE 127 /* of q8, in absolute value */

/* Closed; known is false for values that are not integers or that nothing is known of. */
typedef struct TnRange {
    bool known;
    int64_t lo, hi;
} TnRange;
/* The elements of a value; of q8, s8 and s6 the codes, of q14 the limbs. Of ids, positions and rows what sessions check before a step. */
TnRange tn_range_of(const TnGraph *g, TnRef r);

/* The bound of |sum of K codes|, and of |sum of K codes times ternary weights|. K >= 0. */
int64_t tn_range_sum(int64_t k);
/* The largest K whose sums fit i32: (2^31 - 1) / 127. */
int64_t tn_range_sum_most_k(void);

/* How a target sums the products of a row. A line is 256 weights in 64 bytes: byte j holds in its bits 2q, 2q + 1 the
 * code w + 1 of weight 64q + j: plane q. Masking a plane without shifting it leaves codes times 4^q. */
typedef struct TnDot {
    int lanes;  /* i32 lanes of an accumulator */
    int planes; /* planes that share one: 1, 2 or 4 */
    int factor; /* the largest that codes are kept multiplied by: 4^q; 1 if they are shifted down */
    int narrow; /* products of a line that meet in one i16 before they are widened; 0: none do */
    bool
        exact32; /* the lanes must hold the sum itself, since they are shifted down later; else it is enough that the
                     result fits, as addition is modulo 2^32 */
} TnDot;
/* The bound of a lane for rows of K; of an i16 (0 if there is none). */
int64_t tn_range_lane(const TnDot *d, int64_t k);
int64_t tn_range_narrow(const TnDot *d);
/* The largest K for which lanes and the whole sum are exact; 0 if an i16 may overflow in a line, or an operand does
 * not fit its byte. */
int64_t tn_range_most_k(const TnDot *d);

/* The graph as tn_print_file of it alone, with what is known of a value as a comment at the end of its line:
 *
 *     %a: i32[T,3840] = tmatmul %q, $w ; |y| <= 325120; a lane <= 650240 of 2^31 - 1
 *
 * dot_of says how the target of a planned tmatmul sums (false: not known); may be NULL. */
typedef bool TnDotOf(const TnGraph *g, TnRef tmatmul, TnDot *out);
void tn_print_ranges(const TnGraph *g, TnDotOf *dot_of, TnBuf *out);

#endif
