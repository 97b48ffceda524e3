/* What integers can become: bounds proved from types alone, and the largest K for which no sum overflows.
 *
 * Quantised activations are codes -127 to 127 (quant clamps, also what is infinite or NaN), ternary weights -1, 0, 1.
 * So a sum over K of codes, or of codes times weights, is at most 127*K in absolute value, in any order and with any
 * part left out: no partial sum is larger either. It must fit i32, which is the only limit that the IR itself has:
 * inference refuses longer rows, by name.
 *
 * Targets sum in ways of their own, with weights as codes 0, 1, 2 and several codes a byte. A TnDot describes such a
 * way, and emitters ask here how many additions an i16 takes before it must be widened, and how many lines a lane takes
 * before its sum must be put elsewhere. So every K that the IR has is exact on every target; nothing is left to data. */
#ifndef TN_RANGE_H
#define TN_RANGE_H

#include "ir/ir.h"

#define TN_RANGE_CODE 127 /* of q8, in absolute value */
#define TN_RANGE_LIMB 64  /* of q14 */

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

/* How a target sums the products of a row. A line is 256 codes. Those of p64 are w + 1, byte j of 64 holding in its bits
 * 2q, 2q + 1 that of weight 64q + j: plane q. Masking a plane without shifting it leaves codes times 4^q. */
typedef struct TnDot {
    int code;  /* the largest that a code is where it is multiplied; at most 255, since it is a byte */
    int value; /* the largest activation, in absolute value */
    int meets; /* products of a line that meet in an i32 lane */
    int pair;  /* products that one instruction sums to an i16; 0: to an i32 */
    int adds; /* those sums of a line, or of the part of it that is widened together, that go to the same i16 */
    bool
        exact32; /* a lane must hold its sum itself, since it is shifted down later; else it is enough that the result
                     fits, as addition is modulo 2^32 */
} TnDot;
/* The largest sum of `pair` products, and how many of such an i16 takes, whatever the data. 0 without a pair. */
int64_t tn_range_pair(const TnDot *d);
int64_t tn_range_adds(const TnDot *d);
/* Lines whose sums an i16 takes before it must be widened; 0: it must be inside a line, after tn_range_adds; never more
 * lines than rows of K have. Without a pair as many as they have. */
int64_t tn_range_widen(const TnDot *d, int64_t k);
/* Lines that a lane takes before its sum must be put elsewhere; never more than rows of K have. */
int64_t tn_range_split(const TnDot *d, int64_t k);
/* What a lane and an i16 hold at most for rows of K, where the code does as the two above say. */
int64_t tn_range_lane(const TnDot *d, int64_t k);
int64_t tn_range_narrow(const TnDot *d, int64_t k);

/* The graph as tn_print_file of it alone, with what is known of a value as a comment at the end of its line:
 *
 *     %a: i32[T,3840] = tmatmul %q, $w ; |y| <= 325120; a lane <= 162560; an i16 <= 32512: 16 additions of 2032, all that fit
 *
 * dot_of says how the target of a planned tmatmul or estimate sums (false: not known); may be NULL. */
typedef bool TnDotOf(const TnGraph *g, TnRef product, TnDot *out);
void tn_print_ranges(const TnGraph *g, TnDotOf *dot_of, TnBuf *out);

#endif
