/* SPDX-License-Identifier: MIT */
/*
 * Folded stacks, as flame graph tools read them: "library;function;… bytes", outermost frame
 * first, a line for each stack that was live at the peak. A library precedes the first of its
 * functions. Several traces are distinguished by an extra outermost frame.
 */
#include "tools/report/report_formats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/escape.h"

static void frame_print(const struct frame *frame, FILE *out)
{
    char address[32];

    snprintf(address, sizeof address, "+%#llx", (unsigned long long)frame->site.offset);
    escape_print(out, ESCAPE_FRAME,
                 frame->function && *frame->function ? frame->function : address);
}

static void stack_print(const struct analysis *analysis, const char *trace, const struct tally *row,
                        struct frames_budget *budget, FILE *out)
{
    struct frame frames[FRAMES_MOST];
    size_t count = frames_get(analysis->reader, row->key, frames,
                              frames_share(budget, FRAMES_REST));
    const char *module = NULL;

    budget->written += count;
    if (trace) {
        escape_print(out, ESCAPE_FRAME, frame_file_name(trace));
        fputc(';', out);
    }
    for (size_t i = count; i-- > 0;) {
        const char *file = frames[i].site.module ? frame_file_name(frames[i].site.module)
                                                 : "unknown";

        /* A module stands once before its functions. */
        if (!module || strcmp(file, module) != 0) {
            escape_print(out, ESCAPE_FRAME, file);
            fputc(';', out);
        }
        module = file;
        frame_print(&frames[i], out);
        if (i)
            fputc(';', out);
    }
    if (!count)
        fputs("unknown;unknown", out);
    fprintf(out, " %llu\n", (unsigned long long)row->live_bytes.at_peak);
}

int report_folded_write(const struct report_input *input, const struct report_style *style,
                        FILE *out)
{
    struct frames_budget budget = {0};

    for (size_t i = 0; i < input->count; i++) {
        const struct tallies *stacks = &input->analyses[i]->stacks;
        struct tally *rows = report_rows_sorted(stacks);

        if (!rows && stacks->rows)
            return -ENOMEM;
        for (size_t j = 0; j < stacks->rows && (!style->top || j < style->top); j++)
            if (rows[j].live_bytes.at_peak)
                stack_print(input->analyses[i], input->count > 1 ? input->traces[i] : NULL,
                            &rows[j], &budget, out);
        free(rows);
    }
    return 0;
}
