#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What nvcc makes of the kernels: for every architecture no spills and no stack, and 128 bits at a
time where meant. resources.py NVCC ROOT ARCHITECTURE..."""

import os
import re
import subprocess
import sys
import tempfile

# Per kernel: what must move 128 bits at once. fill_few reads nothing but its arguments.
WIDE = {"cupool_copy": ("ld", "st"), "cupool_fill": ("st",), "cupool_fill_few": ("st",),
        "cupool_verify": ("ld",)}
REGISTERS_MAX = 64  # 8 blocks of 128 threads on a multiprocessor of 65,536 registers


def compiled(nvcc, root, *arguments):
    source = os.path.join(root, "kernels/device_code.c")
    return subprocess.run([nvcc, "-x", "cu", "-std=c++17", "-O3", "-I" + root, *arguments, source],
                          check=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout


def usage_faults(report, architecture):
    seen = {}
    for kernel, properties in re.findall(
            r"Compiling entry function '(\w+)'.*?\n(.*?Used \d+ registers)", report, re.DOTALL):
        seen[kernel] = properties
        for what in ("stack frame", "spill stores", "spill loads"):
            if f" 0 bytes {what}" not in " " + properties:
                yield f"sm_{architecture} {kernel}: {what}"
        registers = int(re.search(r"Used (\d+) registers", properties)[1])
        if registers > REGISTERS_MAX:
            yield f"sm_{architecture} {kernel}: {registers} registers"
    if set(seen) != set(WIDE):
        yield f"sm_{architecture}: kernels {sorted(seen)}, not {sorted(WIDE)}"


def width_faults(ptx, architecture):
    for part in re.split(r"\.entry ", ptx)[1:]:
        kernel = re.match(r"\w+", part)[0]
        for instruction in WIDE.get(kernel, ()):
            if not re.search(rf"\b{instruction}\.(global\.)?v2\.u64\b", part):
                yield f"compute_{architecture} {kernel}: no {instruction} of 128 bits"


def main():
    nvcc, root, *architectures = sys.argv[1:]
    if not nvcc:
        print("skip: the build has no nvcc")
        return 77
    faults = []
    with tempfile.TemporaryDirectory() as directory:
        for architecture in architectures:
            report = compiled(nvcc, root, f"-arch=sm_{architecture}", "-cubin", "-Xptxas", "-v",
                              "-o", os.path.join(directory, "code.cubin"))
            faults += usage_faults(report, architecture)
            path = os.path.join(directory, "code.ptx")
            compiled(nvcc, root, f"-arch=compute_{architecture}", "-ptx", "-o", path)
            with open(path) as text:
                faults += width_faults(text.read(), architecture)
    for fault in faults:
        print(fault)
    print(f"{len(architectures)} architectures, {len(faults)} faults")
    return 1 if faults else 0


sys.exit(main())
