/* Listings: the lines of a kernel, cut out of the text of its graph. */
#include "codegen/internal.h"

#include <stdlib.h>
#include <string.h>

/* Finds a block: *lo is the first line that begins with `start`, *hi is the line after the next line that equals `end`. */
static bool find_block(const TnBuf *text, const char *start, const char *end, const char **lo,
                       const char **hi) {
    const char *last = text->data + text->len;
    size_t n = strlen(start), m = strlen(end);
    *lo = NULL;
    for (const char *p = text->data; p < last;) {
        const char *eol = memchr(p, '\n', (size_t)(last - p));
        size_t len = (size_t)((eol ? eol : last) - p);
        if (!*lo && len >= n && memcmp(p, start, n) == 0) *lo = p;
        p += len + (eol != NULL);
        *hi = p;
        if (*lo && len == m && memcmp(p - len - (eol != NULL), end, m) == 0) return true;
    }
    return false;
}

void tn_listing_kernel(const TnGraph *g, uint32_t kernel, const TnBuf *printed, uint32_t times, TnBuf *out) {
    const TnKernel *k = &g->kernels[kernel];
    const char *lo, *hi;
    TnBuf start = {0};
    tn_buf_printf(&start, "  kernel @%s {", k->name);
    tn_buf_put(&start, "", 1);
    tn_buf_printf(out, "graph @%s level=%s kv=%s rows=%lld..%lld", g->name, g->level, tn_kv_names[g->kv],
                  (long long)g->rows_lo, (long long)g->rows_hi);
    if (times > 1) tn_buf_printf(out, ": this kernel, and %u more that are the same code", times - 1);
    tn_buf_puts(out, "\n");
    if (find_block(printed, start.data, "  end", &lo, &hi)) tn_buf_put(out, lo, (size_t)(hi - lo));
    tn_buf_free(&start);
}
