/* SPDX-License-Identifier: MIT */
/*
 * The two oldest writers are adapted here.
 */
#include "tools/report/report_formats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/escape.h"
#include "tools/base/text_fit.h"
#include "tools/report/report_job.h"

const struct report_format report_formats[] = {
#define FORMAT(name, missing, help) {#name, help, report_##name##_write, missing},
    REPORT_FORMATS(FORMAT)
#undef FORMAT
        {0},
};

const struct report_format *report_format_find(const char *name)
{
    for (const struct report_format *format = report_formats; format->name; format++)
        if (!strcmp(format->name, name))
            return format;
    return NULL;
}

const char *report_format_missing(const struct report_format *format)
{
    return format->missing ? *format->missing : NULL;
}

void report_formats_list(char *ret_text, size_t text_bytes)
{
    size_t used = 0;

    *ret_text = '\0';
    for (const struct report_format *format = report_formats; format->name; format++) {
        const char *separator = !used ? "" : format[1].name ? ", " : " and ";

        if (used < text_bytes)
            used += (size_t)snprintf(ret_text + used, text_bytes - used, "%s%s", separator,
                                     format->name);
    }
}

static int pages_print(const struct report_input *input, const struct report_style *style,
                       FILE *out)
{
    int error = input->count > 1 ? report_text_job(input, style, out) : 0;

    for (size_t i = 0; i < input->count && error == 0; i++) {
        if (input->count > 1) {
            fputc('\n', out);
            escape_line(out, "== %s ==", input->traces[i]);
        }
        error = report_text(input->analyses[i], input->traces[i], style, out);
    }
    return error;
}

/** No line is wider than the style allows, whichever part wrote it. */
int report_text_write(const struct report_input *input, const struct report_style *style, FILE *out)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *draft = open_memstream(&text, &bytes);
    int error = draft ? pages_print(input, style, draft) : -ENOMEM;

    if (draft && fclose(draft) == EOF && error == 0)
        error = -ENOMEM;
    if (error == 0)
        text_fit_wrap(out, text, style->columns);
    free(text);
    return error;
}

int report_json_write(const struct report_input *input, const struct report_style *style, FILE *out)
{
    return report_json(input->analyses, input->traces, input->count, style, out);
}
