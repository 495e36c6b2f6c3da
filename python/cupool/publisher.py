# SPDX-License-Identifier: MIT
"""Events for routers, in the schema of vLLM, by ZeroMQ."""

import ctypes
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

from . import _library as lib
from ._errors import check
from ._library import api
from ._owner import Handle, answers, settings_set, text
from .device import figures
from .identity import to_tokens
from .kv import KVPool
from .tier import Tiers


@dataclass(frozen=True)
class PublisherStats:
    batches: int
    events: int
    bytes: int
    lost: int
    replays: int
    replayed: int
    failures: int


class Publisher(Handle):
    """Publishes the blocks that pools and tiers store and remove. Settings are the fields of
    cupool_publisher_config; tokens(key) returns the tokens of a stored block. An exception in it is printed, and
    the event has no tokens. It must not use the publisher."""

    _what = "the publisher is"

    def __init__(self, endpoint: str, replay_endpoint: Optional[str] = None, topic: str = "",
                 adapter: Optional[str] = None,
                 tokens: Optional[Callable[[bytes], Sequence[int]]] = None, **settings: int):
        config = lib.PublisherConfig()
        api.publisher_config_init(config)
        config.endpoint, config.topic = text(endpoint, "endpoint"), text(topic, "topic")
        config.replay_endpoint = (text(replay_endpoint, "replay_endpoint")
                                  if replay_endpoint is not None else None)
        config.adapter = text(adapter, "adapter") if adapter is not None else None
        settings_set(config, settings, ("connect", "batches", "high_water", "rank", "maps", "integers"),
                     "Publisher")

        def take(_, key, out, room):
            values = list(tokens(bytes(key.contents.bytes)))[:room] if tokens is not None else []
            ctypes.memmove(out, to_tokens(values), 4 * len(values))
            return len(values)

        self._tokens = lib.TOKENS_CALLBACK(answers(take, 0)) if tokens is not None else lib.TOKENS_CALLBACK()
        config.tokens = self._tokens
        handle = ctypes.c_void_p()
        check(api.publisher_create(config, ctypes.byref(handle)), "the sockets could not be opened")
        self._handle: Optional[int] = handle.value

    def _destroy(self, handle: int) -> None:
        api.publisher_destroy(handle)

    def poll(self, pool: KVPool, medium: Optional[str] = "GPU") -> int:
        """Publishes the events of a pool, and answers requests for replay."""
        count = ctypes.c_uint32()
        check(api.publisher_poll(self.handle, pool.handle, medium.encode() if medium else None,
                                 ctypes.byref(count)))
        return count.value

    def poll_tier(self, tiers: Tiers, tier: int, medium: Optional[str] = "CPU") -> int:
        count = ctypes.c_uint32()
        check(api.publisher_poll_tier(self.handle, tiers.handle, tier,
                                      medium.encode() if medium else None, ctypes.byref(count)))
        return count.value

    def stats(self) -> PublisherStats:
        stats = lib.PublisherStatistics()
        check(api.publisher_stats(self.handle, ctypes.byref(stats)))
        return figures(PublisherStats, stats)
