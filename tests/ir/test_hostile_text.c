/* Hostile texts: each is refused without a hang, with a place, and with at most twenty messages. tests/data/hostile.txt has
 * the first line of each (TERN_REFRESH=1 rewrites it: look at the diff).
 *
 * The texts are made here, since some of them are large: one good graph with one thing wrong, at every place where
 * that thing can be wrong; then whole files that are not graphs at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ir/ir.h"
#include "runtime/base/os.h"
#include "tests/support/hang.h"
#include "tests/support/sanitized.h"

#define GOLDEN TERN_SOURCE_DIR "/tests/data/hostile.txt"

typedef struct Corpus {
    TnBuf lines; /* "name<tab>first message" of all so far */
    int n;
    double slowest;
    char which[80]; /* name of that text */
} Corpus;

/* Parses, then verifies what parses; returns the seconds. */
static double try(const char *text, size_t n, TnDiag *d, TernStatus *st) {
    TnGraph **gs = NULL;
    uint32_t count = 0;
    *d = (TnDiag){.source = text, .source_bytes = n};
    double start = tn_cpu_seconds();
    *st = tn_parse(text, n, "h.tir", &gs, &count, d);
    for (uint32_t i = 0; i < count; i++)
        if (tn_verify(gs[i], d) != TERN_OK) *st = TERN_ERR_INPUT;
    double took = tn_cpu_seconds() - start;
    for (uint32_t i = 0; i < count; i++) tn_graph_destroy(gs[i]);
    free(gs);
    return took;
}

/* The text must be refused by one of the two. */
static void refused(Corpus *c, const char *name, const char *text, size_t n) {
    TernStatus st;
    TnDiag d;
    double took = try(text, n, &d, &st);
    if (st == TERN_OK || !d.n) fail_msg("%s: is accepted", name);
    if (took > TN_HANG_SECONDS) fail_msg("%s: took %.1f s", name, took);
    if (took > c->slowest) {
        c->slowest = took;
        snprintf(c->which, sizeof c->which, "%s", name);
    }
    unsigned line, col;
    if (sscanf(d.text.data, "h.tir:%u:%u: ", &line, &col) != 2 || !line || !col)
        fail_msg("%s: no place: %s", name, d.text.data);
    int messages = 0;
    for (const char *p = d.text.data; *p; p = strchr(p, '\n') + 1) {
        messages += strncmp(p, "h.tir:", 6) == 0;
        for (const char *q = p; *q != '\n'; q++)
            if ((unsigned char)*q < 0x20 || *q == 0x7f) fail_msg("%s: byte 0x%02x in a message", name, *q);
        if (strcspn(p, "\n") > 800) fail_msg("%s: a message of %zu bytes", name, strcspn(p, "\n"));
    }
    if (messages < 1 || messages > 20) fail_msg("%s: %d messages", name, messages);
    tn_buf_printf(&c->lines, "%s\t%.*s\n", name, (int)strcspn(d.text.data, "\n"), d.text.data);
    tn_diag_free(&d);
    c->n++;
}

static void refused_text(Corpus *c, const char *name, const char *text) {
    refused(c, name, text, strlen(text));
}

/* ---- one good graph, line by line */

static const char *const good[] = {
    "tir 1",
    "graph @step stage=model",
    "  $w: t8[8,64] scale=[3:0x1p-1,5:0x1p+0] = random {seed=1}",
    "  $n: f32[64] = random {seed=2}",
    "  $f: f32[2,4] = rope_freq {base=0x1p+4}",
    "  $c: f32[2,2] = const {values=[0x1p+0,0x1p+1,0x1p+2,nan]}",
    "  %pos: i32[T] = input {name=\"pos\"}",
    "  %x: f32[T,64] = input {name=\"x\"}",
    "  %h: f32[T,64] = rmsnorm %x, $n {eps=0x1p-10}",
    "  %q: q8[T,64] = quant %h",
    "  %a: i32[T,8] = tmatmul %q, $w",
    "  %y: f32[T,8] = dequant %a, %q, $w",
    "  %u: f32[T,8] = rope_angle %pos, $f",
    "  %r: f32[T,8] = rope %y, %u {mode=half}",
    "  %s: f32[T,4] = slice %r {lo=2, n=4}",
    "  %m: f32[T,4] = mul %s, %s",
    "  %o: f32[T,4] = output %m {name=\"o\"}",
    "end",
};
enum { LINES = TN_COUNT(good) };

static void join(TnBuf *b, int replaced, const char *with) {
    b->len = 0;
    for (int i = 0; i < LINES; i++) {
        const char *s = i == replaced ? with : good[i];
        if (!s) continue;
        tn_buf_puts(b, s);
        tn_buf_puts(b, "\n");
    }
}

/* The replacements for a word of a line. */
static const struct {
    const char *name, *text;
} bad_words[] = {{"huge", "99999999999999999999999999"},
                 {"negative", "-1"},
                 {"string", "\"x"},
                 {"cycle", "%o"},
                 {"undefined", "%nothing"},
                 {"bytes", "\xc3\x28"},
                 {"nul", "\1"},
                 {"bracket", "[[[[["}};

/* The k-th word of a line: [*at, *at + *n). */
static bool find_word(const char *s, int k, size_t *at, size_t *n) {
    for (size_t i = 0; s[i]; i += *n ? *n : 1) {
        *n = strspn(s + i, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.%$@");
        if (*n && k-- == 0) {
            *at = i;
            return true;
        }
    }
    return false;
}

static void one_word_wrong(Corpus *c) {
    TnBuf b = {0};
    for (int i = 0; i < LINES; i++)
        for (int k = 0;; k++) {
            size_t at, n, which = (size_t)(i * 7 + k) % TN_COUNT(bad_words);
            char line[300], name[60];
            if (!find_word(good[i], k, &at, &n)) break;
            if (strstr(good[i], "name=") && k > 3) break; /* any string is a name */
            if (which == 1 && strstr(good[i], "values")) which = 0;
            snprintf(line, sizeof line, "%.*s%s%s", (int)at, good[i], bad_words[which].text,
                     good[i] + at + n);
            snprintf(name, sizeof name, "line %d, word %d: %s", i + 1, k + 1, bad_words[which].name);
            join(&b, i, line);
            if (strcmp(name, "line 3, word 8: negative") == 0 ||
                strcmp(name, "line 4, word 6: negative") == 0)
                continue;
            refused(c, name, b.data, b.len);
        }
    tn_buf_free(&b);
}

static void one_line_wrong(Corpus *c) {
    TnBuf b = {0};
    char name[60];
    for (int i = 0; i < LINES; i++) {
        char line[300];
        if (i != 5 && i != 16) { /* nothing reads these */
            join(&b, i, NULL);
            snprintf(name, sizeof name, "without line %d", i + 1);
            refused(c, name, b.data, b.len);
        }
        snprintf(line, sizeof line, "%s\n%s", good[i], good[i]);
        join(&b, i, line);
        snprintf(name, sizeof name, "line %d twice", i + 1);
        refused(c, name, b.data, b.len);
        snprintf(line, sizeof line, "%s\r", good[i]);
        join(&b, i, line);
        snprintf(name, sizeof name, "line %d ends with CR LF", i + 1);
        refused(c, name, b.data, b.len);
        snprintf(line, sizeof line, "%s }", good[i]);
        join(&b, i, line);
        snprintf(name, sizeof name, "line %d has more behind it", i + 1);
        refused(c, name, b.data, b.len);
        join(&b, -1, NULL);
        const char *at = strstr(b.data, good[i]);
        snprintf(name, sizeof name, "cut in line %d", i + 1);
        refused(c, name, b.data, (size_t)(at - b.data) + strlen(good[i]) / 2);
    }
    /* a NUL, and a byte that is not UTF-8, at every thirtieth byte */
    for (size_t at = 0; join(&b, -1, NULL), at < b.len; at += 30) {
        b.data[at] = at % 60 ? '\xff' : '\0';
        snprintf(name, sizeof name, "byte %zu is 0x%02x", at, at % 60 ? 0xff : 0);
        refused(c, name, b.data, b.len);
    }
    tn_buf_free(&b);
}

/* ---- bodies: types, arity, caches */

static void bodies(Corpus *c) {
    static const char *const all[] = {
        "%x: f32[T,0] = input {name=\"x\"}",
        "%x: f32[T,T] = input {name=\"x\"}\n%y: f32[T,T] = silu %x",
        "%x: f32[T,4] = input",
        "%x: f32[T,4] = input {name=\"x\", name=\"y\"}",
        "%x: f32[T,4] = input {colour=1}",
        "%x: f32[T,4] = input {name=1}",
        "%x: f32[T,4,4,4] = input {name=\"x\"}",
        "%x: f32[] = input {name=\"x\"}",
        "%x: f32 = input {name=\"x\"}",
        "%x: q8[T,4] = input {name=\"x\"}",
        "%x: f32[T,1099511627777] = input {name=\"x\"}",
        "%x: f33[T,4] = input {name=\"x\"}",
        "%x: f32[T,4] = silu",
        "%x: f32[T,4] = silu %x",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[T,5] = silu %x",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[R,4] = silu %x",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[T,4] = add %x",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[T,4] = add %x, %x, %x",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[T,4] = add %x, %x, %x, %x, %x, %x, %x, %x, %x",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[T,2] = slice %x {lo=3, n=2}",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[T,2] = slice %x {lo=9223372036854775807, n=2}",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[T,2] = slice %x {lo=-1, n=2}",
        "%x: f32[R,4] = input {name=\"x\"}\n%y: i32[K,9] = topk %x {k=0}",
        "%x: f32[R,4] = input {name=\"x\"}\n%y: i32[K,300] = topk %x {k=300}",
        "%x: f32[T,4] = input {name=\"x\"}\n%x: f32[T,4] = silu %x",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[T,4] = input {name=\"x\"}",
        "$w: t8[4,4] = random {seed=1}",
        "$w: t8[4,4] scale=nan = random {seed=1}",
        "$w: t8[4,4] scale=inf = random {seed=1}",
        "$w: t8[4,4] scale=[5:1] = random {seed=1}",
        "$w: t8[4,4] scale=[1:1] = random {seed=1}",
        "$w: t8[4,4] scale=[0:1,4:1] = random {seed=1}",
        "$w: f32[4,4] scale=1 = random {seed=1}",
        "$w: q8_0[4,4] = random {seed=1}",
        "$w: f32[4] = const {values=[1,2,3]}",
        "$w: f32[4] = const {values=[]}",
        "$w: t8[1,2] scale=1 = const {values=[1,2]}",
        "$w: f32[4] = const {values=[0x1.0000001p+0,1,1,1]}",
        "$w: f32[4] = const {values=[1e99,1,1,1]}",
        "$w: f32[4] = const {values=[1,,1]}",
        "$w: f32[4,4] = gguf {name=\"\\x00\", hash=0x1}",
        "$w: f32[4,4] = gguf {name=\"a\\q\", hash=0x1}",
        "$w: f32[4,4] = gguf {name=\"a\", hash=0x11111111111111111}",
        "$w: f32[4,4] = gguf {name=\"a\", hash=12}",
        "$w: i2s[4,5] scale=1 = gguf {name=\"a\"}",
        "$w: tq1[4,5] scale=1 = gguf {name=\"a\", hash=0x1}",
        "$w: f32[2,4] = rope_freq {base=-1}",
        "$w: f32[3,4] = rope_freq {base=0x1p+4}",
        "%w: f32[4] = random {seed=1}",
        "$x: f32[T,4] = input {name=\"x\"}",
        "%x: f32[T,4] = input {name=\"x\"}\n%y: f32[T,4] = silu $x",
        "%x: f32[T,4] = input {name=\"x\"}\nkernel @k {root=none}\n%y: f32[T,4] = silu %x\nend",
        "%x: f32[T,4] = input {name=\"x\"}\nkernel @k {root=tmatmul}\n%y: f32[T,4] = silu %x\nend",
        "kernel @k {root=none}\nend",
        "kernel @k {root=none}\nkernel @l {root=none}\nend\nend",
        "kernel {root=none}\nend",
        "kernel @k\nend",
        "graph @inner stage=model\nend",
        "end\nend",
        "end\n%x: f32[T,4] = input {name=\"x\"}",
        "%x: f32[T,4] = input {name=\"x\"} %y: f32[T,4] = silu %x",
        "%x f32[T,4] = input {name=\"x\"}",
        "%x: f32[T,4] == input {name=\"x\"}",
        "%x: f32[T,4] = input {name=\"x\"",
        "%x: f32[T,4] = input {name=\"x}",
        "% x: f32[T,4] = input {name=\"x\"}",
        "%1x: f32[T,4] = input {name=\"x\"}",
        "%x-y: f32[T,4] = input {name=\"x\"}",
        "%caf\xc3\xa9: f32[T,4] = input {name=\"x\"}",
        "(((((((((((((((((((((",
        "{{{{{{{{{{{{{{{{{{{{{",
        "[[[[[[[[[[[[[[[[[[[[[",
        "\"\"\"\"\"\"\"\"\"\"\"\"\"\"",
        "\t\t\t\t%x: f32[T,4] = nothing",
        "%x: f32[T,4] = nothing ; a comment",
        "%p: i32[T] = input {name=\"pos\"}\n%t: i32[S,P] = input {name=\"table\"}\n%k: kc[N,1,4] = input "
        "{name=\"k0\"}\n"
        "%x: f32[T,4] = input {name=\"x\"}\n%a: kc[N,1,4] = kv_put %k, %x, %p, %p, %t\n"
        "%b: kc[N,1,4] = kv_put %k, %x, %p, %p, %t",
        "%k: kc[N,1,4] = input {name=\"k0\"}\n%o: kc[N,1,4] = output %k {name=\"o\"}",
        "%k: kc[N,1,4] = input {name=\"k0\"}\n%y: f32[T,4] = silu %k",
    };
    TnBuf b = {0};
    for (size_t i = 0; i < TN_COUNT(all); i++) {
        char name[40];
        snprintf(name, sizeof name, "body %zu", i + 1);
        b.len = 0;
        tn_buf_printf(&b, "tir 1\ngraph @t stage=model\n%s\nend\n", all[i]);
        refused(c, name, b.data, b.len);
    }
    tn_buf_free(&b);
}

/* ---- large ones */

static void repeat(TnBuf *b, const char *s, size_t times) {
    for (size_t i = 0; i < times; i++) tn_buf_puts(b, s);
}

static void fill(TnBuf *b, char byte, size_t n) {
    memset(tn_buf_grow(b, n), byte, n);
}

static void large(Corpus *c) {
    static const char head[] = "tir 1\ngraph @t stage=model\n";
    size_t big = TN_SANITIZED ? 10 << 20 : 100 << 20;
    TnBuf b = {0};
    static const struct {
        const char *name, *before;
        char byte;
        const char *after;
    } tokens[] = {{"a token of 100 MB", "%x: f32[T,4] = ", 'a', "\nend\n"},
                  {"a name of 100 MB", "%", 'a', ": f32[T,4] = input {name=\"x\"}\nend\n"},
                  {"a number of 100 MB", "%x: f32[T,", '9', "] = input {name=\"x\"}\nend\n"},
                  {"a string of 100 MB", "%x: f32[T,4] = input {name=\"", 'a', "\"}\nend\n"},
                  {"a string of 100 MB that does not end", "%x: f32[T,4] = input {name=\"", 'a', "\n"},
                  {"100 MB of braces", "%x: f32[T,4] = input ", '{', "\n"},
                  {"100 MB of blanks before a fault", "", ' ', "?\n"},
                  {"100 MB of newlines before a fault", "", '\n', "?\n"},
                  {"100 MB of one comment before a fault", "; ", 'c', "\n?\n"},
                  {"100 MB of NUL", "", '\0', "\n"},
                  {"100 MB of 0xff", "", '\xff', "\n"}};
    for (size_t i = 0; i < TN_COUNT(tokens); i++) {
        b.len = 0;
        tn_buf_puts(&b, head);
        tn_buf_puts(&b, tokens[i].before);
        fill(&b, tokens[i].byte, big);
        tn_buf_puts(&b, tokens[i].after);
        /* the place of a 10 MB text is another one: only whole runs are held against the golden */
        size_t was = c->lines.len;
        refused(c, tokens[i].name, b.data, b.len);
        if (TN_SANITIZED) c->lines.len = was;
    }
    static const struct {
        const char *name, *line;
        size_t times;
    } many[] = {{"100,000 faults", "?\n", 100000},
                {"100,000 unknown ops", "%x: f32[T,4] = nothing\n", 100000},
                {"100,000 open graphs", "graph @g stage=model\n", 100000},
                {"100,000 open kernels", "kernel @k {root=none}\n", 100000},
                {"100,000 ends", "end\n", 100000},
                {"1,025 values", "$w: f32[1025] = const {values=[", 1},
                {"300 graphs", "end\ngraph @g stage=model\n", 300}};
    for (size_t i = 0; i < TN_COUNT(many); i++) {
        b.len = 0;
        tn_buf_puts(&b, head);
        repeat(&b, many[i].line, many[i].times);
        if (i == 5) repeat(&b, "1,", 1024);
        if (i == 5) tn_buf_puts(&b, "1]}\nend\n");
        refused(c, many[i].name, b.data, b.len);
    }
    b.len = 0;
    tn_buf_puts(&b, head);
    tn_buf_puts(&b, "%x: f32[T,4] = input {name=\"x\"}\n%0: f32[T,4] = silu %x\n");
    for (int i = 1; i < 100000; i++) tn_buf_printf(&b, "%%%d: f32[T,4] = silu %%%d\n", i, i - 1);
    tn_buf_puts(&b, "%y: f32[T,4] = silu %100000\nend\n");
    refused(c, "a chain of 100,000 values and then an undefined one", b.data, b.len);
    tn_buf_free(&b);
}

static void whole_files(Corpus *c) {
    refused(c, "nothing", "", 0);
    refused_text(c, "one newline", "\n");
    refused_text(c, "a comment alone", "; tir 1\n");
    refused_text(c, "no graph", "tir 1\n");
    refused_text(c, "the next version", "tir 2\n");
    refused_text(c, "a version that is none", "tir one\n");
    refused_text(c, "another language", "module { func.func @main() }\n");
    refused_text(c, "a byte order mark", "\xef\xbb\xbftir 1\n");
    refused_text(c, "UTF-16", "t\xff\xfei");
    refused(c, "an ELF", "\177ELF\2\1\1\0", 8);
    refused(c, "a GGUF", "GGUF\3\0\0\0", 8);
    refused(c, "a NUL first", "\0tir 1\n", 7);
    refused_text(c, "graph without a name", "tir 1\ngraph stage=model\nend\n");
    refused_text(c, "graph without a stage", "tir 1\ngraph @g\nend\n");
    refused_text(c, "a stage that is none", "tir 1\ngraph @g stage=baked\nend\n");
    refused_text(c, "rows the wrong way round",
                 "tir 1\ngraph @g stage=planned level=avx2 kv=f16 rows=8..2\nend\n");
    refused_text(c, "rows from zero", "tir 1\ngraph @g stage=planned level=avx2 kv=f16 rows=0..2\nend\n");
    refused_text(c, "a kv that is none", "tir 1\ngraph @g stage=planned level=avx2 kv=f64 rows=1..2\nend\n");
    refused_text(c, "a fact given twice", "tir 1\ngraph @g stage=model stage=model\nend\n");
    refused_text(c, "a surrogate", "tir 1\n; \xed\xa0\x80\n");
    refused_text(c, "an overlong slash", "tir 1\n; \xc0\xaf\n");
    refused_text(c, "past the last character", "tir 1\n; \xf4\x90\x80\x80\n");
    refused_text(c, "half a character at the end", "tir 1\n; \xe2\x82");
}

static void hostile_texts_are_refused(void **state) {
    (void)state;
    Corpus c = {.n = 0};
    whole_files(&c);
    bodies(&c);
    one_word_wrong(&c);
    one_line_wrong(&c);
    large(&c);
    print_message("%d texts, the slowest took %.2f s: %s\n", c.n, c.slowest, c.which);
    assert_true(c.n >= 300);
    if (getenv("TERN_REFRESH")) {
        FILE *f = fopen(GOLDEN, "wb");
        assert_non_null(f);
        fwrite(c.lines.data, 1, c.lines.len, f);
        fclose(f);
    }
    TnFile golden;
    assert_int_equal(tn_file_map(GOLDEN, &golden, NULL), TERN_OK);
    if (TN_SANITIZED) { /* some are left out */
        for (char *line = c.lines.data, *end; *line; line = end + 1) {
            end = strchr(line, '\n');
            if (!memmem(golden.data, golden.size, line, (size_t)(end - line) + 1))
                fail_msg("not in the golden: %.*s", (int)(end - line), line);
        }
    } else if (golden.size != c.lines.len || memcmp(golden.data, c.lines.data, golden.size) != 0) {
        size_t at = 0, line = 0;
        while (at < golden.size && at < c.lines.len && golden.data[at] == (uint8_t)c.lines.data[at]) at++;
        for (line = at; line && c.lines.data[line - 1] != '\n';) line--;
        fail_msg("another message: %.*s", (int)strcspn(c.lines.data + line, "\n"), c.lines.data + line);
    }
    tn_file_unmap(&golden);
    tn_buf_free(&c.lines);
}

/* ---- how a message looks */

static void says(const char *text, const char *want) {
    TnGraph **gs;
    uint32_t n;
    TnDiag d = {.source = text, .source_bytes = strlen(text)};
    if (tn_parse(text, strlen(text), "h.tir", &gs, &n, &d) == TERN_OK) {
        tn_verify(gs[0], &d);
        tn_graph_destroy(gs[0]);
        free(gs);
    }
    assert_string_equal(d.text.data, want);
    tn_diag_free(&d);
}

static void messages_show_their_line(void **state) {
    (void)state;
    says("tir 1\ngraph @t stage=model\n  %x: f32[T,4] = nothing\nend\n", "h.tir:3:18: unknown op 'nothing'\n"
                                                                         "      %x: f32[T,4] = nothing\n"
                                                                         "                     ^\n");
    says("tir 1\ngraph @t stage=model\n\t%x:\tf32[T,4] = nothing\nend\n", "h.tir:3:17: unknown op 'nothing'\n"
                                                                          "     %x: f32[T,4] = nothing\n"
                                                                          "                    ^\n");
    /* what the verifier finds has the column of the value */
    says("tir 1\ngraph @t stage=model\n  %x: f32[T,4] = input {name=\"x\"}\n  %y: f32[T,4] = input "
         "{name=\"x\"}\nend\n",
         "h.tir:4:3: %y: another input has the name \"x\"\n"
         "      %y: f32[T,4] = input {name=\"x\"}\n"
         "      ^\n");
    says("tir 1\n; caf\xc3\xa9 \x01 \xff\n", "h.tir:2:9: control byte 0x01\n"
                                             "    ; caf\xc3\xa9 \\x01 \\xff\n"
                                             "           ^\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(hostile_texts_are_refused),
                                       cmocka_unit_test(messages_show_their_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
