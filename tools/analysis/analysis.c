/* SPDX-License-Identifier: MIT */
/*
 * Replays a trace: passes each event to the part that handles it, and derives figures at the end.
 * For sharing, it replaces the command, paths of libraries and names of phases.
 */
#include "tools/analysis/analysis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tools/analysis/analysis_parts.h"
#include "tools/base/disguise.h"

/** Applies the lens to a record's site. False: leave the record out. */
static bool lens_apply(const struct analysis *analysis, struct trace_record *record)
{
    const struct analysis_lens *lens = analysis->lens;
    uint64_t site = record->site;

    switch ((enum trace_event)record->kind) {
    case TRACE_EVENT_FREE:
        /* The lens is applied to the block; only a record of an unknown block is judged by
         * itself. */
        if (block_table_find(&analysis->block_table, memory_kind(record->memory)->space,
                             record->address))
            return true;
        return lens->map(lens->context, site, &site);
    case TRACE_EVENT_ALLOCATE:
    case TRACE_EVENT_INVALID_FREE:
    case TRACE_EVENT_MEMORY_ERROR:
    case TRACE_EVENT_FAILURE:
    case TRACE_EVENT_POSTMORTEM:
        if (!lens->map(lens->context, site, &site))
            return false;
        record->site = site;
        return true;
    default: return true;
    }
}

static int event_add(struct analysis *analysis, const struct trace_record *record)
{
    int error = replay_add(&analysis->replay, record, analysis->stack);

    if (error < 0)
        return error;
    switch ((enum trace_event)record->kind) {
    case TRACE_EVENT_PROCESS: analysis_add_process(analysis, record); break;
    case TRACE_EVENT_RANK: analysis_add_rank(analysis, record); break;
    case TRACE_EVENT_DEVICE: analysis_add_device(analysis, record); break;
    case TRACE_EVENT_ALLOCATE: analysis_add_refusal(analysis, record); break;
    case TRACE_EVENT_INVALID_FREE: analysis_add_invalid_free(analysis, record); break;
    case TRACE_EVENT_MEMORY_ERROR: memory_errors_add(&analysis->memory_errors, record); break;
    case TRACE_EVENT_TRIM: analysis_add_trim(analysis, record); break;
    case TRACE_EVENT_BACKING:
    case TRACE_EVENT_MAP:
    case TRACE_EVENT_UNMAP:
    case TRACE_EVENT_STITCH:
    case TRACE_EVENT_BREAK:
        defragmentation_add(&analysis->defragmentation, analysis->reader, record);
        break;
    case TRACE_EVENT_FAILURE: analysis_add_failure(analysis, record); break;
    case TRACE_EVENT_POSTMORTEM: analysis_add_postmortem(analysis, record); break;
    case TRACE_EVENT_POSTMORTEM_FIGURE: analysis_add_postmortem_figure(analysis, record); break;
    case TRACE_EVENT_COUNTER: return analysis_add_counter(analysis, record);
    case TRACE_EVENT_PHASE: return analysis_add_phase(analysis, record);
    case TRACE_EVENT_EXIT:
        analysis->has_exit = true;
        analysis->wait_status = (uint32_t)record->value;
        break;
    default: break; /* of the replay alone, of driver_view_add, or definitions */
    }
    return 0;
}

/** Adds a record as the lens has it. */
static int record_replay(struct analysis *analysis, const struct trace_record *record)
{
    struct trace_record seen = *record;

    return analysis->lens && !lens_apply(analysis, &seen) ? 0 : event_add(analysis, &seen);
}

static void tallies_finish(struct tallies *tallies, uint64_t serial)
{
    for (size_t i = 0; i < tallies->rows; i++) {
        struct tally *row = &tallies->row[i];

        row->live_bytes.at_peak = level_at_peak(&row->live_bytes, serial);
        row->live_blocks.at_peak = level_at_peak(&row->live_blocks, serial);
    }
}

/** Collects leaks, and the levels at the peak that have not changed since. */
static int finish(struct analysis *analysis)
{
    struct level *levels[] = {&analysis->requested, &analysis->allocated, &analysis->reserved,
                              &analysis->driver, NULL};
    int error = analysis->slices ? analysis_slices_finish(analysis) : 0;

    if (error == 0)
        error = replay_find_leaks(&analysis->replay);
    if (error == 0 && analysis->sets)
        site_sets_finish(analysis->sets, analysis);
    for (size_t i = 0; i < REPLAY_BREAKDOWNS; i++)
        tallies_finish(replay_tallies(&analysis->replay, i), analysis->peak_serial);
    for (size_t i = 0; levels[i]; i++)
        levels[i]->at_peak = level_at_peak(levels[i], analysis->peak_serial);
    if (error == 0 && analysis->window.is_set)
        error = analysis_window_finish(analysis);
    if (error == 0)
        error = analysis_phases_finish(analysis);
    if (error == 0 && analysis->addresses.short_of_memory)
        error = -ENOMEM;
    return error < 0 ? error : fragmentation_create(analysis, &analysis->fragmentation);
}

static int record_add(struct analysis *analysis, const struct trace_record *record)
{
    int error = 0;

    if (record->time_ns > analysis->duration_ns)
        analysis->duration_ns = record->time_ns;
    analysis->stack = record->site;
    if (driver_view_add(analysis, record) < 0)
        return -ENOMEM;
    if (analysis->window.is_set)
        error = analysis_window_before(analysis, trace_record_order_ns(record));
    if (error < 0)
        return error;
    if (analysis->slices)
        analysis_slices_time(analysis, trace_record_order_ns(record));
    if (!analysis->outside || analysis_window_needs(analysis, record->kind))
        error = record_replay(analysis, record);
    if (error == 0 && analysis->window.is_set)
        error = analysis_window_after(analysis, trace_record_order_ns(record));
    return error;
}

int analysis_create(struct trace_reader *reader, struct analysis **ret_analysis, char *ret_why,
                    size_t why_bytes)
{
    return analysis_create_as(reader, &(struct analysis_request){0}, ret_analysis, ret_why,
                              why_bytes);
}

int analysis_create_through(struct trace_reader *reader, const struct analysis_lens *lens,
                            struct analysis **ret_analysis, char *ret_why, size_t why_bytes)
{
    return analysis_create_as(reader, &(struct analysis_request){.lens = lens}, ret_analysis,
                              ret_why, why_bytes);
}

int analysis_create_as(struct trace_reader *reader, const struct analysis_request *request,
                       struct analysis **ret_analysis, char *ret_why, size_t why_bytes)
{
    struct analysis *analysis = calloc(1, sizeof *analysis);
    struct trace_record record;
    int error = analysis ? trace_reader_rewind(reader, TRACE_ORDER_TIME) : -ENOMEM;

    if (error < 0)
        goto out_of_memory;
    analysis->reader = reader;
    analysis->lens = request->lens;
    analysis->sets = request->sets;
    analysis->window = request->window;
    analysis->outside = request->window.is_set;
    analysis->by_site = true;
    analysis->watch = analysis_memory_watch(analysis);
    analysis->recording = *trace_reader_summary(reader);
    analysis->by_thread = request->detailed;
    error = analysis_carry_load(analysis, record_replay);
    if (error < 0 && error != -ENOMEM)
        snprintf(ret_why, why_bytes,
                 "damaged, or from a newer cupool: the summary of early events");
    if (error < 0 && error != -ENOMEM)
        goto destroy;
    if (error < 0)
        goto out_of_memory;
    if (analysis->sets)
        site_sets_carry(analysis->sets, analysis);
    if (request->detailed && analysis_slices_begin(analysis) < 0)
        goto out_of_memory;
    while ((error = trace_reader_next(reader, &record, ret_why, why_bytes)) > 0)
        if (record_add(analysis, &record) < 0)
            goto out_of_memory;
    if (error < 0)
        goto destroy;
    error = finish(analysis);
    if (error == 0)
        error = driver_view_finish(analysis);
    if (error < 0)
        goto out_of_memory;
    analysis->lens = NULL;
    analysis->sets = NULL;
    *ret_analysis = analysis;
    return 0;
out_of_memory:
    error = -ENOMEM;
    snprintf(ret_why, why_bytes, "out of memory");
destroy:
    analysis_destroy(analysis);
    return error;
}

void analysis_destroy(struct analysis *analysis)
{
    if (!analysis)
        return;
    replay_done(&analysis->replay);
    growth_tracks_done(&analysis->tracks);
    copies_done(&analysis->copies);
    step_sites_done(&analysis->step_sites);
    step_sites_done(&analysis->phase_sites);
    free(analysis->growth);
    free(analysis->span);
    free(analysis->step);
    free(analysis->phase_open);
    for (size_t i = 0; i < REPLAY_BREAKDOWNS; i++)
        free(analysis->window_rows[i].openings);
    address_history_done(&analysis->slice_addresses);
    if (analysis->slices)
        slices_done(analysis->slices);
    free(analysis->slices);
    fragmentation_done(&analysis->fragmentation);
    driver_view_done(&analysis->driver_view);
    pool_levels_done(&analysis->pool_levels);
    free(analysis->phase);
    free(analysis->counter);
    key_index_done(&analysis->counter_index);
    key_index_done(&analysis->phase_index);
    free(analysis);
}

int analysis_counter_get(const struct analysis *analysis, const char *name, uint64_t *ret_current)
{
    uint64_t sum = 0;
    bool found = false;

    for (size_t i = 0; i < analysis->counters; i++)
        if (!strcmp(analysis->counter[i].name, name)) {
            sum += analysis->counter[i].current;
            found = true;
        }
    if (!found)
        return -ENOENT;
    *ret_current = sum;
    return 0;
}

uint64_t analysis_driver_calls(const struct analysis *analysis)
{
    uint64_t by_pool, pool_events = analysis->segment_allocations + analysis->segment_frees +
                                    analysis->fences + analysis->epoch_waits;

    /* The pool's own count is of the whole run. */
    if (analysis->window.is_set || analysis_counter_get(analysis, "driver_calls", &by_pool) < 0 ||
        by_pool < pool_events)
        return analysis->calls_driver;
    return analysis->calls_driver - pool_events + by_pool;
}

bool analysis_is_simulated(const struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->devices; i++)
        if (analysis->device[i].simulated)
            return true;
    return false;
}

bool analysis_has_pool(const struct analysis *analysis)
{
    return analysis->segment_allocations || analysis->total.hits || analysis->total.misses ||
           analysis->total.waits;
}

uint64_t analysis_site_of_stack(const struct analysis *analysis, uint64_t stack)
{
    uint32_t site = key_index_find(&analysis->site_of_stack, stack);

    return site == KEY_INDEX_NONE ? stack : site;
}

bool analysis_was_killed(const struct analysis *analysis)
{
    return analysis->has_exit ? WIFSIGNALED((int)analysis->wait_status)
                              : !analysis->recording.closed;
}

int analysis_exit_status(const struct analysis *analysis)
{
    int status = (int)analysis->wait_status;

    if (!analysis->has_exit)
        return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static double unused_part(uint64_t used, uint64_t whole)
{
    return whole && used < whole ? 1.0 - (double)used / (double)whole : 0.0;
}

double analysis_overhead(const struct analysis *analysis)
{
    return unused_part(analysis->requested.at_peak, analysis->driver.at_peak);
}

double analysis_internal(const struct analysis *analysis)
{
    return unused_part(analysis->requested.at_peak, analysis->allocated.at_peak);
}

/** Keys that are paths, of interned texts. */
static void key_disguise(uint64_t *key)
{
    *key = (uint64_t)(uintptr_t)disguise_path((const char *)(uintptr_t)*key);
}

static void libraries_disguise(struct tallies *libraries)
{
    for (size_t i = 0; libraries && i < libraries->rows; i++)
        key_disguise(&libraries->row[i].key);
}

static void phases_disguise(struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->phases; i++)
        if (analysis->phase[i].source != ANALYSIS_PHASE_DETECTED)
            analysis->phase[i].name = disguise_text(analysis->phase[i].name);
    analysis->window.phase = disguise_text(analysis->window.phase);
}

void analysis_disguise(struct analysis *analysis)
{
    if (!disguise_is_on())
        return;
    analysis->command = disguise_text(analysis->command);
    analysis->driver_view.library = disguise_path(analysis->driver_view.library);
    libraries_disguise(&analysis->libraries);
    libraries_disguise(analysis->driver_view.libraries);
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++)
        for (size_t k = 0; k < ANALYSIS_POSTMORTEM_PARTS; k++)
            key_disguise(&analysis->postmortem[i].libraries[k].key);
    phases_disguise(analysis);
}
