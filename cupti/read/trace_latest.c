/* SPDX-License-Identifier: MIT */
/*
 * Finds the latest event of a trace that is still being written: it is in a block that is not
 * sealed yet, or in one of the last.
 */
#include <stdlib.h>

#include "cupti/read/trace_reader_internal.h"

#define LAST_BLOCKS 16 /* of the file, which are read although they are sealed */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/** Returns the latest event in the valid slots of a block. */
static uint64_t block_latest(const struct trace_reader *reader, const struct trace_record *slot,
                             uint32_t slots)
{
    uint64_t latest = 0;

    for (uint32_t i = 0; i < slots && slot[i].kind;) {
        uint32_t step = trace_record_slots(&slot[i]);

        if (!step)
            break;
        if (trace_record_is_known(&slot[i]) && !trace_kind_is_definition(slot[i].kind))
            latest = larger(latest, trace_record_order_in(reader, &slot[i]));
        i += step;
    }
    return latest;
}

uint64_t trace_source_latest_ns(const struct trace_source *source)
{
    uint64_t blocks = source->bytes / TRACE_BLOCK_BYTES, latest = 0;
    struct trace_record *block = malloc(TRACE_BLOCK_BYTES);
    struct trace_file_header header = {0};
    struct trace_reader reader = {.source = *source};

    if (block && trace_source_read(source, &header, sizeof header, 0) == sizeof header)
        reader.scaled = header.flags & TRACE_FLAG_SCALED;
    for (uint64_t i = 1; block && i < blocks; i++) {
        struct trace_block_header own;
        bool last = header.version == TRACE_VERSION_LIMITED || i + LAST_BLOCKS >= blocks;

        i = trace_block_next(&reader, i);
        if (trace_source_read(source, &own, sizeof own, i * TRACE_BLOCK_BYTES) != sizeof own ||
            own.magic != TRACE_BLOCK_MAGIC || own.carry || (own.count && !last))
            continue;
        if (trace_source_read(source, block, TRACE_BLOCK_BYTES, i * TRACE_BLOCK_BYTES) ==
            TRACE_BLOCK_BYTES)
            latest = larger(latest, block_latest(&reader, block + 1, TRACE_BLOCK_SLOTS));
    }
    free(block);
    return latest;
}
