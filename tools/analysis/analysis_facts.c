/* SPDX-License-Identifier: MIT */
/*
 * Events that are only collected: process and devices, invalid frees, trims, requests that could
 * not be served, the driver's account and the pool's counters.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/analysis/analysis_parts.h"
#include "tools/base/grow.h"

void analysis_add_process(struct analysis *analysis, const struct trace_record *record)
{
    analysis->command = trace_reader_string(analysis->reader, record->value);
    analysis->version = trace_reader_string(analysis->reader, record->address);
}

void analysis_add_rank(struct analysis *analysis, const struct trace_record *record)
{
    analysis->has_rank = true;
    analysis->rank = record->value;
    analysis->ranks = record->size;
    analysis->rank_variable = trace_reader_string(analysis->reader, record->address);
}

void analysis_add_device(struct analysis *analysis, const struct trace_record *record)
{
    const char *name = trace_reader_string(analysis->reader, record->value);
    size_t i = 0;

    while (i < analysis->devices && analysis->device[i].index != record->device)
        i++;
    if (i == ANALYSIS_DEVICES)
        return;
    analysis->device[i] = (struct analysis_device){
        .index = record->device,
        .name = name ? name : "",
        .simulated = name && (strcasestr(name, "simulated") || strcasestr(name, "simgpu")),
        .total_bytes = record->size,
        .driver_version = record->address,
        .runtime_version = record->site};
    if (i == analysis->devices)
        analysis->devices++;
}

void analysis_add_refusal(struct analysis *analysis, const struct trace_record *record)
{
    uint64_t row = analysis->total.failures - 1;

    if (replay_is_failure(record) && !analysis->outside && row < ANALYSIS_FAILURES)
        analysis->failure[row] = (struct analysis_failure){
            .time_ns = record->time_ns, .request_bytes = record->size, .site = record->site};
}

void analysis_add_invalid_free(struct analysis *analysis, const struct trace_record *record)
{
    uint64_t row = analysis->total.invalid_frees - 1;

    if (row < ANALYSIS_INVALID_FREES)
        analysis->invalid_free[row] = (struct analysis_invalid_free){
            .time_ns = record->time_ns,
            .address = record->address,
            .error = record->value,
            .site = record->site,
            .allocation_site = record->size,
            .first_free_site = record->stream,
            .api = record->api};
}

void analysis_add_trim(struct analysis *analysis, const struct trace_record *record)
{
    uint64_t row = analysis->trims - 1;

    if (row < ANALYSIS_TRIMS)
        analysis->trim[row] = (struct analysis_trim){.time_ns = record->time_ns,
                                                     .bytes = tally_bytes(record->size)};
}

int analysis_add_counter(struct analysis *analysis, const struct trace_record *record)
{
    const char *name = trace_reader_string(analysis->reader, record->api);
    struct analysis_counter *counter;
    uint32_t i;

    if (!name)
        return 0;
    if (pool_levels_add(&analysis->pool_levels, name, record->context, record->size,
                        record->time_ns) < 0)
        return -ENOMEM;
    if (ARRAY_GROW(analysis->counter, analysis->counters, analysis->counters_room, 64) < 0)
        return -ENOMEM;
    counter = analysis->counter;
    i = key_index_get(&analysis->counter_index, (uint64_t)record->api << 32 | record->context,
                      (uint32_t)analysis->counters);
    if (i == KEY_INDEX_NONE)
        return -ENOMEM;
    analysis->counters += i == analysis->counters;
    counter[i] = (struct analysis_counter){name, record->context, record->size, record->address,
                                           record->value};
    return 0;
}
