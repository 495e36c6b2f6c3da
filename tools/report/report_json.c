/* SPDX-License-Identifier: MIT */
/*
 * The report as JSON, schema cupool.report/1: keys sorted, integers in bytes and nanoseconds, null
 * where the trace does not say. docs/cli.md describes every field.
 */
#include "tools/report/report_formats.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/base/report_figures.h"
#include "tools/report/report_job.h"
#include "tools/report/report_defragmentation.h"
#include "tools/report/report_json_parts.h"
#include "tools/report/report_memory_errors.h"

#define SCHEMA      "cupool.report/1"
#define SCHEMA_LIST "cupool.reports/1"

static json_t *process_json(const struct analysis *analysis)
{
    json_t *process = json_object();
    int status = analysis_exit_status(analysis);

    json_object_set_new(process, "command", json_text_or_null(analysis->command));
    json_object_set_new(process, "complete", json_boolean(analysis->recording.complete));
    json_object_set_new(process, "cupool", json_text_or_null(analysis->version));
    json_object_set_new(process, "running", json_boolean(analysis->recording.running));
    json_object_set_new(process, "exit_status", status < 0 ? json_null() : json_integer(status));
    report_json_set(process, "duration_ns", analysis->duration_ns);
    report_json_set(process, "pid", analysis->recording.pid);
    json_object_set_new(process, "rank",
                        analysis->has_rank ? report_json_integer(analysis->rank) : json_null());
    json_object_set_new(process, "ranks",
                        analysis->ranks ? report_json_integer(analysis->ranks) : json_null());
    json_object_set_new(process, "rank_variable", json_text_or_null(analysis->rank_variable));
    report_json_set(process, "start_realtime_ns", analysis->recording.start_realtime_ns);
    return process;
}

static json_t *version_json(uint64_t version)
{
    char text[32];

    if (!version)
        return json_null();
    snprintf(text, sizeof text, "%llu.%llu", (unsigned long long)version / 1000,
             (unsigned long long)version % 1000 / 10);
    return json_string(text);
}

static json_t *devices_json(const struct analysis *analysis)
{
    json_t *devices = json_array();

    for (size_t i = 0; i < analysis->devices; i++) {
        const struct analysis_device *device = &analysis->device[i];
        json_t *row = json_object();

        report_json_set(row, "index", device->index);
        json_object_set_new(row, "name", json_text_or_null(device->name));
        json_object_set_new(row, "simulated", json_boolean(device->simulated));
        report_json_set(row, "total_bytes", device->total_bytes);
        json_object_set_new(row, "driver_version", version_json(device->driver_version));
        json_object_set_new(row, "cuda_version", version_json(device->runtime_version));
        json_array_append_new(devices, row);
    }
    return devices;
}

/** External fragmentation at the end, if the pool recorded both figures. */
static json_t *external_json(const struct analysis *analysis)
{
    uint64_t free_bytes, largest_bytes;

    if (analysis_counter_get(analysis, "cached_bytes", &free_bytes) < 0 ||
        analysis_counter_get(analysis, "largest_free_bytes", &largest_bytes) < 0)
        return json_null();
    return json_real(free_bytes > largest_bytes ? 1.0 - (double)largest_bytes / (double)free_bytes
                                                : 0.0);
}

static json_t *fragmentation_json(const struct analysis *analysis)
{
    json_t *fragmentation = json_object();

    json_object_set_new(fragmentation, "overhead", json_real(analysis_overhead(analysis)));
    json_object_set_new(fragmentation, "internal", json_real(analysis_internal(analysis)));
    json_object_set_new(fragmentation, "external", external_json(analysis));
    return fragmentation;
}

static json_t *latency_json(const struct histogram *latency)
{
    json_t *object = json_object();

    report_json_set(object, "p50", histogram_quantile(latency, 500));
    report_json_set(object, "p99", histogram_quantile(latency, 990));
    report_json_set(object, "max", latency->max);
    return object;
}

static json_t *unaccounted_json(const struct analysis *analysis)
{
    uint64_t bytes;

    return driver_view_unaccounted(analysis, &bytes) ? report_json_integer(bytes) : json_null();
}

static json_t *summary_json(const struct analysis *analysis)
{
    json_t *summary = json_object();

    for (const struct report_figure *figure = report_summary_figures; figure->name; figure++)
        report_json_set(summary, figure->name, report_summary_figure(figure, analysis));
    json_object_set_new(summary, "unaccounted_bytes", unaccounted_json(analysis));
    json_object_set_new(summary, "fragmentation", fragmentation_json(analysis));
    json_object_set_new(summary, "latency_ns", latency_json(&analysis->latency));
    return summary;
}

static void tally_set(json_t *object, const struct tally *row)
{
    for (const struct report_figure *figure = report_tally_figures; figure->name; figure++)
        report_json_set(object, figure->name, report_tally_figure(figure, row));
}

static void row_name_set(json_t *object, const struct analysis *analysis, enum report_by by,
                         uint64_t key)
{
    switch (by) {
    case REPORT_BY_SITE: report_json_site_set(object, analysis, key); break;
    case REPORT_BY_LIBRARY:
        json_object_set_new(object, "path", json_text_or_null((const char *)(uintptr_t)key));
        break;
    case REPORT_BY_SIZE:
        report_json_set(object, "up_to_bytes", analysis_size_class_bytes(key));
        break;
    default:
        json_object_set_new(object, "name",
                            json_text_or_null(trace_reader_string(analysis->reader, key)));
    }
}

static size_t rows_shown(size_t rows, const struct report_style *style)
{
    return style->top && rows > style->top ? style->top : rows;
}

/** Order of a breakdown, given the same trace: as tally_compare, and sizes by size. */
static void rows_put(struct json_stream *stream, const char *key, const struct callers *callers,
                     enum report_by by, const struct report_style *style)
{
    const struct analysis *analysis = callers->analysis;
    const struct tallies *tallies = report_tallies(analysis, by);
    struct tally *rows = report_rows_sorted(tallies);

    stream->failed |= !rows && tallies->rows;
    json_stream_open(stream, key, '[');
    for (size_t i = 0; rows && i < rows_shown(tallies->rows, style); i++) {
        json_t *object = json_object();

        row_name_set(object, analysis, by, rows[i].key);
        tally_set(object, &rows[i]);
        if (by == REPORT_BY_SITE) {
            report_json_key_set(object, analysis, rows[i].key);
            report_json_callers_set(object, callers, rows[i].key);
        }
        json_stream_add(stream, NULL, object);
    }
    json_stream_close(stream);
    free(rows);
}

/** Allocations by whole stack, and the frames they lead to. */
struct stacks {
    struct tally *row;
    size_t rows;
    struct report_json_frames frames;
};

static int stacks_create(const struct analysis *analysis, const struct report_style *style,
                         struct stacks *ret_stacks)
{
    struct stacks stacks = {.row = report_rows_sorted(&analysis->stacks),
                            .rows = rows_shown(analysis->stacks.rows, style)};
    int error = stacks.row || !stacks.rows ? 0 : -ENOMEM;

    if (error == 0)
        error = report_json_frames_create(analysis, stacks.row, stacks.rows, &stacks.frames);
    if (error < 0)
        free(stacks.row);
    else
        *ret_stacks = stacks;
    return error;
}

static void stacks_put(struct json_stream *stream, const struct stacks *stacks,
                       const struct analysis *analysis)
{
    struct frames_budget budget = {0};

    json_stream_open(stream, "stacks", '[');
    for (size_t i = 0; i < stacks->rows; i++) {
        json_t *object = json_object();

        report_json_stack_set(object, &stacks->frames, &budget, analysis, stacks->row[i].key);
        tally_set(object, &stacks->row[i]);
        json_stream_add(stream, NULL, object);
    }
    json_stream_close(stream);
}

static void stacks_done(struct stacks *stacks)
{
    report_json_frames_done(&stacks->frames);
    free(stacks->row);
}

static json_t *left_out_json(const struct analysis *analysis, const struct report_style *style)
{
    json_t *left_out = json_object();

    for (int by = 0; by < REPORT_BY_TALLIES; by++) {
        size_t rows = report_tallies(analysis, (enum report_by)by)->rows;

        report_json_set(left_out, report_by_name[by], rows - rows_shown(rows, style));
    }
    report_json_set(left_out, "stack",
                    analysis->stacks.rows - rows_shown(analysis->stacks.rows, style));
    return left_out;
}

static json_t *memory_json(const struct analysis *analysis)
{
    json_t *memory = json_object();

    for (size_t i = 0; i < analysis->kinds.rows; i++) {
        const struct tally *row = &analysis->kinds.row[i];
        const struct memory_kind *kind = memory_kind((unsigned)row->key);
        json_t *object = json_object();

        json_object_set_new(object, "on_device", json_boolean(kind->on_device));
        tally_set(object, row);
        json_object_set_new(memory, kind->name, object);
    }
    return memory;
}

static json_t *timeline_json(const struct analysis *analysis)
{
    static struct timeline_point points[TIMELINE_POINTS];
    size_t count = timeline_points(&analysis->timeline, points);
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *point = report_json_point(&points[i]);
        uint64_t time_ns = i + 1 < count ? points[i].time_ns : UINT64_MAX;
        struct driver_step step;
        struct pool_level level;

        if (pool_levels_at(&analysis->pool_levels, time_ns, &level)) {
            report_json_set(point, "cached_bytes", level.cached_bytes);
            report_json_set(point, "quarantined_bytes", level.quarantined_bytes);
        }
        if (driver_view_at(&analysis->driver_view, time_ns, &step)) {
            report_json_set(point, "driver_total_bytes", step.total_bytes);
            report_json_set(point, "unaccounted_bytes", step.unaccounted_bytes);
        }
        json_array_append_new(array, point);
    }
    return array;
}

static json_t *lifetimes_json(const struct lifetimes *lifetimes)
{
    json_t *array = json_array();

    for (size_t i = 0; i < LIFETIME_CLASSES; i++) {
        json_t *object = json_object();
        uint64_t up_to_ns = lifetime_class_ns(i);

        json_object_set_new(object, "up_to_ns",
                            up_to_ns == UINT64_MAX ? json_null() : report_json_integer(up_to_ns));
        report_json_set(object, "blocks", lifetimes->row[i].blocks);
        report_json_set(object, "bytes", lifetimes->row[i].bytes);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *site_json(const struct analysis *analysis, uint64_t id)
{
    json_t *object = json_object();

    report_json_site_set(object, analysis, id);
    return object;
}

static json_t *invalid_frees_json(const struct analysis *analysis)
{
    json_t *array = json_array();

    for (size_t i = 0; i < analysis->total.invalid_frees && i < ANALYSIS_INVALID_FREES; i++) {
        const struct analysis_invalid_free *invalid = &analysis->invalid_free[i];
        json_t *object = json_object();

        report_json_set(object, "t_ns", invalid->time_ns);
        report_json_set(object, "address", invalid->address);
        report_json_set(object, "error", invalid->error);
        json_object_set_new(object, "api",
                            json_text_or_null(trace_reader_string(analysis->reader, invalid->api)));
        json_object_set_new(object, "site", site_json(analysis, invalid->site));
        json_object_set_new(object, "allocation_site",
                            site_json(analysis, invalid->allocation_site));
        json_object_set_new(object, "first_free_site",
                            site_json(analysis, invalid->first_free_site));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *counters_json(const struct analysis *analysis)
{
    json_t *array = json_array();

    for (size_t i = 0; i < analysis->counters; i++) {
        const struct analysis_counter *counter = &analysis->counter[i];
        json_t *object = json_object();

        json_object_set_new(object, "name", json_text_or_null(counter->name));
        report_json_set(object, "context", counter->context);
        report_json_set(object, "current", counter->current);
        report_json_set(object, "peak", counter->peak);
        report_json_set(object, "at_peak", counter->at_peak);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *driver_libraries_json(const struct analysis *analysis)
{
    const struct tallies *libraries = analysis->driver_view.libraries;
    struct tally *rows = report_rows_sorted(libraries);
    json_t *array = json_array();

    for (size_t i = 0; rows && i < libraries->rows; i++) {
        json_t *row = json_object();

        json_object_set_new(row, "path", json_text_or_null((const char *)(uintptr_t)rows[i].key));
        report_json_set(row, "allocations", rows[i].allocations);
        report_json_set(row, "requested_bytes", rows[i].requested_bytes);
        report_json_set(row, "peak_bytes", rows[i].live_bytes.peak);
        report_json_set(row, "live_bytes", rows[i].live_bytes.current);
        json_array_append_new(array, row);
    }
    free(rows);
    return array;
}

static json_t *driver_pools_json(const struct driver_view *view)
{
    json_t *array = json_array();

    for (size_t i = 0; i < view->pools; i++) {
        const struct driver_pool *pool = &view->pool[i];
        json_t *row = json_object();

        report_json_set(row, "device", pool->device);
        report_json_set(row, "bytes", pool->bytes);
        report_json_set(row, "used_bytes", pool->used_bytes);
        report_json_set(row, "peak_bytes", pool->peak_bytes);
        report_json_set(row, "peak_used_bytes", pool->peak_used_bytes);
        report_json_set(row, "trims", pool->trims);
        json_object_set_new(row, "destroyed", json_boolean(pool->destroyed));
        json_array_append_new(array, row);
    }
    return array;
}

/** The driver's own account, null where CUPTI gave none. */
static json_t *driver_json(const struct analysis *analysis)
{
    const struct driver_view *view = &analysis->driver_view;
    struct driver_step at_peak;
    json_t *driver;

    if (!driver_view_at(view, analysis->peak_time_ns, &at_peak))
        return json_null();
    driver = json_object();
    report_json_set(driver, "allocations", view->allocations);
    report_json_set(driver, "frees", view->frees);
    report_json_set(driver, "peak_bytes", view->total_peak_bytes);
    report_json_set(driver, "at_peak_bytes", at_peak.total_bytes);
    report_json_set(driver, "peak_host_bytes", view->host_peak_bytes);
    report_json_set(driver, "unaccounted_allocations", view->unaccounted_allocations);
    report_json_set(driver, "unaccounted_peak_bytes", view->unaccounted_peak_bytes);
    report_json_set(driver, "unaccounted_end_bytes", view->unaccounted_end_bytes);
    json_object_set_new(driver, "unaccounted_libraries", driver_libraries_json(analysis));
    json_object_set_new(driver, "pools", driver_pools_json(view));
    return driver;
}

static json_t *cupti_json(const struct driver_view *view)
{
    json_t *cupti;
    char text[256];

    if (!view->state)
        return json_null();
    driver_view_state_text(view, text, sizeof text);
    cupti = json_object();
    json_object_set_new(cupti, "state", json_string(driver_view_state_name(view)));
    json_object_set_new(cupti, "detail", json_text_or_null(text));
    json_object_set_new(cupti, "whole", json_boolean(view->is_whole));
    json_object_set_new(cupti, "library", json_text_or_null(view->library));
    report_json_set(cupti, "version", view->version);
    report_json_set(cupti, "result", view->result);
    report_json_set(cupti, "dropped", view->dropped);
    report_json_set(cupti, "clock_error_ns", view->clock_error_ns);
    return cupti;
}

static json_t *recording_json(const struct analysis *analysis, json_t *left_out)
{
    const struct trace_summary *found = &analysis->recording;
    json_t *recording = json_object();
    const struct {
        const char *key;
        uint64_t value;
    } figures[] = {
        {"file_bytes", found->file_bytes},
        {"events", found->events},
        {"dropped", found->dropped_records},
        {"lost_records", found->lost_records},
        {"lost_bytes", found->lost_bytes},
        {"lost_blocks", found->lost_blocks},
        {"unknown_records", found->unknown_records},
        {"stop_errno", found->stop_errno},
        {"folded_events", found->folded_records},
        {"forgotten_events", found->forgotten_records},
        {"kept_from_ns", found->kept_from_ns},
        {"torn_carries", found->torn_carries},
        {"cut_stacks", found->cut_stacks},
        {"unmatched_frees", analysis->unmatched_frees},
        {"replaced_blocks", analysis->replaced_blocks},
    };

    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        report_json_set(recording, figures[i].key, figures[i].value);
    json_object_set_new(recording, "cupti", cupti_json(&analysis->driver_view));
    json_object_set_new(recording, "closed", json_boolean(found->closed));
    json_object_set_new(recording, "complete", json_boolean(found->complete));
    json_object_set_new(recording, "rows_left_out", left_out);
    return recording;
}

/** Writes one report as the member of an array or as the whole; keys in order. */
static int report_put(struct json_stream *stream, const struct analysis *analysis,
                      const char *trace, const struct report_style *style)
{
    json_t *left_out = left_out_json(analysis, style);
    struct callers callers = {0};
    struct stacks stacks;

    if (!left_out || callers_create(analysis, &callers) < 0 ||
        stacks_create(analysis, style, &stacks) < 0) {
        callers_done(&callers);
        json_decref(left_out);
        return -ENOMEM;
    }
    json_stream_open(stream, NULL, '{');
    rows_put(stream, "apis", &callers, REPORT_BY_API, style);
    json_stream_add(stream, "counters", counters_json(analysis));
    json_stream_add(stream, "defragmentation", report_json_defragmentation(analysis));
    json_stream_add(stream, "device", devices_json(analysis));
    json_stream_add(stream, "driver", driver_json(analysis));
    json_stream_add(stream, "findings", report_json_findings(analysis, &callers));
    json_stream_add(stream, "fragmentation_sites",
                    report_json_fragmentation(analysis, style->top, left_out));
    report_json_frames_put(&stacks.frames, analysis, stream);
    json_stream_add(stream, "growth", report_json_growth(analysis));
    json_stream_add(stream, "invalid_frees", invalid_frees_json(analysis));
    rows_put(stream, "libraries", &callers, REPORT_BY_LIBRARY, style);
    json_stream_add(stream, "lifetimes", lifetimes_json(&analysis->lifetimes));
    json_stream_add(stream, "memory", memory_json(analysis));
    json_stream_add(stream, "memory_errors", report_json_memory_errors(analysis));
    json_stream_add(stream, "phases", report_json_phases(analysis));
    json_stream_add(stream, "postmortems", report_json_postmortems(analysis));
    json_stream_add(stream, "process", process_json(analysis));
    json_stream_add(stream, "recording", recording_json(analysis, left_out));
    json_stream_add(stream, "schema", json_string(SCHEMA));
    rows_put(stream, "sites", &callers, REPORT_BY_SITE, style);
    rows_put(stream, "sizes", &callers, REPORT_BY_SIZE, style);
    stacks_put(stream, &stacks, analysis);
    json_stream_add(stream, "steps", report_json_steps(analysis));
    json_stream_add(stream, "summary", summary_json(analysis));
    json_stream_add(stream, "timeline", timeline_json(analysis));
    json_stream_add(stream, "trace", json_text_or_null(trace));
    json_stream_add(stream, "window", report_json_window(analysis));
    json_stream_close(stream);
    stacks_done(&stacks);
    callers_done(&callers);
    return stream->failed ? -ENOMEM : 0;
}

int report_json(struct analysis *const *analyses, const char *const *traces, size_t count,
                const struct report_style *style, FILE *out)
{
    struct json_stream stream = {.out = out};
    int error = 0;

    if (count == 1) {
        error = report_put(&stream, analyses[0], traces[0], style);
    } else {
        json_stream_open(&stream, NULL, '{');
        json_stream_add(&stream, "job", report_json_job(analyses, traces, count));
        json_stream_open(&stream, "reports", '[');
        for (size_t i = 0; i < count && error == 0; i++)
            error = report_put(&stream, analyses[i], traces[i], style);
        json_stream_close(&stream);
        json_stream_add(&stream, "schema", json_string(SCHEMA_LIST));
        json_stream_close(&stream);
    }
    if (error == 0 && fputc('\n', out) == EOF)
        error = errno ? -errno : -EIO;
    return error == 0 && stream.failed ? -ENOMEM : error;
}
