#!/usr/bin/env python3
"""Makes a folder of Hugging Face of a GGUF whose tensors are all F32, for tests of the way back.

    gguf_folder.py IN.gguf FOLDER FILES

The weights go to FILES files of safetensors, with an index if there are several. Rows of q and k that a GGUF has in pairs
(llama, minicpm) become halves again. Needs Python 3 alone."""
import json
import os
import struct
import sys

KINDS = ["B", "b", "H", "h", "I", "i", "f", "?", None, None, "Q", "q", "d"]
CLASSES = {"bitnet-b1.58": "BitNetForCausalLM", "bitnet-25": "BitNetForCausalLM", "bitnet": "BitnetForCausalLM",
           "llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
           "minicpm": "MiniCPMForCausalLM"}
NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
         "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "attn_sub_norm": "self_attn.attn_sub_norm", "attn_output": "self_attn.o_proj",
         "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_sub_norm": "mlp.ffn_sub_norm", "ffn_down": "mlp.down_proj"}


class Gguf:
    def __init__(self, data):
        self.data, self.at = data, 8
        n_tensors, n_keys = self.number("Q"), self.number("Q")
        self.keys = {}
        for _ in range(n_keys):
            name = self.text()
            self.keys[name] = self.value(self.number("I"))
        table = []
        for _ in range(n_tensors):
            name = self.text()
            shape = [self.number("Q") for _ in range(self.number("I"))][::-1]
            kind, offset = self.number("I"), self.number("Q")
            assert kind == 0, "%s is of type %d, expected F32" % (name, kind)
            table.append((name, shape, offset))
        begin = (self.at + 31) // 32 * 32
        self.tensors = []
        for name, shape, offset in table:
            n = 4
            for d in shape:
                n *= d
            self.tensors.append((name, shape, data[begin + offset:begin + offset + n]))

    def number(self, kind):
        value, = struct.unpack_from("<" + kind, self.data, self.at)
        self.at += struct.calcsize("<" + kind)
        return value

    def text(self):
        n = self.number("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, n = self.number("I"), self.number("Q")
            return [self.value(inner) for _ in range(n)]
        return self.number(KINDS[kind])


def halves(data, rows, heads):
    """Rows of each head: first those at even places, then the others."""
    size, head = len(data) // rows, rows // heads
    order = [h * head + i for h in range(heads) for i in list(range(0, head, 2)) + list(range(1, head, 2))]
    return b"".join(data[r * size:(r + 1) * size] for r in order)


def main(path, folder, files):
    with open(path, "rb") as f:
        g = Gguf(f.read())
    arch = g.keys["general.architecture"]
    key = lambda name, *other: g.keys.get(arch + "." + name, *other)
    heads, kv, hidden = key("attention.head_count"), key("attention.head_count_kv"), key("embedding_length")
    layers = key("block_count")
    c = {"architectures": [CLASSES[arch]], "hidden_size": hidden, "intermediate_size": key("feed_forward_length"),
         "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv,
         "head_dim": key("attention.key_length", hidden // heads), "vocab_size": len(g.keys["tokenizer.ggml.tokens"]),
         "max_position_embeddings": key("context_length"), "rms_norm_eps": key("attention.layer_norm_rms_epsilon"),
         "hidden_act": "relu2" if arch in ("bitnet-b1.58", "bitnet-25") else "silu",
         "rope_theta": key("rope.freq_base", 10000.0), "bos_token_id": g.keys["tokenizer.ggml.bos_token_id"],
         "eos_token_id": g.keys["tokenizer.ggml.eos_token_id"]}
    if arch == "minicpm":
        c.update(scale_emb=key("embedding_scale", 12.0), scale_depth=key("residual_scale", 1.4 / layers ** 0.5) * layers ** 0.5,
                 dim_model_base=hidden / key("logit_scale", hidden / 256))
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(c, f)
    tensors = []
    for name, shape, data in g.tensors:
        part = name.split(".")
        turned = arch in ("llama", "minicpm") and part[-2] in ("attn_q", "attn_k")
        if turned:
            data = halves(data, shape[0], heads if part[-2] == "attn_q" else kv)
        prefix = "model.layers.%s." % part[1] if part[0] == "blk" else ""
        tensors.append((prefix + NAMES[part[-2]] + "." + part[-1], shape, data))
    where = {}
    for i in range(files):
        name = "model.safetensors" if files == 1 else "model-%d-of-%d.safetensors" % (i + 1, files)
        own = tensors[i::files]
        head, at = {"__metadata__": {"format": "pt"}}, 0
        for key_, shape, data in own:
            head[key_] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
            at += len(data)
            where[key_] = name
        text = json.dumps(head).encode()
        with open(os.path.join(folder, name), "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in own))
    if files > 1:
        with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
            json.dump({"weight_map": where}, f)
    tokens, types = g.keys["tokenizer.ggml.tokens"], g.keys["tokenizer.ggml.token_type"]
    tok = {"added_tokens": [{"id": i, "content": t, "special": types[i] == 3} for i, t in enumerate(tokens) if types[i] in (3, 4)],
           "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
           "post_processor": None,
           "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens) if types[i] not in (3, 4)},
                     "merges": g.keys.get("tokenizer.ggml.merges", [])}}
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump(tok, f)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
