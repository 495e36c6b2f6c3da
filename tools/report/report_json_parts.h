/* SPDX-License-Identifier: MIT */
/*
 * Pieces of the JSON report. Objects are new references; out of memory gives NULL, which jansson
 * passes on.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPORT_REPORT_JSON_PARTS_H
#define TOOLS_REPORT_REPORT_JSON_PARTS_H

#include <jansson.h>

#include "tools/base/json_stream.h"
#include "tools/base/json_text.h"
#include "tools/report/base/callers.h"
#include "tools/report/base/report.h"

json_t *report_json_integer(uint64_t value);
void report_json_set(json_t *object, const char *key, uint64_t value);

/** Adds module, build_id, offset, function, file and line. */
void report_json_place_set(json_t *object, const struct report_place *place);
void report_json_site_set(json_t *object, const struct analysis *analysis, uint64_t id);

/** Adds "key": the name of a site in diff, check and baselines. */
void report_json_key_set(json_t *object, const struct analysis *analysis, uint64_t id);

/** Adds "callers", the main call paths of a site. */
void report_json_callers_set(json_t *object, const struct callers *callers, uint64_t site);

json_t *report_json_findings(const struct analysis *analysis, const struct callers *callers);
json_t *report_json_point(const struct timeline_point *point);

json_t *report_json_phases(const struct analysis *analysis);
json_t *report_json_steps(const struct analysis *analysis);
json_t *report_json_growth(const struct analysis *analysis);
json_t *report_json_fragmentation(const struct analysis *analysis, size_t top, json_t *left_out);
json_t *report_json_window(const struct analysis *analysis);
json_t *report_json_postmortems(const struct analysis *analysis);

/** The frames of the stacks that are written, numbered: callers before callees. */
struct report_json_frames {
    uint32_t *site; /* in the order of rows */
    uint32_t *row;  /* by site id - 1: number of its innermost frame + 1 */
    size_t sites, rows;
};

/** Errors: -ENOMEM. */
int report_json_frames_create(const struct analysis *analysis, const struct tally *stacks,
                              size_t count, struct report_json_frames *ret_frames);
void report_json_frames_done(struct report_json_frames *frames);

/** Adds the array "frames" of the report. */
void report_json_frames_put(const struct report_json_frames *frames,
                            const struct analysis *analysis, struct json_stream *stream);

/** Adds "frame", the number of the innermost one, and "frames", the stack in full. */
void report_json_stack_set(json_t *object, const struct report_json_frames *frames,
                           struct frames_budget *budget, const struct analysis *analysis,
                           uint64_t site);

#endif
