/* Listings: LLVM's assembly and IR with the texts of their kernels above the functions. */
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

/* ---- Assembly with a comment where the op changes.
 *
 * A listing's code has debug info whose lines count the nodes of all jobs' kernels, from 1; line 0 is code of no op in
 * particular. Its .loc become comments, the rest of it goes: the instructions are those of code without. */

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

/* The text of a node by its line: the lines of a note are the graph's head, the kernel's, its nodes', `end`. */
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

/* Puts what stands for a .loc, if it does; *last is the line told last. */
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

/* ---- IR: the same, by metadata. Every instruction names a !DILocation, which stands behind all functions. */

/* The number behind `with` where it first stands in the line, and where that is; -1: nowhere. */
static int64_t number_behind(const char *line, size_t len, const char *with, const char **at) {
    size_t n = strlen(with);
    for (size_t i = 0; i + n < len; i++) {
        if (line[i] != with[0] || memcmp(line + i, with, n) != 0) continue;
        *at = line + i;
        return strtol(line + i + n, NULL, 10);
    }
    return -1;
}

/* By the number of a piece of metadata: the line that it is a location of, or 0. */
static uint32_t *locations(const char *text, size_t n, uint32_t *out_n) {
    uint32_t *lines = NULL, count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (const char *p = text, *end = text + n; p < end;) {
            const char *eol = memchr(p, '\n', (size_t)(end - p)), *at;
            size_t len = (size_t)((eol ? eol + 1 : end) - p);
            int64_t line = *p == '!' ? number_behind(p, len, "!DILocation(line: ", &at) : -1;
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
           (*line == '!' && (number_behind(line, len, " !DI", &at) >= 0 ||
                             number_behind(line, len, "!\"Debug Info Version\"", &at) >= 0));
}

/* An instruction without its location, under its op's text if that is another than the last; false: it has none. */
static bool put_instruction(const TnEmitJob *jobs, uint32_t n, const char *line, size_t len,
                            const uint32_t *lines, uint32_t n_lines, uint32_t *last, TnBuf *out) {
    const char *at;
    int64_t id = number_behind(line, len, "!dbg !", &at);
    if (id < 0) return false;
    uint32_t op = id < n_lines ? lines[id] : 0;
    size_t n_text, head = (size_t)(at - line);
    const char *text = op && op != *last ? op_text(jobs, n, op, &n_text) : NULL;
    if (text) tn_buf_printf(out, "  ; %.*s\n", (int)n_text, text);
    if (op) *last = op;
    const char *behind = at + strlen("!dbg !");
    while (*behind >= '0' && *behind <= '9') behind++;
    while (head && line[head - 1] == ' ') head--; /* "..., !dbg !7" or "... !dbg !7 {" */
    if (head && line[head - 1] == ',') head--;
    tn_buf_put(out, line, head);
    tn_buf_put(out, behind, (size_t)(line + len - behind));
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
