/* SPDX-License-Identifier: MIT */
/*
 * The sites as a table of RFC 4180: a line of names, then one line per site, all traces in one
 * table. Lines end as the RFC says; figures are plain integers.
 */
#include "tools/report/report_formats.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/base/escape.h"
#include "tools/report/base/report_figures.h"

static void header_print(FILE *out)
{
    fputs("trace,pid,module,build_id,offset,function,file,line", out);
    for (const struct report_figure *figure = report_tally_figures; figure->name; figure++)
        fprintf(out, ",%s", figure->name);
    fputs("\r\n", out);
}

static void cell_print(FILE *out, const char *text)
{
    fputc(',', out);
    escape_print(out, ESCAPE_CSV, text);
}

static void row_print(const struct analysis *analysis, const char *trace, const struct tally *row,
                      FILE *out)
{
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
    fputs("\r\n", out);
}

int report_csv_write(const struct report_input *input, const struct report_style *style, FILE *out)
{
    header_print(out);
    for (size_t i = 0; i < input->count; i++) {
        const struct tallies *sites = &input->analyses[i]->sites;
        struct tally *rows = report_rows_sorted(sites);

        if (!rows && sites->rows)
            return -ENOMEM;
        for (size_t j = 0; j < sites->rows && (!style->top || j < style->top); j++)
            row_print(input->analyses[i], input->traces[i], &rows[j], out);
        free(rows);
    }
    return 0;
}
