/* SPDX-License-Identifier: MIT */
/*
 * Pieces of the JSON report. Objects are new references; out of memory gives NULL, which jansson
 * passes on.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_REPORT_REPORT_JSON_PARTS_H
#define TOOLS_REPORT_REPORT_JSON_PARTS_H

#include <jansson.h>

#include "tools/report/base/report.h"

/** null for NULL and for text that is not UTF-8. */
json_t *report_json_text(const char *text);
json_t *report_json_integer(uint64_t value);
void report_json_set(json_t *object, const char *key, uint64_t value);

/** Adds module, build_id, offset, function, file and line. */
void report_json_place_set(json_t *object, const struct report_place *place);
void report_json_site_set(json_t *object, const struct analysis *analysis, uint64_t id);
json_t *report_json_point(const struct timeline_point *point);

json_t *report_json_phases(const struct analysis *analysis);
json_t *report_json_steps(const struct analysis *analysis);
json_t *report_json_growth(const struct analysis *analysis);
json_t *report_json_fragmentation(const struct analysis *analysis, size_t top, json_t *left_out);
json_t *report_json_window(const struct analysis *analysis);
json_t *report_json_postmortems(const struct analysis *analysis);

#endif
