/* SPDX-License-Identifier: MIT */
#include "tools/report/html/html_series.h"

#include "tools/base/units.h"
#include "tools/report/html/html_table.h"

#define FIGURES 9

static void number_print(FILE *out, uint64_t value)
{
    char text[16], *digit = text + sizeof text;

    *--digit = '\0';
    do {
        *--digit = "0123456789abcdefghijklmnopqrstuvwxyz"[value % 36];
        value /= 36;
    } while (value);
    fputs(digit, out);
}

void html_series_print(FILE *out, const uint64_t *values, size_t count)
{
    for (size_t i = 0, same; i < count; i += same) {
        for (same = 1; i + same < count && values[i + same] == values[i];)
            same++;
        if (i)
            fputc(',', out);
        number_print(out, values[i]);
        if (same > 1) {
            fputc('*', out);
            number_print(out, same);
        }
    }
}

/** In the order of the columns of html_breakdowns.c. */
static void figures_list(const struct slice_figures *figures, uint64_t ret_values[FIGURES])
{
    const uint64_t values[FIGURES] = {
        figures->at_peak,         figures->peak, figures->allocations, figures->frees,
        figures->requested_bytes, figures->hits, figures->failures,    figures->leaked_bytes,
        figures->longest_ns};

    for (int i = 0; i < FIGURES; i++)
        ret_values[i] = values[i];
}

void html_row_begin_sliced(const struct html_article *article, enum slice_table table,
                           const struct tallies *tallies, uint64_t key)
{
    const struct slices *slices = article->analysis->slices;
    uint32_t row = slices ? key_index_find(&tallies->index, key) : KEY_INDEX_NONE;
    uint64_t values[FIGURES][SLICES_MOST], figures[FIGURES];

    fputs("\n<tr", article->out);
    if (row != KEY_INDEX_NONE) {
        for (size_t i = 0; i < slices->count; i++) {
            const struct slice_figures found = slices_get(slices, i, table, row);

            figures_list(&found, figures);
            for (int k = 0; k < FIGURES; k++)
                values[k][i] = figures[k];
        }
        fputs(" data-s=\"", article->out);
        for (int k = 0; k < FIGURES; k++) {
            fputs(k ? ";" : "", article->out);
            html_series_print(article->out, values[k], slices->count);
        }
        fputc('"', article->out);
    }
    fputc('>', article->out);
}

void html_slices_print(const struct html_article *article)
{
    static const char *const columns[] = {"#Begin",
                                          "#End",
                                          "#Time of peak",
                                          "#Peak",
                                          "#Allocated",
                                          "#From the driver",
                                          "#Driver peak",
                                          "#Allocations",
                                          "#Hits",
                                          "#Frees",
                                          "#Calls without pool",
                                          "#Driver calls",
                                          "#Never freed",
                                          "#Blocks never freed",
                                          "#Failed",
                                          "#Invalid frees",
                                          NULL};
    const struct slices *slices = article->analysis->slices;
    const uint64_t end_ns = article->analysis->duration_ns;
    FILE *out = article->out;

    if (!slices)
        return;
    fprintf(out, "<details><summary>Slices of time (%zu)</summary>\n", slices->count);
    html_table_begin(out, "slices",
                     "Equal slices of the run; memory never freed counts in the slice that "
                     "allocated it",
                     columns);
    for (size_t i = 0; i < slices->count && i * slices->width_ns <= end_ns; i++) {
        const struct slice *slice = &slices->slice[i];
        const struct slice_figures total = slices_get(slices, i, SLICE_TOTAL, 0);
        uint64_t begin_ns = i * slices->width_ns, last_ns = begin_ns + slices->width_ns;

        html_row_begin(out);
        html_cell_duration(out, begin_ns);
        html_cell_duration(out, last_ns < end_ns ? last_ns : end_ns);
        html_cell_duration(out, slice->peak.time_ns);
        html_cell_bytes(out, slice->peak.requested_bytes);
        html_cell_bytes(out, slice->peak.allocated_bytes);
        html_cell_bytes(out, slice->peak.driver_bytes);
        html_cell_bytes(out, slice->driver_most);
        html_cell_count(out, total.allocations);
        html_cell_count(out, total.hits);
        html_cell_count(out, total.frees);
        html_cell_count(out, slice->calls_asked);
        html_cell_count(out, slice->calls_driver);
        html_cell_bytes(out, total.leaked_bytes);
        html_cell_count(out, total.leaked_blocks);
        html_cell_count(out, total.failures);
        html_cell_count(out, slice->invalid_frees);
    }
    html_table_end(out);
    fputs("</details>\n", out);
}

static void runs_print(FILE *out, const struct slice *slice,
                       unsigned (*colour)(const void *context, uint64_t site), const void *context)
{
    uint64_t next = 0; /* an address equal to the end of the previous run is omitted */

    for (size_t i = 0; i < slice->runs; i++) {
        const struct slice_run *run = &slice->run[i];
        const uint64_t values[] = {run->address == next ? 0 : run->address,
                                   run->bytes,
                                   run->waste_bytes,
                                   run->hole_bytes,
                                   run->blocks,
                                   run->holes};

        next = run->gap ? 0 : run->address + run->bytes;
        fputs(i ? "," : "", out);
        if (run->gap)
            fputs("g", out);
        else
            fprintf(out, "%s%u", run->begins ? "b" : "r", colour(context, run->site));
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            fputc(':', out);
            if (values[k])
                number_print(out, values[k]);
        }
    }
}

static bool runs_equal(const struct slice *a, const struct slice *b)
{
    if (a->mapped != b->mapped || a->runs != b->runs)
        return false;
    for (size_t i = 0; i < a->runs; i++) {
        const struct slice_run *left = &a->run[i], *right = &b->run[i];

        if (left->address != right->address || left->bytes != right->bytes ||
            left->waste_bytes != right->waste_bytes || left->hole_bytes != right->hole_bytes ||
            left->site != right->site || left->blocks != right->blocks ||
            left->begins != right->begins)
            return false;
    }
    return true;
}

void html_slice_maps_print(const struct html_article *article,
                           unsigned (*colour)(const void *context, uint64_t site),
                           const void *context)
{
    const struct slices *slices = article->analysis->slices;

    if (!slices)
        return;
    fputs("<div class=\"slice-maps\" hidden>", article->out);
    for (size_t i = 0; i < slices->count; i++) {
        const struct slice *slice = &slices->slice[i];

        fputs("\n<i data-m=\"", article->out);
        if (!slice->mapped)
            fputc('?', article->out);
        else if (i && runs_equal(slice, slice - 1))
            fputc('=', article->out);
        else
            runs_print(article->out, slice, colour, context);
        fputs("\"></i>", article->out);
    }
    fputs("</div>\n", article->out);
}
