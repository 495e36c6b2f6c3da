#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Device memory through ctypes on libcuda, without the runtime.

Half of the functions come from dlsym (ctypes attributes), the memory functions from
cuGetProcAddress_v2, as bindings for Python do it. Allocates, sets, copies, verifies and frees
blocks; prints what was found, which depends neither on addresses nor on timing. Exit 1 on a
mismatch.
"""
import ctypes
import sys

POINTER, SIZE, INT, DEVICE = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint64
FROM_DLSYM = {
    "cuInit": [ctypes.c_uint],
    "cuDeviceGet": [ctypes.POINTER(INT), INT],
    "cuDevicePrimaryCtxRetain": [ctypes.POINTER(POINTER), INT],
    "cuDevicePrimaryCtxRelease_v2": [INT],
    "cuCtxSetCurrent": [POINTER],
    "cuCtxSynchronize": [],
    "cuGetProcAddress_v2": [
        ctypes.c_char_p, ctypes.POINTER(POINTER), INT, ctypes.c_uint64, ctypes.POINTER(INT),
    ],
}
FROM_DRIVER = {
    "cuMemAlloc": [ctypes.POINTER(DEVICE), SIZE],
    "cuMemFree": [DEVICE],
    "cuMemsetD8": [DEVICE, ctypes.c_ubyte, SIZE],
    "cuMemcpyHtoD": [DEVICE, POINTER, SIZE],
    "cuMemcpyDtoD": [DEVICE, DEVICE, SIZE],
    "cuMemcpyDtoH": [POINTER, DEVICE, SIZE],
    "cuMemGetInfo": [ctypes.POINTER(SIZE), ctypes.POINTER(SIZE)],
    "cuMemGetAddressRange": [ctypes.POINTER(DEVICE), ctypes.POINTER(SIZE), DEVICE],
}
ABI_VERSION = 3020  # of all functions in FROM_DRIVER


class Driver:
    """The driver's functions as methods that end the program on an error."""

    def __init__(self):
        try:
            self.library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            sys.exit(f"ctypes_driver: {error}")
        for name, arguments in FROM_DLSYM.items():
            function = getattr(self.library, name)
            function.restype, function.argtypes = INT, arguments
            setattr(self, name, self.checked(name, function))
        self.cuInit(0)
        for name, arguments in FROM_DRIVER.items():
            address, status = POINTER(), INT()
            self.cuGetProcAddress_v2(
                name.encode(), ctypes.byref(address), ABI_VERSION, 0, ctypes.byref(status)
            )
            function = ctypes.CFUNCTYPE(INT, *arguments)(address.value)
            setattr(self, name, self.checked(name, function))

    @staticmethod
    def checked(name, function):
        def call(*arguments):
            result = function(*arguments)
            if result:
                sys.exit(f"ctypes_driver: {name}: error {result}")

        return call

    def allocate(self, size):
        pointer = DEVICE()
        self.cuMemAlloc(ctypes.byref(pointer), size)
        return pointer.value

    def free_bytes(self):
        free, total = SIZE(), SIZE()
        self.cuMemGetInfo(ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def range_holds(self, address, size):
        base, length = DEVICE(), SIZE()
        self.cuMemGetAddressRange(ctypes.byref(base), ctypes.byref(length), address + size // 2)
        return base.value <= address and address + size <= base.value + length.value


def round_trip(driver, size, value):
    """Sets half of a block, writes the other half from the host, copies it all; counts errors."""
    half = max(1, size // 2)
    expected = bytes([value]) * half + bytes((value + i) % 256 for i in range(size - half))
    first, second = driver.allocate(size), driver.allocate(size)
    driver.cuMemsetD8(first, value, half)
    if size > half:
        driver.cuMemcpyHtoD(first + half, expected[half:], size - half)
    driver.cuMemcpyDtoD(second, first, size)
    driver.cuMemFree(first)
    landing = ctypes.create_string_buffer(size)
    driver.cuMemcpyDtoH(landing, second, size)
    held = driver.range_holds(second, size)
    driver.cuMemFree(second)
    return sum(a != b for a, b in zip(landing.raw, expected)), held


def main():
    driver = Driver()
    device, context = INT(), POINTER()
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
    driver.cuCtxSetCurrent(context)
    good = True
    for index, size in enumerate((1, 7, 512, 4096, 70_000, 1 << 20, (2 << 20) + 3)):
        wrong, held = round_trip(driver, size, 13 * (index + 1))
        good = good and wrong == 0 and held
        print(f"block of {size}: {wrong} mismatches, range {'holds' if held else 'misses'} it")

    before, total = driver.free_bytes()
    large = driver.allocate(32 << 20)
    after, _ = driver.free_bytes()
    driver.cuMemFree(large)
    driver.cuCtxSynchronize()
    driver.cuDevicePrimaryCtxRelease_v2(device)
    agrees = before <= total and after + (32 << 20) <= before
    print(f"memory info {'agrees' if agrees else 'differs'}")
    return 0 if good and agrees else 1


if __name__ == "__main__":
    sys.exit(main())
