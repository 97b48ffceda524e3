/* Chat templates: what is rendered, what is refused, and the bounds. With the argument --stdin it renders what
 * test_chat_jinja.sh gives: a template and a JSON object of variables, each ended by NUL; the answers are "+" and the text,
 * or "-" and the error, ended by NUL. With --named it prints the names and the templates that go by name, in the same way. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/text/chat.h"
#include "support/sanitized.h"

#define TEXT(literal) ((TernText){literal, sizeof(literal) - 1})

static TernStatus render(TernText source, const TernChatInput *in, TernChatText *out, TernError *err) {
    TernChatTemplate *chat;
    *out = (TernChatText){0};
    TernStatus status = tern_chat_template_create(source, &chat, err);
    if (status != TERN_OK) return status;
    status = tern_chat_render(chat, in, out, err);
    tern_chat_template_destroy(chat);
    return status;
}
/* Valid until the next call. */
static const char *rendered(const char *source, const TernChatInput *in) {
    static char text[4000];
    TernChatText out;
    TernError err;
    if (render((TernText){source, strlen(source)}, in, &out, &err) != TERN_OK)
        fail_msg("%s: %s", source, err.text);
    snprintf(text, sizeof text, "%s", out.data);
    tern_chat_text_free(&out);
    return text;
}

static const struct {
    const char *in, *out; /* out NULL: refused, with err in the line */
    const char *err;
} cases[] = {
    {"a\n{% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc", NULL},
    {"{{ 1.0 }} {{ 1e20 }} {{ 1e-7 }} {{ [none, true, 'a\\'b', {'k': 1.5}, (1,)] }}",
     "1.0 1e+20 1e-07 [None, True, \"a'b\", {'k': 1.5}, (1,)]", NULL},
    {"{% set ns = namespace(n=0) %}{% for x in [1,2,3] if x != 2 %}{% set ns.n = ns.n + x %}{{ loop.index "
     "}}{{ loop.last }} {% endfor %}{{ ns.n }}",
     "1False 2True 4", NULL},
    {"{% macro f(a, b='x') %}{{ a }}{{ b }}{{ caller() }}{% endmacro %}{% call f(1) %}!{% endcall %}", "1x!",
     NULL},
    {"{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% "
     "endfor %}",
     "02", NULL},
    {"{{ 'h\xc3\xa9llo'[1:3] }}{{ 'abc'[::-1] }}{{ [1,2,3][-1] }}",
     "\xc3\xa9l"
     "cba3",
     NULL},
    {"{{ {'a': [1, '\xc3\xa9<'], 'b': none}|tojson }}", "{\"a\": [1, \"\xc3\xa9<\"], \"b\": null}", NULL},
    {"{{ [1,{}]|tojson(indent=2) }}", "[\n  1,\n  {}\n]", NULL},
    {"{% set x %}a{% endset %}{% filter upper %}{{ x }}{% endfilter %}{% generation %}g{% endgeneration %}",
     "Ag", NULL},
    {"{{ strftime_now('%Y-%m-%d') }}", "1970-01-01", NULL},
    {"\n{{ raise_exception('no') }}", NULL, "line 2: the template refuses: no"},
    {"{{ a.b }}", NULL, "line 1: 'a' is undefined"},
    {"{% for k, v in {'a': {'b': 1}, 'c': 2}.items() recursive %}{{ loop.depth }}{{ k }}{{ loop(v.items()) "
     "if v is "
     "mapping else v }} {% else %}-{% endfor %}",
     "1a2b1  1c2 ", NULL},
    {"{% for x in [1] %}{{ tools }}{% endfor %}{% set tools = 5 %}{% macro f() %}{{ tools }}{% endmacro %}{{ "
     "f() }}",
     "5", NULL},
    {"{% for x in [1] %}{{ tools }}{% endfor %}{% if x %}{% set tools = 5 %}{% endif %}", "None", NULL},
    {"{% macro f() %}{{ caller(x=1) }}{% endmacro %}{% call(y) f() %}{% endcall %}", NULL,
     "macro 'caller' takes"},
    {"{% macro f() %}{{ caller.name }}{% endmacro %}{% call f() %}{% endcall %}{{ f.name }}", "Nonef", NULL},
    {"{% set a, = [1] %}", NULL, "got '='"},
    {"{% set (a,) = [1] %}{{ a }}", "1", NULL},
    {"{% macro f(x) %}{{ x }}{{ kwargs }}{% endmacro %}{{ f(1, x=2) }}", "1{'x': 2}", NULL},
    {"{% macro f(x) %}{{ x }}{% endmacro %}{{ f(1, x=2) }}", NULL, "takes not more than 1"},
    {"{% for x in [1] %}{{ loop([]) }}{% endfor %}", NULL, "'recursive' marker"},
    {"{% for x in [[]] recursive %}{{ loop([x]) }}{% endfor %}", NULL, "1000 levels"},
    {"{% for x in [1] recursive %}{{ loop() }}{% endfor %}", NULL, "argument 'iterable' is missing"},
    {"{% for x in [1] %}{% for y in [] recursive %}{% else %}{% break %}{% endfor %}{% endfor %}", NULL,
     "outside of a loop"},
    {"{% set x = [] %}{{ x.append(1) }}", NULL, "undefined"},
    {"{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}", NULL,
     "take more than"},
    {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", NULL, "nested too deep"},
    {"{% if 1 %}", NULL, "the end of the template"},
    {"{{ 'a' * 99999999999 }}", NULL, "too long"},
    {"\xff", NULL, "UTF-8"},
};
static void renders(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TernChatText out;
        TernError err;
        TernStatus got = render((TernText){cases[i].in, strlen(cases[i].in)}, NULL, &out, &err);
        if (cases[i].out && (got != TERN_OK || strcmp(out.data, cases[i].out)))
            fail_msg("%s: got %s", cases[i].in, got ? err.text : out.data);
        if (!cases[i].out && (got != TERN_ERR_INPUT || !strstr(err.text, cases[i].err)))
            fail_msg("%s: got '%s', expected '%s'", cases[i].in, got ? err.text : out.data, cases[i].err);
        tern_chat_text_free(&out);
    }
}
static void takes_messages(void **state) {
    (void)state;
    TernChatInput in = TERN_CHAT_INPUT;
    in.messages = TEXT("[{\"role\": \"user\", \"content\": \"a\\u00e9\\n<|x|>\"}]");
    in.tools = TEXT("[{\"b\": 1.50, \"a\": [true, null, -7]}]");
    in.extra = TEXT("{\"deep\": {\"t\": \"T\"}}");
    in.bos = TEXT("<s>");
    in.now = 86400;
    assert_string_equal(
        rendered("{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m['content'] }}{% endfor %}"
                 "|{{ tools | tojson }}|{{ deep.t }}|{{ strftime_now('%d %b %Y') }}|"
                 "{{ eos_token is defined }}|{{ add_generation_prompt }}|{{ documents }}",
                 &in),
        "<s>user: a\u00e9\n<|x|>|[{\"b\": 1.5, \"a\": [true, null, -7]}]|T|02 Jan 1970|False|True|None");
}
/* The output with the user's parts in brackets. */
static void check_spans(const char *source, const char *expected) {
    TernChatInput in = TERN_CHAT_INPUT;
    TernChatTemplate *chat;
    TernChatText out;
    TernError err;
    char shown[400];
    size_t n = 0, at = 0;
    in.messages = TEXT("[{\"role\": \"user\", \"content\": \"Ab c\", \"k\": [\"x\", 5]}, {\"role\": \"odd\", "
                       "\"content\": \"\\n%%\"}]");
    in.bos = TEXT("<s>");
    assert_int_equal(tern_chat_template_create((TernText){source, strlen(source)}, &chat, &err), TERN_OK);
    if (tern_chat_render(chat, &in, &out, &err) != TERN_OK) fail_msg("%s: %s", source, err.text);
    for (size_t i = 0; i < out.n_spans; at += out.spans[i++].size) {
        assert_true(out.spans[i].size > 0 && (i == 0 || out.spans[i].user != out.spans[i - 1].user));
        n += (size_t)snprintf(shown + n, sizeof shown - n, out.spans[i].user ? "[%.*s]" : "%.*s",
                              (int)out.spans[i].size, out.data + at);
    }
    assert_int_equal(at, out.size);
    shown[n] = 0;
    if (strcmp(shown, expected)) fail_msg("%s: got %s, expected %s", source, shown, expected);
    tern_chat_text_free(&out);
    tern_chat_template_destroy(chat);
}
static void knows_whose_text(void **state) {
    (void)state;
#define M "{% set c = messages[0].content %}"
    check_spans(M "<{{ c }}>", "<[Ab c]>");
    check_spans(M "{{ '<' + c + '>' }}{{ '<' ~ c ~ '>' }}", "<[Ab c]><[Ab c]>");
    check_spans(M "{{ c[1:3] }}-{{ c[::-1] }}-{{ c | upper }}-{{ c | trim }}", "[b ]-[c bA]-[AB C]-[Ab c]");
    check_spans(M "{{ c.split(' ') | join('|') }}-{{ c.replace('b', 'XY') }}", "[Ab]|[c]-[A]XY[ c]");
    check_spans(M "{{ c | tojson }}{{ [c] }}{{ messages[0].k }}", "\"[Ab c]\"['[Ab c]']['[x]', 5]");
    check_spans(
        M "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(c) }}{% set s %}({{ c }}){% endset %}{{ s | lower }}",
        "<[Ab c]>([ab c])");
    check_spans("{% set c = messages[1].content %}{{ [c] }}{{ c % () }}{{ strftime_now(c) }}",
                "['[\\n%%]'][\n%\n%]");
    check_spans("{% for m in messages %}{{ m.role }}{{ bos_token }}{% endfor %}", "user<s>[odd]<s>");
    check_spans(M
                "{{ '%s=%s' | format(c, 1) }}{{ c * 2 }}{{ c | length }}{% for x in c %}{{ x }}.{% endfor %}",
                "[Ab c]=1[Ab cAb c]4[A].[b].[ ].[c].");
    check_spans("{% for k, v in messages[0].items() %}{{ k }} {% endfor %}", "[role] [content] [k] ");
    check_spans(M "{{ c if c == 'Ab c' else '' }}{{ c | replace('A', c) | indent(2) }}{{ c | default('x') }}",
                "[Ab cAb cb cAb c]");
#undef M
}
static void refuses_inputs(void **state) {
    (void)state;
    static const struct {
        const char *messages, *err;
    } rows[] = {
        {"{}", "the messages: got an object, expected a list"},
        {"[1]", "item 0 is an integer, expected an object"},
        {"[{\"a\": 1]", "line 1, column 9: '}' expected near ']'"},
        {"[{\"a\": 99999999999999999999}]", "too big integer"},
        {"[{\"a\": \"\\ud800\"}]", "invalid Unicode"},
        {"[{\"a\": \"x", "premature end of input"},
        {"[", "near end of file"},
        {"[{\"a\": 01}]", "invalid token"},
        {"[] x", "end of file expected near 'x'"},
        {"[{\"a\": \"\xff\"}]", "unable to decode byte 0xff"},
    };
    TernChatTemplate *chat;
    TernChatText out;
    TernError err;
    assert_int_equal(tern_chat_template_create(TEXT("x"), &chat, &err), TERN_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TernChatInput in = TERN_CHAT_INPUT;
        in.messages = (TernText){rows[i].messages, strlen(rows[i].messages)};
        assert_int_equal(tern_chat_render(chat, &in, &out, &err), TERN_ERR_INPUT);
        if (!strstr(err.text, rows[i].err))
            fail_msg("%s: got '%s', expected '%s'", rows[i].messages, err.text, rows[i].err);
        assert_null(out.data);
    }
    TernChatInput in = TERN_CHAT_INPUT;
    in.add_generation_prompt = 2;
    assert_int_equal(tern_chat_render(chat, &in, &out, &err), TERN_ERR_INPUT);
    assert_int_equal(tern_chat_render(NULL, NULL, &out, &err), TERN_ERR_INPUT);
    assert_int_equal(tern_chat_render(chat, NULL, &out, &err), TERN_OK);
    tern_chat_text_free(&out);
    tern_chat_template_destroy(chat);
    assert_int_equal(tern_chat_template_create((TernText){NULL, 3}, &chat, &err), TERN_ERR_INPUT);
}
static void has_names(void **state) {
    (void)state;
    TernChatInput in = TERN_CHAT_INPUT;
    in.messages =
        TEXT("[{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"U\"},"
             "{\"role\": \"assistant\", \"content\": \"A\"}, {\"role\": \"user\", \"content\": \"V\"}]");
    in.bos = TEXT("<s>"), in.eos = TEXT("</s>");
    size_t n = 0;
    for (const char *name; (name = tern_chat_template_name(n)); n++) {
        TernText t = tern_chat_template_find(name);
        const char *text = rendered(t.data, &in), *u = strstr(text, "U"), *v = strstr(text, "V");
        if (!strstr(text, "S") || !u || !v || !strstr(u, "A") || v < u) fail_msg("%s: %s", name, text);
    }
    assert_true(n > 10);
    assert_null(tern_chat_template_find("none such").data);
    assert_string_equal(
        rendered(tern_chat_template_find("bitnet").data, &in),
        "<s>System: S<|eot_id|>User: U<|eot_id|>Assistant: A<|eot_id|>User: V<|eot_id|>Assistant: ");
    assert_string_equal(rendered(tern_chat_template_find("falcon3").data, &in),
                        "<|system|>\nS\n<|user|>\nU\n<|assistant|>\nA</s>\n<|user|>\nV\n<|assistant|>\n");
}
/* A long text costs steps each time that it is gone through. */
static void bounds_its_time(void **state) {
    (void)state;
    static const char *const looks[] = {"s | length", "s == t", "'b' in s", "s[1:2]", "s.count('b')"};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        TernChatInput in = TERN_CHAT_INPUT;
        TernChatTemplate *chat;
        TernChatText out;
        TernError err;
        char source[200];
        int n = snprintf(source, sizeof source,
                         "{%% set s = 'a' * 65536 %%}{%% set t = 'a' * 65536 %%}"
                         "{%% for i in range(1000) %%}{%% if %s %%}{%% endif %%}{%% endfor %%}",
                         looks[i]);
        in.max_steps = 400000;
        assert_int_equal(tern_chat_template_create((TernText){source, (size_t)n}, &chat, &err), TERN_OK);
        assert_int_equal(tern_chat_render(chat, &in, &out, &err), TERN_ERR_INPUT);
        assert_non_null(strstr(err.text, "the template takes more than 400000 steps"));
        tern_chat_template_destroy(chat);
    }
}
/* Long chains and deep nests end in a line, and not on the stack's last page. */
static void bounds_its_depth(void **state) {
    (void)state;
    static const struct {
        const char *before, *each, *after;
        int n;
    } rows[] = {
        {"{{ 1", "+1", " }}", 50000},
        {"{{ 1", "~1", " }}", 50000},
        {"{{ 0", " or 0", " }}", 50000},
        {"{{ x", ".a", " }}", 50000},
        {"{{ 1", "|string", " }}", 50000},
        {"{{ ", "-", "1 }}", 50000},
        {"{{ ", "not ", "1 }}", 50000},
        {"{{ 1", " if 1", " }}", 50000},
        {"{% if 0 %}", "{% elif 0 %}", "{% endif %}", 50000},
        {"{{ ", "[", "", 150},
        {"", "{% if 1 %}", "", 5000},
        {"{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = ", "",
         "[ns.x] %}{% endfor %}{{ ns.x }}", 0},
        {"{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = ", "",
         "ns.x|map('upper') %}{% endfor %}{{ ns.x|list }}", 0},
        {"{% set ns = namespace(x=()) %}{% for i in range(90000) %}{% set ns.x = ", "",
         "(ns.x,) %}{% endfor %}{{ {ns.x: 1} }}", 0},
        {"{% macro f(n) %}{{ [[[[[[(f(n))]]]]]] }}{% endmacro %}{{ ", "", "f(1) }}", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t each = strlen(rows[i].each),
               size = strlen(rows[i].before) + each * (size_t)rows[i].n + strlen(rows[i].after);
        char *text = malloc(size + 1), *p = text + sprintf(text, "%s", rows[i].before);
        TernChatText out;
        TernError err;
        for (int k = 0; k < rows[i].n; k++, p += each) memcpy(p, rows[i].each, each);
        sprintf(p, "%s", rows[i].after);
        assert_int_equal(render((TernText){text, size}, NULL, &out, &err), TERN_ERR_INPUT);
        free(text);
    }
}
/* In a child whose address space is small. */
static void says_that_memory_is_out(void **state) {
    (void)state;
    if (TN_SANITIZED) skip();
    static const char big[] =
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}";
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {200 << 20, 200 << 20};
        TernChatText out;
        TernError err;
        setrlimit(RLIMIT_AS, &limit);
        TernStatus st = render((TernText){big, sizeof big - 1}, NULL, &out, &err);
        _exit(st == TERN_ERR_MEMORY && strstr(err.text, "no memory for a chat template") ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}
static int from_stdin(void) {
    char *in = NULL, *variables = NULL;
    size_t cap = 0, cap_variables = 0;
    ssize_t size, n;
    TernError err;
    while ((size = getdelim(&in, &cap, 0, stdin)) > 0 &&
           (n = getdelim(&variables, &cap_variables, 0, stdin)) > 0) {
        TernChatInput input = TERN_CHAT_INPUT;
        TernChatText out;
        input.extra = (TernText){variables, (size_t)n - 1};
        if (render((TernText){in, (size_t)size - 1}, &input, &out, &err) == TERN_OK)
            putchar('+'), fwrite(out.data, 1, out.size, stdout), putchar(0);
        else
            printf("-%s%c", err.text, 0);
        tern_chat_text_free(&out);
    }
    free(in);
    free(variables);
    return 0;
}
static int show_named(void) {
    for (size_t i = 0; tern_chat_template_name(i); i++) {
        TernText t = tern_chat_template_find(tern_chat_template_name(i));
        printf("%s%c%.*s%c", tern_chat_template_name(i), 0, (int)t.size, t.data, 0);
    }
    return 0;
}
int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--stdin") == 0) return from_stdin();
    if (argc > 1 && strcmp(argv[1], "--named") == 0) return show_named();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders),          cmocka_unit_test(takes_messages),
        cmocka_unit_test(knows_whose_text), cmocka_unit_test(refuses_inputs),
        cmocka_unit_test(has_names),        cmocka_unit_test(bounds_its_time),
        cmocka_unit_test(bounds_its_depth), cmocka_unit_test(says_that_memory_is_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
