/* Golden tests: tests/passes/golden/<pass>_<what>.tir. One file is one test:
 *
 *   ; run: fuse level=avx2 kv=f16 rows=1      what to run; other comment lines say what it shows
 *   tir 1
 *   graph ...                                  the input
 *   ; ----
 *   ...                                        exactly what must come out
 *
 * targets=grid selects the target whose answers differ (sample_targets.h), first=NAME sets TnPassCtx.first, beside=yes
 * TnPassCtx.beside, beside=base3 that and TnPassCtx.base3, beside=whole that and TnPassCtx.whole.
 * `run:` is a comma-separated list of passes, or `cat` (parse and print), `verify` (all faults), `table` (the memory
 * plan). If the passes refuse, the output is `error: ` and the line. After passes the output must parse to
 * the graph that was printed. With TERN_REFRESH=1 in the environment the expectations are rewritten; read
 * the diff before you commit it. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "passes/sample_targets.h"
#include "runtime/base/os.h"

#define MARK "; ----\n"

/* The word after key= in the `run:` line, or "". */
static void option(const char *line, const char *key, char out[64]) {
    size_t n = strcspn(line, "\n"), k = strlen(key);
    out[0] = 0;
    for (size_t i = 0; i + k < n; i++)
        if (line[i] == ' ' && strncmp(line + i + 1, key, k) == 0 && line[i + 1 + k] == '=')
            snprintf(out, 64, "%.*s", (int)strcspn(line + i + k + 2, " \n"), line + i + k + 2);
}

static TnPassCtx context(const char *line, char level[64], char first[64]) {
    char word[64];
    TnPassCtx ctx = {.head = TN_ENC_COUNT, .targets = test_targets, .n_targets = TEST_TARGETS};
    option(line, "level", level);
    if (level[0]) ctx.level = level;
    option(line, "kv", word);
    ctx.kv = !word[0] ? TN_KV_UNSET : strcmp(word, "f16") == 0 ? TN_KV_F16 : TN_KV_F32;
    option(line, "rows", word);
    if (word[0]) {
        char *dots = strstr(word, "..");
        ctx.rows_lo = atoi(word);
        ctx.rows_hi = dots ? atoi(dots + 2) : ctx.rows_lo;
    }
    option(line, "head", word);
    if (strcmp(word, "f16") == 0) ctx.head = TN_ENC_f16;
    if (strcmp(word, "f32") == 0) ctx.head = TN_ENC_f32;
    option(line, "targets", word);
    if (strcmp(word, "grid") == 0) ctx.targets = grid_targets;
    option(line, "beside", word);
    ctx.base3 = strcmp(word, "base3") == 0;
    ctx.whole = strcmp(word, "whole") == 0;
    ctx.beside = ctx.base3 || ctx.whole || strcmp(word, "yes") == 0;
    option(line, "first", first);
    if (first[0]) ctx.first = first;
    return ctx;
}

static void must_parse_back(TnGraph *const *gs, uint32_t n, const char *what) {
    TnBuf text = {0};
    TnDiag d = {0};
    TnGraph **back;
    uint32_t m;
    tn_print_file(gs, n, &text);
    if (tn_parse(text.data, text.len, what, &back, &m, &d) != TERN_OK) fail_msg("%s", d.text.data);
    assert_int_equal(n, m);
    for (uint32_t i = 0; i < n; i++) {
        if (!tn_graph_equal(gs[i], back[i])) fail_msg("%s: the printed graph parses to another", what);
        tn_graph_destroy(back[i]);
    }
    free(back);
    tn_buf_free(&text);
    tn_diag_free(&d);
}

static void run_on(TnGraph **gs, uint32_t n, const char *verb, const char *line, const char *what,
                   TnBuf *out) {
    char level[64], first[64];
    TnPassCtx ctx = context(line, level, first);
    TnDiag d = {0};
    TernError err = {0};
    if (strcmp(verb, "verify") == 0) {
        for (uint32_t i = 0; i < n; i++) tn_verify(gs[i], &d);
        if (d.text.len) tn_buf_put(out, d.text.data, d.text.len);
        tn_diag_free(&d);
        return;
    }
    bool table = strcmp(verb, "table") == 0;
    for (uint32_t i = 0; i < n && strcmp(verb, "cat") != 0; i++) {
        if (tn_passes_run(gs[i], table ? NULL : verb, &ctx, &err) != TERN_OK) {
            tn_buf_printf(out, "error: %s\n", err.text);
            return;
        }
        if (table) tn_plan_table(gs[i], out);
    }
    if (table) return;
    must_parse_back(gs, n, what);
    tn_print_file(gs, n, out);
}

static void one_file(const char *path) {
    char *text;
    size_t size;
    assert_int_equal(tn_file_read(path, 1 << 20, &text, &size, NULL), TERN_OK);
    const char *what = strrchr(path, '/') + 1, *run = strstr(text, "; run: "), *mark = strstr(text, MARK);
    if (!run || !mark) fail_msg("%s: no `; run: ` line or no `; ----` line", what);
    run += strlen("; run: ");
    char verb[128];
    snprintf(verb, sizeof verb, "%.*s", (int)strcspn(run, " \n"), run);
    TnBuf out = {0};
    TnDiag d = {0};
    TnGraph **gs;
    uint32_t n;
    if (tn_parse(text, (size_t)(mark - text), what, &gs, &n, &d) != TERN_OK) {
        tn_buf_put(&out, d.text.data, d.text.len);
    } else {
        run_on(gs, n, verb, run, what, &out);
        for (uint32_t i = 0; i < n; i++) tn_graph_destroy(gs[i]);
        free(gs);
    }
    const char *got = out.data ? out.data : "", *want = mark + strlen(MARK);
    if (getenv("TERN_REFRESH")) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "%.*s%s%s", (int)(mark - text), text, MARK, got);
        fclose(f);
    } else if (strcmp(got, want) != 0) {
        size_t at = 0, line = 1;
        while (got[at] && got[at] == want[at]) line += got[at++] == '\n';
        while (at && want[at - 1] != '\n') at--;
        fail_msg("%s: line %zu of the output differs\n  want: %.*s\n  got:  %.*s", what, line,
                 (int)strcspn(want + at, "\n"), want + at, (int)strcspn(got + at, "\n"), got + at);
    }
    tn_diag_free(&d);
    tn_buf_free(&out);
    free(text);
}

static void golden(void **state) {
    one_file(*state);
}

int main(void) {
    glob_t found;
    if (glob(TERN_SOURCE_DIR "/tests/passes/golden/*.tir", 0, NULL, &found) != 0) return 1;
    struct CMUnitTest *tests = calloc(found.gl_pathc, sizeof *tests);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = strrchr(found.gl_pathv[i], '/') + 1;
        tests[i] = (struct CMUnitTest){name, golden, NULL, NULL, found.gl_pathv[i]};
    }
    int failed = _cmocka_run_group_tests("golden", tests, found.gl_pathc, NULL, NULL);
    free(tests);
    globfree(&found);
    return failed;
}
