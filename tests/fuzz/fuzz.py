#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a libFuzzer target for a number of inputs, or for as long as one likes.

  fuzz.py TARGET CORPUS RUNS [OPTION OF libFuzzer...]

The inputs are the same in each run of one build, so a test that passed passes again; -seed=0 draws
others each time, and is how faults are looked for.

The corpus is only read: inputs that reach new code are kept in a scratch folder. What fails is
written there, too, and shown by its path; minimised, it becomes a file of the corpus:

  TARGET -minimize_crash=1 -runs=10000 FILE
"""

import os
import shutil
import subprocess
import sys
import tempfile

# The target is an instrumented program itself, so nothing is preloaded into it.
OPTIONS = ["-seed=1", "-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1"]


def main():
    target, corpus, runs, *more = sys.argv[1:]
    scratch = tempfile.mkdtemp(prefix="cupool-fuzz-")
    found = os.path.join(scratch, "found")
    os.mkdir(found)
    done = subprocess.run([target, f"-runs={runs}", f"-artifact_prefix={scratch}/", *OPTIONS,
                           *more, found, corpus], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False)
    lines = done.stdout.splitlines()
    print("\n".join([lines[0], *lines[-40:]] if done.returncode else [lines[0], *lines[-8:]]))
    failed = [name for name in os.listdir(scratch) if name != "found"]
    for name in failed:
        print(f"fails with: {os.path.join(scratch, name)}")
    if not failed:
        shutil.rmtree(scratch)
    return 1 if done.returncode or failed else 0


if __name__ == "__main__":
    sys.exit(main())
