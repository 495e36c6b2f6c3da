/* SPDX-License-Identifier: MIT */
/*
 * OpenMetrics text: every figure of the summary, and the figures of sites that a dashboard needs.
 *
 * The standard requires all samples of a metric together, seconds rather than nanoseconds, the unit
 * at the end of the name, and _total for counters. Every sample carries the trace's name and the
 * pid, so several traces are several series. No two samples of a metric may have the same labels:
 * sites that their labels do not tell apart are numbered.
 */
#include "tools/report/report_formats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/escape.h"
#include "tools/base/prometheus_text.h"
#include "tools/report/base/report_figures.h"

#define DEFAULT_TOP 20

static const struct unit {
    const char *name, *ending; /* `ending` of the figure's name gives way to `name` */
    bool sum;
    double scale;
} units[] = {
    [REPORT_COUNT] = {"", "", true, 1},
    [REPORT_LEVEL] = {"", "", false, 1},
    [REPORT_BYTES_SUM] = {"bytes", "_bytes", true, 1},
    [REPORT_BYTES] = {"bytes", "_bytes", false, 1},
    [REPORT_NS_SUM] = {"seconds", "_ns", true, 1e-9},
    [REPORT_NS] = {"seconds", "_ns", false, 1e-9},
};

/** The name of a figure's family, "cupool_site_peak_bytes". */
static void family_name(const char *prefix, const struct report_figure *figure, char *ret_text,
                        size_t text_bytes)
{
    const struct unit *unit = &units[figure->unit];
    size_t stem = strlen(figure->name) - strlen(unit->ending);

    snprintf(ret_text, text_bytes, "%s%.*s%s%s", prefix, (int)stem, figure->name,
             *unit->name ? "_" : "", unit->name);
}

static void family_begin(const char *family, const struct report_figure *figure, FILE *out)
{
    const struct unit *unit = &units[figure->unit];

    fprintf(out, "# TYPE %s %s\n", family, unit->sum ? "counter" : "gauge");
    if (*unit->name)
        fprintf(out, "# UNIT %s %s\n", family, unit->name);
    fprintf(out, "# HELP %s %s.\n", family, figure->help);
}

static void label_print(const char *name, const char *value, FILE *out)
{
    fprintf(out, ",%s=\"", name);
    escape_print(out, ESCAPE_LABEL, value);
    fputc('"', out);
}

/** Name and the labels every sample has; the brace stays open. */
static void sample_begin(const struct report_input *input, size_t i, const char *family,
                         const char *suffix, FILE *out)
{
    fprintf(out, "%s%s{pid=\"%u\"", family, suffix, input->analyses[i]->recording.pid);
    label_print("trace", input->traces[i], out);
}

static void sample_end(const struct report_figure *figure, uint64_t value, FILE *out)
{
    if (units[figure->unit].scale == 1)
        fprintf(out, "} %llu\n", (unsigned long long)value);
    else
        fprintf(out, "} %.9f\n", (double)value * units[figure->unit].scale);
}

static const char *sum_suffix(const struct report_figure *figure)
{
    return units[figure->unit].sum ? "_total" : "";
}

static void process_print(const struct report_input *input, FILE *out)
{
    fputs("# TYPE cupool_process info\n# HELP cupool_process The recorded process.\n", out);
    for (size_t i = 0; i < input->count; i++) {
        const struct analysis *analysis = input->analyses[i];

        sample_begin(input, i, "cupool_process", "_info", out);
        label_print("command", analysis->command, out);
        label_print("cupool", analysis->version, out);
        label_print("complete", analysis->recording.complete ? "true" : "false", out);
        fputs("} 1\n", out);
    }
    fputs("# TYPE cupool_device info\n# HELP cupool_device Devices of the process.\n", out);
    for (size_t i = 0; i < input->count; i++)
        for (size_t j = 0; j < input->analyses[i]->devices; j++) {
            const struct analysis_device *device = &input->analyses[i]->device[j];

            sample_begin(input, i, "cupool_device", "_info", out);
            fprintf(out, ",index=\"%u\"", device->index);
            label_print("name", device->name, out);
            label_print("simulated", device->simulated ? "true" : "false", out);
            fputs("} 1\n", out);
        }
}

static void summary_print(const struct report_input *input, FILE *out)
{
    char family[128];

    for (const struct report_figure *figure = report_summary_figures; figure->name; figure++) {
        family_name("cupool_", figure, family, sizeof family);
        family_begin(family, figure, out);
        for (size_t i = 0; i < input->count; i++) {
            sample_begin(input, i, family, sum_suffix(figure), out);
            sample_end(figure, report_summary_figure(figure, input->analyses[i]), out);
        }
    }
}

static void unaccounted_print(const struct report_input *input, FILE *out)
{
    static const struct report_figure figure = {
        "unaccounted_bytes", REPORT_BYTES,
        "Highest memory in use that the driver reports and the trace does not contain", 0, NULL};
    uint64_t bytes;

    family_begin("cupool_unaccounted_bytes", &figure, out);
    for (size_t i = 0; i < input->count; i++)
        if (driver_view_unaccounted(input->analyses[i], &bytes)) {
            sample_begin(input, i, "cupool_unaccounted_bytes", "", out);
            sample_end(&figure, bytes, out);
        }
}

/** A site, and the labels of all its samples. */
struct site_series {
    const struct tally *row;
    char *labels;
    unsigned part; /* of the sites with these labels, from 1 */
};

struct site_list {
    struct tally *rows;
    struct site_series *series; /* in the order of the rows */
    size_t count;
};

static void site_labels_print(const struct analysis *analysis, uint64_t site, FILE *out)
{
    struct report_place place;

    report_place_find(analysis, site, &place);
    label_print("module", place.site.module, out);
    label_print("function", place.function, out);
    fprintf(out, ",offset=\"%#llx\"", (unsigned long long)place.site.offset);
    if (place.line)
        fprintf(out, ",line=\"%llu\"", (unsigned long long)place.line);
}

/** NULL: out of memory. */
static char *site_labels(const struct analysis *analysis, uint64_t site)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *draft = open_memstream(&text, &bytes);

    if (!draft)
        return NULL;
    site_labels_print(analysis, site, draft);
    if (fclose(draft) != EOF)
        return text;
    free(text);
    return NULL;
}

static int series_compare(const void *a, const void *b)
{
    const struct site_series *left = *(struct site_series *const *)a;
    const struct site_series *right = *(struct site_series *const *)b;
    int order = strcmp(left->labels, right->labels);

    return order ? order : (left > right) - (left < right);
}

/** Numbers those with equal labels. */
static int parts_number(struct site_list *list)
{
    struct site_series **sorted = calloc(list->count + 1, sizeof(void *));

    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < list->count; i++)
        sorted[i] = &list->series[i];
    qsort(sorted, list->count, sizeof(void *), series_compare);
    for (size_t i = 0; i < list->count; i++)
        sorted[i]->part = i && !strcmp(sorted[i]->labels, sorted[i - 1]->labels)
                              ? sorted[i - 1]->part + 1
                              : 1;
    free(sorted);
    return 0;
}

static int site_list_create(const struct analysis *analysis, size_t top, struct site_list *ret_list)
{
    size_t count = analysis->sites.rows < top ? analysis->sites.rows : top;

    *ret_list = (struct site_list){.rows = report_rows_sorted(&analysis->sites),
                                   .series = calloc(count + 1, sizeof *ret_list->series)};
    if ((count && !ret_list->rows) || !ret_list->series)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        ret_list->series[i].row = &ret_list->rows[i];
        ret_list->series[i].labels = site_labels(analysis, ret_list->rows[i].key);
        if (!ret_list->series[i].labels)
            return -ENOMEM;
        ret_list->count++;
    }
    return parts_number(ret_list);
}

static void site_list_done(struct site_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->series[i].labels);
    free(list->series);
    free(list->rows);
}

static void sites_print(const struct report_input *input, const struct site_list *lists, FILE *out)
{
    char family[128];

    for (const struct report_figure *figure = report_tally_figures; figure->name; figure++) {
        family_name("cupool_site_", figure, family, sizeof family);
        family_begin(family, figure, out);
        for (size_t i = 0; i < input->count; i++)
            for (size_t j = 0; j < lists[i].count; j++) {
                const struct site_series *series = &lists[i].series[j];

                sample_begin(input, i, family, sum_suffix(figure), out);
                fputs(series->labels, out);
                if (series->part > 1)
                    fprintf(out, ",part=\"%u\"", series->part);
                sample_end(figure, report_tally_figure(figure, series->row), out);
            }
    }
}

/** Whether a trace is given again: its series are there. */
static bool is_repeated(const struct report_input *input, size_t i)
{
    size_t j = 0;

    while (j < i && strcmp(input->traces[j], input->traces[i]) != 0)
        j++;
    return j < i;
}

static int traces_print(const struct report_input *input, const struct report_style *style,
                        FILE *out)
{
    struct site_list *lists = calloc(input->count + 1, sizeof *lists);
    size_t top = style->top ? style->top : DEFAULT_TOP;
    int error = lists ? 0 : -ENOMEM;

    for (size_t i = 0; i < input->count && error == 0; i++)
        error = site_list_create(input->analyses[i], top, &lists[i]);
    if (error == 0) {
        process_print(input, out);
        summary_print(input, out);
        unaccounted_print(input, out);
        sites_print(input, lists, out);
        fputs("# EOF\n", out);
    }
    for (size_t i = 0; lists && i < input->count; i++)
        site_list_done(&lists[i]);
    free(lists);
    return error;
}

int report_openmetrics_write(const struct report_input *input, const struct report_style *style,
                             FILE *out)
{
    struct analysis **analyses = calloc(input->count + 1, sizeof(void *));
    const char **traces = calloc(input->count + 1, sizeof(void *));
    struct report_input once = {analyses, traces, 0};
    int error = analyses && traces ? 0 : -ENOMEM;

    for (size_t i = 0; i < input->count && error == 0; i++)
        if (!is_repeated(input, i)) {
            analyses[once.count] = input->analyses[i];
            traces[once.count++] = input->traces[i];
        }
    if (error == 0)
        error = traces_print(&once, style, out);
    free(analyses);
    free(traces);
    return error;
}

int report_prometheus_write(const struct report_input *input, const struct report_style *style,
                            FILE *out)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *draft = open_memstream(&text, &bytes);
    int error;

    if (!draft)
        return -ENOMEM;
    error = report_openmetrics_write(input, style, draft);
    if (fclose(draft) == EOF)
        error = -ENOMEM;
    if (error == 0)
        prometheus_text(text, out);
    free(text);
    return error;
}
