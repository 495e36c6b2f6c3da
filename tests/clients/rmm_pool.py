#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The model `rmm-pool` of `cupool replay` against RMM's own pool_memory_resource.

Downloads RMM from PyPI into DIRECTORY, builds rmm_pool.cc with its headers, and gives both the same
requests: a sequence with a fixed seed, and the traces, each on one, 3 and 17 streams. Peak, calls
and smallest capacity must be equal. Not a part of the test suite: it downloads, and compiling takes
a minute.
usage: rmm_pool.py --build BUILD [--directory DIRECTORY] [TRACES]
"""

import argparse
import csv
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

PACKAGES = ["librmm-cu13==25.12.0", "rapids-logger==0.2.3"]
HERE = pathlib.Path(__file__).resolve().parent
STREAMS = (1, 3, 17)


def built(directory):
    """The program over RMM's headers, and the folders its libraries are in."""
    program = directory / "rmm_pool"
    libraries = [directory / "librmm/lib64", directory / "rapids_logger/lib64"]
    if not program.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target",
                        str(directory), *PACKAGES], check=True)
        cuda = subprocess.run([str(HERE.parents[1] / "tools/find-cuda")], stdout=subprocess.PIPE,
                              text=True, check=True).stdout.strip()
        folders = [directory / "librmm/include", directory / "librmm/include/rapids",
                   directory / "rapids_logger/include", pathlib.Path(cuda) / "include"]
        subprocess.run(["g++", "-std=c++20", "-O1", "-o", str(program),
                        "-DLIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE",
                        "-DRMM_LOG_ACTIVE_LEVEL=6", *(f"-I{folder}" for folder in folders),
                        str(HERE / "rmm_pool.cc"), *(f"-L{folder}" for folder in libraries), "-lrmm",
                        "-lrapids_logger", "-Wl,--unresolved-symbols=ignore-in-shared-libs"],
                       check=True)
    return program, ":".join(map(str, libraries))


def drawn(seed):
    """Lifetimes of blocks of all sizes."""
    draw = random.Random(seed)
    for time in range(4000):
        yield time, time + draw.randint(1, 200), int(2 ** draw.uniform(3, 25))


def lifetimes(path):
    with open(path, encoding="ascii") as file:
        for row in csv.DictReader(file):
            yield int(row["lower"]), int(row["upper"]), int(row["size"])


def requests(rows, streams):
    """(time, allocates, number, bytes, stream), frees before allocations of the same time."""
    events = []
    for number, (lower, upper, size) in enumerate(row for row in rows if row[2]):
        events += [(lower, 1, number, size, number % streams), (upper, 0, number, size, number % streams)]
    return sorted(events, key=lambda event: event[:2])


def log_write(events, path):
    """As written by RMM's logging adaptor; each request has its own microsecond."""
    with open(path, "w", encoding="ascii") as file:
        file.write("Thread,Time,Action,Pointer,Size,Stream\n")
        for time, (_, allocates, number, size, stream) in enumerate(events):
            seconds, micros = divmod(time, 10 ** 6)
            file.write(f"1,{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06},"
                       f"{'allocate' if allocates else 'free'},{0x1000 + number * 512:#x},{size},"
                       f"{stream * 16 + 256:#x}\n")


def real(program, libraries, events):
    text = "".join(f"{'a' if allocates else 'f'} {number} {size} {stream}\n"
                   for _, allocates, number, size, stream in events)
    done = subprocess.run([str(program)], input=text, stdout=subprocess.PIPE, text=True, check=True,
                          env=dict(os.environ, LD_LIBRARY_PATH=libraries))
    return tuple(map(int, done.stdout.split()))


def model(cupool, path):
    done = subprocess.run([str(cupool), "replay", "-q", "--find-capacity", "-p", "rmm-pool", "--format",
                           "json", str(path)], stdout=subprocess.PIPE, check=True)
    trace = json.loads(done.stdout)["traces"][0]
    row = trace["policies"][0]
    return (trace["peak_requested_bytes"], row["peak_reserved_bytes"], row["driver_calls"],
            row["smallest_capacity_bytes"])


def compare(options, scratch):
    """The number of different cases."""
    program, libraries = built(options.directory or scratch)
    cases = {f"drawn, seed {seed}": list(drawn(seed)) for seed in (1, 2, 3)}
    cases |= {path.stem: list(lifetimes(path)) for path in options.traces}
    wrong = 0
    for name, rows in cases.items():
        for streams in STREAMS:
            events = requests(rows, streams)
            log_write(events, scratch / "log.csv")
            real_one = real(program, libraries, events)
            found = model(options.build / "tools/cupool", scratch / "log.csv")
            wrong += real_one != found
            print(f"{name}, {streams} streams: R {real_one[1] / real_one[0]:.4f}, minCap "
                  f"{real_one[3] / real_one[0]:.4f}, {real_one[2]} calls"
                  + ("" if real_one == found else f"; the model says {found}, RMM {real_one}"))
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--directory", type=pathlib.Path,
                        help="where RMM is kept (default: a temporary one)")
    parser.add_argument("traces", nargs="*", type=pathlib.Path, help="lifetimes: id,lower,upper,size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cupool-rmm-") as scratch:
        return 1 if compare(options, pathlib.Path(scratch)) else 0


if __name__ == "__main__":
    sys.exit(main())
