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
from .codec import BlockCodec, Codec, Element, Refused, codec_named, codecs
from .device import (STREAM_NONE, Device, DeviceKind, DeviceStats, MemoryEvent, MemoryStats, Pressure,
                     version)
from .group import match_group, window_tail
from .identity import Identity, Media, Scope
from .kv import (Block, Duplicates, Event, Evict, Geometry, KVPool, KVStats, Layout, Order, Policy, Prefetch,
                 PriorityRange, Source, State, Type)
from .preload import is_preloaded, mark, phase, phase_begin, phase_end, step
from .publisher import Publisher, PublisherStats
from .sequence import Sequence, Sequences, SequencesStats
from .tensor import ShapeStats, Tensor, Tensors, TensorStats, TensorType, tensor_bytes
from .transfer import (Direction, HostMemory, RegisteredMemory, Thresholds, Transfer, Transfers,
                       TransferStats)
from .tier import FileTier, HostTier, Presence, ServerTier, Tiers, TiersStats, TierStats

__all__ = ["Block", "BlockCodec", "Codec", "CupoolError", "Device", "DeviceKind",
           "DeviceStats", "Direction", "Duplicates", "Element", "Event", "Evict",
           "FileTier", "Geometry", "HostMemory", "HostTier", "Identity", "KVPool",
           "KVStats", "Layout", "Media", "MemoryEvent", "MemoryStats", "Order",
           "OutOfBlocks", "Policy", "Prefetch", "Presence", "Pressure", "PriorityRange",
           "Publisher", "PublisherStats", "Refused", "RegisteredMemory", "STREAM_NONE",
           "Scope", "Sequence", "Sequences", "SequencesStats", "ServerTier", "ShapeStats",
           "Source", "StaleHandle", "State", "Tensor", "TensorStats", "TensorType",
           "Tensors", "Thresholds", "TierStats", "Tiers", "TiersStats", "Transfer",
           "TransferStats", "Transfers", "Type", "codec_named", "codecs", "is_preloaded",
           "mark", "match_group", "phase", "phase_begin", "phase_end", "step",
           "tensor_bytes", "version", "window_tail"]
