"""Compares tests/text_chat_render --stdin with npm's @huggingface/jinja; see test_chat_npm.sh. Arguments: the program, the folder
tests/data/chat and the folder where the package is. What the package does otherwise than jinja2 stands in DEVIATIONS; the conversations keep
out of its way, and templates that cannot are named in APART."""
import json, os, random, subprocess, sys
import chat_jinja

# name: (template, what jinja2 and this interpreter print, None: refuse)
DEVIATIONS = {
    "str() of none is empty": ("{{ 'a' ~ none }}{{ none }}", "aNoneNone"),
    "str() of a list or dict is JSON": ("{{ ['a', {'b': true}] }}", "['a', {'b': True}]"),
    "true and false are small": ("{{ 1 == 1 }}", "True"),
    "-0.0 is 0": ("{{ [x]|tojson }}", "[-0.0]"),
    "strip takes no characters": ("{{ '\\n a'.lstrip('\\n') }}", " a"),
    "trim takes no characters": ("{{ 'xax'|trim('x') }}", "a"),
    "trim needs a string": ("{{ [1]|trim }}", "[1]"),
    "string needs a number, a string or a list": ("{{ {'a': 1}|string }}", "{'a': 1}"),
    "a list is added to a string": ("{{ 'a' + [1] }}", None),
    "dicts are equal only if they are one": ("{{ 1 if {'a': 1} == {'a': 1} else 2 }}", "1"),
    "~ refuses what is undefined": ("{{ 'a' ~ nothing }}", "a"),
    "items refuses what is undefined": ("{% for k, v in nothing|items %}{% endfor %}", ""),
    "keys of a dict must be strings": ("{{ {1: 2}[1] }}", "2"),
    "some filters are absent": ("{{ nothing|d('x') }}{{ 'a'|e }}{{ 'a'|center(3) }}", "xa a "),
    "% needs numbers": ("{{ '%d' % 1 }}", "1"),
    "a filter block has one filter": ("{% filter upper|trim %} a {% endfilter %}", "A"),
    "loops do not call themselves": ("{% for x in [] recursive %}{% endfor %}", ""),
    "loops have no cycle": ("{% for x in [1] %}{{ loop.cycle('a', 'b') }}{% endfor %}", "a"),
    "joiner and cycler are absent": ("{% set j = joiner() %}{{ j() }}", ""),
    "continue drops what the turn printed": ("{% for x in [1] %}a{% continue %}{% endfor %}", "a"),
    "some methods are absent": ("{{ 'a,b'.partition(',')[0] }}", "a"),
    "comparisons are no chains": ("{{ 1 if 1 < 3 < 2 else 2 }}", "2"),
}

# What a template uses of these in every way of asking; the names are those above.
APART = {
    "alternate.jinja": "dicts are equal only if they are one",
    "bracket_calls.jinja": "dicts are equal only if they are one",
    "bracket_roles.jinja": "continue drops what the turn printed",
    "budget.jinja": "keys of a dict must be strings",
    "flags_in_system.jinja": "string needs a number, a string or a list",
    "ledger.jinja": "a filter block has one filter",
    "outline.jinja": "loops do not call themselves",
    "suffixes.jinja": "some filters are absent",
    "thinking.jinja": "trim takes no characters",
    "typescript.jinja": "joiner and cycler are absent",
    "xml_calls.jinja": "items refuses what is undefined",
}

PLAIN = ["hi", "two\n\nlines", "é漢字 🙂 'q' \"d\" \\ {{ x }}", "<think>\nhm\n</think>\n\nyes", "<|im_end|>", "a\u0001b", "{% raw %}", "y\r\nz",
         "ÀÉß ΣΑΣ straße", "<tool>1</tool>", "0" * 300]


def plain(v):
    """The same, without what DEVIATIONS speaks of."""
    if isinstance(v, dict):
        return {k: plain(x) if k != "content" or isinstance(x, str) else PLAIN[len(json.dumps(x)) % len(PLAIN)] for k, x in v.items()}
    if isinstance(v, list):
        return [plain(x) for x in v]
    if isinstance(v, str) and v in chat_jinja.ODD and v not in PLAIN:
        return PLAIN[len(v) % len(PLAIN)]
    return 0.5 if isinstance(v, float) and v == 0 else v


def of_npm(folder, cases):
    data = "".join(t + "\0" + json.dumps(v, ensure_ascii=False) + "\0" for t, v in cases).encode()
    here = os.path.dirname(os.path.abspath(__file__))
    out = subprocess.run(["node", os.path.join(here, "chat_npm.mjs"), folder], input=data, stdout=subprocess.PIPE, check=True)
    return out.stdout.decode().split("\0")


def alike(a, b):
    return a == b or (a[:1] == "-" and b[:1] == "-")


def main():
    program, data, folder = sys.argv[1:4]
    r, bad = random.Random(5), 0
    for name, (template, want) in DEVIATIONS.items():
        case = [(template, {"x": -0.0})]
        mine, theirs = chat_jinja.rendered(program, case)[0], of_npm(folder, case)[0]
        if not alike(mine, "-" if want is None else "+" + want) or alike(mine, theirs):
            print(f"{name}: here {mine!r}, npm {theirs!r}, expected {want!r} here alone")
            bad += 1
    cases = []
    for name, t in chat_jinja.table(program, data):
        for k in range(40):
            v = plain(chat_jinja.variables_of(r, k))
            v.setdefault("bos_token", "<s>"), v.setdefault("eos_token", "</s>")
            cases.append((name, t, v))
    pairs = [(t, v) for _, t, v in cases]
    differ = {}
    for (name, t, v), mine, theirs in zip(cases, chat_jinja.rendered(program, pairs), of_npm(folder, pairs)):
        if not alike(mine, theirs):
            differ.setdefault(name, []).append((v, mine, theirs))
    for name, all in differ.items():
        if name in APART:
            continue
        bad += len(all)
        v, mine, theirs = all[-1]
        at = next((i for i, (a, b) in enumerate(zip(mine, theirs)) if a != b), 0)
        print(f"{name}, {len(all)} of 40: {json.dumps(v, ensure_ascii=False)[:int(os.environ.get('TERN_SHOWN', '300'))]}\n  here {mine[max(0, at - 60):at + 60]!r}\n  npm  {theirs[max(0, at - 60):at + 60]!r}")
    for name in APART:
        if name in [n for n, _, _ in cases] and name not in differ:
            print(f"{name}: does not differ, though said to")
            bad += 1
    print(f"{len(cases)} renderings of {len(cases) // 40} templates, {len(DEVIATIONS)} deviations, {len(APART)} templates apart; {bad} faults")
    return bad > 0


sys.exit(main())
