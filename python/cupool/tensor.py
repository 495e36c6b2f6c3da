# SPDX-License-Identifier: MIT
"""The tensor cache."""

import ctypes
import enum
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from . import _library as lib
from ._errors import check
from ._library import api
from ._owner import Handle, settings_set, text
from .device import STREAM_NONE, Device, figures


class TensorType(enum.IntEnum):
    (BYTES, BOOL, I8, U8, F8_E4M3, F8_E5M2, I16, F16, BF16, I32, F32, I64, F64, C64,
     C128) = range(15)


@dataclass(frozen=True)
class TensorStats:
    acquires: int
    releases: int
    hits: int
    misses: int
    fits: int
    waits: int
    evictions: int
    trims: int
    retries: int
    plain: int
    failures: int
    stale: int
    live: int
    live_bytes: int
    cached: int
    cached_bytes: int
    reserved: int
    reserved_bytes: int
    peak_bytes: int
    peak_cached_bytes: int
    limit_bytes: int
    limit_entries: int
    hit_rate: float


@dataclass(frozen=True)
class ShapeStats:
    dimensions: Tuple[int, ...]
    type: TensorType
    device: int
    flags: int
    bytes: int
    hits: int
    misses: int
    evictions: int
    live: int
    cached: int
    reserved: int


def tensor_shape(dimensions: Sequence[int], kind: TensorType, device: int = 0,
                 flags: int = 0) -> lib.TensorShape:
    if len(dimensions) > lib.TENSOR_RANK_MAX:
        raise ValueError(f"a tensor has at most {lib.TENSOR_RANK_MAX} dimensions")
    shape = lib.TensorShape(rank=len(dimensions), type=int(kind), device=device, flags=flags)
    for at, dimension in enumerate(dimensions):
        shape.dimensions[at] = dimension
        if shape.dimensions[at] != dimension:
            raise ValueError(f"a tensor has no dimension {dimension}")
    return shape


def tensor_bytes(dimensions: Sequence[int], kind: TensorType = TensorType.F16) -> int:
    """Returns the bytes of a tensor of this shape."""
    count = ctypes.c_uint64()
    check(api.tensor_bytes(tensor_shape(dimensions, kind), ctypes.byref(count)),
          f"no tensor has the shape {list(dimensions)}")
    return count.value


class Tensor:
    """Memory of a shape, until release()."""

    def __init__(self, cache: "Tensors", name: int, address: int, stream: Optional[int]):
        self._cache, self._name, self._stream = cache, name, stream
        #: Address of the memory; 0 for a shape without elements.
        self.address = address

    def release(self, stream: Optional[int] = STREAM_NONE) -> None:
        """Releases it after the work of a stream so far: the one it was acquired for, unless another is
        given."""
        used = self._stream if stream == STREAM_NONE else stream
        self._cache.check_result(api.tensors_release(self._cache.handle, self._name, used))

    @property
    def bytes(self) -> int:
        info = lib.TensorInfo()
        self._cache.check_result(api.tensors_describe(self._cache.handle, self._name,
                                                      ctypes.byref(info)))
        return info.bytes

    def __enter__(self) -> "Tensor":
        return self

    def __exit__(self, *unused) -> None:
        self.release()


class Tensors(Handle):
    """A cache over one or several devices, numbered by their position in the list."""

    _what = "the tensor cache is"

    def __init__(self, *devices: Device, tensors: int = 4096, shapes: int = 1024,
                 limit_bytes: int = 0, limit_entries: int = 0):
        config = lib.TensorsConfig()
        api.tensors_config_init(ctypes.byref(config))
        self._devices = devices
        array = (ctypes.c_void_p * max(1, len(devices)))(*[device.handle for device in devices])
        config.devices, config.device_count = array, len(devices)
        limits = {"tensors": tensors, "shapes": shapes, "limit_bytes": limit_bytes,
                  "limit_entries": limit_entries}
        settings_set(config, limits, limits, "Tensors")
        handle = ctypes.c_void_p()
        check(api.tensors_create(ctypes.byref(config), ctypes.byref(handle)),
              "the tensor cache could not be created")
        self._handle: Optional[int] = handle.value
        for device in devices:
            device.own(self)

    def check_result(self, result: int) -> int:
        return check(result, api.tensors_error(self.handle).decode() if result < 0 else "")

    def _destroy(self, handle: int) -> None:
        api.tensors_destroy(handle)
        for device in self._devices:
            device.disown(self)

    def acquire(self, dimensions: Sequence[int], kind: TensorType = TensorType.F16, device: int = 0,
                stream: Optional[int] = STREAM_NONE, waste: Optional[int] = None,
                flags: int = 0) -> Tensor:
        """Acquires a tensor of this shape; with `waste`, also one of another shape with at most this many
        more bytes."""
        name, memory = ctypes.c_uint64(), ctypes.c_void_p()
        shape = tensor_shape(dimensions, kind, device, flags)
        self.check_result(api.tensors_acquire(self.handle, shape, stream,
                                              lib.TENSOR_EXACT if waste is None else waste,
                                              ctypes.byref(name), ctypes.byref(memory)))
        return Tensor(self, name.value, memory.value or 0, stream)

    def reserve(self, dimensions: Sequence[int], kind: TensorType = TensorType.F16, count: int = 1,
                device: int = 0, stream: Optional[int] = STREAM_NONE, flags: int = 0) -> None:
        """Allocates tensors beforehand, never to be evicted."""
        self.check_result(api.tensors_reserve(self.handle, tensor_shape(dimensions, kind, device, flags),
                                              stream, count))

    def reserve_file(self, path: str, device: int = 0, budget: int = 0) -> Tuple[int, int]:
        """Reserves the tensors in a text or a report (cupool report --format json); returns tensors and
        bytes."""
        tensors, count = ctypes.c_uint32(), ctypes.c_uint64()
        self.check_result(api.tensors_reserve_file(self.handle, text(str(path), "a path"), device, budget,
                                                   ctypes.byref(tensors), ctypes.byref(count)))
        return tensors.value, count.value

    def unreserve(self, device: int = 0) -> None:
        self.check_result(api.tensors_unreserve(self.handle, device))

    def limit(self, limit_bytes: int = 0, limit_entries: int = 0, device: int = 0) -> None:
        self.check_result(api.tensors_limit(self.handle, device, limit_bytes, limit_entries))

    def trim(self, keep: int = 0, device: int = 0) -> int:
        """Evicts until at most `keep` bytes are cached; returns the evicted bytes."""
        returned = ctypes.c_uint64()
        self.check_result(api.tensors_trim(self.handle, device, keep, ctypes.byref(returned)))
        return returned.value

    def stats(self, device: int = 0) -> TensorStats:
        stats = lib.TensorsStatistics()
        self.check_result(api.tensors_stats(self.handle, device, ctypes.byref(stats)))
        return figures(TensorStats, stats)

    def shapes(self, room: int = 64) -> List[ShapeStats]:
        """Figures by shape, most acquires first."""
        rows = (lib.TensorsRow * max(1, room))()
        count = self.check_result(api.tensors_rows(self.handle, rows, room))
        return [ShapeStats(tuple(row.shape.dimensions[:row.shape.rank]), TensorType(row.shape.type),
                           row.shape.device, row.shape.flags,
                           *[getattr(row, name) for name in ("bytes", "hits", "misses", "evictions",
                                                             "live", "cached", "reserved")])
                for row in rows[:count]]

    def check(self) -> None:
        """Raises with the first broken invariant."""
        why = ctypes.create_string_buffer(160)
        check(api.tensors_check(self.handle, why, len(why)), why.value.decode())
