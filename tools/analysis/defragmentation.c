/* SPDX-License-Identifier: MIT */
/*
 * Sums are kept per kind of event. Stitches and breaks also keep their times; maps are too many
 * for that.
 */
#include "tools/analysis/defragmentation.h"

#include "cupti/format/trace_record.h"
#include "cupti/replay/tally.h"
#include "tools/analysis/analysis.h"

const char *const defragmentation_kind_name[DEFRAGMENTATION_KINDS] = {
    [DEFRAGMENTATION_MAP] = "map",
    [DEFRAGMENTATION_UNMAP] = "unmap",
    [DEFRAGMENTATION_STITCH] = "stitch",
    [DEFRAGMENTATION_BREAK] = "break",
};

/* The pools' figures of each kind; NULL: there is none. */
static const struct {
    const char *count, *bytes;
} counters[DEFRAGMENTATION_KINDS] = {
    [DEFRAGMENTATION_MAP] = {"maps", NULL},
    [DEFRAGMENTATION_UNMAP] = {"unmaps", NULL},
    [DEFRAGMENTATION_STITCH] = {"stitches", "stitched_bytes"},
    [DEFRAGMENTATION_BREAK] = {"breaks", "broken_bytes"},
};

static void sum_add(struct defragmentation *defragmentation, enum defragmentation_kind kind,
                    const struct trace_record *record)
{
    struct defragmentation_sum *sum = &defragmentation->sum[kind];
    uint64_t took_ns = trace_latency_ns(record->latency);

    sum->duration_ns += took_ns;
    if (took_ns > sum->longest_ns)
        sum->longest_ns = took_ns;
    if (record->value) {
        sum->refused++;
        return;
    }
    sum->count++;
    sum->bytes += tally_bytes(record->size);
    if (kind >= DEFRAGMENTATION_STITCH && defragmentation->moments < DEFRAGMENTATION_MOMENTS)
        defragmentation->moment[defragmentation->moments++] = (struct defragmentation_moment){
            .time_ns = record->time_ns,
            .bytes = tally_bytes(record->size),
            .duration_ns = took_ns,
            .kind = kind};
}

static void backing_add(struct defragmentation *defragmentation, const struct trace_reader *reader,
                        const struct trace_record *record)
{
    if (defragmentation->backings == DEFRAGMENTATION_BACKINGS)
        return;
    defragmentation->backing[defragmentation->backings++] = (struct defragmentation_backing){
        .context = record->context,
        .device = record->device,
        .mapped = record->value != 0,
        .reason = trace_reader_string(reader, record->api),
        .page_bytes = record->size,
        .range_address = record->address,
        .range_bytes = record->value,
    };
}

void defragmentation_add(struct defragmentation *defragmentation, const struct trace_reader *reader,
                         const struct trace_record *record)
{
    switch ((enum trace_event)record->kind) {
    case TRACE_EVENT_BACKING: backing_add(defragmentation, reader, record); break;
    case TRACE_EVENT_MAP: sum_add(defragmentation, DEFRAGMENTATION_MAP, record); break;
    case TRACE_EVENT_UNMAP: sum_add(defragmentation, DEFRAGMENTATION_UNMAP, record); break;
    case TRACE_EVENT_STITCH: sum_add(defragmentation, DEFRAGMENTATION_STITCH, record); break;
    case TRACE_EVENT_BREAK: sum_add(defragmentation, DEFRAGMENTATION_BREAK, record); break;
    default: break;
    }
}

struct defragmentation_sum defragmentation_total(const struct analysis *analysis,
                                                 enum defragmentation_kind kind)
{
    struct defragmentation_sum total = analysis->defragmentation.sum[kind];
    uint64_t count, bytes;

    if (analysis->window.is_set)
        return total;
    if (analysis_counter_get(analysis, counters[kind].count, &count) == 0 && count > total.count)
        total.count = count;
    if (counters[kind].bytes && analysis_counter_get(analysis, counters[kind].bytes, &bytes) == 0 &&
        bytes > total.bytes)
        total.bytes = bytes;
    return total;
}

bool defragmentation_is_mapped(const struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->defragmentation.backings; i++)
        if (analysis->defragmentation.backing[i].mapped)
            return true;
    return false;
}

bool defragmentation_covers(const struct defragmentation *defragmentation, uint64_t address)
{
    for (size_t i = 0; i < defragmentation->backings; i++) {
        const struct defragmentation_backing *backing = &defragmentation->backing[i];

        if (backing->mapped && address - backing->range_address < backing->range_bytes)
            return true;
    }
    return false;
}

bool defragmentation_free(const struct analysis *analysis, uint64_t *ret_free_bytes,
                          uint64_t *ret_largest_bytes)
{
    return analysis_counter_get(analysis, "cached_bytes", ret_free_bytes) == 0 &&
           analysis_counter_get(analysis, "largest_free_bytes", ret_largest_bytes) == 0;
}
