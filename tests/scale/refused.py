#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks by counts what a refused cudaMalloc costs on a device that is full or nearly so.

Programs that search the largest allocation by halving, and caching allocators that catch the
refusal and try again, repeat it thousands of times. The program refused runs with few and with many
refusals; the difference is the number of driver calls of one.
"""

import argparse
import os
import subprocess
import sys
import tempfile

FEW, MANY = 5, 25
# Driver calls of one refusal, by mode. Natively two: the request, and the look at the current
# context. Each fence that is asked in vain adds four, each wait many.
MODES = {"mode:pool": 16, "mode:pool,backing:vmm": 28, "mode:pool,backing:vmm,defrag:move": 28,
         "mode:pool,limit:1GiB": 16}
# Blocks, and a request that the freed ones and the rest of the device are too little for.
SHAPES = (("1048576", "1000000000"), ("33554432", "1000000000"), ("33554432", "900000000000"))


def run(options, directory, mode, arguments, memory=None):
    """One run: its output, and the number of driver calls."""
    log = os.path.join(directory, "calls.log")
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("CUPOOL", "LD_", "SIMGPU_"))}
    env.update(LD_LIBRARY_PATH=os.path.join(options.build, "tests", "simgpu"),
               SIMGPU_MEMORY=memory or ("8GiB" if mode and "limit" in mode else "1GiB"),
               SIMGPU_LOG=log)
    if mode:
        env.update(LD_PRELOAD=os.path.join(options.build, "shim", "libcupool.so"), CUPOOL=mode)
    if os.path.exists(log):
        os.unlink(log)
    done = subprocess.run([os.path.join(options.build, "tests", "scale", "refused"), *arguments],
                          env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{mode} {arguments}: {done.stdout}{done.stderr}")
    with open(log, encoding="utf-8") as lines:
        return done.stdout, sum("\tcu" in line for line in lines)


def check_cached(options, directory):
    """Under a limit that refuses before the driver is asked, memory that the driver's pools keep counts as free."""
    failed = 0
    for mode in ("mode:pool,limit:800MiB", "mode:pool,backing:vmm,limit:800MiB"):
        output, _ = run(options, directory, mode, ["cached"], memory="1GiB")
        print(f"{mode}, cached: {output.strip()}")
        failed += output != "fits: 0\n"
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="cupool-refused-") as directory:
        failed += check_cached(options, directory)
        for work in ("idle", "busy"):
            for block, wanted in SHAPES:
                outputs = {many: run(options, directory, None, [block, wanted, str(many), work])[0]
                           for many in (FEW, MANY)}
                for mode, most in MODES.items():
                    counts = {}
                    for many in (FEW, MANY):
                        output, counts[many] = run(options, directory, mode,
                                                   [block, wanted, str(many), work])
                        if output != outputs[many]:
                            print(f"{mode} {block} {wanted} {work}: {output!r}, "
                                  f"bare {outputs[many]!r}")
                            failed += 1
                    each = (counts[MANY] - counts[FEW]) / (MANY - FEW)
                    print(f"{mode}, blocks of {block}, {wanted} wanted, {work}: {each:g} calls")
                    failed += each > most
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
