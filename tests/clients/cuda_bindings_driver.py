# SPDX-License-Identifier: MIT
"""The driver API through NVIDIA's cuda-bindings: memory, copies, streams, events, pools, contexts.

cuda-bindings opens libcuda itself and resolves every function through cuGetProcAddress. Prints
results and checks, neither addresses nor times; a call that fails ends the program.
"""

import sys

import loaded
import need

np = need.library("numpy")
driver = need.library("cuda.bindings.driver")
verdict = need.verdict

SIZES = (1, 255, 256, 4096, 70_001, 1 << 20, (2 << 20) + 3, 24 << 20)


def call(function, *arguments):
    error, *values = function(*arguments)
    if error != driver.CUresult.CUDA_SUCCESS:
        _, text = driver.cuGetErrorString(error)
        sys.exit(f"{function.__name__}: {text.decode()}")
    return values[0] if len(values) == 1 else values


def host_data(size, seed):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def round_trips():
    """Host to device, a set of the first half, device to device, and back."""
    for seed, size in enumerate(SIZES):
        wanted = host_data(size, seed)
        first, second = call(driver.cuMemAlloc, size), call(driver.cuMemAlloc, size)
        call(driver.cuMemcpyHtoD, first, wanted.ctypes.data, size)
        call(driver.cuMemsetD8, first, 0x5a, size // 2)
        wanted[:size // 2] = 0x5a
        call(driver.cuMemcpyDtoD, second, first, size)
        call(driver.cuMemFree, first)
        landing = np.zeros(size, np.uint8)
        call(driver.cuMemcpyDtoH, landing.ctypes.data, second, size)
        base, length = call(driver.cuMemGetAddressRange, second)
        inside = int(base) <= int(second) and int(second) + size <= int(base) + length
        call(driver.cuMemFree, second)
        print(f"block of {size}: {verdict(np.array_equal(landing, wanted))}, range "
              f"{verdict(inside)}")


def streams_and_events():
    """Two streams that depend on each other through an event, with pinned memory."""
    size = 3 << 20
    producer = call(driver.cuStreamCreate, driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
    consumer = call(driver.cuStreamCreate, driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
    written = call(driver.cuEventCreate, 0)
    done = call(driver.cuEventCreate, 0)
    pinned = call(driver.cuMemHostAlloc, size, 0)
    device = call(driver.cuMemAlloc, size)
    for value in range(1, 9):
        call(driver.cuMemsetD8Async, device, value, size, producer)
        call(driver.cuEventRecord, written, producer)
        call(driver.cuStreamWaitEvent, consumer, written, 0)
        call(driver.cuMemcpyDtoHAsync, pinned, device, size, consumer)
        call(driver.cuEventRecord, done, consumer)
        call(driver.cuStreamWaitEvent, producer, done, 0)
    call(driver.cuEventSynchronize, done)
    landing = np.zeros(size, np.uint8)
    call(driver.cuMemcpy, landing.ctypes.data, pinned, size)
    elapsed = call(driver.cuEventElapsedTime, written, done)
    print(f"last value through two streams: {verdict((landing == 8).all())}, elapsed "
          f"{verdict(elapsed >= 0)}")
    call(driver.cuMemFree, device)
    call(driver.cuMemFreeHost, pinned)
    for event in (written, done):
        call(driver.cuEventDestroy, event)
    for stream in (producer, consumer):
        call(driver.cuStreamDestroy, stream)


def stream_ordered(device):
    """The default pool, and a created one: allocate, set, copy, free, all in stream order."""
    properties = driver.CUmemPoolProps()
    properties.allocType = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    properties.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    properties.location.id = 0
    pool = call(driver.cuMemPoolCreate, properties)
    default = call(driver.cuDeviceGetDefaultMemPool, device)
    stream = call(driver.cuStreamCreate, 0)
    right = True
    for index in range(12):
        size = 50_000 * (index + 1)
        block = (call(driver.cuMemAllocAsync, size, stream) if index % 2 else
                 call(driver.cuMemAllocFromPoolAsync, size, pool, stream))
        call(driver.cuMemsetD8Async, block, index, size, stream)
        landing = np.zeros(size, np.uint8)
        call(driver.cuMemcpyDtoHAsync, landing.ctypes.data, block, size, stream)
        call(driver.cuMemFreeAsync, block, stream)
        call(driver.cuStreamSynchronize, stream)
        right = right and (landing == index).all()
    used = driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_USED_MEM_CURRENT
    print(f"stream-ordered blocks: {verdict(right)}, used afterwards: "
          f"{int(call(driver.cuMemPoolGetAttribute, pool, used))} and "
          f"{int(call(driver.cuMemPoolGetAttribute, default, used))}")
    call(driver.cuStreamDestroy, stream)
    call(driver.cuMemPoolDestroy, pool)


def memory_info():
    before, total = call(driver.cuMemGetInfo)
    block = call(driver.cuMemAlloc, 64 << 20)
    during, _ = call(driver.cuMemGetInfo)
    call(driver.cuMemFree, block)
    after, _ = call(driver.cuMemGetInfo)
    print(f"memory info: {verdict(before <= total and during + (64 << 20) <= before)}, back "
          f"{verdict(after >= during + (64 << 20))}")


def contexts(device):
    """A created context, destroyed with memory in it, repeatedly."""
    for turn in range(3):
        context = call(driver.cuCtxCreate, None, 0, device)
        blocks = [call(driver.cuMemAlloc, 10_000 * (turn + 1)) for _ in range(20)]
        call(driver.cuMemFree, blocks.pop())
        call(driver.cuCtxSynchronize)
        call(driver.cuCtxDestroy, context)
    print("contexts: 3 created and destroyed with memory in them")


def refusals():
    """Errors are those of the driver."""
    block = call(driver.cuMemAlloc, 4096)
    call(driver.cuMemFree, block)
    for what, (error, *_) in (("zero bytes", driver.cuMemAlloc(0)),
                              ("an exbibyte", driver.cuMemAlloc(1 << 60)),
                              ("not an address", driver.cuMemFree(4096)),
                              ("freed twice", driver.cuMemFree(block))):
        print(f"{what}: {error.name}")


def main():
    call(driver.cuInit, 0)
    device = call(driver.cuDeviceGet, 0)
    name = call(driver.cuDeviceGetName, 64, device).split(b"\0")[0].decode()
    print(f"{name}, driver {call(driver.cuDriverGetVersion)}")
    primary = call(driver.cuDevicePrimaryCtxRetain, device)
    call(driver.cuCtxSetCurrent, primary)
    round_trips()
    streams_and_events()
    stream_ordered(device)
    memory_info()
    refusals()
    contexts(device)
    call(driver.cuCtxSetCurrent, primary)
    round_trips()
    call(driver.cuDevicePrimaryCtxRelease, device)
    print("\n".join(loaded.report()))


main()
