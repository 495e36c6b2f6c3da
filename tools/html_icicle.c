/* SPDX-License-Identifier: MIT */
/*
 * What was live at the peak as an icicle: the process, below it its libraries, below each its
 * sites, as wide as their bytes. Sites below a thousandth of the whole are joined into one box of
 * their library, and the text says so.
 */
#include "tools/html_article.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/escape.h"
#include "tools/html_table.h"
#include "tools/units.h"

#define WIDTH       1200.0
#define ROW_HEIGHT  30
#define LETTER      7.0 /* width of one, about */
#define COLOURS     8
#define LEAST_PARTS 1000

struct icicle {
    const struct analysis *analysis;
    const struct tally *sites, *libraries; /* sorted */
    size_t site_count, library_count;
    uint64_t total_bytes, joined_sites;
    FILE *out;
};

/** Text cut to a width, at a whole character. */
static void label_print(FILE *out, const char *text, double width)
{
    char cut[256];
    size_t letters = width < 8 * LETTER ? 0 : (size_t)(width / LETTER) - 1, used = 0, count = 0;
    uint32_t character;

    while (text[used] && used < sizeof cut - 8 && count < letters) {
        used += escape_next(text + used, &character);
        count++;
    }
    if (!letters)
        return;
    snprintf(cut, sizeof cut, "%.*s%s", (int)used, text, text[used] ? "\u2026" : "");
    html_text(out, cut);
}

static void box_print(const struct icicle *icicle, unsigned depth, unsigned colour,
                      uint64_t begin_bytes, uint64_t bytes, const char *name)
{
    double x = WIDTH * (double)begin_bytes / (double)icicle->total_bytes;
    double width = WIDTH * (double)bytes / (double)icicle->total_bytes;
    unsigned y = depth * ROW_HEIGHT;

    fprintf(icicle->out, "<g><title>");
    html_text(icicle->out, name);
    fprintf(icicle->out,
            ": %s, %s</title><rect class=\"c%u\" x=\"%.2f\" y=\"%u\" width=\"%.2f\" "
            "height=\"%d\"/><text x=\"%.1f\" y=\"%u\">",
            unit_bytes(bytes).text, unit_percent(bytes, icicle->total_bytes).text, colour, x, y,
            width > 0.3 ? width : 0.3, ROW_HEIGHT - 2, x + 5, y + 19);
    label_print(icicle->out, name, width - 8);
    fputs("</text></g>\n", icicle->out);
}

static uint64_t site_library(const struct analysis *analysis, uint64_t site)
{
    struct trace_site place;

    if (trace_reader_site(analysis->reader, site, &place) < 0 || !place.module)
        return 0;
    return (uint64_t)(uintptr_t)place.module;
}

/** Boxes of the sites of a library, which begins at a byte. */
static void sites_print(struct icicle *icicle, uint64_t library, unsigned colour,
                        uint64_t begin_bytes)
{
    uint64_t joined = 0, joined_bytes = 0;
    char name[256];

    for (size_t i = 0; i < icicle->site_count; i++) {
        const struct tally *site = &icicle->sites[i];
        uint64_t bytes = site->live_bytes.at_peak;

        if (!bytes || site_library(icicle->analysis, site->key) != library)
            continue;
        if (bytes < icicle->total_bytes / LEAST_PARTS) {
            joined++;
            joined_bytes += bytes;
            continue;
        }
        report_site_name(icicle->analysis, site->key, name, sizeof name);
        box_print(icicle, 2, colour, begin_bytes, bytes, name);
        begin_bytes += bytes;
    }
    if (joined) {
        snprintf(name, sizeof name, "%llu others", (unsigned long long)joined);
        box_print(icicle, 2, colour, begin_bytes, joined_bytes, name);
        icicle->joined_sites += joined;
    }
}

static void boxes_print(struct icicle *icicle)
{
    uint64_t begin_bytes = 0;
    char name[256];

    box_print(icicle, 0, 0, 0, icicle->total_bytes, "the program at its peak");
    for (size_t i = 0; i < icicle->library_count; i++) {
        const struct tally *library = &icicle->libraries[i];
        unsigned colour = 1 + (unsigned)i % (COLOURS - 1);

        if (!library->live_bytes.at_peak)
            continue;
        report_row_name(icicle->analysis, REPORT_BY_LIBRARY, library, name, sizeof name);
        box_print(icicle, 1, colour, begin_bytes, library->live_bytes.at_peak, name);
        sites_print(icicle, library->key, colour, begin_bytes);
        begin_bytes += library->live_bytes.at_peak;
    }
}

static void summary_print(const struct icicle *icicle)
{
    const struct tally *first = &icicle->libraries[0];
    char name[256];

    report_row_name(icicle->analysis, REPORT_BY_LIBRARY, first, name, sizeof name);
    fputs("<p>Most of it, ", icicle->out);
    fprintf(icicle->out, "%s, was asked for by ",
            unit_percent(first->live_bytes.at_peak, icicle->total_bytes).text);
    html_text(icicle->out, name);
    fputs(". The tables of sites and libraries have all figures.</p>\n", icicle->out);
}

static void icicle_print(struct icicle *icicle)
{
    summary_print(icicle);
    fprintf(icicle->out,
            "<div class=\"scroll\"><svg class=\"icicle\" viewBox=\"0 0 %.0f %d\" role=\"img\" "
            "aria-label=\"Libraries and "
            "their sites at the peak, as wide as their bytes\">\n",
            WIDTH, 3 * ROW_HEIGHT);
    boxes_print(icicle);
    fputs("</svg></div>\n", icicle->out);
    if (icicle->joined_sites)
        fprintf(icicle->out,
                "<p class=\"note\">%s sites with less than 0.1 %% each are joined.</p>\n",
                unit_count(icicle->joined_sites).text);
}

int html_icicle_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    struct tally *sites = report_rows_sorted(&analysis->sites);
    struct tally *libraries = report_rows_sorted(&analysis->libraries);
    struct icicle icicle = {.analysis = analysis,
                            .sites = sites,
                            .libraries = libraries,
                            .site_count = analysis->sites.rows,
                            .library_count = analysis->libraries.rows,
                            .total_bytes = analysis->requested.peak,
                            .out = article->out};
    int r = (!sites && icicle.site_count) || (!libraries && icicle.library_count) ? -ENOMEM : 0;

    if (r == 0 && icicle.total_bytes && icicle.library_count) {
        html_section_begin(article, "peak", "At the peak");
        icicle_print(&icicle);
        html_section_end(article);
    }
    free(sites);
    free(libraries);
    return r;
}
