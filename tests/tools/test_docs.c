/* Checks docs/ir.md against the tables it documents, and every complete example in docs/ with parser,
 * verifier and printer. Entries are compared word for word, apart from line breaks, so the page may be
 * wrapped but cannot become outdated. The checks count faults instead of failing at once, because a last test
 * spoils the page everywhere and expects faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <dirent.h>
#include "frontends/tools/show.h"
#include "runtime/base/os.h"

static bool quiet; /* while faults are made on purpose */
#define DOCS TERN_SOURCE_DIR "/docs/"

static char *read_doc(const char *name) {
    TnBuf path = {0};
    tn_buf_printf(&path, "%s%s", DOCS, name);
    char *text;
    size_t n;
    TernError err = {0};
    if (tn_file_read(path.data, 1 << 22, &text, &n, &err)) fail_msg("%s", err.text);
    tn_buf_free(&path);
    return text;
}

/* Runs of blanks and newlines become one blank. */
static char *squeeze(const char *s) {
    TnBuf b = {0};
    for (; *s; s++) {
        bool blank = strchr(" \n\t", *s) != NULL;
        if (!blank)
            tn_buf_put(&b, s, 1);
        else if (b.len && b.data[b.len - 1] != ' ')
            tn_buf_puts(&b, " ");
    }
    tn_buf_puts(&b, "");
    return b.data;
}

/* From "## title" to the next heading of that rank; NULL if there is none. free() it. */
static char *section(const char *page, const char *title) {
    TnBuf head = {0};
    tn_buf_printf(&head, "\n## %s\n", title);
    const char *from = strstr(page, head.data), *to = from ? strstr(from + head.len, "\n## ") : NULL;
    char *out = from ? strndup(from, to ? (size_t)(to - from) : strlen(from)) : NULL;
    tn_buf_free(&head);
    return out;
}

static int count(const char *s, const char *what) {
    int n = 0;
    for (; (s = strstr(s, what)); s++) n++;
    return n;
}

/* The text of the first ```text block, NULL if there is none. free() it. */
static char *first_block(const char *s) {
    const char *from = strstr(s, "\n```text\n");
    if (!from) return NULL;
    from += strlen("\n```text\n");
    const char *to = strstr(from, "```");
    return to ? strndup(from, (size_t)(to - from)) : NULL;
}

/* ---- entries: each gives the words that the page must have. */

static const char *const classes[] = {"SOURCE", "INPUT", "ROW", "ELEM", "MAP", "ROOT", "SINK"};

static void op_entry(int i, TnBuf *out) {
    const TnOpInfo *op = &tn_ops[i];
    tn_buf_printf(out, "### `%s` ```text %s; ", op->name, classes[op->class]);
    if (op->max_args == 0)
        tn_buf_puts(out, "no operands");
    else if (op->min_args != op->max_args)
        tn_buf_printf(out, "%u to %u operands", op->min_args, op->max_args);
    else
        tn_buf_printf(out, op->max_args == 1 ? "%u operand" : "%u operands", op->max_args);
    tn_buf_printf(out, "; stages %s; %s%s", op->stages, *op->attrs ? "attributes " : "no attributes",
                  op->attrs);
    if (op->traits) tn_buf_puts(out, "; traits");
    for (int t = 0; t < TN_TRAIT_COUNT; t++)
        if (tn_op_is((TnOp)i, (TnTrait)t)) tn_buf_printf(out, " %s", tn_traits[t].name);
    tn_buf_printf(out, " %s ```", op->doc);
}

static void trait_entry(int i, TnBuf *out) {
    tn_buf_printf(out, "%s %s ", tn_traits[i].name, tn_traits[i].doc);
}

static void enc_entry(int i, TnBuf *out) {
    static const char *const kinds[] = {"DENSE",   "STORED",         "Q8",   "Q8_GROUPS", "LIMBS", "SHADOW",
                                        "TERNARY", "TERNARY_GROUPS", "CACHE"};
    const TnEncInfo *e = &tn_encs[i];
    tn_buf_printf(out, "%s %s %u %u %s ", e->name, kinds[e->kind], e->block_elems, e->block_bytes, e->doc);
}

static void attr_entry(int i, TnBuf *out) {
    static const char *const kinds[] = {"INT", "HEX", "FLOAT", "STR", "IDENT", "FLOATS"};
    tn_buf_printf(out, "%s %s %s ", tn_attrs[i].name, kinds[tn_attrs[i].kind], tn_attrs[i].doc);
}

/* The block must hold exactly the entries, in the order of the table: none missing, none outdated. */
static int block_faults(const char *page, const char *title, int n, void (*entry)(int, TnBuf *)) {
    char *part = section(page, title), *block = part ? first_block(part) : NULL;
    if (!block) {
        free(part);
        return 1;
    }
    char *words = squeeze(block);
    TnBuf want = {0};
    for (int i = 0; i < n; i++) entry(i, &want);
    int faults = strcmp(words, want.data) != 0;
    if (faults && !quiet) {
        size_t at = 0, least = strlen(words);
        while (at < least && words[at] == want.data[at]) at++;
        at = at > 40 ? at - 40 : 0;
        print_message("%s: the page has\n  ..%.120s\nthe table\n  ..%.120s\n", title, words + at,
                      want.data + at);
    }
    tn_buf_free(&want);
    free(words);
    free(block);
    free(part);
    return faults;
}

static int op_faults(const char *page) {
    char *part = section(page, "Operations");
    if (!part) return 1;
    char *words = squeeze(part);
    const char *at = words;
    int faults = count(words, "### ") != TN_OP_COUNT;
    if (faults && !quiet)
        print_message("Operations: %d entries, expected %d\n", count(words, "### "), TN_OP_COUNT);
    for (int i = 0; i < TN_OP_COUNT; i++) {
        TnBuf want = {0};
        op_entry(i, &want);
        const char *found = strstr(at, want.data);
        if (!found) {
            if (!quiet) print_message("Operations: expected, in the table's order\n  %s\n", want.data);
            faults++;
        } else {
            at = found;
        }
        tn_buf_free(&want);
    }
    free(words);
    free(part);
    return faults;
}

static int table_faults(const char *page) {
    return op_faults(page) + block_faults(page, "Encodings", TN_ENC_COUNT, enc_entry) +
           block_faults(page, "Attributes", TN_ATTR_COUNT, attr_entry) +
           block_faults(page, "Traits", TN_TRAIT_COUNT, trait_entry);
}

static void page_agrees_with_the_tables(void **state) {
    (void)state;
    char *page = read_doc("ir.md");
    assert_int_equal(table_faults(page), 0);
    free(page);
}

static void symbols_and_classes_are_listed(void **state) {
    (void)state;
    char *page = read_doc("ir.md");
    for (int i = 0; i < TN_SYM_COUNT; i++) {
        char line[32];
        snprintf(line, sizeof line, "\n%s  ", tn_sym_names[i]);
        if (!strstr(page, line)) fail_msg("symbol %s has no line", tn_sym_names[i]);
    }
    for (size_t i = 0; i < TN_COUNT(classes); i++) {
        char line[32];
        snprintf(line, sizeof line, "\n%-8s", classes[i]);
        if (!strstr(page, line)) fail_msg("class %s has no line", classes[i]);
    }
    free(page);
}

/* A letter missing from any entry must be noticed. */
static void spoilt_entries_are_noticed(void **state) {
    (void)state;
    char *page = read_doc("ir.md");
    const char *const words[] = {"TERNARY   256",
                                 "attend, attend_blocks: multiplies q.k",
                                 "ROOT; 2 operands",
                                 "K <= 16909320",
                                 "### `relu2`",
                                 "SQUARE ONES",
                                 "except for signalling NaNs"};
    for (size_t i = 0; i < TN_COUNT(words); i++) {
        char *at = strstr(page, words[i]);
        if (!at) fail_msg("the page has no '%s' to spoil", words[i]);
        char was = at[strlen(words[i]) - 1];
        at[strlen(words[i]) - 1] = '?';
        quiet = true;
        assert_true(table_faults(page) > 0);
        quiet = false;
        at[strlen(words[i]) - 1] = was;
    }
    assert_int_equal(table_faults(page), 0);
    free(page);
}

/* ---- examples */

typedef struct Seen {
    bool op[TN_OP_COUNT], enc[TN_ENC_COUNT];
    int examples;
} Seen;

static void check_example(const char *doc, int line, const char *text, size_t n, Seen *seen) {
    char where[256];
    snprintf(where, sizeof where, "%s (block after line %d)", doc, line);
    TnGraph **gs;
    uint32_t n_gs = 0;
    TnDiag diag = {0};
    if (tn_parse(text, n, where, &gs, &n_gs, &diag)) fail_msg("%s", diag.text.data);
    for (uint32_t i = 0; i < n_gs; i++)
        if (tn_verify(gs[i], &diag)) fail_msg("%s", diag.text.data);
    TnBuf again = {0};
    tn_print_file(gs, n_gs, &again);
    if (again.len != n || memcmp(again.data, text, n) != 0)
        fail_msg("%s is not canonical; it prints as\n%s", where, again.data);
    tn_buf_free(&again);
    for (uint32_t i = 0; i < n_gs; i++) {
        for (TnRef r = 0; r < gs[i]->n; r++)
            seen->op[gs[i]->nodes[r].op] = seen->enc[gs[i]->nodes[r].type.enc] = true;
        tn_graph_destroy(gs[i]);
    }
    free(gs);
    seen->examples++;
}

static void check_page(const char *doc, Seen *seen) {
    char *page = read_doc(doc);
    for (const char *at = page; (at = strstr(at, "```tir\n"));) {
        const char *text = at + strlen("```tir\n"), *end = strstr(text, "```");
        if (!end) fail_msg("%s: a block without its end", doc);
        int line = 1;
        for (const char *p = page; p < at; p++) line += *p == '\n';
        check_example(doc, line, text, (size_t)(end - text), seen);
        at = end + 3;
    }
    free(page);
}

static void examples_are_canonical(void **state) {
    (void)state;
    Seen all = {0};
    DIR *dir = opendir(DOCS);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (n > 3 && strcmp(e->d_name + n - 3, ".md") == 0) check_page(e->d_name, &all);
    }
    closedir(dir);
    assert_true(all.examples >= 3);
}

/* The reference must show every op in use. */
static void every_op_has_an_example(void **state) {
    (void)state;
    Seen seen = {0};
    check_page("ir.md", &seen);
    for (int i = 0; i < TN_OP_COUNT; i++)
        if (!seen.op[i]) fail_msg("no example has the op %s", tn_ops[i].name);
    for (int i = 0; i < TN_ENC_COUNT; i++)
        if (!seen.enc[i] && i != TN_ENC_i8) fail_msg("no example has the type %s", tn_encs[i].name);
}

/* ---- examples with results: a ```values block after a ```tir block */

/* The graph of a text as it prints, and what it evaluates to. */
static void try_out(const char *what, const char *text, size_t n, TnBuf *printed, TnBuf *values) {
    TnGraph **gs;
    uint32_t count;
    TnDiag diag = {0};
    TernError err;
    if (tn_parse(text, n, what, &gs, &count, &diag) || tn_verify(gs[0], &diag))
        fail_msg("%s", diag.text.data);
    tn_print_file(gs, count, printed);
    if (tn_eval_show(gs[0], NULL, 2, values, &err)) fail_msg("%s: %s", what, err.text);
    for (uint32_t i = 0; i < count; i++) tn_graph_destroy(gs[i]);
    free(gs);
}

/* Copies the page up to its end or the first text of `until`, and returns where that stands. */
static const char *copy_until(const char *from, const char *until, TnBuf *out) {
    const char *at = strstr(from, until);
    size_t n = at ? (size_t)(at - from) : strlen(from);
    tn_buf_put(out, from, n);
    return at;
}

/* Every op is evaluated under its own heading, except gguf, whose bytes are in a file. TERN_REFRESH=1 writes
 * the page. */
static void examples_give_what_the_page_says(void **state) {
    (void)state;
    static const char open[] = "```tir\n", middle[] = "```\n\n```values\n";
    char *page = read_doc("ir.md");
    TnBuf again = {0};
    bool shown[TN_OP_COUNT] = {false};
    for (const char *at = page; at;) {
        const char *block = copy_until(at, open, &again);
        if (!block) break;
        const char *text = block + strlen(open), *end = strstr(text, "```\n");
        assert_non_null(end);
        at = end;
        tn_buf_puts(&again, open);
        if (strncmp(end, middle, strlen(middle)) != 0) { /* no results */
            tn_buf_put(&again, text, (size_t)(end - text));
            continue;
        }
        const char *heading = NULL;
        for (const char *p = page; (p = strstr(p, "\n### `")) && p < block; p++)
            heading = p + strlen("\n### `");
        assert_non_null(heading);
        for (int op = 0; op < TN_OP_COUNT; op++) {
            size_t n = strlen(tn_ops[op].name);
            char use[64];
            snprintf(use, sizeof use, " = %s ", tn_ops[op].name);
            const char *used = strstr(text, use);
            if (!strncmp(heading, tn_ops[op].name, n) && heading[n] == '`' && used && used < end)
                shown[op] = true;
        }
        TnBuf values = {0};
        try_out("docs/ir.md", text, (size_t)(end - text), &again, &values);
        tn_buf_puts(&again, middle);
        tn_buf_puts(&again, values.data);
        at = strstr(end + strlen(middle), "```\n");
        assert_non_null(at);
        tn_buf_free(&values);
    }
    if (getenv("TERN_REFRESH")) {
        FILE *f = fopen(DOCS "/ir.md", "w");
        assert_non_null(f);
        fwrite(again.data, 1, again.len, f);
        fclose(f);
    } else if (strcmp(page, again.data) != 0) {
        size_t n = 0;
        int line = 1;
        for (; page[n] == again.data[n]; n++) line += page[n] == '\n';
        fail_msg("docs/ir.md:%d: '%.*s', evaluated: '%.*s' (TERN_REFRESH=1 writes it)", line,
                 (int)strcspn(page + n, "\n"), page + n, (int)strcspn(again.data + n, "\n"), again.data + n);
    }
    for (int op = 0; op < TN_OP_COUNT; op++)
        if (!shown[op] && op != TN_OP_gguf)
            fail_msg("docs/ir.md: no example with results of %s", tn_ops[op].name);
    tn_buf_free(&again);
    free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_agrees_with_the_tables),      cmocka_unit_test(symbols_and_classes_are_listed),
        cmocka_unit_test(spoilt_entries_are_noticed),       cmocka_unit_test(examples_are_canonical),
        cmocka_unit_test(examples_give_what_the_page_says), cmocka_unit_test(every_op_has_an_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
