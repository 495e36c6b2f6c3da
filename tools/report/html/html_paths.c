/* SPDX-License-Identifier: MIT */
#include "tools/report/html/html_paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/report/html/html_series.h"
#include "tools/report/html/html_table.h"

#define MOST_PATHS 400 /* per page, for the script */

uint64_t html_path_stack(const struct analysis *analysis, uint64_t key)
{
    return analysis->has_paths ? key >> 32 : key;
}

uint64_t html_path_bytes(const struct tally *row, enum flame_measure measure)
{
    const uint64_t bytes[FLAME_MEASURES] = {[FLAME_AT_PEAK] = row->live_bytes.at_peak,
                                            [FLAME_LEAKED] = row->leaked_bytes,
                                            [FLAME_IN_ALL] = row->requested_bytes};

    return bytes[measure];
}

static void path_push(struct html_path *path, const char *text, bool is_module)
{
    if (path->depth == FLAME_DEPTH)
        return;
    snprintf(path->text[path->depth], HTML_FRAME_BYTES, "%s", text);
    safe_text_end(path->text[path->depth], HTML_FRAME_BYTES);
    path->is_module[path->depth] = is_module;
    path->frame[path->depth] = path->text[path->depth];
    path->depth++;
}

void html_path_find(const struct analysis *analysis, uint64_t stack, struct frames_budget *budget,
                    struct html_path *ret_path)
{
    struct frame frames[FRAMES_MOST];
    size_t count = frames_get(analysis->reader, stack, frames, frames_share(budget, FRAMES_REST));
    const char *module = NULL;
    char text[HTML_FRAME_BYTES];

    budget->written += count;
    ret_path->depth = 0;
    if (!count)
        path_push(ret_path, "unknown", false);
    for (size_t i = frames_without_start(frames, count); i-- > 0;) {
        const char *file = frames[i].site.module ? frame_file_name(frames[i].site.module)
                                                 : "unknown";

        /* The module once before its functions. */
        if (!module || strcmp(file, module) != 0)
            path_push(ret_path, file, true);
        module = file;
        frame_text(&frames[i], text, sizeof text);
        path_push(ret_path, text, false);
    }
}

/** Weight of a path: its largest share of any total, in millionths. */
static uint64_t path_worth(const struct analysis *analysis, const struct tally *row)
{
    const struct tally *total = &analysis->total;
    const uint64_t parts[][2] = {{row->live_bytes.peak, analysis->requested.peak},
                                 {row->leaked_bytes, total->leaked_bytes},
                                 {row->requested_bytes, total->requested_bytes}};
    uint64_t most = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint64_t part = parts[i][1] ? (uint64_t)(1e6 * (double)parts[i][0] / (double)parts[i][1])
                                    : 0;

        most = part > most ? part : most;
    }
    return most;
}

static int compare_worths(const void *a, const void *b)
{
    const struct html_path_order *left = a, *right = b;

    if (left->worth != right->worth)
        return left->worth > right->worth ? -1 : 1;
    return (left->key > right->key) - (left->key < right->key);
}

struct html_path_order *html_paths_order(const struct analysis *analysis)
{
    const struct tallies *paths = analysis_paths(analysis);
    struct html_path_order *order = calloc(paths->rows + 1, sizeof *order);

    for (size_t i = 0; i < paths->rows && order; i++)
        order[i] = (struct html_path_order){i, path_worth(analysis, &paths->row[i]),
                                            paths->row[i].key};
    if (order)
        qsort(order, paths->rows, sizeof *order, compare_worths);
    return order;
}

/** Data of one path, or the sum of several, for the script. */
struct sums {
    uint64_t bytes[FLAME_MEASURES];
    uint64_t series[FLAME_MEASURES][SLICES_MOST];
};

static void sums_add(struct sums *sums, const struct analysis *analysis, size_t number)
{
    const struct slices *slices = analysis->slices;
    const struct tally *row = &analysis_paths(analysis)->row[number];

    for (int i = 0; i < FLAME_MEASURES; i++)
        sums->bytes[i] += html_path_bytes(row, (enum flame_measure)i);
    for (size_t i = 0; slices && i < slices->count; i++) {
        const struct slice_figures figures = slices_get(slices, i, SLICE_PATHS, number);

        sums->series[FLAME_AT_PEAK][i] += figures.at_peak;
        sums->series[FLAME_LEAKED][i] += figures.leaked_bytes;
        sums->series[FLAME_IN_ALL][i] += figures.requested_bytes;
    }
}

static void sums_print(FILE *out, const struct sums *sums, const struct slices *slices)
{
    fputs(" data-v=\"", out);
    html_series_print(out, sums->bytes, FLAME_MEASURES);
    for (int i = 0; slices && i < FLAME_MEASURES; i++) {
        fputs(i ? ";" : "\" data-s=\"", out);
        html_series_print(out, sums->series[i], slices->count);
    }
    fputs("\"></i>\n", out);
}

static int path_print(const struct html_article *article, size_t number, struct texts *names,
                      struct frames_budget *budget, struct html_path *path)
{
    const struct analysis *analysis = article->analysis;
    uint64_t key = analysis_paths(analysis)->row[number].key;
    struct sums sums = {0};

    html_path_find(analysis, html_path_stack(analysis, key), budget, path);
    fprintf(article->out, "<i data-t=\"%llu\" data-f=\"",
            analysis->has_paths ? (unsigned long long)(key & UINT32_MAX) : analysis->path_thread);
    for (size_t i = 0; i < path->depth; i++) {
        uint32_t name = texts_number(names, path->frame[i]);

        if (!name)
            return -ENOMEM;
        fprintf(article->out, "%s%s%u", i ? "." : "", path->is_module[i] ? "m" : "", name - 1);
    }
    fputc('"', article->out);
    sums_add(&sums, analysis, number);
    sums_print(article->out, &sums, analysis->slices);
    return 0;
}

static int all_print(const struct html_article *article, const struct html_path_order *order,
                     struct html_path *path)
{
    const struct analysis *analysis = article->analysis;
    size_t rows = analysis_paths(analysis)->rows;
    struct texts names = {0};
    struct frames_budget budget = {0};
    struct sums rest = {0};
    int error = 0;

    fprintf(article->out, "<div class=\"paths\" hidden data-pid=\"%u\">\n",
            analysis->recording.pid);
    for (size_t i = 0; i < rows && error == 0; i++)
        if (i < MOST_PATHS)
            error = path_print(article, order[i].row, &names, &budget, path);
        else
            sums_add(&rest, analysis, order[i].row);
    if (rows > MOST_PATHS && error == 0) {
        fprintf(article->out, "<i data-n=\"%zu\"", rows - MOST_PATHS);
        sums_print(article->out, &rest, analysis->slices);
    }
    fputs("<ol>", article->out);
    for (uint32_t i = 0; i < names.rows; i++) {
        fputs("<li>", article->out);
        html_text(article->out, names.row[i].text);
        fputs("</li>", article->out);
    }
    fputs("</ol></div>\n", article->out);
    texts_done(&names);
    return error;
}

int html_paths_data_print(const struct html_article *article, const struct html_path_order *order)
{
    struct html_path *path = malloc(sizeof *path);
    int error = path ? all_print(article, order, path) : -ENOMEM;

    free(path);
    return error;
}
