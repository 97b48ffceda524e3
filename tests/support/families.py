#!/usr/bin/env python3
"""families.py BUILD TOOLS [--some] [--list] [--numbers] [--verify] [--choose] [REGEX]: families of models against an implementation
that shares nothing with this one, on every level.

TOOLS is the folder of make_model.py, which writes models with random weights, and reference.py, a model in double. A case is a
shape, a type of ternary weights, a layout of their scales and the types of embedding and head. For each case:

  numbers   `tern logits --kv f32` of 40 tokens against the model in double: the relative error of a row is below 1e-5 up to the first
            row that some activation of which is so near to the boundary of two int8 codes that float32 may round the other way
            (--ties of reference.py); from there on below 2e-2. The seed is the first of which 30 rows come before such a row. A row
            that is off without such an activation fails at any seed. Two large shapes have so many activations in a row that none of
            60 seeds has 30 such rows; they have tokens of their own, which --choose found.
  bits      the code of every level gives the evaluator's logits to the bit: avx2, avx512-vnni, amx (in software where the
            machine has none), neon, neon-dotprod (under qemu); 1 to 3 threads; steps of 1, 2, 7 and 33 rows.
  verify    with --verify: `tern verify`, which compares every value of the graph too.
  vectors   cases whose file says how rows are pooled: `tern embed` with each pooling against the model in double, before the first tie.
  folders   cases with a layout of Hugging Face: the folder, the GGUF that it is converted to, and the GGUF of the same numbers from
            make_model.py give the same logits to the bit.

--some: the cases of the test cli.reference. --numbers: without the levels. --choose: print tokens with which 30 rows of the model of seed 1
come before a tie; each is the first that a fixed order has; takes minutes. REGEX: the cases whose names it finds. Needs numpy."""
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
token = lambda i: (i * 37 + 11) % 257
IDS = [token(i) for i in range(40)]
NEAR = 1e-6   # a distance from a tie that float32 arithmetic may cross
CLEAR = 5e-7  # one that it seldom crosses
LEAST = 30    # rows before the first tie
SEEDS = 60


class Wrong(Exception):
    pass


class Case:
    """made: arguments of make_model.py without -o and --seed; seeds: to try; layout: of a folder of Hugging Face; few: not every
    number of threads with every kind of steps, for a large model or a short test; quick: the best level alone; flags: of
    `tern compile`, for models that must be a blob; read: arguments of reference.py's Model; ids: the tokens."""

    def __init__(self, name, made, seeds=None, layout=None, few=False, flags=(), read=None, ids=None):
        self.name, self.made, self.seeds, self.layout, self.few, self.quick = name, made, seeds, layout, few, False
        self.flags, self.read, self.ids = list(flags), read or {}, ids or IDS


# --------------------------------------------------------------------------------------------------------------- the cases

# A shape for each architecture and each trait of a family.
TINY = {
    "bitnet-b1.58": ["--shape", "tiny"],
    "bitnet-25": ["--shape", "tiny", "--arch", "bitnet-25", "--untied"],
    "bitnet": ["--shape", "tiny-1bitllm"],
    "llama-falcon-e": ["--shape", "tiny-falcon-e"],
    "llama-falcon3": ["--shape", "tiny-falcon3"],
    "llama-trilm": ["--shape", "tiny-trilm"],
    "llama-deepgrove": ["--shape", "tiny-deepgrove"],
    "qwen2": ["--shape", "tiny-qwen2"],
    "qwen3": ["--shape", "tiny-bonsai"],
    "qwen3-yarn": ["--shape", "tiny-bonsai-8b"],
    "minicpm": ["--shape", "tiny-bitcpm4"],
    "minicpm-longrope": ["--shape", "tiny-bitcpm4-long"],
    "qwen3-embedding": ["--shape", "tiny-emb"],
    "gemma3": ["--shape", "tiny-emb-gemma"],
}
# The layouts of scales that a type can have; a shape takes them in turn.
SCALES = {
    "i2_s": ["tensor"], "tl1": ["tensor"], "tl2": ["tensor"],
    "tq1_0": ["tensor", "group:256", "rows:4"], "tq2_0": ["rows:2", "tensor", "group:256"],
    "iq1_bn": ["row", "tensor"], "iq2_bn": ["tensor", "row"],
    "q2_0": ["group:64", "tensor", "group:128"], "q2_0_g128": ["group:128", "tensor"],
    "pq2_0": ["group:128", "tensor"], "ptq1_0": ["group:128", "rows:2"],
}
TABLES = ["f16", "f32", "bf16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "same"]
PLUS2 = ("q2_0", "pq2_0", "q2_0_g128")
# One real shape for each architecture, with 2 layers and a small vocabulary.
REAL = {
    "bitnet-b1.58": ["--shape", "2b4t", "--vocab", "384"],
    "bitnet-25": ["--shape", "700m", "--arch", "bitnet-25", "--vocab", "384"],
    "bitnet": ["--shape", "1bitllm-3b", "--vocab", "spm"],
    "llama": ["--shape", "falcon-e-1b", "--vocab", "chatml:512"],
    "qwen2": ["--shape", "vibeasr-lm", "--vocab", "chatml:384"],
    "qwen3": ["--shape", "bonsai-1.7b", "--vocab", "chatml:384"],
    "minicpm": ["--shape", "bitcpm4-0.5b", "--vocab", "spm"],
    "qwen3-embedding": ["--shape", "bitnet-emb-0.6b", "--vocab", "chatml:384"],
    "gemma3": ["--shape", "bitnet-emb-270m", "--vocab", "spm"],
}
REAL_TYPES = {"bitnet-b1.58": "i2_s", "bitnet-25": "tl1", "bitnet": "i2_s", "llama": "tq1_0", "qwen2": "i2_s", "qwen3": "pq2_0",
              "minicpm": "tq2_0", "qwen3-embedding": "i2_s", "gemma3": "i2_s"}
# The layouts of folders, and for which shapes they are published or likely.
LAYOUTS = {
    "offline": ["--weights", "i2_s", "--embd", "bf16"], "bitlinear": ["--weights", "i2_s", "--embd", "bf16"],
    "master": ["--weights", "i2_s", "--embd", "bf16"],
    "dense": ["--weights", "tq2_0", "--embd", "f16"], "dense-groups": ["--weights", "pq2_0", "--scales", "group:128", "--embd", "same"],
}


def types_of_shapes():
    for (i, (shape, made)), (j, (kind, scales)) in itertools.product(enumerate(TINY.items()), enumerate(SCALES.items())):
        table = TABLES[(2 * i + j) % len(TABLES)]
        if shape == "llama-deepgrove" and table.endswith("_k"):   # 384 columns
            table = "q8_0"
        flags = made + ["--weights", kind, "--scales", scales[(i + i // 3) % len(scales)], "--embd", table]
        if kind in PLUS2 and i % 2:
            flags += ["--plus2", "0.009"]
        yield Case("%s/%s" % (shape, kind), flags)


# The tokens of those for which no seed up to 60 has 30 rows before a tie. In the model in double the nearest tie of a row of llama's shape is
# 4e-7 away on the average, and rows were off by ties as far as that; of qwen3's it is nearer, as each group of an activation reaches 127.
REAL_IDS = {
    "llama": [11, 159, 198, 15, 126, 237, 17, 202, 239, 19, 56, 241, 58, 60, 171, 245, 25, 62, 29, 177, 214, 68, 142, 181, 218, 35,
              109, 222, 150, 187, 224, 41, 78, 115, 152, 189, 226, 6, 43, 80],
    "qwen3": [87, 200, 237, 93, 132, 210, 31, 255, 6, 232, 86, 14, 238, 129, 168, 22, 63, 174, 104, 73, 87, 161, 167, 132, 245, 99,
              210, 253, 35, 183, 220, 0, 37, 74, 111, 148, 185, 222, 2, 39],
}


def real_shapes():
    for arch, made in REAL.items():
        flags = made + ["--layers", "2", "--weights", REAL_TYPES[arch]]
        yield Case("real/%s" % arch, flags + (["--scales", "group:256"] if REAL_TYPES[arch] == "tq2_0" else []), few=True,
                   ids=REAL_IDS.get(arch))


def folders():
    for shape, (layout, flags) in itertools.product(TINY, LAYOUTS.items()):
        if shape != "minicpm-longrope":   # make_model.py writes no longrope into config.json
            yield Case("folder/%s/%s" % (shape, layout), TINY[shape] + flags, layout=layout.split("-")[0])


# The cases of the test, with their seeds: each architecture, each trait, each layout of folders. Those of WHOLE run on every level.
WHOLE = ("qwen3-pq2_0-yarn",)
LONG = ["--override-kv", "minicpm.rope.scaling.original_context_length=int:39", "-c", "40"]
SOME = [
    Case("qwen3", ["--shape", "tiny-bonsai", "--weights", "tq2_0", "--embd", "f16"]),
    Case("qwen3-all-ternary", ["--shape", "tiny-bonsai", "--weights", "tq2_0"], [3]),
    Case("qwen3-untied", ["--shape", "tiny-bonsai-8b", "--weights", "i2_s", "--embd", "f16", "--yarn", "none"]),
    Case("qwen3-yarn", ["--shape", "tiny-bonsai-8b", "--weights", "tq2_0", "--embd", "f16"], [4]),
    Case("qwen3-groups", ["--shape", "tiny-bonsai-8b", "--weights", "tq1_0", "--scales", "group:256", "--embd", "q6_k"]),
    Case("qwen3-q2_0", ["--shape", "tiny-bonsai", "--weights", "q2_0"], [2]),
    Case("qwen3-pq2_0-yarn", ["--shape", "tiny-bonsai-8b", "--weights", "pq2_0"], [2]),
    Case("qwen3-ptq1_0-yarn", ["--shape", "tiny-bonsai-8b", "--weights", "ptq1_0"], [3]),
    Case("qwen3-window", ["--shape", "tiny-bonsai", "--weights", "i2_s", "--embd", "f16", "--window", "7"]),
    Case("qwen3-embedding", ["--shape", "tiny-emb", "--weights", "i2_s"]),
    Case("gemma3", ["--shape", "tiny-emb-gemma", "--weights", "i2_s"]),
    Case("qwen2", ["--shape", "tiny-qwen2", "--weights", "i2_s"]),
    Case("minicpm", ["--shape", "tiny-bitcpm4", "--weights", "tq2_0", "--scales", "group:256"]),
    Case("minicpm-longrope", ["--shape", "tiny-bitcpm4-long", "--weights", "tq2_0", "--scales", "group:256"], [2]),
    Case("minicpm-long-factors", ["--shape", "tiny-bitcpm4-long", "--weights", "tq2_0"], flags=LONG, read=dict(long_rope=True)),
    Case("llama-falcon-e", ["--shape", "tiny-falcon-e", "--weights", "i2_s"]),
    Case("llama-falcon3", ["--shape", "tiny-falcon3", "--weights", "i2_s"]),
    Case("llama-deepgrove", ["--shape", "tiny-deepgrove", "--weights", "i2_s"]),
    Case("llama-trilm", ["--shape", "tiny-trilm", "--weights", "tq1_0", "--scales", "rows:4"], [4]),
    Case("llama-rope-freqs", ["--shape", "tiny", "--arch", "llama", "--weights", "i2_s", "--rope-freqs"]),
    Case("llama-i8_s", ["--shape", "tiny", "--arch", "llama", "--weights", "i2_s", "--embd", "i8_s"]),
    Case("llama-gelu", ["--shape", "tiny", "--arch", "llama", "--weights", "i2_s", "--act-key", "gelu"]),
    Case("llama-gelu-tanh", ["--shape", "tiny", "--arch", "llama", "--weights", "i2_s", "--act-key", "gelu_pytorch_tanh"]),
    Case("bitnet", ["--shape", "tiny-1bitllm", "--weights", "i2_s"], [3]),
    Case("bitnet-scales", ["--shape", "tiny-1bitllm", "--weights", "tq2_0", "--vocab", "384", "--scale-tensors"]),
    Case("bitnet-b1.58", ["--shape", "tiny", "--weights", "i2_s"]),
    Case("folder-offline", TINY["bitnet-b1.58"] + LAYOUTS["offline"], layout="offline"),
    Case("folder-bitlinear", TINY["llama-falcon3"] + LAYOUTS["bitlinear"], layout="bitlinear"),
    Case("folder-master", TINY["bitnet"] + LAYOUTS["master"], layout="master"),
    Case("folder-embedding", TINY["qwen3-embedding"] + LAYOUTS["offline"], layout="offline"),
    Case("folder-gemma3", TINY["gemma3"] + LAYOUTS["offline"], layout="offline"),
    Case("folder-dense", TINY["qwen2"] + LAYOUTS["dense"], layout="dense"),
    Case("folder-dense-groups", TINY["qwen3-yarn"] + LAYOUTS["dense-groups"], layout="dense"),
]
for some in SOME:
    some.quick, some.few = some.name not in WHOLE, True


# ----------------------------------------------------------------------------------------------------------------- a case

def norms_less_one(folder):
    """Gemma's checkpoints have the weights of norms less 1, which make_model.py leaves in; not those in front of linears."""
    path = os.path.join(folder, "model.safetensors")
    with open(path, "rb") as f:
        raw = f.read()
    size = int.from_bytes(raw[:8], "little")
    head, data = json.loads(raw[8:8 + size]), raw[8 + size:]
    out, made = {}, b""
    for name, t in head.items():
        if name == "__metadata__":
            continue
        x = data[t["data_offsets"][0]:t["data_offsets"][1]]
        if name.endswith("norm.weight") and "_proj" not in name:
            x = np.frombuffer(x, np.uint16)
            x = (x.astype(np.uint32) << 16).view(np.float32) if t["dtype"] == "BF16" else x.view(np.float16).astype(np.float32)
            x, t["dtype"] = (x - 1).astype(np.float32).tobytes(), "F32"
        out[name] = dict(t, data_offsets=[len(made), len(made) + len(x)])
        made += x
    text = json.dumps(out).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + made)


class Sweep:
    def __init__(self, build, tools, verify, numbers):
        sys.path.insert(0, tools)
        import make_model
        import reference
        self.writer, self.reader = make_model, reference
        self.build, self.verify, self.only_numbers = build, verify, numbers
        self.dir, self.ids = tempfile.mkdtemp(), IDS
        version = self.run([self.tern, "--version"])
        levels = re.search(r"cpu levels: ([a-z0-9,-]+)", version)
        self.compiles = "no LLVM" not in version
        self.levels = levels[1].split(",") if self.compiles and levels and levels[1] != "none" else []
        self.target = [] if self.levels else ["--target", "ref"]
        if "avx512-vnni" in self.levels and "amx" not in self.levels:
            self.levels.insert(0, "amx")

    tern = property(lambda self: os.path.join(self.build, "tern"))
    at = lambda self, name: os.path.join(self.dir, name)

    def run(self, command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Wrong("%s: %s" % (" ".join(command[:3]), (done.stderr.strip() or "exit %d" % done.returncode)[-400:]))
        return done.stdout

    def arm(self):
        """The program for aarch64, or None."""
        if not hasattr(self, "_arm"):
            done = subprocess.run(["bash", os.path.join(HERE, "..", "cli", "model_steps_arm.sh"), self.at("arm")], capture_output=True, text=True)
            self._arm = None if done.returncode else self.at("arm")
            if done.returncode:
                print("neon and neon-dotprod are left out: %s" % (done.stdout + done.stderr).strip())
        return self._arm

    def write(self, case, seed, folder=None):
        """The model and its reference: logits in double, and the distance of each row from a tie. None: the type does not fit the shape."""
        path = self.at("m.gguf")
        a, s = self.writer.arguments(case.made + ["--seed", str(seed), "-o", path] + (["--hf", folder, "--hf-layout", case.layout] if folder else []))
        vocab = self.writer.make_vocab(a.vocab)
        try:
            self.writer.build(a, s, vocab)[0].write(path, 1)
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
                w, head = self.writer.build(a, s, vocab)
                self.writer.write_hf(a, s, vocab, head, a.untied, w)
                if a.arch == "gemma3":
                    norms_less_one(folder)
        except (AssertionError, ValueError) as e:
            return str(e) or "the type does not fit"
        self.model = model = self.reader.Model(path, **case.read)
        model.ties = np.zeros(0)
        return model.forward(self.ids), model.ties

    def vectors(self, rows):
        """Texts of as many tokens as there are rows before the first tie, and of fewer."""
        for n, (pooling, number) in itertools.product((1, rows // 2, rows), {"mean": 1, "cls": 2, "last": 3}.items()):
            model = self.reader.Model(self.at("m.gguf"))
            want = model.embed(self.ids[:n], number)
            self.run([self.tern, "embed", self.at("m.gguf"), "--tokens", ",".join(map(str, self.ids[:n])), "--pooling", pooling, "--kv", "f32",
                      "--embd-output-format", "f32", "-o", self.at("vector"), *self.target])
            error = np.sqrt(((np.fromfile(self.at("vector"), "<f4") - want) ** 2).sum())
            if not error < 1e-5:
                raise Wrong("the vector of %d tokens, pooling %s, is off by %.3g" % (n, pooling, error))
        return "; vectors"

    def logits(self, model, rows, flags=()):
        self.run([self.tern, "logits", model, "--tokens", ",".join(map(str, self.ids)), "--kv", "f32", "-o", self.at("got"), *flags])
        return np.fromfile(self.at("got"), "<f4").reshape(rows, -1)

    def numbers(self, case, seed, want, ties):
        """Rows before the first that is off, and the largest errors before and after."""
        model = self.at("m.gguf")
        if case.flags:
            model = self.at("ref.tern")
            self.run([self.tern, "compile", self.at("m.gguf"), "-o", model, "--cpu", "ref", "--kv", "f32", *case.flags])
        got = self.logits(model, len(self.ids), ["--target", "ref"]).astype(np.float64)
        error = np.sqrt(((got - want) ** 2).sum(1) / (want ** 2).sum(1))
        large = [i for i, e in enumerate(error) if not e < 1e-5]
        first = large[0] if large else len(error)
        if large and not min(ties[:first + 1]) < NEAR:
            raise Wrong("seed %d: row %d is off by %.3g, and no tie explains it (nearest %.1e)" % (seed, first, error[first], min(ties[:first + 1])))
        if not error.max() < 2e-2 and first >= LEAST:
            raise Wrong("seed %d: row %d is off by %.3g, expected under 2e-2" % (seed, error.argmax(), error.max()))
        return first, error[:first].max() if first else 0, error.max()

    def bits(self, case):
        """Every level against the evaluator's logits, which are in `got`."""
        os.replace(self.at("got"), self.at("want"))
        if case.quick and not case.flags:
            if self.levels:
                self.logits(self.at("m.gguf"), len(self.ids))
                self.same("the code", "got", "want")
            return [level for level in self.levels if level != "amx"][:1]
        arm = {level: cpu for level, cpu in (("neon", "cortex-a72"), ("neon-dotprod", "max"), ("neon-i8mm", "max")) if level not in self.levels}
        levels = self.levels + (list(arm) if self.compiles and arm and self.arm() else [])
        if not levels:
            return []
        self.run([self.tern, "compile", self.at("m.gguf"), "-o", self.at("m.tern"), "--cpu", ",".join(levels), "--kv", "f32", *case.flags])
        runs = [("1", "33"), ("2", "7"), ("3", "2"), ("2", "1")] if case.few else [("1,2,3", "1,2,7,33")]
        for level, (threads, steps) in itertools.product(levels, runs):
            program = [os.path.join(self.build, "model_steps")]
            if level in arm:
                program = [shutil.which("qemu-aarch64-static") or "qemu-aarch64", "-cpu", arm[level], self.arm()]
            self.run(program + [self.at("m.tern"), level, "f32", self.at("want"), threads, steps] + list(map(str, self.ids)))
        return levels

    def same(self, what, got, want):
        got, want = (np.fromfile(self.at(name), "<u4").reshape(len(self.ids), -1) for name in (got, want))
        if got.shape != want.shape or (got != want).any():
            raise Wrong("%s gives other logits, first in row %d" % (what, np.argmax((got != want).any(1)) if got.shape == want.shape else 0))

    def folder(self, case):
        """A folder, what it is converted to, and make_model.py's GGUF; all through code where there is any, or in a short test by
        evaluation, as it is the weights that are compared. What has master weights and does not say so can only be converted."""
        target = ["--target", "ref"] if case.quick else self.target
        silent = case.layout == "master" and not any(name in case.name for name in ("bitnet", "folder-master"))
        self.run([self.tern, "convert", self.at("hf"), "-o", self.at("c.gguf"), *(["--absmean"] if silent else [])])
        self.logits(self.at("m.gguf"), len(self.ids), target)
        os.replace(self.at("got"), self.at("want"))
        for name in ("c.gguf",) if silent else ("c.gguf", "hf"):
            self.logits(self.at(name), len(self.ids), target)
            self.same("the folder" if name == "hf" else "the GGUF that the folder became", "got", "want")

    def choose(self, case):
        """Tokens whose first rows are neither near a tie in the model in double nor off."""
        self.write(case, 1)
        model, at, taken, rows, ties = self.reader.Model(self.at("m.gguf"), **case.read), 0, [], [], []
        while True:
            while len(taken) < len(IDS):
                n, model.ties = len(taken), np.zeros(0)
                row = model.forward([token(at)])
                if n < LEAST and model.ties[0] < CLEAR:
                    model.k, model.v = [k[:n] for k in model.k], [v[:n] for v in model.v]
                else:
                    taken, rows, ties = taken + [at], rows + [row], ties + [model.ties[0]]
                at += 1
            self.ids = [token(i) for i in taken]
            n = self.numbers(case, 1, np.concatenate(rows), ties)[0]
            if n >= LEAST:
                return "ids=%s" % self.ids
            at = taken[n] + 1
            taken, rows, ties = taken[:n], rows[:n], ties[:n]
            model.k, model.v = [k[:n] for k in model.k], [v[:n] for v in model.v]

    def case(self, case):
        """One line about the case. Raises Wrong."""
        self.ids = case.ids
        for seed in case.seeds or range(1, SEEDS + 1):
            made = self.write(case, seed, self.at("hf") if case.layout else None)
            if isinstance(made, str):
                return "is not there: %s" % made
            rows, before, after = self.numbers(case, seed, *made)
            if rows >= LEAST:
                break
        else:
            raise Wrong("%d rows before the first tie, expected at least %d: choose another seed" % (rows, LEAST))
        line = "seed %2d: %d of %d rows under %.1e" % (seed, rows, len(self.ids), before) + (", the others under %.1e" % after if rows < len(self.ids) else "")
        if case.layout:
            self.folder(case)
            return line + "; folder, converted and GGUF are the same"
        if "%s.pooling_type" % self.model.arch in self.model.g.kv:
            line += self.vectors(rows)
        if self.only_numbers:
            return line
        levels = self.bits(case)
        if self.verify:
            self.run([self.tern, "verify", self.at("m.gguf"), "--tokens", ",".join(map(str, self.ids[:12])), "--kv", "f32"])
        return line + ("; bits of " + ",".join(levels) if levels else "") + (" verified" if self.verify else "")


def main():
    words = [a for a in sys.argv[1:] if not a.startswith("--")]
    flags = [a for a in sys.argv[1:] if a.startswith("--")]
    if len(words) < 2 or set(flags) - {"--some", "--list", "--numbers", "--verify", "--choose"}:
        sys.exit(__doc__)
    cases = SOME if "--some" in flags else list(itertools.chain(types_of_shapes(), real_shapes(), folders(), SOME))
    cases = [c for c in cases if re.search(words[2] if len(words) > 2 else "", c.name)]
    if "--list" in flags:
        print("\n".join("%-32s %s" % (c.name, " ".join(c.made)) for c in cases))
        return
    sweep, bad, none = Sweep(words[0], words[1], "--verify" in flags, "--numbers" in flags), 0, 0
    try:
        for c in cases:
            try:
                line = sweep.choose(c) if "--choose" in flags else sweep.case(c)
                none += line.startswith("is not there")
            except Wrong as e:
                line, bad = "FAILED: %s" % e, bad + 1
            print("%-32s %s" % (c.name, line), flush=True)
    finally:
        shutil.rmtree(sweep.dir)
    print("%d cases, %d failed, %d that the type does not fit" % (len(cases), bad, none))
    sys.exit(bad > 0 or not cases)


if __name__ == "__main__":
    main()
