# SPDX-License-Identifier: MIT
"""The library and the types of its binary interface (include/cupool/*.h)."""

import ctypes
import os
import pathlib
from ctypes import (CFUNCTYPE, POINTER, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t,
                    c_uint, c_uint8, c_uint32, c_uint64, c_void_p)

NAME = "libcupool-engine.so.0"

PRESSURE_CALLBACK = CFUNCTYPE(None, c_void_p, c_int, c_double)
CLOCK = CFUNCTYPE(c_uint64, c_void_p)


class Structure(ctypes.Structure):
    """Refuses numbers that a field cannot hold: ctypes takes their last bits."""

    def __init__(self, *values, **named):
        super().__init__(*values, **named)
        for (name, *_), value in zip(self._fields_, values):
            self._look(name, value)
        for name, value in named.items():
            self._look(name, value)

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        self._look(name, value)

    def _look(self, name, value):
        if isinstance(value, int) and (getattr(self, name) or 0) != value:
            raise ValueError(f"{name}={value} is out of range")


class Hash(Structure):
    _fields_ = [("bytes", c_uint8 * 32)]


class DeviceStatistics(Structure):
    _fields_ = [("kind", c_int), ("index", c_int), ("preloaded", c_int),
                *[(name, c_uint64) for name in ("free_bytes", "total_bytes", "allocations", "frees",
                                                "current_bytes", "peak_bytes")]]


class MemoryStatistics(Structure):
    _fields_ = [*[(name, c_uint64) for name in
                  ("current_bytes", "peak_bytes", "reserved_bytes", "cached_bytes", "largest_free_bytes",
                   "allocations", "frees", "failures", "hits", "misses", "stream_hits", "trims",
                   "trimmed_bytes")],
                *[(name, c_double) for name in ("hit_rate", "utilization", "fragmentation",
                                                "pressure")]]


class MemoryEvent(Structure):
    _fields_ = [("time_ns", c_uint64), ("kind", c_int),
                *[(name, c_uint64) for name in ("address", "bytes", "current_bytes")]]


class Thresholds(Structure):
    _fields_ = [("normal", c_double), ("aggressive", c_double), ("hysteresis", c_double)]


class Media(Structure):
    _fields_ = [("digest", c_uint8 * 32), ("offset", c_int64), ("tokens", c_uint32)]


class Scope(Structure):
    _fields_ = [("salt", c_char_p), ("salt_bytes", c_size_t), ("adapter", c_char_p),
                ("adapter_generation", c_uint64), ("media", POINTER(Media)), ("media_count", c_size_t)]


class Identity(Structure):
    _fields_ = [("method", c_int), ("block_tokens", c_uint32), ("secret", c_uint64)]


class KVBlock(Structure):
    _fields_ = [("handle", c_uint64), ("id", c_uint32), ("state", c_int),
                *[(name, c_uint32) for name in ("references", "priority", "hits", "tokens")],
                ("last_use_ns", c_uint64), ("pinned", c_int), ("hash", Hash)]


RANK = CFUNCTYPE(c_uint64, c_void_p, POINTER(KVBlock))
MAY_EVICT = CFUNCTYPE(c_int, c_void_p, POINTER(KVBlock))


class Custom(Structure):
    _fields_ = [("state", c_void_p), ("rank", RANK), ("may_evict", MAY_EVICT)]


class KVPriorityRange(Structure):
    _fields_ = [("first", c_uint32), ("count", c_uint32), ("priority", c_uint32), ("duration_ns", c_uint64)]


class KVConfig(Structure):
    _fields_ = [*[(name, c_uint32) for name in ("blocks", "max_blocks", "block_tokens", "layers",
                                                "kv_heads", "head_dim")],
                *[(name, c_int) for name in ("key_type", "value_type", "layout", "order", "null_block",
                                             "clear", "elastic")],
                ("page_bytes", c_size_t), ("idle_pages", c_uint32), ("caching", c_int),
                ("policy", c_int), ("custom", Custom),
                *[(name, c_uint32) for name in ("events", "window", "requests", "group", "tier")],
                ("clock_ns", CLOCK), ("clock_state", c_void_p)]


class KVGeometry(Structure):
    _fields_ = [*[(name, c_uint64) for name in
                  ("block_bytes", "layer_bytes", "key_bytes", "value_bytes", "block_stride",
                   "layer_stride", "key_token_stride", "key_head_stride", "value_token_stride",
                   "value_head_stride")], ("base", c_void_p)]


class KVStatistics(Structure):
    _fields_ = [*[(name, c_uint64) for name in
                  ("total", "free", "mutable_blocks", "complete", "active", "inactive", "pinned",
                   "draining", "available", "peak_used")],
                *[(name, c_double) for name in ("usage", "occupied", "hit_rate")],
                *[(name, c_uint64) for name in
                  ("queries", "hits", "matches", "allocations", "allocation_calls", "failures", "waits",
                   "evictions", "registrations", "duplicates", "collisions", "released", "stale",
                   "copies", "events", "events_dropped", "pages_mapped", "page_bytes", "overflow",
                   "metadata_bytes")]]


class KVEvent(Structure):
    _fields_ = [("sequence", c_uint64), ("kind", c_int),
                *[(name, c_uint32) for name in ("group", "tier", "block_tokens", "count", "first")],
                ("has_parent", c_int), ("parent", Hash)]


class Member(Structure):
    _fields_ = [("pool", c_void_p), ("window", c_uint32)]


class SequencesConfig(Structure):
    _fields_ = [("sequences", c_uint32), ("max_tokens", c_uint32), ("method", c_int),
                ("secret", c_uint64), ("duplicates", c_int), ("partial", c_int)]


class SequencesStatistics(Structure):
    _fields_ = [(name, c_uint64) for name in ("live", "created", "tokens", "blocks", "forks", "copies",
                                              "matched_tokens", "table_copies")]


TENSOR_RANK_MAX = 8
TENSOR_EXACT = c_size_t(-1).value
WAIT_FOREVER = c_uint64(-1).value
TRANSFER_CALLBACK = CFUNCTYPE(None, c_void_p, c_uint64, c_int)


class TensorShape(Structure):
    _fields_ = [("rank", c_uint32), ("type", c_int), ("device", c_uint32), ("flags", c_uint32),
                ("dimensions", c_uint64 * TENSOR_RANK_MAX)]


class TensorsConfig(Structure):
    _fields_ = [("devices", POINTER(c_void_p)), ("device_count", c_uint32), ("tensors", c_uint32),
                ("shapes", c_uint32), ("limit_bytes", c_uint64), ("limit_entries", c_uint32)]


class TensorsStatistics(Structure):
    _fields_ = [*[(name, c_uint64) for name in
                  ("acquires", "releases", "hits", "misses", "fits", "waits", "evictions", "trims",
                   "retries", "plain", "failures", "stale", "live", "live_bytes", "cached",
                   "cached_bytes", "reserved", "reserved_bytes", "peak_bytes", "peak_cached_bytes",
                   "limit_bytes", "limit_entries")], ("hit_rate", c_double)]


class TensorsRow(Structure):
    _fields_ = [("shape", TensorShape), ("stream", c_void_p),
                *[(name, c_uint64) for name in ("bytes", "hits", "misses", "evictions")],
                *[(name, c_uint32) for name in ("live", "cached", "reserved")]]


class TensorInfo(Structure):
    _fields_ = [("shape", TensorShape), ("memory", c_void_p), ("bytes", c_uint64),
                ("reserved", c_int)]


class Copy(Structure):
    # "from" is a word of Python
    _fields_ = [("to", c_void_p), ("source", c_void_p), ("bytes", c_size_t)]


class TransferThresholds(Structure):
    _fields_ = [(name, c_uint64) for name in ("kernel_below", "kernel_from", "batch_from")]


class TransfersConfig(Structure):
    _fields_ = [*[(name, c_uint32) for name in ("requests", "fragments", "depth", "pieces",
                                                "piece_bytes")],
                ("thresholds", POINTER(TransferThresholds)), ("folder", c_char_p)]


class TransferOptions(Structure):
    _fields_ = [("priority", c_int), ("after_stream", c_void_p), ("after_event", c_void_p),
                ("alignment", c_size_t), ("callback", TRANSFER_CALLBACK), ("state", c_void_p)]


class TransferStatistics(Structure):
    _fields_ = [(name, c_uint64) for name in
                ("submitted", "completed", "cancelled", "failed", "refused", "fragments", "joined",
                 "bytes", "driver_calls", "copies", "batches", "launches", "descriptors",
                 "copied_bytes", "batched_bytes", "kernel_bytes", "staged_bytes", "pieces", "stalls",
                 "waiting", "under_way")]


class TensorSource(Structure):
    _fields_ = [("memory", c_void_p), ("bytes", c_size_t)]


class HostOptions(Structure):
    _fields_ = [("chunk_bytes", c_size_t), ("threads", c_uint32), ("huge_pages", c_int)]


class CodecConfig(Structure):
    _fields_ = [*[(name, c_int) for name in ("codec", "type", "layout", "parts")],
                *[(name, c_uint32) for name in ("tokens", "heads", "head_dim", "first_layer",
                                                "keep_permille")]]


class CodecInfo(Structure):
    _fields_ = [*[(name, c_size_t) for name in ("raw_bytes", "maximum_bytes", "alignment")],
                ("key_bound", c_double), ("value_bound", c_double), ("key_reference", c_int),
                ("value_reference", c_int)]


class CodecBlock(Structure):
    _fields_ = [("raw", c_void_p), ("encoded", c_void_p), ("encoded_bytes", c_size_t),
                ("scores", POINTER(ctypes.c_float)), ("saturated", c_uint64), ("fault", c_int)]


class CodecHeader(Structure):
    _fields_ = [("magic", c_uint32), ("version", ctypes.c_uint16),
                *[(name, c_uint8) for name in ("codec", "type", "layout", "parts", "first_layer",
                                               "stored")],
                *[(name, c_uint32) for name in ("tokens", "heads", "head_dim", "keep_permille",
                                                "padding")],
                *[(name, c_uint64) for name in ("payload_bytes", "keys_bytes", "saturated")],
                ("payload_crc", c_uint32), ("header_crc", c_uint32)]


class TierStore(Structure):
    _fields_ = [("state", c_void_p), ("shared", c_int),
                *[(name, c_void_p) for name in ("put", "get", "remove", "list", "charge", "available",
                                                "close")]]


class TierServerConfig(Structure):
    _fields_ = [("address", c_char_p), ("port", ctypes.c_uint16), ("password", c_char_p),
                ("prefix", c_char_p),
                *[(name, c_uint32) for name in ("timeout_ms", "retry_ms", "expire_s")]]


class Tier(Structure):
    _fields_ = [("store", TierStore), ("name", c_char_p), ("bytes", c_uint64), ("entries", c_uint32)]


class TiersConfig(Structure):
    _fields_ = [("identity", c_char_p), ("codec", c_int),
                *[(name, c_uint32) for name in ("exact_first", "exact_newest", "keep_permille",
                                                "threads", "queue", "batch", "requests")],
                ("promote", c_int), ("events", c_uint32)]


class TierAge(Structure):
    _fields_ = [("age_ns", c_uint64), ("bytes", c_uint64), ("time_ns", c_uint64), ("blocks", c_uint32)]


class TierStatistics(Structure):
    _fields_ = [("name", ctypes.c_char * 32), ("shared", c_int), ("available", c_int),
                *[(name, c_uint64) for name in ("entries", "storing", "pinned", "bytes", "budget")],
                ("usage", c_double),
                *[(name, c_uint64) for name in
                  ("stored", "stored_bytes", "loaded", "loaded_bytes", "misses", "evictions",
                   "refused", "failures", "unavailable", "corrupt")],
                ("last_fault", c_int),
                *[(name, c_uint64) for name in ("put_ns", "get_ns", "peak_bytes")]]


class TiersStatistics(Structure):
    _fields_ = [(name, c_uint64) for name in
                ("queued", "storing", "loading", "offloads", "stored", "skipped", "store_failures",
                 "loads", "loaded", "load_misses", "raw_bytes", "entry_bytes", "exact", "saturated",
                 "encode_ns", "decode_ns", "copy_ns", "age_steps", "aged", "aged_raw_bytes",
                 "aged_entry_bytes", "age_ns", "device_encoded", "device_decoded", "from_device_bytes",
                 "to_device_bytes")]


TOKENS_CALLBACK = CFUNCTYPE(c_uint32, c_void_p, POINTER(Hash), POINTER(c_int32), c_uint32)


class PublisherConfig(Structure):
    _fields_ = [("endpoint", c_char_p), ("connect", c_int), ("replay_endpoint", c_char_p),
                ("topic", c_char_p), ("batches", c_uint32), ("high_water", c_uint32),
                ("rank", c_int32), ("maps", c_int), ("integers", c_int), ("adapter", c_char_p),
                ("tokens", TOKENS_CALLBACK), ("tokens_state", c_void_p)]


class PublisherStatistics(Structure):
    _fields_ = [(name, c_uint64) for name in
                ("batches", "events", "bytes", "lost", "replays", "replayed", "failures")]


_P, _U32, _U64, _I = c_void_p, c_uint32, c_uint64, c_int
_HANDLES, _HASHES = POINTER(c_uint64), POINTER(Hash)

# name: result, arguments
FUNCTIONS = {
    "engine_version": (c_char_p,),
    "device_open": (_I, _I, POINTER(_P)),
    "device_host": (_I, POINTER(_P)),
    "device_close": (None, _P),
    "device_error": (c_char_p, _P),
    "device_kind": (_I, _P),
    "device_stats": (_I, _P, POINTER(DeviceStatistics)),
    "device_stream_create": (_I, _P, POINTER(_P)),
    "device_stream_destroy": (_I, _P, _P),
    "device_wait": (_I, _P, _P),
    "device_copy": (_I, _P, _P, _P, c_size_t, _P),
    "device_fill": (_I, _P, _P, c_uint8, c_size_t, _P),
    "memory_allocate": (_I, _P, c_size_t, _P, POINTER(_P)),
    "memory_free": (_I, _P, _P, _P),
    "memory_size": (_I, _P, _P, POINTER(c_size_t)),
    "memory_trim": (_I, _P, c_size_t, POINTER(c_size_t)),
    "memory_defragment": (_I, _P, POINTER(c_size_t)),
    "memory_stats": (_I, _P, POINTER(MemoryStatistics)),
    "memory_history": (c_size_t, _P, POINTER(MemoryEvent), c_size_t),
    "memory_pressure": (_I, _P, POINTER(Thresholds), PRESSURE_CALLBACK, _P),
    "memory_should_trim": (_I, _P),
    "memory_check": (_I, _P, c_char_p, c_size_t),
    "kv_identity_root": (_I, POINTER(Identity), POINTER(Scope), _HASHES),
    "kv_identity_blocks": (_I, POINTER(Identity), POINTER(Scope), _HASHES, POINTER(c_int32), _U64,
                           c_size_t, _HASHES),
    "kv_identity_partial": (_I, POINTER(Identity), POINTER(Scope), _HASHES, POINTER(c_int32), _U64,
                            c_size_t, _HASHES),
    "kv_config_init": (None, POINTER(KVConfig)),
    "kv_create": (_I, _P, POINTER(KVConfig), POINTER(_P)),
    "kv_destroy": (None, _P),
    "kv_error": (c_char_p, _P),
    "kv_strides": (None, _P, POINTER(KVGeometry)),
    "kv_allocate": (_I, _P, _U32, _P, _HANDLES),
    "kv_allocate_async": (_I, _P, _U32, _P, _U64, _HANDLES, _P, _P, POINTER(c_uint64)),
    "kv_ticket_result": (_I, _P, _U64),
    "kv_cancel": (_I, _P, _U64),
    "kv_poll": (_I, _P),
    "kv_event_fd": (_I, _P, POINTER(_I)),
    "kv_retain": (_I, _P, _HANDLES, _U32),
    "kv_release": (_I, _P, _HANDLES, _U32, _P),
    "kv_stream_order": (_I, _P, _HANDLES, _U32, _P),
    "kv_memory": (_I, _P, _U64, _U32, _I, POINTER(_P), POINTER(c_size_t)),
    "kv_describe": (_I, _P, _U64, POINTER(KVBlock)),
    "kv_downgrade": (_I, _P, _U64, POINTER(c_uint64)),
    "kv_upgrade": (_I, _P, _U64, POINTER(c_uint64)),
    "kv_complete": (_I, _P, _HANDLES, _U32),
    "kv_register": (_I, _P, _HANDLES, _HASHES, _U32, _HASHES, _I, _P, _HANDLES),
    "kv_register_partial": (_I, _P, _U64, _HASHES, _HASHES, _U32, _P),
    "kv_match": (_I, _P, _HASHES, _U32, _HANDLES, POINTER(_U32)),
    "kv_match_scattered": (_I, _P, _HASHES, _U32, _HANDLES, POINTER(_U32)),
    "kv_match_group": (_I, POINTER(Member), _U32, _HASHES, _U32, POINTER(_HANDLES), POINTER(_U32)),
    "kv_window_tail": (_I, _U32, _U32, c_int64, c_int64, _U64, POINTER(_U32), _U32, POINTER(_U32)),
    "kv_prefetch": (_I, _P, _HASHES, _U32, _HASHES, _P, _HANDLES, POINTER(c_uint8), _P, _P,
                    POINTER(c_uint64)),
    "kv_peek": (_I, _P, _HASHES, _U32, POINTER(_U32)),
    "kv_make_writable": (_I, _P, _U64, _P, POINTER(c_uint64)),
    "kv_set_priority": (_I, _P, _HANDLES, _U32, _U32, _U64),
    "kv_set_priorities": (_I, _P, _HANDLES, _U32, POINTER(KVPriorityRange), _U32),
    "kv_pin": (_I, _P, _HANDLES, _U32),
    "kv_unpin": (_I, _P, _HASHES, _U32),
    "kv_evict": (_I, _P, _I, _U32, POINTER(_U32)),
    "kv_forget": (_I, _P, _HASHES, _U32, POINTER(_U32)),
    "kv_trim": (_I, _P, _U32, POINTER(_U32)),
    "kv_resize": (_I, _P, _U32, POINTER(_U32)),
    "kv_reset": (_I, _P, POINTER(_U32)),
    "kv_pressure": (_I, _P, POINTER(Thresholds), PRESSURE_CALLBACK, _P),
    "kv_events_poll": (_I, _P, POINTER(KVEvent), _U32, _HASHES, _U32, POINTER(_U32), POINTER(c_uint64)),
    "kv_stats": (_I, _P, POINTER(KVStatistics)),
    "kv_stats_window": (_I, _P, POINTER(c_uint64), POINTER(c_uint64), POINTER(c_double)),
    "kv_check": (_I, _P, c_char_p, c_size_t),
    "tensor_bytes": (_I, POINTER(TensorShape), POINTER(c_uint64)),
    "tensors_config_init": (None, POINTER(TensorsConfig)),
    "tensors_create": (_I, POINTER(TensorsConfig), POINTER(_P)),
    "tensors_destroy": (None, _P),
    "tensors_error": (c_char_p, _P),
    "tensors_acquire": (_I, _P, POINTER(TensorShape), _P, c_size_t, POINTER(c_uint64), POINTER(_P)),
    "tensors_release": (_I, _P, _U64, _P),
    "tensors_describe": (_I, _P, _U64, POINTER(TensorInfo)),
    "tensors_reserve": (_I, _P, POINTER(TensorShape), _P, _U32),
    "tensors_reserve_file": (_I, _P, c_char_p, _U32, _U64, POINTER(_U32), POINTER(c_uint64)),
    "tensors_unreserve": (_I, _P, _U32),
    "tensors_limit": (_I, _P, _U32, _U64, _U32),
    "tensors_trim": (_I, _P, _U32, _U64, POINTER(c_uint64)),
    "tensors_stats": (_I, _P, _U32, POINTER(TensorsStatistics)),
    "tensors_rows": (_I, _P, POINTER(TensorsRow), _U32),
    "tensors_check": (_I, _P, c_char_p, c_size_t),
    "transfers_config_init": (None, POINTER(TransfersConfig)),
    "transfer_options_init": (None, POINTER(TransferOptions)),
    "transfers_create": (_I, _P, POINTER(TransfersConfig), POINTER(_P)),
    "transfers_destroy": (None, _P),
    "transfers_error": (c_char_p, _P),
    "transfers_submit": (_I, _P, _I, POINTER(Copy), _U32, POINTER(TransferOptions),
                         POINTER(c_uint64)),
    "transfer_query": (_I, _P, _U64),
    "transfer_wait": (_I, _P, _U64, _U64),
    "transfer_cancel": (_I, _P, _U64),
    "transfer_order": (_I, _P, _U64, _P),
    "transfers_poll": (_I, _P),
    "transfers_stats": (_I, _P, _I, POINTER(TransferStatistics)),
    "transfers_thresholds": (_I, _P, POINTER(TransferThresholds)),
    "transfers_calibrate": (_I, _P, _I, POINTER(TransferThresholds)),
    "transfers_check": (_I, _P, c_char_p, c_size_t),
    "transfers_ensure": (_I, _P, _P, c_size_t, _P, POINTER(_P), POINTER(c_uint64)),
    "transfers_prefetch": (_I, _P, POINTER(TensorSource), _U32, c_size_t, _P, POINTER(_P),
                           POINTER(_P), POINTER(c_uint64)),
    "host_allocate": (_I, _P, c_size_t, POINTER(HostOptions), POINTER(_P)),
    "host_free": (_I, _P, _P),
    "host_register": (_I, _P, _P, c_size_t, POINTER(HostOptions)),
    "host_unregister": (_I, _P, _P),
    "codec_query": (_I, POINTER(CodecConfig), POINTER(CodecInfo)),
    "codec_encode": (_I, POINTER(CodecConfig), POINTER(CodecBlock), c_size_t),
    "codec_decode": (_I, POINTER(CodecConfig), POINTER(CodecBlock), c_size_t),
    "codec_verify": (_I, _P, c_size_t, POINTER(CodecHeader), POINTER(c_int)),
    "codec_config_of": (None, POINTER(CodecHeader), POINTER(CodecConfig)),
    "codec_name": (c_char_p, _I),
    "codec_by_name": (_I, c_char_p, POINTER(c_int)),
    "codec_fault_text": (c_char_p, _I),
    "tier_host": (_I, _U64, POINTER(TierStore)),
    "tier_file": (_I, c_char_p, POINTER(TierStore)),
    "tier_server": (_I, POINTER(TierServerConfig), POINTER(TierStore)),
    "tiers_config_init": (None, POINTER(TiersConfig)),
    "tiers_create": (_I, _P, _P, POINTER(TiersConfig), POINTER(Tier), _U32, POINTER(_P)),
    "tiers_destroy": (None, _P),
    "tiers_error": (c_char_p, _P),
    "tiers_offload": (_I, _P, _HANDLES, _U32, _P, _P, _P, POINTER(c_uint64)),
    "tiers_result": (_I, _P, _U64, POINTER(_U32)),
    "tiers_cancel": (_I, _P, _U64),
    "tiers_drain": (_I, _P),
    "tiers_lookup": (_I, _P, _HASHES, _U32, POINTER(c_uint8)),
    "tiers_match": (_I, _P, _HASHES, _U32, _P, _HANDLES, POINTER(c_uint8), POINTER(_U32)),
    "tiers_events_poll": (_I, _P, _U32, POINTER(KVEvent), _U32, _HASHES, _U32, POINTER(_U32),
                          POINTER(c_uint64)),
    "tiers_forget": (_I, _P, _HASHES, _U32),
    "tiers_age_step": (_I, _P, POINTER(TierAge), POINTER(_U32), POINTER(c_uint64), POINTER(c_uint64)),
    "tiers_stats": (_I, _P, POINTER(TiersStatistics)),
    "tier_stats": (_I, _P, _U32, POINTER(TierStatistics)),
    "tier_fault_text": (c_char_p, _I),
    "tiers_check": (_I, _P, c_char_p, c_size_t),
    "publisher_config_init": (None, POINTER(PublisherConfig)),
    "publisher_create": (_I, POINTER(PublisherConfig), POINTER(_P)),
    "publisher_destroy": (None, _P),
    "publisher_poll": (_I, _P, _P, c_char_p, POINTER(_U32)),
    "publisher_poll_tier": (_I, _P, _P, _U32, c_char_p, POINTER(_U32)),
    "publisher_stats": (_I, _P, POINTER(PublisherStatistics)),
    "sequences_config_init": (None, POINTER(SequencesConfig)),
    "sequences_create": (_I, POINTER(Member), _U32, POINTER(SequencesConfig), POINTER(_P)),
    "sequences_destroy": (None, _P),
    "sequences_error": (c_char_p, _P),
    "sequences_stats": (_I, _P, POINTER(SequencesStatistics)),
    "sequences_check": (_I, _P, c_char_p, c_size_t),
    "sequence_create": (_I, _P, POINTER(Scope), c_uint, POINTER(c_uint64)),
    "sequence_match": (_I, _P, _U64, POINTER(c_int32), _U32, _P, POINTER(_U32)),
    "sequence_append": (_I, _P, _U64, POINTER(c_int32), _U32, _P),
    "sequence_reserve": (_I, _P, _U64, _U32, _P),
    "sequence_commit": (_I, _P, _U64, _P),
    "sequence_fork": (_I, _P, _U64, _P, POINTER(c_uint64)),
    "sequence_truncate": (_I, _P, _U64, _U32, _P),
    "sequence_slide": (_I, _P, _U64, _U32, _P),
    "sequence_remove": (_I, _P, _U64, _P),
    "sequence_length": (_I, _P, _U64, POINTER(_U32)),
    "sequence_table": (_I, _P, _U64, _U32, POINTER(POINTER(c_int32)), POINTER(_U32)),
    "sequence_place": (_I, _P, _U64, _U32, _U32, POINTER(c_uint64), POINTER(_U32)),
    "sequences_tables": (_I, _P, _U32, _P, POINTER(_P), POINTER(_U32)),
}


def _candidates():
    named = os.environ.get("CUPOOL_ENGINE")
    if named:
        yield named
        return
    yield str(pathlib.Path(__file__).with_name(NAME))
    yield NAME


def _load():
    problems = []
    for path in _candidates():
        try:
            return ctypes.CDLL(path)
        except OSError as error:
            problems.append(str(error))
    raise ImportError(f"{NAME} was not found; install it or set CUPOOL_ENGINE: " + "; ".join(problems))


def _exact(kind):
    """The type of an argument that refuses a number which it cannot hold: ctypes takes its last bits."""
    class Exact(kind):
        @classmethod
        def from_param(cls, value):
            if isinstance(value, int) and kind(value).value != value:
                raise ValueError(f"{value} is out of range")
            return kind.from_param(value)
    return Exact


_EXACT = {kind: _exact(kind) for kind in (c_int, c_uint, c_int64, c_size_t, c_uint8, c_uint32, c_uint64)}


class _Functions:
    """The functions without their prefix, looked up at first use."""

    def __getattr__(self, name):
        library = self.__dict__.get("library") or _load()
        self.__dict__["library"] = library
        result, *arguments = FUNCTIONS[name]
        function = getattr(library, "cupool_" + name)
        function.restype = result
        function.argtypes = [_EXACT.get(kind, kind) for kind in arguments]
        self.__dict__[name] = function
        return function


api = _Functions()
