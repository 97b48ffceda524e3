/* Numbers in flags are decimal digits and nothing else. strtol and strtod alone would also accept leading
 * blanks, a plus, hexadecimal and nan. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/cli/cli.h"

bool read_whole(const char *text, int64_t lo, int64_t hi, int64_t *out) {
    size_t sign = *text == '-', digits = strspn(text + sign, "0123456789");
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    if (digits == 0 || text[sign + digits] || errno || v < lo || v > hi) return false;
    *out = v;
    return true;
}

bool read_u64(const char *text, uint64_t *out) {
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    unsigned long long v = strtoull(text, NULL, 10);
    if (digits == 0 || text[digits] || errno) return false;
    *out = v;
    return true;
}

bool read_number(const char *text, double lo, double hi, double *out) {
    char *end;
    double v = strtod(text, &end);
    if (!*text || *end || *text == '+' || text[strspn(text, "0123456789+-.eE")] || !(v >= lo && v <= hi))
        return false;
    *out = v;
    return true;
}

uint64_t parse_bytes(const Verb *verb, const char *flag, const char *text) {
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"", 1},
                 {"K", 1000},
                 {"M", 1000000},
                 {"G", 1000000000},
                 {"T", 1000000000000},
                 {"Ki", 1ull << 10},
                 {"Mi", 1ull << 20},
                 {"Gi", 1ull << 30},
                 {"Ti", 1ull << 40}};
    size_t digits = strspn(text, "0123456789");
    char number[24] = "";
    uint64_t n = 0;
    if (digits && digits < sizeof number) memcpy(number, text, digits);
    for (size_t i = 0; read_u64(number, &n) && i < TN_COUNT(units); i++)
        if (n && strcmp(text + digits, units[i].name) == 0 && n <= UINT64_MAX / units[i].bytes)
            return n * units[i].bytes;
    usage_error(verb, "%s: got '%s', expected a size, such as 900M, 2G or 1Gi", flag, text);
}

/* Parses up to n bytes as one number. */
static bool read_part(const char *text, size_t n, int64_t lo, int64_t hi, int64_t *out) {
    char digits[24];
    if (n >= sizeof digits) return false;
    memcpy(digits, text, n);
    digits[n] = 0;
    return read_whole(digits, lo, hi, out);
}

uint32_t parse_counts(const Verb *verb, const char *flag, const char *list, uint32_t *out) {
    uint32_t n = 0;
    for (const char *p = list;;) {
        size_t len = strcspn(p, ",");
        int64_t v;
        if (n == 64 || !read_part(p, len, 0, 1 << 24, &v))
            usage_error(verb, "%s: '%s', expected a comma list of whole numbers", flag, list);
        out[n++] = (uint32_t)v;
        if (!p[len]) return n;
        p += len + 1;
    }
}

void parse_rows(const Verb *verb, const char *rows, uint32_t *out_lo, uint32_t *out_hi) {
    const char *dots = strstr(rows, "..");
    int64_t lo, hi;
    bool good = read_part(rows, dots ? (size_t)(dots - rows) : strlen(rows), 1, 65536, &lo);
    if (good) hi = lo;
    if (good && dots) good = read_whole(dots + 2, lo, 65536, &hi);
    if (!good) usage_error(verb, "--rows: '%s', expected N or LO..HI", rows);
    *out_lo = (uint32_t)lo;
    *out_hi = (uint32_t)hi;
}

/* Whether the process may run on a processor; true if the system does not say. */
static bool may_run_on(uint32_t cpu) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) != 0 || (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &set));
}

uint32_t parse_cpus(const Verb *verb, const char *flag, const char *list, uint32_t out[CPUS_MOST]) {
    uint32_t n = 0;
    for (const char *p = list;;) {
        size_t len = strcspn(p, ","), dash = strcspn(p, "-,");
        int64_t lo = 0, hi = 0;
        bool good = read_part(p, dash, 0, CPUS_MOST - 1, &lo);
        if (dash < len)
            good = good && read_part(p + dash + 1, len - dash - 1, lo, CPUS_MOST - 1, &hi);
        else
            hi = lo;
        if (!good || n + (uint64_t)(hi - lo) >= CPUS_MOST)
            usage_error(verb, "%s: got '%s', expected processors, such as 0-3 or 0,2", flag, list);
        for (; lo <= hi; lo++) {
            if (!may_run_on((uint32_t)lo))
                usage_error(verb, "%s: processor %lld is not one that this process may run on", flag,
                            (long long)lo);
            out[n++] = (uint32_t)lo;
        }
        if (!p[len]) return n;
        p += len + 1;
    }
}

void check_threads(const Verb *verb, const char *flag, int64_t threads, bool listed) {
    uint32_t cpus = tn_os_cpus();
    if (threads > 4 * (int64_t)cpus)
        usage_error(verb, "%s: got %lld threads, expected 1 to %u, four for each processor", flag,
                    (long long)threads, 4 * cpus);
    if (threads > cpus && !listed)
        note("%s: %lld threads on %u processor%s: more threads than processors wait for each other", flag,
             (long long)threads, cpus, cpus == 1 ? "" : "s");
}
