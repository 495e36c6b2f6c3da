# SPDX-License-Identifier: MIT
"""Makes a memory snapshot with PyTorch, and PyTorch's own figures of the same run.

snapshot.pickle and snapshot.json in this folder are its output, with PyTorch 2.15.0+cu132 on the
simulated device; snapshot_expandable.json has the figures with expandable segments, for the same
requests. inputs_test.py compares `cupool replay` with them. To make them again:

    cupool run --sim -- python snapshot.py snapshot.pickle > snapshot.json
    PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True \
        cupool run --sim -- python snapshot.py /dev/shm/unused > snapshot_expandable.json

Some memory is allocated before the history begins, some is in use by a second stream when it is
freed, and the caching allocator rounds, splits and merges.
"""

import json
import pathlib
import pickle
import random
import sys

import torch

SIZES = (100, 1000, 5000, 70_000, 300_000, 1_500_000, 3_000_000, 6_000_000, 23_000_000)
FIGURES = ("requested_bytes.all.peak", "allocated_bytes.all.peak", "reserved_bytes.all.peak",
           "allocation.all.allocated", "segment.all.allocated", "num_device_alloc",
           "num_device_free")


def block(draw):
    return torch.empty(draw.choice(SIZES), dtype=torch.uint8, device="cuda")


def paths_cut(name):
    """Keeps only the names of source files, without folders."""
    path = pathlib.Path(name)
    snapshot = pickle.loads(path.read_bytes())
    for entry in snapshot["device_traces"][0] + [block for segment in snapshot["segments"]
                                                 for block in segment["blocks"]]:
        for frame in entry.get("frames", ()):
            frame["filename"] = pathlib.Path(frame["filename"]).name
    path.write_bytes(pickle.dumps(snapshot))


def main():
    draw = random.Random(1)
    kept = [block(draw) for _ in range(3)]
    torch.cuda.memory._record_memory_history(max_entries=100_000, stacks="python")
    other = torch.cuda.Stream()
    for step in range(24):
        some = [block(draw) for _ in range(6)]
        kept.append(some[draw.randrange(6)])
        if len(kept) > 8:
            kept.pop(draw.randrange(8))
        if step % 8 == 7:
            some[0].record_stream(other)
    del some
    torch.cuda.synchronize()
    kept.append(block(draw))
    figures = torch.cuda.memory_stats()
    torch.cuda.memory._dump_snapshot(sys.argv[1])
    paths_cut(sys.argv[1])
    json.dump({"torch": torch.__version__} | {name: figures[name] for name in FIGURES}, sys.stdout,
              indent=1)
    print()


main()
