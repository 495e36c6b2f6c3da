/* SPDX-License-Identifier: MIT */
#include "tools/report/report_memory_errors.h"

#include <inttypes.h>

#include "tools/base/escape.h"
#include "tools/base/units.h"
#include "tools/report/base/memory_error_text.h"

#define TEXT_ROWS     5
#define TEXT_SUSPECTS 6
#define MARKDOWN_ROWS 20

static void text_sites_print(const struct report_page *page, const struct memory_errors_row *row,
                             const char *indent)
{
    char name[256];

    report_site_name(page->analysis, row->allocation_site, name, sizeof name);
    report_text_line(page, "");
    escape_line(page->out, "%sallocated by %s", indent, name);
    if (!row->free_site && row->kind == MEMORY_ERROR_SUSPECT)
        return;
    report_text_line(page, "");
    if (row->free_site) {
        report_site_name(page->analysis, row->free_site, name, sizeof name);
        escape_line(page->out, "%sfreed by %s", indent, name);
    } else {
        fprintf(page->out, "%sstill live at that time\n", indent);
    }
}

/* A fault, and the first of the blocks that it may concern. */
static void text_fault_print(const struct report_page *page, uint64_t index)
{
    const struct memory_errors *errors = &page->analysis->memory_errors;
    uint64_t count = 0;

    report_text_line(page, "");
    fprintf(page->out, "%sillegal address%s: the device accessed an unmapped address\n",
            report_text_colour(page, REPORT_RED), report_text_colour(page, REPORT_PLAIN));
    report_text_line(page, "");
    fputs("  not reported by the driver; suspects, freed or at the end of mapped memory:\n",
          page->out);
    for (uint64_t i = 0; i < errors->suspects; i++) {
        const struct memory_errors_row *row = &errors->suspect[i].row;

        if (errors->suspect[i].error != index || count++ >= TEXT_SUSPECTS)
            continue;
        report_text_line(page, "");
        fprintf(page->out, "  block %#" PRIx64 " of %" PRIu64 " B, %s\n", row->address,
                row->requested_bytes, row->offset ? "freed" : "live");
        text_sites_print(page, row, "    ");
    }
    if (count > TEXT_SUSPECTS) {
        report_text_line(page, "");
        fprintf(page->out, "  [%s: -f json]\n",
                unit_nouns(count - TEXT_SUSPECTS, "more block").text);
    }
}

static void text_row_print(const struct report_page *page, const struct memory_errors_row *row)
{
    char place[64];

    memory_error_place_text(row, place, sizeof place);
    report_text_line(page, "");
    fprintf(page->out, "%s%s%s: block %#" PRIx64 " of %" PRIu64 " B\n",
            report_text_colour(page, REPORT_RED), memory_error_name(row->kind),
            report_text_colour(page, REPORT_PLAIN), row->address, row->requested_bytes);
    report_text_line(page, "");
    fprintf(page->out, "  %s: %#04x instead of %#04x\n", place, row->found, row->expected);
    text_sites_print(page, row, "  ");
}

void report_text_memory_errors(const struct report_page *page)
{
    const struct memory_errors *errors = &page->analysis->memory_errors;
    uint64_t unverified = 0;

    (void)analysis_counter_get(page->analysis, MEMORY_ERROR_UNVERIFIED, &unverified);
    if (!errors->count && !unverified)
        return;
    report_text_line(page, "Memory errors");
    fprintf(page->out, "%s%s%s", errors->count ? report_text_colour(page, REPORT_RED) : "",
            unit_count(errors->count).text,
            errors->count ? report_text_colour(page, REPORT_PLAIN) : "");
    if (unverified)
        fprintf(page->out, "; %s could not be checked", unit_blocks(unverified).text);
    fputc('\n', page->out);
    for (uint64_t i = 0; i < memory_errors_kept(errors) && i < TEXT_ROWS; i++)
        if (errors->row[i].kind == MEMORY_ERROR_FAULT)
            text_fault_print(page, i);
        else
            text_row_print(page, &errors->row[i]);
    if (errors->count > TEXT_ROWS) {
        report_text_line(page, "");
        fprintf(page->out, "[%" PRIu64 " more: -f json]\n", errors->count - TEXT_ROWS);
    }
}

static void markdown_site_print(const struct analysis *analysis, uint64_t site, FILE *out)
{
    char name[256];

    if (site) {
        report_site_name(analysis, site, name, sizeof name);
        escape_print(out, ESCAPE_MARKDOWN, name);
    }
    fputs(" |", out);
}

static void markdown_row_print(const struct analysis *analysis, const struct memory_errors_row *row,
                               FILE *out)
{
    char place[64];

    memory_error_place_text(row, place, sizeof place);
    fprintf(out, "| %s | ", memory_error_name(row->kind));
    if (row->kind != MEMORY_ERROR_FAULT)
        fprintf(out, "`%#" PRIx64 "`, %s", row->address, unit_bytes(row->requested_bytes).text);
    fprintf(out, " | %s | ", place);
    if (memory_error_has_bytes(row))
        fprintf(out, "`%#04x` instead of `%#04x`", row->found, row->expected);
    fputs(" | ", out);
    markdown_site_print(analysis, row->allocation_site, out);
    fputc(' ', out);
    markdown_site_print(analysis, row->free_site, out);
    fputc('\n', out);
}

void report_markdown_memory_errors(const struct analysis *analysis, FILE *out)
{
    const struct memory_errors *errors = &analysis->memory_errors;

    if (!errors->count)
        return;
    fprintf(out, "**Memory errors: %s**\n\n", unit_count(errors->count).text);
    fputs("| Error | Block | Position | Found | Allocated by | Freed by "
          "|\n|---|---|---|---|---|---|\n",
          out);
    for (uint64_t i = 0; i < memory_errors_kept(errors) && i < MARKDOWN_ROWS; i++) {
        uint64_t suspects = 0;

        markdown_row_print(analysis, &errors->row[i], out);
        for (uint64_t j = 0; j < errors->suspects; j++)
            if (errors->suspect[j].error == i && suspects++ < MARKDOWN_ROWS)
                markdown_row_print(analysis, &errors->suspect[j].row, out);
    }
    fputc('\n', out);
}

static json_t *site_json(const struct analysis *analysis, uint64_t id)
{
    json_t *object = json_object();

    report_json_site_set(object, analysis, id);
    return object;
}

static void json_sites_set(json_t *object, const struct analysis *analysis,
                           const struct memory_errors_row *row)
{
    json_object_set_new(object, "allocation_site", site_json(analysis, row->allocation_site));
    json_object_set_new(object, "free_site",
                        row->free_site ? site_json(analysis, row->free_site) : json_null());
}

static json_t *suspects_json(const struct analysis *analysis, uint64_t index)
{
    const struct memory_errors *errors = &analysis->memory_errors;
    json_t *array = json_array();

    for (uint64_t i = 0; i < errors->suspects; i++) {
        const struct memory_errors_row *row = &errors->suspect[i].row;
        json_t *object = errors->suspect[i].error == index ? json_object() : NULL;

        if (!object)
            continue;
        report_json_set(object, "address", row->address);
        report_json_set(object, "requested_bytes", row->requested_bytes);
        json_object_set_new(object, "freed", json_boolean(row->offset));
        json_sites_set(object, analysis, row);
        json_array_append_new(array, object);
    }
    return array;
}

json_t *report_json_memory_errors(const struct analysis *analysis)
{
    const struct memory_errors *errors = &analysis->memory_errors;
    json_t *array = json_array();

    for (uint64_t i = 0; i < memory_errors_kept(errors); i++) {
        const struct memory_errors_row *row = &errors->row[i];
        json_t *object = json_object();

        report_json_set(object, "t_ns", row->time_ns);
        json_object_set_new(object, "kind", json_string(memory_error_name(row->kind)));
        report_json_set(object, "address", row->address);
        report_json_set(object, "requested_bytes", row->requested_bytes);
        json_object_set_new(object, "offset", json_integer(row->offset));
        report_json_set(object, "found", row->found);
        report_json_set(object, "expected", row->expected);
        report_json_set(object, "device", row->device);
        report_json_set(object, "context", row->context);
        json_sites_set(object, analysis, row);
        if (row->kind == MEMORY_ERROR_FAULT)
            json_object_set_new(object, "suspects", suspects_json(analysis, i));
        json_array_append_new(array, object);
    }
    return array;
}
