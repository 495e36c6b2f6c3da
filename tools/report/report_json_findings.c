/* SPDX-License-Identifier: MIT */
/*
 * Findings and call paths in the JSON report.
 */
#include <stdlib.h>

#include "tools/report/base/findings.h"
#include "tools/report/report_json_parts.h"

#define PATHS_MOST 8 /* of a site */

static json_t *frames_json(const struct frame *frames, size_t count)
{
    json_t *array = json_array();
    struct report_place place;

    for (size_t i = 0; i < count; i++) {
        json_t *object = json_object();

        report_place_of(&frames[i], &place);
        report_json_place_set(object, &place);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *path_json(const struct callers *callers, const struct caller *caller)
{
    const struct trace_reader *reader = callers->analysis->reader;
    const struct tally *sum = &caller->sum;
    struct frame frames[CALLERS_DEPTH];
    json_t *object = json_object();

    json_object_set_new(
        object, "path",
        frames_json(frames, frames_callers(reader, sum->key, frames, CALLERS_DEPTH)));
    json_object_set_new(
        object, "through",
        frames_json(frames, frames_passed(reader, sum->key, frames, CALLERS_DEPTH)));
    report_json_set(object, "allocations", sum->allocations);
    report_json_set(object, "at_peak_bytes", sum->live_bytes.at_peak);
    report_json_set(object, "leaked_blocks", sum->leaked_blocks);
    report_json_set(object, "leaked_bytes", sum->leaked_bytes);
    report_json_set(object, "requested_bytes", sum->requested_bytes);
    return object;
}

void report_json_callers_set(json_t *object, const struct callers *callers, uint64_t site)
{
    const struct caller *first;
    size_t count = callers_of(callers, site, &first);
    json_t *array = json_array();

    for (size_t i = 0; i < count && i < PATHS_MOST; i++)
        json_array_append_new(array, path_json(callers, &first[i]));
    json_object_set_new(object, "callers", array);
    report_json_set(object, "callers_left_out", count > PATHS_MOST ? count - PATHS_MOST : 0);
}

json_t *report_json_findings(const struct analysis *analysis, const struct callers *callers)
{
    struct findings *findings = calloc(1, sizeof *findings);
    json_t *array = json_array();

    if (!findings)
        return NULL;
    findings_find(analysis, callers, findings);
    for (size_t i = 0; i < findings->rows; i++) {
        const struct finding *finding = &findings->row[i];
        json_t *object = json_object();

        json_object_set_new(object, "kind", json_string(finding_kind_name[finding->kind]));
        json_object_set_new(object, "text", json_text_or_null(finding->text));
        json_object_set_new(object, "action", json_text_or_null(finding->action));
        json_object_set_new(object, "where",
                            *finding->where ? json_text_or_null(finding->where) : json_null());
        report_json_set(object, "bytes", finding->bytes);
        report_json_site_set(object, analysis, finding->site);
        report_json_key_set(object, analysis, finding->site);
        json_array_append_new(array, object);
    }
    free(findings);
    return array;
}
