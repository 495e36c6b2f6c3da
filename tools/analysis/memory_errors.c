/* SPDX-License-Identifier: MIT */
#include "tools/analysis/memory_errors.h"

void memory_errors_add(struct memory_errors *errors, const struct trace_record *record)
{
    if (errors->count < MEMORY_ERRORS_KEPT)
        errors->row[errors->count] = (struct memory_errors_row){
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
    errors->count++;
}
