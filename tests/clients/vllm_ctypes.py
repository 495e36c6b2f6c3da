# SPDX-License-Identifier: MIT
"""vLLM's use of libcudart in Python, reproduced: two ranks that share device buffers.

vLLM lets another library load the runtime, finds its file in /proc/self/maps, opens that by path
with ctypes and looks ten functions up. Its check for peer access shares one small block, its
custom all-reduce one buffer per rank, through IPC handles that travel between the processes. Its
handle type is twice as long as CUDA's, and passed by value. Prints results, neither addresses nor
times.
"""

import base64
import ctypes
import json
import os
import subprocess
import sys

import loaded

STATUS, SIZE, INT, ADDRESS = ctypes.c_int, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p
MEMCPY_DEFAULT, LAZY_PEER_ACCESS = 4, 1
RANKS = 2
SIGNAL_BYTES, BUFFER_BYTES, CHECK_BYTES = 2_624, 8 << 20, 1024


class Handle(ctypes.Structure):
    _fields_ = [("internal", ctypes.c_byte * 128)]


FUNCTIONS = {
    "cudaSetDevice": [INT],
    "cudaDeviceSynchronize": [],
    "cudaDeviceReset": [],
    "cudaMalloc": [ctypes.POINTER(ADDRESS), SIZE],
    "cudaFree": [ADDRESS],
    "cudaMemset": [ADDRESS, INT, SIZE],
    "cudaMemcpy": [ADDRESS, ADDRESS, SIZE, INT],
    "cudaIpcGetMemHandle": [ctypes.POINTER(Handle), ADDRESS],
    "cudaIpcOpenMemHandle": [ctypes.POINTER(ADDRESS), Handle, ctypes.c_uint],
}


class RuntimeLibrary:
    """The runtime that is loaded already, function by function; an error is an exception."""

    def __init__(self):
        path = next(path for path in loaded.paths() if "libcudart" in path)
        library = ctypes.CDLL(path)
        self.error_string = library.cudaGetErrorString
        self.error_string.restype, self.error_string.argtypes = ctypes.c_char_p, [STATUS]
        self.functions = {}
        for name, arguments in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = STATUS, arguments
            self.functions[name] = function

    def call(self, name, *arguments):
        status = self.functions[name](*arguments)
        if status:
            raise RuntimeError(f"{name}: {self.error_string(status).decode()}")

    def malloc(self, size):
        address = ADDRESS()
        self.call("cudaMalloc", ctypes.byref(address), size)
        return address

    def export(self, address):
        handle = Handle()
        self.call("cudaIpcGetMemHandle", ctypes.byref(handle), address)
        return base64.b64encode(bytes(handle)).decode()

    def open(self, text):
        address = ADDRESS()
        handle = Handle.from_buffer_copy(base64.b64decode(text))
        self.call("cudaIpcOpenMemHandle", ctypes.byref(address), handle, LAZY_PEER_ACCESS)
        return address

    def read(self, address, size):
        host = ctypes.create_string_buffer(size)
        self.call("cudaMemcpy", host, address, size, MEMCPY_DEFAULT)
        return host.raw


class Peer:
    """The other rank behind a pair of pipes. An exchange is also a barrier."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def exchange(self, value=None):
        self.writer.write(json.dumps(value) + "\n")
        self.writer.flush()
        line = self.reader.readline()
        if not line:
            sys.exit("vllm_ctypes: the other rank is gone")
        return json.loads(line)


def peer_access_check(runtime, rank, peer):
    """Each rank in turn shares a block of ones; the other sees them and writes twos."""
    results = []
    for owner in range(RANKS):
        if rank == owner:
            block = runtime.malloc(CHECK_BYTES)
            runtime.call("cudaMemset", block, 1, CHECK_BYTES)
            runtime.call("cudaDeviceSynchronize")
            peer.exchange(runtime.export(block))
            peer.exchange()
            results.append(runtime.read(block, CHECK_BYTES) == b"\2" * CHECK_BYTES)
            peer.exchange()
        else:
            block = runtime.open(peer.exchange())
            runtime.call("cudaDeviceSynchronize")
            results.append(runtime.read(block, CHECK_BYTES) == b"\1" * CHECK_BYTES)
            runtime.call("cudaMemset", block, 2, CHECK_BYTES)
            runtime.call("cudaDeviceSynchronize")
            peer.exchange()
            peer.exchange()
    return results


def shared_buffers(runtime, rank, peer):
    """One buffer per rank, opened by all: every rank writes its part and reads the other's. Small
    ones have private neighbours."""
    results = []
    neighbours = [runtime.malloc(size) for size in (CHECK_BYTES, SIGNAL_BYTES)]
    for size in (SIGNAL_BYTES + BUFFER_BYTES, BUFFER_BYTES, SIGNAL_BYTES + BUFFER_BYTES // 2,
                 CHECK_BYTES, SIGNAL_BYTES):
        own = runtime.malloc(size)
        theirs = runtime.open(peer.exchange(runtime.export(own)))
        half = size // 2
        runtime.call("cudaMemset", own, 0x10 + rank, half)
        runtime.call("cudaMemset", theirs.value + half, 0x20 + rank, size - half)
        runtime.call("cudaDeviceSynchronize")
        peer.exchange()
        other = 1 - rank
        results.append(runtime.read(own, size) ==
                       bytes([0x10 + rank]) * half + bytes([0x20 + other]) * (size - half))
        results.append(runtime.read(theirs, half) == bytes([0x10 + other]) * half)
        peer.exchange()
        runtime.call("cudaFree", own)
    for block in neighbours:
        runtime.call("cudaFree", block)
    return results


def private_blocks(runtime):
    """Blocks that are not shared, before and between those that are."""
    blocks = [(runtime.malloc(size), size) for size in (512, 1024, 1024, 3000, 1 << 20, 5 << 20)]
    for value, (block, size) in enumerate(blocks):
        runtime.call("cudaMemset", block, value, size)
    results = [runtime.read(block, size) == bytes([value]) * size
               for value, (block, size) in enumerate(blocks)]
    for block, _ in blocks:
        runtime.call("cudaFree", block)
    return results


def refusals(runtime):
    texts = []
    for name, arguments in (("cudaMalloc", (ctypes.byref(ADDRESS()), 1 << 60)),
                            ("cudaSetDevice", (99,)),
                            ("cudaIpcGetMemHandle", (ctypes.byref(Handle()), None))):
        try:
            runtime.call(name, *arguments)
            texts.append(f"{name}: no error")
        except RuntimeError as error:
            texts.append(str(error))
    return texts


def run_rank(rank, peer):
    """Everything one rank does; returns its lines."""
    runtime = RuntimeLibrary()
    runtime.call("cudaSetDevice", 0)
    lines = [f"peer access: {peer_access_check(runtime, rank, peer)}",
             f"private: {private_blocks(runtime)}",
             f"shared: {shared_buffers(runtime, rank, peer)}",
             *refusals(runtime)]
    runtime.call("cudaDeviceReset")
    lines.append(f"after the reset: {private_blocks(runtime)}")
    return [f"rank {rank}: {line}" for line in lines + loaded.report()]


def load_runtime():
    """Replaces the framework that vLLM imports first, which is linked with the runtime."""
    for name in ("libcudart.so.13", "libcudart.so.12"):
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            problem = error
    sys.exit(f"vllm_ctypes: {problem}")


def main():
    load_runtime()
    if sys.argv[1:] == ["--peer"]:
        peer = Peer(sys.stdin, sys.stdout)
        peer.exchange(run_rank(1, peer))
        return
    child = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--peer"], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    peer = Peer(child.stdout, child.stdin)
    lines = run_rank(0, peer)
    lines += peer.exchange()
    print("\n".join(lines))
    sys.exit(child.wait())


main()
