# SPDX-License-Identifier: MIT
"""Keys of blocks: what their content depends on."""

import ctypes
from array import array
from dataclasses import dataclass, field
from typing import Iterable, List, Optional, Sequence

from . import _library as lib
from ._errors import check
from ._library import api
from ._owner import settings_set, text

SHA256, XXH3 = 0, 1


@dataclass(frozen=True)
class Media:
    """An image or sound: `tokens` placeholders from token `offset` of the sequence on."""

    digest: bytes
    offset: int
    tokens: int


@dataclass(frozen=True)
class Scope:
    salt: bytes = b""
    adapter: Optional[str] = None
    adapter_generation: int = 0
    media: Sequence[Media] = field(default_factory=tuple)

    def structure(self) -> lib.Scope:
        items = (lib.Media * max(1, len(self.media)))()
        for item, media in zip(items, self.media):
            if len(media.digest) != 32:
                raise ValueError("a digest must have 32 bytes")
            item.digest[:] = media.digest
            place = {"offset": media.offset, "tokens": media.tokens}
            settings_set(item, place, place, "Media")
        scope = lib.Scope(salt=self.salt, salt_bytes=len(self.salt),
                          adapter=text(self.adapter, "adapter") if self.adapter is not None else None,
                          media=items, media_count=len(self.media))
        settings_set(scope, {"adapter_generation": self.adapter_generation}, ["adapter_generation"], "Scope")
        return scope


def to_hashes(keys: Sequence[bytes]) -> ctypes.Array:
    if any(len(key) != 32 for key in keys):
        raise ValueError("a key must have 32 bytes")
    return (lib.Hash * max(1, len(keys))).from_buffer_copy(b"".join(keys) or bytes(32))


def to_tokens(tokens: Iterable[int]) -> ctypes.Array:
    """Token ids as the library takes them. Ones of more bits must not become others without notice."""
    try:
        values = array("i", iter(tokens))
    except OverflowError as error:
        raise ValueError("a token is out of the range of 32 bits") from error
    return (ctypes.c_int32 * max(1, len(values))).from_buffer(values or array("i", [0]))


@dataclass(frozen=True)
class Identity:
    block_tokens: int = 16
    method: int = SHA256
    secret: int = 0

    def _structure(self) -> lib.Identity:
        values = {"method": self.method, "block_tokens": self.block_tokens, "secret": self.secret}
        structure = lib.Identity()
        settings_set(structure, values, values, "Identity")
        return structure

    def root(self, scope: Scope = Scope()) -> bytes:
        root = lib.Hash()
        check(api.kv_identity_root(self._structure(), scope.structure(), root))
        return bytes(root.bytes)

    def keys(self, tokens: Sequence[int], scope: Scope = Scope(),
             parent: Optional[bytes] = None, first: int = 0) -> List[bytes]:
        """Computes the keys of the whole blocks of `tokens`; `first` is the number of the first token."""
        count = len(tokens) // self.block_tokens
        before = to_hashes([self.root(scope) if parent is None else parent])
        values = to_tokens(tokens)
        out = (lib.Hash * max(1, count))()
        check(api.kv_identity_blocks(self._structure(), scope.structure(), before, values, first,
                                     count, out))
        return [bytes(key.bytes) for key in out[:count]]

    def partial(self, tokens: Sequence[int], scope: Scope = Scope(), parent: Optional[bytes] = None,
                first: int = 0) -> bytes:
        """Computes the key of a block that holds so far only these tokens, fewer than block_tokens."""
        before = to_hashes([self.root(scope) if parent is None else parent])
        values = to_tokens(tokens)
        out = lib.Hash()
        check(api.kv_identity_partial(self._structure(), scope.structure(), before, values, first,
                                      len(tokens), out))
        return bytes(out.bytes)
