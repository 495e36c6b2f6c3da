/* SPDX-License-Identifier: MIT */
/*
 * The table of all ranks, and the outliers among them.
 */
#include "tools/report/html/html_job.h"

#include <errno.h>
#include <stdio.h>

#include "tools/analysis/job.h"
#include "tools/report/base/job_rows.h"
#include "tools/report/html/html_table.h"

static void html_emit(void *state, const char *name, const uint64_t *value)
{
    html_row_begin(state);
    html_cell_text(state, name);
    for (size_t figure = 0; figure < JOB_FIGURE_COUNT; figure++)
        if (job_figure_rows[figure].is_bytes)
            html_cell_bytes(state, value[figure]);
        else
            html_cell_count(state, value[figure]);
}

int html_job_print(const struct report_input *input, FILE *out)
{
    const char *columns[] = {
        "Rank",    "#Peak", "#Peak from the driver", "#Leaked", "#Allocations", "#Driver calls",
        "#Failed", NULL};
    struct job *job = job_create(input->analyses, input->count);
    char outlier[256], unfreed[32];

    if (!job)
        return -ENOMEM;
    if (job->open) {
        snprintf(unfreed, sizeof unfreed, "#%s", report_unfreed_heading(job->open));
        columns[1 + JOB_leaked_bytes] = unfreed;
    }
    fputs("<section id=\"job\"><h2>Job</h2>\n", out);
    for (size_t figure = 0; figure < JOB_FIGURE_COUNT; figure++) {
        job_outlier_text(job, figure, outlier, sizeof outlier);
        if (!*outlier)
            continue;
        fputs("<p class=\"banner\" role=\"note\"><strong>Outlier:</strong> ", out);
        html_text(out, outlier);
        fputs("</p>\n", out);
    }
    html_table_begin(out, "sortable", "All ranks", columns);
    job_rows_emit(job, html_emit, out);
    html_table_end(out);
    fputs("</section>\n", out);
    job_destroy(job);
    return 0;
}
