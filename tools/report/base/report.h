/* SPDX-License-Identifier: MIT */
/*
 * Shared by all formats of the report: its input, its style, names of rows and their order.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPORT_BASE_REPORT_H
#define TOOLS_REPORT_BASE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tools/analysis/analysis.h"
#include "tools/symbols/frames.h"

enum report_by {
    REPORT_BY_SITE,
    REPORT_BY_LIBRARY,
    REPORT_BY_SIZE,
    REPORT_BY_API,
    REPORT_BY_TALLIES, /* those before have tallies of their own */
    REPORT_BY_STACK = REPORT_BY_TALLIES,
    REPORT_BY_CALLER,             /* of the site: the function that calls it */
    REPORT_BYS,                   /* those before are tables of allocations */
    REPORT_BY_PHASE = REPORT_BYS, /* has rows of its own */
    REPORT_BY_NAMES
};

struct callers;

/** Names of enum report_by as users write them. */
extern const char *const report_by_name[REPORT_BY_NAMES];

struct report_style {
    enum report_by by; /* what the text report breaks down */
    size_t top;        /* rows of a breakdown; 0: the form's own default */
    bool colour;
    unsigned columns; /* width of the text */
};

/** One analysis for each trace. */
struct report_input {
    struct analysis *const *analyses;
    const char *const *traces; /* their names as given */
    size_t count;
};

/** Writes all analyses of the input. Errors: negative errno. */
typedef int report_write_fn(const struct report_input *input, const struct report_style *style,
                            FILE *out);

/** Losses of a trace with a size limit, as one clause; empty without any. */
void report_rotated(const struct trace_summary *recording, char *ret_text, size_t text_bytes);

/** Label for memory not freed: "never freed", after a kill "live at the end", for a running
 * program "live now". */
const char *report_unfreed(const struct analysis *analysis);

/** Title of this memory: "Leaks", "Live at the end", "Live now". */
const char *report_unfreed_title(const struct analysis *analysis);

/** Heading of its column: "Leaked", "At the end", "Now". */
const char *report_unfreed_heading(const struct analysis *analysis);

/** The label as a column's name in capitals: "LEAKED", "AT THE END", "NOW". */
const char *report_unfreed_column(const struct analysis *analysis);

/** Follows a duration that ends before the program did: " until its last call"; or "". */
const char *report_duration_end(const struct analysis *analysis);

/** Missing parts of a trace, as one clause; empty when it is complete. */
void report_incomplete(const struct trace_summary *recording, char *ret_text, size_t text_bytes);

/** Whether records are missing, so that anything not in the trace may have happened. */
bool report_misses_records(const struct trace_summary *recording);

/** The message for a trace without allocations; a sentence without its full stop. */
const char *report_no_memory(const struct trace_summary *recording);

/** What a simulated device did not compute, as one clause; empty when nothing. */
void report_skipped(const struct analysis *analysis, char *ret_text, size_t text_bytes);

/** How reliable figures of a simulated device are, as one clause; empty on hardware. */
void report_simulated(const struct analysis *analysis, char *ret_text, size_t text_bytes);

/** A row's name for people: file and offset, library, size class, API. */
void report_row_name(const struct analysis *analysis, enum report_by by, const struct tally *row,
                     char *ret_text, size_t text_bytes);

/** A site's location for people: function and line or offset, and file. */
void report_site_name(const struct analysis *analysis, uint64_t site, char *ret_text,
                      size_t text_bytes);

/**
 * Key of a site across builds, in diff, check and baselines: the file of its module and its
 * function, or the offset where no name is known.
 */
void report_site_key(const struct analysis *analysis, uint64_t site, char *ret_text,
                     size_t text_bytes);

/** A site's location in parts, for machines. */
struct report_place {
    struct trace_site site; /* the frame of the location; all 0 when it is not known */
    bool known;
    char function[256]; /* empty: no name */
    const char *file;   /* NULL: not known */
    uint64_t line;
};

/** The same of a frame. */
void report_place_of(const struct frame *frame, struct report_place *ret_place);

void report_place_find(const struct analysis *analysis, uint64_t site,
                       struct report_place *ret_place);

/** Rows of a breakdown in their order. */
struct report_rows {
    const struct analysis *analysis;
    const struct callers *callers;
    enum report_by by;
    struct tally *row;
    size_t count;
};

/** Without rows there is nothing to return. Errors: -ENOMEM. */
int report_rows_create(const struct analysis *analysis, const struct callers *callers,
                       enum report_by by, struct report_rows *ret_rows);
void report_rows_done(struct report_rows *rows);

/** A row's name for people. */
void report_rows_name(const struct report_rows *rows, size_t number, char *ret_text,
                      size_t text_bytes);

/** Of those that have tallies. */
const struct tallies *report_tallies(const struct analysis *analysis, enum report_by by);

/** Rows of a breakdown in their order; free() it. NULL: out of memory or no rows. */
struct tally *report_rows_sorted(const struct tallies *tallies);

#endif
