/* SPDX-License-Identifier: MIT */
/*
 * One table of nouns serves text and Markdown; JSON has the kinds under their own names.
 */
#include "tools/report/report_defragmentation.h"

#include <string.h>

#include "tools/base/escape.h"
#include "tools/base/units.h"
#include "tools/report/report_json_parts.h"

/* Names of each kind of event for people, singular and plural. */
static const char *const nouns[DEFRAGMENTATION_KINDS][2] = {
    [DEFRAGMENTATION_MAP] = {"mapping", "mappings"},
    [DEFRAGMENTATION_UNMAP] = {"unmapping", "unmappings"},
    [DEFRAGMENTATION_STITCH] = {"stitch", "stitches"},
    [DEFRAGMENTATION_BREAK] = {"handle split", "handles split"},
};

/* Not asked for: nothing to say. */
static bool is_worth_a_line(const struct defragmentation_backing *backing)
{
    return backing->mapped || (backing->reason && strcmp(backing->reason, "by option") != 0);
}

/* Contexts of a device usually have the same backing: one line for each that differs. */
static bool is_first(const struct defragmentation *all, size_t row)
{
    for (size_t i = 0; i < row; i++)
        if (all->backing[i].device == all->backing[row].device &&
            all->backing[i].mapped == all->backing[row].mapped)
            return false;
    return true;
}

static void backing_print(const struct report_page *page,
                          const struct defragmentation_backing *backing)
{
    fprintf(page->out, "device %u: the pool's memory is %s", backing->device,
            backing->mapped ? "mapped" : "allocated by the driver");
    if (backing->mapped)
        fprintf(page->out, " (vmm), in pieces of up to %s", unit_bytes(backing->page_bytes).text);
    if (backing->reason) {
        fputs(": ", page->out);
        escape_print(page->out, ESCAPE_LINE, backing->reason);
    }
    fputc('\n', page->out);
}

void report_text_backing(const struct report_page *page)
{
    const struct defragmentation *all = &page->analysis->defragmentation;

    for (size_t i = 0; i < all->backings; i++)
        if (is_worth_a_line(&all->backing[i]) && is_first(all, i))
            backing_print(page, &all->backing[i]);
}

static void sum_print(FILE *out, enum defragmentation_kind kind,
                      const struct defragmentation_sum *sum)
{
    fprintf(out, "%s %s of %s", unit_count(sum->count).text, nouns[kind][sum->count != 1],
            unit_bytes(sum->bytes).text);
    if (sum->duration_ns)
        fprintf(out, ", %s in total, %s maximum", unit_duration(sum->duration_ns).text,
                unit_duration(sum->longest_ns).text);
    if (sum->refused)
        fprintf(out, ", %s failed", unit_count(sum->refused).text);
}

static bool has_happened(const struct defragmentation_sum *sum)
{
    return sum->count || sum->refused;
}

void report_text_defragmentation(const struct report_page *page)
{
    uint64_t free_bytes, largest_bytes;

    if (!defragmentation_is_mapped(page->analysis))
        return;
    fputs("Defragmentation\n", page->out); /* as wide as the column of titles */
    for (int kind = 0; kind < DEFRAGMENTATION_KINDS; kind++) {
        struct defragmentation_sum sum = defragmentation_total(page->analysis, kind);

        if (!has_happened(&sum) && kind != DEFRAGMENTATION_STITCH)
            continue;
        report_text_line(page, "");
        sum_print(page->out, kind, &sum);
        fputc('\n', page->out);
    }
    if (!defragmentation_free(page->analysis, &free_bytes, &largest_bytes))
        return;
    report_text_line(page, "");
    fprintf(page->out, "%s free at the last count, largest piece %s\n", unit_bytes(free_bytes).text,
            unit_bytes(largest_bytes).text);
}

void report_markdown_defragmentation(const struct analysis *analysis, FILE *out)
{
    if (!defragmentation_is_mapped(analysis))
        return;
    fputs("| Defragmentation | Count | Bytes | Total time | Longest | Failed |\n"
          "|---|--:|--:|--:|--:|--:|\n",
          out);
    for (int kind = 0; kind < DEFRAGMENTATION_KINDS; kind++) {
        struct defragmentation_sum sum = defragmentation_total(analysis, kind);

        fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", nouns[kind][1],
                unit_count(sum.count).text, unit_bytes(sum.bytes).text,
                unit_duration(sum.duration_ns).text, unit_duration(sum.longest_ns).text,
                unit_count(sum.refused).text);
    }
    fputc('\n', out);
}

static json_t *backings_json(const struct defragmentation *all)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < all->backings; i++) {
        const struct defragmentation_backing *backing = &all->backing[i];
        json_t *row = json_object();

        json_object_set_new(row, "backing", json_string(backing->mapped ? "vmm" : "driver"));
        report_json_set(row, "context", backing->context);
        report_json_set(row, "device", backing->device);
        report_json_set(row, "page_bytes", backing->page_bytes);
        report_json_set(row, "range_bytes", backing->range_bytes);
        json_object_set_new(row, "reason", json_text_or_null(backing->reason));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *sum_json(const struct defragmentation_sum *sum)
{
    json_t *object = json_object();

    report_json_set(object, "bytes", sum->bytes);
    report_json_set(object, "count", sum->count);
    report_json_set(object, "duration_ns", sum->duration_ns);
    report_json_set(object, "longest_ns", sum->longest_ns);
    report_json_set(object, "refused", sum->refused);
    return object;
}

json_t *report_json_defragmentation(const struct analysis *analysis)
{
    json_t *object = json_object();
    uint64_t free_bytes, largest_bytes;
    bool counted = defragmentation_free(analysis, &free_bytes, &largest_bytes);

    json_object_set_new(object, "backings", backings_json(&analysis->defragmentation));
    for (int kind = 0; kind < DEFRAGMENTATION_KINDS; kind++) {
        struct defragmentation_sum sum = defragmentation_total(analysis, kind);

        json_object_set_new(object, defragmentation_kind_name[kind], sum_json(&sum));
    }
    json_object_set_new(object, "free_bytes",
                        counted ? report_json_integer(free_bytes) : json_null());
    json_object_set_new(object, "largest_free_bytes",
                        counted ? report_json_integer(largest_bytes) : json_null());
    return object;
}
