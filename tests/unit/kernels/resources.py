#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks nvcc's output for the kernels: for every architecture no spills, no stack, accesses of 128
bits where intended, and no float operation that rounds differently from the host.

usage: resources.py NVCC ROOT BUILD ARCHITECTURE...
       resources.py --table BUILD ARCHITECTURE...    registers and shared memory of each kernel

The build keeps ptxas's output (kernels/compile.py). The PTX of the oldest and of the newest
architecture, which the image has for devices between and after them, is compiled again.
"""

import os
import re
import subprocess
import sys
import tempfile

UNITS = {"kernels/device_code.c": "kernels/kernels.report",
         "kernels/codec/device_code.c": "kernels/codec.report"}
# Per kernel: accesses that must be 128 bits wide. fill_few reads only its arguments; the codecs' 16
# bit types use 64 bits, four values, where eight are not a whole row.
WIDE = {"cupool_copy": ("ld", "st"), "cupool_fill": ("st",), "cupool_fill_few": ("st",),
        "cupool_verify": ("ld",),
        "cupool_fp16_encode": ("ld",), "cupool_fp16_decode": ("st",),
        "cupool_bf16_encode": ("ld",), "cupool_bf16_decode": ("st",),
        "cupool_int8_encode": ("ld",), "cupool_int8_decode": ("st",),
        "cupool_fp8_encode": ("ld",), "cupool_fp8_decode": ("st",),
        "cupool_quad_encode": ("ld",), "cupool_quad_decode": ("st",),
        "cupool_channel_mark": (), "cupool_channel_encode": (), "cupool_channel_decode": (),
        "cupool_rotated_encode": ("ld",), "cupool_rotated_decode": ("st",),
        "cupool_lossless_count": ("ld",), "cupool_lossless_book": (),
        "cupool_lossless_encode": ("ld",), "cupool_lossless_escape": (),
        "cupool_lossless_decode": ("st",), "cupool_lossless_restore": ()}
REGISTERS_MAX = 64  # 8 blocks of 128 threads on a multiprocessor of 65,536 registers
SHARED_MAX = 24576  # likewise, of a multiprocessor's memory of 192 KiB; half as many on small ones
# Fused, flushed or approximate: results differ from the host's.
INEXACT = re.compile(r"\b(fma\.\w+\.f32|mad\.\w+\.f32|\w+(?:\.\w+)*\.ftz|\w+\.approx)\b")
REGISTERS, SHARED, SPILLED = r"Used (\d+) registers", r"(\d+) bytes smem", r"(\d+) bytes spill st"


def compiled(nvcc, root, unit, *arguments):
    return subprocess.run([nvcc, "-x", "cu", "-std=c++17", "-O3", "-fmad=false", "-I" + root,
                           *arguments, os.path.join(root, unit)],
                          check=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout


def usage(build):
    """Properties of each kernel on each architecture, from ptxas."""
    seen = {}
    for unit in UNITS.values():
        with open(os.path.join(build, unit)) as report:
            for kernel, architecture, properties in re.findall(
                    r"Compiling entry function '(\w+)' for 'sm_(\w+)'.*?\n"
                    r"(.*?Used \d+ registers[^\n]*)", report.read(), re.DOTALL):
                seen[kernel, architecture] = properties
    return seen


def figure(properties, pattern):
    found = re.search(pattern, properties)
    return int(found[1]) if found else 0


def usage_faults(seen, architectures):
    for (kernel, architecture), properties in seen.items():
        for what in ("stack frame", "spill stores", "spill loads"):
            if f" 0 bytes {what}" not in " " + properties:
                yield f"sm_{architecture} {kernel}: {what}"
        registers = figure(properties, REGISTERS)
        if registers > REGISTERS_MAX:
            yield f"sm_{architecture} {kernel}: {registers} registers"
        if figure(properties, SHARED) > SHARED_MAX:
            yield f"sm_{architecture} {kernel}: shared memory"
    wanted = {(kernel, architecture) for kernel in WIDE for architecture in architectures}
    for kernel, architecture in sorted(wanted ^ set(seen)):
        yield f"sm_{architecture} {kernel}: in the report or in this test alone"


def text_faults(ptx, architecture):
    for part in re.split(r"\.entry ", ptx)[1:]:
        kernel = re.match(r"\w+", part)[0]
        for instruction in WIDE.get(kernel, ()):
            if not re.search(rf"\b{instruction}\.(global\.)?(v2\.[ub]64|v4\.[ufb]32)\b", part):
                yield f"compute_{architecture} {kernel}: no {instruction} of 128 bits"
        for instruction in sorted(set(INEXACT.findall(part))):
            yield f"compute_{architecture} {kernel}: {instruction}"


def table(build, architectures):
    seen = usage(build)
    print(f"{'kernel':26} " + " ".join(f"sm_{each:>3}" for each in architectures) + "  shared")
    for kernel in WIDE:
        row = [seen[kernel, architecture] for architecture in architectures]
        spilled = max(figure(each, SPILLED) for each in row)
        print(f"{kernel:26} " + " ".join(f"{figure(each, REGISTERS):6}" for each in row) +
              f" {figure(row[0], SHARED):7}" + (f"  {spilled} bytes spilled" if spilled else ""))


def main():
    words = sys.argv[1:]
    if words[:1] == ["--table"]:
        table(words[1], words[2:])
        return 0
    nvcc, root, build, *architectures = words
    if not nvcc:
        print("skip: the build has no nvcc")
        return 77
    faults = list(usage_faults(usage(build), architectures))
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "code.ptx")
        for architecture in (architectures[0], architectures[-1]):
            for unit in UNITS:
                compiled(nvcc, root, unit, f"-arch=compute_{architecture}", "-ptx", "-o", path)
                with open(path) as text:
                    faults += text_faults(text.read(), architecture)
    for fault in faults:
        print(fault)
    print(f"{len(architectures)} architectures, {len(faults)} faults")
    return 1 if faults else 0


sys.exit(main())
