"""Random JSON schemas: every text that a grammar of one allows must be valid by python3-jsonschema.

usage: schemas.py WALKER SCHEMAS [SEED]

WALKER is the program of tests/support/schema_walk.c. Prints what was tried; ends with 1 at the first text that is not
valid, and shows it with its schema.
"""
import json
import random
import subprocess
import sys

import jsonschema

NAMES = ["name", "na", "names", "id", "x", "y", "tags", "é", "a b", 'q"', "item", ""]
VALUES = ["red", "green", "", 'a"b', "é", 1, -2.5, 0, 1e3, True, None, ["x", 1], {"k": None}]
PATTERNS = ["^[a-z]+$", "^\\d{3}-\\d{2}$", "^(ab|c)*x?$", "^[^a-y0-9]{1,4}$", "^\\w+@\\w+\\.[a-z]{2,3}$", "^.$", '^"\\\\?$', "^\\S\\D\\W$",
            "^[\\s\\-]?$", "^(?:[A-F0-9]{2} ?){1,3}$"]
FORMATS = ["date", "time", "date-time", "uuid", "ipv4"]
TYPES = ["string", "integer", "number", "boolean", "null", "array", "object"]


def some(r, chance):
    return r.random() < chance


def integer(r):
    s = {"type": "integer"}
    lo = r.choice([0, 1, -1, 5, -17, 99, 100, -1000, r.randint(-10**6, 10**6), r.randint(-10**12, 10**12)])
    if some(r, 0.5):
        s[r.choice(["minimum", "exclusiveMinimum"])] = lo
    if some(r, 0.5):
        s[r.choice(["maximum", "exclusiveMaximum"])] = lo + r.choice([0, 1, 2, 9, 90, 12345, 10**9])
    return s


def number(r):
    s = {"type": "number"}
    lo = r.choice([0, 1, -1, -3, 0.5, -2.25, 10, 1000, r.randint(-10**5, 10**5), -10**10])
    if some(r, 0.4):
        s[r.choice(["minimum", "exclusiveMinimum"])] = lo
    if some(r, 0.4):
        s[r.choice(["maximum", "exclusiveMaximum"])] = lo + r.choice([0, 1, 1.5, 2, 30, 10**6])
    return s


def string(r):
    s = {"type": "string"}
    what = r.random()
    if what < 0.3:
        lo = r.randint(0, 3)
        if some(r, 0.7):
            s["minLength"] = lo
        if some(r, 0.7):
            s["maxLength"] = lo + r.randint(0, 4)
    elif what < 0.5:
        s["pattern"] = r.choice(PATTERNS)
    elif what < 0.65:
        s["format"] = r.choice(FORMATS)
    return s


def array(r, depth, refs):
    s = {"type": "array"}
    if some(r, 0.75):
        s["items"] = schema(r, depth - 1, refs)
    if some(r, 0.2):
        s["prefixItems"] = [schema(r, depth - 1, refs) for _ in range(r.randint(0, 3))]
    lo = r.randint(0, 3)
    if some(r, 0.3):
        s["minItems"] = lo
    if some(r, 0.3):
        s["maxItems"] = lo + r.randint(0, 3)
    if some(r, 0.05):
        s["uniqueItems"] = True
    return s


def members(r, depth, refs):
    s = {}
    names = r.sample(NAMES, r.randint(0, 4))
    if names or some(r, 0.5):
        s["properties"] = {n: schema(r, depth - 1, refs) for n in names}
    if some(r, 0.6):
        s["required"] = [n for n in names if some(r, 0.6)]
        if some(r, 0.1):
            s["required"].append(r.choice(NAMES))
        s["required"] = list(dict.fromkeys(s["required"]))
    if some(r, 0.4):
        s["additionalProperties"] = r.choice([True, False, schema(r, depth - 1, refs)])
    return s


def choice(r, depth, refs):
    word = r.choice(["anyOf", "oneOf"])
    if word == "oneOf" and some(r, 0.6):  # apart by a tag
        parts = []
        for tag in r.sample(["a", "b", "c"], r.randint(2, 3)):
            m = members(r, depth, refs)
            m["type"] = "object"
            m.setdefault("properties", {})["tag"] = {"const": tag}
            m["required"] = m.get("required", []) + ["tag"]
            parts.append(m)
        s = {word: parts}
    else:
        s = {word: [schema(r, depth - 1, refs) for _ in range(r.randint(1, 3))]}
    if some(r, 0.25):
        s.update(members(r, depth, refs))
        s["type"] = "object"
    elif some(r, 0.1):
        s.update(array(r, depth, refs))
    elif some(r, 0.1):
        s["type"] = r.sample(TYPES, r.randint(1, 3))
    return s


def schema(r, depth, refs):
    what = r.random()
    if refs and what < 0.12:
        s = {"$ref": r.choice(refs)}
        if some(r, 0.2):
            s.update(r.choice([{"description": "x"}, {"maxLength": 5}, {"minimum": 1}, {"required": ["x"]}]))
        return s
    if depth <= 0 or what < 0.5:
        return r.choice([integer, number, string, string, lambda r: {"type": "boolean"}, lambda r: {"type": "null"},
                         lambda r: {"enum": r.sample(VALUES, r.randint(1, 4))}, lambda r: {"const": r.choice(VALUES)},
                         lambda r: {"type": r.choice(TYPES), "enum": r.sample(VALUES, 4)},
                         lambda r: r.choice([{}, True])])(r)
    if what < 0.55:
        s = {}
        for part in (string(r), integer(r), members(r, depth, refs)):
            if some(r, 0.6):
                s.update(part)
        s["type"] = r.sample(TYPES, r.randint(1, 3))
        return s
    if what < 0.68:
        return array(r, depth, refs)
    if what < 0.78:
        return choice(r, depth, refs)
    if what < 0.85:
        part = array if some(r, 0.25) else members
        return {"allOf": [part(r, depth, refs) if some(r, 0.7) else schema(r, depth - 1, refs)
                          for _ in range(r.randint(1, 3))]}
    s = members(r, depth, refs)
    if some(r, 0.8):
        s["type"] = "object"
    return s


def whole(r):
    defs = r.sample(["A", "B", "C"], r.randint(0, 3))
    refs = ["#/$defs/" + d for d in defs] + (["#"] if some(r, 0.1) else [])
    s = schema(r, 3, refs)
    if s is True or not s:
        s = {"type": "object"}
    if defs:
        s["$defs"] = {d: schema(r, 2, refs) for d in defs}
    return s


def main():
    walker, count = sys.argv[1], int(sys.argv[2])
    r = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    schemas = [whole(r) for _ in range(count)]
    lines = "".join(json.dumps(s) + "\n" for s in schemas).encode()
    run = subprocess.run([walker, str(r.randint(1, 10**6))], input=lines, stdout=subprocess.PIPE)
    if run.returncode:
        sys.exit("the walker ended with %d" % run.returncode)
    out, at, texts, refused = run.stdout, 0, 0, {}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER

    def line():
        nonlocal at
        end = out.index(b"\n", at)
        got, at = out[at:end], end + 1
        return got.decode()

    for s in schemas:
        got = line()
        if got.startswith("refused "):
            why = got.split(": ", 1)[-1].split("'")[0]
            refused[why] = refused.get(why, 0) + 1
            continue
        validator = jsonschema.Draft202012Validator(s, format_checker=checker)
        for _ in range(int(got.split()[1])):
            n = int(line())
            text, at = out[at : at + n], at + n + 1
            try:
                validator.validate(json.loads(text.decode()))
            except (ValueError, jsonschema.ValidationError) as e:
                sys.exit("not valid: %s\nby: %s\n%s" % (text.decode(errors="replace"), json.dumps(s), str(e)[:500]))
            texts += 1
    made = count - sum(refused.values())
    print("%d schemas, %d with a grammar, %d texts, all valid" % (count, made, texts))
    if "-v" in sys.argv:
        for why, n in sorted(refused.items(), key=lambda x: -x[1]):
            print("%6d %s" % (n, why))
    if made < count // 3 or texts < made:
        sys.exit("too few grammars or texts to tell anything")


main()
