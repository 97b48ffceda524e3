/* GBNF: which texts a grammar takes, token references, and the line of each refusal. At every byte the mask must say what
 * trying each token says. */
#include <pthread.h>
#include "vocab_file.h"
#include "runtime/base/buf.h"
#include "runtime/text/grammar.h"
#include "runtime/text/grammar/stacks.h"
#include "runtime/text/grammar/trie.h"

enum { MOST = 12 };

/* 256 bytes, then these. */
enum { HI = 256, QUOTE, THINK, STOP, CUT, END, NOTHING };

static Fixture vocab;

static int open_vocab(void **state) {
    (void)state;
    fixture_start(&vocab, "gpt-2");
    fixture_bytes(&vocab);
    fixture_token(&vocab, TERN_TOKEN_NORMAL, "hi");
    fixture_token(&vocab, TERN_TOKEN_NORMAL, "\":");
    fixture_token(&vocab, TERN_TOKEN_CONTROL, "<think>");
    fixture_token(&vocab, TERN_TOKEN_CONTROL, "</think>");
    fixture_token(&vocab, TERN_TOKEN_NORMAL,
                  "a\xc3\xa2"); /* "a" and the byte E2: the beginning of a euro sign */
    fixture_token(&vocab, TERN_TOKEN_CONTROL, "<end>");
    fixture_token(&vocab, TERN_TOKEN_USER_DEFINED, "");
    vocab.source.eos = END;
    fixture_open(&vocab);
    return 0;
}
static int close_vocab(void **state) {
    (void)state;
    fixture_close(&vocab);
    return 0;
}

static TernGrammar *grammar_of(const char *text) {
    TernGrammar *g;
    TernError err;
    if (tern_grammar_create(vocab.vocab, text, strlen(text), &g, &err) != TERN_OK)
        fail_msg("%s\n%s", err.text, text);
    return g;
}

/* The mask of a state against each id tried alone, and against may_end. */
static void check_mask(TernGrammar *g, TernGrammarState s) {
    TernGrammarMask mask;
    size_t n = 0, n_tokens = tern_vocab_get_facts(vocab.vocab).n_tokens;
    bool *bits = malloc(n_tokens), allowed;
    assert_int_equal(tern_grammar_get_mask(g, s, &mask, NULL), TERN_OK);
    assert_int_equal(mask.n_words, (n_tokens + 63) / 64);
    for (size_t i = 0; i < n_tokens; i++) bits[i] = mask.words[i / 64] >> (i % 64) & 1;
    for (size_t i = n_tokens; i < 64 * mask.n_words; i++) assert_false(mask.words[i / 64] >> (i % 64) & 1);
    size_t n_allowed = mask.n_allowed;
    for (size_t i = 0; i < n_tokens; i++) {
        TernGrammarState after;
        assert_int_equal(tern_grammar_allows(g, s, (int32_t)i, &allowed, NULL), TERN_OK);
        if (allowed != bits[i]) fail_msg("token %zu: the mask says %d, alone %d", i, bits[i], allowed);
        TernStatus st = tern_grammar_accept(g, s, (int32_t)i, &after, NULL);
        if ((st == TERN_OK) != allowed) fail_msg("token %zu: allows %d, accept %d", i, allowed, st);
        n += allowed;
    }
    free(bits);
    assert_int_equal(n, n_allowed);
    assert_int_equal(tern_grammar_allows(g, s, END, &allowed, NULL), TERN_OK);
    if (tern_grammar_may_end(g, s) && !allowed) assert_int_equal(n_allowed, 0); /* it has ended */
}

/* Bytes as tokens; the bytes 1 to 7 stand for the tokens above. Returns whether the whole text is of the grammar. */
static bool takes(TernGrammar *g, const char *text, bool check) {
    TernGrammarState s = TERN_GRAMMAR_START;
    for (const char *c = text; *c; c++) {
        int32_t id = (unsigned char)*c >= 1 && *c <= 7 && *c > 0 ? HI + *c - 1 : (unsigned char)*c;
        if (check) check_mask(g, s);
        if (tern_grammar_accept(g, s, id, &s, NULL) != TERN_OK) return false;
    }
    return tern_grammar_may_end(g, s);
}

static const struct {
    const char *grammar;
    const char *yes[MOST], *no[MOST];
} cases[] = {
    {"root ::= \"a\"*", {"", "a", "aaaaa"}, {"b", "ab", "ba"}},
    {"root ::= \"a\"+", {"a", "aaaa"}, {"", "b", "ab"}},
    {"root ::= \"a\"?", {"", "a"}, {"b", "aa"}},
    {"root ::= \"ab\"*", {"", "ab", "abab"}, {"a", "aba", "abb"}}, /* the whole literal */
    {"root ::= [ab]{4}", {"aaaa", "abab"}, {"a", "aaaaa"}},
    {"root ::= [ab]{4,}", {"aaaa", "aaaaab"}, {"", "aba"}},
    {"root ::= [ab]{0,4}", {"", "a", "aaab"}, {"aaaaa"}},
    {"root ::= [ab]{ 1 , 2 }", {"a", "ab"}, {"", "aaa"}},
    {"root ::= \"a\"{0}", {""}, {"a"}},
    {"root ::= \"a\"{0,0} \"b\"", {"b"}, {"ab"}},
    {"root ::= (\"0x\" [A-F0-9]{2} \" \"?){3,5}",
     {"0xFF 0x12 0xAB", "0xFF 0x12 0xAB 0x00 0x00"},
     {"", "0xFF", "0xFF 0x12", "0xFF 0x12 0xAB 0x00 0x00 0x00"}},
    {"root ::= \"a\"{2}{3}", {"aaaaaa"}, {"aaaaa", "aaaaaaa", "aa"}},
    {"root ::= (\"a\" | \"b\"{2,3})*?", {"", "a", "bb", "abbb", "bbbb", "abba"}, {"b", "aba", "ab"}},
    {"root ::= ( [x]* )*", {"", "x", "xx"}, {"y", "yy", "xy"}},
    {"root ::= (\"a\"? \"b\"?){2} \"c\"", {"c", "ac", "abc", "bac", "ababc", "babc"}, {"aaac", "bbbc", "ab"}},
    {"root ::= ((\"a\"? (\"b\" | \"\"))+ | \"\"){3,} \"!\"", {"!", "ab!", "bbabaaa!"}, {"", "a", "!a"}},
    {"root ::= (\"\")* \"x\" (\"\" | (\"\"){3})+", {"x"}, {"", "xx"}},
    {"root ::= ... \"abc\" ...",
     {"abcabcabc", "aaaabcccc",
      "\xf0\x9f\x94\xb5\xe2\x9c\x85\xc3\xa9"
      "abc\xe2\x9d\x8c"
      "xy"},
     {"aaabcccc", "aaaaabcccc", "aaaabccc",
      "\xe2\x9c\x85\xc3\xa9"
      "abcxyz"}},
    {"root ::= cons+ vowel* cons? (vowel cons)*\nvowel ::= [aeiouy]\ncons ::= [bcdfghjklmnpqrstvwxyz]",
     {"yes", "no", "noyes", "crwth", "four", "bryyyy"},
     {"yess", "yesno", "forty", "catyyy"}},
    {"root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= number\nnumber ::= [0-9]+",
     {"42", "1+2+3+4+5", "123+456"},
     {"+", "/ 3", "1+2+3+4+5+", "12a45"}},
    {"root ::= expression\n"
     "expression ::= term ws ((\"+\"|\"-\") ws term)*\n"
     "term ::= factor ws ((\"*\"|\"/\") ws factor)*\n"
     "factor ::= number | variable | \"(\" expression \")\" | call\n"
     "number ::= [0-9]+\nvariable ::= [a-zA-Z_][a-zA-Z0-9_]*\n"
     "call ::= variable ws \"(\" (expression (\",\" ws expression)*)? \")\"\nws ::= [ \\t\\n\\r]?\n",
     {"42", "1*2*3*4", "x+10", "(a+b)*(c-d)", "func()", "func(x,y+2)", "a*(b+c)-d/e", "f(g(x),h(y,z))",
      "a * (b + c) - d / e", "f(g(x), h(y, z))"},
     {"+", "/ 3x", "x + + y", "a * / b", "func(,)", "func(x y)", "(a + b", "x + y)", "42 +",
      "f(g(x), h(y, z)"}},
    /* the list of rules may go on over lines in groups and after '|' and "::=" */
    {"# a comment\nroot ::= # here too\n  \"a\" |\n  ( \"b\"\n # and here\n  \"c\" ) # end\n\n\n",
     {"a", "bc"},
     {"b", "c", ""}},
    {"root ::= \"a\" | | \"b\"", {"", "a", "b"}, {"ab"}},
    {"root ::= a-b_C9\r\na-b_C9 ::= \"x\"\r\n", {"x"}, {""}},
    {"root ::= ", {""}, {"a"}},
    {"root ::= \"\\x41\\u00e9\\U0001F600\\n\\t\\r\\\\\\\"\\[\\]\\-\"",
     {"A\xc3\xa9\xf0\x9f\x98\x80\n\t\r\\\"[]-"},
     {"A", "A\xe9"}},
    {"root ::= [\\x41-\\x43\\u00e9\\]^-]+", {"ABC", "\xc3\xa9]^-"}, {"D", "[", "\xc3\xa8"}},
    {"root ::= [a-]+ [-a]", {"a-a", "--"}, {"b", "-"}},
    {"root ::= [^a-z\\n]+",
     {"ABC", "\xe2\x82\xac\x7f", "\t"},
     {"a", "A\n", "\xff", "\xc0\x80", "\xed\xa0\x80"}},
    {"root ::= .*",
     {"", "\n", "\xf4\x8f\xbf\xbf", "\xc2\x80", "\xe0\xa0\x80", "\xee\x80\x80"},
     {"\xf4\x90\x80\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf5", "\x80", "\xc2",
      "\xf0\x8f\x80\x80"}},
    {"root ::= [\xce\xb1-\xcf\x89]+", {"\xce\xb1\xce\xbb\xcf\x86\xce\xb1"}, {"\xcf\x8a", "a", "\xce"}},
    {"root ::= \"\xe2\x82\xac\" | [\xe2\x82\xab]",
     {"\xe2\x82\xac", "\xe2\x82\xab"},
     {"\xe2\x82\xaa", "\xe2\x82"}},
    {"root ::= \"hi\" [^\"]* \"\\\":\"",
     {"hi\":", "\1\2", "\1 a\":", "hi\5\x82\xac\2"},
     {"\1\2\2", "\1\5\2", "h\1"}},
    {"root ::= <think> [a-z]* </think> <[65]> \"B\"",
     {"\3\4AB", "\3hi\1\4AB"},
     {"\3\3", "\3\4\4", "<think>", "\3\4B"}},
    {"root ::= <think> !</think>* </think> .*",
     {"\3\4", "\3\3hi\xff\1\4x", "\3\4\1"},
     {"\3", "\3\4\3", "\4\3", "x\3\4"}},
    {"root ::= !<[104]>", {"a", "\1", "\3", "\7", "\xff"}, {"h", "\6", "", "aa"}},
    {"root ::= !<[97]> | !<[98]> | <[97]>{2}", {"a", "b", "c", "aa"}, {"bb", "ab"}},
    {"root ::= \"a\" <end> | \"b\"",
     {"a\6", "b", "b\6"},
     {"a", "ab", "b\6\6",
      "b\6"
      "b"}},
    {"root ::= \"h\" <[105]> | \"hi\"", {"hi", "\1"}, {"h", "hii"}},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TernGrammar *g = grammar_of(cases[i].grammar);
        for (int k = 0; k < MOST && cases[i].yes[k]; k++)
            if (!takes(g, cases[i].yes[k], true))
                fail_msg("%s\ndoes not take '%s'", cases[i].grammar, cases[i].yes[k]);
        for (int k = 0; k < MOST && cases[i].no[k]; k++)
            if (takes(g, cases[i].no[k], k < 2)) fail_msg("%s\ntakes '%s'", cases[i].grammar, cases[i].no[k]);
        tern_grammar_destroy(g);
    }
}

static const struct {
    const char *grammar, *error;
} refused[] = {
    {"", "the grammar has no rule 'root', expected one"},
    {"rot ::= \"a\"", "the grammar has no rule 'root', expected one"},
    {"root ::= expr\nexpr ::= term\nterm ::= numero\n",
     "line 3, column 10: got 'numero', expected a rule that is defined"},
    {"root ::= \"a\" | root \"a\"",
     "line 1, column 1: rule 'root' may begin with itself, expected no left recursion"},
    {"root ::= x\nx ::= \"a\" | foo \"b\"\nfoo ::= \"c\" | x \"d\"",
     "line 2, column 1: rule 'x' may begin with itself, expected no left recursion"},
    {"root ::= x\nx ::= \"a\" | foo \"b\"\nfoo ::= \"c\" | empty x \"d\"\nempty ::= \"blah\" |",
     "line 2, column 1: rule 'x' may begin with itself, expected no left recursion"},
    {"root ::= (\"a\"? root)?",
     "line 1, column 1: rule 'root' may begin with itself, expected no left recursion"},
    {"root ::= \"a",
     "line 1, column 12: got the end of the grammar, expected the end of the literal or class"},
    {"root ::= [a",
     "line 1, column 12: got the end of the grammar, expected the end of the literal or class"},
    {"root ::= \"\\q\"", "line 1, column 12: got 'q', expected an escape: one of \\ \" [ ] - n r t x u U"},
    {"root ::= \"\\x4g\"", "line 1, column 14: got 'g', expected 2 hex digits"},
    {"root ::= \"\\u123\"", "line 1, column 16: got '\"', expected 4 hex digits"},
    {"root ::= \"\\U00110000\"", "line 1, column 11: got U+110000, expected at most U+10FFFF"},
    {"root ::= \"\\ud800\"", "line 1, column 11: got U+D800, half of a surrogate pair, expected a character"},
    {"root ::= []", "line 1, column 10: got a class without characters, expected some"},
    {"root ::= [^\\U00000000-\\U0010FFFF]",
     "line 1, column 10: got a class that no character is in, expected some"},
    {"root ::= [z-a]", "line 1, column 11: got the range U+007A to U+0061, expected the lower end first"},
    {"root ::= (\"a\"", "line 1, column 14: got the end of the grammar, expected a symbol, '|' or ')'"},
    {"root ::= \"a\")", "line 1, column 13: got ')', expected a symbol, '|' or the end of the line"},
    {"root ::= *", "line 1, column 10: got '*', expected a symbol before a repeat"},
    {"root ::= \"a\" | {2}", "line 1, column 16: got '{', expected a symbol before a repeat"},
    {"root ::= \"a\"{x}", "line 1, column 14: got 'x', expected a number of repeats"},
    {"root ::= \"a\"{2;3}", "line 1, column 15: got ';', expected ',' or '}'"},
    {"root ::= \"a\"{3,2}",
     "line 1, column 13: got at least 3 and at most 2 repeats, expected the smaller first"},
    {"root ::= \"a\"{1000001}",
     "line 1, column 14: got 1000001, expected a number of repeats of at most 1000000"},
    {"root ::= \"a\"{0,99999999999999999999}",
     "line 1, column 16: got 99999999999999999999, expected a number of repeats of at most 1000000"},
    {"root ::= \"a\"{12345678",
     "line 1, column 14: got 12345678, expected a number of repeats of at most 1000000"},
    {"root : \"a\"", "line 1, column 6: got ':', expected '::='"},
    {"root ::= \"a\"\nroot ::= \"b\"",
     "line 2, column 1: got a second rule 'root', expected the only one after line 1"},
    {"root ::= \"a\"\n  ::= \"b\"", "line 2, column 3: got ':', expected the name of a rule"},
    {"root ::= \"a\" 'b'", "line 1, column 14: got ''', expected a symbol, '|' or the end of the line"},
    {"root ::= \"\xff\"", "line 1, column 11: got '\\xff', expected UTF-8"},
    {"root ::= <[1000]>", "line 1, column 12: got 1000, expected a token id of at most 262"},
    {"root ::= <[x]>", "line 1, column 12: got 'x', expected a token id"},
    {"root ::= <[1>", "line 1, column 13: got '>', expected ']>'"},
    {"root ::= <thonk>", "line 1, column 10: got '<thonk>', expected a token of the vocabulary"},
    {"root ::= <think", "line 1, column 10: got '<', expected a token with '>' at its end"},
    {"root ::= !think", "line 1, column 11: got 't', expected '<', a token"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        TernGrammar *g;
        TernError err;
        TnBuf text = {0};
        size_t n = strlen(refused[i].grammar);
        tn_buf_put(&text, refused[i].grammar, n);
        tn_buf_puts(&text, "9"); /* not part of the text */
        TernStatus st = tern_grammar_create(vocab.vocab, text.data, n, &g, &err);
        tn_buf_free(&text);
        if (st != TERN_ERR_INPUT) fail_msg("%s: status %d", refused[i].grammar, st);
        assert_null(g);
        assert_string_equal(err.text, refused[i].error);
    }
}

/* Grammars that are large in some way must neither hang nor fail, or fail with a line. */
static void test_large(void **state) {
    (void)state;
    TnBuf b = {0};
    TernGrammar *g;
    TernError err;
    for (int depth = 256; depth <= 257; depth++) {
        b.len = 0;
        tn_buf_puts(&b, "root ::= ");
        for (int i = 0; i < depth; i++) tn_buf_puts(&b, "(\"a\" ");
        for (int i = 0; i < depth; i++) tn_buf_puts(&b, ")?");
        TernStatus st = tern_grammar_create(vocab.vocab, b.data, b.len, &g, &err);
        assert_int_equal(st, depth > 256 ? TERN_ERR_INPUT : TERN_OK);
        if (st == TERN_OK) assert_true(takes(g, "aaaaaaaaaa", false));
        tern_grammar_destroy(g);
    }
    b.len = 0; /* a long chain of rules, the last one first */
    for (int i = 20000; i > 0; i--) tn_buf_printf(&b, "r%d ::= r%d | \"\"\n", i - 1, i);
    tn_buf_puts(&b, "r20000 ::= \"x\"\nroot ::= (r0)* \"y\"\n");
    assert_int_equal(tern_grammar_create(vocab.vocab, b.data, b.len, &g, &err), TERN_OK);
    assert_true(takes(g, "xxy", false));
    tern_grammar_destroy(g);
    b.len = 0; /* many items that may all be missing */
    tn_buf_puts(&b, "root ::= (");
    for (int i = 0; i < 2000; i++) tn_buf_puts(&b, "\"a\"? ");
    tn_buf_puts(&b, ")*");
    assert_int_equal(tern_grammar_create(vocab.vocab, b.data, b.len, &g, &err), TERN_OK);
    assert_true(takes(g, "aaaaaaa", false));
    tern_grammar_destroy(g);
    g = grammar_of("root ::= ([a-b]{1000000} | \"c\"){1000000}");
    assert_false(takes(g, "abababab", false));
    tern_grammar_destroy(g);
    tn_buf_free(&b);
}

/* A text that can be read in more and more ways: at some length there is a line, and before it the answers are right. */
static void test_too_many_ways(void **state) {
    (void)state;
    TernGrammar *g = grammar_of("root ::= (((((([^x]*){0,99}){0,99}){0,99}){0,99}){0,99}){0,99}");
    TernGrammarState s = TERN_GRAMMAR_START;
    TernError err = {0};
    int n = 0;
    while (n < 1000 && tern_grammar_accept(g, s, 'a', &s, &err) == TERN_OK) n++;
    assert_in_range(n, 3, 999);
    assert_string_equal(
        err.text, "the grammar needs too much here: got 5006 ways to read the text, expected at most 4096");
    tern_grammar_destroy(g);
    TnBuf b = {0};
    tn_buf_puts(&b, "root ::= \"a\" (\"b\"");
    for (int i = 0; i < 132000; i++) tn_buf_puts(&b, "|\"\"");
    tn_buf_puts(&b, ")");
    tn_buf_put(&b, "", 1);
    g = grammar_of(b.data);
    assert_int_equal(tern_grammar_accept(g, TERN_GRAMMAR_START, 'a', &s, &err), TERN_ERR_INPUT);
    assert_string_equal(
        err.text, "the grammar needs too much here: got 131073 steps after a byte, expected at most 131072");
    tern_grammar_destroy(g);
    tn_buf_free(&b);
}

/* Bounds that only millions of states reach: the stacks are made to believe in them. */
static void test_full(void **state) {
    (void)state;
    static const char text[] = "root ::= \"(\" root? \")\"";
    TnArena arena = {0};
    TnRules rules = {.arena = &arena};
    TnPositions p = {0};
    TnStacks s;
    TernError err;
    assert_int_equal(tn_gbnf_read(vocab.vocab, text, strlen(text), &rules, &err), TERN_OK);
    assert_int_equal(tn_rules_check(&rules, &err), TERN_OK);
    assert_int_equal(tn_positions_make(&rules, &p, &err), TERN_OK);
    tn_stacks_start(&s, &p);
    const struct {
        size_t *count, value;
        const char *line;
    } cases[] = {
        {&s.n_nodes, 1 << 23, "got 8388609 nodes of its states, expected at most 8388608; make it anew"},
        {&s.n_sets, 1 << 23,
         "got 8388609 sets of stacks of its states, expected at most 8388608; make it anew"},
        {&s.n_members, (1 << 24) - 1,
         "got 16777217 stacks of its states, expected at most 16777216; make it anew"},
    };
    uint32_t set = tn_set_root(&s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[200];
        size_t was = *cases[i].count;
        snprintf(line, sizeof line, "the grammar needs too much here: %s", cases[i].line);
        *cases[i].count = cases[i].value;
        assert_true(tn_set_after(&s, set, '(') == TN_SET_TOO_LARGE);
        assert_int_equal(tn_stacks_fail(&s, &err), TERN_ERR_INPUT);
        assert_string_equal(err.text, line);
        *cases[i].count = was;
        if (i == 0) tn_set_after(&s, set, '('); /* the nodes are there from now on, the set is cut again */
        if (i == 0) tn_stacks_cut(&s, (TnStacksMark){s.n_nodes, s.n_sets - 1, s.n_members - 2});
    }
    tn_stacks_free(&s);
    tn_positions_free(&p);
    tn_rules_free(&rules);
    tn_arena_free(&arena);
}

static void test_states(void **state) {
    (void)state;
    TernGrammar *g = grammar_of("root ::= \"a\" [bc]* | \"d\"");
    TernGrammarState a, b, c, end, again;
    TernError err;
    bool allowed;
    assert_int_equal(tern_grammar_accept(g, TERN_GRAMMAR_START, 'a', &a, &err), TERN_OK);
    assert_int_equal(tern_grammar_accept(g, a, 'b', &b, &err), TERN_OK);
    assert_int_equal(tern_grammar_accept(g, b, 'c', &c, &err), TERN_OK);
    assert_int_equal(b, c); /* the same future, the same state */
    assert_int_equal(tern_grammar_accept(g, b, END, &end, &err), TERN_OK);
    assert_true(tern_grammar_may_end(g, end));
    check_mask(g, b);
    assert_int_equal(tern_grammar_accept(g, end, 'b', &again, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "token 98 may not come here by the grammar, expected one that may");
    assert_int_equal(again, end);
    assert_int_equal(tern_grammar_accept(g, b, 'd', &b, &err), TERN_ERR_INPUT);
    assert_int_equal(b, c);
    assert_int_equal(tern_grammar_accept(g, b, NOTHING + 1, &b, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "token id 263 is not in the vocabulary of 263");
    assert_int_equal(tern_grammar_accept(g, 1000, 'a', &b, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, "state is 1000, expected one of the 3 that this grammar has given");
    assert_int_equal(tern_grammar_allows(g, a, -1, &allowed, &err), TERN_OK);
    assert_false(allowed);
    TernGrammarMask mask;
    assert_int_equal(tern_grammar_get_mask(g, end, &mask, &err), TERN_OK);
    assert_int_equal(mask.n_allowed, 0);
    assert_true(tern_grammar_get_counts(g).states == 3);
    tern_grammar_destroy(g);
    tern_grammar_destroy(NULL);
    assert_int_equal(tern_grammar_create(NULL, "", 0, &g, &err), TERN_ERR_INPUT);
}

/* SentencePiece: the first token of an output loses its first space, so there the space does not count. */
static void test_first_token(void **state) {
    (void)state;
    Fixture f;
    fixture_start(&f, NULL);
    f.source.model = TEXT("llama");
    fixture_scored(&f, 0, TERN_TOKEN_UNKNOWN, "<unk>");
    fixture_scored(&f, 0, TERN_TOKEN_CONTROL, "<s>");
    fixture_scored(&f, 0, TERN_TOKEN_CONTROL, "</s>");
    fixture_scored(&f, -1, TERN_TOKEN_NORMAL, "\xe2\x96\x81yes");
    fixture_scored(&f, -2, TERN_TOKEN_NORMAL, "\xe2\x96\x81");
    fixture_scored(&f, -3, TERN_TOKEN_NORMAL, "yes");
    fixture_scored(&f, -4, TERN_TOKEN_NORMAL, "\xe2\x96\x81\xe2\x96\x81yes");
    fixture_open(&f);
    TernGrammar *g;
    TernGrammarMask mask;
    TernGrammarState s;
    TernError err;
    static const char text[] = "root ::= <[1]>? \"yes\" (\" yes\")*";
    if (tern_grammar_create(f.vocab, text, strlen(text), &g, &err) != TERN_OK) fail_msg("%s", err.text);
    assert_int_equal(tern_grammar_get_mask(g, TERN_GRAMMAR_START, &mask, &err), TERN_OK);
    assert_int_equal(mask.words[0], 1 << 1 | 1 << 3 | 1 << 5);
    assert_int_equal(tern_grammar_accept(g, TERN_GRAMMAR_START, 1, &s, &err), TERN_OK); /* shows nothing */
    assert_int_equal(tern_grammar_get_mask(g, s, &mask, &err), TERN_OK);
    assert_int_equal(mask.words[0], 1 << 3 | 1 << 5);
    assert_int_equal(tern_grammar_accept(g, s, 3, &s, &err), TERN_OK);
    assert_int_equal(tern_grammar_get_mask(g, s, &mask, &err), TERN_OK);
    assert_int_equal(mask.words[0], 1 << 2 | 1 << 3 | 1 << 4);
    tern_grammar_destroy(g);
    fixture_close(&f);
}

/* Threads that make grammars of one vocabulary at once: all get the same tree, and their own masks are right. */
enum { MAKERS = 4, EACH = 8 };
typedef struct Maker {
    const TernVocab *vocab;
    const TnTrie *tree;
    uint64_t words[EACH];
    bool failed;
} Maker;

static void *make_grammars(void *user) {
    Maker *m = user;
    for (int i = 0; i < EACH; i++) {
        char text[40];
        int n = snprintf(text, sizeof text, "root ::= \"hi\" | [%c-z]", 'a' + i);
        TernGrammar *g;
        TernGrammarMask mask;
        if (tern_grammar_create(m->vocab, text, (size_t)n, &g, NULL) != TERN_OK ||
            tern_grammar_get_mask(g, TERN_GRAMMAR_START, &mask, NULL) != TERN_OK) {
            m->failed = true;
            return NULL;
        }
        m->words[i] = mask.words[1]; /* ids 64 to 127: the letters */
        tern_grammar_destroy(g);
    }
    m->tree = tn_trie_of(m->vocab);
    return NULL;
}

static void test_one_tree(void **state) {
    (void)state;
    TernVocab *fresh;
    Maker makers[MAKERS];
    pthread_t threads[MAKERS];
    assert_int_equal(tern_vocab_open(vocab.image, vocab.image_size, &fresh, NULL), TERN_OK);
    for (int i = 0; i < MAKERS; i++) {
        makers[i] = (Maker){.vocab = fresh};
        assert_int_equal(pthread_create(&threads[i], NULL, make_grammars, &makers[i]), 0);
    }
    for (int i = 0; i < MAKERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < MAKERS; i++) {
        assert_false(makers[i].failed);
        assert_ptr_equal(makers[i].tree, makers[0].tree);
        for (int k = 0; k < EACH; k++) {
            uint64_t letters = 0;
            for (int c = 'a' + k; c <= 'z'; c++) letters |= (uint64_t)1 << (c - 64);
            assert_true(makers[i].words[k] == (letters | (uint64_t)1 << ('h' - 64)));
        }
    }
    tern_vocab_close(fresh);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),         cmocka_unit_test(test_refused),  cmocka_unit_test(test_large),
        cmocka_unit_test(test_too_many_ways), cmocka_unit_test(test_full),     cmocka_unit_test(test_states),
        cmocka_unit_test(test_first_token),   cmocka_unit_test(test_one_tree),
    };
    return cmocka_run_group_tests(tests, open_vocab, close_vocab);
}
