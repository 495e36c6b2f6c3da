/* SPDX-License-Identifier: MIT */
/*
 * Prints the results of a replay as a table, JSON or Markdown.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_REPLAY_REPORT_H
#define TOOLS_REPLAY_REPLAY_REPORT_H

#include <stdio.h>

#include "tools/replay/devices.h"
#include "tools/replay/replay.h"

/** One policy on one trace. */
struct replay_row {
    struct policy policy;
    struct replay_outcome outcome;
    uint64_t smallest_capacity_bytes; /* 0: not asked */
};

struct replay_result {
    struct replay_trace *trace;
    struct replay_row *rows;
    size_t row_count;
};

struct replay_report {
    struct replay_result *results;
    size_t count;
    const struct device_row *devices; /* NULL: not asked */
    size_t device_count;
    uint64_t capacity_bytes; /* 0: endless */
    const struct device_profile *profile;
};

/** Returns the policy that needs least memory: the row, by smallest capacity. NULL: none
 * completed. */
const struct replay_row *replay_result_best(const struct replay_result *result);

/** Errors: -ENOMEM, -EIO. */
int replay_report_text(const struct replay_report *report, FILE *out);
int replay_report_json(const struct replay_report *report, FILE *out);
int replay_report_markdown(const struct replay_report *report, FILE *out);

#endif
