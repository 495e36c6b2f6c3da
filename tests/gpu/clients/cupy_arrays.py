# SPDX-License-Identifier: MIT
"""CuPy's arrays with one of its allocators: cupy_arrays.py default|none|async

default: its memory pool over cudaMalloc; none: cudaMalloc for each array; async: the driver's
stream-ordered pool.
"""

import sys

import need

cupy = need.library("cupy")
numpy = need.library("numpy")
verdict = need.verdict


def choose(allocator):
    if allocator == "none":
        cupy.cuda.set_allocator(None)
    elif allocator == "async":
        cupy.cuda.set_allocator(cupy.cuda.MemoryAsyncPool().malloc)
    elif allocator != "default":
        sys.exit(f"no allocator is called {allocator}")


def round_trips():
    for shape, kind in (((1,), "u1"), ((1000,), "i8"), ((64, 65), "f4"), ((300, 7, 11), "f8"),
                        ((1 << 22,), "i2")):
        wanted = (numpy.arange(numpy.prod(shape)) % 251).astype(kind).reshape(shape)
        there = cupy.asarray(wanted)
        got = cupy.asnumpy(there.copy())
        print(f"{shape} {kind}: {verdict((got == wanted).all())}")


def computed():
    values = cupy.arange(1 << 20, dtype=cupy.int64)
    pairs = values.reshape(1024, 1024)
    print(f"sums: {int(values.sum())}, {int((pairs * 3 + pairs.T).sum())}, "
          f"sorted {verdict(bool((cupy.sort(values[::-1]) == values).all()))}")


def churned():
    generator = numpy.random.default_rng(5)
    kept, wrong = {}, 0
    for turn in range(1000):
        size = int(generator.integers(1, 500_000))
        kept[turn % 29] = (turn, cupy.full(size, turn, cupy.int32))
        value, array = kept[int(generator.choice(list(kept)))]
        wrong += int((array != value).sum())
    print(f"1000 arrays: {wrong} wrong elements")


def streams():
    """Made, written and dropped on four streams."""
    queue = [cupy.cuda.Stream(non_blocking=True) for _ in range(4)]
    results = []
    for turn in range(40):
        with queue[turn % 4]:
            array = cupy.full(200_000, turn, cupy.int32)
            results.append((array * 2).sum())
            del array
    for stream in queue:
        stream.synchronize()
    print(f"streams: {verdict([int(each) for each in results] == [400_000 * turn for turn in range(40)])}")


def refused():
    try:
        cupy.empty(1 << 50, cupy.uint8)
        print("WRONG: a pebibyte was granted")
    except (cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError) as error:
        print(f"a pebibyte: {type(error).__name__}")
    print(f"afterwards: {verdict(int(cupy.ones(1000, cupy.int32).sum()) == 1000)}")


def main():
    choose(sys.argv[1] if len(sys.argv) > 1 else "default")
    need.device("CuPy", cupy.cuda.runtime.getDeviceCount)
    print(f"CuPy {cupy.__version__}")
    for part in (round_trips, computed, churned, streams, refused):
        part()
    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()
    churned()


main()
