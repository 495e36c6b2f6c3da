# SPDX-License-Identifier: MIT
"""The KV block pool."""

import ctypes
import enum
import errno
import operator
import os
from dataclasses import dataclass
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from . import _library as lib
from ._errors import check
from ._library import api
from ._owner import Owner, answers, settings_set
from .device import STREAM_NONE, Device, Pressure, figures, pressure_callback
from .identity import to_hashes


class Type(enum.IntEnum):
    F16, BF16, F32, F8_E4M3, F8_E5M2, I8 = range(6)


class Layout(enum.IntEnum):
    BLOCKS_FIRST, LAYERS_FIRST = range(2)


class Order(enum.IntEnum):
    HND, NHD = range(2)


class Policy(enum.IntEnum):
    """CUSTOM: the pool's argument `rank` chooses."""

    LRU, PRIORITY, CUSTOM = range(3)


class State(enum.IntEnum):
    FREE, MUTABLE, COMPLETE, ACTIVE, INACTIVE, NULL, RETIRED = range(7)


class Evict(enum.IntEnum):
    NORMAL, AGGRESSIVE = range(2)


class Duplicates(enum.IntEnum):
    KEEP_BOTH, ANSWER_FIRST = range(2)


class Source(enum.IntEnum):
    """Source of a prefetched block: PRESENT was in the pool, LOADED came from a tier, COMPUTE is reserved for
    the caller to compute and register."""

    PRESENT, LOADED, COMPUTE, LOADING = range(4)


class PriorityRange(NamedTuple):
    """Priority, 0 to 100, of `count` blocks of a sequence from block `first` on; duration 0: for good."""

    first: int
    count: int
    priority: int
    duration_ns: int = 0


@dataclass(frozen=True)
class Geometry:
    """Strides of a block's memory, in bytes; base is the address of block 0, layer 0, key."""

    block_bytes: int
    layer_bytes: int
    key_bytes: int
    value_bytes: int
    block_stride: int
    layer_stride: int
    key_token_stride: int
    key_head_stride: int
    value_token_stride: int
    value_head_stride: int
    base: Optional[int]


@dataclass(frozen=True)
class KVStats:
    total: int
    free: int
    mutable_blocks: int
    complete: int
    active: int
    inactive: int
    pinned: int
    draining: int
    available: int
    peak_used: int
    usage: float
    occupied: float
    hit_rate: float
    queries: int
    hits: int
    matches: int
    allocations: int
    allocation_calls: int
    failures: int
    waits: int
    evictions: int
    registrations: int
    duplicates: int
    collisions: int
    released: int
    stale: int
    copies: int
    events: int
    events_dropped: int
    pages_mapped: int
    page_bytes: int
    overflow: int
    metadata_bytes: int


@dataclass(frozen=True)
class Event:
    """kind is "stored", "removed" or "cleared"."""

    sequence: int
    kind: str
    group: int
    tier: int
    block_tokens: int
    hashes: Tuple[bytes, ...]
    parent: Optional[bytes]


@dataclass(frozen=True)
class Block:
    """State of a block. The policy LRU does not keep hits and last_use_ns."""

    handle: int
    id: int
    state: State
    references: int
    priority: int
    hits: int
    tokens: int
    last_use_ns: int
    pinned: bool
    key: Optional[bytes]


def _block(block: lib.KVBlock) -> Block:
    registered = block.state in (State.ACTIVE, State.INACTIVE)
    return Block(block.handle, block.id, State(block.state), block.references, block.priority, block.hits,
                 block.tokens, block.last_use_ns, bool(block.pinned),
                 bytes(block.hash.bytes) if registered else None)


def _rank(answer: int) -> int:
    number = operator.index(answer)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"a rank of {number}: out of range")
    return number


def _answers(function: Callable[[Block], int], otherwise: int) -> Callable[..., int]:
    return answers(lambda _, block: function(_block(block.contents)), otherwise)


_EVENT_KINDS = ("stored", "removed", "cleared")
_SETTINGS = [name for name, *_ in lib.KVConfig._fields_
             if name not in {"custom", "clock_ns", "clock_state"}]


def _handles(values: Sequence[int]) -> ctypes.Array:
    if isinstance(values, int):
        raise TypeError("a list of handles is required, not a single handle")
    return (ctypes.c_uint64 * max(1, len(values)))(*values)


def _room(count: int) -> ctypes.Array:
    if not 0 <= count < 1 << 32:
        raise ValueError(f"{count} blocks: out of range")
    return _handles([0] * count)


def take_events(poll: Callable[..., int]) -> List[Event]:
    """Returns all events; poll(events, room, hashes, room, count, dropped) gives some at a time."""
    taken: List[Event] = []
    events, hashes = (lib.KVEvent * 64)(), (lib.Hash * 4096)()
    count, dropped = ctypes.c_uint32(), ctypes.c_uint64()
    while True:
        poll(events, 64, hashes, 4096, ctypes.byref(count), ctypes.byref(dropped))
        for event in events[:count.value]:
            keys = hashes[event.first:event.first + event.count]
            taken.append(Event(event.sequence, _EVENT_KINDS[event.kind], event.group, event.tier,
                               event.block_tokens, tuple(bytes(key.bytes) for key in keys),
                               bytes(event.parent.bytes) if event.has_parent else None))
        if count.value == 0:
            return taken


class Prefetch:
    """Blocks of a sequence that come back from the tiers below a pool; see KVPool.prefetch()."""

    def __init__(self, pool: "KVPool", pending: dict, keys: ctypes.Array, count: int,
                 handles: ctypes.Array, sources: ctypes.Array, ticket: int):
        # The library reads and writes the arrays until the end.
        self._pool, self._pending, self._keys, self._count = pool, pending, keys, count
        self._handles, self._sources, self._ticket = handles, sources, ticket
        self._cancelled = False

    def done(self) -> bool:
        """Whether every block has its source; also advances the pool's requests."""
        if self._cancelled:
            raise ValueError("the prefetch was cancelled")
        return self._ended()

    def _ended(self) -> bool:
        if self._ticket == 0:
            return True
        answer = api.kv_ticket_result(self._pool.handle, self._ticket)
        if answer == -errno.EINPROGRESS:
            return False
        self._pending.pop(self._ticket, None)
        self._ticket = 0
        if not self._cancelled:
            check(answer, "the prefetch failed")
        return True

    def cancel(self) -> None:
        """Gives all blocks back; the memory of loads under way when these have ended."""
        if self._ticket == 0:
            raise ValueError("the prefetch has ended; release its blocks")
        check(api.kv_cancel(self._pool.handle, self._ticket), "the prefetch cannot be cancelled")
        self._cancelled = True
        self._ended()

    def forget_cancelled(self) -> None:
        """Gives the request of a cancelled prefetch back once its loads have ended."""
        if self._cancelled:
            self._ended()

    @property
    def blocks(self) -> List[int]:
        """Handles of all blocks in order, to release after use."""
        if not self.done():
            raise ValueError("the prefetch has not ended")
        return list(self._handles[:self._count])

    @property
    def sources(self) -> List[Source]:
        if not self.done():
            raise ValueError("the prefetch has not ended")
        return [Source(source) for source in self._sources[:self._count]]


class KVPool(Owner):
    """A pool of KV blocks. Handles are integers.

    Settings are fields of cupool_kv_config: block_tokens (16), layers, kv_heads, head_dim, key_type and
    value_type (Type), layout (Layout), order (Order), null_block, clear, elastic, page_bytes, idle_pages,
    max_blocks, caching (1), policy (Policy), events, window (1000), requests (64), group, tier. With
    layers=0 it has no memory: bookkeeping only. Closing it first closes sequences and tiers on it.

    `rank` is a policy of your own: a function of a Block that returns an integer, 0 to 2**64 - 1, when the block
    becomes evictable; the lowest goes first. `may_evict`, a function of a Block, returns False to veto. Both run while
    the pool is locked, on any thread that uses it, and must not call it; an exception in them is printed and
    counts as 0 and False.

    States of a block: FREE (Available), MUTABLE (Allocated), COMPLETE, ACTIVE (Registered and in use),
    INACTIVE (Returned: cached).
    """

    _what = "the pool is"

    def __init__(self, device: Device, blocks: int, rank: Optional[Callable[[Block], int]] = None,
                 may_evict: Optional[Callable[[Block], bool]] = None, **settings: int):
        super().__init__()
        config = lib.KVConfig()
        api.kv_config_init(ctypes.byref(config))
        if rank is not None:
            settings.setdefault("policy", Policy.CUSTOM)
            config.custom.rank = lib.RANK(_answers(lambda block: _rank(rank(block)), 0))
        if may_evict is not None:
            config.custom.may_evict = lib.MAY_EVICT(_answers(lambda block: bool(may_evict(block)), 0))
        if (settings.get("policy") == Policy.CUSTOM) != (rank is not None) or (may_evict and not rank):
            raise TypeError("KVPool: policy CUSTOM, rank and may_evict go together")
        self._custom = config.custom
        settings = {"blocks": blocks, **settings}
        settings_set(config, settings, _SETTINGS, "KVPool")
        handle = ctypes.c_void_p()
        result = api.kv_create(device.handle, ctypes.byref(config), ctypes.byref(handle))
        named = ", ".join(f"{name}={value}" for name, value in settings.items())
        check(result, f"cannot create a pool with {named}: {os.strerror(abs(result))}")
        self.device = device
        self.block_tokens: int = config.block_tokens
        device.own(self)
        self._handle: Optional[int] = handle.value
        self._callbacks: list = []
        self._waiting: dict = {}
        self._prefetches: dict = {}

    def _destroy(self, handle: int) -> None:
        api.kv_destroy(handle)
        self._waiting.clear()
        self._prefetches.clear()
        self.device.disown(self)

    def __repr__(self) -> str:
        if self._handle is None:
            return "<KVPool, closed>"
        stats = self.stats()
        return (f"<KVPool of {stats.total} blocks of {self.block_tokens} tokens: {stats.available} available, "
                f"{stats.inactive} of them cached>")

    def _check(self, result: int) -> int:
        return check(result, api.kv_error(self.handle).decode() if result < 0 else "")

    def allocate(self, count: int, stream: Optional[int] = STREAM_NONE) -> List[int]:
        """Allocates blocks, all or none; OutOfBlocks if there are not enough."""
        handles = _room(count)
        result = api.kv_allocate(self.handle, count, stream, handles)
        if result < 0:
            check(result, f"{api.kv_error(self.handle).decode()}: {count} requested, "
                          f"{self.available_blocks} available")
        return list(handles[:count])

    def allocate_later(self, count: int, deadline_ns: int = 0,
                       stream: Optional[int] = STREAM_NONE) -> int:
        """Requests blocks as soon as enough are free; returns a ticket for result()."""
        self._cancelled_forget()
        handles, ticket = _room(count), ctypes.c_uint64()
        self._check(api.kv_allocate_async(self.handle, count, stream, deadline_ns, handles, None, None,
                                          ctypes.byref(ticket)))
        self._waiting[ticket.value] = (handles, count)
        return ticket.value

    def result(self, ticket: int) -> Optional[List[int]]:
        """Returns the blocks of a ticket; None while it waits."""
        answer = api.kv_ticket_result(self.handle, ticket)
        if answer == -errno.EINPROGRESS:
            return None
        handles, count = self._waiting.pop(ticket, (None, 0))
        self._check(answer)
        return list(handles[:count]) if handles is not None else None

    def cancel(self, ticket: int) -> None:
        self._check(api.kv_cancel(self.handle, ticket))
        api.kv_ticket_result(self.handle, ticket)
        self._waiting.pop(ticket, None)

    def poll(self) -> int:
        return self._check(api.kv_poll(self.handle))

    def event_fd(self) -> int:
        """A descriptor that becomes readable when a request or a prefetch ends."""
        descriptor = ctypes.c_int()
        self._check(api.kv_event_fd(self.handle, ctypes.byref(descriptor)))
        return descriptor.value

    def retain(self, handles: Sequence[int]) -> None:
        self._check(api.kv_retain(self.handle, _handles(handles), len(handles)))

    def release(self, handles: Sequence[int], stream: Optional[int] = STREAM_NONE) -> None:
        self._check(api.kv_release(self.handle, _handles(handles), len(handles), stream))

    def stream_order(self, handles: Sequence[int], stream: Optional[int]) -> None:
        """Makes a stream wait for device work on these blocks that was announced on other streams."""
        self._check(api.kv_stream_order(self.handle, _handles(handles), len(handles), stream))

    def strides(self) -> Geometry:
        """Returns how the memory is laid out, for kernels."""
        geometry = lib.KVGeometry()
        api.kv_strides(self.handle, ctypes.byref(geometry))
        return figures(Geometry, geometry)

    def memory(self, handle: int, layer: int, value: bool = False) -> Tuple[int, int]:
        """Address and bytes of a layer's keys or values."""
        memory, size = ctypes.c_void_p(), ctypes.c_size_t()
        self._check(api.kv_memory(self.handle, handle, layer, int(value), ctypes.byref(memory),
                                  ctypes.byref(size)))
        return memory.value or 0, size.value

    def describe(self, handle: int) -> Block:
        """Returns the state of a block."""
        block = lib.KVBlock()
        self._check(api.kv_describe(self.handle, handle, ctypes.byref(block)))
        return _block(block)

    def state(self, handle: int) -> State:
        return self.describe(handle).state

    def downgrade(self, handle: int) -> int:
        """Returns a weak handle of a registered block, which does not keep the block."""
        weak = ctypes.c_uint64()
        self._check(api.kv_downgrade(self.handle, handle, ctypes.byref(weak)))
        return weak.value

    def upgrade(self, weak: int) -> int:
        """Takes a reference through a weak handle; StaleHandle once the block was evicted."""
        handle = ctypes.c_uint64()
        self._check(api.kv_upgrade(self.handle, weak, ctypes.byref(handle)))
        return handle.value

    def complete(self, handles: Sequence[int]) -> None:
        self._check(api.kv_complete(self.handle, _handles(handles), len(handles)))

    def register(self, handles: Sequence[int], keys: Sequence[bytes], parent: Optional[bytes] = None,
                 duplicates: int = Duplicates.KEEP_BOTH,
                 stream: Optional[int] = STREAM_NONE) -> List[int]:
        """Registers complete blocks under their keys; returns the handles to use from now on."""
        if len(keys) != len(handles):
            raise ValueError("keys and handles differ in length")
        out = _handles(handles)
        before = to_hashes([parent]) if parent is not None else None
        self._check(api.kv_register(self.handle, out, to_hashes(keys), len(handles), before, duplicates,
                                    stream, out))
        return list(out[:len(handles)])

    def register_partial(self, handle: int, key: bytes, tokens: int, parent: Optional[bytes] = None,
                         stream: Optional[int] = STREAM_NONE) -> None:
        """Registers the first tokens of a block that is still being written, in place of its earlier
        registration. Whoever matches it must copy (make_writable); the key is Identity.partial()."""
        before = to_hashes([parent]) if parent is not None else None
        self._check(api.kv_register_partial(self.handle, handle, to_hashes([key]), before, tokens, stream))

    def prefetch(self, keys: Sequence[bytes], parent: Optional[bytes] = None,
                 stream: Optional[int] = STREAM_NONE) -> Prefetch:
        """Begins to bring a sequence's blocks back: takes references to those in the pool, reserves the rest
        (all or none: OutOfBlocks) and loads what the tiers below hold."""
        self._cancelled_forget()
        hashes, handles, ticket = to_hashes(keys), _room(len(keys)), ctypes.c_uint64()
        sources = (ctypes.c_uint8 * max(1, len(keys)))()
        before = to_hashes([parent]) if parent is not None else None
        self._check(api.kv_prefetch(self.handle, hashes, len(keys), before, stream, handles, sources, None,
                                    None, ctypes.byref(ticket)))
        begun = Prefetch(self, self._prefetches, hashes, len(keys), handles, sources, ticket.value)
        self._prefetches[ticket.value] = begun
        return begun

    def _cancelled_forget(self) -> None:
        for earlier in list(self._prefetches.values()):
            earlier.forget_cancelled()

    def match(self, keys: Sequence[bytes]) -> List[int]:
        """Takes references to the blocks of the longest cached prefix."""
        handles, matched = _handles([0] * len(keys)), ctypes.c_uint32()
        self._check(api.kv_match(self.handle, to_hashes(keys), len(keys), handles,
                                 ctypes.byref(matched)))
        return list(handles[:matched.value])

    def match_scattered(self, keys: Sequence[bytes]) -> List[int]:
        """One for each key, 0 where there is no block."""
        handles, matched = _handles([0] * len(keys)), ctypes.c_uint32()
        self._check(api.kv_match_scattered(self.handle, to_hashes(keys), len(keys), handles,
                                           ctypes.byref(matched)))
        return list(handles[:len(keys)])

    def peek(self, keys: Sequence[bytes]) -> int:
        matched = ctypes.c_uint32()
        self._check(api.kv_peek(self.handle, to_hashes(keys), len(keys), ctypes.byref(matched)))
        return matched.value

    def make_writable(self, handle: int, stream: Optional[int] = STREAM_NONE) -> int:
        out = ctypes.c_uint64()
        self._check(api.kv_make_writable(self.handle, handle, stream, ctypes.byref(out)))
        return out.value

    def set_priority(self, handles: Sequence[int], priority: int, duration_ns: int = 0) -> None:
        self._check(api.kv_set_priority(self.handle, _handles(handles), len(handles), priority,
                                        duration_ns))

    def set_priorities(self, handles: Sequence[int], ranges: Sequence[PriorityRange]) -> None:
        """Sets priorities of ranges of a sequence, which must not overlap."""
        array = (lib.KVPriorityRange * max(1, len(ranges)))(*ranges)
        self._check(api.kv_set_priorities(self.handle, _handles(handles), len(handles), array, len(ranges)))

    def pin(self, handles: Sequence[int]) -> None:
        self._check(api.kv_pin(self.handle, _handles(handles), len(handles)))

    def unpin(self, keys: Sequence[bytes]) -> None:
        self._check(api.kv_unpin(self.handle, to_hashes(keys), len(keys)))

    def _counted(self, function, *arguments) -> int:
        count = ctypes.c_uint32()
        self._check(function(self.handle, *arguments, ctypes.byref(count)))
        return count.value

    def evict(self, count: int, mode: int = Evict.NORMAL) -> int:
        return self._counted(api.kv_evict, mode, count)

    def forget(self, keys: Sequence[bytes]) -> int:
        return self._counted(api.kv_forget, to_hashes(keys), len(keys))

    def trim(self, keep: int = 0) -> int:
        return self._counted(api.kv_trim, keep)

    def resize(self, blocks: int) -> int:
        return self._counted(api.kv_resize, blocks)

    def reset(self) -> None:
        """Drops all cached blocks; refused while blocks are in use."""
        in_use = ctypes.c_uint32()
        result = api.kv_reset(self.handle, ctypes.byref(in_use))
        used = "1 block is" if in_use.value == 1 else f"{in_use.value} blocks are"
        check(result, f"{used} in use" if in_use.value else api.kv_error(self.handle).decode())

    def on_pressure(self, callback: Optional[Callable[[Pressure, float], None]], normal: float = 0.7,
                    aggressive: float = 0.9, hysteresis: float = 0.05) -> None:
        """Sets a callback for when the share of blocks in use crosses a threshold."""
        function = pressure_callback(callback)
        self._callbacks.append(function)  # for good: another thread may be about to call an earlier one
        self._check(api.kv_pressure(self.handle, lib.Thresholds(normal, aggressive, hysteresis), function,
                                    None))

    def events(self) -> List[Event]:
        """Returns the blocks stored and removed since the last call."""
        return take_events(lambda *rooms: self._check(api.kv_events_poll(self.handle, *rooms)))

    def stats(self) -> KVStats:
        stats = lib.KVStatistics()
        self._check(api.kv_stats(self.handle, ctypes.byref(stats)))
        return figures(KVStats, stats)

    @property
    def total_blocks(self) -> int:
        """Number of blocks of the pool."""
        return self.stats().total

    @property
    def available_blocks(self) -> int:
        """Number of free blocks, and cached ones that may be evicted."""
        return self.stats().available

    @property
    def free_blocks(self) -> int:
        return self.stats().free

    @property
    def usage_rate(self) -> float:
        """Share of the blocks in use."""
        return self.stats().usage

    @property
    def hit_rate(self) -> float:
        """Share of the blocks looked up by matches that were found."""
        return self.stats().hit_rate

    def window_hit_rate(self) -> float:
        rate = ctypes.c_double()
        self._check(api.kv_stats_window(self.handle, None, None, ctypes.byref(rate)))
        return rate.value

    def check(self) -> None:
        """Raises if an invariant is broken, with its name."""
        why = ctypes.create_string_buffer(160)
        check(api.kv_check(self.handle, why, len(why)), why.value.decode())
