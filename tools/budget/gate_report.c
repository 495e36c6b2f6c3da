/* SPDX-License-Identifier: MIT */
/*
 * Writes the outcome of a gate as text, JUnit XML, Markdown and GitHub annotations; see gate.h.
 * Names come from traces and file names, so every format escapes its input.
 */
#include "tools/budget/gate.h"

#include <stdlib.h>
#include <string.h>

#include "tools/base/disguise.h"
#include "tools/base/escape.h"

#define MARKDOWN_MOST      1000000 /* bytes; a job summary on GitHub may have 1,024 KiB */
#define MARKDOWN_SITES     20
#define GITHUB_ANNOTATIONS 5

void gate_result_text(const struct gate_result *result, char *ret_text, size_t text_bytes)
{
    snprintf(ret_text, text_bytes, "measured %s, allowed %s%s%s%s%s", result->measured,
             result->allowed, *result->by ? ", " : "", result->by, *result->hint ? "; " : "",
             result->hint);
}

static void verdict_text(const struct gate *gate, char *ret_text, size_t text_bytes)
{
    if (gate->over)
        snprintf(ret_text, text_bytes, "over budget: %zu of %zu", gate->over, gate->results);
    else
        snprintf(ret_text, text_bytes, "within budget: %zu checked", gate->results);
}

void gate_text(const struct gate *gate, FILE *out)
{
    char text[1200];

    for (size_t i = 0; i < gate->results; i++) {
        if (gate->result[i].outcome != GATE_OVER)
            continue;
        gate_result_text(&gate->result[i], text, sizeof text);
        escape_line(out, "%s: %s", gate->result[i].item->name, text);
    }
    verdict_text(gate, text, sizeof text);
    escape_line(out, "%s: %s", gate->trace, text);
}

static void xml_text(const char *text, FILE *out)
{
    escape_print(out, ESCAPE_XML, text);
}

static void junit_case(const struct gate *gate, const struct gate_result *result, FILE *out)
{
    char text[1200];

    fputs("    <testcase classname=\"", out);
    xml_text(gate->trace, out);
    fputs("\" name=\"", out);
    xml_text(result->item->name, out);
    gate_result_text(result, text, sizeof text);
    if (result->outcome == GATE_WITHIN) {
        fputs("\"/>\n", out);
        return;
    }
    fputs(result->outcome == GATE_OVER ? "\"><failure type=\"over budget\" message=\""
                                       : "\"><skipped message=\"",
          out);
    xml_text(text, out);
    fputs("\"/></testcase>\n", out);
}

void gate_junit(const struct gate *gate, FILE *out)
{
    size_t accepted = 0;

    for (size_t i = 0; i < gate->results; i++)
        accepted += gate->result[i].outcome == GATE_ACCEPTED;
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", out);
    fprintf(out,
            "  <testsuite name=\"cupool check\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" "
            "skipped=\"%zu\">\n",
            gate->results, gate->over, accepted);
    for (size_t i = 0; i < gate->results; i++)
        junit_case(gate, &gate->result[i], out);
    if (gate->warnings)
        fputs("    <system-err>", out);
    for (size_t i = 0; i < gate->warnings; i++) {
        xml_text(gate->warning[i], out);
        fputs("\n", out);
    }
    if (gate->warnings)
        fputs("</system-err>\n", out);
    fputs("  </testsuite>\n</testsuites>\n", out);
}

static void markdown_results(const struct gate *gate, FILE *out)
{
    static const char *const outcomes[] = {
        [GATE_WITHIN] = "within", [GATE_OVER] = "over", [GATE_ACCEPTED] = "accepted"};

    fputs("| budget | measured | allowed | | |\n|---|---:|---:|---|---|\n", out);
    for (size_t i = 0; i < gate->results; i++) {
        const struct gate_result *result = &gate->result[i];

        fputs("| ", out);
        markdown_text(result->item->name, out);
        fputs(" | ", out);
        markdown_text(result->measured, out);
        fputs(" | ", out);
        markdown_text(result->allowed, out);
        fprintf(out, result->outcome == GATE_OVER ? " | **%s** | " : " | %s | ",
                result->outcome == GATE_OVER ? result->by : outcomes[result->outcome]);
        markdown_text(result->hint, out);
        fputs(" |\n", out);
    }
}

static void markdown_write(const struct gate *gate, FILE *out)
{
    char text[128];

    verdict_text(gate, text, sizeof text);
    fprintf(out, "## Device memory: %s\n\n", text);
    markdown_text(gate->trace, out);
    fputs("\n\n", out);
    for (size_t i = 0; i < gate->warnings; i++) {
        fputs("> **Warning:** ", out);
        markdown_text(gate->warning[i], out);
        fputs("\n\n", out);
    }
    if (gate->results)
        markdown_results(gate, out);
    if (gate->difference) {
        fputs("\nCompared with the baseline, by site, at the peak of each:\n\n", out);
        difference_sites_markdown(gate->difference, MARKDOWN_SITES, out);
    }
}

void gate_markdown(const struct gate *gate, FILE *out)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);

    if (!memory)
        return;
    markdown_write(gate, memory);
    fclose(memory);
    if (bytes > MARKDOWN_MOST) {
        bytes = MARKDOWN_MOST;
        while (bytes && text[bytes - 1] != '\n')
            bytes--;
        fwrite(text, 1, bytes, out);
        fputs("\nTruncated here: a job summary has a size limit.\n", out);
    } else if (text) {
        fwrite(text, 1, bytes, out);
    }
    free(text);
}

/** `site`: the place of the annotation; NULL, or a site without a line: no place. */
static void github_error(const char *title, const char *text, const struct snapshot_site *site,
                         FILE *out)
{
    fputs("::error ", out);
    if (site && site->path && site->line) {
        fputs("file=", out);
        escape_print(out, ESCAPE_GITHUB_PROPERTY, disguise_path(gate_relative_path(site->path)));
        fprintf(out, ",line=%llu,", (unsigned long long)site->line);
    }
    fputs("title=cupool ", out);
    escape_print(out, ESCAPE_GITHUB_PROPERTY, title);
    fputs("::", out);
    escape_print(out, ESCAPE_GITHUB, text);
    fputc('\n', out);
}

void gate_github(const struct gate *gate, FILE *out)
{
    size_t written = 0;
    char text[1200];

    for (size_t i = 0; i < gate->results; i++) {
        if (gate->result[i].outcome != GATE_OVER)
            continue;
        if (written + 1 == GITHUB_ANNOTATIONS && gate->over > GITHUB_ANNOTATIONS) {
            snprintf(text, sizeof text, "further budgets exceeded: %zu, see the job's log",
                     gate->over - written);
            github_error("check", text, NULL, out);
            return;
        }
        gate_result_text(&gate->result[i], text, sizeof text);
        github_error(gate->result[i].item->name, text, gate->result[i].site, out);
        written++;
    }
}
