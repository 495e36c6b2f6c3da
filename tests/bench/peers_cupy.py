# SPDX-License-Identifier: MIT
"""CuPy's pool on the sequence that `peers print …` writes (standard input).

usage: peers_cupy.py LIVE

Prints what peers.cc prints. CuPy's pool is called from Python alone: from what a pair takes, what an
equal loop takes that makes an object by a function of the interpreter in its place is taken away.
What remains has CuPy's two objects for each block in it.
"""

import ctypes
import gc
import sys
import time

import cupy

CALLS = ("cuMemAlloc_v2", "cuMemFree_v2", "cuMemAllocAsync", "cuMemFreeAsync", "cuMemAllocAsync_ptsz",
         "cuMemCreate", "cuMemMap", "cuMemSetAccess", "cuMemUnmap", "cuMemRelease", "cuMemAddressReserve",
         "cuEventRecord", "cuEventQuery", "cuCtxRecordEvent")  # as in peers.cc
ROUNDS = 5


def driver_calls():
    count = ctypes.CDLL("libcuda.so.1").simgpu_calls
    count.restype, count.argtypes = ctypes.c_uint64, (ctypes.c_char_p,)
    return sum(count(name.encode()) for name in CALLS)


def processor_ns():
    return time.clock_gettime_ns(time.CLOCK_THREAD_CPUTIME_ID)


def lowest(take, first, pairs):
    """(nanoseconds a pair, calls of the driver a 1000 pairs)."""
    live = [take(size) for size in first]
    spent, calls = [], 0
    for turn in range(1 + ROUNDS):
        calls_before, begin = driver_calls(), processor_ns()
        for slot, size in pairs:
            live[slot] = None
            live[slot] = take(size)
        spent.append(processor_ns() - begin)
        calls += driver_calls() - calls_before if turn else 0
    return min(spent[1:]) / len(pairs), 1000 * calls / len(pairs) / ROUNDS


def main():
    count = int(sys.argv[1])
    numbers = list(map(int, sys.stdin.read().split()))
    first, rest = numbers[:count], numbers[count:]
    pairs = list(zip(rest[::2], rest[1::2]))
    gc.disable()
    loop_ns, _ = lowest(float, first, pairs)
    pair_ns, calls = lowest(cupy.cuda.MemoryPool().malloc, first, pairs)
    print(f"{pair_ns - loop_ns:.0f} {calls:.1f} {loop_ns:.0f}")


main()
