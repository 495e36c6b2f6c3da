# SPDX-License-Identifier: MIT
"""Transfers between a device and the host, and page-locked memory."""

import ctypes
import enum
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from . import _library as lib
from ._errors import check
from ._library import api
from ._owner import Handle, settings_set, text
from .device import STREAM_NONE, Device, bytes_address, figures

#: to, from, bytes
Copy = Tuple[int, int, int]


class Direction(enum.IntEnum):
    TO_DEVICE, FROM_DEVICE, WITHIN_DEVICE = range(3)


@dataclass(frozen=True)
class Thresholds:
    kernel_below: int
    kernel_from: int
    batch_from: int


@dataclass(frozen=True)
class TransferStats:
    submitted: int
    completed: int
    cancelled: int
    failed: int
    refused: int
    fragments: int
    joined: int
    bytes: int
    driver_calls: int
    copies: int
    batches: int
    launches: int
    descriptors: int
    copied_bytes: int
    batched_bytes: int
    kernel_bytes: int
    staged_bytes: int
    pieces: int
    stalls: int
    waiting: int
    under_way: int


class Transfer:
    """A submission. Its memory is kept alive until it has ended, also if the program drops this object."""

    def __init__(self, transfers: "Transfers", name: int, keep: Any):
        self._transfers, self._name, self._keep = transfers, name, keep

    def __del__(self) -> None:
        if self._keep is not None:
            self._transfers.keep_dropped(self._name, self._keep)

    def done(self) -> bool:
        """Whether it has ended well; raises what it failed with."""
        if self._name == 0:
            return True
        result = self._transfers.check_result(api.transfer_query(self._transfers.handle, self._name))
        if result == 1:
            self._keep = None
        return result == 1

    def wait(self, seconds: Optional[float] = None) -> None:
        if self._name == 0:
            return
        limit = (lib.WAIT_FOREVER if seconds is None or seconds * 1e9 >= lib.WAIT_FOREVER
                 else max(0, int(seconds * 1e9)))
        self._transfers.check_result(api.transfer_wait(self._transfers.handle, self._name, limit))
        self._keep = None

    def cancel(self) -> None:
        """Raises when it has begun."""
        self._transfers.check_result(api.transfer_cancel(self._transfers.handle, self._name))
        self._keep = None

    def order(self, stream: Optional[int]) -> None:
        """Later work of the stream waits for it."""
        if self._name != 0:
            self._transfers.check_result(api.transfer_order(self._transfers.handle, self._name, stream))


class Transfers(Handle):
    """The queues of a device. Closing cancels what has not begun and waits for the rest."""

    _what = "the transfers are"

    def __init__(self, device: Device, thresholds: Optional[Thresholds] = None,
                 folder: Optional[str] = None, **settings: int):
        config = lib.TransfersConfig()
        api.transfers_config_init(ctypes.byref(config))
        settings_set(config, settings, ("requests", "fragments", "depth", "pieces", "piece_bytes"),
                     "Transfers")
        if thresholds is not None:
            values = lib.TransferThresholds(thresholds.kernel_below, thresholds.kernel_from,
                                            thresholds.batch_from)
            config.thresholds = ctypes.pointer(values)
        config.folder = text(folder, "a folder") if folder is not None else None
        handle = ctypes.c_void_p()
        check(api.transfers_create(device.handle, ctypes.byref(config), ctypes.byref(handle)),
              "the queues could not be created")
        self._device = device
        # A callback must outlive its own call: finished ones are dropped at a later submission.
        self._calls: Dict[int, Any] = {}
        self._called: List[int] = []
        self._next = 1
        # What transfers copy from or to that the program has dropped.
        self._dropped: Dict[int, Any] = {}
        self._handle: Optional[int] = handle.value
        device.own(self)

    def check_result(self, result: int) -> int:
        return check(result, api.transfers_error(self.handle).decode() if result < 0 else "")

    def _destroy(self, handle: int) -> None:
        api.transfers_destroy(handle)
        self._dropped.clear()
        self._device.disown(self)

    def keep_dropped(self, name: int, memory: Any) -> None:
        """Keeps the memory of a transfer until the transfer has ended, which later calls see."""
        if self._handle is not None:
            self._dropped[name] = memory

    def _dropped_look(self) -> None:
        for name in list(self._dropped):
            if api.transfer_query(self.handle, name) != 0:
                self._dropped.pop(name, None)

    def submit(self, direction: Direction, copies: Sequence[Copy], priority: int = 50,
               after: Optional[int] = STREAM_NONE, alignment: int = 0,
               callback: Optional[Callable[[int], None]] = None, keep: Any = None) -> Transfer:
        """Submits copies as one transfer; `callback` gets 0 or a negative errno; `keep` is held until the
        transfer is seen to have ended."""
        array = (lib.Copy * max(1, len(copies)))(*[lib.Copy(*copy) for copy in copies])
        options = lib.TransferOptions()
        api.transfer_options_init(ctypes.byref(options))
        options.priority, options.after_stream, options.alignment = priority, after, alignment
        name, key = ctypes.c_uint64(), 0
        self._dropped_look()
        while self._called:
            self._calls.pop(self._called.pop(), None)
        if callback is not None:
            key, self._next = self._next, self._next + 1

            def call(_state, _transfer, result):
                try:
                    callback(result)
                finally:
                    self._called.append(key)

            self._calls[key] = options.callback = lib.TRANSFER_CALLBACK(call)
        try:
            self.check_result(api.transfers_submit(self.handle, int(direction), array, len(copies),
                                                   ctypes.byref(options), ctypes.byref(name)))
        except BaseException:
            self._calls.pop(key, None)
            raise
        return Transfer(self, name.value, keep)

    def write(self, address: int, data: bytes, **options) -> Transfer:
        """Copies bytes to the device; they are kept alive until the transfer has ended."""
        source = bytes_address(data)
        return self.submit(Direction.TO_DEVICE, [(address, source, len(data))], keep=data, **options)

    def ensure(self, memory: int, count: int,
               stream: Optional[int] = STREAM_NONE) -> Tuple[int, Transfer]:
        """Returns the device address of this content, and the transfer that copies it there."""
        address, name = ctypes.c_void_p(), ctypes.c_uint64()
        self.check_result(api.transfers_ensure(self.handle, memory, count, stream,
                                               ctypes.byref(address), ctypes.byref(name)))
        return address.value or 0, Transfer(self, name.value, None)

    def prefetch(self, tensors: Sequence[bytes], alignment: int = 0,
                 stream: Optional[int] = STREAM_NONE) -> Tuple[int, List[int], Transfer]:
        """Copies tensors into one allocation: returns its address (free it with Device.free), theirs, and the
        transfer."""
        sources = (lib.TensorSource * max(1, len(tensors)))(
            *[(bytes_address(tensor), len(tensor)) for tensor in tensors])
        memory, name = ctypes.c_void_p(), ctypes.c_uint64()
        addresses = (ctypes.c_void_p * max(1, len(tensors)))()
        self.check_result(api.transfers_prefetch(self.handle, sources, len(tensors), alignment, stream,
                                                 ctypes.byref(memory), addresses, ctypes.byref(name)))
        return (memory.value or 0, [address or 0 for address in addresses[:len(tensors)]],
                Transfer(self, name.value, list(tensors)))

    def poll(self) -> int:
        """Advances every queue; returns how many transfers have not ended."""
        pending = self.check_result(api.transfers_poll(self.handle))
        self._dropped_look()
        return pending

    def stats(self, direction: Direction) -> TransferStats:
        stats = lib.TransferStatistics()
        self.check_result(api.transfers_stats(self.handle, int(direction), ctypes.byref(stats)))
        return figures(TransferStats, stats)

    def thresholds(self) -> Thresholds:
        values = lib.TransferThresholds()
        self.check_result(api.transfers_thresholds(self.handle, ctypes.byref(values)))
        return figures(Thresholds, values)

    def calibrate(self, keep: bool = True) -> Thresholds:
        """Measures the thresholds between methods, and stores them in the device's file."""
        values = lib.TransferThresholds()
        self.check_result(api.transfers_calibrate(self.handle, int(keep), ctypes.byref(values)))
        return figures(Thresholds, values)

    def check(self) -> None:
        """Raises with the first broken invariant."""
        why = ctypes.create_string_buffer(160)
        check(api.transfers_check(self.handle, why, len(why)), why.value.decode())


class RegisteredMemory(Handle):
    """Page-locks memory of the program until it is closed, without changing its content: a writable buffer
    whose address and size are multiples of the page size, such as an mmap."""

    _what = "the registration is"

    def __init__(self, device: Device, buffer: Any, threads: int = 0, chunk_bytes: int = 0):
        view = memoryview(buffer).cast("B")
        options = lib.HostOptions(chunk_bytes, threads, 0)
        self._memory = (ctypes.c_uint8 * len(view)).from_buffer(view)
        self.address: int = ctypes.addressof(self._memory)
        result = api.host_register(device.handle, self.address, len(view), ctypes.byref(options))
        if result < 0:  # the exception keeps this frame, which must not keep the program's buffer
            del self._memory, view, buffer
        check(result, api.device_error(device.handle).decode() if result < 0 else "")
        self._device = device
        self._handle: Optional[int] = self.address
        device.own(self, memory=True)

    def _destroy(self, handle: int) -> None:
        result = api.host_unregister(self._device.handle, handle)
        check(result, api.device_error(self._device.handle).decode() if result < 0 else "")
        self._device.disown(self)
        del self._memory


class HostMemory:
    """Page-locked memory, as a buffer, which is empty once it is closed. Views of it must not be used then."""

    def __init__(self, device: Device, count: int, threads: int = 0, chunk_bytes: int = 0,
                 huge_pages: bool = False):
        options = lib.HostOptions(chunk_bytes, threads, int(huge_pages))
        memory = ctypes.c_void_p()
        result = api.host_allocate(device.handle, count, ctypes.byref(options), ctypes.byref(memory))
        check(result, api.device_error(device.handle).decode() if result < 0 else "")
        self._device = device
        self.address: int = memory.value or 0
        self.buffer = (ctypes.c_uint8 * count).from_address(self.address)
        device.own(self, memory=True)

    def close(self) -> None:
        if self.address:
            result = api.host_free(self._device.handle, self.address)
            check(result, api.device_error(self._device.handle).decode() if result < 0 else "")
            self.address, self.buffer = 0, (ctypes.c_uint8 * 0)()
            self._device.disown(self)

    def __enter__(self) -> "HostMemory":
        return self

    def __exit__(self, *unused) -> None:
        self.close()
