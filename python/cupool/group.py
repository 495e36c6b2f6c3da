# SPDX-License-Identifier: MIT
"""Several pools for the same sequences: full attention and sliding windows."""

import ctypes
from typing import List, Sequence, Tuple

from . import _library as lib
from ._errors import check
from ._library import api
from .identity import to_hashes
from .kv import KVPool


def match_group(members: Sequence[Tuple[KVPool, int]], keys: Sequence[bytes]) -> Tuple[int, List[List[int]]]:
    """Matches one sequence in pools, each with its window in tokens (0: full attention).

    `keys` are those of blocks of the smallest size. Returns the tokens of the longest prefix for which every
    pool has what it needs, and for each pool the handles of its blocks, 0 for those before its window.
    """
    array = (lib.Member * max(1, len(members)))(*[(pool.handle, window) for pool, window in members])
    handles = [(ctypes.c_uint64 * max(1, len(keys)))() for _ in members]
    rooms = (ctypes.POINTER(ctypes.c_uint64) * max(1, len(members)))(
        *[ctypes.cast(room, ctypes.POINTER(ctypes.c_uint64)) for room in handles])
    tokens = ctypes.c_uint32()
    check(api.kv_match_group(array, len(members), to_hashes(keys), len(keys), rooms, ctypes.byref(tokens)),
          "the pools cannot be matched as one group: their block sizes must be multiples of the smallest")
    return tokens.value, [list(room[:tokens.value // pool.block_tokens])
                          for room, (pool, _) in zip(handles, members)]


def window_tail(block_tokens: int, window: int, tokens: int, alignment: int, retention: int) -> List[int]:
    """Returns the positions of the blocks of a windowed pool that are worth registering: those a later hit at a
    multiple of `alignment` sees, or one at a multiple of `retention` before."""
    if block_tokens <= 0 or tokens < 0:
        raise ValueError(f"{tokens} tokens in blocks of {block_tokens}: out of range")
    count = ctypes.c_uint32()
    room = tokens // block_tokens + 1
    positions = (ctypes.c_uint32 * room)()
    check(api.kv_window_tail(block_tokens, window, alignment, retention, tokens, positions, room,
                             ctypes.byref(count)),
          "retention must be a positive multiple of alignment")
    return list(positions[:count.value])
