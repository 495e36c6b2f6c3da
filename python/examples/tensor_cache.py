# SPDX-License-Identifier: MIT
"""Temporaries of a transformer's layers from a tensor cache.

    cupool run --sim -- python3 tensor_cache.py        a simulated GPU, recorded
    python3 tensor_cache.py --host                     host memory
    python3 tensor_cache.py --reserve report.json      what a recorded run needed, allocated beforehand
"""

import argparse

import cupool
from cupool import TensorType

HIDDEN, LAYERS, STEPS = 512, 4, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", action="store_true")
    parser.add_argument("--reserve", metavar="REPORT")
    arguments = parser.parse_args()
    device = cupool.Device.host() if arguments.host else cupool.Device.gpu(0)
    with device, cupool.Tensors(device, limit_bytes=64 << 20) as tensors:
        stream = device.stream()
        if arguments.reserve:
            count, size = tensors.reserve_file(arguments.reserve)
            print(f"reserved {count} tensors, {size} bytes")
        for step in range(STEPS):
            with cupool.phase("step"):
                cupool.step(step)
                rows = 1 if step else 64  # prefill, then one token at a time
                for _ in range(LAYERS):
                    with tensors.acquire((rows, HIDDEN), TensorType.F32, stream=stream) as hidden, \
                            tensors.acquire((rows, 4 * HIDDEN), TensorType.F32, stream=stream) as wide:
                        device.fill(hidden.address, 0, hidden.bytes, stream)
                        device.fill(wide.address, 0, wide.bytes, stream)
        device.wait(stream)
        stats = tensors.stats()
        tensors.check()
        device.stream_destroy(stream)
        print(f"{stats.hits} hits, {stats.misses} misses, peak {stats.peak_bytes} bytes")


if __name__ == "__main__":
    main()
