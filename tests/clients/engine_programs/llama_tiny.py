# SPDX-License-Identifier: MIT
"""llama.cpp through ctransformers: a model of two layers with weights at random, on the device.

usage: llama_tiny.py FOLDER     (the model is written there)
"""

import pathlib
import random
import struct
import sys

from ctransformers import AutoModelForCausalLM

WORDS, WIDTH, HEADS, LAYERS, FEED, CONTEXT = 512, 256, 4, 2, 512, 512
U32, I32, F32, STRING, ARRAY = 4, 5, 6, 8, 9
TOKENS = 8


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def array(key, kind, values, encode):
    return pair(key, ARRAY, struct.pack("<IQ", kind, len(values)) + b"".join(map(encode, values)))


def pairs():
    words = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)),
             *(f"t{i}" for i in range(WORDS - 259))]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (WORDS - 259)]
    numbers = {"llama.context_length": CONTEXT, "llama.embedding_length": WIDTH,
               "llama.block_count": LAYERS, "llama.feed_forward_length": FEED,
               "llama.rope.dimension_count": WIDTH // HEADS, "llama.attention.head_count": HEADS,
               "llama.attention.head_count_kv": HEADS, "general.file_type": 1,
               "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2}
    return [pair("general.architecture", STRING, text("llama")),
            pair("general.name", STRING, text("tiny")),
            pair("tokenizer.ggml.model", STRING, text("llama")),
            *(pair(key, U32, struct.pack("<I", value)) for key, value in numbers.items()),
            pair("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
            array("tokenizer.ggml.tokens", STRING, words, text),
            array("tokenizer.ggml.scores", F32, [0.0] * WORDS, lambda x: struct.pack("<f", x)),
            array("tokenizer.ggml.token_type", I32, kinds, lambda x: struct.pack("<i", x))]


def tensors():
    """(name, shape, 16 bits)"""
    yield "token_embd.weight", (WORDS, WIDTH), True
    yield "output_norm.weight", (WIDTH,), False
    yield "output.weight", (WORDS, WIDTH), True
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}{name}.weight", (WIDTH, WIDTH), True
        for name in ("attn_norm", "ffn_norm"):
            yield f"{block}{name}.weight", (WIDTH,), False
        yield f"{block}ffn_gate.weight", (FEED, WIDTH), True
        yield f"{block}ffn_up.weight", (FEED, WIDTH), True
        yield f"{block}ffn_down.weight", (WIDTH, FEED), True


def model_write(path):
    """GGUF, version 2."""
    seeded, infos, data, count = random.Random(0), b"", b"", 0
    for name, shape, half in tensors():
        data += bytes(-len(data) % 32)
        infos += text(name) + struct.pack("<I", len(shape))
        infos += b"".join(struct.pack("<Q", each) for each in reversed(shape))
        infos += struct.pack("<IQ", 1 if half else 0, len(data))
        values = 1
        for each in shape:
            values *= each
        data += struct.pack(f"<{values}{'e' if half else 'f'}",
                            *(seeded.gauss(0, 1) for _ in range(values)))
        count += 1
    found = pairs()
    head = b"GGUF" + struct.pack("<IQQ", 2, count, len(found)) + b"".join(found) + infos
    path.write_bytes(head + bytes(-len(head) % 32) + data)


def main():
    path = pathlib.Path(sys.argv[1]) / "tiny.gguf"
    if not path.exists():
        model_write(path)
    model = AutoModelForCausalLM.from_pretrained(str(path), model_type="llama", lib="cuda",
                                                 gpu_layers=LAYERS + 2, context_length=CONTEXT,
                                                 local_files_only=True)
    prompt = [1, *range(260, 268)]  # its tokenizer makes one token per letter, and bytes are more
    model.eval(prompt)
    for token in range(TOKENS):  # fixed ones: computed values are meaningless
        model.eval([260 + token])
    print("prompt", len(prompt), "tokens", TOKENS)


main()
