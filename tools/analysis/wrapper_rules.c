/* SPDX-License-Identifier: MIT */
/*
 * Allocations are summed by location and its call site; then each location's function is judged by
 * its rows.
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
#define CHAIN     12 /* callers that are distinguished */

/* Functions that an allocator is made of. */
#define PARTS_DEEP 4

/* FNV-1a constants; two paths with the same hash are judged as one. */
#define HASH_BASE   UINT64_C(0xcbf29ce484222325)
#define HASH_FACTOR UINT64_C(0x100000001b3)

/** Allocations of a function by one of its call paths. */
struct use {
    const char *module, *function; /* of the location */
    uint64_t path;                 /* of its callers and the places of their calls, hashed */
    uint32_t caller[CHAIN];        /* numbers of functions, nearest first; 0: no more */
    uint64_t place;                /* where in the first the call is */
    uint64_t allocations, kept, temporaries, most_blocks;
};

struct uses {
    struct use *row;
    size_t rows;
    struct texts names;
};

/** Returns the number of a function, or of a place where it has no name. 0: out of memory. */
static uint32_t function_number(struct texts *names, const struct frame *frame)
{
    char name[NAME_MOST];

    frame_key(frame, name, sizeof name);
    return texts_number(names, name);
}

/** Its callers but for itself. False: out of memory. */
static bool callers_fill(const struct trace_reader *reader, uint64_t site,
                         const struct frame *location, struct texts *names, struct use *use)
{
    struct frame frames[CHAIN];
    size_t count = frames_callers(reader, site, frames, CHAIN), kept = 0;
    uint32_t before = function_number(names, location);
    uint64_t place;

    for (size_t i = 0; i < count; i++) {
        uint32_t number = function_number(names, &frames[i]);

        if (!number)
            return false;
        if (number == before)
            continue;
        place = frames[i].line ? frames[i].line << 16 | frames[i].column : frames[i].site.offset;
        use->path = ((use->path ^ number) * HASH_FACTOR ^ place) * HASH_FACTOR;
        if (!kept)
            use->place = place;
        use->caller[kept++] = before = number;
    }
    return true;
}

/** Finds the location's function. 0: it has none that could be judged. Errors: -ENOMEM. */
static int use_of(const struct trace_reader *reader, const struct tally *stack, struct texts *names,
                  struct use *ret_use)
{
    struct frame location;

    if (!frames_location(reader, stack->key, &location) || !location.function ||
        !location.site.module || frame_is_passed(&location))
        return 0;
    *ret_use = (struct use){.module = location.site.module,
                            .function = location.function,
                            .path = HASH_BASE,
                            .allocations = stack->allocations,
                            .kept = stack->leaked_blocks,
                            .temporaries = stack->temporaries,
                            .most_blocks = stack->live_blocks.peak};
    return callers_fill(reader, stack->key, &location, names, ret_use) ? 1 : -ENOMEM;
}

static int use_compare(const void *a, const void *b)
{
    const struct use *left = a, *right = b;
    int order = strcmp(left->module, right->module);

    order = order ? order : strcmp(left->function, right->function);
    return order ? order : (left->path > right->path) - (left->path < right->path);
}

static int uses_collect(const struct analysis *analysis, struct uses *ret_uses)
{
    struct uses uses = {.row = malloc((analysis->stacks.rows + 1) * sizeof *uses.row)};
    size_t kept = 0;
    int error = uses.row ? 0 : -ENOMEM;

    for (size_t i = 0; i < analysis->stacks.rows && error >= 0; i++) {
        error = use_of(analysis->reader, &analysis->stacks.row[i], &uses.names,
                       &uses.row[uses.rows]);
        uses.rows += error > 0;
    }
    *ret_uses = uses;
    if (error < 0)
        return error;
    qsort(uses.row, uses.rows, sizeof *uses.row, use_compare);
    for (size_t i = 0; i < uses.rows; i++) {
        if (kept && use_compare(&uses.row[kept - 1], &uses.row[i]) == 0) {
            uses.row[kept - 1].allocations += uses.row[i].allocations;
            uses.row[kept - 1].kept += uses.row[i].kept;
            uses.row[kept - 1].temporaries += uses.row[i].temporaries;
            uses.row[kept - 1].most_blocks += uses.row[i].most_blocks;
        } else {
            uses.row[kept++] = uses.row[i];
        }
    }
    ret_uses->rows = kept;
    return 0;
}

#define PILED_LEAST 4 /* blocks */

/** Whether some call paths do this with their blocks, and others do not. */
struct fates {
    bool kept, freed, temporary, lasting;
};

static void fate_add(struct fates *fates, const struct use *use)
{
    /* Left at the end, or accumulated before it; a single block may be the last of many. */
    bool kept = use->kept > 1 || 2 * use->kept > use->allocations ||
                (use->most_blocks >= PILED_LEAST && 2 * use->most_blocks > use->allocations);
    bool temporary = 2 * use->temporaries > use->allocations;

    if (!use->allocations)
        return;
    fates->kept |= kept;
    fates->freed |= !kept;
    fates->temporary |= temporary;
    fates->lasting |= !temporary;
}

static size_t callers_count(const struct use *use)
{
    size_t count = 0;

    while (count < CHAIN && use->caller[count])
        count++;
    return count;
}

/** The one with most callers. */
static const struct use *longest(const struct use *use, size_t count)
{
    const struct use *found = use;

    for (size_t i = 1; i < count; i++)
        found = callers_count(&use[i]) > callers_count(found) ? &use[i] : found;
    return found;
}

/** Whether a path is the beginning of a longer one: a stack that was cut tells no path apart. */
static bool is_cut(const struct use *use, const struct use *whole)
{
    size_t callers = callers_count(use);

    return callers < callers_count(whole) && (!callers || use->place == whole->place) &&
           !memcmp(use->caller, whole->caller, callers * sizeof *use->caller);
}

/** Whether the call paths diverge at functions, not only at lines of one function. Cut ones do not.
 */
static bool has_several_callers(const struct use *use, size_t count)
{
    for (size_t depth = 0; depth < CHAIN; depth++) {
        uint32_t first = 0;

        for (size_t i = 0; i < count; i++) {
            if (first && use[i].caller[depth] && use[i].caller[depth] != first)
                return true;
            first = first ? first : use[i].caller[depth];
        }
    }
    return false;
}

static bool is_main(const struct uses *uses, const struct use *use)
{
    const char *name = use->caller[0] ? uses->names.row[use->caller[0] - 1].text : "";
    const char *colon = strrchr(name, ':');

    return colon && (!strcmp(colon, ":main") || !strcmp(colon, ":<module>"));
}

/** Whether all call paths run through the same few callers up to an allocator, as far as they go.
 */
static bool is_part_of_allocator(const struct uses *uses, const struct use *whole,
                                 const struct use *use, size_t count)
{
    for (size_t depth = 0; depth < PARTS_DEEP && whole->caller[depth]; depth++) {
        const char *key = uses->names.row[whole->caller[depth] - 1].text, *colon = strchr(key, ':');

        for (size_t i = 0; i < count; i++)
            if (use[i].caller[depth] != whole->caller[depth] && !is_cut(&use[i], whole))
                return false;
        if (colon && function_role_of(colon + 1) == FUNCTION_ALLOCATES)
            return true;
    }
    return false;
}

/** `use`: all call paths of one function. */
static bool is_wrapper(const struct uses *uses, const struct use *use, size_t count)
{
    enum function_role role = function_role_of(use->function);
    const struct use *whole = longest(use, count);
    struct fates fates = {0};
    bool called = whole->caller[0] != 0, several_places = false, apart;

    for (size_t i = 0; i < count; i++) {
        if (is_cut(&use[i], whole))
            continue;
        several_places |= use[i].place != whole->place || use[i].caller[0] != whole->caller[0];
        fate_add(&fates, &use[i]);
    }
    if (!called)
        return false; /* a thread begins with it */
    if (role == FUNCTION_ALLOCATES || role == FUNCTION_CONSTRUCTS)
        return several_places || !is_main(uses, whole);
    if (is_part_of_allocator(uses, whole, use, count))
        return true;
    if (fates.kept && fates.freed)
        return true;
    apart = fates.temporary && fates.lasting;
    return role == FUNCTION_MAKES ? apart || has_several_callers(use, count)
                                  : apart && has_several_callers(use, count);
}

/** The number of wrappers that are new, or an error. */
static int round_learn(const struct analysis *analysis)
{
    struct uses uses;
    int error = uses_collect(analysis, &uses), added = 0;

    for (size_t i = 0, end; i < uses.rows && error >= 0; i = end) {
        const struct use *use = &uses.row[i];

        for (end = i + 1; end < uses.rows && !strcmp(use->module, uses.row[end].module) &&
                          !strcmp(use->function, uses.row[end].function);)
            end++;
        if (is_wrapper(&uses, use, end - i))
            error = wrappers_add(use->module, use->function);
        added += error > 0;
    }
    free(uses.row);
    texts_done(&uses.names);
    frames_forget(analysis->reader);
    return error < 0 ? error : added;
}

/** Whether any site has a second frame of the program; otherwise there is nothing to learn. */
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
    int error;

    frames_forget(reader);
    if (!has_choice(reader))
        return 0;
    error = analysis_create(reader, &analysis, ret_why, why_bytes);
    if (error < 0)
        return error;
    for (int round = 0; round < ROUNDS; round++) {
        error = round_learn(analysis);
        if (error <= 0)
            break;
    }
    if (error < 0)
        snprintf(ret_why, why_bytes, "out of memory");
    analysis_destroy(analysis);
    return error < 0 ? error : 0;
}
