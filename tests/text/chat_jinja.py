"""Compares tests/text_chat_render --stdin with jinja2, set up as Hugging Face does; see test_chat_jinja.sh. Arguments: the program,
the folder tests/data/chat, the number of random templates and the seed. TERN_TEMPLATES names a folder of further templates."""
import copy, functools, json, os, random, subprocess, sys
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
env.globals["strftime_now"] = lambda format: datetime(1970, 1, 1).strftime(format)


@functools.lru_cache(maxsize=50)
def compiled(template):
    return env.from_string(template)


def expected(template, variables):
    try:
        return compiled(template).render(**copy.deepcopy(variables))  # indent of a list changes it
    except Exception as e:
        return e


# ---- conversations

ODD = ["hi", "", "  two\n\nlines \t", "é漢字 🙂 'q' \"d\" \\ {{ x }}", "<think>\nhm\n</think>\n\nyes", "\u00a0edge\u2003", "<|im_end|>",
       "a\u0001b\x7f", "{% raw %}", "x\u2028y\r\nz", "ÀÉß ǅ ΣΑΣ straße", "<tool>1</tool>", "0" * 300]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Finds the weather.\nOf a place.", "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "the <city> & \"more\""}, "unit": {"type": "string", "enum": ["°C", "F"], "default": "F"},
        "days": {"type": "array", "items": {"type": "integer"}}, "deep": {"type": "object", "properties": {"a": {"type": ["null", "float"]}}, "required": ["a"]}},
        "required": ["city"]}, "return": {"type": "string"}}},
    {"type": "function", "function": {"name": "now", "parameters": {}}},
]


def call(r, n):
    arguments = {"city": r.choice(ODD), "days": [1, 2.5, None, True, -0.0, 1e30], "z": {"b": 1, "a": {}}}
    f = {"name": "weather", "arguments": arguments if n % 4 else json.dumps(arguments)}
    return {"id": "call%05d" % n if n % 5 else "x", "type": "function", "function": f} if n % 7 else f


def conversation(r, n):
    out = [{"role": "system", "content": r.choice(ODD)}] if n % 2 else []
    for k in range(r.randrange(0 if n % 9 == 8 else 1, 9)):
        m = {"role": "assistant" if k % 2 else "user", "content": r.choice(ODD)}
        if n % 5 == 4 and k < 2:
            m["content"] = [{"type": "text", "text": r.choice(ODD)}, {"type": "image"}, {"type": "text", "text": "end"}]
        if k % 2 and n % 3 == 0:
            m["tool_calls"] = [call(r, n + i) for i in range(1 if n % 4 else 2)]
            if n % 6 == 0:
                m["content"] = None
            out += [m, {"role": "tool", "content": r.choice(ODD + [{"content": "c"}, ["a", 1]]), "tool_call_id": "call00001", "name": "weather"}]
            continue
        if k % 2 and n % 4 == 1:
            m["reasoning_content"] = r.choice(ODD)
        out.append(m)
    if n % 11 == 10:
        out.append(dict(out[-1]) if out else {"role": "odd", "content": "x"})
    return out


def variables_of(r, n):
    v = {"messages": conversation(r, n), "tools": TOOLS[:n % 3] or None, "add_generation_prompt": n % 2 == 0, "documents": None}
    if n % 8:
        v["bos_token"], v["eos_token"] = "<s>", "</s>"
    if n % 4 == 2:
        v["enable_thinking"] = n % 8 == 2
    if n % 13 == 5:
        v["documents"] = [{"title": "T", "text": r.choice(ODD)}]
    return v


def table(program, folder):
    named = subprocess.run([program, "--named"], stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
    out = [(named[i], named[i + 1]) for i in range(0, len(named) - 1, 2)]
    folders = [folder] + [x for x in [os.environ.get("TERN_TEMPLATES")] if x]
    for f in folders:
        out += [(name, open(os.path.join(f, name), encoding="utf-8").read()) for name in sorted(os.listdir(f)) if name.endswith(".jinja")]
    if len(folders) == 1:
        print("TERN_TEMPLATES is not set: no templates but those of the tree")
    return out


# ---- random templates

TEXTS = ["'a b'", "'é,x'", "s", "t", "'<b>&'", "'A_b-c'", "' x\\n y '", "'12'", "'-3.5'", "'ǆß'", "''", "w"]
LEAF = TEXTS + ["1", "0", "-3", "2.5", "none", "true", "false", "u", "x", "[3,1,2]", "{'a': 1, 'b': [2]}", "(1, 2)", "['b', 'A', 'a']", "m", "ms", "n", "range(4)",
                "[{'a': 2, 'b': 'y'}, {'a': 1, 'b': 'X'}]"]
FILTERS = ["length", "trim", "string", "list", "first", "last", "tojson", "default(1)", "int", "float", "join('-')", "reverse|list", "sort", "items|list", "dictsort", "max",
           "sum", "abs", "unique|list", "capitalize", "replace('a', 'b')", "indent(2)", "map('string')|list", "select|list", "selectattr('a')|list", "upper", "lower", "title",
           "round", "round(1)", "min", "count", "d('z', true)", "sort(reverse=true)", "sort(attribute='a')", "map(attribute='a')|list", "map('upper')|join", "rejectattr('a', 'eq', 1)|list",
           "reject('odd')|list", "select('string')|list", "batch(2)|list", "slice(2)|list", "groupby('a')", "groupby('b')|list", "wordcount", "tojson(indent=2)", "trim('ab ')",
           "replace('', '.', 2)", "indent(width=3, first=true)", "join(attribute='b')", "sum(attribute='a')", "map('int')|sum", "tojson(sort_keys=true)", "tojson(separators=(',', ':'))",
           "attr('a')", "format(1, 2)", "center(9)", "truncate(5)", "truncate(6, true, '..', 0)", "int(7)", "float(1.5)", "escape", "e|string", "safe", "map('length')|list", "items|first",
           "round(method='floor')", "unique(true)|list", "max(attribute='a')", "dictsort(by='value')", "map('default', 2)|list", "select('in', [1, 2])|list", "selectattr('b', 'defined')|list",
           "tojson(ensure_ascii=true)", "map('nosuch')|length", "join(1, 2, 3)", "default(value=1)", "reverse", "list|length", "batch(0)|list", "batch(2, 'z')|list", "slice(3, 'z')|list"]
TESTS = ["defined", "none", "string", "mapping", "iterable", "sequence", "number", "odd", "true", "eq 1", "boolean", "integer", "float", "undefined", "even", "false", "in [1, 'a b']",
         "callable", "lower", "upper", "divisibleby(2)", "gt(1)", "lt 2", "ne 1", "equalto('a')", "ge 0", "sameas none", "eq(1, 2)", "le(s)"]
METHODS = ["strip()", "split()", "split(',')", "upper()", "startswith('a')", "replace('a', '')", "title()", "find('b')", "lstrip(' a')", "foo", "rsplit(' ', 1)", "splitlines()", "split(' ', 1)",
           "split(maxsplit=1)", "rsplit()", "rsplit(none, 1)", "endswith(('b', 'c'))", "lower()", "capitalize()", "count('a')", "rfind('a')", "index('a')", "join(['x', 'y'])", "isdigit()", "isalpha()",
           "partition(' ')", "rpartition(',')", "zfill(9)", "ljust(8, '.')", "rjust(8)", "center(9, '*')", "removeprefix('a')", "removesuffix('c')", "isspace()", "strip('a c')", "find('a', 2)",
           "startswith('b', 1)", "count('')", "format(1, 2)", "split('')", "strip(1)", "isupper()", "islower()", "rstrip('c')", "replace('a', 'X', 1)", "replace(old='a', new='b')", "splitlines(true)"]
OPS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "and", "or", "in", "not in", "<=", ">", "**"]


def expr(r, d):
    if d <= 0 or r.random() < 0.2:
        return r.choice(LEAF)
    e = lambda: expr(r, d - 1)
    k = r.randrange(14)
    if k == 0:
        op = r.choice(OPS)
        return f"({e()} {op} {r.choice(['2', '0', '-1', '0.5', 'n']) if op == '**' else e()})"
    if k == 1:
        return f"{e()}|{r.choice(FILTERS)}"
    if k == 2:
        return f"({e()} is {r.choice(['', 'not '])}{r.choice(TESTS)})"
    if k == 3:
        return f"({e()} if {e()}{r.choice([' else ' + e(), ''])})"
    if k == 4:
        return f"{r.choice(['s', 't', 'm', 'ms', 'w', '(' + e() + ')'])}[{r.choice(['0', '-1', chr(39) + 'a' + chr(39), 'n', e()])}]"
    if k == 5:
        return f"{r.choice(['s', 't', 'w', 's', r.choice(TEXTS)])}.{r.choice(METHODS)}"
    if k == 6:
        return f"[{e()}, {e()}]"
    if k == 7:
        return f"(not {e()})"
    if k == 8:
        return f"{r.choice(['m', 'x', 's', 'u', 'ms', 'ns', e()])}.{r.choice(['a', 'b', 'get(' + chr(39) + 'a' + chr(39) + ')', 'items()', 'keys()|list', 'values()|list', '_x', 'items', 'n', 'c', 'd', 'copy()', 'count(1)', 'append(1)', 'pop()'])}"
    if k == 9:
        return f"{r.choice(['s', 't', 'ms', 'w', '[3,1,2]', 'ms', '(1, 2)'])}[{r.choice(['1:', ':-1', '::-1', '::2', '1:3', '-2:', ':n', '2:1', '5:', '::-2', 'none:1', ':'])}]"
    if k == 10:
        return f"({{'a': {e()}, 'c': {e()}}})"
    if k == 11:
        return f"{r.choice(['f', 'g', 'f', 'range', 'dict'])}({', '.join([e() for _ in range(r.randrange(3))] + r.choice([[], [], ['y=' + e()], ['*[1, 2]'], ['**m']]))})"
    if k == 12:
        return f"({e()} {r.choice(['%', '~', '+', '==', '<', 'in'])} {e()} {r.choice(['*', '-', '==', '<', '~'])} {e()})"
    return f"('%s-%{r.choice(['s', 'd', '5s', '.2f', '-4d', '03d', '%', 'x', 'r', '(a)s'])}' % {r.choice([e(), '(' + e() + ', ' + e() + ')', 'm', '(1, 2)'])})"


def body(r, d, loop=False):
    out = []
    for _ in range(r.randrange(1, 4)):
        a, b = r.choice(["{%", "{%-", "{%+"]), r.choice(["%}", "-%}", "+%}"])
        e = lambda: expr(r, r.choice([0, 1, 1, 2]))
        w = r.choice(["\n", "  ", " \n ", "t", "", "\n\n", "  t\n", "\u00a0 ", "\r\n"])
        k = r.randrange(16) if d else r.randrange(4)
        inner = lambda l=loop: body(r, d - 1, l)
        if k == 0:
            t = r.choice(["{{ %s }}", "{{- %s }}", "{{ %s -}}"]) % e()
        elif k == 1:
            t = f"{a} set {r.choice(['x', 'x', 's', 'ns.n', 'x, t', 'w'])} = {e()} {b}"
        elif k == 2:
            t = r.choice(["{# c #}", "{#- c -#}", "text", "{{ x }}", "{{ loop.index }}", "{{ ns.n }}", "{{ s }}", "{#+ c +#}"])
        elif k == 3:
            t = f"{a} {r.choice(['break', 'continue']) if loop else 'set y = x'} {b}" if r.random() < 0.3 else "{{ [x, y, s] }}"
        elif k == 4:
            t = f"{a} if {e()} {b}{inner()}{r.choice(['', a + ' elif ' + e() + ' ' + b + inner(), ''])}{a} else {b}{inner()}{a} endif {b}"
        elif k in (5, 6, 7):
            again, calls = (" recursive", r.choice(["", "{{ loop.depth }}", "{%% if x is iterable and x is not string and loop.depth < 4 %%}{{ loop(%s) }}{%% endif %%}" % r.choice(["x", "x.b", "m", e()])])) if r.random() < 0.15 else ("", "")
            head = r.choice(["x in " + e(), "x in ms", "k, v in m.items()", "x in s", "x in range(3)", "a, b in [(1, 2), 'yz']", "k, v in m|items"])
            t = f"{a} for {head}{r.choice(['', ' if x', ' if loop', ''])}{again} {b}{inner(True)}{calls}{{{{ {r.choice(['loop.index', 'loop.last', 'loop.first', 'loop.length', 'loop.revindex0', 'loop.previtem', 'loop.nextitem', 'loop.cycle(1, 2)', 'loop.changed(x)', 'x', 'k'])} }}}}{r.choice([a + ' else ' + b + 'e', ''])}{a} endfor {b}"
        elif k == 8:
            t = f"{a} macro {r.choice('fg')}({r.choice(['x', 'x, y=' + e(), '', 'x=1, y=s'])}) {b}{body(r, d - 1)}{r.choice(['', '{{ varargs }}', '{{ kwargs }}', '{{ caller() }}', '{{ caller(1) }}', '{{ x }}'])}{a} endmacro {b}{{{{ f({e()}) }}}}"
        elif k == 9:
            t = f"{a} set {r.choice(['s', 'x', 's|upper', 'x|trim|length'])} {b}{inner()}{a} endset {b}{{{{ s }}}}"
        elif k == 10:
            t = f"{a} call{r.choice(['', '(z)', '(z=2)'])} {r.choice('fg')}({e()}) {b}{body(r, d - 1)}{{{{ z }}}}{a} endcall {b}"
        elif k == 11:
            t = f"{a} with {r.choice(['q = ' + e(), 'x = 1, q = x', ''])} {b}{inner()}{{{{ q }}}}{a} endwith {b}"
        elif k == 12:
            t = f"{a} filter {r.choice(['upper', 'trim', 'replace(1, 2)', 'indent', 'length', 'title|e', 'default'])} {b}{inner()}{a} endfilter {b}"
        elif k == 13:
            t = f"{a} generation {b}{body(r, d - 1)}{a} endgeneration {b}"
        elif k == 14:
            t = f"{a} raw {r.choice(['%}', '-%}'])}{r.choice(['  {{ x }}', '{% if %}', ' ', ''])}{a} endraw {b}"
        else:
            t = f"{a} set ns = namespace({r.choice(['', 'n=' + e(), 'm', 'n=1, k=2'])}) {b}"
        out += [w, t, w]
    return "".join(out)


def mangled(r, t):
    """Now and then something that no parser should take."""
    if r.random() < 0.12:
        i = r.randrange(len(t) + 1)
        return t[:i] + r.choice(["", "{{", "}}", "{%", "%}", "(", "]", " if ", "|", "'", "is", "{% endif %}", "1_0", "0x1F", "~", ",", "not ", "{% else %}", "."]) + t[i + r.randrange(3):]
    return t


RANDOM_VARIABLES = {"m": {"a": "k", "b": [1, "é"], "d": None}, "ms": [{"a": 1, "b": "x"}, {"a": 2, "b": "Y"}, {"b": "z"}], "n": 2, "t": "x y\u00a0Z,ß\nab", "w": "aXb aab"}

# ---- comparing


def rendered(program, cases):
    data = "".join(t + "\0" + json.dumps(v, ensure_ascii=False) + "\0" for t, v in cases).encode()
    return subprocess.run([program, "--stdin"], input=data, stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")


def compare(program, cases, may_lack):
    """(bad, refused, lacking); cases: (name, template, variables)"""
    bad = refused = lacking = 0
    got = rendered(program, [(t, v) for _, t, v in cases])
    for (name, t, v), mine in zip(cases, got):
        want = expected(t, v)
        no = mine.startswith("-")
        refused += no
        if no and "not supported" in mine and may_lack:
            lacking += 1
            continue
        if isinstance(want, Exception) != no or (not no and want != mine[1:]):
            if no and isinstance(want, str) and ("beyond 64 bits" in mine or "at most" in mine):
                lacking += 1
                continue
            bad += 1
            if bad <= int(os.environ.get("TERN_SHOWN", "6")):
                shown = f"{json.dumps(v, ensure_ascii=False)[:1500]}\n" if v is not RANDOM_VARIABLES else ""
                print(f"{name}: {t[:3000]!r}\n  {shown}  jinja2 {want!r}\n  here   {mine!r}")
    return bad, refused, lacking


def letters(program):
    """How every character changes case: Python's own, without jinja2, which would take long."""
    template = "{% for x in t.split('|') %}{{ x.upper() }}|{{ x.lower() }}|{{ (x ~ 'A').capitalize() }}\n{% endfor %}"
    points = [chr(c) for c in range(1, 0x110000) if not 0xd800 <= c < 0xe000]
    blocks = ["|".join(points[i:i + 4096]) for i in range(0, len(points), 4096)]
    got = rendered(program, [(template, {"t": b}) for b in blocks])
    return sum("+" + "".join(f"{x.upper()}|{x.lower()}|{(x + 'A').capitalize()}\n" for x in b.split("|")) != g for b, g in zip(blocks, got))


def main():
    program, folder, n, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    r = random.Random(seed)
    templates = table(program, folder)
    cases = [(name, t, variables_of(r, k)) for name, t in templates for k in range(40)]
    bad, refused, lacking = compare(program, cases, False)
    print(f"{len(templates)} templates with 40 conversations each: {refused} refused by both, {bad} differ")
    odd = letters(program)
    print(f"letters: {odd} blocks of 4096 characters differ")
    total = bad + odd
    for start in range(0, n, 1000):
        cases = [("random", mangled(r, "{% set s = 'ab a, c' %}{% set x = 5 %}{% macro f(x, y=1) %}({{ x }},{{ y }}){% endmacro %}" + body(r, 2)), RANDOM_VARIABLES)
                 for _ in range(min(1000, n - start))]
        bad, refused, lacking = compare(program, cases, True)
        print(f"random templates: {len(cases)}, {refused} refused, of which {lacking} as not supported; {bad} differ")
        total += bad
    return total > 0


if __name__ == "__main__":
    sys.exit(main())
