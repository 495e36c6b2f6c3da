/* SPDX-License-Identifier: MIT */
#include "tools/analysis/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OUTLIER_RANKS      4
#define OUTLIER_DEVIATIONS 6
#define OUTLIER_PART       10 /* of the median */

const struct job_figure_row job_figure_rows[JOB_FIGURE_COUNT] = {
#define IS_BYTES_BYTES                      true
#define IS_BYTES_COUNT                      false
#define JOB_FIGURE(name, unit, help, value) {#name, help, IS_BYTES_##unit},
    JOB_FIGURES(JOB_FIGURE)
#undef JOB_FIGURE
};

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/** Sorts the values and returns the lower median. */
static uint64_t median_of(uint64_t *value, size_t count)
{
    qsort(value, count, sizeof *value, compare);
    return value[(count - 1) / 2];
}

int job_spread_of(const uint64_t *value, size_t count, struct job_spread *ret_spread)
{
    uint64_t *sorted = malloc(count * sizeof *sorted), deviation, furthest;
    struct job_spread spread = {.least = UINT64_MAX};
    unsigned __int128 sum = 0;

    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        spread.sum += value[i];
        sum += value[i];
        if (value[i] < spread.least)
            spread.least = value[i];
        if (value[i] > spread.most) {
            spread.most = value[i];
            spread.most_at = i;
        }
    }
    spread.mean = (double)sum / (double)count;
    spread.rounded = (uint64_t)((sum + count / 2) / count);
    memcpy(sorted, value, count * sizeof *sorted);
    spread.median = median_of(sorted, count);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = distance(value[i], spread.median);
        if (sorted[i] > distance(value[spread.outlier_at], spread.median))
            spread.outlier_at = i;
    }
    furthest = distance(value[spread.outlier_at], spread.median);
    deviation = median_of(sorted, count);
    spread.has_outlier = count >= OUTLIER_RANKS && furthest > spread.median / OUTLIER_PART &&
                         (furthest - 1) / OUTLIER_DEVIATIONS >= deviation;
    free(sorted);
    *ret_spread = spread;
    return 0;
}

/** The launchers' numbers, if every trace has one of its own. */
static bool ranks_are_told(struct analysis *const *analyses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!analyses[i]->has_rank)
            return false;
        for (size_t j = 0; j < i; j++)
            if (analyses[j]->rank == analyses[i]->rank)
                return false;
    }
    return true;
}

static int spreads_fill(struct job *job)
{
    uint64_t *column = malloc(job->ranks * sizeof *column);
    int error = column ? 0 : -ENOMEM;

    for (size_t figure = 0; figure < JOB_FIGURE_COUNT && error == 0; figure++) {
        for (size_t i = 0; i < job->ranks; i++)
            column[i] = job->value[i][figure];
        error = job_spread_of(column, job->ranks, &job->spread[figure]);
    }
    free(column);
    return error;
}

struct job *job_create(struct analysis *const *analyses, size_t count)
{
    struct job *job = calloc(1, sizeof *job);

    if (!job)
        return NULL;
    job->ranks = count;
    job->rank = calloc(count, sizeof *job->rank);
    job->value = calloc(count, sizeof *job->value);
    job->by_order = !ranks_are_told(analyses, count);
    for (size_t i = 0; i < count && job->rank && job->value; i++) {
        const struct analysis *a = analyses[i];

        job->rank[i] = job->by_order ? i : a->rank;
        if (a->recording.running || (!job->open && analysis_was_killed(a)))
            job->open = a;
#define JOB_FIGURE(name, unit, help, from) job->value[i][JOB_##name] = (from);
        JOB_FIGURES(JOB_FIGURE)
#undef JOB_FIGURE
    }
    if (!job->rank || !job->value || spreads_fill(job) < 0) {
        job_destroy(job);
        return NULL;
    }
    return job;
}

void job_destroy(struct job *job)
{
    if (!job)
        return;
    free(job->rank);
    free(job->value);
    free(job);
}
