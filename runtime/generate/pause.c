/* How many rows of prompts a step may have while others wait for their next token, or may come and wait for their first.
 *
 * A step of few rows takes about as long as one of a single row, because weights are read once; a step of many takes so much a
 * row. Kernels differ with the number of rows as well. So the time of a row is kept for each power of two of rows, as a
 * moving mean over steps of that size, and a step gets the most rows that its own class expects to run in time. A class that
 * has not been seen counts as the nearest smaller one that has, which is rather too slow, or else as the nearest larger one.
 *
 * Now and then a step is slow for reasons of its own. So a step counts as at most twice as slow as those before it, and a
 * class that seems slower than a smaller one draws near to it while it is not used: it will be tried again.
 *
 * What was measured decides only where prompts are cut, and that changes no bits. */
#include "runtime/generate/sequence.h"

enum { WEIGHT = 4 }; /* the last step counts for one part in so many */
enum { REST = 32 };  /* a class that is not used draws near by one part in so many */

static int class_of(size_t rows) {
    int i = 0;
    while (rows > 1 && i + 1 < TN_PACE_CLASSES) rows /= 2, i++;
    return i;
}

void tn_pace_note(TnPace *p, size_t rows, double seconds) {
    int class = class_of(rows);
    double *mean = &p->row[class], row = seconds / (double)rows;
    if (!(row > 0)) return; /* the clock stood still, or went back */
    if (*mean > 0 && row > 2 * *mean) row = 2 * *mean;
    *mean = *mean > 0 ? *mean + (row - *mean) / WEIGHT : row;
    for (int i = class + 1; i < TN_PACE_CLASSES; i++)
        if (p->row[i] > *mean) p->row[i] += (*mean - p->row[i]) / REST;
}

static double row_time(const TnPace *p, int class) {
    for (int i = class; i >= 0; i--)
        if (p->row[i] > 0) return p->row[i];
    for (int i = class + 1; i < TN_PACE_CLASSES; i++)
        if (p->row[i] > 0) return p->row[i];
    return 0;
}

size_t tn_pace_rows(const TnPace *p, double seconds, size_t least, size_t most) {
    for (int i = class_of(most), low = class_of(least); i >= low && i >= 0; i--) {
        double row = row_time(p, i), n = row > 0 ? seconds / row : 0;
        size_t first = (size_t)1 << i, last = i == class_of(most) ? most : 2 * first - 1;
        if (n < (double)first) continue;
        size_t rows = n < (double)last ? (size_t)n : last;
        return rows > least ? rows : least;
    }
    return least;
}
