/* SPDX-License-Identifier: MIT */
/*
 * Iterates over the ranks of a job, then the rows below them.
 */
#include "tools/report/base/job_rows.h"

#include <stdio.h>

#include "tools/report/base/report.h"

const char *job_figure_help(const struct job *job, size_t figure)
{
    return figure == JOB_leaked_bytes && job->open ? report_unfreed(job->open)
                                                   : job_figure_rows[figure].help;
}

struct unit_text job_figure_text(size_t figure, uint64_t value)
{
    return job_figure_rows[figure].is_bytes ? unit_bytes(value) : unit_count(value);
}

void job_rank_text(const struct job *job, size_t i, char *ret_text, size_t text_bytes)
{
    if (job->by_order)
        snprintf(ret_text, text_bytes, "trace %zu", i + 1);
    else
        snprintf(ret_text, text_bytes, "rank %llu", (unsigned long long)job->rank[i]);
}

void job_outlier_text(const struct job *job, size_t figure, char *ret_text, size_t text_bytes)
{
    const struct job_spread *spread = &job->spread[figure];
    uint64_t value = job->value[spread->outlier_at][figure];
    bool above = value > spread->median;
    char name[32];

    *ret_text = '\0';
    job_rank_text(job, spread->outlier_at, name, sizeof name);
    if (spread->has_outlier)
        snprintf(
            ret_text, text_bytes, "%s: %s %s %s the median of %s", name,
            job_figure_help(job, figure),
            job_figure_text(figure, above ? value - spread->median : spread->median - value).text,
            above ? "above" : "below", job_figure_text(figure, spread->median).text);
}

/* The rows below the ranks. */
#define SUMMARY(name, member)                                                                      \
    for (size_t figure = 0; figure < JOB_FIGURE_COUNT; figure++)                                   \
        value[figure] = job->spread[figure].member;                                                \
    emit(state, name, value);

void job_rows_emit(const struct job *job, job_row_fn *emit, void *state)
{
    uint64_t value[JOB_FIGURE_COUNT];
    char name[32];

    for (size_t i = 0; i < job->ranks; i++) {
        job_rank_text(job, i, name, sizeof name);
        emit(state, name, job->value[i]);
    }
    SUMMARY("sum", sum)
    SUMMARY("highest", most)
    SUMMARY("mean", rounded)
}
