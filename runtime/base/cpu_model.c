/* Which processor this is, by its own numbers. */
#include "runtime/base/os.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

void tn_os_cpu_model(TnCpuModel *out) {
    *out = (TnCpuModel){.vendor = ""};
#if defined(__x86_64__)
    uint32_t a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d)) return;
    memcpy(out->vendor, &b, 4);
    memcpy(out->vendor + 4, &d, 4);
    memcpy(out->vendor + 8, &c, 4);
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    out->family = a >> 8 & 15;
    out->model = a >> 4 & 15;
    if (out->family == 6 || out->family == 15) out->model += (a >> 16 & 15) << 4;
    if (out->family == 15) out->family += a >> 20 & 255;
#endif
}
