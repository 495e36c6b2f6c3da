/* SPDX-License-Identifier: MIT */
/*
 * Memory by site over time: stacked steps; the height is the site's memory when requested memory
 * was highest in each slice of time. Bands have numbers, repeated in the legend, so that colours
 * need not be distinguished.
 */
#include "tools/report/html/html_series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/units.h"
#include "tools/report/html/html_table.h"
#include "tools/report/html/html_view.h"

#define WIDTH      1120.0
#define HEIGHT     240.0
#define LEFT       80.0
#define TOP        10.0
#define BANDS      (HTML_COLOURS - 1)
#define LABEL_HIGH 13.0 /* room that a number needs */

struct band {
    uint64_t key; /* a site; the last band is all others */
    uint64_t bytes[SLICES_MOST];
};

struct stack {
    const struct slices *slices;
    struct band band[BANDS + 1];
    size_t bands;
    uint64_t most_bytes;
    size_t shown; /* slices */
    double slice_width;
    FILE *out;
};

static int compare_peaks(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;

    if (left->live_bytes.peak != right->live_bytes.peak)
        return left->live_bytes.peak > right->live_bytes.peak ? -1 : 1;
    return (left->key > right->key) - (left->key < right->key);
}

/** The sites with the highest values, and the rest as one. */
static void bands_fill(const struct analysis *analysis, const struct tally *rows,
                       struct stack *stack)
{
    const struct slices *slices = analysis->slices;
    struct band *others;

    for (size_t i = 0; i < analysis->sites.rows && stack->bands < BANDS; i++) {
        struct band *band = &stack->band[stack->bands];
        uint32_t row = key_index_find(&analysis->sites.index, rows[i].key);

        if (!rows[i].live_bytes.peak)
            break;
        band->key = rows[i].key;
        for (size_t k = 0; k < slices->count; k++)
            band->bytes[k] = slices_get(slices, k, SLICE_SITES, row).at_peak;
        stack->bands++;
    }
    others = &stack->band[stack->bands];
    for (size_t k = 0; k < slices->count; k++) {
        uint64_t sum = 0, whole = slices->slice[k].peak.requested_bytes;

        for (size_t i = 0; i < stack->bands; i++)
            sum += stack->band[i].bytes[k];
        others->bytes[k] = whole > sum ? whole - sum : 0;
        if (whole > stack->most_bytes)
            stack->most_bytes = whole;
    }
    if (stack->bands == BANDS && analysis->sites.rows > BANDS)
        stack->bands++;
}

static double height_of(const struct stack *stack, uint64_t bytes)
{
    return HEIGHT * (double)bytes / (double)stack->most_bytes;
}

/** The slice in which a band is highest, and the middle of the steps that continue it. */
static size_t label_place(const struct stack *stack, const struct band *band, const double *base,
                          double *ret_middle)
{
    size_t best = 0, longest = 0, length;

    for (size_t i = 0; i < stack->shown; i += length) {
        for (length = 1; i + length < stack->shown && band->bytes[i + length] == band->bytes[i] &&
                         base[i + length] == base[i];)
            length++;
        if (band->bytes[i] > band->bytes[best] ||
            (band->bytes[i] == band->bytes[best] && length > longest)) {
            best = i;
            longest = length;
        }
    }
    *ret_middle = (double)best + (double)longest / 2;
    return best;
}

/** From the bottom line in `base` to the top line, which becomes the next base. */
static void band_print(const struct stack *stack, size_t number, double base[SLICES_MOST])
{
    const struct band *band = &stack->band[number];
    bool others = !band->key && number == BANDS;
    double top[SLICES_MOST], middle;
    size_t place = label_place(stack, band, base, &middle);
    double highest = height_of(stack, band->bytes[place]);

    if (!band->bytes[place])
        return;
    for (size_t i = 0; i < stack->shown; i++)
        top[i] = base[i] - height_of(stack, band->bytes[i]);
    fprintf(stack->out, "<path class=\"band c%zu\" d=\"M%.1f %.1f", others ? 0 : number + 1, LEFT,
            base[0]);
    for (size_t i = 0; i < stack->shown; i++)
        fprintf(stack->out, "V%.1fH%.1f", top[i], LEFT + stack->slice_width * (double)(i + 1));
    for (size_t i = stack->shown; i-- > 0;)
        fprintf(stack->out, "V%.1fH%.1f", base[i], LEFT + stack->slice_width * (double)i);
    fputs("z\"/>\n", stack->out);
    if (highest >= LABEL_HIGH && !others)
        fprintf(stack->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%zu</text>\n",
                LEFT + stack->slice_width * middle, top[place] + highest / 2 + 4, number + 1);
    memcpy(base, top, sizeof top);
}

static void legend_print(const struct html_article *article, const struct stack *stack)
{
    char name[256], text[300], classes[24];

    fputs("<p class=\"legend\">", article->out);
    for (size_t i = 0; i < stack->bands; i++) {
        bool others = i == BANDS;

        report_site_name(article->analysis, stack->band[i].key, name, sizeof name);
        snprintf(text, sizeof text, others ? "other sites" : "%zu  %s", i + 1, name);
        snprintf(classes, sizeof classes, "c%zu", others ? 0 : i + 1);
        html_legend_item(article->out, classes, text);
    }
    fputs("</p>\n", article->out);
}

static void picture_print(const struct html_article *article, struct stack *stack)
{
    const uint64_t end_ns = article->analysis->duration_ns ? article->analysis->duration_ns : 1;
    const struct html_axes axes = {LEFT, TOP, WIDTH, HEIGHT, stack->most_bytes, end_ns};
    double base[SLICES_MOST];

    stack->slice_width = WIDTH * (double)stack->slices->width_ns / (double)end_ns;
    stack->shown = (size_t)(end_ns / stack->slices->width_ns) + 1;
    if (stack->shown > stack->slices->count)
        stack->shown = stack->slices->count;
    for (size_t i = 0; i < stack->shown; i++)
        base[i] = TOP + HEIGHT;
    fprintf(stack->out,
            "<div class=\"scroll\"><svg class=\"stack\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
            "aria-label=\"Requested memory over time by site\" data-left=\"%.0f\" "
            "data-width=\"%.0f\" data-top=\"%.0f\" data-height=\"%.0f\">\n"
            "<clipPath id=\"stack-clip-%zu\"><rect x=\"%.0f\" y=\"0\" width=\"%.0f\" "
            "height=\"%.0f\"/></clipPath>\n",
            LEFT + WIDTH + 20, TOP + HEIGHT + 30, LEFT, WIDTH, TOP, HEIGHT, article->number, LEFT,
            WIDTH, TOP + HEIGHT);
    html_axes_print(stack->out, &axes);
    fprintf(stack->out, "<g clip-path=\"url(#stack-clip-%zu)\">\n", article->number);
    for (size_t i = 0; i < stack->bands; i++)
        band_print(stack, i, base);
    fputs("</g></svg></div>\n", stack->out);
    legend_print(article, stack);
}

int html_stack_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    struct stack *stack;
    struct tally *rows;

    if (!analysis->slices || !analysis->requested.peak)
        return 0;
    stack = calloc(1, sizeof *stack);
    rows = report_rows_sorted(&analysis->sites);
    if (!stack || !rows) {
        free(stack);
        free(rows);
        return -ENOMEM;
    }
    stack->slices = analysis->slices;
    stack->out = article->out;
    qsort(rows, analysis->sites.rows, sizeof *rows, compare_peaks);
    bands_fill(analysis, rows, stack);
    free(rows);
    if (stack->most_bytes) {
        fprintf(article->out,
                "<h3>By site</h3>\n<p>Memory of each site at the peak of each %s.</p>\n",
                unit_duration(analysis->slices->width_ns).text);
        picture_print(article, stack);
    }
    free(stack);
    return 0;
}
