/* Shadow tables of dense tables: integer codes that are read instead of the table, with proven
 * bounds on their errors. The mathematics is in ir.h, the bytes are in type_layout.h. */
#ifndef TN_SHADOW_H
#define TN_SHADOW_H

#include "ir/type_layout.h"

#define TN_LIMBS_MOST 8127 /* largest number that limbs makes: then both limbs are within -64 .. 64 */

/* The magnitudes of the codes of s5: the best 16 odd ones for normally distributed weights. */
extern const uint8_t tn_s5_levels[16];

/* The facts of a row besides its codes; all but the scale are rounded up. */
typedef struct TnRowFacts {
    float scale, error, norm;
    /* what a bit of each plane adds or takes away, and the error that is left then; 0 for planes that are not there */
    float step[TN_PLANES_MOST], fine[TN_PLANES_MOST];
} TnRowFacts;

/* Puts the codes of row r, of K values, into its block of 64 rows, whose bits of that row are 0. t is s8, s6 or s5. */
void tn_shadow_encode(const TnType *t, const float *row, int64_t r, void *block);
/* out_bits: NULL, or room for the row's bits of each plane. */
TnRowFacts tn_shadow_facts(const TnType *t, const float *row, uint8_t *const *out_bits);
/* Reads the codes c of row r of a whole table. */
void tn_shadow_codes(const TnType *t, const void *table, int64_t r, int8_t *out);
/* Reads the facts of row r of a whole table, and finds its bits of a plane. */
TnRowFacts tn_shadow_row_facts(const TnType *t, const void *table, int64_t r);
const uint8_t *tn_shadow_row_bits(const TnType *t, const void *table, int plane, int64_t r);

/* Half the width of the interval around an approximation that contains the element of matmul (ir.h). x and y are X
 * and Y of the row of q14. */
float tn_shadow_radius(float x, float y, float error, float norm);

#endif
