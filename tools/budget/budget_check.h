/* SPDX-License-Identifier: MIT */
/*
 * Checks a trace against a budget, and writes the outcome for people, CI services and forges.
 *
 * Threading: immutable after creation.
 */
#ifndef TOOLS_BUDGET_BUDGET_CHECK_H
#define TOOLS_BUDGET_BUDGET_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tools/budget/budget.h"
#include "tools/budget/difference.h"
#include "tools/budget/snapshot.h"

#define BUDGET_CHECK_PHASES 4

enum budget_check_outcome {
    BUDGET_CHECK_WITHIN,
    BUDGET_CHECK_OVER,
    BUDGET_CHECK_ACCEPTED /* a growth, while the baseline is being replaced */
};

struct budget_check_result {
    const struct budget_item *item;
    enum budget_check_outcome outcome;
    char measured[160], allowed[160];
    char by[64];                      /* how far over; empty otherwise */
    char hint[640];                   /* the site to look at first; may be empty */
    const struct snapshot_site *site; /* the same; NULL: none */
    const char *phase;                /* the one measured; NULL: no budget of a phase */
};

struct budget_check {
    const char *trace;
    struct budget_check_result *result; /* one for each item of the budget, in its order */
    size_t results, over;
    const struct difference *difference; /* against the baseline; NULL: there is none */
    char **warning;                      /* what makes the outcome less sure */
    size_t warnings;
    /* Phases that exceed a budget, each measured alone, for the sites in them. Each costs a reading
     * of the trace, so later ones have no sites. */
    struct snapshot *phase[BUDGET_CHECK_PHASES];
    const char *phase_name[BUDGET_CHECK_PHASES];
    size_t phases;
};

/** Input of a check. Must outlive it. */
struct budget_check_input {
    const char *path;
    const struct snapshot_trace *trace;
    const struct snapshot *measured;
    const struct budget *budget;         /* NULL: nothing is judged */
    const struct difference *difference; /* NULL: growth is accepted */
};

/** Errors: -ENOENT the baseline lacks a figure, -ENOMEM, of reading; with one line in ret_why. */
int budget_check_create(const struct budget_check_input *input, struct budget_check **ret_check,
                        char *ret_why, size_t why_bytes);

/** NULL is accepted. */
void budget_check_destroy(struct budget_check *check);

/** Adds a warning. Errors: -ENOMEM. */
__attribute__((format(printf, 2, 3))) int budget_check_warn(struct budget_check *check,
                                                            const char *format, ...);

/* budget_check_report.c; a stream's own error flag shows failed writes. */

/** A line for each failing budget, then the outcome. */
void budget_check_text(const struct budget_check *check, FILE *out);

/** "measured 3.9 MiB, allowed 3.8 MiB, over by 96 B". */
void budget_check_result_text(const struct budget_check_result *result, char *ret_text,
                              size_t text_bytes);

/** JUnit XML, a test case for each budget. */
void budget_check_junit(const struct budget_check *check, FILE *out);

/** For a job's summary page. */
void budget_check_markdown(const struct budget_check *check, FILE *out);

/** Writes workflow commands of GitHub: at most five annotations. */
void budget_check_github(const struct budget_check *check, FILE *out);

/* budget_check_findings.c */

/** SARIF 2.1.0, a result for each budget that is exceeded. */
void budget_check_sarif(const struct budget_check *check, FILE *out);

/** GitLab's code quality report. */
void budget_check_code_quality(const struct budget_check *check, FILE *out);

/**
 * Returns the path of a site's source: relative to the current directory if it lies below, else as
 * the debug information has it. Valid until the next call.
 */
const char *budget_check_source(const struct snapshot_site *site);

#endif
