# SPDX-License-Identifier: MIT
"""Kills a process with SIGKILL at random moments while it offloads blocks into a folder; entries listed in
the folder afterwards are whole and correct, nothing else is served, and the budget holds.

usage: tier_killed.py --build DIR [--runs N] [--seed N]

A preload makes the disk slow, so that most kills meet a half-written file. All runs use the same folder, so
each run starts from the state left by the previous one.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--build", type=pathlib.Path, required=True)
parser.add_argument("--runs", type=int, default=15)
parser.add_argument("--seed", type=int, default=20261129)
arguments = parser.parse_args()
program = str(arguments.build / "tests/engine/tier_program")
slow = {**os.environ, "LD_PRELOAD": str(arguments.build / "tests/engine/libtier_slow.so")}
draw = random.Random(arguments.seed)

named = unfinished = 0
with tempfile.TemporaryDirectory(prefix="cupool-tier-") as outside:
    folder = pathlib.Path(outside) / "tier"
    run = 0
    # If the writer itself is slow, the first kills may come before any file.
    while run < arguments.runs or (not (named and unfinished) and run < 20 * arguments.runs):
        writer = subprocess.Popen([program, "write", str(folder)], stdout=subprocess.PIPE, env=slow)
        if not writer.stdout.readline():
            sys.exit(f"run {run}: the writer did not start: {writer.wait()}")
        time.sleep(draw.uniform(0, 0.06))
        writer.kill()
        writer.wait()
        unfinished += len(list(folder.glob("tmp.*")))
        whole = {path.name: path.stat().st_size for path in folder.glob("*.kv")}
        checked = subprocess.run([program, "verify", str(folder)], stdout=subprocess.PIPE, text=True)
        if checked.returncode != 0:
            sys.exit(f"run {run} (seed {arguments.seed}): {checked.returncode}: {checked.stdout}")
        seen = json.loads(checked.stdout)
        named += seen["named"]
        assert seen["corrupt"] == 0, (run, seen)
        assert seen["named"] == len(whole), (run, seen, len(whole))
        assert sum((size + 4095) // 4096 * 4096 for size in whole.values()) <= seen["budget"], run
        assert not list(folder.glob("tmp.*")), "what was being written is gone"
        run += 1
print(f"{run} kills, seed {arguments.seed}: {named} entries named, all whole; "
      f"{unfinished} were being written")
if named == 0 or unfinished == 0:
    sys.exit("the kills met nothing: no entry, or none half written")
