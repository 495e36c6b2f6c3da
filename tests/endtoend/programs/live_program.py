# SPDX-License-Identifier: MIT
"""Holds device memory on request: "hold N BYTES" allocates N blocks, "drop" frees them, "fork" makes
a child that ends at once, "pin BYTES" allocates pinned memory, "map BYTES LOCATION" makes physical
memory, maps it and releases its handle, "unmap" unmaps it. "burst N BYTES" is "hold" and "shed" is
"drop" without a later call: what they did has to be seen as it is; so has "reset", which ends the
context. "device N" chooses the device. Answers each line with its number of
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


class Properties(ctypes.Structure):
    """CUmemAllocationProp, for pinned memory."""
    _fields_ = [("kind", ctypes.c_int), ("shared", ctypes.c_int), ("location", ctypes.c_int),
                ("number", ctypes.c_int), ("rest", ctypes.c_uint64 * 2)]


def physical(size, location):
    driver, handle, address = ctypes.CDLL("libcuda.so.1"), ctypes.c_uint64(), ctypes.c_uint64()
    zero, size = ctypes.c_uint64(0), ctypes.c_size_t(size)
    wanted = Properties(1, 0, location, 0)
    assert driver.cuMemCreate(ctypes.byref(handle), size, ctypes.byref(wanted), zero) == 0
    assert driver.cuMemAddressReserve(ctypes.byref(address), size, zero, zero, zero) == 0
    assert driver.cuMemMap(address, size, zero, handle, zero) == 0
    assert driver.cuMemRelease(handle) == 0
    return lambda: driver.cuMemUnmap(address, size)


def publish():
    """Figures are written at a call when they are a tenth of a second old."""
    time.sleep(0.15)
    assert runtime.cudaFree(allocate(512)) == 0
    time.sleep(0.15)
    assert runtime.cudaFree(None) == 0


blocks, mapped = [], []
for line in sys.stdin:
    order, *numbers = line.split()
    if order in ("hold", "burst"):
        blocks += [allocate(int(numbers[1])) for _ in range(int(numbers[0]))]
    elif order == "device":
        assert runtime.cudaSetDevice(int(numbers[0])) == 0
    elif order == "pin":
        pinned = ctypes.c_void_p()
        assert runtime.cudaHostAlloc(ctypes.byref(pinned), ctypes.c_size_t(int(numbers[0])), 0) == 0
    elif order == "map":
        runtime.cudaFree(None)
        mapped.append(physical(int(numbers[0]), int(numbers[1])))
    elif order == "unmap":
        while mapped:
            assert mapped.pop()() == 0
    elif order in ("drop", "shed"):
        while blocks:
            assert runtime.cudaFree(blocks.pop()) == 0
    elif order == "fork":
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    elif order == "reset":
        assert runtime.cudaDeviceReset() == 0
        blocks.clear()
    if order not in ("burst", "shed", "device", "reset"):
        publish()
    print(len(blocks), flush=True)
