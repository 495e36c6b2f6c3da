# SPDX-License-Identifier: MIT
"""Codecs: blocks of a KV cache in fewer bytes."""

import ctypes
import enum
from dataclasses import dataclass
from typing import List, Optional, Sequence

from . import _library as lib
from ._errors import check
from ._library import api
from ._owner import text


class Codec(enum.IntEnum):
    """PLAIN, the bytes as they are, is for tiers alone."""

    PLAIN = -1
    (RAW, FP16, BF16, INT8, FP8, K8V4, INT4, ROTATED4, RICE, LOSSLESS, PRUNE_MAGNITUDE,
     PRUNE_TOKENS) = range(12)


class Element(enum.IntEnum):
    F32, F16, BF16 = range(3)


class Refused(ValueError):
    """An encoded block is damaged, truncated, or of another shape; the message says which."""


@dataclass(frozen=True)
class BlockCodec:
    """Encodes and decodes blocks of one shape: keys, then values, [tokens][heads][head_dim] each, or
    [heads][tokens][head_dim] with hnd."""

    codec: int
    element: int
    tokens: int
    heads: int
    head_dim: int
    hnd: bool = False
    first_layer: bool = False
    keep_permille: int = 0

    @classmethod
    def of(cls, encoded: bytes) -> "BlockCodec":
        """Checks an encoded block by its checksums, without decoding it, and returns what decodes it."""
        words = max(1, (len(encoded) + 7) // 8)
        source = (ctypes.c_uint64 * words).from_buffer_copy(encoded.ljust(words * 8))
        header, fault, config = lib.CodecHeader(), ctypes.c_int(), lib.CodecConfig()
        if api.codec_verify(source, len(encoded), header, ctypes.byref(fault)) < 0:
            raise Refused(api.codec_fault_text(fault.value).decode())
        api.codec_config_of(header, config)
        if config.parts != 3:
            raise Refused("the block has keys or values only")
        return cls(Codec(config.codec), Element(config.type), config.tokens, config.heads, config.head_dim,
                   bool(config.layout), bool(config.first_layer), config.keep_permille)

    def _config(self) -> lib.CodecConfig:
        return lib.CodecConfig(self.codec, self.element, int(self.hnd), 3, self.tokens, self.heads,
                               self.head_dim, int(self.first_layer), self.keep_permille)

    def _info(self) -> lib.CodecInfo:
        info = lib.CodecInfo()
        check(api.codec_query(self._config(), info), "the codec does not support blocks of this shape")
        return info

    @property
    def raw_bytes(self) -> int:
        return self._info().raw_bytes

    @property
    def maximum_bytes(self) -> int:
        """Most bytes of an encoded block."""
        return self._info().maximum_bytes

    def encode(self, raw: bytes, scores: Optional[Sequence[float]] = None) -> bytes:
        """Encodes a block; scores, one for each token, are for PRUNE_TOKENS."""
        info = self._info()
        if len(raw) != info.raw_bytes:
            raise ValueError(f"a block has {info.raw_bytes} bytes, not {len(raw)}")
        # Of 64-bit words, for their alignment.
        source = (ctypes.c_uint64 * ((len(raw) + 7) // 8)).from_buffer_copy(raw.ljust((len(raw) + 7) // 8 * 8))
        encoded = (ctypes.c_uint64 * ((info.maximum_bytes + 7) // 8))()
        block = lib.CodecBlock(ctypes.addressof(source), ctypes.addressof(encoded), info.maximum_bytes)
        if scores is not None:
            if len(scores) != self.tokens:
                raise ValueError("scores must have one value per token")
            block.scores = (ctypes.c_float * len(scores))(*scores)
        result = api.codec_encode(self._config(), block, 1)
        check(result, api.codec_fault_text(block.fault).decode())
        return bytes(encoded)[:block.encoded_bytes]

    def decode(self, encoded: bytes) -> bytes:
        info = self._info()
        words = (len(encoded) + 7) // 8
        source = (ctypes.c_uint64 * max(1, words)).from_buffer_copy(encoded.ljust(max(1, words) * 8))
        raw = (ctypes.c_uint64 * ((info.raw_bytes + 7) // 8))()
        block = lib.CodecBlock(ctypes.addressof(raw), ctypes.addressof(source), len(encoded))
        if api.codec_decode(self._config(), block, 1) < 0:
            raise Refused(api.codec_fault_text(block.fault).decode())
        return bytes(raw)[:info.raw_bytes]


def codec_named(name: str) -> Codec:
    """Returns the codec of a name, such as "int8"."""
    codec = ctypes.c_int()
    check(api.codec_by_name(text(name, "a codec"), ctypes.byref(codec)), f"no codec is named {name!r}")
    return Codec(codec.value)


def codecs() -> List[str]:
    """Names of all codecs."""
    return [api.codec_name(codec).decode() for codec in Codec if codec >= 0]
