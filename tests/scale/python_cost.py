#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The cost of a recorded pair of cudaMalloc and cudaFree from Python, 16 Python frames deep, in instructions.

callgrind counts the instructions of a program that makes pairs, with and without a trace; the cost
of a pair is the difference of two runs that differ only in length. Half of the frames have long
line tables and separate files, as in large packages. Exit 77: no valgrind, or a Python without
support for frames.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
FRAMES, FEW, MANY = 16, 500, 1500
# More than a pair without a trace: 4,300 with short functions and 5,900 with long ones if frames
# known to the thread are compared, 7,500 and 13,100 if each is read again (Python 3.11).
MOST = {"short": 5300, "long": 7000}

PROGRAM = """import ctypes, sys
runtime = ctypes.CDLL("libcudart.so.13")
pointer, size = ctypes.c_void_p(), ctypes.c_size_t(4096)
reference = ctypes.byref(pointer)
def pairs(times, rest):
    take, give = runtime.cudaMalloc, runtime.cudaFree
    for _ in range(times):
        take(reference, size)
        give(pointer)
def deeper(times, rest):
    return rest[0](times, rest[1:])
names = dict(pairs=pairs)
functions = []
for i in range(int(sys.argv[1]) - 2):
    long = sys.argv[3] == "long" and i % 2
    source = ("def deeper(times, rest):\\n" + "    times = (times * 1)\\n" * (100 if long else 0) +
              "    return rest[0](times, rest[1:])\\n")
    exec(compile(source, f"/usr/lib/python3/site-packages/package/layers/layer{i}.py" if long else
                 __file__, "exec"), names)
    functions.append(names["deeper"])
(functions + [pairs])[0](int(sys.argv[2]), (functions + [pairs])[1:])
"""


def counted(build, program, kind, pairs, recorded):
    folder = program.parent
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("CUPOOL", "LD_", "SIMGPU_", "PYTHON"))}
    env.update(LD_LIBRARY_PATH=str(build / "tests/simgpu"), LD_PRELOAD=str(build / "shim/libcupool.so"),
               CUPOOL=f"trace:{folder}/%p.cupool,cupti:off" if recorded else "trace:off", PYTHONHASHSEED="0")
    python = pathlib.Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}"
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(python), "-S", str(program),
         str(FRAMES), str(pairs), kind], env=env, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"{kind}: {done.stdout}{done.stderr}")
    return int(found.group(1))


def pair(*what):
    build, program, kind, recorded = what
    few, many = (counted(build, program, kind, pairs, recorded) for pairs in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: no valgrind")
        return SKIPPED
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        print("skipped: another Python")
        return SKIPPED
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "pairs.py"
        program.write_text(PROGRAM, encoding="utf-8")
        plain = pair(options.build.resolve(), program, "short", False)
        for kind, most in MOST.items():
            recorded = pair(options.build.resolve(), program, kind, True)
            print(f"{kind} functions: a pair takes {plain:.0f} instructions, recorded "
                  f"{recorded - plain:.0f} more; at most {most}")
            failures += not 500 < recorded - plain <= most
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
