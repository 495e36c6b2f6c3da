/* SPDX-License-Identifier: MIT */
#include "tools/report/base/memory_error_text.h"

#include <inttypes.h>
#include <stdio.h>

bool memory_error_has_bytes(const struct memory_errors_row *row)
{
    return row->kind != MEMORY_ERROR_FAULT && row->kind != MEMORY_ERROR_SUSPECT;
}

void memory_error_place_text(const struct memory_errors_row *row, char *ret_text, size_t text_bytes)
{
    uint64_t offset = (uint64_t)row->offset;

    if (row->kind == MEMORY_ERROR_FAULT)
        snprintf(ret_text, text_bytes, "address not reported by the driver");
    else if (row->kind == MEMORY_ERROR_SUSPECT)
        snprintf(ret_text, text_bytes, offset ? "freed" : "live");
    else if (row->offset < 0)
        snprintf(ret_text, text_bytes, "offset %" PRId64 ", %" PRIu64 " B before its start",
                 row->offset, 0 - offset);
    else if (offset >= row->requested_bytes)
        snprintf(ret_text, text_bytes, "offset %" PRIu64 ", %" PRIu64 " B past its end", offset,
                 offset - row->requested_bytes);
    else
        snprintf(ret_text, text_bytes, "offset %" PRIu64, offset);
}
