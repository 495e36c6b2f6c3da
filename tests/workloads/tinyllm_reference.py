#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks tinyllm against the textbook: the same transformer, written plainly, in double precision.

Runs the program named on the command line with a tiny model, computes the logits of every printed
step again from the printed tokens, and compares the best ones. The weights are generated here a
second time and compared with what --save-weights wrote; a run with --weights must print the same.
"""
import math
import struct
import subprocess
import sys
import tempfile

LAYERS, DIM, HEADS, VOCAB, SEED, TOP = 2, 16, 2, 40, 11, 4
HIDDEN = (8 * DIM // 3 + 31) // 32 * 32
HEAD = DIM // HEADS
SHAPE = f"--layers {LAYERS} --dim {DIM} --heads {HEADS} --vocab {VOCAB}".split()
RUN = f"--batch 3 --sequences 5 --tokens 12 --seed {SEED} --top {TOP}".split()
MODEL = [("embedding", VOCAB, DIM, 1), ("final_norm", 1, DIM, 0), ("head", VOCAB, DIM, DIM)]
LAYER = [
    ("attention_norm", 1, DIM, 0), ("query", DIM, DIM, DIM), ("key", DIM, DIM, DIM),
    ("value", DIM, DIM, DIM), ("output", DIM, DIM, DIM), ("feed_norm", 1, DIM, 0),
    ("gate", HIDDEN, DIM, DIM), ("up", HIDDEN, DIM, DIM), ("down", DIM, HIDDEN, HIDDEN),
]
MASK = (1 << 64) - 1


def mix(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def generate(tensor, rows, columns, inputs):
    scale, centre = (math.sqrt(3 / inputs), 0.0) if inputs else (0.1, 1.0)
    stream = mix(mix(SEED) ^ tensor)
    values = [centre + scale * ((mix(stream ^ i) >> 40) / 8388608 - 1) for i in range(rows * columns)]
    return [values[i : i + columns] for i in range(0, len(values), columns)]


def weights():
    """The model's matrices and each layer's, and all values in the order of the file."""
    tensors, flat = [], []
    for group in [MODEL] + [LAYER] * LAYERS:
        tensors.append({})
        for name, rows, columns, inputs in group:
            number = sum(len(part) for part in tensors)
            matrix = generate(number, rows, columns, inputs)
            tensors[-1][name] = matrix
            flat += [value for row in matrix for value in row]
    return tensors[0], tensors[1:], flat


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix]


def normalise(vector, gain):
    scale = 1 / math.sqrt(sum(x * x for x in vector) / len(vector) + 1e-5)
    return [x * scale * g for x, g in zip(vector, gain[0])]


def rotate(vector, position):
    rotated = []
    for pair in range(0, DIM, 2):
        angle = position * 10000 ** (-(pair % HEAD) / HEAD)
        a, b = vector[pair], vector[pair + 1]
        rotated += [
            a * math.cos(angle) - b * math.sin(angle),
            a * math.sin(angle) + b * math.cos(angle),
        ]
    return rotated


def attend(query, keys, values):
    mixed = []
    for first in range(0, DIM, HEAD):
        part = slice(first, first + HEAD)
        scores = [sum(a * b for a, b in zip(query[part], k[part])) / math.sqrt(HEAD) for k in keys]
        top = max(scores)
        powers = [math.exp(score - top) for score in scores]
        for column in range(first, first + HEAD):
            mixed.append(sum(p * v[column] for p, v in zip(powers, values)) / sum(powers))
    return mixed


def logits_of(model, layers, tokens):
    """The logits after each token of one sequence."""
    caches = [([], []) for _ in layers]
    for position, token in enumerate(tokens):
        x = list(model["embedding"][token])
        for layer, (keys, values) in zip(layers, caches):
            norm = normalise(x, layer["attention_norm"])
            keys.append(rotate(times(layer["key"], norm), position))
            values.append(times(layer["value"], norm))
            mixed = attend(rotate(times(layer["query"], norm), position), keys, values)
            x = [a + b for a, b in zip(x, times(layer["output"], mixed))]
            norm = normalise(x, layer["feed_norm"])
            gate, up = times(layer["gate"], norm), times(layer["up"], norm)
            hidden = [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up)]
            x = [a + b for a, b in zip(x, times(layer["down"], hidden))]
        yield times(model["head"], normalise(x, model["final_norm"]))


def run(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def parse(output):
    sequences, tops = {}, {}
    for line in output.splitlines():
        kind, *words = line.split()
        if kind == "sequence":
            sequences[int(words[0])] = [int(word) for word in words[4:]]
        elif kind == "top":
            pairs = [word.split(":") for word in words[2:]]
            tops[int(words[0]), int(words[1])] = [(int(t), float(v)) for t, v in pairs]
    return sequences, tops


def worst_difference(model, layers, sequences, tops):
    """Largest error of a printed logit, and of the best ones' values as they are ranked."""
    worst, compared = 0.0, 0
    for index, tokens in sequences.items():
        for position, logits in enumerate(logits_of(model, layers, tokens[:-1])):
            best = sorted(logits, reverse=True)
            for rank, (token, value) in enumerate(tops.pop((index, position))):
                worst = max(worst, abs(logits[token] - value), abs(best[rank] - value))
                compared += 1
    return worst, compared


def main():
    model, layers, flat = weights()
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/weights"
        output = run(sys.argv[1:] + SHAPE + RUN + ["--save-weights", file])
        with open(file, "rb") as stream:
            data = stream.read()
        again = run(sys.argv[1:] + RUN + ["--weights", file])
    assert data[:8] == b"TINYLLM1"
    assert struct.unpack("<5i", data[8:28]) == (LAYERS, DIM, HEADS, VOCAB, HIDDEN)
    stored = struct.unpack(f"<{(len(data) - 28) // 4}f", data[28:])
    assert len(stored) == len(flat)
    assert max(abs(a - b) for a, b in zip(stored, flat)) < 1e-6, "weights differ"
    assert again == output, "a run with --weights prints something else"

    sequences, tops = parse(output)
    assert len(sequences) == 5 and len(tops) > 30
    worst, compared = worst_difference(model, layers, sequences, tops)
    assert not tops, "steps printed that no sequence has"
    print(f"{compared} logits compared, largest difference {worst:.2g}")
    assert worst < 1e-3, "logits differ"


if __name__ == "__main__":
    main()
