# SPDX-License-Identifier: MIT
"""The cost of a recorded pair of cudaMalloc and cudaFree from Python, 16 Python frames deep.

usage: python_pair.py --build BUILD [--frames N] [--rounds N]

Runs alternately without and with a trace, pooled, on the simulated device; prints nanoseconds of
processor time per pair: the lowest of the rounds of each, and the difference.
"""

import argparse
import ctypes
import os
import pathlib
import subprocess
import sys
import tempfile
import time

PAIRS, BYTES = 5000, 4096


def pairs(runtime):
    pointer = ctypes.c_void_p()
    reference, size = ctypes.byref(pointer), ctypes.c_size_t(BYTES)
    take, give = runtime.cudaMalloc, runtime.cudaFree
    lowest = float("inf")
    for _ in range(12):
        begin = time.thread_time_ns()
        for _ in range(PAIRS):
            take(reference, size)
            give(pointer)
        lowest = min(lowest, (time.thread_time_ns() - begin) / PAIRS)
    return lowest


def deeper(frames, runtime):
    return pairs(runtime) if frames <= 2 else deeper(frames - 1, runtime)


def measured(build, frames, trace):
    env = {**os.environ, "LD_LIBRARY_PATH": str(build / "tests/simgpu"),
           "LD_PRELOAD": str(build / "shim/libcupool.so"),
           "CUPOOL": f"trace:{trace},cupti:off" if trace else "trace:off"}
    done = subprocess.run([sys.executable, __file__, "inside", str(frames)], env=env, check=True,
                          stdout=subprocess.PIPE, text=True)
    if trace:
        pathlib.Path(trace).unlink()
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    build = options.build.resolve()
    with tempfile.TemporaryDirectory() as folder:
        runs = [(measured(build, options.frames, None),
                 measured(build, options.frames, f"{folder}/pair.cupool"))
                for _ in range(options.rounds)]
    plain, recorded = (min(each) for each in zip(*runs))
    print(f"{options.frames} Python frames: a pair takes {plain:.0f} ns, recorded {recorded:.0f} ns: "
          f"{recorded - plain:.0f} ns more")


if sys.argv[1:2] == ["inside"]:
    print(deeper(int(sys.argv[2]), ctypes.CDLL("libcudart.so.13")))
else:
    main()
