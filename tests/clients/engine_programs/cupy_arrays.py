# SPDX-License-Identifier: MIT
"""Arrays of CuPy by each of its allocators, on streams, with views and copies to the host.

usage: cupy_arrays.py pool|none|async

Prints shapes, counts and statistics of CuPy's pool; the simulated device computes nothing.
"""

import sys

import cupy
import numpy

ALLOCATORS = {"pool": None, "none": lambda: cupy.cuda.set_allocator(None),
              "async": lambda: cupy.cuda.set_allocator(cupy.cuda.malloc_async)}


def pool_says(what):
    pool = cupy.get_default_memory_pool()
    print(what, pool.used_bytes(), pool.total_bytes(), pool.n_free_blocks())


def copies():
    """Copied data comes back, also from a view."""
    data = numpy.arange(10000, dtype=numpy.int32).reshape(100, 100)
    array = cupy.asarray(data)
    print("copies", bool((array.get() == data).all()), array[10:20].shape, array.nbytes)


def cache(steps):
    """A KV cache that is doubled by copying."""
    rows = cupy.empty((4, 64), dtype=cupy.float16)
    for _ in range(steps):
        longer = cupy.empty((rows.shape[0] * 2, 64), dtype=cupy.float16)
        longer[:rows.shape[0]].data.copy_from_device(rows.data, rows.nbytes)
        rows = longer
    return rows


def on_streams():
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
    kept = []
    for turn, stream in enumerate(streams * 10):
        with stream:
            kept.append(cupy.empty(1000 * (turn + 1), dtype=cupy.float32))
        if turn % 2:
            kept.pop(0)
    for stream in streams:
        stream.synchronize()
    return len(kept), sum(array.nbytes for array in kept)


def pinned():
    pool = cupy.cuda.PinnedMemoryPool()
    memory = pool.malloc(5000)
    return memory.mem.size


def main():
    choose = ALLOCATORS[sys.argv[1]]
    if choose:
        choose()
    print(cupy.cuda.runtime.runtimeGetVersion() // 1000, cupy.cuda.runtime.getDeviceCount())
    copies()
    rows = cache(8)
    print("cache", rows.shape)
    print("streams", *on_streams())
    print("pinned", pinned())
    pool_says("held")
    del rows
    cupy.get_default_memory_pool().free_all_blocks()
    pool_says("freed")
    try:
        cupy.empty(1 << 50, dtype=cupy.uint8)
    except (cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError) as error:
        print("refused", type(error).__name__)


main()
