#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The service of leaky.cc in Python, through ctypes: leaky.py [--leak] [--grow] [--pages] [--fragment]"""
import ctypes
import sys

WEIGHTS, SCRATCH, REQUESTS = 20 << 20, 1 << 20, 32
PAGES, PAGE, MERGED = 64, 512 << 10, 24


def open_library():
    for name in ("libcudart.so.13", "libcudart.so.12"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            pass
    sys.exit("leaky: no libcudart")


runtime = open_library()
runtime.cudaMalloc.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
runtime.cudaFree.argtypes = [ctypes.c_void_p]


class Cache:
    def __init__(self):
        self.kept = []

    def keep(self, size):
        block = ctypes.c_void_p()
        runtime.cudaMalloc(ctypes.byref(block), size)  # planted: leak
        self.kept.append(block)


def load(grow):
    weights = ctypes.c_void_p()
    size = WEIGHTS + (WEIGHTS // 20 if grow else 0)
    runtime.cudaMalloc(ctypes.byref(weights), size)  # planted: growth
    return weights


def answer(cache, leak):
    scratch = ctypes.c_void_p()
    runtime.cudaMalloc(ctypes.byref(scratch), SCRATCH)
    if leak:
        cache.keep(4096)
    runtime.cudaFree(scratch)


def page(size):
    block = ctypes.c_void_p()
    runtime.cudaMalloc(ctypes.byref(block), size)  # planted: fragmentation
    return block


def merge(size):
    block = ctypes.c_void_p()
    runtime.cudaMalloc(ctypes.byref(block), size)
    return block


def repage(fragment):
    """As much is live at each moment and as much is asked for, whichever pages go."""
    pages = [page(PAGE) for _ in range(PAGES)]
    leaving = range(1, PAGES, 2) if fragment else range(PAGES // 2)
    for number in leaving:
        runtime.cudaFree(pages[number])
    runtime.cudaDeviceSynchronize()
    staying = [block for number, block in enumerate(pages) if number not in leaving]
    for block in staying + [merge(2 * PAGE) for _ in range(MERGED)]:
        runtime.cudaFree(block)


def main():
    leak, grow = "--leak" in sys.argv, "--grow" in sys.argv
    cache, weights = Cache(), load(grow)
    for _ in range(REQUESTS):
        answer(cache, leak)
    if "--pages" in sys.argv or "--fragment" in sys.argv:
        repage("--fragment" in sys.argv)
    runtime.cudaFree(weights)
    print("answered")


main()
