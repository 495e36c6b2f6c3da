#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the choice of the free memory that a growth takes costs as much as there are places to take.

The program harvest frees places in mapped memory and allocates one block that needs all of them;
callgrind counts the instructions of the choice, with few places and with many. Exit 77: no valgrind.
"""

import re
import shutil
import subprocess
import sys

SKIPPED = 77
FEW, MANY = 250, 4000
# The tree of free places is deeper beside many.
MOST = 2.0


def spent(program, places, shape):
    """Instructions of the choice, for each place."""
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--toggle-collect=plan_harvest", "--callgrind-out-file=/dev/null",
         program, str(places), shape], capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    # Without those beside the block, which stay where they are.
    stitched = re.match(r"(\d+) of (\d+) MiB", done.stdout)
    if done.returncode or not found or not stitched or int(stitched[1]) * 10 < int(stitched[2]) * 8:
        sys.exit(f"{places} places, {shape}: {done.stdout}{done.stderr}")
    return int(found[1]) / places


def main():
    if not shutil.which("valgrind"):
        print("skipped: no valgrind")
        return SKIPPED
    failures = 0
    for shape in ("equal", "mixed", "ragged"):
        few, many = (spent(sys.argv[1], places, shape) for places in (FEW, MANY))
        print(f"{shape}: {few:.0f} instructions for each of {FEW} places, {many:.0f} for each of {MANY}: "
              f"x{many / few:.2f}")
        failures += few < 100 or many > few * MOST
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
