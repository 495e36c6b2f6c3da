# SPDX-License-Identifier: MIT
"""Checks that every header compiles alone, as C and, if public, as C++.

usage: check_headers.py CC CXX CUDA_INCLUDE (CC and CXX may be several words: "ccache cc")
"""

import subprocess
import sys

import tree

cc, cxx, cuda_include = sys.argv[1:4]
headers = tree.files("include/*.h", "engine/*.h", "kernels/*.h", "shim/*.h", "pool/*.h", "cupti/*.h",
                     "tools/*.h", "tests/simgpu/*.h")
CXX_ONLY = {"tests/simgpu/host_kernel.h"}
# Compiled twice with different entry points, by definition from the command line.
PARAMETRISED = {"tests/simgpu/driver/base/api.h"}
# Public headers, which C++ programs include.
BOTH = {*tree.files("include/*.h"), "pool/pool.h", "pool/backend.h", "cupti/write/trace_writer.h",
        "tests/simgpu/simgpu.h", "tests/simgpu/twin.h"}
FLAGS = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function",
         "-Wno-unused-parameter", "-D_GNU_SOURCE",
         f"-I{tree.ROOT}", "-isystem", cuda_include, "-include"]


def compiles(compiler, header):
    language = (["-x", "c++", "-std=gnu++17"] if compiler == cxx
                else ["-x", "c", "-std=gnu11", "-fms-extensions"])
    done = subprocess.run([*compiler.split(), *language, *FLAGS, header, "/dev/null"], cwd=tree.ROOT,
                          stderr=subprocess.PIPE, text=True, check=False)
    return [] if done.returncode == 0 else [f"{header} does not compile alone ({compiler}):",
                                            *done.stderr.splitlines()[:5]]


problems = []
for name in sorted(set(headers) - PARAMETRISED):
    if name not in CXX_ONLY:
        problems += compiles(cc, name)
    if name in BOTH or name in CXX_ONLY:
        problems += compiles(cxx, name)
tree.finish("headers", problems, len(headers))
