/* SPDX-License-Identifier: MIT */
/*
 * Address map at the peak and at the end: all extents one after another, wrapped into rows,
 * coloured by the sites that requested the blocks.
 *
 * Neighbours are joined until they are wide enough to be seen (a MOST_RUNS-th of the whole). A
 * joined run shows first the bytes of its blocks, in the colour of the largest part, then rounding,
 * then holes, each as wide as its bytes. A run crosses the end of its extent only where extents are
 * that small.
 */
#include "tools/report/html/html_article.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/analysis/address_map.h"
#include "tools/report/html/html_series.h"
#include "tools/report/html/html_table.h"
#include "tools/report/html/html_view.h"
#include "tools/base/units.h"

#define ROW_HEIGHT    20
#define MOST_ROWS     16
#define MOST_RUNS     700
#define COLOURED      (HTML_COLOURS - 1)
#define EXTENTS_SHOWN 200

static const struct {
    const char *name, *nothing;
} moments[ADDRESS_MOMENTS] = {
    [ADDRESS_AT_PEAK] = {"At the peak", "Nothing was in use at an address of the device."},
    [ADDRESS_AT_END] = {"At the end", "Nothing was left when the program ended."},
};

/** Neighbours that are drawn as one. */
struct run {
    uint64_t address, bytes, hole_bytes, waste_bytes;
    uint64_t colour_bytes[HTML_COLOURS];
    size_t blocks, holes;
    uint64_t site; /* of the last block */
};

struct picture {
    const struct analysis *analysis;
    const struct address_map *map;
    uint64_t site[COLOURED]; /* with the most bytes: these have a colour */
    size_t sites;
    uint64_t row_bytes, least_bytes, drawn_bytes, joined_runs, gap_width;
    unsigned rows;
    FILE *out;
};

static unsigned site_colour(const void *context, uint64_t site)
{
    const struct picture *picture = context;

    for (unsigned i = 0; i < picture->sites; i++)
        if (picture->site[i] == site)
            return i + 1;
    return 0;
}

static int compare_sums(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;

    if (left->requested_bytes != right->requested_bytes)
        return left->requested_bytes > right->requested_bytes ? -1 : 1;
    return (left->key > right->key) - (left->key < right->key);
}

static int sites_choose(struct picture *picture)
{
    struct tallies sums = {0};
    bool fine = true;

    for (size_t i = 0; i < picture->map->blocks && fine; i++) {
        struct tally *sum = tallies_get(&sums, picture->map->block[i].site);

        fine = sum;
        if (fine)
            sum->requested_bytes += picture->map->block[i].requested_bytes;
    }
    if (fine && sums.rows)
        qsort(sums.row, sums.rows, sizeof *sums.row, compare_sums);
    for (picture->sites = 0; fine && picture->sites < sums.rows && picture->sites < COLOURED;
         picture->sites++)
        picture->site[picture->sites] = sums.row[picture->sites].key;
    tallies_done(&sums);
    return fine ? 0 : -ENOMEM;
}

/** Draws a rectangle, or several where the run continues in the next row. */
static void rectangles_print(struct picture *picture, const char *classes, uint64_t bytes)
{
    uint64_t begin = picture->drawn_bytes, end = begin + bytes;

    while (begin < end) {
        uint64_t row = begin / picture->row_bytes;
        uint64_t stop = (row + 1) * picture->row_bytes < end ? (row + 1) * picture->row_bytes : end;

        fprintf(picture->out,
                "<rect class=\"%s\" x=\"%.1f\" y=\"%llu\" width=\"%.1f\" height=\"%d\"/>", classes,
                HTML_VIEW_WIDTH * (double)(begin - row * picture->row_bytes) /
                    (double)picture->row_bytes,
                (unsigned long long)row * ROW_HEIGHT,
                HTML_VIEW_WIDTH * (double)(stop - begin) / (double)picture->row_bytes,
                ROW_HEIGHT - 3);
        begin = stop;
    }
    picture->drawn_bytes = end;
}

static void run_name(const struct picture *picture, const struct run *run)
{
    char name[256];

    if (run->blocks + run->holes > 1) {
        fprintf(picture->out, "%s, %s hole%s", unit_blocks(run->blocks).text,
                unit_count(run->holes).text, run->holes == 1 ? "" : "s");
    } else if (run->blocks) {
        report_site_name(picture->analysis, run->site, name, sizeof name);
        html_text(picture->out, name);
    } else {
        fputs("hole", picture->out);
    }
}

/** The colour of most bytes of its blocks. */
static const char *run_class(const struct run *run)
{
    static const char *const classes[HTML_COLOURS] = {"c0", "c1", "c2", "c3",
                                                      "c4", "c5", "c6", "c7"};
    unsigned most = 0;

    for (unsigned i = 1; i < HTML_COLOURS; i++)
        if (run->colour_bytes[i] > run->colour_bytes[most])
            most = i;
    return classes[most];
}

static void run_print(struct picture *picture, struct run *run)
{
    if (!run->bytes)
        return;
    picture->joined_runs += run->blocks + run->holes > 1;
    fputs("<g><title>", picture->out);
    run_name(picture, run);
    fprintf(picture->out, "\n%s at %#llx", unit_bytes(run->bytes).text,
            (unsigned long long)run->address);
    if (run->waste_bytes)
        fprintf(picture->out, ", %s rounding", unit_bytes(run->waste_bytes).text);
    if (run->blocks && run->hole_bytes)
        fprintf(picture->out, ", %s holes", unit_bytes(run->hole_bytes).text);
    fputs("</title>", picture->out);
    rectangles_print(picture, run_class(run), run->bytes - run->waste_bytes - run->hole_bytes);
    rectangles_print(picture, "waste", run->waste_bytes);
    rectangles_print(picture, "hole", run->hole_bytes);
    fputs("</g>\n", picture->out);
    *run = (struct run){0};
}

/** Adds a piece to the run, which is drawn when it is wide enough. */
static void run_add(struct picture *picture, struct run *run, const struct run *piece)
{
    if (piece->bytes >= picture->least_bytes)
        run_print(picture, run);
    if (!run->bytes)
        run->address = piece->address;
    run->bytes += piece->bytes;
    run->hole_bytes += piece->hole_bytes;
    run->waste_bytes += piece->waste_bytes;
    for (unsigned i = 0; i < HTML_COLOURS; i++)
        run->colour_bytes[i] += piece->colour_bytes[i];
    run->blocks += piece->blocks;
    run->holes += piece->holes;
    run->site = piece->site;
    if (run->bytes >= picture->least_bytes)
        run_print(picture, run);
}

/** Addresses of a pool's range without memory: one width for any length. */
static void gap_print(struct picture *picture, const struct address_extent *extent)
{
    fprintf(picture->out, "<g><title>unmapped: no memory\n%s at %#llx, not to scale</title>",
            unit_bytes(extent->gap_bytes).text,
            (unsigned long long)(extent->address - extent->gap_bytes));
    rectangles_print(picture, "gap", picture->gap_width);
    fputs("</g>\n", picture->out);
}

static void extent_print(struct picture *picture, const struct address_extent *extent,
                         struct run *run)
{
    const struct replay_block *block = picture->map->block + extent->first;

    if (extent->gap_bytes) {
        run_print(picture, run);
        gap_print(picture, extent);
    }
    for (size_t i = 0; i <= extent->blocks; i++) {
        uint64_t hole = address_hole_before(picture->map, extent, i);

        if (hole)
            run_add(picture, run,
                    &(struct run){.address = i ? block[i - 1].address + block[i - 1].allocated_bytes
                                               : extent->address,
                                  .bytes = hole,
                                  .hole_bytes = hole,
                                  .holes = 1});
        if (i < extent->blocks) {
            struct run piece = {.address = block[i].address,
                                .bytes = block[i].allocated_bytes,
                                .waste_bytes = block[i].allocated_bytes - block[i].requested_bytes,
                                .blocks = 1,
                                .site = block[i].site};

            piece.colour_bytes[site_colour(picture, block[i].site)] = block[i].allocated_bytes;
            run_add(picture, run, &piece);
        }
    }
    if (extent->bytes >= picture->least_bytes)
        run_print(picture, run);
}

/** Draws the beginnings of extents: a line from top to bottom of a row. */
static void borders_print(const struct picture *picture)
{
    uint64_t begin = 0, last = UINT64_MAX;

    fputs("<path class=\"border\" d=\"", picture->out);
    for (size_t i = 0; i < picture->map->extents; i++) {
        uint64_t row, place;

        begin += picture->map->extent[i].gap_bytes ? picture->gap_width : 0;
        row = begin / picture->row_bytes;
        place = begin / picture->least_bytes;

        if (place != last)
            fprintf(picture->out, "M%.1f %lluv%d",
                    HTML_VIEW_WIDTH * (double)(begin - row * picture->row_bytes) /
                        (double)picture->row_bytes,
                    (unsigned long long)row * ROW_HEIGHT, ROW_HEIGHT - 3);
        last = place;
        begin += picture->map->extent[i].bytes;
    }
    fputs("\"/>\n", picture->out);
}

static void legend_print(const struct picture *picture)
{
    char name[256], classes[24];

    fputs("<p class=\"legend\">", picture->out);
    for (size_t i = 0; i < picture->sites; i++) {
        report_site_name(picture->analysis, picture->site[i], name, sizeof name);
        snprintf(classes, sizeof classes, "c%zu", i + 1);
        html_legend_item(picture->out, classes, name);
    }
    if (picture->sites == COLOURED)
        html_legend_item(picture->out, "c0", "other sites");
    html_legend_item(picture->out, "waste", "rounding");
    html_legend_item(picture->out, "hole", "hole");
    html_legend_item(picture->out, "border",
                     picture->map->segments ? "start of a pool segment or a separate block"
                                            : "start of a separate block");
    if (picture->map->gaps_drawn)
        html_legend_item(picture->out, "gap", "unmapped addresses, not to scale");
    fputs("</p>\n", picture->out);
}

static void summary_print(const struct picture *picture)
{
    const struct address_map *map = picture->map;

    fprintf(picture->out, "<p>%s in %s extent%s", unit_bytes(map->bytes).text,
            unit_count(map->extents).text, map->extents == 1 ? "" : "s");
    fprintf(picture->out, " (pool segments: %s). Allocated: %s in %s; ",
            unit_count(map->segments).text, unit_bytes(map->used_bytes).text,
            unit_blocks(map->blocks).text);
    fprintf(picture->out, "rounding: %s; holes: %s", unit_bytes(map->waste_bytes).text,
            unit_bytes(map->hole_bytes).text);
    if (map->hole_bytes)
        fprintf(picture->out, ", largest %s", unit_bytes(map->hole_most).text);
    fputc('.', picture->out);
    if (map->gaps)
        fprintf(picture->out, " Addresses without memory: %s in %s gap%s.",
                unit_bytes(map->gap_bytes).text, unit_count(map->gaps).text,
                map->gaps == 1 ? "" : "s");
    fputs("</p>\n", picture->out);
}

static void extents_print(const struct html_article *article, const struct address_map *map)
{
    static const char *const columns[] = {"Address",       "Kind",      "#Bytes", "#In use",
                                          "#Blocks",       "#Rounding", "#Holes", "#Free",
                                          "#Largest hole", NULL};
    char address[32];

    fputs("<details><summary>Extents as a table</summary>\n", article->out);
    html_table_begin(article->out, "sortable", "Extents of memory from the driver", columns);
    for (size_t i = 0; i < map->extents && i < EXTENTS_SHOWN; i++) {
        const struct address_extent *extent = &map->extent[i];

        snprintf(address, sizeof address, "%#llx", (unsigned long long)extent->address);
        html_row_begin(article->out);
        html_cell_text(article->out, address);
        html_cell_text(article->out, extent->segment ? "segment" : "block");
        html_cell_bytes(article->out, extent->bytes);
        html_cell_bytes(article->out, extent->used_bytes);
        html_cell_count(article->out, extent->blocks);
        html_cell_bytes(article->out, extent->waste_bytes);
        html_cell_count(article->out, extent->holes);
        html_cell_bytes(article->out, extent->hole_bytes);
        html_cell_bytes(article->out, extent->hole_most);
    }
    html_table_end(article->out);
    if (map->extents > EXTENTS_SHOWN)
        fprintf(article->out, "<p class=\"note\">The first %d of %s.</p>\n", EXTENTS_SHOWN,
                unit_count(map->extents).text);
    fputs("</details>\n", article->out);
}

static void picture_print(struct picture *picture, const char *name)
{
    const struct address_map *map = picture->map;
    struct run run = {0};
    size_t rows = (map->blocks + map->extents) / 4 + map->extents;

    picture->rows = rows < MOST_ROWS ? (unsigned)rows : MOST_ROWS;
    picture->gap_width = address_map_gap_width(map);
    picture->row_bytes = (map->bytes + map->gaps_drawn * picture->gap_width + picture->rows - 1) /
                         picture->rows;
    picture->least_bytes = map->bytes / MOST_RUNS + 1;
    fprintf(picture->out,
            "<div class=\"scroll\"><svg class=\"map\" viewBox=\"0 0 %.0f %u\" role=\"img\" "
            "aria-label=\"%s: blocks and holes by address\">\n",
            HTML_VIEW_WIDTH, picture->rows * ROW_HEIGHT, name);
    for (size_t i = 0; i < map->extents; i++)
        extent_print(picture, &map->extent[i], &run);
    run_print(picture, &run);
    borders_print(picture);
    fputs("</svg></div>\n", picture->out);
    legend_print(picture);
    if (picture->joined_runs)
        fprintf(picture->out,
                "<p class=\"note\">One row is %s. Neighbours below %s are joined and drawn as "
                "blocks, then "
                "rounding, then holes.</p>\n",
                unit_bytes(picture->row_bytes).text, unit_bytes(picture->least_bytes).text);
    else
        fprintf(picture->out, "<p class=\"note\">One row is %s.</p>\n",
                unit_bytes(picture->row_bytes).text);
}

static int moment_print(const struct html_article *article, enum address_moment moment)
{
    const struct analysis *analysis = article->analysis;
    struct address_map map;
    struct picture picture = {.analysis = analysis, .map = &map, .out = article->out};
    int error = address_map_create(&analysis->block_table, &analysis->addresses, moment, &map);

    if (error < 0)
        return error;
    address_map_gaps(&map, &analysis->defragmentation);
    html_view_begin(article->out, moments[moment].name);
    error = sites_choose(&picture);
    if (error == 0 && map.extents) {
        summary_print(&picture);
        picture_print(&picture, moments[moment].name);
        extents_print(article, &map);
        if (moment == ADDRESS_AT_PEAK)
            html_slice_maps_print(article, site_colour, &picture);
    } else if (error == 0) {
        fprintf(article->out, "<p class=\"nothing\">%s</p>\n", moments[moment].nothing);
    }
    html_view_end(article->out);
    address_map_done(&map);
    return error;
}

int html_map_print(const struct html_article *article)
{
    int error = 0;

    html_section_begin(article, "map", "Address map");
    html_views_begin(article->out, "Moment");
    for (int moment = 0; moment < ADDRESS_MOMENTS && error == 0; moment++)
        error = moment_print(article, (enum address_moment)moment);
    html_views_end(article->out);
    html_section_end(article);
    return error;
}
