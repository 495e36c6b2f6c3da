# SPDX-License-Identifier: MIT
"""tinyllm with blocks that leave the pool, encoded, and return: the share of tokens chosen as
without, over at least 256 steps. Raw blocks must give bit-identical logits; each codec at least the
share stated below.

usage: tier_agreement.py --build DIR [--table]
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys

# A share of the tokens: the measured one, less a margin for changes of the compiler.
LEAST = {"bf16": 0.97, "fp16": 0.97, "int8": 0.97, "rice": 0.97, "fp8": 0.90, "k8v4": 0.90, "int4": 0.90,
         "rotated4": 0.85, "prune-magnitude": 0.5}
SHAPE = ["--layers", "2", "--dim", "64", "--heads", "2", "--tokens", "320", "--batch", "2", "--sequences",
         "4", "--seed", "3", "--kv-offload", "32"]

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--build", type=pathlib.Path, required=True)
parser.add_argument("--table", action="store_true", help="every codec, as rows of a table")
arguments = parser.parse_args()
env = {**os.environ, "LD_LIBRARY_PATH": str(arguments.build / "tests/simgpu")}


def run(*codec):
    done = subprocess.run([str(arguments.build / "tests/workloads/tinyllm"), *SHAPE, *codec], env=env,
                          stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"tinyllm {' '.join(codec)}: exit {done.returncode}")
    agreed, chosen = map(int, re.search(r"agreement (\d+) of (\d+)", done.stdout).groups())
    raw, encoded = map(int, re.search(r"(\d+) bytes became (\d+)", done.stdout).groups())
    plain, offloaded = (re.search(rf"^logits {word}([0-9a-f]+)$", done.stdout, re.M).group(1)
                        for word in ("", "offloaded "))
    longest = max(len(line.split()) - 5 for line in done.stdout.splitlines()
                  if line.startswith("sequence"))
    assert chosen >= 256 and longest >= 256, (chosen, longest)
    return agreed / chosen, plain == offloaded, encoded / raw, chosen


share, equal, _, steps = run()
if share != 1 or not equal:
    sys.exit(f"plain blocks: {share:.4f} of the tokens, logits equal: {equal}")
for name in LEAST if arguments.table else ("rice", "int4"):
    share, equal, size, steps = run("--kv-codec", name)
    print(f"| `{name}` | {share:.1%} of {steps} | {size:.2f} |")
    if share < LEAST[name]:
        sys.exit(f"{name}: {share:.4f} of the tokens, at least {LEAST[name]} were expected")
    if equal:
        sys.exit(f"{name}: the logits are those without it: nothing was encoded")
