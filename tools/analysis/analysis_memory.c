/* SPDX-License-Identifier: MIT */
/*
 * The tool's additions to the replay of memory: levels over time, sites that grow or copy, and the
 * module of a stack.
 */
#include <string.h>

#include "tools/analysis/analysis_parts.h"

#define CTYPES_DEPTH 16 /* frames between a function and who called ctypes */

uint64_t analysis_size_class_bytes(uint64_t key)
{
    return UINT64_C(1) << key;
}

struct timeline_point analysis_levels_now(const struct analysis *analysis, uint64_t time_ns)
{
    return (struct timeline_point){.time_ns = time_ns,
                                   .requested_bytes = analysis->requested.current,
                                   .allocated_bytes = analysis->allocated.current,
                                   .reserved_bytes = analysis->reserved.current,
                                   .driver_bytes = analysis->driver.current,
                                   .allocations = analysis->total.allocations,
                                   .frees = analysis->total.frees,
                                   .driver_calls = analysis->calls_driver};
}

static void levels_note(void *context, bool requested, uint64_t time_ns)
{
    struct analysis *analysis = context;
    struct timeline_point now = analysis_levels_now(analysis, time_ns);

    timeline_add(&analysis->timeline, &now);
    if (analysis->slices)
        analysis_slices_level(analysis, &now);
    if (requested) {
        plateau_series_add(&analysis->plateau_series, &now);
        aftermath_add(&analysis->aftermath, &now);
    }
    analysis_phases_level(analysis, now.requested_bytes);
}

/** Modules that Python's ctypes calls through; the real caller is the caller of ctypes. */
static bool is_of_ctypes(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    return !strncmp(name, "libffi", 6) || !strncmp(name, "_ctypes", 7);
}

/** Module of a site: the address of its interned path, 0 when unknown. */
static uint64_t library_of(void *context, uint64_t site)
{
    const struct analysis *analysis = context;
    struct trace_site place;
    uint64_t innermost;

    /* Modules are identified by their path, which is interned, so comparing addresses is enough. */
    if (trace_reader_site(analysis->reader, site, &place) < 0 || !place.module)
        return 0;
    innermost = (uint64_t)(uintptr_t)place.module;
    if (!is_of_ctypes(place.module))
        return innermost;
    for (int i = 0; i < CTYPES_DEPTH; i++) {
        if (trace_reader_site(analysis->reader, place.caller, &place) < 0 || !place.module)
            break;
        if (!is_of_ctypes(place.module))
            return (uint64_t)(uintptr_t)place.module;
    }
    return innermost;
}

/**
 * The program's final phase begins with the first free after its last allocation. A pause after
 * that free, with most memory still live, shows that the phase had not begun.
 */
static void teardown_note(struct analysis *analysis, int sign, uint64_t time_ns)
{
    const uint64_t now_bytes = analysis->requested.current;
    bool paused = time_ns - analysis->teardown.last_ns > GROWTH_REST_NS;

    if (sign > 0) {
        analysis->teardown.begin_ns = 0;
        analysis->teardown.bytes = now_bytes;
    } else if (!analysis->teardown.begin_ns ||
               (paused && 2 * now_bytes > analysis->teardown.bytes)) {
        analysis->teardown.begin_ns = time_ns;
        analysis->teardown.frees = analysis->total.frees;
    }
    analysis->teardown.last_ns = time_ns;
}

/** Notes a site's current memory, and where it grows by copying. */
static int block_note(void *context, const struct tally *site, const struct replay_block *block,
                      int sign, uint64_t time_ns)
{
    struct analysis *analysis = context;
    const struct growth_note note = {.time_ns = time_ns,
                                     .order = analysis->order,
                                     .step = analysis->steps.count,
                                     .blocks = site->live_blocks.current,
                                     .bytes = site->live_bytes.current};
    size_t row = (size_t)(site - analysis->sites.row);
    int error = 0;

    teardown_note(analysis, sign, time_ns);
    if (sign > 0 && analysis->step_now.open)
        error = step_sites_add(&analysis->step_sites, row, analysis->steps.count + 1);
    else if (sign > 0 && analysis->phases_open)
        error = step_sites_add(&analysis->phase_sites, row, analysis->phases_begun);
    if (error < 0)
        return error;
    if (sign > 0)
        error = copies_allocate(&analysis->copies, row, block->order, block->requested_bytes);
    else
        copies_free(&analysis->copies, row, block->order, block->requested_bytes, analysis->order,
                    analysis->addresses.peak_order, analysis->peak_serial);
    return error < 0 ? error : growth_tracks_add(&analysis->tracks, row, &note);
}

static void row_note(void *context, enum replay_row row, const struct tally *tally, bool done)
{
    struct analysis *analysis = context;

    if (!done && analysis->window.is_set)
        analysis_window_row(analysis, row, tally);
    if (row == REPLAY_STACK && analysis->sets)
        site_sets_change(analysis->sets, analysis, tally, done);
}

struct replay_watch analysis_memory_watch(struct analysis *analysis)
{
    return (struct replay_watch){.library_of = library_of,
                                 .levels = levels_note,
                                 .block = block_note,
                                 .row = analysis->window.is_set || analysis->sets ? row_note : NULL,
                                 .context = analysis};
}
