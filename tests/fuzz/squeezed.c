/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/squeezed.h"

#include <stdlib.h>
#include <string.h>

#include "cupti/base/crc32c.h"
#include "cupti/format/trace_format.h"

#define SQUEEZED_MAGIC UINT64_C(0x73746f6c73707563) /* "cupslots" */

/** Sets a checksum. True when it was another. */
static bool checksum_mend(uint32_t *checksum, uint32_t right)
{
    bool wrong = *checksum != right;

    *checksum = right;
    return wrong;
}

bool trace_checksums_mend(unsigned char *data, size_t bytes)
{
    struct trace_file_header *file = (void *)data;
    bool wrong;

    if (bytes < sizeof *file)
        return false;
    wrong = checksum_mend(&file->checksum, crc32c(file, offsetof(struct trace_file_header, flags)));
    for (size_t at = TRACE_BLOCK_BYTES; at + TRACE_BLOCK_BYTES <= bytes; at += TRACE_BLOCK_BYTES) {
        struct trace_block_header *header = (void *)(data + at);

        if (header->count && header->count <= TRACE_BLOCK_SLOTS)
            wrong |= checksum_mend(&header->checksum,
                                   crc32c(header + 1, (size_t)header->count * TRACE_SLOT_BYTES));
    }
    return wrong;
}

static bool slot_begins_block(const unsigned char *slot)
{
    uint32_t magic;

    memcpy(&magic, slot, sizeof magic);
    return magic == TRACE_BLOCK_MAGIC;
}

/** Where the next slot of a squeezed input belongs. */
static size_t slot_place(const unsigned char *slot, size_t end)
{
    return slot_begins_block(slot) ? (end + TRACE_BLOCK_BYTES - 1) & -(size_t)TRACE_BLOCK_BYTES
                                   : end;
}

/** A copy with the padding that was squeezed out. */
static unsigned char *slots_spread(const unsigned char *data, size_t bytes, size_t *ret_bytes)
{
    static const uint64_t magic = TRACE_FILE_MAGIC;
    size_t slots = bytes / TRACE_SLOT_BYTES, rest = bytes % TRACE_SLOT_BYTES, end = 0;
    unsigned char *copy;

    for (size_t i = 0; i < slots; i++)
        end = slot_place(data + i * TRACE_SLOT_BYTES, end) + TRACE_SLOT_BYTES;
    *ret_bytes = rest ? end + rest : (end + TRACE_BLOCK_BYTES - 1) & -(size_t)TRACE_BLOCK_BYTES;
    copy = calloc(1, *ret_bytes);
    if (!copy)
        abort();
    end = 0;
    for (size_t i = 0; i < slots; i++) {
        end = slot_place(data + i * TRACE_SLOT_BYTES, end) + TRACE_SLOT_BYTES;
        memcpy(copy + end - TRACE_SLOT_BYTES, data + i * TRACE_SLOT_BYTES, TRACE_SLOT_BYTES);
    }
    memcpy(copy + end, data + slots * TRACE_SLOT_BYTES, rest);
    memcpy(copy, &magic, sizeof magic);
    return copy;
}

unsigned char *trace_spread(const unsigned char *data, size_t bytes, size_t *ret_bytes)
{
    static const uint64_t squeezed = SQUEEZED_MAGIC;
    unsigned char *copy;

    if (bytes >= TRACE_SLOT_BYTES && memcmp(data, &squeezed, sizeof squeezed) == 0)
        return slots_spread(data, bytes, ret_bytes);
    copy = malloc(bytes + 1);
    if (!copy)
        abort();
    memcpy(copy, data, bytes);
    *ret_bytes = bytes;
    return copy;
}
