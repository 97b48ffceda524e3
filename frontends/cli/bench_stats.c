/* What the runs of a test say together. The runs of one test are few, and a slow one among them is common: the table shows the
 * median, which one slow run does not move, beside the mean, which it does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/bench.h"

double bench_quantile(const double *sorted, uint32_t n, double share) {
    double at = share * (n - 1);
    uint32_t below = (uint32_t)at;
    if (below + 1 >= n) return sorted[n - 1];
    return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}

static int rising(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

BenchStats bench_stats(const double *samples, uint32_t n) {
    double sorted[BENCH_SAMPLES], sum = 0, square = 0;
    TN_CHECK(n > 0 && n <= BENCH_SAMPLES);
    memcpy(sorted, samples, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, rising);
    for (uint32_t i = 0; i < n; i++) sum += sorted[i];
    BenchStats s = {.n = n, .mean = sum / n, .least = sorted[0], .most = sorted[n - 1]};
    for (uint32_t i = 0; i < n; i++) square += (sorted[i] - s.mean) * (sorted[i] - s.mean);
    s.stddev = n > 1 ? sqrt(square / (n - 1)) : 0;
    s.median = bench_quantile(sorted, n, 0.5);
    s.p95 = bench_quantile(sorted, n, 0.05); /* of speeds: 95 % are above it */
    return s;
}

/* Student's t at 97.5 %; beyond 10 degrees within 0.4 % of the tables. */
static double student(double degrees) {
    static const double few[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
    if (degrees < 1) return few[0];
    return degrees < 11 ? few[(int)degrees - 1] : 1.96 + 2.6 / degrees;
}

double bench_ratio_noise(const BenchStats *now, const BenchStats *then) {
    TN_CHECK(now->n > 1 && then->n > 1);
    double a = now->stddev / now->median, b = then->stddev / then->median;
    double va = a * a / now->n, vb = b * b / then->n, v = va + vb;
    if (v <= 0) return 0;
    double degrees = v * v / (va * va / (now->n - 1) + vb * vb / (then->n - 1));
    return 1.25 * student(degrees) * sqrt(v);
}
