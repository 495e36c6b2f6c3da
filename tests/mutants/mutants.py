# SPDX-License-Identifier: MIT
"""Small changes of safety-critical places, each with the tests that must fail for it.

A row: area, file by its name alone (folders may change), the exact text, what takes its place, and
the tests. The text stands exactly once in the file; one that does not is an error of the row.
"""

import typing


class Mutant(typing.NamedTuple):
    area: str
    file: str
    old: str
    new: str
    tests: tuple


MUTANTS = [
    # Checksums.
    Mutant("checksums", "crc32c.c", "return ~crc32c_sse(UINT32_MAX, data, bytes);",
           "return ~crc32c_sse(0, data, bytes);", ("trace_writer",)),
    Mutant("checksums", "crc32c.c", "second ^= follow_zeros((uint32_t)first, third);",
           "second ^= (uint32_t)first;", ("trace_writer",)),
    Mutant("checksums", "trace_scan.c", "if (block->header.checksum != crc32c(block->slot,",
           "if (0 & crc32c(block->slot,", ("trace_reader",)),
    Mutant("checksums", "trace_reader.c", "if (header->checksum != crc32c(header,",
           "if (0 & crc32c(header,", ("trace_reader",)),
    Mutant("checksums", "trace_carry.c",
           "header->checksum != crc32c(record, (size_t)header->count * TRACE_SLOT_BYTES))",
           "header->checksum == 0)", ("rotated",)),
    Mutant("checksums", "trace_lane.c",
           "header->checksum = crc32c(header + 1, (size_t)lane->used * TRACE_SLOT_BYTES);",
           "header->checksum = crc32c(header + 1, (size_t)lane->used * TRACE_SLOT_BYTES - 1);",
           ("trace_writer",)),
    # The store of a trace's blocks, and what a reader believes.
    Mutant("trace store", "trace_store.c", "O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW",
           "O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW", ("trace_writer",)),
    Mutant("trace store", "trace_store.c",
           "    if (ftruncate(store->fd, (off_t)(store->blocks * TRACE_BLOCK_BYTES)) < 0)",
           "    if (store->fd < 0)", ("trace_reader",)),
    Mutant("trace store", "trace_store.c",
           "if (store->most_blocks && store->blocks >= store->most_blocks)",
           "if (store->most_blocks && store->blocks >= 2 * store->most_blocks)", ("rotated",)),
    Mutant("trace store", "trace_store.c", "    memset(block, 0, TRACE_BLOCK_BYTES);\n", "",
           ("rotated",)),
    Mutant("trace store", "trace_store.c",
           "    store->spare[store->spares++] = position;\n", "",
           ("rotated",)),
    Mutant("trace store", "trace_store.c", "           status.st_ino == store->inode;",
           "           status.st_ino != 0;", ("trace_writer",)),
    Mutant("trace store", "trace_scan.c", "if (record->site > reader->places)",
           "if (record->site > reader->places + 1)", ("trace_reader",)),
    Mutant("trace store", "trace_merge.c", "bool api = record->api <= reader->texts,",
           "bool api = record->api <= UINT16_MAX,", ("trace_reader",)),
    Mutant("trace store", "analysis_carry.c", "    return byte <= 1;", "    return byte <= 254;",
           ("rotated",)),
    Mutant("trace store", "ledger.c",
           "while (number && ledger->row[number - 1].block.context != context)",
           "while (number && context == 0)", ("analysis",)),
    Mutant("trace store", "ledger.c", "    chain_remove(ledger, row);\n", "", ("analysis",)),
    Mutant("trace store", "elf_module.c", "same = !strncmp(wanted + 2 * i, digits, 2);",
           "same = true;", ("sites",)),
    Mutant("trace store", "key_index.h",
           "return hash_fold(hash_fold(key ^ seed->before, seed->factor) ^ key, seed->factor);",
           "return (key ^ (seed->before & 0)) * UINT64_C(0x9e3779b97f4a7c15) >> 20;",
           ("shapes",)),
    # Comparison with a budget.
    Mutant("budget", "gate.c", "if (at_least ? value >= limit : value <= limit)",
           "if (at_least ? value >= limit : value <= limit + 1)", ("gates",)),
    Mutant("budget", "gate.c", "if (at_least ? value >= limit : value <= limit)",
           "if (at_least ? value > limit : value <= limit)", ("gates",)),
    Mutant("budget", "gate.c", "    if (grown <= allowed)", "    if (grown <= allowed + 1)",
           ("gates",)),
    Mutant("budget", "metrics.c",
           "return bounded > tolerance->absolute ? bounded : tolerance->absolute;",
           "return bounded < tolerance->absolute ? bounded : tolerance->absolute;", ("gates",)),
    Mutant("budget", "difference.c", "after - before > tolerance_allowed(tolerance, before)",
           "after - before >= tolerance_allowed(tolerance, before)", ("gates",)),
    # The gate that contexts end behind.
    Mutant("gate", "gate.c", "        slot_wait(&slots[i]);", "        (void)slot_wait;",
           ("shim-gate",)),
    Mutant("gate", "gate.c",
           "    atomic_store_explicit(&gate_closed, false, memory_order_release);\n", "",
           ("shim-gate",)),
    Mutant("gate", "gate.c", "    self->gate_shared = i == GATE_SLOTS - 1;",
           "    self->gate_shared = false;", ("shim-gate",)),
    # Stream capture.
    Mutant("capture", "capture.c", "        captures[used++] = capture;", "        (void)capture;",
           ("shim-capture",)),
    Mutant("capture", "capture.c",
           "busy = !captures[i].context || captures[i].context == context;",
           "busy = captures[i].context == context;", ("shim-capture",)),
    Mutant("capture", "capture.c", "    bool busy = uncounted > 0;", "    bool busy = false;",
           ("shim-capture",)),
    Mutant("capture", "capture.c", "    if (capture->per_thread != own)\n        return false;\n",
           "", ("shim-capture",)),
    Mutant("capture", "capture.c", "forbidden = capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED;",
           "forbidden = false;", ("shim-capture", "capture")),
    Mutant("capture", "capture_api.c",
           "    if (result != CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD)\n", "", ("capture",)),
    # From an address to its block.
    Mutant("page map", "page_map.c", "        rc = page_vacate_locked(page);",
           "        rc = page > first ? 0 : page_vacate_locked(page);", ("pool-basic", "pool-model")),
    Mutant("page map", "page_map.c",
           "    for (uint64_t page = first; page < first + pages; page++)",
           "    for (uint64_t page = first; page + 1 < first + pages; page++)",
           ("pool-basic", "pool-model", "churn")),
    # Errors as the real functions make them.
    Mutant("last error", "runtime_api.c",
           "case POOLED_FREE_INVALID: return release_call(release, (void *)(uintptr_t)refused);",
           "case POOLED_FREE_INVALID: return cudaErrorInvalidValue;", ("last_error", "bad_free")),
    Mutant("last error", "runtime_api.c",
           "return real->cudaFree && real->cudaFree(NULL) == cudaSuccess;",
           "return real->cudaFree && !real->cudaFree;",
           ("first_call", "check_served", "check_exports", "savings")),
    Mutant("errno", "call.h", "    errno = call->saved_errno;", "    (void)call->saved_errno;",
           ("error_number",)),
    # Blocks that other processes open.
    Mutant("IPC board", "ipc_board.c", "return ret_slot->key == token->key && ret_slot->block.offset",
           "return ret_slot->block.offset", ("ipc_blocks", "check_ipc")),
    Mutant("IPC board", "ipc_board.c", "        clear_locked((uint32_t)slot);",
           "        (void)clear_locked;", ("ipc_blocks", "check_ipc")),
    Mutant("IPC board", "ipc_board.c", "if (entries[i].address && entries[i].context == context)",
           "if (entries[i].address && entries[i].context == context + 1)",
           ("ipc_blocks", "context_end")),
    Mutant("IPC board", "ipc_board.c",
           "    slots = NULL; /* the mapping was not inherited */\n", "",
           ("ipc_blocks", "fork_child")),
    # The labels of freed blocks.
    Mutant("labels", "quarantine.h", "return (int32_t)(retired - label) >= 0;",
           "return (int32_t)(retired - label) >= -1;", ("pool-quarantine", "pool-model")),
    Mutant("labels", "quarantine.h", "return (int32_t)(retired - label) >= 0;",
           "return retired >= label;", ("pool-quarantine", "pool-model")),
    Mutant("labels", "quarantine.c",
           "atomic_store_explicit(&quarantine->open_number, number + 1, memory_order_relaxed);",
           "atomic_store_explicit(&quarantine->open_number, number, memory_order_relaxed);",
           ("pool-quarantine",)),
    Mutant("labels", "quarantine.c", "            bytes += bin_visit(&shard->bins[class]);",
           "            bytes += 0 & shard->bins[class].object_bytes;",
           ("pool-quarantine", "pool-model")),
]
