/* Listings: a kernel's text, and assembly or IR with the texts of its kernels above their functions. */
#include "codegen/internal.h"

#include <stdlib.h>
#include <string.h>

/* Where a line that begins with `start` begins, and where the line behind the next one that is `end` does. */
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

static void put_comment(TnBuf *out, const char *sign, const char *note) {
    for (const char *p = note; *p;) {
        size_t len = strcspn(p, "\n");
        tn_buf_printf(out, "%s %.*s\n", sign, (int)len, p);
        p += len + (p[len] == '\n');
    }
}

/* The job whose function the line opens: `before`NAME, where what follows is no part of a name. */
static const TnEmitJob *opens(const TnEmitJob *jobs, uint32_t n, const char *line, size_t len,
                              const char *before) {
    size_t skip = strlen(before);
    const char *at = NULL;
    for (size_t i = 0; !at && i + skip <= len; i++) {
        if (memcmp(line + i, before, skip) == 0) at = line + i + skip;
        if (before[0] == '\t') break; /* at the line's beginning alone */
    }
    if (!at) return NULL;
    size_t rest = (size_t)(line + len - at), m = 0;
    while (m < rest && !strchr(" \t\n(,", at[m])) m++;
    for (uint32_t i = 0; i < n; i++)
        if (strlen(jobs[i].symbol) == m && memcmp(jobs[i].symbol, at, m) == 0) return &jobs[i];
    return NULL;
}

void tn_listing_weave(const char *text, size_t n, const TnEmitJob *jobs, uint32_t n_jobs, TnShow what,
                      const char *sign, TnBuf *out) {
    for (const char *p = text, *end = text + n; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((eol ? eol + 1 : end) - p);
        const TnEmitJob *job = NULL;
        if (what == TN_SHOW_ASM)
            job = opens(jobs, n_jobs, p, len, "\t.globl\t");
        else if (len > 7 && memcmp(p, "define ", 7) == 0)
            job = opens(jobs, n_jobs, p, len, " @");
        if (job && job->note) {
            if (what == TN_SHOW_ASM) tn_buf_puts(out, "\n");
            put_comment(out, sign, job->note);
        }
        tn_buf_put(out, p, len);
        p += len;
    }
}
