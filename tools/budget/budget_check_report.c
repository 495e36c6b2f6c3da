/* SPDX-License-Identifier: MIT */
/*
 * Writes the outcome of a check as text, JUnit XML, Markdown and GitHub annotations; see
 * budget_check.h. Names come from traces and file names, so every format escapes its input.
 */
#include "tools/budget/budget_check.h"

#include <stdlib.h>
#include <string.h>

#include "tools/base/disguise.h"
#include "tools/base/escape.h"

#define MARKDOWN_MOST      1000000 /* bytes; a job summary on GitHub may have 1,024 KiB */
#define MARKDOWN_SITES     20
#define GITHUB_ANNOTATIONS 5

void budget_check_result_text(const struct budget_check_result *result, char *ret_text,
                              size_t text_bytes)
{
    snprintf(ret_text, text_bytes, "measured %s, allowed %s%s%s%s%s", result->measured,
             result->allowed, *result->by ? ", " : "", result->by, *result->hint ? "; " : "",
             result->hint);
}

static void outcome_text(const struct budget_check *check, char *ret_text, size_t text_bytes)
{
    if (check->over)
        snprintf(ret_text, text_bytes, "over budget: %zu of %zu", check->over, check->results);
    else
        snprintf(ret_text, text_bytes, "within budget: %zu checked", check->results);
}

void budget_check_text(const struct budget_check *check, FILE *out)
{
    char text[1200];

    for (size_t i = 0; i < check->results; i++) {
        if (check->result[i].outcome != BUDGET_CHECK_OVER)
            continue;
        budget_check_result_text(&check->result[i], text, sizeof text);
        escape_line(out, "%s: %s", check->result[i].item->name, text);
    }
    outcome_text(check, text, sizeof text);
    escape_line(out, "%s: %s", check->trace, text);
}

static void xml_text(const char *text, FILE *out)
{
    escape_print(out, ESCAPE_XML, text);
}

static void junit_case(const struct budget_check *check, const struct budget_check_result *result,
                       FILE *out)
{
    char text[1200];

    fputs("    <testcase classname=\"", out);
    xml_text(check->trace, out);
    fputs("\" name=\"", out);
    xml_text(result->item->name, out);
    budget_check_result_text(result, text, sizeof text);
    if (result->outcome == BUDGET_CHECK_WITHIN) {
        fputs("\"/>\n", out);
        return;
    }
    fputs(result->outcome == BUDGET_CHECK_OVER ? "\"><failure type=\"over budget\" message=\""
                                               : "\"><skipped message=\"",
          out);
    xml_text(text, out);
    fputs("\"/></testcase>\n", out);
}

void budget_check_junit(const struct budget_check *check, FILE *out)
{
    size_t accepted = 0;

    for (size_t i = 0; i < check->results; i++)
        accepted += check->result[i].outcome == BUDGET_CHECK_ACCEPTED;
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", out);
    fprintf(out,
            "  <testsuite name=\"cupool check\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" "
            "skipped=\"%zu\">\n",
            check->results, check->over, accepted);
    for (size_t i = 0; i < check->results; i++)
        junit_case(check, &check->result[i], out);
    if (check->warnings)
        fputs("    <system-err>", out);
    for (size_t i = 0; i < check->warnings; i++) {
        xml_text(check->warning[i], out);
        fputs("\n", out);
    }
    if (check->warnings)
        fputs("</system-err>\n", out);
    fputs("  </testsuite>\n</testsuites>\n", out);
}

static void markdown_results(const struct budget_check *check, FILE *out)
{
    static const char *const outcomes[] = {[BUDGET_CHECK_WITHIN] = "within",
                                           [BUDGET_CHECK_OVER] = "over",
                                           [BUDGET_CHECK_ACCEPTED] = "accepted"};

    fputs("| budget | measured | allowed | | |\n|---|---:|---:|---|---|\n", out);
    for (size_t i = 0; i < check->results; i++) {
        const struct budget_check_result *result = &check->result[i];

        fputs("| ", out);
        markdown_text(result->item->name, out);
        fputs(" | ", out);
        markdown_text(result->measured, out);
        fputs(" | ", out);
        markdown_text(result->allowed, out);
        fprintf(out, result->outcome == BUDGET_CHECK_OVER ? " | **%s** | " : " | %s | ",
                result->outcome == BUDGET_CHECK_OVER ? result->by : outcomes[result->outcome]);
        markdown_text(result->hint, out);
        fputs(" |\n", out);
    }
}

static void markdown_write(const struct budget_check *check, FILE *out)
{
    char text[128];

    outcome_text(check, text, sizeof text);
    fprintf(out, "## Device memory: %s\n\n", text);
    markdown_text(check->trace, out);
    fputs("\n\n", out);
    for (size_t i = 0; i < check->warnings; i++) {
        fputs("> **Warning:** ", out);
        markdown_text(check->warning[i], out);
        fputs("\n\n", out);
    }
    if (check->results)
        markdown_results(check, out);
    if (check->difference) {
        fputs("\nCompared with the baseline, by site, at the peak of each:\n\n", out);
        difference_sites_markdown(check->difference, MARKDOWN_SITES, out);
    }
}

void budget_check_markdown(const struct budget_check *check, FILE *out)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);

    if (!memory)
        return;
    markdown_write(check, memory);
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
        escape_print(out, ESCAPE_GITHUB_PROPERTY, disguise_path(budget_check_source(site)));
        fprintf(out, ",line=%llu,", (unsigned long long)site->line);
    }
    fputs("title=cupool ", out);
    escape_print(out, ESCAPE_GITHUB_PROPERTY, title);
    fputs("::", out);
    escape_print(out, ESCAPE_GITHUB, text);
    fputc('\n', out);
}

void budget_check_github(const struct budget_check *check, FILE *out)
{
    size_t written = 0;
    char text[1200];

    for (size_t i = 0; i < check->results; i++) {
        if (check->result[i].outcome != BUDGET_CHECK_OVER)
            continue;
        if (written + 1 == GITHUB_ANNOTATIONS && check->over > GITHUB_ANNOTATIONS) {
            snprintf(text, sizeof text, "further budgets exceeded: %zu, see the job's log",
                     check->over - written);
            github_error("check", text, NULL, out);
            return;
        }
        budget_check_result_text(&check->result[i], text, sizeof text);
        github_error(check->result[i].item->name, text, check->result[i].site, out);
        written++;
    }
}
