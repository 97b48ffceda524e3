/* docs/passes.md: every pass has its section, in the order of the pipeline, and its example is what the pass
 * prints. A section shows the graph before and after, or only after if the graph before is the last one of the previous
 * section. A section may show a fused graph of its own, before and after; the next section does not continue with it. With
 * TERN_REFRESH=1 in the environment the examples are rewritten; read the diff before you commit it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ctype.h>
#include <cmocka.h>
#include "codegen/codegen.h"
#include "runtime/base/os.h"

#define PAGE  TERN_SOURCE_DIR "/docs/passes.md"
#define OPEN  "```tir\n"
#define CLOSE "```\n"

static char *read_page(void) {
    char *text;
    size_t n;
    TernError err = {0};
    if (tn_file_read(PAGE, 1 << 22, &text, &n, &err)) fail_msg("%s", err.text);
    return text;
}

/* ---- words */

static void every_pass_has_its_section(void **state) {
    (void)state;
    static const char *const stages[] = {"model", "fused", "planned"};
    char *page = read_page();
    TnBuf list = {0};
    tn_buf_puts(&list, "```text\npass       from     to       runs\n");
    const char *at = page;
    for (uint32_t i = 0; i < tn_n_passes; i++) {
        const TnPass *p = &tn_passes[i];
        tn_buf_printf(&list, "%-11s%-9s%-9s%s\n", p->name, stages[p->needs], stages[p->gives],
                      p->variant ? "a variant" : "a model");
        TnBuf head = {0};
        tn_buf_printf(&head, "\n## `%s`\n\n%c%s.\n\n- **Does.** ", p->name, toupper((unsigned char)p->doc[0]),
                      p->doc + 1);
        at = strstr(at, head.data);
        if (!at) fail_msg("the page has not, in the order of the pipeline:\n%s", head.data);
        const char *end = strstr(at + 1, "\n## "), *needs = strstr(at, "\n- **Needs** "),
                   *stops = strstr(at, "\n- **Stops** ");
        if (!end || !needs || !stops || needs > end || stops > end || !strstr(needs, "**Breaks** "))
            fail_msg("section %s: expected Does, Needs, Breaks and Stops", p->name);
        tn_buf_free(&head);
    }
    tn_buf_puts(&list, CLOSE);
    if (!strstr(page, list.data)) fail_msg("the page's list is not\n%s", list.data);
    tn_buf_free(&list);
    free(page);
}

/* ---- examples */

static TnGraph *parse(const char *text, size_t n) {
    TnDiag diag = {0};
    TnGraph **gs = NULL;
    uint32_t count = 0;
    if (tn_parse(text, n, "docs/passes.md", &gs, &count, &diag)) fail_msg("%s", diag.text.data);
    assert_int_equal(count, 1);
    TnGraph *g = gs[0];
    free(gs);
    return g;
}

#ifdef TERN_LLVM
/* What the passes make of a text. */
static void run(const char *text, size_t n, const char *passes, int64_t lo, int64_t hi, TnBuf *out) {
    const TnTargetDesc *targets[] = {&tn_target_llvm.desc};
    TnPassCtx ctx = {.level = "avx2",
                     .kv = TN_KV_F16,
                     .rows_lo = lo,
                     .rows_hi = hi,
                     .head = strcmp(passes, "shortlist") == 0 ? TN_ENC_s8 : TN_ENC_COUNT,
                     .targets = targets,
                     .n_targets = 1};
    TernError err = {0};
    TnGraph *g = parse(text, n);
    if (tn_passes_run(g, passes, &ctx, &err)) fail_msg("%s", err.text);
    tn_print_file(&g, 1, out);
    tn_graph_destroy(g);
}

/* The page being checked, and as it would have to be. */
typedef struct Check {
    const char *at; /* copied up to here */
    TnBuf fresh;
    int faults;
} Check;

static const char *next_block(Check *c, const char *end, const char **out_end) {
    const char *b = strstr(c->at, OPEN);
    if (!b || (end && b > end)) return NULL;
    b += strlen(OPEN);
    tn_buf_put(&c->fresh, c->at, (size_t)(b - c->at));
    *out_end = strstr(b, CLOSE);
    assert_non_null(*out_end);
    c->at = *out_end;
    return b;
}

static void expect(Check *c, const char *pass, const char *block, const char *end, const TnBuf *want) {
    tn_buf_put(&c->fresh, want->data, want->len);
    if (want->len == (size_t)(end - block) && memcmp(want->data, block, want->len) == 0) return;
    print_message("%s: the page has\n%.*sthe pass prints\n%s\n", pass, (int)(end - block), block, want->data);
    c->faults++;
}

static void check_examples(const char *page, Check *c) {
    c->at = page;
    TnBuf last = {0}, fused_from = {0};
    for (uint32_t i = 0; i < tn_n_passes; i++) {
        const char *pass = tn_passes[i].name, *first_end, *second_end;
        TnBuf head = {0};
        tn_buf_printf(&head, "\n## `%s`\n", pass);
        const char *head_at = strstr(page, head.data);
        assert_non_null(head_at);
        const char *section_end = strstr(head_at + head.len, "\n## ");
        tn_buf_free(&head);
        const char *first = next_block(c, section_end, &first_end);
        if (!first) fail_msg("%s: no example", pass);
        const char *probe = strstr(c->at, OPEN);
        bool pair = probe && probe < section_end;
        TnBuf aside = {0};
        if (pair) {
            tn_buf_put(&c->fresh, first, (size_t)(first_end - first));
            aside = last;
            last = (TnBuf){0};
            tn_buf_put(&last, first, (size_t)(first_end - first));
            if (strcmp(pass, "split") == 0) tn_buf_put(&fused_from, last.data, last.len);
            first = next_block(c, section_end, &second_end);
        } else {
            second_end = first_end;
        }
        TnBuf want = {0};
        run(last.data, last.len, pass, 1, 1, &want);
        expect(c, pass, first, second_end, &want);
        tn_buf_free(&last);
        last = want;
        if (!pair) continue;
        bool own = tn_passes[i].needs == TN_STAGE_FUSED;
        tn_buf_free(own ? &last : &aside);
        if (own) last = aside;
    }
    const char *end, *block = next_block(c, NULL, &end);
    assert_non_null(block);
    TnBuf want = {0};
    run(fused_from.data, fused_from.len, TN_PASSES_VARIANT, 2, 8, &want);
    expect(c, "rows=2..8", block, end, &want);
    assert_null(strstr(c->at, OPEN));
    tn_buf_puts(&c->fresh, c->at);
    tn_buf_free(&want);
    tn_buf_free(&last);
    tn_buf_free(&fused_from);
}

static void examples_are_what_passes_print(void **state) {
    (void)state;
    char *page = read_page();
    Check c = {0};
    check_examples(page, &c);
    if (getenv("TERN_REFRESH")) {
        FILE *f = fopen(PAGE, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(c.fresh.data, 1, c.fresh.len, f), c.fresh.len);
        assert_int_equal(fclose(f), 0);
    } else {
        assert_int_equal(c.faults, 0);
        assert_string_equal(c.fresh.data, page);
    }
    tn_buf_free(&c.fresh);
    free(page);
}
#else
static void examples_are_what_passes_print(void **state) {
    (void)state;
    char *page = read_page();
    const char *at = strstr(page, OPEN);
    assert_non_null(at);
    at += strlen(OPEN);
    tn_graph_destroy(parse(at, (size_t)(strstr(at, CLOSE) - at)));
    free(page);
    print_message("skipped: the examples were made by the llvm target, which this build has not\n");
    skip();
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pass_has_its_section),
        cmocka_unit_test(examples_are_what_passes_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
