/* SPDX-License-Identifier: MIT */
/*
 * Memory by call stack, as icicles: the program on top, below each frame its callees; widths are
 * bytes. One picture for memory live at the peak, one for leaks, one for all bytes.
 *
 * Frames below a thousandth of the whole, or more if needed to keep the picture within MOST_BOXES,
 * are joined into one box of their caller, and a note states it.
 */
#include "tools/report/html/html_article.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/report/html/html_paths.h"
#include "tools/report/html/html_table.h"
#include "tools/report/html/html_view.h"
#include "tools/base/units.h"

#define ROW_HEIGHT  26
#define LEAST_PARTS 1000
#define MOST_BOXES  900

static const struct {
    const char *name, *nothing;
} measures[FLAME_MEASURES] = {
    [FLAME_AT_PEAK] = {"At the peak", "Nothing was in use."},
    [FLAME_LEAKED] = {"Never freed", "All device memory was freed."},
    [FLAME_IN_ALL] = {"All allocations", "Nothing was allocated."},
};

static const char *measure_name(const struct analysis *analysis, enum flame_measure measure)
{
    bool leaks = !analysis->recording.running && !analysis_was_killed(analysis);

    return measure == FLAME_LEAKED && !leaks ? report_unfreed_title(analysis)
                                             : measures[measure].name;
}

struct icicle {
    const struct flame *flame;
    enum flame_measure measure;
    uint64_t total_bytes, least_bytes, joined_nodes;
    FILE *out;
};

/** A frame's place in the picture. */
struct box {
    uint64_t begin_bytes, bytes;
    unsigned depth, colour;
};

static void box_print(const struct icicle *icicle, const struct box *box, const char *name)
{
    double x = HTML_VIEW_WIDTH * (double)box->begin_bytes / (double)icicle->total_bytes;
    double width = HTML_VIEW_WIDTH * (double)box->bytes / (double)icicle->total_bytes;
    unsigned y = box->depth * ROW_HEIGHT;

    fputs("<g><title>", icicle->out);
    html_text(icicle->out, name);
    fprintf(
        icicle->out,
        "\n%s, %s</title><rect class=\"c%u\" x=\"%.3f\" y=\"%u\" width=\"%.3f\" height=\"%d\"/>",
        unit_bytes(box->bytes).text, unit_percent(box->bytes, icicle->total_bytes).text,
        box->colour, x, y, width, ROW_HEIGHT - 2);
    if (html_label_fits(width - 8)) {
        fprintf(icicle->out, "<text x=\"%.1f\" y=\"%u\">", x + 5, y + 17);
        html_label(icicle->out, name, width - 8);
        fputs("</text>", icicle->out);
    }
    fputs("</g>\n", icicle->out);
}

static void joined_print(struct icicle *icicle, const struct box *box, uint64_t nodes)
{
    char name[64];

    if (!box->bytes)
        return;
    snprintf(name, sizeof name, "%s other%s", unit_count(nodes).text, nodes == 1 ? "" : "s");
    box_print(icicle, box, name);
    icicle->joined_nodes += nodes;
}

static void node_print(struct icicle *icicle, uint32_t index, const struct box *box)
{
    const struct flame_node *nodes = icicle->flame->node;
    struct box child = {box->begin_bytes, 0, box->depth + 1, box->colour};
    struct box joined = {0, 0, box->depth + 1, 0};
    uint64_t joined_nodes = 0;

    box_print(icicle, box, nodes[index].name);
    for (uint32_t i = nodes[index].child; i; i = nodes[i].sibling) {
        child.bytes = nodes[i].bytes[icicle->measure];
        if (child.bytes < icicle->least_bytes) {
            joined.bytes += child.bytes;
            joined_nodes += child.bytes != 0;
            continue;
        }
        child.colour = 1 + child.colour % (HTML_COLOURS - 1);
        node_print(icicle, i, &child);
        child.begin_bytes += child.bytes;
    }
    joined.begin_bytes = child.begin_bytes;
    joined_print(icicle, &joined, joined_nodes);
}

static uint64_t least_bytes(const struct flame *flame, enum flame_measure measure)
{
    uint64_t least = flame->node[0].bytes[measure] / LEAST_PARTS + 1;

    while (flame_count(flame, measure, least) > MOST_BOXES)
        least *= 2;
    return least;
}

static unsigned depth_shown(const struct icicle *icicle, uint32_t index)
{
    const struct flame_node *nodes = icicle->flame->node;
    unsigned deepest = 0, depth;

    for (uint32_t i = nodes[index].child; i; i = nodes[i].sibling) {
        uint64_t bytes = nodes[i].bytes[icicle->measure];

        depth = bytes >= icicle->least_bytes ? depth_shown(icicle, i) : bytes ? 1 : 0;
        if (depth > deepest)
            deepest = depth;
    }
    return deepest + 1;
}

/** Names the site with the most bytes. */
static void summary_print(const struct icicle *icicle, const struct analysis *analysis)
{
    const struct tally *most = NULL;
    char name[256];

    for (size_t i = 0; i < analysis->sites.rows; i++)
        if (html_path_bytes(&analysis->sites.row[i], icicle->measure) >
            (most ? html_path_bytes(most, icicle->measure) : 0))
            most = &analysis->sites.row[i];
    if (!most)
        return;
    report_site_name(analysis, most->key, name, sizeof name);
    fprintf(icicle->out, "<p>Total: %s; %s by ", unit_bytes(icicle->total_bytes).text,
            unit_percent(html_path_bytes(most, icicle->measure), icicle->total_bytes).text);
    html_text(icicle->out, name);
    fputs(".</p>\n", icicle->out);
}

static void picture_print(struct icicle *icicle, const struct analysis *analysis)
{
    const struct box root = {0, icicle->total_bytes, 0, 0};

    summary_print(icicle, analysis);
    fprintf(icicle->out,
            "<div class=\"scroll\"><svg class=\"icicle\" data-measure=\"%d\" viewBox=\"0 0 %.0f "
            "%u\" role=\"img\" "
            "aria-label=\"%s: widths of frames are bytes\">\n",
            (int)icicle->measure, HTML_VIEW_WIDTH, depth_shown(icicle, 0) * ROW_HEIGHT,
            measure_name(analysis, icicle->measure));
    node_print(icicle, 0, &root);
    fputs("</svg></div>\n", icicle->out);
    if (icicle->joined_nodes)
        fprintf(icicle->out, "<p class=\"note\">Frames below %s are joined as others: %s.</p>\n",
                unit_bytes(icicle->least_bytes).text, unit_count(icicle->joined_nodes).text);
}

/** Rows of the same frames, indented by their depth. */
static void rows_print(const struct icicle *icicle, uint32_t index, unsigned depth)
{
    const struct flame_node *node = &icicle->flame->node[index];

    html_row_begin(icicle->out);
    fprintf(icicle->out, "<td class=\"d%u\">", depth < 12 ? depth : 12);
    html_text(icicle->out, node->name);
    html_cell_bytes(icicle->out, node->bytes[icicle->measure]);
    html_cell_percent(icicle->out, node->bytes[icicle->measure], icicle->total_bytes);
    for (uint32_t i = node->child; i; i = icicle->flame->node[i].sibling)
        if (icicle->flame->node[i].bytes[icicle->measure] >= icicle->least_bytes)
            rows_print(icicle, i, depth + 1);
}

static int measure_print(const struct html_article *article, struct flame *flame,
                         enum flame_measure measure)
{
    static const char *const columns[] = {"Frame", "#Bytes", "#Share", NULL};
    const char *name = measure_name(article->analysis, measure);
    struct icicle icicle = {.flame = flame,
                            .measure = measure,
                            .total_bytes = flame->node[0].bytes[measure],
                            .out = article->out};

    html_view_begin(article->out, name);
    if (!icicle.total_bytes) {
        fprintf(article->out, "<p>%s</p>\n", measures[measure].nothing);
        html_view_end(article->out);
        return 0;
    }
    if (flame_sort(flame, measure) < 0)
        return -ENOMEM;
    icicle.least_bytes = least_bytes(flame, measure);
    picture_print(&icicle, article->analysis);
    fputs("<details><summary>Frames as a table</summary>\n", article->out);
    html_table_begin(article->out, "frames", name, columns);
    rows_print(&icicle, 0, 0);
    html_table_end(article->out);
    fputs("</details>\n", article->out);
    html_view_end(article->out);
    return 0;
}

static int flame_fill(struct flame *flame, const struct analysis *analysis,
                      const struct html_path_order *order)
{
    static struct html_path path;
    struct frames_budget budget = {0};
    const struct tallies *paths = analysis_paths(analysis);
    int error = flame_create(analysis->command ? analysis->command : "the program", flame);

    for (size_t i = 0; i < paths->rows && error == 0; i++) {
        const struct tally *row = &paths->row[order[i].row];
        uint64_t bytes[FLAME_MEASURES];

        for (int measure = 0; measure < FLAME_MEASURES; measure++)
            bytes[measure] = html_path_bytes(row, (enum flame_measure)measure);
        html_path_find(analysis, html_path_stack(analysis, row->key), &budget, &path);
        error = flame_add(flame, path.frame, path.depth, bytes);
    }
    return error;
}

int html_flame_print(const struct html_article *article)
{
    struct html_path_order *order = html_paths_order(article->analysis);
    struct flame flame = {0};
    int error = order ? flame_fill(&flame, article->analysis, order) : -ENOMEM;

    html_section_begin(article, "flame", "Call stacks");
    html_views_begin(article->out, "Memory shown");
    for (int measure = 0; measure < FLAME_MEASURES && error == 0; measure++)
        error = measure_print(article, &flame, (enum flame_measure)measure);
    html_views_end(article->out);
    if (error == 0)
        error = html_paths_data_print(article, order);
    html_section_end(article);
    free(order);
    flame_done(&flame);
    return error;
}
