/* SPDX-License-Identifier: MIT */
/*
 * What was live at the peak as an icicle: the process, below it the outermost frames of its stacks
 * with a box for each module they enter, and so on inwards, as wide as their bytes. Boxes below a
 * thousandth of the whole are joined into one, and the text says so.
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
    const struct tally *libraries; /* sorted */
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

/** The text of one level of a stack, and the module it is of. */
struct level_name {
    char *text;
    const char *module;
};

/** A stack that was live at the peak, outermost frame first. */
struct path {
    struct level_name *level;
    size_t levels;
    uint64_t bytes;
};

/** Stacks that begin alike. */
struct group {
    size_t begin, end; /* of the sorted paths */
    uint64_t bytes;
};

static int path_compare(const void *a, const void *b)
{
    const struct path *left = a, *right = b;

    for (size_t i = 0; i < left->levels && i < right->levels; i++) {
        int order = strcmp(left->level[i].text, right->level[i].text);

        if (order)
            return order;
    }
    return (left->levels > right->levels) - (left->levels < right->levels);
}

static int group_compare(const void *a, const void *b)
{
    const struct group *left = a, *right = b;

    if (left->bytes != right->bytes)
        return left->bytes > right->bytes ? -1 : 1;
    return (left->begin > right->begin) - (left->begin < right->begin);
}

static bool path_extend(struct path *path, const char *text, const char *module)
{
    path->level[path->levels].text = strdup(text);
    path->level[path->levels].module = module;
    return path->level[path->levels++].text != NULL;
}

static bool path_create(const struct icicle *icicle, const struct tally *stack,
                        struct path *ret_path)
{
    struct frame frames[FRAMES_MOST];
    size_t count = frames_get(icicle->analysis->reader, stack->key, frames, FRAMES_MOST);
    const char *module = NULL;
    char text[256];
    bool fine = true;

    *ret_path = (struct path){.bytes = stack->live_bytes.at_peak};
    ret_path->level = calloc(2 * count + 1, sizeof *ret_path->level);
    if (!ret_path->level)
        return false;
    if (!count)
        return path_extend(ret_path, "unknown", "");
    for (size_t i = count; i-- > 0 && fine;) {
        const char *file = frames[i].site.module ? frame_file_name(frames[i].site.module)
                                                 : "no module";

        /* A module stands once before its functions. */
        if (!module || strcmp(file, module) != 0)
            fine = path_extend(ret_path, file, file);
        module = file;
        frame_text(&frames[i], text, sizeof text);
        fine = fine && path_extend(ret_path, text, file);
    }
    return fine;
}

static void paths_free(struct path *paths, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t level = 0; level < paths[i].levels; level++)
            free(paths[i].level[level].text);
        free(paths[i].level);
    }
    free(paths);
}

/** One colour for each module, the same in every report. */
static unsigned colour_of(const char *module)
{
    unsigned hash = 5381;

    for (; *module; module++)
        hash = hash * 33 + (unsigned char)*module;
    return 1 + hash % (COLOURS - 1);
}

/** Groups of the paths from `begin` on that go on to a level; free() them. */
static struct group *groups_find(const struct path *paths, size_t begin, size_t end, size_t level,
                                 size_t *ret_count)
{
    struct group *groups = calloc(end - begin + 1, sizeof *groups);
    size_t count = 0;

    for (size_t i = begin; groups && i < end; i++) {
        struct group *last = count ? &groups[count - 1] : NULL;

        if (paths[i].levels <= level)
            continue;
        if (!last || strcmp(paths[last->begin].level[level].text, paths[i].level[level].text) != 0)
            groups[count++] = (struct group){i, i + 1, paths[i].bytes};
        else
            *last = (struct group){last->begin, i + 1, last->bytes + paths[i].bytes};
    }
    if (groups)
        qsort(groups, count, sizeof *groups, group_compare);
    *ret_count = count;
    return groups;
}

/** The boxes of a level and all below; those too narrow to see are joined. */
static int levels_print(struct icicle *icicle, const struct path *paths, struct group whole,
                        size_t level, uint64_t begin_bytes)
{
    size_t count;
    struct group *groups = groups_find(paths, whole.begin, whole.end, level, &count);
    uint64_t joined = 0, joined_bytes = 0;
    char name[64];
    int r = groups ? 0 : -ENOMEM;

    for (size_t i = 0; i < count && r == 0; i++) {
        const struct level_name *here = &paths[groups[i].begin].level[level];

        if (groups[i].bytes < icicle->total_bytes / LEAST_PARTS) {
            joined += groups[i].end - groups[i].begin;
            joined_bytes += groups[i].bytes;
            continue;
        }
        box_print(icicle, (unsigned)level + 1, colour_of(here->module), begin_bytes,
                  groups[i].bytes, here->text);
        r = levels_print(icicle, paths, groups[i], level + 1, begin_bytes);
        begin_bytes += groups[i].bytes;
    }
    if (joined && r == 0) {
        snprintf(name, sizeof name, "%llu others", (unsigned long long)joined);
        box_print(icicle, (unsigned)level + 1, 0, begin_bytes, joined_bytes, name);
        icicle->joined_sites += joined;
    }
    free(groups);
    return r;
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

static int icicle_print(struct icicle *icicle, const struct path *paths, size_t count)
{
    size_t levels = 0;
    int r;

    for (size_t i = 0; i < count; i++)
        levels = paths[i].levels > levels ? paths[i].levels : levels;
    summary_print(icicle);
    fprintf(icicle->out,
            "<div class=\"scroll\"><svg class=\"icicle\" viewBox=\"0 0 %.0f %zu\" role=\"img\" "
            "aria-label=\"Calling stacks at the peak, outermost first, as wide as their bytes\">\n",
            WIDTH, (levels + 1) * ROW_HEIGHT);
    box_print(icicle, 0, 0, 0, icicle->total_bytes, "the program at its peak");
    r = levels_print(icicle, paths, (struct group){0, count, icicle->total_bytes}, 0, 0);
    fputs("</svg></div>\n", icicle->out);
    if (icicle->joined_sites)
        fprintf(icicle->out,
                "<p class=\"note\">%s stacks with less than 0.1 %% each are joined.</p>\n",
                unit_count(icicle->joined_sites).text);
    return r;
}

/** The stacks that were live at the peak, sorted. */
static int paths_create(const struct icicle *icicle, struct path **ret_paths, size_t *ret_count)
{
    const struct tallies *stacks = &icicle->analysis->stacks;
    struct path *paths = calloc(stacks->rows + 1, sizeof *paths);
    size_t count = 0;
    bool fine = paths != NULL;

    for (size_t i = 0; i < stacks->rows && fine; i++)
        if (stacks->row[i].live_bytes.at_peak)
            fine = path_create(icicle, &stacks->row[i], &paths[count++]);
    if (!fine) {
        paths_free(paths, paths ? count : 0);
        return -ENOMEM;
    }
    qsort(paths, count, sizeof *paths, path_compare);
    *ret_paths = paths;
    *ret_count = count;
    return 0;
}

int html_icicle_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    struct tally *libraries = report_rows_sorted(&analysis->libraries);
    struct icicle icicle = {.analysis = analysis,
                            .libraries = libraries,
                            .total_bytes = analysis->requested.peak,
                            .out = article->out};
    struct path *paths;
    size_t count;
    int r = !libraries && analysis->libraries.rows ? -ENOMEM : 0;

    if (r == 0 && icicle.total_bytes && libraries) {
        r = paths_create(&icicle, &paths, &count);
        if (r == 0) {
            html_section_begin(article, "peak", "At the peak");
            r = icicle_print(&icicle, paths, count);
            html_section_end(article);
            paths_free(paths, count);
        }
    }
    free(libraries);
    return r;
}
