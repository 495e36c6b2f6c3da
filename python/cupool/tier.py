# SPDX-License-Identifier: MIT
"""Tiers below a pool: host memory, files, a Valkey or Redis server."""

import ctypes
import enum
import errno
import os
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple, Union

from . import _library as lib
from ._errors import check
from ._library import api
from ._owner import Handle, settings_set, text
from .codec import Codec
from .device import STREAM_NONE, figures
from .identity import to_hashes
from .kv import Event, KVPool, take_events


class Presence(enum.IntEnum):
    """MISS, HIT, PENDING (being stored), ASK (a shared store may have it)."""

    MISS, HIT, PENDING, ASK = range(4)


@dataclass(frozen=True)
class HostTier:
    """Host memory of so many bytes."""

    bytes: int
    name: str = "host"
    entries: int = 0

    def _store(self, store) -> int:
        return api.tier_host(self.bytes, store)


@dataclass(frozen=True)
class FileTier:
    """A folder of this user's alone, with a budget."""

    folder: Union[str, "os.PathLike[str]"]
    bytes: int
    name: str = "file"
    entries: int = 0

    def _store(self, store) -> int:
        return api.tier_file(text(os.fsencode(self.folder), "folder"), store)


@dataclass(frozen=True)
class ServerTier:
    """A Valkey or Redis server; an address that begins with / is the path of a socket."""

    address: str
    port: int = 0
    password: Optional[str] = None
    prefix: str = "cupool"
    timeout_ms: int = 0
    retry_ms: int = 0
    expire_s: int = 0
    name: str = "server"
    bytes: int = 0
    entries: int = 0

    def _store(self, store) -> int:
        config = lib.TierServerConfig(
            address=text(self.address, "address"), prefix=text(self.prefix, "prefix"),
            password=text(self.password, "password") if self.password is not None else None)
        numbers = {"port": self.port, "timeout_ms": self.timeout_ms, "retry_ms": self.retry_ms,
                   "expire_s": self.expire_s}
        settings_set(config, numbers, numbers, "ServerTier")
        return api.tier_server(config, store)


@dataclass(frozen=True)
class TiersStats:
    queued: int
    storing: int
    loading: int
    offloads: int
    stored: int
    skipped: int
    store_failures: int
    loads: int
    loaded: int
    load_misses: int
    raw_bytes: int
    entry_bytes: int
    exact: int
    saturated: int
    encode_ns: int
    decode_ns: int
    copy_ns: int
    age_steps: int
    aged: int
    aged_raw_bytes: int
    aged_entry_bytes: int
    age_ns: int
    device_encoded: int
    device_decoded: int
    from_device_bytes: int
    to_device_bytes: int


@dataclass(frozen=True)
class TierStats:
    name: str
    shared: int
    available: int
    entries: int
    storing: int
    pinned: int
    bytes: int
    budget: int
    usage: float
    stored: int
    stored_bytes: int
    loaded: int
    loaded_bytes: int
    misses: int
    evictions: int
    refused: int
    failures: int
    unavailable: int
    corrupt: int
    last_fault: str
    put_ns: int
    get_ns: int
    peak_bytes: int


class Tiers(Handle):
    """Puts tiers below a pool, which closes them first. Settings are the fields of cupool_tiers_config."""

    _what = "the tiers are"

    def __init__(self, pool: KVPool, tiers: Sequence[Union[HostTier, FileTier, ServerTier]],
                 identity: str = "", codec: int = Codec.PLAIN, **settings: int):
        config = lib.TiersConfig()
        api.tiers_config_init(config)
        config.identity, config.codec = text(identity, "identity"), codec
        settings_set(config, settings, [name for name, *_ in lib.TiersConfig._fields_
                                        if name not in {"identity", "codec"}], "Tiers")
        below = (lib.Tier * max(1, len(tiers)))()
        opened: List[lib.TierStore] = []
        handle = ctypes.c_void_p()
        try:
            for place, tier in zip(below, tiers):
                place.name = text(tier.name, "name")
                room = {"bytes": tier.bytes, "entries": tier.entries}
                settings_set(place, room, room, tier.name)
                check(tier._store(ctypes.byref(place.store)), f"{tier.name}: the tier cannot be opened")
                opened.append(place.store)
            check(api.tiers_create(pool.device.handle, pool.handle, config, below, len(tiers),
                                   ctypes.byref(handle)), "the tiers could not be created")
        except BaseException:
            for store in opened:
                if store.close:
                    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(store.close)(store.state)
            raise
        self.pool, self.count = pool, len(tiers)
        self._handle: Optional[int] = handle.value
        pool.own(self)

    def _destroy(self, handle: int) -> None:
        api.tiers_destroy(handle)
        self.pool.disown(self)

    def _check(self, result: int) -> int:
        return check(result, api.tiers_error(self.handle).decode() if result < 0 else "")

    def offload(self, handles: Sequence[int], stream: Optional[int] = STREAM_NONE) -> int:
        """Begins to store registered blocks; returns a ticket for result()."""
        ticket = ctypes.c_uint64()
        self._check(api.tiers_offload(self.handle, (ctypes.c_uint64 * max(1, len(handles)))(*handles),
                                      len(handles), stream, None, None, ctypes.byref(ticket)))
        return ticket.value

    def result(self, ticket: int) -> Optional[int]:
        """Returns how many blocks of an offload are stored; None while it is pending."""
        stored = ctypes.c_uint32()
        answer = api.tiers_result(self.handle, ticket, ctypes.byref(stored))
        if answer == -errno.EINPROGRESS:
            return None
        self._check(answer)
        return stored.value

    def cancel(self, ticket: int) -> None:
        self._check(api.tiers_cancel(self.handle, ticket))

    def drain(self) -> None:
        """Waits until nothing is under way."""
        self._check(api.tiers_drain(self.handle))

    def lookup(self, keys: Sequence[bytes]) -> List[Presence]:
        found = (ctypes.c_uint8 * max(1, len(keys)))()
        self._check(api.tiers_lookup(self.handle, to_hashes(keys), len(keys), found))
        return [Presence(value) for value in found[:len(keys)]]

    def match(self, keys: Sequence[bytes], stream: Optional[int] = STREAM_NONE) -> List[int]:
        """Takes references to the blocks of the longest prefix that is in the pool or below it."""
        handles, matched = (ctypes.c_uint64 * max(1, len(keys)))(), ctypes.c_uint32()
        self._check(api.tiers_match(self.handle, to_hashes(keys), len(keys), stream, handles, None,
                                    ctypes.byref(matched)))
        return list(handles[:matched.value])

    def forget(self, keys: Sequence[bytes]) -> None:
        self._check(api.tiers_forget(self.handle, to_hashes(keys), len(keys)))

    def age_step(self, age_ns: int, blocks: int = 0, max_bytes: int = 0,
                 time_ns: int = 0) -> Tuple[int, int, int]:
        """Moves blocks that nobody has used for this long to the tiers: their number, bytes before and after."""
        went, raw, encoded = ctypes.c_uint32(), ctypes.c_uint64(), ctypes.c_uint64()
        age = lib.TierAge()
        limits = {"age_ns": age_ns, "bytes": max_bytes, "time_ns": time_ns, "blocks": blocks}
        settings_set(age, limits, limits, "age_step")
        self._check(api.tiers_age_step(self.handle, age, ctypes.byref(went), ctypes.byref(raw), ctypes.byref(encoded)))
        return went.value, raw.value, encoded.value

    def events(self, tier: int) -> List[Event]:
        """Returns the entries stored in and removed from a tier, counted from 0, since the last call; needs
        the argument `events` of Tiers. An event's own `tier` is one more: 0 is the pool."""
        return take_events(lambda *rooms: self._check(api.tiers_events_poll(self.handle, tier, *rooms)))

    def stats(self) -> TiersStats:
        stats = lib.TiersStatistics()
        self._check(api.tiers_stats(self.handle, ctypes.byref(stats)))
        return figures(TiersStats, stats)

    def tier_stats(self, tier: int) -> TierStats:
        stats = lib.TierStatistics()
        self._check(api.tier_stats(self.handle, tier, ctypes.byref(stats)))
        values = {name: getattr(stats, name) for name, *_ in stats._fields_}
        values["name"] = stats.name.decode()
        values["last_fault"] = api.tier_fault_text(stats.last_fault).decode()
        return TierStats(**values)

    def check(self) -> None:
        """Raises if an invariant is broken, with its name."""
        why = ctypes.create_string_buffer(160)
        check(api.tiers_check(self.handle, why, len(why)), why.value.decode())
