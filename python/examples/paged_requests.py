# SPDX-License-Identifier: MIT
"""Serves a few requests with a common prefix from a KV pool, as an engine does.

    cupool run --sim -- python3 paged_requests.py        a simulated GPU, recorded
    python3 paged_requests.py --host                     host memory
"""

import sys

import cupool


def main() -> None:
    device = cupool.Device.host() if "--host" in sys.argv else cupool.Device.gpu(0)
    prefix = list(range(64))
    with device, cupool.KVPool(device, blocks=64, layers=4, kv_heads=2, head_dim=64, null_block=1,
                               clear=1) as pool, cupool.Sequences(pool, max_tokens=512) as sequences:
        stream = device.stream()
        for number in range(4):
            prompt = prefix + [1000 + number] * 20
            with cupool.phase("prefill"):
                sequence = sequences.create()
                matched = sequence.match(prompt, stream)
                sequence.append(prompt[matched:], stream)
                for position in range(matched, len(prompt)):
                    handle, _ = sequence.place(position)
                    address, size = pool.memory(handle, layer=0)
                    device.fill(address, number + 1, size, stream)
                sequence.commit(stream)
            with cupool.phase("decode"):
                for token in range(32):
                    cupool.step(token)
                    sequence.append([2000 + token], stream)
                    sequences.tables(stream=stream)
            print(f"request {number}: {matched} of {len(prompt)} tokens were here, "
                  f"{len(sequence.table())} blocks")
            sequence.remove(stream)
        device.wait(stream)
        device.stream_destroy(stream)
        stats = pool.stats()
        pool.check()
        print(f"{stats.hits} of {stats.queries} blocks hit, {stats.evictions} evicted, "
              f"{stats.inactive} cached")


if __name__ == "__main__":
    main()
