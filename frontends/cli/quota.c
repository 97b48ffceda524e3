/* Tells the user when a container's quota of processor time gives fewer threads than processors. */
#include "frontends/cli/cli.h"
#include "runtime/base/cpus.h"

void report_quota(int64_t threads) {
    static bool said;
    TnCpus c = tn_cpus("");
    if (said || threads || c.threads == c.processors) return;
    said = true;
    fprintf(stderr, "tern: %u thread%s: the CPU quota is %.4g of %u processors\n", c.threads,
            c.threads == 1 ? "" : "s", (double)c.quota / (double)c.period, c.processors);
}
