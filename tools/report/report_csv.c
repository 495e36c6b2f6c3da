/* SPDX-License-Identifier: MIT */
/*
 * The sites as a table of RFC 4180: a line of names, then one line per site with its main call
 * path, all traces in one table. Lines end as the RFC requires; figures are plain integers.
 */
#include "tools/report/report_formats.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/base/escape.h"
#include "tools/report/base/callers.h"
#include "tools/report/base/report_figures.h"

static void header_print(FILE *out)
{
    fputs("trace,pid,module,build_id,offset,function,file,line", out);
    for (const struct report_figure *figure = report_tally_figures; figure->name; figure++)
        fprintf(out, ",%s", figure->name);
    fputs(",key,caller,caller_at_peak_bytes,caller_leaked_bytes,caller_paths,through\r\n", out);
}

static void cell_print(FILE *out, const char *text)
{
    fputc(',', out);
    escape_print(out, ESCAPE_CSV, text);
}

/** The key, the main call path with its memory, the number of paths, and the skipped wrappers. */
static void callers_print(const struct callers *callers, uint64_t site, FILE *out)
{
    const struct caller *first;
    size_t count = callers_of(callers, site, &first);
    char key[512], path[768] = "", passed[512] = "";

    report_site_key(callers->analysis, site, key, sizeof key);
    if (count)
        caller_text(callers, first, path, sizeof path);
    if (count)
        caller_passed_text(callers, first, passed, sizeof passed);
    cell_print(out, key);
    cell_print(out, path);
    if (*path)
        fprintf(out, ",%llu,%llu,%zu", (unsigned long long)first->sum.live_bytes.at_peak,
                (unsigned long long)first->sum.leaked_bytes, count);
    else
        fputs(",,,0", out);
    cell_print(out, passed);
}

static void row_print(const struct callers *callers, const char *trace, const struct tally *row,
                      FILE *out)
{
    const struct analysis *analysis = callers->analysis;
    struct report_place place;

    report_place_find(analysis, row->key, &place);
    escape_print(out, ESCAPE_CSV, trace);
    fprintf(out, ",%u", analysis->recording.pid);
    cell_print(out, place.site.module);
    cell_print(out, place.site.build_id);
    if (place.known)
        fprintf(out, ",%llu", (unsigned long long)place.site.offset);
    else
        fputc(',', out);
    cell_print(out, place.function);
    cell_print(out, place.file);
    if (place.line)
        fprintf(out, ",%llu", (unsigned long long)place.line);
    else
        fputc(',', out);
    for (const struct report_figure *figure = report_tally_figures; figure->name; figure++)
        fprintf(out, ",%llu", (unsigned long long)report_tally_figure(figure, row));
    callers_print(callers, row->key, out);
    fputs("\r\n", out);
}

int report_csv_write(const struct report_input *input, const struct report_style *style, FILE *out)
{
    header_print(out);
    for (size_t i = 0; i < input->count; i++) {
        const struct tallies *sites = &input->analyses[i]->sites;
        struct tally *rows = report_rows_sorted(sites);
        struct callers callers = {0};

        if ((!rows && sites->rows) || callers_create(input->analyses[i], &callers) < 0) {
            free(rows);
            return -ENOMEM;
        }
        for (size_t j = 0; j < sites->rows && (!style->top || j < style->top); j++)
            row_print(&callers, input->traces[i], &rows[j], out);
        callers_done(&callers);
        free(rows);
    }
    return 0;
}
