/* The batch classes for which variants are made, unless a target says otherwise: one row (decoding), a few rows (sequences
 * decoded together, guesses to check), and many rows (prompts). */
#ifndef TN_BATCH_CLASSES_H
#define TN_BATCH_CLASSES_H

#include <stdint.h>

enum {
    TN_ROWS_FEW = 8,
    TN_ROWS_DEFAULT = 512, /* most rows of a step */
    TN_BATCH_CLASSES = 4   /* at most */
};

typedef struct TnBatchClass {
    int64_t lo, hi;
} TnBatchClass;

/* The classes of a model whose steps have at most `most` rows. Returns their number, 1 to 3. */
static inline uint32_t tn_batch_classes_usual(int64_t most, TnBatchClass out[TN_BATCH_CLASSES]) {
    out[0] = (TnBatchClass){1, 1};
    out[1] = (TnBatchClass){2, most < TN_ROWS_FEW ? most : TN_ROWS_FEW};
    out[2] = (TnBatchClass){TN_ROWS_FEW + 1, most};
    return most > TN_ROWS_FEW ? 3 : most > 1 ? 2 : 1;
}

#endif
