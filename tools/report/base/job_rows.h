/* SPDX-License-Identifier: MIT */
/*
 * The rows of a job's summary, which every format prints in its own style.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_REPORT_BASE_JOB_ROWS_H
#define TOOLS_REPORT_BASE_JOB_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "tools/analysis/job.h"
#include "tools/base/units.h"

/** Receives a row: its name and JOB_FIGURE_COUNT values. */
typedef void job_row_fn(void *state, const char *name, const uint64_t *value);

/** Every row of the merged table: the ranks, then sum, highest and mean. */
void job_rows_emit(const struct job *job, job_row_fn *emit, void *state);

/** Name of a figure: "peak", "leaked"; after a kill "live at the end" (report_unfreed()). */
const char *job_figure_help(const struct job *job, size_t figure);

struct unit_text job_figure_text(size_t figure, uint64_t value);

/** "rank 3"; "trace 4", the position on the command line, where no launcher numbered them. */
void job_rank_text(const struct job *job, size_t i, char *ret_text, size_t text_bytes);

/** "rank 3: peak 1.4 GiB above the median of 2.0 GiB"; empty without an outlier. */
void job_outlier_text(const struct job *job, size_t figure, char *ret_text, size_t text_bytes);

#endif
