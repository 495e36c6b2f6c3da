/* SPDX-License-Identifier: MIT */
/*
 * Levels over time. The picture has a step line for each level over the points of the timeline, so
 * it shows every peak; phases are shaded, failures marked. The tables below it hold the same
 * points, phases and marks; the script draws its chart from them.
 */
#include "tools/report/html/html_article.h"

#include "tools/report/html/html_series.h"
#include "tools/report/html/html_table.h"
#include "tools/report/html/html_view.h"
#include "tools/base/units.h"

#define WIDTH  1120.0 /* of the plot, in user units of the SVG */
#define HEIGHT 260.0
#define LEFT   80.0 /* room for the labels */
#define TOP    10.0

#define PHASES_NAMED 14 /* in the legend */

/** The levels in drawing order, the widest first; classes name their colours. */
static const struct level_line {
    const char *name, *classes;
    size_t offset; /* in struct timeline_point */
} lines[] = {
    {"driver", "line-key driver", offsetof(struct timeline_point, driver_bytes)},
    {"reserved", "line-key reserved", offsetof(struct timeline_point, reserved_bytes)},
    {"allocated", "line-key allocated", offsetof(struct timeline_point, allocated_bytes)},
    {"requested", "line-key requested", offsetof(struct timeline_point, requested_bytes)},
};

#define LINES (sizeof lines / sizeof *lines)

struct plot {
    const struct timeline_point *points;
    size_t count;
    uint64_t end_ns, most_bytes;
    FILE *out;
};

static uint64_t level_bytes(const struct timeline_point *point, const struct level_line *line)
{
    return *(const uint64_t *)((const char *)point + line->offset);
}

static double plot_x(const struct plot *plot, uint64_t time_ns)
{
    return LEFT + WIDTH * (double)time_ns / (double)plot->end_ns;
}

static double plot_y(const struct plot *plot, uint64_t bytes)
{
    return TOP + HEIGHT - HEIGHT * (double)bytes / (double)plot->most_bytes;
}

static void line_print(const struct plot *plot, const struct level_line *line)
{
    fprintf(plot->out, "<path class=\"line %s\" d=\"M%.1f %.1f", line->name, LEFT, TOP + HEIGHT);
    for (size_t i = 0; i < plot->count; i++)
        fprintf(plot->out, "H%.1fV%.1f", plot_x(plot, plot->points[i].time_ns),
                plot_y(plot, level_bytes(&plot->points[i], line)));
    fprintf(plot->out, "H%.1f\"/>\n", LEFT + WIDTH);
}

/** Colour of a phase, the same in the script. */
static unsigned phase_colour(size_t phase)
{
    return 1 + (unsigned)phase % (HTML_COLOURS - 1);
}

static void spans_draw(const struct plot *plot, const struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->spans; i++) {
        const struct analysis_span *span = &analysis->span[i];
        double x = plot_x(plot, span->begin_ns), width = plot_x(plot, span->end_ns) - x;

        fprintf(plot->out,
                "<rect class=\"phase c%u\" x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" "
                "height=\"%.0f\"><title>",
                phase_colour(span->phase), x, TOP, width > 0.5 ? width : 0.5, HEIGHT);
        html_text(plot->out, analysis->phase[span->phase].name);
        fputs("</title></rect>\n", plot->out);
    }
}

static void failures_draw(const struct plot *plot, const struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->total.failures && i < ANALYSIS_FAILURES; i++)
        fprintf(plot->out,
                "<path class=\"failure\" d=\"M%.1f %.1fl-5 -9h10z\"><title>failed: "
                "%s</title></path>\n",
                plot_x(plot, analysis->failure[i].time_ns), TOP + 9,
                unit_bytes(analysis->failure[i].request_bytes).text);
}

static void peak_print(const struct plot *plot, const struct analysis *analysis)
{
    double x = plot_x(plot, analysis->peak_time_ns);

    fprintf(plot->out,
            "<path class=\"peak\" d=\"M%.1f %.1fv%.1f\"/>"
            "<circle class=\"peak\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n",
            x, TOP, HEIGHT, x, plot_y(plot, analysis->requested.peak));
}

static void picture_print(const struct html_article *article, const struct plot *plot)
{
    const struct analysis *analysis = article->analysis;
    const struct html_axes axes = {LEFT, TOP, WIDTH, HEIGHT, plot->most_bytes, plot->end_ns};

    fprintf(
        plot->out,
        "<div class=\"chart\" data-peak=\"%llu\" data-end=\"%llu\" data-span=\"%llu\">"
        "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"Device memory over time: peak "
        "%s after %s\">\n",
        (unsigned long long)analysis->peak_time_ns, (unsigned long long)plot->end_ns,
        (unsigned long long)analysis->timeline.span_ns, LEFT + WIDTH + 20, TOP + HEIGHT + 30,
        unit_bytes(analysis->requested.peak).text, unit_duration(analysis->peak_time_ns).text);
    spans_draw(plot, analysis);
    html_axes_print(plot->out, &axes);
    for (size_t i = 0; i < LINES; i++)
        line_print(plot, &lines[i]);
    peak_print(plot, analysis);
    failures_draw(plot, analysis);
    fputs("</svg></div>\n", plot->out);
}

static void legend_print(const struct plot *plot, const struct analysis *analysis)
{
    char classes[16];

    fputs("<p class=\"legend\">", plot->out);
    for (size_t i = LINES; i-- > 0;)
        html_legend_item(plot->out, lines[i].classes, lines[i].name);
    if (analysis->total.failures)
        html_legend_item(plot->out, "failure", "failed allocation");
    for (size_t i = 0; i < analysis->phases && i < PHASES_NAMED; i++) {
        if (!analysis->phase[i].span)
            continue;
        snprintf(classes, sizeof classes, "c%u", phase_colour(i));
        html_legend_item(plot->out, classes, analysis->phase[i].name);
    }
    fputs("</p>\n<p class=\"range\" aria-live=\"polite\"></p>\n", plot->out);
}

static void spans_print(const struct plot *plot, const struct analysis *analysis)
{
    static const char *const columns[] = {"Phase", "#Begin", "#End", NULL};

    if (!analysis->spans)
        return;
    fprintf(plot->out, "<details><summary>Phases over time (%zu)</summary>\n", analysis->spans);
    html_table_begin(plot->out, "spans",
                     analysis->spans_close_ns
                         ? "Begin and end of phases; phases in close succession are merged"
                         : "Begin and end of phases",
                     columns);
    for (size_t i = 0; i < analysis->spans; i++) {
        const struct analysis_span *span = &analysis->span[i];

        html_row_begin(plot->out);
        fprintf(plot->out, "<td class=\"c%u\">", phase_colour(span->phase));
        html_text(plot->out, analysis->phase[span->phase].name);
        html_cell_duration(plot->out, span->begin_ns);
        html_cell_duration(plot->out, span->end_ns);
    }
    html_table_end(plot->out);
    fputs("</details>\n", plot->out);
}

static void failures_print(const struct html_article *article)
{
    static const char *const columns[] = {"#Time", "#Request", "Site", NULL};
    const struct analysis *analysis = article->analysis;

    if (!analysis->total.failures)
        return;
    fputs("<details><summary>Failed allocations</summary>\n", article->out);
    html_table_begin(article->out, "failures", "Failed allocations (at most the first 100)",
                     columns);
    for (size_t i = 0; i < analysis->total.failures && i < ANALYSIS_FAILURES; i++) {
        html_row_begin(article->out);
        html_cell_duration(article->out, analysis->failure[i].time_ns);
        html_cell_bytes(article->out, analysis->failure[i].request_bytes);
        html_cell_site(article, analysis->failure[i].site);
    }
    html_table_end(article->out);
    fputs("</details>\n", article->out);
}

static void points_print(const struct plot *plot)
{
    static const char *const columns[] = {"#Time",     "#Requested", "#Allocated",
                                          "#Reserved", "#Driver",    NULL};

    fprintf(plot->out, "<details><summary>Points of the chart (%zu)</summary>\n", plot->count);
    html_table_begin(plot->out, "points", "Device memory over time", columns);
    for (size_t i = 0; i < plot->count; i++) {
        html_row_begin(plot->out);
        html_cell_duration(plot->out, plot->points[i].time_ns);
        for (size_t j = LINES; j-- > 0;)
            html_cell_bytes(plot->out, level_bytes(&plot->points[i], &lines[j]));
    }
    html_table_end(plot->out);
    fputs("</details>\n", plot->out);
}

/** End of the axis; never 0. */
static uint64_t bytes_most(const struct analysis *analysis)
{
    uint64_t most = analysis->driver.peak;

    if (analysis->allocated.peak > most)
        most = analysis->allocated.peak;
    if (analysis->requested.peak > most)
        most = analysis->requested.peak;
    return most ? most : 1;
}

int html_chart_print(const struct html_article *article)
{
    static struct timeline_point points[TIMELINE_POINTS];
    const struct analysis *analysis = article->analysis;
    const struct plot plot = {.points = points,
                              .count = timeline_points(&analysis->timeline, points),
                              .end_ns = analysis->duration_ns ? analysis->duration_ns : 1,
                              .most_bytes = bytes_most(analysis),
                              .out = article->out};
    char text[256];
    int error;

    if (!plot.count) {
        snprintf(text, sizeof text, "%s.", report_no_memory(&analysis->recording));
        html_section_empty(article, "time", "Over time", text);
        return 0;
    }
    html_section_begin(article, "time", "Over time");
    fprintf(
        article->out,
        "<p>Requested memory peaked at %s after %s, with %s held from the driver. The chart shows "
        "the highest, the lowest and the last moment of each %s.</p>\n",
        unit_bytes(analysis->requested.peak).text, unit_duration(analysis->peak_time_ns).text,
        unit_bytes(analysis->driver.at_peak).text, unit_duration(analysis->timeline.span_ns).text);
    picture_print(article, &plot);
    legend_print(&plot, analysis);
    error = html_stack_print(article);
    points_print(&plot);
    html_slices_print(article);
    spans_print(&plot, analysis);
    failures_print(article);
    html_section_end(article);
    return error;
}
