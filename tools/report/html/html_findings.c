/* SPDX-License-Identifier: MIT */
/*
 * The findings at the top of the HTML report, and the call paths under the names of sites.
 */
#include <stdlib.h>

#include "tools/base/units.h"
#include "tools/report/base/findings.h"
#include "tools/report/html/html_article.h"
#include "tools/report/html/html_table.h"

#define PATHS 3 /* under a site */

void html_findings_print(const struct html_article *article)
{
    struct findings *findings = calloc(1, sizeof *findings);

    if (!findings)
        return;
    findings_find(article->analysis, article->callers, findings);
    fprintf(article->out, "<section id=\"findings-%zu\" class=\"findings\"><h2>Findings</h2>\n",
            article->number);
    if (findings->rows)
        fputs("<ol>\n", article->out);
    for (size_t i = 0; i < findings->rows; i++) {
        const struct finding *finding = &findings->row[i];

        fputs("<li><strong>", article->out);
        html_text(article->out, finding->text);
        fputs("</strong> <span class=\"where\">", article->out);
        html_text(article->out, finding->where);
        fputs("</span> ", article->out);
        html_text(article->out, finding->action);
        fputs("</li>\n", article->out);
    }
    if (findings->rows)
        fputs("</ol>\n", article->out);
    else
        fprintf(article->out, "<p>%s</p>\n", findings_none(article->analysis));
    if (findings->left_out)
        fprintf(article->out, "<p class=\"note\">%s not shown.</p>\n",
                unit_nouns(findings->left_out, "minor finding").text);
    fputs("</section>\n", article->out);
    free(findings);
}

void html_paths_print(const struct html_article *article, uint64_t site)
{
    const struct caller *path;
    size_t count = callers_of(article->callers, site, &path);
    char text[768];

    for (size_t i = 0; i < count && i < PATHS; i++) {
        caller_text(article->callers, &path[i], text, sizeof text);
        if (!*text)
            continue;
        fputs("<small class=\"path\">", article->out);
        if (path[i].sum.live_bytes.at_peak)
            fprintf(article->out, "%s ", unit_bytes(path[i].sum.live_bytes.at_peak).text);
        fputs("from ", article->out);
        html_text(article->out, text);
        fputs("</small>", article->out);
    }
}
