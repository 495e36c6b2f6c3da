/* SPDX-License-Identifier: MIT */
/*
 * The same rows for text and Markdown; JSON has the plain numbers.
 *
 *   R        peak reserved / peak requested
 *   minCap   smallest capacity at which the trace completes / peak requested
 */
#include "tools/replay/replay_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/disguise.h"
#include "tools/base/escape.h"
#include "tools/base/json_stream.h"
#include "tools/base/json_text.h"
#include "tools/base/text_table.h"
#include "tools/base/units.h"

#define COLUMNS    9
#define CELL_BYTES (POLICY_OPTIONS_BYTES + 32) /* a policy with its options is the longest */

struct cells {
    char text[COLUMNS][CELL_BYTES];
};

const struct replay_row *replay_result_best(const struct replay_result *result)
{
    const struct replay_row *best = NULL;

    for (size_t i = 0; i < result->row_count; i++) {
        const struct replay_row *row = &result->rows[i];

        if (row->smallest_capacity_bytes &&
            (!best || row->smallest_capacity_bytes < best->smallest_capacity_bytes))
            best = row;
    }
    return best;
}

static void ratio(char *text, size_t bytes, uint64_t part, uint64_t whole)
{
    if (part && whole)
        snprintf(text, bytes, "%.3f", (double)part / (double)whole);
    else
        snprintf(text, bytes, "-");
}

static void per_thousand(char *text, size_t bytes, uint64_t calls, uint64_t operations)
{
    snprintf(text, bytes, "%.1f", operations ? 1000.0 * (double)calls / (double)operations : 0.0);
}

static void row_cells(const struct replay_result *result, const struct replay_row *row,
                      struct cells *ret_cells)
{
    const struct replay_trace *trace = result->trace;
    const struct replay_outcome *outcome = &row->outcome;

    char(*text)[CELL_BYTES] = ret_cells->text;
    size_t bytes = sizeof *text;

    snprintf(text[0], bytes, "%s%s%s", row->policy.name, *row->policy.options_text ? "+" : "",
             row->policy.options_text);
    ratio(text[1], bytes, outcome->completed ? outcome->peak_reserved_bytes : 0,
          trace->peak_requested_bytes);
    snprintf(text[2], bytes, "%s", unit_bytes(outcome->peak_reserved_bytes).text);
    ratio(text[3], bytes, row->smallest_capacity_bytes, trace->peak_requested_bytes);
    snprintf(text[4], bytes, "%s", unit_count(outcome->driver_calls).text);
    per_thousand(text[5], bytes, outcome->memory_calls, trace->operations);
    if (outcome->repeated)
        per_thousand(text[6], bytes, outcome->memory_calls_second, trace->operations);
    else
        snprintf(text[6], bytes, "-");
    snprintf(text[7], bytes, "%s", unit_duration(outcome->simulated_ns).text);
    if (outcome->completed)
        snprintf(text[8], bytes, "yes");
    else if (outcome->stopped)
        snprintf(text[8], bytes, "stopped: too many steps at event %zu", outcome->refused_event);
    else
        snprintf(text[8], bytes, "no: %s at event %zu", unit_bytes(outcome->refused_bytes).text,
                 outcome->refused_event);
}

static const char *const column_names[COLUMNS] = {"policy",      "R",           "reserved",
                                                  "minCap",      "calls",       "cold/1000",
                                                  "steady/1000", "driver time", "completed"};

static void device_cells(const struct replay_report *report, const struct replay_result *result,
                         size_t index, char (*text)[CELL_BYTES])
{
    const struct device_row *device = &report->devices[index];
    const struct replay_row *best = replay_result_best(result);
    uint64_t needed = best ? best->smallest_capacity_bytes : 0;
    bool fits = best && needed <= device->usable_bytes;

    snprintf(text[0], sizeof *text, "%s", device->name);
    snprintf(text[1], sizeof *text, "%s", unit_bytes(device->usable_bytes).text);
    snprintf(text[2], sizeof *text, "%s", fits ? "yes" : "no");
    snprintf(text[3], sizeof *text, "%s", best ? best->policy.name : "-");
    snprintf(text[4], sizeof *text, "%s%s", fits ? "" : "-",
             !best  ? ""
             : fits ? unit_bytes(device->usable_bytes - needed).text
                    : unit_bytes(needed - device->usable_bytes).text);
}

static const char *const device_names[] = {"device", "usable", "fits", "policy", "margin"};
#define DEVICE_COLUMNS (sizeof device_names / sizeof *device_names)

/* ---- text ---- */

static int table_print(const char *const *names, size_t columns, size_t rows,
                       void fill(void *state, size_t row, char (*text)[CELL_BYTES]), void *state,
                       FILE *out)
{
    struct text_column column[COLUMNS] = {{0}};
    struct text_table *table;
    int error = 0;

    for (size_t i = 0; i < columns; i++)
        column[i] = (struct text_column){.name = names[i], .right = i > 0};
    table = text_table_create(column, columns, 0);
    if (!table)
        return -ENOMEM;
    for (size_t row = 0; row < rows && error == 0; row++) {
        const char *cell[COLUMNS];
        char text[COLUMNS][CELL_BYTES];

        fill(state, row, text);
        for (size_t i = 0; i < columns; i++)
            cell[i] = text[i];
        error = text_table_add(table, cell);
    }
    if (error == 0)
        return text_table_finish(table, out);
    text_table_finish(table, out);
    return error;
}

struct view {
    const struct replay_report *report;
    const struct replay_result *result;
};

static void policy_fill(void *state, size_t row, char (*text)[CELL_BYTES])
{
    const struct view *view = state;
    struct cells cells;

    row_cells(view->result, &view->result->rows[row], &cells);
    memcpy(text, cells.text, sizeof cells.text);
}

static void device_fill(void *state, size_t row, char (*text)[CELL_BYTES])
{
    const struct view *view = state;

    device_cells(view->report, view->result, row, text);
}

/* The recorded run itself, next to its replay. */
static void recorded_print(const struct replay_result *result, FILE *out)
{
    const struct replay_recorded *recorded = &result->trace->recorded;

    if (!recorded->known || !recorded->driver_calls)
        return;
    fprintf(out, "recorded: %s, %s reserved at the peak",
            unit_nouns(recorded->driver_calls, "driver call").text,
            unit_bytes(recorded->peak_reserved_bytes).text);
    for (size_t i = 0; i < result->row_count; i++)
        if (result->rows[i].policy.as_recorded)
            fprintf(out, "; the replay %s",
                    result->rows[i].outcome.follows ? "made the same calls in the same order"
                                                    : "made different calls");
    fputc('\n', out);
}

static void heading_print(const struct replay_result *result, FILE *out)
{
    const struct replay_trace *trace = result->trace;

    escape_print(out, ESCAPE_LINE, trace->name);
    fprintf(out, " (%s): %s operations", trace->format, unit_count(trace->operations).text);
    fprintf(out, ", %s requested at the peak, %u thread%s, %u stream%s\n",
            unit_bytes(trace->peak_requested_bytes).text, trace->threads,
            trace->threads == 1 ? "" : "s", trace->streams, trace->streams == 1 ? "" : "s");
    recorded_print(result, out);
    if (trace->left_out)
        fprintf(out, "left out: %s %s\n", unit_count(trace->left_out).text, trace->left_out_why);
}

static int result_text(const struct replay_report *report, const struct replay_result *result,
                       FILE *out)
{
    struct view view = {report, result};
    int error;

    heading_print(result, out);
    fputc('\n', out);
    error = table_print(column_names, COLUMNS, result->row_count, policy_fill, &view, out);
    if (error == 0 && report->devices) {
        fputc('\n', out);
        error = table_print(device_names, DEVICE_COLUMNS, report->device_count, device_fill, &view,
                            out);
    }
    return error;
}

int replay_report_text(const struct replay_report *report, FILE *out)
{
    int error = 0;

    for (size_t i = 0; i < report->count && error == 0; i++) {
        if (i)
            fputc('\n', out);
        error = result_text(report, &report->results[i], out);
    }
    fprintf(out,
            "\nR: reserved / requested at the peaks. minCap: smallest capacity / requested. cold, "
            "steady: calls that\nallocate or free memory, per 1,000 operations, in a first and a "
            "second replay. Driver time: ");
    escape_print(out, ESCAPE_LINE, report->profile->source);
    fputs(".\n", out);
    return error < 0 ? error : ferror(out) ? -EIO : 0;
}

/* ---- Markdown ---- */

static void markdown_table(const char *const *names, size_t columns, size_t rows,
                           void fill(void *state, size_t row, char (*text)[CELL_BYTES]),
                           void *state, FILE *out)
{
    for (size_t i = 0; i < columns; i++)
        fprintf(out, "| %s ", names[i]);
    fputs("|\n", out);
    for (size_t i = 0; i < columns; i++)
        fputs(i ? "|--:" : "|---", out);
    fputs("|\n", out);
    for (size_t row = 0; row < rows; row++) {
        char text[COLUMNS][CELL_BYTES];

        fill(state, row, text);
        for (size_t i = 0; i < columns; i++) {
            fputs("| ", out);
            escape_print(out, ESCAPE_MARKDOWN, text[i]);
            fputc(' ', out);
        }
        fputs("|\n", out);
    }
}

int replay_report_markdown(const struct replay_report *report, FILE *out)
{
    for (size_t i = 0; i < report->count; i++) {
        struct view view = {report, &report->results[i]};
        const struct replay_trace *trace = view.result->trace;

        fputs(i ? "\n### " : "### ", out);
        escape_print(out, ESCAPE_MARKDOWN, trace->name);
        fprintf(out, "\n\n%s operations, %s requested at the peak.\n\n",
                unit_count(trace->operations).text, unit_bytes(trace->peak_requested_bytes).text);
        markdown_table(column_names, COLUMNS, view.result->row_count, policy_fill, &view, out);
        if (report->devices) {
            fputc('\n', out);
            markdown_table(device_names, DEVICE_COLUMNS, report->device_count, device_fill, &view,
                           out);
        }
    }
    fputs("\nDriver time: ", out);
    escape_print(out, ESCAPE_MARKDOWN, report->profile->source);
    fputs(".\n", out);
    return ferror(out) ? -EIO : 0;
}

/* ---- JSON ---- */

static void count_add(struct json_stream *stream, const char *key, uint64_t value)
{
    json_stream_add(stream, key, json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value)));
}

static void second_add(struct json_stream *stream, const char *key,
                       const struct replay_outcome *outcome, uint64_t value)
{
    json_stream_add(stream, key, outcome->repeated ? json_integer((json_int_t)value) : json_null());
}

static void row_json(struct json_stream *stream, const struct replay_result *result,
                     const struct replay_row *row)
{
    const struct replay_outcome *outcome = &row->outcome;
    uint64_t requested = result->trace->peak_requested_bytes;

    json_stream_open(stream, NULL, '{');
    json_stream_add(stream, "policy", json_text(row->policy.name));
    json_stream_add(stream, "options", json_text(row->policy.options_text));
    count_add(stream, "peak_reserved_bytes", outcome->peak_reserved_bytes);
    json_stream_add(stream, "overhead",
                    outcome->completed && requested
                        ? json_real((double)outcome->peak_reserved_bytes / (double)requested)
                        : json_null());
    count_add(stream, "driver_calls", outcome->driver_calls);
    second_add(stream, "driver_calls_second", outcome, outcome->driver_calls_second);
    count_add(stream, "memory_calls", outcome->memory_calls);
    second_add(stream, "memory_calls_second", outcome, outcome->memory_calls_second);
    count_add(stream, "simulated_ns", outcome->simulated_ns);
    json_stream_add(stream, "completed", json_boolean(outcome->completed));
    if (!outcome->completed) {
        json_stream_add(stream, "stopped", json_boolean(outcome->stopped));
        count_add(stream, "refused_event", outcome->refused_event);
        count_add(stream, "refused_bytes", outcome->refused_bytes);
    }
    if (outcome->peak_allocated_bytes)
        count_add(stream, "peak_allocated_bytes", outcome->peak_allocated_bytes);
    if (row->policy.as_recorded && result->trace->recorded.known)
        json_stream_add(stream, "as_recorded", json_boolean(outcome->follows));
    json_stream_add(stream, "smallest_capacity_bytes",
                    row->smallest_capacity_bytes
                        ? json_integer((json_int_t)row->smallest_capacity_bytes)
                        : json_null());
    json_stream_close(stream);
}

static void device_json(struct json_stream *stream, const struct replay_result *result,
                        const struct device_row *device)
{
    const struct replay_row *best = replay_result_best(result);
    json_int_t margin = best ? (json_int_t)(device->usable_bytes - best->smallest_capacity_bytes)
                             : 0;

    json_stream_open(stream, NULL, '{');
    json_stream_add(stream, "name", json_text(device->name));
    count_add(stream, "usable_bytes", device->usable_bytes);
    json_stream_add(stream, "fits", json_boolean(best && margin >= 0));
    json_stream_add(stream, "policy", best ? json_text(best->policy.name) : json_null());
    json_stream_add(stream, "margin_bytes", best ? json_integer(margin) : json_null());
    json_stream_add(stream, "source", json_text(device->source));
    json_stream_close(stream);
}

static void recorded_json(struct json_stream *stream, const struct replay_recorded *recorded)
{
    if (!recorded->known || !recorded->driver_calls)
        return;
    json_stream_open(stream, "recorded", '{');
    count_add(stream, "driver_calls", recorded->driver_calls);
    count_add(stream, "segment_allocations", recorded->segment_allocations);
    count_add(stream, "segment_frees", recorded->segment_frees);
    count_add(stream, "fences", recorded->fences);
    count_add(stream, "fence_queries", recorded->fence_queries);
    count_add(stream, "peak_requested_bytes", recorded->peak_requested_bytes);
    count_add(stream, "peak_reserved_bytes", recorded->peak_reserved_bytes);
    json_stream_close(stream);
}

static void result_json(struct json_stream *stream, const struct replay_report *report,
                        const struct replay_result *result)
{
    const struct replay_trace *trace = result->trace;
    char hash[24];

    snprintf(hash, sizeof hash, "%016" PRIx64, trace->hash);
    json_stream_open(stream, NULL, '{');
    json_stream_add(stream, "trace", json_text(trace->name));
    json_stream_add(stream, "hash", json_string(hash));
    count_add(stream, "operations", trace->operations);
    count_add(stream, "peak_requested_bytes", trace->peak_requested_bytes);
    recorded_json(stream, &trace->recorded);
    json_stream_open(stream, "policies", '[');
    for (size_t i = 0; i < result->row_count; i++)
        row_json(stream, result, &result->rows[i]);
    json_stream_close(stream);
    json_stream_open(stream, "devices", '[');
    for (size_t i = 0; report->devices && i < report->device_count; i++)
        device_json(stream, result, &report->devices[i]);
    json_stream_close(stream);
    json_stream_close(stream);
}

int replay_report_json(const struct replay_report *report, FILE *out)
{
    struct json_stream stream = {.out = out};

    json_stream_open(&stream, NULL, '{');
    json_stream_add(&stream, "schema", json_string("cupool.replay/1"));
    if (report->capacity_bytes)
        count_add(&stream, "capacity_bytes", report->capacity_bytes);
    json_stream_open(&stream, "traces", '[');
    for (size_t i = 0; i < report->count; i++)
        result_json(&stream, report, &report->results[i]);
    json_stream_close(&stream);
    json_stream_close(&stream);
    fputc('\n', out);
    return stream.failed ? -ENOMEM : ferror(out) ? -EIO : 0;
}
