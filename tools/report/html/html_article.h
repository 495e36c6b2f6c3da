/* SPDX-License-Identifier: MIT */
/*
 * One trace of the HTML report, and its sections. Each section writes a heading, text, and tables
 * or pictures that need no script.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPORT_HTML_HTML_ARTICLE_H
#define TOOLS_REPORT_HTML_HTML_ARTICLE_H

#include "tools/report/base/callers.h"
#include "tools/report/base/report.h"

#define HTML_MOST_ROWS 5000 /* of a table, so that a page stays below 10 MB */

struct html_article {
    const struct analysis *analysis;
    const char *trace;
    size_t number; /* of the document's articles, from 1; makes ids unique */
    size_t top;    /* rows of a table */
    FILE *out;
    const struct callers *callers;
};

/** Opens a section with its heading; closed by html_section_end. */
void html_section_begin(const struct html_article *article, const char *id, const char *heading);
void html_section_end(const struct html_article *article);

/** A section that has nothing to show: one line. */
void html_section_empty(const struct html_article *article, const char *id, const char *heading,
                        const char *text);

/** Writes a cell with the name of a site, and its location as a tooltip; empty for none. */
void html_cell_site(const struct html_article *article, uint64_t site);

/** Findings: ranked causes, each with evidence and an action. */
void html_findings_print(const struct html_article *article);

/** Writes the main call paths of a site, under its name in a cell. */
void html_paths_print(const struct html_article *article, uint64_t site);

/** Writes levels over time: a picture, which the script replaces by a chart, and its tables.
 * Errors: -ENOMEM. */
int html_chart_print(const struct html_article *article);

/** Allocations by call stack, frame by frame. Errors: -ENOMEM. */
int html_flame_print(const struct html_article *article);

/** Address map. Errors: -ENOMEM. */
int html_map_print(const struct html_article *article);

/** Bars of sizes, inside another section. Errors: -ENOMEM. */
int html_size_bars_print(const struct html_article *article);

/** Lifetimes of blocks, and temporary blocks. Errors: -ENOMEM. */
int html_lifetimes_print(const struct html_article *article);

/** Owners of the driver's memory, and the pool's statistics. Errors: -ENOMEM. */
int html_device_print(const struct html_article *article);

/** Sites, sizes, libraries, APIs, kinds and phases. Errors: -ENOMEM. */
int html_breakdowns_print(const struct html_article *article);

/** Memory errors: writes beside blocks and into freed memory; nothing if there are none. */
void html_memory_errors_print(const struct html_article *article);

/** Refused requests: the reason, and a link to the details; nothing if there were none. */
void html_oom_banner_print(const struct html_article *article);

/** Results of defragmentation; nothing if no pool had mapped memory. */
void html_defragmentation_print(const struct html_article *article);

/** The source line of a site, under its name in a cell; nothing if it is not available. */
void html_source_print(const struct html_article *article, uint64_t site);

/** Leaks, invalid frees, refused requests. Errors: -ENOMEM. */
int html_troubles_print(const struct html_article *article);

/** About the recording: program, devices, versions, missing parts. Errors: -ENOMEM. */
int html_provenance_print(const struct html_article *article);

#endif
