/* The text form: its one canonical spelling, other spellings that are accepted, and the message for every faulty text. */
#include "tests/ir/tir_text.h"

static TernStatus parse(const char *text, size_t n, TnGraph ***gs, uint32_t *count, TnDiag *d) {
    return tn_parse(text, n, "t.tir", gs, count, d);
}

static void destroy(TnGraph **gs, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) tn_graph_destroy(gs[i]);
    free(gs);
}

/* Parses `text`, which must print as `want`. */
static void prints_as(const char *text, const char *want) {
    TnGraph **gs;
    uint32_t n;
    TnDiag d = {0};
    TnBuf out = {0};
    if (parse(text, strlen(text), &gs, &n, &d) != TERN_OK) fail_msg("%s", d.text.data);
    tn_print_file(gs, n, &out);
    assert_string_equal(out.data, want);
    tn_buf_free(&out);
    destroy(gs, n);
}

/* Parses n bytes of text, which must fail with exactly `want`. */
static void fails_with_n(const char *text, size_t len, const char *want) {
    TnGraph **gs = (void *)1;
    uint32_t n = 7;
    TnDiag d = {0};
    char *exact = malloc(len ? len : 1); /* so that a sanitizer sees a byte too far */
    memcpy(exact, text, len);
    if (parse(exact, len, &gs, &n, &d) == TERN_OK) fail_msg("accepted, expected %s", want);
    assert_string_equal(d.text.data, want);
    assert_null(gs);
    assert_int_equal(n, 0);
    free(exact);
    tn_diag_free(&d);
}
static void fails_with(const char *text, const char *want) {
    fails_with_n(text, strlen(text), want);
}

/* The same for the body of a graph, whose first line is line 3; `want` without the file's name. */
static void body_fails(const char *body, const char *want) {
    TnBuf text = {0}, full = {0};
    tn_buf_printf(&text, "tir 1\ngraph @t stage=model\n%send\n", body);
    for (const char *p = want; *p;) {
        size_t n = strcspn(p, "\n") + 1;
        tn_buf_puts(&full, "t.tir:");
        tn_buf_put(&full, p, n);
        p += n;
    }
    tn_buf_put(&full, "", 1);
    fails_with_n(text.data, text.len, full.data);
    tn_buf_free(&text);
    tn_buf_free(&full);
}

/* One line, in a graph that has an input %x, a weight $w of f32[4,8] and one $t of t8[4,8]. */
static void line_fails(const char *line, const char *want) {
    TnBuf body = {0}, full = {0};
    tn_buf_printf(&body,
                  "%%x: f32[T,8] = input {name=\"x\"}\n$w: f32[4,8] = random {seed=1}\n"
                  "$t: t8[4,8] scale=0x1p+0 = random {seed=1}\n%s\n",
                  line);
    tn_buf_printf(&full, "6:%s\n", want);
    body_fails(body.data, full.data);
    tn_buf_free(&body);
    tn_buf_free(&full);
}

/* ---- good texts */

static const char canonical[] =
    "tir 1\n"
    "graph @step stage=planned level=avx512-vnni kv=f16 rows=2..8\n"
    "  $w: t8[6,8] scale=[2:0x1p-4,4:0x1.99999ap-4] = random {seed=-7}\n"
    "  $g: i2s[128,4] scale=0x1.8p+1 = gguf {name=\"blk.0.\\\"q\\\\.caf\xc3\xa9\\x01\", "
    "hash=0xffffffffffffffff}\n"
    "  $0: f16[10,8] = random {seed=9223372036854775807}\n"
    "  $c: f32[3,3] = const "
    "{values=[-0x0p+0,0x0p+0,nan,inf,-inf,0x1p-149,0x1.fffffcp-127,0x1.fffffep+127,-0x1p-126]}\n"
    "  %ids: i32[T] = input {name=\"ids\"}\n"
    "  kernel @e {root=embed, target=llvm, axis=rows, grain=128, units=30, barrier=1}\n"
    "    %1: f32[T,8] = embed %ids, $0 {off=0}\n"
    "  end\n"
    "  kernel @k.0 {root=tmatmul, target=ref, axis=cols, grain=1, units=1, barrier=0}\n"
    "    %2: q8[T,8] = quant %1\n"
    "    %3: i32[T,6] = tmatmul %2, $w\n"
    "    %4: f32[T,6] = dequant %3, %2, $w {off=256}\n"
    "  end\n"
    "  %5: f32[T,6] = output %4 {name=\"x\"}\n"
    "end\n"
    "graph @step stage=fused\n"
    "  %x: f32[T,8] = input {name=\"x\"}\n"
    "  kernel @k {root=none}\n"
    "    %y: f32[T,4] = slice %x {lo=1, n=4}\n"
    "  end\n"
    "end\n"
    "graph @empty stage=model\n"
    "end\n";

static void test_canonical(void **state) {
    (void)state;
    prints_as(canonical, canonical);
}

/* Spaces, tabs, comments, order and spelling of numbers are free; the last newline may be missing. */
static void test_free_spelling(void **state) {
    (void)state;
    prints_as("; a comment\n\n\ttir 1 ; the version\n"
              "graph @g rows=1..1 kv=f32 stage=model ; facts in any order\n"
              "\t%x:f32[ T , 4 ]=input{name=\"a;b\"};\n"
              "$t:t8[2,4]scale=[ 2:1 ]=random{seed=0}\n"
              "$one: f32[4] = const {values=[1, 1.0, 10e-1, 0x10p-4]}\n"
              "%y : f32[T,4] = rmsnorm   %x , $one {off=64, eps=0.5}\n"
              "kernel @k {barrier=0, root=none}\n"
              "%z: f32[T,4] = add %x, %y\n"
              "end\n"
              "end",
              "tir 1\n"
              "graph @g stage=model kv=f32 rows=1..1\n"
              "  %x: f32[T,4] = input {name=\"a;b\"}\n"
              "  $t: t8[2,4] scale=0x1p+0 = random {seed=0}\n"
              "  $one: f32[4] = const {values=[0x1p+0,0x1p+0,0x1p+0,0x1p+0]}\n"
              "  %y: f32[T,4] = rmsnorm %x, $one {eps=0x1p-1, off=64}\n"
              "  kernel @k {root=none}\n"
              "    %z: f32[T,4] = add %x, %y\n"
              "  end\n"
              "end\n");
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
    } floats[] = {
        {"1", "0x1p+0"},
        {"0.1", "0x1.99999ap-4"},
        {"-2.5e-1", "-0x1p-2"},
        {"1e-5", "0x1.4f8b58p-17"},
        {"1e-45", "0x1p-149"},
        {"3.4028235e38", "0x1.fffffep+127"},
        {"16777217", "0x1p+24"},
        {"0x1.8p+1", "0x1.8p+1"},
        {"0x18p-3", "0x1.8p+1"},
        {"0x0.00000000000000000000000000000000000018p+149", "0x1.8p+1"},
        {"0x1800000000000000000000000000000000000p-140", "0x1.8p+4"},
        {"0xAp0", "0x1.4p+3"},
        {"-0x0p0", "-0x0p+0"},
        {"0x0p999999999999", "0x0p+0"},
        {"nan", "nan"},
        {"-inf", "-inf"},
    };
    for (size_t i = 0; i < TN_COUNT(floats); i++) {
        TnBuf text = {0}, want = {0};
        tn_buf_printf(&text, "tir 1\ngraph @g stage=model\n$c: f32[1] = const {values=[%s]}\nend\n",
                      floats[i].text);
        tn_buf_printf(&want, "tir 1\ngraph @g stage=model\n  $c: f32[1] = const {values=[%s]}\nend\n",
                      floats[i].want);
        prints_as(text.data, want.data);
        tn_buf_free(&text);
        tn_buf_free(&want);
    }
}

/* Every float prints so that it parses to the same bits; the printed form is that of %a. */
static void test_all_floats(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t bits = i < 600 ? i << 23 : i < 1200 ? (i << 22) - 1 : random_u32() ^ random_u32() << 16;
        float f = tn_bits_f32(bits);
        if (f != f) continue;
        TnBuf text = {0};
        TnGraph **gs;
        uint32_t n;
        TnDiag d = {0};
        tn_buf_printf(&text, "tir 1\ngraph @g stage=model\n  $c: f32[1] = const {values=[%a]}\nend\n",
                      (double)f);
        if (parse(text.data, text.len, &gs, &n, &d) != TERN_OK) fail_msg("%s", d.text.data);
        assert_int_equal(tn_f32_bits(tn_node_attr(&gs[0]->nodes[0], TN_ATTR_values)->fs[0]), bits);
        TnBuf again = {0};
        tn_print_file(gs, n, &again);
        assert_string_equal(again.data, text.data);
        tn_buf_free(&text);
        tn_buf_free(&again);
        destroy(gs, n);
    }
}

/* ---- faulty texts */

static void test_bytes(void **state) {
    (void)state;
    fails_with("", "t.tir:1:1: the text is empty, expected 'tir 1'\n");
    fails_with("; only\n\n", "t.tir:3:1: the text is empty, expected 'tir 1'\n");
    fails_with("\xef\xbb\xbftir 1\n", "t.tir:1:1: the text starts with a byte order mark, expected none\n");
    fails_with("tir 1\r\n", "t.tir:1:6: carriage return; lines end with a line feed alone\n");
    fails_with_n("tir 1\ngr\0ph", 11, "t.tir:2:3: control byte 0x00\n");
    fails_with("tir 1\n; \x1b[31m\n", "t.tir:2:3: control byte 0x1b\n");
    fails_with("tir 1\n\n; \xff\n", "t.tir:3:3: byte 0xff is not UTF-8\n");
    fails_with("tir 1\n; \xc3", "t.tir:2:3: byte 0xc3 is not UTF-8\n");
    fails_with("tir 1\n; \xed\xa0\x80\n", "t.tir:2:3: byte 0xed is not UTF-8\n");
    fails_with("tir 1\n; \xc0\x80\n", "t.tir:2:3: byte 0xc0 is not UTF-8\n");
    fails_with("tir 1\n; \xf4\x90\x80\x80\n", "t.tir:2:3: byte 0xf4 is not UTF-8\n");
    fails_with("tir 1\ngraph @caf\xc3\xa9 stage=model\n",
               "t.tir:2:11: unexpected byte 0xc3; text beyond ASCII belongs in strings\n");
    fails_with("tir 1\n#\n", "t.tir:2:1: unexpected '#'\nt.tir:3:1: the text holds no graph\n");
}

static void test_header(void **state) {
    (void)state;
    fails_with("tir 2\ngraph", "t.tir:1:5: tir version '2', expected 1\n");
    fails_with("tir\n", "t.tir:1:4: tir version the end of the line, expected 1\n");
    fails_with("GGUF", "t.tir:1:1: found 'GGUF', expected 'tir 1', the first line of a text\n");
    fails_with("tir 1 x\n", "t.tir:1:7: found 'x', expected the end of the line\n");
    fails_with("tir 1\n", "t.tir:2:1: the text holds no graph\n");
    fails_with("tir 1\nend\n", "t.tir:2:1: end outside of a graph\nt.tir:3:1: the text holds no graph\n");
    fails_with("tir 1\nkernel @k {root=none}\n",
               "t.tir:2:1: kernel outside of a graph\nt.tir:3:1: the text holds no graph\n");
    fails_with("tir 1\n%x: f32[T,8] = input {name=\"x\"}\n",
               "t.tir:2:1: '%x' stands outside of a graph\nt.tir:3:1: the text holds no graph\n");
    fails_with("tir 1\ngraph step stage=model\nend\n",
               "t.tir:2:7: found 'step', expected the graph's @name\n");
    fails_with("tir 1\ngraph @a-b stage=model\nend\n",
               "t.tir:2:7: '@a-b' is not a name, expected letters, digits, '_' and '.', or digits alone\n");
    fails_with("tir 1\ngraph @g\nend\n", "t.tir:2:7: graph '@g' needs stage=\n");
    fails_with("tir 1\ngraph @g stage=done\nend\n",
               "t.tir:2:16: found 'done', expected model, fused or planned\n");
    fails_with("tir 1\ngraph @g stage=model stage=model\nend\n", "t.tir:2:22: stage is given twice\n");
    fails_with("tir 1\ngraph @g stage=model kv=i4\nend\n", "t.tir:2:25: found 'i4', expected f16, f32, i8\n");
    fails_with("tir 1\ngraph @g stage=model rows=8..2\nend\n",
               "t.tir:2:27: found '8..2', expected rows such as 2..8\n");
    fails_with("tir 1\ngraph @g stage=model rows=..\nend\n",
               "t.tir:2:27: found '..', expected rows such as 2..8\n");
    fails_with("tir 1\ngraph @g stage=model rows=0..2\nend\n",
               "t.tir:2:27: found '0..2', expected rows such as 2..8\n");
    fails_with("tir 1\ngraph @g stage=model speed=1\nend\n",
               "t.tir:2:22: found 'speed', expected stage=, level=, kv= or rows=\n");
    fails_with("tir 1\ngraph @g stage=model\n", "t.tir:3:1: the text ends inside graph @g\n");
    fails_with("tir 1\ngraph @g stage=model\ngraph @h stage=model\nend\n",
               "t.tir:3:1: graph inside graph @g, whose end is missing\n");
    fails_with("tir 1\ngraph @g stage=model\nend end\n",
               "t.tir:3:5: found 'end', expected the end of the line\n");
    fails_with("tir 1\ngraph @g stage=model\nbegin\nend\n",
               "t.tir:3:1: found 'begin', expected a value, kernel or end\n");
}

static void test_tokens(void **state) {
    (void)state;
    line_fails("%: f32[T,8] = silu %x",
               "1: '%' is not a name, expected letters, digits, '_' and '.', or digits alone");
    line_fails("%1a: f32[T,8] = silu %x",
               "1: '%1a' is not a name, expected letters, digits, '_' and '.', or digits alone");
    line_fails("%y f32[T,8] = silu %x", "4: found 'f32', expected ':'");
    line_fails("%y: = silu %x", "5: found '=', expected a type");
    line_fails("%y: f64[T,8] = silu %x", "5: unknown type 'f64'");
    line_fails("%y: f32 = silu %x", "9: found '=', expected '['");
    line_fails("%y: f32[] = silu %x", "9: found ']', expected a dim: a number or T R K H S P N");
    line_fails("%y: f32[Q,8] = silu %x", "9: found 'Q', expected a dim: a number or T R K H S P N");
    line_fails("%y: f32[-1,8] = silu %x", "9: found '-1', expected a dim: a number or T R K H S P N");
    line_fails("%y: f32[8x] = silu %x", "9: '8x' is not an integer");
    line_fails("%y: f32[T,8 = silu %x", "13: found '=', expected ',' or ']'");
    line_fails("%y: f32[T,1,1,1] = silu %x", "15: more than 3 dims");
    line_fails("%y: f32[T,8] silu %x", "14: found 'silu', expected '='");
    line_fails("%y: f32[T,8] = silo %x", "16: unknown op 'silo'");
    line_fails("%y: f32[T,8] = \"silu\" %x", "16: unknown op '\"silu'");
    line_fails("%y: f32[T,8] =", "15: unknown op the end of the line");
    line_fails("%y: f32[T,8] = silu x", "21: found 'x', expected an operand");
    line_fails("%y: f32[T,8] = silu %x,", "24: found the end of the line, expected an operand");
    line_fails("%y: f32[T,8] = silu %x %x", "24: found '%x', expected ',' or '{'");
    line_fails("%y: f32[T,8] = silu %x {", "25: found the end of the line, expected an attribute");
    line_fails("%y: f32[T,8] = silu %x {}", "25: found '}', expected an attribute");
    line_fails("%y: f32[T,8] = silu %x {off}", "28: found '}', expected '='");
    line_fails("%y: f32[T,8] = silu %x {off=64 }x", "33: found 'x', expected the end of the line");
    line_fails("%y: f32[T,8] = silu %x {off=64, off=64}", "33: attribute 'off' is given twice");
    line_fails("%y: f32[T,8] = silu %x {speed=64}", "25: unknown attribute 'speed'");
    line_fails("%y: f32[T,8] = silu %x {barrier=1}", "25: attribute 'barrier' does not belong here");
    line_fails("%y: f32[T,8] = input {name=\"y}", "28: string without its closing quote");
    line_fails("%y: f32[T,8] = input {name=\"y\\\"}", "28: string without its closing quote");
    line_fails("%y: f32[T,8] = input {name=\"\\q\"}",
               "28: unknown escape in a string, expected \\\" \\\\ or \\xNN");
    line_fails("%y: f32[T,8] = input {name=\"\\x4\"}",
               "28: unknown escape in a string, expected \\\" \\\\ or \\xNN");
    line_fails("%y: f32[T,8] = input {name=\"\\x00\"}", "28: a string cannot hold \\x00");
    line_fails("%y: f32[T,8] = input {name=y}", "28: 'y' is not a string");
    line_fails("%y: f32[T,8] = rope %x, %x {mode=\"half\"}", "34: found '\"half', expected a word");
}

static void test_bad_numbers(void **state) {
    (void)state;
    line_fails("$c: f32[1] = random {seed=}", "27: '}' is not an integer");
    line_fails("$c: f32[1] = random {seed=1.5}", "27: '1.5' is not an integer");
    line_fails("$c: f32[1] = random {seed=-}", "27: '-' is not an integer");
    line_fails("$c: f32[1] = random {seed=9223372036854775808}",
               "27: '9223372036854775808' does not fit in 64 bits");
    line_fails("$c: f32[1] = random {seed=99999999999999999999999999999999999999999999999999}",
               "27: '9999999999999999999999999999999999999999..' does not fit in 64 bits");
    line_fails("$c: f32[99999999999999999999] = random {seed=1}",
               "9: '99999999999999999999' does not fit in 64 bits");
    line_fails("$c: f32[1] = gguf {name=\"a\", hash=12}", "35: '12' is not a hexadecimal number (0x..)");
    line_fails("$c: f32[1] = gguf {name=\"a\", hash=0x}", "35: '0x' is not a hexadecimal number (0x..)");
    line_fails("$c: f32[1] = gguf {name=\"a\", hash=0xfg}", "35: '0xfg' is not a hexadecimal number (0x..)");
    line_fails("$c: f32[1] = gguf {name=\"a\", hash=0x10000000000000000}",
               "35: '0x10000000000000000' does not fit in 64 bits");
    static const char *const garbage[] = {"1.",       ".5",       "+1",     "1e",  "1e+",  "--1",    "-nan",
                                          "infinity", "NAN",      "0x",     "0x1", "0xp1", "0x1.p",  "0x1p",
                                          "0x1p+",    "0x1.8.p1", "0x1p1x", "1f",  "-",    "0x1.gp1"};
    for (size_t i = 0; i < TN_COUNT(garbage); i++) {
        char line[100], want[100];
        snprintf(line, sizeof line, "$c: f32[1] = const {values=[%s]}", garbage[i]);
        snprintf(want, sizeof want, "29: '%s' is not a float, expected such as 0x1.8p-3", garbage[i]);
        line_fails(line, want);
    }
    static const char *const inexact[] = {"0x1.000001p+0", "0x1p-150", "0x1.000002p-127", "0x1.8p-149",
                                          "0x1.00000000000000000000000000000000000001p+0"};
    for (size_t i = 0; i < TN_COUNT(inexact); i++) {
        char line[120], want[120];
        snprintf(line, sizeof line, "$c: f32[1] = const {values=[%s]}", inexact[i]);
        snprintf(want, sizeof want, "29: '%.40s%s' is not an f32 exactly", inexact[i],
                 strlen(inexact[i]) > 40 ? ".." : "");
        line_fails(line, want);
    }
    static const char *const large[] = {"0x1p+128", "0x1p999999999999999", "1e39", "1e999999"};
    for (size_t i = 0; i < TN_COUNT(large); i++) {
        char line[100], want[100];
        snprintf(line, sizeof line, "$c: f32[1] = const {values=[%s]}", large[i]);
        snprintf(want, sizeof want, "29: '%s' does not fit in f32", large[i]);
        line_fails(line, want);
    }
    line_fails("$c: f32[1] = const {values=[]}", "29: ']' is not a float, expected such as 0x1.8p-3");
    line_fails("$c: f32[1] = const {values=[1,]}", "31: ']' is not a float, expected such as 0x1.8p-3");
    line_fails("$c: f32[1] = const {values=[1 2]}", "31: found '2', expected ',' or ']'");
}

static void test_definitions(void **state) {
    (void)state;
    line_fails("%y: f32[T,8] = silu %y", "21: '%y' is not defined above");
    line_fails("%y: f32[T,8] = add %x, %nowhere", "24: '%nowhere' is not defined above");
    line_fails("%x: f32[T,8] = silu %x", "1: '%x' is defined twice, first in line 3");
    line_fails("$x: f32[T,8] = random {seed=1}", "1: '$x' is defined twice, first in line 3");
    line_fails("$y: f32[T,8] = silu %x", "1: '$y' is made by silu, so it is written with '%'");
    line_fails("%y: f32[8] = random {seed=1}", "1: '%y' is made by random, so it is written with '$'");
    line_fails("%y: f32[T,8] = silu $x", "21: '$x' is written with '%'");
    line_fails("%y: f32[T,4] = matmul %x, %w", "27: '%w' is written with '$'");
    /* forward references and cycles: both ends are reported */
    body_fails("%a: f32[T,8] = silu %b\n%b: f32[T,8] = silu %a\n%c: f32[T,8] = add %a, %b\n",
               "3:21: '%b' is not defined above\n");
    /* a broken value is not reported again at its readers, but their own faults are */
    body_fails("%x: f32[T,8] = input\n%y: f32[T,8] = silu %x\n%z: f32[T,8] = silu %y {k=1}\n%u: f32[T,8] = "
               "silu %y\n%u: oh\n",
               "3:16: input needs the attribute name\n7:5: unknown type 'oh'\n");
}

static void test_types(void **state) {
    (void)state;
    line_fails("%y: f32[T,9] = silu %x", "16: silu gives f32[T,8], but the type says f32[T,9]");
    line_fails("%y: f32[T,8] = silu", "16: silu has 0 operands, expected 1");
    line_fails("%y: f32[T,8] = silu %x, %x", "16: silu has 2 operands, expected 1");
    line_fails("$c: f32[1,8] = concat $w", "16: concat has 1 operands, expected 2 to 8");
    line_fails("$c: f32[36,8] = concat $w, $w, $w, $w, $w, $w, $w, $w, $w", "56: more than 8 operands");
    line_fails("$c: f32[4,8] = concat %x, %x", "16: concat: operand 1 (%x) is not a weight");
    line_fails("%y: f32[T,8] = silu %x {eps=1}", "16: silu has no attribute eps");
    line_fails("%y: f32[T,4] = tmatmul %x, $t", "16: tmatmul: operand 1 (%x) is f32[T,8], expected q8[T,K]");
    line_fails("%y: f32[T,4] = matmul %x, $t",
               "16: matmul: operand 2 ($t) is t8[4,8] scale=0x1p+0, expected a "
               "weight matrix of floats");
    line_fails(
        "%y: f32[T,8] = rmsnorm %x, $w {eps=0}",
        "16: rmsnorm: operand 2 ($w) is f32[4,8], expected a weight of f32, f16 or bf16, one a column");
    line_fails("%y: f32[T,8] = add %x, $w",
               "16: add: operand 2 ($w) is f32[4,8], expected the type of operand 1");
    line_fails("%y: f32[T,8] = rope %x, %x {mode=left}", "16: rope: mode=left, expected half or pair");
    line_fails("%y: f32[T,4] = slice %x {lo=5, n=4}", "16: slice: columns 5 to 8, but operand 1 (%x) has 8");
    line_fails("%y: f32[T,4] = slice %x {lo=9223372036854775807, n=4}",
               "16: slice: lo=9223372036854775807, expected 0 to 1099511627776");
    line_fails("%y: f32[T,4] = slice %x {lo=0, n=0}", "16: slice: n=0, expected 1 to 1099511627776");
    line_fails("%y: i32[T,3] = topk %x {k=3}", "16: topk: operand 1 (%x) is f32[T,8], expected f32[R,V]");
    line_fails("%y: i32[T,3] = topk %x {k=257}", "16: topk: k=257, expected 1 to 256");
    line_fails("%y: f32[T,8] = silu %x {off=100}", "16: silu: off=100, expected a multiple of 64");
    line_fails("%y: f32[T,8] = silu %x {off=-64}", "16: silu: off=-64, expected 0 to 281474976710656");
    line_fails("%y: f16[T,8] = input {name=\"y\"}", "16: input: type is f16, expected f32, i32 or a cache");
    line_fails("%y: f32[T,8] = input {name=\"\"}", "16: input: name is empty");
    line_fails("%y: f32[4,8] = output $w {name=\"y\"}",
               "16: output: operand 1 ($w) is f32[4,8], expected a computed f32 or i32");
    line_fails("$c: f32[T,8] = random {seed=1}",
               "16: random: type has the symbol T as a dim, weights have constants");
    line_fails("$c: f16[1000000,1000000] = random {seed=1}",
               "28: random: f16[1000000,1000000] takes 2000000000000 bytes, expected at most 2^34");
    line_fails("$c: f32[67108865,1] = random {seed=1}",
               "23: random: f32[67108865,1] takes 17179869440 bytes, expected at most 2^34");
    line_fails("$c: f32[8] = const {values=[1,2]}", "14: const: 2 values for 8 elements");
    line_fails("$c: t8[1,2] scale=1 = const {values=[1,2]}",
               "23: const: value 2 of a ternary matrix is 2, expected -1, 0 or 1");
    line_fails("$c: p64[1,2] scale=1 = gguf {name=\"a\", hash=0x1}",
               "24: gguf: type is p64, expected an encoding that files store, or t8");
    line_fails("$c: f16[4,8] = pack $t",
               "16: pack: operand 1 ($t) is t8[4,8] scale=0x1p+0, expected a float matrix, or t8, p64, "
               "b64, b80 or r64 as the type");
    line_fails("$c: b80[4,32769] scale=1 = random {seed=1}",
               "5: type b80: got 32769 columns, expected at most 32768");
    line_fails("$c: b80[4,8] scale=1 most=2 = random {seed=1}",
               "5: type b80: got most=2, which it cannot hold");
    line_fails("$c: p64[4,8] scale=2 = pack $t",
               "24: pack gives p64[4,8] scale=0x1p+0, but the type says p64[4,8] scale=0x1p+1");
    line_fails("$c: t8[8,8] scale=1 = concat $t, $t", "23: concat gives 2 scale ranges, but the type says 1");
    line_fails("$c: t8[8,8] scale=[4:1,4:2] = concat $t, $t",
               "31: concat gives t8[8,8] scale=[4:0x1p+0,4:0x1p+0], but the type says t8[8,8] "
               "scale=[4:0x1p+0,4:0x1p+1]");
    line_fails("$c: t8[8,8] scale=[4:1,4:1] = concat $t, $w",
               "31: concat: operand 2 ($w) is f32[4,8], expected ternary, as the first");
    /* types by themselves */
    line_fails("%y: f32[T,0] = silu %x", "5: type f32: dim 2 is 0, expected at least 1");
    line_fails("%y: f32[T,T] = silu %x", "5: type f32 has a symbol as dim 2, expected a constant");
    line_fails("%y: f32[1048577,1048577] = silu %x", "5: type f32 has more than 2^40 elements");
    line_fails("%y: f32[9223372036854775807,9223372036854775807] = silu %x",
               "5: type f32 has more than 2^40 elements");
    line_fails("%y: f32[T,2,2] = silu %x", "5: type f32 has 3 dims, expected 1 or 2");
    line_fails("%y: q8[8] = silu %x", "5: type q8 has 1 dims, expected 2");
    line_fails("%y: kc[N,8] = input {name=\"k\"}", "5: type kc has 2 dims, expected 3");
    line_fails("%y: f32[T,8] scale=1 = silu %x", "5: type f32 has a scale, only ternary types have one");
    line_fails("$y: t8[4,8] = random {seed=1}", "5: type t8 has no scale, expected scale=..");
    line_fails("$y: t8[4,8] scale=nan = random {seed=1}", "5: type t8: scale 1 is not finite");
    line_fails("$y: t8[4,8] scale=[1:1,2:1] = random {seed=1}",
               "5: type t8: scale ranges cover 3 rows, expected 4");
    line_fails("$y: t8[4,8] scale=[1:1,4:1] = random {seed=1}",
               "5: type t8: scale range 2 of 4 rows, expected 1 to 3");
    line_fails("$y: t8[4,8] scale=[0:1,4:1] = random {seed=1}",
               "5: type t8: scale range 1 of 0 rows, expected 1 to 4");
    line_fails("$y: t8[4,8] scale=[9223372036854775807:1,9223372036854775807:1] = random {seed=1}",
               "5: type t8: scale range 1 of 9223372036854775807 rows, expected 1 to 4");
    line_fails("$y: q6_k[4,8] = gguf {name=\"a\", hash=0x1}",
               "5: type q6_k: 8 columns, expected a multiple of 256");
    line_fails("$y: q8_0[4,8] = gguf {name=\"a\", hash=0x1}",
               "5: type q8_0: 8 columns, expected a multiple of 32");
    line_fails("$y: i2s[4,8] scale=1 = gguf {name=\"a\", hash=0x1}",
               "5: type i2s: got 4 rows of 8 columns, expected a multiple of 128 elements");
}

/* Scales that are stored with the weights. */
static void test_groups(void **state) {
    (void)state;
    static const char body[] = "tir 1\ngraph @g stage=model\n"
                               "  $w: t8[3,128] scale=group:64 = random {seed=1}\n"
                               "  $v: t8[2,128] scale=group:64 most=2 = random {seed=2}\n"
                               "  $c: t8[5,128] scale=group:64 most=2 = concat $w, $v\n"
                               "  $p: r64[5,128] scale=group:64 most=2 = pack $c\n"
                               "  $r: p64[5,9] scale=row = random {seed=3}\n"
                               "  $s: t8[5,9] scale=0x1p+0 most=2 = random {seed=3}\n"
                               "  %x: f32[T,128] = input {name=\"x\"}\n"
                               "  %q: q8g[T,128] scale=group:64 = quant_groups %x {n=64}\n"
                               "  %y: f32[T,5] = tmatmul_groups %q, $p\n"
                               "end\n";
    prints_as(body, body);
    line_fails("$y: t8[4,64] scale=group:32 = random {seed=1}",
               "26: a group of 32 columns, expected 64, 128 or 256");
    line_fails("$y: t8[4,64] scale=group = random {seed=1}", "26: found '=', expected ':'");
    line_fails("$y: t8[4,64] scale=1 most=3 = random {seed=1}", "27: most=3, expected 2 or nothing");
    line_fails("$y: t8[4,96] scale=group:64 = random {seed=1}",
               "5: type t8: got 96 columns, expected a multiple of its group's 64");
    line_fails("$y: p64[4,64] scale=group:64 = random {seed=1}",
               "5: type p64: got scales of groups of 64 columns, which it cannot hold");
    line_fails("$y: tq2[4,256] scale=group:64 = gguf {name=\"a\", hash=0x1}",
               "5: type tq2: got scales of groups of 64 columns, which it cannot hold");
    line_fails("$y: tq1[4,256] scale=1 most=2 = gguf {name=\"a\", hash=0x1}",
               "5: type tq1: got most=2, which it cannot hold");
    line_fails("$y: tq2[4,256] scale=row = gguf {name=\"a\", hash=0x1}",
               "5: type tq2: got a scale a row, which it cannot hold");
    line_fails("$y: r64[4,64] scale=1 = random {seed=1}",
               "5: type r64: got no scale a group, expected scale=group:n");
    line_fails("%y: f32[T,8] scale=row = silu %x", "5: type f32: got scales a row or group, expected none");
    line_fails("$y: t8[1,64] scale=row = const {values=[1]}",
               "26: const: got a type with a scale a row or group, expected scales");
    line_fails("%y: q8g[T,8] scale=group:64 = quant_groups %x {n=64}",
               "5: type q8g: got 8 columns, expected a multiple of its group's 64");
    line_fails("%y: q8g[T,64] scale=group:64 = quant_groups %x {n=63}",
               "32: quant_groups: n=63, expected 64, 128 or 256");
    body_fails(
        "%x: f32[T,64] = input {name=\"x\"}\n$w: t8[3,64] scale=group:64 = random {seed=1}\n"
        "%q: q8[T,64] = quant %x\n%y: i32[T,3] = tmatmul %q, $w\n$v: t8[3,64] scale=row = random {seed=1}\n"
        "$c: t8[6,64] scale=row = concat $v, $w\n",
        "6:16: tmatmul: operand 2 ($w) is t8[3,64] scale=group:64, expected no groups of columns "
        "(tmatmul_groups takes them)\n8:26: concat: operand 2 ($w) is t8[3,64] scale=group:64, expected "
        "scales "
        "that lie as those of the first\n");
}

static void test_kernels(void **state) {
    (void)state;
#define X "%x: f32[T,8] = input {name=\"x\"}\n"
#define Y "%y: f32[T,8] = silu %x\n"
    body_fails(X "kernel @k {root=none}\nend\n", "5:1: kernel @k is empty\n");
    body_fails(X "kernel @k {root=attend}\n" Y "end\n",
               "6:1: kernel @k says root=attend, but its root is none\n");
    body_fails(X "kernel @k {axis=rows}\n" Y "end\n", "4:8: kernel '@k' needs the attribute root\n");
    body_fails(X "kernel @k\n" Y "end\n", "4:10: found the end of the line, expected '{'\n");
    body_fails(X "kernel k {root=none}\n" Y "end\n", "4:8: found 'k', expected the kernel's @name\n");
    body_fails(X "kernel @k {root=none, eps=1}\n" Y "end\n", "4:23: attribute 'eps' does not belong here\n");
    body_fails(X "kernel @k {root=none, root=none}\n" Y "end\n", "4:23: attribute 'root' is given twice\n");
    body_fails(X "kernel @k {root=none, axis=left}\n" Y "end\n", "4:28: axis=left, expected rows or cols\n");
    body_fails(X "kernel @k {root=none, grain=0}\n" Y "end\n", "4:29: grain=0, expected at least 1\n");
    body_fails(X "kernel @k {root=none, barrier=2}\n" Y "end\n", "4:31: barrier=2, expected 0 or 1\n");
    body_fails(X "kernel @k {root=none}\nkernel @l {root=none}\n" Y "end\n",
               "5:1: kernel inside a kernel, whose end is missing\n");
    body_fails(X "kernel @k {root=none}\n" Y "end\nkernel @k {root=none}\n%z: f32[T,8] = silu %y\nend\n",
               "7:8: '@k' is the name of two kernels\n");
    fails_with("tir 1\ngraph @g stage=fused\n" X "kernel @k {root=none}\n",
               "t.tir:5:1: the text ends inside kernel @k\n");
}

/* ---- limits */

static void test_error_cap(void **state) {
    (void)state;
    TnBuf text = {0};
    TnGraph **gs;
    uint32_t n;
    TnDiag d = {0};
    tn_buf_puts(&text, "tir 1\ngraph @g stage=model\n");
    for (int i = 0; i < 1000; i++) tn_buf_puts(&text, "oh\n");
    assert_int_equal(parse(text.data, text.len, &gs, &n, &d), TERN_ERR_INPUT);
    assert_int_equal(d.n, 20);
    int lines = 0;
    for (size_t i = 0; i < d.text.len; i++) lines += d.text.data[i] == '\n';
    assert_int_equal(lines, 20);
    tn_diag_free(&d);
    tn_buf_free(&text);
}

/* A token as long as a file, a name at the cap and one byte past it. */
static void test_long_tokens(void **state) {
    (void)state;
    enum { HUGE_TOKEN = 20 * 1000 * 1000 };
    char *big = malloc(HUGE_TOKEN + 100);
    memset(big, 'a', HUGE_TOKEN);
    memcpy(big, "tir 1\n", 6);
    fails_with_n(big, HUGE_TOKEN,
                 "t.tir:2:1: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..' is 19999994 bytes long, at most "
                 "255 are allowed\n"
                 "t.tir:3:1: the text holds no graph\n");
    memset(big, '9', HUGE_TOKEN);
    memcpy(big, "tir 1\ngraph @g stage=model\n$a: f32[", 35);
    fails_with_n(big, HUGE_TOKEN,
                 "t.tir:3:9: '9999999999999999999999999999999999999999..' is 19999965 bytes long, at most "
                 "255 are allowed\n"
                 "t.tir:4:1: the text ends inside graph @g\n");
    memcpy(big, "tir 1\ngraph @g stage=model\n%a: f32[T,8] = input {name=\"", 55);
    big[HUGE_TOKEN] = '"';
    fails_with_n(big, HUGE_TOKEN + 1,
                 "t.tir:3:28: '\"9999999999999999999999999999999999999999..' is longer than 4096 bytes\n"
                 "t.tir:4:1: the text ends inside graph @g\n");
    free(big);

    char name[300], line[400], want[400];
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    snprintf(line, sizeof line, "tir 1\ngraph @g stage=model\n  %%%s: i32[T] = input {name=\"x\"}\nend\n",
             name);
    prints_as(line, line);
    name[255] = 'n';
    name[256] = '\0';
    snprintf(line, sizeof line, "%%%s: i32[T] = input {name=\"x\"}", name);
    snprintf(want, sizeof want, "1: '%%%.40s..' is 256 bytes long, at most 255 are allowed", name);
    line_fails(line, want);
}

static void test_many_values(void **state) {
    (void)state;
    for (int n = 1024; n <= 1025; n++) {
        TnBuf text = {0};
        tn_buf_printf(&text, "$c: f32[%d] = const {values=[0x1p+0", n);
        for (int i = 1; i < n; i++) tn_buf_puts(&text, ",0x1p+0");
        tn_buf_puts(&text, "]}");
        if (n == 1024) {
            TnBuf file = {0};
            tn_buf_printf(&file, "tir 1\ngraph @g stage=model\n  %s\nend\n", text.data);
            prints_as(file.data, file.data);
            tn_buf_free(&file);
        } else {
            line_fails(text.data, "7200: more than 1024 values");
        }
        tn_buf_free(&text);
    }
}

/* Doubling concat 40 times would need 2^40 scale ranges; the text must spell out the ranges. */
static void test_no_amplification(void **state) {
    (void)state;
    TnBuf body = {0};
    tn_buf_puts(&body, "$0: t8[1,1] scale=1 = random {seed=1}\n");
    for (int i = 1; i < 40; i++)
        tn_buf_printf(&body, "$%d: t8[%lld,1] scale=1 = concat $%d, $%d\n", i, 1ll << i, i - 1, i - 1);
    body_fails(body.data, "4:23: concat gives 2 scale ranges, but the type says 1\n");
    tn_buf_free(&body);
}

/* Lookups must not slow down with size. (Ten million lines would take seconds; a quadratic parser dies here.)
 */
static void test_large(void **state) {
    (void)state;
    enum { LINES = 200000 };
    TnBuf text = {0}, again = {0};
    TnGraph **gs;
    uint32_t n;
    TnDiag d = {0};
    tn_buf_puts(
        &text,
        "tir 1\ngraph @g stage=model\n  %x: f32[T,8] = input {name=\"x\"}\n  %x0: f32[T,8] = silu %x\n");
    for (int i = 1; i < LINES; i++)
        tn_buf_printf(&text, "  %%x%d: f32[T,8] = add %%x%d, %%x%d\n", i, i - 1, i / 2);
    tn_buf_puts(&text, "end\n");
    assert_int_equal(parse(text.data, text.len, &gs, &n, &d), TERN_OK);
    assert_int_equal(gs[0]->n, LINES + 1);
    assert_int_equal(tn_verify(gs[0], &d), TERN_OK);
    tn_print_file(gs, n, &again);
    assert_string_equal(text.data, again.data);
    tn_buf_free(&text);
    tn_buf_free(&again);
    destroy(gs, n);
}

/* A good text with one byte changed, or cut off anywhere, gets some answer and leaks nothing. */
static void test_mutations(void **state) {
    (void)state;
    char text[sizeof canonical];
    size_t len = sizeof canonical - 1;
    for (int i = 0; i < 20000; i++) {
        memcpy(text, canonical, len);
        size_t n = i % 4 == 0 ? random_u32() % len : len;
        for (int k = random_u32() % 3; k >= 0; k--)
            text[random_u32() % len] = i % 2 ? (char)random_u32() : canonical[random_u32() % len];
        char *exact = malloc(n + 1);
        memcpy(exact, text, n);
        TnGraph **gs;
        uint32_t count;
        TnDiag d = {0};
        if (parse(exact, n, &gs, &count, &d) == TERN_OK) {
            for (uint32_t j = 0; j < count; j++) (void)tn_verify(gs[j], &d);
            destroy(gs, count);
        } else {
            assert_true(d.n > 0 && d.n <= 20);
        }
        tn_diag_free(&d);
        free(exact);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical),   cmocka_unit_test(test_free_spelling),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_all_floats),
        cmocka_unit_test(test_bytes),       cmocka_unit_test(test_header),
        cmocka_unit_test(test_tokens),      cmocka_unit_test(test_bad_numbers),
        cmocka_unit_test(test_definitions), cmocka_unit_test(test_types),
        cmocka_unit_test(test_groups),      cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_error_cap),   cmocka_unit_test(test_long_tokens),
        cmocka_unit_test(test_many_values), cmocka_unit_test(test_no_amplification),
        cmocka_unit_test(test_large),       cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
