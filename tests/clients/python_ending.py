# SPDX-License-Identifier: MIT
"""An interpreter that ends while objects hold device memory: they free it in __del__, in a finaliser
and in an atexit handler, some of them when modules are already being cleared. One is in a cycle that
only the last collection finds. With the argument "thread" a daemon thread goes on calling the
runtime, which keeps the interpreter from clearing this module: then some are never freed.
"""

import atexit
import ctypes
import gc
import sys
import threading
import weakref

import loaded

runtime = ctypes.CDLL("libcudart.so.13")
runtime.cudaMalloc.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
runtime.cudaFree.argtypes = [ctypes.c_void_p]


def allocate(size):
    pointer = ctypes.c_void_p()
    if runtime.cudaMalloc(ctypes.byref(pointer), size):
        sys.exit("out of memory")
    return pointer.value


def say(title, error, write=sys.stdout.write, flush=sys.stdout.flush):
    write(f"{title}: {error}\n")
    flush()


class Block:
    """Keeps references for its free, because the module's names may be gone."""

    def __init__(self, name, size):
        self.name, self.pointer = name, allocate(size)
        self.free, self.say = runtime.cudaFree, say

    def __del__(self):
        self.say(f"{self.name} freed in __del__", self.free(self.pointer))


def free_at_exit(name, pointer, free=runtime.cudaFree):
    say(f"{name} freed at exit", free(pointer))


live = Block("module's block", 3000)
listed = [Block(f"listed block {i}", 1000 << i) for i in range(3)]
cycle = Block("block in a cycle", 70_000)
cycle.self = cycle
atexit.register(free_at_exit, "block", allocate(5 << 20))
finalised = Block("finalised block", 100)
weakref.finalize(finalised, free_at_exit, "block of a finaliser", allocate(200))

gc.disable()
started = threading.Event()


def call_for_ever(query=runtime.cudaMemGetInfo):
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    while True:
        query(ctypes.byref(free), ctypes.byref(total))
        started.set()


if sys.argv[1:] == ["thread"]:
    threading.Thread(target=call_for_ever, daemon=True).start()
    started.wait()
del cycle
print("\n".join(loaded.report()), flush=True)
