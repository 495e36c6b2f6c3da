/* SPDX-License-Identifier: MIT */
#include "tools/report/base/memory_error_text.h"

#include <inttypes.h>
#include <stdio.h>

void memory_error_place_text(const struct memory_errors_row *row, char *ret_text, size_t text_bytes)
{
    uint64_t offset = (uint64_t)row->offset;

    if (row->offset < 0)
        snprintf(ret_text, text_bytes, "offset %" PRId64 ", %" PRIu64 " B before its begin",
                 row->offset, 0 - offset);
    else if (offset >= row->requested_bytes)
        snprintf(ret_text, text_bytes, "offset %" PRIu64 ", %" PRIu64 " B behind its end", offset,
                 offset - row->requested_bytes);
    else
        snprintf(ret_text, text_bytes, "offset %" PRIu64, offset);
}
