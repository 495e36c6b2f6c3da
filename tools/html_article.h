/* SPDX-License-Identifier: MIT */
/*
 * One trace of the HTML report, and its sections. Each section writes a heading, what it shows in
 * words, and tables or pictures that need no script.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_HTML_ARTICLE_H
#define TOOLS_HTML_ARTICLE_H

#include "tools/report.h"

struct html_article {
    const struct analysis *analysis;
    const char *trace;
    size_t number; /* of the document's articles, from 1; makes ids unique */
    size_t top;    /* rows of a table */
    FILE *out;
};

/** Opens a section with its heading; closed by html_section_end. */
void html_section_begin(const struct html_article *article, const char *id, const char *heading);
void html_section_end(const struct html_article *article);

/** Levels over time: a picture, which the script replaces by a chart, and its table. */
void html_chart_print(const struct html_article *article);

/** Libraries and their sites at the peak. Errors: -ENOMEM. */
int html_icicle_print(const struct html_article *article);

/** What the memory of the driver was used for at the peak. */
void html_device_print(const struct html_article *article);

/** Sites, sizes, libraries, APIs, kinds and phases. Errors: -ENOMEM. */
int html_breakdowns_print(const struct html_article *article);

/** Leaks, invalid frees, refused requests. Errors: -ENOMEM. */
int html_troubles_print(const struct html_article *article);

/** What was recorded, by what, on what, and what is missing. */
void html_provenance_print(const struct html_article *article);

#endif
