# SPDX-License-Identifier: MIT
"""CuPy's pool on the sequence that `peers print …` writes (standard input).

usage: peers_cupy.py LIVE

The output has the format of peers.cc. CuPy's pool can be called from Python only, so the time of an
equal loop that creates an object with a built-in function instead is subtracted. The rest includes
CuPy's two objects per block.
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
    """(nanoseconds per pair, driver calls per 1000 pairs)."""
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
