/* SPDX-License-Identifier: MIT */
/*
 * See wrapper_rules.h. Allocations are summed up by their location and the call site of it, then
 * each location's function is judged by the rows it has.
 */
#include "tools/analysis/wrapper_rules.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/analysis/analysis.h"
#include "tools/base/texts.h"
#include "tools/symbols/frames.h"
#include "tools/symbols/function_name.h"
#include "tools/symbols/wrappers.h"

#define ROUNDS    12
#define NAME_MOST 512

/** Allocations of a function by one of its call sites. */
struct use {
    const char *module, *function; /* of the location */
    const char *caller_module;     /* NULL: nobody of the program calls it */
    const char *caller;            /* function, or empty where it has no name */
    uint64_t place;                /* line of the caller, or offset */
    uint64_t allocations, kept, temporaries;
};

struct uses {
    struct use *row;
    size_t rows;
    struct texts callers;
};

static bool is_same_function(const struct frame *one, const struct frame *other)
{
    char left[NAME_MOST], right[NAME_MOST];

    if (!one->function || !other->function || !one->site.module || !other->site.module)
        return false;
    function_name_copy(one->function, left, sizeof left);
    function_name_copy(other->function, right, sizeof right);
    return !strcmp(left, right) && !strcmp(one->site.module, other->site.module);
}

/** The first caller that is another function; a function may call itself. */
static bool caller_find(const struct trace_reader *reader, uint64_t site,
                        const struct frame *location, struct frame *ret_caller)
{
    struct frame callers[8];
    size_t count = frames_callers(reader, site, callers, sizeof callers / sizeof *callers);

    for (size_t i = 0; i < count; i++)
        if (!is_same_function(location, &callers[i])) {
            *ret_caller = callers[i];
            return true;
        }
    return false;
}

/** False: the location is of no function that could be judged. */
static bool use_of(const struct trace_reader *reader, const struct tally *stack,
                   struct texts *callers, struct use *ret_use)
{
    struct frame location, caller;
    char name[NAME_MOST] = "";

    if (!frames_location(reader, stack->key, &location) || !location.function ||
        !location.site.module || frame_is_passed(&location))
        return false;
    *ret_use = (struct use){.module = location.site.module,
                            .function = location.function,
                            .caller = "",
                            .allocations = stack->allocations,
                            .kept = stack->leaked_blocks,
                            .temporaries = stack->temporaries};
    if (!caller_find(reader, stack->key, &location, &caller))
        return true;
    ret_use->caller_module = caller.site.module;
    if (caller.function)
        function_name_copy(caller.function, name, sizeof name);
    ret_use->caller = texts_keep(callers, name);
    ret_use->place = caller.line ? caller.line : caller.site.offset;
    return ret_use->caller != NULL;
}

static int use_compare(const void *a, const void *b)
{
    const struct use *left = a, *right = b;
    int order = strcmp(left->module, right->module);

    order = order ? order : strcmp(left->function, right->function);
    order = order ? order : strcmp(left->caller, right->caller);
    return order ? order : (left->place > right->place) - (left->place < right->place);
}

static int uses_collect(const struct analysis *analysis, struct uses *ret_uses)
{
    struct uses uses = {.row = malloc((analysis->stacks.rows + 1) * sizeof *uses.row)};
    size_t kept = 0;

    if (!uses.row)
        return -ENOMEM;
    for (size_t i = 0; i < analysis->stacks.rows; i++)
        uses.rows += use_of(analysis->reader, &analysis->stacks.row[i], &uses.callers,
                            &uses.row[uses.rows]);
    qsort(uses.row, uses.rows, sizeof *uses.row, use_compare);
    for (size_t i = 0; i < uses.rows; i++) {
        if (kept && use_compare(&uses.row[kept - 1], &uses.row[i]) == 0) {
            uses.row[kept - 1].allocations += uses.row[i].allocations;
            uses.row[kept - 1].kept += uses.row[i].kept;
            uses.row[kept - 1].temporaries += uses.row[i].temporaries;
        } else {
            uses.row[kept++] = uses.row[i];
        }
    }
    uses.rows = kept;
    *ret_uses = uses;
    return 0;
}

static bool is_main(const struct use *use)
{
    return !strcmp(use->caller, "main") || !strcmp(use->caller, "<module>");
}

static bool more_than_half(uint64_t part, uint64_t whole)
{
    return 2 * part > whole;
}

/** Whether two call sites do different things with their blocks. */
static bool are_told_apart(const struct use *one, const struct use *other)
{
    return one->allocations && other->allocations &&
           (more_than_half(one->kept, one->allocations) !=
                more_than_half(other->kept, other->allocations) ||
            more_than_half(one->temporaries, one->allocations) !=
                more_than_half(other->temporaries, other->allocations));
}

/** `use`: all call sites of one function, in the order of their callers. */
static bool is_wrapper(const struct use *use, size_t count)
{
    enum function_role role = function_role_of(use->function);
    size_t callers = 0;
    bool apart = false;

    for (size_t i = 0; i < count; i++) {
        if (!use[i].caller_module)
            return false; /* a thread begins with it */
        callers += !i || strcmp(use[i].caller, use[i - 1].caller) != 0;
        apart |= are_told_apart(&use[0], &use[i]);
    }
    if (role == FUNCTION_ALLOCATES)
        return count > 1 || !is_main(use);
    return apart || (role == FUNCTION_MAKES && callers > 1);
}

/** The number of wrappers that are new, or an error. */
static int round_learn(const struct analysis *analysis)
{
    struct uses uses;
    int r = uses_collect(analysis, &uses), added = 0;

    if (r < 0)
        return r;
    for (size_t i = 0, end; i < uses.rows && r >= 0; i = end) {
        const struct use *use = &uses.row[i];

        for (end = i + 1; end < uses.rows && !strcmp(use->module, uses.row[end].module) &&
                          !strcmp(use->function, uses.row[end].function);)
            end++;
        if (is_wrapper(use, end - i))
            r = wrappers_add(use->module, use->function);
        added += r > 0;
    }
    free(uses.row);
    texts_done(&uses.callers);
    frames_forget(analysis->reader);
    return r < 0 ? r : added;
}

/** Whether any site has a second frame of the program, without which there is nothing to learn. */
static bool has_choice(const struct trace_reader *reader)
{
    size_t sites = trace_reader_summary(reader)->sites;
    struct frame caller;

    for (size_t site = sites; site; site--)
        if (frames_callers(reader, site, &caller, 1))
            return true;
    return false;
}

int wrapper_rules_learn(struct trace_reader *reader, char *ret_why, size_t why_bytes)
{
    struct analysis *analysis;
    int r;

    frames_forget(reader);
    if (!has_choice(reader))
        return 0;
    r = analysis_create(reader, &analysis, ret_why, why_bytes);
    if (r < 0)
        return r;
    for (int round = 0; round < ROUNDS; round++) {
        r = round_learn(analysis);
        if (r <= 0)
            break;
    }
    if (r < 0)
        snprintf(ret_why, why_bytes, "out of memory");
    analysis_destroy(analysis);
    return r < 0 ? r : 0;
}
