# SPDX-License-Identifier: MIT
"""Checks the counts of the tensor and transfer benchmarks: driver calls by method, bytes staged, no heap call in
the steady state.

usage: transfer_figures.py TENSOR_BENCH TRANSFER_BENCH"""

import json
import math
import os
import subprocess
import sys

BATCH = 1024  # descriptors of one call


def run(program, *words):
    done = subprocess.run([program, "--json", "--quick", *words], stdout=subprocess.PIPE, check=False,
                          env=os.environ, text=True)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(words)}: exit {done.returncode}")
    return json.loads(done.stdout)


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got}, not {wanted}")


def tensors(program):
    figures = run(program)
    expect("heap calls of the tensor cache", figures["heap_calls"], 0)
    expect("hits are many", figures["hits"] > 50 * figures["misses"] / 10, True)
    expect("other shapes fit", figures["fits"] >= 4000 * 10, True)


def transfers(program):
    for row in run(program, "--host")["rows"]:
        expect(f"heap calls of {row}", row["heap_calls"], 0)
    for row in run(program)["rows"]:
        count, size, way = row["fragments"], row["fragment_bytes"], row["way"]
        calls = {"copy": count, "batch": math.ceil(count / BATCH), "kernel": math.ceil(count / BATCH),
                 "joined": 1}.get(way)
        # A single fragment needs no batched call.
        expect(f"calls of {row}", row["driver_calls"], row["driver_calls"] if calls is None else calls)
        expect(f"staged bytes of {row}", row["staged_bytes"], count * size if way == "ring" else 0)
        expect(f"joined of {row}", row["joined"], count - 1 if way == "joined" else 0)
        if way in ("batch", "kernel") and count > 1 and row["copies"] == 0:
            expect(f"descriptors of {row}", row["descriptors"], count)


if __name__ == "__main__":
    tensors(sys.argv[1])
    transfers(sys.argv[2])
    print("ok")
