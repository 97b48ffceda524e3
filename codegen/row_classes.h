/* The row classes that variants are made for: one row (decoding), a few (sequences decoded together, checked guesses),
 * and many (prompts). */
#ifndef TN_ROW_CLASSES_H
#define TN_ROW_CLASSES_H

#include <stdint.h>

enum {
    TN_ROWS_FEW = 8,
    TN_ROWS_DEFAULT = 512,
    TN_ROW_CLASSES = 3
};                                               /* TN_ROWS_DEFAULT: most rows of a step */
#define TN_ROW_CLASSES_TEXT "1, 2..8 and 9..512" /* for help and reports: those of TN_ROWS_DEFAULT */

typedef struct TnRowClass {
    int64_t lo, hi;
} TnRowClass;

/* The classes of a model whose steps have at most `most` rows; returns how many, 1 to TN_ROW_CLASSES. */
static inline uint32_t tn_row_classes(int64_t most, TnRowClass out[TN_ROW_CLASSES]) {
    out[0] = (TnRowClass){1, 1};
    out[1] = (TnRowClass){2, most < TN_ROWS_FEW ? most : TN_ROWS_FEW};
    out[2] = (TnRowClass){TN_ROWS_FEW + 1, most};
    return most > TN_ROWS_FEW ? 3 : most > 1 ? 2 : 1;
}

#endif
