/* Listings: LLVM's assembly and IR, with the text of each kernel above its function and the text of each op
 * where its instructions begin. */
#include "codegen/llvm/weave.h"

#include <stdlib.h>
#include <string.h>

static void put_comment(TnBuf *out, const char *sign, const char *note) {
    for (const char *p = note; *p;) {
        size_t len = strcspn(p, "\n");
        tn_buf_printf(out, "%s %.*s\n", sign, (int)len, p);
        p += len + (p[len] == '\n');
    }
}

/* The job whose function begins at this line, or NULL. The function's name follows the text `before`. */
static const TnEmitJob *opens(const TnEmitJob *jobs, uint32_t n, const char *line, size_t len,
                              const char *before) {
    size_t skip = strlen(before);
    const char *at = NULL;
    for (size_t i = 0; !at && i + skip <= len; i++) {
        if (memcmp(line + i, before, skip) == 0) at = line + i + skip;
        if (before[0] == '\t') break; /* only at the beginning of the line */
    }
    if (!at) return NULL;
    size_t rest = (size_t)(line + len - at), m = 0;
    while (m < rest && !strchr(" \t\n(,", at[m])) m++;
    for (uint32_t i = 0; i < n; i++)
        if (strlen(jobs[i].symbol) == m && memcmp(jobs[i].symbol, at, m) == 0) return &jobs[i];
    return NULL;
}

/* ---- Assembly with a comment where the op changes.
 *
 * Code for a listing has debug info. Its line numbers count the nodes of all jobs' kernels from 1; line 0 is
 * code that belongs to no single op. We turn each .loc into a comment and drop the other debug info, so what
 * is left are the same instructions as without it. */

static bool begins(const char *line, size_t len, const char *with) {
    size_t n = strlen(with);
    return len >= n && memcmp(line, with, n) == 0;
}

static bool is_debug_info(const char *line, size_t len, bool *in_section) {
    if (begins(line, len, "\t.section\t")) *in_section = begins(line, len, "\t.section\t.debug_");
    if (begins(line, len, "\t.text")) *in_section = false;
    return *in_section || begins(line, len, "\t.cfi_") || begins(line, len, ".Ltmp") ||
           begins(line, len, ".Lfunc_begin") ||
           (begins(line, len, "\t.file\t") && len > 7 && line[7] >= '0' && line[7] <= '9');
}

/* The text of the node with this line number. A note has a line for the graph, one for the kernel, one for
 * each node, and `end`. */
static const char *op_text(const TnEmitJob *jobs, uint32_t n, uint32_t line, size_t *out_len) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t nodes = jobs[i].g->kernels[jobs[i].kernel].n;
        if (line > nodes) {
            line -= nodes;
            continue;
        }
        const char *p = jobs[i].note;
        for (uint32_t skip = line + 1; p && skip; skip--) {
            p = strchr(p, '\n');
            p = p ? p + 1 : NULL;
        }
        if (!p) return NULL;
        p += strspn(p, " ");
        *out_len = strcspn(p, "\n");
        return p;
    }
    return NULL;
}

/* If the line is a .loc, writes the op's text in its place and returns true. *last is the line number written
 * last. */
static bool put_op(const TnEmitJob *jobs, uint32_t n, const char *line, size_t len, const char *sign,
                   uint32_t *last, TnBuf *out) {
    if (!begins(line, len, "\t.loc\t")) return false;
    char *end;
    (void)strtoul(line + 6, &end, 10); /* the file: there is one */
    uint32_t at = (uint32_t)strtoul(end, NULL, 10);
    size_t n_text;
    const char *text = at && at != *last ? op_text(jobs, n, at, &n_text) : NULL;
    if (text) tn_buf_printf(out, "\t%s %.*s\n", sign, (int)n_text, text);
    if (at) *last = at;
    return true;
}

/* ---- IR: the same, from metadata. Each instruction names a !DILocation, which is defined after all
 * functions. */

/* The number after the first `with` in the line, and where that `with` is; -1 if there is none. */
static int64_t number_after(const char *line, size_t len, const char *with, const char **at) {
    size_t n = strlen(with);
    for (size_t i = 0; i + n < len; i++) {
        if (line[i] != with[0] || memcmp(line + i, with, n) != 0) continue;
        *at = line + i;
        return strtol(line + i + n, NULL, 10);
    }
    return -1;
}

/* An array from the number of a metadata node to the line of its location, or 0 if it is none. */
static uint32_t *locations(const char *text, size_t n, uint32_t *out_n) {
    uint32_t *lines = NULL, count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (const char *p = text, *end = text + n; p < end;) {
            const char *eol = memchr(p, '\n', (size_t)(end - p)), *at;
            size_t len = (size_t)((eol ? eol + 1 : end) - p);
            int64_t line = *p == '!' ? number_after(p, len, "!DILocation(line: ", &at) : -1;
            uint32_t id = line >= 0 ? (uint32_t)strtoul(p + 1, NULL, 10) : 0;
            if (pass && line >= 0) lines[id] = (uint32_t)line;
            if (!pass && line >= 0 && id >= count) count = id + 1;
            p += len;
        }
        if (!pass) lines = tn_xcalloc(count + 1u, sizeof *lines);
    }
    *out_n = count;
    return lines;
}

static bool is_debug_metadata(const char *line, size_t len) {
    const char *at;
    return begins(line, len, "!llvm.dbg.cu") || begins(line, len, "!llvm.module.flags") ||
           (*line == '!' && (number_after(line, len, " !DI", &at) >= 0 ||
                             number_after(line, len, "!\"Debug Info Version\"", &at) >= 0));
}

/* Writes an instruction without its location, and its op's text above it if the op has changed. Returns
 * false, and writes nothing, if the line has no location. */
static bool put_instruction(const TnEmitJob *jobs, uint32_t n, const char *line, size_t len,
                            const uint32_t *lines, uint32_t n_lines, uint32_t *last, TnBuf *out) {
    const char *at;
    int64_t id = number_after(line, len, "!dbg !", &at);
    if (id < 0) return false;
    uint32_t op = id < n_lines ? lines[id] : 0;
    size_t n_text, head = (size_t)(at - line);
    const char *text = op && op != *last ? op_text(jobs, n, op, &n_text) : NULL;
    if (text) tn_buf_printf(out, "  ; %.*s\n", (int)n_text, text);
    if (op) *last = op;
    const char *after = at + strlen("!dbg !");
    while (*after >= '0' && *after <= '9') after++;
    while (head && line[head - 1] == ' ') head--; /* "..., !dbg !7" or "... !dbg !7 {" */
    if (head && line[head - 1] == ',') head--;
    tn_buf_put(out, line, head);
    tn_buf_put(out, after, (size_t)(line + len - after));
    return true;
}

void tn_llvm_weave(const char *text, size_t n, const TnEmitJob *jobs, uint32_t n_jobs, TnShow what,
                   const char *sign, TnBuf *out) {
    uint32_t last = 0, n_lines = 0;
    uint32_t *lines = what == TN_SHOW_LLVM ? locations(text, n, &n_lines) : NULL;
    bool debug = false;
    for (const char *p = text, *end = text + n; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((eol ? eol + 1 : end) - p);
        const TnEmitJob *job = NULL;
        if (what == TN_SHOW_ASM &&
            (is_debug_info(p, len, &debug) || put_op(jobs, n_jobs, p, len, sign, &last, out))) {
            p += len;
            continue;
        }
        if (what == TN_SHOW_LLVM && is_debug_metadata(p, len)) {
            p += len;
            continue;
        }
        if (what == TN_SHOW_ASM)
            job = opens(jobs, n_jobs, p, len, "\t.globl\t");
        else if (len > 7 && memcmp(p, "define ", 7) == 0)
            job = opens(jobs, n_jobs, p, len, " @");
        if (job) last = 0;
        if (job && job->note) {
            if (what == TN_SHOW_ASM) tn_buf_puts(out, "\n");
            put_comment(out, sign, job->note);
        }
        if (!lines || !put_instruction(jobs, n_jobs, p, len, lines, n_lines, &last, out))
            tn_buf_put(out, p, len);
        p += len;
    }
    free(lines);
}
