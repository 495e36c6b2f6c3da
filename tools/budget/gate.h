/* SPDX-License-Identifier: MIT */
/*
 * Checks a trace against a budget, and writes the outcome for people, CI services and forges.
 *
 * Threading: immutable after creation.
 */
#ifndef TOOLS_BUDGET_GATE_H
#define TOOLS_BUDGET_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tools/budget/budget.h"
#include "tools/budget/difference.h"
#include "tools/budget/snapshot.h"

enum gate_outcome {
    GATE_WITHIN,
    GATE_OVER,
    GATE_ACCEPTED /* a growth, while the baseline is being replaced */
};

struct gate_result {
    const struct budget_item *item;
    enum gate_outcome outcome;
    char measured[160], allowed[160];
    char by[64];                      /* how far over; empty otherwise */
    char hint[640];                   /* the site to look at first; may be empty */
    const struct snapshot_site *site; /* the same; NULL: none */
};

struct gate {
    const char *trace;
    struct gate_result *result; /* one for each item of the budget, in its order */
    size_t results, over;
    const struct difference *difference; /* against the baseline; NULL: there is none */
    char **warning;                      /* what makes the outcome less sure */
    size_t warnings;
};

/** Input of a gate. Must outlive it. */
struct gate_input {
    const char *path;
    const struct snapshot_trace *trace;
    const struct snapshot *measured;
    const struct budget *budget;         /* NULL: nothing is judged */
    const struct difference *difference; /* NULL: growth is accepted */
};

/** Errors: -ENOENT the baseline lacks a figure, -ENOMEM, of reading; with one line in ret_why. */
int gate_create(const struct gate_input *input, struct gate **ret_gate, char *ret_why,
                size_t why_bytes);

/** NULL is accepted. */
void gate_destroy(struct gate *gate);

/** Adds a warning. Errors: -ENOMEM. */
__attribute__((format(printf, 2, 3))) int gate_warn(struct gate *gate, const char *format, ...);

/* gate_report.c; a stream's own error flag shows failed writes. */

/** A line for each failing budget, then the verdict. */
void gate_text(const struct gate *gate, FILE *out);

/** "measured 3.9 MiB, allowed 3.8 MiB, over by 96 B". */
void gate_result_text(const struct gate_result *result, char *ret_text, size_t text_bytes);

/** JUnit XML, a test case for each budget. */
void gate_junit(const struct gate *gate, FILE *out);

/** For a job's summary page. */
void gate_markdown(const struct gate *gate, FILE *out);

/** Writes workflow commands of GitHub: at most five annotations. */
void gate_github(const struct gate *gate, FILE *out);

/* gate_findings.c */

/** SARIF 2.1.0, a result for each budget that is exceeded. */
void gate_sarif(const struct gate *gate, FILE *out);

/** GitLab's code quality report. */
void gate_code_quality(const struct gate *gate, FILE *out);

/** Returns a path relative to the current directory if it lies below; valid until the next call. */
const char *gate_relative_path(const char *path);

#endif
