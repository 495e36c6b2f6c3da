/* SPDX-License-Identifier: MIT */
#include "tools/budget/difference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/budget/difference_parts.h"

bool difference_grew(const struct difference *difference, uint64_t before, uint64_t after)
{
    return after > before && after - before > tolerance_allowed(&difference->tolerance, before);
}

void difference_site_judge(const struct difference *difference, struct site_change *change)
{
    change->grew = difference_grew(difference, change->before[SNAPSHOT_peak_bytes],
                                   change->after[SNAPSHOT_peak_bytes]) ||
                   difference_grew(difference, change->before[SNAPSHOT_leaked_bytes],
                                   change->after[SNAPSHOT_leaked_bytes]);
}

static bool grew_beyond(const struct tolerance *tolerance, uint64_t before, uint64_t after)
{
    return after > before && after - before > tolerance_allowed(tolerance, before);
}

static void metrics_compare(struct difference *difference, const struct tolerance *tolerance)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        struct tolerance of_unit = *tolerance;

        if (metric_rows[i].unit != METRIC_UNIT_BYTES)
            of_unit.absolute = 0;
        if (!difference->base->has[i] || !difference->fresh->has[i] ||
            metric_rows[i].scope != METRIC_OF_PROGRAM)
            continue;
        difference->metric_grew[i] = grew_beyond(&of_unit, difference->base->metric[i],
                                                 difference->fresh->metric[i]);
        difference->metrics_grown += difference->metric_grew[i];
    }
}

static int change_compare(const void *a, const void *b)
{
    const struct site_change *left = a, *right = b;

    for (int k = 0; k < SNAPSHOT_FIGURE_COUNT; k++) {
        /* 128 bits: the difference of two 64-bit figures has 65. */
        __int128 l = (__int128)left->after[k] - left->before[k];
        __int128 r = (__int128)right->after[k] - right->before[k];

        if (l != r)
            return l > r ? -1 : 1;
    }
    return snapshot_site_compare_name(left->site, right->site);
}

static int pointer_compare(const void *a, const void *b)
{
    return snapshot_site_compare_name(*(const void *const *)a, *(const void *const *)b);
}

static const struct snapshot_site **sites_by_name(const struct snapshot *snapshot)
{
    const struct snapshot_site **sorted = calloc(snapshot->sites + 1, sizeof *sorted);

    for (size_t i = 0; sorted && i < snapshot->sites; i++)
        sorted[i] = &snapshot->site[i];
    if (sorted)
        qsort(sorted, snapshot->sites, sizeof(void *), pointer_compare);
    return sorted;
}

/** Adds what became of a site; either may be NULL. */
static void change_add(struct difference *difference, const struct snapshot_site *before,
                       const struct snapshot_site *after)
{
    struct site_change *change = &difference->site[difference->sites];
    /* If a side left small sites out, no site can be called new, or gone. */
    bool unknown = (!before && difference->base->sites_left_out) ||
                   (!after && difference->fresh->sites_left_out);

    *change = (struct site_change){.site = after ? after : before,
                                   .base = before,
                                   .fresh = after,
                                   .in_base = before,
                                   .in_new = after};
    if (before)
        memcpy(change->before, before->figure, sizeof change->before);
    if (after)
        memcpy(change->after, after->figure, sizeof change->after);
    if (unknown)
        return;
    difference_site_judge(difference, change);
    difference->sites++;
}

/** Keeps the sites with a change, and counts those that grew. */
static void changes_keep(struct difference *difference)
{
    size_t kept = 0;

    for (size_t i = 0; i < difference->sites; i++) {
        const struct site_change *change = &difference->site[i];

        if (!memcmp(change->before, change->after, sizeof change->before))
            continue;
        difference->sites_grown += change->grew;
        difference->site[kept++] = *change;
    }
    difference->sites = kept;
}

/** Free segment space depends on the pool's history: large amounts are reported, never judged. */
static void pin_add(struct difference *difference, const struct snapshot_site *before,
                    const struct snapshot_site *after)
{
    const struct snapshot *base = difference->base, *fresh = difference->fresh;
    struct pin_change change = {.site = after ? after : before,
                                .before = before ? before->pinned_bytes : 0,
                                .after = after ? after->pinned_bytes : 0};
    uint64_t moved = change.after > change.before ? change.after - change.before
                                                  : change.before - change.after;
    uint64_t driver = base->metric[METRIC_peak_driver] > fresh->metric[METRIC_peak_driver]
                          ? base->metric[METRIC_peak_driver]
                          : fresh->metric[METRIC_peak_driver];

    if (base->has_pinned && fresh->has_pinned && fragmentation_is_notable(moved, driver))
        difference->pin[difference->pins++] = change;
}

static int pin_compare(const void *a, const void *b)
{
    const struct pin_change *left = a, *right = b;
    __int128 l = (__int128)left->after - left->before, r = (__int128)right->after - right->before;

    if (l != r)
        return l > r ? -1 : 1;
    return snapshot_site_compare_name(left->site, right->site);
}

/** Walks both lists in the order of names. */
static int sites_compare(struct difference *difference)
{
    const struct snapshot *base = difference->base, *fresh = difference->fresh;
    const struct snapshot_site **left = sites_by_name(base), **right = sites_by_name(fresh);
    size_t i = 0, j = 0;
    int error = -ENOMEM;

    difference->site = calloc(base->sites + fresh->sites + 1, sizeof *difference->site);
    difference->pin = calloc(base->sites + fresh->sites + 1, sizeof *difference->pin);
    if (!left || !right || !difference->site || !difference->pin)
        goto free;
    while (i < base->sites || j < fresh->sites) {
        int order = i == base->sites    ? 1
                    : j == fresh->sites ? -1
                                        : snapshot_site_compare_name(left[i], right[j]);

        change_add(difference, order <= 0 ? left[i] : NULL, order >= 0 ? right[j] : NULL);
        i += order <= 0;
        j += order >= 0;
    }
    error = difference_match(difference);
    for (size_t k = 0; k < difference->sites; k++)
        if (difference->site[k].base || difference->site[k].fresh)
            pin_add(difference, difference->site[k].base, difference->site[k].fresh);
    changes_keep(difference);
free:
    free(left);
    free(right);
    return error;
}

int difference_create(const struct snapshot *base, const struct snapshot *fresh,
                      const struct tolerance *tolerance, struct difference **ret_difference)
{
    struct difference *difference = calloc(1, sizeof *difference);
    int error;

    if (!difference)
        return -ENOMEM;
    difference->base = base;
    difference->fresh = fresh;
    difference->tolerance = *tolerance;
    metrics_compare(difference, tolerance);
    error = sites_compare(difference);
    if (error < 0) {
        difference_destroy(difference);
        return error;
    }
    qsort(difference->site, difference->sites, sizeof *difference->site, change_compare);
    qsort(difference->pin, difference->pins, sizeof *difference->pin, pin_compare);
    *ret_difference = difference;
    return 0;
}

void difference_destroy(struct difference *difference)
{
    if (!difference)
        return;
    free(difference->site);
    free(difference->pin);
    free(difference);
}

const struct site_change *difference_first(const struct difference *difference)
{
    const struct site_change *first = difference->sites ? &difference->site[0] : NULL;

    for (int k = 0; first && k < SNAPSHOT_FIGURE_COUNT; k++)
        if (first->after[k] != first->before[k])
            return first->after[k] > first->before[k] ? first : NULL;
    return NULL;
}

static void devices_text(const struct snapshot *snapshot, char *ret_text, size_t text_bytes)
{
    size_t used = 0;

    snprintf(ret_text, text_bytes, "no device");
    for (size_t i = 0; i < snapshot->devices && used < text_bytes; i++)
        used += (size_t)snprintf(ret_text + used, text_bytes - used, "%s%s, driver %s",
                                 i ? "; " : "", snapshot->device[i].name,
                                 snapshot->device[i].driver);
}

bool difference_of_devices(const struct snapshot *base, const struct snapshot *fresh,
                           char *ret_text, size_t text_bytes)
{
    bool same = base->devices == fresh->devices;
    char before[512], after[512];

    for (size_t i = 0; same && i < base->devices; i++)
        same = !strcmp(base->device[i].name, fresh->device[i].name) &&
               !strcmp(base->device[i].driver, fresh->device[i].driver);
    if (same)
        return false;
    devices_text(base, before, sizeof before);
    devices_text(fresh, after, sizeof after);
    snprintf(ret_text, text_bytes, "device or driver differs: %s before, %s now", before, after);
    return true;
}

struct unit_text change_text(enum metric_unit unit, uint64_t before, uint64_t after)
{
    struct unit_text figure = metric_text(unit, after > before ? after - before : before - after);
    struct unit_text result;

    if (after == before)
        return figure;
    snprintf(result.text, sizeof result.text, "%c%.*s", after > before ? '+' : '-',
             (int)sizeof result.text - 2, figure.text);
    return result;
}
