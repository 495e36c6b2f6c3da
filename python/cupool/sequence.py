# SPDX-License-Identifier: MIT
"""Sequences on KV pools."""

import ctypes
import errno
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence as Seq, Tuple

from . import _library as lib
from ._errors import check
from ._library import api
from ._owner import Handle, settings_set
from .device import STREAM_NONE, figures
from .identity import Scope, to_tokens
from .kv import KVPool

COPY_SECONDS = 10


@dataclass(frozen=True)
class SequencesStats:
    live: int
    created: int
    tokens: int
    blocks: int
    forks: int
    copies: int
    matched_tokens: int
    table_copies: int


class Sequences(Handle):
    """A set of sequences over one pool, or over several with windows: [(pool, window), …]."""

    _what = "the set is"

    def __init__(self, pools, sequences: int = 64, max_tokens: int = 4096, **settings: int):
        members = [(pools, 0)] if isinstance(pools, KVPool) else list(pools)
        array = (lib.Member * max(1, len(members)))(*[(pool.handle, window) for pool, window in members])
        config = lib.SequencesConfig()
        api.sequences_config_init(ctypes.byref(config))
        settings_set(config, {"sequences": sequences, "max_tokens": max_tokens, **settings},
                     [name for name, *_ in lib.SequencesConfig._fields_], "Sequences")
        handle = ctypes.c_void_p()
        check(api.sequences_create(array, len(members), ctypes.byref(config), ctypes.byref(handle)),
              "the set could not be created")
        self._pools = members
        # The library reads the media of a sequence until it is removed, at the latest by the end of the set.
        self._scopes: Dict[int, lib.Scope] = {}
        self._handle: Optional[int] = handle.value
        for pool, _ in members:
            pool.own(self)

    def check_result(self, result: int) -> int:
        return check(result, api.sequences_error(self.handle).decode() if result < 0 else "")

    def _destroy(self, handle: int) -> None:
        api.sequences_destroy(handle)
        self._scopes.clear()
        for pool, _ in self._pools:
            pool.disown(self)

    def __repr__(self) -> str:
        return f"<Sequences on {len(self._pools)} pools{', closed' if self._handle is None else ''}>"

    def create(self, scope: Scope = Scope(), flags: int = 0) -> "Sequence":
        name, structure = ctypes.c_uint64(), scope.structure()
        self.check_result(api.sequence_create(self.handle, structure, flags, ctypes.byref(name)))
        return self._begun(name.value, structure)

    def _begun(self, name: int, scope: lib.Scope) -> "Sequence":
        self._scopes[name] = scope
        return Sequence(self, name)

    def fork(self, name: int, stream: Optional[int]) -> "Sequence":
        child = ctypes.c_uint64()
        self.check_result(api.sequence_fork(self.handle, name, stream, ctypes.byref(child)))
        return self._begun(child.value, self._scopes[name])

    def remove(self, name: int, stream: Optional[int]) -> None:
        self.check_result(api.sequence_remove(self.handle, name, stream))
        self._scopes.pop(name, None)

    def stats(self) -> SequencesStats:
        stats = lib.SequencesStatistics()
        self.check_result(api.sequences_stats(self.handle, ctypes.byref(stats)))
        return figures(SequencesStats, stats)

    def check(self) -> None:
        """Raises with the first broken invariant."""
        why = ctypes.create_string_buffer(160)
        check(api.sequences_check(self.handle, why, len(why)), why.value.decode())

    def tables(self, member: int = 0, stream: Optional[int] = STREAM_NONE) -> Tuple[int, int]:
        """Returns the address of the block tables on the device, and the entries per row. While all copies of
        earlier tables are pending it waits for one of them, at most COPY_SECONDS."""
        tables, width = ctypes.c_void_p(), ctypes.c_uint32()
        until = time.monotonic() + COPY_SECONDS
        while True:
            result = api.sequences_tables(self.handle, member, stream, ctypes.byref(tables),
                                          ctypes.byref(width))
            if result != -errno.EAGAIN or time.monotonic() > until:
                break
            time.sleep(0.0005)
        self.check_result(result)
        return tables.value or 0, width.value


class Sequence:
    """One sequence; made by Sequences.create() or fork()."""

    def __init__(self, owner: Sequences, name: int):
        self._set, self._name = owner, name

    def __repr__(self) -> str:
        try:
            return f"<Sequence of {len(self)} tokens>"
        except (OSError, ValueError):
            return "<Sequence, ended>"

    @property
    def row(self) -> int:
        return self._name & 0xFFFFFFFF

    def __len__(self) -> int:
        length = ctypes.c_uint32()
        self._set.check_result(api.sequence_length(self._set.handle, self._name, ctypes.byref(length)))
        return length.value

    def match(self, tokens: Seq[int], stream: Optional[int] = STREAM_NONE) -> int:
        matched = ctypes.c_uint32()
        values = to_tokens(tokens)
        self._set.check_result(api.sequence_match(self._set.handle, self._name, values, len(tokens), stream,
                                                  ctypes.byref(matched)))
        return matched.value

    def append(self, tokens: Seq[int], stream: Optional[int] = STREAM_NONE) -> None:
        values = to_tokens(tokens)
        self._set.check_result(api.sequence_append(self._set.handle, self._name, values, len(tokens), stream))

    def reserve(self, count: int, stream: Optional[int] = STREAM_NONE) -> None:
        """Reserves blocks for `count` more tokens (drafts): appending them cannot fail."""
        self._set.check_result(api.sequence_reserve(self._set.handle, self._name, count, stream))

    def commit(self, stream: Optional[int] = STREAM_NONE) -> None:
        self._set.check_result(api.sequence_commit(self._set.handle, self._name, stream))

    def fork(self, stream: Optional[int] = STREAM_NONE) -> "Sequence":
        return self._set.fork(self._name, stream)

    def truncate(self, tokens: int, stream: Optional[int] = STREAM_NONE) -> None:
        self._set.check_result(api.sequence_truncate(self._set.handle, self._name, tokens, stream))

    def slide(self, window: int = 0, stream: Optional[int] = STREAM_NONE) -> None:
        self._set.check_result(api.sequence_slide(self._set.handle, self._name, window, stream))

    def remove(self, stream: Optional[int] = STREAM_NONE) -> None:
        self._set.remove(self._name, stream)

    def table(self, member: int = 0) -> List[int]:
        table, blocks = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_uint32()
        self._set.check_result(api.sequence_table(self._set.handle, self._name, member, ctypes.byref(table),
                                                  ctypes.byref(blocks)))
        return table[:blocks.value]

    def place(self, position: int, member: int = 0) -> Tuple[int, int]:
        """Returns the handle of a token's block, and the token's position in it."""
        handle, offset = ctypes.c_uint64(), ctypes.c_uint32()
        self._set.check_result(api.sequence_place(self._set.handle, self._name, member, position,
                                                  ctypes.byref(handle), ctypes.byref(offset)))
        return handle.value, offset.value
