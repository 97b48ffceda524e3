#!/usr/bin/env python3
"""Writes the tokenizer of a GGUF file (tokenizer.ggml.model gpt2) as the plain text that tests/text reads:
    from_gguf.py model.gguf > model.vocab
One line each: `pre`, `bos`, `eos`, `add_bos` with their values; then in the order of ids and ranks
`t TYPE TEXT` a token, `m LEFT RIGHT` a merge, `g LEFT RIGHT` a merge and the normal token that it makes."""
import struct
import sys


def read(path):
    data, pos = open(path, "rb").read(), 0

    def take(fmt):
        nonlocal pos
        pos += struct.calcsize("<" + fmt)
        return struct.unpack_from("<" + fmt, data, pos - struct.calcsize("<" + fmt))[0]

    def text():
        nonlocal pos
        n = take("Q")
        pos += n
        return data[pos - n:pos].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            kind, n = take("I"), take("Q")
            return [value(kind) for _ in range(n)]
        return take({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])

    assert data[:4] == b"GGUF"
    pos = 4
    take("I"), take("Q")
    keys = {}
    for _ in range(take("Q")):
        name = text()
        keys[name] = value(take("I"))
    return {k[len("tokenizer.ggml."):]: v for k, v in keys.items() if k.startswith("tokenizer.ggml.")}


def main():
    k = read(sys.argv[1])
    out = ["pre " + k["pre"]] if "pre" in k else []
    for name, key in (("bos", "bos_token_id"), ("eos", "eos_token_id"), ("add_bos", "add_bos_token")):
        if key in k:
            out.append("%s %d" % (name, k[key]))
    merges, tokens, rank = k["merges"], k["tokens"], 0
    for text, kind in zip(tokens, k["token_type"]):
        if rank < len(merges) and kind == 1 and text == merges[rank].replace(" ", "") and len(text) > 1:
            out.append("g " + merges[rank])
            rank += 1
        else:
            out.append("t %d %s" % (kind, text))
    out += ["m " + m for m in merges[rank:]]
    sys.stdout.buffer.write(("\n".join(out) + "\n").encode())


main()
