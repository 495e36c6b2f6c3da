#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The service of leaky.cc in Python, through ctypes: leaky.py [--leak] [--grow]"""
import ctypes
import sys

WEIGHTS, SCRATCH, REQUESTS = 20 << 20, 1 << 20, 32


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


def main():
    leak, grow = "--leak" in sys.argv, "--grow" in sys.argv
    cache, weights = Cache(), load(grow)
    for _ in range(REQUESTS):
        answer(cache, leak)
    runtime.cudaFree(weights)
    print("answered")


main()
