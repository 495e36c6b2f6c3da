/* SPDX-License-Identifier: MIT */
/*
 * Matches sites that have other names in another build. The compiler inlines a function into its
 * caller, a wrapper is detected in one run and not in the other, a library is renamed, a stripped
 * file has only offsets: then one site is gone, another is new, and the memory has moved from one
 * to the other.
 *
 * A site on one side alone is joined with the nearest function of its call paths that the other
 * side has; offsets of one module are joined. A group is judged by its sums, at the overall peak
 * and at the end, because own peaks do not add up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/texts.h"
#include "tools/budget/difference.h"
#include "tools/budget/difference_parts.h"
#include "tools/symbols/function_name.h"

#define NO_ROW SIZE_MAX

struct match {
    struct difference *difference;
    struct texts texts;
    size_t *group;        /* of each row: another row of its group, or itself */
    uint32_t *name;       /* of each row: number of its function */
    size_t *first, *next; /* rows of a name, rows behind a row with its name */
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
                            .first = calloc(rows + 1, sizeof *match->first),
                            .next = calloc(rows + 1, sizeof *match->next),
                            .names_room = rows + 1};
    if (!match->group || !match->name || !match->first || !match->next)
        return -ENOMEM;
    for (size_t i = 0; i <= rows; i++)
        match->first[i] = match->next[i] = NO_ROW;
    for (size_t i = 0; i < rows; i++) {
        match->group[i] = i;
        match->name[i] = name_number(match, difference->site[i].site->function);
        if (!match->name[i])
            return -ENOMEM;
        match->next[i] = match->first[match->name[i]];
        match->first[match->name[i]] = i;
    }
    return 0;
}

static void match_done(struct match *match)
{
    free(match->group);
    free(match->name);
    free(match->first);
    free(match->next);
    texts_done(&match->texts);
}

/** Returns the only other row with a name, on the other side; NO_ROW: none, or several. */
static size_t counterpart(const struct match *match, size_t row)
{
    const struct site_change *site = match->difference->site;
    size_t found = NO_ROW, same_side = 0;

    for (size_t i = match->first[match->name[row]]; i != NO_ROW; i = match->next[i]) {
        if (!is_alone(&site[i]))
            continue;
        if (site[i].in_base == site[row].in_base)
            same_side++;
        else if (found != NO_ROW)
            return NO_ROW;
        else
            found = i;
    }
    return same_side == 1 ? found : NO_ROW;
}

/** A function in a module with another name: one site. */
static void modules_match(struct match *match)
{
    struct site_change *site = match->difference->site;

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
    const struct site_change *site = match->difference->site;

    if (!name || name >= match->names_room)
        return NO_ROW; /* no row has it */
    for (size_t i = match->first[name]; i != NO_ROW; i = match->next[i])
        if (i != row && (site[row].in_base ? site[i].in_new : site[i].in_base))
            return i;
    return NO_ROW;
}

static void paths_match(struct match *match)
{
    const struct difference *difference = match->difference;

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
static void offsets_match(struct match *match)
{
    const struct site_change *site = match->difference->site;

    for (size_t i = 0; i < match->difference->sites; i++)
        for (size_t k = 0; k < i && site[i].site->function[0] == '+' && is_alone(&site[i]); k++)
            if (site[k].site->function[0] == '+' && is_alone(&site[k]) &&
                !strcmp(site[i].site->module, site[k].site->module)) {
                join(match, i, k);
                break;
            }
}

/** Sums of a group, and what becomes of its rows. */
struct group_sum {
    uint64_t at_peak[2], leaked[2];
    bool base; /* it has a row of the base alone */
    size_t rows;
};

static void group_judge(struct match *match, const struct group_sum *sum, size_t group)
{
    struct difference *difference = match->difference;
    bool more = difference_grew(difference, sum->at_peak[0], sum->at_peak[1]);
    bool leaks = difference_grew(difference, sum->leaked[0], sum->leaked[1]);

    for (size_t i = 0; i < difference->sites; i++) {
        struct site_change *site = &difference->site[i];

        if (group_of(match, i) != group)
            continue;
        site->regrouped = sum->base && is_alone(site);
        site->grew =
            (more && site->after[SNAPSHOT_at_peak_bytes] > site->before[SNAPSHOT_at_peak_bytes]) ||
            (leaks && site->after[SNAPSHOT_leaked_bytes] > site->before[SNAPSHOT_leaked_bytes]);
    }
}

static int groups_judge(struct match *match)
{
    struct difference *difference = match->difference;
    struct group_sum *sum = calloc(difference->sites + 1, sizeof *sum);

    if (!sum)
        return -ENOMEM;
    for (size_t i = 0; i < difference->sites; i++) {
        const struct site_change *site = &difference->site[i];
        struct group_sum *mine = &sum[group_of(match, i)];

        mine->at_peak[0] += site->before[SNAPSHOT_at_peak_bytes];
        mine->at_peak[1] += site->after[SNAPSHOT_at_peak_bytes];
        mine->leaked[0] += site->before[SNAPSHOT_leaked_bytes];
        mine->leaked[1] += site->after[SNAPSHOT_leaked_bytes];
        mine->base |= site->in_base && !site->in_new;
        mine->rows++;
    }
    /* Without a site that is gone, a new site cannot have had another name. */
    for (size_t i = 0; i < difference->sites; i++)
        if (group_of(match, i) == i && sum[i].base && sum[i].rows > 1)
            group_judge(match, &sum[i], i);
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
        offsets_match(&match);
        error = groups_judge(&match);
    }
    match_done(&match);
    return error;
}
