/* SPDX-License-Identifier: MIT */
#include "tools/report/report_text_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/escape.h"
#include "tools/base/text_fit.h"
#include "tools/base/text_table.h"
#include "tools/base/units.h"

#define GROWTH_ROWS        3
#define FRAGMENTATION_ROWS 3
#define STEP_ROWS          3

const char *report_text_colour(const struct report_page *page, const char *code)
{
    return page->style->colour ? code : "";
}

void report_text_line(const struct report_page *page, const char *title)
{
    fprintf(page->out, "%-15s%c", title, TEXT_FIT_HERE);
}

void report_text_cut(const struct report_page *page, const char *text, size_t columns)
{
    size_t bytes = 3 * strlen(text) + 1; /* a byte that is not UTF-8 becomes three */
    char *safe = malloc(bytes), *cut = NULL;

    if (safe) {
        safe_text_copy(safe, bytes, text);
        cut = text_cut(safe, columns);
    }
    fputs(cut ? cut : "", page->out);
    free(cut);
    free(safe);
}

void report_text_window(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    const struct analysis_window *window = &analysis->window;

    if (!window->is_set)
        return;
    if (window->phase) {
        fputs("only phase ", page->out);
        escape_print(page->out, ESCAPE_LINE, window->phase);
        fprintf(page->out, ", %s in total", unit_duration(analysis->window_ns).text);
    } else {
        fprintf(page->out, "only from %s to %s", unit_duration(window->begin_ns).text,
                unit_duration(window->end_ns).text);
    }
    fprintf(page->out, "; %s in %s live at its start\n",
            unit_bytes(analysis->opening.requested_bytes).text,
            unit_blocks(analysis->opening.blocks).text);
}

static void state_print(const struct report_page *page,
                        const struct analysis_postmortem *postmortem)
{
    const struct verdict_facts *facts = &postmortem->facts;
    char name[256];

    report_text_line(page, "");
    fprintf(page->out, "%s%s%s: %s\n", report_text_colour(page, REPORT_RED),
            verdict_name(postmortem->verdict), report_text_colour(page, REPORT_PLAIN),
            verdict_sentence(postmortem->verdict));
    report_text_line(page, "");
    report_site_name(page->analysis, postmortem->site, name, sizeof name);
    escape_line(page->out, "requested by %s", name);
    report_text_line(page, "");
    fprintf(page->out, "pool: %s live, %s in quarantine,\n",
            unit_bytes(facts->live_requested_bytes).text,
            unit_bytes(facts->quarantined_bytes).text);
    report_text_line(page, "");
    fprintf(page->out, "      %s free, largest extent %s\n", unit_bytes(facts->cached_bytes).text,
            unit_bytes(facts->largest_free_bytes).text);
    if (!facts->driver_total_bytes)
        return;
    report_text_line(page, "");
    fprintf(page->out, "device: %s free of %s", unit_bytes(facts->driver_free_bytes).text,
            unit_bytes(facts->driver_total_bytes).text);
    if (facts->limit_bytes)
        fprintf(page->out, ", limit %s", unit_bytes(facts->limit_bytes).text);
    fputs(",\n", page->out);
    report_text_line(page, "");
    fprintf(page->out, "        %s by this process, %s by others\n",
            unit_bytes(facts->own_bytes).text, unit_bytes(verdict_others_bytes(facts)).text);
    if (!postmortem->sites[0].bytes)
        return;
    report_site_name(page->analysis, postmortem->sites[0].key, name, sizeof name);
    report_text_line(page, "");
    escape_line(page->out, "largest site: %s by %s", unit_bytes(postmortem->sites[0].bytes).text,
                name);
}

/** The first refusal to the program; else the first of all. */
static const struct analysis_postmortem *first_of(const struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++)
        if (analysis->postmortem[i].is_refused)
            return &analysis->postmortem[i];
    return &analysis->postmortem[0];
}

void report_text_postmortems(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    const struct analysis_postmortem *first;

    if (!analysis->postmortems)
        return;
    first = first_of(analysis);
    report_text_line(page, "Out of memory");
    fprintf(page->out, "%s; first for %s, with %s in use, %s free in the pool\n",
            unit_count(analysis->postmortems).text, unit_bytes(first->request_bytes).text,
            unit_bytes(first->levels.requested_bytes).text,
            unit_bytes(first->held_free_bytes).text);
    if (first->is_refused)
        state_print(page, first);
}

static void coloured_name_print(const struct report_page *page, const char *name)
{
    fputs(report_text_colour(page, REPORT_YELLOW), page->out);
    escape_print(page->out, ESCAPE_LINE, name);
    fputs(report_text_colour(page, REPORT_PLAIN), page->out);
}

void report_text_fragmentation(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    size_t notable = fragmentation_notable_sites(analysis);
    const char *title = "Fragmented by";
    char name[256];

    for (size_t i = 0; i < notable && i < FRAGMENTATION_ROWS; i++) {
        const struct fragmentation_part *part = &analysis->fragmentation.site[i];

        report_site_name(analysis, part->key, name, sizeof name);
        report_text_line(page, title);
        coloured_name_print(page, name);
        fputs(":\n", page->out);
        report_text_line(page, "");
        fprintf(page->out, "%s of segments for %s in %s\n",
                unit_bytes(part->pinned_bytes + part->block_bytes).text,
                unit_bytes(part->block_bytes).text, unit_blocks(part->blocks).text);
        title = "";
    }
}

void report_text_growth(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    bool by_step = analysis->steps.count >= GROWTH_LEAST;
    const char *title = "Growing";
    size_t printed = 0;
    char name[256];

    for (size_t i = 0; i < analysis->growths && printed < GROWTH_ROWS; i++) {
        const struct growth_site *growth = &analysis->growth[i];
        const struct tally *row = &analysis->sites.row[growth->row];

        if (!row->leaked_blocks)
            continue;
        report_site_name(analysis, row->key, name, sizeof name);
        report_text_line(page, title);
        coloured_name_print(page, name);
        fprintf(page->out, ", %s: +%s", report_unfreed(analysis), unit_blocks(growth->blocks).text);
        if (by_step)
            fprintf(page->out, ", %.3g per step", growth->blocks_per_x);
        fprintf(page->out, " (+%s)\n", unit_bytes(growth->bytes).text);
        title = "";
        printed++;
    }
}

static int phase_add(struct text_table *table, const struct analysis_phase *phase)
{
    struct unit_text times = unit_count(phase->count);
    struct unit_text duration = unit_duration(phase->duration_ns);
    struct unit_text allocations = unit_count(phase->allocations);
    struct unit_text peak = unit_bytes(phase->peak_requested_bytes);
    struct unit_text growth = unit_bytes(phase->growth_bytes < 0 ? 0 - (uint64_t)phase->growth_bytes
                                                                 : (uint64_t)phase->growth_bytes);
    char change[sizeof growth.text + 2], steps[64] = "-";
    const char *cells[] = {phase->name,      analysis_phase_source_name[phase->source],
                           times.text,       duration.text,
                           allocations.text, steps,
                           peak.text,        change};

    snprintf(change, sizeof change, "%s%s", phase->growth_bytes < 0 ? "-" : "+", growth.text);
    if (phase->steps.count)
        snprintf(steps, sizeof steps, "%" PRIu64 " (%" PRIu64 ")", phase->steps.allocations_max,
                 phase->steps.driver_calls_max);
    return text_table_add(table, cells);
}

/** Explains the statistics of steps, and the sites that allocate in them. */
static void steps_print(const struct report_page *page)
{
    const struct analysis *analysis = page->analysis;
    const struct step_sites *sites = analysis->steps.count ? &analysis->step_sites
                                                           : &analysis->phase_sites;
    size_t row[STEP_ROWS], rows = step_sites_most(sites, row, STEP_ROWS);
    const char *title = "Most per step";
    bool has_steps = false;
    char name[256];

    for (size_t i = 0; i < analysis->phases; i++)
        has_steps |= analysis->phase[i].steps.count != 0;
    if (!has_steps && !analysis->steps.count)
        return;
    if (analysis->phases)
        fprintf(page->out, "PER STEP: most allocations in a step; in parentheses, most driver "
                           "calls in a step.\n");
    if (analysis->steps.count)
        fprintf(page->out, "%s: at most %s (%s) per step\n",
                unit_nouns(analysis->steps.count, "step").text,
                unit_nouns(analysis->steps.allocations_max, "allocation").text,
                unit_nouns(analysis->steps.driver_calls_max, "driver call").text);
    for (size_t i = 0; i < rows; i++) {
        report_site_name(analysis, analysis->sites.row[row[i]].key, name, sizeof name);
        report_text_line(page, title);
        fprintf(page->out, "%s by ", unit_nouns(sites->row[row[i]].most, "allocation").text);
        coloured_name_print(page, name);
        fprintf(page->out, ", in %s\n", unit_nouns(sites->row[row[i]].steps, "step").text);
        title = "";
    }
}

int report_text_phases(const struct report_page *page, size_t top)
{
    static const struct text_column columns[] = {
        {"PHASE", false, true, 0}, {"SOURCE", false, false, 5},     {"COUNT", true, false, 4},
        {"TIME", true, false, 2},  {"ALLOCATIONS", true, false, 3}, {"PER STEP", true, false, 0},
        {"PEAK", true, false, 0},  {"GROWTH", true, false, 1},
    };
    const struct analysis *analysis = page->analysis;
    struct text_table *table;
    int error = 0;

    if (!analysis->phases) {
        steps_print(page);
        return 0;
    }
    table = text_table_create(columns, sizeof columns / sizeof *columns, page->style->columns);
    for (size_t i = 0; table && i < analysis->phases && i < top && error == 0; i++)
        error = phase_add(table, &analysis->phase[i]);
    fputc('\n', page->out);
    if (text_table_finish(table, page->out) < 0)
        error = -ENOMEM;
    if (analysis->phases > top)
        fprintf(page->out, "[%zu more: --by phase --top %zu]\n", analysis->phases - top,
                analysis->phases);
    steps_print(page);
    return error;
}
