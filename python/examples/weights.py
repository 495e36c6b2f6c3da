# SPDX-License-Identifier: MIT
"""Copies weights to a GPU: many tensors by one transfer into one allocation, large ones from page-locked memory.

    cupool run --sim -- python3 weights.py        a simulated GPU, recorded
    python3 weights.py --host                     host memory
"""

import sys

import cupool
from cupool import Direction


def weights():
    """Name and content of each tensor."""
    for layer in range(8):
        yield f"layer{layer}.norm", bytes([layer + 1]) * 2048
        yield f"layer{layer}.bias", bytes([layer + 101]) * (96 + layer)


def main() -> None:
    device = cupool.Device.host() if "--host" in sys.argv else cupool.Device.gpu(0)
    with device, cupool.Transfers(device) as transfers:
        stream = device.stream()
        with cupool.phase("load"):
            names, contents = zip(*weights())
            memory, addresses, transfer = transfers.prefetch(contents, stream=stream)
            # The host need not wait: streams can be ordered behind the transfer.
            transfer.wait()
            transfer.order(stream)
        wrong = [name for name, content, address in zip(names, contents, addresses)
                 if device.read(address, len(content)) != content]
        print(f"{len(names)} tensors, {len(wrong)} wrong")
        # A large tensor, in memory that the device copies from without staging.
        size = 4 << 20
        with cupool.HostMemory(device, size) as host:
            host.buffer[0], host.buffer[size - 1] = 17, 23
            large = device.allocate(size, stream)
            calls = []
            transfers.submit(Direction.TO_DEVICE, [(large, host.address, size)], after=stream,
                             callback=calls.append).wait()
            print(f"large: {device.read(large, 1)[0]} … {device.read(large + size - 1, 1)[0]}, "
                  f"callback {calls}")
            device.free(large, stream)
        device.free(memory, stream)
        device.wait(stream)
        device.stream_destroy(stream)
        stats = transfers.stats(Direction.TO_DEVICE)
        transfers.check()
        print(f"{stats.fragments} fragments, {stats.bytes} bytes")


if __name__ == "__main__":
    main()
