# SPDX-License-Identifier: MIT
"""cuda-bindings' runtime module: memory of all kinds, streams, events, a graph, errors.

Prints results and sizes, nothing that depends on addresses.
"""

import ctypes

from cuda.bindings import runtime

SIZES = [256 << shift for shift in range(14)]


def called(answer):
    """Returns the results of a call; raises unless it succeeded."""
    error, *values = answer
    if error != runtime.cudaError_t.cudaSuccess:
        raise RuntimeError(f"{error.name}: {runtime.cudaGetErrorString(error)[1].decode()}")
    return values[0] if len(values) == 1 else values


def device():
    properties = called(runtime.cudaGetDeviceProperties(0))
    free, total = called(runtime.cudaMemGetInfo())
    print("device", called(runtime.cudaGetDeviceCount()), called(runtime.cudaRuntimeGetVersion()),
          properties.totalGlobalMem == total, free <= total)


def blocks():
    """Allocates and frees blocks; every third block stays to the end."""
    kept, held = [], 0
    for turn in range(120):
        size = SIZES[turn * 5 % len(SIZES)] + turn
        block = called(runtime.cudaMalloc(size))
        if turn % 3:
            called(runtime.cudaFree(block))
        else:
            kept.append(block)
            held += size
    print("blocks", len(kept), held)
    return kept


def contents(stream):
    source, back = (ctypes.create_string_buffer(5000) for _ in range(2))
    source.raw = bytes(range(250)) * 20
    block = called(runtime.cudaMalloc(5000))
    called(runtime.cudaMemcpyAsync(block, ctypes.addressof(source), 5000,
                                   runtime.cudaMemcpyKind.cudaMemcpyHostToDevice, stream))
    called(runtime.cudaMemsetAsync(block + 100, 7, 50, stream))
    called(runtime.cudaMemcpyAsync(ctypes.addressof(back), block, 5000,
                                   runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost, stream))
    called(runtime.cudaStreamSynchronize(stream))
    print("contents", back.raw[:100] == source.raw[:100], set(back.raw[100:150]), back.raw[150:] == source.raw[150:])
    called(runtime.cudaFree(block))


def ordered(stream):
    """Stream-ordered, managed and pinned memory."""
    for _ in range(10):
        called(runtime.cudaFreeAsync(called(runtime.cudaMallocAsync(1 << 20, stream)), stream))
    called(runtime.cudaStreamSynchronize(stream))
    called(runtime.cudaFree(called(runtime.cudaMallocManaged(4096, runtime.cudaMemAttachGlobal))))
    called(runtime.cudaFreeHost(called(runtime.cudaMallocHost(4096))))
    event = called(runtime.cudaEventCreate())
    called(runtime.cudaEventRecord(event, stream))
    called(runtime.cudaEventSynchronize(event))
    called(runtime.cudaEventDestroy(event))
    print("ordered")


def graph(stream, block):
    called(runtime.cudaStreamBeginCapture(stream, runtime.cudaStreamCaptureMode.cudaStreamCaptureModeGlobal))
    called(runtime.cudaMemsetAsync(block, 1, 256, stream))
    captured = called(runtime.cudaStreamEndCapture(stream))
    runnable = called(runtime.cudaGraphInstantiate(captured, 0))
    for _ in range(3):
        called(runtime.cudaGraphLaunch(runnable, stream))
    called(runtime.cudaStreamSynchronize(stream))
    called(runtime.cudaGraphExecDestroy(runnable))
    called(runtime.cudaGraphDestroy(captured))
    print("graph")


def refusals(freed):
    for function, argument in ((runtime.cudaMalloc, 1 << 50), (runtime.cudaFree, freed), (runtime.cudaSetDevice, 77)):
        print("refused", function(argument)[0].name, runtime.cudaGetLastError()[0].name)


def main():
    device()
    kept = blocks()
    stream = called(runtime.cudaStreamCreate())
    contents(stream)
    ordered(stream)
    graph(stream, kept[0])
    for block in kept:
        called(runtime.cudaFree(block))
    refusals(kept[0])
    called(runtime.cudaStreamDestroy(stream))


main()
