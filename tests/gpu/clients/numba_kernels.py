# SPDX-License-Identifier: MIT
"""Kernels that numba compiles, over its device arrays, and its shared and local memory.

Needs a device that runs what a compiler makes: on the simulated one it skips.
"""

import need

numba = need.library("numba")
cuda = need.library("numba.cuda")
numpy = need.library("numpy")
verdict = need.verdict


@cuda.jit
def scaled(result, source, factor):
    at = cuda.grid(1)
    if at < result.size:
        result[at] = source[at] * factor


@cuda.jit
def block_sums(result, source):
    """One sum for each block, through shared memory."""
    parts = cuda.shared.array(128, numba.int64)
    at = cuda.grid(1)
    parts[cuda.threadIdx.x] = source[at] if at < source.size else 0
    cuda.syncthreads()
    width = 64
    while width > 0:
        if cuda.threadIdx.x < width:
            parts[cuda.threadIdx.x] += parts[cuda.threadIdx.x + width]
        cuda.syncthreads()
        width //= 2
    if cuda.threadIdx.x == 0:
        result[cuda.blockIdx.x] = parts[0]


def scaled_arrays():
    wrong = 0
    for turn in range(200):
        size = 1 + 1013 * turn
        source = cuda.to_device(numpy.arange(size, dtype=numpy.int64))
        result = cuda.device_array(size, numpy.int64)
        scaled[(size + 127) // 128, 128](result, source, turn)
        wrong += int((result.copy_to_host() != numpy.arange(size) * turn).sum())
    print(f"200 scaled arrays: {wrong} wrong elements")


def summed():
    values = numpy.arange(1_000_000, dtype=numpy.int64)
    blocks = (values.size + 127) // 128
    result = cuda.device_array(blocks, numpy.int64)
    block_sums[blocks, 128](result, cuda.to_device(values))
    print(f"sum of a million: {int(result.copy_to_host().sum())}")


def streams():
    """Arrays dropped by the host while kernels on other streams still wait for their turn."""
    queue = [cuda.stream() for _ in range(4)]
    landings = [cuda.pinned_array(100_000, numpy.int64) for _ in range(16)]
    for turn, landing in enumerate(landings):
        stream = queue[turn % 4]
        source = cuda.to_device(numpy.full(100_000, turn, numpy.int64), stream=stream)
        result = cuda.device_array(100_000, numpy.int64, stream=stream)
        scaled[782, 128, stream](result, source, 3)
        result.copy_to_host(landing, stream=stream)
        del source, result
    cuda.synchronize()
    ok = all((landing == 3 * turn).all() for turn, landing in enumerate(landings))
    print(f"streams: {verdict(ok)}")


def main():
    need.device("numba", lambda: len(cuda.gpus))
    name = cuda.get_current_device().name
    name = name.decode() if isinstance(name, bytes) else name
    if "simulated" in name:
        need.skip(f"{name} runs no kernels but those it has twins of")
    print(f"numba {numba.__version__}, {name}")
    for part in (scaled_arrays, summed, streams):
        part()


main()
