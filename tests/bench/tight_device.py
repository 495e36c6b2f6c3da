# SPDX-License-Identifier: MIT
"""On a device of 1 GiB the pool serves the requests that the driver alone serves, up to the share
in docs/allocator.md: blocks of all sizes from 256 B to 4 MiB, 5,000 allocations.

usage: tight_device.py --build BUILD [--table]
"""

import argparse
import os
import pathlib
import subprocess
import sys

ALLOCATIONS, SEEDS = 5000, (1, 2, 3)
WAYS = {"alone": None, "driver": "mode:pool,trace:off", "vmm": "mode:pool,backing:vmm,trace:off"}
LIVE = (600, 620, 640, 660, 680, 700)
# Allocations that may fail, of 5,000: (way, MiB live); all others none.
MOST = {("driver", 680): 30, ("driver", 700): 30}


def failed(build, way, live, seed):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("CUPOOL", "LD_", "SIMGPU_"))}
    env.update(LD_LIBRARY_PATH=str(build / "tests/simgpu"), SIMGPU_MEMORY="1GiB")
    if WAYS[way]:
        env.update(LD_PRELOAD=str(build / "shim/libcupool.so"), CUPOOL=WAYS[way])
    done = subprocess.run([build / "tests/bench/tight_device", str(live), str(ALLOCATIONS), str(seed)],
                          env=env, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--table", action="store_true", help="all sizes, as a table for docs/allocator.md")
    options = parser.parse_args()
    build, wrong = options.build.resolve(), 0
    if options.table:
        print("| MiB live | " + " | ".join(WAYS) + " |\n|---|" + "---|" * len(WAYS))
    for live in LIVE if options.table else (LIVE[0], LIVE[-1]):
        found = {way: [failed(build, way, live, seed) for seed in SEEDS] for way in WAYS}
        print(f"| {live} | " + " | ".join(", ".join(map(str, counts)) for counts in found.values()) + " |")
        wrong += sum(max(counts) > MOST.get((way, live), 0) for way, counts in found.items())
    return 1 if wrong and not options.table else 0


if __name__ == "__main__":
    sys.exit(main())
