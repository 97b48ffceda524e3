"""Compares tests/text_chat_render --stdin with jinja2; see test_chat_jinja.sh. Arguments: the program, the number of random templates."""
import json, random, subprocess, sys
from datetime import datetime
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.ext import Extension, loopcontrols


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        from jinja2 import nodes
        return nodes.CallBlock(self.call_method("_body"), [], [], body)

    def _body(self, caller):
        return caller()


def refuse(message):
    raise ValueError(message)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
env.filters["tojson"] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
    x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
env.globals["raise_exception"] = refuse
env.globals["strftime_now"] = lambda f: datetime(1970, 1, 1).strftime(f)


def expected(template):
    try:
        return env.from_string(template).render()
    except Exception as e:
        return e


CHATML = """{%- for m in messages %}
    {%- if loop.first and m.role != 'system' %}{{- '<|im_start|>system\\nBe kind<|im_end|>\\n' }}{% endif %}
    {{- '<|im_start|>' ~ m['role'] ~ '\\n' + (m.content | trim) + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
LLAMA = """{{- '<s>' }}
{%- if messages[0]['role'] == 'system' %}{% set sys = messages[0]['content'] %}{% set messages = messages[1:] %}{% else %}{% set sys = '' %}{% endif %}
{{- "Today: " + strftime_now("%d %b %Y") + "\\n\\n" + sys }}
{%- if tools is defined and tools is not none %}
    {% for t in tools %}
        {{- t | tojson(indent=4) }}
    {% endfor %}
{%- endif %}
{% for m in messages %}
    {% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate') }}
    {% endif %}
[{{ m.role|upper }}] {{ m.content }}{{ '</s>' if not loop.last else '' }}
{% endfor %}
"""
THINK = """{%- macro show(m) -%}
{%- if m.content is string -%}{{ m.content }}{%- else -%}{%- for c in m.content -%}{{ c.text }}{%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- set ns = namespace(last=-1) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for m in messages -%}
{%- set content = show(m) -%}
{%- if '</think>' in content -%}
{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}
{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
{%- if loop.index0 > ns.last -%}<think>{{ thought }}</think>{%- endif -%}
{%- endif -%}
<{{ m.role }}>{{ content }}
{%- for call in m.tool_calls or [] %}
{{ {'name': call.name, 'arguments': call.arguments}|tojson }}{% for k, v in call.arguments|items %} {{ k }}={{ v }}{% endfor %}
{%- endfor %}
{% endfor -%}
"""
ODD = ["hi", "", "  two\n\nlines \t", "é漢字 🙂 'q' \"d\" \\ {{ x }}", "<think>\nhm\n</think>\n\nyes", "\u00a0edge\u2003", "<|im_end|>", "a\u0001b"]


def literal(x):
    if isinstance(x, dict):
        return "{" + ", ".join(literal(k) + ": " + literal(v) for k, v in x.items()) + "}"
    if isinstance(x, list):
        return "[" + ", ".join(map(literal, x)) + "]"
    if isinstance(x, str):
        return '"' + "".join({'"': '\\"', "\\": "\\\\", "\n": "\\n"}.get(c, c) for c in x) + '"'
    return repr(x)


def conversations(r):
    for n in range(12):
        out = [{"role": "system", "content": r.choice(ODD)}] if n % 2 else []
        for k in range(r.randrange(1, 7)):
            m = {"role": "assistant" if k % 2 else "user", "content": r.choice(ODD)}
            if n % 5 == 4 and not k:
                m["content"] = [{"type": "text", "text": r.choice(ODD)}]
            if k % 2 and n % 3 == 0:
                m["tool_calls"] = [{"name": "f", "arguments": {"x": r.choice(ODD), "y": [1, 2.5, None, True]}}]
            out.append(m)
        if n == 11:
            out.append(out[-1])
        yield out


def expr(r, d):
    leaf = ["1", "0", "-3", "2.5", "'a b'", "'é,x'", "none", "true", "u", "x", "[3,1,2]", "{'a': 1, 'b': [2]}", "s", "(1, 2)"]
    if d <= 0 or r.random() < 0.2:
        return r.choice(leaf)
    e = lambda: expr(r, d - 1)
    k = r.randrange(9)
    if k == 0:
        return f"({e()} {r.choice(['+', '-', '*', '/', '//', '%', '~', '==', '!=', '<', '>=', 'and', 'or', 'in', 'not in'])} {e()})"
    if k == 1:
        choices = ["length", "trim", "string", "list", "first", "last", "tojson", "default(1)", "int", "float", "join('-')", "reverse|list", "sort", "items|list", "dictsort", "max", "sum", "abs", "unique|list", "capitalize", "replace('a', 'b')", "indent(2)", "map('string')|list", "select|list", "selectattr('a')|list"]
        return f"{e()}|{r.choice(choices)}"
    if k == 2:
        return f"({e()} is {r.choice(['', 'not '])}{r.choice(['defined', 'none', 'string', 'mapping', 'iterable', 'sequence', 'number', 'odd', 'true', 'eq 1', 'boolean', 'integer', 'float'])})"
    if k == 3:
        return f"({e()} if {e()} else {e()})"
    if k == 4:
        return f"{e()}[{r.choice(['0', '-1', '1:', ':-1', '::-1', '::2', chr(39) + 'a' + chr(39)])}]"
    if k == 5:
        choices = ["strip()", "split()", "split(',')", "upper()", "startswith('a')", "replace('a', '')", "title()", "find('b')", "lstrip(' a')", "foo"]
        return f"s.{r.choice(choices)}"
    if k == 6:
        return f"[{e()}, {e()}]"
    if k == 7:
        return f"(not {e()})"
    choices = ["a", "b", "get('a')", "items", "_x"]
    return f"{e()}.{r.choice(choices)}"


def body(r, d):
    out = []
    for _ in range(r.randrange(1, 4)):
        a, b = r.choice(["{%", "{%-", "{%+"]), r.choice(["%}", "-%}", "+%}"])
        e = lambda: expr(r, 2)
        w = r.choice(["\n", "  ", " \n ", "t", "", "\n\n", "  t\n"])
        k = r.randrange(8) if d else r.randrange(3)
        inner = lambda: body(r, d - 1)
        if k == 0:
            t = r.choice(["{{ %s }}", "{{- %s }}", "{{ %s -}}"]) % e()
        elif k == 1:
            t = f"{a} set x = {e()} {b}"
        elif k == 2:
            t = r.choice(["{# c #}", "{#- c -#}", "text"])
        elif k == 3:
            t = f"{a} if {e()} {b}{inner()}{a} else {b}{inner()}{a} endif {b}"
        elif k in (4, 5):
            t = f"{a} for x in {e()}{r.choice(['', ' if x'])} {b}{inner()}{{{{ loop.index }}}}{a} {r.choice(['break', 'continue', 'set y = 1'])} {b}{a} else {b}e{a} endfor {b}"
        elif k == 6:
            t = f"{a} macro f(x, y={e()}) {b}{inner()}{a} endmacro {b}{{{{ f({e()}) }}}}"
        else:
            t = f"{a} set s {b}{inner()}{a} endset {b}{{{{ s }}}}"
        out += [w, t, w]
    return "".join(out)


def main():
    program, n = sys.argv[1], int(sys.argv[2])
    r = random.Random(7)
    templates = []
    for family in (CHATML, LLAMA, THINK):
        for c in conversations(r):
            templates.append("{%- set messages = " + literal(c) + " %}{% set add_generation_prompt = true -%}\n" + family)
    fixed = len(templates)
    templates += ["{% set s = 'ab a, c' %}{% set x = 5 %}" + body(r, 2) for _ in range(n)]
    got = subprocess.run([program, "--stdin"], input="".join(t + "\0" for t in templates).encode(), stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
    bad = refused = 0
    for k, t in enumerate(templates):
        want, mine = expected(t), got[k]
        lacks = mine.startswith("-") and "not supported" in mine
        refused += mine.startswith("-")
        if lacks and k >= fixed:
            continue
        if isinstance(want, Exception) != mine.startswith("-") or (not isinstance(want, Exception) and want != mine[1:]):
            bad += 1
            if bad <= 6:
                print(f"template {t!r}\n  jinja2 {want!r}\n  here   {mine!r}")
    print(f"{len(templates)} templates, {refused} refused, {bad} differ")
    return bad > 0


sys.exit(main())
