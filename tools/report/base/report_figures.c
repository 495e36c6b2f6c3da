/* SPDX-License-Identifier: MIT */
#include "tools/report/base/report_figures.h"

/* clang-format off */
#define ROW(name, unit, field, help) {name, unit, help, offsetof(struct tally, field), NULL}

const struct report_figure report_tally_figures[] = {
    ROW("allocations",     REPORT_COUNT,     allocations,          "Allocations that succeeded"),
    ROW("frees",           REPORT_COUNT,     frees,                "Frees"),
    ROW("failures",        REPORT_COUNT,     failures,             "Allocations that failed"),
    ROW("invalid_frees",   REPORT_COUNT,     invalid_frees,        "Double, interior or foreign frees"),
    ROW("requested_bytes", REPORT_BYTES_SUM, requested_bytes,      "Bytes of all allocations"),
    ROW("hits",            REPORT_COUNT,     hits,                 "Allocations served from the pool's memory"),
    ROW("misses",          REPORT_COUNT,     misses,               "Allocations served with a driver call"),
    ROW("waits",           REPORT_COUNT,     waits,                "Allocations served after waiting for the device"),
    ROW("passed",          REPORT_COUNT,     passed,               "Allocations served directly by the driver"),
    ROW("leaked_blocks",   REPORT_LEVEL,     leaked_blocks,        "Blocks never freed"),
    ROW("leaked_bytes",    REPORT_BYTES,     leaked_bytes,         "Memory never freed"),
    ROW("at_peak_bytes",   REPORT_BYTES,     live_bytes.at_peak,   "Memory live at the peak of the process"),
    ROW("at_peak_blocks",  REPORT_LEVEL,     live_blocks.at_peak,  "Blocks live at the peak of the process"),
    ROW("peak_bytes",      REPORT_BYTES,     live_bytes.peak,      "Highest memory live"),
    ROW("peak_blocks",     REPORT_LEVEL,     live_blocks.peak,     "Highest number of blocks live"),
    ROW("latency_sum_ns",  REPORT_NS_SUM,    latency_ns,           "Time spent in allocations and frees"),
    ROW("latency_max_ns",  REPORT_NS,        latency_max_ns,       "Longest allocation or free"),
    ROW("lifetime_sum_ns", REPORT_NS_SUM,    lifetime_ns,          "Total time between allocation and free"),
    ROW("temporaries",     REPORT_COUNT,     temporaries,          "Blocks freed before four more were allocated"),
    ROW("temporary_bytes", REPORT_BYTES_SUM, temporary_bytes,      "Bytes of temporary blocks"),
    {0},
};

#undef ROW
#define ROW(name, unit, field, help) {name, unit, help, offsetof(struct analysis, field), NULL}

const struct report_figure report_summary_figures[] = {
    ROW("allocations",             REPORT_COUNT,     total.allocations,     "Allocations of device memory that succeeded"),
    ROW("frees",                   REPORT_COUNT,     total.frees,           "Frees of device memory"),
    ROW("failures",                REPORT_COUNT,     total.failures,        "Allocations of device memory that failed"),
    ROW("leaked_blocks",           REPORT_LEVEL,     total.leaked_blocks,   "Blocks of device memory never freed"),
    ROW("leaked_bytes",            REPORT_BYTES,     total.leaked_bytes,    "Device memory never freed"),
    ROW("invalid_frees",           REPORT_COUNT,     total.invalid_frees,   "Double, interior or foreign frees"),
    ROW("memory_errors",           REPORT_COUNT,     memory_errors.count,   "Overruns, underruns, writes after free, and accesses to illegal addresses"),
    ROW("peak_requested_bytes",    REPORT_BYTES,     requested.peak,        "Highest device memory in use by the program"),
    ROW("peak_allocated_bytes",    REPORT_BYTES,     allocated.peak,        "Highest device memory in use, including rounding"),
    ROW("peak_reserved_bytes",     REPORT_BYTES,     reserved.peak,         "Highest device memory held by the pool"),
    ROW("peak_driver_bytes",       REPORT_BYTES,     driver.peak,           "Highest device memory taken from the driver"),
    ROW("peak_time_ns",            REPORT_NS,        peak_time_ns,          "Time of the peak of requested memory since the start"),
    ROW("at_peak_allocated_bytes", REPORT_BYTES,     allocated.at_peak,     "Memory in use at the peak, including rounding"),
    ROW("at_peak_reserved_bytes",  REPORT_BYTES,     reserved.at_peak,      "Memory held by the pool at the peak"),
    ROW("at_peak_driver_bytes",    REPORT_BYTES,     driver.at_peak,        "Memory taken from the driver at the peak"),
    ROW("requested_bytes",         REPORT_BYTES_SUM, total.requested_bytes, "Bytes of all allocations"),
    ROW("hits",                    REPORT_COUNT,     total.hits,            "Allocations served from the pool's memory"),
    ROW("misses",                  REPORT_COUNT,     total.misses,          "Allocations served with a driver call"),
    ROW("waits",                   REPORT_COUNT,     total.waits,           "Allocations served after waiting for the device"),
    ROW("passed",                  REPORT_COUNT,     total.passed,          "Allocations served directly by the driver"),
    {"driver_calls", REPORT_COUNT, "Calls that reached the driver", 0, analysis_driver_calls},
    ROW("driver_calls_without_pool", REPORT_COUNT,   calls_asked,           "Allocations and frees requested by the program"),
    ROW("temporaries",             REPORT_COUNT,     total.temporaries,     "Blocks freed before four more were allocated"),
    ROW("temporary_bytes",         REPORT_BYTES_SUM, total.temporary_bytes, "Bytes of temporary blocks"),
    ROW("segment_allocations",     REPORT_COUNT,     segment_allocations,   "Segments the pool took from the driver"),
    ROW("segment_frees",           REPORT_COUNT,     segment_frees,         "Segments the pool returned to the driver"),
    ROW("fences",                  REPORT_COUNT,     fences,                "Quarantine epochs closed"),
    ROW("epoch_waits",             REPORT_COUNT,     epoch_waits,           "Waits for a quarantine epoch"),
    ROW("trims",                   REPORT_COUNT,     trims,                 "Trims of the pool"),
    ROW("trimmed_bytes",           REPORT_BYTES_SUM, trimmed_bytes,         "Memory returned to the driver by trims"),
    {0},
};

#undef ROW
/* clang-format on */

static uint64_t field(const void *object, size_t offset)
{
    return *(const uint64_t *)((const char *)object + offset);
}

uint64_t report_tally_figure(const struct report_figure *figure, const struct tally *row)
{
    return field(row, figure->offset);
}

uint64_t report_summary_figure(const struct report_figure *figure, const struct analysis *analysis)
{
    return figure->compute ? figure->compute(analysis) : field(analysis, figure->offset);
}
