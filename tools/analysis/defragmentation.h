/* SPDX-License-Identifier: MIT */
/*
 * Defragmentation by the pools: how often, how much, and how long it took; and the backing of each
 * pool.
 *
 * Counts are the pools' own, for the whole run, even where a trace of limited size discarded
 * events; times cover the events in the trace.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_DEFRAGMENTATION_H
#define TOOLS_ANALYSIS_DEFRAGMENTATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"

struct analysis;
struct trace_reader;

#define DEFRAGMENTATION_BACKINGS 64 /* of more contexts, the rest is not kept */

#define DEFRAGMENTATION_MOMENTS                                                                    \
    1000 /* the first ones, but for maps and unmaps; all are counted                               \
          */

enum defragmentation_kind {
    DEFRAGMENTATION_MAP,
    DEFRAGMENTATION_UNMAP,
    DEFRAGMENTATION_STITCH,
    DEFRAGMENTATION_BREAK,
    DEFRAGMENTATION_KINDS
};

extern const char *const defragmentation_kind_name[DEFRAGMENTATION_KINDS];

/** One kind of event. */
struct defragmentation_sum {
    uint64_t count, bytes, refused;
    uint64_t duration_ns, longest_ns;
};

/** Where the memory of a context's pool comes from. */
struct defragmentation_backing {
    uint32_t context, device;
    bool mapped;
    const char *reason; /* NULL: unknown */
    uint64_t page_bytes, range_address, range_bytes;
};

/** One event that was not refused. */
struct defragmentation_moment {
    uint64_t time_ns, bytes, duration_ns;
    enum defragmentation_kind kind;
};

struct defragmentation {
    struct defragmentation_sum sum[DEFRAGMENTATION_KINDS]; /* of the events */
    struct defragmentation_moment moment[DEFRAGMENTATION_MOMENTS];
    size_t moments;
    struct defragmentation_backing backing[DEFRAGMENTATION_BACKINGS];
    size_t backings;
};

/** Adds a BACKING, or an event of one of the kinds; ignores others. */
void defragmentation_add(struct defragmentation *defragmentation, const struct trace_reader *reader,
                         const struct trace_record *record);

/** Returns a kind's sum with the pools' own counts, if known. */
struct defragmentation_sum defragmentation_total(const struct analysis *analysis,
                                                 enum defragmentation_kind kind);

/** Whether any pool had mapped memory. */
bool defragmentation_is_mapped(const struct analysis *analysis);

/** Whether a context's pool has mapped memory around an address. */
bool defragmentation_covers(const struct defragmentation *defragmentation, uint64_t address);

/** Free memory of the pools at the last count, and its largest piece. False: not counted. */
bool defragmentation_free(const struct analysis *analysis, uint64_t *ret_free_bytes,
                          uint64_t *ret_largest_bytes);

#endif
