#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a file as a C array: embed.py NAME OUTPUT [INPUT]. Without INPUT the array has no bytes.

The driver reads the array as an image of device code (kernels/device/kernel_set.h).
"""

import sys

name = sys.argv[1]
data = open(sys.argv[3], "rb").read() if len(sys.argv) > 3 else b""
with open(sys.argv[2], "w") as out:
    out.write("/* The device code of kernels/, written by kernels/embed.py. */\n"
              "#include <stddef.h>\n\n"
              f"extern const unsigned char {name}[];\n"
              f"extern const size_t {name}_bytes;\n\n"
              f"const unsigned char {name}[] __attribute__((aligned(16))) = {{\n")
    for at in range(0, len(data), 24):
        out.write("    " + ",".join(str(byte) for byte in data[at:at + 24]) + ",\n")
    out.write("    0};\n"
              f"const size_t {name}_bytes = {len(data)};\n")
