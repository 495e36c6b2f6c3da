/* SPDX-License-Identifier: MIT */
#include "tools/cli/run_summary.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/analysis/analysis.h"
#include "tools/base/escape.h"
#include "tools/base/text_fit.h"
#include "tools/cli/loaded.h"
#include "tools/launch/locate.h"
#include "tools/report/base/findings.h"
#include "tools/report/base/report.h"
#include "tools/base/units.h"

#define FINDINGS_SHOWN 3
#define OTHERS_SHOWN   16
#define TRACES_NAMED   16 /* in the next command; of more, the first alone */
#define PARTS_READ     64
#define COMMAND_SHOWN  60
#define COMMAND_LONG   1000 /* bytes */

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

char *run_command_text(char *const *argv)
{
    char *text = NULL;
    size_t bytes = 0, first = 0;
    FILE *out = open_memstream(&text, &bytes);

    if (!out)
        return NULL;
    for (size_t i = 0; argv[i] && (!i || bytes < COMMAND_LONG); i++) {
        if (i)
            fputc(' ', out);
        word_print(out, argv[i]);
        fflush(out);
        first = i ? first : bytes;
    }
    if (fclose(out) == EOF) {
        free(text);
        return NULL;
    }
    if (bytes >= COMMAND_LONG && argv[1]) {
        char *program = NULL;

        if (asprintf(&program, "%.*s ARGUMENTS", (int)first, text) < 0)
            program = NULL;
        free(text);
        return program;
    }
    return text;
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
        fprintf(out, ", out of %s from the driver", unit_bytes(analysis->driver.at_peak).text);
    fprintf(out, "; %s", unit_nouns(analysis->total.allocations, "allocation").text);
    if (analysis->total.failures)
        fprintf(out, ", %s failed", unit_count(analysis->total.failures).text);
    fputc('\n', out);
    if (analysis_has_pool(analysis))
        fprintf(out, "cupool: %s served without the driver; %s instead of %s\n",
                unit_percent(analysis->total.hits, analysis->total.allocations).text,
                unit_nouns(analysis_driver_calls(analysis), "driver call").text,
                unit_count(analysis->calls_asked).text);
}

static void trouble_print(const struct analysis *analysis, FILE *out)
{
    const struct tally *total = &analysis->total;
    char why[512];

    if (total->leaked_blocks)
        fprintf(out, "cupool: %s: %s in %s\n", report_unfreed(analysis),
                unit_bytes(total->leaked_bytes).text, unit_blocks(total->leaked_blocks).text);
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++)
        if (analysis->postmortem[i].is_refused) {
            fprintf(out, "cupool: out of memory: allocation of %s failed: %s: %s\n",
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
        fprintf(out, "cupool: trace is truncated: %s\n", why);
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

/** Prints a recorded program, in full and in a line. */
struct part {
    const struct trace_file *file;
    bool has_rank;
    uint64_t rank, peak_bytes, leaked_bytes, allocations;
    bool killed;
    char *full, *line; /* NULL: out of memory */
};

static void name_print(const struct part *part, FILE *out)
{
    if (part->has_rank)
        fprintf(out, "rank %llu, ", (unsigned long long)part->rank);
    fprintf(out, "pid %d", (int)part->file->pid);
}

static void line_print(const struct part *part, const struct analysis *analysis,
                       const struct findings *findings, FILE *out)
{
    char *command = text_cut(analysis->command ? analysis->command : "", COMMAND_SHOWN);

    fputs("cupool: ", out);
    name_print(part, out);
    escape_line(out, " %s: peak %s, %s%s%s", command ? command : "",
                unit_bytes(analysis->requested.peak).text,
                unit_nouns(analysis->total.allocations, "allocation").text,
                findings->rows ? ": " : "", findings->rows ? findings->row[0].text : "");
    free(command);
}

static void texts_fill(struct part *part, const struct analysis *analysis,
                       const struct findings *findings)
{
    size_t bytes;
    FILE *full = open_memstream(&part->full, &bytes), *line = open_memstream(&part->line, &bytes);

    if (full) {
        memory_print(analysis, full);
        findings_print(findings, full);
        trouble_print(analysis, full);
        fclose(full);
    }
    if (line) {
        line_print(part, analysis, findings, line);
        fclose(line);
    }
}

/** Reads one trace. */
static void part_read(const struct trace_file *file, struct part *ret_part)
{
    struct loaded loaded = {0};
    struct callers callers = {0};
    struct findings *findings = calloc(1, sizeof *findings);
    char why[1024] = "out of memory";

    *ret_part = (struct part){.file = file};
    if (!findings || loaded_create(&loaded, &file->path, 1, NULL, why, sizeof why) < 0 ||
        callers_create(loaded.analysis[0], &callers) < 0) {
        size_t bytes;
        FILE *full = open_memstream(&ret_part->full, &bytes);

        if (full) {
            escape_line(full, "cupool: %s", why);
            fclose(full);
        }
        ret_part->line = ret_part->full ? strdup(ret_part->full) : NULL;
    } else {
        const struct analysis *analysis = loaded.analysis[0];

        ret_part->has_rank = analysis->has_rank;
        ret_part->rank = analysis->rank;
        ret_part->peak_bytes = analysis->requested.peak;
        ret_part->leaked_bytes = analysis->total.leaked_bytes;
        ret_part->allocations = analysis->total.allocations;
        ret_part->killed = analysis_was_killed(analysis);
        findings_find(analysis, &callers, findings);
        texts_fill(ret_part, analysis, findings);
    }
    callers_done(&callers);
    loaded_destroy(&loaded);
    free(findings);
}

/** Orders ranks by number, then the others as they started. */
static int by_rank(const void *a, const void *b)
{
    const struct part *left = a, *right = b;

    if (left->has_rank != right->has_rank)
        return left->has_rank ? -1 : 1;
    if (left->has_rank && left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    return left->file < right->file ? -1 : left->file > right->file;
}

/** Totals of several programs. */
static void totals_print(const struct part *part, size_t parts, size_t files, FILE *out)
{
    const struct part *most = part;
    uint64_t peak_bytes = 0, leaked_bytes = 0;
    bool killed = false;

    for (size_t i = 0; i < parts; i++) {
        most = part[i].peak_bytes > most->peak_bytes ? &part[i] : most;
        peak_bytes += part[i].peak_bytes;
        leaked_bytes += part[i].leaked_bytes;
        killed |= part[i].killed;
    }
    fprintf(out, "cupool: %zu programs recorded", files);
    if (parts < files)
        fprintf(out, "; the first %zu", parts);
    fprintf(out, ": highest peak %s (", unit_bytes(most->peak_bytes).text);
    name_print(most, out);
    fprintf(out, "), sum of peaks %s", unit_bytes(peak_bytes).text);
    if (leaked_bytes)
        fprintf(out, "; %s %s in total", killed ? "live at the end" : "never freed",
                unit_bytes(leaked_bytes).text);
    fputc('\n', out);
}

static void next_print(const struct part *part, size_t parts, size_t files, FILE *out)
{
    fputs("cupool: next: cupool report", out);
    for (size_t i = 0; i < parts && (i == 0 || files <= TRACES_NAMED); i++) {
        fputc(' ', out);
        word_print(out, locate_display(part[i].file->path));
    }
    fputc('\n', out);
}

bool run_summary_print(const struct trace_files *files, const struct trace_file *file, FILE *out)
{
    size_t parts = files->count < PARTS_READ ? files->count : PARTS_READ, main_part = 0;
    struct part *part = calloc(parts ? parts : 1, sizeof *part);
    bool allocated = false;

    for (size_t i = 0; part && i < parts; i++) {
        part_read(&files->file[i], &part[i]);
        allocated |= part[i].allocations != 0;
    }
    if (!part)
        return false;
    qsort(part, parts, sizeof *part, by_rank);
    for (size_t i = 0; i < parts; i++)
        if (part[i].file == file)
            main_part = i;
    if (parts > 1) {
        totals_print(part, parts, files->count, out);
        fputs("cupool: ", out);
        name_print(&part[main_part], out);
        fputs(":\n", out);
    }
    fputs(part[main_part].full ? part[main_part].full : "cupool: out of memory\n", out);
    for (size_t i = 0, shown = 0; i < parts && shown < OTHERS_SHOWN; i++)
        if (i != main_part) {
            fputs(part[i].line ? part[i].line : "cupool: out of memory\n", out);
            shown++;
        }
    if (files->count > OTHERS_SHOWN + 1)
        fprintf(out, "cupool: and %zu more\n", files->count - OTHERS_SHOWN - 1);
    next_print(part, parts, files->count, out);
    for (size_t i = 0; i < parts; i++) {
        free(part[i].full);
        free(part[i].line);
    }
    free(part);
    return allocated;
}
