/* SPDX-License-Identifier: MIT */
/*
 * Folded stacks, as flame graph tools read them: "library;function bytes", a line for each site
 * that was live at the peak. Several traces are told apart by a frame of their own below.
 */
#include "tools/report_formats.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/escape.h"

static void stack_print(const struct analysis *analysis, const char *trace, const struct tally *row,
                        FILE *out)
{
    struct report_place place;
    char address[32];

    report_place_find(analysis, row->key, &place);
    snprintf(address, sizeof address, "+%#llx", (unsigned long long)place.site.offset);
    if (trace) {
        escape_print(out, ESCAPE_FRAME, report_file_name(trace));
        fputc(';', out);
    }
    escape_print(out, ESCAPE_FRAME,
                 place.site.module ? report_file_name(place.site.module) : "unknown");
    fputc(';', out);
    escape_print(out, ESCAPE_FRAME, *place.function ? place.function : address);
    fprintf(out, " %llu\n", (unsigned long long)row->live_bytes.at_peak);
}

int report_folded_write(const struct report_input *input, const struct report_style *style,
                        FILE *out)
{
    for (size_t i = 0; i < input->count; i++) {
        const struct tallies *sites = &input->analyses[i]->sites;
        struct tally *rows = report_rows_sorted(sites);

        if (!rows && sites->rows)
            return -ENOMEM;
        for (size_t j = 0; j < sites->rows && (!style->top || j < style->top); j++)
            if (rows[j].live_bytes.at_peak)
                stack_print(input->analyses[i], input->count > 1 ? input->traces[i] : NULL,
                            &rows[j], out);
        free(rows);
    }
    return 0;
}
