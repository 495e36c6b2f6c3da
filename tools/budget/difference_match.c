/* SPDX-License-Identifier: MIT */
/*
 * Matches sites that have other names in another build. The compiler inlines a function into its
 * caller, a wrapper is detected in one run and not in the other, a library is renamed, a stripped
 * file has only offsets: then one site is gone, another is new, and the memory has moved from one
 * to the other.
 *
 * A site on one side alone is joined with the nearest function of its call paths that the other
 * side has; offsets of one module are joined. Such sites are judged by the sums of their group, at
 * the overall peak and at the end, because own peaks do not add up. They have a bound, however: a
 * site grew in any case if its own peak exceeds what the group's sites had before together that
 * may have become part of it. A site that both sides have is judged by its own figures, as any
 * other, but with room for the memory of the sites that are gone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/texts.h"
#include "tools/budget/difference.h"
#include "tools/budget/difference_parts.h"
#include "tools/symbols/function_name.h"

#define NO_ROW SIZE_MAX

enum side { IN_BASE, IN_NEW, SIDES };

/** The rows with a name, by side. */
struct name_rows {
    size_t alones[SIDES]; /* number of those on that side alone */
    size_t alone[SIDES];  /* the last of these */
    size_t row[SIDES];    /* the last row that is on that side; NO_ROW: none */
};

struct match {
    struct difference *difference;
    struct texts texts;
    size_t *group;  /* of each row: another row of its group, or itself */
    uint32_t *name; /* of each row: number of its function */
    struct name_rows *rows;
    size_t names_room;
};

static size_t group_of(struct match *match, size_t row)
{
    while (match->group[row] != row)
        row = match->group[row] = match->group[match->group[row]];
    return row;
}

static void join(struct match *match, size_t one, size_t other)
{
    match->group[group_of(match, one)] = group_of(match, other);
}

static bool is_alone(const struct site_change *change)
{
    return change->in_base != change->in_new;
}

static uint32_t name_number(struct match *match, const char *function)
{
    char name[512];

    function_name_copy(function, name, sizeof name);
    return texts_number(&match->texts, name);
}

static int match_init(struct match *match, struct difference *difference)
{
    size_t rows = difference->sites;

    *match = (struct match){.difference = difference,
                            .group = calloc(rows + 1, sizeof *match->group),
                            .name = calloc(rows + 1, sizeof *match->name),
                            .rows = calloc(rows + 1, sizeof *match->rows),
                            .names_room = rows + 1};
    if (!match->group || !match->name || !match->rows)
        return -ENOMEM;
    for (size_t i = 0; i < rows; i++) {
        match->group[i] = i;
        match->name[i] = name_number(match, difference->site[i].site->function);
        if (!match->name[i])
            return -ENOMEM;
    }
    return 0;
}

/** Finds the rows of each name, as they are now. */
static void names_collect(struct match *match)
{
    for (size_t i = 0; i < match->names_room; i++)
        match->rows[i] = (struct name_rows){.row = {NO_ROW, NO_ROW}};
    for (size_t i = 0; i < match->difference->sites; i++) {
        const struct site_change *site = &match->difference->site[i];
        struct name_rows *rows = &match->rows[match->name[i]];

        for (enum side side = IN_BASE; side < SIDES; side++) {
            if (!(side == IN_BASE ? site->in_base : site->in_new))
                continue;
            rows->row[side] = i;
            rows->alones[side] += is_alone(site);
            rows->alone[side] = is_alone(site) ? i : rows->alone[side];
        }
    }
}

static void match_done(struct match *match)
{
    free(match->group);
    free(match->name);
    free(match->rows);
    texts_done(&match->texts);
}

/** Returns the only other row with a name, on the other side; NO_ROW: none, or several. */
static size_t counterpart(const struct match *match, size_t row)
{
    struct name_rows *rows = &match->rows[match->name[row]];

    if (rows->alones[IN_BASE] != 1 || rows->alones[IN_NEW] != 1)
        return NO_ROW;
    rows->alones[IN_BASE] = rows->alones[IN_NEW] = 0;
    return rows->alone[IN_BASE];
}

/** A function in a module with another name: one site. */
static void modules_match(struct match *match)
{
    struct site_change *site = match->difference->site;

    names_collect(match);
    for (size_t i = 0; i < match->difference->sites; i++) {
        size_t other = site[i].in_new && is_alone(&site[i]) && site[i].site->function[0] != '+'
                           ? counterpart(match, i)
                           : NO_ROW;

        if (other == NO_ROW)
            continue;
        memcpy(site[i].before, site[other].before, sizeof site[i].before);
        site[i].in_base = true;
        site[i].base = site[other].base;
        site[other].base = NULL;
        difference_site_judge(match->difference, &site[i]);
        site[other].in_base = site[other].grew = false;
        memset(site[other].before, 0, sizeof site[other].before);
    }
}

/** Returns the row that has a function on the side where a site is missing. */
static size_t related_row(const struct match *match, size_t row, uint32_t name)
{
    if (!name || name >= match->names_room)
        return NO_ROW; /* no row has it */
    return match->rows[name].row[match->difference->site[row].in_base ? IN_NEW : IN_BASE];
}

static void paths_match(struct match *match)
{
    const struct difference *difference = match->difference;

    names_collect(match);
    for (size_t i = 0; i < difference->sites; i++) {
        const struct snapshot_site *site = difference->site[i].site;
        size_t other = NO_ROW;

        if (!is_alone(&difference->site[i]))
            continue;
        for (size_t k = 0; k < site->relateds && other == NO_ROW; k++)
            other = related_row(match, i, name_number(match, site->related[k]));
        if (other != NO_ROW)
            join(match, i, other);
    }
}

/** Offsets of one module: a rebuild moves them all. */
static int offsets_match(struct match *match)
{
    const struct site_change *site = match->difference->site;
    struct texts modules = {0};
    size_t *first = calloc(match->difference->sites + 1, sizeof *first); /* row + 1 of a module */
    int error = first ? 0 : -ENOMEM;

    for (size_t i = 0; i < match->difference->sites && error == 0; i++) {
        uint32_t module;

        if (site[i].site->function[0] != '+' || !is_alone(&site[i]))
            continue;
        module = texts_number(&modules, site[i].site->module);
        if (!module)
            error = -ENOMEM;
        else if (first[module])
            join(match, i, first[module] - 1);
        else
            first[module] = i + 1;
    }
    texts_done(&modules);
    free(first);
    return error;
}

/** Sums of a group, and what becomes of its rows. */
struct group_sum {
    uint64_t at_peak[SIDES], leaked[SIDES];
    uint64_t peaks;                   /* own peaks in the base */
    uint64_t gone_peaks, gone_leaked; /* in the base, of its rows there alone */
    bool base;                        /* it has a row of the base alone */
    bool more, leaks;                 /* it grew */
    size_t rows;
};

/** Own peaks are added to a bound: the largest one is none. */
static uint64_t sum_of(uint64_t one, uint64_t other)
{
    return other > UINT64_MAX - one ? UINT64_MAX : one + other;
}

static void group_add(struct group_sum *sum, const struct site_change *site)
{
    sum->at_peak[IN_BASE] += site->before[SNAPSHOT_at_peak_bytes];
    sum->at_peak[IN_NEW] += site->after[SNAPSHOT_at_peak_bytes];
    sum->leaked[IN_BASE] += site->before[SNAPSHOT_leaked_bytes];
    sum->leaked[IN_NEW] += site->after[SNAPSHOT_leaked_bytes];
    sum->peaks = sum_of(sum->peaks, site->before[SNAPSHOT_peak_bytes]);
    sum->rows++;
    if (!site->in_base || site->in_new)
        return;
    sum->base = true;
    sum->gone_peaks = sum_of(sum->gone_peaks, site->before[SNAPSHOT_peak_bytes]);
    sum->gone_leaked = sum_of(sum->gone_leaked, site->before[SNAPSHOT_leaked_bytes]);
}

/** Judges a row of one side alone. */
static bool alone_grew(const struct difference *difference, const struct site_change *site,
                       const struct group_sum *sum)
{
    return (sum->more &&
            site->after[SNAPSHOT_at_peak_bytes] > site->before[SNAPSHOT_at_peak_bytes]) ||
           (sum->leaks &&
            site->after[SNAPSHOT_leaked_bytes] > site->before[SNAPSHOT_leaked_bytes]) ||
           difference_grew(difference, sum->peaks, site->after[SNAPSHOT_peak_bytes]);
}

/** Judges a row of both sides, which may have got the memory of those that are gone. */
static bool both_grew(const struct difference *difference, const struct site_change *site,
                      const struct group_sum *sum)
{
    return difference_grew(difference, sum_of(site->before[SNAPSHOT_peak_bytes], sum->gone_peaks),
                           site->after[SNAPSHOT_peak_bytes]) ||
           difference_grew(difference,
                           sum_of(site->before[SNAPSHOT_leaked_bytes], sum->gone_leaked),
                           site->after[SNAPSHOT_leaked_bytes]);
}

static int groups_judge(struct match *match)
{
    struct difference *difference = match->difference;
    struct group_sum *sum = calloc(difference->sites + 1, sizeof *sum);

    if (!sum)
        return -ENOMEM;
    for (size_t i = 0; i < difference->sites; i++)
        group_add(&sum[group_of(match, i)], &difference->site[i]);
    for (size_t i = 0; i < difference->sites; i++) {
        sum[i].more = difference_grew(difference, sum[i].at_peak[IN_BASE], sum[i].at_peak[IN_NEW]);
        sum[i].leaks = difference_grew(difference, sum[i].leaked[IN_BASE], sum[i].leaked[IN_NEW]);
    }
    /* Without a site that is gone, a new site cannot have had another name. */
    for (size_t i = 0; i < difference->sites; i++) {
        const struct group_sum *mine = &sum[group_of(match, i)];
        struct site_change *site = &difference->site[i];

        if (!mine->base || mine->rows == 1)
            continue;
        site->regrouped = is_alone(site);
        site->grew = is_alone(site) ? alone_grew(difference, site, mine)
                                    : both_grew(difference, site, mine);
    }
    free(sum);
    return 0;
}

int difference_match(struct difference *difference)
{
    struct match match;
    int error = match_init(&match, difference);

    if (error == 0) {
        modules_match(&match);
        paths_match(&match);
        error = offsets_match(&match);
        if (error == 0)
            error = groups_judge(&match);
    }
    match_done(&match);
    return error;
}
