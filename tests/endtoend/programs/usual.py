# SPDX-License-Identifier: MIT
"""Programs of the usual kinds in Python, each with one cause: usual.py KIND. Memory comes through
ctypes and a class that frees with its object."""

import ctypes
import sys

cudart = ctypes.CDLL("libcudart.so.13")
cudart.cudaFree.argtypes = [ctypes.c_void_p]


def gpu_malloc(size):
    block = ctypes.c_void_p()
    if cudart.cudaMalloc(ctypes.byref(block), ctypes.c_size_t(size)) != 0:
        raise MemoryError(size)
    return block


class Tensor:
    def __init__(self, count):
        self.block = gpu_malloc(4 * count)

    @classmethod
    def zeros(cls, count):
        return cls(count)

    def __del__(self):
        cudart.cudaFree(self.block)


prefixes = {}


def attention(count):
    Tensor(count)


def remember_prefix(number):
    prefixes[number] = Tensor(100000)


def decode(tokens):
    logits = Tensor(32000)
    mask = Tensor(4096)
    return logits, mask, tokens


class Cache:
    def __init__(self):
        self.tokens, self.keys = 1, Tensor(4096)

    def extend(self, more):
        larger = Tensor(4096 * (self.tokens + more))
        self.tokens += more
        self.keys = larger


def leak():
    Tensor(2000000)
    for number in range(200):
        attention(50000)
        if number % 3 == 0:
            remember_prefix(number)


def kv_by_copying():
    cache = Cache()
    for _ in range(40):
        cache.extend(16)
        attention(5000)


def decode_loop():
    weights = Tensor(4000000)
    for tokens in range(200):
        decode(tokens)
    del weights


def remember_page(number):
    prefixes[number] = Tensor.zeros(50000)


def single_maker():
    for number in range(200):
        attention(5000)
        if number % 4 == 0:
            remember_page(number)


# As an installed package that calls what it is given, several frames deep.
FRAMEWORK = """
def call(depth, function, *arguments):
    return call(depth - 1, function, *arguments) if depth else function(*arguments)
"""
framework = {}
exec(compile(FRAMEWORK, "/usr/lib/python3/dist-packages/framework/deep.py", "exec"), framework)
call = framework["call"]


def block_forward():
    """The deeper an allocation lies, the fewer callers a stack of 16 frames has room for."""
    for depth in range(3, 10):
        call(depth, Tensor, 30000)
    return Tensor(20000)


def decoder_forward():
    return call(2, block_forward)


def deep_layers():
    states = None
    for _ in range(100):
        states = decoder_forward()
    del states


def clean():
    weights = [Tensor(1 << 18) for _ in range(10)]
    attention(4096)
    weights.clear()


if __name__ == "__main__":
    {"leak": leak, "kv_by_copying": kv_by_copying, "decode_loop": decode_loop,
     "single_maker": single_maker, "deep_layers": deep_layers, "clean": clean}[sys.argv[1]]()
