# SPDX-License-Identifier: MIT
"""KV block pools, sequences, tensors, transfers and device memory of libcupool-engine; phases, steps and marks
for a preloaded libcupool.so.

    import cupool

    device = cupool.Device.gpu(0)
    pool = cupool.KVPool(device, blocks=1024, layers=32, kv_heads=8, head_dim=128)
    with cupool.phase("decode"):
        blocks = pool.allocate(4)
        ...
        pool.release(blocks)
"""

from ._errors import CupoolError, OutOfBlocks, StaleHandle
from .codec import BlockCodec, Codec, Element, Refused, codecs
from .device import STREAM_NONE, Device, DeviceStats, MemoryStats, version
from .identity import Identity, Media, Scope
from .kv import (Block, Duplicates, Event, Evict, KVPool, KVStats, Layout, Order, Policy, Pressure, State,
                 Type)
from .preload import is_preloaded, mark, phase, phase_begin, phase_end, step
from .publisher import Publisher, PublisherStats
from .sequence import Sequence, Sequences
from .tensor import ShapeStats, Tensor, Tensors, TensorStats, TensorType
from .transfer import Direction, HostMemory, Thresholds, Transfer, Transfers, TransferStats
from .tier import FileTier, HostTier, Presence, ServerTier, Tiers, TiersStats, TierStats

__all__ = ["Block", "BlockCodec", "Codec", "CupoolError", "Device", "DeviceStats", "Direction",
           "Duplicates", "Element", "Event", "Evict", "FileTier", "HostMemory",
           "HostTier", "Identity", "KVPool", "KVStats", "Layout", "Media",
           "MemoryStats", "Order", "OutOfBlocks", "Policy", "Presence", "Pressure",
           "Publisher", "PublisherStats", "Refused", "STREAM_NONE", "Scope", "Sequence",
           "Sequences", "ServerTier", "ShapeStats", "StaleHandle", "State", "Tensor",
           "TensorStats", "TensorType", "Tensors", "Thresholds", "TierStats", "Tiers",
           "TiersStats", "Transfer", "TransferStats", "Transfers", "Type", "codecs",
           "is_preloaded", "mark", "phase", "phase_begin", "phase_end", "step",
           "version"]
