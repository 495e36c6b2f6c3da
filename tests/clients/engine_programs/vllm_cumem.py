# SPDX-License-Identifier: MIT
"""vLLM's allocator of mapped memory (sleep mode): its compiled part, driven as vllm/device_allocator/cumem.py does.

usage: vllm_cumem.py DIRECTORY       of the package vllm; all other parts need a GPU

Weights and a KV cache have separate pools. Asleep, the weights are in host memory and the cache is
gone; awake, both are at their old addresses. Prints counts and sums of sizes.
"""

import ctypes
import gc
import importlib.util
import pathlib
import sys

import torch


class Asleep:
    """State of CuMemAllocator: allocations by address, each with a tag."""

    def __init__(self, library):
        self.library, self.held, self.tag = load(library), {}, "weights"
        self.path, self.pools = str(library), []
        self.taken, self.given = self.on_take, self.on_give  # the module borrows them

    def on_take(self, handle):
        self.held[handle[2]] = [handle, self.tag, None]

    def on_give(self, address):
        handle = self.held.pop(address)[0]
        torch.cuda.synchronize(handle[0])
        return handle

    def pool(self, tag):
        self.tag = tag
        self.library.init_module(self.taken, self.given)
        allocator = torch.cuda.memory.CUDAPluggableAllocator(self.path, "my_malloc", "my_free")
        self.pools.append((torch.cuda.memory.MemPool(allocator.allocator()), allocator))
        return torch.cuda.memory.use_mem_pool(self.pools[-1][0])

    def sleep(self):
        for address, data in self.held.items():
            handle, tag, _ = data
            if tag == "weights":
                data[2] = torch.empty(handle[1], dtype=torch.uint8, device="cpu")
                copy(data[2].data_ptr(), address, handle[1])
            self.library.python_unmap_and_release(*handle)
        torch.cuda.empty_cache()

    def wake(self):
        for address, (handle, _, saved) in self.held.items():
            self.library.python_create_and_map(*handle)
            if saved is not None:
                copy(address, saved.data_ptr(), handle[1])

    def says(self, what):
        sizes = sorted((tag, handle[1]) for handle, tag, _ in self.held.values())
        print(what, len(sizes), {tag: sum(size for other, size in sizes if other == tag)
                                 for tag in sorted({tag for tag, _ in sizes})})

    def close(self):
        pools = [pool for pool, _ in self.pools]
        allocators = [allocator for _, allocator in self.pools]
        self.pools.clear()
        pools.clear()
        gc.collect()
        allocators.clear()


def load(path):
    spec = importlib.util.spec_from_file_location("cumem_allocator", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copy(to, what, size):
    runtime = ctypes.CDLL(f"libcudart.so.{torch.version.cuda.split('.')[0]}")
    error = runtime.cudaMemcpy(ctypes.c_void_p(to), ctypes.c_void_p(what), ctypes.c_size_t(size), 4)
    assert error == 0, error


def weights():
    return [torch.empty(4096, 1024 * (i + 1), dtype=torch.uint8, device="cuda") for i in range(6)]


def caches():
    return [torch.empty(2, 512, 16, 64, dtype=torch.float16, device="cuda") for _ in range(8)]


def main():
    asleep = Asleep(pathlib.Path(sys.argv[1]) / "cumem_allocator.abi3.so")
    with asleep.pool("weights"):
        model = weights()
    with asleep.pool("cache"):
        cache = caches()
    asleep.says("made")
    first = torch.arange(1000, dtype=torch.int32)
    model[0].view(torch.int32).view(-1)[:1000].copy_(first)
    for _ in range(2):
        asleep.sleep()
        asleep.wake()
    same = bool((model[0].view(torch.int32).view(-1)[:1000].cpu() == first).all())
    print("same", same, len(cache))
    del model, cache
    gc.collect()
    torch.cuda.empty_cache()
    asleep.close()
    asleep.says("left")


main()
