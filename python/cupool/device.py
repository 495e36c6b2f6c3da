# SPDX-License-Identifier: MIT
"""Devices and their memory."""

import ctypes
import enum
import errno
import os
from dataclasses import dataclass
from typing import Callable, List, Optional

from . import _library as lib
from ._errors import check
from ._library import api
from ._owner import Owner

#: No device work is involved.
STREAM_NONE: int = ctypes.c_void_p(-1).value or 0


_OPEN_ERRORS = {errno.ENOENT: "no CUDA driver found (libcuda.so.1)", errno.ENODEV: "no such GPU"}


def version() -> str:
    """Version of the library."""
    return api.engine_version().decode()


def bytes_address(data: bytes) -> int:
    if isinstance(data, str):  # ctypes would take its wide characters
        raise TypeError("bytes can be copied, a str cannot")
    return ctypes.cast(data, ctypes.c_void_p).value or 0


def figures(kind, structure):
    """Converts a statistics structure to the dataclass with the same fields."""
    return kind(**{name: getattr(structure, name) for name, *_ in structure._fields_})


@dataclass(frozen=True)
class DeviceStats:
    kind: int
    index: int
    preloaded: int
    free_bytes: int
    total_bytes: int
    allocations: int
    frees: int
    current_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class MemoryStats:
    current_bytes: int
    peak_bytes: int
    reserved_bytes: int
    cached_bytes: int
    largest_free_bytes: int
    allocations: int
    frees: int
    failures: int
    hits: int
    misses: int
    stream_hits: int
    trims: int
    trimmed_bytes: int
    hit_rate: float
    utilization: float
    fragmentation: float
    pressure: float


class Pressure(enum.IntEnum):
    NONE, NORMAL, AGGRESSIVE = range(3)


def pressure_callback(callback: Optional[Callable[[Pressure, float], None]]):
    """Makes a function of the library from one of Python; None: no function."""
    if callback is None:
        return lib.PRESSURE_CALLBACK()
    return lib.PRESSURE_CALLBACK(lambda _, level, usage: callback(Pressure(level), usage))


class DeviceKind(enum.IntEnum):
    HOST, GPU = range(2)


@dataclass(frozen=True)
class MemoryEvent:
    """kind is "allocate", "free", "trim" or "failure"; current_bytes are live after it."""

    time_ns: int
    kind: str
    address: int
    bytes: int
    current_bytes: int


_EVENT_KINDS = ("allocate", "free", "trim", "failure")


class Device(Owner):
    """A GPU, or host memory with the same interface. Closing it first closes the objects made on it."""

    _what = "the device is"

    def __init__(self, handle: int, name: str = "Device"):
        super().__init__()
        self._handle: Optional[int] = handle
        self._name = name
        self._callbacks: list = []

    def __repr__(self) -> str:
        return f"<{self._name}{', closed' if self._handle is None else ''}>"

    @classmethod
    def gpu(cls, index: int = 0) -> "Device":
        handle = ctypes.c_void_p()
        result = api.device_open(index, ctypes.byref(handle))
        check(result, f"GPU {index} cannot be opened: {_OPEN_ERRORS.get(-result, os.strerror(abs(result)))}")
        return cls(handle.value or 0, f"Device.gpu({index})")

    @classmethod
    def host(cls) -> "Device":
        handle = ctypes.c_void_p()
        check(api.device_host(ctypes.byref(handle)))
        return cls(handle.value or 0, "Device.host()")

    def _destroy(self, handle: int) -> None:
        api.device_close(handle)

    def _check(self, result: int) -> int:
        return check(result, api.device_error(self.handle).decode() if result < 0 else "")

    @property
    def kind(self) -> DeviceKind:
        return DeviceKind(api.device_kind(self.handle))

    def stats(self) -> DeviceStats:
        stats = lib.DeviceStatistics()
        self._check(api.device_stats(self.handle, ctypes.byref(stats)))
        return figures(DeviceStats, stats)

    def stream(self) -> Optional[int]:
        stream = ctypes.c_void_p()
        self._check(api.device_stream_create(self.handle, ctypes.byref(stream)))
        return stream.value

    def stream_destroy(self, stream: Optional[int]) -> None:
        self._check(api.device_stream_destroy(self.handle, stream))

    def wait(self, stream: Optional[int] = STREAM_NONE) -> None:
        self._check(api.device_wait(self.handle, stream))

    def write(self, address: int, data: bytes, stream: Optional[int] = STREAM_NONE) -> None:
        """Copies to the device; with a stream the data must live until the stream's work is done."""
        self._check(api.device_copy(self.handle, address, bytes_address(data), len(data), stream))

    def read(self, address: int, count: int) -> bytes:
        data = ctypes.create_string_buffer(count)
        self._check(api.device_copy(self.handle, data, address, count, STREAM_NONE))
        return data.raw

    def fill(self, address: int, value: int, count: int, stream: Optional[int] = STREAM_NONE) -> None:
        self._check(api.device_fill(self.handle, address, value, count, stream))

    def allocate(self, count: int, stream: Optional[int] = STREAM_NONE) -> int:
        memory = ctypes.c_void_p()
        self._check(api.memory_allocate(self.handle, count, stream, ctypes.byref(memory)))
        return memory.value or 0

    def free(self, address: int, stream: Optional[int] = STREAM_NONE) -> None:
        self._check(api.memory_free(self.handle, address, stream))

    def allocated_bytes(self, address: int) -> int:
        """Returns the bytes requested for the block at this address."""
        count = ctypes.c_size_t()
        self._check(api.memory_size(self.handle, address, ctypes.byref(count)))
        return count.value

    def memory_stats(self) -> MemoryStats:
        stats = lib.MemoryStatistics()
        self._check(api.memory_stats(self.handle, ctypes.byref(stats)))
        return figures(MemoryStats, stats)

    def trim(self, keep: int = 0) -> int:
        """Gives cached memory back; returns the bytes."""
        returned = ctypes.c_size_t()
        self._check(api.memory_trim(self.handle, keep, ctypes.byref(returned)))
        return returned.value

    def defragment(self) -> int:
        gained = ctypes.c_size_t()
        self._check(api.memory_defragment(self.handle, ctypes.byref(gained)))
        return gained.value

    def should_trim(self) -> bool:
        """Whether a trim would help: pressure above 0.8, or fragmentation above 0.3 with memory cached."""
        return self._check(api.memory_should_trim(self.handle)) == 1

    def history(self, room: int = 1024) -> List[MemoryEvent]:
        """Returns the newest allocations, frees, trims and failures, oldest first."""
        if room < 0:
            raise ValueError(f"{room} events: out of range")
        events = (lib.MemoryEvent * max(1, room))()
        count = api.memory_history(self.handle, events, room)
        return [MemoryEvent(event.time_ns, _EVENT_KINDS[event.kind], event.address, event.bytes,
                            event.current_bytes) for event in events[:count]]

    def on_pressure(self, callback: Optional[Callable[[Pressure, float], None]], normal: float = 0.7,
                    aggressive: float = 0.9, hysteresis: float = 0.05) -> None:
        """Sets a callback for when the share of the device in use crosses a threshold, as an allocation or a
        free sees it; None ends it."""
        function = pressure_callback(callback)
        self._callbacks.append(function)  # for good: another thread may be about to call an earlier one
        self._check(api.memory_pressure(self.handle, lib.Thresholds(normal, aggressive, hysteresis), function,
                                        None))

    def check(self) -> None:
        """Raises with the allocator's first broken invariant."""
        why = ctypes.create_string_buffer(160)
        check(api.memory_check(self.handle, why, len(why)), why.value.decode())
