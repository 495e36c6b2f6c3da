#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that libcupool's cost of a call does not depend on how much memory exists.

The program cost makes blocks of every kind, then calls every function about memory a fixed number
of times; callgrind counts the instructions that libcupool spends there, with few blocks and with
many, with a limit, the live page, a trace, and all of them. Exit 77: no valgrind.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
FEW, MANY = 1000, 100000
# Counts differ between runs: chains of hash tables, the depth of a list of mappings.
MOST = 1.3
OPTIONS = {"limit": "limit:2000GiB", "live": "live:{0}", "trace": "trace:{0}/%p.cupool"}


# Writes the live page; its frequency depends on time, so it is counted separately.
PUBLISHES = "live_publish"


def spent(path, library):
    """Instructions inside a library, from callgrind's file, without callees: without publishing,
    and of one publishing."""
    names, inside, total, called = {}, False, 0, False
    functions, publishing, times, published = {}, False, 0, 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(("ob=", "cob=")):  # object of a caller or a callee
                number, _, name = line.partition("=")[2].strip().partition(" ")
                names.setdefault(number, name)
                if line.startswith("ob="):
                    inside = os.path.basename(names[number]) == library
            elif line.startswith("cfn="):
                number, _, name = line.partition("=")[2].strip().partition(" ")
                functions.setdefault(number, name)
                publishing = functions[number].startswith(PUBLISHES)
            elif line.startswith("fn="):
                number, _, name = line.partition("=")[2].strip().partition(" ")
                functions.setdefault(number, name)
            elif line.startswith("calls="):
                called = True  # the next line has the callee's cost
                times += int(line[6:].split()[0]) if publishing else 0
            elif re.match(r"[+\-*0-9]", line):
                if inside and not called:
                    total += int(line.split()[1])
                published += int(line.split()[1]) if called and publishing else 0
                called = False
    return total - published, published // times if times else 0


def run(options, settings, blocks, directory):
    out = os.path.join(directory, "callgrind.out")
    device = os.path.join(options.build, "tests", "simgpu")
    library = os.path.join(options.build, "shim", "libcupool.so")
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("CUPOOL", "LD_", "SIMGPU_"))}
    env.update(LD_LIBRARY_PATH=device, SIMGPU_MEMORY="1500GiB", LD_PRELOAD=library,
               CUPOOL=",".join(["mode:pool", *settings]).format(directory))
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}",
         os.path.join(options.build, "tests", "scale", "cost"), str(blocks)],
        env=env, capture_output=True, text=True, check=False)
    if done.returncode or done.stdout != "done\n":
        sys.exit(f"{blocks} blocks, {settings}: {done.stdout}{done.stderr}")
    return spent(out, "libcupool.so")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: no valgrind")
        return SKIPPED
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        for what, settings in [(name, [text]) for name, text in OPTIONS.items()] + \
                [("all", list(OPTIONS.values()))]:
            (few, few_each), (many, many_each) = (run(options, settings, blocks, directory)
                                                  for blocks in (FEW, MANY))
            print(f"{what}: {few} instructions beside {FEW} blocks of every kind, {many} beside "
                  f"{MANY}: x{many / few:.2f}")
            failures += few < 100000 or many > few * MOST
            if few_each or many_each:
                print(f"  one publishing of the live page: {few_each} and {many_each}")
                failures += many_each > few_each * MOST
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
