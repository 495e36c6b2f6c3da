# SPDX-License-Identifier: MIT
"""On a device of 1 GiB the pool serves the requests that the driver alone serves, up to the share
in docs/allocator.md: blocks of all sizes from 256 B to 4 MiB, and large blocks of 4 to 32 MiB among
small ones; 5,000 allocations. The last on a device of 16 GiB, too, where handles of mapped memory
are larger. --table prints all rows.

usage: tight_device.py --build BUILD [--table]
"""

import argparse
import os
import pathlib
import subprocess
import sys

ALLOCATIONS, SEEDS = 5000, (1, 2, 3)
WAYS = {"alone": None, "driver": "mode:pool,trace:off", "vmm": "mode:pool,backing:vmm,trace:off"}
LIVE = (600, 660, 700, 720, 760, 800)
MIXED_LIVE, MIXED_PERCENTS = (880, 910, 940, 960, 980), (20, 5)
# The rows that are checked: MiB live, percent of large blocks.
CHECKED = ((600, 0), (700, 0), (940, 20), (940, 5))
# Allocations that may fail, of 5,000: (way, MiB live, percent of large blocks); all others none.
MOST = {("driver", 940, 5): 3}


# A larger device: MiB live, allocations, percent of large blocks.
LARGE_DEVICE = (15040, 30000, 20)


def failed(build, way, live, seed, large_percent=0, memory="1GiB", allocations=ALLOCATIONS):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("CUPOOL", "LD_", "SIMGPU_"))}
    env.update(LD_LIBRARY_PATH=str(build / "tests/simgpu"), SIMGPU_MEMORY=memory)
    if WAYS[way]:
        env.update(LD_PRELOAD=str(build / "shim/libcupool.so"), CUPOOL=WAYS[way])
    done = subprocess.run([build / "tests/bench/tight_device", str(live), str(allocations), str(seed),
                           str(large_percent)], env=env, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[0])


def row(build, live, large_percent=0):
    """Failed allocations by way, for each seed; prints the line of the table."""
    found = {way: [failed(build, way, live, seed, large_percent) for seed in SEEDS] for way in WAYS}
    print(f"| {live} | " + " | ".join(", ".join(map(str, counts)) for counts in found.values()) + " |")
    return found


def heading():
    print("| MiB live | " + " | ".join(WAYS) + " |\n|---|" + "---|" * len(WAYS))


def tables(build):
    heading()
    for live in LIVE:
        row(build, live)
    for percent in MIXED_PERCENTS:
        print(f"\n{percent} % of 4 to 32 MiB, the others up to 64 KiB:\n")
        heading()
        for live in MIXED_LIVE:
            row(build, live, percent)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--table", action="store_true", help="all sizes, as tables for docs/allocator.md")
    options = parser.parse_args()
    build = options.build.resolve()
    if options.table:
        tables(build)
        return 0
    live, allocations, percent = LARGE_DEVICE
    count = failed(build, "vmm", live, SEEDS[0], percent, "16GiB", allocations)
    print(f"{live} MiB of 16 GiB live: vmm {count}")
    return int(count > 0 or any(max(counts) > MOST.get((way, live, percent), 0)
                   for live, percent in CHECKED for way, counts in row(build, live, percent).items()))


if __name__ == "__main__":
    sys.exit(main())
