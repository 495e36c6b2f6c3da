/* SPDX-License-Identifier: MIT */
/*
 * Distributions: blocks by size and by lifetime, each by number and by bytes; and the sites with
 * temporary blocks.
 */
#include "tools/report/html/html_article.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/html/html_table.h"
#include "tools/report/html/html_view.h"
#include "tools/base/units.h"

#define ROW_HEIGHT 22
#define NAME_WIDTH 130.0
#define BAR_WIDTH  420.0 /* of each of the two columns */
#define FIGURE     90.0  /* room after a bar for its figure */
#define MOST_ROWS  64

/** One bar for the number and one for the bytes. */
struct bin {
    struct unit_text name;
    uint64_t count, bytes;
};

struct bins {
    struct bin row[MOST_ROWS];
    size_t count;
    uint64_t count_most, bytes_most;
};

static void bin_add(struct bins *bins, struct unit_text name, uint64_t count, uint64_t bytes)
{
    if (bins->count == MOST_ROWS)
        return;
    bins->row[bins->count++] = (struct bin){name, count, bytes};
    if (count > bins->count_most)
        bins->count_most = count;
    if (bytes > bins->bytes_most)
        bins->bytes_most = bytes;
}

static void bar_print(FILE *out, const char *classes, double x, double y, uint64_t value,
                      uint64_t most, const char *figure)
{
    double width = most ? BAR_WIDTH * (double)value / (double)most : 0;

    if (value)
        fprintf(out,
                "<rect class=\"%s\" x=\"%.0f\" y=\"%.0f\" width=\"%.1f\" height=\"%d\"/>"
                "<text x=\"%.1f\" y=\"%.0f\">%s</text>",
                classes, x, y, width > 1 ? width : 1, ROW_HEIGHT - 6, x + width + 6, y + 13,
                figure);
}

static void bins_print(FILE *out, const struct bins *bins, const char *label,
                       const char *const heads[2])
{
    double second = NAME_WIDTH + BAR_WIDTH + FIGURE + 30;

    fprintf(out,
            "<div class=\"scroll\"><svg class=\"bars\" viewBox=\"0 0 %.0f %zu\" role=\"img\" "
            "aria-label=\"%s\">\n<text class=\"head\" x=\"%.0f\" y=\"14\">%s</text>"
            "<text class=\"head\" x=\"%.0f\" y=\"14\">%s</text>\n",
            HTML_VIEW_WIDTH, (bins->count + 1) * ROW_HEIGHT, label, NAME_WIDTH, heads[0], second,
            heads[1]);
    for (size_t i = 0; i < bins->count; i++) {
        const struct bin *bin = &bins->row[i];
        double y = (double)(i + 1) * ROW_HEIGHT;

        fprintf(out, "<g><title>%s\n%s, %s</title>", bin->name.text, unit_blocks(bin->count).text,
                unit_bytes(bin->bytes).text);
        fprintf(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%s</text>", NAME_WIDTH - 10,
                y + 13, bin->name.text);
        bar_print(out, "requested", NAME_WIDTH, y, bin->count, bins->count_most,
                  unit_count(bin->count).text);
        bar_print(out, "allocated", second, y, bin->bytes, bins->bytes_most,
                  unit_bytes(bin->bytes).text);
        fputs("</g>\n", out);
    }
    fputs("</svg></div>\n", out);
}

static int compare_keys(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;

    return (left->key > right->key) - (left->key < right->key);
}

int html_size_bars_print(const struct html_article *article)
{
    static const char *const heads[] = {"Allocations", "Bytes in use at the peak"};
    const struct tallies *sizes = &article->analysis->sizes;
    struct tally *rows = report_rows_sorted(sizes);
    struct bins bins = {0};

    if (!rows)
        return sizes->rows ? -ENOMEM : 0;
    qsort(rows, sizes->rows, sizeof *rows, compare_keys);
    for (size_t i = 0; i < sizes->rows; i++) {
        struct unit_text name;

        report_row_name(article->analysis, REPORT_BY_SIZE, &rows[i], name.text, sizeof name.text);
        bin_add(&bins, name, rows[i].allocations, rows[i].live_bytes.at_peak);
    }
    bins_print(article->out, &bins, "Allocations, and bytes at the peak, by size", heads);
    free(rows);
    return 0;
}

static struct unit_text lifetime_name(size_t row)
{
    uint64_t ns = lifetime_class_ns(row), unit = 1;
    static const char *const units[] = {"ns", "us", "ms", "s"};
    struct unit_text text;
    size_t i = 0;

    if (row + 1 == LIFETIME_CLASSES) {
        text = lifetime_name(row - 1);
        memmove(text.text, text.text + strlen("up to "), sizeof text.text - strlen("up to "));
        snprintf(text.text + strlen(text.text), 8, " +");
        return text;
    }
    for (; i < 3 && ns / unit >= 1000; i++)
        unit *= 1000;
    snprintf(text.text, sizeof text.text, "up to %llu %s", (unsigned long long)(ns / unit),
             units[i]);
    return text;
}

/** Classes from the first to the last nonempty one; one for blocks that never ended. */
static void lifetime_bins(const struct analysis *analysis, struct bins *ret_bins)
{
    const struct lifetime_class *row = analysis->lifetimes.row;
    struct unit_text name = {"never freed"};
    size_t first = 0, end = LIFETIME_CLASSES;

    while (end && !row[end - 1].blocks)
        end--;
    while (first < end && !row[first].blocks)
        first++;
    for (size_t i = first; i < end; i++)
        bin_add(ret_bins, lifetime_name(i), row[i].blocks, row[i].bytes);
    if (analysis->total.leaked_blocks)
        bin_add(ret_bins, name, analysis->total.leaked_blocks, analysis->total.leaked_bytes);
}

static void lifetimes_table(const struct html_article *article, const struct bins *bins)
{
    static const char *const columns[] = {"Lifetime", "#Blocks", "#Share", "#Bytes", NULL};
    const struct tally *total = &article->analysis->total;

    fputs("<details><summary>Lifetimes as a table</summary>\n", article->out);
    html_table_begin(article->out, "parts", "Blocks by time from allocation to free", columns);
    for (size_t i = 0; i < bins->count; i++) {
        html_row_begin(article->out);
        html_cell_text(article->out, bins->row[i].name.text);
        html_cell_count(article->out, bins->row[i].count);
        html_cell_percent(article->out, bins->row[i].count, total->allocations);
        html_cell_bytes(article->out, bins->row[i].bytes);
    }
    html_table_end(article->out);
    fputs("</details>\n", article->out);
}

static int compare_temporaries(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;

    if (left->temporaries != right->temporaries)
        return left->temporaries > right->temporaries ? -1 : 1;
    return tally_compare(a, b);
}

static int temporaries_print(const struct html_article *article)
{
    static const char *const columns[] = {"Site",        "#Temporary",   "#Share of its blocks",
                                          "#Per second", "#Total bytes", "#Mean lifetime",
                                          NULL};
    const struct analysis *analysis = article->analysis;
    struct tally *rows = report_rows_sorted(&analysis->sites);
    double seconds = (double)analysis->duration_ns / 1e9;

    if (!rows)
        return analysis->sites.rows ? -ENOMEM : 0;
    qsort(rows, analysis->sites.rows, sizeof *rows, compare_temporaries);
    fputs("<h3>Temporary blocks</h3>\n", article->out);
    fprintf(article->out,
            "<p>Freed before %d more were allocated: %s, %s of all. Keeping a buffer would save "
            "these calls.</p>\n",
            LIFETIME_TEMPORARY, unit_blocks(analysis->total.temporaries).text,
            unit_percent(analysis->total.temporaries, analysis->total.allocations).text);
    if (analysis->total.temporaries) {
        html_table_begin(article->out, "sortable", "Temporary blocks by site", columns);
        for (size_t i = 0; i < analysis->sites.rows && i < article->top; i++) {
            const struct tally *row = &rows[i];

            if (!row->temporaries)
                break;
            html_row_begin(article->out);
            html_cell_site(article, row->key);
            html_cell_count(article->out, row->temporaries);
            html_cell_percent(article->out, row->temporaries, row->allocations);
            html_cell_count(article->out,
                            seconds > 0 ? (uint64_t)((double)row->temporaries / seconds) : 0);
            html_cell_bytes(article->out, row->temporary_bytes);
            html_cell_duration(article->out, row->frees ? row->lifetime_ns / row->frees : 0);
        }
        html_table_end(article->out);
    }
    free(rows);
    return 0;
}

int html_lifetimes_print(const struct html_article *article)
{
    static const char *const heads[] = {"Blocks", "Bytes"};
    const struct analysis *analysis = article->analysis;
    size_t median = lifetimes_median(&analysis->lifetimes);
    struct bins bins = {0};
    int error = 0;

    html_section_begin(article, "lifetimes", "Lifetimes");
    lifetime_bins(analysis, &bins);
    if (analysis->lifetimes.blocks)
        fprintf(article->out, "<p>Freed: %s; median lifetime: %s.</p>\n",
                unit_blocks(analysis->lifetimes.blocks).text, lifetime_name(median).text);
    else
        fputs("<p>No block was freed.</p>\n", article->out);
    if (bins.count) {
        bins_print(article->out, &bins, "Blocks and their bytes by lifetime", heads);
        lifetimes_table(article, &bins);
        error = temporaries_print(article);
    }
    html_section_end(article);
    return error;
}
