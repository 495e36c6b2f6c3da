#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a file as a C array: embed.py OUTPUT [INPUT]. Without INPUT the array has no bytes.

The driver reads the array as an image of device code (kernels/device/kernel_set.h).
"""

import sys

data = open(sys.argv[2], "rb").read() if len(sys.argv) > 2 else b""
with open(sys.argv[1], "w") as out:
    out.write("/* The device code of kernels/, written by kernels/embed.py. */\n"
              "#include <stddef.h>\n\n"
              "extern const unsigned char kernel_image[];\n"
              "extern const size_t kernel_image_bytes;\n\n"
              "const unsigned char kernel_image[] __attribute__((aligned(16))) = {\n")
    for at in range(0, len(data), 24):
        out.write("    " + ",".join(str(byte) for byte in data[at:at + 24]) + ",\n")
    out.write("    0};\n"
              f"const size_t kernel_image_bytes = {len(data)};\n")
