/* SPDX-License-Identifier: MIT */
#include "tools/cli/run_summary.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/analysis/analysis.h"
#include "tools/base/escape.h"
#include "tools/cli/locate.h"
#include "tools/report/base/report.h"
#include "tools/trace/trace_open.h"
#include "tools/base/units.h"

static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                            "_-+./,:@%=";

static bool is_printable(const char *word)
{
    char line[PATH_MAX + 16];

    safe_text_copy(line, sizeof line, word);
    return !strcmp(line, word);
}

/** What a terminal must not see goes as numbers. */
static void coded_print(FILE *out, const char *word)
{
    fputs("$'", out);
    for (; *word; word++) {
        if (strchr(plain, *word))
            fputc(*word, out);
        else
            fprintf(out, "\\%03o", (unsigned char)*word);
    }
    fputc('\'', out);
}

/** A word a shell reads back as it is. */
static void word_print(FILE *out, const char *word)
{
    if (*word && strspn(word, plain) == strlen(word)) {
        fputs(word, out);
        return;
    }
    if (!is_printable(word)) {
        coded_print(out, word);
        return;
    }
    fputc('\'', out);
    for (; *word; word++) {
        if (*word == '\'')
            fputs("'\\'", out);
        fputc(*word, out);
    }
    fputc('\'', out);
}

static void memory_print(const struct analysis *analysis, FILE *out)
{
    fprintf(out, "cupool: peak %s of device memory", unit_bytes(analysis->requested.peak).text);
    if (analysis_has_pool(analysis))
        fprintf(out, ", %s held for it", unit_bytes(analysis->driver.at_peak).text);
    fprintf(out, "; %s allocations", unit_count(analysis->total.allocations).text);
    if (analysis->total.failures)
        fprintf(out, ", %s failed", unit_count(analysis->total.failures).text);
    fputc('\n', out);
    if (analysis_has_pool(analysis))
        fprintf(out, "cupool: %s served without the driver; %s driver calls instead of %s\n",
                unit_percent(analysis->total.hits, analysis->total.allocations).text,
                unit_count(analysis_driver_calls(analysis)).text,
                unit_count(analysis->calls_asked).text);
}

static void trouble_print(const struct analysis *analysis, FILE *out)
{
    const struct tally *total = &analysis->total;
    char why[256];

    if (total->leaked_blocks)
        fprintf(out, "cupool: never freed: %s in %s\n", unit_bytes(total->leaked_bytes).text,
                unit_blocks(total->leaked_blocks).text);
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++)
        if (analysis->postmortem[i].is_refused) {
            fprintf(out, "cupool: out of memory: %s refused: %s: %s\n",
                    unit_bytes(analysis->postmortem[i].request_bytes).text,
                    verdict_name(analysis->postmortem[i].verdict),
                    verdict_sentence(analysis->postmortem[i].verdict));
            break;
        }
    if (total->invalid_frees)
        fprintf(out, "cupool: invalid frees: %s\n", unit_count(total->invalid_frees).text);
    if (analysis_is_simulated(analysis))
        fputs("cupool: simulated device: no figure here was measured on hardware\n", out);
    report_incomplete(&analysis->recording, why, sizeof why);
    if (*why)
        fprintf(out, "cupool: trace is incomplete: %s\n", why);
    report_rotated(&analysis->recording, why, sizeof why);
    if (*why)
        fprintf(out, "cupool: trace is cut: %s\n", why);
}

void run_summary_print(const struct trace_files *files, const struct trace_file *file, FILE *out)
{
    struct trace_reader *reader = NULL;
    struct analysis *analysis = NULL;
    char why[256];

    if (trace_open(file->path, &reader, why, sizeof why) < 0 ||
        analysis_create(reader, &analysis, why, sizeof why) < 0) {
        escape_line(out, "cupool: %s: %s", locate_display(file->path), why);
    } else {
        memory_print(analysis, out);
        trouble_print(analysis, out);
        if (files->count > 1)
            fprintf(out, "cupool: %zu programs were recorded; this is pid %d\n", files->count,
                    (int)file->pid);
        fputs("cupool: next: cupool report ", out);
        word_print(out, locate_display(file->path));
        fputc('\n', out);
    }
    analysis_destroy(analysis);
    trace_reader_close(reader);
}
