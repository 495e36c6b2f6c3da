# SPDX-License-Identifier: MIT
"""Errors of the library as exceptions."""

import errno
import os


class CupoolError(OSError):
    """A call failed; errno gives the reason, the message is the library's own."""


class OutOfBlocks(CupoolError):
    """Not enough blocks or memory; nothing was taken."""


class StaleHandle(CupoolError):
    """A handle or sequence that was released, or never existed."""


_KINDS = {errno.ENOMEM: OutOfBlocks, errno.EAGAIN: OutOfBlocks, errno.ESTALE: StaleHandle}


def check(result: int, text: str = "") -> int:
    """Raises for a negative errno, else returns it."""
    if result >= 0:
        return result
    raise _KINDS.get(-result, CupoolError)(-result, text or os.strerror(-result))
