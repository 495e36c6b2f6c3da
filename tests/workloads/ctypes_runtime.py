#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Device memory through ctypes on libcudart, as inference servers written in Python do it.

ctypes opens the library by name and looks every function up with dlsym, so no symbol of the
runtime is ever bound by the dynamic linker. Allocates, sets, copies, verifies and frees blocks;
prints what was found, which depends neither on addresses nor on timing. Exit 1 on a mismatch.
"""
import ctypes
import sys

HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3
POINTER, SIZE, INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
FUNCTIONS = {
    "cudaSetDevice": [INT],
    "cudaDeviceSynchronize": [],
    "cudaMalloc": [ctypes.POINTER(POINTER), SIZE],
    "cudaFree": [POINTER],
    "cudaMemset": [POINTER, INT, SIZE],
    "cudaMemcpy": [POINTER, POINTER, SIZE, INT],
    "cudaMemGetInfo": [ctypes.POINTER(SIZE), ctypes.POINTER(SIZE)],
}


def open_library():
    problem = None
    for name in ("libcudart.so.13", "libcudart.so.12"):
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            problem = problem or error
    sys.exit(f"ctypes_runtime: {problem}")


class Runtime:
    """The runtime's functions as methods that end the program on an error."""

    def __init__(self):
        self.library = open_library()
        self.library.cudaGetErrorString.restype = ctypes.c_char_p
        for name, arguments in FUNCTIONS.items():
            function = getattr(self.library, name)
            function.restype, function.argtypes = INT, arguments
            setattr(self, name, self.checked(name, function))

    def checked(self, name, function):
        def call(*arguments):
            error = function(*arguments)
            if error:
                text = self.library.cudaGetErrorString(error).decode()
                sys.exit(f"ctypes_runtime: {name}: {text}")

        return call

    def allocate(self, size):
        pointer = POINTER()
        self.cudaMalloc(ctypes.byref(pointer), size)
        return pointer

    def free_bytes(self):
        free, total = SIZE(), SIZE()
        self.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value


def round_trip(runtime, size, value):
    """Sets half of a block, writes the other half from the host, copies it all; counts errors."""
    half = size // 2
    expected = bytes([value]) * half + bytes((value + i) % 256 for i in range(size - half))
    first, second = runtime.allocate(size), runtime.allocate(size)
    runtime.cudaMemset(first, value, half)
    runtime.cudaMemcpy(first.value + half, expected[half:], size - half, HOST_TO_DEVICE)
    runtime.cudaMemcpy(second, first, size, DEVICE_TO_DEVICE)
    runtime.cudaFree(first)
    landing = ctypes.create_string_buffer(size)
    runtime.cudaMemcpy(landing, second, size, DEVICE_TO_HOST)
    runtime.cudaFree(second)
    return sum(a != b for a, b in zip(landing.raw, expected))


def main():
    runtime = Runtime()
    runtime.cudaSetDevice(0)
    mismatches = 0
    for index, size in enumerate((1, 7, 512, 4096, 70_000, 1 << 20, (2 << 20) + 3)):
        wrong = round_trip(runtime, size, 17 * (index + 1))
        mismatches += wrong
        print(f"block of {size}: {wrong} mismatches")

    before, total = runtime.free_bytes()
    large = runtime.allocate(32 << 20)
    after, _ = runtime.free_bytes()
    runtime.cudaFree(large)
    runtime.cudaFree(None)
    runtime.cudaDeviceSynchronize()
    agrees = before <= total and after + (32 << 20) <= before
    print(f"memory info {'agrees' if agrees else 'differs'}")
    return 0 if mismatches == 0 and agrees else 1


if __name__ == "__main__":
    sys.exit(main())
