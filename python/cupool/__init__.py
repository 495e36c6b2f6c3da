# SPDX-License-Identifier: MIT
"""KV block pools, sequences, tensors, transfers and device memory of libcupool-engine, and what a program
tells a preloaded libcupool.so: phases, steps, marks.

    import cupool

    device = cupool.Device.gpu(0)
    pool = cupool.KVPool(device, blocks=1024, layers=32, kv_heads=8, head_dim=128)
    with cupool.phase("decode"):
        blocks = pool.allocate(4)
        ...
        pool.release(blocks)
"""

from ._errors import CupoolError, OutOfBlocks, StaleHandle
from .device import STREAM_NONE, Device, DeviceStats, MemoryStats, version
from .identity import Identity, Media, Scope
from .kv import (Duplicates, Event, Evict, KVPool, KVStats, Layout, Order, Policy, Pressure, State,
                 Type)
from .preload import is_preloaded, mark, phase, phase_begin, phase_end, step
from .sequence import Sequence, Sequences
from .tensor import ShapeStats, Tensor, Tensors, TensorStats, TensorType
from .transfer import Direction, HostMemory, Thresholds, Transfer, Transfers, TransferStats

__all__ = ["CupoolError", "Device", "DeviceStats", "Direction", "Duplicates", "Event", "Evict",
           "HostMemory", "Identity", "KVPool", "KVStats", "Layout", "Media", "MemoryStats",
           "Order", "OutOfBlocks", "Policy", "Pressure", "STREAM_NONE", "Scope", "Sequence",
           "Sequences", "ShapeStats", "StaleHandle", "State", "Tensor", "TensorStats",
           "TensorType", "Tensors", "Thresholds", "Transfer", "TransferStats", "Transfers",
           "Type", "is_preloaded", "mark", "phase", "phase_begin", "phase_end", "step",
           "version"]
