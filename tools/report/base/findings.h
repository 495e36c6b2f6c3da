/* SPDX-License-Identifier: MIT */
/*
 * The findings that begin a report: at most five, the most serious first, each with its evidence,
 * its site and a remedy. A run without any is clean.
 *
 * Order: failures; leaks; then growth, copies, short peaks, fragmentation and rounding by their
 * bytes; then buffers that are allocated again and again; then memory left at the end. A rule
 * reports only beyond its thresholds (findings.c), so that a program without the problem has no
 * finding.
 *
 * Threading: single-threaded; texts live in the findings.
 */
#ifndef TOOLS_REPORT_BASE_FINDINGS_H
#define TOOLS_REPORT_BASE_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/report/base/callers.h"

#define FINDINGS_MOST 5

/*
 * FINDING(NAME, name, rank)   lower ranks come first
 */
/* clang-format off */
#define FINDINGS(FINDING)                       \
    FINDING(OUT_OF_MEMORY, "out of memory", 0)  \
    FINDING(INVALID_FREE, "invalid free", 1)    \
    FINDING(MEMORY_ERROR, "memory error", 1)    \
    FINDING(LEAK, "leak", 2)                    \
    FINDING(GROWTH, "growth", 3)                \
    FINDING(COPYING, "growth by copying", 3)    \
    FINDING(PEAK, "short peak", 3)              \
    FINDING(FRAGMENTATION, "fragmentation", 3)  \
    FINDING(ROUNDING, "rounding", 3)            \
    FINDING(REPEATED, "repeated allocation", 4) \
    FINDING(NOT_FREED, "not freed", 5)
/* clang-format on */

enum finding_kind {
#define FINDING(NAME, name, rank) FINDING_##NAME,
    FINDINGS(FINDING)
#undef FINDING
        FINDING_KINDS
};

extern const char *const finding_kind_name[FINDING_KINDS];

struct finding {
    enum finding_kind kind;
    uint64_t site;   /* 0: of none */
    uint64_t bytes;  /* memory concerned */
    char text[512];  /* a sentence */
    char where[768]; /* the site and its main call path; empty: none */
    char action[160];
};

struct findings {
    struct finding row[FINDINGS_MOST];
    size_t rows, left_out;
};

void findings_find(const struct analysis *analysis, const struct callers *callers,
                   struct findings *ret_findings);

/** The text for a run without findings. */
const char *findings_none(const struct analysis *analysis);

#endif
