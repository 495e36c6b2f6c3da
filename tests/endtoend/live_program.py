# SPDX-License-Identifier: MIT
"""Holds device memory on request: "hold N BYTES" allocates N blocks, "drop" frees them, "fork" makes
a child that ends at once, "pin BYTES" allocates pinned memory. "burst N BYTES" is "hold" and "shed" is
"drop" without a later call: what they did has to be seen as it is. Answers each line with its number of
blocks, once the library had a call late enough to publish what came before it."""

import ctypes
import os
import sys
import time

runtime = ctypes.CDLL("libcudart.so.13")


def allocate(size):
    pointer = ctypes.c_void_p()
    assert runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)) == 0
    return pointer


def publish():
    """Figures are written at a call when they are a tenth of a second old."""
    time.sleep(0.15)
    assert runtime.cudaFree(allocate(512)) == 0
    time.sleep(0.15)
    assert runtime.cudaFree(None) == 0


blocks = []
for line in sys.stdin:
    order, *numbers = line.split()
    if order in ("hold", "burst"):
        blocks += [allocate(int(numbers[1])) for _ in range(int(numbers[0]))]
    elif order == "pin":
        pinned = ctypes.c_void_p()
        assert runtime.cudaHostAlloc(ctypes.byref(pinned), ctypes.c_size_t(int(numbers[0])), 0) == 0
    elif order in ("drop", "shed"):
        while blocks:
            assert runtime.cudaFree(blocks.pop()) == 0
    elif order == "fork":
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    if order not in ("burst", "shed"):
        publish()
    print(len(blocks), flush=True)
