/* SPDX-License-Identifier: MIT */
/*
 * Markdown for the summary of a CI job. GitHub refuses a summary of 1 MiB, so a longer text is cut
 * at a line end before that and says so.
 */
#include "tools/report/report_formats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/escape.h"
#include "tools/report/base/findings.h"
#include "tools/report/report_defragmentation.h"
#include "tools/report/report_job.h"
#include "tools/report/report_memory_errors.h"
#include "tools/base/units.h"

#define MOST_BYTES  (1023 * 1024)
#define NOTE_BYTES  256
#define DEFAULT_TOP 20
#define SIZE_ROWS   8
#define PATHS       3  /* under a site */
#define TROUBLES    20 /* of each kind */

struct page {
    const struct analysis *analysis;
    FILE *out;
    struct callers callers;
};

static void text_print(const struct page *page, const char *text)
{
    escape_print(page->out, ESCAPE_MARKDOWN, text);
}

static void head_print(const struct page *page, const char *trace)
{
    const struct analysis *analysis = page->analysis;
    char why[512];

    fprintf(page->out, "## Device memory: %s at the peak\n\n",
            unit_bytes(analysis->requested.peak).text);
    text_print(page, analysis->command ? analysis->command : trace);
    fprintf(page->out, "  \npid %u, ran %s%s", analysis->recording.pid,
            unit_duration(analysis->duration_ns).text, report_duration_end(analysis));
    if (analysis_exit_status(analysis) >= 0)
        fprintf(page->out, ", exit status %d", analysis_exit_status(analysis));
    for (size_t i = 0; i < analysis->devices; i++) {
        fprintf(page->out,
                "  \n%s %u: ", analysis->device[i].simulated ? "simulated device" : "device",
                analysis->device[i].index);
        text_print(page, analysis->device[i].name);
    }
    fputs("\n\n", page->out);
    report_incomplete(&analysis->recording, why, sizeof why);
    if (*why)
        fprintf(page->out, "> **%s:** %s.\n\n",
                analysis->recording.running ? "Snapshot" : "The trace is incomplete", why);
    report_rotated(&analysis->recording, why, sizeof why);
    if (*why)
        fprintf(page->out, "> **The trace is truncated:** %s.\n\n", why);
    report_simulated(analysis, why, sizeof why);
    if (*why)
        fprintf(page->out, "> Simulated device: %s.\n\n", why);
}

static void figures_print(const struct page *page)
{
    const struct analysis *analysis = page->analysis;
    const struct tally *total = &analysis->total;
    FILE *out = page->out;

    fputs("| | |\n|---|---|\n", out);
    if (analysis->window.is_set)
        fprintf(out, "| Part of the run | %s; %s live at its start |\n",
                unit_duration(analysis->window_ns).text,
                unit_bytes(analysis->opening.requested_bytes).text);
    fprintf(out, "| Peak requested | **%s** after %s |\n",
            unit_bytes(analysis->requested.peak).text, unit_duration(analysis->peak_time_ns).text);
    fprintf(out, "| From the driver | %s at the peak, %s maximum; %.1f %% idle at the peak |\n",
            unit_bytes(analysis->driver.at_peak).text, unit_bytes(analysis->driver.peak).text,
            100 * analysis_overhead(analysis));
    fprintf(out, "| Allocations | %s, %s freed, %s failed |\n", unit_count(total->allocations).text,
            unit_count(total->frees).text, unit_count(total->failures).text);
    fprintf(out, "| Served by the pool | %s |\n",
            unit_percent(total->hits, total->allocations).text);
    fprintf(out, "| Driver calls | %s", unit_count(analysis_driver_calls(analysis)).text);
    if (analysis_has_pool(analysis))
        fprintf(out, "; %s without the pool", unit_count(analysis->calls_asked).text);
    fprintf(out, " |\n| %s | %s in %s |\n", report_unfreed_title(analysis),
            unit_bytes(total->leaked_bytes).text, unit_blocks(total->leaked_blocks).text);
    fprintf(out, "| Invalid frees | %s |\n", unit_count(total->invalid_frees).text);
    fprintf(out, "| Out of memory | %s |\n\n", unit_count(analysis->postmortems).text);
}

static void findings_print(const struct page *page)
{
    struct findings *findings = calloc(1, sizeof *findings);

    if (!findings)
        return;
    findings_find(page->analysis, &page->callers, findings);
    fputs("### Findings\n\n", page->out);
    for (size_t i = 0; i < findings->rows; i++) {
        const struct finding *finding = &findings->row[i];

        fprintf(page->out, "%zu. **", i + 1);
        text_print(page, finding->text);
        fputs(*finding->where ? "** `" : "** ", page->out);
        escape_print(page->out, ESCAPE_MARKDOWN_CODE, finding->where);
        fputs(*finding->where ? "` " : "", page->out);
        text_print(page, finding->action);
        fputc('\n', page->out);
    }
    if (!findings->rows)
        fprintf(page->out, "%s\n", findings_none(page->analysis));
    if (findings->left_out)
        fprintf(page->out, "\n%s not shown.\n",
                unit_nouns(findings->left_out, "minor finding").text);
    fputc('\n', page->out);
    free(findings);
}

/** The main call paths of a site, in the cell of its name. */
static void paths_print(const struct page *page, uint64_t site)
{
    const struct caller *path;
    size_t count = callers_of(&page->callers, site, &path);
    char text[768];

    for (size_t i = 0; i < count && i < PATHS; i++) {
        caller_text(&page->callers, &path[i], text, sizeof text);
        if (!*text)
            continue;
        fprintf(page->out, "<br>%s from ", unit_bytes(path[i].sum.live_bytes.at_peak).text);
        text_print(page, text);
    }
}

static int breakdown_print(const struct page *page, enum report_by by, size_t top)
{
    static const char *const titles[REPORT_BYS] = {
        [REPORT_BY_SITE] = "Site", [REPORT_BY_LIBRARY] = "Library", [REPORT_BY_SIZE] = "Size",
        [REPORT_BY_API] = "API",   [REPORT_BY_STACK] = "Stack",     [REPORT_BY_CALLER] = "Caller",
    };
    struct report_rows rows;
    char name[768];
    int error = report_rows_create(page->analysis, &page->callers, by, &rows);

    if (error < 0 || !rows.count)
        return error;
    fprintf(page->out, "| %s | At peak | Own peak | Allocations | Hits | %s |\n", titles[by],
            report_unfreed_heading(page->analysis));
    fputs("|---|--:|--:|--:|--:|--:|\n", page->out);
    for (size_t i = 0; i < rows.count && i < top; i++) {
        const struct tally *row = &rows.row[i];

        report_rows_name(&rows, i, name, sizeof name);
        fputs("| ", page->out);
        text_print(page, name);
        if (by == REPORT_BY_SITE)
            paths_print(page, row->key);
        fprintf(page->out, " | %s | %s | %s | %s | %s |\n",
                unit_bytes(row->live_bytes.at_peak).text, unit_bytes(row->live_bytes.peak).text,
                unit_count(row->allocations).text, unit_percent(row->hits, row->allocations).text,
                unit_bytes(row->leaked_bytes).text);
    }
    if (rows.count > top)
        fprintf(page->out, "\n%zu more: `--top %zu`\n", rows.count - top, rows.count);
    fputc('\n', page->out);
    report_rows_done(&rows);
    return 0;
}

static void phases_print(const struct page *page, size_t top)
{
    const struct analysis *analysis = page->analysis;

    if (!analysis->phases)
        return;
    fputs("| Phase | Source | Count | Time | Allocations | Per step | Peak | Growth |\n"
          "|---|---|--:|--:|--:|--:|--:|--:|\n",
          page->out);
    for (size_t i = 0; i < analysis->phases && i < top; i++) {
        const struct analysis_phase *phase = &analysis->phase[i];
        bool shrinks = phase->growth_bytes < 0;

        fputs("| ", page->out);
        text_print(page, phase->name);
        fprintf(page->out, " | %s | %s | %s | %s", analysis_phase_source_name[phase->source],
                unit_count(phase->count).text, unit_duration(phase->duration_ns).text,
                unit_count(phase->allocations).text);
        fprintf(
            page->out, " | %s | %s | %s%s |\n",
            phase->steps.count ? unit_count(phase->steps.allocations_max).text : "-",
            unit_bytes(phase->peak_requested_bytes).text, shrinks ? "-" : "+",
            unit_bytes(shrinks ? 0 - (uint64_t)phase->growth_bytes : (uint64_t)phase->growth_bytes)
                .text);
    }
    if (analysis->phases > top)
        fprintf(page->out, "\n%zu more: `--by phase --top %zu`\n", analysis->phases - top,
                analysis->phases);
    fputc('\n', page->out);
}

static void fragmentation_print(const struct page *page)
{
    const struct analysis *analysis = page->analysis;
    size_t notable = fragmentation_notable_sites(analysis);
    char name[256];

    if (!notable)
        return;
    fputs("| Fragmented by | Segments | Own memory | Blocks |\n|---|--:|--:|--:|\n", page->out);
    for (size_t i = 0; i < notable && i < TROUBLES; i++) {
        const struct fragmentation_part *part = &analysis->fragmentation.site[i];

        report_site_name(analysis, part->key, name, sizeof name);
        fputs("| ", page->out);
        text_print(page, name);
        fprintf(page->out, " | %s | %s | %s |\n",
                unit_bytes(part->pinned_bytes + part->block_bytes).text,
                unit_bytes(part->block_bytes).text, unit_count(part->blocks).text);
    }
    fputc('\n', page->out);
}

static void growth_print(const struct page *page)
{
    const struct analysis *analysis = page->analysis;
    char name[256];

    for (size_t i = 0; i < analysis->growths && i < TROUBLES; i++) {
        const struct tally *row = &analysis->sites.row[analysis->growth[i].row];

        report_site_name(analysis, row->key, name, sizeof name);
        fprintf(page->out, "- grows by %s (%s), %s: ", unit_blocks(analysis->growth[i].blocks).text,
                unit_bytes(analysis->growth[i].bytes).text,
                row->leaked_blocks ? report_unfreed(analysis) : "freed only at the end");
        text_print(page, name);
        fputc('\n', page->out);
    }
    if (analysis->growths)
        fputc('\n', page->out);
}

static void troubles_print(const struct page *page)
{
    const struct analysis *analysis = page->analysis;
    char name[256];

    for (size_t i = 0; i < analysis->total.invalid_frees && i < TROUBLES; i++) {
        report_site_name(analysis, analysis->invalid_free[i].site, name, sizeof name);
        fprintf(page->out, "- invalid free of `%#llx` after %s by ",
                (unsigned long long)analysis->invalid_free[i].address,
                unit_duration(analysis->invalid_free[i].time_ns).text);
        text_print(page, name);
        fputc('\n', page->out);
    }
    for (size_t i = 0; i < analysis->postmortems && i < TROUBLES; i++) {
        const struct analysis_postmortem *postmortem = &analysis->postmortem[i];

        report_site_name(analysis, postmortem->site, name, sizeof name);
        fprintf(page->out, "- out of memory: %s after %s, with %s in use, by ",
                unit_bytes(postmortem->request_bytes).text, unit_duration(postmortem->time_ns).text,
                unit_bytes(postmortem->levels.requested_bytes).text);
        text_print(page, name);
        if (postmortem->is_refused)
            fprintf(page->out, ": **%s**: %s", verdict_name(postmortem->verdict),
                    verdict_sentence(postmortem->verdict));
        fputc('\n', page->out);
    }
    if (analysis->total.invalid_frees || analysis->postmortems)
        fputc('\n', page->out);
}

static int page_print(const struct page *page, const char *trace, const struct report_style *style)
{
    size_t top = style->top ? style->top : DEFAULT_TOP;
    int error;

    head_print(page, trace);
    findings_print(page);
    figures_print(page);
    report_markdown_memory_errors(page->analysis, page->out);
    troubles_print(page);
    growth_print(page);
    fragmentation_print(page);
    report_markdown_defragmentation(page->analysis, page->out);
    phases_print(page, top);
    if (style->by == REPORT_BY_PHASE)
        return 0;
    error = breakdown_print(page, style->by, top);
    if (error == 0 && style->by != REPORT_BY_SIZE)
        error = breakdown_print(page, REPORT_BY_SIZE, SIZE_ROWS);
    return error;
}

static int pages_print(const struct report_input *input, const struct report_style *style,
                       FILE *out)
{
    int error = input->count > 1 ? report_markdown_job(input, out) : 0;

    for (size_t i = 0; i < input->count && error == 0; i++) {
        struct page page = {.analysis = input->analyses[i], .out = out};

        error = callers_create(page.analysis, &page.callers);
        if (error == 0)
            error = page_print(&page, input->traces[i], style);
        callers_done(&page.callers);
    }
    return error;
}

/** Bytes of the text to keep: all of them, or whole lines. */
static size_t bytes_allowed(const char *text, size_t bytes)
{
    const char *line_end;

    if (bytes <= MOST_BYTES)
        return bytes;
    line_end = memrchr(text, '\n', MOST_BYTES - NOTE_BYTES);
    return line_end ? (size_t)(line_end - text) + 1 : 0;
}

int report_markdown_write(const struct report_input *input, const struct report_style *style,
                          FILE *out)
{
    char *text = NULL;
    size_t bytes = 0, kept;
    FILE *draft = open_memstream(&text, &bytes);
    int error;

    if (!draft)
        return -ENOMEM;
    error = pages_print(input, style, draft);
    if (fclose(draft) == EOF || !text)
        error = -ENOMEM;
    if (error == 0) {
        kept = bytes_allowed(text, bytes);
        fwrite(text, 1, kept, out);
        if (kept < bytes)
            fprintf(out,
                    "\n**Truncated here:** the report has %s, GitHub shows 1 MiB; `--top` shortens"
                    " it.\n",
                    unit_bytes(bytes).text);
    }
    free(text);
    return error;
}
