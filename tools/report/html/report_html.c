/* SPDX-License-Identifier: MIT */
/*
 * The report as one self-contained HTML file: tables and pictures work without the scripts, which
 * only add to them. The page's content security policy allows the two scripts by hash and no
 * connections, so that text that escaped the escaping could neither run nor fetch anything.
 */
#include "tools/report/html/report_html.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "tools/report/html/html_article.h"
#include "tools/report/html/html_assets.h"
#include "tools/report/html/html_table.h"
#include "tools/report/html/html_job.h"
#include "tools/base/units.h"

#define DEFAULT_TOP      500
#define NAMED_LEAST_PART 1000 /* of the peak: smaller sites are not named */
#define TOP_SITES        3
#define LEAST_TOP        50         /* if many traces share the page */
#define FULL_BYTES       (6U << 20) /* of a page; later traces get their headline only */

static void asset_print(FILE *out, const char *element, const struct html_asset *asset)
{
    fprintf(out, "<%s>", element);
    fwrite(asset->text, 1, asset->bytes, out);
    fprintf(out, "</%s>\n", element);
}

static void head_print(const struct report_input *input, FILE *out)
{
    const char *command = input->analyses[0]->command;

    fprintf(out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
            "style-src 'unsafe-inline'; img-src data:; script-src '%s' '%s'; base-uri 'none'; "
            "form-action 'none'\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
            html_asset_dygraph_js.hash, html_asset_report_js.hash);
    html_text(out, command ? command : input->traces[0]);
    fputs(" \u2013 device memory</title>\n", out);
    asset_print(out, "style", &html_asset_dygraph_css);
    asset_print(out, "style", &html_asset_report_css);
    fputs("</head>\n<body>\n", out);
}

void html_section_begin(const struct html_article *article, const char *id, const char *heading)
{
    fprintf(article->out, "<section id=\"%s-%zu\"><h2>%s</h2>\n", id, article->number, heading);
}

void html_section_end(const struct html_article *article)
{
    fputs("</section>\n", article->out);
}

void html_section_empty(const struct html_article *article, const char *id, const char *heading,
                        const char *text)
{
    fprintf(article->out,
            "<section id=\"%s-%zu\" class=\"empty\"><h2>%s</h2> <p>%s</p></section>\n", id,
            article->number, heading, text);
}

static void banner_print(const struct html_article *article, const char *title, const char *why)
{
    if (!*why)
        return;
    fprintf(article->out, "<p class=\"banner\" role=\"note\"><strong>%s</strong> ", title);
    html_text(article->out, why);
    fputs(".</p>\n", article->out);
}

static void banners_print(const struct html_article *article)
{
    char why[512];

    html_oom_banner_print(article);
    report_simulated(article->analysis, why, sizeof why);
    *why = (char)toupper((unsigned char)*why);
    banner_print(article, "Simulated device.", why);
    report_incomplete(&article->analysis->recording, why, sizeof why);
    banner_print(
        article,
        article->analysis->recording.running ? "Snapshot:" : "The trace is incomplete:", why);
    report_rotated(&article->analysis->recording, why, sizeof why);
    banner_print(article, "The trace is truncated:", why);
}

static void navigation_print(const struct html_article *article)
{
    const struct {
        const char *id, *name; /* NULL: there is no such section */
    } places[] = {
        {"time", "Time"},
        {"flame", "Call stacks"},
        {"map", "Address map"},
        {"device", "Device"},
        {article->analysis->postmortems ? "oom" : NULL, "Out of memory"},
        {article->analysis->memory_errors.count ? "memory-errors" : NULL, "Memory errors"},
        {article->analysis->growths ? "growth" : NULL, "Growing"},
        {article->analysis->total.invalid_frees ? "invalid" : NULL, "Invalid frees"},
        {article->analysis->total.leaked_blocks ? "leaks" : NULL,
         report_unfreed_title(article->analysis)},
        {article->analysis->fragmentation.sites ? "fragmentation" : NULL, "Fragmentation"},
        {defragmentation_is_mapped(article->analysis) ? "defragmentation" : NULL,
         "Defragmentation"},
        {"sites", "Sites"},
        {"sizes", "Sizes"},
        {"lifetimes", "Lifetimes"},
        {"libraries", "Libraries"},
        {"apis", "APIs"},
        {"kinds", "Kinds"},
        {article->analysis->phases ? "phases" : NULL, "Phases"},
        {"provenance", "Origin"}};

    fputs("<nav aria-label=\"Sections\">", article->out);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i].id)
            fprintf(article->out, "<a href=\"#%s-%zu\">%s</a> ", places[i].id, article->number,
                    places[i].name);
    fputs("</nav>\n", article->out);
}

/** `id`: used by the script. */
static void card_print(FILE *out, const char *id, const char *name, const char *value,
                       const char *note, bool bad)
{
    fprintf(
        out,
        "<div class=\"card%s\" data-card=\"%s\"><dt>%s</dt><dd>%s<small>%s</small></dd></div>\n",
        bad ? " bad" : "", id, name, value, note);
}

static void headline_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    const struct tally *total = &analysis->total;
    char note[128];

    fputs("<dl class=\"cards\">\n", article->out);
    snprintf(note, sizeof note, "after %s", unit_duration(analysis->peak_time_ns).text);
    card_print(article->out, "peak", "Peak requested", unit_bytes(analysis->requested.peak).text,
               note, false);
    snprintf(note, sizeof note, "%.1f %% idle; %s maximum", 100 * analysis_overhead(analysis),
             unit_bytes(analysis->driver.peak).text);
    card_print(article->out, "driver", "Driver memory", unit_bytes(analysis->driver.at_peak).text,
               note, false);
    snprintf(note, sizeof note, "%s served by the pool",
             unit_percent(total->hits, total->allocations).text);
    card_print(article->out, "allocations", "Allocations", unit_count(total->allocations).text,
               note, false);
    snprintf(note, sizeof note, "%s without the pool", unit_count(analysis->calls_asked).text);
    card_print(article->out, "calls", "Driver calls",
               unit_count(analysis_driver_calls(analysis)).text,
               analysis_has_pool(analysis) ? note : "no pool in use", false);
    snprintf(note, sizeof note, "in %s", unit_blocks(total->leaked_blocks).text);
    card_print(article->out, "leaked", report_unfreed_title(analysis),
               unit_bytes(total->leaked_bytes).text, note, total->leaked_blocks);
    card_print(article->out, "invalid", "Invalid frees", unit_count(total->invalid_frees).text, "",
               total->invalid_frees);
    if (analysis->memory_errors.count)
        card_print(article->out, "errors", "Memory errors",
                   unit_count(analysis->memory_errors.count).text, "invalid accesses", true);
    card_print(article->out, "failed", "Failed", unit_count(total->failures).text, "allocations",
               total->failures);
    fputs("</dl>\n", article->out);
}

/** The largest sites at the peak, in one sentence. */
static int top_sites_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;
    struct tally *rows = report_rows_sorted(&analysis->sites);
    const char *separator = "Largest at the peak: ";
    char name[256];

    if (!rows)
        return analysis->sites.rows ? -ENOMEM : 0;
    fputs("<p class=\"whole\">", article->out);
    for (size_t i = 0; i < analysis->sites.rows && i < TOP_SITES &&
                       rows[i].live_bytes.at_peak > analysis->requested.peak / NAMED_LEAST_PART;
         i++) {
        report_site_name(analysis, rows[i].key, name, sizeof name);
        fputs(separator, article->out);
        html_text(article->out, name);
        fprintf(article->out, " (%s)",
                unit_percent(rows[i].live_bytes.at_peak, analysis->requested.peak).text);
        separator = "; ";
    }
    fputs("</p>\n", article->out);
    free(rows);
    return 0;
}

static void heading_print(const struct html_article *article)
{
    const struct analysis *analysis = article->analysis;

    fputs("<article>\n<header><h1>", article->out);
    html_text(article->out, analysis->command ? analysis->command : article->trace);
    fprintf(article->out, "</h1>\n<p>pid %u, ran %s%s", analysis->recording.pid,
            unit_duration(analysis->duration_ns).text, report_duration_end(analysis));
    if (analysis_exit_status(analysis) >= 0)
        fprintf(article->out, ", exit status %d", analysis_exit_status(analysis));
    for (size_t i = 0; i < analysis->devices; i++) {
        fputs("; ", article->out);
        html_text(article->out, analysis->device[i].name);
    }
    fputs("</p></header>\n", article->out);
    banners_print(article);
}

/** Writes only the headline of a trace: the page is full. */
static void article_name(const struct html_article *article)
{
    heading_print(article);
    headline_print(article);
    fputs("<p class=\"note\">The page is full: make a separate report of this "
          "trace.</p>\n</article>\n",
          article->out);
}

static int article_print(const struct html_article *article)
{
    int error;

    heading_print(article);
    navigation_print(article);
    html_findings_print(article);
    headline_print(article);
    error = top_sites_print(article);
    error = error == 0 ? html_chart_print(article) : error;
    error = error == 0 ? html_flame_print(article) : error;
    error = error == 0 ? html_map_print(article) : error;
    error = error == 0 ? html_device_print(article) : error;
    error = error == 0 ? html_troubles_print(article) : error;
    error = error == 0 ? html_breakdowns_print(article) : error;
    error = error == 0 ? html_lifetimes_print(article) : error;
    error = error == 0 ? html_provenance_print(article) : error;
    fputs("</article>\n", article->out);
    return error;
}

static size_t rows_wanted(const struct report_input *input, const struct report_style *style)
{
    size_t share = DEFAULT_TOP / input->count;

    if (style->top)
        return style->top < HTML_MOST_ROWS ? style->top : HTML_MOST_ROWS;
    return share > LEAST_TOP ? share : LEAST_TOP;
}

/** A stream that counts its bytes. */
struct counted {
    FILE *out;
    size_t bytes;
    int error; /* errno of the first write that failed */
};

static ssize_t counted_write(void *cookie, const char *data, size_t size)
{
    struct counted *counted = cookie;

    counted->bytes += size;
    errno = 0;
    if (fwrite(data, 1, size, counted->out) == size)
        return (ssize_t)size;
    counted->error = counted->error ? counted->error : errno ? errno : EIO;
    return 0;
}

static int articles_print(const struct report_input *input, const struct report_style *style,
                          FILE *out)
{
    struct counted counted = {.out = out};
    const cookie_io_functions_t functions = {.write = counted_write};
    FILE *stream = fopencookie(&counted, "w", functions);
    int error = stream ? 0 : -ENOMEM;

    if (error == 0 && input->count > 1)
        error = html_job_print(input, stream);
    for (size_t i = 0; i < input->count && error == 0; i++) {
        struct callers callers = {0};
        const struct html_article article = {.analysis = input->analyses[i],
                                             .trace = input->traces[i],
                                             .number = i + 1,
                                             .top = rows_wanted(input, style),
                                             .callers = &callers,
                                             .out = stream};

        error = callers_create(input->analyses[i], &callers);
        fflush(stream);
        if (error == 0 && counted.bytes > FULL_BYTES)
            article_name(&article);
        else if (error == 0)
            error = article_print(&article);
        callers_done(&callers);
    }
    if (stream && fclose(stream) == EOF && error == 0)
        error = -EIO;
    return counted.error ? -counted.error : error;
}

int report_html_write(const struct report_input *input, const struct report_style *style, FILE *out)
{
    int error;

    if (html_assets_missing)
        return -ENOTSUP;
    head_print(input, out);
    error = articles_print(input, style, out);
    fputs("<footer>Made by cupool. Chart: dygraphs (MIT licence), "
          "&copy; Dan Vanderkam and others.</footer>\n",
          out);
    asset_print(out, "script", &html_asset_dygraph_js);
    asset_print(out, "script", &html_asset_report_js);
    fputs("</body>\n</html>\n", out);
    return error;
}
