/* SPDX-License-Identifier: MIT */
#include "tools/analysis/memory_errors.h"

static struct memory_errors_row row_of(const struct trace_record *record)
{
    return (struct memory_errors_row){
        .time_ns = record->time_ns,
        .address = record->address,
        .requested_bytes = record->size,
        .offset = (int64_t)record->value,
        .kind = memory_error_kind_of(record->latency),
        .found = memory_error_found(record->latency),
        .expected = memory_error_expected(record->latency),
        .context = record->context,
        .device = record->device,
        .allocation_site = record->site,
        .free_site = record->stream,
    };
}

/* It follows the fault of its context; without one it says nothing. */
static void suspect_add(struct memory_errors *errors, const struct memory_errors_row *row)
{
    for (uint64_t at = memory_errors_kept(errors); at-- > 0;) {
        const struct memory_errors_row *fault = &errors->row[at];

        if (fault->kind != MEMORY_ERROR_FAULT || fault->context != row->context ||
            fault->device != row->device)
            continue;
        if (errors->suspects < MEMORY_SUSPECTS_KEPT)
            errors->suspect[errors->suspects++] = (struct memory_suspect){at, *row};
        return;
    }
}

void memory_errors_add(struct memory_errors *errors, const struct trace_record *record)
{
    struct memory_errors_row row = row_of(record);

    if (row.kind == MEMORY_ERROR_SUSPECT) {
        suspect_add(errors, &row);
        return;
    }
    if (errors->count < MEMORY_ERRORS_KEPT)
        errors->row[errors->count] = row;
    errors->count++;
}
