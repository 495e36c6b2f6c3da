/* SPDX-License-Identifier: MIT */
#include "tools/cli/run_summary.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/analysis/analysis.h"
#include "tools/base/escape.h"
#include "tools/cli/loaded.h"
#include "tools/cli/locate.h"
#include "tools/report/base/findings.h"
#include "tools/report/base/report.h"
#include "tools/base/units.h"

#define FINDINGS_SHOWN 3
#define OTHERS_SHOWN   16
#define TRACES_NAMED   4 /* in the next command; of more, the first alone */
#define COMMAND_SHOWN  60

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
    if (!analysis->total.allocations && !analysis->total.failures) {
        fprintf(out, "cupool: %s\n",
                report_misses_records(&analysis->recording)
                    ? "no allocation of device memory was recorded"
                    : "the program allocated no device memory");
        return;
    }
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
        fprintf(out, "cupool: %s: %s in %s\n",
                analysis_was_killed(analysis) ? "live at the end" : "never freed",
                unit_bytes(total->leaked_bytes).text, unit_blocks(total->leaked_blocks).text);
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
    if (analysis->memory_errors.count)
        fprintf(out, "cupool: memory errors: %s\n", unit_count(analysis->memory_errors.count).text);
    report_simulated(analysis, why, sizeof why);
    if (*why)
        fprintf(out, "cupool: simulated device: %s\n", why);
    report_incomplete(&analysis->recording, why, sizeof why);
    if (*why)
        fprintf(out, "cupool: trace is incomplete: %s\n", why);
    report_rotated(&analysis->recording, why, sizeof why);
    if (*why)
        fprintf(out, "cupool: trace is cut: %s\n", why);
}

static void findings_print(const struct findings *findings, FILE *out)
{
    for (size_t i = 0; i < findings->rows && i < FINDINGS_SHOWN; i++) {
        escape_line(out, "cupool: %zu. %s", i + 1, findings->row[i].text);
        if (*findings->row[i].where)
            escape_line(out, "cupool:    %s", findings->row[i].where);
    }
    if (findings->rows > FINDINGS_SHOWN)
        fprintf(out, "cupool:    %zu more in the report\n", findings->rows - FINDINGS_SHOWN);
}

/** One of the other programs, in a line. */
static void other_print(const struct analysis *analysis, const struct findings *findings, FILE *out)
{
    const char *command = analysis->command ? analysis->command : "";

    escape_line(out, "cupool: pid %u %.*s: peak %s, %s allocations%s%s", analysis->recording.pid,
                COMMAND_SHOWN, command, unit_bytes(analysis->requested.peak).text,
                unit_count(analysis->total.allocations).text, findings->rows ? ": " : "",
                findings->rows ? findings->row[0].text : "");
}

/** Reads one trace and prints its part. Whether it has allocations. */
static bool trace_print(const struct trace_file *file, bool is_main, FILE *out)
{
    bool allocated = false;
    struct loaded loaded = {0};
    struct callers callers = {0};
    struct findings *findings = calloc(1, sizeof *findings);
    char why[1024] = "out of memory";

    if (!findings || loaded_create(&loaded, &file->path, 1, NULL, why, sizeof why) < 0 ||
        callers_create(loaded.analysis[0], &callers) < 0) {
        escape_line(out, "cupool: %s", why);
    } else {
        allocated = loaded.analysis[0]->total.allocations != 0;
        findings_find(loaded.analysis[0], &callers, findings);
        if (is_main) {
            memory_print(loaded.analysis[0], out);
            findings_print(findings, out);
            trouble_print(loaded.analysis[0], out);
        } else {
            other_print(loaded.analysis[0], findings, out);
        }
    }
    callers_done(&callers);
    loaded_destroy(&loaded);
    free(findings);
    return allocated;
}

static void next_print(const struct trace_files *files, const struct trace_file *file, FILE *out)
{
    fputs("cupool: next: cupool report ", out);
    word_print(out, locate_display(file->path));
    for (size_t i = 0; i < files->count && files->count <= TRACES_NAMED; i++) {
        if (&files->file[i] == file)
            continue;
        fputc(' ', out);
        word_print(out, locate_display(files->file[i].path));
    }
    fputc('\n', out);
}

bool run_summary_print(const struct trace_files *files, const struct trace_file *file, FILE *out)
{
    size_t shown = 0;
    bool allocated;

    allocated = trace_print(file, true, out);
    if (files->count > 1)
        fprintf(out, "cupool: %zu programs were recorded; this is pid %d\n", files->count,
                (int)file->pid);
    for (size_t i = 0; i < files->count && shown < OTHERS_SHOWN; i++)
        if (&files->file[i] != file) {
            allocated |= trace_print(&files->file[i], false, out);
            shown++;
        }
    if (files->count > shown + 1)
        fprintf(out, "cupool: and %zu more\n", files->count - shown - 1);
    next_print(files, file, out);
    return allocated;
}
