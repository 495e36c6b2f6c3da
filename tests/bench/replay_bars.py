#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks mapped memory against its limits (docs/allocator.md): capacity, reserved memory and driver calls of
traces.

  replay_bars.py TRACE_REPLAY DIRECTORY

All figures are counts on a device inside the program, so they are the same everywhere. The traces
are not part of the source; without DIRECTORY only the synthetic ones run.
"""
import json
import os
import subprocess
import sys
import tempfile

NEVER = float("inf")
# Trace: R, minCap, driver calls per 1,000 operations, first and second replay.
BARS = {
    2: {
        "S_1": (1.065, 1.010, NEVER, NEVER),
        "pangu_2": (1.065, 1.014, NEVER, NEVER),
        "resnet50": (1.065, 1.002, NEVER, NEVER),
        "x4096": (NEVER, 1.001, NEVER, NEVER),
        "x1000": (NEVER, 1.022, NEVER, NEVER),
    },
    "default": {
        "S_1": (1.065, 1.011, 10, 4),
        "pangu_2": (1.065, 1.017, 46, 4),
        "resnet50": (1.065, 1.007, 210, 4),
        "x4096": (1.09, 1.001, NEVER, NEVER),
        "kv from 16 KiB": (1.07, 1.011, 5, 4),
        "kv from 256 KiB": (1.07, 1.011, 5, 4),
        "kv from 4096 KiB": (1.07, 1.011, 5, 4),
        "x1000": (1.15, 1.022, NEVER, NEVER),
        "kv from 32768 KiB": (1.07, 1.017, 5, 4),
        "layers": (1.07, 1.007, 5, 4),
    },
}
FIGURES = (("overhead", 3, "R"), ("min_capacity", 3, "minCap"),
           ("cold_segment_calls", 1, "calls"), ("warm_segment_calls", 1, "calls again"))


def replayed(program, page, directory):
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        where = [directory] if os.path.isdir(directory) else ["--synthetic"]
        subprocess.run([program, "--capacity", "--mapped", str(page), "--json", file.name, *where],
                       check=True, stdout=subprocess.DEVNULL)
        return json.load(file)


def main():
    program, directory = sys.argv[1:3]
    held, missed = 0, 0
    for page, bars in BARS.items():
        rows = replayed(program, page, directory)
        for trace, bar in bars.items():
            group = [row for row in rows if row["trace"] == trace or row["trace"].endswith(" " + trace)]
            for (figure, digits, name), most in zip(FIGURES, bar):
                if not group or most == NEVER:
                    continue
                value = round(sum(row[figure] for row in group) / len(group), digits)
                held += value <= most
                missed += value > most
                verdict = "" if value <= most else "  MISSED"
                print(f"page {page:7}  {trace:18} {name:12} {value:8} of {most}{verdict}")
    print(f"{held} held, {missed} missed" + ("" if os.path.isdir(directory) else "; no traces here"))
    return missed > 0 or held == 0


if __name__ == "__main__":
    sys.exit(main())
