/* Shadow tables of dense tables: rows of integer codes that are read instead of the table, with proven
 * bounds on what they leave out. The mathematics stands in ir.h, the bytes in type_layout.h. */
#ifndef TN_SHADOW_H
#define TN_SHADOW_H

#include "ir/type_layout.h"

#define TN_LIMBS_MOST 8127 /* of the numbers that limbs makes: both limbs are within -64 .. 64 */

/* What is known of a row beside its codes, all rounded up but the scale. */
typedef struct TnRowFacts {
    float scale, error, norm;
} TnRowFacts;

/* t is s8 or s6; row has K values. */
void tn_shadow_encode(const TnType *t, const float *row, void *out_row);
TnRowFacts tn_shadow_facts(const TnType *t, const float *row);
/* The codes c of a row in type_layout.h's form. */
void tn_shadow_codes(const TnType *t, const void *row, int8_t *out);
/* The facts of row r of a whole table. */
TnRowFacts tn_shadow_row_facts(const TnType *t, const void *table, int64_t r);

/* Half the width of the interval around an approximation that holds the element of matmul (ir.h). x and y: X
 * and Y of the row of q14. */
float tn_shadow_radius(float x, float y, float error, float norm);

#endif
