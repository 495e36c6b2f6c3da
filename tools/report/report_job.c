/* SPDX-License-Identifier: MIT */
#include "tools/report/report_job.h"

#include <errno.h>

#include "tools/report/base/job_rows.h"
#include "tools/report/report_json_parts.h"
#include "tools/base/text_table.h"
#include "tools/base/units.h"

json_t *report_json_job(struct analysis *const *analyses, const char *const *traces, size_t count)
{
    struct job *job = job_create(analyses, count);
    json_t *object = json_object(), *ranks = json_array(), *figures = json_object();

    for (size_t i = 0; job && i < count; i++) {
        json_t *rank = json_object();

        report_json_set(rank, "rank", job->rank[i]);
        json_object_set_new(rank, "trace", json_text_or_null(traces[i]));
        for (size_t figure = 0; figure < JOB_FIGURE_COUNT; figure++)
            report_json_set(rank, job_figure_rows[figure].name, job->value[i][figure]);
        json_array_append_new(ranks, rank);
    }
    for (size_t figure = 0; job && figure < JOB_FIGURE_COUNT; figure++) {
        const struct job_spread *spread = &job->spread[figure];
        json_t *row = json_object();

        report_json_set(row, "sum", spread->sum);
        report_json_set(row, "min", spread->least);
        report_json_set(row, "max", spread->most);
        report_json_set(row, "median", spread->median);
        json_object_set_new(row, "mean", json_real(spread->mean));
        report_json_set(row, "max_rank", job->rank[spread->most_at]);
        json_object_set_new(row, "outlier_rank",
                            spread->has_outlier ? report_json_integer(job->rank[spread->outlier_at])
                                                : json_null());
        json_object_set_new(figures, job_figure_rows[figure].name, row);
    }
    json_object_set_new(object, "ranks", ranks);
    json_object_set_new(object, "figures", figures);
    json_object_set_new(object, "ranks_by_order", json_boolean(!job || job->by_order));
    job_destroy(job);
    return object;
}

static int row_add(struct text_table *table, const char *name, const uint64_t *value)
{
    struct unit_text text[JOB_FIGURE_COUNT];
    const char *cells[JOB_FIGURE_COUNT + 1] = {name};

    for (size_t figure = 0; figure < JOB_FIGURE_COUNT; figure++) {
        text[figure] = job_figure_text(figure, value[figure]);
        cells[figure + 1] = text[figure].text;
    }
    return text_table_add(table, cells);
}

static void text_emit(void *state, const char *name, const uint64_t *value)
{
    if (state)
        row_add(state, name, value);
}

int report_text_job(const struct report_input *input, const struct report_style *style, FILE *out)
{
    struct text_column columns[JOB_FIGURE_COUNT + 1] = {
        {"JOB", false, true, 0},         {"PEAK", true, false, 0},
        {"DRIVER", true, false, 2},      {"LEAKED", true, false, 0},
        {"ALLOCATIONS", true, false, 3}, {"DRIVER CALLS", true, false, 4},
        {"FAILED", true, false, 1},
    };
    struct job *job = job_create(input->analyses, input->count);
    struct text_table *table;
    char outlier[256];
    int error;

    if (job && job->open)
        columns[1 + JOB_leaked_bytes].name = report_unfreed_column(job->open);
    table = job ? text_table_create(columns, JOB_FIGURE_COUNT + 1, style->columns) : NULL;
    if (job)
        job_rows_emit(job, text_emit, table);
    error = text_table_finish(table, out) < 0 || !job ? -ENOMEM : 0;
    for (size_t figure = 0; error == 0 && figure < JOB_FIGURE_COUNT; figure++) {
        job_outlier_text(job, figure, outlier, sizeof outlier);
        if (*outlier)
            fprintf(out, "%soutlier:%s %s\n", style->colour ? "\033[33m" : "",
                    style->colour ? "\033[0m" : "", outlier);
    }
    if (error == 0 && job->by_order)
        fputs("no ranks recorded: traces are numbered in the order given\n", out);
    job_destroy(job);
    return error;
}

static void markdown_emit(void *state, const char *name, const uint64_t *value)
{
    fprintf(state, "| %s", name);
    for (size_t figure = 0; figure < JOB_FIGURE_COUNT; figure++)
        fprintf(state, " | %s", job_figure_text(figure, value[figure]).text);
    fputs(" |\n", state);
}

int report_markdown_job(const struct report_input *input, FILE *out)
{
    struct job *job = job_create(input->analyses, input->count);
    char outlier[256];

    if (!job)
        return -ENOMEM;
    fputs("## Job\n\n| |", out);
    for (size_t figure = 0; figure < JOB_FIGURE_COUNT; figure++)
        fprintf(out, " %s |", job_figure_help(job, figure));
    fputs("\n|---|", out);
    for (size_t figure = 0; figure < JOB_FIGURE_COUNT; figure++)
        fputs("--:|", out);
    fputc('\n', out);
    job_rows_emit(job, markdown_emit, out);
    fputc('\n', out);
    for (size_t figure = 0; figure < JOB_FIGURE_COUNT; figure++) {
        job_outlier_text(job, figure, outlier, sizeof outlier);
        if (*outlier)
            fprintf(out, "- outlier: %s\n", outlier);
    }
    fputc('\n', out);
    job_destroy(job);
    return 0;
}
