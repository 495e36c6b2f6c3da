/* SPDX-License-Identifier: MIT */
/*
 * A budget file: what a program's memory may be, one key a line, in INI form.
 *
 *     [budget]                   the keys of metrics.h, and KEY_growth against a baseline
 *     peak_live = 14 GiB
 *     peak_live_growth = +3%, min 64 MiB
 *     memory_errors = 0          what holds of a file that does not say so, too
 *     [site decode*]             peak and leaked of the sites that fit a glob
 *     peak = 2 GiB
 *     [phase decode*]            phases that fit a glob
 *     device_allocs_per_step = 0
 *     [ignore]                   sites that count nowhere
 *     site = libnccl*
 *     [wrappers]                 functions that hand out memory for others (wrappers.h)
 *     function = gpu_alloc*
 *
 * Threading: immutable after reading.
 */
#ifndef TOOLS_BUDGET_BUDGET_H
#define TOOLS_BUDGET_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/base/texts.h"
#include "tools/budget/metrics.h"

struct budget_item {
    const char *name; /* "peak_live", "site decode*: peak" */
    char *text;       /* the value as written */
    char *glob;       /* NULL: all sites */
    size_t set;       /* of sites: the number of its glob among `sites`, from 0 */
    enum metric metric;
    bool is_growth;
    bool is_default; /* not in the file: reported only if exceeded */
    bool is_phase;   /* the glob is of phases; `metric` then only has the figure's unit */
    enum phase_metric phase_metric;
    uint64_t limit;             /* of one that is no growth */
    struct tolerance tolerance; /* of a growth */
};

struct budget {
    struct budget_item *item; /* in the order of the file */
    size_t items;
    struct texts names; /* of the items */
    struct texts sites; /* distinct globs of [site] sections */
    char **ignored;
    size_t ignored_count;
    char **wrapper; /* globs */
    size_t wrappers;
};

/** Errors: negative errno, with one line FILE:LINE: what is wrong and what is accepted. */
int budget_read(const char *path, struct budget **ret_budget, char *ret_why, size_t why_bytes);

/** NULL is accepted. */
void budget_destroy(struct budget *budget);

bool budget_has_growth(const struct budget *budget);

#endif
