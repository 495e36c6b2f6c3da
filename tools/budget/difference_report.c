/* SPDX-License-Identifier: MIT */
/*
 * Writes a difference as text, Markdown and JSON (schema cupool.diff/1); see difference.h.
 */
#include "tools/budget/difference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/escape.h"
#include "tools/base/json_text.h"
#include "tools/base/text_table.h"

#define TOP_DEFAULT 10

/** Whether a site holds or leaks more or less; otherwise only its traffic changed. */
static bool holds_other(const struct site_change *site)
{
    return site->before[SNAPSHOT_peak_bytes] != site->after[SNAPSHOT_peak_bytes] ||
           site->before[SNAPSHOT_leaked_bytes] != site->after[SNAPSHOT_leaked_bytes];
}

static size_t sites_that_hold_other(const struct difference *difference)
{
    size_t count = 0;

    for (size_t i = 0; i < difference->sites; i++)
        count += holds_other(&difference->site[i]);
    return count;
}

/** Returns the next change to show at or after a position; NULL after the last. */
static const struct site_change *site_next(const struct difference *difference, size_t *position)
{
    while (*position < difference->sites) {
        const struct site_change *site = &difference->site[(*position)++];

        if (holds_other(site))
            return site;
    }
    return NULL;
}

static bool both_have(const struct difference *difference, int metric)
{
    return difference->base->has[metric] && difference->fresh->has[metric];
}

/** "+200.0 KiB (+5.0 %)". */
static void change_cell(enum metric_unit unit, uint64_t before, uint64_t after, char *ret_text,
                        size_t text_bytes)
{
    struct unit_text change = change_text(unit, before, after);
    double percent = before ? 100.0 * ((double)after - (double)before) / (double)before : 0;

    if (before && after != before && unit != METRIC_UNIT_PERCENT)
        snprintf(ret_text, text_bytes, "%s (%+.1f %%)", change.text, percent);
    else
        snprintf(ret_text, text_bytes, "%s", after == before ? "=" : change.text);
}

static int metrics_text(const struct difference *difference, FILE *out)
{
    static const struct text_column columns[] = {
        {"METRIC", false, false, 0}, {"BASE", true, false, 0}, {"NEW", true, false, 0},
        {"CHANGE", true, false, 0},  {"", false, false, 0},
    };
    struct text_table *table = text_table_create(columns, sizeof columns / sizeof *columns, 0);
    int error = table ? 0 : -ENOMEM;

    for (int i = 0; i < METRIC_COUNT && error == 0; i++) {
        uint64_t before = difference->base->metric[i], after = difference->fresh->metric[i];
        enum metric_unit unit = metric_rows[i].unit;
        struct unit_text base = metric_text(unit, before), fresh = metric_text(unit, after);
        char change[112];

        if (!both_have(difference, i))
            continue;
        change_cell(unit, before, after, change, sizeof change);
        error = text_table_add(
            table, (const char *const[]){metric_rows[i].key, base.text, fresh.text, change,
                                         difference->metric_grew[i] ? "grew" : ""});
    }
    return text_table_finish(table, out) < 0 || error < 0 ? -ENOMEM : 0;
}

static const char *site_word(const struct site_change *change)
{
    if (change->regrouped && !change->grew)
        return change->in_new ? "new name?" : "old name?";
    if (!change->in_base)
        return change->grew ? "new, grew" : "new";
    if (!change->in_new)
        return "gone";
    return change->grew ? "grew" : "";
}

static size_t regrouped_count(const struct difference *difference)
{
    size_t count = 0;

    for (size_t i = 0; i < difference->sites; i++)
        count += difference->site[i].regrouped;
    return count;
}

/** Says what the table of sites leaves out, and how sites without a counterpart were judged. */
static void rest_print(const struct difference *difference, size_t top, FILE *out)
{
    size_t held = sites_that_hold_other(difference), traffic = difference->sites - held;

    if (top < held)
        fprintf(out, "\n%zu more: --top %zu\n", held - top, held);
    if (traffic)
        fprintf(out, "\n%zu %s in total allocations only, not in memory held.\n", traffic,
                traffic == 1 ? "site differs" : "sites differ");
    if (regrouped_count(difference))
        fputs("\nSites found on one side only may have been renamed; they are compared as a group, "
              "by the\nmemory they hold at the overall peak and at the end.\n",
              out);
    if (difference->base->sites_left_out || difference->fresh->sites_left_out)
        fputs("\nSmall sites omitted from a baseline are not compared.\n", out);
}

struct site_cells {
    char name[512], base[48], fresh[48], change[112], leaked[48];
};

static void site_cells_fill(const struct site_change *site, struct site_cells *ret_cells)
{
    const uint64_t *before = site->before, *after = site->after;

    snapshot_site_text(site->site, ret_cells->name, sizeof ret_cells->name);
    snprintf(ret_cells->base, sizeof ret_cells->base, "%s",
             unit_bytes(before[SNAPSHOT_peak_bytes]).text);
    snprintf(ret_cells->fresh, sizeof ret_cells->fresh, "%s",
             unit_bytes(after[SNAPSHOT_peak_bytes]).text);
    change_cell(METRIC_UNIT_BYTES, before[SNAPSHOT_peak_bytes], after[SNAPSHOT_peak_bytes],
                ret_cells->change, sizeof ret_cells->change);
    snprintf(
        ret_cells->leaked, sizeof ret_cells->leaked, "%s",
        change_text(METRIC_UNIT_BYTES, before[SNAPSHOT_leaked_bytes], after[SNAPSHOT_leaked_bytes])
            .text);
}

static int sites_text(const struct difference *difference, size_t top, FILE *out)
{
    static const struct text_column columns[] = {
        {"SITE", false, true, 0},   {"BASE", true, false, 0},   {"NEW", true, false, 0},
        {"CHANGE", true, false, 0}, {"LEAKED", true, false, 0}, {"", false, false, 0},
    };
    const struct site_change *site;
    struct text_table *table;
    size_t position = 0;
    int error;

    if (!sites_that_hold_other(difference)) {
        fputs("\nNo site differs.\n", out);
        rest_print(difference, top, out);
        return 0;
    }
    table = text_table_create(columns, sizeof columns / sizeof *columns, 100);
    error = table ? 0 : -ENOMEM;
    for (size_t i = 0; i < top && error == 0 && (site = site_next(difference, &position)); i++) {
        struct site_cells cells;

        site_cells_fill(site, &cells);
        error = text_table_add(table,
                               (const char *const[]){cells.name, cells.base, cells.fresh,
                                                     cells.change, cells.leaked, site_word(site)});
    }
    fputs("\nBy site, at the peak of each:\n", out);
    if (text_table_finish(table, out) < 0 || error < 0)
        return -ENOMEM;
    rest_print(difference, top, out);
    return 0;
}

/** Writes a line for each site that keeps the pool's segments free; `bullet` begins it. */
static void pins_print(const struct difference *difference, size_t top, const char *bullet,
                       void (*print)(const char *text, FILE *out), FILE *out)
{
    if (difference->pins)
        fputs("\nFree segment space pinned at the peak:\n", out);
    if (difference->pins && *bullet)
        fputc('\n', out);
    for (size_t i = 0; i < difference->pins && i < top; i++) {
        const struct pin_change *pin = &difference->pin[i];
        char name[512];

        snapshot_pinned_text(pin->site, name, sizeof name);
        fputs(bullet, out);
        print(name, out);
        fprintf(out, ": %s, was %s (%s)\n", unit_bytes(pin->after).text,
                unit_bytes(pin->before).text,
                change_text(METRIC_UNIT_BYTES, pin->before, pin->after).text);
    }
}

static void plain_text(const char *text, FILE *out)
{
    escape_print(out, ESCAPE_LINE, text);
}

static void verdict_print(const struct difference *difference, const struct difference_style *style,
                          FILE *out)
{
    const char *separator = "";

    if (!difference->metrics_grown && !difference->sites_grown) {
        fprintf(out, "nothing grew beyond %s\n", style->tolerance);
        return;
    }
    fprintf(out, "grew beyond %s: ", style->tolerance);
    for (int i = 0; i < METRIC_COUNT; i++)
        if (difference->metric_grew[i]) {
            fprintf(out, "%s%s", separator, metric_rows[i].key);
            separator = ", ";
        }
    if (difference->sites_grown)
        fprintf(out, "%s%zu site%s", separator, difference->sites_grown,
                difference->sites_grown == 1 ? "" : "s");
    fputc('\n', out);
}

int difference_text(const struct difference *difference, const struct difference_style *style,
                    FILE *out)
{
    int error;

    escape_line(out, "base: %s", style->base);
    escape_line(out, "new:  %s", style->fresh);
    fputc('\n', out);
    error = metrics_text(difference, out);
    if (error == 0)
        error = sites_text(difference, style->top ? style->top : TOP_DEFAULT, out);
    if (error < 0)
        return error;
    pins_print(difference, style->top ? style->top : TOP_DEFAULT, "", plain_text, out);
    fputc('\n', out);
    verdict_print(difference, style, out);
    return 0;
}

void markdown_text(const char *text, FILE *out)
{
    escape_print(out, ESCAPE_MARKDOWN, text);
}

void difference_sites_markdown(const struct difference *difference, size_t top, FILE *out)
{
    const struct site_change *site;
    size_t position = 0;

    if (sites_that_hold_other(difference))
        fputs("| site | base | new | change | leaked | |\n|---|---:|---:|---:|---:|---|\n", out);
    else
        fputs("No site differs.\n", out);
    for (size_t i = 0; i < top && (site = site_next(difference, &position)); i++) {
        struct site_cells cells;

        site_cells_fill(site, &cells);
        fputs("| ", out);
        markdown_text(cells.name, out);
        fprintf(out, " | %s | %s | %s | %s | %s |\n", cells.base, cells.fresh, cells.change,
                cells.leaked, site_word(site));
    }
    rest_print(difference, top, out);
}

int difference_markdown(const struct difference *difference, const struct difference_style *style,
                        FILE *out)
{
    fputs("## Device memory: ", out);
    verdict_print(difference, style, out);
    fputs("\nBase: ", out);
    markdown_text(style->base, out);
    fputs("; new: ", out);
    markdown_text(style->fresh, out);
    fputs("\n\n| metric | base | new | change | |\n|---|---:|---:|---:|---|\n", out);
    for (int i = 0; i < METRIC_COUNT; i++) {
        uint64_t before = difference->base->metric[i], after = difference->fresh->metric[i];
        enum metric_unit unit = metric_rows[i].unit;
        char change[112];

        if (!both_have(difference, i))
            continue;
        change_cell(unit, before, after, change, sizeof change);
        fprintf(out, "| `%s` | %s | %s | %s | %s |\n", metric_rows[i].key,
                metric_text(unit, before).text, metric_text(unit, after).text, change,
                difference->metric_grew[i] ? "**grew**" : "");
    }
    fputs("\nBy site, at the peak of each:\n\n", out);
    difference_sites_markdown(difference, style->top ? style->top : TOP_DEFAULT, out);
    pins_print(difference, style->top ? style->top : TOP_DEFAULT, "- ", markdown_text, out);
    return ferror(out) ? -EIO : 0;
}

static json_t *pair_json(enum metric_unit unit, uint64_t before, uint64_t after)
{
    json_t *pair = json_object();

    json_object_set_new(pair, "base", metric_json(unit, before));
    json_object_set_new(pair, "new", metric_json(unit, after));
    return pair;
}

static void site_name_set(json_t *object, const struct snapshot_site *site, uint64_t line)
{
    json_object_set_new(object, "module", json_text_or_null(site->module));
    json_object_set_new(object, "function", json_text_or_null(site->function));
    json_object_set_new(object, "file", json_text_or_null(site->file));
    json_object_set_new(object, "line", line ? json_integer((json_int_t)line) : json_null());
}

static json_t *pins_json(const struct difference *difference)
{
    json_t *array = json_array();

    for (size_t i = 0; i < difference->pins; i++) {
        const struct pin_change *pin = &difference->pin[i];
        json_t *object = json_object();

        site_name_set(object, pin->site, pin->site->pinned_line);
        json_object_set_new(object, "pinned_bytes",
                            pair_json(METRIC_UNIT_COUNT, pin->before, pin->after));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *site_json(const struct site_change *change)
{
    json_t *site = json_object();

    site_name_set(site, change->site, change->site->line);
    json_object_set_new(site, "in_base", json_boolean(change->in_base));
    json_object_set_new(site, "in_new", json_boolean(change->in_new));
    json_object_set_new(site, "grew", json_boolean(change->grew));
    json_object_set_new(site, "regrouped", json_boolean(change->regrouped));
    for (int k = 0; k < SNAPSHOT_FIGURE_COUNT; k++)
        json_object_set_new(site, snapshot_figure_name[k],
                            pair_json(METRIC_UNIT_COUNT, change->before[k], change->after[k]));
    return site;
}

int difference_json(const struct difference *difference, const struct difference_style *style,
                    FILE *out)
{
    json_t *root = json_object(), *metrics = json_object(), *sites = json_array();
    size_t shown = style->top && style->top < difference->sites ? style->top : difference->sites;
    int error;

    for (int i = 0; i < METRIC_COUNT; i++) {
        json_t *pair = pair_json(metric_rows[i].unit, difference->base->metric[i],
                                 difference->fresh->metric[i]);

        if (!difference->base->has[i])
            json_object_set_new(pair, "base", json_null());
        if (!difference->fresh->has[i])
            json_object_set_new(pair, "new", json_null());
        json_object_set_new(pair, "grew", json_boolean(difference->metric_grew[i]));
        json_object_set_new(metrics, metric_rows[i].key, pair);
    }
    for (size_t i = 0; i < shown; i++)
        json_array_append_new(sites, site_json(&difference->site[i]));
    json_object_set_new(root, "schema", json_string("cupool.diff/1"));
    json_object_set_new(root, "base", json_text_or_null(style->base));
    json_object_set_new(root, "new", json_text_or_null(style->fresh));
    json_object_set_new(root, "tolerance", json_text_or_null(style->tolerance));
    json_object_set_new(root, "grew",
                        json_boolean(difference->metrics_grown || difference->sites_grown));
    json_object_set_new(root, "metrics", metrics);
    json_object_set_new(root, "sites", sites);
    json_object_set_new(root, "fragmentation_sites", pins_json(difference));
    json_object_set_new(root, "sites_left_out",
                        metric_json(METRIC_UNIT_COUNT, difference->sites - shown));
    error = json_dumpf(root, out, JSON_SORT_KEYS | JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(root);
    return error < 0 || fputc('\n', out) == EOF ? -EIO : 0;
}
