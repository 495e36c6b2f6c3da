# SPDX-License-Identifier: MIT
"""Checks that no function of the preload library uses more than a part of a small stack.

usage: check_stack.py BUILD (compiled with -fstack-usage)
"""

import os
import pathlib
import sys

import tree

MOST_BYTES = 960
FOLDERS = ("shim/libcupool.so.p", "shim/libcupool_resolver.a.p", "shim/libcupool_options.a.p",
           "pool/libcupool_pool.a.p", "cupti/libcupool_trace.a.p")

build = pathlib.Path(sys.argv[1])
if os.environ.get("CUPOOL_TEST_SANITIZER"):
    tree.skip("a sanitizer's frames are many times larger")
problems, functions = [], 0
for folder in FOLDERS:
    files = sorted((build / folder).glob("*.su"))
    if not files:
        tree.skip(f"{folder}: the compiler has no -fstack-usage")
    for file in files:
        for line in file.read_text().splitlines():
            name, used, how = line.split("\t")
            functions += 1
            if int(used) > MOST_BYTES or how == "dynamic":
                problems.append(f"{name}: {used} bytes of stack, {how}: map what is large (cupti/base/pages.h)")
tree.finish("stack", problems, functions)
