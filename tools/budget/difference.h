/* SPDX-License-Identifier: MIT */
/*
 * Compares two snapshots: by metric, and by site, largest growth first.
 *
 * Sites are compared by their own peaks: unlike their part of the overall peak, these do not change
 * when the overall peak moves to another moment. The order is total, so equal inputs give equal
 * outputs.
 *
 * Threading: immutable after creation.
 */
#ifndef TOOLS_BUDGET_DIFFERENCE_H
#define TOOLS_BUDGET_DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tools/budget/snapshot.h"

struct site_change {
    const struct snapshot_site *site;         /* for its name */
    const struct snapshot_site *base, *fresh; /* on each side; NULL: not there */
    uint64_t before[SNAPSHOT_FIGURE_COUNT], after[SNAPSHOT_FIGURE_COUNT];
    bool in_base, in_new;
    bool grew;      /* peak or leak beyond tolerance */
    bool regrouped; /* of one side alone, and judged with those it may be on the other */
};

/** A site that keeps more or less free space in the pool's segments beside its blocks. */
struct pin_change {
    const struct snapshot_site *site;
    uint64_t before, after;
};

struct difference {
    const struct snapshot *base, *fresh;
    struct tolerance tolerance;
    bool metric_grew[METRIC_COUNT]; /* worse beyond tolerance; those of the program only */
    size_t metrics_grown, sites_grown;
    struct site_change *site; /* those with a change */
    size_t sites;
    struct pin_change *pin; /* those worth a line, most growth first; of traces only */
    size_t pins;
};

/** Refers to the snapshots. Errors: -ENOMEM. */
int difference_create(const struct snapshot *base, const struct snapshot *fresh,
                      const struct tolerance *tolerance, struct difference **ret_difference);

/** NULL is accepted. */
void difference_destroy(struct difference *difference);

/** The site that grew most, or NULL. */
const struct site_change *difference_first(const struct difference *difference);

/** Describes how two runs differ, "device A, driver 1 (base) and …". False: they are alike. */
bool difference_of_devices(const struct snapshot *base, const struct snapshot *fresh,
                           char *ret_text, size_t text_bytes);

/** "+166.0 KiB", "-3", "0 B". */
struct unit_text change_text(enum metric_unit unit, uint64_t before, uint64_t after);

struct difference_style {
    const char *base, *fresh; /* names of the files */
    const char *tolerance;
    size_t top; /* sites shown; 0: all */
};

/** Errors: negative errno. */
int difference_text(const struct difference *difference, const struct difference_style *style,
                    FILE *out);
int difference_markdown(const struct difference *difference, const struct difference_style *style,
                        FILE *out);
int difference_json(const struct difference *difference, const struct difference_style *style,
                    FILE *out);

/** Writes the table of sites alone, as Markdown; `top` rows at most. */
void difference_sites_markdown(const struct difference *difference, size_t top, FILE *out);

/** Writes text in a cell of a Markdown table: on one line, without markup. */
void markdown_text(const char *text, FILE *out);

#endif
