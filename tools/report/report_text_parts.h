/* SPDX-License-Identifier: MIT */
/*
 * Sections of the text report.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPORT_REPORT_TEXT_PARTS_H
#define TOOLS_REPORT_REPORT_TEXT_PARTS_H

#include "tools/report/base/callers.h"
#include "tools/report/base/report.h"

#define REPORT_BOLD   "\033[1m"
#define REPORT_RED    "\033[31m"
#define REPORT_YELLOW "\033[33m"
#define REPORT_PLAIN  "\033[0m"

struct report_page {
    const struct analysis *analysis;
    const struct report_style *style;
    FILE *out;
    struct callers callers;
};

/** A terminal's code, or nothing where there is no colour. */
const char *report_text_colour(const struct report_page *page, const char *code);

/** Begins a line with its title. */
void report_text_line(const struct report_page *page, const char *title);

/** Prints a text as part of a line, cut to so many columns. */
void report_text_cut(const struct report_page *page, const char *text, size_t columns);

/** What matters first, with evidence and what to do. */
void report_text_findings(const struct report_page *page);

/** The requested breakdown; rows of sites have their call paths under them. */
int report_text_breakdown(const struct report_page *page, enum report_by by, size_t top);

/** The selected part of the trace, and the memory live at its beginning. */
void report_text_window(const struct report_page *page);

/** Refused requests, the first with its verdict. */
void report_text_postmortems(const struct report_page *page);

/** Sites that keep segments mostly free, if they are worth a line. */
void report_text_fragmentation(const struct report_page *page);

/** Sites that grow and are not freed in the end. */
void report_text_growth(const struct report_page *page);

/** The table of phases. Errors: -ENOMEM. */
int report_text_phases(const struct report_page *page, size_t top);

#endif
