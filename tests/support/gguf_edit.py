#!/usr/bin/env python3
"""Edits a GGUF file, for tests that need an odd one.

    gguf_edit.py IN OUT EDIT...
        KEY=TYPE:VALUE     sets a metadata key; TYPE: u8 i8 u16 i16 u32 i32 f32 bool str u64 i64 f64, or hex (a string,
                           its bytes in hex), or TYPE[] with values between commas
        -KEY               removes a key
        tensor:NAME*X      multiplies the scale of an I2_S tensor, or every value of an F32 one, by X
        tensor:NAME@I=X    element I of an F32 tensor becomes X (inf and nan are fine)
        -tensor:NAME       removes a tensor
        +tensor:NAME       adds an F32 tensor that holds one 1

For little-endian files of version 3. Tensors move, but keep their bytes."""
import re
import struct
import sys

NAMES = "u8 i8 u16 i16 u32 i32 f32 bool str arr u64 i64 f64".split()
FORMATS = dict(u8="B", i8="b", u16="H", i16="h", u32="I", i32="i", f32="f", bool="?", u64="Q", i64="q", f64="d")


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, kind):
        value, = struct.unpack_from("<" + FORMATS[kind], self.data, self.at)
        self.at += struct.calcsize(FORMATS[kind])
        return value

    def string(self):
        n = self.number("u64")
        self.at += n
        return self.data[self.at - n:self.at]

    def value(self, kind):
        if kind == "str":
            return self.string()
        if kind == "arr":
            of = NAMES[self.number("u32")]
            return of, [self.value(of) for _ in range(self.number("u64"))]
        return self.number(kind)


def number(kind, value):
    return struct.pack("<" + FORMATS[kind], value)


def string(value):
    return number("u64", len(value)) + value


def packed(kind, value):
    if kind == "str":
        return string(value)
    if kind == "arr":
        of, values = value
        return number("u32", NAMES.index(of)) + number("u64", len(values)) + b"".join(packed(of, v) for v in values)
    return number(kind, value)


def parsed(kind, text):
    if kind.endswith("[]"):
        of = kind[:-2]
        return "arr", (of, [parsed(of, t)[1] for t in text.split(",")] if text else [])
    if kind == "hex":
        return "str", bytes.fromhex(text)
    if kind == "str":
        return "str", text.encode()
    if kind == "bool":
        return kind, text == "true"
    return kind, float(text) if kind in ("f32", "f64") else int(text, 0)


def main(source, target, edits):
    r = Reader(open(source, "rb").read())
    assert r.data[:4] == b"GGUF", source
    r.at = 8
    n_tensors, n_keys = r.number("u64"), r.number("u64")
    keys = {}
    for _ in range(n_keys):
        name = r.string().decode()
        kind = NAMES[r.number("u32")]
        keys[name] = kind, r.value(kind)
    tensors = {}
    for _ in range(n_tensors):
        name = r.string().decode()
        dims = [r.number("u64") for _ in range(r.number("u32"))]
        tensors[name] = dims, r.number("u32"), r.number("u64")
    align = keys.get("general.alignment", (0, 32))[1]
    base = -(-r.at // align) * align
    ends = sorted([t[2] for t in tensors.values()] + [len(r.data) - base])
    data = {}
    for name, (dims, kind, at) in tensors.items():
        data[name] = bytearray(r.data[base + at:base + ends[ends.index(at) + 1]])
    for edit in edits:
        if m := re.fullmatch(r"\+tensor:(.+)", edit, re.S):
            tensors[m[1]] = [1], 0, 0
            data[m[1]] = bytearray(struct.pack("<f", 1.0))
        elif m := re.fullmatch(r"-tensor:(.+)", edit):
            del tensors[m[1]]
        elif m := re.fullmatch(r"tensor:(.+)\*(.+)", edit):
            dims, kind, _ = tensors[m[1]]
            count = 1
            for d in dims:
                count *= d
            first, last = {36: (count // 4, count // 4 + 4), 0: (0, 4 * count)}[kind]
            for at in range(first, last, 4):
                value, = struct.unpack_from("<f", data[m[1]], at)
                struct.pack_into("<f", data[m[1]], at, value * float(m[2]))
        elif m := re.fullmatch(r"tensor:(.+)@(\d+)=(.+)", edit):
            assert tensors[m[1]][1] == 0, m[1]
            struct.pack_into("<f", data[m[1]], 4 * int(m[2]), float(m[3]))
        elif m := re.fullmatch(r"-(.+)", edit):
            del keys[m[1]]
        else:
            m = re.fullmatch(r"([^=]+)=([a-z0-9]+(?:\[\])?):(.*)", edit, re.S)
            keys[m[1]] = parsed(m[2], m[3])
    align = keys.get("general.alignment", (0, 32))[1]
    out = bytearray(r.data[:8] + number("u64", len(tensors)) + number("u64", len(keys)))
    for name, (kind, value) in keys.items():
        out += string(name.encode()) + number("u32", NAMES.index(kind)) + packed(kind, value)
    at = 0
    for name, (dims, kind, _) in tensors.items():
        out += string(name.encode()) + number("u32", len(dims)) + b"".join(number("u64", d) for d in dims)
        out += number("u32", kind) + number("u64", at)
        at += -(-len(data[name]) // align) * align
    for name in tensors:
        out += bytes(-len(out) % align) + data[name]
    open(target, "wb").write(out)


if len(sys.argv) < 3:
    sys.exit(__doc__)
main(sys.argv[1], sys.argv[2], sys.argv[3:])
