# SPDX-License-Identifier: MIT
"""Marks phases and steps for a preloaded libcupool.so (include/cupool.h). Without it each call does nothing; with it
none fails, whatever its argument."""

import contextlib
import ctypes
from typing import Iterator, Optional


def _find(name: str, *arguments) -> Optional[ctypes._CFuncPtr]:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
    function.restype, function.argtypes = None, arguments
    return function


_BEGIN = _find("cupool_phase_begin", ctypes.c_char_p)
_END = _find("cupool_phase_end", ctypes.c_char_p)
_STEP = _find("cupool_step", ctypes.c_ulonglong)
_MARK = _find("cupool_mark", ctypes.c_char_p)


def _bytes(name) -> bytes:
    """A name as the library takes it: a lone surrogate is no reason to fail, nor is an object of another type, even
    one that has no text."""
    if isinstance(name, bytes):
        return name
    try:
        return str(name).encode(errors="replace")
    except Exception:  # pylint: disable=broad-exception-caught
        return object.__repr__(name).encode(errors="replace")


def is_preloaded() -> bool:
    return _BEGIN is not None


def phase_begin(name: str) -> None:
    if _BEGIN is not None:
        _BEGIN(_bytes(name))


def phase_end(name: str) -> None:
    if _END is not None:
        _END(_bytes(name))


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """A phase for the length of a with block."""
    phase_begin(name)
    try:
        yield
    finally:
        phase_end(name)


def step(number: int) -> None:
    if _STEP is None:
        return
    try:
        _STEP(int(number))  # also numbers that are no int, like those of NumPy
    except Exception:  # pylint: disable=broad-exception-caught
        pass


def mark(name: str) -> None:
    if _MARK is not None:
        _MARK(_bytes(name))
