# SPDX-License-Identifier: MIT
"""Marks phases and steps for a preloaded libcupool.so (include/cupool.h). Without it each call does nothing."""

import contextlib
import ctypes
from typing import Iterator, Optional


def _find(name: str, *arguments) -> Optional[ctypes._CFuncPtr]:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except AttributeError:
        return None
    function.restype, function.argtypes = None, arguments
    return function


_BEGIN = _find("cupool_phase_begin", ctypes.c_char_p)
_END = _find("cupool_phase_end", ctypes.c_char_p)
_STEP = _find("cupool_step", ctypes.c_ulonglong)
_MARK = _find("cupool_mark", ctypes.c_char_p)


def is_preloaded() -> bool:
    return _BEGIN is not None


def phase_begin(name: str) -> None:
    if _BEGIN is not None:
        _BEGIN(name.encode())


def phase_end(name: str) -> None:
    if _END is not None:
        _END(name.encode())


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """A phase for the length of a with block."""
    phase_begin(name)
    try:
        yield
    finally:
        phase_end(name)


def step(number: int) -> None:
    if _STEP is not None:
        _STEP(number)


def mark(name: str) -> None:
    if _MARK is not None:
        _MARK(name.encode())
