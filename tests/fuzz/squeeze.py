#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a trace small enough to be a seed of the fuzzer, and restores a squeezed one.

  squeeze.py TRACE OUT       drops the empty slots at the end of each block
  squeeze.py -d INPUT OUT    puts them back: a trace that `cupool report` reads

trace_reader_fuzz.c says what a squeezed trace is.
"""

import sys

BLOCK, SLOT = 65536, 64
FILE_MAGIC, SQUEEZED_MAGIC, BLOCK_MAGIC = b"\x01.cupool", b"cupslots", b"Cblk"


def squeeze(data):
    """Blocks that are not in use are left out."""
    if data[:8] != FILE_MAGIC:
        raise ValueError("no trace")
    out = bytearray(SQUEEZED_MAGIC + data[8:SLOT])
    for start in range(BLOCK, len(data), BLOCK):
        block = data[start:start + BLOCK]
        if block[:4] != BLOCK_MAGIC:
            continue
        used = len(block.rstrip(b"\0"))
        out += block[:-(-used // SLOT) * SLOT]
    return bytes(out)


def spread(data):
    if data[:8] != SQUEEZED_MAGIC:
        raise ValueError("no squeezed trace")
    out = bytearray(FILE_MAGIC + data[8:SLOT])
    for start in range(SLOT, len(data) - SLOT + 1, SLOT):
        slot = data[start:start + SLOT]
        if slot[:4] == BLOCK_MAGIC:
            out += bytes(-len(out) % BLOCK)
        out += slot
    rest = data[len(data) - len(data) % SLOT:]
    return bytes(out + (rest or bytes(-len(out) % BLOCK)))


def main():
    words = sys.argv[1:]
    change = spread if words[:1] == ["-d"] else squeeze
    if len(words) != (3 if change is spread else 2):
        sys.exit(__doc__.strip())
    with open(words[-2], "rb") as file:
        data = file.read()
    try:
        data = change(data)
    except ValueError as wrong:
        sys.exit(f"squeeze.py: {words[-2]}: {wrong}")
    with open(words[-1], "wb") as file:
        file.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
