# SPDX-License-Identifier: MIT
"""RMM's memory resources from Python: each in turn, with buffers of many sizes, streams and a limit.

usage: rmm_pools.py [RESOURCE...]     cuda, async, managed, pool, arena, binning, tracking; all by default

Prints counts and sums of sizes, nothing that depends on addresses.
"""

import sys

import numpy
import rmm
from rmm import mr

SIZES = [256 << shift for shift in range(14)]


def resources():
    cuda = mr.CudaMemoryResource
    return {
        "cuda": cuda,
        "async": lambda: mr.CudaAsyncMemoryResource(initial_pool_size=1 << 20),
        "managed": mr.ManagedMemoryResource,
        "pool": lambda: mr.PoolMemoryResource(cuda(), initial_pool_size=4 << 20, maximum_pool_size=64 << 20),
        "arena": lambda: mr.ArenaMemoryResource(cuda(), arena_size=64 << 20),
        "binning": lambda: mr.BinningMemoryResource(cuda(), 10, 16),
        "tracking": lambda: mr.TrackingResourceAdaptor(cuda()),
    }


def churn(stream):
    """Allocates and frees buffers; every third buffer stays to the end."""
    kept, held = [], 0
    for turn in range(120):
        buffer = rmm.DeviceBuffer(size=SIZES[turn * 5 % len(SIZES)] + turn, stream=stream)
        if turn % 3 == 0:
            kept.append(buffer)
            held += buffer.size
    return kept, held


def contents(stream):
    """Data copied to the device comes back unchanged."""
    data = numpy.arange(5000, dtype=numpy.uint8)
    buffer = rmm.DeviceBuffer.to_device(data, stream)
    stream.synchronize()
    same = bool((numpy.asarray(buffer.copy_to_host(), dtype=numpy.uint8) == data).all())
    buffer.resize(20000, stream)
    return same, buffer.size


def run(name, make):
    resource = make()
    mr.set_current_device_resource(resource)
    stream = rmm.pylibrmm.stream.Stream()
    kept, held = churn(stream)
    print(name, len(kept), held, *contents(stream))
    if name == "tracking":
        print("allocated", resource.get_allocated_bytes())
    if name == "pool":
        try:
            rmm.DeviceBuffer(size=128 << 20, stream=stream)
        except MemoryError as error:
            print("refused", type(error).__name__)
    del kept
    stream.synchronize()


def main():
    every = resources()
    for name in sys.argv[1:] or every:
        run(name, every[name])
    mr.set_current_device_resource(mr.CudaMemoryResource())
    print("done")


main()
